//! An arm as data: servos, joints, limits, geometry; read from TOML and checked.
//!
//! Knows: the file's names and units (`arms/ARMS.md`), what cannot be, how a joint's angle becomes
//! a servo's step. Does not know: a bus, or how an arm is moved.

use longhand_bus::Id;
use longhand_bus::model::{Model, What, by_name};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The arms that ship, by name.
pub const SHIPPED: [(&str, &str); 2] = [
    ("so101", include_str!("../arms/so101.toml")),
    ("open-manipulator-x", include_str!("../arms/open-manipulator-x.toml")),
];

/// One arm. Fields: `arms/ARMS.md`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "arms/ARMS.md says each with its unit")]
pub struct ArmFile {
    pub name: String,
    pub model: String,
    pub baud: u32,
    #[serde(default)]
    pub calibrated: bool,
    pub guard: Guard,
    pub base: Placed,
    pub tool: Placed,
    pub joint: Vec<Joint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gripper: Option<Joint>,
}

/// What each servo is told to watch by itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "arms/ARMS.md says each with its unit")]
pub struct Guard {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_watchdog_ms: Option<u32>,
    pub torque_share: f64,
    pub temperature_max_c: u8,
    pub volts: [f64; 2],
}

/// Where a frame stands in another.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "arms/ARMS.md says each with its unit")]
pub struct Placed {
    pub xyz_mm: [f64; 3],
    pub rpy_deg: [f64; 3],
}

/// A joint, or the gripper.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "arms/ARMS.md says each with its unit")]
pub struct Joint {
    pub name: String,
    pub id: u8,
    pub direction: i8,
    pub zero: i64,
    pub gear: f64,
    pub range_deg: [f64; 2],
    pub home_deg: f64,
    pub speed_max_deg_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dh: Option<Dh>,
}

/// A row of the Denavit-Hartenberg table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "arms/ARMS.md says each with its unit")]
pub struct Dh {
    pub a_mm: f64,
    pub alpha_deg: f64,
    pub d_mm: f64,
    pub theta_deg: f64,
}

/// What is wrong with an arm's file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArmFileError {
    /// Neither a shipped arm nor a file.
    #[error(
        "no arm {name:?} ({error}); shipped are so101, open-manipulator-x, or give a TOML file"
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// What the file system said.
        error: std::io::Error,
    },
    /// Not the TOML that is expected.
    #[error("arm {name}: {error}")]
    Toml {
        /// The arm.
        name: String,
        /// The parser's words, with line and column.
        error: Box<toml::de::Error>,
    },
    /// Something that cannot be.
    #[error("arm {name}: {place}: {rule}")]
    Rule {
        /// The arm.
        name: String,
        /// Which part of it.
        place: String,
        /// What holds, and what stands there.
        rule: String,
    },
}

/// A part, and what is wrong with it.
type Broken = (String, String);

