//! The mailbox between a network thread and a real-time thread: one writer, one reader, no waiting.
//!
//! Knows: messages of a fixed number of words, their order, and how many were lost. Does not know:
//! what a message says, how to wake anybody, or which side is the robot.
//!
//! When it is full it drops the **oldest**. Why: after an outage thousands of commands flush at
//! once; a bounded queue that dropped the new ones would keep the stale. Commands are absolute and
//! complete, so the newest alone is enough, and it always survives.
//!
//! How: a ring of slots, each with its own sequence word (a seqlock per slot). The writer never
//! looks at the reader: it is wait-free and its cost is constant. The reader checks the sequence
//! word on both sides of its copy and throws away what was overwritten under it; its work is
//! bounded by `max`. Every word is an atomic, so a torn copy is only a wrong number that is thrown
//! away, never undefined behaviour, and there is no `unsafe` here.
//! Source: H.-J. Boehm, "Can seqlocks get along with programming language memory models?", 2012.
//!
//! The atomics come from `crate::atomics`, so that `tests/mailbox_loom.rs` can compile this very
//! file with loom's in their place. That way the model runs under plain
//! `cargo test -p longhand-quic --test mailbox_loom`. Why not `--cfg loom`: tokio in this crate
//! obeys that flag too and does not build with it.

use super::atomics::{Arc, AtomicU64, Ordering, fence};

/// Makes mailboxes of `SLOTS` messages of `WORDS` words.
///
/// Choose `SLOTS` so that the reader sees everything in all but a burst: the policy when full is to
/// drop the oldest, and to count it.
#[derive(Debug)]
pub struct Mailbox<const WORDS: usize, const SLOTS: usize>;

impl<const WORDS: usize, const SLOTS: usize> Mailbox<WORDS, SLOTS> {
    /// With one slot the newest message could never be read while the next is written.
    const ENOUGH: () = assert!(SLOTS >= 2 && WORDS >= 1);

    /// One mailbox: the end to write and the end to read. The only place that allocates.
    pub fn pair() -> (Writer<WORDS, SLOTS>, Reader<WORDS, SLOTS>) {
        const { Self::ENOUGH };
        let ring = Arc::new(Ring {
            written: Count(AtomicU64::new(0)),
            slots: core::array::from_fn(|_| Slot {
                sequence: AtomicU64::new(0),
                words: core::array::from_fn(|_| AtomicU64::new(0)),
            }),
        });
        (Writer { ring: Arc::clone(&ring), written: 0 }, Reader { ring, next: 0 })
    }
}

/// The end to write. Not `Clone`: there is one.
#[derive(Debug)]
pub struct Writer<const WORDS: usize, const SLOTS: usize> {
    ring: Arc<Ring<WORDS, SLOTS>>,
    written: u64,
}

impl<const WORDS: usize, const SLOTS: usize> Writer<WORDS, SLOTS> {
    /// Puts one message in, over the oldest where the ring is full.
    ///
    /// Wait-free: a constant number of stores, whatever the reader does. No heap.
    pub fn push(&mut self, message: &[u64; WORDS]) {
        let number = self.written;
        let Some(slot) = self.ring.slot(number) else { return };
        slot.sequence.store(writing(number), Ordering::Relaxed);
        // Nobody may see a new word and still see the old sequence.
        fence(Ordering::Release);
        for (place, word) in slot.words.iter().zip(message) {
            place.store(*word, Ordering::Relaxed);
        }
        // `written` below would publish the words too; so each slot is right by itself.
        slot.sequence.store(done(number), Ordering::Release);
        self.written = number.saturating_add(1);
        self.ring.written.0.store(self.written, Ordering::Release);
    }

    /// How many messages were ever put in.
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// The end to read. Not `Clone`: there is one.
#[derive(Debug)]
pub struct Reader<const WORDS: usize, const SLOTS: usize> {
    ring: Arc<Ring<WORDS, SLOTS>>,
    next: u64,
}

impl<const WORDS: usize, const SLOTS: usize> Reader<WORDS, SLOTS> {
    /// Hands the newest `max` of the waiting messages to `take`, oldest of them first.
    ///
    /// Why the newest and not the next: the newest must act in this tick, however many wait.
    /// Every message is taken or counted exactly once over the life of the mailbox. Messages
    /// written after the call began wait for the next one, so the work is bounded. No heap.
    pub fn drain(&mut self, max: u64, mut take: impl FnMut(&[u64; WORDS])) -> Drained {
        let end = self.ring.written.0.load(Ordering::Acquire);
        let slots = u64::try_from(SLOTS).unwrap_or(u64::MAX);
        let kept = self.next.max(end.saturating_sub(slots));
        let first = kept.max(end.saturating_sub(max));
        let mut drained = Drained {
            taken: 0,
            overwritten: kept.saturating_sub(self.next),
            skipped: first.saturating_sub(kept),
        };
        for number in first..end {
            match self.ring.read(number) {
                Some(message) => {
                    take(&message);
                    drained.taken = drained.taken.saturating_add(1);
                }
                None => drained.overwritten = drained.overwritten.saturating_add(1),
            }
        }
        self.next = end;
        drained
    }

