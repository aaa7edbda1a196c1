//! The wire is cut under a moving hand: how soon the arms stand still, how far they go, how soon
//! tool energy is off.
//!
//! Knows: the robot's end of a world, and what became of a copy of it that hears nothing more. Does
//! not know: why it stops.
//!
//! Terms: a *cut* is a copy of the robot's end, taken at a random phase of a tick while the hands
//! sweep at 250 mm/s, so the tips at 50 mm/s, with both energy pedals pressed. Nothing reaches it
//! from then on. Everything is counted from its last fresh command: what the playout buffer holds
//! when the wire is cut is still fresh. *Standing still* is within 10 um of where the tip stays. A
//! goal that was left behind hurries after its hand at up to 90 mm/s; such cuts are counted apart.

use super::{Dice, bar, links, print_json, world_over};
use crate::hands::Sweep;
use crate::measure::Delays;
use crate::scenario::Bedside;
use crate::share_out::share_out;
use crate::world::RobotEnd;
use clap::Args;
use indicatif::ProgressBar;
use longhand_console::Spread;
use longhand_console::status::rounded;
use longhand_link::{Profile, UnknownProfile};
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Micros, TICK};
use longhand_robot_agent::arm::ArmDrive;
use nalgebra::Vector3;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// `longhand-sim cuts ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim cuts
  longhand-sim cuts --count 100000 --link city-5g-sa --seed 3 --json

