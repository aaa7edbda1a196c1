//! RAVEN II's rule and ours over the same bad links, beside each other.
//!
//! Knows: one recorded hand path, the link models of UVA's NetFI, both ends' ways to use a packet.
//! Does not know: any rule of its own. Same seed, same table.
//!
//! What is compared: the shipped peg transfer up to its last reach, where the left hand is far from
//! where it began: at the very end a tool that had never moved would seem right. ITP's sender says
//! increments and hears nothing, as it is; ours runs whole, in the virtual world, its states coming
//! back over a good line: the models are laid over the commands alone. Its scripted surgeon stops
//! while the tool does not follow, which costs time and no motion.

pub mod netfi;

use crate::attack::in_world::trial::off_goal;
use crate::attack::raven::{Itp, Raven};
use crate::measure::float;
use crate::world::carrier::Road;
use crate::world::watch::Meddler;
use crate::world::{World, WorldConfig};
use clap::Args;
use longhand_console::input::script::{Script, ScriptError, ScriptedHand};
use longhand_console::input::{Hand, Seen};
use longhand_follower::profile::Profile;
use longhand_leader::DEFAULT_SCALE;
use longhand_leader::hand::HandSample;
use longhand_link::{Direction, Disturb, LinkModel};
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Console, Instant, Micros};
use nalgebra::Vector3;
use netfi::{CONDITIONS, Condition, Netfi};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// `longhand-sim compare ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim compare
  longhand-sim compare --seeds 20 --json

Each row is the same peg transfer over a NetFI condition: the median over the seeds.")]
pub struct CompareArgs {
    /// Runs of each condition
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The comparison could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum CompareError {
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("the emulated link {0} is gone from the catalogue")]
    Link(&'static str),
    #[error("the result could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// How one end came out of one condition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The script was played to its end.
    pub finished: bool,
    /// Seconds of motion until the tool stood at the end; from the first Follow on.
    pub seconds: f64,
    /// The worse tip against where the surgeon led it (RAVEN: the sum of what was said; ours: hand
    /// and anchors), millimetres.
    pub error_mm: f64,
    /// The worse tip against the script itself, which knows of no hold, millimetres.
    pub script_mm: f64,
    /// The tips' path as a share of the script's.
    pub path_ratio: f64,
    /// Times the tool was held and went on from where it stood.
    pub holds: u32,
}

/// How much of the script is played, milliseconds: the last way point before the way home.
const PLAYED_MS: u64 = 29_600;
/// Beyond this many milliseconds nobody waits any more. Chosen: five times the script.
const PATIENCE_MS: u64 = 160_000;
/// The tool is given so long to come to rest. Chosen: past the longest delay of any condition.
const REST_MS: u64 = 3_000;

/// Over RAVEN's rule.
///
/// Errors: [`CompareError`].
pub fn raven(condition: &Condition, seed: u64) -> Result<Outcome, CompareError> {
    let script = Script::load("peg-transfer")?;
    let length = PLAYED_MS;
    let mut worst = Outcome { finished: true, ..Outcome::default() };
    let (mut gone, mut wanted) = (0.0, 0.0);
    for arm in ArmId::ALL {
        let at = |ms: u64| {
            let hands = script.at(Micros::from_millis(ms.min(length)));
            hands.get(arm).pose.position()
        };
        let (mut itp, mut robot) = (Itp::default(), Raven::default());
        // Both arms ride in one packet: the same weather for both.
        let mut link = Netfi::new(condition, seed);
        let mut under_way = BTreeMap::new();
        let (mut last, mut before) = ([0.0; 3], at(0));
        for ms in 1..=length.saturating_add(REST_MS) {
            let place = (at(ms) - at(0)) * DEFAULT_SCALE;
            wanted += (at(ms) - before).norm() * DEFAULT_SCALE;
            before = at(ms);
            let packet = itp.send([place.x, place.y, place.z], true);
            let now = Micros::from_millis(ms);
            if let Some(due) = link.fate(now) {
                under_way.insert((due, ms), packet);
            }
            while let Some(entry) = under_way.first_entry().filter(|e| e.key().0 <= now) {
                robot.receive(&entry.remove());
            }
            robot.tick();
            gone += apart(last, robot.place_m());
            last = robot.place_m();
        }
        let end = (at(length) - at(0)) * DEFAULT_SCALE;
        worst.error_mm = worst.error_mm.max(apart([end.x, end.y, end.z], last) * 1e3);
    }
    worst.script_mm = worst.error_mm;
    worst.path_ratio = gone / wanted;
    worst.seconds = float(length) * 1e-3;
    Ok(worst)
}

fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}

