//! A steady hand for benches and tests: commands that move both tips on a circle.
//!
//! Knows: how to engage a robot (pedal released, then pressed), where the tools are, and how to go
//! round from there. Does not know: the leader's law (`longhand-leader`), links, or any clock.
//!
//! Every time the robot holds, the circle begins anew at the held tool, as a leader's anchor would,
//! and drifts back to where it was first drawn, so that a long run stays inside the work volume.

use longhand_follower::supervisor::Request;
use longhand_protocol::geometry::{ArmId, PerArm, Pose, RobotBase, Tip, Twist};
use longhand_protocol::message::{
    ArmCommand, FollowerState, Intent, Levels, ProfileHash, RobotId, SessionId, SessionKey, Stage,
};
use longhand_protocol::units::{Console, Epoch, Instant, Micros, Robot, Seq, TICK};
use nalgebra::Vector3;

/// Radius of the circle, metres. Chosen: inside the work volume round the home pose.
const RADIUS_M: f64 = 0.005;
/// How fast it is gone round, radians per second. Chosen: 20 mm/s at the tip, a brisk hand.
const OMEGA: f64 = 4.0;
/// An anchor has drifted back home after this long, seconds. Chosen: slow beside the circle.
const HOMEWARD_S: f64 = 5.0;
/// The pedal stays released this long once the robot is Latched. Chosen: past the 500 ms of good
/// link that the rule asks for, playout included.
const RELEASED_TICKS: u32 = 700;

/// The two clocks have nothing to do with each other. Chosen: far apart.
const ROBOT_ZERO: Micros = Micros::from_secs(7);
const CONSOLE_ZERO: Micros = Micros::from_secs(1_000);

/// A robot engages within this many ticks, or never.
pub const ENGAGE_MAX: u64 = 5_000;

/// What the bedside says to bring the robot to work.
pub const fn bedside(stage: Stage) -> Option<Request> {
    match stage {
        Stage::Disabled => Some(Request::Enable),
        Stage::Bedside => Some(Request::HandOver),
        Stage::Follow
        | Stage::Coast
        | Stage::Brake
        | Stage::Hold
        | Stage::Latched
        | Stage::SafeOff => None,
    }
}

/// Robot time at this tick.
pub fn robot_time(tick: u64) -> Instant<Robot> {
    Instant::ORIGIN.after(ROBOT_ZERO).after(TICK.saturating_mul(tick))
}

/// Console time at this tick.
pub fn console_time(tick: u64) -> Instant<Console> {
    Instant::ORIGIN.after(CONSOLE_ZERO).after(TICK.saturating_mul(tick))
}

/// The key of the `n`th session.
pub fn session_key(n: u64) -> SessionKey {
    SessionKey {
        robot: RobotId::new(1),
        session: SessionId::from_halves(n, n),
        epoch: Epoch::new(n),
        profile: ProfileHash::new(0),
    }
}

/// The hand. No heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyHand {
    /// Where the circle was first drawn.
    homes: Option<PerArm<Pose<RobotBase, Tip>>>,
    anchors: PerArm<Pose<RobotBase, Tip>>,
    jaws: PerArm<f64>,
    /// Seconds since the circle began.
    going_s: f64,
    latched_ticks: u32,
    number_seen: Seq,
}

impl SteadyHand {
    /// What the hand wants at `tick`, having seen `seen`.
    pub fn intent(&mut self, tick: u64, seen: &FollowerState) -> Intent {
        let following = matches!(seen.stage, Stage::Follow | Stage::Coast | Stage::Brake);
        if following {
            self.going_s += TICK.as_secs_f64();
        } else {
            self.going_s = 0.0;
            self.anchors = PerArm::from_fn(|arm| seen.arms.get(arm).setpoint_cp);
            self.jaws = PerArm::from_fn(|arm| seen.arms.get(arm).setpoint_jaw);
            if self.homes.is_none() && seen.robot_time > Instant::ORIGIN {
                self.homes = Some(self.anchors);
            }
        }
        let latched = matches!(seen.stage, Stage::Latched | Stage::Bedside);
        self.latched_ticks = if latched { self.latched_ticks.saturating_add(1) } else { 0 };
        let pressed = self.latched_ticks == 0 || self.latched_ticks > RELEASED_TICKS;
        if self.latched_ticks > 2 * RELEASED_TICKS {
            // It did not come to that in one go: the link was bad. Once more.
            self.latched_ticks = 0;
        }
        self.number_seen = self.number_seen.next();
        Intent {
            hand_time: console_time(tick),
            echo_robot_time: seen.robot_time,
            echo_state: self.number_seen,
            valid_for: Micros::from_millis(50),
            levels: Levels {
                operator_present: pressed,
                clutch: false,
                engaged: following,
                energy: PerArm { psm1: false, psm2: following },
            },
            arms: PerArm::from_fn(|arm| self.goal(arm)),
        }
    }

    /// The place on the circle, and the velocity there. The circle is entered at rest: its speed
    /// rises over the first second.
    fn goal(&self, arm: ArmId) -> ArmCommand {
        let anchor = self.anchors.get(arm);
        let t = self.going_s;
        let (angle, rate) =
            if t < 1.0 { (OMEGA * t * t / 2.0, OMEGA * t) } else { (OMEGA * (t - 0.5), OMEGA) };
        let (sin, cos) = angle.sin_cos();
        let home = self.homes.map_or(*anchor, |homes| *homes.get(arm));
        let homeward = home.position() - anchor.position();
        let drift = if t < HOMEWARD_S { homeward / HOMEWARD_S } else { Vector3::zeros() };
        let place =
            Vector3::new(cos - 1.0, sin, 0.0) * RADIUS_M + homeward * (t / HOMEWARD_S).min(1.0);
        let linear = Vector3::new(-sin, cos, 0.0) * (RADIUS_M * rate) + drift;
        ArmCommand {
            servo_cp: Pose::new(anchor.position() + place, anchor.rotation()),
            servo_cv: Twist { linear, ..Twist::ZERO },
            jaw: *self.jaws.get(arm),
        }
    }
}
