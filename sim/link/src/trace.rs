//! Link traces, version 1: recordings of a real link, and how they are read.
//!
//! Knows: the header, the rows of each direction, and what they mean in time. Does not know: how a
//! packet passes (`emulator`), or files (text comes in, text goes out).
//!
//! The meaning, which every reader and writer shares:
//! - A trace is indexed by time, never by packet. A row holds from its time to the next row's.
//! - Delay between two rows is a step or a straight line, as the header declares.
//! - Deliveries keep their order unless `route_id` changes.
//! - A gap is never bridged: packets in it are dropped and counted as `trace_gap`. So is a
//!   direction without rows, and any time before the first row.
//! - It loops only at the seam the header declares (`loop_us`); without one it ends, and what comes
//!   after is dropped and counted as `trace_ended`.
//! - `outage_hold` keeps packets until the first row without it, then lets them go in order.
//! - `rate_bps` and `queue_bytes`, where given, act first; the delay comes behind them.

mod csv;
pub mod histogram;
pub mod import;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use longhand_protocol::units::Micros;
use serde::{Deserialize, Serialize};

use crate::profile::Direction;

/// The word in every header; a reader refuses another.
pub const FORMAT: &str = "longhand-link-trace-1";

/// The longest delay a row may state. Chosen: 1 h; the longest seen in any data here is 34 s.
pub const OWD_MAX: Micros = Micros::from_secs(3_600);

/// The first line of a trace, after `#`: one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// What the delay column holds.
    pub kind: Kind,
    /// What the time column holds; a parsed trace is always relative.
    pub time_base: TimeBase,
    /// Which directions have rows: "u", "d" or "ud".
    pub dirs: String,
    /// The usual distance between two samples of the source, microseconds.
    pub sampling_us: u64,
    /// How the source showed losses.
    pub loss_semantics: LossSemantics,
    /// How a round trip became two directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_split: Option<RttSplit>,
    /// What the delay does between two rows.
    pub interpolation: Interpolation,
    /// The seam: after this the trace starts again. Absent: it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loop_us: Option<u64>,
    /// How far off the clocks of the source may have been, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_uncertainty_us: Option<u64>,
    /// Delays above this were cut off by the source, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped_at_us: Option<u64>,
    /// What was sent to measure: udp, quic, icmp, tcp-like.
    pub probe: String,
    /// Where the data come from.
    pub source: String,
    /// Under which licence.
    pub licence: String,
    /// SHA-256 of the source file, hexadecimal; empty where there was none.
    #[serde(default)]
    pub sha256_source: String,
    /// What the conversion did, for people.
    #[serde(default)]
    pub notes: String,
}

/// What the delay column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One-way delay.
    Owd,
    /// Round trip; `rtt_split` must be "half", and each direction gets half of it.
    Rtt,
    /// None: only the rate counts.
    Capacity,
    /// None: only the flags count.
    State,
}

/// What the time column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBase {
    /// Microseconds since the start.
    RelativeUs,
    /// Nanoseconds since 1970.
    UnixNs,
}

/// How a source shows losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSemantics {
    /// Lost packets are marked.
    Explicit,
    /// Lost packets were sent again by the source and showed up late.
    AsLate,
    /// It does not.
    None,
}

/// How a round trip became two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RttSplit {
    /// Half each.
    Half,
    /// The source knew.
    Given,
}

/// What the delay does between two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// It stays.
    Step,
    /// It moves in a straight line; not into or out of a gap or an outage, or onto another route.
    Linear,
}

/// What one direction does from `at` to the next place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Since the start of the trace.
    pub at: Micros,
    /// The value of the delay column: one way or round trip, as the header says.
    pub given: Micros,
    /// The one-way delay it means.
    pub owd: Micros,
    /// Packets are lost.
    pub lost: bool,
    /// Packets arrive twice.
    pub dup: bool,
    /// Bits per second of the narrowest place; `None` is no limit.
    pub rate_bps: Option<u64>,
    /// What its queue holds; `None` is no limit.
    pub queue_bytes: Option<u64>,
    /// Which route; order is kept within one.
    pub route_id: u32,
    /// An outage that holds.
    pub outage_hold: bool,
    /// An outage that drops.
    pub outage_drop: bool,
    /// A change of cell, for people.
    pub handover: bool,
    /// A change of satellite, for people.
    pub rebase: bool,
    /// No data.
    pub gap: bool,
    /// When the hold ends; worked out from the places behind.
    pub held_until: Option<Micros>,
}

impl Place {
    /// True where the delay may run in a straight line from `before` to here.
    pub(crate) const fn joins(&self, before: &Self) -> bool {
        let plain = !self.gap && !self.outage_hold && !self.outage_drop;
        let plain_before = !before.gap && !before.outage_hold && !before.outage_drop;
        plain && plain_before && self.route_id == before.route_id
    }

    /// The same in all that a row can say, but for its time.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let mut copy = other.clone();
        copy.at = self.at;
        copy.held_until = self.held_until;
        copy == *self
    }
}

/// A recording of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    header: Header,
    up: Vec<Place>,
    down: Vec<Place>,
}

