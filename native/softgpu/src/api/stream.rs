//! Streams.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::sync::atomic::Ordering::Relaxed;

use aquifer_cuda::*;

use super::calls::{Out, calls, stream_calls};
use super::context::handle_of;
use crate::context::{current, initialized};
use crate::event::Event;
use crate::operation::{HostFunction, Operation};
use crate::outcome::{Outcome, require};
use crate::stream::Stream;

pub const GREATEST_PRIORITY: c_int = -5;
const CAPTURE_STATUS_NONE: c_uint = 0;

fn create(out: &Out<CUstream>, flags: c_uint, priority: c_int) -> Outcome {
    out.check()?;
    require(flags & !CU_STREAM_NON_BLOCKING == 0)?;
    // A priority outside the range is taken to its nearest end, as CUDA does.
    let stream = Stream::create(current()?, flags, priority.clamp(GREATEST_PRIORITY, 0))?;
    out.give(std::ptr::without_provenance_mut(
        stream.handle.load(Relaxed) as usize,
    ))
}

calls! { TABLE;
    fn cuStreamCreate = (out: Out<CUstream>, flags: c_uint) {
        create(&out, flags, 0)
    }

    fn cuStreamCreateWithPriority = (out: Out<CUstream>, flags: c_uint, priority: c_int) {
        create(&out, flags, priority)
    }

    fn cuStreamDestroy cuStreamDestroy_v2 = (stream: CUstream) {
        initialized()?;
        Stream::destroy(stream)
    }
}

stream_calls! { STREAM_TABLE default;
    fn cuStreamSynchronize cuStreamSynchronize_ptsz = (stream: CUstream) {
        initialized()?;
        Stream::find(stream, default)?.synchronize()
    }

    fn cuStreamQuery cuStreamQuery_ptsz = (stream: CUstream) {
        initialized()?;
        let stream = Stream::find(stream, default)?;
        stream.context().check()?;
        if stream.is_idle() { Ok(()) } else { Err(CUDA_ERROR_NOT_READY) }
    }

    fn cuStreamWaitEvent cuStreamWaitEvent_ptsz = (stream: CUstream, event: CUevent, flags: c_uint) {
        initialized()?;
        require(flags & !CU_EVENT_WAIT_EXTERNAL == 0)?;
        let stream = Stream::find(stream, default)?;
        stream.context().check()?;
        match Event::find(event)?.pending() {
            Some((other, sequence)) if !std::ptr::eq(other, stream) => {
                stream.submit(Operation::Wait(other, sequence)).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    fn cuStreamGetFlags cuStreamGetFlags_ptsz = (stream: CUstream, flags: Out<c_uint>) {
        initialized()?;
        flags.give(Stream::find(stream, default)?.flags.load(Relaxed))
    }

    fn cuStreamGetPriority cuStreamGetPriority_ptsz = (stream: CUstream, priority: Out<c_int>) {
        initialized()?;
        priority.give(Stream::find(stream, default)?.priority.load(Relaxed) as c_int)
    }

    fn cuStreamGetCtx cuStreamGetCtx_ptsz = (stream: CUstream, context: Out<CUcontext>) {
        initialized()?;
        context.give(handle_of(Some(Stream::find(stream, default)?.context())))
    }

    fn cuStreamGetCtx_v2 cuStreamGetCtx_v2_ptsz = (stream: CUstream, context: Out<CUcontext>, green: Out<*mut c_void>) {
        initialized()?;
        green.offer(std::ptr::null_mut());
        context.give(handle_of(Some(Stream::find(stream, default)?.context())))
    }

    fn cuStreamGetDevice cuStreamGetDevice_ptsz = (stream: CUstream, device: Out<CUdevice>) {
        initialized()?;
        device.give(Stream::find(stream, default)?.context().device.index as CUdevice)
    }

    fn cuStreamGetId cuStreamGetId_ptsz = (stream: CUstream, id: Out<c_ulonglong>) {
        initialized()?;
        id.give(Stream::find(stream, default)?.id.load(Relaxed))
    }

    fn cuStreamIsCapturing cuStreamIsCapturing_ptsz = (stream: CUstream, status: Out<c_uint>) {
        initialized()?;
        Stream::find(stream, default)?;
        status.give(CAPTURE_STATUS_NONE)
    }

    fn cuLaunchHostFunc cuLaunchHostFunc_ptsz = (stream: CUstream, function: CUhostFn, argument: *mut c_void) {
        initialized()?;
        let function = function.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let stream = Stream::find(stream, default)?;
        stream.context().check()?;
        stream.submit(Operation::HostFunction(HostFunction { function, argument })).map(|_| ())
    }

    fn cuStreamAddCallback cuStreamAddCallback_ptsz = (
        stream: CUstream,
        function: CUstreamCallback,
        _argument: *mut c_void,
        flags: c_uint,
    ) {
        initialized()?;
        require(function.is_some() && flags == 0)?;
        Stream::find(stream, default)?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }
}
