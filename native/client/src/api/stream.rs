//! Streams.

use crate::current;
use crate::export::{export, give, give_if_wanted};
use crate::memory::success;
use crate::objects::{Context, Stream};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    StreamCreate, StreamDestroy, StreamQuery, StreamSynchronize, StreamWaitEvent,
};
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicU64, Ordering};

const LEGACY: u64 = 1;
const PER_THREAD: u64 = 2;

/// A stream as the worker knows it, and the context that it is in.
#[derive(Clone, Copy)]
pub struct Order {
    pub context: &'static Context,
    pub stream: u32,
}

/// Where work on `stream` goes. `own` makes the calling thread's stream the default one.
#[inline]
pub fn order(
    session: &'static Session,
    current: &'static Context,
    stream: CUstream,
    own: bool,
) -> Outcome<Order> {
    match stream as u64 {
        0 if !own => Ok(Order {
            context: current,
            stream: 0,
        }),
        LEGACY => Ok(Order {
            context: current,
            stream: 1,
        }),
        0 | PER_THREAD => own_stream(session, current),
        handle => {
            let (stream, found) = session
                .streams
                .get(handle)
                .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
            let of = found.context.load(Ordering::Relaxed);
            if of == current.handle {
                return Ok(Order {
                    context: current,
                    stream,
                });
            }
            let (_, context) = session
                .contexts
                .get(of)
                .ok_or(CUDA_ERROR_CONTEXT_IS_DESTROYED)?;
            context.usable()?;
            Ok(Order { context, stream })
        }
    }
}

/// The calling thread's own default stream: an ordinary stream, made when it is first used.
fn own_stream(session: &'static Session, context: &'static Context) -> Outcome<Order> {
    let living = current::own_stream(context.handle).and_then(|handle| session.streams.get(handle));
    let stream = match living {
        Some((stream, _)) => stream,
        None => {
            let handle = make(session, context, 0, 0)?;
            current::set_own_stream(context.handle, handle);
            session
                .streams
                .get(handle)
                .ok_or(CUDA_ERROR_INVALID_HANDLE)?
                .0
        }
    };
    Ok(Order { context, stream })
}

