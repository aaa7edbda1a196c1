//! Measures a real link: probes inside the session that commands use, and beside it on plain UDP.
//!
//! Knows: threads, sockets and files of one measurement. Does not know: what the figures mean
//! (`longhand-qualify`), or anything that could arm or move a robot: it sends probes and the word
//! that begins a run, never a hello or a command.
//!
//! | thread | what it does |
//! | --- | --- |
//! | pacer, real-time | at each slot of the absolute schedule says which probe is due |
//! | pump, real-time | sends what is due and takes answers, as for commands |
//! | twin, real-time | the same schedule on plain UDP, half a slot later |
//! | path | asks beside them what the path does to marks, sizes and silence |
//! | load | in a loaded run: other traffic on the twin's road; the session's is the pump's |
//! | the caller's | keeps the ledger, writes samples to files |
//! | disk | every five seconds waits until the disk has them |
//!
//! What a sudden end takes away: where the process dies, the samples of the last second, and those
//! that nothing had come of yet; where the power goes, of six.

mod desk;
mod floor;
mod load;
mod path;
mod road;
mod session;
mod twin;

pub use load::{LOAD_MAX, LOAD_MAX_BPS, Load, Put};
pub use path::{SILENCES_MAX, silence_takes};
pub use road::files::{
    FileError, RawFile, SESSION_SAMPLES, TWIN_SAMPLES, Written, has_samples, new_folder,
    sha256_of_file,
};
pub use road::{Road, RoadReport};

use desk::Desk;
use load::Filler;
use longhand_protocol::message::RobotId;
use longhand_protocol::units::Micros;
use longhand_qualify::measure::load::Within;
use longhand_qualify::measure::path::PathFound;
use longhand_quic::clock::{console_now, wall_offset_us};
use longhand_quic::doorbell::Stop;
use longhand_quic::pump::{PumpError, Target};
use longhand_quic::random::random_u64;
use longhand_quic::stolen::Stolen;
use longhand_quic::trust::{Credentials, PeerIdentity};
use road::files::Disk;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How a link is to be measured.
#[derive(Clone, Debug)]
pub struct QualifyConfig {
    /// Where the robot is.
    pub target: SocketAddr,
    /// Its number.
    pub robot: RobotId,
    /// An engineer's or a surgeon's identity.
    pub credentials: Credentials,
    /// Time between probes.
    pub period: Micros,
    /// How long.
    pub lasts: Micros,
    /// Where the twin is; `None`: at the robot's address, at the port that the robot names.
    pub twin: Option<SocketAddr>,
    /// Whether to measure the twin, too.
    pub with_twin: bool,
    /// Ask the kernel for real-time priority.
    pub real_time: bool,
    /// Silences behind which the robot is to answer; none for not asking.
    pub silences: Vec<Micros>,
    /// Other traffic to put on meanwhile. A loaded run does not look at the path.
    pub load: Option<Load>,
    /// Look at the path, too, where there is a twin and no load.
    pub with_path: bool,
}

