//! One measure's course over many runs: steady, drifting, or changed at a time.
//!
//! Knows: what may be said of so many runs, and how sure. Does not know: what the numbers are.
//!
//! The rate of false alarms is a whole table's: where nothing changed, at most [`RATE`] of all
//! tables show any change or trend at all. Each measure's tests have their share of it
//! (Bonferroni); so every `chance` here is of a table without a change showing such a thing
//! anywhere. What so few runs could never show at that rate is not looked for, and that is said.

use serde::Serialize;

use super::chance::{PIECE, change, middle, resemblance, rise_chance, runs_for_change};
use super::chance::{runs_for_trend, slope};
use crate::number::{len, real};

/// Tables without a change that show one. Chosen: one in twenty, as everywhere in a report.
pub const RATE: f64 = 0.05;
/// Both tests of a measure share its part.
const TESTS: f64 = 2.0;

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Days from the first run of its group.
    pub day: f64,
    /// The value, in the measure's unit.
    pub value: f64,
}

/// A slope over all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// Change a day: the median of all pairs (Theil and Sen).
    pub per_day: f64,
    /// The least that it may be, 95 %.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// How often a table without a change shows such a trend (Mann and Kendall).
    pub chance: f64,
    /// Whether that is seldom enough to say so.
    pub is_sure: bool,
}

/// A change between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The first run behind it, counted from 0 among those that have this measure.
    pub run: usize,
    /// The median of the piece before it.
    pub before: f64,
    /// The median of the piece behind it.
    pub after: f64,
    /// How often a table without a change shows such a one.
    pub chance: f64,
}

/// What a course reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Too few runs: a change of any size would not be told from luck.
    TooFew,
    /// Nothing that luck would not do.
    Steady,
    /// A slope fits better than steps do.
    Drift,
    /// Steps fit better than a slope does.
    Steps,
}

/// A measure's course.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// The values, by time.
    pub points: Vec<Point>,
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The newest.
    pub last: f64,
    /// What it reads as.
    pub reads_as: Reading,
    /// The slope; `null`: too few runs, or all of one minute.
    pub drift: Option<Drift>,
    /// Changes, by time; empty where there is none, or too few runs to tell.
    pub steps: Vec<Step>,
    /// Runs that it takes until a trend, and a change, could be told from luck.
    pub needs: (u64, u64),
    /// By how much fewer independent runs these are worth; 1: they do not resemble each other.
    pub resemblance: f64,
}

/// What one of a measure's tests may take of a table's rate.
pub fn share(tested: u64) -> f64 {
    RATE / TESTS / real(tested.max(1))
}

/// Runs that it takes until a trend, and a change, of any of so many measures could be told.
pub fn needs(measures: u64) -> (u64, u64) {
    let share = share(measures);
    (runs_for_trend(share), runs_for_change(share))
}

/// The course of values by time, one of `tested` measures in a table. `needs`: [`needs`] of all
/// that the table has, so that they stay what they are when one of them that was always the same
/// begins to move. `None`: there are no values.
pub fn course(points: &[Point], tested: u64, needs: (u64, u64)) -> Option<Course> {
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let last = *values.last()?;
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let share = share(tested);
    let tell = |fewer: f64| {
        let few = |needs: u64| len(&values) < needs;
        let drift = if few(needs.0) { None } else { drift(points, &values, share, fewer) };
        let steps = if few(needs.1) { Vec::new() } else { steps(&values, share, fewer) };
        let reads_as = reads_as(points, &values, drift.as_ref(), &steps, needs);
        (drift, steps, reads_as)
    };
    // First as if each run were by itself; then, where what is left of them shows that they are
    // not, again.
    let (drift, steps, reads_as) = tell(1.0);
    let (left, fitted) = match reads_as {
        Reading::Drift => (off_line(points, drift.map_or(0.0, |drift| drift.per_day)), 2),
        Reading::Steps => (off_steps(&values, &steps), len(&steps) + 1),
        Reading::TooFew | Reading::Steady => (values.clone(), 1),
    };
    let fewer = resemblance(&left, fitted);
    let (drift, steps, reads_as) = if fewer > 1.0 { tell(fewer) } else { (drift, steps, reads_as) };
    Some(Course {
        points: points.to_vec(),
        min,
        median: middle(&mut values.clone())?,
        last,
        reads_as,
        drift,
        steps,
        needs,
        resemblance: fewer,
    })
}

