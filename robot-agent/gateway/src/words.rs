//! What is said outside: state, link, stage and alarms of one robot, as JSON.
//!
//! Knows: every field, its name and its unit; `OUTSIDE.md` is the contract. Does not know: keys,
//! sockets, or who listens.
//!
//! Why JSON: at 100 Hz a robot says 200 kB a second, which a router carries a thousand times over;
//! in return every language, `jq` and a browser read it without a schema of ours. ROS tools have
//! CDR beside it, and the full 1 kHz is in the record. A field is never renamed or given another
//! meaning under one `schema`; new ones may come. What is not known is `null`.

use longhand_protocol::geometry::{ArmId, Pose, RobotBase, Tip};
use longhand_protocol::message::{ArmState, FollowerState, OperatingState, RecordAlarm, Stage};
use longhand_protocol::tap::{Holder, Record};
use longhand_protocol::units::{Micros, Seq};
use serde::{Deserialize, Serialize};

/// Where a robot is and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The hospital's name in keys.
    pub hospital: String,
    /// The room's.
    pub room: String,
    /// The robot's.
    pub robot: String,
}

/// What the gateway knows of its robot at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The newest tick.
    pub record: Record,
    /// No tick has come for a while: everything in it is old.
    pub silent: bool,
    /// Ticks that the gateway did not see, since it began.
    pub lost: u64,
    /// Wall time since which the stage is what it is, as far as the gateway has seen.
    pub stage_since_ns: u64,
}

/// `state`: where both arms are and what they were told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`STATE`].
    pub schema: String,
    /// The robot's name.
    pub robot: String,
    /// The number in its certificate.
    pub robot_id: u64,
    /// Ticks since the agent started, from 1.
    pub number: u64,
    /// When the tick ran, wall time, ns since 1970.
    pub wall_ns: u64,
    /// When the tick ran, robot clock, us.
    pub robot_us: u64,
    /// The tick is new. `false`: the agent is silent, and this is the last that was heard.
    pub fresh: bool,
    /// Follow, Coast, Brake, Hold, Latched, Bedside, SafeOff, Disabled.
    pub stage: String,
    /// CRTK's: DISABLED, ENABLED, PAUSED, FAULT.
    pub operating_state: String,
    /// Why it does not follow.
    pub reason: String,
    /// CRTK's.
    pub is_homed: bool,
    /// Since the newest command had its turn, us.
    pub age_us: Option<u64>,
    /// View plus command, us.
    pub loop_age_us: Option<u64>,
    /// What the playout buffer adds, us.
    pub playout_delay_us: u64,
    /// The command in use; `null` while there is none.
    pub command: Option<u64>,
    /// Times the link made it brake.
    pub safe_stops: u32,
    /// Ticks that began late.
    pub late_ticks: u32,
    /// Ticks that never began.
    pub missed_ticks: u32,
    /// PSM1.
    pub psm1: Arm,
    /// PSM2.
    pub psm2: Arm,
}

/// One arm. Lengths are metres, angles radians, poses in the arm's base frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Yaw, pitch, insertion (m), roll, wrist pitch, wrist yaw.
    pub measured_js: [f64; 6],
    /// The jaw's opening.
    pub measured_jaw: f64,
    /// Where the tip is.
    pub measured_cp: Cp,
    /// Where it was told to be.
    pub setpoint_cp: Cp,
    /// The jaw's opening as told.
    pub setpoint_jaw: f64,
    /// Energy is on.
    pub energy: bool,
    /// The goal is out of reach; the nearest pose is used.
    pub limited: bool,
}

/// A pose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cp {
    /// x, y, z.
    pub position: [f64; 3],
    /// w, x, y, z: a unit quaternion.
    pub orientation: [f64; 4],
}

