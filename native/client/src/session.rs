//! The session with the worker: one for the life of the process, made by `cuInit`.

use crate::device::Device;
use crate::handle::{Class, Table};
use crate::inbox::{Destination, Inbox, Receiver, describe};
use crate::objects::{Context, Event, Function, Library, Memory, Module, Stream};
use crate::outbox::{Link, Outbox, Surroundings};
use crate::way_back::{Recover, WayBack};
use aquifer_cuda::*;
use aquifer_protocol::generated::{Alive, Counters, Goodbye};
use aquifer_protocol::{Connection, Message, Push, Request, decode};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a call gives, or the CUDA error it returns.
pub type Outcome<T = ()> = Result<T, CUresult>;

/// Ids below this are the primary contexts, one per vGPU.
pub const FIRST_CONTEXT: u32 = 64;
/// Ids below this are the default streams.
pub const FIRST_STREAM: u32 = 3;
/// Up to this size a copy that nobody stays for is put into the ring, in bytes: more is waited for.
const KEPT_BYTES: usize = 256 << 10;
/// Bytes of copies to the host that nobody waits for: the worker keeps them until they have come.
const UNATTENDED_BYTES: usize = 16 << 20;
/// How long to wait for news before looking again: another thread may have taken them.
const NEWS: Duration = Duration::from_millis(20);
/// In a Fault: every context.
const EVERY_CONTEXT: u32 = u32::MAX;

/// Everything about the session. Never freed: a call may be on its way in any thread until the process ends.
pub struct Session {
    pub(crate) connection: Connection,
    /// How the connection is made again when it is lost.
    pub(crate) way_back: WayBack,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    /// The CUresult of every later call once the session is over; 0 while it lives.
    lost: AtomicU32,
    not_supported: AtomicU64,
    pub driver_version: u32,
    pub devices: Vec<Device>,
    pub contexts: Table<Context>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub modules: Table<Module>,
    pub libraries: Table<Library>,
    pub functions: Table<Function>,
    pub memories: Table<Memory>,
    /// Images that are being sent.
    pub next_source: AtomicU32,
}

static SESSION: AtomicPtr<Session> = AtomicPtr::new(std::ptr::null_mut());
static OPENING: Mutex<()> = Mutex::new(());
static FORKED: AtomicU32 = AtomicU32::new(0);

/// The session; NOT_INITIALIZED before `cuInit` and in a forked child.
#[inline]
pub fn session() -> Outcome<&'static Session> {
    // SAFETY: null, or leaked by `open`.
    match unsafe { SESSION.load(Ordering::Acquire).as_ref() } {
        Some(session) => Ok(session),
        None => Err(CUDA_ERROR_NOT_INITIALIZED),
    }
}

/// Opens the session, unless there is one.
pub fn open() -> Outcome {
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if FORKED.load(Ordering::Relaxed) != 0 {
        return Err(CUDA_ERROR_NOT_INITIALIZED);
    }
    if !SESSION.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    crate::log::set_from_environment();
    let session: &'static Session = Box::leak(Box::new(crate::open::connect()?));
    session.map_ranges()?;
    session.start_watchdog()?;
    crate::fork::prepare();
    SESSION.store(std::ptr::from_ref(session).cast_mut(), Ordering::Release);
    Ok(())
}

/// In a forked child: the session is the parent's alone.
pub fn abandon() {
    FORKED.store(1, Ordering::Relaxed);
    let session = SESSION.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null, or leaked by `open`. The descriptors are closed here and, since the session is never dropped, only here.
    unsafe {
        if let Some(session) = session.as_ref() {
            libc::close(session.connection.as_raw_fd());
            session.way_back.close();
        }
    }
}

impl Session {
    pub(crate) fn new(
        connection: Connection,
        way_back: WayBack,
        inbox: Inbox,
        facts: &aquifer_protocol::generated::Facts,
        devices: Vec<Device>,
    ) -> io::Result<Self> {
        Ok(Self {
            outbox: Outbox::new(facts.session, connection.is_encrypted())?,
            connection,
            way_back,
            inbox,
            lost: AtomicU32::new(CUDA_SUCCESS),
            not_supported: AtomicU64::new(0),
            driver_version: facts.driver_version,
            devices,
            contexts: Table::new(Class::Context, FIRST_CONTEXT),
            streams: Table::new(Class::Stream, FIRST_STREAM),
            events: Table::new(Class::Event, 1),
            modules: Table::new(Class::Module, 1),
            libraries: Table::new(Class::Library, 1),
            functions: Table::new(Class::Function, 1),
            memories: Table::new(Class::Memory, 1),
            next_source: AtomicU32::new(1),
        })
    }

    /// Fails once the session is over.
    #[inline]
    pub fn alive(&self) -> Outcome {
        match self.lost.load(Ordering::Relaxed) {
            CUDA_SUCCESS => Ok(()),
            result => Err(result),
        }
    }

