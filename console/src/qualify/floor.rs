//! A robot on loopback that answers probes and does nothing else: what this machine itself adds.
//!
//! Knows: to answer, inside a session and on plain UDP. Does not know: what is measured with it, or
//! any robot: nothing here could move one.

use super::QualifyError;
use longhand_protocol::message::{Frame, RobotId};
use longhand_protocol::probe::{ProbeAnswer, Receipts};
use longhand_protocol::units::Instant;
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pace::{PUMP_PRIORITY, RealTime};
use longhand_quic::pump::{
    Accept, Close, CloseCode, Closed, HandshakeError, Link, Outbox, RobotConfig, RobotPump,
};
use longhand_quic::trust::{Credentials, PeerIdentity, Role, Trust};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread on plain UDP looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// Its number, in its own certificate.
const ROBOT: RobotId = RobotId::new(1);
/// Days that its certificates hold: the fewest, for a folder that goes within seconds.
const DAYS: u32 = 1;
/// Answers that wait for the pump. When full the newest is left out, and counts as lost.
const WAITING_MAX: usize = 64;

/// The robot, running.
pub(super) struct Echo {
    /// Where it answers in a session.
    pub(super) session: SocketAddr,
    /// Where it answers on plain UDP.
    pub(super) udp: SocketAddr,
    pub(super) robot: RobotId,
    /// Whom it lets in.
    pub(super) credentials: Credentials,
    threads: [JoinHandle<()>; 2],
}

impl Echo {
    /// Begins to answer. Its trust is its own, made in `folder`, which is the caller's to remove.
    pub(super) fn start(folder: &Path, real_time: bool, stop: &Stop) -> Result<Self, QualifyError> {
        let trust = folder.join("trust");
        let made = Trust::init(&trust, "Loopback").map_err(io::Error::other)?;
        for (role, name, robot) in
            [(Role::Robot, "robot", Some(ROBOT)), (Role::Engineer, "engineer", None)]
        {
            made.issue(role, name, DAYS, robot).map_err(io::Error::other)?;
        }
        let load = |name| Credentials::load(&trust.join(name)).map_err(io::Error::other);
        let pump = RobotPump::bind(RobotConfig {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            credentials: load("robot")?,
            datagram_bytes: wire::PROBE_ANSWER_LEN,
            qlog: None,
        })?;
        let (session, credentials) = (pump.local_addr(), load("engineer")?);
        let ending = stop.clone();
        let serving = std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
            let _held = real_time.then(|| RealTime::acquire(PUMP_PRIORITY, None));
            // Where it cannot run nobody answers, and the console says that.
            let _ended = Doorbell::new().map(|bell| pump.run(&mut Door, &bell, &ending));
        })?;
        let (udp, answering) = on_udp(stop, real_time)?;
        Ok(Self { session, udp, robot: ROBOT, credentials, threads: [serving, answering] })
    }

    /// Waits for its end, which comes within a goodbye of the stop.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A thread that failed has nothing more to say.
            let _ended = thread.join();
        }
    }
}

fn on_udp(stop: &Stop, real_time: bool) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(LOOKS_EVERY))?;
    let at = socket.local_addr()?;
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name("echo on UDP".to_owned()).spawn(move || {
        let _held = real_time.then(|| RealTime::acquire(PUMP_PRIORITY, None));
        let mut receipts = Receipts::new();
        let mut buf = [0; wire::PROBE_LEN + 1];
        while !stop.is_stopped() {
            let Ok((len, from)) = socket.recv_from(&mut buf) else { continue };
            let now = robot_now();
            let Ok(probe) = wire::decode_probe(buf.get(..len).unwrap_or_default()) else {
                continue;
            };
            if let Some(answer) = receipts.take(&probe, now) {
                // What the system does not take is a lost answer, and counted as one.
                let _lost = socket.send_to(&written(answer), from);
            }
        }
    })?;
    Ok((at, thread))
}

fn written(mut answer: ProbeAnswer) -> [u8; wire::PROBE_ANSWER_LEN] {
    answer.answered_at = Instant::from_micros(robot_now().as_micros());
    wire::encode_probe_answer(&answer)
}

struct Door;

impl Accept for Door {
    type L = Answers;

    fn accept(&mut self, _peer: &PeerIdentity, _from: SocketAddr) -> Result<Answers, Close> {
        Ok(Answers { run: None, receipts: Receipts::new(), waiting: VecDeque::new() })
    }

    fn refused(&mut self, _from: SocketAddr, _why: &HandshakeError) {}
}

struct Answers {
    run: Option<u64>,
    receipts: Receipts,
    waiting: VecDeque<ProbeAnswer>,
}

impl Link for Answers {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        let nonsense = || Close::new(CloseCode::Nonsense, "a word that only a robot knows");
        let Ok(Frame::ProbeBegin { run }) = wire::decode_frame(body) else {
            return Err(nonsense());
        };
        self.run = Some(run);
        let mut ready = [0; wire::FRAME_MAX];
        let len = wire::encode_frame(&Frame::ProbeReady { run, twin_port: 0 }, &mut ready);
        out.push(ready.get(..len).unwrap_or_default()).map_err(|_| nonsense())
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let Ok(probe) = wire::decode_probe(bytes) else { return };
        if self.run != Some(probe.run) || self.waiting.len() >= WAITING_MAX {
            return;
        }
        self.waiting.extend(self.receipts.take(&probe, robot_now()));
    }

    fn poll_answer(&mut self, buf: &mut [u8]) -> Option<usize> {
        let bytes = written(self.waiting.pop_front()?);
        buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(bytes.len())
    }

    fn poll_datagram(&mut self, _buf: &mut [u8]) -> Option<usize> {
        None
    }

    fn poll_frame(&mut self, _out: &mut Outbox) {}

    fn closed(&mut self, _why: &Closed) {}
}
