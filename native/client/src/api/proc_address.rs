//! Look-up of entry points by name and version.

use crate::export::{export, give, give_if_wanted, text};
use crate::generated::symbols::address_of;
use crate::session::Outcome;
use aquifer_cuda::symbols::{Lookup, look_up};
use aquifer_cuda::*;
use std::ffi::{CStr, c_char, c_int, c_void};

const KNOWN_FLAGS: u64 =
    (CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) as u64;

export! {
    /// As cuGetProcAddress_v2, with the outcome in the result.
    fn cuGetProcAddress(name: *const c_char, function: *mut *mut c_void, version: c_int, flags: u64) {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name)? };
        let (address, status) = find(name, version, flags)?;
        // SAFETY: the caller's promise.
        unsafe { give(function, address)? };
        if status == CU_GET_PROC_ADDRESS_SUCCESS { Ok(()) } else { Err(CUDA_ERROR_NOT_FOUND) }
    }

    /// The entry point that `name` means in a version. An empty name finds nothing, and is no error.
    fn cuGetProcAddress_v2(
        name: *const c_char,
        function: *mut *mut c_void,
        version: c_int,
        flags: u64,
        status: *mut CUdriverProcAddressQueryResult,
    ) {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name)? };
        let (address, found) = find(name, version, flags)?;
        // SAFETY: the caller's promise.
        unsafe {
            give(function, address)?;
            give_if_wanted(status, found);
        }
        if found == CU_GET_PROC_ADDRESS_SUCCESS || name.is_empty() { Ok(()) } else { Err(CUDA_ERROR_NOT_FOUND) }
    }
}

fn find(
    name: &CStr,
    version: c_int,
    flags: u64,
) -> Outcome<(*mut c_void, CUdriverProcAddressQueryResult)> {
    if flags & !KNOWN_FLAGS != 0 || flags == KNOWN_FLAGS {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let per_thread = flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM as u64 != 0;
    let version = u32::try_from(version).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    Ok(
        match name.to_str().map(|name| look_up(name, version, per_thread)) {
            Ok(Lookup::Found(symbol)) => match address_of(symbol.symbol) {
                Some(address) => (address as *mut c_void, CU_GET_PROC_ADDRESS_SUCCESS),
                None => (std::ptr::null_mut(), CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND),
            },
            Ok(Lookup::VersionNotSufficient) => (
                std::ptr::null_mut(),
                CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT,
            ),
            _ => (std::ptr::null_mut(), CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND),
        },
    )
}
