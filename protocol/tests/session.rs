//! Both ends by what they answer: each reason to refuse, the attacks behind them, the way home.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; clippy's own exemption does not reach their helper functions"
)]

mod common;

use common::sample_key;
use longhand_protocol::message::*;
use longhand_protocol::sequence::SeqReject;
use longhand_protocol::session::*;
use longhand_protocol::units::*;
use longhand_protocol::wire::{self, COMMAND_LEN, WireError};

/// The delay of the pretended link, both ways, microseconds.
const DELAY: u64 = 10_000;
/// Robot clock minus console clock in these tests, microseconds.
const OFFSET: u64 = 500_000_000;

/// When a command of hand time `hand_us` arrives over the pretended link.
fn arrival(hand_us: u64) -> Instant<Robot> {
    Instant::from_micros(hand_us + OFFSET + DELAY)
}

/// Command `number` with the hand time that belongs to it.
fn command(number: u64) -> Command {
    let hand_time = Instant::from_micros(number * 1_000);
    let intent = Intent { hand_time, valid_for: Micros::from_millis(50), ..Intent::default() };
    Command { key: sample_key(), number: Seq::new(number), intent }
}

fn give(robot: &mut RobotSession, command: &Command) -> Result<Accepted, Reject> {
    let now = arrival(command.number.get() * 1_000);
    robot.handle_datagram(now, &wire::encode_command(command))
}

fn robot_after(numbers: impl IntoIterator<Item = u64>) -> RobotSession {
    let mut robot = RobotSession::new(sample_key());
    for number in numbers {
        give(&mut robot, &command(number)).unwrap();
    }
    robot
}

#[test]
fn a_good_command_is_accepted_once() {
    let mut robot = robot_after(1..10);
    let accepted = give(&mut robot, &command(10)).unwrap();
    assert!(accepted.newest);
    assert_eq!(accepted.received_at, arrival(10_000));
    assert_eq!(accepted.command, command(10));
    assert_eq!(give(&mut robot, &command(10)), Err(SeqReject::Duplicate.into()));
    assert_eq!((robot.accepted(), robot.newest()), (10, Seq::new(10)));
}

#[test]
fn each_wrong_name_is_its_own_reject() {
    let mut robot = robot_after(1..5);
    let key = sample_key();
    let cases = [
        (SessionKey { robot: RobotId::new(1), ..key }, Reject::WrongRobot),
        (SessionKey { session: SessionId::from_halves(0, 0), ..key }, Reject::WrongSession),
        (SessionKey { epoch: Epoch::new(41), ..key }, Reject::StaleEpoch),
        (SessionKey { epoch: Epoch::new(43), ..key }, Reject::WrongEpoch),
        (SessionKey { profile: ProfileHash::new(0), ..key }, Reject::WrongProfile),
    ];
    for (key, reject) in cases {
        assert_eq!(give(&mut robot, &Command { key, ..command(5) }), Err(reject));
        assert_eq!(robot.rejects().count(reject), 1);
    }
    assert_eq!(robot.rejects().total(), 5);
    assert_eq!(robot.rejects().integrity_faults(), 0);
    assert!(give(&mut robot, &command(5)).is_ok());
}

#[test]
fn a05_a11_replays_and_resets_are_refused() {
    let mut robot = robot_after(1..3_000);
    assert_eq!(give(&mut robot, &command(2_999)), Err(SeqReject::Duplicate.into()));
    assert_eq!(give(&mut robot, &command(1_500)), Err(SeqReject::TooOld.into()));
    assert_eq!(give(&mut robot, &command(1)), Err(SeqReject::TooOld.into()));
    let zero = Command { number: Seq::ZERO, ..command(2) };
    assert_eq!(give(&mut robot, &zero), Err(SeqReject::Zero.into()));
    assert!(give(&mut robot, &command(3_000)).unwrap().newest);
}

