//! `longhand-sim link`: list the links, show one, check them, run one as a relay, convert.
//!
//! Knows: the command line, and how numbers are shown to people and to programs. Does not know: how
//! a link works (`longhand_link`), or how packets travel (`relay`). Text goes to standard output in
//! one piece; progress goes to standard error.
//!
//! Exit codes: 0 all is well; 1 an error, told with what to do; 2 the command line is wrong (clap);
//! 3 the relay ran, but its figures are not about the link: the machine stalled, or nothing came.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};
use longhand_link::{Direction, Disturb, DropCause, LinkModel, LinkStats, Profile, Trace};
use longhand_protocol::units::Micros;
use longhand_quic::clock::link_now;
use serde_json::{Value, json};

use crate::relay::{LogFailure, Relay, RelayError, RelayHandle, RelayOptions, RelayStats};

mod check;
mod convert;
mod measure;
mod reflect;
mod show;

pub(crate) use show::rtt_p50_ms;

/// `longhand-sim link ...`
#[derive(Debug, Args)]
pub struct LinkArgs {
    #[command(subcommand)]
    command: LinkCommand,
}

#[derive(Debug, Subcommand)]
enum LinkCommand {
    /// Lists every link there is
    List(ListArgs),
    /// Shows one link: its delays as quantiles and a picture, its loss, and where its numbers come
    /// from
    Show(show::ShowArgs),
    /// Runs a link in real time, as a UDP relay between two programs
    Run(RunArgs),
    /// Checks that links do what their profiles ask, in virtual time or in real time
    Check(check::CheckArgs),
    /// Measures the way to somebody's irtt server, and writes it as a link trace
    Measure(measure::MeasureArgs),
    /// Answers irtt's clients and STAMP senders, so that they measure the way to this machine
    Reflect(reflect::ReflectArgs),
    /// Converts a recording of a real link into a link trace
    Import(convert::ImportArgs),
    /// Writes a link trace in the format of another tool
    Export(convert::ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which link: a profile by name, or a recording.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "which-link", multiple = false)]
pub struct LinkChoice {
    /// A link by name; `longhand-sim link list` lists them
    #[arg(long, value_name = "NAME", value_parser = link_name)]
    pub link: Option<String>,
    /// A link trace, version 1
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

impl LinkChoice {
    /// The chosen link, or the profile called `otherwise` where none was chosen.
    ///
    /// Errors: [`LinkError`] where there is no such profile, or the trace cannot be read.
    pub fn model_or(&self, otherwise: &str) -> Result<LinkModel, LinkError> {
        match &self.trace {
            Some(path) => read_trace(path),
            None => named(self.link.as_deref().unwrap_or(otherwise)),
        }
    }
}

/// Faults laid over the link.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DisturbArgs {
    /// Lose this share of packets at random, in place of the link's own loss (0 to 1)
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub loss: Option<f64>,
    /// Deliver this share of packets twice (0 to 1)
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0",
          allow_negative_numbers = true)]
    pub duplicate: f64,
    /// Turn over one bit in this share of packets (0 to 1)
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0",
          allow_negative_numbers = true)]
    pub corrupt: f64,
    /// Let this share of packets be overtaken, by 5 ms (0 to 1)
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0",
          allow_negative_numbers = true)]
    pub reorder: f64,
}

/// How far a reordered packet falls behind. Chosen: 5 ms, past a few packets at 1 kHz.
const REORDER_BY: Micros = Micros::from_millis(5);

impl From<DisturbArgs> for Disturb {
    fn from(args: DisturbArgs) -> Self {
        let DisturbArgs { loss, duplicate, corrupt, reorder } = args;
        Self { loss, duplicate, corrupt, reorder, reorder_by: REORDER_BY }
    }
}

const RUN_EXAMPLES: &str = "Examples:
  longhand-sim link run --listen 127.0.0.1:7401 --to 127.0.0.1:7400 --link city-5g-sa
      Point the console at port 7401 instead of the robot's 7400.
  longhand-sim link run --listen 0.0.0.0:7401 --to robot.local:7400 --link leo-starlink --seed 7
      The same weather every time seed 7 is used.
  longhand-sim link run --listen 127.0.0.1:0 --to 127.0.0.1:7400 \\
      --trace sim/traces/cicv5g-rural-outage.csv --for 1m --json --log packets.csv
      A recorded drive for one minute; results as JSON, every packet in packets.csv.
  longhand-sim link run --link geo --listen 127.0.0.1:7501 --to robot.local:7400 \\
      --listen 127.0.0.1:7502 --to robot.local:7401
      Two ports of the robot over one link: its commands, and its answers to plain UDP
      (`longhand-console qualify --robot 127.0.0.1:7501 --twin 127.0.0.1:7502`).

