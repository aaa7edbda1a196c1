//! The ring: every tick leaves a real-time thread through here, one way.
//!
//! Knows: messages of any number of words, and how many did not fit. Does not know: what they say,
//! who reads, or whether anybody does. Policy when full: the message is dropped and counted, whole;
//! the writer never waits, and nothing comes back through here.
//!
//! A message lies in the ring as the number of its words, then the words. It begins with the tick's
//! number and when the tick ran: more than that the recorder does not look at. `Words` puts a tick
//! together.

use crate::health::Health;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;

/// The real-time thread's end.
#[derive(Debug)]
pub struct RingWriter<C> {
    ring: Producer<u64>,
    health: Arc<Health<C>>,
}

/// The recorder's end.
#[derive(Debug)]
pub struct RingReader {
    ring: Consumer<u64>,
}

/// A ring with room for `words`. Touches all of it, so that no tick is the first to.
pub fn ring<C>(words: usize, health: &Arc<Health<C>>) -> (RingWriter<C>, RingReader) {
    let (mut ring, mut end) = RingBuffer::new(words);
    while ring.push(0).is_ok() {}
    while end.pop().is_ok() {}
    (RingWriter { ring, health: Arc::clone(health) }, RingReader { ring: end })
}

impl<C> RingWriter<C> {
    /// Takes one tick of `size` words. Wait-free, no heap; its cost is that of copying.
    pub fn put(&mut self, size: usize, words: impl Iterator<Item = u64>) {
        let Ok(room) = self.ring.write_chunk_uninit(size.saturating_add(1)) else {
            self.health.drop_tick();
            return;
        };
        let length = u64::try_from(size).unwrap_or(u64::MAX);
        room.fill_from_iter(core::iter::once(length).chain(words));
    }
}

impl RingReader {
    /// The next tick into `message`, once it is there. Says whether it was.
    pub fn next(&mut self, message: &mut Vec<u64>) -> bool {
        message.clear();
        let length = self.ring.peek().ok().and_then(|length| usize::try_from(*length).ok());
        let Some(size) = length.map(|length| length.saturating_add(1)) else { return false };
        // A message is committed whole: where its first word is, all of it is.
        let Ok(chunk) = self.ring.read_chunk(size) else { return false };
        let (one, two) = chunk.as_slices();
        message.extend(one.iter().chain(two).skip(1));
        chunk.commit_all();
        true
    }
}

/// A tick's words while they are put together. Total, no heap: for the real-time thread.
#[derive(Debug)]
pub struct Words<const N: usize> {
    words: [u64; N],
    next: usize,
}

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self { words: [0; N], next: 0 }
    }
}

impl<const N: usize> Words<N> {
    /// The next word. What there is no room for is dropped: a kind's test counts its fields.
    pub fn put(&mut self, word: u64) {
        if let Some(place) = self.words.get_mut(self.next) {
            *place = word;
        }
        self.next = self.next.saturating_add(1);
    }

    /// A `float64` each.
    pub fn floats(&mut self, values: &[f64]) {
        values.iter().for_each(|value| self.put(value.to_bits()));
    }

    /// Two `uint32`.
    pub fn halves(&mut self, low: u32, high: u32) {
        let ([a, b, c, d], [e, f, g, h]) = (low.to_le_bytes(), high.to_le_bytes());
        self.put(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }

    /// All of them.
    pub const fn done(self) -> [u64; N] {
        self.words
    }
}

/// Which of `all` a word is, as a `uint8`; 255 for none of them.
pub fn place<T: PartialEq>(all: &[T], word: &T) -> u8 {
    let place = all.iter().position(|known| known == word);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

/// Flags as a `uint8`, the first the lowest.
pub fn bits<const N: usize>(flags: [bool; N]) -> u8 {
    flags.iter().rev().fold(0, |sum, flag| (sum << 1) | u8::from(*flag))
}
