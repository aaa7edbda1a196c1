//! The clerk: a thread of ordinary priority that writes down, raises alarms and serves the page.
//!
//! Knows: everything that people want to see, and what they ask for. Does not know: how to move
//! anything; should it hang, the leader and the pump go on without it.
//!
//! It comes round every [`ROUND`] and waits for nobody: the leader thread's snapshot is only tried,
//! the page's requests too. What it could not take, it takes in the next round.

use crate::alarms::{AlarmKind, Alarms, Facts, Standing};
use crate::leader_thread::{Board, RECORD_SLOTS, RECORD_WORDS, Record, Snapshot};
use crate::network::News;
use crate::page::{LinkState, PageRequest, PageShared};
use crate::record::Health;
use crate::record::recorder::AlarmWriter;
use crate::record::schema::{AlarmChange, AlarmState};
use crate::record::tick::AlarmLevel;
use crate::status::books::{Books, Loss};
use crate::status::{ConsoleStatus, Fixed, LinkStatus, Scene};
use longhand_protocol::message::{RecordAlarm, StateCommand};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_quic::doorbell::Doorbell;
use longhand_quic::mailbox::Reader;
use longhand_quic::pace::{Granted, Scheduler, Ticker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// How often it comes round. Chosen: the page wants its view within 2 ms of asking.
const ROUND: Micros = Micros::from_millis(2);
/// The status for programs is renewed every so many rounds: 100 times a second.
const STATUS_EVERY: u64 = 5;
/// Loss is counted over this. Chosen: about a thousand commands.
const LOSS_OVER: Micros = Micros::from_secs(1);
/// An event that has no end of its own holds as an alarm's condition for this long. Chosen.
const EVENT_HOLDS: Micros = Micros::from_secs(1);

/// What the clerk shares with whoever holds the console.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) books: Mutex<Books>,
    pub(crate) status: Mutex<ConsoleStatus>,
    pub(crate) stop: AtomicBool,
}

/// What the clerk works with.
pub(crate) struct Clerk {
    pub(crate) board: Arc<Board>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) news: Receiver<News>,
    pub(crate) asks: SyncSender<StateCommand>,
    pub(crate) doorbell: Doorbell,
    pub(crate) records: Reader<RECORD_WORDS, RECORD_SLOTS>,
    pub(crate) page: Arc<PageShared>,
    pub(crate) fixed: Fixed,
    /// This console's record; `None` where there is none.
    pub(crate) record: Option<RecordEnds>,
}

/// What the clerk has of the record: changes of alarms go there, and how it does comes back.
pub(crate) struct RecordEnds {
    pub(crate) alarms: AlarmWriter,
    pub(crate) health: Arc<Health>,
}

/// What it has in its head.
#[derive(Default)]
struct Notes {
    link: LinkStatus,
    alarms: Alarms,
    snapshot: Snapshot,
    granted: Option<Granted>,
    real_time: String,
    not_real_time: Option<String>,
    record_alarm: RecordAlarm,
    /// How this console's own record does.
    self_record: RecordAlarm,
    /// The alarms as the record knows them.
    recorded: [Option<Standing>; AlarmKind::ALL.len()],
    ask_refused: Option<(String, Instant<Console>)>,
    /// The longest that the leader thread stood still lately, and when that was found.
    stalled: (Micros, Instant<Console>),
    /// Commands accepted and lost when the present second of loss counting began.
    loss_from: Option<(u64, u64, Instant<Console>)>,
    rounds: u64,
}

impl Clerk {
    /// Comes round until the desk says stop, and once more after that.
    pub(crate) fn run(mut self) {
        let mut notes =
            Notes { real_time: "real time not asked for".to_owned(), ..Notes::default() };
        let mut ticker = Ticker::<Console>::new(ROUND);
        loop {
            let is_last = self.desk.stop.load(Ordering::Acquire);
            // The time first: a snapshot read later can only be younger than it seems.
            let now = ticker.wait().woke_at;
            self.round(&mut notes, now, is_last);
            if is_last {
                return;
            }
        }
    }

