//! A robot and a console on loopback, each on a thread of its own, that tell what happened to them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use longhand_protocol::message::RobotId;
use longhand_quic::doorbell::{Doorbell, Stop};
use longhand_quic::pump::{
    Accept, Close, CloseCode, Closed, Connect, ConsoleConfig, ConsolePump, HandshakeError, Link,
    LinkState, Outbox, PathCounters, Renewal, RobotConfig, RobotPump, Target,
};
use longhand_quic::trust::{Authority, Credentials, PeerIdentity, Role, Validity};

pub const ROBOT: RobotId = RobotId::new(7);
pub const DATAGRAM: usize = 200;
/// Only so that a broken test ends: nothing is judged by it.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub enum Seen {
    Accepted(PeerIdentity),
    Refused(HandshakeError),
    State(LinkState),
    Frame(Vec<u8>),
    Datagram(Vec<u8>),
    Path(PathCounters),
    Closed(Closed),
}

/// What a link is to send: filled by the test, emptied at the next ring.
#[derive(Clone, Default)]
pub struct ToSend {
    pub datagrams: Arc<Mutex<VecDeque<Vec<u8>>>>,
    pub frames: Arc<Mutex<VecDeque<Vec<u8>>>>,
    /// Ends the connection.
    pub closes: Arc<Mutex<VecDeque<Close>>>,
    /// A person asks for another try.
    pub again: Arc<AtomicBool>,
}

pub struct TestLink {
    seen: Sender<Seen>,
    to_send: ToSend,
    /// Sends back what it is told.
    echo: bool,
}

impl Link for TestLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        self.seen.send(Seen::Frame(body.to_vec())).ok();
        if self.echo {
            out.push(body)?;
        }
        Ok(())
    }

    fn datagram(&mut self, bytes: &[u8]) {
        self.seen.send(Seen::Datagram(bytes.to_vec())).ok();
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        let next = self.to_send.datagrams.lock().unwrap().pop_front()?;
        buf.get_mut(..next.len()).unwrap().copy_from_slice(&next);
        Some(next.len())
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        while let Some(next) = self.to_send.frames.lock().unwrap().pop_front() {
            out.push(&next).unwrap();
        }
    }

    fn poll_close(&mut self) -> Option<Close> {
        self.to_send.closes.lock().unwrap().pop_front()
    }

    fn path(&mut self, counters: &PathCounters) {
        self.seen.send(Seen::Path(*counters)).ok();
    }

    fn closed(&mut self, why: &Closed) {
        self.seen.send(Seen::Closed(why.clone())).ok();
    }
}

struct Door {
    seen: Sender<Seen>,
    to_send: ToSend,
    only: Option<Role>,
}

impl Accept for Door {
    type L = TestLink;

    fn accept(&mut self, peer: &PeerIdentity, _from: SocketAddr) -> Result<TestLink, Close> {
        if self.only.is_some_and(|only| only != peer.role) {
            let words = format!("a {} may not command; use a surgeon's certificate", peer.role);
            return Err(Close::new(CloseCode::Role, words));
        }
        self.seen.send(Seen::Accepted(peer.clone())).ok();
        Ok(TestLink { seen: self.seen.clone(), to_send: self.to_send.clone(), echo: true })
    }

    fn refused(&mut self, _from: SocketAddr, why: &HandshakeError) {
        self.seen.send(Seen::Refused(why.clone())).ok();
    }
}

impl Connect for Door {
    type L = TestLink;

    fn link(&mut self, _robot: &PeerIdentity) -> TestLink {
        TestLink { seen: self.seen.clone(), to_send: self.to_send.clone(), echo: false }
    }

    fn state(&mut self, state: &LinkState) {
        self.seen.send(Seen::State(state.clone())).ok();
    }

    fn may_try_again(&mut self) -> bool {
        self.to_send.again.swap(false, Ordering::Relaxed)
    }
}

/// A running pump.
pub struct End {
    pub addr: SocketAddr,
    pub bell: Doorbell,
    pub stop: Stop,
    pub seen: Receiver<Seen>,
    pub to_send: ToSend,
    pub renewal: Option<Renewal>,
    thread: Option<JoinHandle<()>>,
}

impl End {
    /// Waits for the first event that `pick` takes; others are passed over.
    pub fn until<T>(&self, mut pick: impl FnMut(Seen) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let seen = self.seen.recv_timeout(left).expect("what was waited for never happened");
            if let Some(found) = pick(seen) {
                return found;
            }
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        self.until(|seen| if let Seen::Frame(body) = seen { Some(body) } else { None })
    }

    pub fn datagram(&self) -> Vec<u8> {
        self.until(|seen| if let Seen::Datagram(body) = seen { Some(body) } else { None })
    }

