//! What is said: commands, states, and the reliable words around them.
//!
//! Knows: the fields and the words. Does not know: bytes (`wire`), who may say what (`session`), or
//! what follows from it (`follower`, `leader`).
//!
//! Commands are absolute and complete, intent is a level: applying only the newest is right
//! whatever was lost. CRTK's words are used unshortened (`servo_cp`, `measured_js`,
//! `operating_state`).

use crate::geometry::{JointPositions, PerArm, Pose, RobotBase, Tip, Twist};
use crate::units::{Console, Epoch, Instant, Micros, Robot, Seq};

/// The version of everything on the wire. A peer of another version is refused at hello.
pub const PROTOCOL_VERSION: u8 = 1;

/// Which robot. Chosen by the hospital, unique within its certificate authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RobotId(u64);

impl RobotId {
    /// The robot numbered `id`.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One session: 128 random bits, the first half drawn by the console, the second by the robot, so
/// that neither end alone can bring an old session back. Source: FSoE, safety.md section 1.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Joins the two random halves.
    pub const fn from_halves(console: u64, robot: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = console.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = robot.to_le_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as on the wire.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// The first 64 bits of the SHA-256 of the limits profile in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProfileHash(u64);

impl ProfileHash {
    /// The hash with this value.
    pub const fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What both ends fixed at hello and every message repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionKey {
    /// The robot addressed.
    pub robot: RobotId,
    /// The session, made of both ends' random halves.
    pub session: SessionId,
    /// The fencing number of the grant.
    pub epoch: Epoch,
    /// The limits profile in force.
    pub profile: ProfileHash,
}

/// The surgeon's intent as levels, never edges: loss cannot invert a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// The surgeon's foot is on the operator-present pedal.
    pub operator_present: bool,
    /// The clutch is pressed: the hand moves, the goal does not.
    pub clutch: bool,
    /// The leader regards itself as engaged: `servo_cp` follows the hand.
    pub engaged: bool,
    /// Energy is asked for, per arm.
    pub energy: PerArm<bool>,
}

/// What one arm is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmCommand {
    /// Absolute tip pose in the arm's base frame.
    pub servo_cp: Pose<RobotBase, Tip>,
    /// Tip velocity in the arm's base frame.
    pub servo_cv: Twist,
    /// Jaw opening, radians; larger is more open.
    pub jaw: f64,
}

/// The leader's half of a command: everything but the session's key and the number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Intent {
    /// When the hand was sampled, console clock.
    pub hand_time: Instant<Console>,
    /// The newest robot stamp that the leader has seen, copied back unread.
    pub echo_robot_time: Instant<Robot>,
    /// The number of the state that carried that stamp.
    pub echo_state: Seq,
    /// How long after its turn this command may still be used.
    pub valid_for: Micros,
    /// Operator present, clutch, engaged, energy.
    pub levels: Levels,
    /// Both arms, always both.
    pub arms: PerArm<ArmCommand>,
}

/// One command: the datagram that the console sends every tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Command {
    /// Robot, session, epoch, profile.
    pub key: SessionKey,
    /// Rises by one with every command of the session; never reused.
    pub number: Seq,
    /// What the surgeon wants.
    pub intent: Intent,
}

/// CRTK's operating state: the outer face of [`Stage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OperatingState {
    /// Drives off, brakes on.
    #[default]
    Disabled,
    /// May move: Follow, Coast, Brake, Hold.
    Enabled,
    /// Held until somebody explicitly resumes: Latched, Bedside.
    Paused,
    /// Not well: SafeOff. No command enters it.
    Fault,
}

impl OperatingState {
    /// Every state, in wire order.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::Enabled, Self::Paused, Self::Fault];

    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::Disabled => 0,
            Self::Enabled => 1,
            Self::Paused => 2,
            Self::Fault => 3,
        }
    }

    /// CRTK's string.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Enabled => "ENABLED",
            Self::Paused => "PAUSED",
            Self::Fault => "FAULT",
        }
    }
}

