//! Host memory that the device can reach: made by the driver, or registered by the program. One address serves both.

use aquifer_cuda::*;

use crate::context::Context;
use crate::memory::{pointer, settle};
use crate::outcome::{Outcome, require};
use crate::space::{self, Kind, Range};

const PAGE: u64 = 4096;
const ALLOC_FLAGS: u32 =
    CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
const REGISTER_FLAGS: u32 =
    CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;

/// Makes host memory.
pub fn allocate(context: &Context, size: u64, flags: u32) -> Outcome<u64> {
    require(size != 0 && flags & !ALLOC_FLAGS == 0)?;
    let length = size
        .checked_next_multiple_of(PAGE)
        .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    let mode = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping where the system likes.
    let got = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length as usize,
            protection,
            mode,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    }
    let start = got.expose_provenance() as u64;
    space::write().insert(
        start,
        range(context, start, size, Kind::Host { flags }, true),
    );
    Ok(start)
}

/// Makes the program's own memory reachable.
pub fn register(context: &Context, start: u64, size: u64, flags: u32) -> Outcome {
    require(start != 0 && size != 0 && start.checked_add(size).is_some())?;
    if flags & CU_MEMHOSTREGISTER_IOMEMORY != 0 {
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    require(flags & !REGISTER_FLAGS == 0)?;
    let mut ranges = space::write();
    if space::overlaps(&ranges, start, size) {
        return Err(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    }
    let writable = flags & CU_MEMHOSTREGISTER_READ_ONLY == 0;
    ranges.insert(
        start,
        range(context, start, size, Kind::Registered { flags }, writable),
    );
    Ok(())
}

/// Ends what `allocate` began.
pub fn free(start: u64) -> Outcome {
    let found = space::read().get(&start).copied();
    let range = found
        .filter(|range| matches!(range.kind, Kind::Host { .. }))
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    settle(range.context);
    release(&range)
}

/// Ends what `register` began.
pub fn unregister(start: u64) -> Outcome {
    require(start != 0)?;
    let found = space::read().get(&start).copied();
    let range = found.filter(|range| matches!(range.kind, Kind::Registered { .. }));
    let range = range.ok_or(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED)?;
    settle(range.context);
    release(&range)
}

/// Takes a range of host memory out of the map, and out of the process if the driver made it.
pub fn release(range: &Range) -> Outcome {
    let removed = space::write()
        .remove(&range.start)
        .filter(|now| now.id == range.id);
    require(removed.is_some())?;
    if let Kind::Host { .. } = range.kind {
        let length = range.size.next_multiple_of(PAGE) as usize;
        // SAFETY: the mapping was made by `allocate` with this length, and the caller gives it up.
        unsafe { libc::munmap(pointer(range.start), length) };
    }
    Ok(())
}

fn range(context: &Context, start: u64, size: u64, kind: Kind, writable: bool) -> Range {
    Range {
        start,
        size,
        kind,
        device: context.device.index,
        context: context.handle,
        readable: true,
        writable,
        id: space::next_id(),
    }
}
