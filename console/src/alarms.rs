//! Which alarms are raised, how urgent each is, and when it may go.
//!
//! Knows: conditions, priorities, and that what was raised stays until somebody has seen it. Does
//! not know: a clock (`now` comes in), threads, sounds, or how an alarm is shown (`page`). Nothing
//! here moves or stops anything: the robot has acted long before a person reads.
//!
//! An alarm is *raised* when its condition begins, and goes when the condition is over **and** the
//! surgeon has acknowledged it. One that grows more urgent must be acknowledged anew. An
//! information signal about what the surgeon did on purpose goes by itself ([`AlarmKind::stays`]).
//! Priorities are IEC 60601-1-8's words. Source: safety.md I25 (signalled within 100 ms, stays
//! until acknowledged) and section 4.3 (Latched: medium at once, high at 2 s; Bedside: high).

use crate::page::{AlarmPriority, AlarmView};
use longhand_leader::advisory::hears_in_time;
use longhand_protocol::message::{FollowerState, Reason, RecordAlarm, Stage, Terms};
use longhand_protocol::units::{Console, Instant, Micros};
use std::borrow::Cow;

/// What can be alarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// No word from the robot.
    NoLink,
    /// The robot, or its certificate check, does not let this console in.
    Refused,
    /// The robot acts on commands that this console did not send.
    Altered,
    /// The robot is in fault.
    SafeOff,
    /// The bedside owns the robot.
    Bedside,
    /// The robot holds, and comes back only by the pedal.
    Latched,
    /// The robot holds because the surgeon wished it so.
    Resting,
    /// What the surgeon sees is old.
    LoopAge,
    /// The console's own leader thread stood still.
    Stalled,
    /// A pause or resume was not taken.
    AskRefused,
    /// The robot is not recorded, or its record falls behind.
    NotRecorded,
    /// This console is not recorded, or its record falls behind.
    SelfNotRecorded,
    /// A tool is at the edge of where it may go.
    Limited,
    /// The console was not granted real-time priority.
    NotRealTime,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::NoLink,
        Self::Refused,
        Self::Altered,
        Self::SafeOff,
        Self::Bedside,
        Self::Latched,
        Self::Resting,
        Self::LoopAge,
        Self::Stalled,
        Self::AskRefused,
        Self::NotRecorded,
        Self::SelfNotRecorded,
        Self::Limited,
        Self::NotRealTime,
    ];

    /// Whether it stays after its condition is over, until it is acknowledged. All do but one: a
    /// foot taken off the pedal needs no acknowledgement, and a list full of them hides the rest.
    pub const fn stays(self) -> bool {
        match self {
            Self::Resting => false,
            Self::NoLink
            | Self::Refused
            | Self::Altered
            | Self::SafeOff
            | Self::Bedside
            | Self::Latched
            | Self::LoopAge
            | Self::Stalled
            | Self::AskRefused
            | Self::NotRecorded
            | Self::SelfNotRecorded
            | Self::Limited
            | Self::NotRealTime => true,
        }
    }

    /// The word for it, for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoLink => "NoLink",
            Self::Refused => "Refused",
            Self::Altered => "Altered",
            Self::SafeOff => "SafeOff",
            Self::Bedside => "Bedside",
            Self::Latched => "Latched",
            Self::Resting => "Resting",
            Self::LoopAge => "LoopAge",
            Self::Stalled => "Stalled",
            Self::AskRefused => "AskRefused",
            Self::NotRecorded => "NotRecorded",
            Self::SelfNotRecorded => "SelfNotRecorded",
            Self::Limited => "Limited",
            Self::NotRealTime => "NotRealTime",
        }
    }
}

/// What is looked at. All of it is the newest that the console knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// There has been a session since the console began.
    pub had_session: bool,
    /// How old the newest state of the session is; `None` without a session or a state in it.
    pub state_age: Option<Micros>,
    /// The newest state, of this session or the last.
    pub state: Option<&'a FollowerState>,
    /// The terms of the newest session.
    pub terms: Option<&'a Terms>,
    /// Why the robot does not let this console in, in words.
    pub refused: Option<&'a str>,
    /// Why the last pause or resume was not taken, in words.
    pub ask_refused: Option<&'a str>,
    /// Within the last second the robot used a command that this console did not send so.
    pub altered: bool,
    /// For how long the leader thread stood still, at worst, within the last second.
    pub stalled: Micros,
    /// What was not granted, and what follows from it.
    pub not_real_time: Option<&'a str>,
    /// How the robot's record does, by its own word.
    pub record: RecordAlarm,
    /// How this console's own record does; nothing is wrong with one that nobody asked for.
    pub self_record: RecordAlarm,
}

