//! Every threshold of the robot's side, in one place, with its source; and the caps no file may
//! pass.
//!
//! Knows: the numbers, how they relate, and the hard caps. Does not know: TOML or hashing (the
//! agent reads and hashes a profile), or what happens when a number is passed.

use longhand_protocol::geometry::Mismatch;
use longhand_protocol::message::{ALIGN_MAX_RAD, Terms};
use longhand_protocol::units::{Micros, TICK};
use nalgebra::Vector3;

/// All limits of one robot. Metres, radians, seconds unless a name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// When the stages are entered and left.
    pub stages: StageLimits,
    /// How much delay the playout buffer may add.
    pub playout: PlayoutLimits,
    /// How the tip may move.
    pub motion: MotionLimits,
    /// How the joints may stand and move.
    pub joints: JointLimits,
    /// Where the tip may be, in each arm's base frame.
    pub volume: Volume,
}

/// When the stages are entered and left. Source: design.md section 6, safety.md section 4.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageLimits {
    /// Follow becomes Coast above this age.
    pub coast_after: Micros,
    /// Coast becomes Brake above this age.
    pub brake_after: Micros,
    /// Energy is off above this age.
    pub energy_off_after: Micros,
    /// Brake becomes Hold above this age.
    pub hold_after: Micros,
    /// Latched at this age.
    pub latch_after: Micros,
    /// The lease ends at this age.
    pub bedside_after: Micros,
    /// Above this loop age the tool slows down.
    pub loop_age_warn: Micros,
    /// Above this loop age the robot latches.
    pub loop_age_max: Micros,
    /// Hold is left after this long of good link.
    pub rejoin_good: Micros,
    /// Latched is left after this long of good link.
    pub reengage_good: Micros,
    /// After a stop, motion comes back over at least this long.
    pub blend_over: Micros,
    /// This many ticks missed at once stop the arm as silence would.
    pub stall_ticks: u32,
    /// More missed ticks at once than this are a fault.
    pub missed_ticks_max: u32,
}

/// How much delay the playout buffer may add.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlayoutLimits {
    /// The most that the buffer may add.
    pub delay_max: Micros,
    /// The share of commands that may come after their turn.
    pub lateness: f64,
}

/// How the tip may move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionLimits {
    /// Translation of the tip.
    pub tip: RateLimits,
    /// Rotation of the tip.
    pub rotation: RateLimits,
    /// Fastest jaw, radians per second.
    pub jaw_rate_max: f64,
    /// Blind motion at most this far.
    pub coast_max: Mismatch,
    /// Goal and tool must be this close for motion to begin or go on.
    pub blend_max: Mismatch,
    /// Goal and tool must be this close to leave Latched.
    pub align_max: Mismatch,
    /// Goal farther than this from the tool: Latched.
    pub anchor_max: Mismatch,
    /// The arm may be this far from where it was told a tick ago, moving or not.
    pub tracking_error_max: f64,
    /// The held arm may be this far from its setpoint.
    pub hold_error_max: f64,
}

/// Speed, acceleration and jerk of one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimits {
    /// Units per second.
    pub speed: f64,
    /// Units per second squared.
    pub acceleration: f64,
    /// Units per second cubed.
    pub jerk: f64,
}

/// How the joints may stand and move: yaw, pitch, insertion, roll, wrist pitch, wrist yaw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointLimits {
    /// Lowest position, radians; metres for the insertion.
    pub low: [f64; 6],
    /// Highest position.
    pub high: [f64; 6],
    /// Fastest, radians per second; metres per second for the insertion.
    pub speed_max: [f64; 6],
    /// Greatest acceleration, per second squared.
    pub acceleration_max: [f64; 6],
    /// Greatest jerk, per second cubed.
    pub jerk_max: [f64; 6],
    /// Goals stay this far inside `low` and `high`.
    pub margin: [f64; 6],
    /// Lowest and highest jaw opening, radians.
    pub jaw: [f64; 2],
}

