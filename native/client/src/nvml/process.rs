//! Processes on a vGPU: NVML on this side knows of none, since they are sessions of a worker elsewhere.

use super::{Answer, nvml_export, state};
use aquifer_nvml::*;
use std::ffi::{c_uint, c_void};

unsafe fn none(device: nvmlDevice_t, count: *mut c_uint) -> Answer {
    state::index(device)?;
    // SAFETY: the caller's promise.
    unsafe { super::give(count, 0) }
}

nvml_export! {
    /// No process is listed.
    fn nvmlDeviceGetComputeRunningProcesses(device: nvmlDevice_t, count: *mut c_uint, _all: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { none(device, count) }
    }
    /// No process is listed.
    fn nvmlDeviceGetComputeRunningProcesses_v2(device: nvmlDevice_t, count: *mut c_uint, _all: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { none(device, count) }
    }
    /// No process is listed.
    fn nvmlDeviceGetComputeRunningProcesses_v3(device: nvmlDevice_t, count: *mut c_uint, _all: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { none(device, count) }
    }
    /// No process is listed.
    fn nvmlDeviceGetGraphicsRunningProcesses(device: nvmlDevice_t, count: *mut c_uint, _all: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { none(device, count) }
    }
    /// No process is listed.
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(device: nvmlDevice_t, count: *mut c_uint, _all: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { none(device, count) }
    }
}