/// A console that has never had a session may try this long before it is more than information.
/// Chosen: a handshake over a satellite, twice.
const FIRST_TRY: Micros = Micros::from_secs(2);
/// Medium becomes high after this. Source: safety.md section 4.3, "high at 2 s".
const HIGH_AFTER: Micros = Micros::from_secs(2);
/// A state older than this is no word from the robot, before its own terms are known. Chosen: the
/// default profile's `latch_after`.
const SILENT_AFTER: Micros = Micros::from_millis(200);
/// A leader thread that stood still so long has made the robot brake. Source: design.md section 6,
/// Brake at age > 10 ms.
const STALLED_AFTER: Micros = Micros::from_millis(10);

/// What a condition has to say: its urgency now, and once it has lasted for a while.
#[derive(Debug)]
struct Signal {
    priority: AlarmPriority,
    grows: Option<(Micros, AlarmPriority)>,
    text: Cow<'static, str>,
}

impl Signal {
    fn new(priority: AlarmPriority, text: impl Into<Cow<'static, str>>) -> Self {
        Self { priority, grows: None, text: text.into() }
    }

    fn growing(self, after: Micros, priority: AlarmPriority) -> Self {
        Self { grows: Some((after, priority)), ..self }
    }
}

/// Whether the condition of `kind` holds, and what it says.
fn judge(kind: AlarmKind, facts: &Facts<'_>) -> Option<Signal> {
    use AlarmPriority::{High, Info, Medium};
    let state = facts.state;
    match kind {
        AlarmKind::NoLink => no_link(facts),
        AlarmKind::Refused => facts
            .refused
            .map(|words| Signal::new(High, format!("The robot refuses this console: {words}"))),
        AlarmKind::Altered => facts.altered.then(|| {
            Signal::new(
                High,
                "The robot acts on commands that this console did not send: they are changed on \
                 the way. Keep the pedal up, and have the bedside take the robot",
            )
        }),
        AlarmKind::SafeOff => state.filter(|s| s.stage == Stage::SafeOff).map(|s| {
            let why = s.reason.words();
            let text =
                format!("Robot in fault, power off: {why}. The bedside must restart and home");
            Signal::new(High, text)
        }),
        AlarmKind::Bedside => state.filter(|s| s.stage == Stage::Bedside).map(|s| {
            if s.reason == Reason::BedsideOwns || is_wished(s.reason) {
                Signal::new(Medium, "The bedside has the robot. Ask for a hand-over")
            } else {
                let why = s.reason.words();
                Signal::new(High, format!("The bedside has the robot: {why}. Ask for a hand-over"))
            }
        }),
        AlarmKind::Latched => latched(facts),
        AlarmKind::Resting => resting(facts),
        AlarmKind::LoopAge => {
            let warn = facts.terms?.loop_age_warn;
            let age = state?.loop_age;
            let known = facts.state_age.is_some() && age != Micros::MAX;
            (known && age > warn).then(|| {
                Signal::new(Medium, "What you see is old; the tool is slowed. Move slowly")
            })
        }
        AlarmKind::Stalled => (facts.stalled >= STALLED_AFTER).then(|| {
            Signal::new(
                Medium,
                "This console stood still and the robot braked. Close other programs",
            )
        }),
        AlarmKind::AskRefused => facts.ask_refused.map(|words| Signal::new(Info, words.to_owned())),
        AlarmKind::NotRecorded => {
            let priority = match facts.record {
                RecordAlarm::None => return None,
                RecordAlarm::Behind => Info,
                RecordAlarm::Failed => Medium,
            };
            let words = facts.record.advice();
            Some(Signal::new(priority, format!("Black box: {words}. Tell the bedside")))
        }
        AlarmKind::SelfNotRecorded => self_not_recorded(facts.self_record),
        AlarmKind::Limited => state.filter(|s| s.arms.iter().any(|arm| arm.limited)).map(|_| {
            Signal::new(Info, "A tool is at the edge of where it may go. Move back, or clutch")
        }),
        AlarmKind::NotRealTime => facts
            .not_real_time
            .map(|words| Signal::new(Info, format!("Console not real-time: {words}"))),
    }
}

