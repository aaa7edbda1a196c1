//! Attacks by somebody who may speak: a console that is authorised, a hand that is bought, a robot
//! that is infected.
//!
//! Knows: what an insider can do. Does not know: what stops one.

use super::hands_on::{AtHand, Behind, Change, sealed};
use super::trial::{ANY, Dice, HANDS, MOVING, Plan, QUIET, Trial};
use crate::attack::Tried;
use crate::measure::float;
use crate::world::World;
use crate::world::carrier::link_clock;
use crate::world::plant::Broken;
use longhand_leader::advisory::Advisory;
use longhand_leader::hand::{HandSample, Nature};
use longhand_link::Directions;
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm, Pose};
use longhand_protocol::message::{Command, Stage};
use longhand_protocol::units::{Micros, TICK};
use longhand_protocol::wire;
use nalgebra::Vector3;
use std::cell::Cell;
use std::rc::Rc;

/// Rewrites every command, its checksum right.
fn rewrite(mut how: impl FnMut(Micros, &mut Command)) -> impl FnMut(Micros, &mut Vec<u8>) -> bool {
    move |at, bytes| {
        let Ok(mut command) = wire::decode_command(bytes) else { return false };
        how(at, &mut command);
        *bytes = sealed(&command);
        true
    }
}

fn shift(command: &mut Command, by: Vector3<f64>) {
    for arm in ArmId::ALL {
        let arm = command.intent.arms.get_mut(arm);
        arm.servo_cp = Pose::new(arm.servo_cp.position() + by, arm.servo_cp.rotation());
    }
}

/// A direction, any.
fn direction(dice: &mut Dice) -> Vector3<f64> {
    let mut one = || dice.between(-1.0, 1.0);
    let v = Vector3::new(one(), one(), one());
    v.try_normalize(1e-6).unwrap_or_else(Vector3::x)
}

/// A17: an authorised console steps by 50 mm, or less, in one millisecond.
pub fn step(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &ANY, &HANDS);
    let mut dice = Dice::new(seed, 17);
    // What is beyond what may be blended or anchored latches; what is below must be walked.
    let size = if seed.is_multiple_of(2) { 0.05 } else { dice.between(0.001, 0.019) };
    let by = direction(&mut dice) * size;
    let profile = plan.profile();
    let mut trial = Trial::begin(&plan)?;
    let change = rewrite(move |_, command| shift(command, by));
    trial.meddle(Change::new(trial.witness(), change));
    trial.run(600);
    let record = trial.end();
    let mut finding = record.finding();
    let tick = record.fastest() * 1e-3;
    let most = profile.motion.tip.speed * 1e-3 * (1.0 + 1e-6);
    finding.must(tick <= most, || format!("{:.4} mm in one tick", tick * 1e3));
    if size > profile.motion.anchor_max.distance_m {
        let latched = record.first(Stage::Latched).is_some();
        finding.must(latched, || "a step of 50 mm was followed".to_owned());
        // Whatever it did before the step came, it then stopped: blind motion and braking.
        let farthest = record.displaced();
        finding.must(farthest <= 0.02, || format!("{:.2} mm", farthest * 1e3));
        finding.figure("displaced_mm", farthest * 1e3);
    }
    record.at_most(Stage::Latched, &mut finding);
    finding.figure("most_in_a_tick_mm", tick * 1e3);
    Ok(finding)
}

/// A18: a drift out of the work volume: fast to the wall, then 0.1 mm/s against it.
pub fn drift(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &["ideal", "city-5g-sa"], &HANDS);
    let mut dice = Dice::new(seed, 18);
    let toward = direction(&mut dice);
    let mut trial = Trial::begin(&plan)?;
    let began = trial.now();
    let walk = move |at: Micros| {
        let seconds = at.saturating_sub(began).as_secs_f64();
        let fast = 0.06 * seconds.min(4.5);
        toward * (fast + 0.1e-3 * (seconds - 4.5).max(0.0)) / longhand_leader::DEFAULT_SCALE
    };
    // By the surgeon's own hand, so that every rule of the leader sees it too.
    trial.meddle(AtHand(move |at: Micros, sample: &mut HandSample| {
        for arm in ArmId::ALL {
            let hand = sample.hands.get_mut(arm);
            hand.pose = Pose::new(hand.pose.position() + walk(at), hand.pose.rotation());
        }
    }));
    trial.run(7_000);
    let record = trial.end();
    let mut finding = record.finding();
    let limited = record.moments.iter().any(|moment| moment.limited);
    finding.must(limited, || "it never came to a wall".to_owned());
    record.at_most(Stage::Latched, &mut finding);
    finding.figure("displaced_mm", record.displaced() * 1e3);
    Ok(finding)
}

