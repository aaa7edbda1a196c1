//! The books: how long things took, kept as histograms, and the report made of them.
//!
//! Knows: spans, quantiles, files in the HdrHistogram log format (V2, which other tools open). Does
//! not know: who measured, or whether a figure is good. A value out of range is counted, never
//! bent into range.

use crate::leader_thread::{Record, StateRecord, Tally};
use crate::page::HistogramView;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use hdrhistogram::{CreationError, Histogram};
use longhand_protocol::message::{Stage, Witness};
use longhand_protocol::units::{Console, Instant, Micros, TICK};
use longhand_quic::clock::console_now;
use longhand_quic::pace::Lateness;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Largest span that is kept, microseconds. Chosen: a minute; longer is an outage, and counted.
const SPAN_MAX_US: u64 = 60_000_000;

/// Lower edges of the page's buckets, milliseconds. Chosen: fine where links differ, and an edge at
/// each figure that a rule names (10, 50, 100, 200, 300).
const EDGES_MS: [u64; 28] = [
    0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 180, 200, 250,
    300, 400, 600, 1_000,
];

/// One histogram, in microseconds, and what did not fit into it.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    spans: Histogram<u64>,
    out_of_range: u64,
    /// For the page: of the newest session.
    buckets: [u64; EDGES_MS.len()],
}

impl Book {
    fn new() -> Result<Self, CreationError> {
        Ok(Self {
            spans: Histogram::new_with_bounds(1, SPAN_MAX_US, 3)?,
            out_of_range: 0,
            buckets: [0; EDGES_MS.len()],
        })
    }