fn self_not_recorded(record: RecordAlarm) -> Option<Signal> {
    let (priority, text) = match record {
        RecordAlarm::None => return None,
        RecordAlarm::Behind => (
            AlarmPriority::Info,
            "This console's record falls behind: its disk is slow; nothing is lost yet",
        ),
        RecordAlarm::Failed => (
            AlarmPriority::Medium,
            "This console is not recorded: its disk is full, gone or too slow. Have it seen to; \
             recording begins again by itself",
        ),
    };
    Some(Signal::new(priority, text))
}

/// Latched, and not because the surgeon wished it so. The robot's reason only rises while it stands
/// ([`Reason`]'s order is worst last), so a foot off the pedal hides a link that went silent since:
/// what the robot hears *now* is looked at beside it.
fn latched(facts: &Facts<'_>) -> Option<Signal> {
    use AlarmPriority::{High, Medium};
    let state = facts.state.filter(|s| s.stage == Stage::Latched)?;
    let text = if !is_wished(state.reason) {
        let why = state.reason.words();
        format!("Held: {why}. Release the pedal, then press it")
    } else if deafness(facts, state) == Deafness::Fell {
        "Held: the link to the robot is not good enough. Wait; call the bedside if it lasts"
            .to_owned()
    } else {
        return None;
    };
    Some(Signal::new(Medium, text).growing(HIGH_AFTER, High))
}

/// Latched because the surgeon wished it so, or a session has just begun.
fn resting(facts: &Facts<'_>) -> Option<Signal> {
    use AlarmPriority::{Info, Medium};
    let state = facts.state.filter(|s| s.stage == Stage::Latched && is_wished(s.reason))?;
    match deafness(facts, state) {
        Deafness::Fell => None,
        Deafness::Never => {
            let text = "Held: no command of this session has reached the robot yet";
            Some(Signal::new(Info, text).growing(FIRST_TRY, Medium))
        }
        Deafness::Hears => Some(Signal::new(Info, format!("Held: {}", state.reason.words()))),
    }
}

/// Whether commands reach the robot, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deafness {
    /// They do, and soon enough.
    Hears,
    /// None of this session has had its turn: it has just begun, or the way there is dead.
    Never,
    /// They did, and no longer do, or come too late.
    Fell,
}

fn deafness(facts: &Facts<'_>, state: &FollowerState) -> Deafness {
    if facts.terms.is_none_or(|terms| hears_in_time(state, terms)) {
        Deafness::Hears
    } else if state.age == Micros::MAX {
        Deafness::Never
    } else {
        Deafness::Fell
    }
}

fn no_link(facts: &Facts<'_>) -> Option<Signal> {
    use AlarmPriority::{High, Info, Medium};
    let bound = facts.terms.map_or(SILENT_AFTER, |terms| terms.latch_after);
    if facts.state_age.is_some_and(|age| age <= bound) {
        return None;
    }
    Some(if facts.had_session {
        Signal::new(Medium, "No word from the robot. Wait; call the bedside if it lasts")
            .growing(HIGH_AFTER, High)
    } else {
        Signal::new(Info, "Not connected to the robot yet").growing(FIRST_TRY, Medium)
    })
}

/// Held because the surgeon did something on purpose.
const fn is_wished(reason: Reason) -> bool {
    match reason {
        Reason::None | Reason::OperatorAbsent | Reason::Paused | Reason::NewSession => true,
        Reason::LinkSilent
        | Reason::Mismatch
        | Reason::LoopAge
        | Reason::Integrity
        | Reason::Limit
        | Reason::LeaseExpired
        | Reason::BedsideOwns
        | Reason::HoldError
        | Reason::MissedTicks
        | Reason::Drive
        | Reason::Broken
        | Reason::EmergencyStop => false,
    }
}

/// One alarm that is shown.
#[derive(Clone, Debug)]
struct Raised {
    id: u32,
    priority: AlarmPriority,
    text: Cow<'static, str>,
    raised_at: Instant<Console>,
    /// When the condition last began; `None` while it is over.
    holds_since: Option<Instant<Console>>,
    acknowledged: bool,
}