/// The stages of a failing link, in rising severity. design.md section 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The commands are fresh: the tool follows.
    Follow,
    /// A command is late: the last twist is extrapolated, at most 0.5 mm.
    Coast,
    /// Decelerating to standstill.
    Brake,
    /// Position held; comes back by itself when the link does.
    Hold,
    /// Position held; comes back only by pedal released then pressed.
    Latched,
    /// The bedside owns the robot; comes back only by an explicit hand-over.
    Bedside,
    /// Brakes on, power off; comes back only by local restart.
    SafeOff,
    /// Not enabled yet: brakes on, power off, nothing wrong.
    #[default]
    Disabled,
}

impl Stage {
    /// Every stage, in wire order.
    pub const ALL: [Self; 8] = [
        Self::Follow,
        Self::Coast,
        Self::Brake,
        Self::Hold,
        Self::Latched,
        Self::Bedside,
        Self::SafeOff,
        Self::Disabled,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Follow => "Follow",
            Self::Coast => "Coast",
            Self::Brake => "Brake",
            Self::Hold => "Hold",
            Self::Latched => "Latched",
            Self::Bedside => "Bedside",
            Self::SafeOff => "SafeOff",
            Self::Disabled => "Disabled",
        }
    }

    /// The outer face of the stage.
    pub const fn operating_state(self) -> OperatingState {
        match self {
            Self::Follow | Self::Coast | Self::Brake | Self::Hold => OperatingState::Enabled,
            Self::Latched | Self::Bedside => OperatingState::Paused,
            Self::SafeOff => OperatingState::Fault,
            Self::Disabled => OperatingState::Disabled,
        }
    }
}

/// Why the robot is not following. Later variants are worse; the worst of a tick is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is following, or nothing ever stopped it.
    #[default]
    None,
    /// The newest command is late or missing.
    LinkSilent,
    /// The surgeon's foot is not on the pedal.
    OperatorAbsent,
    /// The console asked for a pause.
    Paused,
    /// The goal is farther from the held tool than may be blended.
    Mismatch,
    /// The surgeon's view and command are together older than the profile allows.
    LoopAge,
    /// A new session began: the surgeon must engage anew.
    NewSession,
    /// Corrupted, contradictory or implausible commands from an authenticated peer.
    Integrity,
    /// A joint, speed or workspace limit would have been broken.
    Limit,
    /// The link was silent so long that the bedside owns the robot.
    LeaseExpired,
    /// The bedside has not handed the robot over.
    BedsideOwns,
    /// The arm left the pose it should hold.
    HoldError,
    /// The control loop missed more ticks in a row than the profile allows.
    MissedTicks,
    /// A drive reported a fault or did not do what it was told.
    Drive,
    /// A rule that must always hold was broken inside the software.
    Broken,
    /// The emergency stop at the bedside is pressed.
    EmergencyStop,
}

impl Reason {
    /// Every reason, in wire order.
    pub const ALL: [Self; 16] = [
        Self::None,
        Self::LinkSilent,
        Self::OperatorAbsent,
        Self::Paused,
        Self::Mismatch,
        Self::LoopAge,
        Self::NewSession,
        Self::Integrity,
        Self::Limit,
        Self::LeaseExpired,
        Self::BedsideOwns,
        Self::HoldError,
        Self::MissedTicks,
        Self::Drive,
        Self::Broken,
        Self::EmergencyStop,
    ];

