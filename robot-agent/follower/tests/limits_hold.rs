//! Whatever a console sends, what goes out keeps every limit: joint speed, acceleration and jerk,
//! tip speed, acceleration and jerk, the work volume; through Follow, Coast, Brake, blends, Hold,
//! and at every wall. The observer takes differences of what goes out and shares no code with the
//! law.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_follower::kinematics::PsmGeometry;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::{Profile, RateLimits, StageLimits};
use longhand_follower::supervisor::Request;
use longhand_follower::{ArmReading, Drive, Follower, PeerFaults, TickInput, TickOutput};
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm, Pose, RobotBase, Tip, Twist};
use longhand_protocol::message::{Command, Reason, Stage};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, Seq};
use nalgebra::{UnitQuaternion, Vector3};

const ARM: PsmGeometry = PsmGeometry::CLASSIC_LND_400006;
const DT: f64 = 1e-3;
/// How old the state is that a command echoes over a good link.
const LOOP_AGE: Micros = Micros::from_millis(3);
/// A stall in how many ticks. Chosen: two in three of them hold the robot for a tenth of a second
/// and more, and most of the time it is to move.
const STALL_CHANCE: f64 = 1.0 / 2_000.0;
/// In open country no joint's rate comes nearer to its limit than this. No step is proved to be
/// stoppable there, so the rest is for what no seed has found. Chosen: the worst found, 0.64 (yaw's
/// acceleration), and a tenth of it.
const OPEN_SHARE: f64 = 0.7;

/// SplitMix64 (Steele et al. 2014): small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from `low` up to but not including `high`.
    fn count(&mut self, low: u32, high: u32) -> u32 {
        let at = self.unit() * f64::from(high - low);
        (0..high - low).rfind(|n| f64::from(*n) <= at).unwrap() + low
    }

    fn one_of<const N: usize>(&mut self, of: [f64; N]) -> f64 {
        let at = self.count(0, u32::try_from(N).unwrap());
        of[usize::try_from(at).unwrap()]
    }

    fn vector(&mut self, most: f64) -> Vector3<f64> {
        Vector3::from_fn(|_, _| self.between(-most, most))
    }

    /// Joints inside the range, widened by a share of it.
    fn joints(&mut self, p: &Profile, widened: f64) -> JointPositions {
        JointPositions(core::array::from_fn(|i| {
            let (low, high) = (p.joints.low[i], p.joints.high[i]);
            let more = (high - low) * widened;
            self.between(low - more, high + more)
        }))
    }
}

/// The last four values of one vector, and the greatest differences seen.
struct Differences<const N: usize> {
    last: Vec<[f64; N]>,
    worst: [[f64; N]; 3],
    worst_norm: [f64; 3],
}

impl<const N: usize> Default for Differences<N> {
    fn default() -> Self {
        Self { last: Vec::new(), worst: [[0.0; N]; 3], worst_norm: [0.0; 3] }
    }
}

impl<const N: usize> Differences<N> {
    /// Takes in a first difference (a speed).
    fn see(&mut self, speed: [f64; N]) {
        self.last.insert(0, speed);
        self.last.truncate(3);
        let minus = |a: &[f64; N], b: &[f64; N]| core::array::from_fn(|i| (a[i] - b[i]) / DT);
        self.note(0, speed);
        if let [now, was, ..] = self.last.as_slice() {
            self.note(1, minus(now, was));
        }
        if let [now, was, before] = self.last.as_slice() {
            self.note(2, minus(&minus(now, was), &minus(was, before)));
        }
    }

    /// It has stood for so long that nothing of how it moved counts.
    fn stand(&mut self) {
        self.last = vec![[0.0; N]; 3];
    }

    fn note(&mut self, order: usize, value: [f64; N]) {
        let norm = value.iter().map(|x| x * x).sum::<f64>().sqrt();
        self.worst_norm[order] = self.worst_norm[order].max(norm);
        for (worst, x) in self.worst[order].iter_mut().zip(value) {
            *worst = worst.max(x.abs());
        }
    }
}

/// What one arm was told, seen from outside.
#[derive(Default)]
struct Observer {
    joints: Option<JointPositions>,
    pose: Option<Pose<RobotBase, Tip>>,
    joint: Differences<6>,
    /// The same, but only in open country, and until rest where a stop began there.
    open: Differences<6>,
    tip: Differences<3>,
    turn: Differences<3>,
    outside: f64,
    deepened: f64,
}

