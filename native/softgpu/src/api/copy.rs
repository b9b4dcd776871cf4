//! Copies.

use std::ffi::c_void;

use aquifer_cuda::*;

use super::calls::{In, stream_calls};
use crate::copy::{Copy2D, Side};
use crate::outcome::{Outcome, require};
use crate::stream::{Default, Stream};

const TO_DEVICE: (Side, Side) = (Side::Device, Side::Host);
const TO_HOST: (Side, Side) = (Side::Host, Side::Device);
const ON_DEVICE: (Side, Side) = (Side::Device, Side::Device);
const ANY: (Side, Side) = (Side::Any, Side::Any);

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// A copy that is over when the call returns.
fn now(target: u64, source: u64, size: usize, sides: (Side, Side), default: Default) -> Outcome {
    let stream = Stream::find(std::ptr::null_mut(), default)?;
    Copy2D::plain(target, source, size as u64).execute(stream, sides, false)
}

fn later(
    target: u64,
    source: u64,
    size: usize,
    sides: (Side, Side),
    stream: &'static Stream,
) -> Outcome {
    Copy2D::plain(target, source, size as u64).execute(stream, sides, true)
}

fn rectangle(copy: &CUDA_MEMCPY2D) -> Outcome<(Copy2D, (Side, Side))> {
    let side = |kind, host: u64, device: u64| match kind {
        CU_MEMORYTYPE_HOST => Ok((host, Side::Host)),
        CU_MEMORYTYPE_DEVICE => Ok((device, Side::Device)),
        CU_MEMORYTYPE_UNIFIED => Ok((device, Side::Any)),
        CU_MEMORYTYPE_ARRAY => Err(CUDA_ERROR_NOT_SUPPORTED),
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    };
    let (source, from) = side(copy.srcMemoryType, address(copy.srcHost), copy.srcDevice)?;
    let (target, to) = side(
        copy.dstMemoryType,
        address(copy.dstHost.cast_const()),
        copy.dstDevice,
    )?;
    let place = |base: u64, x: usize, y: usize, pitch: usize| {
        let row = (y as u64).checked_mul(pitch as u64)?;
        base.checked_add(row)?.checked_add(x as u64)
    };
    let width = copy.WidthInBytes;
    let (source_pitch, target_pitch) = (
        pitch_of(copy.srcPitch, width),
        pitch_of(copy.dstPitch, width),
    );
    require(copy.Height <= 1 || source_pitch >= width && target_pitch >= width)?;
    let rectangle = Copy2D::rectangle(
        place(target, copy.dstXInBytes, copy.dstY, target_pitch).ok_or(CUDA_ERROR_INVALID_VALUE)?,
        place(source, copy.srcXInBytes, copy.srcY, source_pitch).ok_or(CUDA_ERROR_INVALID_VALUE)?,
        (width as u64, copy.Height as u64),
        (target_pitch as u64, source_pitch as u64),
    );
    Ok((rectangle, (to, from)))
}

/// A pitch of 0 means rows without gaps.
fn pitch_of(pitch: usize, width: usize) -> usize {
    if pitch == 0 { width } else { pitch }
}

stream_calls! { TABLE default;
    fn cuMemcpy cuMemcpy_ptds = (target: CUdeviceptr, source: CUdeviceptr, size: usize) {
        now(target, source, size, ANY, default)
    }

    fn cuMemcpyAsync cuMemcpyAsync_ptsz = (target: CUdeviceptr, source: CUdeviceptr, size: usize, stream: CUstream) {
        later(target, source, size, ANY, Stream::find(stream, default)?)
    }

    fn cuMemcpyHtoD_v2 cuMemcpyHtoD_v2_ptds = (target: CUdeviceptr, source: *const c_void, size: usize) {
        now(target, address(source), size, TO_DEVICE, default)
    }

    fn cuMemcpyHtoDAsync_v2 cuMemcpyHtoDAsync_v2_ptsz = (
        target: CUdeviceptr,
        source: *const c_void,
        size: usize,
        stream: CUstream,
    ) {
        later(target, address(source), size, TO_DEVICE, Stream::find(stream, default)?)
    }

    fn cuMemcpyDtoH_v2 cuMemcpyDtoH_v2_ptds = (target: *mut c_void, source: CUdeviceptr, size: usize) {
        now(address(target.cast_const()), source, size, TO_HOST, default)
    }

    fn cuMemcpyDtoHAsync_v2 cuMemcpyDtoHAsync_v2_ptsz = (
        target: *mut c_void,
        source: CUdeviceptr,
        size: usize,
        stream: CUstream,
    ) {
        later(address(target.cast_const()), source, size, TO_HOST, Stream::find(stream, default)?)
    }

    fn cuMemcpyDtoD_v2 cuMemcpyDtoD_v2_ptds = (target: CUdeviceptr, source: CUdeviceptr, size: usize) {
        now(target, source, size, ON_DEVICE, default)
    }

    fn cuMemcpyDtoDAsync_v2 cuMemcpyDtoDAsync_v2_ptsz = (
        target: CUdeviceptr,
        source: CUdeviceptr,
        size: usize,
        stream: CUstream,
    ) {
        later(target, source, size, ON_DEVICE, Stream::find(stream, default)?)
    }

    fn cuMemcpyPeer cuMemcpyPeer_ptds = (
        target: CUdeviceptr,
        target_context: CUcontext,
        source: CUdeviceptr,
        source_context: CUcontext,
        size: usize,
    ) {
        crate::context::find(target_context)?.synchronize()?;
        crate::context::find(source_context)?.synchronize()?;
        now(target, source, size, ON_DEVICE, default)
    }

    fn cuMemcpy2D_v2 cuMemcpy2D_v2_ptds cuMemcpy2DUnaligned_v2 cuMemcpy2DUnaligned_v2_ptds = (
        copy: In<CUDA_MEMCPY2D>,
    ) {
        let (rectangle, sides) = rectangle(&copy.get()?)?;
        rectangle.execute(Stream::find(std::ptr::null_mut(), default)?, sides, false)
    }

    fn cuMemcpy2DAsync_v2 cuMemcpy2DAsync_v2_ptsz = (copy: In<CUDA_MEMCPY2D>, stream: CUstream) {
        let (rectangle, sides) = rectangle(&copy.get()?)?;
        rectangle.execute(Stream::find(stream, default)?, sides, true)
    }
}
