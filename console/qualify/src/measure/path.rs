//! What the path itself does: marks that it takes off, the longest datagram that it passes, the
//! address that it shows, how long it remembers who was silent.
//!
//! Knows: what was sent and what came of it. Does not know: sockets; the console asks and fills in.

use serde::{Deserialize, Serialize};

use super::outage::Way;

/// What was found of the path, on plain UDP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathFound {
    /// What became of each mark, each way.
    pub marks: Vec<Mark>,
    /// The longest datagram to the robot; `null`: not even the shortest tried was answered.
    pub mtu_up: Option<Mtu>,
    /// To the surgeon.
    pub mtu_down: Option<Mtu>,
    /// This console's address as the robot sees it, from when on. More than one: a NAT on the way
    /// gave another, and what was on its way to the old one was lost.
    pub sources: Vec<Source>,
    /// How long a silent console can still be reached; `null`: not asked (`--idle-probe`).
    pub idle: Option<Idle>,
}

/// One traffic class one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Which way.
    pub way: Way,
    /// DSCP as it was sent, 0 to 63.
    pub dscp: u8,
    /// ECN as it was sent: 0 not capable, 2 ECT(0), 1 ECT(1), 3 congestion.
    pub ecn: u8,
    /// Sent so.
    pub sent: u64,
    /// Of those came.
    pub came: u64,
    /// How they came: the whole byte (DSCP times four, plus ECN), and how many.
    pub seen: Vec<(u8, u64)>,
    /// What the path does to it.
    pub fate: MarkFate,
}

/// What a path does to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkFate {
    /// DSCP and ECN came as they were sent.
    Kept,
    /// DSCP was set to nothing, ECN was kept.
    DscpBleached,
    /// DSCP came as something else, ECN was kept.
    DscpChanged,
    /// ECN came as something else, DSCP was kept. ECT that came as congestion is no change: it is
    /// what ECN is for.
    EcnChanged,
    /// Both came as something else.
    BothChanged,
    /// Nothing that was sent so came, and what was sent without a mark did.
    Dropped,
    /// Too little came to say, or a system does not tell marks.
    Unknown,
}

impl Mark {
    /// Of so many sent, what came; `plain_came`: whether unmarked ones came meanwhile.
    pub fn of(way: Way, mark: u8, sent: u64, came: &[Option<u8>], plain_came: bool) -> Self {
        let mut seen: Vec<(u8, u64)> = Vec::new();
        for byte in came.iter().flatten() {
            match seen.iter_mut().find(|(known, _)| known == byte) {
                Some((_, count)) => *count += 1,
                None => seen.push((*byte, 1)),
            }
        }
        seen.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
        let most = seen.first().map(|(byte, _)| *byte);
        let fate = match most {
            None if came.is_empty() && plain_came => MarkFate::Dropped,
            None => MarkFate::Unknown,
            Some(got) => fate(mark, got),
        };
        let came = u64::try_from(came.len()).unwrap_or(u64::MAX);
        Self { way, dscp: mark >> 2, ecn: mark & 3, sent, came, seen, fate }
    }
}

const fn fate(sent: u8, got: u8) -> MarkFate {
    let congestion = sent & 3 != 0 && got & 3 == 3;
    let ecn = sent & 3 == got & 3 || congestion;
    match (sent >> 2 == got >> 2, ecn) {
        (true, true) => MarkFate::Kept,
        (true, false) => MarkFate::EcnChanged,
        (false, false) => MarkFate::BothChanged,
        (false, true) if got >> 2 == 0 => MarkFate::DscpBleached,
        (false, true) => MarkFate::DscpChanged,
    }
}

/// The longest datagram one way: IP packet, bytes, header and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mtu {
    /// This long passes.
    pub passes: u16,
    /// This long does not; `null`: nothing tried was too long.
    pub fails: Option<u16>,
}

/// An address, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// From the beginning, s.
    pub at_s: f64,
    /// As the robot sees it.
    pub address: String,
    /// As this console's system sees it: the same where there is no NAT, but for a local address
    /// that was left open.
    pub local_port: u16,
}

/// How long silence may last until an answer finds no way back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Each silence tried, s, and whether the answer behind it came.
    pub tried: Vec<(f64, bool)>,
    /// The longest that was borne, s; 0: none.
    pub bears_s: f64,
    /// The shortest above it that was not, s; `null`: all tried were borne.
    pub forgets_s: Option<f64>,
}

impl Idle {
    /// Of what was tried.
    pub fn of(tried: Vec<(f64, bool)>) -> Self {
        let came = tried.iter().filter(|(_, came)| *came).map(|(s, _)| *s);
        let bears_s = came.fold(0.0, f64::max);
        let lost = tried.iter().filter(|(s, came)| !*came && *s > bears_s).map(|(s, _)| *s);
        let forgets_s = lost.reduce(f64::min);
        Self { tried, bears_s, forgets_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_can_become_of_a_mark_has_its_name() {
        let of = |sent, came: &[Option<u8>]| Mark::of(Way::Up, sent, 20, came, true).fate;
        assert_eq!(of(0xba, &[Some(0xba), Some(0xbb)]), MarkFate::Kept);
        assert_eq!(of(0xba, &[Some(0xbb)]), MarkFate::Kept, "congestion is news, not a change");
        assert_eq!(of(0xba, &[Some(0x02)]), MarkFate::DscpBleached);
        assert_eq!(of(0xba, &[Some(0x22)]), MarkFate::DscpChanged);
        assert_eq!(of(0xba, &[Some(0xb8)]), MarkFate::EcnChanged);
        assert_eq!(of(0xba, &[Some(0x00)]), MarkFate::BothChanged);
        assert_eq!(of(0x03, &[Some(0x00)]), MarkFate::EcnChanged);
        assert_eq!(of(0xba, &[]), MarkFate::Dropped);
        assert_eq!(of(0xba, &[None]), MarkFate::Unknown);
        let nothing_came = Mark::of(Way::Up, 0xba, 20, &[], false);
        assert_eq!(nothing_came.fate, MarkFate::Unknown);
        // What most came as counts: a stray is no rule.
        let two = Mark::of(Way::Down, 0xba, 20, &[Some(2), Some(0xba), Some(2)], true);
        assert_eq!((two.fate, &two.seen[..]), (MarkFate::DscpBleached, &[(2, 2), (0xba, 1)][..]));
    }

    #[test]
    fn the_longest_silence_borne_and_the_next_that_was_not() {
        let tried = vec![(10.0, true), (20.0, false), (30.0, true), (60.0, false), (90.0, false)];
        let idle = Idle::of(tried);
        // 20 s was a lost answer: 30 s came.
        assert!((idle.bears_s - 30.0).abs() < 1e-9);
        assert_eq!(idle.forgets_s, Some(60.0));
        assert_eq!(Idle::of(vec![(10.0, true)]).forgets_s, None);
    }
}
