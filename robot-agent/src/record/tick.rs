//! One tick as fixed words: everything that entered the follower, and everything that left it.
//!
//! Knows: the fields, their order, and which of them the follower is given again in a replay. Does
//! not know: rings (`tap`), files, or what a tick decides. Called from the servo thread: copies.
//!
//! The words, written little endian one after the other, are the body of the tick's CDR message:
//! widths only fall, so nothing is padded. Lengths are metres, angles radians, times microseconds.

use crate::servo_thread::{REQUESTS, code, outcome_code};
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::Request;
use longhand_follower::{ArmReading, Drive, PeerFaults, TickInput, TickOutput};
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm, Pose, RobotBase, Tip};
use longhand_protocol::message::{ArmState, Reason, Stage};
use longhand_protocol::units::{Instant, Robot};
use longhand_record::ring::{Words, bits, place};
use longhand_record::schema::{Field, Width, field};

const JS: &str = "yaw, pitch, insertion, roll, wrist pitch, wrist yaw; rad, insertion m";
const CP: &str = "tip in the arm's base frame: x y z (m), then w x y z";
const TOLD: &str = "where the drive says that it was told to go; counts where in_flags says so";
const SERVO: &str = "what the arm is told in this tick; counts where drive is 1";

/// Every field of a tick, in order.
pub const FIELDS: [Field; 41] = [
    field("tick", Width::U64, 1, "from 0 by one; what is missing, a Gap says"),
    field("now_us", Width::U64, 1, "robot clock: when the tick ran"),
    field("scheduled_at_us", Width::U64, 1, "robot clock: when it should have run"),
    field("age_us", Width::U64, 1, "since the newest command had its turn; all ones: never"),
    field("loop_age_us", Width::U64, 1, "view plus command; all ones: never"),
    field("playout_delay_us", Width::U64, 1, "what the playout buffer adds"),
    field("command", Width::U64, 1, "number of the command in use; 0 while there is none"),
    field("hand_time_us", Width::U64, 1, "console clock: its hand sample"),
    field("received_at_us", Width::U64, 1, "robot clock: when it was accepted"),
    field("applied_at_us", Width::U64, 1, "robot clock: when it was first used"),
    field("fence", Width::U64, 1, "sessions of this epoch and older are dead"),
    field("peer_corrupted", Width::U64, 1, "in: corrupted messages since the start"),
    field("peer_protocol", Width::U64, 1, "in: contradictory messages since the start"),
    field("psm1_measured_js", Width::F64, 6, JS),
    field("psm1_measured_jaw", Width::F64, 1, "rad"),
    field("psm1_told_js", Width::F64, 6, TOLD),
    field("psm1_servo_js", Width::F64, 6, SERVO),
    field("psm1_servo_jaw", Width::F64, 1, SERVO),
    field("psm1_measured_cp", Width::F64, 7, CP),
    field("psm1_setpoint_cp", Width::F64, 7, CP),
    field("psm1_setpoint_jaw", Width::F64, 1, "rad"),
    field("psm2_measured_js", Width::F64, 6, JS),
    field("psm2_measured_jaw", Width::F64, 1, "rad"),
    field("psm2_told_js", Width::F64, 6, TOLD),
    field("psm2_servo_js", Width::F64, 6, SERVO),
    field("psm2_servo_jaw", Width::F64, 1, SERVO),
    field("psm2_measured_cp", Width::F64, 7, CP),
    field("psm2_setpoint_cp", Width::F64, 7, CP),
    field("psm2_setpoint_jaw", Width::F64, 1, "rad"),
    field("safe_stops", Width::U32, 1, "times the link made the robot brake"),
    field("late_ticks", Width::U32, 1, "ticks that began late"),
    field("missed_ticks", Width::U32, 1, "ticks that never began"),
    field("commands", Width::U32, 1, "in: commands since the last tick, the messages before this"),
    field("stage", Width::U8, 1, "0 Follow Coast Brake Hold Latched Bedside SafeOff Disabled 7"),
    field("reason", Width::U8, 1, "WIRE.md section 7"),
    field(
        "request",
        Width::U8,
        1,
        "in: 0 none; 1 enable 2 disable 3 pause 4 resume 5 release 6 hand-over 7 restart; \
         8 pause 9 resume, of the console",
    ),
    field("outcome", Width::U8, 1, "of the request: 0 done, else why not"),
    field(
        "drive",
        Width::U8,
        1,
        "0 brake, power off; 1 servo: a permit was given and the limits passed",
    ),
    field("in_flags", Width::U8, 1, "in: 1 emergency stop, 2 4 drive fault, 8 16 told_js counts"),
    field("energy", Width::U8, 1, "1 2: energy is on at PSM1, PSM2"),
    field("out_flags", Width::U8, 1, "1 homed, 2 4 limited: PSM1's, PSM2's goal is out of reach"),
];

