//! `ping -D` of iputils made into a trace.
//!
//! Knows: its lines. Does not know: which way a lost packet was lost; both ways lose it.
//!
//! A line's time is when the answer came; the packet was sent a round trip before. Numbers that
//! never come are losses, as are the lines of `-O` ("no answer yet") and of errors.

use alloc::vec::Vec;

use longhand_protocol::units::Micros;

use super::{ImportError, Provenance, Samples};
use crate::trace::Trace;

/// The sequence number on the wire has 16 bits.
const SEQUENCES: u64 = 65_536;

/// `ping -D HOST`: `[SECONDS] N bytes from HOST: icmp_seq=N ttl=T time=X ms`, halved.
///
/// Errors: [`ImportError`] with the line.
pub fn ping(text: &str, from: Provenance) -> Result<Trace, ImportError> {
    let mut samples = Samples::default();
    let mut answers: Vec<(u64, Micros, Micros)> = Vec::new();
    let mut turns = Turns::default();
    for (n, row) in text.lines().enumerate() {
        let line = n.saturating_add(1);
        if !row.contains("icmp_seq=") || row.contains("(DUP!)") {
            continue;
        }
        let Some(seq) = after(row, "icmp_seq=").and_then(|word| word.parse().ok()) else {
            return Err(ImportError::Line { line, want: "`icmp_seq=` and a number" });
        };
        let seq = turns.unwrap(seq);
        let Some(rtt_ms) = after(row, "time=") else { continue };
        let want = "`[SECONDS] N bytes from HOST: icmp_seq=N ttl=T time=X ms`; run ping with -D";
        let came = row.strip_prefix('[').and_then(|row| row.split(']').next());
        let came = came.and_then(|word| word.parse::<f64>().ok());
        let (Some(came), Ok(rtt_ms)) = (came, rtt_ms.parse::<f64>()) else {
            return Err(ImportError::Line { line, want });
        };
        let rtt = Micros::from_secs_f64(rtt_ms * 1e-3);
        answers.push((seq, Micros::from_secs_f64(came).saturating_sub(rtt), rtt));
    }
    answers.sort_unstable();
    answers.dedup_by_key(|answer| answer.0);
    let (Some(first), Some(last)) = (answers.first().copied(), answers.last().copied()) else {
        return Err(ImportError::Empty);
    };
    let packets = last.0.saturating_sub(first.0);
    let span = last.1.saturating_sub(first.1).as_micros();
    let every = Micros::from_micros(span.checked_div(packets).unwrap_or(1_000_000));
    samples.every = every;
    let mut before = (first.0, Micros::ZERO);
    for (seq, sent, rtt) in answers {
        for lost in 1..seq.saturating_sub(before.0) {
            samples.lost(before.1.saturating_add(every.saturating_mul(lost)), true, true);
        }
        let at = sent.saturating_sub(first.1);
        samples.answered(at, rtt);
        before = (seq, at);
    }
    let notes = "RTT halved; ping does not say on which way a packet was lost: both lose it";
    samples.into_trace("icmp", notes, from)
}

/// The word behind `key`, up to a blank.
fn after<'a>(row: &'a str, key: &str) -> Option<&'a str> {
    row.split(key).nth(1)?.split_whitespace().next()
}

/// Sequence numbers that began again at zero.
#[derive(Default)]
struct Turns {
    newest: u64,
}

impl Turns {
    /// The number that `seq` is in a count that does not begin again: the nearest to the newest.
    fn unwrap(&mut self, seq: u64) -> u64 {
        let turn = self.newest / SEQUENCES;
        let candidates = [turn.saturating_sub(1), turn, turn.saturating_add(1)];
        let numbers = candidates.map(|turn| turn.saturating_mul(SEQUENCES).saturating_add(seq));
        let near = numbers.into_iter().min_by_key(|number| number.abs_diff(self.newest));
        let found = near.unwrap_or(seq);
        self.newest = self.newest.max(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Direction;
    use alloc::string::ToString;

    /// Lines of iputils 20221126, `ping -D -O`; the second answer never came.
    const LINES: &str = "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
        [1795332379.769686] 64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.028 ms\n\
        [1795332380.769000] no answer yet for icmp_seq=2\n\
        [1795332381.770017] 64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=0.359 ms\n\
        \n--- 127.0.0.1 ping statistics ---\n";

    #[test]
    fn a_number_that_never_came_is_lost_both_ways() {
        let trace = ping(LINES, Provenance::default()).unwrap();
        for direction in Direction::BOTH {
            let places = trace.lane(direction).iter();
            let rows: Vec<(u64, u64, bool)> =
                places.map(|p| (p.at.as_micros(), p.owd.as_micros(), p.lost)).collect();
            assert_eq!(rows, [(0, 14, false), (1_000_000, 14, true), (2_000_000, 179, false)]);
        }
        assert_eq!(trace.header().sampling_us, 1_000_000);
    }

    #[test]
    fn numbers_begin_again_at_zero() {
        let mut turns = Turns::default();
        let got: Vec<u64> = [65_534, 65_535, 0, 65_533, 1].map(|seq| turns.unwrap(seq)).into();
        assert_eq!(got, [65_534, 65_535, 65_536, 65_533, 65_537]);
    }

    #[test]
    fn ping_without_d_is_told_to_use_it() {
        let text = "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.028 ms\n";
        let said = ping(text, Provenance::default()).unwrap_err().to_string();
        assert!(said.starts_with("line 1") && said.contains("with -D"), "{said}");
        let said = ping("PING\n", Provenance::default()).unwrap_err().to_string();
        assert!(said.contains("no answer"), "{said}");
    }
}
