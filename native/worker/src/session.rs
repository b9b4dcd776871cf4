//! One session: its state and the loop that reads the client's frames and carries them out, in order.

use crate::code::{Function, Module, Sources};
use crate::door::Door;
use crate::driver::{Driver, is_of_device, is_sticky};
use crate::gpus::Gpu;
use crate::handles::Table;
use crate::ledger::Counters;
use crate::libraries::Library;
use crate::outbox::Outbox;
use crate::process::now_ns;
use crate::range::Range;
use crate::staging::Staging;
use crate::streams::{Context, Event, Stream};
use crate::virtual_memory::VirtualMemory;
use crate::waits::{Copies, Waiters};
use aquifer_cuda::*;
use aquifer_protocol::generated::{Closed, Fault, Launch, Resumed};
use aquifer_protocol::{DecodeError, FrameReader, Header, Incoming, Message, SILENCE, Spin};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How long the loop looks for more to read before it sleeps, and for work to be done before it hands a wait over, in ns.
pub const SPIN_NS: u64 = 50_000;
/// Bytes of frames that are acknowledged at the latest while more keep coming: a part of what a client can keep, and so much
/// that the write costs nothing beside them.
const ACKNOWLEDGE_BYTES: u64 = 256 << 10;
/// Frames that are worth an acknowledgement of their own when nothing more comes.
const ACKNOWLEDGE_LEAST: u64 = 64;
/// How often the account is brought up to date, in nanoseconds.
const PUBLISH_NS: u64 = 5_000_000;

/// Why a session is over.
#[derive(Debug)]
pub enum End {
    /// The client closed the connection.
    Closed,
    /// The program said that it ends.
    Left,
    /// The client did not come back.
    Abandoned,
    /// The client sent what no client sends; a sentence says what.
    Garbage(String),
    /// The connection broke.
    Broken(io::Error),
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> End {
        End::Garbage(error.to_string())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => End::Closed,
            io::ErrorKind::InvalidData => End::Garbage(error.to_string()),
            _ => End::Broken(error),
        }
    }
}

/// A vGPU of the session.
pub struct Vgpu {
    /// Which of the session's GPUs it is a part of.
    pub gpu: usize,
    pub memory_bytes: u64,
    pub percent: u32,
    pub range: Range,
}

/// All state of a session. Only the loop's thread has it; waiting threads get what they need handed over.
pub struct Session {
    pub driver: &'static Driver,
    pub outbox: Arc<Outbox>,
    /// Where the client may come back after its connection was lost.
    pub door: Option<Arc<Door>>,
    pub gpus: Vec<Gpu>,
    pub vgpus: Vec<Vgpu>,
    pub contexts: Table<Context>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub modules: Table<Module>,
    pub libraries: Table<Library>,
    pub functions: Table<Function>,
    pub sources: Sources,
    pub memory: VirtualMemory,
    pub waiters: Waiters,
    pub copies: Copies,
    pub staging: Staging,
    pub counters: Counters,
    /// What is current in the loop's thread.
    pub current: CUcontext,
    /// Of the client's frame that is being carried out, and of the last one that was.
    sequence: u64,
    processed: u64,
    acknowledged: u64,
    unacknowledged_bytes: u64,
    /// A copy's bytes lie ready with the client until they are acknowledged.
    owes_acknowledgement: bool,
    /// What the client's last frame acknowledged.
    received: u32,
    /// What the client was told when it came back, until it speaks.
    unsettled: Option<[u8; 32]>,
    spin: Spin,
    published_ns: u64,
}

impl Session {
    /// A session over opened GPUs.
    pub fn new(
        driver: &'static Driver,
        outbox: Arc<Outbox>,
        gpus: Vec<Gpu>,
        vgpus: Vec<Vgpu>,
        door: Option<Arc<Door>>,
    ) -> Session {
        Session {
            driver,
            waiters: Waiters::new(driver, outbox.clone()),
            outbox,
            door,
            gpus,
            vgpus,
            contexts: Table::default(),
            streams: Table::default(),
            events: Table::default(),
            modules: Table::default(),
            libraries: Table::default(),
            functions: Table::default(),
            sources: Sources::default(),
            memory: VirtualMemory::default(),
            copies: Copies::default(),
            staging: Staging::new(driver),
            counters: Counters::default(),
            current: std::ptr::null_mut(),
            sequence: 0,
            processed: 0,
            acknowledged: 0,
            unacknowledged_bytes: 0,
            owes_acknowledgement: false,
            received: 0,
            unsettled: None,
            spin: Spin::new(SPIN_NS),
            published_ns: 0,
        }
    }

    /// Serves the client until the session is over. A client whose connection is lost is waited for at the door.
    pub fn serve(&mut self, reader: &mut FrameReader) -> End {
        loop {
            let outcome = self.batch(reader).and_then(|()| self.rest(reader));
            let outcome = match (outcome, self.door.clone()) {
                (Err(End::Closed | End::Broken(_)), Some(door)) => self.go_on(reader, &door),
                (outcome, _) => outcome,
            };
            if let Err(end) = outcome {
                // The program may have ended on an error that only the thread that waited has seen.
                let _ = self.poll_meters();
                self.publish(now_ns());
                return end;
            }
        }
    }

