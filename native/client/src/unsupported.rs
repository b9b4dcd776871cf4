//! Entry points that are not forwarded: each says so, is counted, and is named once at AQUIFER_LOG=debug.

use aquifer_cuda::{CUDA_ERROR_NOT_SUPPORTED, CUresult};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a call of `name` returns. `told` is this entry point's own.
#[cold]
pub fn refuse(name: &str, told: &AtomicBool) -> CUresult {
    match crate::session::session() {
        Ok(session) => session.note_not_supported(),
        Err(result) => return result,
    }
    if !told.swap(true, Ordering::Relaxed) {
        crate::log::debug(format_args!("{name} is not supported"));
    }
    CUDA_ERROR_NOT_SUPPORTED
}

macro_rules! unsupported {
    ($($name:ident)*) => {$(
        #[doc = concat!("Not supported: ", stringify!($name), ".")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> aquifer_cuda::CUresult {
            static TOLD: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
            $crate::unsupported::refuse(stringify!($name), &TOLD)
        }
    )*};
}

pub(crate) use unsupported;