    /// Sends a message that is not answered.
    #[inline]
    pub fn post<M: Message>(&self, message: &M) -> Outcome {
        self.post_with(message, 0, |_| {})
    }

    /// As `post`, with a tail of `tail_bytes` that `fill` writes.
    #[inline]
    pub fn post_with<M: Message>(
        &self,
        message: &M,
        tail_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome {
        self.alive()?;
        self.outbox
            .post(&self.link(), message, tail_bytes, fill)
            .map(|_| ())
            .map_err(|error| self.failed(&error))
    }

    /// Sends data straight from the program's memory, in pieces that `message` makes from their offsets. The memory may be used
    /// again when this returns; where the caller `stays` until a later request is answered, only then.
    pub fn send_bulk<M: Message>(
        &self,
        data: &[u8],
        stays: bool,
        message: impl Fn(usize) -> M,
    ) -> Outcome {
        let piece = self.connection.piece_bytes();
        let pieces = data.chunks(piece).enumerate();
        let mut pieces = pieces.map(|(index, part)| (message(index * piece), part));
        let is_kept = self.connection.is_encrypted() && !stays;
        if is_kept && data.len() <= KEPT_BYTES {
            // A copy in the ring costs less than waiting for the worker.
            return pieces.try_for_each(|(message, part)| {
                self.post_with(&message, part.len(), |slot| slot.copy_from_slice(part))
            });
        }
        let mut last = 0;
        for (message, part) in pieces {
            self.alive().inspect_err(|_| self.outbox.give_up())?;
            let sent = self.outbox.bulk(&self.link(), &message, part);
            last = sent.map_err(|error| self.over(&error))?;
        }
        if is_kept {
            self.await_acknowledged(last)
                .map_err(|error| self.over(&error))?;
        }
        Ok(())
    }

    fn await_acknowledged(&self, sequence: u64) -> io::Result<()> {
        while !self.outbox.line().is_acknowledged(sequence) {
            let generation = self.way_back.generation();
            if let Err(error) = self.await_news() {
                self.recover(generation, error)?;
            }
        }
        Ok(())
    }

    /// Longest piece of bulk data in bytes.
    pub fn piece_bytes(&self) -> usize {
        self.connection.piece_bytes()
    }

    /// Sends a request and waits for the answer: its fixed part, with its CUresult, and the tail.
    pub fn ask<R: Request>(&self, request: &R, tail: &[u8]) -> Outcome<(R::Reply, Vec<u8>)> {
        self.alive().inspect_err(|_| self.outbox.give_up())?;
        self.count_not_supported()?;
        let sent = self
            .outbox
            .request(&self.link(), request, tail, |sequence| {
                self.inbox.expect(sequence)
            });
        let sequence = sent.map_err(|error| self.over(&error))?;
        let answer = self.inbox.wait(&self.connection, self, sequence);
        let answer = answer.map_err(|reason| {
            let result = self.lose(CUDA_ERROR_DEVICE_UNAVAILABLE, &reason);
            // Callers that fail take back the memory that they have lent.
            self.outbox.give_up();
            result
        })?;
        match decode::<R::Reply>(&answer) {
            Ok((reply, tail)) => Ok((reply, tail.to_vec())),
            Err(error) => Err(self.lose(CUDA_ERROR_DEVICE_UNAVAILABLE, &error.to_string())),
        }
    }

    /// Writes everything that is pending.
    pub fn flush(&self) -> Outcome {
        self.outbox
            .flush(&self.link())
            .map_err(|error| self.failed(&error))
    }

    /// Whether so much more can be copied to the host with nobody waiting for it: the worker keeps it until it has come.
    pub fn may_copy_unattended(&self, bytes: usize) -> bool {
        !self.connection.is_encrypted()
            || self.inbox.expected_bytes().saturating_add(bytes) <= UNATTENDED_BYTES
    }

    /// Whether bytes of a copy that was answered are missing: they were on their way when the connection was lost.
    pub fn lost_bytes_of(&self, destination: u32) -> bool {
        self.connection.is_encrypted() && self.inbox.is_missing(destination)
    }

    pub fn add_destination(&self, destination: Destination) -> u32 {
        self.inbox.add_destination(destination)
    }

    pub fn drop_destination(&self, id: u32) {
        self.inbox.drop_destination(id);
    }

    /// Counts a call that is not supported.
    pub fn note_not_supported(&self) {
        self.not_supported.fetch_add(1, Ordering::Relaxed);
    }

    fn count_not_supported(&self) -> Outcome {
        if self.not_supported.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let not_supported = self.not_supported.swap(0, Ordering::Relaxed);
        self.post(&Counters { not_supported })
    }

    /// At the program's end: what is pending goes out, and a word of goodbye, if that can be done without waiting for anybody.
    pub fn farewell(&self) {
        let ready = self.way_back.leave()
            && self
                .connection
                .wait_writable(false, Some(Duration::ZERO))
                .unwrap_or(false);
        if self.alive().is_err() || !ready {
            return;
        }
        let _ = self.count_not_supported();
        if self.connection.is_encrypted() {
            let _ = self.post(&Goodbye {});
        }
        let _ = self.flush();
    }

    /// Ends the session: later calls return `result`. The first reason is the one that is told.
    pub fn lose(&self, result: CUresult, reason: &str) -> CUresult {
        let first =
            self.lost
                .compare_exchange(CUDA_SUCCESS, result, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            crate::log::error(format_args!("the session is over: {reason}"));
        }
        self.inbox.lose(reason);
        // Whoever is in the middle of something wakes.
        self.connection.shut_down();
        first.err().unwrap_or(result)
    }

    /// As `failed`, for callers that have lent memory.
    fn over(&self, error: &io::Error) -> CUresult {
        let result = self.failed(error);
        if self.alive().is_err() {
            self.outbox.give_up();
        }
        result
    }

    fn failed(&self, error: &io::Error) -> CUresult {
        if error.kind() == io::ErrorKind::InvalidInput {
            return CUDA_ERROR_INVALID_VALUE;
        }
        // A worker that closes says why; its last words may still be unread.
        let _ = self.inbox.poll(&self.connection, self);
        self.lose(
            CUDA_ERROR_DEVICE_UNAVAILABLE,
            &self.inbox.lost().unwrap_or_else(|| describe(error)),
        )
    }

    pub(crate) fn link(&self) -> Link<'_> {
        Link {
            connection: &self.connection,
            around: self,
        }
    }

