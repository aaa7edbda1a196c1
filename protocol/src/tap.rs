//! The tap: what a robot agent shows whoever stands beside it, as words in shared memory.
//!
//! Knows: the layout of the memory, of one record in it, and whether a record is whole. Does not
//! know: how memory is shared (`robot-agent/src/tap`), or what becomes of a record outside.
//!
//! The memory is a ring: [`HEADER_WORDS`] words, then [`SLOTS`] slots of [`SLOT_WORDS`] words, each
//! little endian. One writes, anybody reads, and nothing that a reader does reaches the writer. A
//! reader takes the count of what was written, copies the slots that it has not seen, and believes
//! a slot only where the number in it is the one expected and the checksum over all of it is right:
//! a slot that was overwritten while it was copied fails both, on every machine and however it was
//! read. `robot-agent/gateway/OUTSIDE.md` says the same, word by word.

use crate::checksum::crc64;
use crate::message::{RecordAlarm, RobotId, StateReport};
use crate::units::{Instant, Micros, Robot};
use crate::wire;

/// The first word, "LHTAP" in ASCII.
pub const MAGIC: u64 = u64::from_le_bytes(*b"LHTAP\0\0\0");
/// The layout that this page describes; a reader of another one goes away.
pub const LAYOUT: u64 = 1;
/// Words before the first slot: two cache lines.
pub const HEADER_WORDS: usize = 16;
/// Where the count of written records stands, alone on its cache line.
pub const WRITTEN_AT: usize = 8;
/// Records kept. Chosen: two seconds at 1 kHz, so a reader may be stopped for as long.
pub const SLOTS: u64 = 2_048;
/// The size of a record.
pub const SLOT_WORDS: usize = 4 + LINK_WORDS + STATE_WORDS + 1;
/// The size of what is known of the link.
pub const LINK_WORDS: usize = 10 + HOLDER_WORDS;

const STATE_WORDS: usize = wire::STATE_LEN / 8;
const HOLDER_WORDS: usize = 6;
/// The longest name of a holder, bytes: a certificate's longest.
pub const HOLDER_MAX: usize = HOLDER_WORDS * 8;

// OUTSIDE.md says these numbers.
const _: () = assert!(STATE_WORDS * 8 == wire::STATE_LEN && SLOT_WORDS == 63);

/// The words before the slots, but for the count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Which robot.
    pub robot: RobotId,
    /// Drawn anew at each start of the agent: another number is another ring.
    pub run: u64,
}

impl Header {
    /// The words, the count zero.
    pub fn words(&self) -> [u64; HEADER_WORDS] {
        let slot_words = u64::try_from(SLOT_WORDS).unwrap_or(0);
        let mut words = [0; HEADER_WORDS];
        let said = [MAGIC, LAYOUT, slot_words, SLOTS, self.robot.get(), self.run];
        words.iter_mut().zip(said).for_each(|(place, word)| *place = word);
        words
    }

    /// Reads them back. `None`: not a tap, or one of another layout.
    pub fn of(words: &[u64; HEADER_WORDS]) -> Option<Self> {
        let [_, _, _, _, robot, run, ..] = *words;
        let header = Self { robot: RobotId::new(robot), run };
        let expected = header.words();
        words.iter().zip(expected).take(6).all(|(got, said)| *got == said).then_some(header)
    }
}

/// How the link to the console is, as the network side saw it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkHealth {
    /// When that was, robot clock; 0 while nobody ever connected.
    pub at: Instant<Robot>,
    /// Somebody holds the robot and is connected.
    pub connected: bool,
    /// Sessions granted since the agent started.
    pub sessions: u64,
    /// Commands of the session that were accepted.
    pub accepted: u64,
    /// Datagrams of the session that were rejected.
    pub rejected: u64,
    /// Command numbers of the session, up to the newest, that have not come.
    pub lost: u64,
    /// QUIC's round trip, smoothed.
    pub rtt: Micros,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets lost on the way to the console.
    pub packets_lost: u64,
    /// Datagrams from the console.
    pub datagrams_received: u64,
    /// Who holds the robot, as the certificate says.
    pub holder: Holder,
}