/// How an alarm that is shown stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// As it is shown; an acknowledgement names it.
    pub id: u32,
    /// How urgent it is.
    pub priority: AlarmPriority,
    /// Its condition holds.
    pub holds: bool,
    /// The surgeon has seen it.
    pub acknowledged: bool,
}

/// Every alarm: at most one of each kind.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    slots: [Option<Raised>; AlarmKind::ALL.len()],
    last_id: u32,
}

impl Alarms {
    /// No alarm.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the facts. Call it at least every 100 ms: that is the bound within which an alarm
    /// must be raised.
    pub fn observe(&mut self, now: Instant<Console>, facts: &Facts<'_>) {
        let Self { slots, last_id } = self;
        for (slot, kind) in slots.iter_mut().zip(AlarmKind::ALL) {
            match judge(kind, facts) {
                Some(signal) => raise(slot, signal, now, last_id),
                None => fall(slot, kind),
            }
        }
    }

    /// The surgeon has seen the alarm with this id. An id that is gone is nothing.
    pub fn acknowledge(&mut self, id: u32) {
        for slot in &mut self.slots {
            let Some(raised) = slot else { continue };
            if raised.id == id {
                raised.acknowledged = true;
                if raised.holds_since.is_none() {
                    *slot = None;
                }
            }
        }
    }

    /// Whether this kind is shown, and how urgently.
    pub fn priority(&self, kind: AlarmKind) -> Option<AlarmPriority> {
        let mut all = self.slots.iter().zip(AlarmKind::ALL);
        all.find(|(_, of)| *of == kind).and_then(|(slot, _)| slot.as_ref()).map(|r| r.priority)
    }

    /// How each kind stands, in the order of [`AlarmKind::ALL`]; `None` where it is not shown.
    pub fn standings(&self) -> [Option<Standing>; AlarmKind::ALL.len()] {
        self.slots.each_ref().map(|slot| {
            slot.as_ref().map(|raised| Standing {
                id: raised.id,
                priority: raised.priority,
                holds: raised.holds_since.is_some(),
                acknowledged: raised.acknowledged,
            })
        })
    }

    /// Everything that is shown, the most urgent first, then the oldest.
    pub fn views(&self, now: Instant<Console>) -> Vec<AlarmView> {
        let mut shown: Vec<&Raised> = self.slots.iter().flatten().collect();
        let key = |raised: &&Raised| {
            let over = raised.holds_since.is_none();
            (over, core::cmp::Reverse(raised.priority), raised.raised_at)
        };
        shown.sort_by_key(key);
        let view = |raised: &Raised| AlarmView {
            id: raised.id,
            priority: raised.priority,
            text: if raised.holds_since.is_some() {
                raised.text.clone()
            } else {
                Cow::Owned(format!("Over now: {}", raised.text))
            },
            since_ms: now.since(raised.holds_since.unwrap_or(raised.raised_at)).as_millis_f64(),
            over: raised.holds_since.is_none(),
            acknowledged: raised.acknowledged,
        };
        shown.into_iter().map(view).collect()
    }
}

fn raise(slot: &mut Option<Raised>, signal: Signal, now: Instant<Console>, last_id: &mut u32) {
    let raised = slot.get_or_insert_with(|| {
        *last_id = last_id.saturating_add(1);
        Raised {
            id: *last_id,
            priority: signal.priority,
            text: Cow::Borrowed(""),
            raised_at: now,
            holds_since: None,
            acknowledged: false,
        }
    });
    let since = *raised.holds_since.get_or_insert(now);
    let grown = signal.grows.filter(|(after, _)| now.since(since) >= *after);
    let priority = grown.map_or(signal.priority, |(_, priority)| priority);
    if priority > raised.priority {
        raised.priority = priority;
        // A new number, too: an acknowledgement under way was given to the milder one.
        raised.acknowledged = false;
        *last_id = last_id.saturating_add(1);
        raised.id = *last_id;
    }
    raised.text = signal.text;
}

