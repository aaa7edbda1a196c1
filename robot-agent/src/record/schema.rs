//! What stands in a robot's record: the topics, their ROS 2 message definitions, and their CDR
//! bytes.
//!
//! Knows: names, definitions. Does not know: MCAP and CDR (`longhand_record`), or why anything is
//! said.
//!
//! No patient's name or number, no person's, no path and no machine's name has a field here: the
//! case is a random number, and whose case it was the hospital knows.

use super::tap::{COMMAND_WORDS, CommandWords};
use super::tick::{FIELDS, TickWords};
use longhand_protocol::message::{Reason, RobotId, Stage};
use longhand_protocol::units::{Instant, Robot};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::trust::{Believed, SignerKey, SigningError};
use longhand_record::schema::{
    Cdr, Field, Kind, Start, Uncdr, definition_of, longs_of_cdr, longs_to_cdr,
};
use std::time::SystemTime;

/// What one message is about. The order is that of the channels in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// First and once: which robot, which case, under which limits, signed by whom.
    Start,
    /// A command as it was received; before its tick.
    Command,
    /// One turn of the servo loop.
    Tick,
    /// The stage or the reason changed.
    Transition,
    /// Ticks are missing here: they ran, and were not recorded.
    Gap,
    /// What the network side counted.
    Link,
    /// Everything before this, signed.
    Seal,
}

impl Kind for Topic {
    type Clock = Robot;

    const TOPICS: &'static [Self] = &[
        Self::Start,
        Self::Command,
        Self::Tick,
        Self::Transition,
        Self::Gap,
        Self::Link,
        Self::Seal,
    ];
    const START: Self = Self::Start;
    const COMMAND: Self = Self::Command;
    const TICK: Self = Self::Tick;
    const GAP: Self = Self::Gap;
    const SEAL: Self = Self::Seal;
    const FIELDS: &'static [Field] = &FIELDS;
    const COUNTED_BY: &'static str = "stage";
    const WHOSE: &'static str = "robot";
    const FOUND_IN: &'static str = "an agent's";
    const SETTINGS: &'static str = "profile";

    fn name(self) -> &'static str {
        match self {
            Self::Start => "/longhand/start",
            Self::Command => "/longhand/command",
            Self::Tick => "/longhand/tick",
            Self::Transition => "/longhand/transition",
            Self::Gap => "/longhand/gap",
            Self::Link => "/longhand/link",
            Self::Seal => "/longhand/seal",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Start => "longhand_msgs/msg/Start",
            Self::Command => "longhand_msgs/msg/Command",
            Self::Tick => "longhand_msgs/msg/Tick",
            Self::Transition => "longhand_msgs/msg/Transition",
            Self::Gap => "longhand_msgs/msg/Gap",
            Self::Link => "longhand_msgs/msg/Link",
            Self::Seal => "longhand_msgs/msg/Seal",
        }
    }

    fn definition(self) -> String {
        match self {
            Self::Start => START.to_owned(),
            Self::Command => COMMAND.to_owned(),
            Self::Tick => definition_of(TICK, &FIELDS),
            Self::Transition => TRANSITION.to_owned(),
            Self::Gap => GAP.to_owned(),
            Self::Link => LINK.to_owned(),
            Self::Seal => SEAL.to_owned(),
        }
    }

    fn word(field: &str, number: u64) -> Option<&'static str> {
        let place = usize::try_from(number).ok()?;
        match field {
            "stage" => Stage::ALL.get(place).map(|stage| stage.name()),
            "reason" => Reason::ALL.get(place).map(|reason| reason.name()),
            _ => None,
        }
    }

    fn believed(
        believed: &Believed,
        start: &Start,
        at: SystemTime,
    ) -> Result<SignerKey, SigningError> {
        believed.robot(&start.certificate, RobotId::new(start.robot), at)
    }

    fn now() -> Instant<Robot> {
        robot_now()
    }
}

