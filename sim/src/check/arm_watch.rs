//! One arm: how it may move, what its jaw and its energy may do.
//!
//! Knows: what the drive was told and what the arm truly did. Does not know: the shaper.

use super::dh::{self, TipAt};
use super::{Found, Invariant, rule};
use longhand_follower::profile::{Profile, RateLimits};
use longhand_protocol::geometry::JointPositions;
use longhand_protocol::message::{ArmState, Levels, Stage};
use longhand_protocol::units::{Micros, TICK};
use longhand_robot_agent::arm::ArmReading;
use nalgebra::Vector3;

/// What one tick brought for one arm.
pub(super) struct ArmSeen<'a> {
    pub(super) stage: Stage,
    pub(super) age: Micros,
    /// The loop stalled for so long that the arm stands already.
    pub(super) stalled: bool,
    pub(super) state: &'a ArmState,
    pub(super) truth: &'a ArmReading,
    /// What the follower decided for this arm: joints, jaw, energy; `None` where it brakes. What
    /// stands between it and the drive is I21's.
    pub(super) decided: Option<(JointPositions, f64, bool)>,
    /// The levels of the command in use, and whether it asks for this arm's energy.
    pub(super) command: Option<(&'a Levels, bool)>,
}

/// How a three-vector has moved: this tick's change, the change of that, and of that.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    velocity: Vector3<f64>,
    acceleration: Vector3<f64>,
    jerk: Vector3<f64>,
}

/// How a setpoint moves: speed, acceleration, jerk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// Of the tip: m/s, m/s2, m/s3.
    pub tip: [f64; 3],
    /// Of its rotation: rad/s, rad/s2, rad/s3.
    pub rotation: [f64; 3],
}

/// Watches one arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArmWatch {
    tip: Option<TipAt>,
    joints: Option<[f64; 6]>,
    /// Each joint's speed and acceleration at the last tick; none before there were two.
    joint_rates: Option<[(f64, f64); 6]>,
    linear: Rates,
    angular: Rates,
    jaw: Option<f64>,
    inside: bool,
    /// Where the tip was when the newest command was fresh, and how fast it has been since.
    fresh: Option<(Vector3<f64>, f64)>,
    /// How fast it was when the silence began that must end its motion, and how often the loop has
    /// turned since.
    silent: Option<(f64, u32)>,
    /// Where it has stood since it came to rest in a hold.
    held: Option<Vector3<f64>>,
    strayed_for: u32,
    left_for: u32,
    held_for: u32,
}

/// Off what it holds for longer than this, and the power is still on: nobody noticed. Chosen: two
/// ticks, as for what a drive is told.
const LEFT_TICKS: u32 = 2;
/// The drives get so long to settle. Chosen: twice what the robot gives them.
const SETTLED_TICKS: u32 = 200;
const DT: f64 = 1e-3;
/// What a difference of sums of 1e-17 may be off after two divisions by a tick. Chosen.
const TINY: f64 = 1e-6;

impl ArmWatch {
    pub(super) const fn tip(&self) -> Option<&TipAt> {
        self.tip.as_ref()
    }

    /// How fast the setpoint moves, m/s.
    pub(super) fn speed(&self) -> f64 {
        self.linear.velocity.norm()
    }

    /// Speed and acceleration of the setpoint: m/s, m/s2.
    pub(super) fn linear(&self) -> (f64, f64) {
        (self.linear.velocity.norm(), self.linear.acceleration.norm())
    }

    /// The same of its rotation: rad/s, rad/s2.
    pub(super) fn angular(&self) -> (f64, f64) {
        (self.angular.velocity.norm(), self.angular.acceleration.norm())
    }

    /// How its setpoint moves.
    pub(super) fn motion(&self) -> Motion {
        let of = |rates: &Rates| [rates.velocity, rates.acceleration, rates.jerk].map(|v| v.norm());
        Motion { tip: of(&self.linear), rotation: of(&self.angular) }
    }

