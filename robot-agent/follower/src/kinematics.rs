//! The arm's geometry: from joints to tip pose and back, in closed form.
//!
//! Knows: the links of a da Vinci PSM that turns about a remote centre of motion (RCM). Does not
//! know: joint limits as policy (`limits`), speed, time, or why anybody wants the pose.
//!
//! Terms: the base frame's origin is the RCM, its z axis points away from the patient. The *wrist
//! centre* lies on the shaft, `insertion - retracted` from the RCM; the *tip* lies one wrist link
//! from it. `x5` and so on are the axes of modified-DH frame 5 seen from the base.
//!
//! Why closed form and not a damped Jacobian as in dVRK: no iteration means no bound to argue about
//! in the servo loop, and the roll branch is chosen in sight. Source: kinematics.md, derivation
//! checked there on 20,000 samples and here against a plain product of the DH table.

use libm::{atan2, sincos, sqrt};
use longhand_protocol::geometry::{JointPositions, Pose, RobotBase, Tip};
use nalgebra::{Matrix3, Rotation3, UnitQuaternion, Vector3};

/// The lengths of one arm with one instrument, and how close to its singular places it may come.
///
/// Units: metres, radians. Data and not constants, because sources differ and instruments change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PsmGeometry {
    /// Insertion at which the wrist centre lies on the RCM; inserted further, it is in the patient.
    pub retracted: f64,
    /// From the wrist pitch axis to the wrist yaw axis, which carries the tip frame.
    pub wrist_link: f64,
    /// The wrist centre must be this far past the RCM, or the shaft has no direction.
    pub wrist_clear: f64,
    /// The lever that turns the tip about the wrist pitch axis must be this long.
    pub wrist_lever: f64,
    /// Beyond this yaw, to either side, the wrist centre counts as behind the RCM.
    pub yaw_reach: f64,
    /// The roll's stop, to either side: which turns of the roll exist at all.
    pub roll_reach: f64,
}

impl PsmGeometry {
    /// PSM Classic with the Large Needle Driver 400006, with pi/2 exact.
    ///
    /// Source: sawIntuitiveResearchKit `PSM.json`, `LARGE_NEEDLE_DRIVER_400006.json`: insertion
    /// offset -0.4318 and shaft 0.4162 (their sum is -0.0156), wrist link 0.0091, roll +-4.53786.
    /// dVRK rounds pi/2 to 1.5708; against it the tip differs by up to 2.9 um (kinematics.md).
    pub const CLASSIC_LND_400006: Self = Self {
        retracted: 0.4318 - 0.4162,
        wrist_link: 0.0091,
        // chosen: here a micrometre of tip noise turns the shaft by 1 mrad; nearer, by more.
        wrist_clear: 0.001,
        // chosen: a tenth of the wrist link; within the +-80 deg limit it is never that short.
        wrist_lever: 0.000_91,
        // chosen: past the +-91 deg limit, so that the limits and not the geometry judge near it.
        yaw_reach: 1.7,
        roll_reach: 4.537_86,
    };

    /// The tip's pose for these joints.
    ///
    /// Units: radians, metres. Frame: tip in the arm's base. Total: joints that are not finite give
    /// a pose that is not finite. Cost: five `sincos`, no heap.
    /// Source: PSM.json, modified DH `Rot_x(alpha) Trans_x(A) Rot_z(theta) Trans_z(D)`, multiplied
    /// out by hand; the tests hold it to the plain product.
    pub fn forward(&self, joints: &JointPositions) -> Pose<RobotBase, Tip> {
        let (position, axes) = self.tip(joints);
        let rotation = Rotation3::from_matrix_unchecked(axes);
        Pose::new(position, UnitQuaternion::from_rotation_matrix(&rotation))
    }

    /// Where the tip is for these joints: the position of [`PsmGeometry::forward`].
    pub fn forward_position(&self, joints: &JointPositions) -> Vector3<f64> {
        self.tip(joints).0
    }

