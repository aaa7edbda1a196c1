//! `longhand-sim`: the demo, the link relay, the virtual world.
//!
//! Knows: the command line. Does not know: anything it does not hand to the library.

use clap::{Parser, Subcommand};
use longhand_sim::figures::{cuts, outages, table};
use longhand_sim::{attack, bus, compare, demo, link_command, train, world_command};
use miette::{IntoDiagnostic, Result};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longhand's simulator. Without a command it runs the demo: console, emulated 3000 km 5G link and
/// a two-arm robot on this machine, over real QUIC and real sockets.
#[derive(Parser)]
#[command(name = "longhand-sim", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: demo::DemoArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole product on this machine
    Demo(Box<demo::DemoArgs>),
    /// List, show, run and import links
    Link(Box<link_command::LinkArgs>),
    /// Stand-in servos on a pseudo-terminal, well or with faults
    Bus(bus::command::BusArgs),
    /// How often the arm stops on every link, and what delay that costs, in virtual time
    Table(table::TableArgs),
    /// Cut the wire under moving hands: how soon the arms stand still, in virtual time
    Cuts(cuts::CutsArgs),
    /// Break the link again and again: how gently motion comes back, in virtual time
    Outages(outages::OutagesArgs),
    /// Run the virtual world once, every tick checked
    Run(Box<world_command::WorldRunArgs>),
    /// Run it many times, with random links, hands and faults
    Campaign(world_command::CampaignArgs),
    /// Run a failing run again and print the ticks around the failure
    Replay(world_command::ReplayArgs),
    /// Find a shorter run with fewer faults that still fails
    Shrink(world_command::ShrinkArgs),
    /// Attack the robot in the virtual world, and RAVEN II's receive rule beside it
    Attack(attack::command::AttackArgs),
    /// One hand path over UVA's NetFI links, by RAVEN II's receive rule and by ours
    Compare(compare::CompareArgs),
    /// Practise a task in virtual time, by a virtual trainee, and be scored
    Train(train::TrainArgs),
    /// List the kinds of faults, their parameters and defaults
    Faults(world_command::ListArgs),
    /// List what must hold at every tick, and where it is checked
    Invariants(world_command::ListArgs),
}

fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LONGHAND_LOG")
                .unwrap_or_else(|_unset| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed)).into_diagnostic()?;
    match cli.command {
        None => demo::run(&cli.demo, &stop)?,
        Some(Command::Demo(args)) => demo::run(&args, &stop)?,
        Some(Command::Bus(args)) => return bus::command::run(&args, &stop).into_diagnostic(),
        Some(Command::Table(args)) => table::run(&args, &stop).into_diagnostic()?,
        Some(Command::Cuts(args)) => return cuts::run(&args, &stop).into_diagnostic(),
        Some(Command::Outages(args)) => return outages::run(&args, &stop).into_diagnostic(),
        Some(Command::Run(args)) => return world_command::run(&args, &stop).into_diagnostic(),
        Some(Command::Campaign(args)) => {
            return world_command::campaign(&args, &stop).into_diagnostic();
        }
        Some(Command::Replay(args)) => {
            return world_command::replay(&args, &stop).into_diagnostic();
        }
        Some(Command::Shrink(args)) => {
            return world_command::shrink(&args, &stop).into_diagnostic();
        }
        Some(Command::Attack(args)) => {
            return attack::command::run(&args, &stop).into_diagnostic();
        }
        Some(Command::Compare(args)) => compare::run(&args).into_diagnostic()?,
        Some(Command::Train(args)) => return train::run(&args, &stop).into_diagnostic(),
        Some(Command::Faults(args)) => return world_command::faults(&args).into_diagnostic(),
        Some(Command::Invariants(args)) => {
            return world_command::invariants(&args).into_diagnostic();
        }
        Some(Command::Link(args)) => return link(&args, &stop),
    }
    Ok(ExitCode::SUCCESS)
}

/// A wrong command line ends with 2, as clap's own refusals do.
fn link(args: &link_command::LinkArgs, stop: &AtomicBool) -> Result<ExitCode> {
    match link_command::run(args, stop) {
        Err(wrong) if wrong.is_usage() => {
            eprintln!("{:?}", miette::Report::from(wrong));
            Ok(ExitCode::from(2))
        }
        done => Ok(done?),
    }
}
