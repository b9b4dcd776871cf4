//! Occupancy.

use std::ffi::{c_int, c_uint};

use aquifer_cuda::*;

use super::calls::{In, Out, calls};
use super::function::find;
use crate::occupancy::{active_blocks, best_block, dynamic_shared};
use crate::outcome::{Outcome, require};

struct Potential {
    dynamic: CUoccupancyB2DSize,
    fixed: usize,
    limit: c_int,
    flags: c_uint,
}

fn potential(
    grid: &Out<c_int>,
    block: &Out<c_int>,
    function: CUfunction,
    wish: &Potential,
) -> Outcome {
    grid.check()?;
    block.check()?;
    require(wish.flags & !CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE == 0)?;
    let function = find(function)?;
    let (best_grid, best) = best_block(&function.facts, wish.limit, |size| match wish.dynamic {
        // SAFETY: the C caller gave the function for this call.
        Some(dynamic) => unsafe { dynamic(size) },
        None => wish.fixed,
    })?;
    grid.give(best_grid)?;
    block.give(best)
}

calls! { TABLE;
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor = (
        blocks: Out<c_int>,
        function: CUfunction,
        block_size: c_int,
        dynamic: usize,
    ) {
        blocks.check()?;
        blocks.give(active_blocks(&find(function)?.facts, block_size, dynamic)? as c_int)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags = (
        blocks: Out<c_int>,
        function: CUfunction,
        block_size: c_int,
        dynamic: usize,
        flags: c_uint,
    ) {
        blocks.check()?;
        require(flags & !CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE == 0)?;
        blocks.give(active_blocks(&find(function)?.facts, block_size, dynamic)? as c_int)
    }

    fn cuOccupancyMaxPotentialBlockSize = (
        grid: Out<c_int>,
        block: Out<c_int>,
        function: CUfunction,
        dynamic: CUoccupancyB2DSize,
        fixed: usize,
        limit: c_int,
    ) {
        potential(&grid, &block, function, &Potential { dynamic, fixed, limit, flags: 0 })
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags = (
        grid: Out<c_int>,
        block: Out<c_int>,
        function: CUfunction,
        dynamic: CUoccupancyB2DSize,
        fixed: usize,
        limit: c_int,
        flags: c_uint,
    ) {
        potential(&grid, &block, function, &Potential { dynamic, fixed, limit, flags })
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock = (
        bytes: Out<usize>,
        function: CUfunction,
        blocks: c_int,
        block_size: c_int,
    ) {
        bytes.check()?;
        bytes.give(dynamic_shared(&find(function)?.facts, blocks, block_size)?)
    }

    fn cuOccupancyMaxActiveClusters = (clusters: Out<c_int>, function: CUfunction, config: In<CUlaunchConfig>) {
        clusters.check()?;
        find(function)?;
        config.get()?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }
}
