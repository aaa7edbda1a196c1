//! What a number means: durations, instants of a named clock, sequence numbers.
//!
//! Knows: units and which clock an instant belongs to. Does not know: what time it is (a pure crate
//! is handed `now`), or where any instant came from.
//!
//! A unit is said where the number is born (`Micros::from_millis(20)`); there is no conversion from
//! a bare integer, and instants of two clocks do not subtract:
//!
//! ```compile_fail
//! use longhand_protocol::units::{Console, Instant, Robot};
//! let robot = Instant::<Robot>::from_micros(5);
//! let console = Instant::<Console>::from_micros(3);
//! let _ = robot.since(console);
//! ```

use core::cmp::Ordering;
use core::fmt;
use core::marker::PhantomData;

/// One tick of both control loops.
///
/// Source: design, "a deterministic 1 kHz control loop"; the rate of FCI, dVRK and RAVEN II.
pub const TICK: Micros = Micros::from_micros(1_000);

/// A span of time in whole microseconds. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(u64);

/// Chosen: a year; no program of ours is asked to run longer, and no arithmetic overflows below it.
const WRITTEN_SECS_MAX: f64 = 31_536_000.0;

/// What a person is told of a time beyond it, or below zero.
const OUT_OF_RANGE: &str = "must be 0 s to a year (8760h), as 30s, 10m or 24h";

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span that can be written; used as "never".
    pub const MAX: Self = Self(u64::MAX);

    /// A span of `us` microseconds.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// A span of `ms` milliseconds; saturates.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// A span of `s` seconds; saturates.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// A span of `s` seconds, rounded to the nearest microsecond. NaN and negative give zero.
    #[expect(clippy::as_conversions, reason = "float to int `as` saturates and maps NaN to zero")]
    pub fn from_secs_f64(s: f64) -> Self {
        Self(libm::round(s * 1e6) as u64)
    }

    /// A time as a person writes it on a command line, the same in every program: `250ms`, `30s`,
    /// `10m`, `24h`, or a number of seconds. From 0 to a year.
    ///
    /// Errors: words for that person.
    pub fn from_written(text: &str) -> Result<Self, &'static str> {
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
        let with = |(unit, seconds)| Some((text.strip_suffix(unit)?, seconds));
        let (number, unit) = units.into_iter().find_map(with).unwrap_or((text, 1.0));
        match number.parse::<f64>() {
            Ok(number) if (0.0..=WRITTEN_SECS_MAX).contains(&(number * unit)) => {
                Ok(Self::from_secs_f64(number * unit))
            }
            Ok(_) => Err(OUT_OF_RANGE),
            Err(_) => Err("no time: write it as 250ms, 30s, 10m, 24h, or as a number of seconds"),
        }
    }

    /// The same above 0: how long something is to last.
    ///
    /// Errors: words for that person.
    pub fn from_written_span(text: &str) -> Result<Self, &'static str> {
        match Self::from_written(text) {
            Ok(Self::ZERO) | Err(OUT_OF_RANGE) => {
                Err("must be above 0, at most a year (8760h), as 30s, 10m or 24h")
            }
            time => time,
        }
    }

    /// The span in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The span in seconds. Exact below 2^53 us (285 years).
    #[expect(clippy::as_conversions, reason = "no lossless u64 to f64; exact for 285 years")]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-6
    }

    /// The span in milliseconds, for people: prints as the decimal that it is.
    #[expect(clippy::as_conversions, reason = "no lossless u64 to f64; exact for 285 years")]
    pub const fn as_millis_f64(self) -> f64 {
        // Divided, not multiplied: 27126 * 1e-3 is not the float that 27.126 is.
        self.0 as f64 / 1e3
    }

    /// The sum; saturates at [`Micros::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; zero where `other` is longer.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self` taken `n` times; saturates.
    #[must_use]
    pub const fn saturating_mul(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// How far apart two spans are.
    #[must_use]
    pub const fn abs_diff(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0))
    }

    /// Compares in a `const` context, for assertions between related limits.
    pub const fn shorter_than(self, other: Self) -> bool {
        self.0 < other.0
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MAX => f.write_str("never"),
            Self(us) => write!(f, "{}.{:03} ms", us / 1_000, us % 1_000),
        }
    }
}

/// The robot's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robot {}
/// The console's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {}
/// The link emulator's clock: virtual in the world, the relay's monotonic clock in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {}

/// A point in time on the clock `C`, in microseconds since that clock's own zero.
///
/// Zero is the clock's origin (boot, for a monotonic clock); two clocks share no origin.
pub struct Instant<C> {
    micros: u64,
    clock: PhantomData<fn() -> C>,
}

impl<C> Instant<C> {
    /// The clock's own zero.
    pub const ORIGIN: Self = Self::from_micros(0);

