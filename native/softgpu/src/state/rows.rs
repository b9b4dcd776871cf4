//! One row per process that has a context on the device, and the memory account over all rows.
//!
//! A live process holds a file lock on the bytes of its row. The kernel drops it when the process ends in any way,
//! and anyone can test it, across users and process namespaces: no pid is ever asked whether it lives.

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;

use super::file::Shared;
use super::layout::{ROWS_OFFSET, RowLayout};
use super::mutex::{self, Acquired};

/// This process's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(usize);

impl Row {
    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// What one process has of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessUse {
    pub pid: u32,
    pub memory_bytes: u64,
    pub busy_ns: u64,
}

/// The right to change rows and the memory account; given back on drop.
pub(super) struct Book<'a>(&'a Shared);

impl Drop for Book<'_> {
    fn drop(&mut self) {
        mutex::unlock(&self.0.header().book);
    }
}

impl Shared {
    /// The sections under the book are short and free of waiting, so a plain wait is enough.
    pub(super) fn book(&self) -> Book<'_> {
        let book = &self.header().book;
        let mut acquired = mutex::try_lock(book);
        while acquired.is_none() {
            acquired = mutex::lock_within(book, 1000);
        }
        if acquired == Some(Acquired::HolderDied) {
            self.recount();
        }
        Book(self)
    }

    /// Takes a row; none is free when as many processes use the device as it has rows.
    pub fn enter(&self) -> Option<Row> {
        let _book = self.book();
        self.drop_dead_rows(None);
        let index = self
            .rows()
            .iter()
            .position(|row| row.pid.load(Relaxed) == 0)?;
        if !self.lock_row(index, libc::F_WRLCK) {
            return None;
        }
        let row = &self.rows()[index];
        clear(row);
        row.started_ns.store(super::monotonic_ns(), Relaxed);
        row.pid.store(std::process::id(), Relaxed);
        Some(Row(index))
    }

    /// Adds memory to this process's account; false where the device has no more.
    pub fn take_memory(&self, row: Row, bytes: u64) -> bool {
        let _book = self.book();
        let header = self.header();
        let fits = || {
            let used = header.memory_used.load(Relaxed).checked_add(bytes);
            used.is_some_and(|used| used <= header.memory_total.load(Relaxed))
        };
        if !fits() {
            self.drop_dead_rows(Some(row.0));
            if !fits() {
                return false;
            }
        }
        self.rows()[row.0].memory_bytes.fetch_add(bytes, Relaxed);
        header.memory_used.fetch_add(bytes, Relaxed);
        true
    }

    /// Gives memory back that `take_memory` gave.
    pub fn give_memory(&self, row: Row, bytes: u64) {
        let _book = self.book();
        subtract(&self.rows()[row.0].memory_bytes, bytes);
        subtract(&self.header().memory_used, bytes);
    }

    /// Bytes used by all live processes, and bytes in all.
    pub fn memory(&self, own: Option<Row>) -> (u64, u64) {
        let _book = self.book();
        self.drop_dead_rows(own.map(|row| row.0));
        (
            self.header().memory_used.load(Relaxed),
            self.header().memory_total.load(Relaxed),
        )
    }

    /// The processes that have a context on the device.
    pub fn processes(&self, own: Option<Row>) -> Vec<ProcessUse> {
        let _book = self.book();
        self.drop_dead_rows(own.map(|row| row.0));
        let used = self.rows().iter().filter(|row| row.pid.load(Relaxed) != 0);
        used.map(|row| ProcessUse {
            pid: row.pid.load(Relaxed),
            memory_bytes: row.memory_bytes.load(Relaxed),
            busy_ns: row.busy_ns.load(Relaxed),
        })
        .collect()
    }

    /// Counts a launch of this process.
    #[inline]
    pub fn count_launch(&self, row: Row) {
        self.rows()[row.0].launches.fetch_add(1, Relaxed);
    }

    pub(super) fn row(&self, row: Row) -> &RowLayout {
        &self.rows()[row.0]
    }

    /// Frees the rows whose process is gone. To be called with the book held. A process's own lock does not
    /// show in its own test, so its row must be named.
    pub(super) fn drop_dead_rows(&self, own: Option<usize>) {
        for (index, row) in self.rows().iter().enumerate() {
            if row.pid.load(Relaxed) == 0 || Some(index) == own || self.row_is_locked(index) {
                continue;
            }
            subtract(&self.header().memory_used, row.memory_bytes.load(Relaxed));
            let waiting = row.waiting.load(Relaxed);
            let waiters = &self.header().waiters;
            waiters.store(waiters.load(Relaxed).saturating_sub(waiting), Relaxed);
            clear(row);
        }
    }

    /// Somebody died with the book: the account follows the rows.
    fn recount(&self) {
        let used = self.rows().iter().filter(|row| row.pid.load(Relaxed) != 0);
        let sum = used.fold(0u64, |sum, row| {
            sum.saturating_add(row.memory_bytes.load(Relaxed))
        });
        self.header().memory_used.store(sum, Relaxed);
    }

    fn lock_row(&self, index: usize, kind: libc::c_int) -> bool {
        let range = range_of(index, kind);
        // SAFETY: an open descriptor and a valid flock.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &range) == 0 }
    }

    fn row_is_locked(&self, index: usize) -> bool {
        let mut range = range_of(index, libc::F_WRLCK);
        // SAFETY: an open descriptor and a valid flock to write to.
        let asked =
            unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_GETLK, &mut range) == 0 };
        // Where the question fails, nobody is declared dead.
        !asked || range.l_type != libc::F_UNLCK as libc::c_short
    }
}

fn range_of(index: usize, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (ROWS_OFFSET + index * size_of::<RowLayout>()) as libc::off_t,
        l_len: size_of::<RowLayout>() as libc::off_t,
        l_pid: 0,
    }
}

fn clear(row: &RowLayout) {
    row.pid.store(0, Relaxed);
    row.waiting.store(0, Relaxed);
    row.memory_bytes.store(0, Relaxed);
    row.busy_ns.store(0, Relaxed);
    row.launches.store(0, Relaxed);
}

fn subtract(account: &std::sync::atomic::AtomicU64, bytes: u64) {
    account.store(account.load(Relaxed).saturating_sub(bytes), Relaxed);
}
