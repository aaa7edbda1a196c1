//! The shaper: moves each arm's setpoint one tick toward its goal, within speed, acceleration,
//! jerk.
//!
//! Knows: how a setpoint may move. Does not know: why it should (`supervisor` says so by a
//! [`Motion`]), where the arm can reach (`limits`), or any joint.
//!
//! Terms: speed, acceleration and jerk are differences of the setpoint over one tick, exactly as an
//! outside observer would compute them. Translation and rotation obey the same law with their own
//! limits; rotation is a rotation vector in the base frame.

use crate::playout::Goal;
use crate::profile::{MotionLimits, RateLimits};
use longhand_protocol::geometry::{Mismatch, Pose, RobotBase, Tip, Twist, clamp_norm};
use longhand_protocol::units::{Micros, TICK};
use nalgebra::{UnitQuaternion, Vector3};

/// Seconds in a tick.
const DT: f64 = TICK.as_secs_f64();

/// What the setpoint is allowed to do in this tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// Toward the goal, at most at this share of full speed (0 to 1).
    Toward(f64),
    /// To a standstill, as fast as the limits allow; then stand.
    Stop,
}

/// One arm's setpoint and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shaper {
    limits: MotionLimits,
    setpoint: Pose<RobotBase, Tip>,
    linear: Mover,
    angular: Mover,
    jaw: f64,
    /// How far motion has come back after a stop.
    blend: Blend,
}

/// Velocity and acceleration of a three-vector quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mover {
    velocity: Vector3<f64>,
    acceleration: Vector3<f64>,
}

/// The share of the goal's pull that is let through after a stop, rising from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Blend {
    share: f64,
    step: f64,
    from_linear: Vector3<f64>,
    from_angular: Vector3<f64>,
}

impl Shaper {
    /// A setpoint at rest.
    pub fn at_rest(
        limits: MotionLimits,
        blend_over: Micros,
        setpoint: Pose<RobotBase, Tip>,
        jaw: f64,
    ) -> Self {
        Self {
            limits,
            setpoint,
            linear: Mover::default(),
            angular: Mover::default(),
            jaw,
            blend: Blend {
                share: 0.0,
                step: DT / blend_over.as_secs_f64().max(DT),
                from_linear: Vector3::zeros(),
                from_angular: Vector3::zeros(),
            },
        }
    }

    /// The pose that the arm is told.
    pub const fn setpoint(&self) -> Pose<RobotBase, Tip> {
        self.setpoint
    }

    /// The jaw opening that the arm is told, radians.
    pub const fn jaw(&self) -> f64 {
        self.jaw
    }

    /// How the setpoint moves.
    pub const fn twist(&self) -> Twist {
        Twist { linear: self.linear.velocity, angular: self.angular.velocity }
    }

    /// Whether the setpoint stands: no speed and no acceleration left at all.
    pub fn is_at_rest(&self) -> bool {
        let still = |v: &Vector3<f64>| v.iter().all(|x| x.abs() <= 0.0);
        still(&self.linear.velocity)
            && still(&self.linear.acceleration)
            && still(&self.angular.velocity)
            && still(&self.angular.acceleration)
    }

    /// Whether it stands as far as anyone can tell: below 0.1 mm/s and 0.1 deg/s.
    pub fn is_near_rest(&self) -> bool {
        self.linear.velocity.norm() <= 1e-4 && self.angular.velocity.norm() <= 1.7e-3
    }

    /// Puts the setpoint at rest somewhere else: its drives are off.
    pub fn rest_at(&mut self, setpoint: Pose<RobotBase, Tip>) {
        self.setpoint = setpoint;
        self.linear = Mover::default();
        self.angular = Mover::default();
        self.blend.share = 0.0;
    }

    /// Puts the jaw's setpoint where the jaw is, while the drives are off.
    pub const fn rest_jaw_at(&mut self, jaw: f64) {
        self.jaw = jaw;
    }

    /// Stands where it is: the arm did not hear from us for so long that it stands already.
    pub fn stand(&mut self) {
        self.rest_at(self.setpoint);
    }

    /// How far the goal is from the setpoint.
    pub fn mismatch(&self, goal: &Goal) -> Mismatch {
        self.setpoint.mismatch(&goal.servo_cp)
    }

    /// How far the next tick may carry the setpoint at most, whatever the goal.
    pub fn farthest_step(&self) -> Mismatch {
        Mismatch {
            distance_m: self.linear.farthest_step(self.limits.tip.jerk),
            angle_rad: self.angular.farthest_step(self.limits.rotation.jerk),
        }
    }

