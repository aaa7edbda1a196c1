//! The recorder's thread: what the ring gives, sealed in blocks, onto a disk.
//!
//! Knows: when a block ends, what to do when the disk does not take it. Does not know: what a tick
//! says (its [`Scribe`] does), or the thread it comes from, which it can neither hold up nor speak
//! to.
//!
//! A block ends with 40 ticks or 40 ms, is sealed, written, and synced: what a crash or a power cut
//! takes is what came after it. A disk that refuses is tried anew every second with a new file;
//! what has no file to go to is counted (`health`), and the record says what is missing.

use crate::file::{Disk, Message, RecordWriter, WriteError, create};
use crate::health::Health;
use crate::ring::RingReader;
use crate::schema::{Kind, Start, longs_to_cdr};
use crate::seal::{Chain, Last, Seal, Sealer};
use longhand_protocol::message::RobotId;
use longhand_protocol::units::{Instant, Micros};
use longhand_quic::clock::wall_ns;
use longhand_quic::random::random_bytes;
use longhand_quic::trust::Signer;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
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
/// A witness is shown a seal this often.
const WITNESS_EVERY: Micros = Micros::from_secs(1);
/// A disk that takes longer is not waited for: what it has not taken is lost, as in a power cut.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

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
#[derive(Debug)]
pub struct Subject {
    /// The robot's number: the recorded one's, or whom the console asked for.
    pub robot: RobotId,
    /// A hash of the settings.
    pub settings_hash: u64,
    /// The settings in force, TOML.
    pub settings: String,
    /// Who writes the record.
    pub program: &'static str,
    /// The key of the end that is recorded.
    pub signer: Signer,
}

/// Writes what one end has to say into its record.
pub trait Scribe: Send {
    /// Which kind of record it is.
    type Kind: Kind;

    /// Writes the message that came through the ring for one tick, the tick itself included.
    ///
    /// Errors: what the page said.
    fn tick(&mut self, message: &[u64], page: &mut Page<'_, Self::Kind>) -> Result<(), WriteError>;

    /// Writes what has come beside the ring.
    ///
    /// Errors: what the page said.
    fn look(&mut self, page: &mut Page<'_, Self::Kind>) -> Result<(), WriteError>;

    /// This part is on disk up to this seal: said once a second, and at the end.
    fn witness(&mut self, part: u64, seal: &Seal);
}

/// Where a [`Scribe`] writes: the open block of a file.
pub struct Page<'a, K: Kind> {
    part: &'a mut Part<K>,
    now: Instant<K::Clock>,
}

impl<K: Kind> Page<'_, K> {
    /// Writes a message of that time.
    ///
    /// Errors: the disk's, or the library's; the file is then left.
    pub fn put(
        &mut self,
        topic: K,
        at: Instant<K::Clock>,
        data: Vec<u8>,
    ) -> Result<(), WriteError> {
        self.part.begin_block(self.now);
        self.part.put(topic, at, data)
    }

    /// When it is written.
    pub const fn now(&self) -> Instant<K::Clock> {
        self.now
    }

    /// Whether no tick stands in the file yet.
    pub const fn is_first(&self) -> bool {
        self.part.ticks == 0
    }
}

/// Records.
pub struct Recorder<S: Scribe> {
    ring: RingReader,
    health: Arc<Health<<S::Kind as Kind>::Clock>>,
    subject: Subject,
    scribe: S,
    case_id: [u8; 16],
    new_disk: NewDisk,
    witnessed_at: Option<Now<S>>,
    part: Option<Part<S::Kind>>,
    parts: u64,
    part_ticks: u64,
    chain: Chain,
    /// The tick that comes next, where none is missing.
    next_tick: u64,
    retry_at: Now<S>,
    message: Vec<u64>,
    failures: u64,
}

/// An instant on the clock of what is recorded.
type Now<S> = Instant<<<S as Scribe>::Kind as Kind>::Clock>;