    /// The tip's position, and its axes as columns.
    fn tip(&self, joints: &JointPositions) -> (Vector3<f64>, Matrix3<f64>) {
        let JointPositions([yaw, pitch, insertion, roll, wrist_pitch, wrist_yaw]) = *joints;
        let shaft = Shaft::from_angles(sincos(yaw), sincos(pitch));
        let (s4, c4) = sincos(roll);
        let (s5, c5) = sincos(wrist_pitch);
        let (s6, c6) = sincos(wrist_yaw);
        let x4 = c4 * shaft.x3 + s4 * shaft.y3;
        let z5 = c4 * shaft.y3 - s4 * shaft.x3;
        let x5 = s5 * x4 + c5 * shaft.z3;
        let z6 = c5 * x4 - s5 * shaft.z3;
        let x6 = s6 * x5 + c6 * z5;
        let y6 = c6 * x5 - s6 * z5;
        let position = (insertion - self.retracted) * shaft.z3 + self.wrist_link * x5;
        // The tool's own axes: tooltip_offset of the instrument file.
        (position, Matrix3::from_columns(&[-z6, -x6, y6]))
    }

    /// The joints that put the tip at `tip`, on the turn of the roll nearest to `near`'s.
    ///
    /// Units: radians, metres. Frame: tip in the arm's base. The wrist solution is the one with the
    /// wrist pitch inside +-90 deg, the only one inside the limits.
    /// Of `near` only the roll is used: it stands for the turn the arm is on now. A pose that the
    /// arm could only reach by unwinding a whole turn is refused, since a tool that spins round at
    /// the stop is motion nobody asked for.
    /// Errors: [`Unreachable`]. Joint limits are not judged here. Cost: five `atan2`, no heap.
    pub fn inverse(
        &self,
        tip: &Pose<RobotBase, Tip>,
        near: &JointPositions,
    ) -> Result<JointPositions, Unreachable> {
        let p = tip.position();
        let (z6, x6) = wrist_axes(tip)?;
        // Along the wrist link: the part of p across z6 is (wrist lever) * x5.
        let across = p - p.dot(&z6) * z6;
        let lever = at_least(self.wrist_lever, across.norm(), Unreachable::WristSingular)?;
        let x5 = across / lever;
        let p4 = p - self.wrist_link * x5;
        let depth = at_least(self.wrist_clear, p4.norm(), Unreachable::AtRcm)?;
        let shaft = Shaft::from_axis(p4 / depth)?;
        let yaw = at_most(self.yaw_reach, shaft.yaw(), Unreachable::BehindRcm)?;
        let z5 = x5.cross(&z6);
        let (s4, c4) = (-z5.dot(&shaft.x3), z5.dot(&shaft.y3));
        let roll = self.nearest_turn(atan2(s4, c4), near)?;
        let x4 = c4 * shaft.x3 + s4 * shaft.y3;
        let wrist_pitch = atan2(x5.dot(&x4), x5.dot(&shaft.z3));
        let wrist_yaw = atan2(x6.dot(&x5), x6.dot(&z5));
        let insertion = depth + self.retracted;
        let joints = [yaw, shaft.pitch(), insertion, roll, wrist_pitch, wrist_yaw];
        Ok(JointPositions(joints))
    }

    /// `roll` moved by whole turns to lie nearest to where `near` has it.
    fn nearest_turn(&self, roll: f64, near: &JointPositions) -> Result<f64, Unreachable> {
        const TURN: f64 = 2.0 * core::f64::consts::PI;
        // chosen: an arm that rests at its stop must not be refused for the last digit.
        const ROUNDING: f64 = 1e-9;
        let JointPositions([_, _, _, from, _, _]) = *near;
        if !from.is_finite() {
            return Err(Unreachable::NotAPose);
        }
        let turned = roll + TURN * libm::round((from - roll) / TURN);
        at_most(self.roll_reach + ROUNDING, turned, Unreachable::RollStop)
    }
}

/// Why no joints put the tip there. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// A number is not finite, or the rotation is not a unit quaternion: drop the pose.
    NotAPose,
    /// The wrist centre would lie on the RCM, inside the cannula: go deeper.
    AtRcm,
    /// The wrist centre would lie on the far side of the RCM, outside the patient: aim inward.
    BehindRcm,
    /// The shaft would lie along the yaw axis, so that yaw is undefined: bring it upright.
    ShaftLevel,
    /// The tip would lie on the wrist pitch axis, so that its pitch is undefined: unfold the wrist.
    WristSingular,
    /// The roll is at its stop and the pose lies beyond: turn back.
    RollStop,
}

