//! What the black box's tap costs the servo thread.
//!
//! Knows: the servo's turn with the arms that ship, and the tap's ring, emptied or full. Does not
//! know: the recorder, whose thread is another, or the servo thread's own timer.

use std::sync::Arc;

use longhand_follower::Follower;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Command, FollowerState, Stage};
use longhand_protocol::units::Seq;
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::record::health::Health;
use longhand_robot_agent::record::tap::{COMMAND_WORDS, RING_WORDS, Tap, Tapped, tap};
use longhand_robot_agent::servo::{HOME, Servo, Turn};

use crate::hand::{ENGAGE_MAX, SteadyHand, bedside, robot_time, session_key};
use crate::harness::{Bound, Goal, Quantile, Recorder, Subject, Unit, compare};
use crate::report::Table;

/// Ticks in one round. Chosen: p99.9 then rests on twenty samples.
const TICKS: u64 = 20_000;

/// The servo's turn without and with the tap, into a ring that somebody empties and into one that
/// is full.
///
/// Errors: a sentence, where the robot did not come to follow, or the histogram could not be
/// made.
pub fn measure(rounds: u32) -> Result<Table, String> {
    let mut rigs = [Tapping::None, Tapping::Emptied, Tapping::Full].map(TapRig::new);
    for rig in &mut rigs {
        rig.engage()?;
    }
    let [mut none, mut emptied, mut full] = rigs;
    let goal: &[Goal] = &[Goal {
        of: Quantile::P50,
        at_most: Bound::TimesFirst(1.15),
        source: "chosen: the copy of 900 bytes is an eighth of a turn of 1.5 us",
    }];
    let subjects = vec![
        Subject {
            name: "Servo::turn, two simulated arms in Follow",
            batch: 1,
            goals: &[],
            round: Box::new(move |r| (0..TICKS).for_each(|_| none.tick(Some(r)))),
        },
        Subject {
            name: "the same, tapped",
            batch: 1,
            goals: goal,
            round: Box::new(move |r| (0..TICKS).for_each(|_| emptied.tick(Some(r)))),
        },
        Subject {
            name: "the same, tapped into a full ring",
            batch: 1,
            goals: goal,
            round: Box::new(move |r| (0..TICKS).for_each(|_| full.tick(Some(r)))),
        },
    ];
    compare("the black box's tap", Unit::Nanos, rounds, subjects).map_err(|e| e.to_string())
}

/// What becomes of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tapping {
    None,
    Emptied,
    Full,
}

/// A servo with the arms that ship, and a hand.
struct TapRig {
    tapping: Tapping,
    servo: Servo<SimulatedPsm>,
    hand: SteadyHand,
    tick: u64,
    state: FollowerState,
    tap: Tap,
    tapped: Tapped,
}

impl TapRig {
    fn new(tapping: Tapping) -> Self {
        let (joints, jaw) = HOME;
        let arm = SimulatedPsm::new(&PSM_CLASSIC, &joints, jaw, robot_time(0));
        let arms = PerArm { psm1: arm.clone(), psm2: arm };
        let words = if tapping == Tapping::Full { 1 } else { RING_WORDS };
        let (tap, tapped) = tap(words, &Arc::new(Health::default()));
        Self {
            tapping,
            servo: Servo::new(Follower::new(Profile::DEFAULT), arms),
            hand: SteadyHand::default(),
            tick: 0,
            state: FollowerState::default(),
            tap,
            tapped,
        }
    }

    fn engage(&mut self) -> Result<(), String> {
        while self.state.stage != Stage::Follow {
            if self.tick > ENGAGE_MAX {
                return Err(format!("the robot stayed in {:?}", self.state.stage));
            }
            self.tick(None);
        }
        Ok(())
    }

    fn tick(&mut self, recorder: Option<&mut Recorder>) {
        self.tick = self.tick.saturating_add(1);
        let now = robot_time(self.tick);
        let intent = self.hand.intent(self.tick, &self.state);
        let command = Command { key: session_key(1), number: Seq::new(self.tick), intent };
        let inbox = [Inbound { command, received_at: now, checksum: 0 }];
        let received = [[self.tick; COMMAND_WORDS]];
        let turn = Turn {
            now,
            scheduled_at: now,
            inbox: &inbox,
            request: bedside(self.state.stage),
            ..Turn::default()
        };
        let (tapping, servo, tap) = (self.tapping, &mut self.servo, &mut self.tap);
        let mut work = || {
            let turn = std::hint::black_box(&turn);
            if tapping == Tapping::None {
                servo.turn(turn)
            } else {
                servo.turn_seen(turn, |input, output| tap.see(input, output, &received))
            }
        };
        let output = match recorder {
            Some(recorder) => recorder.time(work),
            None => work(),
        };
        self.state = output.state;
        while self.tapped.next(|_command| {}).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_becomes_of_a_tick_the_robot_follows() {
        for tapping in [Tapping::None, Tapping::Emptied, Tapping::Full] {
            let mut rig = TapRig::new(tapping);
            rig.engage().unwrap();
            for _ in 0..500 {
                rig.tick(None);
                assert_eq!(rig.state.stage, Stage::Follow);
            }
        }
    }
}
