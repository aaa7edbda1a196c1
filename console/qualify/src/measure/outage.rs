//! Outages: when the link carried nothing, which way, and what became of what was sent meanwhile.
//!
//! Knows: runs of lost slots, and jumps of the delay after which a backlog comes at once. Does not
//! know: why.
//!
//! An outage is measured in time, not in packets (links.md 1.1: 16 packets are 16 ms at 1 kHz and
//! 320 ms at 50 Hz). Dropped: from the first lost slot to the first that came through. Held: from
//! the first slot that waited to the moment when it was let go.
//!
//! Nobody looks between two probes. Of `n` lost in a row the link was dark for `n - 1` periods at
//! least and `n + 1` at most, and each outage says so. One lost probe alone is a loss and no
//! outage, however slow the schedule: it may have been one of up to two periods, which is for the
//! worst end of a verdict (`possible`), and what was surely as long for the best end (`sure`).
//!
//! Where this machine sent nothing, or sent late, or the robot's stalled, nobody knows what the
//! link did: such a stretch may hide an outage, or make one longer than it looks. It is none of the
//! link's, and is counted apart, for the worst end of a verdict. So is what was lost nobody knows
//! where, or had no session.
//!
//! A radio that hands over in frames (a satellite's TDMA, 20 ms) holds all the time, frame by
//! frame: that is how it works, and no outage. [`Frames`] tells first how long its usual holds are.
//! What is held for longer than any radio's frame is an outage, however often it happens.

use serde::{Deserialize, Serialize};

use crate::number::{real, signed};
use crate::slot::{Fate, Slot};

/// Shorter ones are jitter or single losses. Source: design.md section 6, 10 ms of silence brake.
pub const SHORTEST_US: i64 = 10_000;
/// Longest frame of a radio, ms. Source: the longest known is geo's 20 ms (links.md section 6); 5G
/// turns between up and down within 10 ms (TS 38.331, `TDD-UL-DL-Pattern`). Chosen: a quarter more,
/// for the jitter in a hold. A radio that sleeps for longer (DRX) or looks around is out meanwhile.
const FRAME_MAX_MS: usize = 25;
/// Holds are frames where they take at least this share of the time (one in so many). Chosen: half;
/// what hands over in frames does so all the time, and what merely stalls often does not.
const FRAMES_SHARE: u64 = 2;
/// Longer holds than the usual ones take less than this share of the time (one in so many).
const UNUSUAL_SHARE: u64 = 100;
/// Lost in a row they are an outage; fewer are single losses. Chosen: the fewest that are a row.
const ROW: u64 = 2;
/// Outages no farther apart are of one cause, and one where somebody asks how often they come, s.
/// Chosen: a second; a handover that fails, or a cell at its edge, goes on and off for as long
/// (links.md section 6: outages of 150 ms to 4 s at p99).
pub const TOGETHER_S: f64 = 1.0;
/// Outages kept in a report. When full the newest are only counted.
const KEPT_MAX: usize = 1_000;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Console to robot.
    Up,
    /// Robot to console.
    Down,
    /// Both at once: a route that changed.
    Both,
    /// The session was gone, the run ended before anything told, or a clock may have stepped.
    Unknown,
}

/// What became of what was sent meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It was lost.
    Dropped,
    /// It came when the link did.
    Held,
}

/// One outage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// From the beginning of the run, by the schedule of the console, s: the first slot that did
    /// not get through, so it began up to a period before. On the way down: when the probe was due
    /// whose answer was the first to be lost.
    pub at_s: f64,
    /// How long, ms; on the schedule's grid.
    pub ms: f64,
    /// The least that it may have lasted, ms: from the first lost to the last, or as long as the
    /// first that was held waited.
    pub low_ms: f64,
    /// The most: from the last that came before it to the first behind it, what this machine left
    /// out between them too.
    pub high_ms: f64,
    /// Which way.
    pub way: Way,
    /// Lost, or late.
    pub mode: Mode,
}

