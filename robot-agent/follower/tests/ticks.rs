//! Whole ticks of the follower, where one room alone would not show it: leases, faults, sessions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]

use longhand_follower::kinematics::Joint;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::{Denial, Outcome, Request};
use longhand_follower::{ArmReading, Drive, Follower, PeerFaults, TickInput, TickOutput};
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm};
use longhand_protocol::message::{Command, Reason, Stage};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, Seq};

/// A robot whose arms do exactly what they are told, and a console that holds its goal on the tool.
struct Bench {
    follower: Follower,
    tick: u64,
    number: u64,
    epoch: u64,
    arms: PerArm<ArmReading>,
    last: Option<TickOutput>,
    emergency_stop: bool,
    peer_faults: PeerFaults,
    /// How much farther open than they are the console wants the jaws, radians.
    opening: f64,
}

const HOME: JointPositions = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);

impl Bench {
    fn new() -> Self {
        let arm = ArmReading { measured_js: HOME, ..ArmReading::default() };
        let mut bench = Self {
            follower: Follower::new(Profile::DEFAULT),
            tick: 1_000,
            number: 0,
            epoch: 1,
            arms: PerArm { psm1: arm, psm2: arm },
            last: None,
            emergency_stop: false,
            peer_faults: PeerFaults::default(),
            opening: 0.0,
        };
        bench.ask(Request::Enable);
        bench.ask(Request::HandOver);
        bench
    }

    fn now(&self) -> Instant<Robot> {
        Instant::from_micros(self.tick * 1_000)
    }

    /// One tick; `pedal` is `None` when no command comes.
    fn step(&mut self, pedal: Option<bool>, request: Option<Request>) -> TickOutput {
        self.tick += 1;
        let now = self.now();
        let inbox: Vec<Inbound> = pedal.map(|pedal| self.command(pedal)).into_iter().collect();
        let output = self.follower.step(&TickInput {
            now,
            scheduled_at: now,
            inbox: &inbox,
            measured: self.arms,
            emergency_stop: self.emergency_stop,
            peer_faults: self.peer_faults,
            request,
        });
        if let Drive::Servo(servo) = &output.drive {
            for arm in ArmId::ALL {
                self.arms.get_mut(arm).measured_js = servo.joints.get(arm).get();
            }
        }
        self.last = Some(output);
        output
    }

    fn command(&mut self, pedal: bool) -> Inbound {
        self.number += 1;
        let mut command = Command { number: Seq::new(self.number), ..Command::default() };
        command.key.epoch = Epoch::new(self.epoch);
        let intent = &mut command.intent;
        intent.hand_time = Instant::from_micros(self.number * 1_000);
        intent.echo_robot_time = self.now().before(Micros::from_millis(40));
        intent.valid_for = Micros::from_millis(100);
        intent.levels.operator_present = pedal;
        if let Some(last) = &self.last {
            for arm in ArmId::ALL {
                let state = last.state.arms.get(arm);
                intent.arms.get_mut(arm).servo_cp = state.setpoint_cp;
                intent.arms.get_mut(arm).jaw = state.setpoint_jaw + self.opening;
            }
        }
        Inbound { command, received_at: self.now(), checksum: 0 }
    }

    fn ask(&mut self, request: Request) {
        self.step(None, Some(request));
    }

    fn run(&mut self, pedal: Option<bool>, ticks: u32) -> Stage {
        for _ in 0..ticks {
            self.step(pedal, None);
        }
        self.follower.stage()
    }

    fn following() -> Self {
        let mut bench = Self::new();
        bench.run(Some(false), 700);
        assert_eq!(bench.run(Some(true), 100), Stage::Follow);
        bench
    }
}

#[test]
fn a_lease_that_ran_out_stays_out_for_the_old_session() {
    let mut bench = Bench::following();
    assert_eq!(bench.run(None, 3_100), Stage::Bedside);
    bench.ask(Request::HandOver);
    assert_eq!(bench.run(None, 5_000), Stage::Latched, "it waits for a console, however long");
    // The old session speaks again: it is dead.
    bench.run(Some(false), 700);
    assert_eq!(bench.run(Some(true), 700), Stage::Latched);
    // A new one engages by the rule.
    bench.epoch = 2;
    bench.number = 0;
    bench.run(Some(false), 700);
    assert_eq!(bench.run(Some(true), 100), Stage::Follow);
}

