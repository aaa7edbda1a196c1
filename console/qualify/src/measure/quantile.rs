//! Quantiles with intervals that know that delays come in weather.
//!
//! Knows: log histograms, and how many independent samples a correlated series is worth. Does not
//! know: what the values are.
//!
//! The interval: the run is cut into [`BATCHES`] pieces. How differently often the pieces exceed
//! the quantile says what so many correlated samples are worth as independent ones (the ratio
//! estimator of batch means); with that number the share above has Wilson's interval, and the
//! histogram turns its ends into values. Where the upper end lies beyond what was seen there is
//! none, and that is said.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::number::{count, len, real};

/// Pieces of a run. Chosen: enough for a variance, and long enough (12 s of 10 minutes) that one
/// is nearly independent of the next where delays are correlated over 100 ms.
pub const BATCHES: u64 = 50;
/// Of a normal distribution, 95 % two-sided.
const Z: f64 = 1.96;
/// Longest span recorded, us; longer ones are counted as this.
const MOST_US: u64 = 3_600_000_000;

/// Bins of a drawn histogram.
const BINS: u64 = 60;

/// The quantiles reported: the share that lies above, and the name.
pub const QUANTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p90", 0.1),
    ("p95", 0.05),
    ("p99", 0.01),
    ("p99.9", 0.001),
    ("p99.99", 0.000_1),
    ("p99.999", 0.000_01),
];

/// One quantile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// `p99.9`.
    pub name: String,
    /// The share of the samples that lies above.
    pub above: f64,
    /// Its value, ms.
    pub ms: f64,
    /// The least that it may be, 95 %, ms.
    pub low_ms: f64,
    /// The most that it may be, ms; `null`: more than was ever seen.
    pub high_ms: Option<f64>,
    /// What the samples are worth as independent ones.
    pub worth: f64,
}

/// A series of spans: how they are distributed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Samples.
    pub count: u64,
    /// The least, ms.
    pub min_ms: f64,
    /// The mean, ms.
    pub mean_ms: f64,
    /// The most, ms.
    pub max_ms: f64,
    /// The quantiles, with their intervals.
    pub quantiles: Vec<Quantile>,
    /// The share above (second) a value in ms (first), falling: for drawing.
    pub tail: Vec<(f64, f64)>,
    /// Counts (second) from a value in ms (first) to the next, up to p99.9; the last also holds
    /// what lies beyond: for drawing.
    pub bins: Vec<(f64, u64)>,
}

impl Spread {
    /// The quantile of this name.
    pub fn quantile(&self, name: &str) -> Option<&Quantile> {
        self.quantiles.iter().find(|quantile| quantile.name == name)
    }
}

/// Collects one series in two looks: values first, then how each piece exceeds the quantiles.
pub struct Series {
    values: Histogram<u64>,
    limits_us: Vec<u64>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Default)]
struct Piece {
    samples: u64,
    above: [u64; QUANTILES.len()],
}

impl Series {
    /// Empty.
    pub fn new() -> Self {
        let values = histogram();
        let pieces = vec![Piece::default(); usize::try_from(BATCHES).unwrap_or(1)];
        Self { values, limits_us: Vec::new(), pieces }
    }

    /// First look: a value, us.
    pub fn record(&mut self, us: i64) {
        let us = u64::try_from(us).unwrap_or(0);
        self.values.saturating_record(us.min(MOST_US));
    }

    /// Between the looks.
    pub fn settle(&mut self) {
        let limit = |(_, above): (_, f64)| self.values.value_at_quantile(1.0 - above);
        self.limits_us = QUANTILES.into_iter().map(limit).collect();
    }

    /// Second look: the same value again, in which piece of [`BATCHES`].
    pub fn compare(&mut self, piece: u64, us: i64) {
        let us = u64::try_from(us).unwrap_or(0).min(MOST_US);
        let index = usize::try_from(piece).unwrap_or(0).min(self.pieces.len().saturating_sub(1));
        let Some(piece) = self.pieces.get_mut(index) else { return };
        piece.samples += 1;
        for (above, limit) in piece.above.iter_mut().zip(&self.limits_us) {
            *above += u64::from(us > *limit);
        }
    }

