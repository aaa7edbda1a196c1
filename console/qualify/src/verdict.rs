//! PASS, FAIL, or not enough to say: what was measured against what somebody requires.
//!
//! Knows: requirement profiles, row by row with their sources, and how far a measurement carries.
//! Does not know: how anything was measured.
//!
//! The rule: a row passes when the *worst* end of what the measurement allows is within the bound,
//! and fails when the *best* end is beyond it. Anything between is INSUFFICIENT EVIDENCE, with the
//! reason and, where a longer run would tell, how long it must be.
//!
//! What was not seen is never good news. A slot of which nobody knows (not sent, lost nobody knows
//! where, or due without a session) counts as the worst that it may hide. Nor is it bad news: the
//! best end knows nothing of it, so a row fails by what was seen alone. An outage that was not seen
//! may come three times in another such run, and be as long as [`UNSEEN_OUTAGE_S`] or as the
//! longest that may have been.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::load::Loaded;
use crate::measure::outage::{Outages, TOGETHER_S};
use crate::measure::quantile::{BURST_US, Share, Spread, poisson};
use crate::measure::{Measures, OneWay, long};
use crate::number::{count, real, some};

/// How a row, or a whole profile, came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Even the worst that the measurement allows is within the bound.
    #[serde(rename = "PASS")]
    Pass,
    /// The measurement cannot tell.
    #[serde(rename = "INSUFFICIENT EVIDENCE")]
    Insufficient,
    /// Even the best that the measurement allows is beyond the bound.
    #[serde(rename = "FAIL")]
    Fail,
}

impl Verdict {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Insufficient => "INSUFFICIENT EVIDENCE",
            Self::Fail => "FAIL",
        }
    }
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Round trip at a quantile, ms.
    Rtt,
    /// The worse way's one-way delay at a quantile, ms; the worst end of its interval.
    OneWay,
    /// The worse way's delay above the least (PDV) at a quantile, ms.
    Jitter,
    /// The worse way's loss, a share.
    Loss,
    /// Share of the time in which both ways carried something.
    Availability,
    /// The longest outage, ms: none longer was seen in three hours, so they are rarer than one an
    /// hour.
    OutageLongest,
    /// Outages (10 ms and longer) an hour.
    OutagesPerHour,
    /// Safe stops an hour of motion at the shipped 10 ms threshold, with a playout buffer of
    /// `playout_ms`.
    SafeStops,
    /// What comes to the robot under load (`--load`), Mbit/s.
    ThroughputUp,
    /// What comes to the surgeon under load.
    ThroughputDown,
    /// Something that this tool does not measure; the row says so.
    NotMeasured,
}

/// One row of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// What is required, for people.
    pub what: String,
    /// What is compared.
    pub metric: Metric,
    /// Which quantile, as `p99`, where the metric has quantiles.
    #[serde(default)]
    pub quantile: Option<String>,
    /// Not above this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Not below this.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// What is added to the measurement first: what the link does not cause, ms.
    #[serde(default)]
    pub adds: f64,
    /// Size of the playout buffer, for safe stops.
    #[serde(default)]
    pub playout_ms: Option<u64>,
    /// The metric's own, for people: `ms` of a time, empty of a share or a count.
    #[serde(default)]
    pub unit: String,
    /// Where the number is from.
    pub source: String,
}

/// Playout buffers that a row may name, ms: those that are replayed, up to what a robot's profile
/// may add. Source: the follower's cap, 100 ms, and `measure::replay::PLAYOUTS_MS`.
pub const ROW_PLAYOUTS_MS: [u64; 7] = [5, 10, 20, 30, 50, 75, 100];

impl Metric {
    /// Between what a bound makes sense, and why not beyond; `None`: it has none.
    const fn sensible(self) -> Option<(f64, f64, &'static str)> {
        match self {
            Self::Rtt | Self::OneWay | Self::Jitter | Self::OutageLongest => {
                Some((0.001, 10_000.0, "ms: what takes longer than ten seconds is no link"))
            }
            Self::Loss => {
                Some((0.0, 0.5, "as a share (1 % is 0.01): more than half lost is no link"))
            }
            Self::Availability => {
                Some((0.5, 1.0, "as a share (99.9 % is 0.999): less than half is no link"))
            }
            Self::OutagesPerHour | Self::SafeStops => {
                Some((0.0, 3_600.0, "an hour: more than one a second is no link"))
            }
            Self::ThroughputUp | Self::ThroughputDown => Some((
                0.001,
                45.0,
                "Mbit/s: `--load` goes up to 50, and a tenth more is offered than is to come",
            )),
            Self::NotMeasured => None,
        }
    }

