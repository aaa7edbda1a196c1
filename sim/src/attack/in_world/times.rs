//! Attacks on time: slow delay, one-sided delay, clocks, a path gone, sizes and times observed.
//!
//! Knows: how to make things late. Does not know: what late means to the robot.

use super::hands_on::{Behind, Fate, OnPath};
use super::trial::{Dice, MOVING, Plan, QUIET, Record, Trial};
use crate::attack::{Finding, Tried};
use crate::world::World;
use crate::world::carrier::link_clock;
use longhand_leader::advisory::Advisory;
use longhand_link::{Direction, Directions};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Micros, TICK};

/// What both delay attacks must come to: slowed above the warning, latched above the limit.
fn loop_age_rules(plan: &Plan, record: &Record, finding: &mut Finding) {
    let profile = plan.profile();
    let (stages, terms) = (profile.stages, profile.terms());
    let too_old = record.moments.iter().find(|moment| moment.loop_age > stages.loop_age_max);
    finding.must(too_old.is_some(), || "the view never grew too old: no attack".to_owned());
    if let Some(moment) = too_old {
        finding.must(moment.stage >= Stage::Hold, || {
            format!("{} at loop age {}", moment.stage.name(), moment.loop_age)
        });
        finding.figure("loop_age_at_stop_ms", moment.loop_age.as_millis_f64());
    }
    let latched = record.first(Stage::Latched);
    finding.must(latched.is_some(), || "it never latched".to_owned());
    record.at_most(Stage::Latched, finding);
    let pairs = record.moments.iter().zip(record.moments.iter().skip(1));
    for (before, now) in pairs {
        // The tool brakes into the new bound at its own acceleration: a tick is 5 mm/s.
        let slowed = terms.speed_scale(before.loop_age) * terms.tip_speed_max + 0.006;
        let speed = now.apart(before) / 1e-3;
        let slow = now.stage == Stage::Follow && before.loop_age > stages.loop_age_warn;
        finding.must(!slow || speed <= slowed, || {
            format!("{:.1} mm/s at loop age {}", speed * 1e3, before.loop_age)
        });
    }
}

/// A07: delay that grows slowly, to dodge whoever looks for steps.
pub fn ramp(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 7);
    // The catalogue's 1 ms a second takes five minutes: every fiftieth seed has the patience.
    let ms_per_s = if seed % 50 == 49 { 1.0 } else { dice.between(10.0, 40.0) };
    let mut trial = Trial::begin(&plan)?;
    let began = trial.now();
    trial.meddle(OnPath::new(move |at, to| {
        let grown = at.saturating_sub(began).as_secs_f64() * ms_per_s;
        match to {
            Direction::Up => Fate::Later(Micros::from_secs_f64(grown.min(500.0) * 1e-3)),
            Direction::Down => Fate::Pass,
        }
    }));
    let seconds = 320.0 / ms_per_s;
    trial.run(Micros::from_secs_f64(seconds).as_micros() / 1_000);
    let record = trial.end();
    let mut finding = record.finding();
    loop_age_rules(&plan, &record, &mut finding);
    finding.must(record.advisories.contains(&Advisory::Slowed), || {
        format!("the surgeon was not told that the tool is slowed: {:?}", record.advisories)
    });
    finding.figure("ramp_ms_per_s", ms_per_s);
    Ok(finding)
}

/// A08: commands at once, the view late.
pub fn one_sided(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 8);
    // From above what the limit leaves, to what the row asks for and beyond.
    let late = Micros::from_secs_f64(dice.between(0.301, 0.600));
    let mut trial = Trial::begin(&plan)?;
    trial.meddle(OnPath::new(move |_, to| match to {
        Direction::Up => Fate::Pass,
        Direction::Down => Fate::Later(late),
    }));
    trial.run(2_000);
    let record = trial.end();
    let mut finding = record.finding();
    loop_age_rules(&plan, &record, &mut finding);
    finding.figure("view_late_ms", late.as_millis_f64());
    Ok(finding)
}

