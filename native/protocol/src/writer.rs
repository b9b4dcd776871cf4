//! The worker's side of writing: frames are gathered and written once per batch. Where the connection may be lost and made
//! again, they are kept until the client has them.

use crate::Connection;
use crate::frame::{Envelope, Header, frame_bytes, write_head};
use crate::generated::Acknowledge;
use crate::message::Message;
use std::io::{self, IoSlice};

/// Room for the head of a bulk frame of a worker, in bytes.
const HEAD_BYTES: usize = 64;

/// Frames that wait to be written. One thread's; where several write, it lies in a mutex.
pub struct FrameWriter {
    /// Frames in order: those that are kept, from `first` on, and those that wait, from `sent` on.
    pending: Vec<u8>,
    first: usize,
    sent: usize,
    keeps: bool,
    sequence: u64,
    /// The highest sequence that the client is known to have.
    received: u64,
    session: u32,
    acknowledged: u32,
}

impl FrameWriter {
    /// `session` is stamped on every frame.
    pub fn new(session: u32) -> Self {
        Self {
            pending: Vec::with_capacity(64 << 10),
            first: 0,
            sent: 0,
            keeps: false,
            sequence: 0,
            received: 0,
            session,
            acknowledged: 0,
        }
    }

    /// From now on frames are kept until the client has them.
    pub fn keep(&mut self) {
        self.keeps = true;
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

    /// Writes a bulk frame at once, after all that is pending, its tail straight from `tail`. Blocks. It is not kept: who wants
    /// it after the connection was lost asks again.
    pub fn send_bulk<M: Message>(
        &mut self,
        connection: &Connection,
        message: &M,
        tail: &[u8],
    ) -> io::Result<u64> {
        let mut head = [0; HEAD_BYTES];
        let head = &mut head[..frame_bytes::<M>(0)];
        let envelope = self.next_envelope();
        write_head(message, envelope, tail.len(), head);
        let padding = tail.len().next_multiple_of(8) - tail.len();
        let parts = [&self.pending[self.sent..], head, tail, &[0; 8][..padding]];
        connection.send_all_waiting(&mut parts.map(IoSlice::new))?;
        self.all_sent();
        Ok(self.sequence)
    }

    /// True when nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.sent == self.pending.len()
    }

    /// Up to where the client is known to have what was sent.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of frames that the client is not known to have.
    pub fn kept_bytes(&self) -> usize {
        self.pending.len() - self.first
    }

    /// Writes all that is pending, waiting for room.
    pub fn flush(&mut self, connection: &Connection) -> io::Result<()> {
        connection.send_all_waiting(&mut [IoSlice::new(&self.pending[self.sent..])])?;
        self.all_sent();
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
        self.all_sent();
        connection.drain_now()
    }

    /// The client has everything up to the sequence whose low half this is: it is kept no longer. Frames that are written again
    /// say what held when they were made: that is less, and nothing new. False when there is no such sequence.
    #[must_use]
    pub fn note_received(&mut self, low: u32) -> bool {
        match u64::try_from(low.wrapping_sub(self.received as u32) as i32) {
            Ok(more) => self.received_up_to(self.received + more),
            Err(_) => true,
        }
    }

    /// Another connection begins, on which the client has said up to where frames have come: the others are written again.
    /// False when the client cannot have said so.
    #[must_use]
    pub fn restart(&mut self, received: u64) -> bool {
        let possible = received >= self.received && self.received_up_to(received);
        self.drop_acknowledgements();
        self.sent = self.first;
        possible
    }

    /// On another connection what was processed is told anew.
    fn drop_acknowledgements(&mut self) {
        let kept = self.pending.split_off(self.first);
        self.clear();
        let mut rest = &kept[..];
        while let Ok(Some(header)) = Header::read(rest) {
            let (frame, more) = rest.split_at((header.length as usize).min(rest.len()));
            if header.call != Acknowledge::SHAPE.call {
                self.pending.extend_from_slice(frame);
            }
            rest = more;
        }
    }

