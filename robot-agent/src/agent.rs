//! The agent: its threads, started and stopped together.
//!
//! Knows: which thread does what. Does not know: what any of them decides.
//!
//! | thread | priority | does |
//! | --- | --- | --- |
//! | servo | real-time 80 | the 1 kHz loop; waits for nothing but its timer |
//! | pump | real-time 70 | QUIC, TLS, sessions |
//! | watch | normal | log, counters, whoever sees every state; epochs and revocations, on disk |
//! | recorder | normal | every tick onto a disk, which may hold it up as long as it likes |
//! | tap | normal | every tick into memory that others may read; waits for nobody |

use crate::arm::simulated::{DEAD_MAN, PSM_CLASSIC, SimulatedPsm};
use crate::epoch::{EpochError, EpochStore};
use crate::network::{
    ArrivalReader, Door, NetworkConfig, NetworkRecord, NetworkWatch, RecordEnds, door,
};
use crate::probing::{Runs, Twin};
use crate::profile_file::NamedProfile;
use crate::record::recorder::{Recorded, recorder};
use crate::record::tap::{RING_WORDS, Tap, tap as record_tap};
use crate::record::{Health, Recorder};
use crate::revocations::Revocations;
use crate::servo::{HOME, Servo};
use crate::servo_thread::{
    Answer, AnswerReader, Asked, REQUEST_AGE_MAX, RequestWriter, ServoLoop, Shared, StateReader,
    StateWriter, mailboxes, unpack_state,
};
use crate::tap::{self, TapEnds};
use longhand_follower::Follower;
use longhand_follower::supervisor::{Outcome, Request};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{FollowerState, Reason, RecordAlarm, RobotId, Stage};
use longhand_protocol::units::{Console, Instant, Micros, Robot};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::mailbox::Mailbox;
use longhand_quic::pace::{Granted, Lateness, PUMP_PRIORITY, RealTime, SERVO_PRIORITY};
use longhand_quic::pump::{PumpError, RobotConfig, RobotPump};
use longhand_quic::random::random_u64;
use longhand_quic::stolen::Stolen;
use longhand_quic::trust::Credentials;
use longhand_record::file::WriteError;
use longhand_record::recorder::{NewDisk, Recording};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Sees every state that the servo thread publishes, in order, on the watch thread.
pub type Observer = Box<dyn FnMut(&FollowerState) + Send>;

/// What an agent is started with.
pub struct AgentConfig {
    /// The address to serve on.
    pub bind: SocketAddr,
    /// The robot's number, which its certificate must carry.
    pub robot: RobotId,
    /// The robot's certificate and whom it trusts.
    pub credentials: Credentials,
    /// The limits in force.
    pub profile: NamedProfile,
    /// A folder that keeps the epoch over restarts.
    pub state: PathBuf,
    /// A folder for qlog files.
    pub qlog: Option<PathBuf>,
    /// Ask for real-time priority and locked memory.
    pub real_time: bool,
    /// The machine stalls, and the arms are simulated: their dead-man waits longer.
    pub tolerate_stalls: bool,
    /// Sees every state.
    pub observer: Option<Observer>,
    /// Where the black box is written; `None`: nowhere.
    pub record: Option<NewDisk>,
    /// Where probes are answered outside QUIC while somebody measures; `None` for nowhere.
    pub probe_twin: Option<SocketAddr>,
    /// Where a gateway is handed the memory in which it may watch; `None` for nowhere.
    pub tap: Option<PathBuf>,
}

