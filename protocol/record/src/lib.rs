//! The black box of either end: every tick of a loop, on disk, in a form that shows tampering.
//!
//! Knows: the way of a tick's words from a real-time thread into a file, and back out of it. Does
//! not know: what the words say. The end that is recorded knows that, and says it as a
//! [`schema::Kind`]: the robot's (`longhand-robot-agent`) or the console's (`longhand-console`).
//!
//! ```text
//! real-time thread ─► ring ─► recorder ─► seal ─► file ─► disk
//!                                  └─► health ─► whoever tells people
//! ```
//!
//! `ring` takes words and never waits; `recorder` has a thread of its own, which may wait for a
//! disk; `file` is MCAP, `schema` what stands in it, `seal` what proves it; `health` is what people
//! are told; `command` is `record verify | recover | info | export` of both ends.

pub mod command;
pub mod file;
pub mod health;
pub mod recorder;
pub mod ring;
pub mod schema;
pub mod seal;
