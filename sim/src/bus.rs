//! `longhand-sim bus`: stand-in servos on a pseudo-terminal, for whoever has no arm at hand and for
//! every fault that a real one would have to be broken for.
//!
//! Knows: half-duplex timing, what a servo answers, what may be wrong with it and with its cable.
//! Does not know: any driver; it hears bytes and says bytes, and the vendors' own SDKs drive it.
//!
//! Time is handed in, so tests run it in virtual time; `command` hands in the machine's. Same seed
//! and same requests at the same times, same bytes.

pub mod command;
pub mod fault;
mod pty;
mod servo;

use fault::{Fault, Kind};
use longhand_bus::answer::{Complaint, FastAnswer, Status};
use longhand_bus::model::{Model, STS3215, XM430_W350};
use longhand_bus::packet::Packet;
use longhand_bus::receive::{Frame, Receiver};
use longhand_bus::request::Request;
use longhand_bus::{Id, Protocol, Span, Target};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use servo::Servo;
use std::collections::BTreeMap;

/// An arm's servos, as they come to a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arm {
    /// SO-101 follower: six STS3215 at 5 V, numbers 1 to 6
    So101,
    /// OpenMANIPULATOR-X: five XM430-W350 at 12 V, numbers 11 to 15
    Dynamixel,
}

impl Arm {
    /// Its servos' model, their numbers, and the supply in volts.
    ///
    /// Source: LeRobot's `so101_follower` (1 to 6); ROBOTIS' `open_manipulator_x` (11 to 15).
    fn servos(self) -> (&'static Model, std::ops::RangeInclusive<u8>, f64) {
        match self {
            Self::So101 => (&STS3215, 1..=6, 5.0),
            Self::Dynamixel => (&XM430_W350, 11..=15, 12.0),
        }
    }
}

/// The bus: bytes in, bytes out, each at its time.
pub struct Bus {
    protocol: Protocol,
    baud: u32,
    servos: Vec<Servo>,
    receiver: Receiver,
    /// What will have been said by when: whole answers, in order.
    out: BTreeMap<(u64, u64), Vec<u8>>,
    serial: u64,
    /// When the wire is free again.
    free_us: u64,
    now_us: u64,
    faults: Vec<Fault>,
    chance: ChaCha8Rng,
    counts: Counts,
}

/// What happened on the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were whole.
    pub requests: u64,
    /// Answers that were begun.
    pub answers: u64,
    /// Requests that nobody had to answer, or nobody understood.
    pub unanswered: u64,
    /// How often a fault of each kind changed something, in the order of [`Kind::ALL`].
    pub fired: [u64; Kind::ALL.len()],
}

/// How a servo stands, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Its number, as it says it.
    pub id: u8,
    /// Steps.
    pub position: i64,
    /// Whether its motor is on.
    pub torque: bool,
    /// Degrees Celsius.
    pub celsius: i64,
    /// Its hardware error status.
    pub error: i64,
}

impl Bus {
    /// An arm's bus, its servos at the middle of their turn, with no torque.
    pub fn new(arm: Arm, baud: u32, faults: Vec<Fault>, seed: u64) -> Self {
        let (model, ids, volts) = arm.servos();
        let mut servos: Vec<Servo> = ids.map(|id| Servo::new(model, id, volts, baud)).collect();
        let mut counts = Counts::default();
        for fault in faults.iter().filter(|fault| fault.kind == Kind::WrongId) {
            let place = fault.id.map_or(0, |id| place_of(&servos, id).unwrap_or(0));
            if let Some(servo) = servos.get_mut(place) {
                // Chosen: far from every arm's numbers, so that one is missing and one is strange.
                servo.renumber(servo.id().saturating_add(100));
                counts.count(Kind::WrongId);
            }
        }
        Self {
            protocol: model.protocol,
            baud,
            servos,
            receiver: Receiver::new(model.protocol),
            out: BTreeMap::new(),
            serial: 0,
            free_us: 0,
            now_us: 0,
            faults,
            chance: ChaCha8Rng::seed_from_u64(seed),
            counts,
        }
    }

    /// Moves the servos on to `now_us`. Call it at least a hundred times a second.
    pub fn advance(&mut self, now_us: u64) {
        let from = self.now_us;
        self.now_us = now_us.max(from);
        for place in 0..self.servos.len() {
            let stuck = self.strikes(Kind::Stuck, place);
            let hot = self.strikes(Kind::Hot, place);
            let brown = self.strikes(Kind::Brownout, place);
            let Some(servo) = self.servos.get_mut(place) else { continue };
            let changed = servo.advance(now_us.saturating_sub(from), stuck, hot, brown);
            for (kind, times) in [(Kind::Stuck, stuck), (Kind::Hot, hot), (Kind::Brownout, brown)] {
                if times && changed {
                    self.counts.count(kind);
                }
            }
        }
    }

