//! Events.

use std::ffi::c_uint;

use aquifer_cuda::*;

use super::calls::{Out, calls, stream_calls};
use crate::context::{current, initialized};
use crate::event::Event;
use crate::outcome::{Outcome, require};
use crate::stream::{Default, Stream};

const FLAGS: c_uint = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING;

fn record(event: CUevent, stream: CUstream, default: Default) -> Outcome {
    initialized()?;
    let event = Event::find(event)?;
    let stream = Stream::find(stream, default)?;
    stream.context().check()?;
    event.record(stream)
}

fn elapsed(milliseconds: &Out<f32>, start: CUevent, end: CUevent) -> Outcome {
    milliseconds.check()?;
    initialized()?;
    let (start, end) = (Event::find(start)?, Event::find(end)?);
    start.context().check()?;
    milliseconds.give(start.elapsed_ms(end)?)
}

calls! { TABLE;
    fn cuEventCreate = (out: Out<CUevent>, flags: c_uint) {
        out.check()?;
        if flags & CU_EVENT_INTERPROCESS != 0 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        require(flags & !FLAGS == 0)?;
        out.give(std::ptr::without_provenance_mut(Event::create(current()?, flags)?))
    }

    fn cuEventDestroy cuEventDestroy_v2 = (event: CUevent) {
        initialized()?;
        Event::destroy(event)
    }

    fn cuEventQuery = (event: CUevent) {
        initialized()?;
        let event = Event::find(event)?;
        event.context().check()?;
        if event.pending().is_none() { Ok(()) } else { Err(CUDA_ERROR_NOT_READY) }
    }

    fn cuEventSynchronize = (event: CUevent) {
        initialized()?;
        let event = Event::find(event)?;
        if let Some((stream, sequence)) = event.pending() {
            stream.wait_for(sequence);
        }
        event.context().check()
    }

    fn cuEventElapsedTime cuEventElapsedTime_v2 = (milliseconds: Out<f32>, start: CUevent, end: CUevent) {
        elapsed(&milliseconds, start, end)
    }
}

stream_calls! { STREAM_TABLE default;
    fn cuEventRecord cuEventRecord_ptsz = (event: CUevent, stream: CUstream) {
        record(event, stream, default)
    }

    fn cuEventRecordWithFlags cuEventRecordWithFlags_ptsz = (event: CUevent, stream: CUstream, flags: c_uint) {
        require(flags & !CU_EVENT_RECORD_EXTERNAL == 0)?;
        record(event, stream, default)
    }
}
