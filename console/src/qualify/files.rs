//! Samples on disk: a line that says what they are, then twelve bytes for each slot.
//!
//! Knows: the file. Does not know: what a slot means (`longhand_qualify::slot`).
//!
//! The first 256 bytes are one JSON object, filled up with spaces and a line end: `format`, `run`,
//! `period_us`, and `offset_us`, which was taken from raw spans up and added to those down. Source
//! for the size: links.md section 8, V7, at most 12 bytes a packet.

use longhand_protocol::units::Micros;
use longhand_qualify::slot::{SLOT_LEN, Samples, Slot};
use longhand_quic::trust::{Sha256, date};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
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
    out: BufWriter<File>,
    run: u64,
    period: Micros,
    slots: u64,
}

impl RawFile {
    /// Makes a new one.
    ///
    /// Errors: it exists, or cannot be made.
    pub fn create(path: &Path, run: u64, period: Micros) -> Result<Self, FileError> {
        let file = File::create_new(path).map_err(at(path))?;
        let mut out = BufWriter::new(file);
        out.write_all(&[b' '; HEADER]).map_err(at(path))?;
        Ok(Self { path: path.to_owned(), out, run, period, slots: 0 })
    }

    /// Puts slots behind the others.
    ///
    /// Errors: the disk is full.
    pub fn write(&mut self, slots: &[Slot]) -> Result<(), FileError> {
        for slot in slots {
            self.out.write_all(&slot.bytes()).map_err(at(&self.path))?;
            self.slots = self.slots.saturating_add(1);
        }
        Ok(())
    }

    /// Writes the first line and hashes the whole.
    ///
    /// Errors: the disk is full, or the file cannot be read back.
    pub fn finish(mut self, offset_us: i64) -> Result<Written, FileError> {
        let path = self.path;
        let first = json!({
            "format": FORMAT,
            "run": format!("{:016x}", self.run),
            "period_us": self.period.as_micros(),
            "offset_us": offset_us,
        });
        let mut first = first.to_string().into_bytes();
        first.resize(HEADER.saturating_sub(1), b' ');
        first.push(b'\n');
        let written = self
            .out
            .flush()
            .and_then(|()| self.out.seek(SeekFrom::Start(0)))
            .and_then(|_| self.out.write_all(&first))
            .and_then(|()| self.out.flush());
        written.map_err(at(&path))?;
        let (sha256, bytes) = sha256_of_file(&path)?;
        Ok(Written::new(path, bytes, sha256, self.slots))
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
    /// What kept a look from its end.
    unread: Arc<OnceLock<(io::ErrorKind, String)>>,
}

impl Written {
    fn new(path: PathBuf, bytes: u64, sha256: String, slots: u64) -> Self {
        Self { path, bytes, sha256, slots, unread: Arc::default() }
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

    /// A file that lies there, as far as it is whole: what broke off in a slot ends before it.
    ///
    /// Errors: it cannot be read, or is shorter than its first line.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (sha256, bytes) = sha256_of_file(path)?;
        let [header, slot] = [HEADER, SLOT_LEN].map(|len| u64::try_from(len).unwrap_or(1));
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it holds no samples");
        let slots = bytes.checked_sub(header).ok_or_else(short).map_err(at(path))? / slot;
        Ok(Self::new(path.to_owned(), bytes, sha256, slots))
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