/// `link`: how the way to the console is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// [`LINK`].
    pub schema: String,
    /// The robot's name.
    pub robot: String,
    /// When this was true, wall time, ns since 1970.
    pub wall_ns: u64,
    /// As in [`State`].
    pub fresh: bool,
    /// Somebody holds the robot and is connected.
    pub connected: bool,
    /// Who, as their certificate says.
    pub holder: Option<String>,
    /// The lease's fence: sessions of this epoch and older are dead.
    pub fence: u64,
    /// Sessions since the agent started.
    pub sessions: u64,
    /// Commands of this session: accepted.
    pub accepted: u64,
    /// Rejected.
    pub rejected: u64,
    /// Not come, up to the newest.
    pub lost: u64,
    /// QUIC's round trip, us; `null` while nobody is connected.
    pub rtt_us: Option<u64>,
    /// QUIC packets to the console: sent.
    pub packets_sent: u64,
    /// Lost.
    pub packets_lost: u64,
    /// Datagrams from the console.
    pub datagrams_received: u64,
    /// As in [`State`].
    pub age_us: Option<u64>,
    /// As in [`State`].
    pub loop_age_us: Option<u64>,
    /// As in [`State`].
    pub playout_delay_us: u64,
    /// Ticks that the agent's tap could not show.
    pub tap_missed: u64,
    /// Ticks that this gateway came too late for.
    pub tap_lost: u64,
}

/// `stage`: may it move, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageWords {
    /// [`STAGE`].
    pub schema: String,
    /// The robot's name.
    pub robot: String,
    /// When this was true, wall time, ns since 1970.
    pub wall_ns: u64,
    /// As in [`State`].
    pub fresh: bool,
    /// As in [`State`].
    pub stage: String,
    /// As in [`State`].
    pub operating_state: String,
    /// As in [`State`].
    pub reason: String,
    /// The reason for people: the middle of a sentence.
    pub words: String,
    /// Wall time since which it is so, ns since 1970; the gateway's start at the earliest.
    pub since_ns: u64,
}

/// `alarms`: all that somebody should know now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    /// [`ALARMS`].
    pub schema: String,
    /// The robot's name.
    pub robot: String,
    /// When this was true, wall time, ns since 1970.
    pub wall_ns: u64,
    /// The worst first.
    pub alarms: Vec<Alarm>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its name, for programs.
    pub name: String,
    /// How bad.
    pub level: Level,
    /// For people: a sentence.
    pub words: String,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Somebody must act.
    Alarm,
    /// Somebody should know.
    Warning,
}

/// `directory`: one robot in one line, for who asks which there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`DIRECTORY`].
    pub schema: String,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The number in its certificate.
    pub robot_id: u64,
    /// How it is.
    pub stage: StageWords,
    /// Its link, and who holds authority.
    pub link: Link,
    /// What somebody should know.
    pub alarms: Vec<Alarm>,
    /// Of the gateway.
    pub version: String,
}

/// The `schema` of [`State`].
pub const STATE: &str = "longhand state v1";
/// The `schema` of [`Link`].
pub const LINK: &str = "longhand link v1";
/// The `schema` of [`StageWords`].
pub const STAGE: &str = "longhand stage v1";
/// The `schema` of [`Alarms`].
pub const ALARMS: &str = "longhand alarms v1";
/// The `schema` of [`Entry`].
pub const DIRECTORY: &str = "longhand directory v1";

impl View {
    fn follower(&self) -> &FollowerState {
        &self.record.state.state
    }

    /// Who holds the robot.
    pub fn holder(&self) -> Option<String> {
        Holder::text(&self.record.link.holder.bytes()).map(str::to_owned)
    }

