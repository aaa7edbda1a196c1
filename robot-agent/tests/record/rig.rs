//! A robot that is recorded, without threads: the test turns the servo loop and the recorder.
//!
//! Knows: the shipped servo, tap and recorder. Does not know: what a test is about.

use longhand_follower::Follower;
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::Request;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::{Command, FollowerState, RobotId};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, Seq};
use longhand_protocol::wire;
use longhand_quic::mailbox::{Mailbox, from_bytes};
use longhand_quic::trust::{Authority, Believed, Credentials, Role, Validity};
use longhand_record::recorder::NewDisk;
use longhand_record::seal::{Belief, Judged};
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::profile_file::NamedProfile;
use longhand_robot_agent::record::recorder::{Recorded, recorder};
use longhand_robot_agent::record::tap::{COMMAND_WORDS, CommandWords, Tap, tap};
use longhand_robot_agent::record::{Health, Message, Recorder};
use longhand_robot_agent::servo::{HOME, Servo, Turn};
use std::io;
use std::sync::Arc;

#[path = "../../../protocol/record/tests/common/mod.rs"]
mod common;

pub use common::{Memory, cut_anywhere, flipped_anywhere, messages, ticks, written};

/// A hospital with one robot.
pub struct Hospital {
    pub robot: Credentials,
}

impl Hospital {
    pub fn new() -> Self {
        let authority = Authority::ephemeral("Test").unwrap();
        let life = Validity::days(1).unwrap();
        let issued = authority.issue(Role::Robot, "or3", Some(RobotId::new(1)), life).unwrap();
        let robot = authority.credentials(&issued).unwrap();
        Self { robot }
    }

    pub fn believes(&self) -> Belief {
        let believed: Believed = self.robot.believes();
        Belief::Hospital(Box::new(believed))
    }
}

pub struct Rig {
    servo: Servo<SimulatedPsm>,
    tap: Tap,
    pub recorder: Recorder,
    pub health: Arc<Health>,
    ticks: u64,
    state: FollowerState,
}

impl Rig {
    /// A robot whose every file goes to the next of `disks`.
    pub fn new(hospital: &Hospital, disks: Vec<Memory>, ring_words: usize) -> Self {
        let mut disks = disks.into_iter();
        let new_disk: NewDisk = Box::new(move |_, _| match disks.next() {
            Some(disk) => Ok(Box::new(disk)),
            None => Err(io::ErrorKind::StorageFull.into()),
        });
        Self::on(hospital, new_disk, ring_words)
    }

    pub fn on(hospital: &Hospital, new_disk: NewDisk, ring_words: usize) -> Self {
        let profile = NamedProfile::load("default").unwrap();
        let (joints, jaw) = HOME;
        let arm = SimulatedPsm::new(&PSM_CLASSIC, &joints, jaw, at(0));
        let servo =
            Servo::new(Follower::new(profile.profile), PerArm { psm1: arm.clone(), psm2: arm });
        let health = Arc::new(Health::default());
        let (tap, tapped) = tap(ring_words, &health);
        let signer = hospital.robot.signer().unwrap();
        let recorded = Recorded { robot: RobotId::new(1), profile, signer };
        let (_, links) = Mailbox::pair();
        let (witness, _) = Mailbox::pair();
        let recorder =
            recorder(at(0), tapped, &health, recorded, new_disk, (links, witness)).unwrap();
        Self { servo, tap, recorder, health, ticks: 0, state: FollowerState::default() }
    }

    /// One tick of the servo loop, with a command in every second one. The recorder sleeps.
    pub fn tick(&mut self) {
        let now = at(self.ticks);
        let (inbox, words) = self.commands(now);
        let request = match self.ticks {
            1 => Some(Request::Enable),
            3 => Some(Request::HandOver),
            _ => None,
        };
        let turn = Turn { now, scheduled_at: now, inbox: &inbox, request, ..Turn::default() };
        let tap = &mut self.tap;
        let output = self.servo.turn_seen(&turn, |input, output| tap.see(input, output, &words));
        self.state = output.state;
        self.ticks += 1;
    }

    fn commands(&self, now: Instant<Robot>) -> (Vec<Inbound>, Vec<CommandWords>) {
        if self.ticks.is_multiple_of(2) {
            return (Vec::new(), Vec::new());
        }
        let mut command = Command { number: Seq::new(self.ticks), ..Command::default() };
        command.key.epoch = Epoch::new(1);
        command.intent.hand_time = Instant::from_micros(self.ticks * 1_000);
        command.intent.echo_robot_time = now;
        command.intent.valid_for = Micros::from_millis(50);
        command.intent.levels.operator_present = self.ticks > 400;
        for arm in ArmId::ALL {
            command.intent.arms.get_mut(arm).servo_cp = self.state.arms.get(arm).setpoint_cp;
        }
        let bytes = wire::encode_command(&command);
        let mut words = [now.as_micros(); COMMAND_WORDS];
        let body: [u64; COMMAND_WORDS - 1] = from_bytes(&bytes).unwrap();
        words[1..].copy_from_slice(&body);
        let command = wire::decode_command(&bytes).unwrap();
        (vec![Inbound { command, received_at: now, checksum: 0 }], vec![words])
    }

    /// So many ticks, the recorder awake.
    pub fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
            self.recorder.turn(at(self.ticks));
        }
    }

    pub fn now(&self) -> Instant<Robot> {
        at(self.ticks)
    }
}

/// When tick `tick` runs.
pub fn at(tick: u64) -> Instant<Robot> {
    Instant::from_micros(1_000_000 + tick * 1_000)
}

/// A whole record of so many ticks.
pub fn record(hospital: &Hospital, ticks: u64) -> Memory {
    let disk = Memory::default();
    let mut rig = Rig::new(hospital, vec![disk.clone()], 1 << 14);
    rig.run(ticks);
    let now = rig.now();
    rig.recorder.finish(now);
    disk
}

/// What a robot's file is worth, and everything in it that is proven.
pub fn judged(bytes: &[u8], belief: Belief) -> (Judged, Vec<Message>) {
    common::judged(bytes, belief)
}
