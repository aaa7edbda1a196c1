//! Hands: whatever moves, read once a tick as one [`HandSample`].
//!
//! Knows: the one question put to every device. Does not know: clutch, scale, or engagement rules
//! (`longhand-leader`).

pub mod page_hand;
pub mod script;

use longhand_leader::engagement::Engagement;
use longhand_leader::hand::HandSample;
use longhand_protocol::message::{FollowerState, Stage};
use longhand_protocol::units::{Console, Instant};

/// What a hand may look at: a person looks at the screen, a script at this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Whether the goal follows the hand.
    pub engagement: Engagement,
    /// The robot's stage, once it has said one.
    pub stage: Option<Stage>,
}

/// A device that moves the instruments.
pub trait Hand: Send {
    /// The newest sample. Called once a tick on the leader thread: must not wait.
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample;

    /// The device's name, for people.
    fn name(&self) -> &str;

    /// A new state of the robot. Called on the leader thread, before [`Hand::read`]: for hands that
    /// must not begin apart from the tool (a jaw). Most need nothing.
    fn told(&mut self, state: &FollowerState) {
        let _not_wanted = state;
    }

    /// What the device wants said of itself now: which part of it is in use, or why nobody is
    /// there. Empty where there is nothing to say.
    fn note(&self) -> &'static str {
        ""
    }

    /// Lays the hands still where they are; for hands that move by themselves.
    fn rest(&mut self) {}
}
