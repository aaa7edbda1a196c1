//! What happens to the whole link: outages, route steps, new satellites, drills.
//!
//! Knows: when each begins and ends, what it does to the base delay, and what is announced. Does
//! not know: single packets.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use longhand_protocol::units::{Instant, Link, Micros};

use super::STEP_MAX;
use crate::number::Chance;
use crate::profile::{
    Direction, Directions, Drill, DrillAct, Outage, OutageMode, Profile, Rebase, RouteStep, When,
};

/// Slot edges of a minute: second 12, 27, 42, 57, so one each 15 s from 12 on. Source: links.md
/// section 4 (Starlink, measured).
const SLOT: Micros = Micros::from_secs(15);
const SLOT_FIRST: Micros = Micros::from_secs(12);

/// Events kept for `Timeline::poll_event`; when full the oldest is dropped.
///
/// Chosen: more than a minute of the busiest profile; a caller who polls loses none.
const EVENTS_MAX: usize = 256;

/// Something that happened to the link, for the log and for owners of sockets and clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LinkEvent {
    /// An outage began.
    Outage {
        /// What it is.
        name: &'static str,
        /// When it began.
        at: Instant<Link>,
        /// How long it lasts.
        lasts: Micros,
        /// What happens to packets.
        mode: OutageMode,
        /// Which directions.
        directions: Directions,
    },
    /// The base delay of both directions moved; the shift from the profile's base, microseconds.
    BaseMoved {
        /// When.
        at: Instant<Link>,
        /// Up, against the profile's base.
        up_us: i64,
        /// Down, against the profile's base.
        down_us: i64,
    },
    /// A step of the drill began.
    Drill {
        /// When.
        at: Instant<Link>,
        /// How long.
        lasts: Micros,
        /// What; a NAT rebind, a DSCP bleach and a clock step are the listener's to do.
        act: DrillAct,
    },
}

/// What the timeline does to a packet sent now in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    pub(crate) dropped: bool,
    pub(crate) held_until: Option<Micros>,
    pub(crate) shift_ms: f64,
    pub(crate) black_hole: bool,
    pub(crate) lose: f64,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    pub(crate) mtu: Option<u16>,
}

/// The timeline of one link.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    start: Instant<Link>,
    outages: Vec<OutageProcess>,
    route: Option<Route>,
    rebase: Option<Slots>,
    drill: Option<DrillClock>,
    events: VecDeque<LinkEvent>,
    bases_us: (i64, i64),
}

#[derive(Clone, Debug)]
struct OutageProcess {
    kind: Outage,
    chance: Chance,
    from: Micros,
    until: Micros,
    announced: bool,
    shift_ms: (f64, f64),
}

#[derive(Clone, Debug)]
struct Route {
    kind: RouteStep,
    chance: Chance,
    next: Micros,
    shift_ms: f64,
}

#[derive(Clone, Debug)]
struct Slots {
    kind: Rebase,
    chance: Chance,
    next: Micros,
    shift_ms: f64,
}

#[derive(Clone, Debug)]
struct DrillClock {
    kind: Drill,
    turn: u64,
    announced: usize,
}

impl Timeline {
    /// The timeline of `profile` from `start` on; `chance` gives one stream per process.
    pub(crate) fn new(
        profile: &Profile,
        start: Instant<Link>,
        mut chance: impl FnMut() -> Chance,
    ) -> Self {
        let outages = profile.outages.iter().map(|kind| OutageProcess::new(*kind, chance()));
        let outages = outages.collect();
        let route = profile.route_step.map(|kind| {
            let mut chance = chance();
            let next = next_after(kind.when, Micros::ZERO, &mut chance);
            Route { kind, chance, next, shift_ms: 0.0 }
        });
        let rebase = profile.rebase.map(|kind| {
            let mut chance = chance();
            let shift_ms = chance.between(0.0, kind.span_ms);
            Slots { kind, chance, next: SLOT_FIRST, shift_ms }
        });
        let drill = profile.drill.map(|kind| DrillClock { kind, turn: 0, announced: 0 });
        Self { start, outages, route, rebase, drill, events: VecDeque::new(), bases_us: (0, 0) }
    }