/// The agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The epoch cannot be kept.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The network side cannot run.
    #[error(transparent)]
    Pump(#[from] PumpError),
    /// The certificate is another robot's.
    #[error(
        "this identity is {got}, not robot {expected}; issue one with --role robot \
         --robot-id {expected}"
    )]
    Identity {
        /// The robot's number.
        expected: u64,
        /// What the certificate says.
        got: String,
    },
    /// The black box cannot be written.
    #[error(
        "the record cannot be written ({0}); give the agent a folder that it may write (--record), \
         or run it without (--no-record)"
    )]
    Record(WriteError),
    /// Nobody could look.
    #[error(
        "the tap cannot be offered on {} ({source}); give --tap a file in a folder of yours, or \
         leave it out", path.display()
    )]
    Tap {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or a file descriptor was refused.
    #[error("the system refused a thread or a descriptor: {0}")]
    System(#[from] io::Error),
}

/// How the agent did.
#[derive(Clone, Debug)]
pub struct AgentReport {
    /// What the kernel granted the servo thread; `None` where nothing was asked for.
    pub granted: Option<Granted>,
    /// How late the ticks began, and how many never did.
    pub lateness: Lateness,
    /// Processor time that the hypervisor took from this machine meanwhile, milliseconds, as the
    /// kernel counts it; `None` where it does not. Beside the missed ticks it says whose fault they
    /// were.
    pub stolen_ms: Option<u64>,
    /// Commands whose bytes changed between the network side and the servo thread.
    pub damaged: u64,
    /// What the network side counted.
    pub network: NetworkRecord,
    /// The stage that was seen last; `None` where the loop never ran.
    pub final_stage: Option<Stage>,
    /// Ticks that are in no record; `None` where none was asked for.
    pub unrecorded: Option<u64>,
    /// Why the network side ended before the agent was stopped, in words; `None` where it did not.
    pub network_ended: Option<String>,
}

/// A running agent. Dropping it without [`Agent::stop`] leaves its threads running.
pub struct Agent {
    local_addr: SocketAddr,
    bedside: Bedside,
    stop: Stop,
    shared: Arc<Shared>,
    network: NetworkWatch,
    arrivals: ArrivalReader,
    granted: Option<Granted>,
    stolen: Stolen,
    servo: ServoThread,
    pump: JoinHandle<()>,
    watch: JoinHandle<Option<Stage>>,
    record: Option<(Recording, Arc<Health>)>,
}

impl Agent {
    /// Starts the threads. The robot is Disabled, and the bedside has it.
    ///
    /// Errors: [`AgentError`] says what is missing.
    pub fn start(config: AgentConfig) -> Result<Self, AgentError> {
        Self::start_with(config, RobotPump::run)
    }

    /// As [`Agent::start`], with the network side's loop.
    fn start_with(config: AgentConfig, run_pump: RunPump) -> Result<Self, AgentError> {
        check_identity(&config)?;
        let (epoch_store, epochs) = EpochStore::open(&config.state)?;
        let pump = bind(&config)?;
        let credentials = config.credentials;
        let black_box = black_box(&credentials, config.robot, &config.profile, config.record)?;
        let (doorbell, stop) = (Doorbell::new()?, Stop::new()?);
        let BlackBox { tap, recorder, ends: ends_of_record } = black_box.unwrap_or_default();
        let health = recorder.as_ref().map(|(_, health)| Arc::clone(health));
        let (runs, twin) = Runs::with_twin(config.probe_twin)?;
        let shown = offer(config.tap.as_deref(), config.robot, health.as_ref())?;
        let (servo_loop, ends) = mailboxes(doorbell.clone(), tap, shown.states);
        let shared = ends.shared;
        let mut unless_started = StopAll { shared: Arc::clone(&shared), stop: Some(stop.clone()) };
        let (arrived, arrivals) = Mailbox::pair();
        let (door, network) = door(NetworkConfig {
            robot: config.robot,
            profile: config.profile.hash,
            terms: config.profile.profile.terms(),
            epochs,
            commands: ends.commands,
            requests: ends.network_requests,
            answers: ends.network_answers,
            states: ends.network_states,
            arrivals: arrived,
            record: ends_of_record,
            tap: shown.links,
            shared: Arc::clone(&shared),
            runs,
            random: random_u64,
        });
        let (local_addr, renewal) = (pump.local_addr(), pump.renewal());
        let servo = simulated(config.profile, config.tolerate_stalls);
        let real_time = config.real_time;
        let (servo, told) = start_servo(servo_loop, servo, real_time)?;
        let bedside = Bedside::new(ends.bedside_requests, ends.bedside_answers, &shared)
            .recorded_as(health.as_ref())
            .served_by(&network);
        let pump_stop = stop.clone();
        let run = move |mut door: Door| run_pump(pump, &mut door, &doorbell, &pump_stop);
        let pump = start_pump(run, door, &stop, &bedside, real_time)?;
        let watch = Watch {
            states: ends.watch_states,
            observer: config.observer,
            epochs: epoch_store,
            health: health.clone(),
            network: network.clone(),
            revocations: Revocations::new(credentials, renewal, network.clone()),
        };
        let watch_stop = stop.clone();
        let watch = spawn("watch", move || watch.run(&watch_stop))?;
        twin.map(|twin| answer_outside(twin, stop.clone(), real_time)).transpose()?;
        shown.tap.map(|tap| show(tap, stop.clone())).transpose()?;
        let record = recorder
            .map(|(recorder, health)| Ok::<_, io::Error>((Recording::start(recorder)?, health)))
            .transpose()?;
        unless_started.stop = None;
        Ok(Self {
            local_addr,
            bedside,
            stop,
            shared,
            network,
            arrivals,
            granted: told.recv().unwrap_or(None),
            stolen: Stolen::from_now(),
            servo,
            pump,
            watch,
            record,
        })
    }

    /// Where it serves.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What the kernel granted the servo thread; `None` where nothing was asked for.
    pub const fn granted(&self) -> Option<Granted> {
        self.granted
    }

    /// The bedside's controls.
    pub fn bedside(&self) -> Bedside {
        self.bedside.clone()
    }

    /// What the network side has counted so far.
    pub fn network(&self) -> NetworkRecord {
        self.network.record()
    }

    /// Every accepted command since the last call, oldest first: the hand time in it, on the
    /// console's clock, and when it lay in the servo thread's mailbox, on the robot's. Says how
    /// many were dropped unseen: a second of them may wait.
    ///
    /// Why not from the echoes: a state echoes the command in use, and a command that another
    /// overtook in the same tick is never in use; the late ones would be missing.
    pub fn arrivals(&mut self, mut take: impl FnMut(Instant<Console>, Instant<Robot>)) -> u64 {
        let take = |[hand_time, received_at]: &[u64; 2]| {
            take(Instant::from_micros(*hand_time), Instant::from_micros(*received_at));
        };
        self.arrivals.drain(u64::MAX, take).lost()
    }

    /// Whether a thread has ended by itself without which nobody may operate: the servo's or the
    /// watch's. The network side's end is a lost link and no more ([`AgentReport::network_ended`]):
    /// the robot holds, the bedside has it when the lease runs out, and its arms keep their power.
    pub fn has_failed(&self) -> bool {
        self.servo.is_finished() || self.watch.is_finished()
    }

    /// Stops everything and says how it went.
    ///
    /// Errors: a thread had died.
    pub fn stop(self) -> Result<AgentReport, AgentError> {
        self.stop.stop();
        self.shared.stop.store(true, Ordering::Relaxed);
        let (granted, lateness) = join(self.servo)?;
        join(self.pump)?;
        let final_stage = join(self.watch)?;
        // After the last tick: the record ends with it.
        let unrecorded = self
            .record
            .map(|(recording, health)| recording.end().map(|()| health.lost()))
            .transpose()?;
        Ok(AgentReport {
            granted,
            lateness,
            stolen_ms: self.stolen.so_far_ms(),
            damaged: self.shared.damaged.load(Ordering::Relaxed),
            network: self.network.record(),
            final_stage,
            unrecorded,
            network_ended: self.bedside.network_ended().map(str::to_owned),
        })
    }
}

fn bind(config: &AgentConfig) -> Result<RobotPump, PumpError> {
    RobotPump::bind(RobotConfig {
        bind: config.bind,
        credentials: config.credentials.clone(),
        datagram_bytes: wire::STATE_LEN,
        qlog: config.qlog.clone(),
    })
}

type ServoThread = JoinHandle<(Option<Granted>, Lateness)>;

/// Starts the servo thread, which tells what the kernel granted it.
fn start_servo(
    servo_loop: ServoLoop,
    servo: Servo<SimulatedPsm>,
    real_time: bool,
) -> io::Result<(ServoThread, mpsc::Receiver<Option<Granted>>)> {
    let (tell, told) = mpsc::channel();
    let priority = real_time.then_some(SERVO_PRIORITY);
    let thread = spawn("servo", move || {
        servo_loop.run(servo, priority, |granted| {
            // Whoever asked may be gone; the loop runs on.
            let _ = tell.send(granted);
        })
    })?;
    Ok((thread, told))
}

/// The network side's loop: [`RobotPump::run`], but for a test of its end.
type RunPump = fn(RobotPump, &mut Door, &Doorbell, &Stop) -> Result<(), PumpError>;

/// Starts the network side's thread.
fn start_pump(
    run: impl FnOnce(Door) -> Result<(), PumpError> + Send + 'static,
    door: Door,
    stop: &Stop,
    bedside: &Bedside,
    real_time: bool,
) -> io::Result<JoinHandle<()>> {
    let (stop, ended) = (stop.clone(), Arc::clone(&bedside.network_ended));
    spawn("pump", move || {
        let _held = real_time.then(|| RealTime::acquire(PUMP_PRIORITY, None));
        serve(run, door, &stop, &ended);
    })
}

/// Runs the network side, and says why it ended where nobody had asked for it. It takes nothing
/// with it: to the servo thread it is a lost link, and the rest is the watchdog's.
fn serve(
    run: impl FnOnce(Door) -> Result<(), PumpError>,
    door: Door,
    stop: &Stop,
    ended: &OnceLock<String>,
) {
    // Whatever a panic left half done is dropped here, the door and its links with it.
    let why = match catch_unwind(AssertUnwindSafe(|| run(door))) {
        Ok(Ok(())) if stop.is_stopped() => return,
        Ok(Ok(())) => "it stopped unasked".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_told_by_its_hook) => "it died; this is a defect".to_owned(),
    };
    let words = format!(
        "the network side has ended ({why}); no console is heard until this agent is restarted"
    );
    tracing::error!("{words}");
    ended.get_or_init(|| words);
}

