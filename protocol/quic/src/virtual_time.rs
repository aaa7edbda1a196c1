//! Real QUIC in virtual time: both ends of one connection, without sockets, threads or clocks.
//!
//! Knows: handshakes with the product's TLS rules, the product's transport settings and its rule of
//! connecting again. Does not know: the way between (whoever owns a [`Pair`] carries its packets),
//! or what a message says.
//!
//! Everything that is drawn comes from a seed (`draws`), certificates are always the same bytes
//! (`hospital`), time is handed in: same seed and same packets, same bytes. Source of the recipe:
//! performance.md section 7.
//!
//! What differs from the product, and nothing else: one cipher suite and key exchange, Ed25519
//! certificates, seeded randomness, no socket under it. A goodbye is never said: an end of a pair
//! dies, as processes do, or falls silent, as links do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longhand_protocol::units::Micros;
use longhand_protocol::wire::{COMMAND_LEN, STATE_LEN};
use quinn::crypto::rustls::QuicClientConfig;
use quinn_proto::{ClientConfig, ConnectionId, Endpoint, ServerConfig, TransportConfig};
use ring::hkdf::{HKDF_SHA256, Salt};
use thiserror::Error;

use crate::clock;
use crate::pump::{
    ATTEMPT_TIME_MAX, Backoff, Closed, How, Options, bounded, command, endpoint_config,
};
use crate::tls::{self, Means, TlsError};
use crate::trust::{Credentials, TrustError, robot_dns_name};

mod draws;
mod end;
mod hospital;

use draws::{Draws, QuinnTime, SeededIds, WallTime};
use end::{End, Lost, Out, ROBOT_ADDR, Settings, console_addr};
use hospital::Hospital;

/// Bytes that UDP and IPv4 put around a packet. Source: RFC 768, RFC 791.
pub const UDP_IP_BYTES: usize = 28;

/// The two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The surgeon's.
    Console,
    /// The robot's.
    Robot,
}

/// One UDP packet's payload that has left an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub from: Party,
    /// The console's port, as the robot sees it: where the packet comes from, or where it goes.
    pub port: u16,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Something happened at an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection stands.
    Connected {
        /// Where.
        at: Party,
    },
    /// The connection that stood is gone.
    Closed {
        /// Where.
        at: Party,
    },
    /// A datagram came.
    Datagram {
        /// Where.
        at: Party,
        /// What.
        bytes: Vec<u8>,
    },
    /// A frame came.
    Frame {
        /// Where.
        at: Party,
        /// What.
        bytes: Vec<u8>,
    },
}

