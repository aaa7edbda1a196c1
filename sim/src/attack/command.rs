//! `longhand-sim attack`: runs attacks of the catalogue and says what came of each.
//!
//! Knows: seeds, threads, tables. Does not know: any attack.

use super::Finding;
use super::catalogue::{Attack, CATALOGUE, LIVE, Runs};
use super::raven::beside::{self, Damage};
use crate::scenario::ScenarioError;
use crate::share_out::share_out;
use clap::Args;
use longhand_console::input::script::ScriptError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// `longhand-sim attack ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim attack --list
  longhand-sim attack A05 A10 --seeds 100
  longhand-sim attack --all --json

What is not built, and what only real processes can show, is listed and never counted as held.
Ends with 0 where every attack that was run was held off, 1 where one got through.")]
pub struct AttackArgs {
    /// Attacks by their numbers, A01 to A40; or --all, or --list
    #[arg(value_name = "NUMBER", required_unless_present_any = ["all", "list"],
          value_parser = written_id)]
    ids: Vec<String>,
    /// Every attack of the catalogue
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// List the catalogue and where each attack is shown; run nothing
    #[arg(long)]
    list: bool,
    /// Runs of each attack, each with its own link, hand and attacker
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000),
          allow_negative_numbers = true)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An attack's number on a command line: one that there is.
fn written_id(text: &str) -> Result<String, String> {
    match Attack::by_id(text) {
        Some(attack) => Ok(attack.id.to_owned()),
        None => Err(AttackError::Unknown(text.to_owned()).to_string()),
    }
}

/// The command could not be carried out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum AttackError {
    #[error("there is no attack {0:?}; they are A01 to A40, `longhand-sim attack --list` has them")]
    Unknown(String),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("interrupted: not every attack had all its seeds; what is above is what was run")]
    Incomplete,
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// What came of one attack over its seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Seeds that came to an end.
    pub runs: u64,
    /// Seeds with which it got through, and what was seen.
    pub through: Vec<(u64, String)>,
    /// The largest of each figure over all runs.
    pub most: BTreeMap<&'static str, f64>,
}

impl Tally {
    fn add(&mut self, seed: u64, finding: Finding) {
        self.runs = self.runs.saturating_add(1);
        for (name, value) in finding.figures {
            let most = self.most.entry(name).or_insert(value);
            *most = most.max(value);
        }
        self.through.extend(finding.broken.map(|words| (seed, words)));
    }
}

/// Runs one attack of the world with `seeds` seeds from `first` on.
///
/// Errors: [`ScenarioError`]; none that a drawn plan can have. An attack that is not made in the
/// world comes back with no runs.
pub fn tally(
    attack: &Attack,
    first: u64,
    seeds: u64,
    jobs: u16,
    stop: &AtomicBool,
) -> Result<Tally, ScenarioError> {
    let Runs::World(run) = attack.runs else { return Ok(Tally::default()) };
    let many = usize::try_from(seeds).unwrap_or(usize::MAX);
    let seed = |n: usize| first.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
    let tried = share_out(many, usize::from(jobs), stop, |n| Some((seed(n), run(seed(n)))));
    let mut tally = Tally::default();
    for (seed, finding) in tried.into_iter().flatten() {
        tally.add(seed, finding?);
    }
    Ok(tally)
}

/// What became of an attack, in a word.
fn word(attack: &Attack, tally: &Tally) -> &'static str {
    match attack.runs {
        Runs::NotBuilt(_) => "not built",
        Runs::Held(_) => "by test",
        Runs::Live(_) => "live",
        Runs::World(_) if tally.runs == 0 => "not run",
        Runs::World(_) if !tally.through.is_empty() => "THROUGH",
        Runs::World(_) if attack.lacks.is_some() => "in part",
        Runs::World(_) => "held",
    }
}

/// Where else to look, in words.
fn place(attack: &Attack) -> String {
    match attack.runs {
        Runs::World(_) => "in the virtual world".to_owned(),
        Runs::Live(test) => format!("run by `{LIVE}`: {test}"),
        Runs::Held(test) => format!("held by {test}"),
        Runs::NotBuilt(part) => format!("not built yet: {part}"),
    }
}

