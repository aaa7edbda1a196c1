//! Who is answered, and how often.
//!
//! Knows: addresses and when they were heard. Does not know: what they say.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Ignored;

/// Addresses at once. Chosen: as the relay's.
pub const GUESTS_MAX: usize = 64;
/// Answers a second to one address. Chosen: twice what this product's own fastest probe asks.
pub const RATE: u64 = 4_000;
/// Answers at once, after silence. Chosen: a quarter of a second's.
pub const BURST: u64 = 1_000;
/// An address that was silent so long gives its place to another, ns. Chosen: 10 s, longer than
/// irtt's own longest wait for an open (8 s).
const SILENT_NS: u64 = 10_000_000_000;

/// A bucket that fills with time: what is asked takes one from it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Thousand-millionths of an answer.
    level: u64,
    at_ns: u64,
}

impl Bucket {
    /// Full.
    pub const fn full(burst: u64, now_ns: u64) -> Self {
        Self { level: burst.saturating_mul(1_000_000_000), at_ns: now_ns }
    }

    /// Takes one, where there is one.
    pub fn take(&mut self, now_ns: u64, rate: u64, burst: u64) -> bool {
        let more = now_ns.saturating_sub(self.at_ns).saturating_mul(rate);
        self.level = self.level.saturating_add(more).min(burst.saturating_mul(1_000_000_000));
        self.at_ns = self.at_ns.max(now_ns);
        match self.level.checked_sub(1_000_000_000) {
            Some(left) => {
                self.level = left;
                true
            }
            None => false,
        }
    }
}

/// All addresses that are answered.
#[derive(Debug, Default)]
pub struct Guests(HashMap<SocketAddr, (Bucket, u64)>);

impl Guests {
    /// Whether this address is answered once more.
    ///
    /// Errors: too many addresses, or too often.
    pub fn admit(&mut self, from: SocketAddr, now_ns: u64) -> Result<(), Ignored> {
        if self.0.len() >= GUESTS_MAX && !self.0.contains_key(&from) {
            self.0.retain(|_, (_, heard)| now_ns.saturating_sub(*heard) < SILENT_NS);
            if self.0.len() >= GUESTS_MAX {
                return Err(Ignored::Full);
            }
        }
        let new = (Bucket::full(BURST, now_ns), now_ns);
        let (bucket, heard) = self.0.entry(from).or_insert(new);
        *heard = now_ns;
        if bucket.take(now_ns, RATE, BURST) { Ok(()) } else { Err(Ignored::TooOften) }
    }
}