/// Where the tip may be: a box in the arm's base frame, and in it a shell about the remote centre.
/// Metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volume {
    /// Lowest corner of the box.
    pub low: Vector3<f64>,
    /// Highest corner of the box.
    pub high: Vector3<f64>,
    /// The depth guard: least and greatest distance of the tip from the remote centre.
    pub depth: [f64; 2],
}

// What joints may do, in the order of `JointLimits`. Accelerations, chosen: nine tenths of what the
// simulated PSM's motors can give (`arm/simulated.rs`, efforts from dVRK's PSM.json). Speeds and
// jerks, chosen: twice and more what any motion within the tip's own limits asks for in open
// country (`limits`); the worst that `tests/limits_hold.rs` finds there are 1.2 rad/s, 63 rad/s2
// and 14,000 rad/s3 for yaw and pitch, 0.11 m/s, 5.6 m/s2 and 1,200 m/s3 for the insertion, 3.4
// rad/s, 190 rad/s2 and 43,000 rad/s3 for roll and wrist. Toward a singular place they bind.
const JOINT_SPEED: [f64; 6] = [4.0, 4.0, 0.3, 8.0, 8.0, 8.0];
const JOINT_ACCELERATION: [f64; 6] = [99.0, 99.0, 22.0, 450.0, 450.0, 450.0];
const JOINT_JERK: [f64; 6] = [3e4, 3e4, 4e3, 1.5e5, 1.5e5, 1.5e5];

const fn deg(degrees: f64) -> f64 {
    degrees * core::f64::consts::PI / 180.0
}

/// Blind motion: never longer than what FCI and UR allow. Source: libfranka and UR, 20 ms.
pub const BRAKE_AFTER_CAP: Micros = Micros::from_millis(20);
/// Source: safety.md section 4.3, "latch <= 500 ms".
pub const LATCH_AFTER_CAP: Micros = Micros::from_millis(500);
/// Source: design.md section 6, playout "up to 100 ms on public 5G".
pub const PLAYOUT_CAP: Micros = Micros::from_millis(100);
/// Chosen: Xu 2014 calls 800 ms not feasible; one second of loop age bounds even a satellite drill.
pub const LOOP_AGE_CAP: Micros = Micros::from_millis(1_000);
/// Chosen: the safety case's travel figures are for 100 mm/s; safety.md section 4.3.
pub const TIP_SPEED_CAP: f64 = 0.1;
/// Harder than this no tip brakes or turns. Chosen: twice and four times what the shipped profiles
/// say; the joints' own limits bind long before.
pub const TIP_CAP: RateLimits = RateLimits { speed: TIP_SPEED_CAP, acceleration: 10.0, jerk: 4e3 };
/// The same of the tip's rotation. Chosen: twice what the shipped profiles say.
pub const ROTATION_CAP: RateLimits = RateLimits { speed: 4.0, acceleration: 200.0, jerk: 4e4 };
/// Slowest that a profile may brake: at 100 mm/s it still stops within 3 mm. Chosen.
pub const TIP_BRAKE_FLOOR: f64 = 2.0;

