//! Device memory as the program sees it: placed here, inside what the worker granted.

use crate::session::{Outcome, Session};
use crate::space::{Space, rounded};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    DeviceFacts, MemAlloc, MemFree, MemReserve, MemTrim, RangeRefused,
};
use std::collections::BTreeMap;

/// Free credit that is kept; what is beyond it after a free goes back to the worker.
const KEPT_BYTES: u64 = 64 << 20;
/// Address ranges that are tried before a session is given up.
const RANGE_TRIES: u32 = 16;
/// Flag of MemAlloc.
const REUSED: u32 = 1;

/// What lies at a device address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Made by cuMemAlloc in a context, given by its handle.
    Allocation { context: u64 },
    /// A variable of a module or library.
    Global,
    /// Mapped by cuMemMap.
    Mapping,
}

/// Device memory that the program may copy from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub address: u64,
    pub bytes: u64,
    pub kind: Kind,
}

/// The memory of one vGPU.
pub struct DeviceMemory {
    base: u64,
    range_bytes: u64,
    granularity: u64,
    space: Space,
    regions: BTreeMap<u64, Region>,
}

impl DeviceMemory {
    pub fn new(facts: &DeviceFacts) -> Self {
        Self {
            base: facts.base,
            range_bytes: facts.range_bytes,
            granularity: facts.granularity.max(4096),
            space: Space::default(),
            regions: BTreeMap::new(),
        }
    }

    /// The worker granted memory at an offset of the range.
    pub fn grant(&mut self, offset: u64, bytes: u64) {
        if bytes > 0
            && offset
                .checked_add(bytes)
                .is_some_and(|end| end <= self.range_bytes)
        {
            self.space.grant(offset, bytes);
        }
    }

    /// What contains an address.
    pub fn region(&self, address: u64) -> Option<Region> {
        let (_, region) = self.regions.range(..=address).next_back()?;
        (address - region.address < region.bytes).then_some(*region)
    }

    /// Whether `bytes` bytes from `address` on are the program's, in one piece.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        self.region(address)
            .is_some_and(|region| bytes <= region.bytes - (address - region.address))
    }

    pub fn add_region(&mut self, region: Region) {
        self.regions.insert(region.address, region);
    }

    /// Forgets the region that begins at an address.
    pub fn remove_region(&mut self, address: u64) -> Option<Region> {
        self.regions.remove(&address)
    }

    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    /// Granted and not in use, in bytes.
    pub fn free_credit(&self) -> u64 {
        self.space.free_bytes()
    }

    /// As `Space::moment` and `Space::quieten`: all work of a moment is over.
    pub fn moment(&self) -> u64 {
        self.space.moment()
    }

    pub fn quieten(&mut self, moment: u64) {
        self.space.quieten(moment);
    }
}

impl Session {
    /// Takes the address range of every vGPU for itself, so that no host pointer can look like a device pointer.
    pub(crate) fn map_ranges(&self) -> Outcome {
        for device in &self.devices {
            let (mut base, mut bytes) = {
                let memory = device.memory();
                (memory.base, memory.range_bytes)
            };
            let mut tries = 0;
            while !map_nothing(base, bytes) {
                tries += 1;
                if tries > RANGE_TRIES {
                    crate::log::error(
                        "no vGPU: no address range is free in this process and on the GPU",
                    );
                    return Err(CUDA_ERROR_OUT_OF_MEMORY);
                }
                let (reply, _) = self.ask(
                    &RangeRefused {
                        vgpu: device.vgpu,
                        base,
                    },
                    &[],
                )?;
                success(reply.result)?;
                (base, bytes) = (reply.base, reply.bytes);
            }
            let mut memory = device.memory();
            (memory.base, memory.range_bytes) = (base, bytes);
        }
        Ok(())
    }

