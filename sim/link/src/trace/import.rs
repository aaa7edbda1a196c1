//! Public data sets made into traces.
//!
//! Knows: the text of CICV5G and LeoCC files, of what `ping -D` and irtt print and of Mahimahi's
//! traces, and what has to be done to them. Does not know: files; the caller reads, hashes, names.
//!
//! All sample more coarsely than a command stream (10 to 1000 ms against 1 ms): a trace gives
//! the envelope; what happens between two samples is a straight line or a step, not jitter.

mod irtt;
mod mahimahi;
mod ping;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use longhand_protocol::units::Micros;

use super::{
    FORMAT, Header, Interpolation, Kind, LossSemantics, Place, RttSplit, TimeBase, Trace,
    TraceError,
};

pub use irtt::irtt;
pub use mahimahi::{NoRate, beside_mahimahi, mahimahi, to_mahimahi};
pub use ping::ping;

/// A round trip above this is not late, it is lost (or held).
///
/// Source: links.md section 4 and PROVENANCE.md: CICV5G behaves like a reliable transport, and its
/// samples at 200 to 280 ms look like retransmissions.
pub const LATE_AFTER: Micros = Micros::from_millis(150);

/// How long a loss seen in one sample lasts.
///
/// Chosen: the mean bad spell of `city-5g-sa` (20 ms). One sample in 55 ms says that a packet was
/// lost, not for how long.
pub const LOST_FOR: Micros = Micros::from_millis(20);

/// A hold seen twice is one hold where the arrivals agree this closely.
///
/// Chosen: 20 ms, above the jitter of the flush (the p95 of the quiet samples is under 10 ms).
const SAME_FLUSH: Micros = Micros::from_millis(20);

/// Rows further apart than this have a gap between them. Chosen: three samples of CICV5G (55 ms).
const GAP_AFTER: Micros = Micros::from_millis(165);

/// Which column of CICV5G names the cell, counted from zero.
const CELL_COLUMN: usize = 7;

/// What the file cannot say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Where the data come from.
    pub source: String,
    /// Under which licence.
    pub licence: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// What CICV5G samples above [`LATE_AFTER`] become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Losses of [`LOST_FOR`] (every file but the rural ones).
    Lost,
    /// Outages that hold and flush (the rural files: the delays fall as fast as time passes, so all
    /// arrive at once). Held on the way up alone: answers came back while newer packets were still
    /// held. No flag says so; the delay itself falls in a straight line to its common arrival.
    Held,
}

/// A data set cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// A line does not have the columns of the data set.
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// The JSON cannot be read.
    Json {
        /// The line, counted from 1.
        line: usize,
        /// What the reader said.
        why: String,
    },
    /// A round trip of irtt is not one.
    RoundTrip {
        /// Its number.
        seqno: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Nothing came back in the whole file.
    Empty,
    /// What came out is not a trace.
    Trace(TraceError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, want } => write!(f, "line {line} must be {want}"),
            Self::Json { line, why } => {
                write!(f, "line {line} is not what `irtt client -o` writes: {why}")
            }
            Self::RoundTrip { seqno, what } => write!(f, "round trip {seqno}: {what}"),
            Self::Empty => write!(f, "there is no answer and no opportunity in the whole file"),
            Self::Trace(why) => write!(f, "the converted rows are no trace: {why}"),
        }
    }
}

impl core::error::Error for ImportError {}

/// CICV5G: columns `pub_time(ms) sub_time(ms) delay(ms) ...`, a round trip, halved.
///
/// Errors: [`ImportError`] with the line.
pub fn cicv5g(text: &str, late: Late, from: Provenance) -> Result<Trace, ImportError> {
    let want = "`pub_time(ms) sub_time(ms) delay(ms) ...` in whole milliseconds";
    let mut samples: Vec<(u64, u64, bool)> = Vec::new();
    let mut cell = None;
    for (n, row) in text.lines().enumerate().skip(1) {
        if row.trim().is_empty() {
            continue;
        }
        let cell_before = cell;
        cell = row.split_whitespace().nth(CELL_COLUMN);
        let handover = cell_before.is_some() && cell != cell_before;
        let mut numbers = row.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(sent)), Some(Ok(_)), Some(Ok(delay))) => samples.push((sent, delay, handover)),
            _ => return Err(ImportError::Line { line: n.saturating_add(1), want }),
        }
    }
    let first = samples.first().map_or(0, |sample| sample.0);
    let mut lanes = Lanes::default();
    for (sent_ms, rtt_ms, handover) in samples {
        lanes.handover = handover;
        let at = Micros::from_millis(sent_ms.saturating_sub(first));
        let rtt = Micros::from_millis(rtt_ms);
        match late {
            Late::Lost => lanes.sample_or_loss(at, rtt),
            Late::Held => lanes.sample_or_hold(at, rtt),
        }
    }
    let notes = match late {
        Late::Lost => "RTT halved; RTT over 150 ms taken as a loss of 20 ms, not as late",
        Late::Held => {
            "RTT halved; RTT over 150 ms taken as held on the way up, then flushed: all arrive \
             at once"
        }
    };
    let sampling = Micros::from_millis(55);
    let header = Header {
        loss_semantics: LossSemantics::AsLate,
        rtt_split: Some(RttSplit::Half),
        interpolation: Interpolation::Linear,
        probe: String::from("tcp-like"),
        notes: String::from(notes),
        ..header(sampling, lanes.end(sampling), from)
    };
    Trace::new(header, lanes.up, lanes.down).map_err(ImportError::Trace)
}

