//! An arm on the bench: is each servo the one that the file says, well, and guarded; where does
//! each joint stand.
//!
//! Knows: an arm's file and its servos. Does not know: the command line, or motion: nothing here
//! switches a motor on.

use super::ArmError;
use crate::arm_file::{ArmFile, Joint, guards as guards_of};
use crate::serial::{Host, HostError, Line};
use longhand_bus::model::{Model, What};
use longhand_bus::{Id, Protocol};

/// A joint as its servo tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its name in the file.
    pub name: String,
    /// Its servo.
    pub id: u8,
    /// The servo's step.
    pub step: i64,
    /// The joint's angle, degrees.
    pub degrees: f64,
    /// Volts.
    pub volts: f64,
    /// Degrees Celsius.
    pub celsius: i64,
    /// What it watches by itself.
    pub guards: Vec<Guarded>,
    /// Whether it is where and how it should be, so that its guards may be written.
    pub fit: bool,
    /// What is wrong, in words; empty where all is well.
    pub wrong: Vec<String>,
}

/// A guard as the servo has it, and as the file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Which.
    pub what: What,
    /// What the servo has.
    pub is: i64,
    /// What the file says.
    pub wanted: i64,
}

impl Seen {
    /// The guards that are not as the file says.
    pub fn differing(&self) -> impl Iterator<Item = &Guarded> {
        self.guards.iter().filter(|guard| guard.is != guard.wanted)
    }
}

/// Every servo is there and of the model that the file says.
///
/// Errors: [`ArmError::Missing`] names all that are not, [`ArmError::Model`] the first that is
/// another.
pub fn all_there<L: Line>(host: &mut Host<L>, arm: &ArmFile) -> Result<&'static Model, ArmError> {
    let model = arm.servos().ok_or_else(|| ArmError::Unnamed(arm.model.clone()))?;
    let mut missing = Vec::new();
    for joint in arm.driven() {
        match host.find_expected(id_of(joint)?)?.somebody() {
            None => missing.push(format!("{} ({})", joint.id, joint.name)),
            Some(found) if found.number != model.number => {
                let is = found.model.map_or_else(
                    || format!("model {}", found.number),
                    |model| model.name.to_owned(),
                );
                return Err(ArmError::Model { id: joint.id, is, wanted: model.name });
            }
            Some(_) => (),
        }
    }
    if missing.is_empty() { Ok(model) } else { Err(ArmError::Missing(missing.join(", "))) }
}

/// Lets every joint go. Where one holds torque, only if that was asked for: an arm may fall.
///
/// Errors: [`ArmError::Holding`], or that a servo does not do it.
pub fn let_go<L: Line>(
    host: &mut Host<L>,
    arm: &ArmFile,
    model: &'static Model,
    asked_for: bool,
) -> Result<(), ArmError> {
    let servos: Result<Vec<_>, ArmError> =
        arm.driven().map(|joint| Ok((id_of(joint)?, joint.name.clone()))).collect();
    let_go_of(host, model, &servos?, asked_for)
}

/// The same of servos under whatever names.
///
/// Errors: as [`let_go`].
pub fn let_go_of<L: Line>(
    host: &mut Host<L>,
    model: &'static Model,
    servos: &[(Id, String)],
    asked_for: bool,
) -> Result<(), ArmError> {
    let mut holding = Vec::new();
    for (id, name) in servos {
        if host.get(*id, model, What::TorqueEnable)? != 0 {
            holding.push((*id, name.as_str()));
        }
    }
    if !holding.is_empty() && !asked_for {
        let names: Vec<&str> = holding.iter().map(|(_, name)| *name).collect();
        return Err(ArmError::Holding(names.join(", ")));
    }
    for (id, _) in holding {
        host.set(id, model, What::TorqueEnable, 0)?;
    }
    Ok(())
}

/// Sees to it that no joint holds torque, whatever happened before: every servo is asked, and
/// switched off where it is on, also behind one that does not answer.
///
/// Returns the joints that held torque. Errors: the first servo's that could not be asked or does
/// not let go.
pub fn at_rest<L: Line>(
    host: &mut Host<L>,
    arm: &ArmFile,
    model: &'static Model,
) -> Result<Vec<String>, ArmError> {
    let (mut held, mut first) = (Vec::new(), Ok(()));
    for joint in arm.driven() {
        let id = id_of(joint)?;
        let off = match host.get(id, model, What::TorqueEnable) {
            Ok(0) => Ok(()),
            Ok(_) => {
                held.push(joint.name.clone());
                host.set(id, model, What::TorqueEnable, 0)
            }
            // It may be on: it is told, even where it does not say so.
            Err(error) => host.set(id, model, What::TorqueEnable, 0).and(Err(error)),
        };
        first = first.and(off);
    }
    first.map_err(ArmError::Host).map(|()| held)
}

/// Reads how every servo is, and compares what it watches by itself with the file. Writes nothing.
///
/// Errors: [`ArmError`], where a servo does not answer.
pub fn examine<L: Line>(
    host: &mut Host<L>,
    arm: &ArmFile,
    model: &'static Model,
) -> Result<Vec<Seen>, ArmError> {
    arm.driven().map(|joint| one(host, arm, model, joint)).collect()
}

