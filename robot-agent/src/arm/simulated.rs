//! A PSM that does not exist: seven motors with inertia, saturation, brakes and a dead-man.
//!
//! Knows: how such an arm's drive and motors move in time. Does not know: where its tip is, which
//! clock is real (it is handed `now`), or who writes to it.
//!
//! The drive is a digital servo at 4 kHz. A target is approached in a straight line over one tick,
//! with the velocity and acceleration of that line fed forward, so that at the next tick the joint
//! is where it was told to be. Left out on purpose: gravity (the PSM is counterbalanced), dry
//! friction and coupling between joints; with them a stop would not be exact.
//!
//! Deterministic: steps lie on a fixed grid of the robot's clock, so the same calls give the same
//! numbers, and how often `read` is called changes nothing.

use super::{Arm, ArmDrive, ArmReading, DriveFault};
use longhand_protocol::geometry::JointPositions;
use longhand_protocol::units::{Instant, Micros, Robot, TICK};

/// The drive's own dead-man. Source: dVRK's FPGA watchdog, 0x1680 * 5.208 us = 30 ms, latched
/// (safety.md section 4).
pub const DEAD_MAN: Micros = Micros::from_millis(30);

/// One step of the drive. chosen: four to a tick, 89 to a period of the 45 Hz servo; a virtual tick
/// of two arms then costs 0.4 us (measured), which the simulator's speed rests on.
const STEP: Micros = Micros::from_micros(250);
/// [`STEP`] in seconds, and [`TICK`] as a rate.
const STEP_S: f64 = STEP.as_secs_f64();
const TICKS_PER_S: f64 = 1.0 / TICK.as_secs_f64();
const _: () = assert!(STEP.as_micros() * 4 == TICK.as_micros());

/// Natural frequency of the position servo, radians per second: 45 Hz, critically damped.
/// chosen: stiff as a dVRK arm under PD, and above the 10 Hz that a hand can do.
const STIFFNESS: f64 = 45.0 * 2.0 * core::f64::consts::PI;

/// How much of a line's acceleration is fed forward.
/// chosen: measured, the share with the least overshoot. At 0.6 a step below saturation overshoots
/// 5 % and a 100 mm/s swing is followed within 2.5 um; at 1: 22 %, 0.6 um; at 0: 13 %, 7 um.
const ACCEL_SHARE: f64 = 0.6;

/// So long after a target was written its line is followed no further.
/// chosen: a tick past its end. Timer jitter then does not shake the arm, and a dead loop moves it
/// by one tick's way at most.
const OVERDUE: Micros = TICK.saturating_mul(2);

/// One call integrates at most this much. chosen: after the dead-man (30 ms) an arm stands still in
/// well under a second, and nothing that stands still needs integrating.
const CATCH_UP_MAX: u64 = 4_000;

/// Six joints and the jaw.
const MOTORS: usize = 7;

/// One motor with its link. Units per joint: radians and newton metres, or metres and newtons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotorData {
    /// Most the motor, and equally its brake, can give.
    pub effort_max: f64,
    /// Inertia seen by the motor.
    pub inertia: f64,
    /// Viscous friction.
    pub damping: f64,
    /// The lower mechanical stop.
    pub low: f64,
    /// The upper mechanical stop.
    pub high: f64,
}

/// PSM Classic with a Large Needle Driver: six joints, then the jaw.
///
/// Source: efforts and stops kinematics.md (`PSM.json`, `LARGE_NEEDLE_DRIVER_400006.json`).
/// Inertia chosen: 5 m/s2 at the tip, the hardest stop of safety.md, 0.1 m past the RCM takes half
/// of what yaw and pitch can give; roll, wrist and jaw reach 500 rad/s2, the insertion 25 m/s2.
/// Damping chosen: at 1 rad/s or 0.1 m/s a tenth of the motor's effort, or less.
pub const PSM_CLASSIC: [MotorData; 7] = [
    motor(3.316_101, 0.03, 0.3, -1.588, 1.588),
    motor(3.316_101, 0.03, 0.3, -0.925_025, 0.925_025),
    motor(9.877_926, 0.4, 4.0, 0.0, 0.24),
    motor(0.33, 0.000_66, 0.01, -4.537_86, 4.537_86),
    motor(0.25, 0.000_5, 0.01, -1.396_26, 1.396_26),
    motor(0.20, 0.000_4, 0.01, -1.396_26, 1.396_26),
    motor(0.16, 0.000_32, 0.01, -0.698_132, 1.396_26),
];

