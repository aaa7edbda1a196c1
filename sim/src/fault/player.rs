//! Doing faults to the world.
//!
//! Knows: which faults are on, and where to lay hands on the world for each. Does not know: what
//! the product should make of it. Every fault counts how often it did something, so that a fault
//! that does nothing is seen.

use super::FaultEvent;
use crate::world::World;
use crate::world::carrier::{CARRIER_BYTES, Road, flip, link_clock};
use crate::world::plant::Broken;
use crate::world::watch::Meddler;
use longhand_follower::supervisor::Request;
use longhand_leader::hand::HandSample;
use longhand_link::{Direction, Directions};
use longhand_protocol::geometry::{ArmId, JointPositions, Pose};
use longhand_protocol::message::{Frame, PROTOCOL_VERSION, ProfileHash};
use longhand_protocol::units::Micros;
use longhand_protocol::wire;
use longhand_quic::virtual_time::UDP_IP_BYTES;
use longhand_robot_agent::arm::simulated::PSM_CLASSIC;
use nalgebra::Vector3;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Plays the faults of a run.
pub struct FaultPlayer {
    faults: Vec<Playing>,
    /// Indices of those that are on.
    on: Vec<usize>,
    /// Bytes held back, by when they go on, in the order they were sent.
    held: BTreeMap<(Micros, u64), (Direction, Road, Vec<u8>)>,
    serial: u64,
}

/// One fault and what it remembers.
struct Playing {
    event: FaultEvent,
    rng: ChaCha8Rng,
    on: bool,
    fired: u64,
    /// Per direction: until when packets are lost, when the line is free, packets seen.
    until: [Micros; 2],
    seen: [u64; 2],
    frozen: Option<HandSample>,
    old: Option<Vec<u8>>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    /// Goes on so much later.
    Later(Micros),
    /// Goes on when this fault ends; only so many are kept.
    WhenOver(usize),
}

