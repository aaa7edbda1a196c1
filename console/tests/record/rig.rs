//! A console that is recorded, without threads: the test turns the leader and the recorder.
//!
//! Knows: the shipped leader, session, tap and recorder. Does not know: what a test is about.
#![allow(dead_code, reason = "not every test needs all of it")]

use longhand_console::alarms::AlarmKind;
use longhand_console::page::AlarmPriority;
use longhand_console::record::recorder::{AlarmWriter, Recorded, recorder};
use longhand_console::record::schema::{AlarmChange, AlarmState};
use longhand_console::record::tap::{Tap, tap};
use longhand_console::record::tick::{AlarmLevel, Counts, LeaderTick};
use longhand_console::record::{Health, Recorder};
use longhand_leader::Leader;
use longhand_leader::hand::HandSample;
use longhand_protocol::message::{
    FollowerState, RobotId, SessionId, SessionKey, Stage, StateReport, Terms,
};
use longhand_protocol::session::ConsoleSession;
use longhand_protocol::units::{Console, Epoch, Instant, Micros, Seq, TICK};
use longhand_protocol::wire::COMMAND_LEN;
use longhand_quic::mailbox::Mailbox;
use longhand_quic::pace::Tick;
use longhand_quic::trust::{Authority, Credentials, Role, Validity};
use longhand_record::recorder::NewDisk;
use longhand_record::seal::Belief;
use std::io;
use std::sync::Arc;

#[path = "../../../protocol/record/tests/common/mod.rs"]
mod common;

pub use common::*;

/// The robot that the console asks for.
pub const ROBOT: RobotId = RobotId::new(1);

/// A hospital with one surgeon.
pub struct Hospital {
    authority: Authority,
    pub surgeon: Credentials,
}

impl Hospital {
    pub fn new() -> Self {
        let authority = Authority::ephemeral("Test").unwrap();
        let surgeon = issue(&authority, Role::Surgeon, None);
        Self { authority, surgeon }
    }

    /// A key of another role, of the same hospital.
    pub fn of(&self, role: Role) -> Credentials {
        issue(&self.authority, role, (role == Role::Robot).then_some(ROBOT))
    }

    pub fn believes(&self) -> Belief {
        Belief::Hospital(Box::new(self.surgeon.believes()))
    }
}

fn issue(authority: &Authority, role: Role, robot: Option<RobotId>) -> Credentials {
    let issued = authority.issue(role, "dr-lee", robot, Validity::days(1).unwrap()).unwrap();
    authority.credentials(&issued).unwrap()
}

pub struct Rig {
    leader: Leader,
    session: ConsoleSession,
    tap: Tap,
    pub recorder: Recorder,
    pub health: Arc<Health>,
    pub alarms: AlarmWriter,
    /// Every command that was sent.
    pub sent: Vec<[u8; COMMAND_LEN]>,
    ticks: u64,
}

/// The tick in which the session begins, and with it the commands.
pub const BEGINS: u64 = 20;

impl Rig {
    /// A console whose every file goes to the next of `disks`.
    pub fn new(who: &Credentials, disks: Vec<Memory>, ring_words: usize) -> Self {
        let mut disks = disks.into_iter();
        let new_disk: NewDisk = Box::new(move |_, _| match disks.next() {
            Some(disk) => Ok(Box::new(disk)),
            None => Err(io::ErrorKind::StorageFull.into()),
        });
        Self::on(who, new_disk, ring_words)
    }

    pub fn on(who: &Credentials, new_disk: NewDisk, ring_words: usize) -> Self {
        let health = Arc::new(Health::default());
        let (tap, tapped) = tap(ring_words, &health);
        let (alarms, changes) = Mailbox::pair();
        let settings = "scale = 0.2\n".to_owned();
        let recorded = Recorded { robot: ROBOT, settings, signer: who.signer().unwrap() };
        let recorder = recorder(at(0), tapped, &health, recorded, new_disk, changes).unwrap();
        let key = SessionKey {
            robot: ROBOT,
            session: SessionId::from_halves(1, 2),
            epoch: Epoch::new(1),
            ..SessionKey::default()
        };
        Self {
            leader: Leader::new(Terms::default(), 0.2),
            session: ConsoleSession::new(key),
            tap,
            recorder,
            health,
            alarms,
            sent: Vec::new(),
            ticks: 0,
        }
    }

    /// One tick of the leader thread. The recorder sleeps.
    pub fn tick(&mut self) {
        let (now, in_session) = (at(self.ticks), self.ticks >= BEGINS);
        // The pedal goes down 10 ms after the session began, and up again.
        let sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(50),
            operator_present: self.ticks % 1_000 >= BEGINS + 10,
            ..HandSample::default()
        };
        let following = sample.operator_present;
        let state = FollowerState {
            robot_time: Instant::from_micros(self.ticks * 1_000),
            // Two stages of the robot while the engagement stays Held.
            stage: match self.ticks % 1_000 {
                _ if following => Stage::Follow,
                tick if tick >= BEGINS + 5 => Stage::Latched,
                _ => Stage::Hold,
            },
            ..FollowerState::default()
        };
        let number = Seq::new(self.ticks + 1);
        let report = StateReport { key: self.session.key(), number, state };
        let report = in_session.then_some(report);
        let output = self.leader.step(now, &sample, report.as_ref());
        let bytes = in_session.then(|| self.session.send(&output.intent));
        self.sent.extend(bytes);
        self.tap.see(&LeaderTick {
            tick: &Tick { scheduled_at: now, woke_at: now, missed: 0 },
            sample: &sample,
            output: &output,
            command: bytes.as_ref().map(|bytes| (self.session.sent(), bytes)),
            newest: report.as_ref().map(|report| (report, now)),
            is_current: in_session,
            counts: Counts { sessions: u64::from(in_session), ..Counts::default() },
            alarms: AlarmLevel { count: 1, most: Some(AlarmPriority::Medium) },
        });
        self.ticks += 1;
    }

    /// So many ticks, the recorder awake, and an alarm that comes and is acknowledged.
    pub fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
            let state = match self.ticks % 1_000 {
                5 => Some(AlarmState::Raised),
                9 => Some(AlarmState::Gone),
                _ => None,
            };
            let change = state.map(|state| AlarmChange {
                at: self.now(),
                id: 1,
                kind: AlarmKind::NoLink,
                priority: AlarmPriority::Medium,
                state,
                acknowledged: state == AlarmState::Gone,
            });
            change.into_iter().for_each(|change| self.alarms.push(&change.words()));
            self.recorder.turn(at(self.ticks));
        }
    }

    pub fn now(&self) -> Instant<Console> {
        at(self.ticks)
    }
}

/// When tick `tick` runs.
pub fn at(tick: u64) -> Instant<Console> {
    Instant::from_micros(1_000_000).after(TICK.saturating_mul(tick))
}

/// A whole record of so many ticks, and the commands that were sent in them.
pub fn record(who: &Credentials, ticks: u64) -> (Memory, Vec<[u8; COMMAND_LEN]>) {
    let disk = Memory::default();
    let mut rig = Rig::new(who, vec![disk.clone()], 1 << 14);
    rig.run(ticks);
    let now = rig.now();
    rig.recorder.finish(now);
    (disk, rig.sent)
}
