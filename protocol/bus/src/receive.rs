//! Frames found among any bytes: half a packet, noise before a header, our own words come back.
//!
//! Knows: headers, lengths, checksums, what to do when they do not fit. Does not know: time
//! (whoever waits too long says so: [`Receiver::give_up`]), or whether a frame was asked for.
//!
//! Shape: push the bytes that came, then take frames until there are none. Bounded: 1024 bytes;
//! when full, the oldest byte goes (`drop_oldest`), since the newest answer is the one that counts.

use crate::packet::{PACKET_MAX, Packet};
use crate::request::{FEETECH_LENGTH_MAX, STATUS, UNCOUNTED};
use crate::sum::{crc16, inverted_sum};
use crate::{EVERYBODY, Protocol};

/// Two frames of the greatest length: one that is cut short, and the whole one behind it.
const BUFFER: usize = 2 * PACKET_MAX;

/// What was not a frame. Counted, and that is all: a bus has noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Bytes that belonged to no frame.
    pub stray_bytes: u64,
    /// What looked whole and had a wrong checksum or impossible lengths.
    pub corrupt: u64,
    /// What began and never ended.
    pub cut_short: u64,
    /// Bytes that were thrown away because nobody took frames out.
    pub overflowed: u64,
}

/// A frame: whole, its checksum right, byte stuffing taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    id: u8,
    instruction: u8,
    parameters: Packet,
}

impl Frame {
    /// Whose it is: a servo's number, or everybody's.
    pub const fn id(&self) -> u8 {
        self.id
    }

    /// The instruction; in Feetech's answers, the error byte stands in its place.
    pub const fn instruction(&self) -> u8 {
        self.instruction
    }

    /// What follows it.
    pub fn parameters(&self) -> &[u8] {
        self.parameters.as_slice()
    }
}

/// Bytes in, frames out.
#[derive(Clone, Debug)]
pub struct Receiver {
    protocol: Protocol,
    buffer: [u8; BUFFER],
    /// The bytes that wait are `buffer[from..to]`.
    from: usize,
    to: usize,
    noise: Noise,
}

/// What stands at the front of the bytes that wait.
#[allow(clippy::large_enum_variant, reason = "lives for one call, and there is no heap to box it")]
enum Look {
    /// A frame of so many bytes.
    Frame(usize, Frame),
    /// Perhaps a frame: more bytes will tell.
    More,
    /// No frame begins here. Pass over so many bytes.
    Nothing(usize),
    /// A frame that is broken. Pass over one byte: a whole one may begin inside.
    Corrupt,
    /// A frame that another begins in, so many bytes on.
    Interrupted(usize),
}

impl Receiver {
    /// With nothing received yet.
    pub const fn new(protocol: Protocol) -> Self {
        let noise = Noise { stray_bytes: 0, corrupt: 0, cut_short: 0, overflowed: 0 };
        Self { protocol, buffer: [0; BUFFER], from: 0, to: 0, noise }
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.to == BUFFER {
                self.compact();
            }
            if self.to == BUFFER {
                self.from = 1;
                self.noise.overflowed = self.noise.overflowed.saturating_add(1);
                self.compact();
            }
            if let Some(slot) = self.buffer.get_mut(self.to) {
                *slot = *byte;
                self.to = self.to.saturating_add(1);
            }
        }
    }

    /// The next frame, if one is whole. Call until there is none.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let look = match self.protocol {
                Protocol::Dynamixel => look_dynamixel(self.waiting()),
                Protocol::Feetech => look_feetech(self.waiting()),
            };
            match look {
                Look::Frame(bytes, frame) => {
                    self.pass(bytes);
                    return Some(frame);
                }
                Look::More => return None,
                Look::Nothing(bytes) => self.stray(bytes),
                Look::Corrupt => {
                    self.noise.corrupt = self.noise.corrupt.saturating_add(1);
                    self.stray(1);
                }
                Look::Interrupted(bytes) => {
                    self.noise.cut_short = self.noise.cut_short.saturating_add(1);
                    self.stray(bytes);
                }
            }
        }
    }

    /// Nothing more will come: what has begun is cut short. A frame that is whole behind it comes
    /// out. Call until there is none; then nothing waits.
    pub fn give_up(&mut self) -> Option<Frame> {
        let mut counted = false;
        while !self.waiting().is_empty() {
            if let Some(frame) = self.next_frame() {
                return Some(frame);
            }
            if self.waiting().is_empty() {
                return None;
            }
            if !counted {
                self.noise.cut_short = self.noise.cut_short.saturating_add(1);
                counted = true;
            }
            self.stray(1);
        }
        None
    }

    /// How many bytes wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.waiting().len()
    }

    /// What was not a frame, so far.
    pub const fn noise(&self) -> Noise {
        self.noise
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or(&[])
    }

    fn stray(&mut self, bytes: usize) {
        let bytes = bytes.min(self.pending());
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.noise.stray_bytes = self.noise.stray_bytes.saturating_add(more);
        self.pass(bytes);
    }

    fn pass(&mut self, bytes: usize) {
        self.from = self.from.saturating_add(bytes).min(self.to);
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    fn compact(&mut self) {
        let mut front = 0_usize;
        for at in self.from..self.to {
            let byte = self.buffer.get(at).copied().unwrap_or(0);
            if let Some(slot) = self.buffer.get_mut(front) {
                *slot = byte;
                front = front.saturating_add(1);
            }
        }
        (self.from, self.to) = (0, front);
    }
}

