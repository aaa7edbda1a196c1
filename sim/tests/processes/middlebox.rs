//! A middlebox of a kind that is found on real paths: it takes marks off, drops what is long,
//! forgets who was silent, gives another port, and queues what is too much. Each where told.
//!
//! Knows: datagrams. Does not know: QUIC; it stands on the way of plain UDP, or of a session.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use longhand_protocol::wire;
use longhand_quic::marked::{MarkedSocket, NO_MARK};

/// What it does to packets.
#[derive(Clone, Copy, Default)]
pub struct Ills {
    /// Takes marks off what goes to the robot.
    pub bleaches_up: bool,
    /// Takes them off what comes back.
    pub bleaches_down: bool,
    /// The longest IP packet that it passes, to the robot and back.
    pub mtu: Option<(u16, u16)>,
    /// Lets no answer through that was asked for longer ago than this, ms.
    pub forgets_after_ms: Option<u64>,
    /// Once sizes were tried, gives a client another port at each so manieth small question.
    pub rebinds_every: Option<u32>,
    /// Gives every client another port, once, so long after it came first, ms.
    pub rebinds_after_ms: Option<u64>,
    /// Lets so many bit/s through each way, and queues a tenth of a second of it.
    pub bps: Option<f64>,
}

/// Running until it is dropped.
pub struct Middlebox {
    pub addr: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Middlebox {
    pub fn start(to: SocketAddr, ills: Ills) -> Self {
        let front = open();
        let addr = front.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut inside =
            Inside { front, to, ills, clients: Vec::new(), queues: Default::default() };
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                inside.look();
            }
        });
        Self { addr, stop, thread: Some(thread) }
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn open() -> MarkedSocket {
    MarkedSocket::bind("127.0.0.1:0".parse().unwrap(), Duration::from_millis(1)).unwrap()
}

struct Client {
    at: SocketAddr,
    back: MarkedSocket,
    came_first: Instant,
    is_moved: bool,
    tried_sizes: bool,
    small: u32,
}

/// What waits for its turn: when, whose, what, its mark.
type Queue = VecDeque<(Instant, SocketAddr, Vec<u8>, u8)>;

struct Inside {
    front: MarkedSocket,
    to: SocketAddr,
    ills: Ills,
    clients: Vec<Client>,
    queues: [Queue; 2],
}

impl Inside {
    fn look(&mut self) {
        let mut buf = vec![0; 10_000];
        // Neither side may keep the other waiting for ever.
        for _ in 0..64 {
            let Ok(came) = self.front.recv(&mut buf) else { break };
            self.up(came.from, &buf[..came.len], came.mark.unwrap_or(NO_MARK));
            self.let_go();
        }
        for place in 0..self.clients.len() {
            for _ in 0..64 {
                let Ok(came) = self.clients[place].back.recv(&mut buf) else { break };
                let at = self.clients[place].at;
                let is_long = self.ills.mtu.is_some_and(|(_, down)| too_long(came.len, down));
                if !is_long {
                    let kept = came.mark.filter(|_| !self.ills.bleaches_down);
                    self.queue(1, at, buf[..came.len].to_vec(), kept.unwrap_or(NO_MARK));
                }
                self.let_go();
            }
        }
        self.let_go();
    }

    fn up(&mut self, from: SocketAddr, bytes: &[u8], mark: u8) {
        if !self.clients.iter().any(|client| client.at == from) {
            let (came_first, is_moved) = (Instant::now(), false);
            let (back, tried_sizes) = (open(), false);
            let client = Client { at: from, back, came_first, is_moved, tried_sizes, small: 0 };
            self.clients.push(client);
        }
        let client = self.clients.iter_mut().find(|client| client.at == from).unwrap();
        let probe = wire::decode_path_probe(bytes).ok();
        let after_ms = probe.map_or(0, |probe| probe.after.as_micros() / 1_000);
        if self.ills.forgets_after_ms.is_some_and(|most| after_ms > most) {
            return;
        }
        client.tried_sizes |= probe.is_some_and(|probe| probe.answer_bytes > 1_400);
        if let Some(every) = self.ills.rebinds_every.filter(|_| client.tried_sizes) {
            client.small += u32::from(bytes.len() == wire::PATH_PROBE_LEN);
            if client.small > 0 && client.small.is_multiple_of(every) {
                client.back = open();
                client.small = 0;
            }
        }
        let after = self.ills.rebinds_after_ms.map(Duration::from_millis);
        if !client.is_moved && after.is_some_and(|after| client.came_first.elapsed() >= after) {
            client.back = open();
            client.is_moved = true;
        }
        if self.ills.mtu.is_some_and(|(up, _)| too_long(bytes.len(), up)) {
            return;
        }
        let mark = if self.ills.bleaches_up { NO_MARK } else { mark };
        self.queue(0, from, bytes.to_vec(), mark);
    }

    fn queue(&mut self, way: usize, client: SocketAddr, bytes: Vec<u8>, mark: u8) {
        let now = Instant::now();
        let Some(bps) = self.ills.bps else {
            self.queues[way].push_back((now, client, bytes, mark));
            return;
        };
        let free = self.queues[way].back().map_or(now, |last| last.0.max(now));
        let takes = f64::from(u32::try_from(bytes.len() + 28).unwrap()) * 8.0 / bps;
        if free < now + Duration::from_millis(100) {
            let due = free + Duration::from_secs_f64(takes);
            self.queues[way].push_back((due, client, bytes, mark));
        }
    }

    fn let_go(&mut self) {
        for way in 0..2 {
            while self.queues[way].front().is_some_and(|first| first.0 <= Instant::now()) {
                let (_, at, bytes, mark) = self.queues[way].pop_front().unwrap();
                let client = self.clients.iter().find(|client| client.at == at).unwrap();
                // What the system does not take is lost, as it would be.
                let _lost = if way == 0 {
                    client.back.send_to(&bytes, mark, self.to)
                } else {
                    self.front.send_to(&bytes, mark, at)
                };
            }
        }
    }
}

fn too_long(payload: usize, mtu: u16) -> bool {
    payload + 28 > usize::from(mtu)
}
