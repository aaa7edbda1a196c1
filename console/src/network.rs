//! The console's side of one connection: hello, welcome, and bytes between pump and leader thread.
//!
//! Knows: the reliable words and their order, and who waits for what. Does not know: QUIC (`pump`),
//! numbers and stamps (`ConsoleSession`, on the leader thread), or what any state means.
//!
//! Every session brings two new mailboxes. Why: the bytes of an old session then die with it, and
//! no reconnect can send them; nothing has to be flushed or compared.
//!
//! Queues: states 128, oldest dropped (as in the pump: older could not be used); commands 4, oldest
//! dropped (the pump's thread then woke 4 ms late; what waits below that leaves in order, for a
//! late thread must not turn into lost commands); sessions to the leader 8, the connection is ended
//! when full (the leader hangs); news to the clerk 64, newest dropped and counted; what the surgeon
//! asks 16, newest refused.

use crate::page::LinkState as Shown;
use longhand_protocol::message::{
    Frame, PROTOCOL_VERSION, Refusal, RefusalKind, RobotId, SessionKey, StateCommand, Terms,
    Witness,
};
use longhand_protocol::units::Epoch;
use longhand_protocol::wire::{self, COMMAND_LEN, STATE_LEN};
use longhand_quic::clock::console_now;
use longhand_quic::mailbox::{self, Mailbox, Reader, Writer};
use longhand_quic::pump::{
    Close, CloseCode, Closed, Connect, How, Link, LinkState, Outbox, PathCounters,
};
use longhand_quic::random::random_u64;
use longhand_quic::trust::PeerIdentity;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Words of one state's bytes.
pub(crate) const STATE_BODY: usize = STATE_LEN.div_ceil(8);
/// One state in its mailbox: when it was received, then its bytes.
pub(crate) const STATE_WORDS: usize = STATE_BODY + 1;
/// One command in its mailbox.
pub(crate) const COMMAND_WORDS: usize = COMMAND_LEN.div_ceil(8);
/// States that may wait for the leader thread.
pub(crate) const STATE_SLOTS: usize = 128;
/// Commands that may wait for the pump.
pub(crate) const COMMAND_SLOTS: usize = 4;
/// Sessions that may wait for the leader thread.
pub(crate) const SESSIONS_MAX: usize = 8;
/// News that may wait for the clerk.
pub(crate) const NEWS_MAX: usize = 64;
/// Requests of the surgeon that may wait for the pump.
pub(crate) const ASKS_MAX: usize = 16;

/// A session just agreed, as the leader thread gets it.
pub(crate) struct NewSession {
    pub(crate) key: SessionKey,
    pub(crate) terms: Terms,
    pub(crate) commands: Writer<COMMAND_WORDS, COMMAND_SLOTS>,
    pub(crate) states: Reader<STATE_WORDS, STATE_SLOTS>,
}

/// What the pump's thread tells the leader's.
pub(crate) enum ToLeader {
    /// Begin this session; whatever was before it is over.
    Session(NewSession),
    /// The connection is gone, and its session with it.
    Ended,
}

/// What the pump's thread tells the clerk.
pub(crate) enum News {
    /// How things stand, in words.
    Link { state: Shown, words: String },
    /// The robot does not let this console in. `lasting`: somebody must do something first.
    Refused { words: String, lasting: bool },
    /// A session began.
    Welcome { robot: String, key: SessionKey, terms: Terms },
    /// The path's counters, and datagrams that had another size than a state.
    Path { counters: PathCounters, wrong_size: u64 },
    /// How far the robot's record has come.
    Record(Witness),
    /// What became of a pause or resume.
    Asked { command: StateCommand, refused: Option<String> },
    /// The pump ended and will not come back.
    Dead { words: String },
}

/// The ends of all queues that a link holds. One for all connections, used by one at a time, and
/// only on the pump's thread: the lock around it is never waited for.
pub(crate) struct Ends {
    pub(crate) leader: SyncSender<ToLeader>,
    pub(crate) clerk: SyncSender<News>,
    pub(crate) asks: Receiver<StateCommand>,
    pub(crate) news_lost: u64,
    /// The epoch of the newest session that this console had, on whatever connection.
    pub(crate) had: Option<Epoch>,
    /// What the newest welcome said; zero before the first. In memory only: a console that is
    /// started anew is another.
    pub(crate) resume: u64,
    /// Why the last connection or attempt ended, in words; empty before.
    pub(crate) why: String,
}

