//! One road's ledger, and its samples on disk.
//!
//! Knows: when a slot may be written. Does not know: the road.

pub(super) mod files;

use super::desk::{Desk, Event, now_us};
use super::{LiveRoad, QualifyError};
use files::{FileError, RawFile, Written};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_qualify::ledger::Ledger;
use longhand_qualify::measure::Given;
use longhand_qualify::number::real;
use longhand_qualify::slot::{Fate, Slot};
use longhand_quic::clock::{console_now, wall_offset_us};
use std::fs::File;
use std::path::Path;

/// How often what is known, but not final, is put on disk. Chosen: what a crash takes away is then
/// about a second. Only what is otherwise than it lies there is written: 24 kB/s at 1 kHz, each
/// slot once as far as it is known and once for good, and once more where it was taken for lost.
const AHEAD_EVERY: Micros = Micros::from_secs(1);

/// One road: the session, or plain UDP.
pub struct Road {
    period: Micros,
    slots: u64,
    ledger: Option<Ledger>,
    file: RawFile,
    due: u64,
    waiting: Vec<Event>,
    dropped: u64,
    /// When what is not final was last put on disk.
    ahead_at: Instant<Console>,
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
        let (ledger, ahead_at) = (None, console_now());
        let (due, dropped) = (0, 0);
        Ok(Self { period, slots, ledger, file, due, waiting, dropped, ahead_at, wall_offset_us })
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
        self.end_at(desk.last_due());
    }

    /// The schedule ends with this number.
    pub(super) fn end_at(&mut self, last: u64) {
        self.slots = self.slots.min(last.max(1));
        if let Some(ledger) = &mut self.ledger {
            ledger.end_at(self.slots);
        }
    }

    /// The file, for a thread that waits for the disk.
    pub(super) fn on_disk(&self) -> Result<File, FileError> {
        self.file.on_disk()
    }

    /// Everything that is known goes to the file at once: nobody will come back for the rest.
    pub(super) fn save(&mut self, desk: &Desk) -> Result<(), QualifyError> {
        self.take(desk, console_now())?;
        self.write_ahead()
    }

    /// Writes what is known, but not final.
    fn write_ahead(&mut self) -> Result<(), QualifyError> {
        let due = self.due();
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let mut changed: Vec<(u64, Slot)> = Vec::new();
        ledger.so_far(|number, slot| changed.push((number.saturating_sub(1), slot)));
        // One behind the other they are written at once.
        for row in changed.chunk_by(|(place, _), (next, _)| place.saturating_add(1) == *next) {
            let Some((place, _)) = row.first() else { continue };
            let slots: Vec<Slot> = row.iter().map(|(_, slot)| *slot).collect();
            self.file.write_ahead(*place, &slots)?;
        }
        self.file.write_due(ledger.offset_us(), due)?;
        Ok(())
    }

    /// Takes what was told since the last call, and writes what is closed; once a second also what
    /// is known of the others.
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
        self.file.write(&closed)?;
        if now.since(self.ahead_at) >= AHEAD_EVERY {
            self.ahead_at = now;
            self.write_ahead()?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::probe::{Probe, ProbeAnswer, SEEN_WORDS};

    const PERIOD: Micros = Micros::from_millis(1);

    /// Everything that lies in the file, whole slots.
    fn on_disk(path: &Path) -> Vec<Slot> {
        use longhand_qualify::slot::Samples as _;
        let (mut all, file) = (Vec::new(), Written::open(path).unwrap());
        file.visit(&mut |_, slot| all.push(*slot));
        file.intact().unwrap();
        all
    }

    fn at(begin: u64, ms: u64) -> Instant<Console> {
        Instant::from_micros(begin + ms * 1_000)
    }

    /// The first `sent` of probes leave on time, and of these all but `lost` are answered in 10 ms.
    fn told(desk: &Desk, begin: u64, numbers: std::ops::RangeInclusive<u64>, lost: u64) {
        let last = *numbers.end();
        for number in numbers {
            let sent_at = at(begin, number - 1);
            desk.is_due(number);
            assert_eq!(desk.next_due(), Some((number, false)));
            desk.tell(Event::Sent(number, sent_at));
            if number == lost || number + 10 > last {
                continue;
            }
            desk.tell(Event::Answer(answer(begin, number, lost), at(begin, number + 9)));
        }
    }

    /// To `number`, 5 ms behind it; of the others all have come but `lost`.
    fn answer(begin: u64, number: u64, lost: u64) -> ProbeAnswer {
        let sent_at = at(begin, number - 1);
        let robot_at = Instant::from_micros(sent_at.as_micros() + 5_000);
        let mut seen = [u64::MAX; SEEN_WORDS];
        let back = number.checked_sub(lost).and_then(|back| usize::try_from(back).ok());
        if let Some(word) = back.and_then(|back| seen.get_mut(back / 64)) {
            *word ^= 1 << ((number - lost) % 64);
        }
        ProbeAnswer {
            probe: Probe { run: 1, number, intended_at: sent_at, sent_at },
            received_at: robot_at,
            answered_at: robot_at,
            newest: number,
            received: number,
            seen,
            ..ProbeAnswer::default()
        }
    }

    /// What a crash takes away: at most a second's samples, and what nothing had come of yet.
    #[test]
    fn what_is_known_lies_on_disk_within_a_second_and_what_is_final_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples");
        let desk = Desk::new().unwrap();
        let mut road = Road::new(&path, 1, PERIOD, 100_000).unwrap();
        desk.begin(0);
        let begin = console_now().as_micros();
        desk.begin_at(at(begin, 0));
        told(&desk, begin, 1..=2_000, 700);
        road.take(&desk, at(begin, 500)).unwrap();
        assert_eq!(on_disk(&path).len(), 0, "not each time");
        road.take(&desk, at(begin, 2_000)).unwrap();
        let first = on_disk(&path);
        assert_eq!(first.len(), 1_990, "ten are on their way, and called lost by nobody");
        assert_eq!(Written::open(&path).unwrap().due(), 2_000);
        let back = |slots: &[Slot]| slots.iter().filter(|slot| slot.spans().is_some()).count();
        assert_eq!((back(&first), first[699].fate), (1_989, Fate::LostUp));
        // It was held up, and comes after all.
        desk.tell(Event::Answer(answer(begin, 700, 0), at(begin, 2_001)));
        road.take(&desk, at(begin, 3_000)).unwrap();
        let second = on_disk(&path);
        assert_eq!((second.len(), back(&second)), (1_990, 1_990));
        // Nobody comes back: all that is known, at once.
        told(&desk, begin, 2_001..=2_100, 0);
        road.save(&desk).unwrap();
        assert_eq!(on_disk(&path).len(), 2_090, "the last of before are lost, somewhere");
        // The end: what was on its way is lost, and nothing lies behind it.
        road.end_now(&desk);
        let done = road.finish(0).unwrap();
        assert_eq!((done.samples.slots(), on_disk(&path).len()), (2_100, 2_100));
        assert_eq!(back(&on_disk(&path)), 2_080);
        assert_eq!(on_disk(&path)[..699], second[..699]);
    }
}
