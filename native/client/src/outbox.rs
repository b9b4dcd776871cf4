//! Frames on their way to the worker. A call appends to a ring and, most of the time, is done; who writes, and when:
//!
//! * the caller, when nothing was pending and the last write is over 10 us past (a lone call is not delayed), when 32 KiB are
//!   pending, when the oldest frame is over 20 us old, or when it wants a reply;
//! * the watchdog, for the tail of a burst: it naps 200 us and sleeps after four empty naps.

use aquifer_protocol::frame::{Envelope, frame_bytes, write_head};
use aquifer_protocol::{Connection, Message, MirrorRing, monotonic_ns};
use std::io::{self, IoSlice};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const RING_BYTES: usize = 1 << 20;
const FLUSH_BYTES: u64 = 32 << 10;
/// What the worker sent is taken once for so many bytes written: acknowledgements must not fill its socket.
const NEWS_BYTES: u64 = RING_BYTES as u64 / 4;
/// Bytes of one write.
const WRITE_BYTES: u64 = 64 << 10;
const LONE_NS: u64 = 10_000;
const OLD_NS: u64 = 20_000;
/// While the clock, read anew, has gone on by less than this, it is read for every STRIDE-th frame only: reading it costs as
/// much as a third of a launch.
const FAST_NS: u64 = 2_000;
const STRIDE: u32 = 8;
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
}

/// Frames in line. The lock is held for as long as it takes to append one.
#[derive(Default)]
struct Line {
    sequence: u64,
    /// Positions in the ring: appended, and written. The second is moved by the holder of `write` alone.
    tail: u64,
    sent: u64,
    /// When the oldest frame that waits was appended, and when the last write ended, in ns.
    oldest: u64,
    last_write: u64,
    /// When the clock was read last, in ns, and for how many frames it need not be read.
    read_at: u64,
    unread: u32,
    /// The watchdog sleeps, and nobody has woken it yet.
    asleep: bool,
}

/// What a frame that was appended asks of its caller.
enum Due {
    Write,
    WakeWatchdog,
    Nothing,
}

impl Line {
    /// Whether the watchdog is to be woken. Once is enough, however long it takes to wake.
    fn wakes(&mut self) -> bool {
        std::mem::take(&mut self.asleep)
    }

    /// A frame of `bytes` was appended: what is to be done by the rule above.
    #[inline]
    fn due(&mut self, bytes: u64) -> Due {
        let pending = self.tail - self.sent;
        if pending == bytes {
            let now = monotonic_ns();
            (self.oldest, self.read_at, self.unread) = (now, now, 0);
            if now.saturating_sub(self.last_write) > LONE_NS {
                return Due::Write;
            }
            return if self.wakes() {
                Due::WakeWatchdog
            } else {
                Due::Nothing
            };
        }
        if pending >= FLUSH_BYTES {
            return Due::Write;
        }
        if self.unread > 0 {
            self.unread -= 1;
            return Due::Nothing;
        }
        let now = monotonic_ns();
        if now.saturating_sub(self.read_at) < FAST_NS {
            self.unread = STRIDE - 1;
        }
        self.read_at = now;
        if now.saturating_sub(self.oldest) > OLD_NS {
            Due::Write
        } else {
            Due::Nothing
        }
    }
}

/// What to do while the socket is full: read, so that both ends never wait for each other, and wait for room.
pub trait Stalled {
    fn stalled(&self) -> io::Result<()>;
    /// Much was written since the last call: takes what the worker sent meanwhile, without waiting.
    fn take_news(&self) -> io::Result<()>;
}

impl Outbox {
    /// `session` is stamped on every frame.
    pub fn new(session: u32) -> io::Result<Self> {
        Ok(Self {
            ring: MirrorRing::new(RING_BYTES)?,
            line: Mutex::default(),
            waiting: Condvar::new(),
            write: Mutex::new(()),
            session,
        })
    }

    #[inline]
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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
        let due = line.due(frame_bytes::<M>(tail_bytes) as u64);
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

