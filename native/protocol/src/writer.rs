//! The worker's side of writing: frames are gathered and written once per batch.

use crate::Connection;
use crate::frame::{Envelope, frame_bytes, write_head};
use crate::message::Message;
use std::io::{self, IoSlice};

/// Frames that wait to be written. One thread's; where several write, it lies in a mutex.
pub struct FrameWriter {
    pending: Vec<u8>,
    /// How much of `pending` was sent.
    sent: usize,
    sequence: u64,
    session: u32,
    acknowledged: u32,
}

impl FrameWriter {
    /// `session` is stamped on every frame.
    pub fn new(session: u32) -> Self {
        Self {
            pending: Vec::with_capacity(64 << 10),
            sent: 0,
            sequence: 0,
            session,
            acknowledged: 0,
        }
    }

    /// What later frames acknowledge: the highest sequence of the peer that was processed.
    pub fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = sequence as u32;
    }

    /// Adds a frame with its whole tail; returns its sequence.
    pub fn push<M: Message>(&mut self, message: &M, tail: &[u8]) -> u64 {
        let start = self.pending.len();
        self.pending.resize(start + frame_bytes::<M>(tail.len()), 0);
        let envelope = self.next_envelope();
        let at = write_head(message, envelope, tail.len(), &mut self.pending[start..]);
        self.pending[start + at..start + at + tail.len()].copy_from_slice(tail);
        self.sequence
    }

    /// Writes a bulk frame at once, after all that is pending, its tail straight from `tail`. Blocks.
    pub fn send_bulk<M: Message>(
        &mut self,
        connection: &Connection,
        message: &M,
        tail: &[u8],
    ) -> io::Result<u64> {
        let start = self.pending.len();
        self.pending.resize(start + frame_bytes::<M>(0), 0);
        let envelope = self.next_envelope();
        write_head(message, envelope, tail.len(), &mut self.pending[start..]);
        let padding = tail.len().next_multiple_of(8) - tail.len();
        let parts = [&self.pending[self.sent..], tail, &[0; 8][..padding]];
        connection.send_all_waiting(&mut parts.map(IoSlice::new))?;
        self.clear();
        Ok(self.sequence)
    }

    /// True when nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.sent == self.pending.len()
    }

    /// Writes all that is pending, waiting for room.
    pub fn flush(&mut self, connection: &Connection) -> io::Result<()> {
        connection.send_all_waiting(&mut [IoSlice::new(&self.pending[self.sent..])])?;
        self.clear();
        Ok(())
    }

    /// Writes what fits without waiting; true when nothing is left. For acknowledgements, for which nobody waits.
    pub fn flush_now(&mut self, connection: &Connection) -> io::Result<bool> {
        while !self.is_empty() {
            match connection.send_now(&[IoSlice::new(&self.pending[self.sent..])]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.clear();
        connection.drain_now()
    }

    fn clear(&mut self) {
        self.pending.clear();
        self.sent = 0;
    }

    fn next_envelope(&mut self) -> Envelope {
        self.sequence += 1;
        Envelope {
            sequence: self.sequence,
            session: self.session,
            acknowledged: self.acknowledged,
        }
    }
}
