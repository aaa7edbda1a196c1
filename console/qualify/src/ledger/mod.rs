//! The ledger: from what was sent and what came back to the fate of each slot.
//!
//! Knows: probes, answers, and how an answer tells on which way the others were lost. Does not
//! know: sockets or clocks; times are handed in.
//!
//! Bounded: a slot stays open for [`HORIZON_US`] and is then closed, in order. Source for its
//! length: data held and let go again up to 34 s later (CICV5G n8, links.md section 4). One of
//! which the robot has told nothing by then (a hole that goes on) stays open for as long as the
//! robot can still tell: [`KEPT_MAX`] slots.
//!
//! Where the robot says that its own machine stalled, each slot whose probe came there meanwhile,
//! or would have, is marked so, lost or not.
//!
//! Nothing is guessed: a lost probe has a direction where an answer says whether its number came,
//! and no other.

pub mod slot;

use std::collections::VecDeque;

use longhand_protocol::probe::{KEPT_MAX, PAGE_MAX, ProbeAnswer, SEEN_MAX};

use self::slot::{Fate, STALL_US, Slot};

/// How long an answer may be on its way, us.
pub const HORIZON_US: u64 = 40_000_000;

/// Slots that are not closed yet.
#[derive(Debug)]
pub struct Ledger {
    period_us: u64,
    begin_us: u64,
    slots: u64,
    /// The number of the first open slot.
    first: u64,
    open: VecDeque<Open>,
    /// Of each 64 numbers, from those that `first` is among: how many open slots' fate is unknown.
    pending: VecDeque<u8>,
    /// Of numbers below it a robot that was started anew knows nothing.
    told_from: u64,
    offset_us: Option<i64>,
    newest: u64,
    received: u64,
    rtt_min_us: u64,
    told: Told,
    /// The newest number that was sent, or could not be.
    due: u64,
    /// The newest stall of the robot's machine, on its clock, us: begin, and the end so far.
    stall: (u64, u64),
    /// The newest stall of this machine, us: when the first probe was due that it sent late, and
    /// when it sent the last of those.
    here: Option<(u64, u64)>,
    /// How late the newest probe that came outside of one was on its way up, as in its slot, us.
    up_us: i64,
    /// The first answer's wall offset, and how far the newest was from it, us.
    wall: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    state: State,
    /// An answer has said whether the robot has it.
    told: bool,
    slot: Slot,
    /// As [`Ledger::so_far`] last gave it.
    said: Option<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not yet handed to the network.
    Due,
    Sent,
    /// The robot has it.
    Came,
    /// Its fate is in the slot.
    Known,
}

/// Running counts, for the live line and for what only the robot counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Probes handed to the network.
    pub sent: u64,
    /// Answers that came.
    pub back: u64,
    /// Of those the round trip, summed, us.
    pub rtt_sum_us: u64,
    /// The longest round trip since it was last asked for, us.
    pub rtt_max_us: u64,
    /// Copies that came to the robot, as it counts them.
    pub duplicates_up: u64,
    /// Probes that came to the robot behind a later one, as it counts them.
    pub reordered_up: u64,
    /// The robot's wall clock minus its own, us, in the newest answer.
    pub wall_offset_us: u64,
    /// How far that moved since the first answer at most, us: somebody set the wall clock.
    pub wall_moved_us: u64,
}

impl Ledger {
    /// For `slots` probes, the first (number 1) due at `begin_us` on the console's clock.
    pub fn new(begin_us: u64, period_us: u64, slots: u64) -> Self {
        Self {
            period_us: period_us.max(1),
            begin_us,
            slots,
            first: 1,
            open: VecDeque::new(),
            pending: VecDeque::new(),
            told_from: 0,
            offset_us: None,
            newest: 0,
            received: 0,
            rtt_min_us: u64::MAX,
            told: Told::default(),
            due: 0,
            stall: (0, 0),
            here: None,
            up_us: 0,
            wall: None,
        }
    }