    pub fn connected(&self) -> PeerIdentity {
        self.until(|seen| match seen {
            Seen::State(LinkState::Connected { robot }) => Some(robot),
            _ => None,
        })
    }

    /// Why the console is not connected.
    pub fn waiting(&self) -> Closed {
        self.until(|seen| match seen {
            Seen::State(LinkState::Waiting { why, .. }) => Some(why),
            _ => None,
        })
    }

    pub fn refused(&self) -> HandshakeError {
        self.until(|seen| if let Seen::Refused(why) = seen { Some(why) } else { None })
    }

    pub fn accepted(&self) -> PeerIdentity {
        self.until(|seen| if let Seen::Accepted(peer) = seen { Some(peer) } else { None })
    }

    pub fn closed(&self) -> Closed {
        self.until(|seen| if let Seen::Closed(why) = seen { Some(why) } else { None })
    }

    pub fn send_frame(&self, body: &[u8]) {
        self.to_send.frames.lock().unwrap().push_back(body.to_vec());
        self.bell.ring();
    }

    pub fn send_datagram(&self, body: &[u8]) {
        self.to_send.datagrams.lock().unwrap().push_back(body.to_vec());
        self.bell.ring();
    }

    /// Stops and waits; what was seen until then stays readable.
    pub fn end(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn robot(credentials: Credentials) -> End {
    robot_at("127.0.0.1:0".parse().unwrap(), credentials, None, None)
}

pub fn robot_at(
    bind: SocketAddr,
    credentials: Credentials,
    only: Option<Role>,
    qlog: Option<PathBuf>,
) -> End {
    let config = RobotConfig { bind, credentials, datagram_bytes: DATAGRAM, qlog };
    let pump = RobotPump::bind(config).unwrap();
    let (seen, receiver) = channel();
    let (bell, stop) = (Doorbell::new().unwrap(), Stop::new().unwrap());
    let to_send = ToSend::default();
    let mut door = Door { seen, to_send: to_send.clone(), only };
    let (addr, renewal) = (pump.local_addr(), Some(pump.renewal()));
    let thread = {
        let (bell, stop) = (bell.clone(), stop.clone());
        std::thread::spawn(move || pump.run(&mut door, &bell, &stop).unwrap())
    };
    End { addr, bell, stop, seen: receiver, to_send, renewal, thread: Some(thread) }
}

pub fn console(addr: SocketAddr, credentials: Credentials) -> End {
    console_for(Target { addr, robot: ROBOT }, credentials)
}

pub fn console_for(target: Target, credentials: Credentials) -> End {
    let config = ConsoleConfig { local: None, credentials, datagram_bytes: DATAGRAM, qlog: None };
    let pump = ConsolePump::new(config).unwrap();
    let (seen, receiver) = channel();
    let (bell, stop) = (Doorbell::new().unwrap(), Stop::new().unwrap());
    let to_send = ToSend::default();
    let mut door = Door { seen, to_send: to_send.clone(), only: None };
    let thread = {
        let (bell, stop) = (bell.clone(), stop.clone());
        std::thread::spawn(move || pump.run(target, &mut door, &bell, &stop).unwrap())
    };
    let addr = target.addr;
    End { addr, bell, stop, seen: receiver, to_send, renewal: None, thread: Some(thread) }
}

pub fn hospital() -> Authority {
    Authority::ephemeral("Test Hospital").unwrap()
}

pub fn credentials(authority: &Authority, role: Role, name: &str) -> Credentials {
    credentials_within(authority, role, name, Validity::days(30).unwrap())
}

pub fn credentials_within(
    authority: &Authority,
    role: Role,
    name: &str,
    validity: Validity,
) -> Credentials {
    let robot = (role == Role::Robot).then_some(ROBOT);
    let identity = authority.issue(role, name, robot, validity).unwrap();
    authority.credentials(&identity).unwrap()
}

/// A client that is not ours: it shows what it likes, or nothing, and believes everything.
pub mod stranger {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::sync::Arc;

    use quinn::crypto::rustls::QuicClientConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    /// `authority` is the folder of the trust it believes, `identity` the folder it shows.
    pub fn config(authority: &Path, identity: Option<&Path>, alpn: &[u8]) -> quinn::ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.join("ca.pem")).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = match identity {
            Some(folder) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(folder.join("identity.pem")).unwrap()],
                    PrivateKeyDer::from_pem_file(folder.join("identity.key")).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.enable_early_data = true;
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
    }

    pub fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    pub fn endpoint() -> quinn::Endpoint {
        quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    pub async fn connect(
        endpoint: &quinn::Endpoint,
        config: quinn::ClientConfig,
        addr: SocketAddr,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        endpoint.connect_with(config, addr, "robot-7.longhand.internal").unwrap().await
    }
}