    /// The oldest event not yet polled.
    pub(crate) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Brings everything up to `since` the start. Times must not go back.
    pub(crate) fn advance(&mut self, since: Micros) {
        for outage in &mut self.outages {
            let start = self.start;
            outage.advance(since, |event| push(&mut self.events, event), start);
        }
        let mut moved_at = None;
        if let Some(route) = &mut self.route {
            moved_at = moved_at.max(route.advance(since));
        }
        if let Some(slots) = &mut self.rebase {
            moved_at = moved_at.max(slots.advance(since));
        }
        if let Some(drill) = &mut self.drill {
            drill.announce(since, self.start, |event| push(&mut self.events, event));
        }
        self.announce_bases(since, moved_at);
    }

    /// What a packet sent at `since` in `direction` meets; after [`Timeline::advance`].
    pub(crate) fn weather(&self, since: Micros, direction: Direction) -> Weather {
        let mut weather = Weather { shift_ms: self.shift_ms(direction), ..Weather::default() };
        for outage in &self.outages {
            let on = outage.from <= since && since < outage.until;
            if !on || !outage.kind.directions.contains(direction) {
                continue;
            }
            match outage.kind.mode {
                OutageMode::Drop => weather.dropped = true,
                OutageMode::HoldAndFlush => {
                    weather.held_until = weather.held_until.max(Some(outage.until));
                }
            }
        }
        if let Some(act) = self.drill.as_ref().and_then(|drill| drill.act(since)) {
            weather.apply(act, direction);
        }
        weather
    }

    fn shift_ms(&self, direction: Direction) -> f64 {
        let own = |pair: (f64, f64)| match direction {
            Direction::Up => pair.0,
            Direction::Down => pair.1,
        };
        let cells: f64 = self.outages.iter().map(|outage| own(outage.shift_ms)).sum();
        let route = self.route.as_ref().map_or(0.0, |route| route.shift_ms);
        let slots = self.rebase.as_ref().map_or(0.0, |slots| slots.shift_ms);
        cells + route + slots
    }

    fn announce_bases(&mut self, since: Micros, moved_at: Option<Micros>) {
        let up_us = micros_of(self.shift_ms(Direction::Up));
        let down_us = micros_of(self.shift_ms(Direction::Down));
        if (up_us, down_us) != self.bases_us {
            self.bases_us = (up_us, down_us);
            let at = self.start.after(moved_at.unwrap_or(since));
            push(&mut self.events, LinkEvent::BaseMoved { at, up_us, down_us });
        }
    }
}

impl Weather {
    fn apply(&mut self, act: DrillAct, direction: Direction) {
        match act {
            DrillAct::BlackHole(directions) => self.black_hole = directions.contains(direction),
            DrillAct::Lose(directions, p) => {
                self.lose = if directions.contains(direction) { p } else { 0.0 };
            }
            DrillAct::Duplicate(p) => self.duplicate = p,
            DrillAct::Corrupt(p) => self.corrupt = p,
            DrillAct::PathMtu(bytes) => self.mtu = Some(bytes),
            DrillAct::NatRebind | DrillAct::DscpBleach | DrillAct::ClockStep(_) => {}
        }
    }
}

impl OutageProcess {
    fn new(kind: Outage, mut chance: Chance) -> Self {
        let from = next_after(kind.when, Micros::ZERO, &mut chance);
        let until = from.saturating_add(length(&kind, &mut chance));
        Self { kind, chance, from, until, announced: false, shift_ms: (0.0, 0.0) }
    }