    /// Whether it is told at a quantile.
    const fn has_quantile(self) -> bool {
        matches!(self, Self::Rtt | Self::OneWay | Self::Jitter)
    }
}

impl Requirement {
    /// What is wrong with it, if anything is: at which key, and what is wanted there.
    fn wrong(&self) -> Option<(&'static str, String)> {
        let bounds = [self.at_most, self.at_least];
        let bound = if self.at_most.is_some() { "at_most" } else { "at_least" };
        let is_measured = self.metric != Metric::NotMeasured;
        let known = |name: &String| {
            crate::measure::quantile::QUANTILES.iter().any(|(known, _)| known == name)
        };
        let form = if bounds.iter().flatten().any(|bound| !(bound.is_finite() && *bound >= 0.0)) {
            Some((bound, "a bound is a number of 0 or more"))
        } else if is_measured && self.at_most.is_some() == self.at_least.is_some() {
            Some((bound, "say either at_most or at_least"))
        } else if self.metric.has_quantile() && !self.quantile.as_ref().is_some_and(known) {
            Some(("quantile", "say quantile: p50 p90 p95 p99 p99.9 p99.99 or p99.999"))
        } else if !self.metric.has_quantile() && self.quantile.is_some() {
            Some(("quantile", "only rtt, one_way and jitter have a quantile"))
        } else if is_measured && self.wants_much() != self.at_least.is_some() {
            Some((bound, "availability and throughput need at_least, everything else at_most"))
        } else if self.metric != Metric::SafeStops && self.playout_ms.is_some() {
            Some(("playout_ms", "only safe_stops have a playout buffer"))
        } else {
            self.wrong_unit().map(|why| ("unit", why))
        };
        form.map(|(key, why)| (key, why.to_owned())).or_else(|| self.beyond_sense())
    }

    /// A number with which the row could say nothing: at which key, and between what it may lie.
    fn beyond_sense(&self) -> Option<(&'static str, String)> {
        let (least, most, why) = self.metric.sensible()?;
        for (key, bound) in [("at_most", self.at_most), ("at_least", self.at_least)] {
            if let Some(bound) = bound.filter(|bound| !(least..=most).contains(bound)) {
                return Some((key, format!("{key} = {bound}: {least} to {most} {why}")));
            }
        }
        let adds_most = if self.metric.has_quantile() { 1_000.0 } else { 0.0 };
        if !(0.0..=adds_most).contains(&self.adds) {
            let words = "ms, of rtt, one_way and jitter: what is not the link's is no longer";
            return Some(("adds", format!("adds = {}: 0 to 1000 {words}", self.adds)));
        }
        let playout = self.playout_ms.filter(|ms| !ROW_PLAYOUTS_MS.contains(ms))?;
        let all = ROW_PLAYOUTS_MS.map(|ms| ms.to_string()).join(", ");
        let words = "ms: those are replayed, and no robot's profile adds more than 100";
        Some(("playout_ms", format!("playout_ms = {playout}: one of {all} {words}")))
    }