    /// What was taken from every raw span on the way up, us; 0 before the first answer.
    pub fn offset_us(&self) -> i64 {
        self.offset_us.unwrap_or(0)
    }

    /// The running counts.
    pub const fn told(&self) -> Told {
        self.told
    }

    /// When slot `number` is due, console clock, us.
    pub const fn due_us(&self, number: u64) -> u64 {
        let slots = number.saturating_sub(1);
        self.begin_us.saturating_add(self.period_us.saturating_mul(slots))
    }

    /// A probe was handed to the network.
    pub fn sent(&mut self, number: u64, at_us: u64) {
        self.due = number.max(self.due);
        let late = at_us.saturating_sub(self.due_us(number));
        self.told.sent = self.told.sent.saturating_add(1);
        if let Some(open) = self.open(number) {
            // The answer's thread may have been quicker than the sender's word.
            if open.state == State::Due {
                open.state = State::Sent;
            }
            open.slot.late_us = u16::try_from(late).unwrap_or(u16::MAX);
        }
        if late >= STALL_US.into() {
            self.stalled_here(number, at_us);
        }
    }

    /// This machine stalled from when this probe was due until it was sent: marks the slots whose
    /// answers were read then. Those that are told of later are marked as they are.
    fn stalled_here(&mut self, number: u64, at_us: u64) {
        let due_us = self.due_us(number);
        if let Some((_, until)) = self.here.as_mut().filter(|(_, until)| due_us <= *until) {
            *until = at_us.max(*until);
            return;
        }
        self.here = Some((due_us, at_us));
        let first = number.saturating_sub(READ_LOOK_US / self.period_us).max(self.first);
        for number in first..number {
            let due_us = self.due_us(number);
            let place = usize::try_from(number.saturating_sub(self.first)).ok();
            let Some(open) = place.and_then(|place| self.open.get_mut(place)) else { return };
            let Some((up, down)) = open.slot.spans() else { continue };
            let took = u64::try_from(up.saturating_add(down)).unwrap_or(0);
            let turn = u64::from(open.slot.turn_16us) * 16;
            let read_us = due_us.saturating_add(took).saturating_add(turn);
            open.slot.read_late = open.slot.read_late || was_read_in(self.here, read_us);
        }
    }

    /// A probe could not be sent: [`Fate::NotSent`] or [`Fate::NoSession`].
    pub fn unsent(&mut self, number: u64, fate: Fate) {
        self.due = number.max(self.due);
        if let Some(open) = self.settle(number) {
            open.slot.fate = fate;
        }
    }

    /// The robot said at `at_us` that it no longer knew the session: a hole in the link had ended
    /// it there first. What was sent within the round trip before came through the link and found
    /// no session, so it is no loss of the link's.
    pub fn forgotten(&mut self, at_us: u64) {
        let from = at_us.saturating_sub(self.rtt_min_us);
        let is_gone = |(number, open): &(u64, &Open)| {
            let sent_at = self.due_us(*number).saturating_add(open.slot.late_us.into());
            open.state == State::Sent && sent_at >= from
        };
        let gone = (self.first..).zip(&self.open).filter(is_gone);
        for number in gone.map(|(number, _)| number).collect::<Vec<_>>() {
            self.unsent(number, Fate::NoSession);
        }
    }