/// The parts of a record that is about to begin; none where there is to be none.
#[derive(Default)]
struct BlackBox {
    tap: Option<Tap>,
    recorder: Option<(Recorder, Arc<Health>)>,
    ends: Option<RecordEnds>,
}

/// Opens the record, before anything runs: what cannot be recorded must not look as if it were.
fn black_box(
    credentials: &Credentials,
    robot: RobotId,
    profile: &NamedProfile,
    disk: Option<NewDisk>,
) -> Result<Option<BlackBox>, AgentError> {
    let Some(disk) = disk else { return Ok(None) };
    let signer = credentials.signer().map_err(|error| AgentError::Record(error.into()))?;
    let recorded = Recorded { robot, profile: profile.clone(), signer };
    let health = Arc::new(Health::default());
    let (tap, tapped) = record_tap(RING_WORDS, &health);
    let (links, read_links) = Mailbox::pair();
    let (witness, read_witness) = Mailbox::pair();
    let recorder = recorder(robot_now(), tapped, &health, recorded, disk, (read_links, witness))
        .map_err(AgentError::Record)?;
    let ends = RecordEnds::new(recorder.case_id(), links, read_witness, Arc::clone(&health));
    let recorder = Some((recorder, health));
    Ok(Some(BlackBox { tap: Some(tap), recorder, ends: Some(ends) }))
}

