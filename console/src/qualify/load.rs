//! A load on the twin's road: as much as was asked for, for as long as the measurement takes.
//!
//! Knows: how to keep a rate. Does not know: what it does to probes. Ends with the measurement, and
//! by itself after a minute; the robot answers only what it is asked for, so it ends with us.

use longhand_protocol::probe::{ANSWERS_MAX, PATH_BYTES_MAX, PathProbe};
use longhand_protocol::units::Micros;
use longhand_protocol::wire;
use longhand_qualify::measure::load::Traffic;
use longhand_qualify::number::{count, real};
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::Stop;
use longhand_quic::marked::{MarkedSocket, NO_MARK};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most that may be asked for, bit/s. Source: links.md section 8, V11: video-like 5 to 50.
pub const LOAD_MAX_BPS: u64 = 50_000_000;
/// How long at most. Chosen: long enough for a p99.9 at 1 kHz, short enough to bear on a link that
/// others use.
pub const LOAD_MAX: Micros = Micros::from_secs(60);
/// Length of each datagram, UDP payload. Chosen: as video's, and below every tunnel's MTU.
const BYTES: u16 = 1_200;
/// Bytes that IP and UDP add; IPv4's, since a few in 1200 do not matter here.
const HEADERS: u64 = 28;
/// Datagrams sent in a row at most, so that what stalled does not come as one burst.
const ROW_MAX: u64 = 64;
/// Every so many are answered, to learn how many came.
const COUNTED_EVERY: u64 = 32;

/// What is put on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bit/s, IP packets, on each loaded way.
    pub bps: u64,
    /// Console to robot.
    pub up: bool,
    /// Robot to console.
    pub down: bool,
}

/// What was put on, and what came through: up and down.
pub type Put = (Option<Traffic>, Option<Traffic>);

/// Starts to load the road to `at`.
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
    let load = Load { bps: load.bps.min(LOAD_MAX_BPS), ..load };
    let stop = stop.clone();
    let loader = Loader { socket, at, run, load, up: Counts::default(), down: Counts::default() };
    std::thread::Builder::new().name("load".to_owned()).spawn(move || loader.run(&stop))
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    offered: u64,
    came: u64,
    datagrams: u64,
}

struct Loader {
    socket: MarkedSocket,
    at: SocketAddr,
    run: u64,
    load: Load,
    up: Counts,
    down: Counts,
}

impl Loader {
    fn run(mut self, stop: &Stop) -> Put {
        let begin = console_now();
        let mut buf = vec![0; usize::from(PATH_BYTES_MAX) + 1];
        loop {
            let so_far = console_now().since(begin);
            if stop.is_stopped() || so_far >= LOAD_MAX {
                break;
            }
            let due = count(real(self.load.bps) / 8.0 * real(so_far.as_micros()) * 1e-6);
            if self.load.up {
                self.send_up(due);
            }
            if self.load.down {
                self.ask_down(due);
            }
            self.hear(&mut buf);
        }
        let seconds = (real(console_now().since(begin).as_micros()) * 1e-6).max(1e-3);
        let told = |is_on: bool, counts: Counts| {
            let bps = |bytes: u64| count(real(bytes) * 8.0 / seconds);
            is_on.then(|| Traffic {
                asked_bps: self.load.bps,
                offered_bps: bps(counts.offered),
                came_bps: bps(counts.came),
            })
        };
        (told(self.load.up, self.up), told(self.load.down, self.down))
    }

    fn send_up(&mut self, due: u64) {
        let each = u64::from(BYTES) + HEADERS;
        for _ in 0..ROW_MAX {
            if self.up.offered + each > due {
                return;
            }
            self.up.datagrams += 1;
            let answers = u8::from(self.up.datagrams.is_multiple_of(COUNTED_EVERY));
            let probe = PathProbe { answers, ..PathProbe::default() };
            if self.send(probe, BYTES).is_err() {
                return;
            }
            self.up.offered += each;
        }
        // Too far behind to make up for: what was not offered stays so, and the report says it.
    }

    fn ask_down(&mut self, due: u64) {
        let each = u64::from(BYTES) + HEADERS;
        for _ in 0..ROW_MAX / u64::from(ANSWERS_MAX) {
            if self.down.offered + each * u64::from(ANSWERS_MAX) > due {
                return;
            }
            let probe =
                PathProbe { answers: ANSWERS_MAX, answer_bytes: BYTES, ..PathProbe::default() };
            if self.send(probe, 0).is_err() {
                return;
            }
            self.down.offered += each * u64::from(ANSWERS_MAX);
            // The question itself is a small load up, and the robot counts it there.
            let asked = u64::try_from(wire::PATH_PROBE_LEN).unwrap_or(0) + HEADERS;
            self.up.offered += asked;
        }
    }

    fn send(&self, probe: PathProbe, bytes: u16) -> io::Result<()> {
        let probe = PathProbe { run: self.run, sent_at: console_now(), ..probe };
        let head = wire::encode_path_probe(&probe);
        let mut datagram = [0; 1_200];
        let datagram = datagram.get_mut(..usize::from(bytes).max(head.len())).unwrap_or_default();
        if let Some(front) = datagram.get_mut(..head.len()) {
            front.copy_from_slice(&head);
        }
        self.socket.send_to(datagram, NO_MARK, self.at)
    }

    /// Everything that waits, or a millisecond.
    fn hear(&mut self, buf: &mut [u8]) {
        for _ in 0..ROW_MAX {
            let Ok(came) = self.socket.recv(buf) else { return };
            let answer = wire::decode_path_answer(buf.get(..came.len).unwrap_or_default());
            let Some(answer) = answer.ok().filter(|answer| answer.run == self.run) else {
                continue;
            };
            if came.len >= usize::from(BYTES) {
                let bytes = u64::try_from(came.len).unwrap_or(0);
                self.down.came = self.down.came.saturating_add(bytes + HEADERS);
            }
            if answer.bytes_seen >= BYTES {
                // What came of the load up, and of the small questions beside it.
                let headers = answer.came.saturating_mul(HEADERS);
                self.up.came = self.up.came.max(answer.came_bytes.saturating_add(headers));
            }
        }
    }
}
