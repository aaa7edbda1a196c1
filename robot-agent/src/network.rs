//! The network side: who may hold the robot, and the session that they hold.
//!
//! Knows: peers, leases, sessions; runs on the pump's thread. Does not know: stages or motion. If
//! this side dies, the robot sees a lost link.
//!
//! One surgeon holds the robot at a time. The holder who comes again over a new connection, and
//! says what the last welcome said, takes over their own lease, with a new session and a higher
//! epoch, and the connection that had it is told so and closed. Anybody else is refused as long as
//! the robot is the holder's to operate: so is their own certificate without that word, which may
//! be a copy (A12). When the bedside takes the robot, or the lease runs out, the session is dead,
//! and a new one is granted on the same connection by another welcome; but another surgeon who asks
//! then, and asks again, takes the holder's place, and the bedside is told whom it hands the robot
//! to.

use crate::epoch::{Epochs, NotDurable};
use crate::probing::{Measuring, Runs};
use crate::record::Health;
use crate::record::recorder::{self, WitnessReader};
use crate::servo_thread::{
    Answer, AnswerReader, Asked, CommandWriter, RequestWriter, STATE_WORDS, Shared, StateReader,
    pack, unpack_state,
};
use crate::tap::LinkWriter;
use longhand_follower::supervisor::Request;
use longhand_protocol::message::{
    FollowerState, Frame, OperatingState, PROTOCOL_VERSION, ProfileHash, Refusal, RefusalKind,
    RobotId, SessionId, SessionKey, Stage, StateCommand, Terms, Witness,
};
use longhand_protocol::session::{Rejects, RobotSession};
use longhand_protocol::tap::{self, LinkHealth};
use longhand_protocol::units::{Epoch, Instant, Robot};
use longhand_protocol::wire;
use longhand_quic::clock::robot_now;
use longhand_quic::mailbox::{Reader, Writer, to_bytes};
use longhand_quic::pump::{
    Accept, CONNECTIONS_MAX, Close, CloseCode, Closed, HandshakeError, Link, Outbox, PathCounters,
};
use longhand_quic::random::NoRandom;
use longhand_quic::trust::{PeerIdentity, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    pub(crate) epochs: Epochs,
    pub(crate) commands: CommandWriter,
    pub(crate) requests: RequestWriter,
    pub(crate) answers: AnswerReader,
    pub(crate) states: StateReader,
    pub(crate) arrivals: ArrivalWriter,
    /// The record's side; `None` where there is none.
    pub(crate) record: Option<RecordEnds>,
    /// Where the tap hears of the link; `None` where nobody may look.
    pub(crate) tap: Option<LinkWriter>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) runs: Runs,
    /// Draws the robot's half of a session id.
    pub(crate) random: fn() -> Result<u64, NoRandom>,
}

/// What the network side has of the record: counters go there, and how far it has come comes back.
pub(crate) struct RecordEnds {
    pub(crate) links: recorder::LinkWriter,
    pub(crate) witness: WitnessReader,
    pub(crate) health: Arc<Health>,
    /// The newest, with the alarm as it was then.
    newest: Witness,
    /// What the holder has not been told.
    unsaid: Option<Witness>,
}

impl RecordEnds {
    pub(crate) fn new(
        case_id: [u8; 16],
        links: recorder::LinkWriter,
        witness: WitnessReader,
        health: Arc<Health>,
    ) -> Self {
        let newest = Witness { case_id, ..Witness::default() };
        Self { links, witness, health, newest, unsaid: None }
    }

    /// Something to say: a seal since the last look, or another alarm.
    fn look(&mut self, now: Instant<Robot>) {
        let (newest, unsaid) = (&mut self.newest, &mut self.unsaid);
        let alarm = self.health.alarm(now);
        if alarm != newest.alarm {
            newest.alarm = alarm;
            *unsaid = Some(*newest);
        }
        let _drained = self.witness.drain(1, |[part, records, chain @ ..]| {
            (newest.part, newest.records) = (*part, *records);
            to_bytes(chain, &mut newest.chain);
            *unsaid = Some(*newest);
        });
    }
}

/// The one lease of the robot. Used on the pump's thread alone; the lock is for the watch thread,
/// which reads the record now and then. The servo thread never comes here.
pub(crate) struct Lease {
    config: NetworkConfig,
    holder: Option<Holder>,
    next_link: u64,
    /// Whose session was the last, and the word by which they resume.
    last_holder: Option<(Surgeon, u64)>,
    /// The epoch of that session, and the newest fence: at or behind it a lease is over.
    last_epoch: Epoch,
    fence: Epoch,
    /// Whom the present holder's lease was held against, by certificate.
    claimants: BTreeSet<String>,
    /// Certificates that are not believed any more, by serial number.
    revoked: BTreeSet<String>,
    /// Connections whose lease has ended for good, and why. Each still has to be told; as many as
    /// there are connections at most.
    ended: BTreeMap<u64, Close>,
    last_token: u64,
    last_stage: Stage,
    /// The newest state and the follower's fence in it, until the holder has it: whoever else looks
    /// at the mailbox must not take it from them.
    newest: Option<(FollowerState, Epoch)>,
    record: NetworkRecord,
}

/// Who holds or held the robot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Surgeon {
    name: String,
    /// The certificate's.
    fingerprint: String,
}

struct Holder {
    link: u64,
    who: Surgeon,
    /// Said in the welcome, to this console alone.
    resume: u64,
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
            record.holder = Some(holder.who.name.clone());
        }
        record
    }

    /// These certificates are not believed any more: their connections end at the next ring.
    pub(crate) fn revoke(&self, serials: BTreeSet<String>) {
        lock(&self.0).revoked = serials;
    }

    /// Whose the robot is to operate once the bedside hands it over, in words for the bedside.
    pub(crate) fn handed_to(&self) -> String {
        let lease = lock(&self.0);
        match (&lease.holder, &lease.last_holder) {
            (Some(holder), _) => holder.who.name.clone(),
            (None, Some((last, _))) => format!("{}, who is not connected", last.name),
            (None, None) => "the first surgeon to connect".to_owned(),
        }
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
        last_epoch: Epoch::ZERO,
        fence: Epoch::ZERO,
        claimants: BTreeSet::new(),
        revoked: BTreeSet::new(),
        ended: BTreeMap::new(),
        last_token: 0,
        last_stage: Stage::Disabled,
        newest: None,
        record: NetworkRecord::default(),
    }));
    (Door(Arc::clone(&lease)), NetworkWatch(lease))
}

