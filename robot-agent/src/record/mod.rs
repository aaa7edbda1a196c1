//! The black box: every tick of the servo loop, on disk, in a form that shows tampering.
//!
//! Knows: the way of a tick from the servo thread into a file, and back out of it. Does not know:
//! what a tick decides; nothing here can reach the follower.
//!
//! `tap` takes the tick in the servo thread; `recorder` has a thread of its own, which may wait for
//! a disk; `file` is MCAP, `schema` what stands in it, `seal` what proves it; `health` is what
//! people are told. A record begins with the robot's first tick and holds the follower's whole
//! input, so the shipped follower can be run again on it (`Given`), and must say the same.

pub mod file;
pub mod health;
pub mod recorder;
pub mod schema;
pub mod seal;
pub mod tap;
pub mod tick;
