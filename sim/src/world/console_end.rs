//! The console's end of the world: clock, hand, leader, session.
//!
//! Knows: when the leader turns and how a session is asked for. Does not know: the link. The leader
//! is the shipped one; the asking is the console's rule without its sockets.

use crate::world::carrier::Came;
use crate::world::clock::VirtualClock;
use crate::world::robot_end::{ROBOT, encoded};
use crate::world::watch::{ConsoleTick, Meddler};
use longhand_console::input::{Hand, Seen};
use longhand_leader::hand::HandSample;
use longhand_leader::{Leader, LeaderOutput};
use longhand_protocol::message::{Frame, PROTOCOL_VERSION, SessionKey, StateReport, Terms};
use longhand_protocol::session::{ConsoleSession, Reject};
use longhand_protocol::units::{Console, Epoch, Instant, Micros, TICK};
use longhand_protocol::wire;
use longhand_quic::pace;
use longhand_quic::pump::IDLE_TIMEOUT;

/// What the console's clock reads at world time zero. Chosen.
pub const ZERO: Micros = Micros::from_secs(1_000);
/// The console turns half a tick after the robot. Chosen: the mean of all phases.
const PHASE: Micros = Micros::from_micros(500);
/// Hello is said again after this long without an answer. Chosen: three long ways there and back
/// would be more, and saying it again is free of consequences.
const SAY_AGAIN: Micros = Micros::from_millis(250);
/// States that wait in the socket of a console that does not run. Chosen: what a default receive
/// buffer of 208 KiB holds; the newest is dropped, as a socket does.
const SOCKET_MAX: usize = 300;

/// The console's end.
pub struct ConsoleEnd {
    clock: VirtualClock<Console>,
    due: Instant<Console>,
    asleep_until: Micros,
    hand: Box<dyn Hand>,
    leader: Leader,
    terms: Terms,
    scale: f64,
    session: Option<ConsoleSession>,
    /// Of the newest session it ever had. A word may come late, or again, where the carrier has no
    /// connections that end; a console never goes back to an old session.
    epoch: Epoch,
    half: u64,
    /// As the newest welcome said it; zero before, and after it died.
    resume: u64,
    /// The carrier says when a connection begins and when it is gone.
    is_told: bool,
    connected: bool,
    asked_at: Option<Micros>,
    connect_at: Option<Micros>,
    heard_at: Micros,
    dead_until: Option<Micros>,
    socket: Vec<Vec<u8>>,
    report: Option<StateReport>,
    seen: Seen,
    sample: HandSample,
    output: LeaderOutput,
    ignores_altered: bool,
    command: Option<[u8; wire::COMMAND_LEN]>,
}

/// What the console wants of the carrier.
pub(super) struct Wants {
    pub(super) connection: bool,
    pub(super) hello: Option<Vec<u8>>,
}

impl ConsoleEnd {
    /// With what a welcome says the console is connected and its session has begun; else it has to
    /// connect first, and hears from the carrier how that went.
    pub(super) fn new(
        hand: Box<dyn Hand>,
        terms: Terms,
        scale: f64,
        seed: u64,
        begun: Option<(SessionKey, u64)>,
    ) -> Self {
        let clock = VirtualClock::new(ZERO);
        let key = begun.map(|(key, _)| key);
        let mut leader = Leader::new(terms, scale);
        let output = leader.step(clock.read(Micros::ZERO), &HandSample::default(), None);
        Self {
            clock,
            due: clock.read(TICK.saturating_add(PHASE)),
            asleep_until: Micros::ZERO,
            hand,
            leader: Leader::new(terms, scale),
            terms,
            scale,
            session: key.map(ConsoleSession::new),
            epoch: key.map_or(Epoch::ZERO, |key| key.epoch),
            half: seed,
            resume: begun.map_or(0, |(_, resume)| resume),
            is_told: key.is_none(),
            connected: key.is_some(),
            asked_at: None,
            connect_at: key.is_none().then_some(Micros::ZERO),
            heard_at: Micros::ZERO,
            dead_until: None,
            socket: Vec::new(),
            report: None,
            seen: Seen::default(),
            sample: HandSample::default(),
            output,
            ignores_altered: false,
            command: None,
        }
    }

    /// Its clock.
    pub const fn clock(&mut self) -> &mut VirtualClock<Console> {
        &mut self.clock
    }

    /// The hand.
    pub fn hand(&mut self) -> &mut dyn Hand {
        self.hand.as_mut()
    }

    /// Whoever has taken this console's place does not care what the robot makes of the commands.
    pub const fn ignore_altered(&mut self, ignores: bool) {
        self.ignores_altered = ignores;
    }

    /// The leader.
    pub const fn leader(&self) -> &Leader {
        &self.leader
    }

    /// The session, while there is one.
    pub const fn session(&mut self) -> Option<&mut ConsoleSession> {
        self.session.as_mut()
    }

    /// Speaks under another key from now on: another profile, another robot.
    pub const fn rekey(&mut self, key: SessionKey) {
        self.session = Some(ConsoleSession::new(key));
    }

