//! One stand-in servo: registers, a motor with inertia, and what makes it shut down.
//!
//! Knows: physics enough for a driver to be wrong about, and the rules of reading and writing. Does
//! not know: the bus, other servos, time of day.
//!
//! The mechanics are chosen, not measured: a joint as an arm of a kilogramme at 10 cm has it.

use super::Shown;
use longhand_bus::model::{Kind, Model, What};
use longhand_bus::{Id, Protocol, Span};

/// Registers beyond this address read as a range error. As far as any table here goes, and more.
const MEMORY: usize = 256;

/// Moment of inertia on each shaft, kg m^2. Chosen: 1 kg at 10 cm.
const INERTIA: f64 = 0.01;
/// Torque that the bearings take, Nm for each radian a second. Chosen.
const FRICTION: f64 = 0.02;
/// Speed asked for each radian of error, 1/s. Chosen: settles within 0.2 s.
const GAIN: f64 = 25.0;
/// How fast the motor brings the speed to what is asked, 1/s. Chosen.
const GRIP: f64 = 120.0;
/// Degrees a second at full load, and how fast they go away, 1/s. Chosen: at full load it comes
/// from 25 to 70 degrees in half a minute.
const HEATS: f64 = 2.0;
const COOLS: f64 = 0.02;
const ROOM: f64 = 25.0;
/// Full load for so long is an overload. Source: STS3215, "protection time", 200 units of 10 ms.
const OVERLOAD_S: f64 = 2.0;
/// From what load on, of the greatest. Source: STS3215, "overload torque", 80 %.
const OVERLOAD: f64 = 0.8;
/// Volts lost on the cable at full load. Chosen.
const SAG: f64 = 0.4;
/// Degrees a second of a servo that has the fault `hot`. Chosen: shut down after some seconds.
const FEVER: f64 = 15.0;

/// Bits of the hardware error status: the same in both vendors' tables.
const VOLTAGE: i64 = 0x01;
const OVERHEATED: i64 = 0x04;
const OVERLOADED: i64 = 0x20;

// Error numbers. Source: `ERRNUM_*` of ROBOTIS' SDK.
const RANGE: u8 = 4;
const LIMIT: u8 = 6;
const ACCESS: u8 = 7;

pub(super) struct Servo {
    model: &'static Model,
    memory: [u8; MEMORY],
    /// What the registers begin with when the power comes.
    kept: [u8; MEMORY],
    /// Radians from step 0 of the sensor, and radians a second.
    angle: f64,
    speed: f64,
    /// Of the greatest torque, -1 to 1.
    load: f64,
    celsius: f64,
    supply: f64,
    overloaded_s: f64,
    silent_s: f64,
    later: Option<(u16, Vec<u8>)>,
    browned_out: bool,
}

impl Servo {
    pub(super) fn new(model: &'static Model, id: u8, volts: f64, baud: u32) -> Self {
        let mut servo = Self {
            model,
            memory: [0; MEMORY],
            kept: [0; MEMORY],
            angle: std::f64::consts::PI,
            speed: 0.0,
            load: 0.0,
            celsius: ROOM,
            supply: volts,
            overloaded_s: 0.0,
            silent_s: 0.0,
            later: None,
            browned_out: false,
        };
        for register in model.registers {
            servo.set(register.what, register.first);
        }
        servo.set(What::Id, i64::from(id));
        if let Some((code, _)) = model.bauds.iter().find(|(_, known)| *known == baud) {
            servo.set(What::BaudRate, i64::from(*code));
        }
        servo.kept = servo.memory;
        servo.power_up();
        servo
    }

    pub(super) fn id(&self) -> u8 {
        u8::try_from(self.get(What::Id)).unwrap_or(0)
    }

    pub(super) fn renumber(&mut self, id: u8) {
        self.set(What::Id, i64::from(id));
        self.kept = self.memory;
    }

    pub(super) fn shown(&self) -> Shown {
        Shown {
            id: self.id(),
            position: self.get(What::PresentPosition),
            torque: self.get(What::TorqueEnable) != 0,
            celsius: self.get(What::PresentTemperature),
            error: self.get(What::HardwareError),
        }
    }

    /// As after a power cut: what is not kept begins anew, and the motor is off.
    pub(super) fn power_up(&mut self) {
        self.memory = self.kept;
        for register in self.model.registers.iter().filter(|r| r.kind == Kind::Live) {
            self.set(register.what, register.first);
        }
        self.set(What::HardwareError, 0);
        (self.overloaded_s, self.silent_s, self.later) = (0.0, 0.0, None);
        self.measure();
    }

