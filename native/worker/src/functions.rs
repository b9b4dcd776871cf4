//! Attributes of functions, and how many of their blocks fit.

use crate::driver::check;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use core::ffi::c_int;

impl Session {
    pub fn function_set_attribute(&mut self, call: &FunctionSetAttribute) -> Result<(), CUresult> {
        self.enter(call.context)?;
        let entry = self
            .functions
            .get(call.function)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        if entry.kernel {
            let set = self
                .driver
                .cuKernelSetAttribute
                .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
            let gpu = self
                .contexts
                .get(call.context)
                .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
                .gpu;
            // SAFETY: the kernel is alive; numbers are checked by the driver. Likewise below.
            return check(unsafe {
                set(
                    call.attribute as CUfunction_attribute,
                    call.value,
                    entry.raw.cast(),
                    self.gpus[gpu].device,
                )
            });
        }
        // SAFETY: as above.
        check(unsafe {
            (self.driver.cuFuncSetAttribute)(
                entry.raw,
                call.attribute as CUfunction_attribute,
                call.value,
            )
        })
    }

    pub fn function_set_cache_config(
        &mut self,
        call: &FunctionSetCacheConfig,
    ) -> Result<(), CUresult> {
        self.enter(call.context)?;
        let entry = self
            .functions
            .get(call.function)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        if entry.kernel {
            let set = self
                .driver
                .cuKernelSetCacheConfig
                .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
            let gpu = self
                .contexts
                .get(call.context)
                .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
                .gpu;
            // SAFETY: the kernel is alive; numbers are checked by the driver. Likewise below.
            return check(unsafe { set(entry.raw.cast(), call.config, self.gpus[gpu].device) });
        }
        // SAFETY: as above.
        check(unsafe { (self.driver.cuFuncSetCacheConfig)(entry.raw, call.config) })
    }

    fn function_in(&mut self, context: u32, function: u32) -> Result<CUfunction, CUresult> {
        self.enter(context)?;
        self.functions
            .get(function)
            .map(|it| it.raw)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    pub fn occupancy_blocks(&mut self, call: &OccupancyBlocks) -> Result<u32, CUresult> {
        let function = self.function_in(call.context, call.function)?;
        let mut blocks = 0;
        let ask = self
            .driver
            .cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags;
        // SAFETY: the result is valid to write to; the function is alive. Likewise below.
        check(unsafe {
            ask(
                &mut blocks,
                function,
                call.block_size as c_int,
                call.dynamic_shared as usize,
                call.flags,
            )
        })?;
        Ok(blocks.max(0) as u32)
    }

    pub fn occupancy_block_size(
        &mut self,
        call: &OccupancyBlockSize,
    ) -> Result<(u32, u32), CUresult> {
        let function = self.function_in(call.context, call.function)?;
        let (mut grid, mut block) = (0, 0);
        let ask = self.driver.cuOccupancyMaxPotentialBlockSizeWithFlags;
        // SAFETY: as above; no callback: the amount of shared memory is fixed.
        check(unsafe {
            ask(
                &mut grid,
                &mut block,
                function,
                None,
                call.dynamic_shared as usize,
                call.block_limit as c_int,
                call.flags,
            )
        })?;
        Ok((grid.max(0) as u32, block.max(0) as u32))
    }

    pub fn occupancy_shared_memory(
        &mut self,
        call: &OccupancySharedMemory,
    ) -> Result<u64, CUresult> {
        let function = self.function_in(call.context, call.function)?;
        let mut bytes = 0;
        let ask = self.driver.cuOccupancyAvailableDynamicSMemPerBlock;
        // SAFETY: as above.
        check(unsafe {
            ask(
                &mut bytes,
                function,
                call.blocks as c_int,
                call.block_size as c_int,
            )
        })?;
        Ok(bytes as u64)
    }
}