    /// What is wrong with the unit, or with a bound in it.
    fn wrong_unit(&self) -> Option<&'static str> {
        let bounds = [self.at_most, self.at_least];
        match self.metric {
            Metric::Rtt | Metric::OneWay | Metric::Jitter | Metric::OutageLongest => (!["", "ms"]
                .contains(&self.unit.as_str()))
            .then_some("times are in milliseconds: say unit = \"ms\""),
            Metric::Loss | Metric::Availability => {
                let is_share = bounds.iter().flatten().all(|bound| *bound <= 1.0);
                (!self.unit.is_empty() || !is_share)
                    .then_some("a share is from 0 to 1, without a unit: 1 % is 0.01")
            }
            Metric::OutagesPerHour | Metric::SafeStops => {
                (!self.unit.is_empty()).then_some("an hour's count has no unit")
            }
            Metric::ThroughputUp | Metric::ThroughputDown => (!["", "Mbit/s"]
                .contains(&self.unit.as_str()))
            .then_some("what comes through is in Mbit/s: say unit = \"Mbit/s\""),
            Metric::NotMeasured => None,
        }
    }

    /// Which option of the command measures what this run did not.
    fn measured_by(&self) -> String {
        match self.metric {
            Metric::NotMeasured => "this tool does not measure it; show it otherwise".to_owned(),
            Metric::ThroughputUp | Metric::ThroughputDown => {
                let way = if self.metric == Metric::ThroughputUp { "up" } else { "down" };
                // A tenth more than is to come: what is counted comes behind what is offered.
                let ask = (self.at_least.unwrap_or(0.0) * 1.1).ceil().max(1.0);
                format!(
                    "no load was measured: --load {ask:.0}M --load-direction {way} (or both) \
                     measures it"
                )
            }
            Metric::SafeStops => "nothing was replayed: --rate 1000 measures it, with a \
                                  playout_ms of 5, 10, 20, 30, 50, 75 or 100"
                .to_owned(),
            Metric::Rtt
            | Metric::OneWay
            | Metric::Jitter
            | Metric::Loss
            | Metric::Availability
            | Metric::OutageLongest
            | Metric::OutagesPerHour => "nothing was measured that could tell".to_owned(),
        }
    }

    /// Whether more is better.
    const fn wants_much(&self) -> bool {
        matches!(self.metric, Metric::Availability | Metric::ThroughputUp | Metric::ThroughputDown)
    }
}

/// A named set of requirements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub title: String,
    /// The rows.
    pub requirement: Vec<Requirement>,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML of this form.
    #[error("the requirements cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// A row that says nothing.
    #[error("line {line}, requirement \"{what}\": {why}")]
    Row {
        /// Where, counted from 1.
        line: usize,
        /// The row.
        what: String,
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// No row.
    #[error("there is no [[requirement]] in it, and of nothing nothing can be said")]
    Empty,
}

/// Where the rows' keys stand in a text.
#[derive(Deserialize)]
struct Places {
    requirement: Vec<BTreeMap<String, toml::Spanned<toml::Value>>>,
}

impl Places {
    /// The line of a row's key, or of its first where it has none such; counted from 1.
    fn line(text: &str, row: usize, key: &str) -> usize {
        let all = toml::from_str::<Self>(text).map(|all| all.requirement).unwrap_or_default();
        let first = |keys: &BTreeMap<String, toml::Spanned<toml::Value>>| {
            keys.values().map(|value| value.span().start).min()
        };
        let keys = all.get(row);
        let at = keys.and_then(|keys| keys.get(key).map(|value| value.span().start));
        let at = at.or_else(|| keys.and_then(first)).unwrap_or(0);
        text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// The shipped profiles, by name.
pub const SHIPPED: [(&str, &str); 6] = [
    ("atis-laparoscopic", include_str!("../profiles/atis-laparoscopic.toml")),
    ("nankaku-100", include_str!("../profiles/nankaku-100.toml")),
    ("xu-200", include_str!("../profiles/xu-200.toml")),
    ("xu-300", include_str!("../profiles/xu-300.toml")),
    ("3gpp-local", include_str!("../profiles/3gpp-local.toml")),
    ("geo", include_str!("../profiles/geo.toml")),
];

impl Profile {
    /// Reads and checks a profile.
    ///
    /// Errors: [`ProfileError`] says which line and row, and why.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)?;
        for (place, row) in profile.requirement.iter().enumerate() {
            if let Some((key, why)) = row.wrong() {
                let line = Places::line(text, place, key);
                return Err(ProfileError::Row { line, what: row.what.clone(), why });
            }
        }
        if profile.requirement.is_empty() {
            return Err(ProfileError::Empty);
        }
        Ok(profile)
    }

    /// A shipped one.
    pub fn shipped(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.into_iter().find(|(known, _)| *known == name)?;
        Self::parse(text).ok()
    }
}

/// A row that was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was required.
    pub requirement: Requirement,
    /// How it came out.
    pub verdict: Verdict,
    /// What was measured; `null` where nothing was.
    pub measured: Option<f64>,
    /// The best that it may be.
    pub low: Option<f64>,
    /// The worst that it may be; `null`: without bound.
    pub high: Option<f64>,
    /// Why it came out so.
    pub reason: String,
    /// How long a clean run would have to be for this claim, s; `null` where length is not it.
    pub needs_s: Option<f64>,
}

