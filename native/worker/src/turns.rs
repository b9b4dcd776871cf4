//! The turn on one GPU: which worker's kernels may run now. README.md documents the file.
//!
//! One mapped file per GPU, shared by the workers of all claims. Its mutex is held for microseconds and is robust: the
//! kernel tells the next one when a holder died in it. Every worker shows that it lives by a lock on a byte of the file,
//! so a turn that a dead worker had is given on by whoever waits.

use std::io::{Error, Result};
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::budget::{Budget, Candidate, must_yield, next};
use crate::process::now_ns;
use crate::robust::{fresh_mutex, futex_wait, futex_wake};
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
const KEY: usize = 64;
const KEY_BYTES: usize = 64;

const PID: usize = 0;
const CLAIM: usize = 4;
const STATE: usize = 8;
const GRANT: usize = 12;
const SINCE: usize = 16;
const IDLE: u32 = 0;
const WAITS: u32 = 1;

/// How often a waiting worker looks whether the holder still lives, in nanoseconds.
const LOOK_NS: u64 = 5_000_000;

/// How long a turn lasts at most while others wait, in nanoseconds. A kernel that runs longer cannot be stopped, but its
/// worker no longer keeps the others from starting theirs; where the GPU itself takes turns they run beside it.
pub const LAPSE_NS: u64 = 2_000_000_000;

/// What a holder may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, with this much more GPU time in nanoseconds before asking again.
    Continue(u64),
    /// Start nothing more; give the turn back when all is done.
    Yield,
}

/// This worker's place among those that share a GPU.
pub struct Turns {
    file: SharedFile,
    slot: usize,
    claim: usize,
}

impl Turns {
    /// Joins the workers on GPU `gpu` for the claim `claim`, whose cap is `percent`.
    /// Errors: the file system's, a file of another version, no place left, a claim uid over 63 bytes.
    pub fn join(directory: &Path, gpu: &str, claim: &str, percent: u32) -> Result<Turns> {
        let mut key = [0u8; KEY_BYTES];
        key.get_mut(..claim.len())
            .filter(|_| claim.len() < KEY_BYTES)
            .ok_or_else(|| Error::other("the claim's uid is over 63 bytes"))?
            .copy_from_slice(claim.as_bytes());
        let mut initial = vec![0u8; FILE_BYTES];
        initial[..8].copy_from_slice(MAGIC);
        initial[8..12].copy_from_slice(&VERSION.to_le_bytes());
        initial[MUTEX..MUTEX + size_of::<libc::pthread_mutex_t>()].copy_from_slice(&fresh_mutex()?);
        let file = SharedFile::open(&directory.join(gpu), &initial, 12)?;
        let mut turns = Turns {
            file,
            slot: 0,
            claim: 0,
        };
        let slot = (0..SLOTS).find(|slot| turns.file.hold_byte(slot_at(*slot)).unwrap_or(false));
        turns.slot = slot.ok_or_else(|| Error::other("1,024 workers use this GPU already"))?;
        let guard = turns.lock()?;
        let used = turns.file.u32(SLOTS_USED);
        used.store(used.load(Relaxed).max(turns.slot as u32 + 1), Relaxed);
        turns.forget(turns.slot);
        turns.sweep();
        let claim = turns.claim_row(&key, percent)?;
        turns
            .slot_word(turns.slot, CLAIM)
            .store(claim as u32, Relaxed);
        turns
            .slot_word(turns.slot, PID)
            .store(std::process::id(), Release);
        drop(guard);
        turns.claim = claim;
        Ok(turns)
    }

    /// Waits for the turn; returns the GPU time in nanoseconds that may be launched before asking again.
    pub fn take(&self) -> Result<u64> {
        loop {
            let guard = self.lock()?;
            let now = now_ns();
            if self.slot_word(self.slot, STATE).load(Relaxed) != WAITS && !self.holds() {
                self.file
                    .u64(slot_at(self.slot) + SINCE)
                    .store(now, Relaxed);
                self.slot_word(self.slot, STATE).store(WAITS, Relaxed);
                self.file.u32(WAITING).fetch_add(1, Relaxed);
                self.store(
                    self.claim,
                    &self
                        .budget(self.claim, now)
                        .joining(self.file.u64(SERVED_LAST).load(Relaxed)),
                );
            }
            if self.is_free(now) {
                self.give_to_next(now);
            }
            if self.holds() {
                return Ok(self.budget(self.claim, now).slice_ns().max(1));
            }
            let free = self.file.u32(HOLDER).load(Relaxed) == 0;
            let pause = if free {
                self.budget(self.claim, now).wait_ns().min(LOOK_NS)
            } else {
                LOOK_NS
            };
            let grant = self.slot_word(self.slot, GRANT);
            let seen = grant.load(Acquire);
            drop(guard);
            futex_wait(grant, seen, pause.max(1_000));
        }
    }