    /// Moves the setpoint one tick toward `goal`, within the arm's limits.
    ///
    /// Shape: one tick, one setpoint. Units: metres, radians, per [`TICK`]. Frame: tip in the arm's
    /// base. From rest it never overshoots a goal that stands; [`Motion::Stop`] ends in exact rest.
    /// `joint_scale` slows the tip further where the joints would be too fast.
    /// The jaw moves only under [`Motion::Toward`]. Cost: O(1), no heap.
    /// Source: libfranka `rate_limiting.h` for what is limited; CRTK `servo_cp`.
    pub fn shape(&mut self, goal: Option<&Goal>, motion: Motion, joint_scale: f64) {
        match (goal, motion) {
            (Some(goal), Motion::Toward(scale)) => {
                self.toward(goal, (scale * joint_scale).clamp(0.0, 1.0));
            }
            (None, _) | (_, Motion::Stop) => {
                self.linear.stop(&self.limits.tip);
                self.angular.stop(&self.limits.rotation);
                self.blend.share = 0.0;
            }
        }
        let step = self.linear.velocity * DT;
        let turn = UnitQuaternion::from_scaled_axis(self.angular.velocity * DT);
        let mut rotation = turn * self.setpoint.rotation();
        rotation.renormalize_fast();
        self.setpoint = Pose::new(self.setpoint.position() + step, rotation);
    }

    fn toward(&mut self, goal: &Goal, scale: f64) {
        if self.blend.share <= 0.0 {
            self.blend.from_linear = self.linear.velocity;
            self.blend.from_angular = self.angular.velocity;
        }
        self.blend.share = (self.blend.share + self.blend.step).min(1.0);
        let share = smooth(self.blend.share);
        let gap = goal.servo_cp.position() - self.setpoint.position();
        let turn = (goal.servo_cp.rotation() * self.setpoint.rotation().inverse()).scaled_axis();
        let linear = self.limits.tip.pull(gap, goal.servo_cv.linear, scale);
        let angular = self.limits.rotation.pull(turn, goal.servo_cv.angular, scale);
        self.linear
            .steer(self.blend.from_linear * (1.0 - share) + linear * share, &self.limits.tip);
        self.angular.steer(
            self.blend.from_angular * (1.0 - share) + angular * share,
            &self.limits.rotation,
        );
        let jaw_step = self.limits.jaw_rate_max * share * DT;
        // Not `clamp`, which panics on bounds that are not ordered.
        self.jaw += (goal.jaw - self.jaw).max(-jaw_step).min(jaw_step);
    }
}

/// Zero to one with no kink at either end.
fn smooth(u: f64) -> f64 {
    u * u * (3.0 - 2.0 * u)
}

impl RateLimits {
    /// How fast acceleration may answer a speed error, 1/s. At jerk / acceleration the jerk limit
    /// is reached just as the acceleration limit is left, so it never binds on the approach and the
    /// speed never overshoots.
    fn speed_gain(&self) -> f64 {
        self.jerk / self.acceleration
    }

    /// A quarter of the speed gain: critically damped.
    fn gap_gain(&self) -> f64 {
        self.speed_gain() / 4.0
    }

    /// The velocity that closes `gap` to a goal moving at `feed`: proportional when near, along the
    /// braking parabola when far, never over the speed limit. Braking plans with 0.4 of the
    /// acceleration limit (chosen: the rest pays for the jerk limit's delay), so it can always
    /// stop.
    fn pull(&self, gap: Vector3<f64>, feed: Vector3<f64>, scale: f64) -> Vector3<f64> {
        let distance = gap.norm();
        let mut velocity = feed;
        if distance > 0.0 {
            let near = self.gap_gain() * distance;
            let far = libm::sqrt(2.0 * 0.4 * self.acceleration * distance);
            velocity += gap * (near.min(far) / distance);
        }
        // 95 %: the last twentieth is for what the discrete law overshoots. Chosen;
        // property-tested.
        clamp_norm(velocity, 0.95 * self.speed * scale)
    }
}

impl Mover {
    /// The acceleration that is there goes on, and the jerk limit lets it grow once.
    fn farthest_step(&self, jerk: f64) -> f64 {
        ((self.velocity + self.acceleration * DT).norm() + jerk * DT * DT) * DT
    }

