//! Memory that the program manages itself: reserved addresses, physical memory and mappings; and the module globals whose
//! addresses it was told. All of it is within the claim's limit, and only of it may copies and sets speak.

use crate::account::Account;
use crate::driver::{Driver, check};
use crate::gpus::properties;
use crate::handles::Table;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reservations, mappings and known globals of a session at most, each.
const MOST_ENTRIES: usize = 65_536;

/// Physical memory; given back to the claim when neither a handle nor a mapping is left.
struct Physical {
    driver: &'static Driver,
    raw: CUmemGenericAllocationHandle,
    bytes: u64,
    ledger: Arc<Account>,
}

impl Drop for Physical {
    fn drop(&mut self) {
        // SAFETY: made by cuMemCreate and released only here.
        unsafe { (self.driver.cuMemRelease)(self.raw) };
        self.ledger.release(self.bytes);
    }
}

struct Global {
    bytes: u64,
    owner: u64,
}

/// The program's own mappings and the globals it knows.
#[derive(Default)]
pub struct VirtualMemory {
    reserved: BTreeMap<u64, u64>,
    physical: Table<Arc<Physical>>,
    mapped: BTreeMap<u64, (u64, Arc<Physical>)>,
    globals: BTreeMap<u64, Global>,
}

impl VirtualMemory {
    /// Whether all of `bytes` at `address` is a global that was asked for, or mapped by the program.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes) else {
            return false;
        };
        let global = self.globals.range(..=address).next_back();
        if global.is_some_and(|(start, it)| end <= start + it.bytes) {
            return true;
        }
        let mut reached = address;
        while reached < end {
            match self.mapped.range(..=reached).next_back() {
                Some((start, it)) if start + it.0 > reached => reached = start + it.0,
                _ => return false,
            }
        }
        true
    }

    /// Remembers a global variable whose address the client was told.
    pub fn add_global(&mut self, owner: u64, address: u64, bytes: u64) -> Result<(), CUresult> {
        if self.globals.len() >= MOST_ENTRIES {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        self.globals.insert(address, Global { bytes, owner });
        Ok(())
    }

    /// Forgets the globals of an unloaded module or library.
    pub fn forget_globals(&mut self, owner: u64) {
        self.globals.retain(|_, it| it.owner != owner);
    }

    fn is_reserved(&self, address: u64, bytes: u64) -> bool {
        let end = address.checked_add(bytes);
        let around = self.reserved.range(..=address).next_back();
        around.is_some_and(|(start, size)| end.is_some_and(|end| end <= start + size))
    }
}

