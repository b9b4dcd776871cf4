//! What is in line to the worker, and what is kept until the worker has carried it out. Where the connection can be lost, what a
//! frame needs stays until it is acknowledged: its bytes in the ring, or the program's memory, for as long as its caller waits.

use aquifer_protocol::{Header, MirrorRing, monotonic_ns};
use std::collections::VecDeque;
use std::io;

const FLUSH_BYTES: u64 = 32 << 10;
/// A frame waits for others as long as the last write took, within these bounds: where a write is dear, as in an emulated guest,
/// there are few of many frames.
const SHORTEST_WAIT_NS: u64 = 20_000;
const LONGEST_WAIT_NS: u64 = 1_000_000;
/// While the clock, read anew, has gone on by less than this, it is read for every STRIDE-th frame only: reading it costs as
/// much as a third of a launch.
const FAST_NS: u64 = 2_000;
const STRIDE: u32 = 8;
/// Bytes after which it is noted again which sequence ends where in the ring.
const MARK_BYTES: u64 = 16 << 10;

/// The bytes of a bulk frame that lie in the program's memory.
#[derive(Clone, Copy)]
pub struct Bulk {
    pub sequence: u64,
    /// Where its head ends in the ring.
    pub end: u64,
    pub memory: *const u8,
    pub bytes: usize,
}

// SAFETY: whoever appended the frame sees to it that the memory is there and at rest until the frame is written, and where the
// line keeps, until it is acknowledged.
unsafe impl Send for Bulk {}

/// Frames in line. The lock is held for as long as it takes to append one.
#[derive(Default)]
pub struct Line {
    /// Frames are kept until they are acknowledged.
    keeps: bool,
    pub sequence: u64,
    /// Positions in the ring: appended, and written. The second is moved by the holder of `write` alone.
    pub tail: u64,
    pub sent: u64,
    /// What the worker has carried out: the highest sequence, and up to where the ring is free.
    acknowledged: u64,
    freed: u64,
    /// Some sequences and where their frames end in the ring.
    marks: VecDeque<(u64, u64)>,
    /// Bulk frames that are not written, or not acknowledged; how many of them are written.
    bulks: VecDeque<Bulk>,
    bulks_written: usize,
    /// When the oldest frame that waits was appended, and when the last write ended, in ns.
    pub oldest: u64,
    last_write: u64,
    /// How long a frame waits for others, in ns.
    wait: u64,
    /// When the clock was read last, in ns, and for how many frames it need not be read.
    read_at: u64,
    unread: u32,
    /// The watchdog sleeps, and nobody has woken it yet.
    pub asleep: bool,
}

/// What a frame that was appended asks of its caller.
pub enum Due {
    Write,
    WakeWatchdog,
    Nothing,
}

impl Line {
    pub fn new(keeps: bool) -> Self {
        Self {
            keeps,
            wait: SHORTEST_WAIT_NS,
            ..Self::default()
        }
    }

    /// Whether the watchdog is to be woken. Once is enough, however long it takes to wake.
    pub fn wakes(&mut self) -> bool {
        std::mem::take(&mut self.asleep)
    }

