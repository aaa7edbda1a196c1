//! Feetech's STS3215, of which the SO-101 has six.
//!
//! Source: Feetech's manual of the SMS/STS memory table; addresses and lengths as in LeRobot's
//! `motors/feetech/tables.py`. The SDK on PyPI has no table.

use super::Kind::{Kept, Live, Measured};
use super::Sign::{Bit, None as Unsigned};
use super::{Model, Motor, Register, What, row};
use crate::Protocol::Feetech;

static REGISTERS: [Register; 30] = [
    row(0, 2, What::FirmwareVersion, Unsigned, Measured, 0x0903),
    row(3, 2, What::ModelNumber, Unsigned, Measured, 777),
    row(5, 1, What::Id, Unsigned, Kept, 1),
    row(6, 1, What::BaudRate, Unsigned, Kept, 0),
    row(7, 1, What::ReturnDelay, Unsigned, Kept, 0),
    row(8, 1, What::StatusLevel, Unsigned, Kept, 1),
    row(9, 2, What::MinPosition, Unsigned, Kept, 0),
    row(11, 2, What::MaxPosition, Unsigned, Kept, 4095),
    row(13, 1, What::TemperatureLimit, Unsigned, Kept, 70),
    row(14, 1, What::MaxVoltage, Unsigned, Kept, 80),
    row(15, 1, What::MinVoltage, Unsigned, Kept, 40),
    row(16, 2, What::MaxTorque, Unsigned, Kept, 1000),
    row(19, 1, What::Shutdown, Unsigned, Kept, 44),
    row(28, 2, What::CurrentLimit, Unsigned, Kept, 500),
    row(31, 2, What::HomingOffset, Bit(11), Kept, 0),
    row(33, 1, What::OperatingMode, Unsigned, Kept, 0),
    row(40, 1, What::TorqueEnable, Unsigned, Live, 0),
    row(41, 1, What::ProfileAcceleration, Unsigned, Live, 0),
    row(42, 2, What::GoalPosition, Bit(15), Live, 2048),
    row(46, 2, What::ProfileVelocity, Bit(15), Live, 0),
    row(48, 2, What::TorqueLimit, Unsigned, Live, 1000),
    row(55, 1, What::Lock, Unsigned, Live, 1),
    row(56, 2, What::PresentPosition, Bit(15), Measured, 2048),
    row(58, 2, What::PresentVelocity, Bit(15), Measured, 0),
    // In thousandths of the torque it can give.
    row(60, 2, What::PresentLoad, Bit(10), Measured, 0),
    row(62, 1, What::PresentVoltage, Unsigned, Measured, 0),
    row(63, 1, What::PresentTemperature, Unsigned, Measured, 0),
    row(65, 1, What::HardwareError, Unsigned, Measured, 0),
    row(66, 1, What::Moving, Unsigned, Measured, 0),
    row(69, 2, What::PresentCurrent, Bit(15), Measured, 0),
];

/// Kilogramme-force centimetres, as Feetech writes torque, in newton metres.
const KG_CM: f64 = 0.098_066_5;

/// STS3215, 7.4 V, gear 1/345: 19.5 kg cm, 2.5 A, 0.192 s for 60 degrees at 7.4 V.
/// Source: Feetech's data sheet of the STS3215-C001.
///
/// It has no bus watchdog: nothing in its table stops it when the host falls silent.
pub static STS3215: Model = Model {
    name: "sts3215",
    number: 777,
    protocol: Feetech,
    steps_per_turn: 4096,
    // One step a second.
    velocity_unit: core::f64::consts::TAU / 4096.0,
    current_unit: Some(6.5e-3),
    return_delay_unit_us: 2,
    watchdog_unit_ms: None,
    // Source: `SMS_STS_1M` to `SMS_STS_38400` in Feetech's own FTServo library.
    bauds: &[
        (0, 1_000_000),
        (1, 500_000),
        (2, 250_000),
        (3, 128_000),
        (4, 115_200),
        (5, 76_800),
        (6, 57_600),
        (7, 38_400),
    ],
    motor: Motor {
        volts: 7.4,
        stall_torque: 19.5 * KG_CM,
        no_load: core::f64::consts::FRAC_PI_3 / 0.192,
        stall_current: 2.5,
    },
    registers: &REGISTERS,
};
