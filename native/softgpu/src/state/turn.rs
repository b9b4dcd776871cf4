//! The device's time: one kernel of one process at a time, and an account of how long it took.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::file::Shared;
use super::mutex::{self, Acquired};
use super::rows::Row;
use super::{clock, monotonic_ns};

/// How long a process that ends its turn lets the waiting ones go first. Mutexes do not queue: without this the one
/// that just ran would run again.
const HANDOVER_NS: u64 = 200_000;
const SAMPLE_NS: u64 = 1_000_000_000;
const WAIT_MS: u64 = 20;

/// The device's time, held. Dropped, it is charged and given back.
pub struct Turn<'a> {
    shared: &'a Shared,
    row: Row,
    began_ns: u64,
}

impl Shared {
    /// Waits for the device's time; none where `give_up` says so while waiting.
    pub fn turn(&self, row: Row, mut give_up: impl FnMut() -> bool) -> Option<Turn<'_>> {
        let header = self.header();
        let acquired = match mutex::try_lock(&header.time) {
            Some(acquired) => acquired,
            None => {
                self.row(row).waiting.fetch_add(1, Relaxed);
                header.waiters.fetch_add(1, SeqCst);
                let acquired = loop {
                    if let Some(acquired) = mutex::lock_within(&header.time, WAIT_MS) {
                        break Some(acquired);
                    }
                    if give_up() {
                        break None;
                    }
                };
                header.waiters.fetch_sub(1, SeqCst);
                self.row(row).waiting.fetch_sub(1, Relaxed);
                let acquired = acquired?;
                if acquired == Acquired::HolderDied {
                    self.charge_the_dead();
                }
                acquired
            }
        };
        if acquired == Acquired::HolderDied {
            header.running_since_ns.store(0, Relaxed);
        }
        let began_ns = monotonic_ns();
        header.running_pid.store(std::process::id(), Relaxed);
        header.running_since_ns.store(began_ns, Relaxed);
        header.turns.fetch_add(1, Relaxed);
        Some(Turn {
            shared: self,
            row,
            began_ns,
        })
    }

    /// A holder that died while others waited used the device until now.
    fn charge_the_dead(&self) {
        let since = self.header().running_since_ns.load(Relaxed);
        if since != 0 {
            self.header()
                .busy_ns
                .fetch_add(monotonic_ns().saturating_sub(since), Relaxed);
        }
    }

    /// Percent of time in which kernels ran, over the last second or so.
    pub fn utilization_percent(&self) -> u32 {
        let header = self.header();
        let start = header.sample_start_ns.load(Relaxed);
        let now = monotonic_ns();
        let elapsed = now.saturating_sub(start);
        if start != 0 && elapsed < SAMPLE_NS / 5 {
            return header.sample_percent.load(Relaxed).min(100);
        }
        let since = header.running_since_ns.load(Relaxed);
        let running = if since == 0 {
            0
        } else {
            now.saturating_sub(since)
        };
        let busy = header
            .busy_ns
            .load(Relaxed)
            .saturating_sub(header.sample_busy_ns.load(Relaxed));
        percent(busy.saturating_add(running), elapsed)
    }

    fn roll_sample(&self, now: u64) {
        let header = self.header();
        let start = header.sample_start_ns.load(Relaxed);
        let elapsed = now.saturating_sub(start);
        if start != 0 && elapsed < SAMPLE_NS {
            return;
        }
        let busy = header.busy_ns.load(Relaxed);
        if start != 0 {
            let used = busy.saturating_sub(header.sample_busy_ns.load(Relaxed));
            header.sample_percent.store(percent(used, elapsed), Relaxed);
        }
        header.sample_busy_ns.store(busy, Relaxed);
        header.sample_start_ns.store(now, Relaxed);
    }

    /// Lets a waiting process have its turn before this one asks again.
    fn hand_over(&self, own: Row) {
        let header = self.header();
        let turns = header.turns.load(Relaxed);
        let began = monotonic_ns();
        while header.waiters.load(SeqCst) > 0 && header.turns.load(Relaxed) == turns {
            if monotonic_ns() - began > HANDOVER_NS {
                // Nobody came: the waiters may be dead.
                let _book = self.book();
                self.drop_dead_rows(Some(own.index()));
                return;
            }
            // SAFETY: no preconditions.
            unsafe { libc::sched_yield() };
        }
    }
}

fn percent(busy_ns: u64, elapsed_ns: u64) -> u32 {
    let share = busy_ns.saturating_mul(100).checked_div(elapsed_ns);
    share.unwrap_or(0).min(100) as u32
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let header = self.shared.header();
        let now = clock::monotonic_ns();
        let used = now.saturating_sub(self.began_ns);
        header.busy_ns.fetch_add(used, Relaxed);
        self.shared.row(self.row).busy_ns.fetch_add(used, Relaxed);
        header.running_since_ns.store(0, Relaxed);
        header.running_pid.store(0, Relaxed);
        self.shared.roll_sample(now);
        mutex::unlock(&header.time);
        self.shared.hand_over(self.row);
    }
}
