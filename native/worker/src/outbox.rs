//! What goes to the client. The loop and the waiting threads write; each frame goes out whole.

use aquifer_protocol::generated::{Acknowledge, Data};
use aquifer_protocol::{Connection, FrameWriter, Message};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The connection and the frames that wait to be written to it.
pub struct Outbox {
    pub connection: Connection,
    writer: Mutex<FrameWriter>,
    /// Bytes of memory copied out so far.
    pub bytes_out: AtomicU64,
}

impl Outbox {
    /// `session` is stamped on every frame.
    pub fn new(connection: Connection, session: u32) -> Outbox {
        Outbox {
            connection,
            writer: Mutex::new(FrameWriter::new(session)),
            bytes_out: AtomicU64::new(0),
        }
    }

    fn writer(&self) -> MutexGuard<'_, FrameWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame, to be written by the next flush.
    pub fn push<M: Message>(&self, message: &M, tail: &[u8]) {
        self.writer().push(message, tail);
    }

    /// Adds a frame and writes all that waits. For threads other than the loop, which flushes once per batch.
    pub fn send<M: Message>(&self, message: &M, tail: &[u8]) -> io::Result<()> {
        let mut writer = self.writer();
        writer.push(message, tail);
        writer.flush(&self.connection)
    }

    /// Writes bytes of a copy for `destination`, straight from `bytes`, after what waits. Blocks while the client is slow.
    pub fn send_data(&self, destination: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.bytes_out.fetch_add(bytes.len() as u64, Relaxed);
        self.writer()
            .send_bulk(
                &self.connection,
                &Data {
                    offset,
                    destination,
                },
                bytes,
            )
            .map(|_| ())
    }

    /// Writes what waits, waiting for room: only for answers that somebody waits for, so the client reads.
    pub fn flush(&self) -> io::Result<()> {
        let mut writer = self.writer();
        if writer.flush_now(&self.connection)? {
            Ok(())
        } else {
            writer.flush(&self.connection)
        }
    }

    /// Writes what can be written without waiting.
    pub fn try_flush(&self) -> io::Result<bool> {
        match self.writer.try_lock() {
            Ok(mut writer) => writer.flush_now(&self.connection),
            Err(_) => Ok(false),
        }
    }

    /// Tells the client that everything up to `sequence` was processed, if that can be done without waiting for anyone.
    /// False: try again later.
    pub fn acknowledge(&self, sequence: u64) -> io::Result<bool> {
        let Ok(mut writer) = self.writer.try_lock() else {
            return Ok(false);
        };
        if !writer.flush_now(&self.connection)? {
            return Ok(false);
        }
        writer.acknowledge(sequence);
        writer.push(&Acknowledge {}, &[]);
        writer.flush_now(&self.connection)?;
        Ok(true)
    }

    /// What later frames acknowledge: the highest sequence of the client that was processed.
    pub fn note_processed(&self, sequence: u64) {
        self.writer().acknowledge(sequence);
    }

    /// True when nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.writer().is_empty()
    }
}
