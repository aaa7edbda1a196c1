//! One tick of the robot's side: goal P4, `Follower::step` for two arms.
//!
//! Knows: the follower's inputs, and an arm that is always where it was told. Does not know: the
//! wire, the servo thread, or a drive's dynamics.
//!
//! The limit it stands beside is the arithmetic that no tick can do without: the kinematics of both
//! arms.

use longhand_follower::kinematics::PsmGeometry;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_follower::{ArmReading, Drive, Follower, PeerFaults, TickInput};
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm};
use longhand_protocol::message::{Command, FollowerState, Stage};
use longhand_protocol::units::Seq;

use crate::hand::{ENGAGE_MAX, SteadyHand, bedside, robot_time, session_key};
use crate::harness::{Bound, Goal, Quantile, Recorder, Subject, Unit, compare};
use crate::report::Table;

/// Where both arms begin: 11 cm deep, in the middle of the work volume.
const BEGIN: ArmReading = ArmReading {
    measured_js: JointPositions([0.1, -0.1, 0.12, 0.2, 0.1, -0.1]),
    measured_jaw: 0.5,
    drive_fault: false,
    told_js: None,
};
/// Ticks in one round. Chosen: p99.9 then rests on twenty samples.
const TICKS: u64 = 20_000;
/// Commands that come at once in the worst tick: the playout ring's size.
const FLUSH: u64 = 256;
/// Flushes in one round.
const FLUSHES: u64 = 100;

/// The table of this module.
///
/// Errors: a sentence, where the robot did not come to follow or the histogram could not be made.
pub fn measure(rounds: u32) -> Result<Table, String> {
    let mut following = Rig::following(Profile::DEFAULT)?;
    let mut walled = Rig::following(walled())?;
    let mut flushed = Rig::following(Profile::DEFAULT)?;
    let subjects = vec![
        Subject {
            name: "kinematics alone, two arms",
            batch: 1,
            goals: &[],
            round: Box::new(kinematics_round),
        },
        Subject {
            name: "Follower::step, two arms in Follow",
            batch: 1,
            goals: &[Goal { of: Quantile::P50, at_most: Bound::Of(3_000.0), source: "P4" }],
            round: Box::new(move |r| (0..TICKS).for_each(|_| following.tick(Some(r)))),
        },
        Subject {
            name: "Follower::step, both tools at a wall",
            batch: 1,
            // Each tick proves that the arm can still stop.
            goals: &[Goal { of: Quantile::P99, at_most: Bound::Of(20_000.0), source: "P4, worst" }],
            round: Box::new(move |r| (0..TICKS).for_each(|_| walled.tick(Some(r)))),
        },
        Subject {
            name: "Follower::step, 256 commands at once",
            batch: 1,
            // The worst apart from stolen time: the hundredth that the machine took is left out.
            goals: &[Goal { of: Quantile::P99, at_most: Bound::Of(20_000.0), source: "P4, worst" }],
            round: Box::new(move |r| (0..FLUSHES).for_each(|_| flushed.flush(r))),
        },
    ];
    compare("one servo tick", Unit::Nanos, rounds, subjects).map_err(|e| e.to_string())
}

/// The default profile with a wall 2 mm beside where the tools begin, in the way of the hand.
fn walled() -> Profile {
    let mut profile = Profile::DEFAULT;
    let begin = PsmGeometry::CLASSIC_LND_400006.forward(&BEGIN.measured_js).position();
    profile.volume.low.x = begin.x - 2e-3;
    profile
}

/// One inverse and two forward solutions per arm: to the joints, its check, and the report's.
fn kinematics_round(recorder: &mut Recorder) {
    let geometry = PsmGeometry::CLASSIC_LND_400006;
    let JointPositions([yaw, pitch, depth, roll, wrist_pitch, wrist_yaw]) = BEGIN.measured_js;
    let mut phase = 0.0_f64;
    for _ in 0..TICKS {
        phase += 0.001;
        let joints =
            JointPositions([yaw + 0.1 * phase.sin(), pitch, depth, roll, wrist_pitch, wrist_yaw]);
        let tip = geometry.forward(&joints);
        recorder.time(|| {
            for _ in ArmId::ALL {
                let joints = geometry.inverse(std::hint::black_box(&tip), &joints);
                let joints = std::hint::black_box(joints).unwrap_or(BEGIN.measured_js);
                std::hint::black_box(geometry.forward(&joints));
                std::hint::black_box(geometry.forward(std::hint::black_box(&joints)));
            }
        });
    }
}

