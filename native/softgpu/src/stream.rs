//! Streams: queues of operations, each with a thread of its own while there is something to do.
//!
//! A stream that has nothing to do costs nothing: operations that take no time are done by the caller. `submitted`
//! and `completed` count operations over the life of the object, so that a pair (stream, count) names a point in it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_cuda::*;

use crate::context::{self, Context};
use crate::fault::Fault;
use crate::handle_table::Table;
use crate::operation::Operation;
use crate::outcome::Outcome;

pub static STREAMS: Table<Stream> = Table::new(2);

/// A thread whose stream had nothing to do for so long ends; the next operation starts another.
const IDLE_THREAD: Duration = Duration::from_secs(2);

/// How often a thread that waits looks for a fault of the device.
const FAULT_POLL: Duration = Duration::from_millis(20);

/// Which default stream a null handle means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Default {
    Legacy,
    PerThread,
}

/// One stream.
pub struct Stream {
    context: AtomicPtr<Context>,
    pub handle: AtomicU64,
    pub id: AtomicU64,
    pub flags: AtomicU32,
    pub priority: AtomicU32,
    legacy: bool,
    submitted: AtomicU64,
    completed: AtomicU64,
    queue: Mutex<Queue>,
    /// Something was submitted.
    wake: Condvar,
    /// Something was completed.
    done: Condvar,
}

struct Queue {
    operations: VecDeque<Operation>,
    has_thread: bool,
}