impl Observer {
    fn see(
        &mut self,
        joints: JointPositions,
        pose: Pose<RobotBase, Tip>,
        p: &Profile,
        stops: bool,
    ) {
        if let Some((was, from)) = self.joints.zip(self.pose) {
            let speed = core::array::from_fn(|i| (joints.0[i] - was.0[i]) / DT);
            self.joint.see(speed);
            if is_open(&was, p) || (stops && !self.open.last.is_empty()) {
                self.open.see(speed);
            } else {
                self.open.last.clear();
            }
            self.tip.see(((pose.position() - from.position()) / DT).into());
            let turn = pose.rotation() * from.rotation().inverse();
            self.turn.see((turn.scaled_axis() / DT).into());
        }
        let outside = excess(&ARM.forward(&joints).position(), p);
        if self.joints.is_some() {
            self.deepened = self.deepened.max(outside - self.outside);
        }
        self.outside = outside;
        (self.joints, self.pose) = (Some(joints), Some(pose));
        for (q, (low, high)) in joints.0.iter().zip(p.joints.low.iter().zip(p.joints.high)) {
            assert!(*q >= *low && *q <= high, "a joint left its range: {joints:?}");
        }
    }

    /// The loop lost so many ticks that the arm stands where it was told last.
    fn stand(&mut self) {
        self.joint.stand();
        self.tip.stand();
        self.turn.stand();
        self.open.last.clear();
    }

    fn assert_within(&self, p: &Profile) {
        let j = &p.joints;
        let limits = [j.speed_max, j.acceleration_max, j.jerk_max];
        for (order, (worst, limit)) in self.joint.worst.iter().zip(limits).enumerate() {
            for (joint, (worst, limit)) in worst.iter().zip(limit).enumerate() {
                let share = worst / limit;
                assert!(share <= 1.0 + 1e-6, "joint {joint}, difference {order}: {share}");
            }
        }
        for (seen, limit) in [(&self.tip, &p.motion.tip), (&self.turn, &p.motion.rotation)] {
            let RateLimits { speed, acceleration, jerk } = *limit;
            let [v, a, jj] = seen.worst_norm;
            assert!(v <= speed * (1.0 + 1e-6), "speed {v} over {speed}");
            assert!(a <= acceleration * (1.0 + 1e-4), "acceleration {a} over {acceleration}");
            assert!(jj <= jerk * (1.0 + 1e-3), "jerk {jj} over {jerk}");
        }
        assert!(self.deepened <= 1e-9, "went outward by {} m", self.deepened);
    }
}

/// Whether an arm is in open country, as `limits` says: gentle joints, and room to stop.
fn is_open(joints: &JointPositions, p: &Profile) -> bool {
    let [_, pitch, insertion, _, wrist, _] = joints.0;
    let gentle = pitch.abs() <= 0.65 && insertion >= 0.105 && wrist.abs() <= 1.0;
    let room = [0.06, 0.06, 0.004, 0.15, 0.15, 0.15];
    let mut rows = joints.0.iter().zip(p.joints.low).zip(p.joints.high).zip(room);
    let free = rows.all(|(((q, low), high), room)| *q >= low + room && *q <= high - room);
    let mut inner = *p;
    inner.volume.low += Vector3::repeat(4e-3);
    inner.volume.high -= Vector3::repeat(4e-3);
    let [least, most] = p.volume.depth;
    inner.volume.depth = [least + 4e-3, most - 4e-3];
    gentle && free && excess(&ARM.forward(joints).position(), &inner) <= 0.0
}

/// How far a tip is outside the volume, metres; 0 inside.
fn excess(tip: &Vector3<f64>, p: &Profile) -> f64 {
    let [least, most] = p.volume.depth;
    let walls = (0..3).flat_map(|i| [p.volume.low[i] - tip[i], tip[i] - p.volume.high[i]]);
    walls.chain([least - tip.norm(), tip.norm() - most]).fold(0.0, f64::max)
}

/// A console without sense, and arms that do exactly what they are told.
struct Wild {
    profile: Profile,
    follower: Box<Follower>,
    random: Random,
    tick: u64,
    number: u64,
    arms: PerArm<ArmReading>,
    seen: PerArm<Observer>,
    last: Option<TickOutput>,
    aims: PerArm<Pose<RobotBase, Tip>>,
    reach: f64,
    swing: f64,
    /// Ticks are lost.
    stalls: bool,
    mode: Mode,
    mode_left: u32,
    /// How old the state is that the commands echo.
    loop_age: Micros,
    followed: u64,
    braked: u64,
    limited: u64,
    stalled: u64,
    slowed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Chase,
    Silent,
    Released,
}