#[test]
fn a_new_session_in_mid_motion_latches() {
    let mut bench = Bench::following();
    bench.epoch = 2;
    bench.number = 0;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::Latched, Reason::NewSession));
    assert_eq!(bench.run(Some(true), 5_000), Stage::Latched, "the pedal never left");
}

#[test]
fn a_drive_fault_is_cleared_by_restart_and_by_nothing_else() {
    let mut bench = Bench::following();
    bench.arms.psm2.drive_fault = true;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.drive), (Stage::SafeOff, Drive::Brake));
    for request in [Request::Enable, Request::HandOver, Request::Resume] {
        bench.ask(request);
        assert_eq!(bench.follower.stage(), Stage::SafeOff);
    }
    // The drive clears its fault when its power is off, which is in Disabled.
    bench.ask(Request::Restart);
    assert_eq!(bench.follower.stage(), Stage::Disabled);
    bench.arms.psm2.drive_fault = false;
    bench.ask(Request::Enable);
    assert_eq!(bench.follower.stage(), Stage::Bedside);
}

/// I13: the command that opens a jaw is lost half-way; what the jaw holds must not drop.
#[test]
fn a_jaw_that_opens_stops_opening_when_commands_stop() {
    let mut bench = Bench::following();
    bench.opening = 0.5;
    let jaw = |output: &TickOutput| output.state.arms.psm1.setpoint_jaw;
    let first = bench.last.unwrap();
    bench.run(Some(true), 40);
    let mut last = bench.step(Some(true), None);
    assert!(jaw(&last) > jaw(&first), "it opens while following");
    let mut coasted = false;
    for _ in 0..60 {
        let output = bench.step(None, None);
        let follows = output.state.stage == Stage::Follow;
        assert!(follows || jaw(&output) <= jaw(&last), "opened in {:?}", output.state.stage);
        coasted |= output.state.stage == Stage::Coast;
        last = output;
    }
    assert!(coasted);
}

/// A35: something between the check and the drive changed one joint by a nanometre.
#[test]
fn a_drive_that_was_told_otherwise_is_a_fault_in_the_next_tick() {
    let mut bench = Bench::following();
    let told = |output: &TickOutput| match &output.drive {
        Drive::Servo(servo) => servo.joints.psm1.get(),
        Drive::Brake => panic!("it follows"),
    };
    let output = bench.step(Some(true), None);
    bench.arms.psm1.told_js = Some(told(&output));
    let output = bench.step(Some(true), None);
    assert_eq!(output.state.stage, Stage::Follow);
    let mut altered = told(&output);
    altered.0[2] += 1e-9;
    bench.arms.psm1.told_js = Some(altered);
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.drive), (Stage::SafeOff, Drive::Brake));
    assert_eq!(output.state.reason, Reason::Drive);
}

#[test]
fn an_emergency_stop_brakes_in_its_own_tick() {
    let mut bench = Bench::following();
    bench.emergency_stop = true;
    let output = bench.step(Some(true), None);
    assert_eq!(output.drive, Drive::Brake);
    assert_eq!(output.state.reason, Reason::EmergencyStop);
    // While it is pressed, no restart holds.
    bench.ask(Request::Restart);
    assert_eq!(bench.follower.stage(), Stage::SafeOff);
}

#[test]
fn an_arm_that_strays_while_held_is_a_fault() {
    let mut bench = Bench::following();
    bench.run(Some(false), 300);
    let Some(pushed) = bench.arms.psm1.measured_js.0.get_mut(2) else { unreachable!() };
    *pushed += 2.1e-3;
    bench.tick += 1;
    let now = bench.now();
    let output = bench.follower.step(&TickInput {
        now,
        scheduled_at: now,
        inbox: &[],
        measured: bench.arms,
        emergency_stop: false,
        peer_faults: PeerFaults::default(),
        request: None,
    });
    assert_eq!((output.state.stage, output.state.reason), (Stage::SafeOff, Reason::HoldError));
}

