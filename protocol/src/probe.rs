//! Probes: packets of a command's size that ask how the link is, and may move nothing.
//!
//! Knows: what a probe and its answer say, and what the robot must remember so that every loss has
//! its direction. Does not know: sockets, bytes (`wire`), or what the figures are worth
//! (`longhand-qualify`).
//!
//! Why a kind of datagram of its own, and not a command that nobody engages: a probe needs no
//! session, epoch or lease, so whoever measures holds nothing that could arm or move. Nothing here
//! can be turned into a [`crate::message::Command`].
//!
//! Terms: a *run* is one measurement, named by 64 random bits; an *intended* time is when a probe
//! was due by its schedule, whether or not the machine was able to send it then.

use crate::units::{Console, Instant, Micros, Robot};

/// Words of [`ProbeAnswer::seen`].
pub const SEEN_WORDS: usize = 30;
/// How many numbers, the newest among them, [`ProbeAnswer::seen`] tells of.
pub const SEEN_MAX: u64 = 30 * 64;

/// One probe: console to robot, as long as a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The run that it belongs to.
    pub run: u64,
    /// From 1, rising by one with every slot of the schedule.
    pub number: u64,
    /// When it was due, console clock.
    pub intended_at: Instant<Console>,
    /// When it was handed to the network, console clock.
    pub sent_at: Instant<Console>,
}

/// What the robot answers at once: as long as a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The probe, repeated unread.
    pub probe: Probe,
    /// When the probe came, robot clock.
    pub received_at: Instant<Robot>,
    /// When this answer was handed to the network, robot clock.
    pub answered_at: Instant<Robot>,
    /// The robot's wall clock minus its robot clock, microseconds; 0 where it is not known. Worth
    /// something only where the user says that both wall clocks agree.
    pub wall_offset_us: u64,
    /// Different probes of the run that have come, this one among them: the order of arrival.
    pub received: u64,
    /// Probes that came again, or too late to be told apart.
    pub duplicates: u64,
    /// The largest number that has come.
    pub newest: u64,
    /// Probes that came behind a later one.
    pub reordered: u32,
    /// Bit `i % 64` of word `i / 64`: whether number `newest - i` has come.
    pub seen: [u64; SEEN_WORDS],
}

impl ProbeAnswer {
    /// Whether `number` had come to the robot by then; `None` where this answer does not say.
    pub fn has_come(&self, number: u64) -> Option<bool> {
        let back = self.newest.checked_sub(number).filter(|back| *back < SEEN_MAX)?;
        let word = self.seen.get(usize::try_from(back / 64).ok()?)?;
        Some(word.checked_shr(u32::try_from(back % 64).ok()?).unwrap_or(0) & 1 == 1)
    }
}

/// The most that one [`PathProbe`] may ask to be answered. Chosen: a video frame at 20 Mbit/s and
/// 60 a second is 35 datagrams; eight keep a request small against what it asks for, and bursts
/// short.
pub const ANSWERS_MAX: u8 = 8;
/// The longest datagram there is any use in, UDP payload, bytes. Chosen: a jumbo frame of 9000 less
/// IPv4's 20 and UDP's 8.
pub const PATH_BYTES_MAX: u16 = 8_972;
/// How long an answer may be kept back. Source: RFC 4787, REQ-5: a NAT should keep a mapping for
/// 5 minutes; twice that.
pub const KEPT_BACK_MAX: Micros = Micros::from_secs(600);

/// A question about the path itself, outside QUIC, or a load inside it: console to robot, of any
/// length up to [`PATH_BYTES_MAX`]. What is behind its head is fill: a load, or the size tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathProbe {
    /// The twin's run; of a load inside the session that session's.
    pub run: u64,
    /// Any; the answer repeats it.
    pub number: u64,
    /// When it was handed to the network, console clock.
    pub sent_at: Instant<Console>,
    /// How long each answer is to be, UDP payload, bytes.
    pub answer_bytes: u16,
    /// How many answers, up to [`ANSWERS_MAX`]; none for a load.
    pub answers: u8,
    /// The traffic class (DSCP and ECN) that answers are to carry.
    pub answer_mark: u8,
    /// How long the answers are to be kept back, up to [`KEPT_BACK_MAX`]; whole milliseconds.
    pub after: Micros,
}

/// The robot's answer to a [`PathProbe`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathAnswer {
    /// From the probe.
    pub run: u64,
    /// From the probe.
    pub number: u64,
    /// From the probe.
    pub sent_at: Instant<Console>,
    /// When the probe came, robot clock.
    pub received_at: Instant<Robot>,
    /// Where it came from as the robot sees it: an IPv6 address, or an IPv4 one mapped into it.
    pub from_ip: [u8; 16],
    /// The port.
    pub from_port: u16,
    /// The traffic class that the probe had when it came; `None` where the system does not say.
    pub mark_seen: Option<u8>,
    /// How long the probe was when it came, UDP payload, bytes.
    pub bytes_seen: u16,
    /// Path probes of the run that have come, this one among them.
    pub came: u64,
    /// Their bytes, UDP payload.
    pub came_bytes: u64,
    /// Of the answers to this probe: which, from 0.
    pub index: u8,
}