Up to 64 programs may send to one relay; each has an address of its own at the far end, and all
share the link: one queue, the same outages. A trace that declares no seam ends the run at its end,
in words; --loop begins again there.

Exit codes: 0 done; 1 error, or the log is not whole; 2 wrong usage; 3 done, but the figures say
nothing of the link: no packet came through, or the machine stalled too often (error over 5 ms on
more than one packet in 10 000).";

/// `longhand-sim link run`
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Where clients (the console) send to; port 0 takes a free one. Once for each --to
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    listen: Vec<String>,
    /// The far end (the robot); said again, another one behind the --listen of the same place
    #[arg(long, value_name = "HOST:PORT", required = true)]
    to: Vec<String>,
    /// Begin a trace that declares no seam again at its end
    #[arg(long = "loop", requires = "trace")]
    looped: bool,
    #[command(flatten)]
    choice: LinkChoice,
    #[command(flatten)]
    disturb: DisturbArgs,
    /// Everything random comes from this number; printed, so that a run can be repeated
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = whole::<0, { u64::MAX }>)]
    seed: u64,
    /// Stop after this time: 90 (seconds), 30s, 10m, 24h; without it, on Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    lasts: Option<Micros>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Write every packet to this CSV file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Wait the last 60 us before each packet awake: errors near 1 us, for up to a whole processor
    #[arg(long)]
    spin: bool,
}

/// What can go wrong on the command line of links.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LinkError {
    /// No such profile.
    #[error("no link is called `{asked}`")]
    #[diagnostic(help("{help}"))]
    Name {
        /// What was asked for.
        asked: String,
        /// What to do.
        help: String,
    },
    /// An address that is none.
    #[error("`{text}` is no address to {purpose}: {why}")]
    #[diagnostic(help("write it as HOST:PORT, for example 127.0.0.1:7400 or [::1]:7400"))]
    Address {
        /// What was given.
        text: String,
        /// What it was for.
        purpose: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
    /// A file that cannot be read or written.
    #[error("cannot {doing} {}: {why}", path.display())]
    #[diagnostic(help("check the path and its permissions"))]
    File {
        /// "read" or "write".
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// A file whose content is not what it should be.
    #[error("{}: {why}", path.display())]
    #[diagnostic(help("{help}"))]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong, with the line.
        why: String,
        /// What to do.
        help: &'static str,
    },
    /// The relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Measuring against somebody's server.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Client(#[from] crate::peers::client::ClientError),
    /// Places to listen and far ends do not come in pairs.
    #[error("{listens} --listen and {tos} --to: each place to listen needs its far end")]
    #[diagnostic(help("say --listen and --to in turn, as often as there are far ends"))]
    Pairs {
        /// Places to listen.
        listens: usize,
        /// Far ends.
        tos: usize,
    },
    /// Nothing was chosen.
    #[error("say which link")]
    #[diagnostic(help("give a name (`longhand-sim link list`) or --trace FILE"))]
    Nothing,
}

impl LinkError {
    /// Whether the command line is wrong and nothing was tried.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Name { .. } | Self::Pairs { .. } | Self::Nothing => true,
            // What is no HOST:PORT is found out before any name is looked up.
            Self::Address { why, .. } => matches!(why.kind(), std::io::ErrorKind::InvalidInput),
            Self::File { .. } | Self::Content { .. } | Self::Relay(_) | Self::Client(_) => false,
        }
    }
}

