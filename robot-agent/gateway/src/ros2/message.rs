//! The ROS 2 messages that are said, from a view.
//!
//! Knows: their fields, in order, and the hashes of their types. Does not know: keys.

use super::cdr::Cdr;
use crate::words::{Level, View};
use longhand_protocol::geometry::{ArmId, JointPositions, Pose, RobotBase, Tip};
use longhand_protocol::message::ArmState;

/// A type: its name as DDS writes it, and the hash that a peer expects (RIHS01, Jazzy and later).
///
/// Source of the hashes: `rosbags` computes them from the definitions; the test against foreign
/// peers computes them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `geometry_msgs/msg/PoseStamped`
    PoseStamped,
    /// `sensor_msgs/msg/JointState`
    JointState,
    /// `crtk_msgs/msg/OperatingState`
    OperatingState,
    /// `tf2_msgs/msg/TFMessage`
    Tf,
    /// `diagnostic_msgs/msg/DiagnosticArray`
    Diagnostics,
}

impl Type {
    /// Name and hash, as they stand in keys.
    pub const fn in_key(self) -> &'static str {
        match self {
            Self::PoseStamped => concat!(
                "geometry_msgs::msg::dds_::PoseStamped_/RIHS01_",
                "10f3786d7d40fd2b54367835614bff85d4ad3b5dab62bf8bca0cc232d73b4cd8"
            ),
            Self::JointState => concat!(
                "sensor_msgs::msg::dds_::JointState_/RIHS01_",
                "a13ee3a330e346c9d87b5aa18d24e11690752bd33a0350f11c5882bc9179260e"
            ),
            Self::OperatingState => concat!(
                "crtk_msgs::msg::dds_::OperatingState_/RIHS01_",
                "5cc57eea589b217fe5194bf2735b91d4a7f2dd5ac1245ae657f7ea7590c2c80e"
            ),
            Self::Tf => concat!(
                "tf2_msgs::msg::dds_::TFMessage_/RIHS01_",
                "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
            ),
            Self::Diagnostics => concat!(
                "diagnostic_msgs::msg::dds_::DiagnosticArray_/RIHS01_",
                "5a8a36efb05fb25070fa0fb3810290c0e6cd4862b54a8fb975a1ee8dc55a333e"
            ),
        }
    }

    /// Its name, as ROS 2 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoseStamped => "geometry_msgs/msg/PoseStamped",
            Self::JointState => "sensor_msgs/msg/JointState",
            Self::OperatingState => "crtk_msgs/msg/OperatingState",
            Self::Tf => "tf2_msgs/msg/TFMessage",
            Self::Diagnostics => "diagnostic_msgs/msg/DiagnosticArray",
        }
    }

    /// Its definition and those of all that it is made of (`ros2msg`), for a peer that has none.
    pub const fn definition(self) -> &'static str {
        match self {
            Self::PoseStamped => include_str!("definitions/PoseStamped.msg"),
            Self::JointState => include_str!("definitions/JointState.msg"),
            Self::OperatingState => include_str!("definitions/OperatingState.msg"),
            Self::Tf => include_str!("definitions/TFMessage.msg"),
            Self::Diagnostics => include_str!("definitions/DiagnosticArray.msg"),
        }
    }
}

/// Seconds and nanoseconds. CRTK: what is not valid has time 0, and what is old is not valid.
fn header(cdr: &mut Cdr, view: &View, frame: &str) {
    const A_SECOND: u64 = 1_000_000_000;
    let at = if view.silent { 0 } else { view.record.wall_ns };
    let (seconds, nanos) = (at / A_SECOND, at % A_SECOND);
    // An int32: good until 2038, as all of ROS.
    cdr.u32(u32::try_from(seconds).unwrap_or(0));
    cdr.u32(u32::try_from(nanos).unwrap_or(0));
    cdr.string(frame);
}