    /// For [`State`].
    pub fn state(&self, robot: &str, robot_id: u64) -> State {
        let f = self.follower();
        let (age_us, loop_age_us) = (span(f.age), span(f.loop_age));
        State {
            schema: STATE.to_owned(),
            robot: robot.to_owned(),
            robot_id,
            number: self.record.number,
            wall_ns: self.record.wall_ns,
            robot_us: f.robot_time.as_micros(),
            fresh: !self.silent,
            stage: f.stage.name().to_owned(),
            operating_state: f.stage.operating_state().name().to_owned(),
            reason: f.reason.name().to_owned(),
            is_homed: f.is_homed,
            age_us,
            loop_age_us,
            playout_delay_us: f.playout_delay.as_micros(),
            command: (f.echo.number != Seq::ZERO).then_some(f.echo.number.get()),
            safe_stops: f.counters.safe_stops,
            late_ticks: f.counters.late_ticks,
            missed_ticks: f.counters.missed_ticks,
            psm1: arm(f.arms.get(ArmId::Psm1)),
            psm2: arm(f.arms.get(ArmId::Psm2)),
        }
    }

    /// For [`Link`].
    pub fn link(&self, robot: &str) -> Link {
        let (f, link) = (self.follower(), &self.record.link);
        Link {
            schema: LINK.to_owned(),
            robot: robot.to_owned(),
            wall_ns: self.record.wall_ns,
            fresh: !self.silent,
            connected: link.connected && !self.silent,
            holder: self.holder(),
            fence: self.record.state.key.epoch.get(),
            sessions: link.sessions,
            accepted: link.accepted,
            rejected: link.rejected,
            lost: link.lost,
            rtt_us: link.connected.then_some(link.rtt.as_micros()),
            packets_sent: link.packets_sent,
            packets_lost: link.packets_lost,
            datagrams_received: link.datagrams_received,
            age_us: span(f.age),
            loop_age_us: span(f.loop_age),
            playout_delay_us: f.playout_delay.as_micros(),
            tap_missed: self.record.missed,
            tap_lost: self.lost,
        }
    }

    /// For [`StageWords`].
    pub fn stage(&self, robot: &str) -> StageWords {
        let f = self.follower();
        StageWords {
            schema: STAGE.to_owned(),
            robot: robot.to_owned(),
            wall_ns: self.record.wall_ns,
            fresh: !self.silent,
            stage: f.stage.name().to_owned(),
            operating_state: f.stage.operating_state().name().to_owned(),
            reason: f.reason.name().to_owned(),
            words: f.reason.words().to_owned(),
            since_ns: self.stage_since_ns,
        }
    }

    /// For [`Alarms`].
    pub fn alarms(&self, robot: &str) -> Alarms {
        Alarms {
            schema: ALARMS.to_owned(),
            robot: robot.to_owned(),
            wall_ns: self.record.wall_ns,
            alarms: self.alarm_list(),
        }
    }