impl Profile {
    /// The profile for links good enough for surgery: metropolitan fibre, campus and city 5G,
    /// dedicated lines.
    pub const DEFAULT: Self = Self {
        stages: StageLimits {
            coast_after: Micros::from_millis(3), // safety.md 4.3: three missed commands at 1 kHz
            brake_after: Micros::from_millis(10), // under Franka's and UR's 20 ms
            energy_off_after: Micros::from_millis(20), // A23, I11
            hold_after: Micros::from_millis(50), // safety.md 4.3
            latch_after: Micros::from_millis(200), // UR's cap for real-time modes
            bedside_after: Micros::from_secs(3), // safety.md 4.3, radio link failure 1 to 3 s
            loop_age_warn: Micros::from_millis(200), // Xu 2014: <= 200 ms ideal
            loop_age_max: Micros::from_millis(300), // Xu 2014: <= 300 ms suitable
            rejoin_good: Micros::from_millis(100), // safety.md 4.3
            reengage_good: Micros::from_millis(500), // Betaflight, 0.5 s of valid data
            blend_over: Micros::from_millis(60), // design.md: >= 50 ms
            stall_ticks: 10,                     // chosen: as long as brake_after
            missed_ticks_max: 30, // chosen: dVRK's drive watchdog, 30 ms, has tripped by then
        },
        playout: PlayoutLimits {
            delay_max: Micros::from_millis(20), // design.md: 20 ms on good links
            lateness: 4e-4, // chosen: 1e-3 (design.md) stops national-dedicated 6 times an hour
        },
        motion: MotionLimits {
            // 5 m/s2: 50 mm/s stops in 15 ms and 0.4 mm (safety.md 4.3). Jerk: five ticks to full
            // brake, below libfranka's 4500 m/s3.
            tip: RateLimits { speed: 0.1, acceleration: 5.0, jerk: 1_000.0 },
            // Chosen: about a wrist turn a second; stops in 25 ms; below libfranka's 8500 rad/s3
            // times four for a tool that weighs grams.
            rotation: RateLimits { speed: 2.0, acceleration: 100.0, jerk: 20_000.0 },
            jaw_rate_max: 4.0, // chosen: open to closed in half a second
            coast_max: Mismatch { distance_m: 0.5e-3, angle_rad: deg(0.5) }, // design.md
            blend_max: Mismatch { distance_m: 1e-3, angle_rad: deg(2.0) }, // design.md; dVRK 2 deg
            align_max: Mismatch { distance_m: 5e-3, angle_rad: ALIGN_MAX_RAD }, // safety.md 4.3
            anchor_max: Mismatch { distance_m: 20e-3, angle_rad: deg(5.0) }, // design.md
            // I24. The simulated arm stays within 3 um at 100 mm/s (measured); a 45 Hz drive
            // without feed-forward lags 0.7 mm there, so 1 mm is a fault in either.
            tracking_error_max: 1e-3,
            hold_error_max: 2e-3, // design.md
        },
        joints: JointLimits {
            // dVRK PSM.json and LARGE_NEEDLE_DRIVER_400006.json; kinematics.md. The insertion's
            // lower end, chosen: 30 mm keeps the wrist outside the cannula.
            low: [-1.588, -0.925_025, 0.030, -4.537_86, -1.396_26, -1.396_26],
            high: [1.588, 0.925_025, 0.240, 4.537_86, 1.396_26, 1.396_26],
            speed_max: JOINT_SPEED,
            acceleration_max: JOINT_ACCELERATION,
            jerk_max: JOINT_JERK,
            // Chosen: no pose that a hand asks for presses on a stop. What it takes to stop before
            // the limit itself does not rest on it: near the remote centre 1.5 mm of tip are more
            // than 0.05 rad. `follower` proves, before each step there, that the arm can stop.
            margin: [0.05, 0.05, 0.003, 0.05, 0.05, 0.05],
            jaw: [-0.698_132, 1.396_26],
        },
        volume: Volume {
            // Chosen: a task box about where the arms begin, 160 by 160 by 140 mm, above and below
            // which the depth guard rounds it off: the FLS pegboard with its clearance fits in.
            low: Vector3::new(-0.08, -0.08, -0.19),
            high: Vector3::new(0.08, 0.08, -0.05),
            // Chosen: 60 mm keep the whole wrist well out of the cannula and the yaw lever above
            // 50 mm; 200 mm end where the shaft is still inside its range at any wrist pose.
            depth: [0.06, 0.20],
        },
    };

    /// The profile for public 5G over thousands of kilometres: more delay, fewer stops.
    pub const PUBLIC_5G: Self = Self {
        stages: StageLimits {
            // 264 ms (Zheng 2020) and 320 ms (Beijing-Sanya, 108 animals) in all were judged
            // acceptable, cameras included; the buffer and its jitter need the rest. Chosen.
            loop_age_warn: Micros::from_millis(300),
            loop_age_max: Micros::from_millis(450),
            // `brake_after` stays at 10 ms. 20 ms, the cap, would save a third of the stops on
            // Beijing-Sanya (48 an hour against 31, three seeds of an hour each); one in more than
            // a minute is rare enough, and the arm stands sooner.
            ..Self::DEFAULT.stages
        },
        playout: PlayoutLimits {
            delay_max: Micros::from_millis(100), // design.md: up to 100 ms on public 5G
            lateness: 1e-4, // chosen: every stop costs more than 10 ms of delay
        },
        ..Self::DEFAULT
    };