const fn motor(effort_max: f64, inertia: f64, damping: f64, low: f64, high: f64) -> MotorData {
    MotorData { effort_max, inertia, damping, low, high }
}

/// A simulated PSM.
#[derive(Clone, Debug)]
pub struct SimulatedPsm {
    motors: [Motor; MOTORS],
    power: Power,
    energy: bool,
    fault: Option<DriveFault>,
    /// How far the motion has been integrated.
    clock: Instant<Robot>,
    written_at: Instant<Robot>,
    dead_man: Micros,
    told: Option<JointPositions>,
    /// The last step changed nothing, so that no more will, until somebody does.
    settled: bool,
}

impl SimulatedPsm {
    /// An arm at rest at `joints` and `jaw` (radians, metres), its power off, its brakes on.
    ///
    /// Positions outside the mechanical stops are brought to them; one that is not a number too.
    pub fn new(
        data: &[MotorData; 7],
        joints: &JointPositions,
        jaw: f64,
        now: Instant<Robot>,
    ) -> Self {
        let mut places = seven(joints, jaw).into_iter();
        let motors = data.map(|data| Motor::at_rest(data, places.next().unwrap_or(0.0)));
        let clock = Instant::from_micros(now.as_micros() / STEP.as_micros() * STEP.as_micros());
        Self {
            motors,
            power: Power::Braked,
            energy: false,
            fault: None,
            clock,
            written_at: now,
            dead_man: DEAD_MAN,
            told: None,
            settled: false,
        }
    }

    /// The same arm with another dead-man: a machine that is not real-time stalls for longer than
    /// [`DEAD_MAN`], and a simulated arm hurts nobody.
    #[must_use]
    pub const fn with_dead_man(mut self, dead_man: Micros) -> Self {
        self.dead_man = dead_man;
        self
    }

    /// Makes the amplifier fail, as a fault to inject. Latched like any other.
    pub fn fail(&mut self) {
        self.trip(DriveFault::Amplifier);
    }

    /// Pushes on the joints from outside, until told otherwise: newton metres, newtons.
    ///
    /// Against the servo the arm gives way a little; against the brake only beyond its effort.
    pub fn push(&mut self, efforts: &JointPositions) {
        self.settled = false;
        for (motor, effort) in self.motors.iter_mut().zip(efforts.0) {
            motor.push(effort);
        }
    }

    /// Brings the motion up to `now`, in whole steps. Time that runs backwards changes nothing.
    fn advance(&mut self, now: Instant<Robot>) {
        let due = now.since(self.clock).as_micros() / STEP.as_micros();
        for _ in 0..due.min(CATCH_UP_MAX) {
            self.clock = self.clock.after(STEP);
            let silent = self.clock.since(self.written_at);
            if self.power == Power::On && silent > self.dead_man {
                self.trip(DriveFault::DeadMan);
            }
            if self.power == Power::On && silent > OVERDUE {
                self.change(Motor::park);
            }
            if !self.settled {
                self.settled = true;
                match self.power {
                    Power::On => self.change(Motor::step_servo),
                    Power::Braked => self.change(Motor::step_brake),
                }
            }
        }
        let skipped = due.saturating_sub(CATCH_UP_MAX);
        self.clock = self.clock.after(STEP.saturating_mul(skipped));
    }

    /// Does this to every motor; whatever it changes may go on changing.
    fn change(&mut self, mut change: impl FnMut(&mut Motor)) {
        for motor in &mut self.motors {
            let before = *motor;
            change(motor);
            self.settled &= motor.is_as(&before);
        }
    }

    /// Stops by itself. The first fault is kept: it is the cause.
    fn trip(&mut self, fault: DriveFault) {
        self.fault = self.fault.or(Some(fault));
        self.stop();
    }

