//! Luck: how often numbers without any change would look as changed as these.
//!
//! Knows: orders, ranks and shuffles. Does not know: what the numbers are, or how many tables of
//! them are looked at (`super::course`).
//!
//! Everything here is of ranks, or bounded, so that one wild run moves little, and deterministic:
//! the same numbers give the same answer on every machine.
//!
//! - **Trend**: Mann's test (Econometrica 13, 1945) with Kendall's correction for ties; up to
//!   [`EXACT`] runs by the exact distribution. Its slope is Sen's (J. Am. Stat. Assoc. 63, 1968).
//! - **Change**: the largest difference of any stretch from the rest, as circular binary
//!   segmentation looks for it (Olshen and others, Biostatistics 5, 2004), so that a bad week in
//!   the middle is found as well as a step. How often luck does as much is counted by shuffling,
//!   ended early where it is often enough (Besag and Clifford, Biometrika 78, 1991).
//! - **Weather**: runs near each other may resemble each other with nothing changed. Where what a
//!   course leaves of them surely does, both tests count the runs as the fewer independent ones
//!   that they are worth (Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 1946). That takes many
//!   of such false alarms away, not all: nothing tells a short run of weather from a change
//!   (`tests/trend.rs` counts them).

use crate::number::{len, real};

/// Runs up to which a trend's chance is exact. Chosen: counts below 2^53 up to there.
const EXACT: usize = 30;
/// Shuffles. Chosen: the least chance that they can tell is 1 in 4000, an eighth of what one of
/// thirteen measures may take of a table's rate.
pub const SHUFFLES: u32 = 3_999;
/// A piece between two changes has at least so many runs. Chosen: of fewer nobody knows a median.
pub const PIECE: usize = 3;
/// Of a normal distribution, 95 % two-sided.
pub const Z: f64 = 1.96;

/// A run counts no farther off than this, standard deviations. Chosen: five; farther is not surer.
const WILD: f64 = 5.0;

/// What is drawn while shuffling: SplitMix64 (Steele and others, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed, the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; its bias is below 2^-32 for lists as they are here.
    fn below(&mut self, end: usize) -> usize {
        let end = u128::from(u64::try_from(end).unwrap_or(u64::MAX));
        usize::try_from((u128::from(self.roll()) * end) >> 64).unwrap_or(0)
    }

    fn shuffle(&mut self, list: &mut [f64]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// The rank of each value, from 1; equal ones share the mean of theirs.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranked = Vec::with_capacity(order.len());
    let mut below = 0_u64;
    for same in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let rank = real(below) + real(len(same) + 1) / 2.0;
        ranked.extend(same.iter().map(|(_, place)| (*place, rank)));
        below += len(same);
    }
    ranked.sort_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, rank)| rank).collect()
}

/// How many of each value there are.
fn ties(values: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(<[f64]>::len).collect()
}

/// By how much fewer independent runs these are worth, from what a course with so many heights or
/// slopes (`fitted`) leaves of them: 1 where nothing shows that they resemble their neighbours.
pub fn resemblance(left: &[f64], fitted: u64) -> f64 {
    let n = real(len(left));
    let ranks = ranks(left);
    let off: Vec<f64> = ranks.iter().map(|rank| rank - (n + 1.0) / 2.0).collect();
    let square: f64 = off.iter().map(|off| off * off).sum();
    if square <= 0.0 {
        return 1.0;
    }
    let r = off.iter().zip(off.iter().skip(1)).map(|(a, b)| a * b).sum::<f64>() / square;
    // What was fitted took some of it away: each number about 1 in n. Chosen: 0.8 is the most that
    // so few runs can tell; and runs that shun each other are not worth more.
    let r = (r + real(fitted) / n).clamp(0.0, 0.8);
    (1.0 + r) / (1.0 - r)
}

/// Mann's S: pairs that rise less pairs that fall.
fn rise(values: &[f64]) -> i64 {
    let mut s = 0_i64;
    for (place, early) in values.iter().enumerate() {
        for late in values.iter().skip(place + 1) {
            s += i64::from(late > early) - i64::from(late < early);
        }
    }
    s
}

