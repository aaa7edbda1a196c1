//! Poses and twists that carry their frames in the type.
//!
//! Knows: rigid motions, and which frame is seen from which. Does not know: any robot, any limit.
//!
//! Terms: `Pose<A, B>` reads "B in A": it maps coordinates in `B` to coordinates in `A`. Lengths in
//! metres, angles in radians. Only matching frames multiply:
//!
//! ```compile_fail
//! use longhand_protocol::geometry::{Hand, HandBase, Pose, RobotBase, Tip};
//! let tip = Pose::<RobotBase, Tip>::IDENTITY;
//! let hand = Pose::<HandBase, Hand>::IDENTITY;
//! let _ = tip.then(hand);
//! ```

use core::marker::PhantomData;
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3};

/// The fixed frame of one arm: its remote centre of motion (RCM).
#[derive(Debug)]
pub enum RobotBase {}
/// The instrument's tip.
#[derive(Debug)]
pub enum Tip {}
/// The fixed frame of the surgeon's hand device.
#[derive(Debug)]
pub enum HandBase {}
/// The surgeon's hand, as the device reads it.
#[derive(Debug)]
pub enum Hand {}

/// The pose of frame `B` seen from frame `A`. Metres; unit quaternion.
pub struct Pose<A, B> {
    inner: Isometry3<f64>,
    frames: PhantomData<fn() -> (A, B)>,
}

impl<A, B> Pose<A, B> {
    /// `B` lies on `A`.
    pub const IDENTITY: Self = Self {
        inner: Isometry3 {
            rotation: UnitQuaternion::new_unchecked(Quaternion::new(1.0, 0.0, 0.0, 0.0)),
            translation: Translation3::new(0.0, 0.0, 0.0),
        },
        frames: PhantomData,
    };

    /// A pose from its parts: metres, and a rotation that is already unit.
    pub fn new(position: Vector3<f64>, rotation: UnitQuaternion<f64>) -> Self {
        Self { inner: Isometry3::from_parts(position.into(), rotation), frames: PhantomData }
    }

    /// The position of `B`'s origin in `A`, in metres.
    pub fn position(&self) -> Vector3<f64> {
        self.inner.translation.vector
    }

    /// The rotation from `B`'s axes to `A`'s.
    pub fn rotation(&self) -> UnitQuaternion<f64> {
        self.inner.rotation
    }

    /// `C` in `A`, from `B` in `A` and `C` in `B`.
    #[must_use]
    pub fn then<C>(self, next: Pose<B, C>) -> Pose<A, C> {
        Pose { inner: self.inner * next.inner, frames: PhantomData }
    }

    /// `A` in `B`.
    #[must_use]
    pub fn inverse(self) -> Pose<B, A> {
        Pose { inner: self.inner.inverse(), frames: PhantomData }
    }

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        self.inner.translation.vector.iter().all(|x| x.is_finite())
            && self.inner.rotation.coords.iter().all(|x| x.is_finite())
    }

    /// How far two poses are apart.
    pub fn mismatch(&self, other: &Self) -> Mismatch {
        Mismatch {
            distance_m: (self.position() - other.position()).norm(),
            angle_rad: self.rotation().angle_to(&other.rotation()),
        }
    }
}

impl<A, B> Clone for Pose<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, B> Copy for Pose<A, B> {}
impl<A, B> PartialEq for Pose<A, B> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}
impl<A, B> core::fmt::Debug for Pose<A, B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (p, q) = (self.position(), self.rotation());
        write!(
            f,
            "Pose(m {:.6} {:.6} {:.6}, wxyz {:.6} {:.6} {:.6} {:.6})",
            p.x, p.y, p.z, q.w, q.i, q.j, q.k
        )
    }
}
impl<A, B> Default for Pose<A, B> {
    fn default() -> Self {
        Self::IDENTITY
    }
}

/// How far two poses are apart: metres and radians, both >= 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mismatch {
    /// Distance between the origins, metres.
    pub distance_m: f64,
    /// Angle between the orientations, radians.
    pub angle_rad: f64,
}