    fn stop(&mut self) {
        self.settled &= self.power == Power::Braked;
        self.power = Power::Braked;
        self.energy = false;
        self.told = None;
    }

    fn aim(&mut self, joints: &JointPositions, jaw: f64, energy: bool) {
        let targets = seven(joints, jaw);
        if !targets.iter().all(|q| q.is_finite()) {
            return self.trip(DriveFault::BadTarget);
        }
        if self.power != Power::On {
            self.settled = false;
            self.motors.iter_mut().for_each(Motor::release);
        }
        let mut targets = targets.into_iter();
        self.change(|motor| motor.aim(targets.next().unwrap_or(motor.target)));
        self.power = Power::On;
        self.energy = energy;
        self.told = Some(*joints);
    }
}

impl Arm for SimulatedPsm {
    fn read(&mut self, now: Instant<Robot>) -> ArmReading {
        self.advance(now);
        let [yaw, pitch, insertion, roll, wrist_pitch, wrist_yaw, jaw] =
            self.motors.each_ref().map(|motor| motor.position);
        ArmReading {
            measured_js: JointPositions([yaw, pitch, insertion, roll, wrist_pitch, wrist_yaw]),
            measured_jaw: jaw,
            energy: self.energy,
            fault: self.fault,
            told_js: self.told,
        }
    }

    fn write(&mut self, now: Instant<Robot>, drive: &ArmDrive) {
        self.advance(now);
        match (drive, self.fault) {
            (ArmDrive::Off, _) => {
                self.fault = None;
                self.stop();
            }
            (ArmDrive::Brake, _) | (ArmDrive::Servo { .. }, Some(_)) => self.stop(),
            (ArmDrive::Servo { joints, jaw, energy }, None) => self.aim(joints, *jaw, *energy),
        }
        // The step that `now` lies in, so that a line begins on the grid.
        self.written_at = self.clock;
    }
}

/// What the amplifiers do. The brakes are held open by power: without it they close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    Braked,
}

/// One motor: where it is, and the line it follows.
///
/// All efforts are kept per inertia, as accelerations: a step then divides by nothing.
#[derive(Clone, Copy, Debug)]
struct Motor {
    data: MotorData,
    accel_max: f64,
    slowing: f64,
    outside: f64,
    position: f64,
    velocity: f64,
    /// Where the line is now; how fast it goes; how its speed changed from the line before.
    reference: f64,
    reference_speed: f64,
    reference_accel: f64,
    target: f64,
}

impl Motor {
    fn at_rest(data: MotorData, position: f64) -> Self {
        let position = if position.is_nan() { data.low } else { position };
        let position = position.max(data.low).min(data.high);
        Self {
            data,
            accel_max: data.effort_max / data.inertia,
            slowing: data.damping / data.inertia,
            outside: 0.0,
            position,
            velocity: 0.0,
            reference: position,
            reference_speed: 0.0,
            reference_accel: 0.0,
            target: position,
        }
    }

    /// Whether nothing that a step or a word can change is other than it was, to the last bit.
    fn is_as(&self, before: &Self) -> bool {
        let pairs = [
            (self.position, before.position),
            (self.velocity, before.velocity),
            (self.reference, before.reference),
            (self.reference_speed, before.reference_speed),
            (self.reference_accel, before.reference_accel),
            (self.target, before.target),
        ];
        // One sum of differences and one test: a comparison of arrays is a call of its own.
        pairs.iter().fold(0, |differs, (is, was)| differs | (is.to_bits() ^ was.to_bits())) == 0
    }

    /// Something outside pushes.
    const fn push(&mut self, effort: f64) {
        self.outside = if effort.is_finite() { effort / self.data.inertia } else { 0.0 };
    }

    /// The brake lets go: the line begins where the joint is, and as fast.
    const fn release(&mut self) {
        self.reference = self.position;
        self.reference_speed = self.velocity;
    }

    /// Lays the line from where it is now to `target`, one tick long.
    const fn aim(&mut self, target: f64) {
        let speed = (target - self.reference) * TICKS_PER_S;
        let change = (speed - self.reference_speed) * TICKS_PER_S;
        self.reference_accel = ACCEL_SHARE * change;
        self.reference_speed = speed;
        self.target = target;
    }