/// The frame that an arm's poses are in.
fn base(arm: ArmId) -> String {
    format!("{}_base", arm.name())
}

fn vector(cdr: &mut Cdr, pose: &Pose<RobotBase, Tip>) {
    let (p, q) = (pose.position(), pose.rotation());
    [p.x, p.y, p.z, q.i, q.j, q.k, q.w].into_iter().for_each(|value| cdr.f64(value));
}

/// `PoseStamped`.
pub fn pose(view: &View, arm: ArmId, pose: &Pose<RobotBase, Tip>) -> Vec<u8> {
    let mut cdr = Cdr::default();
    header(&mut cdr, view, &base(arm));
    vector(&mut cdr, pose);
    cdr.done()
}

/// da Vinci's names of a PSM's joints. Source: dVRK's `measured_js`.
const JOINTS: [&str; 6] = [
    "outer_yaw",
    "outer_pitch",
    "outer_insertion",
    "outer_roll",
    "outer_wrist_pitch",
    "outer_wrist_yaw",
];

fn joint_state(view: &View, frame: &str, names: &[&str], positions: &[f64]) -> Vec<u8> {
    let mut cdr = Cdr::default();
    header(&mut cdr, view, frame);
    cdr.u32(u32::try_from(names.len()).unwrap_or(0));
    names.iter().for_each(|name| cdr.string(name));
    cdr.f64s(positions);
    // Velocity and effort are not measured.
    cdr.f64s(&[]);
    cdr.f64s(&[]);
    cdr.done()
}

/// `JointState` of the six joints.
pub fn joints(view: &View, joints: &JointPositions) -> Vec<u8> {
    joint_state(view, "", &JOINTS, &joints.0)
}

/// `JointState` of the jaw.
pub fn jaw(view: &View, arm: &ArmState) -> Vec<u8> {
    joint_state(view, "", &["jaw"], &[arm.measured_jaw])
}

/// `OperatingState`, in CRTK's words.
pub fn operating_state(view: &View) -> Vec<u8> {
    let state = &view.record.state.state;
    let mut cdr = Cdr::default();
    header(&mut cdr, view, "");
    cdr.string(state.stage.operating_state().name());
    cdr.u8(u8::from(state.is_homed));
    cdr.u8(0);
    cdr.done()
}

/// `TFMessage`: each tip in its arm's base frame.
pub fn tf(view: &View) -> Vec<u8> {
    let mut cdr = Cdr::default();
    cdr.u32(2);
    for arm in ArmId::ALL {
        header(&mut cdr, view, &base(arm));
        cdr.string(&format!("{}_tip", arm.name()));
        vector(&mut cdr, &view.record.state.state.arms.get(arm).measured_cp);
    }
    cdr.done()
}

/// `DiagnosticArray`: the alarms, or one entry that all is well.
pub fn diagnostics(view: &View, robot: &str) -> Vec<u8> {
    const OK: u8 = 0;
    const WARN: u8 = 1;
    const ERROR: u8 = 2;
    let alarms = view.alarms(robot).alarms;
    let mut cdr = Cdr::default();
    header(&mut cdr, view, "");
    cdr.u32(u32::try_from(alarms.len().max(1)).unwrap_or(1));
    let stage = view.stage(robot);
    let mut say = |level: u8, name: &str, words: &str| {
        cdr.u8(level);
        cdr.string(&format!("{robot}: {name}"));
        cdr.string(words);
        cdr.string(robot);
        cdr.u32(2);
        for (key, value) in [("stage", &stage.stage), ("reason", &stage.reason)] {
            cdr.string(key);
            cdr.string(value);
        }
    };
    if alarms.is_empty() {
        say(OK, "Longhand", &stage.stage);
    }
    for alarm in &alarms {
        let level = if alarm.level == Level::Alarm { ERROR } else { WARN };
        say(level, &alarm.name, &alarm.words);
    }
    cdr.done()
}
