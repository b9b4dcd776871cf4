//! Contexts. The thread's stack of them and most of their state are the client's; the worker learns of a context when it is
//! first used.

use super::device::device;
use crate::current;
use crate::export::{export, give, give_if_wanted};
use crate::memory::{Kind, success};
use crate::objects::{Context, lock};
use crate::session::{FIRST_CONTEXT, Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    ContextDestroy, ContextGetLimit, ContextSetLimit, ContextSynchronize,
};
use std::ffi::{c_int, c_uint};
use std::sync::atomic::Ordering;

/// The living context of a handle.
pub fn context_of(handle: CUcontext) -> Outcome<&'static Context> {
    session()?
        .contexts
        .get(handle as u64)
        .map(|(_, context)| context)
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)
}

/// Ends a context with all that lives in it.
pub fn end(session: &Session, context: &Context) -> Outcome {
    if session.contexts.remove(context.handle).is_none() {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    let handle = context.handle;
    for (name, stream) in session.streams.living() {
        if stream.context.load(Ordering::Relaxed) == handle {
            session.streams.remove(name.handle);
        }
    }
    for (name, event) in session.events.living() {
        if event.context.load(Ordering::Relaxed) == handle {
            session.events.remove(name.handle);
        }
    }
    for (name, module) in session.modules.living() {
        if module.context == handle {
            super::module::forget(session, name.handle);
        }
    }
    for (name, function) in session.functions.living() {
        if function.context == handle {
            session.functions.remove(name.handle);
        }
    }
    for (_, library) in session.libraries.living() {
        lock(&library.modules).remove(&handle);
    }
    free_all(session, context)?;
    if context.is_created() {
        session.post(&ContextDestroy {
            context: context.id,
        })
    } else {
        Ok(())
    }
}

fn free_all(session: &Session, context: &Context) -> Outcome {
    let Some(device) = session.devices.get(context.vgpu as usize) else {
        return Ok(());
    };
    let of_context = Kind::Allocation {
        context: context.handle,
    };
    let addresses: Vec<u64> = device
        .memory()
        .regions()
        .filter(|region| region.kind == of_context)
        .map(|region| region.address)
        .collect();
    addresses
        .into_iter()
        .try_for_each(|address| session.free(address))
}

/// Makes a context and puts it on the stack.
unsafe fn create(result: *mut CUcontext, flags: c_uint, ordinal: CUdevice) -> Outcome {
    let vgpu = device(ordinal)?.vgpu;
    if result.is_null() || flags & !CU_CTX_FLAGS_MASK != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let session = session()?;
    session.alive()?;
    let made = session
        .contexts
        .insert(|name, _| Box::leak(Box::new(Context::new(name.id, name.handle, vgpu, flags))))
        .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    current::push(made.0.handle);
    // SAFETY: the caller's promise.
    unsafe { give(result, made.0.handle as CUcontext) }
}

/// Waits for all work of a context.
pub fn synchronize(session: &Session, context: &Context) -> Outcome {
    context.usable()?;
    if !context.is_created() {
        return context.after_wait();
    }
    let device = session.devices.get(context.vgpu as usize);
    let moment = device.map_or(0, |device| device.memory().moment());
    let (reply, _) = session.ask(
        &ContextSynchronize {
            context: context.id,
        },
        &[],
    )?;
    context.after_wait()?;
    success(reply.result)?;
    let alone = || {
        session
            .contexts
            .living()
            .iter()
            .filter(|(_, other)| other.vgpu == context.vgpu)
            .count()
            == 1
    };
    if let Some(device) = device.filter(|_| moment > 0 && alone()) {
        device.memory().quieten(moment);
    }
    Ok(())
}

export! {
    /// Makes a context.
    fn cuCtxCreate_v2(result: *mut CUcontext, flags: c_uint, ordinal: CUdevice) {
        // SAFETY: the caller's promise.
        unsafe { create(result, flags, ordinal) }
    }

    /// Makes a context; affinities are not supported.
    fn cuCtxCreate_v3(
        result: *mut CUcontext,
        affinities: *mut CUexecAffinityParam,
        count: c_int,
        flags: c_uint,
        ordinal: CUdevice,
    ) {
        if count != 0 || !affinities.is_null() {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        // SAFETY: the caller's promise.
        unsafe { create(result, flags, ordinal) }
    }

    /// Makes a context; affinities and CUDA in graphics are not supported.
    fn cuCtxCreate_v4(
        result: *mut CUcontext,
        parameters: *mut CUctxCreateParams,
        flags: c_uint,
        ordinal: CUdevice,
    ) {
        // SAFETY: null or valid by the caller's promise.
        if let Some(parameters) = unsafe { parameters.as_ref() }
            && (parameters.numExecAffinityParams != 0 || !parameters.cigParams.is_null())
        {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        // SAFETY: the caller's promise.
        unsafe { create(result, flags, ordinal) }
    }

    /// Ends a context that cuCtxCreate made.
    fn cuCtxDestroy_v2(handle: CUcontext) {
        let context = context_of(handle)?;
        if context.id < FIRST_CONTEXT {
            return Err(CUDA_ERROR_INVALID_CONTEXT);
        }
        if current::handle() == context.handle {
            current::pop();
        }
        end(session()?, context)
    }

    /// Adds a use of a context.
    fn cuCtxAttach(result: *mut CUcontext, flags: c_uint) {
        let (_, context) = current::context()?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        context.attached.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { give(result, context.handle as CUcontext) }
    }

    /// Takes a use away; the last one ends the context.
    fn cuCtxDetach(handle: CUcontext) {
        let context = context_of(handle)?;
        if context.attached.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Ok(());
        }
        if current::handle() == context.handle {
            current::pop();
        }
        end(session()?, context)
    }

    /// Puts a context on the stack.
    fn cuCtxPushCurrent_v2(handle: CUcontext) {
        current::push(context_of(handle)?.handle);
        Ok(())
    }

    /// Takes the current context off the stack.
    fn cuCtxPopCurrent_v2(result: *mut CUcontext) {
        session()?;
        if current::handle() == 0 {
            return Err(CUDA_ERROR_INVALID_CONTEXT);
        }
        // SAFETY: the caller's promise.
        unsafe { give_if_wanted(result, current::pop() as CUcontext) };
        Ok(())
    }

    /// Replaces the current context; null takes it off the stack.
    fn cuCtxSetCurrent(handle: CUcontext) {
        session()?;
        if handle.is_null() {
            current::set(0);
        } else {
            current::set(context_of(handle)?.handle);
        }
        Ok(())
    }

    /// The current context, or null.
    fn cuCtxGetCurrent(result: *mut CUcontext) {
        session()?;
        // SAFETY: the caller's promise.
        unsafe { give(result, current::handle() as CUcontext) }
    }

    /// The vGPU of the current context.
    fn cuCtxGetDevice(result: *mut CUdevice) {
        let (_, context) = current::context()?;
        // SAFETY: the caller's promise.
        unsafe { give(result, context.vgpu as CUdevice) }
    }

    /// The vGPU of a context; null is the current one.
    fn cuCtxGetDevice_v2(result: *mut CUdevice, handle: CUcontext) {
        let context = if handle.is_null() { current::context()?.1 } else { context_of(handle)? };
        // SAFETY: the caller's promise.
        unsafe { give(result, context.vgpu as CUdevice) }
    }

    /// Waits for the current context.
    fn cuCtxSynchronize() {
        let (session, context) = current::context()?;
        synchronize(session, context)
    }

    /// Waits for a context; null is the current one.
    fn cuCtxSynchronize_v2(handle: CUcontext) {
        let context = if handle.is_null() { current::context()?.1 } else { context_of(handle)? };
        synchronize(session()?, context)
    }

    /// The flags of the current context.
    fn cuCtxGetFlags(flags: *mut c_uint) {
        let (_, context) = current::context()?;
        // SAFETY: the caller's promise.
        unsafe { give(flags, context.flags.load(Ordering::Relaxed)) }
    }

    /// Sets the flags of the current context.
    fn cuCtxSetFlags(flags: c_uint) {
        let (_, context) = current::context()?;
        if flags & !CU_CTX_FLAGS_MASK != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        context.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    /// A number that no other context of the process has.
    fn cuCtxGetId(handle: CUcontext, id: *mut u64) {
        let context = if handle.is_null() { current::context()?.1 } else { context_of(handle)? };
        // SAFETY: the caller's promise.
        unsafe { give(id, context.handle) }
    }

    /// The interface version of a context: that of CUDA since 3.2.
    fn cuCtxGetApiVersion(handle: CUcontext, version: *mut c_uint) {
        if !handle.is_null() {
            context_of(handle)?;
        }
        // SAFETY: the caller's promise.
        unsafe { give(version, 3020) }
    }

    /// The cache preference of the current context.
    fn cuCtxGetCacheConfig(config: *mut CUfunc_cache) {
        let (_, context) = current::context()?;
        // SAFETY: the caller's promise.
        unsafe { give(config, context.cache_config.load(Ordering::Relaxed)) }
    }

    /// Sets the cache preference, which is a hint.
    fn cuCtxSetCacheConfig(config: CUfunc_cache) {
        let (_, context) = current::context()?;
        if config > CU_FUNC_CACHE_PREFER_EQUAL {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        context.cache_config.store(config, Ordering::Relaxed);
        Ok(())
    }

    /// The bank size of the current context.
    fn cuCtxGetSharedMemConfig(config: *mut CUsharedconfig) {
        let (_, context) = current::context()?;
        // SAFETY: the caller's promise.
        unsafe { give(config, context.shared_config.load(Ordering::Relaxed)) }
    }

    /// Accepts a bank size: no GPU since Kepler has a choice.
    fn cuCtxSetSharedMemConfig(config: CUsharedconfig) {
        current::context()?;
        if config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(()) }
    }

    /// Least and greatest priority of streams.
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        let (session, context) = current::context()?;
        let device = session.devices.get(context.vgpu as usize).ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(least, device.least_priority);
            give_if_wanted(greatest, device.greatest_priority);
        }
        Ok(())
    }

    /// Sets one limit of the current context.
    fn cuCtxSetLimit(limit: CUlimit, value: usize) {
        let (session, context) = current::ready()?;
        let request = ContextSetLimit { context: context.id, limit, value: value as u64 };
        success(session.ask(&request, &[])?.0.result)
    }

    /// Reads one limit of the current context.
    fn cuCtxGetLimit(value: *mut usize, limit: CUlimit) {
        let (session, context) = current::ready()?;
        let (reply, _) = session.ask(&ContextGetLimit { context: context.id, limit }, &[])?;
        success(reply.result)?;
        // SAFETY: the caller's promise.
        unsafe { give(value, reply.value as usize) }
    }
}
