//! The last minutes of one robot, for who comes late.
//!
//! Knows: a bounded line of ticks. Does not know: who asks. When it is full the oldest goes; what
//! is older stands in the black box.

use longhand_protocol::tap::Record;
use std::collections::VecDeque;

/// Ticks that one answer may have. Chosen: a minute at 100 Hz, and 7 MB of JSON.
pub const ANSWER_MAX: usize = 6_000;

/// Ticks as they were published.
#[derive(Debug)]
pub struct History {
    kept: VecDeque<Record>,
    most: usize,
}

/// Which ticks somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Back from the newest, ms.
    pub last_ms: u64,
    /// At least so far apart, ms.
    pub every_ms: u64,
}

impl Span {
    /// As asked: `last_s` (10 if not said) and `every_ms` (100).
    ///
    /// Errors: a number that is none, in words.
    pub fn asked<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let number = |name: &str, otherwise: u64| {
            let Some(text) = get(name) else { return Ok(otherwise) };
            text.parse::<u64>().map_err(|_error| format!("{name} must be a whole number"))
        };
        let last_ms = number("last_s", 10)?.saturating_mul(1_000);
        Ok(Self { last_ms, every_ms: number("every_ms", 100)? })
    }
}

impl History {
    /// Room for `most` ticks.
    pub fn new(most: usize) -> Self {
        Self { kept: VecDeque::new(), most }
    }

    /// The newest.
    pub fn push(&mut self, record: Record) {
        // Another run of the agent begins anew: its numbers would not fit.
        if self.kept.back().is_some_and(|last| last.number >= record.number) {
            self.kept.clear();
        }
        while self.kept.len() >= self.most.max(1) {
            self.kept.pop_front();
        }
        self.kept.push_back(record);
    }

    /// What is asked for, oldest first.
    ///
    /// Errors: it would be more than [`ANSWER_MAX`], in words.
    pub fn select(&self, span: Span) -> Result<Vec<Record>, String> {
        let at = |record: &Record| record.state.state.robot_time.as_micros() / 1_000;
        let Some(newest) = self.kept.back().map(at) else { return Ok(Vec::new()) };
        let from = newest.saturating_sub(span.last_ms);
        let mut due = 0;
        let mut found = Vec::new();
        for record in self.kept.iter().filter(|record| at(record) >= from) {
            if at(record) < due {
                continue;
            }
            if found.len() >= ANSWER_MAX {
                let words = "ask for less: a smaller last_s or a larger every_ms";
                return Err(format!("more than {ANSWER_MAX} ticks; {words}"));
            }
            due = at(record).saturating_add(span.every_ms);
            found.push(*record);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::{FollowerState, StateReport};
    use longhand_protocol::units::Instant;

    fn at(ms: u64) -> Record {
        let robot_time = Instant::from_micros(ms * 1_000);
        let state = FollowerState { robot_time, ..FollowerState::default() };
        let state = StateReport { state, ..StateReport::default() };
        Record { number: ms, state, ..Record::default() }
    }

    fn of(history: &History, last_ms: u64, every_ms: u64) -> Vec<u64> {
        let found = history.select(Span { last_ms, every_ms }).unwrap();
        found.iter().map(|record| record.number).collect()
    }

    #[test]
    fn the_oldest_goes_and_what_is_asked_for_is_thinned() {
        let mut history = History::new(100);
        (1..=150).map(|n| at(n * 10)).for_each(|record| history.push(record));
        assert_eq!(of(&history, 50, 0), [1450, 1460, 1470, 1480, 1490, 1500]);
        assert_eq!(of(&history, 50, 20), [1450, 1470, 1490]);
        assert_eq!(of(&history, 1_000_000, 0).len(), 100);
        assert_eq!(of(&history, 1_000_000, 0)[0], 510);
    }

    #[test]
    fn an_answer_is_bounded_and_a_new_agent_begins_anew() {
        let mut history = History::new(ANSWER_MAX + 1);
        let count = u64::try_from(ANSWER_MAX).unwrap() + 1;
        (1..=count).map(at).for_each(|record| history.push(record));
        assert!(history.select(Span { last_ms: u64::MAX, every_ms: 0 }).is_err());
        assert!(history.select(Span { last_ms: u64::MAX, every_ms: 2 }).is_ok());
        history.push(at(5));
        assert_eq!(of(&history, 1_000_000, 0), [5]);
    }

    #[test]
    fn what_is_asked_is_read_or_refused() {
        let span = Span::asked(|name| (name == "last_s").then_some("3"));
        assert_eq!(span, Ok(Span { last_ms: 3_000, every_ms: 100 }));
        assert!(Span::asked(|_| Some("-1")).is_err());
    }
}
