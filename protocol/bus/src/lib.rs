//! The bytes of servo buses, Dynamixel Protocol 2.0 and Feetech's STS/SCS, and their registers.
//!
//! Knows: how a request and an answer are written, how to find one among any bytes, what a servo's
//! registers are called, where they lie and in what units, how long bytes take on a wire. Does not
//! know: ports, clocks, retries, joints of an arm, or what a motion is for.
//!
//! Terms: a *bus* is one half-duplex line with one *host* and many *servos*; the host sends a
//! *request* and the servos answer with *statuses*. A *frame* is either of them, whole and with a
//! right checksum. Both the robot's driver and the stand-in servos of the simulator stand on this.
//!
//! Pure: no clock, no heap, no panic, no unsafe.
#![no_std]
#![forbid(unsafe_code)]

pub mod answer;
pub mod budget;
pub mod model;
pub mod packet;
pub mod receive;
pub mod request;
mod sum;

/// Which language a bus speaks. All servos of one bus speak the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Dynamixel Protocol 2.0. Source: ROBOTIS e-manual, "DYNAMIXEL Protocol 2.0".
    Dynamixel,
    /// Feetech STS, SMS and SCS. Source: Feetech's protocol manual, and its SDK on PyPI.
    Feetech,
}

/// The number of one servo on its bus: 0 to 252, as both vendors' SDKs count (`MAX_ID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u8);

impl Id {
    /// The greatest number a servo may have.
    pub const MAX: Self = Self(252);

    /// The number, where a servo may have it.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// As a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One servo, which answers.
    One(Id),
    /// Every servo. None answers, except to a ping.
    All,
}

/// What a request for everybody is addressed to. Source: `BROADCAST_ID` in both vendors' SDKs.
pub(crate) const EVERYBODY: u8 = 0xfe;

impl Target {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::One(id) => id.get(),
            Self::All => EVERYBODY,
        }
    }

    pub(crate) fn of(byte: u8) -> Option<Self> {
        if byte == EVERYBODY { Some(Self::All) } else { Id::new(byte).map(Self::One) }
    }
}

/// A run of registers: where it begins, and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte's address in the servo. Feetech's are below 256.
    pub address: u16,
    /// How many bytes.
    pub bytes: u8,
}