/// Judges every row.
pub fn judge(profile: &Profile, measures: &Measures) -> Vec<Row> {
    profile.requirement.iter().map(|row| judged(row, measures)).collect()
}

/// The worst row's; of no rows nothing can be said, and of a run that was cut short nobody says
/// that it would have held.
pub fn overall(rows: &[Row], cut_short: bool) -> Verdict {
    let least = if cut_short { Verdict::Insufficient } else { Verdict::Pass };
    let worst = rows.iter().map(|row| row.verdict).max();
    worst.unwrap_or(Verdict::Insufficient).max(least)
}

/// What a measurement allows: its value, the best and the worst that it may be.
struct Found {
    measured: f64,
    low: f64,
    high: Option<f64>,
    /// Why the worst end is where it is.
    because: String,
    needs_s: Option<f64>,
}

fn judged(row: &Requirement, measures: &Measures) -> Row {
    let Some(found) = find(row, measures) else {
        return Row {
            requirement: row.clone(),
            verdict: Verdict::Insufficient,
            measured: None,
            low: None,
            high: None,
            reason: row.measured_by(),
            needs_s: None,
        };
    };
    let (low, high) = (found.low + row.adds, found.high.map(|high| high + row.adds));
    let (verdict, bound) = match (row.at_most, row.at_least) {
        (Some(bound), _) if high.is_some_and(|high| high <= bound) => (Verdict::Pass, bound),
        (Some(bound), _) if low > bound => (Verdict::Fail, bound),
        (None, Some(bound)) if low >= bound => (Verdict::Pass, bound),
        (None, Some(bound)) if high.is_some_and(|high| high < bound) => (Verdict::Fail, bound),
        (at_most, at_least) => (Verdict::Insufficient, at_most.or(at_least).unwrap_or(0.0)),
    };
    let reason = match verdict {
        Verdict::Pass => {
            "even the worst that the measurement allows is within the bound".to_owned()
        }
        Verdict::Fail => "even the best that the measurement allows is beyond the bound".to_owned(),
        Verdict::Insufficient => {
            let too_long = found.needs_s.filter(|needs_s| *needs_s > RUN_MAX_S);
            let too_long = too_long.map_or_else(String::new, |needs_s| {
                format!(
                    ". A clean run of {} would show it, and none is longer than {}: no run of \
                     this tool can. What can are the records of this line over years",
                    long(needs_s),
                    long(RUN_MAX_S)
                )
            });
            format!("the bound {bound} lies within what it may be: {}{too_long}", found.because)
        }
    };
    Row {
        requirement: row.clone(),
        verdict,
        // Of an interval no middle is shown: it would be taken for the truth.
        measured: (row.metric != Metric::OneWay).then_some(found.measured + row.adds),
        low: Some(low),
        high,
        reason,
        needs_s: found.needs_s.filter(|_| verdict == Verdict::Insufficient),
    }
}

fn find(row: &Requirement, measures: &Measures) -> Option<Found> {
    let name = row.quantile.as_deref().unwrap_or("p99");
    let ways = [&measures.up, &measures.down];
    match row.metric {
        Metric::Rtt => of_spread(&measures.rtt, name, measures),
        Metric::Jitter => {
            worse(ways.into_iter().filter_map(|way| of_spread(&way.relative, name, measures)))
        }
        Metric::OneWay => {
            worse(ways.into_iter().filter_map(|way| of_absolute(way, name, measures)))
        }
        Metric::Loss => {
            let unknown = measures.own.unseen(&measures.lost_unknown);
            let bound = row.at_most.unwrap_or(0.0);
            worse(ways.into_iter().map(|way| of_share(&way.loss, unknown, bound, measures)))
        }
        Metric::Availability => availability(row, measures),
        Metric::OutageLongest => Some(outage_longest(measures)),
        Metric::OutagesPerHour => Some(outages_per_hour(row, measures)),
        Metric::SafeStops => {
            let replay = measures.replay.as_ref()?;
            let playout_ms = row.playout_ms.unwrap_or(20);
            let played = replay.played.iter().find(|played| played.playout_ms == playout_ms)?;
            let first = |list: &Vec<u64>| list.first().copied();
            let events = Events {
                seen: first(&played.stops)?,
                sure: first(&played.stops_sure)?,
                possible: first(&played.stops)? + measures.outages.hidden,
                seconds: *played.moving_s.first()?,
                seconds_most: *played.moving_most_s.first()?,
            };
            Some(events.rate("", row.at_most, measures))
        }
        // Of an idle run nothing is known of these: `judge_load`.
        Metric::ThroughputUp | Metric::ThroughputDown | Metric::NotMeasured => None,
    }
}

