//! The link emulator: sans-IO, seeded, the same in virtual and in real time.
//!
//! Knows: link profiles and where their numbers come from, link traces, and what a link does to a
//! packet of a given length sent at a given instant. Does not know: sockets, clocks, threads, bytes
//! inside a packet, or anything of Longhand but its units of time.
//!
//! ```
//! use longhand_link::{Direction, Emulator, Fate, LinkModel, Profile};
//! use longhand_protocol::units::Instant;
//! # fn main() -> Result<(), longhand_link::UnknownProfile> {
//! let model = LinkModel::from(Profile::by_name("city-5g-sa")?);
//! let mut link = Emulator::new(model, 42);
//! let sent = Instant::from_micros(1_000);
//! if let Fate::Deliver(arrival) = link.offer(sent, Direction::Up, 248) {
//!     assert!(arrival.at > sent);
//! }
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod number;
mod process;

pub mod emulator;
pub mod pipe;
pub mod profile;
pub mod trace;

pub use emulator::{Arrival, Disturb, DropCause, Emulator, Fate, LaneStats, LinkModel, LinkStats};
pub use pipe::{Delivery, Pipe};
pub use process::jitter::CELL;
pub use process::timeline::LinkEvent;
pub use profile::{Direction, Directions, PROFILES, Profile, UnknownProfile};
pub use trace::{Trace, TraceError};
