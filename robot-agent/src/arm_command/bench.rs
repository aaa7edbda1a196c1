//! An arm on the bench: is each servo the one that the file says, well, and guarded; where does
//! each joint stand.
//!
//! Knows: an arm's file and its servos. Does not know: the command line, or motion: nothing here
//! switches a motor on.

use super::ArmError;
use crate::arm_file::{ArmFile, Joint, guards};
use crate::serial::{Host, Line};
use longhand_bus::Id;
use longhand_bus::model::{Model, What};

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
    /// What was set and read back.
    pub guards: Vec<(What, i64)>,
    /// What is wrong, in words; empty where all is well.
    pub wrong: Vec<String>,
}

/// Every servo is there and of the model that the file says.
///
/// Errors: [`ArmError::Missing`] names all that are not, [`ArmError::Model`] the first that is
/// another.
pub fn all_there<L: Line>(host: &mut Host<L>, arm: &ArmFile) -> Result<&'static Model, ArmError> {
    let model = arm.servos().ok_or_else(|| ArmError::Unnamed(arm.model.clone()))?;
    let mut missing = Vec::new();
    for joint in arm.driven() {
        match host.find(id_of(joint)?)? {
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
    let mut holding = Vec::new();
    for joint in arm.driven() {
        if host.get(id_of(joint)?, model, What::TorqueEnable)? != 0 {
            holding.push(joint.name.clone());
        }
    }
    if !holding.is_empty() && !asked_for {
        return Err(ArmError::Holding(holding.join(", ")));
    }
    for joint in arm.driven().filter(|joint| holding.contains(&joint.name)) {
        host.set(id_of(joint)?, model, What::TorqueEnable, 0)?;
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

/// Sets what each servo watches by itself, reads it back, and says how the servo is.
///
/// What is kept without power is written only where it differs: that memory wears out.
/// Errors: [`ArmError`], where a servo does not take it.
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
    let locks = model.register(What::Lock).is_some();
    if locks {
        host.set(id, model, What::Lock, 0)?;
    }
    let wanted = guards(arm, joint, model);
    for (what, value) in &wanted {
        let is = host.get(id, model, *what)?;
        if is < 0 && *what == What::BusWatchdog {
            // It stopped the servo: that is cleared first.
            host.set(id, model, *what, 0)?;
        }
        if is != *value {
            host.set(id, model, *what, *value)?;
        }
    }
    if locks {
        host.set(id, model, What::Lock, 1)?;
    }
    let step = host.get(id, model, What::PresentPosition)?;
    let celsius = host.get(id, model, What::PresentTemperature)?;
    let tenths = host.get(id, model, What::PresentVoltage)?;
    let volts = i32::try_from(tenths).map_or(0.0, f64::from) / 10.0;
    let hardware = host.get(id, model, What::HardwareError)?;
    let degrees = joint.degrees(model, step);
    let ([low, high], [lowest, highest]) = (joint.range_deg, arm.guard.volts);
    let mut wrong = Vec::new();
    if !(low..=high).contains(&degrees) {
        wrong.push(format!("it stands at {degrees:.1} degrees, outside {low} to {high}"));
    }
    if !(lowest..=highest).contains(&volts) {
        wrong.push(format!("it has {volts} V, outside {lowest} to {highest}"));
    }
    if celsius >= i64::from(arm.guard.temperature_max_c) {
        wrong.push(format!("it is {celsius} degrees warm"));
    }
    if hardware != 0 {
        wrong.push(format!("its hardware error status is {hardware:#04x}"));
    }
    let (name, guards) = (joint.name.clone(), wanted);
    Ok(Seen { name, id: joint.id, step, degrees, volts, celsius, guards, wrong })
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
    arm.checked("as it stands now").map_err(ArmError::File)
}

fn id_of(joint: &Joint) -> Result<Id, ArmError> {
    Id::new(joint.id).ok_or(ArmError::Taken(joint.id))
}