#[test]
fn a_stall_holds_and_comes_back_and_a_long_one_is_a_fault() {
    let mut bench = Bench::following();
    bench.tick += 20;
    bench.number += 20;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::Hold, Reason::MissedTicks));
    assert_eq!(output.state.counters.missed_ticks, 20);
    assert_eq!(bench.run(Some(true), 300), Stage::Follow, "it comes back by itself");
    bench.tick += 31;
    bench.number += 31;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::SafeOff, Reason::MissedTicks));
}

#[test]
fn a_dead_man_that_a_stall_tripped_is_the_stalls_and_a_drive_that_trips_by_itself_is_its_own() {
    // A tick before the most that may be missed, on it, and after.
    for (missed, reason) in
        [(29, Reason::Drive), (30, Reason::MissedTicks), (31, Reason::MissedTicks)]
    {
        let mut bench = Bench::following();
        bench.tick += missed;
        bench.number += missed;
        bench.arms.psm1.drive_fault = true;
        let output = bench.step(Some(true), None);
        assert_eq!((output.state.stage, output.drive), (Stage::SafeOff, Drive::Brake), "{missed}");
        assert_eq!(output.state.reason, reason, "{missed}");
    }
}

#[test]
fn a_stall_acts_in_the_first_tick_after_it() {
    let mut bench = Bench::following();
    // The real timer hands the first tick its old place on the grid and a late `now`.
    let scheduled_at = Instant::from_micros((bench.tick + 1) * 1_000);
    bench.tick += 41;
    bench.number += 40;
    let inbox = [bench.command(true)];
    let mut input = TickInput {
        now: bench.now(),
        scheduled_at,
        inbox: &inbox,
        measured: bench.arms,
        emergency_stop: false,
        peer_faults: PeerFaults::default(),
        request: None,
    };
    let output = bench.follower.step(&input);
    assert_eq!((output.state.stage, output.state.reason), (Stage::SafeOff, Reason::MissedTicks));
    assert_eq!(output.state.counters.missed_ticks, 40);
    // The next tick is on the grid again: nothing is counted twice.
    input.now = Instant::from_micros((bench.tick + 1) * 1_000);
    input.scheduled_at = input.now;
    assert_eq!(bench.follower.step(&input).state.counters.missed_ticks, 40);
}

#[test]
fn one_corrupted_message_is_counted_and_the_second_latches() {
    let mut bench = Bench::following();
    bench.peer_faults.corrupted = 1;
    assert_eq!(bench.run(Some(true), 1_000), Stage::Follow);
    bench.peer_faults.corrupted = 2;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::Latched, Reason::Integrity));
}

/// Found by a campaign (sim/regressions/corrupted-while-latched.json): the way back was counted
/// from the second message, and the third was forgiven.
#[test]
fn a_corrupted_message_while_latched_starts_the_good_link_anew() {
    let mut bench = Bench::following();
    bench.peer_faults.corrupted = 2;
    bench.run(Some(false), 400);
    bench.peer_faults.corrupted = 3;
    bench.run(Some(false), 200);
    assert_eq!(bench.run(Some(true), 200), Stage::Latched);
    bench.run(Some(false), 200);
    assert_eq!(bench.run(Some(true), 200), Stage::Follow);
}

/// A12: the old holder's pedal was seen up; the successor's is down from its first word.
#[test]
fn a_new_session_does_not_inherit_a_released_pedal() {
    let mut bench = Bench::following();
    bench.peer_faults.protocol = 1;
    bench.run(Some(false), 700);
    assert_eq!(bench.follower.stage(), Stage::Latched);
    bench.epoch += 1;
    bench.number = 0;
    assert_eq!(bench.run(Some(true), 1_500), Stage::Latched);
    bench.run(Some(false), 150);
    assert_eq!(bench.run(Some(true), 700), Stage::Follow);
}

#[test]
fn one_contradiction_latches_at_once() {
    let mut bench = Bench::following();
    bench.peer_faults.protocol = 1;
    let output = bench.step(Some(true), None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::Latched, Reason::Integrity));
}