thread_local! {
    static OWN: RefCell<Vec<(u64, &'static Stream)>> = const { RefCell::new(Vec::new()) };
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl Stream {
    fn new(context: &'static Context, handle: usize, flags: u32, legacy: bool) -> Stream {
        Stream {
            context: AtomicPtr::new(std::ptr::from_ref(context).cast_mut()),
            handle: AtomicU64::new(handle as u64),
            id: AtomicU64::new(IDS.fetch_add(1, Relaxed)),
            flags: AtomicU32::new(flags),
            priority: AtomicU32::new(0),
            legacy,
            submitted: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            queue: Mutex::new(Queue {
                operations: VecDeque::new(),
                has_thread: false,
            }),
            wake: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// The default stream of a context; it has no handle of its own.
    pub fn legacy_of(context: &'static Context) -> &'static Stream {
        Box::leak(Box::new(Stream::new(
            context,
            CU_STREAM_LEGACY.addr(),
            CU_STREAM_DEFAULT,
            true,
        )))
    }

    /// Makes a stream in a context.
    pub fn create(
        context: &'static Context,
        flags: u32,
        priority: i32,
    ) -> Outcome<&'static Stream> {
        let reuse = |stream: &'static Stream, handle: usize| {
            if !stream.is_idle() {
                return false;
            }
            stream
                .context
                .store(std::ptr::from_ref(context).cast_mut(), Release);
            stream.handle.store(handle as u64, Relaxed);
            stream.id.store(IDS.fetch_add(1, Relaxed), Relaxed);
            stream.flags.store(flags, Relaxed);
            true
        };
        let made =
            STREAMS.insert_or_reuse(|handle| Stream::new(context, handle, flags, false), reuse);
        let (_, stream) = made.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        stream.priority.store(priority as u32, Relaxed);
        context.add_stream(stream);
        Ok(stream)
    }

    /// Ends a stream; what was submitted to it is still done.
    pub fn destroy(handle: CUstream) -> Outcome {
        let stream = STREAMS
            .remove(handle.addr())
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        stream.context().forget_stream(stream);
        Ok(())
    }

    /// The stream that a caller means.
    #[inline]
    pub fn find(handle: CUstream, default: Default) -> Outcome<&'static Stream> {
        match handle.addr() {
            0 if default == Default::Legacy => Ok(context::current()?.legacy()),
            1 => Ok(context::current()?.legacy()),
            0 | 2 => Ok(Stream::own(context::current()?)),
            number => STREAMS.get(number).ok_or(CUDA_ERROR_INVALID_HANDLE),
        }
    }

    /// The calling thread's default stream in a context.
    fn own(context: &'static Context) -> &'static Stream {
        OWN.with_borrow_mut(|own| {
            if let Some((_, stream)) = own.iter().find(|(id, _)| *id == context.id) {
                return *stream;
            }
            let handle = CU_STREAM_PER_THREAD.addr();
            let stream: &'static Stream = Box::leak(Box::new(Stream::new(
                context,
                handle,
                CU_STREAM_DEFAULT,
                false,
            )));
            context.add_stream(stream);
            own.push((context.id, stream));
            stream
        })
    }

    #[inline]
    pub fn context(&self) -> &'static Context {
        // SAFETY: always set from a `&'static Context`.
        unsafe { &*self.context.load(Acquire) }
    }

    #[inline]
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Acquire)
    }

    #[inline]
    pub fn completed(&self) -> u64 {
        self.completed.load(Acquire)
    }

    #[inline]
    pub fn is_idle(&self) -> bool {
        self.completed() == self.submitted()
    }

    fn is_blocking(&self) -> bool {
        !self.legacy && self.flags.load(Relaxed) & CU_STREAM_NON_BLOCKING == 0
    }

    /// True where the caller may do an operation itself: nothing is before it, here or by the legacy stream's rules.
    /// The caller has checked the context, and thereby looked for faults.
    #[inline]
    pub fn is_clear(&self) -> bool {
        let context = self.context();
        if !self.is_idle() || context.device.faults.last_seen() == Some(Fault::Hang) {
            return false;
        }
        if self.legacy {
            context.blocking_in_flight.load(Acquire) == 0
        } else {
            !self.is_blocking() || context.legacy().is_idle()
        }
    }

    /// Puts an operation at the end of the stream. Returns the count at which it is done.
    pub fn submit(&'static self, operation: Operation) -> Outcome<u64> {
        let context = self.context();
        let mut before = Vec::new();
        if self.legacy {
            let others = context.streams();
            let busy = others
                .iter()
                .filter(|stream| stream.is_blocking() && !stream.is_idle());
            before.extend(busy.map(|stream| Operation::Wait(stream, stream.submitted())));
        } else if self.is_blocking() && !context.legacy().is_idle() {
            before.push(Operation::Wait(
                context.legacy(),
                context.legacy().submitted(),
            ));
        }
        let count = before.len() + 1;
        let mut queue = self.queue();
        context.in_flight.fetch_add(count, AcqRel);
        if self.is_blocking() {
            context.blocking_in_flight.fetch_add(count, AcqRel);
        }
        let sequence = self.submitted.fetch_add(count as u64, AcqRel) + count as u64;
        queue.operations.extend(before);
        queue.operations.push_back(operation);
        if queue.has_thread {
            self.wake.notify_one();
            return Ok(sequence);
        }
        let name = format!("softgpu-{}", self.id.load(Relaxed));
        let started = std::thread::Builder::new()
            .name(name)
            .spawn(move || self.work());
        queue.has_thread = started.is_ok();
        if started.is_err() {
            // Without a thread the caller has to do it all; slower, but right.
            drop(queue);
            self.drain();
        }
        Ok(sequence)
    }

    /// Waits until the first `sequence` operations are done.
    pub fn wait_for(&self, sequence: u64) {
        for _ in 0..64 {
            if self.completed() >= sequence {
                return;
            }
            std::thread::yield_now();
        }
        let mut queue = self.queue();
        while self.completed() < sequence {
            let waited = self.done.wait_timeout(queue, FAULT_POLL);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            // A fault of the device ends the kernel that is waited for.
            let _ = self.context().check();
        }
    }

    /// Waits until the stream is empty; the error is that of its context.
    pub fn synchronize(&self) -> Outcome {
        let submitted = self.submitted();
        if self.completed() < submitted {
            self.wait_for(submitted);
        }
        self.context().check()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&'static self) {
        loop {
            self.drain();
            let queue = self.queue();
            let idle = |queue: &mut Queue| queue.operations.is_empty();
            let waited = self.wake.wait_timeout_while(queue, IDLE_THREAD, idle);
            let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.operations.is_empty() {
                queue.has_thread = false;
                return;
            }
        }
    }

    fn drain(&'static self) {
        loop {
            let Some(operation) = self.queue().operations.pop_front() else {
                return;
            };
            let context = self.context();
            operation.run(context);
            let blocking = self.is_blocking();
            let queue = self.queue();
            self.completed.fetch_add(1, AcqRel);
            context.in_flight.fetch_sub(1, AcqRel);
            if blocking {
                context.blocking_in_flight.fetch_sub(1, AcqRel);
            }
            drop(queue);
            self.done.notify_all();
        }
    }
}
