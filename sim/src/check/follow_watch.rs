//! One arm against its goal: does the tip do what it was asked, and does motion come back gently?
//!
//! Knows: the goal of the command in use, where the tip was told to be. Does not know: how a tip is
//! brought to a goal.

use super::arm_watch::ArmWatch;
use super::dh::TipAt;
use super::{Found, Invariant, Seen, rule};
use longhand_follower::profile::{Profile, RateLimits};
use longhand_protocol::geometry::{ArmId, Mismatch, Pose, RobotBase, Tip};
use longhand_protocol::message::Stage;
use longhand_protocol::units::Seq;
use nalgebra::Vector3;

/// So many ticks after a stop, a wall, a slow view or a fast joint the tip may still be on its way.
/// Chosen: a blend, and ten times what a tip takes to come to its goal.
const SETTLED: u32 = 600;
/// A goal that kept so still for [`SETTLED`] stands. Chosen: a tremor's share at the tip.
const STILL_M: f64 = 0.05e-3;
const STILL_RAD: f64 = 2e-3;
/// A joint faster than this share of its limit slows the tip. Chosen: below where it begins to.
const LOADED: f64 = 0.6;
/// A tip that follows is never so far behind. Chosen: what the leader lets a hand run ahead of its
/// goal (10 mm), and what a goal at full speed runs ahead in a blend; far below a tip that turns
/// away.
const BEHIND_M: f64 = 20e-3;
const BEHIND_RAD: f64 = 0.35;

/// Off its goal by more than this, a tip that follows comes nearer. Chosen: far above what it
/// trembles.
const OFF_M: f64 = 0.1e-3;
const OFF_RAD: f64 = 2e-3;
/// It may go away for less than this many ticks: a goal that turned round. Chosen: ten times what
/// the tip takes to take a speed on.
const AWAY: u32 = 50;
/// And by less than this. Chosen: what a tip at full speed goes on until it stands, 25 ms at 5 m/s2
/// and 1000 m/s3, while its goal has turned round and goes the other way as fast.
const GROWN_M: f64 = 4e-3;
const GROWN_RAD: f64 = 0.08;
/// A command that is in use for more ticks than this has a hole behind it. Chosen: a tick late, and
/// one more.
const HOLE: u32 = 2;

/// A three-vector that is off its goal.
#[derive(Clone, Copy, Debug, Default)]
struct Off {
    ticks: u32,
    /// How far off it was at first, and how much nearer it came by its own motion; metres, radians.
    first: f64,
    nearer: f64,
}

impl Off {
    /// A tick on: `gap` to the goal, and the step that was made. Whether it goes away.
    fn goes_away(
        &mut self,
        gap: &Vector3<f64>,
        step: &Vector3<f64>,
        (least, grown): (f64, f64),
    ) -> bool {
        let far = gap.norm();
        if far <= least {
            *self = Self::default();
            return false;
        }
        if self.ticks == 0 {
            self.first = far;
        }
        self.ticks = self.ticks.saturating_add(1);
        self.nearer += step.dot(gap) / far;
        self.ticks >= AWAY && far - self.first > grown && self.nearer < -grown
    }
}

/// How a three-vector came back to motion.
#[derive(Clone, Copy, Debug, Default)]
struct Return {
    /// Speed and acceleration when it did.
    speed: f64,
    acceleration: f64,
}

/// Watches one arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FollowWatch {
    moves: bool,
    ticks: u32,
    linear: Return,
    angular: Return,
    /// Nothing has stood in the tip's way for so many ticks.
    free_for: u32,
    /// Where the goal has kept still, and for how many ticks.
    goal: Option<Pose<RobotBase, Tip>>,
    still_for: u32,
    number: Seq,
    held_for: u32,
    tip: Option<TipAt>,
    off: Off,
    turned: Off,
}