/// The variance of S, with ties, were the runs independent.
fn rise_variance(values: &[f64]) -> f64 {
    let of = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let all = of(real(len(values)));
    let tied: f64 = ties(values).into_iter().map(|n| of(real(count(n)))).sum();
    (all - tied) / 18.0
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// How often luck alone rises or falls as steadily as this, two-sided. `fewer`: [`resemblance`].
pub fn rise_chance(values: &[f64], fewer: f64) -> f64 {
    let s = crate::number::signed(rise(values).abs());
    if values.len() <= EXACT && fewer <= 1.0 {
        return exact_chance(&ties(values), s);
    }
    let spread = (rise_variance(values) * fewer).sqrt();
    if spread <= 0.0 {
        return 1.0;
    }
    two_sided((s - 1.0).max(0.0) / spread)
}

/// The share of all orders of these values whose |S| is at least `s`.
fn exact_chance(ties: &[usize], s: f64) -> f64 {
    // How often there are so many falling pairs, group by group of equal values.
    let mut chances = vec![1.0];
    let mut before = 0;
    for group in ties {
        let more = falling(before, *group);
        let mut next = vec![0.0; chances.len() + more.len() - 1];
        for (start, chance) in chances.iter().enumerate() {
            for (sum, more) in next.iter_mut().skip(start).zip(&more) {
                *sum += chance * more;
            }
        }
        chances = next;
        before += group;
    }
    let pairs = real(len(&chances)) - 1.0;
    let far = |falls: u64| (pairs - 2.0 * real(falls)).abs() >= s - 0.5;
    let all = chances.iter().zip(0..).filter(|(_, falls)| far(*falls));
    all.map(|(chance, _)| chance).sum::<f64>().min(1.0)
}

/// How often `b` values among `a` others make 0, 1, 2, ... pairs that fall: the Gaussian binomial.
fn falling(a: usize, b: usize) -> Vec<f64> {
    let mut counts = vec![1.0];
    for i in 1..=b {
        // Times (1 - q^(a+i)), then by (1 - q^i).
        let mut next = counts.clone();
        next.resize(a * i + 1, 0.0);
        for (place, minus) in counts.iter().enumerate() {
            if let Some(value) = next.get_mut(place + a + i) {
                *value -= minus;
            }
        }
        for place in i..next.len() {
            let add = next.get(place - i).copied().unwrap_or(0.0);
            if let Some(value) = next.get_mut(place) {
                *value += add;
            }
        }
        counts = next;
    }
    let all: f64 = counts.iter().sum();
    counts.into_iter().map(|n| n / all).collect()
}

/// Beyond `z` on either side of a normal distribution. Source: Abramowitz and Stegun 7.1.26, right
/// to 1.5e-7.
pub fn two_sided(z: f64) -> f64 {
    const P: [f64; 5] =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    P.into_iter().fold(0.0, |sum, p| (sum + p) * t) * (-x * x).exp()
}

/// A slope a unit of `at`: the median of all pairs' and between what it lies, 95 %. `None` where
/// all are of one time.
pub fn slope(at: &[f64], values: &[f64], fewer: f64) -> Option<(f64, f64, f64)> {
    let mut slopes = Vec::new();
    let all: Vec<(f64, f64)> = at.iter().copied().zip(values.iter().copied()).collect();
    for (place, (from, low)) in all.iter().enumerate() {
        let later = all.iter().skip(place + 1).filter(|(to, _)| to > from);
        slopes.extend(later.map(|(to, high)| (high - low) / (to - from)));
    }
    let middle = middle(&mut slopes)?;
    let wide = Z * (rise_variance(values) * fewer).sqrt();
    let at = |rank: f64| {
        let rank = crate::number::count(rank.max(0.0)).min(len(&slopes).saturating_sub(1));
        slopes.get(usize::try_from(rank).unwrap_or(0)).copied().unwrap_or(middle)
    };
    let n = real(len(&slopes));
    Some((middle, at((n - wide) / 2.0 - 1.0), at((n + wide) / 2.0)))
}

/// The median; of an even number the mean of both in the middle. Sorts the list.
pub fn middle(list: &mut [f64]) -> Option<f64> {
    let upper = crate::number::median(list)?;
    let lower = list.get((list.len() - 1) / 2).copied().unwrap_or(upper);
    Some((lower + upper) / 2.0)
}

/// The stretch that differs most from the rest, and by how many standard deviations of luck.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from: usize,
    to: usize,
    z: f64,
}

/// How far from the median, in standard deviations as the middle half of the values tells them, and
/// no farther than [`WILD`]: a wild run is one run. Ranks where most values are the same.
fn scores(values: &[f64]) -> Vec<f64> {
    let centre = middle(&mut values.to_vec()).unwrap_or(0.0);
    let off: Vec<f64> = values.iter().map(|value| value - centre).collect();
    // Of a normal distribution the median distance is 0.6745 standard deviations.
    let spread = middle(&mut off.iter().map(|off| off.abs()).collect::<Vec<_>>());
    match spread.filter(|spread| *spread > 0.0) {
        Some(spread) => off.iter().map(|off| (off * 0.6745 / spread).clamp(-WILD, WILD)).collect(),
        None => ranks(values),
    }
}