impl Playing {
    fn new(event: FaultEvent, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed ^ event.stream.rotate_left(17));
        let zero = [Micros::ZERO; 2];
        Self { event, rng, on: false, fired: 0, until: zero, seen: [0; 2], frozen: None, old: None }
    }

    fn end(&self) -> Micros {
        Micros::from_millis(self.event.at_ms.saturating_add(self.event.for_ms))
    }

    fn unit(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    fn ms(&self, index: usize) -> Micros {
        Micros::from_secs_f64(self.event.value(index).abs() * 1e-3)
    }

    /// Every so many milliseconds while it is on, the first at once.
    fn is_due(&self, at: Micros, every: Micros) -> bool {
        let since = at.saturating_sub(Micros::from_millis(self.event.at_ms)).as_micros() / 1_000;
        since.checked_rem((every.as_micros() / 1_000).max(1)) == Some(0)
    }

    fn for_how_long(&self, at: Micros) -> f64 {
        at.saturating_sub(Micros::from_millis(self.event.at_ms)).as_secs_f64()
    }

    /// Turns one bit over, any.
    fn turn_over(&mut self, bytes: &mut [u8]) {
        let bits = u64::try_from(bytes.len()).unwrap_or(1).saturating_mul(8).max(1);
        let bit = self.rng.next_u64() % bits;
        flip(bytes, bit);
        self.fired = self.fired.saturating_add(1);
    }

    /// What it does to a packet.
    fn fate(&mut self, at: Micros, direction: Direction, road: Road, len: usize) -> Fate {
        let way = usize::from(direction == Direction::Down);
        let dead = |holds: bool| if holds { Fate::Drop } else { Fate::Pass };
        match self.event.kind.as_str() {
            "F01" => dead(self.chance(self.event.value(0))),
            "F02" | "F03" => self.burst(at, way),
            "F04" => {
                let moved = self.chance(self.event.value(0));
                if moved { Fate::Later(self.ms(1)) } else { Fate::Pass }
            }
            "F06" => Fate::Later(self.ms(0)),
            "F07" => self.jitter(at, way),
            "F08" => {
                let down = self.event.value(0) < 0.0;
                if down == (way == 1) { Fate::Later(self.ms(0)) } else { Fate::Pass }
            }
            "F09" => {
                let ramp = self.event.value(1) * self.for_how_long(at);
                let all = self.event.value(0) + ramp;
                Fate::Later(Micros::from_secs_f64(all.min(2_000.0) * 1e-3))
            }
            "F10" => Fate::WhenOver(usize::MAX),
            "F11" | "F12" | "F13" => Fate::Drop,
            "F14" => dead((self.event.value(0) >= 0.5) == (way == 0)),
            "F15" => {
                let phase = self.for_how_long(at) * self.event.value(0);
                dead(phase - libm::floor(phase) < 0.5)
            }
            "F16" => {
                let most = self.event.value(0);
                let long = u32::try_from(on_the_wire(road, len)).unwrap_or(u32::MAX);
                dead(f64::from(long) > most)
            }
            "F17" => self.queue(at, way, on_the_wire(road, len)),
            // Before a cipher that is really there, the bits are turned over: see `sent`.
            "F18" if matches!(road, Road::Packet(_)) => Fate::Pass,
            "F18" => dead(self.event.value(1) < 0.5 && self.chance(self.event.value(0))),
            "F22" if road == Road::Datagram => Fate::WhenOver(4),
            "F40" => dead(self.clogged(at, way)),
            _ => Fate::Pass,
        }
    }

    /// Bursts: the mean loss is kept, whatever the lengths.
    fn burst(&mut self, at: Micros, way: usize) -> Fate {
        let share = self.event.value(0).clamp(0.0, 0.9);
        let pareto = self.event.kind == "F03";
        let lost = self.until.get(way).is_some_and(|until| at < *until);
        if lost {
            return Fate::Drop;
        }
        // Mean burst: given, or that of NetFI's Pareto tails, chosen at 15 ms.
        let mean = if pareto { 15.0 } else { self.event.value(1) };
        // One packet a millisecond: a burst begins so often that the share comes out.
        if !self.chance(share / (1.0 - share) / mean.max(1.0)) {
            return Fate::Pass;
        }
        let u = 1.0 - self.unit();
        let length = if pareto {
            let alpha = self.event.value(1).max(1.1);
            mean * (alpha - 1.0) / alpha / libm::pow(u, 1.0 / alpha)
        } else {
            -mean * libm::log(u)
        };
        if let Some(until) = self.until.get_mut(way) {
            *until = at.saturating_add(Micros::from_secs_f64(length.max(1.0) * 1e-3));
        }
        Fate::Drop
    }

    /// Exponential delay; nobody is overtaken.
    fn jitter(&mut self, at: Micros, way: usize) -> Fate {
        let delay = -self.event.value(0) * libm::log(1.0 - self.unit());
        let due = at.saturating_add(Micros::from_secs_f64(delay * 1e-3));
        let Some(last) = self.until.get_mut(way) else { return Fate::Pass };
        *last = due.max(*last);
        Fate::Later(last.saturating_sub(at))
    }

    fn queue(&mut self, at: Micros, way: usize, len: usize) -> Fate {
        let bits = u32::try_from(len.saturating_mul(8));
        let takes = f64::from(bits.unwrap_or(u32::MAX)) / (self.event.value(0).max(0.01) * 1e6);
        let takes = Micros::from_secs_f64(takes);
        let longest = takes.as_secs_f64() * self.event.value(1);
        let Some(free) = self.until.get_mut(way) else { return Fate::Pass };
        let wait = free.saturating_sub(at);
        if wait.as_secs_f64() > longest {
            return Fate::Drop;
        }
        *free = (*free).max(at).saturating_add(takes);
        Fate::Later(free.saturating_sub(at))
    }

    /// Up clogs first, down a quarter later; which is freed first is drawn with the stream.
    fn clogged(&self, at: Micros, way: usize) -> bool {
        let whole = Micros::from_millis(self.event.for_ms).as_secs_f64();
        let phase = self.for_how_long(at) / whole.max(1e-3);
        let first = usize::from(self.event.stream % 2 == 1);
        let begins = if way == 0 { 0.0 } else { 0.25 };
        let ends = if way == first { 0.6 } else { 1.0 };
        phase >= begins && phase < ends
    }
}

/// How long a packet is on the wire.
const fn on_the_wire(road: Road, len: usize) -> usize {
    match road {
        Road::Datagram | Road::Frame => len.saturating_add(CARRIER_BYTES),
        Road::Packet(_) => len.saturating_add(UDP_IP_BYTES),
    }
}

impl FaultPlayer {
    /// A player of these faults; all that is random comes from `seed` and each fault's stream.
    pub fn new(events: &[FaultEvent], seed: u64) -> Self {
        let faults = events.iter().map(|event| Playing::new(event.clone(), seed)).collect();
        Self { faults, on: Vec::new(), held: BTreeMap::new(), serial: 0 }
    }