impl FollowWatch {
    /// I06, of blends: after a stop the pull of the goal rises over `blend_over`.
    pub(super) fn blend(
        &mut self,
        arm: ArmId,
        seen: &Seen<'_>,
        watch: &ArmWatch,
        profile: &Profile,
    ) -> Found {
        let moves = seen.tick.output.state.stage <= Stage::Coast;
        let before = std::mem::replace(&mut self.moves, moves);
        if !moves {
            let of = |(speed, acceleration)| Return { speed, acceleration };
            (self.linear, self.angular) = (of(watch.linear()), of(watch.angular()));
        }
        self.ticks = if moves && before { self.ticks.saturating_add(1) } else { 1 };
        let over = profile.stages.blend_over.as_secs_f64() * 1e3;
        if !moves || f64::from(self.ticks) >= over {
            return Ok(());
        }
        let u = f64::from(self.ticks) / over;
        let share = u * u * (3.0 - 2.0 * u);
        let motion = &profile.motion;
        let rows = [
            (watch.linear().0, &self.linear, &motion.tip, "tip"),
            (watch.angular().0, &self.angular, &motion.rotation, "rotation"),
        ];
        for (speed, from, most, what) in rows {
            let bound = from.most(share, most);
            rule(speed <= bound, Invariant::I06, || {
                let ticks = self.ticks;
                format!("{arm:?}'s {what} at {speed} after {ticks} ms of blend, at most {bound}")
            })?;
        }
        Ok(())
    }

    /// I24: the tip is where the surgeon asked, at once where the goal stands, and never far behind
    /// where nothing slows it.
    pub(super) fn at_goal(
        &mut self,
        arm: ArmId,
        seen: &Seen<'_>,
        watch: &ArmWatch,
        profile: &Profile,
    ) -> Found {
        let state = &seen.tick.output.state;
        let (Some(used), Some(tip)) = (seen.used, watch.tip()) else { return Ok(()) };
        let goal = used.goal.get(arm);
        let free = state.stage == Stage::Follow
            && state.loop_age <= profile.stages.loop_age_warn
            && !state.arms.get(arm).limited
            && watch.joint_load(profile) < LOADED;
        self.free_for = if free { self.free_for.saturating_add(1) } else { 0 };
        let still = Mismatch { distance_m: STILL_M, angle_rad: STILL_RAD };
        let stands = self.goal.is_some_and(|stood| stood.mismatch(goal).within(still));
        self.still_for = if stands { self.still_for.saturating_add(1) } else { 0 };
        if !stands {
            self.goal = Some(*goal);
        }
        self.nearer(arm, &seen.tick.output.state.echo.number, goal, tip)?;
        if self.free_for < SETTLED {
            return Ok(());
        }
        let off = (goal.position() - tip.position).norm();
        let turned = tip.angle_to(&goal.rotation());
        let blend = &profile.motion.blend_max;
        // In a hole the arm is on its way to a goal that is not in use yet, here too.
        let (far, wide) = if self.still_for < SETTLED || self.held_for > HOLE {
            (BEHIND_M, BEHIND_RAD)
        } else {
            (blend.distance_m, blend.angle_rad)
        };
        rule(off <= far && turned <= wide, Invariant::I24, || {
            let off = off * 1e3;
            format!(
                "{arm:?} is {off:.3} mm and {turned:.4} rad off a goal that it is free to reach"
            )
        })
    }
}

impl FollowWatch {
    /// I24: a tip that is off its goal does not go away from it.
    fn nearer(
        &mut self,
        arm: ArmId,
        number: &Seq,
        goal: &Pose<RobotBase, Tip>,
        tip: &TipAt,
    ) -> Found {
        let before = self.tip.replace(*tip);
        // In a hole the arm is on its way to a goal that is not in use yet.
        let same = std::mem::replace(&mut self.number, *number) == *number;
        self.held_for = if same { self.held_for.saturating_add(1) } else { 0 };
        let Some(before) = before.filter(|_| self.free_for > AWAY && self.held_for <= HOLE) else {
            (self.off, self.turned) = (Off::default(), Off::default());
            return Ok(());
        };
        let gap = goal.position() - before.position;
        let turn = before.turn_to(&goal.rotation());
        let away = self.off.goes_away(&gap, &(tip.position - before.position), (OFF_M, GROWN_M))
            || self.turned.goes_away(&turn, &tip.turn_from(&before), (OFF_RAD, GROWN_RAD));
        rule(!away, Invariant::I24, || {
            let (off, turned) = (gap.norm() * 1e3, turn.norm());
            format!(
                "{arm:?} is {off:.3} mm and {turned:.4} rad off its goal, and goes away from it"
            )
        })
    }
}

impl Return {
    /// How fast it may be when this share of the goal's pull is let through. What acceleration
    /// there was has to be taken off first, at the jerk limit.
    fn most(&self, share: f64, most: &RateLimits) -> f64 {
        let ease = self.acceleration * self.acceleration / (2.0 * most.jerk);
        let whole_ticks = 2e-3 * self.acceleration + 1e-3 * most.speed;
        (1.0 - share) * self.speed + share * most.speed + ease + whole_ticks
    }
}
