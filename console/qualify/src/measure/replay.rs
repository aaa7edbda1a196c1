//! Would the watchdog have tripped? Measured arrivals, through the shipped playout and watchdog.
//!
//! Knows: when each probe came, played as if it were a command. Does not know: any rule of its own:
//! whose turn a command is and how old it is are `longhand_follower`'s answers, at every tick.
//!
//! A *safe stop* is counted when the watchdog first says Silent or worse; the next one can come
//! after 100 ms of fresh commands, as the arm's own Hold ends (design.md section 6). Rates are of
//! the time in which the arm could move, as the product's own reports count them: an arm that
//! stands all the time stops seldom, and nobody would call that good.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use longhand_follower::playout::{Inbound, Playout};
use longhand_follower::profile::{PlayoutLimits, Profile, StageLimits};
use longhand_follower::watchdog::{Freshness, Watchdog};
use longhand_protocol::message::{Command, Intent};
use longhand_protocol::units::{Instant, Micros, Robot, Seq, TICK};
use serde::{Deserialize, Serialize};

use super::quantile::poisson;
use crate::number::{ms, real};

/// Ages at which the arm brakes, ms. Source: links.md section 8, V10: "for thresholds 10 to 500".
pub const THRESHOLDS_MS: [u64; 10] = [10, 20, 30, 50, 75, 100, 150, 200, 300, 500];
/// The most that the playout buffer may add, ms. 20 and 100 are the shipped profiles'.
pub const PLAYOUTS_MS: [u64; 9] = [5, 10, 20, 30, 50, 75, 100, 150, 200];

/// What a playout buffer of one size would have made of the link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// The most that the buffer may add, ms.
    pub playout_ms: u64,
    /// What it added on average, ms.
    pub added_mean_ms: f64,
    /// For each of `thresholds_ms`: safe stops.
    pub stops: Vec<u64>,
    /// Of those: what the link surely did. The others are of slots of which nobody knows.
    pub stops_sure: Vec<u64>,
    /// For each of them: how long the arm could move, s.
    pub moving_s: Vec<f64>,
    /// The same where all that nobody knows had come, s.
    pub moving_most_s: Vec<f64>,
    /// Safe stops per hour of that.
    pub stops_per_hour: Vec<f64>,
    /// The most per hour that the link's own rate may be, 95 %; none seen may be three.
    pub stops_per_hour_high: Vec<f64>,
}

/// The replay of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Hours played.
    pub hours: f64,
    /// The ages at which the arm brakes, ms.
    pub thresholds_ms: Vec<u64>,
    /// Each size of the playout buffer.
    pub played: Vec<Played>,
}

impl Replay {
    /// The smallest playout buffer with which safe stops at the shipped 10 ms threshold are surely
    /// rarer than `per_hour`, ms; `None` where none of those tried is.
    pub fn enough_ms(&self, per_hour: f64) -> Option<u64> {
        let rare =
            |played: &&Played| played.stops_per_hour_high.first().is_some_and(|h| *h < per_hour);
        self.played.iter().find(rare).map(|played| played.playout_ms)
    }

    /// This replay, with what is sure from one in which all came of which nobody knows.
    #[must_use]
    pub fn surely(mut self, best: &Self) -> Self {
        for (played, best) in self.played.iter_mut().zip(&best.played) {
            played.stops_sure.clone_from(&best.stops);
            played.moving_most_s.clone_from(&best.moving_s);
        }
        self
    }

    /// One cell: stops an hour (seen, and the most that it may be).
    pub fn cell(&self, playout_ms: u64, threshold_ms: u64) -> Option<(f64, f64)> {
        let column = self.thresholds_ms.iter().position(|t| *t == threshold_ms)?;
        let played = self.played.iter().find(|played| played.playout_ms == playout_ms)?;
        Some((*played.stops_per_hour.get(column)?, *played.stops_per_hour_high.get(column)?))
    }
}

