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
/// How long the gap detector spins after each round. Chosen: a shared virtual machine may be
/// robbed of a millisecond one to three times a second; twenty rounds see some of it.
const SPIN_NS: u64 = 50_000_000;

/// One thing to measure.
pub struct Subject<'a> {
    /// What it is, for people.
    pub name: &'static str,
    /// How many times the work is done in one sample; figures are for one.
    pub batch: u64,
    /// What is to be reached.
    pub goals: &'static [Goal],
    /// One round.
    pub round: Box<dyn FnMut(&mut Recorder) + 'a>,
}

/// A figure to reach.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Which column.
    pub of: Quantile,
    /// The most it may be.
    pub at_most: Bound,
    /// Where it is written.
    pub source: &'static str,
}

/// The most that a figure may be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So much, in the table's unit.
    Of(f64),
    /// So many times the same column of the first row.
    TimesFirst(f64),
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// Half of the samples are shorter.
    P50,
    /// 9 in 10.
    P90,
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
    /// An empty one.
    ///
    /// Errors: the histogram's, which a constant bound never meets.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
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

    /// Samples in range.
    pub fn samples(&self) -> u64 {
        self.histogram.len()
    }

    fn figures(&self, per: f64) -> Figures {
        let at = |q| float(self.histogram.value_at_quantile(q)) / per;
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        Figures { p50, p90, p99, p999, max: at(1.0) }
    }
}

/// What one round said, in the table's unit.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Median.
    pub p50: f64,
    /// 9 in 10 are shorter.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What the rounds of one subject said.
pub struct Series {
    name: &'static str,
    batch: u64,
    goals: &'static [Goal],
    said: Vec<Figures>,
    samples: u64,
    out_of_range: u64,
}

impl Series {
    /// No round yet.
    pub const fn new(name: &'static str, batch: u64, goals: &'static [Goal]) -> Self {
        Self { name, batch, goals, said: Vec::new(), samples: 0, out_of_range: 0 }
    }

    /// Adds a round that was recorded here, in nanoseconds.
    pub fn add(&mut self, recorder: &Recorder, unit: Unit) {
        let figures = recorder.figures(unit.nanos() * float(self.batch));
        self.add_figures(figures, recorder.histogram.len(), recorder.out_of_range);
    }

    /// Adds a round that somebody else has recorded, in the table's unit.
    pub fn add_figures(&mut self, figures: Figures, samples: u64, out_of_range: u64) {
        self.said.push(figures);
        self.samples = self.samples.saturating_add(samples);
        self.out_of_range = self.out_of_range.saturating_add(out_of_range);
    }

    /// The medians of the rounds.
    pub fn row(&self) -> Row {
        let all = |of: fn(&Figures) -> f64| self.said.iter().map(of).collect::<Vec<f64>>();
        let p50s = all(|f| f.p50);
        let middle = quantile(&p50s, 2);
        let spread = (quantile(&p50s, 3) - quantile(&p50s, 1)) / middle.max(f64::MIN_POSITIVE);
        Row {
            name: self.name,
            batch: self.batch,
            p50: middle,
            p90: quantile(&all(|f| f.p90), 2),
            p99: quantile(&all(|f| f.p99), 2),
            p999: quantile(&all(|f| f.p999), 2),
            max: all(|f| f.max).into_iter().fold(0.0, f64::max),
            samples: self.samples,
            out_of_range: self.out_of_range,
            spread,
            goals: self.goals,
        }
    }
}

/// Watches what the machine takes away while something is measured.
pub struct Watch {
    noise: Noise,
    stolen: u64,
    all: u64,
}

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        let (stolen, all) = machine::stolen_and_all();
        Self { noise: Noise::default(), stolen, all }
    }

    /// Looks for gaps, once. Not while anything is measured.
    pub fn spin(&mut self) {
        self.noise.spin(SPIN_NS);
    }

    /// What was seen so far, and the share of all processors that the hypervisor took.
    pub fn seen(&self) -> (Noise, f64) {
        let (stolen, all) = machine::stolen_and_all();
        let all = float(all.saturating_sub(self.all)).max(1.0);
        (self.noise, float(stolen.saturating_sub(self.stolen)) / all)
    }
}

/// The unit of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
}

impl Unit {
    /// As in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Micros => "us",
            Self::Millis => "ms",
        }
    }

    const fn nanos(self) -> f64 {
        match self {
            Self::Nanos => 1.0,
            Self::Micros => 1e3,
            Self::Millis => 1e6,
        }
    }
}

/// Tells a person who waits how far it is: on standard error, never among the figures.
pub fn progress(what: &str, round: u32, rounds: u32) {
    eprintln!("{what}: round {round} of {rounds}");
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
    let mut watch = Watch::begin();
    let series = |s: &Subject<'_>| Series::new(s.name, s.batch, s.goals);
    let mut said: Vec<Series> = subjects.iter().map(series).collect();
    for round in 1..=rounds {
        progress(title, round, rounds);
        for (subject, said) in subjects.iter_mut().zip(&mut said) {
            let mut recorder = Recorder::new()?;
            (subject.round)(&mut recorder);
            said.add(&recorder, unit);
            watch.spin();
        }
    }
    Ok(Table::new(title, unit, rounds, &watch, said.iter().map(Series::row).collect()))
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
            goals: &[],
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
