//! The demo: agent, link and console on one machine, joined over real sockets.
//!
//! Knows: how to start the three, and what to say about the run. Does not know: any rule of theirs;
//! it uses them as libraries, and their threads are those that ship.
//!
//! It plays the bedside's part: it enables the robot and hands it over at the start.

use crate::link_command::{DisturbArgs, LinkChoice, LinkError, rtt_p50_ms};
use crate::measure::{Measure, StageCounts, float};
use crate::relay::{Relay, RelayError, RelayHandle, RelayOptions, RelayStats};
use crate::train::room::{Attempt, Episodes, Room, in_words};
use crate::world::profile_for;
use clap::Args;
use longhand_console::input::script::{SHIPPED, Script, ScriptError};
use longhand_console::status::{
    ConsoleReport, ConsoleStatus, HlogError, Loss, Spread, StageReport, check_report_folder,
    rounded, thousandths,
};
use longhand_console::{
    Console, ConsoleConfig, ConsoleError, HandChoice, PagePort, Practice, written_scale,
};
use longhand_follower::supervisor::{Outcome, Request};
use longhand_leader::frames::{HAND_BASE, seen_from_arm};
use longhand_link::LinkModel;
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::{FollowerState, RobotId, Stage};
use longhand_protocol::units::{Console as ConsoleClock, Instant, Micros};
use longhand_quic::clock::console_now;
use longhand_quic::trust::{Authority, DAYS_DEFAULT, Role, TrustError, Validity};
use longhand_record::recorder::in_folder;
use longhand_robot_agent::agent::{Agent, AgentConfig, AgentError, AgentReport, Observer};
use longhand_robot_agent::profile_file::{NamedProfile, ProfileFileError};
use longhand_train::task::Task;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// The link that the demo runs over when nobody says otherwise.
pub const DEFAULT_LINK: &str = "beijing-sanya-5g-public";

/// `longhand-sim demo ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// No page: a script moves the hands
    #[arg(long)]
    pub headless: bool,
    /// Stop by itself after this time: 90 (seconds), 30s, 10m, 24h
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    pub seconds: Option<Micros>,
    #[command(flatten)]
    pub(crate) link: LinkChoice,
    #[command(flatten)]
    pub(crate) disturb: DisturbArgs,
    /// Seed of everything random in the link
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// What moves the hands: page, peg-transfer, tremor, or a hand script (CSV)
    #[arg(long, value_name = "NAME|FILE", value_parser = written_input)]
    pub(crate) input: Option<String>,
    /// The robot's limits: default, public-5g, satellite, or a TOML file; else what suits the link
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Hand metres to tip metres
    #[arg(long, default_value_t = longhand_leader::DEFAULT_SCALE, value_parser = written_scale,
          allow_negative_numbers = true)]
    pub(crate) scale: f64,
    /// Port of the page on 127.0.0.1; any free one if not given
    #[arg(long, default_value_t = 0)]
    pub(crate) page_port: u16,
    /// Folder for the .hlog histograms: a new folder in this one for each run
    #[arg(long, default_value = "longhand-report")]
    pub(crate) report: PathBuf,
    /// Write one qlog file per connection here
    #[arg(long)]
    pub(crate) qlog: Option<PathBuf>,
    /// Keep the robot's black box in this folder, about 0.3 MB a second, and the console's in the
    /// folder `console` in it
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Let gateways see the robot through this socket (`longhand-gateway run --tap FILE`)
    #[arg(long, value_name = "FILE")]
    pub(crate) tap: Option<PathBuf>,
    /// Do not ask for real-time priority and locked memory
    #[arg(long)]
    pub(crate) no_real_time: bool,
    /// Print the report as one JSON object, and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "Examples:
  longhand-sim
  longhand-sim demo --link city-5g-sa
  longhand-sim demo --headless --for 30 --link national-dedicated --seed 7 --json
  longhand-sim demo --headless --for 30 --link ideal --loss 0.5 --input tremor";

/// The demo could not run. Each says what to do.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum DemoError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Report(#[from] HlogError),
    #[error("the console was never in session with the robot: {0}")]
    NeverInSession(String),
    #[error("the servo loop did not take the bedside's words; look for an error above")]
    Bedside,
    #[error("the system refused the task's thread: {0}; see its limits (`ulimit -u`)")]
    Room(io::Error),
    #[error("{0}")]
    Network(String),
    #[error("the report could not be written: {0}")]
    Output(#[from] io::Error),
}

