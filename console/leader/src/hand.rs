//! The hand as the leader sees it, brought from the device's rate to 1 kHz without steps.
//!
//! Knows: samples and their times. Does not know: which device they come from.

use longhand_protocol::geometry::{Hand, HandBase, PerArm, Pose};
use longhand_protocol::units::{Console, Instant, Micros, TICK};
use nalgebra::UnitQuaternion;

/// What a device's orientation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Only changes count: a mouse, a script. It is aligned by definition.
    #[default]
    Relative,
    /// The handle points where the tool should point: a six-axis hand. It must be aligned before
    /// it may engage.
    Absolute,
}

/// One hand of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HandReading {
    /// Where the hand is, in the device's frame; metres.
    pub pose: Pose<HandBase, Hand>,
    /// How far the finger grip is open, radians of the tool's jaw.
    pub jaw: f64,
}

/// One reading of a whole device: both hands and the pedals. Levels, never edges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HandSample {
    /// When it was read, console clock.
    pub sampled_at: Instant<Console>,
    /// After this long without a new sample the operator counts as absent.
    pub valid_for: Micros,
    /// Both hands.
    pub hands: PerArm<HandReading>,
    /// What the orientation means.
    pub orientation: Orientation,
    /// The operator-present pedal is pressed.
    pub operator_present: bool,
    /// The clutch pedal is pressed.
    pub clutch: bool,
    /// The energy pedal of each arm is pressed.
    pub energy: PerArm<bool>,
}

/// The longest ramp: a device slower than 40 Hz moves the tool in visible steps, and a longer ramp
/// would add more delay than it hides. Chosen.
const RAMP_MAX: Micros = Micros::from_millis(25);

/// Brings samples at a device's own rate to one pose a tick: from where the output is, in a
/// straight line to the newest sample, over the time between the last two samples. A 1 kHz device
/// passes through unchanged; a 60 Hz device is 17 ms late and has no steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resample {
    last: Option<HandSample>,
    from: PerArm<HandReading>,
    output: PerArm<HandReading>,
    ramp_us: u64,
    since_us: u64,
}

impl Resample {
    /// One tick: the newest sample there is (the same one again while no new one has come).
    pub fn step(&mut self, newest: &HandSample) -> PerArm<HandReading> {
        let Some(last) = self.last else {
            self.last = Some(*newest);
            self.output = newest.hands;
            self.from = newest.hands;
            self.ramp_us = 0;
            return self.output;
        };
        if newest.sampled_at > last.sampled_at {
            let between = newest.sampled_at.since(last.sampled_at).min(RAMP_MAX);
            self.ramp_us = between.as_micros();
            self.since_us = 0;
            self.from = self.output;
            self.last = Some(*newest);
        }
        self.since_us = self.since_us.saturating_add(TICK.as_micros());
        let target = self.last.map_or(newest.hands, |s| s.hands);
        let share = self.share();
        self.output = PerArm::from_fn(|arm| mix(self.from.get(arm), target.get(arm), share));
        self.output
    }

    fn share(&self) -> f64 {
        if self.since_us >= self.ramp_us {
            return 1.0;
        }
        let part = Micros::from_micros(self.since_us).as_secs_f64();
        part / Micros::from_micros(self.ramp_us).as_secs_f64()
    }
}

fn mix(from: &HandReading, to: &HandReading, share: f64) -> HandReading {
    if share >= 1.0 {
        return *to;
    }
    let (p0, p1) = (from.pose.position(), to.pose.position());
    let (r0, r1) = (from.pose.rotation(), to.pose.rotation());
    let turn = (r1 * r0.inverse()).scaled_axis();
    HandReading {
        pose: Pose::new(
            p0 + (p1 - p0) * share,
            UnitQuaternion::from_scaled_axis(turn * share) * r0,
        ),
        jaw: from.jaw + (to.jaw - from.jaw) * share,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Vector3;

    fn sample(at_ms: u64, x: f64) -> HandSample {
        let mut s =
            HandSample { sampled_at: Instant::from_micros(at_ms * 1_000), ..Default::default() };
        s.hands.psm1.pose = Pose::new(Vector3::new(x, 0.0, 0.0), UnitQuaternion::identity());
        s
    }

    #[test]
    fn a_60_hz_hand_has_no_steps() {
        let mut resample = Resample::default();
        let mut last: Option<f64> = None;
        let mut largest: f64 = 0.0;
        for tick in 0..2_000u64 {
            // 100 mm/s, a sample every 16 ms.
            let frame = tick / 16;
            let x = 1.6e-3 * f64::from(u32::try_from(frame).unwrap());
            let out = resample.step(&sample(frame * 16, x)).psm1.pose.position().x;
            if let Some(last) = last {
                largest = largest.max((out - last).abs());
            }
            last = Some(out);
        }
        assert!(largest < 0.11e-3, "{largest}: a raw sample would step 1.6 mm");
    }

    #[test]
    fn a_1_khz_hand_passes_through() {
        let mut resample = Resample::default();
        for tick in 0..100u64 {
            let x = f64::from(u32::try_from(tick * tick).unwrap()) * 1e-6;
            let out = resample.step(&sample(tick, x)).psm1.pose.position().x;
            assert!((out - x).abs() < 1e-15);
        }
    }
}
