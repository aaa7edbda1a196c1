//! How far the two clocks are apart, as an interval, and how long the way there and back is.
//!
//! Knows: stamps of both clocks that travelled one way or the other. Does not know: any clock (it
//! is handed stamps), the network, or what the answer is used for.
//!
//! For display and qualification only. **Safety never rests on it**: the robot judges age by its
//! own echoed stamp, with one clock (design.md section 3), so a liar here changes a number on a
//! page, never a motion.
//!
//! The idea: no message arrives before it is sent. With the *offset* "robot clock minus console
//! clock", a state sent at robot time `s` and received at console time `r` says `offset >= s - r`;
//! a command sent at console time `s` and received at robot time `r` says `offset <= r - s`. The
//! best of each is kept, and loosened by the largest drift as it grows old. The loosening *is* the
//! window of the usual min-filter: at 100 ppm a bound that is 1 ms better than its successors
//! gives way to them after 10 s. Both bounds hold whatever the delays are, asymmetric ones too.

use crate::units::{Console, Instant, Micros, Robot};

/// The largest drift between two clocks, as one part in this many. 100 ppm.
///
/// Source: twice the 50 ppm to which ordinary quartz oscillators are sold, one for each end.
pub const DRIFT_ONE_IN: u64 = 10_000;

/// The robot's clock minus the console's clock lies in `[low_us, high_us]`, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetInterval {
    /// It cannot be less.
    pub low_us: i64,
    /// It cannot be more.
    pub high_us: i64,
}

impl OffsetInterval {
    /// The middle: right where both ways take equally long.
    pub const fn middle_us(self) -> i64 {
        self.low_us.midpoint(self.high_us)
    }

    /// How uncertain the offset is; the smallest round trip, about.
    pub const fn width(self) -> Micros {
        Micros::from_micros(self.high_us.saturating_sub(self.low_us).unsigned_abs())
    }
}

/// One bound on the offset and the console time at which it was exactly that good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    us: i64,
    at: Instant<Console>,
}

impl Bound {
    /// How much drift may have loosened it at `now`, microseconds, rounded up. Both ways in time:
    /// a stamp that took long is older than bounds that are already known.
    fn slack_us(self, now: Instant<Console>) -> i64 {
        let elapsed = now.as_micros().abs_diff(self.at.as_micros());
        i64::try_from(elapsed.div_ceil(DRIFT_ONE_IN)).unwrap_or(i64::MAX)
    }

    fn low_us(self, now: Instant<Console>) -> i64 {
        self.us.saturating_sub(self.slack_us(now))
    }

    fn high_us(self, now: Instant<Console>) -> i64 {
        self.us.saturating_add(self.slack_us(now))
    }
}

/// The offset of the robot's clock, seen from the console, and the round trip. O(1), no heap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockSync {
    low: Option<Bound>,
    high: Option<Bound>,
    /// Eighths of a microsecond, so that the smoothing does not stick on whole ones.
    rtt_eighths: Option<u64>,
    rtt_min: Option<Micros>,
    restarts: u64,
}

impl ClockSync {
    /// Nothing known.
    pub const fn new() -> Self {
        Self { low: None, high: None, rtt_eighths: None, rtt_min: None, restarts: 0 }
    }

    /// A message left the robot at `sent` and reached the console at `received`.
    pub fn observe_down(&mut self, sent: Instant<Robot>, received: Instant<Console>) {
        let us = diff(sent.as_micros(), received.as_micros());
        let new = Bound { us, at: received };
        if self.low.is_none_or(|old| us >= old.low_us(received)) {
            self.low = Some(new);
        }
        if self.high.is_some_and(|high| high.high_us(received) < us) {
            // A clock stepped or drifts faster than it may: start again from what is true now.
            self.high = None;
            self.low = Some(new);
            self.restarts = self.restarts.saturating_add(1);
        }
    }

    /// A message left the console at `sent` and reached the robot at `received`.
    pub fn observe_up(&mut self, sent: Instant<Console>, received: Instant<Robot>) {
        let us = diff(received.as_micros(), sent.as_micros());
        // It held when it was received, which was later than `sent`: `sent` loosens it more.
        let new = Bound { us, at: sent };
        if self.high.is_none_or(|old| us <= old.high_us(sent)) {
            self.high = Some(new);
        }
        if self.low.is_some_and(|low| low.low_us(sent) > us) {
            self.low = None;
            self.high = Some(new);
            self.restarts = self.restarts.saturating_add(1);
        }
    }