Ends with 0 where every arm that moved at 50 mm/s stood still within 35 ms and 1.2 mm of its last
fresh command, and the energy of every arm was off within 20 ms; with 1 where one did not.")]
pub struct CutsArgs {
    /// Cuts on each link
    #[arg(long, default_value_t = 1_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Only this link
    #[arg(long, value_name = "NAME", value_parser = crate::link_command::link_name)]
    link: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256),
          allow_negative_numbers = true)]
    jobs: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The wire could not be cut.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum CutsError {
    #[error(transparent)]
    Link(#[from] UnknownProfile),
    #[error("what was measured could not be written: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted: {made} of {all} links were measured to their end")]
    Incomplete { made: usize, all: usize },
}

/// No faster than the promise says, metres a second: 50 mm/s and what rounding a tick makes of it.
const PACE_M_S: f64 = 0.0505;
/// What must hold of every cut at that pace. Source: README, "Wire cut at 50 mm/s".
const STANDS_WITHIN: Micros = Micros::from_millis(35);
const TRAVEL_MAX_M: f64 = 1.2e-3;
const ENERGY_OFF_WITHIN: Micros = Micros::from_millis(20);
/// How far a standing arm may still creep, metres. Chosen: a fifth of what counts as standing; the
/// drives come that near after twice the promised time (1.05 um at most in 1.4 million cuts).
const CREEP_MAX_M: f64 = 2e-6;
/// Within this of where it stays, it stands, metres. Chosen: far below what an eye can see.
const STANDING_M: f64 = 10e-6;
/// Turns that a cut is watched after the last fresh command. Chosen: three times what standing
/// still may take.
const WATCHED: usize = 120;
/// And in all: no buffer holds more than 100 ms, and the hole that it bridges.
const WATCHED_MAX: usize = 400;
/// By this turn it stands; what it moves later, it creeps. Chosen: after the promise, with a third
/// of it to spare.
const SETTLED: usize = 50;
/// Virtual time that is waited for each cut on the average before a link counts as too bad to
/// move over. Chosen: a moving arm is cut every 4.5 ms.
const WAIT_EACH: Micros = Micros::from_millis(100);
/// And before the first.
const WAIT_FIRST: Micros = Micros::from_secs(60);
/// Arms have followed for so many ticks before the first cut. Chosen: they are at pace by then.
const WARM_UP: u32 = 2_000;

/// What became of one arm.
#[derive(Clone, Copy, Debug)]
struct Cut {
    speed_m_s: f64,
    standstill: Micros,
    travel_m: f64,
    creep_m: f64,
    /// `None` where it was not on.
    energy_off: Option<Micros>,
}

/// One link's cuts.
#[derive(Debug, Serialize)]
struct Row {
    link: &'static str,
    profile: &'static str,
    /// How often the wire was cut.
    cuts: u64,
    /// Arms at up to 50 mm/s, either of each cut.
    arms: u64,
    /// The fastest of them from its last fresh command on, mm/s.
    fastest_mm_s: f64,
    standstill: Spread,
    travel_max_mm: f64,
    /// Arms that hurried: not bound by the promise of standstill and travel.
    hurried: Hurried,
    creep_max_um: f64,
    /// How many arms had their energy on, and when it was off.
    energy_off: Spread,
    holds: bool,
}

/// Arms that were faster than 50 mm/s.
#[derive(Debug, Serialize)]
struct Hurried {
    arms: u64,
    fastest_mm_s: f64,
    standstill_max_ms: f64,
    travel_max_mm: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    seed: u64,
    count: u64,
    rows: Vec<Row>,
    holds: bool,
}

/// Cuts, and says what came of it.
///
/// Errors: [`CutsError`].
pub fn run(args: &CutsArgs, stop: &AtomicBool) -> Result<ExitCode, CutsError> {
    let links = links(args.link.as_deref())?;
    let bar = bar(links.len(), args.count, "cuts");
    let rows = share_out(links.len(), usize::from(args.jobs), stop, |number| {
        on_link(links.get(number)?, args, &bar, stop)
    });
    bar.finish_and_clear();
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if rows.len() < links.len() {
        return Err(CutsError::Incomplete { made: rows.len(), all: links.len() });
    }
    let holds = rows.iter().all(|row| row.holds);
    let (seed, count) = (args.seed, args.count);
    if args.json {
        print_json(&Report { schema: "longhand cuts v1", seed, count, rows, holds })?;
    } else {
        print(args, &rows)?;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_link(
    link: &'static Profile,
    args: &CutsArgs,
    bar: &ProgressBar,
    stop: &AtomicBool,
) -> Option<Row> {
    let (mut world, name) = world_over(link, args.seed, Box::new(Sweep::with_energy()));
    let mut dice = Dice::new(args.seed);
    let mut bedside = Bedside::default();
    let mut sum = Sum::default();
    let patience = WAIT_FIRST.saturating_add(WAIT_EACH.saturating_mul(args.count));
    let mut next_in = 1;
    let mut followed: u32 = 0;
    while sum.cuts < args.count && world.now() < patience {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        next_in -= 1;
        let mut cuts = None;
        let phase = Micros::from_micros(dice.between(0, TICK.as_micros() - 1));
        let tick = world.tick_looking(phase, |robot| {
            let moves = matches!(robot.state().stage, Stage::Follow | Stage::Coast);
            followed = followed.saturating_add(u32::from(moves));
            if next_in == 0 && moves && followed > WARM_UP {
                cuts = Some(cut(robot));
            }
        });
        if next_in == 0 {
            next_in = dice.between(1, 8);
        }
        bedside.step(tick.state.stage, &mut world);
        if let Some(cuts) = cuts {
            sum.add(&cuts);
            bar.inc(1);
        }
    }
    if !io::stderr().is_terminal() {
        eprintln!("{}: done", link.name);
    }
    Some(sum.row(link.name, name))
}

fn tips(robot: &RobotEnd) -> PerArm<Vector3<f64>> {
    PerArm::from_fn(|arm| robot.state().arms.get(arm).measured_cp.position())
}

/// One turn of a copy: when, where the tips were, what the drives were told.
type Turn = (Micros, PerArm<Vector3<f64>>, PerArm<ArmDrive>);

/// A copy of the robot's end hears nothing more.
fn cut(robot: &RobotEnd) -> PerArm<Cut> {
    let mut robot = robot.clone();
    let mut number = robot.state().echo.number;
    let mut turns: Vec<Turn> = Vec::with_capacity(WATCHED);
    let mut fresh = 0_usize;
    for turn in 0..WATCHED_MAX {
        if turn > fresh.saturating_add(WATCHED) {
            break;
        }
        let (at, told) = robot.turn_alone();
        let state = robot.state();
        if state.age == Micros::ZERO || state.echo.number != number {
            fresh = turn;
        }
        number = state.echo.number;
        turns.push((at, tips(&robot), told));
    }
    PerArm::from_fn(|arm| judge(arm, &turns, fresh))
}

/// What became of an arm whose last fresh command had its turn at `fresh`.
fn judge(arm: ArmId, turns: &[Turn], fresh: usize) -> Cut {
    let tip = |turn: &Turn| *turn.1.get(arm);
    let since = turns.get(fresh..).unwrap_or_default();
    let (began, from) = since.first().map(|turn| (turn.0, tip(turn))).unwrap_or_default();
    let end = turns.last().map(tip).unwrap_or_default();
    let after = |turn: Option<&Turn>| turn.map_or(STILL_NOT, |(at, _, _)| at.saturating_sub(began));
    let moving = since.iter().rposition(|turn| (tip(turn) - end).norm() > STANDING_M);
    let off = since.iter().position(|(_, _, told)| !energy(told.get(arm)));
    let was_on = turns.iter().any(|(_, _, told)| energy(told.get(arm)));
    let farthest = |turns: &[Turn], from: Vector3<f64>| {
        turns.iter().map(|turn| (tip(turn) - from).norm()).fold(0.0, f64::max)
    };
    let steps = since.iter().zip(since.iter().skip(1));
    let speeds = steps.map(|(a, b)| (tip(b) - tip(a)).norm() / TICK.as_secs_f64());
    let speed = speeds.fold(0.0, f64::max);
    Cut {
        speed_m_s: speed,
        standstill: moving.map_or(Micros::ZERO, |last| after(since.get(last.saturating_add(1)))),
        travel_m: farthest(since, from),
        creep_m: farthest(since.get(SETTLED..).unwrap_or_default(), end),
        energy_off: was_on.then(|| after(off.and_then(|turn| since.get(turn)))),
    }
}

/// Longer than it was watched: what has not happened in that time.
const STILL_NOT: Micros = Micros::from_secs(1);

const fn energy(told: &ArmDrive) -> bool {
    matches!(told, ArmDrive::Servo { energy: true, .. })
}

/// Many cuts.
#[derive(Default)]
struct Sum {
    cuts: u64,
    at_pace: Stops,
    hurried: Stops,
    energy_off: Delays,
    creep: f64,
}

/// How arms of one kind stopped.
#[derive(Default)]
struct Stops {
    fastest: f64,
    standstill: Delays,
    travel: f64,
}

impl Sum {
    fn add(&mut self, cuts: &PerArm<Cut>) {
        self.cuts = self.cuts.saturating_add(1);
        for cut in cuts.iter() {
            let paced = cut.speed_m_s <= PACE_M_S;
            let stops = if paced { &mut self.at_pace } else { &mut self.hurried };
            stops.fastest = stops.fastest.max(cut.speed_m_s);
            stops.standstill.record(cut.standstill);
            stops.travel = stops.travel.max(cut.travel_m);
            if let Some(off) = cut.energy_off {
                self.energy_off.record(off);
            }
            self.creep = self.creep.max(cut.creep_m);
        }
    }

    fn row(self, link: &'static str, profile: &'static str) -> Row {
        let within = |delays: &Delays, most: Micros| {
            let summary = delays.summary();
            summary.out_of_range == 0 && summary.max <= most.as_micros()
        };
        let (paced, hurried) = (&self.at_pace, &self.hurried);
        let energy = self.energy_off.spread();
        let arms = paced.standstill.summary().count;
        let holds = arms > 0
            && energy.count > 0
            && within(&paced.standstill, STANDS_WITHIN)
            && within(&self.energy_off, ENERGY_OFF_WITHIN)
            && paced.travel <= TRAVEL_MAX_M
            && self.creep <= CREEP_MAX_M;
        Row {
            link,
            profile,
            cuts: self.cuts,
            arms,
            fastest_mm_s: rounded(paced.fastest * 1e3),
            standstill: paced.standstill.spread(),
            travel_max_mm: rounded(paced.travel * 1e3),
            hurried: Hurried {
                arms: hurried.standstill.summary().count,
                fastest_mm_s: rounded(hurried.fastest * 1e3),
                standstill_max_ms: hurried.standstill.spread().max_ms,
                travel_max_mm: rounded(hurried.travel * 1e3),
            },
            creep_max_um: rounded(self.creep * 1e6),
            energy_off: energy,
            holds,
        }
    }
}

fn print(args: &CutsArgs, rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} cuts on each link, seed {}; from the last fresh command, either arm, \
         at most {}, {} mm, energy {}",
        args.count,
        args.seed,
        STANDS_WITHIN,
        TRAVEL_MAX_M * 1e3,
        ENERGY_OFF_WITHIN
    )?;
    let heads = [
        "link", "cuts", "fastest", "stands", "stands", "travel", "energy", "creep", "hurried", "",
        "",
    ];
    let units =
        ["", "", "mm/s", "p50 ms", "max ms", "max mm", "off max ms", "max um", "mm/s", "ms", "mm"];
    for [a, b, c, d, e, f, g, h, i, j, k] in [heads, units] {
        writeln!(
            out,
            "{a:<24} {b:>8} {c:>8} {d:>7} {e:>7} {f:>7} {g:>10} {h:>7} {i:>9} {j:>5} {k:>6}"
        )?;
    }
    for r in rows {
        let verdict = match (r.holds, r.arms) {
            (true, _) => "",
            (false, 0) => "  the arms never moved",
            (false, _) => "  TOO MUCH",
        };
        let (stands, hurried) = (&r.standstill, &r.hurried);
        write!(out, "{:<24} {:>8} {:>8.1} ", r.link, r.cuts, r.fastest_mm_s)?;
        write!(out, "{:>7.1} {:>7.1} {:>7.3} ", stands.p50_ms, stands.max_ms, r.travel_max_mm)?;
        write!(out, "{:>10.1} {:>7.3} ", r.energy_off.max_ms, r.creep_max_um)?;
        let Hurried { fastest_mm_s, standstill_max_ms, travel_max_mm, .. } = hurried;
        write!(out, "{fastest_mm_s:>9.1} {standstill_max_ms:>5.1} {travel_max_mm:>6.3}")?;
        writeln!(out, "{verdict}")?;
    }
    Ok(())
}
