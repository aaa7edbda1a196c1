//! What the link does to a packet: lose it, keep it, or say when it arrives.
//!
//! Knows: the order in which a packet meets outage, loss, queue, delay and disturbance, and that
//! deliveries keep their order. Does not know: the packets themselves (`pipe` keeps them), or the
//! time (it is handed `now`).
//!
//! A packet's fate is decided when it is offered, by the state of the link at that instant. One
//! that is already under way when an outage begins arrives.

mod replay;
mod sample;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;

use longhand_protocol::units::{Instant, Link, Micros};

use crate::number::{Chance, len, probability, shifted};
use crate::process::jitter::{JitterProcess, aligned};
use crate::process::loss::LossProcess;
use crate::process::queue::Queue;
use crate::process::timeline::{LinkEvent, Timeline, Weather};
use crate::profile::{Direction, Directions, Loss, Path, Profile};
use crate::trace::Trace;
use replay::{Moment, Replay};

pub use sample::{Sampled, sample};

/// Live black holes remembered at once. Chosen: an instructor's hand needs one or two.
pub const BLACK_HOLES_MAX: usize = 16;

/// What a link is made from.
#[derive(Clone, Debug)]
pub enum LinkModel {
    /// A statistical profile.
    Profile(&'static Profile),
    /// A recording.
    Trace(Arc<Trace>),
}

impl LinkModel {
    /// The profile's name, or "trace".
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Profile(profile) => profile.name,
            Self::Trace(_) => "trace",
        }
    }
}

impl From<&'static Profile> for LinkModel {
    fn from(profile: &'static Profile) -> Self {
        Self::Profile(profile)
    }
}

impl From<Trace> for LinkModel {
    fn from(trace: Trace) -> Self {
        Self::Trace(Arc::new(trace))
    }
}

/// Faults laid over the model, for tests and drills. Probabilities outside `[0, 1]` are brought
/// inside; NaN is zero. The default disturbs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disturb {
    /// Loss of each packet by itself, in place of the model's own loss (outages stay).
    pub loss: Option<f64>,
    /// Share of packets that arrive twice, the copy right behind.
    pub duplicate: f64,
    /// Share of packets with one bit wrong.
    pub corrupt: f64,
    /// Share of packets that others may overtake.
    pub reorder: f64,
    /// How much later such a packet arrives.
    pub reorder_by: Micros,
}

/// Why a packet was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// The model's loss, or the loss laid over it.
    Loss,
    /// An outage of the model that drops.
    Outage,
    /// A black hole, of the drill or by hand.
    BlackHole,
    /// It would have waited too long for the line.
    QueueFull,
    /// Longer than the path carries.
    TooLong,
    /// The recording has no data here.
    TraceGap,
    /// The recording is over and declares no seam to loop at.
    TraceEnded,
    /// The pipe was full: the newest is dropped.
    PipeFull,
}

impl DropCause {
    /// Every cause, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Loss,
        Self::Outage,
        Self::BlackHole,
        Self::QueueFull,
        Self::TooLong,
        Self::TraceGap,
        Self::TraceEnded,
        Self::PipeFull,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Outage => "outage",
            Self::BlackHole => "black_hole",
            Self::QueueFull => "queue_full",
            Self::TooLong => "too_long",
            Self::TraceGap => "trace_gap",
            Self::TraceEnded => "trace_ended",
            Self::PipeFull => "pipe_full",
        }
    }
}

/// When and how a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant<Link>,
    /// When its second copy arrives, if there is one.
    pub copy_at: Option<Instant<Link>>,
    /// The bit that is wrong in it, counted from the first bit of the first byte.
    pub wrong_bit: Option<u64>,
}

/// What the link does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Deliver(Arrival),
    /// It does not.
    Drop(DropCause),
}

/// What one direction has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Packets offered.
    pub offered: u64,
    /// Packets that arrive (copies not counted).
    pub delivered: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Packets with a wrong bit.
    pub corrupted: u64,
    /// Packets others may have overtaken.
    pub reordered: u64,
    /// Packets that waited for the end of an outage.
    pub held: u64,
    dropped: [u64; DropCause::ALL.len()],
}

