//! Limit profiles as TOML: read, checked against the caps in code, hashed.
//!
//! Knows: the file's names and units. Does not know: what a number does (`follower::profile`).
//! The hash is of the parsed values in a fixed order, so comments and spaces do not change it and
//! every value does; it goes into every command.

use longhand_follower::profile::{
    JointLimits, MotionLimits, PlayoutLimits, Profile, RateLimits, StageLimits, Volume,
};
use longhand_protocol::geometry::Mismatch;
use longhand_protocol::message::ProfileHash;
use longhand_protocol::units::Micros;
use nalgebra::Vector3;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The profiles that ship, by name.
pub const SHIPPED: [(&str, &str); 3] = [
    ("default", include_str!("../profiles/default.toml")),
    ("public-5g", include_str!("../profiles/public-5g.toml")),
    ("satellite", include_str!("../profiles/satellite.toml")),
];

/// A profile with its name and its hash.
#[derive(Clone, Debug)]
pub struct NamedProfile {
    /// The shipped name, or the file's path.
    pub name: String,
    /// The numbers.
    pub profile: Profile,
    /// What every command must carry.
    pub hash: ProfileHash,
}

/// What is wrong with a profile and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProfileFileError {
    /// Neither a shipped profile nor a file.
    #[error(
        "no profile {name:?} ({error}); shipped are default, public-5g, satellite, \
         or give a TOML file"
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// What the file system said.
        error: std::io::Error,
    },
    /// Not the TOML that is expected.
    #[error("profile {name}: {error}")]
    Toml {
        /// The profile.
        name: String,
        /// The parser's words, with line and column.
        error: Box<toml::de::Error>,
    },
    /// A rule or a cap in code is broken.
    #[error("profile {name}: {rule}; the caps are in code and no file may pass them")]
    Rule {
        /// The profile.
        name: String,
        /// The rule.
        rule: &'static str,
    },
}

impl NamedProfile {
    /// A shipped profile by name, or a file.
    ///
    /// Errors: [`ProfileFileError`] says what is wrong, where, and what to do.
    pub fn load(name: &str) -> Result<Self, ProfileFileError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name))
            .map_err(|error| ProfileFileError::NotFound { name: name.to_owned(), error })?;
        Self::parse(name, &text)
    }

    /// Reads a profile from its text; `name` is for the errors.
    ///
    /// Errors: [`ProfileFileError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileFileError> {
        let file: File = toml::from_str(text).map_err(|error| ProfileFileError::Toml {
            name: name.to_owned(),
            error: Box::new(error),
        })?;
        Self::checked(name, file.profile())
    }

    /// The numbers as TOML in a fixed order, which [`NamedProfile::hash`] is of. Says no name: a
    /// name may be a path of somebody's.
    pub fn canonical(&self) -> String {
        canonical(&self.profile)
    }

    /// The same profile for a machine that stalls, as shared virtual machines do: only simulated
    /// arms may be run with it. Stalls still hold the robot; they are no fault of the robot's.
    ///
    /// Errors: none for a profile that was valid.
    pub fn tolerating_stalls(self) -> Result<Self, ProfileFileError> {
        let mut profile = self.profile;
        // The cap itself. Seen on shared machines: 52 ms (performance.md), 100 ms when building.
        profile.stages.missed_ticks_max = 250;
        Self::checked(&format!("{}, stalls tolerated", self.name), profile)
    }

    fn checked(name: &str, profile: Profile) -> Result<Self, ProfileFileError> {
        profile.validate().map_err(|error| ProfileFileError::Rule {
            name: name.to_owned(),
            rule: error.sentence(),
        })?;
        Ok(Self { name: name.to_owned(), profile, hash: hash(&profile) })
    }
}

fn canonical(profile: &Profile) -> String {
    toml::to_string(&File::of(profile)).unwrap_or_default()
}

fn hash(profile: &Profile) -> ProfileHash {
    let digest = Sha256::digest(canonical(profile).as_bytes());
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    ProfileHash::new(u64::from_le_bytes(first))
}

