//! What the host says: as bytes, and back.
//!
//! Knows: the instructions of both protocols, byte stuffing, lengths. Does not know: what a servo
//! answers (`answer`), or how a frame is found among other bytes (`receive`).

use crate::packet::{Packet, TooLong};
use crate::receive::Frame;
use crate::sum::{crc16, inverted_sum};
use crate::{EVERYBODY, Id, Protocol, Span, Target};

/// One request. Numbers of servos and values stand as they go on the wire, so that whoever sends a
/// thousand a second writes them once and copies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Who are you? Answered with model and firmware (Dynamixel) or with nothing but the status
    /// (Feetech). See [`Request::tells_itself_from_its_answer`].
    Ping(Target),
    /// What stands in these registers?
    Read(Id, Span),
    /// Put these bytes from this address on.
    Write(Target, u16, &'a [u8]),
    /// The same, but wait for [`Request::Action`].
    WriteLater(Target, u16, &'a [u8]),
    /// Now do what was to be written later.
    Action(Target),
    /// What stands in these registers of each of these servos? Each answers for itself, in order.
    SyncRead(Span, &'a [u8]),
    /// The same, but all answer in one frame. Dynamixel alone.
    FastSyncRead(Span, &'a [u8]),
    /// For each servo its number and its bytes, one servo after the other. Nobody answers.
    SyncWrite(Span, &'a [u8]),
    /// Start anew, which also ends a shutdown. Dynamixel alone.
    Reboot(Target),
}

/// A request cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsayable {
    /// It does not fit into a frame.
    TooLong,
    /// This protocol has no such instruction: use another.
    NotInThisProtocol,
    /// Feetech's addresses have one byte.
    Address,
    /// A sync write's rows are not of the length that its span says.
    Rows,
}

impl core::fmt::Display for Unsayable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "too long for one packet: ask fewer servos, or fewer bytes",
            Self::NotInThisProtocol => "this protocol has no such instruction",
            Self::Address => "Feetech's registers have addresses below 256",
            Self::Rows => "each row of a sync write is a servo's number and as many bytes as asked",
        })
    }
}

impl core::error::Error for Unsayable {}

impl From<TooLong> for Unsayable {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

// Source of all: `robotis_def.py` and `scservo_def.py` of the vendors' SDKs.
const PING: u8 = 0x01;
const READ: u8 = 0x02;
const WRITE: u8 = 0x03;
const WRITE_LATER: u8 = 0x04;
const ACTION: u8 = 0x05;
const REBOOT: u8 = 0x08;
/// In the place of an instruction, in an answer.
pub(crate) const STATUS: u8 = 0x55;
const SYNC_READ: u8 = 0x82;
const SYNC_WRITE: u8 = 0x83;
const FAST_SYNC_READ: u8 = 0x8a;

impl<'a> Request<'a> {
    /// The request as bytes for the wire.
    ///
    /// Errors: [`Unsayable`]. Cost: O(n); no heap.
    pub fn encode(&self, protocol: Protocol) -> Result<Packet, Unsayable> {
        if let Self::SyncWrite(span, rows) = self
            && rows.len() % usize::from(span.bytes).saturating_add(1) != 0
        {
            return Err(Unsayable::Rows);
        }
        let dynamixel_alone = matches!(self, Self::FastSyncRead(..) | Self::Reboot(_));
        if dynamixel_alone && protocol == Protocol::Feetech {
            return Err(Unsayable::NotInThisProtocol);
        }
        let (to, instruction) = self.address();
        let mut parameters = Packet::EMPTY;
        match self {
            Self::Ping(_) | Self::Action(_) | Self::Reboot(_) => (),
            Self::Read(_, span) => push_span(&mut parameters, protocol, *span)?,
            Self::Write(_, address, data) | Self::WriteLater(_, address, data) => {
                push_address(&mut parameters, protocol, *address)?;
                parameters.extend(data)?;
            }
            Self::SyncRead(span, rest)
            | Self::FastSyncRead(span, rest)
            | Self::SyncWrite(span, rest) => {
                push_span(&mut parameters, protocol, *span)?;
                parameters.extend(rest)?;
            }
        }
        Ok(frame(protocol, to, instruction, parameters.as_slice())?)
    }

