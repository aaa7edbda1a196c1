//! A record as an MCAP file, profile `ros2`: written block by block, read from front to back.
//!
//! Knows: channels, chunks, disks. Does not know: hashes (`seal`), or what a message means
//! (`schema`); which topics there are a `Kind` says. A block is one chunk, written in one go and
//! synced; a cut file is whole up to its last block. Whatever bytes come in, the reader gives
//! messages or words, and asks for no memory that the file's own size does not justify.
//! Source: the MCAP specification, mcap.dev/spec; its registry for `ros2`, `ros2msg`, `cdr`.

use crate::schema::Kind;
use longhand_quic::trust::hex;
use mcap::records::{MessageHeader, Record, op};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use mcap::{Compression, McapError, WriteOptions};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One message of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<K> {
    /// What it is about.
    pub topic: K,
    /// Its number on its topic, from 0.
    pub sequence: u32,
    /// Wall time, nanoseconds since 1970, by the offset in the file's start.
    pub log_time: u64,
    /// CDR.
    pub data: Vec<u8>,
}

/// Where a record goes.
pub trait Disk: Send {
    /// Takes all of it, behind what is there.
    ///
    /// Errors: the system's; nothing more is written then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Comes back when everything is where a power cut leaves it.
    ///
    /// Errors: the system's.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A new file, never over an old one; its name is on disk, too.
///
/// Errors: the system's.
pub fn create(folder: &Path, case_id: &[u8; 16], part: u64) -> io::Result<(PathBuf, File)> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}-{part:04}.mcap", hex(case_id)));
    let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
    File::open(folder)?.sync_all()?;
    Ok((path, file))
}

/// The record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The MCAP library refused.
    #[error("{0}")]
    Mcap(#[from] McapError),
    /// The key refused.
    #[error("{0}")]
    Key(#[from] longhand_quic::trust::SigningError),
    /// No number for the case.
    #[error("{0}")]
    Random(#[from] longhand_quic::random::NoRandom),
}

/// Writes a record.
pub struct RecordWriter<K> {
    mcap: mcap::Writer<Block>,
    disk: Arc<Mutex<Box<dyn Disk>>>,
    sequences: BTreeMap<K, u32>,
}

impl<K: Kind> RecordWriter<K> {
    /// Begins a file on `disk`.
    ///
    /// Errors: [`WriteError`].
    pub fn new(disk: Box<dyn Disk>) -> Result<Self, WriteError> {
        let disk = Arc::new(Mutex::new(disk));
        let block = Block { disk: Arc::clone(&disk), waiting: Vec::new(), written: 0 };
        // One chunk a block and no other: `flush` alone ends one. No threads beside the recorder's.
        let options = WriteOptions::new()
            .profile("ros2")
            .compression(Some(Compression::Zstd))
            .compression_level(1)
            .compression_threads(0)
            .chunk_size(None)
            .disable_seeking(true);
        let mut mcap = options.create(block)?;
        for topic in K::TOPICS {
            let definition = topic.definition();
            let schema = mcap.add_schema(topic.type_name(), "ros2msg", definition.as_bytes())?;
            mcap.add_channel(schema, topic.name(), "cdr", &BTreeMap::new())?;
        }
        Ok(Self { mcap, disk, sequences: BTreeMap::new() })
    }

    /// A message that carries the next number of its topic. Not written yet.
    pub fn next(&self, topic: K, log_time: u64, data: Vec<u8>) -> Message<K> {
        let sequence = self.sequences.get(&topic).copied().unwrap_or(0);
        Message { topic, sequence, log_time, data }
    }

    /// Writes a message into the open block.
    ///
    /// Errors: [`WriteError`].
    pub fn write(&mut self, message: &Message<K>) -> Result<(), WriteError> {
        self.sequences.insert(message.topic, message.sequence.wrapping_add(1));
        let header = MessageHeader {
            channel_id: channel(message.topic),
            sequence: message.sequence,
            log_time: message.log_time,
            publish_time: message.log_time,
        };
        Ok(self.mcap.write_to_known_channel(&header, &message.data)?)
    }

    /// Ends the block and hands it to the system: the death of this process no longer harms it.
    ///
    /// Errors: [`WriteError`].
    pub fn end_block(&mut self) -> Result<(), WriteError> {
        Ok(self.mcap.flush()?)
    }

    /// Puts every block that has ended where a power cut leaves it. Waits for the disk.
    ///
    /// Errors: [`WriteError`].
    pub fn sync(&mut self) -> Result<(), WriteError> {
        Ok(lock(&self.disk).sync()?)
    }

    /// Ends the file. Waits for the disk.
    ///
    /// Errors: [`WriteError`].
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.mcap.finish()?;
        let mut block = self.mcap.into_inner();
        block.flush()?;
        Ok(lock(&self.disk).sync()?)
    }
}

/// The library numbers channels from 1 in the order in which they are added.
fn channel<K: Kind>(topic: K) -> u16 {
    u16::try_from(topic.place()).unwrap_or(0).saturating_add(1)
}

fn lock(disk: &Mutex<Box<dyn Disk>>) -> std::sync::MutexGuard<'_, Box<dyn Disk>> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the library writes between two flushes goes to the disk at once.
struct Block {
    disk: Arc<Mutex<Box<dyn Disk>>>,
    waiting: Vec<u8>,
    written: u64,
}

impl Write for Block {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.waiting);
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        lock(&self.disk).append(&bytes)
    }
}

