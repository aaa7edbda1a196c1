//! Servos as data: what registers each model has, in what units, and what its motor can do.
//!
//! Knows: addresses, widths, signs, units, and where each stands written. Does not know: which
//! servo moves what (an arm's file says it), or what a good value is.

mod sts;
mod x_series;

pub use sts::STS3215;
pub use x_series::{XL330_M077, XL330_M288, XL430_W250, XM430_W350};

use crate::{Protocol, Span};
use core::fmt;

/// Every model there is.
pub const MODELS: [&Model; 5] = [&STS3215, &XL330_M077, &XL330_M288, &XL430_W250, &XM430_W350];

/// The model that tells its number so.
pub fn by_number(protocol: Protocol, number: u16) -> Option<&'static Model> {
    MODELS.into_iter().find(|model| model.protocol == protocol && model.number == number)
}

/// The model of this name, as an arm's file writes it.
pub fn by_name(name: &str) -> Option<&'static Model> {
    MODELS.into_iter().find(|model| model.name == name)
}

/// One kind of servo.
#[derive(Debug)]
pub struct Model {
    /// Its name, in lower case.
    pub name: &'static str,
    /// What it says when asked.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Steps of its position in one turn of its shaft.
    pub steps_per_turn: u16,
    /// Radians a second in one unit of velocity.
    pub velocity_unit: f64,
    /// Amperes in one unit of current; `None` where it tells none.
    pub current_unit: Option<f64>,
    /// Microseconds in one unit of the return delay.
    pub return_delay_unit_us: u16,
    /// Milliseconds in one unit of the bus watchdog; `None` where it has none: a servo that hears
    /// nothing more goes on to its last goal and stays there.
    pub watchdog_unit_ms: Option<u16>,
    /// The baud rates it knows; the place of each is its register's value.
    pub bauds: &'static [(u8, u32)],
    /// What its motor can do.
    pub motor: Motor,
    /// Its registers, by address.
    pub registers: &'static [Register],
}

/// A motor's data sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motor {
    /// Volts at which the rest holds.
    pub volts: f64,
    /// Newton metres, blocked.
    pub stall_torque: f64,
    /// Radians a second, with nothing to move.
    pub no_load: f64,
    /// Amperes, blocked.
    pub stall_current: f64,
}

impl Model {
    /// The register of a quantity, if it has one.
    pub fn register(&self, of: What) -> Option<&'static Register> {
        self.registers.iter().find(|register| register.what == of)
    }

    /// The run of registers from the first to the last of these. `None` where one is missing, or
    /// they lie too far apart.
    pub fn span(&self, of: &[What]) -> Option<Span> {
        let (mut from, mut to) = (u16::MAX, 0_u16);
        for what in of {
            let register = self.register(*what)?;
            from = from.min(register.address);
            to = to.max(register.address.saturating_add(u16::from(register.bytes)));
        }
        let bytes = u8::try_from(to.checked_sub(from)?).ok()?;
        Some(Span { address: from, bytes })
    }

    /// What stands of a quantity in bytes that were read from `span`.
    pub fn value(&self, of: What, span: Span, bytes: &[u8]) -> Option<i64> {
        let register = self.register(of)?;
        let from = usize::from(register.address.checked_sub(span.address)?);
        let to = from.checked_add(usize::from(register.bytes))?;
        register.decode(bytes.get(from..to)?)
    }

    /// Radians in one step of position.
    pub fn step(&self) -> f64 {
        core::f64::consts::TAU / f64::from(self.steps_per_turn)
    }
}

