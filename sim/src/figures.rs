//! Figures that are promised of a robot, found by running the virtual world very often.
//!
//! Knows: which links, how work is shared among threads, how its progress is shown. Does not know:
//! what is measured.

pub mod cuts;
pub mod outages;
pub mod table;

use longhand_link::{PROFILES, Profile, UnknownProfile};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The link of this name, or all.
///
/// Errors: [`UnknownProfile`].
fn links(name: Option<&str>) -> Result<Vec<&'static Profile>, UnknownProfile> {
    Ok(match name {
        Some(name) => vec![Profile::by_name(name)?],
        None => PROFILES.iter().collect(),
    })
}

/// Whole numbers and shares, drawn from a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        let many = high.saturating_sub(low).saturating_add(1);
        low.saturating_add(self.0.next_u64().checked_rem(many).unwrap_or(0))
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX)
    }
}

/// Does `work` for every number below `many` on `jobs` threads, until `stop`. What comes of each
/// stands at its number; `None` where it was not begun or not ended.
fn share_out<T: Send>(
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
