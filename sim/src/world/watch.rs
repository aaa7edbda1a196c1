//! Who looks at the world, and who interferes with it.
//!
//! Knows: what can be seen and where one can lay hands on it. Does not know: why anybody would.
//! A watcher is handed shared references: it cannot change what happens, which a test holds by
//! comparing runs with and without.

use crate::world::World;
use crate::world::carrier::Road;
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::Request;
use longhand_follower::{PeerFaults, TickOutput};
use longhand_leader::LeaderOutput;
use longhand_leader::hand::HandSample;
use longhand_link::Direction;
use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::{SessionKey, StateReport};
use longhand_protocol::session::{Accepted, Reject};
use longhand_protocol::units::{Console, Instant, Micros, Robot};
use longhand_robot_agent::arm::{ArmDrive, ArmReading};

/// One turn of the servo loop, with what nobody in the world can know: world time and the truth.
#[derive(Clone, Copy, Debug)]
pub struct RobotTick<'a> {
    /// World time.
    pub at: Micros,
    /// The robot's clock.
    pub now: Instant<Robot>,
    /// When the turn was due, robot clock.
    pub scheduled_at: Instant<Robot>,
    /// Commands handed to this turn.
    pub inbox: &'a [Inbound],
    /// What the bedside asked.
    pub request: Option<Request>,
    /// The emergency stop is pressed.
    pub emergency_stop: bool,
    /// What the sessions have counted.
    pub peer_faults: PeerFaults,
    /// What the follower decided.
    pub output: &'a TickOutput,
    /// What the arms truly did until now, whatever their sensors say; radians, metres.
    pub truth: PerArm<ArmReading>,
    /// What the drives were told, behind everything that could have changed it.
    pub told: PerArm<ArmDrive>,
    /// The session that the robot granted last.
    pub key: SessionKey,
}

/// One turn of the leader thread.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleTick<'a> {
    /// World time.
    pub at: Micros,
    /// The console's clock.
    pub now: Instant<Console>,
    /// What the hand did.
    pub sample: &'a HandSample,
    /// What the leader made of it.
    pub output: &'a LeaderOutput,
    /// The command datagram that set out; `None` without a session.
    pub command: Option<&'a [u8]>,
}

/// What a session made of a datagram.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The robot's session.
    Command(&'a Result<Accepted, Reject>),
    /// The console's session.
    State(&'a Result<Option<StateReport>, Reject>),
}

/// One datagram that came out of the link, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// World time.
    pub at: Micros,
    /// Up: at the robot.
    pub direction: Direction,
    /// The datagram.
    pub bytes: &'a [u8],
    /// What became of it.
    pub verdict: Verdict<'a>,
}

/// Looks.
pub trait Watcher {
    /// The servo loop has turned.
    fn robot_tick(&mut self, tick: &RobotTick<'_>) {
        let _seen = tick;
    }

    /// The leader thread has turned.
    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        let _seen = tick;
    }

    /// A session has judged a datagram.
    fn judged(&mut self, judged: &Judged<'_>) {
        let _seen = judged;
    }
}

/// A watcher that its owner goes on reading.
impl<W: Watcher> Watcher for std::rc::Rc<std::cell::RefCell<W>> {
    fn robot_tick(&mut self, tick: &RobotTick<'_>) {
        self.borrow_mut().robot_tick(tick);
    }

    fn console_tick(&mut self, tick: &ConsoleTick<'_>) {
        self.borrow_mut().console_tick(tick);
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        self.borrow_mut().judged(judged);
    }
}

/// Interferes: a fault, an attack.
pub trait Meddler {
    /// Before every millisecond: whatever the world lets one do to it.
    fn tick(&mut self, at: Micros, world: &mut World) {
        let _left_alone = (at, world);
    }

    /// Bytes are about to enter the link; `false` stops them. To send more, keep them and use
    /// [`World::inject`] or the carrier from [`Meddler::tick`].
    fn sent(&mut self, at: Micros, direction: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        let _left_alone = (at, direction, road, bytes);
        true
    }

    /// Bytes have come out of the link, deciphered, before any session saw them; `false` stops
    /// them.
    fn received(
        &mut self,
        at: Micros,
        direction: Direction,
        road: Road,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let _left_alone = (at, direction, road, bytes);
        true
    }

    /// The hand device was read.
    fn hand(&mut self, at: Micros, sample: &mut HandSample) {
        let _left_alone = (at, sample);
    }
}

/// A meddler that its owner goes on steering.
impl<M: Meddler> Meddler for std::rc::Rc<std::cell::RefCell<M>> {
    fn tick(&mut self, at: Micros, world: &mut World) {
        self.borrow_mut().tick(at, world);
    }

    fn sent(&mut self, at: Micros, direction: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        self.borrow_mut().sent(at, direction, road, bytes)
    }

    fn received(
        &mut self,
        at: Micros,
        direction: Direction,
        road: Road,
        bytes: &mut Vec<u8>,
    ) -> bool {
        self.borrow_mut().received(at, direction, road, bytes)
    }

    fn hand(&mut self, at: Micros, sample: &mut HandSample) {
        self.borrow_mut().hand(at, sample);
    }
}
