//! Occupancy.

use super::function::function_of;
use crate::current;
use crate::export::{export, give};
use crate::memory::success;
use crate::session::Outcome;
use aquifer_cuda::*;
use aquifer_protocol::generated::{OccupancyBlockSize, OccupancyBlocks, OccupancySharedMemory};
use std::ffi::{c_int, c_uint};
use std::sync::atomic::Ordering;

fn blocks(
    function: CUfunction,
    block_size: c_int,
    dynamic_shared: usize,
    flags: c_uint,
) -> Outcome<c_int> {
    let (session, context) = current::ready()?;
    let (id, _) = function_of(session, function)?;
    let block_size = u32::try_from(block_size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if flags & !CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let dynamic_shared = dynamic_shared as u64;
    let request = OccupancyBlocks {
        dynamic_shared,
        context: context.id,
        function: id,
        block_size,
        flags,
    };
    let (reply, _) = session.ask(&request, &[])?;
    success(reply.result)?;
    Ok(reply.blocks as c_int)
}

/// The grid and block with the best occupancy.
fn best(
    function: CUfunction,
    shared_of: CUoccupancyB2DSize,
    dynamic_shared: usize,
    limit: c_int,
    flags: c_uint,
) -> Outcome<(c_int, c_int)> {
    let (session, context) = current::ready()?;
    let (id, entry) = function_of(session, function)?;
    let block_limit = u32::try_from(limit).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    let Some(shared_of) = shared_of else {
        let dynamic_shared = dynamic_shared as u64;
        let request = OccupancyBlockSize {
            dynamic_shared,
            context: context.id,
            function: id,
            block_limit,
            flags,
        };
        let (reply, _) = session.ask(&request, &[])?;
        success(reply.result)?;
        return Ok((reply.grid as c_int, reply.block as c_int));
    };
    // Dynamic shared memory depends on the block size: the callback is the program's, so the search is here.
    let device = session
        .devices
        .get(context.vgpu as usize)
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    let of = |attribute| device.attribute(attribute).unwrap_or(1).max(1);
    let (warp, processors) = (
        of(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
        of(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
    );
    let of_function =
        entry.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK as usize].load(Ordering::Relaxed);
    let largest = [
        device.limits.threads as c_int,
        of_function,
        if limit == 0 { c_int::MAX } else { limit },
    ];
    let largest = largest.into_iter().min().unwrap_or(warp);
    let mut best = (0, 0, 0);
    let mut size = largest;
    while size > 0 {
        // SAFETY: the program's own function, called as the driver calls it.
        let shared = unsafe { shared_of(size) };
        let active = blocks(function, size, shared, flags)?;
        if active * size > best.0 {
            best = (active * size, active * processors, size);
        }
        size = (size - 1) / warp * warp;
    }
    Ok((best.1, best.2))
}

unsafe fn give_best(grid: *mut c_int, block: *mut c_int, found: (c_int, c_int)) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe {
        give(grid, found.0)?;
        give(block, found.1)
    }
}

export! {
    /// Blocks that a multiprocessor holds at once.
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        result: *mut c_int, function: CUfunction, block_size: c_int, dynamic_shared: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe { give(result, blocks(function, block_size, dynamic_shared, 0)?) }
    }
    /// As above, with flags.
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        result: *mut c_int, function: CUfunction, block_size: c_int, dynamic_shared: usize, flags: c_uint,
    ) {
        // SAFETY: the caller's promise.
        unsafe { give(result, blocks(function, block_size, dynamic_shared, flags)?) }
    }
    /// The grid and block with the best occupancy.
    fn cuOccupancyMaxPotentialBlockSize(
        grid: *mut c_int, block: *mut c_int, function: CUfunction, shared_of: CUoccupancyB2DSize,
        dynamic_shared: usize, limit: c_int,
    ) {
        // SAFETY: the caller's promise.
        unsafe { give_best(grid, block, best(function, shared_of, dynamic_shared, limit, 0)?) }
    }
    /// As above, with flags.
    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: *mut c_int, block: *mut c_int, function: CUfunction, shared_of: CUoccupancyB2DSize,
        dynamic_shared: usize, limit: c_int, flags: c_uint,
    ) {
        // SAFETY: the caller's promise.
        unsafe { give_best(grid, block, best(function, shared_of, dynamic_shared, limit, flags)?) }
    }
    /// Dynamic shared memory that is left for each of some blocks.
    fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: *mut usize, function: CUfunction, blocks: c_int, block_size: c_int,
    ) {
        let (session, context) = current::ready()?;
        let (id, _) = function_of(session, function)?;
        let positive = |value: c_int| u32::try_from(value).ok().filter(|it| *it > 0).ok_or(CUDA_ERROR_INVALID_VALUE);
        let (blocks, block_size) = (positive(blocks)?, positive(block_size)?);
        let request = OccupancySharedMemory { context: context.id, function: id, blocks, block_size };
        let (reply, _) = session.ask(&request, &[])?;
        success(reply.result)?;
        // SAFETY: the caller's promise.
        unsafe { give(bytes, reply.bytes as usize) }
    }
}
