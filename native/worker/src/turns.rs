//! The turn on one GPU: which worker's kernels may run now. README.md documents the file.
//!
//! One mapped file per GPU, shared by the workers of all claims. Its mutex is held for microseconds and is robust: the
//! kernel tells the next one when a holder died in it. Every worker shows that it lives by a lock on a byte of the file,
//! so a turn that a dead worker had is given on by whoever waits.

use std::io::Result;
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::budget::{Candidate, Purse, must_yield, next};
use crate::process::now_ns;
use crate::robust::{futex_wait, futex_wake};
use crate::turn_file::{GRANT, IDLE, OVERDUE, Payer, Rows, STATE, TurnFile, WAITS};

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
    file: TurnFile,
    rows: Rows,
}

impl Turns {
    /// Joins the workers on GPU `gpu` for `claim`, and for the nested container of it that the session is of.
    /// Errors: the file system's, a file of another version, no place left, a name over 63 bytes.
    pub fn join(
        directory: &Path,
        gpu: &str,
        claim: &Payer,
        container: Option<&Payer>,
    ) -> Result<Turns> {
        let file = TurnFile::join(&directory.join(gpu))?;
        let rows = {
            let _guard = file.lock()?;
            file.enter(claim, container)?
        };
        Ok(Turns { file, rows })
    }

    /// Waits for the turn; returns the GPU time in nanoseconds that may be launched before asking again.
    pub fn take(&self) -> Result<u64> {
        loop {
            let guard = self.file.lock()?;
            let now = now_ns();
            let own = self.file.slot();
            let state = self.file.slot_word(own, STATE);
            if state.load(Relaxed) != WAITS && !self.holds() {
                self.file.since(own).store(now, Relaxed);
                state.store(WAITS, Relaxed);
                self.file.waiting().fetch_add(1, Relaxed);
                self.file.store_purse(self.rows, &self.joining(now));
            }
            if self.is_free(now) {
                self.give_to_next(now);
            }
            if self.holds() {
                return Ok(self.file.purse(self.rows, now).slice_ns().max(1));
            }
            let free = self.file.holder().load(Relaxed) == 0;
            let pause = if free {
                self.file.purse(self.rows, now).wait_ns().min(LOOK_NS)
            } else {
                LOOK_NS
            };
            let grant = self.file.slot_word(own, GRANT);
            let seen = grant.load(Acquire);
            drop(guard);
            futex_wait(grant, seen, pause.max(1_000));
        }
    }

    /// Charges `used_ns` of GPU time and says whether the holder may go on, with `launched_ns` still on the GPU.
    pub fn charge(&self, used_ns: u64, launched_ns: u64) -> Result<Verdict> {
        let _guard = self.file.lock()?;
        let now = now_ns();
        let purse = self.settle(used_ns, now).charged(launched_ns);
        let own = Candidate {
            purse,
            ..self.file.candidate(self.file.slot(), self.rows, now)
        };
        let lapsed = !self.holds();
        let contended = self.file.waiting().load(Relaxed) > 0;
        let must_yield = || contended && must_yield(&own, self.file.candidates(now));
        if lapsed || !purse.may_start() || must_yield() {
            return Ok(Verdict::Yield);
        }
        Ok(Verdict::Continue(purse.slice_ns()))
    }

    /// Charges `used_ns` and gives the turn to the next. Nothing of this worker may be on the GPU any more.
    pub fn give_back(&self, used_ns: u64) -> Result<()> {
        let _guard = self.file.lock()?;
        let now = now_ns();
        self.settle(used_ns, now);
        if self.holds() {
            self.file.holder().store(0, Relaxed);
            if self.file.waiting().load(Relaxed) > 0 {
                self.give_to_next(now);
            }
        } else {
            let state = self.file.slot_word(self.file.slot(), STATE);
            if state.load(Relaxed) == OVERDUE {
                state.store(IDLE, Relaxed);
                self.file.cleared_at().store(now, Relaxed);
            }
        }
        Ok(())
    }

