//! Contact: the board, its pegs, what lies on them, and two instruments that grasp, drop and bump.
//!
//! Knows: bodies, forces, friction; the only file that names rapier, whose solver moves the loose
//! objects at 1 kHz. Does not know: tasks, errors, scores, or why the instruments move.
//!
//! The instruments are where the arms measured them: nothing pushes back on an arm yet, so an
//! instrument can stand inside the board. What it would have felt is reported as a force: the depth
//! times [`STIFFNESS`]. Loose objects do feel the blades.
//!
//! A *grip* begins when both blades touch one object from opposite sides. The jaw's torque beyond
//! that touch presses on the object, and friction bounds what the grip can hold: beyond it the
//! object slips through the blades, and out of them. Same seed, same input, same bits:
//! [`ContactWorld::hash`].

use crate::instrument::{BLADE_M, Capsule, Instrument};
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::units::TICK;
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion, Vector3};
use rapier3d_f64::prelude::{
    Collider, ColliderBuilder, ColliderHandle, GenericJoint, Group, ImpulseJointHandle,
    InteractionGroups, InteractionTestMode, JointAxesMask, JointAxis, MotorModel, PhysicsWorld,
    Pose, RigidBodyBuilder, RigidBodyHandle, Rotation, SharedShape, Vector,
};

/// What the board and the pegs give way, newtons a metre. Chosen: 2 N for each millimetre, a
/// silicone practice board.
pub const STIFFNESS: f64 = 2e3;
/// Friction of blade on object, and of object on peg. Chosen: serrated jaws, rubber rings.
const FRICTION: f64 = 0.5;
/// Seconds in a tick.
const DT: f64 = TICK.as_secs_f64();
/// The jaw's torque grows so much with each radian that it is told to close beyond the touch.
/// Chosen: all of [`JAW_TORQUE`] at 20 degrees.
const JAW_STIFFNESS: f64 = 0.46;
/// What the jaw's motor can give, newton metres. Source: kinematics.md, ft max of the jaw.
const JAW_TORQUE: f64 = 0.16;
/// Both blades nearer than this to one object hold it, metres. Chosen: a blade's roughness.
const TOUCH_M: f64 = 0.15e-3;
/// The blades' directions onto the object have to be this opposite. Chosen: within 45 degrees.
const OPPOSITE: f64 = -0.7;
/// A jaw opened so much beyond the touch lets go, radians. Chosen: a degree.
const LET_GO: f64 = 0.0175;
/// An object that went so far through the blades slipped, metres. Chosen: more than it settles by
/// while the jaw closes on it.
const SLIP_M: f64 = 0.5e-3;
/// An object farther than this from a blade has slipped out, metres. Chosen: a blade's width.
const SLIPPED_OUT_M: f64 = 1.2e-3;
/// What a grip gives way: newtons a metre, newton metres a radian. Chosen: a ring of a gram swings
/// at 360 Hz, above everything a hand does and below what a millisecond can resolve.
const GRIP_STIFFNESS: f64 = 5e3;
const GRIP_TWIST: f64 = 0.5;
/// Critical for a gram, about.
const GRIP_DAMPING: f64 = 4.5;
const GRIP_TWIST_DAMPING: f64 = 3e-4;
/// Friction twists over a patch so wide, metres. Chosen: half a blade.
const PATCH_M: f64 = BLADE_M / 2.0;
/// An object this near a pivot is kept awake, metres. Chosen: a blade and a ring's width.
const NEAR_M: f64 = 25e-3;
/// Below this height an object is gone for good, metres.
const GONE_M: f64 = -0.1;
/// A ring's tube is made of so many straight pieces. Chosen: its outline is off by 0.2 mm at most.
const RING_PIECES: u32 = 16;

const ARMS: [Group; 2] = [Group::GROUP_1, Group::GROUP_2];
const OBJECTS: Group = Group::GROUP_3;
const FIXED: Group = Group::GROUP_4;

/// What a world is made of. Lengths in metres, in the board's frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Where the remote centres hang.
    pub rcm: [Vector3<f64>; 2],
    /// Half of the board's sides along x and y; its surface is at z = 0.
    pub half: [f64; 2],
    /// The pegs: x, y.
    pub pegs: Vec<[f64; 2]>,
    /// Metres.
    pub peg_radius: f64,
    /// Metres.
    pub peg_height: f64,
    /// What is loose.
    pub objects: Vec<Loose>,
}

