//! The file of the turns on one GPU: its layout, its mutex, a row for each claim and a slot for each worker.
//!
//! README.md documents it. Whoever reads or writes more than one word holds the mutex, which is robust.

use std::io::{Error, Result};
use std::path::Path;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::budget::{Budget, Candidate, Purse};
use crate::process::now_ns;
use crate::robust::fresh_mutex;
use crate::shared_file::SharedFile;

const MAGIC: &[u8; 8] = b"AQTURNS1";
const VERSION: u32 = 1;
const MUTEX: usize = 64;
const HOLDER: usize = 128;
const WAITING: usize = 132;
const SLOTS_USED: usize = 136;
const HELD_SINCE: usize = 144;
const LAPSED: usize = 152;
const SERVED_LAST: usize = 160;
const CLEARED_AT: usize = 168;
const CLAIMS: usize = 256;
const CLAIM_BYTES: usize = 128;
const CLAIMS_AT: usize = 4096;
const SLOTS: usize = 1024;
const SLOT_BYTES: usize = 64;
const SLOTS_AT: usize = CLAIMS_AT + CLAIMS * CLAIM_BYTES;
const FILE_BYTES: usize = SLOTS_AT + SLOTS * SLOT_BYTES;

const PERCENT: usize = 4;
const BALANCE: usize = 8;
const FILLED_AT: usize = 16;
const BUSY: usize = 24;
const SERVED: usize = 32;
const SERVED_WITHIN: usize = 40;
const KEY: usize = 64;
const KEY_BYTES: usize = 64;
/// Rows that containers leave to claims: however many containers one guest has, another's claim has a row.
const KEPT_ROWS: usize = 64;

const PID: usize = 0;
const CLAIM: usize = 4;
pub const STATE: usize = 8;
pub const GRANT: usize = 12;
const SINCE: usize = 16;
const CONTAINER: usize = 24;
pub const IDLE: u32 = 0;
pub const WAITS: u32 = 1;
/// Its turn was taken away while its work was still on the GPU.
pub const OVERDUE: u32 = 2;

/// Who pays for kernels, by name, with its cap in percent.
pub struct Payer {
    pub name: String,
    pub percent: u32,
}

impl Payer {
    fn key(&self) -> Result<[u8; KEY_BYTES]> {
        let mut key = [0u8; KEY_BYTES];
        key.get_mut(..self.name.len())
            .filter(|_| self.name.len() < KEY_BYTES)
            .ok_or_else(|| Error::other(format!("{}: longer than 63 bytes", self.name)))?
            .copy_from_slice(self.name.as_bytes());
        Ok(key)
    }
}

/// The rows that a worker pays from.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub claim: usize,
    pub container: Option<usize>,
}

/// The mapped file, and the slot in it that this worker holds by a lock on one byte.
pub struct TurnFile {
    file: SharedFile,
    slot: usize,
}

impl TurnFile {
    /// Opens the file, or makes it, and takes a slot.
    /// Errors: the file system's, a file of another version, no slot left.
    pub fn join(path: &Path) -> Result<TurnFile> {
        let mut initial = vec![0u8; FILE_BYTES];
        initial[..8].copy_from_slice(MAGIC);
        initial[8..12].copy_from_slice(&VERSION.to_le_bytes());
        initial[MUTEX..MUTEX + size_of::<libc::pthread_mutex_t>()].copy_from_slice(&fresh_mutex()?);
        let file = SharedFile::open(path, &initial, 12)?;
        let slot = (0..SLOTS).find(|slot| file.hold_byte(slot_at(*slot)).unwrap_or(false));
        let slot = slot.ok_or_else(|| Error::other("1,024 workers use this GPU already"))?;
        Ok(TurnFile { file, slot })
    }

    /// Cleans the slot and puts this worker into it; returns the rows of its payers. Under the mutex.
    pub fn enter(&self, claim: &Payer, container: Option<&Payer>) -> Result<Rows> {
        let used = self.file.u32(SLOTS_USED);
        used.store(used.load(Relaxed).max(self.slot as u32 + 1), Relaxed);
        self.forget(self.slot);
        self.sweep();
        let claim = self.row_of(claim, None)?;
        let container = match container {
            Some(payer) => Some(self.row_of(payer, Some(claim))?),
            None => None,
        };
        self.slot_word(self.slot, CLAIM)
            .store(claim as u32, Relaxed);
        let word = container.map_or(0, |row| row as u32 + 1);
        self.slot_word(self.slot, CONTAINER).store(word, Relaxed);
        self.slot_word(self.slot, PID)
            .store(std::process::id(), Release);
        Ok(Rows { claim, container })
    }

    /// Leaves the slot to another worker.
    pub fn leave(&self) {
        self.file.free_byte(slot_at(self.slot));
    }

    /// This worker's slot.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// One more than the slot that has the turn; zero when it is free.
    pub fn holder(&self) -> &AtomicU32 {
        self.file.u32(HOLDER)
    }

