//! What comes from the worker. There is no reader thread: of the threads that wait for an answer one reads, for itself and for
//! the others, and hands over when it has its own.

use crate::way_back::Recover;
use aquifer_protocol::generated::Data;
use aquifer_protocol::message::{DecodeError, ReplyHead};
use aquifer_protocol::{
    Connection, FrameReader, Header, Incoming, Push, SILENCE, Spin, decode, monotonic_ns,
};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A waiting caller reads without blocking this long before it sleeps in the kernel, in ns: what a worker needs for some hundred
/// launches, so that their wait does not cost a wake-up.
const SPIN_NS: u64 = 50_000;

/// The session, as the one who reads for it sees it.
pub trait Receiver: Recover + Sync {
    /// Takes what the worker says unasked.
    fn push(&self, push: Push<'_>);
    /// The worker has carried out everything up to the sequence whose low half this is.
    fn acknowledged(&self, low: u32) -> io::Result<()>;
    /// The worker answers what was sent with `sequence`: frames are carried out in order, so it has all up to it.
    fn carried_out(&self, sequence: u64) -> io::Result<()>;
    /// A frame was taken whole.
    fn received(&self, sequence: u64);
}

/// The client's reading half of a connection.
pub struct Inbox {
    waits: Mutex<Waits>,
    /// Signals that an answer came, or that nobody reads.
    changed: Condvar,
    reader: Mutex<Reader>,
    destinations: Mutex<Destinations>,
    /// When something came last, in ns.
    heard: AtomicU64,
}

/// What reads. Who has it is in the middle of no frame of another connection.
pub struct Reader {
    frames: FrameReader,
    spin: Spin,
    /// What the worker's last frame acknowledged.
    acknowledged: u32,
}

impl Reader {
    /// Goes on with what comes on another connection, which is read by `frames` so far.
    pub fn restart(&mut self, frames: FrameReader, acknowledged: u32) {
        self.frames = frames;
        self.acknowledged = acknowledged;
    }
}

/// Destinations by id. An id is not used again for as long as counting takes: a late word about one means no other.
#[derive(Default)]
struct Destinations {
    next: u32,
    open: Vec<(u32, Destination)>,
}

#[derive(Default)]
struct Waits {
    reading: bool,
    /// Sequences that are waited for, with the answer once it is there.
    open: Vec<(u64, Option<Answer>)>,
    /// Waiters that sleep until `changed`.
    sleeping: u32,
    /// Why the session is over.
    lost: Option<String>,
}

/// A reply: its body, fixed part and tail.
pub type Answer = Vec<u8>;

/// Where the bytes of a copy to the host go: `rows` of `width` bytes, `pitch` apart.
#[derive(Clone, Copy)]
pub struct Destination {
    pub memory: *mut u8,
    pub width: usize,
    pub pitch: usize,
    pub rows: usize,
    pub received: usize,
}

// SAFETY: the program gave this memory to a copy and may not touch it until the copy is waited for; only the one thread that
// reads writes to it.
unsafe impl Send for Destination {}

impl Destination {
    fn bytes(&self) -> usize {
        self.width * self.rows
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    pub fn new(reader: FrameReader) -> Self {
        Self {
            waits: Mutex::new(Waits {
                open: Vec::with_capacity(64),
                ..Waits::default()
            }),
            changed: Condvar::new(),
            reader: Mutex::new(Reader {
                frames: reader,
                spin: Spin::new(SPIN_NS),
                acknowledged: 0,
            }),
            destinations: Mutex::default(),
            heard: AtomicU64::new(monotonic_ns()),
        }
    }

    /// Announces that the caller will wait for the answer to `sequence`.
    pub fn expect(&self, sequence: u64) {
        lock(&self.waits).open.push((sequence, None));
    }

    /// Waits for the answer to a sequence that was announced. Fails with the reason when the session is over.
    pub fn wait(
        &self,
        connection: &Connection,
        receiver: &dyn Receiver,
        sequence: u64,
    ) -> Result<Answer, String> {
        let mut waits = lock(&self.waits);
        loop {
            let Some(index) = waits.open.iter().position(|(open, _)| *open == sequence) else {
                return Err("an answer was never expected".to_owned());
            };
            if let Some(answer) = waits.open[index].1.take() {
                waits.open.swap_remove(index);
                return Ok(answer);
            }
            if let Some(reason) = &waits.lost {
                let reason = reason.clone();
                waits.open.swap_remove(index);
                return Err(reason);
            }
            if waits.reading {
                waits.sleeping += 1;
                waits = self
                    .changed
                    .wait(waits)
                    .unwrap_or_else(PoisonError::into_inner);
                waits.sleeping -= 1;
                continue;
            }
            waits.reading = true;
            drop(waits);
            let generation = receiver.generation();
            let read = self.read_until(connection, receiver, sequence);
            self.stop_reading();
            if let Err(error) = read
                && let Err(error) = receiver.recover(generation, error)
            {
                self.lose(&describe(&error));
            }
            waits = lock(&self.waits);
        }
    }

    fn stop_reading(&self) {
        let mut waits = lock(&self.waits);
        waits.reading = false;
        if waits.sleeping > 0 {
            self.changed.notify_all();
        }
    }

    /// Holds off all reading.
    pub fn hold(&self) -> MutexGuard<'_, Reader> {
        lock(&self.reader)
    }