/// A loose object.
#[derive(Clone, Debug, PartialEq)]
pub struct Loose {
    /// Its parts, in its own frame.
    pub parts: Vec<Capsule>,
    /// Kilograms.
    pub mass: f64,
    /// Where it begins.
    pub at: Vector3<f64>,
}

/// The parts of a ring that lies flat about its own origin.
pub fn ring(radius: f64, tube: f64) -> Vec<Capsule> {
    let corner = |index: u32| {
        let angle =
            core::f64::consts::TAU * f64::from(index % RING_PIECES) / f64::from(RING_PIECES);
        Vector3::new(libm::cos(angle), libm::sin(angle), 0.0) * radius
    };
    let piece =
        |index: u32| Capsule { a: corner(index), b: corner(index.saturating_add(1)), radius: tube };
    (0..RING_PIECES).map(piece).collect()
}

/// Where one instrument is, as the arm measured it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tool {
    /// The tip, in the board's frame.
    pub tip: Isometry3<f64>,
    /// How far the jaw is open, radians.
    pub jaw: f64,
}

/// What one instrument feels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Felt {
    /// All forces on it added up by size, newtons: board, pegs, the other instrument, what it
    /// pushes, what it holds.
    pub force_n: f64,
    /// It stands against the board, a peg or the other instrument.
    pub bumps: bool,
    /// Which object it holds.
    pub holds: Option<usize>,
    /// How hard, newtons.
    pub grip_n: f64,
    /// What it holds slipped in this tick.
    pub slips: bool,
}

/// One loose object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Where it is.
    pub pose: Isometry3<f64>,
    /// Its middle's speed, metres a second.
    pub speed: f64,
}

/// The world.
pub struct ContactWorld {
    physics: PhysicsWorld,
    scene: Scene,
    bodies: Vec<(RigidBodyHandle, ColliderHandle)>,
    arms: [ArmBodies; 2],
    pegs: Vec<Capsule>,
    felt: PerArm<Felt>,
    seen: Vec<Seen>,
    hash: u64,
}

struct ArmBodies {
    /// Carries no shape: what a grip is tied to.
    tip: RigidBodyHandle,
    /// Both blades and the link.
    parts: [(RigidBodyHandle, ColliderHandle); 3],
    grip: Option<Grip>,
    began: bool,
}

struct Grip {
    object: usize,
    joint: ImpulseJointHandle,
    /// How far the jaw was open when both blades touched.
    touch: f64,
    /// How far the object has slid and turned through the blades since that was told last, metres.
    slid: f64,
    /// The tie, on the tip and on the object.
    on_tip: Pose,
    on_object: Pose,
}

impl ContactWorld {
    /// A world at rest.
    pub fn new(scene: Scene) -> Self {
        let mut physics = PhysicsWorld::new();
        physics.gravity = Vector::new(0.0, 0.0, -9.81);
        physics.integration_parameters.dt = DT;
        // Objects of a centimetre.
        physics.integration_parameters.length_unit = 0.01;
        let [half_x, half_y] = scene.half;
        let board = ColliderBuilder::cuboid(half_x, half_y, BOARD_M / 2.0)
            .translation(Vector::new(0.0, 0.0, -BOARD_M / 2.0));
        let fixed = groups(FIXED, OBJECTS);
        physics.insert_collider(board.collision_groups(fixed).friction(FRICTION), None);
        let top = (scene.peg_height - scene.peg_radius).max(0.0);
        let peg = |[x, y]: &[f64; 2]| Capsule {
            a: Vector3::new(*x, *y, 0.0),
            b: Vector3::new(*x, *y, top),
            radius: scene.peg_radius,
        };
        let pegs: Vec<Capsule> = scene.pegs.iter().map(peg).collect();
        for peg in &pegs {
            let shape = ColliderBuilder::new(shape(peg));
            physics.insert_collider(shape.collision_groups(fixed).friction(FRICTION), None);
        }
        let bodies = scene.objects.iter().map(|loose| insert(&mut physics, loose)).collect();
        let arms = ARMS.map(|group| ArmBodies::new(&mut physics, group));
        let seen = scene.objects.iter().map(|loose| Seen {
            pose: Isometry3::from_parts(loose.at.into(), UnitQuaternion::identity()),
            speed: 0.0,
        });
        let seen = seen.collect();
        let (felt, hash) = (PerArm::default(), FNV_BASIS);
        Self { physics, bodies, arms, pegs, felt, seen, hash, scene }
    }