impl Wild {
    fn new(seed: u64, profile: Profile) -> Self {
        println!("seed {seed:#x}");
        let mut random = Random(seed);
        let mut arm =
            || ArmReading { measured_js: random.joints(&profile, -0.02), ..ArmReading::default() };
        let arms = PerArm { psm1: arm(), psm2: arm() };
        Self {
            profile,
            follower: Box::new(Follower::new(profile)),
            random,
            tick: 1_000,
            number: 0,
            arms,
            seen: PerArm::default(),
            last: None,
            aims: PerArm::default(),
            reach: 0.0,
            swing: 0.0,
            stalls: false,
            mode: Mode::Released,
            mode_left: 1,
            loop_age: LOOP_AGE,
            followed: 0,
            braked: 0,
            limited: 0,
            stalled: 0,
            slowed: 0,
        }
    }

    fn choose(&mut self) {
        let r = &mut self.random;
        let what = r.unit();
        let latched = self.last.is_some_and(|l| l.state.stage >= Stage::Latched);
        (self.mode, self.mode_left) = if latched && self.mode != Mode::Released {
            (Mode::Released, 650)
        } else if latched || what < 0.70 {
            (Mode::Chase, r.count(20, 820))
        } else if what < 0.98 {
            (Mode::Silent, r.count(1, 120))
        } else {
            (Mode::Released, 650)
        };
        // Sometimes goals lie close ahead and sometimes far, with or without a speed of their own.
        self.reach = r.one_of([0.2e-3, 2e-3, 15e-3]);
        self.swing = r.one_of([0.0, 0.05, 0.3]);
        // Sometimes the loop is so old that the tool is slowed, seldom so old that it latches.
        let StageLimits { loop_age_warn, loop_age_max, .. } = self.profile.stages;
        let span = loop_age_max.saturating_sub(loop_age_warn).as_micros() / 1_000;
        let over = Micros::from_millis(u64::from(r.count(0, u32::try_from(span).unwrap())));
        let slow = r.unit() < 0.2;
        self.loop_age = if slow { loop_age_warn.saturating_add(over) } else { LOOP_AGE };
        for arm in ArmId::ALL {
            let joints = r.joints(&self.profile, 0.1);
            *self.aims.get_mut(arm) = ARM.forward(&joints);
        }
    }

    fn command(&mut self) -> Inbound {
        self.number += 1;
        let now = Instant::<Robot>::from_micros(self.tick * 1_000);
        let mut command = Command { number: Seq::new(self.number), ..Command::default() };
        command.key.epoch = Epoch::new(1);
        let intent = &mut command.intent;
        intent.hand_time = Instant::from_micros(self.number * 1_000);
        intent.echo_robot_time = now.before(self.loop_age);
        intent.valid_for = Micros::from_millis(100);
        intent.levels.operator_present = self.mode != Mode::Released;
        let Some(last) = &self.last else {
            return Inbound { command, received_at: now, checksum: 0 };
        };
        for arm in ArmId::ALL {
            let state = last.state.arms.get(arm);
            let out = intent.arms.get_mut(arm);
            out.servo_cp = state.setpoint_cp;
            out.jaw = self.random.between(-1.0, 2.0);
            if last.state.stage <= Stage::Brake {
                let aim = self.aims.get(arm);
                let here = state.setpoint_cp;
                let way = aim.position() - here.position();
                let turn = (aim.rotation() * here.rotation().inverse()).scaled_axis();
                let short = |v: Vector3<f64>, most: f64| v * (most / v.norm().max(most));
                // Within what the robot takes without latching: 20 mm and 5 deg.
                out.servo_cp = Pose::new(
                    here.position() + short(way, self.reach),
                    UnitQuaternion::from_scaled_axis(short(turn, self.reach * 5.0))
                        * here.rotation(),
                );
                out.servo_cv = Twist {
                    linear: self.random.vector(self.swing),
                    angular: self.random.vector(self.swing * 20.0),
                };
            }
        }
        Inbound { command, received_at: now, checksum: 0 }
    }

    /// Loses ticks now and then; the arms stand where too many are lost at once.
    fn stall(&mut self) {
        if self.random.unit() > STALL_CHANCE {
            return;
        }
        let missed = self.random.count(1, 30);
        self.tick += u64::from(missed);
        self.number += u64::from(missed);
        self.stalled += 1;
        if missed >= self.profile.stages.stall_ticks {
            self.seen.psm1.stand();
            self.seen.psm2.stand();
        }
    }

