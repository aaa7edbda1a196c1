//! What the recorder's thread writes into a console's record.
//!
//! Knows: the order of a tick's messages, and the alarms that the clerk saw change. Does not know:
//! blocks, disks (`longhand_record::recorder`), or the leader thread.

use super::schema::{
    AlarmChange, AlarmState, Topic, alarm_to_cdr, command_to_cdr, transition_to_cdr,
};
use super::tap::COMMAND_WORDS;
use super::tick::{Known, TICK_WORDS, when};
use super::{Health, Recorder};
use crate::alarms::AlarmKind;
use crate::page::AlarmPriority;
use longhand_protocol::message::RobotId;
use longhand_protocol::units::{Console, Instant};
use longhand_quic::mailbox::{Reader, Writer};
use longhand_quic::trust::{Signer, sha256};
use longhand_record::file::WriteError;
use longhand_record::recorder::{NewDisk, Page, Subject};
use longhand_record::ring::{RingReader, place};
use longhand_record::schema::longs_to_cdr;
use longhand_record::seal::Seal;
use std::sync::Arc;

/// A change of an alarm, as it lies in its mailbox.
const ALARM_WORDS: usize = 6;
/// The clerk's end. Full, the oldest is dropped, and the next one says how many were. Chosen: every
/// kind of alarm twenty times between two looks of the recorder.
pub type AlarmWriter = Writer<ALARM_WORDS, 256>;
/// The recorder's end.
pub type AlarmReader = Reader<ALARM_WORDS, 256>;

impl AlarmChange {
    /// As words.
    pub fn words(&self) -> [u64; ALARM_WORDS] {
        [
            self.at.as_micros(),
            self.id.into(),
            place(&AlarmKind::ALL, &self.kind).into(),
            place(&AlarmPriority::ALL, &self.priority).into(),
            place(&AlarmState::ALL, &self.state).into(),
            self.acknowledged.into(),
        ]
    }

    /// Out of words; `None` where one stands for nothing.
    pub fn of(words: &[u64; ALARM_WORDS]) -> Option<Self> {
        let [at, id, kind, priority, state, acknowledged] = *words;
        let place = |word: u64| usize::try_from(word).ok();
        Some(Self {
            at: Instant::from_micros(at),
            id: u32::try_from(id).ok()?,
            kind: *AlarmKind::ALL.get(place(kind)?)?,
            priority: *AlarmPriority::ALL.get(place(priority)?)?,
            state: *AlarmState::ALL.get(place(state)?)?,
            acknowledged: acknowledged == 1,
        })
    }
}

/// Who is recorded, how it is set, signed by whom.
pub struct Recorded {
    /// The number of the robot that is asked for.
    pub robot: RobotId,
    /// How the console is set, TOML.
    pub settings: String,
    /// The key of the console's identity.
    pub signer: Signer,
}

/// Opens the first file of a console's record.
///
/// Errors: it cannot be written; nothing is recorded then.
pub fn recorder(
    now: Instant<Console>,
    tapped: RingReader,
    health: &Arc<Health>,
    recorded: Recorded,
    new_disk: NewDisk,
    alarms: AlarmReader,
) -> Result<Recorder, WriteError> {
    let Recorded { robot, settings, signer } = recorded;
    let hash = sha256(settings.as_bytes());
    let subject = Subject {
        robot,
        // Sixteen digits always fit.
        settings_hash: u64::from_str_radix(hash.get(..16).unwrap_or_default(), 16).unwrap_or(0),
        settings,
        program: concat!("longhand-console ", env!("CARGO_PKG_VERSION")),
        signer,
    };
    let scribe = Scribe { alarms, unwritten: 0, known: None };
    Recorder::new(now, tapped, health, subject, scribe, new_disk)
}

/// Writes a console's ticks.
pub struct Scribe {
    alarms: AlarmReader,
    /// Changes of alarms that are in no record.
    unwritten: u64,
    known: Option<Known>,
}

impl longhand_record::recorder::Scribe for Scribe {
    type Kind = Topic;

    /// The command that the tick sent, the tick, and what is otherwise than before.
    fn tick(&mut self, message: &[u64], page: &mut Page<'_, Topic>) -> Result<(), WriteError> {
        let Some((words, sent)) = message.split_first_chunk::<TICK_WORDS>() else {
            return Ok(());
        };
        let (tick, at) = when(words);
        let (sent, _) = sent.as_chunks::<COMMAND_WORDS>();
        for command in sent {
            page.put(Topic::Command, at, command_to_cdr(tick, command))?;
        }
        page.put(Topic::Tick, at, longs_to_cdr(words))?;
        let Some(known) = Known::of(words) else { return Ok(()) };
        // What the surgeon is told changes more often than what is the case.
        let what = |known: Known| (known.engagement, known.robot);
        if page.is_first() || self.known.map(what) != Some(what(known)) {
            page.put(Topic::Transition, at, transition_to_cdr(tick, at, self.known, known))?;
        }
        self.known = Some(known);
        Ok(())
    }

    fn look(&mut self, page: &mut Page<'_, Topic>) -> Result<(), WriteError> {
        let mut changes = Vec::new();
        let drained = self.alarms.drain(u64::MAX, |words| changes.extend(AlarmChange::of(words)));
        self.unwritten = self.unwritten.saturating_add(drained.lost());
        for change in changes {
            page.put(Topic::Alarm, change.at, alarm_to_cdr(&change, self.unwritten))?;
        }
        Ok(())
    }

    /// Nobody keeps a console's seals for it.
    fn witness(&mut self, _part: u64, _seal: &Seal) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_an_alarm_survives_its_words() {
        for (kind, priority) in
            AlarmKind::ALL.into_iter().zip(AlarmPriority::ALL.into_iter().cycle())
        {
            for state in AlarmState::ALL {
                let at = Instant::from_micros(5);
                let acknowledged = state == AlarmState::Over;
                let change = AlarmChange { at, id: 7, kind, priority, state, acknowledged };
                assert_eq!(AlarmChange::of(&change.words()), Some(change));
            }
        }
        assert_eq!(AlarmChange::of(&[0, 0, 99, 0, 0, 0]), None);
    }
}