    /// A request was on the bus, whosever it was.
    pub(super) fn hears(&mut self) {
        self.silent_s = 0.0;
    }

    pub(super) fn ping(&self) -> (u8, Vec<u8>) {
        let two = |what| self.get(what).to_le_bytes();
        let ([low, high, ..], [firmware, ..]) =
            (two(What::ModelNumber), two(What::FirmwareVersion));
        match self.model.protocol {
            Protocol::Dynamixel => (0, vec![low, high, firmware]),
            Protocol::Feetech => (0, Vec::new()),
        }
    }

    pub(super) fn read(&self, span: Span) -> Option<(u8, Vec<u8>)> {
        let from = usize::from(span.address);
        let bytes = self.memory.get(from..from.saturating_add(usize::from(span.bytes)));
        match (bytes, self.model.protocol) {
            _ if self.level() == 0 && self.model.protocol == Protocol::Dynamixel => None,
            (Some(bytes), _) => Some((0, bytes.to_vec())),
            (None, Protocol::Dynamixel) => Some((RANGE, Vec::new())),
            (None, Protocol::Feetech) => None,
        }
    }

    pub(super) fn answers_writes(&self) -> bool {
        match self.model.protocol {
            Protocol::Dynamixel => self.level() >= 2,
            Protocol::Feetech => self.level() >= 1,
        }
    }

    /// Writes, if the rules allow it, all or nothing. Returns the error number.
    pub(super) fn write(&mut self, address: u16, data: &[u8]) -> u8 {
        let from = usize::from(address);
        let end = from.saturating_add(data.len());
        if end > MEMORY {
            return RANGE;
        }
        let mut next = self.memory;
        if let Some(place) = next.get_mut(from..end) {
            place.copy_from_slice(data);
        }
        let strict = self.model.protocol == Protocol::Dynamixel;
        let before = std::mem::replace(&mut self.memory, next);
        for register in self.model.registers {
            let (at, width) = (usize::from(register.address), usize::from(register.bytes));
            let touched = at < end && at.saturating_add(width) > from;
            if !touched {
                continue;
            }
            let error = self.refusal(register.what, register.kind, &before);
            if error == 0 {
                continue;
            }
            if strict {
                self.memory = before;
                return error;
            }
            // Feetech passes over what it does not take, and says nothing.
            let (new, old) = (self.memory.get_mut(at..at + width), before.get(at..at + width));
            if let (Some(new), Some(old)) = (new, old) {
                new.copy_from_slice(old);
            }
        }
        // An STS3215 that is told a goal may switch its motor on: a guide to the SO-101 says so,
        // nobody here knows. The stand-in does: so a test of "moves nothing" can fail.
        let goal = self.model.register(What::GoalPosition).map(|r| usize::from(r.address));
        if !strict && goal.is_some_and(|goal| from < goal.saturating_add(2) && goal < end) {
            self.set(What::TorqueEnable, 1);
        }
        self.keep();
        0
    }

    pub(super) fn write_later(&mut self, address: u16, data: &[u8]) {
        self.later = Some((address, data.to_vec()));
    }

    pub(super) fn act(&mut self) -> u8 {
        self.later.take().map_or(0, |(address, data)| self.write(address, &data))
    }

    /// The error byte of an answer: the number, and how the servo is.
    pub(super) fn error_byte(&self, number: u8) -> u8 {
        let hardware = self.get(What::HardwareError);
        match self.model.protocol {
            Protocol::Dynamixel if hardware != 0 => number | 0x80,
            Protocol::Dynamixel => number,
            Protocol::Feetech => u8::try_from(hardware).unwrap_or(0),
        }
    }

    pub(super) fn return_delay_us(&self) -> u64 {
        let unit = u64::from(self.model.return_delay_unit_us);
        u64::try_from(self.get(What::ReturnDelay)).unwrap_or(0).saturating_mul(unit)
    }

    /// Moves on by `us`. Tells whether the faults had anything to change.
    pub(super) fn advance(&mut self, us: u64, stuck: bool, hot: bool, brown: bool) -> bool {
        let mut changed = brown && !self.browned_out;
        if changed {
            self.power_up();
            self.set(What::HardwareError, VOLTAGE);
        }
        self.browned_out = brown;
        let mut left = us.min(LONGEST_US);
        while left > 0 {
            let step = left.min(STEP_US);
            left -= step;
            let dt = f64::from(u32::try_from(step).unwrap_or(0)) * 1e-6;
            changed |= (stuck && self.is_on()) || hot;
            self.one_step(dt, stuck, hot);
        }
        self.measure();
        changed
    }