/// So long after the word can be there the console has to have noticed. Source: A20.
const TOLD_WITHIN: Micros = Micros::from_millis(100);

/// A20: a proxy with keys turns x round, makes ten of one, and opens the jaw that should close.
pub fn manipulated(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &ANY, &MOVING);
    let kind = seed % 3;
    let mut from: Option<PerArm<Vector3<f64>>> = None;
    let mut trial = Trial::begin(&plan)?;
    trial.world().console().ignore_altered(false);
    let (first, noticed) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let (changed, sees) = (Rc::clone(&first), Rc::clone(&noticed));
    let change = rewrite(move |_, command| {
        let said = command.intent;
        let arms = &mut command.intent.arms;
        let places = PerArm::from_fn(|arm| arms.get(arm).servo_cp.position());
        let from = *from.get_or_insert(places);
        for arm in ArmId::ALL {
            let (one, origin) = (arms.get_mut(arm), from.get(arm));
            let gone = one.servo_cp.position() - origin;
            let turned = match kind {
                0 => Vector3::new(-gone.x, gone.y, gone.z),
                1 => gone * 10.0,
                _ => gone,
            };
            let inside = (origin + turned).map(|x| x.clamp(-0.9, 0.9));
            one.servo_cp = Pose::new(inside, one.servo_cp.rotation());
            one.jaw = if kind == 2 { 1.0 - one.jaw } else { one.jaw };
        }
        if changed.get().is_none() && command.intent != said {
            changed.set(Some(command.number.get()));
        }
    });
    trial.meddle(Change::new(trial.witness(), change));
    trial.meddle(Behind(move |at, world: &mut World| {
        let altered = world.console().session().is_some_and(|session| session.altered() > 0);
        if altered && sees.get().is_none() {
            sees.set(Some(at));
        }
    }));
    trial.run(2_500);
    let record = trial.end();
    let mut finding = record.finding();
    record.at_most(Stage::Latched, &mut finding);
    let used = |number: u64| record.moments.iter().find(|moment| moment.number >= number);
    if let Some(used) = first.get().and_then(used) {
        // The word that it was used has to come back.
        let due = used.at.saturating_add(used.loop_age).saturating_add(TOLD_WITHIN);
        let soon = noticed.get().is_some_and(|at| at <= due);
        finding.must(soon, || format!("noticed at {:?}, used at {}", noticed.get(), used.at));
        let took = noticed.get().map_or(Micros::MAX, |at| at.saturating_sub(used.at));
        finding.figure("noticed_after_ms", took.as_secs_f64() * 1e3);
    }
    finding.figure("fastest_mm_s", record.fastest() * 1e3);
    Ok(finding)
}

/// A22: the pedal flaps at 50 Hz.
pub fn flapping(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut trial = Trial::begin(&plan)?;
    let until = trial.now().saturating_add(Micros::from_secs(4));
    trial.meddle(AtHand(move |at: Micros, sample: &mut HandSample| {
        if at < until {
            sample.operator_present = (at.as_micros() / 10_000).is_multiple_of(2);
        }
    }));
    trial.run(4_000);
    let moved = trial.end();
    let mut finding = moved.finding();
    let brakes = moved.steps(|from, to| from <= Stage::Coast && to > Stage::Coast);
    let back = moved.steps(|_, to| to == Stage::Follow);
    finding.must(brakes <= 1, || format!("it braked {brakes} times in 4 s"));
    finding.must(back == 0, || format!("it engaged {back} times while the pedal flapped"));
    finding.must(moved.first(Stage::Latched).is_some(), || "it never latched".to_owned());
    moved.at_most(Stage::Latched, &mut finding);
    finding.figure("brakes", float(brakes));
    Ok(finding)
}

