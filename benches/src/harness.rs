//! Rounds: several subjects measured in turns, so that a noisy moment falls on all of them.
//!
//! Knows: histograms, interleaving, medians of rounds. Does not know: what the subjects do.
//!
//! Terms: a *sample* is one reading of the clock round one piece of work; a *round* is many samples
//! of one subject; *spread* is how far the rounds' medians lie apart (quartile to quartile, over
//! the median). Every printed figure is the median of the rounds' figures, but for the maximum,
//! which is the greatest of all.

use hdrhistogram::Histogram;
use longhand_quic::clock::monotonic_ns;

use crate::machine::{self, Noise, float};
use crate::report::{Row, Table};

/// The greatest sample a histogram keeps, nanoseconds; longer ones are counted as out of range.
const SAMPLE_MAX_NS: u64 = 60_000_000_000;
/// How long the gap detector spins after each round. Chosen: the machines at hand are robbed of a
/// millisecond one to three times a second; twenty rounds see some of it.
const SPIN_NS: u64 = 50_000_000;

/// One thing to measure.
pub struct Subject<'a> {
    /// What it is, for people.
    pub name: &'static str,
    /// How many times the work is done in one sample; figures are for one.
    pub batch: u64,
    /// The most its median may be, in the table's unit, and where that is written.
    pub goal: Option<Goal>,
    /// One round.
    pub round: Box<dyn FnMut(&mut Recorder) + 'a>,
}

/// A figure to reach.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Which column.
    pub of: Quantile,
    /// The most it may be, in the table's unit.
    pub at_most: f64,
    /// Where it is written.
    pub source: &'static str,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// Half of the samples are shorter.
    P50,
    /// 99 in 100.
    P99,
    /// 999 in 1000.
    P999,
}

/// Takes the samples of one round.
pub struct Recorder {
    histogram: Histogram<u64>,
    out_of_range: u64,
}

impl Recorder {
    /// An empty one. Errors: the histogram's, which a constant bound never meets.
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { histogram: Histogram::new_with_bounds(1, SAMPLE_MAX_NS, 3)?, out_of_range: 0 })
    }

    /// Times one piece of work.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = monotonic_ns();
        let made = std::hint::black_box(work());
        self.record(monotonic_ns().saturating_sub(began));
        made
    }

    /// Takes a time that was measured elsewhere.
    pub fn record(&mut self, ns: u64) {
        if self.histogram.record(ns).is_err() {
            self.out_of_range = self.out_of_range.saturating_add(1);
        }
    }

    fn figures(&self, per: f64) -> Figures {
        let at = |q| float(self.histogram.value_at_quantile(q)) / per;
        Figures { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// What one round said, in the table's unit.
#[derive(Clone, Copy)]
struct Figures {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The unit of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Milliseconds.
    Millis,
}

impl Unit {
    /// As in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Millis => "ms",
        }
    }

    const fn nanos(self) -> f64 {
        match self {
            Self::Nanos => 1.0,
            Self::Millis => 1e6,
        }
    }
}

/// Measures the subjects in turns, `rounds` times each; ratios are to the first one.
///
/// Errors: the histogram's, which a constant bound never meets.
pub fn compare(
    title: &'static str,
    unit: Unit,
    rounds: u32,
    mut subjects: Vec<Subject<'_>>,
) -> Result<Table, hdrhistogram::CreationError> {
    let mut noise = Noise::default();
    let (stolen, all) = machine::stolen_and_all();
    let mut said: Vec<Vec<Figures>> = subjects.iter().map(|_| Vec::new()).collect();
    let mut counts: Vec<(u64, u64)> = subjects.iter().map(|_| (0, 0)).collect();
    for _ in 0..rounds {
        for ((subject, said), count) in subjects.iter_mut().zip(&mut said).zip(&mut counts) {
            let mut recorder = Recorder::new()?;
            (subject.round)(&mut recorder);
            said.push(recorder.figures(unit.nanos() * float(subject.batch)));
            count.0 = count.0.saturating_add(recorder.histogram.len());
            count.1 = count.1.saturating_add(recorder.out_of_range);
            noise.spin(SPIN_NS);
        }
    }
    let (stolen_after, all_after) = machine::stolen_and_all();
    let all = float(all_after.saturating_sub(all)).max(1.0);
    let steal_share = float(stolen_after.saturating_sub(stolen)) / all;
    let mut rows: Vec<Row> = Vec::new();
    for ((subject, said), (samples, out_of_range)) in subjects.iter().zip(&said).zip(counts) {
        rows.push(row(subject, said, samples, out_of_range));
    }
    let machine = machine::name();
    Ok(Table { title, unit, rounds, machine, noise, steal_share, rows })
}

fn row(subject: &Subject<'_>, said: &[Figures], samples: u64, out_of_range: u64) -> Row {
    let p50s: Vec<f64> = said.iter().map(|f| f.p50).collect();
    let middle = quantile(&p50s, 2);
    let spread = (quantile(&p50s, 3) - quantile(&p50s, 1)) / middle.max(f64::MIN_POSITIVE);
    Row {
        name: subject.name,
        batch: subject.batch,
        p50: middle,
        p99: quantile(&said.iter().map(|f| f.p99).collect::<Vec<_>>(), 2),
        p999: quantile(&said.iter().map(|f| f.p999).collect::<Vec<_>>(), 2),
        max: said.iter().map(|f| f.max).fold(0.0, f64::max),
        samples,
        out_of_range,
        spread,
        goal: subject.goal,
    }
}

/// The value with `quarters` quarters of the others below it; 0 where there is none.
fn quantile(values: &[f64], quarters: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last.saturating_mul(quarters) / 4).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_beyond_the_bound_is_counted_and_not_hidden() {
        let mut recorder = Recorder::new().unwrap();
        recorder.record(1_000);
        recorder.record(SAMPLE_MAX_NS * 2);
        assert_eq!((recorder.histogram.len(), recorder.out_of_range), (1, 1));
    }

    #[test]
    fn quartiles_of_odd_rounds_are_values_that_were_measured() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        let found = [1, 2, 3].map(|q| quantile(&values, q));
        assert!(found.iter().zip([2.0, 3.0, 4.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn rounds_are_interleaved_and_their_samples_counted() {
        let order = std::cell::RefCell::new(String::new());
        let subject = |name, letter| Subject {
            name,
            batch: 1,
            goal: None,
            round: Box::new({
                let order = &order;
                move |r: &mut Recorder| {
                    order.borrow_mut().push(letter);
                    r.record(1_000);
                }
            }),
        };
        let table = compare("x", Unit::Nanos, 2, vec![subject("a", 'a'), subject("b", 'b')]);
        assert_eq!(*order.borrow(), "abab");
        assert!(table.unwrap().rows.iter().all(|row| row.samples == 2));
    }
}