impl LaneStats {
    /// Packets lost for one cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        DropCause::ALL.iter().zip(self.dropped).find(|(c, _)| **c == cause).map_or(0, |(_, n)| n)
    }

    /// Packets lost for any cause.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) fn drop(&mut self, cause: DropCause) {
        for (known, n) in DropCause::ALL.iter().zip(&mut self.dropped) {
            *n = n.saturating_add(u64::from(*known == cause));
        }
    }
}

/// What the link has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Console to robot.
    pub up: LaneStats,
    /// Robot to console.
    pub down: LaneStats,
}

impl LinkStats {
    /// One direction.
    pub const fn lane(&self, direction: Direction) -> &LaneStats {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(crate) const fn lane_mut(&mut self, direction: Direction) -> &mut LaneStats {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// No more live black holes fit; wait until one is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyBlackHoles;

impl fmt::Display for TooManyBlackHoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BLACK_HOLES_MAX} black holes are already set; wait until one is over")
    }
}

impl core::error::Error for TooManyBlackHoles {}

/// The link. Both directions, one timeline.
#[derive(Clone, Debug)]
pub struct Emulator {
    seed: u64,
    generation: u64,
    start: Instant<Link>,
    now: Instant<Link>,
    source: Source,
    disturb: Disturb,
    black_holes: VecDeque<BlackHole>,
    up: Lane,
    down: Lane,
    stats: LinkStats,
}

#[derive(Clone, Debug)]
enum Source {
    Profile { timeline: alloc::boxed::Box<Timeline> },
    Trace { up: Replay, down: Replay },
}

#[derive(Clone, Copy, Debug)]
struct BlackHole {
    directions: Directions,
    from: Instant<Link>,
    until: Instant<Link>,
}

/// The state of one direction. Only `last` outlives a change of model: the new line starts empty.
#[derive(Clone, Debug)]
struct Lane {
    path: Path,
    jitter: JitterProcess,
    loss: LossProcess,
    packets: Chance,
    queue: Queue,
    last: Instant<Link>,
}

/// A trace brings its own delay, loss and rate: the path under it is empty.
const BARE: Path = Path {
    base: Micros::ZERO,
    jitter: crate::profile::Jitter { target: &[], correlation: Micros::ZERO, drawn: None },
    loss: Loss::None,
    rate: None,
    radio: crate::profile::Radio::NONE,
};

impl Emulator {
    /// A link whose time begins at the clock's zero. Same model, same seed, same offers: same
    /// fates.
    pub fn new(model: LinkModel, seed: u64) -> Self {
        Self::starting_at(model, seed, Instant::ORIGIN)
    }

    /// A link whose time begins at `start`: second 0 of its minute, row 0 of its trace.
    pub fn starting_at(model: LinkModel, seed: u64, start: Instant<Link>) -> Self {
        let mut streams = Streams::new(seed, 0);
        let (up, down) = paths(&model);
        Self {
            seed,
            generation: 0,
            start,
            now: start,
            up: Lane::new(up, &mut streams),
            down: Lane::new(down, &mut streams),
            source: Source::new(model, start, &mut streams),
            disturb: Disturb::default(),
            black_holes: VecDeque::with_capacity(BLACK_HOLES_MAX),
            stats: LinkStats::default(),
        }
    }

    /// The same link with faults laid over it.
    #[must_use]
    pub fn with_disturb(mut self, disturb: Disturb) -> Self {
        self.set_disturb(disturb);
        self
    }

    /// Lays other faults over the link from now on.
    pub fn set_disturb(&mut self, disturb: Disturb) {
        self.disturb = disturb;
    }

    /// The seed it was made with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Replaces the model from `now` on. Packets under way keep their fate, order is kept across
    /// the change, counts go on; the new model's time begins at `now`, on chance of its own.
    pub fn set_model(&mut self, now: Instant<Link>, model: LinkModel) {
        self.generation = self.generation.saturating_add(1);
        let mut streams = Streams::new(self.seed, self.generation);
        let (up, down) = paths(&model);
        self.now = self.now.max(now);
        self.start = self.now;
        for (lane, path) in [(&mut self.up, up), (&mut self.down, down)] {
            let last = lane.last;
            *lane = Lane { last, ..Lane::new(path, &mut streams) };
        }
        self.source = Source::new(model, self.start, &mut streams);
    }