/// A quantity that a servo keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Display` gives the vendors' own name of each")]
pub enum What {
    ModelNumber,
    FirmwareVersion,
    Id,
    BaudRate,
    ReturnDelay,
    StatusLevel,
    DriveMode,
    OperatingMode,
    HomingOffset,
    TemperatureLimit,
    MaxVoltage,
    MinVoltage,
    MaxTorque,
    CurrentLimit,
    VelocityLimit,
    MaxPosition,
    MinPosition,
    Shutdown,
    TorqueEnable,
    HardwareError,
    BusWatchdog,
    GoalPwm,
    ProfileAcceleration,
    ProfileVelocity,
    GoalPosition,
    TorqueLimit,
    Lock,
    Moving,
    PresentLoad,
    PresentCurrent,
    PresentVelocity,
    PresentPosition,
    PresentVoltage,
    PresentTemperature,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ModelNumber => "model number",
            Self::FirmwareVersion => "firmware version",
            Self::Id => "id",
            Self::BaudRate => "baud rate",
            Self::ReturnDelay => "return delay",
            Self::StatusLevel => "status return level",
            Self::DriveMode => "drive mode",
            Self::OperatingMode => "operating mode",
            Self::HomingOffset => "homing offset",
            Self::TemperatureLimit => "temperature limit",
            Self::MaxVoltage => "maximum voltage",
            Self::MinVoltage => "minimum voltage",
            Self::MaxTorque => "maximum torque",
            Self::CurrentLimit => "current limit",
            Self::VelocityLimit => "velocity limit",
            Self::MaxPosition => "maximum position",
            Self::MinPosition => "minimum position",
            Self::Shutdown => "shutdown conditions",
            Self::TorqueEnable => "torque enable",
            Self::HardwareError => "hardware error status",
            Self::BusWatchdog => "bus watchdog",
            Self::GoalPwm => "goal PWM",
            Self::ProfileAcceleration => "profile acceleration",
            Self::ProfileVelocity => "profile velocity",
            Self::GoalPosition => "goal position",
            Self::TorqueLimit => "torque limit",
            Self::Lock => "lock",
            Self::Moving => "moving",
            Self::PresentLoad => "present load",
            Self::PresentCurrent => "present current",
            Self::PresentVelocity => "present velocity",
            Self::PresentPosition => "present position",
            Self::PresentVoltage => "present voltage",
            Self::PresentTemperature => "present temperature",
        })
    }
}

/// One register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// What stands in it.
    pub what: What,
    /// Its first byte.
    pub address: u16,
    /// How many bytes: 1, 2 or 4, the lowest first.
    pub bytes: u8,
    /// How a negative number is written.
    pub sign: Sign,
    /// Whether and when it may be written, and whether it outlives the power.
    pub kind: Kind,
    /// What stands in it when the servo comes from the factory.
    pub first: i64,
}

/// How a negative number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// There is none.
    None,
    /// As the two's complement.
    Complement,
    /// The number's size, and this bit on top.
    Bit(u8),
}

/// What kind of memory a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Measured: nobody writes it.
    Measured,
    /// Kept without power; written while the torque is off (and, with Feetech, while unlocked).
    Kept,
    /// Begins anew with the power.
    Live,
}

/// A number does not fit into its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit;

impl Register {
    /// The number as bytes; the first [`Register::bytes`] of them count.
    ///
    /// Errors: [`DoesNotFit`], where the register has no room for it.
    pub fn encode(&self, number: i64) -> Result<[u8; 4], DoesNotFit> {
        let bits = u32::from(self.bytes.min(4)).saturating_mul(8);
        let limit = 1_i64 << bits.min(32);
        let written = match self.sign {
            Sign::None => number,
            Sign::Complement if number >= -(limit >> 1) && number < limit >> 1 => {
                number.rem_euclid(limit)
            }
            Sign::Complement => return Err(DoesNotFit),
            Sign::Bit(bit) => {
                let top = 1_i64 << bit.min(31);
                if number.saturating_abs() >= top {
                    return Err(DoesNotFit);
                }
                number.abs() + if number < 0 { top } else { 0 }
            }
        };
        if !(0..limit).contains(&written) {
            return Err(DoesNotFit);
        }
        u32::try_from(written).map(u32::to_le_bytes).map_err(|_far| DoesNotFit)
    }

    /// The number that bytes are. `None` where they are too few or too many.
    pub fn decode(&self, bytes: &[u8]) -> Option<i64> {
        if bytes.len() != usize::from(self.bytes) {
            return None;
        }
        let written =
            bytes.iter().rev().fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
        let bits = u32::from(self.bytes.min(4)).saturating_mul(8);
        Some(match self.sign {
            Sign::None => written,
            Sign::Complement => {
                let limit = 1_i64 << bits.min(32);
                if written >= limit >> 1 { written.saturating_sub(limit) } else { written }
            }
            Sign::Bit(bit) => {
                let top = 1_i64 << bit.min(31);
                let size = written & (top - 1);
                if written & top != 0 { -size } else { size }
            }
        })
    }
}

/// One line of a table.
const fn row(address: u16, bytes: u8, what: What, sign: Sign, kind: Kind, first: i64) -> Register {
    Register { what, address, bytes, sign, kind, first }
}