/// All outages of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outages {
    /// The first thousand, those among them that are counted in `unknown`.
    pub list: Vec<Outage>,
    /// How many were seen.
    pub count: u64,
    /// How many surely lasted 10 ms, those of one cause ([`TOGETHER_S`]) as one.
    pub sure: u64,
    /// How many there may be: with single losses that may have lasted as long, and `unknown`.
    pub possible: u64,
    /// Stretches of which nobody knows what the link did: no session, or lost nobody knows where.
    pub unknown: u64,
    /// The longest that was seen, ms.
    pub longest_ms: f64,
    /// The longest that surely was, ms.
    pub longest_sure_ms: f64,
    /// The longest that may have been: with what was left out beside what was lost, ms.
    pub longest_possible_ms: f64,
    /// Time in which at least one way was seen to carry nothing, s.
    pub dark_s: f64,
    /// The same of `sure` alone, and no longer than they surely were, s.
    pub dark_sure_s: f64,
    /// The same of all of `possible`, as long as they may have been, s.
    pub dark_possible_s: f64,
    /// Stretches of 10 ms and longer in which this machine left probes out, or sent them so late,
    /// or the robot's stalled: each may hide one more.
    pub hidden: u64,
    /// What they left out in them, or how late they were, s.
    pub hidden_s: f64,
    /// Up to how long a hold is usual and no outage, ms, up and down: a radio that hands over in
    /// frames; 0 where none shows.
    pub frames_ms: (f64, f64),
    /// How long such frames held in all, s, up and down.
    pub frames_s: (f64, f64),
}

/// How long a radio's frames hold, looked for before any outage is.
#[derive(Debug)]
pub struct Frames {
    period_us: u64,
    slots: u64,
    holds: [Hold; 2],
    /// For each way: how many holds were so many whole milliseconds long.
    counts: [[u64; FRAME_MAX_MS]; 2],
}

impl Frames {
    /// For slots so far apart.
    pub fn new(period_us: u64) -> Self {
        let holds = [Hold::default(), Hold::default()];
        Self { period_us, slots: 0, holds, counts: [[0; FRAME_MAX_MS]; 2] }
    }

    /// The next slot, as for [`Finder::slot`].
    pub fn slot(&mut self, place: u64, slot: &Slot, rel: Option<(i64, i64)>) {
        self.slots += 1;
        let Some((up, down)) = of_the_link(slot, rel) else { return };
        let ways = self.holds.iter_mut().zip(&mut self.counts).zip([up, down]);
        for ((hold, counts), late) in ways {
            let held = hold.next(place, late, self.period_us);
            let ms = held.and_then(|held| usize::try_from(held.us / 1_000).ok());
            if let Some(count) = ms.and_then(|ms| counts.get_mut(ms)) {
                *count += 1;
            }
        }
    }

    /// What is usual, up and down.
    pub fn usual(&self) -> (Usual, Usual) {
        let [up, down] = &self.counts;
        (self.usual_of(up), self.usual_of(down))
    }

    fn usual_of(&self, counts: &[u64]) -> Usual {
        let run_ms = self.slots.saturating_mul(self.period_us) / 1_000;
        let taken = |(ms, count): (usize, &u64)| {
            u64::try_from(ms).unwrap_or(u64::MAX).saturating_mul(*count)
        };
        let all: u64 = counts.iter().enumerate().map(taken).sum();
        if all.saturating_mul(FRAMES_SHARE) < run_ms {
            return Usual::default();
        }
        let mut longer = 0_u64;
        let rare = counts.iter().enumerate().rev().take_while(|part| {
            longer = longer.saturating_add(taken(*part));
            longer.saturating_mul(UNUSUAL_SHARE) < run_ms
        });
        // A hold of the length behind lasts up to a millisecond longer than its count says.
        let usual = counts.len().saturating_sub(rare.count());
        let held_ms = counts.iter().enumerate().take(usual).map(taken).sum();
        Usual { up_to_us: i64::try_from(usual).unwrap_or(0).saturating_mul(1_000), held_ms }
    }
}

