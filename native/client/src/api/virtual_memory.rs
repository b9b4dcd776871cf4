//! Virtual memory management: addresses, physical memory and mappings that the program makes itself.

use super::device::device;
use crate::export::{export, give};
use crate::memory::{Kind, Region, map_nothing, success};
use crate::objects::Memory;
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    AddressFree, AddressReserve, MemCreate, MemMap, MemRelease, MemSetAccess, MemUnmap,
};
use std::ffi::c_ulonglong;
use std::sync::atomic::{AtomicU32, Ordering};

const RESERVE_TRIES: u32 = 8;

fn memory_of(
    session: &Session,
    handle: CUmemGenericAllocationHandle,
) -> Outcome<(u32, &'static Memory)> {
    session.memories.get(handle).ok_or(CUDA_ERROR_INVALID_VALUE)
}

fn check_properties(properties: *const CUmemAllocationProp) -> Outcome<u32> {
    // SAFETY: null or valid by the program's promise.
    let properties = unsafe { properties.as_ref() }.ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if properties.r#type != CU_MEM_ALLOCATION_TYPE_PINNED {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if properties.requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE
        || properties.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE
    {
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    Ok(device(properties.location.id)?.vgpu)
}

/// Free addresses of this process, as a hint: found by mapping and unmapping.
fn free_address(bytes: usize, alignment: usize) -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let Some(length) = bytes.checked_add(alignment) else {
        return 0;
    };
    // SAFETY: picks free addresses and gives them back.
    unsafe {
        let found = libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0);
        if found == libc::MAP_FAILED {
            return 0;
        }
        libc::munmap(found, length);
        (found as u64).next_multiple_of(alignment as u64)
    }
}