/// A23: energy is held on while the link dies.
pub fn energy(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 23);
    let mut trial = Trial::begin(&plan)?;
    trial.meddle(AtHand(|_, sample: &mut HandSample| {
        sample.energy = PerArm { psm1: true, psm2: true };
    }));
    trial.run(dice.below(300).saturating_add(500));
    let cut = trial.now();
    if let Some(path) = trial.world().carrier().path(0) {
        let _room_for_one =
            path.black_hole(Directions::Both, link_clock(cut), Micros::from_secs(9));
    }
    trial.run(1_000);
    let record = trial.end();
    let mut finding = record.finding();
    let burned = record.moments.iter().any(|moment| moment.energy && moment.at < cut);
    finding.must(burned, || "energy was never on: nothing to take away".to_owned());
    let last_on = record.moments.iter().rev().find(|moment| moment.energy);
    let age = last_on.map_or(Micros::ZERO, |moment| moment.age);
    let off_after = plan.profile().stages.energy_off_after;
    finding.must(age <= off_after, || format!("energy on at age {age}"));
    // Before motion stops: the last tick with energy is not after the last one with motion.
    let mut pairs = record.moments.iter().zip(record.moments.iter().skip(1));
    let moved = pairs.rfind(|(a, b)| a.apart(b) > 1e-9).map(|(_, b)| b.at);
    let on_at = last_on.map(|moment| moment.at);
    finding.must(on_at <= moved, || format!("energy until {on_at:?}, motion until {moved:?}"));
    finding.figure("energy_age_max_ms", age.as_millis_f64());
    Ok(finding)
}

/// A24: the pedal is wedged, and the tracked hand lies on its rest and does not move at all.
pub fn dead_man(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut trial = Trial::begin(&plan)?;
    let mut frozen: Option<HandSample> = None;
    trial.meddle(AtHand(move |_, sample: &mut HandSample| {
        sample.hands = frozen.get_or_insert(*sample).hands;
        sample.nature = Nature::Tracked;
        sample.operator_present = true;
    }));
    let began = trial.now();
    trial.run(4_600);
    let record = trial.end();
    let mut finding = record.finding();
    let warned = record.advisories.contains(&Advisory::HandStill);
    finding.must(warned, || "nobody told the surgeon".to_owned());
    let paused = record.first(Stage::Latched).map(|moment| moment.at.saturating_sub(began));
    finding.must(paused.is_some_and(|after| after <= Micros::from_millis(2_600)), || {
        "a wedged pedal over a frozen hand still counts as a surgeon after 2.6 s".to_owned()
    });
    let last = record.moments.last().map(|moment| moment.stage);
    finding.must(last == Some(Stage::Latched), || format!("and then it is in {last:?}"));
    record.at_most(Stage::Latched, &mut finding);
    finding.figure("paused_after_ms", paused.map_or(0.0, Micros::as_millis_f64));
    Ok(finding)
}

/// A35: something below the last check adds to what is written to one drive.
pub fn below_checks(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 35);
    // 2 to 20 mrad at one of the first two joints: 0.2 to 2 mm at the tip.
    let mut offset = JointPositions::default();
    let joint = dice.index(2);
    if let Some(value) = offset.0.get_mut(joint) {
        *value = dice.between(0.002, 0.020);
    }
    let mut trial = Trial::begin(&plan)?;
    let broken = Broken { written_offset: offset, ..Broken::default() };
    let began = trial.now();
    trial.world().servo().arms_mut().psm1.set_broken(broken);
    trial.run(300);
    let record = trial.end();
    let mut finding = record.finding();
    let stray = record.moments.iter().map(|moment| moment.stray_m).fold(0.0, f64::max);
    let held = record.first(Stage::Hold).map(|moment| moment.at.saturating_sub(began));
    let soon = held.is_some_and(|after| after <= TICK.saturating_mul(3));
    finding.must(soon, || match held {
        None => format!("{:.2} mm beside what was decided, and nobody noticed", stray * 1e3),
        Some(after) => format!("{:.2} mm beside, noticed after {after}", stray * 1e3),
    });
    finding.figure("beside_mm", stray * 1e3);
    Ok(finding)
}
