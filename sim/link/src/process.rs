//! The random processes a link is made of, each a function of link time.
//!
//! Knows: delay, loss, queue, and the timeline of outages and base changes. Does not know: packets'
//! contents, or the order in which deliveries leave (`emulator`).
//!
//! **A link is a function of time.** What one stream sends never changes what another one meets,
//! except through the queue both share: every process steps on its own clock with its own stream of
//! chance, so two programs tried over the same seed meet the same weather.

pub(crate) mod jitter;
pub(crate) mod loss;
pub(crate) mod queue;
pub(crate) mod timeline;

use longhand_protocol::units::Micros;

/// Processes step at most this far for one question; over a longer silence they start afresh.
///
/// Chosen: one hour is 3.6 million cells, under half a second of work; no process here remembers
/// anything for an hour.
pub(crate) const STEP_MAX: Micros = Micros::from_secs(3_600);