    /// One round trip, the peer's own dwell already taken off. Smoothed by an eighth, as TCP does.
    ///
    /// Source: RFC 6298 section 2, alpha = 1/8.
    pub fn observe_rtt(&mut self, rtt: Micros) {
        let us = rtt.as_micros();
        self.rtt_eighths = Some(match self.rtt_eighths {
            None => us.saturating_mul(8),
            Some(eighths) => eighths.saturating_sub(eighths / 8).saturating_add(us),
        });
        self.rtt_min = Some(self.rtt_min.map_or(rtt, |min| min.min(rtt)));
    }

    /// Where the offset lies at `now`; `None` until both ways were heard.
    pub fn offset(&self, now: Instant<Console>) -> Option<OffsetInterval> {
        let (low, high) = (self.low?, self.high?);
        Some(OffsetInterval { low_us: low.low_us(now), high_us: high.high_us(now) })
    }

    /// The smoothed round trip; `None` before the first.
    pub fn rtt(&self) -> Option<Micros> {
        self.rtt_eighths.map(|eighths| Micros::from_micros(eighths / 8))
    }

    /// The shortest round trip of the session; `None` before the first.
    pub const fn rtt_min(&self) -> Option<Micros> {
        self.rtt_min
    }

    /// How often the bounds contradicted each other and were begun anew. Zero between good clocks;
    /// more means that a clock stepped, drifts beyond 100 ppm, or somebody lies.
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }
}

/// `a - b`, saturating.
fn diff(a: u64, b: u64) -> i64 {
    let (a, b) = (i128::from(a), i128::from(b));
    let wide = a.saturating_sub(b);
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn c(us: u64) -> Instant<Console> {
        Instant::from_micros(us)
    }

    fn r(us: u64) -> Instant<Robot> {
        Instant::from_micros(us)
    }

    #[test]
    fn one_way_alone_gives_no_interval() {
        let mut sync = ClockSync::new();
        sync.observe_down(r(1_000), c(500));
        assert_eq!(sync.offset(c(500)), None);
    }

    #[test]
    fn asymmetric_delay_stays_within_the_interval() {
        let mut sync = ClockSync::new();
        // Offset +10_000; down takes 1 ms, up takes 40 ms.
        sync.observe_down(r(110_000), c(101_000));
        sync.observe_up(c(101_000), r(151_000));
        let offset = sync.offset(c(141_000)).unwrap();
        assert!(offset.low_us <= 10_000 && 10_000 <= offset.high_us);
        assert_eq!(offset.width(), Micros::from_micros(41_000 + 4 + 4));
    }

    #[test]
    fn a_stepped_clock_starts_again_and_says_so() {
        let mut sync = ClockSync::new();
        sync.observe_down(r(1_000), c(1_000));
        sync.observe_up(c(1_000), r(1_100));
        sync.observe_down(r(5_000_000), c(2_000));
        assert_eq!((sync.restarts(), sync.offset(c(2_000))), (1, None));
        sync.observe_up(c(2_000), r(5_000_500));
        assert!(sync.offset(c(2_000)).is_some());
    }

    #[test]
    fn rtt_converges_to_a_constant() {
        let mut sync = ClockSync::new();
        sync.observe_rtt(Micros::from_millis(100));
        for _ in 0..200 {
            sync.observe_rtt(Micros::from_millis(20));
        }
        assert_eq!(sync.rtt_min(), Some(Micros::from_millis(20)));
        assert!(sync.rtt().unwrap().abs_diff(Micros::from_millis(20)) < Micros::from_micros(10));
    }

    proptest! {
        /// Whatever the delays are, the true offset lies in the interval while the drift is legal.
        #[test]
        fn the_true_offset_lies_within(
            base in -1_000_000_i64..1_000_000,
            ppm in -100_i64..=100,
            trips in vec((1_u64..200_000, 0_u64..80_000, 0_u64..80_000), 1..80),
        ) {
            let truth = |console: u64| {
                let us = i64::try_from(console).unwrap();
                // The drift is applied since console time 10 s, in whole microseconds, floor.
                base + (us - 10_000_000) * ppm / 1_000_000
            };
            let robot = |console: u64| r(console.saturating_add_signed(truth(console)));
            let (mut sync, mut now) = (ClockSync::new(), 10_000_000_u64);
            let mut heard: Vec<u64> = Vec::new();
            for (wait, up, down) in trips {
                now += wait;
                sync.observe_up(c(now), robot(now + up));
                sync.observe_down(robot(now + up), c(now + up + down));
                now += up + down;
                heard.push(now);
                let offset = sync.offset(c(now)).unwrap();
                // One microsecond for the whole-microsecond clock.
                prop_assert!(offset.low_us - 1 <= truth(now) && truth(now) <= offset.high_us + 1);
                prop_assert_eq!(sync.restarts(), 0);
            }
        }
    }
}
