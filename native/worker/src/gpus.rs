//! The GPUs of a session: found by UUID, with their primary contexts, limits and accounts.

use crate::account::Account;
use crate::config::{Config, Container, Vgpu, parse_uuid};
use crate::driver::{Driver, check, name_of};
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::turn_file::Payer;
use crate::turns::Turns;
use aquifer_cuda::*;
use aquifer_protocol::generated::DeviceFacts;
use core::ffi::c_int;
use std::sync::Arc;

/// The highest device attribute that is told to the client.
const LAST_ATTRIBUTE: CUdevice_attribute = 148;

/// One physical GPU that some vGPUs of the session are parts of.
pub struct Gpu {
    pub device: CUdevice,
    pub uuid: String,
    /// The primary context: made at start, since memory cannot be mapped without one.
    pub primary: CUcontext,
    /// Zeroes memory without waiting for the program's streams.
    pub stream: CUstream,
    /// The driver's unit of physical memory, in bytes.
    pub granularity: usize,
    pub ledger: Arc<Account>,
    pub meter: Meter,
}

/// Opens the GPUs that the configuration names, each once. The error is a sentence that names the GPU.
pub fn open(driver: &'static Driver, config: &Config) -> Result<Vec<Gpu>, String> {
    let failed = |what: &str, code: CUresult| format!("{what}: {}", name_of(code));
    // SAFETY: the first call into the driver; flags must be 0.
    check(unsafe { (driver.cuInit)(0) })
        .map_err(|code| failed("the driver does not start", code))?;
    let mut gpus: Vec<Gpu> = Vec::new();
    for vgpu in &config.vgpus {
        if gpus.iter().any(|it| it.uuid == vgpu.gpu) {
            continue;
        }
        let device = find(driver, &vgpu.gpu)
            .ok_or_else(|| format!("the driver shows no GPU {}", vgpu.gpu))?;
        let ledger = account(config, &vgpu.gpu)
            .map_err(|error| format!("the account of {}: {error}", vgpu.gpu))?;
        let turns = turns(config, &vgpu.gpu)
            .map_err(|error| format!("the turns of {}: {error}", vgpu.gpu))?;
        let gpu = Gpu::start(driver, device, vgpu.gpu.clone(), ledger, turns);
        gpus.push(gpu.map_err(|code| failed(&format!("GPU {}", vgpu.gpu), code))?);
    }
    Ok(gpus)
}

/// What the vGPUs of the session that lie on `gpu` have together, each as large as `size` says.
fn sum(config: &Config, gpu: &str, size: impl Fn(&Vgpu) -> (u64, u32)) -> (u64, u32) {
    let here = config.vgpus.iter().filter(|vgpu| vgpu.gpu == gpu);
    here.map(size)
        .fold((0, 0), |sum, it| (sum.0.saturating_add(it.0), sum.1 + it.1))
}

fn whole(vgpu: &Vgpu) -> (u64, u32) {
    (vgpu.memory_bytes, vgpu.compute_percent)
}

fn account(config: &Config, gpu: &str) -> std::io::Result<Account> {
    let open = |name: &str, (bytes, percent): (u64, u32)| {
        let session = config.session_id();
        Ledger::open(&config.ledger_dir, name, bytes, percent, &session)
    };
    let name = format!("{}-{gpu}", config.claim.uid);
    let claim = open(&name, sum(config, gpu, whole))?;
    let container = match &config.container {
        None => None,
        Some(Container { key, .. }) => {
            let size = sum(config, gpu, |vgpu| config.size_of(vgpu));
            Some(open(&format!("{name}.{key}"), size)?)
        }
    };
    Ok(Account::new(claim, container))
}

fn turns(config: &Config, gpu: &str) -> std::io::Result<Turns> {
    let claim = Payer {
        name: config.claim.uid.clone(),
        percent: sum(config, gpu, whole).1.min(100),
    };
    let container = config.container.as_ref().map(|container| Payer {
        name: format!("{}.{}", config.claim.uid, container.key),
        percent: sum(config, gpu, |vgpu| config.size_of(vgpu)).1.min(100),
    });
    Turns::join(&config.turns_dir, gpu, &claim, container.as_ref())
}

