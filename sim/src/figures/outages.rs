//! The link breaks again and again under moving hands: how gently motion comes back.
//!
//! Knows: worlds whose link is broken at random, and what the checker saw of the setpoints. Does
//! not know: how motion is made gentle.
//!
//! Terms: an *outage* begins 100 to 500 ms after the robot began to follow, takes away one
//! direction or both, and lasts 5 ms to 3.5 s, as often short as long. Motion *came back* when the
//! robot follows again after it held; the second after that is looked at. Every tick is checked
//! besides, as in a campaign.

use super::{Dice, bar, links, print_json, world_over};
use crate::check::{Checker, Motion};
use crate::hands;
use crate::scenario::Bedside;
use crate::share_out::share_out;
use crate::world::{World, WorldTick, profile_for};
use clap::Args;
use longhand_console::input::script::ScriptError;
use longhand_console::status::rounded;
use longhand_follower::profile::{Profile, RateLimits};
use longhand_link::{Directions, UnknownProfile};
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Instant, Micros};
use serde::Serialize;
use std::cell::RefCell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `longhand-sim outages ...`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  longhand-sim outages
  longhand-sim outages --count 10000 --link beijing-sanya-5g-public --hand reach --json

Ends with 0 where every setpoint kept to its limits of speed, acceleration and jerk and every
invariant held; with 1 where one did not.")]
pub struct OutagesArgs {
    /// Outages on each link
    #[arg(long, default_value_t = 200, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Only this link
    #[arg(long, value_name = "NAME", value_parser = crate::link_command::link_name)]
    link: Option<String>,
    /// What moves the hands: adversary, reach, sweep, tremor, peg-transfer, or a script (CSV)
    #[arg(long, default_value = "adversary", value_name = "NAME|FILE",
          value_parser = crate::hands::written)]
    hand: String,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256),
          allow_negative_numbers = true)]
    jobs: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The link could not be broken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of the part it names, with its own words")]