    fn record(&mut self, span: Option<Micros>) {
        let Some(span) = span else { return };
        if self.spans.record(span.as_micros()).is_err() {
            self.out_of_range = self.out_of_range.saturating_add(1);
        }
        let above = EDGES_MS.partition_point(|edge| Micros::from_millis(*edge) <= span);
        if let Some(bucket) = self.buckets.get_mut(above.saturating_sub(1)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    fn view(&self) -> HistogramView {
        HistogramView {
            bucket_low_ms: EDGES_MS.map(|ms| Micros::from_millis(ms).as_millis_f64()).to_vec(),
            counts: self.buckets.to_vec(),
        }
    }
}

/// Everything that is measured while a console runs.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    round_trip: Book,
    loop_age: Book,
    state_gap: Book,
    hand_to_joint: Book,
    both_ways: Book,
    state_way: Book,
    lateness: Lateness,
    began: SystemTime,
    /// The same moment on the monotonic clock, which no one can set.
    began_at: Instant<Console>,
    pub(crate) records_lost: u64,
    pub(crate) tally: Tally,
    /// How the link stands, in words.
    pub(crate) link: String,
    /// What the leader thread was granted, in words.
    pub(crate) real_time: String,
    refused: Vec<String>,
    /// What the robot said of its record, oldest first.
    witnessed: Vec<Witness>,
}

/// Heads of the robot's record that are kept: a day of them. When full the newest is dropped.
const WITNESSED_MAX: usize = 90_000;
/// Different refusals that are remembered. Chosen: more than a run can sensibly have.
const REFUSALS_MAX: usize = 16;

impl Books {
    /// Errors: never with the bounds above; said all the same rather than assumed.
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self {
            round_trip: Book::new()?,
            loop_age: Book::new()?,
            state_gap: Book::new()?,
            hand_to_joint: Book::new()?,
            both_ways: Book::new()?,
            state_way: Book::new()?,
            lateness: Lateness::new(),
            began: SystemTime::now(),
            began_at: console_now(),
            records_lost: 0,
            tally: Tally::default(),
            link: String::new(),
            real_time: String::new(),
            refused: Vec::new(),
            witnessed: Vec::new(),
        })
    }

    pub(crate) fn witness(&mut self, witness: Witness) {
        if self.witnessed.len() < WITNESSED_MAX {
            self.witnessed.push(witness);
        }
    }

    pub(crate) fn record(&mut self, record: &Record) {
        match record {
            Record::Tick(tick) => self.lateness.record(tick),
            Record::State(state) => {
                let StateRecord { gap, loop_age, round_trip, hand_to_joint, .. } = state;
                self.state_gap.record(*gap);
                self.loop_age.record(*loop_age);
                self.round_trip.record(*round_trip);
                self.hand_to_joint.record(*hand_to_joint);
                self.both_ways.record(state.both_ways);
                self.state_way.record(state.state_way);
            }
        }
    }

    /// A refusal, once in each wording.
    pub(crate) fn refused(&mut self, words: &str) {
        if self.refused.len() < REFUSALS_MAX && !self.refused.iter().any(|known| known == words) {
            self.refused.push(words.to_owned());
        }
    }

    /// The page shows a session's spread; the report shows everything.
    pub(crate) fn session_began(&mut self) {
        for book in
            [&mut self.round_trip, &mut self.loop_age, &mut self.state_gap, &mut self.hand_to_joint]
        {
            book.buckets = [0; EDGES_MS.len()];
        }
    }

    pub(crate) fn loop_age_view(&self) -> HistogramView {
        self.loop_age.view()
    }

    pub(crate) fn hand_to_joint_view(&self) -> HistogramView {
        self.hand_to_joint.view()
    }

    pub(crate) fn report(&self, same_clock: bool) -> ConsoleReport {
        let tally = &self.tally;
        let stages = Stage::ALL.into_iter().zip(tally.entered).zip(tally.ticks_in);
        ConsoleReport {
            schema: "longhand console report v1",
            seconds: console_now().since(self.began_at).as_secs_f64(),
            sessions: tally.sessions,
            link: self.link.clone(),
            refused: self.refused.clone(),
            round_trip: Spread::of(&self.round_trip),
            loop_age: Spread::of(&self.loop_age),
            state_gap: Spread::of(&self.state_gap),
            hand_to_joint: same_clock.then(|| Spread::of(&self.hand_to_joint)),
            both_ways: Spread::of(&self.both_ways),
            state_way: same_clock.then(|| Spread::of(&self.state_way)),
            commands: match tally.commands_accepted {
                // Without a newest nobody can say which came before it: none of them came.
                0 => Loss::new(0, tally.commands_sent),
                accepted => Loss::new(accepted, tally.commands_lost),
            },
            states: Loss::new(tally.states_accepted, tally.states_lost),
            commands_sent: tally.commands_sent,
            commands_skipped: tally.commands_skipped,
            states_rejected: tally.states_rejected,
            commands_altered: tally.commands_altered,
            stages: stages
                .map(|((stage, entered), ticks)| StageReport {
                    stage: stage.name(),
                    entered,
                    seconds: TICK.saturating_mul(ticks).as_secs_f64(),
                })
                .collect(),
            safe_stops: tally.safe_stops,
            leader: TickReport::of(&self.lateness, &self.real_time),
            records_lost: self.records_lost,
            // Whoever has the recorder says it.
            record: None,
            books: Box::new(self.clone()),
        }
    }
}