/// What `--json` prints. Documented in the README.
#[derive(Debug, Serialize)]
pub struct DemoReport {
    schema: &'static str,
    link: &'static str,
    seed: u64,
    profile: String,
    input: String,
    scale: f64,
    #[serde(serialize_with = "thousandths")]
    seconds: f64,
    /// Sessions that the console had.
    sessions: u64,
    /// From hand sample to the servo tick that first uses it, milliseconds.
    hand_to_joint: Option<Spread>,
    /// From hand sample to the first state that echoes it, milliseconds.
    round_trip: Spread,
    /// Age of view plus command, milliseconds.
    loop_age: Spread,
    commands: Loss,
    states: Loss,
    stages: StageCounts,
    safe_stops: u64,
    stops_per_hour: Option<f64>,
    /// Mean over the time in Follow and Coast; `null` while there was none.
    playout_mean_ms: Option<f64>,
    path_mm: [f64; 2],
    final_stage: &'static str,
    /// How far each tip is from where hand and anchors say, millimetres; `null` while not
    /// following.
    final_error_mm: Option<[f64; 2]>,
    servo: TickFigures,
    leader: TickFigures,
    relay: RelayFigures,
    network: NetworkFigures,
    /// Processor time that the hypervisor took away meanwhile, as the kernel counts it; `null`
    /// where it does not. Beside the missed ticks it says whose fault they were.
    stolen_ms: Option<u64>,
    /// The histograms' files.
    files: Vec<PathBuf>,
    /// The task; `null` where there was none.
    practice: Option<PracticeReport>,
    #[serde(skip)]
    stood_still: Option<String>,
}

#[derive(Debug, Serialize)]
struct TickFigures {
    ticks: u64,
    missed: u64,
    late_us_p50: u64,
    late_us_p99: u64,
    late_us_p999: u64,
    late_us_max: u64,
    real_time: String,
}

#[derive(Debug, Serialize)]
struct RelayFigures {
    packets: u64,
    /// Microseconds that packets left later than the link said; `null` where none did.
    error_us_p50: Option<u64>,
    error_us_p99: Option<u64>,
    error_us_p999: Option<u64>,
    error_us_max: Option<u64>,
    stalled: u64,
    valid: Option<bool>,
}

#[derive(Debug, Serialize)]
struct NetworkFigures {
    sessions: u64,
    accepted: u64,
    rejected: u64,
}

/// A task that is practised on the demo's robot.
pub struct Beside {
    /// What is to be done.
    pub task: Task,
    /// Where the rings lie in the first attempt.
    pub seed: u64,
}

/// What became of the task. Documented in the README.
#[derive(Debug, Serialize)]
struct PracticeReport {
    task: String,
    time_limit_s: f64,
    attempts: Vec<Attempt>,
}

/// The task's room, open.
struct Opened {
    task: Task,
    room: Arc<Room>,
    episodes: Episodes,
}

struct Parts {
    agent: Agent,
    relay: RelayHandle,
    console: Console,
    measure: Arc<Mutex<Measure>>,
    link: &'static str,
    profile: String,
    input: String,
    /// The demo's own epoch lives as long as the demo.
    /// Where the robot keeps its epoch; it goes with the demo.
    _state: TempDir,
    /// What cannot go well.
    warning: Option<String>,
    opened: Option<Opened>,
}

/// Runs the demo until `stop`, or the end of its time, and reports.
///
/// Errors: [`DemoError`].
pub fn run(args: &DemoArgs, stop: &AtomicBool) -> Result<(), DemoError> {
    run_beside(args, None, stop)
}

/// The same, with a task beside the robot.
///
/// Errors: [`DemoError`].
pub fn run_beside(
    args: &DemoArgs,
    beside: Option<Beside>,
    stop: &AtomicBool,
) -> Result<(), DemoError> {
    // Before the run, not after it: what cannot be written then would be lost.
    check_report_folder(&args.report)?;
    let parts = start(args, beside)?;
    let began = console_now();
    introduce(args, &parts);
    watch(args, &parts, began, stop);
    finish(args, parts, console_now().since(began))
}

