//! Samples on disk: a line that says what they are, then twelve bytes for each slot.
//!
//! Knows: the file. Does not know: what a slot means (`longhand_qualify::slot`).
//!
//! The first 256 bytes are one JSON object, filled up with spaces and a line end: `format`, `run`,
//! `period_us`, `due`: how many slots had come due when it was written; and `offset_us`, which was
//! taken from raw spans up and added to those down. Source for the size: links.md section 8, V7, at
//! most 12 bytes a packet.
//!
//! A slot is final when no answer can change it any more, half a minute and more behind its time.
//! Until then it lies there as far as it is known, so that a crash takes little away: each is
//! written twice, the second time for good.

use longhand_protocol::units::Micros;
use longhand_qualify::slot::{SLOT_LEN, Samples, Slot};
use longhand_quic::doorbell::Stop;
use longhand_quic::trust::{Sha256, date};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// The name of the format.
const FORMAT: &str = "longhand probe samples 1";
const HEADER: usize = 256;

/// A file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

fn at(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    move |source| FileError { path: path.to_owned(), source }
}

/// The session's samples, in a run's folder.
pub const SESSION_SAMPLES: &str = "samples-quic.lhq";
/// The twin's.
pub const TWIN_SAMPLES: &str = "samples-udp.lhq";

/// Whether there is a file of samples here with any in it.
pub fn has_samples(path: &Path) -> bool {
    let long = u64::try_from(HEADER).unwrap_or(u64::MAX);
    std::fs::metadata(path).is_ok_and(|file| file.len() > long)
}

/// A file of samples, being written.
pub struct RawFile {
    path: PathBuf,
    out: File,
    run: u64,
    period: Micros,
    slots: u64,
}

impl RawFile {
    /// Makes a new one.
    ///
    /// Errors: it exists, or cannot be made.
    pub fn create(path: &Path, run: u64, period: Micros) -> Result<Self, FileError> {
        let out = File::create_new(path).map_err(at(path))?;
        let file = Self { path: path.to_owned(), out, run, period, slots: 0 };
        file.first_line(0, 0)?;
        Ok(file)
    }

    /// Puts final slots behind the others that are.
    ///
    /// Errors: the disk is full.
    pub fn write(&mut self, slots: &[Slot]) -> Result<(), FileError> {
        self.put(self.slots, slots)?;
        let count = u64::try_from(slots.len()).unwrap_or(u64::MAX);
        self.slots = self.slots.saturating_add(count);
        Ok(())
    }

    /// Puts slots there as far as they are known, from `place` on (0: the first). Those that are
    /// final stay.
    ///
    /// Errors: the disk is full.
    pub fn write_ahead(&self, place: u64, slots: &[Slot]) -> Result<(), FileError> {
        let is_final = usize::try_from(self.slots.saturating_sub(place)).unwrap_or(usize::MAX);
        self.put(place.max(self.slots), slots.get(is_final..).unwrap_or_default())
    }

    /// Writes what is known of the whole so far: the offset, and how many slots had come due.
    ///
    /// Errors: the disk is full.
    pub fn write_due(&self, offset_us: i64, due: u64) -> Result<(), FileError> {
        self.first_line(offset_us, due)
    }

    /// The same file, for a thread that waits for the disk.
    ///
    /// Errors: the system has no descriptor left.
    pub fn on_disk(&self) -> Result<File, FileError> {
        self.out.try_clone().map_err(at(&self.path))
    }

    fn put(&self, place: u64, slots: &[Slot]) -> Result<(), FileError> {
        let bytes: Vec<u8> = slots.iter().flat_map(Slot::bytes).collect();
        self.out.write_all_at(&bytes, length_of(place)).map_err(at(&self.path))
    }

    fn first_line(&self, offset_us: i64, due: u64) -> Result<(), FileError> {
        let first = json!({
            "format": FORMAT,
            "run": format!("{:016x}", self.run),
            "period_us": self.period.as_micros(),
            "offset_us": offset_us,
            "due": due,
        });
        let mut first = first.to_string().into_bytes();
        first.resize(HEADER.saturating_sub(1), b' ');
        first.push(b'\n');
        self.out.write_all_at(&first, 0).map_err(at(&self.path))
    }

