//! The leader thread: once a millisecond, states in, hand read, one command out.
//!
//! Knows: the order of a tick, and what is worth writing down about it. Does not know: the law
//! (`Leader::step`), bytes (`ConsoleSession`), the network, the page, or a histogram: what it saw
//! goes to the clerk through a mailbox and a lock that it only ever tries.
//!
//! Exactly one command per tick that runs, and none for a tick that was missed: numbers and hand
//! time must tell one story (`session`), and a burst would be motion in no time. While there is no
//! session nothing is sent; the hand is read all the same, so that it is where it is.

use crate::input::{Hand, Seen};
use crate::network::{
    COMMAND_SLOTS, COMMAND_WORDS, NewSession, STATE_SLOTS, STATE_WORDS, ToLeader,
};
use crate::record::tap::Tap;
use crate::record::tick::{AlarmLevel, Counts, LeaderTick};
use longhand_leader::hand::{HandReading, HandSample};
use longhand_leader::{Leader, LeaderOutput};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{Counters, Intent, Stage, StateReport, Terms};
use longhand_protocol::session::ConsoleSession;
use longhand_protocol::units::{Console, Instant, Micros, Seq, TICK};
use longhand_protocol::wire::{COMMAND_LEN, STATE_LEN};
use longhand_quic::doorbell::Doorbell;
use longhand_quic::mailbox::{self, Reader, Writer};
use longhand_quic::pace::{Granted, Priority, RealTime, SERVO_PRIORITY, Tick, Ticker};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};

/// The leader thread's priority. Chosen: just below the servo thread's, for the machine on which
/// both run (the demo); above the pump's, which it feeds.
pub const LEADER_PRIORITY: Priority = Priority::new(79);
const _: () = assert!(LEADER_PRIORITY.get() < SERVO_PRIORITY.get());

/// States taken in one tick; older ones are passed over. Chosen: half of what may wait; one a tick
/// is normal, the rest is what an outage held back.
const STATES_PER_TICK: u64 = 64;

/// Words of a [`Record`].
pub(crate) const RECORD_WORDS: usize = 7;
/// Records that may wait for the clerk; full, the oldest is dropped and counted. Chosen: over a
/// second of ticks and states.
pub(crate) const RECORD_SLOTS: usize = 4_096;

/// One thing worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A tick ran.
    Tick(Tick<Console>),
    /// A state was the newest.
    State(StateRecord),
}

/// What one newest state tells about the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateRecord {
    /// Since the newest state before it, in the same session.
    pub(crate) gap: Option<Micros>,
    /// As the robot says; `None` before it has heard an echo.
    pub(crate) loop_age: Option<Micros>,
    /// From the hand time of the command that it is the first to echo to its receipt.
    pub(crate) round_trip: Option<Micros>,
    /// From that hand time to its first use at the joint, where both clocks are one.
    pub(crate) hand_to_joint: Option<Micros>,
    /// `round_trip` without the time that the command lay at the robot: the two ways alone.
    pub(crate) both_ways: Option<Micros>,
    /// From the robot's stamp in it to its receipt, where both clocks are one.
    pub(crate) state_way: Option<Micros>,
}

impl Record {
    fn words(&self) -> [u64; RECORD_WORDS] {
        // A span is written one larger, so that zero can say "none".
        let span = |s: Option<Micros>| s.map_or(0, |s| s.as_micros().saturating_add(1));
        match self {
            Self::Tick(tick) => {
                [0, tick.scheduled_at.as_micros(), tick.woke_at.as_micros(), tick.missed, 0, 0, 0]
            }
            Self::State(s) => [
                1,
                span(s.gap),
                span(s.loop_age),
                span(s.round_trip),
                span(s.hand_to_joint),
                span(s.both_ways),
                span(s.state_way),
            ],
        }
    }

