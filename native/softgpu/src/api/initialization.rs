//! Initialisation, version and the words for errors.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::atomic::Ordering::Relaxed;

use aquifer_cuda::*;

use super::calls::{Out, calls};
use crate::context::INITIALIZED;
use crate::driver;
use crate::outcome::require;

calls! { TABLE;
    fn cuInit = (flags: c_uint) {
        require(flags == 0)?;
        driver::start()?;
        INITIALIZED.store(true, Relaxed);
        Ok(())
    }

    fn cuDriverGetVersion = (version: Out<c_int>) {
        version.give(CUDA_VERSION)
    }

    fn cuGetErrorName = (error: CUresult, text: Out<*const c_char>) {
        text.check()?;
        let known = describe(error);
        text.offer(known.map_or(std::ptr::null(), |(name, _)| name.as_ptr()));
        require(known.is_some())
    }

    fn cuGetErrorString = (error: CUresult, text: Out<*const c_char>) {
        text.check()?;
        let known = describe(error);
        text.offer(known.map_or(std::ptr::null(), |(_, sentence)| sentence.as_ptr()));
        require(known.is_some())
    }
}
