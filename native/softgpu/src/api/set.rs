//! Setting device memory.

use std::ffi::{c_uint, c_ushort};

use aquifer_cuda::*;

use super::calls::stream_calls;
use crate::fill::{Element, Fill};
use crate::outcome::Outcome;
use crate::stream::{Default, Stream};

fn row(target: CUdeviceptr, count: usize, value: Element) -> Fill {
    Fill {
        target,
        pitch: 0,
        width: count as u64,
        height: 1,
        value,
    }
}

fn rows(target: CUdeviceptr, pitch: usize, size: (usize, usize), value: Element) -> Fill {
    Fill {
        target,
        pitch: pitch as u64,
        width: size.0 as u64,
        height: size.1 as u64,
        value,
    }
}

/// A set that is over when the call returns.
fn now(fill: Fill, default: Default) -> Outcome {
    fill.execute(Stream::find(std::ptr::null_mut(), default)?, false)
}

stream_calls! { TABLE default;
    fn cuMemsetD8_v2 cuMemsetD8_v2_ptds = (target: CUdeviceptr, value: u8, count: usize) {
        now(row(target, count, Element::Byte(value)), default)
    }

    fn cuMemsetD8Async cuMemsetD8Async_ptsz = (target: CUdeviceptr, value: u8, count: usize, stream: CUstream) {
        row(target, count, Element::Byte(value)).execute(Stream::find(stream, default)?, true)
    }

    fn cuMemsetD2D8_v2 cuMemsetD2D8_v2_ptds = (
        target: CUdeviceptr,
        pitch: usize,
        value: u8,
        width: usize,
        height: usize,
    ) {
        now(rows(target, pitch, (width, height), Element::Byte(value)), default)
    }

    fn cuMemsetD2D8Async cuMemsetD2D8Async_ptsz = (
        target: CUdeviceptr,
        pitch: usize,
        value: u8,
        width: usize,
        height: usize,
        stream: CUstream,
    ) {
        let fill = rows(target, pitch, (width, height), Element::Byte(value));
        fill.execute(Stream::find(stream, default)?, true)
    }

    fn cuMemsetD16_v2 cuMemsetD16_v2_ptds = (target: CUdeviceptr, value: c_ushort, count: usize) {
        now(row(target, count, Element::Short(value)), default)
    }

    fn cuMemsetD16Async cuMemsetD16Async_ptsz = (target: CUdeviceptr, value: c_ushort, count: usize, stream: CUstream) {
        row(target, count, Element::Short(value)).execute(Stream::find(stream, default)?, true)
    }

    fn cuMemsetD2D16_v2 cuMemsetD2D16_v2_ptds = (
        target: CUdeviceptr,
        pitch: usize,
        value: c_ushort,
        width: usize,
        height: usize,
    ) {
        now(rows(target, pitch, (width, height), Element::Short(value)), default)
    }

    fn cuMemsetD2D16Async cuMemsetD2D16Async_ptsz = (
        target: CUdeviceptr,
        pitch: usize,
        value: c_ushort,
        width: usize,
        height: usize,
        stream: CUstream,
    ) {
        let fill = rows(target, pitch, (width, height), Element::Short(value));
        fill.execute(Stream::find(stream, default)?, true)
    }

    fn cuMemsetD32_v2 cuMemsetD32_v2_ptds = (target: CUdeviceptr, value: c_uint, count: usize) {
        now(row(target, count, Element::Word(value)), default)
    }

    fn cuMemsetD32Async cuMemsetD32Async_ptsz = (target: CUdeviceptr, value: c_uint, count: usize, stream: CUstream) {
        row(target, count, Element::Word(value)).execute(Stream::find(stream, default)?, true)
    }

    fn cuMemsetD2D32_v2 cuMemsetD2D32_v2_ptds = (
        target: CUdeviceptr,
        pitch: usize,
        value: c_uint,
        width: usize,
        height: usize,
    ) {
        now(rows(target, pitch, (width, height), Element::Word(value)), default)
    }

    fn cuMemsetD2D32Async cuMemsetD2D32Async_ptsz = (
        target: CUdeviceptr,
        pitch: usize,
        value: c_uint,
        width: usize,
        height: usize,
        stream: CUstream,
    ) {
        let fill = rows(target, pitch, (width, height), Element::Word(value));
        fill.execute(Stream::find(stream, default)?, true)
    }
}
