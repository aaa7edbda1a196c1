//! The mailbox under every order of events that the memory model allows.
//!
//! Compiles `src/mailbox.rs` itself, with loom's atomics in place of the standard ones, and lets
//! loom run the writer and the reader through all interleavings and all values that a relaxed load
//! may return. Small on purpose: the states grow exponentially. Two slots and three messages are
//! the least in which the writer laps the reader.

/// Loom's, under the names that the mailbox uses.
mod atomics {
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

#[path = "../src/mailbox.rs"]
#[expect(dead_code, reason = "the byte helpers are tested in tests/mailbox.rs")]
mod mailbox;

use mailbox::{Drained, Mailbox, Reader};

const MESSAGES: u64 = 3;

/// Both words follow from the number, so that a torn copy cannot look whole. Starts at 1: an empty
/// slot reads 0.
fn message(n: u64) -> [u64; 2] {
    [n + 1, !(n + 1)]
}

/// Runs `read` beside a writer of [`MESSAGES`] messages, then once more when the writer is done.
fn model(read: impl Fn(&mut Reader<2, 2>, &mut Vec<u64>) -> Drained + Send + Sync + 'static) {
    let read = std::sync::Arc::new(read);
    loom::model(move || {
        let (mut writer, mut reader) = Mailbox::<2, 2>::pair();
        let thread = loom::thread::spawn(move || {
            (0..MESSAGES).for_each(|n| writer.push(&message(n)));
            assert_eq!(writer.written(), MESSAGES);
        });
        let mut seen = Vec::new();
        let mut sum = read(&mut reader, &mut seen);
        assert!(thread.join().is_ok());
        sum = sum.plus(read(&mut reader, &mut seen));
        assert!(seen.is_sorted_by(|a, b| a < b), "order kept, nothing twice: {seen:?}");
        assert_eq!(seen.last(), Some(&(MESSAGES - 1)), "the newest survives: {seen:?}");
        assert_eq!(sum.taken + sum.lost(), MESSAGES, "nothing is lost uncounted: {sum:?}");
    });
}

fn note(words: &[u64; 2], seen: &mut Vec<u64>) {
    let [first, _] = *words;
    let n = first - 1;
    assert_eq!(*words, message(n), "torn");
    seen.push(n);
}

#[test]
fn drain_beside_a_writer_is_never_torn_and_keeps_order_and_newest() {
    model(|reader, seen| reader.drain(u64::MAX, |words| note(words, seen)));
}

#[test]
fn newest_beside_a_writer_is_never_torn_and_keeps_order() {
    model(|reader, seen| {
        let (found, drained) = reader.newest();
        found.iter().for_each(|words| note(words, seen));
        drained
    });
}
