//! How NVML's entry points are written. Its errors are not CUDA's, and every call but a few wants nvmlInit first.

use std::sync::atomic::{AtomicU32, Ordering::*};

use aquifer_nvml::*;

use crate::driver::{self, Device, Driver};

/// A value, or NVML's code of the error.
pub type Told<T = ()> = Result<T, nvmlReturn_t>;

static USERS: AtomicU32 = AtomicU32::new(0);
/// Handles are this plus the index, so that a stray number is not taken for a device.
pub const HANDLES: usize = 0x4e56_4d4c_0000;

/// Counts one user more.
pub fn enter() -> Told {
    driver::start().map_err(|result| match result {
        aquifer_cuda::CUDA_ERROR_OPERATING_SYSTEM => NVML_ERROR_OPERATING_SYSTEM,
        _ => NVML_ERROR_DRIVER_NOT_LOADED,
    })?;
    USERS.fetch_add(1, AcqRel);
    Ok(())
}

/// Counts one user less.
pub fn leave() -> Told {
    let left = USERS.fetch_update(AcqRel, Acquire, |users| users.checked_sub(1));
    left.map(|_| ()).map_err(|_| NVML_ERROR_UNINITIALIZED)
}

/// The devices, while there are users.
pub fn initialized() -> Told<&'static Driver> {
    driver::started()
        .filter(|_| USERS.load(Acquire) != 0)
        .ok_or(NVML_ERROR_UNINITIALIZED)
}

/// The handle of a device that is there.
pub fn handle_of(device: &Device) -> Told<nvmlDevice_t> {
    alive(device)?;
    Ok(std::ptr::without_provenance_mut(HANDLES + device.index))
}

/// The device of a handle, if it is there.
pub fn find(handle: nvmlDevice_t) -> Told<&'static Device> {
    let driver = initialized()?;
    let index = handle
        .addr()
        .checked_sub(HANDLES)
        .ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    let device = driver
        .devices
        .get(index)
        .ok_or(NVML_ERROR_INVALID_ARGUMENT)?;
    alive(device)?;
    Ok(device)
}

fn alive(device: &Device) -> Told {
    match device.faults.fault() {
        Some(fault) if fault.is_lost() => Err(NVML_ERROR_GPU_IS_LOST),
        _ => Ok(()),
    }
}

/// Turns the one error that a caller's pointer can be into NVML's word for it.
pub fn argument<T>(outcome: crate::outcome::Outcome<T>) -> Told<T> {
    outcome.map_err(|_| NVML_ERROR_INVALID_ARGUMENT)
}

/// Defines entry points; several names, before the `=`, may share one body.
macro_rules! nvml_calls {
    ($(fn $($name:ident)+ = $arguments:tt $body:block)*) => {
        $($($crate::nvml::calls::nvml_call!($name $arguments $body);)+)*
    };
}

macro_rules! nvml_call {
    ($name:ident ($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> aquifer_nvml::nvmlReturn_t {
            fn body($($argument: $type),*) -> $crate::nvml::calls::Told {
                $body
            }
            match body($($argument),*) {
                Ok(()) => aquifer_nvml::NVML_SUCCESS,
                Err(code) => code,
            }
        }
    };
}

/// Defines questions that a software GPU has no answer to. What else the caller hands in is not looked at.
macro_rules! nvml_unsupported {
    ($($name:ident)*) => {
        $($crate::nvml::calls::nvml_call!($name (device: aquifer_nvml::nvmlDevice_t) {
            $crate::nvml::calls::find(device)?;
            Err(aquifer_nvml::NVML_ERROR_NOT_SUPPORTED)
        });)*
    };
}

pub(crate) use {nvml_call, nvml_calls, nvml_unsupported};
