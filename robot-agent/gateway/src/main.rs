//! `longhand-gateway`: what a hospital, a lab or a control room can see of a robot.
//!
//! Knows: the command line. Does not know: the robot: it is shown memory that it can only read.
//! Its own process, so that nothing that happens out there costs the robot a tick.

mod clock;
mod feed;
mod foxglove;
mod igtl;
mod metrics;
mod room;
mod ros2;
mod tap;
mod watch;
mod words;

use clap::{Args, Parser, Subcommand};
use longhand_protocol::units::Micros;
use miette::{IntoDiagnostic, WrapErr, miette};
use room::net::{Access, Gateway, Mode, Net};
use room::{Room, is_plain, period};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tap::{Feed, Ring};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use words::Place;

/// Shows a robot to the outside: zenoh and what stands on it. Outward only: nothing that arrives
/// can reach the robot.
#[derive(Parser)]
#[command(name = "longhand-gateway", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  longhand-robot-agent trust issue --dir trust --role gateway --name or3-gateway
  longhand-robot-agent trust issue --dir trust --role gateway --name router-1
  longhand-robot-agent trust issue --dir trust --role observer --name ann
  longhand-gateway router --identity trust/router-1 --listen tls/0.0.0.0:7447 \\
      --gateway or3-gateway=hospital/or3/davinci --reader ann
  longhand-robot-agent run --identity trust/or3 --tap tap.sock
  longhand-gateway run --tap tap.sock --room or3 --robot davinci --identity trust/or3-gateway \\
      --mode client --connect tls/gateway-router-1.longhand.internal:7447 --reader router-1
  longhand-gateway watch --identity trust/ann --mode client \\
      --connect tls/gateway-router-1.longhand.internal:7447

The keys and every field: robot-agent/gateway/OUTSIDE.md";

#[derive(Subcommand)]
enum Command {
    /// Publish one robot.
    Run(Run),
    /// Pass on what gateways publish, to those who may read it.
    Router(Router),
    /// Show every robot that may be read.
    Watch(Watch),
}

#[derive(Args)]
struct Run {
    /// The agent's tap, as given to `longhand-robot-agent run --tap`.
    #[arg(long, value_name = "FILE")]
    tap: PathBuf,
    /// The hospital's name in keys.
    #[arg(long, default_value = "hospital", value_parser = plain)]
    hospital: String,
    /// The room's name in keys.
    #[arg(long, value_parser = plain)]
    room: String,
    /// The robot's name in keys.
    #[arg(long, value_parser = plain)]
    robot: String,
    /// How often a second it publishes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Minutes that can be asked for afterwards; older stands in the black box. 100 Hz take 4 MB
    /// of memory a minute.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=120))]
    history_min: u32,
    /// Who may read here: the name in their certificate, a router's too. Repeat it for each.
    #[arg(long, value_name = "NAME")]
    reader: Vec<String>,
    /// Also serve OpenMetrics (Prometheus) at http://IP:PORT/metrics, to everybody who reaches it.
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
    /// Also serve OpenIGTLink (3D Slicer, PLUS) to everybody who reaches it; its port is 18944.
    #[arg(long, value_name = "IP:PORT")]
    openigtlink: Option<SocketAddr>,
    /// Also serve Foxglove live, to everybody who reaches it; its port is 8765. Layouts:
    /// robot-agent/gateway/layouts.
    #[arg(long, value_name = "IP:PORT")]
    foxglove: Option<SocketAddr>,
    /// Also appear as ROS 2 nodes in this domain, to whatever speaks rmw_zenoh.
    #[arg(long, value_name = "DOMAIN", value_parser = clap::value_parser!(u32).range(0..=232))]
    ros2: Option<u32>,
    #[command(flatten)]
    net: Net,
}

#[derive(Args)]
struct Router {
    /// A gateway that may publish and answer: the name in its certificate, and the robot that it
    /// speaks for (or3-gateway=general/or3/davinci; * for any), with @DOMAIN behind it also in that
    /// ROS 2 domain. Repeat it for each.
    #[arg(long, value_name = "NAME=HOSPITAL/ROOM/ROBOT")]
    gateway: Vec<Gateway>,
    /// Who may read: the name in their certificate. Repeat it for each.
    #[arg(long, value_name = "NAME")]
    reader: Vec<String>,
    /// Another router, which may pass on both: the name in its certificate. Repeat it for each.
    #[arg(long, value_name = "NAME")]
    router: Vec<String>,
    /// Also pass on this ROS 2 domain. Repeat it for each.
    #[arg(long, value_name = "DOMAIN", value_parser = clap::value_parser!(u32).range(0..=232))]
    ros2: Vec<u32>,
    /// Print zenoh's configuration for this router, for `zenohd --config FILE`, and end.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    net: Net,
}

#[derive(Args)]
struct Watch {
    /// Print one JSON object a robot and a turn (`longhand watch v1`) instead of a screen.
    #[arg(long)]
    json: bool,
    /// Time between two turns; 100 where there is a screen, 1000 with --json.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    every_ms: Option<u64>,
    /// Stop by itself after this time: 90 (seconds), 30s, 10m, 24h.
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true)]
    limit: Option<Micros>,
    #[command(flatten)]
    net: Net,
}

/// What a client of Foxglove says wrongly is its own business, and would fill the log.
const LOG: &str =
    "info,zenoh=warn,zenoh_transport=error,foxglove=warn,foxglove::websocket::connected_client=off";

/// Everything that is said here lies below.
const KEYS: &str = "longhand/**";