/// The size of a tick, words.
pub const TICK_WORDS: usize = 13 + 2 * 35 + 2 + 1;

/// A tick as words.
pub type TickWords = [u64; TICK_WORDS];

/// Writes a tick. Total, no heap: for the servo thread.
pub fn pack(tick: u64, input: &TickInput<'_>, output: &TickOutput) -> TickWords {
    let state = &output.state;
    let mut out = Words::default();
    out.put(tick);
    out.put(input.now.as_micros());
    out.put(input.scheduled_at.as_micros());
    for span in [state.age, state.loop_age, state.playout_delay] {
        out.put(span.as_micros());
    }
    out.put(state.echo.number.get());
    out.put(state.echo.hand_time.as_micros());
    out.put(state.echo.received_at.as_micros());
    out.put(state.echo.applied_at.as_micros());
    out.put(output.fence.get());
    out.put(input.peer_faults.corrupted);
    out.put(input.peer_faults.protocol);
    for arm in ArmId::ALL {
        put_arm(&mut out, input.measured.get(arm), &output.drive, state.arms.get(arm), arm);
    }
    let commands = u32::try_from(input.inbox.len()).unwrap_or(u32::MAX);
    let counters = &state.counters;
    out.halves(counters.safe_stops, counters.late_ticks);
    out.halves(counters.missed_ticks, commands);
    out.put(u64::from_le_bytes(small(input, output)));
    out.done()
}

fn small(input: &TickInput<'_>, output: &TickOutput) -> [u8; 8] {
    let state = &output.state;
    let (one, two) = (&input.measured.psm1, &input.measured.psm2);
    let energy = match &output.drive {
        Drive::Servo(servo) => servo.energy,
        Drive::Brake => PerArm::default(),
    };
    let byte = |word: u64| u8::try_from(word).unwrap_or(u8::MAX);
    [
        place(&Stage::ALL, &state.stage),
        place(&Reason::ALL, &state.reason),
        byte(input.request.map_or(0, code)),
        byte(outcome_code(output.outcome)),
        u8::from(matches!(output.drive, Drive::Servo(_))),
        bits([
            input.emergency_stop,
            one.drive_fault,
            two.drive_fault,
            one.told_js.is_some(),
            two.told_js.is_some(),
        ]),
        bits([energy.psm1, energy.psm2]),
        bits([state.is_homed, state.arms.psm1.limited, state.arms.psm2.limited]),
    ]
}

fn pose(out: &mut Words<TICK_WORDS>, pose: &Pose<RobotBase, Tip>) {
    let (p, q) = (pose.position(), pose.rotation());
    out.floats(&[p.x, p.y, p.z, q.w, q.i, q.j, q.k]);
}

