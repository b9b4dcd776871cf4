//! Frames on their way to the worker. A call appends to a ring and, most of the time, is done; who writes, and when:
//!
//! * the caller, when nothing was pending and the last write is over 10 us past (a lone call is not delayed), when 32 KiB are
//!   pending, when the oldest frame is over 20 us old, or when it wants a reply;
//! * the watchdog, for the tail of a burst: it naps 200 us and sleeps after four empty naps.

use aquifer_protocol::frame::{Envelope, frame_bytes, write_head};
use aquifer_protocol::{Connection, Message, MirrorRing, monotonic_ns};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

const RING_BYTES: usize = 1 << 20;
const FLUSH_BYTES: u64 = 32 << 10;
/// What the worker sent is taken once for so many bytes written: acknowledgements must not fill its socket.
const NEWS_BYTES: u64 = RING_BYTES as u64 / 4;
/// Bytes of one write.
const WRITE_BYTES: u64 = 64 << 10;
const LONE_NS: u64 = 10_000;
const OLD_NS: u64 = 20_000;
const NAP_NS: u32 = 200_000;
const EMPTY_NAPS: u32 = 4;

/// The client's writing half of a connection.
pub struct Outbox {
    ring: MirrorRing,
    append: Mutex<Append>,
    /// Positions in the ring: appended, and written.
    tail: AtomicU64,
    sent: AtomicU64,
    /// When the oldest pending frame was appended, and when the last write ended, in ns.
    oldest: AtomicU64,
    last_write: AtomicU64,
    /// Held while writing: what is written is always whole frames in order.
    write: Mutex<()>,
    /// 1 while the watchdog sleeps.
    asleep: AtomicU32,
    session: u32,
}

