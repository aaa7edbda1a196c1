//! Which numbers have been seen: a window of 1024 behind the newest.
//!
//! Knows: numbers. Does not know: what they number, time, or whether a jump makes sense (`session`
//! compares it with the hand's own time before it comes here).
//!
//! Forward jumps are always taken; nothing behind the window is ever taken, and a number is taken
//! once. There is no reset timer, on purpose: IEEE 802.1CB's turns a gap of 33 ms into an outage of
//! 2 s, and its "take any after reset" is an open door for replay (safety.md section 0, finding 5).
//! A new start is a new session, with a new window.

use crate::units::Seq;

/// How many numbers the window holds, the newest included. At 1 kHz: 1.024 s, well beyond any delay
/// at which a command is still of use, and beyond the difference between two paths.
pub const WINDOW: u64 = 1_024;

const WORD_BITS: u64 = 64;
const WORDS: usize = 16;
const _: () = assert!(WINDOW == 16 * WORD_BITS && WORDS == 16);

/// The numbers seen of one session. 1024 wide, one bit each; O(1) but for a forward jump, which
/// costs one step for each number skipped, at most 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqWindow {
    newest: Seq,
    /// The bit of number `n` is bit `n % 64` of word `n / 64 % 16`.
    words: [u64; WORDS],
    admitted: u64,
}

/// A number that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// It is the largest so far.
    pub newest: bool,
    /// Numbers between the newest before and this one. They may still come. Zero unless `newest`.
    pub skipped: u64,
}

/// A number that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeqReject {
    /// It was taken before: a repeat, a replay, or the copy that came by the other path; drop it.
    Duplicate,
    /// It lies behind the window, so nobody can say whether it was taken before; drop it.
    TooOld,
    /// No message carries the number zero; drop it.
    Zero,
}

impl SeqReject {
    /// Every reject, in the order in which it is looked for from last to first.
    pub const ALL: [Self; 3] = [Self::Duplicate, Self::TooOld, Self::Zero];

    /// The word for it, as in records and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate",
            Self::TooOld => "TooOld",
            Self::Zero => "Zero",
        }
    }

    /// What is wrong, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Duplicate => "this number was taken before",
            Self::TooOld => "this number lies behind the window of 1024",
            Self::Zero => "no message carries the number zero",
        }
    }
}

impl core::fmt::Display for SeqReject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.advice())
    }
}

impl core::error::Error for SeqReject {}

impl SeqWindow {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self { newest: Seq::ZERO, words: [0; WORDS], admitted: 0 }
    }

    /// The largest number taken; [`Seq::ZERO`] before the first.
    pub const fn newest(&self) -> Seq {
        self.newest
    }

    /// How many numbers were taken.
    pub const fn admitted(&self) -> u64 {
        self.admitted
    }

    /// How many numbers up to the newest have not been taken. Those within the window may still
    /// come, so it may fall again by what was overtaken on the way; those behind it never will.
    ///
    /// Why not only the latter: they are told 1024 numbers late, so a second of loss was none, and
    /// every share of a short run was too small.
    pub const fn lost(&self) -> u64 {
        self.newest.get().saturating_sub(self.admitted)
    }

    /// What [`SeqWindow::admit`] would answer; changes nothing.
    ///
    /// Errors: [`SeqReject`].
    pub fn check(&self, number: Seq) -> Result<Admitted, SeqReject> {
        if number == Seq::ZERO {
            return Err(SeqReject::Zero);
        }
        if let Some(ahead) = number.checked_since(self.newest)
            && ahead > 0
        {
            return Ok(Admitted { newest: true, skipped: ahead.saturating_sub(1) });
        }
        let behind = self.newest.checked_since(number).unwrap_or(u64::MAX);
        if behind >= WINDOW {
            return Err(SeqReject::TooOld);
        }
        if self.is_set(number.get()) {
            return Err(SeqReject::Duplicate);
        }
        Ok(Admitted { newest: false, skipped: 0 })
    }

    /// Takes a number, once.
    ///
    /// Errors: [`SeqReject`]; the window is then as it was.
    pub fn admit(&mut self, number: Seq) -> Result<Admitted, SeqReject> {
        let admitted = self.check(number)?;
        if admitted.newest {
            self.slide_to(number);
        }
        self.set(number.get());
        self.admitted = self.admitted.saturating_add(1);
        Ok(admitted)
    }

    /// Moves the window's head to `number`.
    fn slide_to(&mut self, number: Seq) {
        let from = self.newest.get();
        let to = number.get();
        let jump = to.saturating_sub(from);
        for step in 1..=jump.min(WINDOW) {
            self.clear(from.saturating_add(step));
        }
        self.newest = number;
    }

    fn is_set(&self, n: u64) -> bool {
        self.words.get(place(n)).is_some_and(|word| word & mask(n) != 0)
    }

    fn set(&mut self, n: u64) {
        if let Some(word) = self.words.get_mut(place(n)) {
            *word |= mask(n);
        }
    }

    fn clear(&mut self, n: u64) {
        if let Some(word) = self.words.get_mut(place(n)) {
            *word &= !mask(n);
        }
    }
}

