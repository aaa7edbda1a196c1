//! What of a report an engineer watches, and what makes reports alike.
//!
//! Knows: where each figure stands in a report, its unit, its interval. Does not know: its course.

use serde::{Serialize, Serializer};

use crate::measure::outage::Outages;
use crate::measure::quantile::{Quantile, Share, poisson};
use crate::measure::replay::Played;
use crate::measure::{Measures, OneWay};
use crate::number::real;
use crate::report::Report;
use crate::report::compare::told;
use crate::verdict::{Metric, Verdict};

/// The playout buffer that safe stops are told of where no row of the requirements names one, ms.
/// Source: the default profile's, as the report's first page has it.
const PLAYOUT_MS: u64 = 20;

/// A figure that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Round trip, half of all.
    RttP50,
    /// Round trip at p99.
    RttP99,
    /// Round trip at p99.9.
    RttP999,
    /// Delay above the least at p99, to the robot.
    JitterUp,
    /// To the surgeon.
    JitterDown,
    /// Lost on the way to the robot.
    LossUp,
    /// Lost on the way to the surgeon.
    LossDown,
    /// Lost where nobody knows.
    LossUnknown,
    /// Outages an hour.
    Outages,
    /// The longest outage.
    OutageLongest,
    /// Safe stops an hour of motion with the requirements' playout buffer.
    SafeStops,
    /// What came to the robot under load.
    ThroughputUp,
    /// What came to the surgeon under load.
    ThroughputDown,
}

impl Gauge {
    /// Each, in the order of a table.
    pub const ALL: [Self; 13] = [
        Self::RttP50,
        Self::RttP99,
        Self::RttP999,
        Self::JitterUp,
        Self::JitterDown,
        Self::LossUp,
        Self::LossDown,
        Self::LossUnknown,
        Self::Outages,
        Self::OutageLongest,
        Self::SafeStops,
        Self::ThroughputUp,
        Self::ThroughputDown,
    ];

    /// Its name, with its unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RttP50 => "round trip p50, ms",
            Self::RttP99 => "round trip p99, ms",
            Self::RttP999 => "round trip p99.9, ms",
            Self::JitterUp => "jitter up p99, ms",
            Self::JitterDown => "jitter down p99, ms",
            Self::LossUp => "loss up, %",
            Self::LossDown => "loss down, %",
            Self::LossUnknown => "lost nobody knows where, %",
            Self::Outages => "outages an hour",
            Self::OutageLongest => "longest outage, ms",
            Self::SafeStops => "safe stops an hour of motion",
            Self::ThroughputUp => "throughput up, Mbit/s",
            Self::ThroughputDown => "throughput down, Mbit/s",
        }
    }

    /// What it is, for whoever is no network engineer.
    pub const fn plain(self) -> &'static str {
        match self {
            Self::RttP50 => "The usual round trip",
            Self::RttP99 => "The round trip that 1 in 100 exceeds",
            Self::RttP999 => "The round trip that 1 in 1000 exceeds",
            Self::JitterUp => "The delay to the robot that 1 in 100 has beyond the shortest",
            Self::JitterDown => "The delay to the surgeon that 1 in 100 has beyond the shortest",
            Self::LossUp => "What is lost on the way to the robot",
            Self::LossDown => "What is lost on the way to the surgeon",
            Self::LossUnknown => "What is lost where nobody knows",
            Self::Outages => "The number of outages an hour",
            Self::OutageLongest => "The longest outage of a run",
            Self::SafeStops => "The number of safe stops an hour of motion",
            Self::ThroughputUp => "What comes through to the robot under load",
            Self::ThroughputDown => "What comes through to the surgeon under load",
        }
    }

    /// Its unit, behind a number.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::RttP50
            | Self::RttP99
            | Self::RttP999
            | Self::JitterUp
            | Self::JitterDown
            | Self::OutageLongest => " ms",
            Self::LossUp | Self::LossDown | Self::LossUnknown => " %",
            Self::Outages | Self::SafeStops => "",
            Self::ThroughputUp | Self::ThroughputDown => " Mbit/s",
        }
    }

    /// Whether a lower figure is the better one.
    pub const fn less_is_better(self) -> bool {
        !matches!(self, Self::ThroughputUp | Self::ThroughputDown)
    }

    /// In a report; `None`: it was not measured.
    fn of(self, report: &Report) -> Option<Gauged> {
        let quic = &report.quic;
        let jitter = |way: &OneWay| way.relative.quantile("p99").map(Gauged::quantile);
        let came = |up: bool| {
            let load = report.load.as_ref()?;
            let traffic = if up { load.up } else { load.down }?;
            Some(Gauged::exact(real(traffic.came_bps) / 1e6))
        };
        match self {
            Self::RttP50 => quic.rtt.quantile("p50").map(Gauged::quantile),
            Self::RttP99 => quic.rtt.quantile("p99").map(Gauged::quantile),
            Self::RttP999 => quic.rtt.quantile("p99.9").map(Gauged::quantile),
            Self::JitterUp => jitter(&quic.up),
            Self::JitterDown => jitter(&quic.down),
            Self::LossUp => Some(Gauged::share(&quic.up.loss)),
            Self::LossDown => Some(Gauged::share(&quic.down.loss)),
            Self::LossUnknown => Some(Gauged::share(&quic.lost_unknown)),
            Self::Outages => {
                let Outages { count, sure, possible, hidden, .. } = quic.outages;
                let all = (count, quic.seconds);
                let most = (possible.saturating_add(hidden), quic.seconds);
                Some(Gauged::rate(all, (sure, quic.seconds), most))
            }
            Self::OutageLongest => Some(Gauged::exact(quic.outages.longest_ms)),
            Self::SafeStops => safe_stops(report, quic),
            Self::ThroughputUp => came(true),
            Self::ThroughputDown => came(false),
        }
    }
}

