//! Limits: where an arm may be told to go, and the proof that a setpoint was checked.
//!
//! Knows: joint ranges and speeds, the work volume, the depth guard. Does not know: time beyond one
//! tick, or why anyone wants to go there.
//!
//! Two doors. [`Limits::reachable`] brings a *goal* to the nearest place allowed, and says that it
//! did. [`Limits::check`] stands before the joints: it makes the only [`Checked`] there is, under a
//! [`Permit`] that only the supervisor makes; what it does not like it refuses, never trims.

use crate::fault::Fault;
use crate::kinematics::PsmGeometry;
use crate::playout::Goal;
use crate::profile::{JointLimits, Volume};
use crate::supervisor::Permit;
use longhand_protocol::geometry::{JointPositions, Pose, Twist};
use longhand_protocol::units::TICK;

/// A value that [`Limits::check`] has let through. It cannot be made anywhere else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked<T>(T);

impl<T: Copy> Checked<T> {
    /// The value.
    pub const fn get(&self) -> T {
        self.0
    }
}

/// A goal brought to where the arm may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reachable {
    /// The goal, or the nearest place allowed.
    pub goal: Goal,
    /// Whether it had to be moved.
    pub limited: bool,
}

/// The limits of one arm.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    joints: JointLimits,
    volume: Volume,
    geometry: PsmGeometry,
}

impl Limits {
    /// Limits for an arm of this geometry.
    pub const fn new(joints: JointLimits, volume: Volume, geometry: PsmGeometry) -> Self {
        Self { joints, volume, geometry }
    }

    /// The arm's geometry.
    pub const fn geometry(&self) -> &PsmGeometry {
        &self.geometry
    }

    /// The jaw opening nearest to `jaw` that is allowed, radians.
    pub const fn clamp_jaw(&self, jaw: f64) -> f64 {
        let [low, high] = self.joints.jaw;
        jaw.max(low).min(high)
    }

    /// Brings a goal inside the work volume and the joint ranges less their margin.
    ///
    /// A goal that had to be moved loses its velocity, so the tool comes to rest at the wall
    /// instead of pressing on. A goal with no inverse at all gives `None`: stop.
    pub fn reachable(&self, goal: &Goal, near: &JointPositions) -> Option<Reachable> {
        let jaw = self.clamp_jaw(goal.jaw);
        let wanted = goal.servo_cp.position();
        let boxed = wanted.sup(&self.volume.low).inf(&self.volume.high);
        let outside = (boxed - wanted).norm() > 0.0;
        let pose = Pose::new(boxed, goal.servo_cp.rotation());
        let joints = self.geometry.inverse(&pose, near).ok()?;
        let inner = self.clamp_inner(&joints);
        let clamped = inner.0.iter().zip(joints.0).any(|(a, b)| (a - b).abs() > 0.0);
        if !outside && !clamped {
            return Some(Reachable { goal: Goal { jaw, ..*goal }, limited: false });
        }
        let servo_cp = if clamped { self.geometry.forward(&inner) } else { pose };
        Some(Reachable { goal: Goal { servo_cp, servo_cv: Twist::ZERO, jaw }, limited: true })
    }

    /// Lets joint positions through to the arm, or says that they may not.
    ///
    /// Checks every joint's range, and its speed against the positions that the arm was told one
    /// tick before. Errors: [`Fault::Limit`]; [`Fault::Broken`] if a value is not finite.
    pub fn check(
        &self,
        permit: &Permit,
        joints: JointPositions,
        before: &JointPositions,
    ) -> Result<Checked<JointPositions>, Fault> {
        if !joints.is_finite() {
            return Err(Fault::Broken);
        }
        if !permit.may_drive() {
            return Err(Fault::Broken);
        }
        let dt = TICK.as_secs_f64();
        let j = &self.joints;
        let rows = joints.0.iter().zip(before.0).zip(j.low).zip(j.high).zip(j.speed_max);
        for ((((q, was), low), high), speed) in rows {
            if *q < low || *q > high || (q - was).abs() > speed * dt {
                return Err(Fault::Limit);
            }
        }
        Ok(Checked(joints))
    }

    /// Lets a jaw opening through, within the jaw's range.
    ///
    /// Errors: [`Fault::Broken`] if it is not finite or outside: goals are brought inside before.
    pub fn check_jaw(&self, permit: &Permit, jaw: f64) -> Result<Checked<f64>, Fault> {
        let [low, high] = self.joints.jaw;
        let inside = jaw.is_finite() && jaw >= low && jaw <= high;
        if inside && permit.may_drive() { Ok(Checked(jaw)) } else { Err(Fault::Broken) }
    }

    /// The largest share of its speed limit that any joint uses in this tick: 1 is the limit.
    pub fn joint_load(&self, joints: &JointPositions, before: &JointPositions) -> f64 {
        let dt = TICK.as_secs_f64();
        let rows = joints.0.iter().zip(before.0).zip(self.joints.speed_max);
        rows.map(|((q, was), speed)| (q - was).abs() / (speed * dt)).fold(0.0, f64::max)
    }

    fn clamp_inner(&self, joints: &JointPositions) -> JointPositions {
        let j = &self.joints;
        let mut inner = *joints;
        let rows = inner.0.iter_mut().zip(j.low).zip(j.high).zip(j.margin);
        for (((q, low), high), margin) in rows {
            *q = q.max(low + margin).min(high - margin);
        }
        inner
    }
}
