//! Handles that can be checked: a number with kind, generation and index instead of an address.
//!
//! A look-up takes no lock and is a few loads. Objects are never freed, so that a look-up that races with a destroy
//! reads valid memory; kinds that programs make and destroy without end (streams, events) are made of former ones.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*};
use std::sync::{Mutex, MutexGuard, PoisonError};

const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = 20; // 64 * (2^20 - 1) objects
const INDEX_BITS: u32 = 27;
const GENERATION_BITS: u32 = 24;

struct Entry<T> {
    generation: AtomicU32,
    object: AtomicPtr<T>,
}

struct Free<T: 'static> {
    used: usize,
    /// Indexes that were released, with the object that was there.
    released: Vec<(usize, &'static T)>,
}

/// All objects of one kind.
pub struct Table<T: 'static> {
    kind: u64,
    chunks: [AtomicPtr<Entry<T>>; CHUNKS],
    free: Mutex<Free<T>>,
}

impl<T: Send + Sync + 'static> Table<T> {
    /// A table whose handles carry `kind` (1 to 15), so that a handle of another kind is not found in it.
    pub const fn new(kind: u64) -> Table<T> {
        Table {
            kind,
            chunks: [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS],
            free: Mutex::new(Free {
                used: 0,
                released: Vec::new(),
            }),
        }
    }

    /// Puts an object in; none when the table is full. `make` gets the handle. The object is kept for ever.
    pub fn insert(&'static self, make: impl FnOnce(usize) -> T) -> Option<(usize, &'static T)> {
        self.insert_or_reuse(make, |_, _| false)
    }

    /// As `insert`, but first offers a released object to `reuse`, which makes it as new and says whether it could.
    pub fn insert_or_reuse(
        &'static self,
        make: impl FnOnce(usize) -> T,
        reuse: impl FnOnce(&'static T, usize) -> bool,
    ) -> Option<(usize, &'static T)> {
        let mut free = self.free();
        let (index, former) = match free.released.pop() {
            Some((index, object)) => (index, Some(object)),
            None => {
                if free.used >> INDEX_BITS != 0 {
                    return None;
                }
                free.used += 1;
                (free.used - 1, None)
            }
        };
        drop(free);
        let entry = self.entry_or_grow(index)?;
        let generation = entry.generation.load(Relaxed);
        let handle = self.encode(index, generation | 1);
        let object: &'static T = match former {
            Some(object) if reuse(object, handle) => object,
            _ => Box::leak(Box::new(make(handle))),
        };
        entry
            .object
            .store(std::ptr::from_ref(object).cast_mut(), Release);
        entry.generation.store(generation | 1, Release);
        Some((handle, object))
    }

    /// The object of a live handle.
    #[inline]
    pub fn get(&self, handle: usize) -> Option<&'static T> {
        let (index, generation) = self.decode(handle)?;
        let entry = self.entry(index)?;
        if entry.generation.load(Acquire) != generation {
            return None;
        }
        // SAFETY: the generation was odd and equal, so the object was stored before; objects are never freed.
        unsafe { entry.object.load(Acquire).as_ref() }
    }

    /// Ends a handle. The first of several callers gets the object.
    pub fn remove(&self, handle: usize) -> Option<&'static T> {
        let (index, generation) = self.decode(handle)?;
        let entry = self.entry(index)?;
        // SAFETY: as in `get`.
        let object: &'static T = unsafe { entry.object.load(Acquire).as_ref() }?;
        let next = (generation + 1) & ((1 << GENERATION_BITS) - 1);
        entry
            .generation
            .compare_exchange(generation, next, AcqRel, Relaxed)
            .ok()?;
        self.free().released.push((index, object));
        Some(object)
    }

    fn free(&self) -> MutexGuard<'_, Free<T>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode(&self, index: usize, generation: u32) -> usize {
        ((self.kind as usize) << 55) | ((generation as usize) << 31) | (index << 4) | 8
    }

    #[inline]
    fn decode(&self, handle: usize) -> Option<(usize, u32)> {
        let generation = (handle >> 31) as u32 & ((1 << GENERATION_BITS) - 1);
        let plain = handle & 0xf == 8 && (handle >> 55) as u64 == self.kind && generation & 1 == 1;
        plain.then_some((handle >> 4 & ((1 << INDEX_BITS) - 1), generation))
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<&Entry<T>> {
        let (chunk, offset) = place(index);
        let start = self.chunks.get(chunk)?.load(Acquire);
        if start.is_null() {
            return None;
        }
        // SAFETY: a chunk that is not null has `FIRST_CHUNK << chunk` entries, `offset` is below that, and chunks
        // are never freed.
        Some(unsafe { &*start.add(offset) })
    }

    fn entry_or_grow(&self, index: usize) -> Option<&Entry<T>> {
        if let Some(entry) = self.entry(index) {
            return Some(entry);
        }
        let (chunk, _) = place(index);
        let empty = || Entry {
            generation: AtomicU32::new(0),
            object: AtomicPtr::new(std::ptr::null_mut()),
        };
        let fresh: Box<[Entry<T>]> = (0..FIRST_CHUNK << chunk).map(|_| empty()).collect();
        let fresh = Box::into_raw(fresh);
        let slot = self.chunks.get(chunk)?;
        if slot
            .compare_exchange(std::ptr::null_mut(), fresh.cast(), AcqRel, Acquire)
            .is_err()
        {
            // SAFETY: the box was just made and its address was given to nobody.
            drop(unsafe { Box::from_raw(fresh) });
        }
        self.entry(index)
    }
}

/// Chunk n holds FIRST_CHUNK << n entries.
#[inline]
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    static NUMBERS: Table<u64> = Table::new(3);
    static OTHERS: Table<u64> = Table::new(4);

    #[test]
    fn handles_find_their_object_until_removed() {
        let all: Vec<_> = (0..1000).map(|n| NUMBERS.insert(|_| n).unwrap()).collect();
        for (n, (handle, _)) in all.iter().enumerate() {
            assert_eq!(NUMBERS.get(*handle), Some(&(n as u64)));
            assert_eq!(OTHERS.get(*handle), None);
        }
        let (handle, _) = all[500];
        assert_eq!(NUMBERS.remove(handle), Some(&500));
        assert_eq!(NUMBERS.remove(handle), None);
        assert_eq!(NUMBERS.get(handle), None);
        let (next, object) = NUMBERS.insert_or_reuse(|_| 1, |_, _| true).unwrap();
        assert_eq!(*object, 500);
        assert_ne!(next, handle);
        assert_eq!(NUMBERS.get(handle), None);
    }

    #[test]
    fn numbers_that_are_no_handles_are_not_found() {
        for handle in [
            0,
            1,
            2,
            8,
            0xdead_beef,
            usize::MAX,
            1 << 63,
            3 << 55 | 8,
            3 << 55 | 1 << 31 | 0x7fff_fff8,
        ] {
            assert_eq!(OTHERS.get(handle), None, "{handle:#x}");
            assert_eq!(OTHERS.remove(handle), None, "{handle:#x}");
        }
    }

    #[test]
    fn places_are_dense() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(63), (0, 63));
        assert_eq!(place(64), (1, 0));
        assert_eq!(place(191), (1, 127));
        assert_eq!(place(192), (2, 0));
    }
}
