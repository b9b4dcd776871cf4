//! Primary contexts.

use std::ffi::{c_int, c_uint};

use aquifer_cuda::*;

use super::calls::{Out, calls};
use super::context::handle_of;
use crate::context::initialized;
use crate::primary;

calls! { TABLE;
    fn cuDevicePrimaryCtxRetain = (context: Out<CUcontext>, device: CUdevice) {
        context.check()?;
        context.give(handle_of(Some(primary::retain(initialized()?.device(device)?)?)))
    }

    fn cuDevicePrimaryCtxRelease cuDevicePrimaryCtxRelease_v2 = (device: CUdevice) {
        primary::release(initialized()?.device(device)?)
    }

    fn cuDevicePrimaryCtxReset cuDevicePrimaryCtxReset_v2 = (device: CUdevice) {
        primary::reset(initialized()?.device(device)?)
    }

    fn cuDevicePrimaryCtxSetFlags cuDevicePrimaryCtxSetFlags_v2 = (device: CUdevice, flags: c_uint) {
        primary::set_flags(initialized()?.device(device)?, flags)
    }

    fn cuDevicePrimaryCtxGetState = (device: CUdevice, flags: Out<c_uint>, active: Out<c_int>) {
        let (value, exists) = primary::state(initialized()?.device(device)?)?;
        flags.give(value)?;
        active.give(exists as c_int)
    }
}