/// What moves the hands, on a command line: something that there is, or a file.
fn written_input(name: &str) -> Result<String, String> {
    let is_shipped = SHIPPED.iter().any(|(shipped, _)| *shipped == name);
    if name == "page" || is_shipped || std::path::Path::new(name).exists() {
        return Ok(name.to_owned());
    }
    let names = SHIPPED.map(|(shipped, _)| shipped).join(", ");
    Err(format!("neither page, nor a shipped script ({names}), nor a file"))
}

fn start(args: &DemoArgs, beside: Option<Beside>) -> Result<Parts, DemoError> {
    let model = args.link.model_or(DEFAULT_LINK)?;
    let link = model.name();
    let input = input_name(args);
    let hand = match input.as_str() {
        "page" => HandChoice::Page,
        name => HandChoice::Script(Script::load(name)?),
    };
    let profile_name = args.profile.clone().unwrap_or_else(|| profile_for(link).0.to_owned());
    let profile = NamedProfile::load(&profile_name)?.tolerating_stalls()?;
    let profile_name = profile.name.clone();
    let warning = too_far(&model, &profile);
    let (authority, life) = (Authority::ephemeral("Longhand demo")?, Validity::days(DAYS_DEFAULT)?);
    let robot_id = RobotId::new(1);
    let robot = authority.issue(Role::Robot, "demo-robot", Some(robot_id), life)?;
    let surgeon = authority.issue(Role::Surgeon, "demo-surgeon", None, life)?;
    let measure = Arc::new(Mutex::new(Measure::default()));
    let opened = beside.map(Opened::new).transpose()?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let state = TempDir::with_prefix("longhand-demo-")?;
    let agent = Agent::start(AgentConfig {
        bind: any,
        robot: robot_id,
        credentials: authority.credentials(&robot)?,
        profile,
        state: state.path().to_owned(),
        qlog: args.qlog.clone(),
        real_time: !args.no_real_time,
        tolerate_stalls: true,
        probe_twin: None,
        tap: args.tap.clone(),
        observer: Some(observer(&measure, opened.as_ref())),
        record: args.record.clone().map(in_folder),
    })?;
    let relay = start_relay(args, model, &agent)?;
    let console = Console::start(ConsoleConfig {
        target: relay.local_addr(),
        robot: robot_id,
        credentials: authority.credentials(&surgeon)?,
        hand,
        page: (!args.headless).then_some(PagePort(args.page_port)),
        scale: args.scale,
        link_name: link.to_owned(),
        qlog: args.qlog.clone(),
        realtime: !args.no_real_time,
        same_clock: true,
        practice: opened.as_ref().map_or(Practice::Robot, Opened::practice),
        record: args.record.as_ref().map(|folder| folder.join("console")),
    })?;
    for request in [Request::Enable, Request::HandOver] {
        if agent.bedside().ask(request) != Some(Outcome::Done) {
            return Err(DemoError::Bedside);
        }
    }
    Ok(Parts {
        agent,
        relay,
        console,
        measure,
        link,
        profile: profile_name,
        input,
        _state: state,
        warning,
        opened,
    })
}

/// Sees every state of the robot's.
fn observer(measure: &Arc<Mutex<Measure>>, opened: Option<&Opened>) -> Observer {
    let (measure, room) = (Arc::clone(measure), opened.map(|opened| Arc::clone(&opened.room)));
    Box::new(move |state: &FollowerState| {
        measure.lock().unwrap_or_else(PoisonError::into_inner).observe(state, None);
        if let Some(room) = &room {
            room.see(state);
        }
    })
}

impl Opened {
    fn new(Beside { task, seed }: Beside) -> Result<Self, DemoError> {
        let (room, episodes) = Room::open(task.clone(), seed).map_err(DemoError::Room)?;
        Ok(Self { task, room, episodes })
    }

    fn practice(&self) -> Practice {
        let room: Arc<Room> = Arc::clone(&self.room);
        Practice::Task(room)
    }

    /// Once agent and console have ended, which hold the room, too.
    fn end(self) -> PracticeReport {
        drop(self.room);
        let (task, time_limit_s) = (self.task.name, self.task.time_s);
        PracticeReport { task, time_limit_s, attempts: self.episodes.end() }
    }
}

