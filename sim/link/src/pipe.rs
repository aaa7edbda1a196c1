//! Packets under way: kept until they are due, handed out in order of arrival.
//!
//! Knows: payloads and when each is due. Does not know: what a payload is, or the time (it is
//! handed `now`). Shared by the virtual world and the real-time relay.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

use longhand_protocol::units::{Instant, Link};

use crate::emulator::{DropCause, Emulator, Fate, LinkStats};
use crate::profile::Direction;

/// Packets a pipe holds unless told otherwise.
///
/// Chosen: 32 s of 1 kHz both ways, past the longest hold of any profile (20 s for one in a
/// hundred).
pub const PIPE_MAX: usize = 65_536;

/// A packet that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    /// Which way it went.
    pub direction: Direction,
    /// When it was due; `poll` may have been called later.
    pub due: Instant<Link>,
    /// The bit that is wrong in it; the owner of the bytes turns it over.
    pub wrong_bit: Option<u64>,
    /// The packet.
    pub payload: T,
}

/// An emulator and the packets inside it. When full, the newest packet is dropped (`drop_newest`)
/// and counted as [`DropCause::PipeFull`].
#[derive(Clone, Debug)]
pub struct Pipe<T> {
    link: Emulator,
    room: usize,
    serial: u64,
    under_way: BinaryHeap<UnderWay<T>>,
}

#[derive(Clone, Debug)]
struct UnderWay<T> {
    serial: u64,
    delivery: Delivery<T>,
}

impl<T: Clone> Pipe<T> {
    /// A pipe over `link` with room for [`PIPE_MAX`] packets.
    pub fn new(link: Emulator) -> Self {
        Self::with_room(link, PIPE_MAX)
    }

    /// A pipe over `link` with room for `room` packets, allocated here and never again.
    pub fn with_room(link: Emulator, room: usize) -> Self {
        Self { link, room, serial: 0, under_way: BinaryHeap::with_capacity(room) }
    }

    /// Sends a packet of `len_bytes` at `now`. The fate says how many copies are under way: one,
    /// two (`copy_at`), or none.
    pub fn offer(
        &mut self,
        now: Instant<Link>,
        direction: Direction,
        len_bytes: usize,
        payload: T,
    ) -> Fate {
        let fate = self.link.offer(now, direction, len_bytes);
        let Fate::Deliver(arrival) = fate else { return fate };
        let copies = if arrival.copy_at.is_some() { 2 } else { 1 };
        if self.room.saturating_sub(self.under_way.len()) < copies {
            self.link.refused_by_pipe(direction, arrival);
            return Fate::Drop(DropCause::PipeFull);
        }
        let wrong_bit = arrival.wrong_bit;
        if let Some(due) = arrival.copy_at {
            let first =
                Delivery { direction, due: arrival.at, wrong_bit, payload: payload.clone() };
            self.push(first);
            self.push(Delivery { direction, due, wrong_bit, payload });
        } else {
            self.push(Delivery { direction, due: arrival.at, wrong_bit, payload });
        }
        fate
    }

    /// The next packet due at or before `now`, earliest first; equals in the order they were sent.
    /// Call until it is dry.
    pub fn poll(&mut self, now: Instant<Link>) -> Option<Delivery<T>> {
        if self.next_due()? > now {
            return None;
        }
        self.under_way.pop().map(|packet| packet.delivery)
    }

    /// When the next packet is due; `None` where none is under way.
    pub fn next_due(&self) -> Option<Instant<Link>> {
        self.under_way.peek().map(|packet| packet.delivery.due)
    }

    /// How many packets are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// True where none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// What has happened so far.
    pub const fn stats(&self) -> &LinkStats {
        self.link.stats()
    }

    /// The link itself.
    pub const fn link(&self) -> &Emulator {
        &self.link
    }

    /// The link itself, for live events: black holes, another model, faults. Packets under way
    /// stay.
    pub const fn link_mut(&mut self) -> &mut Emulator {
        &mut self.link
    }

    fn push(&mut self, delivery: Delivery<T>) {
        self.serial = self.serial.saturating_add(1);
        self.under_way.push(UnderWay { serial: self.serial, delivery });
    }
}

/// The heap gives the greatest first, so the earliest due is the greatest.
impl<T> Ord for UnderWay<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let mine = (self.delivery.due, self.serial);
        (other.delivery.due, other.serial).cmp(&mine)
    }
}
impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<T> Eq for UnderWay<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Disturb;
    use crate::profile::Profile;
    use longhand_protocol::units::Micros;
    use std::vec::Vec;

    fn pipe(disturb: Disturb, room: usize) -> Pipe<u64> {
        let model = Profile::by_name("ideal").unwrap().into();
        Pipe::with_room(Emulator::new(model, 1).with_disturb(disturb), room)
    }

    #[test]
    fn equals_leave_in_the_order_they_came() {
        let mut pipe = pipe(Disturb::default(), 16);
        for n in 0..8 {
            pipe.offer(Instant::ORIGIN, Direction::Up, 0, n);
        }
        let later = Instant::from_micros(1_000);
        let out: Vec<u64> = core::iter::from_fn(|| pipe.poll(later)).map(|d| d.payload).collect();
        assert_eq!(out, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn nothing_leaves_before_it_is_due() {
        let mut pipe = pipe(Disturb::default(), 16);
        pipe.offer(Instant::ORIGIN, Direction::Down, 0, 7);
        assert_eq!(pipe.next_due(), Some(Instant::from_micros(50)));
        assert_eq!(pipe.poll(Instant::from_micros(49)), None);
        assert_eq!(pipe.poll(Instant::from_micros(50)).map(|d| d.payload), Some(7));
        assert_eq!(pipe.next_due(), None);
    }

    #[test]
    fn a_full_pipe_drops_the_newest_and_counts_it() {
        let mut pipe = pipe(Disturb::default(), 2);
        let fates: Vec<Fate> =
            (0..3).map(|n| pipe.offer(Instant::ORIGIN, Direction::Up, 0, n)).collect();
        assert_eq!(fates[2], Fate::Drop(DropCause::PipeFull));
        assert_eq!(pipe.stats().up.dropped(DropCause::PipeFull), 1);
        assert_eq!(pipe.stats().up.delivered, 2);
    }

    #[test]
    fn copies_come_right_behind_and_reordered_packets_are_overtaken() {
        let disturb = Disturb { duplicate: 1.0, ..Disturb::default() };
        let mut twice = pipe(disturb, 16);
        twice.offer(Instant::ORIGIN, Direction::Up, 4, 1);
        let later = Instant::from_micros(100_000);
        let out: Vec<u64> = core::iter::from_fn(|| twice.poll(later)).map(|d| d.payload).collect();
        assert_eq!(out, [1, 1]);

        let disturb =
            Disturb { reorder: 0.5, reorder_by: Micros::from_millis(5), ..Disturb::default() };
        let mut mixed = pipe(disturb, 128);
        for n in 0..100 {
            mixed.offer(Instant::from_micros(n * 1_000), Direction::Up, 4, n);
        }
        let later = Instant::from_micros(1_000_000);
        let out: Vec<u64> = core::iter::from_fn(|| mixed.poll(later)).map(|d| d.payload).collect();
        assert_eq!(out.len(), 100);
        assert!(out.windows(2).any(|pair| pair[0] > pair[1]));
    }
}