impl Mismatch {
    /// Whether both parts lie within `bound`, the bound itself included.
    pub fn within(self, bound: Self) -> bool {
        self.distance_m <= bound.distance_m && self.angle_rad <= bound.angle_rad
    }

    /// The larger of each part.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        Self {
            distance_m: self.distance_m.max(other.distance_m),
            angle_rad: self.angle_rad.max(other.angle_rad),
        }
    }
}

/// A velocity seen from a fixed frame: metres per second, radians per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Twist {
    /// Velocity of the origin, metres per second.
    pub linear: Vector3<f64>,
    /// Angular velocity in the fixed frame's axes, radians per second.
    pub angular: Vector3<f64>,
}

impl Twist {
    /// Standing still.
    pub const ZERO: Self =
        Self { linear: Vector3::new(0.0, 0.0, 0.0), angular: Vector3::new(0.0, 0.0, 0.0) };

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        self.linear.iter().chain(self.angular.iter()).all(|x| x.is_finite())
    }
}

impl Default for Twist {
    fn default() -> Self {
        Self::ZERO
    }
}

/// `v`, shortened to length `bound` where it is longer.
#[must_use]
pub fn clamp_norm(v: Vector3<f64>, bound: f64) -> Vector3<f64> {
    let norm = v.norm();
    if norm > bound && norm > 0.0 { v * (bound / norm) } else { v }
}

/// Which of the robot's two arms. CRTK's names for the da Vinci patient-side manipulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmId {
    /// The surgeon's left hand's arm.
    Psm1,
    /// The surgeon's right hand's arm.
    Psm2,
}

impl ArmId {
    /// Both arms, in wire order.
    pub const ALL: [Self; 2] = [Self::Psm1, Self::Psm2];

    /// The CRTK name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Psm1 => "PSM1",
            Self::Psm2 => "PSM2",
        }
    }
}

/// One `T` for each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerArm<T> {
    /// The left hand's arm.
    pub psm1: T,
    /// The right hand's arm.
    pub psm2: T,
}

impl<T> PerArm<T> {
    /// Makes each arm's value.
    pub fn from_fn(mut f: impl FnMut(ArmId) -> T) -> Self {
        Self { psm1: f(ArmId::Psm1), psm2: f(ArmId::Psm2) }
    }

    /// The value of one arm.
    pub const fn get(&self, arm: ArmId) -> &T {
        match arm {
            ArmId::Psm1 => &self.psm1,
            ArmId::Psm2 => &self.psm2,
        }
    }

    /// The value of one arm, to change.
    pub const fn get_mut(&mut self, arm: ArmId) -> &mut T {
        match arm {
            ArmId::Psm1 => &mut self.psm1,
            ArmId::Psm2 => &mut self.psm2,
        }
    }

    /// Each arm's value through `f`.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> PerArm<U> {
        PerArm { psm1: f(self.psm1), psm2: f(self.psm2) }
    }

    /// The two values in wire order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.psm1, &self.psm2].into_iter()
    }
}

/// Six joints of a PSM: yaw, pitch, insertion, roll, wrist pitch, wrist yaw. Radians; metres for
/// the insertion. The jaw is kept apart, as CRTK does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JointPositions(pub [f64; 6]);

impl JointPositions {
    /// Whether every joint value is finite.
    pub fn is_finite(&self) -> bool {
        self.0.iter().all(|q| q.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poses_compose_and_invert() {
        let a = Pose::<RobotBase, Tip>::new(
            Vector3::new(0.1, -0.2, 0.3),
            UnitQuaternion::from_euler_angles(0.3, -0.2, 1.0),
        );
        let back = a.then(a.inverse());
        assert!(
            back.mismatch(&Pose::IDENTITY).within(Mismatch { distance_m: 1e-12, angle_rad: 1e-7 })
        );
    }

    #[test]
    fn a_pose_with_nan_is_not_finite() {
        let nan = Pose::<RobotBase, Tip>::new(
            Vector3::new(f64::NAN, 0.0, 0.0),
            UnitQuaternion::identity(),
        );
        assert!(!nan.is_finite());
    }
}