    /// The profile for satellite links: for drills and low-risk work only, and slow.
    pub const SATELLITE: Self = Self {
        stages: StageLimits {
            // Toumai over a geostationary satellite: 632 ms; Xu 2014: 600 to 700 ms low-risk only.
            loop_age_warn: Micros::from_millis(700),
            loop_age_max: Micros::from_millis(1_000),
            ..Self::PUBLIC_5G.stages
        },
        motion: MotionLimits {
            // Chosen: what is seen is 0.7 s old; 20 mm/s keeps that under 14 mm of travel.
            tip: RateLimits { speed: 0.02, ..Self::DEFAULT.motion.tip },
            rotation: RateLimits { speed: 0.5, ..Self::DEFAULT.motion.rotation },
            ..Self::DEFAULT.motion
        },
        ..Self::PUBLIC_5G
    };

    /// What the leader is told of it at welcome.
    pub const fn terms(&self) -> Terms {
        Terms {
            tip_speed_max: self.motion.tip.speed,
            tip_rate_max: self.motion.rotation.speed,
            blend_max: self.motion.blend_max,
            anchor_max: self.motion.anchor_max,
            loop_age_max: self.stages.loop_age_max,
            loop_age_warn: self.stages.loop_age_warn,
            latch_after: self.stages.latch_after,
        }
    }

    /// Checks the relations between the numbers and the hard caps.
    ///
    /// Errors: the first rule that the profile breaks.
    pub fn validate(&self) -> Result<(), ProfileError> {
        self.validate_stages()?;
        self.validate_motion()?;
        self.validate_joints()
    }

    /// Whether the tip moves within, and the joints may do at least, what the shipped profiles say:
    /// only then is it known that in open country (`limits`) no joint limit is near. In any other
    /// profile every step is proved, everywhere.
    pub fn has_open_country(&self) -> bool {
        let (m, d) = (&self.motion, &Self::DEFAULT.motion);
        // Softer braking would lengthen the stop, harder would load the joints more.
        let same = |a: f64, b: f64| (a - b).abs() <= 0.0;
        let like = |a: &RateLimits, b: &RateLimits| {
            a.speed <= b.speed && same(a.acceleration, b.acceleration) && same(a.jerk, b.jerk)
        };
        let (j, e) = (&self.joints, &Self::DEFAULT.joints);
        let rates = [j.speed_max, j.acceleration_max, j.jerk_max];
        let least = [e.speed_max, e.acceleration_max, e.jerk_max];
        like(&m.tip, &d.tip)
            && like(&m.rotation, &d.rotation)
            && rates.iter().flatten().zip(least.iter().flatten()).all(|(rate, least)| rate >= least)
    }

    fn validate_stages(&self) -> Result<(), ProfileError> {
        use ProfileError as E;
        let s = &self.stages;
        rule(TICK <= s.coast_after && s.coast_after < s.brake_after, E::CoastBeforeBrake)?;
        rule(s.brake_after <= BRAKE_AFTER_CAP, E::BrakeCap)?;
        rule(s.energy_off_after <= Micros::from_millis(20), E::EnergyCap)?;
        rule(s.brake_after < s.hold_after && s.hold_after < s.latch_after, E::HoldBetween)?;
        rule(s.latch_after <= LATCH_AFTER_CAP, E::LatchCap)?;
        rule(
            s.latch_after < s.bedside_after && s.bedside_after <= Micros::from_secs(10),
            E::BedsideCap,
        )?;
        rule(s.loop_age_warn < s.loop_age_max && s.loop_age_max <= LOOP_AGE_CAP, E::LoopAgeCap)?;
        rule(s.rejoin_good >= Micros::from_millis(100), E::RejoinFloor)?;
        rule(s.reengage_good >= Micros::from_millis(500), E::ReengageFloor)?;
        rule(s.blend_over >= Micros::from_millis(50), E::BlendFloor)?;
        rule(s.stall_ticks > 0 && s.stall_ticks <= s.missed_ticks_max, E::StallOrder)?;
        rule(s.missed_ticks_max <= 250, E::MissedCap)?;
        rule(self.playout.delay_max <= PLAYOUT_CAP, E::PlayoutCap)?;
        rule(self.playout.lateness >= 1e-5 && self.playout.lateness <= 0.1, E::Lateness)
    }