    /// Waits for the client to come back, and takes up where the connection was lost.
    fn go_on(&mut self, reader: &mut FrameReader, door: &Door) -> Result<(), End> {
        self.outbox.cut();
        self.leave_meters();
        self.gpus.iter_mut().for_each(|it| it.meter.hand_over());
        self.publish(now_ns());
        door.bulletin.client_lost();
        let newcomer = loop {
            match door.wait() {
                Some(newcomer) if self.outbox.can_resume(newcomer.received) => break newcomer,
                // What was read last has said more than it has got: it is another one, which finds out at the door.
                Some(_) => {}
                None => {
                    door.bulletin.expired();
                    return Err(End::Abandoned);
                }
            }
        };
        let resumed = Resumed {
            secret: newcomer.next_secret,
            processed: self.processed,
        };
        let possible = self
            .outbox
            .resume(newcomer.connection, newcomer.received, &resumed)?;
        if !possible {
            return Err(End::Garbage(
                "the client resumes what was never sent".into(),
            ));
        }
        reader.restart();
        self.sequence = self.processed;
        self.acknowledged = self.processed;
        self.unacknowledged_bytes = 0;
        self.received = newcomer.received as u32;
        self.unsettled = Some(resumed.secret);
        door.bulletin.client_back(&newcomer.name);
        Ok(())
    }

    /// Tells the client why it is cut off, as far as it still listens.
    pub fn close(&mut self, reason: &str) {
        let closed = Closed {
            result: CUDA_ERROR_DEVICE_UNAVAILABLE,
        };
        self.outbox.push(&closed, reason.as_bytes());
        let _ = self.outbox.try_flush();
    }

    /// Frees the session's rows in the accounts, so that its claim has its memory back at once. The driver's own state goes
    /// with the process, which must end now.
    pub fn settle(self) {
        for gpu in &self.gpus {
            gpu.ledger.close();
        }
        std::mem::forget(self);
    }

    /// Carries out every frame that was received whole.
    fn batch(&mut self, reader: &mut FrameReader) -> Result<(), End> {
        loop {
            let header = match reader.next_frame()? {
                None => break,
                Some(Incoming::Frame { header, body }) => {
                    self.in_order(&header)?;
                    if header.call == Launch::SHAPE.call {
                        self.launch(&header, body)?;
                    } else {
                        self.carry_out(&header, body)?;
                    }
                    header
                }
                Some(Incoming::Bulk {
                    header,
                    body,
                    tail_bytes,
                }) => {
                    self.in_order(&header)?;
                    let bulk = crate::calls::Bulk::decode(&header, body)?;
                    self.take_in(&header, bulk, tail_bytes, reader)?;
                    self.owes_acknowledgement = true;
                    header
                }
            };
            self.processed = header.sequence;
            self.unacknowledged_bytes += u64::from(header.length);
            if self.unacknowledged_bytes >= ACKNOWLEDGE_BYTES {
                self.acknowledge()?;
            }
        }
        self.leave_meters();
        self.outbox.note_processed(self.processed);
        if !self.outbox.keeps_within_bounds() {
            return Err(End::Garbage(
                "the client takes nothing of what it asks for".into(),
            ));
        }
        if !self.outbox.is_empty() {
            self.outbox.flush()?;
        }
        Ok(())
    }

    fn in_order(&mut self, header: &Header) -> Result<(), End> {
        if header.sequence <= self.processed {
            let text = format!(
                "frame {} came after frame {}",
                header.sequence, self.processed
            );
            return Err(End::Garbage(text));
        }
        if header.is_reply() {
            return Err(End::Garbage("a client sends no replies".into()));
        }
        if header.acknowledged != self.received {
            self.received = header.acknowledged;
            if !self.outbox.note_received(header.acknowledged) {
                return Err(End::Garbage("the client has what was never sent".into()));
            }
        }
        self.sequence = header.sequence;
        Ok(())
    }

    /// An answer that is given now acknowledges its request and all before it: no frame of its own is needed for that.
    pub fn note_answer(&mut self) {
        self.outbox.note_processed(self.sequence);
        self.acknowledged = self.sequence;
        self.unacknowledged_bytes = 0;
        self.owes_acknowledgement = false;
    }

    fn acknowledge(&mut self) -> Result<(), End> {
        // A client that never pauses is to be seen at work, too.
        self.publish(now_ns());
        // Where the client does not read, it is tried again after as many bytes.
        self.unacknowledged_bytes = 0;
        if self.outbox.acknowledge(self.processed)? {
            self.acknowledged = self.processed;
            self.owes_acknowledgement = false;
        } else {
            self.owes_acknowledgement = true;
        }
        Ok(())
    }

