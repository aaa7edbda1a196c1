//! What servos say: as bytes, and back.
//!
//! Knows: the status of both protocols, the answers of several in one frame, what an error byte
//! means. Does not know: which request it answers; [`Status::answers`] compares who and how much.

use crate::packet::{Packet, TooLong};
use crate::receive::Frame;
use crate::request::{LENGTH_AT, STATUS, frame};
use crate::sum::crc16;
use crate::{EVERYBODY, Id, Protocol};
use core::fmt;

/// One servo's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Who says it.
    pub id: Id,
    /// What is wrong.
    pub complaint: Complaint,
    /// What was asked for.
    pub data: &'a [u8],
}

impl<'a> Status<'a> {
    /// The status that a frame is. `None` for a request, and for the answer of several in one.
    ///
    /// Feetech's frames do not say which they are: there a request comes out as a status, too, and
    /// [`Status::answers`] is what tells them apart.
    pub fn of(frame: &'a Frame, protocol: Protocol) -> Option<Self> {
        let id = Id::new(frame.id())?;
        let (error, data) = match protocol {
            Protocol::Feetech => (frame.instruction(), frame.parameters()),
            Protocol::Dynamixel if frame.instruction() == STATUS => {
                let (error, data) = frame.parameters().split_first()?;
                (*error, data)
            }
            Protocol::Dynamixel => return None,
        };
        Some(Self { id, complaint: Complaint { protocol, error }, data })
    }

    /// Whether this can be `id`'s answer to a request for so many bytes.
    ///
    /// A servo that refuses may answer with none of them.
    pub fn answers(&self, id: Id, bytes: usize) -> bool {
        let refused = self.complaint.refused() && self.data.is_empty();
        self.id == id && (self.data.len() == bytes || refused)
    }

    /// The status as bytes. Errors: [`TooLong`].
    pub fn encode(&self) -> Result<Packet, TooLong> {
        let Complaint { protocol, error } = self.complaint;
        match protocol {
            Protocol::Feetech => frame(protocol, self.id.get(), error, self.data),
            Protocol::Dynamixel => {
                let mut parameters = Packet::EMPTY;
                parameters.push(error)?;
                parameters.extend(self.data)?;
                frame(protocol, self.id.get(), STATUS, parameters.as_slice())
            }
        }
    }
}

/// The answers of several servos in one Dynamixel frame, as they write it one after the other.
///
/// Source: ROBOTIS e-manual, "Fast Sync Read"; `fastSyncReadRxPacket` of its SDK: after the header,
/// for each servo error, number, data, and the CRC over everything before.
#[derive(Clone, Copy, Debug)]
pub struct FastAnswer(Packet);

impl FastAnswer {
    /// The header, for so many servos of so many bytes each. Errors: [`TooLong`].
    pub fn begin(servos: usize, bytes: u8) -> Result<Self, TooLong> {
        let each = usize::from(bytes).saturating_add(4);
        let length = servos.checked_mul(each).and_then(|all| all.checked_add(1)).ok_or(TooLong)?;
        let [low, high] = u16::try_from(length).map_err(|_far| TooLong)?.to_le_bytes();
        let mut packet = Packet::EMPTY;
        packet.extend(&[0xff, 0xff, 0xfd, 0x00, EVERYBODY, low, high, STATUS])?;
        debug_assert!(packet.as_slice().get(LENGTH_AT) == Some(&low));
        Ok(Self(packet))
    }

    /// One servo's part. Errors: [`TooLong`].
    pub fn add(&mut self, error: u8, id: Id, data: &[u8]) -> Result<(), TooLong> {
        self.0.extend(&[error, id.get()])?;
        self.0.extend(data)?;
        let sum = crc16(0, self.0.as_slice());
        self.0.extend(&sum.to_le_bytes())
    }

    /// The bytes so far: whole, where every servo added its part.
    pub const fn packet(&self) -> &Packet {
        &self.0
    }

