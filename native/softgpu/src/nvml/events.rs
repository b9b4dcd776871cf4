//! Waiting for XID errors, which the fault files of the state directory cause.

use std::ffi::{c_uint, c_ulonglong, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aquifer_nvml::*;

use super::calls::{Told, argument, find, initialized, nvml_calls};
use crate::api::Out;
use crate::fault::Fault;
use crate::handle_table::Table;

const XID_CRITICAL_ERROR: c_ulonglong = 8;
const POLL: Duration = Duration::from_millis(10);

static SETS: Table<Set> = Table::new(9);

/// Devices that are watched, each with the XID that was last told.
struct Set(Mutex<Vec<(usize, u32)>>);

/// What happened.
#[repr(C)]
pub struct EventData {
    device: nvmlDevice_t,
    event_type: c_ulonglong,
    event_data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

impl Set {
    fn watched(&self) -> MutexGuard<'_, Vec<(usize, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next XID that was not told yet.
    fn news(&self) -> Told<Option<(usize, u32)>> {
        let driver = initialized()?;
        for (index, told) in self.watched().iter_mut() {
            match driver
                .devices
                .get(*index)
                .and_then(|device| device.faults.fault())
            {
                Some(Fault::Xid(number)) if number != *told => {
                    *told = number;
                    return Ok(Some((*index, number)));
                }
                Some(Fault::Lost) => return Err(NVML_ERROR_GPU_IS_LOST),
                Some(_) => {}
                None => *told = 0,
            }
        }
        Ok(None)
    }
}

fn find_set(set: *mut c_void) -> Told<&'static Set> {
    initialized()?;
    SETS.get(set.addr()).ok_or(NVML_ERROR_INVALID_ARGUMENT)
}

nvml_calls! {
    fn nvmlDeviceGetSupportedEventTypes = (device: nvmlDevice_t, types: Out<c_ulonglong>) {
        find(device)?;
        argument(types.give(XID_CRITICAL_ERROR))
    }

    fn nvmlEventSetCreate = (set: Out<*mut c_void>) {
        initialized()?;
        argument(set.check())?;
        let reuse = |set: &'static Set, _| {
            set.watched().clear();
            true
        };
        let (handle, _) = SETS.insert_or_reuse(|_| Set(Mutex::new(Vec::new())), reuse).ok_or(NVML_ERROR_MEMORY)?;
        argument(set.give(std::ptr::without_provenance_mut(handle)))
    }

    fn nvmlDeviceRegisterEvents = (device: nvmlDevice_t, types: c_ulonglong, set: *mut c_void) {
        let device = find(device)?;
        let set = find_set(set)?;
        if types & !XID_CRITICAL_ERROR != 0 {
            return Err(NVML_ERROR_NOT_SUPPORTED);
        }
        let mut watched = set.watched();
        if types != 0 && !watched.iter().any(|(index, _)| *index == device.index) {
            watched.push((device.index, 0));
        }
        Ok(())
    }

    fn nvmlEventSetWait nvmlEventSetWait_v2 = (set: *mut c_void, data: Out<EventData>, timeout_ms: c_uint) {
        argument(data.check())?;
        let set = find_set(set)?;
        let until = Instant::now() + Duration::from_millis(u64::from(timeout_ms));
        loop {
            if let Some((index, number)) = set.news()? {
                let device = initialized()?.devices.get(index).ok_or(NVML_ERROR_UNKNOWN)?;
                return argument(data.give(EventData {
                    device: std::ptr::without_provenance_mut(super::calls::HANDLES + device.index),
                    event_type: XID_CRITICAL_ERROR,
                    event_data: c_ulonglong::from(number),
                    gpu_instance: c_uint::MAX,
                    compute_instance: c_uint::MAX,
                }));
            }
            if Instant::now() >= until {
                return Err(NVML_ERROR_TIMEOUT);
            }
            std::thread::sleep(POLL);
        }
    }

    fn nvmlEventSetFree = (set: *mut c_void) {
        initialized()?;
        SETS.remove(set.addr()).map(|_| ()).ok_or(NVML_ERROR_INVALID_ARGUMENT)
    }
}