    /// Receives more. Looks for a while, seeing to the meters meanwhile, then sleeps.
    fn rest(&mut self, reader: &mut FrameReader) -> Result<(), End> {
        let mut first = true;
        let mut busy = true;
        self.spin.begin();
        loop {
            match reader.fill_now(&self.outbox.connection) {
                Ok(0) => return Err(End::Closed),
                Ok(_) => {
                    self.note_spoken();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let many = self.processed.saturating_sub(self.acknowledged) >= ACKNOWLEDGE_LEAST;
            let owed = self.owes_acknowledgement && self.outbox.is_resumable();
            if first && (many || owed) {
                self.acknowledge()?;
            }
            first = false;
            busy = busy && self.poll_meters()?;
            if !self.spin.again() {
                break;
            }
        }
        if busy {
            self.gpus.iter_mut().for_each(|it| it.meter.hand_over());
        }
        self.publish(now_ns());
        let patience = self.outbox.is_resumable().then_some(SILENCE);
        if !self.outbox.connection.wait_readable(patience)? {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        if now_ns() - self.published_ns > PUBLISH_NS {
            self.publish(now_ns());
        }
        Ok(())
    }

    /// A client that speaks after it has come back has got what it was told.
    fn note_spoken(&mut self) {
        if let (Some(secret), Some(door)) = (self.unsettled.take(), &self.door) {
            door.settle(secret);
        }
    }

    /// Charges what is done on the GPUs; true while something is left.
    pub fn poll_meters(&mut self) -> Result<bool, End> {
        let mut busy = false;
        for at in 0..self.gpus.len() {
            busy |= self.gpus[at].meter.poll();
            // Errors are looked for after the poll that may have found them.
            let failed = self.gpus[at].meter.shared.failed.swap(0, Relaxed);
            if failed != 0 {
                self.fail_gpu(at, failed);
                self.outbox.flush()?;
            }
        }
        Ok(busy)
    }

    /// What was launched so far may be given up when done. Before every wait.
    pub fn leave_meters(&mut self) {
        self.gpus.iter_mut().for_each(|it| it.meter.leave());
    }

    /// Brings the account up to date. The counters of calls are the session's, told on its first GPU; the GPUs' time is told by
    /// those who measure it.
    pub fn publish(&mut self, now: u64) {
        self.published_ns = now;
        self.counters.bytes_out = self.outbox.bytes_out.load(Relaxed);
        if let Some(gpu) = self.gpus.first() {
            gpu.ledger.publish(&self.counters);
        }
    }

    /// Makes a context current in the loop's thread.
    #[inline]
    pub(crate) fn make_current(&mut self, context: CUcontext) -> Result<(), CUresult> {
        if self.current != context {
            // SAFETY: the context is alive: it is in the table, or a GPU's primary one.
            crate::driver::check(unsafe { (self.driver.cuCtxSetCurrent)(context) })?;
            self.current = context;
        }
        Ok(())
    }

    /// Tells the client that a post failed. A context that an error made unusable is remembered as such.
    pub fn fault(&mut self, header: &Header, context: u32, result: CUresult) {
        let dead = self
            .contexts
            .get(context)
            .map_or(CUDA_SUCCESS, |it| it.dead);
        if dead != CUDA_SUCCESS {
            // Said once when it died: every post after that fails, and nobody waits to hear it.
            return;
        }
        let sticky = is_sticky(result);
        if sticky {
            self.bury(context, result);
        }
        let scope = if is_of_device(result) {
            u32::MAX
        } else {
            context
        };
        let fault = Fault {
            sequence: header.sequence,
            call: u32::from(header.call),
            result,
            context: scope,
            sticky: sticky.into(),
        };
        self.outbox
            .push(&fault, crate::driver::name_of(result).as_bytes());
    }

    /// Remembers that an error made a context, or all of them, unusable.
    pub fn bury(&mut self, context: u32, result: CUresult) {
        self.counters.faults += 1;
        let all = is_of_device(result);
        for (id, entry) in self.contexts.iter_mut() {
            if (all || id == context) && entry.dead == CUDA_SUCCESS {
                entry.dead = result;
            }
        }
    }

    /// An error that measuring found: it is of every context on that GPU that had work.
    fn fail_gpu(&mut self, gpu: usize, result: CUresult) {
        let raw: Vec<u32> = self
            .contexts
            .iter()
            .filter(|it| it.1.gpu == gpu && it.1.dead == CUDA_SUCCESS)
            .map(|it| it.0)
            .collect();
        for context in raw {
            if self.probe(context).is_err_and(is_sticky) {
                let header = Header {
                    length: 0,
                    call: 0,
                    flags: 0,
                    sequence: self.sequence,
                    session: 0,
                    acknowledged: 0,
                };
                self.fault(&header, context, result);
            }
        }
    }

    /// The error that a context is in, by asking the driver.
    fn probe(&mut self, context: u32) -> Result<(), CUresult> {
        let raw = self
            .contexts
            .get(context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
            .raw;
        self.make_current(raw)?;
        // SAFETY: the context is current; the legacy stream always exists.
        match unsafe { (self.driver.cuStreamQuery)(CU_STREAM_LEGACY) } {
            CUDA_ERROR_NOT_READY => Ok(()),
            result => crate::driver::check(result),
        }
    }
}