    /// The record that these words are.
    pub(crate) fn from_words(words: &[u64; RECORD_WORDS]) -> Self {
        let span = |word: u64| word.checked_sub(1).map(Micros::from_micros);
        let [kind, a, b, c, d, e, f] = *words;
        if kind == 0 {
            let at = Instant::from_micros;
            return Self::Tick(Tick { scheduled_at: at(a), woke_at: at(b), missed: c });
        }
        Self::State(StateRecord {
            gap: span(a),
            loop_age: span(b),
            round_trip: span(c),
            hand_to_joint: span(d),
            both_ways: span(e),
            state_way: span(f),
        })
    }
}

/// What the leader thread has counted since it began, over all sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ticks: u64,
    pub(crate) missed: u64,
    pub(crate) sessions: u64,
    pub(crate) commands_sent: u64,
    /// Command numbers passed over because this console stood still: never sent, so not lost.
    pub(crate) commands_skipped: u64,
    pub(crate) states_accepted: u64,
    pub(crate) states_lost: u64,
    pub(crate) states_rejected: u64,
    /// States by which the robot used a command that this console did not send so.
    pub(crate) commands_altered: u64,
    /// States that the leader thread passed over because newer ones waited.
    pub(crate) states_passed: u64,
    /// As the robot counts, added up over its sessions.
    pub(crate) commands_accepted: u64,
    /// Without those that were skipped here.
    pub(crate) commands_lost: u64,
    pub(crate) safe_stops: u64,
    /// How often each stage began, in the order of [`Stage::ALL`].
    pub(crate) entered: [u64; Stage::ALL.len()],
    /// Ticks spent in each, as far as the console knew.
    pub(crate) ticks_in: [u64; Stage::ALL.len()],
}

impl From<&Tally> for Counts {
    fn from(tally: &Tally) -> Self {
        Self {
            sessions: tally.sessions,
            states_accepted: tally.states_accepted,
            states_lost: tally.states_lost,
            states_rejected: tally.states_rejected,
            states_passed: tally.states_passed,
            commands_altered: tally.commands_altered,
        }
    }
}

/// The newest of everything, for the clerk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) at: Instant<Console>,
    pub(crate) output: Option<LeaderOutput>,
    pub(crate) hands: PerArm<HandReading>,
    pub(crate) note: &'static str,
    /// The newest state of this session or the last, and when it was received.
    pub(crate) report: Option<(StateReport, Instant<Console>)>,
    /// Whether that state is of the session that is open now.
    pub(crate) is_current: bool,
    pub(crate) rtt: Option<Micros>,
    /// The least and most that the newest echo can have taken from hand to joint, by the clocks'
    /// offset. For display.
    pub(crate) hand_to_joint: Option<(Micros, Micros)>,
    /// When the robot last used a command that this console did not send so.
    pub(crate) altered_at: Option<Instant<Console>>,
    pub(crate) tally: Tally,
}

/// What the leader thread shares with the rest of the console.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Everything is to end.
    pub(crate) stop: AtomicBool,
    /// A hand that moves by itself is to rest.
    pub(crate) rest: AtomicBool,
    /// The alarms that are shown, as [`AlarmLevel::word`]: the clerk's word, for the record.
    pub(crate) alarms: AtomicU64,
    /// Only ever tried, by both sides: neither waits for the other.
    pub(crate) snapshot: Mutex<Snapshot>,
    pub(crate) leader_granted: OnceLock<Granted>,
    pub(crate) pump_granted: OnceLock<Granted>,
}

/// A session, as the leader thread holds it.
struct Live {
    session: ConsoleSession,
    commands: Writer<COMMAND_WORDS, COMMAND_SLOTS>,
    states: Reader<STATE_WORDS, STATE_SLOTS>,
    heard_at: Option<Instant<Console>>,
    echoed: Seq,
    robot: Counters,
    /// Numbers that this console passed over.
    skipped: u64,
    /// The first number sent after the last of them.
    resumed: Seq,
    /// What the robot misses and this console did send.
    lost: u64,
}