    /// Nothing more comes: what is not final by now is not the run's. Writes the first line, waits
    /// for the disk, and hashes the whole.
    ///
    /// Errors: the disk is full, or the file cannot be read back.
    pub fn finish(self, offset_us: i64) -> Result<Written, FileError> {
        self.first_line(offset_us, self.slots)?;
        let length = length_of(self.slots);
        let kept = self.out.set_len(length).and_then(|()| self.out.sync_all());
        kept.map_err(at(&self.path))?;
        let (sha256, bytes) = sha256_of_file(&self.path)?;
        Ok(Written::new(self.path, bytes, sha256, self.slots, self.slots))
    }
}

/// Bytes of a file of so many slots.
fn length_of(slots: u64) -> u64 {
    let [header, slot] = [HEADER, SLOT_LEN].map(|len| u64::try_from(len).unwrap_or(0));
    slots.saturating_mul(slot).saturating_add(header)
}

/// How often files are to be safe from a loss of power. Chosen: a disk wakes up for it, so not each
/// second; what is lost is then at most this, and a second.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How often the waiting thread looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// A thread that waits for the disk now and then, so that the ledger's never does.
pub(in crate::qualify) struct Disk(JoinHandle<io::Result<()>>);

impl Disk {
    pub(in crate::qualify) fn start(files: Vec<File>, stop: &Stop) -> io::Result<Self> {
        let stop = stop.clone();
        let wait = move || {
            let mut slept = Duration::ZERO;
            while !stop.is_stopped() {
                std::thread::sleep(LOOKS_EVERY);
                slept = slept.saturating_add(LOOKS_EVERY);
                if slept >= SYNC_EVERY {
                    slept = Duration::ZERO;
                    files.iter().try_for_each(File::sync_data)?;
                }
            }
            Ok(())
        };
        Ok(Self(std::thread::Builder::new().name("disk".to_owned()).spawn(wait)?))
    }

    /// Whether the disk took everything meanwhile. Ends at the stop.
    ///
    /// Errors: what it said first. It is not asked again: what it dropped it may call written.
    pub(in crate::qualify) fn join(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("its thread died")))
    }
}

/// A file's SHA-256, hexadecimal, and its size. In pieces: a day of samples is a gigabyte.
///
/// Errors: it cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<(String, u64), FileError> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(at(path))?;
    let mut buf = vec![0; 1 << 16];
    let mut bytes = 0_u64;
    loop {
        let count = file.read(&mut buf).map_err(at(path))?;
        let Some(part) = buf.get(..count).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(0));
    }
    Ok((hash.finish(), bytes))
}

/// A whole file of samples. Every look reads it anew, so memory does not grow with the run.
#[derive(Clone, Debug)]
pub struct Written {
    path: PathBuf,
    bytes: u64,
    sha256: String,
    slots: u64,
    due: u64,
    /// What kept a look from its end.
    unread: Arc<OnceLock<(io::ErrorKind, String)>>,
}

impl Written {
    fn new(path: PathBuf, bytes: u64, sha256: String, slots: u64, due: u64) -> Self {
        Self { path, bytes, sha256, slots, due, unread: Arc::default() }
    }

    /// Whether every look so far has seen every slot. To be asked behind the looks: what was
    /// reckoned from a part of the samples is nothing.
    ///
    /// Errors: the file could not be read to its end, or was altered meanwhile.
    pub fn intact(&self) -> Result<(), FileError> {
        match self.unread.get() {
            None => Ok(()),
            Some((kind, words)) => {
                let source = io::Error::new(*kind, words.clone());
                Err(FileError { path: self.path.clone(), source })
            }
        }
    }

