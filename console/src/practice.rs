//! Practice: what a console is told of a simulated robot, and of a task beside it.
//!
//! Knows: that there may be one, that it can be looked at as of a robot time, and begun anew. Does
//! not know: tasks, contact or scores (`sim/train`); nothing here reaches the robot.
//!
//! The picture is asked for by the time of the robot's newest state *as received*: the trainee sees
//! the board as late as the robot, which is how it is over a real link.

use longhand_protocol::units::{Instant, Robot};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Whether a robot is one to practise on.
#[derive(Clone, Debug, Default)]
pub enum Practice {
    /// A robot like any other.
    #[default]
    No,
    /// A simulated one that was started with this console: the page then offers to lock the pedal,
    /// for whoever has one pointer and no foot.
    Robot,
    /// The same, with a task beside it.
    Task(Arc<dyn PracticeTask>),
}

impl Practice {
    /// Whether the robot is a simulated one.
    pub const fn is_simulated(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// The task, where there is one.
    pub(crate) fn task(&self) -> Option<&dyn PracticeTask> {
        match self {
            Self::Task(task) => Some(task.as_ref()),
            Self::No | Self::Robot => None,
        }
    }
}

/// A task beside a simulated robot. Called by the clerk, a thread of ordinary priority: an answer
/// may take a lock for a moment, and waits for nothing else.
pub trait PracticeTask: fmt::Debug + Send + Sync {
    /// What the task looked like at this robot time, or last before it: JSON for the page, in the
    /// form of `longhand_train::picture`. `None` before there was anything.
    fn picture(&self, at: Instant<Robot>) -> Option<Arc<Value>>;

    /// Begins anew.
    fn again(&self);

    /// What the clutch is, as sent to the robot: some tasks count it.
    fn clutch(&self, is_pressed: bool);
}
