//! `longhand-sim train`: a task, a link, a trainee, a score.
//!
//! Knows: the command line, and how a result is printed. Does not know: how an episode is run
//! (`run`), what counts (`longhand-train`). The trainee is a model, and every output says so.

pub mod hand;
pub mod room;
pub mod run;
mod table;

use crate::compare::netfi::{CONDITIONS, Condition};
use crate::demo::{Beside, DemoArgs, DemoError, run_beside};
use crate::link_command::{DisturbArgs, LinkChoice, LinkError};
use crate::world::profile_for;
use clap::Args;
use longhand_console::written_scale;
use longhand_follower::profile::Profile;
use longhand_protocol::units::Micros;
use longhand_train::score::{ByKind, Inserted, Score};
use longhand_train::task::{SHIPPED, Task, TaskError};
use run::{Practice, Practised};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// `longhand-sim train ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim train
  longhand-sim train --task pick-and-place --link beijing-sanya-5g-public --scale 0.8
  longhand-sim train --trainee --link beijing-sanya-5g-public
  longhand-sim train --trainee --task peg-transfer --link ideal --seed 7 --json
  longhand-sim train --trainee --netfi 'delay 300 ms'
  longhand-sim train --trainee --table --seeds 3
  longhand-sim train --list

Without --trainee you sit at the console yourself: it prints the address of a page, where mouse,
keys or a gamepad move the instruments in real time, and the score of each attempt at its end
(Ctrl-C).

The virtual trainee is a model of an operator (reaction time, Fitts's law, move and wait), not a
person: it compares links with each other, and tests the task. Time is virtual. It goes on
beyond the cut-off; there are no points for that. Ends with 1 where it was not finished by then.")]
pub struct TrainArgs {
    /// What to practise: a task by name, or a task file (TOML)
    #[arg(long, value_name = "NAME|FILE", default_value = "peg-transfer")]
    task: String,
    #[command(flatten)]
    link: LinkChoice,
    /// Over an ideal link, with one of UVA's NetFI conditions laid over the commands
    #[arg(long, value_name = "NAME", conflicts_with_all = ["link", "trace"], requires = "trainee")]
    netfi: Option<String>,
    /// The virtual trainee sits at the console, in virtual time
    #[arg(long)]
    trainee: bool,
    #[command(flatten)]
    seat: SeatArgs,
    /// Where the rings lie, how the hands miss, what the weather is
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Every link and every NetFI condition, as a table
    #[arg(long, conflicts_with_all = ["link", "trace", "netfi"], requires = "trainee")]
    table: bool,
    /// Runs of each row of the table, from --seed on
    #[arg(long, default_value_t = 3, requires = "table",
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// List the tasks
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a person sits down.
#[derive(Clone, Debug, Args)]
struct SeatArgs {
    /// Stop by itself after this time: 90 (seconds), 30s, 10m
    #[arg(long = "for", value_name = "TIME", value_parser = Micros::from_written_span,
          allow_negative_numbers = true, conflicts_with = "trainee")]
    seconds: Option<Micros>,
    /// Hand metres to tip metres
    #[arg(long, default_value_t = SCALE, value_parser = written_scale,
          allow_negative_numbers = true, conflicts_with = "trainee")]
    scale: f64,
    /// Port of the page on 127.0.0.1; any free one if not given
    #[arg(long, default_value_t = 0, conflicts_with = "trainee")]
    page_port: u16,
    /// Folder for the .hlog histograms: a new folder in this one for each run
    #[arg(long, default_value = "longhand-report", conflicts_with = "trainee")]
    report: PathBuf,
    /// Keep the robot's black box in this folder: about 0.3 MB a second
    #[arg(long, value_name = "DIR", conflicts_with = "trainee")]
    record: Option<PathBuf>,
    /// Do not ask for real-time priority and locked memory
    #[arg(long, conflicts_with = "trainee")]
    no_real_time: bool,
}

/// Chosen: the board is 16 cm wide, and a mouse's pad is not; a surgeon on tissue takes less.
const SCALE: f64 = 0.5;

