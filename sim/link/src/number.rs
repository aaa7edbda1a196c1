//! Small mathematics: named conversions, the normal law, and seeded chance.
//!
//! Knows: how a `u64` becomes an `f64` without `as` at the place of use, the tail of the normal
//! law, and one seeded generator per process. Does not know: what any number means, or the time.
//!
//! Everything goes through `libm` and integer arithmetic, so that the same seed gives the same
//! bytes on every machine; the compiler never fuses or reorders floating-point operations by
//! itself.

use longhand_protocol::units::Micros;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The 99 % point of the standard normal law. Source: any table; 2.326347874.
const Z_99: f64 = 2.326_347_874_040_841;

/// A count as a float. Exact below 2^53.
#[expect(clippy::as_conversions, reason = "no lossless u64 to f64; exact below 2^53")]
pub(crate) const fn float(n: u64) -> f64 {
    n as f64
}

/// A float as a count, rounded to the nearest; NaN and negative give zero, too large saturates.
#[expect(clippy::as_conversions, reason = "float to int `as` saturates and maps NaN to zero")]
pub(crate) fn count(x: f64) -> u64 {
    libm::round(x) as u64
}

/// A length in memory as a count.
pub(crate) fn len(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A span of `ms` milliseconds, rounded to the microsecond; NaN and negative give zero.
pub(crate) fn millis(ms: f64) -> Micros {
    Micros::from_secs_f64(ms * 1e-3)
}

/// `base` moved by `shift_ms` milliseconds, never below zero.
pub(crate) fn shifted(base: Micros, shift_ms: f64) -> Micros {
    if shift_ms < 0.0 {
        base.saturating_sub(millis(-shift_ms))
    } else {
        base.saturating_add(millis(shift_ms))
    }
}

/// The probability that a standard normal value is above `z`.
pub(crate) fn normal_survival(z: f64) -> f64 {
    0.5 * libm::erfc(z * core::f64::consts::FRAC_1_SQRT_2)
}

/// A probability brought into `[0, 1]`; NaN gives zero.
pub(crate) fn probability(p: f64) -> f64 {
    if p > 0.0 { p.min(1.0) } else { 0.0 }
}

/// One seeded stream of chance. Two streams of one seed share nothing.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    source: ChaCha8Rng,
    spare: Option<f64>,
}

impl Chance {
    /// Stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut source = ChaCha8Rng::seed_from_u64(seed);
        source.set_stream(stream);
        Self { source, spare: None }
    }

    /// Uniform in `(0, 1]`: never zero, so its logarithm is finite. 53 random bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0; // 2^-53
        float((self.source.next_u64() >> 11).saturating_add(1)) * STEP
    }

    /// True with probability `p`.
    pub(crate) fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.uniform() <= p
    }

    /// Standard normal. Box-Muller: two values per two draws and no rejection loop, so the number
    /// of draws does not depend on the values.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = libm::sqrt(-2.0 * libm::log(self.uniform()));
        let (sin, cos) = libm::sincos(core::f64::consts::TAU * self.uniform());
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// Exponential with the given mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.uniform())
    }

    /// Uniform between two values.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Log-normal, given its median and its 99 % point (both above zero).
    pub(crate) fn log_normal(&mut self, p50: f64, p99: f64) -> f64 {
        let sigma = libm::log(p99 / p50) / Z_99;
        p50 * libm::exp(sigma * self.normal())
    }

    /// How many trials until the first success at probability `p` each, counted from one.
    pub(crate) fn trials(&mut self, p: f64) -> u64 {
        if p >= 1.0 {
            return 1;
        }
        let failures = libm::floor(libm::log(self.uniform()) / libm::log1p(-p));
        count(failures).saturating_add(1)
    }

    /// A raw index below `n`; zero where `n` is zero. The bias of the remainder is below n / 2^64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.source.next_u64().checked_rem(n).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_survival_has_the_textbook_points() {
        for (z, s) in [(0.0, 0.5), (1.959_964, 0.025), (Z_99, 0.01), (4.753_424, 1e-6)] {
            assert!((normal_survival(z) / s - 1.0).abs() < 1e-5, "{z}: {}", normal_survival(z));
        }
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            core::array::from_fn::<f64, 4, _>(|_| chance.normal())
        };
        assert!(draw(1, 0).iter().zip(draw(1, 0)).all(|(a, b)| a.total_cmp(&b).is_eq()));
        assert!(draw(1, 0).iter().zip(draw(1, 1)).all(|(a, b)| a.total_cmp(&b).is_ne()));
        assert!(draw(1, 0).iter().zip(draw(2, 0)).all(|(a, b)| a.total_cmp(&b).is_ne()));
    }

    #[test]
    fn trials_have_the_mean_of_a_geometric_law() {
        let mut chance = Chance::new(7, 0);
        let total: u64 = (0..20_000).map(|_| chance.trials(0.25)).sum();
        assert!((float(total) / 20_000.0 - 4.0).abs() < 0.1);
    }
}
