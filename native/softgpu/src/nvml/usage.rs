//! How a device is used, by all processes.

use std::ffi::c_uint;

use aquifer_nvml::*;

use super::calls::{Told, argument, find, nvml_calls};
use crate::api::{In, Out};

/// Software GPUs are never divided.
const NO_INSTANCE: c_uint = c_uint::MAX;

/// Writes the processes of a device in the form that a version of the call has.
fn processes<T>(
    device: nvmlDevice_t,
    count: *mut c_uint,
    list: &Out<T>,
    form: impl Fn(c_uint, u64) -> T,
) -> Told {
    let device = find(device)?;
    if count.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    let all = device.shared.processes(device.row());
    // SAFETY: not null, and valid as the C caller says.
    let room = unsafe { count.read_unaligned() } as usize;
    // SAFETY: as above.
    unsafe { count.write_unaligned(all.len() as c_uint) };
    if all.is_empty() {
        return Ok(());
    }
    if room < all.len() {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    argument(list.give_all(all.iter().map(|one| form(one.pid, one.memory_bytes)), room))
}

fn none(device: nvmlDevice_t, count: &Out<c_uint>) -> Told {
    find(device)?;
    argument(count.give(0))
}

nvml_calls! {
    fn nvmlDeviceGetMemoryInfo = (device: nvmlDevice_t, memory: Out<nvmlMemory_t>) {
        let device = find(device)?;
        let (used, total) = device.shared.memory(device.row());
        argument(memory.give(nvmlMemory_t { total, free: total.saturating_sub(used), used }))
    }

    fn nvmlDeviceGetMemoryInfo_v2 = (device: nvmlDevice_t, memory: *mut nvmlMemory_v2_t) {
        let device = find(device)?;
        if memory.is_null() {
            return Err(NVML_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: not null, and valid as the C caller says.
        let version = unsafe { (&raw const (*memory).version).read_unaligned() };
        if version != nvmlMemory_v2 {
            return Err(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let (used, total) = device.shared.memory(device.row());
        let free = total.saturating_sub(used);
        // SAFETY: as above; the caller's version says that the structure is this long.
        unsafe { memory.write_unaligned(nvmlMemory_v2_t { version, total, reserved: 0, free, used }) };
        Ok(())
    }

    fn nvmlDeviceGetUtilizationRates = (device: nvmlDevice_t, rates: Out<nvmlUtilization_t>) {
        let gpu = find(device)?.shared.utilization_percent();
        argument(rates.give(nvmlUtilization_t { gpu, memory: 0 }))
    }

    fn nvmlDeviceGetComputeRunningProcesses = (
        device: nvmlDevice_t,
        count: *mut c_uint,
        list: Out<nvmlProcessInfo_v1_t>,
    ) {
        processes(device, count, &list, |pid, usedGpuMemory| nvmlProcessInfo_v1_t { pid, usedGpuMemory })
    }

    fn nvmlDeviceGetComputeRunningProcesses_v2 nvmlDeviceGetComputeRunningProcesses_v3 = (
        device: nvmlDevice_t,
        count: *mut c_uint,
        list: Out<nvmlProcessInfo_t>,
    ) {
        processes(device, count, &list, |pid, usedGpuMemory| nvmlProcessInfo_t {
            pid,
            usedGpuMemory,
            gpuInstanceId: NO_INSTANCE,
            computeInstanceId: NO_INSTANCE,
        })
    }

    fn nvmlDeviceGetGraphicsRunningProcesses
        nvmlDeviceGetGraphicsRunningProcesses_v2
        nvmlDeviceGetGraphicsRunningProcesses_v3
        nvmlDeviceGetMPSComputeRunningProcesses
        nvmlDeviceGetMPSComputeRunningProcesses_v2
        nvmlDeviceGetMPSComputeRunningProcesses_v3 = (
        device: nvmlDevice_t,
        count: Out<c_uint>,
        _list: In<u8>,
    ) {
        none(device, &count)
    }
}
