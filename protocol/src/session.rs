//! Whom to believe: one struct per end, which numbers what goes out and judges what comes in.
//!
//! Knows: the session's key, the numbers and stamps seen so far, and each reason to refuse. Does
//! not know: sockets, streams, how the key was agreed (hello and welcome are the shells' and
//! `wire`'s), or what a command does to an arm. No clock: callers hand in `now`.
//!
//! TLS protects the wire; these checks protect everything between the two cores (black channel, IEC
//! 61784-3): corruption, repetition, wrong order, loss, insertion, masquerade, wrong address. Delay
//! is the watchdog's. A datagram that is refused leaves the session exactly as if it had never
//! come, except for one counter (invariant I16).
//!
//! Numbers, hand time and the robot's own clock must tell one story. Each alone can be led ahead to
//! mute the true console (RAVEN's "sequence leading", attack A10), and small leads must not add up,
//! so all three are compared with the session's first command as well as with the newest.

use crate::clock_sync::{ClockSync, DRIFT_ONE_IN};
use crate::message::{Command, FollowerState, Intent, SessionKey, StateReport};
use crate::sequence::{Admitted, SeqReject, SeqWindow};
use crate::units::{Console, Instant, Micros, Robot, Seq, TICK};
use crate::wire::{self, COMMAND_LEN, STATE_LEN, WireError};

/// How far number, hand time and the receiver's clock may disagree.
///
/// Source: safety.md section 0 finding 5, "within 1 s".
pub const DISAGREEMENT_MAX: Micros = Micros::from_secs(1);

/// A console that stalled this long skips the numbers that it owed, so that number and hand time go
/// on telling one story. Chosen: half of [`DISAGREEMENT_MAX`], which leaves as much for jitter.
pub const SKIP_AFTER: Micros = Micros::from_millis(500);

/// The largest number that may be a session's first. Chosen: one minute lost from the start; the
/// lease ends after 3 s, so no honest session begins later.
pub const FIRST_MAX: Seq = Seq::new(60_000);

/// For how many of the newest numbers a repeat's content is compared with the first copy's.
pub const COMPARED: usize = 64;
/// Of how many of the newest commands a console knows what it sent. Chosen: twice the oldest loop
/// that any profile allows, 1 s.
const SAID: usize = 2_048;

const _: () = assert!(SKIP_AFTER.shorter_than(DISAGREEMENT_MAX));
const _: () = assert!(TICK.shorter_than(SKIP_AFTER));

/// Why a datagram was refused. Each is counted under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// The bytes are no message of ours; the inner error says which rule; drop it.
    Wire(WireError),
    /// It names another robot: a relay sends it to the wrong address; drop it.
    WrongRobot,
    /// It belongs to another session: a replay, or a peer that was replaced; drop it.
    WrongSession,
    /// Its authority has ended: the sender must ask for a new session; drop it.
    StaleEpoch,
    /// Its authority was never granted here; drop it.
    WrongEpoch,
    /// Another limits profile is in force here: the ends must agree anew; drop it.
    WrongProfile,
    /// Its number was taken, is too old, or is zero; drop it.
    Sequence(SeqReject),
    /// Hand time does not rise with the number: something between the cores restamps; drop it.
    HandTime,
    /// Robot time falls while the state's number rises: something restamps; drop it.
    RobotTime,
    /// Number, stamp and clock disagree by more than 1 s: a protocol fault; latch.
    Implausible,
    /// It echoes a stamp that was not made yet: the sender invents echoes; latch.
    EchoFuture,
    /// A number was said twice with different content: two senders, or damage; latch.
    Contradiction,
}