fn lock(lease: &Mutex<Lease>) -> MutexGuard<'_, Lease> {
    // A panic of a reader must not take the network side with it: the data stay sound.
    lease.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accept for Door {
    type L = DoorLink;

    fn accept(&mut self, peer: &PeerIdentity, from: SocketAddr) -> Result<DoorLink, Close> {
        let mut lease = lock(&self.0);
        // Its handshake was under way when the list came.
        if let Some(close) = lease.is_revoked(&peer.serial) {
            tracing::warn!(%from, name = peer.name, "refused: {close}");
            lease.count_refused(REVOKED);
            return Err(close);
        }
        let serial = peer.serial.clone();
        let measuring = Measuring::new(lease.config.runs.clone(), peer, from);
        match peer.role {
            Role::Surgeon => {}
            Role::Engineer => {
                tracing::info!(%from, name = peer.name, "connected, to measure");
                let lease = Arc::clone(&self.0);
                let link = EngineerLink { lease, serial, measuring, hellos: 0 };
                return Ok(DoorLink::Engineer(link));
            }
            Role::Robot | Role::Observer | Role::Gateway => {
                let words = format!("role {} may not command", peer.role);
                tracing::warn!(%from, name = peer.name, "refused: {words}");
                lease.count_refused(&words);
                return Err(Close::new(CloseCode::Role, RefusalKind::Role.advice()));
            }
        }
        lease.next_link = lease.next_link.saturating_add(1);
        tracing::info!(%from, name = peer.name, "connected");
        Ok(DoorLink::Surgeon(RobotLink {
            lease: Arc::clone(&self.0),
            id: lease.next_link,
            who: Surgeon { name: peer.name.clone(), fingerprint: peer.fingerprint.clone() },
            serial,
            from,
            asked: VecDeque::with_capacity(ASKED_MAX),
            hellos_refused: 0,
            measuring,
        }))
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

/// Claimants that are remembered; one beyond has to wait until the lease changes hands. Chosen: as
/// many as may be connected at once.
const CLAIMANTS_MAX: usize = CONNECTIONS_MAX;

/// To whoever has a certificate that was revoked, and as counted.
const REVOKED: &str = "the certificate was revoked; ask the hospital's engineer";

/// A holder whose place another surgeon took, as counted.
const GIVEN_UP: &str = "lease taken by a second claimant while the bedside had the robot";

/// Datagrams on a connection that does not hold the robot, as counted.
const NO_LEASE: &str = "NoLease";

/// One connection of a surgeon.
pub(crate) struct RobotLink {
    lease: Arc<Mutex<Lease>>,
    id: u64,
    who: Surgeon,
    serial: String,
    from: SocketAddr,
    /// What was asked and not yet answered, in order.
    asked: VecDeque<Open>,
    hellos_refused: u32,
    measuring: Measuring,
}

/// One connection of an engineer: it measures. It has no session, no command's mailbox and no way
/// to ask for either, so nothing that comes over it can arm or move.
pub(crate) struct EngineerLink {
    lease: Arc<Mutex<Lease>>,
    serial: String,
    measuring: Measuring,
    hellos: u32,
}

/// One connection, by what its role lets it be.
pub(crate) enum DoorLink {
    /// May hold the robot.
    Surgeon(RobotLink),
    /// May measure.
    Engineer(EngineerLink),
}

/// What was said in a hello, and what was drawn to answer it.
struct Hello {
    version: u8,
    robot: RobotId,
    /// Of the session's id: the console's and the robot's.
    halves: (u64, u64),
    /// The word by which the console says that it resumes.
    said: u64,
    /// The word of a holder who does not.
    fresh: u64,
}

/// A state command without its answer on the wire yet.
struct Open {
    word: StateCommand,
    token: u64,
    answer: Option<Result<Frame, Refusal>>,
}

/// State commands that may wait for their answers; the connection of whoever asks more is closed.
/// Chosen: half of what fits the mailbox, so that a connection that was replaced leaves room.
const ASKED_MAX: usize = 8;
/// Hellos that are refused on one connection before it is closed. Chosen: a console says one and
/// goes; three forgive a clumsy one, and a flood has to pay for a handshake each time.
const HELLOS_REFUSED_MAX: u32 = 3;

impl Lease {
    fn count_refused(&mut self, why: &str) {
        let count = self.record.refused.entry(why.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// A new session for the holder: new id, new epoch, on disk before anybody hears of it. The
    /// halves of the id are the console's and the robot's.
    fn grant(&mut self, (console, robot): (u64, u64)) -> Result<RobotSession, NotDurable> {
        let key = SessionKey {
            robot: self.config.robot,
            session: SessionId::from_halves(console, robot),
            epoch: self.config.epochs.grant()?,
            profile: self.config.profile,
        };
        self.record.sessions = self.record.sessions.saturating_add(1);
        if let Some(record) = &mut self.config.record {
            // Whoever comes knows nothing of it yet.
            record.unsaid = Some(record.newest);
        }
        Ok(RobotSession::new(key))
    }

    /// Whether a run may begin or go on: a measurement never competes with a surgeon.
    fn may_measure(&self) -> Result<(), Refusal> {
        let Some(holder) = &self.holder else { return Ok(()) };
        let (expected, got) = (Epoch::ZERO.get(), holder.session.key().epoch.get());
        Err(Refusal { why: RefusalKind::LeaseHeld, expected, got })
    }

    /// Why whoever has this certificate may not stay, if it was revoked.
    fn is_revoked(&self, serial: &str) -> Option<Close> {
        self.revoked.contains(serial).then(|| Close::new(CloseCode::Refused, REVOKED))
    }

    fn held_by(&mut self, link: u64) -> Option<&mut Holder> {
        self.holder.as_mut().filter(|holder| holder.link == link)
    }

    /// Whether somebody else holds the robot, as far as this claimant is concerned. Who `resumes`
    /// may come again once the holder is silent. Anybody else has to wait until the bedside has the
    /// robot, which a lease that ran out brings about by itself; then it moves only for whom the
    /// bedside hands it to.
    ///
    /// Where the holder is connected, they must have been refused once before. Why: a console that
    /// lost the robot to another asks once by itself when its link returns, and after that refusal
    /// only when a person asks (WIRE.md, close code 6). Let in at once, it would throw out whom the
    /// bedside has let in meanwhile.
    fn is_held_against(&self, claimant: &Surgeon, resumes: bool) -> bool {
        let bedside = self.last_stage >= Stage::Bedside;
        match &self.holder {
            None => {
                // Once that lease is over the bedside handed the robot to a name (`handed_to`), and
                // whoever proves to be that may begin anew: their console may be another one.
                let is_over = self.fence >= self.last_epoch;
                let is_theirs = |(last, _): &(Surgeon, u64)| is_over && last == claimant;
                let is_free = self.last_holder.as_ref().is_none_or(is_theirs);
                !bedside && !resumes && !is_free
            }
            Some(holder) if resumes => {
                robot_now().since(holder.heard_at) < self.config.terms.latch_after
            }
            Some(_) => !(bedside && self.claimants.contains(&claimant.fingerprint)),
        }
    }

    /// Whether this is the console that holds or held the robot last, by certificate and word.
    fn resumes(&self, claimant: &Surgeon, word: u64) -> bool {
        let holder = self.holder.as_ref().map(|holder| (&holder.who, holder.resume));
        let last = self.last_holder.as_ref().map(|(who, resume)| (who, *resume));
        word != 0 && holder.or(last) == Some((claimant, word))
    }

    /// The lease is held against this claimant.
    fn remember(&mut self, claimant: &Surgeon) {
        if self.claimants.len() < CLAIMANTS_MAX {
            self.claimants.insert(claimant.fingerprint.clone());
        }
    }

    /// The robot is this one's now. Whoever held it is told so.
    fn give(&mut self, to: Holder, from: SocketAddr) {
        let who = &to.who;
        if let Some(replaced) = self.retire() {
            let resume = self.last_holder.as_ref().map(|(_, resume)| *resume);
            let words = if resume == Some(to.resume) {
                format!("your lease was taken over from {from}")
            } else {
                tracing::warn!(name = who.name, %from, "second claimant let in by the bedside");
                self.count_refused(GIVEN_UP);
                format!("{} took the lease while the bedside had the robot", who.name)
            };
            self.ended.insert(replaced, Close::new(CloseCode::TakenOver, words));
        }
        self.claimants.clear();
        // Whoever operates has the machine and the link for themselves.
        self.config.runs.fall_silent();
        self.holder = Some(to);
        self.show_link();
    }

    /// Tells the tap how the link is and who has it.
    fn show_link(&mut self) {
        let (holder, path) = (&self.holder, &self.record.path);
        let Some(tap) = &mut self.config.tap else { return };
        let mut health =
            LinkHealth { at: robot_now(), sessions: self.record.sessions, ..LinkHealth::default() };
        if let Some(Holder { who, session, .. }) = holder {
            health = LinkHealth {
                connected: true,
                accepted: session.accepted(),
                rejected: session.rejects().total(),
                lost: session.lost(),
                rtt: path.rtt,
                packets_sent: path.packets_sent,
                packets_lost: path.packets_lost,
                datagrams_received: path.datagrams_received,
                holder: tap::Holder::new(&who.name),
                ..health
            };
        }
        tap.push(&health.words());
    }

    /// Ends the lease; gives the connection that had it.
    fn retire(&mut self) -> Option<u64> {
        let holder = self.holder.take()?;
        count_session(&mut self.record, &holder.session);
        self.last_epoch = holder.session.key().epoch;
        self.last_holder = Some((holder.who, holder.resume));
        self.show_link();
        Some(holder.link)
    }

    /// The bedside has taken the robot, or the lease ran out: that session is dead, the next
    /// begins. Where none can be granted, the connection is told so and closed: its console would
    /// go on in a dead session.
    fn renew(&mut self) {
        let Some(holder) = self.holder.take() else { return };
        count_session(&mut self.record, &holder.session);
        let [a, b, c, d, e, f, g, h, ..] = holder.session.key().session.bytes();
        let console = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let granted = (self.config.random)()
            .map_err(|error| error.to_string())
            .and_then(|robot| self.grant((console, robot)).map_err(|error| error.to_string()));
        match granted {
            Ok(session) => {
                tracing::info!(epoch = session.key().epoch.get(), "lease ended; new session");
                let unsaid = Some(session.key());
                self.holder = Some(Holder { session, unsaid, ..holder });
            }
            Err(words) => {
                tracing::error!("{words}");
                self.ended.insert(holder.link, Close::new(CloseCode::Refused, words));
                self.last_epoch = holder.session.key().epoch;
                self.last_holder = Some((holder.who, holder.resume));
            }
        }
    }

    /// Empties the mailbox; the newest state waits for the holder.
    fn look(&mut self) {
        let newest = &mut self.newest;
        let _drained = self.config.states.drain(u64::MAX, |words: &[u64; STATE_WORDS]| {
            *newest = unpack_state(words).or(*newest);
        });
        self.last_stage = newest.map_or(self.last_stage, |(state, _)| state.stage);
        self.fence = newest.map_or(self.fence, |(_, fence)| fence).max(self.fence);
    }

    /// The newest state that the holder does not have yet, and whether the holder's session is
    /// dead: the follower's fence has passed its epoch. The fence only rises, so a bedside that
    /// took the robot and gave it back between two looks has ended the lease all the same, whatever
    /// states were dropped.
    fn take_newest(&mut self) -> Option<(FollowerState, bool)> {
        self.look();
        let (state, fence) = self.newest.take()?;
        let held = self.holder.as_ref().map(|holder| holder.session.key().epoch);
        Some((state, held.is_some_and(|epoch| epoch <= fence)))
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
    /// The robot's half of a session id, and a word by which a new holder may resume; not zero.
    ///
    /// Errors: the system has none. The wire has no word for that; the connection is closed in
    /// words.
    fn drawn(&self) -> Result<(u64, u64), Close> {
        let mut lease = lock(&self.lease);
        let draw = lease.config.random;
        let both = draw().and_then(|half| Ok((half, draw()?.max(1))));
        both.map_err(|error| {
            let words = format!("the robot cannot begin a session: {error}");
            tracing::error!("{words}");
            lease.count_refused(&words);
            Close::new(CloseCode::Refused, words)
        })
    }

    fn hello(&mut self, hello: Hello) -> Result<Frame, Refusal> {
        let Hello { version, robot, halves, said, fresh } = hello;
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
            let (due, came) = (wire::KIND_STATE_COMMAND, wire::KIND_HELLO);
            return Err(refuse(RefusalKind::OutOfOrder, due.into(), came.into()));
        }
        // The stage decides below whether somebody else may come.
        lease.look();
        let resumes = lease.resumes(&self.who, said);
        if lease.is_held_against(&self.who, resumes) {
            let (name, from) = (&self.who.name, self.from);
            tracing::warn!(name, %from, "second claimant refused: the lease is held");
            lease.remember(&self.who);
            let (free, held) = (Epoch::ZERO, lease.config.epochs.last());
            return Err(refuse(RefusalKind::LeaseHeld, free.get(), held.get()));
        }
        let session = lease.grant(halves).map_err(|error| {
            tracing::error!("{error}");
            refuse(RefusalKind::NotDurable, error.due.get(), error.safe.get())
        })?;
        let key = session.key();
        tracing::info!(name = self.who.name, epoch = key.epoch.get(), "session granted");
        // Who resumes keeps the word: a welcome that is lost on the way costs nobody the robot.
        let resume = if resumes { said } else { fresh };
        let (link, who, heard_at) = (self.id, self.who.clone(), robot_now());
        lease.give(Holder { link, who, resume, session, unsaid: None, heard_at }, self.from);
        Ok(Frame::Welcome { key, terms: lease.config.terms, resume })
    }

    /// Hands a state command to the servo thread, which decides.
    fn state_command(&mut self, word: StateCommand) -> Result<(), Close> {
        if self.asked.len() >= ASKED_MAX {
            let words = format!("more than {ASKED_MAX} state commands wait for their answers");
            return Err(Close::new(CloseCode::Nonsense, words));
        }
        let mut lease = lock(&self.lease);
        let token = lease.last_token.saturating_add(1);
        lease.last_token = token;
        if lease.held_by(self.id).is_none() {
            let (expected, got) = (wire::KIND_HELLO.into(), wire::KIND_STATE_COMMAND.into());
            let refusal = Refusal { why: RefusalKind::OutOfOrder, expected, got };
            self.asked.push_back(Open { word, token, answer: Some(Err(refusal)) });
            return Ok(());
        }
        let request = match word {
            StateCommand::Pause => Request::ConsolePause,
            StateCommand::Resume => Request::ConsoleResume,
        };
        // No console knows of presses: releasing the emergency stop is the bedside's.
        let asked = Asked { request, token, presses: 0, asked_at: robot_now() };
        lease.config.requests.push(&asked.words());
        self.asked.push_back(Open { word, token, answer: None });
        Ok(())
    }

    /// Says what the servo thread has decided, in the order in which it was asked.
    fn answer(&mut self, out: &mut Outbox) {
        let mut lease = lock(&self.lease);
        if lease.held_by(self.id).is_some() {
            let asked = &mut self.asked;
            // Answers to a connection that was replaced meanwhile are nobody's: dropped.
            let _drained = lease.config.answers.drain(u64::MAX, |words| {
                let Some(answer) = Answer::from_words(*words) else { return };
                if let Some(open) = asked.iter_mut().find(|open| open.token == answer.token) {
                    open.answer = Some(verdict(open.word, &answer));
                }
            });
        }
        while let Some(answer) = self.asked.front().and_then(|open| open.answer) {
            let frame = answer.unwrap_or_else(Frame::Refused);
            if say(&frame, out).is_err() {
                // No room: the next ring says it.
                return;
            }
            if let Err(refusal) = answer {
                lease.count_refused(refusal.why.advice());
            }
            self.asked.pop_front();
        }
    }
}

/// The servo thread's answer in the words of the wire, which has none for "too late": the robot
/// stood still then, and what it says of its state is what a console can act on.
fn verdict(word: StateCommand, answer: &Answer) -> Result<Frame, Refusal> {
    if !answer.is_refused() {
        return Ok(Frame::StateAccepted(word));
    }
    let got = answer.operating_state;
    let why = if got == OperatingState::Fault { RefusalKind::InFault } else { RefusalKind::State };
    let expected = match word {
        StateCommand::Pause => OperatingState::Enabled,
        StateCommand::Resume => OperatingState::Paused,
    };
    Err(Refusal { why, expected: expected.number(), got: got.number() })
}

impl Link for RobotLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        let nonsense = |words: String| Close::new(CloseCode::Nonsense, words);
        let frame = wire::decode_frame(body)
            .map_err(|error| nonsense(format!("frame refused: {}", error.advice())))?;
        let answer = match frame {
            Frame::Hello { version, robot, half, resume: said } => {
                let (ours, fresh) = self.drawn()?;
                self.hello(Hello { version, robot, halves: (half, ours), said, fresh })
            }
            Frame::StateCommand(word) => {
                self.state_command(word)?;
                self.answer(out);
                return Ok(());
            }
            Frame::ProbeBegin { run } => {
                let may = lock(&self.lease).may_measure();
                match may {
                    Ok(()) => Ok(self.measuring.begin(run)?),
                    Err(refusal) => Err(refusal),
                }
            }
            Frame::Welcome { .. }
            | Frame::Witness(_)
            | Frame::Refused(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeReady { .. } => {
                return Err(nonsense("only a robot says that".to_owned()));
            }
        };
        let (frame, refused) = match answer {
            Ok(frame) => (frame, None),
            Err(refusal) => (Frame::Refused(refusal), Some(refusal)),
        };
        if let Some(refusal) = refused {
            let words = refusal.why.advice();
            lock(&self.lease).count_refused(words);
            self.hellos_refused = self.hellos_refused.saturating_add(1);
            if self.hellos_refused >= HELLOS_REFUSED_MAX {
                return Err(Close::new(CloseCode::Refused, words));
            }
        }
        say(&frame, out).map_err(nonsense)
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let now = robot_now();
        let mut lease = lock(&self.lease);
        if lease.holder.is_none() && self.measuring.take(now, bytes) {
            return;
        }
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

    fn poll_answer(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.measuring.answer(robot_now(), buf)
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.measuring.look(robot_now());
        let mut lease = lock(&self.lease);
        lease.held_by(self.id)?;
        let (state, lease_ended) = lease.take_newest()?;
        if lease_ended {
            lease.renew();
        }
        let holder = lease.held_by(self.id)?;
        let bytes = holder.session.report(state);
        let room = buf.get_mut(..bytes.len())?;
        room.copy_from_slice(&bytes);
        Some(bytes.len())
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        self.answer(out);
        let mut lease = lock(&self.lease);
        let terms = lease.config.terms;
        let Some(holder) = lease.held_by(self.id) else { return };
        let resume = holder.resume;
        if let Some(key) = holder.unsaid
            && say(&Frame::Welcome { key, terms, resume }, out).is_ok()
        {
            holder.unsaid = None;
        }
        if let Some(record) = &mut lease.config.record {
            record.look(robot_now());
            if let Some(witness) = record.unsaid
                && say(&Frame::Witness(witness), out).is_ok()
            {
                record.unsaid = None;
            }
        }
    }

    fn poll_close(&mut self) -> Option<Close> {
        let mut lease = lock(&self.lease);
        if let Some(close) = self.measuring.must_end(lease.may_measure()) {
            return Some(close);
        }
        let revoked = lease.is_revoked(&self.serial);
        if revoked.is_some() {
            lease.count_refused(REVOKED);
        }
        let close = revoked.or_else(|| lease.ended.get(&self.id).cloned())?;
        drop(lease);
        tracing::warn!(name = self.who.name, from = %self.from, "told: {close}");
        Some(close)
    }

    fn path(&mut self, counters: &PathCounters) {
        let mut lease = lock(&self.lease);
        let Some(holder) = lease.held_by(self.id) else { return };
        let session = &holder.session;
        let (accepted, lost) = (session.accepted(), session.lost());
        let rejected = session.rejects().total();
        lease.record.path = *counters;
        lease.show_link();
        let sessions = lease.record.sessions;
        if let Some(record) = &mut lease.config.record {
            record.links.push(&[
                robot_now().as_micros(),
                sessions,
                accepted,
                rejected,
                lost,
                counters.rtt.as_micros(),
                counters.packets_sent,
                counters.packets_lost,
                counters.datagrams_received,
            ]);
        }
    }

    fn closed(&mut self, why: &Closed) {
        tracing::info!(name = self.who.name, "disconnected: {why}");
    }
}

/// The lease goes with the link, however that ends: a defect that kills the link's task must not
/// leave the robot held by nobody.
impl Drop for RobotLink {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(name = self.who.name, "the connection's task died; this is a defect");
        }
        let mut lease = lock(&self.lease);
        lease.ended.remove(&self.id);
        if lease.held_by(self.id).is_some() {
            lease.retire();
        }
    }
}

impl Link for EngineerLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        let nonsense = |words: String| Close::new(CloseCode::Nonsense, words);
        let frame = wire::decode_frame(body)
            .map_err(|error| nonsense(format!("frame refused: {}", error.advice())))?;
        let mut lease = lock(&self.lease);
        let answer = match frame {
            Frame::ProbeBegin { run } => match lease.may_measure() {
                Ok(()) => Ok(self.measuring.begin(run)?),
                Err(refusal) => Err(refusal),
            },
            Frame::Hello { .. } | Frame::StateCommand(_) => {
                Err(Refusal { why: RefusalKind::Role, expected: 0, got: 0 })
            }
            Frame::Welcome { .. }
            | Frame::Witness(_)
            | Frame::Refused(_)
            | Frame::StateAccepted(_)
            | Frame::ProbeReady { .. } => {
                return Err(nonsense("only a robot says that".to_owned()));
            }
        };
        if let Err(refusal) = answer {
            lease.count_refused(refusal.why.advice());
            self.hellos = self.hellos.saturating_add(1);
            if self.hellos >= HELLOS_REFUSED_MAX {
                return Err(Close::new(CloseCode::Refused, refusal.why.advice()));
            }
        }
        say(&answer.unwrap_or_else(Frame::Refused), out).map_err(nonsense)
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let now = robot_now();
        let mut lease = lock(&self.lease);
        if lease.holder.is_some() || !self.measuring.take(now, bytes) {
            let count = lease.record.rejected.entry(NO_LEASE).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn poll_answer(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.measuring.answer(robot_now(), buf)
    }

    fn poll_datagram(&mut self, _buf: &mut [u8]) -> Option<usize> {
        self.measuring.look(robot_now());
        None
    }

    fn poll_frame(&mut self, _out: &mut Outbox) {}

    fn poll_close(&mut self) -> Option<Close> {
        let lease = lock(&self.lease);
        let revoked = lease.is_revoked(&self.serial);
        revoked.or_else(|| self.measuring.must_end(lease.may_measure()))
    }

    fn closed(&mut self, why: &Closed) {
        tracing::info!("measuring ended: {why}");
    }
}

impl Link for DoorLink {
    fn frame(&mut self, body: &[u8], out: &mut Outbox) -> Result<(), Close> {
        match self {
            Self::Surgeon(link) => link.frame(body, out),
            Self::Engineer(link) => link.frame(body, out),
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        match self {
            Self::Surgeon(link) => link.datagram(bytes),
            Self::Engineer(link) => link.datagram(bytes),
        }
    }

    fn poll_answer(&mut self, buf: &mut [u8]) -> Option<usize> {
        match self {
            Self::Surgeon(link) => link.poll_answer(buf),
            Self::Engineer(link) => link.poll_answer(buf),
        }
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        match self {
            Self::Surgeon(link) => link.poll_datagram(buf),
            Self::Engineer(link) => link.poll_datagram(buf),
        }
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        match self {
            Self::Surgeon(link) => link.poll_frame(out),
            Self::Engineer(link) => link.poll_frame(out),
        }
    }

    fn poll_close(&mut self) -> Option<Close> {
        match self {
            Self::Surgeon(link) => link.poll_close(),
            Self::Engineer(link) => link.poll_close(),
        }
    }

    fn path(&mut self, counters: &PathCounters) {
        match self {
            Self::Surgeon(link) => link.path(counters),
            Self::Engineer(link) => link.path(counters),
        }
    }

    fn closed(&mut self, why: &Closed) {
        match self {
            Self::Surgeon(link) => link.closed(why),
            Self::Engineer(link) => link.closed(why),
        }
    }
}

fn say(frame: &Frame, out: &mut Outbox) -> Result<(), String> {
    let mut body = [0; wire::FRAME_MAX];
    let len = wire::encode_frame(frame, &mut body);
    out.push(body.get(..len).unwrap_or_default()).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::epoch::EpochStore;
    use crate::servo_thread::{AnswerWriter, RequestReader, StateWriter, pack_state};
    use longhand_follower::profile::Profile;
    use longhand_follower::supervisor::{Denial, Outcome};
    use longhand_protocol::message::{Command, RecordAlarm};
    use longhand_protocol::probe::{Probe, ProbeAnswer};
    use longhand_protocol::units::Micros;
    use longhand_quic::mailbox::Mailbox;
    use longhand_quic::random::random_u64;
    use std::time::SystemTime;
    use tempfile::TempDir;

    /// A door with a servo thread that the test plays.
    pub(crate) struct Bench {
        pub(crate) door: Door,
        states: StateWriter,
        requests: RequestReader,
        answers: AnswerWriter,
        _folder: TempDir,
        /// What the follower's fence would be.
        fence: Epoch,
    }

    impl Bench {
        pub(crate) fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (_store, epochs) = EpochStore::open(folder.path()).unwrap();
            let (commands, _) = Mailbox::pair();
            let (request_writer, requests) = Mailbox::pair();
            let (answers, answer_reader) = Mailbox::pair();
            let (states, state_reader) = Mailbox::pair();
            let (arrivals, _) = Mailbox::pair();
            let (door, _watch) = door(NetworkConfig {
                robot: RobotId::new(1),
                profile: ProfileHash::new(7),
                terms: Profile::DEFAULT.terms(),
                epochs,
                commands,
                requests: request_writer,
                answers: answer_reader,
                states: state_reader,
                arrivals,
                record: None,
                tap: None,
                shared: Arc::default(),
                runs: Runs::default(),
                random: random_u64,
            });
            Self { door, states, requests, answers, _folder: folder, fence: Epoch::ZERO }
        }

        fn connect(&mut self, name: &str, port: u16) -> RobotLink {
            match self.link(Role::Surgeon, name, port) {
                DoorLink::Surgeon(link) => link,
                DoorLink::Engineer(_) => panic!("a surgeon measures only"),
            }
        }

        fn link(&mut self, role: Role, name: &str, port: u16) -> DoorLink {
            let peer = PeerIdentity {
                role,
                name: name.to_owned(),
                fingerprint: format!("print of {name}"),
                robot: None,
                serial: String::new(),
                not_before: SystemTime::UNIX_EPOCH,
                not_after: SystemTime::UNIX_EPOCH,
            };
            self.door.accept(&peer, SocketAddr::from(([10, 0, 0, 2], port))).unwrap()
        }

        pub(crate) fn watch(&self) -> NetworkWatch {
            NetworkWatch(Arc::clone(&self.door.0))
        }

        /// The servo thread publishes a state.
        fn stage(&mut self, stage: Stage) {
            if stage == Stage::Bedside {
                let holder = lock(&self.door.0).holder.as_ref().map(|h| h.session.key().epoch);
                self.fence = holder.unwrap_or(self.fence).max(self.fence);
            }
            let state = FollowerState { stage, ..FollowerState::default() };
            self.states.push(&pack_state(&state, self.fence).unwrap());
        }

        /// The holder has said nothing for long enough.
        fn silence(&self) {
            let mut lease = lock(&self.door.0);
            let long_ago = Instant::from_micros(0);
            lease.holder.as_mut().unwrap().heard_at = long_ago;
        }
    }

    fn probe_in(link: &mut impl Link, run: u64, number: u64) -> Option<ProbeAnswer> {
        let mut buf = [0; wire::PROBE_ANSWER_LEN];
        link.datagram(&wire::encode_probe(&Probe { run, number, ..Probe::default() }));
        let len = link.poll_answer(&mut buf)?;
        assert_eq!(link.poll_answer(&mut [0; wire::PROBE_ANSWER_LEN]), None, "one answer each");
        Some(wire::decode_probe_answer(&buf[..len]).unwrap())
    }

    #[test]
    fn an_engineer_measures_and_can_ask_for_nothing_else() {
        let mut bench = Bench::new();
        let (mut ann, mut out) = (bench.link(Role::Engineer, "ann", 1), Outbox::new());
        assert_eq!(probe_in(&mut ann, 5, 1), None, "no run was begun");
        give(&mut ann, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap();
        assert_eq!(said(&mut out), [Frame::ProbeReady { run: 5, twin_port: 0 }]);
        assert_eq!(probe_in(&mut ann, 5, 1).unwrap().received, 1);
        assert_eq!(probe_in(&mut ann, 5, 1), None, "a copy");
        assert_eq!(probe_in(&mut ann, 6, 2), None, "another run");
        // A new connection of hers goes on with the run; nobody else measures meanwhile, and
        // whoever does behind her begins anew.
        let mut again = bench.link(Role::Engineer, "ann", 2);
        give(&mut again, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap();
        assert_eq!(probe_in(&mut again, 5, 4).unwrap().received, 2);
        let mut bob = bench.link(Role::Engineer, "bob", 3);
        let refused = give(&mut bob, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap_err();
        assert_eq!(refused.code, CloseCode::Refused);
        assert!(refused.reason.contains("\"ann\"") && refused.reason.contains("try again"));
        drop((again, ann));
        let mut bob = bench.link(Role::Engineer, "bob", 3);
        give(&mut bob, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap();
        assert_eq!(probe_in(&mut bob, 5, 9).unwrap().received, 1);
        drop(bob);
        let mut ann = bench.link(Role::Engineer, "ann", 4);
        let _ready = said(&mut out);
        // What a surgeon may ask for, an engineer may not.
        let hello = spoken(0);
        for word in [hello, Frame::StateCommand(StateCommand::Resume)] {
            give(&mut ann, &word, &mut out).unwrap();
            let refusal = Refusal { why: RefusalKind::Role, expected: 0, got: 0 };
            assert_eq!(said(&mut out), [Frame::Refused(refusal)]);
        }
        assert_eq!(give(&mut ann, &hello, &mut out).unwrap_err().code, CloseCode::Refused);
        let mut asked = 0;
        bench.requests.drain(u64::MAX, |_| asked += 1);
        assert_eq!(asked, 0, "the servo thread heard of none of it");
    }

    #[test]
    fn a_measurement_ends_when_a_surgeon_comes_and_does_not_begin_while_one_is_there() {
        let mut bench = Bench::new();
        let mut out = Outbox::new();
        let mut ann = bench.link(Role::Engineer, "ann", 1);
        give(&mut ann, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap();
        let _ready = said(&mut out);
        assert!(probe_in(&mut ann, 5, 1).is_some() && ann.poll_close().is_none());
        let mut lee = bench.connect("lee", 2);
        assert!(give(&mut lee, &Frame::ProbeBegin { run: 6 }, &mut out).is_err(), "one at a time");
        drop(ann);
        give(&mut lee, &Frame::ProbeBegin { run: 6 }, &mut out).unwrap();
        assert!(probe_in(&mut lee, 6, 1).is_some(), "a surgeon may measure, too");
        drop(lee);
        let mut ann = bench.link(Role::Engineer, "ann", 1);
        give(&mut ann, &Frame::ProbeBegin { run: 5 }, &mut out).unwrap();
        let _ready = said(&mut out);
        assert!(probe_in(&mut ann, 5, 9).is_some());
        let mut lee = bench.connect("lee", 3);
        welcomed(&mut lee);
        assert_eq!(probe_in(&mut ann, 5, 2), None);
        assert_eq!(ann.poll_close().unwrap().code, CloseCode::Refused);
        let mut bob = bench.link(Role::Engineer, "bob", 4);
        give(&mut bob, &Frame::ProbeBegin { run: 7 }, &mut out).unwrap();
        assert!(matches!(
            said(&mut out)[..],
            [Frame::Refused(Refusal { why: RefusalKind::LeaseHeld, .. })]
        ));
        assert_eq!(bob.poll_close(), None, "it has no run to end");
    }

    fn give(link: &mut impl Link, frame: &Frame, out: &mut Outbox) -> Result<(), Close> {
        let mut body = [0; wire::FRAME_MAX];
        let len = wire::encode_frame(frame, &mut body);
        link.frame(&body[..len], out)
    }

    /// What was said since the last look.
    fn said(out: &mut Outbox) -> Vec<Frame> {
        let (mut frames, mut rest) = (Vec::new(), out.bytes());
        while let Some((len, behind)) = rest.split_first_chunk::<2>() {
            let (body, later) = behind.split_at(usize::from(u16::from_le_bytes(*len)));
            frames.push(wire::decode_frame(body).unwrap());
            rest = later;
        }
        out.sent(out.bytes().len());
        frames
    }

    /// A hello, and the word by which it resumes.
    fn spoken(resume: u64) -> Frame {
        Frame::Hello { version: PROTOCOL_VERSION, robot: RobotId::new(1), half: 6, resume }
    }

    fn hello(link: &mut RobotLink, said: u64) -> Frame {
        let (version, robot) = (PROTOCOL_VERSION, RobotId::new(1));
        let hello = Hello { version, robot, halves: (5, 6), said, fresh: random_u64().unwrap() };
        link.hello(hello).unwrap_or_else(Frame::Refused)
    }

    fn welcomed(link: &mut RobotLink) -> SessionKey {
        resumed(link, 0).0
    }

    /// Let in with this word; and the word for the next time.
    fn resumed(link: &mut RobotLink, said: u64) -> (SessionKey, u64) {
        let frame = hello(link, said);
        let Frame::Welcome { key, resume, .. } = frame else { panic!("{frame:?}") };
        (key, resume)
    }

    fn refused(link: &mut RobotLink) -> Refusal {
        let frame = hello(link, 0);
        let Frame::Refused(refusal) = frame else { panic!("{frame:?}") };
        refusal
    }

    #[test]
    fn a_link_whose_task_dies_leaves_no_lease_behind() {
        let mut bench = Bench::new();
        let mut lee = bench.connect("dr-lee", 1);
        let (key, word) = resumed(&mut lee, 0);
        bench.stage(Stage::Hold);
        let died = std::thread::spawn(move || {
            let _dropped_by_the_panic = lee;
            panic!("a defect, as the test wants it");
        });
        assert!(died.join().is_err());
        let record = bench.watch().record();
        assert_eq!((record.holder, record.sessions), (None, 1));
        // Nobody has to wait for the dead one's silence.
        assert!(resumed(&mut bench.connect("dr-lee", 2), word).0.epoch > key.epoch);
    }

    #[test]
    fn another_surgeon_is_refused_until_the_bedside_has_the_robot() {
        let mut bench = Bench::new();
        let (mut lee, mut two) = (bench.connect("dr-lee", 1), bench.connect("dr-two", 2));
        bench.stage(Stage::Follow);
        let key = welcomed(&mut lee);
        let held = Refusal { why: RefusalKind::LeaseHeld, expected: 0, got: key.epoch.get() };
        assert_eq!(refused(&mut two), held, "the holder is there");
        bench.silence();
        assert_eq!(refused(&mut two), held, "silent, but there");
        drop(lee);
        for stage in [Stage::Hold, Stage::Latched] {
            bench.stage(stage);
            assert_eq!(refused(&mut two), held, "{stage:?}: it was the holder's until now");
        }
        bench.stage(Stage::Bedside);
        bench.stage(Stage::Latched);
        assert_eq!(refused(&mut two), held, "handed over while nobody else was there");
        bench.stage(Stage::Bedside);
        assert!(welcomed(&mut two).epoch > key.epoch);
        assert_eq!(refused(&mut bench.connect("dr-lee", 3)).why, RefusalKind::LeaseHeld);
    }

    #[test]
    fn the_bedside_gives_a_connected_holders_robot_to_another_who_asks_again() {
        let mut bench = Bench::new();
        let watch = bench.watch();
        let (mut lee, mut two) = (bench.connect("dr-lee", 1), bench.connect("dr-two", 2));
        assert_eq!(watch.handed_to(), "the first surgeon to connect");
        let key = welcomed(&mut lee);
        assert_eq!(watch.handed_to(), "dr-lee");
        for stage in Stage::ALL.into_iter().filter(|stage| *stage < Stage::Bedside) {
            bench.stage(stage);
            for ask in 1..3 {
                assert_eq!(refused(&mut two).why, RefusalKind::LeaseHeld, "{stage:?}, {ask}");
            }
        }
        assert_eq!(lee.poll_close(), None);

        // It was refused before, and asks again now that nobody operates.
        bench.stage(Stage::Bedside);
        assert!(lee.poll_datagram(&mut [0; wire::STATE_LEN]).is_some(), "in a new session first");
        let given = welcomed(&mut two);
        assert!(given.epoch > key.epoch);
        assert_eq!(watch.handed_to(), "dr-two");
        let close = lee.poll_close().unwrap();
        assert_eq!(close.code, CloseCode::TakenOver, "its console waits for a person");
        assert_eq!(close.reason, "dr-two took the lease while the bedside had the robot");
        assert_eq!((watch.record().refused.get(GIVEN_UP), two.poll_close()), (Some(&1), None));

        // A console that asks by itself once its link is back is refused, once; then a person asks.
        drop(lee);
        let mut again = bench.connect("dr-lee", 3);
        let held = Refusal { why: RefusalKind::LeaseHeld, expected: 0, got: given.epoch.get() };
        assert_eq!(refused(&mut again), held);
        assert_eq!(two.poll_close(), None);
        let mut asked = bench.connect("dr-lee", 4);
        assert!(welcomed(&mut asked).epoch > given.epoch);
        assert_eq!(two.poll_close().unwrap().code, CloseCode::TakenOver);
        drop(two);
        assert_eq!(watch.handed_to(), "dr-lee");
    }

    #[test]
    fn a_robot_handed_over_while_nobody_is_connected_is_the_last_holders() {
        let mut bench = Bench::new();
        let watch = bench.watch();
        let mut lee = bench.connect("dr-lee", 1);
        let (_, word) = resumed(&mut lee, 0);
        drop(lee);
        assert_eq!(watch.handed_to(), "dr-lee, who is not connected");
        bench.stage(Stage::Latched);
        assert_eq!(refused(&mut bench.connect("dr-two", 2)).why, RefusalKind::LeaseHeld);
        let mut lee = bench.connect("dr-lee", 3);
        resumed(&mut lee, word);
        assert_eq!(watch.handed_to(), "dr-lee");
    }

    /// The console is gone for good: the bedside took the robot back, and handed it to the same
    /// surgeon, who sits at another console by now.
    #[test]
    fn a_robot_handed_over_anew_is_the_last_holders_whatever_console_they_come_with() {
        let mut bench = Bench::new();
        let mut lee = bench.connect("dr-lee", 1);
        let key = welcomed(&mut lee);
        drop(lee);
        bench.stage(Stage::Latched);
        // The lease still runs: only the console that had it may come back.
        assert_eq!(refused(&mut bench.connect("dr-lee", 2)).why, RefusalKind::LeaseHeld);
        bench.fence = key.epoch;
        bench.stage(Stage::Bedside);
        bench.stage(Stage::Latched);
        assert_eq!(refused(&mut bench.connect("dr-two", 3)).why, RefusalKind::LeaseHeld);
        let mut anew = bench.connect("dr-lee", 4);
        assert!(welcomed(&mut anew).epoch > key.epoch);
        assert_eq!(bench.watch().handed_to(), "dr-lee");
    }

    /// The bedside took the robot and gave it back, and the states that said so were dropped.
    #[test]
    fn a_lease_ends_by_the_fence_though_no_bedside_was_seen() {
        let mut bench = Bench::new();
        let mut lee = bench.connect("dr-lee", 1);
        let key = welcomed(&mut lee);
        let held = |bench: &Bench| lock(&bench.door.0).holder.as_ref().unwrap().session.key().epoch;
        let mut buf = [0; wire::STATE_LEN];
        bench.stage(Stage::Latched);
        assert!(lee.poll_datagram(&mut buf).is_some());
        assert_eq!(held(&bench), key.epoch);
        bench.fence = key.epoch;
        bench.stage(Stage::Latched);
        assert!(lee.poll_datagram(&mut buf).is_some());
        assert!(held(&bench) > key.epoch);
    }

    #[test]
    fn the_holder_has_the_newest_state_though_another_surgeon_floods_hellos() {
        let mut bench = Bench::new();
        let (mut lee, mut two) = (bench.connect("dr-lee", 1), bench.connect("dr-two", 2));
        welcomed(&mut lee);
        let (mut buf, mut out) = ([0; wire::STATE_LEN], Outbox::new());
        let flood = spoken(0);
        for stage in [Stage::Follow, Stage::Coast] {
            bench.stage(stage);
            give(&mut two, &flood, &mut out).unwrap();
            lee.poll_datagram(&mut buf).unwrap();
            assert_eq!(wire::decode_state(&buf).unwrap().state.stage, stage);
            assert_eq!(lee.poll_datagram(&mut buf), None, "each state is sent once");
        }
        let refused = said(&mut out);
        let held = |frame: &Frame| match frame {
            Frame::Refused(refusal) => refusal.why == RefusalKind::LeaseHeld,
            Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Witness(_) => false,
            Frame::StateCommand(_) | Frame::StateAccepted(_) => false,
            Frame::ProbeBegin { .. } | Frame::ProbeReady { .. } => false,
        };
        assert!(refused.len() == 2 && refused.iter().all(held), "{refused:?}");
        // The third refusal is the last.
        assert_eq!(give(&mut two, &flood, &mut out).unwrap_err().code, CloseCode::Refused);
    }

    #[test]
    fn a_connection_whose_lease_was_taken_over_is_told_by_whom_and_closed() {
        let mut bench = Bench::new();
        let (mut first, mut second) = (bench.connect("dr-lee", 1), bench.connect("dr-lee", 2));
        bench.stage(Stage::Follow);
        let (old, word) = resumed(&mut first, 0);
        assert!(matches!(hello(&mut second, word), Frame::Refused(_)), "the holder lives");
        assert_eq!(refused(&mut second).got, old.epoch.get());
        assert_eq!((first.poll_close(), second.poll_close()), (None, None));
        bench.silence();
        let (new, same) = resumed(&mut second, word);
        assert!(new.epoch > old.epoch && same == word);
        let close = first.poll_close().unwrap();
        assert_eq!(close.code, CloseCode::TakenOver);
        assert_eq!(close.reason, "your lease was taken over from 10.0.0.2:2");
        assert_eq!(second.poll_close(), None);
        // What it still says is nobody's.
        first.datagram(&wire::encode_command(&Command { key: old, ..Command::default() }));
        assert_eq!(lock(&bench.door.0).record.rejected.get(NO_LEASE), Some(&1));
        drop(first);
        assert!(lock(&bench.door.0).ended.is_empty());
        assert!(lock(&bench.door.0).holder.is_some(), "the lease is the second's");
    }

    #[test]
    fn a_copy_of_the_holders_certificate_waits_for_the_bedside() {
        let mut bench = Bench::new();
        let (mut lee, mut thief) = (bench.connect("dr-lee", 1), bench.connect("dr-lee", 2));
        bench.stage(Stage::Follow);
        let (old, word) = resumed(&mut lee, 0);
        bench.silence();
        for guess in [0, word ^ 1] {
            assert!(matches!(hello(&mut thief, guess), Frame::Refused(_)));
        }
        // Nor when the holder's connection is gone.
        drop(lee);
        assert!(matches!(hello(&mut thief, word.rotate_left(1)), Frame::Refused(_)));
        let mut again = bench.connect("dr-lee", 3);
        assert!(resumed(&mut again, word).0.epoch > old.epoch);
        // Another surgeon who knows the word does not resume by it.
        let mut two = bench.connect("dr-two", 4);
        bench.silence();
        assert!(matches!(hello(&mut two, word), Frame::Refused(_)));
        // Once the bedside has the robot, a console that was started anew is let in.
        drop(again);
        bench.stage(Stage::Bedside);
        assert!(resumed(&mut thief, 0).1 != word);
    }

    #[test]
    fn a_state_command_is_answered_by_what_the_servo_thread_decided() {
        let mut bench = Bench::new();
        let mut link = bench.connect("dr-lee", 1);
        let mut out = Outbox::new();
        let early = Frame::StateCommand(StateCommand::Pause);
        give(&mut link, &early, &mut out).unwrap();
        let due = Refusal { why: RefusalKind::OutOfOrder, expected: 16, got: 19 };
        assert_eq!(said(&mut out), [Frame::Refused(due)]);
        welcomed(&mut link);
        let again = Refusal { why: RefusalKind::OutOfOrder, expected: 19, got: 16 };
        assert_eq!(refused(&mut link), again);

        for word in [StateCommand::Pause, StateCommand::Resume, StateCommand::Pause] {
            give(&mut link, &Frame::StateCommand(word), &mut out).unwrap();
        }
        assert_eq!(said(&mut out), [], "nobody has decided yet");
        let mut tokens = Vec::new();
        bench.requests.drain(u64::MAX, |[_, token, ..]| tokens.push(*token));
        let mut decide = |index: usize, is_refused, operating_state| {
            let refused = Outcome::Refused(Denial::Stage);
            let outcome = if is_refused { refused } else { Outcome::Done };
            let answer = Answer { token: tokens[index], outcome: Some(outcome), operating_state };
            bench.answers.push(&answer.words());
        };
        // Of a connection that is gone.
        decide(0, false, OperatingState::Paused);
        decide(1, true, OperatingState::Fault);
        link.poll_frame(&mut out);
        let in_fault = Refusal { why: RefusalKind::InFault, expected: 2, got: 3 };
        let accepted = Frame::StateAccepted(StateCommand::Pause);
        assert_eq!(said(&mut out), [accepted, Frame::Refused(in_fault)]);
        decide(2, true, OperatingState::Disabled);
        link.poll_frame(&mut out);
        let off = Refusal { why: RefusalKind::State, expected: 1, got: 0 };
        assert_eq!(said(&mut out), [Frame::Refused(off)]);

        for _ in 0..ASKED_MAX {
            give(&mut link, &early, &mut out).unwrap();
        }
        assert_eq!(give(&mut link, &early, &mut out).unwrap_err().code, CloseCode::Nonsense);
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_is_told_and_closed() {
        let mut bench = Bench::new();
        let mut lee = bench.connect("dr-lee", 1);
        let key = welcomed(&mut lee);
        while lock(&bench.door.0).config.epochs.grant().is_ok() {}
        bench.stage(Stage::Bedside);
        let mut buf = [0; wire::STATE_LEN];
        assert_eq!(lee.poll_datagram(&mut buf), None, "that session is dead");
        let close = lee.poll_close().unwrap();
        assert_eq!(close.code, CloseCode::Refused);
        assert!(close.reason.contains("no epoch is left that is safe on disk"), "{close}");
        drop(lee);
        let lease = lock(&bench.door.0);
        assert!(lease.ended.is_empty() && lease.holder.is_none());
        let last = lease.last_holder.as_ref().map(|(last, _)| last.fingerprint.as_str());
        assert_eq!(last, Some("print of dr-lee"));
        assert!(lease.config.epochs.last() > key.epoch);
    }

    #[test]
    fn without_random_numbers_no_session_begins_and_none_goes_on() {
        let mut bench = Bench::new();
        let mut lee = bench.connect("dr-lee", 1);
        let hello = spoken(0);
        let mut out = Outbox::new();
        lock(&bench.door.0).config.random = || Err(NoRandom);
        let before = lock(&bench.door.0).config.epochs.last();
        let close = give(&mut lee, &hello, &mut out).unwrap_err();
        assert_eq!(close.code, CloseCode::Refused);
        assert!(close.reason.contains("no random numbers; check getrandom(2)"), "{close}");
        {
            let lease = lock(&bench.door.0);
            assert!(lease.holder.is_none() && lease.record.refused.get(&close.reason) == Some(&1));
            assert_eq!(lease.config.epochs.last(), before, "no epoch was spent on it");
        }
        lock(&bench.door.0).config.random = random_u64;
        welcomed(&mut lee);
        lock(&bench.door.0).config.random = || Err(NoRandom);
        bench.stage(Stage::Bedside);
        assert_eq!(lee.poll_datagram(&mut [0; wire::STATE_LEN]), None, "that session is dead");
        assert!(lee.poll_close().unwrap().reason.contains("no random numbers"));
    }

    #[test]
    fn the_holder_is_told_how_far_the_record_has_come_and_what_is_wrong_with_it() {
        let mut bench = Bench::new();
        let health = Arc::new(Health::default());
        let (links, mut counted) = Mailbox::pair();
        let (mut seals, read_seals) = Mailbox::pair();
        let record = RecordEnds::new([7; 16], links, read_seals, Arc::clone(&health));
        lock(&bench.door.0).config.record = Some(record);
        let (mut lee, mut two) = (bench.connect("dr-lee", 1), bench.connect("dr-two", 2));
        let mut out = Outbox::new();
        lee.poll_frame(&mut out);
        assert_eq!(said(&mut out), [], "nobody holds the robot");
        welcomed(&mut lee);
        health.safe(robot_now().after(Micros::from_secs(60)));
        seals.push(&[2, 90, 1, 0, 0, 1 << 56]);
        lee.poll_frame(&mut out);
        let mut chain = [0; 32];
        (chain[0], chain[31]) = (1, 1);
        let alarm = RecordAlarm::None;
        let witness = Witness { alarm, case_id: [7; 16], part: 2, records: 90, chain };
        assert_eq!(said(&mut out), [Frame::Witness(witness)]);
        lee.poll_frame(&mut out);
        two.poll_frame(&mut out);
        assert_eq!(said(&mut out), [], "once, and to nobody else");
        health.failed(true);
        lee.poll_frame(&mut out);
        let failed = Witness { alarm: RecordAlarm::Failed, ..witness };
        assert_eq!(said(&mut out), [Frame::Witness(failed)]);
        lee.path(&PathCounters { packets_lost: 5, ..PathCounters::default() });
        two.path(&PathCounters::default());
        let mut rows = Vec::new();
        counted.drain(u64::MAX, |row| rows.push(*row));
        assert!(rows.len() == 1 && rows[0][7] == 5, "{rows:?}");
        // The next session knows nothing yet.
        drop(lee);
        let mut again = bench.connect("dr-lee", 3);
        welcomed(&mut again);
        again.poll_frame(&mut out);
        assert_eq!(said(&mut out), [Frame::Witness(failed)]);
    }

    #[test]
    fn a_robot_that_cannot_keep_its_epoch_says_so() {
        let mut bench = Bench::new();
        let mut link = bench.connect("dr-lee", 1);
        while lock(&bench.door.0).config.epochs.grant().is_ok() {}
        let refusal = refused(&mut link);
        assert_eq!(refusal.why, RefusalKind::NotDurable);
        assert_eq!(refusal.expected, refusal.got + 1);
    }
}
