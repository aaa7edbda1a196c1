//! What a profile asks for, read without any of the emulator's own code.
//!
//! Knows: the distribution that a list of knots means, and how far a finite sample may lie from it.
//! Does not know: what came out.

use longhand_link::profile::Jitter;

use crate::link_command::show::count;

/// The shares at which a score is cut off: rarer than any hour of 1 kHz shows.
const RAREST: f64 = 1e-9;

/// The mean excess is summed in steps of the logarithm of the share, up to one in three million.
const STEP: f64 = 0.05;
const STEPS: u32 = 300;

/// Halvings until a score is exact to a float's last digits: 16 over 2 to the 60th.
const HALVINGS: u32 = 60;

/// The asked distribution of the added delay: between knots the delay is linear in the logarithm of
/// the share above it, from zero at the share one on. Source: `longhand_link::profile::Knot`.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// `(ln(above), ms)`, falling in the first, rising in the second.
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn of(jitter: &Jitter) -> Self {
        let knots: Vec<_> = jitter.target.iter().map(|knot| (knot.above, knot.at_ms)).collect();
        Self::through(&knots)
    }

    /// The same through points of share above and milliseconds.
    pub(super) fn through(knots: &[(f64, f64)]) -> Self {
        let knots = knots.iter().map(|(above, ms)| (above.ln(), *ms));
        Self { points: std::iter::once((0.0, 0.0)).chain(knots).collect() }
    }

    /// The greatest delay, microseconds, rounded up.
    pub(super) fn most_us(&self) -> usize {
        let most_ms = self.points.last().map_or(0.0, |last| last.1);
        super::floored((most_ms * 1e3).ceil())
    }

    /// The delay that the share `above` exceeds, ms.
    pub(super) fn ms_at(&self, above: f64) -> f64 {
        let x = above.max(RAREST).ln();
        let mut from = (0.0, 0.0);
        for to in &self.points {
            if x >= to.0 {
                let width = from.0 - to.0;
                let share = if width > 0.0 { (from.0 - x) / width } else { 0.0 };
                return from.1 + share * (to.1 - from.1);
            }
            from = *to;
        }
        from.1
    }

    /// The share above a delay, 0 to 1.
    pub(super) fn above(&self, ms: f64) -> f64 {
        if ms <= 0.0 {
            return 1.0;
        }
        let mut from = (0.0, 0.0);
        for to in &self.points {
            if ms < to.1 {
                let share = (ms - from.1) / (to.1 - from.1);
                return (from.0 + share * (to.0 - from.0)).exp();
            }
            from = *to;
        }
        0.0
    }

    /// How far delays exceed the one that the share `above` exceeds, on average, ms.
    pub(super) fn mean_excess_ms(&self, above: f64) -> f64 {
        let at = self.ms_at(above);
        let step = |k: u32| f64::from(k) * STEP;
        let parts = (0..STEPS).map(|k| {
            let excess = self.ms_at(above * (-(step(k) + STEP / 2.0)).exp()) - at;
            excess * ((-step(k)).exp() - (-step(k) - STEP).exp())
        });
        parts.sum()
    }

    /// The standard normal value exceeded as often as the middle of what rounds to a microsecond.
    pub(super) fn score(&self, bin_us: usize) -> f64 {
        let edge = |half: f64| self.above((count(bin_us) + half) * 1e-3);
        let above = f64::midpoint(edge(-0.5), edge(0.5)).clamp(RAREST, 1.0 - RAREST);
        normal_above(above)
    }
}

/// The standard normal value that is exceeded with the probability `above`.
pub(super) fn normal_above(above: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        let share = 0.5 * libm::erfc(middle * std::f64::consts::FRAC_1_SQRT_2);
        if share > above { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_link::profile::quantiles;
    use longhand_protocol::units::Micros;

    #[test]
    fn a_curve_is_its_own_inverse_and_scores_by_its_shares() {
        let knots = quantiles(8.0, 22.0, 40.0, 90.0, 250.0);
        let target = Box::leak(Box::new(knots));
        let jitter = Jitter { target, correlation: Micros::from_millis(1), drawn: None };
        let curve = Curve::of(&jitter);
        for (above, ms) in [(0.5, 8.0), (0.05, 22.0), (0.01, 40.0), (0.001, 90.0)] {
            assert!((curve.ms_at(above) - ms).abs() < 1e-9);
            assert!((curve.above(ms) - above).abs() < 1e-12);
        }
        for above in [0.9, 0.3, 0.02, 0.005] {
            assert!((curve.above(curve.ms_at(above)) - above).abs() < 1e-12);
        }
        assert!(curve.above(251.0).abs() < 1e-12 && (curve.above(0.0) - 1.0).abs() < 1e-12);
        assert!(curve.score(8_000).abs() < 1e-4);
        // Any table: one in twenty is above 1.645.
        assert!((curve.score(22_000) - 1.644_854).abs() < 1e-4);
        // From 90 to 250 ms in three decades: 160 / ln 1000 on average, were there no end.
        assert!((curve.mean_excess_ms(0.001) - 23.16).abs() < 0.1);
        // What rounds to nothing lies between nothing and half a microsecond.
        assert!(curve.above(-1.0) >= 1.0 && curve.score(0) < -3.0 && curve.score(0) > -5.0);
        assert_eq!(curve.most_us(), 250_000);
    }
}