impl Reject {
    /// Every reason, in the order in which it is looked for.
    pub const ALL: [Self; 23] = [
        Self::Wire(WireError::Length),
        Self::Wire(WireError::Magic),
        Self::Wire(WireError::Version),
        Self::Wire(WireError::Kind),
        Self::Wire(WireError::Corrupt),
        Self::Wire(WireError::NotFinite),
        Self::Wire(WireError::NotUnit),
        Self::Wire(WireError::OutOfRange),
        Self::Wire(WireError::UnknownLevel),
        Self::Wire(WireError::BadWord),
        Self::WrongRobot,
        Self::WrongSession,
        Self::StaleEpoch,
        Self::WrongEpoch,
        Self::WrongProfile,
        Self::Sequence(SeqReject::Zero),
        Self::Sequence(SeqReject::TooOld),
        Self::Contradiction,
        Self::Sequence(SeqReject::Duplicate),
        Self::Implausible,
        Self::HandTime,
        Self::RobotTime,
        Self::EchoFuture,
    ];

    /// The word for it, as in records and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire(error) => error.name(),
            Self::WrongRobot => "WrongRobot",
            Self::WrongSession => "WrongSession",
            Self::StaleEpoch => "StaleEpoch",
            Self::WrongEpoch => "WrongEpoch",
            Self::WrongProfile => "WrongProfile",
            Self::Sequence(reject) => reject.name(),
            Self::HandTime => "HandTime",
            Self::RobotTime => "RobotTime",
            Self::Implausible => "Implausible",
            Self::EchoFuture => "EchoFuture",
            Self::Contradiction => "Contradiction",
        }
    }

    /// What is wrong, for people.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Wire(error) => error.advice(),
            Self::WrongRobot => "it names another robot; look for a relay with a wrong address",
            Self::WrongSession => "it belongs to another session",
            Self::StaleEpoch => "its authority has ended; ask for a new session",
            Self::WrongEpoch => "its authority was never granted here",
            Self::WrongProfile => "the two ends hold different limits profiles; connect anew",
            Self::Sequence(reject) => reject.advice(),
            Self::HandTime => "hand time does not rise with the number; something restamps",
            Self::RobotTime => "robot time falls while the number rises; something restamps",
            Self::Implausible => "number, stamp and clock disagree by more than a second",
            Self::EchoFuture => "it echoes a stamp that was not made yet",
            Self::Contradiction => "one number was said twice with different content",
        }
    }

    /// Whether it is an integrity fault. A second corrupt datagram inside 10 h latches (invariant
    /// I23); any other fault latches at once.
    ///
    /// Counted is what neither a bad network nor a slow peer makes by itself once TLS has let the
    /// bytes through: a wrong checksum, an implausible jump, an invented echo, a contradiction.
    /// Not counted is what loss, delay, two paths, a replay or an old peer make every day.
    pub const fn is_integrity_fault(self) -> bool {
        match self {
            Self::Wire(WireError::Corrupt)
            | Self::Implausible
            | Self::EchoFuture
            | Self::Contradiction => true,
            Self::Wire(
                WireError::Length
                | WireError::Magic
                | WireError::Version
                | WireError::Kind
                | WireError::NotFinite
                | WireError::NotUnit
                | WireError::OutOfRange
                | WireError::UnknownLevel
                | WireError::BadWord,
            )
            | Self::WrongRobot
            | Self::WrongSession
            | Self::StaleEpoch
            | Self::WrongEpoch
            | Self::WrongProfile
            | Self::Sequence(SeqReject::Duplicate | SeqReject::TooOld | SeqReject::Zero)
            | Self::HandTime
            | Self::RobotTime => false,
        }
    }
}

impl From<WireError> for Reject {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<SeqReject> for Reject {
    fn from(reject: SeqReject) -> Self {
        Self::Sequence(reject)
    }
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.advice())
    }
}

impl core::error::Error for Reject {}

/// How often each reason was met. Saturating; only ever rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejects {
    counts: [u64; Reject::ALL.len()],
}

impl Rejects {
    /// Counts one.
    pub fn add(&mut self, reject: Reject) {
        for (count, reason) in self.counts.iter_mut().zip(Reject::ALL) {
            if reason == reject {
                *count = count.saturating_add(1);
            }
        }
    }