    /// The instant `us` microseconds after the clock's zero.
    pub const fn from_micros(us: u64) -> Self {
        Self { micros: us, clock: PhantomData }
    }

    /// Microseconds since the clock's zero.
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// The time from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.micros.saturating_sub(earlier.micros))
    }

    /// The time from `earlier` to `self`, or `None` where `earlier` is later.
    pub const fn checked_since(self, earlier: Self) -> Option<Micros> {
        match self.micros.checked_sub(earlier.micros) {
            Some(us) => Some(Micros(us)),
            None => None,
        }
    }

    /// The instant `span` later; saturates at the end of time.
    #[must_use]
    pub const fn after(self, span: Micros) -> Self {
        Self::from_micros(self.micros.saturating_add(span.0))
    }

    /// The instant `span` earlier; saturates at the clock's zero.
    #[must_use]
    pub const fn before(self, span: Micros) -> Self {
        Self::from_micros(self.micros.saturating_sub(span.0))
    }
}

impl<C> Clone for Instant<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Instant<C> {}
impl<C> PartialEq for Instant<C> {
    fn eq(&self, other: &Self) -> bool {
        self.micros == other.micros
    }
}
impl<C> Eq for Instant<C> {}
impl<C> PartialOrd for Instant<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<C> Ord for Instant<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.micros.cmp(&other.micros)
    }
}
impl<C> fmt::Debug for Instant<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}us", self.micros)
    }
}
impl<C> Default for Instant<C> {
    fn default() -> Self {
        Self::ORIGIN
    }
}

/// The number of a command or a state. 64 bits: at 1 kHz it lasts 584 million years, so it never
/// wraps in a session, no wrap code exists, and none may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Before the first message: no message carries it.
    pub const ZERO: Self = Self(0);

    /// The number `n`.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number as an integer.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many numbers lie from `earlier` to `self`, or `None` where `earlier` is larger.
    pub const fn checked_since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

/// The robot's fencing number: raised with every grant of authority, checked by the robot on every
/// command, never lowered in the life of the robot.
///
/// Source: safety.md section 9, "checked by the resource, not the client".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// No authority was ever granted.
    pub const ZERO: Self = Self(0);

    /// The epoch `n`.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The epoch as an integer.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch of the next grant.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn millis_print_as_the_decimal_that_they_are() {
        for (us, text) in [(27_126, "27.126"), (999_999_999, "999999.999"), (1_000, "1")] {
            assert_eq!(std::format!("{}", Micros::from_micros(us).as_millis_f64()), text);
        }
    }

    #[test]
    fn micros_say_their_unit_at_birth() {
        assert_eq!(Micros::from_millis(20).as_micros(), 20_000);
        assert_eq!(Micros::from_secs(3), Micros::from_millis(3_000));
        assert_eq!(Micros::from_secs_f64(0.001), TICK);
        assert_eq!(Micros::from_secs_f64(f64::NAN), Micros::ZERO);
        assert_eq!(Micros::from_secs_f64(-1.0), Micros::ZERO);
        assert_eq!(Micros::from_secs_f64(f64::INFINITY), Micros::MAX);
    }

    #[test]
    fn written_times_are_zero_or_above_it_to_a_year() {
        for (text, micros) in [
            ("0.000001", 1),
            ("0.5", 500_000),
            ("31536000", 31_536_000_000_000),
            ("8760h", 31_536_000_000_000),
            ("250ms", 250_000),
            ("2s", 2_000_000),
            ("1.5m", 90_000_000),
        ] {
            assert_eq!(Micros::from_written(text), Ok(Micros::from_micros(micros)), "{text}");
            assert_eq!(Micros::from_written_span(text), Ok(Micros::from_micros(micros)), "{text}");
        }
        for text in ["-1", "1e300", "31536001", "inf", "NaN", "", "1 s", "s", "-2m", "2d"] {
            assert!(Micros::from_written(text).is_err(), "{text}");
            assert!(Micros::from_written_span(text).is_err(), "{text}");
        }
        for text in ["0", "0s", "0h", "1e-9", "-0"] {
            assert_eq!(Micros::from_written(text), Ok(Micros::ZERO), "{text}");
            assert!(Micros::from_written_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn instants_never_go_below_zero() {
        let early = Instant::<Robot>::from_micros(5);
        let late = early.after(TICK);
        assert_eq!(late.since(early), TICK);
        assert_eq!(early.since(late), Micros::ZERO);
        assert_eq!(early.checked_since(late), None);
        assert_eq!(early.before(TICK), Instant::ORIGIN);
    }

    #[test]
    fn a_sequence_number_has_no_wrap() {
        assert_eq!(Seq::new(u64::MAX).next(), Seq::new(u64::MAX));
        assert_eq!(Seq::new(7).checked_since(Seq::new(9)), None);
    }
}
