//! Events: points in streams that can be waited for and measured between.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_cuda::*;

use crate::context::Context;
use crate::driver;
use crate::handle_table::Table;
use crate::operation::Operation;
use crate::outcome::Outcome;
use crate::state::monotonic_ns;
use crate::stream::Stream;

pub static EVENTS: Table<Event> = Table::new(3);

/// One event.
pub struct Event {
    context: AtomicPtr<Context>,
    flags: AtomicU32,
    recorded: Mutex<Recorded>,
}

struct Recorded {
    /// Counts records, so that an operation knows whether it is still the latest.
    token: u64,
    /// The token of the last record that was reached.
    reached: u64,
    point: Point,
}

#[derive(Clone, Copy)]
enum Point {
    Never,
    Pending(&'static Stream, u64),
    Reached(u64),
}

impl Event {
    pub fn create(context: &'static Context, flags: u32) -> Outcome<usize> {
        let pointer = || std::ptr::from_ref(context).cast_mut();
        let make = |_| Event {
            context: AtomicPtr::new(pointer()),
            flags: AtomicU32::new(flags),
            recorded: Mutex::new(Recorded {
                token: 0,
                reached: 0,
                point: Point::Never,
            }),
        };
        let reuse = |event: &'static Event, _| {
            event.context.store(pointer(), Release);
            event.flags.store(flags, Relaxed);
            let mut recorded = event.recorded();
            recorded.token += 1;
            recorded.point = Point::Never;
            true
        };
        Ok(EVENTS
            .insert_or_reuse(make, reuse)
            .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?
            .0)
    }

    pub fn find(handle: CUevent) -> Outcome<&'static Event> {
        EVENTS.get(handle.addr()).ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    pub fn destroy(handle: CUevent) -> Outcome {
        EVENTS
            .remove(handle.addr())
            .map(|_| ())
            .ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    pub fn context(&self) -> &'static Context {
        // SAFETY: always set from a `&'static Context`.
        unsafe { &*self.context.load(Acquire) }
    }

    /// Marks the present end of a stream of the event's own context.
    pub fn record(&'static self, stream: &'static Stream) -> Outcome {
        if !std::ptr::eq(self.context(), stream.context()) {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        let token = {
            let mut recorded = self.recorded();
            recorded.token += 1;
            if stream.is_clear() && !self.must_be_exact() {
                recorded.point = Point::Reached(monotonic_ns());
                return Ok(());
            }
            recorded.token
        };
        let sequence = stream.submit(Operation::Record(self, token))?;
        let mut recorded = self.recorded();
        // The stream may have got there already, or another thread may have recorded again.
        if recorded.token == token && recorded.reached != token {
            recorded.point = Point::Pending(stream, sequence);
        }
        Ok(())
    }

    /// Whether the stream's own thread has to take the time: what is measured from here then begins when that thread runs,
    /// as on a GPU, and not while it wakes up. Kernels that compute nothing leave nothing to be measured.
    fn must_be_exact(&self) -> bool {
        let timed = self.flags.load(Relaxed) & CU_EVENT_DISABLE_TIMING == 0;
        timed && driver::started().is_some_and(|driver| !driver.settings.null_kernels)
    }

    /// The stream got to the record with this token.
    pub fn reached(&self, token: u64) {
        let mut recorded = self.recorded();
        if recorded.token == token {
            recorded.reached = token;
            recorded.point = Point::Reached(monotonic_ns());
        }
    }

    /// The point that others have to wait for; none where it is past or was never set.
    pub fn pending(&self) -> Option<(&'static Stream, u64)> {
        match self.recorded().point {
            Point::Pending(stream, sequence) if stream.completed() < sequence => {
                Some((stream, sequence))
            }
            _ => None,
        }
    }

    /// Milliseconds from `self` to `end`.
    pub fn elapsed_ms(&self, end: &Event) -> Outcome<f32> {
        if (self.flags.load(Relaxed) | end.flags.load(Relaxed)) & CU_EVENT_DISABLE_TIMING != 0 {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        let (start, end) = (self.reached_ns()?, end.reached_ns()?);
        Ok((end as f64 - start as f64) as f32 / 1e6)
    }

    fn reached_ns(&self) -> Outcome<u64> {
        match self.recorded().point {
            Point::Never => Err(CUDA_ERROR_INVALID_HANDLE),
            Point::Pending(..) => Err(CUDA_ERROR_NOT_READY),
            Point::Reached(time) => Ok(time),
        }
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
