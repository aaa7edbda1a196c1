//! What the page shows, as it goes to the browser.
//!
//! Knows: the fields, their units, and the JSON of each. Does not know: where the values come from.
//!
//! States, stages and reasons are the types of `message.rs` and are written as their names. A
//! number that is not known is `None`, written as `null`; so is a number that is not finite.

use std::borrow::Cow;
use std::sync::Arc;

use longhand_protocol::geometry::{ArmId, PerArm, Pose, RobotBase, Tip};
use longhand_protocol::message::{ArmCommand, ArmState, Counters, Reason, Stage};
use longhand_protocol::units::{Console, Instant};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Everything the page shows. Made by the leader's side when `PageShared::wants_view`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageView {
    /// When the newest robot state in it was received; the page's view age is counted from here.
    /// Not written; `state_age_ms` beside the view is.
    #[serde(skip)]
    pub state_received_at: Option<Instant<Console>>,
    /// Which robot and session, for people.
    pub session: Cow<'static, str>,
    /// The name of the link's profile or trace.
    pub link_profile: Cow<'static, str>,
    /// The link.
    pub link: LinkView,
    /// The stage, written with its outer face as `stage` and `operating_state`.
    #[serde(flatten, serialize_with = "stage_words")]
    pub stage: Stage,
    /// Why the robot is not following.
    #[serde(serialize_with = "reason_word")]
    pub reason: Reason,
    /// The same as the middle of a sentence, for people.
    pub reason_words: &'static str,
    /// Command numbers passed over because this console stood still; the robot counts them as lost.
    pub commands_skipped: u64,
    /// The arms are enabled, their positions known: CRTK's word. Nothing homes them.
    pub is_homed: bool,
    /// What the surgeon must be told.
    pub advisory: Advisory,
    /// Every alarm that is raised or not yet acknowledged.
    pub alarms: Vec<AlarmView>,
    /// The leader regards itself as engaged.
    pub engaged: bool,
    /// The clutch, as sent to the robot.
    pub clutch: bool,
    /// The pedal, as sent to the robot.
    pub operator_present: bool,
    /// Instrument motion per hand motion.
    pub scale: f64,
    /// The robot is a simulated one, to practise on: the pedal may be locked.
    pub practice: bool,
    /// The task beside the robot, as it was when the newest state was made; `None` without one.
    #[serde(serialize_with = "shared")]
    pub practice_picture: Option<Arc<Value>>,
    /// Which input moves the hands: a page, a script and its name, a device.
    pub input_in_use: Cow<'static, str>,
    /// Both arms; written as a list of two that carry their names.
    #[serde(serialize_with = "arm_list")]
    pub arms: PerArm<ArmView>,
    /// How the loop age was spread, since the session began.
    pub loop_age_histogram: HistogramView,
    /// How the time from hand to joint was spread, since the session began.
    pub hand_to_joint_histogram: HistogramView,
    /// The robot's counters.
    pub counters: CountersView,
}

/// Whether there is a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// States arrive.
    Up,
    /// A handshake is under way.
    Connecting,
    /// Nothing arrives.
    #[default]
    Down,
}

/// The link, as the console sees it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkView {
    /// Whether there is one.
    pub state: LinkState,
    /// One sentence about it.
    pub words: Cow<'static, str>,
    /// How old the surgeon's view plus the command in use are together.
    pub loop_age_ms: Option<f64>,
    /// Time since the newest accepted command had its turn.
    pub age_ms: Option<f64>,
    /// Round trip of the network alone.
    pub rtt_ms: Option<f64>,
    /// What the playout buffer adds.
    pub playout_delay_ms: Option<f64>,
    /// Commands lost of the last thousand or so.
    pub loss_percent: Option<f64>,
    /// Above this loop age the surgeon is warned and the tool slowed (`Terms::loop_age_warn`).
    pub loop_age_warn_ms: Option<f64>,
    /// Above this loop age the robot latches (`Terms::loop_age_max`).
    pub loop_age_max_ms: Option<f64>,
}