    /// Charges `used_ns` of GPU time and says whether the holder may go on, with `launched_ns` still on the GPU.
    pub fn charge(&self, used_ns: u64, launched_ns: u64) -> Result<Verdict> {
        let _guard = self.lock()?;
        let now = now_ns();
        let own = self.settle(used_ns, now).charged(launched_ns);
        let lapsed = !self.holds();
        let contended = self.file.u32(WAITING).load(Relaxed) > 0;
        if lapsed || !own.may_start() || (contended && must_yield(&own, self.candidates(now))) {
            return Ok(Verdict::Yield);
        }
        Ok(Verdict::Continue(own.slice_ns()))
    }

    /// Charges `used_ns` and gives the turn to the next. Nothing of this worker may be on the GPU any more.
    pub fn give_back(&self, used_ns: u64) -> Result<()> {
        let _guard = self.lock()?;
        let now = now_ns();
        self.settle(used_ns, now);
        if self.holds() {
            self.file.u32(HOLDER).store(0, Relaxed);
            if self.file.u32(WAITING).load(Relaxed) > 0 {
                self.give_to_next(now);
            }
        }
        Ok(())
    }

    /// Whether other workers wait for the turn.
    pub fn contended(&self) -> bool {
        self.file.u32(WAITING).load(Relaxed) > 0
    }

    fn settle(&self, used_ns: u64, now: u64) -> Budget {
        let own = self.budget(self.claim, now).charged(used_ns);
        self.store(self.claim, &own);
        self.file
            .u64(claim_at(self.claim) + BUSY)
            .fetch_add(used_ns, Relaxed);
        own
    }

    fn holds(&self) -> bool {
        self.file.u32(HOLDER).load(Relaxed) == self.slot as u32 + 1
    }

    /// Whether nobody has the turn any more: given back, its holder dead, or kept too long while others wait.
    fn is_free(&self, now: u64) -> bool {
        let holder = self.file.u32(HOLDER).load(Relaxed);
        if holder == 0 {
            return true;
        }
        let slot = holder as usize - 1;
        if slot == self.slot {
            return false;
        }
        if slot >= SLOTS || !self.file.byte_held_by_other(slot_at(slot)) {
            if slot < SLOTS {
                self.forget(slot);
            }
            self.file.u32(HOLDER).store(0, Relaxed);
            return true;
        }
        if now.saturating_sub(self.file.u64(HELD_SINCE).load(Relaxed)) > LAPSE_NS {
            self.file.u64(LAPSED).fetch_add(1, Relaxed);
            self.file.u32(HOLDER).store(0, Relaxed);
            return true;
        }
        false
    }

    fn give_to_next(&self, now: u64) {
        let Some(slot) = next(self.candidates(now)) else {
            return;
        };
        let claim = self.slot_word(slot, CLAIM).load(Relaxed) as usize % CLAIMS;
        self.file
            .u64(SERVED_LAST)
            .fetch_max(self.budget(claim, now).served_ns, Relaxed);
        self.slot_word(slot, STATE).store(IDLE, Relaxed);
        self.file.u32(WAITING).fetch_sub(1, Relaxed);
        self.file.u64(HELD_SINCE).store(now, Relaxed);
        self.file.u32(HOLDER).store(slot as u32 + 1, Release);
        if slot != self.slot {
            let grant = self.slot_word(slot, GRANT);
            grant.fetch_add(1, Release);
            futex_wake(grant);
        }
    }

    fn candidates(&self, now: u64) -> impl Iterator<Item = Candidate> {
        let used = (self.file.u32(SLOTS_USED).load(Relaxed) as usize).min(SLOTS);
        (0..used)
            .filter(|slot| self.slot_word(*slot, STATE).load(Relaxed) == WAITS)
            .map(move |slot| Candidate {
                slot,
                budget: self.budget(
                    self.slot_word(slot, CLAIM).load(Relaxed) as usize % CLAIMS,
                    now,
                ),
                waiting_since_ns: self.file.u64(slot_at(slot) + SINCE).load(Relaxed),
            })
    }

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