/// A joint of the PSM, in the order of [`JointPositions`]. Names as in dVRK's manuals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Joint {
    /// Outer yaw, about the RCM.
    Yaw,
    /// Outer pitch, about the RCM.
    Pitch,
    /// Along the shaft.
    Insertion,
    /// About the shaft.
    Roll,
    /// Wrist pitch.
    WristPitch,
    /// Wrist yaw.
    WristYaw,
}

impl Joint {
    /// Every joint, in the order of [`JointPositions`].
    pub const ALL: [Self; 6] =
        [Self::Yaw, Self::Pitch, Self::Insertion, Self::Roll, Self::WristPitch, Self::WristYaw];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yaw => "yaw",
            Self::Pitch => "pitch",
            Self::Insertion => "insertion",
            Self::Roll => "roll",
            Self::WristPitch => "wrist pitch",
            Self::WristYaw => "wrist yaw",
        }
    }
}

/// The first joint that is not within `low..=high`, or `None`. A value that is NaN is outside.
pub fn joint_outside(
    joints: &JointPositions,
    low: &JointPositions,
    high: &JointPositions,
) -> Option<Joint> {
    let bounds = low.0.iter().zip(high.0.iter());
    let mut each = Joint::ALL.into_iter().zip(joints.0.iter().zip(bounds));
    each.find(|(_, (q, (low, high)))| !(*low..=*high).contains(q)).map(|(joint, _)| joint)
}

/// Frame 3, which yaw and pitch turn about the RCM: `z3` lies along the shaft, into the patient.
struct Shaft {
    x3: Vector3<f64>,
    y3: Vector3<f64>,
    z3: Vector3<f64>,
}

impl Shaft {
    /// From sine and cosine of yaw and of pitch.
    fn from_angles((s1, c1): (f64, f64), (s2, c2): (f64, f64)) -> Self {
        Self {
            x3: Vector3::new(-s1 * s2, -c2, c1 * s2),
            y3: Vector3::new(-c1, 0.0, -s1),
            z3: Vector3::new(s1 * c2, -s2, -c1 * c2),
        }
    }

    /// From the shaft's unit direction, which must not lie along the yaw axis.
    ///
    /// No angle is needed on the way: the direction holds their sines and cosines already.
    fn from_axis(z3: Vector3<f64>) -> Result<Self, Unreachable> {
        // chosen: cos(pitch) at 89.9 deg, far outside the +-53 deg pitch limit.
        const UPRIGHT_MIN: f64 = 0.001_745;
        let c2 = sqrt(z3.x * z3.x + z3.z * z3.z);
        let c2 = at_least(UPRIGHT_MIN, c2, Unreachable::ShaftLevel)?;
        let shaft = Self::from_angles((z3.x / c2, -z3.z / c2), (-z3.y, c2));
        Ok(Self { z3, ..shaft })
    }

    fn yaw(&self) -> f64 {
        atan2(self.z3.x, -self.z3.z)
    }

    /// By sine and cosine (`-x3.y`): `asin` alone loses digits as the pitch grows.
    fn pitch(&self) -> f64 {
        atan2(-self.z3.y, -self.x3.y)
    }
}

/// `z6` and `x6` from the tip's rotation, which must be a rotation.
fn wrist_axes(tip: &Pose<RobotBase, Tip>) -> Result<(Vector3<f64>, Vector3<f64>), Unreachable> {
    // chosen: a quaternion normalised in f32 passes, a forgotten normalisation does not.
    const UNIT_TOLERANCE: f64 = 1e-6;
    let rotation = tip.rotation();
    let q = rotation.quaternion();
    let unit = q.w * q.w + q.i * q.i + q.j * q.j + q.k * q.k;
    at_most(UNIT_TOLERANCE, unit - 1.0, Unreachable::NotAPose)?;
    // A finite sum of squares is made of finite numbers.
    at_most(f64::MAX, tip.position().norm_squared(), Unreachable::NotAPose)?;
    let x = Vector3::new(
        1.0 - 2.0 * (q.j * q.j + q.k * q.k),
        2.0 * (q.i * q.j + q.w * q.k),
        2.0 * (q.i * q.k - q.w * q.j),
    );
    let y = Vector3::new(
        2.0 * (q.i * q.j - q.w * q.k),
        1.0 - 2.0 * (q.i * q.i + q.k * q.k),
        2.0 * (q.j * q.k + q.w * q.i),
    );
    Ok((-x, -y))
}

