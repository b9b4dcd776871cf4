//! What the sessions of a claim did on one GPU before they ended, so that the counters of a claim only ever grow.
//!
//! The header of the account has two copies of the sums and a number that says which one holds. A row is freed in steps, each
//! of which may be the last one of a worker that dies: the sums with the row are written into the other copy, which names the
//! row; the number makes that copy the one that holds, and from then on the row counts for nothing; the row is freed; the name
//! is taken out. Whoever has the file's lock next finishes what was begun. A reader needs no lock: it reads again if the number
//! has changed meanwhile.

use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::ledger::{COUNTER_WORDS, COUNTERS, MEMORY, PID, row_at};
use crate::shared_file::SharedFile;

/// How many rows were taken over; the lowest bit says which copy holds.
const TAKEN: usize = 40;
const COPIES: usize = 64;
const COPY_BYTES: usize = 64;
/// In a copy, after the sums: the row that they have in them and that may not be free yet, plus one; 0: none.
const ROW: usize = COUNTER_WORDS * 8;

/// Adds what the session of `row` did to the sums and frees the row, unless it is free. Under the file's lock.
pub fn take_over(file: &SharedFile, row: usize) {
    finish(file);
    if file.u32(row_at(row) + PID).load(Relaxed) == 0 {
        return;
    }
    let taken = file.u64(TAKEN).load(Relaxed);
    let (from, to) = (copy_at(taken), copy_at(taken + 1));
    for at in (0..COUNTER_WORDS).map(|word| word * 8) {
        let own = file.u64(row_at(row) + COUNTERS + at).load(Relaxed);
        let sum = file.u64(from + at).load(Relaxed).saturating_add(own);
        file.u64(to + at).store(sum, Relaxed);
    }
    file.u64(to + ROW).store(row as u64 + 1, Relaxed);
    file.u64(TAKEN).store(taken + 1, Release);
    finish(file);
}

/// Frees the row that was taken over last, if that is still to be done.
fn finish(file: &SharedFile) {
    let named = file.u64(copy_at(file.u64(TAKEN).load(Relaxed)) + ROW);
    if let Some(row) = named.load(Relaxed).checked_sub(1) {
        file.u64(row_at(row as usize) + MEMORY).store(0, Relaxed);
        file.u32(row_at(row as usize) + PID).store(0, Release);
        named.store(0, Release);
    }
}

fn copy_at(taken: u64) -> usize {
    COPIES + (taken & 1) as usize * COPY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counters, Ledger};
    use crate::process::ScratchDirectory;
    use std::path::Path;

    fn open(directory: &Path) -> Ledger {
        Ledger::open(directory, "claim-gpu", 1 << 20, 30, &[7; 16]).unwrap()
    }

    fn launched(ledger: &Ledger, launches: u64) {
        ledger.publish(&Counters {
            launches,
            ..Counters::default()
        });
    }

    /// The launches that the account tells of, as a reader finds them: of ended sessions, and of those in work.
    fn told(directory: &Path) -> (u64, u64) {
        let bytes = std::fs::read(directory.join("claim-gpu")).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let copy = copy_at(word(TAKEN));
        let in_work = (0..256).filter(|row| {
            word(row_at(*row) + PID) as u32 != 0 && word(copy + ROW) != *row as u64 + 1
        });
        (
            word(copy + 8),
            in_work.map(|row| word(row_at(row) + COUNTERS + 8)).sum(),
        )
    }

    #[test]
    fn what_sessions_did_is_kept_when_they_end() {
        let directory = ScratchDirectory::new("ended-kept");
        let one = open(&directory);
        let two = open(&directory);
        launched(&one, 5);
        launched(&two, 7);
        assert_eq!(told(&directory), (0, 12));
        one.close();
        drop(one);
        assert_eq!(told(&directory), (5, 7));
        let three = open(&directory);
        launched(&three, 1);
        drop(two);
        assert_eq!(told(&directory), (12, 1));
        drop(three);
        assert_eq!(told(&directory), (13, 0));
    }

    #[test]
    fn a_row_that_a_death_left_half_freed_counts_once_and_is_freed() {
        let directory = ScratchDirectory::new("ended-half");
        let dead = open(&directory);
        launched(&dead, 9);
        let file = dead.file();
        // As `take_over` leaves it when the process dies right after its copy holds.
        file.u64(copy_at(1) + 8).store(9, Relaxed);
        file.u64(copy_at(1) + ROW).store(1, Relaxed);
        file.u64(TAKEN).store(1, Release);
        assert_eq!(told(&directory), (9, 0));
        let next = open(&directory);
        launched(&next, 2);
        assert_eq!(told(&directory), (9, 2));
        drop(next);
        assert_eq!(told(&directory), (11, 0));
        std::mem::forget(dead);
    }

    #[test]
    fn a_death_before_the_copy_holds_changes_nothing() {
        let directory = ScratchDirectory::new("ended-before");
        let dead = open(&directory);
        launched(&dead, 9);
        dead.file().u64(copy_at(1) + 8).store(9, Relaxed);
        dead.file().u64(copy_at(1) + ROW).store(1, Relaxed);
        assert_eq!(told(&directory), (0, 9));
        drop(dead);
        assert_eq!(told(&directory), (9, 0));
    }

    #[test]
    fn no_reader_ever_sees_less_than_before() {
        let directory = ScratchDirectory::new("ended-readers");
        let over = std::sync::atomic::AtomicBool::new(false);
        let path = directory.join("claim-gpu");
        drop(open(&directory));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let ledger = open(&directory);
                    launched(&ledger, 1);
                }
                over.store(true, Relaxed);
            });
            let number = || {
                let bytes = std::fs::read(&path).unwrap();
                u64::from_le_bytes(bytes[TAKEN..TAKEN + 8].try_into().unwrap())
            };
            let mut last = 0;
            while !over.load(Relaxed) {
                let before = number();
                let (ended, living) = told(&directory);
                if number() == before {
                    assert!(ended + living >= last, "{ended} + {living} after {last}");
                    last = ended + living;
                }
            }
        });
        assert_eq!(told(&directory), (2000, 0));
    }
}