/// Lists or runs.
///
/// Errors: [`AttackError`].
pub fn run(args: &AttackArgs, stop: &AtomicBool) -> Result<ExitCode, AttackError> {
    let wanted: Vec<&Attack> = if args.ids.is_empty() {
        CATALOGUE.iter().collect()
    } else {
        let find = |id: &String| Attack::by_id(id).ok_or_else(|| AttackError::Unknown(id.clone()));
        args.ids.iter().map(find).collect::<Result<_, _>>()?
    };
    let mut rows = Vec::new();
    let mut out = io::stdout().lock();
    for attack in wanted {
        let tally = if args.list || stop.load(Ordering::Relaxed) {
            Tally::default()
        } else {
            tally(attack, args.seed, args.seeds, args.jobs, stop)?
        };
        let raven = if args.list { None } else { raven(attack.id, args.seed, args.seeds)? };
        if args.json {
            rows.push(row_json(attack, &tally, raven.as_ref()));
        } else {
            print_row(&mut out, attack, &tally, raven.as_ref(), args.list)?;
        }
        rows.extend((!args.json).then(|| json!(word(attack, &tally))));
    }
    let through = rows.iter().any(|row| *row == "THROUGH" || row["outcome"] == "THROUGH");
    if args.json {
        let (seed, seeds) = (args.seed, args.seeds);
        let all = json!({ "schema": "longhand attacks v1", "seed": seed, "seeds": seeds,
                          "attacks": rows });
        writeln!(out, "{all}")?;
    } else if !args.list {
        print_sum(&mut out, &rows)?;
    }
    if !args.list && stop.load(Ordering::Relaxed) {
        return Err(AttackError::Incomplete);
    }
    Ok(if through { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the same attack does to RAVEN's rule, and with how many of the seeds.
struct Beside {
    succeeds: u64,
    seeds: u64,
    worst: Damage,
}

fn raven(id: &str, first: u64, seeds: u64) -> Result<Option<Beside>, ScriptError> {
    let mut beside: Option<Beside> = None;
    // Chosen: enough to see a spread; the model has little that is random.
    for seed in first..first.saturating_add(seeds.min(100)) {
        let Some(damage) = beside::attack(id, seed)? else { return Ok(None) };
        let sum = beside.get_or_insert(Beside { succeeds: 0, seeds: 0, worst: damage });
        sum.seeds = sum.seeds.saturating_add(1);
        sum.succeeds = sum.succeeds.saturating_add(u64::from(damage.succeeds()));
        if damage.displaced_mm > sum.worst.displaced_mm {
            sum.worst = damage;
        }
    }
    Ok(beside)
}

fn print_row(
    out: &mut impl Write,
    attack: &Attack,
    tally: &Tally,
    raven: Option<&Beside>,
    list: bool,
) -> io::Result<()> {
    let outcome = if list { "" } else { word(attack, tally) };
    writeln!(out, "{} {outcome:<9} {}", attack.id, attack.action)?;
    if list || !matches!(attack.runs, Runs::World(_)) {
        writeln!(out, "      due: {}; {}", attack.expected, place(attack))?;
    }
    if tally.runs > 0 {
        write!(out, "      {} runs", tally.runs)?;
        for (name, value) in &tally.most {
            write!(out, "  {name} {}", short(*value))?;
        }
        writeln!(out)?;
    }
    if let Some(Beside { succeeds, seeds, worst }) = raven {
        let words = worst.words();
        writeln!(out, "      RAVEN's rule: gets through in {succeeds} of {seeds}: {words}")?;
    }
    if let Some(lacks) = attack.lacks {
        writeln!(out, "      not shown: {lacks}")?;
    }
    if let Some((seed, words)) = tally.through.first() {
        let many = tally.through.len();
        writeln!(out, "      GOT THROUGH with {many} seeds, first {seed}: {words}")?;
        let id = attack.id;
        writeln!(out, "      longhand-sim attack {id} --seed {seed} --seeds 1")?;
    }
    Ok(())
}

/// A figure with as many digits as one reads.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

fn print_sum(out: &mut impl Write, rows: &[Value]) -> io::Result<()> {
    let count = |what: &str| rows.iter().filter(|row| *row == what).count();
    writeln!(
        out,
        "\n{} held, {} held in part, {} GOT THROUGH, {} live, {} by test, {} not built",
        count("held"),
        count("in part"),
        count("THROUGH"),
        count("live"),
        count("by test"),
        count("not built")
    )
}

fn row_json(attack: &Attack, tally: &Tally, raven: Option<&Beside>) -> Value {
    let through: Vec<Value> =
        tally.through.iter().map(|(seed, words)| json!({ "seed": seed, "words": words })).collect();
    let raven = raven.map(|Beside { succeeds, seeds, worst }| {
        json!({ "gets_through": succeeds, "seeds": seeds,
                "displaced_mm": worst.displaced_mm, "muted_ms": worst.muted_ms,
                "step_mm": worst.step_mm, "halted": worst.halted })
    });
    json!({
        "id": attack.id,
        "action": attack.action,
        "expected": attack.expected,
        "where": place(attack),
        "outcome": word(attack, tally),
        "not_shown": attack.lacks,
        "runs": tally.runs,
        "most": tally.most,
        "got_through": through,
        "raven_rule": raven,
    })
}
