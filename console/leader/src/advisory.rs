//! What the surgeon must be told, and what to do about it.
//!
//! Knows: the words. Does not know: how they are shown.

use crate::engagement::Engagement;
use crate::hand::Attendance;
use longhand_protocol::message::{FollowerState, Reason, Stage, Terms};

/// The one thing that the surgeon must know now. Ordered as it is looked for: the first that
/// applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advisory {
    /// No word from the robot.
    NoLink,
    /// The robot is off.
    RobotOff,
    /// The robot is in fault.
    RobotFault,
    /// The bedside owns the robot.
    BedsideOwns,
    /// The console or the bedside has paused the robot.
    Paused,
    /// Latched with the link still bad.
    WaitForLink,
    /// Latched, link good, pedal still pressed.
    ReleasePedal,
    /// Latched, link good, pedal released.
    PressPedal,
    /// Held for a moment because the link was silent; comes back by itself.
    HoldStill,
    /// Held for a moment because the robot's own loop was late; comes back by itself.
    RobotLate,
    /// Held for a moment on the way into motion.
    Settling,
    /// The pedal was down over a tracked hand that nobody held; it must be released.
    NobodyHolds,
    /// The pedal is down over a tracked hand that does not move at all.
    HandStill,
    /// The hand's orientation is too far off.
    AlignHand,
    /// The clutch is pressed.
    Clutched,
    /// The robot is at the edge of where it may go.
    AtLimit,
    /// The loop age slows the tool.
    Slowed,
    /// The hand is faster than the tool may be.
    TooFast,
    /// All is well.
    Following,
}

/// Whether commands reach the robot, by its own word, and soon enough for motion to begin.
pub fn hears_in_time(state: &FollowerState, terms: &Terms) -> bool {
    state.age < terms.latch_after && state.loop_age <= terms.loop_age_max
}

impl Advisory {
    /// Every advisory, in its own order.
    pub const ALL: [Self; 19] = [
        Self::NoLink,
        Self::RobotOff,
        Self::RobotFault,
        Self::BedsideOwns,
        Self::Paused,
        Self::WaitForLink,
        Self::ReleasePedal,
        Self::PressPedal,
        Self::HoldStill,
        Self::RobotLate,
        Self::Settling,
        Self::NobodyHolds,
        Self::HandStill,
        Self::AlignHand,
        Self::Clutched,
        Self::AtLimit,
        Self::Slowed,
        Self::TooFast,
        Self::Following,
    ];

