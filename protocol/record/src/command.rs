//! `record verify | recover | info | export`, of the robot's command and of the console's: what a
//! record is worth, and what stands in it.
//!
//! Knows: arguments, and how results are printed. Does not know: what makes a seal hold (`seal`),
//! or which kind of record it is told to read: whoever calls it does.

use crate::file::{Disk, Message, RecordWriter, WriteError};
use crate::schema::{Kind, Start, Width, body, longs_of_cdr, when};
use crate::seal::{Bad, Belief, Flaw, Judged, Seal, Verdict, judge};
use clap::{Args, Subcommand};
use longhand_quic::trust::{Believed, TrustError, date, hex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// `record ...`
#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// Say whether a record is as it was written, or which message is the first that is not.
    /// Exit code: 0 whole, 1 cut or not as it was.
    Verify(Verify),
    /// Copy what is proven of a cut record into a file that every reader opens.
    Recover(Recover),
    /// Say what stands in a record.
    Info(Info),
    /// Write a record's ticks as a table.
    Export(Export),
}

/// `record verify ...`
#[derive(Debug, Args)]
pub struct Verify {
    /// The record.
    file: PathBuf,
    /// Who is believed: a folder with the hospital's ca.pem and ca.crl.
    #[arg(long, value_name = "FOLDER")]
    trust: PathBuf,
    /// What a console kept of a robot's record: `record-witness.csv` in its report. Shows also what
    /// was cut off or rolled back as a whole.
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `record recover ...`
#[derive(Debug, Args)]
pub struct Recover {
    /// The cut record; it stays as it is.
    file: PathBuf,
    /// The new file; never over one that is there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Who is believed, as for `verify`; without it, whoever signed the record.
    #[arg(long, value_name = "FOLDER")]
    trust: Option<PathBuf>,
}

/// `record info ...`
#[derive(Debug, Args)]
pub struct Info {
    /// The record.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `record export ...`
#[derive(Debug, Args)]
pub struct Export {
    /// The record.
    file: PathBuf,
    /// One line a tick, what has a word in words.
    #[arg(long, required = true)]
    csv: bool,
    /// Where it goes; to standard output if not given. Never over a file that is there.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file cannot be used.
    #[error("cannot use {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing in a file is a record.
    #[error("{path} holds no record; give an .mcap file from {found_in} record folder")]
    Nothing {
        /// Which.
        path: PathBuf,
        /// Where such a one is found.
        found_in: &'static str,
    },
    /// The hospital's certificates cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The new file cannot be written.
    #[error("{path} cannot be written: {error}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the disk said.
        error: WriteError,
    },
    /// The result could not be printed.
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// Does what was asked.
///
/// Errors: [`RecordError`].
pub fn run<K: Kind>(command: &RecordCommand) -> Result<ExitCode, RecordError> {
    match command {
        RecordCommand::Verify(asked) => verify::<K>(asked),
        RecordCommand::Recover(asked) => recover::<K>(asked),
        RecordCommand::Info(asked) => info::<K>(asked),
        RecordCommand::Export(asked) => export::<K>(asked),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecordError + '_ {
    move |error| RecordError::File { path: path.to_owned(), error }
}

/// Judges a file; each proven block to `take`.
///
/// Errors: [`RecordError::File`].
pub fn judge_file<K: Kind>(
    path: &Path,
    belief: Belief,
    take: impl FnMut(&Start, &[Message<K>]) -> io::Result<()>,
) -> Result<Judged, RecordError> {
    let file = BufReader::new(File::open(path).map_err(at(path))?);
    judge(file, belief, take).map_err(at(path))
}

/// A new file; where the command fails before [`NewFile::keep`], it is gone again.
struct NewFile<'a>(Option<&'a Path>);

impl<'a> NewFile<'a> {
    fn make(path: &'a Path) -> Result<(Self, File), RecordError> {
        let file = OpenOptions::new().create_new(true).write(true).open(path).map_err(at(path))?;
        Ok((Self(Some(path)), file))
    }

    const fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // It was made a moment ago; that it cannot be removed changes nothing.
            let _cannot = std::fs::remove_file(path);
        }
    }
}