fn drift(points: &[Point], values: &[f64], share: f64, fewer: f64) -> Option<Drift> {
    let days: Vec<f64> = points.iter().map(|point| point.day).collect();
    let (per_day, low, high) = slope(&days, values, fewer)?;
    let chance = rise_chance(values, fewer);
    let is_sure = chance <= share;
    Some(Drift { per_day, low, high, chance: (chance * RATE / share).min(1.0), is_sure })
}

/// Splits where a change is surer than `share`, and each piece again.
fn steps(values: &[f64], share: f64, fewer: f64) -> Vec<Step> {
    let mut borders: Vec<(usize, f64)> = Vec::new();
    let mut open = vec![(0, values.len())];
    while let Some((from, to)) = open.pop() {
        let piece = between(values, from, to);
        let found = if piece.len() < 2 * PIECE { None } else { change(piece, share, fewer) };
        let Some((inner, chance)) = found else { continue };
        let mut start = from;
        for place in inner.iter().map(|place| from + place).chain([to]) {
            open.push((start, place));
            start = place;
        }
        borders.extend(inner.iter().map(|place| (from + place, chance)));
    }
    borders.sort_by_key(|(place, _)| *place);
    let told = |n: usize| {
        let (from, at, to) = around(values, &borders, n)?;
        let (before, behind) = (between(values, from, at), between(values, at, to));
        let chance = borders.get(n)?.1 * RATE / share;
        let (before, after) = (middle(&mut before.to_vec())?, middle(&mut behind.to_vec())?);
        Some(Step { run: at, before, after, chance: chance.min(1.0) })
    };
    (0..borders.len()).filter_map(told).collect()
}

fn between(values: &[f64], from: usize, to: usize) -> &[f64] {
    values.get(from..to).unwrap_or(&[])
}

/// A border's place, with those of the one before and the one behind.
fn around(values: &[f64], borders: &[(usize, f64)], n: usize) -> Option<(usize, usize, usize)> {
    let at = |n: usize| borders.get(n).map(|(place, _)| *place);
    let before = n.checked_sub(1).and_then(at).unwrap_or(0);
    Some((before, at(n)?, at(n + 1).unwrap_or(values.len())))
}

fn reads_as(
    points: &[Point],
    values: &[f64],
    drift: Option<&Drift>,
    steps: &[Step],
    needs: (u64, u64),
) -> Reading {
    let sure = drift.filter(|drift| drift.is_sure);
    match (sure, steps.is_empty()) {
        (None, true) if len(values) < needs.0.max(needs.1) => Reading::TooFew,
        (None, true) => Reading::Steady,
        (None, false) => Reading::Steps,
        (Some(_), true) => Reading::Drift,
        (Some(drift), false) => {
            let all = |off: Vec<f64>| off.into_iter().map(f64::abs).sum::<f64>();
            let off_line = all(off_line(points, drift.per_day));
            let off_steps = all(off_steps(values, steps));
            // Bayes' criterion for errors of Laplace's kind: a slope has two numbers, steps have
            // a height more than places.
            let n = real(len(values));
            let weigh =
                |off: f64, numbers: f64| 2.0 * n * (off.max(1e-12) / n).ln() + numbers * n.ln();
            let of_steps = weigh(off_steps, 2.0 * real(len(steps)) + 1.0);
            if weigh(off_line, 2.0) < of_steps { Reading::Drift } else { Reading::Steps }
        }
    }
}

/// How far values are from a line of this slope.
fn off_line(points: &[Point], per_day: f64) -> Vec<f64> {
    let along = points.iter().map(|point| point.value - per_day * point.day);
    let along: Vec<f64> = along.collect();
    let start = middle(&mut along.clone()).unwrap_or(0.0);
    along.into_iter().map(|value| value - start).collect()
}

/// How far values are from the medians of their pieces.
fn off_steps(values: &[f64], steps: &[Step]) -> Vec<f64> {
    let off = |(place, value): (usize, &f64)| {
        let behind = steps.iter().rev().find(|step| step.run <= place).map(|step| step.after);
        let height = behind.or_else(|| steps.first().map(|step| step.before));
        value - height.unwrap_or(*value)
    };
    values.iter().enumerate().map(off).collect()
}