    /// An answer came. One that tells of what was not sent yet is somebody else's words, and
    /// nothing is learnt from it.
    pub fn answer(&mut self, answer: &ProbeAnswer, back_us: u64) {
        let number = answer.probe.number;
        // Counted from what was due here, which no answer moves: what a robot says bounds nothing.
        let most = self.due.saturating_add(AHEAD_MAX);
        if number == 0 || number > answer.newest || answer.newest > most || answer.received > most {
            return;
        }
        let span = |later: u64, earlier: u64| {
            i64::try_from(i128::from(later) - i128::from(earlier)).unwrap_or(i64::MAX)
        };
        let up = span(answer.received_at.as_micros(), self.due_us(number));
        let down = span(back_us, answer.answered_at.as_micros());
        let offset = *self.offset_us.get_or_insert(up);
        let turn = answer.answered_at.since(answer.received_at).as_micros() / 16;
        self.told.duplicates_up = u64::from(answer.duplicates).max(self.told.duplicates_up);
        self.told.reordered_up = u64::from(answer.reordered).max(self.told.reordered_up);
        self.told.wall_offset_us = answer.wall_offset_us;
        let (first_wall, was) = self.wall.unwrap_or((answer.wall_offset_us, 0));
        let is = answer.wall_offset_us.abs_diff(first_wall);
        self.wall = Some((first_wall, is));
        // Two in a row: one alone is a robot that was held up between its two clocks.
        self.told.wall_moved_us = self.told.wall_moved_us.max(is.min(was));
        if answer.newest > self.newest && answer.received < self.received {
            // Later, and yet of fewer: the robot began to count anew.
            (self.told_from, self.received) = (number, 0);
        }
        self.learn(answer);
        if answer.stalled.as_micros() > 0 {
            self.stalled(answer);
        } else {
            self.up_us = up.saturating_sub(offset);
        }
        let behind = answer.received < self.received;
        self.received = self.received.max(answer.received);
        let Some(open) = self.open(number) else { return };
        if open.state == State::Known {
            open.slot.duplicate_down = true;
            return;
        }
        let short = |us: i64| i32::try_from(us).unwrap_or(i32::MAX);
        let read_late = was_read_in(self.here, back_us);
        let Some(open) = self.settle(number) else { return };
        open.slot.read_late = read_late;
        open.slot.fate = Fate::Back {
            up_us: short(up.saturating_sub(offset)),
            down_us: short(down.saturating_add(offset)),
        };
        open.slot.turn_16us = u8::try_from(turn).unwrap_or(u8::MAX);
        open.slot.robot_stalled = open.slot.robot_stalled || answer.stalled.as_micros() > 0;
        open.slot.reordered_up = number < answer.newest;
        open.slot.reordered_down = behind;
        let rtt = u64::try_from(up.saturating_add(down)).unwrap_or(0);
        self.told.back = self.told.back.saturating_add(1);
        self.rtt_min_us = self.rtt_min_us.min(rtt);
        self.told.rtt_sum_us = self.told.rtt_sum_us.saturating_add(rtt);
        self.told.rtt_max_us = self.told.rtt_max_us.max(rtt);
    }

    /// The robot's machine stalled until this answer's probe was read: marks each slot whose probe
    /// came there meanwhile, or would have, or whose answer may not have left before.
    fn stalled(&mut self, answer: &ProbeAnswer) {
        let end = answer.received_at.as_micros();
        let begin = end.saturating_sub(answer.stalled.as_micros());
        // A backlog is read probe by probe: what was marked for the one before stays so.
        let is_same = (self.stall.0..=self.stall.1).contains(&begin);
        let from = if is_same { self.stall.1 } else { begin };
        self.stall = (if is_same { self.stall.0 } else { begin }, end.max(self.stall.1));
        let offset = i128::from(self.offset_us.unwrap_or(0));
        let stall = i128::from(from.saturating_sub(STALL_EDGE_US))..=i128::from(end);
        let number_at = |robot_us: i128| {
            let slots =
                (robot_us - offset - i128::from(self.begin_us)).max(0) / i128::from(self.period_us);
            u64::try_from(slots).unwrap_or(u64::MAX).saturating_add(1)
        };
        let first = number_at(stall.start() - STALL_LOOK_US).max(self.first);
        let last = number_at(stall.end() + STALL_LOOK_US);
        for number in first..=last {
            let due_us = i128::from(self.due_us(number));
            let usual_us = self.up_us;
            let place = usize::try_from(number.saturating_sub(self.first)).ok();
            let Some(open) = place.and_then(|place| self.open.get_mut(place)) else { return };
            let up_us = open.slot.spans().map_or(usual_us, |(up, _)| up);
            let is_within = stall.contains(&(due_us + offset + i128::from(up_us)));
            open.slot.robot_stalled = open.slot.robot_stalled || is_within;
        }
    }