/// A pair of ends could not be made. None of it depends on the seed.
#[derive(Debug, Error)]
pub enum PairError {
    /// The certificates could not be made.
    #[error("the virtual hospital could not be opened: {0}")]
    Trust(#[from] TrustError),
    /// The certificates could not be used.
    #[error("the virtual hospital's certificates cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// The transport's settings could not be made.
    #[error("the transport's settings could not be made: {0}")]
    Transport(#[from] std::io::Error),
}

/// The first port that the console has. Source: RFC 6335, the first dynamic port.
const FIRST_PORT: u16 = 49_152;

/// What both ends are made of.
struct Parts {
    console: Credentials,
    console_tls: Arc<QuicClientConfig>,
    console_transport: Arc<TransportConfig>,
    robot: Credentials,
    robot_server: Arc<ServerConfig>,
}

/// Both ends of one connection.
pub struct Pair {
    parts: Parts,
    origin: Instant,
    wall: Arc<WallTime>,
    draws: Draws,
    seed: u64,
    console: Option<End>,
    robot: Option<End>,
    out: Out,
    /// The console's port. Each attempt has a socket, and so a port, of its own.
    port: u16,
    /// When the next attempt begins, and when the one under way is given up.
    attempt_at: Option<Micros>,
    attempt_ends: Option<Micros>,
    /// No attempt before this.
    not_before: Micros,
    backoff: Backoff,
    robot_back_at: Option<Micros>,
    /// Nothing leaves either end until then.
    robot_stalled: Option<Micros>,
    console_stalled: Option<Micros>,
    due: Option<Micros>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Pair {
    /// A robot that listens and a console that has not begun to connect.
    ///
    /// Errors: [`PairError`].
    pub fn new(seed: u64) -> Result<Self, PairError> {
        let wall = Arc::new(WallTime::default());
        let hospital = Hospital::open()?;
        let parts = Parts::new(hospital, &draws::means(Arc::clone(&wall)), &wall, seed)?;
        let mut pair = Self {
            parts,
            origin: clock::origin(),
            wall,
            draws: Draws::new(seed, 1),
            seed,
            console: None,
            robot: None,
            out: Out::default(),
            port: FIRST_PORT,
            attempt_at: None,
            attempt_ends: None,
            not_before: Micros::ZERO,
            backoff: Backoff::new(),
            robot_back_at: None,
            robot_stalled: None,
            console_stalled: None,
            due: None,
        };
        pair.start_robot();
        Ok(pair)
    }

    /// The console wants a connection, and leaves any that it had. It tries until one stands; after
    /// that it has to be asked again.
    pub fn connect(&mut self, at: Micros) {
        self.console = None;
        self.attempt_at = Some(at.max(self.not_before));
        self.look_ahead(at);
    }

    /// A process dies with everything that it knew. The robot's comes back at `back_at` and
    /// listens; the console's has to [`Pair::connect`].
    pub fn died(&mut self, at: Micros, party: Party, back_at: Micros) {
        match party {
            Party::Console => {
                self.console = None;
                self.attempt_at = None;
                self.attempt_ends = None;
                self.not_before = Micros::ZERO;
                self.backoff = Backoff::new();
            }
            Party::Robot => {
                self.robot = None;
                self.robot_back_at = Some(back_at);
            }
        }
        self.look_ahead(at);
    }

    /// A datagram sets out; nothing happens where no connection stands.
    pub fn datagram(&mut self, at: Micros, from: Party, bytes: &[u8]) {
        let (now, sends) = (self.instant(at), self.sends(at, from));
        let end = of(&mut self.console, &mut self.robot, from);
        if let Some(end) = end {
            self.draws.lend(|| end.datagram(now, bytes, sends, &mut self.out));
        }
        self.after(at);
    }

    /// A frame sets out; nothing happens where no connection stands.
    pub fn frame(&mut self, at: Micros, from: Party, body: &[u8]) {
        let (now, sends) = (self.instant(at), self.sends(at, from));
        let end = of(&mut self.console, &mut self.robot, from);
        if let Some(end) = end {
            self.draws.lend(|| end.frame(now, body, sends, &mut self.out));
        }
        self.after(at);
    }

    /// A packet arrives at the other end of where it came from. A port that is not the console's
    /// now leads nowhere.
    pub fn packet(&mut self, at: Micros, packet: &Packet) {
        let to = match packet.from {
            Party::Console => Party::Robot,
            Party::Robot => Party::Console,
        };
        let (now, sends) = (self.instant(at), self.sends(at, to));
        let (end, source) = match packet.from {
            Party::Console => (self.robot.as_mut(), console_addr(packet.port)),
            Party::Robot if packet.port == self.port => (self.console.as_mut(), ROBOT_ADDR),
            Party::Robot => (None, ROBOT_ADDR),
        };
        if let Some(end) = end {
            self.draws.lend(|| end.packet(now, source, &packet.bytes, sends, &mut self.out));
        }
        self.after(at);
    }

    /// The address translator before the console forgets it: the robot sees another port from now
    /// on, and what is on its way to the old one is lost.
    pub fn rebind(&mut self) {
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
    }

    /// The console takes new keys with its next packet; whether a connection stands to do so.
    pub fn update_keys(&mut self) -> bool {
        self.console.as_mut().is_some_and(End::update_keys)
    }

    /// Nothing leaves this end before `until`: what waits is bounded as the product's queue is.
    pub fn stall(&mut self, at: Micros, party: Party, until: Micros) {
        let stalled = match party {
            Party::Robot => &mut self.robot_stalled,
            Party::Console => &mut self.console_stalled,
        };
        *stalled = (*stalled).max(Some(until));
        self.look_ahead(at);
    }

    /// When something will happen without a packet; [`Pair::turn`] does it.
    pub const fn due(&self) -> Option<Micros> {
        self.due
    }

    /// Does what is due.
    pub fn turn(&mut self, at: Micros) {
        if self.robot_back_at.take_if(|due| *due <= at).is_some() {
            self.start_robot();
        }
        if self.attempt_ends.take_if(|due| *due <= at).is_some() {
            self.console = None;
            self.attempt_failed(at, &Closed::new(How::Silent, "no answer"));
        }
        if self.attempt_at.take_if(|due| *due <= at).is_some() {
            self.attempt(at);
        }
        let now = self.instant(at);
        let ends = [
            (self.robot.as_mut(), &mut self.robot_stalled),
            (self.console.as_mut(), &mut self.console_stalled),
        ];
        for (end, stalled) in ends {
            let resumes = stalled.take_if(|until| *until <= at).is_some();
            let sends = stalled.is_none();
            if let Some(end) = end {
                self.draws.lend(|| end.turn(now, resumes, sends, &mut self.out));
            }
        }
        self.after(at);
        // Whatever wants to be woken in the past has just been woken.
        let soon = at.saturating_add(Micros::from_micros(1));
        self.due = self.due.map(|due| due.max(soon));
    }

    /// The next packet that has left. Call until it is dry.
    pub fn poll_packet(&mut self) -> Option<Packet> {
        let mut packet = self.out.packets.pop_front()?;
        if packet.from == Party::Console {
            // The console does not know what the translator makes of its port.
            packet.port = self.port;
        }
        Some(packet)
    }

    /// The next thing that happened. Call until it is dry.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// Takes back a buffer, to use it again.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.out.recycle(bytes);
    }

    fn start_robot(&mut self) {
        let server = Some(Arc::clone(&self.parts.robot_server));
        let settings = settings(&self.parts.robot, ROBOT_ADDR, &mut self.draws);
        let endpoint = Endpoint::new(settings, server, true, Some(self.draws.bytes()));
        self.robot = Some(End::new(Party::Robot, endpoint));
    }

    /// One attempt, with a socket of its own, as the console's pump makes it.
    fn attempt(&mut self, at: Micros) {
        self.rebind();
        let settings = settings(&self.parts.console, console_addr(self.port), &mut self.draws);
        let mut end =
            End::new(Party::Console, Endpoint::new(settings, None, true, Some(self.draws.bytes())));
        let tls: Arc<QuicClientConfig> = Arc::clone(&self.parts.console_tls);
        let mut config = ClientConfig::new(tls);
        config.transport_config(Arc::clone(&self.parts.console_transport));
        let first: [u8; 20] = self.draws.bytes();
        config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&first)));
        let (now, sends) = (self.instant(at), self.sends(at, Party::Console));
        let name = robot_dns_name(hospital::ROBOT);
        let out = &mut self.out;
        self.draws.lend(|| {
            // Address and name are constants that it takes.
            if let Ok((handle, quic)) = end.endpoint.connect(now, config, ROBOT_ADDR, &name) {
                end.add(handle, quic);
                end.drive(handle.0, now, sends, out);
            }
        });
        self.console = Some(end);
        self.attempt_ends = Some(at.saturating_add(micros(ATTEMPT_TIME_MAX)));
    }

    fn attempt_failed(&mut self, at: Micros, why: &Closed) {
        self.attempt_ends = None;
        self.attempt_at = Some(at.saturating_add(micros(self.backoff.after(why))));
    }

    /// What the console does when a connection or an attempt is over, and what is due next.
    fn after(&mut self, at: Micros) {
        if let Some(Lost { why, stood, heard }) = self.out.lost.take() {
            self.console = None;
            let closed = Closed::from_error(&why);
            if heard {
                self.backoff = Backoff::new();
            }
            if stood {
                self.not_before = at.saturating_add(micros(self.backoff.after(&closed)));
            } else {
                self.attempt_failed(at, &closed);
            }
        } else if self.console.as_ref().is_some_and(End::stands) {
            self.attempt_ends = None;
        }
        self.look_ahead(at);
    }

    fn look_ahead(&mut self, at: Micros) {
        let ends = [self.console.as_ref(), self.robot.as_ref()].into_iter().flatten();
        let quic = ends.filter_map(End::due).min().map(|due| self.world_time(due).max(at));
        let stalled = self.robot_stalled.into_iter().chain(self.console_stalled);
        let ours = [self.attempt_at, self.attempt_ends, self.robot_back_at];
        self.due = ours.into_iter().flatten().chain(stalled).chain(quic).min();
    }

    fn sends(&self, at: Micros, party: Party) -> bool {
        let stalled = match party {
            Party::Robot => self.robot_stalled,
            Party::Console => self.console_stalled,
        };
        stalled.is_none_or(|until| until <= at)
    }

    fn instant(&self, at: Micros) -> Instant {
        self.wall.set(at);
        let since = Duration::from_micros(at.as_micros());
        self.origin.checked_add(since).unwrap_or(self.origin)
    }

    /// The first microsecond of the world not before `instant`.
    fn world_time(&self, instant: Instant) -> Micros {
        let nanos = instant.saturating_duration_since(self.origin).as_nanos();
        Micros::from_micros(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

fn of<'a>(
    console: &'a mut Option<End>,
    robot: &'a mut Option<End>,
    party: Party,
) -> Option<&'a mut End> {
    match party {
        Party::Console => console.as_mut(),
        Party::Robot => robot.as_mut(),
    }
}