/// Ends the threads that run already where a later one was refused: a servo thread that nobody
/// holds would keep the arms for ever. It writes the brakes before it ends.
struct StopAll {
    shared: Arc<Shared>,
    /// `None` once all of them run.
    stop: Option<Stop>,
}

impl Drop for StopAll {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.stop();
            self.shared.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The bedside's controls: local, and above everything that comes over the network.
#[derive(Clone)]
pub struct Bedside {
    ends: Arc<Mutex<BedsideEnds>>,
    shared: Arc<Shared>,
    /// `None` where nothing is recorded, and nothing was to be.
    health: Option<Arc<Health>>,
    /// Why the network side has ended, once it has.
    network_ended: Arc<OnceLock<String>>,
    /// Whom the robot is handed to; `None` where nobody can connect.
    network: Option<NetworkWatch>,
}

struct BedsideEnds {
    requests: RequestWriter,
    answers: AnswerReader,
    last_token: u64,
}

/// How long the bedside waits for the servo loop. Chosen: half again as long as a request may wait,
/// so that the answer to the last one that is heeded is still heard.
const ANSWER_MS_MAX: u64 = 150;
const _: () = assert!(REQUEST_AGE_MAX.shorter_than(Micros::from_millis(ANSWER_MS_MAX)));

impl Bedside {
    pub(crate) fn new(
        requests: RequestWriter,
        answers: AnswerReader,
        shared: &Arc<Shared>,
    ) -> Self {
        let ends = BedsideEnds { requests, answers, last_token: 0 };
        Self {
            ends: Arc::new(Mutex::new(ends)),
            shared: Arc::clone(shared),
            health: None,
            network_ended: Arc::default(),
            network: None,
        }
    }

