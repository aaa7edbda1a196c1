//! Faults: what can go wrong, when it does, and doing it to the world.
//!
//! Knows: all 40 kinds of safety.md section 6, their parameters and defaults. Does not know: what
//! the product should make of them.
//!
//! A fault is data ([`FaultEvent`]): a kind, when it begins, how long it lasts, its parameters.
//! Each draws from a stream of its own, so that taking one out of a run changes nothing about the
//! rest.

pub mod catalogue;
mod drawn;
mod player;

pub use catalogue::{CATALOGUE, FaultKind, Lives, Param};
pub use drawn::draw;
pub use player::FaultPlayer;

use longhand_protocol::units::Micros;
use serde::{Deserialize, Serialize};

/// One fault in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// Which kind: `F01` to `F40`.
    pub kind: String,
    /// When it begins, milliseconds of world time.
    pub at_ms: u64,
    /// How long it lasts, milliseconds.
    pub for_ms: u64,
    /// The kind's parameters, in the catalogue's order and units.
    pub values: Vec<f64>,
    /// What it draws from, with the run's seed.
    pub stream: u64,
}

impl FaultEvent {
    /// A fault of this kind with its defaults.
    pub fn of(kind: &FaultKind, at_ms: u64, stream: u64) -> Self {
        Self {
            kind: kind.id.to_owned(),
            at_ms,
            for_ms: kind.for_ms,
            values: kind.params.iter().map(|param| param.default).collect(),
            stream,
        }
    }

    /// A parameter by its place; the default where the event does not say.
    pub fn value(&self, index: usize) -> f64 {
        let said = self.values.get(index).copied();
        let default = || FaultKind::by_id(&self.kind)?.params.get(index).map(|p| p.default);
        said.or_else(default).unwrap_or_default()
    }

    /// Whether it is on at this time.
    pub fn is_on(&self, at: Micros) -> bool {
        let ms = at.as_micros() / 1_000;
        ms >= self.at_ms && ms < self.at_ms.saturating_add(self.for_ms)
    }
}
