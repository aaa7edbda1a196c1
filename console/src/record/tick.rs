//! One tick of the leader thread as fixed words: the hands as they were read, what was shown, and
//! what was known of the robot.
//!
//! Knows: the fields and their order. Does not know: rings (`tap`), files, or what a tick decides.
//! Called from the leader thread: copies.
//!
//! The words, written little endian one after the other, are the body of the tick's CDR message:
//! widths only fall, so nothing is padded. Lengths are metres, angles radians, times microseconds.
//! What was sent stands in the command's own bytes, beside the tick.

use crate::page::AlarmPriority;
use longhand_leader::LeaderOutput;
use longhand_leader::advisory::Advisory;
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::{HandReading, HandSample, Nature, Orientation};
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::{Reason, Stage, StateReport};
use longhand_protocol::units::{Console, Instant, Seq};
use longhand_protocol::wire::COMMAND_LEN;
use longhand_quic::pace::Tick;
use longhand_record::ring::{Words, bits, place};
use longhand_record::schema::{Field, Width, field};

/// What a tick of the leader thread was.
#[derive(Clone, Copy, Debug)]
pub struct LeaderTick<'a> {
    /// When it was to run, and when it did.
    pub tick: &'a Tick<Console>,
    /// The hands and pedals, as read.
    pub sample: &'a HandSample,
    /// What was made of them.
    pub output: &'a LeaderOutput,
    /// The command that went out, and its number; `None` where there is no session.
    pub command: Option<(Seq, &'a [u8; COMMAND_LEN])>,
    /// The newest state, of this session or the last, and when it was received.
    pub newest: Option<(&'a StateReport, Instant<Console>)>,
    /// Whether that state is of the session that is open.
    pub is_current: bool,
    /// What was counted since the console started.
    pub counts: Counts,
    /// The alarms that were shown.
    pub alarms: AlarmLevel,
}

/// What the leader thread has counted since the console started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions begun.
    pub sessions: u64,
    /// States believed.
    pub states_accepted: u64,
    /// States that never came.
    pub states_lost: u64,
    /// States not believed.
    pub states_rejected: u64,
    /// States passed over because newer ones waited.
    pub states_passed: u64,
    /// States by which the robot used a command that this console did not send so.
    pub commands_altered: u64,
}

/// How many alarms are shown, and the most urgent of those whose condition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmLevel {
    /// How many.
    pub count: u32,
    /// The most urgent; `None` where there is none.
    pub most: Option<AlarmPriority>,
}

impl AlarmLevel {
    /// As one word, so that it is whole wherever it is read.
    pub fn word(self) -> u64 {
        (u64::from(self.count) << 8) | u64::from(level(self.most))
    }

    /// Out of that word.
    pub fn of(word: u64) -> Self {
        let [most, ..] = word.to_le_bytes();
        let most = usize::from(most).checked_sub(1);
        Self {
            count: u32::try_from(word >> 8).unwrap_or(u32::MAX),
            most: most.and_then(|place| AlarmPriority::ALL.get(place)).copied(),
        }
    }
}

/// 0 for none, then by urgency.
fn level(priority: Option<AlarmPriority>) -> u8 {
    priority.map_or(0, |priority| place(&AlarmPriority::ALL, &priority).saturating_add(1))
}

const CP: &str = "the hand in its device's frame, as read: x y z (m), then w x y z";
const JAW: &str = "how far the grip is open, rad of the jaw";
const COUNTED: &str = "since the console started";
const SAID: &str = "as the newest state said";

/// Every field of a tick, in order.
pub const FIELDS: [Field; 39] = [
    field("tick", Width::U64, 1, "from 0 by one; what is missing, a Gap says"),
    field("now_us", Width::U64, 1, "console clock: when the tick ran"),
    field("scheduled_at_us", Width::U64, 1, "console clock: when it should have run"),
    field("missed", Width::U64, 1, "ticks just before it that never ran"),
    field("sampled_at_us", Width::U64, 1, "console clock: when the hands were read"),
    field("sample_valid_for_us", Width::U64, 1, "so long the sample counts"),
    field("sessions", Width::U64, 1, COUNTED),
    field("command", Width::U64, 1, "number of the command that was sent; 0: none was"),
    field("state", Width::U64, 1, "number of the robot's newest state; 0: none yet"),
    field("state_received_at_us", Width::U64, 1, "console clock"),
    field("state_age_us", Width::U64, 1, "as the leader took it; all ones: never"),
    field("robot_us", Width::U64, 1, "robot clock: the newest state's stamp"),
    field("echo", Width::U64, 1, "the command that the robot used, as the newest state said"),
    field("age_us", Width::U64, 1, "of that command; all ones: never"),
    field("loop_age_us", Width::U64, 1, "view plus command, by the robot; all ones: never"),
    field("accepted", Width::U64, 1, "commands of the session, as the newest state said"),
    field("rejected", Width::U64, 1, SAID),
    field("lost", Width::U64, 1, SAID),
    field("states_accepted", Width::U64, 1, COUNTED),
    field("states_lost", Width::U64, 1, COUNTED),
    field("states_rejected", Width::U64, 1, COUNTED),
    field("states_passed", Width::U64, 1, "newer ones waited; since the console started"),
    field("commands_altered", Width::U64, 1, "used by the robot, and not sent so by this console"),
    field("psm1_hand_cp", Width::F64, 7, CP),
    field("psm1_hand_jaw", Width::F64, 1, JAW),
    field("psm2_hand_cp", Width::F64, 7, CP),
    field("psm2_hand_jaw", Width::F64, 1, JAW),
    field("safe_stops", Width::U32, 1, SAID),
    field("late_ticks", Width::U32, 1, "the robot's, as the newest state said"),
    field("missed_ticks", Width::U32, 1, "the robot's, as the newest state said"),
    field("alarms", Width::U32, 1, "how many are shown"),
    field("engagement", Width::U8, 1, "0 Disconnected Held Aligning Clutched Following 4"),
    field("advisory", Width::U8, 1, "what the surgeon is told, in the order of Advisory"),
    field("stage", Width::U8, 1, "the robot's: 0 Follow to Disabled 7; 255 before its first word"),
    field("reason", Width::U8, 1, "WIRE.md section 7; 255 before the robot's first word"),
    field("pedals", Width::U8, 1, "as read: 1 operator present, 2 clutch, 4 8 energy"),
    field("device", Width::U8, 1, "1 its orientation is absolute, 2 a living hand is tracked"),
    field("flags", Width::U8, 1, "1 a command was sent, 2 the newest state is of this session"),
    field("alarm", Width::U8, 1, "the most urgent that holds: 0 none info medium high 3"),
];

