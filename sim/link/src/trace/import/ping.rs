//! `ping -D` of iputils made into a trace.
//!
//! Knows: its lines. Does not know: which way a lost packet was lost; both ways lose it.
//!
//! A line's time is when the answer came; the packet was sent a round trip before. Numbers that
//! never come are losses, as are the lines of `-O` ("no answer yet") and of errors; also those
//! before the first answer and behind the last, of which ping's own count at the end tells. Where
//! that count and the lines are not of one run the file is refused.

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
    let (mut newest, mut begins, mut counted) = (0_u64, false, None);
    for (n, row) in text.lines().enumerate() {
        let line = n.saturating_add(1);
        begins |= row.starts_with("PING ");
        counted = summary(row).map(|told| (line, told)).or(counted);
        if !row.contains("icmp_seq=") || row.contains("(DUP!)") {
            continue;
        }
        let Some(seq) = after(row, "icmp_seq=").and_then(|word| word.parse().ok()) else {
            return Err(ImportError::Line { line, want: "`icmp_seq=` and a number" });
        };
        let seq = turns.unwrap(seq);
        newest = newest.max(seq);
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
    if let Some((line, (sent, received))) = counted {
        // From 1 with iputils, from 0 with busybox; a file may begin in the middle of a run.
        let most = newest.saturating_sub(first.0.min(1)).saturating_add(1);
        let lines = u64::try_from(answers.len()).unwrap_or(u64::MAX);
        if (begins && lines != received) || lines > received || most > sent {
            return Err(ImportError::Line { line, want: "ping's count of the lines above it" });
        }
        newest = newest.max(sent.saturating_sub(1).saturating_add(first.0.min(1)));
    }
    let packets = last.0.saturating_sub(first.0);
    let span = last.1.saturating_sub(first.1).as_micros();
    let every = Micros::from_micros(span.checked_div(packets).unwrap_or(1_000_000));
    samples.every = every;
    // What was sent before the first answer; the trace begins with the first that is known.
    let early = if begins { first.0.saturating_sub(first.0.min(1)) } else { 0 };
    let begin = every.saturating_mul(early);
    for lost in 0..early {
        samples.lost(every.saturating_mul(lost), true, true);
    }
    let mut before = (first.0, begin);
    for (seq, sent, rtt) in answers {
        for lost in 1..seq.saturating_sub(before.0) {
            samples.lost(before.1.saturating_add(every.saturating_mul(lost)), true, true);
        }
        let at = sent.saturating_sub(first.1).saturating_add(begin);
        samples.answered(at, rtt);
        before = (seq, at);
    }
    for lost in 1..=newest.saturating_sub(before.0) {
        samples.lost(before.1.saturating_add(every.saturating_mul(lost)), true, true);
    }
    let notes = "RTT halved; ping does not say on which way a packet was lost: both lose it";
    samples.into_trace("icmp", notes, from)
}

/// Ping's own count: `12 packets transmitted, 11 received`, or `11 packets received`.
fn summary(row: &str) -> Option<(u64, u64)> {
    let (sent, rest) = row.split_once(" packets transmitted, ")?;
    let received = rest.split_whitespace().next()?;
    Some((sent.parse().ok()?, received.parse().ok()?))
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

    /// Goal: what was lost before the first answer and behind the last is in the trace.
    #[test]
    fn what_the_count_at_the_end_says_was_lost_is_lost() {
        let line = |seq: u32| {
            alloc::format!(
                "[179533238{seq}.5] 64 bytes from ::1: icmp_seq={seq} ttl=64 time=1.000 ms\n"
            )
        };
        let text = |sent: u32, received: u32| {
            alloc::format!(
                "PING ::1(::1) 56 data bytes\n{}{}{}\n--- ::1 ping statistics ---\n\
                 {sent} packets transmitted, {received} received, 62.5% packet loss, time 7000ms\n",
                line(3),
                line(4),
                line(6)
            )
        };
        let trace = ping(&text(8, 3), Provenance::default()).unwrap();
        let places = trace.lane(Direction::Up).iter();
        let rows: Vec<(u64, bool)> = places.map(|p| (p.at.as_micros(), p.lost)).collect();
        let second = |n: u64, lost| (n * 1_000_000, lost);
        let expected = [true, true, false, false, true, false, true, true].into_iter().zip(0..);
        assert_eq!(rows, expected.map(|(lost, n)| second(n, lost)).collect::<Vec<_>>());
        // A line is missing in the file, or it is of another run: nothing is made up.
        for (sent, received) in [(8, 4), (8, 2), (5, 3)] {
            let said = ping(&text(sent, received), Provenance::default()).unwrap_err().to_string();
            assert!(said.contains("count"), "{sent} {received}: {said}");
        }
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
