//! The bytes: every datagram and every reliable word, written and read.
//!
//! Knows: offsets, widths, magic numbers, the checksum, and which values may not come in at all.
//! Does not know: whose session it is, what came before (`session`), or any robot's own limits.
//!
//! The contract is `protocol/WIRE.md`; golden vectors pin it. Little endian, fixed width, packed.
//! Reading is parsing: what comes out is typed, finite and within bounds, or a named [`WireError`].
//! Writing is total: whatever is handed in, bytes come out. A value that may not be said (NaN) is
//! written as it is and refused by the reader, so that the mistake is counted where it matters.
//!
//! Why `f32` for lengths and angles: a geostationary uplink of 3 Mbit/s must carry 1 kHz. An `f32`
//! in metres resolves 15 nm at 0.25 m, a thousandth of what any instrument resolves.
//!
//! Why the sign of a quaternion is left alone: `q` and `-q` are one rotation, and rotations are
//! only ever used through the geodesic (`angle_to`, `rotation_to`), which goes the short way for
//! both.
//!
//! Terms: the *body* is everything before the checksum; a *frame* is a word on the reliable stream.

use bincode::config::{Config, legacy};
use bincode::{Decode, Encode};
use nalgebra::{Quaternion, UnitQuaternion, Vector3};

use crate::checksum::crc64;
use crate::geometry::{JointPositions, Mismatch, PerArm, Pose, RobotBase, Tip, Twist};
use crate::message::{
    ArmCommand, ArmState, Command, Counters, Echo, FollowerState, Frame, Intent, Levels,
    PROTOCOL_VERSION, ProfileHash, Reason, RecordAlarm, Refusal, RefusalKind, RobotId, SessionId,
    SessionKey, Stage, StateCommand, StateReport, Terms, Witness,
};
use crate::probe::{
    ANSWERS_MAX, KEPT_BACK_MAX, PAGE_WORDS, PATH_BYTES_MAX, PathAnswer, PathProbe, Probe,
    ProbeAnswer, SEEN_WORDS,
};
use crate::units::{Epoch, Instant, Micros, Seq};

/// The first two bytes of everything: "LH" in ASCII, as a little-endian number.
pub const MAGIC: u16 = u16::from_le_bytes(*b"LH");

/// The size of every command datagram, bytes. Constant, so that size says nothing about motion.
pub const COMMAND_LEN: usize = KEYED + 8 + 8 + 8 + 8 + 4 + 4 + 2 * ARM_COMMAND + 8 + CRC_LEN;
/// The size of every state datagram, bytes. Constant, for the same reason.
pub const STATE_LEN: usize =
    KEYED + 8 + 8 + 4 + 3 * 4 + 5 * 8 + 2 * ARM_STATE + 3 * 8 + 3 * 4 + 8 + CRC_LEN;
/// The size of every probe, bytes: a command's, so that the link treats them alike.
pub const PROBE_LEN: usize = COMMAND_LEN;
/// The size of every answer to a probe, bytes: a state's, for the same reason.
pub const PROBE_ANSWER_LEN: usize = STATE_LEN;
/// The size of the longest frame body ([`Frame::Welcome`]), bytes, without the stream's own length.
pub const FRAME_MAX: usize = WELCOME_LEN;

const HEADER: usize = 2 + 1 + 1;
const CRC_LEN: usize = 8;
/// Header, robot, session, epoch.
const KEYED: usize = HEADER + 8 + 16 + 8;
const POSE: usize = 7 * 4;
const ARM_COMMAND: usize = POSE + 6 * 4 + 4;
const ARM_STATE: usize = 6 * 4 + 4 + 2 * POSE + 4;
const HELLO_LEN: usize = HEADER + 8 + 8 + 8 + CRC_LEN;
const WELCOME_LEN: usize = KEYED + 8 + 6 * 8 + 3 * 8 + 8 + CRC_LEN;
const WITNESS_LEN: usize = HEADER + 1 + 16 + 8 + 8 + 2 * 16 + CRC_LEN;
const REFUSED_LEN: usize = HEADER + 1 + 8 + 8 + CRC_LEN;
const STATE_COMMAND_LEN: usize = HEADER + 1 + CRC_LEN;
/// The head of every path probe, bytes; fill may follow.
pub const PATH_PROBE_LEN: usize = HEADER + 3 * 8 + 2 + 1 + 1 + 4 + CRC_LEN;
/// The head of every answer to one, bytes; fill may follow.
pub const PATH_ANSWER_LEN: usize = HEADER + 4 * 8 + 16 + 2 + 2 + 2 + 2 * 8 + 1 + CRC_LEN;
/// A traffic class that the system did not tell.
const MARK_UNKNOWN: u16 = 0xffff;
const PROBE_BEGIN_LEN: usize = HEADER + 8 + CRC_LEN;
const PROBE_READY_LEN: usize = HEADER + 8 + 2 + CRC_LEN;
/// Zeros that fill a probe up to a command's length.
const PROBE_FILL: usize = PROBE_LEN - HEADER - 4 * 8 - CRC_LEN;

// WIRE.md says these numbers. At 1 kHz a command costs 204 * 8 = 1.63 Mbit/s before QUIC and IP.
const _: () = assert!(COMMAND_LEN == 204);
const _: () = assert!(STATE_LEN == 336);
const _: () = assert!(FRAME_MAX == 132);
// One QUIC datagram frame must hold either, at the smallest QUIC packet of 1200 bytes.
const _: () = assert!(COMMAND_LEN < 1_000 && STATE_LEN < 1_000);
const _: () = assert!(WITNESS_LEN <= FRAME_MAX);
const _: () = assert!(HELLO_LEN <= FRAME_MAX && REFUSED_LEN <= FRAME_MAX);