#[test]
fn a10_sequence_leading_does_not_mute_the_true_console() {
    let mut robot = robot_after(1..100);
    let leaps = [
        // Far ahead with an honest hand time.
        Command { number: Seq::new(1 << 40), ..command(100) },
        // Far ahead with a hand time that agrees: the robot's own clock says no.
        command(1 << 40),
        command(2_200),
    ];
    for leap in leaps {
        let now = arrival(100_000);
        let answer = robot.handle_datagram(now, &wire::encode_command(&leap));
        assert_eq!(answer, Err(Reject::Implausible));
        assert!(Reject::Implausible.is_integrity_fault());
    }
    assert!(give(&mut robot, &command(100)).unwrap().newest);
}

#[test]
fn a10_small_leads_do_not_add_up() {
    let mut robot = robot_after(1..100);
    // Once per second 900 numbers ahead of the truth, each as far ahead as one lead may be.
    let mut refused = 0;
    for second in 1..20_u64 {
        let truth = 100 + second * 1_000;
        let mut leap = command(truth);
        leap.number = Seq::new(truth + 900 * second);
        let now = arrival(truth * 1_000);
        refused += u32::from(robot.handle_datagram(now, &wire::encode_command(&leap)).is_err());
    }
    assert_eq!(refused, 18, "the first lead passes, no second one on top of it");
    let muted = give(&mut robot, &command(100 + 20 * 1_000)).unwrap();
    assert!(muted.newest, "the true console is heard again");
}

#[test]
fn a_first_number_that_nobody_reached_is_implausible() {
    for (number, good) in [(59_999, true), (60_000, true), (60_001, false)] {
        let mut robot = RobotSession::new(sample_key());
        assert_eq!(give(&mut robot, &command(number)).is_ok(), good, "{number}");
    }
}

#[test]
fn a25_restamped_command_is_refused() {
    let mut robot = robot_after(1..100);
    let fresh_number = Command { number: Seq::new(100), ..command(99) };
    assert_eq!(give(&mut robot, &fresh_number), Err(Reject::HandTime));
    let older = Command { number: Seq::new(100), ..command(98) };
    assert_eq!(give(&mut robot, &older), Err(Reject::HandTime));
    assert!(give(&mut robot, &command(100)).is_ok());
}

#[test]
fn an_older_number_with_a_newer_hand_time_is_refused() {
    let mut robot = robot_after([1, 2, 3, 5]);
    let late = Command { number: Seq::new(4), ..command(6) };
    assert_eq!(give(&mut robot, &late), Err(Reject::HandTime));
    let accepted = give(&mut robot, &command(4)).unwrap();
    assert!(!accepted.newest);
}

#[test]
fn an_echo_from_the_robots_future_is_refused() {
    let mut robot = robot_after(1..5);
    for (ahead, good) in [(1, false), (0, true)] {
        let mut echoing = command(5);
        echoing.intent.echo_robot_time = arrival(5_000).after(Micros::from_micros(ahead));
        assert_eq!(give(&mut robot, &echoing).is_ok(), good, "{ahead}");
    }
    assert_eq!(robot.rejects().count(Reject::EchoFuture), 1);
}

#[test]
fn one_number_with_two_contents_is_a_contradiction() {
    let mut robot = robot_after(1..200);
    let mut other = command(150);
    other.intent.levels.operator_present = true;
    assert_eq!(give(&mut robot, &other), Err(Reject::Contradiction));
    // Too long ago to tell: only a duplicate. It is refused all the same.
    let mut other = command(100);
    other.intent.levels.operator_present = true;
    assert_eq!(give(&mut robot, &other), Err(SeqReject::Duplicate.into()));
    assert_eq!(robot.rejects().integrity_faults(), 1);
}

#[test]
fn a13_the_commands_of_an_ended_lease_are_stale_in_the_next() {
    let next = SessionKey { epoch: sample_key().epoch.next(), ..sample_key() };
    let mut robot = RobotSession::new(next);
    assert_eq!(give(&mut robot, &command(5)), Err(Reject::StaleEpoch));
    assert_eq!(give(&mut robot, &command(6)), Err(Reject::StaleEpoch));
    assert!(give(&mut robot, &Command { key: next, ..command(1) }).unwrap().newest);
}

