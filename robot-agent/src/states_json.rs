//! What the robot did, one JSON object a line, for programs: `run --states-json FILE`.
//!
//! Knows: which states are worth a line, and what a line says. Does not know: why a stage changed.
//! It sees the states on the watch thread, so nothing real-time ever waits for the file.
//!
//! A line at every change of stage or reason, and one every [`LINE_EVERY`] of robot time between.
//! Lengths are millimetres in each arm's base frame; times are microseconds of the robot's clock.

use crate::agent::Observer;
use longhand_protocol::message::{ArmState, FollowerState, Reason, Stage};
use longhand_protocol::units::{Instant, Micros, Robot};
use serde_json::json;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Chosen: ten lines a second show a person that it lives and a program that the tip stands, and
/// are 10 MB an hour at most.
pub const LINE_EVERY: Micros = Micros::from_millis(100);

/// An observer that writes to `path`, over what was there.
///
/// Errors: the file cannot be made. One that cannot be written to later is told in the log, once.
pub fn observer(path: &Path) -> io::Result<Observer> {
    let mut file = Some(File::create(path)?);
    let mut last: Option<(Stage, Reason, Instant<Robot>)> = None;
    Ok(Box::new(move |state| {
        let is_due = last.is_none_or(|(stage, reason, at)| {
            stage != state.stage
                || reason != state.reason
                || state.robot_time.since(at) >= LINE_EVERY
        });
        let Some(out) = file.as_mut().filter(|_| is_due) else { return };
        last = Some((state.stage, state.reason, state.robot_time));
        // One write a line, so that a reader never meets half of one.
        if let Err(error) = out.write_all(line(state).as_bytes()) {
            tracing::error!("the states can no longer be written: {error}");
            file = None;
        }
    }))
}

fn line(state: &FollowerState) -> String {
    let tip = |arm: &ArmState| {
        let at = arm.measured_cp.position() * 1e3;
        [at.x, at.y, at.z]
    };
    let span = |span: Micros| (span != Micros::MAX).then_some(span.as_micros());
    let object = json!({
        "robot_us": state.robot_time.as_micros(),
        "stage": state.stage.name(),
        "operating_state": state.stage.operating_state().name(),
        "reason": state.reason.name(),
        "age_us": span(state.age),
        "loop_age_us": span(state.loop_age),
        "command": state.echo.number.get(),
        "safe_stops": state.counters.safe_stops,
        "tips_mm": [tip(&state.arms.psm1), tip(&state.arms.psm2)],
    });
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_at_every_change_and_every_tenth_of_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states");
        let mut see = observer(&path).unwrap();
        for ms in 0..250 {
            let stage = if ms < 30 { Stage::Follow } else { Stage::Latched };
            let reason = if ms < 40 { Reason::LinkSilent } else { Reason::OperatorAbsent };
            let robot_time = Instant::from_micros(ms * 1_000);
            see(&FollowerState { robot_time, stage, reason, ..FollowerState::default() });
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let at: Vec<u64> = lines.iter().filter_map(|line| line["robot_us"].as_u64()).collect();
        assert_eq!(at, [0, 30_000, 40_000, 140_000, 240_000], "{text}");
        assert_eq!(lines[1]["stage"], "Latched");
        assert_eq!(lines[1]["reason"], "LinkSilent");
        assert_eq!(lines[2]["tips_mm"][1][2], 0.0);
    }
}
