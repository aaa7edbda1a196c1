//! What the black box's tap, and the gateway's, cost the servo thread, and the console's its leader
//! thread.
//!
//! Knows: the servo's turn with the arms that ship, the leader's step and its command, the black
//! boxes' rings, emptied or full, and the mailboxes that a state goes into. Does not know: the
//! recorders and the gateway's tap, whose threads are others, or the two threads' own timers.

use std::sync::Arc;

use longhand_console::record::Health as ConsoleHealth;
use longhand_console::record::tap::{
    RING_WORDS as CONSOLE_RING_WORDS, Tap as ConsoleTap, tap as console_tap,
};
use longhand_console::record::tick::{AlarmLevel, Counts, LeaderTick};
use longhand_follower::Follower;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::HandSample;
use longhand_leader::{DEFAULT_SCALE, Leader};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Command, FollowerState, Stage, StateReport, Terms};
use longhand_protocol::session::ConsoleSession;
use longhand_protocol::units::{Micros, Seq};
use longhand_protocol::wire;
use longhand_quic::mailbox::{Mailbox, Writer, from_bytes};
use longhand_quic::pace::Tick;
use longhand_record::ring::RingReader;
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::record::Health;
use longhand_robot_agent::record::tap::{COMMAND_WORDS, RING_WORDS, Tap, tap};
use longhand_robot_agent::servo::{HOME, Servo, Turn};

use crate::hand::{ENGAGE_MAX, SteadyHand, bedside, console_time, robot_time, session_key};
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

/// The leader's step and its command's bytes, without and with the console's tap, into a ring that
/// somebody empties and into one that is full.
///
/// Errors: a sentence, where the leader did not come to follow, or the histogram could not be made.
pub fn measure_leader(rounds: u32) -> Result<Table, String> {
    let mut rigs = [Tapping::None, Tapping::Emptied, Tapping::Full].map(LeaderRig::new);
    for rig in &mut rigs {
        rig.engage()?;
    }
    let [mut none, mut emptied, mut full] = rigs;
    let goal: &[Goal] = &[Goal {
        of: Quantile::P50,
        at_most: Bound::Of(5_000.0),
        source: "chosen: a two-hundredth of the tick that all of it has",
    }];
    let subjects = vec![
        Subject {
            name: "Leader::step and its command, Following",
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
    compare("the console's tap", Unit::Nanos, rounds, subjects).map_err(|e| e.to_string())
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

/// A leader whose hand rests on a robot that follows.
struct LeaderRig {
    tapping: Tapping,
    leader: Leader,
    session: ConsoleSession,
    tick: u64,
    engagement: Engagement,
    tap: ConsoleTap,
    tapped: RingReader,
    message: Vec<u64>,
}

impl LeaderRig {
    fn new(tapping: Tapping) -> Self {
        let words = if tapping == Tapping::Full { 1 } else { CONSOLE_RING_WORDS };
        let (tap, tapped) = console_tap(words, &Arc::new(ConsoleHealth::default()));
        Self {
            tapping,
            leader: Leader::new(Terms::default(), DEFAULT_SCALE),
            session: ConsoleSession::new(session_key(1)),
            tick: 0,
            engagement: Engagement::Disconnected,
            tap,
            tapped,
            message: Vec::new(),
        }
    }

    fn engage(&mut self) -> Result<(), String> {
        while self.engagement != Engagement::Following {
            if self.tick > ENGAGE_MAX {
                return Err(format!("the leader stayed {:?}", self.engagement));
            }
            self.tick(None);
        }
        Ok(())
    }

    fn tick(&mut self, recorder: Option<&mut Recorder>) {
        self.tick = self.tick.saturating_add(1);
        let now = console_time(self.tick);
        let sample = HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(50),
            operator_present: self.tick > 10,
            ..HandSample::default()
        };
        let state = FollowerState {
            robot_time: robot_time(self.tick),
            stage: Stage::Follow,
            loop_age: Micros::from_millis(5),
            ..FollowerState::default()
        };
        let report = StateReport { key: session_key(1), number: Seq::new(self.tick), state };
        let (leader, session, tap) = (&mut self.leader, &mut self.session, &mut self.tap);
        let tapping = self.tapping;
        let mut work = || {
            let sample = std::hint::black_box(&sample);
            let output = leader.step(now, sample, Some(&report));
            let bytes = session.send(&output.intent);
            if tapping != Tapping::None {
                tap.see(&LeaderTick {
                    tick: &Tick { scheduled_at: now, woke_at: now, missed: 0 },
                    sample,
                    output: &output,
                    command: Some((session.sent(), &bytes)),
                    newest: Some((&report, now)),
                    is_current: true,
                    counts: Counts::default(),
                    alarms: AlarmLevel::default(),
                });
            }
            std::hint::black_box(bytes);
            output.engagement
        };
        self.engagement = match recorder {
            Some(recorder) => recorder.time(work),
            None => work(),
        };
        while self.tapped.next(&mut self.message) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_becomes_of_a_tick_the_leader_follows() {
        for tapping in [Tapping::None, Tapping::Emptied, Tapping::Full] {
            let mut rig = LeaderRig::new(tapping);
            rig.engage().unwrap();
            for _ in 0..500 {
                rig.tick(None);
                assert_eq!(rig.engagement, Engagement::Following);
            }
        }
    }

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