fn find(driver: &Driver, uuid: &str) -> Option<CUdevice> {
    let wanted = parse_uuid(uuid)?;
    let mut count = 0;
    // SAFETY: results are valid to write to, here and below.
    check(unsafe { (driver.cuDeviceGetCount)(&mut count) }).ok()?;
    (0..count).find_map(|ordinal| {
        let (mut device, mut found) = (0, CUuuid::default());
        // SAFETY: as above.
        check(unsafe { (driver.cuDeviceGet)(&mut device, ordinal) }).ok()?;
        // SAFETY: as above.
        check(unsafe { (driver.cuDeviceGetUuid)(&mut found, device) }).ok()?;
        (found.bytes == wanted).then_some(device)
    })
}

impl Gpu {
    fn start(
        driver: &'static Driver,
        device: CUdevice,
        uuid: String,
        ledger: Account,
        turns: Turns,
    ) -> Result<Gpu, CUresult> {
        let (mut primary, mut stream) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut granularity = 0;
        // SAFETY: results are valid to write to; the device came from the driver; the context is made current first.
        unsafe {
            check((driver.cuDevicePrimaryCtxRetain)(&mut primary, device))?;
            check((driver.cuCtxSetCurrent)(primary))?;
            check((driver.cuStreamCreateWithPriority)(
                &mut stream,
                CU_STREAM_NON_BLOCKING,
                0,
            ))?;
            let properties = properties(device);
            check((driver.cuMemGetAllocationGranularity)(
                &mut granularity,
                &properties,
                CU_MEM_ALLOC_GRANULARITY_MINIMUM,
            ))?;
        }
        let ledger = Arc::new(ledger);
        let meter = Meter::new(driver, turns, ledger.clone());
        Ok(Gpu {
            device,
            uuid,
            primary,
            stream,
            granularity: granularity.max(2 << 20),
            ledger,
            meter,
        })
    }

    /// What the client is told of vGPU `index`, and the attributes as pairs of i32.
    pub fn facts(
        &self,
        driver: &Driver,
        index: u32,
        memory_bytes: u64,
        percent: u32,
    ) -> (DeviceFacts, Vec<u8>) {
        let (mut name, mut bus) = ([0u8; 128], [0u8; 32]);
        let (mut least, mut greatest): (c_int, c_int) = (0, 0);
        // SAFETY: buffers with their sizes less the closing zero; the primary context is current.
        unsafe {
            (driver.cuCtxSetCurrent)(self.primary);
            (driver.cuDeviceGetName)(name.as_mut_ptr().cast(), 127, self.device);
            (driver.cuDeviceGetPCIBusId)(bus.as_mut_ptr().cast(), 31, self.device);
            (driver.cuCtxGetStreamPriorityRange)(&mut least, &mut greatest);
        }
        let mut attributes = Vec::with_capacity(LAST_ATTRIBUTE as usize * 8);
        for attribute in 1..=LAST_ATTRIBUTE {
            let mut value = 0;
            // SAFETY: the result is valid to write to.
            if unsafe { (driver.cuDeviceGetAttribute)(&mut value, attribute, self.device) }
                == CUDA_SUCCESS
            {
                attributes.extend_from_slice(&attribute.to_le_bytes());
                attributes.extend_from_slice(&value.to_le_bytes());
            }
        }
        let facts = DeviceFacts {
            uuid: parse_uuid(&self.uuid).unwrap_or_default(),
            name,
            pci_bus_id: bus,
            memory_bytes,
            base: 0,
            range_bytes: 0,
            granularity: self.granularity as u64,
            vgpu: index,
            compute_percent: percent,
            least_priority: least,
            greatest_priority: greatest,
        };
        (facts, attributes)
    }
}

/// Physical memory of `device`, as the worker makes it.
pub fn properties(device: CUdevice) -> CUmemAllocationProp {
    CUmemAllocationProp {
        r#type: CU_MEM_ALLOCATION_TYPE_PINNED,
        requestedHandleTypes: CU_MEM_HANDLE_TYPE_NONE,
        location: CUmemLocation {
            r#type: CU_MEM_LOCATION_TYPE_DEVICE,
            id: device,
        },
        win32HandleMetaData: std::ptr::null_mut(),
        allocFlags: CUmemAllocationFlags::default(),
    }
}
