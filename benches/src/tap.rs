//! What the black box's tap, and the gateway's, cost the servo thread.
//!
//! Knows: the servo's turn with the arms that ship, the black box's ring, emptied or full, and the
//! mailboxes that a state goes into. Does not know: the recorder and the gateway's tap, whose
//! threads are others, or the servo thread's own timer.

use std::sync::Arc;

use longhand_follower::Follower;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Command, FollowerState, Stage, StateReport};
use longhand_protocol::units::Seq;
use longhand_protocol::wire;
use longhand_quic::mailbox::{Mailbox, Writer, from_bytes};
use longhand_record::ring::RingReader;
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::record::Health;
use longhand_robot_agent::record::tap::{COMMAND_WORDS, RING_WORDS, Tap, tap};
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

/// The servo's turn with its state in the two mailboxes that it always goes into, and the same with
/// the gateway's tap, which is a third.
///
/// Errors: as [`measure`].
pub fn measure_outward(rounds: u32) -> Result<Table, String> {
    let mut rigs = [Tapping::None, Tapping::None].map(TapRig::new);
    for rig in &mut rigs {
        rig.engage()?;
    }
    let [mut two, mut three] = rigs.map(|rig| (rig, Mailboxes::default()));
    let goal: &[Goal] = &[Goal {
        of: Quantile::P50,
        at_most: Bound::TimesFirst(1.05),
        source: "chosen: 42 more words are a twentieth of what a turn copies",
    }];
    let subjects = vec![
        Subject {
            name: "Servo::turn and its two mailboxes",
            batch: 1,
            goals: &[],
            round: Box::new(move |r| (0..TICKS).for_each(|_| two.0.publish(r, &mut two.1, false))),
        },
        Subject {
            name: "the same, and the gateway's tap",
            batch: 1,
            goals: goal,
            round: Box::new(move |r| {
                (0..TICKS).for_each(|_| three.0.publish(r, &mut three.1, true));
            }),
        },
    ];
    compare("the gateway's tap", Unit::Nanos, rounds, subjects).map_err(|e| e.to_string())
}

const STATE_WORDS: usize = wire::STATE_LEN.div_ceil(8);
type StateWriter = Writer<STATE_WORDS, 256>;

/// Where a state goes. Nobody reads: the writer never looks whether anybody does.
struct Mailboxes {
    network: StateWriter,
    watch: StateWriter,
    tap: StateWriter,
}

impl Default for Mailboxes {
    fn default() -> Self {
        let [network, watch, tap] = std::array::from_fn(|_| Mailbox::pair().0);
        Self { network, watch, tap }
    }
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
    tapped: RingReader,
    message: Vec<u64>,
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
            message: Vec::new(),
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

    /// One tick, and its state into the mailboxes as the servo loop does it.
    fn publish(&mut self, recorder: &mut Recorder, to: &mut Mailboxes, tapped: bool) {
        self.worked(Some(recorder), |state| {
            let report = StateReport { state: *state, ..StateReport::default() };
            let Some(words) = from_bytes(&wire::encode_state(&report)) else { return };
            to.network.push(&words);
            to.watch.push(&words);
            if tapped {
                to.tap.push(&words);
            }
        });
    }

    fn tick(&mut self, recorder: Option<&mut Recorder>) {
        self.worked(recorder, |_state| {});
    }

    fn worked(&mut self, recorder: Option<&mut Recorder>, mut then: impl FnMut(&FollowerState)) {
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
            let output = if tapping == Tapping::None {
                servo.turn(turn)
            } else {
                servo.turn_seen(turn, |input, output| tap.see(input, output, &received))
            };
            then(&output.state);
            output
        };
        let output = match recorder {
            Some(recorder) => recorder.time(work),
            None => work(),
        };
        self.state = output.state;
        while self.tapped.next(&mut self.message) {}
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
