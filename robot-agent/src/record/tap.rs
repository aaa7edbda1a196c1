//! The tap: every tick leaves the servo thread through here, one way.
//!
//! Knows: how a tick and its commands lie in the ring. Does not know: who reads, or whether anybody
//! does: where the ring is full the tick is dropped and counted, whole; the servo thread never
//! waits.
//!
//! A tick lies in the ring as one message: the tick's words, then each command as it came, in the
//! bytes of the wire.

use super::Health;
use super::tick::{TICK_WORDS, pack};
use longhand_follower::{TickInput, TickOutput};
use longhand_protocol::units::Robot;
use longhand_protocol::wire;
use longhand_record::ring::{RingReader, RingWriter, ring};
use std::sync::Arc;

/// A command as it lies in a mailbox: when it was received, then its bytes.
pub const COMMAND_WORDS: usize = 1 + wire::COMMAND_LEN.div_ceil(8);

/// A command as words.
pub type CommandWords = [u64; COMMAND_WORDS];

/// The ring, words. A tick with one command takes 114: 18 s, 16 MB. Source: F31, a disk may stand
/// still for 10 s.
pub const RING_WORDS: usize = 1 << 21;

/// The servo thread's end.
#[derive(Debug)]
pub struct Tap {
    ring: RingWriter<Robot>,
    tick: u64,
}

/// A tap with room for `words`.
pub fn tap(words: usize, health: &Arc<Health>) -> (Tap, RingReader) {
    let (ring, tapped) = ring(words, health);
    (Tap { ring, tick: 0 }, tapped)
}

impl Tap {
    /// Takes one tick. Wait-free, no heap; its cost is that of copying.
    ///
    /// `commands` are the bytes of `input.inbox`, in its order.
    pub fn see(&mut self, input: &TickInput<'_>, output: &TickOutput, commands: &[CommandWords]) {
        let words = pack(self.tick, input, output);
        self.tick = self.tick.saturating_add(1);
        let size = commands.len().saturating_mul(COMMAND_WORDS).saturating_add(TICK_WORDS);
        self.ring.put(size, words.into_iter().chain(commands.iter().flatten().copied()));
    }
}
