//! The address range of one vGPU: which of its granules hold memory that was granted to the client.

use crate::account::Account;
use crate::driver::{Driver, check};
use crate::gpus::properties;
use aquifer_cuda::*;
use std::sync::Arc;

/// Where ranges are asked for first: far below where Linux maps libraries and stacks and above where programs are, so that
/// the client's process is likely to have it free too. Each further try is a step higher.
const FIRST_CANDIDATE: u64 = 0x1000_0000_0000;
const CANDIDATE_STEP: u64 = 0x0100_0000_0000;
/// How often a client may refuse a range.
const MOST_CANDIDATES: u32 = 32;

/// A reserved range of device addresses with memory in some granules. One granule is one physical allocation, so that any
/// granule can be given back.
pub struct Range {
    driver: &'static Driver,
    pub base: u64,
    pub bytes: u64,
    pub granule: u64,
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
    ledger: Arc<Account>,
    /// The physical memory of each granule; 0 for none.
    granules: Vec<CUmemGenericAllocationHandle>,
    tries: u32,
    /// The memory can be reached by the CPU at its own address: the driver said so.
    pub host_accessible: bool,
}

/// What a range is made of beside its size.
pub struct Ground {
    pub driver: &'static Driver,
    pub device: CUdevice,
    pub context: CUcontext,
    pub stream: CUstream,
    pub ledger: Arc<Account>,
    pub granule: u64,
}

impl Range {
    /// Reserves addresses for a vGPU of `limit_bytes`: its memory and as much again, so that fragments do not matter.
    pub fn reserve(ground: Ground, limit_bytes: u64) -> Result<Range, CUresult> {
        let Ground {
            driver,
            device,
            context,
            stream,
            ledger,
            granule,
        } = ground;
        let bytes = limit_bytes
            .div_ceil(granule)
            .saturating_mul(2)
            .saturating_mul(granule);
        let granules = vec![0; (bytes / granule) as usize];
        let mut range = Range {
            driver,
            base: 0,
            bytes,
            granule,
            device,
            context,
            stream,
            ledger,
            granules,
            tries: 0,
            host_accessible: false,
        };
        range.place()?;
        Ok(range)
    }

