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
pub const SEEN_WORDS: usize = 14;
/// How many numbers, the newest among them, [`ProbeAnswer::seen`] tells of.
pub const SEEN_MAX: u64 = 14 * 64;
/// Words of [`ProbeAnswer::page`].
pub const PAGE_WORDS: usize = 15;
/// How many numbers [`ProbeAnswer::page`] tells of.
pub const PAGE_MAX: u64 = 15 * 64;
/// Words that a robot keeps of one run.
const KEPT_WORDS: usize = 2_048;
/// How many numbers, the newest among them, a robot knows of one run, and tells of page by page.
/// Chosen: 131 s at 1 kHz, as long as the longest hole there is (120 s of rain over a satellite,
/// links.md section 6), and told anew every 137 answers; 16 KiB a run.
pub const KEPT_MAX: u64 = 2_048 * 64;

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
    pub duplicates: u32,
    /// For so long until `received_at` the robot's own threads did not run, as far as they know:
    /// the probe may have come at any time within. Zero where they did. Whole microseconds up to
    /// 2^32.
    ///
    /// A robot's word can excuse what looks bad; it makes nothing look good (`longhand-qualify`).
    pub stalled: Micros,
    /// The largest number that has come.
    pub newest: u64,
    /// Probes that came behind a later one.
    pub reordered: u32,
    /// Bit `i % 64` of word `i / 64`: whether number `newest - i` has come.
    pub seen: [u64; SEEN_WORDS],
    /// The first number that `page` tells of. Each answer carries another page, until all that the
    /// robot knows was told, and then again: so whatever was lost, of whatever length and in
    /// whatever else, its direction is known as soon as answers come again.
    pub page_from: u64,
    /// Bit `i % 64` of word `i / 64`: whether number `page_from + i` has come; those beyond
    /// `newest` have not.
    pub page: [u64; PAGE_WORDS],
}

impl ProbeAnswer {
    /// Whether `number` had come to the robot by then; `None` where this answer does not say.
    pub fn has_come(&self, number: u64) -> Option<bool> {
        let back = self.newest.checked_sub(number)?;
        let told = |words: &[u64], place: u64| {
            let word = words.get(usize::try_from(place / 64).ok()?)?;
            Some(word & bit(place) != 0)
        };
        let on_page = || told(&self.page, number.checked_sub(self.page_from)?);
        told(&self.seen, back).or_else(on_page)
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

/// The bit of a number within its word.
fn bit(number: u64) -> u64 {
    1_u64.checked_shl(u32::try_from(number % 64).unwrap_or(0)).unwrap_or(0)
}

/// What the robot remembers of one run. Fixed in size, whatever is sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    received: u64,
    duplicates: u32,
    newest: u64,
    reordered: u32,
    /// The page that is told next begins here.
    next_page: u64,
    /// Bit `n % 64` of word `n / 64`, round and round: whether number `n` has come, for the newest
    /// [`KEPT_MAX`].
    kept: [u64; KEPT_WORDS],
}

impl Default for Receipts {
    fn default() -> Self {
        Self::new()
    }
}

impl Receipts {
    /// Nothing has come.
    pub const fn new() -> Self {
        let kept = [0; KEPT_WORDS];
        Self { received: 0, duplicates: 0, newest: 0, reordered: 0, next_page: 0, kept }
    }

    /// Takes a probe in: the answer to it, but for `answered_at`, the wall clock and `stalled`;
    /// `None` for one that came before, or that is too far behind to tell.
    pub fn take(&mut self, probe: &Probe, now: Instant<Robot>) -> Option<ProbeAnswer> {
        if probe.number > self.newest {
            self.forget(self.newest.saturating_add(1), probe.number);
            self.newest = probe.number;
        } else if self.is_known(probe.number) {
            self.duplicates = self.duplicates.saturating_add(1);
            return None;
        } else {
            self.reordered = self.reordered.saturating_add(1);
        }
        if let Some(word) = Self::place(probe.number).and_then(|place| self.kept.get_mut(place)) {
            *word |= bit(probe.number);
        }
        self.received = self.received.saturating_add(1);
        let page_from = self.turn_page();
        Some(ProbeAnswer {
            probe: *probe,
            received_at: now,
            answered_at: now,
            wall_offset_us: 0,
            received: self.received,
            duplicates: self.duplicates,
            stalled: Micros::ZERO,
            newest: self.newest,
            reordered: self.reordered,
            seen: self.seen(),
            page_from,
            page: self.page(page_from),
        })
    }

    fn is_known(&self, number: u64) -> bool {
        // Number 0 is no probe's, and what lies behind what is kept cannot be told from a copy.
        let behind = self.newest.saturating_sub(number) >= KEPT_MAX;
        number == 0 || behind || self.word(number) & bit(number) != 0
    }

    /// Where the word of a number is.
    fn place(number: u64) -> Option<usize> {
        usize::try_from(number % KEPT_MAX / 64).ok()
    }

    /// The word that a number is in.
    fn word(&self, number: u64) -> u64 {
        Self::place(number).and_then(|place| self.kept.get(place)).copied().unwrap_or(0)
    }