impl Default for SeqWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// Which word holds number `n`: always below [`WORDS`].
fn place(n: u64) -> usize {
    usize::try_from(n % WINDOW / WORD_BITS).unwrap_or(0)
}

const fn mask(n: u64) -> u64 {
    1 << (n % WORD_BITS)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn zero_is_never_taken() {
        assert_eq!(SeqWindow::new().admit(Seq::ZERO), Err(SeqReject::Zero));
    }

    #[test]
    fn window_edge_before_on_and_after() {
        let mut window = SeqWindow::new();
        window.admit(Seq::new(5_000)).unwrap();
        assert_eq!(window.check(Seq::new(5_000 - 1_025)), Err(SeqReject::TooOld));
        assert_eq!(window.check(Seq::new(5_000 - 1_024)), Err(SeqReject::TooOld));
        assert!(window.check(Seq::new(5_000 - 1_023)).is_ok());
    }

    #[test]
    fn a_gap_of_33_ms_is_no_outage() {
        let mut window = SeqWindow::new();
        window.admit(Seq::new(100)).unwrap();
        let taken = window.admit(Seq::new(134)).unwrap();
        assert_eq!(taken, Admitted { newest: true, skipped: 33 });
        assert!(window.admit(Seq::new(135)).is_ok());
    }

    #[test]
    fn a_lost_number_counts_at_once_and_no_longer_once_it_comes() {
        let mut window = SeqWindow::new();
        for number in [2, 4, 6] {
            window.admit(Seq::new(number)).unwrap();
        }
        assert_eq!((window.admitted(), window.lost()), (3, 3));
        window.admit(Seq::new(5)).unwrap();
        assert_eq!((window.admitted(), window.lost()), (4, 2));
    }

    #[test]
    fn the_largest_number_is_final() {
        let mut window = SeqWindow::new();
        window.admit(Seq::new(u64::MAX)).unwrap();
        assert_eq!(window.admit(Seq::new(u64::MAX)), Err(SeqReject::Duplicate));
        assert!(window.admit(Seq::new(u64::MAX - 1)).is_ok());
    }

    /// The model: a set of everything taken, and the largest.
    fn model(seen: &HashSet<u64>, newest: u64, n: u64) -> Result<Admitted, SeqReject> {
        if n == 0 {
            Err(SeqReject::Zero)
        } else if n > newest {
            Ok(Admitted { newest: true, skipped: n - newest - 1 })
        } else if newest - n >= WINDOW {
            Err(SeqReject::TooOld)
        } else if seen.contains(&n) {
            Err(SeqReject::Duplicate)
        } else {
            Ok(Admitted { newest: false, skipped: 0 })
        }
    }

    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            8 => -3_i64..=4,
            3 => -1_100_i64..=1_100,
            1 => 1_i64..=1_000_000,
        ];
        proptest::collection::vec(step, 1..600)
    }

    proptest! {
        #[test]
        fn window_does_what_a_set_would_do(start in 0_u64..3_000, steps in steps()) {
            let (mut window, mut seen, mut newest) = (SeqWindow::new(), HashSet::new(), 0_u64);
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let expected = model(&seen, newest, at);
                prop_assert_eq!(window.admit(Seq::new(at)), expected);
                if expected.is_ok() {
                    seen.insert(at);
                    newest = newest.max(at);
                }
                prop_assert_eq!(window.newest(), Seq::new(newest));
                prop_assert_eq!(window.admitted(), u64::try_from(seen.len()).unwrap());
                let unseen = newest - u64::try_from(seen.len()).unwrap();
                prop_assert_eq!(window.lost(), unseen);
            }
        }
    }
}