    /// How often each fault did something, in the order they were given.
    pub fn fired(&self) -> impl Iterator<Item = u64> + '_ {
        self.faults.iter().map(|fault| fault.fired)
    }

    fn hold(&mut self, until: Micros, direction: Direction, road: Road, bytes: &[u8]) {
        self.serial = self.serial.saturating_add(1);
        self.held.insert((until, self.serial), (direction, road, bytes.to_vec()));
    }

    fn release(&mut self, at: Micros, world: &mut World) {
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= at) {
            let (direction, road, bytes) = entry.remove();
            world.carrier().send(at, direction, road, &bytes);
        }
    }

    /// Faults begin and end.
    fn switch(&mut self, at: Micros, world: &mut World) {
        let mut arms_changed = false;
        for fault in &mut self.faults {
            let on = fault.event.is_on(at);
            if on == fault.on {
                continue;
            }
            fault.on = on;
            arms_changed |= matches!(fault.event.kind.as_str(), "F33" | "F34");
            if on {
                begin(fault, at, world);
            } else {
                end(fault, at, world);
            }
        }
        let on = |(index, fault): (usize, &Playing)| fault.on.then_some(index);
        self.on = self.faults.iter().enumerate().filter_map(on).collect();
        if arms_changed {
            let arm = &mut world.servo().arms_mut().psm1;
            arm.set_broken(self.broken());
            arm.plant().push(&self.pushed());
        }
    }

    fn broken(&self) -> Broken {
        let mut broken = Broken::default();
        for fault in self.faults.iter().filter(|fault| fault.on) {
            let (how, joint) = (fault.event.value(0), fault.event.value(1));
            let (offset, place) = (fault.event.value(2), joint.clamp(1.0, 6.0) - 1.0);
            let set = |flags: &mut [bool; 6]| {
                for (index, flag) in (0_u8..).zip(flags) {
                    *flag |= (f64::from(index) - place).abs() < 0.5;
                }
            };
            let add = |joints: &mut JointPositions, value: f64| {
                for (index, joint) in (0_u8..).zip(&mut joints.0) {
                    *joint += if (f64::from(index) - place).abs() < 0.5 { value } else { 0.0 };
                }
            };
            match (fault.event.kind.as_str(), how) {
                ("F33", how) if how < 0.67 => set(&mut broken.stuck),
                ("F33", how) if how < 1.34 => add(&mut broken.offset, offset),
                ("F33", _) => add(&mut broken.offset, f64::NAN),
                ("F34", how) if how < 0.5 => set(&mut broken.jammed),
                ("F34", how) if how < 1.5 => set(&mut broken.reversed),
                ("F34", how) if how < 2.5 => add(&mut broken.written_offset, offset),
                _ => {}
            }
        }
        broken
    }

    /// What pushes on the first arm's joints: more than their motors can hold.
    fn pushed(&self) -> JointPositions {
        let mut efforts = JointPositions::default();
        for fault in self.faults.iter().filter(|fault| fault.on && fault.event.kind == "F34") {
            let (how, joint) = (fault.event.value(0), fault.event.value(1));
            let place = joint.clamp(1.0, 6.0) - 1.0;
            let rows = (0_u8..).zip(efforts.0.iter_mut().zip(&PSM_CLASSIC));
            for (index, (effort, motor)) in rows.filter(|_| how >= 2.5) {
                if (f64::from(index) - place).abs() < 0.5 {
                    *effort += OVERPOWERED * motor.effort_max * fault.event.value(2).signum();
                }
            }
        }
        efforts
    }
}

/// How much stronger than its motor what pushes on a joint is. Chosen: enough to move it at once.
const OVERPOWERED: f64 = 1.5;

/// What a fault does once, when it begins.
fn begin(fault: &mut Playing, at: Micros, world: &mut World) {
    let until = fault.end();
    let span = until.saturating_sub(at);
    let mut acts = true;
    match fault.event.kind.as_str() {
        "F20" => {
            for index in 0..world.carrier().paths() {
                if let Some(path) = world.carrier().path(index) {
                    let _full = path.black_hole(Directions::Both, link_clock(at), span);
                }
            }
        }
        "F21" => world.carrier().skew(0, fault.ms(0)),
        "F22" => acts = stall_both_ends(at, world, until),
        "F23" => acts = world.carrier().update_keys(),
        "F25" if fault.event.value(0) >= 0.5 => world.kill_console(span),
        "F25" => {
            world.console().stall(until);
            world.carrier().stall(at, Direction::Down, until);
        }
        "F26" => world.kill_network(span),
        "F28" => clock(fault, at, world),
        "F39" => {
            let mut key = world.key();
            key.profile = ProfileHash::new(key.profile.get() ^ 0x5a5a);
            world.console().rekey(key);
        }
        // The caller breaks the arm.
        "F33" | "F34" => {}
        // Those that act on every packet, tick or sample count that themselves.
        _ => acts = false,
    }
    fault.fired = fault.fired.saturating_add(u64::from(acts));
}

