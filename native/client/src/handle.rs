//! Handles that programs hold. One is made of a class, a generation and an id, so that a stale or foreign one is told from a
//! living one without asking anybody, and never read through.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Handles of one class that can live at once: what a worker keeps.
const MAX_HANDLES: usize = 65_536;
const CHUNK: usize = 1024;
const LIVE: u32 = 1 << 31;
const GENERATIONS: u32 = 0xff_ffff;

/// A handle class: the top byte of its handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    Context = 0x51,
    Stream = 0x52,
    Event = 0x53,
    Module = 0x54,
    Library = 0x55,
    Function = 0x56,
    Memory = 0x57,
}

/// What lives under a handle: readable for ever once made, so that a race of the program cannot become one of ours.
pub struct Table<T: 'static> {
    class: Class,
    chunks: [AtomicPtr<Chunk<T>>; MAX_HANDLES / CHUNK],
    ids: Mutex<Ids>,
}

type Chunk<T> = [Slot<T>; CHUNK];

struct Slot<T> {
    /// LIVE and the generation.
    state: AtomicU32,
    value: AtomicPtr<T>,
}

struct Ids {
    /// Ids to be used again, the longest unused first.
    free: VecDeque<u32>,
    next: u32,
}

/// An id, as the worker knows it, and the handle, as the program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub id: u32,
    pub handle: u64,
}

impl<T> Table<T> {
    /// A table whose ids begin at `first`.
    pub const fn new(class: Class, first: u32) -> Self {
        Self {
            class,
            chunks: [const { AtomicPtr::new(std::ptr::null_mut()) }; MAX_HANDLES / CHUNK],
            ids: Mutex::new(Ids {
                free: VecDeque::new(),
                next: first,
            }),
        }
    }

    /// Makes a living entry. `make` gets its name and, where the id was used before, the entry that had it: it may be set anew
    /// and given back instead of a fresh one, which is how entries that come and go often take no more memory. None when all
    /// handles are in use.
    pub fn insert(
        &self,
        make: impl FnOnce(Name, Option<&'static T>) -> &'static T,
    ) -> Option<(Name, &'static T)> {
        let id = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            match ids.free.pop_front() {
                Some(id) => id,
                None if (ids.next as usize) < MAX_HANDLES => {
                    ids.next += 1;
                    ids.next - 1
                }
                None => return None,
            }
        };
        self.insert_at(id, make)
    }

    /// As `insert`, at an id below the first one.
    pub fn insert_at(
        &self,
        id: u32,
        make: impl FnOnce(Name, Option<&'static T>) -> &'static T,
    ) -> Option<(Name, &'static T)> {
        let slot = self.slot_or_new(id)?;
        let generation = (slot.state.load(Ordering::Relaxed) + 1) & GENERATIONS;
        let name = Name {
            id,
            handle: self.handle(id, generation),
        };
        // SAFETY: the pointer is null or was made from a `&'static T` below.
        let value = make(name, unsafe { slot.value.load(Ordering::Acquire).as_ref() });
        slot.value
            .store(std::ptr::from_ref(value).cast_mut(), Ordering::Release);
        slot.state.store(LIVE | generation, Ordering::Release);
        Some((name, value))
    }

    /// The living entry of a handle.
    #[inline]
    pub fn get(&self, handle: u64) -> Option<(u32, &'static T)> {
        if handle >> 56 != self.class as u64 {
            return None;
        }
        let id = handle as u32;
        let slot = self.slot(id)?;
        let generation = (handle >> 32) as u32 & GENERATIONS;
        if slot.state.load(Ordering::Acquire) != LIVE | generation {
            return None;
        }
        // SAFETY: a live slot holds a pointer made from a `&'static T`.
        unsafe { slot.value.load(Ordering::Acquire).as_ref() }.map(|value| (id, value))
    }

    /// Ends an entry: true for exactly one caller.
    pub fn remove(&self, handle: u64) -> Option<(u32, &'static T)> {
        let (id, value) = self.get(handle)?;
        let generation = (handle >> 32) as u32 & GENERATIONS;
        let slot = self.slot(id)?;
        let ended = slot.state.compare_exchange(
            LIVE | generation,
            generation,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        ended.ok()?;
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.free.push_back(id);
        Some((id, value))
    }

    /// Puts another value under a living name.
    pub fn replace(&self, name: Name, value: &'static T) {
        if let Some(slot) = self
            .slot(name.id)
            .filter(|_| self.get(name.handle).is_some())
        {
            slot.value
                .store(std::ptr::from_ref(value).cast_mut(), Ordering::Release);
        }
    }

    /// Every living entry.
    pub fn living(&self) -> Vec<(Name, &'static T)> {
        let next = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next;
        (0..next)
            .filter_map(|id| {
                let state = self.slot(id)?.state.load(Ordering::Acquire);
                let handle = self.handle(id, state & GENERATIONS);
                self.get(handle)
                    .map(|(id, value)| (Name { id, handle }, value))
            })
            .collect()
    }

    fn handle(&self, id: u32, generation: u32) -> u64 {
        (self.class as u64) << 56 | u64::from(generation) << 32 | u64::from(id)
    }

    #[inline]
    fn slot(&self, id: u32) -> Option<&Slot<T>> {
        let chunk = self
            .chunks
            .get(id as usize / CHUNK)?
            .load(Ordering::Acquire);
        // SAFETY: null or a leaked chunk.
        unsafe { chunk.as_ref() }.map(|chunk| &chunk[id as usize % CHUNK])
    }

    fn slot_or_new(&self, id: u32) -> Option<&Slot<T>> {
        let place = self.chunks.get(id as usize / CHUNK)?;
        if place.load(Ordering::Acquire).is_null() {
            let fresh = || Slot {
                state: AtomicU32::new(0),
                value: AtomicPtr::new(std::ptr::null_mut()),
            };
            let chunk = Box::into_raw(Box::new(std::array::from_fn(|_| fresh())));
            let raced = place.compare_exchange(
                std::ptr::null_mut(),
                chunk,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if raced.is_err() {
                // SAFETY: nobody else saw this chunk.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
        self.slot(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(value: u32) -> impl FnOnce(Name, Option<&'static u32>) -> &'static u32 {
        move |_, _| Box::leak(Box::new(value))
    }

    #[test]
    fn a_stale_handle_is_not_the_one_that_took_its_id() {
        static TABLE: Table<u32> = Table::new(Class::Event, MAX_HANDLES as u32 - 1);
        let (first, _) = TABLE.insert(fresh(7)).expect("room");
        assert_eq!(TABLE.get(first.handle), Some((first.id, &7)));
        assert!(TABLE.insert(fresh(8)).is_none(), "every id is in use");
        assert!(TABLE.remove(first.handle).is_some());
        assert!(TABLE.remove(first.handle).is_none());
        let (second, _) = TABLE.insert(fresh(9)).expect("room again");
        assert_eq!(second.id, first.id);
        assert_eq!(TABLE.get(first.handle), None);
        assert_eq!(TABLE.get(second.handle), Some((second.id, &9)));
    }

    #[test]
    fn what_is_not_a_handle_of_the_class_is_refused() {
        static TABLE: Table<u32> = Table::new(Class::Event, 3);
        let (name, _) = TABLE.insert(fresh(1)).expect("room");
        for foreign in [
            0,
            1,
            2,
            u64::MAX,
            name.handle ^ 1 << 56,
            name.handle + 1,
            name.handle + (1 << 32),
        ] {
            assert_eq!(TABLE.get(foreign), None, "{foreign:#x}");
        }
    }
}
