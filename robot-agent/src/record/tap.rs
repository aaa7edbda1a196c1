//! The tap: every tick leaves the servo thread through here, one way.
//!
//! Knows: a bounded ring, and how many ticks did not fit. Does not know: who reads, or whether
//! anybody does. Policy when full: the tick is dropped and counted, whole; the servo thread never
//! waits, and nothing comes back through here.
//!
//! A tick lies in the ring as one message: the number of its commands, the tick's words, then each
//! command as it came, in the bytes of the wire.

use super::health::Health;
use super::tick::{TICK_WORDS, TickWords, pack};
use longhand_follower::{TickInput, TickOutput};
use longhand_protocol::wire;
use rtrb::{Consumer, Producer, RingBuffer};
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
    ring: Producer<u64>,
    health: Arc<Health>,
    tick: u64,
}

/// The recorder's end.
#[derive(Debug)]
pub struct Tapped {
    ring: Consumer<u64>,
}

/// A tap with room for `words`. Touches all of it, so that no tick is the first to.
pub fn tap(words: usize, health: &Arc<Health>) -> (Tap, Tapped) {
    let (mut ring, mut end) = RingBuffer::new(words);
    while ring.push(0).is_ok() {}
    while end.pop().is_ok() {}
    (Tap { ring, health: Arc::clone(health), tick: 0 }, Tapped { ring: end })
}

impl Tap {
    /// Takes one tick. Wait-free, no heap; its cost is that of copying.
    ///
    /// `commands` are the bytes of `input.inbox`, in its order.
    pub fn see(&mut self, input: &TickInput<'_>, output: &TickOutput, commands: &[CommandWords]) {
        let words = pack(self.tick, input, output);
        self.tick = self.tick.saturating_add(1);
        let count = commands.len();
        let size = count.saturating_mul(COMMAND_WORDS).saturating_add(1 + TICK_WORDS);
        let Ok(room) = self.ring.write_chunk_uninit(size) else {
            self.health.drop_tick();
            return;
        };
        let header = u64::try_from(count).unwrap_or(u64::MAX);
        let commands = commands.iter().flatten().copied();
        room.fill_from_iter(core::iter::once(header).chain(words).chain(commands));
    }
}

impl Tapped {
    /// The next tick, once it is there; its commands first, in order, to `take`.
    pub fn next(&mut self, mut take: impl FnMut(&CommandWords)) -> Option<TickWords> {
        let count = usize::try_from(*self.ring.peek().ok()?).ok()?;
        let size = count.saturating_mul(COMMAND_WORDS).saturating_add(1 + TICK_WORDS);
        // A message is committed whole: where its first word is, all of it is.
        let chunk = self.ring.read_chunk(size).ok()?;
        let (one, two) = chunk.as_slices();
        let mut words = one.iter().chain(two).copied().skip(1);
        let mut tick = [0; TICK_WORDS];
        tick.iter_mut().zip(&mut words).for_each(|(place, word)| *place = word);
        for _ in 0..count {
            let mut command = [0; COMMAND_WORDS];
            command.iter_mut().zip(&mut words).for_each(|(place, word)| *place = word);
            take(&command);
        }
        chunk.commit_all();
        Some(tick)
    }
}
