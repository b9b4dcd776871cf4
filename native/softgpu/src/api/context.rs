//! Contexts.

use std::ffi::{c_int, c_uint, c_ulonglong};
use std::sync::atomic::Ordering::Relaxed;

use aquifer_cuda::*;

use super::calls::{In, Out, calls};
use crate::context::{self, CONTEXT_FLAGS, Context, current, find, initialized};
use crate::event::Event;
use crate::outcome::{Outcome, require};

/// The handle of a context, as C callers see it.
pub fn handle_of(context: Option<&'static Context>) -> CUcontext {
    std::ptr::without_provenance_mut(context.map_or(0, |context| context.handle))
}

fn create(out: &Out<CUcontext>, flags: c_uint, device: CUdevice) -> Outcome {
    out.check()?;
    let device = initialized()?.device(device)?;
    require(
        flags & !CONTEXT_FLAGS == 0
            && flags & CU_CTX_SCHED_MASK != 3
            && flags & CU_CTX_SCHED_MASK < 5,
    )?;
    let made = Context::create(device, flags | CU_CTX_MAP_HOST, false)?;
    context::push(made);
    out.give(handle_of(Some(made)))
}

/// The context of a handle, or the current one for null.
fn given_or_current(handle: CUcontext) -> Outcome<&'static Context> {
    initialized()?;
    if handle.is_null() {
        current()
    } else {
        find(handle)
    }
}

fn destroy(handle: CUcontext) -> Outcome {
    initialized()?;
    let found = find(handle)?;
    require(!found.primary)?;
    if context::top().is_some_and(|top| std::ptr::eq(top, found)) {
        context::pop()?;
    }
    found.destroy();
    Ok(())
}

calls! { TABLE;
    fn cuCtxCreate_v2 = (out: Out<CUcontext>, flags: c_uint, device: CUdevice) {
        create(&out, flags, device)
    }

    fn cuCtxCreate_v3 = (
        out: Out<CUcontext>,
        affinities: In<CUexecAffinityParam>,
        count: c_int,
        flags: c_uint,
        device: CUdevice,
    ) {
        if count != 0 {
            affinities.get()?;
            return Err(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
        }
        create(&out, flags, device)
    }

    fn cuCtxCreate_v4 = (out: Out<CUcontext>, parameters: In<CUctxCreateParams>, flags: c_uint, device: CUdevice) {
        if let Ok(parameters) = parameters.get() {
            if parameters.numExecAffinityParams != 0 {
                return Err(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
            }
            if !parameters.cigParams.is_null() {
                return Err(CUDA_ERROR_NOT_SUPPORTED);
            }
        }
        create(&out, flags, device)
    }

    fn cuCtxDestroy cuCtxDestroy_v2 = (handle: CUcontext) {
        destroy(handle)
    }

    fn cuCtxDetach = (handle: CUcontext) {
        destroy(handle)
    }

    fn cuCtxPushCurrent cuCtxPushCurrent_v2 = (handle: CUcontext) {
        initialized()?;
        context::push(find(handle)?);
        Ok(())
    }

    fn cuCtxPopCurrent cuCtxPopCurrent_v2 = (out: Out<CUcontext>) {
        initialized()?;
        let popped = context::pop()?;
        out.offer(handle_of(Some(popped)));
        Ok(())
    }

    fn cuCtxSetCurrent = (handle: CUcontext) {
        initialized()?;
        context::set(if handle.is_null() { None } else { Some(find(handle)?) });
        Ok(())
    }

    fn cuCtxGetCurrent = (out: Out<CUcontext>) {
        initialized()?;
        out.give(handle_of(context::top()))
    }

    fn cuCtxGetDevice = (device: Out<CUdevice>) {
        device.give(current()?.device.index as CUdevice)
    }

    fn cuCtxGetDevice_v2 = (device: Out<CUdevice>, handle: CUcontext) {
        device.give(given_or_current(handle)?.device.index as CUdevice)
    }

    fn cuCtxSynchronize = () {
        current()?.synchronize()
    }

    fn cuCtxSynchronize_v2 = (handle: CUcontext) {
        given_or_current(handle)?.synchronize()
    }

    fn cuCtxGetFlags = (flags: Out<c_uint>) {
        flags.give(current()?.flags.load(Relaxed))
    }

    fn cuCtxSetFlags = (flags: c_uint) {
        require(flags & !CONTEXT_FLAGS == 0)?;
        current()?.flags.store(flags, Relaxed);
        Ok(())
    }

    fn cuCtxGetId = (handle: CUcontext, id: Out<c_ulonglong>) {
        id.give(given_or_current(handle)?.id)
    }

    fn cuCtxGetApiVersion = (handle: CUcontext, version: Out<c_uint>) {
        given_or_current(handle)?;
        version.give(3020)
    }

    fn cuCtxGetLimit = (value: Out<usize>, limit: CUlimit) {
        let limits = &current()?.limits;
        let known = limits.get(limit as usize).ok_or(CUDA_ERROR_UNSUPPORTED_LIMIT)?;
        value.give(known.load(Relaxed) as usize)
    }

    fn cuCtxSetLimit = (limit: CUlimit, value: usize) {
        let limits = &current()?.limits;
        limits.get(limit as usize).ok_or(CUDA_ERROR_UNSUPPORTED_LIMIT)?.store(value as u64, Relaxed);
        Ok(())
    }

    fn cuCtxGetCacheConfig = (config: Out<CUfunc_cache>) {
        config.give(current()?.cache_config.load(Relaxed))
    }

    fn cuCtxSetCacheConfig = (config: CUfunc_cache) {
        require(config <= CU_FUNC_CACHE_PREFER_EQUAL)?;
        current()?.cache_config.store(config, Relaxed);
        Ok(())
    }

    fn cuCtxGetSharedMemConfig = (config: Out<CUsharedconfig>) {
        config.give(current()?.shared_config.load(Relaxed))
    }

    fn cuCtxSetSharedMemConfig = (config: CUsharedconfig) {
        require(config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)?;
        current()?;
        Ok(())
    }

    fn cuCtxGetStreamPriorityRange = (least: Out<c_int>, greatest: Out<c_int>) {
        current()?;
        least.offer(0);
        greatest.offer(super::stream::GREATEST_PRIORITY);
        Ok(())
    }

    fn cuCtxResetPersistingL2Cache = () {
        current()?;
        Ok(())
    }

    fn cuCtxRecordEvent = (handle: CUcontext, event: CUevent) {
        // The legacy stream's rules make its end the end of all streams but non-blocking ones, which are waited for.
        let context = given_or_current(handle)?;
        context.check()?;
        let legacy = context.legacy();
        let others: Vec<_> = context.streams().clone();
        for stream in others {
            if !stream.is_idle() && !std::ptr::eq(stream, legacy) {
                legacy.submit(crate::operation::Operation::Wait(stream, stream.submitted()))?;
            }
        }
        Event::find(event)?.record(legacy)
    }
}
