//! What a bus can do: goals out, positions in, as fast as it goes, every exchange timed.
//!
//! Knows: one cycle as an arm's driver has it, and its figures. Does not know: what the goals are
//! for; here each servo's goal is where it stands, and its torque is off.
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
    /// How long each cycle took in which every servo answered, microseconds, the shortest first.
    pub whole_us: Vec<u64>,
    /// Cycles in which one or more did not.
    pub missed: u64,
    /// How long a cycle takes on the wire alone, return delays of 0.
    pub wire_us: u64,
}

impl Measured {
    /// What so many of a thousand whole cycles took at most; `None` where none was whole.
    pub fn quantile_us(&self, of_a_thousand: usize) -> Option<u64> {
        let last = self.whole_us.len().checked_sub(1)?;
        let place = last.saturating_mul(of_a_thousand).div_ceil(1_000).min(last);
        self.whole_us.get(place).copied()
    }

    /// Cycles a second that 99 of a hundred whole cycles keep: the honest rate.
    pub fn rate_hz(&self) -> Option<u64> {
        self.quantile_us(990).and_then(|us| 1_000_000_u64.checked_div(us))
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
    let width = usize::from(goal.bytes).saturating_add(1);
    let mut rows: Vec<u8> = Vec::new();
    let mut heard: Vec<Option<Packet>> = Vec::new();
    host.sync_read(present, ids, true, &mut heard)?;
    for (id, data) in ids.iter().zip(&heard) {
        rows.push(*id);
        // Who did not answer yet is told the middle: with no torque a goal moves nothing.
        let middle = u32::from(model.steps_per_turn / 2).to_le_bytes();
        let data = data.as_ref().map_or(middle.as_slice(), Packet::as_slice);
        rows.extend(data.iter().take(usize::from(goal.bytes)));
    }
    debug_assert_eq!(rows.len(), ids.len().saturating_mul(width));
    let protocol = host.protocol();
    let read = match protocol {
        longhand_bus::Protocol::Dynamixel => Request::FastSyncRead(present, ids),
        longhand_bus::Protocol::Feetech => Request::SyncRead(present, ids),
    };
    let load = |request: &Request<'_>| Load::of(request, protocol).unwrap_or_default();
    let both = load(&Request::SyncWrite(goal, &rows)).and(load(&read));
    let mut measured = Measured { wire_us: both.wire_us(host.baud(), 0), ..Measured::default() };
    let end = host.line().now_us().saturating_add(for_us);
    while host.line().now_us() < end && measured.whole_us.len() < CYCLES_MAX {
        let begun = host.line().now_us();
        host.sync_write(goal, &rows)?;
        host.sync_read(present, ids, true, &mut heard)?;
        let took = host.line().now_us().saturating_sub(begun);
        if heard.iter().all(Option::is_some) {
            measured.whole_us.push(took);
        } else {
            measured.missed = measured.missed.saturating_add(1);
        }
    }
    measured.whole_us.sort_unstable();
    Ok(measured)
}

/// Eight megabytes.
const CYCLES_MAX: usize = 1_000_000;