/// A link whose round trip alone is older than the profile lets a loop be: the robot would latch,
/// and stay so.
fn too_far(model: &LinkModel, profile: &NamedProfile) -> Option<String> {
    let LinkModel::Profile(link) = model else { return None };
    let (rtt_ms, most) = (rtt_p50_ms(link), profile.profile.terms().loop_age_max);
    (rtt_ms >= most.as_millis_f64()).then(|| {
        let suits = profile_for(link.name).0;
        format!(
            "the round trip of {} is {rtt_ms:.0} ms, and profile {} latches the robot above {most} \
             of loop age: it will not follow; use --profile {suits}",
            link.name, profile.name
        )
    })
}

fn input_name(args: &DemoArgs) -> String {
    let default = if args.headless { "peg-transfer" } else { "page" };
    args.input.clone().unwrap_or_else(|| default.to_owned())
}

fn start_relay(args: &DemoArgs, model: LinkModel, agent: &Agent) -> Result<RelayHandle, DemoError> {
    let mut options = RelayOptions::new(model, args.seed);
    options.disturb = args.disturb.into();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Relay::start_with(any, agent.local_addr(), options)?)
}

fn introduce(args: &DemoArgs, parts: &Parts) {
    eprintln!(
        "Longhand demo: console -> link {} (seed {}) -> robot, real QUIC over loopback",
        parts.link, args.seed
    );
    if let Some(Opened { task, .. }) = &parts.opened {
        eprintln!("{}: {}, {:.0} s", task.name, task.title, task.time_s);
    }
    eprintln!("robot profile {}, hands moved by {}", parts.profile, parts.input);
    if let Some(warning) = &parts.warning {
        eprintln!("warning: {warning}");
    }
    if let Some(granted) = parts.agent.granted() {
        eprintln!("servo thread: {granted}");
        granted.consequences().for_each(|so| eprintln!("  {so}"));
    }
    if let Some(url) = parts.console.page_url() {
        eprintln!("page: {url}");
        open_in_browser(url);
    }
    eprintln!("Ctrl-C ends it and prints the link report");
}

/// Opens the page where there is a display and a program for it; else the address above must do.
fn open_in_browser(url: &str) {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|v| std::env::var_os(v).is_some());
    if display {
        let mut opener = std::process::Command::new("xdg-open");
        opener.arg(url).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let _none_there = opener.spawn();
    }
}

/// The hands rest this long before the end, so that the tool is where it belongs when it comes.
/// Chosen: a round trip over a satellite, its playout, and the shaper's settling.
const SETTLE: Micros = Micros::from_millis(2_000);

fn watch(args: &DemoArgs, parts: &Parts, began: Instant<ConsoleClock>, stop: &AtomicBool) {
    let limit = args.seconds;
    let live = io::stderr().is_terminal();
    let mut printed = began;
    let bedside = parts.agent.bedside();
    let is_well = || !parts.agent.has_failed() && bedside.network_ended().is_none();
    while !stop.load(Ordering::Relaxed) && is_well() {
        sleep(Duration::from_millis(50));
        let ran = console_now().since(began);
        if let Some(limit) = limit {
            if ran >= limit {
                break;
            }
            if ran.saturating_add(SETTLE.min(Micros::from_micros(limit.as_micros() / 4))) >= limit {
                parts.console.rest();
            }
        }
        let every = if live { Micros::from_millis(200) } else { Micros::from_secs(5) };
        if console_now().since(printed) >= every {
            printed = console_now();
            let line = status_line(&parts.console.status(), ran);
            if live {
                eprint!("\r\x1b[2K{line}");
                let _not_shown = io::stderr().flush();
            } else {
                eprintln!("{line}");
            }
        }
    }
    if live {
        eprintln!();
    }
}

fn status_line(status: &ConsoleStatus, ran: Micros) -> String {
    let ms =
        |span: Option<Micros>| span.map_or("-".to_owned(), |s| format!("{:.0}", s.as_millis_f64()));
    let stage = status.stage.map_or("no state yet", Stage::name);
    let advice = status.advisory.map_or("", |a| a.text());
    let todo = status.advisory.map_or("", |a| a.do_next());
    let loss = status.link.loss_percent.map_or("-".to_owned(), |loss| format!("{loss:.2}"));
    format!(
        "{:>5.0} s  {stage:<8} loop age {:>4} ms  network rtt {:>4} ms  playout {:>3} ms  \
         loss {loss} %  stops {}  {advice}{}{todo}",
        ran.as_secs_f64(),
        ms(status.loop_age),
        ms(status.link.rtt),
        ms(status.playout_delay),
        status.counters.safe_stops,
        if todo.is_empty() { "" } else { ": " },
    )
}

