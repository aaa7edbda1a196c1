//! The robot's fencing number, kept over restarts: it rises with every grant and never falls.
//!
//! Knows: one small file. Does not know: who asks, or why.
//!
//! The file does not hold the last epoch that was given but the last that *may* be: a thousand are
//! reserved on disk before the first of them is given out, at the start and again whenever half are
//! gone. So giving one out touches no disk, and a slow one cannot hold up the pump's thread, on
//! which the present holder's commands arrive (F31). A crash or a power cut at any moment skips
//! what was left of the reserve: epochs only have to rise.
//!
//! A copy or a restored backup of the folder holds a number of the past, and an agent that runs
//! with it gives epochs out a second time; nothing here can tell. So back up the folder for the
//! record only, never run two robots from copies of one, and where the disk is lost, write a number
//! into `epoch` above any that the robot's log shows. A folder that lost the file alone is told
//! apart from a new one by its lock file, which says that a number was once kept beside it.
//!
//! The folder is one agent's for as long as that agent lives: a second would give out the same
//! epochs. The lock is the kernel's and goes with the process, however that ends.

use longhand_protocol::units::Epoch;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the epoch lives: the end that writes. For a thread that may wait for a disk.
#[derive(Debug)]
pub struct EpochStore {
    folder: PathBuf,
    counts: Arc<Counts>,
    /// The folder is ours while it is open.
    lock: File,
}

/// Gives epochs out: the end that never waits.
#[derive(Debug)]
pub struct Epochs {
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    /// The last that was given.
    given: AtomicU64,
    /// The last that may be: on disk.
    reserved: AtomicU64,
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

/// No epoch that is safe on disk is left: nothing is granted until the store has written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no epoch is left that is safe on disk; have the state folder (--state) seen to")]
pub struct NotDurable {
    /// The one that was due.
    pub due: Epoch,
    /// The last that is on disk.
    pub safe: Epoch,
}

const FILE: &str = "epoch";
const LOCK: &str = "lock";
/// What the lock file says once a number is on disk beside it.
const KEPT: &[u8] = b"an epoch is kept beside this file\n";
/// How many are reserved at once. Chosen: more leases than a week of cases needs, and so few that a
/// restart every second for a million years does not run out.
const RESERVE: u64 = 1_000;

impl EpochStore {
    /// Opens the store in `folder`, which is made if it does not exist, and reserves.
    ///
    /// Errors: [`EpochError`]; a file that does not hold a number is an error, never a zero; so is
    /// one that is gone where an earlier run had it, and a folder that another agent has.
    pub fn open(folder: &Path) -> Result<(Self, Epochs), EpochError> {
        make(folder).map_err(|error| fail(folder, "made", error))?;
        let lock = lock(folder)?;
        let last = Self::look(folder)?.get();
        if last == Epoch::ZERO.get() {
            let folder = folder.display();
            tracing::warn!(%folder, "the epoch begins at 0; is this the first run in this folder?");
        }
        let counts = Counts { given: AtomicU64::new(last), reserved: AtomicU64::new(last) };
        let counts = Arc::new(counts);
        let store = Self { folder: folder.to_owned(), counts: Arc::clone(&counts), lock };
        store.reserve(last)?;
        // Only now: a crash before this leaves a folder that still counts as new.
        mark(&store.lock).map_err(|error| fail(folder, "written", error))?;
        Ok((store, Epochs { counts }))
    }

