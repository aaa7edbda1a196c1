//! A load on the road that is measured: as much as was asked for, for as long as it takes.
//!
//! Knows: how to keep a rate, inside the session or on the twin's road. Does not know: what it does
//! to probes. Ends with the measurement, and by itself after a minute; the robot answers only what
//! it is asked for, so it ends with us.
//!
//! Inside the session the pump sends it, datagram by datagram behind the probes that are due: one
//! connection, one queue, one path, as if the commands' own session carried video. On plain UDP it
//! has a thread and a socket of its own, as a video's own connection has.

use longhand_protocol::probe::{ANSWERS_MAX, PATH_BYTES_MAX, PathAnswer, PathProbe};
use longhand_protocol::units::{Console, Instant, Micros};
use longhand_protocol::wire;
use longhand_qualify::measure::load::{COUNTED_EVERY, DATAGRAM_BYTES, Traffic, Within};
use longhand_qualify::number::{count, real};
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::Stop;
use longhand_quic::marked::{MarkedSocket, NO_MARK};
use longhand_quic::pump::DATAGRAM_MAX;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most that may be asked for, bit/s. Source: links.md section 8, V11: video-like 5 to 50.
pub const LOAD_MAX_BPS: u64 = 50_000_000;
/// How long at most. Chosen: long enough for a p99.9 at 1 kHz, short enough to bear on a link that
/// others use.
pub const LOAD_MAX: Micros = Micros::from_secs(60);
/// Length of each datagram, UDP payload. Chosen: as video's, and below every tunnel's MTU.
const UDP_BYTES: u16 = 1_200;
/// Length of each datagram inside the session: the longest there is.
const SESSION_BYTES: u16 = 1_100;
const _: () = assert!(DATAGRAM_MAX == 1_100);
// What `qualify` takes for the coarsest that is counted.
const _: () = assert!(UDP_BYTES == 1_200 && HEADERS == 28 && DATAGRAM_BYTES == 1_228);
/// Bytes that IP and UDP add; IPv4's, since a few in 1200 do not matter here.
const HEADERS: u64 = 28;
/// Bytes that QUIC adds beyond those: short header, frame header and tag (RFC 9000 section 17.3).
const QUIC_HEADERS: u64 = 30;
/// Datagrams sent in a row at most, so that what stalled does not come as one burst.
const ROW_MAX: u64 = 64;

/// What is put on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bit/s, IP packets, on each loaded way.
    pub bps: u64,
    /// Console to robot.
    pub up: bool,
    /// Robot to console.
    pub down: bool,
    /// What carries it.
    pub within: Within,
}

/// What was put on, and what came through: up and down.
pub type Put = (Option<Traffic>, Option<Traffic>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    offered: u64,
    came: u64,
    datagrams: u64,
}

/// Keeps a rate: says what is due, and counts what came of it. Sends nothing itself.
struct Keeper {
    load: Load,
    run: u64,
    begin: Option<Instant<Console>>,
    end: Option<Instant<Console>>,
    /// When the newest datagram left of which an answer told.
    told: Option<Instant<Console>>,
    bytes: u16,
    headers: u64,
    up: Counts,
    down: Counts,
}

impl Keeper {
    fn new(load: Load, run: u64) -> Self {
        let (bytes, headers) = match load.within {
            Within::Session => (SESSION_BYTES, HEADERS + QUIC_HEADERS),
            Within::Udp => (UDP_BYTES, HEADERS),
        };
        let load = Load { bps: load.bps.min(LOAD_MAX_BPS), ..load };
        let (up, down) = (Counts::default(), Counts::default());
        Self { load, run, begin: None, end: None, told: None, bytes, headers, up, down }
    }

    /// The next datagram that is due: its head, and how long it is with its fill.
    fn next(&mut self, now: Instant<Console>) -> Option<(PathProbe, u16)> {
        let so_far = now.since(*self.begin.get_or_insert(now));
        if so_far >= LOAD_MAX {
            return None;
        }
        self.end = Some(now);
        let due = count(real(self.load.bps) / 8.0 * real(so_far.as_micros()) * 1e-6);
        let probe = PathProbe { run: self.run, sent_at: now, ..PathProbe::default() };
        let each = u64::from(self.bytes) + self.headers;
        if self.load.up && self.up.offered + each <= due {
            self.up.datagrams += 1;
            self.up.offered += each;
            let answers = u8::from(self.up.datagrams.is_multiple_of(COUNTED_EVERY));
            return Some((PathProbe { answers, ..probe }, self.bytes));
        }
        let row = each * u64::from(ANSWERS_MAX);
        if self.load.down && self.down.offered + row <= due {
            self.down.offered += row;
            // The question itself is a small load up, and the robot counts it there.
            let asked = u64::try_from(wire::PATH_PROBE_LEN).unwrap_or(0);
            self.up.offered += asked + self.headers;
            let probe = PathProbe { answers: ANSWERS_MAX, answer_bytes: self.bytes, ..probe };
            return Some((probe, 0));
        }
        None
    }