/// What the surgeon must be told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Advisory {
    /// What is so.
    pub text: Cow<'static, str>,
    /// What to do next; empty if nothing.
    pub do_next: Cow<'static, str>,
}

/// How urgent an alarm is. The words of IEC 60601-1-8, with `Info` for its information signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmPriority {
    /// To be known.
    #[default]
    Info,
    /// To be acted on promptly.
    Medium,
    /// To be acted on at once.
    High,
}

impl AlarmPriority {
    /// Every priority, the most urgent last.
    pub const ALL: [Self; 3] = [Self::Info, Self::Medium, Self::High];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One alarm.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AlarmView {
    /// Which; `PageRequest::Acknowledge` names it.
    pub id: u32,
    /// How urgent.
    pub priority: AlarmPriority,
    /// What is wrong and what to do.
    pub text: Cow<'static, str>,
    /// How long ago it last began, milliseconds.
    pub since_ms: f64,
    /// What it says is over.
    pub over: bool,
    /// The surgeon has seen it.
    pub acknowledged: bool,
}

/// A tip pose in the arm's base frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CpView {
    /// x, y, z in millimetres.
    pub position_mm: [f64; 3],
    /// The unit quaternion w, x, y, z.
    pub orientation_wxyz: [f64; 4],
}

impl From<&Pose<RobotBase, Tip>> for CpView {
    fn from(cp: &Pose<RobotBase, Tip>) -> Self {
        let (p, q) = (cp.position(), cp.rotation());
        Self {
            position_mm: [p.x * 1e3, p.y * 1e3, p.z * 1e3],
            orientation_wxyz: [q.w, q.i, q.j, q.k],
        }
    }
}

/// One arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ArmView {
    /// CRTK's name: `PSM1` or `PSM2`.
    pub name: &'static str,
    /// Where the tip is.
    pub measured_cp: CpView,
    /// Where the tip was last told to be.
    pub setpoint_cp: CpView,
    /// The surgeon's newest goal; `None` before there is one.
    pub servo_cp: Option<CpView>,
    /// Jaw opening, larger is more open.
    pub measured_jaw_deg: f64,
    /// The surgeon's jaw goal.
    pub servo_jaw_deg: Option<f64>,
    /// Energy is on.
    pub energy: bool,
    /// The goal is out of reach; the nearest allowed pose is used.
    pub limited: bool,
}

impl ArmView {
    /// The arm as the robot reports it, beside what the surgeon asks of it.
    pub fn new(arm: ArmId, state: &ArmState, command: Option<&ArmCommand>) -> Self {
        Self {
            name: arm.name(),
            measured_cp: CpView::from(&state.measured_cp),
            setpoint_cp: CpView::from(&state.setpoint_cp),
            servo_cp: command.map(|command| CpView::from(&command.servo_cp)),
            measured_jaw_deg: state.measured_jaw.to_degrees(),
            servo_jaw_deg: command.map(|command| command.jaw.to_degrees()),
            energy: state.energy,
            limited: state.limited,
        }
    }
}

/// A histogram: `counts[i]` values of at least `bucket_low_ms[i]` and below the next; the last
/// bucket is open.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HistogramView {
    /// The lower edge of each bucket, rising.
    pub bucket_low_ms: Vec<f64>,
    /// How many values fell into each.
    pub counts: Vec<u64>,
}

/// [`Counters`], by the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountersView {
    /// Commands of this session that were accepted.
    pub accepted: u64,
    /// Datagrams that were rejected.
    pub rejected: u64,
    /// Command numbers of this session that never came.
    pub lost: u64,
    /// Times the robot went to Brake or worse because of the link.
    pub safe_stops: u32,
    /// Servo ticks that began late.
    pub late_ticks: u32,
    /// Servo ticks that never began.
    pub missed_ticks: u32,
}

impl From<&Counters> for CountersView {
    fn from(counters: &Counters) -> Self {
        let &Counters { accepted, rejected, lost, safe_stops, late_ticks, missed_ticks } = counters;
        Self { accepted, rejected, lost, safe_stops, late_ticks, missed_ticks }
    }
}