fn finish(args: &DemoArgs, parts: Parts, ran: Micros) -> Result<(), DemoError> {
    let status = parts.console.status();
    // The run ends here: that the link dies when the console stops is no stop of the run's.
    let measure = parts.measure.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let console = parts.console.stop();
    let relay = parts.relay.stop()?;
    let agent = parts.agent.stop()?;
    let practice = parts.opened.map(Opened::end);
    // Nothing of the demo's own must be left behind; what cannot be removed hurts nobody.
    let report = DemoReport {
        schema: "longhand demo report v1",
        link: parts.link,
        seed: args.seed,
        profile: parts.profile,
        input: parts.input,
        scale: args.scale,
        seconds: ran.as_secs_f64(),
        sessions: console.sessions,
        hand_to_joint: console.hand_to_joint,
        round_trip: console.round_trip,
        loop_age: console.loop_age,
        commands: console.commands,
        states: console.states,
        stages: *measure.stages(),
        safe_stops: u64::from(status.counters.safe_stops),
        stops_per_hour: measure.stops_per_hour().map(rounded),
        playout_mean_ms: measure.playout_mean_ms().map(rounded),
        path_mm: [measure.path().psm1, measure.path().psm2].map(|metres| rounded(metres * 1e3)),
        final_stage: status.stage.map_or("none", Stage::name),
        final_error_mm: final_error_mm(&status),
        servo: servo_figures(&agent),
        leader: leader_figures(&console),
        relay: relay_figures(&relay),
        network: NetworkFigures {
            sessions: agent.network.sessions,
            accepted: agent.network.accepted,
            rejected: agent.network.rejected.values().sum(),
        },
        stolen_ms: agent.stolen_ms,
        files: Vec::new(),
        practice,
        stood_still: console.stood_still(),
    };
    tell(args, report, &console)?;
    agent.network_ended.map_or(Ok(()), |words| Err(DemoError::Network(words)))
}

/// Prints the report, whatever becomes of the files, and then says what went wrong.
fn tell(args: &DemoArgs, mut report: DemoReport, console: &ConsoleReport) -> Result<(), DemoError> {
    if !args.json {
        print(&report)?;
    }
    let written =
        if console.was_connected() { console.write_hlogs(&args.report) } else { Ok(Vec::new()) };
    if let Ok(files) = &written {
        report.files.clone_from(files);
    }
    if args.json {
        serde_json::to_writer(io::stdout().lock(), &report).map_err(io::Error::from)?;
        println!();
    }
    for file in &report.files {
        eprintln!("wrote {}", file.display());
    }
    written?;
    if console.was_connected() {
        return Ok(());
    }
    Err(DemoError::NeverInSession(console.link.clone()))
}

/// How far each tip is from where hand and anchors say.
fn final_error_mm(status: &ConsoleStatus) -> Option<[f64; 2]> {
    if status.stage != Some(Stage::Follow) {
        return None;
    }
    let error = |arm| {
        let arm = status.arms.get(arm);
        let hand = seen_from_arm(HAND_BASE, &arm.hand);
        let goal = arm.anchor.goal(&hand.pose, status.scale).position();
        rounded((goal - arm.state.measured_cp.position()).norm() * 1e3)
    };
    Some(ArmId::ALL.map(error))
}

fn servo_figures(agent: &AgentReport) -> TickFigures {
    let l = &agent.lateness;
    TickFigures {
        ticks: l.ticks(),
        missed: l.missed(),
        late_us_p50: l.quantile(500_000).as_micros(),
        late_us_p99: l.quantile(990_000).as_micros(),
        late_us_p999: l.quantile(999_000).as_micros(),
        late_us_max: l.worst().as_micros(),
        real_time: agent.granted.map_or("not asked for".to_owned(), |g| g.to_string()),
    }
}

