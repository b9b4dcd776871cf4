//! How many blocks of a kernel one multiprocessor holds.

use aquifer_cuda::CUDA_ERROR_INVALID_VALUE;

use crate::device_facts::*;
use crate::function::Facts;
use crate::outcome::{Outcome, require};

/// Blocks per multiprocessor; 0 where not even one fits.
pub fn active_blocks(facts: &Facts, block_size: i32, dynamic_shared_bytes: usize) -> Outcome<u32> {
    let threads = u32::try_from(block_size).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    require(threads != 0)?;
    if threads > facts.max_threads {
        return Ok(0);
    }
    let warps = threads.div_ceil(WARP);
    let by_threads = THREADS_PER_PROCESSOR / (warps * WARP);
    // Registers are given to warps in steps of 256.
    let by_registers = REGISTERS / (warps * (facts.registers * WARP).next_multiple_of(256));
    let dynamic = u32::try_from(dynamic_shared_bytes).unwrap_or(u32::MAX);
    let shared = facts.shared_bytes.saturating_add(dynamic);
    if shared > SHARED_PER_BLOCK_OPTIN {
        return Ok(0);
    }
    let by_shared = SHARED_PER_PROCESSOR / (shared + SHARED_RESERVED);
    Ok(by_threads
        .min(by_registers)
        .min(by_shared)
        .min(BLOCKS_PER_PROCESSOR))
}

/// The block size with the most threads on a multiprocessor, and the smallest grid that fills the device with it.
pub fn best_block(
    facts: &Facts,
    limit: i32,
    mut dynamic: impl FnMut(i32) -> usize,
) -> Outcome<(i32, i32)> {
    let most = if limit > 0 {
        (limit as u32).min(facts.max_threads)
    } else {
        facts.max_threads
    };
    let (mut best, mut best_threads) = ((0, 0), 0);
    let mut size = most.next_multiple_of(WARP).min(most);
    loop {
        let blocks = active_blocks(facts, size as i32, dynamic(size as i32))?;
        if blocks * size > best_threads {
            best_threads = blocks * size;
            best = ((blocks * PROCESSORS) as i32, size as i32);
        }
        let next = (size - 1) / WARP * WARP;
        if next == 0 {
            break;
        }
        size = next;
    }
    require(best_threads != 0)?;
    Ok(best)
}

/// The largest dynamic shared memory with which so many blocks fit.
pub fn dynamic_shared(facts: &Facts, blocks: i32, block_size: i32) -> Outcome<usize> {
    let blocks = u32::try_from(blocks).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    require(blocks != 0 && active_blocks(facts, block_size, 0)? >= blocks)?;
    let each = (SHARED_PER_PROCESSOR / blocks)
        .saturating_sub(SHARED_RESERVED)
        .min(SHARED_PER_BLOCK_OPTIN);
    Ok(each.saturating_sub(facts.shared_bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(registers: u32, shared_bytes: u32) -> Facts {
        Facts {
            name: c"k".into(),
            params: Vec::new(),
            shared_bytes,
            local_bytes: 0,
            registers,
            max_threads: 1024,
            required_block: None,
        }
    }

    #[test]
    fn blocks_are_bound_by_the_scarcest_resource() {
        assert_eq!(active_blocks(&facts(16, 0), 256, 0), Ok(8));
        assert_eq!(active_blocks(&facts(16, 0), 32, 0), Ok(32));
        assert_eq!(active_blocks(&facts(128, 0), 256, 0), Ok(2));
        assert_eq!(active_blocks(&facts(16, 40 << 10), 256, 0), Ok(4));
        assert_eq!(active_blocks(&facts(16, 0), 256, 200 << 10), Ok(0));
        assert_eq!(active_blocks(&facts(16, 0), 2048, 0), Ok(0));
        assert!(active_blocks(&facts(16, 0), 0, 0).is_err());
    }

    #[test]
    fn the_best_block_fills_a_multiprocessor() {
        assert_eq!(best_block(&facts(16, 0), 0, |_| 0), Ok((32, 1024)));
        assert_eq!(
            best_block(&facts(16, 0), 100, |_| 0).map(|best| best.1),
            Ok(64)
        );
    }

    #[test]
    fn dynamic_shared_memory_leaves_room_for_the_blocks() {
        let bytes = dynamic_shared(&facts(16, 1024), 4, 128).unwrap();
        assert_eq!(active_blocks(&facts(16, 1024), 128, bytes), Ok(4));
        assert!(dynamic_shared(&facts(16, 0), 33, 128).is_err());
    }
}
