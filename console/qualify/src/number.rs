//! Numbers between types, each way named once.
//!
//! Knows: how an integer becomes a real number and back. Does not know: what they count.

/// A count as a real number; exact up to 2^53.
#[expect(clippy::as_conversions, reason = "no lossless way there is; counts here stay below 2^53")]
pub const fn real(count: u64) -> f64 {
    count as f64
}

/// A signed span as a real number; exact up to 2^53.
#[expect(clippy::as_conversions, reason = "as `real`")]
pub const fn signed(span: i64) -> f64 {
    span as f64
}

/// The nearest whole number; `as` saturates and takes NaN for zero.
#[expect(clippy::as_conversions, reason = "rounds, saturates, never traps")]
pub fn whole(x: f64) -> i64 {
    x.round() as i64
}

/// The nearest count, not below zero.
pub fn count(x: f64) -> u64 {
    u64::try_from(whole(x)).unwrap_or(0)
}

/// A length as a count.
pub fn len<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// So many of something: `1 run`, `2 runs`.
pub fn some(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Microseconds as milliseconds.
pub fn ms(us: i64) -> f64 {
    signed(us) / 1_000.0
}

/// The value in the middle; sorts the list.
pub fn median(list: &mut [f64]) -> Option<f64> {
    list.sort_by(f64::total_cmp);
    list.get(list.len() / 2).copied()
}
