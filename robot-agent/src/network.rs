//! The network side: who may hold the robot, and the session that they hold.
//!
//! Knows: peers, leases, sessions; runs on the pump's thread. Does not know: stages or motion. If
//! this side dies, the robot sees a lost link.
//!
//! One surgeon holds the robot at a time. The holder who comes again (a lost link, a restarted
//! console) takes over their own lease, with a new session and a higher epoch; anybody else is
//! refused until the holder's connection is gone. When the bedside takes the robot, or the lease
//! runs out, the session is dead, and a new one is granted on the same connection by another
//! welcome.

use crate::epoch::{EpochError, EpochStore};
use crate::servo_thread::{
    CommandWriter, RequestWriter, STATE_WORDS, Shared, StateReader, code, pack, unpack_state,
};
use longhand_follower::supervisor::Request;
use longhand_protocol::message::{
    FollowerState, Frame, PROTOCOL_VERSION, ProfileHash, Refusal, RefusalKind, RobotId, SessionId,
    SessionKey, Stage, StateCommand, Terms,
};
use longhand_protocol::session::{Rejects, RobotSession};
use longhand_protocol::units::{Instant, Robot};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::mailbox::{Reader, Writer};
use longhand_quic::pump::{
    Accept, Close, CloseCode, Closed, HandshakeError, Link, Outbox, PathCounters,
};
use longhand_quic::trust::{PeerIdentity, Role};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the network side has counted, for people and reports.
#[derive(Clone, Debug, Default)]
pub struct NetworkRecord {
    /// Sessions granted.
    pub sessions: u64,
    /// Peers that never became a connection, by reason.
    pub handshakes_refused: BTreeMap<String, u64>,
    /// Hellos and connections refused after the handshake, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Datagrams rejected, by reason, over all sessions.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Commands accepted, over all sessions.
    pub accepted: u64,
    /// Who holds the robot.
    pub holder: Option<String>,
    /// The path of the holder's connection.
    pub path: PathCounters,
}

/// Arrivals that may wait to be looked at: a second of commands. When full the oldest is dropped.
const ARRIVAL_SLOTS: usize = 1_024;

pub(crate) type ArrivalWriter = Writer<2, ARRIVAL_SLOTS>;
pub(crate) type ArrivalReader = Reader<2, ARRIVAL_SLOTS>;

/// What the network side needs.
pub(crate) struct NetworkConfig {
    pub(crate) robot: RobotId,
    pub(crate) profile: ProfileHash,
    pub(crate) terms: Terms,
    pub(crate) epochs: EpochStore,
    pub(crate) commands: CommandWriter,
    pub(crate) requests: RequestWriter,
    pub(crate) states: StateReader,
    pub(crate) arrivals: ArrivalWriter,
    pub(crate) shared: Arc<Shared>,
}

/// The one lease of the robot. Used on the pump's thread alone; the lock is for the watch thread,
/// which reads the record now and then. The servo thread never comes here.
pub(crate) struct Lease {
    config: NetworkConfig,
    holder: Option<Holder>,
    next_link: u64,
    /// Whose session was the last, by certificate.
    last_holder: Option<String>,
    last_stage: Stage,
    record: NetworkRecord,
}

struct Holder {
    link: u64,
    fingerprint: String,
    session: RobotSession,
    /// A new session was granted and its welcome not yet sent.
    unsaid: Option<SessionKey>,
    /// When the holder's last good command came.
    heard_at: Instant<Robot>,
}

/// Reads what the network side has counted.
#[derive(Clone)]
pub(crate) struct NetworkWatch(Arc<Mutex<Lease>>);

impl NetworkWatch {
    pub(crate) fn record(&self) -> NetworkRecord {
        let lease = lock(&self.0);
        let mut record = lease.record.clone();
        if let Some(holder) = &lease.holder {
            count_session(&mut record, &holder.session);
        }
        record
    }
}

/// Decides about whoever knocks.
pub(crate) struct Door(Arc<Mutex<Lease>>);

