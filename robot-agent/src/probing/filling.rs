//! A load inside the session: what fills it up, and what fills it down as it asks.
//!
//! Knows: the bounds. Does not know: what the load does to probes.
//!
//! A load is path probes of the session's own run, in datagrams of the same connection. They tell
//! nothing of the path here (QUIC has it in hand); they only take room. Against abuse: the
//! connection is a certificate's and nobody holds the robot; beyond that as many bytes a second, of
//! all connections together, and a run as the twin answers (`path`). What is more is not answered,
//! and shows as loss. Answers leave only behind what asks for them, so with the console it stops.

use super::path::BYTES_PER_SECOND;
use super::{Measuring, WAITING_MAX};
use longhand_protocol::probe::{PathAnswer, PathProbe};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_protocol::wire;
use std::collections::VecDeque;
use std::sync::PoisonError;

/// Bytes that all loads have answered in this second.
#[derive(Debug, Default)]
pub(super) struct Second {
    begun: Option<Instant<Robot>>,
    bytes: u64,
}

impl Second {
    fn may_answer(&mut self, now: Instant<Robot>, cost: u64) -> bool {
        if self.begun.is_none_or(|begun| now.since(begun) >= Micros::from_secs(1)) {
            *self = Self { begun: Some(now), bytes: 0 };
        }
        let after = self.bytes.saturating_add(cost);
        let may = after <= BYTES_PER_SECOND;
        if may {
            self.bytes = after;
        }
        may
    }
}

/// Answers that one connection owes: each to one question, as many as it asked for.
#[derive(Debug, Default)]
pub(super) struct Filling {
    owed: VecDeque<(PathProbe, PathAnswer)>,
}

impl Measuring {
    /// Takes a datagram, if it is part of a load of this run.
    pub(super) fn fill(&mut self, now: Instant<Robot>, run: u64, bytes: &[u8]) -> bool {
        let Ok(probe) = wire::decode_path_probe(bytes) else { return false };
        if probe.run != run {
            return false;
        }
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let counted = self.with_mine(run, |mine| mine.filled.take(len));
        let Some(counted) = counted else { return false };
        // Nothing is kept back inside a session: it has no silence to try.
        if probe.answers > 0 && self.filling.owed.len() < WAITING_MAX {
            let answer = PathAnswer {
                run,
                number: probe.number,
                sent_at: probe.sent_at,
                received_at: now,
                bytes_seen: len,
                came: counted.came,
                came_bytes: counted.bytes,
                ..PathAnswer::default()
            };
            self.filling.owed.push_back((probe, answer));
        }
        true
    }

    /// The next answer to a load, written; its length in bytes.
    pub(super) fn fill_back(&mut self, now: Instant<Robot>, buf: &mut [u8]) -> Option<usize> {
        let run = self.run?;
        let (probe, answer) = *self.filling.owed.front()?;
        let len = usize::from(probe.answer_bytes).max(wire::PATH_ANSWER_LEN).min(buf.len());
        let cost = u64::try_from(len).unwrap_or(u64::MAX);
        let second = &self.runs.filled;
        let this_second =
            second.lock().unwrap_or_else(PoisonError::into_inner).may_answer(now, cost);
        let allowed = self.with_mine(run, |mine| this_second && mine.filled.may_answer(cost));
        if allowed != Some(true) {
            self.filling.owed.clear();
            return None;
        }
        let next = answer.index.saturating_add(1);
        if next >= probe.answers {
            self.filling.owed.pop_front();
        } else if let Some((_, front)) = self.filling.owed.front_mut() {
            front.index = next;
        }
        let head = wire::encode_path_answer(&answer);
        wire::with_fill(&head, len, buf).map(<[u8]>::len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Runs;
    use super::super::path::BYTES_PER_RUN;
    use super::super::tests::engineer;
    use super::*;
    use std::net::SocketAddr;

    const DATAGRAM: usize = 1_100;

    fn ann(runs: &Runs) -> Measuring {
        let mut ann =
            Measuring::new(runs.clone(), &engineer(), SocketAddr::from(([10, 0, 0, 2], 9)));
        let _ready = ann.begin(7);
        ann
    }

    fn asked(answers: u8, answer_bytes: u16) -> PathProbe {
        PathProbe { run: 7, number: 3, answers, answer_bytes, ..PathProbe::default() }
    }

    fn filled(probe: &PathProbe, len: usize) -> Vec<u8> {
        let mut bytes = wire::encode_path_probe(probe).to_vec();
        bytes.resize(len.max(bytes.len()), 0);
        bytes
    }

    fn at(seconds: u64) -> Instant<Robot> {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// Everything that is owed; its bytes.
    fn drained(ann: &mut Measuring, now: Instant<Robot>) -> usize {
        let mut buf = [0; DATAGRAM];
        std::iter::from_fn(|| ann.answer(now, &mut buf)).sum()
    }

    #[test]
    fn a_load_is_counted_and_answered_as_it_asks_behind_the_probes() {
        let mut ann = ann(&Runs::default());
        assert!(ann.take(at(1), &filled(&asked(0, 0), DATAGRAM)));
        assert!(ann.take(at(1), &filled(&asked(2, 1_100), 44)));
        let probe = longhand_protocol::probe::Probe { run: 7, number: 1, ..Default::default() };
        assert!(ann.take(at(1), &wire::encode_probe(&probe)));
        let mut buf = [0; DATAGRAM];
        assert_eq!(ann.answer(at(1), &mut buf), Some(wire::PROBE_ANSWER_LEN), "the probe's first");
        for index in 0..2 {
            assert_eq!(ann.answer(at(1), &mut buf), Some(DATAGRAM));
            let answer = wire::decode_path_answer(&buf).unwrap();
            assert_eq!((answer.index, answer.came, answer.came_bytes), (index, 2, 1_144));
        }
        assert_eq!(ann.answer(at(1), &mut buf), None);
        // The twin's run and a stranger's are not this connection's.
        assert!(!ann.take(at(1), &filled(&PathProbe { run: !7, ..asked(1, 0) }, 44)));
        ann.end(None);
        assert!(!ann.take(at(1), &filled(&asked(1, 0), 44)), "no run, no load");
    }

    #[test]
    fn all_loads_together_get_no_more_than_their_second_and_a_run_no_more_than_its_bound() {
        let runs = Runs::default();
        let (mut ann, mut again) = (ann(&runs), ann(&runs));
        let mut bytes = 0;
        for _ in 0..1_000 {
            for one in [&mut ann, &mut again] {
                assert!(one.take(at(1), &filled(&asked(8, 1_100), 44)));
                bytes += u64::try_from(drained(one, at(1))).unwrap();
            }
        }
        assert!(bytes <= BYTES_PER_SECOND && bytes > BYTES_PER_SECOND - 2_200, "{bytes}");
        let _spent = ann.with_mine(7, |mine| mine.filled.answered_bytes = BYTES_PER_RUN - 1_500);
        assert!(ann.take(at(2), &filled(&asked(8, 1_100), 44)));
        assert_eq!(drained(&mut ann, at(2)), DATAGRAM, "a new second, but the run is spent");
        // What is owed has a bound, too.
        for _ in 0..1_000 {
            assert!(ann.take(at(3), &filled(&asked(1, 0), 44)));
        }
        assert_eq!(ann.filling.owed.len(), WAITING_MAX);
    }
}
