//! How long a request and its answers take on the wire: what a bus can do in a second.
//!
//! Knows: how many bytes each side says, and how long a byte takes. Does not know: how late the
//! adapter and the machine are; that is measured (`longhand-robot-agent arm test`).

use crate::Protocol;
use crate::request::Request;

/// A start bit, eight bits, a stop bit.
const BITS_A_BYTE: u64 = 10;

/// What one exchange puts on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes that the host says.
    pub asked: usize,
    /// Bytes that the servos answer.
    pub answered: usize,
    /// How many times a servo begins to answer; each waits its return delay first.
    pub answers: usize,
}

impl Load {
    /// The load of a request, where the servos answer it as they are told to. `None` where it
    /// cannot be said at all.
    pub fn of(request: &Request<'_>, protocol: Protocol) -> Option<Self> {
        let asked = request.encode(protocol).ok()?.len();
        // Header, number, length, instruction or error, checksum; Dynamixel's error stands apart.
        let around: usize = match protocol {
            Protocol::Dynamixel => 11,
            Protocol::Feetech => 6,
        };
        let (answered, answers) = match request {
            Request::Ping(_) if protocol == Protocol::Dynamixel => (around.saturating_add(3), 1),
            Request::Ping(_) | Request::Write(crate::Target::One(_), ..) => (around, 1),
            Request::WriteLater(crate::Target::One(_), ..) => (around, 1),
            Request::Read(_, span) => (around.saturating_add(usize::from(span.bytes)), 1),
            Request::SyncRead(span, ids) => {
                let each = around.saturating_add(usize::from(span.bytes));
                (each.saturating_mul(ids.len()), ids.len())
            }
            Request::FastSyncRead(span, ids) => {
                let each = usize::from(span.bytes).saturating_add(4);
                (each.saturating_mul(ids.len()).saturating_add(8), 1)
            }
            Request::Write(..)
            | Request::WriteLater(..)
            | Request::Action(_)
            | Request::SyncWrite(..) => (0, 0),
            Request::Reboot(_) => (around, 1),
        };
        Some(Self { asked, answered, answers })
    }

    /// Both, one after the other.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            asked: self.asked.saturating_add(other.asked),
            answered: self.answered.saturating_add(other.answered),
            answers: self.answers.saturating_add(other.answers),
        }
    }

    /// How long it holds the wire, microseconds, rounded up. `return_delay_us`: what each servo
    /// waits before it answers. A baud rate of 0 counts as 1.
    pub fn wire_us(self, baud: u32, return_delay_us: u32) -> u64 {
        let bytes = u64::try_from(self.asked.saturating_add(self.answered)).unwrap_or(u64::MAX);
        let bits = bytes.saturating_mul(BITS_A_BYTE);
        let us = bits.saturating_mul(1_000_000).div_ceil(u64::from(baud.max(1)));
        let answers = u64::try_from(self.answers).unwrap_or(u64::MAX);
        us.saturating_add(answers.saturating_mul(u64::from(return_delay_us)))
    }
}
