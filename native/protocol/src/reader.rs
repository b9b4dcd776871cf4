//! Cuts a stream into frames. Bulk tails are left in the stream, to be read straight to where they belong.

use crate::Connection;
use crate::frame::{HEADER_BYTES, Header, MAX_FRAME};
use crate::generated::shape_of;
use crate::message::{DecodeError, tail_length};
use crate::socket::monotonic_ns;
use std::io::{self, IoSliceMut};
use std::time::Duration;

/// Bytes read in one call: a batch of thousands of launches.
const BUFFER_BYTES: usize = 512 << 10;

/// Bytes read ahead of a bulk frame's end, where another bulk frame is expected: what of its tail comes along is copied once more.
const AHEAD_BYTES: usize = 1 << 10;

/// What `next` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole frame.
    Frame { header: Header, body: &'a [u8] },
    /// A bulk frame up to its tail, which is read by `read_tail`; what of it is not read is skipped.
    Bulk {
        header: Header,
        body: &'a [u8],
        tail_bytes: usize,
    },
}

/// Frames of one direction of a connection.
pub struct FrameReader {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of a bulk tail that are still in the stream, and the padding after them.
    tail: usize,
    padding: usize,
    /// The last frame was bulk: the next one is likely to be, too.
    amid_bulk: bool,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    pub fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            tail: 0,
            padding: 0,
            amid_bulk: false,
        }
    }

    /// Forgets what was received: another stream begins.
    pub fn restart(&mut self) {
        (self.start, self.end) = (0, 0);
        (self.tail, self.padding) = (0, 0);
        self.amid_bulk = false;
    }

    /// The next frame of what was received; none when more must be received first. Refuses what cannot be a frame, after
    /// which the connection is good for nothing.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Incoming<'_>>, DecodeError> {
        if self.tail + self.padding > 0 && !self.skip_tail() {
            return Ok(None);
        }
        let bytes = &self.buffer[self.start..self.end];
        let Some(header) = Header::read(bytes)? else {
            return Ok(None);
        };
        let Some(shape) = shape_of(header.call, header.is_reply()) else {
            return Err(DecodeError::UnknownCall { call: header.call });
        };
        let length = header.length as usize;
        if shape.bulk {
            return self.next_bulk(header, shape);
        }
        if length > MAX_FRAME {
            return Err(DecodeError::FrameLength {
                length: header.length,
            });
        }
        if bytes.len() < length {
            return Ok(None);
        }
        self.amid_bulk = false;
        let body = self.start + HEADER_BYTES..self.start + length;
        self.start += length;
        Ok(Some(Incoming::Frame {
            header,
            body: &self.buffer[body],
        }))
    }

    fn next_bulk(
        &mut self,
        header: Header,
        shape: crate::message::Shape,
    ) -> Result<Option<Incoming<'_>>, DecodeError> {
        let fixed = HEADER_BYTES + shape.fixed;
        let length = header.length as usize;
        if length < fixed {
            return Err(DecodeError::TooShort {
                call: header.call,
                expected: shape.fixed,
                found: length - HEADER_BYTES,
            });
        }
        if self.end - self.start < fixed {
            return Ok(None);
        }
        let body = self.start + HEADER_BYTES..self.start + fixed;
        let stated = tail_length(&shape, &self.buffer[body.clone()])?;
        let available = length - fixed;
        if stated > available || available - stated >= 8 {
            return Err(DecodeError::TailLength {
                call: header.call,
                stated,
                available,
            });
        }
        self.start += fixed;
        self.tail = stated;
        self.padding = available - stated;
        self.amid_bulk = true;
        Ok(Some(Incoming::Bulk {
            header,
            body: &self.buffer[body],
            tail_bytes: stated,
        }))
    }

    /// True when the tail and its padding are behind us.
    fn skip_tail(&mut self) -> bool {
        let skipped = (self.end - self.start).min(self.tail + self.padding);
        self.start += skipped;
        let of_tail = skipped.min(self.tail);
        self.tail -= of_tail;
        self.padding -= skipped - of_tail;
        self.tail + self.padding == 0
    }

    /// Bytes of the current bulk tail that were not read yet.
    pub fn tail_left(&self) -> usize {
        self.tail
    }

    /// Moves bytes of the tail that were received already; returns how many.
    fn take_tail(&mut self, destination: &mut [u8]) -> usize {
        let count = destination.len().min(self.tail).min(self.end - self.start);
        destination[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        self.tail -= count;
        count
    }

    /// Reads the next bytes of a bulk tail, waiting for them: all of `destination`, which must not be longer than
    /// `tail_left`. UnexpectedEof at the end of the stream.
    pub fn read_tail(&mut self, connection: &Connection, destination: &mut [u8]) -> io::Result<()> {
        if destination.len() > self.tail {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut done = self.take_tail(destination);
        while done < destination.len() {
            // What was received before is used up, or the tail would still be taken from it. The next frame's head comes along.
            let wanted = destination.len() - done;
            let ahead = if wanted == self.tail { AHEAD_BYTES } else { 0 };
            let mut parts =
                [&mut destination[done..], &mut self.buffer[..ahead]].map(IoSliceMut::new);
            let got = connection.recv_parts(&mut parts)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let of_tail = got.min(wanted);
            done += of_tail;
            self.tail -= of_tail;
            (self.start, self.end) = (0, got - of_tail);
        }
        Ok(())
    }

    /// Receives more without waiting; WouldBlock when there is nothing, 0 at the end of the stream.
    pub fn fill_now(&mut self, connection: &Connection) -> io::Result<usize> {
        self.make_room();
        if self.end == self.buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "frames wait to be taken",
            ));
        }
        let most = if self.amid_bulk && self.start == self.end {
            AHEAD_BYTES
        } else {
            BUFFER_BYTES
        };
        let room = (self.buffer.len() - self.end).min(most);
        let got = connection.recv_now(&mut self.buffer[self.end..self.end + room])?;
        self.end += got;
        Ok(got)
    }

    /// Receives more: spins for `spin` giving up the CPU each time, then blocks. 0 at the end of the stream.
    pub fn fill(&mut self, connection: &Connection, spin: Duration) -> io::Result<usize> {
        let mut deadline = None;
        loop {
            match self.fill_now(connection) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            let now = monotonic_ns();
            if now >= *deadline.get_or_insert(now + spin.as_nanos() as u64) {
                connection.wait_readable(None)?;
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// As `fill_now`, from memory: for tests and fuzzing. Returns how many bytes were taken.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        self.make_room();
        let count = bytes.len().min(self.buffer.len() - self.end);
        self.buffer[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// As `read_tail`, of what was fed only: returns how many bytes were there.
    pub fn feed_tail(&mut self, destination: &mut [u8]) -> usize {
        self.take_tail(destination)
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.end < MAX_FRAME {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}
