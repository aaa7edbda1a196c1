//! Limits: where an arm may be told to go, and the proof that a setpoint was checked.
//!
//! Knows: joint ranges, speeds, accelerations and jerks, the work volume, the depth guard. Does not
//! know: more of the past than [`Told`] holds, or why anyone wants to go there.
//!
//! Two doors. [`Limits::reachable`] brings a *goal* to the nearest place allowed, and says that it
//! did. [`Limits::check`] stands before the joints: it makes the only [`Checked`] there is, under a
//! [`Permit`] that only the supervisor makes; what it does not like it refuses, never trims.
//!
//! Inward only: an arm that stands outside the work volume, where the bedside may have put it, is
//! judged by a volume that reaches just as far as the arm and shrinks with it.

use crate::fault::{Fault, ensure};
use crate::kinematics::{Joint, PsmGeometry, joint_outside};
use crate::playout::Goal;
use crate::profile::{JointLimits, Profile, Volume};
use crate::supervisor::Permit;
use longhand_protocol::geometry::{JointPositions, Pose, RobotBase, Tip, Twist};
use longhand_protocol::units::TICK;
use nalgebra::Vector3;

/// Seconds in a tick.
const DT: f64 = TICK.as_secs_f64();
/// Goals stay this far inside the work volume, metres. Chosen: a tool that comes to its goal there,
/// or slides along the wall, swings over it by micrometres; that is no reason to stop it.
const GOAL_MARGIN: f64 = 0.5e-3;
/// What forward and inverse kinematics may differ by at a wall, metres. Chosen: a thousand times
/// their rounding; what creeps outward by it goes 1 nm in a second.
const ROUNDING: f64 = 1e-12;
/// The same at the door. The look ahead takes the tip from the setpoint, the door from the joints:
/// what the first just lets pass must not be refused for the last bit by the second. Chosen: twice.
const DOOR_SLACK: f64 = 2.0 * ROUNDING;

/// A value that [`Limits::check`] has let through. It cannot be made anywhere else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked<T>(T);

impl<T: Copy> Checked<T> {
    /// The value.
    pub const fn get(&self) -> T {
        self.0
    }
}

impl Checked<Told> {
    /// The joint positions alone, for the arm.
    pub const fn joints(&self) -> Checked<JointPositions> {
        Checked(self.0.joints)
    }
}

/// What an arm was told last, and how that moved: differences over one tick, exactly as an outside
/// observer would compute them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    joints: JointPositions,
    tip: Vector3<f64>,
    speed: [f64; 6],
    acceleration: [f64; 6],
}

impl Told {
    /// An arm that stands at `joints`, its tip at `tip` (metres, in the arm's base).
    pub const fn at_rest(joints: JointPositions, tip: Vector3<f64>) -> Self {
        Self { joints, tip, speed: [0.0; 6], acceleration: [0.0; 6] }
    }

    /// The same place, at rest.
    #[must_use]
    pub const fn standing(self) -> Self {
        Self::at_rest(self.joints, self.tip)
    }

    /// The joint positions.
    pub const fn joints(&self) -> &JointPositions {
        &self.joints
    }

