//! Sets of device memory.

use super::stream::order;
use crate::current;
use crate::export::export;
use crate::session::Outcome;
use aquifer_cuda::*;
use aquifer_protocol::generated::MemSet;
use std::ffi::{c_uchar, c_uint, c_ushort};

/// `rows` rows of `width` elements of `element_bytes` bytes, `pitch` bytes apart.
struct Rectangle {
    address: CUdeviceptr,
    pitch: usize,
    width: usize,
    rows: usize,
}

fn set(
    rectangle: Rectangle,
    value: u32,
    element_bytes: u32,
    stream: CUstream,
    own: bool,
) -> Outcome {
    let (session, context) = current::ready()?;
    let order = order(session, context, stream, own)?;
    let Rectangle {
        address,
        pitch,
        width,
        rows,
    } = rectangle;
    let size = u64::from(element_bytes);
    let row_bytes = (width as u64)
        .checked_mul(size)
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if row_bytes == 0 || rows == 0 {
        return Ok(());
    }
    let pitch = if rows == 1 { row_bytes } else { pitch as u64 };
    if pitch < row_bytes || !address.is_multiple_of(size) || !pitch.is_multiple_of(size) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let span = pitch
        .checked_mul(rows as u64 - 1)
        .and_then(|before| before.checked_add(row_bytes));
    session.check_device(address, span.ok_or(CUDA_ERROR_INVALID_VALUE)?)?;
    session.post(&MemSet {
        address,
        pitch,
        width: width as u64,
        rows: rows as u64,
        value,
        element_bytes,
        context: order.context.id,
        stream: order.stream,
    })
}

fn line(address: CUdeviceptr, width: usize) -> Rectangle {
    Rectangle {
        address,
        pitch: 0,
        width,
        rows: 1,
    }
}

const DEFAULT: CUstream = std::ptr::null_mut();

export! {
    /// Sets bytes.
    fn cuMemsetD8_v2 | cuMemsetD8_v2_ptds [own](address: CUdeviceptr, value: c_uchar, count: usize) {
        set(line(address, count), u32::from(value), 1, DEFAULT, own)
    }
    /// Sets 16-bit words.
    fn cuMemsetD16_v2 | cuMemsetD16_v2_ptds [own](address: CUdeviceptr, value: c_ushort, count: usize) {
        set(line(address, count), u32::from(value), 2, DEFAULT, own)
    }
    /// Sets 32-bit words.
    fn cuMemsetD32_v2 | cuMemsetD32_v2_ptds [own](address: CUdeviceptr, value: c_uint, count: usize) {
        set(line(address, count), value, 4, DEFAULT, own)
    }
    /// Sets bytes of a rectangle.
    fn cuMemsetD2D8_v2 | cuMemsetD2D8_v2_ptds [own](
        address: CUdeviceptr, pitch: usize, value: c_uchar, width: usize, rows: usize,
    ) {
        set(Rectangle { address, pitch, width, rows }, u32::from(value), 1, DEFAULT, own)
    }
    /// Sets 16-bit words of a rectangle.
    fn cuMemsetD2D16_v2 | cuMemsetD2D16_v2_ptds [own](
        address: CUdeviceptr, pitch: usize, value: c_ushort, width: usize, rows: usize,
    ) {
        set(Rectangle { address, pitch, width, rows }, u32::from(value), 2, DEFAULT, own)
    }
    /// Sets 32-bit words of a rectangle.
    fn cuMemsetD2D32_v2 | cuMemsetD2D32_v2_ptds [own](
        address: CUdeviceptr, pitch: usize, value: c_uint, width: usize, rows: usize,
    ) {
        set(Rectangle { address, pitch, width, rows }, value, 4, DEFAULT, own)
    }
    /// Sets bytes in a stream.
    fn cuMemsetD8Async | cuMemsetD8Async_ptsz [own](
        address: CUdeviceptr, value: c_uchar, count: usize, stream: CUstream,
    ) {
        set(line(address, count), u32::from(value), 1, stream, own)
    }
    /// Sets 16-bit words in a stream.
    fn cuMemsetD16Async | cuMemsetD16Async_ptsz [own](
        address: CUdeviceptr, value: c_ushort, count: usize, stream: CUstream,
    ) {
        set(line(address, count), u32::from(value), 2, stream, own)
    }
    /// Sets 32-bit words in a stream.
    fn cuMemsetD32Async | cuMemsetD32Async_ptsz [own](
        address: CUdeviceptr, value: c_uint, count: usize, stream: CUstream,
    ) {
        set(line(address, count), value, 4, stream, own)
    }
    /// Sets bytes of a rectangle in a stream.
    fn cuMemsetD2D8Async | cuMemsetD2D8Async_ptsz [own](
        address: CUdeviceptr, pitch: usize, value: c_uchar, width: usize, rows: usize, stream: CUstream,
    ) {
        set(Rectangle { address, pitch, width, rows }, u32::from(value), 1, stream, own)
    }
    /// Sets 16-bit words of a rectangle in a stream.
    fn cuMemsetD2D16Async | cuMemsetD2D16Async_ptsz [own](
        address: CUdeviceptr, pitch: usize, value: c_ushort, width: usize, rows: usize, stream: CUstream,
    ) {
        set(Rectangle { address, pitch, width, rows }, u32::from(value), 2, stream, own)
    }
    /// Sets 32-bit words of a rectangle in a stream.
    fn cuMemsetD2D32Async | cuMemsetD2D32Async_ptsz [own](
        address: CUdeviceptr, pitch: usize, value: c_uint, width: usize, rows: usize, stream: CUstream,
    ) {
        set(Rectangle { address, pitch, width, rows }, value, 4, stream, own)
    }
}