    /// The word for it, for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoLink => "NoLink",
            Self::RobotOff => "RobotOff",
            Self::RobotFault => "RobotFault",
            Self::BedsideOwns => "BedsideOwns",
            Self::Paused => "Paused",
            Self::WaitForLink => "WaitForLink",
            Self::ReleasePedal => "ReleasePedal",
            Self::PressPedal => "PressPedal",
            Self::HoldStill => "HoldStill",
            Self::RobotLate => "RobotLate",
            Self::Settling => "Settling",
            Self::NobodyHolds => "NobodyHolds",
            Self::HandStill => "HandStill",
            Self::AlignHand => "AlignHand",
            Self::Clutched => "Clutched",
            Self::AtLimit => "AtLimit",
            Self::Slowed => "Slowed",
            Self::TooFast => "TooFast",
            Self::Following => "Following",
        }
    }

    /// Looks at everything and picks the one thing that matters most.
    pub fn pick(
        state: Option<&FollowerState>,
        engagement: Engagement,
        terms: &Terms,
        operator_present: bool,
        attendance: Attendance,
        slipped: bool,
    ) -> Self {
        let Some(state) = state else { return Self::NoLink };
        if engagement == Engagement::Disconnected {
            return Self::NoLink;
        }
        match state.stage {
            Stage::Disabled => Self::RobotOff,
            Stage::SafeOff => Self::RobotFault,
            Stage::Bedside => Self::BedsideOwns,
            Stage::Latched => Self::for_latched(state, terms, operator_present, attendance),
            // The robot has not heard of it yet.
            Stage::Hold | Stage::Brake | Stage::Follow | Stage::Coast
                if attendance == Attendance::Absent =>
            {
                Self::NobodyHolds
            }
            Stage::Hold | Stage::Brake => Self::for_held(state.reason),
            Stage::Follow | Stage::Coast if attendance == Attendance::Doubtful => Self::HandStill,
            Stage::Follow | Stage::Coast => match engagement {
                Engagement::Clutched => Self::Clutched,
                Engagement::Aligning => Self::AlignHand,
                Engagement::Disconnected | Engagement::Held | Engagement::Following => {
                    Self::for_following(state, terms, slipped)
                }
            },
        }
    }

    /// Held, and it goes on by itself: why it stands. Only three reasons lead here (STAGES.md);
    /// with any other, no cause is claimed.
    const fn for_held(reason: Reason) -> Self {
        match reason {
            Reason::LinkSilent => Self::HoldStill,
            Reason::MissedTicks => Self::RobotLate,
            Reason::None
            | Reason::OperatorAbsent
            | Reason::Paused
            | Reason::Mismatch
            | Reason::LoopAge
            | Reason::NewSession
            | Reason::Integrity
            | Reason::Limit
            | Reason::LeaseExpired
            | Reason::BedsideOwns
            | Reason::HoldError
            | Reason::Drive
            | Reason::Broken
            | Reason::EmergencyStop => Self::Settling,
        }
    }

    fn for_latched(
        state: &FollowerState,
        terms: &Terms,
        operator_present: bool,
        attendance: Attendance,
    ) -> Self {
        let fresh = hears_in_time(state, terms);
        if state.reason == Reason::Paused {
            Self::Paused
        } else if !fresh {
            Self::WaitForLink
        } else if attendance == Attendance::Absent {
            Self::NobodyHolds
        } else if operator_present {
            Self::ReleasePedal
        } else {
            Self::PressPedal
        }
    }

    fn for_following(state: &FollowerState, terms: &Terms, slipped: bool) -> Self {
        if state.arms.iter().any(|arm| arm.limited) {
            Self::AtLimit
        } else if slipped {
            Self::TooFast
        } else if state.loop_age > terms.loop_age_warn {
            Self::Slowed
        } else {
            Self::Following
        }
    }

    /// What is the case.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoLink => "No word from the robot",
            Self::RobotOff => "The robot is switched off",
            Self::RobotFault => "The robot is in fault: brakes on, power off",
            Self::BedsideOwns => "The bedside has the robot",
            Self::Paused => "Paused",
            Self::WaitForLink => "Latched: the link is not good enough",
            Self::ReleasePedal | Self::PressPedal => "Latched: ready to engage",
            Self::HoldStill => "Held for a moment: the link was silent",
            Self::RobotLate => "Held for a moment: the robot's control loop was late",
            Self::Settling => "Held for a moment before the tool follows",
            Self::NobodyHolds => "Paused: the pedal was down and nobody held the hand",
            Self::HandStill => "The pedal is down and the hand does not move at all",
            Self::AlignHand => "The hand does not point as the tool does",
            Self::Clutched => "Clutch pressed: the tool stands",
            Self::AtLimit => "The tool is at the edge of where it may go",
            Self::Slowed => "What you see is old: the tool is slowed",
            Self::TooFast => "The hand is faster than the tool may be",
            Self::Following => "The tool follows your hand",
        }
    }

    /// What to do next; empty when there is nothing to do.
    pub const fn do_next(self) -> &'static str {
        match self {
            Self::NoLink => "Wait; call the bedside if it lasts",
            Self::RobotOff => "Ask the bedside to enable the robot",
            Self::RobotFault => "Ask the bedside to restart and enable the robot",
            Self::BedsideOwns => "Ask the bedside to hand the robot over",
            Self::Paused => {
                "Resume; if refused, ask the bedside to. Then release the pedal and press it again"
            }
            Self::WaitForLink => "Wait for the link, then release the pedal and press it again",
            Self::ReleasePedal => "Release the pedal, then press it",
            Self::PressPedal => "Press the pedal anew and keep it pressed",
            Self::HoldStill | Self::RobotLate | Self::Settling => {
                "Keep still: it goes on from here by itself"
            }
            Self::NobodyHolds => "Take the hand, release the pedal, then press it",
            Self::HandStill => "Move the hand a little, or release the pedal",
            Self::AlignHand => "Turn the hand as the tool points, or press the clutch",
            Self::Clutched => "Release the clutch to go on",
            Self::AtLimit => "Move back, or press the clutch",
            Self::Slowed => "Move slowly",
            Self::TooFast => "Move slower",
            Self::Following => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::units::Micros;

    const TERMS: Terms = Terms {
        tip_speed_max: 0.1,
        tip_rate_max: 2.0,
        blend_max: longhand_protocol::geometry::Mismatch { distance_m: 1e-3, angle_rad: 0.03 },
        anchor_max: longhand_protocol::geometry::Mismatch { distance_m: 2e-2, angle_rad: 0.08 },
        loop_age_max: Micros::from_millis(300),
        loop_age_warn: Micros::from_millis(200),
        latch_after: Micros::from_millis(200),
    };

    /// What is said for a stage and reason over a good link, the pedal released.
    fn said(stage: Stage, reason: Reason) -> Advisory {
        let state = FollowerState { stage, reason, ..FollowerState::default() };
        let there = Attendance::Present;
        Advisory::pick(Some(&state), Engagement::Held, &TERMS, false, there, false)
    }

    #[test]
    fn every_stage_and_reason_has_true_words() {
        for stage in Stage::ALL {
            for reason in Reason::ALL {
                let expected = match (stage, reason) {
                    (Stage::Disabled, _) => Advisory::RobotOff,
                    (Stage::SafeOff, _) => Advisory::RobotFault,
                    (Stage::Bedside, _) => Advisory::BedsideOwns,
                    (Stage::Latched, Reason::Paused) => Advisory::Paused,
                    (Stage::Latched, _) => Advisory::PressPedal,
                    (Stage::Brake | Stage::Hold, Reason::LinkSilent) => Advisory::HoldStill,
                    (Stage::Brake | Stage::Hold, Reason::MissedTicks) => Advisory::RobotLate,
                    (Stage::Brake | Stage::Hold, _) => Advisory::Settling,
                    (Stage::Follow | Stage::Coast, _) => Advisory::Following,
                };
                let is = said(stage, reason);
                assert_eq!(is, expected, "{stage:?} {reason:?}");
                // The link is blamed for what the link did, and for nothing else.
                let blamed = is.text().contains("link");
                let silent = reason == Reason::LinkSilent;
                assert!(!blamed || silent, "{stage:?} {reason:?}: {}", is.text());
            }
        }
    }

    #[test]
    fn latched_over_a_bad_link_says_wait_whatever_the_reason() {
        for reason in Reason::ALL {
            for (age, loop_age) in [(200, 0), (0, 301)] {
                let state = FollowerState {
                    stage: Stage::Latched,
                    reason,
                    age: Micros::from_millis(age),
                    loop_age: Micros::from_millis(loop_age),
                    ..FollowerState::default()
                };
                let there = Attendance::Present;
                let is = Advisory::pick(Some(&state), Engagement::Held, &TERMS, true, there, false);
                let paused = reason == Reason::Paused;
                assert_eq!(is, if paused { Advisory::Paused } else { Advisory::WaitForLink });
            }
        }
    }

    #[test]
    fn a_hand_that_nobody_holds_is_said_wherever_it_matters() {
        let said = |stage, attendance| {
            let state = FollowerState { stage, ..FollowerState::default() };
            Advisory::pick(Some(&state), Engagement::Held, &TERMS, false, attendance, false)
        };
        for stage in [Stage::Follow, Stage::Coast, Stage::Brake, Stage::Hold, Stage::Latched] {
            assert_eq!(said(stage, Attendance::Absent), Advisory::NobodyHolds, "{stage:?}");
        }
        assert_eq!(said(Stage::Follow, Attendance::Doubtful), Advisory::HandStill);
        assert_eq!(said(Stage::SafeOff, Attendance::Absent), Advisory::RobotFault);
    }
}
