//! Bytes of a bounded number, to be sent in one piece.
//!
//! Knows: how many there may be. Does not know: what they mean.

use core::fmt;

/// The longest frame, bytes. Chosen: a write to each of 24 servos of twenty bytes fits, and the
/// SDKs' own limits (1024 and 250) are far beyond what a tick has time for: 512 bytes take 5.1 ms
/// at 1 Mbaud.
pub const PACKET_MAX: usize = 512;

/// Up to [`PACKET_MAX`] bytes.
#[derive(Clone, Copy)]
pub struct Packet {
    bytes: [u8; PACKET_MAX],
    len: usize,
}

/// A frame would be longer than [`PACKET_MAX`], or than its protocol can say: ask fewer servos, or
/// fewer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long for one packet: ask fewer servos, or fewer bytes")
    }
}

impl core::error::Error for TooLong {}

impl Packet {
    /// Nothing yet.
    pub const EMPTY: Self = Self { bytes: [0; PACKET_MAX], len: 0 };

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// How many bytes there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One byte more. Errors: [`TooLong`]; the packet is as before.
    pub fn push(&mut self, byte: u8) -> Result<(), TooLong> {
        let slot = self.bytes.get_mut(self.len).ok_or(TooLong)?;
        *slot = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// More bytes. Errors: [`TooLong`]; then some of them may be there.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        bytes.iter().try_for_each(|byte| self.push(*byte))
    }

    /// Changes the byte at a place that is there.
    pub(crate) fn set(&mut self, at: usize, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(at).filter(|_| at < self.len) {
            *slot = byte;
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Packet {}
