//! Attacks: all forty of safety.md section 3.3, as runs with an oracle.
//!
//! Knows: which attack there is, where it runs, and what must come of it. Does not know: any
//! defence. An attack is data in [`catalogue::CATALOGUE`]; the oracle is the checker's invariants
//! at every tick **and** the row's own expectation. What is not built is said, never counted.

pub mod catalogue;
pub mod command;
pub mod in_world;
pub mod raven;

use crate::scenario::ScenarioError;

/// What came of one attack with one seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// The first thing that must not have been.
    pub broken: Option<String>,
    /// Figures by name; the unit is in the name.
    pub figures: Vec<(&'static str, f64)>,
}

/// A finding, or why the world could not be made.
pub type Tried = Result<Finding, ScenarioError>;

impl Finding {
    /// What must be; the first that is not is kept.
    pub fn must(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(words());
        }
    }

    /// A figure to print.
    pub fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.push((name, value));
    }

    /// Another finding of the same attack.
    pub fn join(&mut self, other: Self) {
        self.broken = self.broken.take().or(other.broken);
        self.figures.extend(other.figures);
    }
}
