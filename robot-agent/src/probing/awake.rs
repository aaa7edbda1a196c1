//! Whether the thread that answers ran: what lay unread meanwhile came nobody knows when.
//!
//! Knows: when it last looked. Does not know: why it did not.
//!
//! The servo thread rings the pump once a tick, so a pump that does not look for several ticks was
//! not let run, or the servo thread was not: a machine that stalled either way. What the link
//! brought meanwhile lies in the socket, and its time of arrival is the time at which it was read.

use longhand_protocol::units::{Instant, Micros, Robot, TICK};

/// A thread that did not look for so long stalled. Chosen: three ticks, so that one that came late
/// is none; far below the 10 ms from which on a silence counts as an outage.
pub(super) const STALL_MIN: Micros = Micros::from_millis(3);
/// How long behind a stall what came in it may still be read. Chosen: a full queue (128 datagrams,
/// quinn's) at 30 us each, and some.
const BACKLOG: Micros = Micros::from_millis(5);
const _: () = assert!(STALL_MIN.as_micros() > 2 * TICK.as_micros());

/// When the thread last looked, and when it last had not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Awake {
    looked_at: Option<Instant<Robot>>,
    stall: Option<(Instant<Robot>, Instant<Robot>)>,
}

impl Awake {
    /// The thread runs. Gives the stall that ends with this, if one does.
    pub(super) fn look(&mut self, now: Instant<Robot>) -> Option<Self> {
        let last = self.looked_at.replace(now)?;
        if now.since(last) < STALL_MIN {
            return None;
        }
        self.stall = Some((last, now));
        Some(*self)
    }

    /// For how long until now what is read now may have lain there: since the begin of a stall that
    /// has only just ended.
    pub(super) fn stalled(&self, now: Instant<Robot>) -> Micros {
        let fresh = self.stall.filter(|(_, end)| now.since(*end) < BACKLOG);
        fresh.map_or(Micros::ZERO, |(begin, _)| now.since(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant<Robot> {
        Instant::from_micros(us)
    }

    #[test]
    fn what_is_read_just_behind_a_stall_may_have_come_since_its_begin() {
        let mut awake = Awake::default();
        // The first look ends no stall: nobody measured before.
        assert!(awake.look(at(5_000_000)).is_none());
        for tick in 1..=10 {
            assert!(awake.look(at(5_000_000 + tick * 2_999)).is_none());
        }
        let begin = 5_029_990;
        assert_eq!(awake.stalled(at(begin)), Micros::ZERO);
        assert!(awake.look(at(begin + 3_000)).is_some(), "on the bound");
        assert_eq!(awake.stalled(at(begin + 3_000)), Micros::from_micros(3_000));
        // The backlog is read, and the thread goes on looking.
        assert!(awake.look(at(begin + 5_000)).is_none());
        assert_eq!(awake.stalled(at(begin + 7_999)), Micros::from_micros(7_999));
        assert_eq!(awake.stalled(at(begin + 8_000)), Micros::ZERO);
    }
}
