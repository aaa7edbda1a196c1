//! How the recorder does, for whoever must tell people: levels and counts that nobody waits for.
//!
//! Knows: what was dropped, what is safe on disk, whether it can be written at all. Does not know:
//! files, or whom to tell. Read on another thread than the recorder's, which a disk may hold up.

use longhand_protocol::message::RecordAlarm;
use longhand_protocol::units::{Instant, Micros};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The newest tick that is safe on disk may be this old. Chosen: ten times the longest wait for a
/// block and its sync; a disk that needs more falls behind for good.
pub const BEHIND_MAX: Micros = Micros::from_millis(500);

/// Behind by more than this, ticks are as good as lost: the rings hold 15 s and more.
const LOST_AFTER: Micros = Micros::from_secs(10);

/// Levels and counts, on the clock `C`.
#[derive(Debug)]
pub struct Health<C> {
    /// Ticks that the ring had no room for.
    dropped: AtomicU64,
    /// Ticks for which there was no file.
    unwritten: AtomicU64,
    /// When the newest tick on disk ran.
    safe_at: AtomicU64,
    has_failed: AtomicBool,
    clock: PhantomData<fn() -> C>,
}

impl<C> Default for Health<C> {
    fn default() -> Self {
        Self {
            dropped: AtomicU64::default(),
            unwritten: AtomicU64::default(),
            safe_at: AtomicU64::default(),
            has_failed: AtomicBool::default(),
            clock: PhantomData,
        }
    }
}

impl<C> Health<C> {
    pub(crate) fn drop_tick(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unwritten(&self, ticks: u64) {
        self.unwritten.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Whether there is a file that can be written.
    pub fn failed(&self, has_failed: bool) {
        self.has_failed.store(has_failed, Ordering::Relaxed);
    }

    /// Everything up to `at` is safe.
    pub fn safe(&self, at: Instant<C>) {
        self.safe_at.store(at.as_micros(), Ordering::Release);
    }

    /// How things stand at `now`.
    pub fn alarm(&self, now: Instant<C>) -> RecordAlarm {
        let safe_at = Instant::from_micros(self.safe_at.load(Ordering::Acquire));
        let behind = now.since(safe_at);
        if self.has_failed.load(Ordering::Relaxed) || behind > LOST_AFTER {
            RecordAlarm::Failed
        } else if behind > BEHIND_MAX {
            RecordAlarm::Behind
        } else {
            RecordAlarm::None
        }
    }

    /// Ticks that are in no file: dropped by the ring, or without a file to go to.
    pub fn lost(&self) -> u64 {
        let dropped = self.dropped.load(Ordering::Relaxed);
        dropped.saturating_add(self.unwritten.load(Ordering::Relaxed))
    }
}