    fn advance(
        &mut self,
        since: Micros,
        mut announce: impl FnMut(LinkEvent),
        start: Instant<Link>,
    ) {
        if since.saturating_sub(self.until) > STEP_MAX {
            self.schedule(since);
        }
        while self.from <= since {
            if !self.announced {
                self.announced = true;
                self.new_cell();
                announce(LinkEvent::Outage {
                    name: self.kind.name,
                    at: start.after(self.from),
                    lasts: self.until.saturating_sub(self.from),
                    mode: self.kind.mode,
                    directions: self.kind.directions,
                });
            }
            if since < self.until {
                return;
            }
            self.schedule(self.until);
        }
    }

    fn schedule(&mut self, after: Micros) {
        self.from = next_after(self.kind.when, after, &mut self.chance);
        self.until = self.from.saturating_add(length(&self.kind, &mut self.chance));
        self.announced = false;
    }

    fn new_cell(&mut self) {
        let most = self.kind.cell_shift.as_millis_f64();
        if most > 0.0 {
            self.shift_ms = (self.chance.between(-most, most), self.chance.between(-most, most));
        }
    }
}

impl Route {
    /// When it last moved in this advance, if it did.
    fn advance(&mut self, since: Micros) -> Option<Micros> {
        if since.saturating_sub(self.next) > STEP_MAX.saturating_mul(24) {
            self.next = since;
        }
        let mut moved = None;
        while self.next <= since {
            let by = self.kind.by.as_millis_f64();
            let places = [-by, 0.0, by];
            let mut others = places.into_iter().filter(|p| (p - self.shift_ms).abs() > by / 2.0);
            let pick = usize::try_from(self.chance.below(2)).unwrap_or(0);
            self.shift_ms = others.clone().nth(pick).or(others.next_back()).unwrap_or(0.0);
            moved = Some(self.next);
            self.next = next_after(self.kind.when, self.next, &mut self.chance);
        }
        moved
    }
}

impl Slots {
    /// When it last moved in this advance, if it did.
    fn advance(&mut self, since: Micros) -> Option<Micros> {
        if since.saturating_sub(self.next) > STEP_MAX {
            self.next = edge_from(since);
        }
        let mut moved = None;
        while self.next <= since {
            self.shift_ms = self.rebased();
            moved = Some(self.next);
            self.next = self.next.saturating_add(SLOT);
        }
        moved
    }

    /// The next shift: a change of the drawn size, up or down, turned round at the ends of the
    /// span. A change too great for the span goes up, and the slot after it comes back inside, by
    /// no more than the greatest change.
    fn rebased(&mut self) -> f64 {
        let span = self.kind.span_ms;
        let size = self.change();
        let up = self.chance.happens(0.5);
        if self.shift_ms > span {
            let low = (self.shift_ms - self.kind.max_ms).max(0.0);
            return self.chance.between(low, span);
        }
        let (above, below) = (self.shift_ms + size, self.shift_ms - size);
        if below >= 0.0 && (above > span || !up) { below } else { above }
    }

    /// The size of a change: zero to p50 to p90 to max, linear in the logarithm of the share above.
    fn change(&mut self) -> f64 {
        let above = self.chance.uniform();
        let half = libm::log(0.5);
        let tenth = libm::log(0.1);
        // 1e-3 for the greatest: one in about four hours of slots. Chosen: the data are one hour.
        let rare = libm::log(1e-3);
        let x = libm::log(above).max(rare);
        let Rebase { p50_ms, p90_ms, max_ms, .. } = self.kind;
        if x >= half {
            p50_ms * x / half
        } else if x >= tenth {
            p50_ms + (p90_ms - p50_ms) * (half - x) / (half - tenth)
        } else {
            p90_ms + (max_ms - p90_ms) * (tenth - x) / (tenth - rare)
        }
    }
}

impl DrillClock {
    fn turn_at(&self, since: Micros) -> (u64, Micros) {
        let period = self.kind.period.as_micros();
        let turn = since.as_micros().checked_div(period).unwrap_or(0);
        let start = self.kind.period.saturating_mul(turn);
        (turn, since.saturating_sub(start))
    }