    /// Writes a bulk frame, and all before it, at once: its tail goes from `tail` to the socket without a copy.
    pub fn bulk<M: Message>(&self, link: &Link<'_>, message: &M, tail: &[u8]) -> io::Result<u64> {
        let writing = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let head = frame_bytes::<M>(0) as u64;
        let (sequence, end) = loop {
            let mut line = self.line();
            if line.tail + head - line.sent <= RING_BYTES as u64 {
                self.put(&mut line, message, tail.len(), head as usize);
                break (line.sequence, line.tail);
            }
            let end = line.tail;
            drop(line);
            self.write_until(link, end)?;
        };
        self.write_until(link, end - head)?;
        // SAFETY: as in `write_until`; the head is the only frame between what was written and `end`.
        let head = unsafe { self.ring.slice(end - head, head as usize) };
        let padding = &[0; 8][..tail.len().next_multiple_of(8) - tail.len()];
        link.send_parts([head, tail, padding])?;
        let mut line = self.line();
        line.sent = end;
        line.last_write = monotonic_ns();
        // Frames that others appended meanwhile have nobody who writes them.
        let more = line.tail > end;
        drop(line);
        drop(writing);
        if more {
            self.flush(link)?;
        }
        Ok(sequence)
    }

    /// Writes everything that was appended before the call.
    pub fn flush(&self, link: &Link<'_>) -> io::Result<()> {
        let (before, end) = {
            let line = self.line();
            (line.sent, line.tail)
        };
        if before >= end {
            return Ok(());
        }
        let writing = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_until(link, end)?;
        let mut line = self.line();
        line.last_write = monotonic_ns();
        let after = line.sent;
        let wake = line.tail != after && line.wakes();
        drop(line);
        drop(writing);
        if wake {
            self.waiting.notify_one();
        }
        if before / NEWS_BYTES != after / NEWS_BYTES {
            link.stalled.take_news()
        } else {
            Ok(())
        }
    }

    /// With the lock on writing held.
    fn write_until(&self, link: &Link<'_>, end: u64) -> io::Result<()> {
        let mut sent = self.line().sent;
        while sent < end {
            let length = (end - sent).min(WRITE_BYTES);
            // SAFETY: the bytes were appended before `end` was published, and are not reused before `sent` passes them.
            link.send(unsafe { self.ring.slice(sent, length as usize) })?;
            sent += length;
            let now = monotonic_ns();
            let mut line = self.line();
            (line.sent, line.oldest) = (sent, now);
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
        if bytes > RING_BYTES / 2 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a frame is too long",
            ));
        }
        loop {
            let mut line = self.line();
            if line.tail + bytes as u64 - line.sent > RING_BYTES as u64 {
                drop(line);
                self.flush(link)?;
                continue;
            }
            let (slot, at) = self.put(&mut line, message, tail_bytes, bytes);
            fill(&mut slot[at..at + tail_bytes]);
            return Ok(line);
        }
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
            acknowledged: 0,
        };
        // SAFETY: the bytes lie beyond `tail`, where nobody reads before the caller lets go of the line.
        let slot = unsafe { self.ring.slot(line.tail, bytes) };
        let at = write_head(message, envelope, tail_bytes, slot);
        line.tail += bytes as u64;
        (slot, at)
    }

    /// The watchdog's whole life. Ends when a write fails.
    pub fn watch(&self, link: &Link<'_>) -> io::Result<()> {
        let mut empty = 0;
        loop {
            let mut line = self.line();
            if line.sent != line.tail {
                empty = 0;
                let is_old = monotonic_ns().saturating_sub(line.oldest) > OLD_NS;
                drop(line);
                // Whoever is writing sees to what is left, and is not to be made to wake this thread.
                if is_old && self.write.try_lock().is_ok() {
                    self.flush(link)?;
                }
            } else if empty == EMPTY_NAPS {
                empty = 0;
                line.asleep = true;
                while line.asleep {
                    line = self
                        .waiting
                        .wait(line)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                drop(line);
            } else {
                empty += 1;
                drop(line);
            }
            std::thread::sleep(NAP);
        }
    }
}

/// A connection and what to do while it is full.
pub struct Link<'a> {
    pub connection: &'a Connection,
    pub stalled: &'a dyn Stalled,
}

impl Link<'_> {
    fn send_parts(&self, parts: [&[u8]; 3]) -> io::Result<()> {
        self.connection
            .send_all_parts(&mut parts.map(IoSlice::new), || self.stalled.stalled())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send_all(bytes, || self.stalled.stalled())
    }
}
