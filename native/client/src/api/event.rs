//! Events. One that is known to be complete is answered without asking until it is recorded again.

use super::stream::order;
use crate::current;
use crate::export::{export, give};
use crate::memory::success;
use crate::objects::Event;
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    EventCreate, EventDestroy, EventElapsed, EventQuery, EventRecord, EventSynchronize,
};
use std::ffi::c_uint;
use std::sync::atomic::Ordering;

const KNOWN_FLAGS: c_uint =
    CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

fn event_of(handle: CUevent) -> Outcome<(&'static Session, u32, &'static Event)> {
    let session = session()?;
    let (id, event) = session
        .events
        .get(handle as u64)
        .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
    Ok((session, id, event))
}

fn record(event: CUevent, stream: CUstream, own: bool, flags: c_uint) -> Outcome {
    let (session, context) = current::ready()?;
    if flags & !CU_EVENT_RECORD_EXTERNAL != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let order = order(session, context, stream, own)?;
    let (_, id, event) = event_of(event)?;
    if event.context.load(Ordering::Relaxed) != order.context.handle {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    event.recorded.fetch_add(1, Ordering::AcqRel);
    session.post(&EventRecord {
        context: order.context.id,
        event: id,
        stream: order.stream,
        flags,
    })
}

/// Whether nothing was recorded since the event was last seen complete.
fn is_complete(event: &Event) -> bool {
    event.completed.load(Ordering::Acquire) == event.recorded.load(Ordering::Acquire)
}

fn elapsed(result: *mut f32, start: CUevent, end: CUevent) -> Outcome {
    let (session, start, first) = event_of(start)?;
    let (_, end, last) = event_of(end)?;
    if result.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let untimed =
        |event: &Event| event.flags.load(Ordering::Relaxed) & CU_EVENT_DISABLE_TIMING != 0;
    let never = |event: &Event| event.recorded.load(Ordering::Relaxed) == 0;
    if untimed(first) || untimed(last) || never(first) || never(last) {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    let (reply, _) = session.ask(&EventElapsed { start, end }, &[])?;
    success(reply.result)?;
    // SAFETY: not null, see above; otherwise the caller's promise.
    unsafe { give(result, reply.milliseconds) }
}

export! {
    /// Makes an event.
    fn cuEventCreate(result: *mut CUevent, flags: c_uint) {
        let (session, context) = current::ready()?;
        if result.is_null() || flags & !KNOWN_FLAGS != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if flags & CU_EVENT_INTERPROCESS != 0 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let (name, _) = session
            .events
            .insert(|_, used| {
                let event = used.unwrap_or_else(|| Box::leak(Box::default()));
                event.context.store(context.handle, Ordering::Relaxed);
                event.flags.store(flags, Ordering::Relaxed);
                event.recorded.store(0, Ordering::Relaxed);
                event.completed.store(0, Ordering::Relaxed);
                event
            })
            .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        session.post(&EventCreate { context: context.id, event: name.id, flags })?;
        // SAFETY: the caller's promise.
        unsafe { give(result, name.handle as CUevent) }
    }

    /// Ends an event.
    fn cuEventDestroy_v2(event: CUevent) {
        let session = session()?;
        let (id, _) = session.events.remove(event as u64).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        session.post(&EventDestroy { event: id })
    }

    /// Records an event.
    fn cuEventRecord | cuEventRecord_ptsz [own](event: CUevent, stream: CUstream) {
        record(event, stream, own, 0)
    }

    /// Records an event.
    fn cuEventRecordWithFlags | cuEventRecordWithFlags_ptsz [own](event: CUevent, stream: CUstream, flags: c_uint) {
        record(event, stream, own, flags)
    }

    /// Waits for the last record of an event.
    fn cuEventSynchronize(event: CUevent) {
        let (session, id, event) = event_of(event)?;
        let (_, context) = session
            .contexts
            .get(event.context.load(Ordering::Relaxed))
            .ok_or(CUDA_ERROR_CONTEXT_IS_DESTROYED)?;
        context.usable()?;
        let recorded = event.recorded.load(Ordering::Acquire);
        if event.completed.load(Ordering::Acquire) == recorded {
            return Ok(());
        }
        let (reply, _) = session.ask(&EventSynchronize { event: id }, &[])?;
        context.after_wait()?;
        success(reply.result)?;
        event.completed.fetch_max(recorded, Ordering::AcqRel);
        Ok(())
    }

    /// Whether the last record of an event is done: NOT_READY if not.
    fn cuEventQuery(event: CUevent) {
        let (session, id, event) = event_of(event)?;
        if is_complete(event) {
            return session.alive();
        }
        let recorded = event.recorded.load(Ordering::Acquire);
        let (reply, _) = session.ask(&EventQuery { event: id }, &[])?;
        success(reply.result)?;
        event.completed.fetch_max(recorded, Ordering::AcqRel);
        Ok(())
    }

    /// Milliseconds between two events.
    fn cuEventElapsedTime(result: *mut f32, start: CUevent, end: CUevent) {
        elapsed(result, start, end)
    }

    /// As cuEventElapsedTime.
    fn cuEventElapsedTime_v2(result: *mut f32, start: CUevent, end: CUevent) {
        elapsed(result, start, end)
    }
}