#[test]
fn a_long_gap_is_no_lockout() {
    let mut robot = robot_after(1..100);
    assert!(give(&mut robot, &command(5_100)).unwrap().newest);
    assert!(give(&mut robot, &command(5_101)).unwrap().newest);
    assert_eq!(robot.lost(), 5_101 - 101);
}

#[test]
fn delay_may_grow_and_shrink_without_a_fault() {
    let mut robot = RobotSession::new(sample_key());
    for number in 1..5_000_u64 {
        // A ramp to 500 ms and back.
        let delay = if number < 2_500 { number * 200 } else { (5_000 - number) * 200 };
        let now = arrival(number * 1_000).after(Micros::from_micros(delay));
        robot.handle_datagram(now, &wire::encode_command(&command(number))).unwrap();
    }
    assert_eq!(robot.rejects().total(), 0);
}

#[test]
fn nine_hours_of_100_ppm_drift_are_no_fault() {
    let mut robot = RobotSession::new(sample_key());
    for second in 1..32_400_u64 {
        let number = second * 1_000;
        let hand_us = number * 1_000;
        // The console's clock runs 100 ppm faster than the robot's.
        let now = Instant::from_micros(OFFSET + DELAY + hand_us - hand_us / 10_000);
        robot.handle_datagram(now, &wire::encode_command(&command(number))).unwrap();
    }
}

#[test]
fn states_are_numbered_and_carry_the_sessions_counters() {
    let mut robot = robot_after([1, 2, 2_000]);
    assert!(robot.handle_datagram(arrival(1), b"noise").is_err());
    let first = wire::decode_state(&robot.report(FollowerState::default())).unwrap();
    let second = wire::decode_state(&robot.report(FollowerState::default())).unwrap();
    assert_eq!((first.number, second.number), (Seq::new(1), Seq::new(2)));
    let counters = first.state.counters;
    assert_eq!((counters.accepted, counters.lost, counters.rejected), (3, 1_997, 1));
}

// ---- the console's end ----

fn intent(hand_us: u64) -> Intent {
    Intent { hand_time: Instant::from_micros(hand_us), ..Intent::default() }
}

fn number_of(bytes: &[u8; COMMAND_LEN]) -> u64 {
    wire::decode_command(bytes).unwrap().number.get()
}

#[test]
fn numbers_rise_by_one_and_skip_after_a_stall() {
    let mut console = ConsoleSession::new(sample_key());
    for tick in 0..100_u64 {
        assert_eq!(number_of(&console.send(&intent(7_000_000 + tick * 1_000))), tick + 1);
    }
    // 500 ms behind is borne; 501 ms is skipped.
    assert_eq!(number_of(&console.send(&intent(7_000_000 + 600_000))), 101);
    assert_eq!(number_of(&console.send(&intent(7_000_000 + 602_000))), 603);
    assert_eq!(number_of(&console.send(&intent(7_000_000 + 603_000))), 604);
    assert_eq!(console.sent(), Seq::new(604));
}

#[test]
fn a_console_that_stalled_ten_seconds_is_heard_again() {
    let mut console = ConsoleSession::new(sample_key());
    let mut robot = RobotSession::new(sample_key());
    for hand_us in (1_000_000..1_100_000).step_by(1_000).chain([11_100_000, 11_101_000]) {
        let bytes = console.send(&intent(hand_us));
        assert!(robot.handle_datagram(arrival(hand_us), &bytes).unwrap().newest);
    }
}

