//! What a run measured: delays each way, losses, outages, and what the watchdog would have done.
//!
//! Knows: how often the samples must be looked at, and in which order. Does not know: where they
//! lie, or what is good enough (`verdict`).
//!
//! Terms: *relative* delay is a delay less the least of its stretch, so it needs no common clock
//! and is RFC 5481's delay variation (PDV); *absolute* delay is known as an interval only.

pub mod clocks;
pub mod load;
pub mod outage;
pub mod path;
pub mod quantile;
pub mod replay;
pub mod routes;

use serde::{Deserialize, Serialize};

use self::clocks::{Clocks, Least, Windows};
use self::outage::{Finder, Frames, Outages, Usual};
use self::quantile::{BATCHES, Counted, Quantile, Series, Share, Spread, Unseen};
use self::replay::{Player, Replay};
use self::routes::RouteStep;
use crate::number::{ms, real, whole};
use crate::slot::{Fate, STALL_US, Samples, Slot};

/// Light in fibre. Source: links.md section 4, 4.9 us/km one way.
pub const FIBRE_US_PER_KM: f64 = 4.9;
/// A probe this late was sent late. Source: links.md section 8, V1: within 200 us of schedule.
pub const LATE_US: u16 = 200;
/// Points of the time line.
const POINTS: u64 = 600;

/// What is known of a run beside its samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// Time between slots, us.
    pub period_us: u64,
    /// Slots of the schedule.
    pub slots: u64,
    /// The offset that was taken from raw spans up and added to those down, us.
    pub offset_us: i64,
    /// Way of the light between both ends, km; 0 where nobody said.
    pub distance_km: f64,
    /// How far both wall clocks may be apart at most, us, where the user declared that they are
    /// kept together (GPS, PTP).
    pub common_clock_us: Option<u64>,
    /// The robot's wall clock less its own, minus the console's wall clock less its own, us: with
    /// a common clock this *is* the offset.
    pub wall_offset_us: i64,
    /// How far either wall clock moved against its own in the run, us: by so much more both may be
    /// apart.
    #[serde(default)]
    pub wall_moved_us: u64,
    /// Copies that came to the robot.
    pub duplicates_up: u64,
    /// Events that this machine was too slow to take down: as many slots may have another fate.
    #[serde(default)]
    pub missed_events: u64,
}

/// One way's absolute delay: an interval at each quantile, and why it is no narrower.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Absolute {
    /// The least that the quantiles may be, with intervals of their own.
    pub low: Vec<Quantile>,
    /// The most.
    pub high: Vec<Quantile>,
    /// Why, in words.
    pub cause: String,
    /// Its width, ms; `null`: nothing came.
    pub width_ms: Option<f64>,
}

impl Absolute {
    /// Between what bounds a quantile lies: the least of the low end, the most of the high one.
    pub fn bounds(&self, name: &str) -> Option<(f64, Option<f64>)> {
        let low = self.low.iter().find(|quantile| quantile.name == name)?;
        let high = self.high.iter().find(|quantile| quantile.name == name)?;
        Some((low.low_ms, high.high_ms))
    }
}

/// One way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OneWay {
    /// Delay less the least: what sizes a de-jitter buffer (RFC 5481, PDV).
    pub relative: Spread,
    /// Change of the delay from one probe to the next, without its sign (RFC 5481, IPDV).
    pub change: Spread,
    /// The delay itself.
    pub absolute: Absolute,
    /// Lost on this way, of those that went it.
    pub loss: Share,
    /// Came behind a later one.
    pub reordered: u64,
    /// Came more than once.
    pub duplicates: u64,
}

/// One point of the time line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// From the beginning, s.
    pub at_s: f64,
    /// Shortest round trip in it, ms.
    pub rtt_min_ms: Option<f64>,
    /// Longest.
    pub rtt_max_ms: Option<f64>,
    /// Lost on the way up.
    pub lost_up: u64,
    /// Lost on the way down.
    pub lost_down: u64,
    /// Lost elsewhere, or not sent for want of a session.
    pub lost_unknown: u64,
}

