//! `longhand-robot-agent record verify | recover | info | export`: what a record is worth, and what
//! stands in it.
//!
//! Knows: arguments, and how results are printed. Does not know: what makes a seal hold
//! (`record::seal`).

use crate::record::file::{Disk, Message, RecordWriter, WriteError};
use crate::record::schema::{Start, Topic, longs_of_cdr, tick_of_cdr};
use crate::record::seal::{Bad, Belief, Flaw, Judged, Seal, Verdict, judge};
use crate::record::tick::{FIELDS, TickWords, Width, stage_of, when};
use clap::{Args, Subcommand};
use longhand_protocol::message::Stage;
use longhand_quic::trust::{Believed, TrustError, date, hex};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// `longhand-robot-agent record ...`
#[derive(Subcommand)]
pub enum RecordCommand {
    /// Say whether a record is as the robot wrote it, or which message is the first that is not.
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
#[derive(Args)]
pub struct Verify {
    /// The record.
    file: PathBuf,
    /// Whose robots are believed: a folder with the hospital's ca.pem and ca.crl.
    #[arg(long, value_name = "FOLDER")]
    trust: PathBuf,
    /// What a console kept of it: `record-witness.csv` in its report. Shows also what was cut off
    /// or rolled back as a whole.
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `record recover ...`
#[derive(Args)]
pub struct Recover {
    /// The cut record; it stays as it is.
    file: PathBuf,
    /// The new file; never over one that is there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Whose robots are believed; without it, whoever signed the record.
    #[arg(long, value_name = "FOLDER")]
    trust: Option<PathBuf>,
}

/// `record info ...`
#[derive(Args)]
pub struct Info {
    /// The record.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `record export ...`
#[derive(Args)]
pub struct Export {
    /// The record.
    file: PathBuf,
    /// One line a tick, stages and reasons in words.
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
    #[error("{path} holds no record; give an .mcap file from an agent's record folder")]
    Nothing {
        /// Which.
        path: PathBuf,
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
pub fn run(command: &RecordCommand) -> Result<ExitCode, RecordError> {
    match command {
        RecordCommand::Verify(asked) => verify(asked),
        RecordCommand::Recover(asked) => recover(asked),
        RecordCommand::Info(asked) => info(asked),
        RecordCommand::Export(asked) => export(asked),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecordError + '_ {
    move |error| RecordError::File { path: path.to_owned(), error }
}

/// Judges a file; each proven block to `take`.
///
/// Errors: [`RecordError::File`].
pub fn judge_file(
    path: &Path,
    belief: Belief,
    take: impl FnMut(&Start, &[Message]) -> io::Result<()>,
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
fn something(path: &Path, judged: &Judged) -> Result<(), RecordError> {
    let nothing = || RecordError::Nothing { path: path.to_owned() };
    (judged.proven > 0).then_some(()).ok_or_else(nothing)
}

const fn exit(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verify(asked: &Verify) -> Result<ExitCode, RecordError> {
    let belief = Belief::Hospital(Box::new(Believed::load(&asked.trust)?));
    let mut kept = match &asked.witness {
        Some(path) => Kept::read(path)?,
        None => Kept::default(),
    };
    let mut again = Again::new(&asked.file)?;
    let mut judged = judge_file(&asked.file, belief, |start, block| {
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
        let mut object = verdict_json(&judged);
        if let Some(object) = object.as_object_mut() {
            object.insert("packed_as_written".to_owned(), json!(is_packed));
        }
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", verdict_words(&judged))?;
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
struct Again {
    writer: Option<RecordWriter>,
    is_same: Arc<AtomicBool>,
}

impl Again {
    fn new(path: &Path) -> Result<Self, RecordError> {
        let is_same = Arc::new(AtomicBool::new(true));
        let file = BufReader::new(File::open(path).map_err(at(path))?);
        let disk = Beside { file, is_same: Arc::clone(&is_same) };
        let writer = RecordWriter::new(Box::new(disk)).ok();
        Ok(Self { writer, is_same })
    }

    fn write(&mut self, block: &[Message]) {
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
    fn compare(&mut self, start: &Start, block: &[Message]) {
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

fn verdict_words(judged: &Judged) -> String {
    let proven = judged.proven;
    let of = judged.start.as_ref().map_or(String::new(), |start| {
        format!(", case {} of robot {}, part {}", start.case(), start.robot, start.part)
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

fn verdict_json(judged: &Judged) -> Value {
    let (word, first_bad, after_tick, flaw) = match &judged.verdict {
        Verdict::Whole => ("whole", None, None, None),
        Verdict::Part => ("part", None, None, None),
        Verdict::Cut => ("cut", Some(judged.proven), None, Some("it stops here".to_owned())),
        Verdict::Bad(bad) => ("bad", Some(bad.record), bad.after_tick, Some(bad.flaw.to_string())),
    };
    json!({
        "schema": "longhand record verdict v1",
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
fn recover(asked: &Recover) -> Result<ExitCode, RecordError> {
    let belief = match &asked.trust {
        Some(folder) => Belief::Hospital(Box::new(Believed::load(folder)?)),
        None => Belief::Itself,
    };
    let failed = |error| RecordError::Write { path: asked.out.clone(), error };
    let (mut new, file) = NewFile::make(&asked.out)?;
    let mut writer = RecordWriter::new(Box::new(Unhurried(file))).map_err(failed)?;
    let judged = judge_file(&asked.file, belief, |_, block| {
        let done = block.iter().try_for_each(|message| writer.write(message));
        done.and_then(|()| writer.end_block()).map_err(io::Error::other)
    })?;
    writer.finish().map_err(failed)?;
    something(&asked.file, &judged)?;
    new.keep();
    eprintln!("{}", verdict_words(&judged));
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
    stages: [u64; Stage::ALL.len()],
    seals: u64,
}

impl Sum {
    fn add(&mut self, message: &Message) {
        match message.topic {
            Topic::Command => self.commands = self.commands.saturating_add(1),
            Topic::Seal => self.seals = self.seals.saturating_add(1),
            Topic::Gap => {
                let [_, ticks] = longs_of_cdr(&message.data).unwrap_or_default();
                self.missing = self.missing.saturating_add(ticks);
            }
            Topic::Tick => {
                let Some(words) = tick_of_cdr(&message.data) else { return };
                let (tick, at) = when(&words);
                self.ticks = self.ticks.saturating_add(1);
                self.first = self.first.or(Some((tick, at.as_micros())));
                self.last = Some((tick, at.as_micros()));
                let stage = stage_of(&words).map(|(stage, _)| stage);
                for (count, known) in self.stages.iter_mut().zip(Stage::ALL) {
                    *count = count.saturating_add(u64::from(stage == Some(known)));
                }
            }
            Topic::Start | Topic::Transition | Topic::Link => {}
        }
    }

    /// From the first tick to the last, microseconds.
    fn span_us(&self) -> u64 {
        let at = |end: Option<(u64, u64)>| end.map_or(0, |(_, at)| at);
        at(self.last).saturating_sub(at(self.first))
    }
}

fn info(asked: &Info) -> Result<ExitCode, RecordError> {
    let mut sum = Sum::default();
    let judged = judge_file(&asked.file, Belief::Itself, |_, block| {
        block.iter().for_each(|message| sum.add(message));
        Ok(())
    })?;
    something(&asked.file, &judged)?;
    let bytes = std::fs::metadata(&asked.file).map_err(at(&asked.file))?.len();
    let stages: serde_json::Map<String, Value> = Stage::ALL
        .iter()
        .zip(sum.stages)
        .filter(|(_, ticks)| *ticks > 0)
        .map(|(stage, ticks)| (stage.name().to_owned(), json!(ticks)))
        .collect();
    let start = judged.start.as_ref();
    let began = start.map(|s| SystemTime::UNIX_EPOCH + Duration::from_nanos(s.wall_ns));
    let span = sum.span_us();
    let a_second = bytes.saturating_mul(1_000_000).checked_div(span);
    let mut out = io::stdout().lock();
    if asked.json {
        let object = json!({
            "schema": "longhand record info v1",
            "case": start.map(Start::case),
            "robot": start.map(|s| s.robot),
            "part": start.map(|s| s.part),
            "program": start.map(|s| s.program.clone()),
            "profile_hash": start.map(|s| format!("{:016x}", s.profile_hash)),
            "began": began.map(date),
            "records": judged.proven, "seals": sum.seals,
            "ticks": sum.ticks, "first_tick": sum.first.map(|(tick, _)| tick),
            "last_tick": sum.last.map(|(tick, _)| tick),
            "commands": sum.commands, "missing_ticks": sum.missing,
            "span_us": span, "bytes": bytes, "bytes_per_s": a_second,
            "ticks_in": stages,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", verdict_words(&judged))?;
        writeln!(out, "began {}", began.map_or("never".to_owned(), date))?;
        let a_second = a_second.unwrap_or(0);
        writeln!(
            out,
            "{} ticks, {} commands, {} ticks missing; {bytes} bytes, {a_second} a second",
            sum.ticks, sum.commands, sum.missing
        )?;
        for (stage, ticks) in &stages {
            writeln!(out, "{stage:<9} {ticks:>9} ticks")?;
        }
        writeln!(out, "who signed it was not looked at: verify --trust does")?;
    }
    Ok(exit(!matches!(judged.verdict, Verdict::Bad(_))))
}

fn export(asked: &Export) -> Result<ExitCode, RecordError> {
    let (mut new, mut out): (NewFile<'_>, Box<dyn Write>) = match &asked.out {
        Some(path) => {
            let (new, file) = NewFile::make(path)?;
            (new, Box::new(BufWriter::new(file)))
        }
        None => (NewFile(None), Box::new(BufWriter::new(io::stdout().lock()))),
    };
    writeln!(out, "{}", csv_head())?;
    let judged = judge_file(&asked.file, Belief::Itself, |_, block| {
        let ticks = block.iter().filter(|message| message.topic == Topic::Tick);
        for words in ticks.filter_map(|message| tick_of_cdr(&message.data)) {
            writeln!(out, "{}", csv_row(&words))?;
        }
        Ok(())
    })?;
    out.flush()?;
    something(&asked.file, &judged)?;
    new.keep();
    if !matches!(judged.verdict, Verdict::Whole | Verdict::Part) {
        eprintln!("{}", verdict_words(&judged));
    }
    Ok(exit(!matches!(judged.verdict, Verdict::Bad(_))))
}

fn csv_head() -> String {
    let names = FIELDS.iter().flat_map(|field| {
        (0..field.times).map(|place| match field.times {
            1 => field.name.to_owned(),
            _ => format!("{}_{place}", field.name),
        })
    });
    names.collect::<Vec<_>>().join(",")
}

/// Stage and reason in words, all else in numbers.
fn csv_row(words: &TickWords) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let (mut rest, mut cells) = (bytes.as_slice(), Vec::new());
    let named = stage_of(words);
    for field in FIELDS {
        for _ in 0..field.times {
            let cell = match (field.name, named) {
                ("stage", Some((stage, _))) => stage.name().to_owned(),
                ("reason", Some((_, reason))) => reason.name().to_owned(),
                _ => number(rest, field.width),
            };
            cells.push(cell);
            rest = rest.get(width(field.width)..).unwrap_or_default();
        }
    }
    cells.join(",")
}

const fn width(width: Width) -> usize {
    match width {
        Width::U64 | Width::F64 => 8,
        Width::U32 => 4,
        Width::U8 => 1,
    }
}

fn number(bytes: &[u8], width: Width) -> String {
    let long = bytes.first_chunk().copied().unwrap_or_default();
    let short = bytes.first_chunk().copied().unwrap_or_default();
    match width {
        Width::U64 => u64::from_le_bytes(long).to_string(),
        // Shortest text that reads back as the same number.
        Width::F64 => f64::from_le_bytes(long).to_string(),
        Width::U32 => u32::from_le_bytes(short).to_string(),
        Width::U8 => bytes.first().copied().unwrap_or(0).to_string(),
    }
}
