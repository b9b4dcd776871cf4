//! One vGPU: its facts, answered without asking, and its memory.

use crate::memory::DeviceMemory;
use aquifer_cuda::*;
use aquifer_protocol::generated::{Credit, DeviceFacts};
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Attributes whose answer is the client's whatever the GPU can do, since the program is not beside it.
const OVERRIDDEN: &[(CUdevice_attribute, i32)] = &[
    (CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 0),
    (CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0),
    (CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0),
    (CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0),
    (
        CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM,
        0,
    ),
    (CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, 0),
    (CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 0),
    (CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, 0),
    (CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0),
    (
        CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES,
        0,
    ),
    (CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0),
    (
        CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
        0,
    ),
    (CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0),
    (CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0),
];

/// What is told of a vGPU, fixed for the life of the session.
pub struct Device {
    pub vgpu: u32,
    pub uuid: [u8; 16],
    pub name: CString,
    pub pci_bus_id: CString,
    pub memory_bytes: u64,
    /// Least memory that can be created or mapped, in bytes.
    pub granularity: u64,
    pub least_priority: i32,
    pub greatest_priority: i32,
    pub limits: LaunchLimits,
    attributes: Vec<(i32, i32)>,
    memory: Mutex<DeviceMemory>,
    /// Grants that came and are not in `memory` yet: whoever reads must not wait for whoever allocates.
    credits: Mutex<Vec<Credit>>,
}

/// What a launch is checked against, taken out of the attributes once.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaunchLimits {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub threads: u32,
    pub shared: u32,
}

impl Device {
    /// From the worker's facts and the pairs in their tail.
    pub fn new(facts: &DeviceFacts, pairs: &[u8]) -> Self {
        let word = |bytes: &[u8]| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let mut attributes: Vec<(i32, i32)> = pairs
            .chunks_exact(8)
            .map(|pair| (word(pair), word(&pair[4..])))
            .collect();
        for (id, value) in OVERRIDDEN {
            attributes.retain(|(attribute, _)| attribute != id);
            attributes.push((*id, *value));
        }
        attributes.sort_unstable();
        let mut device = Self {
            vgpu: facts.vgpu,
            uuid: facts.uuid,
            name: text(&facts.name),
            pci_bus_id: text(&facts.pci_bus_id),
            memory_bytes: facts.memory_bytes,
            granularity: facts.granularity.max(4096),
            least_priority: facts.least_priority,
            greatest_priority: facts.greatest_priority,
            limits: LaunchLimits::default(),
            attributes,
            memory: Mutex::new(DeviceMemory::new(facts)),
            credits: Mutex::new(Vec::new()),
        };
        device.limits = device.launch_limits();
        device
    }

    fn launch_limits(&self) -> LaunchLimits {
        let limit = |id| {
            self.attribute(id)
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(u32::MAX)
        };
        LaunchLimits {
            grid: [5, 6, 7].map(limit),
            block: [2, 3, 4].map(limit),
            threads: limit(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
            shared: limit(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
                .max(limit(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)),
        }
    }

    /// The value of an attribute; none for one that the GPU's driver does not know.
    pub fn attribute(&self, id: CUdevice_attribute) -> Option<i32> {
        let index = self
            .attributes
            .binary_search_by_key(&id, |(attribute, _)| *attribute)
            .ok()?;
        Some(self.attributes[index].1)
    }

    /// The worker granted memory.
    pub fn credit(&self, credit: Credit) {
        self.credits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(credit);
    }

    /// The memory of this vGPU, all grants included. Never held while waiting for an answer.
    pub fn memory(&self) -> MutexGuard<'_, DeviceMemory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for credit in self
            .credits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            memory.grant(credit.offset, credit.bytes);
        }
        memory
    }
}

fn text(padded: &[u8]) -> CString {
    let text: Vec<u8> = padded
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    CString::new(text).unwrap_or_default()
}