/// The probe's own quality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Slots of the schedule.
    pub slots: u64,
    /// Probes handed to the network.
    pub sent: u64,
    /// Slots that this machine left out: it stalled.
    pub not_sent: u64,
    /// Slots without a session.
    pub no_session: u64,
    /// Sent more than 200 us after they were due.
    pub late: u64,
    /// How late at p50, p99 and at most, ms; at most 65.5. `null`: nothing was sent.
    pub late_ms: Option<(f64, f64, f64)>,
    /// Stalls of the robot's machine, as it tells: when a probe came then, or on which way it was
    /// lost, nobody knows.
    pub robot_stalls: u64,
    /// The same together, s.
    pub robot_stalled_s: f64,
    /// The robot's own time to answer at p99, ms; `null`: nothing came back.
    pub turn_ms_p99: Option<f64>,
    /// Events that this machine was too slow to take down: as many slots may have another fate.
    #[serde(default)]
    pub missed_events: u64,
}

impl Own {
    /// The share of the slots of which nobody knows what the link would have made of them: not
    /// sent, lost nobody knows where, or missed.
    pub fn unseen(&self, lost_unknown: &Share) -> f64 {
        let unseen = self.not_sent + lost_unknown.events + self.missed_events;
        (real(unseen) / real(self.slots.max(1))).min(1.0)
    }

    /// The stalls of the robot's machine in words; `None` where it had none.
    pub fn robot_stalls_words(&self) -> Option<String> {
        let ms = self.robot_stalled_s * 1e3;
        let words = "the robot's machine stalled";
        match self.robot_stalls {
            0 => None,
            1 => Some(format!("{words} once, {ms:.0} ms")),
            many => Some(format!("{words} {many} times, {ms:.0} ms together")),
        }
    }
}

/// Samples as they may be held against the link.
struct OfTheLink<'a>(&'a dyn Samples);

impl Samples for OfTheLink<'_> {
    fn visit(&self, each: &mut dyn FnMut(u64, &Slot)) {
        self.0.visit(&mut |place, slot| each(place, &slot.of_the_link()));
    }
}

/// All that a run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// How long the schedule was, s.
    pub seconds: f64,
    /// The probe's own quality.
    pub own: Own,
    /// Round trip from the intended send time, without the robot's own time to answer.
    pub rtt: Spread,
    /// Console to robot.
    pub up: OneWay,
    /// Robot to console.
    pub down: OneWay,
    /// Lost on an unknown way, or not sent for want of a session, of all due.
    pub lost_unknown: Share,
    /// When nothing came.
    pub outages: Outages,
    /// Drift and steps.
    pub clocks: Clocks,
    /// When the base delay changed: another route.
    #[serde(default)]
    pub routes: Vec<RouteStep>,
    /// The watchdog replay; `null` where the schedule is slower than commands are, or nothing came.
    pub replay: Option<Replay>,
    /// Over time.
    pub timeline: Vec<Point>,
}

struct WaySeries {
    relative: Series,
    change: Series,
    low: Series,
    high: Series,
    loss: Counted,
    reordered: u64,
    duplicates: u64,
    last: Option<(u64, i64)>,
}

impl WaySeries {
    fn new(loss: Counted) -> Self {
        Self {
            relative: Series::new(),
            change: Series::new(),
            low: Series::new(),
            high: Series::new(),
            loss,
            reordered: 0,
            duplicates: 0,
            last: None,
        }
    }

    /// The change from the slot before, where that came too.
    fn change(&mut self, place: u64, rel: i64) -> Option<i64> {
        let last = self.last.replace((place, rel));
        last.filter(|(before, _)| before + 1 == place).map(|(_, was)| (rel - was).abs())
    }
}

/// Between what bounds a delay lies, us: up and down.
pub type Bounds = ((i64, i64), (i64, i64));

/// A look at the samples with the clocks' offset in hand.
struct Lens<'a> {
    given: &'a Given,
    clocks: &'a Clocks,
    windows: &'a Windows,
    common: Common,
    floor_us: i64,
    hint: usize,
}

impl<'a> Lens<'a> {
    fn new(given: &'a Given, clocks: &'a Clocks, windows: &'a Windows) -> Self {
        let least = windows.least_of_all();
        let floor_us = given.floor_us(least);
        let common = given.common(least, floor_us);
        Self { given, clocks, windows, common, floor_us, hint: 0 }
    }

    /// Each way's delay above the least of its stretch; `None` beside a step that was found.
    fn relative(&mut self, place: u64, slot: &Slot) -> Option<(i64, i64)> {
        let (up, down) = slot.spans()?;
        let stretch = self.clocks.at(place, &mut self.hint)?;
        let drift = stretch.drift_us(place, self.given.period_us);
        Some(((up - drift - stretch.up_min_us).max(0), (down + drift - stretch.down_min_us).max(0)))
    }