    fn recorded_as(self, health: Option<&Arc<Health>>) -> Self {
        Self { health: health.cloned(), ..self }
    }

    fn served_by(self, network: &NetworkWatch) -> Self {
        Self { network: Some(network.clone()), ..self }
    }

    /// Whom a hand-over gives the robot to, in words: a surgeon's name, whether they are connected.
    pub fn handed_to(&self) -> String {
        self.network.as_ref().map_or("nobody".to_owned(), NetworkWatch::handed_to)
    }

    /// How the record does; nothing is wrong with one that nobody asked for.
    pub fn record_alarm(&self) -> RecordAlarm {
        self.health.as_ref().map_or(RecordAlarm::None, |health| health.alarm(robot_now()))
    }

    /// Why the network side has ended, once it has, in words.
    pub fn network_ended(&self) -> Option<&str> {
        self.network_ended.get().map(String::as_str)
    }

    /// The stage after the newest tick: for people.
    pub fn stage(&self) -> Stage {
        self.shared.stage()
    }

    /// Asks the robot for something; says what became of it. `None`: the servo loop did not come to
    /// it in time, which means that it does not run; what was asked is then not done later, either.
    pub fn ask(&self, request: Request) -> Option<Outcome> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let token = ends.last_token.saturating_add(1);
        ends.last_token = token;
        let presses = self.shared.presses.load(Ordering::Acquire);
        let asked = Asked { request, token, presses, asked_at: robot_now() };
        ends.requests.push(&asked.words());
        let answer = within_patience(|| {
            let mut found = None;
            // An answer that came too late for whoever asked waits here: not ours.
            let _drained = ends.answers.drain(u64::MAX, |words| {
                let answer = Answer::from_words(*words).filter(|answer| answer.token == token);
                found = answer.or(found);
            });
            found
        });
        answer.and_then(|answer| answer.outcome)
    }

    /// Presses the emergency stop, for every client at once: waits for nobody who asks something.
    /// Acts in the next tick. Only [`Request::Restart`], asked for after the last press, releases
    /// it. Says whether it has acted; `false` means that the servo loop does not run.
    pub fn emergency_stop(&self) -> bool {
        let mine = self.shared.presses.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let acted = || self.shared.presses_acted.load(Ordering::Acquire) >= mine;
        within_patience(|| acted().then_some(())).is_some()
    }
}

/// Looks once a millisecond until there is something, or the patience ends.
fn within_patience<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..ANSWER_MS_MAX {
        thread::sleep(Duration::from_millis(1));
        if let found @ Some(_) = look() {
            return found;
        }
    }
    None
}

fn check_identity(config: &AgentConfig) -> Result<(), AgentError> {
    let who = config.credentials.who();
    if who.robot == Some(config.robot) {
        return Ok(());
    }
    let got = format!("{} {:?}", who.role, who.name);
    Err(AgentError::Identity { expected: config.robot.get(), got })
}

/// The dead-man of simulated arms on a machine that stalls. Chosen: longer than the longest stall
/// that the profile tolerates (250 ticks).
const PATIENT_DEAD_MAN: Micros = Micros::from_millis(300);

fn simulated(profile: NamedProfile, tolerate_stalls: bool) -> Servo<SimulatedPsm> {
    let (joints, jaw) = HOME;
    let dead_man = if tolerate_stalls { PATIENT_DEAD_MAN } else { DEAD_MAN };
    let arm = || SimulatedPsm::new(&PSM_CLASSIC, &joints, jaw, robot_now()).with_dead_man(dead_man);
    Servo::new(Follower::new(profile.profile), PerArm { psm1: arm(), psm2: arm() })
}