    /// Takes an answer to this load, as long as it came.
    fn heard(&mut self, answer: &PathAnswer, len: usize) {
        if len >= usize::from(self.bytes) {
            let bytes = u64::try_from(len).unwrap_or(0);
            self.down.came = self.down.came.saturating_add(bytes + self.headers);
        }
        if answer.bytes_seen >= self.bytes {
            // What came of the load up, and of the small questions beside it.
            let headers = answer.came.saturating_mul(self.headers);
            self.up.came = self.up.came.max(answer.came_bytes.saturating_add(headers));
            self.told = self.told.max(Some(answer.sent_at));
        }
    }

    fn put(&self) -> Put {
        let span = self.begin.zip(self.end).map_or(Micros::ZERO, |(begin, end)| end.since(begin));
        let seconds = (real(span.as_micros()) * 1e-6).max(1e-3);
        let untold = self.end.zip(self.told.or(self.begin)).map(|(end, told)| end.since(told));
        let untold_s = real(untold.unwrap_or(span).as_micros()) * 1e-6;
        let told = |is_on: bool, counts: Counts, untold_s: f64| {
            let bps = |bytes: u64| count(real(bytes) * 8.0 / seconds);
            is_on.then(|| Traffic {
                asked_bps: self.load.bps,
                offered_bps: bps(counts.offered),
                came_bps: bps(counts.came),
                untold_s,
            })
        };
        (told(self.load.up, self.up, untold_s), told(self.load.down, self.down, 0.0))
    }
}

/// A load inside the session: asked by the pump when no probe is due. Clones share it, so that it
/// outlives a connection.
#[derive(Clone)]
pub(super) struct Filler(Arc<Mutex<Keeper>>);

impl Filler {
    pub(super) fn new(load: Load, run: u64) -> Self {
        Self(Arc::new(Mutex::new(Keeper::new(load, run))))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Keeper) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the next datagram that is due into `buf`; its length.
    pub(super) fn next(&self, buf: &mut [u8]) -> Option<usize> {
        let (probe, bytes) = self.with(|keeper| keeper.next(console_now()))?;
        let head = wire::encode_path_probe(&probe);
        wire::with_fill(&head, bytes.into(), buf).map(<[u8]>::len)
    }

    /// Takes a datagram, if it is an answer to this load.
    pub(super) fn take(&self, bytes: &[u8]) {
        if let Ok(answer) = wire::decode_path_answer(bytes) {
            self.with(|keeper| {
                if answer.run == keeper.run {
                    keeper.heard(&answer, bytes.len());
                }
            });
        }
    }

    /// What came of it.
    pub(super) fn put(&self) -> Put {
        self.with(|keeper| keeper.put())
    }
}

/// Starts to load the twin's road to `at`.
pub(super) fn start(
    at: SocketAddr,
    run: u64,
    load: Load,
    stop: &Stop,
) -> io::Result<JoinHandle<Put>> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = MarkedSocket::bind(any, Duration::from_millis(1))?;
    let stop = stop.clone();
    let loader = Loader { socket, at, keeper: Keeper::new(load, run) };
    std::thread::Builder::new().name("load".to_owned()).spawn(move || loader.run(&stop))
}

struct Loader {
    socket: MarkedSocket,
    at: SocketAddr,
    keeper: Keeper,
}

impl Loader {
    fn run(mut self, stop: &Stop) -> Put {
        let mut buf = vec![0; usize::from(PATH_BYTES_MAX) + 1];
        while !stop.is_stopped() {
            for _ in 0..ROW_MAX {
                let Some((probe, bytes)) = self.keeper.next(console_now()) else { break };
                // What the system does not take was offered, and did not come.
                let _lost = self.send(&probe, bytes);
            }
            self.hear(&mut buf);
        }
        self.keeper.put()
    }

    fn send(&self, probe: &PathProbe, bytes: u16) -> io::Result<()> {
        let head = wire::encode_path_probe(probe);
        let mut datagram = [0; 1_200];
        let datagram = wire::with_fill(&head, bytes.into(), &mut datagram).unwrap_or_default();
        self.socket.send_to(datagram, NO_MARK, self.at)
    }

    /// Everything that waits, or a millisecond.
    fn hear(&mut self, buf: &mut [u8]) {
        for _ in 0..ROW_MAX {
            let Ok(came) = self.socket.recv(buf) else { return };
            let answer = wire::decode_path_answer(buf.get(..came.len).unwrap_or_default());
            if let Some(answer) = answer.ok().filter(|answer| answer.run == self.keeper.run) {
                self.keeper.heard(&answer, came.len);
            }
        }
    }
}
