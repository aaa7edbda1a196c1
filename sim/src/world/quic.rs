//! Real QUIC over the emulated link: one connection a path, its packets through the pipes.
//!
//! Knows: which packet enters which pipe and what comes out of it. Does not know: handshakes and
//! retransmissions (`longhand_quic::virtual_time`), or what the bytes say.

use crate::world::carrier::{Arrival, Came, Carrier, Port, Road, flip, link_clock};
use longhand_link::{Direction, Emulator, LinkStats, Pipe};
use longhand_protocol::units::Micros;
use longhand_quic::virtual_time::{Event, Packet, Pair, PairError, Party, UDP_IP_BYTES};
use std::collections::{BTreeMap, VecDeque};

/// A carrier of QUIC connections, one a path. Every datagram and every frame goes by all of them
/// that stand.
pub struct Quic {
    lanes: Vec<Lane>,
    ready: VecDeque<Arrival>,
}

/// A connection and its way.
struct Lane {
    pair: Pair,
    pipe: Pipe<(u16, Vec<u8>)>,
    skew: Micros,
    /// What a skewed pipe brought, until it is due.
    late: BTreeMap<(Micros, u64), Packet>,
    serial: u64,
    /// Whether each end's connection stands: up (the robot's), down (the console's).
    stands: [bool; 2],
}

const fn way(direction: Direction) -> usize {
    match direction {
        Direction::Up => 0,
        Direction::Down => 1,
    }
}

/// Who sends in this direction.
const fn send_of(direction: Direction) -> Party {
    match direction {
        Direction::Up => Party::Console,
        Direction::Down => Party::Robot,
    }
}

/// Who is at the end of this direction.
const fn end_of(direction: Direction) -> Party {
    match direction {
        Direction::Up => Party::Robot,
        Direction::Down => Party::Console,
    }
}

/// The direction that leads to this end.
const fn toward(end: Party) -> Direction {
    match end {
        Party::Robot => Direction::Up,
        Party::Console => Direction::Down,
    }
}

/// The direction that leads away from this end.
const fn away_from(end: Party) -> Direction {
    match end {
        Party::Robot => Direction::Down,
        Party::Console => Direction::Up,
    }
}

impl Lane {
    fn next_due(&self) -> Option<Micros> {
        let packet = self.pipe.next_due().map(|due| Micros::from_micros(due.as_micros()));
        let late = self.late.first_key_value().map(|((due, _), _)| *due);
        [packet, late, self.pair.due()].into_iter().flatten().min()
    }

    /// Does the next thing that is due: a packet before a timer, where both are.
    fn step(&mut self, at: Micros) {
        if let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= at) {
            let packet = entry.remove();
            return self.arrive(at, packet);
        }
        let Some(delivery) = self.pipe.poll(link_clock(at)) else { return self.pair.turn(at) };
        let (port, mut bytes) = delivery.payload;
        if let Some(bit) = delivery.wrong_bit {
            flip(&mut bytes, bit);
        }
        let packet = Packet { from: send_of(delivery.direction), port, bytes };
        if self.skew == Micros::ZERO {
            return self.arrive(at, packet);
        }
        self.serial = self.serial.saturating_add(1);
        self.late.insert((at.saturating_add(self.skew), self.serial), packet);
    }

    fn arrive(&mut self, at: Micros, packet: Packet) {
        self.pair.packet(at, &packet);
        self.pair.recycle(packet.bytes);
    }
}

impl Quic {
    /// A carrier over these links: one path each. Nothing is connected.
    ///
    /// Errors: [`PairError`]; none that depends on the seed.
    pub fn new(links: impl IntoIterator<Item = Emulator>, seed: u64) -> Result<Self, PairError> {
        let lane = |(path, link): (u64, Emulator)| {
            Ok(Lane {
                pair: Pair::new(seed ^ path.rotate_left(48))?,
                pipe: Pipe::new(link),
                skew: Micros::ZERO,
                late: BTreeMap::new(),
                serial: 0,
                stands: [false; 2],
            })
        };
        let lanes = (0..).zip(links).map(lane).collect::<Result<_, PairError>>()?;
        Ok(Self { lanes, ready: VecDeque::new() })
    }

    fn stands(&self, direction: Direction) -> bool {
        self.lanes.iter().any(|lane| lane.stands.get(way(direction)) == Some(&true))
    }