fn fall(slot: &mut Option<Raised>, kind: AlarmKind) {
    let Some(raised) = slot else { return };
    raised.holds_since = None;
    if raised.acknowledged || !kind.stays() {
        *slot = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlarmPriority::{High, Info, Medium};

    fn at(ms: u64) -> Instant<Console> {
        Instant::from_micros(ms * 1_000)
    }

    fn state(stage: Stage, reason: Reason) -> FollowerState {
        FollowerState { stage, reason, ..FollowerState::default() }
    }

    const TERMS: Terms = Terms {
        tip_speed_max: 0.1,
        tip_rate_max: 2.0,
        blend_max: longhand_protocol::geometry::Mismatch { distance_m: 1e-3, angle_rad: 0.03 },
        anchor_max: longhand_protocol::geometry::Mismatch { distance_m: 2e-2, angle_rad: 0.08 },
        loop_age_max: Micros::from_millis(300),
        loop_age_warn: Micros::from_millis(200),
        latch_after: Micros::from_millis(200),
    };

    fn good(state: &FollowerState) -> Facts<'_> {
        Facts {
            had_session: true,
            state_age: Some(Micros::from_millis(5)),
            state: Some(state),
            terms: Some(&TERMS),
            ..Facts::default()
        }
    }

    /// What one look at a stage and reason raises, and what it has become after 2 s.
    fn becomes(
        stage: Stage,
        reason: Reason,
        kind: AlarmKind,
    ) -> Option<(AlarmPriority, AlarmPriority)> {
        let mut alarms = Alarms::new();
        let state = state(stage, reason);
        alarms.observe(at(0), &good(&state));
        let first = alarms.priority(kind)?;
        alarms.observe(at(1_999), &good(&state));
        assert_eq!(alarms.priority(kind), Some(first), "a tick before");
        alarms.observe(at(2_000), &good(&state));
        Some((first, alarms.priority(kind)?))
    }

    #[test]
    fn a_robot_that_is_not_recorded_is_told_until_somebody_has_seen_it() {
        let mut alarms = Alarms::new();
        let state = state(Stage::Follow, Reason::None);
        let facts = |record| Facts { record, ..good(&state) };
        alarms.observe(at(0), &facts(RecordAlarm::None));
        assert_eq!(alarms.priority(AlarmKind::NotRecorded), None);
        alarms.observe(at(10), &facts(RecordAlarm::Behind));
        assert_eq!(alarms.priority(AlarmKind::NotRecorded), Some(Info));
        alarms.observe(at(20), &facts(RecordAlarm::Failed));
        assert_eq!(alarms.priority(AlarmKind::NotRecorded), Some(Medium));
        alarms.observe(at(30), &facts(RecordAlarm::None));
        assert_eq!(alarms.priority(AlarmKind::NotRecorded), Some(Medium), "nobody has seen it");
    }

    #[test]
    fn every_stage_and_reason_has_its_alarm() {
        for reason in Reason::ALL {
            let latched = becomes(Stage::Latched, reason, AlarmKind::Latched);
            let resting = becomes(Stage::Latched, reason, AlarmKind::Resting);
            if is_wished(reason) {
                assert_eq!((latched, resting), (None, Some((Info, Info))), "{reason:?}");
            } else {
                assert_eq!((latched, resting), (Some((Medium, High)), None), "{reason:?}");
            }
            let fault = becomes(Stage::SafeOff, reason, AlarmKind::SafeOff);
            assert_eq!(fault, Some((High, High)));
            let mut alarms = Alarms::new();
            alarms.observe(at(0), &good(&state(Stage::Latched, reason)));
            let views = alarms.views(at(0));
            assert!(views.iter().all(|view| view.text.contains(reason.words())));
            for stage in [Stage::Follow, Stage::Coast, Stage::Brake, Stage::Hold, Stage::Disabled] {
                let mut alarms = Alarms::new();
                alarms.observe(at(0), &good(&state(stage, reason)));
                assert!(alarms.views(at(0)).is_empty(), "{stage:?} {reason:?}");
            }
        }
        for reason in Reason::ALL {
            let asked = reason == Reason::BedsideOwns || is_wished(reason);
            let priority = if asked { Medium } else { High };
            let bedside = becomes(Stage::Bedside, reason, AlarmKind::Bedside);
            assert_eq!(bedside, Some((priority, priority)), "{reason:?}");
        }
    }

    #[test]
    fn a_link_that_fails_is_alarmed_behind_every_reason() {
        for reason in Reason::ALL {
            for (age_ms, loop_age_ms) in [(199, 300), (200, 0), (0, 301)] {
                let silent = FollowerState {
                    age: Micros::from_millis(age_ms),
                    loop_age: Micros::from_millis(loop_age_ms),
                    ..state(Stage::Latched, reason)
                };
                let failed = age_ms == 200 || loop_age_ms == 301;
                let mut alarms = Alarms::new();
                alarms.observe(at(0), &good(&silent));
                let latched = alarms.priority(AlarmKind::Latched);
                let expected = (failed || !is_wished(reason)).then_some(Medium);
                assert_eq!(latched, expected, "{reason:?} {age_ms} {loop_age_ms}");
                alarms.observe(at(2_000), &good(&silent));
                let latched = alarms.priority(AlarmKind::Latched);
                assert_eq!(latched, expected.map(|_| High), "{reason:?}");
            }
        }
    }

    #[test]
    fn a_foot_off_the_pedal_does_not_hide_a_link_that_fails_then() {
        let mut alarms = Alarms::new();
        let resting = state(Stage::Latched, Reason::OperatorAbsent);
        alarms.observe(at(0), &good(&resting));
        assert_eq!(alarms.priority(AlarmKind::Latched), None);
        // The robot's reason stays: the worse of the two in its own order.
        let silent = FollowerState { age: Micros::from_millis(250), ..resting };
        alarms.observe(at(300), &good(&silent));
        assert_eq!(alarms.priority(AlarmKind::Latched), Some(Medium));
        assert_eq!(alarms.priority(AlarmKind::Resting), None);
    }

    #[test]
    fn a_session_whose_commands_never_arrive_grows_urgent() {
        let mut alarms = Alarms::new();
        let fresh = FollowerState {
            age: Micros::MAX,
            loop_age: Micros::MAX,
            ..state(Stage::Latched, Reason::NewSession)
        };
        alarms.observe(at(0), &good(&fresh));
        assert_eq!(alarms.priority(AlarmKind::Resting), Some(Info), "it has only begun");
        assert_eq!(alarms.priority(AlarmKind::Latched), None);
        alarms.observe(at(2_000), &good(&fresh));
        assert_eq!(alarms.priority(AlarmKind::Resting), Some(Medium));
    }

    #[test]
    fn silence_is_medium_at_once_and_high_after_2_s() {
        let mut alarms = Alarms::new();
        let s = state(Stage::Follow, Reason::None);
        let silent = |ms| Facts { state_age: Some(Micros::from_millis(ms)), ..good(&s) };
        alarms.observe(at(0), &silent(200));
        assert_eq!(alarms.priority(AlarmKind::NoLink), None, "on the bound");
        alarms.observe(at(1), &silent(201));
        assert_eq!(alarms.priority(AlarmKind::NoLink), Some(Medium));
        let id = alarms.views(at(1))[0].id;
        alarms.acknowledge(id);
        assert!(alarms.views(at(2))[0].acknowledged);
        alarms.observe(at(2_001), &Facts { state_age: None, ..good(&s) });
        let view = alarms.views(at(2_001)).remove(0);
        assert_eq!((view.priority, view.acknowledged), (High, false), "seen anew");
        assert_ne!(view.id, id, "an old acknowledgement does not count");
    }

    #[test]
    fn before_the_first_session_silence_is_information_for_a_while() {
        let mut alarms = Alarms::new();
        alarms.observe(at(0), &Facts::default());
        assert_eq!(alarms.priority(AlarmKind::NoLink), Some(Info));
        alarms.observe(at(2_000), &Facts::default());
        assert_eq!(alarms.priority(AlarmKind::NoLink), Some(Medium));
    }

    #[test]
    fn an_alarm_stays_until_it_is_acknowledged_and_goes_with_its_condition() {
        let mut alarms = Alarms::new();
        let (bad, fine) =
            (state(Stage::SafeOff, Reason::Drive), state(Stage::Follow, Reason::None));
        alarms.observe(at(0), &good(&bad));
        alarms.observe(at(10), &good(&fine));
        let over = alarms.views(at(60_000)).remove(0);
        assert!(over.text.starts_with("Over now: ") && over.text.contains("a drive"));
        alarms.acknowledge(over.id);
        assert!(alarms.views(at(60_000)).is_empty());
        // The other order: acknowledged first, over later.
        alarms.observe(at(70_000), &good(&bad));
        let again = alarms.views(at(70_000)).remove(0);
        assert_ne!(again.id, over.id);
        alarms.acknowledge(again.id);
        assert_eq!(alarms.views(at(70_001)).len(), 1, "it still holds");
        alarms.observe(at(70_002), &good(&fine));
        assert!(alarms.views(at(70_002)).is_empty());
    }

    #[test]
    fn a_foot_off_the_pedal_is_told_and_goes_by_itself() {
        let mut alarms = Alarms::new();
        alarms.observe(at(0), &good(&state(Stage::Latched, Reason::OperatorAbsent)));
        assert_eq!(alarms.priority(AlarmKind::Resting), Some(Info));
        alarms.observe(at(1), &good(&state(Stage::Follow, Reason::None)));
        assert!(alarms.views(at(1)).is_empty());
    }

    #[test]
    fn the_rest_of_the_table() {
        let s = FollowerState { loop_age: Micros::from_millis(201), ..FollowerState::default() };
        let mut limited = state(Stage::Follow, Reason::None);
        limited.arms.psm2.limited = true;
        let calm = state(Stage::Follow, Reason::None);
        let base = good(&calm);
        for (facts, kind, priority) in [
            (good(&s), AlarmKind::LoopAge, Medium),
            (good(&limited), AlarmKind::Limited, Info),
            (Facts { refused: Some("no"), ..base }, AlarmKind::Refused, High),
            (Facts { altered: true, ..base }, AlarmKind::Altered, High),
            (Facts { ask_refused: Some("no"), ..base }, AlarmKind::AskRefused, Info),
            (Facts { not_real_time: Some("no"), ..base }, AlarmKind::NotRealTime, Info),
            (Facts { stalled: STALLED_AFTER, ..base }, AlarmKind::Stalled, Medium),
        ] {
            let mut alarms = Alarms::new();
            alarms.observe(at(0), &facts);
            assert_eq!(alarms.priority(kind), Some(priority), "{kind:?}");
            assert_eq!(alarms.views(at(0)).len(), 1);
            alarms.observe(at(1), &base);
            assert_eq!(alarms.priority(kind), Some(priority), "{kind:?} stays");
        }
        let edge = FollowerState { loop_age: Micros::from_millis(200), ..calm };
        let just = STALLED_AFTER.saturating_sub(Micros::from_micros(1));
        let mut alarms = Alarms::new();
        alarms.observe(at(0), &Facts { stalled: just, ..good(&edge) });
        assert!(alarms.views(at(0)).is_empty(), "on and below the bounds");
    }

    #[test]
    fn the_most_urgent_stands_first() {
        let mut alarms = Alarms::new();
        let s = state(Stage::SafeOff, Reason::HoldError);
        alarms.observe(
            at(0),
            &Facts { not_real_time: Some("no"), ..good(&state(Stage::Follow, Reason::None)) },
        );
        alarms.observe(at(1), &Facts { not_real_time: Some("no"), ..good(&s) });
        let priorities: Vec<_> = alarms.views(at(2)).iter().map(|view| view.priority).collect();
        assert_eq!(priorities, [High, Info]);
    }

    #[test]
    fn the_consoles_own_record_is_an_alarm_of_its_own() {
        let mut alarms = Alarms::new();
        let facts = |self_record| Facts { self_record, ..Facts::default() };
        let kind = AlarmKind::SelfNotRecorded;
        alarms.observe(at(0), &facts(RecordAlarm::None));
        assert_eq!(alarms.priority(kind), None);
        alarms.observe(at(1), &facts(RecordAlarm::Behind));
        assert_eq!(alarms.priority(kind), Some(Info));
        alarms.observe(at(2), &facts(RecordAlarm::Failed));
        assert_eq!(alarms.priority(kind), Some(Medium));
        assert_eq!(alarms.priority(AlarmKind::NotRecorded), None, "the robot's is another");
        let place = AlarmKind::ALL.iter().position(|known| *known == kind).unwrap();
        let standing = alarms.standings()[place].unwrap();
        assert!(standing.holds && !standing.acknowledged);
        alarms.acknowledge(standing.id);
        assert!(alarms.standings()[place].unwrap().acknowledged);
        alarms.observe(at(3), &facts(RecordAlarm::None));
        assert_eq!(alarms.standings()[place], None);
    }
}
