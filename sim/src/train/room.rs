//! The practice room: a task beside a robot agent that runs in real time.
//!
//! Knows: how the robot's states become the episode's milliseconds, and which picture belongs to
//! which state. Does not know: what counts (`longhand-train`), the page, or how the robot moves.
//!
//! The episode has a thread of its own, which follows the robot by its states and is waited for by
//! nobody: a state that finds it busy for too long is left out, and the milliseconds that are
//! missing are lived through with the last known poses, counted, and told.

use super::hand::{Frames, Shutter, said};
use longhand_console::PracticeTask;
use longhand_protocol::message::FollowerState;
use longhand_protocol::units::{Instant, Micros, Robot, TICK};
use longhand_train::episode::{Episode, Tick};
use longhand_train::picture::Picture;
use longhand_train::score::Score;
use longhand_train::task::Task;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// States that may wait for the episode. Chosen: two seconds of them.
const WAITING: usize = 2_048;
/// A longer silence of the robot is not lived through. Chosen: what waits at most.
const SILENCE_MAX: u64 = 2_048;

/// What became of one try at the task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attempt {
    /// The seed: where the rings lay.
    pub seed: u64,
    /// Done, and before the cut-off.
    pub finished: bool,
    /// Milliseconds of which the robot's poses were not known, because this machine stood still.
    pub missing_ms: u64,
    /// Over every object's pose and speed of every millisecond.
    pub world_hash: String,
    /// The score.
    pub score: Score,
}

/// The room's door: what the robot's thread, the console's clerk and the command hold of it.
pub struct Room {
    states: SyncSender<FollowerState>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    frames: Frames<Value>,
    clutch: AtomicBool,
    again: AtomicBool,
    left_out: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

/// The room's thread; it ends when every [`Room`] is gone, and leaves its attempts behind.
#[derive(Debug)]
pub struct Episodes {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Room {
    /// Opens a room for `task`.
    ///
    /// Errors: the system refused a thread.
    pub fn open(task: Task, seed: u64) -> io::Result<(Arc<Self>, Episodes)> {
        let (states, taken) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = Builder::new()
            .name("task".to_owned())
            .spawn(move || Run::new(task, seed, &seen).run(&taken))?;
        let room = Arc::new(Self { states, shared: Arc::clone(&shared) });
        Ok((room, Episodes { thread, shared }))
    }

    /// Takes what the robot says, every tick of it. Waits for nobody.
    pub fn see(&self, state: &FollowerState) {
        if let Err(TrySendError::Full(_)) = self.states.try_send(*state) {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PracticeTask for Room {
    fn picture(&self, at: Instant<Robot>) -> Option<Arc<Value>> {
        self.shared.frames.at(at)
    }

    fn again(&self) {
        self.shared.again.store(true, Ordering::Relaxed);
    }

    fn clutch(&self, is_pressed: bool) {
        self.shared.clutch.store(is_pressed, Ordering::Relaxed);
    }
}

impl Episodes {
    /// What became of every attempt, the last one as it stands. Drop every [`Room`] first.
    pub fn end(self) -> Vec<Attempt> {
        // A thread that panicked has said so; what it had written down is still there.
        let _ended = self.thread.join();
        std::mem::take(&mut *self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One episode after the other.
struct Run<'a> {
    task: Task,
    seed: u64,
    shared: &'a Shared,
    episode: Episode,
    shutter: Shutter,
    last: Option<(Instant<Robot>, Tick)>,
    began: Option<Instant<Robot>>,
    missing_ms: u64,
    has_moved: bool,
}

impl<'a> Run<'a> {
    fn new(task: Task, seed: u64, shared: &'a Shared) -> Self {
        Self {
            episode: Episode::new(task.clone(), seed),
            task,
            seed,
            shared,
            shutter: Shutter::default(),
            last: None,
            began: None,
            missing_ms: 0,
            has_moved: false,
        }
    }

    fn run(mut self, states: &Receiver<FollowerState>) {
        for state in states {
            if self.shared.again.swap(false, Ordering::Relaxed) {
                self.begin_anew();
            }
            self.live(&state);
        }
        self.write_down();
    }

    /// The milliseconds up to this state.
    fn live(&mut self, state: &FollowerState) {
        let now = state.robot_time;
        let tick = said(state, self.shared.clutch.load(Ordering::Relaxed));
        if let Some((before, last)) = self.last {
            let ticks = now.since(before).as_micros().saturating_add(TICK.as_micros() / 2)
                / TICK.as_micros();
            // A tick that came a little early or late is still one; two in one do not happen.
            let missing = ticks.saturating_sub(1).min(SILENCE_MAX);
            (0..missing).for_each(|_| self.episode.tick(&last));
            self.missing_ms = self.missing_ms.saturating_add(missing);
        }
        self.episode.tick(&tick);
        self.last = Some((now, tick));
        self.has_moved |= self.episode.has_begun();
        let began = *self.began.get_or_insert(now);
        if self.shutter.opens(now.since(began)) {
            let picture = serde_json::to_value(Picture::of(&self.episode));
            // Numbers and words alone: there is nothing in a picture that JSON has no form for.
            self.shared.frames.take(now, picture.unwrap_or_default());
        }
    }

    fn begin_anew(&mut self) {
        self.write_down();
        self.seed = self.seed.wrapping_add(1);
        self.episode = Episode::new(self.task.clone(), self.seed);
        (self.missing_ms, self.has_moved) = (0, false);
    }

    /// An attempt in which the robot never followed is none.
    fn write_down(&self) {
        if !self.has_moved {
            return;
        }
        let score = self.episode.score();
        let finished = score.completed && score.time_s <= self.task.time_s;
        let attempt = Attempt {
            seed: self.seed,
            finished,
            missing_ms: self.missing_ms,
            world_hash: format!("{:016x}", self.episode.hash()),
            score,
        };
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }
}

/// How long an attempt has run, for people.
pub fn in_words(attempt: &Attempt, limit_s: f64) -> String {
    let score = &attempt.score;
    let end = if attempt.finished { "done" } else { "not done" };
    format!(
        "{end}: {} of {} moves in {:.1} s of {limit_s:.0} s, {:.1} points ({:.0} s of penalties)",
        score.moves, score.moves_in_all, score.time_s, score.points, score.penalties_s
    )
}

const _: () = assert!(Micros::from_millis(1).as_micros() == TICK.as_micros());
