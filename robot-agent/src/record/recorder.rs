//! What the recorder's thread writes into a robot's record.
//!
//! Knows: the order of a tick's messages, what the network side has counted, and whom to show a
//! seal. Does not know: blocks, disks (`longhand_record::recorder`), or the servo thread.

use super::Recorder;
use super::schema::{Topic, command_to_cdr, tick_to_cdr, transition_to_cdr};
use super::tap::COMMAND_WORDS;
use super::tick::{TICK_WORDS, stage_of, when};
use crate::profile_file::NamedProfile;
use crate::record::Health;
use longhand_protocol::message::{Reason, RobotId, Stage};
use longhand_protocol::units::{Instant, Robot};
use longhand_quic::mailbox::{Reader, Writer};
use longhand_quic::trust::Signer;
use longhand_record::file::WriteError;
use longhand_record::recorder::{NewDisk, Page, Subject};
use longhand_record::ring::RingReader;
use longhand_record::schema::longs_to_cdr;
use longhand_record::seal::Seal;
use std::sync::Arc;

/// What the network side has counted, as it lies in a mailbox: the fields of `Link`.
pub const LINK_WORDS: usize = 9;
/// The recorder's end.
pub type LinkReader = Reader<LINK_WORDS, 8>;
/// The network side's end.
pub type LinkWriter = Writer<LINK_WORDS, 8>;

/// A seal for the console: which part, how many messages, then the chain.
pub const WITNESS_WORDS: usize = 2 + 4;
/// The network side's end.
pub type WitnessReader = Reader<WITNESS_WORDS, 8>;
/// The recorder's end.
pub type WitnessWriter = Writer<WITNESS_WORDS, 8>;

/// Who is recorded, under what, signed by whom.
pub struct Recorded {
    /// The robot's number.
    pub robot: RobotId,
    /// The limits in force.
    pub profile: NamedProfile,
    /// The robot's key.
    pub signer: Signer,
}

/// Opens the first file of a robot's record.
///
/// Errors: it cannot be written; nothing is recorded then.
pub fn recorder(
    now: Instant<Robot>,
    tapped: RingReader,
    health: &Arc<Health>,
    recorded: Recorded,
    new_disk: NewDisk,
    (links, witness): (LinkReader, WitnessWriter),
) -> Result<Recorder, WriteError> {
    let subject = Subject {
        robot: recorded.robot,
        settings_hash: recorded.profile.hash.get(),
        settings: recorded.profile.canonical(),
        program: concat!("longhand-robot-agent ", env!("CARGO_PKG_VERSION")),
        signer: recorded.signer,
    };
    Recorder::new(now, tapped, health, subject, Scribe { links, witness, stage: None }, new_disk)
}

/// Writes a robot's ticks.
pub struct Scribe {
    links: LinkReader,
    witness: WitnessWriter,
    stage: Option<(Stage, Reason)>,
}

impl longhand_record::recorder::Scribe for Scribe {
    type Kind = Topic;

    /// The commands, the tick that they entered, and where the stage is another than before, that.
    fn tick(&mut self, message: &[u64], page: &mut Page<'_, Topic>) -> Result<(), WriteError> {
        let Some((words, commands)) = message.split_first_chunk::<TICK_WORDS>() else {
            return Ok(());
        };
        let (tick, at) = when(words);
        let (commands, _) = commands.as_chunks::<COMMAND_WORDS>();
        for command in commands {
            page.put(Topic::Command, at, command_to_cdr(tick, command))?;
        }
        page.put(Topic::Tick, at, tick_to_cdr(words))?;
        let stage = stage_of(words);
        if stage != self.stage || page.is_first() {
            let before = self.stage.map_or("", |(stage, _)| stage.name());
            if let Some((stage, reason)) = stage {
                let state = stage.operating_state().name();
                let said = [before, stage.name(), state, reason.name()];
                page.put(Topic::Transition, at, transition_to_cdr(tick, at.as_micros(), said))?;
            }
            self.stage = stage;
        }
        Ok(())
    }

    fn look(&mut self, page: &mut Page<'_, Topic>) -> Result<(), WriteError> {
        let mut link = None;
        let _drained = self.links.drain(1, |words| link = Some(*words));
        let Some(words) = link else { return Ok(()) };
        page.put(Topic::Link, page.now(), longs_to_cdr(&words))
    }

    fn witness(&mut self, part: u64, seal: &Seal) {
        self.witness.push(&witness_words(part, seal));
    }
}

fn witness_words(part: u64, seal: &Seal) -> [u64; WITNESS_WORDS] {
    let mut words = [part; WITNESS_WORDS];
    let (chunks, _) = seal.chain.as_chunks::<8>();
    let chain = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk));
    words
        .iter_mut()
        .skip(1)
        .zip(core::iter::once(seal.records).chain(chain))
        .for_each(|(place, word)| *place = word);
    words
}