/// Does what the command line says. `stop` ends a running relay; the caller sets it on a signal.
///
/// Errors: [`LinkError`], each with what to do.
pub fn run(args: &LinkArgs, stop: &AtomicBool) -> Result<ExitCode, LinkError> {
    match &args.command {
        LinkCommand::List(list) => say(&if list.json { list_json() } else { list_text() }),
        LinkCommand::Show(args) => say(&show::show(args)?),
        LinkCommand::Import(args) => convert::import(args)?,
        LinkCommand::Export(args) => convert::export(args)?,
        LinkCommand::Check(args) => return check::check(args, stop),
        LinkCommand::Run(args) => return relay(args, stop),
        LinkCommand::Measure(args) => return measure::run(args, stop),
        LinkCommand::Reflect(args) => return reflect::reflect(args, stop),
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the relay that `args` describe. For callers who join it to something else.
pub fn start(args: &RunArgs) -> Result<RelayHandle, LinkError> {
    if args.choice.link.is_none() && args.choice.trace.is_none() {
        return Err(LinkError::Nothing);
    }
    if args.listen.len() != args.to.len() {
        return Err(LinkError::Pairs { listens: args.listen.len(), tos: args.to.len() });
    }
    let model = model(args)?;
    let doors = args.listen.iter().zip(&args.to).map(|(listen, to)| {
        Ok::<_, LinkError>((address(listen, "listen on")?, address(to, "send to")?))
    });
    let doors: Vec<_> = doors.collect::<Result<_, _>>()?;
    let options = RelayOptions {
        disturb: args.disturb.into(),
        log: args.log.clone(),
        spin: args.spin,
        ..RelayOptions::new(model, args.seed)
    };
    Ok(Relay::start_doors(&doors, options)?)
}

/// The chosen link; a trace with the seam that the command line declares.
fn model(args: &RunArgs) -> Result<LinkModel, LinkError> {
    Ok(match args.choice.model_or("")? {
        LinkModel::Trace(trace) if args.looped => LinkModel::from(Trace::clone(&trace).looped()),
        model @ (LinkModel::Trace(_) | LinkModel::Profile(_)) => model,
    })
}

/// How long a link has something to say; `None`: for ever.
fn lasts(model: &LinkModel) -> Option<Micros> {
    match model {
        LinkModel::Trace(trace) if trace.header().loop_us.is_none() => Some(trace.length()),
        LinkModel::Trace(_) | LinkModel::Profile(_) => None,
    }
}

fn relay(args: &RunArgs, stop: &AtomicBool) -> Result<ExitCode, LinkError> {
    let handle = start(args)?;
    let of_link = lasts(&model(args)?);
    let name = args.choice.link.clone().unwrap_or_else(|| String::from("trace"));
    let doors = handle.local_addrs().iter().zip(&args.to).enumerate();
    for (place, (at, to)) in doors {
        let word = if place == 0 { "relay" } else { "and" };
        eprintln!("{word} {at} -> {to}, link {name}, seed {}; Ctrl-C ends it", args.seed);
    }
    // Chosen: a stop is seen within 50 ms, and a person is told every 5 s.
    let (look, told_every) = (Micros::from_millis(50), 100_u32);
    let began = link_now();
    let ends = args.lasts.map(|span| began.after(span));
    let (mut looks, mut trace_ended) = (0_u32, false);
    while !stop.load(Ordering::Acquire) {
        let left = ends.map_or(look, |end| end.since(link_now()).min(look));
        // What is under way when a trace ends still comes home; nothing new does.
        if of_link.is_some_and(|span| link_now().since(began) > span) && is_empty(&handle)? {
            trace_ended = true;
            break;
        }
        if left == Micros::ZERO {
            break;
        }
        std::thread::sleep(Duration::from_micros(left.as_micros()));
        looks = looks.saturating_add(1);
        if looks.checked_rem(told_every) == Some(0) {
            eprintln!("{}", status(&handle.stats()?));
        }
    }
    let stats = handle.stop()?;
    if let Some(span) = of_link.filter(|_| trace_ended) {
        eprintln!(
            "the trace ended after {:.1} s, and with it the run: it declares no seam; --loop \
             begins it again",
            span.as_secs_f64()
        );
    }
    let stats = Ran { stats, trace_ended };
    say(&if args.json { run_json(&name, &stats) } else { run_text(&name, &stats) });
    let Ran { stats, .. } = stats;
    if let Some(LogFailure { path, why }) = stats.log_failure {
        let why = std::io::Error::other(why);
        return Err(LinkError::File { doing: "write all of", path, why });
    }
    if let Some(path) = &args.log {
        say_written(path, "a row for every packet");
    }
    Ok(match stats.is_valid() {
        Some(true) => ExitCode::SUCCESS,
        Some(false) | None => ExitCode::from(3),
    })
}

/// A relay that has run.
struct Ran {
    stats: RelayStats,
    /// Its trace came to its end, which ended the run.
    trace_ended: bool,
}

fn is_empty(handle: &RelayHandle) -> Result<bool, RelayError> {
    handle.stats().map(|stats| stats.under_way == 0)
}

fn status(stats: &RelayStats) -> String {
    let LinkStats { up, down } = &stats.link;
    format!(
        "up {} in, {} lost; down {} in, {} lost; {} under way; error p50 {} p99 {} max {} us",
        up.offered,
        up.dropped_total(),
        down.offered,
        down.dropped_total(),
        stats.under_way,
        stats.error.p50,
        stats.error.p99,
        stats.error.max,
    )
}

fn run_text(name: &str, Ran { stats, trace_ended }: &Ran) -> String {
    let mut out = format!("link {name}, seed {}; thread: {}\n", stats.seed, stats.granted);
    for direction in Direction::BOTH {
        let lane = stats.link.lane(direction);
        let _ = write!(
            out,
            "{:4}  offered {}  delivered {}  copies {}  corrupted {}  held {}  lost {}",
            direction.name(),
            lane.offered,
            lane.delivered,
            lane.duplicated,
            lane.corrupted,
            lane.held,
            lane.dropped_total()
        );
        if stats.send_failed.of(direction) > 0 {
            let _ = write!(out, "  send-failed {}", stats.send_failed.of(direction));
        }
        for cause in DropCause::ALL.iter().filter(|cause| lane.dropped(**cause) > 0) {
            let _ = write!(out, "  {} {}", cause.name(), lane.dropped(*cause));
        }
        out.push('\n');
    }
    let error = &stats.error;
    match stats.is_valid() {
        None => out.push_str(
            "no packet came through: nothing was measured; does the console send to this relay, \
             and does the robot serve where it sends to?\n",
        ),
        Some(valid) => {
            let _ = writeln!(
                out,
                "the relay's own error: p50 {} us, p99 {} us, p99.9 {} us, max {} us over {} \
                 packets",
                error.p50, error.p99, error.p999, error.max, error.count
            );
            let verdict = if valid { "valid" } else { "INVALID: the machine stalled" };
            let _ = writeln!(out, "{} packets more than 5 ms late; run {verdict}", stats.stalled);
        }
    }
    if *trace_ended {
        out.push_str("the trace came to its end, and with it the run\n");
    }
    if stats.clients_replaced > 0 {
        let (gone, most) = (stats.clients_replaced, crate::relay::CLIENTS_MAX);
        let _ = writeln!(out, "{gone} clients gave way to others: there were more than {most}");
    }
    if stats.send_failed != crate::relay::Lanes::default() {
        out.push_str("send-failed: the link let them through, and the system did not send them\n");
    }
    if stats.nobody_there > 0 {
        let times = stats.nobody_there;
        let _ = writeln!(out, "the far end's machine said {times} times that nobody listens there");
    }
    if stats.log_lost > 0 {
        let _ = writeln!(out, "{} rows are not in the log", stats.log_lost);
    }
    out
}

fn run_json(name: &str, Ran { stats, trace_ended }: &Ran) -> String {
    let error = Some(&stats.error).filter(|error| error.count > 0);
    let value = json!({
        "schema": "longhand relay report v3",
        "link": name,
        "seed": stats.seed,
        "valid": stats.is_valid(),
        "up": ran_json(stats, Direction::Up),
        "down": ran_json(stats, Direction::Down),
        "packets": stats.error.count,
        "error_us_p50": error.map(|e| e.p50),
        "error_us_p99": error.map(|e| e.p99),
        "error_us_p999": error.map(|e| e.p999),
        "error_us_max": error.map(|e| e.max),
        "stalled": stats.stalled,
        "nobody_there": stats.nobody_there,
        "under_way": stats.under_way,
        "clients": stats.clients.iter()
            .map(|client| json!({
                "number": client.number,
                "address": client.address.to_string(),
                "at": client.at.to_string(),
            }))
            .collect::<Vec<Value>>(),
        "clients_replaced": stats.clients_replaced,
        "trace_ended": trace_ended,
        "log_rows_lost": stats.log_lost,
        "log_failure": stats.log_failure.as_ref().map(|failure| &failure.why),
        "real_time": stats.granted,
    });
    format!("{value:#}\n")
}

/// A lane between sockets, where what the link lets through may still not be sent.
fn ran_json(stats: &RelayStats, direction: Direction) -> Value {
    let mut lane = lane_json(&stats.link, direction);
    if let Some(members) = lane.as_object_mut() {
        members.insert("send_failed".to_owned(), json!(stats.send_failed.of(direction)));
    }
    lane
}

fn lane_json(stats: &LinkStats, direction: Direction) -> Value {
    let lane = stats.lane(direction);
    let dropped: serde_json::Map<String, Value> = DropCause::ALL
        .iter()
        .map(|cause| (cause.name().to_owned(), json!(lane.dropped(*cause))))
        .collect();
    json!({
        "offered": lane.offered,
        "delivered": lane.delivered,
        "duplicated": lane.duplicated,
        "corrupted": lane.corrupted,
        "reordered": lane.reordered,
        "held": lane.held,
        "dropped": dropped,
    })
}

fn list_text() -> String {
    let mut out = String::from("link                       RTT p50   loss up/down     \n");
    for profile in longhand_link::PROFILES {
        let loss = |direction| profile.path(direction).loss.mean() * 100.0;
        let _ = writeln!(
            out,
            "{:24} {:6.1} ms  {:.3}/{:.3} %  {}",
            profile.name,
            show::rtt_p50_ms(profile),
            loss(Direction::Up),
            loss(Direction::Down),
            profile.summary
        );
    }
    out.push_str("\n`longhand-sim link show NAME` tells more, with the source of every number.\n");
    out
}

fn list_json() -> String {
    let all: Vec<Value> = longhand_link::PROFILES.iter().map(show::profile_json).collect();
    format!("{:#}\n", json!({ "schema": "longhand links v1", "links": all }))
}

/// A link's name on a command line: one that there is.
///
/// Errors: the words for people, with the name that was probably meant.
pub(crate) fn link_name(name: &str) -> Result<String, String> {
    match named(name) {
        Err(LinkError::Name { asked, help }) => Err(format!("no link is called `{asked}`; {help}")),
        Ok(_) | Err(_) => Ok(name.to_owned()),
    }
}

/// The profile called `name` as a model.
pub(crate) fn named(name: &str) -> Result<LinkModel, LinkError> {
    match Profile::by_name(name) {
        Ok(profile) => Ok(LinkModel::from(profile)),
        Err(why) => {
            let meant = why.nearest.map(|nearest| format!("did you mean `{nearest}`? "));
            let help =
                format!("{}`longhand-sim link list` lists them all", meant.unwrap_or_default());
            Err(LinkError::Name { asked: name.to_owned(), help })
        }
    }
}

pub(crate) fn read_trace(path: &Path) -> Result<LinkModel, LinkError> {
    let text = read(path)?;
    let trace = Trace::parse(&text).map_err(|why| LinkError::Content {
        path: path.to_path_buf(),
        why: why.to_string(),
        help: "sim/traces/README.md describes the format; `longhand-sim link import` converts",
    })?;
    Ok(LinkModel::from(trace))
}

fn read(path: &Path) -> Result<String, LinkError> {
    let fail = |why| LinkError::File { doing: "read", path: path.to_path_buf(), why };
    std::fs::read_to_string(path).map_err(fail)
}

fn address(text: &str, purpose: &'static str) -> Result<SocketAddr, LinkError> {
    let fail = |why| LinkError::Address { text: text.to_owned(), purpose, why };
    let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    text.to_socket_addrs().map_err(fail)?.next().ok_or_else(|| fail(none()))
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
fn say(text: &str) {
    let _gone = std::io::stdout().lock().write_all(text.as_bytes());
}

/// How long something is measured or answered.
fn written_time(text: &str) -> Result<Micros, String> {
    let time = Micros::from_written(text)?;
    if (Micros::from_millis(100)..=Micros::from_secs(86_400)).contains(&time) {
        return Ok(time);
    }
    Err("0.1s to 24h are wanted, as 30s, 10m or 24h".to_owned())
}

/// Says on standard error what was written where: standard output may be the program's that reads.
fn say_written(path: &Path, what: &str) {
    eprintln!("wrote {}: {what}", path.display());
}

fn whole<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("a whole number from {LEAST} to {MOST} is wanted"))
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err(String::from("a share is a number from 0 to 1; 0.05 is 5 %")),
    }
}
