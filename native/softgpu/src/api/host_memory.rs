//! Host memory that the device reaches.

use std::ffi::{c_uint, c_void};

use aquifer_cuda::*;

use super::calls::{Out, calls};
use crate::context::current;
use crate::host_memory;
use crate::outcome::{Outcome, require};
use crate::space::{self, Kind, Range};

fn host_range(address: *mut c_void) -> Outcome<Range> {
    let found = space::find(&space::read(), address.addr() as u64);
    found.filter(Range::is_host).ok_or(CUDA_ERROR_INVALID_VALUE)
}

fn allocate(out: &Out<*mut c_void>, size: usize, flags: c_uint) -> Outcome {
    out.check()?;
    let start = host_memory::allocate(current()?, size as u64, flags)?;
    out.give(std::ptr::with_exposed_provenance_mut(start as usize))
}

calls! { TABLE;
    fn cuMemHostAlloc = (out: Out<*mut c_void>, size: usize, flags: c_uint) {
        allocate(&out, size, flags)
    }

    fn cuMemAllocHost_v2 = (out: Out<*mut c_void>, size: usize) {
        allocate(&out, size, 0)
    }

    fn cuMemFreeHost = (address: *mut c_void) {
        current()?;
        if address.is_null() { Ok(()) } else { host_memory::free(address.addr() as u64) }
    }

    fn cuMemHostRegister cuMemHostRegister_v2 = (address: *mut c_void, size: usize, flags: c_uint) {
        host_memory::register(current()?, address.expose_provenance() as u64, size as u64, flags)
    }

    fn cuMemHostUnregister = (address: *mut c_void) {
        current()?;
        host_memory::unregister(address.addr() as u64)
    }

    fn cuMemHostGetDevicePointer_v2 = (out: Out<CUdeviceptr>, address: *mut c_void, flags: c_uint) {
        out.check()?;
        require(flags == 0)?;
        current()?;
        host_range(address)?;
        out.give(address.addr() as u64)
    }

    fn cuMemHostGetFlags = (out: Out<c_uint>, address: *mut c_void) {
        out.check()?;
        current()?;
        match host_range(address)?.kind {
            Kind::Host { flags } | Kind::Registered { flags } => out.give(flags | CU_MEMHOSTALLOC_DEVICEMAP),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }
}