fn leader_figures(console: &ConsoleReport) -> TickFigures {
    let l = &console.leader;
    TickFigures {
        ticks: l.ticks,
        missed: l.missed,
        late_us_p50: l.late_us_p50,
        late_us_p99: l.late_us_p99,
        late_us_p999: l.late_us_p999,
        late_us_max: l.late_us_max,
        real_time: l.real_time.clone(),
    }
}

fn relay_figures(relay: &RelayStats) -> RelayFigures {
    let error = Some(&relay.error).filter(|error| error.count > 0);
    RelayFigures {
        packets: relay.error.count,
        error_us_p50: error.map(|e| e.p50),
        error_us_p99: error.map(|e| e.p99),
        error_us_p999: error.map(|e| e.p999),
        error_us_max: error.map(|e| e.max),
        stalled: relay.stalled,
        valid: relay.is_valid(),
    }
}

fn print_attempts(out: &mut impl Write, practice: &PracticeReport) -> io::Result<()> {
    writeln!(out, "{}", practice.task)?;
    for (number, attempt) in practice.attempts.iter().enumerate() {
        let words = in_words(attempt, practice.time_limit_s);
        writeln!(out, "  attempt {}      {words}", number.saturating_add(1))?;
        if attempt.missing_ms > 0 {
            let missing = attempt.missing_ms;
            writeln!(out, "                 this machine stood still for {missing} ms of it")?;
        }
    }
    if practice.attempts.is_empty() {
        writeln!(out, "  not tried: the robot never followed")?;
    }
    Ok(())
}

fn print(report: &DemoReport) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if let Some(practice) = &report.practice {
        print_attempts(&mut out, practice)?;
    }
    writeln!(out, "Link report: {} (seed {}), {:.1} s", report.link, report.seed, report.seconds)?;
    writeln!(
        out,
        "  robot profile {}, hands moved by {} at scale {}",
        report.profile, report.input, report.scale
    )?;
    if let Some(spread) = &report.hand_to_joint {
        writeln!(out, "  hand to joint  {spread}")?;
    }
    writeln!(out, "  round trip     {}", report.round_trip)?;
    writeln!(out, "  loop age       {}", report.loop_age)?;
    writeln!(out, "  loss           commands {}, states {}", report.commands, report.states)?;
    let mut stages = report.stages;
    for stage in Stage::ALL {
        let count = stages.of(stage);
        if count.entered > 0 {
            let (stage, entered, seconds) = (stage.name(), count.entered, count.seconds);
            writeln!(out, "  stage          {}", StageReport { stage, entered, seconds })?;
        }
    }
    match (report.stops_per_hour, report.playout_mean_ms) {
        (Some(stops), Some(playout)) => writeln!(
            out,
            "  safe stops     {}, {stops:.1} an hour of motion; playout {playout:.1} ms on average",
            report.safe_stops
        )?,
        _ => writeln!(out, "  safe stops     {}; the robot never followed", report.safe_stops)?,
    }
    if let Some([psm1, psm2]) = report.final_error_mm {
        writeln!(out, "  final error    PSM1 {psm1:.3} mm, PSM2 {psm2:.3} mm")?;
    }
    for (name, figures) in [("servo ticks", &report.servo), ("leader ticks", &report.leader)] {
        writeln!(
            out,
            "  {name:<14} {} ran, {} missed ({:.4} %); late p50 {} p99 {} max {} us; {}",
            figures.ticks,
            figures.missed,
            100.0 * float(figures.missed) / float(figures.ticks.max(1)),
            figures.late_us_p50,
            figures.late_us_p99,
            figures.late_us_max,
            figures.real_time
        )?;
    }
    if let Some(words) = &report.stood_still {
        writeln!(out, "  this console   {words}")?;
    }
    if let Some(stolen) = report.stolen_ms {
        writeln!(out, "  stolen time    {stolen} ms of processor time went to other machines")?;
    }
    let r = &report.relay;
    let (Some(p50), Some(p99), Some(max)) = (r.error_us_p50, r.error_us_p99, r.error_us_max) else {
        return writeln!(out, "  relay error    nothing measured: no packet came through");
    };
    let verdict = match r.valid {
        Some(true) => "",
        Some(false) | None => "; the machine stalled: do not trust the tails",
    };
    writeln!(out, "  relay error    p50 {p50} p99 {p99} max {max} us{verdict}")
}