impl Ends {
    /// Full: the newest is dropped. The clerk reads 500 times a second, so it hangs then.
    fn tell(&mut self, news: News) {
        if self.clerk.try_send(news).is_err() {
            self.news_lost = self.news_lost.saturating_add(1);
        }
    }
}

/// Makes a link for every connection.
pub(crate) struct Door {
    robot: RobotId,
    ends: Arc<Mutex<Ends>>,
}

impl Door {
    pub(crate) fn new(robot: RobotId, ends: Ends) -> Self {
        Self { robot, ends: Arc::new(Mutex::new(ends)) }
    }

    /// The pump has returned for good.
    pub(crate) fn dead(&self, words: String) {
        lock(&self.ends).tell(News::Dead { words });
    }
}

impl Connect for Door {
    type L = RobotLink;

    fn link(&mut self, robot: &PeerIdentity) -> RobotLink {
        let mut ends = lock(&self.ends);
        // What was asked of another session is not meant for this one.
        while ends.asks.try_recv().is_ok() {}
        let half = random_u64();
        if let Err(error) = half {
            ends.tell(News::Refused { words: error.to_string(), lasting: true });
        }
        RobotLink {
            robot: self.robot,
            who: robot.to_string(),
            ends: Arc::clone(&self.ends),
            phase: half.map_or(Phase::Over, Phase::Hello),
            asked: VecDeque::new(),
            unsent: None,
            wrong_size: 0,
        }
    }

    fn state(&mut self, state: &LinkState) {
        let mut ends = lock(&self.ends);
        let (shown, words) = match state {
            LinkState::Connecting { attempt } => {
                let before = match ends.why.as_str() {
                    "" => "nothing has answered yet".to_owned(),
                    why => format!("the last attempt: {why}"),
                };
                (Shown::Connecting, format!("connecting, attempt {attempt}; {before}"))
            }
            LinkState::Connected { robot } => {
                (Shown::Connecting, format!("connected to {robot}; waiting for its welcome"))
            }
            LinkState::Waiting { why, .. } => {
                ends.why.clone_from(&why.reason);
                let lasting = is_lasting(why);
                if why.is_refusal() {
                    ends.tell(News::Refused { words: why.reason.clone(), lasting });
                }
                // What only a person can mend ends a console that never was in session.
                let again = if lasting { "" } else { "; trying again" };
                (Shown::Down, format!("not connected: {why}{again}"))
            }
            LinkState::TakenOver { why } => {
                // What was asked before this is not meant to undo it.
                while ends.asks.try_recv().is_ok() {}
                let words = format!("{why}; to take it back, ask to resume");
                ends.tell(News::Refused { words: words.clone(), lasting: true });
                (Shown::Down, format!("not connected: {words}"))
            }
            // We are ending: how the link stood until then is what the report should say.
            LinkState::Stopped => return,
        };
        ends.tell(News::Link { state: shown, words });
    }

    /// A resume that is asked for while the lease is another's asks for the lease.
    fn may_try_again(&mut self) -> bool {
        let ends = lock(&self.ends);
        let mut asked = std::iter::from_fn(|| ends.asks.try_recv().ok());
        asked.any(|command| command == StateCommand::Resume)
    }
}

/// Whether a refused connection stays refused until somebody has done something here.
fn is_lasting(why: &Closed) -> bool {
    match why.how {
        How::Certificate => true,
        How::Here(code) | How::There(code) => match code {
            CloseCode::Role | CloseCode::WrongPeer | CloseCode::TakenOver => true,
            CloseCode::Done
            | CloseCode::Refused
            | CloseCode::Full
            | CloseCode::Nonsense
            | CloseCode::Unknown => false,
        },
        How::Stopped | How::Silent | How::Restarted | How::Broken | How::Local => false,
    }
}

/// The same, for a refused hello.
const fn lasts(why: RefusalKind) -> bool {
    match why {
        RefusalKind::Version | RefusalKind::Robot | RefusalKind::Role => true,
        RefusalKind::LeaseHeld
        | RefusalKind::State
        | RefusalKind::InFault
        | RefusalKind::OutOfOrder
        | RefusalKind::NotDurable => false,
    }
}