    fn one_step(&mut self, dt: f64, stuck: bool, hot: bool) {
        self.watch_the_bus(dt);
        let motor = self.model.motor;
        let volts = (self.supply / motor.volts).min(1.5);
        let share = self.torque_share();
        let most = motor.stall_torque * volts * share;
        let asked = if self.is_on() { self.asked_speed(motor.no_load * volts) } else { 0.0 };
        let torque = if self.is_on() {
            (INERTIA * GRIP * (asked - self.speed) + FRICTION * asked).clamp(-most, most)
        } else {
            0.0
        };
        if stuck {
            // The motor pushes with all it may, in the direction it is asked for.
            self.speed = 0.0;
            self.load = if asked.abs() > 0.05 { share.copysign(asked) } else { 0.0 };
        } else {
            self.speed += (torque - FRICTION * self.speed) / INERTIA * dt;
            self.angle += self.speed * dt;
            self.load = torque / (motor.stall_torque * volts).max(1e-9);
        }
        let fever = if hot { FEVER } else { 0.0 };
        let cooling = COOLS * (self.celsius - ROOM);
        self.celsius += (HEATS * self.load * self.load + fever - cooling) * dt;
        let full = self.load.abs() >= OVERLOAD;
        self.overloaded_s = if full { self.overloaded_s + dt } else { 0.0 };
        if self.overloaded_s >= OVERLOAD_S {
            self.shut_down(OVERLOADED);
        }
        if self.celsius >= float(self.get(What::TemperatureLimit)) {
            self.shut_down(OVERHEATED);
        }
    }

    /// Source: ROBOTIS e-manual, "Bus Watchdog": counted while the torque is on; then it stops, and
    /// the register says -1.
    fn watch_the_bus(&mut self, dt: f64) {
        self.silent_s += dt;
        let Some(unit) = self.model.watchdog_unit_ms else { return };
        let limit = self.get(What::BusWatchdog);
        if limit > 0 && self.is_on() && self.silent_s * 1e3 > float(limit) * f64::from(unit) {
            self.set(What::BusWatchdog, -1);
            self.set(What::GoalPosition, self.steps());
        }
    }

    /// The speed that the way to the goal asks for.
    fn asked_speed(&self, no_load: f64) -> f64 {
        let (low, high) = (self.get(What::MinPosition), self.get(What::MaxPosition));
        let goal = self.get(What::GoalPosition).clamp(low.min(high), high.max(low));
        let error = float(goal.saturating_sub(self.offset())) * self.model.step() - self.angle;
        let wish = self.get(What::ProfileVelocity).abs();
        let fastest = match wish {
            0 => no_load,
            wish => (float(wish) * self.model.velocity_unit).min(no_load),
        };
        (error * GAIN).clamp(-fastest, fastest)
    }

    /// How much of its torque it may give.
    fn torque_share(&self) -> f64 {
        let thousandths = match self.model.protocol {
            Protocol::Feetech => self.get(What::TorqueLimit).min(self.get(What::MaxTorque)),
            // In units of 1/885 of the voltage. Source: e-manual, "PWM Limit".
            Protocol::Dynamixel => {
                self.get(What::GoalPwm).abs().min(self.get(What::MaxTorque)) * 1000 / 885
            }
        };
        float(thousandths.clamp(0, 1000)) / 1000.0
    }

    fn shut_down(&mut self, why: i64) {
        self.set(What::HardwareError, self.get(What::HardwareError) | why);
        if self.get(What::Shutdown) & why != 0 {
            self.set(What::TorqueEnable, 0);
        }
    }

    fn is_on(&self) -> bool {
        self.get(What::TorqueEnable) != 0
    }

    fn level(&self) -> i64 {
        self.get(What::StatusLevel)
    }

    /// What is added to the sensor's steps. Source: the e-manual adds the homing offset; Feetech
    /// subtracts it (LeRobot, `feetech.py`: "Present_Position = Actual_Position - Homing_Offset").
    fn offset(&self) -> i64 {
        let offset = self.get(What::HomingOffset);
        match self.model.protocol {
            Protocol::Dynamixel => offset,
            Protocol::Feetech => -offset,
        }
    }

