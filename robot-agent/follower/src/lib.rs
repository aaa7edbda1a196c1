//! The robot's side of the law: may the arm move, whereto, and how fast.
//!
//! Knows: commands in, joint setpoints out, and every rule between: playout, watchdog, supervisor,
//! shaper, kinematics, limits. Does not know: sockets, threads, drives, or what time it is.
//!
//! Pure: no clock (`now` comes in), no heap, no panic, no unsafe. [`Follower::step`] is total: it
//! always returns a [`Drive`], and a fault found in a tick acts in that tick.
#![no_std]
#![forbid(unsafe_code)]

pub mod fault;
mod follower;
pub mod kinematics;
pub mod limits;
pub mod playout;
pub mod profile;
pub mod shaper;
pub mod supervisor;
pub mod watchdog;

pub use follower::{ArmReading, Drive, Follower, PeerFaults, Servo, TickInput, TickOutput};