/// The tap before it runs, and what others write for it; nothing where nobody may look.
#[derive(Default)]
struct Offered {
    tap: Option<tap::Tap>,
    states: Option<StateWriter>,
    links: Option<tap::LinkWriter>,
}

fn offer(
    path: Option<&Path>,
    robot: RobotId,
    health: Option<&Arc<Health>>,
) -> Result<Offered, AgentError> {
    let Some(path) = path else { return Ok(Offered::default()) };
    let (states, read_states) = Mailbox::pair();
    let (links, read_links) = Mailbox::pair();
    let ends = TapEnds { states: read_states, links: read_links, health: health.cloned() };
    // Which run it is: anything that the last one was not.
    let run = random_u64().unwrap_or_else(|_none| robot_now().as_micros());
    let tap = tap::Tap::offer(path, robot, run, ends)
        .map_err(|source| AgentError::Tap { path: path.to_owned(), source })?;
    Ok(Offered { tap: Some(tap), states: Some(states), links: Some(links) })
}

/// Shows every tick until `stop`: the thread ends by itself.
fn show(tap: tap::Tap, stop: Stop) -> io::Result<()> {
    spawn("tap", move || tap.run(&stop)).map(drop)
}

/// Answers probes beside QUIC until `stop`: the thread ends by itself.
fn answer_outside(twin: Twin, stop: Stop, real_time: bool) -> io::Result<()> {
    spawn("twin", move || twin.run(&stop, real_time)).map(drop)
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn join<T>(thread: JoinHandle<T>) -> Result<T, AgentError> {
    let name = thread.thread().name().unwrap_or("unnamed").to_owned();
    thread.join().map_err(|_panic| {
        AgentError::System(io::Error::other(format!("the {name} thread died; this is a defect")))
    })
}

/// Hands every state to the observer, logs what people want to know, and keeps epochs in reserve.
/// Gives the last stage.
struct Watch {
    states: StateReader,
    observer: Option<Observer>,
    epochs: EpochStore,
    health: Option<Arc<Health>>,
    network: NetworkWatch,
    revocations: Revocations,
}

impl Watch {
    fn run(mut self, stop: &Stop) -> Option<Stage> {
        let mut last: Option<Stage> = None;
        let mut told = RecordAlarm::None;
        let mut failures = 0_u64;
        while !stop.is_stopped() {
            thread::sleep(Duration::from_millis(20));
            if let Some(health) = &self.health {
                told = tell(told, health.alarm(robot_now()));
            }
            if let Err(error) = self.epochs.top_up() {
                failures = failures.saturating_add(1);
                if failures.is_power_of_two() {
                    tracing::error!("{error} ({failures} times)");
                }
            }
            self.revocations.look(robot_now());
            let Self { states, observer, network, .. } = &mut self;
            let _drained = states.drain(u64::MAX, |words| {
                let Some((state, _)) = unpack_state(words) else { return };
                if last != Some(state.stage) {
                    log_stage(last, &state, network);
                    last = Some(state.stage);
                }
                if let Some(observer) = observer {
                    observer(&state);
                }
            });
        }
        last
    }
}

/// Tells the bedside how the record does, once for each change.
fn tell(told: RecordAlarm, alarm: RecordAlarm) -> RecordAlarm {
    match alarm {
        _ if alarm == told => {}
        RecordAlarm::None => tracing::info!("{}", alarm.advice()),
        RecordAlarm::Behind => tracing::warn!("{}", alarm.advice()),
        RecordAlarm::Failed => tracing::error!("{}", alarm.advice()),
    }
    alarm
}

/// The robot's own time of the change stands in the line: the log's is that of its writing, up to a
/// round of this thread later.
fn log_stage(last: Option<Stage>, state: &FollowerState, network: &NetworkWatch) {
    let robot_us = state.robot_time.as_micros();
    let (age, loop_age) =
        (tracing::field::display(state.age), tracing::field::display(state.loop_age));
    let is_given = last == Some(Stage::Bedside) && state.stage < Stage::Bedside;
    let whom =
        if is_given { format!("; handed to {}", network.handed_to()) } else { String::new() };
    tracing::info!(robot_us, age, loop_age, "{}{whom}", stage_words(last, state));
}

fn stage_words(last: Option<Stage>, state: &FollowerState) -> String {
    let (to, operating_state) = (state.stage.name(), state.stage.operating_state().name());
    let from = last.map_or(String::new(), |from| format!("{} to ", from.name()));
    let reason = state.reason;
    let why = if reason == Reason::None {
        String::new()
    } else {
        format!(", because {}{}", reason.words(), advice(reason))
    };
    format!("stage: {from}{to} ({operating_state}){why}")
}

/// What a person can do about it, behind the words; empty where that is plain.
fn advice(reason: Reason) -> &'static str {
    if reason == Reason::MissedTicks {
        "; `doctor` says what this machine lacks, simulated arms may run with --tolerate-stalls; \
         after a fault say restart"
    } else if reason == Reason::EmergencyStop {
        "; restart releases it"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_quic::trust::{Authority, Role, Validity};

    /// An agent whose network side does `run_pump`, and the end of that.
    fn with_pump(run_pump: RunPump, look: impl FnOnce(&Agent)) -> AgentReport {
        let state = tempfile::tempdir().unwrap();
        let (robot, life) = (RobotId::new(1), Validity::days(1).unwrap());
        let authority = Authority::ephemeral("Test Hospital").unwrap();
        let identity = authority.issue(Role::Robot, "or3", Some(robot), life).unwrap();
        let agent = Agent::start_with(
            AgentConfig {
                bind: "127.0.0.1:0".parse().unwrap(),
                robot,
                credentials: authority.credentials(&identity).unwrap(),
                profile: NamedProfile::load("default").unwrap().tolerating_stalls().unwrap(),
                state: state.path().to_owned(),
                qlog: None,
                real_time: false,
                tolerate_stalls: true,
                observer: None,
                record: None,
                probe_twin: None,
                tap: None,
            },
            run_pump,
        )
        .unwrap();
        look(&agent);
        agent.stop().unwrap()
    }

    #[test]
    fn the_end_of_the_network_side_is_told_and_takes_nothing_with_it() {
        let ends: [(&str, RunPump, &str); 3] = [
            ("lost", |_, _, _, _| Err(PumpError::SocketLost), "the socket was lost"),
            ("quiet", |_, _, _, _| Ok(()), "it stopped unasked"),
            ("died", |_, _, _, _| panic!("as the test wants it"), "it died; this is a defect"),
        ];
        for (name, run_pump, words) in ends {
            let report = with_pump(run_pump, |agent| {
                while !agent.pump.is_finished() {
                    thread::yield_now();
                }
                assert!(!agent.has_failed(), "{name}");
                // The servo thread turns, and the bedside's words are done and say it.
                for word in ["enable", "hand-over", "release"] {
                    let answer = crate::controls::obey(&agent.bedside(), word);
                    assert!(answer.starts_with(&format!("ok: {word}")), "{answer}");
                    assert!(answer.contains("; but the network side has ended"), "{answer}");
                    assert!(answer.contains(words), "{answer}");
                }
                assert_eq!(agent.bedside().stage(), Stage::Bedside, "{name}: it has its power");
            });
            assert!(report.network_ended.unwrap().contains(words), "{name}");
        }
        let report = with_pump(RobotPump::run, |_| ());
        assert_eq!(report.network_ended, None);
    }

    #[test]
    fn a_start_that_fails_half_way_leaves_no_thread_and_one_that_does_not_leaves_all() {
        for is_started in [false, true] {
            let (stop, shared) = (Stop::new().unwrap(), Arc::<Shared>::default());
            let mut guard = StopAll { shared: Arc::clone(&shared), stop: Some(stop.clone()) };
            if is_started {
                guard.stop = None;
            }
            drop(guard);
            assert_eq!(stop.is_stopped(), !is_started);
            assert_eq!(shared.stop.load(Ordering::Relaxed), !is_started);
        }
    }
}
