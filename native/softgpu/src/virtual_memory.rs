//! Virtual memory management: address space, physical memory, and the one mapped into the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_cuda::*;

use crate::driver::Device;
use crate::free_list::FreeList;
use crate::handle_table::Table;
use crate::memory::{pointer, reserve_at, settle};
use crate::outcome::{Outcome, require};
use crate::settings::DEVICES_MAX;
use crate::space::{self, Kind, Range};
use crate::state::Row;

/// Sizes and addresses are multiples of this.
pub const GRANULARITY: u64 = 2 << 20;
/// Where reservations without a wish begin: clear of the arenas, and of all that Linux maps by itself, so that the
/// same range is likely free in another process too.
const CANDIDATES: u64 = 0x4000_0000_0000;
const CANDIDATES_END: u64 = 0x5000_0000_0000;
const TRIES: usize = 64;

pub static PHYSICAL: Table<Physical> = Table::new(4);

/// Physical memory of a device. It goes when its last handle is released and its last mapping ended.
pub struct Physical {
    pub device: &'static Device,
    row: Row,
    pub size: u64,
    offset: u64,
    handles: AtomicU32,
    mappings: AtomicU32,
}

struct Store {
    file: File,
    free: FreeList,
}

static STORES: [Mutex<Option<Store>>; DEVICES_MAX] = [const { Mutex::new(None) }; DEVICES_MAX];
/// Reservations: size by first address.
static RESERVED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(CANDIDATES);

fn reserved() -> MutexGuard<'static, BTreeMap<u64, u64>> {
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_granular(number: u64) -> bool {
    number.is_multiple_of(GRANULARITY)
}

/// Reserves address space, at `wanted` where that is free.
pub fn reserve(size: u64, alignment: u64, wanted: u64) -> Outcome<u64> {
    require(size != 0 && is_granular(size) && (alignment == 0 || alignment.is_power_of_two()))?;
    let alignment = alignment.max(GRANULARITY);
    let exact = if wanted != 0 && wanted.is_multiple_of(alignment) {
        reserve_at(wanted, size)
    } else {
        None
    };
    let start = exact
        .or_else(|| reserve_candidate(size, alignment))
        .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    reserved().insert(start, size);
    Ok(start)
}

fn reserve_candidate(size: u64, alignment: u64) -> Option<u64> {
    (0..TRIES).find_map(|_| {
        let step = size.checked_add(alignment)?.checked_add(1 << 30)?;
        let start = NEXT
            .fetch_add(step, Relaxed)
            .checked_next_multiple_of(alignment)?;
        if start
            .checked_add(size)
            .is_none_or(|end| end > CANDIDATES_END)
        {
            NEXT.store(CANDIDATES, Relaxed);
            return None;
        }
        reserve_at(start, size)
    })
}

/// Gives a whole reservation back; nothing may be mapped in it.
pub fn unreserve(start: u64, size: u64) -> Outcome {
    let mut reserved = reserved();
    require(reserved.get(&start) == Some(&size) && !space::overlaps(&space::read(), start, size))?;
    reserved.remove(&start);
    // SAFETY: the reservation was made by `reserve`, and nothing is mapped in it.
    unsafe { libc::munmap(pointer(start), size as usize) };
    Ok(())
}

/// Makes physical memory on a device.
pub fn create(device: &'static Device, size: u64) -> Outcome<usize> {
    require(size != 0 && is_granular(size))?;
    device.check()?;
    let row = device.enter()?;
    if !device.shared.take_memory(row, size) {
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    }
    let offset = with_store(device, |store| store.free.take(size));
    let made = offset.and_then(|offset| {
        PHYSICAL.insert(|_| Physical {
            device,
            row,
            size,
            offset,
            handles: AtomicU32::new(1),
            mappings: AtomicU32::new(0),
        })
    });
    match made {
        Some((handle, _)) => Ok(handle),
        None => {
            device.shared.give_memory(row, size);
            Err(CUDA_ERROR_OUT_OF_MEMORY)
        }
    }
}

/// The physical memory of a live handle.
pub fn find(handle: u64) -> Outcome<&'static Physical> {
    PHYSICAL
        .get(handle as usize)
        .ok_or(CUDA_ERROR_INVALID_VALUE)
}

