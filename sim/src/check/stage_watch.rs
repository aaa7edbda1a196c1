//! What may follow what, and what must have been true before motion came back.
//!
//! Knows: stages, how long the link was good, when the pedal was seen up. Does not know: the
//! supervisor; this is a second opinion on the same page of the design.

use super::arm_watch::ArmWatch;
use super::{Found, Invariant, Seen, rule};
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, TICK};

/// Which stage followed which, and how many ticks each lasted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    counts: [[u64; 8]; 8],
    ticks: [u64; 8],
}

fn index(stage: Stage) -> usize {
    Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0)
}

impl Transitions {
    /// How often `to` followed `from`.
    pub fn count(&self, from: Stage, to: Stage) -> u64 {
        self.counts.get(index(from)).and_then(|row| row.get(index(to))).copied().unwrap_or(0)
    }

    /// How many ticks were spent in a stage.
    pub fn ticks(&self, stage: Stage) -> u64 {
        self.ticks.get(index(stage)).copied().unwrap_or(0)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        let rows = self.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
        let ticks = self.ticks.iter_mut().zip(&other.ticks);
        rows.chain(ticks).for_each(|(sum, one)| *sum = sum.saturating_add(*one));
    }

    fn note(&mut self, from: Stage, to: Stage) {
        let cell = self.counts.get_mut(index(from)).and_then(|row| row.get_mut(index(to)));
        if let Some(cell) = cell.filter(|_| from != to) {
            *cell = cell.saturating_add(1);
        }
        if let Some(ticks) = self.ticks.get_mut(index(to)) {
            *ticks = ticks.saturating_add(1);
        }
    }

    /// Every step that may be, by the design: the table the campaign reports its coverage over.
    pub fn allowed() -> impl Iterator<Item = (Stage, Stage)> {
        let pairs = |from: Stage| Stage::ALL.into_iter().map(move |to| (from, to));
        Stage::ALL.into_iter().flat_map(pairs).filter(|(from, to)| from != to && may(*from, *to))
    }
}

/// I15: up at once, down one step at a time, along the one way that the design gives.
fn may(from: Stage, to: Stage) -> bool {
    use Stage as S;
    match from {
        S::Follow | S::Coast | S::Brake | S::Hold => {
            let down = matches!(
                (from, to),
                (S::Coast, S::Follow) | (S::Brake, S::Coast) | (S::Hold, S::Follow)
            );
            to >= from && !(from == S::Hold && to == S::Brake) || down
        }
        S::Latched => to >= S::Latched || to == S::Hold,
        S::Bedside => to >= S::Bedside || to == S::Latched,
        S::SafeOff => to >= S::SafeOff,
        S::Disabled => matches!(to, S::Disabled | S::Bedside | S::SafeOff),
    }
}

/// Watches the stages.
#[derive(Clone, Debug, Default)]
pub(super) struct StageWatch {
    /// `None` before the first tick.
    stage: Option<Stage>,
    transitions: Transitions,
    good_since: Option<Instant<Robot>>,
    /// Since Latched began, and by the session that is in use: the pedal was seen up.
    seen_up: bool,
    /// The session that was in use at the last tick.
    epoch: Option<Epoch>,
    /// The session whose lease ended last.
    ended: Option<Epoch>,
}

impl StageWatch {
    pub(super) const fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    pub(super) fn look(
        &mut self,
        seen: &Seen<'_>,
        profile: &Profile,
        arms: &PerArm<ArmWatch>,
    ) -> Found {
        let to = seen.tick.output.state.stage;
        let from = self.stage.replace(to).unwrap_or(to);
        self.transitions.note(from, to);
        let limits = &profile.stages;
        if to == Stage::Follow {
            let bound = limits.coast_after.saturating_add(TICK);
            rule(seen.age <= bound, Invariant::I01, || format!("Follow at age {}", seen.age))?;
            rule(seen.tick.output.state.loop_age <= limits.loop_age_max, Invariant::I01, || {
                format!("Follow at loop age {}", seen.tick.output.state.loop_age)
            })?;
        }
        self.silence(to, seen, profile)?;
        rule(may(from, to), Invariant::I15, || format!("{} after {}", to.name(), from.name()))?;
        self.bedside_only(from, to, seen)?;
        self.lease(from, to, seen)?;
        self.back_to_motion(from, to, seen, profile, arms)?;
        let missed = seen.missed > u64::from(limits.missed_ticks_max);
        rule(!missed || to >= Stage::SafeOff, Invariant::I19, || {
            format!("{} ticks never ran, and the stage is {}", seen.missed, to.name())
        })
    }

    /// I10: a long silence needs the surgeon's word, a longer one ends the lease.
    fn silence(&self, to: Stage, seen: &Seen<'_>, profile: &Profile) -> Found {
        if seen.used.is_none() {
            return Ok(());
        }
        let slack = TICK.saturating_mul(2);
        let rows = [
            (profile.stages.latch_after, Stage::Latched),
            (profile.stages.bedside_after, Stage::Bedside),
        ];
        for (after, least) in rows {
            let due = seen.age >= after.saturating_add(slack);
            rule(!due || to >= least, Invariant::I10, || {
                format!("{} after {} of silence", to.name(), seen.age)
            })?;
        }
        Ok(())
    }

