//! Who is answered, and how often.
//!
//! Knows: networks and when they were heard. Does not know: what they say.
//!
//! An address in a packet is what its sender wrote there. So the ports of an address are one guest,
//! and so is a /64 of IPv6, which is what one house is given: else whoever invents ports has a
//! third answered as often as he likes. Who came back with what was only told to that address has
//! shown that it is his; of all others it is not known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Ignored;

/// Guests at once. Chosen: as the relay's.
pub const GUESTS_MAX: usize = 64;
/// Answers a second to one guest. Chosen: twice what this product's own fastest probe asks.
pub const RATE: u64 = 4_000;
/// Answers at once, after silence, to one that has shown its address. Chosen: a quarter of a
/// second's.
pub const BURST: u64 = 1_000;
/// Answers at once to one that comes. Chosen: fewer than the packets of others that it takes to be
/// forgotten and to come anew, so that nobody gains by it.
pub const FIRST: u64 = 16;
/// Answers a second, and at once, to all together. Chosen: two guests' at their fastest, or 80 a
/// hundred times a second; 94 Mbit/s of the longest packets.
pub const TOTAL: (u64, u64) = (2 * RATE, 2 * BURST);
/// A guest that has shown its address and was silent so long gives its place to another, ns.
/// Chosen: 10 s, longer than irtt's own longest wait for an open (8 s).
const SILENT_NS: u64 = 10_000_000_000;

const _: () = assert!(FIRST < 64 && 64 <= GUESTS_MAX);

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

#[derive(Clone, Copy, Debug)]
struct Guest {
    bucket: Bucket,
    heard_ns: u64,
    has_shown: bool,
}

/// All that are answered.
#[derive(Debug, Default)]
pub struct Guests {
    all: HashMap<IpAddr, Guest>,
    total: Option<Bucket>,
}

impl Guests {
    /// Whether this address is answered once more. `shows`: it came with what was only told to it.
    ///
    /// A newcomer takes the place of the one that was silent longest, of those that have shown
    /// nothing: that one comes back in the same way, and loses what it had saved up. Who has shown
    /// its address and measures keeps its place, or whoever invents addresses could take it.
    ///
    /// Errors: as many as there may be measure, or too often.
    pub fn admit(&mut self, from: IpAddr, now_ns: u64, shows: bool) -> Result<(), Ignored> {
        let from = network(from);
        if self.all.len() >= GUESTS_MAX && !self.all.contains_key(&from) {
            let may_go = |guest: &Guest| {
                !guest.has_shown || now_ns.saturating_sub(guest.heard_ns) >= SILENT_NS
            };
            let may_go = self.all.iter().filter(|(_, guest)| may_go(guest));
            let oldest = may_go.min_by_key(|(_, guest)| (guest.has_shown, guest.heard_ns));
            let oldest = oldest.map(|(address, _)| *address).ok_or(Ignored::Full)?;
            self.all.remove(&oldest);
        }
        let bucket = Bucket::full(FIRST, now_ns);
        let new = Guest { bucket, heard_ns: now_ns, has_shown: false };
        let guest = self.all.entry(from).or_insert(new);
        guest.heard_ns = now_ns;
        if shows && !guest.has_shown {
            guest.bucket = Bucket::full(BURST, now_ns);
            guest.has_shown = true;
        }
        let (rate, burst) = TOTAL;
        let total = self.total.get_or_insert(Bucket::full(burst, now_ns));
        let first = if guest.has_shown { BURST } else { FIRST };
        // What one asks too often takes nothing from the others.
        let is_given = guest.bucket.take(now_ns, RATE, first) && total.take(now_ns, rate, burst);
        if is_given { Ok(()) } else { Err(Ignored::TooOften) }
    }
}

/// What counts as one guest: an address of IPv4, 64 bits of one of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}