/// Where a connection stands.
enum Phase {
    /// The hello, with this half of the session id, is still to be said.
    Hello(u64),
    /// It is said; the answer is awaited.
    Awaiting(u64),
    /// In session.
    Live {
        /// Our half of the session id.
        half: u64,
        /// The session's epoch; a further welcome must bring a higher one.
        epoch: Epoch,
        commands: Reader<COMMAND_WORDS, COMMAND_SLOTS>,
        /// Taken from the mailbox and not sent yet: empty again before the turn is over.
        leaving: VecDeque<[u64; COMMAND_WORDS]>,
        states: Writer<STATE_WORDS, STATE_SLOTS>,
    },
    /// Nothing more is said.
    Over,
}

/// One connection to the robot.
pub(crate) struct RobotLink {
    robot: RobotId,
    who: String,
    ends: Arc<Mutex<Ends>>,
    phase: Phase,
    /// Sent and not answered yet, in order.
    asked: VecDeque<StateCommand>,
    /// Taken from the queue, but the outbox was full.
    unsent: Option<StateCommand>,
    wrong_size: u64,
}

impl RobotLink {
    fn welcome(&mut self, key: SessionKey, terms: Terms, resume: u64) -> Result<(), Close> {
        // A welcome in session: the lease ended there (the bedside took the robot, or the link was
        // silent too long), and another session begins on this connection, at a higher epoch.
        let (half, before) = match self.phase {
            Phase::Awaiting(half) => (half, None),
            Phase::Live { half, epoch, .. } => (half, Some(epoch)),
            Phase::Hello(_) | Phase::Over => {
                return Err(nonsense("a welcome that nobody asked for"));
            }
        };
        if before.is_some_and(|epoch| key.epoch <= epoch) {
            return Err(nonsense("a further session, but no higher epoch"));
        }
        if key.robot != self.robot {
            let (wanted, got) = (self.robot.get(), key.robot.get());
            let words = format!("robot {wanted} was asked for, but robot {got} bade welcome");
            return Err(Close::new(CloseCode::WrongPeer, words));
        }
        // Our half makes the session new, whoever may be replaying the robot's.
        if !key.session.bytes().starts_with(&half.to_le_bytes()) {
            return Err(nonsense("the session id does not begin with the console's half"));
        }
        let (commands, outgoing) = Mailbox::pair();
        let (incoming, states) = Mailbox::pair();
        let mut ends = lock(&self.ends);
        let session = ToLeader::Session(NewSession { key, terms, commands, states });
        if ends.leader.try_send(session).is_err() {
            return Err(Close::new(CloseCode::Done, "the console's leader thread hangs"));
        }
        let leaving = VecDeque::with_capacity(COMMAND_SLOTS);
        self.phase =
            Phase::Live { half, epoch: key.epoch, commands: outgoing, leaving, states: incoming };
        let robot = self.who.clone();
        ends.had = Some(key.epoch);
        ends.resume = resume;
        ends.tell(News::Welcome { robot, key, terms });
        let words = format!("in session with {}", self.who);
        ends.tell(News::Link { state: Shown::Up, words });
        Ok(())
    }

    fn refused(&mut self, refusal: &Refusal) -> Result<(), Close> {
        let words = refusal.to_string();
        match self.phase {
            Phase::Live { .. } => {
                let Some(command) = self.asked.pop_front() else {
                    return Err(nonsense("a refusal of nothing that was asked"));
                };
                let refused = Some(format!("{} was refused: {words}", command.name()));
                lock(&self.ends).tell(News::Asked { command, refused });
                Ok(())
            }
            Phase::Hello(_) | Phase::Awaiting(_) | Phase::Over => {
                self.phase = Phase::Over;
                let mut ends = lock(&self.ends);
                // Somebody got a lease after ours. This console must not wait at the door for the
                // first moment of silence and take it back unasked.
                let later = ends.had.is_some_and(|had| refusal.got > had.get());
                if refusal.why == RefusalKind::LeaseHeld && later {
                    return Err(Close::new(CloseCode::TakenOver, words));
                }
                let lasting = lasts(refusal.why);
                ends.tell(News::Refused { words: words.clone(), lasting });
                Err(Close::new(CloseCode::Refused, words))
            }
        }
    }