/// Of scores. The pieces before and behind it are empty, or [`PIECE`] runs long at least.
fn farthest(scores: &[f64]) -> Option<Stretch> {
    let n = scores.len();
    let mean = scores.iter().sum::<f64>() / real(len(scores)).max(1.0);
    let square: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    if square <= 0.0 {
        return None;
    }
    let mut sums = vec![0.0];
    sums.extend(scores.iter().scan(0.0, |sum, score| {
        *sum += score - mean;
        Some(*sum)
    }));
    let mut best: Option<Stretch> = None;
    for long in PIECE..=n.saturating_sub(PIECE) {
        let (l, all) = (real(count(long)), real(count(n)));
        let spread = (l * (all - l) / (all * (all - 1.0)) * square).sqrt();
        // Beyond this, a stretch of this length is the farthest; sums of the same scores differ in
        // their last bits, and of equals it is the first.
        let mut far = best.map_or(0.0, |best| (best.z + 1e-9) * spread);
        let mut look = |from: usize, before: f64, behind: f64| {
            let apart = (behind - before).abs();
            if apart > far {
                far = apart + 1e-9 * spread;
                best = Some(Stretch { from, to: from + long, z: apart / spread });
            }
        };
        let ends = || sums.iter().zip(sums.iter().skip(long)).zip(0..);
        let inner = ends().skip(PIECE).take((n + 1).saturating_sub(long + 2 * PIECE));
        for ((before, behind), from) in ends().take(1).chain(inner).chain(ends().skip(n - long)) {
            look(from, *before, *behind);
        }
    }
    best
}

/// Where values change, and how often luck does as much, where it does so no oftener than `rate`:
/// the first places of a new stretch, rising, within 1 and the last.
pub fn change(values: &[f64], rate: f64, fewer: f64) -> Option<(Vec<usize>, f64)> {
    let mut scores = scores(values);
    let found = farthest(&scores)?;
    let z = found.z / fewer.sqrt();
    let enough = rate * f64::from(SHUFFLES + 1);
    let mut dice = Dice::new(0x6c6f_6e67_6861_6e64);
    let mut as_far = 1.0;
    for _ in 0..SHUFFLES {
        dice.shuffle(&mut scores);
        as_far += f64::from(u8::from(farthest(&scores).is_some_and(|luck| luck.z > z - 1e-9)));
        if as_far > enough {
            return None;
        }
    }
    let places = [found.from, found.to].into_iter();
    let inner = places.filter(|place| *place > 0 && *place < values.len()).collect();
    Some((inner, as_far / f64::from(SHUFFLES + 1)))
}

/// How many runs it takes until a change of any size can be told from luck at this rate: of `n`
/// runs so many orders look like a clean change, out of all that there are.
pub fn runs_for_change(rate: f64) -> u64 {
    let chance = |n: u64| {
        let half = n / 2;
        let orders = (1..=half).map(|i| real(n - half + i) / real(i)).product::<f64>();
        real(n) / orders
    };
    (6..1_000).find(|n| chance(*n) <= rate).unwrap_or(1_000)
}

/// The same of a trend: two of all orders rise or fall throughout.
pub fn runs_for_trend(rate: f64) -> u64 {
    let chance = |n: u64| 2.0 / (1..=n).map(real).product::<f64>();
    (3..1_000).find(|n| chance(*n) <= rate).unwrap_or(1_000)
}

/// How many of the newest of so many runs must all be worse than every other, until luck alone does
/// so no oftener than `rate`: one of all choices of so many. `None`: too few runs for any number.
pub fn newest_needed(runs: u64, rate: f64, fewer: f64) -> Option<u64> {
    // Runs that resemble each other are worth fewer, and it takes more of them.
    let worth = count_below(real(runs) / fewer);
    let choices = |k: u64| (1..=k).map(|i| real(worth - k + i) / real(i)).product::<f64>();
    let needed = (1..=worth / 2).find(|k| choices(*k) * rate >= 1.0)?;
    Some(crate::number::count((real(needed) * fewer).ceil()))
}

fn count_below(x: f64) -> u64 {
    crate::number::count(x.floor())
}
