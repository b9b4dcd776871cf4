//! NVML: the vGPUs as a monitor shows them. Facts come from the connector over the session socket; no session is opened.

mod devices;
mod process;
mod state;
mod system;
mod unsupported;

use aquifer_nvml::{NVML_ERROR_INVALID_ARGUMENT, nvmlReturn_t};
use std::ffi::{CStr, c_char, c_uint};

/// What a call gives, or the NVML error it returns.
type Answer<T = ()> = Result<T, nvmlReturn_t>;

/// Entry points: a body gives an `Answer`.
macro_rules! nvml_export {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// Pointers are what NVML says they are.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> aquifer_nvml::nvmlReturn_t {
            let body = || -> $crate::nvml::Answer { $body };
            body().err().unwrap_or(aquifer_nvml::NVML_SUCCESS)
        }
    )*};
}

pub(crate) use nvml_export;

/// Writes a result; a null pointer is INVALID_ARGUMENT.
unsafe fn give<T>(place: *mut T, value: T) -> Answer {
    if place.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: not null; otherwise the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// Copies a text into a buffer of `length` bytes; INSUFFICIENT_SIZE when it does not fit with its end.
unsafe fn give_text(buffer: *mut c_char, length: c_uint, text: &str) -> Answer {
    if buffer.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(aquifer_nvml::NVML_ERROR_INSUFFICIENT_SIZE);
    }
    // SAFETY: the buffer has `length` bytes by the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// A text that the program gave.
unsafe fn text<'a>(text: *const c_char) -> Answer<&'a str> {
    if text.is_null() {
        return Err(NVML_ERROR_INVALID_ARGUMENT);
    }
    // SAFETY: not null; otherwise the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| NVML_ERROR_INVALID_ARGUMENT)
}
