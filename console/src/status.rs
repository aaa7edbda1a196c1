//! What the console says of itself: the status now, the report at the end, the page's view.
//!
//! Knows: the fields, their units, and the words for people. Does not know: where they come from
//! beyond the snapshot it is handed; nothing here acts on anything.

pub(crate) mod books;
pub(crate) mod clerk;

use crate::input::page_hand::RELEASE_FIRST;
use crate::leader_thread::Snapshot;
use crate::page::{
    Advisory as AdvisoryView, AlarmView, ArmView, CountersView, LinkState, LinkView, PageView,
};
use crate::practice::Practice;
pub use books::{
    ConsoleReport, HlogError, Loss, RecordReport, Spread, StageReport, TickReport,
    check_report_folder, rounded, thousandths,
};
use longhand_leader::advisory::Advisory;
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::HandReading;
use longhand_leader::teleop::Anchor;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{
    ArmCommand, ArmState, Counters, FollowerState, Reason, SessionKey, Stage, Terms,
};
use longhand_protocol::units::{Console, Instant, Micros};
use std::borrow::Cow;

/// How the link stands, for people and programs.
#[derive(Clone, Debug, Default)]
pub struct LinkStatus {
    /// Up, connecting or down.
    pub state: LinkState,
    /// One sentence about it.
    pub words: String,
    /// Why the robot does not let this console in, if so.
    pub refused: Option<String>,
    /// That refusal stays until somebody has done something about it.
    pub refused_for_good: bool,
    /// The robot, as its certificate names it; empty before the first session.
    pub robot: String,
    /// The newest session's key.
    pub session: Option<SessionKey>,
    /// The newest session's terms.
    pub terms: Option<Terms>,
    /// Round trip of the network alone.
    pub rtt: Option<Micros>,
    /// Commands lost within the last whole second, percent.
    pub loss_percent: Option<f64>,
    /// Datagrams that came in another size than a state's.
    pub wrong_size: u64,
    /// The QUIC connection's own counters.
    pub datagrams_stale: u64,
}

/// One arm and its hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArmStatus {
    /// What the goal is measured from.
    pub anchor: Anchor,
    /// Where the hand is.
    pub hand: HandReading,
    /// What was sent last.
    pub goal: ArmCommand,
    /// What the robot said last.
    pub state: ArmState,
}

/// The newest of everything, a copy.
#[derive(Clone, Debug, Default)]
pub struct ConsoleStatus {
    /// When the leader thread's part was taken.
    pub at: Instant<Console>,
    /// The link.
    pub link: LinkStatus,
    /// Sessions so far.
    pub sessions: u64,
    /// The robot's stage; `None` before its first word.
    pub stage: Option<Stage>,
    /// Why the robot is not following.
    pub reason: Reason,
    /// The arms are enabled, their positions known: CRTK's word. Nothing homes them.
    pub is_homed: bool,
    /// Whether the goal follows the hand.
    pub engagement: Engagement,
    /// What the surgeon must be told; `None` before the first tick.
    pub advisory: Option<Advisory>,
    /// Since the newest state was received; `None` before one came in this session.
    pub state_age: Option<Micros>,
    /// As the robot says; `None` while the robot knows none, or nothing is heard of it.
    pub loop_age: Option<Micros>,
    /// What the playout buffer adds.
    pub playout_delay: Option<Micros>,
    /// The least and most that hand to joint can have taken, by the clocks' offset. For display.
    pub hand_to_joint: Option<(Micros, Micros)>,
    /// The input's name.
    pub input: String,
    /// What the input says of itself.
    pub input_note: &'static str,
    /// The pedal, as sent.
    pub operator_present: bool,
    /// The clutch, as sent.
    pub clutch: bool,
    /// Hand metres to tip metres.
    pub scale: f64,
    /// Both arms and hands.
    pub arms: PerArm<ArmStatus>,
    /// The robot's counters, newest.
    pub counters: Counters,
    /// Alarms that are raised or not yet acknowledged.
    pub alarms: Vec<AlarmView>,
    /// Commands sent over all sessions.
    pub commands_sent: u64,
    /// Command numbers passed over because this console stood still.
    pub commands_skipped: u64,
    /// Ticks that the leader thread ran, and that it missed.
    pub ticks: (u64, u64),
    /// What the leader thread was granted, in words.
    pub real_time: String,
}

/// What does not change while a console runs.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) link_name: String,
    pub(crate) input: String,
    pub(crate) scale: f64,
    pub(crate) practice: Practice,
}

/// What the clerk knows beside the snapshot.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Instant<Console>,
    pub(crate) fixed: &'a Fixed,
    pub(crate) link: &'a LinkStatus,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) alarms: Vec<AlarmView>,
    pub(crate) real_time: &'a str,
}