    /// One millisecond with the instruments here.
    pub fn step(&mut self, tools: &PerArm<Tool>) {
        let instruments = [ArmId::Psm1, ArmId::Psm2].map(|arm| {
            let tool = tools.get(arm);
            let [one, two] = self.scene.rcm;
            let rcm = match arm {
                ArmId::Psm1 => one,
                ArmId::Psm2 => two,
            };
            (arm, *tool, Instrument::new(rcm, &tool.tip, tool.jaw))
        });
        let [(.., left), (.., right)] = &instruments;
        let between = least_gap(&left.parts(), &right.parts());
        for (arm, tool, instrument) in &instruments {
            self.place(*arm, tool, instrument);
            self.keep_awake(tool.tip.translation.vector);
            self.hold(*arm, tool, instrument);
            let mut depth = deepest(instrument, &self.pegs, self.scene.half);
            depth = depth.max(-between);
            let felt = self.felt.get_mut(*arm);
            felt.bumps = depth > 0.0;
            felt.force_n = depth.max(0.0) * STIFFNESS;
        }
        self.filter_held();
        self.physics.step();
        self.look();
        for (arm, tool, _) in &instruments {
            self.feel(*arm, tool);
        }
    }

    /// What an instrument felt in the last step.
    pub const fn felt(&self, arm: ArmId) -> &Felt {
        self.felt.get(arm)
    }

    /// The loose objects, as they were after the last step.
    pub fn objects(&self) -> &[Seen] {
        &self.seen
    }

    /// Over every object's pose and speed of every step so far.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Moves an arm's bodies to where its tool is.
    fn place(&mut self, arm: ArmId, tool: &Tool, instrument: &Instrument) {
        let Some(bodies) = self.arms.get_mut(index(arm)) else { return };
        let begins = !std::mem::replace(&mut bodies.began, true);
        let [left, right] = instrument.blades;
        let parts = bodies.parts.iter().zip([left, right, instrument.link]);
        let places = parts.map(|((body, _), part)| (*body, along(&part)));
        for (body, pose) in places.chain([(bodies.tip, to_pose(&tool.tip))]) {
            if let Some(body) = self.physics.bodies.get_mut(body) {
                if begins {
                    body.set_position(pose, true);
                }
                body.set_next_kinematic_position(pose);
            }
        }
    }

    /// Whatever is near an instrument does not sleep.
    fn keep_awake(&mut self, tip: Vector3<f64>) {
        for ((body, _), seen) in self.bodies.iter().zip(&self.seen) {
            let near = (seen.pose.translation.vector - tip).norm() < NEAR_M;
            if let Some(body) = self.physics.bodies.get_mut(*body).filter(|_| near) {
                body.wake_up(true);
            }
        }
    }

    /// Begins, keeps, lets slip and ends an arm's grip.
    fn hold(&mut self, arm: ArmId, tool: &Tool, instrument: &Instrument) {
        let Some(mut grip) = self.arms.get_mut(index(arm)).and_then(|a| a.grip.take()) else {
            let grip = self.grasp(arm, tool, instrument);
            *self.felt.get_mut(arm) =
                Felt { holds: grip.as_ref().map(|g| g.object), ..Felt::default() };
            if let Some(bodies) = self.arms.get_mut(index(arm)) {
                bodies.grip = grip;
            }
            return;
        };
        let grip_n = squeeze(grip.touch - tool.jaw);
        let reach = self.blade_gaps(grip.object, instrument).map(|gap| gap.distance);
        let out = reach.iter().any(|distance| *distance > SLIPPED_OUT_M);
        if tool.jaw > grip.touch + LET_GO || out {
            self.physics.remove_impulse_joint(grip.joint);
            *self.felt.get_mut(arm) = Felt { slips: out, ..Felt::default() };
            return;
        }
        let slips = self.slip(&mut grip, tool, grip_n);
        let holds = Some(grip.object);
        *self.felt.get_mut(arm) = Felt { holds, grip_n, slips, ..Felt::default() };
        if let Some(bodies) = self.arms.get_mut(index(arm)) {
            bodies.grip = Some(grip);
        }
    }