    /// Allocates device memory. Asks the worker only when what was granted does not do.
    pub fn allocate(&self, vgpu: u32, context: u64, bytes: u64) -> Outcome<u64> {
        let device = self
            .devices
            .get(vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        let size = rounded(bytes).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        if size > device.memory_bytes {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        loop {
            {
                // Locked until the post is in line: the worker must see allocations and frees in the order they are made.
                let mut memory = device.memory();
                if let Some(placed) = memory.space.take(size) {
                    let address = memory.base + placed.offset;
                    memory.add_region(Region {
                        address,
                        bytes,
                        kind: Kind::Allocation { context },
                    });
                    let flags = if placed.reused { REUSED } else { 0 };
                    self.post(&MemAlloc {
                        address,
                        bytes: size,
                        vgpu,
                        flags,
                    })?;
                    return Ok(address);
                }
            }
            let wanted = size
                .checked_next_multiple_of(device.granularity)
                .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
            let (reply, _) = self.ask(
                &MemReserve {
                    bytes: wanted,
                    vgpu,
                },
                &[],
            )?;
            if reply.result == CUDA_ERROR_OUT_OF_MEMORY {
                crate::log::debug(format_args!(
                    "out of memory: {bytes} bytes asked for, {} left of the claim's {}",
                    reply.available_bytes, device.memory_bytes
                ));
            }
            success(reply.result)?;
        }
    }

    /// Frees what `allocate` gave.
    pub fn free(&self, address: u64) -> Outcome {
        let device = self.device_of(address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let mut memory = device.memory();
        match memory.region(address) {
            Some(Region {
                address: start,
                kind: Kind::Allocation { .. },
                ..
            }) if start == address => {}
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
        let region = memory
            .remove_region(address)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let size = rounded(region.bytes).unwrap_or(region.bytes);
        let offset = address - memory.base;
        memory.space.give(offset, size);
        self.post(&MemFree {
            address,
            vgpu: device.vgpu,
        })?;
        // Several granules at a time: a program that allocates and frees in turn must not give back and ask each time.
        let excess = memory.space.free_bytes().saturating_sub(KEPT_BYTES);
        if excess >= KEPT_BYTES / 4 {
            let granularity = memory.granularity;
            for (offset, bytes) in memory.space.trim(granularity, excess) {
                self.post(&MemTrim {
                    offset,
                    bytes,
                    vgpu: device.vgpu,
                })?;
            }
        }
        Ok(())
    }

    /// The vGPU that an address belongs to.
    pub fn device_of(&self, address: u64) -> Option<&crate::device::Device> {
        self.devices.iter().find(|device| {
            let memory = device.memory();
            address.wrapping_sub(memory.base) < memory.range_bytes
                || memory.region(address).is_some()
        })
    }

    /// What contains a device address, if anything of the program does.
    pub fn region(&self, address: u64) -> Option<(u32, Region)> {
        let device = self.device_of(address)?;
        device
            .memory()
            .region(address)
            .map(|region| (device.vgpu, region))
    }

    /// Fails unless `bytes` bytes from `address` on are device memory of the program.
    pub fn check_device(&self, address: u64, bytes: u64) -> Outcome {
        let held = self
            .device_of(address)
            .is_some_and(|device| device.memory().holds(address, bytes));
        if held {
            Ok(())
        } else {
            Err(CUDA_ERROR_INVALID_VALUE)
        }
    }
}

/// A CUresult of the worker as an outcome.
pub fn success(result: CUresult) -> Outcome {
    if result == CUDA_SUCCESS {
        Ok(())
    } else {
        Err(result)
    }
}

/// Maps an address range without access. False when something is there already.
pub fn map_nothing(base: u64, bytes: u64) -> bool {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let wanted = base as usize as *mut libc::c_void;
    // SAFETY: NOREPLACE maps only where nothing is. Kernels before 4.17 take the address as a hint: then what they chose
    // instead is unmapped again.
    unsafe {
        let mapped = libc::mmap(wanted, bytes as usize, libc::PROT_NONE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return false;
        }
        if mapped != wanted {
            libc::munmap(mapped, bytes as usize);
        }
        mapped == wanted
    }
}