/// A26: clocks that are slewed by 500 millionths, on either side, either way. The wall clock has no
/// part in any decision, so there is nothing in a world to step.
pub fn clocks(seed: u64) -> Tried {
    let mut plan = Plan::drawn(seed, &["ideal"], &MOVING);
    plan.link = "ideal";
    let (robot, fast) = (seed.is_multiple_of(2), (seed / 2).is_multiple_of(2));
    let ppm = if fast { 500 } else { -500 };
    let mut trial = Trial::begin(&plan)?;
    let at = trial.now();
    if robot {
        trial.world().robot().clock().drift(at, ppm);
    } else {
        trial.world().console().clock().drift(at, ppm);
    }
    trial.run(6_000);
    let record = trial.end();
    let mut finding = record.finding();
    record.at_most(Stage::Coast, &mut finding);
    let oldest = record.moments.iter().map(|moment| moment.loop_age).max().unwrap_or_default();
    finding.must(oldest < Micros::from_millis(30), || format!("loop age {oldest} on no link"));
    finding.figure("loop_age_max_ms", oldest.as_millis_f64());
    Ok(finding)
}

/// A28, as far as motion goes: one of two links dead, then the other attacked.
pub fn one_of_two(seed: u64) -> Tried {
    let mut plan = Plan::drawn(seed, &QUIET, &MOVING);
    plan.paths = 2;
    let mut dice = Dice::new(seed, 28);
    let mut trial = Trial::begin(&plan)?;
    let dead = usize::from(dice.chance(0.5));
    black_hole(trial.world(), dead);
    let first = dice.below(500).saturating_add(200);
    trial.run(first);
    let hole = Micros::from_millis(dice.below(400).saturating_add(20));
    let other = 1_usize.saturating_sub(dead);
    let at = link_clock(trial.now());
    if let Some(path) = trial.world().carrier().path(other) {
        let _room_for_one = path.black_hole(Directions::Both, at, hole);
    }
    trial.run(1_000);
    let record = trial.end();
    let mut finding = record.finding();
    record.at_most(Stage::Latched, &mut finding);
    finding.figure("hole_ms", hole.as_millis_f64());
    Ok(finding)
}

fn black_hole(world: &mut World, index: usize) {
    let at = link_clock(world.now());
    if let Some(path) = world.carrier().path(index) {
        let _room_for_one = path.black_hole(Directions::Both, at, Micros::from_secs(3_600));
    }
}

/// A36: what an eavesdropper has, sizes and times, for a hand that works and for one that rests.
pub fn traffic(seed: u64) -> Tried {
    let mut seen = Vec::new();
    let mut finding = Finding::default();
    for hand in ["sweep", "peg-transfer", "tremor"] {
        let plan = Plan { seed, link: "ideal", hand, paths: 1 };
        let mut trial = Trial::begin(&plan)?;
        trial.meddle(Behind(|_, _: &mut World| {}));
        trial.run(2_000);
        let record = trial.end();
        finding.join(record.finding());
        let tail: Vec<_> = record.sizes.iter().rev().take(2_000).copied().collect();
        let last = tail.first().map_or(Micros::ZERO, |(at, _)| *at);
        let relative = tail.iter().map(|(at, len)| (last.saturating_sub(*at), *len));
        seen.push(relative.collect::<Vec<_>>());
    }
    let same = seen.iter().zip(seen.iter().skip(1)).all(|(a, b)| a == b);
    finding.must(same, || "sizes or times differ between hands".to_owned());
    let steady = seen.iter().flatten().zip(seen.iter().flatten().skip(1));
    let steady = steady.filter(|(a, b)| b.0.saturating_sub(a.0) != TICK && b.0 > a.0).count();
    finding.must(steady == 0, || format!("{steady} intervals are not one tick"));
    Ok(finding)
}