    fn received_up_to(&mut self, sequence: u64) -> bool {
        if sequence > self.sequence {
            return false;
        }
        self.received = sequence;
        while let Ok(Some(header)) = Header::read(&self.pending[self.first..]) {
            let end = self.first + header.length as usize;
            if header.sequence > sequence || end > self.sent {
                break;
            }
            self.first = end;
        }
        if self.first == self.pending.len() {
            self.clear();
        } else if self.first > self.pending.len() / 2 {
            // Moves less than was dropped.
            self.pending.drain(..self.first);
            self.sent -= self.first;
            self.first = 0;
        }
        true
    }

    fn all_sent(&mut self) {
        if self.keeps {
            self.sent = self.pending.len();
        } else {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.pending.clear();
        (self.first, self.sent) = (0, 0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::{Data, DataFailed};

    const KEPT: DataFailed = DataFailed {
        destination: 1,
        result: 2,
    };
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// A writer that keeps, and what it writes to.
    fn pair() -> (FrameWriter, Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut writer = FrameWriter::new(7);
        writer.keep();
        (writer, Connection::plain(ours.into()), theirs)
    }

    /// The sequences of the frames that have come since this was asked last.
    fn came(stream: &mut UnixStream) -> Vec<u64> {
        let mut bytes = vec![0; 1 << 16];
        let count = stream.read(&mut bytes).unwrap_or(0);
        let mut rest = &bytes[..count];
        let mut sequences = Vec::new();
        while let Ok(Some(header)) = Header::read(rest) {
            sequences.push(header.sequence);
            rest = &rest[header.length as usize..];
        }
        sequences
    }

    #[test]
    fn what_the_client_has_not_is_written_again_and_nothing_else() {
        let (mut writer, connection, mut stream) = pair();
        for _ in 0..5 {
            writer.push(&KEPT, &[]);
        }
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1, 2, 3, 4, 5]);
        assert!(writer.note_received(2));
        writer.push(&KEPT, &[]);
        assert!(writer.restart(3));
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [4, 5, 6]);
        assert!(writer.note_received(6));
        assert_eq!(writer.kept_bytes(), 0);
    }

    #[test]
    fn acknowledgements_are_not_written_again() {
        let (mut writer, connection, mut stream) = pair();
        writer.push(&KEPT, &[]);
        writer.push(&Acknowledge {}, &[]);
        writer.push(&KEPT, &[]);
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1, 2, 3]);
        assert!(writer.restart(0));
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1, 3]);
    }

    #[test]
    fn bulk_is_not_kept_and_what_is_around_it_is() {
        let (mut writer, connection, mut stream) = pair();
        writer.push(&KEPT, &[]);
        let data = Data {
            offset: 0,
            destination: 1,
        };
        writer.send_bulk(&connection, &data, &[1; 100]).unwrap();
        writer.push(&KEPT, &[]);
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1, 2, 3]);
        assert!(writer.restart(0));
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1, 3]);
    }

    #[test]
    fn a_client_cannot_have_what_was_never_sent_nor_give_back_what_it_has() {
        let (mut writer, connection, _stream) = pair();
        writer.push(&KEPT, &[]);
        writer.push(&KEPT, &[]);
        writer.flush(&connection).unwrap();
        assert!(!writer.note_received(3));
        assert!(writer.note_received(2));
        assert!(
            writer.note_received(1),
            "a frame that is written again says less"
        );
        assert!(!writer.restart(1));
        assert!(!writer.restart(3));
        assert!(writer.restart(2));
    }

    #[test]
    fn without_keeping_nothing_stays() {
        let (ours, mut stream) = UnixStream::pair().unwrap();
        let (mut writer, connection) = (FrameWriter::new(7), Connection::plain(ours.into()));
        writer.push(&KEPT, &[]);
        writer.flush(&connection).unwrap();
        assert_eq!(came(&mut stream), [1]);
        assert_eq!(writer.kept_bytes(), 0);
    }
}