    /// One tick toward the velocity `wanted`: acceleration proportional to the error, bounded, and
    /// reached no faster than the jerk allows.
    fn steer(&mut self, wanted: Vector3<f64>, limits: &RateLimits) {
        let error = wanted - self.velocity;
        self.accelerate(error * limits.speed_gain(), limits);
    }

    /// One tick of braking: full deceleration, eased out as the jerk limit asks, so that the speed
    /// falls to exact rest without swinging through it.
    fn stop(&mut self, limits: &RateLimits) {
        let speed = self.velocity.norm();
        let jerk_step = limits.jerk * DT;
        let last = self.velocity * (-1.0 / DT);
        if last.norm() <= jerk_step && (last - self.acceleration).norm() <= jerk_step {
            // One tick to zero speed, the next to zero acceleration; both within the jerk limit.
            self.acceleration = last;
            self.velocity = Vector3::zeros();
            return;
        }
        // In whole ticks: from a deceleration A that is eased by J a tick, A + (A - J) + ... is
        // taken off the speed before rest. The A whose sum is just this speed, so that it ends
        // in rest and never beyond. J is 0.9 of what the jerk limit allows. Chosen: the rest is
        // for an acceleration that does not lie along the velocity.
        let (per_tick, j) = (speed / DT, 0.9 * jerk_step);
        let n = libm::floor((libm::sqrt(1.0 + 8.0 * per_tick / j) - 1.0) / 2.0);
        let ease = per_tick / (n + 1.0) + j * n / 2.0;
        let brake = self.velocity * (-ease.min(limits.acceleration) / speed.max(f64::MIN_POSITIVE));
        self.accelerate(brake, limits);
    }

