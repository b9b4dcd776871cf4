//! Device memory: made, freed, measured.

use crate::current;
use crate::export::{export, give, give_if_wanted};
use crate::memory::success;
use crate::session::session;
use aquifer_cuda::*;
use aquifer_protocol::generated::MemInfo;
use std::ffi::c_uint;

/// Rows of pitched memory begin at multiples of this where the device does not say.
const PITCH_BYTES: usize = 512;

export! {
    /// Makes device memory.
    fn cuMemAlloc_v2(result: *mut CUdeviceptr, bytes: usize) {
        let (session, context) = current::ready()?;
        if result.is_null() || bytes == 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let address = session.allocate(context.vgpu, context.handle, bytes as u64)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, address) }
    }

    /// Makes device memory whose rows are aligned.
    fn cuMemAllocPitch_v2(
        result: *mut CUdeviceptr,
        pitch: *mut usize,
        width: usize,
        rows: usize,
        element_bytes: c_uint,
    ) {
        let (session, context) = current::ready()?;
        if result.is_null() || pitch.is_null() || width == 0 || rows == 0 || ![4, 8, 16].contains(&element_bytes) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let row = width.checked_next_multiple_of(PITCH_BYTES).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let bytes = row.checked_mul(rows).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let address = session.allocate(context.vgpu, context.handle, bytes as u64)?;
        // SAFETY: the caller's promise.
        unsafe {
            give(pitch, row)?;
            give(result, address)
        }
    }

    /// Frees device memory; null is nothing.
    fn cuMemFree_v2(address: CUdeviceptr) {
        let (session, _) = current::ready()?;
        if address == 0 { Ok(()) } else { session.free(address) }
    }

    /// Free and total memory in bytes, of the vGPU.
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let (session, context) = current::ready()?;
        let device = session.devices.get(context.vgpu as usize).ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        let (reply, _) = session.ask(&MemInfo { vgpu: context.vgpu }, &[])?;
        success(reply.result)?;
        let credit = device.memory().free_credit();
        let available = reply.available_bytes.saturating_add(credit).min(reply.limit_bytes);
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(free, available as usize);
            give_if_wanted(total, reply.limit_bytes as usize);
        }
        Ok(())
    }

    /// Where the allocation that contains an address begins, and its size in bytes.
    fn cuMemGetAddressRange_v2(base: *mut CUdeviceptr, bytes: *mut usize, address: CUdeviceptr) {
        let (_, region) = session()?.region(address).ok_or(CUDA_ERROR_NOT_FOUND)?;
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(base, region.address);
            give_if_wanted(bytes, region.bytes as usize);
        }
        Ok(())
    }
}