    fn round(&mut self, notes: &mut Notes, now: Instant<Console>, is_last: bool) {
        while let Ok(news) = self.news.try_recv() {
            self.note_news(notes, news, now);
        }
        notes.look(&self.board, now);
        self.write_down(notes, now);
        while let Some(request) = self.page.next_request() {
            self.serve(notes, request, now);
        }
        notes.count_loss(now);
        if let Some(record) = &self.record {
            notes.self_record = record.health.alarm(now);
        }
        notes.raise(now);
        self.show_alarms(notes, now);
        if let Some(task) = self.fixed.practice.task() {
            let levels = notes.snapshot.output.map(|output| output.intent.levels);
            task.clutch(levels.is_some_and(|levels| levels.clutch));
        }
        notes.rounds = notes.rounds.saturating_add(1);
        if self.page.wants_view() {
            let view = notes.scene(now, &self.fixed).view(&lock(&self.desk.books));
            // Not taken: it is still wanted in the next round.
            let _taken = self.page.put_view(Box::new(view));
        }
        if is_last || notes.rounds.is_multiple_of(STATUS_EVERY) {
            let status = notes.scene(now, &self.fixed).status();
            *lock(&self.desk.status) = status;
        }
    }

    fn note_news(&self, notes: &mut Notes, news: News, now: Instant<Console>) {
        let link = &mut notes.link;
        match news {
            News::Link { state, words } => {
                if link.words != words {
                    tracing::info!(link = %words);
                }
                (link.state, link.words) = (state, words);
            }
            News::Refused { words, lasting } => {
                if link.refused.as_ref() != Some(&words) {
                    tracing::warn!(refused = %words);
                }
                lock(&self.desk.books).refused(&words);
                (link.refused, link.refused_for_good) = (Some(words), lasting);
            }
            News::Welcome { robot, key, terms } => {
                (link.robot, link.session, link.terms) = (robot, Some(key), Some(terms));
                (link.refused, link.refused_for_good) = (None, false);
                // The robot says it anew where it is still so.
                notes.record_alarm = RecordAlarm::None;
                notes.loss_from = None;
                lock(&self.desk.books).session_began();
            }
            News::Path { counters, wrong_size } => {
                link.datagrams_stale = counters.datagrams_stale;
                link.wrong_size = wrong_size;
            }
            News::Record(witness) => {
                notes.record_alarm = witness.alarm;
                lock(&self.desk.books).witness(witness);
            }
            News::Asked { command, refused: None } => {
                tracing::info!(accepted = command.name());
            }
            News::Asked { command, refused: Some(words) } => {
                tracing::warn!(refused = command.name(), %words);
                notes.ask_refused = Some((words, now));
            }
            News::Dead { words } => {
                tracing::error!(network = %words);
                (link.state, link.words) = (LinkState::Down, words);
            }
        }
    }

    fn write_down(&mut self, notes: &mut Notes, now: Instant<Console>) {
        let mut books = lock(&self.desk.books);
        let all = u64::try_from(RECORD_SLOTS).unwrap_or(u64::MAX);
        let drained = self.records.drain(all, |words| {
            let record = Record::from_words(words);
            if let Record::Tick(tick) = &record
                && tick.missed > 0
            {
                notes.stood_still(tick.lateness(), now);
            }
            books.record(&record);
        });
        books.records_lost = books.records_lost.saturating_add(drained.lost());
        books.tally = notes.snapshot.tally;
        if books.link != notes.link.words {
            books.link.clone_from(&notes.link.words);
        }
        if books.real_time != notes.real_time {
            books.real_time.clone_from(&notes.real_time);
        }
    }

    /// Says to the record which alarms are shown, and what of them has changed.
    fn show_alarms(&mut self, notes: &mut Notes, now: Instant<Console>) {
        let Some(record) = &mut self.record else { return };
        let standings = notes.alarms.standings();
        let shown = standings.iter().flatten();
        let level = AlarmLevel {
            count: u32::try_from(shown.clone().count()).unwrap_or(u32::MAX),
            most: shown.filter(|standing| standing.holds).map(|standing| standing.priority).max(),
        };
        self.board.alarms.store(level.word(), Ordering::Relaxed);
        let before = std::mem::replace(&mut notes.recorded, standings);
        for ((kind, before), after) in AlarmKind::ALL.into_iter().zip(before).zip(standings) {
            if let Some(change) = change(kind, before, after, now) {
                record.alarms.push(&change.words());
            }
        }
    }

    fn serve(&self, notes: &mut Notes, request: PageRequest, now: Instant<Console>) {
        match request {
            PageRequest::Acknowledge(id) => notes.alarms.acknowledge(id),
            PageRequest::TaskAgain => {
                if let Some(task) = self.fixed.practice.task() {
                    task.again();
                }
            }
            PageRequest::StateCommand(command) => {
                let name = command.name();
                // A lease that was taken over is asked back by a resume.
                let asks_back = command == StateCommand::Resume && notes.link.refused_for_good;
                if notes.link.state != LinkState::Up && !asks_back {
                    let words = format!("{name} was not sent: there is no session with the robot");
                    notes.ask_refused = Some((words, now));
                } else if self.asks.try_send(command).is_err() {
                    let words = format!("{name} was not sent: too many requests wait; try again");
                    notes.ask_refused = Some((words, now));
                } else {
                    self.doorbell.ring();
                }
            }
        }
    }
}

