//! What was asked beside what came out: one row each, and whether the difference is chance.
//!
//! Knows: how far a finite sample of each figure may lie from its law. Does not know: how anything
//! was sampled.
//!
//! Tolerance. A figure may miss by what chance does to it in a sample of this length: four standard
//! errors ([`ERRORS`]), worked out from the asked law alone and printed beside the figure; or by
//! 2 %, what the project asks of every reported quantile. The distance between distributions is
//! 0.03 (links.md, E7), the correlation time 10 %: the sources give it in one digit ("about 100
//! ms").
//! What happened too seldom to say anything (fewer than [`FEW`] expected) is judged by the same
//! bounds, and marked.

use longhand_link::Direction;
use longhand_link::Profile;
use longhand_link::profile::{DrillAct, Loss, Outage, Path, When};
use longhand_protocol::units::{Instant, Micros};

use super::apart::{Dwells, Line, Runs, TAKES};
use super::asked::{Curve, normal_above};
use super::sampled::{Bases, Lane, Seen, Spells, Tally};
use crate::link_command::show::{count, floored, percentile};

/// Standard errors that chance may make. Chosen: four are exceeded once in 16 000 figures; all
/// profiles together have about 250.
const ERRORS: f64 = 4.0;

/// Events expected in the sample below which it says little. Chosen: with ten the standard error of
/// a count is a third.
const FEW: f64 = 10.0;

/// Chosen: what the project asks of every quantile that it reports of a link.
const PART: f64 = 0.02;

/// Source: links.md section 9, E7.
const DISTANCE: f64 = 0.03;

/// Chance exceeds this over the root of the free values as rarely as four standard errors. Source:
/// Kolmogorov's law, `2 exp(-2 x x)` is 6e-5 there.
const KOLMOGOROV: f64 = 2.28;

/// Source: links.md section 4 gives the correlation as "about 100 ms": one digit.
const CORRELATION_PART: f64 = 0.1;

/// Times are whole microseconds, and two of them add up in a delay.
const GRID_MS: f64 = 0.002;

/// The 99 % point of the standard normal law, which a profile's p99 stands for.
const Z_99: f64 = 2.326_347_874;

/// How a row came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within what chance allows.
    Pass,
    /// The same, but so few events that it says little.
    TooFew,
    /// The link does not do what it is asked.
    Fail,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::TooFew => "too few",
            Self::Fail => "FAIL",
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) way: Option<Direction>,
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) asked: f64,
    /// `None` where there was nothing to take it from.
    pub(super) got: Option<f64>,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) few: bool,
}

impl Row {
    pub(super) fn verdict(&self) -> Verdict {
        match self.got {
            Some(got) if !(self.least <= got && got <= self.most) => Verdict::Fail,
            None if !self.few => Verdict::Fail,
            Some(_) | None if self.few => Verdict::TooFew,
            Some(_) | None => Verdict::Pass,
        }
    }

    /// A figure that must be exactly what was asked.
    fn exact(way: Option<Direction>, what: &str, asked: u64, got: u64) -> Self {
        let (asked, got) = (float(asked), float(got));
        let what = what.to_owned();
        Self { way, what, unit: "", asked, got: Some(got), least: asked, most: asked, few: false }
    }

    /// A figure that may miss by `by` either way.
    fn near(what: &str, unit: &'static str, asked: f64, got: f64, by: f64) -> Self {
        let (least, most) = ((asked - by).max(0.0), asked + by);
        let (way, what, got) = (None, what.to_owned(), got.is_finite().then_some(got));
        Self { way, what, unit, asked, got, least, most, few: false }
    }

    fn few_if(self, few: bool) -> Self {
        Self { few, ..self }
    }
}

