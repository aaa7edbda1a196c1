//! A trace played back: what it says about one moment.
//!
//! Knows: rows, seams, gaps and interpolation. Does not know: how a packet passes (`emulator`).

use alloc::sync::Arc;

use longhand_protocol::units::Micros;

use super::DropCause;
use crate::number::{float, millis};
use crate::profile::{Direction, Rate};
use crate::trace::{Interpolation, Place, Trace};

/// What a link does at one moment, whether a profile or a trace says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moment {
    pub(crate) cause: Option<DropCause>,
    pub(crate) lost: bool,
    pub(crate) lose: f64,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    pub(crate) mtu: Option<u16>,
    pub(crate) held_until: Option<Micros>,
    pub(crate) delay: Micros,
    pub(crate) rate: Option<Rate>,
    pub(crate) route_changed: bool,
}

/// One direction of a trace, read forward.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    trace: Arc<Trace>,
    direction: Direction,
    turn: u64,
    index: usize,
    route: Option<u32>,
}

impl Replay {
    pub(crate) fn new(trace: Arc<Trace>, direction: Direction) -> Self {
        Self { trace, direction, turn: 0, index: 0, route: None }
    }

    /// What the trace says at `since` the start. Times must not go back.
    pub(crate) fn at(&mut self, since: Micros) -> Moment {
        let (turn, inside) = match self.trace.header().loop_us {
            Some(seam) if seam > 0 => {
                let turn = since.as_micros().checked_div(seam).unwrap_or(0);
                (turn, since.saturating_sub(Micros::from_micros(turn.saturating_mul(seam))))
            }
            Some(_) | None => (0, since),
        };
        if turn != self.turn {
            self.turn = turn;
            self.index = 0;
        }
        let turn_start = since.saturating_sub(inside);
        let trace = Arc::clone(&self.trace);
        let lane = trace.lane(self.direction);
        if trace.is_over(self.direction, inside) {
            return dropped(DropCause::TraceEnded);
        }
        while lane.get(self.index.saturating_add(1)).is_some_and(|next| next.at <= inside) {
            self.index = self.index.saturating_add(1);
        }
        let Some(place) = lane.get(self.index).filter(|place| place.at <= inside) else {
            return dropped(DropCause::TraceGap);
        };
        let next = lane.get(self.index.saturating_add(1));
        self.moment(place, next, inside, turn_start)
    }

    fn moment(
        &mut self,
        place: &Place,
        next: Option<&Place>,
        inside: Micros,
        turn_start: Micros,
    ) -> Moment {
        if place.gap {
            return dropped(DropCause::TraceGap);
        }
        if place.outage_drop {
            return dropped(DropCause::Outage);
        }
        let known = self.route.replace(place.route_id);
        let bytes_us = |bytes: u64, bits_per_s: u64| {
            let bits = float(bytes.saturating_mul(8));
            millis(bits / float(bits_per_s) * 1e3)
        };
        Moment {
            lost: place.lost,
            duplicate: if place.dup { 1.0 } else { 0.0 },
            held_until: place.held_until.map(|end| turn_start.saturating_add(end)),
            delay: self.delay(place, next, inside),
            rate: place.rate_bps.filter(|bps| *bps > 0).map(|bits_per_s| Rate {
                bits_per_s,
                queue_max: place.queue_bytes.map_or(Micros::MAX, |b| bytes_us(b, bits_per_s)),
            }),
            route_changed: known.is_some_and(|id| id != place.route_id),
            ..Moment::default()
        }
    }

    fn delay(&self, place: &Place, next: Option<&Place>, inside: Micros) -> Micros {
        let step = match self.trace.header().interpolation {
            Interpolation::Step => return place.owd,
            Interpolation::Linear => next,
        };
        let Some(next) = step.filter(|next| next.joins(place)) else { return place.owd };
        let width = float(next.at.saturating_sub(place.at).as_micros());
        let share = float(inside.saturating_sub(place.at).as_micros()) / width.max(1.0);
        let (a, b) = (place.owd.as_millis_f64(), next.owd.as_millis_f64());
        millis(a + (b - a) * share)
    }
}

fn dropped(cause: DropCause) -> Moment {
    Moment { cause: Some(cause), ..Moment::default() }
}