fn main() -> miette::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LONGHAND_LOG")
                .unwrap_or_else(|_unset| LOG.into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().into_diagnostic()?;
    runtime.block_on(async {
        match command {
            Command::Run(run) => publish(run).await,
            Command::Router(router) => pass_on(router).await,
            Command::Watch(options) => look(options).await,
        }
    })
}

async fn publish(run: Run) -> miette::Result<ExitCode> {
    let ring = Ring::open(&run.tap).into_diagnostic()?;
    let robot_id = ring.header().robot.get();
    let place = Place { hospital: run.hospital, room: run.room, robot: run.robot };
    let minutes = usize::try_from(run.history_min.saturating_mul(60)).unwrap_or(0);
    let history = minutes.saturating_mul(usize::try_from(run.rate).unwrap_or(0));
    let room = Room { place, robot_id, history };
    let access = Access::Outward { readers: run.reader.clone(), keys: keys(run.ros2) };
    if run.net.identity.is_some() && run.reader.is_empty() {
        eprintln!("nobody may read: name them with --reader");
    }
    let session = open(&run.net, &access).await?;
    eprintln!("robot {robot_id} is shown below {}", room.base());
    let (show, views) = tokio::sync::watch::channel(None);
    if let Some((listener, address)) = listen("metrics", run.metrics).await? {
        eprintln!("metrics: http://{address}/metrics");
        tokio::spawn(metrics::serve(listener, room.place.clone(), views.clone()));
    }
    if let Some((listener, address)) = listen("OpenIGTLink", run.openigtlink).await? {
        eprintln!("OpenIGTLink: {address}");
        tokio::spawn(igtl::serve(listener, views.clone()));
    }
    if let Some(address) = run.foxglove {
        let served = foxglove::serve(address, room.clone(), views.clone()).await;
        let served = served.into_diagnostic();
        let address = served.wrap_err_with(|| format!("cannot serve Foxglove on {address}"))?;
        eprintln!("Foxglove: ws://{address}");
    }
    let feed = tokio::spawn(feed::run(Feed::new(run.tap, ring), period(run.rate), show));
    let robot = room.place.robot.clone();
    let ended = tokio::select! {
        ended = nodes(&session, run.ros2, &robot, views.clone()) => ended,
        ended = room.run(&session, views) => ended,
        () = asked_to_stop() => Ok(()),
    };
    feed.abort();
    ended.map_err(|error| miette!("the network no longer takes what is published: {error}"))?;
    close(session).await
}

/// The robot's ROS 2 nodes, where a domain is given.
async fn nodes(
    session: &zenoh::Session,
    domain: Option<u32>,
    robot: &str,
    views: tokio::sync::watch::Receiver<Option<words::View>>,
) -> zenoh::Result<()> {
    match domain {
        Some(domain) => ros2::run(session, domain, robot, views).await,
        None => std::future::pending().await,
    }
}

/// All that is published.
fn keys(domains: impl IntoIterator<Item = u32>) -> Vec<String> {
    let ros2 = domains.into_iter().flat_map(ros2::keys);
    [KEYS.to_owned()].into_iter().chain(ros2).collect()
}

/// A listener where one is asked for, and its address.
async fn listen(
    what: &str,
    address: Option<SocketAddr>,
) -> miette::Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.into_diagnostic();
    let listener = listener.wrap_err_with(|| format!("cannot serve {what} on {address}"))?;
    let address = listener.local_addr().into_diagnostic()?;
    Ok(Some((listener, address)))
}

async fn pass_on(router: Router) -> miette::Result<ExitCode> {
    let net = Net { mode: Mode::Router, ..router.net };
    if net.listen.is_empty() {
        return Err(miette!("a router must be reached: give --listen"));
    }
    let access = Access::Router {
        gateways: router.gateway,
        readers: router.reader,
        routers: router.router,
        keys: keys(router.ros2),
    };
    if router.print_config {
        let written = net.written(&access).into_diagnostic()?;
        println!("{}", serde_json::to_string_pretty(&written).into_diagnostic()?);
        return Ok(ExitCode::SUCCESS);
    }
    let session = open(&net, &access).await?;
    eprintln!("routing on {}", net.listen.join(", "));
    asked_to_stop().await;
    close(session).await
}

async fn look(options: Watch) -> miette::Result<ExitCode> {
    if options.net.connect.is_empty() && options.net.listen.is_empty() {
        return Err(miette!("nobody to watch: give --connect"));
    }
    let session = open(&options.net, &Access::Inward).await?;
    let every = options.every_ms.unwrap_or(if options.json { 1_000 } else { 100 });
    let watching = watch::Watching {
        json: options.json,
        every: Duration::from_millis(every),
        limit: options.limit.map(|limit| Duration::from_micros(limit.as_micros())),
    };
    watch::watch(&session, &watching, asked_to_stop()).await?;
    close(session).await
}

async fn open(net: &Net, access: &Access) -> miette::Result<zenoh::Session> {
    let config = net.config(access).into_diagnostic()?;
    zenoh::open(config).await.map_err(|error| miette!("cannot join the network: {error}"))
}

async fn close(session: zenoh::Session) -> miette::Result<ExitCode> {
    session.close().await.map_err(|error| miette!("the network was not left: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or a termination signal.
async fn asked_to_stop() {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    match &mut signals {
        [Ok(interrupt), Ok(terminate)] => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without them only a kill ends it, as it would anyway.
        _ => std::future::pending().await,
    }
}

fn plain(name: &str) -> Result<String, String> {
    let words = "must be letters, digits, - _ and dots, at most 48: it stands in keys";
    is_plain(name).then(|| name.to_owned()).ok_or_else(|| words.to_owned())
}