/// Judges what a loaded run can tell: throughput.
///
/// What came was counted, as well as it can be ([`crate::measure::load::Came`]). A row fails where
/// as much as it requires was offered, and even the most that may have come is less.
pub fn judge_load(rows: &mut [Row], loaded: &Loaded) {
    for row in rows {
        let came = match row.requirement.metric {
            Metric::ThroughputUp => loaded.came_up(),
            Metric::ThroughputDown => loaded.came_down(),
            Metric::Rtt
            | Metric::OneWay
            | Metric::Jitter
            | Metric::Loss
            | Metric::Availability
            | Metric::OutageLongest
            | Metric::OutagesPerHour
            | Metric::SafeStops
            | Metric::NotMeasured => None,
        };
        let Some((came, bound)) = came.zip(row.requirement.at_least) else { continue };
        row.measured = Some(came.counted);
        row.low = Some(came.least);
        row.high = came.most;
        (row.verdict, row.reason) = if came.least >= bound {
            let words = format!("so much came through in {}", long(loaded.seconds));
            (Verdict::Pass, words)
        } else if came.offered >= bound && came.most.is_some_and(|most| most < bound) {
            let words =
                format!("{:.1} Mbit/s were offered, and less than required came", came.offered);
            (Verdict::Fail, words)
        } else if came.offered < bound * 1.05 {
            let words = format!(
                "no more than {:.1} Mbit/s were surely offered; {}",
                came.offered,
                row.requirement.measured_by().replace("no load was measured: ", "")
            );
            (Verdict::Insufficient, words)
        } else {
            let words = format!(
                "what came in {} is counted too coarsely to tell; a longer --load-for (60 s at \
                 most) counts finer",
                long(loaded.seconds)
            );
            (Verdict::Insufficient, words)
        };
    }
}

/// The way that may be worse; one without a bound is worst of all.
fn worse(found: impl Iterator<Item = Found>) -> Option<Found> {
    found.reduce(|a, b| {
        let low = a.low.max(b.low);
        let measured = a.measured.max(b.measured);
        let high = |found: &Found| found.high.unwrap_or(f64::INFINITY);
        let worst = if high(&a) >= high(&b) { a } else { b };
        Found { low, measured, ..worst }
    })
}

fn of_spread(spread: &Spread, name: &str, measures: &Measures) -> Option<Found> {
    let quantile = spread.quantile(name)?;
    let needs_s = needs(quantile.above, quantile.worth, spread.count, measures);
    let found = Found {
        measured: quantile.ms,
        low: quantile.low_ms,
        high: quantile.high_ms,
        because: format!(
            "{}, which come in good and bad spells, are worth {:.0} independent ones{}",
            some(spread.count, "sample", "samples"),
            quantile.worth,
            stalls(measures)
        ),
        needs_s: Some(needs_s),
    };
    Some(found.unless_unknown(quantile.above, measures))
}

impl Found {
    /// Of a probe that no session carried, that this machine did not send or that went nobody knows
    /// where, the delay is without bound: where there are more of them than lie beyond the
    /// quantile, it has no upper end. (Where there are fewer, its upper end counts them as worse
    /// already.) What was lost on the way is the row of loss's to judge.
    fn unless_unknown(self, above: f64, measures: &Measures) -> Self {
        let (own, lost) = (&measures.own, &measures.lost_unknown);
        let share = own.unseen(lost);
        if share <= above {
            return self;
        }
        let because = format!(
            "{} of {} probes had no session or went nobody knows where, and {} were not sent or \
             not taken down ({:.3} % together), more than lie beyond this quantile",
            lost.events,
            own.slots,
            own.not_sent + own.missed_events,
            share * 100.0
        );
        Self { high: None, because, needs_s: None, ..self }
    }