/// How an alarm stands now, where it stood otherwise.
fn change(
    kind: AlarmKind,
    before: Option<Standing>,
    after: Option<Standing>,
    at: Instant<Console>,
) -> Option<AlarmChange> {
    if before == after {
        return None;
    }
    let state = match after {
        None => AlarmState::Gone,
        Some(Standing { holds: true, .. }) => AlarmState::Raised,
        Some(Standing { holds: false, .. }) => AlarmState::Over,
    };
    let Standing { id, priority, mut acknowledged, .. } = after.or(before)?;
    // One that stays goes only once it was: it may have been in this very round.
    acknowledged |= after.is_none() && kind.stays();
    Some(AlarmChange { at, id, kind, priority, state, acknowledged })
}

impl Notes {
    /// Takes over what the leader thread shows, if it is not showing just now.
    fn look(&mut self, board: &Board, now: Instant<Console>) {
        match board.snapshot.try_lock() {
            Ok(shown) => self.snapshot = *shown,
            Err(TryLockError::Poisoned(poisoned)) => self.snapshot = *poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        if self.granted.is_none()
            && let Some(leader) = board.leader_granted.get()
            && let Some(pump) = board.pump_granted.get()
        {
            self.granted = Some(*leader);
            self.real_time = format!("leader {leader}; network {}", scheduler_words(pump));
            self.not_real_time = leader.consequences().next().map(str::to_owned);
        }
        if self.snapshot.tally.ticks > 0 && !board.stop.load(Ordering::Acquire) {
            self.stood_still(now.since(self.snapshot.at), now);
        }
    }

    fn stood_still(&mut self, span: Micros, now: Instant<Console>) {
        let (worst, at) = self.stalled;
        if span > worst || now.since(at) > EVENT_HOLDS {
            self.stalled = (span, now);
        }
    }

    /// Once a second, from the robot's own counters, less what this console never sent.
    fn count_loss(&mut self, now: Instant<Console>) {
        if !self.snapshot.is_current {
            self.loss_from = None;
            return;
        }
        let tally = &self.snapshot.tally;
        let (accepted, lost) = (tally.commands_accepted, tally.commands_lost);
        let Some((accepted_from, lost_from, at)) = self.loss_from else {
            self.loss_from = Some((accepted, lost, now));
            return;
        };
        if now.since(at) >= LOSS_OVER {
            let loss =
                Loss::new(accepted.saturating_sub(accepted_from), lost.saturating_sub(lost_from));
            self.link.loss_percent = loss.lost_percent;
            self.loss_from = Some((accepted, lost, now));
        }
    }

    fn raise(&mut self, now: Instant<Console>) {
        if self.ask_refused.as_ref().is_some_and(|(_, at)| now.since(*at) > EVENT_HOLDS) {
            self.ask_refused = None;
        }
        let (stalled, found_at) = self.stalled;
        let is_recent = now.since(found_at) <= EVENT_HOLDS;
        let current = self.snapshot.report.filter(|_| self.snapshot.is_current);
        self.alarms.observe(
            now,
            &Facts {
                had_session: self.snapshot.tally.sessions > 0,
                state_age: current.map(|(_, at)| now.since(at)),
                state: self.snapshot.report.as_ref().map(|(report, _)| &report.state),
                terms: self.link.terms.as_ref(),
                refused: self.link.refused.as_deref(),
                ask_refused: self.ask_refused.as_ref().map(|(words, _)| words.as_str()),
                altered: self.snapshot.altered_at.is_some_and(|at| now.since(at) <= EVENT_HOLDS),
                stalled: if is_recent { stalled } else { Micros::ZERO },
                not_real_time: self.not_real_time.as_deref(),
                record: self.record_alarm,
                self_record: self.self_record,
            },
        );
    }

    fn scene<'a>(&'a self, now: Instant<Console>, fixed: &'a Fixed) -> Scene<'a> {
        Scene {
            now,
            fixed,
            link: &self.link,
            snapshot: &self.snapshot,
            alarms: self.alarms.views(now),
            real_time: &self.real_time,
        }
    }
}

/// Of the network thread only what may differ from the leader thread's.
fn scheduler_words(granted: &Granted) -> String {
    match granted.scheduler {
        Scheduler::Fifo(priority) => format!("SCHED_FIFO {}", priority.get()),
        Scheduler::Normal(why) => format!("normal priority ({why})"),
    }
}

/// Plain values, whole at every moment: a poisoned lock is used all the same.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
