//! The relay's packet log: one CSV row a packet, written by a thread of its own.
//!
//! Knows: the columns, and how many rows came too fast. Does not know: sockets. The relay's thread
//! only hands rows over and never waits; when the queue is full the newest row is dropped and
//! counted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use longhand_link::{Direction, DropCause};
use longhand_protocol::units::{Instant, Link};

use super::RelayError;

/// Rows waiting to be written. Chosen: a second of 20,000 packets/s, three times over.
const ROWS_MAX: usize = 65_536;

/// The log of one run. Dropping it writes what is left.
#[derive(Debug)]
pub(super) struct Log {
    rows: Option<SyncSender<Row>>,
    lost: u64,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Row {
    sent: Instant<Link>,
    direction: Direction,
    bytes: usize,
    end: End,
}

#[derive(Debug)]
enum End {
    Left { due: Instant<Link>, left: Instant<Link> },
    Dropped(DropCause),
}

impl Log {
    pub(super) fn create(path: &Path) -> Result<Self, RelayError> {
        let fail = |why| RelayError::Log { path: path.to_path_buf(), why };
        let mut file = BufWriter::new(File::create(path).map_err(fail)?);
        writeln!(file, "sent_us,dir,bytes,fate,due_us,left_us,error_us").map_err(fail)?;
        let (rows, queue) = sync_channel(ROWS_MAX);
        let writer = std::thread::Builder::new().name("relay-log".into());
        let writer = writer.spawn(move || write_all(&queue, file)).map_err(RelayError::System)?;
        Ok(Self { rows: Some(rows), lost: 0, writer: Some(writer) })
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn left(
        &mut self,
        sent: Instant<Link>,
        direction: Direction,
        bytes: usize,
        due: Instant<Link>,
        left: Instant<Link>,
    ) {
        self.put(Row { sent, direction, bytes, end: End::Left { due, left } });
    }

    pub(super) fn dropped(
        &mut self,
        sent: Instant<Link>,
        direction: Direction,
        bytes: usize,
        cause: DropCause,
    ) {
        self.put(Row { sent, direction, bytes, end: End::Dropped(cause) });
    }

    fn put(&mut self, row: Row) {
        let taken = self.rows.as_ref().is_some_and(|rows| rows.try_send(row).is_ok());
        self.lost = self.lost.saturating_add(u64::from(!taken));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Closing the queue ends the writer, which first writes what is in it.
        self.rows = None;
        if let Some(writer) = self.writer.take() {
            let _ended = writer.join();
        }
    }
}

/// Writes rows until the queue closes. A disk that refuses ends the log, never the relay; the rows
/// after it are counted as lost by the relay.
fn write_all(queue: &Receiver<Row>, mut file: BufWriter<File>) {
    for row in queue {
        let (sent, direction, bytes) = (row.sent.as_micros(), row.direction.name(), row.bytes);
        let written = match row.end {
            End::Left { due, left } => {
                let error = left.since(due).as_micros();
                let (due, left) = (due.as_micros(), left.as_micros());
                writeln!(file, "{sent},{direction},{bytes},delivered,{due},{left},{error}")
            }
            End::Dropped(cause) => writeln!(file, "{sent},{direction},{bytes},{},,,", cause.name()),
        };
        if written.is_err() {
            return;
        }
    }
    let _flushed = file.flush();
}
