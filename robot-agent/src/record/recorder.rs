//! The recorder's thread: what the tap gives, sealed in blocks, onto a disk.
//!
//! Knows: when a block ends, what to do when the disk does not take it. Does not know: the servo
//! thread, which it can neither hold up nor speak to.
//!
//! A block ends with 40 ticks or 40 ms, is sealed, written, and synced: what a crash or a power cut
//! takes is what came after it. A disk that refuses is tried anew every second with a new file;
//! what has no file to go to is counted (`health`), and the record says what is missing.

use super::file::{Disk, Message, RecordWriter, WriteError, create};
use super::health::Health;
use super::schema::{Start, Topic, command_to_cdr, longs_to_cdr, tick_to_cdr, transition_to_cdr};
use super::seal::{Chain, Last, Seal, Sealer};
use super::tap::{CommandWords, Tapped};
use super::tick::{TickWords, stage_of, when};
use crate::profile_file::NamedProfile;
use longhand_protocol::message::{Reason, RobotId, Stage};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_quic::clock::{robot_now, wall_ns};
use longhand_quic::mailbox::{Reader, Writer};
use longhand_quic::random::random_bytes;
use longhand_quic::trust::Signer;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Ticks in a block. Source: safety.md section 8, synced every 50 ms; 40 leave 10 for the disk.
pub const BLOCK_TICKS: u32 = 40;
/// The longest that a block stays open.
const BLOCK_FOR: Micros = Micros::from_millis(40);
/// How often the ring is looked at. Chosen: an eighth of a block.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a disk that refused is left alone.
const RETRY_AFTER: Micros = Micros::from_secs(1);
/// A new part after so many ticks: ten minutes. Chosen: a file's index stays in memory until its
/// end, 10 MB by then.
pub const PART_TICKS: u64 = 600_000;
/// Seals a second that the console is sent as witness.
const WITNESS_EVERY: Micros = Micros::from_secs(1);

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

/// Gives a new file: its case and its part come in.
pub type NewDisk = Box<dyn FnMut(&[u8; 16], u64) -> io::Result<Box<dyn Disk>> + Send>;

/// Files in `folder`.
pub fn in_folder(folder: PathBuf) -> NewDisk {
    Box::new(move |case_id, part| {
        let (path, file) = create(&folder, case_id, part)?;
        tracing::info!("recording to {}", path.display());
        Ok(Box::new(file))
    })
}

/// Who is recorded, under what, signed by whom.
pub struct Recorded {
    /// The robot's number.
    pub robot: RobotId,
    /// The limits in force.
    pub profile: NamedProfile,
    /// The robot's key.
    pub signer: Signer,
}

/// Records.
pub struct Recorder {
    tapped: Tapped,
    health: Arc<Health>,
    recorded: Recorded,
    case_id: [u8; 16],
    new_disk: NewDisk,
    links: LinkReader,
    witness: WitnessWriter,
    witnessed_at: Option<Instant<Robot>>,
    part: Option<Part>,
    parts: u64,
    part_ticks: u64,
    chain: Chain,
    /// The tick that comes next, where none is missing.
    next_tick: u64,
    stage: Option<(Stage, Reason)>,
    retry_at: Instant<Robot>,
    commands: Vec<CommandWords>,
    failures: u64,
}

/// One file.
struct Part {
    writer: RecordWriter,
    sealer: Sealer,
    start: Start,
    ticks: u64,
    block_ticks: u32,
    block_began: Instant<Robot>,
    newest: Instant<Robot>,
    /// When the newest tick in a sealed block ran.
    sealed_at: Instant<Robot>,
    /// The newest seal, until it is synced.
    unsynced: Option<Seal>,
}

impl Recorder {
    /// Opens the first file.
    ///
    /// Errors: it cannot be written; nothing is recorded then.
    pub fn new(
        now: Instant<Robot>,
        tapped: Tapped,
        health: &Arc<Health>,
        recorded: Recorded,
        new_disk: NewDisk,
        (links, witness): (LinkReader, WitnessWriter),
    ) -> Result<Self, WriteError> {
        let mut recorder = Self {
            tapped,
            health: Arc::clone(health),
            recorded,
            case_id: random_bytes()?,
            new_disk,
            links,
            witness,
            witnessed_at: None,
            part: None,
            parts: 0,
            part_ticks: PART_TICKS,
            chain: [0; 32],
            next_tick: 0,
            stage: None,
            retry_at: Instant::ORIGIN,
            commands: Vec::new(),
            failures: 0,
        };
        recorder.open(now, 0)?;
        health.safe(now);
        Ok(recorder)
    }

