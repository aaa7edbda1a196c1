//! Arms: what the servo thread reads from and writes to.
//!
//! Knows: the words between the loop and an arm's drive, in joints. Does not know: poses, links,
//! permission to move (`follower` gave it before a value comes here), or what kind of arm it is.
//!
//! Both calls run in the servo thread: an implementation does not block, allocate, lock or log.
//! Each arm has a dead-man of its own in its drive, so that the death of the servo thread stops it.

pub mod simulated;

use longhand_protocol::geometry::JointPositions;
use longhand_protocol::units::{Instant, Robot};

/// One arm, of whatever kind.
pub trait Arm {
    /// What the arm is doing, as of `now` or shortly before.
    fn read(&mut self, now: Instant<Robot>) -> ArmReading;

    /// Tells the drive what to do until the next call, which is due every tick: else the drive's
    /// dead-man stops the arm.
    fn write(&mut self, now: Instant<Robot>, drive: &ArmDrive);
}

/// What an arm's drive reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArmReading {
    /// Joint positions, radians and metres.
    pub measured_js: JointPositions,
    /// Jaw opening, radians.
    pub measured_jaw: f64,
    /// The instrument's energy is on.
    pub energy: bool,
    /// The drive stopped by itself, and why. Stays until [`ArmDrive::Off`] is written.
    pub fault: Option<DriveFault>,
    /// Where the drive was told to go last, as it says itself; `None` where it cannot say, or is
    /// not driven. Compared with what left the check, bit for bit.
    pub told_js: Option<JointPositions>,
}

/// What an arm's drive is told. The arm-side form of the follower's `Drive`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ArmDrive {
    /// Go to these positions within one tick, and stay there.
    Servo {
        /// Radians and metres.
        joints: JointPositions,
        /// Radians.
        jaw: f64,
        /// The instrument's energy is on.
        energy: bool,
    },
    /// Motors off and brakes on, ready to go on. Energy off.
    Brake,
    /// Power off, which puts the brakes on and clears a latched fault. Energy off.
    #[default]
    Off,
}

/// Why a drive stopped by itself. Each says what to do: all need [`ArmDrive::Off`], then a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriveFault {
    /// Nothing was written for longer than the drive's dead-man allows: find what stopped the loop.
    DeadMan,
    /// A target was not a finite number: a bug in the loop, since limits are checked before.
    BadTarget,
    /// The amplifier reported a fault of its own: have the arm seen to.
    Amplifier,
}
