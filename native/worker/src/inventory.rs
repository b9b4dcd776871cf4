//! `worker --inventory`: the GPUs that NVML shows, as JSON.

use crate::driver::Library;
use aquifer_nvml::*;
use core::ffi::{c_char, c_int, c_uint, c_void};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// XIDs after which a GPU is of no use until it is reset or replaced, as NVIDIA's list of them says.
const FATAL_XIDS: [u64; 6] = [48, 64, 74, 79, 95, 119];
const EVENT_XID: u64 = 8;

#[repr(C)]
#[derive(Clone, Copy)]
struct EventData {
    device: nvmlDevice_t,
    kind: u64,
    data: u64,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

struct Nvml(Library);

macro_rules! call {
    ($nvml:expr, $name:literal, ($($type:ty),*), $($argument:expr),*) => {
        match $nvml.0.symbol($name) {
            None => NVML_ERROR_FUNCTION_NOT_FOUND,
            Some(symbol) => {
                // SAFETY: NVML's interface gives this name this signature; every pointer is to a live value.
                unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> nvmlReturn_t>(symbol)($($argument),*) }
            }
        }
    };
}

/// The GPUs as `[{uuid, index, model, memoryBytes, computeCapability, driverVersion, healthy, reason?}]`.
/// `driver` is the libcuda.so.1 whose directory holds NVML unless `nvml` names one. Errors say what failed.
pub fn list(driver: &Path, nvml: Option<&Path>) -> Result<Value, String> {
    let beside = driver.with_file_name("libnvidia-ml.so.1");
    let path: PathBuf = match nvml {
        Some(path) => path.to_owned(),
        None if beside.exists() => beside,
        None => PathBuf::from("libnvidia-ml.so.1"),
    };
    let nvml = Nvml(Library::open(&path).map_err(|error| error.replace("the driver", "NVML"))?);
    let started = call!(nvml, "nvmlInit_v2", (),);
    if started != NVML_SUCCESS {
        return Err(format!("nvmlInit_v2 failed with code {started}"));
    }
    let mut count: c_uint = 0;
    let counted = call!(nvml, "nvmlDeviceGetCount_v2", (*mut c_uint), &mut count);
    if counted != NVML_SUCCESS {
        return Err(format!("nvmlDeviceGetCount_v2 failed with code {counted}"));
    }
    let version = text(|buffer, size| {
        call!(
            nvml,
            "nvmlSystemGetDriverVersion",
            (*mut c_char, c_uint),
            buffer,
            size
        )
    });
    let gpus = (0..count)
        .filter_map(|index| describe(&nvml, index, version.as_deref().unwrap_or("unknown")));
    Ok(Value::Array(gpus.collect()))
}

/// One GPU. None when not even its UUID can be read: nothing could be said of it that a claim could name.
fn describe(nvml: &Nvml, index: c_uint, version: &str) -> Option<Value> {
    let mut device: nvmlDevice_t = std::ptr::null_mut();
    let found = call!(
        nvml,
        "nvmlDeviceGetHandleByIndex_v2",
        (c_uint, *mut nvmlDevice_t),
        index,
        &mut device
    );
    let uuid = text(|buffer, size| {
        call!(
            nvml,
            "nvmlDeviceGetUUID",
            (nvmlDevice_t, *mut c_char, c_uint),
            device,
            buffer,
            size
        )
    })
    .ok()?;
    let model = text(|buffer, size| {
        call!(
            nvml,
            "nvmlDeviceGetName",
            (nvmlDevice_t, *mut c_char, c_uint),
            device,
            buffer,
            size
        )
    });
    let mut memory = nvmlMemory_t::default();
    let read = call!(
        nvml,
        "nvmlDeviceGetMemoryInfo",
        (nvmlDevice_t, *mut nvmlMemory_t),
        device,
        &mut memory
    );
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    call!(
        nvml,
        "nvmlDeviceGetCudaComputeCapability",
        (nvmlDevice_t, *mut c_int, *mut c_int),
        device,
        &mut major,
        &mut minor
    );
    let reason = [
        ("handle", found),
        (
            "name",
            model.as_ref().err().copied().unwrap_or(NVML_SUCCESS),
        ),
        ("memory", read),
    ]
    .into_iter()
    .find(|it| it.1 != NVML_SUCCESS)
    .map(|(what, code)| {
        if code == NVML_ERROR_GPU_IS_LOST {
            "the GPU is lost".to_owned()
        } else {
            format!("NVML cannot read the GPU's {what}: code {code}")
        }
    })
    .or_else(|| fatal_xid(nvml, device).map(|xid| format!("XID {xid}")));
    let mut gpu = json!({
        "uuid": uuid,
        "index": index,
        "model": model.unwrap_or_else(|_| "unknown".into()),
        "memoryBytes": memory.total,
        "computeCapability": format!("{major}.{minor}"),
        "driverVersion": version,
        "healthy": reason.is_none(),
    });
    if let Some(reason) = reason {
        gpu["reason"] = reason.into();
    }
    Some(gpu)
}

/// A fatal XID that the driver has to report now. Drivers report only what comes after registration; one that keeps a
/// fault up reports it at once.
fn fatal_xid(nvml: &Nvml, device: nvmlDevice_t) -> Option<u64> {
    let mut set: *mut c_void = std::ptr::null_mut();
    if call!(nvml, "nvmlEventSetCreate", (*mut *mut c_void), &mut set) != NVML_SUCCESS {
        return None;
    }
    let mut event = EventData {
        device: std::ptr::null_mut(),
        kind: 0,
        data: 0,
        gpu_instance: 0,
        compute_instance: 0,
    };
    let mut found = None;
    if call!(
        nvml,
        "nvmlDeviceRegisterEvents",
        (nvmlDevice_t, u64, *mut c_void),
        device,
        EVENT_XID,
        set
    ) == NVML_SUCCESS
        && call!(
            nvml,
            "nvmlEventSetWait_v2",
            (*mut c_void, *mut EventData, c_uint),
            set,
            &mut event,
            1
        ) == NVML_SUCCESS
        && event.kind & EVENT_XID != 0
        && FATAL_XIDS.contains(&event.data)
    {
        found = Some(event.data);
    }
    call!(nvml, "nvmlEventSetFree", (*mut c_void), set);
    found
}

fn text(read: impl FnOnce(*mut c_char, c_uint) -> nvmlReturn_t) -> Result<String, nvmlReturn_t> {
    let mut buffer = [0u8; NVML_DEVICE_NAME_V2_BUFFER_SIZE];
    let code = read(buffer.as_mut_ptr().cast(), buffer.len() as c_uint);
    if code != NVML_SUCCESS {
        return Err(code);
    }
    let end = buffer
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(buffer.len());
    Ok(String::from_utf8_lossy(&buffer[..end]).into_owned())
}
