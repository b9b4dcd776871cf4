//! The bytes of a state file. Documented in the README; a change of meaning changes `VERSION`.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64};

pub const MAGIC: u64 = u64::from_le_bytes(*b"SOFTGPU1");
pub const VERSION: u32 = 1;
/// Processes that can have a context on one device at a time.
pub const ROWS: usize = 256;
pub const ROWS_OFFSET: usize = 4096;
pub const FILE_BYTES: usize = ROWS_OFFSET + ROWS * size_of::<RowLayout>();

#[repr(C)]
pub struct Header {
    pub magic: u64,
    pub version: u32,
    pub rows: u32,
    pub memory_total: AtomicU64,
    pub memory_used: AtomicU64,
    /// Time in which a kernel of any process ran, up to the end of the last kernel.
    pub busy_ns: AtomicU64,
    /// When the kernel that runs now began (CLOCK_MONOTONIC); 0: none runs.
    pub running_since_ns: AtomicU64,
    pub running_pid: AtomicU32,
    /// Threads of all processes that wait for the device's time.
    pub waiters: AtomicU32,
    /// Begin of the present utilization sample, busy time at that moment, and percent of the sample before.
    pub sample_start_ns: AtomicU64,
    pub sample_busy_ns: AtomicU64,
    pub sample_percent: AtomicU32,
    pub pad: u32,
    pub turns: AtomicU64,
    pub pad_to_locks: [u64; 5],
    /// Guards the rows and the memory account.
    pub book: UnsafeCell<libc::pthread_mutex_t>,
    pub pad_to_time: [u8; 64 - size_of::<libc::pthread_mutex_t>()],
    /// The device's time: held while a kernel runs.
    pub time: UnsafeCell<libc::pthread_mutex_t>,
}

#[repr(C)]
pub struct RowLayout {
    /// 0: free.
    pub pid: AtomicU32,
    pub waiting: AtomicU32,
    pub memory_bytes: AtomicU64,
    pub busy_ns: AtomicU64,
    pub launches: AtomicU64,
    pub started_ns: AtomicU64,
    pub reserved: [u64; 3],
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn offsets_are_those_that_the_readme_promises() {
        assert_eq!(offset_of!(Header, memory_total), 16);
        assert_eq!(offset_of!(Header, memory_used), 24);
        assert_eq!(offset_of!(Header, busy_ns), 32);
        assert_eq!(offset_of!(Header, running_since_ns), 40);
        assert_eq!(offset_of!(Header, running_pid), 48);
        assert_eq!(offset_of!(Header, waiters), 52);
        assert_eq!(offset_of!(Header, turns), 80);
        assert_eq!(offset_of!(Header, book), 128);
        assert_eq!(offset_of!(Header, time), 192);
        assert_eq!(size_of::<RowLayout>(), 64);
        assert_eq!(offset_of!(RowLayout, memory_bytes), 8);
        assert_eq!(offset_of!(RowLayout, busy_ns), 16);
        assert_eq!(offset_of!(RowLayout, launches), 24);
        assert!(size_of::<Header>() <= ROWS_OFFSET);
    }
}