impl Session {
    pub fn address_reserve(&mut self, call: &AddressReserve) -> Result<u64, CUresult> {
        self.vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        if self.memory.reserved.len() >= MOST_ENTRIES {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        let mut address = 0;
        let reserve = self.driver.cuMemAddressReserve;
        // SAFETY: the result is valid to write to; sizes and alignment are checked by the driver.
        check(unsafe {
            reserve(
                &mut address,
                call.bytes as usize,
                call.alignment as usize,
                call.address,
                0,
            )
        })?;
        self.memory.reserved.insert(address, call.bytes);
        Ok(address)
    }

    pub fn address_free(&mut self, call: &AddressFree) -> Result<(), CUresult> {
        let end = call
            .address
            .checked_add(call.bytes)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let whole = self.memory.reserved.get(&call.address) == Some(&call.bytes);
        if !whole || self.memory.mapped.range(call.address..end).next().is_some() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: reserved for the program, and nothing is mapped in it.
        check(unsafe { (self.driver.cuMemAddressFree)(call.address, call.bytes as usize) })?;
        self.memory.reserved.remove(&call.address);
        Ok(())
    }

    pub fn mem_create(&mut self, call: &MemCreate) -> Result<(), CUresult> {
        let gpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?
            .gpu;
        self.memory.physical.check_free(call.memory)?;
        let gpu = &self.gpus[gpu];
        if call.bytes == 0 || !call.bytes.is_multiple_of(gpu.granularity as u64) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        gpu.ledger
            .reserve(call.bytes)
            .map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?;
        let mut raw = 0;
        // SAFETY: the result is valid to write to.
        let made = check(unsafe {
            (self.driver.cuMemCreate)(&mut raw, call.bytes as usize, &properties(gpu.device), 0)
        });
        made.inspect_err(|_| gpu.ledger.release(call.bytes))?;
        let physical = Physical {
            driver: self.driver,
            raw,
            bytes: call.bytes,
            ledger: gpu.ledger.clone(),
        };
        let (device, context, stream) = (gpu.device, gpu.primary, gpu.stream);
        self.make_current(context)?;
        zero(self.driver, device, stream, &physical)?;
        self.memory.physical.insert(call.memory, Arc::new(physical));
        Ok(())
    }

    pub fn mem_release(&mut self, call: &MemRelease) -> Result<(), CUresult> {
        self.memory
            .physical
            .remove(call.memory)
            .map(|_| ())
            .ok_or(CUDA_ERROR_INVALID_VALUE)
    }

    pub fn mem_map(&mut self, call: &MemMap) -> Result<(), CUresult> {
        let physical = self
            .memory
            .physical
            .get(call.memory)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?
            .clone();
        if !self.memory.is_reserved(call.address, call.bytes)
            || self.memory.mapped.len() >= MOST_ENTRIES
        {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let map = self.driver.cuMemMap;
        // SAFETY: addresses are reserved for the program; the driver checks sizes, offset and overlap.
        check(unsafe {
            map(
                call.address,
                call.bytes as usize,
                call.offset as usize,
                physical.raw,
                0,
            )
        })?;
        self.memory
            .mapped
            .insert(call.address, (call.bytes, physical));
        Ok(())
    }

    pub fn mem_unmap(&mut self, call: &MemUnmap) -> Result<(), CUresult> {
        let end = call
            .address
            .checked_add(call.bytes)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let whole: Vec<(u64, u64)> = self
            .memory
            .mapped
            .range(call.address..end)
            .map(|(at, it)| (*at, it.0))
            .collect();
        let starts = whole.first().is_some_and(|it| it.0 == call.address);
        if !starts || whole.iter().map(|it| it.1).sum::<u64>() != call.bytes {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        self.finish_everything();
        // SAFETY: exactly mappings of the program, which no work uses any more.
        check(unsafe { (self.driver.cuMemUnmap)(call.address, call.bytes as usize) })?;
        for (address, _) in whole {
            self.memory.mapped.remove(&address);
        }
        Ok(())
    }

    pub fn mem_set_access(&mut self, call: &MemSetAccess) -> Result<(), CUresult> {
        let gpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?
            .gpu;
        if call.bytes == 0 || !self.memory.holds(call.address, call.bytes) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let location = CUmemLocation {
            r#type: CU_MEM_LOCATION_TYPE_DEVICE,
            id: self.gpus[gpu].device,
        };
        let access = CUmemAccessDesc {
            location,
            flags: call.flags,
        };
        // SAFETY: mappings of the program; the driver checks the flags.
        check(unsafe {
            (self.driver.cuMemSetAccess)(call.address, call.bytes as usize, &access, 1)
        })
    }

    /// Whether all of `bytes` at `address` belongs to this session.
    pub fn owns(&self, address: u64, bytes: u64) -> bool {
        self.vgpus.iter().any(|it| it.range.holds(address, bytes))
            || self.memory.holds(address, bytes)
    }

    /// Whether the CPU reaches `address` as it is. Known of granted memory only.
    pub fn is_host_accessible(&self, address: u64, bytes: u64) -> bool {
        self.vgpus
            .iter()
            .any(|it| it.range.host_accessible && it.range.holds(address, bytes))
    }
}

/// Zeroes physical memory through a mapping of its own, so that what another session left is never seen.
fn zero(
    driver: &Driver,
    device: CUdevice,
    stream: CUstream,
    physical: &Physical,
) -> Result<(), CUresult> {
    let bytes = physical.bytes as usize;
    let access = CUmemAccessDesc {
        location: CUmemLocation {
            r#type: CU_MEM_LOCATION_TYPE_DEVICE,
            id: device,
        },
        flags: CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
    };
    let mut address = 0;
    // SAFETY: addresses, mapping and stream are this function's own or its caller's, and are taken down in reverse order
    // after the work is done. A context is current.
    unsafe {
        check((driver.cuMemAddressReserve)(&mut address, bytes, 0, 0, 0))?;
        let zeroed = check((driver.cuMemMap)(address, bytes, 0, physical.raw, 0)).and_then(|()| {
            let set = check((driver.cuMemSetAccess)(address, bytes, &access, 1))
                .and_then(|()| check((driver.cuMemsetD8Async)(address, 0, bytes, stream)))
                .and_then(|()| check((driver.cuStreamSynchronize)(stream)));
            (driver.cuMemUnmap)(address, bytes);
            set
        });
        (driver.cuMemAddressFree)(address, bytes);
        zeroed
    }
}
