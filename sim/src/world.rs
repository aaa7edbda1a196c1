//! The virtual world: console, link and robot under one virtual clock.
//!
//! Knows: the shipped cores and how they hang together. Does not know: real time, sockets, threads.
//! It runs the leader, both sessions, the link emulator, the follower and the arm plant exactly as
//! they ship; bytes cross the link. Same seed, same bytes.
//!
//! Order within a millisecond: packets that are due, robot tick, packets that are due, console tick
//! half a millisecond later. Every packet keeps its exact due time as its receive time.

use longhand_console::input::{Hand, Seen};
use longhand_follower::playout::Inbound;
use longhand_follower::profile::Profile;
use longhand_follower::supervisor::Request;
use longhand_follower::{Follower, PeerFaults};
use longhand_leader::hand::HandSample;
use longhand_leader::{Leader, LeaderOutput};
use longhand_link::{Direction, Disturb, Emulator, LinkModel, Pipe};
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{
    FollowerState, ProfileHash, RobotId, SessionId, SessionKey, StateReport, Terms,
};
use longhand_protocol::session::{ConsoleSession, RobotSession};
use longhand_protocol::units::{Console, Epoch, Instant, Link, Micros, Robot, TICK};
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::servo::{HOME, Servo, Turn, peer_faults};

/// Bytes that QUIC, UDP and IP put around a datagram; measured on the wire, IPv4. Source:
/// performance.md section 1 (128 bytes of payload) and RFC 9000: 20 + 8 + 1 + 8 + 4 + 2 + 16.
pub const CARRIER_BYTES: usize = 59;

/// What a world is made of.
pub struct WorldConfig {
    /// The link between.
    pub link: LinkModel,
    /// What is laid over the link.
    pub disturb: Disturb,
    /// The seed of everything random.
    pub seed: u64,
    /// The robot's profile.
    pub profile: Profile,
    /// Hand metres to tip metres.
    pub scale: f64,
    /// Whose hand moves.
    pub hand: Box<dyn Hand>,
}

/// What one millisecond of the world brought.
#[derive(Clone, Copy, Debug)]
pub struct WorldTick {
    /// World time.
    pub at: Micros,
    /// What the robot says of itself.
    pub state: FollowerState,
    /// What the hand did.
    pub hand: HandSample,
    /// What the leader sent.
    pub leader: LeaderOutput,
}

impl WorldTick {
    /// The delay of the command in use from hand sample to first use: in the world, both clocks are
    /// known. `None` while no command is in use.
    pub fn hand_to_joint(&self) -> Option<Micros> {
        let echo = &self.state.echo;
        let applied = echo.applied_at.checked_since(robot_clock(Micros::ZERO))?;
        let sampled = echo.hand_time.checked_since(console_clock(Micros::ZERO))?;
        Some(applied.saturating_sub(sampled))
    }
}

/// The world.
pub struct World {
    at: Micros,
    pipe: Pipe<Vec<u8>>,
    hand: Box<dyn Hand>,
    leader: Leader,
    console: ConsoleSession,
    robot: RobotSession,
    servo: Servo<SimulatedPsm>,
    inbox: Vec<Inbound>,
    report: Option<StateReport>,
    seen: Seen,
    key: SessionKey,
    terms: Terms,
    /// What the sessions before this one found wrong with their peer.
    peer_faults: PeerFaults,
}

/// The two clocks have nothing to do with each other. Chosen: 7 s and 1000 s after world time.
const ROBOT_ZERO: Micros = Micros::from_secs(7);
const CONSOLE_ZERO: Micros = Micros::from_secs(1_000);
/// The console ticks half a tick after the robot. Chosen: the mean of all phases.
const CONSOLE_PHASE: Micros = Micros::from_micros(500);

fn robot_clock(at: Micros) -> Instant<Robot> {
    Instant::ORIGIN.after(ROBOT_ZERO).after(at)
}

fn console_clock(at: Micros) -> Instant<Console> {
    Instant::ORIGIN.after(CONSOLE_ZERO).after(at)
}

fn link_clock(at: Micros) -> Instant<Link> {
    Instant::ORIGIN.after(at)
}