    /// How often this reason was met.
    pub fn count(&self, reject: Reject) -> u64 {
        self.iter_reasons().find(|(reason, _)| *reason == reject).map_or(0, |(_, count)| count)
    }

    /// Every reason's name and count, in the order of [`Reject::ALL`], zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.iter_reasons().map(|(reason, count)| (reason.name(), count))
    }

    /// All of them together. Over two paths this includes one `Duplicate` per command.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Those that count as integrity faults: [`Reject::is_integrity_fault`].
    pub fn integrity_faults(&self) -> u64 {
        self.iter_reasons()
            .filter(|(reason, _)| reason.is_integrity_fault())
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Every reason and its count, in the order of [`Reject::ALL`], zeros included.
    pub fn iter_reasons(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.into_iter().zip(self.counts.iter().copied())
    }
}

/// A command that may be believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accepted {
    /// What the surgeon wants.
    pub command: Command,
    /// When it was handed to the session, robot clock.
    pub received_at: Instant<Robot>,
    /// It has the largest number so far. An older one may fill the playout buffer, no more.
    pub newest: bool,
    /// The checksum of its bytes.
    pub checksum: u64,
}

/// The robot's end: judges commands, numbers states. About 1.5 KiB, no heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobotSession {
    key: SessionKey,
    window: SeqWindow,
    ends: Option<Ends<Console, Robot>>,
    recent: Recent<COMPARED>,
    reported: Seq,
    rejects: Rejects,
}

impl RobotSession {
    /// A session just agreed: no command seen, no state sent.
    pub const fn new(key: SessionKey) -> Self {
        Self {
            key,
            window: SeqWindow::new(),
            ends: None,
            recent: Recent::new(),
            reported: Seq::ZERO,
            rejects: Rejects { counts: [0; Reject::ALL.len()] },
        }
    }

    /// Judges one datagram that arrived at `now`, robot clock. O(1) but for a forward jump.
    ///
    /// Errors: the first [`Reject`] in the order of [`Reject::ALL`]; it is counted, and nothing
    /// else changes.
    pub fn handle_datagram(
        &mut self,
        now: Instant<Robot>,
        bytes: &[u8],
    ) -> Result<Accepted, Reject> {
        let judged = self.judge(now, bytes);
        match judged {
            Ok((command, admitted)) => {
                let (newest, checksum) = (admitted.newest, wire::stored_crc(bytes));
                Ok(Accepted { command, received_at: now, newest, checksum })
            }
            Err(reject) => {
                self.rejects.add(reject);
                Err(reject)
            }
        }
    }

    /// Every check first, every change last, so that a refused datagram leaves no trace.
    fn judge(&mut self, now: Instant<Robot>, bytes: &[u8]) -> Result<(Command, Admitted), Reject> {
        let command = wire::decode_command(bytes)?;
        let crc = wire::stored_crc(bytes);
        check_key(&self.key, &command.key)?;
        let admitted = check_number(&self.window, &self.recent, command.number, crc)?;
        let mark = Mark { number: command.number, sent: command.intent.hand_time, received: now };
        self.check_story(mark)?;
        if command.intent.echo_robot_time > now {
            return Err(Reject::EchoFuture);
        }
        self.window.admit(command.number)?;
        self.recent.keep(command.number, crc);
        Ends::extend(&mut self.ends, mark, admitted.newest);
        Ok((command, admitted))
    }

    /// Whether number, hand time and robot clock agree, with the first command and the newest.
    fn check_story(&self, mark: Mark<Console, Robot>) -> Result<(), Reject> {
        let Some(ends) = self.ends else {
            // Nothing to compare with yet: only a number that no honest console reached is refused.
            return if mark.number > FIRST_MAX { Err(Reject::Implausible) } else { Ok(()) };
        };
        let strays = |from: &Mark<Console, Robot>| {
            mark.number_lead_us(from).unsigned_abs() > DISAGREEMENT_MAX.as_micros().into()
        };
        if strays(&ends.first) || strays(&ends.newest) || mark.runs_ahead_of(&ends.first) {
            return Err(Reject::Implausible);
        }
        let newest = &ends.newest;
        // Strict both ways: two commands of one hand sample are a restamping relay's (A25).
        let rises = if mark.number > newest.number {
            mark.sent > newest.sent
        } else {
            mark.sent < newest.sent
        };
        if rises { Ok(()) } else { Err(Reject::HandTime) }
    }

