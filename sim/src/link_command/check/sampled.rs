//! One link sampled whole, in virtual time: what became of every packet, beside what was announced.
//!
//! Knows: how to tell a delay from an outage, and which packet did what nothing asked for. Does not
//! know: how much of it is right (`judged`).
//!
//! The shipped profile is sampled as it is: every packet meets jitter, loss, outages and changes of
//! base at once. What the link announces (`LinkEvent`) says which of them a packet met, and the
//! packets say whether the announcement was true. The *added* delay of a packet is its delay less
//! the base of that moment; packets held by an outage, or behind those, tell nothing of it.

use longhand_link::profile::{DrillAct, Outage, OutageMode, Path};
use longhand_link::{Arrival, Direction, DropCause, Emulator, Fate, LinkEvent, LinkModel, Profile};
use longhand_protocol::units::{Instant, Link, Micros, TICK};

use super::asked::Curve;

/// Bytes of a sampled packet: none, so that the line takes no time; it is measured apart.
const BYTES: usize = 0;

/// The same in a drill, whose narrow path is announced to pass 1280 bytes and no more.
const DRILL_BYTES: usize = 1_300;

/// A delay may lie this far below its base: base and jitter are each rounded to the microsecond.
const ROUNDED_US: i64 = -1;

/// Delays are counted one by one, microsecond by microsecond, up to this far above the greatest
/// that was asked for. Chosen: what lies beyond is only counted.
const BEYOND_US: usize = 20_000;

/// What was seen of one link.
pub(super) struct Seen {
    /// Link time sampled.
    pub(super) span: Micros,
    /// Up, down.
    pub(super) lanes: [Lane; 2],
    /// One for each kind of outage of the profile.
    pub(super) outages: Vec<Spells>,
    /// Changes of the base.
    pub(super) bases: Bases,
    /// What each act of a drill was asked to do, and did.
    pub(super) acts: Vec<(DrillAct, Direction, Tally)>,
}

/// How often something could have happened, and did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) of: u64,
    pub(super) hit: u64,
}

impl Tally {
    fn count(&mut self, hit: bool) {
        self.of = self.of.saturating_add(1);
        self.hit = self.hit.saturating_add(u64::from(hit));
    }
}

/// The announced outages of one kind.
pub(super) struct Spells {
    pub(super) kind: Outage,
    pub(super) lengths: Vec<Micros>,
}

/// The announced changes of the base.
#[derive(Default)]
pub(super) struct Bases {
    /// When, and by how much each way, microseconds.
    pub(super) moves: Vec<(Instant<Link>, [i64; 2])>,
    now_us: [i64; 2],
}

/// What was seen of one direction.
pub(super) struct Lane {
    /// Packets outside outages, and how many of them were lost.
    pub(super) loss: Tally,
    /// Packets that arrived before one that was sent earlier.
    pub(super) overtook: u64,
    /// Packets that did what nothing asked for: see [`Lane::take`].
    pub(super) astray: u64,
    /// Added delays by the microsecond.
    pub(super) delays: Vec<u64>,
    /// Added delays greater than that.
    pub(super) beyond: u64,
    /// The greatest added delay.
    pub(super) most_us: u64,
    /// Sum of score times score one correlation time before, and of squares.
    pub(super) product: f64,
    pub(super) square: f64,
    base_us: i64,
    scores: Scores,
    last: Instant<Link>,
    quiet_from: Instant<Link>,
}

/// Normal scores by the asked distribution, and those of one correlation time ago.
struct Scores {
    curve: Curve,
    known: Vec<f64>,
    before: Vec<f64>,
    next: usize,
}

/// What a packet meets, as announced.
#[derive(Clone, Copy, Default)]
struct Weather {
    dropped: bool,
    held_until: Option<Instant<Link>>,
    act: Option<DrillAct>,
}

struct Window {
    from: Instant<Link>,
    until: Instant<Link>,
    outage: Option<(OutageMode, longhand_link::Directions)>,
    act: Option<DrillAct>,
}