/// What is sent to the browser. `kind` tells them apart.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Word<'a> {
    /// 60 times a second.
    View {
        /// How old the newest robot state is at the moment of sending.
        state_age_ms: Option<f64>,
        /// The rest.
        view: &'a PageView,
    },
    /// Once, at the start: whether this page's input counts.
    You { holds_input: bool, said: &'a str },
    /// The last input was not taken.
    Error { said: &'a str },
}

impl<'a> Word<'a> {
    /// The view as it stands at `now`.
    pub(super) fn view(view: &'a PageView, now: Instant<Console>) -> Self {
        let age = |at: Instant<Console>| now.since(at).as_millis_f64();
        Self::View { state_age_ms: view.state_received_at.map(age), view }
    }

    /// The JSON. Nothing here can fail to be written; an empty text would be ignored by the page.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct StageWords {
    stage: &'static str,
    operating_state: &'static str,
}

fn stage_words<S: Serializer>(stage: &Stage, to: S) -> Result<S::Ok, S::Error> {
    StageWords { stage: stage.name(), operating_state: stage.operating_state().name() }
        .serialize(to)
}

fn reason_word<S: Serializer>(reason: &Reason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.name())
}

fn shared<S: Serializer>(picture: &Option<Arc<Value>>, to: S) -> Result<S::Ok, S::Error> {
    picture.as_deref().serialize(to)
}

fn arm_list<S: Serializer>(arms: &PerArm<ArmView>, to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(ArmId::ALL.len()))?;
    for arm in ArmId::ALL {
        list.serialize_element(arms.get(arm))?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::units::Micros;
    use serde_json::json;

    fn written(view: &PageView, now: Instant<Console>) -> Value {
        serde_json::from_str(&Word::view(view, now).json()).unwrap()
    }

    #[test]
    fn words_of_the_protocol_are_written_as_their_names() {
        for stage in Stage::ALL {
            let value = written(&PageView { stage, ..PageView::default() }, Instant::ORIGIN);
            assert_eq!(value["view"]["stage"], stage.name());
            assert_eq!(value["view"]["operating_state"], stage.operating_state().name());
        }
        let view = PageView { reason: Reason::LoopAge, ..PageView::default() };
        assert_eq!(written(&view, Instant::ORIGIN)["view"]["reason"], "LoopAge");
    }

    #[test]
    fn state_age_is_counted_from_receipt_and_null_before_it() {
        let at = Instant::from_micros(1_000_000);
        let view = PageView { state_received_at: Some(at), ..PageView::default() };
        let value = written(&view, at.after(Micros::from_micros(12_500)));
        assert_eq!(value["kind"], "view");
        let age_ms = value["state_age_ms"].as_f64().unwrap();
        assert!((age_ms - 12.5).abs() < 1e-9, "{age_ms}");
        assert_eq!(value["view"].get("state_received_at"), None);
        assert_eq!(written(&PageView::default(), at)["state_age_ms"], Value::Null);
    }

    #[test]
    fn arms_are_a_list_with_names_and_units() {
        let state = ArmState { measured_jaw: core::f64::consts::FRAC_PI_2, ..ArmState::default() };
        let arms = PerArm::from_fn(|arm| ArmView::new(arm, &state, None));
        let value = written(&PageView { arms, ..PageView::default() }, Instant::ORIGIN);
        assert_eq!(value["view"]["arms"][0]["name"], "PSM1");
        assert_eq!(value["view"]["arms"][1]["name"], "PSM2");
        assert_eq!(value["view"]["arms"][1]["measured_jaw_deg"], 90.0);
        let identity = json!({"position_mm": [0.0, 0.0, 0.0],
            "orientation_wxyz": [1.0, 0.0, 0.0, 0.0]});
        assert_eq!(value["view"]["arms"][0]["measured_cp"], identity);
        assert_eq!(value["view"]["arms"][0]["servo_cp"], Value::Null);
    }

    #[test]
    fn number_that_is_not_finite_is_written_as_null() {
        let view = PageView { scale: f64::NAN, ..PageView::default() };
        assert_eq!(written(&view, Instant::ORIGIN)["view"]["scale"], Value::Null);
    }
}
