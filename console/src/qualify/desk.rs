//! What passes between the threads of a measurement.
//!
//! Knows: which probes are due, and what became of them. Does not know: how they travel.
//!
//! Bounds, and what happens when they are reached: 256 probes may be due and unsent, the oldest is
//! left out and counted as this machine's doing; 16384 events may wait for the ledger, the newest
//! is dropped and counted.

use longhand_protocol::probe::ProbeAnswer;
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pace::{Priority, RealTime, Ticker};
use longhand_quic::trust::PeerIdentity;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// The pacer's priority. Chosen: the leader's place, just above the pump (70).
pub(super) const PACER_PRIORITY: Priority = Priority::new(75);
const DUE_MAX: usize = 256;
const EVENTS_MAX: usize = 16_384;

/// What the ledger is to know.
#[expect(clippy::large_enum_variant, reason = "they lie in a queue of fixed size, made once")]
pub(super) enum Event {
    Sent(u64, Instant<Console>),
    NotSent(u64),
    NoSession(u64),
    Answer(ProbeAnswer, Instant<Console>),
    /// The robot no longer knew the session.
    Forgotten(Instant<Console>),
}

/// The one place that the threads of one road share.
pub(super) struct Desk {
    pub(super) bell: Doorbell,
    due: Mutex<VecDeque<u64>>,
    /// 0: not ready; else the twin's port plus one.
    ready: AtomicU32,
    sessions: AtomicU64,
    begin_us: AtomicU64,
    last_due: AtomicU64,
    dropped: AtomicU64,
    words: Mutex<(String, bool)>,
    over: OnceLock<(String, u64)>,
    robot: OnceLock<PeerIdentity>,
    tell: SyncSender<Event>,
    told: Mutex<Receiver<Event>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Who panicked while holding it left plain values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(super) fn new() -> io::Result<Self> {
        let (tell, told) = sync_channel(EVENTS_MAX);
        Ok(Self {
            bell: Doorbell::new()?,
            due: Mutex::new(VecDeque::with_capacity(DUE_MAX)),
            ready: AtomicU32::new(0),
            sessions: AtomicU64::new(0),
            begin_us: AtomicU64::new(0),
            last_due: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            words: Mutex::default(),
            over: OnceLock::new(),
            robot: OnceLock::new(),
            tell,
            told: Mutex::new(told),
        })
    }

    /// Probes are answered from now on.
    pub(super) fn begin(&self, twin_port: u16) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.ready.store(u32::from(twin_port) + 1, Ordering::Release);
    }

    /// The session is gone.
    pub(super) fn end(&self) {
        self.ready.store(0, Ordering::Release);
        for number in lock(&self.due).drain(..) {
            self.tell(Event::NoSession(number));
        }
    }

    /// The twin's port, once probes are answered.
    pub(super) fn ready(&self) -> Option<u16> {
        u16::try_from(self.ready.load(Ordering::Acquire).checked_sub(1)?).ok()
    }

    pub(super) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// How the session stands, and whether it will stay so until somebody does something.
    pub(super) fn words(&self) -> (String, bool) {
        lock(&self.words).clone()
    }

    pub(super) fn say(&self, words: String, lasting: bool) {
        *lock(&self.words) = (words, lasting);
    }

    /// Whom a session was made with. Its number is asked for, so that it is the same each time.
    pub(super) fn meet(&self, robot: &PeerIdentity) {
        let _known = self.robot.set(robot.clone());
    }

    /// Whom the first session was made with.
    pub(super) fn robot(&self) -> Option<&PeerIdentity> {
        self.robot.get()
    }

    /// The robot will not be measured any more, for this reason.
    pub(super) fn be_over(&self, words: String) {
        // The first reason is the reason.
        let _known = self.over.set((words, self.last_due()));
    }

    /// Why it will not be measured any more, and the newest number that was due when it said so.
    pub(super) fn over(&self) -> Option<&(String, u64)> {
        self.over.get()
    }

    pub(super) fn tell(&self, event: Event) {
        if self.tell.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything told since the last call.
    pub(super) fn take(&self, mut each: impl FnMut(Event)) {
        let told = lock(&self.told);
        while let Ok(event) = told.try_recv() {
            each(event);
        }
    }

    /// Events that found no room: the ledger was not kept in time.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// When number 1 was due; `None` before the pacer has begun.
    pub(super) fn begun_us(&self) -> Option<u64> {
        Some(self.begin_us.load(Ordering::Acquire)).filter(|us| *us > 0)
    }

    /// The newest number that was due.
    pub(super) fn last_due(&self) -> u64 {
        self.last_due.load(Ordering::Acquire)
    }

    /// The pacer: the schedule begins.
    pub(super) fn begin_at(&self, at: Instant<Console>) {
        self.begin_us.store(at.as_micros(), Ordering::Release);
    }

    /// The pacer: this number is due now.
    pub(super) fn is_due(&self, number: u64) {
        self.last_due.fetch_max(number, Ordering::AcqRel);
        if self.ready().is_none() {
            return self.tell(Event::NoSession(number));
        }
        let mut due = lock(&self.due);
        if due.len() >= DUE_MAX
            && let Some(oldest) = due.pop_front()
        {
            self.tell(Event::NotSent(oldest));
        }
        due.push_back(number);
    }

    /// The sender: the next that is due, and whether more are.
    pub(super) fn next_due(&self) -> Option<(u64, bool)> {
        let mut due = lock(&self.due);
        let number = due.pop_front()?;
        Some((number, !due.is_empty()))
    }
}

/// The number due at `at`, of a schedule that began at `begin`.
pub(super) fn number_at(begin: Instant<Console>, at: Instant<Console>, period: Micros) -> u64 {
    (at.since(begin).as_micros() / period.as_micros().max(1)).saturating_add(1)
}

/// Says at each slot which probe is due, and beyond the last until stopped: later answers tell of
/// the last slots.
pub(super) fn pace(
    desk: &Arc<Desk>,
    period: Micros,
    slots: u64,
    real_time: bool,
    stop: &Stop,
) -> io::Result<JoinHandle<String>> {
    let (desk, stop) = (Arc::clone(desk), stop.clone());
    std::thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        let held = real_time.then(|| RealTime::acquire(PACER_PRIORITY, None));
        let mut ticker = Ticker::<Console>::new(period);
        let begin = ticker.due();
        desk.begin_at(begin);
        let longest = slots.saturating_add(TAIL_MAX);
        while !stop.is_stopped() {
            let tick = ticker.wait();
            let first = number_at(begin, tick.scheduled_at, period);
            // A slot that came due while this thread slept is sent late, not left out.
            for number in first..=first.saturating_add(tick.missed).min(longest) {
                desk.is_due(number);
            }
            desk.bell.ring();
        }
        held.map_or_else(
            || "normal priority, as asked".to_owned(),
            |held| held.granted().to_string(),
        )
    })
}

/// Slots behind the last at most: they only carry news of the last. Chosen: far more than the
/// drain takes at 2 kHz.
const TAIL_MAX: u64 = 100_000;

/// Now, as the ledger counts.
pub(super) fn now_us() -> u64 {
    console_now().as_micros()
}