/// A histogram in six figures, milliseconds. All zero where `count` is; `null` then as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Values in range.
    pub count: u64,
    /// Values out of range (above a minute), in none of the figures.
    pub out_of_range: u64,
    /// The median.
    pub p50_ms: f64,
    /// Nine of ten were at most this.
    pub p90_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// 999 of a thousand.
    pub p999_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Spread {
    fn of(book: &Book) -> Self {
        let ms = |us: u64| Micros::from_micros(us).as_millis_f64();
        let at = |quantile: f64| ms(book.spans.value_at_quantile(quantile));
        Self {
            count: book.spans.len(),
            out_of_range: book.out_of_range,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(book.spans.max()),
        }
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ms = |figure: f64| (self.count > 0).then_some(figure);
        let mut object = to.serialize_struct("Spread", 7)?;
        object.serialize_field("count", &self.count)?;
        object.serialize_field("out_of_range", &self.out_of_range)?;
        object.serialize_field("p50_ms", &ms(self.p50_ms))?;
        object.serialize_field("p90_ms", &ms(self.p90_ms))?;
        object.serialize_field("p99_ms", &ms(self.p99_ms))?;
        object.serialize_field("p999_ms", &ms(self.p999_ms))?;
        object.serialize_field("max_ms", &ms(self.max_ms))?;
        object.end()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("nothing measured");
        }
        write!(
            f,
            "p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} ms  of {}",
            self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms, self.count
        )?;
        if self.out_of_range > 0 {
            write!(f, " ({} out of range)", self.out_of_range)?;
        }
        Ok(())
    }
}

/// What arrived and what never did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Loss {
    /// Arrived and were believed.
    pub accepted: u64,
    /// Up to the newest that came, never came.
    pub lost: u64,
    /// Lost of all, percent; `None` where there was nothing to lose.
    pub lost_percent: Option<f64>,
}

impl Loss {
    pub(crate) fn new(accepted: u64, lost: u64) -> Self {
        // Exact up to 2^32 messages, 50 days at 1 kHz; beyond, the share is that of the bound.
        let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let all = number(accepted.saturating_add(lost));
        let lost_percent = (all > 0.0).then(|| rounded(100.0 * number(lost) / all));
        Self { accepted, lost, lost_percent }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost_percent {
            None => f.write_str("none came, none counted"),
            Some(percent) => {
                let all = self.accepted.saturating_add(self.lost);
                write!(f, "{percent:.3} % ({} of {all})", self.lost)
            }
        }
    }
}

/// To a thousandth: as fine as anything here is known, and without the noise that arithmetic leaves
/// behind the last decimal.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

/// The same for a field of JSON.
///
/// Errors: the serializer's.
pub fn thousandths<S: Serializer>(figure: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(rounded(*figure))
}

/// One stage of the robot, as the console saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageReport {
    /// Its name.
    #[serde(skip)]
    pub stage: &'static str,
    /// How often it began.
    pub entered: u64,
    /// For how long it lasted, together.
    #[serde(serialize_with = "thousandths")]
    pub seconds: f64,
}

impl fmt::Display for StageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, entered, seconds } = self;
        match entered {
            1 => write!(f, "{stage} once, {seconds:.1} s"),
            times => write!(f, "{stage} {times} times, {seconds:.1} s in all"),
        }
    }
}

/// As one object, a key for each stage, like every report of ours.
fn by_stage<S: Serializer>(stages: &[StageReport], to: S) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(Some(stages.len()))?;
    for stage in stages {
        object.serialize_entry(stage.stage, stage)?;
    }
    object.end()
}

/// How the leader thread kept its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TickReport {
    /// Ticks that ran.
    pub ticks: u64,
    /// Ticks that never ran.
    pub missed: u64,
    /// Lateness, microseconds.
    pub late_us_p50: u64,
    /// The same.
    pub late_us_p99: u64,
    /// The same.
    pub late_us_p999: u64,
    /// The latest tick.
    pub late_us_max: u64,
    /// What the thread was granted, in words.
    pub real_time: String,
}

impl TickReport {
    fn of(lateness: &Lateness, real_time: &str) -> Self {
        let at = |per_million| lateness.quantile(per_million).as_micros();
        Self {
            ticks: lateness.ticks(),
            missed: lateness.missed(),
            late_us_p50: at(500_000),
            late_us_p99: at(990_000),
            late_us_p999: at(999_000),
            late_us_max: lateness.worst().as_micros(),
            real_time: real_time.to_owned(),
        }
    }
}

/// How the console's black box did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// Ticks that are in no record.
    pub lost_ticks: u64,
}