/// A follower, a hand, and two arms that are where they were told.
struct Rig {
    follower: Box<Follower>,
    hand: SteadyHand,
    tick: u64,
    measured: PerArm<ArmReading>,
    state: FollowerState,
    waiting: Vec<Inbound>,
}

impl Rig {
    fn following(profile: Profile) -> Result<Self, String> {
        let mut rig = Self {
            follower: Box::new(Follower::new(profile)),
            hand: SteadyHand::default(),
            tick: 0,
            measured: PerArm { psm1: BEGIN, psm2: BEGIN },
            state: FollowerState::default(),
            waiting: Vec::new(),
        };
        while rig.state.stage != Stage::Follow {
            if rig.tick > ENGAGE_MAX {
                return Err(format!("the robot stayed in {:?}", rig.state.stage));
            }
            rig.tick(None);
        }
        Ok(rig)
    }

    /// One tick with one fresh command; timed where somebody takes the time.
    fn tick(&mut self, recorder: Option<&mut Recorder>) {
        self.command();
        self.step(recorder);
    }

    /// Silence, then every command that is owed in one tick, timed. Silence latches the robot; the
    /// hand engages again while it waits for the next flush.
    fn flush(&mut self, recorder: &mut Recorder) {
        let mut owed = Vec::new();
        for _ in 1..FLUSH {
            self.command();
            owed.append(&mut self.waiting);
            self.step(None);
        }
        self.command();
        owed.append(&mut self.waiting);
        let received_at = robot_time(self.tick);
        self.waiting = owed.into_iter().map(|i| Inbound { received_at, ..i }).collect();
        self.step(Some(recorder));
    }

    fn command(&mut self) {
        self.tick = self.tick.saturating_add(1);
        let intent = self.hand.intent(self.tick, &self.state);
        let command = Command { key: session_key(1), number: Seq::new(self.tick), intent };
        self.waiting.push(Inbound { command, received_at: robot_time(self.tick), checksum: 0 });
    }

    fn step(&mut self, recorder: Option<&mut Recorder>) {
        let now = robot_time(self.tick);
        let input = TickInput {
            now,
            scheduled_at: now,
            inbox: &self.waiting,
            measured: self.measured,
            emergency_stop: false,
            peer_faults: PeerFaults::default(),
            request: bedside(self.state.stage),
        };
        let follower = &mut self.follower;
        let output = match recorder {
            Some(recorder) => recorder.time(|| follower.step(std::hint::black_box(&input))),
            None => follower.step(&input),
        };
        if let Drive::Servo(servo) = &output.drive {
            self.measured = PerArm::from_fn(|arm| ArmReading {
                measured_js: servo.joints.get(arm).get(),
                measured_jaw: servo.jaw.get(arm).get(),
                drive_fault: false,
                told_js: None,
            });
        }
        self.state = output.state;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rig_follows_and_goes_on_following() {
        let mut rig = Rig::following(Profile::DEFAULT).unwrap();
        let before = rig.state.arms.psm1.setpoint_cp;
        for _ in 0..3_000 {
            rig.tick(None);
            assert_eq!(rig.state.stage, Stage::Follow);
        }
        assert!(rig.state.arms.psm1.setpoint_cp.mismatch(&before).distance_m > 1e-3);
    }

    #[test]
    fn the_walled_rig_follows_and_meets_its_wall() {
        let mut rig = Rig::following(walled()).unwrap();
        let mut met = 0;
        for _ in 0..3_000 {
            rig.tick(None);
            assert_eq!(rig.state.stage, Stage::Follow);
            met += u32::from(rig.state.arms.psm1.limited);
        }
        assert!(met > 1_000, "at the wall for {met} of 3,000 ticks");
    }
}