/// Holds that are a radio's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usual {
    /// Up to how long, us; 0 where the radio has no frames that show.
    pub up_to_us: i64,
    /// All of them together, ms.
    pub held_ms: u64,
}

/// Finds outages, slot by slot.
#[derive(Debug)]
pub struct Finder {
    period_us: u64,
    usual: (Usual, Usual),
    found: Outages,
    slots: u64,
    up: Lost,
    down: Lost,
    unknown: Lost,
    up_hold: Hold,
    down_hold: Hold,
    blind: Blind,
    dark: Dark,
    dark_sure: Dark,
    /// When the last of those ended, s.
    sure_until_s: Option<f64>,
    dark_possible: Dark,
}

/// Slots in a row of which none came back that was sent in time, and none surely when it says.
#[derive(Debug, Default)]
struct Blind {
    slots: u64,
    /// Not sent, or come where a machine stalled.
    own: u64,
    /// The latest of them, us.
    late_us: u64,
}

/// How late a slot was for the link's part of it, where its order tells of a hold, us.
fn of_the_link(slot: &Slot, rel: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let in_order = !slot.reordered_up && !slot.reordered_down;
    let is_theirs = slot.robot_stalled || slot.read_late;
    // A delay counts from when it was due; how late it left is this machine's. Where that is more
    // than a slot holds nobody knows which part is whose.
    let (up, down) = rel.filter(|_| in_order && !is_theirs && slot.late_us < u16::MAX)?;
    Some((up.saturating_sub(slot.late_us.into()), down))
}

/// What is dark on any way, s: outages overlap, and lie within each other.
#[derive(Debug, Default)]
struct Dark {
    /// Apart from each other, in order: begin and end.
    parts: Vec<(f64, f64)>,
    /// Of what is no longer kept apart.
    before: f64,
}

impl Dark {
    fn add(&mut self, begin: f64, end: f64) {
        let from = self.parts.partition_point(|part| part.1 < begin);
        let until = self.parts.partition_point(|part| part.0 <= end);
        let over = self.parts.drain(from..until.max(from));
        let joined = over.fold((begin, end), |all, part| (all.0.min(part.0), all.1.max(part.1)));
        self.parts.insert(from, joined);
        if self.parts.len() > KEPT_MAX {
            let (begin, end) = self.parts.remove(0);
            self.before += end - begin;
        }
    }

    fn seconds(&self) -> f64 {
        self.before + self.parts.iter().map(|(begin, end)| end - begin).sum::<f64>()
    }
}

/// A run of lost slots on one way.
#[derive(Debug, Default)]
struct Lost {
    /// The last that came.
    came: Option<u64>,
    begin: Option<u64>,
    until: u64,
    /// The lost ones one behind the other, up to the newest.
    piece: Piece,
    longest: Piece,
}

/// Lost slots with nothing between them that was not seen to be lost on this way.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    begin: u64,
    slots: u64,
}

#[derive(Debug, Default)]
struct Hold {
    /// Place and relative delay of the last that came, us.
    last: Option<(u64, i64)>,
    /// A jump that waits for its backlog: place, the last place before it, delay before, delay
    /// behind.
    jump: Option<(u64, u64, i64, i64)>,
}

/// A stretch in which nothing got through, in places.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// The last that got through before it; 0 where there is none.
    after: u64,
    /// The first that did not.
    begin: u64,
    /// The first behind the last that did not.
    until: u64,
    /// The first that got through behind it.
    before: u64,
    /// The longest of its pieces: the only one that surely was one outage. Between two, nobody
    /// looked: this machine sent nothing, or what it sent was lost on the other way or unknown.
    sure: Piece,
}

/// What is known of an outage: us, but for the place of its first slot.
struct Told {
    begin: u64,
    us: i64,
    /// What surely was: from which slot on, how long.
    least: (u64, i64),
    /// From when until when it may have been.
    most: (i64, i64),
    is_row: bool,
}