pub(crate) fn door(config: NetworkConfig) -> (Door, NetworkWatch) {
    let lease = Arc::new(Mutex::new(Lease {
        config,
        holder: None,
        next_link: 0,
        last_holder: None,
        last_stage: Stage::Disabled,
        record: NetworkRecord::default(),
    }));
    (Door(Arc::clone(&lease)), NetworkWatch(lease))
}

fn lock(lease: &Mutex<Lease>) -> MutexGuard<'_, Lease> {
    // A panic of a reader must not take the network side with it: the data stay sound.
    lease.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accept for Door {
    type L = RobotLink;

    fn accept(&mut self, peer: &PeerIdentity, from: SocketAddr) -> Result<RobotLink, Close> {
        let mut lease = lock(&self.0);
        match peer.role {
            Role::Surgeon => {}
            Role::Robot | Role::Engineer | Role::Observer => {
                let words = format!("role {} may not command", peer.role);
                tracing::warn!(%from, name = peer.name, "refused: {words}");
                lease.count_refused(&words);
                return Err(Close::new(CloseCode::Role, RefusalKind::Role.advice()));
            }
        }
        lease.next_link = lease.next_link.saturating_add(1);
        tracing::info!(%from, name = peer.name, "connected");
        Ok(RobotLink {
            lease: Arc::clone(&self.0),
            id: lease.next_link,
            name: peer.name.clone(),
            fingerprint: peer.fingerprint.clone(),
        })
    }

    fn refused(&mut self, from: SocketAddr, why: &HandshakeError) {
        let words = why.to_string();
        let counts = &mut lock(&self.0).record.handshakes_refused;
        // The words are ours but for a peer's own; a flood of different ones must not grow the map.
        let known = counts.contains_key(&words) || counts.len() < REASONS_MAX;
        let key = if known { words } else { "other".to_owned() };
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
        if count.is_power_of_two() {
            tracing::warn!(%from, "handshake refused ({count} times): {why}");
        }
    }
}

/// Chosen: more kinds of refusal than there are.
const REASONS_MAX: usize = 64;

/// Datagrams on a connection that does not hold the robot, as counted.
const NO_LEASE: &str = "NoLease";

/// One connection of a surgeon.
pub(crate) struct RobotLink {
    lease: Arc<Mutex<Lease>>,
    id: u64,
    name: String,
    fingerprint: String,
}