    fn validate_motion(&self) -> Result<(), ProfileError> {
        use ProfileError as E;
        let m = &self.motion;
        for r in [m.tip, m.rotation] {
            let positive = r.speed > 0.0 && r.acceleration > 0.0 && r.jerk > 0.0;
            rule(positive && (r.speed + r.acceleration + r.jerk).is_finite(), E::MotionPositive)?;
            // The jerk must reach full braking within ten ticks, or the stop is no stop.
            rule(r.acceleration / r.jerk <= 0.010, E::JerkTooSoft)?;
        }
        rule(m.tip.speed <= TIP_SPEED_CAP, E::SpeedCap)?;
        for (r, cap) in [(m.tip, TIP_CAP), (m.rotation, ROTATION_CAP)] {
            let within = r.speed <= cap.speed && r.acceleration <= cap.acceleration;
            rule(within && r.jerk <= cap.jerk, E::MotionCap)?;
        }
        rule(m.tip.acceleration >= TIP_BRAKE_FLOOR, E::BrakeFloor)?;
        rule(m.jaw_rate_max > 0.0 && m.jaw_rate_max <= 20.0, E::MotionPositive)?;
        let coast = Mismatch { distance_m: 0.5e-3, angle_rad: deg(0.5) + 1e-12 };
        rule(m.coast_max.within(coast), E::CoastCap)?;
        rule(m.blend_max.within(m.align_max), E::MismatchOrder)?;
        rule(m.align_max.within(m.anchor_max), E::MismatchOrder)?;
        let anchor = Mismatch { distance_m: 20e-3, angle_rad: deg(5.0) + 1e-12 };
        rule(m.anchor_max.within(anchor), E::AnchorCap)?;
        rule(m.hold_error_max > 0.0 && m.hold_error_max <= 2e-3, E::HoldErrorCap)?;
        rule(m.tracking_error_max > 0.0 && m.tracking_error_max <= 1e-3, E::TrackingErrorCap)
    }

    fn validate_joints(&self) -> Result<(), ProfileError> {
        use ProfileError as E;
        let j = &self.joints;
        for ((low, high), margin) in j.low.iter().zip(j.high).zip(j.margin) {
            rule((low + high + margin).is_finite(), E::JointRange)?;
            rule(margin >= 0.0 && low + 2.0 * margin < high, E::JointRange)?;
        }
        // What the arm itself can do: no file makes it longer, faster or stronger.
        let arm = &Self::DEFAULT.joints;
        for ((low, high), (least, most)) in
            j.low.iter().zip(j.high).zip(arm.low.iter().zip(arm.high))
        {
            rule(low >= least && high <= most, E::JointCap)?;
        }
        let rates = [j.speed_max, j.acceleration_max, j.jerk_max];
        let caps = [arm.speed_max, arm.acceleration_max, arm.jerk_max];
        for (rate, cap) in rates.iter().flatten().zip(caps.iter().flatten()) {
            rule(rate.is_finite() && *rate > 0.0, E::JointRates)?;
            rule(rate <= cap, E::JointCap)?;
        }
        let [jaw_low, jaw_high] = j.jaw;
        rule(jaw_low.is_finite() && jaw_high.is_finite() && jaw_low < jaw_high, E::JointRange)?;
        let [closed, open] = arm.jaw;
        rule(jaw_low >= closed && jaw_high <= open, E::JointCap)?;
        let inside = self.volume.low.iter().zip(self.volume.high.iter());
        for (low, high) in inside {
            rule(low.is_finite() && high.is_finite() && low < high, E::VolumeRange)?;
        }
        let [least, most] = self.volume.depth;
        rule(least < most, E::VolumeRange)?;
        let [shallow, deep] = Self::DEFAULT.volume.depth;
        rule(least >= shallow && most <= deep, E::DepthCap)
    }
}