/// `value`, or `why` where it is smaller than `bound` or NaN.
fn at_least(bound: f64, value: f64, why: Unreachable) -> Result<f64, Unreachable> {
    if value >= bound { Ok(value) } else { Err(why) }
}

/// `value`, or `why` where it lies outside `-bound..=bound` or is NaN.
fn at_most(bound: f64, value: f64, why: Unreachable) -> Result<f64, Unreachable> {
    if value.abs() <= bound { Ok(value) } else { Err(why) }
}

#[cfg(test)]
mod tests {
    //! Forward against the kinematics.md table and a plain DH product; inverse against forward.
    extern crate std;
    use super::*;
    use core::f64::consts::{FRAC_PI_2, PI};
    use nalgebra::Matrix4;
    use std::println;

    const ARM: PsmGeometry = PsmGeometry::CLASSIC_LND_400006;

    /// Limits of kinematics.md's table; the low insertion leaves the wrist clear of the RCM.
    const LOW: [f64; 6] = [-1.588, -0.925025, 0.0167, -4.53786, -1.39626, -1.39626];
    const HIGH: [f64; 6] = [1.588, 0.925025, 0.24, 4.53786, 1.39626, 1.39626];

    /// kinematics.md, "Golden vectors (pi/2 exact)": joints, position, rotation rows.
    type Golden = ([f64; 6], [f64; 3], [f64; 9]);
    const DOWN: [f64; 9] = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0];
    const GOLDEN: [Golden; 5] = [
        ([0.0; 6], [0.0, 0.0, 0.0065], DOWN),
        ([0.0, 0.0, 0.12, 0.0, 0.0, 0.0], [0.0, 0.0, -0.1135], DOWN),
        (
            [0.1, 0.2, 0.12, 0.3, 0.4, 0.5],
            [0.009925789, -0.025724205, -0.109416651],
            [
                0.326386575,
                0.844283391,
                0.425038068,
                0.785017815,
                0.008357911,
                -0.619416803,
                -0.526515749,
                0.535831784,
                -0.660049593,
            ],
        ),
        (
            [-0.5, 0.4, 0.15, -1.2, 0.7, -0.6],
            [-0.057230120, -0.057004792, -0.116155939],
            [
                -0.961812172,
                0.250274687,
                0.110814829,
                0.004398645,
                0.418942718,
                -0.908002010,
                -0.273674985,
                -0.872839951,
                -0.404045075,
            ],
        ),
        (
            [0.6, -0.3, 0.2, 2.0, -0.9, 0.8],
            [0.108365615, 0.053331662, -0.146918243],
            [
                0.087122453,
                -0.834849013,
                0.543540986,
                -0.478616349,
                -0.513596993,
                -0.712140800,
                0.873691060,
                -0.198104149,
                -0.444318217,
            ],
        ),
    ];

    /// SplitMix64 (Steele et al. 2014): small, seeded, and the same everywhere.
    struct Random(u64);

    impl Random {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let high = u32::try_from((z ^ (z >> 31)) >> 32).unwrap();
            f64::from(high) / f64::from(u32::MAX)
        }

        fn joints(&mut self) -> JointPositions {
            let mut bounds = LOW.iter().zip(HIGH);
            JointPositions([(); 6].map(|()| {
                let (low, high) = bounds.next().unwrap();
                low + (high - low) * self.unit()
            }))
        }
    }

    /// The oracle: the DH table multiplied as it stands in PSM.json, with nothing multiplied out.
    fn oracle(q: &JointPositions) -> Matrix4<f64> {
        let JointPositions([q1, q2, q3, q4, q5, q6]) = *q;
        let table = [
            (FRAC_PI_2, 0.0, q1 + FRAC_PI_2, 0.0),
            (-FRAC_PI_2, 0.0, q2 - FRAC_PI_2, 0.0),
            (FRAC_PI_2, 0.0, 0.0, q3 - 0.4318),
            (0.0, 0.0, q4, 0.4162),
            (-FRAC_PI_2, 0.0, q5 - FRAC_PI_2, 0.0),
            (-FRAC_PI_2, 0.0091, q6 - FRAC_PI_2, 0.0),
        ];
        let one = Matrix4::<f64>::identity();
        let product = table.iter().fold(one, |so_far, (alpha, a, theta, d)| {
            let about_x = Matrix4::from_axis_angle(&Vector3::x_axis(), *alpha);
            let about_z = Matrix4::from_axis_angle(&Vector3::z_axis(), *theta);
            let along_x = Matrix4::new_translation(&Vector3::new(*a, 0.0, 0.0));
            let along_z = Matrix4::new_translation(&Vector3::new(0.0, 0.0, *d));
            so_far * about_x * along_x * about_z * along_z
        });
        let tooltip = Matrix4::new(
            0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0,
        );
        product * tooltip
    }

    fn as_matrix(pose: &Pose<RobotBase, Tip>) -> Matrix4<f64> {
        let rotation = pose.rotation().to_rotation_matrix();
        Matrix4::new_translation(&pose.position()) * rotation.to_homogeneous()
    }

    fn pose_at(joints: [f64; 6]) -> Pose<RobotBase, Tip> {
        ARM.forward(&JointPositions(joints))
    }

    #[test]
    fn forward_gives_the_golden_vectors() {
        for (joints, position, rows) in GOLDEN {
            let pose = pose_at(joints);
            let expected = Matrix3::from_row_slice(&rows);
            let turned = pose.rotation().to_rotation_matrix();
            assert!((pose.position() - Vector3::from(position)).amax() <= 1e-9, "{joints:?}");
            assert!((turned.matrix() - expected).amax() <= 1e-9, "{joints:?}");
        }
    }

    #[test]
    fn forward_equals_the_plain_dh_product() {
        let seed = 0x0D11_0000_0000_0001;
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        for _ in 0..20_000 {
            let q = random.joints();
            let error = (as_matrix(&ARM.forward(&q)) - oracle(&q)).amax();
            assert!(error <= 1e-14, "{q:?}: {error:e}");
        }
    }

    #[test]
    fn inverse_returns_the_joints_that_made_the_pose() {
        let seed = 0x0D11_0000_0000_0002;
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        let (mut worst_joint, mut worst_m, mut worst_rad) = (0.0_f64, 0.0_f64, 0.0_f64);
        for _ in 0..1_000_000 {
            let q = random.joints();
            let pose = ARM.forward(&q);
            let back = ARM.inverse(&pose, &q).unwrap();
            let off = q.0.iter().zip(back.0).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let mismatch = pose.mismatch(&ARM.forward(&back));
            worst_joint = worst_joint.max(off);
            worst_m = worst_m.max(mismatch.distance_m);
            worst_rad = worst_rad.max(mismatch.angle_rad);
            assert!(off <= 1e-9, "{q:?} came back as {back:?}");
        }
        println!("worst joint {worst_joint:e}, position {worst_m:e} m, angle {worst_rad:e} rad");
        assert!(worst_m <= 1e-9 && worst_rad <= 1e-9);
    }

    #[test]
    fn inverse_keeps_the_turn_of_the_roll_it_is_on() {
        let before = |roll| JointPositions([0.1, 0.2, 0.12, roll, 0.0, 0.0]);
        for from in [-4.5, -3.2, -3.1, 0.0, 3.1, 3.2, 4.5] {
            let pose = ARM.forward(&before(from));
            for off in [-0.03, 0.0, 0.03] {
                let JointPositions([.., roll, _, _]) =
                    ARM.inverse(&pose, &before(from + off)).unwrap();
                assert!((roll - from).abs() <= 1e-12, "from {from} off {off} gave {roll}");
            }
        }
        // The same pose, asked for from another turn, comes back on that turn.
        let pose = ARM.forward(&before(4.0));
        let JointPositions([.., roll, _, _]) = ARM.inverse(&pose, &before(-2.0)).unwrap();
        assert!((roll - (4.0 - 2.0 * PI)).abs() <= 1e-12);
    }

    #[test]
    fn roll_at_its_stop_is_refused_and_never_unwinds() {
        let near = JointPositions([0.1, 0.2, 0.12, ARM.roll_reach, 0.0, 0.0]);
        let past = pose_at([0.1, 0.2, 0.12, ARM.roll_reach + 1e-6, 0.0, 0.0]);
        let inside = pose_at([0.1, 0.2, 0.12, ARM.roll_reach - 1e-6, 0.0, 0.0]);
        assert_eq!(ARM.inverse(&past, &near), Err(Unreachable::RollStop));
        assert!(ARM.inverse(&inside, &near).is_ok());
    }

    #[test]
    fn wrist_at_or_behind_the_rcm_is_refused() {
        let near = JointPositions::default();
        let at = |insertion| pose_at([0.1, 0.2, insertion, 0.0, 0.3, 0.2]);
        let edge = ARM.retracted + ARM.wrist_clear;
        assert_eq!(ARM.inverse(&at(edge - 1e-9), &near), Err(Unreachable::AtRcm));
        assert!(ARM.inverse(&at(edge + 1e-9), &near).is_ok());
        // Retracted until the wrist centre is on the surgeon's side.
        assert_eq!(ARM.inverse(&at(-0.05), &near), Err(Unreachable::BehindRcm));
        let yawed = |yaw| pose_at([yaw, 0.2, 0.12, 0.0, 0.3, 0.2]);
        assert!(ARM.inverse(&yawed(1.588), &near).is_ok());
        assert_eq!(ARM.inverse(&yawed(1.71), &near), Err(Unreachable::BehindRcm));
    }

    #[test]
    fn tip_on_the_wrist_pitch_axis_is_refused() {
        // The lever is (insertion - retracted) * cos(wrist pitch) + wrist link.
        let near = JointPositions::default();
        let folded = |lever: f64| {
            let depth = 0.1;
            let fold = libm::acos((lever - ARM.wrist_link) / depth);
            pose_at([0.1, 0.2, ARM.retracted + depth, 0.0, fold, 0.2])
        };
        let edge = ARM.wrist_lever;
        assert_eq!(ARM.inverse(&folded(0.0), &near), Err(Unreachable::WristSingular));
        assert_eq!(ARM.inverse(&folded(edge - 1e-9), &near), Err(Unreachable::WristSingular));
        assert!(ARM.inverse(&folded(edge + 1e-9), &near).is_ok());
    }

    #[test]
    fn shaft_along_the_yaw_axis_is_refused() {
        let near = JointPositions::default();
        let level = |pitch| pose_at([0.1, pitch, 0.12, 0.0, 0.3, 0.2]);
        assert_eq!(ARM.inverse(&level(FRAC_PI_2), &near), Err(Unreachable::ShaftLevel));
        assert_eq!(ARM.inverse(&level(-FRAC_PI_2), &near), Err(Unreachable::ShaftLevel));
        assert!(ARM.inverse(&level(1.5), &near).is_ok());
    }

    #[test]
    fn numbers_that_are_no_pose_are_refused() {
        let near = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);
        let good = ARM.forward(&near);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            let far = Pose::new(Vector3::new(0.0, bad, 0.0), good.rotation());
            assert_eq!(ARM.inverse(&far, &near), Err(Unreachable::NotAPose));
            let mut q = *good.rotation().quaternion();
            q.i = bad;
            let bent = Pose::new(good.position(), UnitQuaternion::new_unchecked(q));
            assert_eq!(ARM.inverse(&bent, &near), Err(Unreachable::NotAPose));
            let lost = JointPositions([0.0, 0.0, 0.12, bad, 0.0, 0.0]);
            assert!(ARM.inverse(&good, &lost).is_err());
        }
        let double = *good.rotation().quaternion() * 2.0;
        let long = Pose::new(good.position(), UnitQuaternion::new_unchecked(double));
        assert_eq!(ARM.inverse(&long, &near), Err(Unreachable::NotAPose));
    }

    #[test]
    fn joint_outside_names_the_first_joint() {
        let (low, high) = (JointPositions(LOW), JointPositions(HIGH));
        assert_eq!(joint_outside(&low, &low, &high), None);
        assert_eq!(joint_outside(&high, &low, &high), None);
        for (joint, (slot, bound)) in Joint::ALL.into_iter().zip((0..6).zip(HIGH)) {
            for bad in [bound + 1e-9, f64::NAN] {
                let mut q = low;
                *q.0.get_mut(slot).unwrap() = bad;
                assert_eq!(joint_outside(&q, &low, &high), Some(joint));
            }
        }
    }
}