    /// Nothing gets through in `directions` for the time `lasts` from `from` on.
    ///
    /// Errors: [`TooManyBlackHoles`]; those already over are forgotten first.
    pub fn black_hole(
        &mut self,
        directions: Directions,
        from: Instant<Link>,
        lasts: Micros,
    ) -> Result<(), TooManyBlackHoles> {
        let now = self.now;
        self.black_holes.retain(|hole| hole.until > now);
        if self.black_holes.len() >= BLACK_HOLES_MAX {
            return Err(TooManyBlackHoles);
        }
        self.black_holes.push_back(BlackHole { directions, from, until: from.after(lasts) });
        Ok(())
    }

    /// Brings the link up to `now` without a packet, so that events are told on time. A `now`
    /// before an earlier one is taken as that one.
    pub fn advance(&mut self, now: Instant<Link>) {
        self.now = self.now.max(now);
        if let Source::Profile { timeline } = &mut self.source {
            timeline.advance(self.now.since(self.start));
        }
    }

    /// The oldest event not yet told. At most 256 are kept; then the oldest is dropped.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        match &mut self.source {
            Source::Profile { timeline } => timeline.poll_event(),
            Source::Trace { .. } => None,
        }
    }

    /// What has happened so far.
    pub const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// Decides the fate of a packet of `len_bytes` sent at `now`.
    ///
    /// Units: bytes of UDP payload. `now` must not go back; if it does, the latest one is used.
    /// Cost: O(1) for steady streams (one step of each process per cell), O(silence) after a
    /// silence.
    pub fn offer(&mut self, now: Instant<Link>, direction: Direction, len_bytes: usize) -> Fate {
        self.advance(now);
        let fate = self.judge(direction, len(len_bytes));
        let lane = self.stats.lane_mut(direction);
        lane.offered = lane.offered.saturating_add(1);
        match fate {
            Fate::Drop(cause) => lane.drop(cause),
            Fate::Deliver(arrival) => {
                lane.delivered = lane.delivered.saturating_add(1);
                let twice = u64::from(arrival.copy_at.is_some());
                lane.duplicated = lane.duplicated.saturating_add(twice);
                let wrong = u64::from(arrival.wrong_bit.is_some());
                lane.corrupted = lane.corrupted.saturating_add(wrong);
            }
        }
        fate
    }

    /// Counts a packet the pipe had no room for, which this emulator had let through.
    pub(crate) fn refused_by_pipe(&mut self, direction: Direction, arrival: Arrival) {
        let lane = self.stats.lane_mut(direction);
        lane.delivered = lane.delivered.saturating_sub(1);
        lane.duplicated = lane.duplicated.saturating_sub(u64::from(arrival.copy_at.is_some()));
        lane.corrupted = lane.corrupted.saturating_sub(u64::from(arrival.wrong_bit.is_some()));
        lane.drop(DropCause::PipeFull);
    }

    fn judge(&mut self, direction: Direction, len: u64) -> Fate {
        let since = self.now.since(self.start);
        let now = self.now;
        let swallowed = |hole: &BlackHole| {
            hole.directions.contains(direction) && hole.from <= now && now < hole.until
        };
        if self.black_holes.iter().any(swallowed) {
            return Fate::Drop(DropCause::BlackHole);
        }
        let lane = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        let moment = match (&mut self.source, direction) {
            (Source::Profile { timeline }, _) => {
                lane.moment(since, timeline.weather(since, direction))
            }
            (Source::Trace { up, .. }, Direction::Up) => up.at(since),
            (Source::Trace { down, .. }, Direction::Down) => down.at(since),
        };
        let stats = self.stats.lane_mut(direction);
        match lane.pass(now, self.start, &moment, &self.disturb, len) {
            Ok((arrival, reordered)) => {
                stats.held = stats.held.saturating_add(u64::from(moment.held_until.is_some()));
                stats.reordered = stats.reordered.saturating_add(u64::from(reordered));
                Fate::Deliver(arrival)
            }
            Err(cause) => Fate::Drop(cause),
        }
    }
}