    /// Where they put the tip, metres, in the arm's base.
    pub const fn tip(&self) -> Vector3<f64> {
        self.tip
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
    /// The profile is one for which open country was measured.
    has_open_country: bool,
}

impl Limits {
    /// The profile's limits for an arm of this geometry.
    pub fn new(profile: &Profile, geometry: PsmGeometry) -> Self {
        Self {
            joints: profile.joints,
            volume: profile.volume,
            geometry,
            has_open_country: profile.has_open_country(),
        }
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

    /// The first joint that stands outside its range: such an arm cannot be told anything.
    pub fn joint_outside(&self, joints: &JointPositions) -> Option<Joint> {
        let (low, high) = (JointPositions(self.joints.low), JointPositions(self.joints.high));
        joint_outside(joints, &low, &high)
    }

    /// Brings a goal inside the work volume and the joint ranges, less their margins.
    ///
    /// A goal that had to be moved loses its velocity, so the tool comes to rest at the wall
    /// instead of pressing on. Where the arm itself stands beyond a margin, goals may lie as far
    /// out as the arm and no farther. A goal with no inverse at all gives `None`: stop.
    pub fn reachable(&self, goal: &Goal, told: &Told) -> Option<Reachable> {
        let jaw = self.clamp_jaw(goal.jaw);
        let wanted = goal.servo_cp.position();
        let inner = self.volume.shrunk_by(GOAL_MARGIN).reaching(&told.tip);
        let inside = inner.nearest(wanted);
        let outside = (inside - wanted).norm() > 0.0;
        let pose = Pose::new(inside, goal.servo_cp.rotation());
        let joints = self.geometry.inverse(&pose, &told.joints).ok()?;
        let inner = self.clamp_inner(&joints, told);
        let clamped = inner.0.iter().zip(joints.0).any(|(a, b)| (a - b).abs() > 0.0);
        if !outside && !clamped {
            return Some(Reachable { goal: Goal { jaw, ..*goal }, limited: false });
        }
        let servo_cp = if clamped { self.geometry.forward(&inner) } else { pose };
        Some(Reachable { goal: Goal { servo_cp, servo_cv: Twist::ZERO, jaw }, limited: true })
    }

    /// What an arm will have been told once it is told `joints`, which put its tip at `tip`; `None`
    /// where a limit is broken: a joint's range, speed, acceleration or jerk, the work volume, the
    /// depth guard. NaN breaks every limit.
    ///
    /// This is the rule of every look ahead, and but for `DOOR_SLACK` that of [`Limits::check`]; it
    /// lets nothing through to the arm.
    pub fn judge(&self, joints: &JointPositions, tip: Vector3<f64>, before: &Told) -> Option<Told> {
        self.judge_within(joints, tip, before, ROUNDING)
    }

    /// [`Limits::judge`], the tip as much as `slack` metres outside.
    fn judge_within(
        &self,
        joints: &JointPositions,
        tip: Vector3<f64>,
        before: &Told,
        slack: f64,
    ) -> Option<Told> {
        let j = &self.joints;
        let mut told = Told { joints: *joints, tip, ..*before };
        let moves = told.speed.iter_mut().zip(&mut told.acceleration);
        let bounds = j.speed_max.iter().zip(j.acceleration_max).zip(j.jerk_max);
        let steps = joints.0.iter().zip(before.joints.0);
        let mut holds = self.joint_outside(joints).is_none();
        for (((q, was), (speed, acceleration)), ((speed_max, accel_max), jerk_max)) in
            steps.zip(moves).zip(bounds)
        {
            let new_speed = (q - was) / DT;
            let new_acceleration = (new_speed - *speed) / DT;
            let jerk = (new_acceleration - *acceleration) / DT;
            holds &= new_speed.abs() <= *speed_max
                && new_acceleration.abs() <= accel_max
                && jerk.abs() <= jerk_max;
            (*speed, *acceleration) = (new_speed, new_acceleration);
        }
        let may = self.volume.reaching(&before.tip);
        (holds && may.holds(&tip, slack)).then_some(told)
    }

    /// Lets joint positions through to the arm, or says that they may not.
    ///
    /// Checks, by [`Limits::judge`], the joints against what the arm was told before and the tip
    /// that they make, which it computes itself; and that this tip is where the setpoint is, to a
    /// nanometre. Errors: [`Fault::Limit`]; [`Fault::Broken`] if a value is not finite, if there is
    /// no leave to drive, or if the joints do not make the setpoint.
    pub fn check(
        &self,
        permit: &Permit,
        joints: &JointPositions,
        setpoint: &Pose<RobotBase, Tip>,
        before: &Told,
    ) -> Result<Checked<Told>, Fault> {
        ensure(joints.is_finite())?;
        ensure(permit.may_drive())?;
        let tip = self.geometry.forward_position(joints);
        ensure((tip - setpoint.position()).norm() <= 1e-9)?;
        self.judge_within(joints, tip, before, DOOR_SLACK).map(Checked).ok_or(Fault::Limit)
    }

    /// Lets a jaw opening through, within the jaw's range.
    ///
    /// Errors: [`Fault::Broken`] if it is not finite or outside: goals are brought inside before.
    pub fn check_jaw(&self, permit: &Permit, jaw: f64) -> Result<Checked<f64>, Fault> {
        let [low, high] = self.joints.jaw;
        let inside = jaw.is_finite() && jaw >= low && jaw <= high;
        if inside && permit.may_drive() { Ok(Checked(jaw)) } else { Err(Fault::Broken) }
    }

    /// The largest share of its speed limit that any joint used in the last tick: 1 is the limit.
    pub fn joint_load(&self, told: &Told) -> f64 {
        let rows = told.speed.iter().zip(self.joints.speed_max);
        rows.map(|(speed, most)| speed.abs() / most).fold(0.0, f64::max)
    }

    /// Whether the arm is so far from every wall and every singular place that, whatever the tip
    /// does within its own limits, no joint limit is near and it can stop as it likes. Elsewhere
    /// each step needs the proof that the arm can still stop.
    pub fn is_open_country(&self, told: &Told) -> bool {
        let rows = told.joints.0.iter().zip(OPEN_LOW).zip(OPEN_HIGH);
        let mut rows = rows.zip(self.joints.low).zip(self.joints.high).zip(STOP_ROOM);
        self.has_open_country
            && self.volume.shrunk_by(STOP_ROOM_TIP).holds(&told.tip, 0.0)
            && rows.all(|(((((q, open_low), open_high), low), high), room)| {
                *q >= open_low.max(low + room) && *q <= open_high.min(high - room)
            })
    }

    fn clamp_inner(&self, joints: &JointPositions, told: &Told) -> JointPositions {
        let j = &self.joints;
        let mut inner = *joints;
        let rows = inner.0.iter_mut().zip(told.joints.0).zip(j.low).zip(j.high).zip(j.margin);
        for ((((q, at), low), high), margin) in rows {
            *q = q.max((low + margin).min(at)).min((high - margin).max(at));
        }
        inner
    }
}

/// Open country: 9 cm past the remote centre or deeper, shaft within 37 deg of level pitch, wrist
/// bent less than 57 deg. Chosen: there the joints follow the tip gently; `profile` says how
/// gently, and a test looks for the worst.
const OPEN_LOW: [f64; 6] = [f64::MIN, -0.65, 0.105, f64::MIN, -1.0, f64::MIN];
const OPEN_HIGH: [f64; 6] = [f64::MAX, 0.65, f64::MAX, f64::MAX, 1.0, f64::MAX];
/// More than a joint goes while the tip stops from full speed in open country. Chosen: twice 15 ms
/// of the joint's full speed there.
const STOP_ROOM: [f64; 6] = [0.06, 0.06, 0.004, 0.15, 0.15, 0.15];
/// More than the tip goes while it stops from full speed, metres. Chosen: a profile with open
/// country brakes as the default does, within 3 mm from 0.1 m/s; the next tick comes on top.
const STOP_ROOM_TIP: f64 = 4e-3;

impl Volume {
    /// The volume with every wall moved inward.
    fn shrunk_by(&self, metres: f64) -> Self {
        let by = Vector3::repeat(metres);
        let [least, most] = self.depth;
        Self { low: self.low + by, high: self.high - by, depth: [least + metres, most - metres] }
    }