impl World {
    /// A world in which the bedside has already enabled the robot and handed it over, and a session
    /// has begun. The surgeon still has to engage.
    pub fn new(config: WorldConfig) -> Self {
        let key = session_key(config.seed, 1);
        let link = Emulator::new(config.link, config.seed).with_disturb(config.disturb);
        let (joints, jaw) = HOME;
        let arm = SimulatedPsm::new(&PSM_CLASSIC, &joints, jaw, robot_clock(Micros::ZERO));
        let arms = PerArm { psm1: arm.clone(), psm2: arm };
        let mut world = Self {
            at: Micros::ZERO,
            pipe: Pipe::new(link),
            hand: config.hand,
            leader: Leader::new(config.profile.terms(), config.scale),
            console: ConsoleSession::new(key),
            robot: RobotSession::new(key),
            servo: Servo::new(Follower::new(config.profile), arms),
            inbox: Vec::with_capacity(4_096),
            report: None,
            seen: Seen::default(),
            key,
            terms: config.profile.terms(),
            peer_faults: PeerFaults::default(),
        };
        for request in [Request::Enable, Request::HandOver] {
            world.bedside(request);
        }
        world
    }

    /// World time.
    pub const fn now(&self) -> Micros {
        self.at
    }

    /// The link, to cut it or to ask what it did.
    pub const fn link(&mut self) -> &mut Pipe<Vec<u8>> {
        &mut self.pipe
    }

    /// The hand.
    pub fn hand(&mut self) -> &mut dyn Hand {
        self.hand.as_mut()
    }

    /// The robot's session: what was accepted, lost and rejected.
    pub const fn robot_session(&self) -> &RobotSession {
        &self.robot
    }

    /// The servo, to make an arm fail.
    pub const fn servo(&mut self) -> &mut Servo<SimulatedPsm> {
        &mut self.servo
    }

    /// What every message of the session carries.
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// One millisecond in which the bedside asks for something.
    pub fn bedside(&mut self, request: Request) -> WorldTick {
        self.step(Some(request), false)
    }

    /// One millisecond with the emergency stop pressed.
    pub fn emergency_stop(&mut self) -> WorldTick {
        self.step(None, true)
    }

    /// One millisecond.
    pub fn tick(&mut self) -> WorldTick {
        self.step(None, false)
    }

    fn step(&mut self, request: Option<Request>, emergency_stop: bool) -> WorldTick {
        self.at = self.at.saturating_add(TICK);
        self.deliver(self.at);
        let now = robot_clock(self.at);
        let peer_faults = self.peer_faults();
        let output = self.servo.turn(&Turn {
            now,
            scheduled_at: now,
            inbox: &self.inbox,
            emergency_stop,
            peer_faults,
            request,
        });
        self.inbox.clear();
        self.note_lease(output.fence);
        let report = self.robot.report(output.state);
        self.send(self.at, Direction::Down, &report);
        let phase = self.at.saturating_add(CONSOLE_PHASE);
        self.deliver(phase);
        let (hand, leader) = self.console_tick(phase);
        WorldTick { at: self.at, state: output.state, hand, leader }
    }

    /// When the lease ends the agent grants a new session on the same connection, by another
    /// welcome on the reliable stream; here that word arrives at once.
    fn note_lease(&mut self, fence: Epoch) {
        if self.key.epoch <= fence {
            self.peer_faults = self.peer_faults();
            self.key.epoch = self.key.epoch.next();
            self.key.session = SessionId::from_halves(self.key.epoch.get(), self.at.as_micros());
            self.robot = RobotSession::new(self.key);
            self.console = ConsoleSession::new(self.key);
            self.leader.begin_session(self.terms);
            self.report = None;
        }
    }

    /// What all sessions together found wrong with their peer.
    fn peer_faults(&self) -> PeerFaults {
        let now = peer_faults(self.robot.rejects());
        PeerFaults {
            corrupted: self.peer_faults.corrupted.saturating_add(now.corrupted),
            protocol: self.peer_faults.protocol.saturating_add(now.protocol),
        }
    }

