//! Attacks in the virtual world: on bytes, order, time, hand and drives.
//!
//! Knows: which rooms there are. Does not know: real sockets, handshakes or processes
//! (`tests/attacks_live.rs`).

pub mod hands_on;
pub mod insiders;
pub mod times;
pub mod trial;
pub mod words;