    /// The request that a frame is, as a servo reads it. `None` for a status, for an instruction
    /// that is not known here, and for parameters of the wrong length.
    pub fn of(frame: &'a Frame, protocol: Protocol) -> Option<Self> {
        let (to, parameters) = (Target::of(frame.id())?, frame.parameters());
        let one = || match to {
            Target::One(id) => Some(id),
            Target::All => None,
        };
        match frame.instruction() {
            PING if parameters.is_empty() => Some(Self::Ping(to)),
            ACTION if parameters.is_empty() => Some(Self::Action(to)),
            REBOOT if parameters.is_empty() && protocol == Protocol::Dynamixel => {
                Some(Self::Reboot(to))
            }
            READ => {
                let (span, rest) = take_span(parameters, protocol)?;
                rest.is_empty().then_some(Self::Read(one()?, span))
            }
            WRITE => {
                let (address, data) = take_address(parameters, protocol)?;
                Some(Self::Write(to, address, data))
            }
            WRITE_LATER => {
                let (address, data) = take_address(parameters, protocol)?;
                Some(Self::WriteLater(to, address, data))
            }
            SYNC_READ => {
                take_span(parameters, protocol).map(|(span, ids)| Self::SyncRead(span, ids))
            }
            FAST_SYNC_READ if protocol == Protocol::Dynamixel => {
                take_span(parameters, protocol).map(|(span, ids)| Self::FastSyncRead(span, ids))
            }
            SYNC_WRITE => {
                let (span, rows) = take_span(parameters, protocol)?;
                let whole = rows.len() % usize::from(span.bytes).saturating_add(1) == 0;
                whole.then_some(Self::SyncWrite(span, rows))
            }
            _ => None,
        }
    }

    /// Whether no answer to this request can be byte for byte the request, so that whoever hears
    /// their own bytes come back (many adapters have one wire for both ways) is never deceived.
    ///
    /// Dynamixel's answers say that they are answers. Feetech's do not: a servo whose voltage is
    /// wrong answers a ping with the very bytes of the ping, and a servo of model 515 could answer
    /// a read of two bytes from address 3 so. Every other answer has another length.
    pub const fn tells_itself_from_its_answer(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Dynamixel => true,
            Protocol::Feetech => match self {
                Self::Ping(_) | Self::Action(_) | Self::Reboot(_) => false,
                Self::Read(_, span) => span.bytes != 2,
                Self::Write(..)
                | Self::WriteLater(..)
                | Self::SyncRead(..)
                | Self::FastSyncRead(..)
                | Self::SyncWrite(..) => true,
            },
        }
    }

    fn address(&self) -> (u8, u8) {
        match self {
            Self::Ping(to) => (to.byte(), PING),
            Self::Read(id, _) => (id.get(), READ),
            Self::Write(to, ..) => (to.byte(), WRITE),
            Self::WriteLater(to, ..) => (to.byte(), WRITE_LATER),
            Self::Action(to) => (to.byte(), ACTION),
            Self::SyncRead(..) => (EVERYBODY, SYNC_READ),
            Self::FastSyncRead(..) => (EVERYBODY, FAST_SYNC_READ),
            Self::SyncWrite(..) => (EVERYBODY, SYNC_WRITE),
            Self::Reboot(to) => (to.byte(), REBOOT),
        }
    }
}

/// Header, number, length, instruction, parameters, checksum.
pub(crate) fn frame(
    protocol: Protocol,
    id: u8,
    instruction: u8,
    parameters: &[u8],
) -> Result<Packet, TooLong> {
    match protocol {
        Protocol::Dynamixel => dynamixel_frame(id, instruction, parameters),
        Protocol::Feetech => feetech_frame(id, instruction, parameters),
    }
}