impl LinkHealth {
    /// As words.
    pub fn words(&self) -> [u64; LINK_WORDS] {
        let mut words = [0; LINK_WORDS];
        let said = [
            self.at.as_micros(),
            u64::from(self.connected),
            self.sessions,
            self.accepted,
            self.rejected,
            self.lost,
            self.rtt.as_micros(),
            self.packets_sent,
            self.packets_lost,
            self.datagrams_received,
        ];
        let said = said.into_iter().chain(self.holder.words());
        words.iter_mut().zip(said).for_each(|(place, word)| *place = word);
        words
    }

    /// Reads them back. `None`: a word stands for nothing.
    pub fn of(words: &[u64; LINK_WORDS]) -> Option<Self> {
        let [at, connected, sessions, accepted, rejected, lost, rtt, sent, gone, came, name @ ..] =
            *words;
        Some(Self {
            at: Instant::from_micros(at),
            connected: flag(connected)?,
            sessions,
            accepted,
            rejected,
            lost,
            rtt: Micros::from_micros(rtt),
            packets_sent: sent,
            packets_lost: gone,
            datagrams_received: came,
            holder: Holder::of(&name)?,
        })
    }
}

/// A holder's name: as many bytes as a certificate's may have. Empty for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder([u64; HOLDER_WORDS]);

impl Holder {
    /// The name, cut where it is longer than any that is issued.
    pub fn new(name: &str) -> Self {
        let mut end = name.len().min(HOLDER_MAX);
        while !name.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let mut bytes = [0; HOLDER_MAX];
        bytes.iter_mut().zip(name.bytes().take(end)).for_each(|(place, byte)| *place = byte);
        let mut words = [0; HOLDER_WORDS];
        words.iter_mut().zip(words_of(&bytes)).for_each(|(place, word)| *place = word);
        Self(words)
    }

    /// The name's bytes, for [`Holder::text`].
    pub fn bytes(&self) -> [u8; HOLDER_MAX] {
        let mut bytes = [0; HOLDER_MAX];
        to_bytes(&self.0, &mut bytes);
        bytes
    }

    /// The name in `bytes` as [`Holder::bytes`] gave them; `None` for nobody.
    pub fn text(bytes: &[u8; HOLDER_MAX]) -> Option<&str> {
        let name = bytes.split(|byte| *byte == 0).next()?;
        core::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }

    const fn words(&self) -> [u64; HOLDER_WORDS] {
        self.0
    }

    fn of(words: &[u64; HOLDER_WORDS]) -> Option<Self> {
        let holder = Self(*words);
        let bytes = holder.bytes();
        let is_text = holder == Self::default() || Self::text(&bytes).is_some();
        is_text.then_some(holder)
    }
}

/// One tick of the robot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Record {
    /// From 1, without a gap.
    pub number: u64,
    /// When the tick ran, wall time, nanoseconds since 1970. For people and for files: it jumps.
    pub wall_ns: u64,
    /// Ticks that are in no record, since the agent started: the tap was not fast enough.
    pub missed: u64,
    /// How the black box does.
    pub record_alarm: RecordAlarm,
    /// The link, as the network side saw it last.
    pub link: LinkHealth,
    /// The state as a console is sent it, but without its session: nobody outside needs that.
    pub state: StateReport,
}

impl Record {
    /// As words, with the checksum. Total, no heap.
    pub fn words(&self) -> [u64; SLOT_WORDS] {
        let alarm = RecordAlarm::ALL.iter().position(|known| *known == self.record_alarm);
        let alarm = alarm.and_then(|place| u64::try_from(place).ok()).unwrap_or(u64::MAX);
        let head = [self.number, self.wall_ns, self.missed, alarm];
        let state = wire::encode_state(&self.state);
        let body = head.into_iter().chain(self.link.words()).chain(words_of(&state));
        let mut words = [0; SLOT_WORDS];
        words.iter_mut().zip(body).for_each(|(place, word)| *place = word);
        let sum = checksum(&words);
        if let Some(last) = words.last_mut() {
            *last = sum;
        }
        words
    }