fn one<L: Line>(
    host: &mut Host<L>,
    arm: &ArmFile,
    model: &'static Model,
    joint: &Joint,
) -> Result<Seen, ArmError> {
    let id = id_of(joint)?;
    let step = host.get(id, model, What::PresentPosition)?;
    let celsius = host.get(id, model, What::PresentTemperature)?;
    let tenths = host.get(id, model, What::PresentVoltage)?;
    let volts = i32::try_from(tenths).map_or(0.0, f64::from) / 10.0;
    let degrees = joint.degrees(model, step);
    let ([low, high], [lowest, highest]) = (joint.range_deg, arm.guard.volts);
    let mut wrong = modes(host, id, model)?;
    if !(low..=high).contains(&degrees) {
        wrong.push(format!("it stands at {degrees:.1} degrees, outside {low} to {high}"));
    }
    if !(lowest..=highest).contains(&volts) {
        wrong.push(format!("it has {volts} V, outside {lowest} to {highest}"));
    }
    if celsius >= i64::from(arm.guard.temperature_max_c) {
        wrong.push(format!("it is {celsius} degrees warm"));
    }
    let fit = wrong.is_empty();
    // Not a reason to leave the guards as they are: a wrong one may be what it complains of.
    let hardware = host.get(id, model, What::HardwareError)?;
    if hardware != 0 {
        wrong.push(format!("its hardware error status is {hardware:#04x}"));
    }
    let mut guards = Vec::new();
    for (what, wanted) in guards_of(arm, joint, model) {
        guards.push(Guarded { what, is: host.get(id, model, what)?, wanted });
    }
    let name = joint.name.clone();
    Ok(Seen { name, id: joint.id, step, degrees, volts, celsius, guards, fit, wrong })
}

/// How a servo is set where limits of position or its shutdown would not hold, in words.
fn modes<L: Line>(
    host: &mut Host<L>,
    id: Id,
    model: &'static Model,
) -> Result<Vec<String>, HostError> {
    let mut wrong = Vec::new();
    let mode = host.get(id, model, What::OperatingMode)?;
    // Source: e-manual, "Operating Mode": 3 is position control, the only one whose goals the
    // limits bound; Feetech's memory table: 0 is position.
    let position = match model.protocol {
        Protocol::Dynamixel => 3,
        Protocol::Feetech => 0,
    };
    if mode != position {
        wrong.push(format!(
            "its operating mode is {mode}, in which limits of position do not hold: set {position}"
        ));
    }
    if model.register(What::DriveMode).is_some() {
        // Source: e-manual, "Drive Mode": bit 0 counts the other way round, bit 2 makes a profile
        // a time, bit 3 switches the torque on at a goal.
        let drive = host.get(id, model, What::DriveMode)?;
        if drive != 0 {
            wrong.push(format!("its drive mode is {drive:#04x}, not what the file means: set 0"));
        }
    }
    let shutdown = host.get(id, model, What::Shutdown)?;
    if shutdown & SHUTDOWN_MUST != SHUTDOWN_MUST {
        wrong.push(format!(
            "it does not switch off where it is too hot or overloaded (its shutdown conditions \
             are {shutdown:#04x}): add {SHUTDOWN_MUST:#04x}"
        ));
    }
    Ok(wrong)
}

/// Too hot, overloaded. Source: e-manual, "Shutdown"; the same bits in Feetech's memory table.
const SHUTDOWN_MUST: i64 = 0x24;

/// The guards that differ from the file, where it may be written at all: `examine` read every servo
/// before, and each is where and how it should be.
///
/// Errors: [`ArmError::NotCalibrated`]; [`ArmError::Unfit`] names whoever is not.
pub fn to_set(arm: &ArmFile, seen: &[Seen]) -> Result<usize, ArmError> {
    if !arm.calibrated {
        return Err(ArmError::NotCalibrated);
    }
    let unfit = seen.iter().filter(|joint| !joint.fit);
    let unfit: Vec<String> =
        unfit.map(|joint| format!("{}: {}", joint.name, joint.wrong.join("; "))).collect();
    if !unfit.is_empty() {
        return Err(ArmError::Unfit(unfit.join("; ")));
    }
    Ok(seen.iter().map(|joint| joint.differing().count()).sum())
}

/// Writes the guards that differ, and reads each back. What is kept without power is locked again
/// on every path.
///
/// Errors: [`ArmError`], where a servo does not take it.
pub fn set_guards<L: Line>(
    host: &mut Host<L>,
    model: &'static Model,
    seen: &[Seen],
) -> Result<(), ArmError> {
    for joint in seen.iter().filter(|joint| joint.differing().next().is_some()) {
        let id = Id::new(joint.id).ok_or(ArmError::Taken(joint.id))?;
        host.unlocked(id, model, |host| {
            // A watchdog that fired refuses every goal, the share of torque among them. Source:
            // e-manual, "Bus Watchdog".
            if model.watchdog_unit_ms.is_some() && host.get(id, model, What::BusWatchdog)? < 0 {
                host.set(id, model, What::BusWatchdog, 0)?;
            }
            joint.differing().try_for_each(|guard| host.set(id, model, guard.what, guard.wanted))
        })?;
    }
    Ok(())
}

/// The file with each zero such that the arm, as it stands now, is at home.
///
/// Errors: [`ArmError`]; also where a range does not fit into the servo's turn any more.
pub fn calibrated<L: Line>(
    host: &mut Host<L>,
    arm: &ArmFile,
    model: &'static Model,
) -> Result<ArmFile, ArmError> {
    let mut arm = arm.clone();
    for joint in arm.joint.iter_mut().chain(&mut arm.gripper) {
        let step = host.get(id_of(joint)?, model, What::PresentPosition)?;
        let home = joint.step(model, joint.home_deg).saturating_sub(joint.zero);
        joint.zero = step.saturating_sub(home);
    }
    arm.calibrated = true;
    arm.checked("as it stands now").map_err(ArmError::File)
}

fn id_of(joint: &Joint) -> Result<Id, ArmError> {
    Id::new(joint.id).ok_or(ArmError::Taken(joint.id))
}
