//! A steady stream through a link in virtual time.
//!
//! Knows: how to offer packets at an even pace and hand each fate on. Does not know: what the
//! caller makes of them.

use longhand_protocol::units::{Instant, Link, Micros};

use super::{Emulator, Fate, LinkModel, LinkStats};
use crate::profile::Direction;

/// One packet of a sampled stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Which way it went.
    pub direction: Direction,
    /// When it was sent.
    pub sent: Instant<Link>,
    /// What became of it.
    pub fate: Fate,
}

impl Sampled {
    /// The one-way delay, or `None` where it was lost.
    pub const fn delay(&self) -> Option<Micros> {
        match self.fate {
            Fate::Deliver(arrival) => Some(arrival.at.since(self.sent)),
            Fate::Drop(_) => None,
        }
    }
}

/// Sends a packet of `len_bytes` each way every `interval` for `duration`, and hands each fate to
/// `each`. Returns the counts. An `interval` of zero sends nothing.
///
/// Source of the cost: goal P10, 1 h of 1 kHz both ways in 2 s.
pub fn sample(
    model: LinkModel,
    seed: u64,
    duration: Micros,
    interval: Micros,
    len_bytes: usize,
    mut each: impl FnMut(Sampled),
) -> LinkStats {
    let mut link = Emulator::new(model, seed);
    let packets = duration.as_micros().checked_div(interval.as_micros()).unwrap_or(0);
    for n in 0..packets {
        let sent = Instant::ORIGIN.after(interval.saturating_mul(n));
        for direction in Direction::BOTH {
            each(Sampled { direction, sent, fate: link.offer(sent, direction, len_bytes) });
        }
    }
    *link.stats()
}