/// Everything of the leader thread.
pub(crate) struct LeaderThread {
    pub(crate) hand: Box<dyn Hand>,
    pub(crate) leader: Leader,
    pub(crate) network: Receiver<ToLeader>,
    pub(crate) doorbell: Doorbell,
    pub(crate) board: Arc<Board>,
    pub(crate) records: Writer<RECORD_WORDS, RECORD_SLOTS>,
    /// Where every tick goes; `None` where nothing is recorded.
    pub(crate) tap: Option<Tap>,
    /// Robot and console run on one machine, so their clocks are one.
    pub(crate) same_clock: bool,
    pub(crate) realtime: bool,
}

/// What changes from tick to tick.
#[derive(Default)]
struct Running {
    live: Option<Live>,
    seen: Seen,
    resting: bool,
    snapshot: Snapshot,
    /// Of the sessions that are over.
    past: Tally,
    stage: Option<Stage>,
    stops_before: Option<u32>,
}

impl LeaderThread {
    /// Ticks until the board says stop. This thread is the leader's.
    pub(crate) fn run(mut self) {
        let real_time = self.realtime.then(|| RealTime::acquire(LEADER_PRIORITY, None));
        if let Some(real_time) = &real_time {
            // Set once, here: the cell is empty.
            let _first = self.board.leader_granted.set(real_time.granted());
        }
        let mut running = Running::default();
        let mut ticker = Ticker::<Console>::new(TICK);
        while !self.board.stop.load(Ordering::Acquire) {
            let tick = ticker.wait();
            self.tick(&mut running, &tick);
        }
    }

    fn tick(&mut self, run: &mut Running, tick: &Tick<Console>) {
        self.news(run);
        let now = tick.woke_at;
        let newest = self.receive(run);
        if let Some((report, _)) = &newest {
            self.hand.told(&report.state);
        }
        if !run.resting && self.board.rest.load(Ordering::Relaxed) {
            run.resting = true;
            self.hand.rest();
        }
        let sample = self.hand.read(now, &run.seen);
        let output = self.leader.step(now, &sample, newest.as_ref().map(|(report, _)| report));
        run.seen = Seen {
            engagement: output.engagement,
            stage: self.leader.state().map(|state| state.stage),
        };
        let mut command = None;
        if let Some(live) = &mut run.live {
            let bytes = live.send(&output.intent);
            if let Some(message) = mailbox::from_bytes(&bytes) {
                live.commands.push(&message);
                self.doorbell.ring();
                let sent = &mut run.snapshot.tally.commands_sent;
                *sent = sent.saturating_add(1);
                command = Some((live.session.sent(), bytes));
            }
        }
        // The command is out; the rest of the tick is for people.
        self.records.push(&Record::Tick(*tick).words());
        run.note(tick, &output, &sample, newest, self.hand.note());
        if let Some(tap) = &mut self.tap {
            let snapshot = &run.snapshot;
            tap.see(&LeaderTick {
                tick,
                sample: &sample,
                output: &output,
                command: command.as_ref().map(|(number, bytes)| (*number, bytes)),
                newest: snapshot.report.as_ref().map(|(report, at)| (report, *at)),
                is_current: snapshot.is_current,
                counts: Counts::from(&snapshot.tally),
                alarms: AlarmLevel::of(self.board.alarms.load(Ordering::Relaxed)),
            });
        }
        self.publish(&run.snapshot);
    }

    /// Sessions that began or ended.
    fn news(&mut self, run: &mut Running) {
        while let Ok(news) = self.network.try_recv() {
            run.end_session();
            match news {
                ToLeader::Session(new) => {
                    let terms: Terms = new.terms;
                    self.leader.begin_session(terms);
                    run.begin_session(new);
                }
                ToLeader::Ended => {}
            }
        }
    }

