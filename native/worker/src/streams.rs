//! Contexts, streams and events of a session.

use crate::driver::check;
use crate::meter::Metered;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::Header;
use aquifer_protocol::generated::*;

/// The highest stream handle that is not made by StreamCreate: 0 the context's default stream, 1 the legacy one.
const LAST_FIXED_STREAM: u32 = 1;

/// A context of the program.
pub struct Context {
    pub raw: CUcontext,
    /// Which of the session's GPUs it is on.
    pub gpu: usize,
    /// It stands for the GPU's primary context, which lives as long as the session.
    primary: bool,
    /// The error that made it unusable; 0 while it is well.
    pub dead: CUresult,
    /// Memory it was charged with, in bytes.
    charged: u64,
    pub metered: Metered,
    /// An event for asking how far a stream is.
    pub probe: CUevent,
}

/// A stream that the program made.
pub struct Stream {
    pub raw: CUstream,
    pub context: u32,
    /// The legacy stream waits for it and it for the legacy stream.
    pub blocking: bool,
    pub metered: Metered,
}

/// An event that the program made.
pub struct Event {
    pub raw: CUevent,
    pub context: u32,
    /// How many copies to the client had been asked for when it was last recorded.
    pub copies: u64,
}

impl Session {
    /// A context that can be used: its driver handle, made current.
    pub fn enter(&mut self, context: u32) -> Result<CUcontext, CUresult> {
        let entry = self
            .contexts
            .get(context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        let (raw, dead) = (entry.raw, entry.dead);
        check(dead)?;
        self.make_current(raw)?;
        Ok(raw)
    }

    /// A stream of a context that can be used, whose context is made current.
    pub fn enter_stream(&mut self, context: u32, stream: u32) -> Result<CUstream, CUresult> {
        self.enter(context)?;
        if stream <= LAST_FIXED_STREAM {
            return Ok(CU_STREAM_LEGACY);
        }
        let entry = self.streams.get(stream).filter(|it| it.context == context);
        entry.map(|it| it.raw).ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    pub fn context_create(&mut self, call: &ContextCreate) -> Result<(), CUresult> {
        let gpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?
            .gpu;
        self.contexts.check_free(call.context)?;
        let (device, primary) = (self.gpus[gpu].device, self.gpus[gpu].primary);
        let (mut raw, mut charged) = (primary, 0);
        if call.primary == 0 {
            let free = self.free_bytes(gpu);
            let flags = call.flags & CU_CTX_SCHED_MASK;
            // SAFETY: the result is valid to write to; the device came from the driver.
            check(unsafe { (self.driver.cuCtxCreate)(&mut raw, flags, device) })?;
            self.current = raw;
            charged = free.saturating_sub(self.free_bytes(gpu));
            if self.gpus[gpu].ledger.reserve(charged).is_err() {
                // SAFETY: made just above.
                unsafe { (self.driver.cuCtxDestroy)(raw) };
                self.current = std::ptr::null_mut();
                return Err(CUDA_ERROR_OUT_OF_MEMORY);
            }
        }
        self.make_current(raw)?;
        let mut probe = std::ptr::null_mut();
        // SAFETY: the result is valid to write to; the context is current.
        check(unsafe { (self.driver.cuEventCreate)(&mut probe, CU_EVENT_DISABLE_TIMING) })?;
        let entry = Context {
            raw,
            gpu,
            primary: call.primary != 0,
            dead: CUDA_SUCCESS,
            charged,
            metered: Metered::default(),
            probe,
        };
        self.contexts.insert(call.context, entry);
        Ok(())
    }

    pub fn context_destroy(&mut self, call: &ContextDestroy) -> Result<(), CUresult> {
        let entry = self
            .contexts
            .get(call.context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        let (raw, gpu) = (entry.raw, entry.gpu);
        self.finish_copies();
        self.gpus[gpu].meter.forget_context(raw);
        self.make_current(raw)?;
        for stream in self.streams.drain_if(|it| it.context == call.context) {
            // SAFETY: taken out of the table: the handle is used no more. Likewise below.
            unsafe { (self.driver.cuStreamDestroy)(stream.raw) };
        }
        for event in self.events.drain_if(|it| it.context == call.context) {
            // SAFETY: as above.
            unsafe { (self.driver.cuEventDestroy)(event.raw) };
        }
        self.unload_modules_of(call.context);
        let Some(entry) = self.contexts.remove(call.context) else {
            return Ok(());
        };
        // SAFETY: as above.
        unsafe { (self.driver.cuEventDestroy)(entry.probe) };
        self.staging.forget_context(raw);
        if !entry.primary {
            // SAFETY: as above; the context is the program's own.
            check(unsafe { (self.driver.cuCtxDestroy)(raw) })?;
            self.gpus[gpu].ledger.release(entry.charged);
            self.current = std::ptr::null_mut();
        }
        Ok(())
    }

    /// Free memory of a GPU in bytes as its driver tells, seen from the primary context.
    pub fn free_bytes(&mut self, gpu: usize) -> u64 {
        let (mut free, mut total) = (0, 0);
        if self.make_current(self.gpus[gpu].primary).is_ok() {
            // SAFETY: results are valid to write to; a context is current.
            unsafe { (self.driver.cuMemGetInfo)(&mut free, &mut total) };
        }
        free as u64
    }

    pub fn context_set_limit(&mut self, call: &ContextSetLimit) -> Result<(), CUresult> {
        self.enter(call.context)?;
        // SAFETY: plain numbers, which the driver checks.
        check(unsafe { (self.driver.cuCtxSetLimit)(call.limit, call.value as usize) })
    }

    pub fn context_get_limit(&mut self, call: &ContextGetLimit) -> Result<u64, CUresult> {
        self.enter(call.context)?;
        let mut value = 0;
        // SAFETY: the result is valid to write to.
        check(unsafe { (self.driver.cuCtxGetLimit)(&mut value, call.limit) })?;
        Ok(value as u64)
    }

    pub fn stream_create(&mut self, call: &StreamCreate) -> Result<(), CUresult> {
        self.enter(call.context)?;
        if call.stream <= LAST_FIXED_STREAM {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        self.streams.check_free(call.stream)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to; flags and priority are checked by the driver.
        check(unsafe {
            (self.driver.cuStreamCreateWithPriority)(&mut raw, call.flags, call.priority)
        })?;
        let blocking = call.flags & CU_STREAM_NON_BLOCKING == 0;
        self.streams.insert(
            call.stream,
            Stream {
                raw,
                context: call.context,
                blocking,
                metered: Metered::default(),
            },
        );
        Ok(())
    }

    pub fn stream_destroy(&mut self, call: &StreamDestroy) -> Result<(), CUresult> {
        self.enter_stream(call.context, call.stream)?;
        self.leave_meters();
        self.clear_way(call.context, call.stream);
        let entry = self
            .streams
            .remove(call.stream)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        // SAFETY: taken out of the table: the handle is used no more.
        check(unsafe { (self.driver.cuStreamDestroy)(entry.raw) })
    }

    pub fn stream_wait_event(&mut self, call: &StreamWaitEvent) -> Result<(), CUresult> {
        let stream = self.enter_stream(call.context, call.stream)?;
        self.clear_way(call.context, call.stream);
        let event = self
            .events
            .get(call.event)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?
            .raw;
        if call.flags != CU_EVENT_WAIT_DEFAULT {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        // SAFETY: stream and event are alive.
        check(unsafe { (self.driver.cuStreamWaitEvent)(stream, event, 0) })
    }

    pub fn event_create(&mut self, call: &EventCreate) -> Result<(), CUresult> {
        self.enter(call.context)?;
        self.events.check_free(call.event)?;
        if call.flags & CU_EVENT_INTERPROCESS != 0 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to.
        check(unsafe { (self.driver.cuEventCreate)(&mut raw, call.flags) })?;
        self.events.insert(
            call.event,
            Event {
                raw,
                context: call.context,
                copies: 0,
            },
        );
        Ok(())
    }

    pub fn event_destroy(&mut self, call: &EventDestroy) -> Result<(), CUresult> {
        let entry = self
            .events
            .get(call.event)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let (raw, context) = (entry.raw, entry.context);
        self.waiters.forget_event(raw);
        self.events.remove(call.event);
        self.enter(context)?;
        // SAFETY: taken out of the table, and no thread waits for it.
        check(unsafe { (self.driver.cuEventDestroy)(raw) })
    }

    pub fn event_record(&mut self, call: &EventRecord) -> Result<(), CUresult> {
        let stream = self.enter_stream(call.context, call.stream)?;
        self.clear_way(call.context, call.stream);
        if call.flags != CU_EVENT_RECORD_DEFAULT {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let asked = self.copies.asked();
        let event = self
            .events
            .get_mut(call.event)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        event.copies = asked;
        // SAFETY: stream and event are alive.
        check(unsafe { (self.driver.cuEventRecord)(event.raw, stream) })
    }

    pub fn event_elapsed(&mut self, call: &EventElapsed) -> Result<f32, CUresult> {
        let find = |id| {
            self.events
                .get(id)
                .map(|it| (it.raw, it.context))
                .ok_or(CUDA_ERROR_INVALID_HANDLE)
        };
        let ((start, context), (end, _)) = (find(call.start)?, find(call.end)?);
        self.enter(context)?;
        let mut milliseconds = 0.0;
        // SAFETY: the result is valid to write to; both events are alive.
        check(unsafe { (self.driver.cuEventElapsedTime)(&mut milliseconds, start, end) })?;
        Ok(milliseconds)
    }

    /// Where a post's failure belongs when its call names no context.
    pub fn context_of_event(&self, event: u32) -> u32 {
        self.events.get(event).map_or(u32::MAX, |it| it.context)
    }

    /// The header of a post that failed, and its context, told to the client.
    pub fn told(&mut self, header: &Header, context: u32, outcome: Result<(), CUresult>) {
        if let Err(result) = outcome {
            self.fault(header, context, result);
        }
    }
}
