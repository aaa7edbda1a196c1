//! The table of links: how often the arm stops on each, and what delay that costs.
//!
//! Knows: the virtual world and its report. Does not know: real time.

use super::{links, print_json, world_over};
use crate::measure::Measure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use longhand_console::Spread;
use longhand_console::input::script::{Script, ScriptError, ScriptedHand};
use longhand_console::status::rounded;
use longhand_follower::supervisor::Request;
use longhand_protocol::message::Stage;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// `longhand-sim table ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim table --minutes 60
  longhand-sim table --minutes 5 --link city-5g-sa --seed 3 --json")]
pub struct TableArgs {
    /// Minutes of virtual time on each link
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000),
          allow_negative_numbers = true)]
    minutes: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Only this link
    #[arg(long, value_name = "NAME", value_parser = crate::link_command::link_name)]
    link: Option<String>,
    /// What moves the hands: peg-transfer, tremor, or a hand script (CSV)
    #[arg(long, default_value = "peg-transfer", value_name = "NAME|FILE")]
    input: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The table could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum TableError {
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Link(#[from] longhand_link::UnknownProfile),
    #[error("the table could not be written: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted: the table is incomplete; {made} of {all} links were run to their end")]
    Incomplete { made: usize, all: usize },
}

#[derive(Debug, Serialize)]
struct Row {
    link: &'static str,
    profile: &'static str,
    stops_per_hour: Option<f64>,
    latched_per_hour: f64,
    bedside_per_hour: f64,
    following_percent: f64,
    playout_mean_ms: Option<f64>,
    hand_to_joint: Spread,
    loop_age: Spread,
}

#[derive(Debug, Serialize)]
struct Table {
    schema: &'static str,
    seed: u64,
    minutes: u64,
    input: String,
    /// False where it was interrupted: the links that are missing were not run to their end.
    complete: bool,
    rows: Vec<Row>,
}

/// Makes the table, a row at a time, until `stop`.
///
/// Errors: [`TableError`].
pub fn run(args: &TableArgs, stop: &AtomicBool) -> Result<(), TableError> {
    let script = Script::load(&args.input)?;
    let links = links(args.link.as_deref())?;
    let all = links.len();
    let minutes = u64::try_from(all).unwrap_or(1).saturating_mul(args.minutes);
    let bar = ProgressBar::new(minutes).with_style(
        ProgressStyle::with_template("{msg:26} {bar:30} {pos}/{len} virtual minutes, {eta} left")
            .unwrap_or_else(|_constant| ProgressStyle::default_bar()),
    );
    let mut rows = Vec::new();
    if !args.json {
        bar.suspend(|| heading(args))?;
    }
    for link in links {
        bar.set_message(link.name);
        let Some(row) = row(link, args, &script, &bar, stop) else { break };
        if !args.json {
            bar.suspend(|| print(&row))?;
        } else if !io::stderr().is_terminal() {
            eprintln!("{}: done", link.name);
        }
        rows.push(row);
    }
    bar.finish_and_clear();
    let made = rows.len();
    if args.json {
        let schema = "longhand link table v1";
        let (seed, minutes, input) = (args.seed, args.minutes, args.input.clone());
        let table = Table { schema, seed, minutes, input, complete: made == all, rows };
        print_json(&table)?;
    }
    if made == all { Ok(()) } else { Err(TableError::Incomplete { made, all }) }
}

/// The bedside hands a robot back this many milliseconds after the lease ended. Chosen: a nurse who
/// looks, decides and presses.
const PATIENCE: u32 = 5_000;

fn row(
    link: &'static longhand_link::Profile,
    args: &TableArgs,
    script: &Script,
    bar: &ProgressBar,
    stop: &AtomicBool,
) -> Option<Row> {
    let hand = Box::new(ScriptedHand::new(script.clone()));
    let (mut world, name) = world_over(link, args.seed, hand);
    let mut measure = Measure::default();
    let mut handed_over_after = PATIENCE;
    for _ in 0..args.minutes {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..60_000 {
            let tick = match handed_over_after {
                0 => world.bedside(Request::HandOver),
                _ => world.tick(),
            };
            let bedside = tick.state.stage == Stage::Bedside;
            handed_over_after =
                if bedside { handed_over_after.saturating_sub(1) } else { PATIENCE };
            measure.observe(&tick.state, tick.hand_to_joint());
        }
        bar.inc(1);
    }
    let stages = measure.stages();
    let hours = crate::measure::float(args.minutes) / 60.0;
    let per_hour = |count| crate::measure::float(count) / hours;
    Some(Row {
        link: link.name,
        profile: name,
        stops_per_hour: measure.stops_per_hour().map(rounded),
        latched_per_hour: rounded(per_hour(stages.latched.entered.saturating_sub(1))),
        // The first of either is the beginning.
        bedside_per_hour: rounded(per_hour(stages.bedside.entered.saturating_sub(1))),
        following_percent: rounded((stages.follow.seconds + stages.coast.seconds) / hours / 36.0),
        playout_mean_ms: measure.playout_mean_ms().map(rounded),
        hand_to_joint: measure.hand_to_joint().spread(),
        loop_age: measure.loop_age().spread(),
    })
}

fn heading(args: &TableArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} virtual minutes on each link, seed {}, hands {}",
        args.minutes, args.seed, args.input
    )?;
    writeln!(
        out,
        "{:<24} {:<9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>15} {:>15}",
        "link",
        "profile",
        "stops",
        "latched",
        "bedside",
        "follows",
        "playout",
        "hand-joint",
        "loop age"
    )?;
    writeln!(
        out,
        "{:<24} {:<9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7}",
        "", "", "1/h", "1/h", "1/h", "of time", "mean ms", "p50 ms", "p99 ms", "p50 ms", "p99 ms"
    )
}

fn print(r: &Row) -> io::Result<()> {
    let measured = |figure: Option<f64>| figure.map_or("-".to_owned(), |f| format!("{f:.1}"));
    let ms = |spread: &Spread, figure: f64| measured((spread.count > 0).then_some(figure));
    writeln!(
        io::stdout().lock(),
        "{:<24} {:<9} {:>7} {:>7.1} {:>7.1} {:>6.1} % {:>8} {:>7} {:>7} {:>7} {:>7}",
        r.link,
        r.profile,
        measured(r.stops_per_hour),
        r.latched_per_hour,
        r.bedside_per_hour,
        r.following_percent,
        measured(r.playout_mean_ms),
        ms(&r.hand_to_joint, r.hand_to_joint.p50_ms),
        ms(&r.hand_to_joint, r.hand_to_joint.p99_ms),
        ms(&r.loop_age, r.loop_age.p50_ms),
        ms(&r.loop_age, r.loop_age.p99_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_table_is_an_error_that_says_how_much_of_it_there_is() {
        let args = TableArgs {
            minutes: 1,
            seed: 1,
            link: Some(String::from("ideal")),
            input: String::from("peg-transfer"),
            json: true,
        };
        let error = run(&args, &AtomicBool::new(true)).unwrap_err();
        assert!(matches!(error, TableError::Incomplete { made: 0, all: 1 }), "{error}");
        assert!(error.to_string().contains("incomplete"), "{error}");
    }
}
