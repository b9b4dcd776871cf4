//! What goes to the client. The loop and the waiting threads write; each frame goes out whole. Where the session outlives its
//! connection, losing that is no error here: frames are kept, and the loop, which reads, finds out.

use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::{Acknowledge, Data, Resumed};
use aquifer_protocol::{Connection, FrameWriter, Message};
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are kept for a client that does not say that it has them: an honest one never asks for so much at once.
const MOST_KEPT: usize = 48 << 20;

/// The connection and the frames that wait to be written to it.
pub struct Outbox {
    pub connection: Connection,
    writer: Mutex<FrameWriter>,
    session: u32,
    /// The session outlives its connection.
    resumable: AtomicBool,
    /// False from the loss of a connection to the next one.
    connected: AtomicBool,
    /// What the client has said that it has got. The writer may be blocked when somebody asks.
    received: AtomicU64,
    /// Bytes of memory copied out so far.
    pub bytes_out: AtomicU64,
}

impl Outbox {
    /// `session` is stamped on every frame.
    pub fn new(connection: Connection, session: u32) -> Outbox {
        Outbox {
            connection,
            writer: Mutex::new(FrameWriter::new(session)),
            session,
            resumable: AtomicBool::new(false),
            connected: AtomicBool::new(true),
            received: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    fn writer(&self) -> MutexGuard<'_, FrameWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the session outlives its connection.
    pub fn outlive(&self) {
        self.writer().keep();
        self.resumable.store(true, Relaxed);
    }

    pub fn is_resumable(&self) -> bool {
        self.resumable.load(Relaxed)
    }

    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// Gives the connection up: whoever waits on it wakes.
    pub fn cut(&self) {
        self.connected.store(false, Relaxed);
        self.connection.shut_down();
    }

    /// A failure to write is one of the session only where that cannot be resumed.
    fn survive<T>(&self, outcome: io::Result<T>, otherwise: T) -> io::Result<T> {
        match outcome {
            Err(_) if self.is_resumable() => {
                self.cut();
                Ok(otherwise)
            }
            other => other,
        }
    }

    /// Adds a frame, to be written by the next flush.
    pub fn push<M: Message>(&self, message: &M, tail: &[u8]) {
        self.writer().push(message, tail);
    }

    /// Adds a frame and writes all that waits. For threads other than the loop, which flushes once per batch.
    pub fn send<M: Message>(&self, message: &M, tail: &[u8]) -> io::Result<()> {
        let mut writer = self.writer();
        writer.push(message, tail);
        let flushed = writer.flush(&self.connection);
        self.survive(flushed, ())
    }

    /// Writes bytes of a copy for `destination`, straight from `bytes`, after what waits. Blocks while the client is slow. Where
    /// nobody could ask for them again, `keep` says so: they are kept until the client has them.
    pub fn send_data(
        &self,
        destination: u32,
        offset: u64,
        bytes: &[u8],
        keep: bool,
    ) -> io::Result<()> {
        self.bytes_out.fetch_add(bytes.len() as u64, Relaxed);
        let data = Data {
            offset,
            destination,
        };
        let mut writer = self.writer();
        let sent = if keep && self.is_resumable() {
            if writer.kept_bytes() > MOST_KEPT {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            writer.push(&data, bytes);
            writer.flush(&self.connection)
        } else if self.is_connected() {
            writer.send_bulk(&self.connection, &data, bytes).map(|_| ())
        } else {
            return Ok(());
        };
        self.survive(sent, ())
    }

    /// Writes what waits, waiting for room: only for answers that somebody waits for, so the client reads.
    pub fn flush(&self) -> io::Result<()> {
        let mut writer = self.writer();
        let flushed = match writer.flush_now(&self.connection) {
            Ok(true) => Ok(()),
            Ok(false) => writer.flush(&self.connection),
            Err(error) => Err(error),
        };
        self.survive(flushed, ())
    }

    /// Writes what can be written without waiting.
    pub fn try_flush(&self) -> io::Result<bool> {
        let Ok(mut writer) = self.writer.try_lock() else {
            return Ok(false);
        };
        let flushed = writer.flush_now(&self.connection);
        self.survive(flushed, false)
    }

    /// Tells the client that everything up to `sequence` was processed, if that can be done without waiting for anyone.
    /// False: try again later.
    pub fn acknowledge(&self, sequence: u64) -> io::Result<bool> {
        let Ok(mut writer) = self.writer.try_lock() else {
            return Ok(false);
        };
        writer.acknowledge(sequence);
        let told = self.tell_of_life(&mut writer);
        self.survive(told, false)
    }

    /// Tells a client that may be waiting that this end is there. For a thread that never waits.
    pub fn beat(&self) {
        if self.is_connected()
            && let Ok(mut writer) = self.writer.try_lock()
        {
            let told = self.tell_of_life(&mut writer);
            let _ = self.survive(told, false);
        }
    }

    fn tell_of_life(&self, writer: &mut FrameWriter) -> io::Result<bool> {
        if !writer.flush_now(&self.connection)? {
            return Ok(false);
        }
        writer.push(&Acknowledge {}, &[]);
        writer.flush_now(&self.connection)?;
        Ok(true)
    }

    /// What later frames acknowledge: the highest sequence of the client that was processed.
    pub fn note_processed(&self, sequence: u64) {
        self.writer().acknowledge(sequence);
    }

    /// The client has what was sent up to the sequence whose low half this is. False when it cannot.
    pub fn note_received(&self, low: u32) -> bool {
        let mut writer = self.writer();
        let possible = writer.note_received(low);
        self.received.store(writer.received(), Relaxed);
        possible
    }

    /// False when more is kept for the client than an honest one lets stand.
    pub fn keeps_within_bounds(&self) -> bool {
        self.writer().kept_bytes() <= MOST_KEPT
    }

    /// True when nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.writer().is_empty()
    }

    /// Whether a client that says that it has got so much can be the one that was here: that has no less than it has said.
    pub fn can_resume(&self, received: u64) -> bool {
        received >= self.received.load(Relaxed)
    }

    /// Goes on over another connection: tells the client what was processed, and again what it has not got. Only while nobody
    /// reads. False when the client cannot have received what it says it has.
    pub fn resume(
        &self,
        connection: Connection,
        received: u64,
        resumed: &Resumed,
    ) -> io::Result<bool> {
        let mut writer = self.writer();
        if !writer.restart(received) {
            return Ok(false);
        }
        self.received.store(received, Relaxed);
        self.connection.replace(connection)?;
        self.connected.store(true, Relaxed);
        writer.acknowledge(resumed.processed);
        let envelope = Envelope {
            sequence: 0,
            session: self.session,
            acknowledged: resumed.processed as u32,
        };
        let first = frame(resumed, envelope, &[]);
        let sent = self
            .connection
            .send_all_waiting(&mut [IoSlice::new(&first)])
            // No more than fits: the client may be writing, too.
            .and_then(|()| writer.flush_now(&self.connection));
        self.survive(sent, true).map(|_| true)
    }
}