    /// The histogram, for an .hlog file; microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.values
    }

    /// What both looks say.
    pub fn spread(&self) -> Spread {
        let count = self.values.len();
        if count == 0 {
            return Spread::default();
        }
        let mut quantiles = Vec::new();
        let (mut inflation, mut floor) = (1.0_f64, 0.0_f64);
        for (index, (name, above)) in QUANTILES.into_iter().enumerate() {
            let pieces = self
                .pieces
                .iter()
                .map(|piece| (piece.samples, piece.above.get(index).copied().unwrap_or(0)));
            let worth =
                worth(pieces, above).map_or(real(count) / inflation, |w| w.min(real(count)));
            inflation = inflation.max(real(count) / worth.max(1.0));
            let (least, most) = wilson(above, worth);
            let value = |above: f64| self.ms(1.0 - above);
            // A rarer quantile is no less than a more common one.
            floor = floor.max(value(most));
            // Beyond one of what the samples are worth nothing is known.
            let high_ms = (least * worth >= 1.0).then(|| value(least));
            quantiles.push(Quantile {
                name: name.to_owned(),
                above,
                ms: value(above),
                low_ms: floor,
                high_ms,
                worth,
            });
        }
        Spread {
            count,
            min_ms: real(self.values.min()) / 1e3,
            mean_ms: self.values.mean() / 1e3,
            max_ms: real(self.values.max()) / 1e3,
            quantiles,
            tail: self.tail(),
            bins: self.bins(),
        }
    }

    /// The least that a value of this series may have been, ms: histograms round up by 0.1 %.
    pub fn at_least_ms(&self, ms: f64) -> f64 {
        real(self.values.lowest_equivalent(count(ms * 1e3))) / 1e3
    }

    fn bins(&self) -> Vec<(f64, u64)> {
        let (least, most) = (self.values.min(), self.values.value_at_quantile(0.999));
        let wide = (most.saturating_sub(least) / BINS).max(1);
        let mut bins: Vec<(f64, u64)> =
            (0..=BINS).map(|bin| (real(least + bin * wide) / 1e3, 0)).collect();
        for value in self.values.iter_recorded() {
            let at = value.value_iterated_to().saturating_sub(least) / wide;
            let bin = usize::try_from(at.min(BINS)).unwrap_or(0);
            if let Some((_, count)) = bins.get_mut(bin) {
                *count += value.count_since_last_iteration();
            }
        }
        bins
    }

    fn ms(&self, quantile: f64) -> f64 {
        real(self.values.value_at_quantile(quantile.clamp(0.0, 1.0)).min(self.values.max())) / 1e3
    }

    /// Twelve points for each power of ten of the share above.
    fn tail(&self) -> Vec<(f64, f64)> {
        let least = 1.0 / real(self.values.len());
        let shares = (0_u32..=84).map(|step| 10_f64.powf(-f64::from(step) / 12.0));
        shares
            .take_while(|share| *share >= least)
            .map(|share| (self.ms(1.0 - share), share))
            .collect()
    }
}

/// Three digits: 0.1 % of a value, 200 kB.
#[expect(clippy::expect_used, reason = "the bounds are constants that the crate allows")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MOST_US, 3).expect("1 to an hour at three digits")
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

/// What a correlated series is worth in independent samples for a share, from how often its pieces
/// exceed; `None` where nothing exceeds.
fn worth(pieces: impl Iterator<Item = (u64, u64)>, share: f64) -> Option<f64> {
    let pieces: Vec<(f64, f64)> =
        pieces.filter(|(n, _)| *n > 0).map(|(n, above)| (real(n), real(above))).collect();
    let (all, above) = pieces.iter().fold((0.0, 0.0), |(n, a), piece| (n + piece.0, a + piece.1));
    if above < 1.0 || pieces.len() < 2 {
        return None;
    }
    let seen = above / all;
    let k = real(len(&pieces));
    let squares: f64 = pieces.iter().map(|(n, a)| (a - seen * n).powi(2)).sum();
    let variance = squares * k / (k - 1.0) / (all * all);
    let share = share.min(seen).max(f64::MIN_POSITIVE);
    (variance > 0.0).then(|| (share * (1.0 - share) / variance).clamp(1.0, all))
}

