//! Start, versions and error texts.

use crate::export::{export, give};
use crate::session::{open, session};
use aquifer_cuda::*;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Once;

export! {
    /// Opens the session.
    fn cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        open()
    }

    /// The version of the driver API: this library's, or the GPU's driver's where that is known to be older.
    fn cuDriverGetVersion(version: *mut c_int) {
        let theirs = session().map_or(CUDA_VERSION, |session| session.driver_version as c_int);
        // SAFETY: the caller's promise.
        unsafe { give(version, if theirs > 0 { theirs.min(CUDA_VERSION) } else { CUDA_VERSION }) }
    }

    /// A result's name.
    fn cuGetErrorName(result: CUresult, text: *mut *const c_char) {
        let name = describe(result).map(|(name, _)| name.as_ptr());
        // SAFETY: the caller's promise.
        unsafe { give(text, name.unwrap_or(std::ptr::null()))? };
        name.map(|_| ()).ok_or(CUDA_ERROR_INVALID_VALUE)
    }

    /// A result in words.
    fn cuGetErrorString(result: CUresult, text: *mut *const c_char) {
        let sentence = describe(result).map(|(_, sentence)| sentence.as_ptr());
        // SAFETY: the caller's promise.
        unsafe { give(text, sentence.unwrap_or(std::ptr::null()))? };
        sentence.map(|_| ()).ok_or(CUDA_ERROR_INVALID_VALUE)
    }

    /// The undocumented tables that libcudart asks for: there are none.
    fn cuGetExportTable(table: *mut *const c_void, id: *const CUuuid) {
        static ONCE: Once = Once::new();
        if table.is_null() || id.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        ONCE.call_once(|| {
            crate::log::error("cuGetExportTable is refused: the CUDA runtime's private tables are not provided; \
                driver-API programs only");
        });
        if let Ok(session) = session() {
            session.note_not_supported();
        }
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }

    /// Profiling is not forwarded; starting it is allowed and does nothing, as without a profiler.
    fn cuProfilerStart() {
        session().map(|_| ())
    }

    /// As cuProfilerStart.
    fn cuProfilerStop() {
        session().map(|_| ())
    }
}
