//! Credit, and work on memory that stays on the GPU: sets and copies between device addresses.

use crate::driver::check;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;

/// The block was freed while work was outstanding.
const REUSED: u32 = 1;
/// The most credit beyond what was asked for, in bytes.
const MOST_AHEAD: u64 = 32 << 20;
/// Credit that a session starts with at most, in bytes.
const FIRST_CREDIT: u64 = 4 << 20;

impl Session {
    /// Grants a little memory before it is asked for, so that the first allocations wait for nothing.
    pub fn grant_first(&mut self) {
        for vgpu in 0..self.vgpus.len() {
            let eighth = self.left(vgpu) / 8;
            let granule = self.vgpus[vgpu].range.granule;
            let bytes = eighth.min(FIRST_CREDIT) / granule * granule;
            if bytes > 0
                && let Ok((offset, bytes)) = self.grant(vgpu, bytes, 0)
            {
                self.outbox.push(
                    &Credit {
                        offset,
                        bytes,
                        vgpu: vgpu as u32,
                    },
                    &[],
                );
            }
        }
    }

    fn grant(&mut self, vgpu: usize, bytes: u64, ahead: u64) -> Result<(u64, u64), CUresult> {
        let granted = self.vgpus[vgpu].range.grant(bytes, ahead);
        self.current = std::ptr::null_mut();
        granted
    }

    /// What the claim has left for a vGPU, in bytes: by the account, and by the vGPU's own size.
    fn left(&self, vgpu: usize) -> u64 {
        let vgpu = &self.vgpus[vgpu];
        let own = vgpu.memory_bytes.saturating_sub(vgpu.range.granted_bytes());
        self.gpus[vgpu.gpu].ledger.left_bytes().min(own)
    }

    /// Grants contiguous credit and tells of it; the result is what the claim has left.
    pub fn mem_reserve(&mut self, call: &MemReserve) -> (Result<(), CUresult>, u64) {
        let vgpu = call.vgpu as usize;
        if vgpu >= self.vgpus.len() {
            return (Err(CUDA_ERROR_INVALID_DEVICE), 0);
        }
        let mut left = self.left(vgpu);
        if call.bytes > left {
            self.gpus[self.vgpus[vgpu].gpu].ledger.refresh();
            left = self.left(vgpu);
        }
        if call.bytes > left {
            return (Err(CUDA_ERROR_OUT_OF_MEMORY), left);
        }
        // What is held ahead the claim's other sessions cannot have: the less is left, the less of it.
        let ahead = MOST_AHEAD.min((left - call.bytes) / 32);
        let granted = self.grant(vgpu, call.bytes, ahead);
        if let Ok((offset, bytes)) = granted {
            self.outbox.push(
                &Credit {
                    offset,
                    bytes,
                    vgpu: call.vgpu,
                },
                &[],
            );
        }
        (granted.map(|_| ()), self.left(vgpu))
    }

    pub fn mem_info(&mut self, call: &MemInfo) -> Result<(u64, u64), CUresult> {
        let vgpu = call.vgpu as usize;
        let limit = self
            .vgpus
            .get(vgpu)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?
            .memory_bytes;
        self.gpus[self.vgpus[vgpu].gpu].ledger.refresh();
        Ok((self.left(vgpu), limit))
    }

