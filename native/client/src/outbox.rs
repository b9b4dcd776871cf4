//! Frames on their way to the worker. A call appends to a ring and, most of the time, is done; who writes, and when:
//!
//! * the caller, when nothing was pending and the last write is well past (a lone call is not delayed), when 32 KiB are pending,
//!   when the oldest frame has waited for as long as the last write took (20 us to 1 ms), or when it wants a reply;
//! * the watchdog, for the tail of a burst: it naps 200 us and sleeps after four empty naps. While bulk is written it has nothing
//!   to do, and does not wake 4000 times a second to see that.
//!
//! Where the connection can be lost, frames stay until the worker has carried them out; who finds it lost makes another, writes
//! again what is left, and goes on.

use crate::line::{Bulk, Due, Line};
use crate::way_back::Recover;
use aquifer_protocol::frame::{Envelope, frame_bytes, write_head};
use aquifer_protocol::{Connection, HEARTBEAT, Message, MirrorRing, monotonic_ns};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const RING_BYTES: usize = 1 << 20;
/// Of a ring whose frames are kept: the worker acknowledges each 256 KiB, and what is under way comes on top.
const KEEPING_RING_BYTES: usize = 2 << 20;
/// What the worker sent is taken once for so many bytes written: acknowledgements must not fill its socket.
const NEWS_BYTES: u64 = RING_BYTES as u64 / 4;
/// Bytes of one write.
const WRITE_BYTES: u64 = 64 << 10;
const NAP: Duration = Duration::from_micros(200);
const EMPTY_NAPS: u32 = 4;

/// The client's writing half of a connection.
pub struct Outbox {
    ring: MirrorRing,
    line: Mutex<Line>,
    /// Signals that frames wait while the watchdog sleeps.
    waiting: Condvar,
    /// Held while writing: what is written is always whole frames in order.
    write: Mutex<()>,
    session: u32,
    keeps: bool,
    /// The highest sequence of the worker that has come.
    received: AtomicU64,
}

/// What a writer needs of the session around it.
pub trait Surroundings: Recover {
    /// The socket is full: reads, so that both ends never wait for each other, and waits for room.
    fn stalled(&self) -> io::Result<()>;
    /// Much was written since the last call: takes what the worker sent meanwhile, without waiting.
    fn take_news(&self) -> io::Result<()>;
    /// The ring is full of what is not acknowledged: waits until something comes.
    fn await_news(&self) -> io::Result<()>;
    /// Called every now and then: tells the worker that this end lives, and looks whether the other one does.
    fn look_after(&self) -> io::Result<()>;
}

impl Outbox {
    /// `session` is stamped on every frame. With `keeps` frames are kept until they are acknowledged.
    pub fn new(session: u32, keeps: bool) -> io::Result<Self> {
        let bytes = if keeps {
            KEEPING_RING_BYTES
        } else {
            RING_BYTES
        };
        Ok(Self {
            ring: MirrorRing::new(bytes)?,
            line: Mutex::new(Line::new(keeps)),
            waiting: Condvar::new(),
            write: Mutex::new(()),
            session,
            keeps,
            received: AtomicU64::new(0),
        })
    }

    #[inline]
    pub fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds off all writing.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.write.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame of the worker has come, and was taken whole.
    pub fn note_received(&self, sequence: u64) {
        self.received.store(sequence, Ordering::Relaxed);
    }