    fn act(&self, since: Micros) -> Option<DrillAct> {
        let (_, inside) = self.turn_at(since);
        let on = |at: Micros, lasts: Micros| at <= inside && inside < at.saturating_add(lasts);
        self.kind.steps.iter().find(|step| on(step.at, step.lasts)).map(|step| step.act)
    }

    /// Announces every step begun since the last time; of skipped turns nothing is said.
    fn announce(
        &mut self,
        since: Micros,
        start: Instant<Link>,
        mut announce: impl FnMut(LinkEvent),
    ) {
        let (turn, inside) = self.turn_at(since);
        if turn != self.turn {
            self.turn = turn;
            self.announced = 0;
        }
        while let Some(step) = self.kind.steps.get(self.announced).filter(|s| s.at <= inside) {
            let at = self.kind.period.saturating_mul(turn).saturating_add(step.at);
            announce(LinkEvent::Drill { at: start.after(at), lasts: step.lasts, act: step.act });
            self.announced = self.announced.saturating_add(1);
        }
    }
}

fn push(events: &mut VecDeque<LinkEvent>, event: LinkEvent) {
    if events.len() >= EVENTS_MAX {
        events.pop_front();
    }
    events.push_back(event);
}

/// When the next event of a kind happens after `after`; never before one microsecond later.
fn next_after(when: When, after: Micros, chance: &mut Chance) -> Micros {
    match when {
        When::PerHour(rate) if rate > 0.0 => {
            let gap = Micros::from_secs_f64(chance.exponential(3_600.0 / rate));
            after.saturating_add(gap.max(Micros::from_micros(1)))
        }
        When::Between(low, high) => {
            let gap = chance.between(low.as_secs_f64(), high.as_secs_f64());
            after.saturating_add(Micros::from_secs_f64(gap).max(Micros::from_micros(1)))
        }
        When::SlotEdge(p) if p > 0.0 => {
            let edges = chance.trials(p).saturating_sub(1);
            edge_from(after.saturating_add(Micros::from_micros(1)))
                .saturating_add(SLOT.saturating_mul(edges))
        }
        When::PerHour(_) | When::SlotEdge(_) => Micros::MAX,
    }
}

/// The first slot edge at or after `since`.
fn edge_from(since: Micros) -> Micros {
    let past = since.saturating_sub(SLOT_FIRST).as_micros();
    let slots = past.div_ceil(SLOT.as_micros());
    SLOT_FIRST.saturating_add(SLOT.saturating_mul(slots))
}

fn length(kind: &Outage, chance: &mut Chance) -> Micros {
    let seconds = chance.log_normal(kind.p50.as_secs_f64(), kind.p99.as_secs_f64());
    Micros::from_secs_f64(seconds)
}