impl Trace {
    /// A trace from its header and the places of each direction.
    ///
    /// Errors: [`TraceError`] (line 0) where times do not rise, a delay is over [`OWD_MAX`], or the
    /// seam lies before the last place. `owd`, `held_until` and the header's `dirs` are worked out
    /// here.
    pub fn new(
        mut header: Header,
        mut up: Vec<Place>,
        mut down: Vec<Place>,
    ) -> Result<Self, TraceError> {
        let fail = |fault| Err(TraceError { line: 0, fault });
        if header.format != FORMAT {
            return fail(TraceFault::Format(header.format));
        }
        if up.is_empty() && down.is_empty() {
            return fail(TraceFault::Empty);
        }
        if header.kind == Kind::Rtt && header.rtt_split != Some(RttSplit::Half) {
            return fail(TraceFault::Split);
        }
        header.dirs = String::from(match (up.is_empty(), down.is_empty()) {
            (false, false) => "ud",
            (false, true) => "u",
            (true, _) => "d",
        });
        let last = up.last().map(|p| p.at).max(down.last().map(|p| p.at)).unwrap_or_default();
        let end = match header.loop_us {
            Some(seam) if seam <= last.as_micros() => return fail(TraceFault::Seam),
            Some(seam) => Micros::from_micros(seam),
            None => last.saturating_add(Micros::from_micros(header.sampling_us)),
        };
        for lane in [&mut up, &mut down] {
            if lane.iter().zip(lane.iter().skip(1)).any(|(a, b)| a.at >= b.at) {
                return fail(TraceFault::TimeBack);
            }
            if lane.iter().any(|place| place.given > OWD_MAX) {
                return fail(TraceFault::TooLate);
            }
            finish(lane, header.kind, end);
        }
        Ok(Self { header, up, down })
    }

    /// Reads a trace from its text.
    ///
    /// Errors: [`TraceError`] with the line and what to do.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        csv::parse(text)
    }

    /// Writes the trace; [`Trace::parse`] gives it back.
    pub fn to_csv(&self) -> String {
        csv::write(self)
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The places of one direction, in time order.
    pub fn lane(&self, direction: Direction) -> &[Place] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// How long the trace is: up to its seam, or one sample past its last row.
    pub fn length(&self) -> Micros {
        let last = |lane: &[Place]| lane.last().map_or(Micros::ZERO, |place| place.at);
        let end = last(&self.up).max(last(&self.down));
        match self.header.loop_us {
            Some(seam) => Micros::from_micros(seam),
            None => end.saturating_add(Micros::from_micros(self.header.sampling_us)),
        }
    }

    /// The same with a seam at its end, where it declares none: there it begins again.
    #[must_use]
    pub fn looped(mut self) -> Self {
        let end = self.length().as_micros();
        self.header.loop_us.get_or_insert(end);
        self
    }

    /// True where `inside` lies behind the end of a trace that does not loop.
    pub(crate) fn is_over(&self, direction: Direction, inside: Micros) -> bool {
        self.header.loop_us.is_none() && !self.lane(direction).is_empty() && inside >= self.length()
    }
}

/// Works out the one-way delays and the ends of holds.
fn finish(lane: &mut [Place], kind: Kind, end: Micros) {
    let mut clear_at = end;
    for place in lane.iter_mut().rev() {
        place.owd = match kind {
            Kind::Owd => place.given,
            Kind::Rtt => Micros::from_micros(place.given.as_micros() / 2),
            Kind::Capacity | Kind::State => Micros::ZERO,
        };
        place.held_until = place.outage_hold.then_some(clear_at);
        if !place.outage_hold {
            clear_at = place.at;
        }
    }
}

/// A trace cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The line, counted from 1; 0 where it is the trace as a whole.
    pub line: usize,
    /// What is wrong.
    pub fault: TraceFault,
}

/// What is wrong with a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceFault {
    /// The first line is not `#` and a JSON object.
    NoHeader,
    /// The header's JSON does not say what it must.
    Header(String),
    /// Another format.
    Format(String),
    /// A round trip without `"rtt_split":"half"`.
    Split,
    /// No rows.
    Empty,
    /// A cell cannot be read.
    Cell {
        /// The column.
        column: &'static str,
        /// What stands there.
        got: String,
        /// What may stand there.
        want: &'static str,
    },
    /// Times do not rise.
    TimeBack,
    /// A delay over [`OWD_MAX`].
    TooLate,
    /// `loop_us` is not behind the last row.
    Seam,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.fault {
            TraceFault::NoHeader => {
                write!(f, "the first line must be `#` and a JSON object with the trace's header")
            }
            TraceFault::Header(why) => write!(f, "the header cannot be read: {why}"),
            TraceFault::Format(got) => {
                write!(f, "the format is `{got}`, this reader knows `{FORMAT}`; convert it first")
            }
            TraceFault::Split => {
                write!(f, "kind `rtt` needs `\"rtt_split\":\"half\"` in the header")
            }
            TraceFault::Empty => write!(f, "the trace has no rows"),
            TraceFault::Cell { column, got, want } => {
                write!(f, "column `{column}` says `{got}`; it must be {want}")
            }
            TraceFault::TimeBack => {
                write!(f, "the times of a direction must rise from row to row; sort the rows")
            }
            TraceFault::TooLate => {
                write!(f, "a delay is over one hour; check that the unit is microseconds")
            }
            TraceFault::Seam => {
                write!(f, "`loop_us` must lie behind the last row, or be left out")
            }
        }
    }
}

impl core::error::Error for TraceError {}