export! {
    /// Reserves addresses that are free in this process and on the GPU.
    fn cuMemAddressReserve(
        result: *mut CUdeviceptr,
        bytes: usize,
        alignment: usize,
        wanted: CUdeviceptr,
        flags: c_ulonglong,
    ) {
        let session = session()?;
        let granularity = session.devices.iter().map(|device| device.granularity).max().unwrap_or(4096);
        let aligned = alignment == 0 || alignment.is_power_of_two();
        if result.is_null() || bytes == 0 || flags != 0 || !aligned || !(bytes as u64).is_multiple_of(granularity) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let alignment = alignment.max(granularity as usize);
        let mut hint = if wanted != 0 { wanted } else { free_address(bytes, alignment) };
        for _ in 0..RESERVE_TRIES {
            let request =
                AddressReserve { address: hint, bytes: bytes as u64, alignment: alignment as u64, vgpu: 0 };
            let (reply, _) = session.ask(&request, &[])?;
            success(reply.result)?;
            if map_nothing(reply.address, bytes as u64) {
                // SAFETY: the caller's promise.
                return unsafe { give(result, reply.address) };
            }
            let (freed, _) = session.ask(&AddressFree { address: reply.address, bytes: bytes as u64 }, &[])?;
            success(freed.result)?;
            hint = free_address(bytes, alignment);
        }
        Err(CUDA_ERROR_OUT_OF_MEMORY)
    }

    /// Frees reserved addresses.
    fn cuMemAddressFree(address: CUdeviceptr, bytes: usize) {
        let session = session()?;
        let (reply, _) = session.ask(&AddressFree { address, bytes: bytes as u64 }, &[])?;
        success(reply.result)?;
        // SAFETY: the worker knew these addresses as reserved, so they were mapped by cuMemAddressReserve.
        unsafe { libc::munmap(address as usize as *mut _, bytes) };
        Ok(())
    }

    /// Makes physical memory.
    fn cuMemCreate(
        result: *mut CUmemGenericAllocationHandle,
        bytes: usize,
        properties: *const CUmemAllocationProp,
        flags: c_ulonglong,
    ) {
        let session = session()?;
        let vgpu = check_properties(properties)?;
        let granularity = device(vgpu as CUdevice)?.granularity;
        if result.is_null() || bytes == 0 || flags != 0 || !(bytes as u64).is_multiple_of(granularity) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let bytes = bytes as u64;
        let made = session.memories.insert(|_, _| {
            Box::leak(Box::new(Memory { vgpu, bytes, references: AtomicU32::new(1) }))
        });
        let (name, _) = made.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let asked = session.ask(&MemCreate { bytes, vgpu, memory: name.id }, &[]);
        let outcome = asked.and_then(|(reply, _)| success(reply.result));
        if outcome.is_err() {
            session.memories.remove(name.handle);
        }
        outcome?;
        // SAFETY: the caller's promise.
        unsafe { give(result, name.handle) }
    }

    /// Lets go of physical memory.
    fn cuMemRelease(handle: CUmemGenericAllocationHandle) {
        let session = session()?;
        let (id, memory) = memory_of(session, handle)?;
        if memory.references.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        session.memories.remove(handle).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        session.post(&MemRelease { memory: id })
    }

    /// Maps physical memory.
    fn cuMemMap(
        address: CUdeviceptr,
        bytes: usize,
        offset: usize,
        handle: CUmemGenericAllocationHandle,
        flags: c_ulonglong,
    ) {
        let session = session()?;
        let (memory, known) = memory_of(session, handle)?;
        let (bytes, offset) = (bytes as u64, offset as u64);
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= known.bytes);
        if bytes == 0 || flags != 0 || !fits {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let (reply, _) = session.ask(&MemMap { address, bytes, offset, memory }, &[])?;
        success(reply.result)?;
        let device = session.devices.get(known.vgpu as usize).ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        device.memory().add_region(Region { address, bytes, kind: Kind::Mapping });
        Ok(())
    }

    /// Takes mappings away.
    fn cuMemUnmap(address: CUdeviceptr, bytes: usize) {
        let session = session()?;
        let (reply, _) = session.ask(&MemUnmap { address, bytes: bytes as u64 }, &[])?;
        success(reply.result)?;
        for device in &session.devices {
            let mut memory = device.memory();
            let inside = |region: &&Region| {
                region.kind == Kind::Mapping && region.address.wrapping_sub(address) < bytes as u64
            };
            let gone: Vec<u64> = memory.regions().filter(inside).map(|region| region.address).collect();
            for start in gone {
                memory.remove_region(start);
            }
        }
        Ok(())
    }

    /// Who may use mapped memory.
    fn cuMemSetAccess(address: CUdeviceptr, bytes: usize, access: *const CUmemAccessDesc, count: usize) {
        let session = session()?;
        if access.is_null() || count == 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        for index in 0..count {
            // SAFETY: the array has `count` elements by the caller's promise.
            let entry = unsafe { *access.add(index) };
            if entry.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE {
                return Err(CUDA_ERROR_NOT_SUPPORTED);
            }
            let vgpu = device(entry.location.id)?.vgpu;
            let request = MemSetAccess { address, bytes: bytes as u64, vgpu, flags: entry.flags };
            success(session.ask(&request, &[])?.0.result)?;
        }
        Ok(())
    }

    /// What a vGPU may do with an address.
    fn cuMemGetAccess(flags: *mut c_ulonglong, location: *const CUmemLocation, address: CUdeviceptr) {
        let session = session()?;
        // SAFETY: null or valid by the caller's promise.
        let location = unsafe { location.as_ref() }.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let (vgpu, _) = session.region(address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let same = location.r#type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == vgpu as i32;
        let access = if same { CU_MEM_ACCESS_FLAGS_PROT_READWRITE } else { CU_MEM_ACCESS_FLAGS_PROT_NONE };
        // SAFETY: the caller's promise.
        unsafe { give(flags, c_ulonglong::from(access)) }
    }

    /// Sizes of physical memory are multiples of this.
    fn cuMemGetAllocationGranularity(
        result: *mut usize,
        properties: *const CUmemAllocationProp,
        option: CUmemAllocationGranularity_flags,
    ) {
        let vgpu = check_properties(properties)?;
        if option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller's promise.
        unsafe { give(result, device(vgpu as CUdevice)?.granularity as usize) }
    }

    /// What physical memory was made as.
    fn cuMemGetAllocationPropertiesFromHandle(
        properties: *mut CUmemAllocationProp,
        handle: CUmemGenericAllocationHandle,
    ) {
        let (_, memory) = memory_of(session()?, handle)?;
        let made_as = CUmemAllocationProp {
            r#type: CU_MEM_ALLOCATION_TYPE_PINNED,
            requestedHandleTypes: CU_MEM_HANDLE_TYPE_NONE,
            location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: memory.vgpu as i32 },
            win32HandleMetaData: std::ptr::null_mut(),
            allocFlags: CUmemAllocationFlags::default(),
        };
        // SAFETY: the caller's promise.
        unsafe { give(properties, made_as) }
    }
}