    /// The next target is overdue: the line ends at the last.
    const fn park(&mut self) {
        self.reference = self.target;
        self.reference_speed = 0.0;
        self.reference_accel = 0.0;
    }

    /// One step under power.
    fn step_servo(&mut self) {
        let error = self.reference - self.position;
        // Far from the line the approach is slowed to what half the effort can stop, so that a step
        // of any size does not overshoot; near it this is a critically damped PD.
        let mut approach = 0.5 * STIFFNESS * error;
        let stoppable = self.accel_max * error.abs();
        if approach * approach > stoppable {
            approach = stoppable.sqrt().copysign(error);
        }
        let lag = self.reference_speed + approach - self.velocity;
        let friction = self.slowing * self.reference_speed;
        let asked = self.reference_accel + 2.0 * STIFFNESS * lag + friction;
        let given = within(-self.accel_max, asked, self.accel_max);
        self.reference += self.reference_speed * STEP_S;
        let accel = given + self.outside - self.slowing * self.velocity;
        self.go(self.velocity + accel * STEP_S);
    }

    /// One step under the brake: it takes away what speed it can, and then holds.
    fn step_brake(&mut self) {
        let free = self.velocity + self.outside * STEP_S;
        let left = (free.abs() - self.accel_max * STEP_S).max(0.0);
        self.go(left.copysign(free));
    }

    /// Moves one step, its speed changing evenly to `velocity`, up to the mechanical stops.
    const fn go(&mut self, velocity: f64) {
        let position = self.position + 0.5 * STEP_S * (self.velocity + velocity);
        let stopped = within(self.data.low, position, self.data.high);
        // Any difference at all means that the stop took the motion.
        self.velocity = if (position - stopped).abs() > 0.0 { 0.0 } else { velocity };
        self.position = stopped;
    }
}

/// `value` brought to the nearer bound. Two instructions; `f64::max` spends more to sort out NaN,
/// which never comes here.
const fn within(low: f64, value: f64, high: f64) -> f64 {
    let raised = if value > low { value } else { low };
    if raised < high { raised } else { high }
}