    /// Numbers a state and writes it. The session fills in the counters that only it knows:
    /// `accepted` and `lost`, and `rejected` where its own total is the larger.
    pub fn report(&mut self, state: FollowerState) -> [u8; STATE_LEN] {
        self.reported = self.reported.next();
        let mut state = state;
        state.counters.accepted = self.accepted();
        state.counters.lost = self.lost();
        state.counters.rejected = state.counters.rejected.max(self.rejects.total());
        wire::encode_state(&StateReport { key: self.key, number: self.reported, state })
    }

    /// What every message of the session carries.
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// The largest command number accepted; [`Seq::ZERO`] before the first.
    pub const fn newest(&self) -> Seq {
        self.window.newest()
    }

    /// Commands accepted.
    pub const fn accepted(&self) -> u64 {
        self.window.admitted()
    }

    /// Command numbers up to the newest that have not come; those overtaken on the way still may.
    pub const fn lost(&self) -> u64 {
        self.window.lost()
    }

    /// The number of the last state sent; [`Seq::ZERO`] before the first.
    pub const fn reported(&self) -> Seq {
        self.reported
    }

    /// What was refused, by reason.
    pub const fn rejects(&self) -> &Rejects {
        &self.rejects
    }
}

/// The console's end: numbers commands, judges states. About 34 KiB, no heap.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleSession {
    key: SessionKey,
    sent: Seq,
    began: Option<Instant<Console>>,
    window: SeqWindow,
    ends: Option<Ends<Robot, Console>>,
    recent: Recent<COMPARED>,
    /// What was sent, for longer than a command takes there and its echo back.
    said: Recent<SAID>,
    altered: u64,
    echoed: Seq,
    clock: ClockSync,
    rejects: Rejects,
}

impl ConsoleSession {
    /// A session just agreed: nothing sent, no state seen.
    pub const fn new(key: SessionKey) -> Self {
        Self {
            key,
            sent: Seq::ZERO,
            began: None,
            window: SeqWindow::new(),
            ends: None,
            recent: Recent::new(),
            said: Recent::new(),
            altered: 0,
            echoed: Seq::ZERO,
            clock: ClockSync::new(),
            rejects: Rejects { counts: [0; Reject::ALL.len()] },
        }
    }

    /// Numbers a command and writes it. Call it once per tick, with a hand time that rises.
    ///
    /// The number rises by one, except after a stall of the console itself: more than
    /// [`SKIP_AFTER`] behind its hand time, it skips the numbers that it owed. They were never sent
    /// and the robot counts them as lost, which they are.
    pub fn send(&mut self, intent: &Intent) -> [u8; COMMAND_LEN] {
        let began = *self.began.get_or_insert(intent.hand_time);
        let ticks = intent.hand_time.since(began).as_micros() / TICK.as_micros();
        let owed = Seq::new(ticks.saturating_add(1));
        let next = self.sent.next();
        let behind = owed.checked_since(next).unwrap_or(0);
        let stalled = TICK.saturating_mul(behind) > SKIP_AFTER;
        self.sent = if stalled { owed } else { next };
        let command = Command { key: self.key, number: self.sent, intent: *intent };
        let bytes = wire::encode_command(&command);
        self.said.keep(self.sent, wire::stored_crc(&bytes));
        bytes
    }