impl Lease {
    fn count_refused(&mut self, why: &str) {
        let count = self.record.refused.entry(why.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// A new session for the holder: new id, new epoch, on disk before anybody hears of it.
    fn grant(&mut self, console_half: u64) -> Result<RobotSession, EpochError> {
        let key = SessionKey {
            robot: self.config.robot,
            session: SessionId::from_halves(console_half, random()),
            epoch: self.config.epochs.grant()?,
            profile: self.config.profile,
        };
        self.record.sessions = self.record.sessions.saturating_add(1);
        Ok(RobotSession::new(key))
    }

    fn held_by(&mut self, link: u64) -> Option<&mut Holder> {
        self.holder.as_mut().filter(|holder| holder.link == link)
    }

    /// Whether somebody else holds the robot, as far as this claimant is concerned. The holder's
    /// own certificate may come again once the holder is silent: a copy of it cannot take a robot
    /// out of a live hand (A12). Anybody else has to wait until the bedside has the robot, which a
    /// lease that ran out brings about by itself.
    fn is_held_against(&self, fingerprint: &str) -> bool {
        if let Some(holder) = &self.holder {
            let silent = robot_now().since(holder.heard_at) >= self.config.terms.latch_after;
            return holder.fingerprint != fingerprint || !silent;
        }
        let bedside = self.last_stage >= Stage::Bedside;
        !bedside && self.last_holder.as_deref().is_some_and(|last| last != fingerprint)
    }

    fn retire(&mut self) {
        if let Some(holder) = self.holder.take() {
            count_session(&mut self.record, &holder.session);
            self.last_holder = Some(holder.fingerprint);
        }
        self.record.holder = None;
    }

    /// The bedside has taken the robot, or the lease ran out: that session is dead, the next
    /// begins.
    fn renew(&mut self) {
        let Some(holder) = self.holder.take() else { return };
        count_session(&mut self.record, &holder.session);
        let [a, b, c, d, e, f, g, h, ..] = holder.session.key().session.bytes();
        let console_half = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match self.grant(console_half) {
            Ok(session) => {
                tracing::info!(epoch = session.key().epoch.get(), "lease ended; new session");
                let unsaid = Some(session.key());
                self.holder = Some(Holder { session, unsaid, ..holder });
            }
            Err(error) => {
                tracing::error!("{error}");
                self.record.holder = None;
            }
        }
    }

    /// The newest state, and whether the lease ended since the last look. Every state is looked at:
    /// a bedside that took the robot and gave it back between two looks has ended the lease all the
    /// same, and the follower believes that session no more.
    fn look(&mut self) -> (Option<FollowerState>, bool) {
        let (mut newest, mut lease_ended) = (None, false);
        let last = &mut self.last_stage;
        let _drained = self.config.states.drain(u64::MAX, |words: &[u64; STATE_WORDS]| {
            let Some(state) = unpack_state(words) else { return };
            lease_ended |= state.stage == Stage::Bedside && *last < Stage::Bedside;
            *last = state.stage;
            newest = Some(state);
        });
        (newest, lease_ended)
    }
}

fn count_session(record: &mut NetworkRecord, session: &RobotSession) {
    record.accepted = record.accepted.saturating_add(session.accepted());
    add(&mut record.rejected, session.rejects());
}

fn add(counts: &mut BTreeMap<&'static str, u64>, rejects: &Rejects) {
    for (name, count) in rejects.iter().filter(|(_, count)| *count > 0) {
        let sum = counts.entry(name).or_default();
        *sum = sum.saturating_add(count);
    }
}

impl RobotLink {
    fn hello(&mut self, version: u8, robot: RobotId, half: u64) -> Result<Frame, Refusal> {
        let mut lease = lock(&self.lease);
        let refuse = |why, expected, got| Refusal { why, expected, got };
        if version != PROTOCOL_VERSION {
            let (ours, theirs) = (u64::from(PROTOCOL_VERSION), u64::from(version));
            return Err(refuse(RefusalKind::Version, ours, theirs));
        }
        if robot != lease.config.robot {
            return Err(refuse(RefusalKind::Robot, lease.config.robot.get(), robot.get()));
        }
        if lease.held_by(self.id).is_some() {
            return Err(refuse(RefusalKind::OutOfOrder, 0, 1));
        }
        // What the stages did before this session was granted cannot have ended it.
        let _of_before = lease.look();
        if lease.is_held_against(&self.fingerprint) {
            tracing::warn!(name = self.name, "second claimant refused: the lease is held");
            return Err(refuse(RefusalKind::LeaseHeld, 0, 1));
        }
        let Ok(session) = lease.grant(half).inspect_err(|error| tracing::error!("{error}")) else {
            return Err(refuse(RefusalKind::State, 0, 0));
        };
        lease.retire();
        let key = session.key();
        tracing::info!(name = self.name, epoch = key.epoch.get(), "session granted");
        lease.holder = Some(Holder {
            link: self.id,
            fingerprint: self.fingerprint.clone(),
            session,
            unsaid: None,
            heard_at: robot_now(),
        });
        lease.record.holder = Some(self.name.clone());
        Ok(Frame::Welcome { key, terms: lease.config.terms })
    }

    fn state_command(&mut self, asked: StateCommand) -> Result<Frame, Refusal> {
        let mut lease = lock(&self.lease);
        if lease.held_by(self.id).is_none() {
            return Err(Refusal { why: RefusalKind::OutOfOrder, expected: 0, got: 1 });
        }
        let request = match asked {
            StateCommand::Pause => Request::ConsolePause,
            StateCommand::Resume => Request::ConsoleResume,
        };
        lease.config.requests.push(&[code(request)]);
        Ok(Frame::StateAccepted(asked))
    }
}

impl Link for RobotLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        let nonsense = |words: String| Close::new(CloseCode::Nonsense, words);
        let frame = wire::decode_frame(body)
            .map_err(|error| nonsense(format!("frame refused: {}", error.advice())))?;
        let answer = match frame {
            Frame::Hello { version, robot, half } => self.hello(version, robot, half),
            Frame::StateCommand(asked) => self.state_command(asked),
            Frame::Welcome { .. } | Frame::Refused(_) | Frame::StateAccepted(_) => {
                return Err(nonsense("only a robot says that".to_owned()));
            }
        };
        let (frame, refused) = match answer {
            Ok(frame) => (frame, None),
            Err(refusal) => (Frame::Refused(refusal), Some(refusal)),
        };
        if let Some(refusal) = refused {
            lock(&self.lease).count_refused(refusal.why.advice());
        }
        say(&frame, out).map_err(nonsense)
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let now = robot_now();
        let mut lease = lock(&self.lease);
        let Some(holder) = lease.held_by(self.id) else {
            // From whoever has not said hello, or was replaced: no session to judge it by.
            let count = lease.record.rejected.entry(NO_LEASE).or_default();
            *count = count.saturating_add(1);
            return;
        };
        match holder.session.handle_datagram(now, bytes) {
            Ok(accepted) => {
                holder.heard_at = now;
                if let Some(words) = pack(accepted.received_at, bytes) {
                    lease.config.commands.push(&words);
                    let made_at = accepted.command.intent.hand_time.as_micros();
                    lease.config.arrivals.push(&[made_at, accepted.received_at.as_micros()]);
                }
            }
            Err(reject) if reject.is_integrity_fault() => {
                let fault = crate::servo::peer_fault(reject);
                let count = holder.session.rejects().integrity_faults();
                let shared = &lease.config.shared;
                shared.corrupted.fetch_add(fault.corrupted, Ordering::Relaxed);
                shared.protocol.fetch_add(fault.protocol, Ordering::Relaxed);
                if count.is_power_of_two() {
                    tracing::error!("integrity fault ({count}): {}", reject.advice());
                }
            }
            Err(_counted) => {}
        }
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        let mut lease = lock(&self.lease);
        lease.held_by(self.id)?;
        let (newest, lease_ended) = lease.look();
        if lease_ended {
            lease.renew();
        }
        let state = newest?;
        let holder = lease.held_by(self.id)?;
        let bytes = holder.session.report(state);
        let room = buf.get_mut(..bytes.len())?;
        room.copy_from_slice(&bytes);
        Some(bytes.len())
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        let mut lease = lock(&self.lease);
        let terms = lease.config.terms;
        let Some(holder) = lease.held_by(self.id) else { return };
        if let Some(key) = holder.unsaid
            && say(&Frame::Welcome { key, terms }, out).is_ok()
        {
            holder.unsaid = None;
        }
    }

    fn path(&mut self, counters: &PathCounters) {
        let mut lease = lock(&self.lease);
        if lease.held_by(self.id).is_some() {
            lease.record.path = *counters;
        }
    }

    fn closed(&mut self, why: &Closed) {
        let mut lease = lock(&self.lease);
        tracing::info!(name = self.name, "disconnected: {why}");
        if lease.held_by(self.id).is_some() {
            lease.retire();
        }
    }
}

fn say(frame: &Frame, out: &mut Outbox) -> Result<(), String> {
    let mut body = [0; wire::FRAME_MAX];
    let len = wire::encode_frame(frame, &mut body);
    out.push(body.get(..len).unwrap_or_default()).map_err(|error| error.to_string())
}

/// 64 random bits of the system's own. Without them no session is worth its name, so it waits for
/// the system's pool, which is full long before anybody operates.
fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    while rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) != Ok(8) {}
    u64::from_le_bytes(bytes)
}