    /// Takes what happened on one path. An end is connected while any path is, and hears of no
    /// more than that.
    fn collect(&mut self, index: usize, at: Micros) {
        while let Some(event) = self.lanes.get_mut(index).and_then(|lane| lane.pair.poll_event()) {
            let (end, came) = match event {
                Event::Connected { at } => (at, Came::Connected),
                Event::Closed { at } => (at, Came::Closed),
                Event::Datagram { at, bytes } => (at, Came::Bytes { road: Road::Datagram, bytes }),
                Event::Frame { at, bytes } => (at, Came::Bytes { road: Road::Frame, bytes }),
            };
            let direction = toward(end);
            let stood = self.stands(direction);
            match &came {
                Came::Bytes { .. } => {}
                Came::Connected => self.set_stands(index, direction, true),
                Came::Closed => self.set_stands(index, direction, false),
            }
            if came == Came::Closed && end == Party::Console {
                // As the console's pump does: it never gives up.
                if let Some(lane) = self.lanes.get_mut(index) {
                    lane.pair.connect(at);
                }
            }
            let is_news = stood != self.stands(direction) || matches!(came, Came::Bytes { .. });
            if !is_news {
                continue;
            }
            self.ready.push_back(Arrival { due: at, direction, came });
        }
    }

    fn set_stands(&mut self, index: usize, direction: Direction, now: bool) {
        let stands = self.lanes.get_mut(index).and_then(|l| l.stands.get_mut(way(direction)));
        if let Some(stands) = stands {
            *stands = now;
        }
    }
}

impl Carrier for Quic {
    fn send(&mut self, at: Micros, direction: Direction, road: Road, bytes: &[u8]) {
        let from = send_of(direction);
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(index) else { return };
            match road {
                Road::Datagram => lane.pair.datagram(at, from, bytes),
                Road::Frame => lane.pair.frame(at, from, bytes),
                Road::Packet(port) => return self.enter(at, direction, port, bytes.to_vec()),
            }
            self.collect(index, at);
        }
    }

    fn enter(&mut self, at: Micros, direction: Direction, port: Port, bytes: Vec<u8>) {
        let Some(lane) = self.lanes.get_mut(port.path) else { return };
        let len = bytes.len().saturating_add(UDP_IP_BYTES);
        let _fate = lane.pipe.offer(link_clock(at), direction, len, (port.port, bytes));
    }

    fn poll(&mut self, at: Micros) -> Option<Arrival> {
        if let Some(arrival) = self.ready.pop_front() {
            return Some(arrival);
        }
        let due = |(index, lane): (usize, &Lane)| Some((lane.next_due()?, index));
        let (_, index) =
            self.lanes.iter().enumerate().filter_map(due).min().filter(|(due, _)| *due <= at)?;
        self.lanes.get_mut(index)?.step(at);
        self.collect(index, at);
        self.ready.pop_front()
    }

    fn next_due(&self) -> Option<Micros> {
        let ready = self.ready.front().map(|arrival| arrival.due);
        ready.or_else(|| self.lanes.iter().filter_map(Lane::next_due).min())
    }

    fn connect(&mut self, at: Micros) {
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.pair.connect(at);
            }
            self.set_stands(index, Direction::Down, false);
            self.collect(index, at);
        }
    }

    fn died(&mut self, at: Micros, direction: Direction, back_at: Micros) {
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.pair.died(at, end_of(direction), back_at);
            }
            self.set_stands(index, direction, false);
        }
    }

    fn has_connections(&self) -> bool {
        true
    }

    fn leaving(&mut self) -> Option<(Direction, Port, Vec<u8>)> {
        let mut lanes = self.lanes.iter_mut().enumerate();
        let (path, packet) =
            lanes.find_map(|(path, lane)| Some((path, lane.pair.poll_packet()?)))?;
        let Packet { from, port, bytes } = packet;
        Some((away_from(from), Port { path, port }, bytes))
    }

    fn rebind(&mut self) -> bool {
        self.lanes.iter_mut().for_each(|lane| lane.pair.rebind());
        true
    }

    fn update_keys(&mut self) -> bool {
        let updated =
            self.lanes.iter_mut().filter_map(|lane| lane.pair.update_keys().then_some(()));
        updated.count() > 0
    }

    fn stall(&mut self, at: Micros, direction: Direction, until: Micros) -> bool {
        let end = end_of(direction);
        self.lanes.iter_mut().for_each(|lane| lane.pair.stall(at, end, until));
        true
    }

    fn path(&mut self, index: usize) -> Option<&mut Emulator> {
        self.lanes.get_mut(index).map(|lane| lane.pipe.link_mut())
    }

    fn stats(&self, index: usize) -> Option<&LinkStats> {
        self.lanes.get(index).map(|lane| lane.pipe.stats())
    }

    fn paths(&self) -> usize {
        self.lanes.len()
    }

    fn skew(&mut self, index: usize, by: Micros) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.skew = by;
        }
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if let Some(lane) = self.lanes.first_mut() {
            lane.pair.recycle(bytes);
        }
    }
}