    /// A new grip, where both blades touch one object from opposite sides.
    fn grasp(&mut self, arm: ArmId, tool: &Tool, instrument: &Instrument) -> Option<Grip> {
        let tip_at = tool.tip.translation.vector;
        let near = |seen: &Seen| (seen.pose.translation.vector - tip_at).norm() < NEAR_M;
        let found =
            self.seen.iter().enumerate().filter(|(_, seen)| near(seen)).find_map(|(n, _)| {
                let [left, right] = self.blade_gaps(n, instrument);
                let touch = left.distance.max(right.distance) < TOUCH_M;
                let opposite = left.normal.dot(&right.normal) < OPPOSITE;
                (touch && opposite).then(|| (n, (left.middle + right.middle) * 0.5))
            });
        let (object, point) = found?;
        let (body, _) = *self.bodies.get(object)?;
        let tip = to_pose(&tool.tip);
        let on_tip = Pose::from_translation(tip.inverse() * to_vector(&point));
        let on_object = self.physics.bodies.get(body)?.position().inverse() * (tip * on_tip);
        let tip_body = self.arms.get(index(arm))?.tip;
        let tie = tie(&on_tip, &on_object);
        let joint = self.physics.insert_impulse_joint(tip_body, body, tie);
        Some(Grip { object, joint, touch: tool.jaw, slid: 0.0, on_tip, on_object })
    }

    /// Bounds the tie by friction; whether the object slid or turned in the blades.
    fn slip(&mut self, grip: &mut Grip, tool: &Tool, grip_n: f64) -> bool {
        // Both blades rub.
        let bound = 2.0 * FRICTION * grip_n;
        let twist_bound = bound * PATCH_M;
        let body =
            self.bodies.get(grip.object).and_then(|(body, _)| self.physics.bodies.get(*body));
        let Some(object) = body.map(|body| *body.position()) else { return false };
        let held = to_pose(&tool.tip) * grip.on_tip;
        let is = object * grip.on_object;
        let stretch = is.translation - held.translation;
        let pull = stretch.length() * GRIP_STIFFNESS;
        let turn = held.rotation.inverse() * is.rotation;
        let turn = if turn.w < 0.0 { -turn } else { turn };
        let angle = turn.to_scaled_axis();
        let twist = angle.length() * GRIP_TWIST;
        let (slides, turns) = (pull > bound, twist > twist_bound);
        if slides || turns {
            let keep = if slides { bound / pull } else { 1.0 };
            let keep_turn = if turns { twist_bound / twist } else { 1.0 };
            grip.slid +=
                stretch.length() * (1.0 - keep) + angle.length() * (1.0 - keep_turn) * PATCH_M;
            let at = held.translation + stretch * keep;
            let facing = held.rotation * Rotation::from_scaled_axis(angle * keep_turn);
            grip.on_object = object.inverse() * Pose::from_parts(at, facing);
        }
        if let Some(joint) = self.physics.impulse_joints.get_mut(grip.joint, true) {
            joint.data.set_local_frame2(grip.on_object);
            for axis in LINEAR {
                joint.data.set_motor_max_force(axis, bound);
            }
            for axis in ANGULAR {
                joint.data.set_motor_max_force(axis, twist_bound);
            }
        }
        let told = grip.slid > SLIP_M;
        if told {
            grip.slid = 0.0;
        }
        told
    }

    /// How far each blade is from an object; far where there is no such object.
    fn blade_gaps(&self, object: usize, instrument: &Instrument) -> [crate::instrument::Gap; 2] {
        let loose = self.scene.objects.get(object).zip(self.seen.get(object));
        instrument.blades.map(|blade| {
            let parts = loose.iter().flat_map(|(loose, seen)| {
                loose.parts.iter().map(|part| blade.gap(&part.carried(&seen.pose)))
            });
            let nearest = parts.min_by(|a, b| a.distance.total_cmp(&b.distance));
            nearest.unwrap_or(FAR)
        })
    }