    /// The volume, reaching as far as `tip` where that lies outside.
    fn reaching(&self, tip: &Vector3<f64>) -> Self {
        let [least, most] = self.depth;
        let depth = tip.norm();
        Self {
            low: self.low.inf(tip),
            high: self.high.sup(tip),
            depth: [least.min(depth), most.max(depth)],
        }
    }

    /// The nearest place inside, as far as it lies straight across one wall and then along the line
    /// to the remote centre. At a corner it may lie outside; then the arm stops where it must.
    fn nearest(&self, p: Vector3<f64>) -> Vector3<f64> {
        let boxed = p.sup(&self.low).inf(&self.high);
        let [least, most] = self.depth;
        let depth = boxed.norm();
        let wanted = depth.max(least).min(most);
        if depth > 0.0 && (wanted - depth).abs() > 0.0 {
            (boxed * (wanted / depth)).sup(&self.low).inf(&self.high)
        } else {
            boxed
        }
    }

    /// Whether `tip` lies inside, or within `slack` metres of it. NaN does not.
    fn holds(&self, tip: &Vector3<f64>, slack: f64) -> bool {
        let [least, most] = self.depth;
        let depth = tip.norm();
        let mut walls = tip.iter().zip(self.low.iter()).zip(self.high.iter());
        depth >= least - slack
            && depth <= most + slack
            && walls.all(|((x, low), high)| *x >= low - slack && *x <= high + slack)
    }
}

#[cfg(test)]
impl Limits {
    /// The same with other joint limits, still believing in open country: a step that the law takes
    /// for granted is then refused at the door.
    pub(crate) const fn with_joints(self, joints: JointLimits) -> Self {
        Self { joints, ..self }
    }
}

#[cfg(test)]
mod tests {
    //! Every limit a little inside, on it, a little beyond; and the two doors.
    extern crate std;
    use super::*;
    use longhand_protocol::geometry::clamp_norm;
    use nalgebra::UnitQuaternion;