const START: &str = "\
# First in every file. Times: microseconds of the robot's monotonic clock.
uint64 format            # 1
uint64 robot             # the robot's number
uint64 profile_hash      # as in every command
uint64 robot_us          # robot clock ...
uint64 wall_ns           # ... and wall time, nanoseconds since 1970, at one moment
uint64 first_tick        # 0 where the record begins with the robot's first tick
uint64 part              # 0, or which file of a longer record this is
uint8[32] previous       # the chain at the end of the part before; zeros in part 0
uint8[16] case_id        # random
string profile           # the limits in force, TOML
string program           # who wrote this
uint8[] certificate      # whose key signs the seals, DER
";
const COMMAND: &str = "\
# A command as it was received.
uint64 tick              # the tick that it entered
uint64 received_at_us    # robot clock
uint64 number
uint64 hand_time_us      # console clock
uint8[204] wire          # the datagram: protocol/WIRE.md section 4
";
const TRANSITION: &str = "\
uint64 tick
uint64 robot_us
string previous          # the stage before; empty at the first
string stage
string operating_state
string reason
";
const GAP: &str = "\
uint64 first_tick        # the first that is missing
uint64 ticks             # how many are
";
const LINK: &str = "\
# What the network side has counted, ten times a second while a console holds the robot.
uint64 robot_us
uint64 sessions          # granted since the robot started
uint64 accepted          # commands of this session
uint64 rejected          # datagrams of this session, whatever the reason
uint64 lost              # command numbers of this session that have not come
uint64 rtt_us
uint64 packets_sent
uint64 packets_lost
uint64 datagrams_received
";
const SEAL: &str = "\
# Everything before this message, signed with the key in Start.
uint64 records           # messages before this one in this file
uint64 robot_us          # robot clock ...
uint64 wall_ns           # ... and wall time, at one moment
uint64[] tags            # since the last seal: first 8 bytes of the chain after each message
uint8[32] chain          # SHA-256 over everything before this message
uint8 last               # 1: the record ends here; 2: it goes on in another part
uint8[] signature        # over what stands above
";

const TICK: &str = "One turn of the 1 kHz servo loop; `in:` and what is measured went in, the rest \
                    came out.";

/// A tick's words as CDR.
pub fn tick_to_cdr(words: &TickWords) -> Vec<u8> {
    longs_to_cdr(words)
}

/// A tick's words out of CDR.
pub fn tick_of_cdr(data: &[u8]) -> Option<TickWords> {
    longs_of_cdr(data)
}

/// A command's words as CDR. The datagram was checked before it came to the servo thread; where its
/// head cannot be read, number and hand time say 0, and the bytes are kept.
pub fn command_to_cdr(tick: u64, words: &CommandWords) -> Vec<u8> {
    let mut bytes = [0; wire::COMMAND_LEN];
    let mut received_at = 0;
    if let Some((first, body)) = words.split_first() {
        received_at = *first;
        let all = body.iter().flat_map(|word| word.to_le_bytes());
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
    }
    let head = wire::decode_command(&bytes).ok();
    let (number, hand) =
        head.map_or((0, 0), |command| (command.number.get(), command.intent.hand_time.as_micros()));
    let mut out = Cdr::default();
    out.longs(&[tick, received_at, number, hand]);
    out.fixed(&bytes);
    out.done()
}

/// A command's tick, receive time and datagram, out of CDR.
pub fn command_of_cdr(data: &[u8]) -> Option<(u64, u64, &[u8; wire::COMMAND_LEN])> {
    let mut cdr = Uncdr::new(data)?;
    let (tick, received_at) = (cdr.long()?, cdr.long()?);
    let (_number, _hand) = (cdr.long()?, cdr.long()?);
    let bytes = cdr.fixed()?;
    cdr.is_done().then_some((tick, received_at, bytes))
}

/// A change of stage or reason, as CDR.
pub fn transition_to_cdr(tick: u64, robot_us: u64, words: [&str; 4]) -> Vec<u8> {
    let mut out = Cdr::default();
    out.longs(&[tick, robot_us]);
    for word in words {
        out.string(word);
    }
    out.done()
}

/// How many words a command has, said once more where its bytes are counted.
const _: () = assert!(COMMAND_WORDS * 8 >= wire::COMMAND_LEN + 8);
