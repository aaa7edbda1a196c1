//! What stands in a record: its topics, its start, and CDR bytes.
//!
//! Knows: names, widths, the start that both kinds of record have. Does not know: MCAP (`file`),
//! hashes (`seal`), or any kind's own messages. CDR is XCDR1, little endian, each number aligned to
//! its width behind the four bytes that name the encoding. Source: DDSI-RTPS 2.5 section 10, OMG
//! DDS-XTypes 7.4.3.
//!
//! No patient's name or number, no path and no machine's name has a field here: the case is a
//! random number, and whose case it was the hospital knows.

use longhand_protocol::units::Instant;
use longhand_quic::trust::{Believed, SignerKey, SigningError, hex};
use std::fmt::Debug;
use std::time::SystemTime;

/// A kind of record: one end's. The enum of its topics implements it.
///
/// Every kind has a start, commands, ticks, gaps and seals; what else it has is its own.
pub trait Kind: Copy + Ord + Debug + Send + 'static {
    /// Whose clock its times are of.
    type Clock: 'static;

    /// Every topic, in the order of its channel in the file.
    const TOPICS: &'static [Self];
    /// First and once in every file: [`Start`].
    const START: Self;
    /// A command, in the bytes of the wire; before its tick.
    const COMMAND: Self;
    /// One turn of the loop: [`Kind::FIELDS`].
    const TICK: Self;
    /// Ticks are missing here: the first that is, and how many are.
    const GAP: Self;
    /// Everything before this, signed.
    const SEAL: Self;

    /// Every field of a tick, in order: first its number, then when it ran. Widths only fall, so
    /// nothing is padded.
    const FIELDS: &'static [Field];
    /// The field by whose words ticks are counted.
    const COUNTED_BY: &'static str;
    /// Whose record it is, before the robot's number: "robot".
    const WHOSE: &'static str;
    /// Whose folder it is found in: "an agent's".
    const FOUND_IN: &'static str;
    /// What its settings are: "profile".
    const SETTINGS: &'static str;

    /// The topic's name, as ROS has it.
    fn name(self) -> &'static str;

    /// The name of its message type.
    fn type_name(self) -> &'static str;

    /// Its message definition, `ros2msg`.
    fn definition(self) -> String;

    /// The word that stands for `number` in a field of a tick; `None` where it is a number.
    fn word(field: &str, number: u64) -> Option<&'static str>;

    /// The key that seals a record with this start, once the hospital is seen to have issued it to
    /// whoever may record such a one.
    ///
    /// Errors: [`SigningError`] says what is not so.
    fn believed(
        believed: &Believed,
        start: &Start,
        at: SystemTime,
    ) -> Result<SignerKey, SigningError>;

    /// Now, on its clock.
    fn now() -> Instant<Self::Clock>;

    /// Its place in [`Kind::TOPICS`].
    fn place(self) -> usize {
        Self::TOPICS.iter().position(|topic| *topic == self).unwrap_or(0)
    }
}

/// One field of a tick, or an array of one width.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, as in ROS messages and CSV.
    pub name: &'static str,
    /// How wide each element is.
    pub width: Width,
    /// How many elements: 1 is a plain field.
    pub times: usize,
    /// What it says.
    pub says: &'static str,
}

/// The width of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `uint64`, one word.
    U64,
    /// `float64`, one word.
    F64,
    /// `uint32`, half a word.
    U32,
    /// `uint8`, an eighth of a word.
    U8,
}

impl Width {
    /// The same in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U64 | Self::F64 => 8,
            Self::U32 => 4,
            Self::U8 => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::U64 => "uint64",
            Self::F64 => "float64",
            Self::U32 => "uint32",
            Self::U8 => "uint8",
        }
    }
}

/// One field, for tables of them.
pub const fn field(name: &'static str, width: Width, times: usize, says: &'static str) -> Field {
    Field { name, width, times, says }
}

/// The fields of a tick as `ros2msg`, below a comment.
pub fn definition_of(comment: &str, fields: &[Field]) -> String {
    let mut text = format!("# {comment}\n");
    for field in fields {
        let array = if field.times == 1 { String::new() } else { format!("[{}]", field.times) };
        let (width, name, says) = (field.width.name(), field.name, field.says);
        text.push_str(&format!("{width}{array} {name}  # {says}\n"));
    }
    text
}

/// The number of a tick, and when it ran, out of its CDR.
pub fn when<K: Kind>(tick: &[u8]) -> Option<(u64, Instant<K::Clock>)> {
    let mut cdr = Uncdr::new(tick)?;
    let all: usize = K::FIELDS.iter().map(|f| f.times.saturating_mul(f.width.bytes())).sum();
    if cdr.body.len() != all {
        return None;
    }
    Some((cdr.long()?, Instant::from_micros(cdr.long()?)))
}

