//! The table of links: how often the arm stops on each, and what delay that costs.
//!
//! Knows: the virtual world and its report. Does not know: real time.

use crate::measure::{DelaySummary, Measure};
use crate::world::{World, WorldConfig, profile_for};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use longhand_console::input::script::{Script, ScriptError, ScriptedHand};
use longhand_follower::supervisor::Request;
use longhand_link::{Disturb, LinkModel, PROFILES};
use longhand_protocol::message::Stage;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// `longhand-sim table ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim table --minutes 60
  longhand-sim table --minutes 5 --link city-5g-sa --seed 3 --json")]
pub struct TableArgs {
    /// Minutes of virtual time on each link
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this link
    #[arg(long, value_name = "NAME")]
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
}

#[derive(Debug, Serialize)]
struct Row {
    link: &'static str,
    profile: &'static str,
    stops_per_hour: Option<f64>,
    latched_per_hour: f64,
    bedside_per_hour: f64,
    following_percent: f64,
    playout_mean_ms: f64,
    hand_to_joint_us: DelaySummary,
    loop_age_us: DelaySummary,
}

#[derive(Debug, Serialize)]
struct Table {
    schema: &'static str,
    seed: u64,
    minutes: u64,
    input: String,
    rows: Vec<Row>,
}

/// Makes the table, a row at a time, until `stop`.
///
/// Errors: [`TableError`].
pub fn run(args: &TableArgs, stop: &AtomicBool) -> Result<(), TableError> {
    let script = Script::load(&args.input)?;
    let links: Vec<&'static longhand_link::Profile> = match &args.link {
        Some(name) => vec![longhand_link::Profile::by_name(name)?],
        None => PROFILES.iter().collect(),
    };
    let minutes = u64::try_from(links.len()).unwrap_or(1).saturating_mul(args.minutes);
    let bar = ProgressBar::new(minutes).with_style(
        ProgressStyle::with_template("{msg:26} {bar:30} {pos}/{len} virtual minutes, {eta} left")
            .unwrap_or_else(|_constant| ProgressStyle::default_bar()),
    );
    let mut rows = Vec::new();
    for link in links {
        bar.set_message(link.name);
        match row(link, args, &script, &bar, stop) {
            Some(row) => rows.push(row),
            None => break,
        }
    }
    bar.finish_and_clear();
    let table = Table {
        schema: "longhand link table v1",
        seed: args.seed,
        minutes: args.minutes,
        input: args.input.clone(),
        rows,
    };
    Ok(print(&table, args.json)?)
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
    let (name, profile) = profile_for(link.name);
    let mut world = World::new(WorldConfig {
        link: LinkModel::from(link),
        disturb: Disturb::default(),
        seed: args.seed,
        profile,
        scale: longhand_leader::DEFAULT_SCALE,
        hand: Box::new(ScriptedHand::new(script.clone())),
    });
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
    Some(Row {
        link: link.name,
        profile: name,
        stops_per_hour: measure.stops_per_hour(),
        latched_per_hour: crate::measure::float(stages.latched.entered.saturating_sub(1)) / hours,
        bedside_per_hour: crate::measure::float(stages.bedside.entered) / hours,
        following_percent: (stages.follow.seconds + stages.coast.seconds) / hours / 36.0,
        playout_mean_ms: measure.playout_mean_ms(),
        hand_to_joint_us: measure.hand_to_joint().summary(),
        loop_age_us: measure.loop_age().summary(),
    })
}

fn print(table: &Table, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer(&mut out, table)?;
        return writeln!(out);
    }
    writeln!(
        out,
        "{} virtual minutes on each link, seed {}, hands {}; stops, latches and ended \
         leases an hour; times in ms, p50 and p99",
        table.minutes, table.seed, table.input
    )?;
    writeln!(
        out,
        "{:<24} {:<9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>15} {:>15}",
        "link",
        "profile",
        "stops/h",
        "latched",
        "bedside",
        "follows",
        "playout",
        "hand-joint",
        "loop age"
    )?;
    let ms = |us: u64| crate::measure::float(us) * 1e-3;
    for r in &table.rows {
        writeln!(
            out,
            "{:<24} {:<9} {:>7.1} {:>7.1} {:>7.1} {:>6.1} % {:>8.1} {:>7.1} {:>7.1} \
             {:>7.1} {:>7.1}",
            r.link,
            r.profile,
            r.stops_per_hour.unwrap_or(0.0),
            r.latched_per_hour,
            r.bedside_per_hour,
            r.following_percent,
            r.playout_mean_ms,
            ms(r.hand_to_joint_us.p50),
            ms(r.hand_to_joint_us.p99),
            ms(r.loop_age_us.p50),
            ms(r.loop_age_us.p99)
        )?;
    }
    Ok(())
}