    /// Judges one datagram that arrived at `now`, console clock: `Some` only when it is the newest.
    ///
    /// An older one that came late is good, counted as received and used for the clock, but it is
    /// not handed on: the surgeon must never see time run backwards.
    ///
    /// Errors: the first [`Reject`] in the order of [`Reject::ALL`]; it is counted, and nothing
    /// else changes.
    pub fn handle_datagram(
        &mut self,
        now: Instant<Console>,
        bytes: &[u8],
    ) -> Result<Option<StateReport>, Reject> {
        match self.judge(now, bytes) {
            Ok((report, admitted)) => {
                let echo = &report.state.echo;
                if self.said.contradicts(echo.number, echo.checksum) {
                    self.altered = self.altered.saturating_add(1);
                }
                self.observe(now, &report, admitted.newest);
                Ok(admitted.newest.then_some(report))
            }
            Err(reject) => {
                self.rejects.add(reject);
                Err(reject)
            }
        }
    }

    /// Every check first, every change last, so that a refused datagram leaves no trace.
    fn judge(
        &mut self,
        now: Instant<Console>,
        bytes: &[u8],
    ) -> Result<(StateReport, Admitted), Reject> {
        let report = wire::decode_state(bytes)?;
        let crc = wire::stored_crc(bytes);
        check_key(&self.key, &report.key)?;
        let admitted = check_number(&self.window, &self.recent, report.number, crc)?;
        let mark = Mark { number: report.number, sent: report.state.robot_time, received: now };
        self.check_story(mark)?;
        let echo = &report.state.echo;
        if echo.hand_time > now || echo.number > self.sent {
            return Err(Reject::EchoFuture);
        }
        self.window.admit(report.number)?;
        self.recent.keep(report.number, crc);
        Ends::extend(&mut self.ends, mark, admitted.newest);
        Ok((report, admitted))
    }

    /// As on the robot, but a robot may report late or seldom: only running ahead is refused.
    fn check_story(&self, mark: Mark<Robot, Console>) -> Result<(), Reject> {
        let Some(ends) = self.ends else {
            return if mark.number > FIRST_MAX { Err(Reject::Implausible) } else { Ok(()) };
        };
        let lead = mark.number_lead_us(&ends.first);
        if lead > DISAGREEMENT_MAX.as_micros().into() || mark.runs_ahead_of(&ends.first) {
            return Err(Reject::Implausible);
        }
        let newest = &ends.newest;
        // Not strict: a robot may make two states within one microsecond.
        let rises = if mark.number > newest.number {
            mark.sent >= newest.sent
        } else {
            mark.sent <= newest.sent
        };
        if rises { Ok(()) } else { Err(Reject::RobotTime) }
    }

    /// Feeds the clock. For display and qualification only.
    fn observe(&mut self, now: Instant<Console>, report: &StateReport, newest: bool) {
        let (state, echo) = (&report.state, &report.state.echo);
        self.clock.observe_down(state.robot_time, now);
        if echo.number == Seq::ZERO {
            return;
        }
        self.clock.observe_up(echo.hand_time, echo.received_at);
        // A command that stays in use would make the round trip look ever longer: once each.
        if !newest || echo.number <= self.echoed {
            return;
        }
        self.echoed = echo.number;
        let there_and_back = now.checked_since(echo.hand_time);
        let dwell = state.robot_time.checked_since(echo.received_at);
        if let (Some(there_and_back), Some(dwell)) = (there_and_back, dwell) {
            self.clock.observe_rtt(there_and_back.saturating_sub(dwell));
        }
    }

    /// What every message of the session carries.
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// The stamp and the number of the newest state: what the next command echoes. The robot's
    /// origin and [`Seq::ZERO`] before the first.
    ///
    /// For a leader that has seen that state. The session does not fill echoes in by itself: an
    /// echo says what the *leader* saw, and a hung leader must not look fresh (safety.md 0.2).
    pub fn echo(&self) -> (Instant<Robot>, Seq) {
        self.ends.map_or((Instant::ORIGIN, Seq::ZERO), |e| (e.newest.sent, e.newest.number))
    }

    /// When the newest state arrived, console clock; `None` before the first.
    pub fn heard_at(&self) -> Option<Instant<Console>> {
        self.ends.map(|e| e.newest.received)
    }