    /// Ends the schedule before its time: `slots` were due.
    pub fn end_at(&mut self, slots: u64) {
        self.slots = self.slots.min(slots);
        let open = self.slots.saturating_add(1).saturating_sub(self.first);
        self.open.truncate(usize::try_from(open).unwrap_or(usize::MAX));
    }

    /// The number of the first slot that is not closed.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Slots of the schedule.
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    /// The longest round trip since the last call, us.
    pub fn take_rtt_max(&mut self) -> u64 {
        core::mem::take(&mut self.told.rtt_max_us)
    }

    /// Closes what is older than the horizon, in order, but for what the robot may still tell of.
    pub fn close(&mut self, now_us: u64, each: impl FnMut(Slot)) {
        let begun = now_us.saturating_sub(self.begin_us) / self.period_us;
        let mut due = self.first;
        for open in &self.open {
            let is_young = self.due_us(due).saturating_add(HORIZON_US) >= now_us;
            let may_hear = open.is_untold() && begun.saturating_sub(due) < KEPT_MAX;
            if is_young || may_hear {
                return self.close_before(due, each);
            }
            due = due.saturating_add(1);
        }
        // Of what is not open nothing was ever heard: this machine left it out.
        while due <= self.slots && self.due_us(due).saturating_add(HORIZON_US) < now_us {
            due = due.saturating_add(1);
        }
        self.close_before(due, each);
    }

    /// Whether every slot's fate is known.
    pub fn is_settled(&self) -> bool {
        let open = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        let all_begun = self.first.saturating_add(open) > self.slots;
        all_begun && self.open.iter().all(|open| open.state == State::Known)
    }

    /// Whether of every slot that was sent it is known on which way it was lost, if it was. What is
    /// still on its way may change that.
    pub fn is_told(&self) -> bool {
        let open = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        let all_begun = self.first.saturating_add(open) > self.slots;
        all_begun && !self.open.iter().any(Open::is_untold)
    }

    /// The end: closes everything. What lies behind the newest number that the robot has told of
    /// was lost nobody knows where.
    pub fn finish(&mut self, each: impl FnMut(Slot)) {
        self.close_before(self.slots.saturating_add(1), each);
    }

    /// What a crash now would leave to say of the slots that are still open, up to the newest whose
    /// fate is known: each as far as it is, with its number, where that is not what was said of it
    /// the last time. Behind that one nothing has come yet, and nothing is said.
    pub fn so_far(&mut self, mut each: impl FnMut(u64, Slot)) {
        let known = self.open.iter().rposition(|open| open.state == State::Known);
        let until = known.map_or(0, |place| place.saturating_add(1));
        for (number, open) in (self.first..).zip(self.open.iter_mut().take(until)) {
            let is = open.closed();
            if open.said.replace(is) != Some(is) {
                each(number, is);
            }
        }
    }

    fn close_before(&mut self, end: u64, mut each: impl FnMut(Slot)) {
        while self.first < end {
            let open = self.open.pop_front();
            self.first = self.first.saturating_add(1);
            if self.first.is_multiple_of(64) {
                self.pending.pop_front();
            }
            each(open.map_or(Slot::of(Fate::NotSent), |open| open.closed()));
        }
    }