    fn steps(&self) -> i64 {
        whole(self.angle / self.model.step()).saturating_add(self.offset())
    }

    /// What the sensors say goes into the registers.
    fn measure(&mut self) {
        let limit = 1 << 14;
        self.set(What::PresentPosition, self.steps().clamp(-limit, limit));
        let speed = whole(self.speed / self.model.velocity_unit);
        self.set(What::PresentVelocity, speed.clamp(-32_000, 32_000));
        self.set(What::Moving, i64::from(self.speed.abs() > 0.01));
        self.set(What::PresentTemperature, whole(self.celsius).clamp(0, 120));
        let supply = if self.browned_out { self.supply / 2.0 } else { self.supply };
        self.set(What::PresentVoltage, whole((supply - SAG * self.load.abs()) * 10.0));
        self.set(What::PresentLoad, whole(self.load * 1000.0).clamp(-1000, 1000));
        if let Some(unit) = self.model.current_unit {
            let current = self.model.motor.stall_current * self.load / unit;
            self.set(What::PresentCurrent, whole(current));
        }
    }

    /// Why a register may not be written so; 0 where it may. The new value stands in memory.
    fn refusal(&self, what: What, kind: Kind, before: &[u8; MEMORY]) -> u8 {
        let strict = self.model.protocol == Protocol::Dynamixel;
        let value = self.get(what);
        let was = |what: What| read_in(self.model, before, what);
        if kind == Kind::Measured {
            return ACCESS;
        }
        if kind == Kind::Kept && strict && was(What::TorqueEnable) != 0 {
            return ACCESS;
        }
        if what == What::Id && u8::try_from(value).ok().and_then(Id::new).is_none() {
            return RANGE;
        }
        if what == What::BusWatchdog && !(0..=127).contains(&value) {
            return RANGE;
        }
        // Source: e-manual, "Bus Watchdog": goals are read-only until it is cleared.
        let goal = matches!(what, What::GoalPosition | What::GoalPwm);
        if goal && strict && was(What::BusWatchdog) == -1 {
            return ACCESS;
        }
        if what == What::GoalPosition && strict {
            let range = self.get(What::MinPosition)..=self.get(What::MaxPosition);
            if !range.contains(&value) {
                return LIMIT;
            }
        }
        // A servo that shut down stays off until it starts anew (Dynamixel).
        let on = what == What::TorqueEnable && value != 0;
        if on && strict && was(What::HardwareError) & was(What::Shutdown) != 0 {
            return ACCESS;
        }
        0
    }

    /// What outlives the power: with Feetech, only what is written while it is unlocked.
    fn keep(&mut self) {
        if self.model.protocol == Protocol::Feetech && self.get(What::Lock) != 0 {
            return;
        }
        for register in self.model.registers.iter().filter(|r| r.kind == Kind::Kept) {
            let from = usize::from(register.address);
            let range = from..from.saturating_add(usize::from(register.bytes));
            if let (Some(to), Some(from)) =
                (self.kept.get_mut(range.clone()), self.memory.get(range))
            {
                to.copy_from_slice(from);
            }
        }
    }

    /// What stands in a register; 0 where it has none.
    pub(super) fn get(&self, what: What) -> i64 {
        read_in(self.model, &self.memory, what)
    }

    fn set(&mut self, what: What, value: i64) {
        let Some(register) = self.model.register(what) else { return };
        let Ok(bytes) = register.encode(value) else { return };
        let from = usize::from(register.address);
        let to = self.memory.get_mut(from..from.saturating_add(usize::from(register.bytes)));
        for (to, byte) in to.into_iter().flatten().zip(bytes) {
            *to = byte;
        }
    }
}

/// The longest pause that is made good step by step, and one step. Chosen: a second, 1 ms.
const LONGEST_US: u64 = 1_000_000;
const STEP_US: u64 = 1_000;

fn read_in(model: &Model, memory: &[u8; MEMORY], what: What) -> i64 {
    let span = Span { address: 0, bytes: 0xff };
    model.value(what, span, memory).unwrap_or(0)
}

/// Registers are far below 2^53.
#[expect(clippy::as_conversions, reason = "no lossless i64 to f64; exact below 2^53")]
const fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::as_conversions, reason = "float to int `as` saturates and maps NaN to zero")]
fn whole(value: f64) -> i64 {
    libm::round(value) as i64
}