fn make(session: &Session, context: &Context, flags: u32, priority: i32) -> Outcome<u64> {
    static NUMBERS: AtomicU64 = AtomicU64::new(FIRST_NUMBER);
    const FIRST_NUMBER: u64 = 16;
    let (name, _) = session
        .streams
        .insert(|_, used| {
            let stream = used.unwrap_or_else(|| Box::leak(Box::default()));
            stream.context.store(context.handle, Ordering::Relaxed);
            stream.flags.store(flags, Ordering::Relaxed);
            stream.priority.store(priority, Ordering::Relaxed);
            stream
                .number
                .store(NUMBERS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            stream
        })
        .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    session.post(&StreamCreate {
        context: context.id,
        stream: name.id,
        flags,
        priority,
    })?;
    Ok(name.handle)
}

unsafe fn create(result: *mut CUstream, flags: c_uint, priority: c_int) -> Outcome {
    let (session, context) = current::ready()?;
    if result.is_null() || flags & !CU_STREAM_NON_BLOCKING != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let device = session
        .devices
        .get(context.vgpu as usize)
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    let (greatest, least) = (device.greatest_priority, device.least_priority);
    let priority = priority.clamp(greatest.min(least), greatest.max(least));
    // SAFETY: the caller's promise.
    unsafe { give(result, make(session, context, flags, priority)? as CUstream) }
}

/// What is known of a stream without asking: a default stream has no entry.
fn known(stream: CUstream) -> Outcome<(&'static Context, Option<&'static Stream>)> {
    let session = session()?;
    if (stream as u64) <= PER_THREAD {
        return Ok((current::context()?.1, None));
    }
    let (_, found) = session
        .streams
        .get(stream as u64)
        .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
    let handle = found.context.load(Ordering::Relaxed);
    let (_, context) = session
        .contexts
        .get(handle)
        .ok_or(CUDA_ERROR_CONTEXT_IS_DESTROYED)?;
    Ok((context, Some(found)))
}

/// Waits for the work of a stream.
pub fn wait(session: &Session, order: Order) -> Outcome {
    let (reply, _) = session.ask(
        &StreamSynchronize {
            context: order.context.id,
            stream: order.stream,
        },
        &[],
    )?;
    order.context.after_wait()?;
    success(reply.result)
}

export! {
    /// Makes a stream.
    fn cuStreamCreate(result: *mut CUstream, flags: c_uint) {
        // SAFETY: the caller's promise.
        unsafe { create(result, flags, 0) }
    }

    /// Makes a stream with a priority, which is brought into the device's range.
    fn cuStreamCreateWithPriority(result: *mut CUstream, flags: c_uint, priority: c_int) {
        // SAFETY: the caller's promise.
        unsafe { create(result, flags, priority) }
    }

    /// Ends a stream when its work is done.
    fn cuStreamDestroy_v2(stream: CUstream) {
        let session = session()?;
        let (context, found) = known(stream)?;
        found.ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let (id, _) = session.streams.remove(stream as u64).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        session.post(&StreamDestroy { context: context.id, stream: id })
    }

    /// Waits for the work of a stream.
    fn cuStreamSynchronize | cuStreamSynchronize_ptsz [own](stream: CUstream) {
        let (session, context) = current::ready()?;
        wait(session, order(session, context, stream, own)?)
    }

    /// Whether the work of a stream is done: NOT_READY if not.
    fn cuStreamQuery | cuStreamQuery_ptsz [own](stream: CUstream) {
        let (session, context) = current::ready()?;
        let order = order(session, context, stream, own)?;
        let (reply, _) = session.ask(&StreamQuery { context: order.context.id, stream: order.stream }, &[])?;
        order.context.usable()?;
        if reply.result == CUDA_SUCCESS { order.context.after_wait() } else { Err(reply.result) }
    }

    /// Later work of the stream waits for the event.
    fn cuStreamWaitEvent | cuStreamWaitEvent_ptsz [own](stream: CUstream, event: CUevent, flags: c_uint) {
        let (session, context) = current::ready()?;
        if flags & !CU_EVENT_WAIT_EXTERNAL != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let order = order(session, context, stream, own)?;
        let (event, _) = session.events.get(event as u64).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        session.post(&StreamWaitEvent { context: order.context.id, stream: order.stream, event, flags })
    }

    /// A stream's priority.
    fn cuStreamGetPriority | cuStreamGetPriority_ptsz [_own](stream: CUstream, priority: *mut c_int) {
        let (_, found) = known(stream)?;
        // SAFETY: the caller's promise.
        unsafe { give(priority, found.map_or(0, |stream| stream.priority.load(Ordering::Relaxed))) }
    }

    /// A stream's flags.
    fn cuStreamGetFlags | cuStreamGetFlags_ptsz [_own](stream: CUstream, flags: *mut c_uint) {
        let (_, found) = known(stream)?;
        // SAFETY: the caller's promise.
        unsafe { give(flags, found.map_or(0, |stream| stream.flags.load(Ordering::Relaxed))) }
    }

    /// A number that no other stream of the process has.
    fn cuStreamGetId | cuStreamGetId_ptsz [own](stream: CUstream, id: *mut u64) {
        let (context, found) = known(stream)?;
        let thread_local = own || stream as u64 == PER_THREAD;
        let default = || context.handle << 2 | if thread_local { PER_THREAD } else { LEGACY };
        // SAFETY: the caller's promise.
        unsafe { give(id, found.map_or_else(default, |stream| stream.number.load(Ordering::Relaxed))) }
    }

    /// The context of a stream.
    fn cuStreamGetCtx | cuStreamGetCtx_ptsz [_own](stream: CUstream, result: *mut CUcontext) {
        let (context, _) = known(stream)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, context.handle as CUcontext) }
    }

    /// The context of a stream; none is a green context.
    fn cuStreamGetCtx_v2 | cuStreamGetCtx_v2_ptsz [_own](
        stream: CUstream,
        result: *mut CUcontext,
        green: *mut CUcontext,
    ) {
        let (context, _) = known(stream)?;
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(green, std::ptr::null_mut());
            give(result, context.handle as CUcontext)
        }
    }

    /// The vGPU of a stream.
    fn cuStreamGetDevice | cuStreamGetDevice_ptsz [_own](stream: CUstream, result: *mut CUdevice) {
        let (context, _) = known(stream)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, context.vgpu as CUdevice) }
    }

    /// No stream captures: graphs are not supported.
    fn cuStreamIsCapturing | cuStreamIsCapturing_ptsz [_own](stream: CUstream, status: *mut c_uint) {
        known(stream)?;
        // SAFETY: the caller's promise.
        unsafe { give(status, 0) }
    }
}