impl Serialize for Gauge {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

fn playout_ms(report: &Report) -> u64 {
    let mut rows = report.rows.iter().map(|row| &row.requirement);
    let row = rows.find(|requirement| requirement.metric == Metric::SafeStops);
    row.and_then(|requirement| requirement.playout_ms).unwrap_or(PLAYOUT_MS)
}

fn safe_stops(report: &Report, measures: &Measures) -> Option<Gauged> {
    let wanted = playout_ms(report);
    let replay = measures.replay.as_ref()?;
    let played: &Played = replay.played.iter().find(|played| played.playout_ms == wanted)?;
    // The first threshold is the shipped profiles' 10 ms.
    let all = (*played.stops.first()?, *played.moving_s.first()?);
    // What nobody knows is taken as a stop, and as time in which the arm stood: both may not be.
    let sure = (*played.stops_sure.first()?, *played.moving_most_s.first()?);
    Some(Gauged::rate(all, sure, all))
}

/// A figure and between what it may lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gauged {
    /// The figure.
    pub value: f64,
    /// The least that it may be: of counts with 95 % on each side (90 % of both), else with 95 % of
    /// both; `null`: nobody knows.
    pub low: Option<f64>,
    /// The most; `null`: nobody knows.
    pub high: Option<f64>,
}

impl Gauged {
    const fn exact(value: f64) -> Self {
        Self { value, low: None, high: None }
    }

    const fn quantile(of: &Quantile) -> Self {
        Self { value: of.ms, low: Some(of.low_ms), high: of.high_ms }
    }

    fn share(of: &Share) -> Self {
        let percent = |share: f64| share * 1e2;
        let (low, high) = (Some(percent(of.low)), Some(percent(of.high)));
        Self { value: percent(of.share), low, high }
    }