    /// Events that nobody took down may have been outages, or their ends.
    fn unless_missed(self, measures: &Measures) -> Self {
        let missed = measures.own.missed_events;
        if missed == 0 {
            return self;
        }
        let events = some(missed, "event", "events");
        let because = format!("this machine was too slow to take down {events}");
        // Without a best end nothing fails by them, without a worst end nothing passes.
        Self { low: 0.0, high: None, because, needs_s: None, ..self }
    }
}

fn of_absolute(way: &OneWay, name: &str, measures: &Measures) -> Option<Found> {
    let (low, high) = way.absolute.bounds(name)?;
    let quantile = way.absolute.high.iter().find(|quantile| quantile.name == name)?;
    let rare = high.is_none();
    let needs_s = needs(quantile.above, quantile.worth, way.relative.count, measures);
    let because = if rare {
        "too few samples lie beyond this quantile".to_owned()
    } else {
        format!("not decidable without a common clock: {}", way.absolute.cause)
    } + &stalls(measures);
    // The worst end is what is judged, so it is what is shown.
    let needs_s = rare.then_some(needs_s);
    let found = Found { measured: quantile.ms, low, high, because, needs_s };
    Some(found.unless_unknown(quantile.above, measures))
}

/// How long a run must be for three independent samples beyond the quantile.
fn needs(above: f64, worth: f64, count: u64, measures: &Measures) -> f64 {
    let each = measures.seconds / real(count.max(1));
    let inflation = (real(count) / worth.max(1.0)).max(1.0);
    3.0 / above * inflation * each
}

/// Loss; of what nobody knows all may have been lost, on either way.
fn of_share(share: &Share, unknown: f64, bound: f64, measures: &Measures) -> Found {
    let each = measures.seconds / real(share.of.max(1));
    let burst_s = real(BURST_US) * 1e-6;
    let mut because = if share.events == 0 {
        format!(
            "none of {} was lost, and losses come in bursts: up to three of {} ms may have been \
             missed (rule of three)",
            share.of,
            BURST_US / 1_000
        )
    } else {
        let were = if share.events == 1 { "was lost" } else { "were lost, in bursts" };
        format!("{} of {} {were}", share.events, share.of)
    };
    if unknown > 0.0 {
        because += &format!("; of {:.3} % nobody knows", unknown * 100.0);
    }
    because += &stalls(measures);
    // What nobody knows comes in bursts, too: another run would have had more of it.
    let known_not = &measures.lost_unknown;
    let more = if known_not.events > 0 { known_not.high - known_not.share } else { 0.0 };
    Found {
        measured: share.share,
        low: share.low,
        high: Some((share.high + unknown + more).min(1.0)),
        because,
        needs_s: (bound > 0.0).then(|| 3.0 / bound * each.max(burst_s)),
    }
}

fn availability(row: &Requirement, measures: &Measures) -> Option<Found> {
    if measures.seconds <= 0.0 {
        return None;
    }
    let outages = &measures.outages;
    let (seconds, most) = (measures.seconds, outages.possible + outages.hidden);
    let (few, _) = poisson(outages.sure);
    let (_, many) = poisson(most);
    let mean_s = outages.dark_sure_s / real(outages.sure.max(1));
    let longest_s = outages.longest_possible_ms / 1e3;
    let unseen_s = if most < OUTAGES_KNOWN { longest_s.max(UNSEEN_OUTAGE_S) } else { longest_s };
    let most_s = outages.dark_possible_s + outages.hidden_s + (many - real(most)) * unseen_s;
    let up = |dark_s: f64| 1.0 - (dark_s / seconds).clamp(0.0, 1.0);
    let allowed = 1.0 - row.at_least.unwrap_or(0.0);
    let found = Found {
        measured: up(outages.dark_s),
        low: up(most_s),
        high: Some(up(few * mean_s)),
        because: format!(
            "{} in {}; such a run may have up to {many:.1}, and one that was not seen may last \
             {unseen_s:.1} s{}",
            some(outages.count, "outage was seen", "outages were seen"),
            long(seconds),
            unseen(measures)
        ),
        needs_s: Some(3.0 * unseen_s / allowed.max(1e-12)),
    };
    Some(found.unless_missed(measures))
}

