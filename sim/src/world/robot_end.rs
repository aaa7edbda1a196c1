//! The robot's end of the world: clock, servo loop, session, lease.
//!
//! Knows: when the loop turns, what it is handed, who may hold the robot. Does not know: the link.
//! The servo loop is the shipped one; the lease is the agent's rule without its sockets.

use crate::world::carrier::Came;
use crate::world::clock::VirtualClock;
use crate::world::plant::WorldArm;
use crate::world::watch::RobotTick;
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_follower::{Follower, PeerFaults, TickOutput};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{
    FollowerState, Frame, PROTOCOL_VERSION, ProfileHash, Refusal, RefusalKind, RobotId, SessionId,
    SessionKey, Stage, Terms,
};
use longhand_protocol::session::{Accepted, Reject, RobotSession};
use longhand_protocol::units::{Epoch, Instant, Micros, Robot, TICK};
use longhand_protocol::wire;
use longhand_quic::pace;
use longhand_robot_agent::arm::ArmDrive;
use longhand_robot_agent::servo::{HOME, Servo, Turn, peer_faults};
use std::collections::VecDeque;

/// What the robot's clock reads at world time zero. The two clocks have nothing to do with each
/// other. Chosen.
pub const ZERO: Micros = Micros::from_secs(7);
/// Commands that wait for the loop, as many as the agent's mailbox holds; the oldest goes.
const INBOX_MAX: usize = 256;
/// A welcome is said again after this long, until a command shows that it came. Chosen: a short
/// way there and back; the real one rides on a stream that repeats by itself.
const SAY_AGAIN: Micros = Micros::from_millis(50);
/// The robot that every world has.
pub const ROBOT: RobotId = RobotId::new(1);

/// The robot's end. A copy lives on by itself: what would have become of it.
#[derive(Clone)]
pub struct RobotEnd {
    clock: VirtualClock<Robot>,
    due: Instant<Robot>,
    asleep_until: Micros,
    servo: Servo<WorldArm>,
    inbox: Vec<Inbound>,
    state: FollowerState,
    session: Option<RobotSession>,
    key: SessionKey,
    terms: Terms,
    /// What sessions that have ended counted.
    ended: PeerFaults,
    /// The same and the present session's.
    peer_faults: PeerFaults,
    console_half: u64,
    /// By what the console that holds the robot may resume.
    resume: u64,
    seed: u64,
    heard_at: Micros,
    unsaid: Option<Micros>,
    /// A word may be lost on its way and is said again until it is seen to have come.
    says_again: bool,
    network_down_until: Option<Micros>,
    requests: VecDeque<Request>,
    emergency_stop: bool,
}

/// What a turn was handed and gave.
pub(super) struct Turned {
    now: Instant<Robot>,
    scheduled_at: Instant<Robot>,
    request: Option<Request>,
    peer_faults: PeerFaults,
    output: TickOutput,
}

impl RobotEnd {
    /// With `begun`, the first session has begun; otherwise a console has to ask for it.
    pub(super) fn new(profile: Profile, seed: u64, begun: bool) -> Self {
        let (joints, jaw) = HOME;
        let arm = WorldArm::new(&joints, jaw);
        let clock = VirtualClock::new(ZERO);
        let terms = profile.terms();
        let key = first_key(seed);
        Self {
            clock,
            due: clock.read(TICK),
            asleep_until: Micros::ZERO,
            servo: Servo::new(Follower::new(profile), PerArm { psm1: arm.clone(), psm2: arm }),
            inbox: Vec::with_capacity(INBOX_MAX),
            state: FollowerState::default(),
            session: begun.then(|| RobotSession::new(key)),
            says_again: begun,
            key,
            terms,
            ended: PeerFaults::default(),
            peer_faults: PeerFaults::default(),
            console_half: seed,
            resume: word(seed, key.epoch),
            seed,
            heard_at: Micros::ZERO,
            unsaid: None,
            network_down_until: None,
            requests: VecDeque::new(),
            emergency_stop: false,
        }
    }

    /// What the first welcome would say.
    pub(super) const fn first_welcome(&self) -> (SessionKey, u64) {
        (self.key, self.resume)
    }

