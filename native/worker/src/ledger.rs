//! The account of one claim on one GPU: how much memory its sessions have, and what they did. See README.md.
//!
//! The sum is never trusted: whoever changes a row holds the file's lock and adds the rows up anew, so that a worker that
//! dies at any instruction leaves an account that is right.

use std::io::{Error, Result};
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::ended::take_over;
use crate::shared_file::SharedFile;

const MAGIC: &[u8; 8] = b"AQLEDGR1";
const VERSION: u32 = 1;
const ROWS: usize = 256;
const ROW_BYTES: usize = 128;
const HEADER_BYTES: usize = 256;
const LIMIT: usize = 16;
const PERCENT: usize = 24;
const GRANTED: usize = 32;

pub(crate) const PID: usize = 0;
const PID_START: usize = 8;
const SESSION: usize = 16;
pub(crate) const MEMORY: usize = 32;
/// What the session did: the time that the GPU ran its kernels in nanoseconds, then `Counters` in their order.
pub(crate) const COUNTERS: usize = 40;
pub(crate) const COUNTER_WORDS: usize = 7;

/// What a session did so far, beside the GPU's time; every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub launches: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Requests that were answered.
    pub round_trips: u64,
    /// Errors of the driver that ended a context.
    pub faults: u64,
    /// Calls the program made that are not forwarded.
    pub not_supported: u64,
}

/// Why memory was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    pub asked_bytes: u64,
    /// What the claim's sessions have together.
    pub granted_bytes: u64,
    pub limit_bytes: u64,
}

/// This worker's row in the account of its claim on one GPU.
pub struct Ledger {
    file: SharedFile,
    row: usize,
}