    /// Why the robot does not follow, for people at either end: the middle of a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "nothing stopped it yet",
            Self::LinkSilent => "the link was silent",
            Self::OperatorAbsent => "no foot on the pedal",
            Self::Paused => "paused, by the console or at the bedside",
            Self::Mismatch => "the goal was too far from the tool",
            Self::LoopAge => "view and command together were too old",
            Self::NewSession => "a new session or a hand-over began",
            Self::Integrity => "damaged or contradictory commands arrived",
            Self::Limit => "a limit would have been broken",
            Self::LeaseExpired => "the link was silent for too long",
            Self::BedsideOwns => "it has not been handed over",
            Self::HoldError => "an arm left its place",
            Self::MissedTicks => "the robot's control loop was late",
            Self::Drive => "a drive reported a fault or an arm did not follow",
            Self::Broken => "its software found itself broken",
            Self::EmergencyStop => "the emergency stop was pressed",
        }
    }

    /// The word for it, as in records and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::LinkSilent => "LinkSilent",
            Self::OperatorAbsent => "OperatorAbsent",
            Self::Paused => "Paused",
            Self::Mismatch => "Mismatch",
            Self::LoopAge => "LoopAge",
            Self::NewSession => "NewSession",
            Self::Integrity => "Integrity",
            Self::Limit => "Limit",
            Self::LeaseExpired => "LeaseExpired",
            Self::BedsideOwns => "BedsideOwns",
            Self::HoldError => "HoldError",
            Self::MissedTicks => "MissedTicks",
            Self::Drive => "Drive",
            Self::Broken => "Broken",
            Self::EmergencyStop => "EmergencyStop",
        }
    }
}

/// The life of the command in use, so that one record splits the way from hand to joint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// The command's number; [`Seq::ZERO`] while no command is in use.
    pub number: Seq,
    /// When the hand was sampled, console clock.
    pub hand_time: Instant<Console>,
    /// When the robot's network side accepted it, robot clock.
    pub received_at: Instant<Robot>,
    /// When the servo thread first used it, robot clock.
    pub applied_at: Instant<Robot>,
    /// Its CRC-64/XZ as the servo thread read it: what the console sent, or somebody else's words.
    pub checksum: u64,
}

/// One arm as the robot sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmState {
    /// Joint positions read from the arm.
    pub measured_js: JointPositions,
    /// Jaw opening read from the arm, radians.
    pub measured_jaw: f64,
    /// Tip pose by forward kinematics of `measured_js`.
    pub measured_cp: Pose<RobotBase, Tip>,
    /// Tip pose that the arm was last told.
    pub setpoint_cp: Pose<RobotBase, Tip>,
    /// Jaw opening that the arm was last told, radians.
    pub setpoint_jaw: f64,
    /// Energy is on.
    pub energy: bool,
    /// The goal lies outside what the arm may reach; the nearest allowed pose is used instead.
    pub limited: bool,
}

/// What the robot has counted since it started. Saturating; all but `lost` only ever rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands of this session that were accepted.
    pub accepted: u64,
    /// Datagrams that were rejected, for whatever reason.
    pub rejected: u64,
    /// Command numbers of this session, up to the newest, that have not come.
    pub lost: u64,
    /// Times the robot left Follow and Coast for Brake or worse because of the link.
    pub safe_stops: u32,
    /// Servo ticks that began later than the bound.
    pub late_ticks: u32,
    /// Servo ticks that never began.
    pub missed_ticks: u32,
}

/// What the robot publishes every tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FollowerState {
    /// When this state was made, robot clock. The console copies it back unread.
    pub robot_time: Instant<Robot>,
    /// The stage; its outer face is `stage.operating_state()`.
    pub stage: Stage,
    /// Why the robot is not following.
    pub reason: Reason,
    /// The arms are enabled, their positions known. CRTK's word; nothing homes the simulated arms.
    pub is_homed: bool,
    /// Time since the newest accepted command had its turn.
    pub age: Micros,
    /// How old the surgeon's view plus the command in use are together.
    pub loop_age: Micros,
    /// What the playout buffer adds at present.
    pub playout_delay: Micros,
    /// The command in use.
    pub echo: Echo,
    /// Both arms.
    pub arms: PerArm<ArmState>,
    /// Counters since start.
    pub counters: Counters,
}

/// One state: the datagram that the robot sends every tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StateReport {
    /// Robot, session, epoch, profile.
    pub key: SessionKey,
    /// Rises by one with every state of the session.
    pub number: Seq,
    /// What the robot says.
    pub state: FollowerState,
}

/// CRTK's `state_command`, as far as it may be asked from afar. Its `enable` and `disable` have no
/// word on the wire: a network event may hold the robot, never switch its power (A21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateCommand {
    /// Hold until resumed.
    Pause,
    /// Leave Paused by the re-engagement rule.
    Resume,
}