fn put_arm(
    out: &mut Words<TICK_WORDS>,
    reading: &ArmReading,
    drive: &Drive,
    state: &ArmState,
    arm: ArmId,
) {
    let (joints, jaw) = match drive {
        Drive::Servo(servo) => (servo.joints.get(arm).get(), servo.jaw.get(arm).get()),
        Drive::Brake => (JointPositions::default(), 0.0),
    };
    out.floats(&reading.measured_js.0);
    out.floats(&[reading.measured_jaw]);
    out.floats(&reading.told_js.unwrap_or_default().0);
    out.floats(&joints.0);
    out.floats(&[jaw]);
    pose(out, &state.measured_cp);
    pose(out, &state.setpoint_cp);
    out.floats(&[state.setpoint_jaw]);
}

/// What the follower was given in a tick, but for the commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    /// The tick's number.
    pub tick: u64,
    /// How many commands came with it.
    pub commands: u32,
    now: Instant<Robot>,
    scheduled_at: Instant<Robot>,
    measured: PerArm<ArmReading>,
    emergency_stop: bool,
    peer_faults: PeerFaults,
    request: Option<Request>,
}

impl Given {
    /// Reads it back. `None` where a word stands for nothing, which no agent writes.
    pub fn of(words: &TickWords) -> Option<Self> {
        let at = |place: usize| words.get(place).copied();
        let (low, high) = (at(84)?, at(85)?);
        let [_, _, request, _, _, flags, _, _] = high.to_le_bytes();
        let [.., e, f, g, h] = low.to_le_bytes();
        let request = match u64::from(request) {
            0 => None,
            asked => Some(*REQUESTS.iter().find(|known| code(**known) == asked)?),
        };
        let flag = |bit: u8| (flags >> bit) & 1 == 1;
        let arm = |first: usize, faulty, told| {
            Some(ArmReading {
                measured_js: joints(words, first)?,
                measured_jaw: f64::from_bits(at(first.saturating_add(6))?),
                drive_fault: faulty,
                told_js: if told { Some(joints(words, first.saturating_add(7))?) } else { None },
            })
        };
        Some(Self {
            tick: at(0)?,
            commands: u32::from_le_bytes([e, f, g, h]),
            now: Instant::from_micros(at(1)?),
            scheduled_at: Instant::from_micros(at(2)?),
            measured: PerArm { psm1: arm(13, flag(1), flag(3))?, psm2: arm(48, flag(2), flag(4))? },
            emergency_stop: flag(0),
            peer_faults: PeerFaults { corrupted: at(11)?, protocol: at(12)? },
            request,
        })
    }

    /// The follower's input, with the tick's commands.
    pub const fn input<'a>(&self, inbox: &'a [Inbound]) -> TickInput<'a> {
        TickInput {
            now: self.now,
            scheduled_at: self.scheduled_at,
            inbox,
            measured: self.measured,
            emergency_stop: self.emergency_stop,
            peer_faults: self.peer_faults,
            request: self.request,
        }
    }
}

fn joints(words: &TickWords, first: usize) -> Option<JointPositions> {
    let found = words.get(first..first.saturating_add(6))?;
    let found: &[u64; 6] = found.try_into().ok()?;
    Some(JointPositions(found.map(f64::from_bits)))
}

/// The stage and the reason of a tick, where they are words at all.
pub fn stage_of(words: &TickWords) -> Option<(Stage, Reason)> {
    let [stage, reason, ..] = words.last()?.to_le_bytes();
    let stage = Stage::ALL.get(usize::from(stage)).copied()?;
    Some((stage, Reason::ALL.get(usize::from(reason)).copied()?))
}

/// The tick's number and when it ran.
pub const fn when(words: &TickWords) -> (u64, Instant<Robot>) {
    let [tick, now, ..] = words;
    (*tick, Instant::from_micros(*now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_the_words() {
        let bytes: usize = FIELDS.iter().map(|field| field.times * field.width.bytes()).sum();
        assert_eq!(bytes, TICK_WORDS * 8);
        let place = |name: &str| {
            let before = FIELDS.iter().take_while(|field| field.name != name);
            before.map(|field| field.times).sum::<usize>()
        };
        assert_eq!((place("psm1_measured_js"), place("psm2_measured_js")), (13, 48));
        assert_eq!(place("safe_stops"), 83);
    }
}
