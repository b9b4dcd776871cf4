//! Copies of one piece of memory.

use super::stream::{Order, order, wait};
use crate::current;
use crate::export::export;
use crate::inbox::Destination;
use crate::memory::success;
use crate::session::{Outcome, Session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{MemcpyDtoD, MemcpyDtoH, MemcpyDtoHAsync, MemcpyHtoD};
use std::ffi::c_void;

/// Up to this size a copy to the device goes along with the other calls, in bytes: it needs no write of its own.
const SMALL_BYTES: usize = 64 << 10;

/// Sends host memory. The program may use it again when this returns; where the caller `stays`, when its wait is over.
///
/// # Safety
/// `source` is readable for `bytes`.
pub unsafe fn send(
    session: &Session,
    order: Order,
    address: u64,
    (source, bytes): (*const u8, usize),
    stays: bool,
) -> Outcome {
    // SAFETY: the caller's promise.
    let data = unsafe { std::slice::from_raw_parts(source, bytes) };
    let (context, stream) = (order.context.id, order.stream);
    if bytes <= SMALL_BYTES {
        let head = MemcpyHtoD {
            address,
            context,
            stream,
        };
        return session.post_with(&head, bytes, |slot| slot.copy_from_slice(data));
    }
    session.send_bulk(data, stays, |offset| MemcpyHtoD {
        address: address + offset as u64,
        context,
        stream,
    })
}

unsafe fn to_device(
    address: u64,
    source: *const c_void,
    bytes: usize,
    stream: CUstream,
    how: How,
) -> Outcome {
    let (session, context) = current::ready()?;
    let order = order(session, context, stream, how.own)?;
    if bytes == 0 {
        return Ok(());
    }
    if source.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    session.check_device(address, bytes as u64)?;
    // SAFETY: not null; otherwise the program's promise.
    unsafe { send(session, order, address, (source.cast(), bytes), how.waits)? };
    if how.waits && bytes > SMALL_BYTES {
        wait(session, order)
    } else {
        Ok(())
    }
}

unsafe fn to_host(
    target: *mut c_void,
    source: u64,
    bytes: usize,
    stream: CUstream,
    how: How,
) -> Outcome {
    let (session, context) = current::ready()?;
    let order = order(session, context, stream, how.own)?;
    if bytes == 0 {
        return Ok(());
    }
    if target.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    session.check_device(source, bytes as u64)?;
    let rectangle = Destination {
        memory: target.cast(),
        width: bytes,
        pitch: bytes,
        rows: 1,
        received: 0,
    };
    let (context, stream) = (order.context.id, order.stream);
    let is_waited_for = how.waits || !session.may_copy_unattended(bytes);
    let bytes = bytes as u64;
    if !is_waited_for {
        let destination = session.add_destination(rectangle);
        return session.post(&MemcpyDtoHAsync {
            source,
            bytes,
            context,
            stream,
            destination,
        });
    }
    receive(session, order, rectangle, |destination| {
        let request = MemcpyDtoH {
            source,
            bytes,
            context,
            stream,
            destination,
        };
        Ok(session.ask(&request, &[])?.0.result)
    })
}

/// Asks for a copy to the host and waits for it, and asks again for bytes that were lost with a connection: until the answer has
/// come, nothing that the program may rely on has changed them.
pub fn receive(
    session: &Session,
    order: Order,
    rectangle: Destination,
    ask: impl Fn(u32) -> Outcome<CUresult>,
) -> Outcome {
    loop {
        let destination = session.add_destination(rectangle);
        let result = ask(destination);
        let is_missing = result == Ok(CUDA_SUCCESS) && session.lost_bytes_of(destination);
        session.drop_destination(destination);
        if is_missing {
            continue;
        }
        order.context.after_wait()?;
        return success(result?);
    }
}

fn within_device(target: u64, source: u64, bytes: usize, stream: CUstream, own: bool) -> Outcome {
    let (session, context) = current::ready()?;
    let order = order(session, context, stream, own)?;
    if bytes == 0 {
        return Ok(());
    }
    let bytes = bytes as u64;
    session.check_device(target, bytes)?;
    session.check_device(source, bytes)?;
    let (context, stream) = (order.context.id, order.stream);
    session.post(&MemcpyDtoD {
        destination: target,
        source,
        bytes,
        context,
        stream,
    })
}

/// Whether the copy is waited for, and whose default stream is meant.
#[derive(Clone, Copy)]
struct How {
    waits: bool,
    own: bool,
}

/// A copy whose kind follows from the addresses.
unsafe fn any(target: u64, source: u64, bytes: usize, stream: CUstream, how: How) -> Outcome {
    let (session, _) = current::ready()?;
    let on_device = |address| session.device_of(address).is_some();
    let (to, from) = (target as *mut c_void, source as *const c_void);
    // SAFETY: what is not device memory is host memory by the program's promise.
    unsafe {
        match (on_device(target), on_device(source)) {
            (true, true) => within_device(target, source, bytes, stream, how.own),
            (true, false) => to_device(target, from, bytes, stream, how),
            (false, true) => to_host(to, source, bytes, stream, how),
            (false, false) => between_host(to, from, bytes, stream, how.own),
        }
    }
}

/// Host to host: after the work that is in the stream.
unsafe fn between_host(
    target: *mut c_void,
    source: *const c_void,
    bytes: usize,
    stream: CUstream,
    own: bool,
) -> Outcome {
    let (session, context) = current::ready()?;
    wait(session, order(session, context, stream, own)?)?;
    if bytes > 0 && (target.is_null() || source.is_null()) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: the program's promise; `copy` allows that they overlap.
    unsafe { std::ptr::copy(source.cast::<u8>(), target.cast::<u8>(), bytes) };
    Ok(())
}

const DEFAULT: CUstream = std::ptr::null_mut();

export! {
    /// Copies to the device.
    fn cuMemcpyHtoD_v2 | cuMemcpyHtoD_v2_ptds [own](target: CUdeviceptr, source: *const c_void, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { to_device(target, source, bytes, DEFAULT, How { waits: true, own }) }
    }
    /// Copies from the device.
    fn cuMemcpyDtoH_v2 | cuMemcpyDtoH_v2_ptds [own](target: *mut c_void, source: CUdeviceptr, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { to_host(target, source, bytes, DEFAULT, How { waits: true, own }) }
    }
    /// Copies within the device.
    fn cuMemcpyDtoD_v2 | cuMemcpyDtoD_v2_ptds [own](target: CUdeviceptr, source: CUdeviceptr, bytes: usize) {
        within_device(target, source, bytes, DEFAULT, own)
    }
    /// Copies to the device in a stream.
    fn cuMemcpyHtoDAsync_v2 | cuMemcpyHtoDAsync_v2_ptsz [own](
        target: CUdeviceptr, source: *const c_void, bytes: usize, stream: CUstream,
    ) {
        // SAFETY: the caller's promise.
        unsafe { to_device(target, source, bytes, stream, How { waits: false, own }) }
    }
    /// Copies from the device in a stream: the bytes are there when the stream was waited for.
    fn cuMemcpyDtoHAsync_v2 | cuMemcpyDtoHAsync_v2_ptsz [own](
        target: *mut c_void, source: CUdeviceptr, bytes: usize, stream: CUstream,
    ) {
        // SAFETY: the caller's promise.
        unsafe { to_host(target, source, bytes, stream, How { waits: false, own }) }
    }
    /// Copies within the device in a stream.
    fn cuMemcpyDtoDAsync_v2 | cuMemcpyDtoDAsync_v2_ptsz [own](
        target: CUdeviceptr, source: CUdeviceptr, bytes: usize, stream: CUstream,
    ) {
        within_device(target, source, bytes, stream, own)
    }
    /// Copies between any two places.
    fn cuMemcpy | cuMemcpy_ptds [own](target: CUdeviceptr, source: CUdeviceptr, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { any(target, source, bytes, DEFAULT, How { waits: true, own }) }
    }
    /// Copies between any two places in a stream.
    fn cuMemcpyAsync | cuMemcpyAsync_ptsz [own](
        target: CUdeviceptr, source: CUdeviceptr, bytes: usize, stream: CUstream,
    ) {
        // SAFETY: the caller's promise.
        unsafe { any(target, source, bytes, stream, How { waits: false, own }) }
    }
}