    /// Its clock.
    pub const fn clock(&mut self) -> &mut VirtualClock<Robot> {
        &mut self.clock
    }

    /// The servo, to make an arm fail.
    pub const fn servo(&mut self) -> &mut Servo<WorldArm> {
        &mut self.servo
    }

    /// The session: what was accepted, lost and rejected.
    pub const fn session(&self) -> Option<&RobotSession> {
        self.session.as_ref()
    }

    /// What every message of the session that was granted last carries.
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// What it said of itself last.
    pub const fn state(&self) -> &FollowerState {
        &self.state
    }

    /// The bedside, or the console on its reliable road, asks for something. One request a turn, in
    /// order.
    pub fn ask(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    /// The emergency stop goes in or out.
    pub const fn press_emergency_stop(&mut self, pressed: bool) {
        self.emergency_stop = pressed;
    }

    /// The servo loop does not turn before `until`: stolen time, an overrun.
    pub fn stall(&mut self, until: Micros) {
        self.asleep_until = self.asleep_until.max(until);
    }

    /// Ends the session and grants another under a higher epoch, as when a lease is transferred.
    pub fn regrant(&mut self, at: Micros) {
        self.grant(self.console_half);
        self.unsaid = Some(at);
    }

    pub(super) fn network_dies(&mut self, until: Micros) {
        self.network_down_until = Some(until);
        self.end_session();
        self.inbox.clear();
    }

    pub(super) fn wakes_at(&self) -> Micros {
        self.clock.when(self.due, self.asleep_until)
    }

    /// A connection begins or ends. A session outlives its connection until the lease ends.
    pub(super) fn connection_changed(&mut self, _at: Micros, _came: &Came) {}

    fn network_is_down(&mut self, at: Micros) -> bool {
        if self.network_down_until.is_some_and(|until| at >= until) {
            self.network_down_until = None;
        }
        self.network_down_until.is_some()
    }

    /// A datagram; `None` where there is no session to judge it.
    pub(super) fn datagram(
        &mut self,
        at: Micros,
        bytes: &[u8],
    ) -> Option<Result<Accepted, Reject>> {
        if self.network_is_down(at) {
            return None;
        }
        let now = self.clock.read(at);
        let judged = self.session.as_mut()?.handle_datagram(now, bytes);
        if let Ok(accepted) = &judged {
            self.heard_at = at;
            self.unsaid = None;
            if self.inbox.len() >= INBOX_MAX {
                self.inbox.remove(0);
            }
            let Accepted { command, received_at, checksum, .. } = *accepted;
            self.inbox.push(Inbound { command, received_at, checksum });
        } else {
            self.peer_faults = self.count_peer_faults();
        }
        Some(judged)
    }

    /// A word; the answer.
    pub(super) fn frame(&mut self, at: Micros, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.network_is_down(at) {
            return None;
        }
        let Ok(Frame::Hello { version, robot, half, resume }) = wire::decode_frame(bytes) else {
            return None;
        };
        let refuse =
            |why, expected, got| Some(encoded(&Frame::Refused(Refusal { why, expected, got })));
        if version != PROTOCOL_VERSION {
            return refuse(RefusalKind::Version, u64::from(PROTOCOL_VERSION), u64::from(version));
        }
        if robot != ROBOT {
            return refuse(RefusalKind::Robot, ROBOT.get(), robot.get());
        }
        let again = self.session.is_some() && half == self.console_half;
        let lives = at.saturating_sub(self.heard_at) < self.terms.latch_after;
        let resumes = resume != 0 && resume == self.resume;
        let is_free = !lives && (resumes || self.state.stage >= Stage::Bedside);
        if self.session.is_some() && !again && !is_free {
            return refuse(RefusalKind::LeaseHeld, 0, 1);
        }
        if !again {
            self.grant(half);
        }
        if !resumes && !again {
            self.resume = word(self.seed, self.key.epoch);
        }
        self.unsaid = None;
        Some(encoded(&Frame::Welcome { key: self.key, terms: self.terms, resume: self.resume }))
    }

    fn grant(&mut self, half: u64) {
        self.end_session();
        self.console_half = half;
        self.key.epoch = self.key.epoch.next();
        // Seeded, and never the same twice: the epoch only rises.
        let own = self.seed.rotate_left(32) ^ self.key.epoch.get();
        self.key.session = SessionId::from_halves(half, own);
        self.session = Some(RobotSession::new(self.key));
    }

    fn end_session(&mut self) {
        self.ended = self.peer_faults;
        self.session = None;
    }

    fn count_peer_faults(&self) -> PeerFaults {
        let now = self.session.as_ref().map(|s| peer_faults(s.rejects())).unwrap_or_default();
        PeerFaults {
            corrupted: self.ended.corrupted.saturating_add(now.corrupted),
            protocol: self.ended.protocol.saturating_add(now.protocol),
        }
    }

    pub(super) fn turn(&mut self, at: Micros) -> Turned {
        let (tick, next) = pace::judge(self.due, TICK, self.clock.read(at));
        self.due = next;
        self.servo.arms_mut().psm1.set_time(at);
        self.servo.arms_mut().psm2.set_time(at);
        let request = self.requests.pop_front();
        let peer_faults = self.peer_faults;
        let output = self.servo.turn(&Turn {
            now: tick.woke_at,
            scheduled_at: tick.scheduled_at,
            inbox: &self.inbox,
            emergency_stop: self.emergency_stop,
            peer_faults,
            request,
        });
        self.state = output.state;
        Turned { now: tick.woke_at, scheduled_at: tick.scheduled_at, request, peer_faults, output }
    }

    pub(super) fn describe<'a>(&'a mut self, at: Micros, turned: &'a Turned) -> RobotTick<'a> {
        let arms = self.servo.arms_mut();
        RobotTick {
            at,
            now: turned.now,
            scheduled_at: turned.scheduled_at,
            inbox: &self.inbox,
            request: turned.request,
            emergency_stop: self.emergency_stop,
            peer_faults: turned.peer_faults,
            output: &turned.output,
            truth: PerArm { psm1: *arms.psm1.truth(), psm2: *arms.psm2.truth() },
            told: PerArm { psm1: *arms.psm1.told(), psm2: *arms.psm2.told() },
            key: self.key,
        }
    }

    /// The loop turns once with nothing from outside, and drives its arms: when it did, world time,
    /// and what it was told to do. For a copy that is cut off from its world.
    pub fn turn_alone(&mut self) -> (Micros, PerArm<ArmDrive>) {
        let at = self.wakes_at();
        let turned = self.turn(at);
        self.after_turn(at, &turned);
        let arms = self.servo.arms_mut();
        (at, PerArm { psm1: *arms.psm1.told(), psm2: *arms.psm2.told() })
    }

    /// Forgets what the turn has used, and ends the lease when the follower says that it is over:
    /// the agent then grants a new session on the same connection.
    pub(super) fn after_turn(&mut self, at: Micros, turned: &Turned) {
        self.inbox.clear();
        if self.key.epoch <= turned.output.fence && self.session.is_some() {
            self.regrant(at);
        }
    }

    /// The welcome to a session that was granted unasked, until it is seen to have come.
    pub(super) fn welcome(&mut self, at: Micros) -> Option<Vec<u8>> {
        if self.unsaid? > at || self.network_is_down(at) {
            return None;
        }
        self.unsaid = self.says_again.then(|| at.saturating_add(SAY_AGAIN));
        Some(encoded(&Frame::Welcome { key: self.key, terms: self.terms, resume: self.resume }))
    }

    pub(super) fn report(&mut self) -> Option<[u8; wire::STATE_LEN]> {
        let state = self.state;
        Some(self.session.as_mut()?.report(state))
    }
}

/// By what the console that was let in now may resume: seeded, and never zero.
const fn word(seed: u64, epoch: Epoch) -> u64 {
    (seed.rotate_left(16) ^ epoch.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1
}

/// The key of the world's first session.
fn first_key(seed: u64) -> SessionKey {
    SessionKey {
        robot: ROBOT,
        session: SessionId::from_halves(seed, 1),
        epoch: Epoch::new(1),
        profile: ProfileHash::new(0),
    }
}

pub(super) fn encoded(frame: &Frame) -> Vec<u8> {
    let mut body = [0; wire::FRAME_MAX];
    let len = wire::encode_frame(frame, &mut body);
    body.get(..len).unwrap_or_default().to_vec()
}