fn end(fault: &mut Playing, at: Micros, world: &mut World) {
    match fault.event.kind.as_str() {
        "F21" => world.carrier().skew(0, Micros::ZERO),
        "F28" if fault.event.value(0) < 0.67 => {
            if fault.event.value(1) >= 0.5 {
                world.console().clock().drift(at, 0);
            } else {
                world.robot().clock().drift(at, 0);
            }
        }
        "F39" => world.console().ask_anew(),
        _ => {}
    }
}

fn clock(fault: &Playing, at: Micros, world: &mut World) {
    let (how, size) = (fault.event.value(0), fault.event.value(2));
    // Drift in ppm, steps and freezes in ms; whole numbers of either.
    let whole = whole(size);
    let step_us = i64::from(whole).saturating_mul(1_000);
    let frozen = fault.ms(2);
    if fault.event.value(1) >= 0.5 {
        let clock = world.console().clock();
        match how {
            how if how < 0.67 => clock.drift(at, whole),
            how if how < 1.34 => clock.step(at, step_us),
            _ => clock.freeze(at, frozen),
        }
    } else {
        let clock = world.robot().clock();
        match how {
            how if how < 0.67 => clock.drift(at, whole),
            how if how < 1.34 => clock.step(at, step_us),
            _ => clock.freeze(at, frozen),
        }
    }
}

#[expect(clippy::as_conversions, reason = "clamped far inside i32")]
const fn whole(size: f64) -> i32 {
    size.clamp(-100_000.0, 100_000.0) as i32
}

/// What a fault does in every millisecond.
fn every_tick(fault: &mut Playing, at: Micros, world: &mut World) {
    match fault.event.kind.as_str() {
        "F19" if fault.is_due(at, fault.ms(0)) && world.carrier().rebind() => {
            fault.fired = fault.fired.saturating_add(1);
        }
        "F27" if fault.is_due(at, fault.ms(1)) => {
            world.robot().stall(at.saturating_add(fault.ms(0)));
            fault.fired = fault.fired.saturating_add(1);
        }
        "F29" if fault.is_due(at, fault.ms(1)) => {
            let until = at.saturating_add(fault.ms(0));
            world.robot().stall(until);
            world.console().stall(until);
            // Where a machine's time is stolen, its network thread has none either.
            stall_both_ends(at, world, until);
            fault.fired = fault.fired.saturating_add(1);
        }
        "F37" if fault.is_due(at, fault.ms(0)) => {
            // Take, give, a second claimant, and a word of the session before: in one millisecond.
            fault.fired = fault.fired.saturating_add(1);
            world.robot().ask(Request::Release);
            world.robot().ask(Request::HandOver);
            let (version, robot) = (PROTOCOL_VERSION, world.key().robot);
            let mut body = [0; wire::FRAME_MAX];
            let half = fault.event.stream;
            let hello = Frame::Hello { version, robot, half, resume: 0 };
            let len = wire::encode_frame(&hello, &mut body);
            let bytes = body.get(..len).unwrap_or_default().to_vec();
            world.inject(Direction::Up, Road::Frame, bytes);
            if let Some(old) = fault.old.clone() {
                world.inject(Direction::Up, Road::Datagram, old);
            }
        }
        _ => {}
    }
}

impl Meddler for FaultPlayer {
    fn tick(&mut self, at: Micros, world: &mut World) {
        self.switch(at, world);
        self.release(at, world);
        let mut faults = std::mem::take(&mut self.faults);
        for index in &self.on {
            if let Some(fault) = faults.get_mut(*index) {
                every_tick(fault, at, world);
            }
        }
        self.faults = faults;
    }