    /// The largest share of its speed limit that any joint uses.
    pub(super) fn joint_load(&self, profile: &Profile) -> f64 {
        let rates = self.joint_rates.unwrap_or_default();
        let rows = rates.iter().zip(profile.joints.speed_max);
        rows.map(|((speed, _), most)| speed.abs() / most).fold(0.0, f64::max)
    }

    pub(super) fn look(&mut self, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        let norm = seen.state.setpoint_cp.rotation().into_inner().norm();
        rule((norm - 1.0).abs() <= 1e-6, Invariant::I07, || format!("quaternion norm {norm}"))?;
        let Some((joints, jaw, energy)) = seen.decided else {
            // With its power off an arm can be pushed anywhere, and begins again from there.
            *self = Self::default();
            return Ok(());
        };
        // The same joints make the same tip.
        let stands = self.joints == Some(joints.0);
        self.joints(&joints.0, seen.stalled, profile)?;
        let tip = self.tip.filter(|_| stands).unwrap_or_else(|| dh::tip(&joints.0));
        self.moved(&tip, seen, profile)?;
        self.volume(&tip, profile)?;
        self.silence(&tip, seen, profile)?;
        self.hold(&tip, seen, profile)?;
        self.jaw(jaw, seen, profile)?;
        self.energy(energy, seen, profile)?;
        self.tip = Some(tip);
        Ok(())
    }

    /// I07: ranges, speeds, accelerations and jerks of the joints, all of it numbers.
    fn joints(&mut self, joints: &[f64; 6], stalled: bool, profile: &Profile) -> Found {
        let limits = &profile.joints;
        let Some(before) = self.joints.replace(*joints) else {
            return within(joints, profile);
        };
        within(joints, profile)?;
        let rest = [(0.0, 0.0); 6];
        let last = if stalled { rest } else { self.joint_rates.unwrap_or(rest) };
        let mut rates = rest;
        let most = limits.speed_max.into_iter().zip(limits.acceleration_max).zip(limits.jerk_max);
        let rows = joints.iter().zip(before).zip(last).zip(&mut rates).zip(most);
        for (index, ((((q, was), (fast, pushed)), now), ((speed, push), jerk))) in rows.enumerate()
        {
            let is = (q - was) / DT;
            let accelerates = (is - fast) / DT;
            let jerks = (accelerates - pushed) / DT;
            *now = (is, accelerates);
            let checks =
                [(is, speed, "speed"), (accelerates, push, "acceleration"), (jerks, jerk, "jerk")];
            for (is, most, what) in checks {
                rule(is.abs() <= most * (1.0 + TINY) + 1e-4, Invariant::I07, || {
                    format!("joint {} {what} {is}, at most {most} (SI units)", index + 1)
                })?;
            }
        }
        self.joint_rates = Some(rates);
        Ok(())
    }

    /// I05, I06: speed, acceleration, jerk of the tip and of its rotation.
    fn moved(&mut self, tip: &TipAt, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        let Some(before) = self.tip else { return Ok(()) };
        if seen.stalled {
            self.linear = Rates::default();
            self.angular = Rates::default();
        }
        let motion = &profile.motion;
        let step = (tip.position - before.position) / DT;
        self.linear.follow(step, &motion.tip, "tip", 1.0)?;
        let turn = tip.turn_from(&before) / DT;
        self.angular.follow(turn, &motion.rotation, "rotation", 1.0)
    }

    /// I08: once inside, always inside.
    fn volume(&mut self, tip: &TipAt, profile: &Profile) -> Found {
        let (low, high) = (profile.volume.low, profile.volume.high);
        let rows = tip.position.iter().zip(low.iter()).zip(high.iter());
        let inside = rows.into_iter().all(|((x, low), high)| *x >= low - TINY && *x <= high + TINY);
        let was = std::mem::replace(&mut self.inside, inside);
        rule(inside || !was, Invariant::I08, || {
            format!("the tip left the work volume at {:?} m", tip.position.as_slice())
        })
    }