    fn step(&mut self) {
        if self.mode_left == 0 {
            self.choose();
        }
        self.mode_left -= 1;
        if self.stalls {
            self.stall();
        }
        self.tick += 1;
        let now = Instant::from_micros(self.tick * 1_000);
        let inbox: Vec<Inbound> = if self.mode == Mode::Silent {
            self.number += 1;
            Vec::new()
        } else {
            vec![self.command()]
        };
        let request = match self.follower.stage() {
            Stage::Disabled => Some(Request::Enable),
            Stage::Bedside => Some(Request::HandOver),
            Stage::Follow
            | Stage::Coast
            | Stage::Brake
            | Stage::Hold
            | Stage::Latched
            | Stage::SafeOff => None,
        };
        let output = self.follower.step(&TickInput {
            now,
            scheduled_at: now,
            inbox: &inbox,
            measured: self.arms,
            emergency_stop: false,
            peer_faults: PeerFaults::default(),
            request,
        });
        let (stage, reason) = (output.state.stage, output.state.reason);
        assert!(stage != Stage::SafeOff, "an abrupt stop: {reason:?} at tick {}", self.tick);
        assert!(reason != Reason::Limit, "a step was refused at the door, tick {}", self.tick);
        self.braked += u64::from(stage == Stage::Brake);
        self.followed += u64::from(stage == Stage::Follow);
        let is_old = output.state.loop_age > self.profile.stages.loop_age_warn;
        self.slowed += u64::from(stage == Stage::Follow && is_old);
        self.limited += u64::from(output.state.arms.iter().any(|arm| arm.limited));
        if let Drive::Servo(servo) = &output.drive {
            for arm in ArmId::ALL {
                let joints = servo.joints.get(arm).get();
                let pose = output.state.arms.get(arm).setpoint_cp;
                let stops = stage >= Stage::Brake;
                self.seen.get_mut(arm).see(joints, pose, &self.profile, stops);
                self.arms.get_mut(arm).measured_js = joints;
            }
        }
        self.last = Some(output);
    }
}

fn hold_through(seed: u64, rounds: u64, ticks: u64, profile: Profile) {
    let (mut followed, mut worst, mut open) = (0, [[0.0_f64; 6]; 3], [[0.0_f64; 6]; 3]);
    let (mut braked, mut limited, mut stalled, mut slowed) = (0, 0, 0, 0);
    for round in 0..rounds {
        let mut wild = Wild::new(seed + round, profile);
        wild.stalls = true;
        for _ in 0..ticks {
            wild.step();
        }
        followed += wild.followed;
        limited += wild.limited;
        stalled += wild.stalled;
        slowed += wild.slowed;
        for arm in ArmId::ALL {
            let seen = wild.seen.get(arm);
            seen.assert_within(&profile);
            for order in 0..3 {
                for joint in 0..6 {
                    worst[order][joint] = worst[order][joint].max(seen.joint.worst[order][joint]);
                    open[order][joint] = open[order][joint].max(seen.open.worst[order][joint]);
                }
            }
        }
        braked += wild.braked;
    }
    println!(
        "worst {worst:?}\nin the open {open:?}\nfollowed {followed}, braked {braked}, \
         limited {limited}, stalled {stalled}, slowed {slowed}"
    );
    let j = &profile.joints;
    let limits = [j.speed_max, j.acceleration_max, j.jerk_max];
    for (order, (worst, limit)) in open.iter().zip(limits).enumerate() {
        for (joint, (worst, limit)) in worst.iter().zip(limit).enumerate() {
            let share = worst / limit;
            let gentle = !profile.has_open_country() || share <= OPEN_SHARE;
            assert!(gentle, "in the open, joint {joint}, difference {order}: {share}");
        }
    }
    assert!(followed * 4 > rounds * ticks, "it moved for {followed} ticks only");
    assert!(braked > 50 && limited > 1_000, "it braked and met walls: {braked}, {limited}");
    assert!(stalled > 50 && slowed > 1_000, "it lost ticks, was slowed: {stalled}, {slowed}");
}

#[test]
fn limits_hold_for_any_console_default() {
    hold_through(0x1a77, 40, 15_000, Profile::DEFAULT);
}

