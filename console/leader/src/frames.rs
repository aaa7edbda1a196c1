//! Which way is which: how the surgeon's hand device lies against an arm's base.
//!
//! Knows: the one place where a hand in [`HandBase`] becomes a hand in [`RobotBase`]. Does not
//! know: how a device's own axes come to `HandBase` (its reader does that: a page's hand space is
//! turned by `input::page_hand`), or what the hand asks for.
//!
//! The convention. Both frames are right-handed, metres. `RobotBase` is each arm's remote centre of
//! motion: x to the surgeon's right, y away, z up, so that the instrument hangs along -z. A device
//! brings its readings to `HandBase` with the same three directions as the surgeon sees them on the
//! screen: what the hand does to the right, the tool does to the right in the picture. A camera
//! that looks another way, or an arm mounted turned, is a rotation here and nowhere else. Only the
//! rotation matters: positions are used as differences since an anchor.

use crate::hand::HandReading;
use longhand_protocol::geometry::{Hand, HandBase, Pose, RobotBase};

/// The hand device's base seen from either arm's base: their axes are parallel. Chosen: the arms of
/// the simulated robot are mounted alike and the page draws their bases so.
pub const HAND_BASE: Pose<RobotBase, HandBase> = Pose::IDENTITY;

/// One hand as the arm's base sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SeenHand {
    /// Where the hand is, in the arm's base; metres.
    pub pose: Pose<RobotBase, Hand>,
    /// How far the finger grip is open, radians of the tool's jaw.
    pub jaw: f64,
}

/// The reading of a device whose base lies at `base` in the arm's base.
pub fn seen_from_arm(base: Pose<RobotBase, HandBase>, reading: &HandReading) -> SeenHand {
    SeenHand { pose: base.then(reading.pose), jaw: reading.jaw }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleop::Anchor;
    use core::f64::consts::FRAC_PI_2;
    use nalgebra::{UnitQuaternion, Vector3};

    fn reading(position: Vector3<f64>, turn: Vector3<f64>) -> HandReading {
        let pose = Pose::new(position, UnitQuaternion::from_scaled_axis(turn));
        HandReading { pose, jaw: 0.0 }
    }

    #[test]
    fn a_device_mounted_turned_moves_and_turns_the_tool_in_the_arms_own_axes() {
        // The device's base lies a quarter turn about z, and somewhere else: its x is the arm's y.
        let turned = UnitQuaternion::from_scaled_axis(Vector3::z() * FRAC_PI_2);
        let base = Pose::new(Vector3::new(3.0, -2.0, 1.0), turned);
        let began = seen_from_arm(base, &reading(Vector3::new(0.1, 0.2, 0.3), Vector3::zeros()));
        let tip = Pose::new(Vector3::new(0.0, 0.0, -0.1), UnitQuaternion::identity());
        let anchor = Anchor { hand: began.pose, tip };
        let moved = Vector3::new(0.11, 0.2, 0.3);
        let hand = seen_from_arm(base, &reading(moved, Vector3::x() * 0.1));
        let goal = anchor.goal(&hand.pose, 0.2);
        let step = goal.position() - tip.position();
        assert!((step - Vector3::y() * 0.002).norm() < 1e-12, "{step}");
        let spin = goal.rotation().scaled_axis();
        assert!((spin - Vector3::y() * 0.1).norm() < 1e-12, "{spin}");
    }

    #[test]
    fn the_default_leaves_every_direction_as_the_surgeon_sees_it() {
        let hand = seen_from_arm(HAND_BASE, &reading(Vector3::new(0.1, 0.2, 0.3), Vector3::x()));
        assert!((hand.pose.position() - Vector3::new(0.1, 0.2, 0.3)).norm() < 1e-15);
        assert!((hand.pose.rotation().scaled_axis() - Vector3::x()).norm() < 1e-12);
    }
}
