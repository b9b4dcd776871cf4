//! Fixed parts and tails: the checks that every generated decoder shares.

use std::fmt;

/// Why bytes are not a message. Each names what was found, so that a log line is enough to see which side is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No message has this number in this direction.
    UnknownCall { call: u16 },
    /// The body is shorter than the fixed part of the message, in bytes.
    TooShort {
        call: u16,
        expected: usize,
        found: usize,
    },
    /// The stated length of the tail does not match the length of the frame.
    TailLength {
        call: u16,
        stated: usize,
        available: usize,
    },
    /// The length of a frame is not a multiple of 8, below the header or over the limit.
    FrameLength { length: u32 },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownCall { call } => write!(f, "no message has the number {call:#x}"),
            Self::TooShort {
                call,
                expected,
                found,
            } => {
                write!(
                    f,
                    "message {call:#x} has a body of {found} bytes, at least {expected} are needed"
                )
            }
            Self::TailLength {
                call,
                stated,
                available,
            } => {
                write!(
                    f,
                    "message {call:#x} states a tail of {stated} bytes where the frame has room for {available}"
                )
            }
            Self::FrameLength { length } => write!(f, "a frame cannot have {length} bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What the codec knows of a message beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: &'static str,
    pub call: u16,
    pub reply: bool,
    /// Size of the fixed part in bytes, a multiple of 8.
    pub fixed: usize,
    /// Where the length of the tail lies in the fixed part; none without a tail.
    pub tail_length_at: Option<usize>,
    /// The tail is moved straight between socket and memory.
    pub bulk: bool,
}

/// A message with a fixed part. Implemented by generated code only.
pub trait Message: Copy {
    const SHAPE: Shape;
    /// Writes the fixed part into the first `SHAPE.fixed` bytes of `out`, which must be there.
    fn put_fixed(&self, out: &mut [u8]);
    /// Reads the fixed part; none when `body` is too short.
    fn get_fixed(body: &[u8]) -> Option<Self>;
}

/// A message that is answered.
pub trait Request: Message {
    type Reply: Message;
}

/// How every reply begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    pub reply_to: u64,
    pub result: u32,
}

impl ReplyHead {
    /// Reads the beginning of a reply's body; none when it is too short.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body = body.get(..16)?;
        Some(Self {
            reply_to: Wire::get(body),
            result: Wire::get(&body[8..]),
        })
    }
}

/// Reads a whole body: the fixed part and exactly the tail it states. A bulk message's tail is left to the reader.
#[inline]
pub fn decode<M: Message>(body: &[u8]) -> Result<(M, &[u8]), DecodeError> {
    let shape = M::SHAPE;
    let Some(fixed) = M::get_fixed(body) else {
        return Err(DecodeError::TooShort {
            call: shape.call,
            expected: shape.fixed,
            found: body.len(),
        });
    };
    let rest = body.get(shape.fixed..).unwrap_or_default();
    if shape.bulk {
        return Ok((fixed, &[]));
    }
    let stated = tail_length(&shape, body)?;
    if stated > rest.len() || rest.len() - stated >= 8 {
        return Err(DecodeError::TailLength {
            call: shape.call,
            stated,
            available: rest.len(),
        });
    }
    Ok((fixed, &rest[..stated]))
}

/// The length of the tail that a fixed part states, in bytes; 0 for a message without one.
pub(crate) fn tail_length(shape: &Shape, body: &[u8]) -> Result<usize, DecodeError> {
    let Some(at) = shape.tail_length_at else {
        return Ok(0);
    };
    match body.get(at..at + 4) {
        Some(bytes) => Ok(u32::get(bytes) as usize),
        None => Err(DecodeError::TooShort {
            call: shape.call,
            expected: shape.fixed,
            found: body.len(),
        }),
    }
}

/// A scalar or array of scalars as the wire has it. Only used on slices whose length the caller checked.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut [u8]);
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! scalar {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            #[inline]
            fn put(&self, out: &mut [u8]) {
                out[..size_of::<Self>()].copy_from_slice(&self.to_le_bytes());
            }
            #[inline]
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<Self>()];
                raw.copy_from_slice(&bytes[..size_of::<Self>()]);
                Self::from_le_bytes(raw)
            }
        }
    )*};
}

scalar!(u8, u32, i32, f32, u64);

impl<T: Wire + Copy + Default, const N: usize> Wire for [T; N] {
    #[inline]
    fn put(&self, out: &mut [u8]) {
        for (index, item) in self.iter().enumerate() {
            item.put(&mut out[index * size_of::<T>()..]);
        }
    }
    #[inline]
    fn get(bytes: &[u8]) -> Self {
        let mut items = [T::default(); N];
        for (index, item) in items.iter_mut().enumerate() {
            *item = T::get(&bytes[index * size_of::<T>()..]);
        }
        items
    }
}