/// Plays arrivals as they are handed in, in the order of the schedule.
///
/// A stretch at a time: each playout buffer hears it alone, so that it stays in its processor's
/// cache, and as many at once as there are processors. What comes out is the same.
pub struct Player {
    period_us: u64,
    waiting: BinaryHeap<Reverse<(u64, u64)>>,
    now_us: u64,
    heard: Vec<Heard>,
    lanes: Vec<Lane>,
    threads: usize,
    has_come: bool,
}

/// What every playout buffer hears, in order.
#[derive(Clone, Copy)]
enum Heard {
    /// A command of this number came then, us.
    Came { number: u64, at_us: u64 },
    /// A tick.
    Tick { now_us: u64 },
}

struct Lane {
    playout_ms: u64,
    playout: Box<Playout>,
    dogs: Vec<Watchdog>,
    stopped: Vec<bool>,
    fresh_since_us: u64,
    stops: Vec<u64>,
    moving: Vec<u64>,
    added_us: i64,
    ticks: u64,
}

/// Everything happens so long after zero, so that no instant lies before the clock's origin, us.
const ORIGIN_US: u64 = 1_000_000;
/// What is played at once. Chosen: 16 s and half a megabyte; starting a thread is nothing to it.
const STRETCH: usize = 32_768;

impl Player {
    /// For a schedule of this period. Commands come at 1 kHz: `None` for a schedule that is slower,
    /// or not a whole number of times as fast; of a faster one every command's share is played.
    pub fn new(period_us: u64) -> Option<Self> {
        if period_us == 0 || !TICK.as_micros().is_multiple_of(period_us) {
            return None;
        }
        let lanes: Vec<Lane> = PLAYOUTS_MS.into_iter().map(Lane::new).collect();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (waiting, heard) = (BinaryHeap::new(), Vec::with_capacity(STRETCH));
        let (now_us, has_come) = (ORIGIN_US, false);
        Some(Self { period_us, waiting, now_us, heard, lanes, threads, has_come })
    }

    /// The next slot: how late it came to the robot against the least, us; `None` if never.
    pub fn slot(&mut self, place: u64, late_us: Option<i64>) {
        let every = (TICK.as_micros() / self.period_us).max(1);
        if !place.is_multiple_of(every) {
            return;
        }
        let due = ORIGIN_US + place * self.period_us;
        // Whatever comes from here on comes after this: nothing is faster than the least.
        while self.now_us < due {
            self.tick();
        }
        if let Some(late) = late_us.and_then(|late| u64::try_from(late).ok()) {
            self.has_come = true;
            self.waiting.push(Reverse((due + late, place / every + 1)));
        }
    }

    fn tick(&mut self) {
        self.now_us += TICK.as_micros();
        while let Some(Reverse((at_us, number))) = self.waiting.peek().copied() {
            if at_us > self.now_us {
                break;
            }
            self.waiting.pop();
            self.hear(Heard::Came { number, at_us });
        }
        self.hear(Heard::Tick { now_us: self.now_us });
    }

    fn hear(&mut self, heard: Heard) {
        if self.heard.len() >= STRETCH {
            self.play();
        }
        self.heard.push(heard);
    }

    fn play(&mut self) {
        let (heard, each) = (&self.heard, self.lanes.len().div_ceil(self.threads).max(1));
        std::thread::scope(|scope| {
            let mut parts = self.lanes.chunks_mut(each);
            let mine = parts.next();
            for part in parts {
                scope.spawn(move || part.iter_mut().for_each(|lane| lane.play(heard)));
            }
            mine.into_iter().flatten().for_each(|lane| lane.play(heard));
        });
        self.heard.clear();
    }

    /// What came of it; `None` where nothing came to be played.
    pub fn finish(mut self) -> Option<Replay> {
        if !self.has_come {
            return None;
        }
        self.play();
        let hours = real(self.now_us - ORIGIN_US) * 1e-6 / 3_600.0;
        let played = self.lanes.into_iter().map(Lane::played).collect();
        Some(Replay { hours, thresholds_ms: THRESHOLDS_MS.to_vec(), played })
    }
}