    /// I09, I10: how far and for how long it moves on without a command.
    fn silence(&mut self, tip: &TipAt, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        let (motion, stages) = (&profile.motion, &profile.stages);
        let speed = self.speed();
        let moves = seen.stage <= Stage::Brake;
        if seen.age == Micros::ZERO || !moves && self.fresh.is_none() {
            self.fresh = Some((tip.position, speed));
        }
        if let Some((from, fast)) = &mut self.fresh {
            *fast = fast.max(speed);
            let (from, fast) = (*from, *fast);
            let gone = (tip.position - from).norm();
            // Safety.md's v^2/2a + 0.6 mm supposes full braking at once; the jerk limit lets the
            // deceleration rise first, from whatever acceleration there was, which costs up to
            // v a/j more, and ticks are whole.
            let RateLimits { acceleration, jerk, .. } = motion.tip;
            let stop = fast * fast / (2.0 * acceleration) + fast * acceleration / jerk;
            let bound = match seen.stage {
                Stage::Follow => f64::INFINITY,
                Stage::Coast => motion.coast_max.distance_m + 1e-6,
                Stage::Brake
                | Stage::Hold
                | Stage::Latched
                | Stage::Bedside
                | Stage::SafeOff
                | Stage::Disabled => stop + fast * DT + 0.6e-3,
            };
            rule(gone <= bound || seen.age == Micros::ZERO, Invariant::I09, || {
                let (gone, bound) = (gone * 1e3, bound * 1e3);
                format!("{gone:.4} mm since the last fresh command, at most {bound:.4} mm")
            })?;
        }
        if seen.age <= stages.brake_after.saturating_add(TICK) {
            self.silent = None;
            return Ok(());
        }
        // Braking begins with whatever acceleration there was; it is gone within `ease`.
        let RateLimits { acceleration, jerk, .. } = motion.tip;
        let ease = acceleration / jerk;
        let (first, turns) = self.silent.unwrap_or((speed, 0));
        let turns = turns.saturating_add(1);
        self.silent = Some((first, turns));
        let most = first + 0.5 * acceleration * ease + TINY;
        rule(speed <= most, Invariant::I10, || {
            format!("{:.3} mm/s in the silence that began at {:.3}", speed * 1e3, first * 1e3)
        })?;
        // A loop whose time is stolen brakes in as many turns, and goes no farther: I09. Stolen
        // turns are I19's.
        let stop = motion.tip.speed / acceleration + 2.0 * ease + 3.0 * DT;
        rule(f64::from(turns) * DT <= stop || speed <= TINY, Invariant::I10, || {
            format!("{:.3} mm/s after {turns} turns of silence", speed * 1e3)
        })
    }

