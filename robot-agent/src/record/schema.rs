//! What stands in a record: the topics, their ROS 2 message definitions, and their CDR bytes.
//!
//! Knows: names, definitions, widths. Does not know: MCAP (`file`), hashes (`seal`), or why
//! anything is said. CDR is XCDR1, little endian, each number aligned to its width behind the four
//! bytes that name the encoding. Source: DDSI-RTPS 2.5 section 10, OMG DDS-XTypes 7.4.3.
//!
//! No patient's name or number, no person's, no path and no machine's name has a field here: the
//! case is a random number, and whose case it was the hospital knows.

use super::tap::{COMMAND_WORDS, CommandWords};
use super::tick::{FIELDS, TICK_WORDS, TickWords, Width};
use longhand_protocol::wire;
use longhand_quic::trust::hex;

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

impl Topic {
    /// Every topic, in the order of its channel in the file.
    pub const ALL: [Self; 7] = [
        Self::Start,
        Self::Command,
        Self::Tick,
        Self::Transition,
        Self::Gap,
        Self::Link,
        Self::Seal,
    ];

    /// Its place in [`Topic::ALL`].
    pub fn place(self) -> usize {
        Self::ALL.iter().position(|topic| *topic == self).unwrap_or(0)
    }

    /// The topic's name, as ROS has it.
    pub const fn name(self) -> &'static str {
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

    /// The name of its message type.
    pub const fn type_name(self) -> &'static str {
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

    /// Its message definition, `ros2msg`.
    pub fn definition(self) -> String {
        match self {
            Self::Start => START.to_owned(),
            Self::Command => COMMAND.to_owned(),
            Self::Tick => tick_definition(),
            Self::Transition => TRANSITION.to_owned(),
            Self::Gap => GAP.to_owned(),
            Self::Link => LINK.to_owned(),
            Self::Seal => SEAL.to_owned(),
        }
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

fn tick_definition() -> String {
    let mut text = "# One turn of the 1 kHz servo loop; `in:` and what is measured went in, the \
                    rest came out.\n"
        .to_owned();
    for field in FIELDS {
        let width = match field.width {
            Width::U64 => "uint64",
            Width::F64 => "float64",
            Width::U32 => "uint32",
            Width::U8 => "uint8",
        };
        let array = if field.times == 1 { String::new() } else { format!("[{}]", field.times) };
        text.push_str(&format!("{width}{array} {}  # {}\n", field.name, field.says));
    }
    text
}

/// First in every file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The robot's number.
    pub robot: u64,
    /// The limits in force, as in every command.
    pub profile_hash: u64,
    /// Robot clock, microseconds, at the moment of `wall_ns`.
    pub robot_us: u64,
    /// Wall time, nanoseconds since 1970.
    pub wall_ns: u64,
    /// The first tick that may follow.
    pub first_tick: u64,
    /// Which file of a longer record this is, from 0.
    pub part: u64,
    /// The chain at the end of the part before.
    pub previous: [u8; 32],
    /// Random: whose case it was, the hospital knows.
    pub case_id: [u8; 16],
    /// The limits in force, TOML.
    pub profile: String,
    /// Who wrote the file.
    pub program: String,
    /// Whose key signs the seals.
    pub certificate: Vec<u8>,
}

/// The layout that this release writes.
const FORMAT: u64 = 1;

impl Start {
    /// As CDR.
    pub fn to_cdr(&self) -> Vec<u8> {
        let mut out = Cdr::new();
        out.longs(&[FORMAT, self.robot, self.profile_hash, self.robot_us, self.wall_ns]);
        out.longs(&[self.first_tick, self.part]);
        out.fixed(&self.previous).fixed(&self.case_id);
        out.string(&self.profile).string(&self.program).bytes(&self.certificate);
        out.0
    }

    /// From CDR; `None` where it is not one of this format.
    pub fn of_cdr(data: &[u8]) -> Option<Self> {
        let mut cdr = Uncdr::new(data)?;
        let format = cdr.long()?;
        let start = Self {
            robot: cdr.long()?,
            profile_hash: cdr.long()?,
            robot_us: cdr.long()?,
            wall_ns: cdr.long()?,
            first_tick: cdr.long()?,
            part: cdr.long()?,
            previous: *cdr.fixed()?,
            case_id: *cdr.fixed()?,
            profile: cdr.string()?,
            program: cdr.string()?,
            certificate: cdr.bytes()?.to_vec(),
        };
        (format == FORMAT && cdr.is_done() && start.to_cdr() == data).then_some(start)
    }