    /// I03: Bedside ends the lease; what its session says moves nothing any more.
    fn lease(&mut self, from: Stage, to: Stage, seen: &Seen<'_>) -> Found {
        let epoch = seen.used.map(|used| used.epoch());
        if to == Stage::Bedside && from < Stage::Bedside {
            self.ended = self.ended.max(epoch).max(self.epoch);
        }
        let Some(epoch) = epoch.filter(|_| to <= Stage::Hold) else { return Ok(()) };
        rule(Some(epoch) > self.ended, Invariant::I03, || {
            format!("{} by epoch {}, whose lease has ended", to.name(), epoch.get())
        })
    }

    /// What only a person beside the robot may do.
    fn bedside_only(&self, from: Stage, to: Stage, seen: &Seen<'_>) -> Found {
        let asked = seen.tick.request;
        let by = |request: Request| asked == Some(request);
        let (holds, invariant) = match (from, to) {
            (Stage::SafeOff, Stage::Disabled) => {
                (by(Request::Restart) && !seen.tick.emergency_stop, Invariant::I28)
            }
            (Stage::Disabled, Stage::Bedside) => (by(Request::Enable), Invariant::I15),
            (Stage::Bedside, Stage::Latched) => (by(Request::HandOver), Invariant::I15),
            _ => return Ok(()),
        };
        rule(holds, invariant, || {
            format!("{} to {} and nobody at the bedside asked", from.name(), to.name())
        })
    }

    /// I14: the link was good for long enough, the pedal was seen up, the arms are aligned.
    fn back_to_motion(
        &mut self,
        from: Stage,
        to: Stage,
        seen: &Seen<'_>,
        profile: &Profile,
        arms: &PerArm<ArmWatch>,
    ) -> Found {
        let now = seen.tick.now;
        let fresh = seen.age <= profile.stages.coast_after.saturating_add(TICK);
        let good_for = self.good_since.map_or(Micros::ZERO, |since| now.since(since));
        self.good_since = if fresh { self.good_since.or(Some(now)) } else { None };
        let engaged = (from, to) == (Stage::Latched, Stage::Hold);
        let rejoined = (from, to) == (Stage::Hold, Stage::Follow);
        if engaged || rejoined {
            let limits = &profile.stages;
            let needed = if engaged { limits.reengage_good } else { limits.rejoin_good };
            let slack = TICK.saturating_mul(2);
            rule(good_for.saturating_add(slack) >= needed, Invariant::I14, || {
                format!("to {} after {good_for} of good link", to.name())
            })?;
            let present = seen.used.is_some_and(|used| used.levels.operator_present);
            rule(present, Invariant::I14, || "engaged without a pedal".to_owned())?;
            let motion = &profile.motion;
            let bound = if engaged { motion.align_max } else { motion.blend_max };
            self.aligned(seen, bound.distance_m, bound.angle_rad, arms)?;
        }
        if engaged {
            rule(self.seen_up && self.same_session(seen), Invariant::I14, || {
                "engaged, and the pedal was never seen up since".to_owned()
            })?;
        }
        let epoch = seen.used.map(|used| used.epoch());
        // Another foot is on the pedal.
        let another = epoch.is_some() && self.epoch.replace(epoch.unwrap_or(Epoch::ZERO)) != epoch;
        let entered = another || to == Stage::Latched && from != Stage::Latched;
        let up = seen.used.is_some_and(|used| !used.levels.operator_present);
        self.seen_up = (self.seen_up && !entered) || (to == Stage::Latched && up);
        Ok(())
    }

    fn same_session(&self, seen: &Seen<'_>) -> bool {
        seen.used.is_some_and(|used| Some(used.epoch()) == self.epoch)
    }

    fn aligned(
        &self,
        seen: &Seen<'_>,
        distance: f64,
        angle: f64,
        arms: &PerArm<ArmWatch>,
    ) -> Found {
        let Some(used) = seen.used else { return Ok(()) };
        for arm in ArmId::ALL {
            // A goal beyond a wall is judged where the wall is.
            if seen.tick.output.state.arms.get(arm).limited {
                continue;
            }
            let Some(tip) = arms.get(arm).tip() else { continue };
            let goal = used.goal.get(arm);
            let off = (goal.position() - tip.position).norm();
            let turned = tip.angle_to(&goal.rotation());
            // What is in use may lie between two commands, a hand's millisecond apart.
            rule(off <= distance + 0.2e-3 && turned <= angle + 4e-3, Invariant::I14, || {
                format!("{arm:?} is {:.3} mm and {turned:.4} rad off its goal", off * 1e3)
            })?;
        }
        Ok(())
    }
}