/// A surgeon who plays the script once and tells how far it is.
struct Once {
    hand: ScriptedHand,
    /// Microseconds; a hand may live on another thread.
    played: Arc<AtomicU64>,
    length: Micros,
}

impl Hand for Once {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let sample = self.hand.read(now, seen);
        self.played.store(self.hand.played().as_micros(), Ordering::Relaxed);
        if self.hand.played() >= self.length {
            self.hand.rest();
        }
        sample
    }

    fn name(&self) -> &str {
        "peg-transfer, once"
    }
}

/// Lays a NetFI condition over the commands.
pub(crate) struct Over {
    link: Netfi,
    under_way: BTreeMap<(Micros, u64), Vec<u8>>,
    serial: u64,
}

impl Over {
    /// This condition, nothing under way yet.
    pub(crate) const fn new(link: Netfi) -> Self {
        Self { link, under_way: BTreeMap::new(), serial: 0 }
    }
}

impl Meddler for Over {
    fn tick(&mut self, at: Micros, world: &mut World) {
        while let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= at) {
            let bytes = entry.remove();
            world.carrier().send(at, Direction::Up, Road::Datagram, &bytes);
        }
    }

    fn sent(&mut self, at: Micros, to: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        if (to, road) != (Direction::Up, Road::Datagram) {
            return true;
        }
        if let Some(due) = self.link.fate(at) {
            self.serial = self.serial.saturating_add(1);
            self.under_way.insert((due, self.serial), std::mem::take(bytes));
        }
        false
    }
}

/// Over our own rules, with the profile that such a link asks for.
///
/// Errors: [`CompareError`].
pub fn ours(condition: &Condition, seed: u64) -> Result<Outcome, CompareError> {
    let script = Script::load("peg-transfer")?;
    let (length, counter) = (Micros::from_millis(PLAYED_MS), Arc::new(AtomicU64::new(0)));
    let played = || Micros::from_micros(counter.load(Ordering::Relaxed));
    let hand =
        Once { hand: ScriptedHand::new(script.clone()), played: Arc::clone(&counter), length };
    let link = longhand_link::Profile::by_name("ideal").map_err(|_| CompareError::Link("ideal"))?;
    let mut world = World::new(WorldConfig {
        link: LinkModel::from(link),
        disturb: Disturb::default(),
        seed,
        profile: if condition.is_far { Profile::SATELLITE } else { Profile::PUBLIC_5G },
        scale: DEFAULT_SCALE,
        hand: Box::new(hand),
    });
    world.meddle(Box::new(Over::new(Netfi::new(condition, seed))));
    let mut sum = Sum::default();
    let mut rest = 0;
    let mut tick = world.tick();
    for _ in 0..PATIENCE_MS {
        tick = world.tick();
        sum.add(&tick);
        let done = played() >= length;
        rest += u64::from(done);
        if rest >= REST_MS && tick.state.stage == Stage::Follow {
            break;
        }
    }
    let start = sum.start.unwrap_or_default();
    let finished = rest >= REST_MS && tick.state.stage == Stage::Follow;
    let mut outcome = Outcome {
        finished,
        seconds: sum.seconds(rest),
        path_ratio: sum.path / script_path(&script),
        holds: sum.holds,
        error_mm: off_goal(&tick) * 1e3,
        ..Outcome::default()
    };
    for (arm, start) in ArmId::ALL.into_iter().zip(start) {
        let tip = tick.state.arms.get(arm).measured_cp.position();
        let at = |time| script.at(time).get(arm).pose.position();
        let due = start + (at(played()) - at(Micros::ZERO)) * DEFAULT_SCALE;
        outcome.script_mm = outcome.script_mm.max((due - tip).norm() * 1e3);
    }
    Ok(outcome)
}

/// What a run adds up to.
#[derive(Default)]
struct Sum {
    start: Option<[Vector3<f64>; 2]>,
    last: [Vector3<f64>; 2],
    path: f64,
    holds: u32,
    ticks: u64,
    stage: Stage,
}

