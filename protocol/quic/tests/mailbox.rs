//! The mailbox on one thread, and under two real ones.

use longhand_quic::mailbox::{Drained, Mailbox, from_bytes, to_bytes};
use std::sync::atomic::{AtomicBool, Ordering};

fn drained(taken: u64, overwritten: u64, skipped: u64) -> Drained {
    Drained { taken, overwritten, skipped }
}

#[test]
fn empty_drain_finds_nothing() {
    let (_writer, mut reader) = Mailbox::<1, 4>::pair();
    assert_eq!(reader.drain(10, |_| unreachable!()), Drained::default());
    assert_eq!(reader.newest(), (None, Drained::default()));
}

#[test]
fn full_ring_drops_the_oldest_and_counts_them() {
    // One message before the ring is full, full, and one after.
    for (pushed, lost) in [(3_u64, 0_u64), (4, 0), (5, 1)] {
        let (mut writer, mut reader) = Mailbox::<1, 4>::pair();
        (0..pushed).for_each(|n| writer.push(&[n]));
        let mut seen = Vec::new();
        let result = reader.drain(u64::MAX, |m| seen.push(first(m)));
        assert_eq!(result, drained(pushed - lost, lost, 0));
        assert_eq!(seen, (lost..pushed).collect::<Vec<_>>());
        assert_eq!(reader.drain(u64::MAX, |_| unreachable!()), Drained::default());
    }
}

#[test]
fn drain_with_a_bound_takes_the_newest_in_order() {
    let (mut writer, mut reader) = Mailbox::<1, 8>::pair();
    (0..10).for_each(|n| writer.push(&[n]));
    let mut seen = Vec::new();
    assert_eq!(reader.drain(3, |m| seen.push(first(m))), drained(3, 2, 5));
    assert_eq!(seen, [7, 8, 9]);
}

#[test]
fn newest_takes_one_and_counts_the_rest() {
    let (mut writer, mut reader) = Mailbox::<2, 4>::pair();
    (0..6).for_each(|n| writer.push(&[n, !n]));
    assert_eq!(reader.newest(), (Some([5, !5]), drained(1, 2, 3)));
    assert_eq!(reader.newest(), (None, Drained::default()));
}

#[test]
fn bytes_survive_the_words() {
    for len in 0..=24_u8 {
        let bytes: Vec<u8> = (1..=len).collect();
        let message = from_bytes::<3>(&bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        to_bytes(&message, &mut back);
        assert_eq!(back, bytes);
    }
    assert_eq!(from_bytes::<3>(&[0; 25]), None);
}

#[test]
fn two_threads_never_tear_never_reorder_and_lose_nothing_uncounted() {
    const MESSAGES: u64 = 2_000_000;
    for max in [u64::MAX, 3, 1] {
        let (mut writer, mut reader) = Mailbox::<16, 4>::pair();
        let finished = AtomicBool::new(false);
        let mut last = None;
        let mut sum = Drained::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..MESSAGES).for_each(|n| writer.push(&message(n)));
                finished.store(true, Ordering::Release);
            });
            loop {
                // Read before the drain: what was pushed before `finished` is then seen by it.
                let over = finished.load(Ordering::Acquire);
                let result = reader.drain(max, |m| {
                    let n = first(m);
                    assert_eq!(*m, message(n), "torn");
                    assert!(last.is_none_or(|l| l < n), "{n} after {last:?}");
                    last = Some(n);
                });
                sum = sum.plus(result);
                if over {
                    break;
                }
            }
        });
        assert_eq!(last, Some(MESSAGES - 1), "the newest survives");
        assert_eq!(sum.taken + sum.lost(), MESSAGES);
        println!("max {max}: {sum:?}");
    }
}

fn first<const WORDS: usize>(message: &[u64; WORDS]) -> u64 {
    message.first().copied().unwrap_or(u64::MAX)
}

/// Message `n`: its number, then words that all differ and all follow from it.
fn message(n: u64) -> [u64; 16] {
    let mut words = [n; 16];
    let mut mixed = n;
    for word in words.iter_mut().skip(1) {
        // SplitMix64's step constant: any odd number would do.
        mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15).rotate_left(7);
        *word = mixed;
    }
    words
}
