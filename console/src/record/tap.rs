//! The tap: every tick leaves the leader thread through here, one way.
//!
//! Knows: how a tick and its command lie in the ring. Does not know: who reads, or whether anybody
//! does: where the ring is full the tick is dropped and counted, whole; the leader thread never
//! waits.
//!
//! A tick lies in the ring as one message: the tick's words, then the command that it sent, in the
//! bytes of the wire, where it sent one.

use super::Health;
use super::tick::{LeaderTick, TICK_WORDS, pack};
use longhand_protocol::units::Console;
use longhand_protocol::wire::COMMAND_LEN;
use longhand_quic::mailbox::from_bytes;
use longhand_record::ring::{RingReader, RingWriter, ring};
use std::sync::Arc;

/// A command in words.
pub const COMMAND_WORDS: usize = COMMAND_LEN.div_ceil(8);

/// The ring, words. A tick with its command takes 69: 15 s, 8 MB. Source: F31, a disk may stand
/// still for 10 s.
pub const RING_WORDS: usize = 1 << 20;

/// The leader thread's end.
#[derive(Debug)]
pub struct Tap {
    ring: RingWriter<Console>,
    tick: u64,
}

/// A tap with room for `words`.
pub fn tap(words: usize, health: &Arc<Health>) -> (Tap, RingReader) {
    let (ring, tapped) = ring(words, health);
    (Tap { ring, tick: 0 }, tapped)
}

impl Tap {
    /// Takes one tick. Wait-free, no heap; its cost is that of copying.
    pub fn see(&mut self, seen: &LeaderTick<'_>) {
        let words = pack(self.tick, seen);
        self.tick = self.tick.saturating_add(1);
        let sent: Option<[u64; COMMAND_WORDS]> =
            seen.command.and_then(|(_, bytes)| from_bytes(bytes));
        let size = TICK_WORDS.saturating_add(if sent.is_some() { COMMAND_WORDS } else { 0 });
        self.ring.put(size, words.into_iter().chain(sent.into_iter().flatten()));
    }
}
