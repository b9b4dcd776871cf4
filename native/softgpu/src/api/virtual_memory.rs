//! Virtual memory management.

use std::ffi::{c_uint, c_ulonglong, c_void};

use aquifer_cuda::*;

use super::calls::{In, Out, calls};
use crate::context::{initialized, top};
use crate::driver::Device;
use crate::outcome::{Outcome, require};
use crate::space::{self, Kind};
use crate::virtual_memory::{self, GRANULARITY};

/// The device on which memory with these properties would be.
fn device_of(properties: &CUmemAllocationProp) -> Outcome<&'static Device> {
    let driver = initialized()?;
    require(properties.r#type == CU_MEM_ALLOCATION_TYPE_PINNED)?;
    if properties.requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE
        || properties.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE
    {
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    driver.device(properties.location.id)
}

calls! { TABLE;
    fn cuMemAddressReserve = (
        out: Out<CUdeviceptr>,
        size: usize,
        alignment: usize,
        wanted: CUdeviceptr,
        flags: c_ulonglong,
    ) {
        out.check()?;
        initialized()?;
        require(flags == 0)?;
        out.give(virtual_memory::reserve(size as u64, alignment as u64, wanted)?)
    }

    fn cuMemAddressFree = (address: CUdeviceptr, size: usize) {
        initialized()?;
        virtual_memory::unreserve(address, size as u64)
    }

    fn cuMemCreate = (
        out: Out<CUmemGenericAllocationHandle>,
        size: usize,
        properties: In<CUmemAllocationProp>,
        flags: c_ulonglong,
    ) {
        out.check()?;
        require(flags == 0)?;
        let device = device_of(&properties.get()?)?;
        out.give(virtual_memory::create(device, size as u64)? as u64)
    }

    fn cuMemRelease = (handle: CUmemGenericAllocationHandle) {
        initialized()?;
        virtual_memory::release(handle)
    }

    fn cuMemMap = (
        address: CUdeviceptr,
        size: usize,
        offset: usize,
        handle: CUmemGenericAllocationHandle,
        flags: c_ulonglong,
    ) {
        initialized()?;
        require(offset == 0 && flags == 0)?;
        virtual_memory::map(address, size as u64, handle, top().map_or(0, |context| context.handle))
    }

    fn cuMemUnmap = (address: CUdeviceptr, size: usize) {
        initialized()?;
        virtual_memory::unmap(address, size as u64)
    }

    fn cuMemSetAccess = (address: CUdeviceptr, size: usize, list: In<CUmemAccessDesc>, count: usize) {
        let driver = initialized()?;
        require(count != 0 && count <= 64)?;
        for access in list.get_all(count)? {
            if access.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE {
                return Err(CUDA_ERROR_NOT_SUPPORTED);
            }
            let device = driver.device(access.location.id)?;
            let (readable, writable) = match access.flags {
                CU_MEM_ACCESS_FLAGS_PROT_NONE => (false, false),
                CU_MEM_ACCESS_FLAGS_PROT_READ => (true, false),
                CU_MEM_ACCESS_FLAGS_PROT_READWRITE => (true, true),
                _ => return Err(CUDA_ERROR_INVALID_VALUE),
            };
            virtual_memory::set_access(address, size as u64, device.index, readable, writable)?;
        }
        Ok(())
    }

    fn cuMemGetAccess = (flags: Out<c_ulonglong>, location: In<CUmemLocation>, address: CUdeviceptr) {
        flags.check()?;
        let location = location.get()?;
        require(location.r#type == CU_MEM_LOCATION_TYPE_DEVICE)?;
        let device = initialized()?.device(location.id)?;
        let range = space::find(&space::read(), address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        require(matches!(range.kind, Kind::Mapping { .. }))?;
        let access = match (range.device == device.index && range.readable, range.writable) {
            (false, _) => CU_MEM_ACCESS_FLAGS_PROT_NONE,
            (true, false) => CU_MEM_ACCESS_FLAGS_PROT_READ,
            (true, true) => CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        };
        flags.give(u64::from(access))
    }

    fn cuMemGetAllocationGranularity = (out: Out<usize>, properties: In<CUmemAllocationProp>, option: c_uint) {
        out.check()?;
        require(option <= CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)?;
        device_of(&properties.get()?)?;
        out.give(GRANULARITY as usize)
    }

    fn cuMemRetainAllocationHandle = (out: Out<CUmemGenericAllocationHandle>, address: *mut c_void) {
        out.check()?;
        initialized()?;
        out.give(virtual_memory::retain_at(address.addr() as u64)?)
    }

    fn cuMemGetAllocationPropertiesFromHandle = (
        out: Out<CUmemAllocationProp>,
        handle: CUmemGenericAllocationHandle,
    ) {
        out.check()?;
        initialized()?;
        let memory = virtual_memory::find(handle)?;
        out.give(CUmemAllocationProp {
            r#type: CU_MEM_ALLOCATION_TYPE_PINNED,
            requestedHandleTypes: CU_MEM_HANDLE_TYPE_NONE,
            location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: memory.device.index as CUdevice },
            win32HandleMetaData: std::ptr::null_mut(),
            allocFlags: CUmemAllocationFlags::default(),
        })
    }
}
