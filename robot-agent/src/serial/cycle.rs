//! What a bus can do: positions in, as fast as it goes, every exchange timed.
//!
//! Knows: one cycle as an arm's driver has it, and its figures. Does not know: what goals are for,
//! and it never says one: a goal may switch an STS3215's torque on (a public guide to the SO-101
//! says so; it was not tried here). It reads; what the goals would add is reckoned: the wire's own
//! time, since nobody answers them, without what the adapter adds.
//!
//! A cycle asks once. What does not come is counted and asked for in the next: a retry would be
//! older than the next cycle's answer.

use super::{Host, HostError, Line};
use longhand_bus::budget::Load;
use longhand_bus::model::{Model, What};
use longhand_bus::packet::Packet;
use longhand_bus::request::Request;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How long each cycle took, microseconds, the shortest first; also those that were missed,
    /// with all the time that waiting in vain took.
    pub cycles_us: Vec<u64>,
    /// Cycles in which one or more servos did not answer.
    pub missed: u64,
    /// How long a cycle takes on the wire alone, return delays of 0.
    pub wire_us: u64,
    /// What goals for every servo would add, on the wire alone: reckoned, none was said.
    pub goals_us: u64,
}

impl Measured {
    /// Whether so few cycles were missed that an arm could be driven: one in a hundred at most, and
    /// there were any. Chosen.
    pub fn well(&self) -> bool {
        let cycles = u64::try_from(self.cycles_us.len()).unwrap_or(u64::MAX);
        cycles > 0 && self.missed.saturating_mul(100) <= cycles
    }

    /// Whether every cycle was missed.
    pub fn none_whole(&self) -> bool {
        u64::try_from(self.cycles_us.len()).is_ok_and(|cycles| self.missed >= cycles)
    }

    /// What so many of a thousand cycles took at most; `None` where none was whole.
    pub fn quantile_us(&self, of_a_thousand: usize) -> Option<u64> {
        if self.none_whole() {
            return None;
        }
        let last = self.cycles_us.len().checked_sub(1)?;
        let place = last.saturating_mul(of_a_thousand).div_ceil(1_000).min(last);
        self.cycles_us.get(place).copied()
    }

    /// Cycles a second that 99 of a hundred keep, goals reckoned in, the missed among them: the
    /// honest rate.
    pub fn rate_hz(&self) -> Option<u64> {
        let cycle_us = self.quantile_us(990)?.saturating_add(self.goals_us);
        1_000_000_u64.checked_div(cycle_us)
    }
}

/// Runs cycles for `for_us`. The longest measurement is a million cycles.
///
/// Errors: [`HostError::Gone`], [`HostError::Unsayable`], [`HostError::NoRegister`].
pub fn measure<L: Line>(
    host: &mut Host<L>,
    model: &'static Model,
    ids: &[u8],
    for_us: u64,
) -> Result<Measured, HostError> {
    let missing = |what| HostError::NoRegister { model: model.name, what };
    let span = |what| model.span(&[what]).ok_or_else(|| missing(what));
    let (goal, present) = (span(What::GoalPosition)?, span(What::PresentPosition)?);
    let protocol = host.protocol();
    let read = match protocol {
        longhand_bus::Protocol::Dynamixel => Request::FastSyncRead(present, ids),
        longhand_bus::Protocol::Feetech => Request::SyncRead(present, ids),
    };
    // Never said: only its length is asked for.
    let each = usize::from(goal.bytes).saturating_add(1);
    let rows = vec![0; ids.len().saturating_mul(each)];
    let wire_us = |request: &Request<'_>| {
        Load::of(request, protocol).unwrap_or_default().wire_us(host.baud(), 0)
    };
    let mut measured = Measured {
        wire_us: wire_us(&read),
        goals_us: wire_us(&Request::SyncWrite(goal, &rows)),
        ..Measured::default()
    };
    let mut heard: Vec<Option<Packet>> = Vec::new();
    let end = host.line().now_us().saturating_add(for_us);
    while host.line().now_us() < end && measured.cycles_us.len() < CYCLES_MAX {
        let begun = host.line().now_us();
        host.sync_read(present, ids, true, &mut heard)?;
        let took = host.line().now_us().saturating_sub(begun);
        measured.cycles_us.push(took);
        if !heard.iter().all(Option::is_some) {
            measured.missed = measured.missed.saturating_add(1);
        }
    }
    measured.cycles_us.sort_unstable();
    Ok(measured)
}

/// Eight megabytes.
const CYCLES_MAX: usize = 1_000_000;