    fn open(&mut self, number: u64) -> Option<&mut Open> {
        if number > self.slots {
            return None;
        }
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        while self.open.len() <= place {
            let slot = Slot::of(Fate::NotSent);
            let due = Open { state: State::Due, told: false, slot, said: None };
            let next = self.first.saturating_add(u64::try_from(self.open.len()).ok()?);
            self.open.push_back(due);
            let block = self.block(next)?;
            while self.pending.len() <= block {
                self.pending.push_back(0);
            }
            let pending = self.pending.get_mut(block)?;
            *pending = pending.saturating_add(1);
        }
        self.open.get_mut(place)
    }

    /// Where a number is counted in `pending`.
    fn block(&self, number: u64) -> Option<usize> {
        usize::try_from((number / 64).checked_sub(self.first / 64)?).ok()
    }

    /// From now on this slot's fate is known: the caller says which.
    fn settle(&mut self, number: u64) -> Option<&mut Open> {
        let is_new = self.open(number)?.state != State::Known;
        let block = self.block(number).filter(|_| is_new);
        if let Some(pending) = block.and_then(|block| self.pending.get_mut(block)) {
            *pending = pending.saturating_sub(1);
        }
        let open = self.open(number)?;
        open.state = State::Known;
        Some(open)
    }

    /// Takes from an answer which others have come: the newest, and those on its page, as far as
    /// anything is open there.
    fn learn(&mut self, answer: &ProbeAnswer) {
        let window = answer.newest.saturating_sub(SEEN_MAX - 1);
        let from = self.newest.saturating_sub(OVERTAKEN_MAX).max(window);
        for number in from..=answer.newest {
            self.tell(number, answer);
        }
        self.newest = self.newest.max(answer.newest);
        let until = answer.page_from.saturating_add(PAGE_MAX).min(window);
        let mut number = answer.page_from;
        while number < until {
            let next = (number / 64).saturating_add(1).saturating_mul(64).min(until);
            let pending = self.block(number).and_then(|block| self.pending.get(block));
            if pending.is_some_and(|pending| *pending > 0) {
                for number in number..next {
                    self.tell(number, answer);
                }
            }
            number = next;
        }
    }

    fn tell(&mut self, number: u64, answer: &ProbeAnswer) {
        let place = number.checked_sub(self.first).filter(|_| number >= self.told_from);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(open) = place.and_then(|place| self.open.get_mut(place)) else { return };
        if open.state != State::Sent {
            return;
        }
        match answer.has_come(number) {
            Some(true) => open.state = State::Came,
            Some(false) => open.told = true,
            None => {}
        }
    }
}

/// Whether an answer that was read then had lain unread while this machine stalled.
fn was_read_in(stall: Option<(u64, u64)>, read_us: u64) -> bool {
    stall.is_some_and(|(begin, end)| {
        (begin..=end.saturating_add(READ_BACKLOG_US)).contains(&read_us)
    })
}

impl Open {
    /// The slot, were nothing more to come.
    const fn closed(&self) -> Slot {
        let fate = match self.state {
            State::Known => self.slot.fate,
            State::Due => Fate::NotSent,
            State::Sent if self.told => Fate::LostUp,
            State::Sent => Fate::LostSomewhere,
            State::Came => Fate::LostDown,
        };
        Slot { fate, ..self.slot }
    }

    /// Whether nobody knows yet whether the robot has it.
    fn is_untold(&self) -> bool {
        self.state == State::Sent && !self.told
    }
}