impl Scene<'_> {
    /// The newest state while it is of this session.
    fn current(&self) -> Option<(&FollowerState, Instant<Console>)> {
        let (report, at) = self.snapshot.report.as_ref()?;
        self.snapshot.is_current.then_some((&report.state, *at))
    }

    /// The newest state of this session or the last: what a picture is drawn from.
    fn last(&self) -> Option<&FollowerState> {
        self.snapshot.report.as_ref().map(|(report, _)| &report.state)
    }

    pub(crate) fn status(self) -> ConsoleStatus {
        let (snapshot, last) = (self.snapshot, self.last());
        let current = self.current();
        let output = snapshot.output.as_ref();
        let known = |span: Micros| (span != Micros::MAX).then_some(span);
        let levels = output.map(|o| o.intent.levels).unwrap_or_default();
        ConsoleStatus {
            at: snapshot.at,
            link: LinkStatus { state: self.link_state(), rtt: snapshot.rtt, ..self.link.clone() },
            sessions: snapshot.tally.sessions,
            stage: last.map(|s| s.stage),
            reason: last.map_or(Reason::None, |s| s.reason),
            is_homed: last.is_some_and(|s| s.is_homed),
            engagement: output.map_or(Engagement::Disconnected, |o| o.engagement),
            advisory: output.map(|o| o.advisory),
            state_age: current.map(|(_, at)| self.now.since(at)),
            loop_age: current.and_then(|(s, _)| known(s.loop_age)),
            playout_delay: current.map(|(s, _)| s.playout_delay),
            hand_to_joint: snapshot.hand_to_joint,
            input: self.fixed.input.clone(),
            input_note: snapshot.note,
            operator_present: levels.operator_present,
            clutch: levels.clutch,
            scale: self.fixed.scale,
            arms: PerArm::from_fn(|arm| ArmStatus {
                anchor: output.map(|o| *o.anchors.get(arm)).unwrap_or_default(),
                hand: *snapshot.hands.get(arm),
                goal: output.map(|o| *o.intent.arms.get(arm)).unwrap_or_default(),
                state: last.map(|s| *s.arms.get(arm)).unwrap_or_default(),
            }),
            counters: last.map(|s| s.counters).unwrap_or_default(),
            commands_sent: snapshot.tally.commands_sent,
            commands_skipped: snapshot.tally.commands_skipped,
            ticks: (snapshot.tally.ticks, snapshot.tally.missed),
            real_time: self.real_time.to_owned(),
            alarms: self.alarms,
        }
    }

    pub(crate) fn view(self, books: &books::Books) -> PageView {
        let (snapshot, last) = (self.snapshot, self.last());
        let output = snapshot.output.as_ref();
        let levels = output.map(|o| o.intent.levels).unwrap_or_default();
        let advisory = output.map_or(Advisory::NoLink, |o| o.advisory);
        let blank = FollowerState::default();
        let state = last.unwrap_or(&blank);
        PageView {
            state_received_at: self.current().map(|(_, at)| at),
            session: Cow::Owned(session_words(self.link)),
            link_profile: Cow::Owned(self.fixed.link_name.clone()),
            link: self.link_view(),
            stage: state.stage,
            reason: state.reason,
            reason_words: state.reason.words(),
            commands_skipped: snapshot.tally.commands_skipped,
            is_homed: state.is_homed,
            advisory: AdvisoryView {
                text: Cow::Borrowed(advisory.text()),
                // What the hands' device lacks comes before what the robot waits for.
                do_next: Cow::Borrowed(match snapshot.note {
                    RELEASE_FIRST => {
                        "Release the pedal, then press it: it was down before it was heard."
                    }
                    _ => advisory.do_next(),
                }),
            },
            engaged: levels.engaged,
            clutch: levels.clutch,
            operator_present: levels.operator_present,
            scale: self.fixed.scale,
            practice: self.fixed.practice.is_simulated(),
            practice_picture: last
                .and_then(|state| self.fixed.practice.task()?.picture(state.robot_time)),
            input_in_use: Cow::Owned(match snapshot.note {
                "" => self.fixed.input.clone(),
                note => format!("{}: {note}", self.fixed.input),
            }),
            arms: PerArm::from_fn(|arm| {
                let command = output.map(|o| o.intent.arms.get(arm));
                ArmView::new(arm, state.arms.get(arm), command)
            }),
            loop_age_histogram: books.loop_age_view(),
            hand_to_joint_histogram: books.hand_to_joint_view(),
            counters: CountersView::from(&state.counters),
            alarms: self.alarms,
        }
    }

    /// In session but silent is no link, whatever QUIC still hopes.
    fn link_state(&self) -> LinkState {
        let is_silent = |terms: &Terms| {
            self.snapshot.output.is_none_or(|output| output.state_age > terms.latch_after)
        };
        match self.link.state {
            LinkState::Up if self.link.terms.as_ref().is_some_and(is_silent) => LinkState::Down,
            state @ (LinkState::Up | LinkState::Connecting | LinkState::Down) => state,
        }
    }

    fn link_view(&self) -> LinkView {
        let (state, link) = (self.current().map(|(state, _)| state), self.link);
        let ms = |span: Micros| (span != Micros::MAX).then(|| span.as_millis_f64());
        LinkView {
            state: self.link_state(),
            words: Cow::Owned(match &link.refused {
                Some(refused) => refused.clone(),
                None => link.words.clone(),
            }),
            loop_age_ms: state.and_then(|s| ms(s.loop_age)),
            age_ms: state.and_then(|s| ms(s.age)),
            rtt_ms: self.snapshot.rtt.and_then(ms),
            playout_delay_ms: state.and_then(|s| ms(s.playout_delay)),
            loss_percent: link.loss_percent,
            loop_age_warn_ms: link.terms.and_then(|t| ms(t.loop_age_warn)),
            loop_age_max_ms: link.terms.and_then(|t| ms(t.loop_age_max)),
        }
    }
}

fn session_words(link: &LinkStatus) -> String {
    match &link.session {
        None => String::new(),
        Some(key) => {
            // The first half is this console's own: enough to tell two sessions apart in a log.
            let id = key.session.bytes().iter().take(4).fold(String::new(), |mut hex, byte| {
                use std::fmt::Write as _;
                // Writing to a String cannot fail.
                let _written = write!(hex, "{byte:02x}");
                hex
            });
            format!("{}, session {id}, epoch {}", link.robot, key.epoch.get())
        }
    }
}