    fn read(&self, each: &mut dyn FnMut(u64, &Slot)) -> io::Result<()> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
        let mut first = [0; HEADER];
        file.read_exact(&mut first)?;
        let mut bytes = [0; SLOT_LEN];
        for place in 0..self.slots {
            file.read_exact(&mut bytes)?;
            let slot = Slot::from_bytes(bytes).ok_or_else(|| {
                let words = format!("slot {place} is of no fate that there is");
                io::Error::new(io::ErrorKind::InvalidData, words)
            })?;
            each(place, &slot);
        }
        Ok(())
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How large.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its hash, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many slots.
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    /// How many slots had come due when its first line was written: more than there are where it
    /// broke off, for of the last nothing was known yet. 0 where the line does not say.
    pub const fn due(&self) -> u64 {
        self.due
    }

    /// A file that lies there, as far as it is whole: what broke off in a slot ends before it.
    ///
    /// Errors: it cannot be read, or is shorter than its first line.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (sha256, bytes) = sha256_of_file(path)?;
        let [header, slot] = [HEADER, SLOT_LEN].map(|len| u64::try_from(len).unwrap_or(1));
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it holds no samples");
        let slots = bytes.checked_sub(header).ok_or_else(short).map_err(at(path))? / slot;
        let mut first = [0; HEADER];
        let file = File::open(path).map_err(at(path))?;
        file.read_exact_at(&mut first, 0).map_err(at(path))?;
        let first: Value = serde_json::from_slice(&first).unwrap_or_default();
        let due = first.get("due").and_then(Value::as_u64).unwrap_or(0);
        Ok(Self::new(path.to_owned(), bytes, sha256, slots, due))
    }
}

impl Samples for Written {
    fn visit(&self, each: &mut dyn FnMut(u64, &Slot)) {
        if let Err(error) = self.read(each) {
            // The first is the one that counts.
            let _first = self.unread.set((error.kind(), error.to_string()));
        }
    }
}

/// A folder that nobody had before, named by the time.
///
/// Errors: it cannot be made.
pub fn new_folder(within: &Path, wall_us: u64) -> Result<(PathBuf, String), FileError> {
    std::fs::create_dir_all(within).map_err(at(within))?;
    let begun = date(SystemTime::UNIX_EPOCH + Duration::from_micros(wall_us));
    let name = format!("{}-qualify", begun.replace(' ', "-").replace(':', ""));
    for attempt in 1_u32..1_000 {
        let name = if attempt == 1 { name.clone() } else { format!("{name}-{attempt}") };
        let path = within.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok((path, begun)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(FileError { path, source }),
        }
    }
    let source = io::Error::new(io::ErrorKind::AlreadyExists, "too many runs in one minute");
    Err(FileError { path: within.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_qualify::slot::Fate;

    #[test]
    fn samples_that_cannot_be_read_to_their_end_are_an_error_and_no_shorter_run() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let mut file =
                RawFile::create(&folder.path().join(name), 1, Micros::from_millis(1)).unwrap();
            file.write(&[Slot::of(Fate::LostUp); 10]).unwrap();
            file.finish(0).unwrap()
        };
        let seen = |samples: &Written| {
            let mut count = 0;
            samples.visit(&mut |_, _| count += 1);
            count
        };
        let whole = written("whole");
        assert_eq!(seen(&whole), 10);
        whole.intact().unwrap();
        let short = written("short");
        let file = File::options().write(true).open(short.path()).unwrap();
        file.set_len(short.bytes() - 5).unwrap();
        assert_eq!(seen(&short), 9);
        // Whoever holds a copy of it is told, too.
        assert!(short.clone().intact().unwrap_err().to_string().contains("short"));
        let spoilt = written("spoilt");
        let mut bytes = std::fs::read(spoilt.path()).unwrap();
        bytes[HEADER + 3 * SLOT_LEN] = 15;
        std::fs::write(spoilt.path(), bytes).unwrap();
        assert_eq!(seen(&spoilt), 3);
        assert!(spoilt.intact().unwrap_err().to_string().contains("slot 3"));
        let gone = written("gone");
        std::fs::remove_file(gone.path()).unwrap();
        assert_eq!(seen(&gone), 0);
        assert!(gone.intact().is_err());
    }
}