    const HOME: JointPositions = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);
    const PSM: PsmGeometry = PsmGeometry::CLASSIC_LND_400006;

    fn limits() -> Limits {
        Limits::new(&Profile::DEFAULT, PSM)
    }

    fn tip_at(joints: &JointPositions) -> Vector3<f64> {
        PSM.forward(joints).position()
    }

    fn standing(joints: JointPositions) -> Told {
        Told::at_rest(joints, tip_at(&joints))
    }

    /// [`HOME`] with one joint elsewhere.
    fn with(joint: usize, value: f64) -> JointPositions {
        let mut joints = HOME;
        if let Some(q) = joints.0.get_mut(joint) {
            *q = value;
        }
        joints
    }

    /// A tip inside the volume for whatever joints: these tests are about the joints.
    const INSIDE: Vector3<f64> = Vector3::new(0.0, 0.0, -0.1);

    fn joints_hold(joints: &JointPositions, before: &Told) -> bool {
        limits().judge(joints, INSIDE, before).is_some()
    }

    #[test]
    fn every_joints_range_before_on_and_beyond() {
        let p = Profile::DEFAULT.joints;
        for (joint, (low, high)) in p.low.into_iter().zip(p.high).enumerate() {
            for (bound, inward) in [(low, 1e-9), (high, -1e-9)] {
                for (value, holds) in
                    [(bound + inward, true), (bound, true), (bound - inward, false)]
                {
                    let q = with(joint, value);
                    let told = Told::at_rest(q, INSIDE);
                    assert_eq!(joints_hold(&q, &told), holds, "joint {joint} at {value}");
                    assert_eq!(limits().joint_outside(&q).is_none(), holds);
                }
            }
        }
    }

    #[test]
    fn every_joints_rates_before_on_and_beyond() {
        let p = Profile::DEFAULT.joints;
        let rows = p.speed_max.into_iter().zip(p.acceleration_max).zip(p.jerk_max);
        for (joint, ((speed, acceleration), jerk)) in rows.enumerate() {
            let at = HOME.0.get(joint).copied().unwrap_or(0.0);
            let one = |value: f64| {
                let mut all = [0.0; 6];
                all.iter_mut().skip(joint).take(1).for_each(|x| *x = value);
                all
            };
            for (share, holds) in [(1.0 - 1e-6, true), (1.0 - 1e-9, true), (1.0 + 1e-6, false)] {
                for sign in [-1.0, 1.0] {
                    let go = |speed: f64, before: &Told| {
                        joints_hold(&with(joint, at + sign * speed * DT), before)
                    };
                    let still = Told::at_rest(HOME, INSIDE);
                    // At this speed already: only the speed counts.
                    let v = speed * share;
                    assert_eq!(go(v, &Told { speed: one(sign * v), ..still }), holds);
                    // Accelerating so already: only the acceleration counts.
                    let a = acceleration * share;
                    assert_eq!(go(a * DT, &Told { acceleration: one(sign * a), ..still }), holds);
                    // From rest: only the jerk counts.
                    assert_eq!(go(jerk * share * DT * DT, &still), holds, "jerk of {joint}");
                }
            }
        }
    }