    fn place(&mut self) -> Result<(), CUresult> {
        if self.tries >= MOST_CANDIDATES {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        let candidate = FIRST_CANDIDATE + u64::from(self.tries) * CANDIDATE_STEP;
        self.tries += 1;
        let mut base = 0;
        // SAFETY: the result is valid to write to; a hint that is not free makes the driver choose.
        check(unsafe {
            (self.driver.cuMemAddressReserve)(
                &mut base,
                self.bytes as usize,
                self.granule as usize,
                candidate,
                0,
            )
        })?;
        self.base = base;
        Ok(())
    }

    /// Offers other addresses, because the client cannot map those at `refused`. Only before anything was granted.
    pub fn move_away(&mut self, refused: u64) -> Result<(), CUresult> {
        if refused != self.base || self.granules.iter().any(|it| *it != 0) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let old = self.base;
        // The old range is freed after the new one is reserved, or the driver would offer it again.
        self.place()?;
        // SAFETY: reserved by `place`, nothing is mapped in it.
        unsafe { (self.driver.cuMemAddressFree)(old, self.bytes as usize) };
        Ok(())
    }

    /// Maps zeroed memory into at least `bytes` contiguous bytes of free granules, with up to `ahead` more. Returns offset
    /// and size, or OUT_OF_MEMORY when the claim's limit or the GPU has no room.
    pub fn grant(&mut self, bytes: u64, ahead: u64) -> Result<(u64, u64), CUresult> {
        let needed = bytes.max(1).div_ceil(self.granule);
        let ahead = ahead / self.granule;
        let wanted = needed.checked_add(ahead).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        if ahead > 0
            && let Ok(granted) = self.map(wanted)
        {
            return Ok(granted);
        }
        self.map(needed)
    }

    fn map(&mut self, count: u64) -> Result<(u64, u64), CUresult> {
        let first = self.free_run(count).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let bytes = count
            .checked_mul(self.granule)
            .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        self.ledger
            .reserve(bytes)
            .map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?;
        let run = first..first + count as usize;
        let mapped = run
            .clone()
            .try_for_each(|at| self.map_one(at))
            .and_then(|()| self.open(first, bytes));
        if let Err(code) = mapped {
            run.for_each(|at| self.unmap_one(at));
            self.ledger.release(bytes);
            // The GPU itself is full, or the driver cannot make the memory usable: either way there is none to have.
            return Err(if crate::driver::is_sticky(code) {
                code
            } else {
                CUDA_ERROR_OUT_OF_MEMORY
            });
        }
        Ok((first as u64 * self.granule, bytes))
    }

    fn free_run(&self, count: u64) -> Option<usize> {
        let count = usize::try_from(count)
            .ok()
            .filter(|it| *it <= self.granules.len())?;
        let mut free = 0;
        for (at, handle) in self.granules.iter().enumerate() {
            free = if *handle == 0 { free + 1 } else { 0 };
            if free == count {
                return Some(at + 1 - count);
            }
        }
        None
    }

    fn map_one(&mut self, at: usize) -> Result<(), CUresult> {
        let mut handle = 0;
        let size = self.granule as usize;
        // SAFETY: the result and the properties are live; the address is in the reserved range and holds no mapping.
        unsafe {
            check((self.driver.cuMemCreate)(
                &mut handle,
                size,
                &properties(self.device),
                0,
            ))?;
            let mapped = check((self.driver.cuMemMap)(
                self.base + at as u64 * self.granule,
                size,
                0,
                handle,
                0,
            ));
            if mapped.is_err() || handle == 0 {
                (self.driver.cuMemRelease)(handle);
                return Err(mapped.err().unwrap_or(CUDA_ERROR_UNKNOWN));
            }
        }
        self.granules[at] = handle;
        Ok(())
    }

    fn unmap_one(&mut self, at: usize) {
        let handle = std::mem::take(&mut self.granules[at]);
        if handle != 0 {
            // SAFETY: mapped by `map_one`, and no work that uses it is left.
            unsafe {
                (self.driver.cuMemUnmap)(
                    self.base + at as u64 * self.granule,
                    self.granule as usize,
                );
                (self.driver.cuMemRelease)(handle);
            }
        }
    }

    /// Makes mapped granules accessible and zeroes them: what another session left must not be seen.
    fn open(&mut self, first: usize, bytes: u64) -> Result<(), CUresult> {
        let address = self.base + first as u64 * self.granule;
        let location = CUmemLocation {
            r#type: CU_MEM_LOCATION_TYPE_DEVICE,
            id: self.device,
        };
        let access = CUmemAccessDesc {
            location,
            flags: CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        };
        // SAFETY: the whole run is mapped; the stream belongs to the context that is made current.
        unsafe {
            check((self.driver.cuCtxSetCurrent)(self.context))?;
            check((self.driver.cuMemSetAccess)(
                address,
                bytes as usize,
                &access,
                1,
            ))?;
            check((self.driver.cuMemsetD8Async)(
                address,
                0,
                bytes as usize,
                self.stream,
            ))?;
            check((self.driver.cuStreamSynchronize)(self.stream))?;
        }
        self.host_accessible = is_host_accessible(self.driver, address);
        Ok(())
    }

    /// Gives granules back to the claim. Nothing on the GPU may use them any more. INVALID_VALUE for anything but whole
    /// granules of this range.
    pub fn trim(&mut self, offset: u64, bytes: u64) -> Result<(), CUresult> {
        let end = offset
            .checked_add(bytes)
            .filter(|end| *end <= self.bytes)
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if !offset.is_multiple_of(self.granule) || !bytes.is_multiple_of(self.granule) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        for at in (offset / self.granule) as usize..(end / self.granule) as usize {
            if self.granules[at] != 0 {
                self.unmap_one(at);
                self.ledger.release(self.granule);
            }
        }
        Ok(())
    }

    /// Whether all of `bytes` at `address` was granted.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        let Some(offset) = address.checked_sub(self.base) else {
            return false;
        };
        let Some(end) = offset.checked_add(bytes).filter(|end| *end <= self.bytes) else {
            return false;
        };
        let run = (offset / self.granule) as usize..end.div_ceil(self.granule) as usize;
        self.granules
            .get(run)
            .is_some_and(|run| run.iter().all(|it| *it != 0))
    }

    /// What was granted, in bytes.
    pub fn granted_bytes(&self) -> u64 {
        self.granules.iter().filter(|it| **it != 0).count() as u64 * self.granule
    }
}

/// Whether the CPU reaches device memory at its device address: what the driver answers for the host's pointer.
fn is_host_accessible(driver: &Driver, address: u64) -> bool {
    let mut host: u64 = 0;
    // SAFETY: the result has the size of a pointer, as the attribute asks.
    let asked = unsafe {
        (driver.cuPointerGetAttribute)(
            (&raw mut host).cast(),
            CU_POINTER_ATTRIBUTE_HOST_POINTER,
            address,
        )
    };
    asked == CUDA_SUCCESS && host == address
}