    /// The number of the last command sent; [`Seq::ZERO`] before the first.
    pub const fn sent(&self) -> Seq {
        self.sent
    }

    /// States accepted.
    pub const fn accepted(&self) -> u64 {
        self.window.admitted()
    }

    /// State numbers up to the newest that have not come; those overtaken on the way still may.
    pub const fn lost(&self) -> u64 {
        self.window.lost()
    }

    /// The smoothed round trip, the robot's own dwell taken off; `None` before the first.
    pub fn rtt(&self) -> Option<Micros> {
        self.clock.rtt()
    }

    /// The two clocks' offset and the round trips. Never for safety.
    pub const fn clock(&self) -> &ClockSync {
        &self.clock
    }

    /// States by which the robot uses a command that this end did not send so: somebody who has
    /// keys changes commands on the way (A20), or the robot's memory does.
    pub const fn altered(&self) -> u64 {
        self.altered
    }

    /// What was refused, by reason.
    pub const fn rejects(&self) -> &Rejects {
        &self.rejects
    }
}

/// Robot, session, epoch, profile: each its own reason.
fn check_key(own: &SessionKey, got: &SessionKey) -> Result<(), Reject> {
    if got.robot != own.robot {
        return Err(Reject::WrongRobot);
    }
    if got.session != own.session {
        return Err(Reject::WrongSession);
    }
    if got.epoch < own.epoch {
        return Err(Reject::StaleEpoch);
    }
    if got.epoch != own.epoch {
        return Err(Reject::WrongEpoch);
    }
    if got.profile != own.profile {
        return Err(Reject::WrongProfile);
    }
    Ok(())
}

/// The window's answer, and whether a repeat says what the first copy said.
fn check_number(
    window: &SeqWindow,
    recent: &Recent<COMPARED>,
    number: Seq,
    crc: u64,
) -> Result<Admitted, Reject> {
    match window.check(number) {
        Err(SeqReject::Duplicate) if recent.contradicts(number, crc) => Err(Reject::Contradiction),
        Err(reject) => Err(reject.into()),
        Ok(admitted) => Ok(admitted),
    }
}

/// When message `number` was made, on the sender's clock `S`, and arrived, on the receiver's `R`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark<S, R> {
    number: Seq,
    sent: Instant<S>,
    received: Instant<R>,
}

impl<S, R> Mark<S, R> {
    /// How much farther the numbers went than the sender's clock since `from`, microseconds, at one
    /// number per [`TICK`].
    fn number_lead_us(&self, from: &Self) -> i128 {
        span(from.number.get(), self.number.get())
            .saturating_mul(TICK.as_micros().into())
            .saturating_sub(span(from.sent.as_micros(), self.sent.as_micros()))
    }

    /// Whether the sender's clock went farther than the receiver's since `from` by more than delay
    /// and drift explain. This compares two spans, each of one clock: no offset comes into it.
    ///
    /// Falling behind is delay, which is the watchdog's. Running ahead is at most the delay that
    /// `from` itself had; a session whose first message took longer than 1 s must be made anew.
    fn runs_ahead_of(&self, from: &Self) -> bool {
        let passed = span(from.received.as_micros(), self.received.as_micros());
        let lead = span(from.sent.as_micros(), self.sent.as_micros()).saturating_sub(passed);
        let drift = passed.unsigned_abs().div_ceil(DRIFT_ONE_IN.into());
        let bound = drift.saturating_add(DISAGREEMENT_MAX.as_micros().into());
        lead > 0 && lead.unsigned_abs() > bound
    }
}

/// The first and the newest message of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ends<S, R> {
    first: Mark<S, R>,
    newest: Mark<S, R>,
}

impl<S: Copy, R: Copy> Ends<S, R> {
    fn extend(ends: &mut Option<Self>, mark: Mark<S, R>, newest: bool) {
        match ends {
            None => *ends = Some(Self { first: mark, newest: mark }),
            Some(ends) if newest => ends.newest = mark,
            Some(_) => {}
        }
    }
}