const KIND_COMMAND: u8 = 1;
const KIND_STATE: u8 = 2;
const KIND_PROBE: u8 = 3;
const KIND_PROBE_ANSWER: u8 = 4;
const KIND_PATH_PROBE: u8 = 5;
const KIND_PATH_ANSWER: u8 = 6;
/// The kind of a hello, as refusals out of order name it.
pub const KIND_HELLO: u8 = 16;
const KIND_WELCOME: u8 = 17;
const KIND_WITNESS: u8 = 32;
const KIND_REFUSED: u8 = 18;
/// The kind of a state command, as refusals out of order name it.
pub const KIND_STATE_COMMAND: u8 = 19;
const KIND_STATE_ACCEPTED: u8 = 20;
const KIND_PROBE_BEGIN: u8 = 21;
const KIND_PROBE_READY: u8 = 22;

/// Farthest a position may lie from its base, per axis, metres. Chosen: no instrument is longer.
const POSITION_MAX: f32 = 1.0;
/// Fastest linear velocity that may be said, per axis, m/s. Chosen: a thrown hand is below 10.
const LINEAR_MAX: f32 = 10.0;
/// Fastest angular velocity that may be said, per axis, rad/s. Chosen: 8 turns a second.
const ANGULAR_MAX: f32 = 50.0;
/// Widest jaw that may be said, either way, radians.
const JAW_MAX: f32 = core::f32::consts::PI;
/// Largest joint value that may be said, rad or m. Chosen: 16 turns; only nonsense lies beyond.
const JOINT_MAX: f32 = 100.0;
/// How far a quaternion's norm may lie from 1. Chosen: `f32` rounding is 1e-7, a mistake is more.
const NORM_SLACK: f64 = 1e-3;

/// The peer sent nonsense: count it, drop it, go on. In the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireError {
    /// The length is not that of this message; drop it and look for a middlebox that cuts.
    Length,
    /// It does not begin with "LH": it is not ours; drop it.
    Magic,
    /// It speaks another version: install the same release on both ends.
    Version,
    /// This kind of message does not belong on this road; drop it.
    Kind,
    /// The checksum does not match: damaged between the two cores; count it as an integrity fault.
    Corrupt,
    /// A number is NaN or infinite: the sender is broken; drop it.
    NotFinite,
    /// A quaternion is not a rotation: the sender is broken; drop it.
    NotUnit,
    /// A number is beyond anything that can be meant: the sender is broken; drop it.
    OutOfRange,
    /// A level or flag bit is set that this version does not know; drop it.
    UnknownLevel,
    /// A number stands for no word of this version; drop it.
    BadWord,
}

impl WireError {
    /// Every error, in the order in which it is looked for.
    pub const ALL: [Self; 10] = [
        Self::Length,
        Self::Magic,
        Self::Version,
        Self::Kind,
        Self::Corrupt,
        Self::NotFinite,
        Self::NotUnit,
        Self::OutOfRange,
        Self::UnknownLevel,
        Self::BadWord,
    ];

    /// The word for it, as in records and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "Length",
            Self::Magic => "Magic",
            Self::Version => "Version",
            Self::Kind => "Kind",
            Self::Corrupt => "Corrupt",
            Self::NotFinite => "NotFinite",
            Self::NotUnit => "NotUnit",
            Self::OutOfRange => "OutOfRange",
            Self::UnknownLevel => "UnknownLevel",
            Self::BadWord => "BadWord",
        }
    }

    /// What is wrong, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Length => "the length is not that of this message",
            Self::Magic => "it does not begin with LH, so it is not ours",
            Self::Version => "the peer speaks another version; install the same release on both",
            Self::Kind => "this kind of message does not belong on this road",
            Self::Corrupt => "the checksum does not match; it was damaged between the two cores",
            Self::NotFinite => "a number is NaN or infinite; the sender is broken",
            Self::NotUnit => "a quaternion is not a rotation; the sender is broken",
            Self::OutOfRange => "a number is beyond anything that can be meant",
            Self::UnknownLevel => "a level bit is set that this version does not know",
            Self::BadWord => "a number stands for no word of this version",
        }
    }
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.advice())
    }
}

impl core::error::Error for WireError {}

/// Writes a command. Total: never fails, never allocates.
pub fn encode_command(command: &Command) -> [u8; COMMAND_LEN] {
    let mut out = [0; COMMAND_LEN];
    seal(&RawCommand::from(command), &mut out);
    out
}

/// Reads a command.
///
/// Errors: the first [`WireError`] found, looked for in the enum's order, then in wire order.
pub fn decode_command(bytes: &[u8]) -> Result<Command, WireError> {
    let body = open(bytes, COMMAND_LEN, KIND_COMMAND)?;
    read::<RawCommand>(body)?.parse()
}

/// Writes a state. Total: never fails, never allocates.
pub fn encode_state(report: &StateReport) -> [u8; STATE_LEN] {
    let mut out = [0; STATE_LEN];
    seal(&RawState::from(report), &mut out);
    out
}

/// Reads a state.
///
/// Errors: the first [`WireError`] found, looked for in the enum's order, then in wire order.
pub fn decode_state(bytes: &[u8]) -> Result<StateReport, WireError> {
    let body = open(bytes, STATE_LEN, KIND_STATE)?;
    read::<RawState>(body)?.parse()
}

/// Writes a probe. Total: never fails, never allocates.
pub fn encode_probe(probe: &Probe) -> [u8; PROBE_LEN] {
    let mut out = [0; PROBE_LEN];
    let raw =
        RawProbe { header: RawHeader::of(KIND_PROBE), said: probe.into(), fill: [0; PROBE_FILL] };
    seal(&raw, &mut out);
    out
}

/// Reads a probe.
///
/// Errors: the first [`WireError`] found; `OutOfRange` where its filling is not zero.
pub fn decode_probe(bytes: &[u8]) -> Result<Probe, WireError> {
    let raw = read::<RawProbe>(open(bytes, PROBE_LEN, KIND_PROBE)?)?;
    if raw.fill.iter().any(|byte| *byte != 0) {
        return Err(WireError::OutOfRange);
    }
    Ok(raw.said.parse())
}