#[test]
fn an_ended_lease_is_told_by_its_epoch_and_by_nothing_else() {
    let mut bench = Bench::following();
    let fence = |bench: &Bench| bench.last.unwrap().fence;
    assert_eq!(fence(&bench), Epoch::ZERO);
    assert_eq!(bench.run(None, 300), Stage::Latched);
    assert_eq!(fence(&bench), Epoch::ZERO, "a latch ends no lease");
    bench.ask(Request::Release);
    assert_eq!(fence(&bench), Epoch::new(1));
    // The bedside takes it again while nobody had it since: nothing new has ended.
    bench.ask(Request::HandOver);
    bench.ask(Request::Release);
    assert_eq!(fence(&bench), Epoch::new(1));
}

#[test]
fn an_arm_out_of_its_range_is_not_enabled_and_the_bedside_is_told_why() {
    let high = Profile::DEFAULT.joints.high[4];
    for (wrist, fits) in [(high - 1e-9, true), (high, true), (high + 1e-9, false)] {
        let mut bench = Bench::new();
        bench.ask(Request::Disable);
        bench.arms.psm2.measured_js.0[4] = wrist;
        bench.ask(Request::Enable);
        let answer = bench.last.unwrap().outcome;
        let outside = Outcome::Refused(Denial::Outside(ArmId::Psm2, Joint::WristPitch));
        assert_eq!(answer, if fits { Outcome::Done } else { outside });
        let stage = if fits { Stage::Bedside } else { Stage::Disabled };
        assert_eq!(bench.run(None, 10), stage, "and no fault comes of it");
        // Moved inside by hand, it is enabled.
        bench.arms.psm2.measured_js.0[4] = 0.0;
        bench.ask(Request::Disable);
        bench.ask(Request::Enable);
        assert_eq!(bench.follower.stage(), Stage::Bedside);
    }
}

#[test]
fn an_arm_that_cannot_be_read_is_not_enabled() {
    let mut bench = Bench::new();
    bench.ask(Request::Disable);
    bench.arms.psm1.measured_js.0[0] = f64::NAN;
    bench.ask(Request::Enable);
    assert_eq!(bench.last.unwrap().outcome, Outcome::Refused(Denial::Unreadable(ArmId::Psm1)));
    assert_eq!(bench.run(None, 10), Stage::Disabled);
    bench.arms.psm1.measured_js = HOME;
    bench.arms.psm2.measured_jaw = f64::INFINITY;
    bench.ask(Request::Enable);
    assert_eq!(bench.last.unwrap().outcome, Outcome::Refused(Denial::Unreadable(ArmId::Psm2)));
    // In mid-motion it is a fault, as ever.
    bench.arms.psm2.measured_jaw = 0.0;
    bench.ask(Request::Enable);
    bench.arms.psm2.measured_js.0[3] = f64::NAN;
    let output = bench.step(None, None);
    assert_eq!((output.state.stage, output.state.reason), (Stage::SafeOff, Reason::Drive));
}

/// PSM1 is `off` metres deeper than told for `ticks`, then where it should be.
fn off_track(bench: &mut Bench, off: f64, ticks: u32) -> TickOutput {
    for _ in 0..ticks {
        bench.arms.psm1.measured_js.0[2] += off;
        bench.step(Some(true), None);
    }
    bench.step(Some(true), None)
}

#[test]
fn an_arm_that_does_not_follow_latches_within_50_ms_and_a_jolt_does_not() {
    let mut bench = Bench::following();
    assert_eq!(off_track(&mut bench, 0.99e-3, 200).state.stage, Stage::Follow);
    assert_eq!(off_track(&mut bench, 1.01e-3, 49).state.stage, Stage::Follow);
    let state = off_track(&mut bench, 1.01e-3, 50).state;
    assert_eq!((state.stage, state.reason), (Stage::Latched, Reason::Drive));
    // Held, it may be 2 mm off; beyond, power goes.
    assert_eq!(off_track(&mut bench, 1.9e-3, 300).state.stage, Stage::Latched);
    assert_eq!(off_track(&mut bench, 2.1e-3, 1).state.stage, Stage::SafeOff);
}
