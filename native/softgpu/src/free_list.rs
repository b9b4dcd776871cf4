//! Which parts of a range are free: best fit, neighbours joined.

use std::collections::{BTreeMap, BTreeSet};

/// The free parts of `[start, end)`.
pub struct FreeList {
    by_start: BTreeMap<u64, u64>,
    by_size: BTreeSet<(u64, u64)>,
}

impl FreeList {
    pub fn new(start: u64, end: u64) -> FreeList {
        let mut list = FreeList {
            by_start: BTreeMap::new(),
            by_size: BTreeSet::new(),
        };
        list.add(start, end - start);
        list
    }

    /// Takes `size` bytes (not 0) from the smallest part that has them, the lowest among equals.
    pub fn take(&mut self, size: u64) -> Option<u64> {
        let &(found, start) = self.by_size.range((size, 0)..).next()?;
        self.remove(start, found);
        if found > size {
            self.add(start + size, found - size);
        }
        Some(start)
    }

    /// Gives back what `take` gave.
    pub fn give(&mut self, mut start: u64, mut size: u64) {
        if let Some((&before, &length)) = self.by_start.range(..start).next_back()
            && before + length == start
        {
            self.remove(before, length);
            (start, size) = (before, size + length);
        }
        if let Some(&length) = self.by_start.get(&(start + size)) {
            self.remove(start + size, length);
            size += length;
        }
        self.add(start, size);
    }

    fn add(&mut self, start: u64, size: u64) {
        self.by_start.insert(start, size);
        self.by_size.insert((size, start));
    }

    fn remove(&mut self, start: u64, size: u64) {
        self.by_start.remove(&start);
        self.by_size.remove(&(size, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_does_not_overlap_and_comes_back_whole() {
        let mut list = FreeList::new(4096, 4096 + 100_000);
        let mut seed = 12345u64;
        let mut held: Vec<(u64, u64)> = Vec::new();
        for _ in 0..20_000 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            if seed >> 63 == 0 {
                let size = 512 * (1 + (seed >> 33) % 8);
                if let Some(start) = list.take(size) {
                    assert!(start >= 4096 && start + size <= 104_096);
                    assert!(
                        held.iter().all(
                            |(other, length)| start + size <= *other || other + length <= start
                        )
                    );
                    held.push((start, size));
                }
            } else if !held.is_empty() {
                let (start, size) = held.swap_remove((seed >> 33) as usize % held.len());
                list.give(start, size);
            }
        }
        for (start, size) in held {
            list.give(start, size);
        }
        assert_eq!(list.take(100_000), Some(4096));
        assert_eq!(list.take(1), None);
    }
}