    /// The last epoch that was reserved in `folder`; changes nothing there.
    ///
    /// Errors: as [`EpochStore::open`].
    pub fn look(folder: &Path) -> Result<Epoch, EpochError> {
        match std::fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text.trim().parse().map(Epoch::new).map_err(|_not_a_number| {
                fail(folder, "read", io::Error::other("it does not hold a number"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Without a lock file, or one that says nothing, no run got as far as a number.
                let kept = std::fs::metadata(folder.join(LOCK)).is_ok_and(|lock| lock.len() > 0);
                if !kept {
                    return Ok(Epoch::ZERO);
                }
                let words = "it is gone, though an earlier run kept it here; write a number into \
                             it that is above any epoch in the robot's log";
                Err(fail(folder, "read", io::Error::other(words)))
            }
            Err(error) => Err(fail(folder, "read", error)),
        }
    }

    /// Reserves anew once half of the reserve is given out. May wait for the disk.
    ///
    /// Errors: [`EpochError`]; what is left of the reserve still counts. Ask again.
    pub fn top_up(&self) -> Result<(), EpochError> {
        let given = self.counts.given.load(Ordering::Relaxed);
        let left = self.counts.reserved.load(Ordering::Relaxed).saturating_sub(given);
        if left > RESERVE / 2 { Ok(()) } else { self.reserve(given) }
    }

    fn reserve(&self, given: u64) -> Result<(), EpochError> {
        let reserved = given.saturating_add(RESERVE);
        self.write(reserved).map_err(|error| fail(&self.folder, "written", error))?;
        // Only now may they be given out.
        self.counts.reserved.store(reserved, Ordering::Release);
        Ok(())
    }

    /// Written beside, synced, renamed, folder synced: a power cut leaves the old number or the
    /// new.
    fn write(&self, epoch: u64) -> io::Result<()> {
        let (path, beside) = (self.folder.join(FILE), self.folder.join("epoch.new"));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
        writeln!(file, "{epoch}")?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Epochs {
    /// The next epoch: on disk since long before, so this waits for nothing.
    ///
    /// Errors: [`NotDurable`]; then nothing was granted.
    pub fn grant(&mut self) -> Result<Epoch, NotDurable> {
        let (last, reserved) = (self.last(), self.counts.reserved.load(Ordering::Acquire));
        let due = last.next();
        if due <= last || due.get() > reserved {
            return Err(NotDurable { due, safe: Epoch::new(reserved) });
        }
        self.counts.given.store(due.get(), Ordering::Relaxed);
        Ok(due)
    }

    /// The last that was given out: the one in force, if any is.
    pub fn last(&self) -> Epoch {
        Epoch::new(self.counts.given.load(Ordering::Relaxed))
    }
}

/// Makes the folder and those above it, each on disk before anything is kept in it.
fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
    std::fs::create_dir_all(folder)?;
    for made in missing {
        // A relative folder's name ends in nothing: that is where we stand.
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Says in the lock file, once, that a number is kept beside it.
fn mark(mut lock: &File) -> io::Result<()> {
    if lock.metadata()?.len() > 0 {
        return Ok(());
    }
    lock.write_all(KEPT)?;
    lock.sync_all()
}

/// The folder's lock. Errors: another agent has it, or it cannot be made.
fn lock(folder: &Path) -> Result<File, EpochError> {
    let file = OpenOptions::new().create(true).append(true).open(folder.join(LOCK));
    let file = file.map_err(|error| fail(folder, "locked", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let words = "another agent runs with this folder; stop it first";
            Err(fail(folder, "locked", io::Error::other(words)))
        }
        Err(TryLockError::Error(error)) => Err(fail(folder, "locked", error)),
    }
}

/// Whether an agent could keep its epoch in `folder` now. Leaves nothing behind.
///
/// Errors: [`EpochError`]: what is there cannot be read or written, or another agent has it.
pub fn check(folder: &Path) -> Result<(), EpochError> {
    EpochStore::look(folder)?;
    if folder.join(LOCK).exists() {
        // Given back at once: it is only asked whether it can be had.
        drop(lock(folder)?);
    }
    // Of what is missing, the first folder above that is there must take what is made.
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let probe = there.join(format!(".longhand-state-{}", std::process::id()));
    let written = std::fs::write(&probe, b"probe");
    // Where it could not be written in full, what is there of it must go too.
    let _gone = std::fs::remove_file(&probe);
    written.map_err(|error| fail(folder, "written", error))
}

fn fail(folder: &Path, doing: &'static str, error: io::Error) -> EpochError {
    EpochError { path: folder.join(FILE), doing, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_over_restarts_and_a_broken_file_is_no_zero() {
        let within = tempfile::tempdir().unwrap();
        let folder = within.path().join("state");
        let (_, mut epochs) = EpochStore::open(&folder).unwrap();
        assert_eq!(epochs.grant(), Ok(Epoch::new(1)));
        assert_eq!(epochs.grant(), Ok(Epoch::new(2)));
        // A crash: nobody said goodbye to the file.
        let (_, mut epochs) = EpochStore::open(&folder).unwrap();
        assert_eq!(epochs.grant(), Ok(Epoch::new(RESERVE + 1)));
        std::fs::write(folder.join(FILE), "nonsense").unwrap();
        let error = EpochStore::open(&folder).unwrap_err().to_string();
        assert!(error.contains("does not hold a number"), "{error}");
    }

    #[test]
    fn nothing_is_given_that_is_not_on_disk_and_a_top_up_goes_on_where_it_was() {
        let within = tempfile::tempdir().unwrap();
        let folder = within.path().join("state");
        let (store, mut epochs) = EpochStore::open(&folder).unwrap();
        for n in 1..=RESERVE {
            assert_eq!(epochs.grant(), Ok(Epoch::new(n)));
            assert!(EpochStore::look(&folder).unwrap() >= epochs.last());
        }
        let due = Epoch::new(RESERVE + 1);
        assert_eq!(epochs.grant(), Err(NotDurable { due, safe: Epoch::new(RESERVE) }));
        // The disk is gone, then comes back.
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(store.top_up().unwrap_err().to_string().contains("cannot be written"));
        assert!(epochs.grant().is_err());
        std::fs::create_dir(&folder).unwrap();
        store.top_up().unwrap();
        assert_eq!(epochs.grant(), Ok(due));
        assert_eq!(EpochStore::look(&folder).unwrap(), Epoch::new(2 * RESERVE));
    }

    #[test]
    fn a_folder_is_one_agents_until_that_one_ends() {
        let within = tempfile::tempdir().unwrap();
        let folder = within.path().join("state");
        check(&folder).unwrap();
        assert!(!folder.exists(), "only asked");
        let first = EpochStore::open(&folder).unwrap();
        for error in [EpochStore::open(&folder).unwrap_err(), check(&folder).unwrap_err()] {
            assert!(error.to_string().contains("another agent runs"), "{error}");
        }
        drop(first);
        check(&folder).unwrap();
        EpochStore::open(&folder).unwrap();
    }

    #[test]
    fn a_number_that_is_gone_is_no_zero_and_a_new_folder_is_no_loss() {
        let within = tempfile::tempdir().unwrap();
        let folder = within.path().join("below");
        // A first run that ended before a number was kept.
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(LOCK), "").unwrap();
        check(&folder).unwrap();
        drop(EpochStore::open(&folder).unwrap());
        std::fs::remove_file(folder.join(FILE)).unwrap();
        for error in [check(&folder).unwrap_err(), EpochStore::open(&folder).unwrap_err()] {
            assert!(error.to_string().contains("an earlier run kept it here"), "{error}");
        }
        // As the words say.
        std::fs::write(folder.join(FILE), "5000").unwrap();
        let (_, mut epochs) = EpochStore::open(&folder).unwrap();
        assert_eq!(epochs.grant(), Ok(Epoch::new(5_001)));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_before_the_run() {
        // Below a file, which nobody may make folders in, whoever runs the test.
        let folder = Path::new("/dev/null/state");
        for error in [check(folder).unwrap_err(), EpochStore::open(folder).unwrap_err()] {
            assert!(error.to_string().contains("a folder it may write"), "{error}");
        }
    }

    #[test]
    fn a_top_up_comes_before_the_reserve_is_gone() {
        let within = tempfile::tempdir().unwrap();
        let folder = within.path().join("state");
        let (store, mut epochs) = EpochStore::open(&folder).unwrap();
        for _ in 0..5 * RESERVE {
            epochs.grant().unwrap();
            store.top_up().unwrap();
        }
    }
}