impl ArmFile {
    /// A shipped arm by name, or a file.
    ///
    /// Errors: [`ArmFileError`] says what is wrong, where, and what to do.
    pub fn load(name: &str) -> Result<Self, ArmFileError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name))
            .map_err(|error| ArmFileError::NotFound { name: name.to_owned(), error })?;
        Self::parse(name, &text)
    }

    /// Reads and checks. Errors: [`ArmFileError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ArmFileError> {
        let arm: Self = toml::from_str(text).map_err(|error| ArmFileError::Toml {
            name: name.to_owned(),
            error: Box::new(error),
        })?;
        arm.checked(name)
    }

    /// The same, if nothing about it is wrong. Errors: [`ArmFileError::Rule`].
    pub fn checked(self, name: &str) -> Result<Self, ArmFileError> {
        match self.check() {
            Ok(()) => Ok(self),
            Err((place, rule)) => Err(ArmFileError::Rule { name: name.to_owned(), place, rule }),
        }
    }

    /// The servos' model; known, since the file was checked.
    pub fn servos(&self) -> Option<&'static Model> {
        by_name(&self.model)
    }

    /// Joints and gripper, from the base on.
    pub fn driven(&self) -> impl Iterator<Item = &Joint> {
        self.joint.iter().chain(&self.gripper)
    }

    fn check(&self) -> Result<(), Broken> {
        let model = self.servos().ok_or_else(|| {
            let known = longhand_bus::model::MODELS.map(|model| model.name).join(", ");
            broken("model", &format!("{:?} is not known here; known are {known}", self.model))
        })?;
        if !model.bauds.iter().any(|(_, baud)| *baud == self.baud) {
            return Err(broken("baud", &format!("a {} cannot do {}", model.name, self.baud)));
        }
        if !(1..=8).contains(&self.joint.len()) {
            return Err(broken("joint", "an arm has one to eight"));
        }
        self.guard.check(model)?;
        for (place, placed) in [("base", &self.base), ("tool", &self.tool)] {
            if !placed.xyz_mm.iter().chain(&placed.rpy_deg).all(|number| number.is_finite()) {
                return Err(broken(place, "every number is finite"));
            }
        }
        for joint in self.driven() {
            joint.check(model)?;
            if self.driven().filter(|other| other.id == joint.id).count() > 1 {
                return Err(broken(
                    &joint.name,
                    &format!("id {} is another joint's, too", joint.id),
                ));
            }
        }
        for joint in &self.joint {
            let finite = |dh: &Dh| {
                [dh.a_mm, dh.alpha_deg, dh.d_mm, dh.theta_deg].iter().all(|n| n.is_finite())
            };
            if !joint.dh.as_ref().is_some_and(finite) {
                return Err(broken(&joint.name, "a joint has a row `dh` of finite numbers"));
            }
        }
        if self.gripper.as_ref().is_some_and(|gripper| gripper.dh.is_some()) {
            return Err(broken("gripper", "it has no `dh`: the tool's place is in [tool]"));
        }
        Ok(())
    }
}

impl Guard {
    fn check(&self, model: &Model) -> Result<(), Broken> {
        let at = |field: &str, rule: &str| Err(broken(&format!("guard.{field}"), rule));
        match (self.bus_watchdog_ms, model.watchdog_unit_ms) {
            (None, Some(_)) => return at("bus_watchdog_ms", "this model has one: say how long"),
            (Some(_), None) => {
                return at("bus_watchdog_ms", "this model has none: leave it out");
            }
            (Some(ms), Some(unit)) => {
                let unit = u32::from(unit);
                if ms % unit != 0 || !(1..=127).contains(&(ms / unit)) {
                    return at("bus_watchdog_ms", "20 to 2540 in steps of 20");
                }
            }
            (None, None) => (),
        }
        if !(self.torque_share > 0.0 && self.torque_share <= 1.0) {
            return at("torque_share", "above 0, at most 1");
        }
        if !(30..=80).contains(&self.temperature_max_c) {
            return at("temperature_max_c", "30 to 80");
        }
        let [low, high] = self.volts;
        if !(low >= 3.0 && low < high && high <= 25.0) {
            return at("volts", "the lowest before the highest, 3 to 25");
        }
        Ok(())
    }
}

impl Joint {
    /// The servo's step for an angle of the joint, degrees.
    pub fn step(&self, model: &Model, degrees: f64) -> i64 {
        let turns = degrees / 360.0 * self.gear * f64::from(self.direction);
        self.zero.saturating_add(whole(turns * f64::from(model.steps_per_turn)))
    }

    /// The joint's angle, degrees, where its servo stands at `step`.
    pub fn degrees(&self, model: &Model, step: i64) -> f64 {
        let turns = float(step.saturating_sub(self.zero)) / f64::from(model.steps_per_turn);
        turns * 360.0 / (self.gear * f64::from(self.direction))
    }

    /// The servo's lowest and highest step.
    pub fn steps(&self, model: &Model) -> (i64, i64) {
        let [one, other] = self.range_deg.map(|degrees| self.step(model, degrees));
        (one.min(other), one.max(other))
    }

