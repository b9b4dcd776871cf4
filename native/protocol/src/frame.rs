//! The 24 bytes before every message, and writing a whole frame.

use crate::message::{DecodeError, Message, Wire};

/// Size of a header in bytes.
pub const HEADER_BYTES: usize = 24;
/// Longest frame that is not bulk, in bytes: larger than any parameter buffer or page of names.
pub const MAX_FRAME: usize = 256 << 10;
/// Longest bulk frame, in bytes.
pub const MAX_BULK_FRAME: usize = (1 << 20) + 256;
/// Set in the header of a reply.
pub const FLAG_REPLY: u16 = 1;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole frame in bytes, a multiple of 8.
    pub length: u32,
    pub call: u16,
    pub flags: u16,
    pub sequence: u64,
    pub session: u32,
    /// Low half of the highest sequence of the peer that was processed.
    pub acknowledged: u32,
}

impl Header {
    /// Reads a header; none when there are not enough bytes yet. Refuses lengths that no frame can have.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        let word: u32 = Wire::get(&bytes[4..]);
        let header = Self {
            length: Wire::get(bytes),
            call: word as u16,
            flags: (word >> 16) as u16,
            sequence: Wire::get(&bytes[8..]),
            session: Wire::get(&bytes[16..]),
            acknowledged: Wire::get(&bytes[20..]),
        };
        let length = header.length as usize;
        if !(HEADER_BYTES..=MAX_BULK_FRAME).contains(&length) || !length.is_multiple_of(8) {
            return Err(DecodeError::FrameLength {
                length: header.length,
            });
        }
        Ok(Some(header))
    }

    /// Writes the header into the first 24 bytes of `out`, which must be there.
    #[inline]
    pub fn write(&self, out: &mut [u8]) {
        let out = &mut out[..HEADER_BYTES];
        self.length.put(out);
        (u32::from(self.call) | u32::from(self.flags) << 16).put(&mut out[4..]);
        self.sequence.put(&mut out[8..]);
        self.session.put(&mut out[16..]);
        self.acknowledged.put(&mut out[20..]);
    }

    pub fn is_reply(&self) -> bool {
        self.flags & FLAG_REPLY != 0
    }
}

/// What a frame carries beside its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    pub sequence: u64,
    pub session: u32,
    pub acknowledged: u32,
}

/// Length of the frame of `M` with a tail of `tail_bytes`, in bytes.
#[inline]
pub const fn frame_bytes<M: Message>(tail_bytes: usize) -> usize {
    HEADER_BYTES + M::SHAPE.fixed + tail_bytes.next_multiple_of(8)
}

/// Writes header, fixed part and length of the tail of a frame, and zeroes the padding when `out` is the whole frame.
/// Returns where the tail begins. `out` holds at least header and fixed part.
#[inline]
pub fn write_head<M: Message>(
    message: &M,
    envelope: Envelope,
    tail_bytes: usize,
    out: &mut [u8],
) -> usize {
    let shape = M::SHAPE;
    let length = frame_bytes::<M>(tail_bytes);
    let flags = if shape.reply { FLAG_REPLY } else { 0 };
    let Envelope {
        sequence,
        session,
        acknowledged,
    } = envelope;
    Header {
        length: length as u32,
        call: shape.call,
        flags,
        sequence,
        session,
        acknowledged,
    }
    .write(out);
    let start = HEADER_BYTES + shape.fixed;
    let fixed = &mut out[HEADER_BYTES..start];
    message.put_fixed(fixed);
    if let Some(at) = shape.tail_length_at {
        (tail_bytes as u32).put(&mut fixed[at..]);
    }
    if out.len() >= length {
        out[start + tail_bytes..length].fill(0);
    }
    start
}

/// A whole frame as bytes: for handshakes and tests, where speed does not matter.
pub fn frame<M: Message>(message: &M, envelope: Envelope, tail: &[u8]) -> Vec<u8> {
    let mut out = vec![0; frame_bytes::<M>(tail.len())];
    let start = write_head(message, envelope, tail.len(), &mut out);
    out[start..start + tail.len()].copy_from_slice(tail);
    out
}