impl Seen {
    /// Samples `model`, of which `profile` is asked, over `span` at 1 kHz both ways.
    pub(super) fn of(profile: &Profile, model: LinkModel, seed: u64, span: Micros) -> Self {
        let mut link = Emulator::new(model, seed);
        let outages = profile.outages.iter();
        let outages = outages.map(|kind| Spells { kind: *kind, lengths: Vec::new() }).collect();
        let mut seen = Self {
            span,
            lanes: Direction::BOTH.map(|direction| Lane::new(profile.path(direction))),
            outages,
            bases: Bases::default(),
            acts: Vec::new(),
        };
        let bytes = if profile.drill.is_some() { DRILL_BYTES } else { BYTES };
        let mut windows: Vec<Window> = Vec::new();
        for n in 0..span.as_micros() / TICK.as_micros() {
            let now = Instant::ORIGIN.after(TICK.saturating_mul(n));
            link.advance(now);
            while let Some(event) = link.poll_event() {
                seen.hear(event, &mut windows);
            }
            windows.retain(|window| now < window.until);
            for direction in Direction::BOTH {
                let fate = link.offer(now, direction, bytes);
                let met = weather(&windows, now, direction);
                seen.tally(met, direction, fate);
                let [up, down] = &mut seen.lanes;
                let [up_us, down_us] = seen.bases.now_us;
                match direction {
                    Direction::Up => up.take(now, fate, met, up_us),
                    Direction::Down => down.take(now, fate, met, down_us),
                }
            }
        }
        seen
    }

    fn hear(&mut self, event: LinkEvent, windows: &mut Vec<Window>) {
        match event {
            LinkEvent::Outage { name, at, lasts, mode, directions } => {
                for spells in self.outages.iter_mut().filter(|spells| spells.kind.name == name) {
                    spells.lengths.push(lasts);
                }
                let outage = Some((mode, directions));
                windows.push(Window { from: at, until: at.after(lasts), outage, act: None });
            }
            LinkEvent::BaseMoved { at, up_us, down_us } => {
                let [up, down] = self.bases.now_us;
                let by = [up_us.saturating_sub(up), down_us.saturating_sub(down)];
                self.bases.now_us = [up_us, down_us];
                // Where the base begins is no move.
                if at > Instant::ORIGIN {
                    self.bases.moves.push((at, by));
                }
                for (lane, by) in self.lanes.iter_mut().zip(by) {
                    // Nothing overtakes what left under the greater base.
                    let fell = Micros::from_micros(by.min(0).unsigned_abs());
                    lane.quiet_from = lane.quiet_from.max(at.after(fell));
                }
            }
            LinkEvent::Drill { at, lasts, act } => {
                windows.push(Window {
                    from: at,
                    until: at.after(lasts),
                    outage: None,
                    act: Some(act),
                });
            }
        }
    }

    /// Counts what the drill's present act did to a packet.
    fn tally(&mut self, met: Weather, direction: Direction, fate: Fate) {
        let Some(act) = met.act.filter(|act| touches(*act, direction)) else { return };
        let hit = match (act, fate) {
            (DrillAct::BlackHole(_), _) => fate == Fate::Drop(DropCause::BlackHole),
            (DrillAct::PathMtu(_), _) => fate == Fate::Drop(DropCause::TooLong),
            (DrillAct::Lose(..), _) => fate == Fate::Drop(DropCause::Loss),
            (DrillAct::Duplicate(_), Fate::Deliver(arrival)) => arrival.copy_at.is_some(),
            (DrillAct::Corrupt(_), Fate::Deliver(arrival)) => arrival.wrong_bit.is_some(),
            (DrillAct::Duplicate(_) | DrillAct::Corrupt(_), Fate::Drop(_))
            | (DrillAct::NatRebind | DrillAct::DscpBleach | DrillAct::ClockStep(_), _) => return,
        };
        let known = self.acts.iter_mut().find(|known| known.0 == act && known.1 == direction);
        if let Some((_, _, tally)) = known {
            tally.count(hit);
            return;
        }
        let mut tally = Tally::default();
        tally.count(hit);
        self.acts.push((act, direction, tally));
    }
}

fn weather(windows: &[Window], now: Instant<Link>, direction: Direction) -> Weather {
    let mut weather = Weather::default();
    for window in windows.iter().filter(|window| window.from <= now && now < window.until) {
        match window.outage {
            Some((OutageMode::Drop, to)) => weather.dropped |= to.contains(direction),
            Some((OutageMode::HoldAndFlush, to)) if to.contains(direction) => {
                weather.held_until = weather.held_until.max(Some(window.until));
            }
            Some((OutageMode::HoldAndFlush, _)) | None => {}
        }
        weather.act = weather.act.or(window.act);
    }
    weather
}

/// Whether an act does anything to packets of a direction.
fn touches(act: DrillAct, direction: Direction) -> bool {
    match act {
        DrillAct::BlackHole(to) | DrillAct::Lose(to, _) => to.contains(direction),
        DrillAct::Duplicate(_) | DrillAct::Corrupt(_) | DrillAct::PathMtu(_) => true,
        DrillAct::NatRebind | DrillAct::DscpBleach | DrillAct::ClockStep(_) => false,
    }
}