    /// Whether others wait for what this worker has on the GPU: for the turn, or, their turn having come when this one's was
    /// taken away, behind it on the GPU. Of several that are overdue only the first keeps the others.
    pub fn keeps_others(&self) -> Result<bool> {
        let _guard = self.file.lock()?;
        let Some(since) = self.working_since() else {
            return Ok(false);
        };
        let holder = self.file.holder().load(Relaxed) as usize;
        let behind = !self.holds() && holder != 0 && self.file.lives(holder - 1);
        let mut overdue = self.file.others_overdue(now_ns()).peekable();
        let waiting = self.file.waiting().load(Relaxed) > 0;
        let waited_for = waiting || behind || overdue.peek().is_some();
        Ok(waited_for && overdue.all(|other| other > since))
    }

    /// Whether work that this worker put onto the GPU at `made_at_ns` and that is done, or not yet, may have waited there
    /// behind work of another whose turn was taken away: then the time that it took is not its own.
    pub fn was_behind(&self, made_at_ns: u64) -> Result<bool> {
        let _guard = self.file.lock()?;
        let since = self.working_since().unwrap_or(0);
        // All of them, so that the dead are swept out.
        let before = self.file.others_overdue(now_ns()).filter(|it| *it < since);
        Ok(before.count() > 0 || self.file.cleared_at().load(Relaxed) > made_at_ns)
    }

    /// When this worker got the turn, if it has it or had it taken away with work on the GPU.
    fn working_since(&self) -> Option<u64> {
        let own = self.file.slot();
        if self.holds() {
            return Some(self.file.held_since().load(Relaxed));
        }
        let overdue = self.file.slot_word(own, STATE).load(Relaxed) == OVERDUE;
        overdue.then(|| self.file.since(own).load(Relaxed))
    }

    fn settle(&self, used_ns: u64, now: u64) -> Purse {
        let own = self.file.purse(self.rows, now).charged(used_ns);
        self.file.store_purse(self.rows, &own);
        for row in std::iter::once(self.rows.claim).chain(self.rows.container) {
            self.file.busy(row).fetch_add(used_ns, Relaxed);
        }
        self.file.purse(self.rows, now)
    }

    /// What this worker pays from, as it begins to wait.
    fn joining(&self, now: u64) -> Purse {
        let purse = self.file.purse(self.rows, now);
        let within = self.file.served_within(self.rows.claim).load(Relaxed);
        Purse {
            claim: purse.claim.joining(self.file.served_last().load(Relaxed)),
            container: purse.container.map(|it| it.joining(within)),
            ..purse
        }
    }

    fn holds(&self) -> bool {
        self.file.holder().load(Relaxed) == self.file.slot() as u32 + 1
    }

    /// Whether nobody has the turn any more: given back, its holder dead, or kept too long while others wait.
    fn is_free(&self, now: u64) -> bool {
        let holder = self.file.holder().load(Relaxed);
        if holder == 0 {
            return true;
        }
        let slot = holder as usize - 1;
        if slot == self.file.slot() {
            return false;
        }
        if !self.file.lives(slot) {
            self.file.forget(slot);
            self.file.holder().store(0, Relaxed);
            return true;
        }
        if now.saturating_sub(self.file.held_since().load(Relaxed)) > LAPSE_NS {
            self.file.lapsed().fetch_add(1, Relaxed);
            let since = self.file.held_since().load(Relaxed);
            self.file.since(slot).store(since, Relaxed);
            self.file.slot_word(slot, STATE).store(OVERDUE, Relaxed);
            self.file.holder().store(0, Relaxed);
            return true;
        }
        false
    }