/// Every row of one link.
pub(super) fn rows(
    profile: &Profile,
    seen: &Seen,
    lines: &[Option<Line>; 2],
    dwells: &[Option<Dwells>; 2],
) -> Vec<Row> {
    let mut all = Vec::new();
    let lanes = Direction::BOTH.into_iter().zip(&seen.lanes).zip(lines.iter().zip(dwells));
    for ((direction, lane), (line, dwells)) in lanes {
        let path = profile.path(direction);
        let mut rows = delays(path, lane, seen.span);
        rows.extend(losses(path, lane, seen.span, dwells.as_ref()));
        rows.extend(line.iter().flat_map(|line| line_rows(path, line)));
        rows.push(Row::exact(None, "packets out of order", 0, lane.overtook));
        rows.push(Row::exact(None, "packets astray", 0, lane.astray));
        all.extend(rows.into_iter().map(|row| Row { way: Some(direction), ..row }));
    }
    all.extend(seen.outages.iter().flat_map(|spells| outage_rows(spells, seen.span)));
    all.extend(base_rows(profile, &seen.bases, seen.span));
    all.extend(seen.acts.iter().map(|(act, way, tally)| act_row(*act, *way, *tally)));
    all
}

fn delays(path: &Path, lane: &Lane, span: Micros) -> Vec<Row> {
    let base_ms = path.base.as_millis_f64();
    let total: u64 = lane.delays.iter().sum::<u64>().saturating_add(lane.beyond);
    let curve = Curve::of(&path.jitter);
    let tau_s = path.jitter.correlation.as_secs_f64();
    let span_s = span.as_secs_f64();
    let least = lane.delays.iter().position(|n| *n > 0).map_or(f64::NAN, |us| count(us) * 1e-3);
    if path.jitter.target.is_empty() {
        let most = float(lane.most_us) * 1e-3;
        return vec![
            Row::near("least delay", "ms", base_ms, base_ms + least, GRID_MS),
            Row::near("greatest delay", "ms", base_ms, base_ms + most, GRID_MS),
        ];
    }
    // Values further apart than twice the correlation time tell of themselves.
    let free = span_s / (2.0 * tau_s);
    let lowest = curve.ms_at((1.0 - FEW / free).max(0.5));
    let mut rows = vec![Row {
        least: base_ms - GRID_MS,
        ..Row::near("least delay", "ms", base_ms, base_ms + least, lowest + GRID_MS)
    }];
    let knots = path.jitter.target.split_last();
    for knot in knots.iter().flat_map(|(_, inner)| inner.iter()) {
        let above = knot.above;
        // A delay falls no faster than time passes: what is that high stays for its excess more.
        let free = span_s / (2.0 * (tau_s + curve.mean_excess_ms(above) * 1e-3));
        let (fewer, more) = shares(above, free);
        let part = PART * knot.at_ms + GRID_MS;
        let row = Row {
            least: curve.ms_at(more).min(knot.at_ms - part),
            most: curve.ms_at(fewer).max(knot.at_ms + part),
            ..Row::near("", "ms", knot.at_ms, quantile_ms(&lane.delays, total, above), 0.0)
        };
        let what = format!("added delay p{}", percentile(above));
        let rare = free * above.min(1.0 - above) < FEW;
        rows.push(Row { what, ..row }.few_if(rare));
    }
    if let Some((most, _)) = knots {
        let got = float(lane.most_us) * 1e-3;
        let row = Row::near("added delay, greatest", "ms", most.at_ms, got, GRID_MS);
        rows.push(Row { least: 0.0, ..row });
    }
    // Between its knots a path with slots has the even wait for a slot, whatever is drawn: its
    // distribution was asked for at the knots, and nowhere else.
    let (what, distance) = if path.radio.slot == Micros::ZERO {
        ("distance of added delay (KS)", distance(&curve, &lane.delays, total))
    } else {
        ("distance at the knots (KS)", distance_at_knots(path, &lane.delays, total))
    };
    let free = span_s / (2.0 * (tau_s + curve.mean_excess_ms(0.5) * 1e-3));
    let allowed = DISTANCE.max(KOLMOGOROV / free.sqrt());
    rows.push(Row { least: 0.0, ..Row::near(what, "", 0.0, distance, allowed) });
    rows.push(correlation(path, lane, span_s));
    rows
}

/// Between which shares the value at the share `above` of `n` free ones may lie. Chosen: a tail of
/// few values is no normal law; with [`RARE`] more of them no sample of one misses by chance.
fn shares(above: f64, n: f64) -> (f64, f64) {
    const RARE: f64 = 8.0;
    let by = ERRORS * (above * (1.0 - above) / n).sqrt();
    let tail = RARE / n * (0.5 - above).abs() * 2.0;
    let (down, up) = if above < 0.5 { (0.0, tail) } else { (tail, 0.0) };
    ((above - by - down).max(above * 1e-3), (above + by + up).min(1.0))
}