    /// What is held touches everything but the blades that hold it.
    fn filter_held(&mut self) {
        for (number, (_, collider)) in self.bodies.iter().enumerate() {
            let holders = self
                .arms
                .iter()
                .zip(ARMS)
                .filter(|(arm, _)| arm.grip.as_ref().is_some_and(|grip| grip.object == number));
            let without = holders.fold(Group::ALL, |all, (_, group)| all.difference(group));
            if let Some(collider) = self.physics.colliders.get_mut(*collider) {
                collider.set_collision_groups(groups(OBJECTS, without));
            }
        }
    }

    /// Takes down where the objects are, and adds that to the hash.
    fn look(&mut self) {
        for ((body, _), seen) in self.bodies.iter().zip(&mut self.seen) {
            let Some(body) = self.physics.bodies.get_mut(*body) else { continue };
            let (at, turn, speed) = (body.translation(), *body.rotation(), body.linvel());
            for value in
                [at.x, at.y, at.z, turn.w, turn.x, turn.y, turn.z, speed.x, speed.y, speed.z]
            {
                self.hash = (self.hash ^ value.to_bits()).wrapping_mul(FNV_PRIME);
            }
            let turn = Quaternion::new(turn.w, turn.x, turn.y, turn.z);
            let pose = Isometry3::from_parts(
                Translation3::new(at.x, at.y, at.z),
                UnitQuaternion::new_unchecked(turn),
            );
            *seen = Seen { pose, speed: speed.length() };
            if at.z < GONE_M && body.is_enabled() {
                body.set_enabled(false);
            }
        }
    }

    /// Adds what the blades push and what the grip pulls.
    fn feel(&mut self, arm: ArmId, tool: &Tool) {
        let Some(bodies) = self.arms.get(index(arm)) else { return };
        let pairs = bodies
            .parts
            .iter()
            .flat_map(|(_, part)| self.physics.narrow_phase.contact_pairs_with(*part));
        let pushed: f64 = pairs.map(|pair| pair.total_impulse_magnitude() / DT).sum();
        let pulled = bodies.grip.as_ref().map_or(0.0, |grip| {
            let body = self.bodies.get(grip.object);
            let body = body.and_then(|(body, _)| self.physics.bodies.get(*body));
            let held = (to_pose(&tool.tip) * grip.on_tip).translation;
            let stretch = body.map(|body| (*body.position() * grip.on_object).translation - held);
            stretch.map_or(0.0, |stretch| stretch.length() * GRIP_STIFFNESS)
        });
        self.felt.get_mut(arm).force_n += pushed + pulled;
    }
}

impl ArmBodies {
    fn new(physics: &mut PhysicsWorld, group: Group) -> Self {
        let mut body = |collider: Option<Collider>| {
            let body = physics.insert_body(RigidBodyBuilder::kinematic_position_based());
            let collider = collider.map(|collider| physics.insert_collider(collider, Some(body)));
            (body, collider.unwrap_or_default())
        };
        let part = |length: f64, radius: f64| {
            let part = Capsule { a: Vector3::zeros(), b: Vector3::x() * length, radius };
            let collider = ColliderBuilder::new(shape(&part)).friction(FRICTION);
            Some(collider.collision_groups(groups(group, OBJECTS)).build())
        };
        let zero = Vector3::zeros();
        let tip = Isometry3::from_parts(zero.into(), UnitQuaternion::identity());
        let sample = Instrument::new(Vector3::z(), &tip, 0.0);
        let [left, right] = sample.blades;
        let parts = [left, right, sample.link];
        let parts = parts.map(|p| body(part((p.b - p.a).norm(), p.radius)));
        let (tip, _) = body(None);
        Self { tip, parts, grip: None, began: false }
    }
}

/// How thick the board is, metres. Chosen.
const BOARD_M: f64 = 20e-3;
const LINEAR: [JointAxis; 3] = [JointAxis::LinX, JointAxis::LinY, JointAxis::LinZ];
const ANGULAR: [JointAxis; 3] = [JointAxis::AngX, JointAxis::AngY, JointAxis::AngZ];
/// FNV-1a, a word at a time. Source: Fowler, Noll, Vo.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const FAR: crate::instrument::Gap = crate::instrument::Gap {
    distance: f64::INFINITY,
    normal: Vector3::new(0.0, 0.0, 0.0),
    middle: Vector3::new(0.0, 0.0, 0.0),
};

