//! The address map: every range that device code or a copy may touch, and what it is.
//!
//! Device addresses are host addresses, so this map is the only thing between a wrong address and a crash.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From cuMemAlloc, or a module's global.
    Device,
    /// Physical memory (by handle) mapped at a reserved address.
    Mapping { physical: usize },
    /// Host memory that the driver made, with its flags.
    Host { flags: u32 },
    /// Host memory that the program registered, with its flags.
    Registered { flags: u32 },
}

/// One range.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: u64,
    /// Bytes that may be touched.
    pub size: u64,
    pub kind: Kind,
    pub device: usize,
    /// Handle of the context that it belongs to.
    pub context: usize,
    pub readable: bool,
    pub writable: bool,
    /// Unique over the life of the process.
    pub id: u64,
}

impl Range {
    pub fn end(&self) -> u64 {
        self.start + self.size
    }

    pub fn is_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. } | Kind::Registered { .. })
    }
}

static RANGES: RwLock<BTreeMap<u64, Range>> = RwLock::new(BTreeMap::new());
static CHANGES: AtomicU64 = AtomicU64::new(0);
static IDS: AtomicU64 = AtomicU64::new(1);

/// A number for a new range.
pub fn next_id() -> u64 {
    IDS.fetch_add(1, Relaxed)
}

/// The map, to be read.
pub fn read() -> RwLockReadGuard<'static, BTreeMap<u64, Range>> {
    RANGES.read().unwrap_or_else(PoisonError::into_inner)
}

/// The map, to be changed.
pub fn write() -> RwLockWriteGuard<'static, BTreeMap<u64, Range>> {
    let guard = RANGES.write().unwrap_or_else(PoisonError::into_inner);
    CHANGES.fetch_add(1, Release);
    guard
}

/// The range that an address lies in.
pub fn find(ranges: &BTreeMap<u64, Range>, address: u64) -> Option<Range> {
    let (_, range) = ranges.range(..=address).next_back()?;
    (address - range.start < range.size).then_some(*range)
}

/// True if `[start, start + size)` overlaps a range.
pub fn overlaps(ranges: &BTreeMap<u64, Range>, start: u64, size: u64) -> bool {
    let end = start.saturating_add(size);
    ranges
        .range(..end)
        .next_back()
        .is_some_and(|(_, range)| range.end() > start)
}

/// True if all of `[address, address + size)` may be touched. A mapping may go on in the mapping after it; an
/// allocation may not go on in the one that happens to lie behind it.
pub fn covers(address: u64, size: u64, write: bool) -> bool {
    let ranges = read();
    let Some(end) = address.checked_add(size) else {
        return false;
    };
    let Some(first) = find(&ranges, address) else {
        return false;
    };
    let mut range = first;
    loop {
        if !range.readable || write && !range.writable {
            return false;
        }
        if range.end() >= end {
            return true;
        }
        match ranges.get(&range.end()) {
            Some(next) if joined(&range, next) => range = *next,
            _ => return false,
        }
    }
}

fn joined(range: &Range, next: &Range) -> bool {
    let mapped = |range: &Range| matches!(range.kind, Kind::Mapping { .. });
    mapped(range) && mapped(next)
}

/// What kernels of one device may touch, as it is now: sorted, joined where mappings touch.
pub struct View {
    changes: u64,
    windows: Vec<Window>,
}

/// One stretch of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: u64,
    pub end: u64,
    pub writable: bool,
}

impl View {
    /// The present view of a device, made anew only where the map has changed.
    pub fn of(device: usize) -> Arc<View> {
        static LAST: Mutex<Vec<Option<Arc<View>>>> = Mutex::new(Vec::new());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() <= device {
            last.resize(device + 1, None);
        }
        let changes = CHANGES.load(Acquire);
        if let Some(view) = last
            .get(device)
            .and_then(Option::as_ref)
            .filter(|view| view.changes == changes)
        {
            return Arc::clone(view);
        }
        let view = Arc::new(View::build(device));
        if let Some(slot) = last.get_mut(device) {
            *slot = Some(Arc::clone(&view));
        }
        view
    }

    fn build(device: usize) -> View {
        let ranges = read();
        let mut windows: Vec<Window> = Vec::new();
        let mut before: Option<&Range> = None;
        for range in ranges
            .values()
            .filter(|range| range.readable && (range.device == device || range.is_host()))
        {
            match windows.last_mut().zip(before) {
                Some((window, last))
                    if window.end == range.start
                        && window.writable == range.writable
                        && joined(last, range) =>
                {
                    window.end = range.end();
                }
                _ => windows.push(Window {
                    start: range.start,
                    end: range.end(),
                    writable: range.writable,
                }),
            }
            before = Some(range);
        }
        View {
            changes: CHANGES.load(Acquire),
            windows,
        }
    }

    /// The window that an address lies in.
    pub fn window(&self, address: u64) -> Option<Window> {
        let after = self
            .windows
            .partition_point(|window| window.start <= address);
        let window = self.windows.get(after.checked_sub(1)?)?;
        (address < window.end).then_some(*window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(start: u64, size: u64, kind: Kind, device: usize) {
        let range = Range {
            start,
            size,
            kind,
            device,
            context: 0,
            readable: true,
            writable: true,
            id: next_id(),
        };
        write().insert(start, range);
    }

    #[test]
    fn only_what_is_covered_may_be_touched() {
        let mapping = Kind::Mapping { physical: 1 };
        put(0x1000, 0x100, Kind::Device, 7);
        put(0x1100, 0x100, Kind::Device, 7);
        put(0x2000, 0x1000, mapping, 7);
        put(0x3000, 0x1000, mapping, 7);
        put(0x4000, 0x1000, Kind::Host { flags: 0 }, 3);
        assert!(covers(0x1000, 0x100, true) && covers(0x10ff, 1, true));
        assert!(!covers(0x10ff, 2, true), "a neighbour is not one's own");
        assert!(covers(0x2fff, 2, true), "mappings join");
        assert!(!covers(0x3fff, 2, true) && !covers(0xfff, 1, false));
        assert!(!covers(u64::MAX, 2, false) && !covers(0x1000, u64::MAX, false));
        assert!(overlaps(&read(), 0x3fff, 1) && !overlaps(&read(), 0x5000, 0x1000));
        let view = View::of(7);
        assert_eq!(
            view.window(0x2800),
            Some(Window {
                start: 0x2000,
                end: 0x4000,
                writable: true
            })
        );
        assert_eq!(view.window(0x4000).map(|window| window.end), Some(0x5000));
        assert_eq!(view.window(0x1200), None);
        assert_eq!(View::of(8).window(0x1000), None);
        write().remove(&0x1000);
        assert_eq!(View::of(7).window(0x1000), None);
    }
}
