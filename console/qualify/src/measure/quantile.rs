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
//!
//! A histogram knows a value to its bucket (0.1 %), so a low end is the least that its bucket holds
//! and a high end the most, and neither lies beyond what was seen: a link that is a bucket below a
//! bound is not said to be above it.
//!
//! A piece shorter than [`PIECE_US`] is not independent of the next: those of a short run are put
//! together, and the variance of few pieces has Student's t instead of 1.96. A run of which fewer
//! than two remain is worth one sample, whatever their number.
//!
//! Losses come in bursts, so those that were not seen are counted in bursts, too: none seen may be
//! three bursts ([`BURST_US`]), not three packets. Where losses show in few pieces the upper end is
//! the worse of what pieces and bursts say; where they show in many, the pieces say enough.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::number::{len, real};

/// Pieces of a run. Chosen: enough for a variance, and long enough (12 s of 10 minutes) that one
/// is nearly independent of the next where delays are correlated over 100 ms.
pub const BATCHES: u64 = 50;
/// How long pieces must be to be independent. Chosen: five times the longest correlation time in
/// links.md section 6 (geo's 200 ms).
const PIECE_US: u64 = 1_000_000;
/// How long a burst of loss lasts where too few were seen to know, us; and losses nearer to each
/// other are one burst. Source: links.md section 6, the longest mean bad dwell (40 ms).
pub const BURST_US: u64 = 40_000;
/// So many bursts say by themselves how long bursts are. Chosen: as for any mean.
const BURSTS_KNOWN: u64 = 30;
/// Where losses show in so many pieces, how differently says how they come. Chosen: Student's t of
/// ten is 2.26, an eighth above that of many.
const PIECES_KNOWN: usize = 10;
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
    /// The least that it may be, 95 %, where every slot of which nothing is known was better, ms.
    pub low_ms: f64,
    /// The most that it may be, where every slot of which nothing is known was worse, ms; `null`:
    /// more than was ever seen.
    pub high_ms: Option<f64>,
    /// What the samples are worth as independent ones.
    pub worth: f64,
}

/// A series of spans: how they are distributed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Samples.
    pub count: u64,
    /// The least, ms; `null`, as the mean and the most: there is no sample.
    pub min_ms: Option<f64>,
    /// The mean, ms.
    pub mean_ms: Option<f64>,
    /// The most, ms.
    pub max_ms: Option<f64>,
    /// The quantiles, with their intervals.
    pub quantiles: Vec<Quantile>,
    /// The share above (second) a value in ms (first), falling: for drawing.
    pub tail: Vec<(f64, f64)>,
    /// Counts (second) from a value in ms (first) to the next, up to p99.9; the last also holds
    /// what lies beyond: for drawing.
    pub bins: Vec<(f64, u64)>,
}

impl Spread {
    /// The same, where each value may be off by so much, ms.
    #[must_use]
    pub fn give_or_take(mut self, ms: f64) -> Self {
        for quantile in &mut self.quantiles {
            quantile.low_ms = (quantile.low_ms - ms).max(0.0);
            quantile.high_ms = quantile.high_ms.map(|high| high + ms);
        }
        self
    }

    /// The quantile of this name.
    pub fn quantile(&self, name: &str) -> Option<&Quantile> {
        self.quantiles.iter().find(|quantile| quantile.name == name)
    }
}

/// What is not known of a series, shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unseen {
    /// Of all slots: no value is known.
    pub unseen: f64,
    /// Of the values: it is no more than this, and nobody knows how much less.
    pub doubted: f64,
}