impl Source {
    fn new(model: LinkModel, start: Instant<Link>, streams: &mut Streams) -> Self {
        match model {
            LinkModel::Profile(profile) => {
                let timeline = Timeline::new(profile, start, || streams.next());
                Self::Profile { timeline: alloc::boxed::Box::new(timeline) }
            }
            LinkModel::Trace(trace) => Self::Trace {
                up: Replay::new(Arc::clone(&trace), Direction::Up),
                down: Replay::new(trace, Direction::Down),
            },
        }
    }
}

impl Lane {
    fn new(path: Path, streams: &mut Streams) -> Self {
        Self {
            jitter: JitterProcess::new(&path.jitter, path.radio, streams.next()),
            loss: LossProcess::new(path.loss, streams.next(), streams.next()),
            packets: streams.next(),
            queue: Queue::default(),
            last: Instant::ORIGIN,
            path,
        }
    }

    /// What a profile does at one moment, in the words a trace uses too.
    fn moment(&mut self, since: Micros, weather: Weather) -> Moment {
        let shift_ms = weather.shift_ms + self.jitter.at(since);
        let model_loses = self.loss.loses(since);
        let cause = if weather.black_hole {
            Some(DropCause::BlackHole)
        } else if weather.dropped {
            Some(DropCause::Outage)
        } else {
            None
        };
        Moment {
            cause,
            lost: model_loses,
            lose: weather.lose,
            duplicate: weather.duplicate,
            corrupt: weather.corrupt,
            mtu: weather.mtu,
            held_until: weather.held_until,
            delay: shifted(self.path.base, shift_ms),
            rate: self.path.rate,
            route_changed: false,
        }
    }

    fn pass(
        &mut self,
        now: Instant<Link>,
        start: Instant<Link>,
        moment: &Moment,
        disturb: &Disturb,
        len: u64,
    ) -> Result<(Arrival, bool), DropCause> {
        if let Some(cause) = moment.cause {
            return Err(cause);
        }
        if moment.mtu.is_some_and(|mtu| len > u64::from(mtu)) {
            return Err(DropCause::TooLong);
        }
        let lost = match disturb.loss {
            Some(p) => self.packets.happens(probability(p)),
            None => moment.lost,
        };
        if lost || self.packets.happens(probability(moment.lose)) {
            return Err(DropCause::Loss);
        }
        let since = now.since(start);
        let through = self.queue.admit(since, moment.held_until, len, moment.rate);
        let through = through.ok_or(DropCause::QueueFull)?;
        let due = aligned(through.saturating_add(moment.delay), self.path.radio.slot);
        let (at, reordered) = self.ordered(start.after(due), moment.route_changed, disturb);
        let twice = disturb.duplicate.max(moment.duplicate);
        let copy_at = self.packets.happens(probability(twice)).then_some(at);
        let wrong = self.packets.happens(probability(disturb.corrupt.max(moment.corrupt)));
        let bits = len.saturating_mul(8);
        let wrong_bit = (wrong && bits > 0).then(|| self.packets.below(bits));
        Ok((Arrival { at, copy_at, wrong_bit }, reordered))
    }

    /// Never before the packet in front, unless order is given up for it.
    fn ordered(
        &mut self,
        due: Instant<Link>,
        route_changed: bool,
        disturb: &Disturb,
    ) -> (Instant<Link>, bool) {
        if route_changed {
            self.last = due;
            return (due, false);
        }
        let at = due.max(self.last);
        if self.packets.happens(probability(disturb.reorder)) {
            return (at.after(disturb.reorder_by), true);
        }
        self.last = at;
        (at, false)
    }
}

/// Hands out streams of chance, one after the other, in a fixed order.
struct Streams {
    seed: u64,
    next: u64,
}

impl Streams {
    /// Each change of model has 2^16 streams of its own.
    const fn new(seed: u64, generation: u64) -> Self {
        Self { seed, next: generation.wrapping_mul(1 << 16) }
    }

    fn next(&mut self) -> Chance {
        let chance = Chance::new(self.seed, self.next);
        self.next = self.next.wrapping_add(1);
        chance
    }
}

fn paths(model: &LinkModel) -> (Path, Path) {
    match model {
        LinkModel::Profile(profile) => (profile.up, profile.down),
        LinkModel::Trace(_) => (BARE, BARE),
    }
}