#[test]
fn limits_hold_for_any_console_default_on_other_seeds() {
    hold_through(0x2b88, 40, 15_000, Profile::DEFAULT);
}

/// A slow tip, in open country and out of it; then limits so tight that they bind everywhere, and
/// no country is open.
#[test]
fn limits_hold_for_any_console_where_joints_are_weak() {
    hold_through(0x3c99, 10, 15_000, Profile::SATELLITE);
    let mut weak = Profile::DEFAULT;
    weak.joints.speed_max = weak.joints.speed_max.map(|most| most / 8.0);
    weak.joints.acceleration_max = weak.joints.acceleration_max.map(|most| most / 4.0);
    weak.joints.jerk_max = weak.joints.jerk_max.map(|most| most / 4.0);
    weak.validate().unwrap();
    hold_through(0x4daa, 10, 15_000, weak);
}

/// Both arms run at full speed against a wall, the goal far beyond it.
#[test]
fn a_tool_sent_through_a_wall_stops_at_it_and_goes_on_following() {
    let p = Profile::DEFAULT;
    for way in [
        Vector3::x(),
        -Vector3::x(),
        Vector3::y(),
        -Vector3::y(),
        Vector3::z(),
        -Vector3::z(),
        Vector3::new(1.0, 1.0, 0.0),
        Vector3::new(-1.0, 0.5, -1.0),
        Vector3::new(0.2, -1.0, 1.0),
    ] {
        let mut wild = Wild::new(1, p);
        let home = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);
        wild.arms.psm1.measured_js = home;
        wild.arms.psm2.measured_js = home;
        wild.mode_left = 700;
        for _ in 0..700 {
            wild.step();
        }
        let rotation = ARM.forward(&home).rotation();
        let beyond = ARM.forward(&home).position() + way.normalize() * 0.5;
        wild.aims = PerArm { psm1: beyond, psm2: beyond }.map(|at| Pose::new(at, rotation));
        (wild.mode, wild.mode_left, wild.reach) = (Mode::Chase, 6_000, 15e-3);
        for _ in 0..6_000 {
            wild.step();
        }
        let state = wild.last.unwrap().state;
        assert_eq!(state.stage, Stage::Follow);
        let tip = state.arms.psm1.setpoint_cp.position();
        let gone = (tip - ARM.forward(&home).position()).norm();
        let room = excess(&(tip + way.normalize() * 1.1e-3), &p);
        println!("{way:?}: {:.1} mm to {tip:?}", gone * 1e3);
        assert!(gone > 0.03 && state.arms.psm1.limited, "it went {gone} m");
        assert!(excess(&tip, &p) <= 0.0 && room > 0.0, "it stands at the wall: {tip:?}");
        wild.seen.psm1.assert_within(&p);
    }
}

/// The bedside has put the arms outside the volume: out they cannot go, in they can, and stay.
#[test]
fn an_arm_that_begins_outside_moves_inward_only() {
    let p = Profile::DEFAULT;
    let outside = JointPositions([0.75, 0.1, 0.16, 0.3, 0.1, -0.2]);
    let begin = ARM.forward(&outside).position();
    assert!(excess(&begin, &p) > 5e-3, "{begin:?}");
    let mut wild = Wild::new(2, p);
    wild.arms.psm1.measured_js = outside;
    wild.arms.psm2.measured_js = outside;
    wild.mode_left = 700;
    for _ in 0..700 {
        wild.step();
    }
    let rotation = ARM.forward(&outside).rotation();
    let chase = |wild: &mut Wild, at: Vector3<f64>| {
        let aim = Pose::new(at, rotation);
        wild.aims = PerArm { psm1: aim, psm2: aim };
        (wild.mode, wild.mode_left, wild.reach) = (Mode::Chase, 3_000, 15e-3);
        for _ in 0..3_000 {
            wild.step();
        }
        let state = wild.last.unwrap().state;
        assert_eq!(state.stage, Stage::Follow);
        state.arms.psm1.setpoint_cp.position()
    };
    let out = chase(&mut wild, begin * 1.5);
    assert!(excess(&out, &p) <= excess(&begin, &p), "it went outward: {out:?}");
    let inside = Vector3::new(0.05, -0.01, -0.12);
    let came = chase(&mut wild, inside);
    assert!((came - inside).norm() < 1e-5, "it came in: {came:?}");
    let back = chase(&mut wild, begin);
    assert!(excess(&back, &p) <= 0.0, "and does not go out again: {back:?}");
    wild.seen.psm1.assert_within(&p);
}