/// Collects one series in two looks: values first, then how each piece exceeds the quantiles.
pub struct Series {
    values: Histogram<u64>,
    /// The least and the most, which no bucket rounds, us.
    ends: Option<(u64, u64)>,
    limits_us: Vec<u64>,
    pieces: Vec<Piece>,
    piece_us: u64,
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
        Self { values, ends: None, limits_us: Vec::new(), pieces, piece_us: 0 }
    }

    /// First look: a value, us.
    pub fn record(&mut self, us: i64) {
        let us = u64::try_from(us).unwrap_or(0).min(MOST_US);
        self.values.saturating_record(us);
        let (least, most) = self.ends.unwrap_or((us, us));
        self.ends = Some((least.min(us), most.max(us)));
    }

    /// Between the looks; each piece is so long, us.
    pub fn settle(&mut self, piece_us: u64) {
        self.piece_us = piece_us;
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
        self.spread_with(Unseen::default())
    }

    /// The same where something is not known: for the upper ends that counts as worse than
    /// everything, for the lower ends as better.
    pub fn spread_with(&self, Unseen { unseen, doubted }: Unseen) -> Spread {
        let count = self.values.len();
        let Some((least_us, most_us)) = self.ends else { return Spread::default() };
        let mut quantiles = Vec::new();
        let (mut inflation, mut floor) = (1.0_f64, 0.0_f64);
        for (index, (name, above)) in QUANTILES.into_iter().enumerate() {
            let pieces = self
                .pieces
                .iter()
                .map(|piece| (piece.samples, piece.above.get(index).copied().unwrap_or(0)));
            let pieces = together(pieces, self.piece_us);
            let worth =
                worth(&pieces, above).map_or(real(count) / inflation, |w| w.min(real(count)));
            inflation = inflation.max(real(count) / worth.max(1.0));
            let (least, most) = wilson(above, worth);
            // Were all that nobody knows below it, so many more of the others would be above it.
            let most = most / (1.0 - unseen).max(f64::MIN_POSITIVE);
            // What is doubted may be all of what is above it. It was no worse than it was measured,
            // so of the upper end it takes nothing.
            let most = (most + doubted).min(1.0);
            // A rarer quantile is no less than a more common one.
            floor = floor.max(self.bucket_ms(1.0 - most).0);
            // Beyond one of what the samples are worth nothing is known.
            let least = (least - unseen).max(0.0);
            let high_ms = (least * worth >= 1.0).then(|| self.bucket_ms(1.0 - least).1);
            quantiles.push(Quantile {
                name: name.to_owned(),
                above,
                ms: self.bucket_ms(1.0 - above).1,
                low_ms: floor,
                high_ms,
                worth,
            });
        }
        Spread {
            count,
            min_ms: Some(real(least_us) / 1e3),
            mean_ms: Some(self.values.mean() / 1e3),
            max_ms: Some(real(most_us) / 1e3),
            quantiles,
            tail: self.tail(),
            bins: self.bins(),
        }
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

    /// Between what two values this quantile of the samples lies, ms: the ends of its bucket.
    fn bucket_ms(&self, quantile: f64) -> (f64, f64) {
        let value = self.values.value_at_quantile(quantile.clamp(0.0, 1.0));
        let (least, most) = self.ends.unwrap_or_default();
        let low = self.values.lowest_equivalent(value).max(least);
        (real(low) / 1e3, real(self.values.highest_equivalent(value).min(most)) / 1e3)
    }

    /// Twelve points for each power of ten of the share above.
    fn tail(&self) -> Vec<(f64, f64)> {
        let least = 1.0 / real(self.values.len());
        let shares = (0_u32..=84).map(|step| 10_f64.powf(-f64::from(step) / 12.0));
        shares
            .take_while(|share| *share >= least)
            .map(|share| (self.bucket_ms(1.0 - share).1, share))
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

/// Pieces put together until each is long enough; the last takes what remains.
fn together(pieces: impl Iterator<Item = (u64, u64)>, piece_us: u64) -> Vec<(u64, u64)> {
    let each = PIECE_US.div_ceil(piece_us.max(1)).clamp(1, BATCHES);
    let pieces: Vec<(u64, u64)> = pieces.collect();
    let whole = (len(&pieces) / each).max(1);
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (place, (samples, events)) in (0_u64..).zip(pieces) {
        if place.is_multiple_of(each) && len(&all) < whole {
            all.push((0, 0));
        }
        if let Some(last) = all.last_mut() {
            *last = (last.0 + samples, last.1 + events);
        }
    }
    all
}

/// Student's t at 95 %, two-sided. Source: Abramowitz and Stegun 26.7.5; of one degree its table.
fn student(degrees: f64) -> f64 {
    if degrees < 1.5 {
        return 12.71;
    }
    Z + 2.37 / degrees + 2.82 / degrees.powi(2) + 2.55 / degrees.powi(3)
}

/// What a correlated series is worth in independent samples for a share, from how often its pieces
/// exceed; `None` where nothing exceeds.
fn worth(pieces: &[(u64, u64)], share: f64) -> Option<f64> {
    let pieces: Vec<(f64, f64)> =
        pieces.iter().filter(|(n, _)| *n > 0).map(|(n, above)| (real(*n), real(*above))).collect();
    let (all, above) = pieces.iter().fold((0.0, 0.0), |(n, a), piece| (n + piece.0, a + piece.1));
    let k = real(len(&pieces));
    if k < 2.0 {
        return Some(1.0);
    }
    if above < 1.0 {
        return None;
    }
    let seen = above / all;
    let squares: f64 = pieces.iter().map(|(n, a)| (a - seen * n).powi(2)).sum();
    let variance = squares * k / (k - 1.0) / (all * all);
    let share = share.min(seen).max(f64::MIN_POSITIVE);
    // Few pieces say little of the variance: so much wider is the interval.
    let few = (Z / student(k - 1.0)).powi(2);
    (variance > 0.0).then(|| (share * (1.0 - share) / variance * few).clamp(1.0, all))
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
    /// The most; with no event three bursts (the rule of three, and that losses come in bursts).
    pub high: f64,
}

/// Counts events in pieces, and in bursts.
#[derive(Clone, Debug)]
pub struct Counted {
    pieces: Vec<(u64, u64)>,
    piece_us: u64,
    /// Slots that a burst lasts where it is not known.
    burst: u64,
    bursts: u64,
    last: Option<u64>,
}

impl Counted {
    /// Nothing yet: of slots so far apart, in pieces of so many of them.
    pub fn new(period_us: u64, slots: u64) -> Self {
        let pieces = vec![(0, 0); usize::try_from(BATCHES).unwrap_or(1)];
        let piece_us = period_us.saturating_mul(slots);
        let burst = (BURST_US / period_us.max(1)).max(1);
        Self { pieces, piece_us, burst, bursts: 0, last: None }
    }

    /// One more sample: in which piece, which slot, and whether it is an event.
    pub fn count(&mut self, piece: u64, place: u64, is_event: bool) {
        let most = self.pieces.len().saturating_sub(1);
        let index = usize::try_from(piece).unwrap_or(0).min(most);
        if let Some((samples, events)) = self.pieces.get_mut(index) {
            *samples += 1;
            *events += u64::from(is_event);
        }
        if is_event {
            let near = |last: u64| place.saturating_sub(last) <= self.burst;
            self.bursts += u64::from(!self.last.is_some_and(near));
            self.last = Some(place);
        }
    }

    /// What was counted.
    pub fn share(&self) -> Share {
        let sum = |all: (u64, u64), piece: &(u64, u64)| (all.0 + piece.0, all.1 + piece.1);
        let (of, events) = self.pieces.iter().fold((0, 0), sum);
        if of == 0 {
            return Share { high: 1.0, ..Share::default() };
        }
        let share = real(events) / real(of);
        let (few, many) = poisson(self.bursts);
        let mean = real(events) / real(self.bursts.max(1));
        let unit = if self.bursts < BURSTS_KNOWN { mean.max(real(self.burst)) } else { mean };
        let most = (real(events) + (many - real(self.bursts)) * unit) / real(of);
        let least = few * mean / real(of);
        if events == 0 {
            return Share { events, of, share, low: 0.0, high: most.min(1.0) };
        }
        let pieces = together(self.pieces.iter().copied(), self.piece_us);
        let worth = worth(&pieces, share).unwrap_or(real(of));
        let (low, high) = wilson(share, worth);
        if pieces.iter().filter(|piece| piece.1 > 0).count() >= PIECES_KNOWN {
            return Share { events, of, share, low, high };
        }
        Share { events, of, share, low: low.min(least), high: high.max(most).min(1.0) }
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
        let worth = |pieces: Vec<(u64, u64)>| worth(&pieces, 1.5e-3).unwrap();
        assert!(worth(spread) > 45_000.0);
        assert!(worth(block) < 1_000.0);
    }

    #[test]
    fn a_quantile_beyond_what_was_seen_has_no_upper_end() {
        let mut series = Series::new();
        for n in 0..1_000 {
            series.record(n);
        }
        series.settle(1_000_000);
        for n in 0..1_000_i64 {
            series.compare(u64::try_from(n / 20).unwrap(), n);
        }
        let spread = series.spread();
        assert_eq!(spread.quantile("p99.999").unwrap().high_ms, None);
        assert!((spread.quantile("p50").unwrap().ms - 0.5).abs() < 0.002, "{spread:?}");
    }

    #[test]
    fn few_pieces_have_students_interval_and_short_ones_are_put_together() {
        for (degrees, table) in [(1.0, 12.71), (2.0, 4.303), (4.0, 2.776), (9.0, 2.262)] {
            let t = student(degrees);
            assert!((t - table).abs() < 0.15, "{degrees}: {t}");
        }
        assert!((student(1e6) - Z).abs() < 1e-3);
        let pieces = || (0..50).map(|n| (10, n % 2));
        assert_eq!(together(pieces(), 2_000_000).len(), 50);
        // A run of 5 s: pieces of 0.1 s, ten of which are one.
        assert_eq!(together(pieces(), 100_000), [(100, 5); 5]);
        assert_eq!(together(pieces(), 30_000), [(500, 25)]);
        assert_eq!(worth(&[(500, 25)], 0.05), Some(1.0), "less than two pieces are worth nothing");
        let few: Vec<(u64, u64)> = (0..5).map(|n| (1_000, 400 + n * 50)).collect();
        let many: Vec<(u64, u64)> = (0..50).map(|n| (100, 40 + n % 5 * 5)).collect();
        assert!(worth(&few, 0.5).unwrap() * 5.0 < worth(&many, 0.5).unwrap());
    }

    #[test]
    fn no_loss_seen_may_be_three_bursts_and_one_burst_is_no_thousand_losses() {
        let of = |lost: &dyn Fn(u64) -> bool| {
            let mut counted = Counted::new(1_000, 2_000);
            (0..100_000_u64).for_each(|n| counted.count(n / 2_000, n, lost(n)));
            (counted.bursts, counted.share())
        };
        let (_, none) = of(&|_| false);
        // Three bursts of 40 ms in 100 s.
        assert!((none.high - 1.2e-3).abs() < 2e-5, "{none:?}");
        let (bursts, one) = of(&|n| (50_000..50_100).contains(&n) && n % 10 < 7);
        assert_eq!((bursts, one.events), (1, 70));
        assert!(one.high > 3.5e-3 && one.low < 1e-4, "{one:?}");
        let (bursts, single) = of(&|n| n % 1_000 == 0);
        assert_eq!(bursts, 100);
        assert!(single.high < 1.25e-3 && single.low > 0.8e-3, "{single:?}");
        // Slower than bursts are long: each slot is one of its own.
        let mut slow = Counted::new(100_000, 20);
        (0..1_000).for_each(|n| slow.count(n / 20, n, false));
        assert!((slow.share().high - 3e-3).abs() < 6e-5);
    }
}