    /// Makes room for newer numbers, from the one to the other: none of them has come.
    fn forget(&mut self, from: u64, until: u64) {
        if until.saturating_sub(from) >= KEPT_MAX {
            self.kept = [0; KEPT_WORDS];
            return;
        }
        let mut number = from;
        while number <= until {
            let is_whole = number.is_multiple_of(64) && until.saturating_sub(number) >= 63;
            let (gone, step) = if is_whole { (u64::MAX, 64) } else { (bit(number), 1) };
            if let Some(word) = Self::place(number).and_then(|place| self.kept.get_mut(place)) {
                *word &= !gone;
            }
            let Some(next) = number.checked_add(step) else { return };
            number = next;
        }
    }

    /// Whether each of 64 numbers has come, the first of them lowest.
    fn run_from(&self, first: u64) -> u64 {
        let past = u32::try_from(first % 64).unwrap_or(0);
        let low = self.word(first).checked_shr(past).unwrap_or(0);
        let high = self.word(first.saturating_add(63));
        let up = 64_u32.saturating_sub(past);
        // Nothing of the next word where the first is whole: a shift by 64 gives none.
        low | high.checked_shl(up).unwrap_or(0)
    }

    fn seen(&self) -> [u64; SEEN_WORDS] {
        let mut seen = [0; SEEN_WORDS];
        let mut last = Some(self.newest);
        for word in &mut seen {
            let Some(newest) = last else { break };
            // The newest lowest: turned round.
            *word = match newest.checked_sub(63) {
                Some(first) => self.run_from(first).reverse_bits(),
                None => {
                    let short = u32::try_from(63_u64.saturating_sub(newest)).unwrap_or(0);
                    self.word(0).checked_shl(short).unwrap_or(0).reverse_bits()
                }
            };
            last = newest.checked_sub(64);
        }
        seen
    }

    /// Where the page of this answer begins: behind the one before, or, where `seen` goes on from
    /// there, with the oldest that is kept again.
    fn turn_page(&mut self) -> u64 {
        let oldest = self.newest.saturating_sub(KEPT_MAX - 1).div_ceil(64).saturating_mul(64);
        let is_told = self.next_page.saturating_add(SEEN_MAX) > self.newest;
        let from = if is_told { oldest } else { self.next_page.max(oldest) };
        self.next_page = from.saturating_add(PAGE_MAX);
        from
    }

    fn page(&self, from: u64) -> [u64; PAGE_WORDS] {
        let mut page = [0; PAGE_WORDS];
        let mut first = from;
        for word in &mut page {
            let Some(ahead) = self.newest.checked_sub(first) else { break };
            // What is newer than the newest lies where the oldest were.
            let beyond = 63_u64.saturating_sub(ahead);
            let mask = u64::MAX.checked_shr(u32::try_from(beyond).unwrap_or(0)).unwrap_or(0);
            *word = self.word(first) & mask;
            first = first.saturating_add(64);
        }
        page
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
    fn every_number_that_is_kept_is_told_exactly_in_one_round_of_pages() {
        // Every third probe is lost; a hole of 60 s lies in it, and single ones within the hole.
        let mut receipts = Receipts::new();
        let came = |n: u64| !n.is_multiple_of(3) && (!(9_000..69_000).contains(&n) || n % 997 == 5);
        let round = KEPT_MAX.div_ceil(PAGE_MAX) * 3 / 2 + 3;
        let end = 150_000;
        let mut told = std::vec![None; 150_001];
        for n in (1..=end).filter(|n| came(*n)) {
            let answer = take(&mut receipts, n).unwrap();
            assert_eq!(answer.newest, n);
            if n <= end - round {
                continue;
            }
            let page = answer.page_from..answer.page_from + PAGE_MAX;
            for n in page.chain(n + 1 - SEEN_MAX..=n) {
                let Some(told) = told.get_mut(usize::try_from(n).unwrap()) else { continue };
                *told = answer.has_come(n).or(*told);
            }
        }
        for n in end + 64 - KEPT_MAX..=end {
            let told = told[usize::try_from(n).unwrap()];
            assert!(told == Some(came(n)) || n == end && told.is_none(), "{n}: {told:?}");
        }
    }

    #[test]
    fn the_first_answers_tell_of_nothing_that_is_not_yet() {
        let mut receipts = Receipts::new();
        for n in [1, 2, 63, 64, 65, 127, 130] {
            let answer = take(&mut receipts, n).unwrap();
            assert_eq!((answer.page_from, answer.has_come(n)), (0, Some(true)));
            assert_eq!(answer.has_come(n + 1), None);
            assert_eq!(answer.page[2] >> 3, 0, "130 is the newest of all");
        }
        let last = take(&mut receipts, 131).unwrap();
        for n in 1..=131 {
            let came = [1, 2, 63, 64, 65, 127, 130, 131].contains(&n);
            assert_eq!(last.has_come(n), Some(came), "{n}");
            let paged = last.page[usize::try_from(n / 64).unwrap()] & bit(n) != 0;
            assert_eq!(paged, came, "{n}");
        }
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