/// The joints and the jaw in motor order.
const fn seven(joints: &JointPositions, jaw: f64) -> [f64; MOTORS] {
    let JointPositions([yaw, pitch, insertion, roll, wrist_pitch, wrist_yaw]) = *joints;
    [yaw, pitch, insertion, roll, wrist_pitch, wrist_yaw, jaw]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_S: f64 = TICK.as_secs_f64();
    const HOME: JointPositions = JointPositions([0.0, 0.0, 0.12, 0.0, 0.0, 0.0]);

    fn at(us: u64) -> Instant<Robot> {
        Instant::from_micros(us)
    }

    fn arm() -> SimulatedPsm {
        SimulatedPsm::new(&PSM_CLASSIC, &HOME, 0.0, at(0))
    }

    fn servo(joints: JointPositions, jaw: f64) -> ArmDrive {
        ArmDrive::Servo { joints, jaw, energy: true }
    }

    /// Writes the same every tick from `from` to `to`, noting each reading before its write.
    fn hold(arm: &mut SimulatedPsm, drive: &ArmDrive, from: u64, to: u64) -> Vec<[f64; 7]> {
        let mut path = Vec::new();
        for tick in from..to {
            let reading = arm.read(at(tick * 1_000));
            path.push(seven(&reading.measured_js, reading.measured_jaw));
            arm.write(at(tick * 1_000), drive);
        }
        path
    }

    fn column(path: &[[f64; 7]], motor: usize) -> impl Iterator<Item = f64> {
        path.iter().map(move |row| row[motor])
    }

    /// [`HOME`] and a closed jaw, each moved by `step` of its own range.
    fn stepped(step: f64) -> [f64; 7] {
        let mut target = seven(&HOME, 0.0);
        for (place, data) in target.iter_mut().zip(PSM_CLASSIC) {
            *place += step * (data.high - data.low);
        }
        target
    }

    fn drive_to([q1, q2, q3, q4, q5, q6, jaw]: [f64; 7]) -> ArmDrive {
        servo(JointPositions([q1, q2, q3, q4, q5, q6]), jaw)
    }

    #[test]
    fn step_of_any_size_settles_exactly_with_little_overshoot() {
        for step in [1e-6, 0.001, 0.01, 0.1, 0.45] {
            let mut arm = arm();
            let target = stepped(step);
            let path = hold(&mut arm, &drive_to(target), 0, 1_500);
            for (motor, start) in seven(&HOME, 0.0).into_iter().enumerate() {
                let size = target[motor] - start;
                let peak = column(&path, motor).map(|q| (q - start) / size).fold(0.0, f64::max);
                let end = path[1_499][motor];
                assert!(peak <= 1.06, "step {step}, motor {motor}: overshoot {peak}");
                assert!((end - target[motor]).abs() < 1e-9, "step {step}, motor {motor}: {end}");
            }
        }
    }

    /// What is not stepped because nothing would change is, to the last bit, where stepping it
    /// would have left it; and it wakes up for a target, a push, a brake and a silence.
    #[test]
    fn settled_arm_is_where_stepping_would_leave_it() {
        let (mut lazy, mut stepped_on) = (arm(), arm());
        let far = drive_to(stepped(0.1));
        let words = [servo(HOME, 0.0), far, far, ArmDrive::Brake, far, ArmDrive::Off, far];
        let (mut settled, mut tick) = (0, 0);
        for (turn, word) in words.iter().enumerate() {
            let push = if turn == 2 { 0.1 } else { 0.0 };
            for arm in [&mut lazy, &mut stepped_on] {
                arm.push(&JointPositions([push; 6]));
            }
            for _ in 0..1_500 {
                stepped_on.settled = false;
                settled += u32::from(lazy.settled);
                let readings = [&mut lazy, &mut stepped_on].map(|arm| {
                    let reading = arm.read(at(tick * 1_000));
                    arm.write(at(tick * 1_000), word);
                    seven(&reading.measured_js, reading.measured_jaw).map(f64::to_bits)
                });
                assert_eq!(readings[0], readings[1], "turn {turn}, tick {tick}");
                tick += 1;
            }
            // Nobody writes: the line is parked, then the dead-man stops it.
            tick += 40;
        }
        assert!(settled > 2_000, "settled in {settled} of {tick} ticks");
    }

    #[test]
    fn small_step_is_there_in_thirty_milliseconds() {
        // A critically damped 45 Hz servo is within 0.2 % after 30 ms: (1 + wt) exp(-wt), wt = 8.5.
        let mut arm = arm();
        let target = stepped(1e-4);
        let path = hold(&mut arm, &drive_to(target), 0, 31);
        for (motor, start) in seven(&HOME, 0.0).into_iter().enumerate() {
            let left = (path[30][motor] - target[motor]) / (target[motor] - start);
            assert!(left.abs() < 0.005, "motor {motor}: {left}");
        }
    }

    #[test]
    fn no_motor_ever_gives_more_than_it_has() {
        let mut arm = arm();
        let path = hold(&mut arm, &drive_to(stepped(0.45)), 0, 500);
        for (motor, data) in PSM_CLASSIC.into_iter().enumerate() {
            // Friction helps to slow down, by its share at the fastest speed.
            let speeds: Vec<f64> =
                path.windows(2).map(|w| (w[1][motor] - w[0][motor]) / TICK_S).collect();
            let fastest = speeds.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            let most = (data.effort_max + data.damping * fastest) / data.inertia;
            let hardest = speeds.windows(2).map(|w| (w[1] - w[0]).abs() / TICK_S);
            let hardest = hardest.fold(0.0, f64::max);
            assert!(hardest <= most * 1.000_001, "motor {motor}: {hardest} of {most}");
            assert!(hardest >= 0.9 * data.effort_max / data.inertia, "motor {motor} saturates");
        }
    }

    #[test]
    fn smooth_motion_is_followed_within_microns() {
        // 100 mm/s at 1 Hz along the shaft, and the same at 0.1 m depth in yaw.
        let mut arm = arm();
        let (mut told, mut worst) = (HOME, 0.0_f64);
        for tick in 0..3_000_u32 {
            let now = at(u64::from(tick) * 1_000);
            let JointPositions([yaw, _, insertion, ..]) = arm.read(now).measured_js;
            worst = worst.max((insertion - told.0[2]).abs()).max(0.1 * (yaw - told.0[0]).abs());
            let angle = f64::from(tick) * TICK_S * 2.0 * core::f64::consts::PI;
            let off = 0.1 / (2.0 * core::f64::consts::PI) * (1.0 - angle.cos());
            told = JointPositions([10.0 * off, 0.0, 0.12 + off, 0.0, 0.0, 0.0]);
            arm.write(now, &servo(told, 0.0));
        }
        println!("worst tracking error {worst:e} m");
        assert!(worst < 5e-6, "{worst:e}");
    }

    #[test]
    fn silent_loop_trips_the_dead_man_and_brakes_to_rest() {
        // A step before, on, and after the 30 ms.
        for (silent_us, fault) in
            [(29_750, None), (30_000, None), (30_250, Some(DriveFault::DeadMan))]
        {
            let mut arm = arm();
            arm.write(at(0), &servo(HOME, 0.0));
            let reading = arm.read(at(silent_us));
            assert_eq!((reading.fault, reading.energy), (fault, fault.is_none()));
        }
        let mut arm = arm();
        // Still on its way at 10 ms, and nothing is written after.
        hold(&mut arm, &drive_to(stepped(0.4)), 0, 10);
        let moving = arm.read(at(39_000)).measured_js;
        let rest = arm.read(at(400_000));
        assert_eq!(rest.fault, Some(DriveFault::DeadMan));
        assert!(rest.measured_js != moving, "it takes a while to stop");
        assert_eq!(arm.read(at(9_000_000_000)).measured_js, rest.measured_js, "and then it stands");
    }

    #[test]
    fn dead_man_is_latched_until_power_is_off() {
        let mut arm = arm();
        arm.write(at(0), &servo(HOME, 0.0));
        let late = 50;
        let away = drive_to(stepped(0.1));
        let stood = hold(&mut arm, &away, late, late + 100);
        let gone = stood.iter().flatten().zip(stood[0].iter().cycle());
        assert!(gone.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-12, "obeys no target");
        arm.write(at(151_000), &ArmDrive::Brake);
        assert_eq!(arm.read(at(152_000)).fault, Some(DriveFault::DeadMan));
        arm.write(at(153_000), &ArmDrive::Off);
        assert_eq!(arm.read(at(153_000)).fault, None);
        let moved = hold(&mut arm, &away, 154, 200);
        assert!((moved[45][0] - moved[0][0]).abs() > 0.01);
    }

    #[test]
    fn brake_and_off_stop_at_a_finite_rate_and_cut_energy() {
        for stop in [ArmDrive::Brake, ArmDrive::Off] {
            let mut arm = arm();
            hold(&mut arm, &drive_to(stepped(0.4)), 0, 40);
            assert!(arm.read(at(40_000)).energy);
            arm.write(at(40_000), &stop);
            assert!(!arm.read(at(40_000)).energy);
            let path = hold(&mut arm, &stop, 41, 300);
            for (motor, data) in PSM_CLASSIC.into_iter().enumerate() {
                let most = data.effort_max / data.inertia;
                let speeds: Vec<f64> =
                    path.windows(2).map(|w| (w[1][motor] - w[0][motor]) / TICK_S).collect();
                let hardest = speeds.windows(2).map(|w| (w[1] - w[0]).abs() / TICK_S);
                assert!(hardest.fold(0.0, f64::max) <= most * 1.000_001, "motor {motor}");
                assert!(speeds[0].abs() > 0.0, "motor {motor} was moving");
                assert!(path[258][motor].to_bits() == path[200][motor].to_bits(), "and stands");
            }
        }
    }

    #[test]
    fn same_calls_give_the_same_numbers_however_often_it_is_read() {
        let mut once = arm();
        let mut often = arm();
        for tick in 0..200_u64 {
            let drive = drive_to(stepped(if tick < 100 { 0.1 } else { -0.05 }));
            once.write(at(tick * 1_000), &drive);
            for us in [0, 1, 249, 250, 251, 700] {
                often.read(at((tick * 1_000 + us).saturating_sub(700)));
            }
            often.write(at(tick * 1_000), &drive);
        }
        assert_eq!(once.read(at(200_000)), often.read(at(200_000)));
    }

    #[test]
    fn late_writes_do_not_shake_the_arm() {
        // 50 mm/s in a line; some writes a step of the drive late, by an irregular pattern.
        const LATE_US: [u64; 7] = [0, 240, 40, 300, 0, 260, 20];
        let mut arm = arm();
        let (mut slowest, mut fastest) = (f64::MAX, 0.0_f64);
        let mut last = None;
        for tick in 0..500_u32 {
            let us = u64::from(tick) * 1_000 + LATE_US[usize::try_from(tick).unwrap() % 7];
            let JointPositions([.., insertion, _, _, _]) = arm.read(at(us)).measured_js;
            if let (Some((then, place)), true) = (last, tick > 50) {
                let steps = u32::try_from(us / 250 - then).unwrap();
                let speed = (insertion - place) / (f64::from(steps) * STEP_S);
                slowest = slowest.min(speed);
                fastest = fastest.max(speed);
            }
            last = (us / 250 > last.map_or(0, |(then, _)| then)).then_some((us / 250, insertion));
            let off = 50e-6 * f64::from(tick);
            arm.write(at(us), &servo(JointPositions([0.0, 0.0, 0.12 + off, 0.0, 0.0, 0.0]), 0.0));
        }
        println!("{slowest} to {fastest} m/s");
        assert!(slowest > 0.04 && fastest < 0.06);
    }

    #[test]
    fn push_bends_the_servo_a_little_and_the_brake_not_at_all() {
        let mut arm = arm();
        let load = JointPositions([1.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
        hold(&mut arm, &servo(HOME, 0.0), 0, 10);
        arm.push(&load);
        hold(&mut arm, &servo(HOME, 0.0), 10, 200);
        let JointPositions([yaw, pitch, ..]) = arm.read(at(200_000)).measured_js;
        let expected = 1.0 / (0.03 * STIFFNESS * STIFFNESS);
        assert!((yaw - expected).abs() < 1e-6 && pitch.abs() < 1e-12);
        arm.write(at(200_000), &ArmDrive::Brake);
        let held = arm.read(at(300_000)).measured_js;
        assert_eq!(arm.read(at(900_000)).measured_js, held);
    }

    #[test]
    fn mechanical_stops_end_the_motion() {
        let mut arm = arm();
        let path = hold(&mut arm, &drive_to(stepped(3.0)), 0, 1_500);
        let end = path[1_499];
        assert!(end.iter().zip(PSM_CLASSIC).all(|(q, data)| (q - data.high).abs() < 1e-12));
    }

    #[test]
    fn target_that_is_no_number_brakes_and_latches() {
        for bad in [f64::NAN, f64::INFINITY] {
            for drive in
                [servo(JointPositions([0.0, 0.0, bad, 0.0, 0.0, 0.0]), 0.0), servo(HOME, bad)]
            {
                let mut arm = arm();
                arm.write(at(0), &drive);
                let reading = arm.read(at(5_000));
                assert_eq!(reading.fault, Some(DriveFault::BadTarget));
                assert_eq!(reading.measured_js, HOME);
            }
        }
    }

    #[test]
    fn failed_amplifier_brakes_and_the_first_fault_is_kept() {
        let mut arm = arm();
        arm.write(at(0), &servo(HOME, 0.0));
        arm.fail();
        let reading = arm.read(at(100_000));
        assert_eq!((reading.fault, reading.energy), (Some(DriveFault::Amplifier), false));
    }

    #[test]
    fn time_that_stands_or_runs_backwards_moves_nothing() {
        let mut arm = arm();
        hold(&mut arm, &drive_to(stepped(0.1)), 0, 10);
        let now = arm.read(at(9_000));
        assert_eq!(arm.read(at(9_000)), now);
        assert_eq!(arm.read(at(3_000)), now);
    }
}