/// One file.
struct Part<K: Kind> {
    writer: RecordWriter<K>,
    sealer: Sealer,
    start: Start,
    ticks: u64,
    block_ticks: u32,
    block_began: Instant<K::Clock>,
    newest: Instant<K::Clock>,
    /// When the newest tick in a sealed block ran.
    sealed_at: Instant<K::Clock>,
    /// The newest seal, until it is synced.
    unsynced: Option<Seal>,
}

impl<S: Scribe> Recorder<S> {
    /// Opens the first file.
    ///
    /// Errors: it cannot be written; nothing is recorded then.
    pub fn new(
        now: Now<S>,
        ring: RingReader,
        health: &Arc<Health<<S::Kind as Kind>::Clock>>,
        subject: Subject,
        scribe: S,
        new_disk: NewDisk,
    ) -> Result<Self, WriteError> {
        let mut recorder = Self {
            ring,
            health: Arc::clone(health),
            subject,
            scribe,
            case_id: random_bytes()?,
            new_disk,
            witnessed_at: None,
            part: None,
            parts: 0,
            part_ticks: PART_TICKS,
            chain: [0; 32],
            next_tick: 0,
            retry_at: Instant::ORIGIN,
            message: Vec::new(),
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
            self.turn(S::Kind::now());
            if is_last {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        self.finish(S::Kind::now());
    }

    /// Ends the record, once the ring is empty and nobody taps any more.
    pub fn finish(&mut self, now: Now<S>) {
        if let Some(part) = self.part.take() {
            let ended = self.end(now, part, Last::Yes);
            self.keep(now, ended);
        }
    }

    /// Empties the ring, and ends the block where it is time. May wait for the disk.
    pub fn turn(&mut self, now: Now<S>) {
        while self.ring.next(&mut self.message) {
            self.tick(now);
        }
        if let Some(part) = &mut self.part {
            let done = self.scribe.look(&mut Page { part, now });
            self.keep(now, done);
        }
        let is_due = |part: &Part<S::Kind>| {
            part.sealer.open() > 0 && now.since(part.block_began) >= BLOCK_FOR
        };
        if self.part.as_ref().is_some_and(is_due) {
            let done = self.end_block(now);
            self.keep(now, done);
        }
        let done = self.sync(now);
        self.keep(now, done);
    }

    /// Once for all blocks that ended in this turn: a disk that is slow to sync does not keep those
    /// behind it from the system.
    fn sync(&mut self, now: Now<S>) -> Result<(), WriteError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let Some(seal) = part.unsynced.take() else { return Ok(()) };
        part.writer.sync()?;
        self.health.safe(part.sealed_at);
        let is_due = |at| now.since(at) >= WITNESS_EVERY;
        if self.witnessed_at.is_none_or(is_due) {
            self.witnessed_at = Some(now);
            self.scribe.witness(part.start.part, &seal);
        }
        Ok(())
    }

    fn tick(&mut self, now: Now<S>) {
        let (tick, at) = when::<S>(&self.message);
        if self.part.is_none() && now >= self.retry_at {
            let opened = self.open(now, tick);
            self.keep(now, opened);
        }
        let done = self.put_tick(now, tick, at);
        self.next_tick = tick.saturating_add(1);
        match done {
            Ok(true) => {}
            Ok(false) => self.health.unwritten(1),
            Err(error) => {
                self.health.unwritten(1);
                self.keep(now, Err(error));
            }
        }
        let is_full = |part: &Part<S::Kind>| part.block_ticks >= BLOCK_TICKS;
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
    fn put_tick(&mut self, now: Now<S>, tick: u64, at: Now<S>) -> Result<bool, WriteError> {
        let Some(part) = &mut self.part else { return Ok(false) };
        let expected = self.next_tick.max(part.start.first_tick);
        let missing = tick.saturating_sub(expected);
        let mut page = Page { part: &mut *part, now };
        if missing > 0 {
            page.put(S::Kind::GAP, at, longs_to_cdr(&[expected, missing]))?;
        }
        self.scribe.tick(&self.message, &mut page)?;
        part.ticks = part.ticks.saturating_add(1);
        part.block_ticks = part.block_ticks.saturating_add(1);
        part.newest = at;
        Ok(true)
    }

    fn end_block(&mut self, now: Now<S>) -> Result<(), WriteError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        part.seal(now, &self.subject.signer, Last::No)
    }

    fn next_part(&mut self, now: Now<S>) -> Result<(), WriteError> {
        if let Some(part) = self.part.take() {
            self.end(now, part, Last::Part)?;
        }
        self.open(now, self.next_tick)
    }

    fn end(&mut self, now: Now<S>, mut part: Part<S::Kind>, last: Last) -> Result<(), WriteError> {
        part.seal(now, &self.subject.signer, last)?;
        self.chain = part.sealer.chain();
        part.writer.finish()?;
        self.health.safe(part.sealed_at);
        if let Some(seal) = part.unsynced {
            self.scribe.witness(part.start.part, &seal);
        }
        Ok(())
    }

    /// A new file, whose first tick is `tick`.
    fn open(&mut self, now: Now<S>, tick: u64) -> Result<(), WriteError> {
        let number = self.parts;
        // Also where it fails: a name is used once.
        self.parts = number.saturating_add(1);
        let writer = RecordWriter::new((self.new_disk)(&self.case_id, number)?)?;
        let start = Start {
            robot: self.subject.robot.get(),
            settings_hash: self.subject.settings_hash,
            at_us: now.as_micros(),
            wall_ns: wall_ns(),
            first_tick: tick,
            part: number,
            previous: self.chain,
            case_id: self.case_id,
            settings: self.subject.settings.clone(),
            program: self.subject.program.to_owned(),
            certificate: self.subject.signer.certificate().to_vec(),
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
        part.put(S::Kind::START, now, data)?;
        part.seal(now, &self.subject.signer, Last::No)?;
        self.part = Some(part);
        // Nothing older waits for this disk.
        self.health.safe(now);
        self.health.failed(false);
        Ok(())
    }

    /// Says what went wrong, and leaves the file that it went wrong with.
    fn keep(&mut self, now: Now<S>, done: Result<(), WriteError>) {
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

/// What every message begins with.
fn when<S: Scribe>(message: &[u64]) -> (u64, Now<S>) {
    let at = |place: usize| message.get(place).copied().unwrap_or(0);
    (at(0), Instant::from_micros(at(1)))
}

impl<K: Kind> Part<K> {
    fn begin_block(&mut self, now: Instant<K::Clock>) {
        if self.sealer.open() == 0 {
            self.block_began = now;
        }
    }

    fn put(&mut self, topic: K, at: Instant<K::Clock>, data: Vec<u8>) -> Result<(), WriteError> {
        let log_time = self.start.wall_of(at.as_micros());
        let message: Message<K> = self.writer.next(topic, log_time, data);
        self.writer.write(&message)?;
        self.sealer.written(&message);
        Ok(())
    }

    fn seal(
        &mut self,
        now: Instant<K::Clock>,
        signer: &Signer,
        last: Last,
    ) -> Result<(), WriteError> {
        let seal = self.sealer.seal(signer, (now.as_micros(), wall_ns()), last)?;
        self.put(K::SEAL, now, seal.to_cdr())?;
        self.writer.end_block()?;
        self.block_ticks = 0;
        self.sealed_at = self.newest;
        self.unsynced = Some(seal);
        Ok(())
    }
}

/// A recorder on its thread.
#[derive(Debug)]
pub struct Recording {
    stop: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Recording {
    /// Starts the thread.
    ///
    /// Errors: the system refused it.
    pub fn start<S: Scribe + 'static>(recorder: Recorder<S>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, (end, ended)) = (Arc::clone(&stop), mpsc::channel());
        let thread = thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            recorder.run(&seen);
            // Whoever waited may have given up.
            let _ = end.send(());
        })?;
        Ok(Self { stop, ended, thread })
    }

    /// Lets the record end, once nobody writes into the ring any more.
    ///
    /// Errors: the thread had died.
    pub fn end(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.ended.recv_timeout(ENDS_WITHIN) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::error!("the disk does not take the end of the record; left without it");
                Ok(())
            }
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => self
                .thread
                .join()
                .map_err(|_panic| io::Error::other("the recorder thread died; this is a defect")),
        }
    }
}
