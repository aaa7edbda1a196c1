//! `longhand-benches`: the product's figures beside its limits, with the noise floor beside both.
//!
//! Knows: the command line and the exit codes. Does not know: how anything is measured.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use longhand_benches::report::{Table, to_json};
use longhand_benches::{link, loopback, tap, tick, wire};

/// Measures Longhand beside its limits: interleaved rounds, medians of rounds, noise floor.
#[derive(Parser)]
#[command(
    name = "longhand-benches",
    version,
    after_help = "Examples:\n  \
        cargo run --release -p longhand-benches -- tick\n  \
        cargo run --release -p longhand-benches -- all --json\n\n\
        Nine rounds take about 3 minutes for loopback, 1 to 2 for link and for wire, seconds for \
        tick; progress is on standard error.\n\n\
        Exit codes: 0 every goal is met; 1 a goal is missed, or nothing could be measured; 2 wrong \
        usage; 3 the machine was too noisy for the run to say anything."
)]
struct Cli {
    /// What to measure.
    what: What,
    /// Rounds per subject; figures are the medians of the rounds.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(3..=1_000),
          allow_negative_numbers = true)]
    rounds: u32,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// The benches.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// `Follower::step` for two arms (goal P4); the servo's turn without and with the taps.
    Tick,
    /// Encode and decode, beside a copy of as many bytes.
    Wire,
    /// One hour of link in virtual time (goal P10).
    Link,
    /// Console, QUIC and agent over loopback, beside raw UDP (goals P1, P3).
    Loopback,
    /// All of them.
    All,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say nothing; run with --release");
    }
    match measure(&cli) {
        Ok(tables) => {
            show(&tables, cli.json);
            verdict(&tables)
        }
        Err(why) => {
            eprintln!("nothing was measured: {why}");
            ExitCode::from(1)
        }
    }
}

fn measure(cli: &Cli) -> Result<Vec<Table>, String> {
    let wanted = |what| cli.what == what || cli.what == What::All;
    let mut tables = Vec::new();
    if wanted(What::Tick) {
        tables.push(tick::measure(cli.rounds)?);
        tables.push(tap::measure(cli.rounds)?);
        tables.push(tap::measure_outward(cli.rounds)?);
        tables.push(tap::measure_leader(cli.rounds)?);
    }
    if wanted(What::Wire) {
        tables.extend(wire::measure(cli.rounds)?);
    }
    if wanted(What::Link) {
        tables.push(link::measure(cli.rounds)?);
    }
    if wanted(What::Loopback) {
        tables.extend(loopback::measure(cli.rounds)?);
    }
    Ok(tables)
}

fn show(tables: &[Table], json: bool) {
    if json {
        println!("{}", to_json(tables));
    } else {
        for table in tables {
            println!("{table}");
        }
    }
}

fn verdict(tables: &[Table]) -> ExitCode {
    if tables.iter().any(|table| table.invalid().is_some()) {
        ExitCode::from(3)
    } else if tables.iter().all(Table::meets_goals) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}