/// The correlation time from the correlation of scores at that very lag, where it shall be 1/e.
fn correlation(path: &Path, lane: &Lane, span_s: f64) -> Row {
    let tau_s = path.jitter.correlation.as_secs_f64();
    let kept = lane.product / lane.square;
    let got_ms = -tau_s * 1e3 / kept.max(f64::MIN_POSITIVE).ln();
    // Bartlett's formula for exp(-t / tau) at t = tau: the variance is 0.594 tau over the span, and
    // an error of the correlation is one e times as large of the time.
    let error = std::f64::consts::E * (0.594 * tau_s / span_s).sqrt();
    let by = tau_s * 1e3 * (ERRORS * error).max(CORRELATION_PART);
    Row::near("correlation time", "ms", tau_s * 1e3, got_ms, by)
}

fn quantile_ms(delays: &[u64], total: u64, above: f64) -> f64 {
    let want = float(total) * (1.0 - above);
    let mut sum = 0_u64;
    for (us, n) in delays.iter().enumerate() {
        sum = sum.saturating_add(*n);
        if *n > 0 && float(sum) >= want {
            return count(us) * 1e-3;
        }
    }
    f64::NAN
}

/// The greatest difference between the asked and the found share below any delay. A bin holds what
/// was rounded to its microsecond.
fn distance(curve: &Curve, delays: &[u64], total: u64) -> f64 {
    let (mut sum, mut most) = (0_u64, 0.0_f64);
    let found = delays.iter().enumerate().filter(|(_, n)| **n > 0);
    for (us, n) in found {
        let (from, to) = ((count(us) - 0.5) * 1e-3, (count(us) + 0.5) * 1e-3);
        let below = float(sum) / float(total);
        sum = sum.saturating_add(*n);
        let up_to = float(sum) / float(total);
        most = most.max((1.0 - curve.above(from) - below).abs());
        most = most.max((1.0 - curve.above(to) - up_to).abs());
    }
    most
}

/// The same where shares were asked for: how much more or less lies above each knot.
fn distance_at_knots(path: &Path, delays: &[u64], total: u64) -> f64 {
    let inner = path.jitter.target.iter().filter(|knot| knot.above > 0.0);
    let apart = inner.map(|knot| {
        let at = floored(knot.at_ms * 1e3 + 0.5).saturating_add(1);
        let above: u64 = delays.iter().skip(at).sum();
        let beyond = total.saturating_sub(delays.iter().sum());
        (float(above.saturating_add(beyond)) / float(total) - knot.above).abs()
    });
    apart.fold(0.0, f64::max)
}

fn losses(path: &Path, lane: &Lane, span: Micros, dwells: Option<&Dwells>) -> Vec<Row> {
    let asked = path.loss.mean();
    let Tally { of, hit } = lane.loss;
    let got = float(hit) / float(of.max(1)) * 100.0;
    let percent = |by: f64| Row::near("loss", "%", asked * 100.0, got, by * 100.0);
    let span_s = span.as_secs_f64();
    match path.loss {
        Loss::None => vec![percent(0.0)],
        Loss::Random { p } => {
            let expected = p * float(of);
            let by = ERRORS * (p / float(of)).sqrt();
            vec![at_least_one(percent(by), expected, 100.0 / float(of))]
        }
        Loss::Bursts { good, bad, .. } => {
            // So many bad spells; each loses a number as scattered as its exponential length is.
            let spells = span_s / (good.as_secs_f64() + bad.as_secs_f64());
            let by = asked * ERRORS * (2.0 / spells).sqrt();
            let mut rows = vec![percent(by).few_if(spells < FEW)];
            if let Some(dwells) = dwells {
                let leave = (-(1.0 / good.as_millis_f64() + 1.0 / bad.as_millis_f64())).exp_m1();
                let bad_share = bad.as_secs_f64() / (good.as_secs_f64() + bad.as_secs_f64());
                // Seen once a millisecond, a state is left with this probability.
                let bad_run = -1.0 / ((1.0 - bad_share) * leave);
                let good_run = -1.0 / (bad_share * leave);
                rows.push(dwell("loss stays good for", good_run, dwells.good, spells));
                rows.push(dwell("loss stays bad for", bad_run, dwells.bad, spells));
            }
            rows
        }
    }
}

