//! Whatever arrives: no panic, no overflow, nothing taken twice, nothing taken that is not finite.
//!
//! Knows: the fuzzer. Does not know: the doors (`knock.rs`), or what a good message looks like.
#![no_main]

#[path = "../knock.rs"]
mod knock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| knock::twice(input));