impl Sum {
    fn add(&mut self, tick: &crate::world::WorldTick) {
        let stage = tick.state.stage;
        let tips = [&tick.state.arms.psm1, &tick.state.arms.psm2];
        // What is told: a simulated arm's own noise is nobody's path.
        let tips = tips.map(|arm| arm.setpoint_cp.position());
        if self.start.is_some() {
            let steps = tips.iter().zip(&self.last).map(|(a, b)| (a - b).norm());
            self.path += steps.sum::<f64>();
            self.ticks = self.ticks.saturating_add(1);
            let held = stage == Stage::Hold && self.stage < Stage::Hold;
            self.holds = self.holds.saturating_add(u32::from(held));
        } else if stage == Stage::Follow {
            self.start = Some(tips);
        }
        (self.last, self.stage) = (tips, stage);
    }

    fn seconds(&self, rest: u64) -> f64 {
        float(self.ticks.saturating_sub(rest)) * 1e-3
    }
}

/// Both tips' path as the script draws it, metres.
fn script_path(script: &Script) -> f64 {
    let at = |ms| script.at(Micros::from_millis(ms));
    let step = |ms: u64| {
        let (a, b) = (at(ms.saturating_sub(1)), at(ms));
        let one = |arm| (b.get(arm).pose.position() - a.get(arm).pose.position()).norm();
        ArmId::ALL.into_iter().map(one).sum::<f64>()
    };
    (1..=PLAYED_MS).map(step).sum::<f64>() * DEFAULT_SCALE
}

/// The median outcome of one end, each figure by itself.
fn median(all: &[Outcome]) -> Outcome {
    let middle = |of: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let mut holds: Vec<u32> = all.iter().map(|one| one.holds).collect();
    holds.sort_unstable();
    Outcome {
        finished: all.iter().all(|one| one.finished),
        seconds: middle(|one| one.seconds),
        error_mm: middle(|one| one.error_mm),
        script_mm: middle(|one| one.script_mm),
        path_ratio: middle(|one| one.path_ratio),
        holds: holds.get(holds.len() / 2).copied().unwrap_or(0),
    }
}

/// Runs every condition and prints the table.
///
/// Errors: [`CompareError`].
pub fn run(args: &CompareArgs) -> Result<(), CompareError> {
    let mut out = io::stdout().lock();
    let mut rows = Vec::new();
    if !args.json {
        writeln!(out, "{HEAD}")?;
    }
    for condition in &CONDITIONS {
        let seeds = args.seed..args.seed.saturating_add(args.seeds);
        let theirs: Vec<_> =
            seeds.clone().map(|s| raven(condition, s)).collect::<Result<_, _>>()?;
        let own: Vec<_> = seeds.map(|seed| ours(condition, seed)).collect::<Result<_, _>>()?;
        let (theirs, own) = (median(&theirs), median(&own));
        if args.json {
            rows.push(json!({ "condition": condition.name, "raven": figures(&theirs),
                              "longhand": figures(&own) }));
        } else {
            print(&mut out, condition, &theirs, &own)?;
        }
    }
    if args.json {
        let (seed, seeds) = (args.seed, args.seeds);
        let all = json!({ "schema": "longhand comparison v1", "seed": seed, "seeds": seeds,
                          "conditions": rows });
        writeln!(out, "{all}")?;
    } else {
        writeln!(out, "{FOOT}")?;
    }
    Ok(())
}

const HEAD: &str = "\
condition        RAVEN rule                     Longhand
                 error mm  path ratio  time s   error mm  off script mm  path ratio  time s  holds";
const FOOT: &str = "\
error: the worse tip at the end against where the surgeon led it; off script: against the path as
recorded (a hold is a clutch); path ratio: path over the script's; medians. `-`: not finished.";

fn print(
    out: &mut impl Write,
    condition: &Condition,
    theirs: &Outcome,
    own: &Outcome,
) -> io::Result<()> {
    let time = |one: &Outcome| match one.finished {
        true => format!("{:.1}", one.seconds),
        false => "-".to_owned(),
    };
    writeln!(
        out,
        "{:<16} {:>8.2}  {:>10.3}  {:>6}   {:>8.2}  {:>13.2}  {:>10.3}  {:>6}  {:>5}",
        condition.name,
        theirs.error_mm,
        theirs.path_ratio,
        time(theirs),
        own.error_mm,
        own.script_mm,
        own.path_ratio,
        time(own),
        own.holds
    )
}

fn figures(one: &Outcome) -> Value {
    json!({
        "finished": one.finished,
        "seconds": one.seconds,
        "error_mm": one.error_mm,
        "off_script_mm": one.script_mm,
        "path_ratio": one.path_ratio,
        "holds": one.holds,
    })
}