/// What a console has measured. As JSON it is the object that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct ConsoleReport {
    /// The layout of the object.
    pub schema: &'static str,
    /// How long it ran.
    #[serde(serialize_with = "thousandths")]
    pub seconds: f64,
    /// Sessions it had.
    pub sessions: u64,
    /// How the link stood at the end, in words.
    pub link: String,
    /// Every refusal it met, each wording once.
    pub refused: Vec<String>,
    /// From a command's hand time to the receipt of the first state that echoes it.
    pub round_trip: Spread,
    /// How old the surgeon's view plus the command in use were, as the robot said in every state.
    pub loop_age: Spread,
    /// Between two newest states.
    pub state_gap: Spread,
    /// From a command's hand time to its first use at the joint; only where both ends share one
    /// machine and so one clock.
    pub hand_to_joint: Option<Spread>,
    /// The round trip without the time that the command lay at the robot (its wait for the tick,
    /// playout): the two ways alone, whatever the clocks.
    pub both_ways: Spread,
    /// From the robot's stamp in a state to its receipt; where both ends share one clock.
    pub state_way: Option<Spread>,
    /// Commands, as the robot counts them, less those that this console never sent.
    pub commands: Loss,
    /// States, as the console counts them.
    pub states: Loss,
    /// Commands sent.
    pub commands_sent: u64,
    /// Command numbers passed over because this console stood still. The robot cannot know that
    /// they were never sent: its own count of lost commands holds them.
    pub commands_skipped: u64,
    /// States that were not believed.
    pub states_rejected: u64,
    /// States by which the robot used a command that this console did not send so.
    pub commands_altered: u64,
    /// Every stage.
    #[serde(serialize_with = "by_stage")]
    pub stages: Vec<StageReport>,
    /// Times the robot stopped because of the link.
    pub safe_stops: u64,
    /// The leader thread's time.
    pub leader: TickReport,
    /// Measurements that were dropped because the clerk did not come to write them down.
    pub records_lost: u64,
    /// The black box; `None` where none was asked for.
    pub record: Option<RecordReport>,
    /// The histograms themselves.
    #[serde(skip)]
    books: Box<Books>,
}

/// A histogram could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {why}; check that the folder may be written", path.display())]
pub struct HlogError {
    path: PathBuf,
    why: String,
}

impl ConsoleReport {
    /// What a person must know who reads stops and loss of a run in which this console stood still.
    pub fn stood_still(&self) -> Option<String> {
        let (missed, skipped) = (self.leader.missed, self.commands_skipped);
        (missed > 0 || skipped > 0).then(|| {
            let unsent = match skipped {
                0 => String::new(),
                skipped => format!(" and never sent {skipped} commands"),
            };
            format!(
                "stood still for {missed} ticks{unsent}: stops and loss of this run may be this \
                 machine's doing, not the link's; see `longhand-console doctor`"
            )
        })
    }

    /// Whether there ever was a session.
    pub const fn was_connected(&self) -> bool {
        self.sessions > 0
    }