fn micros_of(ms: f64) -> i64 {
    let size = i64::try_from(crate::number::millis(ms.abs()).as_micros()).unwrap_or(i64::MAX);
    if ms < 0.0 { size.saturating_neg() } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::float;
    use crate::profile::Profile;
    use std::vec::Vec;

    fn timeline(name: &str) -> Timeline {
        let mut stream = 0;
        Timeline::new(Profile::by_name(name).unwrap(), Instant::ORIGIN, || {
            stream += 1;
            Chance::new(9, stream)
        })
    }

    fn events(name: &str, hours: u64) -> Vec<LinkEvent> {
        let mut timeline = timeline(name);
        let mut all = Vec::new();
        for second in 0..hours * 3_600 {
            timeline.advance(Micros::from_secs(second));
            while let Some(event) = timeline.poll_event() {
                all.push(event);
            }
        }
        all
    }

    #[test]
    fn outage_lengths_have_the_median_and_tail_asked_for() {
        let mut lengths: Vec<f64> = events("rural-5g-nsa-handover", 200)
            .iter()
            .filter_map(|event| match event {
                LinkEvent::Outage { name: "handover", lasts, .. } => Some(lasts.as_millis_f64()),
                LinkEvent::Outage { .. }
                | LinkEvent::BaseMoved { .. }
                | LinkEvent::Drill { .. } => None,
            })
            .collect();
        // 120 an hour for 200 h; 24 000 of them give the p99 an error of about 2 %.
        let count = float(crate::number::len(lengths.len()));
        assert!((count / 24_000.0 - 1.0).abs() < 0.03, "{count} handovers");
        lengths.sort_by(f64::total_cmp);
        for (above, want) in [(0.5, 60.0), (0.01, 300.0)] {
            let got = super::super::jitter::quantile(&lengths, above);
            assert!((got / want - 1.0).abs() < 0.06, "wanted {want} ms, got {got}");
        }
    }

    #[test]
    fn satellites_change_only_at_slot_edges() {
        let mut at_edges = 0_u64;
        let mut anywhere = 0_u64;
        for event in events("leo-starlink", 20) {
            match event {
                // The base of the first second is told at the start.
                LinkEvent::BaseMoved { at, .. } if at == Instant::ORIGIN => {}
                LinkEvent::BaseMoved { at, .. } => {
                    assert_eq!(at.as_micros() % 15_000_000, 12_000_000);
                }
                LinkEvent::Outage { name: "satellite change", at, .. } => {
                    assert_eq!(at.as_micros() % 15_000_000, 12_000_000);
                    at_edges += 1;
                }
                LinkEvent::Outage { .. } => anywhere += 1,
                LinkEvent::Drill { .. } => panic!("no drill here"),
            }
        }
        // 1.5 a minute over 1200 minutes, 60 % at edges.
        let all = float(at_edges + anywhere);
        assert!((all / 1_800.0 - 1.0).abs() < 0.06, "{all} outages");
        assert!((float(at_edges) / all - 0.6).abs() < 0.04, "{at_edges} of {all}");
    }

    #[test]
    fn changes_of_base_have_the_sizes_measured() {
        let mut slots = timeline("leo-starlink").rebase.unwrap();
        let mut sizes: Vec<f64> = (0..100_000).map(|_| slots.change()).collect();
        sizes.sort_by(f64::total_cmp);
        let got = |above| super::super::jitter::quantile(&sizes, above);
        assert!((got(0.5) - 0.8).abs() < 0.03 && (got(0.1) - 3.6).abs() < 0.1);
        assert!((got(0.0) - 29.0).abs() < 1e-6);
    }

    #[test]
    fn the_drill_announces_every_step_once_a_turn() {
        let all = events("fail-safe-drill", 1);
        assert_eq!(all.len(), 30 * 20);
        assert!(matches!(
            all[20],
            LinkEvent::Drill { at, act: DrillAct::BlackHole(Directions::Up), .. }
                if at == Instant::from_micros(125_000_000)
        ));
    }

    #[test]
    fn a_drill_hole_begins_and_ends_to_the_microsecond() {
        let mut timeline = timeline("fail-safe-drill");
        let mut hole = |us, direction| {
            timeline.advance(Micros::from_micros(us));
            timeline.weather(Micros::from_micros(us), direction).black_hole
        };
        assert!(!hole(4_999_999, Direction::Up));
        assert!(hole(5_000_000, Direction::Up) && !hole(5_000_000, Direction::Down));
        assert!(hole(5_029_999, Direction::Up));
        assert!(!hole(5_030_000, Direction::Up));
    }

    #[test]
    fn a_silence_of_a_year_costs_no_year_of_work() {
        let mut timeline = timeline("rural-5g-nsa-handover");
        let year = Micros::from_secs(365 * 86_400);
        timeline.advance(year);
        let next = timeline.outages.iter().map(|o| o.from).min().unwrap();
        assert!(next >= year && next < year.saturating_add(Micros::from_secs(3_600)));
    }
}
