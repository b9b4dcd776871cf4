//! Primary contexts: one per vGPU, shared by all who retain it.

use super::context::end;
use super::device::device;
use crate::export::{export, give, give_if_wanted};
use crate::objects::{Context, lock};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use std::ffi::{c_int, c_uint};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Retains of the primary contexts, their handles while they live, and the flags for the next time.
#[derive(Clone, Copy, Default)]
struct Primary {
    retained: u32,
    handle: u64,
    flags: u32,
}

static PRIMARIES: Mutex<[Primary; 16]> = Mutex::new(
    [Primary {
        retained: 0,
        handle: 0,
        flags: 0,
    }; 16],
);

/// Runs `change` on the primary context of a vGPU.
fn with<T>(
    ordinal: CUdevice,
    change: impl FnOnce(&'static Session, u32, &mut Primary) -> Outcome<T>,
) -> Outcome<T> {
    let vgpu = device(ordinal)?.vgpu;
    let mut primaries = lock(&PRIMARIES);
    let primary = primaries
        .get_mut(vgpu as usize)
        .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
    change(session()?, vgpu, primary)
}

/// Ends the context, if it lives.
fn reset(session: &Session, primary: &mut Primary) -> Outcome {
    let ended = session
        .contexts
        .get(primary.handle)
        .map(|(_, context)| end(session, context));
    primary.handle = 0;
    ended.unwrap_or(Ok(()))
}

export! {
    /// The primary context, made if it does not live.
    fn cuDevicePrimaryCtxRetain(result: *mut CUcontext, ordinal: CUdevice) {
        if result.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let handle = with(ordinal, |session, vgpu, primary| {
            session.alive()?;
            if session.contexts.get(primary.handle).is_none() {
                let flags = primary.flags;
                let made = session.contexts.insert_at(vgpu, |name, _| {
                    Box::leak(Box::new(Context::new(name.id, name.handle, vgpu, flags)))
                });
                primary.handle = made.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?.0.handle;
            }
            primary.retained += 1;
            Ok(primary.handle)
        })?;
        // SAFETY: the caller's promise.
        unsafe { give(result, handle as CUcontext) }
    }

    /// Lets go; the last one ends the context.
    fn cuDevicePrimaryCtxRelease_v2(ordinal: CUdevice) {
        with(ordinal, |session, _, primary| {
            if primary.retained == 0 {
                return Err(CUDA_ERROR_INVALID_CONTEXT);
            }
            primary.retained -= 1;
            if primary.retained == 0 { reset(session, primary) } else { Ok(()) }
        })
    }

    /// Ends the context whoever retains it.
    fn cuDevicePrimaryCtxReset_v2(ordinal: CUdevice) {
        with(ordinal, |session, _, primary| reset(session, primary))
    }

    /// Flags, and whether the context lives.
    fn cuDevicePrimaryCtxGetState(ordinal: CUdevice, flags: *mut c_uint, active: *mut c_int) {
        let (current, lives) = with(ordinal, |session, _, primary| {
            let living = session.contexts.get(primary.handle);
            let flags = living.map_or(primary.flags, |(_, context)| context.flags.load(Ordering::Relaxed));
            Ok((flags, living.is_some()))
        })?;
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(flags, current);
            give_if_wanted(active, c_int::from(lives));
        }
        Ok(())
    }

    /// Sets the flags.
    fn cuDevicePrimaryCtxSetFlags_v2(ordinal: CUdevice, flags: c_uint) {
        if flags & !CU_CTX_FLAGS_MASK != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        with(ordinal, |session, _, primary| {
            primary.flags = flags;
            if let Some((_, context)) = session.contexts.get(primary.handle) {
                context.flags.store(flags, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}
