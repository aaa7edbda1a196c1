//! The reading end of the robot agent's tap.
//!
//! Knows: how to ask for the memory, and which records in it are whole. Does not know: what becomes
//! of a record. It has no way back: the descriptor cannot be written, and nothing is ever sent over
//! the socket that gave it.
//!
//! Read with `pread`, not mapped: no unsafe code, and no signal if the memory were ever cut.

use crate::clock::uptime;
use longhand_protocol::tap::{
    HEADER_WORDS, Header, Record, SLOT_WORDS, SLOTS, WRITTEN_AT, words_of,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an agent may take to hand over its memory. Chosen: it looks every 5 ms.
const HANDED_WITHIN: Duration = Duration::from_secs(1);
/// Without a tick for as long, the agent is gone or stands still. Chosen: five hundred ticks; a
/// stall of a shared machine is shorter.
pub const SILENT_AFTER: Duration = Duration::from_millis(500);
/// How often a silent agent is asked again.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Slots that the writer may be filling while they are read: they are left out. Chosen: a tenth of
/// a second.
const MARGIN: u64 = 100;
/// Records that are read at once. Chosen: 31 kB.
const AT_ONCE: u64 = 64;

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// Nobody listens, or they gave nothing.
    #[error("{} does not answer ({source}); run the robot agent with --tap {}, as the same user",
        path.display(), path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever answered is no agent of this release.
    #[error("{} gives no tap of this release; run agent and gateway of one release",
        path.display())]
    Other {
        /// The socket.
        path: PathBuf,
    },
}

/// The memory of one run of an agent.
#[derive(Debug)]
pub struct Ring {
    memory: File,
    header: Header,
    /// The number of the next record.
    next: u64,
}

impl Ring {
    /// Asks the agent at `path` for its memory. Begins with the newest record.
    ///
    /// Errors: [`TapError`] says what to do. Blocks for a second at most.
    pub fn open(path: &Path) -> Result<Self, TapError> {
        let silent = |source| TapError::Silent { path: path.to_owned(), source };
        let memory = File::from(ask(path).map_err(silent)?);
        let other = || TapError::Other { path: path.to_owned() };
        let words: [u64; HEADER_WORDS] = words_at(&memory, 0).map_err(|_short| other())?;
        let header = Header::of(&words).ok_or_else(other)?;
        let written = words.get(WRITTEN_AT).copied().unwrap_or(0);
        Ok(Self { memory, header, next: written.max(1) })
    }

    /// Which robot and which run of its agent.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Hands on what is new, oldest first, and says how many records were overwritten unread.
    ///
    /// Errors: the memory cannot be read, which a sealed one always can.
    pub fn read(&mut self, mut take: impl FnMut(Record)) -> io::Result<u64> {
        let [written] = words_at(&self.memory, WRITTEN_AT)?;
        let kept_from = written.saturating_sub(SLOTS.saturating_sub(MARGIN)).saturating_add(1);
        let first = self.next.max(kept_from);
        let mut lost = first.saturating_sub(self.next);
        let mut number = first;
        while number <= written {
            let slot = number.saturating_sub(1) % SLOTS;
            let run = AT_ONCE.min(SLOTS.saturating_sub(slot));
            let end = number.saturating_add(run).min(written.saturating_add(1));
            lost = lost.saturating_add(self.read_run(number..end, slot, &mut take)?);
            number = end;
        }
        self.next = number.max(self.next);
        Ok(lost)
    }

    /// Records that lie one behind the other.
    fn read_run(
        &self,
        numbers: std::ops::Range<u64>,
        slot: u64,
        take: &mut impl FnMut(Record),
    ) -> io::Result<u64> {
        let count = usize::try_from(numbers.end.saturating_sub(numbers.start)).unwrap_or(0);
        let mut bytes = vec![0; count.saturating_mul(SLOT_WORDS * 8)];
        let slot_words = u64::try_from(SLOT_WORDS).unwrap_or(0);
        let header_words = u64::try_from(HEADER_WORDS).unwrap_or(0);
        let word = slot.saturating_mul(slot_words).saturating_add(header_words);
        self.memory.read_exact_at(&mut bytes, word.saturating_mul(8))?;
        let words: Vec<u64> = words_of(&bytes).collect();
        let (slots, _) = words.as_chunks::<SLOT_WORDS>();
        let mut lost = 0_u64;
        for (slot, number) in slots.iter().zip(numbers) {
            match Record::of(slot, number) {
                Some(record) => take(record),
                None => lost = lost.saturating_add(1),
            }
        }
        Ok(lost)
    }
}

/// The agent's memory over restarts of the agent.
#[derive(Debug)]
pub struct Feed {
    path: PathBuf,
    ring: Option<Ring>,
    heard_at: Duration,
    asked_at: Duration,
    lost: u64,
}

impl Feed {
    /// Begins with a ring that was opened.
    pub fn new(path: PathBuf, ring: Ring) -> Self {
        let now = uptime();
        Self { path, ring: Some(ring), heard_at: now, asked_at: now, lost: 0 }
    }

    /// Hands on what is new, oldest first. Blocks for a second at most, and only where the agent is
    /// silent and another has taken its place without answering.
    pub fn read(&mut self, mut take: impl FnMut(Record)) {
        let now = uptime();
        let mut heard = false;
        if let Some(ring) = &mut self.ring {
            let read = ring.read(|record| {
                heard = true;
                take(record);
            });
            match read {
                Ok(lost) => self.lost = self.lost.saturating_add(lost),
                Err(error) => {
                    tracing::error!("the tap can no longer be read: {error}");
                    self.ring = None;
                }
            }
        }
        if heard {
            self.heard_at = now;
        } else if self.is_silent() && now.saturating_sub(self.asked_at) >= ASK_EVERY {
            self.asked_at = now;
            self.ask_again();
        }
    }

    /// No tick has come for [`SILENT_AFTER`].
    pub fn is_silent(&self) -> bool {
        uptime().saturating_sub(self.heard_at) >= SILENT_AFTER
    }

    /// Records that were overwritten before they were read.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// An agent that was started again has new memory.
    fn ask_again(&mut self) {
        let Ok(ring) = Ring::open(&self.path) else { return };
        let known = self.ring.as_ref().map(Ring::header);
        if known != Some(ring.header()) {
            tracing::info!("the robot agent is here again");
            self.ring = Some(ring);
        }
    }
}

/// Connects, and takes the descriptor that is handed out.
fn ask(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(HANDED_WITHIN))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let handed = message.drain().find_map(|part| {
        let RecvAncillaryMessage::ScmRights(mut files) = part else { return None };
        files.next()
    });
    handed.ok_or_else(|| io::Error::other("it handed out nothing"))
}

fn words_at<const N: usize>(memory: &File, first: usize) -> io::Result<[u64; N]> {
    let mut bytes = vec![0; N.saturating_mul(8)];
    let at = u64::try_from(first).unwrap_or(u64::MAX).saturating_mul(8);
    memory.read_exact_at(&mut bytes, at)?;
    let words: Vec<u64> = words_of(&bytes).collect();
    words.try_into().map_err(|_len| io::Error::other("short"))
}
