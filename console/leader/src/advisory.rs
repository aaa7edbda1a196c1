//! What the surgeon must be told, and what to do about it.
//!
//! Knows: the words. Does not know: how they are shown.

use crate::engagement::Engagement;
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
    /// The console has paused the robot.
    Paused,
    /// Latched with the link still bad.
    WaitForLink,
    /// Latched, link good, pedal still pressed.
    ReleasePedal,
    /// Latched, link good, pedal released.
    PressPedal,
    /// Held for a moment; comes back by itself.
    HoldStill,
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

impl Advisory {
    /// Looks at everything and picks the one thing that matters most.
    pub fn pick(
        state: Option<&FollowerState>,
        engagement: Engagement,
        terms: &Terms,
        operator_present: bool,
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
            Stage::Latched => Self::for_latched(state, terms, operator_present),
            Stage::Hold | Stage::Brake => Self::HoldStill,
            Stage::Follow | Stage::Coast => match engagement {
                Engagement::Clutched => Self::Clutched,
                Engagement::Aligning => Self::AlignHand,
                Engagement::Disconnected | Engagement::Held | Engagement::Following => {
                    Self::for_following(state, terms, slipped)
                }
            },
        }
    }

    fn for_latched(state: &FollowerState, terms: &Terms, operator_present: bool) -> Self {
        let fresh = state.age < terms.latch_after && state.loop_age <= terms.loop_age_max;
        if state.reason == Reason::Paused {
            Self::Paused
        } else if !fresh {
            Self::WaitForLink
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
            Self::WaitForLink => "Held: the link is not good enough",
            Self::ReleasePedal | Self::PressPedal => "Held: ready to engage",
            Self::HoldStill => "Held for a moment: the link was silent",
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
            Self::RobotFault => "Ask the bedside to restart and home the robot",
            Self::BedsideOwns => "Ask the bedside to hand the robot over",
            Self::Paused => "Resume, then release the pedal and press it again",
            Self::WaitForLink => "Wait for the link, then release the pedal and press it again",
            Self::ReleasePedal => "Release the pedal, then press it",
            Self::PressPedal => "Press the pedal and keep it pressed",
            Self::HoldStill => "Keep still: it goes on from here by itself",
            Self::AlignHand => "Turn the hand as the tool points, or press the clutch",
            Self::Clutched => "Release the clutch to go on",
            Self::AtLimit => "Move back, or press the clutch",
            Self::Slowed => "Move slowly",
            Self::TooFast => "Move slower",
            Self::Following => "",
        }
    }
}