    /// Writes one `.hlog` file (HdrHistogram log, V2, microseconds) for each histogram into a new
    /// folder in `folder`, named after the time at which the run began: two runs never share files.
    /// Says what it wrote.
    ///
    /// Errors: the folder or a file cannot be written.
    pub fn write_hlogs(&self, folder: &Path) -> Result<Vec<PathBuf>, HlogError> {
        let fail = |path: &Path, why: &dyn fmt::Display| HlogError {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let books = &self.books;
        let folder = &new_folder(folder, books.began).map_err(|error| fail(folder, &error))?;
        let mut written = Vec::new();
        for (name, book) in [
            ("round-trip", Some(&books.round_trip)),
            ("loop-age", Some(&books.loop_age)),
            ("state-gap", Some(&books.state_gap)),
            ("hand-to-joint", self.hand_to_joint.map(|_| &books.hand_to_joint)),
        ] {
            let Some(book) = book else { continue };
            let path = folder.join(format!("{name}.hlog"));
            let bytes =
                hlog(name, book, books.began, self.seconds).map_err(|why| fail(&path, &why))?;
            std::fs::write(&path, bytes).map_err(|error| fail(&path, &error))?;
            written.push(path);
        }
        if !books.witnessed.is_empty() {
            let path = folder.join("record-witness.csv");
            let text = witness_csv(&books.witnessed);
            std::fs::write(&path, text).map_err(|error| fail(&path, &error))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// What the robot said of its record, one line each, for `record verify --witness`.
fn witness_csv(witnessed: &[Witness]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line =
        |w: &Witness| format!("{},{},{},{}\n", hex(&w.case_id), w.part, w.records, hex(&w.chain));
    let lines: String = witnessed.iter().map(line).collect();
    format!("case,part,records,chain\n{lines}")
}

/// Whether [`ConsoleReport::write_hlogs`] can make its folder in `folder`, as far as can be known
/// before the run. Leaves nothing behind.
///
/// Errors: it cannot.
pub fn check_report_folder(folder: &Path) -> Result<(), HlogError> {
    // Of what is missing, the first folder above that is there must take what is made.
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let probe = there.join(format!(".longhand-report-{}", std::process::id()));
    let made = std::fs::write(&probe, b"probe");
    // Where it could not be written in full, what is there of it must go too.
    let _gone = std::fs::remove_file(&probe);
    made.map_err(|error| HlogError { path: folder.to_owned(), why: error.to_string() })
}

/// A folder that nobody had before: the time, and where another run began in the same minute a
/// number.
fn new_folder(within: &Path, began: SystemTime) -> io::Result<PathBuf> {
    std::fs::create_dir_all(within)?;
    let minute = longhand_quic::trust::date(began).replace(' ', "-").replace(':', "");
    let mut attempt = 1_u32;
    loop {
        let name = if attempt == 1 { minute.clone() } else { format!("{minute}-{attempt}") };
        let path = within.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                attempt = attempt.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// One log with one interval: the whole run.
fn hlog(name: &str, book: &Book, began: SystemTime, seconds: f64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!("Longhand console: {name}, microseconds"))
        .add_comment(&format!("out of range: {}", book.out_of_range))
        .with_start_time(began)
        .with_base_time(began)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| error.to_string())?;
    let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    log.write_histogram(&book.spans, Duration::ZERO, length, None)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

impl fmt::Display for ConsoleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Link report, {:.1} s, {} session(s)", self.seconds, self.sessions)?;
        for refused in &self.refused {
            writeln!(f, "  refused        {refused}")?;
        }
        // A refusal has said it already.
        if !self.was_connected() && self.refused.is_empty() {
            writeln!(f, "  never connected: {}", self.link)?;
        }
        writeln!(f, "  round trip     {}", self.round_trip)?;
        if let Some(spread) = &self.hand_to_joint {
            writeln!(f, "  hand to joint  {spread}")?;
        }
        writeln!(f, "  loop age       {}", self.loop_age)?;
        writeln!(f, "  state gap      {}", self.state_gap)?;
        let (up, down) = (self.commands, self.states);
        writeln!(f, "  loss           commands {up}, states {down}",)?;
        write!(f, "  stages        ")?;
        for stage in self.stages.iter().filter(|stage| stage.entered > 0) {
            write!(f, " {stage},")?;
        }
        writeln!(f, " {} safe stop(s)", self.safe_stops)?;
        let ticks = &self.leader;
        writeln!(
            f,
            "  leader ticks   {} ran, {} missed, late p50 {} p99 {} p99.9 {} max {} us; {}",
            ticks.ticks,
            ticks.missed,
            ticks.late_us_p50,
            ticks.late_us_p99,
            ticks.late_us_p999,
            ticks.late_us_max,
            ticks.real_time
        )?;
        if let Some(words) = self.stood_still() {
            writeln!(f, "  this console   {words}")?;
        }
        if self.records_lost > 0 {
            writeln!(f, "  not written down: {} measurements", self.records_lost)?;
        }
        if let Some(RecordReport { lost_ticks }) = self.record.filter(|r| r.lost_ticks > 0) {
            writeln!(f, "  record         {lost_ticks} ticks are in no record")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_lost_is_half_and_nothing_at_all_is_no_share() {
        let percent = |accepted, lost| Loss::new(accepted, lost).lost_percent;
        assert_eq!(percent(5_000, 5_000), Some(50.0));
        assert_eq!(percent(0, 9), Some(100.0));
        assert_eq!(percent(0, 0), None);
        let object = serde_json::to_value(Spread::default()).unwrap();
        assert!(object["p50_ms"].is_null() && object["count"] == 0, "{object}");
    }

    #[test]
    fn a_report_says_in_words_what_a_reader_would_mistake() {
        let mut report = Books::new().unwrap().report(false);
        assert!(!report.to_string().contains("stood still"));
        report.leader.missed = 5;
        assert!(report.to_string().contains("stood still for 5 ticks"), "{report}");
        let (stage, entered, seconds) = ("Follow", 2, 5.9);
        let follow = StageReport { stage, entered, seconds };
        assert_eq!(follow.to_string(), "Follow 2 times, 5.9 s in all");
    }

    #[test]
    fn two_runs_never_share_a_folder_and_a_check_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("reports");
        check_report_folder(&within).unwrap();
        assert!(!within.exists());
        let first = new_folder(&within, SystemTime::UNIX_EPOCH).unwrap();
        let second = new_folder(&within, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(first, within.join("1970-01-01-0000-UTC"));
        assert_ne!(first, second);
        // A file where the folder should be, and a folder that is none.
        assert!(check_report_folder(Path::new("/dev/null/report")).is_err());
    }

    #[test]
    fn out_of_range_is_counted_and_not_bent() {
        let mut book = Book::new().unwrap();
        book.record(Some(Micros::from_millis(10)));
        book.record(Some(Micros::from_secs(3_600)));
        book.record(None);
        let spread = Spread::of(&book);
        assert_eq!((spread.count, spread.out_of_range), (1, 1));
        assert!((spread.max_ms - 10.0).abs() < 0.01, "{}", spread.max_ms);
    }

    #[test]
    fn buckets_hold_their_lower_edge() {
        let mut book = Book::new().unwrap();
        for ms in EDGES_MS {
            book.record(Some(Micros::from_millis(ms)));
        }
        book.record(Some(Micros::from_micros(9_999)));
        let view = book.view();
        assert_eq!(view.counts.iter().sum::<u64>(), 29);
        assert_eq!(view.counts[6], 2, "7 ms up to just below 10 ms");
    }

    #[test]
    fn a_written_log_reads_back() {
        use hdrhistogram::serialization::Deserializer;
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let mut book = Book::new().unwrap();
        for us in 1..=1_000 {
            book.record(Some(Micros::from_micros(us)));
        }
        let bytes = hlog("test", &book, SystemTime::now(), 1.0).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains("[BaseTime") && text.contains("microseconds"), "{text}");
        let entry = IntervalLogIterator::new(&bytes)
            .find_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval.encoded_histogram().to_owned()),
                LogEntry::StartTime(_) | LogEntry::BaseTime(_) => None,
            })
            .unwrap();
        let raw = base64(&entry);
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut raw.as_slice()).unwrap();
        assert_eq!((back.len(), back.max()), (1_000, 1_000));
    }

    /// Enough of RFC 4648 to read one field back.
    fn base64(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
        for byte in text.bytes().filter(|byte| *byte != b'=') {
            let value = ALPHABET.iter().position(|known| *known == byte).unwrap();
            bits = (bits << 6) | u32::try_from(value).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                out.push(u8::try_from((bits >> held) & 0xff).unwrap());
            }
        }
        out
    }
}