fn dwell(what: &str, asked_ms: f64, runs: Runs, spells: f64) -> Row {
    let got = float(runs.millis) / float(runs.runs);
    let by = asked_ms * (ERRORS / spells.max(1.0).sqrt()).max(PART);
    Row::near(what, "ms", asked_ms, got, by).few_if(spells < FEW)
}

/// A count whose bounds leave room for one event, however few are expected.
fn at_least_one(row: Row, expected: f64, one: f64) -> Row {
    Row { most: row.most + one, ..row }.few_if(expected < FEW)
}

fn line_rows(path: &Path, line: &Line) -> Vec<Row> {
    let Some(rate) = path.rate else { return Vec::new() };
    let mbit = float(rate.bits_per_s) * 1e-6;
    let wait = Row::near(
        "longest wait for the line",
        "ms",
        rate.queue_max.as_millis_f64(),
        line.wait_ms,
        TAKES.as_millis_f64(),
    );
    vec![Row::near("rate", "Mbit/s", mbit, line.bits_per_s * 1e-6, PART * mbit), wait]
}

fn outage_rows(spells: &Spells, span: Micros) -> Vec<Row> {
    let Spells { kind, lengths } = spells;
    let (expected, error) = how_many(kind, span.as_secs_f64());
    let got = count(lengths.len());
    let row = Row::near(&format!("{}: how many", kind.name), "", expected, got, ERRORS * error);
    let mut rows = vec![at_least_one(row, expected, 1.0)];
    let mut sorted = lengths.clone();
    sorted.sort_unstable();
    let (p50, p99) = (kind.p50.as_millis_f64(), kind.p99.as_millis_f64());
    let sigma = (p99 / p50).ln() / Z_99;
    for (name, above, asked) in [("p50", 0.5_f64, p50), ("p99", 0.01, p99)] {
        let n = got.max(1.0);
        let (fewer, more) = shares(above, n);
        let at = |share: f64| p50 * (sigma * normal_above(share)).exp();
        let (least, most) = (at(more.min(0.999)), at(fewer));
        let place = super::floored(n * (1.0 - above)).min(sorted.len().saturating_sub(1));
        let got = sorted.get(place).map_or(f64::NAN, |length| length.as_millis_f64());
        let what = format!("{}: length {name}", kind.name);
        let (least, most) = (least - GRID_MS, most + GRID_MS);
        let row = Row { least, most, ..Row::near(&what, "ms", asked, got, 0.0) };
        rows.push(row.few_if(n * above < FEW));
    }
    rows
}

/// How many outages of a kind so many seconds have, and the standard error of that.
fn how_many(kind: &Outage, span_s: f64) -> (f64, f64) {
    let sigma = (kind.p99.as_secs_f64() / kind.p50.as_secs_f64()).ln() / Z_99;
    let lasts = kind.p50.as_secs_f64() * (sigma * sigma / 2.0).exp();
    match kind.when {
        When::PerHour(rate) => {
            let expected = span_s / (3_600.0 / rate + lasts);
            (expected, expected.sqrt())
        }
        When::Between(low, high) => {
            let (low, high) = (low.as_secs_f64(), high.as_secs_f64());
            let each = f64::midpoint(low, high) + lasts;
            (span_s / each, (span_s * (high - low).powi(2) / 12.0 / each.powi(3)).sqrt())
        }
        When::SlotEdge(p) => {
            let expected = edges(span_s) * p;
            (expected, (expected * (1.0 - p)).sqrt())
        }
    }
}

/// Slot edges in so many seconds: one each 15 s from 12 s on. Source: links.md section 4.
fn edges(span_s: f64) -> f64 {
    if span_s > 12.0 { ((span_s - 12.0) / 15.0).ceil() } else { 0.0 }
}