    fn bounds(&self, place: u64, slot: &Slot) -> Option<Bounds> {
        let (up, down) = slot.spans()?;
        let floor = self.floor_us;
        // Whatever the clocks do: neither way takes less than light, and both no more than the
        // round trip.
        let most = up.saturating_add(down).saturating_sub(floor).max(floor);
        let within = |low: i64, high: i64| (low.clamp(floor, most), high.clamp(floor, most));
        let mut bounds = (within(floor, most), within(floor, most));
        if let Some((least_up, least_down)) = self.windows.near(place) {
            bounds.0 = within(up - least_up + floor, up + least_down - floor);
            bounds.1 = within(down - least_down + floor, down + least_up - floor);
        }
        if let Common::Used { offset_us, apart_us } = self.common {
            let around = |is: &mut (i64, i64), us: i64| {
                let (least, most) = (us.saturating_sub(apart_us), us.saturating_add(apart_us));
                *is = (is.0.max(least), is.1.min(most));
                is.1 = is.1.max(is.0);
            };
            around(&mut bounds.0, up.saturating_add(offset_us));
            around(&mut bounds.1, down.saturating_sub(offset_us));
        }
        Some(bounds)
    }
}

/// What came of a common clock that was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Common {
    /// None was.
    None,
    /// It tells the offset that is to be added to raw spans up, us, and how far it may be off.
    Used { offset_us: i64, apart_us: i64 },
    /// It cannot be: by it something took so much less than it can, us.
    False { by_us: i64 },
}

impl Given {
    /// Slots of each of the pieces that a run is cut into.
    fn piece(&self) -> u64 {
        self.slots.div_ceil(BATCHES).max(1)
    }

    /// What light needs for one way, microseconds; 0 where the shortest round trip shows that the
    /// way cannot be so long.
    fn floor_us(&self, least: Least) -> i64 {
        let floor = whole(self.distance_km * FIBRE_US_PER_KM);
        let fits = least.rtt.is_some_and(|rtt| floor.saturating_mul(2) <= rtt);
        if floor > 0 && fits { floor } else { 0 }
    }

    /// Whether the declared common clock can be: no probe came before light could bring it.
    fn common(&self, least: Least, floor_us: i64) -> Common {
        let (Some(apart), Some((up, down))) = (self.common_clock_us, least.up.zip(least.down))
        else {
            return Common::None;
        };
        let apart_us = i64::try_from(apart.saturating_add(self.wall_moved_us)).unwrap_or(i64::MAX);
        let offset_us = self.wall_offset_us.saturating_add(self.offset_us);
        let shortest = up.saturating_add(offset_us).min(down.saturating_sub(offset_us));
        let by_us = floor_us.saturating_sub(shortest.saturating_add(apart_us));
        if by_us > 0 { Common::False { by_us } } else { Common::Used { offset_us, apart_us } }
    }
}

/// Measures a run. Looks at the samples five or six times; memory grows by 90 bytes a second at
/// most (tests/a_day.rs).
pub fn measure(samples: &dyn Samples, given: &Given) -> Measures {
    let samples = &OfTheLink(samples);
    let windows = Windows::of(samples, given.period_us);
    let clocks = Clocks::of(&windows);
    let (routes, clocks) = routes::of(samples, &windows, clocks, given.period_us);
    let clocks = clocks.settled(samples, given.period_us);
    let mut first = First::new(given);
    let mut lens = Lens::new(given, &clocks, &windows);
    samples.visit(&mut |place, slot| {
        first.slot(place, slot, lens.relative(place, slot), lens.bounds(place, slot));
    });
    first.settle(given.piece());
    let mut lens = Lens::new(given, &clocks, &windows);
    let piece = given.piece();
    samples.visit(&mut |place, slot| {
        let (rel, bounds) = (lens.relative(place, slot), lens.bounds(place, slot));
        first.again(place, place / piece, slot, rel, bounds);
    });
    let replay = replayed(samples, given, &mut Lens::new(given, &clocks, &windows), &first);
    let cause = cause(&lens);
    Measures { routes, ..first.finish(given, &cause, clocks.clone(), replay) }
}