/// Writes the answer to a probe. Total: never fails, never allocates.
pub fn encode_probe_answer(answer: &ProbeAnswer) -> [u8; PROBE_ANSWER_LEN] {
    let mut out = [0; PROBE_ANSWER_LEN];
    let raw = RawProbeAnswer {
        header: RawHeader::of(KIND_PROBE_ANSWER),
        said: (&answer.probe).into(),
        received_at: answer.received_at.as_micros(),
        answered_at: answer.answered_at.as_micros(),
        wall_offset: answer.wall_offset_us,
        received: answer.received,
        duplicates: answer.duplicates,
        stalled: u32::try_from(answer.stalled.as_micros()).unwrap_or(u32::MAX),
        newest: answer.newest,
        reordered: answer.reordered,
        seen: answer.seen,
        page_from: answer.page_from,
        page: answer.page,
    };
    seal(&raw, &mut out);
    out
}

/// Reads the answer to a probe.
///
/// Errors: the first [`WireError`] found.
pub fn decode_probe_answer(bytes: &[u8]) -> Result<ProbeAnswer, WireError> {
    let raw = read::<RawProbeAnswer>(open(bytes, PROBE_ANSWER_LEN, KIND_PROBE_ANSWER)?)?;
    Ok(ProbeAnswer {
        probe: raw.said.parse(),
        received_at: Instant::from_micros(raw.received_at),
        answered_at: Instant::from_micros(raw.answered_at),
        wall_offset_us: raw.wall_offset,
        received: raw.received,
        duplicates: raw.duplicates,
        stalled: Micros::from_micros(raw.stalled.into()),
        newest: raw.newest,
        reordered: raw.reordered,
        seen: raw.seen,
        page_from: raw.page_from,
        page: raw.page,
    })
}

/// Writes the head of a path probe. Total: never fails, never allocates.
pub fn encode_path_probe(probe: &PathProbe) -> [u8; PATH_PROBE_LEN] {
    let mut out = [0; PATH_PROBE_LEN];
    let raw = RawPathProbe {
        header: RawHeader::of(KIND_PATH_PROBE),
        run: probe.run,
        number: probe.number,
        sent_at: probe.sent_at.as_micros(),
        answer_bytes: probe.answer_bytes,
        answers: probe.answers,
        answer_mark: probe.answer_mark,
        after_ms: u32::try_from(probe.after.as_micros() / 1_000).unwrap_or(u32::MAX),
    };
    seal(&raw, &mut out);
    out
}

/// Reads a path probe by its head; what follows it is fill.
///
/// Errors: the first [`WireError`] found, looked for in the enum's order, then in wire order.
pub fn decode_path_probe(bytes: &[u8]) -> Result<PathProbe, WireError> {
    let head = bytes.get(..PATH_PROBE_LEN).ok_or(WireError::Length)?;
    let raw = read::<RawPathProbe>(open(head, PATH_PROBE_LEN, KIND_PATH_PROBE)?)?;
    let after = Micros::from_millis(raw.after_ms.into());
    let is_modest = raw.answers <= ANSWERS_MAX
        && raw.answer_bytes <= PATH_BYTES_MAX
        && after <= KEPT_BACK_MAX
        && bytes.len() <= usize::from(PATH_BYTES_MAX);
    if !is_modest {
        return Err(WireError::OutOfRange);
    }
    Ok(PathProbe {
        run: raw.run,
        number: raw.number,
        sent_at: Instant::from_micros(raw.sent_at),
        answer_bytes: raw.answer_bytes,
        answers: raw.answers,
        answer_mark: raw.answer_mark,
        after,
    })
}

/// Writes the head of the answer to a path probe. Total: never fails, never allocates.
pub fn encode_path_answer(answer: &PathAnswer) -> [u8; PATH_ANSWER_LEN] {
    let mut out = [0; PATH_ANSWER_LEN];
    let raw = RawPathAnswer {
        header: RawHeader::of(KIND_PATH_ANSWER),
        run: answer.run,
        number: answer.number,
        sent_at: answer.sent_at.as_micros(),
        received_at: answer.received_at.as_micros(),
        from_ip: answer.from_ip,
        from_port: answer.from_port,
        mark_seen: answer.mark_seen.map_or(MARK_UNKNOWN, u16::from),
        bytes_seen: answer.bytes_seen,
        came: answer.came,
        came_bytes: answer.came_bytes,
        index: answer.index,
    };
    seal(&raw, &mut out);
    out
}

/// Reads the answer to a path probe by its head; what follows it is fill.
///
/// Errors: the first [`WireError`] found, looked for in the enum's order, then in wire order.
pub fn decode_path_answer(bytes: &[u8]) -> Result<PathAnswer, WireError> {
    let head = bytes.get(..PATH_ANSWER_LEN).ok_or(WireError::Length)?;
    let raw = read::<RawPathAnswer>(open(head, PATH_ANSWER_LEN, KIND_PATH_ANSWER)?)?;
    let mark_seen = match raw.mark_seen {
        MARK_UNKNOWN => None,
        mark => Some(u8::try_from(mark).map_err(|_| WireError::OutOfRange)?),
    };
    Ok(PathAnswer {
        run: raw.run,
        number: raw.number,
        sent_at: Instant::from_micros(raw.sent_at),
        received_at: Instant::from_micros(raw.received_at),
        from_ip: raw.from_ip,
        from_port: raw.from_port,
        mark_seen,
        bytes_seen: raw.bytes_seen,
        came: raw.came,
        came_bytes: raw.came_bytes,
        index: raw.index,
    })
}

/// Writes a path probe's or answer's head with zeros behind it: `len` bytes in all, or the head's
/// own where that is more. `None`: `out` has no room for it.
pub fn with_fill<'a>(head: &[u8], len: usize, out: &'a mut [u8]) -> Option<&'a [u8]> {
    let out = out.get_mut(..len.max(head.len()))?;
    let (front, fill) = out.split_at_mut_checked(head.len())?;
    front.copy_from_slice(head);
    fill.fill(0);
    Some(out)
}