    /// For [`Entry`].
    pub fn entry(&self, place: &Place, robot_id: u64) -> Entry {
        Entry {
            schema: DIRECTORY.to_owned(),
            place: place.clone(),
            robot_id,
            stage: self.stage(&place.robot),
            link: self.link(&place.robot),
            alarms: self.alarm_list(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The worst first.
    fn alarm_list(&self) -> Vec<Alarm> {
        let (f, link) = (self.follower(), &self.record.link);
        let mut all = Vec::new();
        let mut say = |when: bool, name: &str, level: Level, words: String| {
            if when {
                all.push(Alarm { name: name.to_owned(), level, words });
            }
        };
        use Level::{Alarm as A, Warning as W};
        let why = f.reason.words();
        let silent = "the robot agent says nothing; what is shown is the last that was heard";
        say(self.silent, "AgentSilent", A, silent.to_owned());
        let fault = f.stage.operating_state() == OperatingState::Fault;
        say(fault, "Fault", A, format!("the robot is off after a fault: {why}"));
        let latched = f.stage == Stage::Latched;
        say(latched, "Latched", A, format!("the robot holds until the surgeon resumes: {why}"));
        let alarm = self.record.record_alarm;
        let words = || alarm.advice().to_owned();
        say(alarm == RecordAlarm::Failed, "RecordFailed", A, words());
        say(alarm == RecordAlarm::Behind, "RecordBehind", W, words());
        let stopped = matches!(f.stage, Stage::Brake | Stage::Hold);
        say(stopped, "Stopped", W, format!("the robot stands and goes on by itself: {why}"));
        let is_theirs = f.stage < Stage::Bedside;
        let alone = is_theirs && !link.connected;
        say(alone, "NoConsole", W, "the robot is handed over, and nobody is connected".to_owned());
        for arm in ArmId::ALL {
            let words = format!("{} is told to go where it may not reach", arm.name());
            let name = format!("Limited{}", arm.name());
            say(f.arms.get(arm).limited, &name, W, words);
        }
        all.sort_by_key(|alarm| alarm.level);
        all
    }
}

fn span(span: Micros) -> Option<u64> {
    (span != Micros::MAX).then_some(span.as_micros())
}

fn arm(arm: &ArmState) -> Arm {
    Arm {
        measured_js: arm.measured_js.0.map(short),
        measured_jaw: short(arm.measured_jaw),
        measured_cp: cp(&arm.measured_cp),
        setpoint_cp: cp(&arm.setpoint_cp),
        setpoint_jaw: short(arm.setpoint_jaw),
        energy: arm.energy,
        limited: arm.limited,
    }
}

fn cp(pose: &Pose<RobotBase, Tip>) -> Cp {
    let (p, q) = (pose.position(), pose.rotation());
    Cp { position: [p.x, p.y, p.z].map(short), orientation: [q.w, q.i, q.j, q.k].map(short) }
}

/// To ten nanometres: what came as 32 bits has no more, and `0.12` is not `0.11999999731779099`.
fn short(value: f64) -> f64 {
    (value * 1e8).round() / 1e8
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use longhand_protocol::message::{Reason, StateReport};

    pub fn view(stage: Stage, reason: Reason) -> View {
        let state = FollowerState { stage, reason, ..FollowerState::default() };
        let state = StateReport { state, ..StateReport::default() };
        let record = Record { state, ..Record::default() };
        View { record, silent: false, lost: 0, stage_since_ns: 0 }
    }

    fn names(view: &View) -> Vec<String> {
        view.alarms("or3").alarms.into_iter().map(|alarm| alarm.name).collect()
    }

    #[test]
    fn what_is_wrong_is_said_the_worst_first() {
        assert_eq!(names(&view(Stage::Disabled, Reason::BedsideOwns)), [""; 0]);
        let mut latched = view(Stage::Latched, Reason::LinkSilent);
        assert_eq!(names(&latched), ["Latched", "NoConsole"]);
        latched.record.link.connected = true;
        latched.record.state.state.arms.psm2.limited = true;
        latched.record.record_alarm = RecordAlarm::Behind;
        assert_eq!(names(&latched), ["Latched", "RecordBehind", "LimitedPSM2"]);
        latched.silent = true;
        assert_eq!(names(&latched)[0], "AgentSilent");
        assert_eq!(names(&view(Stage::SafeOff, Reason::Drive)), ["Fault"]);
        assert_eq!(names(&view(Stage::Hold, Reason::LinkSilent)), ["Stopped", "NoConsole"]);
    }

    #[test]
    fn what_is_silent_is_not_connected_and_what_never_was_is_null() {
        let mut gone = view(Stage::Follow, Reason::None);
        gone.record.link.connected = true;
        gone.record.state.state.age = Micros::MAX;
        assert!(gone.link("or3").connected);
        assert_eq!(gone.state("or3", 1).age_us, None);
        gone.silent = true;
        assert!(!gone.link("or3").connected);
        assert!(!gone.state("or3", 1).fresh);
    }

    /// The form of numbers, and that a reader of ours reads what we write.
    #[test]
    fn a_state_is_read_back_and_its_numbers_are_short() {
        let mut record = view(Stage::Follow, Reason::None);
        let arm = &mut record.record.state.state.arms.psm1;
        arm.measured_js.0[2] = f64::from(0.12_f32);
        let said = record.state("or3", 1);
        let text = serde_json::to_string(&said).unwrap();
        assert!(text.contains("[0.0,0.0,0.12,0.0,0.0,0.0]"), "{text}");
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), said);
    }
}