impl Finder {
    /// For slots so far apart, and holds that are usual up to so long: up, down.
    pub fn new(period_us: u64, usual: (Usual, Usual)) -> Self {
        let both = |of: fn(&Usual) -> f64| (of(&usual.0), of(&usual.1));
        Self {
            period_us,
            usual,
            found: Outages {
                frames_ms: both(|usual| signed(usual.up_to_us) / 1e3),
                frames_s: both(|usual| real(usual.held_ms) / 1e3),
                ..Outages::default()
            },
            slots: 0,
            up: Lost::default(),
            down: Lost::default(),
            unknown: Lost::default(),
            up_hold: Hold::default(),
            down_hold: Hold::default(),
            blind: Blind::default(),
            dark: Dark::default(),
            dark_sure: Dark::default(),
            sure_until_s: None,
            dark_possible: Dark::default(),
        }
    }

    /// The next slot; `rel` is how late it was each way against the least, us, where that is known.
    pub fn slot(&mut self, place: u64, slot: &Slot, rel: Option<(i64, i64)>) {
        self.slots = place + 1;
        let came_up = matches!(slot.fate, Fate::Back { .. } | Fate::LostDown);
        let lost = |fate| slot.fate == fate;
        let up = self.up.next(place, lost(Fate::LostUp), came_up);
        self.tell_lost(up, Way::Up);
        let back = matches!(slot.fate, Fate::Back { .. });
        let down = self.down.next(place, lost(Fate::LostDown), back);
        self.tell_lost(down, Way::Down);
        let nowhere = lost(Fate::LostSomewhere) || lost(Fate::NoSession);
        let unknown = self.unknown.next(place, nowhere, came_up || lost(Fate::LostUp));
        self.tell_lost(unknown, Way::Unknown);
        let late_us = i64::from(slot.late_us);
        let is_theirs = slot.robot_stalled || slot.read_late;
        if back && late_us < SHORTEST_US && !is_theirs {
            self.tell_blind();
        } else {
            self.blind.slots += 1;
            self.blind.own += u64::from(lost(Fate::NotSent) || is_theirs);
            self.blind.late_us = self.blind.late_us.max(slot.late_us.into());
        }
        if let Some((up, down)) = of_the_link(slot, rel) {
            let held = self.up_hold.next(place, up, self.period_us);
            self.tell_held(held, Way::Up);
            let held = self.down_hold.next(place, down, self.period_us);
            self.tell_held(held, Way::Down);
        }
    }

    /// The end of the run.
    pub fn finish(mut self) -> Outages {
        let slots = self.slots;
        let ended = [
            (&mut self.up, Way::Up),
            (&mut self.down, Way::Down),
            (&mut self.unknown, Way::Unknown),
        ];
        for (lost, way) in ended.map(|(lost, way)| (lost.take(slots), way)) {
            self.tell_lost(lost, way);
        }
        self.tell_blind();
        // Between two probes nobody looks.
        let unseen_ms = real(self.period_us) / 1e3;
        Outages {
            dark_s: self.dark.seconds(),
            dark_sure_s: self.dark_sure.seconds(),
            dark_possible_s: self.dark_possible.seconds(),
            longest_possible_ms: self.found.longest_possible_ms.max(unseen_ms),
            ..self.found
        }
    }

    fn tell_blind(&mut self) {
        let Blind { slots, own, late_us } = std::mem::take(&mut self.blind);
        let us = slots.saturating_mul(self.period_us).max(late_us);
        let shortest = u64::try_from(SHORTEST_US).unwrap_or(0);
        if us < shortest || own == 0 && late_us < shortest {
            return;
        }
        self.found.hidden += 1;
        let own_us = own.saturating_mul(self.period_us).max(late_us);
        self.found.hidden_s += real(own_us) * 1e-6;
        self.found.longest_possible_ms = self.found.longest_possible_ms.max(real(us) / 1e3);
    }