/// A robot that used command `number` at once and reports it; the state arrives `DELAY` later.
fn exchange(
    console: &mut ConsoleSession,
    robot: &mut RobotSession,
    hand_us: u64,
) -> (Instant<Console>, Vec<u8>) {
    let bytes = console.send(&intent(hand_us));
    let got = robot.handle_datagram(arrival(hand_us), &bytes).unwrap();
    let robot_time = got.received_at.after(Micros::from_micros(300));
    let echo = Echo {
        number: got.command.number,
        hand_time: got.command.intent.hand_time,
        received_at: got.received_at,
        applied_at: robot_time,
        checksum: got.checksum,
    };
    let state = FollowerState { robot_time, echo, ..FollowerState::default() };
    (Instant::from_micros(hand_us + 2 * DELAY + 300), robot.report(state).to_vec())
}

#[test]
fn the_newest_state_is_handed_on_and_older_ones_are_not() {
    let mut console = ConsoleSession::new(sample_key());
    let mut robot = RobotSession::new(sample_key());
    let (at1, one) = exchange(&mut console, &mut robot, 1_000_000);
    let (at2, two) = exchange(&mut console, &mut robot, 1_001_000);
    assert_eq!(console.echo(), (Instant::ORIGIN, Seq::ZERO));
    let report = console.handle_datagram(at2, &two).unwrap().unwrap();
    assert_eq!(console.echo(), (report.state.robot_time, Seq::new(2)));
    assert_eq!(console.heard_at(), Some(at2));
    assert_eq!(console.handle_datagram(at1, &one), Ok(None));
    assert_eq!(console.echo(), (report.state.robot_time, Seq::new(2)));
    assert_eq!(console.handle_datagram(at2, &two), Err(SeqReject::Duplicate.into()));
    assert_eq!(console.accepted(), 2);
}

#[test]
fn the_console_learns_round_trip_and_offset() {
    let mut console = ConsoleSession::new(sample_key());
    let mut robot = RobotSession::new(sample_key());
    let mut now = Instant::ORIGIN;
    for tick in 0..50 {
        let (at, state) = exchange(&mut console, &mut robot, 1_000_000 + tick * 1_000);
        console.handle_datagram(at, &state).unwrap();
        now = at;
    }
    // The dwell of 300 us in the robot is no part of the way.
    assert_eq!(console.rtt(), Some(Micros::from_micros(2 * DELAY)));
    let offset = console.clock().offset(now).unwrap();
    assert!(offset.width() <= Micros::from_micros(2 * DELAY + 20));
    let truth = i64::try_from(OFFSET).unwrap();
    assert!(offset.low_us <= truth && truth <= offset.high_us);
    assert!((offset.middle_us() - truth).abs() <= 10);
}

#[test]
fn states_of_another_session_and_restamped_ones_are_refused() {
    let mut console = ConsoleSession::new(sample_key());
    let at = |us| FollowerState { robot_time: Instant::from_micros(us), ..Default::default() };
    let state = |number, us| {
        let report = StateReport { key: sample_key(), number: Seq::new(number), state: at(us) };
        wire::encode_state(&report)
    };
    let now = Instant::from_micros(50_000);
    console.handle_datagram(now, &state(2, 2_000)).unwrap();
    assert_eq!(console.handle_datagram(now, &state(3, 1_999)), Err(Reject::RobotTime));
    assert_eq!(console.handle_datagram(now, &state(1, 2_001)), Err(Reject::RobotTime));
    assert_eq!(console.handle_datagram(now, &state(1_200, 3_000)), Err(Reject::Implausible));
    assert_eq!(console.handle_datagram(now, &state(1_300, 1_300_000)), Err(Reject::Implausible));
    let mut stranger = RobotSession::new(SessionKey { epoch: Epoch::new(43), ..sample_key() });
    assert_eq!(console.handle_datagram(now, &stranger.report(at(1))), Err(Reject::WrongEpoch));
    let command = console.send(&intent(1));
    assert_eq!(console.handle_datagram(now, &command), Err(WireError::Length.into()));
    assert!(console.handle_datagram(now, &state(3, 3_000)).unwrap().is_some());
}