    fn give_to_next(&self, now: u64) {
        let Some(slot) = next(self.file.candidates(now)) else {
            return;
        };
        let rows = self.file.rows_of(slot);
        let purse = self.file.purse(rows, now);
        let served = self.file.served_last();
        served.fetch_max(purse.claim.served_ns, Relaxed);
        let within = self.file.served_within(rows.claim);
        within.fetch_max(purse.within_ns, Relaxed);
        self.file.slot_word(slot, STATE).store(IDLE, Relaxed);
        self.file.waiting().fetch_sub(1, Relaxed);
        self.file.held_since().store(now, Relaxed);
        self.file.holder().store(slot as u32 + 1, Release);
        if slot != self.file.slot() {
            let grant = self.file.slot_word(slot, GRANT);
            grant.fetch_add(1, Release);
            futex_wake(grant);
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if let Ok(_guard) = self.file.lock() {
            let held = self.holds();
            self.file.forget(self.file.slot());
            if held {
                self.give_to_next(now_ns());
            }
            self.file.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ScratchDirectory;
    use std::sync::atomic::AtomicU32;
    use std::time::{Duration, Instant};

    fn join(directory: &Path, claim: &str, percent: u32) -> Turns {
        let claim = Payer {
            name: claim.into(),
            percent,
        };
        Turns::join(directory, "GPU-0", &claim, None).unwrap()
    }

    #[test]
    fn one_has_the_turn_at_a_time() {
        let directory = ScratchDirectory::new("turns-one");
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
    fn a_container_that_has_used_its_share_waits_and_another_goes_on() {
        let directory = ScratchDirectory::new("turns-containers");
        let payer = |name: &str, percent| Payer {
            name: name.into(),
            percent,
        };
        let join = |container| {
            let container = payer(container, 10);
            Turns::join(&directory, "GPU-0", &payer("a", 100), Some(&container)).unwrap()
        };
        let (one, again, other) = (join("a.1"), join("a.1"), join("a.2"));
        one.take().unwrap();
        one.give_back(1 << 40).unwrap();
        // All of a container pay from one budget, at 10 percent; the claim, at 100, has paid ten times as soon.
        let may_start = |it: &Turns| it.file.purse(it.rows, now_ns()).may_start();
        assert!(!may_start(&again));
        assert!(!may_start(&other), "the claim's own bound holds for all");
        let filled = now_ns() + (1 << 41);
        let later = |it: &Turns| it.file.purse(it.rows, filled).may_start();
        assert_eq!((later(&again), later(&other)), (false, true));
    }

    #[test]
    fn containers_leave_rows_to_claims() {
        let directory = ScratchDirectory::new("turns-rows");
        let payer = |name: String| Payer { name, percent: 1 };
        let mut containers = Vec::new();
        let refused = loop {
            let container = payer(format!("a.{}", containers.len()));
            match Turns::join(&directory, "GPU-0", &payer("a".into()), Some(&container)) {
                Ok(turns) => containers.push(turns),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(containers.len(), 191, "{refused}");
        let claims: Vec<Turns> = (0..64)
            .map(|claim| join(&directory, &format!("b{claim}"), 1))
            .collect();
        drop((claims, containers));
    }

    #[test]
    fn debt_outlives_the_session() {
        let directory = ScratchDirectory::new("turns-debt");
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
        let directory = ScratchDirectory::new("turns-yield");
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
        let directory = ScratchDirectory::new("turns-dead");
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
    fn of_those_whose_turn_was_taken_away_the_first_keeps_the_others() {
        let directory = ScratchDirectory::new("turns-overdue");
        let [first, second, third] = ["a", "b", "c"].map(|claim| join(&directory, claim, 100));
        first.take().unwrap();
        assert!(!first.keeps_others().unwrap());
        second.take().unwrap();
        assert!(first.keeps_others().unwrap());
        third.take().unwrap();
        let keeps = |it: &Turns| it.keeps_others().unwrap();
        assert_eq!([&first, &second, &third].map(keeps), [true, false, false]);
        let launched = now_ns();
        let behind = |it: &Turns| it.was_behind(launched).unwrap();
        assert_eq!([&first, &second, &third].map(behind), [false, true, true]);
        first.give_back(0).unwrap();
        assert_eq!([&first, &second, &third].map(keeps), [false, true, false]);
        assert!(behind(&second) && !second.was_behind(now_ns()).unwrap());
        drop(second);
        assert!(!keeps(&third));
    }

    #[test]
    fn a_worker_killed_inside_the_lock_leaves_it_usable() {
        let directory = ScratchDirectory::new("turns-lock");
        let turns = join(&directory, "a", 100);
        // SAFETY: the child ends at once, inside the lock.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let dying = join(&directory, "b", 100);
            let _inside = dying.file.lock();
            // SAFETY: ends the child without running destructors.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: reaps the child made above.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        turns.take().unwrap();
        turns.give_back(0).unwrap();
    }
}