/// What the jaw presses with, newtons at the middle of the blade, told to close so much further.
fn squeeze(beyond: f64) -> f64 {
    (beyond.max(0.0) * JAW_STIFFNESS).min(JAW_TORQUE) / (BLADE_M * 0.75)
}

/// The tie of a grip: springs along and about every axis. Friction bounds them from then on.
fn tie(on_tip: &Pose, on_object: &Pose) -> GenericJoint {
    let mut tie = GenericJoint::new(JointAxesMask::empty());
    tie.set_local_frame1(*on_tip).set_local_frame2(*on_object);
    for axis in LINEAR {
        tie.set_motor_model(axis, MotorModel::ForceBased);
        tie.set_motor_position(axis, 0.0, GRIP_STIFFNESS, GRIP_DAMPING);
        tie.set_motor_max_force(axis, 0.0);
    }
    for axis in ANGULAR {
        tie.set_motor_model(axis, MotorModel::ForceBased);
        tie.set_motor_position(axis, 0.0, GRIP_TWIST, GRIP_TWIST_DAMPING);
        tie.set_motor_max_force(axis, 0.0);
    }
    tie
}

fn insert(physics: &mut PhysicsWorld, loose: &Loose) -> (RigidBodyHandle, ColliderHandle) {
    let parts = loose.parts.iter().map(|part| (Pose::identity(), shape(part))).collect();
    let at = RigidBodyBuilder::dynamic().translation(to_vector(&loose.at));
    let collider = ColliderBuilder::new(SharedShape::compound(parts)).mass(loose.mass);
    let collider = collider.friction(FRICTION).collision_groups(groups(OBJECTS, Group::ALL));
    let body = physics.insert_body(at);
    let collider = physics.insert_collider(collider, Some(body));
    (body, collider)
}

/// The deepest that an instrument stands in the board or a peg, metres; negative where it does not.
fn deepest(instrument: &Instrument, pegs: &[Capsule], half: [f64; 2]) -> f64 {
    let [half_x, half_y] = half;
    let parts = instrument.parts();
    let over = |p: &Capsule| {
        p.a.x.abs().min(p.b.x.abs()) < half_x && p.a.y.abs().min(p.b.y.abs()) < half_y
    };
    let board = parts.iter().filter(|p| over(p)).map(|part| part.above(0.0));
    let board = board.fold(f64::INFINITY, f64::min);
    -board.min(least_gap(&parts, pegs))
}

fn least_gap(these: &[Capsule], those: &[Capsule]) -> f64 {
    let gaps = these.iter().flat_map(|a| those.iter().map(|b| a.gap(b).distance));
    gaps.fold(f64::INFINITY, f64::min)
}

const fn index(arm: ArmId) -> usize {
    match arm {
        ArmId::Psm1 => 0,
        ArmId::Psm2 => 1,
    }
}

const fn groups(member: Group, touches: Group) -> InteractionGroups {
    InteractionGroups::new(member, touches, InteractionTestMode::And)
}

fn shape(part: &Capsule) -> SharedShape {
    SharedShape::capsule(to_vector(&part.a), to_vector(&part.b), part.radius)
}

/// A frame at the capsule's beginning, x along it.
fn along(part: &Capsule) -> Pose {
    let way = part.b - part.a;
    let turn = UnitQuaternion::rotation_between(&Vector3::x(), &way);
    // Exactly opposite: any half turn about a crosswise axis.
    let half = || UnitQuaternion::from_axis_angle(&Vector3::z_axis(), core::f64::consts::PI);
    to_pose(&Isometry3::from_parts(part.a.into(), turn.unwrap_or_else(half)))
}

fn to_vector(v: &Vector3<f64>) -> Vector {
    Vector::new(v.x, v.y, v.z)
}

fn to_pose(pose: &Isometry3<f64>) -> Pose {
    let q = pose.rotation.coords;
    let turn = Rotation::from_xyzw(q.x, q.y, q.z, q.w);
    Pose::from_parts(to_vector(&pose.translation.vector), turn)
}
