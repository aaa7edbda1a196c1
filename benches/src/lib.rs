//! Side-by-side performance, and the rules that are tests.
//!
//! Knows: how to measure the product beside its limits, honestly on a noisy machine. Does not know:
//! how the product works inside. The rules live in `tests/`: `arrows.rs` (who may name whom),
//! `tidy.rs` (which word may stand where), `no_alloc.rs` (the servo path and the heap),
//! `no_panic.rs` (the pure step links without a way to panic).

pub mod hand;
pub mod harness;
pub mod link;
pub mod loopback;
pub mod machine;
pub mod report;
pub mod tap;
pub mod tick;
pub mod wire;