    fn sent(&mut self, at: Micros, direction: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        if self.on.is_empty() && self.held.is_empty() {
            return true;
        }
        let mut later = Micros::ZERO;
        let mut copies: Vec<Micros> = Vec::new();
        let mut over: Option<(Micros, usize)> = None;
        for index in &self.on {
            let Some(fault) = self.faults.get_mut(*index) else { continue };
            if fault.event.kind == "F05" && road != Road::Frame {
                if fault.chance(fault.event.value(0)) {
                    let lag = fault.ms(2);
                    let many = fault.event.value(1).clamp(1.0, 10.0);
                    let due = |n: u8| at.saturating_add(lag.saturating_mul(u64::from(n)));
                    copies.extend((1..=10_u8).filter(|n| f64::from(*n) <= many).map(due));
                    fault.fired = fault.fired.saturating_add(1);
                }
                continue;
            }
            let is_packet = matches!(road, Road::Packet(_));
            let wrong = fault.event.kind == "F18" && fault.event.value(1) < 0.5 && is_packet;
            if wrong && fault.chance(fault.event.value(0)) {
                fault.turn_over(bytes);
            }
            let fate = fault.fate(at, direction, road, bytes.len());
            fault.fired = fault.fired.saturating_add(u64::from(fate != Fate::Pass));
            match fate {
                Fate::Pass => {}
                Fate::Drop => return false,
                Fate::Later(by) => later = later.saturating_add(by),
                Fate::WhenOver(kept) => over = Some((fault.end(), kept)),
            }
        }
        for due in copies {
            self.hold(due, direction, road, bytes);
        }
        if let Some((end, kept)) = over {
            self.hold(end, direction, road, bytes);
            let same = |(key, held): (&(Micros, u64), &(Direction, Road, Vec<u8>))| {
                (key.0 == end && held.0 == direction).then_some(*key)
            };
            let waiting: Vec<_> = self.held.iter().filter_map(same).collect();
            // The oldest goes, as in the product's own send queue.
            for key in waiting.iter().take(waiting.len().saturating_sub(kept)) {
                self.held.remove(key);
            }
            return false;
        }
        if later > Micros::ZERO {
            self.hold(at.saturating_add(later), direction, road, bytes);
            return false;
        }
        true
    }

    fn received(
        &mut self,
        _at: Micros,
        direction: Direction,
        road: Road,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let way = usize::from(direction == Direction::Down);
        for index in &self.on {
            let Some(fault) = self.faults.get_mut(*index) else { continue };
            let is_command = direction == Direction::Up && road == Road::Datagram;
            if fault.event.kind == "F37" && is_command && fault.old.is_none() {
                fault.old = Some(bytes.clone());
            }
            let wrong = match fault.event.kind.as_str() {
                "F18" => fault.event.value(1) >= 0.5 && fault.chance(fault.event.value(0)),
                "F30" if road == Road::Datagram => {
                    let seen = fault.seen.get_mut(way).map_or(0, |seen| {
                        *seen = seen.saturating_add(1);
                        *seen
                    });
                    f64::from(u32::try_from(seen).unwrap_or(u32::MAX))
                        % fault.event.value(0).max(2.0)
                        < 1.0
                }
                _ => false,
            };
            if wrong {
                fault.turn_over(bytes);
            }
        }
        true
    }

    fn hand(&mut self, at: Micros, sample: &mut HandSample) {
        for index in &self.on {
            let Some(fault) = self.faults.get_mut(*index) else { continue };
            let (how, size) = (fault.event.value(0), fault.event.value(1));
            match fault.event.kind.as_str() {
                "F35" => {
                    let half = (fault.ms(1).as_micros() / 1_000).max(1);
                    let odd = (at.as_micros() / 1_000 / half) % 2 == 1;
                    sample.operator_present = match how {
                        how if how < 0.67 => odd,
                        how if how < 1.34 => true,
                        _ => false,
                    };
                }
                "F36" => worst_hand(fault, at, sample, how, size * 1e-3),
                _ => continue,
            }
            fault.fired = fault.fired.saturating_add(1);
        }
    }
}

/// Neither end's connection sends before `until`; whether there is one.
fn stall_both_ends(at: Micros, world: &mut World, until: Micros) -> bool {
    [Direction::Up, Direction::Down].into_iter().all(|end| world.carrier().stall(at, end, until))
}

fn worst_hand(fault: &mut Playing, at: Micros, sample: &mut HandSample, how: f64, size: f64) {
    let frozen = *fault.frozen.get_or_insert(*sample);
    if (2.5..3.5).contains(&how) {
        // The device says nothing: its last word stands.
        *sample = frozen;
        return;
    }
    let shake = libm::sin(at.as_secs_f64() * core::f64::consts::TAU * 10.0);
    for arm in ArmId::ALL {
        let hand = sample.hands.get_mut(arm);
        hand.pose = match how {
            how if how < 0.5 => moved(&hand.pose, size),
            how if how < 1.5 => frozen.hands.get(arm).pose,
            how if how >= 3.5 => moved(&hand.pose, f64::NAN),
            _ => moved(&hand.pose, size * 0.1 * shake),
        };
    }
}

fn moved<A, B>(pose: &Pose<A, B>, by: f64) -> Pose<A, B> {
    Pose::new(pose.position() + Vector3::new(by, by, 0.0), pose.rotation())
}
