//! `longhand-sim run | campaign | replay | shrink | faults | invariants`: the virtual world on the
//! command line.
//!
//! Knows: arguments and how results are printed. Does not know: how they come about.

use crate::campaign::{self, RUN_SECONDS, Report, run_seed};
use crate::check::{Invariant, Transitions, Where};
use crate::fault::{CATALOGUE, FaultKind, Lives};
use crate::hands;
use crate::link_command::link_name;
use crate::measure::float;
use crate::replay_record::{ReplayRecordError, Replayed, is_record, replay as replay_record};
use crate::scenario::{Outcome, Scenario, ScenarioError, Transport};
use clap::Args;
use longhand_protocol::message::Stage;
use longhand_quic::clock::robot_now;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// `longhand-sim run ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim run --seed 7 --link city-5g-sa --hand adversary --seconds 60
  longhand-sim run --seed 7 --faults F02,F27 --json
  longhand-sim run --seed 7 --transport quic --faults F19

Ends with 0 where every invariant held, 1 where one did not.")]
pub struct WorldRunArgs {
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The link, by its profile's name; also says which robot profile is in force
    #[arg(long, default_value = "city-5g-sa", value_name = "NAME", value_parser = link_name)]
    link: String,
    /// A recording in place of the link's own weather
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Faults by their numbers, each with its defaults, a third of the way in
    #[arg(long, value_delimiter = ',', value_name = "F01,F11", value_parser = fault_id)]
    faults: Vec<String>,
    /// Virtual seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// What moves the hands: tremor, peg-transfer, sweep, adversary, reach, or a script (CSV)
    #[arg(long, default_value = "peg-transfer", value_name = "NAME|FILE",
          value_parser = hands::written)]
    hand: String,
    /// Paths between the ends: 1, or 2 (the link, and a leased line)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    paths: u8,
    /// What carries the bytes: plain, or real QUIC in virtual time
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `longhand-sim campaign ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim campaign --hours 1
  longhand-sim campaign --hours 100 --seed 1 --jobs 2 --json
  longhand-sim campaign --hours 1 --seed 1 --until-violation

Ends with 0 where every invariant held in every run, 1 where one did not.")]
pub struct CampaignArgs {
    /// Virtual hours
    #[arg(long, default_value_t = 1.0, value_name = "HOURS", value_parser = hours,
          allow_negative_numbers = true)]
    hours: f64,
    /// Seed of the campaign, which every run's own is drawn from; random, and printed, if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// What carries the bytes: plain, or real QUIC in virtual time
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// Stop at the first violation
    #[arg(long)]
    until_violation: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `longhand-sim replay ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim replay 123456789
  longhand-sim replay failing.json
  longhand-sim replay state/record/*.mcap

A record (.mcap) is replayed through the shipped follower, tick by tick: ends with 0 where every
tick came out as it was recorded.")]
pub struct ReplayArgs {
    /// A run's seed, as `campaign` prints it, a scenario's file, or a robot's record (.mcap)
    #[arg(value_name = "SEED|FILE")]
    what: String,
    /// The record's further parts, in order
    #[arg(value_name = "PART")]
    parts: Vec<PathBuf>,
    /// Of a record, whose robots are believed: a folder with ca.pem and ca.crl; without it, whoever
    /// signed the record
    #[arg(long, value_name = "FOLDER")]
    trust: Option<PathBuf>,
    /// Of a run given by its seed, what carried the bytes: plain, or real QUIC in virtual time
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
}

/// `longhand-sim shrink ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim shrink 123456789 --out failing.json")]
pub struct ShrinkArgs {
    /// A run's seed, as `campaign` prints it, or a scenario's file
    #[arg(value_name = "SEED|FILE")]
    what: String,
    /// Of a run given by its seed, what carried the bytes: plain, or real QUIC in virtual time
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// Where the shorter scenario goes; to standard output if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `longhand-sim faults | invariants`
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum WorldCommandError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("interrupted: {made} of {all} runs came to their end; what is above is theirs")]
    Incomplete { made: u64, all: u64 },
    #[error("interrupted after {0:.1} of {1} virtual seconds; what is above is of those")]
    Stopped(f64, u64),
    #[error("{0} cannot be written: {1}; choose another place with --out")]
    Write(PathBuf, io::Error),
    #[error(transparent)]
    Record(#[from] ReplayRecordError),
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
}

const fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one scenario.
///
/// Errors: [`WorldCommandError`].
pub fn run(args: &WorldRunArgs, stop: &AtomicBool) -> Result<ExitCode, WorldCommandError> {
    let mut scenario = Scenario::quiet(args.seed, &args.link, &args.hand, args.seconds);
    scenario.trace.clone_from(&args.trace);
    scenario.paths = usize::from(args.paths);
    scenario.transport = args.transport;
    for id in &args.faults {
        scenario.add_fault(id)?;
    }
    let began = robot_now();
    let outcome = scenario.run(stop, None)?;
    let wall = robot_now().since(began).as_secs_f64();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", run_json(&scenario, &outcome, wall))?;
    } else {
        print_run(&mut out, &scenario, &outcome, wall)?;
    }
    if outcome.stopped {
        let seconds = float(outcome.ticks) * 1e-3;
        return Err(WorldCommandError::Stopped(seconds, scenario.seconds));
    }
    Ok(verdict(outcome.violation.is_none()))
}

fn print_run(
    out: &mut impl Write,
    scenario: &Scenario,
    outcome: &Outcome,
    wall: f64,
) -> io::Result<()> {
    let seconds = float(outcome.ticks) * 1e-3;
    let Scenario { link, hand, seed, .. } = scenario;
    writeln!(out, "{seconds:.1} virtual seconds of {link}, hand {hand}, seed {seed}")?;
    writeln!(out, "{:.0} times real time on one core", seconds / wall.max(1e-9))?;
    for (fault, fired) in scenario.faults.iter().zip(&outcome.fired) {
        let at = fault.at_ms;
        writeln!(
            out,
            "fault {} at {at} ms for {} ms acted {fired} times",
            fault.kind, fault.for_ms
        )?;
    }
    for stage in Stage::ALL {
        let ticks = outcome.transitions.ticks(stage);
        if ticks > 0 {
            writeln!(out, "{:<9} {:>9.3} s", stage.name(), float(ticks) * 1e-3)?;
        }
    }
    writeln!(out, "hash {}", outcome.hash)?;
    match &outcome.violation {
        None => writeln!(out, "every invariant held"),
        Some((violation, tape)) => writeln!(out, "\n{tape}\nVIOLATED {violation}"),
    }
}

fn run_json(scenario: &Scenario, outcome: &Outcome, wall: f64) -> Value {
    let stages: serde_json::Map<String, Value> = Stage::ALL
        .into_iter()
        .map(|s| (s.name().to_owned(), json!(float(outcome.transitions.ticks(s)) * 1e-3)))
        .collect();
    let violation = outcome.violation.as_ref().map(|(violation, _)| {
        let at_ms = float(violation.at.as_micros()) * 1e-3;
        json!({ "invariant": violation.invariant.name(), "at_ms": at_ms, "words": violation.words })
    });
    json!({
        "schema": "longhand world run v1",
        "scenario": scenario,
        "virtual_s": float(outcome.ticks) * 1e-3,
        "times_real": (float(outcome.ticks) * 1e-3 / wall.max(1e-9)).round(),
        "stages_s": stages,
        "fired": outcome.fired,
        "hash": outcome.hash,
        "violation": violation,
    })
}

/// Runs a campaign.
///
/// Errors: [`WorldCommandError`].
pub fn campaign(args: &CampaignArgs, stop: &AtomicBool) -> Result<ExitCode, WorldCommandError> {
    // A seed that nobody chose comes from the clock, and is printed.
    let seed = args.seed.unwrap_or_else(|| run_seed(robot_now().as_micros(), 0));
    let runs = runs_in(args.hours);
    eprintln!("campaign of {runs} runs, seed {seed}");
    let until_violation = args.until_violation;
    let (transport, jobs) = (args.transport, usize::from(args.jobs));
    let plan = campaign::Plan { seed, runs, transport, jobs, until_violation };
    let report = campaign::run(&plan, stop, true)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", campaign_json(seed, &report))?;
    } else {
        print_campaign(&mut out, seed, &report)?;
    }
    // With `--until-violation` a campaign that found one is whole.
    let found = !report.violations.is_empty();
    if report.runs < runs && !(until_violation && found) {
        return Err(WorldCommandError::Incomplete { made: report.runs, all: runs });
    }
    Ok(verdict(!found))
}

fn hours(text: &str) -> Result<f64, String> {
    let hours = text.parse().ok().filter(|hours| *hours > 0.0 && *hours <= 1e6);
    hours.ok_or_else(|| "virtual hours are a number above 0 and at most 1e6".to_owned())
}

#[expect(clippy::as_conversions, reason = "checked: above 0 and at most 1.2e8")]
fn runs_in(hours: f64) -> u64 {
    ((hours * 3_600.0 / float(RUN_SECONDS)).ceil() as u64).max(1)
}

fn print_campaign(out: &mut impl Write, seed: u64, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{:.2} virtual hours in {} runs, campaign seed {seed}, {:.0} times real time on one core",
        report.hours(),
        report.runs,
        report.times_real()
    )?;
    let possible = report.possible().count();
    let pairs = possible * (possible - 1) / 2;
    writeln!(
        out,
        "faults: {} of {possible} kinds did something, {} of {pairs} pairs in one run",
        report.faults.len(),
        report.pairs.len()
    )?;
    for (kind, count) in &report.faults {
        write!(out, "  {kind} {count}")?;
    }
    writeln!(out, "\n\nstages, seconds in each, and how often one followed another")?;
    print_stages(out, &report.transitions)?;
    writeln!(out, "\nengagement, and how often one followed another")?;
    for (from, to, count) in report.engagements.rows() {
        writeln!(out, "  {from:<13} {to:<13} {count:>9}")?;
    }
    match report.bound_per_hour() {
        Some(bound) => writeln!(
            out,
            "\nno violation: with 95 % confidence fewer than {bound:.3} an hour under these faults"
        ),
        None => {
            for (seed, violation) in &report.violations {
                writeln!(out, "\nVIOLATED in run {seed}: {violation}")?;
                let quic = report.transport == Transport::Quic;
                let transport = if quic { " --transport quic" } else { "" };
                writeln!(out, "  longhand-sim replay {seed}{transport}")?;
            }
            let first = report.seconds_to_first().unwrap_or_default();
            let many = report.violations.len();
            writeln!(out, "\n{many} violations, the first after {first:.3} virtual seconds")
        }
    }
}

fn print_stages(out: &mut impl Write, transitions: &Transitions) -> io::Result<()> {
    for from in Stage::ALL {
        write!(out, "  {:<9} {:>11.1} s ", from.name(), float(transitions.ticks(from)) * 1e-3)?;
        for (_, to) in Transitions::allowed().filter(|(one, _)| *one == from) {
            write!(out, " {} {}", to.name(), transitions.count(from, to))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn campaign_json(seed: u64, report: &Report) -> Value {
    let steps: Vec<Value> = Transitions::allowed()
        .map(|(from, to)| {
            let count = report.transitions.count(from, to);
            json!({ "from": from.name(), "to": to.name(), "count": count })
        })
        .collect();
    let engagements: Vec<Value> = report
        .engagements
        .rows()
        .map(|(from, to, count)| json!({ "from": from, "to": to, "count": count }))
        .collect();
    let violations: Vec<Value> = report
        .violations
        .iter()
        .map(|(seed, v)| {
            let (id, at_ms) = (v.invariant.name(), float(v.at.as_micros()) * 1e-3);
            json!({ "seed": seed, "invariant": id, "at_ms": at_ms, "words": v.words })
        })
        .collect();
    json!({
        "schema": "longhand campaign v1",
        "seed": seed,
        "transport": report.transport,
        "runs": report.runs,
        "virtual_h": report.hours(),
        "times_real_per_core": report.times_real().round(),
        "faults": report.faults,
        "fault_kinds_possible": report.possible().count(),
        "fault_pairs": report.pairs.len(),
        "runs_by": report.by,
        "stage_steps": steps,
        "engagement_steps": engagements,
        "violations": violations,
        "first_invariant": report.first.as_ref().map(|(_, found)| found.invariant.name()),
        "simulated_s_to_first": report.seconds_to_first(),
        "violations_per_hour_below": report.bound_per_hour(),
    })
}

/// A fault's number on a command line: one that there is.
fn fault_id(text: &str) -> Result<String, String> {
    match FaultKind::by_id(text.trim()) {
        Some(kind) => Ok(kind.id.to_owned()),
        None => Err(format!("no fault is {text}; they are F01 to F40, `longhand-sim faults`")),
    }
}

/// A campaign's run by its seed, or a file.
fn scenario(what: &str, transport: Transport) -> Result<Scenario, ScenarioError> {
    match what.parse::<u64>() {
        Ok(seed) => Ok(Scenario::drawn(seed, RUN_SECONDS, transport)),
        Err(_not_a_seed) => Scenario::load(&PathBuf::from(what)),
    }
}

/// Runs a failing scenario again and prints the ticks around the failure.
///
/// Errors: [`WorldCommandError`].
pub fn replay(args: &ReplayArgs, stop: &AtomicBool) -> Result<ExitCode, WorldCommandError> {
    if is_record(&args.what) {
        let mut parts = vec![PathBuf::from(&args.what)];
        parts.extend_from_slice(&args.parts);
        let replayed = replay_record(&parts, args.trust.as_deref())?;
        print_replayed(&mut io::stdout().lock(), &replayed)?;
        return Ok(verdict(replayed.differs.is_none() && replayed.gap.is_none()));
    }
    let scenario = scenario(&args.what, args.transport)?;
    let began = robot_now();
    let outcome = scenario.run(stop, None)?;
    let wall = robot_now().since(began).as_secs_f64();
    print_run(&mut io::stdout().lock(), &scenario, &outcome, wall)?;
    Ok(verdict(outcome.violation.is_none()))
}

/// Finds a shorter scenario that still fails.
///
/// Errors: [`WorldCommandError`].
pub fn shrink(args: &ShrinkArgs, stop: &AtomicBool) -> Result<ExitCode, WorldCommandError> {
    let scenario = scenario(&args.what, args.transport)?;
    let found = campaign::shrink(&scenario, stop, |tries| {
        eprint!("\r{tries} tried");
    })?;
    eprintln!();
    let Some((shorter, violation)) = found else {
        println!("every invariant held: there is nothing to shrink");
        return Ok(ExitCode::FAILURE);
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&shorter).unwrap_or_default());
    match &args.out {
        None => print!("{text}"),
        Some(path) => {
            std::fs::write(path, text)
                .map_err(|error| WorldCommandError::Write(path.clone(), error))?;
        }
    }
    let (from, to) = (scenario.faults.len(), shorter.faults.len());
    eprintln!("{} s and {from} faults became {} s and {to}", scenario.seconds, shorter.seconds);
    eprintln!("{violation}");
    Ok(ExitCode::SUCCESS)
}

/// Lists the kinds of faults.
///
/// Errors: [`io::Error`].
pub fn faults(args: &ListArgs) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let place = |lives: Lives| match lives {
        Lives::World => "any world".to_owned(),
        Lives::TwoPaths => "a world of two paths".to_owned(),
        Lives::Quic => "a world with real QUIC".to_owned(),
        Lives::Elsewhere(test) => test.to_owned(),
    };
    if args.json {
        let kinds: Vec<Value> = CATALOGUE
            .iter()
            .map(|kind| {
                let params: Vec<Value> = kind
                    .params
                    .iter()
                    .map(|p| {
                        json!({ "name": p.name, "unit": p.unit, "low": p.low, "high": p.high,
                                "default": p.default })
                    })
                    .collect();
                json!({ "id": kind.id, "name": kind.name, "for_ms": kind.for_ms,
                        "params": params, "where": place(kind.lives) })
            })
            .collect();
        writeln!(out, "{}", json!({ "schema": "longhand faults v1", "kinds": kinds }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for kind in &CATALOGUE {
        writeln!(out, "{} {}; {} ms; {}", kind.id, kind.name, kind.for_ms, place(kind.lives))?;
        for p in kind.params {
            writeln!(
                out,
                "      {} {} to {} {}, default {}",
                p.name, p.low, p.high, p.unit, p.default
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the invariants and where each is checked.
///
/// Errors: [`io::Error`].
pub fn invariants(args: &ListArgs) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let place = |place: Where| match place {
        Where::EveryTick => "every tick of the world".to_owned(),
        Where::Runs(test) => format!("runs compared, {test}"),
        Where::Lives(test) => format!("where it lives, {test}"),
    };
    if args.json {
        let rows: Vec<Value> = Invariant::ALL
            .into_iter()
            .map(|i| {
                json!({ "id": i.name(), "sentence": i.sentence(), "where": place(i.checked()) })
            })
            .collect();
        writeln!(out, "{}", json!({ "schema": "longhand invariants v1", "invariants": rows }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for i in Invariant::ALL {
        writeln!(out, "{} {} ({})", i.name(), i.sentence(), place(i.checked()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_replayed(out: &mut impl Write, replayed: &Replayed) -> io::Result<()> {
    let Replayed { ticks, commands, differs, gap, is_cut } = replayed;
    writeln!(out, "{ticks} ticks with {commands} commands came out as they were recorded")?;
    if let Some(d) = differs {
        writeln!(
            out,
            "tick {} did NOT: {} was {:#018x} and is {:#018x}",
            d.tick, d.field, d.recorded, d.replayed
        )?;
    }
    if let Some(first) = gap {
        writeln!(out, "ticks are missing from {first} on: behind them nothing can be replayed")?;
    }
    if *is_cut {
        writeln!(out, "the record was cut; `record verify` says more")?;
    }
    Ok(())
}