pub enum OutagesError {
    #[error(transparent)]
    Link(#[from] UnknownProfile),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("what was measured could not be written: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted: {made} of {all} worlds were run to their end")]
    Incomplete { made: usize, all: usize },
}

/// Outages in one world. Chosen: a campaign's length of run, about a minute.
const IN_ONE_WORLD: u64 = 50;
/// How long the robot follows before the next outage, milliseconds. Chosen: from a blend that is
/// not over to a motion at full speed.
const FOLLOWS_MS: (u64, u64) = (100, 500);
/// How long an outage lasts, milliseconds: the shortest does nothing, the longest ends the lease.
const LASTS_MS: (f64, f64) = (5.0, 3_500.0);
/// After it came back, motion is looked at for so long. Chosen: longer than the slowest blend.
const LOOKED_AT: Micros = Micros::from_secs(1);
/// A world in which nothing followed for so long is given up: over a link that is worse than any
/// outage. Chosen.
const PATIENCE: Micros = Micros::from_secs(60);

/// What outages on one link, or in one world, brought.
#[derive(Clone, Debug, Default)]
struct Sum {
    outages: u64,
    came_back: u64,
    latched: u64,
    bedside: u64,
    most: Motion,
    violations: Vec<(u64, String)>,
}

/// Speed, acceleration, jerk: what was seen at most, and the limit.
#[derive(Clone, Copy, Debug, Serialize)]
struct Rates {
    speed: f64,
    speed_limit: f64,
    acceleration: f64,
    acceleration_limit: f64,
    jerk: f64,
    jerk_limit: f64,
}

/// One link's outages.
#[derive(Debug, Serialize)]
struct Row {
    link: &'static str,
    profile: &'static str,
    outages: u64,
    came_back: u64,
    latched: u64,
    bedside: u64,
    /// Of the tip after motion came back: m/s, m/s2, m/s3.
    tip: Rates,
    /// Of its rotation: rad/s, rad/s2, rad/s3.
    rotation: Rates,
    /// The seeds of worlds in which an invariant did not hold, and what was seen.
    violations: Vec<(u64, String)>,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    seed: u64,
    count: u64,
    hand: String,
    rows: Vec<Row>,
    holds: bool,
}

/// Breaks links, and says what came of it.
///
/// Errors: [`OutagesError`].
pub fn run(args: &OutagesArgs, stop: &AtomicBool) -> Result<ExitCode, OutagesError> {
    let links = links(args.link.as_deref())?;
    hands::by_name(&args.hand, args.seed)?;
    let worlds_each = usize::try_from(args.count.div_ceil(IN_ONE_WORLD)).unwrap_or(usize::MAX);
    let worlds = worlds_each.saturating_mul(links.len());
    let bar = bar(links.len(), args.count, "outages");
    let sums = share_out(worlds, usize::from(args.jobs), stop, |number| {
        let link = links.get(number.checked_div(worlds_each)?)?;
        let before = u64::try_from(number.checked_rem(worlds_each)?).ok()? * IN_ONE_WORLD;
        let count = IN_ONE_WORLD.min(args.count.saturating_sub(before));
        let seed = args.seed.wrapping_add(before);
        let sum = in_world(link, seed, &args.hand, count, stop)?;
        bar.inc(count);
        Some(sum)
    });
    bar.finish_and_clear();
    let made = sums.iter().flatten().count();
    if made < worlds {
        return Err(OutagesError::Incomplete { made, all: worlds });
    }
    let rows: Vec<Row> = links
        .iter()
        .zip(sums.chunks(worlds_each.max(1)))
        .map(|(link, sums)| {
            let mut all = Sum::default();
            sums.iter().flatten().for_each(|sum| all.add(sum));
            all.row(link.name)
        })
        .collect();
    let holds = rows.iter().all(|row| row.holds);
    let (seed, count, hand) = (args.seed, args.count, args.hand.clone());
    if args.json {
        print_json(&Report { schema: "longhand outages v1", seed, count, hand, rows, holds })?;
    } else {
        print(args, &rows)?;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One world and its outages; `None` where it was stopped, or the hand could not be read again.
fn in_world(
    link: &'static longhand_link::Profile,
    seed: u64,
    hand: &str,
    count: u64,
    stop: &AtomicBool,
) -> Option<Sum> {
    let (mut world, _) = world_over(link, seed, hands::by_name(hand, seed).ok()?);
    let (_, profile) = profile_for(link.name);
    let checker = Rc::new(RefCell::new(Checker::new(profile)));
    world.watch(Box::new(Rc::clone(&checker)));
    let mut breaker = Breaker::new(seed);
    let mut bedside = Bedside::default();
    while breaker.sum.outages < count || world.now() < breaker.looks_until {
        let tick = world.tick();
        bedside.step(tick.state.stage, &mut world);
        breaker.step(&tick, &mut world);
        let checker = checker.borrow();
        if world.now() < breaker.looks_until {
            ArmId::ALL.iter().for_each(|arm| breaker.sum.raise(&checker.motion(*arm)));
        }
        if let Some(violation) = checker.violation() {
            breaker.sum.violations.push((seed, violation.to_string()));
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        if world.now().saturating_sub(breaker.followed_at) > PATIENCE {
            break;
        }
    }
    Some(breaker.sum)
}

/// Breaks the link of one world.
struct Breaker {
    dice: Dice,
    sum: Sum,
    last: Stage,
    /// It followed, and has held since.
    held: bool,
    followed_at: Micros,
    /// When the next outage begins, if the robot follows then.
    breaks_at: Micros,
    looks_until: Micros,
}

impl Breaker {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            sum: Sum::default(),
            last: Stage::Disabled,
            held: false,
            followed_at: Micros::ZERO,
            breaks_at: Micros::MAX,
            looks_until: Micros::ZERO,
        }
    }

    fn step(&mut self, tick: &WorldTick, world: &mut World) {
        let (now, stage) = (tick.at, tick.state.stage);
        if std::mem::replace(&mut self.last, stage) != stage {
            self.entered(now, stage);
        }
        if stage != Stage::Follow {
            return;
        }
        self.followed_at = now;
        if now < self.breaks_at {
            return;
        }
        let (shortest, longest) = LASTS_MS;
        let lasts_ms = shortest * libm::pow(longest / shortest, self.dice.share());
        let lasts = Micros::from_secs_f64(lasts_ms / 1e3);
        let which = match self.dice.between(0, 2) {
            0 => Directions::Up,
            1 => Directions::Down,
            _ => Directions::Both,
        };
        let from = Instant::ORIGIN.after(now);
        if world.link().black_hole(which, from, lasts).is_ok() {
            self.sum.outages = self.sum.outages.saturating_add(1);
        }
        // Where it was too short to be noticed, the next comes as long after its end.
        self.breaks_at = now.saturating_add(lasts).saturating_add(self.follows());
    }

    fn entered(&mut self, now: Micros, stage: Stage) {
        match stage {
            Stage::Follow => {
                if std::mem::take(&mut self.held) {
                    self.sum.came_back = self.sum.came_back.saturating_add(1);
                    self.looks_until = now.saturating_add(LOOKED_AT);
                }
                self.breaks_at = now.saturating_add(self.follows());
                return;
            }
            Stage::Latched => self.sum.latched = self.sum.latched.saturating_add(1),
            Stage::Bedside => self.sum.bedside = self.sum.bedside.saturating_add(1),
            Stage::Coast | Stage::Brake | Stage::Hold | Stage::SafeOff | Stage::Disabled => {}
        }
        self.held = stage >= Stage::Hold && self.followed_at > Micros::ZERO;
    }

    fn follows(&mut self) -> Micros {
        let (shortest, longest) = FOLLOWS_MS;
        Micros::from_millis(self.dice.between(shortest, longest))
    }
}

impl Sum {
    fn raise(&mut self, motion: &Motion) {
        let rows = self.most.tip.iter_mut().zip(motion.tip);
        let rows = rows.chain(self.most.rotation.iter_mut().zip(motion.rotation));
        rows.for_each(|(most, is)| *most = most.max(is));
    }

    fn add(&mut self, other: &Self) {
        self.outages = self.outages.saturating_add(other.outages);
        self.came_back = self.came_back.saturating_add(other.came_back);
        self.latched = self.latched.saturating_add(other.latched);
        self.bedside = self.bedside.saturating_add(other.bedside);
        self.raise(&other.most);
        self.violations.extend(other.violations.iter().cloned());
    }

    fn row(self, link: &'static str) -> Row {
        let (profile, Profile { motion, .. }) = profile_for(link);
        let (tip, rotation) = (
            Rates::of(&self.most.tip, &motion.tip),
            Rates::of(&self.most.rotation, &motion.rotation),
        );
        let holds = self.came_back > 0
            && self.violations.is_empty()
            && tip.are_kept()
            && rotation.are_kept();
        Row {
            link,
            profile,
            outages: self.outages,
            came_back: self.came_back,
            latched: self.latched,
            bedside: self.bedside,
            tip,
            rotation,
            violations: self.violations,
            holds,
        }
    }
}

impl Rates {
    fn of(most: &[f64; 3], limits: &RateLimits) -> Self {
        let [speed, acceleration, jerk] = most.map(rounded);
        let RateLimits { speed: v, acceleration: a, jerk: j } = *limits;
        Self { speed, speed_limit: v, acceleration, acceleration_limit: a, jerk, jerk_limit: j }
    }

    /// What was seen is rounded, and comes from differences of the setpoints.
    fn are_kept(&self) -> bool {
        let kept = |is: f64, limit: f64| is <= limit * (1.0 + 1e-6) + 1e-3;
        kept(self.speed, self.speed_limit)
            && kept(self.acceleration, self.acceleration_limit)
            && kept(self.jerk, self.jerk_limit)
    }
}

fn print(args: &OutagesArgs, rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} outages on each link, seed {}, hands {}; how the tip was told to move in the second \
         after motion came back, at most (limit)",
        args.count, args.seed, args.hand
    )?;
    let heads = ["link", "outages", "back", "latched", "bedside", "speed", "acceleration", "jerk"];
    let units = ["", "", "", "", "", "mm/s", "m/s2", "m/s3"];
    for [a, b, c, d, e, f, g, h] in [heads, units] {
        writeln!(out, "{a:<24} {b:>8} {c:>8} {d:>8} {e:>8} {f:>14} {g:>14} {h:>12}")?;
    }
    for r in rows {
        let pair = |is: f64, limit: f64, digits| format!("{is:.digits$} ({limit:.0})");
        writeln!(
            out,
            "{:<24} {:>8} {:>8} {:>8} {:>8} {:>14} {:>14} {:>12}{}",
            r.link,
            r.outages,
            r.came_back,
            r.latched,
            r.bedside,
            pair(r.tip.speed * 1e3, r.tip.speed_limit * 1e3, 1),
            pair(r.tip.acceleration, r.tip.acceleration_limit, 3),
            pair(r.tip.jerk, r.tip.jerk_limit, 1),
            if r.holds { "" } else { "  TOO MUCH" },
        )?;
        for (seed, what) in &r.violations {
            writeln!(out, "  world of seed {seed}: {what}")?;
        }
    }
    Ok(())
}