    /// Takes on `wanted` as far as the limits allow. Both bounds are balls, and the old
    /// acceleration lies in both, so moving straight toward the clipped target stays inside.
    fn accelerate(&mut self, wanted: Vector3<f64>, limits: &RateLimits) {
        let bounded = clamp_norm(wanted, limits.acceleration);
        let change = clamp_norm(bounded - self.acceleration, limits.jerk * DT);
        self.acceleration += change;
        self.velocity += self.acceleration * DT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use proptest::prelude::*;

    const BLEND: Micros = Micros::from_millis(60);

    fn shaper() -> Shaper {
        Shaper::at_rest(Profile::DEFAULT.motion, BLEND, Pose::IDENTITY, 0.0)
    }

    fn goal(position: Vector3<f64>, velocity: Vector3<f64>) -> Goal {
        Goal {
            servo_cp: Pose::new(position, UnitQuaternion::identity()),
            servo_cv: Twist { linear: velocity, angular: Vector3::zeros() },
            jaw: 0.0,
        }
    }

    /// Differences as an outside observer takes them.
    #[derive(Default)]
    struct Observer {
        position: Option<Vector3<f64>>,
        velocity: Option<Vector3<f64>>,
        acceleration: Option<Vector3<f64>>,
        speed_max: f64,
        acceleration_max: f64,
        jerk_max: f64,
    }

    impl Observer {
        fn see(&mut self, s: &Shaper) {
            let p = s.setpoint().position();
            let v = self.position.map(|q| (p - q) / DT);
            let a = v.zip(self.velocity).map(|(v, u)| (v - u) / DT);
            let j = a.zip(self.acceleration).map(|(a, b)| (a - b) / DT);
            self.speed_max = self.speed_max.max(v.map_or(0.0, |v| v.norm()));
            self.acceleration_max = self.acceleration_max.max(a.map_or(0.0, |a| a.norm()));
            self.jerk_max = self.jerk_max.max(j.map_or(0.0, |j| j.norm()));
            (self.position, self.velocity, self.acceleration) = (Some(p), v, a);
        }

        fn within(&self, r: &RateLimits) -> bool {
            self.speed_max <= r.speed * (1.0 + 1e-6)
                && self.acceleration_max <= r.acceleration * (1.0 + 1e-4)
                && self.jerk_max <= r.jerk * (1.0 + 1e-3)
        }
    }

    #[test]
    fn at_50_mm_per_s_it_stops_within_the_budget() {
        let mut s = shaper();
        let v = Vector3::new(0.05, 0.0, 0.0);
        for tick in 0..400 {
            s.shape(Some(&goal(v * (f64::from(tick) * DT), v)), Motion::Toward(1.0), 1.0);
        }
        assert!((s.twist().linear.norm() - 0.05).abs() < 1e-4);
        let from = s.setpoint().position().x;
        let mut ticks = 0;
        while !s.is_at_rest() {
            s.shape(None, Motion::Stop, 1.0);
            ticks += 1;
            assert!(ticks < 100);
        }
        let travel = s.setpoint().position().x - from;
        // 35 ms and 1.2 mm in all, less 11 ms and 0.55 mm that Coast may have taken.
        assert!(ticks <= 24 && travel <= 0.65e-3, "{ticks} ticks, {} mm", travel * 1e3);
    }

    #[test]
    fn tracking_a_steady_hand_leaves_no_lag() {
        let mut s = shaper();
        let v = Vector3::new(0.03, -0.02, 0.01);
        for tick in 0..2_000 {
            s.shape(Some(&goal(v * (f64::from(tick) * DT), v)), Motion::Toward(1.0), 1.0);
        }
        let lag = s.mismatch(&goal(v * (1_999.0 * DT), v)).distance_m;
        // One tick's travel is the discrete law's own.
        assert!(lag < 50e-6, "{} um", lag * 1e6);
    }

    proptest! {
        #[test]
        fn limits_hold_for_any_hand(
            seed in proptest::collection::vec(
                (prop::array::uniform3(-0.08..0.08f64), -0.2..0.2f64, 0u8..4, 1usize..90),
                1..25,
            ),
        ) {
            let mut s = shaper();
            let mut observer = Observer::default();
            for ([x, y, z], v, motion, ticks) in seed {
                let g = goal(Vector3::new(x, y, z), Vector3::new(v, -v, v / 2.0));
                for _ in 0..ticks {
                    let m = match motion {
                        0 => Motion::Stop,
                        1 => Motion::Toward(0.25),
                        _ => Motion::Toward(1.0),
                    };
                    let (before, farthest) = (s.setpoint().position(), s.farthest_step());
                    s.shape(Some(&g), m, 1.0);
                    observer.see(&s);
                    let step = (s.setpoint().position() - before).norm();
                    prop_assert!(step <= farthest.distance_m + 1e-12, "{step} m in one tick");
                }
            }
            prop_assert!(observer.within(&Profile::DEFAULT.motion.tip),
                "{} {} {}", observer.speed_max, observer.acceleration_max, observer.jerk_max);
        }

        #[test]
        fn a_stop_only_slows_down_and_never_turns_round(
            v in prop::array::uniform3(-0.09..0.09f64), ticks in 1usize..300,
        ) {
            let mut s = shaper();
            let v = clamp_norm(Vector3::from(v), 0.09);
            for tick in 0..ticks {
                let at = v * (f64::from(u32::try_from(tick).unwrap()) * DT);
                s.shape(Some(&goal(at, v)), Motion::Toward(1.0), 1.0);
            }
            // An acceleration that still has to end may raise the speed at first.
            while s.linear.acceleration.dot(&s.linear.velocity) > 0.0 {
                s.shape(None, Motion::Stop, 1.0);
            }
            while !s.is_at_rest() {
                let before = s.twist().linear;
                s.shape(None, Motion::Stop, 1.0);
                let now = s.twist().linear;
                prop_assert!(now.norm() <= before.norm() + 1e-12, "{before:?} to {now:?}");
                prop_assert!(now.dot(&before) >= -1e-15, "{before:?} turned to {now:?}");
            }
        }

        #[test]
        fn from_rest_it_never_overshoots(x in 1e-5..0.1f64) {
            let mut s = shaper();
            let g = goal(Vector3::new(x, 0.0, 0.0), Vector3::zeros());
            let mut farthest: f64 = 0.0;
            for _ in 0..4_000 {
                s.shape(Some(&g), Motion::Toward(1.0), 1.0);
                farthest = farthest.max(s.setpoint().position().x);
            }
            prop_assert!(farthest <= x + 1e-6, "overshoot {} um", (farthest - x) * 1e6);
            prop_assert!((s.setpoint().position().x - x).abs() < 1e-7);
        }

        #[test]
        fn stop_always_ends_in_exact_rest(
            v in -0.09..0.09f64, w in -0.09..0.09f64, ticks in 1usize..300,
        ) {
            let mut s = shaper();
            let g = goal(Vector3::new(v, w, 0.01), Vector3::new(v, w, 0.0));
            for _ in 0..ticks {
                s.shape(Some(&g), Motion::Toward(1.0), 1.0);
            }
            let mut left = 80;
            while !s.is_at_rest() {
                s.shape(None, Motion::Stop, 1.0);
                left -= 1;
                prop_assert!(left > 0);
            }
        }
    }
}