impl Lane {
    fn new(path: &Path) -> Self {
        let curve = Curve::of(&path.jitter);
        let bins = curve.most_us().saturating_add(BEYOND_US);
        let lag = path.jitter.correlation.as_micros() / TICK.as_micros();
        let lag = usize::try_from(lag).unwrap_or(usize::MAX).max(1);
        let (known, before) = (vec![f64::NAN; bins], vec![f64::NAN; lag]);
        Self {
            loss: Tally::default(),
            overtook: 0,
            astray: 0,
            delays: vec![0; bins],
            beyond: 0,
            most_us: 0,
            product: 0.0,
            square: 0.0,
            base_us: i64::try_from(path.base.as_micros()).unwrap_or(i64::MAX),
            scores: Scores { curve, known, before, next: 0 },
            last: Instant::ORIGIN,
            quiet_from: Instant::ORIGIN,
        }
    }

    /// Takes one packet, sent `now` while `met` was announced and the base stood `shift_us` off.
    ///
    /// Astray is one that was dropped or delivered against the announcement, left a hold before its
    /// end, came before its base, or was copied or altered outside a drill.
    fn take(&mut self, now: Instant<Link>, fate: Fate, met: Weather, shift_us: i64) {
        let score = match fate {
            Fate::Drop(cause) => {
                self.dropped(cause, met);
                None
            }
            Fate::Deliver(arrival) => self.delivered(now, arrival, met, shift_us),
        };
        let before = self.scores.turn(score.unwrap_or(f64::NAN));
        if let Some(score) = score.filter(|_| before.is_finite()) {
            self.product += score * before;
            self.square += score * score;
        }
    }

    fn dropped(&mut self, cause: DropCause, met: Weather) {
        let asked = match cause {
            DropCause::Loss => !met.dropped,
            DropCause::Outage => met.dropped,
            DropCause::BlackHole => matches!(met.act, Some(DrillAct::BlackHole(_))),
            DropCause::TooLong => matches!(met.act, Some(DrillAct::PathMtu(_))),
            DropCause::QueueFull
            | DropCause::TraceGap
            | DropCause::TraceEnded
            | DropCause::PipeFull => false,
        };
        self.astray = self.astray.saturating_add(u64::from(!asked));
        if cause == DropCause::Loss && !matches!(met.act, Some(DrillAct::Lose(..))) {
            self.loss.count(true);
        }
    }

    /// Its score, where its delay tells of the added delay alone.
    fn delivered(
        &mut self,
        now: Instant<Link>,
        arrival: Arrival,
        met: Weather,
        shift_us: i64,
    ) -> Option<f64> {
        self.loss.count(false);
        self.overtook = self.overtook.saturating_add(u64::from(arrival.at < self.last));
        self.last = self.last.max(arrival.at);
        let early = met.held_until.is_some_and(|end| arrival.at < end);
        let odd = arrival.copy_at.is_some() || arrival.wrong_bit.is_some();
        let drilled = matches!(met.act, Some(DrillAct::Duplicate(_) | DrillAct::Corrupt(_)));
        let delay_us = i64::try_from(arrival.at.since(now).as_micros()).unwrap_or(i64::MAX);
        let added_us = delay_us.saturating_sub(self.base_us).saturating_sub(shift_us);
        let astray = met.dropped || early || (odd && !drilled) || added_us < ROUNDED_US;
        self.astray = self.astray.saturating_add(u64::from(astray));
        if met.held_until.is_some() {
            self.quiet_from = self.quiet_from.max(arrival.at);
        }
        if now < self.quiet_from {
            return None;
        }
        let added = u64::try_from(added_us).unwrap_or(0);
        self.most_us = self.most_us.max(added);
        let bin = usize::try_from(added).unwrap_or(usize::MAX);
        match self.delays.get_mut(bin) {
            Some(n) => *n = n.saturating_add(1),
            None => self.beyond = self.beyond.saturating_add(1),
        }
        self.scores.of(bin)
    }
}

impl Scores {
    /// The normal score of a delay, worked out once for each; `None` beyond what is counted.
    fn of(&mut self, bin: usize) -> Option<f64> {
        let known = self.known.get_mut(bin)?;
        if known.is_nan() {
            *known = self.curve.score(bin);
        }
        Some(*known)
    }

    /// Keeps a score, and gives the one of a correlation time before; NaN is none.
    fn turn(&mut self, score: f64) -> f64 {
        let before = self.before.get_mut(self.next);
        let before = before.map_or(f64::NAN, |place| std::mem::replace(place, score));
        self.next = self.next.saturating_add(1);
        if self.next >= self.before.len() {
            self.next = 0;
        }
        before
    }
}
