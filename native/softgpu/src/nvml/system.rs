//! Initialisation, versions and finding devices.

use std::ffi::{c_char, c_int, c_uint};

use aquifer_cuda::CUDA_VERSION;
use aquifer_nvml::*;

use super::calls::{Told, argument, enter, handle_of, initialized, leave, nvml_calls};
use crate::api::{Out, Text, give_text};

/// A version that no real driver has.
const DRIVER_VERSION: &str = "580.0.0";
const NVML_VERSION: &str = "13.580.0.0";

/// Writes a string whole, or says that there is no room.
pub fn give_whole(buffer: &Out<c_char>, length: c_uint, text: &str) -> Told {
    argument(buffer.check())?;
    if (length as usize) <= text.len() {
        return Err(NVML_ERROR_INSUFFICIENT_SIZE);
    }
    argument(give_text(buffer, length as usize, text))
}

/// The sentence of a return code.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: nvmlReturn_t) -> *const c_char {
    sentence(code).as_ptr()
}

nvml_calls! {
    fn nvmlInit nvmlInit_v2 = () {
        enter()
    }

    fn nvmlInitWithFlags = (_flags: c_uint) {
        enter()
    }

    fn nvmlShutdown = () {
        leave()
    }

    fn nvmlSystemGetDriverVersion = (text: Out<c_char>, length: c_uint) {
        initialized()?;
        give_whole(&text, length, DRIVER_VERSION)
    }

    fn nvmlSystemGetNVMLVersion = (text: Out<c_char>, length: c_uint) {
        give_whole(&text, length, NVML_VERSION)
    }

    fn nvmlSystemGetCudaDriverVersion nvmlSystemGetCudaDriverVersion_v2 = (version: Out<c_int>) {
        argument(version.give(CUDA_VERSION))
    }

    fn nvmlDeviceGetCount nvmlDeviceGetCount_v2 = (count: Out<c_uint>) {
        argument(count.give(initialized()?.devices.len() as c_uint))
    }

    fn nvmlDeviceGetHandleByIndex nvmlDeviceGetHandleByIndex_v2 = (index: c_uint, device: Out<nvmlDevice_t>) {
        let found = initialized()?.devices.get(index as usize).ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
        argument(device.check())?;
        argument(device.give(handle_of(found)?))
    }

    fn nvmlDeviceGetHandleByUUID = (uuid: Text, device: Out<nvmlDevice_t>) {
        let driver = initialized()?;
        let wanted = argument(uuid.utf8())?;
        argument(device.check())?;
        let found = driver.devices.iter().find(|device| device.identity.uuid_text() == wanted);
        argument(device.give(handle_of(found.ok_or(NVML_ERROR_NOT_FOUND)?)?))
    }

    fn nvmlDeviceGetHandleByPciBusId nvmlDeviceGetHandleByPciBusId_v2 = (text: Text, device: Out<nvmlDevice_t>) {
        let driver = initialized()?;
        let wanted = argument(text.utf8())?;
        argument(device.check())?;
        let found = driver.devices.iter().find(|device| device.identity.is_pci(wanted));
        argument(device.give(handle_of(found.ok_or(NVML_ERROR_NOT_FOUND)?)?))
    }
}
