//! Start, end and versions.

use super::{give, give_text, nvml_export, state};
use aquifer_nvml::{nvmlReturn_t, sentence};
use std::ffi::{c_char, c_int, c_uint};

nvml_export! {
    /// Asks the connector for the vGPUs.
    fn nvmlInit_v2() { state::init() }
    /// As nvmlInit_v2.
    fn nvmlInit() { state::init() }
    /// As nvmlInit_v2: no flag changes anything here.
    fn nvmlInitWithFlags(_flags: c_uint) { state::init() }
    /// Ends what one nvmlInit began.
    fn nvmlShutdown() { state::shutdown() }

    /// The version of the GPU's driver.
    fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) {
        let gpus = state::gpus()?;
        let driver = gpus.first().map_or("", |gpu| gpu.driver_version.as_str());
        // SAFETY: the caller's promise.
        unsafe { give_text(version, length, driver) }
    }
    /// The version of NVML that this is.
    fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) {
        state::gpus()?;
        // SAFETY: the caller's promise.
        unsafe { give_text(version, length, concat!("13.", env!("CARGO_PKG_VERSION"))) }
    }
    /// The version of the CUDA driver API.
    fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) {
        // SAFETY: the caller's promise.
        unsafe { give(version, aquifer_cuda::CUDA_VERSION) }
    }
    /// As nvmlSystemGetCudaDriverVersion.
    fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) {
        // SAFETY: the caller's promise.
        unsafe { give(version, aquifer_cuda::CUDA_VERSION) }
    }
    /// The name of this process, of which NVML knows no other.
    fn nvmlSystemGetProcessName(pid: c_uint, name: *mut c_char, length: c_uint) {
        state::gpus()?;
        if pid != std::process::id() {
            return Err(aquifer_nvml::NVML_ERROR_NOT_FOUND);
        }
        let program = std::env::args_os().next().unwrap_or_default();
        // SAFETY: the caller's promise.
        unsafe { give_text(name, length, &program.to_string_lossy()) }
    }
}

/// A return code in words.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    sentence(result).as_ptr()
}
