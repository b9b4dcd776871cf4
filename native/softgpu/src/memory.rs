//! Device memory from cuMemAlloc: parts of one arena per device, in address space that only this driver uses.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_cuda::*;

use crate::context::{self, Context};
use crate::free_list::FreeList;
use crate::outcome::{Outcome, require};
use crate::settings::DEVICES_MAX;
use crate::space::{self, Kind, Range};

/// Allocations begin at, and are accounted in, multiples of this.
pub const ALIGNMENT: u64 = 512;
/// Device n's arena lies at `ARENAS + n * ARENA_STRIDE`: low enough to be clear of everything that Linux maps by
/// itself, high enough to be clear of programs that take fixed low addresses.
const ARENAS: u64 = 0x3000_0000_0000;
const ARENA_STRIDE: u64 = 1 << 40;
/// Address space is made usable in steps of this size.
const OPEN_STEP: u64 = 64 << 20;
/// Freed parts at least this large are given back to the system.
const RETURN_MIN: u64 = 128 << 10;
const PAGE: u64 = 4096;

struct Arena {
    free: FreeList,
    /// Up to here the addresses are readable and writable; they stay so, and a late access finds zeros, not a fault.
    open: u64,
    end: u64,
    /// Accounted size of each allocation by its address.
    sizes: BTreeMap<u64, u64>,
}

static ARENA: [Mutex<Option<Arena>>; DEVICES_MAX] = [const { Mutex::new(None) }; DEVICES_MAX];

/// Takes `size` bytes of a context's device.
pub fn allocate(context: &Context, size: u64) -> Outcome<u64> {
    require(size != 0)?;
    let rounded = size
        .checked_next_multiple_of(ALIGNMENT)
        .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    let shared = &context.device.shared;
    if !shared.take_memory(context.row, rounded) {
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    }
    let Some(start) = place(context, rounded) else {
        shared.give_memory(context.row, rounded);
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    };
    let range = Range {
        start,
        size,
        kind: Kind::Device,
        device: context.device.index,
        context: context.handle,
        readable: true,
        writable: true,
        id: space::next_id(),
    };
    space::write().insert(start, range);
    Ok(start)
}

/// Gives an allocation back, after all work of its context.
pub fn free(address: u64) -> Outcome {
    let range = *space::read()
        .get(&address)
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    require(range.kind == Kind::Device)?;
    settle(range.context);
    discard(address, range.id)
}

/// Gives an allocation back at once: nothing that is in flight may use it.
pub fn discard(address: u64, id: u64) -> Outcome {
    let range = space::write().remove(&address).filter(|now| now.id == id);
    let range = range.ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let owner = context::CONTEXTS.get(range.context);
    release(&range, owner);
    Ok(())
}

/// Waits for the work of a context, so that nothing in flight uses what is about to go.
pub fn settle(owner: usize) {
    if let Some(context) = context::CONTEXTS.get(owner) {
        context::quiesce(context.device, &[context]);
    }
    if let Some(current) = context::top() {
        context::quiesce(current.device, &[current]);
    }
}

/// Gives back all that belongs to a context.
pub fn free_all_of(context: &Context) {
    let mut ranges = space::write();
    let own: Vec<Range> = ranges
        .values()
        .filter(|range| range.context == context.handle)
        .copied()
        .collect();
    for range in &own {
        if range.kind == Kind::Device {
            ranges.remove(&range.start);
        }
    }
    drop(ranges);
    for range in own.iter().filter(|range| range.kind == Kind::Device) {
        release(range, Some(context));
    }
    for range in own.iter().filter(|range| range.is_host()) {
        let _ = crate::host_memory::release(range);
    }
}

fn release(range: &Range, owner: Option<&Context>) {
    let mut arena = arena(range.device);
    let Some(arena) = arena.as_mut() else { return };
    let Some(rounded) = arena.sizes.remove(&range.start) else {
        return;
    };
    if rounded >= RETURN_MIN {
        let (start, end) = (
            range.start.next_multiple_of(PAGE),
            (range.start + rounded) / PAGE * PAGE,
        );
        // SAFETY: whole pages inside an allocation of the arena that nobody uses any more; they become zeros.
        unsafe { libc::madvise(pointer(start), (end - start) as usize, libc::MADV_DONTNEED) };
    }
    arena.free.give(range.start, rounded);
    if let Some(context) = owner {
        context.device.shared.give_memory(context.row, rounded);
    }
}

fn place(context: &Context, size: u64) -> Option<u64> {
    let mut slot = arena(context.device.index);
    if slot.is_none() {
        *slot = Arena::reserve(context.device.index, context.device.memory_bytes);
    }
    let arena = slot.as_mut()?;
    let start = arena.free.take(size)?;
    if !arena.open_up_to(start + size) {
        arena.free.give(start, size);
        return None;
    }
    arena.sizes.insert(start, size);
    Some(start)
}

fn arena(device: usize) -> MutexGuard<'static, Option<Arena>> {
    let slot = ARENA.get(device).unwrap_or(&ARENA[0]);
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arena {
    /// Twice the memory of the device, against fragmentation: the account, not the arena, is what runs out.
    fn reserve(device: usize, memory_bytes: u64) -> Option<Arena> {
        let size = (memory_bytes * 2)
            .next_multiple_of(OPEN_STEP)
            .min(ARENA_STRIDE);
        let wanted = ARENAS + device as u64 * ARENA_STRIDE;
        let start = reserve_at(wanted, size).or_else(|| reserve_at(0, size))?;
        Some(Arena {
            free: FreeList::new(start, start + size),
            open: start,
            end: start + size,
            sizes: BTreeMap::new(),
        })
    }

    fn open_up_to(&mut self, address: u64) -> bool {
        if address <= self.open {
            return true;
        }
        let until = address.next_multiple_of(OPEN_STEP).min(self.end);
        let size = (until - self.open) as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a part of the arena's own reservation.
        let opened = unsafe { libc::mprotect(pointer(self.open), size, protection) == 0 };
        if opened {
            self.open = until;
        }
        opened
    }
}

/// Reserves address space: exactly at `address`, or where the system likes for 0.
pub fn reserve_at(address: u64, size: u64) -> Option<u64> {
    let fixed = if address == 0 {
        0
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe {
        libc::mmap(
            pointer(address),
            size as usize,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        return None;
    }
    let got = got.addr() as u64;
    if address != 0 && got != address {
        // A kernel before 4.17 takes the address for a hint.
        // SAFETY: the mapping that was just made.
        unsafe { libc::munmap(pointer(got), size as usize) };
        return None;
    }
    Some(got)
}

/// The pointer to an address that may be touched by host code too.
pub fn pointer<T>(address: u64) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address as usize)
}
