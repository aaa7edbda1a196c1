//! The product: the agent and the console that ship, in one process, over loopback QUIC.
//!
//! Knows: how to start both and bring the robot to follow, and what they say of themselves. Does
//! not know: what a figure is compared with.
//!
//! Each run starts both anew: the phase between the leader's grid and the servo's is the luck of
//! the start, and no single one shall judge.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

use longhand_console::input::script::Script;
use longhand_console::{Console, ConsoleConfig, DEFAULT_SCALE, HandChoice, Practice, Spread};
use longhand_follower::supervisor::{Outcome, Request};
use longhand_protocol::message::{RobotId, Stage as RobotStage};
use longhand_protocol::units::Micros;
use longhand_quic::clock::console_now;
use longhand_quic::pace::Lateness;
use longhand_quic::trust::{Authority, Credentials, DAYS_DEFAULT, Role, Validity};
use longhand_robot_agent::agent::{Agent, AgentConfig};
use longhand_robot_agent::profile_file::NamedProfile;

use crate::harness::Recorder;

const ROBOT: RobotId = RobotId::new(1);
/// The robot follows by then, or something is wrong. Chosen: ten times what it takes.
const FOLLOW_WITHIN: Micros = Micros::from_secs(20);
/// How often the agent's arrivals are fetched; a second of them may wait.
const FETCH_EVERY: Duration = Duration::from_millis(50);

/// What all runs share: certificates, a script, a folder.
pub(super) struct Stage {
    robot: Credentials,
    surgeon: Credentials,
    script: Script,
    folder: TempDir,
}

/// What one run said.
pub(super) struct Run {
    /// Hand sample to servo mailbox, nanoseconds.
    pub(super) up: Recorder,
    /// Servo tick to console's receipt.
    pub(super) down: Spread,
    /// Round trip less the wait at the robot.
    pub(super) both: Spread,
    /// Hand sample to the first state that echoes it.
    pub(super) full: Spread,
    /// The servo thread's.
    pub(super) late: Lateness,
    /// What the threads were granted, in words.
    pub(super) granted: String,
}

impl Stage {
    /// Makes the certificates. Errors: a sentence.
    pub(super) fn build() -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let authority = Authority::ephemeral("Longhand benches").map_err(|e| words(&e))?;
        let life = Validity::days(DAYS_DEFAULT).map_err(|e| words(&e))?;
        let issue = |role, name, robot| {
            let identity = authority.issue(role, name, robot, life)?;
            authority.credentials(&identity)
        };
        Ok(Self {
            robot: issue(Role::Robot, "bench-robot", Some(ROBOT)).map_err(|e| words(&e))?,
            surgeon: issue(Role::Surgeon, "bench-surgeon", None).map_err(|e| words(&e))?,
            script: Script::load("peg-transfer").map_err(|e| words(&e))?,
            folder: TempDir::new().map_err(|e| e.to_string())?,
        })
    }

    /// Starts both ends, waits until the robot follows, measures for `span`, ends both.
    ///
    /// Errors: a sentence, where that did not work.
    pub(super) fn run(&self, span: Micros) -> Result<Run, String> {
        let mut agent = self.agent()?;
        let console = self.console(agent.local_addr())?;
        for request in [Request::Enable, Request::HandOver] {
            if agent.bedside().ask(request) != Some(Outcome::Done) {
                return Err("the servo loop did not take the bedside's words".to_owned());
            }
        }
        wait_until_it_follows(&console)?;
        let mut up = Recorder::new().map_err(|error| error.to_string())?;
        let _before = agent.arrivals(|_, _| {});
        console.begin_books().map_err(|error| error.to_string())?;
        let began = console_now();
        let mut lost = 0_u64;
        while console_now().since(began) < span {
            sleep(FETCH_EVERY);
            lost = lost.saturating_add(agent.arrivals(|hand_time, received_at| {
                // One machine, one clock: here alone may the two be compared.
                let us = received_at.as_micros().saturating_sub(hand_time.as_micros());
                up.record(us.saturating_mul(1_000));
            }));
        }
        let real_time = console.status().real_time;
        let report = console.report();
        let _last = console.stop();
        let ended = agent.stop().map_err(|error| error.to_string())?;
        if lost > 0 || report.records_lost > 0 {
            return Err("measurements were dropped: the machine stood still too long".to_owned());
        }
        let servo = ended.granted.map_or("not asked for".to_owned(), |granted| granted.to_string());
        Ok(Run {
            up,
            down: report.state_way.ok_or("the console does not know that the clock is one")?,
            both: report.both_ways,
            full: report.round_trip,
            late: ended.lateness,
            granted: format!("granted: servo {servo}; {real_time}"),
        })
    }

    fn agent(&self) -> Result<Agent, String> {
        let profile = NamedProfile::load("default").and_then(NamedProfile::tolerating_stalls);
        Agent::start(AgentConfig {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            robot: ROBOT,
            credentials: self.robot.clone(),
            profile: profile.map_err(|error| error.to_string())?,
            state: self.folder.path().to_owned(),
            qlog: None,
            real_time: true,
            tolerate_stalls: true,
            observer: None,
            record: None,
            probe_twin: None,
            tap: None,
        })
        .map_err(|error| error.to_string())
    }

    fn console(&self, target: SocketAddr) -> Result<Console, String> {
        Console::start(ConsoleConfig {
            target,
            robot: ROBOT,
            credentials: self.surgeon.clone(),
            hand: HandChoice::Script(self.script.clone()),
            page: None,
            scale: DEFAULT_SCALE,
            link_name: "loopback".to_owned(),
            qlog: None,
            realtime: true,
            same_clock: true,
            practice: Practice::No,
            record: None,
        })
        .map_err(|error| error.to_string())
    }
}

fn wait_until_it_follows(console: &Console) -> Result<(), String> {
    let began = console_now();
    loop {
        let status = console.status();
        if status.stage == Some(RobotStage::Follow) {
            return Ok(());
        }
        if console_now().since(began) > FOLLOW_WITHIN {
            let stage = status.stage.map_or("no state", RobotStage::name);
            return Err(format!(
                "the robot did not come to follow: {stage}; {}",
                status.link.words
            ));
        }
        sleep(Duration::from_millis(20));
    }
}