    /// Takes what the host says at `now_us`.
    pub fn hear(&mut self, now_us: u64, bytes: &[u8]) {
        self.advance(now_us);
        if self.on_the_wire(Kind::Silent) {
            self.counts.count(Kind::Silent);
            return;
        }
        let begins = self.free_us.max(now_us);
        self.free_us = begins.saturating_add(self.wire_us(bytes.len()));
        if self.on_the_wire(Kind::Echo) {
            self.counts.count(Kind::Echo);
            self.say_at(self.free_us, bytes.to_vec());
        }
        self.receiver.push(bytes);
        while let Some(frame) = self.receiver.next_frame() {
            self.counts.requests = self.counts.requests.saturating_add(1);
            let before = self.counts.answers;
            self.answer(&frame);
            if self.counts.answers == before {
                self.counts.unanswered = self.counts.unanswered.saturating_add(1);
            }
        }
        // A host says a request in one piece; whoever stops amid one begins anew.
        if self.receiver.pending() > 0 && bytes.len() > self.receiver.pending() {
            while self.receiver.give_up().is_some() {}
        }
    }

    /// When there is next something to say.
    pub fn due(&self) -> Option<u64> {
        self.out.keys().next().map(|(at, _)| *at)
    }

    /// What has been said by `now_us`.
    pub fn say(&mut self, now_us: u64) -> Vec<u8> {
        let later = self.out.split_off(&(now_us.saturating_add(1), 0));
        std::mem::replace(&mut self.out, later).into_values().flatten().collect()
    }

    /// Whether the adapter is out of its socket.
    pub fn unplugged(&mut self, now_us: u64) -> bool {
        self.now_us = self.now_us.max(now_us);
        self.on_the_wire(Kind::Unplugged)
    }

    /// The adapter was pulled: what was on its way is gone.
    pub fn pulled(&mut self) {
        self.counts.count(Kind::Unplugged);
        self.out.clear();
        self.receiver = Receiver::new(self.protocol);
    }