    /// The parts of a frame: each servo's status, `bytes` of data each. A part of a number that no
    /// servo has is left out. Nothing where the frame is not such an answer.
    pub fn parts(frame: &Frame, bytes: u8) -> impl Iterator<Item = Status<'_>> {
        let bytes = usize::from(bytes);
        let is = frame.id() == EVERYBODY && frame.instruction() == STATUS;
        let parameters = if is { frame.parameters() } else { &[] };
        // The last part's CRC is the frame's own, and no longer there.
        parameters.chunks(bytes.saturating_add(4)).filter_map(move |part| {
            let ([error, id], rest) = part.split_first_chunk()?;
            let complaint = Complaint { protocol: Protocol::Dynamixel, error: *error };
            Some(Status { id: Id::new(*id)?, complaint, data: rest.get(..bytes)? })
        })
    }
}

/// The error byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    protocol: Protocol,
    error: u8,
}

/// What a servo may complain of. The words say what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Display` says each in words")]
pub enum Trouble {
    Voltage,
    Sensor,
    Overheated,
    Overcurrent,
    Overloaded,
    Hardware,
    ResultFail,
    Instruction,
    Checksum,
    DataRange,
    DataLength,
    DataLimit,
    Access,
    Unknown,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voltage => "its voltage is outside its limits: check the power supply",
            Self::Sensor => "its position sensor is not well: replace the servo",
            Self::Overheated => "it is too hot: let it cool, and see what loads it",
            Self::Overcurrent => "it draws too much current: see what blocks it",
            Self::Overloaded => {
                "it is overloaded: see what blocks it, then switch its torque on again"
            }
            Self::Hardware => "it shut down: read its hardware error status, then reboot it",
            Self::ResultFail => "it could not do what was asked",
            Self::Instruction => "it does not know this instruction: its firmware may be old",
            Self::Checksum => "it got a wrong checksum: check cables and termination",
            Self::DataRange => "a value is outside the register's range",
            Self::DataLength => "the value has another length than the register",
            Self::DataLimit => "a value is beyond a limit that is set in the servo",
            Self::Access => "the register cannot be written now: torque on, or read-only",
            Self::Unknown => "it says something that is in no manual",
        })
    }
}

/// Dynamixel's alert bit: the hardware error status says more.
const ALERT: u8 = 0x80;

impl Complaint {
    /// No complaint.
    pub const fn none(protocol: Protocol) -> Self {
        Self { protocol, error: 0 }
    }

    /// The complaint that an error byte is.
    pub const fn of(protocol: Protocol, error: u8) -> Self {
        Self { protocol, error }
    }

    /// The byte.
    pub const fn byte(self) -> u8 {
        self.error
    }

    /// Whether all is well.
    pub const fn is_none(self) -> bool {
        self.error == 0
    }

    /// Whether the servo did not do what was asked. Feetech's errors tell of the servo's health
    /// alone: it did it all the same.
    pub const fn refused(self) -> bool {
        match self.protocol {
            Protocol::Dynamixel => self.error & !ALERT != 0,
            Protocol::Feetech => false,
        }
    }

    /// What is wrong, in words. Source: the error numbers and bits of the vendors' SDKs.
    pub fn troubles(self) -> impl Iterator<Item = Trouble> {
        let bits: [(bool, Trouble); 6] = match self.protocol {
            Protocol::Feetech => {
                let bit = |number: u8| self.error & (1_u8 << (number & 7)) != 0;
                [
                    (bit(0), Trouble::Voltage),
                    (bit(1), Trouble::Sensor),
                    (bit(2), Trouble::Overheated),
                    (bit(3), Trouble::Overcurrent),
                    (bit(5), Trouble::Overloaded),
                    (self.error & 0xd0 != 0, Trouble::Unknown),
                ]
            }
            Protocol::Dynamixel => {
                let number = self.error & !ALERT;
                let kind = match number {
                    1 => Trouble::ResultFail,
                    2 => Trouble::Instruction,
                    3 => Trouble::Checksum,
                    4 => Trouble::DataRange,
                    5 => Trouble::DataLength,
                    6 => Trouble::DataLimit,
                    7 => Trouble::Access,
                    _ => Trouble::Unknown,
                };
                let none = (false, Trouble::Unknown);
                let alert = (self.error & ALERT != 0, Trouble::Hardware);
                [alert, (number != 0, kind), none, none, none, none]
            }
        };
        bits.into_iter().filter_map(|(is, trouble)| is.then_some(trouble))
    }
}