    /// Reads record `number`. `None`: it is another, torn, or says what stands for nothing.
    pub fn of(words: &[u64; SLOT_WORDS], number: u64) -> Option<Self> {
        let [written, wall_ns, missed, alarm, rest @ ..] = words;
        let (link, rest) = rest.split_first_chunk::<LINK_WORDS>()?;
        let (state, sum) = rest.split_first_chunk::<STATE_WORDS>()?;
        if *written != number || sum.first() != Some(&checksum(words)) {
            return None;
        }
        let mut bytes = [0; wire::STATE_LEN];
        to_bytes(state, &mut bytes);
        Some(Self {
            number,
            wall_ns: *wall_ns,
            missed: *missed,
            record_alarm: RecordAlarm::ALL.get(usize::try_from(*alarm).ok()?).copied()?,
            link: LinkHealth::of(link)?,
            state: wire::decode_state(&bytes).ok()?,
        })
    }
}

/// Over all words but the last.
fn checksum(words: &[u64; SLOT_WORDS]) -> u64 {
    let mut bytes = [0; (SLOT_WORDS - 1) * 8];
    to_bytes(words, &mut bytes);
    crc64(&bytes)
}

/// The words that bytes of the memory are; what is left over at the end is none.
pub fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// As many words as there is room for.
fn to_bytes(words: &[u64], bytes: &mut [u8]) {
    for (chunk, word) in bytes.chunks_mut(8).zip(words) {
        chunk.iter_mut().zip(word.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
}

const fn flag(word: u64) -> Option<bool> {
    match word {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::message::{FollowerState, Stage};
    use std::string::String;

    fn record() -> Record {
        let state = FollowerState { stage: Stage::Coast, ..FollowerState::default() };
        let link = LinkHealth {
            at: Instant::from_micros(5),
            connected: true,
            lost: 7,
            holder: Holder::new("dr-lee"),
            ..LinkHealth::default()
        };
        let state = StateReport { state, ..StateReport::default() };
        let record_alarm = RecordAlarm::Behind;
        Record { number: 9, wall_ns: 1, missed: 2, record_alarm, link, state }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let words = record().words();
        assert_eq!(Record::of(&words, 9), Some(record()));
        assert_eq!(Record::of(&words, 10), None, "another's place");
    }

    #[test]
    fn no_word_of_a_record_may_be_another() {
        let words = record().words();
        for place in 0..SLOT_WORDS {
            for bit in [0, 17, 63] {
                let mut torn = words;
                torn[place] ^= 1 << bit;
                let number = torn[0];
                assert_eq!(Record::of(&torn, number), None, "word {place} bit {bit}");
            }
        }
    }

    #[test]
    fn only_this_layout_is_read() {
        let header = Header { robot: RobotId::new(3), run: 4 };
        assert_eq!(Header::of(&header.words()), Some(header));
        for place in 0..4 {
            let mut other = header.words();
            other[place] += 1;
            assert_eq!(Header::of(&other), None, "word {place}");
        }
        // The count may be anything.
        let mut counted = header.words();
        counted[WRITTEN_AT] = 99;
        assert_eq!(Header::of(&counted), Some(header));
    }

    #[test]
    fn a_name_is_kept_as_far_as_it_may_be_issued() {
        let full: String = "x".repeat(HOLDER_MAX);
        for name in ["dr-lee", "a", "eight888", "nine99999", &full] {
            assert_eq!(Holder::text(&Holder::new(name).bytes()), Some(name));
        }
        assert_eq!(Holder::text(&Holder::default().bytes()), None, "nobody");
        let long = Holder::new(&"x".repeat(HOLDER_MAX + 1));
        assert_eq!(Holder::text(&long.bytes()), Some(&full[..]));
        let cut = Holder::new(&("x".repeat(HOLDER_MAX - 1) + "ü"));
        assert_eq!(Holder::text(&cut.bytes()), Some(&full[1..]), "never half a letter");
        // Not a name at all.
        let mut words = LinkHealth::default().words();
        words[LINK_WORDS - 1] = u64::MAX;
        words[LINK_WORDS - HOLDER_WORDS] = u64::MAX;
        assert_eq!(LinkHealth::of(&words), None);
    }
}