    fn start_watchdog(&'static self) -> Outcome {
        let watch = move || {
            if let Err(error) = self.outbox.watch(&self.link()) {
                self.failed(&error);
            }
        };
        crate::fork::spawn_without_signals("aquifer", watch).map_err(|error| {
            crate::log::error(format_args!("no thread could be started: {error}"));
            CUDA_ERROR_OUT_OF_MEMORY
        })
    }
}

impl Surroundings for Session {
    fn stalled(&self) -> io::Result<()> {
        self.inbox.poll(&self.connection, self)?;
        if self.connection.is_encrypted() && self.inbox.is_silent() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Not for ever: another thread that reads may be what empties the worker's side.
        self.connection.wait_writable(true, Some(NEWS)).map(|_| ())
    }

    fn take_news(&self) -> io::Result<()> {
        self.inbox.poll(&self.connection, self)
    }

    fn await_news(&self) -> io::Result<()> {
        self.inbox.poll(&self.connection, self)?;
        if self.inbox.is_silent() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.connection.wait_readable(Some(NEWS)).map(|_| ())
    }

    fn look_after(&self) -> io::Result<()> {
        let generation = self.way_back.generation();
        let looked = self.inbox.poll(&self.connection, self);
        let looked = looked.and_then(|()| match self.inbox.is_silent() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        });
        if let Err(error) = looked {
            self.recover(generation, error)?;
        }
        self.outbox
            .post(&self.link(), &Alive {}, 0, |_| {})
            .map(|_| ())
    }
}

impl Receiver for Session {
    fn acknowledged(&self, low: u32) -> io::Result<()> {
        self.outbox.line().acknowledge(low)
    }

    fn carried_out(&self, sequence: u64) -> io::Result<()> {
        if self.connection.is_encrypted() {
            self.outbox.line().carried_out(sequence)
        } else {
            Ok(())
        }
    }

    fn received(&self, sequence: u64) {
        self.outbox.note_received(sequence);
    }

    fn push(&self, push: Push<'_>) {
        match push {
            Push::Credit(credit) => {
                if let Some(device) = self.devices.get(credit.vgpu as usize) {
                    device.credit(credit);
                }
            }
            Push::Fault(fault, text) => {
                let text = String::from_utf8_lossy(text);
                crate::log::debug(format_args!(
                    "call {} failed with {}: {text}",
                    fault.call, fault.result
                ));
                for (name, context) in self.contexts.living() {
                    if fault.context == EVERY_CONTEXT || fault.context == name.id {
                        context.fail(fault.result, fault.sticky != 0);
                    }
                }
            }
            Push::DataFailed(failed) => self.inbox.drop_destination(failed.destination),
            Push::Closed(closed, reason) => {
                let result = if closed.result == CUDA_SUCCESS {
                    CUDA_ERROR_DEVICE_UNAVAILABLE
                } else {
                    closed.result
                };
                self.lose(result, &String::from_utf8_lossy(reason));
            }
            _ => {}
        }
    }
}