/// Plays the run through the watchdog; twice where of some slots nobody knows what the link did, as
/// if they had never come (or as late as a stall made them) and as if they had come like the one
/// before.
fn replayed(
    samples: &dyn Samples,
    given: &Given,
    lens: &mut Lens,
    first: &First,
) -> Option<Replay> {
    let mut worst = Player::new(given.period_us)?;
    let is_all_known = first.unknown.share().events == 0 && first.stalled == (0, 0);
    let mut best = if is_all_known { None } else { Player::new(given.period_us) };
    let mut last = 0;
    samples.visit(&mut |place, slot| {
        let late = lens.relative(place, slot).map(|rel| rel.0);
        // Beside a clock step the delay is not known, but it came: as late as the last.
        let came = matches!(slot.fate, Fate::Back { .. } | Fate::LostDown);
        let is_doubted = slot.robot_stalled || slot.late_us >= STALL_US;
        if !is_doubted {
            last = late.unwrap_or(last);
        }
        // A slot that this machine left out is not the link's: played as the one before.
        let excused = slot.fate == Fate::NotSent;
        worst.slot(place, late.or((came || excused).then_some(last)));
        if let Some(best) = &mut best {
            let late = late.filter(|_| !is_doubted);
            best.slot(place, late.or((slot.fate != Fate::LostUp).then_some(last)));
        }
    });
    let (worst, best) = (worst.finish(), best.and_then(Player::finish));
    match best {
        Some(best) => Some(worst?.surely(&best)),
        None => worst,
    }
}

/// Between what bounds each slot's delays lie, up and down, us: what the absolute quantiles are
/// made of, slot by slot, of those that came back.
pub fn intervals(samples: &dyn Samples, given: &Given, each: &mut dyn FnMut(u64, Bounds)) {
    let windows = Windows::of(samples, given.period_us);
    // No step and no drift has to be found for them.
    let clocks = Clocks::default();
    let lens = Lens::new(given, &clocks, &windows);
    samples.visit(&mut |place, slot| {
        if let Some(bounds) = lens.bounds(place, slot) {
            each(place, bounds);
        }
    });
}

/// Round-trip histogram of a run, for an .hlog file; microseconds.
pub fn rtt_histogram(samples: &dyn Samples) -> Series {
    let mut series = Series::new();
    samples.visit(&mut |_, slot| {
        if let Some(us) = slot.rtt_us() {
            series.record(us);
        }
    });
    series
}

struct First {
    rtt: Series,
    up: WaySeries,
    down: WaySeries,
    unknown: Counted,
    late: Series,
    turn: Series,
    own: Own,
    frames: Frames,
    finder: Finder,
    points: Vec<Point>,
    per_point: u64,
    period_us: u64,
    /// Slots in which the robot's machine stalled, and those that came back through a stall of
    /// either.
    stalled: (u64, u64),
    was_stalled: bool,
}

impl First {
    fn new(given: &Given) -> Self {
        let points = usize::try_from(POINTS).unwrap_or(0);
        let counted = Counted::new(given.period_us, given.piece());
        Self {
            rtt: Series::new(),
            up: WaySeries::new(counted.clone()),
            down: WaySeries::new(counted.clone()),
            unknown: counted,
            late: Series::new(),
            turn: Series::new(),
            own: Own::default(),
            frames: Frames::new(given.period_us),
            finder: Finder::new(given.period_us, (Usual::default(), Usual::default())),
            points: Vec::with_capacity(points),
            per_point: given.slots.div_ceil(POINTS).max(1),
            period_us: given.period_us,
            stalled: (0, 0),
            was_stalled: false,
        }
    }

    fn slot(&mut self, place: u64, slot: &Slot, rel: Option<(i64, i64)>, bounds: Option<Bounds>) {
        self.own.slots += 1;
        match slot.fate {
            Fate::NotSent => self.own.not_sent += 1,
            Fate::NoSession => self.own.no_session += 1,
            Fate::Back { .. } | Fate::LostUp | Fate::LostDown | Fate::LostSomewhere => {
                self.own.sent += 1;
                self.own.late += u64::from(slot.late_us > LATE_US);
                self.late.record(slot.late_us.into());
            }
        }
        if let Some(us) = slot.rtt_us() {
            self.rtt.record(us);
            self.turn.record(i64::from(slot.turn_16us) * 16);
        }
        self.own.robot_stalls += u64::from(slot.robot_stalled && !self.was_stalled);
        self.was_stalled = slot.robot_stalled;
        self.stalled.0 += u64::from(slot.robot_stalled);
        self.stalled.1 += u64::from(slot.is_doubted() && slot.spans().is_some());
        self.up.reordered += u64::from(slot.reordered_up);
        self.down.reordered += u64::from(slot.reordered_down);
        self.down.duplicates += u64::from(slot.duplicate_down);
        self.frames.slot(place, slot, rel);
        self.point(place, slot);
        if let Some((up, down)) = bounds {
            for (way, (low, high)) in [(&mut self.up, up), (&mut self.down, down)] {
                way.low.record(low);
                way.high.record(high);
            }
        }
        let Some((up, down)) = rel else { return };
        for (way, rel) in [(&mut self.up, up), (&mut self.down, down)] {
            way.relative.record(rel);
            if let Some(change) = way.change(place, rel) {
                way.change.record(change);
            }
        }
    }