/// `to - from`: exact, whatever the two are.
fn span(from: u64, to: u64) -> i128 {
    i128::from(to).saturating_sub(i128::from(from))
}

/// The checksums of the last numbers taken or sent: enough to tell a repeat from a contradiction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Recent<const KEPT: usize> {
    /// Number and checksum; the number's place is `number % KEPT`. Newer ones push out older.
    kept: [(Seq, u64); KEPT],
}

impl<const KEPT: usize> Recent<KEPT> {
    const fn new() -> Self {
        Self { kept: [(Seq::ZERO, 0); KEPT] }
    }

    fn place(number: Seq) -> usize {
        let place = u64::try_from(KEPT).ok().and_then(|kept| number.get().checked_rem(kept));
        place.and_then(|place| usize::try_from(place).ok()).unwrap_or(0)
    }

    fn contradicts(&self, number: Seq, crc: u64) -> bool {
        self.kept.get(Self::place(number)).is_some_and(|(n, c)| *n == number && *c != crc)
    }

    fn keep(&mut self, number: Seq, crc: u64) {
        if let Some(slot) = self.kept.get_mut(Self::place(number))
            && slot.0 < number
        {
            *slot = (number, crc);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::message::{Echo, ProfileHash, RobotId, SessionId};
    use crate::units::Epoch;
    use proptest::prelude::*;

    const KEY: SessionKey = SessionKey {
        robot: RobotId::new(7),
        session: SessionId::from_halves(1, 2),
        epoch: Epoch::new(5),
        profile: ProfileHash::new(9),
    };

    fn command(number: u64, hand_us: u64) -> Command {
        let hand_time = Instant::from_micros(hand_us);
        let intent = Intent { hand_time, ..Intent::default() };
        Command { key: KEY, number: Seq::new(number), intent }
    }

    fn state(number: u64, robot_us: u64) -> StateReport {
        let robot_time = Instant::from_micros(robot_us);
        let state = FollowerState { robot_time, ..FollowerState::default() };
        StateReport { key: KEY, number: Seq::new(number), state }
    }

    fn good_command(number: u64) -> [u8; COMMAND_LEN] {
        wire::encode_command(&command(number, number * 1_000))
    }

    fn good_state(number: u64) -> [u8; STATE_LEN] {
        wire::encode_state(&state(number, number * 1_000))
    }

    /// What a stranger, a relay or a broken peer may do to a good command.
    #[derive(Clone, Debug)]
    struct Change {
        number: i64,
        hand_us: i64,
        echo_us: u64,
        key: u8,
        jaw: f64,
        flip: Option<(usize, u8)>,
    }

    fn offset() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => Just(0_i64),
            4 => -70_i64..70,
            2 => -2_000_000_i64..2_000_000,
            1 => any::<i64>(),
        ]
    }

    fn change() -> impl Strategy<Value = Change> {
        let echo = prop_oneof![3 => Just(0), 1 => 0_u64..10_000_000];
        let key = prop_oneof![4 => Just(0_u8), 1 => 1_u8..6];
        let jaw = prop_oneof![3 => Just(0.0), 1 => Just(f64::NAN), 1 => -4.0..4.0];
        let flip = proptest::option::weighted(0.2, (0..COMMAND_LEN, 1_u8..));
        (offset(), offset(), echo, key, jaw, flip).prop_map(
            |(number, hand_us, echo_us, key, jaw, flip)| Change {
                number,
                hand_us,
                echo_us,
                key,
                jaw,
                flip,
            },
        )
    }

    fn changed_key(which: u8) -> SessionKey {
        match which {
            1 => SessionKey { robot: RobotId::new(8), ..KEY },
            2 => SessionKey { session: SessionId::from_halves(1, 3), ..KEY },
            3 => SessionKey { epoch: Epoch::new(4), ..KEY },
            4 => SessionKey { epoch: Epoch::new(6), ..KEY },
            5 => SessionKey { profile: ProfileHash::new(8), ..KEY },
            _ => KEY,
        }
    }