    /// A new part after so many ticks, in place of [`PART_TICKS`].
    #[must_use]
    pub fn with_parts_of(self, ticks: u64) -> Self {
        Self { part_ticks: ticks, ..self }
    }

    /// The random number of whatever is recorded.
    pub const fn case_id(&self) -> [u8; 16] {
        self.case_id
    }

    /// Runs until stopped and everything is on disk. Blocks: this thread is the recorder's.
    pub fn run(mut self, stop: &AtomicBool) {
        loop {
            // Before the ring is emptied: what was in it when the stop was said is still recorded.
            let is_last = stop.load(Ordering::Acquire);
            self.turn(robot_now());
            if is_last {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        self.finish(robot_now());
    }

    /// Ends the record, once the ring is empty and nobody taps any more.
    pub fn finish(&mut self, now: Instant<Robot>) {
        if let Some(part) = self.part.take() {
            let ended = self.end(now, part, Last::Yes);
            self.keep(now, ended);
        }
    }

    /// Empties the ring, and ends the block where it is time. May wait for the disk.
    pub fn turn(&mut self, now: Instant<Robot>) {
        loop {
            self.commands.clear();
            let commands = &mut self.commands;
            let Some(words) = self.tapped.next(|command| commands.push(*command)) else { break };
            self.tick(now, &words);
        }
        let mut link = None;
        let _drained = self.links.drain(1, |words| link = Some(*words));
        if let (Some(words), Some(part)) = (link, &mut self.part) {
            part.begin_block(now);
            let done = part.put(Topic::Link, now, longs_to_cdr(&words));
            self.keep(now, done);
        }
        let is_due =
            |part: &Part| part.sealer.open() > 0 && now.since(part.block_began) >= BLOCK_FOR;
        if self.part.as_ref().is_some_and(is_due) {
            let done = self.end_block(now);
            self.keep(now, done);
        }
        let done = self.sync(now);
        self.keep(now, done);
    }

    /// Once for all blocks that ended in this turn: a disk that is slow to sync does not keep those
    /// behind it from the system.
    fn sync(&mut self, now: Instant<Robot>) -> Result<(), WriteError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let Some(seal) = part.unsynced.take() else { return Ok(()) };
        part.writer.sync()?;
        self.health.safe(part.sealed_at);
        let is_due = |at| now.since(at) >= WITNESS_EVERY;
        if self.witnessed_at.is_none_or(is_due) {
            self.witnessed_at = Some(now);
            self.witness.push(&witness_words(part.start.part, &seal));
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant<Robot>, words: &TickWords) {
        let (tick, _) = when(words);
        if self.part.is_none() && now >= self.retry_at {
            let opened = self.open(now, tick);
            self.keep(now, opened);
        }
        let done = self.put_tick(now, words);
        self.next_tick = tick.saturating_add(1);
        match done {
            Ok(true) => {}
            Ok(false) => self.health.unwritten(1),
            Err(error) => {
                self.health.unwritten(1);
                self.keep(now, Err(error));
            }
        }
        let is_full = |part: &Part| part.block_ticks >= BLOCK_TICKS;
        if self.part.as_ref().is_some_and(is_full) {
            let done = self.end_block(now);
            self.keep(now, done);
        }
        if self.part.as_ref().is_some_and(|part| part.ticks >= self.part_ticks) {
            let done = self.next_part(now);
            self.keep(now, done);
        }
    }

    /// `false`: there is no file.
    fn put_tick(&mut self, now: Instant<Robot>, words: &TickWords) -> Result<bool, WriteError> {
        let (tick, at) = when(words);
        let Some(part) = &mut self.part else { return Ok(false) };
        part.begin_block(now);
        let expected = self.next_tick.max(part.start.first_tick);
        let missing = tick.saturating_sub(expected);
        if missing > 0 {
            part.put(Topic::Gap, at, longs_to_cdr(&[expected, missing]))?;
        }
        for command in &self.commands {
            part.put(Topic::Command, at, command_to_cdr(tick, command))?;
        }
        part.put(Topic::Tick, at, tick_to_cdr(words))?;
        let stage = stage_of(words);
        if stage != self.stage || part.ticks == 0 {
            let before = self.stage.map_or("", |(stage, _)| stage.name());
            if let Some((stage, reason)) = stage {
                let state = stage.operating_state().name();
                let said = [before, stage.name(), state, reason.name()];
                let data = transition_to_cdr(tick, at.as_micros(), said);
                part.put(Topic::Transition, at, data)?;
            }
            self.stage = stage;
        }
        part.ticks = part.ticks.saturating_add(1);
        part.block_ticks = part.block_ticks.saturating_add(1);
        part.newest = at;
        Ok(true)
    }

    fn end_block(&mut self, now: Instant<Robot>) -> Result<(), WriteError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        part.seal(now, &self.recorded.signer, Last::No)
    }

    fn next_part(&mut self, now: Instant<Robot>) -> Result<(), WriteError> {
        if let Some(part) = self.part.take() {
            self.end(now, part, Last::Part)?;
        }
        self.open(now, self.next_tick)
    }

    fn end(&mut self, now: Instant<Robot>, mut part: Part, last: Last) -> Result<(), WriteError> {
        part.seal(now, &self.recorded.signer, last)?;
        self.chain = part.sealer.chain();
        part.writer.finish()?;
        self.health.safe(part.sealed_at);
        if let Some(seal) = part.unsynced {
            self.witness.push(&witness_words(part.start.part, &seal));
        }
        Ok(())
    }

    /// A new file, whose first tick is `tick`.
    fn open(&mut self, now: Instant<Robot>, tick: u64) -> Result<(), WriteError> {
        let number = self.parts;
        // Also where it fails: a name is used once.
        self.parts = number.saturating_add(1);
        let writer = RecordWriter::new((self.new_disk)(&self.case_id, number)?)?;
        let start = Start {
            robot: self.recorded.robot.get(),
            profile_hash: self.recorded.profile.hash.get(),
            robot_us: now.as_micros(),
            wall_ns: wall_ns(),
            first_tick: tick,
            part: number,
            previous: self.chain,
            case_id: self.case_id,
            profile: self.recorded.profile.canonical(),
            program: concat!("longhand-robot-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
            certificate: self.recorded.signer.certificate().to_vec(),
        };
        let data = start.to_cdr();
        let mut part = Part {
            writer,
            sealer: Sealer::new(self.case_id),
            start,
            ticks: 0,
            block_ticks: 0,
            block_began: now,
            newest: now,
            sealed_at: now,
            unsynced: None,
        };
        part.put(Topic::Start, now, data)?;
        part.seal(now, &self.recorded.signer, Last::No)?;
        self.part = Some(part);
        // Nothing older waits for this disk.
        self.health.safe(now);
        self.health.failed(false);
        Ok(())
    }

    /// Says what went wrong, and leaves the file that it went wrong with.
    fn keep(&mut self, now: Instant<Robot>, done: Result<(), WriteError>) {
        let Err(error) = done else { return };
        if let Some(part) = self.part.take() {
            // Its last block is on no disk.
            self.health.unwritten(part.block_ticks.into());
        }
        self.chain = [0; 32];
        self.health.failed(true);
        self.retry_at = now.after(RETRY_AFTER);
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            tracing::error!("the record cannot be written: {error} ({} times)", self.failures);
        }
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

impl Part {
    fn begin_block(&mut self, now: Instant<Robot>) {
        if self.sealer.open() == 0 {
            self.block_began = now;
        }
    }

    fn put(&mut self, topic: Topic, at: Instant<Robot>, data: Vec<u8>) -> Result<(), WriteError> {
        let log_time = self.start.wall_of(at.as_micros());
        let message: Message = self.writer.next(topic, log_time, data);
        self.writer.write(&message)?;
        self.sealer.written(&message);
        Ok(())
    }

    fn seal(&mut self, now: Instant<Robot>, signer: &Signer, last: Last) -> Result<(), WriteError> {
        let seal = self.sealer.seal(signer, (now.as_micros(), wall_ns()), last)?;
        self.put(Topic::Seal, now, seal.to_cdr())?;
        self.writer.end_block()?;
        self.block_ticks = 0;
        self.sealed_at = self.newest;
        self.unsynced = Some(seal);
        Ok(())
    }
}