    /// How many slots wait.
    pub fn waiting(&self) -> &AtomicU32 {
        self.file.u32(WAITING)
    }

    /// When the turn was given, in nanoseconds.
    pub fn held_since(&self) -> &AtomicU64 {
        self.file.u64(HELD_SINCE)
    }

    /// How many turns were taken away for lasting too long.
    pub fn lapsed(&self) -> &AtomicU64 {
        self.file.u64(LAPSED)
    }

    /// What the claim that had the turn last had been served.
    pub fn served_last(&self) -> &AtomicU64 {
        self.file.u64(SERVED_LAST)
    }

    /// Since when a slot waits, or had the turn that was taken away, in nanoseconds.
    pub fn since(&self, slot: usize) -> &AtomicU64 {
        self.file.u64(slot_at(slot) + SINCE)
    }

    /// All GPU time that a claim has used, in nanoseconds.
    pub fn busy(&self, claim: usize) -> &AtomicU64 {
        self.file.u64(claim_at(claim) + BUSY)
    }

    /// The rows that a slot's worker pays from.
    pub fn rows_of(&self, slot: usize) -> Rows {
        let container = self.slot_word(slot, CONTAINER).load(Relaxed) as usize;
        Rows {
            claim: self.slot_word(slot, CLAIM).load(Relaxed) as usize % CLAIMS,
            container: container.checked_sub(1).map(|row| row % CLAIMS),
        }
    }

    /// What the container of a claim that had the turn last had been served.
    pub fn served_within(&self, claim: usize) -> &AtomicU64 {
        self.file.u64(claim_at(claim) + SERVED_WITHIN)
    }

    /// Whether the worker of another slot lives. There is no such slot past the last.
    pub fn lives(&self, slot: usize) -> bool {
        slot < SLOTS && self.file.byte_held_by_other(slot_at(slot))
    }

    /// The slots that wait.
    pub fn candidates(&self, now: u64) -> impl Iterator<Item = Candidate> {
        let used = (self.file.u32(SLOTS_USED).load(Relaxed) as usize).min(SLOTS);
        (0..used)
            .filter(|slot| self.slot_word(*slot, STATE).load(Relaxed) == WAITS)
            .map(move |slot| self.candidate(slot, self.rows_of(slot), now))
    }

    /// A slot with what its worker pays from, filled up to `now`.
    pub fn candidate(&self, slot: usize, rows: Rows, now: u64) -> Candidate {
        Candidate {
            slot,
            claim: rows.claim,
            purse: self.purse(rows, now),
            waiting_since_ns: self.since(slot).load(Relaxed),
        }
    }

    /// When work whose turn was taken away last left the GPU, in nanoseconds.
    pub fn cleared_at(&self) -> &AtomicU64 {
        self.file.u64(CLEARED_AT)
    }

    /// Since when each worker, other than this one, whose turn was taken away has had work on the GPU, in nanoseconds. The
    /// dead are swept out. Under the mutex.
    pub fn others_overdue(&self, now: u64) -> impl Iterator<Item = u64> {
        let used = (self.file.u32(SLOTS_USED).load(Relaxed) as usize).min(SLOTS);
        let overdue = |slot: &usize| self.slot_word(*slot, STATE).load(Relaxed) == OVERDUE;
        (0..used)
            .filter(|slot| *slot != self.slot)
            .filter(overdue)
            .filter(move |slot| {
                let lives = self.lives(*slot);
                if !lives {
                    self.forget(*slot);
                    self.cleared_at().store(now, Relaxed);
                }
                lives
            })
            .map(|slot| self.since(slot).load(Relaxed))
    }

    /// What a worker pays from, filled up to `now`. Who has no container stands where the containers of its claim stand.
    pub fn purse(&self, rows: Rows, now: u64) -> Purse {
        let container = rows.container.map(|row| self.budget(row, now));
        Purse {
            claim: self.budget(rows.claim, now),
            container,
            within_ns: container.map_or_else(
                || self.served_within(rows.claim).load(Relaxed),
                |it| it.served_ns,
            ),
        }
    }

    /// Stores what of a purse changes.
    pub fn store_purse(&self, rows: Rows, purse: &Purse) {
        self.store(rows.claim, &purse.claim);
        if let (Some(row), Some(budget)) = (rows.container, &purse.container) {
            self.store(row, budget);
        }
    }

    /// A budget, filled up to `now`.
    fn budget(&self, claim: usize, now: u64) -> Budget {
        let at = claim_at(claim);
        let stored = Budget {
            percent: self.file.u32(at + PERCENT).load(Relaxed),
            balance_ns: self.file.i64(at + BALANCE).load(Relaxed),
            filled_at_ns: self.file.u64(at + FILLED_AT).load(Relaxed),
            served_ns: self.file.u64(at + SERVED).load(Relaxed),
        };
        stored.filled(now)
    }