/// What the robot remembers of one run. Fixed in size, whatever is sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    received: u64,
    duplicates: u64,
    newest: u64,
    reordered: u32,
    seen: [u64; SEEN_WORDS],
}

impl Receipts {
    /// Nothing has come.
    pub const fn new() -> Self {
        Self { received: 0, duplicates: 0, newest: 0, reordered: 0, seen: [0; SEEN_WORDS] }
    }

    /// Takes a probe in: the answer to it, but for `answered_at` and the wall clock; `None` for one
    /// that came before, or that is too far behind to tell.
    pub fn take(&mut self, probe: &Probe, now: Instant<Robot>) -> Option<ProbeAnswer> {
        if let Some(ahead) = probe.number.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            self.shift(ahead);
            self.newest = probe.number;
        } else if self.is_known(probe.number) {
            self.duplicates = self.duplicates.saturating_add(1);
            return None;
        } else {
            self.reordered = self.reordered.saturating_add(1);
        }
        self.mark(probe.number);
        self.received = self.received.saturating_add(1);
        Some(ProbeAnswer {
            probe: *probe,
            received_at: now,
            answered_at: now,
            wall_offset_us: 0,
            received: self.received,
            duplicates: self.duplicates,
            newest: self.newest,
            reordered: self.reordered,
            seen: self.seen,
        })
    }

    fn is_known(&self, number: u64) -> bool {
        let told = ProbeAnswer { newest: self.newest, seen: self.seen, ..ProbeAnswer::default() };
        // Number 0 is no probe's, and what lies behind the window cannot be told from a copy.
        number == 0 || told.has_come(number).unwrap_or(true)
    }

    fn mark(&mut self, number: u64) {
        let back = self.newest.saturating_sub(number);
        let word = usize::try_from(back / 64).ok().and_then(|place| self.seen.get_mut(place));
        if let Some(word) = word {
            *word |= 1_u64.checked_shl(u32::try_from(back % 64).unwrap_or(0)).unwrap_or(0);
        }
    }

    /// Makes room for so many newer numbers.
    fn shift(&mut self, by: u64) {
        if by >= SEEN_MAX {
            self.seen = [0; SEEN_WORDS];
            return;
        }
        let mut left = u32::try_from(by).unwrap_or(0);
        while left > 0 {
            let step = left.min(63);
            let mut carry = 0;
            for word in &mut self.seen {
                let out = word.checked_shr(64_u32.saturating_sub(step)).unwrap_or(0);
                *word = word.checked_shl(step).unwrap_or(0) | carry;
                carry = out;
            }
            left = left.saturating_sub(step);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn probe(number: u64) -> Probe {
        Probe { run: 7, number, ..Probe::default() }
    }

    fn take(receipts: &mut Receipts, number: u64) -> Option<ProbeAnswer> {
        receipts.take(&probe(number), Instant::from_micros(number))
    }

    #[test]
    fn every_number_up_to_the_window_is_told_exactly() {
        // Every third probe is lost, and a hole of 200 lies in it.
        let mut receipts = Receipts::new();
        let came = |n: u64| !n.is_multiple_of(3) && !(900..1_100).contains(&n);
        let mut last = None;
        for n in (1..=3_001).filter(|n| came(*n)) {
            last = take(&mut receipts, n);
        }
        let last = last.unwrap();
        assert_eq!(last.newest, 3_001);
        assert_eq!(last.received, (1..=3_001).filter(|n| came(*n)).count().try_into().unwrap());
        for n in 3_002 - SEEN_MAX..=3_001 {
            assert_eq!(last.has_come(n), Some(came(n)), "{n}");
        }
        assert_eq!(last.has_come(3_001 - SEEN_MAX), None);
        assert_eq!(last.has_come(3_002), None);
    }

    #[test]
    fn a_copy_is_counted_and_not_answered_and_a_late_one_is_answered() {
        let mut receipts = Receipts::new();
        assert!(take(&mut receipts, 1).is_some());
        assert!(take(&mut receipts, 5).is_some());
        assert!(take(&mut receipts, 5).is_none());
        let late = take(&mut receipts, 3).unwrap();
        assert_eq!((late.received, late.duplicates, late.reordered, late.newest), (3, 1, 1, 5));
        assert!(take(&mut receipts, 3).is_none());
        assert!(take(&mut receipts, 0).is_none());
    }

    #[test]
    fn a_jump_beyond_the_window_forgets_and_goes_on() {
        let mut receipts = Receipts::new();
        for n in 1..100 {
            assert!(take(&mut receipts, n).is_some());
        }
        let far = take(&mut receipts, u64::MAX).unwrap();
        assert_eq!((far.received, far.newest), (100, u64::MAX));
        assert_eq!(far.has_come(u64::MAX), Some(true));
        assert_eq!(far.has_come(u64::MAX - 1), Some(false));
        assert!(take(&mut receipts, 99).is_none(), "behind the window nothing can be told");
    }
}