    fn tell_lost(&mut self, lost: Option<Gap>, way: Way) {
        let Some(gap) = lost else { return };
        let slots = gap.until.saturating_sub(gap.begin);
        let told = Told {
            begin: gap.begin,
            us: self.us(slots),
            least: (gap.sure.begin, self.us(gap.sure.slots.saturating_sub(1))),
            most: (self.us(gap.after), self.us(gap.before)),
            is_row: gap.sure.slots >= ROW,
        };
        self.tell(&told, way, Mode::Dropped);
    }

    fn tell_held(&mut self, held: Option<Held>, way: Way) {
        let usual = if way == Way::Up { self.usual.0 } else { self.usual.1 };
        let Some(held) = held.filter(|held| held.us > usual.up_to_us) else { return };
        let begin_us = self.us(held.begin);
        let most = (self.us(held.after), begin_us.saturating_add(held.us));
        let least = (held.begin, held.us);
        let told = Told { begin: held.begin, us: held.us, least, most, is_row: true };
        self.tell(&told, way, Mode::Held);
    }

    fn us(&self, slots: u64) -> i64 {
        i64::try_from(slots.saturating_mul(self.period_us)).unwrap_or(i64::MAX)
    }

    fn tell(&mut self, told: &Told, way: Way, mode: Mode) {
        let at_s = signed(self.us(told.begin)) * 1e-6;
        let most_us = told.most.1.saturating_sub(told.most.0);
        if most_us > SHORTEST_US {
            self.found.possible += 1;
            self.found.longest_possible_ms =
                self.found.longest_possible_ms.max(signed(most_us) / 1e3);
            self.dark_possible.add(signed(told.most.0) * 1e-6, signed(told.most.1) * 1e-6);
        }
        if told.us < SHORTEST_US || !told.is_row {
            return;
        }
        let [ms, low_ms, high_ms] = [told.us, told.least.1, most_us].map(|us| signed(us) / 1e3);
        if self.found.list.len() < KEPT_MAX {
            self.found.list.push(Outage { at_s, ms, low_ms, high_ms, way, mode });
        }
        if way == Way::Unknown {
            self.found.unknown += 1;
            return;
        }
        self.found.count += 1;
        self.found.longest_ms = self.found.longest_ms.max(ms);
        self.dark.add(at_s, at_s + ms / 1e3);
        if told.least.1 >= SHORTEST_US {
            let at_s = signed(self.us(told.least.0)) * 1e-6;
            let end_s = at_s + low_ms / 1e3;
            let until_s = self.sure_until_s.replace(end_s.max(self.sure_until_s.unwrap_or(end_s)));
            self.found.sure += u64::from(until_s.is_none_or(|until| at_s > until + TOGETHER_S));
            self.found.longest_sure_ms = self.found.longest_sure_ms.max(low_ms);
            self.dark_sure.add(at_s, end_s);
        }
    }
}

impl Lost {
    /// A run of lost slots that ends here.
    fn next(&mut self, place: u64, lost: bool, came: bool) -> Option<Gap> {
        if lost {
            if self.begin.is_none() || self.until != place {
                self.piece = Piece { begin: place, slots: 0 };
            }
            self.piece.slots += 1;
            self.begin.get_or_insert(place);
            self.until = place + 1;
            if self.piece.slots > self.longest.slots {
                self.longest = self.piece;
            }
            return None;
        }
        if !came {
            return None;
        }
        let gap = self.take(place);
        self.came = Some(place);
        gap
    }

    /// The run that is open, where the next that comes through is at this place.
    fn take(&mut self, before: u64) -> Option<Gap> {
        let begin = self.begin.take()?;
        let sure = std::mem::take(&mut self.longest);
        Some(Gap { after: self.came.unwrap_or(0), begin, until: self.until, before, sure })
    }
}

/// A hold whose end shows: the last place before it, the first that waited, and how long, us.
struct Held {
    after: u64,
    begin: u64,
    us: i64,
}

