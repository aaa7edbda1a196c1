//! One turn of the servo loop: read the arms, step the follower, write the arms.
//!
//! Knows: both arms and the follower. Does not know: when a turn is due or what thread it runs on,
//! so the simulator turns the same loop under virtual time.

use crate::arm::{Arm, ArmDrive};
use longhand_follower::playout::Inbound;
use longhand_follower::supervisor::Request;
use longhand_follower::{ArmReading, Drive, Follower, PeerFaults, TickInput, TickOutput};
use longhand_protocol::geometry::{ArmId, JointPositions, PerArm};
use longhand_protocol::message::Stage;
use longhand_protocol::session::{Reject, Rejects};
use longhand_protocol::units::{Instant, Robot};
use longhand_protocol::wire::WireError;

/// Where the simulated arms stand at the start: straight down, 11 cm deep, jaws a little open.
/// Nothing homes an arm: it is enabled where it stands.
///
/// Chosen: in the middle of the work volume, far from every limit.
pub const HOME: (JointPositions, f64) =
    (JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]), 30.0 * core::f64::consts::PI / 180.0);

/// What the bedside and the network bring to one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn<'a> {
    /// Robot time at which the turn runs.
    pub now: Instant<Robot>,
    /// Robot time at which it should have run.
    pub scheduled_at: Instant<Robot>,
    /// Commands since the last turn.
    pub inbox: &'a [Inbound],
    /// The emergency stop is pressed.
    pub emergency_stop: bool,
    /// What the sessions have found wrong with their peer since the agent started.
    pub peer_faults: PeerFaults,
    /// What somebody asks.
    pub request: Option<Request>,
}

/// The follower and its two arms.
#[derive(Clone)]
pub struct Servo<A> {
    follower: Box<Follower>,
    arms: PerArm<A>,
}

impl<A: Arm> Servo<A> {
    /// A servo over these arms. The follower lives on the heap because its playout ring is large;
    /// nothing is allocated after this.
    pub fn new(follower: Follower, arms: PerArm<A>) -> Self {
        Self { follower: Box::new(follower), arms }
    }

    /// One turn. Does not block, allocate, lock or log.
    pub fn turn(&mut self, turn: &Turn<'_>) -> TickOutput {
        self.turn_seen(turn, |_input, _output| {})
    }

    /// As [`Servo::turn`]; `see` is shown what was decided before any arm is told (I22).
    pub fn turn_seen(
        &mut self,
        turn: &Turn<'_>,
        see: impl FnOnce(&TickInput<'_>, &TickOutput),
    ) -> TickOutput {
        let measured = PerArm::from_fn(|arm| {
            let reading = self.arms.get_mut(arm).read(turn.now);
            ArmReading {
                measured_js: reading.measured_js,
                measured_jaw: reading.measured_jaw,
                drive_fault: reading.fault.is_some(),
                told_js: reading.told_js,
            }
        });
        let input = TickInput {
            now: turn.now,
            scheduled_at: turn.scheduled_at,
            inbox: turn.inbox,
            measured,
            emergency_stop: turn.emergency_stop,
            peer_faults: turn.peer_faults,
            request: turn.request,
        };
        let output = self.follower.step(&input);
        see(&input, &output);
        for arm in ArmId::ALL {
            let drive = arm_drive(&output.drive, arm, output.state.stage);
            self.arms.get_mut(arm).write(turn.now, &drive);
        }
        output
    }

    /// Brakes both arms, energy off: the loop ends.
    pub fn brake(&mut self, now: Instant<Robot>) {
        for arm in ArmId::ALL {
            self.arms.get_mut(arm).write(now, &ArmDrive::Brake);
        }
    }

    /// The arms, to make one fail in a test.
    pub const fn arms_mut(&mut self) -> &mut PerArm<A> {
        &mut self.arms
    }
}

/// The arm's share of a drive word. Off, which clears a drive's latched fault, is written only
/// while Disabled: a fault keeps the brakes until the bedside restarts.
fn arm_drive(drive: &Drive, arm: ArmId, stage: Stage) -> ArmDrive {
    match drive {
        Drive::Servo(servo) => ArmDrive::Servo {
            joints: servo.joints.get(arm).get(),
            jaw: servo.jaw.get(arm).get(),
            energy: *servo.energy.get(arm),
        },
        Drive::Brake if stage == Stage::Disabled => ArmDrive::Off,
        Drive::Brake => ArmDrive::Brake,
    }
}

/// What a session's rejects say of the peer, as the follower counts it.
pub fn peer_faults(rejects: &Rejects) -> PeerFaults {
    rejects.iter_reasons().fold(PeerFaults::default(), |sum, (reject, count)| {
        let one = peer_fault(reject);
        PeerFaults {
            corrupted: sum.corrupted.saturating_add(one.corrupted.saturating_mul(count)),
            protocol: sum.protocol.saturating_add(one.protocol.saturating_mul(count)),
        }
    })
}

/// What one reject says of the peer.
pub fn peer_fault(reject: Reject) -> PeerFaults {
    let corrupted = reject == Reject::Wire(WireError::Corrupt);
    let protocol = reject.is_integrity_fault() && !corrupted;
    PeerFaults { corrupted: u64::from(corrupted), protocol: u64::from(protocol) }
}
