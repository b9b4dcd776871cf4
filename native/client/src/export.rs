//! How entry points are written. A body gives an `Outcome`; its error is what the program gets. Where a second name stands
//! after `|`, the flag in brackets is true in it: the variant whose default stream is the calling thread's own.

macro_rules! export {
    () => {};
    ($(#[$doc:meta])* fn $name:ident | $variant:ident [$flag:ident] $args:tt $body:block $($rest:tt)*) => {
        export!(@one [$(#[$doc])*] $name [$flag = false] $args $body);
        export!(@one [#[doc = "With the calling thread's own default stream."]] $variant [$flag = true] $args $body);
        export!($($rest)*);
    };
    ($(#[$doc:meta])* fn $name:ident $args:tt $body:block $($rest:tt)*) => {
        export!(@one [$(#[$doc])*] $name [] $args $body);
        export!($($rest)*);
    };
    (@one [$(#[$doc:meta])*] $name:ident [$($flag:ident = $value:literal)?] ($($arg:ident : $ty:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Pointers are what the driver API says they are.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> aquifer_cuda::CUresult {
            $(let $flag = $value;)?
            let body = || -> $crate::session::Outcome { $body };
            body().err().unwrap_or(aquifer_cuda::CUDA_SUCCESS)
        }
    };
}

pub(crate) use export;

use crate::session::Outcome;
use aquifer_cuda::CUDA_ERROR_INVALID_VALUE;
use std::ffi::{CStr, c_char};

/// Writes a result where the program wants it; a null pointer is INVALID_VALUE.
///
/// # Safety
/// `place` is null or may be written to.
pub unsafe fn give<T>(place: *mut T, value: T) -> Outcome {
    if place.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null; otherwise the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// As `give`, where the program may pass null for what it does not want.
///
/// # Safety
/// As for `give`.
pub unsafe fn give_if_wanted<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: as in `give`.
        unsafe { place.write(value) };
    }
}

/// A name that the program gave; null is INVALID_VALUE.
///
/// # Safety
/// `text` is null or ends in a zero byte.
pub unsafe fn text<'a>(text: *const c_char) -> Outcome<&'a CStr> {
    if text.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null; otherwise the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) })
}