struct Append {
    sequence: u64,
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
            append: Mutex::new(Append { sequence: 0 }),
            tail: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            write: Mutex::new(()),
            asleep: AtomicU32::new(0),
            session,
        })
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
        let now = monotonic_ns();
        let (sequence, end) = self.append(link, message, tail_bytes, now, fill, |_| {})?;
        let bytes = frame_bytes::<M>(tail_bytes) as u64;
        // Pairs with the fences in `write_until` and `watch`: either they see this frame, or this load sees their `sent`.
        fence(Ordering::SeqCst);
        let pending = end.saturating_sub(self.sent.load(Ordering::Acquire));
        let due = if pending == bytes {
            now.wrapping_sub(self.last_write.load(Ordering::Relaxed)) > LONE_NS
        } else {
            pending >= FLUSH_BYTES
                || now.saturating_sub(self.oldest.load(Ordering::Relaxed)) > OLD_NS
        };
        if due {
            self.flush(link)?;
        } else if pending == bytes {
            self.wake_watchdog();
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
        let (sequence, _) =
            self.append(link, message, tail.len(), monotonic_ns(), fill, register)?;
        self.flush(link)?;
        Ok(sequence)
    }

    /// Writes a bulk frame, and all before it, at once: its tail goes from `tail` to the socket without a copy.
    pub fn bulk<M: Message>(&self, link: &Link<'_>, message: &M, tail: &[u8]) -> io::Result<u64> {
        let writing = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let head = frame_bytes::<M>(0);
        let (sequence, end) = loop {
            let mut append = self.append.lock().unwrap_or_else(PoisonError::into_inner);
            let start = self.tail.load(Ordering::Relaxed);
            if start + head as u64 - self.sent.load(Ordering::Relaxed) <= RING_BYTES as u64 {
                append.sequence += 1;
                // SAFETY: appending is this lock's; the bytes lie beyond `sent` and `tail`, where nobody reads.
                let slot = unsafe { self.ring.slot(start, head) };
                write_head(message, self.envelope(append.sequence), tail.len(), slot);
                self.tail.store(start + head as u64, Ordering::Release);
                break (append.sequence, start + head as u64);
            }
            drop(append);
            self.write_until(link, self.tail.load(Ordering::Acquire))?;
        };
        self.write_until(link, end)?;
        link.send(tail)?;
        link.send(&[0; 8][..tail.len().next_multiple_of(8) - tail.len()])?;
        self.last_write.store(monotonic_ns(), Ordering::Relaxed);
        drop(writing);
        // Frames that others appended meanwhile have nobody who writes them.
        fence(Ordering::SeqCst);
        if self.tail.load(Ordering::Acquire) > end {
            self.flush(link)?;
        }
        Ok(sequence)
    }

    /// Writes everything that was appended before the call.
    pub fn flush(&self, link: &Link<'_>) -> io::Result<()> {
        let end = self.tail.load(Ordering::Acquire);
        if self.sent.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        let writing = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.sent.load(Ordering::Relaxed);
        self.write_until(link, end)?;
        let after = self.sent.load(Ordering::Relaxed);
        self.last_write.store(monotonic_ns(), Ordering::Relaxed);
        drop(writing);
        fence(Ordering::SeqCst);
        if self.tail.load(Ordering::Acquire) != after {
            self.wake_watchdog();
        }
        if before / NEWS_BYTES != after / NEWS_BYTES {
            link.stalled.take_news()
        } else {
            Ok(())
        }
    }

    /// With the lock on writing held.
    fn write_until(&self, link: &Link<'_>, end: u64) -> io::Result<()> {
        loop {
            let sent = self.sent.load(Ordering::Relaxed);
            if sent >= end {
                return Ok(());
            }
            let length = (end - sent).min(WRITE_BYTES);
            // SAFETY: the bytes were appended before `end` was published, and are not reused before `sent` passes them.
            link.send(unsafe { self.ring.slice(sent, length as usize) })?;
            self.oldest.store(monotonic_ns(), Ordering::Relaxed);
            self.sent.store(sent + length, Ordering::SeqCst);
        }
    }

    #[inline]
    fn append<M: Message>(
        &self,
        link: &Link<'_>,
        message: &M,
        tail_bytes: usize,
        now: u64,
        fill: impl FnOnce(&mut [u8]),
        register: impl FnOnce(u64),
    ) -> io::Result<(u64, u64)> {
        let bytes = frame_bytes::<M>(tail_bytes);
        if bytes > RING_BYTES / 2 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a frame is too long",
            ));
        }
        loop {
            let mut append = self.append.lock().unwrap_or_else(PoisonError::into_inner);
            let start = self.tail.load(Ordering::Relaxed);
            let sent = self.sent.load(Ordering::Acquire);
            if start + bytes as u64 - sent > RING_BYTES as u64 {
                drop(append);
                self.flush(link)?;
                continue;
            }
            append.sequence += 1;
            // SAFETY: as in `bulk`.
            let slot = unsafe { self.ring.slot(start, bytes) };
            let at = write_head(message, self.envelope(append.sequence), tail_bytes, slot);
            fill(&mut slot[at..at + tail_bytes]);
            if start == sent {
                self.oldest.store(now, Ordering::Relaxed);
            }
            register(append.sequence);
            self.tail.store(start + bytes as u64, Ordering::Release);
            return Ok((append.sequence, start + bytes as u64));
        }
    }

    #[inline]
    fn envelope(&self, sequence: u64) -> Envelope {
        Envelope {
            sequence,
            session: self.session,
            acknowledged: 0,
        }
    }

    #[inline]
    fn wake_watchdog(&self) {
        if self.asleep.load(Ordering::SeqCst) == 1 && self.asleep.swap(0, Ordering::SeqCst) == 1 {
            // SAFETY: wakes at most one waiter on a word that lives as long as the process.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    &raw const self.asleep,
                    libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                    1,
                )
            };
        }
    }

    /// The watchdog's whole life. Ends when a write fails.
    pub fn watch(&self, link: &Link<'_>) -> io::Result<()> {
        let mut empty = 0;
        loop {
            if self.sent.load(Ordering::Acquire) != self.tail.load(Ordering::Acquire) {
                empty = 0;
                if monotonic_ns().saturating_sub(self.oldest.load(Ordering::Relaxed)) > OLD_NS {
                    self.flush(link)?;
                }
            } else if empty == EMPTY_NAPS {
                empty = 0;
                self.asleep.store(1, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                if self.sent.load(Ordering::SeqCst) == self.tail.load(Ordering::SeqCst) {
                    self.sleep();
                }
                self.asleep.store(0, Ordering::SeqCst);
            } else {
                empty += 1;
            }
            std::thread::sleep(std::time::Duration::from_nanos(u64::from(NAP_NS)));
        }
    }

    fn sleep(&self) {
        let for_ever: *const libc::timespec = std::ptr::null();
        // SAFETY: waits while the word is 1; spurious returns are fine.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                &raw const self.asleep,
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                1,
                for_ever,
            )
        };
    }
}

/// A connection and what to do while it is full.
pub struct Link<'a> {
    pub connection: &'a Connection,
    pub stalled: &'a dyn Stalled,
}

impl Link<'_> {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send_all(bytes, || self.stalled.stalled())
    }
}
