//! Work shared out among threads.
//!
//! Knows: numbers, threads, when to stop. Does not know: what is done for a number.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` for every number below `many` on `jobs` threads, until `stop`. What comes of each
/// stands at its number; `None` where it was not begun or not ended.
pub fn share_out<T: Send>(
    many: usize,
    jobs: usize,
    stop: &AtomicBool,
    work: impl Fn(usize) -> Option<T> + Sync,
) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<T>>> = Mutex::new((0..many).map(|_| None).collect());
    let one = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= many || stop.load(Ordering::Relaxed) {
                return;
            }
            let came = work(number);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = done.get_mut(number) {
                *place = came;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(one);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