    fn point(&mut self, place: u64, slot: &Slot) {
        if place.is_multiple_of(self.per_point) {
            let at_s = real(place.saturating_mul(self.period_us)) * 1e-6;
            self.points.push(Point { at_s, ..Point::default() });
        }
        let Some(point) = self.points.last_mut() else { return };
        match slot.fate {
            Fate::LostUp => point.lost_up += 1,
            Fate::LostDown => point.lost_down += 1,
            Fate::LostSomewhere | Fate::NoSession => point.lost_unknown += 1,
            Fate::Back { .. } | Fate::NotSent => {}
        }
        if let Some(rtt) = slot.rtt_us().map(ms) {
            point.rtt_min_ms = Some(point.rtt_min_ms.map_or(rtt, |least| least.min(rtt)));
            point.rtt_max_ms = Some(point.rtt_max_ms.map_or(rtt, |most| most.max(rtt)));
        }
    }

    fn settle(&mut self, piece: u64) {
        let piece_us = self.period_us.saturating_mul(piece);
        self.finder = Finder::new(self.period_us, self.frames.usual());
        self.rtt.settle(piece_us);
        for way in [&mut self.up, &mut self.down] {
            way.last = None;
            for series in [&mut way.relative, &mut way.change, &mut way.low, &mut way.high] {
                series.settle(piece_us);
            }
        }
    }

    fn again(
        &mut self,
        place: u64,
        piece: u64,
        slot: &Slot,
        rel: Option<(i64, i64)>,
        bounds: Option<Bounds>,
    ) {
        self.finder.slot(place, slot, rel);
        if let Some(us) = slot.rtt_us() {
            self.rtt.compare(piece, us);
        }
        let came = matches!(slot.fate, Fate::Back { .. } | Fate::LostDown);
        if came || slot.fate == Fate::LostUp {
            self.up.loss.count(piece, place, !came);
        }
        if came {
            self.down.loss.count(piece, place, slot.fate == Fate::LostDown);
        }
        if slot.fate != Fate::NotSent {
            let nowhere = matches!(slot.fate, Fate::LostSomewhere | Fate::NoSession);
            self.unknown.count(piece, place, nowhere);
        }
        if let Some((up, down)) = bounds {
            for (way, (low, high)) in [(&mut self.up, up), (&mut self.down, down)] {
                way.low.compare(piece, low);
                way.high.compare(piece, high);
            }
        }
        let Some((up, down)) = rel else { return };
        for (way, rel) in [(&mut self.up, up), (&mut self.down, down)] {
            way.relative.compare(piece, rel);
            if let Some(change) = way.change(place, rel) {
                way.change.compare(piece, change);
            }
        }
    }

    fn finish(
        mut self,
        given: &Given,
        cause: &str,
        clocks: Clocks,
        replay: Option<Replay>,
    ) -> Measures {
        let late = self.late.spread();
        let at = |name| late.quantile(name).map(|quantile: &Quantile| quantile.ms);
        let three = at("p50").zip(at("p99")).zip(late.max_ms);
        self.own.late_ms = three.map(|((p50, p99), most)| (p50, p99, most));
        self.own.turn_ms_p99 = self.turn.spread().quantile("p99").map(|q| q.ms);
        self.up.duplicates = given.duplicates_up;
        self.own.missed_events = given.missed_events;
        self.own.robot_stalled_s = real(self.stalled.0.saturating_mul(self.period_us)) * 1e-6;
        let lost_unknown = self.unknown.share();
        let unseen = self.own.unseen(&lost_unknown);
        let doubted = real(self.stalled.1) / real(self.rtt.histogram().len().max(1));
        let unseen = Unseen { unseen, doubted };
        Measures {
            seconds: real(given.slots.saturating_mul(given.period_us)) * 1e-6,
            own: self.own,
            rtt: self.rtt.spread_with(unseen),
            up: one_way(self.up, cause, unseen, clocks.off_ms()),
            down: one_way(self.down, cause, unseen, clocks.off_ms()),
            lost_unknown,
            outages: self.finder.finish(),
            clocks,
            routes: Vec::new(),
            replay,
            timeline: self.points,
        }
    }
}

