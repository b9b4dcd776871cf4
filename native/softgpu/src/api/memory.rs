//! Device memory.

use std::ffi::{c_uint, c_ulonglong};

use aquifer_cuda::*;

use super::calls::{Out, calls};
use crate::context::current;
use crate::device_facts::TEXTURE_ALIGNMENT;
use crate::memory;
use crate::outcome::require;
use crate::space;

calls! { TABLE;
    fn cuMemGetInfo_v2 = (free: Out<usize>, total: Out<usize>) {
        let context = current()?;
        let (used, all) = context.device.shared.memory(Some(context.row));
        free.offer(all.saturating_sub(used) as usize);
        total.offer(all as usize);
        Ok(())
    }

    fn cuMemAlloc_v2 = (address: Out<CUdeviceptr>, size: usize) {
        address.check()?;
        address.give(memory::allocate(current()?, size as u64)?)
    }

    fn cuMemAllocPitch_v2 = (
        address: Out<CUdeviceptr>,
        pitch: Out<usize>,
        width: usize,
        height: usize,
        element: c_uint,
    ) {
        address.check()?;
        pitch.check()?;
        require(matches!(element, 4 | 8 | 16) && width != 0 && height != 0)?;
        let rounded = width.checked_next_multiple_of(TEXTURE_ALIGNMENT as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let size = rounded.checked_mul(height).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        address.give(memory::allocate(current()?, size as u64)?)?;
        pitch.give(rounded)
    }

    fn cuMemFree_v2 = (address: CUdeviceptr) {
        current()?;
        if address == 0 { Ok(()) } else { memory::free(address) }
    }

    fn cuMemGetAddressRange_v2 = (base: Out<CUdeviceptr>, size: Out<usize>, address: CUdeviceptr) {
        current()?;
        let range = space::find(&space::read(), address).ok_or(CUDA_ERROR_NOT_FOUND)?;
        base.offer(range.start);
        size.offer(range.size as usize);
        Ok(())
    }

    fn cuMemAllocManaged = (address: Out<CUdeviceptr>, size: usize, _flags: c_uint) {
        address.check()?;
        require(size != 0)?;
        current()?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }

    fn cuMemAllocAsync = (address: Out<CUdeviceptr>, _size: usize, _stream: CUstream) {
        address.check()?;
        current()?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }

    fn cuMemGetHandleForAddressRange = (
        handle: Out<c_ulonglong>,
        _address: CUdeviceptr,
        _size: usize,
        _kind: c_uint,
        _flags: c_ulonglong,
    ) {
        handle.check()?;
        current()?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }
}