impl Seek for Block {
    /// Says where it is; goes nowhere.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(0);
        match to {
            SeekFrom::Current(0) => Ok(self.written.saturating_add(waiting)),
            SeekFrom::Start(_) | SeekFrom::End(_) | SeekFrom::Current(_) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

/// How a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With everything that an MCAP file ends with.
    Whole,
    /// In the middle: it was cut, or never finished.
    Cut,
    /// At something that is not what is written into a record.
    Broken(String),
}

/// No message of ours is longer: 256 commands a tick, 40 ticks a block, 8 bytes of seal each.
const RECORD_MAX: usize = 1 << 20;
/// Read at once.
const READ: usize = 1 << 16;

/// Reads a record from front to back; each message to `take`, which may stop it with an error.
///
/// Errors: the file cannot be read, or what `take` said.
pub fn read<K: Kind, E: From<io::Error>>(
    mut from: impl Read,
    mut take: impl FnMut(Message<K>) -> Result<(), E>,
) -> Result<End, E> {
    let options = LinearReaderOptions::default()
        .with_validate_chunk_crcs(true)
        .with_validate_data_section_crc(true)
        .with_validate_summary_section_crc(true)
        .with_check_finishes_after_end_magic(true)
        .with_record_length_limit(RECORD_MAX);
    let mut reader = LinearReader::new_with_options(options);
    let mut shape = Shape::<K>::new();
    let mut is_over = false;
    while let Some(event) = reader.next_event() {
        match event {
            Ok(LinearReadEvent::ReadRequest(wanted)) => {
                let count = from.read(reader.insert(wanted.clamp(1, READ)))?;
                is_over = count == 0;
                reader.notify_read(count);
            }
            Ok(LinearReadEvent::Record { data, opcode }) => match shape.take(opcode, data) {
                Ok(Some(message)) => take(message)?,
                Ok(None) => {}
                Err(words) => return Ok(End::Broken(words)),
            },
            Err(_) if is_over => return Ok(End::Cut),
            Err(error) => return Ok(End::Broken(error.to_string())),
        }
    }
    Ok(if shape.is_ended { End::Whole } else { End::Cut })
}

/// What may stand in a record, and where.
#[derive(Debug)]
struct Shape<K> {
    has_header: bool,
    schemas: usize,
    channels: usize,
    is_data_over: bool,
    is_ended: bool,
    kind: PhantomData<K>,
}

impl<K: Kind> Shape<K> {
    const fn new() -> Self {
        Self {
            has_header: false,
            schemas: 0,
            channels: 0,
            is_data_over: false,
            is_ended: false,
            kind: PhantomData,
        }
    }

    fn take(&mut self, opcode: u8, data: &[u8]) -> Result<Option<Message<K>>, String> {
        let record = mcap::parse_record(opcode, data).map_err(|error| error.to_string())?;
        match record {
            Record::Header(header) if !self.has_header && header.profile == "ros2" => {
                self.has_header = true;
            }
            Record::Schema { header, data } => {
                let topic = K::TOPICS.get(usize::from(header.id).wrapping_sub(1)).copied();
                let is_ours = topic.is_some_and(|topic| {
                    header.name == topic.type_name()
                        && header.encoding == "ros2msg"
                        && data == topic.definition().as_bytes()
                });
                self.schemas = self.schemas.saturating_add(1);
                if !is_ours || (!self.is_data_over && self.schemas > K::TOPICS.len()) {
                    return Err(format!("schema {} is not one of a record's", header.id));
                }
            }
            Record::Channel(found) => {
                let topic = K::TOPICS.get(usize::from(found.id).wrapping_sub(1)).copied();
                let is_ours = topic.is_some_and(|topic| {
                    found.topic == topic.name()
                        && found.schema_id == found.id
                        && found.message_encoding == "cdr"
                        && found.metadata.is_empty()
                });
                self.channels = self.channels.saturating_add(1);
                if !is_ours || (!self.is_data_over && self.channels > K::TOPICS.len()) {
                    return Err(format!("channel {} is not one of a record's", found.id));
                }
            }
            Record::Message { header, data } if !self.is_data_over => {
                let place = usize::from(header.channel_id).wrapping_sub(1);
                let topic = K::TOPICS.get(place).copied();
                let topic = topic.filter(|_| place < self.channels && self.has_header);
                let topic = topic.ok_or("a message on no channel of a record's")?;
                if header.publish_time != header.log_time {
                    return Err("a publish time that is not its log time".to_owned());
                }
                let (sequence, log_time) = (header.sequence, header.log_time);
                return Ok(Some(Message { topic, sequence, log_time, data: data.into_owned() }));
            }
            Record::MessageIndex(_) if !self.is_data_over => {}
            Record::DataEnd(_) if !self.is_data_over => self.is_data_over = true,
            Record::ChunkIndex(_) | Record::Statistics(_) | Record::SummaryOffset(_)
                if self.is_data_over => {}
            Record::Footer(_) if self.is_data_over => self.is_ended = true,
            Record::Header(_)
            | Record::Message { .. }
            | Record::MessageIndex(_)
            | Record::DataEnd(_)
            | Record::ChunkIndex(_)
            | Record::Statistics(_)
            | Record::SummaryOffset(_)
            | Record::Footer(_)
            | Record::Chunk { .. }
            | Record::Attachment { .. }
            | Record::AttachmentIndex(_)
            | Record::Metadata(_)
            | Record::MetadataIndex(_)
            | Record::Unknown { .. } => {
                return Err(format!("an MCAP record of kind {opcode:#04x} where none may stand"));
            }
        }
        Ok(None)
    }
}

/// The library's kinds are the specification's.
const _: () = assert!(op::MESSAGE == 0x05);