    /// I12, I24: what holds, holds; what strays is noticed.
    fn hold(&mut self, tip: &TipAt, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        let holding = matches!(seen.stage, Stage::Hold | Stage::Latched | Stage::Bedside);
        let stands = self.speed() <= 0.0;
        if !holding {
            self.held = None;
        } else if stands && self.held.is_none() {
            self.held = Some(tip.position);
        }
        if let Some(held) = self.held {
            let off = (tip.position - held).norm();
            rule(off <= 0.5e-3, Invariant::I12, || {
                format!("told to move {:.4} mm while {}", off * 1e3, seen.stage.name())
            })?;
        }
        let apart = seen.truth.measured_js.0.iter().zip(self.joints.unwrap_or_default());
        // Half a millimetre 25 cm below the remote centre; below it, no forward solution is due.
        let near = apart.into_iter().all(|(is, told)| (is - told).abs() < 5e-4);
        let stray = if near {
            0.0
        } else {
            (dh::tip(&seen.truth.measured_js.0).position - tip.position).norm()
        };
        let slack = 0.2e-3;
        let strays = stray > profile.motion.tracking_error_max + slack;
        let strays = strays && seen.stage < Stage::Latched;
        self.strayed_for = if strays { self.strayed_for.saturating_add(1) } else { 0 };
        rule(self.strayed_for <= 100, Invariant::I24, || {
            format!("{:.3} mm off its setpoint for {} ms", stray * 1e3, self.strayed_for)
        })?;
        // What a sensor hides nobody can notice.
        let shown = seen.state.measured_js.0.iter().zip(seen.truth.measured_js.0);
        let shown = shown.into_iter().all(|(said, is)| (said - is).abs() < 1e-4);
        let settled = self.held_for > SETTLED_TICKS;
        let leaves = settled && shown && stray > profile.motion.hold_error_max + slack;
        self.left_for = if leaves { self.left_for.saturating_add(1) } else { 0 };
        self.held_for = if self.held.is_some() { self.held_for.saturating_add(1) } else { 0 };
        rule(self.left_for <= LEFT_TICKS, Invariant::I12, || {
            format!("{:.3} mm off what it holds for {} ms", stray * 1e3, self.left_for)
        })
    }

    /// I07, I13: it keeps its speed, and opens only while following.
    fn jaw(&mut self, jaw: f64, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        let before = self.jaw.replace(jaw).unwrap_or(jaw);
        let (rate, most) = ((jaw - before).abs() / DT, profile.motion.jaw_rate_max);
        rule(rate <= most * (1.0 + TINY), Invariant::I07, || {
            format!("jaw told to move at {rate} rad/s, at most {most}")
        })?;
        rule(jaw <= before + TINY * DT || seen.stage == Stage::Follow, Invariant::I13, || {
            format!("opened by {} rad in {}", jaw - before, seen.stage.name())
        })
    }

    /// I11: a pedal, a person, a fresh command; else off.
    fn energy(&self, energy: bool, seen: &ArmSeen<'_>, profile: &Profile) -> Found {
        if !energy {
            return Ok(());
        }
        let stage = matches!(seen.stage, Stage::Follow | Stage::Coast);
        let bound = profile.stages.energy_off_after.saturating_add(TICK);
        rule(stage && seen.age <= bound, Invariant::I11, || {
            format!("energy on in {} at age {}", seen.stage.name(), seen.age)
        })?;
        let asked = seen.command.is_some_and(|(levels, energy)| levels.operator_present && energy);
        rule(asked, Invariant::I11, || "energy on that nobody asks for".to_owned())
    }
}

/// Whether every joint is a number and in its range.
fn within(joints: &[f64; 6], profile: &Profile) -> Found {
    let rows = joints.iter().zip(profile.joints.low).zip(profile.joints.high);
    for (index, ((q, low), high)) in rows.enumerate() {
        rule(q.is_finite() && *q >= low && *q <= high, Invariant::I07, || {
            format!("joint {} told {q}, its range is {low} to {high}", index + 1)
        })?;
    }
    Ok(())
}

impl Rates {
    fn follow(
        &mut self,
        velocity: Vector3<f64>,
        most: &RateLimits,
        what: &str,
        unit: f64,
    ) -> Found {
        let acceleration = (velocity - self.velocity) / DT;
        let jerk = (acceleration - self.acceleration) / DT;
        *self = Self { velocity, acceleration, jerk };
        let rows = [
            (velocity.norm(), most.speed, Invariant::I05, "speed"),
            (acceleration.norm(), most.acceleration, Invariant::I06, "acceleration"),
            (jerk.norm(), most.jerk, Invariant::I06, "jerk"),
        ];
        for (is, most, invariant, name) in rows {
            rule(is <= most * unit * (1.0 + 1e-6) + 1e-5, invariant, || {
                format!("{what} {name} {is}, at most {most} (SI units)")
            })?;
        }
        Ok(())
    }
}