impl Hold {
    /// A hold whose end shows here.
    fn next(&mut self, place: u64, rel_us: i64, period_us: u64) -> Option<Held> {
        let period = i64::try_from(period_us).unwrap_or(1);
        let last = self.last.replace((place, rel_us));
        let (before, was) = last?;
        let apart = i64::try_from(place.saturating_sub(before)).unwrap_or(1).saturating_mul(period);
        if let Some((begin, after, calm, jumped)) = self.jump.take() {
            // Let go at once: what was sent a period later comes within half a period.
            let spacing = apart + rel_us - was;
            if spacing * 2 < apart {
                return Some(Held { after, begin, us: jumped - calm });
            }
        }
        // A rise that no delay can make which keeps its pace; the hold may have begun a period
        // before what shows of it. (Where that is most of it, jitter looks the same.)
        if rel_us - was >= (SHORTEST_US - apart).max(SHORTEST_US / 2) {
            self.jump = Some((place, before, was, rel_us));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder() -> Finder {
        Finder::new(1_000, (Usual::default(), Usual::default()))
    }

    #[test]
    fn what_is_dark_twice_is_dark_once_in_whatever_order_it_is_told() {
        let parts = [(10.0, 12.0), (11.0, 11.5), (5.0, 20.0), (21.0, 22.0), (19.0, 21.5)];
        let mut there = Dark::default();
        parts.iter().for_each(|(begin, end)| there.add(*begin, *end));
        let mut back = Dark::default();
        parts.iter().rev().for_each(|(begin, end)| back.add(*begin, *end));
        for dark in [there, back] {
            assert!((dark.seconds() - 17.0).abs() < 1e-9, "{dark:?}");
            assert_eq!(dark.parts.len(), 1, "{dark:?}");
        }
        let mut many = Dark::default();
        for n in 0..3_000_u64 {
            many.add(real(n), real(n) + 0.25);
        }
        assert!(many.parts.len() <= KEPT_MAX && (many.seconds() - 750.0).abs() < 1e-6);
    }

    /// Up from 1 s to 6 s, and down within it and behind: told when each ends, the inner one first.
    #[test]
    fn an_outage_within_another_does_not_shorten_what_is_dark() {
        let mut finder = finder();
        for place in 0..10_000 {
            let fate = match place {
                2_000..3_000 => Fate::LostDown,
                1_000..6_000 if place % 7 == 0 => Fate::LostSomewhere,
                1_000..6_000 => Fate::LostUp,
                _ => Fate::Back { up_us: 0, down_us: 0 },
            };
            finder.slot(place, &Slot::of(fate), Some((0, 0)));
        }
        let found = finder.finish();
        assert!((found.dark_s - 5.0).abs() < 0.01, "{found:?}");
    }

    /// A machine that stood still for 40 ms sends what was due then all at once: no hold of the
    /// link's, but nobody knows whether there was one.
    #[test]
    fn what_this_machine_sent_late_is_no_outage_of_the_links() {
        let mut finder = finder();
        for place in 0..1_000_u16 {
            let late = if (500..540).contains(&place) { (540 - place) * 1_000 } else { 50 };
            let slot =
                Slot { late_us: late, ..Slot::of(Fate::Back { up_us: late.into(), down_us: 0 }) };
            finder.slot(place.into(), &slot, Some((late.into(), 0)));
        }
        let found = finder.finish();
        assert_eq!((found.count, found.hidden), (0, 1), "{found:?}");
        assert!((found.hidden_s - 0.040).abs() < 1e-6, "{found:?}");
        assert!((found.longest_possible_ms - 40.0).abs() < 1e-6, "{found:?}");
    }

    /// One lost on each side of a stall, or of a hole the other way: two single losses, and who
    /// knows what between them.
    #[test]
    fn what_nobody_looked_at_joins_no_sure_outage() {
        let among = |edge: Fate, between: Fate| {
            let mut finder = finder();
            for place in 0..40_000 {
                let fate = match place {
                    20_000 | 20_501 => edge,
                    20_001..20_501 => between,
                    _ => Fate::Back { up_us: 0, down_us: 0 },
                };
                finder.slot(place, &Slot::of(fate), Some((0, 0)));
            }
            finder.finish()
        };
        for unseen in [Fate::NotSent, Fate::NoSession, Fate::LostSomewhere] {
            let found = among(Fate::LostUp, unseen);
            assert_eq!((found.count, found.sure), (0, 0), "{unseen:?}: {found:?}");
            assert!(found.longest_possible_ms > 500.0, "{unseen:?}: {found:?}");
            assert!(found.dark_sure_s <= 0.0, "{unseen:?}: {found:?}");
        }
        // Up it was seen, all of it; down nobody looked.
        let found = among(Fate::LostDown, Fate::LostUp);
        assert_eq!((found.count, found.sure), (1, 1), "{found:?}");
        assert!(found.list.iter().all(|outage| outage.way == Way::Up), "{found:?}");
        // A hole through which this machine stalled for a moment is one, of which a part is sure.
        let mut finder = finder();
        for place in 0..10_000 {
            let fate = match place {
                3_000..3_020 => Fate::NotSent,
                1_000..6_000 => Fate::LostUp,
                _ => Fate::Back { up_us: 0, down_us: 0 },
            };
            finder.slot(place, &Slot::of(fate), Some((0, 0)));
        }
        let found = finder.finish();
        let outage = found.list.first().unwrap();
        assert_eq!((found.count, found.sure), (1, 1), "{found:?}");
        assert!((outage.ms - 5_000.0).abs() < 1e-6, "{outage:?}");
        assert!((outage.low_ms - 2_979.0).abs() < 1e-6, "{outage:?}");
        assert!((outage.high_ms - 5_001.0).abs() < 1e-6, "{outage:?}");
    }

    /// How often is a question of causes: a second in which a link goes on and off is one.
    #[test]
    fn what_goes_on_and_off_is_counted_once_as_sure() {
        let mut finder = finder();
        for place in 0..20_000_u64 {
            let flaps = (1_000..2_000).contains(&place) || (9_000..10_000).contains(&place);
            let lost = flaps && place % 125 < 15;
            let fate = if lost { Fate::LostUp } else { Fate::Back { up_us: 0, down_us: 0 } };
            finder.slot(place, &Slot::of(fate), Some((0, 0)));
        }
        let found = finder.finish();
        assert_eq!((found.count, found.sure, found.list.len()), (16, 2, 16), "{found:?}");
    }

    /// A session ends three seconds into a hole; what was due from then on has no way.
    #[test]
    fn a_hole_that_outlasts_the_session_may_be_one() {
        let mut finder = finder();
        for place in 0..20_000_u64 {
            let fate = match place {
                5_000..8_000 => Fate::LostDown,
                8_000..10_000 => Fate::NoSession,
                _ => Fate::Back { up_us: 10_000, down_us: 10_000 },
            };
            finder.slot(place, &Slot::of(fate), None);
        }
        let found = finder.finish();
        // From the last that came before it to the first behind it.
        assert_eq!((found.longest_ms, found.longest_possible_ms), (3_000.0, 5_001.0));
        assert_eq!((found.count, found.unknown, found.dark_s), (1, 1, 3.0), "{found:?}");
        assert!((found.dark_possible_s - 5.001).abs() < 1e-9, "{found:?}");
        assert_eq!(found.hidden, 0, "this machine hid nothing");
    }

    #[test]
    fn what_was_not_sent_may_hide_an_outage_and_lengthen_one() {
        let mut finder = finder();
        for place in 0..1_000 {
            let fate = match place {
                100..109 | 200..210 | 420..450 => Fate::NotSent,
                400..420 => Fate::LostUp,
                _ => Fate::Back { up_us: 0, down_us: 0 },
            };
            finder.slot(place, &Slot::of(fate), Some((0, 0)));
        }
        let found = finder.finish();
        assert_eq!((found.hidden, found.count), (2, 1), "{found:?}");
        assert!((found.hidden_s - 0.040).abs() < 1e-9, "{found:?}");
        assert!((found.longest_possible_ms - 51.0).abs() < 1e-9, "{found:?}");
        assert!((found.longest_ms - 20.0).abs() < 1e-9, "{found:?}");
    }
}