/// The whole header, and what bytes that are too few for it may still become.
const DYNAMIXEL_HEADER: [u8; 4] = [0xff, 0xff, 0xfd, 0x00];

fn look_dynamixel(bytes: &[u8]) -> Look {
    if bytes.is_empty() {
        return Look::More;
    }
    if !DYNAMIXEL_HEADER.iter().zip(bytes).all(|(wanted, byte)| wanted == byte) {
        return Look::Nothing(1);
    }
    let Some(([_, _, _, _, id, low, high, instruction], _)) = bytes.split_first_chunk() else {
        return Look::More;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let whole = length.saturating_add(UNCOUNTED);
    // Instruction and checksum at least; two numbers nobody has.
    if length < 3 || whole > PACKET_MAX || *id == 0xff || *id == 0xfd {
        return Look::Nothing(1);
    }
    // The answers of several in one are not stuffed: their first servo counts the bytes of all
    // before anybody knows them. Source: `rxPacket` of ROBOTIS' SDK, `fast_option`.
    let many_in_one = *id == EVERYBODY && *instruction == STATUS;
    let end = bytes.len().min(whole.saturating_sub(2));
    let body = bytes.get(UNCOUNTED..end).unwrap_or(&[]);
    let body = body.get(1..).unwrap_or(&[]);
    let parameters = if many_in_one { taken_as_it_is(body) } else { unstuffed(body) };
    let parameters = match parameters {
        Ok(parameters) => parameters,
        Err(at) => return Look::Interrupted(UNCOUNTED.saturating_add(1).saturating_add(at)),
    };
    let Some(frame) = bytes.get(..whole) else { return Look::More };
    let (summed, sum) = frame.split_at(whole.saturating_sub(2));
    if sum != crc16(0, summed).to_le_bytes() {
        return Look::Corrupt;
    }
    Look::Frame(whole, Frame { id: *id, instruction: *instruction, parameters })
}

fn taken_as_it_is(body: &[u8]) -> Result<Packet, usize> {
    let mut packet = Packet::EMPTY;
    // Never too long: the whole frame is not.
    let _fits = packet.extend(body);
    Ok(packet)
}

/// The bytes without the second FD that follows each FF FF FD. Errors: where FF FF FD stands
/// without it: another frame's header.
fn unstuffed(body: &[u8]) -> Result<Packet, usize> {
    let mut packet = Packet::EMPTY;
    let (mut before, mut header) = ([0_u8; 2], false);
    for (at, byte) in body.iter().enumerate() {
        if header && *byte != 0xfd {
            return Err(at.saturating_sub(3));
        }
        if header {
            // As the SDK reads it: the FD that was put in counts for what follows.
            (before, header) = ([before[1], *byte], false);
            continue;
        }
        header = *byte == 0xfd && before == [0xff; 2];
        before = [before[1], *byte];
        let _fits = packet.push(*byte);
    }
    Ok(packet)
}

fn look_feetech(bytes: &[u8]) -> Look {
    if bytes.is_empty() {
        return Look::More;
    }
    if !bytes.iter().take(2).all(|byte| *byte == 0xff) {
        return Look::Nothing(1);
    }
    // FF FF FF: the header begins at the second.
    if bytes.get(2) == Some(&0xff) {
        return Look::Nothing(1);
    }
    let Some(([_, _, id, length, instruction], _)) = bytes.split_first_chunk() else {
        return match bytes.get(3) {
            Some(length) if !(2..=FEETECH_LENGTH_MAX).contains(length) => Look::Nothing(1),
            _ => Look::More,
        };
    };
    if !(2..=FEETECH_LENGTH_MAX).contains(length) {
        return Look::Nothing(1);
    }
    let whole = usize::from(*length).saturating_add(4);
    let Some(frame) = bytes.get(..whole) else { return Look::More };
    let (summed, sum) = frame.split_at(whole.saturating_sub(1));
    if sum != [inverted_sum(summed.get(2..).unwrap_or(&[]))] {
        return Look::Corrupt;
    }
    let mut parameters = Packet::EMPTY;
    let _fits = parameters.extend(summed.get(5..).unwrap_or(&[]));
    Look::Frame(whole, Frame { id: *id, instruction: *instruction, parameters })
}