    /// Gives its session up and asks for another.
    pub const fn ask_anew(&mut self) {
        self.session = None;
        self.asked_at = None;
        self.half = self.half.rotate_left(7).wrapping_add(1);
    }

    /// Does not run before `until`: paused, or its time stolen. What comes waits in the socket.
    pub fn stall(&mut self, until: Micros) {
        self.asleep_until = self.asleep_until.max(until);
    }

    /// What the hand did last.
    pub const fn sample(&self) -> &HandSample {
        &self.sample
    }

    /// What the leader decided last.
    pub const fn output(&self) -> &LeaderOutput {
        &self.output
    }

    pub(super) fn die(&mut self, until: Micros) {
        self.dead_until = Some(until);
        self.session = None;
        self.resume = 0;
        self.connected = false;
        self.report = None;
        self.command = None;
        self.socket.clear();
        self.stall(until);
    }

    pub(super) fn wakes_at(&self) -> Micros {
        self.clock.when(self.due, self.asleep_until)
    }

    pub(super) fn connection_changed(&mut self, at: Micros, came: &Came) {
        self.connected = *came == Came::Connected;
        self.heard_at = at;
        self.ask_anew();
    }

    /// A datagram; `None` where nobody judges it now.
    pub(super) fn datagram(
        &mut self,
        at: Micros,
        bytes: &[u8],
    ) -> Option<Result<Option<StateReport>, Reject>> {
        if self.dead_until.is_some() {
            return None;
        }
        if at < self.asleep_until {
            if self.socket.len() < SOCKET_MAX {
                self.socket.push(bytes.to_vec());
            }
            return None;
        }
        self.heard_at = at;
        self.judge(at, bytes)
    }

    fn judge(&mut self, at: Micros, bytes: &[u8]) -> Option<Result<Option<StateReport>, Reject>> {
        let now = self.clock.read(at);
        let session = self.session.as_mut()?;
        let altered = session.altered();
        let judged = session.handle_datagram(now, bytes);
        if session.altered() > altered && !self.ignores_altered {
            self.leader.let_go();
        }
        if let Ok(Some(report)) = &judged {
            self.report = Some(*report);
        }
        Some(judged)
    }

    pub(super) fn frame(&mut self, at: Micros, bytes: &[u8]) {
        if self.dead_until.is_some() {
            return;
        }
        self.heard_at = at;
        if let Ok(Frame::Welcome { key, terms, resume }) = wire::decode_frame(bytes)
            && key.epoch > self.epoch
        {
            self.epoch = key.epoch;
            self.resume = resume;
            self.session = Some(ConsoleSession::new(key));
            self.terms = terms;
            self.leader.begin_session(terms);
            self.report = None;
        }
    }

    /// What it needs before it turns: another process, another connection, a session.
    pub(super) fn wants(&mut self, at: Micros) -> Wants {
        if self.dead_until.take().is_some() {
            self.leader = Leader::new(self.terms, self.scale);
            self.seen = Seen::default();
            self.connect_at = Some(at);
        }
        let silent = at.saturating_sub(self.heard_at) >= IDLE_TIMEOUT;
        if self.connected && silent && !self.is_told {
            self.connected = false;
            self.session = None;
            self.connect_at = Some(at);
        }
        let connection = self.connect_at.take_if(|due| *due <= at).is_some();
        let patience = |asked: Micros| at.saturating_sub(asked) >= SAY_AGAIN;
        let ask = self.connected && self.session.is_none() && self.asked_at.is_none_or(patience);
        let hello = ask.then(|| {
            self.asked_at = Some(at);
            let (version, robot) = (PROTOCOL_VERSION, ROBOT);
            let (half, resume) = (self.half, self.resume);
            encoded(&Frame::Hello { version, robot, half, resume })
        });
        Wants { connection, hello }
    }

    /// Turns once.
    pub(super) fn turn(&mut self, at: Micros, meddlers: &mut [Box<dyn Meddler>]) {
        let (tick, next) = pace::judge(self.due, TICK, self.clock.read(at));
        self.due = next;
        for bytes in std::mem::take(&mut self.socket) {
            self.heard_at = at;
            let _counted = self.judge(at, &bytes);
        }
        let now = tick.woke_at;
        // As the leader thread does: whoever moves sees the state first.
        if let Some(report) = &self.report {
            self.hand.told(&report.state);
        }
        self.sample = self.hand.read(now, &self.seen);
        for meddler in meddlers {
            meddler.hand(at, &mut self.sample);
        }
        let report = self.report.take();
        self.output = self.leader.step(now, &self.sample, report.as_ref());
        self.seen = Seen {
            engagement: self.output.engagement,
            stage: self.leader.state().map(|state| state.stage),
        };
        self.command = self.session.as_mut().map(|session| session.send(&self.output.intent));
    }

    pub(super) fn describe(&self, at: Micros) -> ConsoleTick<'_> {
        ConsoleTick {
            at,
            now: self.clock.read(at),
            sample: &self.sample,
            output: &self.output,
            command: self.command.as_ref().map(<[u8; wire::COMMAND_LEN]>::as_slice),
        }
    }

    pub(super) const fn command(&self) -> Option<[u8; wire::COMMAND_LEN]> {
        self.command
    }
}