    /// Events and the seconds that they are of: those that were seen, those that surely were, and
    /// all that there may have been.
    fn rate(seen: (u64, f64), sure: (u64, f64), possible: (u64, f64)) -> Self {
        let hourly = |events: f64, seconds: f64| events / (seconds / 3_600.0).max(1e-9);
        let (low, high) = (poisson(sure.0).0, poisson(possible.0).1);
        Self {
            value: hourly(real(seen.0), seen.1),
            low: Some(hourly(low, sure.1)),
            high: Some(hourly(high, possible.1)),
        }
    }

    /// Whether this is surely above (true) or below (false) another: their intervals do not meet.
    /// `None`: they meet, or there is none.
    pub fn beyond(&self, other: &Self) -> Option<bool> {
        let above = self.low? > other.high.unwrap_or(f64::INFINITY);
        let below = self.high.unwrap_or(f64::INFINITY) < other.low?;
        (above || below).then_some(above)
    }
}

/// What many runs need to know of one.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its file.
    pub name: String,
    /// When it began, as in its report.
    pub begun: String,
    /// How it came out.
    pub verdict: Verdict,
    /// Who signed it; `null`: nobody did.
    pub signed_by: Option<String>,
    /// How long it was, s.
    pub seconds: f64,
    /// It was ended before its time.
    pub cut_short: bool,
    /// Minutes from 1970 to its begin.
    pub minute: i64,
    /// Its figures, in the order of [`Gauge::ALL`]; `null`: not measured.
    pub figures: Vec<Option<Gauged>>,
    /// In what runs must be alike to be one course.
    #[serde(skip)]
    pub alike: Vec<(&'static str, String)>,
    /// The hash of its samples: two reports of one run have the same.
    #[serde(skip)]
    pub samples: Option<String>,
}

impl Run {
    /// Of a report. Errors: it does not say when it began, in words.
    pub fn of(name: String, signed_by: Option<String>, report: &Report) -> Result<Self, String> {
        let begun = &report.about.begun;
        let minute = minute(begun).ok_or_else(|| {
            format!("it does not say when it began (\"{begun}\"), so it has no place")
        })?;
        let mut alike = told(report).to_vec();
        alike.push(("safe stops with", format!("{} ms of playout", playout_ms(report))));
        Ok(Self {
            name,
            begun: begun.clone(),
            verdict: report.verdict,
            signed_by,
            seconds: report.quic.seconds,
            cut_short: report.about.cut_short,
            minute,
            figures: Gauge::ALL.into_iter().map(|gauge| gauge.of(report)).collect(),
            alike,
            samples: report
                .raw
                .iter()
                .find(|raw| raw.name.ends_with(".lhq"))
                .map(|raw| raw.sha256.clone()),
        })
    }

    /// One of its figures.
    pub fn gauged(&self, gauge: Gauge) -> Option<Gauged> {
        let place = Gauge::ALL.into_iter().position(|one| one == gauge)?;
        self.figures.get(place).copied().flatten()
    }
}

/// Minutes from 1970 to `2031-04-09 12:00 UTC`.
fn minute(begun: &str) -> Option<i64> {
    let (date, time) = begun.strip_suffix(" UTC")?.split_once(' ')?;
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let is_one = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute);
    if !is_one || parts.next().is_some() {
        return None;
    }
    // Years begin in March, so that the leap day is the last. Source: Howard Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms", days_from_civil; 719468: from 0000-03-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some((days * 24 + hour) * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begin_is_minutes_since_1970_and_nonsense_is_none() {
        assert_eq!(minute("1970-01-01 00:00 UTC"), Some(0));
        assert_eq!(minute("2000-02-29 23:59 UTC"), Some((11_016 * 24 + 23) * 60 + 59));
        assert_eq!(minute("2000-03-01 00:00 UTC"), Some(11_017 * 24 * 60));
        assert_eq!(minute("2031-04-09 12:00 UTC"), Some((22_378 * 24 + 12) * 60));
        for bad in
            ["", "2031-04-09", "2031-04-09 12:00", "2031-13-09 12:00 UTC", "2031-04-09-1 1:00 UTC"]
        {
            assert_eq!(minute(bad), None, "{bad}");
        }
    }
}