const fn rule(holds: bool, error: ProfileError) -> Result<(), ProfileError> {
    if holds { Ok(()) } else { Err(error) }
}

/// Which rule a profile breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// `coast_after` must be at least one tick and shorter than `brake_after`.
    CoastBeforeBrake,
    /// `brake_after` may be 20 ms at most.
    BrakeCap,
    /// `energy_off_after` may be 20 ms at most.
    EnergyCap,
    /// `hold_after` must lie between `brake_after` and `latch_after`.
    HoldBetween,
    /// `latch_after` may be 500 ms at most.
    LatchCap,
    /// `bedside_after` must lie between `latch_after` and 10 s.
    BedsideCap,
    /// `loop_age_warn` must be below `loop_age_max`, and that at most 1000 ms.
    LoopAgeCap,
    /// `rejoin_good` must be at least 100 ms.
    RejoinFloor,
    /// `reengage_good` must be at least 500 ms.
    ReengageFloor,
    /// `blend_over` must be at least 50 ms.
    BlendFloor,
    /// `stall_ticks` must be at least 1 and at most `missed_ticks_max`.
    StallOrder,
    /// `missed_ticks_max` may be 250 at most.
    MissedCap,
    /// `delay_max` may be 100 ms at most.
    PlayoutCap,
    /// `lateness` must lie between 1e-5 and 0.1.
    Lateness,
    /// Speeds, accelerations and jerks must be positive and finite.
    MotionPositive,
    /// The jerk must allow full acceleration within 10 ms.
    JerkTooSoft,
    /// The tip may be told at most 0.1 m/s.
    SpeedCap,
    /// Speed, acceleration or jerk of the tip or its rotation is above [`TIP_CAP`] or
    /// [`ROTATION_CAP`].
    MotionCap,
    /// The tip must be able to brake at 2 m/s2 at least.
    BrakeFloor,
    /// `coast_max` may be 0.5 mm and 0.5 deg at most.
    CoastCap,
    /// `blend_max`, `align_max` and `anchor_max` must not shrink in this order.
    MismatchOrder,
    /// `anchor_max` may be 20 mm and 5 deg at most.
    AnchorCap,
    /// `hold_error_max` must lie above 0 and may be 2 mm at most.
    HoldErrorCap,
    /// `tracking_error_max` must lie above 0 and may be 1 mm at most.
    TrackingErrorCap,
    /// Each joint's low, high and margin must be finite and leave room between.
    JointRange,
    /// Each joint's speed, acceleration and jerk must be positive and finite.
    JointRates,
    /// A joint or the jaw may go farther, faster or harder than the arm itself can.
    JointCap,
    /// The depth guard is wider than the shipped profiles': 60 to 200 mm.
    DepthCap,
    /// The volume's low corner must lie below its high corner, its least depth below its greatest.
    VolumeRange,
}