/// LeoCC: one one-way delay in milliseconds a line, one line each 10 ms; used for both directions.
///
/// Errors: [`ImportError`] with the line.
pub fn leocc(text: &str, from: Provenance) -> Result<Trace, ImportError> {
    let want = "one delay in whole milliseconds";
    let every = Micros::from_millis(10);
    let mut lanes = Lanes::default();
    let mut at = Micros::ZERO;
    for (n, row) in text.lines().enumerate() {
        let Ok(delay) = row.trim().parse() else {
            return Err(ImportError::Line { line: n.saturating_add(1), want });
        };
        let given = Micros::from_millis(delay);
        if lanes.up.last().is_none_or(|before| before.given != given) {
            lanes.put(Place { at, given, ..Place::default() });
        }
        at = at.saturating_add(every);
    }
    let header = Header {
        loss_semantics: LossSemantics::None,
        interpolation: Interpolation::Step,
        probe: String::from("udp"),
        notes: String::from("one delay series, used both ways; rows without change left out"),
        ..header(every, at, from)
    };
    Trace::new(header, lanes.up, lanes.down).map_err(ImportError::Trace)
}

fn header(sampling: Micros, seam: Micros, from: Provenance) -> Header {
    Header {
        format: String::from(FORMAT),
        kind: Kind::Owd,
        time_base: TimeBase::RelativeUs,
        dirs: String::from("ud"),
        sampling_us: sampling.as_micros(),
        loss_semantics: LossSemantics::None,
        rtt_split: None,
        interpolation: Interpolation::Step,
        loop_us: Some(seam.as_micros()),
        clock_uncertainty_us: None,
        clipped_at_us: None,
        probe: String::new(),
        source: from.source,
        licence: from.licence,
        sha256_source: from.sha256,
        notes: String::new(),
    }
}

/// Round trips at an even pace, and losses whose way may be known.
#[derive(Default)]
struct Samples {
    /// The usual distance of two.
    every: Micros,
    up: Vec<Place>,
    down: Vec<Place>,
}

impl Samples {
    fn answered(&mut self, at: Micros, rtt: Micros) {
        self.put(at, Place { given: rtt, ..Place::default() }, (false, false));
    }

    fn lost(&mut self, at: Micros, up: bool, down: bool) {
        // What it would have taken nobody knows: as the one before.
        let given = self.up.last().map_or(Micros::ZERO, |before| before.given);
        self.put(at, Place { given, ..Place::default() }, (up, down));
    }

    fn put(&mut self, at: Micros, place: Place, (up, down): (bool, bool)) {
        let before = self.up.last().map(|before| (before.at, before.given));
        let after = |span: u64| self.every.saturating_mul(span);
        if before.is_some_and(|(before, _)| at <= before) {
            return;
        }
        if let Some((before, given)) = before.filter(|b| at.saturating_sub(b.0) > after(3)) {
            let gap =
                Place { at: before.saturating_add(after(1)), given, gap: true, ..Place::default() };
            self.up.push(gap.clone());
            self.down.push(gap);
        }
        self.up.push(Place { at, lost: up, ..place.clone() });
        self.down.push(Place { at, lost: down, ..place });
    }

    /// The trace: each way half of the round trip, and the end a seam.
    fn into_trace(self, probe: &str, notes: &str, from: Provenance) -> Result<Trace, ImportError> {
        let Some(last) = self.up.last().map(|place| place.at) else {
            return Err(ImportError::Empty);
        };
        let header = Header {
            kind: Kind::Rtt,
            loss_semantics: LossSemantics::Explicit,
            rtt_split: Some(RttSplit::Half),
            probe: String::from(probe),
            notes: String::from(notes),
            ..header(self.every, last.saturating_add(self.every), from)
        };
        Trace::new(header, self.up, self.down).map_err(ImportError::Trace)
    }
}

/// The places under construction; both directions get the same, but for what is held.
#[derive(Default)]
struct Lanes {
    up: Vec<Place>,
    down: Vec<Place>,
    quiet_rtt: Micros,
    flush_at: Option<Micros>,
    last_sample: Option<Micros>,
    handover: bool,
}

