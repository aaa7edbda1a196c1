//! The plant: an arm that can be made to fail, on world time.
//!
//! Knows: the simulated arm, and what stands between it and the servo loop when a sensor or an
//! actuator is broken. Does not know: what the follower makes of it.
//!
//! The arm lives in world time: a robot clock that stands or jumps does not stop its motors.

use longhand_protocol::geometry::JointPositions;
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_robot_agent::arm::simulated::{PSM_CLASSIC, SimulatedPsm};
use longhand_robot_agent::arm::{Arm, ArmDrive, ArmReading};

/// What is wrong with one arm. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Broken {
    /// What the sensors add to the truth: radians, metres. NaN is a sensor that says nonsense.
    pub offset: JointPositions,
    /// Joints whose sensors repeat what they said when this began.
    pub stuck: [bool; 6],
    /// Joints driven the wrong way round, about where they stood when this began.
    pub reversed: [bool; 6],
    /// Joints that do not move although they are told to.
    pub jammed: [bool; 6],
    /// What is added to every position written, behind the last check: malware, or a wrong wire.
    pub written_offset: JointPositions,
}

impl Broken {
    /// Whether nothing is wrong.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One arm of the world.
#[derive(Clone, Debug)]
pub struct WorldArm {
    plant: SimulatedPsm,
    /// World time, set before every turn.
    at: Micros,
    broken: Option<(Broken, JointPositions)>,
    truth: ArmReading,
    told: ArmDrive,
}

impl WorldArm {
    /// An arm at rest at `joints` (radians, metres) and `jaw` (radians), power off.
    pub fn new(joints: &JointPositions, jaw: f64) -> Self {
        let plant = SimulatedPsm::new(&PSM_CLASSIC, joints, jaw, plant_clock(Micros::ZERO));
        Self {
            plant,
            at: Micros::ZERO,
            broken: None,
            truth: ArmReading::default(),
            told: ArmDrive::Off,
        }
    }

    /// The arm beneath, to push it or to make its amplifier fail.
    pub const fn plant(&mut self) -> &mut SimulatedPsm {
        &mut self.plant
    }

    /// What the arm truly did when it was read last, whatever its sensors said.
    pub const fn truth(&self) -> &ArmReading {
        &self.truth
    }

    /// What the drive was told last, behind every fault.
    pub const fn told(&self) -> &ArmDrive {
        &self.told
    }

    /// Breaks the arm, or mends it. What sticks, sticks where it is now.
    pub fn set_broken(&mut self, broken: Broken) {
        self.broken = (!broken.is_nothing()).then_some((broken, self.truth.measured_js));
    }

    /// World time, before the servo loop turns.
    pub const fn set_time(&mut self, at: Micros) {
        self.at = at;
    }
}

/// World time as the plant's own clock reads it.
const fn plant_clock(at: Micros) -> Instant<Robot> {
    Instant::ORIGIN.after(at)
}

impl Arm for WorldArm {
    fn read(&mut self, _now: Instant<Robot>) -> ArmReading {
        self.truth = self.plant.read(plant_clock(self.at));
        let mut reading = self.truth;
        if let Some((broken, then)) = &self.broken {
            let joints = reading.measured_js.0.iter_mut();
            let rows = joints.zip(broken.offset.0).zip(broken.stuck).zip(then.0);
            for (((joint, offset), stuck), was) in rows {
                *joint = if stuck { was } else { *joint } + offset;
            }
        }
        reading
    }

    fn write(&mut self, _now: Instant<Robot>, drive: &ArmDrive) {
        let mut drive = *drive;
        if let (Some((broken, then)), ArmDrive::Servo { joints, .. }) = (&self.broken, &mut drive) {
            let rows = joints.0.iter_mut().zip(broken.written_offset.0);
            let rows = rows.zip(broken.reversed).zip(broken.jammed).zip(then.0);
            for ((((joint, offset), reversed), jammed), was) in rows {
                *joint = if reversed { was + (was - *joint) } else { *joint } + offset;
                *joint = if jammed { was } else { *joint };
            }
        }
        self.told = drive;
        self.plant.write(plant_clock(self.at), &drive);
    }
}
