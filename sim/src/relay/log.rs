//! The relay's packet log: one CSV row a packet, written by a thread of its own.
//!
//! Knows: the columns, how many rows came too fast, and why a disk refused. Does not know: sockets.
//! `fate` is `delivered` or `corrupted` where the system took the packet, `send-failed` where it
//! did not, and else why the link dropped it. Whether anybody listened at the far end no relay
//! knows.
//! The relay's thread only hands rows over and never waits; when the queue is full the newest row
//! is dropped and counted.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use longhand_link::{Direction, DropCause};
use longhand_protocol::units::{Instant, Link};

use super::RelayError;

/// Rows waiting to be written. Chosen: a second of 20,000 packets/s, three times over.
const ROWS_MAX: usize = 65_536;

/// The log of one run. Dropping it writes what is left; [`Log::finish`] also says how that went.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    rows: Option<SyncSender<Row>>,
    offered: u64,
    lost: u64,
    writer: Option<JoinHandle<Result<(), io::Error>>>,
}

/// Why a log is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFailure {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub why: String,
}

#[derive(Debug)]
struct Row {
    sent: Sent,
    end: End,
}

/// What is known of a packet when it came to the relay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant<Link>,
    pub(super) direction: Direction,
    /// Whose: the client's number.
    pub(super) client: u64,
    pub(super) bytes: usize,
}

/// What became of a packet that the link let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) due: Instant<Link>,
    pub(super) left: Instant<Link>,
    /// With a wrong bit.
    pub(super) corrupted: bool,
    /// Whether the system took it.
    pub(super) sent_on: bool,
}

#[derive(Debug)]
enum End {
    Left(Left),
    Dropped(DropCause),
}

impl Log {
    pub(super) fn create(path: &Path) -> Result<Self, RelayError> {
        let fail = |why| RelayError::Log { path: path.to_path_buf(), why };
        let mut file = BufWriter::new(File::create(path).map_err(fail)?);
        writeln!(file, "sent_us,dir,bytes,fate,due_us,left_us,error_us,client").map_err(fail)?;
        let (rows, queue) = sync_channel(ROWS_MAX);
        let writer = std::thread::Builder::new().name("relay-log".into());
        let writer = writer.spawn(move || write_all(&queue, file)).map_err(RelayError::System)?;
        let path = path.to_path_buf();
        Ok(Self { path, rows: Some(rows), offered: 0, lost: 0, writer: Some(writer) })
    }

    /// Rows that are not in the file, as far as is known before the end.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what is left. Says how many rows are surely not all in the file, and why.
    ///
    /// A buffered writer that fails cannot say which of its rows reached the disk, so where it
    /// failed every row counts as lost but those that are found in the file.
    pub(super) fn finish(mut self) -> (u64, Option<LogFailure>) {
        let Some(why) = self.close() else { return (self.lost, None) };
        let there = whole_rows(&self.path);
        (self.offered.saturating_sub(there), Some(LogFailure { path: self.path.clone(), why }))
    }

    /// Closing the queue ends the writer, which first writes what is in it.
    fn close(&mut self) -> Option<String> {
        self.rows = None;
        match self.writer.take()?.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_panic) => Some(String::from("its thread died; this is a defect")),
        }
    }

    pub(super) fn left(&mut self, sent: Sent, left: Left) {
        self.put(Row { sent, end: End::Left(left) });
    }

    pub(super) fn dropped(&mut self, sent: Sent, cause: DropCause) {
        self.put(Row { sent, end: End::Dropped(cause) });
    }

    fn put(&mut self, row: Row) {
        self.offered = self.offered.saturating_add(1);
        let taken = self.rows.as_ref().is_some_and(|rows| rows.try_send(row).is_ok());
        self.lost = self.lost.saturating_add(u64::from(!taken));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _untold = self.close();
    }
}

/// Rows of the file behind its heading that end as they should. A device has none, however much
/// can be read from it.
fn whole_rows(path: &Path) -> u64 {
    let Ok(file) = File::open(path) else { return 0 };
    let length = file.metadata().map_or(0, |about| about.len());
    let bytes = BufReader::new(file).take(length).bytes();
    let ends = bytes.filter(|byte| matches!(byte, Ok(b'\n'))).count();
    u64::try_from(ends).unwrap_or(u64::MAX).saturating_sub(1)
}

/// Writes rows until the queue closes. A disk that refuses ends the log, never the relay.
fn write_all(queue: &Receiver<Row>, mut file: BufWriter<File>) -> Result<(), io::Error> {
    for row in queue {
        let Sent { at, direction, client, bytes } = row.sent;
        let (sent, direction) = (at.as_micros(), direction.name());
        match row.end {
            End::Left(Left { due, left, corrupted, sent_on }) => {
                let fate = match (sent_on, corrupted) {
                    (false, _) => "send-failed",
                    (true, true) => "corrupted",
                    (true, false) => "delivered",
                };
                let error = left.since(due).as_micros();
                let (due, left) = (due.as_micros(), left.as_micros());
                writeln!(file, "{sent},{direction},{bytes},{fate},{due},{left},{error},{client}")?;
            }
            End::Dropped(cause) => {
                writeln!(file, "{sent},{direction},{bytes},{},,,,{client}", cause.name())?;
            }
        }
    }
    file.flush()
}
