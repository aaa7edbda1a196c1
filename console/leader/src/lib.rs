//! The surgeon's side of the law: what the hand asks for, and what the surgeon must be told.
//!
//! Knows: clutch, scale, engagement, anchors, advisories. Does not know: devices, sockets, threads,
//! the robot's limits (it is told the few it must keep to), or what time it is.
//!
//! Pure: no clock (`now` comes in), no heap, no panic, no unsafe.
#![no_std]
#![forbid(unsafe_code)]

pub mod advisory;
pub mod engagement;
pub mod frames;
pub mod hand;
mod leader;
pub mod leash;
pub mod teleop;

pub use leader::{DEFAULT_SCALE, Leader, LeaderOutput};