impl Ledger {
    /// Opens the account `<claim uid>-<gpu uuid>` in `directory`, sets its limits and takes a row.
    /// Errors: the file system's; all rows taken by living sessions.
    pub fn open(
        directory: &Path,
        name: &str,
        limit_bytes: u64,
        percent: u32,
        session: &[u8; 16],
    ) -> Result<Ledger> {
        let mut initial = vec![0u8; HEADER_BYTES + ROWS * ROW_BYTES];
        initial[..8].copy_from_slice(MAGIC);
        initial[8..12].copy_from_slice(&VERSION.to_le_bytes());
        initial[12..16].copy_from_slice(&(ROWS as u32).to_le_bytes());
        let file = SharedFile::open(&directory.join(name), &initial, 16)?;
        let guard = file.lock()?;
        file.u64(LIMIT).store(limit_bytes, Relaxed);
        file.u32(PERCENT).store(percent, Relaxed);
        let row = (0..ROWS)
            .find(|row| file.hold_byte(row_at(*row)).unwrap_or(false))
            .ok_or_else(|| Error::other("all 256 rows are taken by living sessions"))?;
        take_over(&file, row);
        let at = row_at(row);
        for word in 0..ROW_BYTES / 8 {
            file.u64(at + word * 8).store(0, Relaxed);
        }
        for (word, bytes) in session.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
            file.u64(at + SESSION + word * 8).store(value, Relaxed);
        }
        file.u64(at + PID_START)
            .store(crate::process::start_time().unwrap_or(0), Relaxed);
        file.u32(at + PID).store(std::process::id(), Release);
        sweep(&file, row);
        publish(&file);
        drop(guard);
        Ok(Ledger { file, row })
    }

    /// Takes `bytes` of the claim's limit for this session, or says why not.
    pub fn reserve(&self, bytes: u64) -> std::result::Result<(), Short> {
        let limit_bytes = self.limit_bytes();
        let Ok(_guard) = self.file.lock() else {
            return Err(Short {
                asked_bytes: bytes,
                granted_bytes: limit_bytes,
                limit_bytes,
            });
        };
        let fits = |sum: u64| {
            sum.checked_add(bytes)
                .is_some_and(|total| total <= limit_bytes)
        };
        if !fits(sum(&self.file)) {
            sweep(&self.file, self.row);
        }
        let granted_bytes = sum(&self.file);
        if !fits(granted_bytes) {
            return Err(Short {
                asked_bytes: bytes,
                granted_bytes,
                limit_bytes,
            });
        }
        self.file
            .u64(row_at(self.row) + MEMORY)
            .fetch_add(bytes, Relaxed);
        publish(&self.file);
        Ok(())
    }

    /// Takes what dead workers had out of the account.
    pub fn refresh(&self) {
        let _guard = self.file.lock();
        sweep(&self.file, self.row);
        publish(&self.file);
    }

    /// Gives `bytes` that were reserved back to the claim.
    pub fn release(&self, bytes: u64) {
        let _guard = self.file.lock();
        let memory = self.file.u64(row_at(self.row) + MEMORY);
        memory.store(memory.load(Relaxed).saturating_sub(bytes), Relaxed);
        publish(&self.file);
    }

    /// The claim's limit on this GPU, in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.file.u64(LIMIT).load(Relaxed)
    }

    /// What all sessions of the claim have, in bytes.
    pub fn granted_bytes(&self) -> u64 {
        self.file.u64(GRANTED).load(Acquire)
    }

    /// What this session has, in bytes.
    pub fn own_bytes(&self) -> u64 {
        self.file.u64(row_at(self.row) + MEMORY).load(Relaxed)
    }

    /// Publishes what the session did.
    pub fn publish(&self, counters: &Counters) {
        let Counters {
            launches,
            bytes_in,
            bytes_out,
            round_trips,
            faults,
            not_supported,
        } = *counters;
        let values = [
            launches,
            bytes_in,
            bytes_out,
            round_trips,
            faults,
            not_supported,
        ];
        for (word, value) in values.into_iter().enumerate() {
            self.file
                .u64(row_at(self.row) + COUNTERS + 8 + word * 8)
                .store(value, Relaxed);
        }
    }

    /// Counts time in which the GPU ran the session's kernels.
    pub fn add_busy(&self, ns: u64) {
        self.file
            .u64(row_at(self.row) + COUNTERS)
            .fetch_add(ns, Relaxed);
    }

    /// Frees the row: the session is over. Nobody gets it before this process has ended or the account is dropped: until then
    /// some thread may still write to it.
    pub fn close(&self) {
        let _guard = self.file.lock();
        take_over(&self.file, self.row);
        publish(&self.file);
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &SharedFile {
        &self.file
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn row_at(row: usize) -> usize {
    HEADER_BYTES + row * ROW_BYTES
}

fn sum(file: &SharedFile) -> u64 {
    let bytes = |row| match file.u32(row_at(row) + PID).load(Acquire) {
        0 => 0,
        _ => file.u64(row_at(row) + MEMORY).load(Relaxed),
    };
    (0..ROWS).map(bytes).fold(0, u64::saturating_add)
}

fn publish(file: &SharedFile) {
    file.u64(GRANTED).store(sum(file), Release);
}

/// Frees the rows of dead workers: their sign of life is gone, whatever became of their process id.
fn sweep(file: &SharedFile, own: usize) {
    for row in (0..ROWS).filter(|row| *row != own) {
        if file.u32(row_at(row) + PID).load(Acquire) != 0 && !file.byte_held_by_other(row_at(row)) {
            take_over(file, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ScratchDirectory;

    const MIB: u64 = 1 << 20;

    fn open(directory: &Path, limit: u64) -> Ledger {
        Ledger::open(directory, "claim-gpu", limit, 30, &[7; 16]).unwrap()
    }

    #[test]
    fn the_limit_holds_for_the_sum_and_to_the_byte() {
        let directory = ScratchDirectory::new("ledger-sum");
        let (one, two) = (open(&directory, 10 * MIB), open(&directory, 10 * MIB));
        one.reserve(6 * MIB).unwrap();
        two.reserve(4 * MIB).unwrap();
        let short = two.reserve(1).unwrap_err();
        assert_eq!(
            short,
            Short {
                asked_bytes: 1,
                granted_bytes: 10 * MIB,
                limit_bytes: 10 * MIB
            }
        );
        one.release(1);
        two.reserve(1).unwrap();
        assert_eq!(
            (one.own_bytes(), two.own_bytes(), one.granted_bytes()),
            (6 * MIB - 1, 4 * MIB + 1, 10 * MIB)
        );
        drop(one);
        assert_eq!(two.granted_bytes(), 4 * MIB + 1);
        assert!(two.reserve(u64::MAX).is_err());
    }

    #[test]
    fn eight_at_once_never_exceed_the_limit() {
        let directory = ScratchDirectory::new("ledger-eight");
        let taken = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let ledger = open(&directory, 100 * MIB);
                    for round in 0..200 {
                        if ledger.reserve(7 * MIB).is_ok() {
                            let now = taken.fetch_add(7 * MIB, Relaxed) + 7 * MIB;
                            assert!(now <= 100 * MIB, "{now}");
                            if round % 2 == 0 {
                                taken.fetch_sub(7 * MIB, Relaxed);
                                ledger.release(7 * MIB);
                            }
                        }
                    }
                    taken.fetch_sub(ledger.own_bytes(), Relaxed);
                });
            }
        });
        assert_eq!(open(&directory, 100 * MIB).granted_bytes(), 0);
    }

    #[test]
    fn layout_is_the_published_one() {
        let directory = ScratchDirectory::new("ledger-layout");
        let ledger = open(&directory, 5 * MIB);
        ledger.reserve(2 * MIB).unwrap();
        ledger.add_busy(1);
        ledger.publish(&Counters {
            launches: 2,
            bytes_in: 3,
            bytes_out: 4,
            round_trips: 5,
            faults: 6,
            not_supported: 7,
        });
        let bytes = std::fs::read(directory.join("claim-gpu")).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(&bytes[..8], MAGIC);
        assert_eq!(word(8), 1 | 256 << 32);
        assert_eq!((word(16), word(24), word(32)), (5 * MIB, 30, 2 * MIB));
        assert_eq!(word(256), u64::from(std::process::id()));
        assert_eq!(&bytes[272..288], &[7; 16]);
        assert_eq!(
            (288..=344).step_by(8).map(word).collect::<Vec<_>>(),
            [2 * MIB, 1, 2, 3, 4, 5, 6, 7]
        );
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let directory = ScratchDirectory::new("ledger-kind");
        std::fs::write(
            directory.join("claim-gpu"),
            vec![0u8; HEADER_BYTES + ROWS * ROW_BYTES],
        )
        .unwrap();
        assert!(Ledger::open(&directory, "claim-gpu", 1, 1, &[0; 16]).is_err());
        std::fs::write(directory.join("claim-gpu"), b"short").unwrap();
        assert!(Ledger::open(&directory, "claim-gpu", 1, 1, &[0; 16]).is_err());
    }
}