    pub fn range_refused(&mut self, call: &RangeRefused) -> Result<(u64, u64), CUresult> {
        let vgpu = self
            .vgpus
            .get_mut(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        vgpu.range.move_away(call.base)?;
        Ok((vgpu.range.base, vgpu.range.bytes))
    }

    pub fn mem_alloc(&mut self, call: &MemAlloc) -> Result<(), CUresult> {
        let vgpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        if call.bytes == 0 || !vgpu.range.holds(call.address, call.bytes) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if call.flags & REUSED != 0 {
            self.finish_everything();
        }
        Ok(())
    }

    pub fn mem_free(&mut self, call: &MemFree) -> Result<(), CUresult> {
        let vgpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        if vgpu.range.holds(call.address, 1) {
            Ok(())
        } else {
            Err(CUDA_ERROR_INVALID_VALUE)
        }
    }

    pub fn mem_trim(&mut self, call: &MemTrim) -> Result<(), CUresult> {
        if call.vgpu as usize >= self.vgpus.len() {
            return Err(CUDA_ERROR_INVALID_DEVICE);
        }
        self.finish_everything();
        self.vgpus[call.vgpu as usize]
            .range
            .trim(call.offset, call.bytes)
    }

    /// Waits until nothing of this session is on any GPU: memory is about to change hands.
    pub fn finish_everything(&mut self) {
        self.leave_meters();
        self.finish_copies();
        let contexts: Vec<CUcontext> = self
            .contexts
            .iter()
            .filter(|it| it.1.dead == CUDA_SUCCESS)
            .map(|it| it.1.raw)
            .collect();
        for context in contexts {
            if self.make_current(context).is_ok() {
                // SAFETY: the context is alive and current. An error is found again by whoever uses the context.
                unsafe { (self.driver.cuCtxSynchronize)() };
            }
        }
    }

    fn demand(&self, owned: bool) -> Result<(), CUresult> {
        if owned {
            Ok(())
        } else {
            Err(CUDA_ERROR_INVALID_VALUE)
        }
    }

    /// Whether a rectangle of device memory belongs to this session. Its size in bytes is checked for overflow.
    pub fn owns_rectangle(&self, address: u64, pitch: u64, width: u64, rows: u64) -> bool {
        let extent = rows
            .checked_sub(1)
            .and_then(|it| it.checked_mul(pitch))
            .and_then(|it| it.checked_add(width));
        (rows <= 1 || pitch >= width) && extent.is_some_and(|extent| self.owns(address, extent))
    }

    pub fn memcpy_dtod(&mut self, call: &MemcpyDtoD) -> Result<(), CUresult> {
        let stream = self.enter_stream(call.context, call.stream)?;
        self.clear_way(call.context, call.stream);
        self.demand(self.owns(call.destination, call.bytes) && self.owns(call.source, call.bytes))?;
        // SAFETY: both ranges belong to the session and stay mapped until work on them is done.
        check(unsafe {
            (self.driver.cuMemcpyDtoDAsync)(
                call.destination,
                call.source,
                call.bytes as usize,
                stream,
            )
        })
    }

    pub fn memcpy_dtod_2d(&mut self, call: &MemcpyDtoD2D) -> Result<(), CUresult> {
        let stream = self.enter_stream(call.context, call.stream)?;
        self.clear_way(call.context, call.stream);
        if call.width == 0 || call.rows == 0 {
            return Ok(());
        }
        let owned = self.owns_rectangle(
            call.destination,
            call.destination_pitch,
            call.width,
            call.rows,
        ) && self.owns_rectangle(call.source, call.source_pitch, call.width, call.rows);
        self.demand(owned)?;
        let copy = CUDA_MEMCPY2D {
            srcMemoryType: CU_MEMORYTYPE_DEVICE,
            srcDevice: call.source,
            srcPitch: call.source_pitch as usize,
            dstMemoryType: CU_MEMORYTYPE_DEVICE,
            dstDevice: call.destination,
            dstPitch: call.destination_pitch as usize,
            WidthInBytes: call.width as usize,
            Height: call.rows as usize,
            ..empty_rectangle()
        };
        // SAFETY: both rectangles belong to the session; the description is copied by the call.
        check(unsafe { (self.driver.cuMemcpy2DAsync)(&copy, stream) })
    }

    pub fn mem_set(&mut self, call: &MemSet) -> Result<(), CUresult> {
        let stream = self.enter_stream(call.context, call.stream)?;
        self.clear_way(call.context, call.stream);
        if call.width == 0 || call.rows == 0 {
            return Ok(());
        }
        let element = u64::from(call.element_bytes);
        let bytes = call
            .width
            .checked_mul(element)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        self.demand(self.owns_rectangle(call.address, call.pitch, bytes, call.rows))?;
        let (address, width, value) = (call.address, call.width as usize, call.value);
        let (pitch, rows) = (call.pitch as usize, call.rows as usize);
        let driver = self.driver;
        // SAFETY: the rectangle belongs to the session; alignment is checked by the driver.
        check(unsafe {
            match (element, rows) {
                (1, 1) => (driver.cuMemsetD8Async)(address, value as u8, width, stream),
                (2, 1) => (driver.cuMemsetD16Async)(address, value as u16, width, stream),
                (4, 1) => (driver.cuMemsetD32Async)(address, value, width, stream),
                (1, _) => {
                    (driver.cuMemsetD2D8Async)(address, pitch, value as u8, width, rows, stream)
                }
                (2, _) => {
                    (driver.cuMemsetD2D16Async)(address, pitch, value as u16, width, rows, stream)
                }
                (4, _) => (driver.cuMemsetD2D32Async)(address, pitch, value, width, rows, stream),
                _ => CUDA_ERROR_INVALID_VALUE,
            }
        })
    }
}

/// A rectangle copy that names nothing yet.
pub fn empty_rectangle() -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: 0,
        srcHost: std::ptr::null(),
        srcDevice: 0,
        srcArray: std::ptr::null_mut(),
        srcPitch: 0,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: 0,
        dstHost: std::ptr::null_mut(),
        dstDevice: 0,
        dstArray: std::ptr::null_mut(),
        dstPitch: 0,
        WidthInBytes: 0,
        Height: 0,
    }
}