    /// Wall time of a robot time, nanoseconds, as the file's log times count it.
    pub const fn wall_of(&self, robot_us: u64) -> u64 {
        let since = robot_us.saturating_sub(self.robot_us).saturating_mul(1_000);
        let before = self.robot_us.saturating_sub(robot_us).saturating_mul(1_000);
        self.wall_ns.saturating_add(since).saturating_sub(before)
    }

    /// The case, as in file names.
    pub fn case(&self) -> String {
        hex(&self.case_id)
    }
}

/// A tick's words as CDR.
pub fn tick_to_cdr(words: &TickWords) -> Vec<u8> {
    let mut out = Cdr::new();
    out.longs(words);
    out.0
}

/// A tick's words out of CDR.
pub fn tick_of_cdr(data: &[u8]) -> Option<TickWords> {
    let mut cdr = Uncdr::new(data)?;
    let mut words = [0; TICK_WORDS];
    for word in &mut words {
        *word = cdr.long()?;
    }
    cdr.is_done().then_some(words)
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
    let mut out = Cdr::new();
    out.longs(&[tick, received_at, number, hand]);
    out.fixed(&bytes);
    out.0
}

/// A command's tick, receive time and datagram, out of CDR.
pub fn command_of_cdr(data: &[u8]) -> Option<(u64, u64, &[u8; wire::COMMAND_LEN])> {
    let mut cdr = Uncdr::new(data)?;
    let (tick, received_at) = (cdr.long()?, cdr.long()?);
    let (_number, _hand) = (cdr.long()?, cdr.long()?);
    let bytes = cdr.fixed()?;
    cdr.is_done().then_some((tick, received_at, bytes))
}

/// Numbers alone, as CDR: a gap, the link's counters.
pub fn longs_to_cdr(values: &[u64]) -> Vec<u8> {
    let mut out = Cdr::new();
    out.longs(values);
    out.0
}

/// Numbers alone, out of CDR.
pub fn longs_of_cdr<const N: usize>(data: &[u8]) -> Option<[u64; N]> {
    let mut cdr = Uncdr::new(data)?;
    let mut values = [0; N];
    for value in &mut values {
        *value = cdr.long()?;
    }
    cdr.is_done().then_some(values)
}

/// A change of stage or reason, as CDR.
pub fn transition_to_cdr(tick: u64, robot_us: u64, words: [&str; 4]) -> Vec<u8> {
    let mut out = Cdr::new();
    out.longs(&[tick, robot_us]);
    for word in words {
        out.string(word);
    }
    out.0
}

/// Little-endian XCDR1.
const HEAD: [u8; 4] = [0, 1, 0, 0];

/// Writes CDR.
#[derive(Debug)]
pub(super) struct Cdr(pub(super) Vec<u8>);

impl Cdr {
    pub(super) fn new() -> Self {
        Self(HEAD.to_vec())
    }

    fn align(&mut self, width: usize) {
        while !self.0.len().saturating_sub(HEAD.len()).is_multiple_of(width) {
            self.0.push(0);
        }
    }

    pub(super) fn longs(&mut self, values: &[u64]) -> &mut Self {
        if !values.is_empty() {
            self.align(8);
        }
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    pub(super) fn length(&mut self, of: usize) -> &mut Self {
        self.align(4);
        self.0.extend(u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes());
        self
    }

    pub(super) fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).fixed(bytes)
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.length(text.len().saturating_add(1)).fixed(text.as_bytes()).fixed(&[0])
    }
}

/// Reads CDR. Whatever comes in, it reads what is there or says `None`.
#[derive(Debug)]
pub(super) struct Uncdr<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Uncdr<'a> {
    pub(super) fn new(data: &'a [u8]) -> Option<Self> {
        Some(Self { body: data.strip_prefix(&HEAD)?, at: 0 })
    }

    fn take(&mut self, length: usize, width: usize) -> Option<&'a [u8]> {
        let from = self.at.checked_next_multiple_of(width)?;
        let to = from.checked_add(length)?;
        let found = self.body.get(from..to)?;
        self.at = to;
        Some(found)
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8, 8)?.try_into().ok()?))
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        let length = u32::from_le_bytes(self.take(4, 4)?.try_into().ok()?);
        usize::try_from(length).ok()
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N, 1)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1, 1)?.first().copied()
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length, 1)
    }

    fn string(&mut self) -> Option<String> {
        let text = self.bytes()?.strip_suffix(&[0])?;
        String::from_utf8(text.to_vec()).ok()
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.body.len()
    }
}

/// How many words a command has, said once more where its bytes are counted.
const _: () = assert!(COMMAND_WORDS * 8 >= wire::COMMAND_LEN + 8);
