//! Goal: a day at 1 kHz fits into 64 MB. Every byte that the ledger and the measures take from the
//! heap is counted, in virtual time.
//!
//! The whole day takes minutes: `cargo test --release -p longhand-qualify --test a_day -- --ignored
//! --nocapture`. What always runs shows how fast memory grows, and what that makes of a day.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test: a panic is how it fails, and it says what it measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhand_protocol::probe::{Probe, Receipts};
use longhand_protocol::units::Instant;
use longhand_qualify::ledger::Ledger;
use longhand_qualify::measure::{Given, measure};
use longhand_qualify::slot::{Fate, SLOT_LEN, Samples, Slot};
use longhand_qualify::verdict::RUN_MAX_S;

/// Source: links.md section 8, V7: 24 h at 1 kHz in 64 MB, 12 bytes a packet on disk.
const MOST_BYTES: usize = 64_000_000;
const DAY_S: u64 = 86_400;
/// Chosen: what any machine has to spare that a month's run is left alone on.
const LONGEST_MOST_BYTES: usize = 320_000_000;
const _: () = assert!(SLOT_LEN <= 12);

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The count is the process's: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A run that lies nowhere: every look makes the same slots anew, as a file would give them.
struct Made {
    slots: u64,
}

impl Made {
    /// Jitter without a pattern, a change of route every hour, outages, holds, and loss each way.
    fn slot(place: u64) -> Slot {
        let noise = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise = (noise ^ (noise >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        let route = if (place / 3_600_000).is_multiple_of(2) { 0 } else { 4_000 };
        let us = |part: u64| i32::try_from(part).unwrap();
        match noise % 4_000 {
            0 => Slot::of(Fate::LostUp),
            1 => Slot::of(Fate::LostDown),
            _ if place % 700_000 < 60 => Slot::of(Fate::LostUp),
            _ => Slot {
                late_us: 40,
                ..Slot::of(Fate::Back {
                    up_us: us(noise % 3_000 + noise % 97 + route),
                    down_us: us(noise / 7 % 2_000 + 20_000),
                })
            },
        }
    }
}

impl Samples for Made {
    fn visit(&self, each: &mut dyn FnMut(u64, &Slot)) {
        for place in 0..self.slots {
            each(place, &Self::slot(place));
        }
    }
}

/// Peak of the heap while so many seconds go through the ledger and are measured, bytes.
fn peak(seconds: u64, period_us: u64) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let slots = seconds * 1_000_000 / period_us;
    let mut ledger = Ledger::new(5_000_000, period_us, slots);
    let mut receipts = Receipts::new();
    let mut closed = 0_u64;
    for number in 1..=slots {
        let due = ledger.due_us(number);
        ledger.sent(number, due);
        // A lost one stays open until the horizon closes it.
        if Made::slot(number - 1).spans().is_some() {
            let probe = Probe { run: 1, number, ..Probe::default() };
            let answer = receipts.take(&probe, Instant::from_micros(due + 9_000)).unwrap();
            ledger.answer(&answer, due + 20_000);
        }
        ledger.close(due, |_| closed += 1);
    }
    ledger.finish(|_| closed += 1);
    assert_eq!(closed, slots);
    let given = Given { period_us, slots, ..Given::default() };
    let measures = measure(&Made { slots }, &given);
    assert_eq!(measures.own.slots, slots);
    assert!(measures.up.loss.events > 0 && measures.replay.is_some() == (period_us == 1_000));
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn memory_grows_so_slowly_that_a_day_fits() {
    let _turn = TURN.lock().unwrap();
    // Beyond the horizon of 40 s the ledger grows no more, whatever the rate.
    let (short, long) = (peak(60, 1_000), peak(180, 1_000));
    assert!(long <= short + 20_000, "it grows with the probes: {short} {long}");
    // What is kept of each second is there at one probe a second, too, of which a day is short.
    let seconds = peak(DAY_S, 1_000_000);
    let day = long + seconds;
    eprintln!("60 s at 1 kHz: {short} bytes, 180 s: {long}; a day at 1 Hz: {seconds}");
    assert!(day <= MOST_BYTES, "{day}");
}

#[test]
#[ignore = "a day: minutes"]
fn a_day_at_1_khz_fits_into_64_mb() {
    let _turn = TURN.lock().unwrap();
    let most = peak(DAY_S, 1_000);
    eprintln!("a day at 1 kHz: {most} bytes of heap, {} on disk", DAY_S * 1_000 * 12 + 256);
    assert!(most <= MOST_BYTES, "{most}");
}

/// What `--for` bears at most: the run that six nines need. What is kept of each second is there at
/// one probe a second, too; what is kept of each probe does not grow (above).
#[test]
#[ignore = "36 days: a minute"]
fn the_longest_run_there_is_fits_into_the_memory_of_any_machine() {
    let _turn = TURN.lock().unwrap();
    let longest = longhand_qualify::number::count(RUN_MAX_S);
    let most = peak(180, 1_000) + peak(longest, 1_000_000);
    eprintln!("36 days: {most} bytes of heap; at 200 Hz {} on disk", longest * 200 * 12 + 256);
    assert!(most <= LONGEST_MOST_BYTES, "{most}");
}
