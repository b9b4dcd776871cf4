//! The one call that must be cheap: no allocation, no lock, no system call.

use crate::driver::check;
use crate::session::{End, Session};
use aquifer_cuda::*;
use aquifer_protocol::generated::Launch;
use aquifer_protocol::{Header, decode};
use core::ffi::c_void;

const COOPERATIVE: u32 = 1;

impl Session {
    /// Carries out a Launch frame. A failure is told to the client; only a frame that is no Launch ends the session.
    #[inline]
    pub fn launch(&mut self, header: &Header, body: &[u8]) -> Result<(), End> {
        let (call, parameters) = decode::<Launch>(body)?;
        self.counters.launches += 1;
        if let Err(result) = self.try_launch(&call, parameters) {
            self.fault(header, call.context, result);
        }
        Ok(())
    }

    #[inline]
    fn try_launch(&mut self, call: &Launch, parameters: &[u8]) -> Result<(), CUresult> {
        if !self.copies.holds_nothing() {
            self.clear_way(call.context, call.stream);
        }
        let context = self
            .contexts
            .get_mut(call.context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        if context.dead != CUDA_SUCCESS {
            return Err(context.dead);
        }
        let function = self
            .functions
            .get_mut(call.function)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        if parameters.len() < function.parameter_bytes {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if self.current != context.raw {
            // SAFETY: the context is alive: it is in the table.
            check(unsafe { (self.driver.cuCtxSetCurrent)(context.raw) })?;
            self.current = context.raw;
        }
        let (stream, metered) = if call.stream <= 1 {
            (CU_STREAM_LEGACY, &mut context.metered)
        } else {
            let entry = self
                .streams
                .get_mut(call.stream)
                .filter(|it| it.context == call.context);
            let entry = entry.ok_or(CUDA_ERROR_INVALID_HANDLE)?;
            (entry.raw, &mut entry.metered)
        };
        let meter = &mut self.gpus[context.gpu].meter;
        meter.admit(
            context.raw,
            stream,
            metered,
            &function.cost,
            &mut function.counted,
        )?;
        let mut bytes = parameters.len();
        let mut extra: [*mut c_void; 5] = [
            CU_LAUNCH_PARAM_BUFFER_POINTER,
            parameters.as_ptr().cast_mut().cast(),
            CU_LAUNCH_PARAM_BUFFER_SIZE,
            (&raw mut bytes).cast(),
            CU_LAUNCH_PARAM_END,
        ];
        let extra = if bytes == 0 {
            std::ptr::null_mut()
        } else {
            extra.as_mut_ptr()
        };
        let ([gx, gy, gz], [bx, by, bz]) = (call.grid, call.block);
        let none = std::ptr::null_mut();
        if call.flags == 0 {
            // SAFETY: function and stream are alive and of the current context; the buffer holds what the function reads
            // and is copied by the call; dimensions are checked by the driver.
            return check(unsafe {
                (self.driver.cuLaunchKernel)(
                    function.raw,
                    gx,
                    gy,
                    gz,
                    bx,
                    by,
                    bz,
                    call.dynamic_shared,
                    stream,
                    none,
                    extra,
                )
            });
        }
        if call.flags != COOPERATIVE {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let launch = self
            .driver
            .cuLaunchKernelEx
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        let mut attribute = CUlaunchAttribute {
            id: CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
            pad: [0; 4],
            value: CUlaunchAttributeValue { words: [0; 8] },
        };
        attribute.value.cooperative = 1;
        let config = CUlaunchConfig {
            gridDimX: gx,
            gridDimY: gy,
            gridDimZ: gz,
            blockDimX: bx,
            blockDimY: by,
            blockDimZ: bz,
            sharedMemBytes: call.dynamic_shared,
            hStream: stream,
            attrs: &mut attribute,
            numAttrs: 1,
        };
        // SAFETY: as above; the attribute outlives the call.
        check(unsafe { launch(&config, function.raw, none, extra) })
    }
}