/// First in every file. One layout for both kinds; each kind's definition names the fields in its
/// own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The robot's number: the recorded one's, or whom the console asked for.
    pub robot: u64,
    /// A hash of the settings.
    pub settings_hash: u64,
    /// The kind's clock, microseconds, at the moment of `wall_ns`.
    pub at_us: u64,
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
    /// The settings in force, TOML: a robot's limits, a console's scale and input.
    pub settings: String,
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
        let mut out = Cdr::default();
        out.longs(&[FORMAT, self.robot, self.settings_hash, self.at_us, self.wall_ns]);
        out.longs(&[self.first_tick, self.part]);
        out.fixed(&self.previous).fixed(&self.case_id);
        out.string(&self.settings).string(&self.program).bytes(&self.certificate);
        out.done()
    }

    /// From CDR; `None` where it is not one of this format.
    pub fn of_cdr(data: &[u8]) -> Option<Self> {
        let mut cdr = Uncdr::new(data)?;
        let format = cdr.long()?;
        let start = Self {
            robot: cdr.long()?,
            settings_hash: cdr.long()?,
            at_us: cdr.long()?,
            wall_ns: cdr.long()?,
            first_tick: cdr.long()?,
            part: cdr.long()?,
            previous: *cdr.fixed()?,
            case_id: *cdr.fixed()?,
            settings: cdr.string()?,
            program: cdr.string()?,
            certificate: cdr.bytes()?.to_vec(),
        };
        (format == FORMAT && cdr.is_done() && start.to_cdr() == data).then_some(start)
    }

    /// Wall time of a time on the kind's clock, nanoseconds, as the file's log times count it.
    pub const fn wall_of(&self, at_us: u64) -> u64 {
        let since = at_us.saturating_sub(self.at_us).saturating_mul(1_000);
        let before = self.at_us.saturating_sub(at_us).saturating_mul(1_000);
        self.wall_ns.saturating_add(since).saturating_sub(before)
    }

    /// The case, as in file names.
    pub fn case(&self) -> String {
        hex(&self.case_id)
    }
}

/// Numbers alone, as CDR: a tick's words, a gap, the link's counters.
pub fn longs_to_cdr(values: &[u64]) -> Vec<u8> {
    let mut out = Cdr::default();
    out.longs(values);
    out.done()
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

/// Little-endian XCDR1.
const HEAD: [u8; 4] = [0, 1, 0, 0];

/// Writes CDR.
#[derive(Debug)]
pub struct Cdr(Vec<u8>);

impl Default for Cdr {
    fn default() -> Self {
        Self(HEAD.to_vec())
    }
}

impl Cdr {
    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }

    fn align(&mut self, width: usize) {
        while !self.0.len().saturating_sub(HEAD.len()).is_multiple_of(width) {
            self.0.push(0);
        }
    }

    /// `uint64` one after the other.
    pub fn longs(&mut self, values: &[u64]) -> &mut Self {
        if !values.is_empty() {
            self.align(8);
        }
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    /// How many elements follow.
    pub(crate) fn length(&mut self, of: usize) -> &mut Self {
        self.align(4);
        self.0.extend(u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes());
        self
    }

    /// So many bytes as the definition says.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    /// `uint8[]`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).fixed(bytes)
    }

    /// `string`.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.length(text.len().saturating_add(1)).fixed(text.as_bytes()).fixed(&[0])
    }
}

/// Reads CDR. Whatever comes in, it reads what is there or says `None`.
#[derive(Debug)]
pub struct Uncdr<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Uncdr<'a> {
    /// At the beginning; `None` where it is in another encoding.
    pub fn new(data: &'a [u8]) -> Option<Self> {
        Some(Self { body: data.strip_prefix(&HEAD)?, at: 0 })
    }

    fn take(&mut self, length: usize, width: usize) -> Option<&'a [u8]> {
        let from = self.at.checked_next_multiple_of(width)?;
        let to = from.checked_add(length)?;
        let found = self.body.get(from..to)?;
        self.at = to;
        Some(found)
    }

    /// A `uint64`.
    pub fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8, 8)?.try_into().ok()?))
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        let length = u32::from_le_bytes(self.take(4, 4)?.try_into().ok()?);
        usize::try_from(length).ok()
    }

    /// So many bytes as the definition says.
    pub fn fixed<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N, 1)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1, 1)?.first().copied()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length, 1)
    }

    /// A `string`.
    pub fn string(&mut self) -> Option<String> {
        let text = self.bytes()?.strip_suffix(&[0])?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at == self.body.len()
    }
}

/// The bytes of a tick's fields: CDR without its head, nothing padded.
pub(crate) fn body(tick: &[u8]) -> &[u8] {
    tick.strip_prefix(&HEAD).unwrap_or_default()
}