/// Wilson's interval of a share that was seen in so many independent samples.
pub fn wilson(share: f64, samples: f64) -> (f64, f64) {
    let n = samples.max(1.0);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// The least and the most that the mean of a Poisson count may be, 95 % on each side: 0 events may
/// be 3 (the rule of three). Source: Wilson and Hilferty's approximation of chi-square.
pub fn poisson(events: u64) -> (f64, f64) {
    const ONE_SIDED: f64 = 1.645;
    let cube = |k: f64, sign: f64| {
        let root = 1.0 - 1.0 / (9.0 * k) + sign * ONE_SIDED / (3.0 * k.sqrt());
        k * root.max(0.0).powi(3)
    };
    let least = if events == 0 { 0.0 } else { cube(real(events), -1.0) };
    (least, cube(real(events) + 1.0, 1.0))
}

/// A share of events, with its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Events.
    pub events: u64,
    /// Of so many.
    pub of: u64,
    /// Events by all; exact for this run.
    pub share: f64,
    /// The least that the link's own may be, 95 %.
    pub low: f64,
    /// The most; with no event, three by what the samples are worth (the rule of three).
    pub high: f64,
}

/// Counts events in pieces.
#[derive(Clone, Debug)]
pub struct Counted(Vec<(u64, u64)>);

impl Counted {
    /// Nothing yet.
    pub fn new() -> Self {
        Self(vec![(0, 0); usize::try_from(BATCHES).unwrap_or(1)])
    }

    /// One more sample, and whether it is an event.
    pub fn count(&mut self, piece: u64, is_event: bool) {
        let index = usize::try_from(piece).unwrap_or(0).min(self.0.len().saturating_sub(1));
        if let Some((samples, events)) = self.0.get_mut(index) {
            *samples += 1;
            *events += u64::from(is_event);
        }
    }

    /// What was counted.
    pub fn share(&self) -> Share {
        let (of, events) = self.0.iter().fold((0, 0), |(n, e), piece| (n + piece.0, e + piece.1));
        if of == 0 {
            return Share { high: 1.0, ..Share::default() };
        }
        let share = real(events) / real(of);
        if events == 0 {
            return Share { events, of, share, low: 0.0, high: (3.0 / real(of)).min(1.0) };
        }
        let worth = worth(self.0.iter().copied(), share).unwrap_or(real(of));
        let (low, high) = wilson(share, worth);
        Share { events, of, share, low, high }
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_the_rule_of_three_and_ten_are_about_five_to_seventeen() {
        let (none, three) = poisson(0);
        assert!(none.abs() < 1e-9 && (three - 3.0).abs() < 0.05, "{three}");
        let (low, high) = poisson(10);
        assert!((low - 5.43).abs() < 0.05 && (high - 16.96).abs() < 0.05, "{low} {high}");
    }

    #[test]
    fn samples_that_come_in_blocks_are_worth_less() {
        // A hundred samples above, one to a piece or all in one.
        let spread: Vec<(u64, u64)> = (0..50).map(|n| (1_000, 1 + n % 2)).collect();
        let block: Vec<(u64, u64)> =
            (0..50).map(|n| (1_000, if n == 7 { 75 } else { 0 })).collect();
        let worth = |pieces: Vec<(u64, u64)>| worth(pieces.into_iter(), 1.5e-3).unwrap();
        assert!(worth(spread) > 49_000.0);
        assert!(worth(block) < 1_000.0);
    }

    #[test]
    fn a_quantile_beyond_what_was_seen_has_no_upper_end() {
        let mut series = Series::new();
        for n in 0..1_000 {
            series.record(n);
        }
        series.settle();
        for n in 0..1_000_i64 {
            series.compare(u64::try_from(n / 20).unwrap(), n);
        }
        let spread = series.spread();
        assert_eq!(spread.quantile("p99.999").unwrap().high_ms, None);
        assert!((spread.quantile("p50").unwrap().ms - 0.5).abs() < 0.002, "{spread:?}");
    }
}
