//! The words both ends share: units, frames, messages, wire bytes, session.
//!
//! Knows: what is said between console and robot, and whether a datagram may be believed. Does not
//! know: sockets, threads, clocks, robots' limits, or what a command will do to an arm.
//!
//! Pure: no clock (callers hand in `now`), no heap, no panic, no unsafe.
#![no_std]
#![forbid(unsafe_code)]

mod checksum;
pub mod clock_sync;
pub mod geometry;
pub mod message;
pub mod probe;
pub mod sequence;
pub mod session;
pub mod tap;
pub mod units;
pub mod wire;
