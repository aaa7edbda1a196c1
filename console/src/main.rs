//! `longhand-console`: the surgeon's console as a command.
//!
//! Knows: arguments, exit codes, and who gets which words. Does not know: how a console works (the
//! library next door).
//!
//! Standard output carries what was asked for; with `--json` one object and nothing else. Errors
//! and, with `--json`, the status line go to standard error.

mod cli;

use clap::{Parser, Subcommand};
use longhand_console::record::schema::Topic;
use longhand_record::command::{self as record, RecordCommand};
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Moves a robot's instruments by a surgeon's hands, over a link that may fail.
#[derive(Debug, Parser)]
#[command(
    name = "longhand-console",
    version,
    after_help = "Examples:\n  \
        longhand-console run --robot or3.hospital:7400 --identity trust/dr-lee\n  \
        longhand-console run --robot 127.0.0.1:7400 --identity trust/dr-lee --input peg-transfer \
        --for 30 --json\n  \
        longhand-console qualify --robot or3.hospital:7400 --identity trust/ann --for 10m\n  \
        longhand-console script check my-hand.csv\n  \
        longhand-console record verify --trust trust/dr-lee longhand-report/record/*-0000.mcap\n  \
        longhand-console doctor --identity trust/dr-lee"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect to a robot and move it. Exit code: 0 there was a session, 1 none, or an error, 2
    /// wrong usage.
    Run(Box<cli::run::Run>),
    /// Look at hand scripts: the ones that ship, or one of yours.
    #[command(subcommand)]
    Script(cli::script::Script),
    /// Is this link good enough? Measures it, and answers in a report that can be filed. Exit code:
    /// 0 PASS, 4 FAIL, 3 INSUFFICIENT EVIDENCE, 1 an error, 2 wrong usage.
    Qualify(Box<cli::qualify::Qualify>),
    /// The black box: check, mend, read.
    #[command(subcommand)]
    Record(RecordCommand),
    /// Say what this machine lacks and what follows from it. Exit code: 0 good, 1 limited or bad
    /// (`health` in --json says which), 2 wrong usage.
    Doctor(cli::doctor::Doctor),
}

fn main() -> ExitCode {
    // clap itself ends with 2 and its own words when the arguments are wrong.
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("LONGHAND_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match arguments.command {
        Command::Run(run) => run.run(),
        Command::Script(script) => script.run(),
        Command::Qualify(qualify) => qualify.run(),
        Command::Record(command) => record::run::<Topic>(&command).map_err(cli::wrong),
        Command::Doctor(doctor) => doctor.run(),
    };
    done.unwrap_or_else(|failed| {
        // The `Debug` of a miette report is its text for people.
        eprintln!("{:?}", failed.report);
        ExitCode::from(failed.code)
    })
}
