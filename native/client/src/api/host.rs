//! Pinned host memory. There is no GPU beside the program, so pinning it has no effect on the hardware: what it keeps is what
//! programs ask about it.

use crate::export::{export, give};
use crate::objects::lock;
use crate::session::{Outcome, session};
use aquifer_cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::Mutex;

/// Pinned memory by where it begins.
static PINNED: Mutex<BTreeMap<usize, Pinned>> = Mutex::new(BTreeMap::new());

/// One piece of pinned memory.
#[derive(Clone, Copy, Debug)]
pub struct Pinned {
    pub start: usize,
    pub bytes: usize,
    pub flags: c_uint,
    /// Made by cuMemHostAlloc, not registered.
    ours: bool,
    pub context: u64,
}

/// The pinned memory that contains an address.
pub fn pinned_at(address: usize) -> Option<Pinned> {
    let pinned = lock(&PINNED);
    let (_, found) = pinned.range(..=address).next_back()?;
    (address - found.start < found.bytes).then_some(*found)
}

unsafe fn allocate(result: *mut *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    let (session, context) = crate::current::context()?;
    session.alive()?;
    if result.is_null() || bytes == 0 || flags & !7 != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: fresh memory where the kernel likes.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    }
    let start = memory as usize;
    lock(&PINNED).insert(
        start,
        Pinned {
            start,
            bytes,
            flags,
            ours: true,
            context: context.handle,
        },
    );
    // SAFETY: the caller's promise.
    unsafe { give(result, memory) }
}

export! {
    /// Makes pinned memory.
    fn cuMemHostAlloc(result: *mut *mut c_void, bytes: usize, flags: c_uint) {
        // SAFETY: the caller's promise.
        unsafe { allocate(result, bytes, flags) }
    }

    /// Makes pinned memory.
    fn cuMemAllocHost_v2(result: *mut *mut c_void, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { allocate(result, bytes, 0) }
    }

    /// Frees what cuMemHostAlloc made.
    fn cuMemFreeHost(memory: *mut c_void) {
        session()?;
        let mut pinned = lock(&PINNED);
        match pinned.get(&(memory as usize)) {
            Some(found) if found.ours => {
                // SAFETY: mapped by `allocate` with this size and not unmapped since.
                unsafe { libc::munmap(memory, found.bytes) };
            }
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
        pinned.remove(&(memory as usize));
        Ok(())
    }

    /// Takes the program's own memory as pinned.
    fn cuMemHostRegister_v2(memory: *mut c_void, bytes: usize, flags: c_uint) {
        let (session, context) = crate::current::context()?;
        session.alive()?;
        let start = memory as usize;
        let end = start.checked_add(bytes).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if memory.is_null() || bytes == 0 || flags & !15 != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if flags & CU_MEMHOSTREGISTER_IOMEMORY != 0 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let mut pinned = lock(&PINNED);
        let overlaps = pinned.range(..end).next_back().is_some_and(|(_, last)| last.start + last.bytes > start);
        if overlaps {
            return Err(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
        }
        pinned.insert(start, Pinned { start, bytes, flags, ours: false, context: context.handle });
        Ok(())
    }

    /// Ends a registration.
    fn cuMemHostUnregister(memory: *mut c_void) {
        session()?;
        let mut pinned = lock(&PINNED);
        match pinned.get(&(memory as usize)) {
            Some(found) if !found.ours => {}
            _ => return Err(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED),
        }
        pinned.remove(&(memory as usize));
        Ok(())
    }

    /// The flags that pinned memory was made with.
    fn cuMemHostGetFlags(flags: *mut c_uint, memory: *mut c_void) {
        session()?;
        let found = pinned_at(memory as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the caller's promise.
        unsafe { give(flags, found.flags) }
    }
}