    fn store(&self, claim: usize, budget: &Budget) {
        let at = claim_at(claim);
        self.file
            .i64(at + BALANCE)
            .store(budget.balance_ns, Relaxed);
        self.file
            .u64(at + FILLED_AT)
            .store(budget.filled_at_ns, Relaxed);
        self.file.u64(at + SERVED).store(budget.served_ns, Relaxed);
    }

    /// The payer's row: its own from before, with what it owes, else one that no living worker uses. A container is of the
    /// claim whose row `within` is.
    fn row_of(&self, payer: &Payer, within: Option<usize>) -> Result<usize> {
        let (key, percent) = (payer.key()?, payer.percent);
        let words: Vec<u64> = key
            .chunks_exact(8)
            .map(|it| u64::from_le_bytes(it.try_into().unwrap_or_default()))
            .collect();
        let has = |row: usize| {
            (0..8).all(|word| {
                self.file.u64(claim_at(row) + KEY + word * 8).load(Relaxed) == words[word]
            })
        };
        if let Some(row) = (0..CLAIMS).find(|row| has(*row)) {
            self.file
                .u32(claim_at(row) + PERCENT)
                .store(percent, Relaxed);
            return Ok(row);
        }
        let mut lived = [false; CLAIMS];
        for slot in (0..SLOTS).filter(|slot| self.slot_word(*slot, PID).load(Relaxed) != 0) {
            let rows = self.rows_of(slot);
            lived[rows.claim] = true;
            rows.container.iter().for_each(|row| lived[*row] = true);
        }
        if let Some(claim) = within {
            lived[claim] = true;
            if lived.iter().filter(|it| !**it).count() <= KEPT_ROWS {
                return Err(Error::other("too many containers use this GPU already"));
            }
        }
        let last_used = |row: &usize| self.file.u64(claim_at(*row) + FILLED_AT).load(Relaxed);
        let row = (0..CLAIMS).filter(|row| !lived[*row]).min_by_key(last_used);
        let row =
            row.ok_or_else(|| Error::other("256 claims and containers use this GPU already"))?;
        for (word, value) in words.iter().enumerate() {
            self.file
                .u64(claim_at(row) + KEY + word * 8)
                .store(*value, Relaxed);
        }
        self.file
            .u32(claim_at(row) + PERCENT)
            .store(percent, Relaxed);
        self.file.u64(claim_at(row) + BUSY).store(0, Relaxed);
        self.served_within(row).store(0, Relaxed);
        self.store(row, &Budget::new(percent, now_ns()));
        Ok(row)
    }

    fn sweep(&self) {
        for slot in (0..SLOTS)
            .filter(|slot| *slot != self.slot && self.slot_word(*slot, PID).load(Relaxed) != 0)
        {
            if !self.file.byte_held_by_other(slot_at(slot)) {
                self.forget(slot);
            }
        }
        let waiting = (0..SLOTS)
            .filter(|slot| self.slot_word(*slot, STATE).load(Relaxed) == WAITS)
            .count();
        self.waiting().store(waiting as u32, Relaxed);
    }

    /// Empties a slot, whose worker is dead or leaves. The file is shared, so the slot may be one that does not exist.
    pub fn forget(&self, slot: usize) {
        if slot >= SLOTS {
            return;
        }
        if self.slot_word(slot, STATE).swap(IDLE, Relaxed) == WAITS {
            let waiting = self.waiting();
            waiting.store(waiting.load(Relaxed).saturating_sub(1), Relaxed);
        }
        self.slot_word(slot, PID).store(0, Release);
        if self.holder().load(Relaxed) == slot as u32 + 1 {
            self.holder().store(0, Relaxed);
        }
    }

    /// One word of a slot.
    pub fn slot_word(&self, slot: usize, field: usize) -> &AtomicU32 {
        self.file.u32(slot_at(slot) + field)
    }

    /// Holds the mutex until the guard is dropped. What a dead holder may have left half-made is remade.
    pub fn lock(&self) -> Result<Locked> {
        let mutex = self
            .file
            .at(MUTEX, size_of::<libc::pthread_mutex_t>())
            .cast::<libc::pthread_mutex_t>();
        // SAFETY: the mutex was initialised as robust and process-shared before the file had its name.
        match unsafe { libc::pthread_mutex_lock(mutex) } {
            0 => Ok(Locked(mutex)),
            libc::EOWNERDEAD => {
                // SAFETY: this thread holds the mutex; the counts that the dead one may have left half-made are remade.
                unsafe { libc::pthread_mutex_consistent(mutex) };
                let guard = Locked(mutex);
                self.sweep();
                Ok(guard)
            }
            code => Err(Error::from_raw_os_error(code)),
        }
    }
}

/// The mutex, held.
pub struct Locked(*mut libc::pthread_mutex_t);

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: locked by this thread in `lock`.
        unsafe { libc::pthread_mutex_unlock(self.0) };
    }
}

fn claim_at(claim: usize) -> usize {
    CLAIMS_AT + claim * CLAIM_BYTES
}

fn slot_at(slot: usize) -> usize {
    SLOTS_AT + slot * SLOT_BYTES
}