    /// The newest message that was not yet read, and what was passed over to get it.
    ///
    /// `None` with nothing lost means that nothing is new. `None` with something lost means that
    /// the writer lapped every attempt; the attempts are bounded, and the next call sees more.
    pub fn newest(&mut self) -> (Option<[u64; WORDS]>, Drained) {
        // chosen: the writer must fill the whole ring within one copy to spoil one attempt.
        const ATTEMPTS: u32 = 4;
        let (mut found, mut sum) = (None, Drained::default());
        for _ in 0..ATTEMPTS {
            let drained = self.drain(1, |message| found = Some(*message));
            sum = sum.plus(drained);
            if found.is_some() || drained == Drained::default() {
                break;
            }
        }
        (found, sum)
    }
}

/// What became of the messages that one call found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Handed over.
    pub taken: u64,
    /// Lost: the writer came round before they were read.
    pub overwritten: u64,
    /// Passed over: older than the newest `max`.
    pub skipped: u64,
}

impl Drained {
    /// Everything that was written and not handed over.
    pub const fn lost(self) -> u64 {
        self.overwritten.saturating_add(self.skipped)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            taken: self.taken.saturating_add(other.taken),
            overwritten: self.overwritten.saturating_add(other.overwritten),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// `bytes` as a message, little-endian, the rest zero; `None` where they do not fit.
pub fn from_bytes<const WORDS: usize>(bytes: &[u8]) -> Option<[u64; WORDS]> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut message = [0; WORDS];
    let mut places = message.iter_mut();
    for chunk in whole {
        *places.next()? = u64::from_le_bytes(*chunk);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        *places.next()? = u64::from_le_bytes(last);
    }
    Some(message)
}

/// The message's first bytes, as many as `bytes` holds; what lies past the message stays as it is.
pub fn to_bytes<const WORDS: usize>(message: &[u64; WORDS], bytes: &mut [u8]) {
    for (chunk, word) in bytes.chunks_mut(8).zip(message) {
        chunk.iter_mut().zip(word.to_le_bytes()).for_each(|(to, from)| *to = from);
    }
}

/// What both ends share.
#[derive(Debug)]
struct Ring<const WORDS: usize, const SLOTS: usize> {
    written: Count,
    slots: [Slot<WORDS>; SLOTS],
}

/// How many messages were ever put in, on a cache line of its own: 64 bytes on x86-64, taken twice
/// because its prefetcher fetches lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Count(AtomicU64);

/// One message and its sequence word: 0 empty, odd while it is written, even when it is whole.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<const WORDS: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize, const SLOTS: usize> Ring<WORDS, SLOTS> {
    /// The slot of message `number`. Always `Some`; the `None` spares an index.
    fn slot(&self, number: u64) -> Option<&Slot<WORDS>> {
        let slots = u64::try_from(SLOTS).ok()?;
        self.slots.get(usize::try_from(number.checked_rem(slots)?).ok()?)
    }

    /// A copy of message `number`, or `None` where the writer has come round.
    fn read(&self, number: u64) -> Option<[u64; WORDS]> {
        let slot = self.slot(number)?;
        if slot.sequence.load(Ordering::Acquire) != done(number) {
            return None;
        }
        let mut message = [0; WORDS];
        for (word, place) in message.iter_mut().zip(&slot.words) {
            *word = place.load(Ordering::Relaxed);
        }
        // Pairs with the writer's fence: had any word been newer, the sequence now is, too.
        fence(Ordering::Acquire);
        (slot.sequence.load(Ordering::Relaxed) == done(number)).then_some(message)
    }
}

/// The sequence word while message `number` is being written: odd.
const fn writing(number: u64) -> u64 {
    number.saturating_mul(2).saturating_add(1)
}

/// The sequence word when message `number` is whole: even, never 0.
const fn done(number: u64) -> u64 {
    number.saturating_mul(2).saturating_add(2)
}