impl StateCommand {
    /// Every state command, in wire order.
    pub const ALL: [Self; 2] = [Self::Pause, Self::Resume];

    /// CRTK's string.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// What the leader must know of the robot's profile to keep within it. Sent at welcome.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Fastest tip, metres per second.
    pub tip_speed_max: f64,
    /// Fastest tip rotation, radians per second.
    pub tip_rate_max: f64,
    /// Goal and tool must be this close before motion begins or goes on.
    pub blend_max: crate::geometry::Mismatch,
    /// Goal farther than this from the tool: the robot latches.
    pub anchor_max: crate::geometry::Mismatch,
    /// Above this loop age the robot latches.
    pub loop_age_max: Micros,
    /// Above this loop age the surgeon is warned and the tool slowed.
    pub loop_age_warn: Micros,
    /// A gap this long latches the robot.
    pub latch_after: Micros,
}

/// The reliable words, on the control stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame {
    /// Console to robot, first: who I want, and my half of the session id.
    Hello {
        /// [`PROTOCOL_VERSION`] of the console.
        version: u8,
        /// The robot wanted.
        robot: RobotId,
        /// The console's random half of the session id.
        half: u64,
        /// What the last welcome said; zero where there was none.
        resume: u64,
    },
    /// Robot to console: the session is made.
    Welcome {
        /// Everything each message must carry from now on.
        key: SessionKey,
        /// What the leader must keep to.
        terms: Terms,
        /// 64 random bits, never zero: who says them in a hello of the same certificate is the
        /// console that was let in, and no copy of its certificate.
        resume: u64,
    },
    /// Robot to console: how far the robot's record has come, for the console to keep.
    Witness(Witness),
    /// Robot to console: well said, but not now; and why.
    Refused(Refusal),
    /// Console to robot: change the operating state.
    StateCommand(StateCommand),
    /// Robot to console: the servo thread has taken the state command.
    StateAccepted(StateCommand),
    /// Console to robot: I want to measure the link, and hold nothing (`probe`).
    ProbeBegin {
        /// The run: 64 fresh random bits, or those of a run that goes on over a new connection.
        run: u64,
    },
    /// Robot to console: probes of that run are answered from now on.
    ProbeReady {
        /// The run.
        run: u64,
        /// The UDP port at which the same probes are answered without QUIC; 0 for none.
        twin_port: u16,
    },
}

/// How far the robot's record has come, once a second and whenever the alarm changes. Kept at the
/// other end, it shows what a record was, whatever becomes of the robot's disk (A32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// How the record does.
    pub alarm: RecordAlarm,
    /// The record's random number: no patient's.
    pub case_id: [u8; 16],
    /// Which of the record's files.
    pub part: u64,
    /// Messages in it that are safe on disk.
    pub records: u64,
    /// The chain over them, SHA-256.
    pub chain: [u8; 32],
}

/// How the robot's record does. Later variants are worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordAlarm {
    /// It is written.
    #[default]
    None,
    /// The disk is slow: ticks wait in memory. See to the disk; nothing is lost yet.
    Behind,
    /// Ticks are being lost. See to the disk.
    Failed,
}

impl RecordAlarm {
    /// Every alarm, in wire order.
    pub const ALL: [Self; 3] = [Self::None, Self::Behind, Self::Failed];

    /// What is the case and what to do, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::None => "the robot is recorded",
            Self::Behind => "the record falls behind: the disk is slow; nothing is lost yet",
            Self::Failed => {
                "the robot is not recorded: its disk is full, gone or too slow; have it seen to, \
                 recording begins again by itself"
            }
        }
    }
}

/// Well said but not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Which rule refused.
    pub why: RefusalKind,
    /// What the rule asks for, in the rule's own number: `WIRE.md` section 7 says which, for each.
    pub expected: u64,
    /// What was found, in the same number.
    pub got: u64,
}

