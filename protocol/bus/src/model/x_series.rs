//! ROBOTIS' X series.
//!
//! Source: ROBOTIS e-manual, "Control Table" of each model; addresses and lengths as in the SDK's
//! `dynamixel_easy_sdk/control_table/*.model`, which a test compares.

use super::Kind::{Kept, Live, Measured};
use super::Sign::{Complement, None as Unsigned};
use super::{Model, Motor, Register, What, row};
use crate::Protocol::Dynamixel;

/// 0.229 rpm. Source: e-manual, "Velocity Limit".
const VELOCITY_UNIT: f64 = 0.229 * core::f64::consts::TAU / 60.0;

const BAUDS: [(u8, u32); 8] = [
    (0, 9_600),
    (1, 57_600),
    (2, 115_200),
    (3, 1_000_000),
    (4, 2_000_000),
    (5, 3_000_000),
    (6, 4_000_000),
    (7, 4_500_000),
];

/// What each model has, with its own number, voltages (0.1 V) and limits.
macro_rules! table {
    ($number:expr, volts $max:expr, $min:expr, celsius $hot:expr, velocity $fast:expr) => {
        [
            row(0, 2, What::ModelNumber, Unsigned, Measured, $number),
            row(6, 1, What::FirmwareVersion, Unsigned, Measured, 52),
            row(7, 1, What::Id, Unsigned, Kept, 1),
            row(8, 1, What::BaudRate, Unsigned, Kept, 1),
            row(9, 1, What::ReturnDelay, Unsigned, Kept, 250),
            row(10, 1, What::DriveMode, Unsigned, Kept, 0),
            row(11, 1, What::OperatingMode, Unsigned, Kept, 3),
            row(20, 4, What::HomingOffset, Complement, Kept, 0),
            row(31, 1, What::TemperatureLimit, Unsigned, Kept, $hot),
            row(32, 2, What::MaxVoltage, Unsigned, Kept, $max),
            row(34, 2, What::MinVoltage, Unsigned, Kept, $min),
            row(36, 2, What::MaxTorque, Unsigned, Kept, 885),
            row(44, 4, What::VelocityLimit, Unsigned, Kept, $fast),
            row(48, 4, What::MaxPosition, Unsigned, Kept, 4095),
            row(52, 4, What::MinPosition, Unsigned, Kept, 0),
            row(63, 1, What::Shutdown, Unsigned, Kept, 52),
            row(64, 1, What::TorqueEnable, Unsigned, Live, 0),
            row(68, 1, What::StatusLevel, Unsigned, Live, 2),
            row(70, 1, What::HardwareError, Unsigned, Measured, 0),
            row(98, 1, What::BusWatchdog, Complement, Live, 0),
            row(100, 2, What::GoalPwm, Complement, Live, 885),
            row(108, 4, What::ProfileAcceleration, Unsigned, Live, 0),
            row(112, 4, What::ProfileVelocity, Unsigned, Live, 0),
            row(116, 4, What::GoalPosition, Complement, Live, 2048),
            row(122, 1, What::Moving, Unsigned, Measured, 0),
            row(128, 4, What::PresentVelocity, Complement, Measured, 0),
            row(132, 4, What::PresentPosition, Complement, Measured, 2048),
            row(144, 2, What::PresentVoltage, Unsigned, Measured, 0),
            row(146, 1, What::PresentTemperature, Unsigned, Measured, 0),
        ]
    };
}

/// The table with what stands at 126 (and, with a current, at 38).
macro_rules! model {
    ($registers:ident, $table:expr, current $limit:expr) => {
        static $registers: [Register; 31] = with(
            $table,
            row(38, 2, What::CurrentLimit, Unsigned, Kept, $limit),
            row(126, 2, What::PresentCurrent, Complement, Measured, 0),
        );
    };
}

#[allow(clippy::indexing_slicing, reason = "runs in the compiler alone")]
const fn with(table: [Register; 29], limit: Register, current: Register) -> [Register; 31] {
    let mut all = [limit; 31];
    let mut at = 0;
    while at < 29 {
        all[at] = table[at];
        at += 1;
    }
    all[29] = limit;
    all[30] = current;
    all
}

model!(XM430, table!(1020, volts 160, 95, celsius 80, velocity 200), current 1193);
model!(XL330_288, table!(1200, volts 70, 35, celsius 70, velocity 445), current 1750);
model!(XL330_077, table!(1190, volts 70, 35, celsius 70, velocity 1620), current 1750);
// The XL430 tells a load in place of a current, and has no current limit. Source: e-manual.
static XL430: [Register; 30] = with_load(table!(1060, volts 140, 60, celsius 72, velocity 265));

#[allow(clippy::indexing_slicing, reason = "runs in the compiler alone")]
const fn with_load(table: [Register; 29]) -> [Register; 30] {
    let mut all = [row(126, 2, What::PresentLoad, Complement, Measured, 0); 30];
    let mut at = 0;
    while at < 29 {
        all[at] = table[at];
        at += 1;
    }
    all
}

const fn x(
    name: &'static str,
    number: u16,
    current_unit: Option<f64>,
    motor: Motor,
    registers: &'static [Register],
) -> Model {
    Model {
        name,
        number,
        protocol: Dynamixel,
        steps_per_turn: 4096,
        velocity_unit: VELOCITY_UNIT,
        current_unit,
        // Source: e-manual, "Return Delay Time": 2 us a unit; "Bus Watchdog": 20 ms a unit.
        return_delay_unit_us: 2,
        watchdog_unit_ms: Some(20),
        bauds: &BAUDS,
        motor,
        registers,
    }
}

const fn motor(volts: f64, stall_torque: f64, rpm: f64, stall_current: f64) -> Motor {
    let no_load = rpm * core::f64::consts::TAU / 60.0;
    Motor { volts, stall_torque, no_load, stall_current }
}

/// XM430-W350: 4.1 Nm, 2.3 A, 46 rpm at 12 V. Source: e-manual, "Specifications".
pub static XM430_W350: Model =
    x("xm430-w350", 1020, Some(2.69e-3), motor(12.0, 4.1, 46.0, 2.3), &XM430);
/// XL430-W250: 1.5 Nm, 1.4 A, 61 rpm at 12 V. Source: e-manual, "Specifications".
pub static XL430_W250: Model = x("xl430-w250", 1060, None, motor(12.0, 1.5, 61.0, 1.4), &XL430);
/// XL330-M288: 0.52 Nm, 1.47 A, 103 rpm at 5 V. Source: e-manual, "Specifications".
pub static XL330_M288: Model =
    x("xl330-m288", 1200, Some(1e-3), motor(5.0, 0.52, 103.0, 1.47), &XL330_288);
/// XL330-M077: 0.215 Nm, 1.47 A, 383 rpm at 5 V. Source: e-manual, "Specifications".
pub static XL330_M077: Model =
    x("xl330-m077", 1190, Some(1e-3), motor(5.0, 0.215, 383.0, 1.47), &XL330_077);
