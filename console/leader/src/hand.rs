//! The hand as the leader sees it, brought from the device's rate to 1 kHz without steps.
//!
//! Knows: samples and their times, and that a living hand trembles. Does not know: which device
//! they come from.

use longhand_protocol::geometry::{ArmId, Hand, HandBase, PerArm, Pose};
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

/// What it means when a device says the very same pose over and over.
///
/// A device declares it, because nobody can tell from outside: a mouse that rests and a sensor that
/// is stuck say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// Nothing: its pose is made of keys, a mouse, a script, and at rest stays as it is.
    #[default]
    Made,
    /// Nobody holds it, or it is stuck: a sensor on a living hand, which trembles.
    Tracked,
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
    /// What a pose that does not change means.
    pub nature: Nature,
    /// The operator-present pedal is pressed.
    pub operator_present: bool,
    /// The clutch pedal is pressed.
    pub clutch: bool,
    /// The energy pedal of each arm is pressed.
    pub energy: PerArm<bool>,
}

impl HandSample {
    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        self.hands.iter().all(|hand| hand.pose.is_finite() && hand.jaw.is_finite())
    }
}

/// A tracked hand that says the very same pose for longer than this, the pedal down, is doubted.
/// Source: safety.md section 3.3, A24.
pub const DOUBT_AFTER: Micros = Micros::from_millis(500);
/// For longer than this, and the pedal does not count until it was released. Source: the same.
pub const ABSENT_AFTER: Micros = Micros::from_secs(2);
const _: () = assert!(DOUBT_AFTER.shorter_than(ABSENT_AFTER));

/// Whether somebody holds the hand that the pedal speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attendance {
    /// As far as anyone can tell.
    #[default]
    Present,
    /// It has stood still to the last bit for longer than [`DOUBT_AFTER`]: the surgeon is told.
    Doubtful,
    /// For longer than [`ABSENT_AFTER`]: a pedal that is wedged. Ends when it is released.
    Absent,
}

/// Watches whether the pedal is down over a hand that lives (A24). The heartbeat is the hand
/// itself: with the pedal down, either hand of a tracked device has to tremble.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vigil {
    /// The poses that have not changed since then.
    still: Option<(PerArm<HandReading>, Instant<Console>)>,
    absent: bool,
}

impl Vigil {
    /// One tick, with the newest sample there is.
    pub fn step(&mut self, now: Instant<Console>, hand: &HandSample) -> Attendance {
        if !hand.operator_present {
            *self = Self::default();
            return Attendance::Present;
        }
        let since = match (hand.nature, &self.still) {
            (Nature::Made, _) => now,
            (Nature::Tracked, Some((poses, since))) if is_same(poses, &hand.hands) => *since,
            (Nature::Tracked, _) => now,
        };
        self.still = Some((hand.hands, since));
        let still_for = now.since(since);
        self.absent |= still_for > ABSENT_AFTER;
        if self.absent {
            Attendance::Absent
        } else if still_for > DOUBT_AFTER {
            Attendance::Doubtful
        } else {
            Attendance::Present
        }
    }
}

/// Whether both hands and grips are the same to the last bit; nonsense is the same as itself.
fn is_same(a: &PerArm<HandReading>, b: &PerArm<HandReading>) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits();
    ArmId::ALL.into_iter().all(|arm| {
        let (a, b) = (a.get(arm), b.get(arm));
        let (p, q) = (a.pose.position(), b.pose.position());
        let (r, t) = (a.pose.rotation(), b.pose.rotation());
        let places = p.iter().zip(q.iter()).all(|(x, y)| same(*x, *y));
        let turns = r.coords.iter().zip(t.coords.iter()).all(|(x, y)| same(*x, *y));
        places && turns && same(a.jaw, b.jaw)
    })
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
    extern crate std;
    use super::*;
    use nalgebra::Vector3;
    use std::vec::Vec;

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

    /// What a vigil says of a tracked hand that moved last at 100 ms, the pedal down.
    fn still(vigil: &mut Vigil, at_ms: u64) -> Attendance {
        let held = HandSample {
            nature: Nature::Tracked,
            operator_present: true,
            ..sample(at_ms, 1e-3 * f64::from(u32::try_from(at_ms.min(100)).unwrap()))
        };
        vigil.step(held.sampled_at, &held)
    }

    #[test]
    fn tracked_hand_still_is_doubted_then_absent() {
        let mut vigil = Vigil::default();
        let said: Vec<_> =
            [1, 99, 100, 599, 600, 601, 2_099, 2_100, 2_101].map(|ms| still(&mut vigil, ms)).into();
        use Attendance::{Absent, Doubtful, Present};
        let due =
            [Present, Present, Present, Present, Present, Doubtful, Doubtful, Doubtful, Absent];
        assert_eq!(said, due);
    }

    #[test]
    fn absent_hand_that_moves_again_stays_absent_until_released() {
        let mut vigil = Vigil::default();
        still(&mut vigil, 100);
        assert_eq!(still(&mut vigil, 2_200), Attendance::Absent);
        // Somebody takes the hand, the foot still down: that was no release.
        let mut moved =
            HandSample { nature: Nature::Tracked, operator_present: true, ..sample(2_300, 0.2) };
        assert_eq!(vigil.step(moved.sampled_at, &moved), Attendance::Absent);
        moved.operator_present = false;
        assert_eq!(vigil.step(moved.sampled_at, &moved), Attendance::Present);
        moved.operator_present = true;
        assert_eq!(vigil.step(moved.sampled_at, &moved), Attendance::Present);
    }

    #[test]
    fn one_bit_of_one_hand_is_life_and_nonsense_is_none() {
        let mut vigil = Vigil::default();
        let mut said = Vec::new();
        for ms in 0..3_000_u64 {
            let mut held = sample(ms, 0.1);
            (held.nature, held.operator_present) = (Nature::Tracked, true);
            held.hands.psm2.jaw = if ms % 400 == 0 { 0.5 } else { 0.5_f64.next_up() };
            said.push(vigil.step(held.sampled_at, &held));
        }
        assert!(said.iter().all(|said| *said == Attendance::Present));
        for ms in 3_000..6_000_u64 {
            let mut held = sample(ms, f64::NAN);
            (held.nature, held.operator_present) = (Nature::Tracked, true);
            said.push(vigil.step(held.sampled_at, &held));
        }
        assert_eq!(said.last(), Some(&Attendance::Absent));
    }

    #[test]
    fn a_mouse_at_rest_is_never_doubted() {
        let mut vigil = Vigil::default();
        for ms in 0..10_000 {
            let held = HandSample { operator_present: true, ..sample(ms, 0.1) };
            assert_eq!(vigil.step(held.sampled_at, &held), Attendance::Present);
        }
    }
}