    /// The highest sequence of the worker that has come.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Appends a frame whose tail `fill` writes, and writes if the rule says so. Returns its sequence.
    #[inline]
    pub fn post<M: Message>(
        &self,
        link: &Link<'_>,
        message: &M,
        tail_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> io::Result<u64> {
        let mut line = self.append(link, message, tail_bytes, fill)?;
        let sequence = line.sequence;
        let due = line.due(frame_bytes::<M>(tail_bytes) as u64, monotonic_ns);
        drop(line);
        match due {
            Due::Nothing => {}
            Due::Write => self.flush(link)?,
            Due::WakeWatchdog => self.waiting.notify_one(),
        }
        Ok(sequence)
    }

    /// Appends a frame that is to be answered and writes all there is. `register` learns the sequence before the frame can be
    /// seen by anybody.
    pub fn request<M: Message>(
        &self,
        link: &Link<'_>,
        message: &M,
        tail: &[u8],
        register: impl FnOnce(u64),
    ) -> io::Result<u64> {
        let fill = |slot: &mut [u8]| slot.copy_from_slice(tail);
        let line = self.append(link, message, tail.len(), fill)?;
        let sequence = line.sequence;
        register(sequence);
        drop(line);
        self.flush(link)?;
        Ok(sequence)
    }

    /// Writes a bulk frame, and all before it, at once: its tail goes from `tail` to the socket without a copy. Where frames are
    /// kept, `tail` must stay as it is until the frame is acknowledged.
    pub fn bulk<M: Message>(&self, link: &Link<'_>, message: &M, tail: &[u8]) -> io::Result<u64> {
        let head = frame_bytes::<M>(0);
        let mut line = self.make_room(link, head)?;
        self.put(&mut line, message, tail.len(), head);
        line.add_bulk(tail);
        let sequence = line.sequence;
        drop(line);
        self.flush(link)?;
        Ok(sequence)
    }

    /// Writes everything that was appended before the call.
    pub fn flush(&self, link: &Link<'_>) -> io::Result<()> {
        let (before, end) = {
            let mut line = self.line();
            line.mark();
            (line.sent, line.tail)
        };
        if before >= end {
            return Ok(());
        }
        let mut writing = self.hold();
        let began = monotonic_ns();
        loop {
            let generation = link.around.generation();
            let Err(error) = self.write_until(link, end) else {
                break;
            };
            drop(writing);
            link.around.recover(generation, error)?;
            writing = self.hold();
        }
        let mut line = self.line();
        line.note_write(began, monotonic_ns());
        let after = line.sent;
        let wake = line.tail != after && line.wakes();
        drop(line);
        drop(writing);
        if wake {
            self.waiting.notify_one();
        }
        if before / NEWS_BYTES != after / NEWS_BYTES {
            let generation = link.around.generation();
            if let Err(error) = link.around.take_news() {
                link.around.recover(generation, error)?;
            }
        }
        Ok(())
    }

    /// Writes again, on another connection, what the worker has not carried out. With the lock on writing held.
    pub fn write_again(&self, link: &Link<'_>, processed: u64) -> io::Result<()> {
        let end = {
            let mut line = self.line();
            line.rewind(&self.ring, processed)?;
            line.tail
        };
        self.write_until(link, end)
    }

    /// The session is over: when this returns nobody reads memory that callers have given.
    pub fn give_up(&self) {
        let _writing = self.hold();
        self.line().give_up();
    }

    /// With the lock on writing held.
    fn write_until(&self, link: &Link<'_>, end: u64) -> io::Result<()> {
        let (mut sent, mut bulk) = {
            let line = self.line();
            (line.sent, line.next_bulk())
        };
        while sent < end {
            let upto = bulk.map_or(end, |bulk| bulk.end.min(end));
            let length = (upto - sent).min(WRITE_BYTES);
            // SAFETY: the bytes were appended before `end` was published, and are not reused before `sent` passes them.
            let frames = unsafe { self.ring.slice(sent, length as usize) };
            sent += length;
            let written = bulk.filter(|bulk| bulk.end == sent);
            match written {
                Some(bulk) => link.send_bulk(frames, bulk)?,
                None => link.send(frames)?,
            }
            let now = monotonic_ns();
            let mut line = self.line();
            (line.sent, line.oldest) = (sent, now);
            if written.is_some() {
                line.bulk_written();
                bulk = line.next_bulk();
            }
        }
        Ok(())
    }

    /// The line, locked, with room for `bytes`.
    #[inline]
    fn make_room(&self, link: &Link<'_>, bytes: usize) -> io::Result<MutexGuard<'_, Line>> {
        if bytes > self.ring.bytes() / 2 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a frame is too long",
            ));
        }
        loop {
            let line = self.line();
            if line.room(self.ring.bytes() as u64) >= bytes as u64 {
                return Ok(line);
            }
            drop(line);
            self.flush(link)?;
            if self.keeps {
                self.await_room(link, bytes as u64)?;
            }
        }
    }

    /// Everything is written: waits until enough of it is acknowledged.
    fn await_room(&self, link: &Link<'_>, bytes: u64) -> io::Result<()> {
        while self.line().room(self.ring.bytes() as u64) < bytes {
            let generation = link.around.generation();
            if let Err(error) = link.around.await_news() {
                link.around.recover(generation, error)?;
            }
        }
        Ok(())
    }

    /// Appends a whole frame when there is room for it; returns the line, still locked.
    #[inline]
    fn append<M: Message>(
        &self,
        link: &Link<'_>,
        message: &M,
        tail_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> io::Result<MutexGuard<'_, Line>> {
        let bytes = frame_bytes::<M>(tail_bytes);
        let mut line = self.make_room(link, bytes)?;
        let (slot, at) = self.put(&mut line, message, tail_bytes, bytes);
        fill(&mut slot[at..at + tail_bytes]);
        Ok(line)
    }

    /// Puts the first `bytes` of a frame in line, for which there is room. Returns them and where the tail begins.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    fn put<M: Message>(
        &self,
        line: &mut Line,
        message: &M,
        tail_bytes: usize,
        bytes: usize,
    ) -> (&mut [u8], usize) {
        line.sequence += 1;
        let envelope = Envelope {
            sequence: line.sequence,
            session: self.session,
            acknowledged: self.received() as u32,
        };
        // SAFETY: the bytes lie beyond `tail`, where nobody reads before the caller lets go of the line.
        let slot = unsafe { self.ring.slot(line.tail, bytes) };
        let at = write_head(message, envelope, tail_bytes, slot);
        line.tail += bytes as u64;
        (slot, at)
    }

    /// The watchdog's whole life. Ends when the session does.
    pub fn watch(&self, link: &Link<'_>) -> io::Result<()> {
        let mut empty = 0;
        let mut looked = monotonic_ns();
        loop {
            if self.keeps && monotonic_ns() - looked > HEARTBEAT.as_nanos() as u64 {
                link.around.look_after()?;
                looked = monotonic_ns();
            }
            let mut line = self.line();
            // Bulk is being written by who waits for it, who wakes this thread if more is left then.
            if line.sent != line.tail && line.next_bulk().is_none() {
                empty = 0;
                let is_old = line.is_old();
                drop(line);
                // Whoever is writing sees to what is left, and is not to be made to wake this thread.
                if is_old && self.write.try_lock().is_ok() {
                    self.flush(link)?;
                }
            } else if empty == EMPTY_NAPS {
                empty = 0;
                line.asleep = true;
                while line.asleep && !self.keeps {
                    line = self
                        .waiting
                        .wait(line)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                if line.asleep {
                    line = self
                        .waiting
                        .wait_timeout(line, HEARTBEAT)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                line.asleep = false;
                drop(line);
            } else {
                empty += 1;
                drop(line);
            }
            std::thread::sleep(NAP);
        }
    }
}

/// A connection and what is around it.
pub struct Link<'a> {
    pub connection: &'a Connection,
    pub around: &'a dyn Surroundings,
}

impl Link<'_> {
    fn send_bulk(&self, frames: &[u8], bulk: Bulk) -> io::Result<()> {
        // SAFETY: whoever appended the frame waits for it, and has the memory at rest.
        let tail = unsafe { std::slice::from_raw_parts(bulk.memory, bulk.bytes) };
        let padding = &[0; 8][..tail.len().next_multiple_of(8) - tail.len()];
        self.connection
            .send_all_parts(&mut [frames, tail, padding].map(IoSlice::new), || {
                self.around.stalled()
            })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send_all(bytes, || self.around.stalled())
    }
}