/// Writes a frame's body to the front of `out` and says how long it is, in bytes. Total.
///
/// The length that goes before it on the stream is `longhand-quic`'s: two bytes, little endian.
pub fn encode_frame(frame: &Frame, out: &mut [u8; FRAME_MAX]) -> usize {
    out.fill(0);
    match *frame {
        Frame::Hello { version, robot, half, resume } => {
            let header = RawHeader { version, ..RawHeader::of(KIND_HELLO) };
            seal(&RawHello { header, robot: robot.get(), half, resume }, out)
        }
        Frame::Welcome { key, terms, resume } => {
            seal(&RawWelcome::from_parts(key, terms, resume), out)
        }
        Frame::Witness(witness) => seal(&RawWitness::from(witness), out),
        Frame::Refused(refusal) => seal(&RawRefused::from(refusal), out),
        Frame::StateCommand(word) => seal(&RawWord::of(KIND_STATE_COMMAND, word), out),
        Frame::StateAccepted(word) => seal(&RawWord::of(KIND_STATE_ACCEPTED, word), out),
        Frame::ProbeBegin { run } => {
            seal(&RawProbeBegin { header: RawHeader::of(KIND_PROBE_BEGIN), run }, out)
        }
        Frame::ProbeReady { run, twin_port } => {
            seal(&RawProbeReady { header: RawHeader::of(KIND_PROBE_READY), run, twin_port }, out)
        }
    }
}

/// Reads a frame's body, without the stream's own length before it.
///
/// `Hello` and `Refused` are read whatever version they say, and their layout may never change: a
/// peer of another version must be able to ask, and to be told why not.
///
/// Errors: the first [`WireError`] found.
pub fn decode_frame(bytes: &[u8]) -> Result<Frame, WireError> {
    let kind = frame_kind(bytes)?;
    match kind {
        KIND_HELLO => {
            let raw = read::<RawHello>(unwrap_crc(bytes, HELLO_LEN)?)?;
            let robot = RobotId::new(raw.robot);
            let (half, resume) = (raw.half, raw.resume);
            Ok(Frame::Hello { version: raw.header.version, robot, half, resume })
        }
        KIND_WELCOME => read::<RawWelcome>(unwrap_crc(bytes, WELCOME_LEN)?)?.parse(),
        KIND_WITNESS => read::<RawWitness>(unwrap_crc(bytes, WITNESS_LEN)?)?.parse(),
        KIND_REFUSED => read::<RawRefused>(unwrap_crc(bytes, REFUSED_LEN)?)?.parse(),
        KIND_STATE_COMMAND => {
            let raw = read::<RawWord>(unwrap_crc(bytes, STATE_COMMAND_LEN)?)?;
            Ok(Frame::StateCommand(raw.parse()?))
        }
        KIND_STATE_ACCEPTED => {
            let raw = read::<RawWord>(unwrap_crc(bytes, STATE_COMMAND_LEN)?)?;
            Ok(Frame::StateAccepted(raw.parse()?))
        }
        KIND_PROBE_BEGIN => {
            let raw = read::<RawProbeBegin>(unwrap_crc(bytes, PROBE_BEGIN_LEN)?)?;
            Ok(Frame::ProbeBegin { run: raw.run })
        }
        KIND_PROBE_READY => {
            let raw = read::<RawProbeReady>(unwrap_crc(bytes, PROBE_READY_LEN)?)?;
            Ok(Frame::ProbeReady { run: raw.run, twin_port: raw.twin_port })
        }
        _ => Err(WireError::Kind),
    }
}

/// The checksum that a message ends in; zero where there is no room for one. Tells two datagrams
/// of one number apart without keeping them.
pub fn stored_crc(bytes: &[u8]) -> u64 {
    bytes.last_chunk::<CRC_LEN>().map_or(0, |crc| u64::from_le_bytes(*crc))
}

// ---- the envelope: length, magic, version, kind, checksum ----

/// Fixed-width little endian with a limit, so that no length in the input can ask for memory.
fn config() -> impl Config {
    legacy().with_limit::<STATE_LEN>()
}

/// Everything before the checksum, once length, magic, version, kind and checksum are right.
fn open(bytes: &[u8], len: usize, kind: u8) -> Result<&[u8], WireError> {
    if bytes.len() != len {
        return Err(WireError::Length);
    }
    let (version, got) = header(bytes)?;
    if version != PROTOCOL_VERSION {
        return Err(WireError::Version);
    }
    if got != kind {
        return Err(WireError::Kind);
    }
    unwrap_crc(bytes, len)
}

/// The version and the kind, once the magic is right.
fn header(bytes: &[u8]) -> Result<(u8, u8), WireError> {
    let [m0, m1, version, kind, ..] = bytes else {
        return Err(WireError::Length);
    };
    if u16::from_le_bytes([*m0, *m1]) != MAGIC {
        return Err(WireError::Magic);
    }
    Ok((*version, *kind))
}

/// The kind of a frame, once the magic is right, and the version where the version counts.
fn frame_kind(bytes: &[u8]) -> Result<u8, WireError> {
    let (version, kind) = header(bytes)?;
    let any_version = kind == KIND_HELLO || kind == KIND_REFUSED;
    if !any_version && version != PROTOCOL_VERSION {
        return Err(WireError::Version);
    }
    Ok(kind)
}