fn one_way(way: WaySeries, cause: &str, unseen: Unseen, off_ms: f64) -> OneWay {
    let (low, high) = (way.low.spread_with(unseen), way.high.spread_with(unseen));
    OneWay {
        relative: way.relative.spread_with(unseen).give_or_take(off_ms),
        change: way.change.spread_with(unseen),
        absolute: Absolute {
            width_ms: high.min_ms.zip(low.min_ms).map(|(high, low)| high - low),
            low: low.quantiles,
            high: high.quantiles,
            cause: cause.to_owned(),
        },
        loss: way.loss.share(),
        reordered: way.reordered,
        duplicates: way.duplicates,
    }
}

fn cause(lens: &Lens) -> String {
    let Given { distance_km, common_clock_us, wall_moved_us, .. } = lens.given;
    let declared = common_clock_us.unwrap_or(0);
    let told = match lens.common {
        Common::Used { .. } if *wall_moved_us > 0 => {
            return format!(
                "both wall clocks were declared to agree within {declared} us, and moved by \
                 {wall_moved_us} us in the run"
            );
        }
        Common::Used { .. } => {
            return format!("both wall clocks were declared to agree within {declared} us");
        }
        Common::False { by_us } => format!(
            "both wall clocks were declared to agree within {declared} us, but they do not: by \
             them a probe took {:.3} ms less than it can; not used",
            ms(by_us)
        ),
        Common::None => "no common clock".to_owned(),
    };
    let light = distance_km * FIBRE_US_PER_KM;
    let floor = if *distance_km > 0.0 && lens.floor_us == 0 {
        format!(
            "light needs {:.2} ms for {distance_km} km and back, longer than the shortest round \
             trip took: the way is not so long, and the distance was left out",
            light / 500.0,
        )
    } else if *distance_km > 0.0 {
        format!("light needs {:.2} ms for {distance_km} km", light / 1e3)
    } else {
        "no distance was given (--distance-km)".to_owned()
    };
    format!(
        "{told}: the two ways share the shortest round trip in a proportion that nobody can know; \
         {floor}; a clock may drift by 200 ppm and step by any size once in three seconds"
    )
}

/// A span in words: `3.2 h`.
pub fn long(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s if s < 63_072_000.0 => format!("{:.1} days", s / 86_400.0),
        s => format!("{:.1} years", s / 31_536_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_that_light_cannot_have_gone_is_left_out() {
        let given = Given { distance_km: 2_200.0, ..Given::default() };
        let light = whole(2_200.0 * FIBRE_US_PER_KM);
        let least = |rtt| Least { rtt: Some(rtt), ..Least::default() };
        assert_eq!(given.floor_us(least(2 * light)), light);
        assert_eq!(given.floor_us(least(2 * light - 1)), 0);
        assert_eq!(Given::default().floor_us(least(1_000)), 0);
    }

    #[test]
    fn a_common_clock_by_which_something_came_before_it_left_is_not_used() {
        let given = |wall_offset_us, wall_moved_us| Given {
            common_clock_us: Some(100),
            wall_offset_us,
            wall_moved_us,
            ..Given::default()
        };
        let least = Least { up: Some(5_000), down: Some(5_000), rtt: Some(10_000) };
        let used = |offset_us, apart_us| Common::Used { offset_us, apart_us };
        assert_eq!(given(0, 0).common(least, 0), used(0, 100));
        assert_eq!(given(-5_100, 0).common(least, 0), used(-5_100, 100));
        assert_eq!(given(-5_101, 0).common(least, 0), Common::False { by_us: 1 });
        assert_eq!(given(6_000, 0).common(least, 0), Common::False { by_us: 900 });
        // Light needs 2 ms: what would have taken less is as false.
        assert_eq!(given(3_200, 0).common(least, 2_000), Common::False { by_us: 100 });
        // A wall clock that was set in the run may have agreed before, or behind.
        assert_eq!(given(6_000, 1_000).common(least, 0), used(6_000, 1_100));
        assert_eq!(Given::default().common(least, 0), Common::None);
    }
}