impl Lane {
    fn new(playout_ms: u64) -> Self {
        let limits = PlayoutLimits {
            delay_max: Micros::from_millis(playout_ms),
            lateness: Profile::DEFAULT.playout.lateness,
        };
        let dog = |threshold: u64| {
            let never = Micros::MAX;
            Watchdog::new(StageLimits {
                brake_after: Micros::from_millis(threshold),
                hold_after: never,
                latch_after: never,
                bedside_after: never,
                ..Profile::DEFAULT.stages
            })
        };
        Self {
            playout_ms,
            playout: Box::new(Playout::new(limits)),
            dogs: THRESHOLDS_MS.into_iter().map(dog).collect(),
            stopped: vec![false; THRESHOLDS_MS.len()],
            fresh_since_us: 0,
            stops: vec![0; THRESHOLDS_MS.len()],
            moving: vec![0; THRESHOLDS_MS.len()],
            added_us: 0,
            ticks: 0,
        }
    }

    fn play(&mut self, heard: &[Heard]) {
        for one in heard {
            match *one {
                Heard::Came { number, at_us } => self.playout.push(inbound(number, at_us)),
                Heard::Tick { now_us } => self.tick(Instant::from_micros(now_us)),
            }
        }
    }

    fn tick(&mut self, now: Instant<Robot>) {
        let fresh_after = Profile::DEFAULT.stages.rejoin_good;
        let Some(pick) = self.playout.pick(now, true) else { return };
        self.added_us = self
            .added_us
            .saturating_add(i64::try_from(self.playout.added_delay().as_micros()).unwrap_or(0));
        self.ticks += 1;
        let mut is_fresh = true;
        for ((dog, stopped), stops) in self.dogs.iter().zip(&mut self.stopped).zip(&mut self.stops)
        {
            let freshness = dog.judge(Some(&pick)).freshness;
            is_fresh = is_fresh && freshness == Freshness::Fresh;
            if freshness < Freshness::Silent {
                // The thresholds rise: what the shortest bears, all do.
                break;
            }
            if !*stopped {
                *stops += 1;
                *stopped = true;
            }
        }
        if !is_fresh {
            self.fresh_since_us = now.as_micros();
        } else if now.as_micros().saturating_sub(self.fresh_since_us) >= fresh_after.as_micros() {
            self.stopped.fill(false);
        }
        for (moving, stopped) in self.moving.iter_mut().zip(&self.stopped) {
            *moving += u64::from(!*stopped);
        }
    }

    fn played(self) -> Played {
        let tick_s = TICK.as_secs_f64();
        let moving_s: Vec<f64> = self.moving.iter().map(|ticks| real(*ticks) * tick_s).collect();
        // An arm that could never move stopped in its first tick.
        let per_hour = |stops: f64, moving: &f64| stops / moving.max(tick_s) * 3_600.0;
        let both = || self.stops.iter().zip(&moving_s);
        let ticks = i64::try_from(self.ticks).unwrap_or(i64::MAX).max(1);
        Played {
            playout_ms: self.playout_ms,
            added_mean_ms: ms(self.added_us / ticks),
            stops_per_hour: both().map(|(stops, s)| per_hour(real(*stops), s)).collect(),
            stops_per_hour_high: both().map(|(stops, s)| per_hour(poisson(*stops).1, s)).collect(),
            moving_most_s: moving_s.clone(),
            moving_s,
            stops_sure: self.stops.clone(),
            stops: self.stops,
        }
    }
}

/// A command that does nothing but be due: by its number, every tick.
fn inbound(number: u64, at_us: u64) -> Inbound {
    let hand_time = Instant::from_micros(ORIGIN_US + (number - 1) * TICK.as_micros());
    let intent = Intent { hand_time, valid_for: Micros::MAX, ..Intent::default() };
    let command = Command { number: Seq::new(number), intent, ..Command::default() };
    Inbound { command, received_at: Instant::from_micros(at_us), checksum: 0 }
}