    fn check(&self, model: &Model) -> Result<(), Broken> {
        let at = |rule: &str| Err(broken(&self.name, rule));
        if Id::new(self.id).is_none() {
            return at("id is 0 to 252");
        }
        if !matches!(self.direction, 1 | -1) {
            return at("direction is 1 or -1");
        }
        if !(self.gear > 0.0 && self.gear.is_finite()) {
            return at("gear is above 0");
        }
        let [low, high] = self.range_deg;
        if !(low < high && low.is_finite() && high.is_finite()) {
            return at("range_deg is the lowest, then the highest");
        }
        if !(low <= self.home_deg && self.home_deg <= high) {
            return at("home_deg lies within range_deg");
        }
        let fastest = (model.motor.no_load / self.gear).to_degrees();
        if !(self.speed_max_deg_s > 0.0 && self.speed_max_deg_s <= fastest) {
            return at(&format!("speed_max_deg_s is above 0, at most {fastest:.0} for this motor"));
        }
        let (first, last) = self.steps(model);
        let turn = i64::from(model.steps_per_turn);
        if first < 0 || last >= turn {
            return at(&format!(
                "its range needs the servo's steps {first} to {last}, of 0 to {}: with the torque \
                 off, put the joint into the middle of its range, loosen the horn, turn the shaft \
                 until the servo is near step {}, fasten it and calibrate anew; or make range_deg \
                 smaller",
                turn.saturating_sub(1),
                turn.div_euclid(2)
            ));
        }
        Ok(())
    }
}

/// What each servo's own guards are set to, for an arm's file: register, value.
///
/// No limits of position from a file that nobody calibrated: its zeros are another arm's.
pub fn guards(arm: &ArmFile, joint: &Joint, model: &'static Model) -> Vec<(What, i64)> {
    let (first, last) = joint.steps(model);
    let [low, high] = arm.guard.volts.map(|volts| whole(volts * 10.0));
    let hot = i64::from(arm.guard.temperature_max_c);
    let mut set = vec![
        (What::ReturnDelay, 0),
        (What::TemperatureLimit, hot),
        (What::MinVoltage, low),
        (What::MaxVoltage, high),
    ];
    if arm.calibrated {
        set.extend([(What::MinPosition, first), (What::MaxPosition, last)]);
    }
    if model.register(What::TorqueLimit).is_some() {
        set.push((What::TorqueLimit, whole(arm.guard.torque_share * 1000.0)));
    } else {
        // X series: as a share of the voltage, in units of 1/885. Source: e-manual, "Goal PWM".
        set.push((What::GoalPwm, whole(arm.guard.torque_share * 885.0)));
    }
    if let (Some(ms), Some(unit)) = (arm.guard.bus_watchdog_ms, model.watchdog_unit_ms) {
        set.push((What::BusWatchdog, i64::from(ms / u32::from(unit).max(1))));
    }
    set
}

fn broken(place: &str, rule: &str) -> Broken {
    (place.to_owned(), rule.to_owned())
}