fn micros(span: Duration) -> Micros {
    Micros::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

/// The product's endpoint settings, with what they draw from the system drawn from the seed.
fn settings(who: &Credentials, local: std::net::SocketAddr, draws: &mut Draws) -> Settings {
    let mut config = endpoint_config(who, local);
    let seed = u64::from_le_bytes(draws.bytes());
    // An endpoint starts its ids anew, and a restarted robot must not give those of its last life
    // again: each life has settings of its own.
    config.cid_generator(move || Box::new(SeededIds(Draws::new(seed, 2))));
    Arc::new(config)
}

impl Parts {
    fn new(
        hospital: Hospital,
        means: &Means,
        wall: &Arc<WallTime>,
        seed: u64,
    ) -> Result<Self, PairError> {
        let mut draws = Draws::new(seed, 3);
        let transport = |datagram_bytes, streams, side| {
            command(&Options { datagram_bytes, streams, qlog: None, side }).map(Arc::new)
        };
        let salt = Salt::new(HKDF_SHA256, &[]);
        let tokens = salt.extract(&draws.bytes::<32>());
        let tls = Arc::new(tls::server_by(&hospital.robot, means)?);
        let mut server = bounded(ServerConfig::new(tls, Arc::new(tokens)));
        server
            .transport_config(transport(STATE_LEN, 1, "robot")?)
            .time_source(Arc::new(QuinnTime(Arc::clone(wall))));
        Ok(Self {
            console_tls: Arc::new(tls::client_by(&hospital.console, means)?),
            console_transport: transport(COMMAND_LEN, 0, "console")?,
            robot_server: Arc::new(server),
            console: hospital.console,
            robot: hospital.robot,
        })
    }
}