impl Lanes {
    /// Adds a place both ways; one that is not later than the last is left out, for times must
    /// rise.
    fn put(&mut self, mut place: Place) {
        place.handover = core::mem::take(&mut self.handover);
        if self.down.last().is_none_or(|before| before.at < place.at) {
            self.down.push(place.clone());
        }
        self.put_up(place);
    }

    fn put_up(&mut self, place: Place) {
        if self.up.last().is_none_or(|before| before.at < place.at) {
            self.up.push(place);
        }
    }

    fn gap_before(&mut self, at: Micros) {
        let before = self.last_sample.replace(at);
        let Some(before) = before.filter(|b| at.saturating_sub(*b) > GAP_AFTER) else { return };
        let given = half(self.quiet_rtt);
        let from = before.saturating_add(GAP_AFTER);
        self.put(Place { at: from, given, gap: true, ..Place::default() });
    }

    fn sample_or_loss(&mut self, at: Micros, rtt: Micros) {
        self.gap_before(at);
        if rtt <= LATE_AFTER {
            self.quiet_rtt = rtt;
            self.put(Place { at, given: half(rtt), ..Place::default() });
            return;
        }
        let given = half(self.quiet_rtt);
        self.put(Place { at, given, lost: true, ..Place::default() });
        self.put(Place { at: at.saturating_add(LOST_FOR), given, ..Place::default() });
    }

    fn sample_or_hold(&mut self, at: Micros, rtt: Micros) {
        if rtt <= LATE_AFTER {
            self.flush_at = None;
            self.sample_or_loss(at, rtt);
            return;
        }
        self.gap_before(at);
        let answer = half(self.quiet_rtt);
        let arrives = at.saturating_add(rtt);
        let same = |flush: Micros| arrives <= flush.saturating_add(SAME_FLUSH);
        if !self.flush_at.is_some_and(same) {
            // A new hold begins here: until just before, the delay goes on as it was.
            let before = at.saturating_sub(Micros::from_micros(1));
            let on = self.flush_at.map(|flush| flush.saturating_sub(before).saturating_sub(answer));
            let known = self.up.last().map_or(answer, |place| place.given);
            let given = on.unwrap_or(known);
            self.put_up(Place { at: before, given, ..Place::default() });
        }
        self.put_up(Place { at, given: rtt.saturating_sub(answer), ..Place::default() });
        self.flush_at = Some(arrives);
    }

    /// One sample behind the last place.
    fn end(&self, sampling: Micros) -> Micros {
        let last = |lane: &[Place]| lane.last().map_or(Micros::ZERO, |place| place.at);
        last(&self.up).max(last(&self.down)).saturating_add(sampling)
    }
}

fn half(rtt: Micros) -> Micros {
    Micros::from_micros(rtt.as_micros() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Direction;

    #[test]
    fn late_samples_are_short_losses() {
        let text = "head\n1000 1020 20\n1055 1300 245\n1110 1128 18\n";
        let trace = cicv5g(text, Late::Lost, Provenance::default()).unwrap();
        let up: Vec<(u64, bool)> =
            trace.lane(Direction::Up).iter().map(|p| (p.at.as_micros(), p.lost)).collect();
        assert_eq!(up, [(0, false), (55_000, true), (75_000, false), (110_000, false)]);
        assert_eq!(trace.header().loop_us, Some(165_000));
    }

    #[test]
    fn a_falling_tooth_is_held_up_to_its_common_arrival() {
        let text = "head\n0 20 20\n55 421 366\n110 421 311\n270 421 151\n425 450 25\n480 500 20\n";
        let trace = cicv5g(text, Late::Held, Provenance::default()).unwrap();
        let rows = |direction| -> Vec<(u64, u64)> {
            let places = trace.lane(direction).iter();
            places.map(|p| (p.at.as_micros(), p.owd.as_micros())).collect()
        };
        // 421 ms less the 10 ms of the answer: whatever is sent from 55 on arrives at 411.
        let tooth = [(54_999, 10_000), (55_000, 356_000), (110_000, 301_000)];
        assert_eq!(rows(Direction::Up)[1..4], tooth);
        assert_eq!(rows(Direction::Down), [(0, 10_000), (425_000, 12_500), (480_000, 10_000)]);
    }

    #[test]
    fn unchanged_lines_make_no_rows() {
        let trace = leocc("12\n12\n13\n12\n", Provenance::default()).unwrap();
        let at: Vec<u64> = trace.lane(Direction::Down).iter().map(|p| p.at.as_micros()).collect();
        assert_eq!(at, [0, 20_000, 30_000]);
        assert_eq!(trace.header().loop_us, Some(40_000));
        assert!(leocc("12\nx\n", Provenance::default()).is_err());
    }
}