fn outage_longest(measures: &Measures) -> Found {
    let outages = &measures.outages;
    let is_long = measures.seconds >= RARE_OUTAGE_S;
    let because = if is_long {
        format!("the longest seen lasted {:.0} ms or more", outages.longest_sure_ms)
    } else {
        format!(
            "a run of {} cannot show that longer ones are rarer than one an hour (rule of three: \
             {})",
            long(measures.seconds),
            long(RARE_OUTAGE_S)
        )
    };
    let found = Found {
        measured: outages.longest_ms,
        low: outages.longest_sure_ms,
        high: is_long.then_some(outages.longest_possible_ms.max(outages.longest_ms)),
        because: because + &unseen(measures),
        needs_s: (!is_long).then_some(RARE_OUTAGE_S),
    };
    found.unless_missed(measures)
}

fn outages_per_hour(row: &Requirement, measures: &Measures) -> Found {
    let outages = &measures.outages;
    let seen_s = measures.seconds - outages.hidden_s;
    // Where nobody looked for long there may have been one after the other.
    let hidden = outages.hidden + count(outages.hidden_s / TOGETHER_S);
    let events = Events {
        seen: outages.count,
        sure: outages.sure,
        possible: outages.possible + hidden,
        seconds: seen_s.max(0.0),
        seconds_most: measures.seconds,
    };
    let alone = outages.possible.saturating_sub(outages.count + outages.unknown);
    let alone = if alone > 0 {
        format!(
            "; {} may have lasted 10 ms where nobody looked between two probes (a higher --rate \
             looks more often)",
            some(alone, "loss", "losses")
        )
    } else {
        String::new()
    };
    events.rate(&alone, row.at_most, measures)
}

/// What was not seen, in words.
fn unseen(measures: &Measures) -> String {
    let Outages { hidden, unknown, .. } = measures.outages;
    let mut words = String::new();
    if hidden > 0 {
        let stalls = some(hidden, "stall", "stalls");
        words += &format!("; {stalls} of a machine may hide others");
    }
    if unknown > 0 {
        let stretches = some(unknown, "stretch", "stretches");
        words += &format!("; of {stretches} nobody knows whether it was the link");
    }
    words + &stalls(measures)
}

/// The stalls of the robot's machine, to be put behind other words.
fn stalls(measures: &Measures) -> String {
    measures.own.robot_stalls_words().map_or_else(String::new, |words| format!("; {words}"))
}

/// What was counted, and in how long.
struct Events {
    /// Seen.
    seen: u64,
    /// Those that surely were.
    sure: u64,
    /// As many as there may have been.
    possible: u64,
    /// How long the link was looked at, s.
    seconds: f64,
    /// The same were nothing hidden.
    seconds_most: f64,
}

impl Events {
    fn rate(&self, more: &str, bound: Option<f64>, measures: &Measures) -> Found {
        let per_hour = |events: f64, seconds: f64| events / (seconds / 3_600.0).max(1e-9);
        let (few, _) = poisson(self.sure);
        let (_, many) = poisson(self.possible);
        let found = Found {
            measured: per_hour(real(self.seen), self.seconds),
            low: per_hour(few, self.seconds_most),
            high: Some(per_hour(many, self.seconds)),
            because: format!(
                "{} seen in {}; such a run may have up to {many:.1}{more}{}",
                self.seen,
                long(self.seconds),
                unseen(measures)
            ),
            needs_s: bound.filter(|bound| *bound > 0.0).map(|bound| 3.0 / bound * 3_600.0),
        };
        found.unless_missed(measures)
    }
}

/// The longest run that there is, s. Chosen: six nines need 34.7 days without an outage (`--require
/// atis-laparoscopic`), and a day more is what a run that lasts for weeks loses by the way.
pub const RUN_MAX_S: f64 = 36.0 * 86_400.0;
/// How long an outage may be that was not seen, s. Chosen: a second, what a radio takes to come
/// back (links.md section 6: outages of 150 ms to 4 s at p99); where longer ones were seen, as long
/// as the longest.
const UNSEEN_OUTAGE_S: f64 = 1.0;
/// So many outages say by themselves how long outages are. Chosen: as for any mean.
const OUTAGES_KNOWN: u64 = 30;
/// A run this long without a longer outage shows that they are rarer than one an hour. Source:
/// links.md section 8, V4: "outage <1/h" needs 3 h.
const RARE_OUTAGE_S: f64 = 3.0 * 3_600.0;
