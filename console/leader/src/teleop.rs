//! From hand to goal: one anchor rule for clutch, hold and hand-over.
//!
//! Knows: the anchor, the motion scale, how fast a goal may move. Does not know: when to anchor
//! (`engagement`), or what the robot does with the goal.
//!
//! The rule: `goal = anchored tip + scale * (hand - anchored hand)` for position, and the hand's
//! turn since the anchor applied to the anchored tip's orientation. To engage, in whatever way, is
//! to anchor the hand where it is to the goal where it is; so no engagement can make a step.

use crate::frames::SeenHand;
use crate::leash::{Answer, Leash, Slip, in_tip, unit};
use longhand_protocol::geometry::{ArmId, Hand, Pose, RobotBase, Tip, Twist, clamp_norm};
use longhand_protocol::message::{ArmCommand, ArmState, FollowerState, Terms};
use longhand_protocol::units::{Console, Instant, TICK};
use nalgebra::{UnitQuaternion, Vector3};

/// Hand and tip at the moment of engagement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Anchor {
    /// Where the hand was, as the arm's base sees it.
    pub hand: Pose<RobotBase, Hand>,
    /// Where the goal was.
    pub tip: Pose<RobotBase, Tip>,
}

impl Anchor {
    /// Where the goal belongs when the hand is at `hand`.
    pub fn goal(&self, hand: &Pose<RobotBase, Hand>, scale: f64) -> Pose<RobotBase, Tip> {
        let moved = hand.position() - self.hand.position();
        let turned = hand.rotation() * self.hand.rotation().inverse();
        Pose::new(self.tip.position() + moved * scale, turned * self.tip.rotation())
    }
}

/// The goal may move at this share of the robot's speed limit, so the tool is never left behind.
/// Chosen: below the shaper's 0.95.
const GOAL_SPEED_SHARE: f64 = 0.9;
/// A hand faster than the goal may be drags the goal at most this far behind; then the anchor
/// slips, as if clutched, and the tool does not chase the hand. Chosen: half of the robot's anchor
/// bound.
const SLIP_AFTER_M: f64 = 10e-3;
/// The same for rotation, chosen.
const SLIP_AFTER_RAD: f64 = 0.35;
/// The grip takes the jaw over once it is this close to it. Source: dVRK asks for a jaw match
/// before engagement; 3 deg chosen.
const JAW_CAUGHT_RAD: f64 = 0.052;

/// One arm's way from hand to goal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Teleop {
    anchor: Anchor,
    goal: Pose<RobotBase, Tip>,
    twist: Twist,
    jaw: f64,
    jaw_caught: bool,
    /// Grip minus jaw in the last tick, while the jaw is not caught.
    jaw_gap: Option<f64>,
    slipped: bool,
    leash: Leash,
}

impl Teleop {
    /// The goal as it goes out.
    pub const fn command(&self) -> ArmCommand {
        ArmCommand { servo_cp: self.goal, servo_cv: self.twist, jaw: self.jaw }
    }

    /// The anchor in force: with the hand's pose it says where the goal belongs.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The hand was too fast and the anchor slipped in this tick.
    pub const fn slipped(&self) -> bool {
        self.slipped
    }

    /// The robot holds: the goal lies on the held tool.
    pub fn pin(&mut self, held: &ArmState) {
        self.goal = held.setpoint_cp;
        self.jaw = held.setpoint_jaw;
        self.leash.slacken();
        self.stand();
    }

    /// A new state: a goal behind a wall comes back to the leash's length, and the anchor with it.
    pub fn hear(&mut self, state: &FollowerState, arm: ArmId) {
        let said = state.arms.get(arm);
        let slip = self.leash.hear(
            &self.goal,
            &Answer {
                robot_time: state.robot_time,
                hand_time: state.echo.hand_time,
                setpoint: said.setpoint_cp,
                limited: said.limited,
            },
        );
        self.give_up(&slip);
        let goal = &mut self.goal;
        let turned = unit(goal.rotation() * slip.goal_turn);
        *goal = Pose::new(goal.position() - slip.goal, turned);
    }

    /// The goal of this tick is what the robot will answer to.
    pub fn remember(&mut self, now: Instant<Console>) {
        self.leash.remember(now, &self.goal);
    }

    /// The goal stands where it is. The grip has to come to the jaw again: it may move meanwhile.
    pub const fn stand(&mut self) {
        self.twist = Twist::ZERO;
        self.slipped = false;
        self.jaw_caught = false;
        self.jaw_gap = None;
    }

    /// Ties the hand, where it is, to the goal, where it is.
    pub const fn anchor_here(&mut self, hand: &SeenHand) {
        self.anchor = Anchor { hand: hand.pose, tip: self.goal };
    }

    /// One tick of following: the goal moves to where the anchor says, as fast as the robot may go.
    ///
    /// Shape: one tick, one goal. Units: metres, radians. Frame: tip in the arm's base. No step is
    /// larger than the robot's speed limit allows. Source: CRTK `servo_cp`.
    pub fn servo_cp(&mut self, hand: &SeenHand, scale: f64, speed: f64, terms: &Terms) {
        let dt = TICK.as_secs_f64();
        let slip = self.leash.hold(&self.anchor.goal(&hand.pose, scale), &self.goal);
        self.give_up(&slip);
        let wanted = self.anchor.goal(&hand.pose, scale);
        let gap = wanted.position() - self.goal.position();
        let turn = (wanted.rotation() * self.goal.rotation().inverse()).scaled_axis();
        let step = clamp_norm(gap, terms.tip_speed_max * GOAL_SPEED_SHARE * speed * dt);
        let spin = clamp_norm(turn, terms.tip_rate_max * GOAL_SPEED_SHARE * speed * dt);
        self.goal = Pose::new(
            self.goal.position() + step,
            unit(UnitQuaternion::from_scaled_axis(spin) * self.goal.rotation()),
        );
        self.twist = Twist { linear: step / dt, angular: spin / dt };
        self.slip(&wanted, gap - step, turn - spin);
        self.grip(hand.jaw);
    }

    /// Lets the anchor slip where the goal has fallen too far behind the hand.
    fn slip(&mut self, wanted: &Pose<RobotBase, Tip>, behind: Vector3<f64>, twisted: Vector3<f64>) {
        let excess = behind - clamp_norm(behind, SLIP_AFTER_M);
        let spin = twisted - clamp_norm(twisted, SLIP_AFTER_RAD);
        self.slipped = excess.norm() > 0.0 || spin.norm() > 0.0;
        if self.slipped {
            let anchor_turn = in_tip(wanted, -spin);
            self.give_up(&Slip { anchor: excess, anchor_turn, ..Slip::none() });
        }
    }

    /// The anchored tip takes off what slipped.
    fn give_up(&mut self, slip: &Slip) {
        let tip = &mut self.anchor.tip;
        let turned = unit(tip.rotation() * slip.anchor_turn);
        *tip = Pose::new(tip.position() - slip.anchor, turned);
    }

    /// The jaw stays as it is until the grip has come to it, or passed it: a tool that holds a
    /// needle does not drop it because the hand was open.
    fn grip(&mut self, grip: f64) {
        let gap = grip - self.jaw;
        let passed = self.jaw_gap.is_some_and(|before| before * gap <= 0.0);
        if self.jaw_caught || passed || gap.abs() <= JAW_CAUGHT_RAD {
            self.jaw_caught = true;
            self.jaw = grip;
        }
        self.jaw_gap = Some(gap);
    }
}