    #[test]
    fn every_wall_and_both_depths_before_on_and_beyond() {
        let v = Profile::DEFAULT.volume;
        let [least, most] = v.depth;
        let slanted = Vector3::new(0.3, -0.2, -1.0).normalize();
        let centre = Vector3::new(0.0, 0.0, -0.12);
        let wall = |axis: usize, at: f64| {
            let mut p = centre;
            p.iter_mut().skip(axis).take(1).for_each(|x| *x = at);
            p
        };
        let mut edges = std::vec::Vec::new();
        for axis in 0..2 {
            edges.push((wall(axis, v.low.iter().nth(axis).copied().unwrap()), centre));
            edges.push((wall(axis, v.high.iter().nth(axis).copied().unwrap()), centre));
        }
        // The box's floor, and its ceiling, where the depth guard does not come first.
        edges.push((Vector3::new(0.0, 0.0, v.low.z), centre));
        edges.push((Vector3::new(0.06, 0.06, v.high.z), Vector3::new(0.06, 0.06, -0.1)));
        edges.push((slanted * least, slanted * 0.1));
        edges.push((Vector3::new(0.07, 0.0, -0.185).normalize() * most, centre));
        let told = standing(HOME);
        for (edge, inside) in edges {
            let inward = (inside - edge).normalize() * 1e-9;
            for (tip, holds) in [(edge + inward, true), (edge, true), (edge - inward, false)] {
                assert_eq!(limits().judge(&HOME, tip, &told).is_some(), holds, "{tip:?}");
            }
        }
    }

    #[test]
    fn an_arm_outside_may_move_inward_only() {
        let out = Vector3::new(0.09, 0.0, -0.12);
        let told = Told::at_rest(HOME, out);
        let x = Vector3::new(1e-6, 0.0, 0.0);
        assert!(limits().judge(&HOME, out, &told).is_some(), "it may stand");
        assert!(limits().judge(&HOME, out - x, &told).is_some(), "it may come in");
        assert!(limits().judge(&HOME, out + x, &told).is_none(), "it may not go out");
        // What it has gained it cannot lose again.
        let nearer = limits().judge(&HOME, out - x, &told).unwrap();
        assert!(limits().judge(&HOME, out, &nearer).is_none());
        // Another wall is no freer for it.
        let other = out + Vector3::new(-1e-6, 0.0801, 0.0);
        assert!(limits().judge(&HOME, other, &told).is_none());
    }

    fn goal(position: Vector3<f64>) -> Goal {
        let servo_cv = Twist { linear: Vector3::new(0.1, 0.0, 0.0), angular: Vector3::zeros() };
        let rotation = PSM.forward(&HOME).rotation();
        Goal { servo_cp: Pose::new(position, rotation), servo_cv, jaw: 0.0 }
    }

    #[test]
    fn goals_are_brought_inside_and_say_so() {
        let told = standing(HOME);
        let inner = Profile::DEFAULT.volume.shrunk_by(GOAL_MARGIN);
        let near = limits().reachable(&goal(tip_at(&HOME)), &told).unwrap();
        assert_eq!((near.limited, near.goal), (false, goal(tip_at(&HOME))));
        for far in [[0.2, 0.0, -0.12], [0.0, -0.3, -0.1], [0.07, 0.07, -0.3], [0.0, 0.0, -0.02]] {
            let got = limits().reachable(&goal(far.into()), &told).unwrap();
            let p = got.goal.servo_cp.position();
            assert!(got.limited && inner.holds(&p, 1e-9), "{far:?} gave {p:?}");
            assert_eq!(got.goal.servo_cv, Twist::ZERO);
        }
        // The arm stands 20 mm outside: goals may lie as far out as it does, no farther.
        let out = Told::at_rest(HOME, Vector3::new(0.1, 0.0, -0.12));
        let x_of = |x| {
            let got = limits().reachable(&goal(Vector3::new(x, 0.0, -0.12)), &out).unwrap();
            (got.goal.servo_cp.position().x, got.limited)
        };
        assert_eq!(x_of(0.095), (0.095, false));
        assert_eq!(x_of(0.1), (0.1, false));
        assert_eq!(x_of(0.105), (0.1, true));
    }

