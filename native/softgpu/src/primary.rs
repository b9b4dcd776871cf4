//! The primary context of each device: one that all users of a device in a process share, counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_cuda::*;

use crate::context::{CONTEXT_FLAGS, Context};
use crate::driver::Device;
use crate::outcome::{Outcome, require};
use crate::settings::DEVICES_MAX;

struct Primary {
    context: Option<&'static Context>,
    users: u32,
    flags: u32,
}

static PRIMARIES: [Mutex<Primary>; DEVICES_MAX] = [const {
    Mutex::new(Primary {
        context: None,
        users: 0,
        flags: CU_CTX_MAP_HOST,
    })
}; DEVICES_MAX];

fn primary(device: &Device) -> Outcome<MutexGuard<'static, Primary>> {
    let one = PRIMARIES
        .get(device.index)
        .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
    Ok(one.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The primary context, made if need be; every retain wants a release.
pub fn retain(device: &'static Device) -> Outcome<&'static Context> {
    let mut primary = primary(device)?;
    let context = match primary.context {
        Some(context) => context,
        None => Context::create(device, primary.flags, true)?,
    };
    primary.context = Some(context);
    primary.users = primary.users.saturating_add(1);
    Ok(context)
}

/// Gives one use back; the last one ends the context.
pub fn release(device: &'static Device) -> Outcome {
    let mut primary = primary(device)?;
    if primary.users == 0 {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    primary.users -= 1;
    if primary.users == 0
        && let Some(context) = primary.context.take()
    {
        context.destroy();
    }
    Ok(())
}

/// Ends the context whoever uses it; they keep their uses of the next one.
pub fn reset(device: &'static Device) -> Outcome {
    let mut primary = primary(device)?;
    if let Some(context) = primary.context.take() {
        context.destroy();
    }
    primary.users = 0;
    Ok(())
}

/// The flags, and whether the context exists.
pub fn state(device: &'static Device) -> Outcome<(u32, bool)> {
    let primary = primary(device)?;
    Ok((primary.flags, primary.context.is_some()))
}

/// Sets the flags, of the present context as well.
pub fn set_flags(device: &'static Device, flags: u32) -> Outcome {
    require(
        flags & !CONTEXT_FLAGS == 0
            && flags & CU_CTX_SCHED_MASK != 3
            && flags & CU_CTX_SCHED_MASK < 5,
    )?;
    let mut primary = primary(device)?;
    primary.flags = flags | CU_CTX_MAP_HOST;
    if let Some(context) = primary.context {
        context
            .flags
            .store(primary.flags, std::sync::atomic::Ordering::Relaxed);
    }
    Ok(())
}
