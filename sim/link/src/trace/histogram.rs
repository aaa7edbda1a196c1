//! A measured distribution of one-way delay: lines of `bin_low_ms count`.
//!
//! Knows: the histograms of the DETERMINISTIC6G project (CC BY-ND 4.0, read here, never rewritten).
//! Does not know: correlation or loss; a histogram has none.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::number::{float, len};

/// A histogram with bins of equal width.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    low_ms: f64,
    width_ms: f64,
    /// The share below the upper edge of each bin, rising to 1.
    below: Vec<f64>,
}

/// A histogram cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramError {
    /// The line, counted from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// What stands there.
    pub got: String,
}

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "a histogram needs at least two bins and one sample");
        }
        let Self { line, got } = self;
        write!(f, "line {line}: `{got}` is not `bin_low_ms count` with rising bins")
    }
}

impl core::error::Error for HistogramError {}

impl Histogram {
    /// Reads lines of `bin_low_ms count`, separated by blanks or a comma; `#` begins a remark.
    ///
    /// Errors: [`HistogramError`] with the line.
    pub fn parse(text: &str) -> Result<Self, HistogramError> {
        let mut bins: Vec<(f64, f64)> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let row = line.trim();
            if row.is_empty() || row.starts_with('#') {
                continue;
            }
            let mut cells = row.split([' ', '\t', ',']).filter(|cell| !cell.is_empty());
            let mut number = || cells.next().and_then(|cell| cell.parse::<f64>().ok());
            let read = number().zip(number());
            let rises = |low: f64| bins.last().is_none_or(|before| before.0 < low);
            match read.filter(|(low, n)| low.is_finite() && *n >= 0.0 && rises(*low)) {
                Some(bin) => bins.push(bin),
                None => {
                    return Err(HistogramError {
                        line: n.saturating_add(1),
                        got: String::from(row),
                    });
                }
            }
        }
        Self::from_bins(&bins).ok_or(HistogramError { line: 0, got: String::new() })
    }

    fn from_bins(bins: &[(f64, f64)]) -> Option<Self> {
        let (first, last) = (bins.first()?, bins.last()?);
        let steps = float(len(bins.len()).checked_sub(1)?);
        let total: f64 = bins.iter().map(|bin| bin.1).sum();
        if steps < 1.0 || total <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let below = bins.iter().map(|bin| {
            sum += bin.1;
            sum / total
        });
        let below = below.collect();
        Some(Self { low_ms: first.0, width_ms: (last.0 - first.0) / steps, below })
    }

    /// The share of delays below `at_ms`; straight inside a bin.
    pub fn share_below(&self, at_ms: f64) -> f64 {
        let place = (at_ms - self.low_ms) / self.width_ms;
        if place <= 0.0 {
            return 0.0;
        }
        let bin = usize::try_from(crate::number::count(libm::floor(place))).unwrap_or(usize::MAX);
        let Some(upper) = self.below.get(bin) else { return 1.0 };
        let lower = bin.checked_sub(1).and_then(|b| self.below.get(b)).copied().unwrap_or(0.0);
        lower + (upper - lower) * (place - libm::floor(place))
    }

    /// The delay in milliseconds exceeded by the share `above` of all.
    pub fn quantile_ms(&self, above: f64) -> f64 {
        let want = 1.0 - above;
        let mut lower = 0.0;
        for (n, upper) in self.below.iter().enumerate() {
            if *upper >= want {
                let inside = if *upper > lower { (want - lower) / (upper - lower) } else { 0.0 };
                return self.low_ms + self.width_ms * (float(len(n)) + inside);
            }
            lower = *upper;
        }
        self.low_ms + self.width_ms * float(len(self.below.len()))
    }

    /// The greatest difference between this distribution and that of `sorted_ms` (Kolmogorov and
    /// Smirnov's distance), 0 to 1. The list must be sorted.
    pub fn distance(&self, sorted_ms: &[f64]) -> f64 {
        let n = float(len(sorted_ms.len())).max(1.0);
        let mut most: f64 = 0.0;
        for (i, at_ms) in sorted_ms.iter().enumerate() {
            let share = self.share_below(*at_ms);
            let (before, after) = (float(len(i)) / n, float(len(i).saturating_add(1)) / n);
            most = most.max((share - before).abs()).max((share - after).abs());
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_straight_inside_its_bins() {
        let two = Histogram::parse("1.0\t10\n2.0\t30\n").unwrap();
        assert!((two.share_below(1.5) - 0.125).abs() < 1e-12);
        assert!((two.share_below(2.5) - 0.625).abs() < 1e-12);
        assert!((two.quantile_ms(0.75) - 2.0).abs() < 1e-12);
        assert!(two.share_below(0.0).abs() < 1e-12 && (two.share_below(9.0) - 1.0).abs() < 1e-12);
        let even: Vec<f64> = (0..1000).map(|i| two.quantile_ms(1.0 - f64::from(i) / 1e3)).collect();
        assert!(two.distance(&even) < 0.002);
    }

    #[test]
    fn nonsense_names_its_line() {
        assert_eq!(Histogram::parse("1 2\nx y\n").unwrap_err().line, 2);
        assert_eq!(Histogram::parse("1 2\n1 2\n").unwrap_err().line, 2);
        assert_eq!(Histogram::parse("").unwrap_err().line, 0);
    }
}