/// The size of a tick, words.
pub const TICK_WORDS: usize = 23 + 16 + 2 + 1;

/// A tick as words.
pub type TickWords = [u64; TICK_WORDS];

/// Writes a tick. Total, no heap: for the leader thread.
pub fn pack(number: u64, seen: &LeaderTick<'_>) -> TickWords {
    let LeaderTick { tick, sample, output, command, newest, counts, alarms, .. } = seen;
    let mut out = Words::default();
    out.put(number);
    out.put(tick.woke_at.as_micros());
    out.put(tick.scheduled_at.as_micros());
    out.put(tick.missed);
    out.put(sample.sampled_at.as_micros());
    out.put(sample.valid_for.as_micros());
    out.put(counts.sessions);
    out.put(command.map_or(0, |(number, _)| number.get()));
    let state = newest.map(|(report, _)| report.state).unwrap_or_default();
    let said = state.counters;
    out.put(newest.map_or(0, |(report, _)| report.number.get()));
    out.put(newest.map_or(0, |(_, at)| at.as_micros()));
    out.put(output.state_age.as_micros());
    out.put(state.robot_time.as_micros());
    out.put(state.echo.number.get());
    out.put(state.age.as_micros());
    out.put(state.loop_age.as_micros());
    out.put(said.accepted);
    out.put(said.rejected);
    out.put(said.lost);
    out.put(counts.states_accepted);
    out.put(counts.states_lost);
    out.put(counts.states_rejected);
    out.put(counts.states_passed);
    out.put(counts.commands_altered);
    for arm in ArmId::ALL {
        hand(&mut out, sample.hands.get(arm));
    }
    out.halves(said.safe_stops, said.late_ticks);
    out.halves(said.missed_ticks, alarms.count);
    out.put(u64::from_le_bytes(small(seen)));
    out.done()
}

fn hand(out: &mut Words<TICK_WORDS>, reading: &HandReading) {
    let (p, q) = (reading.pose.position(), reading.pose.rotation());
    out.floats(&[p.x, p.y, p.z, q.w, q.i, q.j, q.k]);
    out.floats(&[reading.jaw]);
}

fn small(seen: &LeaderTick<'_>) -> [u8; 8] {
    let LeaderTick { sample, output, .. } = seen;
    let state = seen.newest.map(|(report, _)| report.state);
    [
        place(&Engagement::ALL, &output.engagement),
        place(&Advisory::ALL, &output.advisory),
        state.map_or(u8::MAX, |state| place(&Stage::ALL, &state.stage)),
        state.map_or(u8::MAX, |state| place(&Reason::ALL, &state.reason)),
        bits([sample.operator_present, sample.clutch, sample.energy.psm1, sample.energy.psm2]),
        bits([sample.orientation == Orientation::Absolute, sample.nature == Nature::Tracked]),
        bits([seen.command.is_some(), seen.is_current]),
        level(seen.alarms.most),
    ]
}

/// What a person would call the state of a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether the goal follows the hand.
    pub engagement: Engagement,
    /// What the surgeon is told.
    pub advisory: Advisory,
    /// The robot's stage and why; `None` before its first word.
    pub robot: Option<(Stage, Reason)>,
}

impl Known {
    /// Out of a tick; `None` where a word stands for nothing, which no console writes.
    pub fn of(words: &TickWords) -> Option<Self> {
        let [engagement, advisory, stage, reason, ..] = words.last()?.to_le_bytes();
        let robot = Stage::ALL.get(usize::from(stage)).zip(Reason::ALL.get(usize::from(reason)));
        Some(Self {
            engagement: *Engagement::ALL.get(usize::from(engagement))?,
            advisory: *Advisory::ALL.get(usize::from(advisory))?,
            robot: robot.map(|(stage, reason)| (*stage, *reason)),
        })
    }
}

/// The tick's number and when it ran.
pub const fn when(words: &TickWords) -> (u64, Instant<Console>) {
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
        assert_eq!((place("psm1_hand_cp"), place("safe_stops")), (23, 39));
    }

    #[test]
    fn an_alarm_level_survives_its_word() {
        let all = [None, Some(AlarmPriority::Info), Some(AlarmPriority::High)];
        for (most, count) in all.into_iter().zip([0, 1, u32::MAX]) {
            let level = AlarmLevel { count, most };
            assert_eq!(AlarmLevel::of(level.word()), level);
        }
    }
}