fn base_rows(profile: &Profile, bases: &Bases, span: Micros) -> Vec<Row> {
    let mut rows = Vec::new();
    let moved = count(bases.moves.len());
    if let Some(rebase) = profile.rebase {
        let asked = edges(span.as_secs_f64());
        // A change below a microsecond is none to be told: the law says how many those are.
        let untold = asked * std::f64::consts::LN_2 * 1e-3 / rebase.p50_ms;
        let by = untold + ERRORS * untold.sqrt() + 1.0;
        let row = Row::near("new base: how many", "", asked, moved, by);
        rows.push(Row { most: asked, ..row });
        let off = bases.moves.iter().filter(|(at, _)| !is_edge(*at)).count();
        rows.push(Row::near("new base: not at a slot edge", "", 0.0, count(off), 0.0));
        let mut sizes: Vec<u64> = bases.moves.iter().map(|(_, by)| by[0].unsigned_abs()).collect();
        sizes.sort_unstable();
        let knots = [(0.5, rebase.p50_ms), (0.1, rebase.p90_ms), (1e-3, rebase.max_ms)];
        let curve = Curve::through(&knots);
        for (above, asked) in knots.into_iter().take(2) {
            let n = moved.max(1.0);
            let (fewer, more) = shares(above, n);
            let place = super::floored(n * (1.0 - above)).min(sizes.len().saturating_sub(1));
            let got = sizes.get(place).map_or(f64::NAN, |us| float(*us) * 1e-3);
            let what = format!("new base: change p{}", percentile(above));
            let (least, most) = (curve.ms_at(more), curve.ms_at(fewer));
            let row = Row { least, most, ..Row::near(&what, "ms", asked, got, 0.0) };
            rows.push(row.few_if(n * above < FEW));
        }
        let got = sizes.last().map_or(0.0, |us| float(*us) * 1e-3);
        let most = Row::near("new base: greatest change", "ms", rebase.max_ms, got, GRID_MS);
        rows.push(Row { least: 0.0, ..most });
    }
    if let Some(step) = profile.route_step {
        let kind = Outage { when: step.when, ..NO_OUTAGE };
        let (expected, error) = how_many(&kind, span.as_secs_f64());
        let row = Row::near("route steps", "", expected, moved, ERRORS * error);
        rows.push(at_least_one(row, expected, 1.0));
    }
    rows
}

/// What has no length.
const NO_OUTAGE: Outage = Outage {
    name: "",
    when: When::PerHour(0.0),
    p50: Micros::from_micros(1),
    p99: Micros::from_micros(1),
    mode: longhand_link::profile::OutageMode::Drop,
    directions: longhand_link::Directions::Both,
    cell_shift: Micros::ZERO,
};

fn is_edge(at: Instant<longhand_protocol::units::Link>) -> bool {
    let seconds = at.as_micros() % 60_000_000;
    [12_000_000, 27_000_000, 42_000_000, 57_000_000].contains(&seconds)
}

fn act_row(act: DrillAct, way: Direction, tally: Tally) -> Row {
    let (what, asked) = match act {
        DrillAct::BlackHole(_) => ("swallowed by a black hole", 1.0),
        DrillAct::PathMtu(_) => ("too long for a narrow path", 1.0),
        DrillAct::Lose(_, p) => ("lost by the drill", p),
        DrillAct::Duplicate(p) => ("copied by the drill", p),
        DrillAct::Corrupt(p) => ("altered by the drill", p),
        DrillAct::NatRebind | DrillAct::DscpBleach | DrillAct::ClockStep(_) => ("nothing", 0.0),
    };
    let of = float(tally.of);
    let by = ERRORS * (asked * (1.0 - asked) / of).sqrt();
    let got = float(tally.hit) / of * 100.0;
    let row = Row::near(what, "%", asked * 100.0, got, by * 100.0);
    let few = asked < 1.0 && of * asked.min(1.0 - asked) < FEW;
    Row { way: Some(way), ..row }.few_if(few)
}

/// A count as a float, exact below 2^53.
fn float(n: u64) -> f64 {
    let low = u32::try_from(n & u64::from(u32::MAX)).unwrap_or(0);
    let high = u32::try_from(n >> 32).unwrap_or(0);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
