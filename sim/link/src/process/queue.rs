//! The narrowest place of a direction: a rate and a queue in front of it.
//!
//! Knows: when the line is free again, and when a packet would wait too long. Does not know: why
//! packets come, or where they go.
//!
//! The queue drops from the tail. Packets held by an outage are exempt from the limit (their buffer
//! is the radio's, not the queue's) and so is the wait behind them while they flush.

use crate::profile::Rate;
use longhand_protocol::units::Micros;

/// The queue of one direction. Inside, times are nanoseconds since the start: at 10 Gbit/s a packet
/// takes a fraction of a microsecond.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    free_ns: u64,
    flushed_ns: u64,
}

const NS: u64 = 1_000;

impl Queue {
    /// When a packet of `len` bytes that came at `since` is through, rounded up to the microsecond;
    /// `None` where the queue is full. `held_until` is the end of the hold it waits for, if any.
    pub(crate) fn admit(
        &mut self,
        since: Micros,
        held_until: Option<Micros>,
        len: u64,
        rate: Option<Rate>,
    ) -> Option<Micros> {
        let ready = held_until.unwrap_or(since).max(since);
        let Some(rate) = rate else { return Some(ready) };
        let ready_ns = ready.as_micros().saturating_mul(NS);
        let start = self.free_ns.max(ready_ns);
        let waited_from = ready_ns.max(self.flushed_ns);
        let limit = rate.queue_max.as_micros().saturating_mul(NS);
        if held_until.is_none() && start.saturating_sub(waited_from) > limit {
            return None;
        }
        let bits = len.saturating_mul(8).saturating_mul(1_000_000_000);
        let takes = bits.checked_div(rate.bits_per_s).unwrap_or(u64::MAX);
        self.free_ns = start.saturating_add(takes);
        if held_until.is_some() {
            self.flushed_ns = self.free_ns;
        }
        Some(Micros::from_micros(self.free_ns.div_ceil(NS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<Rate> =
        Some(Rate { bits_per_s: 8_000_000, queue_max: Micros::from_millis(10) });

    #[test]
    fn a_packet_takes_its_bits_over_the_rate() {
        let mut queue = Queue::default();
        // 1000 bytes at 8 Mbit/s: 1 ms.
        let first = queue.admit(Micros::ZERO, None, 1_000, RATE);
        let second = queue.admit(Micros::ZERO, None, 1_000, RATE);
        assert_eq!(first, Some(Micros::from_millis(1)));
        assert_eq!(second, Some(Micros::from_millis(2)));
    }

    #[test]
    fn the_tail_is_dropped_only_past_the_limit() {
        let mut queue = Queue::default();
        // Ten wait 0 to 9 ms, the eleventh 10 ms (on the limit), the twelfth 11 ms.
        let through = (0..12).map(|_| queue.admit(Micros::ZERO, None, 1_000, RATE).is_some());
        let through: std::vec::Vec<bool> = through.collect();
        assert_eq!(through.iter().filter(|t| **t).count(), 11);
        assert!(!through[11]);
    }

    #[test]
    fn held_packets_leave_back_to_back_after_the_hold() {
        let mut queue = Queue::default();
        let end = Micros::from_millis(500);
        for n in 1..=100_u64 {
            let out = queue.admit(Micros::from_millis(n), Some(end), 1_000, RATE);
            assert_eq!(out, Some(Micros::from_millis(500 + n)));
        }
        // One that comes while they flush waits behind them, and that wait is not counted.
        let behind = queue.admit(Micros::from_millis(520), None, 1_000, RATE);
        assert_eq!(behind, Some(Micros::from_millis(601)));
    }
}
