//! Frames on the control stream: a length of two bytes, little-endian, then so many bytes.
//!
//! Knows: where a frame ends. Does not know: what is in it. Nothing here allocates for a length
//! that a peer named: both buffers have their full size from the start.

use thiserror::Error;

use super::close::{Close, CloseCode};

/// Largest body of a frame, bytes. Chosen: four times our largest word (the
/// welcome, 124 bytes); which lengths make sense is the wire's to say.
pub const FRAME_MAX: usize = 512;
const HEADER: usize = 2;
/// Bytes that may wait to be sent. Chosen: 16 of the largest frames; a peer that leaves more than
/// that unread has stopped.
const OUTBOX_MAX: usize = 16 * (HEADER + FRAME_MAX);

/// Frames on their way out. When full it refuses the newest.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
}

/// The frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OutboxError {
    /// A body of no bytes, or of more than [`FRAME_MAX`].
    #[error("a frame of {got} bytes cannot be sent; it must be 1 to {FRAME_MAX}")]
    Length {
        /// The length asked for.
        got: usize,
    },
    /// The peer does not read.
    #[error("the other end does not read its control stream")]
    Full,
}

impl From<OutboxError> for Close {
    fn from(error: OutboxError) -> Self {
        Self::new(CloseCode::Nonsense, error.to_string())
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty one. A link gets its own from the pump; this is for whoever tries a link without.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(OUTBOX_MAX) }
    }

    /// Puts one frame behind the others.
    pub fn push(&mut self, body: &[u8]) -> Result<(), OutboxError> {
        let length = match u16::try_from(body.len()) {
            Ok(length) if length > 0 && body.len() <= FRAME_MAX => length,
            _ => return Err(OutboxError::Length { got: body.len() }),
        };
        let after = self.bytes.len().saturating_add(HEADER).saturating_add(body.len());
        if after > OUTBOX_MAX {
            return Err(OutboxError::Full);
        }
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(body);
        Ok(())
    }

    /// Nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What waits to be sent: each frame behind its length.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// So many bytes of it are sent.
    pub fn sent(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }
}

/// Puts arriving bytes together to frames.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(HEADER + FRAME_MAX) }
    }

    /// Takes bytes and hands out every frame that they complete.
    ///
    /// Errors: a length of zero or above [`FRAME_MAX`], or what `take` said.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Close>,
    ) -> Result<(), Close> {
        while !bytes.is_empty() {
            let wanted = self.wanted()?;
            let missing = wanted.saturating_sub(self.bytes.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.bytes.extend_from_slice(now);
            bytes = later;
            let whole = self.wanted()?;
            if whole > HEADER && self.bytes.len() == whole {
                take(self.bytes.get(HEADER..).unwrap_or_default())?;
                self.bytes.clear();
            }
        }
        Ok(())
    }

    /// The stream may end here: no frame is half there.
    pub(crate) fn is_between(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that the frame under way needs, as far as is known: at least its header.
    fn wanted(&self) -> Result<usize, Close> {
        let [low, high, ..] = *self.bytes.as_slice() else { return Ok(HEADER) };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length == 0 || length > FRAME_MAX {
            let words = format!("a frame of {length} bytes was sent; it must be 1 to {FRAME_MAX}");
            return Err(Close::nonsense(words));
        }
        Ok(HEADER.saturating_add(length))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn fed(frames: &mut Frames, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Close> {
        let mut got = Vec::new();
        frames.feed(bytes, |body| {
            got.push(body.to_vec());
            Ok(())
        })?;
        Ok(got)
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_are_cut() {
        let bodies: Vec<Vec<u8>> = [1, 2, 3, 255, 256, 511, 512].map(|n| vec![0xa5; n]).into();
        let mut out = Outbox::new();
        for body in &bodies {
            out.push(body).unwrap();
        }
        for cut in [1, 2, 3, 7, 513, 514, 10_000] {
            let mut frames = Frames::new();
            let mut got = Vec::new();
            for part in out.bytes().chunks(cut) {
                got.extend(fed(&mut frames, part).unwrap());
            }
            assert_eq!(got, bodies, "cut every {cut}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn length_edges_a_byte_before_on_and_after() {
        for (length, fine) in [(0_u16, false), (1, true), (512, true), (513, false)] {
            let mut frames = Frames::new();
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(vec![0; usize::from(length)]);
            assert_eq!(fed(&mut frames, &bytes).is_ok(), fine, "{length}");
        }
        let mut out = Outbox::new();
        for (length, fine) in [(0, false), (1, true), (512, true), (513, false)] {
            assert_eq!(out.push(&vec![0; length]).is_ok(), fine, "{length}");
        }
    }

    #[test]
    fn a_full_outbox_refuses_the_newest_and_takes_again_once_sent() {
        let mut out = Outbox::new();
        for _ in 0..16 {
            out.push(&[1; FRAME_MAX]).unwrap();
        }
        assert_eq!(out.push(&[2]), Err(OutboxError::Full));
        out.sent(HEADER + FRAME_MAX);
        out.push(&[2]).unwrap();
        out.sent(usize::MAX);
        assert!(out.is_empty());
    }

    #[test]
    fn a_half_frame_is_not_between() {
        let mut frames = Frames::new();
        assert!(fed(&mut frames, &[5]).unwrap().is_empty());
        assert!(!frames.is_between());
    }

    #[test]
    fn random_bytes_never_panic_and_never_grow() {
        let mut seed = 0x5eed_u64;
        for _ in 0..2_000 {
            let mut frames = Frames::new();
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                // Small second bytes: some lengths are then allowed.
                seed.to_le_bytes()[usize::from(seed & 1 == 0)] & 0x3
            })
            .take(300)
            .collect();
            let _either = fed(&mut frames, &bytes);
            assert!(frames.bytes.len() <= HEADER + FRAME_MAX);
        }
    }
}