    /// Whether nothing has come for so long that the worker counts as lost.
    pub fn is_silent(&self) -> bool {
        let quiet_ns = monotonic_ns().saturating_sub(self.heard.load(Ordering::Relaxed));
        u128::from(quiet_ns) > SILENCE.as_nanos() && !lock(&self.waits).reading
    }

    /// Something has come.
    pub fn note_heard(&self) {
        self.heard.store(monotonic_ns(), Ordering::Relaxed);
    }

    /// Reads what is there, if nobody else does. For callers whose writes stall and for those who only want the news.
    pub fn poll(&self, connection: &Connection, receiver: &dyn Receiver) -> io::Result<()> {
        {
            let mut waits = lock(&self.waits);
            if waits.reading {
                return Ok(());
            }
            waits.reading = true;
        }
        let mut reader = lock(&self.reader);
        let read = match reader.frames.fill_now(connection) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.note_heard();
                self.take_frames(connection, receiver, &mut reader)
                    .map(|_| ())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        drop(reader);
        self.stop_reading();
        read
    }

    /// Why the session is over, if it is.
    pub fn lost(&self) -> Option<String> {
        lock(&self.waits).lost.clone()
    }

    /// Ends the session: every waiter fails with `reason`, unless there is one already.
    pub fn lose(&self, reason: &str) {
        lock(&self.waits)
            .lost
            .get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    fn read_until(
        &self,
        connection: &Connection,
        receiver: &dyn Receiver,
        sequence: u64,
    ) -> io::Result<()> {
        let mut reader = lock(&self.reader);
        reader.spin.begin();
        loop {
            if self.take_frames(connection, receiver, &mut reader)? && self.is_answered(sequence) {
                self.note_heard();
                return Ok(());
            }
            match reader.frames.fill_now(connection) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => reader.spin.begin(),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if reader.spin.again() => {}
                Err(_) => {
                    // Over a network a worker that lives says so now and then.
                    let patience = connection.is_encrypted().then_some(SILENCE);
                    if !connection.wait_readable(patience)? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }

    fn is_answered(&self, sequence: u64) -> bool {
        lock(&self.waits)
            .open
            .iter()
            .any(|(open, answer)| *open == sequence && answer.is_some())
    }

    /// Handles every whole frame that was received. True when an answer was among them.
    fn take_frames(
        &self,
        connection: &Connection,
        receiver: &dyn Receiver,
        reader: &mut Reader,
    ) -> io::Result<bool> {
        let mut answered = false;
        let Reader {
            frames,
            acknowledged,
            ..
        } = reader;
        loop {
            let (sequence, bulk) = match frames.next_frame().map_err(invalid)? {
                None => break,
                Some(Incoming::Frame { header, body }) => {
                    if header.acknowledged != *acknowledged {
                        *acknowledged = header.acknowledged;
                        receiver.acknowledged(header.acknowledged)?;
                    }
                    if header.is_reply() {
                        answered = true;
                        self.answer(receiver, body)?;
                    } else {
                        push(receiver, header, body)?;
                    }
                    (header.sequence, None)
                }
                Some(Incoming::Bulk {
                    header,
                    body,
                    tail_bytes,
                }) => (header.sequence, Some((bulk(header, body)?, tail_bytes))),
            };
            if let Some((data, tail_bytes)) = bulk {
                self.receive(connection, frames, data, tail_bytes)?;
            }
            receiver.received(sequence);
        }
        Ok(answered)
    }

    fn answer(&self, receiver: &dyn Receiver, body: &[u8]) -> io::Result<()> {
        let Some(head) = ReplyHead::read(body) else {
            return Ok(());
        };
        // Before the caller hears it, who may take memory back then that it has lent.
        receiver.carried_out(head.reply_to)?;
        let mut waits = lock(&self.waits);
        if let Some(open) = waits
            .open
            .iter_mut()
            .find(|(open, _)| *open == head.reply_to)
        {
            open.1 = Some(body.to_vec());
        }
        if waits.sleeping > 0 {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Gives a destination an id that Data frames name.
    pub fn add_destination(&self, destination: Destination) -> u32 {
        let mut all = lock(&self.destinations);
        let id = all.next;
        all.next = all.next.wrapping_add(1);
        all.open.push((id, destination));
        id
    }

    /// Forgets a destination: nothing is written to it any more.
    pub fn drop_destination(&self, id: u32) {
        lock(&self.destinations)
            .open
            .retain(|(open, _)| *open != id);
    }

    /// Bytes of the copies that are under way.
    pub fn expected_bytes(&self) -> usize {
        let all = lock(&self.destinations);
        all.open.iter().map(|(_, it)| it.bytes()).sum()
    }

    /// Whether bytes are missing from a destination that was not dropped.
    pub fn is_missing(&self, id: u32) -> bool {
        lock(&self.destinations)
            .open
            .iter()
            .any(|(open, _)| *open == id)
    }

    /// Moves one bulk tail to where it belongs. What no destination claims is skipped.
    fn receive(
        &self,
        connection: &Connection,
        reader: &mut FrameReader,
        data: Data,
        tail_bytes: usize,
    ) -> io::Result<()> {
        let open = lock(&self.destinations)
            .open
            .iter()
            .find(|(open, _)| *open == data.destination)
            .copied();
        let Some((_, mut destination)) = open else {
            return Ok(());
        };
        let total = destination.bytes();
        let mut offset = usize::try_from(data.offset).unwrap_or(usize::MAX);
        if offset > total || tail_bytes > total - offset {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "data beyond the end of its destination",
            ));
        }
        while reader.tail_left() > 0 {
            let (row, column) = (offset / destination.width, offset % destination.width);
            let contiguous = if destination.pitch == destination.width {
                total - offset
            } else {
                destination.width - column
            };
            let length = contiguous.min(reader.tail_left());
            // SAFETY: row and column lie inside the rectangle that the program gave, checked above against its size.
            let part = unsafe {
                let start = destination.memory.add(row * destination.pitch + column);
                std::slice::from_raw_parts_mut(start, length)
            };
            reader.read_tail(connection, part)?;
            offset += length;
        }
        destination.received += tail_bytes;
        if destination.received >= total {
            self.drop_destination(data.destination);
        } else if let Some(open) = lock(&self.destinations)
            .open
            .iter_mut()
            .find(|(open, _)| *open == data.destination)
        {
            open.1 = destination;
        }
        Ok(())
    }
}

fn push(receiver: &dyn Receiver, header: Header, body: &[u8]) -> io::Result<()> {
    receiver.push(Push::decode(header.call, body).map_err(invalid)?);
    Ok(())
}

fn bulk(header: Header, body: &[u8]) -> io::Result<Data> {
    match Push::decode(header.call, body).map_err(invalid)? {
        Push::Data(..) => Ok(decode::<Data>(body).map_err(invalid)?.0),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "only data is bulk from a worker",
        )),
    }
}

fn invalid(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the worker closed the connection".to_owned(),
        _ => format!("the connection to the worker failed: {error}"),
    }
}