/// The file: every value with its unit in its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    stages: Stages,
    playout: Playout,
    motion: Motion,
    joints: Joints,
    volume: Box3,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stages {
    coast_after_us: u64,
    brake_after_us: u64,
    energy_off_after_us: u64,
    hold_after_us: u64,
    latch_after_us: u64,
    bedside_after_us: u64,
    loop_age_warn_us: u64,
    loop_age_max_us: u64,
    rejoin_good_us: u64,
    reengage_good_us: u64,
    blend_over_us: u64,
    stall_ticks: u32,
    missed_ticks_max: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Playout {
    delay_max_us: u64,
    lateness: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Motion {
    tip_speed_m_s: f64,
    tip_acceleration_m_s2: f64,
    tip_jerk_m_s3: f64,
    rotation_speed_rad_s: f64,
    rotation_acceleration_rad_s2: f64,
    rotation_jerk_rad_s3: f64,
    jaw_rate_max_rad_s: f64,
    coast_max_m: f64,
    coast_max_rad: f64,
    blend_max_m: f64,
    blend_max_rad: f64,
    align_max_m: f64,
    align_max_rad: f64,
    anchor_max_m: f64,
    anchor_max_rad: f64,
    tracking_error_max_m: f64,
    hold_error_max_m: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Joints {
    low: [f64; 6],
    high: [f64; 6],
    speed_max: [f64; 6],
    acceleration_max: [f64; 6],
    jerk_max: [f64; 6],
    margin: [f64; 6],
    jaw_rad: [f64; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Box3 {
    low_m: [f64; 3],
    high_m: [f64; 3],
    depth_m: [f64; 2],
}

impl File {
    fn profile(&self) -> Profile {
        let (p, j, v) = (&self.playout, &self.joints, &self.volume);
        Profile {
            stages: self.stages.limits(),
            playout: PlayoutLimits {
                delay_max: Micros::from_micros(p.delay_max_us),
                lateness: p.lateness,
            },
            motion: self.motion.limits(),
            joints: JointLimits {
                low: j.low,
                high: j.high,
                speed_max: j.speed_max,
                acceleration_max: j.acceleration_max,
                jerk_max: j.jerk_max,
                margin: j.margin,
                jaw: j.jaw_rad,
            },
            volume: Volume {
                low: Vector3::from(v.low_m),
                high: Vector3::from(v.high_m),
                depth: v.depth_m,
            },
        }
    }

    fn of(profile: &Profile) -> Self {
        let (j, v) = (&profile.joints, &profile.volume);
        Self {
            stages: Stages::of(&profile.stages),
            playout: Playout {
                delay_max_us: profile.playout.delay_max.as_micros(),
                lateness: profile.playout.lateness,
            },
            motion: Motion::of(&profile.motion),
            joints: Joints {
                low: j.low,
                high: j.high,
                speed_max: j.speed_max,
                acceleration_max: j.acceleration_max,
                jerk_max: j.jerk_max,
                margin: j.margin,
                jaw_rad: j.jaw,
            },
            volume: Box3 { low_m: v.low.into(), high_m: v.high.into(), depth_m: v.depth },
        }
    }
}

impl Stages {
    fn limits(&self) -> StageLimits {
        let us = Micros::from_micros;
        StageLimits {
            coast_after: us(self.coast_after_us),
            brake_after: us(self.brake_after_us),
            energy_off_after: us(self.energy_off_after_us),
            hold_after: us(self.hold_after_us),
            latch_after: us(self.latch_after_us),
            bedside_after: us(self.bedside_after_us),
            loop_age_warn: us(self.loop_age_warn_us),
            loop_age_max: us(self.loop_age_max_us),
            rejoin_good: us(self.rejoin_good_us),
            reengage_good: us(self.reengage_good_us),
            blend_over: us(self.blend_over_us),
            stall_ticks: self.stall_ticks,
            missed_ticks_max: self.missed_ticks_max,
        }
    }

    fn of(s: &StageLimits) -> Self {
        Self {
            coast_after_us: s.coast_after.as_micros(),
            brake_after_us: s.brake_after.as_micros(),
            energy_off_after_us: s.energy_off_after.as_micros(),
            hold_after_us: s.hold_after.as_micros(),
            latch_after_us: s.latch_after.as_micros(),
            bedside_after_us: s.bedside_after.as_micros(),
            loop_age_warn_us: s.loop_age_warn.as_micros(),
            loop_age_max_us: s.loop_age_max.as_micros(),
            rejoin_good_us: s.rejoin_good.as_micros(),
            reengage_good_us: s.reengage_good.as_micros(),
            blend_over_us: s.blend_over.as_micros(),
            stall_ticks: s.stall_ticks,
            missed_ticks_max: s.missed_ticks_max,
        }
    }
}

impl Motion {
    fn limits(&self) -> MotionLimits {
        let mismatch = |distance_m, angle_rad| Mismatch { distance_m, angle_rad };
        MotionLimits {
            tip: RateLimits {
                speed: self.tip_speed_m_s,
                acceleration: self.tip_acceleration_m_s2,
                jerk: self.tip_jerk_m_s3,
            },
            rotation: RateLimits {
                speed: self.rotation_speed_rad_s,
                acceleration: self.rotation_acceleration_rad_s2,
                jerk: self.rotation_jerk_rad_s3,
            },
            jaw_rate_max: self.jaw_rate_max_rad_s,
            coast_max: mismatch(self.coast_max_m, self.coast_max_rad),
            blend_max: mismatch(self.blend_max_m, self.blend_max_rad),
            align_max: mismatch(self.align_max_m, self.align_max_rad),
            anchor_max: mismatch(self.anchor_max_m, self.anchor_max_rad),
            tracking_error_max: self.tracking_error_max_m,
            hold_error_max: self.hold_error_max_m,
        }
    }

    const fn of(m: &MotionLimits) -> Self {
        Self {
            tip_speed_m_s: m.tip.speed,
            tip_acceleration_m_s2: m.tip.acceleration,
            tip_jerk_m_s3: m.tip.jerk,
            rotation_speed_rad_s: m.rotation.speed,
            rotation_acceleration_rad_s2: m.rotation.acceleration,
            rotation_jerk_rad_s3: m.rotation.jerk,
            jaw_rate_max_rad_s: m.jaw_rate_max,
            coast_max_m: m.coast_max.distance_m,
            coast_max_rad: m.coast_max.angle_rad,
            blend_max_m: m.blend_max.distance_m,
            blend_max_rad: m.blend_max.angle_rad,
            align_max_m: m.align_max.distance_m,
            align_max_rad: m.align_max.angle_rad,
            anchor_max_m: m.anchor_max.distance_m,
            anchor_max_rad: m.anchor_max.angle_rad,
            tracking_error_max_m: m.tracking_error_max,
            hold_error_max_m: m.hold_error_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files are what people read; the constants are what the simulator runs. One truth.
    #[test]
    fn shipped_files_are_the_constants() {
        let constants = [Profile::DEFAULT, Profile::PUBLIC_5G, Profile::SATELLITE];
        for ((name, _), constant) in SHIPPED.iter().zip(constants) {
            let want = toml::to_string(&File::of(&constant)).unwrap();
            let got = NamedProfile::load(name).unwrap_or_else(|e| panic!("{e}\n{want}"));
            assert_eq!(got.profile, constant, "{name} should read:\n{want}");
        }
    }

    #[test]
    fn every_value_changes_the_hash_and_comments_do_not() {
        let (_, text) = SHIPPED[0];
        let plain = NamedProfile::parse("p", text).unwrap();
        let commented = NamedProfile::parse("p", &format!("# a comment\n{text}")).unwrap();
        assert_eq!(plain.hash, commented.hash);
        let other = text.replace("coast_after_us = 3000", "coast_after_us = 3001");
        assert_ne!(other, text);
        assert_ne!(NamedProfile::parse("p", &other).unwrap().hash, plain.hash);
    }

    #[test]
    fn a_file_cannot_pass_a_cap() {
        let (_, text) = SHIPPED[0];
        let greedy = text.replace("brake_after_us = 10000", "brake_after_us = 30000");
        let error = NamedProfile::parse("greedy.toml", &greedy).unwrap_err().to_string();
        assert!(error.contains("greedy.toml") && error.contains("20 ms at most"), "{error}");
        let typo = text.replace("lateness", "latenes");
        let error = NamedProfile::parse("t", &typo).unwrap_err().to_string();
        assert!(error.contains("latenes"), "{error}");
    }
}
