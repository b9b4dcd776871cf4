//! Pinned host memory that copies go through where the CPU does not reach device memory, or where the stream is busy.

use crate::driver::{Driver, check};
use aquifer_cuda::*;
use core::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// Size of a block in bytes: small enough to stay in a core's cache between socket and GPU.
pub const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that copies to the GPU go through in turn.
const RING: usize = 8;
/// Blocks that are kept for copies to the client.
const KEPT: usize = 8;

/// A block of pinned memory.
pub struct Block {
    pub address: *mut c_void,
    pool: Arc<Pool>,
}

// SAFETY: a block is memory that one owner uses at a time; pinned memory may be used by any thread.
unsafe impl Send for Block {}

impl Block {
    /// The first `bytes` of the block.
    pub fn bytes(&mut self, bytes: usize) -> &mut [u8] {
        // SAFETY: the block has BLOCK_BYTES, is owned by `self`, and the GPU's copies into it are waited for before use.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), bytes.min(BLOCK_BYTES)) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut free = self
            .pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(self.address as usize);
        } else {
            // SAFETY: made by cuMemHostAlloc, used by nobody any more.
            unsafe { (self.pool.driver.cuMemFreeHost)(self.address) };
        }
    }
}

/// Blocks that are free.
pub struct Pool {
    driver: &'static Driver,
    free: Mutex<Vec<usize>>,
}

impl Pool {
    /// A free block, or a new one. A context must be current.
    pub fn block(self: &Arc<Pool>) -> Result<Block, CUresult> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut address = free.unwrap_or(0) as *mut c_void;
        if address.is_null() {
            // SAFETY: the result is valid to write to.
            check(unsafe {
                (self.driver.cuMemHostAlloc)(&mut address, BLOCK_BYTES, CU_MEMHOSTALLOC_PORTABLE)
            })?;
        }
        Ok(Block {
            address,
            pool: self.clone(),
        })
    }
}

struct Slot {
    block: Block,
    /// Recorded after the copy out of the block, in the context that has it.
    taken: Option<(CUcontext, CUevent)>,
}

/// The ring for copies to the GPU, and the pool.
pub struct Staging {
    driver: &'static Driver,
    ring: Vec<Slot>,
    next: usize,
    pub pool: Arc<Pool>,
}

impl Staging {
    pub fn new(driver: &'static Driver) -> Staging {
        Staging {
            driver,
            ring: Vec::new(),
            next: 0,
            pool: Arc::new(Pool {
                driver,
                free: Mutex::default(),
            }),
        }
    }

    /// A block of the ring whose bytes the GPU has taken: the last one where it has, since that is in the cache, else the next.
    /// A context must be current.
    pub fn next_block(&mut self) -> Result<&mut Block, CUresult> {
        if self.is_taken(self.next) {
            return Ok(&mut self.ring[self.next].block);
        }
        if self.ring.len() < RING {
            self.ring.push(Slot {
                block: self.pool.block()?,
                taken: None,
            });
            self.next = self.ring.len() - 1;
        } else {
            self.next = (self.next + 1) % RING;
        }
        let slot = &mut self.ring[self.next];
        if let Some((_, event)) = slot.taken {
            // SAFETY: the event is alive: it goes only with its context, see `forget_context`.
            unsafe { (self.driver.cuEventSynchronize)(event) };
        }
        Ok(&mut slot.block)
    }

    fn is_taken(&self, at: usize) -> bool {
        self.ring.get(at).is_some_and(|slot| {
            // SAFETY: the event is alive: it goes only with its context, see `forget_context`.
            slot.taken.is_none_or(
                |(_, event)| unsafe { (self.driver.cuEventQuery)(event) } == CUDA_SUCCESS,
            )
        })
    }

    /// The block that `next_block` gave is being read by work in `stream`, which belongs to the current `context`.
    pub fn taken_by(&mut self, context: CUcontext, stream: CUstream) -> Result<(), CUresult> {
        let slot = &mut self.ring[self.next];
        let event = match slot.taken {
            Some((owner, event)) if owner == context => event,
            other => {
                if let Some((_, event)) = other {
                    // SAFETY: it was waited for in `next_block`.
                    unsafe { (self.driver.cuEventDestroy)(event) };
                }
                let mut event = std::ptr::null_mut();
                // SAFETY: the result is valid to write to; the context is current.
                check(unsafe {
                    (self.driver.cuEventCreate)(
                        &mut event,
                        CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC,
                    )
                })?;
                slot.taken = Some((context, event));
                event
            }
        };
        // SAFETY: event and stream are alive and of the current context.
        check(unsafe { (self.driver.cuEventRecord)(event, stream) })
    }

    /// Lets go of the events of a context that is about to be destroyed.
    pub fn forget_context(&mut self, context: CUcontext) {
        for slot in &mut self.ring {
            if let Some((owner, event)) = slot.taken
                && owner == context
            {
                // SAFETY: waited for, then used no more.
                unsafe {
                    (self.driver.cuEventSynchronize)(event);
                    (self.driver.cuEventDestroy)(event);
                }
                slot.taken = None;
            }
        }
    }
}