/// Adds a use to a handle (cuMemRetainAllocationHandle), by an address that it is mapped at.
pub fn retain_at(address: u64) -> Outcome<u64> {
    let range = space::find(&space::read(), address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let Kind::Mapping { physical } = range.kind else {
        return Err(CUDA_ERROR_INVALID_VALUE);
    };
    let memory = PHYSICAL.get(physical).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    memory.handles.fetch_add(1, AcqRel);
    Ok(physical as u64)
}

/// Takes a use of a handle away.
pub fn release(handle: u64) -> Outcome {
    let memory = find(handle)?;
    let uses = memory
        .handles
        .fetch_update(AcqRel, Acquire, |uses| uses.checked_sub(1));
    require(uses.is_ok())?;
    drop_if_unused(handle as usize, memory);
    Ok(())
}

fn drop_if_unused(handle: usize, memory: &Physical) {
    if memory.handles.load(Acquire) != 0
        || memory.mappings.load(Acquire) != 0
        || PHYSICAL.remove(handle).is_none()
    {
        return;
    }
    with_store(memory.device, |store| {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (offset, size) = (memory.offset as libc::off_t, memory.size as libc::off_t);
        // SAFETY: an open descriptor. Whoever gets the bytes next finds zeros.
        let punched = unsafe { libc::fallocate(store.file.as_raw_fd(), mode, offset, size) == 0 };
        // Bytes that could not be zeroed are never given out again.
        if punched {
            store.free.give(memory.offset, memory.size);
        }
        Some(())
    });
    memory.device.shared.give_memory(memory.row, memory.size);
}

/// Maps the first `size` bytes of physical memory at a reserved address. Nobody may touch it before `set_access`.
pub fn map(start: u64, size: u64, handle: u64, context: usize) -> Outcome {
    require(size != 0 && is_granular(size) && is_granular(start))?;
    let memory = find(handle)?;
    require(memory.handles.load(Acquire) != 0 && size <= memory.size && is_reserved(start, size))?;
    let mut ranges = space::write();
    require(!space::overlaps(&ranges, start, size))?;
    let mapped = with_store(memory.device, |store| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let (fd, offset) = (store.file.as_raw_fd(), memory.offset as libc::off_t);
        // SAFETY: replaces a part of a reservation of this driver in which nothing is mapped.
        let got =
            unsafe { libc::mmap(pointer(start), size as usize, protection, flags, fd, offset) };
        // SAFETY: the mapping that was just made; the advice may be refused.
        unsafe { libc::madvise(pointer(start), size as usize, libc::MADV_HUGEPAGE) };
        (got != libc::MAP_FAILED).then_some(())
    });
    mapped.ok_or(CUDA_ERROR_MAP_FAILED)?;
    memory.mappings.fetch_add(1, AcqRel);
    let range = Range {
        start,
        size,
        kind: Kind::Mapping {
            physical: handle as usize,
        },
        device: memory.device.index,
        context,
        readable: false,
        writable: false,
        id: space::next_id(),
    };
    ranges.insert(start, range);
    Ok(())
}

/// Ends all mappings in a range that begins and ends with mappings.
pub fn unmap(start: u64, size: u64) -> Outcome {
    require(size != 0 && is_granular(size) && is_granular(start))?;
    let owners: Vec<usize> = whole(start, size)?
        .iter()
        .map(|range| range.context)
        .collect();
    owners.into_iter().for_each(settle);
    let mut ranges = space::write();
    let ended: Vec<Range> = ranges
        .range(start..start + size)
        .map(|(_, range)| *range)
        .collect();
    for range in &ended {
        ranges.remove(&range.start);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: replaces a mapping of this driver. What comes instead can be touched, so that a copy that races
        // with this call, which is the program's error, ends in zeros and not in a signal.
        unsafe {
            libc::mmap(
                pointer(range.start),
                range.size as usize,
                protection,
                flags,
                -1,
                0,
            )
        };
    }
    drop(ranges);
    for range in ended {
        if let Kind::Mapping { physical } = range.kind
            && let Some(memory) = PHYSICAL.get(physical)
        {
            memory.mappings.fetch_sub(1, AcqRel);
            drop_if_unused(physical, memory);
        }
    }
    Ok(())
}

/// Sets who may touch all mappings in a range that begins and ends with mappings.
pub fn set_access(start: u64, size: u64, device: usize, readable: bool, writable: bool) -> Outcome {
    require(size != 0)?;
    let inside = whole(start, size)?;
    let own = |range: &&Range| range.device == device;
    if inside.iter().filter(own).count() != inside.len() {
        // Access by another device would need peer access, which software GPUs do not have.
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    let mut ranges = space::write();
    for range in ranges
        .range_mut(start..start + size)
        .map(|(_, range)| range)
    {
        (range.readable, range.writable) = (readable, writable);
    }
    Ok(())
}

/// The mappings in a range, if they fill it exactly.
fn whole(start: u64, size: u64) -> Outcome<Vec<Range>> {
    let end = start.checked_add(size).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let ranges = space::read();
    let inside: Vec<Range> = ranges.range(start..end).map(|(_, range)| *range).collect();
    let mut next = start;
    for range in &inside {
        require(range.start == next && matches!(range.kind, Kind::Mapping { .. }))?;
        next = range.end();
    }
    require(next == end)?;
    Ok(inside)
}

fn is_reserved(start: u64, size: u64) -> bool {
    let reserved = reserved();
    let before = reserved.range(..=start).next_back();
    let end = start.checked_add(size);
    before.is_some_and(|(first, length)| end.is_some_and(|end| end <= first + length))
}

fn with_store<T>(device: &Device, use_it: impl FnOnce(&mut Store) -> Option<T>) -> Option<T> {
    let mut store = STORES
        .get(device.index)?
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if store.is_none() {
        *store = Store::make(device.memory_bytes);
    }
    use_it(store.as_mut()?)
}

impl Store {
    /// Offsets are four times the memory, against fragmentation: the file is sparse and the account is what runs out.
    fn make(memory_bytes: u64) -> Option<Store> {
        let size = (memory_bytes * 4).next_multiple_of(GRANULARITY);
        // SAFETY: a constant, terminated name.
        let descriptor =
            unsafe { libc::memfd_create(c"softgpu-memory".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return None;
        }
        // SAFETY: the descriptor was just made and is owned by nobody else.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        file.set_len(size).ok()?;
        Some(Store {
            file,
            free: FreeList::new(0, size),
        })
    }
}