impl ProfileError {
    /// The rule, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::CoastBeforeBrake => "coast_after must be >= 1 ms and shorter than brake_after",
            Self::BrakeCap => "brake_after may be 20 ms at most",
            Self::EnergyCap => "energy_off_after may be 20 ms at most",
            Self::HoldBetween => "hold_after must lie between brake_after and latch_after",
            Self::LatchCap => "latch_after may be 500 ms at most",
            Self::BedsideCap => "bedside_after must lie between latch_after and 10 s",
            Self::LoopAgeCap => "loop_age_warn must be below loop_age_max, that at most 1000 ms",
            Self::RejoinFloor => "rejoin_good must be at least 100 ms",
            Self::ReengageFloor => "reengage_good must be at least 500 ms",
            Self::BlendFloor => "blend_over must be at least 50 ms",
            Self::StallOrder => "stall_ticks must be >= 1 and at most missed_ticks_max",
            Self::MissedCap => "missed_ticks_max may be 250 at most",
            Self::PlayoutCap => "playout delay_max may be 100 ms at most",
            Self::Lateness => "playout lateness must lie between 1e-5 and 0.1",
            Self::MotionPositive => "speeds, accelerations and jerks must be positive and finite",
            Self::JerkTooSoft => "the jerk must allow full acceleration within 10 ms",
            Self::SpeedCap => "the tip speed may be 0.1 m/s at most",
            Self::MotionCap => {
                "the tip may be told at most 10 m/s2 and 4000 m/s3, 4 rad/s, 200 rad/s2, 4e4 rad/s3"
            }
            Self::JointCap => "no joint or jaw may go farther, faster or harder than the arm can",
            Self::DepthCap => "the depth guard may be 60 mm at least and 200 mm at most",
            Self::BrakeFloor => "the tip acceleration must be 2 m/s2 at least",
            Self::CoastCap => "coast_max may be 0.5 mm and 0.5 deg at most",
            Self::MismatchOrder => "blend_max, align_max, anchor_max must not shrink in this order",
            Self::AnchorCap => "anchor_max may be 20 mm and 5 deg at most",
            Self::HoldErrorCap => "hold_error_max must lie above 0 and may be 2 mm at most",
            Self::TrackingErrorCap => "tracking_error_max must lie above 0 and be 1 mm at most",
            Self::JointRates => "each joint's speed, acceleration, jerk must be positive, finite",
            Self::JointRange => "each joint needs finite low < high with room for its margin",
            Self::VolumeRange => "the volume's lows must lie below its highs, its depths likewise",
        }
    }
}

// Limits that are related say so.
const _: () = {
    let s = Profile::DEFAULT.stages;
    assert!(s.coast_after.shorter_than(s.brake_after));
    assert!(s.brake_after.shorter_than(s.energy_off_after));
    assert!(s.brake_after.shorter_than(s.hold_after));
    assert!(s.hold_after.shorter_than(s.latch_after));
    assert!(s.latch_after.shorter_than(s.bedside_after));
    assert!(s.rejoin_good.shorter_than(s.reengage_good));
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_profiles_are_valid() {
        for profile in [Profile::DEFAULT, Profile::PUBLIC_5G, Profile::SATELLITE] {
            assert_eq!(profile.validate(), Ok(()));
        }
    }

    #[test]
    fn a_cap_cannot_be_passed() {
        let mut p = Profile::DEFAULT;
        p.stages.brake_after = Micros::from_micros(20_001);
        assert_eq!(p.validate(), Err(ProfileError::BrakeCap));
        let mut p = Profile::DEFAULT;
        p.motion.tip.speed = f64::NAN;
        assert_eq!(p.validate(), Err(ProfileError::MotionPositive));
        let mut p = Profile::DEFAULT;
        p.motion.anchor_max.angle_rad = 1.0;
        assert_eq!(p.validate(), Err(ProfileError::AnchorCap));
        type Spoil = fn(&mut Profile);
        let broken: [(Spoil, ProfileError); 9] = [
            (
                |p| p.motion.rotation = RateLimits { speed: 2.0, acceleration: 201.0, jerk: 3e4 },
                ProfileError::MotionCap,
            ),
            (|p| p.motion.tip.jerk = 4_100.0, ProfileError::MotionCap),
            (|p| p.motion.rotation.speed = 4.1, ProfileError::MotionCap),
            (|p| p.joints.low[2] = 0.0, ProfileError::JointCap),
            (|p| p.joints.high[2] = 2.0, ProfileError::JointCap),
            (|p| p.joints.speed_max[0] = 1_000.0, ProfileError::JointCap),
            (|p| p.joints.jerk_max[5] *= 1.01, ProfileError::JointCap),
            (|p| p.joints.jaw[1] = 1.5, ProfileError::JointCap),
            (|p| p.volume.depth[0] = 0.0, ProfileError::DepthCap),
        ];
        for (number, (spoil, error)) in broken.into_iter().enumerate() {
            let mut p = Profile::DEFAULT;
            spoil(&mut p);
            assert_eq!(p.validate(), Err(error), "{number}");
        }
    }
}
