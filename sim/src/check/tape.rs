//! The last ticks before something went wrong, as lines.
//!
//! Knows: what a person who looks for a mistake wants to see. Does not know: what is a mistake.

use super::Seen;
use super::arm_watch::ArmWatch;
use longhand_protocol::geometry::{ArmId, PerArm};
use longhand_protocol::message::{Reason, Stage};
use longhand_protocol::units::Micros;
use nalgebra::Vector3;
use std::collections::VecDeque;
use std::fmt;

/// Ticks kept. Source: the issue.
const KEPT: usize = 50;

/// The last ticks.
#[derive(Clone, Debug, Default)]
pub struct Tape(VecDeque<Line>);

#[derive(Clone, Copy, Debug)]
struct Line {
    at: Micros,
    stage: Stage,
    reason: Reason,
    age: Micros,
    own_age: Micros,
    loop_age: Micros,
    number: u64,
    inbox: usize,
    present: bool,
    tips: PerArm<Vector3<f64>>,
    speeds: PerArm<f64>,
}

impl Tape {
    pub(super) fn keep(&mut self, seen: &Seen<'_>, arms: &PerArm<ArmWatch>) {
        let state = &seen.tick.output.state;
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Line {
            at: seen.tick.at,
            stage: state.stage,
            reason: state.reason,
            age: state.age,
            own_age: seen.age,
            loop_age: state.loop_age,
            number: state.echo.number.get(),
            inbox: seen.tick.inbox.len(),
            present: seen.used.as_ref().is_some_and(|used| used.levels.operator_present),
            tips: PerArm::from_fn(|arm| state.arms.get(arm).setpoint_cp.position()),
            speeds: PerArm::from_fn(|arm| arms.get(arm).speed()),
        });
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>12} {:<8} {:<14} {:>9} {:>9} {:>9} {:>8} {:>3} {:<5} {:>28} {:>8} {:>28} {:>8}",
            "at",
            "stage",
            "reason",
            "age",
            "own age",
            "loop age",
            "command",
            "new",
            "pedal",
            "PSM1 tip mm",
            "mm/s",
            "PSM2 tip mm",
            "mm/s"
        )?;
        for line in &self.0 {
            write!(
                f,
                "{:>12} {:<8} {:<14} {:>9} {:>9} {:>9} {:>8} {:>3} {:<5}",
                line.at.to_string(),
                line.stage.name(),
                line.reason.name(),
                line.age.to_string(),
                line.own_age.to_string(),
                line.loop_age.to_string(),
                line.number,
                line.inbox,
                if line.present { "down" } else { "up" }
            )?;
            for arm in ArmId::ALL {
                let p = line.tips.get(arm) * 1e3;
                let tip = format!("{:.4} {:.4} {:.4}", p.x, p.y, p.z);
                write!(f, " {tip:>28} {:>8.3}", line.speeds.get(arm) * 1e3)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