    fn command_bytes(change: &Change, number: u64) -> [u8; COMMAND_LEN] {
        let hand = number.saturating_mul(1_000).saturating_add_signed(change.hand_us);
        let mut command = command(number.saturating_add_signed(change.number), hand);
        command.intent.echo_robot_time = Instant::from_micros(change.echo_us);
        command.intent.arms.psm1.jaw = change.jaw;
        command.key = changed_key(change.key);
        let mut bytes = wire::encode_command(&command);
        if let Some((at, noise)) = change.flip {
            bytes[at] ^= noise;
        }
        bytes
    }

    fn state_bytes(change: &Change, number: u64) -> [u8; STATE_LEN] {
        let time = number.saturating_mul(1_000).saturating_add_signed(change.hand_us);
        let mut state = state(number.saturating_add_signed(change.number), time);
        state.state.echo.number = Seq::new(change.echo_us % 1_000);
        state.state.echo.hand_time = Instant::from_micros(change.echo_us);
        state.state.arms.psm1.measured_jaw = change.jaw;
        state.key = changed_key(change.key);
        let mut bytes = wire::encode_state(&state);
        if let Some((at, noise)) = change.flip {
            bytes[at] ^= noise;
        }
        bytes
    }

    proptest! {
        /// I16: a refused command leaves the session as if it had never come, but for one counter.
        #[test]
        fn refused_command_leaves_no_trace(changes in proptest::collection::vec(change(), 1..120)) {
            let mut session = RobotSession::new(KEY);
            for (change, number) in changes.iter().zip(1..) {
                let now = Instant::from_micros(number * 1_000 + 3_000_000);
                // A good one now and then, so that there is a window to disturb.
                if number % 3 == 0 {
                    let _ = session.handle_datagram(now, &good_command(number));
                }
                let before = session;
                if let Err(reject) = session.handle_datagram(now, &command_bytes(change, number)) {
                    let count = before.rejects.count(reject);
                    prop_assert_eq!(session.rejects.count(reject), count + 1);
                    prop_assert_eq!(session.rejects.total(), before.rejects.total() + 1);
                    session.rejects = before.rejects;
                    prop_assert_eq!(&session, &before);
                    session.rejects.add(reject);
                }
            }
        }

        #[test]
        fn refused_state_leaves_no_trace(changes in proptest::collection::vec(change(), 1..120)) {
            let mut session = ConsoleSession::new(KEY);
            for (change, number) in changes.iter().zip(1..) {
                let now = Instant::from_micros(number * 1_000 + 9_000_000);
                if number % 3 == 0 {
                    let _ = session.handle_datagram(now, &good_state(number));
                }
                let before = session.clone();
                if let Err(reject) = session.handle_datagram(now, &state_bytes(change, number)) {
                    let count = before.rejects.count(reject);
                    prop_assert_eq!(session.rejects.count(reject), count + 1);
                    session.rejects = before.rejects;
                    prop_assert_eq!(&session, &before);
                    session.rejects.add(reject);
                }
            }
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        for (i, one) in Reject::ALL.iter().enumerate() {
            for other in &Reject::ALL[..i] {
                assert_ne!(one.name(), other.name());
            }
            let mut rejects = Rejects::default();
            rejects.add(*one);
            assert_eq!((rejects.count(*one), rejects.total()), (1, 1), "{one:?} is not in ALL");
        }
    }

    #[test]
    fn echo_of_a_command_never_sent_is_refused() {
        let mut session = ConsoleSession::new(KEY);
        let mut report = state(1, 1_000);
        report.state.echo = Echo { number: Seq::new(1), ..Echo::default() };
        let now = Instant::from_micros(5_000);
        assert_eq!(
            session.handle_datagram(now, &wire::encode_state(&report)),
            Err(Reject::EchoFuture)
        );
    }
}