    fn accepted(&mut self, command: StateCommand) -> Result<(), Close> {
        if self.asked.pop_front() != Some(command) {
            return Err(nonsense("an answer to nothing that was asked"));
        }
        lock(&self.ends).tell(News::Asked { command, refused: None });
        Ok(())
    }

    fn ask(&mut self, out: &mut Outbox) {
        loop {
            let next = self.unsent.take().or_else(|| lock(&self.ends).asks.try_recv().ok());
            let Some(command) = next else { return };
            if say(&Frame::StateCommand(command), out) {
                self.asked.push_back(command);
            } else {
                self.unsent = Some(command);
                return;
            }
        }
    }
}

impl Link for RobotLink {
    fn frame(&mut self, body: &[u8], _out: &mut Outbox) -> Result<(), Close> {
        let frame = wire::decode_frame(body).map_err(|error| nonsense(error.advice()))?;
        match frame {
            Frame::Welcome { key, terms, resume } => self.welcome(key, terms, resume),
            Frame::Witness(witness) => {
                lock(&self.ends).tell(News::Record(witness));
                Ok(())
            }
            Frame::Refused(refusal) => self.refused(&refusal),
            Frame::StateAccepted(command) => self.accepted(command),
            Frame::Hello { .. } | Frame::StateCommand(_) | Frame::ProbeBegin { .. } => {
                Err(nonsense("a word that only a console may say"))
            }
            Frame::ProbeReady { .. } => Err(nonsense("nobody here measures the link")),
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let Phase::Live { states, .. } = &mut self.phase else { return };
        let is_state = bytes.len() == STATE_LEN;
        let Some(body) = mailbox::from_bytes::<STATE_BODY>(bytes).filter(|_| is_state) else {
            self.wrong_size = self.wrong_size.saturating_add(1);
            return;
        };
        states.push(&stamped(console_now().as_micros(), &body));
    }

    fn poll_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        let Phase::Live { commands, leaving, .. } = &mut self.phase else { return None };
        if leaving.is_empty() {
            let all = u64::try_from(COMMAND_SLOTS).unwrap_or(u64::MAX);
            let _dropped_oldest = commands.drain(all, |command| leaving.push_back(*command));
        }
        let next = leaving.pop_front()?;
        mailbox::to_bytes(&next, buf.get_mut(..COMMAND_LEN)?);
        Some(COMMAND_LEN)
    }

    fn poll_frame(&mut self, out: &mut Outbox) {
        match self.phase {
            Phase::Hello(half) => {
                let resume = lock(&self.ends).resume;
                let version = PROTOCOL_VERSION;
                let hello = Frame::Hello { version, robot: self.robot, half, resume };
                if say(&hello, out) {
                    self.phase = Phase::Awaiting(half);
                }
            }
            Phase::Live { .. } => self.ask(out),
            Phase::Awaiting(_) | Phase::Over => {}
        }
    }

    fn path(&mut self, counters: &PathCounters) {
        let news = News::Path { counters: *counters, wrong_size: self.wrong_size };
        lock(&self.ends).tell(news);
    }

    fn closed(&mut self, _why: &Closed) {
        if matches!(self.phase, Phase::Live { .. }) {
            // Full: the leader hangs; the next session, or the lack of states, tells it the same.
            let _hangs = lock(&self.ends).leader.try_send(ToLeader::Ended);
        }
        self.phase = Phase::Over;
    }
}

/// One message of the states' mailbox.
pub(crate) fn stamped(received_us: u64, body: &[u64; STATE_BODY]) -> [u64; STATE_WORDS] {
    let mut message = [0; STATE_WORDS];
    let [stamp, rest @ ..] = &mut message;
    *stamp = received_us;
    *rest = *body;
    message
}

/// Whether the frame was taken.
fn say(frame: &Frame, out: &mut Outbox) -> bool {
    let mut buffer = [0; wire::FRAME_MAX];
    let count = wire::encode_frame(frame, &mut buffer);
    buffer.get(..count).is_some_and(|body| out.push(body).is_ok())
}

fn nonsense(words: &str) -> Close {
    Close::new(CloseCode::Nonsense, format!("from the robot: {words}"))
}

/// Plain ends of queues, whole at every moment: a poisoned lock is used all the same.
fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}