fn unwrap_crc(bytes: &[u8], len: usize) -> Result<&[u8], WireError> {
    if bytes.len() != len {
        return Err(WireError::Length);
    }
    let (body, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(WireError::Length)?;
    if crc64(body) != u64::from_le_bytes(*crc) {
        return Err(WireError::Corrupt);
    }
    Ok(body)
}

/// bincode takes trailing bytes without a word, so the consumed length is compared here.
fn read<T: Decode<()>>(body: &[u8]) -> Result<T, WireError> {
    let (raw, used) =
        bincode::decode_from_slice::<T, _>(body, config()).map_err(|_| WireError::Length)?;
    if used == body.len() { Ok(raw) } else { Err(WireError::Length) }
}

/// Writes the raw message and its checksum to the front of `out`; says how many bytes that is.
///
/// It cannot run out of room: the lengths are constants, held equal to bincode's by tests. If it
/// did, `out` would keep no checksum and the peer would count `Corrupt`.
fn seal<T: Encode>(raw: &T, out: &mut [u8]) -> usize {
    let Ok(len) = bincode::encode_into_slice(raw, &mut *out, config()) else {
        return 0;
    };
    let Some((body, rest)) = out.split_at_mut_checked(len) else {
        return 0;
    };
    let Some(tail) = rest.first_chunk_mut::<CRC_LEN>() else {
        return 0;
    };
    *tail = crc64(body).to_le_bytes();
    len.saturating_add(CRC_LEN)
}

// ---- the raw mirrors: one field of WIRE.md each, in order, and nothing else ----

#[derive(Clone, Copy, Encode, Decode)]
struct RawHeader {
    magic: u16,
    version: u8,
    kind: u8,
}

/// Numbers in a row. Kept as bytes, because bincode takes an array of bytes in one piece and any
/// other element by element, each with a check of its own: that was half the cost of reading.
#[derive(Encode, Decode)]
struct Floats<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Floats<BYTES> {
    fn of<const N: usize>(values: [f32; N]) -> Self {
        const { assert!(BYTES == 4 * N) };
        let mut bytes = [0; BYTES];
        let (places, _) = bytes.as_chunks_mut::<4>();
        places.iter_mut().zip(values).for_each(|(place, value)| *place = value.to_le_bytes());
        Self(bytes)
    }

    fn get<const N: usize>(&self) -> [f32; N] {
        const { assert!(BYTES == 4 * N) };
        let mut values = [0.0; N];
        let (places, _) = self.0.as_chunks::<4>();
        values.iter_mut().zip(places).for_each(|(value, at)| *value = f32::from_le_bytes(*at));
        values
    }
}

#[derive(Encode, Decode)]
struct RawPose {
    position: Floats<12>,
    wxyz: Floats<16>,
}

#[derive(Encode, Decode)]
struct RawArmCommand {
    servo_cp: RawPose,
    linear: Floats<12>,
    angular: Floats<12>,
    jaw: f32,
}

#[derive(Encode, Decode)]
struct RawCommand {
    header: RawHeader,
    robot: u64,
    session: [u8; 16],
    epoch: u64,
    number: u64,
    hand_time: u64,
    echo_robot_time: u64,
    echo_state: u64,
    valid_for: u32,
    levels: u32,
    psm1: RawArmCommand,
    psm2: RawArmCommand,
    profile: u64,
}

#[derive(Encode, Decode)]
struct RawArmState {
    measured_js: Floats<24>,
    measured_jaw: f32,
    measured_cp: RawPose,
    setpoint_cp: RawPose,
    setpoint_jaw: f32,
}

#[derive(Encode, Decode)]
struct RawEcho {
    number: u64,
    hand_time: u64,
    received_at: u64,
    applied_at: u64,
    checksum: u64,
}

#[derive(Encode, Decode)]
struct RawCounters {
    accepted: u64,
    rejected: u64,
    lost: u64,
    safe_stops: u32,
    late_ticks: u32,
    missed_ticks: u32,
}

#[derive(Encode, Decode)]
struct RawState {
    header: RawHeader,
    robot: u64,
    session: [u8; 16],
    epoch: u64,
    number: u64,
    robot_time: u64,
    stage: u8,
    reason: u8,
    flags: u16,
    age: u32,
    loop_age: u32,
    playout_delay: u32,
    echo: RawEcho,
    psm1: RawArmState,
    psm2: RawArmState,
    counters: RawCounters,
    profile: u64,
}

#[derive(Encode, Decode)]
struct RawSaid {
    run: u64,
    number: u64,
    intended_at: u64,
    sent_at: u64,
}

#[derive(Encode, Decode)]
struct RawProbe {
    header: RawHeader,
    said: RawSaid,
    fill: [u8; PROBE_FILL],
}

#[derive(Encode, Decode)]
struct RawProbeAnswer {
    header: RawHeader,
    said: RawSaid,
    received_at: u64,
    answered_at: u64,
    wall_offset: u64,
    received: u64,
    duplicates: u32,
    stalled: u32,
    newest: u64,
    reordered: u32,
    seen: [u64; SEEN_WORDS],
    page_from: u64,
    page: [u64; PAGE_WORDS],
}

#[derive(Encode, Decode)]
struct RawPathProbe {
    header: RawHeader,
    run: u64,
    number: u64,
    sent_at: u64,
    answer_bytes: u16,
    answers: u8,
    answer_mark: u8,
    after_ms: u32,
}

#[derive(Encode, Decode)]
struct RawPathAnswer {
    header: RawHeader,
    run: u64,
    number: u64,
    sent_at: u64,
    received_at: u64,
    from_ip: [u8; 16],
    from_port: u16,
    mark_seen: u16,
    bytes_seen: u16,
    came: u64,
    came_bytes: u64,
    index: u8,
}

#[derive(Encode, Decode)]
struct RawProbeBegin {
    header: RawHeader,
    run: u64,
}

#[derive(Encode, Decode)]
struct RawProbeReady {
    header: RawHeader,
    run: u64,
    twin_port: u16,
}

impl From<&Probe> for RawSaid {
    fn from(probe: &Probe) -> Self {
        Self {
            run: probe.run,
            number: probe.number,
            intended_at: probe.intended_at.as_micros(),
            sent_at: probe.sent_at.as_micros(),
        }
    }
}

impl RawSaid {
    const fn parse(&self) -> Probe {
        Probe {
            run: self.run,
            number: self.number,
            intended_at: Instant::from_micros(self.intended_at),
            sent_at: Instant::from_micros(self.sent_at),
        }
    }
}

#[derive(Encode, Decode)]
struct RawHello {
    header: RawHeader,
    robot: u64,
    half: u64,
    resume: u64,
}

#[derive(Encode, Decode)]
struct RawWelcome {
    header: RawHeader,
    robot: u64,
    session: [u8; 16],
    epoch: u64,
    profile: u64,
    tip_speed_max: f64,
    tip_rate_max: f64,
    blend_max: [f64; 2],
    anchor_max: [f64; 2],
    loop_age_max: u64,
    loop_age_warn: u64,
    latch_after: u64,
    resume: u64,
}

#[derive(Encode, Decode)]
struct RawWitness {
    header: RawHeader,
    alarm: u8,
    case_id: [u8; 16],
    part: u64,
    records: u64,
    chain: [u8; 32],
}

#[derive(Encode, Decode)]
struct RawRefused {
    header: RawHeader,
    why: u8,
    expected: u64,
    got: u64,
}

#[derive(Encode, Decode)]
struct RawWord {
    header: RawHeader,
    word: u8,
}

// ---- typed to raw: total ----

impl RawHeader {
    const fn of(kind: u8) -> Self {
        Self { magic: MAGIC, version: PROTOCOL_VERSION, kind }
    }
}

impl From<&Pose<RobotBase, Tip>> for RawPose {
    fn from(pose: &Pose<RobotBase, Tip>) -> Self {
        let q = pose.rotation();
        Self {
            position: narrow3(pose.position()),
            wxyz: Floats::of([q.w, q.i, q.j, q.k].map(narrow)),
        }
    }
}

impl From<&ArmCommand> for RawArmCommand {
    fn from(arm: &ArmCommand) -> Self {
        Self {
            servo_cp: (&arm.servo_cp).into(),
            linear: narrow3(arm.servo_cv.linear),
            angular: narrow3(arm.servo_cv.angular),
            jaw: narrow(arm.jaw),
        }
    }
}

impl From<&Command> for RawCommand {
    fn from(command: &Command) -> Self {
        let (key, intent) = (&command.key, &command.intent);
        let levels = &intent.levels;
        Self {
            header: RawHeader::of(KIND_COMMAND),
            robot: key.robot.get(),
            session: key.session.bytes(),
            epoch: key.epoch.get(),
            number: command.number.get(),
            hand_time: intent.hand_time.as_micros(),
            echo_robot_time: intent.echo_robot_time.as_micros(),
            echo_state: intent.echo_state.get(),
            valid_for: short(intent.valid_for),
            levels: pack([
                levels.operator_present,
                levels.clutch,
                levels.engaged,
                levels.energy.psm1,
                levels.energy.psm2,
            ])
            .into(),
            psm1: (&intent.arms.psm1).into(),
            psm2: (&intent.arms.psm2).into(),
            profile: key.profile.get(),
        }
    }
}

impl From<&ArmState> for RawArmState {
    fn from(arm: &ArmState) -> Self {
        Self {
            measured_js: Floats::of(arm.measured_js.0.map(narrow)),
            measured_jaw: narrow(arm.measured_jaw),
            measured_cp: (&arm.measured_cp).into(),
            setpoint_cp: (&arm.setpoint_cp).into(),
            setpoint_jaw: narrow(arm.setpoint_jaw),
        }
    }
}

impl From<&StateReport> for RawState {
    fn from(report: &StateReport) -> Self {
        let (key, state) = (&report.key, &report.state);
        let (one, two) = (&state.arms.psm1, &state.arms.psm2);
        Self {
            header: RawHeader::of(KIND_STATE),
            robot: key.robot.get(),
            session: key.session.bytes(),
            epoch: key.epoch.get(),
            number: report.number.get(),
            robot_time: state.robot_time.as_micros(),
            stage: code(&Stage::ALL, state.stage),
            reason: code(&Reason::ALL, state.reason),
            flags: pack([state.is_homed, one.energy, two.energy, one.limited, two.limited]),
            age: short(state.age),
            loop_age: short(state.loop_age),
            playout_delay: short(state.playout_delay),
            echo: RawEcho {
                number: state.echo.number.get(),
                hand_time: state.echo.hand_time.as_micros(),
                received_at: state.echo.received_at.as_micros(),
                applied_at: state.echo.applied_at.as_micros(),
                checksum: state.echo.checksum,
            },
            psm1: one.into(),
            psm2: two.into(),
            counters: RawCounters {
                accepted: state.counters.accepted,
                rejected: state.counters.rejected,
                lost: state.counters.lost,
                safe_stops: state.counters.safe_stops,
                late_ticks: state.counters.late_ticks,
                missed_ticks: state.counters.missed_ticks,
            },
            profile: key.profile.get(),
        }
    }
}

impl RawWelcome {
    fn from_parts(key: SessionKey, terms: Terms, resume: u64) -> Self {
        Self {
            header: RawHeader::of(KIND_WELCOME),
            robot: key.robot.get(),
            session: key.session.bytes(),
            epoch: key.epoch.get(),
            profile: key.profile.get(),
            tip_speed_max: terms.tip_speed_max,
            tip_rate_max: terms.tip_rate_max,
            blend_max: [terms.blend_max.distance_m, terms.blend_max.angle_rad],
            anchor_max: [terms.anchor_max.distance_m, terms.anchor_max.angle_rad],
            loop_age_max: terms.loop_age_max.as_micros(),
            loop_age_warn: terms.loop_age_warn.as_micros(),
            latch_after: terms.latch_after.as_micros(),
            resume,
        }
    }
}

impl From<Witness> for RawWitness {
    fn from(witness: Witness) -> Self {
        let Witness { alarm, case_id, part, records, chain } = witness;
        let header = RawHeader::of(KIND_WITNESS);
        Self { header, alarm: code(&RecordAlarm::ALL, alarm), case_id, part, records, chain }
    }
}

impl From<Refusal> for RawRefused {
    fn from(refusal: Refusal) -> Self {
        Self {
            header: RawHeader::of(KIND_REFUSED),
            why: code(&RefusalKind::ALL, refusal.why),
            expected: refusal.expected,
            got: refusal.got,
        }
    }
}

impl RawWord {
    fn of(kind: u8, word: StateCommand) -> Self {
        Self { header: RawHeader::of(kind), word: code(&StateCommand::ALL, word) }
    }
}

/// Lengths and angles lose their digits beyond `f32` here, and nowhere else. Beyond `f32`'s range
/// it becomes infinite, which the reader refuses.
#[expect(clippy::as_conversions, reason = "no other f64 to f32; rounds to nearest, never traps")]
const fn narrow(x: f64) -> f32 {
    x as f32
}

fn narrow3(v: Vector3<f64>) -> Floats<12> {
    Floats::of([v.x, v.y, v.z].map(narrow))
}

/// A span as `u32` microseconds, saturating at 71.6 minutes.
fn short(span: Micros) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// Bit `i` for flag `i`.
fn pack(flags: [bool; 5]) -> u16 {
    flags.iter().rev().fold(0, |bits, flag| (bits << 1) | u16::from(*flag))
}

/// The place of a word in its list. The lists hold every word (a test says so); a word that were
/// missing would be sent as 255, which the reader refuses.
fn code<T: PartialEq>(all: &[T], word: T) -> u8 {
    let place = all.iter().position(|w| *w == word);
    place.and_then(|i| u8::try_from(i).ok()).unwrap_or(u8::MAX)
}

// ---- raw to typed: parse, don't validate ----

impl RawPose {
    fn parse(&self) -> Result<Pose<RobotBase, Tip>, WireError> {
        let position = bounded3(&self.position, POSITION_MAX)?;
        let wxyz: [f32; 4] = self.wxyz.get();
        if !wxyz.iter().all(|x| x.is_finite()) {
            return Err(WireError::NotFinite);
        }
        let [w, x, y, z] = wxyz.map(f64::from);
        let norm = libm::sqrt(w * w + x * x + y * y + z * z);
        // Finite, because four finite f32 squared do not overflow an f64.
        if libm::fabs(norm - 1.0) > NORM_SLACK {
            return Err(WireError::NotUnit);
        }
        let unit = Quaternion::new(w / norm, x / norm, y / norm, z / norm);
        Ok(Pose::new(position, UnitQuaternion::new_unchecked(unit)))
    }
}

impl RawArmCommand {
    fn parse(&self) -> Result<ArmCommand, WireError> {
        Ok(ArmCommand {
            servo_cp: self.servo_cp.parse()?,
            servo_cv: Twist {
                linear: bounded3(&self.linear, LINEAR_MAX)?,
                angular: bounded3(&self.angular, ANGULAR_MAX)?,
            },
            jaw: bounded(self.jaw, JAW_MAX)?,
        })
    }
}

impl RawCommand {
    fn parse(&self) -> Result<Command, WireError> {
        let bits = u16::try_from(self.levels).map_err(|_| WireError::UnknownLevel)?;
        let [operator_present, clutch, engaged, energy1, energy2] = unpack(bits)?;
        Ok(Command {
            key: self.key(),
            number: Seq::new(self.number),
            intent: Intent {
                hand_time: Instant::from_micros(self.hand_time),
                echo_robot_time: Instant::from_micros(self.echo_robot_time),
                echo_state: Seq::new(self.echo_state),
                // Not `long`: for a validity the shorter reading is the careful one.
                valid_for: Micros::from_micros(self.valid_for.into()),
                levels: Levels {
                    operator_present,
                    clutch,
                    engaged,
                    energy: PerArm { psm1: energy1, psm2: energy2 },
                },
                arms: PerArm { psm1: self.psm1.parse()?, psm2: self.psm2.parse()? },
            },
        })
    }

    fn key(&self) -> SessionKey {
        SessionKey {
            robot: RobotId::new(self.robot),
            session: SessionId::from_bytes(self.session),
            epoch: Epoch::new(self.epoch),
            profile: ProfileHash::new(self.profile),
        }
    }
}

impl RawArmState {
    fn parse(&self, energy: bool, limited: bool) -> Result<ArmState, WireError> {
        let [a, b, c, d, e, f] = self.measured_js.get();
        let joint = |q| bounded(q, JOINT_MAX);
        Ok(ArmState {
            measured_js: JointPositions([
                joint(a)?,
                joint(b)?,
                joint(c)?,
                joint(d)?,
                joint(e)?,
                joint(f)?,
            ]),
            measured_jaw: bounded(self.measured_jaw, JAW_MAX)?,
            measured_cp: self.measured_cp.parse()?,
            setpoint_cp: self.setpoint_cp.parse()?,
            setpoint_jaw: bounded(self.setpoint_jaw, JAW_MAX)?,
            energy,
            limited,
        })
    }
}

impl RawState {
    fn parse(&self) -> Result<StateReport, WireError> {
        let stage = word(&Stage::ALL, self.stage)?;
        let reason = word(&Reason::ALL, self.reason)?;
        let [is_homed, energy1, energy2, limited1, limited2] = unpack(self.flags)?;
        Ok(StateReport {
            key: self.key(),
            number: Seq::new(self.number),
            state: FollowerState {
                robot_time: Instant::from_micros(self.robot_time),
                stage,
                reason,
                is_homed,
                age: long(self.age),
                loop_age: long(self.loop_age),
                playout_delay: long(self.playout_delay),
                echo: self.echo.parse(),
                arms: PerArm {
                    psm1: self.psm1.parse(energy1, limited1)?,
                    psm2: self.psm2.parse(energy2, limited2)?,
                },
                counters: self.counters.parse(),
            },
        })
    }

    fn key(&self) -> SessionKey {
        SessionKey {
            robot: RobotId::new(self.robot),
            session: SessionId::from_bytes(self.session),
            epoch: Epoch::new(self.epoch),
            profile: ProfileHash::new(self.profile),
        }
    }
}

impl RawEcho {
    fn parse(&self) -> Echo {
        Echo {
            number: Seq::new(self.number),
            hand_time: Instant::from_micros(self.hand_time),
            received_at: Instant::from_micros(self.received_at),
            applied_at: Instant::from_micros(self.applied_at),
            checksum: self.checksum,
        }
    }
}

impl RawCounters {
    fn parse(&self) -> Counters {
        Counters {
            accepted: self.accepted,
            rejected: self.rejected,
            lost: self.lost,
            safe_stops: self.safe_stops,
            late_ticks: self.late_ticks,
            missed_ticks: self.missed_ticks,
        }
    }
}

impl RawWelcome {
    fn parse(&self) -> Result<Frame, WireError> {
        let key = SessionKey {
            robot: RobotId::new(self.robot),
            session: SessionId::from_bytes(self.session),
            epoch: Epoch::new(self.epoch),
            profile: ProfileHash::new(self.profile),
        };
        let terms = Terms {
            tip_speed_max: term(self.tip_speed_max, LINEAR_MAX)?,
            tip_rate_max: term(self.tip_rate_max, ANGULAR_MAX)?,
            blend_max: mismatch(self.blend_max)?,
            anchor_max: mismatch(self.anchor_max)?,
            loop_age_max: Micros::from_micros(self.loop_age_max),
            loop_age_warn: Micros::from_micros(self.loop_age_warn),
            latch_after: Micros::from_micros(self.latch_after),
        };
        Ok(Frame::Welcome { key, terms, resume: self.resume })
    }
}

impl RawWitness {
    fn parse(&self) -> Result<Frame, WireError> {
        let alarm = word(&RecordAlarm::ALL, self.alarm)?;
        let Self { case_id, part, records, chain, .. } = *self;
        Ok(Frame::Witness(Witness { alarm, case_id, part, records, chain }))
    }
}

impl RawRefused {
    fn parse(&self) -> Result<Frame, WireError> {
        let why = word(&RefusalKind::ALL, self.why)?;
        Ok(Frame::Refused(Refusal { why, expected: self.expected, got: self.got }))
    }
}

impl RawWord {
    fn parse(&self) -> Result<StateCommand, WireError> {
        word(&StateCommand::ALL, self.word)
    }
}

/// `x`, once it is finite and within `max` of zero, the bound included. Compared as `f32`, so that
/// a sender's own `f64` pi, rounded on the way, still counts as pi.
fn bounded(x: f32, max: f32) -> Result<f64, WireError> {
    if !x.is_finite() {
        return Err(WireError::NotFinite);
    }
    if x.abs() > max { Err(WireError::OutOfRange) } else { Ok(f64::from(x)) }
}

fn bounded3(floats: &Floats<12>, max: f32) -> Result<Vector3<f64>, WireError> {
    let [x, y, z] = floats.get();
    Ok(Vector3::new(bounded(x, max)?, bounded(y, max)?, bounded(z, max)?))
}

/// A limit from the welcome: finite, not negative, not above what may be said at all.
fn term(x: f64, max: f32) -> Result<f64, WireError> {
    if !x.is_finite() {
        return Err(WireError::NotFinite);
    }
    if x < 0.0 || x > f64::from(max) { Err(WireError::OutOfRange) } else { Ok(x) }
}

fn mismatch([distance_m, angle_rad]: [f64; 2]) -> Result<Mismatch, WireError> {
    Ok(Mismatch {
        distance_m: term(distance_m, POSITION_MAX)?,
        angle_rad: term(angle_rad, core::f32::consts::PI)?,
    })
}

/// An age from `u32` microseconds; the largest means "that or longer, or never", so the reader
/// takes the longest: for an age the longer reading is the careful one.
fn long(us: u32) -> Micros {
    if us == u32::MAX { Micros::MAX } else { Micros::from_micros(us.into()) }
}

/// The flags of bits 0 to 4; a bit beyond them is refused, because its meaning is not known here.
fn unpack(bits: u16) -> Result<[bool; 5], WireError> {
    if bits >> 5 != 0 {
        return Err(WireError::UnknownLevel);
    }
    Ok([0, 1, 2, 3, 4].map(|i| (bits >> i) & 1 == 1))
}

fn word<T: Copy>(all: &[T], code: u8) -> Result<T, WireError> {
    all.get(usize::from(code)).copied().ok_or(WireError::BadWord)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::OperatingState;

    #[test]
    fn constant_lengths_are_what_bincode_writes() {
        let command = bincode::encode_into_slice(
            RawCommand::from(&Command::default()),
            &mut [0; 512],
            config(),
        );
        assert_eq!(command.unwrap() + CRC_LEN, COMMAND_LEN);
        let state = bincode::encode_into_slice(
            RawState::from(&StateReport::default()),
            &mut [0; 512],
            config(),
        );
        assert_eq!(state.unwrap() + CRC_LEN, STATE_LEN);
    }

    #[test]
    fn trailing_bytes_are_refused_although_bincode_takes_them() {
        let mut long = [0; COMMAND_LEN + 1];
        long[..COMMAND_LEN].copy_from_slice(&encode_command(&Command::default()));
        assert_eq!(decode_command(&long), Err(WireError::Length));
        assert_eq!(read::<RawWord>(&[0; 6]).map(|_| ()), Err(WireError::Length));
    }

    #[test]
    fn every_word_has_a_number_and_comes_back() {
        for w in Stage::ALL {
            assert_eq!(word(&Stage::ALL, code(&Stage::ALL, w)), Ok(w));
        }
        for w in Reason::ALL {
            assert_eq!(word(&Reason::ALL, code(&Reason::ALL, w)), Ok(w));
        }
        for w in RefusalKind::ALL {
            assert_eq!(word(&RefusalKind::ALL, code(&RefusalKind::ALL, w)), Ok(w));
        }
        for w in RecordAlarm::ALL {
            assert_eq!(word(&RecordAlarm::ALL, code(&RecordAlarm::ALL, w)), Ok(w));
        }
        for w in StateCommand::ALL {
            assert_eq!(word(&StateCommand::ALL, code(&StateCommand::ALL, w)), Ok(w));
        }
        for (place, state) in (0_u64..).zip(OperatingState::ALL) {
            assert_eq!(state.number(), place);
        }
        assert_eq!(word(&Stage::ALL, 8), Err(WireError::BadWord));
        // The last variant of each enum closes its list: a new one behind it must be added there.
        assert_eq!(Stage::ALL.last(), Some(&Stage::Disabled));
        assert_eq!(Reason::ALL.last(), Some(&Reason::EmergencyStop));
        assert_eq!(RecordAlarm::ALL.last(), Some(&RecordAlarm::Failed));
        assert_eq!(RefusalKind::ALL.last(), Some(&RefusalKind::NotDurable));
    }

    #[test]
    fn flags_keep_their_bits() {
        for bits in 0..32 {
            assert_eq!(pack(unpack(bits).unwrap()), bits);
        }
        assert_eq!(unpack(32), Err(WireError::UnknownLevel));
        assert_eq!(unpack(0x8000), Err(WireError::UnknownLevel));
    }
}
