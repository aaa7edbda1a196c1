//! What stands in a console's record: the topics, their ROS 2 message definitions, and their CDR
//! bytes.
//!
//! Knows: names, definitions. Does not know: MCAP and CDR (`longhand_record`), or why anything is
//! said.
//!
//! One person is named: the surgeon, in the certificate that vouches for the record. No patient's
//! name or number, no path and no machine's name has a field here: the case is a random number, and
//! whose case it was the hospital knows.

use super::tap::COMMAND_WORDS;
use super::tick::{FIELDS, Known};
use crate::alarms::AlarmKind;
use crate::page::AlarmPriority;
use longhand_leader::advisory::Advisory;
use longhand_leader::engagement::Engagement;
use longhand_protocol::message::{Reason, Stage};
use longhand_protocol::units::{Console, Instant};
use longhand_protocol::wire::{self, COMMAND_LEN};
use longhand_quic::clock::console_now;
use longhand_quic::mailbox::to_bytes;
use longhand_quic::trust::{Believed, SignerKey, SigningError};
use longhand_record::schema::{Cdr, Field, Kind, Start, definition_of};
use std::time::SystemTime;

/// What one message is about. The order is that of the channels in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// First and once: which robot was asked for, which case, how the console was set, signed by
    /// whom.
    Start,
    /// A command as it was sent; before its tick.
    Command,
    /// One turn of the leader thread.
    Tick,
    /// Engagement, or the robot's stage or reason as this console knew it, changed.
    Transition,
    /// An alarm changed.
    Alarm,
    /// Ticks are missing here: they ran, and were not recorded.
    Gap,
    /// Everything before this, signed.
    Seal,
}

impl Kind for Topic {
    type Clock = Console;

    const TOPICS: &'static [Self] = &[
        Self::Start,
        Self::Command,
        Self::Tick,
        Self::Transition,
        Self::Alarm,
        Self::Gap,
        Self::Seal,
    ];
    const START: Self = Self::Start;
    const COMMAND: Self = Self::Command;
    const TICK: Self = Self::Tick;
    const GAP: Self = Self::Gap;
    const SEAL: Self = Self::Seal;
    const FIELDS: &'static [Field] = &FIELDS;
    const COUNTED_BY: &'static str = "engagement";
    const WHOSE: &'static str = "the console of robot";
    const FOUND_IN: &'static str = "a console's";
    const SETTINGS: &'static str = "settings";

    fn name(self) -> &'static str {
        match self {
            Self::Start => "/longhand/console/start",
            Self::Command => "/longhand/console/command",
            Self::Tick => "/longhand/console/tick",
            Self::Transition => "/longhand/console/transition",
            Self::Alarm => "/longhand/console/alarm",
            Self::Gap => "/longhand/console/gap",
            Self::Seal => "/longhand/console/seal",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Start => "longhand_msgs/msg/ConsoleStart",
            Self::Command => "longhand_msgs/msg/ConsoleCommand",
            Self::Tick => "longhand_msgs/msg/ConsoleTick",
            Self::Transition => "longhand_msgs/msg/ConsoleTransition",
            Self::Alarm => "longhand_msgs/msg/ConsoleAlarm",
            Self::Gap => "longhand_msgs/msg/ConsoleGap",
            Self::Seal => "longhand_msgs/msg/ConsoleSeal",
        }
    }

    fn definition(self) -> String {
        match self {
            Self::Start => START.to_owned(),
            Self::Command => COMMAND.to_owned(),
            Self::Tick => definition_of(TICK, &FIELDS),
            Self::Transition => TRANSITION.to_owned(),
            Self::Alarm => ALARM.to_owned(),
            Self::Gap => GAP.to_owned(),
            Self::Seal => SEAL.to_owned(),
        }
    }

    fn word(field: &str, number: u64) -> Option<&'static str> {
        let place = usize::try_from(number).ok()?;
        match field {
            "engagement" => Engagement::ALL.get(place).map(|known| known.name()),
            "advisory" => Advisory::ALL.get(place).map(|known| known.name()),
            "stage" => Stage::ALL.get(place).map(|known| known.name()),
            "reason" => Reason::ALL.get(place).map(|known| known.name()),
            "alarm" => {
                AlarmPriority::ALL.get(place.checked_sub(1)?).map(|priority| priority.name())
            }
            _ => None,
        }
    }

    fn believed(
        believed: &Believed,
        start: &Start,
        at: SystemTime,
    ) -> Result<SignerKey, SigningError> {
        believed.surgeon(&start.certificate, at)
    }

    fn now() -> Instant<Console> {
        console_now()
    }
}