/// Steps are far below 2^53.
#[expect(clippy::as_conversions, reason = "no lossless i64 to f64; exact below 2^53")]
const fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::as_conversions, reason = "float to int `as` saturates and maps NaN to zero")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};

    fn placed(at: &Placed) -> Isometry3<f64> {
        let [x, y, z] = at.xyz_mm.map(|mm| mm * 1e-3);
        let [roll, pitch, yaw] = at.rpy_deg.map(f64::to_radians);
        let turned = UnitQuaternion::from_euler_angles(roll, pitch, yaw);
        Isometry3::from_parts(Translation3::new(x, y, z), turned)
    }

    /// The tip for joints in radians, by the file's own table.
    fn tip(arm: &ArmFile, joints: &[f64]) -> Isometry3<f64> {
        let rows = arm.joint.iter().zip(joints).map(|(joint, angle)| {
            let dh = joint.dh.as_ref().unwrap();
            let about_z = UnitQuaternion::from_axis_angle(
                &Vector3::z_axis(),
                angle + dh.theta_deg.to_radians(),
            );
            let about_x =
                UnitQuaternion::from_axis_angle(&Vector3::x_axis(), dh.alpha_deg.to_radians());
            Isometry3::from_parts(Translation3::identity(), about_z)
                * Translation3::new(dh.a_mm * 1e-3, 0.0, dh.d_mm * 1e-3)
                * about_x
        });
        rows.fold(placed(&arm.base), |pose, row| pose * row) * placed(&arm.tool)
    }

    /// Tips that the projects' own URDFs give, joint by joint; reckoned apart from this code.
    #[test]
    fn the_shipped_tables_put_the_tip_where_the_urdf_does() {
        let is = |name: &str, joints: &[f64], x: f64, y: f64, z: f64| {
            let tip = tip(&ArmFile::load(name).unwrap(), joints).translation.vector;
            assert!((tip - Vector3::new(x, y, z)).norm() < 5e-6, "{name} {joints:?}: {tip}");
        };
        is("so101", &[0.0; 5], 0.020_395, -0.375_601, 0.258_952);
        is("so101", &[0.3, -0.4, 0.5, 0.6, -0.7], -0.052_959, -0.277_543, 0.148_07);
        is("open-manipulator-x", &[0.0; 4], 0.286, 0.0, 0.1875);
        is("open-manipulator-x", &[0.3, -0.4, 0.5, 0.6], 0.195_435, 0.056_743, 0.093_191);
    }

    #[test]
    fn an_angle_becomes_a_step_and_comes_back() {
        let arm = ArmFile::load("so101").unwrap();
        let model = arm.servos().unwrap();
        let mut joint = arm.joint[0].clone();
        assert_eq!((joint.step(model, 0.0), joint.step(model, 90.0)), (2048, 3072));
        (joint.direction, joint.gear, joint.zero) = (-1, 2.0, 1000);
        assert_eq!(joint.step(model, 45.0), 1000 - 1024);
        for step in [0, 1, 1000, 4095] {
            assert_eq!(joint.step(model, joint.degrees(model, step)), step);
        }
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let text = SHIPPED[1].1;
        let said = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            ArmFile::parse("x", &text.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, told) in [
            ("xm430-w350\"", "ax-12\"", "arm x: model: \"ax-12\" is not known here; known are sts"),
            ("baud = 1000000", "baud = 1000001", "baud: a xm430-w350 cannot do 1000001"),
            ("id = 12", "id = 11", "joint1: id 11 is another joint's, too"),
            ("id = 11", "id = 253", "joint1: id is 0 to 252"),
            ("direction = 1", "direction = 0", "joint1: direction is 1 or -1"),
            ("direction = 1", "direction = -128", "joint1: direction is 1 or -1"),
            ("gear = 1.0", "gear = 0.0", "joint1: gear is above 0"),
            ("[-179.9, 179.9]", "[10.0, -10.0]", "joint1: range_deg is the lowest"),
            ("[-179.9, 179.9]", "[-179.9, nan]", "joint1: range_deg is the lowest"),
            ("[-179.9, 179.9]", "[-200.0, 10.0]", "steps -228 to 2162, of 0 to 4095"),
            ("home_deg = 0.0", "home_deg = 180.0", "joint1: home_deg lies within range_deg"),
            ("speed_max_deg_s = 120.0", "speed_max_deg_s = 300.0", "at most 276 for this motor"),
            ("bus_watchdog_ms = 100", "", "guard.bus_watchdog_ms: this model has one"),
            ("bus_watchdog_ms = 100", "bus_watchdog_ms = 110", "20 to 2540 in steps of 20"),
            ("torque_share = 0.6", "torque_share = 1.1", "guard.torque_share: above 0, at most 1"),
            ("_max_c = 70", "_max_c = 81", "guard.temperature_max_c: 30 to 80"),
            ("[10.0, 14.8]", "[14.8, 10.0]", "guard.volts: the lowest before the highest"),
            ("a_mm = 0.0", "a_mm = inf", "joint1: a joint has a row `dh` of finite numbers"),
            ("zero = 2048", "zreo = 2048", "unknown field `zreo`"),
        ] {
            let said = said(from, to);
            assert!(said.contains(told), "{to}: {said}");
        }
        let so101 = SHIPPED[0].1.replace("torque_share", "bus_watchdog_ms = 100\ntorque_share");
        let said = ArmFile::parse("x", &so101).unwrap_err().to_string();
        assert!(said.contains("this model has none: leave it out"), "{said}");
        let said = ArmFile::load("nothing").unwrap_err().to_string();
        assert!(said.contains("shipped are so101, open-manipulator-x"), "{said}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (name, text) in SHIPPED {
            let arm = ArmFile::parse(name, text).unwrap();
            let written = toml::to_string(&arm).unwrap();
            assert_eq!(ArmFile::parse(name, &written).unwrap(), arm);
        }
    }
}
