//! What a run was like: stages, delays, path, as one report.
//!
//! Knows: states and how to count them. Does not know: whether they come from the virtual world or
//! from a real robot; the report is the same.

use hdrhistogram::Histogram;
use longhand_console::Spread;
use longhand_console::status::thousandths;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::{FollowerState, Stage};
use longhand_protocol::units::{Micros, Seq, TICK};
use nalgebra::Vector3;
use serde::Serialize;

/// Longest delay that a histogram holds, microseconds. Longer ones are counted apart.
const LONGEST_US: u64 = 60_000_000;

/// A histogram of microseconds with a count of what did not fit.
#[derive(Clone, Debug)]
pub struct Delays {
    histogram: Histogram<u64>,
    out_of_range: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self::new()
    }
}

impl Delays {
    /// An empty histogram: 1 us to 60 s, three digits.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        // The bounds are constants that the library accepts; a default would hide a change of them.
        let histogram = histogram.unwrap_or_else(|error| unreachable!("constant bounds: {error}"));
        Self { histogram, out_of_range: 0 }
    }

    /// Counts one delay.
    pub fn record(&mut self, delay: Micros) {
        if self.histogram.record(delay.as_micros().max(1)).is_err() {
            self.out_of_range = self.out_of_range.saturating_add(1);
        }
    }

    /// The histogram, to write an `.hlog`.
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The same as every report shows a delay, milliseconds.
    pub fn spread(&self) -> Spread {
        let ms = |us: u64| Micros::from_micros(us).as_millis_f64();
        let DelaySummary { count, p50, p90, p99, p999, max, out_of_range } = self.summary();
        let (p50_ms, p90_ms, p99_ms) = (ms(p50), ms(p90), ms(p99));
        let (p999_ms, max_ms) = (ms(p999), ms(max));
        Spread { count, out_of_range, p50_ms, p90_ms, p99_ms, p999_ms, max_ms }
    }

    /// Its quantiles.
    pub fn summary(&self) -> DelaySummary {
        let at = |q| self.histogram.value_at_quantile(q);
        DelaySummary {
            count: self.histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.histogram.max(),
            out_of_range: self.out_of_range,
        }
    }
}

/// Quantiles of a delay, all in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelaySummary {
    /// How many were counted.
    pub count: u64,
    /// Half were at most this.
    pub p50: u64,
    /// 90 % were at most this.
    pub p90: u64,
    /// 99 % were at most this.
    pub p99: u64,
    /// 99.9 % were at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// How many were longer than a histogram holds (60 s).
    pub out_of_range: u64,
}

/// One stage's share of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageCount {
    /// How often it was entered.
    pub entered: u64,
    /// How long the robot was in it, seconds.
    #[serde(serialize_with = "thousandths")]
    pub seconds: f64,
}

/// Every stage's share of a run, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are the stages")]
pub struct StageCounts {
    #[serde(rename = "Follow")]
    pub follow: StageCount,
    #[serde(rename = "Coast")]
    pub coast: StageCount,
    #[serde(rename = "Brake")]
    pub brake: StageCount,
    #[serde(rename = "Hold")]
    pub hold: StageCount,
    #[serde(rename = "Latched")]
    pub latched: StageCount,
    #[serde(rename = "Bedside")]
    pub bedside: StageCount,
    #[serde(rename = "SafeOff")]
    pub safe_off: StageCount,
    #[serde(rename = "Disabled")]
    pub disabled: StageCount,
}

impl StageCounts {
    /// The share of one stage.
    pub const fn of(&mut self, stage: Stage) -> &mut StageCount {
        match stage {
            Stage::Follow => &mut self.follow,
            Stage::Coast => &mut self.coast,
            Stage::Brake => &mut self.brake,
            Stage::Hold => &mut self.hold,
            Stage::Latched => &mut self.latched,
            Stage::Bedside => &mut self.bedside,
            Stage::SafeOff => &mut self.safe_off,
            Stage::Disabled => &mut self.disabled,
        }
    }
}

/// Watches the robot's states, one a tick.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    ticks: u64,
    last: Option<Stage>,
    stages: StageCounts,
    stops: u64,
    path: PerArm<f64>,
    at: PerArm<Option<Vector3<f64>>>,
    applied: Seq,
    hand_to_joint: Delays,
    loop_age: Delays,
    playout_us: f64,
    following: u64,
}

impl Measure {
    /// Counts one state. `hand_to_joint` is the delay of the command in use from hand sample to
    /// first use, where both clocks are known to be one; it is counted once a command.
    pub fn observe(&mut self, state: &FollowerState, hand_to_joint: Option<Micros>) {
        self.ticks = self.ticks.saturating_add(1);
        self.count_stage(state.stage);
        for arm in ArmId::ALL {
            let here = state.arms.get(arm).measured_cp.position();
            if let Some(before) = self.at.get_mut(arm).replace(here) {
                *self.path.get_mut(arm) += (here - before).norm();
            }
        }
        if matches!(state.stage, Stage::Follow | Stage::Coast) {
            self.following = self.following.saturating_add(1);
            self.playout_us += state.playout_delay.as_secs_f64() * 1e6;
            self.loop_age.record(state.loop_age);
            if state.echo.number != self.applied {
                self.applied = state.echo.number;
                if let Some(delay) = hand_to_joint {
                    self.hand_to_joint.record(delay);
                }
            }
        }
    }

    fn count_stage(&mut self, stage: Stage) {
        let count = self.stages.of(stage);
        count.seconds += TICK.as_secs_f64();
        if self.last == Some(stage) {
            return;
        }
        count.entered = count.entered.saturating_add(1);
        let moved = matches!(self.last, Some(Stage::Follow | Stage::Coast));
        if moved && stage > Stage::Coast {
            self.stops = self.stops.saturating_add(1);
        }
        self.last = Some(stage);
    }

    /// Stages, entries and seconds.
    pub const fn stages(&self) -> &StageCounts {
        &self.stages
    }

    /// Times that Follow or Coast was left for Brake or worse.
    pub const fn stops(&self) -> u64 {
        self.stops
    }

    /// Such stops per hour of motion; `None` while there was none.
    pub fn stops_per_hour(&self) -> Option<f64> {
        let hours = self.stages.follow.seconds + self.stages.coast.seconds;
        (hours > 0.0).then(|| float(self.stops) * 3_600.0 / hours)
    }

    /// How far each tip went, metres.
    pub const fn path(&self) -> PerArm<f64> {
        self.path
    }

    /// The mean of what playout added while following, milliseconds; `None` while it never was.
    pub fn playout_mean_ms(&self) -> Option<f64> {
        (self.following > 0).then(|| self.playout_us / float(self.following) / 1e3)
    }

    /// From hand sample to the servo tick that first uses it.
    pub const fn hand_to_joint(&self) -> &Delays {
        &self.hand_to_joint
    }

    /// Age of view plus command, every tick.
    pub const fn loop_age(&self) -> &Delays {
        &self.loop_age
    }
}

/// A count as a number to divide by; exact below 2^53.
#[expect(clippy::as_conversions, reason = "no lossless u64 to f64; exact below 2^53")]
pub const fn float(count: u64) -> f64 {
    count as f64
}