/// Why a measurement did not come about.
#[derive(Debug, thiserror::Error)]
pub enum QualifyError {
    /// The robot was not reached, or refused.
    #[error("cannot measure: {0}")]
    Refused(String),
    /// The network side could not start.
    #[error(transparent)]
    Pump(#[from] PumpError),
    /// The system refused a thread, a socket or a descriptor.
    #[error("the system refused what a measurement needs: {0}")]
    System(#[from] io::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The live numbers.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Share of the schedule that is over.
    pub done: f64,
    /// Of both roads: the session's, and the twin's where there is one.
    pub roads: Vec<LiveRoad>,
    /// How the session stands, where it does not.
    pub words: String,
}

/// The live numbers of one road.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveRoad {
    /// Probes sent.
    pub sent: u64,
    /// Answers.
    pub back: u64,
    /// Mean round trip so far, ms.
    pub rtt_mean_ms: f64,
    /// The longest of late, ms.
    pub rtt_max_ms: f64,
}

/// A measurement, as it was.
pub struct Done {
    /// What the robot's certificate says; `None`: no session came about.
    pub robot: Option<PeerIdentity>,
    /// The session's.
    pub session: RoadReport,
    /// The twin's.
    pub twin: Option<RoadReport>,
    /// Sessions that it took.
    pub sessions: u64,
    /// It was ended before its time.
    pub cut_short: bool,
    /// What the kernel granted the pacer.
    pub granted: String,
    /// Processor time that the hypervisor took meanwhile, ms: whose fault late sends were.
    pub stolen_ms: Option<u64>,
    /// What the path does to packets.
    pub path: Option<PathFound>,
    /// What load was put on.
    pub put: Option<Put>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// How long to wait for the robot's answer at the start. Chosen: three attempts over a satellite.
const READY_WITHIN: Micros = Micros::from_secs(8);
/// How long behind a short run the look at the path may take. Chosen: twice what it takes where
/// every size must be tried over a satellite.
const PATH_WITHIN: Micros = Micros::from_secs(60);
/// Before the robot's word that it is over came here, it no longer answered for so long, at most:
/// what left then would look lost. Chosen: the longest way back that a robot may be driven over.
const SILENT_BEFORE: Micros = Micros::from_secs(1);
/// How long after the last slot answers are waited for where something is still open.
const DRAIN: Micros = Micros::from_secs(3);
/// How long where the robot has not yet told which way something was lost. Chosen: a hole of 5 s at
/// the end, and a session anew behind it.
const DRAIN_UNTOLD: Micros = Micros::from_secs(10);
/// How often the ledger is kept.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Measures. Blocks; `look` sees the live numbers now and then and says whether to go on. Samples
/// go to `folder`.
///
/// Errors: [`QualifyError`]. A link that fails meanwhile is no error but the result.
pub fn measure(
    config: &QualifyConfig,
    folder: &Path,
    mut look: impl FnMut(&Live) -> bool,
) -> Result<Done, QualifyError> {
    few_silences(config.silences.len())?;
    let run = random_u64().map_err(io::Error::other)?;
    let stolen = Stolen::from_now();
    let stop = Stop::new()?;
    let desk = Arc::new(Desk::new()?);
    let target = Target { addr: config.target, robot: config.robot };
    let ending = Ending(stop.clone());
    let filler = config.load.filter(|load| load.within == Within::Session);
    let filler = filler.map(|load| Filler::new(load, run));
    let session = session::start(config, target, run, &desk, filler.clone(), &stop)?;
    let port = wait_ready(&desk, &mut look)?;
    let slots = slots(config);
    let mut notes = Vec::new();
    let twin_at = match (config.with_twin, config.twin, port) {
        (false, ..) => None,
        (true, Some(at), _) => Some(at),
        (true, None, 0) => {
            notes.push(
                "No plain UDP beside it: the robot was not started with --probe-twin.".to_owned(),
            );
            None
        }
        (true, None, port) => Some(SocketAddr::new(config.target.ip(), port)),
    };
    let mut roads = vec![Road::new(&folder.join(SESSION_SAMPLES), run, config.period, slots)?];
    let twin = twin_at.map(|at| twin::start(at, !run, config, &stop)).transpose()?;
    if twin.is_some() {
        roads.push(Road::new(&folder.join(TWIN_SAMPLES), !run, config.period, slots)?);
    }
    let loading = config.load.filter(|load| load.within == Within::Udp).zip(twin_at);
    let loading = loading.map(|(load, at)| load::start(at, !run, load, &stop)).transpose()?;
    let looking = twin_at.filter(|_| config.with_path && config.load.is_none());
    let looking = looking.map(|at| path::start(at, !run, config, &stop)).transpose()?;
    let pacer = desk::pace(&desk, config.period, slots, config.real_time, &stop)?;
    let files = roads.iter().map(Road::on_disk).collect::<Result<_, _>>()?;
    let disk = Disk::start(files, &stop)?;
    let books = [Some(Arc::clone(&desk)), twin.as_ref().map(twin::Twin::desk)];
    let books: Vec<Arc<Desk>> = books.into_iter().flatten().collect();
    let cut_short = keep(&books, &mut roads, config, slots, &mut look)?;
    if let Some(survey) = looking.as_ref().filter(|_| !cut_short) {
        wait_path(survey, &mut look);
    }
    drop(ending);
    let granted = pacer.join().unwrap_or_else(|_| "the pacer failed".to_owned());
    // Both have been told to stop, and end within a goodbye.
    let _ended = session.join();
    if let Some(twin) = twin {
        twin.join();
    }
    notes.extend(ended_badly(&desk, disk));
    let path = looking.and_then(path::Survey::join);
    let put = loading.and_then(|thread| thread.join().ok());
    let put = put.or_else(|| filler.map(|filler| filler.put()));
    let stolen_ms = stolen.so_far_ms();
    let wall_offset = wall_offset_us();
    let mut reports = roads.into_iter().map(|road| road.finish(wall_offset));
    let (session, twin) = (reports.next().transpose()?, reports.next().transpose()?);
    let session = session.ok_or_else(|| io::Error::other("the ledger was lost"))?;
    Ok(Done {
        robot: desk.robot().cloned(),
        session,
        twin,
        sessions: desk.sessions(),
        cut_short,
        granted,
        stolen_ms,
        path,
        put,
        notes,
    })
}

/// The same schedule over loopback inside this machine, in a session and on plain UDP beside it:
/// what the probe itself adds. Samples go to `folder`, a new one.
///
/// Errors: as [`measure`].
pub fn noise_floor(
    config: &QualifyConfig,
    lasts: Micros,
    folder: &Path,
    look: impl FnMut(&Live) -> bool,
) -> Result<Done, QualifyError> {
    std::fs::create_dir(folder)?;
    let stop = Stop::new()?;
    let ending = Ending(stop.clone());
    let echo = floor::Echo::start(folder, config.real_time, &stop)?;
    let config = QualifyConfig {
        target: echo.session,
        robot: echo.robot,
        credentials: echo.credentials.clone(),
        twin: Some(echo.udp),
        with_twin: true,
        silences: Vec::new(),
        load: None,
        with_path: false,
        lasts,
        ..config.clone()
    };
    let done = measure(&config, folder, look);
    drop(ending);
    echo.join();
    done
}

fn few_silences(count: usize) -> Result<(), QualifyError> {
    let most = SILENCES_MAX;
    if count <= most {
        return Ok(());
    }
    let words = "silences are too many: the robot keeps answers back for";
    Err(QualifyError::Refused(format!("{count} {words} {most} at most")))
}

fn slots(config: &QualifyConfig) -> u64 {
    let period = config.period.as_micros().max(1);
    (config.lasts.as_micros() / period).max(1)
}

/// Stops all threads however this ends.
struct Ending(Stop);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn wait_ready(desk: &Desk, look: &mut impl FnMut(&Live) -> bool) -> Result<u16, QualifyError> {
    let begun = console_now();
    loop {
        if let Some(port) = desk.ready() {
            return Ok(port);
        }
        let (words, lasting) = desk.words();
        let live = Live { words: words.clone(), ..Live::default() };
        let over = console_now().since(begun) >= READY_WITHIN;
        if lasting || over {
            return Err(QualifyError::Refused(words));
        }
        if !look(&live) {
            let words = "interrupted before the robot was ready to answer".to_owned();
            return Err(QualifyError::Refused(words));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What is to be said of how it ended.
fn ended_badly(desk: &Desk, disk: Disk) -> Vec<String> {
    let over = desk.over();
    let over = over.map(|(words, _)| format!("The robot ended the run before its time: {words}."));
    let disk = disk.join().err();
    let disk = disk
        .map(|error| format!("The disk did not take everything while it was measured: {error}."));
    over.into_iter().chain(disk).collect()
}

/// Lets the look at the path come to its end behind a short run.
fn wait_path(survey: &path::Survey, look: &mut impl FnMut(&Live) -> bool) {
    let begun = console_now();
    let live = Live { words: "looking at the path".to_owned(), ..Live::default() };
    while !survey.is_done() && console_now().since(begun) < PATH_WITHIN && look(&live) {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Keeps the ledgers until the schedule is over and everything is told. Says whether it was ended
/// before its time. Where one cannot be kept any longer, the other's is saved.
fn keep(
    desks: &[Arc<Desk>],
    roads: &mut [Road],
    config: &QualifyConfig,
    slots: u64,
    look: &mut impl FnMut(&Live) -> bool,
) -> Result<bool, QualifyError> {
    let kept = keep_all(desks, roads, config, slots, look);
    if kept.is_err() {
        for (desk, road) in desks.iter().zip(roads) {
            // The first error is the one that counts.
            let _also = road.save(desk);
        }
    }
    kept
}

fn keep_all(
    desks: &[Arc<Desk>],
    roads: &mut [Road],
    config: &QualifyConfig,
    slots: u64,
    look: &mut impl FnMut(&Live) -> bool,
) -> Result<bool, QualifyError> {
    let mut end_at = None;
    let mut cut_short = false;
    loop {
        let now = console_now();
        for (desk, road) in desks.iter().zip(roads.iter_mut()) {
            road.take(desk, now)?;
        }
        let due = roads.first().map_or(0, Road::due);
        let live = Live {
            done: longhand_qualify::number::real(due) / longhand_qualify::number::real(slots),
            roads: roads.iter_mut().map(Road::live).collect(),
            words: desks.first().map(|desk| desk.words().0).unwrap_or_default(),
        };
        if let Some((_, last)) = desks.first().and_then(|desk| desk.over()) {
            let unanswered = SILENT_BEFORE.as_micros() / config.period.as_micros().max(1);
            for (desk, road) in desks.iter().zip(roads.iter_mut()) {
                road.take(desk, now)?;
                road.end_at(last.saturating_sub(unanswered));
            }
            return Ok(true);
        }
        if !look(&live) && end_at.is_none() {
            cut_short = true;
            for (desk, road) in desks.iter().zip(roads.iter_mut()) {
                road.end_now(desk);
            }
            end_at = Some(now);
        }
        if end_at.is_none() && roads.iter().all(|road| road.due() >= road.slots()) {
            end_at = Some(now);
        }
        // A link that lost nothing is settled at once; else answers behind the last slot tell which
        // way the last ones were lost.
        let waited = end_at.map(|at| now.since(at));
        let is_settled = roads.iter().all(Road::is_settled);
        let most = if roads.iter().all(Road::is_told) { DRAIN } else { DRAIN_UNTOLD };
        let is_over = |waited| is_settled || waited >= most.saturating_add(config.period);
        if waited.is_some_and(is_over) {
            return Ok(cut_short);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