    /// What happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How the servos stand.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.servos.iter().map(Servo::shown)
    }

    fn answer(&mut self, frame: &Frame) {
        for servo in &mut self.servos {
            servo.hears();
        }
        let Some(request) = Request::of(frame, self.protocol) else {
            // Dynamixel says that it does not know an instruction; Feetech is silent.
            if let (Protocol::Dynamixel, Some(id)) = (self.protocol, Id::new(frame.id())) {
                self.each(Target::One(id), |_, _| Some((INSTRUCTION_ERROR, Vec::new())));
            }
            return;
        };
        match request {
            Request::Ping(to) => self.each(to, |servo, _| Some(servo.ping())),
            Request::Read(id, span) => {
                self.each(Target::One(id), |servo, _| servo.read(span));
            }
            Request::Write(to, address, data) => {
                self.each(to, |servo, alone| {
                    let error = servo.write(address, data);
                    (alone && servo.answers_writes()).then_some((error, Vec::new()))
                });
            }
            Request::WriteLater(to, address, data) => self.each(to, |servo, alone| {
                servo.write_later(address, data);
                (alone && servo.answers_writes()).then_some((0, Vec::new()))
            }),
            Request::Action(to) => self.each(to, |servo, alone| {
                let error = servo.act();
                (alone && servo.answers_writes()).then_some((error, Vec::new()))
            }),
            Request::Reboot(to) => self.each(to, |servo, alone| {
                servo.power_up();
                alone.then_some((0, Vec::new()))
            }),
            Request::SyncRead(span, ids) => {
                for id in ids.iter().filter_map(|id| Id::new(*id)) {
                    self.each(Target::One(id), |servo, _| servo.read(span));
                }
            }
            Request::FastSyncRead(span, ids) => self.answer_in_one(span, ids),
            Request::SyncWrite(span, rows) => {
                for row in rows.chunks(usize::from(span.bytes).saturating_add(1)) {
                    let Some((id, data)) = row.split_first() else { continue };
                    let servos = self.servos.iter_mut().filter(|servo| servo.id() == *id);
                    servos.for_each(|servo| {
                        servo.write(span.address, data);
                    });
                }
            }
        }
    }

    /// Each servo that is meant answers in turn. `act` is told whether one alone is meant.
    fn each(&mut self, to: Target, mut act: impl FnMut(&mut Servo, bool) -> Option<(u8, Vec<u8>)>) {
        for place in 0..self.servos.len() {
            let Some(servo) = self.servos.get_mut(place) else { continue };
            let alone = match to {
                Target::One(id) if id.get() != servo.id() => continue,
                Target::One(_) => true,
                Target::All => false,
            };
            let Some((error, data)) = act(servo, alone) else { continue };
            let (error, delay) = (servo.error_byte(error), servo.return_delay_us());
            let Some(id) = Id::new(servo.id()) else { continue };
            let complaint = Complaint::of(self.protocol, error);
            if let Ok(packet) = (Status { id, complaint, data: &data }).encode() {
                self.begin(place, delay, &packet);
            }
        }
    }

    /// All in one frame; whoever is missing ends it there, as those behind wait for their turn.
    fn answer_in_one(&mut self, span: Span, ids: &[u8]) {
        let Ok(mut answer) = FastAnswer::begin(ids.len(), span.bytes) else { return };
        let (mut first, mut delay) = (None, 0);
        for id in ids {
            let Some(place) = place_of(&self.servos, *id) else { break };
            let Some(servo) = self.servos.get_mut(place) else { break };
            let (Some((error, data)), Some(id)) = (servo.read(span), Id::new(*id)) else { break };
            if first.is_none() {
                (first, delay) = (Some(place), servo.return_delay_us());
            }
            if answer.add(servo.error_byte(error), id, &data).is_err() {
                break;
            }
        }
        if let Some(place) = first {
            self.begin(place, delay, answer.packet());
        }
    }

    /// An answer goes onto the wire, with all that may befall it.
    fn begin(&mut self, place: usize, delay_us: u64, packet: &Packet) {
        self.counts.answers = self.counts.answers.saturating_add(1);
        let mut bytes = packet.as_slice().to_vec();
        let mut begins = self.free_us.saturating_add(delay_us);
        if let Some(fault) = self.struck(Kind::Slow, place) {
            self.counts.count(Kind::Slow);
            begins = begins.saturating_add(fault.late_us);
        }
        if self.strikes(Kind::Corrupt, place) {
            self.counts.count(Kind::Corrupt);
            let at = self.drawn_below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (self.chance.next_u32() & 7);
            }
        }
        if self.strikes(Kind::Half, place) {
            self.counts.count(Kind::Half);
            bytes.truncate(bytes.len() / 2);
        }
        if self.strikes(Kind::Noise, place) {
            self.counts.count(Kind::Noise);
            let noise = self.chance.next_u64().to_le_bytes();
            let many = self.drawn_below(noise.len()).saturating_add(1);
            bytes.splice(0..0, noise.into_iter().take(many));
        }
        self.free_us = begins.saturating_add(self.wire_us(bytes.len()));
        self.say_at(self.free_us, bytes);
    }

    fn say_at(&mut self, at_us: u64, bytes: Vec<u8>) {
        self.serial = self.serial.saturating_add(1);
        self.out.insert((at_us, self.serial), bytes);
    }

    /// Whether a fault of the wire itself is on.
    fn on_the_wire(&self, kind: Kind) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind && fault.on(self.now_us))
    }

    /// Whether a fault strikes this servo now. Draws, where it strikes only sometimes.
    fn strikes(&mut self, kind: Kind, place: usize) -> bool {
        self.struck(kind, place).is_some()
    }

    fn struck(&mut self, kind: Kind, place: usize) -> Option<Fault> {
        let id = self.servos.get(place).map(Servo::id)?;
        let now = self.now_us;
        let mine = |fault: &&Fault| {
            let meant = fault.id.is_none_or(|named| named == id);
            fault.kind == kind && fault.on(now) && meant
        };
        let fault = self.faults.iter().find(mine).copied()?;
        let struck = fault.share >= 1.0
            || f64::from(self.chance.next_u32()) < fault.share * f64::from(u32::MAX);
        struck.then_some(fault)
    }

    fn drawn_below(&mut self, many: usize) -> usize {
        let drawn = usize::try_from(self.chance.next_u32()).unwrap_or(0);
        drawn.checked_rem(many).unwrap_or(0)
    }

    /// A start bit, eight bits, a stop bit.
    fn wire_us(&self, bytes: usize) -> u64 {
        let bits = u64::try_from(bytes).unwrap_or(0).saturating_mul(10);
        bits.saturating_mul(1_000_000).div_ceil(u64::from(self.baud.max(1)))
    }
}

impl Counts {
    fn count(&mut self, kind: Kind) {
        let place = Kind::ALL.iter().position(|other| *other == kind);
        if let Some(fired) = place.and_then(|place| self.fired.get_mut(place)) {
            *fired = fired.saturating_add(1);
        }
    }

    /// How often a fault of this kind changed something.
    pub fn fired(&self, kind: Kind) -> u64 {
        let place = Kind::ALL.iter().position(|other| *other == kind);
        place.and_then(|place| self.fired.get(place)).copied().unwrap_or(0)
    }
}

fn place_of(servos: &[Servo], id: u8) -> Option<usize> {
    servos.iter().position(|servo| servo.id() == id)
}

/// Source: `ERRNUM_INSTRUCTION` of ROBOTIS' SDK.
const INSTRUCTION_ERROR: u8 = 2;

/// What a servo has in a register, for tests.
#[cfg(test)]
fn value(bus: &Bus, id: u8, what: longhand_bus::model::What) -> i64 {
    bus.servos.iter().find(|servo| servo.id() == id).map_or(0, |servo| servo.get(what))
}

#[cfg(test)]
mod tests;