    fn console_tick(&mut self, at: Micros) -> (HandSample, LeaderOutput) {
        let now = console_clock(at);
        let sample = self.hand.read(now, &self.seen);
        let report = self.report.take();
        let output = self.leader.step(now, &sample, report.as_ref());
        self.seen = Seen {
            engagement: output.engagement,
            stage: self.leader.state().map(|state| state.stage),
        };
        let bytes = self.console.send(&output.intent);
        self.send(at, Direction::Up, &bytes);
        (sample, output)
    }

    fn send(&mut self, at: Micros, direction: Direction, bytes: &[u8]) {
        let len = bytes.len().saturating_add(CARRIER_BYTES);
        // What the link does to it is the link's to count.
        let _fate = self.pipe.offer(link_clock(at), direction, len, bytes.to_vec());
    }

    fn deliver(&mut self, at: Micros) {
        while let Some(mut packet) = self.pipe.poll(link_clock(at)) {
            if let Some(bit) = packet.wrong_bit {
                flip(&mut packet.payload, bit);
            }
            let due = Micros::from_micros(packet.due.as_micros());
            match packet.direction {
                Direction::Up => {
                    let judged = self.robot.handle_datagram(robot_clock(due), &packet.payload);
                    if let Ok(accepted) = judged {
                        self.inbox.push(Inbound {
                            command: accepted.command,
                            received_at: accepted.received_at,
                        });
                    }
                }
                Direction::Down => {
                    let judged = self.console.handle_datagram(console_clock(due), &packet.payload);
                    if let Ok(Some(report)) = judged {
                        self.report = Some(report);
                    }
                }
            }
        }
    }
}

/// The key of the world's `n`th session.
fn session_key(seed: u64, n: u64) -> SessionKey {
    SessionKey {
        robot: RobotId::new(1),
        session: SessionId::from_halves(seed, n),
        epoch: Epoch::new(n),
        profile: ProfileHash::new(0),
    }
}

fn flip(bytes: &mut [u8], bit: u64) {
    let byte = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index));
    if let Some(byte) = byte {
        *byte ^= 1 << (bit % 8);
    }
}

/// The robot profile that suits a shipped link, and its name: what the demo starts the agent with.
pub fn profile_for(link: &str) -> (&'static str, Profile) {
    match link {
        "ideal" | "metro-fibre" | "campus-5g-urllc" | "city-5g-sa" | "national-dedicated" => {
            ("default", Profile::DEFAULT)
        }
        "geo" => ("satellite", Profile::SATELLITE),
        _ => ("public-5g", Profile::PUBLIC_5G),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_console::input::script::{Script, ScriptedHand};
    use longhand_protocol::message::{Intent, Reason};
    use longhand_protocol::session::Accepted;

    fn world() -> World {
        let script = Script::load("peg-transfer").unwrap();
        World::new(WorldConfig {
            link: LinkModel::from(longhand_link::Profile::by_name("ideal").unwrap()),
            disturb: Disturb::default(),
            seed: 1,
            profile: Profile::DEFAULT,
            scale: 0.2,
            hand: Box::new(ScriptedHand::new(script)),
        })
    }

    /// One damaged command of the session in force.
    fn damage(world: &mut World) {
        let mut bytes = ConsoleSession::new(world.key).send(&Intent::default()).to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let judged = world.robot.handle_datagram(robot_clock(world.at), &bytes);
        assert!(judged.map(|_: Accepted| ()).is_err());
    }

    /// The lease ends between the first damaged command and the second: two within ten hours latch
    /// all the same (I23).
    #[test]
    fn a_new_session_does_not_forgive_the_last_ones_faults() {
        let mut world = world();
        damage(&mut world);
        assert_eq!(world.tick().state.reason, Reason::NewSession);
        let old = world.key.epoch;
        world.bedside(Request::Release);
        assert!(world.key.epoch > old, "a new session began");
        assert_eq!(world.peer_faults().corrupted, 1);
        for _ in 0..5 {
            world.tick();
        }
        world.bedside(Request::HandOver);
        damage(&mut world);
        assert_eq!(world.tick().state.reason, Reason::Integrity);
    }
}