const START: &str = "\
# First in every file. Times: microseconds of the console's monotonic clock.
uint64 format            # 1
uint64 robot             # the number of the robot that was asked for
uint64 settings_hash     # first 8 bytes of the settings' SHA-256
uint64 console_us        # console clock ...
uint64 wall_ns           # ... and wall time, nanoseconds since 1970, at one moment
uint64 first_tick        # 0 where the record begins with the console's first tick
uint64 part              # 0, or which file of a longer record this is
uint8[32] previous       # the chain at the end of the part before; zeros in part 0
uint8[16] case_id        # random
string settings          # how the console was set, TOML
string program           # who wrote this
uint8[] certificate      # whose key signs the seals, DER: the surgeon's
";
const COMMAND: &str = "\
# A command as it was sent.
uint64 tick              # the tick that sent it
uint64 number
uint64 hand_time_us      # console clock
uint8[204] wire          # the datagram: protocol/WIRE.md section 4
";
const TICK: &str =
    "One turn of the 1 kHz leader thread: what was read, shown and known of the robot.";
const TRANSITION: &str = "\
# Engagement, or the robot's stage or reason as this console knew it, changed.
uint64 tick
uint64 console_us
string previous          # the engagement before; empty at the first
string engagement
string advisory          # what the surgeon is told
string stage             # the robot's; empty before its first word
string reason
";
const ALARM: &str = "\
# An alarm of this console changed: how it stands now.
uint64 console_us
uint64 id                # as it was shown; an acknowledgement names it
uint64 unwritten         # changes of alarms before this one that are in no record
string alarm
string priority          # info, medium, high
string state             # raised, over (and shown until acknowledged), gone
uint8 acknowledged       # 1: by the surgeon
";
const GAP: &str = "\
uint64 first_tick        # the first that is missing
uint64 ticks             # how many are
";
const SEAL: &str = "\
# Everything before this message, signed with the key in Start.
uint64 records           # messages before this one in this file
uint64 console_us        # console clock ...
uint64 wall_ns           # ... and wall time, at one moment
uint64[] tags            # since the last seal: first 8 bytes of the chain after each message
uint8[32] chain          # SHA-256 over everything before this message
uint8 last               # 1: the record ends here; 2: it goes on in another part
uint8[] signature        # over what stands above
";

/// The definition above counts a command's bytes.
const _: () = assert!(COMMAND_LEN == 204);

/// A command's words as CDR.
pub fn command_to_cdr(tick: u64, words: &[u64; COMMAND_WORDS]) -> Vec<u8> {
    let mut bytes = [0; COMMAND_LEN];
    to_bytes(words, &mut bytes);
    let command = wire::decode_command(&bytes).ok();
    let (number, hand) = command
        .map_or((0, 0), |command| (command.number.get(), command.intent.hand_time.as_micros()));
    let mut out = Cdr::default();
    out.longs(&[tick, number, hand]).fixed(&bytes);
    out.done()
}

/// A change of engagement, or of the robot's stage or reason, as CDR.
pub fn transition_to_cdr(
    tick: u64,
    at: Instant<Console>,
    before: Option<Known>,
    now: Known,
) -> Vec<u8> {
    let (stage, reason) = now.robot.map_or(("", ""), |(s, reason)| (s.name(), reason.name()));
    let mut out = Cdr::default();
    out.longs(&[tick, at.as_micros()]);
    out.string(before.map_or("", |before| before.engagement.name()));
    out.string(now.engagement.name()).string(now.advisory.name());
    out.string(stage).string(reason);
    out.done()
}

/// How an alarm stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// When that was seen.
    pub at: Instant<Console>,
    /// As it was shown.
    pub id: u32,
    /// What is alarmed.
    pub kind: AlarmKind,
    /// How urgently.
    pub priority: AlarmPriority,
    /// Where it is in its life.
    pub state: AlarmState,
    /// The surgeon has seen it.
    pub acknowledged: bool,
}

/// Where an alarm is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// Its condition holds.
    Raised,
    /// Its condition is over; it is shown until it is acknowledged.
    Over,
    /// It is no longer shown.
    Gone,
}

impl AlarmState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Raised, Self::Over, Self::Gone];

    const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Over => "over",
            Self::Gone => "gone",
        }
    }
}

/// A change of an alarm, as CDR.
pub fn alarm_to_cdr(change: &AlarmChange, unwritten: u64) -> Vec<u8> {
    let mut out = Cdr::default();
    out.longs(&[change.at.as_micros(), change.id.into(), unwritten]);
    out.string(change.kind.name()).string(change.priority.name()).string(change.state.name());
    out.fixed(&[u8::from(change.acknowledged)]);
    out.done()
}
