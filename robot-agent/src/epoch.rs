//! The robot's fencing number, kept over restarts: it rises with every grant and never falls.
//!
//! Knows: one small file. Does not know: who asks, or why.

use longhand_protocol::units::Epoch;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the epoch lives.
#[derive(Debug)]
pub struct EpochStore {
    folder: PathBuf,
    last: Epoch,
}

/// The epoch could not be read or written; nobody is granted anything until it can.
#[derive(Debug, thiserror::Error)]
#[error(
    "the epoch in {path} cannot be {doing}: {error}; give the agent a folder it may write (--state)"
)]
pub struct EpochError {
    path: PathBuf,
    doing: &'static str,
    error: io::Error,
}

const FILE: &str = "epoch";

impl EpochStore {
    /// Opens the store in `folder`, which is made if it does not exist.
    ///
    /// Errors: [`EpochError`]; a file that does not hold a number is an error, never a zero.
    pub fn open(folder: &Path) -> Result<Self, EpochError> {
        let path = folder.join(FILE);
        let fail = |doing| {
            let path = path.clone();
            move |error| EpochError { path, doing, error }
        };
        std::fs::create_dir_all(folder).map_err(fail("made"))?;
        let last = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let number = text.trim().parse().map_err(|_not_a_number| {
                    fail("read")(io::Error::other("it does not hold a number"))
                })?;
                Epoch::new(number)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Epoch::ZERO,
            Err(error) => return Err(fail("read")(error)),
        };
        Ok(Self { folder: folder.to_owned(), last })
    }

    /// The next epoch, on disk before anybody hears of it.
    ///
    /// Errors: [`EpochError`]; then nothing was granted.
    pub fn grant(&mut self) -> Result<Epoch, EpochError> {
        let next = self.last.next();
        self.write(next).map_err(|error| EpochError {
            path: self.folder.join(FILE),
            doing: "written",
            error,
        })?;
        self.last = next;
        Ok(next)
    }

    /// Written beside, synced, renamed, folder synced: a power cut leaves the old number or the
    /// new.
    fn write(&self, epoch: Epoch) -> io::Result<()> {
        let (path, beside) = (self.folder.join(FILE), self.folder.join("epoch.new"));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
        writeln!(file, "{}", epoch.get())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_over_restarts_and_a_broken_file_is_no_zero() {
        let folder = std::env::temp_dir().join(format!("longhand-epoch-{}", std::process::id()));
        let mut store = EpochStore::open(&folder).unwrap();
        assert_eq!(store.grant().unwrap(), Epoch::new(1));
        assert_eq!(store.grant().unwrap(), Epoch::new(2));
        let mut store = EpochStore::open(&folder).unwrap();
        assert_eq!(store.grant().unwrap(), Epoch::new(3));
        std::fs::write(folder.join(FILE), "nonsense").unwrap();
        let error = EpochStore::open(&folder).unwrap_err().to_string();
        assert!(error.contains("does not hold a number"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