/// How long behind a stall of this machine what came in it may still be read. Chosen: as the
/// robot's (`robot-agent`), a full queue.
const READ_BACKLOG_US: u64 = 5_000;
/// An answer that was read in a stall was asked for so shortly before it at most. Chosen: longer
/// than the longest round trip.
const READ_LOOK_US: u64 = 2_000_000;
/// What came so shortly before a stall may have been caught by it: its answer was on the way
/// through the robot. Chosen: two ticks of the servo thread, whose ring is what tells of a stall.
const STALL_EDGE_US: u64 = 2_000;
/// By how much more or less than the first probe's the way of one that came in a stall may be, us.
/// Chosen: a second, more than any queue that was not an outage of its own.
const STALL_LOOK_US: i128 = 1_000_000;
/// Numbers behind the newest that are looked at anew with each answer. Chosen: 64 ms at 1 kHz,
/// more than any overtaking seen.
const OVERTAKEN_MAX: u64 = 64;
/// An answer may tell of so many numbers behind the newest that was sent. Chosen: 50 s of the
/// quickest schedule, more than is sent behind the end; and looked through in a millisecond.
const AHEAD_MAX: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::probe::{Probe, Receipts};
    use longhand_protocol::units::{Instant, Micros};

    /// Whatever a robot answers, it costs no more memory than what was due here.
    #[test]
    fn answers_to_what_was_never_sent_open_no_end_of_slots() {
        let mut ledger = Ledger::new(1_000_000, 1_000, 86_400_000);
        ledger.sent(1, 1_000_000);
        let probe = Probe { run: 1, number: 1, ..Probe::default() };
        let truth = Receipts::new().take(&probe, Instant::from_micros(9_000_000)).unwrap();
        for far in 1..=50 {
            let newest = far * AHEAD_MAX;
            let probe = Probe { number: newest, ..probe };
            let answer = ProbeAnswer { probe, newest, received: newest, ..truth };
            ledger.answer(&answer, 2_000_000);
        }
        assert!(ledger.open.len() <= 100_001, "{} slots are open", ledger.open.len());
    }

    /// A lost probe may come for 40 s; what lies behind it is not said again each time.
    #[test]
    fn what_has_been_said_of_a_slot_is_said_again_only_where_it_is_otherwise() {
        let mut ledger = Ledger::new(1_000_000, 1_000, 100_000);
        let mut receipts = Receipts::new();
        let mut answers = Vec::new();
        for number in 1..=3_000 {
            ledger.sent(number, 1_000_000 + (number - 1) * 1_000);
            let at = Instant::from_micros(9_000_000 + number * 1_000);
            let probe = Probe { run: 1, number, ..Probe::default() };
            answers.extend((number != 700).then(|| receipts.take(&probe, at)).flatten());
        }
        let said = |ledger: &mut Ledger, answers: &[ProbeAnswer]| {
            for answer in answers {
                ledger.answer(answer, answer.received_at.as_micros() - 7_990_000);
            }
            let mut numbers = Vec::new();
            ledger.so_far(|number, slot| numbers.push((number, slot.fate)));
            numbers
        };
        let first = said(&mut ledger, &answers[..1_999]);
        assert_eq!((first.len(), first[699]), (2_000, (700, Fate::LostUp)));
        assert_eq!(said(&mut ledger, &[]), []);
        let behind: Vec<u64> =
            said(&mut ledger, &answers[1_999..]).iter().map(|(number, _)| *number).collect();
        assert_eq!(behind, (2_001..=3_000).collect::<Vec<_>>());
        // It was held up, and comes after all.
        let probe = Probe { run: 1, number: 700, ..Probe::default() };
        let late = receipts.take(&probe, Instant::from_micros(13_000_000)).unwrap();
        let late = said(&mut ledger, &[late]);
        assert!(matches!(late[..], [(700, Fate::Back { .. })]), "{late:?}");
        // The robot tells of a stall only with the probe behind it: what came then is otherwise.
        let (number, at) = (3_001, Instant::from_micros(12_004_000));
        ledger.sent(number, 4_000_000);
        let probe = Probe { run: 1, number, ..Probe::default() };
        let answer = receipts.take(&probe, at).unwrap();
        let stalled = Micros::from_millis(10);
        let marked = said(&mut ledger, &[ProbeAnswer { stalled, ..answer }]);
        assert_eq!(marked.last().map(|(number, _)| *number), Some(3_001));
        assert!((8..=14).contains(&marked.len()), "{marked:?}");
    }
}
