//! vGPUs: how many, and what they are.

use crate::device::Device;
use crate::export::{export, give, give_if_wanted, text};
use crate::session::{Outcome, session};
use aquifer_cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint};

/// The vGPU of an ordinal.
pub fn device(ordinal: CUdevice) -> Outcome<&'static Device> {
    let devices = &session()?.devices;
    usize::try_from(ordinal)
        .ok()
        .and_then(|index| devices.get(index))
        .ok_or(CUDA_ERROR_INVALID_DEVICE)
}

export! {
    /// The vGPU of an ordinal.
    fn cuDeviceGet(result: *mut CUdevice, ordinal: c_int) {
        device(ordinal)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, ordinal) }
    }

    /// How many vGPUs the claim has.
    fn cuDeviceGetCount(count: *mut c_int) {
        let devices = session()?.devices.len();
        // SAFETY: the caller's promise.
        unsafe { give(count, devices as c_int) }
    }

    /// The GPU's model.
    fn cuDeviceGetName(name: *mut c_char, length: c_int, ordinal: CUdevice) {
        // SAFETY: the caller's promise.
        unsafe { copy_text(name, length, &device(ordinal)?.name, true) }
    }

    /// The GPU's UUID.
    fn cuDeviceGetUuid(uuid: *mut CUuuid, ordinal: CUdevice) {
        let bytes = device(ordinal)?.uuid;
        // SAFETY: the caller's promise.
        unsafe { give(uuid, CUuuid { bytes }) }
    }

    /// As cuDeviceGetUuid.
    fn cuDeviceGetUuid_v2(uuid: *mut CUuuid, ordinal: CUdevice) {
        let bytes = device(ordinal)?.uuid;
        // SAFETY: the caller's promise.
        unsafe { give(uuid, CUuuid { bytes }) }
    }

    /// The vGPU's memory in bytes: what the claim was given.
    fn cuDeviceTotalMem_v2(bytes: *mut usize, ordinal: CUdevice) {
        let memory = device(ordinal)?.memory_bytes;
        // SAFETY: the caller's promise.
        unsafe { give(bytes, memory as usize) }
    }

    /// One attribute.
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: CUdevice_attribute, ordinal: CUdevice) {
        let found = device(ordinal)?.attribute(attribute).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the caller's promise.
        unsafe { give(value, found) }
    }

    /// Compute capability.
    fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, ordinal: CUdevice) {
        let device = device(ordinal)?;
        let part = |id| device.attribute(id).ok_or(CUDA_ERROR_INVALID_VALUE);
        // SAFETY: the caller's promise.
        unsafe {
            give(major, part(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?)?;
            give(minor, part(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?)
        }
    }

    /// The properties of old programs.
    fn cuDeviceGetProperties(properties: *mut CUdevprop, ordinal: CUdevice) {
        let device = device(ordinal)?;
        let of = |id| device.attribute(id).unwrap_or(0);
        let filled = CUdevprop {
            maxThreadsPerBlock: of(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
            maxThreadsDim: [2, 3, 4].map(of),
            maxGridSize: [5, 6, 7].map(of),
            sharedMemPerBlock: of(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
            totalConstantMemory: of(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY),
            SIMDWidth: of(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
            memPitch: of(CU_DEVICE_ATTRIBUTE_MAX_PITCH),
            regsPerBlock: of(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
            clockRate: of(CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
            textureAlign: of(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT),
        };
        // SAFETY: the caller's promise.
        unsafe { give(properties, filled) }
    }

    /// Where the GPU sits on its node's bus.
    fn cuDeviceGetPCIBusId(id: *mut c_char, length: c_int, ordinal: CUdevice) {
        // SAFETY: the caller's promise.
        unsafe { copy_text(id, length, &device(ordinal)?.pci_bus_id, false) }
    }

    /// The vGPU whose GPU has a bus id.
    fn cuDeviceGetByPCIBusId(result: *mut CUdevice, id: *const c_char) {
        // SAFETY: the caller's promise.
        let wanted = unsafe { text(id)? }.to_bytes();
        let same = |device: &&Device| device.pci_bus_id.to_bytes().eq_ignore_ascii_case(wanted);
        let found = session()?.devices.iter().find(same).ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, found.vgpu as CUdevice) }
    }

    /// vGPUs do not read each other's memory.
    fn cuDeviceCanAccessPeer(can: *mut c_int, ordinal: CUdevice, peer: CUdevice) {
        device(ordinal)?;
        device(peer)?;
        // SAFETY: the caller's promise.
        unsafe { give(can, 0) }
    }

    /// No link between vGPUs has any of the attributes.
    fn cuDeviceGetP2PAttribute(value: *mut c_int, attribute: c_uint, ordinal: CUdevice, peer: CUdevice) {
        device(ordinal)?;
        device(peer)?;
        if !(1..=4).contains(&attribute) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller's promise.
        unsafe { give(value, 0) }
    }

    /// There is no LUID outside Windows.
    fn cuDeviceGetLuid(luid: *mut c_char, mask: *mut c_uint, ordinal: CUdevice) {
        device(ordinal)?;
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(luid, 0);
            give_if_wanted(mask, 0);
        }
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }
}

/// Copies a text into a buffer of `length` bytes. One that does not fit is cut, or refused.
unsafe fn copy_text(buffer: *mut c_char, length: c_int, text: &CStr, cut: bool) -> Outcome {
    let length = usize::try_from(length).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    let bytes = text.to_bytes();
    if buffer.is_null() || length == 0 || (!cut && bytes.len() >= length) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let copied = bytes.len().min(length - 1);
    // SAFETY: the buffer has `length` bytes by the caller's promise, and copied + 1 <= length.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), buffer, copied);
        buffer.add(copied).write(0);
    }
    Ok(())
}