/// Errors: [`RecordError::Nothing`] where not one record is proven.
fn something<K: Kind>(path: &Path, judged: &Judged) -> Result<(), RecordError> {
    let (path, found_in) = (path.to_owned(), K::FOUND_IN);
    let nothing = || RecordError::Nothing { path, found_in };
    (judged.proven > 0).then_some(()).ok_or_else(nothing)
}

const fn exit(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verify<K: Kind>(asked: &Verify) -> Result<ExitCode, RecordError> {
    let belief = Belief::Hospital(Box::new(Believed::load(&asked.trust)?));
    let mut kept = match &asked.witness {
        Some(path) => Kept::read(path)?,
        None => Kept::default(),
    };
    let mut again = Again::new(&asked.file)?;
    let mut judged = judge_file::<K>(&asked.file, belief, |start, block| {
        kept.compare(start, block);
        again.write(block);
        Ok(())
    })?;
    let is_packed = again.end(&judged);
    let is_bad = matches!(judged.verdict, Verdict::Bad(_));
    if let Some(bad) = kept.contradicts(&judged).filter(|_| asked.witness.is_some() && !is_bad) {
        judged.verdict = Verdict::Bad(bad);
    }
    let mut out = io::stdout().lock();
    if asked.json {
        let mut object = verdict_json::<K>(&judged);
        if let Some(object) = object.as_object_mut() {
            object.insert("packed_as_written".to_owned(), json!(is_packed));
        }
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", verdict_words::<K>(&judged))?;
        if !is_packed {
            writeln!(out, "{REPACKED}")?;
        }
    }
    let is_whole = matches!(judged.verdict, Verdict::Whole | Verdict::Part);
    Ok(exit(is_whole && is_packed))
}

const REPACKED: &str = "NOT PACKED AS WRITTEN: the file around the records is not what this \
                        release writes; a reader that goes by its index may be shown less. \
                        `record recover` packs the records anew";

/// Writes the proven messages once more, and looks whether the same file comes out: indexes and all
/// else that no seal is over.
struct Again<K> {
    writer: Option<RecordWriter<K>>,
    is_same: Arc<AtomicBool>,
}

impl<K: Kind> Again<K> {
    fn new(path: &Path) -> Result<Self, RecordError> {
        let is_same = Arc::new(AtomicBool::new(true));
        let file = BufReader::new(File::open(path).map_err(at(path))?);
        let disk = Beside { file, is_same: Arc::clone(&is_same) };
        let writer = RecordWriter::new(Box::new(disk)).ok();
        Ok(Self { writer, is_same })
    }

    fn write(&mut self, block: &[Message<K>]) {
        let Some(writer) = &mut self.writer else { return };
        let done = block.iter().try_for_each(|message| writer.write(message));
        if done.and_then(|()| writer.end_block()).is_err() {
            self.is_same.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the same came out. A file that was cut has no index yet: only its blocks count.
    fn end(mut self, judged: &Judged) -> bool {
        let is_ended = matches!(judged.verdict, Verdict::Whole | Verdict::Part);
        let before = self.is_same.load(Ordering::Relaxed);
        let ended = self.writer.take().is_some_and(|writer| writer.finish().is_ok());
        before && (!is_ended || (ended && self.is_same.load(Ordering::Relaxed)))
    }
}

/// Takes what is in the file already, and nothing else.
struct Beside {
    file: BufReader<File>,
    is_same: Arc<AtomicBool>,
}

impl Disk for Beside {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut there = vec![0; bytes.len()];
        let read = self.file.read_exact(&mut there);
        if read.is_err() || there != bytes {
            self.is_same.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a console kept of a record.
#[derive(Debug, Default)]
struct Kept {
    /// Case, part, how many messages, chain; in hexadecimal but for the numbers.
    heads: Vec<(String, u64, u64, String)>,
    /// Of this record's, how many the file has.
    found: u64,
    /// The first that the file has otherwise.
    other: Option<u64>,
}

impl Kept {
    fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        let heads = text.lines().skip(1).map(|line| {
            let mut cells = line.split(',');
            let case = cells.next()?.to_owned();
            let (part, records) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
            Some((case, part, records, cells.next()?.to_owned()))
        });
        let heads: Option<Vec<_>> = heads.collect();
        let nonsense = || io::Error::other("it is not what a console keeps of a record");
        Ok(Self { heads: heads.ok_or_else(nonsense).map_err(at(path))?, ..Self::default() })
    }

    /// The block's seal against what was kept of it.
    fn compare<K: Kind>(&mut self, start: &Start, block: &[Message<K>]) {
        let Some(seal) = block.last().and_then(|message| Seal::of_cdr(&message.data)) else {
            return;
        };
        let case = start.case();
        for (kept_case, part, records, chain) in &self.heads {
            if (kept_case, *part, *records) == (&case, start.part, seal.records) {
                self.found = self.found.saturating_add(1);
                if *chain != hex(&seal.chain) {
                    self.other = self.other.or(Some(seal.records));
                }
            }
        }
    }

    /// Where the file is not what was kept: another chain, or less than there was.
    fn contradicts(&self, judged: &Judged) -> Option<Bad> {
        let start = judged.start.as_ref()?;
        let case = start.case();
        let of_this = |head: &&(String, u64, u64, String)| head.0 == case && head.1 == start.part;
        // A head without a seal yet is the beginning of a session: the alarm alone.
        let mine = self.heads.iter().filter(of_this).filter(|head| head.2 > 0);
        if mine.clone().next().is_none() {
            return Some(Bad { record: 0, after_tick: None, flaw: Flaw::Unwitnessed });
        }
        let lost = mine.map(|head| head.2).find(|records| *records >= judged.proven);
        let (record, flaw) = match (self.other, lost) {
            (Some(record), _) => (record, Flaw::Other),
            (None, Some(_)) => (judged.proven, Flaw::Missing),
            (None, None) => return None,
        };
        Some(Bad { record, after_tick: None, flaw })
    }
}

fn verdict_words<K: Kind>(judged: &Judged) -> String {
    let proven = judged.proven;
    let of = judged.start.as_ref().map_or(String::new(), |start| {
        let (case, whose, Start { robot, part, .. }) = (start.case(), K::WHOSE, start);
        format!(", case {case} of {whose} {robot}, part {part}")
    });
    match &judged.verdict {
        Verdict::Whole => format!("whole: {proven} records as they were written{of}"),
        Verdict::Part => {
            format!("whole: {proven} records as they were written{of}; another part follows")
        }
        Verdict::Cut => format!(
            "CUT: {proven} records as they were written{of}; then it stops, record {proven} is \
             missing: a crash, or somebody cut it"
        ),
        Verdict::Bad(bad) => format!("BAD: {}; {proven} records before are proven{of}", words(bad)),
    }
}

fn words(bad: &Bad) -> String {
    let after = bad.after_tick.map_or(String::new(), |tick| format!(" (after tick {tick})"));
    format!("record {}{after} is the first that is not as it was: {}", bad.record, bad.flaw)
}

fn verdict_json<K: Kind>(judged: &Judged) -> Value {
    let (word, first_bad, after_tick, flaw) = match &judged.verdict {
        Verdict::Whole => ("whole", None, None, None),
        Verdict::Part => ("part", None, None, None),
        Verdict::Cut => ("cut", Some(judged.proven), None, Some("it stops here".to_owned())),
        Verdict::Bad(bad) => ("bad", Some(bad.record), bad.after_tick, Some(bad.flaw.to_string())),
    };
    json!({
        "schema": "longhand record verdict v1",
        "of": K::WHOSE,
        "verdict": word,
        "proven": judged.proven,
        "first_bad": first_bad,
        "after_tick": after_tick,
        "flaw": flaw,
        "case": judged.start.as_ref().map(Start::case),
        "robot": judged.start.as_ref().map(|start| start.robot),
        "part": judged.start.as_ref().map(|start| start.part),
    })
}

/// Copies what is proven; says what it found.
fn recover<K: Kind>(asked: &Recover) -> Result<ExitCode, RecordError> {
    let belief = match &asked.trust {
        Some(folder) => Belief::Hospital(Box::new(Believed::load(folder)?)),
        None => Belief::Itself,
    };
    let failed = |error| RecordError::Write { path: asked.out.clone(), error };
    let (mut new, file) = NewFile::make(&asked.out)?;
    let mut writer = RecordWriter::new(Box::new(Unhurried(file))).map_err(failed)?;
    let judged = judge_file::<K>(&asked.file, belief, |_, block| {
        let done = block.iter().try_for_each(|message| writer.write(message));
        done.and_then(|()| writer.end_block()).map_err(io::Error::other)
    })?;
    writer.finish().map_err(failed)?;
    something::<K>(&asked.file, &judged)?;
    new.keep();
    eprintln!("{}", verdict_words::<K>(&judged));
    println!("{} records in {}", judged.proven, asked.out.display());
    Ok(exit(!matches!(judged.verdict, Verdict::Bad(_))))
}

/// A file of which there is another: nobody waits for the disk.
struct Unhurried(File);

impl Disk for Unhurried {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands in a record, counted.
#[derive(Debug, Default)]
struct Sum {
    ticks: u64,
    commands: u64,
    missing: u64,
    first: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
    /// By the word in [`Kind::COUNTED_BY`].
    ticks_in: BTreeMap<&'static str, u64>,
    seals: u64,
}

impl Sum {
    fn add<K: Kind>(&mut self, message: &Message<K>) {
        if message.topic == K::COMMAND {
            self.commands = self.commands.saturating_add(1);
        } else if message.topic == K::SEAL {
            self.seals = self.seals.saturating_add(1);
        } else if message.topic == K::GAP {
            let [_, ticks] = longs_of_cdr(&message.data).unwrap_or_default();
            self.missing = self.missing.saturating_add(ticks);
        } else if message.topic == K::TICK {
            let Some((tick, at)) = when::<K>(&message.data) else { return };
            self.ticks = self.ticks.saturating_add(1);
            self.first = self.first.or(Some((tick, at.as_micros())));
            self.last = Some((tick, at.as_micros()));
            if let Some(word) = counted_by::<K>(&message.data) {
                let count = self.ticks_in.entry(word).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// From the first tick to the last, microseconds.
    fn span_us(&self) -> u64 {
        let at = |end: Option<(u64, u64)>| end.map_or(0, |(_, at)| at);
        at(self.last).saturating_sub(at(self.first))
    }
}

fn info<K: Kind>(asked: &Info) -> Result<ExitCode, RecordError> {
    let mut sum = Sum::default();
    let judged = judge_file::<K>(&asked.file, Belief::Itself, |_, block| {
        block.iter().for_each(|message| sum.add(message));
        Ok(())
    })?;
    something::<K>(&asked.file, &judged)?;
    let bytes = std::fs::metadata(&asked.file).map_err(at(&asked.file))?.len();
    let start = judged.start.as_ref();
    let began = start.map(|s| SystemTime::UNIX_EPOCH + Duration::from_nanos(s.wall_ns));
    let span = sum.span_us();
    let a_second = bytes.saturating_mul(1_000_000).checked_div(span);
    let mut out = io::stdout().lock();
    if asked.json {
        let mut object = json!({
            "schema": "longhand record info v1",
            "of": K::WHOSE,
            "case": start.map(Start::case),
            "robot": start.map(|s| s.robot),
            "part": start.map(|s| s.part),
            "program": start.map(|s| s.program.clone()),
            "began": began.map(date),
            "records": judged.proven, "seals": sum.seals,
            "ticks": sum.ticks, "first_tick": sum.first.map(|(tick, _)| tick),
            "last_tick": sum.last.map(|(tick, _)| tick),
            "commands": sum.commands, "missing_ticks": sum.missing,
            "span_us": span, "bytes": bytes, "bytes_per_s": a_second,
            "ticks_in": sum.ticks_in,
        });
        let hash = start.map(|s| format!("{:016x}", s.settings_hash));
        if let Some(object) = object.as_object_mut() {
            object.insert(format!("{}_hash", K::SETTINGS), json!(hash));
        }
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", verdict_words::<K>(&judged))?;
        writeln!(out, "began {}", began.map_or("never".to_owned(), date))?;
        let a_second = a_second.unwrap_or(0);
        writeln!(
            out,
            "{} ticks, {} commands, {} ticks missing; {bytes} bytes, {a_second} a second",
            sum.ticks, sum.commands, sum.missing
        )?;
        for (word, ticks) in &sum.ticks_in {
            writeln!(out, "{word:<12} {ticks:>9} ticks")?;
        }
        writeln!(out, "who signed it was not looked at: verify --trust does")?;
    }
    Ok(exit(!matches!(judged.verdict, Verdict::Bad(_))))
}

fn export<K: Kind>(asked: &Export) -> Result<ExitCode, RecordError> {
    let (mut new, mut out): (NewFile<'_>, Box<dyn Write>) = match &asked.out {
        Some(path) => {
            let (new, file) = NewFile::make(path)?;
            (new, Box::new(BufWriter::new(file)))
        }
        None => (NewFile(None), Box::new(BufWriter::new(io::stdout().lock()))),
    };
    writeln!(out, "{}", csv_head::<K>())?;
    let judged = judge_file::<K>(&asked.file, Belief::Itself, |_, block| {
        let ticks = block.iter().filter(|message| message.topic == K::TICK);
        for tick in ticks.filter(|tick| when::<K>(&tick.data).is_some()) {
            writeln!(out, "{}", csv_row::<K>(&tick.data))?;
        }
        Ok(())
    })?;
    out.flush()?;
    something::<K>(&asked.file, &judged)?;
    new.keep();
    if !matches!(judged.verdict, Verdict::Whole | Verdict::Part) {
        eprintln!("{}", verdict_words::<K>(&judged));
    }
    Ok(exit(!matches!(judged.verdict, Verdict::Bad(_))))
}

fn csv_head<K: Kind>() -> String {
    let names = K::FIELDS.iter().flat_map(|field| {
        (0..field.times).map(|place| match field.times {
            1 => field.name.to_owned(),
            _ => format!("{}_{place}", field.name),
        })
    });
    names.collect::<Vec<_>>().join(",")
}

/// What has a word in words, all else in numbers.
fn csv_row<K: Kind>(tick: &[u8]) -> String {
    let cells = elements::<K>(tick).map(|(name, element)| match element.word::<K>(name) {
        Some(word) => word.to_owned(),
        None => element.to_string(),
    });
    cells.collect::<Vec<_>>().join(",")
}

/// The word by which a tick is counted.
fn counted_by<K: Kind>(tick: &[u8]) -> Option<&'static str> {
    let (name, element) = elements::<K>(tick).find(|(name, _)| *name == K::COUNTED_BY)?;
    element.word::<K>(name)
}

/// Every element of a tick, with the name of its field.
fn elements<K: Kind>(tick: &[u8]) -> impl Iterator<Item = (&'static str, Element)> + '_ {
    let mut rest = body(tick);
    let all = K::FIELDS.iter().flat_map(|field| std::iter::repeat_n(field, field.times));
    all.map(move |field| {
        let long = rest.first_chunk().copied().unwrap_or_default();
        let short = rest.first_chunk().copied().unwrap_or_default();
        let element = match field.width {
            Width::U64 => Element::Whole(u64::from_le_bytes(long)),
            Width::F64 => Element::Float(f64::from_le_bytes(long)),
            Width::U32 => Element::Whole(u32::from_le_bytes(short).into()),
            Width::U8 => Element::Whole(rest.first().copied().unwrap_or(0).into()),
        };
        rest = rest.get(field.width.bytes()..).unwrap_or_default();
        (field.name, element)
    })
}

/// One number of a tick.
enum Element {
    Whole(u64),
    Float(f64),
}

impl Element {
    fn word<K: Kind>(&self, field: &str) -> Option<&'static str> {
        match self {
            Self::Whole(number) => K::word(field, *number),
            Self::Float(_) => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            // Shortest text that reads back as the same number.
            Self::Float(number) => number.fmt(f),
        }
    }
}
