//! One road's ledger, and its samples on disk.
//!
//! Knows: when a slot may be written. Does not know: the road.

use super::desk::{Desk, Event, now_us};
use super::files::{FileError, RawFile, Written};
use super::{LiveRoad, QualifyError};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_qualify::ledger::Ledger;
use longhand_qualify::measure::Given;
use longhand_qualify::number::real;
use longhand_qualify::slot::{Fate, Slot};
use longhand_quic::clock::wall_offset_us;
use std::path::Path;

/// One road: the session, or plain UDP.
pub struct Road {
    period: Micros,
    slots: u64,
    ledger: Option<Ledger>,
    file: RawFile,
    due: u64,
    waiting: Vec<Event>,
    dropped: u64,
    /// This console's wall clock minus its own when the run began, us.
    wall_offset_us: u64,
}

/// What is known of a road at the end.
pub struct RoadReport {
    /// Its samples.
    pub samples: Written,
    /// What else there is to know for measuring them.
    pub given: Given,
    /// Events that the ledger missed: this machine was too slow, and some fates are wrong.
    pub missed_events: u64,
}

impl Road {
    /// With samples in a new file.
    ///
    /// Errors: it cannot be made.
    pub fn new(path: &Path, run: u64, period: Micros, slots: u64) -> Result<Self, FileError> {
        let file = RawFile::create(path, run, period)?;
        let waiting = Vec::new();
        let wall_offset_us = wall_offset_us();
        Ok(Self { period, slots, ledger: None, file, due: 0, waiting, dropped: 0, wall_offset_us })
    }

    pub(super) fn due(&self) -> u64 {
        self.due.min(self.slots)
    }

    pub(super) const fn slots(&self) -> u64 {
        self.slots
    }

    pub(super) fn is_told(&self) -> bool {
        self.ledger.as_ref().is_some_and(Ledger::is_told)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.ledger.as_ref().is_some_and(Ledger::is_settled)
    }

    /// The schedule ends with what was due so far.
    pub(super) fn end_now(&mut self, desk: &Desk) {
        self.slots = self.slots.min(desk.last_due().max(1));
        if let Some(ledger) = &mut self.ledger {
            ledger.end_at(self.slots);
        }
    }

    /// Takes what was told since the last call, and writes what is closed.
    pub(super) fn take(&mut self, desk: &Desk, now: Instant<Console>) -> Result<(), QualifyError> {
        self.due = desk.last_due();
        self.dropped = desk.dropped();
        let waiting = &mut self.waiting;
        desk.take(|event| waiting.push(event));
        if self.ledger.is_none() {
            let Some(begin) = desk.begun_us() else { return Ok(()) };
            self.ledger = Some(Ledger::new(begin, self.period.as_micros(), self.slots));
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        // An answer may have been told before its sending: the threads do not wait for each other.
        let is_answer = |event: &Event| matches!(event, Event::Answer(..) | Event::Forgotten(_));
        let (answers, others): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(is_answer);
        for event in others.into_iter().chain(answers) {
            match event {
                Event::Sent(number, at) => ledger.sent(number, at.as_micros()),
                Event::NotSent(number) => ledger.unsent(number, Fate::NotSent),
                Event::NoSession(number) => ledger.unsent(number, Fate::NoSession),
                Event::Answer(answer, at) => ledger.answer(&answer, at.as_micros()),
                Event::Forgotten(at) => ledger.forgotten(at.as_micros()),
            }
        }
        let mut closed: Vec<Slot> = Vec::new();
        ledger.close(now.as_micros().min(now_us()), |slot| closed.push(slot));
        Ok(self.file.write(&closed)?)
    }

    pub(super) fn live(&mut self) -> LiveRoad {
        let Some(ledger) = &mut self.ledger else { return LiveRoad::default() };
        let told = ledger.told();
        LiveRoad {
            sent: told.sent,
            back: told.back,
            rtt_mean_ms: real(told.rtt_sum_us) / real(told.back.max(1)) / 1e3,
            rtt_max_ms: real(ledger.take_rtt_max()) / 1e3,
        }
    }

    /// Closes the ledger and the file.
    pub(super) fn finish(mut self, wall_offset_us: u64) -> Result<RoadReport, QualifyError> {
        let mut closed: Vec<Slot> = Vec::new();
        let mut given = Given {
            period_us: self.period.as_micros(),
            missed_events: self.dropped,
            ..Given::default()
        };
        if let Some(mut ledger) = self.ledger.take() {
            ledger.finish(|slot| closed.push(slot));
            let told = ledger.told();
            given.offset_us = ledger.offset_us();
            given.duplicates_up = told.duplicates_up;
            let apart = i128::from(told.wall_offset_us) - i128::from(wall_offset_us);
            given.wall_offset_us = i64::try_from(apart).unwrap_or(0);
            let moved = wall_offset_us.abs_diff(self.wall_offset_us);
            given.wall_moved_us = moved.saturating_add(told.wall_moved_us);
        }
        self.file.write(&closed)?;
        let samples = self.file.finish(given.offset_us)?;
        given.slots = samples.slots();
        Ok(RoadReport { samples, given, missed_events: self.dropped })
    }
}
