//! What carries bytes between the two ends: the emulated link, on one path or two; plain here, by
//! real QUIC in `quic`.
//!
//! Knows: roads, paths, when bytes come out. Does not know: what they say.
//!
//! Terms: a *datagram* is sent once and may be lost; a *frame* is a word of the reliable road.

use longhand_link::{Direction, Emulator, LinkStats, Pipe};
use longhand_protocol::units::{Instant, Link, Micros};
use std::collections::BTreeMap;

/// Bytes that QUIC, UDP and IP put around a datagram; measured on the wire, IPv4. Source:
/// performance.md section 1 (128 bytes of payload) and RFC 9000: 20 + 8 + 1 + 8 + 4 + 2 + 16.
pub const CARRIER_BYTES: usize = 59;

/// Which road bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Once, perhaps lost.
    Datagram,
    /// A word. What asks for an answer asks again until it comes.
    Frame,
    /// A whole packet of a carrier that ciphers: all that the link itself sees of either.
    Packet(Port),
}

/// Where a packet comes from or goes to: which path, and the console's port on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Which path.
    pub path: usize,
    /// The console's port, as the robot sees it.
    pub port: u16,
}

/// Something came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// Bytes, up (to the robot) or down (to the console).
    Bytes {
        /// By which road.
        road: Road,
        /// What.
        bytes: Vec<u8>,
    },
    /// A connection stands, as the end that `direction` leads to sees it.
    Connected,
    /// The connection is gone, as that end sees it.
    Closed,
}

/// When, where, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// World time at which it came.
    pub due: Micros,
    /// Up: at the robot. Down: at the console.
    pub direction: Direction,
    /// What.
    pub came: Came,
}

/// Whatever carries bytes. All times are world time and never run backwards.
pub trait Carrier {
    /// Bytes set out. What the link does to them is the link's to count.
    fn send(&mut self, at: Micros, direction: Direction, road: Road, bytes: &[u8]);

    /// The next arrival due at or before `at`, in order. Call until it is dry.
    fn poll(&mut self, at: Micros) -> Option<Arrival>;

    /// When something will happen by itself; `None` where nothing is under way.
    fn next_due(&self) -> Option<Micros>;

    /// The console opens a connection, and leaves any that it had.
    fn connect(&mut self, at: Micros);

    /// The process at the end that `direction` leads to died and comes back at `back_at`: its
    /// connections are gone.
    fn died(&mut self, at: Micros, direction: Direction, back_at: Micros);

    /// Whether there are connections: it says when one stands and when it is gone, and between the
    /// two no frame is lost. Otherwise the ends are connected from the beginning and have to find
    /// out for themselves.
    fn has_connections(&self) -> bool {
        false
    }

    /// The next packet about to enter the link; it enters by [`Carrier::enter`], if at all. Call
    /// until it is dry, after everything else. Only a carrier that ciphers has any.
    fn leaving(&mut self) -> Option<(Direction, Port, Vec<u8>)> {
        None
    }

    /// A packet enters the link.
    fn enter(&mut self, at: Micros, direction: Direction, port: Port, bytes: Vec<u8>) {
        let _no_such_packets = (at, direction, port, bytes);
    }

    /// The console's address changes; whether it has one.
    fn rebind(&mut self) -> bool {
        false
    }

    /// The console takes new keys; whether a connection stands to do so.
    fn update_keys(&mut self) -> bool {
        false
    }

    /// The end that `direction` leads to sends nothing before `until`; whether there is anything
    /// that could be stopped so.
    fn stall(&mut self, at: Micros, direction: Direction, until: Micros) -> bool {
        let _cannot = (at, direction, until);
        false
    }

    /// One path, to cut it or to disturb it; `None` where there is no such path.
    fn path(&mut self, index: usize) -> Option<&mut Emulator>;

    /// What a path did so far.
    fn stats(&self, index: usize) -> Option<&LinkStats>;

    /// How many paths there are.
    fn paths(&self) -> usize;

    /// What comes out of one path comes so much later from now on.
    fn skew(&mut self, index: usize, by: Micros) {
        let _no_such_path = (index, by);
    }

    /// Takes back a buffer that [`Came::Bytes`] brought, to use it again.
    fn recycle(&mut self, bytes: Vec<u8>) {
        drop(bytes);
    }
}

