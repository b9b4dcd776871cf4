//! Places allocations in the memory that a vGPU was granted. Pure: knows offsets and sizes in bytes, nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// Every allocation begins at a multiple of this.
pub const ALIGNMENT: u64 = 256;
/// Allocations of at least this size begin at a multiple of it.
pub const LARGE: u64 = 2 << 20;

/// An allocation that was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub offset: u64,
    /// True when part of it was freed after the last quiet moment: work on what was there may not be over.
    pub reused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Free {
    bytes: u64,
    /// The moment at which the youngest part was freed; 0 for memory that was never used.
    freed_at: u64,
}

/// Free memory of one vGPU by place and by size. Best fit, so that large blocks stay whole.
#[derive(Debug, Default)]
pub struct Space {
    free: BTreeMap<u64, Free>,
    by_size: BTreeSet<(u64, u64)>,
    free_bytes: u64,
    /// Counts frees; a moment.
    moment: u64,
    quiet: u64,
}

/// The size that an allocation of `bytes` takes.
pub fn rounded(bytes: u64) -> Option<u64> {
    bytes.max(1).checked_next_multiple_of(ALIGNMENT)
}

impl Space {
    /// Adds granted memory: free, never used.
    pub fn grant(&mut self, offset: u64, bytes: u64) {
        self.add(offset, Free { bytes, freed_at: 0 });
    }

    /// Takes `bytes`, a multiple of ALIGNMENT; none when no free block holds them.
    pub fn take(&mut self, bytes: u64) -> Option<Placed> {
        let align = if bytes >= LARGE { LARGE } else { ALIGNMENT };
        // The smallest block that could do, or any that is large enough whatever its place.
        let fits =
            |&(size, start): &(u64, u64)| start.next_multiple_of(align) - start + bytes <= size;
        let (size, start) = *self.by_size.range((bytes, 0)..).find(|block| fits(block))?;
        let block = self.remove(start)?;
        let offset = start.next_multiple_of(align);
        let freed_at = block.freed_at;
        if offset > start {
            self.insert(
                start,
                Free {
                    bytes: offset - start,
                    freed_at,
                },
            );
        }
        if start + size > offset + bytes {
            self.insert(
                offset + bytes,
                Free {
                    bytes: start + size - offset - bytes,
                    freed_at,
                },
            );
        }
        Some(Placed {
            offset,
            reused: freed_at > self.quiet,
        })
    }

    /// Gives back what `take` placed.
    pub fn give(&mut self, offset: u64, bytes: u64) {
        self.moment += 1;
        self.add(
            offset,
            Free {
                bytes,
                freed_at: self.moment,
            },
        );
    }

    /// The present moment: to be handed to `quieten` once all work that was enqueued before it is known to be over.
    pub fn moment(&self) -> u64 {
        self.moment
    }

    /// All work of a moment is over: what was freed until then is as good as new.
    pub fn quieten(&mut self, moment: u64) {
        self.quiet = self.quiet.max(moment);
    }

    pub fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    /// Takes whole granules of free memory out, at most `bytes` in all, from the highest place down. They are no longer granted.
    pub fn trim(&mut self, granule: u64, bytes: u64) -> Vec<(u64, u64)> {
        let mut left = bytes / granule * granule;
        let mut trimmed = Vec::new();
        let blocks: Vec<(u64, Free)> = self
            .free
            .iter()
            .rev()
            .map(|(&start, &block)| (start, block))
            .collect();
        for (start, block) in blocks {
            let end = (start + block.bytes) / granule * granule;
            let begin = start
                .next_multiple_of(granule)
                .max(end.saturating_sub(left));
            if begin >= end || left == 0 {
                continue;
            }
            self.remove(start);
            if begin > start {
                self.insert(
                    start,
                    Free {
                        bytes: begin - start,
                        ..block
                    },
                );
            }
            if start + block.bytes > end {
                self.insert(
                    end,
                    Free {
                        bytes: start + block.bytes - end,
                        ..block
                    },
                );
            }
            left -= end - begin;
            trimmed.push((begin, end - begin));
        }
        trimmed
    }

    /// Adds a free block, joined with its neighbours.
    fn add(&mut self, mut start: u64, mut block: Free) {
        let before = self
            .free
            .range(..start)
            .next_back()
            .map(|(&at, &free)| (at, free));
        if let Some((at, free)) = before.filter(|(at, free)| at + free.bytes == start) {
            self.remove(at);
            start = at;
            block = Free {
                bytes: free.bytes + block.bytes,
                freed_at: free.freed_at.max(block.freed_at),
            };
        }
        if let Some(after) = self.remove(start + block.bytes) {
            block = Free {
                bytes: block.bytes + after.bytes,
                freed_at: block.freed_at.max(after.freed_at),
            };
        }
        self.insert(start, block);
    }

    fn insert(&mut self, start: u64, block: Free) {
        self.free.insert(start, block);
        self.by_size.insert((block.bytes, start));
        self.free_bytes += block.bytes;
    }

    fn remove(&mut self, start: u64) -> Option<Free> {
        let block = self.free.remove(&start)?;
        self.by_size.remove(&(block.bytes, start));
        self.free_bytes -= block.bytes;
        Some(block)
    }
}

#[cfg(test)]
#[path = "space_test.rs"]
mod tests;