impl core::fmt::Display for Refusal {
    /// What to do, and the two numbers in the words of their rule.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { why, expected, got } = *self;
        f.write_str(why.advice())?;
        match why {
            RefusalKind::Version => {
                write!(f, " (the robot speaks version {expected}, this end {got})")
            }
            RefusalKind::Robot => write!(f, " (it is robot {expected}, you named {got})"),
            RefusalKind::LeaseHeld => write!(f, " (it is held under epoch {got})"),
            RefusalKind::State | RefusalKind::InFault => {
                write!(f, " (it is {}, not {})", state_name(got), state_name(expected))
            }
            RefusalKind::NotDurable => {
                write!(f, " (epoch {expected} was due, {got} is the last on its disk)")
            }
            RefusalKind::Role | RefusalKind::OutOfOrder => Ok(()),
        }
    }
}

fn state_name(number: u64) -> &'static str {
    let place = usize::try_from(number).unwrap_or(usize::MAX);
    OperatingState::ALL
        .get(place)
        .map_or("in a state that this release does not know", |state| state.name())
}

/// The rule that refused. Each variant says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The peer speaks another version: install the same release on both ends.
    Version,
    /// This is another robot: connect to the one named in the hello.
    Robot,
    /// The certificate's role may not do that: a surgeon moves the robot, an engineer or a surgeon
    /// measures the link.
    Role,
    /// Another console holds the robot: wait until it lets go or the bedside releases it.
    LeaseHeld,
    /// The state command does not apply in this operating state.
    State,
    /// The robot is in Fault: it needs a local restart.
    InFault,
    /// The frame makes no sense here: hello comes first, and once.
    OutOfOrder,
    /// The robot cannot write its epoch to its disk: have its state folder seen to.
    NotDurable,
}

impl RefusalKind {
    /// Every refusal, in wire order.
    pub const ALL: [Self; 8] = [
        Self::Version,
        Self::Robot,
        Self::Role,
        Self::LeaseHeld,
        Self::State,
        Self::InFault,
        Self::OutOfOrder,
        Self::NotDurable,
    ];

    /// What was refused and what to do about it, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Version => {
                "the robot speaks another version; install the same release on both ends"
            }
            Self::Robot => "this is another robot; connect to the one you named",
            Self::Role => {
                "this certificate's role may not command; use a surgeon's certificate to move the \
                 robot, an engineer's or a surgeon's to measure the link"
            }
            Self::LeaseHeld => {
                "another console holds the robot; wait until it ends. A surgeon may have the \
                 bedside release the robot, and ask again. A console that was started anew is \
                 let in when the lease of the one before has run out, 3 s after its last word"
            }
            Self::State => "that does not apply in the robot's present state",
            Self::InFault => "the robot is in fault; it needs a local restart",
            Self::OutOfOrder => "the hello must come first, and once",
            Self::NotDurable => {
                "the robot cannot keep its epoch on its disk; have its state folder seen to"
            }
        }
    }
}

/// Hand and tool must be aligned to this before the tool follows, radians; the robot asks the same
/// of goal and tool before it leaves Latched. Source: dVRK, 5 deg.
pub const ALIGN_MAX_RAD: f64 = 5.0 * core::f64::consts::PI / 180.0;
/// The same after a clutch, radians. Source: dVRK, 2 deg.
pub const REALIGN_MAX_RAD: f64 = 2.0 * core::f64::consts::PI / 180.0;

impl Terms {
    /// How much of its full speed the tool may use at this loop age: all of it up to the warning,
    /// falling to a quarter at the limit. Both ends use this one rule, so the goal does not run
    /// away from a slowed tool.
    ///
    /// Source: safety.md section 4.3, "speed scaled linearly to 25 %".
    pub fn speed_scale(&self, loop_age: Micros) -> f64 {
        const SLOWEST: f64 = 0.25;
        let over = loop_age.saturating_sub(self.loop_age_warn).as_secs_f64();
        let span = self.loop_age_max.saturating_sub(self.loop_age_warn).as_secs_f64();
        if span <= 0.0 {
            return SLOWEST;
        }
        (1.0 - (1.0 - SLOWEST) * over / span).clamp(SLOWEST, 1.0)
    }
}