/// World time on a link's clock.
pub const fn link_clock(at: Micros) -> Instant<Link> {
    Instant::ORIGIN.after(at)
}

/// The link itself: bytes go as they are, every path carries a copy, no connection is needed.
pub struct Plain {
    paths: Vec<Pipe<(Road, Vec<u8>)>>,
    spare: Vec<Vec<u8>>,
    connected: Option<Micros>,
    skews: Vec<Micros>,
    /// What a skewed path brought, until it is due.
    late: BTreeMap<(Micros, u64), Arrival>,
    serial: u64,
}

/// Buffers kept for use again. Chosen: half a second of both directions under way at 250 ms.
const SPARE_MAX: usize = 1_024;

impl Plain {
    /// A carrier over these links: one path each.
    pub fn new(links: impl IntoIterator<Item = Emulator>) -> Self {
        let paths: Vec<_> = links.into_iter().map(Pipe::new).collect();
        Self {
            skews: vec![Micros::ZERO; paths.len()],
            paths,
            spare: Vec::new(),
            connected: None,
            late: BTreeMap::new(),
            serial: 0,
        }
    }

    fn earliest(&self) -> Option<(Micros, usize)> {
        let due = |pipe: &Pipe<(Road, Vec<u8>)>| pipe.next_due();
        let paths = self.paths.iter().enumerate();
        paths
            .filter_map(|(index, pipe)| Some((Micros::from_micros(due(pipe)?.as_micros()), index)))
            .min()
    }
}

impl Carrier for Plain {
    fn send(&mut self, at: Micros, direction: Direction, road: Road, bytes: &[u8]) {
        let len = bytes.len().saturating_add(CARRIER_BYTES);
        for pipe in &mut self.paths {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(bytes);
            let _fate = pipe.offer(link_clock(at), direction, len, (road, copy));
        }
    }

    fn poll(&mut self, at: Micros) -> Option<Arrival> {
        if let Some(due) = self.connected.take_if(|due| *due <= at) {
            return Some(Arrival { due, direction: Direction::Down, came: Came::Connected });
        }
        if let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= at) {
            return Some(entry.remove());
        }
        let (_, index) = self.earliest().filter(|(due, _)| *due <= at)?;
        let packet = self.paths.get_mut(index)?.poll(link_clock(at))?;
        let (road, mut bytes) = packet.payload;
        if let Some(bit) = packet.wrong_bit {
            flip(&mut bytes, bit);
        }
        let skew = self.skews.get(index).copied().unwrap_or(Micros::ZERO);
        let due = Micros::from_micros(packet.due.as_micros()).saturating_add(skew);
        let direction = packet.direction;
        let arrival = Arrival { due, direction, came: Came::Bytes { road, bytes } };
        if skew == Micros::ZERO {
            return Some(arrival);
        }
        self.serial = self.serial.saturating_add(1);
        self.late.insert((due, self.serial), arrival);
        None
    }

    fn next_due(&self) -> Option<Micros> {
        let packet = self.earliest().map(|(due, _)| due);
        let late = self.late.first_key_value().map(|((due, _), _)| *due);
        [packet, late, self.connected].into_iter().flatten().min()
    }

    fn skew(&mut self, index: usize, by: Micros) {
        if let Some(skew) = self.skews.get_mut(index) {
            *skew = by;
        }
    }

    fn connect(&mut self, at: Micros) {
        self.connected = Some(at);
    }

    fn died(&mut self, _at: Micros, _direction: Direction, _back_at: Micros) {}

    fn path(&mut self, index: usize) -> Option<&mut Emulator> {
        self.paths.get_mut(index).map(Pipe::link_mut)
    }

    fn stats(&self, index: usize) -> Option<&LinkStats> {
        self.paths.get(index).map(Pipe::stats)
    }

    fn paths(&self) -> usize {
        self.paths.len()
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(bytes);
        }
    }
}

/// Turns one bit over; a bit beyond the end changes nothing.
pub fn flip(bytes: &mut [u8], bit: u64) {
    let byte = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index));
    if let Some(byte) = byte {
        *byte ^= 1 << (bit % 8);
    }
}
