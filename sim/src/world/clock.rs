//! One end's clock in the virtual world: offset, drift, steps, freezes.
//!
//! Knows: what a clock reads at a world time, and when it will read something. Does not know: who
//! reads it. World time is the time that nobody in the world can see.

use longhand_protocol::units::{Instant, Micros};
use std::marker::PhantomData;

/// Micros in a million: the unit of drift.
const MILLION: u64 = 1_000_000;

/// A clock.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock<C> {
    /// Where the present stretch began: world time, and what the clock read then.
    from: Micros,
    reading: Micros,
    /// Clock microseconds that pass in a million of the world's.
    rate: u64,
    /// Until then it stands.
    frozen_until: Micros,
    clock: PhantomData<C>,
}

impl<C> VirtualClock<C> {
    /// A true clock that reads `zero` at world time zero.
    pub const fn new(zero: Micros) -> Self {
        Self {
            from: Micros::ZERO,
            reading: zero,
            rate: MILLION,
            frozen_until: Micros::ZERO,
            clock: PhantomData,
        }
    }

    /// What it reads at world time `at`.
    pub fn read(&self, at: Micros) -> Instant<C> {
        let ran = at.saturating_sub(self.from.max(self.frozen_until)).as_micros();
        // A whole number in, a whole number out: the same on every machine. Ran is below 2^40.
        let gone = ran.saturating_mul(self.rate).checked_div(MILLION).unwrap_or(0);
        Instant::from_micros(self.reading.as_micros().saturating_add(gone))
    }

    /// The first world time, not before `at`, at which it reads `due` or later.
    pub fn when(&self, due: Instant<C>, at: Micros) -> Micros {
        let start = self.from.max(self.frozen_until);
        let ahead = due.as_micros().saturating_sub(self.reading.as_micros());
        // A clock that runs true is the rule, and a division is what this costs.
        let ran = if self.rate == MILLION {
            ahead
        } else {
            ahead.saturating_mul(MILLION).div_ceil(self.rate.max(1))
        };
        start.saturating_add(Micros::from_micros(ran)).max(at)
    }

    /// Runs fast (positive) or slow by so many millionths from `at` on.
    pub fn drift(&mut self, at: Micros, ppm: i32) {
        self.rebase(at);
        self.rate = MILLION.saturating_add_signed(i64::from(ppm)).max(1);
    }

    /// Jumps by `us` microseconds, back where negative, never below zero.
    pub fn step(&mut self, at: Micros, us: i64) {
        self.rebase(at);
        let read = self.reading.as_micros().saturating_add_signed(us);
        self.reading = Micros::from_micros(read);
    }

    /// Stands for `span`, then goes on from where it stood.
    pub fn freeze(&mut self, at: Micros, span: Micros) {
        self.rebase(at);
        self.frozen_until = at.saturating_add(span).max(self.frozen_until);
    }

    fn rebase(&mut self, at: Micros) {
        self.reading = Micros::from_micros(self.read(at).as_micros());
        self.from = at;
    }
}

#[cfg(test)]
mod tests {
    use super::VirtualClock;
    use longhand_protocol::units::{Instant, Micros, Robot};

    fn us(n: u64) -> Micros {
        Micros::from_micros(n)
    }

    #[test]
    fn true_clock_keeps_its_offset() {
        let clock = VirtualClock::<Robot>::new(us(7_000));
        assert_eq!(clock.read(us(5)), Instant::from_micros(7_005));
        assert_eq!(clock.when(Instant::from_micros(7_005), us(0)), us(5));
        assert_eq!(clock.when(Instant::from_micros(7_005), us(9)), us(9), "never in the past");
    }

    #[test]
    fn drifting_clock_reads_what_was_waited_for() {
        for ppm in [-500, -1, 1, 500, 20_000] {
            let mut clock = VirtualClock::<Robot>::new(us(1_000));
            clock.drift(us(10), ppm);
            for due in (2_000..400_000).step_by(997) {
                let due = Instant::from_micros(due);
                let at = clock.when(due, us(10));
                assert!(clock.read(at) >= due, "{ppm} ppm");
                assert!(
                    clock.read(at.saturating_sub(us(1))) < due,
                    "{ppm} ppm: no later than need be"
                );
            }
        }
    }

    #[test]
    fn frozen_clock_stands_then_goes_on() {
        let mut clock = VirtualClock::<Robot>::new(us(0));
        clock.freeze(us(100), us(50));
        assert_eq!(clock.read(us(99 + 1)), Instant::from_micros(100));
        assert_eq!(clock.read(us(149)), Instant::from_micros(100));
        assert_eq!(clock.read(us(151)), Instant::from_micros(101));
        assert_eq!(clock.when(Instant::from_micros(101), us(100)), us(151));
    }

    #[test]
    fn stepped_clock_jumps_both_ways() {
        let mut clock = VirtualClock::<Robot>::new(us(1_000));
        clock.step(us(10), 500);
        assert_eq!(clock.read(us(10)), Instant::from_micros(1_510));
        clock.step(us(20), -1_000);
        assert_eq!(clock.read(us(20)), Instant::from_micros(520));
        clock.step(us(20), -10_000);
        assert_eq!(clock.read(us(20)), Instant::from_micros(0), "never below zero");
    }
}
