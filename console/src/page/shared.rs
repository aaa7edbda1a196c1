//! The one place where the leader's side and the page meet.
//!
//! Knows: the newest view, the newest input, a few requests. Does not know: what they mean.
//!
//! The leader's 1 kHz thread never waits here: every call marked "leader's side" only *tries* a
//! lock that guards a move of a pointer or a copy of some 200 bytes, and where it is taken goes on
//! with what it had; the next tick tries again. The page's side may wait for the leader's, which is
//! never long. Should the page's thread be preempted inside a lock, its input ages out like any
//! other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use longhand_protocol::units::{Console, Instant};

use super::input::{Absence, InputError, PageHands, PageRequest, Slot};
use super::view::PageView;

/// How many requests may wait. Full: the newest is refused and the page says so, because dropping
/// an older one would make a press vanish in silence.
pub const REQUESTS_MAX: usize = 64;

/// What the leader's side and the page share. Put it in an [`Arc`].
#[derive(Debug)]
pub struct PageShared {
    view: Mutex<Option<Box<PageView>>>,
    view_wanted: AtomicBool,
    input: Mutex<Slot>,
    requests: Mutex<VecDeque<PageRequest>>,
}

impl PageShared {
    /// Nothing to show, nobody there.
    pub fn new() -> Self {
        Self {
            view: Mutex::new(None),
            view_wanted: AtomicBool::new(false),
            input: Mutex::new(Slot::Released(Absence::NoPage)),
            requests: Mutex::new(VecDeque::with_capacity(REQUESTS_MAX)),
        }
    }

    /// Leader's side: whether a page is about to draw. One atomic load.
    ///
    /// True at most 60 times a second, and never while no page is open, so that nothing is made in
    /// vain: build a view and [`put_view`](Self::put_view) it within 2 ms to be in the next frame.
    pub fn wants_view(&self) -> bool {
        self.view_wanted.load(Ordering::Relaxed)
    }

    /// Leader's side: hands the page a new view; the newest wins. Never waits.
    ///
    /// Says whether it was taken. The box is made by the caller, and its memory is given back on
    /// the page's thread unless no page fetched it in time.
    pub fn put_view(&self, view: Box<PageView>) -> bool {
        let Some(mut slot) = try_lock(&self.view) else {
            return false;
        };
        *slot = Some(view);
        self.view_wanted.store(false, Ordering::Relaxed);
        true
    }

    /// Leader's side: the oldest request that waits, if any. Never waits; no heap.
    pub fn next_request(&self) -> Option<PageRequest> {
        try_lock(&self.requests)?.pop_front()
    }

    /// Page's side: asks for a view.
    pub(super) fn ask_view(&self) {
        self.view_wanted.store(true, Ordering::Relaxed);
    }

    /// Page's side: the newest view, if one came since the last call.
    pub(super) fn take_view(&self) -> Option<Box<PageView>> {
        lock(&self.view).take()
    }

    /// Page's side: the newest input.
    pub(super) fn put_input(&self, slot: Slot) {
        *lock(&self.input) = slot;
    }

    /// For tests of what reads hands: as if a page had said this at `sampled_at`.
    #[cfg(test)]
    pub(crate) fn put_hands(&self, hands: super::PageHands, sampled_at: Instant<Console>) {
        let rates_until = sampled_at.after(super::INPUT_FRESH_FOR);
        self.put_input(Slot::Held { hands, sampled_at, rates_until });
    }

    /// Page's side: nobody is there any more.
    pub(super) fn release_input(&self, absence: Absence) {
        self.put_input(Slot::Released(absence));
    }

    /// Queues requests, all of them or none: the page's side, and whoever drives a console by code.
    pub(crate) fn put_requests(&self, new: &[PageRequest]) -> Result<(), InputError> {
        let mut requests = lock(&self.requests);
        if requests.len().saturating_add(new.len()) > REQUESTS_MAX {
            return Err(InputError::RequestsFull);
        }
        requests.extend(new);
        Ok(())
    }
}

impl Default for PageShared {
    fn default() -> Self {
        Self::new()
    }
}

/// The leader's side of the input: reads the page's hands once a tick.
#[derive(Debug)]
pub struct PageHandReader {
    shared: Arc<PageShared>,
    newest: Slot,
}

impl PageHandReader {
    /// A reader of `shared`. One is enough; several do not disturb each other.
    pub fn new(shared: Arc<PageShared>) -> Self {
        Self { shared, newest: Slot::Released(Absence::NoPage) }
    }

    /// Leader's side: the hands at `now`, at rest and absent unless a fresh input says otherwise.
    ///
    /// Never waits: while the page is writing, the input of the tick before is used, and ages.
    pub fn read(&mut self, now: Instant<Console>) -> PageHands {
        if let Some(slot) = try_lock(&self.shared.input) {
            self.newest = *slot;
        }
        self.newest.at(now)
    }
}

/// A poisoned lock guards plain values that are whole at every moment: it is used all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::input::INPUT_FRESH_FOR;
    use longhand_protocol::units::Micros;

    fn held(at: Instant<Console>) -> Slot {
        let hands = PageHands {
            operator_present: true,
            absence: None,
            ..PageHands::absent(Absence::NoPage)
        };
        Slot::Held { hands, sampled_at: at, rates_until: at.after(super::super::INPUT_FRESH_FOR) }
    }

    #[test]
    fn leader_never_waits_for_a_page_that_holds_the_lock() {
        let shared = Arc::new(PageShared::new());
        let mut reader = PageHandReader::new(Arc::clone(&shared));
        let at = Instant::from_micros(1_000_000);
        shared.put_input(held(at));
        assert!(reader.read(at).operator_present);

        let _input = lock(&shared.input);
        let _view = lock(&shared.view);
        let _requests = lock(&shared.requests);
        assert!(reader.read(at).operator_present, "the input of the tick before");
        let late = at.after(INPUT_FRESH_FOR).after(Micros::from_micros(1));
        assert_eq!(reader.read(late).absence, Some(Absence::Stale));
        assert!(!shared.put_view(Box::default()));
        assert_eq!(shared.next_request(), None);
    }

    #[test]
    fn view_newest_wins_and_is_wanted_only_when_asked() {
        let shared = PageShared::new();
        assert!(!shared.wants_view());
        shared.ask_view();
        assert!(shared.wants_view());
        for scale in [0.1, 0.2] {
            assert!(shared.put_view(Box::new(PageView { scale, ..PageView::default() })));
        }
        assert!(!shared.wants_view());
        assert!(shared.take_view().is_some_and(|view| view.scale > 0.15));
        assert!(shared.take_view().is_none());
    }

    #[test]
    fn requests_keep_their_turn_and_a_full_queue_refuses_the_newest() {
        let shared = PageShared::new();
        for id in 0..64 {
            shared.put_requests(&[PageRequest::Acknowledge(id)]).unwrap();
        }
        let refused = shared.put_requests(&[PageRequest::Acknowledge(64)]);
        assert_eq!(refused, Err(InputError::RequestsFull));
        for id in 0..64 {
            assert_eq!(shared.next_request(), Some(PageRequest::Acknowledge(id)));
        }
        assert_eq!(shared.next_request(), None);
    }
}