    /// The claim's row: its own from before, with what it owes, else one that no living worker uses.
    fn claim_row(&self, key: &[u8; KEY_BYTES], percent: u32) -> Result<usize> {
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
            lived[self.slot_word(slot, CLAIM).load(Relaxed) as usize % CLAIMS] = true;
        }
        let last_used = |row: &usize| self.file.u64(claim_at(*row) + FILLED_AT).load(Relaxed);
        let row = (0..CLAIMS).filter(|row| !lived[*row]).min_by_key(last_used);
        let row = row.ok_or_else(|| Error::other("256 claims use this GPU already"))?;
        for (word, value) in words.iter().enumerate() {
            self.file
                .u64(claim_at(row) + KEY + word * 8)
                .store(*value, Relaxed);
        }
        self.file
            .u32(claim_at(row) + PERCENT)
            .store(percent, Relaxed);
        self.file.u64(claim_at(row) + BUSY).store(0, Relaxed);
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
        self.file.u32(WAITING).store(waiting as u32, Relaxed);
    }

    fn forget(&self, slot: usize) {
        if self.slot_word(slot, STATE).swap(IDLE, Relaxed) == WAITS {
            let waiting = self.file.u32(WAITING);
            waiting.store(waiting.load(Relaxed).saturating_sub(1), Relaxed);
        }
        self.slot_word(slot, PID).store(0, Release);
        if self.file.u32(HOLDER).load(Relaxed) == slot as u32 + 1 {
            self.file.u32(HOLDER).store(0, Relaxed);
        }
    }

    fn slot_word(&self, slot: usize, field: usize) -> &AtomicU32 {
        self.file.u32(slot_at(slot) + field)
    }

    fn lock(&self) -> Result<Locked> {
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

impl Drop for Turns {
    fn drop(&mut self) {
        if let Ok(_guard) = self.lock() {
            let held = self.holds();
            self.forget(self.slot);
            if held {
                self.give_to_next(now_ns());
            }
            self.file.free_byte(slot_at(self.slot));
        }
    }
}

struct Locked(*mut libc::pthread_mutex_t);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scratch_directory;
    use std::time::{Duration, Instant};

    fn join(directory: &Path, claim: &str, percent: u32) -> Turns {
        Turns::join(directory, "GPU-0", claim, percent).unwrap()
    }

    #[test]
    fn one_has_the_turn_at_a_time() {
        let directory = scratch_directory("turns-one");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "a"] {
                scope.spawn(|| {
                    let turns = join(&directory, name, 100);
                    for _ in 0..200 {
                        turns.take().unwrap();
                        assert_eq!(inside.fetch_add(1, Relaxed), 0);
                        std::hint::spin_loop();
                        inside.fetch_sub(1, Relaxed);
                        turns.give_back(1_000).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn debt_outlives_the_session() {
        let directory = scratch_directory("turns-debt");
        let turns = join(&directory, "a", 10);
        turns.take().unwrap();
        turns.give_back(20_000_000).unwrap();
        drop(turns);
        let again = join(&directory, "a", 10);
        let start = Instant::now();
        again.take().unwrap();
        // 20 ms less the saved 10 ms, at 10 percent.
        assert!(
            start.elapsed() >= Duration::from_millis(90),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_holder_is_told_to_yield_when_its_budget_is_used() {
        let directory = scratch_directory("turns-yield");
        let turns = join(&directory, "a", 10);
        turns.take().unwrap();
        assert!(
            matches!(turns.charge(1_000_000, 0).unwrap(), Verdict::Continue(rest) if rest <= 5_000_000)
        );
        assert_eq!(turns.charge(0, 9_500_000).unwrap(), Verdict::Yield);
        assert_eq!(turns.charge(15_000_000, 0).unwrap(), Verdict::Yield);
    }

    #[test]
    fn a_dead_holder_loses_the_turn() {
        let directory = scratch_directory("turns-dead");
        let turns = join(&directory, "a", 100);
        // SAFETY: the child only takes the turn, says so by a byte, and is killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let dying = join(&directory, "b", 100);
            dying.take().unwrap();
            std::fs::write(directory.join("taken"), b"").unwrap();
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        while !directory.join("taken").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take().map(|_| Instant::now()));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            let killed = Instant::now();
            // SAFETY: kills the child made above.
            unsafe { libc::kill(child, libc::SIGKILL) };
            let taken = waiting.join().unwrap().unwrap();
            assert!(
                taken - killed < Duration::from_millis(500),
                "{:?}",
                taken - killed
            );
        });
        // SAFETY: reaps the child made above.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }

    #[test]
    fn a_worker_killed_inside_the_lock_leaves_it_usable() {
        let directory = scratch_directory("turns-lock");
        let turns = join(&directory, "a", 100);
        // SAFETY: the child ends at once, inside the lock.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let dying = join(&directory, "b", 100);
            let _inside = dying.lock();
            // SAFETY: ends the child without running destructors.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: reaps the child made above.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        turns.take().unwrap();
        turns.give_back(0).unwrap();
    }
}