/// Where the length stands in a Dynamixel frame, and how many bytes it does not count.
pub(crate) const LENGTH_AT: usize = 5;
pub(crate) const UNCOUNTED: usize = 7;

fn dynamixel_frame(id: u8, instruction: u8, parameters: &[u8]) -> Result<Packet, TooLong> {
    let mut packet = Packet::EMPTY;
    packet.extend(&[0xff, 0xff, 0xfd, 0x00, id, 0, 0, instruction])?;
    // No header may stand inside: FF FF FD gets a second FD behind it. The instruction is none of
    // the three, and the length before it has no FF, so the search may begin here.
    let mut before = [0_u8; 2];
    for byte in parameters {
        packet.push(*byte)?;
        if *byte == 0xfd && before == [0xff; 2] {
            packet.push(0xfd)?;
        }
        before = [before[1], *byte];
    }
    let length = packet.len().saturating_sub(UNCOUNTED).saturating_add(2);
    let [low, high] = u16::try_from(length).map_err(|_far| TooLong)?.to_le_bytes();
    packet.set(LENGTH_AT, low);
    packet.set(LENGTH_AT + 1, high);
    let sum = crc16(0, packet.as_slice());
    packet.extend(&sum.to_le_bytes())?;
    Ok(packet)
}

fn feetech_frame(id: u8, instruction: u8, parameters: &[u8]) -> Result<Packet, TooLong> {
    let length = u8::try_from(parameters.len().saturating_add(2)).map_err(|_far| TooLong)?;
    // Source: `TXPACKET_MAX_LEN` and `RXPACKET_MAX_LEN` of its SDK.
    if length > FEETECH_LENGTH_MAX {
        return Err(TooLong);
    }
    let mut packet = Packet::EMPTY;
    packet.extend(&[0xff, 0xff, id, length, instruction])?;
    packet.extend(parameters)?;
    let sum = inverted_sum(packet.as_slice().get(2..).unwrap_or(&[]));
    packet.push(sum)?;
    Ok(packet)
}

/// A whole frame of Feetech's has 250 bytes at most, of which the length does not count four.
pub(crate) const FEETECH_LENGTH_MAX: u8 = 246;

fn push_address(to: &mut Packet, protocol: Protocol, address: u16) -> Result<(), Unsayable> {
    match protocol {
        Protocol::Dynamixel => to.extend(&address.to_le_bytes())?,
        Protocol::Feetech => to.push(u8::try_from(address).map_err(|_far| Unsayable::Address)?)?,
    }
    Ok(())
}

fn push_span(to: &mut Packet, protocol: Protocol, span: Span) -> Result<(), Unsayable> {
    push_address(to, protocol, span.address)?;
    match protocol {
        Protocol::Dynamixel => to.extend(&[span.bytes, 0])?,
        Protocol::Feetech => to.push(span.bytes)?,
    }
    Ok(())
}

fn take_address(from: &[u8], protocol: Protocol) -> Option<(u16, &[u8])> {
    match protocol {
        Protocol::Dynamixel => {
            from.split_first_chunk().map(|(low_high, rest)| (u16::from_le_bytes(*low_high), rest))
        }
        Protocol::Feetech => from.split_first().map(|(byte, rest)| (u16::from(*byte), rest)),
    }
}

fn take_span(from: &[u8], protocol: Protocol) -> Option<(Span, &[u8])> {
    let (address, rest) = take_address(from, protocol)?;
    let (bytes, rest) = rest.split_first()?;
    let rest = match (protocol, rest.split_first()) {
        (Protocol::Feetech, _) => rest,
        (Protocol::Dynamixel, Some((0, rest))) => rest,
        (Protocol::Dynamixel, _) => return None,
    };
    Some((Span { address, bytes: *bytes }, rest))
}
