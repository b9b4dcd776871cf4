//! The vGPUs: the uuid and model of their GPU, the memory and use of their own.

use super::{Answer, give, give_text, nvml_export, state, text};
use aquifer_nvml::*;
use aquifer_protocol::session_socket::InspectedGpu;
use std::ffi::{c_char, c_int, c_uint};

unsafe fn by_index(index: c_uint, device: *mut nvmlDevice_t) -> Answer {
    if index as usize >= state::gpus()?.len() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: the caller's promise.
    unsafe { give(device, state::handle(index as usize)) }
}

unsafe fn count(result: *mut c_uint) -> Answer {
    let gpus = state::gpus()?;
    // SAFETY: the caller's promise.
    unsafe { give(result, gpus.len() as c_uint) }
}

/// Total, free and used memory in bytes.
fn memory(gpu: &InspectedGpu) -> (u64, u64, u64) {
    let used = gpu.used_bytes.min(gpu.memory_bytes);
    (gpu.memory_bytes, gpu.memory_bytes - used, used)
}

nvml_export! {
    /// How many vGPUs there are.
    fn nvmlDeviceGetCount_v2(result: *mut c_uint) {
        // SAFETY: the caller's promise.
        unsafe { count(result) }
    }
    /// As nvmlDeviceGetCount_v2.
    fn nvmlDeviceGetCount(result: *mut c_uint) {
        // SAFETY: the caller's promise.
        unsafe { count(result) }
    }
    /// The vGPU of an index.
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) {
        // SAFETY: the caller's promise.
        unsafe { by_index(index, device) }
    }
    /// As nvmlDeviceGetHandleByIndex_v2.
    fn nvmlDeviceGetHandleByIndex(index: c_uint, device: *mut nvmlDevice_t) {
        // SAFETY: the caller's promise.
        unsafe { by_index(index, device) }
    }
    /// The vGPU on the GPU with a uuid.
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) {
        // SAFETY: the caller's promise.
        let wanted = unsafe { text(uuid)? };
        let index = state::gpus()?.iter().position(|gpu| gpu.uuid == wanted).ok_or(NVML_ERROR_NOT_FOUND)?;
        // SAFETY: the caller's promise.
        unsafe { give(device, state::handle(index)) }
    }
    /// The index of a vGPU.
    fn nvmlDeviceGetIndex(device: nvmlDevice_t, result: *mut c_uint) {
        let index = state::index(device)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, index as c_uint) }
    }
    /// The model of a vGPU's GPU.
    fn nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) {
        let gpu = state::gpu(device)?;
        // SAFETY: the caller's promise.
        unsafe { give_text(name, length, &gpu.name) }
    }
    /// The uuid of a vGPU's GPU.
    fn nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) {
        let gpu = state::gpu(device)?;
        // SAFETY: the caller's promise.
        unsafe { give_text(uuid, length, &gpu.uuid) }
    }
    /// Memory of the vGPU: total is its limit.
    fn nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, result: *mut nvmlMemory_t) {
        let (total, free, used) = memory(&state::gpu_now(device)?);
        // SAFETY: the caller's promise.
        unsafe { give(result, nvmlMemory_t { total, free, used }) }
    }
    /// As nvmlDeviceGetMemoryInfo; nothing is reserved.
    fn nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, result: *mut nvmlMemory_v2_t) {
        // SAFETY: null or valid by the caller's promise.
        let version = unsafe { result.as_ref() }.ok_or(NVML_ERROR_INVALID_ARGUMENT)?.version;
        if version != nvmlMemory_v2 {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let (total, free, used) = memory(&state::gpu_now(device)?);
        // SAFETY: the caller's promise.
        unsafe { give(result, nvmlMemory_v2_t { version, total, reserved: 0, free, used }) }
    }
    /// Use of the vGPU in percent.
    fn nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, result: *mut nvmlUtilization_t) {
        let gpu = state::gpu_now(device)?;
        let (total, _, used) = memory(&gpu);
        let percent = if total == 0 { 0 } else { (u128::from(used) * 100 / u128::from(total)) as c_uint };
        // SAFETY: the caller's promise.
        unsafe { give(result, nvmlUtilization_t { gpu: gpu.utilization_percent.min(100), memory: percent }) }
    }
    /// Compute capability of the GPU.
    fn nvmlDeviceGetCudaComputeCapability(device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int) {
        let gpu = state::gpu(device)?;
        let (first, second) = gpu.compute_capability.split_once('.').ok_or(NVML_ERROR_NO_DATA)?;
        let number = |text: &str| text.parse().map_err(|_| NVML_ERROR_NO_DATA);
        // SAFETY: the caller's promise.
        unsafe {
            give(major, number(first)?)?;
            give(minor, number(second)?)
        }
    }
}
