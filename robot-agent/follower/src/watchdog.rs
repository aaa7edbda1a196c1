//! The watchdog: how fresh is what we act on?
//!
//! Knows: ages and their thresholds. Does not know: what follows (`supervisor`), or why a command
//! is late (`playout`).
//!
//! Freshness is stamped where the hand is sampled, carried unaltered, and judged here, where the
//! joint value is written. Nothing but a command can satisfy this watchdog: there is no heartbeat
//! that could outlive the thing it vouches for (safety.md section 0, finding 2).

use crate::playout::Pick;
use crate::profile::StageLimits;
use longhand_protocol::units::Micros;

/// How fresh the newest command is. In rising severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Its turn was at most `coast_after` ago.
    Fresh,
    /// Older than `coast_after`.
    Late,
    /// Older than `brake_after`, or than the command's own `valid_for`.
    Silent,
    /// Older than `hold_after`.
    Lost,
    /// As old as `latch_after`, or no command of this session had its turn yet.
    Gone,
    /// As old as `bedside_after`.
    Expired,
}

/// What the watchdog found in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How fresh the newest command is.
    pub freshness: Freshness,
    /// The surgeon's view plus the command are older than the profile allows.
    pub loop_too_old: bool,
    /// Energy may be on as far as age goes.
    pub energy_fresh: bool,
    /// Time since the newest command had its turn.
    pub age: Micros,
    /// Age of view plus command.
    pub loop_age: Micros,
}

/// Judges ages; remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    limits: StageLimits,
}

impl Watchdog {
    /// A watchdog with these thresholds.
    pub const fn new(limits: StageLimits) -> Self {
        Self { limits }
    }

    /// Judges one tick's pick. Without one there is no lease that could expire, and no motion.
    pub fn judge(&self, pick: Option<&Pick>) -> Verdict {
        let Some(pick) = pick else {
            return Verdict {
                freshness: Freshness::Gone,
                loop_too_old: true,
                energy_fresh: false,
                age: Micros::MAX,
                loop_age: Micros::MAX,
            };
        };
        Verdict {
            freshness: self.freshness(pick.age, pick.valid_for),
            loop_too_old: pick.loop_age > self.limits.loop_age_max,
            energy_fresh: pick.age <= self.limits.energy_off_after,
            age: pick.age,
            loop_age: pick.loop_age,
        }
    }

    fn freshness(&self, age: Micros, valid_for: Micros) -> Freshness {
        let s = &self.limits;
        if age >= s.bedside_after {
            Freshness::Expired
        } else if age >= s.latch_after {
            Freshness::Gone
        } else if age > s.hold_after {
            Freshness::Lost
        } else if age > s.brake_after || age > valid_for {
            Freshness::Silent
        } else if age > s.coast_after {
            Freshness::Late
        } else {
            Freshness::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use longhand_protocol::units::TICK;

    #[test]
    fn every_threshold_a_tick_before_on_and_after() {
        let s = Profile::DEFAULT.stages;
        let dog = Watchdog::new(s);
        let at = |age| dog.freshness(age, Micros::MAX);
        let tick_before = |m: Micros| m.saturating_sub(TICK);
        let tick_after = |m: Micros| m.saturating_add(TICK);
        use Freshness as F;
        for (bound, before, on, after) in [
            (s.coast_after, F::Fresh, F::Fresh, F::Late),
            (s.brake_after, F::Late, F::Late, F::Silent),
            (s.hold_after, F::Silent, F::Silent, F::Lost),
            (s.latch_after, F::Lost, F::Gone, F::Gone),
            (s.bedside_after, F::Gone, F::Expired, F::Expired),
        ] {
            assert_eq!(at(tick_before(bound)), before, "before {bound}");
            assert_eq!(at(bound), on, "on {bound}");
            assert_eq!(at(tick_after(bound)), after, "after {bound}");
        }
    }

    #[test]
    fn a_command_is_not_used_beyond_its_own_validity() {
        let dog = Watchdog::new(Profile::DEFAULT.stages);
        let age = Micros::from_millis(2);
        assert_eq!(dog.freshness(age, Micros::from_millis(1)), Freshness::Silent);
    }

    #[test]
    fn no_command_at_all_is_gone() {
        let verdict = Watchdog::new(Profile::DEFAULT.stages).judge(None);
        assert_eq!(verdict.freshness, Freshness::Gone);
        assert!(verdict.loop_too_old && !verdict.energy_fresh);
    }
}
