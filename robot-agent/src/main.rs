//! `longhand-robot-agent`: the bedside's program.
//!
//! Knows: the command line. Does not know: anything it does not hand to the library.

use clap::{Args, Parser, Subcommand, ValueEnum};
use longhand_protocol::message::{RobotId, Stage};
use longhand_protocol::units::Micros;
use longhand_quic::clock::robot_now;
use longhand_quic::pace::ignore_background_stops;
use longhand_quic::trust::{Credentials, Role, Trust, date};
use longhand_record::command::{self as record_command, RecordCommand};
use longhand_record::recorder::in_folder;
use longhand_robot_agent::agent::{Agent, AgentConfig, AgentReport, Bedside};
use longhand_robot_agent::arm_command::{self, ArmCommand};
use longhand_robot_agent::controls::{self, WORDS};
use longhand_robot_agent::doctor::{self, Health};
use longhand_robot_agent::profile_file::NamedProfile;
use longhand_robot_agent::record::schema::Topic;
use longhand_robot_agent::states_json;
use miette::{IntoDiagnostic, WrapErr};
use serde_json::json;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The bedside robot agent: holds the robot's law, serves one surgeon, never trusts the link.
#[derive(Parser)]
#[command(name = "longhand-robot-agent", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  longhand-robot-agent trust init --dir trust --hospital 'General Hospital'
  longhand-robot-agent trust issue --dir trust --role robot --name or3 --robot-id 1
  longhand-robot-agent trust issue --dir trust --role surgeon --name dr-lee
  longhand-robot-agent run --identity trust/or3 --state state --bind 0.0.0.0:7400
  longhand-robot-agent bedside --socket bedside.sock hand-over
  longhand-robot-agent arm scan --port /dev/ttyACM0 --speaks feetech
  longhand-robot-agent arm test so101 --port /dev/ttyACM0
  longhand-robot-agent record verify --trust trust/or3 state/record/*-0000.mcap
  longhand-robot-agent doctor --identity trust/or3 --state state";

#[derive(Subcommand)]
enum Command {
    /// Run the robot: 1 kHz loop, QUIC, bedside controls.
    Run(Run),
    /// Say one word to a running agent, from the bedside.
    Bedside {
        /// The agent's socket, as given to `run --bedside-socket`.
        #[arg(long)]
        socket: PathBuf,
        /// enable, hand-over, release, pause, resume, disable, estop, restart.
        word: String,
    },
    /// Say what this machine grants, what is missing, and what follows. Exit code: 0 good, 1
    /// limited or bad (`health` in --json says which), 2 wrong usage.
    Doctor(Doctor),
    /// The hospital's certificate authority.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// A serial arm: list its servos, number them, calibrate it, test it.
    #[command(subcommand)]
    Arm(ArmCommand),
    /// The black box: check, mend, read.
    #[command(subcommand)]
    Record(RecordCommand),
}

#[derive(Args)]
struct Run {
    /// The robot's identity folder, from `trust issue --role robot`.
    #[arg(long)]
    identity: PathBuf,
    /// Where to serve QUIC.
    #[arg(long, default_value = "127.0.0.1:7400")]
    bind: SocketAddr,
    /// The robot's number, as in its certificate.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    robot_id: u64,
    /// Folder that keeps the epoch over restarts.
    #[arg(long, default_value = "longhand-state")]
    state: PathBuf,
    /// Limits: default, public-5g, satellite, or a TOML file.
    #[arg(long, default_value = "default")]
    profile: String,
    /// Enable the robot and hand it over at the start, without a person at the bedside.
    #[arg(long)]
    hand_over: bool,
    /// Also take bedside words from a Unix socket here (beside standard input).
    #[arg(long)]
    bedside_socket: Option<PathBuf>,
    /// This machine stalls (a shared or virtual one): a stall holds the simulated arms instead of
    /// being a fault of the robot's.
    #[arg(long)]
    tolerate_stalls: bool,
    /// Do not ask for real-time priority and locked memory.
    #[arg(long)]
    no_real_time: bool,
    /// Also answer probes without QUIC on this UDP address, while an engineer or a surgeon measures
    /// the link (`longhand-console qualify`), so that QUIC's own cost is seen. Left out: nowhere.
    #[arg(long, value_name = "IP:PORT")]
    probe_twin: Option<SocketAddr>,
    /// Let a gateway watch: offers every tick, to be read and no more, on a socket here that only
    /// this user may open (`longhand-gateway run --tap FILE`). Left out: nobody watches.
    #[arg(long, value_name = "FILE")]
    tap: Option<PathBuf>,
    /// Stop by itself after this time: 90 (seconds), 30s, 10m, 24h.
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    limit: Option<Micros>,
    /// Write one qlog file per connection here. For diagnosis, never for a case: the thread that
    /// carries the commands writes it, so a slow disk holds up the link.
    #[arg(long)]
    qlog: Option<PathBuf>,
    /// Write what the robot does here, one JSON object a line: at every change of stage or reason,
    /// and every 100 ms (robot_us, stage, operating_state, reason, age_us, loop_age_us, command,
    /// safe_stops, tips_mm of both arms).
    #[arg(long, value_name = "FILE")]
    states_json: Option<PathBuf>,
    /// Folder for the black box, a new file each time; `record` in the --state folder if not given.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Keep no record.
    #[arg(long, conflicts_with = "record")]
    no_record: bool,
    /// Print the report at the end as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Doctor {
    /// The robot's identity folder.
    #[arg(long)]
    identity: PathBuf,
    /// The address it is to serve on.
    #[arg(long, default_value = "127.0.0.1:7400")]
    bind: SocketAddr,
    /// The robot's number.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    robot_id: u64,
    /// Folder that keeps the epoch.
    #[arg(long, default_value = "longhand-state")]
    state: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum TrustCommand {
    /// Make the hospital's authority in a new folder.
    Init {
        /// The folder; must not exist or be empty.
        #[arg(long, default_value = "trust")]
        dir: PathBuf,
        /// The hospital's name, as it stands in the authority's certificate.
        #[arg(long)]
        hospital: String,
    },
    /// Issue an identity: a folder to copy to its machine.
    Issue {
        /// The authority's folder.
        #[arg(long, default_value = "trust")]
        dir: PathBuf,
        /// What the holder may be.
        #[arg(long, value_enum)]
        role: RoleWord,
        /// The holder's name: letters, digits, - _ and dots.
        #[arg(long)]
        name: String,
        /// Days it is valid.
        #[arg(long, default_value_t = 30, allow_negative_numbers = true)]
        days: u32,
        /// The robot's number, for --role robot.
        #[arg(long)]
        robot_id: Option<u64>,
    },
    /// List what was issued.
    Show {
        /// The authority's folder.
        #[arg(long, default_value = "trust")]
        dir: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke everything ever issued to a name.
    Revoke {
        /// The authority's folder.
        #[arg(long, default_value = "trust")]
        dir: PathBuf,
        /// The holder's name.
        #[arg(long)]
        name: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleWord {
    /// May hold the robot
    Surgeon,
    /// The robot's own
    Robot,
    /// May measure the link, and never moves anything
    Engineer,
    /// May look, through a gateway
    Observer,
    /// Shows a robot to the outside, or routes for those that do
    Gateway,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Surgeon => Self::Surgeon,
            RoleWord::Robot => Self::Robot,
            RoleWord::Engineer => Self::Engineer,
            RoleWord::Observer => Self::Observer,
            RoleWord::Gateway => Self::Gateway,
        }
    }
}

fn main() -> miette::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LONGHAND_LOG")
                .unwrap_or_else(|_unset| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match Cli::parse().command {
        Command::Run(run) => run_agent(run),
        Command::Bedside { socket, word } => say(&socket, &word),
        Command::Doctor(options) => examine(&options),
        Command::Trust(command) => trust(command).map(|()| ExitCode::SUCCESS),
        Command::Arm(command) => arm_command::run(&command).into_diagnostic(),
        Command::Record(command) => record_command::run::<Topic>(&command).into_diagnostic(),
    }
}

fn run_agent(run: Run) -> miette::Result<ExitCode> {
    // `run &` in a shell: the bedside's thread reads the terminal, and must not stop the servo's.
    ignore_background_stops();
    let asked = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&asked);
    ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed)).into_diagnostic()?;
    let mut profile = NamedProfile::load(&run.profile).into_diagnostic()?;
    if run.tolerate_stalls {
        profile = profile.tolerating_stalls().into_diagnostic()?;
    }
    let credentials = Credentials::load(&run.identity).into_diagnostic()?;
    let (name, hash) = (profile.name.clone(), profile.hash.get());
    let observer = run.states_json.as_deref().map(|path| {
        let observer = states_json::observer(path).into_diagnostic();
        observer.wrap_err_with(|| format!("cannot write the states to {}", path.display()))
    });
    // Before the robot runs: what is refused here must not look like an agent that serves.
    let socket = run.bedside_socket.as_deref().map(|path| {
        let socket = controls::listen(path).into_diagnostic();
        socket.wrap_err_with(|| format!("cannot listen for bedside words on {}", path.display()))
    });
    let socket = socket.transpose()?;
    let folder = run.record.unwrap_or_else(|| run.state.join("record"));
    let record = (!run.no_record).then(|| in_folder(folder));
    let agent = Agent::start(AgentConfig {
        bind: run.bind,
        robot: RobotId::new(run.robot_id),
        credentials,
        profile,
        state: run.state,
        qlog: run.qlog,
        real_time: !run.no_real_time,
        tolerate_stalls: run.tolerate_stalls,
        observer: observer.transpose()?,
        record,
        probe_twin: run.probe_twin,
        tap: run.tap,
    })
    .into_diagnostic()?;
    eprintln!(
        "robot {} serves on {}, profile {name} ({hash:016x})",
        run.robot_id,
        agent.local_addr()
    );
    match agent.granted() {
        Some(granted) => {
            eprintln!("servo thread: {granted}");
            granted.consequences().for_each(|so| eprintln!("  {so}"));
        }
        None => eprintln!("servo thread: normal priority, as asked (--no-real-time)"),
    }
    let bedside = agent.bedside();
    if run.hand_over {
        for word in ["enable", "hand-over"] {
            eprintln!("bedside, by --hand-over: {}", controls::obey(&bedside, word));
        }
    }
    hear_bedside(bedside, socket)?;
    wait(run.limit, &asked, || agent.has_failed());
    let report = agent.stop().into_diagnostic()?;
    print_report(&report, run.json);
    Ok(if report.network_ended.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes bedside words from wherever somebody can say them, and says where.
fn hear_bedside(bedside: Bedside, socket: Option<UnixListener>) -> miette::Result<()> {
    let words = WORDS.map(|(word, _)| word).join(", ");
    match (controls::stdin_is_nobodys(), socket.is_some()) {
        (false, _) => eprintln!("bedside words on standard input: {words}"),
        (true, true) => eprintln!("bedside words on the socket only: {words}"),
        (true, false) => {
            eprintln!("nobody can say a bedside word here: give --bedside-socket FILE")
        }
    }
    if let Some(socket) = socket {
        controls::obey_socket(bedside.clone(), socket).into_diagnostic()?;
    }
    if !controls::stdin_is_nobodys() {
        controls::obey_stdin(bedside).into_diagnostic()?;
    }
    Ok(())
}

/// Waits for Ctrl-C, a termination signal, the end of the time, or a failure.
fn wait(limit: Option<Micros>, asked: &AtomicBool, failed: impl Fn() -> bool) {
    let began = robot_now();
    let is_over = || limit.is_some_and(|limit| robot_now().since(began) >= limit);
    while !asked.load(Ordering::Relaxed) && !failed() && !is_over() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn print_report(report: &AgentReport, as_json: bool) {
    let l = &report.lateness;
    let n = &report.network;
    if as_json {
        let object = json!({
            "schema": "longhand agent report v1",
            "final_stage": report.final_stage.map(Stage::name),
            "servo": {
                "ticks": l.ticks(), "missed": l.missed(),
                "late_us_p50": l.quantile(500_000).as_micros(),
                "late_us_p99": l.quantile(990_000).as_micros(),
                "late_us_p999": l.quantile(999_000).as_micros(),
                "late_us_max": l.worst().as_micros(),
                "real_time": report.granted.map_or("not asked for".to_owned(), |g| g.to_string()),
            },
            "stolen_ms": report.stolen_ms,
            "network": {
                "sessions": n.sessions, "accepted": n.accepted, "rejected": n.rejected,
                "refused": n.refused, "handshakes_refused": n.handshakes_refused,
                "damaged": report.damaged, "ended": report.network_ended,
            },
            "record": report.unrecorded.map(|lost| json!({ "lost_ticks": lost })),
        });
        println!("{object}");
        return;
    }
    println!(
        "servo: {} ticks, {} missed; late p50 {} us, p99 {} us, max {} us",
        l.ticks(),
        l.missed(),
        l.quantile(500_000).as_micros(),
        l.quantile(990_000).as_micros(),
        l.worst().as_micros()
    );
    if let Some(stolen) = report.stolen_ms {
        println!("stolen time: {stolen} ms of processor time went to other machines");
    }
    println!("network: {} sessions, {} commands accepted", n.sessions, n.accepted);
    let counts = n.rejected.iter().map(|(k, v)| ((*k).to_owned(), *v));
    let refused = n.refused.iter().chain(&n.handshakes_refused).map(|(k, v)| (k.clone(), *v));
    for (why, count) in counts.chain(refused) {
        println!("  {count} x {why}");
    }
    if let Some(words) = &report.network_ended {
        println!("{words}");
    }
    if let Some(lost) = report.unrecorded.filter(|lost| *lost > 0) {
        println!("record: {lost} ticks are in no record");
    }
}

fn say(socket: &std::path::Path, word: &str) -> miette::Result<ExitCode> {
    let answer = controls::say(socket, word).into_diagnostic().wrap_err_with(|| {
        format!("nobody answers on {}; is the agent running with it?", socket.display())
    })?;
    println!("{answer}");
    Ok(if answer.starts_with("ok") { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn examine(options: &Doctor) -> miette::Result<ExitCode> {
    let robot = RobotId::new(options.robot_id);
    let checks = doctor::examine(options.bind, &options.identity, robot, &options.state);
    let worst = checks.iter().map(|check| check.health).max().unwrap_or(Health::Good);
    if options.json {
        let schema = "longhand agent doctor v1";
        println!("{}", json!({ "schema": schema, "health": worst, "checks": checks }));
    } else {
        for check in &checks {
            let mark = match check.health {
                Health::Good => "good   ",
                Health::Limited => "limited",
                Health::Bad => "BAD    ",
            };
            println!("{mark}  {}: {}", check.what, check.found);
        }
    }
    Ok(ExitCode::from(match worst {
        Health::Good => 0,
        Health::Limited | Health::Bad => 1,
    }))
}

fn trust(command: TrustCommand) -> miette::Result<()> {
    match command {
        TrustCommand::Init { dir, hospital } => {
            Trust::init(&dir, &hospital).into_diagnostic()?;
            println!("made the authority of {hospital:?} in {}", dir.display());
            println!("keep {}/ca.key safe: whoever has it decides who may operate", dir.display());
        }
        TrustCommand::Issue { dir, role, name, days, robot_id } => {
            let trust = Trust::open(&dir).into_diagnostic()?;
            let robot = robot_id.map(RobotId::new);
            let issued = trust.issue(role.into(), &name, days, robot).into_diagnostic()?;
            println!("issued {} until {}", issued.who, date(issued.who.not_after));
            println!("copy {} to its machine, and only there", issued.folder.display());
        }
        TrustCommand::Show { dir, json } => show(&Trust::open(&dir).into_diagnostic()?, json)?,
        TrustCommand::Revoke { dir, name } => {
            let revoked = Trust::open(&dir).into_diagnostic()?.revoke(&name).into_diagnostic()?;
            println!("revoked {} certificate(s) of {name:?}", revoked.len());
            println!(
                "copy {}/ca.crl over the one in every machine's identity folder: a running robot \
                 takes it within a second, a console at its next start",
                dir.display()
            );
        }
    }
    Ok(())
}

fn show(trust: &Trust, as_json: bool) -> miette::Result<()> {
    let issued = trust.list().into_diagnostic()?;
    if as_json {
        let rows: Vec<_> = issued
            .iter()
            .map(|one| {
                json!({
                    "name": one.who.name, "role": one.who.role.to_string(),
                    "robot_id": one.who.robot.map(RobotId::get), "serial": one.who.serial,
                    "not_after": date(one.who.not_after), "revoked": one.revoked,
                    "sha256": one.who.fingerprint,
                })
            })
            .collect();
        println!("{}", json!({ "schema": "longhand trust v1", "issued": rows }));
        return Ok(());
    }
    for one in &issued {
        let state = if one.revoked { "REVOKED, would end" } else { "valid until" };
        let number = one.who.robot.map_or(String::new(), |robot| robot.get().to_string());
        let (name, role) = (&one.who.name, format!("{} {number}", one.who.role));
        println!("{name:<20} {role:<12} {state} {}", date(one.who.not_after));
    }
    Ok(())
}