    #[test]
    fn the_door_wants_leave_numbers_and_the_setpoint_that_was_shaped() {
        let (told, permit) = (standing(HOME), Permit::of_a_test(true));
        let setpoint = PSM.forward(&HOME);
        let checked = limits().check(&permit, &HOME, &setpoint, &told).unwrap();
        assert_eq!(checked.joints().get(), HOME);
        let no_leave = Permit::of_a_test(false);
        assert_eq!(limits().check(&no_leave, &HOME, &setpoint, &told), Err(Fault::Broken));
        for joint in 0..6 {
            let bad = with(joint, f64::NAN);
            assert_eq!(limits().check(&permit, &bad, &setpoint, &told), Err(Fault::Broken));
        }
        for (off, holds) in [(0.5e-9, true), (2e-9, false)] {
            let moved = setpoint.position() + clamp_norm(Vector3::repeat(1.0), off);
            let elsewhere = Pose::new(moved, UnitQuaternion::identity());
            let judged = limits().check(&permit, &HOME, &elsewhere, &told);
            assert_eq!(judged.is_ok(), holds, "{judged:?}");
        }
        // The tip that counts is the one that the joints make.
        let deep = JointPositions([0.0, 0.0, 0.2, 0.0, 0.0, 0.0]);
        let stands = limits().check(&permit, &deep, &PSM.forward(&deep), &standing(deep));
        assert!(stands.is_ok(), "3 mm below the floor it may stand");
        let crossing = Told::at_rest(deep, INSIDE);
        let floor = limits().check(&permit, &deep, &PSM.forward(&deep), &crossing);
        assert_eq!(floor, Err(Fault::Limit));
    }

    #[test]
    fn the_jaw_before_on_and_beyond() {
        let permit = Permit::of_a_test(true);
        let [low, high] = Profile::DEFAULT.joints.jaw;
        for (bound, inward) in [(low, 1e-9), (high, -1e-9)] {
            for (jaw, holds) in [(bound + inward, true), (bound, true), (bound - inward, false)] {
                assert_eq!(limits().check_jaw(&permit, jaw).is_ok(), holds);
            }
        }
        assert!(limits().check_jaw(&permit, f64::NAN).is_err());
        assert!(limits().check_jaw(&Permit::of_a_test(false), 0.0).is_err());
    }

    #[test]
    fn open_country_ends_before_walls_bends_and_other_profiles() {
        let open = |joints| limits().is_open_country(&standing(joints));
        assert!(open(HOME));
        for (joint, at, other) in [(1, 0.64, 0.66), (2, 0.106, 0.104), (4, 0.99, 1.01)] {
            assert!(open(with(joint, at)) && !open(with(joint, other)), "joint {joint}");
        }
        for x in [-0.077, 0.077] {
            let near_wall = Told::at_rest(HOME, Vector3::new(x, 0.0, -0.12));
            assert!(!limits().is_open_country(&near_wall));
        }
        let changes: [fn(&mut Profile); 3] = [
            |p| p.joints.jerk_max = [1e4; 6],
            |p| p.motion.tip.acceleration = 6.0,
            |p| p.motion.rotation.speed = 2.1,
        ];
        for change in changes {
            let mut p = Profile::DEFAULT;
            change(&mut p);
            assert!(!Limits::new(&p, PSM).is_open_country(&standing(HOME)));
        }
        assert!(Limits::new(&Profile::SATELLITE, PSM).is_open_country(&standing(HOME)));
    }
}