/// The task could not be practised.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum TrainError {
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("{0} cannot be read: {1}; give a task's name (`train --list`) or a readable file")]
    File(PathBuf, io::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("there is no NetFI condition {0:?}; there are {1}")]
    Netfi(String, String),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted: the table is incomplete; {made} of {all} runs were run to their end")]
    Incomplete { made: usize, all: usize },
}

/// Runs the command; the exit code says whether the task was finished by its cut-off.
///
/// Errors: [`TrainError`].
pub fn run(args: &TrainArgs, stop: &AtomicBool) -> Result<ExitCode, TrainError> {
    if args.list {
        return list(args.json);
    }
    let task = load(&args.task)?;
    if args.table {
        return table::run(&task, args.seed, args.seeds, args.json, stop);
    }
    if !args.trainee {
        return sit_down(args, task, stop);
    }
    let netfi = args.netfi.as_deref().map(condition).transpose()?;
    let (over, link) = match netfi {
        Some(condition) => (condition.name.to_owned(), crate::link_command::named("ideal")?),
        None => (name_of(&args.link), args.link.model_or(crate::demo::DEFAULT_LINK)?),
    };
    let (profile_name, profile) = match netfi {
        Some(condition) => profile_over(condition),
        None => profile_for(&over),
    };
    let practice = Practice { task, link, netfi, profile, seed: args.seed };
    let done = practice.run(stop);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&practice, &over, profile_name, &done))?;
    } else {
        print(&mut out, &practice, &over, profile_name, &done)?;
    }
    Ok(if finished(&practice.task, &done) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A person practises, in real time: the demo's robot and link, with the task beside them.
fn sit_down(args: &TrainArgs, task: Task, stop: &AtomicBool) -> Result<ExitCode, TrainError> {
    let seat = &args.seat;
    let demo = DemoArgs {
        headless: false,
        seconds: seat.seconds,
        link: args.link.clone(),
        disturb: DisturbArgs::default(),
        seed: args.seed,
        input: None,
        profile: None,
        scale: seat.scale,
        page_port: seat.page_port,
        report: seat.report.clone(),
        qlog: None,
        record: seat.record.clone(),
        tap: None,
        no_real_time: seat.no_real_time,
        json: args.json,
    };
    run_beside(&demo, Some(Beside { task, seed: args.seed }), stop)?;
    Ok(ExitCode::SUCCESS)
}

/// A task by its name, or a task file.
fn load(name: &str) -> Result<Task, TrainError> {
    let path = Path::new(name);
    if path.extension().is_none() {
        return Ok(Task::shipped(name)?);
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| TrainError::File(path.to_owned(), error))?;
    Ok(Task::parse(name, &text)?)
}

fn list(as_json: bool) -> Result<ExitCode, TrainError> {
    let mut out = io::stdout().lock();
    let tasks: Result<Vec<Task>, _> =
        SHIPPED.map(|(name, _)| Task::shipped(name)).into_iter().collect();
    let tasks = tasks?;
    if as_json {
        let rows = tasks.iter().map(|task| {
            json!({ "name": task.name, "title": task.title, "source": task.source,
                    "time_s": task.time_s })
        });
        let rows: Vec<Value> = rows.collect();
        writeln!(out, "{}", json!({ "schema": "longhand tasks v1", "tasks": rows }))?;
    } else {
        for task in &tasks {
            writeln!(
                out,
                "{:<16} {}, {} s\n{:17}{}",
                task.name, task.title, task.time_s, "", task.source
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// NetFI's condition of this name.
fn condition(name: &str) -> Result<&'static Condition, TrainError> {
    let found = CONDITIONS.iter().find(|condition| condition.name == name);
    found.ok_or_else(|| {
        let known: Vec<_> = CONDITIONS.iter().map(|condition| condition.name).collect();
        TrainError::Netfi(name.to_owned(), known.join(", "))
    })
}

/// The robot profile that a condition asks for, as in `compare`.
const fn profile_over(condition: &Condition) -> (&'static str, Profile) {
    if condition.is_far {
        ("satellite", Profile::SATELLITE)
    } else {
        ("public-5g", Profile::PUBLIC_5G)
    }
}

fn name_of(link: &LinkChoice) -> String {
    let trace = link.trace.as_ref().map(|path| path.display().to_string());
    trace.or_else(|| link.link.clone()).unwrap_or_else(|| crate::demo::DEFAULT_LINK.to_owned())
}

fn finished(task: &Task, done: &Practised) -> bool {
    done.score.completed && done.score.time_s <= task.time_s
}

fn as_json(practice: &Practice, link: &str, profile: &str, done: &Practised) -> Value {
    json!({
        "schema": "longhand practice v1",
        "task": practice.task.name,
        "link": link,
        "netfi": practice.netfi.map(|condition| condition.name),
        "profile": profile,
        "seed": practice.seed,
        "scale": longhand_leader::DEFAULT_SCALE,
        "operator": "virtual trainee (a model, not a person)",
        "time_limit_s": practice.task.time_s,
        "finished": finished(&practice.task, done),
        "stopped": done.stopped,
        "score": done.score,
        "delay_learnt_ms": done.delay_learnt_ms,
        "loop_age": done.loop_age,
        "world_hash": format!("{:016x}", done.world_hash),
    })
}

fn print(
    out: &mut impl Write,
    practice: &Practice,
    link: &str,
    profile: &str,
    done: &Practised,
) -> io::Result<()> {
    let (score, task) = (&done.score, &practice.task);
    writeln!(out, "{}: {}", task.name, task.title)?;
    writeln!(
        out,
        "over {link} (profile {profile}), seed {}; the virtual trainee: a model, not a person",
        practice.seed
    )?;
    let end = match (score.completed, finished(task, done)) {
        (_, true) => "done",
        (true, false) => "done too late",
        (false, _) => "not done",
    };
    writeln!(
        out,
        "\n{end}: {} of {} moves in {:.1} s of {:.0} s, {:.1} points ({:.0} s of penalties)",
        score.moves, score.moves_in_all, score.time_s, task.time_s, score.points, score.penalties_s
    )?;
    for (name, hand) in [("left", &score.left), ("right", &score.right)] {
        writeln!(
            out,
            "{name:<6} path {:.0} mm, force at most {:.1} N ({:.1} s beyond {:.1} N), slips {}, \
             out of the workspace {:.1} s",
            hand.path_mm,
            hand.force_max_n,
            hand.excessive_force_s,
            task.force_n,
            hand.slips,
            hand.out_of_workspace_s
        )?;
    }
    match &score.inserted {
        Some(lead) => print_lead(out, lead, &score.errors)?,
        None => print_rings(out, score)?,
    }
    let age = &done.loop_age;
    writeln!(
        out,
        "idle {:.1} s, clutch {}, safe stops {}, held {:.1} s; loop age p50 {:.0} ms, p99 {:.0} ms",
        score.idle_s, score.clutches, score.safe_stops, score.held_s, age.p50_ms, age.p99_ms
    )
}

fn print_lead(out: &mut impl Write, lead: &Inserted, errors: &ByKind) -> io::Result<()> {
    writeln!(
        out,
        "lead   {:.2} mm beside its line, {:.2} deg askew, {:+.2} mm from its depth (overshoot \
         {:.2} mm), at most {:.2} N; missed entry {}, overshoot {}, excessive force {}",
        lead.lateral_mm,
        lead.angle_deg,
        lead.depth_error_mm,
        lead.overshoot_mm,
        lead.force_max_n,
        errors.missed_entry,
        errors.overshoot,
        errors.excessive_force
    )
}

fn print_rings(out: &mut impl Write, score: &Score) -> io::Result<()> {
    let (errors, steps) = (&score.errors, &score.errors_by_step);
    writeln!(
        out,
        "drops {} ({} out of the field), wrong peg {}, not passed {}, empty grasps {}, \
         collisions {}, excessive force {}",
        errors.dropped_on_board.saturating_add(errors.dropped_out_of_field),
        errors.dropped_out_of_field,
        errors.wrong_peg,
        errors.not_passed,
        errors.empty_grasp,
        errors.collision,
        errors.excessive_force
    )?;
    writeln!(
        out,
        "mistakes in reach {}, lift {}, carry {}, pass {}, place {}",
        steps.reach, steps.lift, steps.carry, steps.pass, steps.place
    )
}