    /// A frame of `bytes` was appended: what is to be done. `clock` gives ns, and is asked only where it matters.
    #[inline]
    pub fn due(&mut self, bytes: u64, clock: impl FnOnce() -> u64) -> Due {
        let pending = self.tail - self.sent;
        if pending == bytes {
            let now = clock();
            (self.oldest, self.read_at, self.unread) = (now, now, 0);
            if now.saturating_sub(self.last_write) > self.wait / 2 {
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
        let now = clock();
        if now.saturating_sub(self.read_at) < FAST_NS {
            self.unread = STRIDE - 1;
        }
        self.read_at = now;
        if now.saturating_sub(self.oldest) > self.wait {
            Due::Write
        } else {
            Due::Nothing
        }
    }

    /// Bytes of a ring of `size` that can be appended.
    #[inline]
    pub fn room(&self, size: u64) -> u64 {
        let from = if self.keeps { self.freed } else { self.sent };
        size - (self.tail - from)
    }

    /// Whether the oldest frame that waits has waited for long enough.
    pub fn is_old(&self) -> bool {
        monotonic_ns().saturating_sub(self.oldest) > self.wait
    }

    /// All that there was has been written, from `began` to `ended`, in ns.
    pub fn note_write(&mut self, began: u64, ended: u64) {
        self.last_write = ended;
        self.wait = ended
            .saturating_sub(began)
            .clamp(SHORTEST_WAIT_NS, LONGEST_WAIT_NS);
    }

    /// Notes where the last frame ends, now and then: acknowledgements free the ring up to such places.
    pub fn mark(&mut self) {
        let last = self.marks.back().map_or(self.freed, |mark| mark.1);
        if self.keeps && self.tail - last >= MARK_BYTES {
            self.marks.push_back((self.sequence, self.tail));
        }
    }

    /// The frame that was appended last is a bulk one, with its tail in the program's memory.
    pub fn add_bulk(&mut self, tail: &[u8]) {
        self.bulks.push_back(Bulk {
            sequence: self.sequence,
            end: self.tail,
            memory: tail.as_ptr(),
            bytes: tail.len(),
        });
    }

    /// The next bulk frame that is to be written.
    pub fn next_bulk(&self) -> Option<Bulk> {
        self.bulks.get(self.bulks_written).copied()
    }

    /// A bulk frame was written whole.
    pub fn bulk_written(&mut self) {
        if self.keeps {
            self.bulks_written += 1;
        } else {
            self.bulks.pop_front();
        }
    }

    /// Whether the worker has carried out everything up to `sequence`.
    pub fn is_acknowledged(&self, sequence: u64) -> bool {
        self.acknowledged >= sequence
    }

    /// The worker has carried out everything up to the sequence whose low half this is. What is behind it is kept no longer.
    pub fn acknowledge(&mut self, low: u32) -> io::Result<()> {
        // What is written again on another connection may say less than was known.
        let more = low.wrapping_sub(self.acknowledged as u32) as i32;
        match u64::try_from(more) {
            Ok(more) => self.carried_out(self.acknowledged + more),
            Err(_) => Ok(()),
        }
    }

    /// The worker has carried out everything up to `sequence`.
    pub fn carried_out(&mut self, sequence: u64) -> io::Result<()> {
        if sequence <= self.acknowledged {
            return Ok(());
        }
        if sequence > self.sequence {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the worker acknowledges what was never sent",
            ));
        }
        self.acknowledged = sequence;
        // Not beyond what was written, whatever the worker says.
        let sent = self.sent;
        let is_done = |of: u64, end: u64| of <= sequence && end <= sent;
        while let Some((_, end)) = self.marks.front().filter(|mark| is_done(mark.0, mark.1)) {
            self.freed = self.freed.max(*end);
            self.marks.pop_front();
        }
        while let Some(bulk) = self
            .bulks
            .front()
            .filter(|bulk| is_done(bulk.sequence, bulk.end))
        {
            self.freed = self.freed.max(bulk.end);
            self.bulks_written = self.bulks_written.saturating_sub(1);
            self.bulks.pop_front();
        }
        Ok(())
    }

    /// The session is over: nothing is written any more, and nobody's memory is read.
    pub fn give_up(&mut self) {
        self.bulks.clear();
        self.bulks_written = 0;
        self.sent = self.tail;
    }

    /// On another connection the worker has said that it carried out everything up to `processed`: what comes after is to be
    /// written again. With the lock on writing held.
    pub fn rewind(&mut self, ring: &MirrorRing, processed: u64) -> io::Result<()> {
        if processed < self.acknowledged {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the worker takes back what it acknowledged",
            ));
        }
        let mut at = self.freed;
        let mut bulks = self.bulks.iter().peekable();
        while at < self.tail {
            // SAFETY: everything between `freed` and `tail` is whole frames, which nobody writes to while the line is locked.
            let header = Header::read(unsafe { ring.slice(at, aquifer_protocol::HEADER_BYTES) });
            let Ok(Some(header)) = header else { break };
            if header.sequence > processed {
                break;
            }
            at = match bulks.next_if(|bulk| bulk.sequence == header.sequence) {
                Some(bulk) => bulk.end,
                None => at + u64::from(header.length),
            };
        }
        self.carried_out(processed)?;
        (self.freed, self.sent) = (at, at);
        self.bulks_written = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 128;

    /// What is due when a frame is appended at `now`.
    fn append(line: &mut Line, now: u64) -> Due {
        line.tail += FRAME;
        line.due(FRAME, || now)
    }

    /// The time from the first of frames that come so far apart, in ns, to the one at which they are written; `took` is how
    /// long the write before them did.
    fn waits(took: u64, apart: u64) -> u64 {
        let mut line = Line::new(true);
        line.note_write(0, took);
        let mut waited = 0;
        while !matches!(append(&mut line, took + waited), Due::Write) {
            waited += apart;
        }
        waited
    }

    #[test]
    fn a_lone_frame_is_written_at_once() {
        let mut line = Line::new(true);
        line.note_write(1_000_000, 1_004_000);
        assert!(matches!(append(&mut line, 1_014_001), Due::Write));
    }

    #[test]
    fn frames_wait_as_long_as_the_last_write_took() {
        for (took, waited) in [(4000, 21_000), (100_000, 102_000), (600_000, 603_000)] {
            assert_eq!(waits(took, 3000), waited);
        }
    }

    #[test]
    fn frames_wait_neither_for_long_nor_for_many() {
        const MINUTE_NS: u64 = 60_000_000_000;
        assert_eq!(waits(MINUTE_NS, 10_000), LONGEST_WAIT_NS + 10_000);
        assert_eq!(waits(MINUTE_NS, 3000), (FLUSH_BYTES / FRAME - 1) * 3000);
    }
}