    /// Everything that waits in the mailbox, judged in order; the newest state, if one came.
    fn receive(&mut self, run: &mut Running) -> Option<(StateReport, Instant<Console>)> {
        let live = run.live.as_mut()?;
        let Live { session, states, heard_at, echoed, .. } = live;
        let altered = session.altered();
        let (records, same_clock) = (&mut self.records, self.same_clock);
        let mut newest = None;
        let mut bytes = [0_u8; STATE_LEN];
        let drained = states.drain(STATES_PER_TICK, |[stamp, body @ ..]| {
            let received_at = Instant::from_micros(*stamp);
            mailbox::to_bytes(body, &mut bytes);
            // A rejected state is counted by the session, by its reason, and is nothing else.
            if let Ok(Some(report)) = session.handle_datagram(received_at, &bytes) {
                let record = judge(&report, received_at, *heard_at, echoed, same_clock);
                *heard_at = Some(received_at);
                records.push(&Record::State(record).words());
                newest = Some((report, received_at));
            }
        });
        if session.altered() > altered {
            self.leader.let_go();
            run.snapshot.altered_at = *heard_at;
        }
        let passed = &mut run.snapshot.tally.states_passed;
        *passed = passed.saturating_add(drained.lost());
        newest
    }

    /// Tries to show the clerk what is new. Taken just now: the next tick tries again.
    fn publish(&self, snapshot: &Snapshot) {
        match self.board.snapshot.try_lock() {
            Ok(mut shown) => *shown = *snapshot,
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = *snapshot,
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

/// What this newest state tells about the link.
fn judge(
    report: &StateReport,
    received_at: Instant<Console>,
    heard_at: Option<Instant<Console>>,
    echoed: &mut Seq,
    same_clock: bool,
) -> StateRecord {
    let echo = &report.state.echo;
    let is_first = echo.number > *echoed;
    *echoed = echo.number.max(*echoed);
    let loop_age = report.state.loop_age;
    let joint = echo.applied_at.as_micros().checked_sub(echo.hand_time.as_micros());
    let stamped_at = report.state.robot_time;
    let at_robot = stamped_at.checked_since(echo.received_at);
    let round_trip = is_first.then(|| received_at.since(echo.hand_time));
    let state_way = received_at.as_micros().checked_sub(stamped_at.as_micros());
    StateRecord {
        gap: heard_at.map(|at| received_at.since(at)),
        loop_age: (loop_age != Micros::MAX && *echoed > Seq::ZERO).then_some(loop_age),
        round_trip,
        hand_to_joint: joint.filter(|_| same_clock && is_first).map(Micros::from_micros),
        both_ways: round_trip.zip(at_robot).map(|(all, wait)| all.saturating_sub(wait)),
        state_way: state_way.filter(|_| same_clock).map(Micros::from_micros),
    }
}

impl Running {
    fn begin_session(&mut self, new: NewSession) {
        let NewSession { key, commands, states, .. } = new;
        self.live = Some(Live {
            session: ConsoleSession::new(key),
            commands,
            states,
            heard_at: None,
            echoed: Seq::ZERO,
            robot: Counters::default(),
            skipped: 0,
            resumed: Seq::ZERO,
            lost: 0,
        });
        self.snapshot.is_current = false;
        self.snapshot.rtt = None;
        self.snapshot.hand_to_joint = None;
        self.seen = Seen::default();
        let sessions = &mut self.snapshot.tally.sessions;
        *sessions = sessions.saturating_add(1);
    }

    fn end_session(&mut self) {
        if let Some(live) = self.live.take() {
            self.past = live.added_to(&self.past);
        }
        self.snapshot.is_current = false;
    }

    /// Writes the tick down for people.
    fn note(
        &mut self,
        tick: &Tick<Console>,
        output: &LeaderOutput,
        sample: &HandSample,
        newest: Option<(StateReport, Instant<Console>)>,
        note: &'static str,
    ) {
        let snapshot = &mut self.snapshot;
        snapshot.at = tick.woke_at;
        snapshot.output = Some(*output);
        snapshot.hands = sample.hands;
        snapshot.note = note;
        let tally = &mut snapshot.tally;
        tally.ticks = tally.ticks.saturating_add(1);
        tally.missed = tally.missed.saturating_add(tick.missed);
        if let Some((report, received_at)) = newest {
            snapshot.report = Some((report, received_at));
            snapshot.is_current = true;
            self.heard(&report, tick.woke_at);
        }
        let tally = &mut self.snapshot.tally;
        if let (Some(stage), true) = (self.stage, self.snapshot.is_current) {
            count(&mut tally.ticks_in, stage, tick.missed.saturating_add(1));
        }
        let sum = self.live.as_ref().map_or(self.past, |live| live.added_to(&self.past));
        tally.states_accepted = sum.states_accepted;
        tally.states_lost = sum.states_lost;
        tally.states_rejected = sum.states_rejected;
        tally.commands_altered = sum.commands_altered;
        tally.commands_accepted = sum.commands_accepted;
        tally.commands_skipped = sum.commands_skipped;
        tally.commands_lost = sum.commands_lost;
    }

    /// What a new state adds to the counts.
    fn heard(&mut self, report: &StateReport, now: Instant<Console>) {
        let state = &report.state;
        let tally = &mut self.snapshot.tally;
        if self.stage != Some(state.stage) {
            self.stage = Some(state.stage);
            count(&mut tally.entered, state.stage, 1);
        }
        // The robot counts since its own start; what was before the first state is not ours.
        let stops = state.counters.safe_stops;
        let new = self.stops_before.map_or(0, |before| stops.saturating_sub(before));
        self.stops_before = Some(stops);
        tally.safe_stops = tally.safe_stops.saturating_add(u64::from(new));
        let Some(live) = &mut self.live else { return };
        live.hear(&state.counters);
        self.snapshot.rtt = live.session.rtt();
        let echo = &state.echo;
        self.snapshot.hand_to_joint =
            live.session.clock().offset(now).filter(|_| echo.number > Seq::ZERO).map(|offset| {
                let on_console = |us: i64| {
                    let applied = i128::from(echo.applied_at.as_micros()) - i128::from(us);
                    let span = applied - i128::from(echo.hand_time.as_micros());
                    Micros::from_micros(u64::try_from(span).unwrap_or(0))
                };
                (on_console(offset.high_us), on_console(offset.low_us))
            });
    }
}

impl Live {
    /// Numbers and writes a command; counts the numbers that the session passed over because this
    /// console owed them (`ConsoleSession::send` says why it must).
    fn send(&mut self, intent: &Intent) -> [u8; COMMAND_LEN] {
        let due = self.session.sent().next();
        let bytes = self.session.send(intent);
        let skipped = self.session.sent().checked_since(due).unwrap_or(0);
        if skipped > 0 {
            self.skipped = self.skipped.saturating_add(skipped);
            self.resumed = self.session.sent();
        }
        bytes
    }

    /// Takes the robot's counters. The robot misses a skipped number like a lost one as soon as a
    /// later one has come; what is over what was skipped was lost on the way. Until then what was
    /// lost stays as it was: a stall neither hides a loss nor invents one.
    fn hear(&mut self, counters: &Counters) {
        self.robot = *counters;
        let newest = counters.accepted.saturating_add(counters.lost);
        if newest >= self.resumed.get() {
            self.lost = counters.lost.saturating_sub(self.skipped);
        }
    }

    fn added_to(&self, past: &Tally) -> Tally {
        let session = &self.session;
        Tally {
            states_accepted: past.states_accepted.saturating_add(session.accepted()),
            states_lost: past.states_lost.saturating_add(session.lost()),
            states_rejected: past.states_rejected.saturating_add(session.rejects().total()),
            commands_altered: past.commands_altered.saturating_add(session.altered()),
            commands_accepted: past.commands_accepted.saturating_add(self.robot.accepted),
            commands_lost: past.commands_lost.saturating_add(self.lost),
            commands_skipped: past.commands_skipped.saturating_add(self.skipped),
            ..*past
        }
    }
}

fn count(counts: &mut [u64; Stage::ALL.len()], stage: Stage, by: u64) {
    for (count, of) in counts.iter_mut().zip(Stage::ALL) {
        if of == stage {
            *count = count.saturating_add(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::Echo;

    /// A leader thread that is ticked by hand, and the far ends of its queues.
    fn bench() -> (LeaderThread, std::sync::mpsc::SyncSender<ToLeader>) {
        let (network_in, network) = std::sync::mpsc::sync_channel(8);
        let (records, _written) = mailbox::Mailbox::pair();
        let script = crate::input::script::Script::load("tremor").unwrap();
        let thread = LeaderThread {
            hand: Box::new(crate::input::script::ScriptedHand::new(script)),
            leader: Leader::new(Terms::default(), 0.2),
            network,
            doorbell: Doorbell::new().unwrap(),
            board: Arc::default(),
            records,
            tap: None,
            same_clock: false,
            realtime: false,
        };
        (thread, network_in)
    }

    fn session(half: u64) -> (ToLeader, Reader<COMMAND_WORDS, COMMAND_SLOTS>) {
        let (commands, sent) = mailbox::Mailbox::pair();
        let (_written, states) = mailbox::Mailbox::pair();
        let session = longhand_protocol::message::SessionId::from_halves(half, 1);
        let key = longhand_protocol::message::SessionKey { session, ..Default::default() };
        let new = NewSession { key, terms: Terms::default(), commands, states };
        (ToLeader::Session(new), sent)
    }

    fn tick_at(us: u64, missed: u64) -> Tick<Console> {
        let scheduled_at = Instant::from_micros(us);
        let late = TICK.saturating_mul(missed);
        Tick { scheduled_at, woke_at: scheduled_at.after(late), missed }
    }

    /// The one command that a tick sent.
    fn only(
        sent: &mut Reader<COMMAND_WORDS, COMMAND_SLOTS>,
    ) -> longhand_protocol::message::Command {
        let mut taken = Vec::new();
        let drained = sent.drain(4, |words| taken.push(*words));
        assert_eq!((drained.taken, drained.lost()), (1, 0));
        let mut bytes = [0; longhand_protocol::wire::COMMAND_LEN];
        mailbox::to_bytes(&taken[0], &mut bytes);
        longhand_protocol::wire::decode_command(&bytes).unwrap()
    }

    #[test]
    fn one_command_a_tick_numbers_rise_by_one_and_a_stall_makes_no_burst() {
        let (mut thread, network) = bench();
        let mut run = Running::default();
        thread.tick(&mut run, &tick_at(1_000, 0));
        assert_eq!(run.snapshot.tally.commands_sent, 0, "no session, no command");
        let (begin, mut sent) = session(5);
        network.send(begin).unwrap();
        let mut at = 2_000;
        for number in 1..=1_000 {
            // 40 ms late now and then, as a machine that was busy elsewhere is.
            let missed = if number % 300 == 0 { 40 } else { 0 };
            let tick = tick_at(at, missed);
            thread.tick(&mut run, &tick);
            let command = only(&mut sent);
            assert_eq!(command.number.get(), number);
            assert_eq!(command.intent.hand_time, tick.woke_at);
            at += 1_000 * (missed + 1);
        }
        let (begin, mut sent) = session(6);
        network.send(begin).unwrap();
        thread.tick(&mut run, &tick_at(at, 0));
        assert_eq!(only(&mut sent).number.get(), 1, "a new session, new numbers");
        network.send(ToLeader::Ended).unwrap();
        thread.tick(&mut run, &tick_at(at + 1_000, 0));
        assert_eq!(sent.drain(4, |_| ()).taken, 0, "no session, no command");
        assert_eq!(run.snapshot.tally.commands_sent, 1_001);
        assert_eq!(run.snapshot.tally.sessions, 2);
    }

    #[test]
    fn numbers_skipped_by_a_stall_are_not_lost_on_the_way() {
        let (mut thread, network) = bench();
        let mut run = Running::default();
        let (begin, _sent) = session(5);
        network.send(begin).unwrap();
        thread.tick(&mut run, &tick_at(1_000, 0));
        // 500 ms behind skips nothing; more than that skips all that is owed.
        thread.tick(&mut run, &tick_at(2_000, 500));
        assert_eq!(run.live.as_ref().unwrap().skipped, 0);
        thread.tick(&mut run, &tick_at(503_000, 700));
        let skipped = run.live.as_ref().unwrap().skipped;
        assert_eq!(skipped, 500 + 700);
        let newest = |run: &Running| run.live.as_ref().unwrap().session.sent().get();
        let lost = |run: &mut Running, newest: u64, lost| {
            let mut report = StateReport::default();
            report.state.counters.lost = lost;
            report.state.counters.accepted = newest - lost;
            run.heard(&report, Instant::from_micros(2_000_000));
            let live = run.live.as_ref().unwrap();
            live.added_to(&Tally::default()).commands_lost
        };
        let before = newest(&run);
        assert_eq!(lost(&mut run, 1, 0), 0);
        assert_eq!(lost(&mut run, before, skipped), 0, "they were never sent");
        assert_eq!(lost(&mut run, before + 9, skipped + 7), 7);
        assert_eq!(lost(&mut run, before + 9, skipped + 6), 6, "one was only overtaken");
        // Another stall, which the robot has not counted yet: what was lost stays lost.
        thread.tick(&mut run, &tick_at(1_204_000, 800));
        assert_eq!(lost(&mut run, before + 9, skipped + 7), 6);
        let after = newest(&run);
        assert_eq!(lost(&mut run, after + 20, skipped + 800 + 9), 9);
        assert_eq!(run.snapshot.tally.commands_skipped, skipped + 800);
    }

    #[test]
    fn a_record_survives_its_words() {
        let at = Instant::from_micros;
        let some = |us| Some(Micros::from_micros(us));
        for record in [
            Record::Tick(Tick { scheduled_at: at(7), woke_at: at(9), missed: 3 }),
            Record::State(StateRecord::default()),
            Record::State(StateRecord {
                gap: some(0),
                loop_age: some(1),
                round_trip: None,
                hand_to_joint: some(5),
                both_ways: some(6),
                state_way: None,
            }),
        ] {
            assert_eq!(Record::from_words(&record.words()), record);
        }
    }

    #[test]
    fn a_command_that_stays_in_use_is_one_round_trip() {
        let mut report = StateReport::default();
        report.state.echo = Echo {
            number: Seq::new(4),
            hand_time: Instant::from_micros(1_000),
            received_at: Instant::from_micros(3_100),
            applied_at: Instant::from_micros(3_500),
            checksum: 0,
        };
        report.state.robot_time = Instant::from_micros(3_600);
        let mut echoed = Seq::ZERO;
        let at = |us| Instant::from_micros(us);
        let first = judge(&report, at(6_000), None, &mut echoed, true);
        assert_eq!(first.round_trip, Some(Micros::from_millis(5)));
        assert_eq!(first.hand_to_joint, Some(Micros::from_micros(2_500)));
        assert_eq!(first.both_ways, Some(Micros::from_micros(4_500)), "0.5 ms at the robot");
        assert_eq!(first.state_way, Some(Micros::from_micros(2_400)));
        let again = judge(&report, at(7_000), Some(at(6_000)), &mut echoed, true);
        assert_eq!((again.round_trip, again.hand_to_joint, again.both_ways), (None, None, None));
        assert_eq!(again.gap, Some(Micros::from_millis(1)));
        report.state.echo.number = Seq::new(5);
        let other = judge(&report, at(8_000), None, &mut echoed, false);
        assert_eq!((other.hand_to_joint, other.state_way), (None, None), "two clocks");
    }
}
