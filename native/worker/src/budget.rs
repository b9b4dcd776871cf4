//! Whose turn it is: compute budgets as a pure decision over numbers. No clock, no file, no lock.
//!
//! A claim's budget fills with `percent` nanoseconds of GPU time per hundred of wall time, holds at most one window of
//! it, and is charged with what its kernels took. It may run while the balance is above zero; a kernel that overruns
//! leaves a debt, which the claim waits off. So the share is a cap, exact over any span much longer than a kernel.

/// The longest span, in nanoseconds of wall time, over which a claim can save up unused budget.
pub const WINDOW_NS: u64 = 100_000_000;

/// The most GPU time, in nanoseconds, that a holder launches before it asks again whether it may go on.
pub const SLICE_NS: u64 = 5_000_000;

/// The budget of one claim on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The cap in percent of the GPU's time, 1 to 100; more counts as 100.
    pub percent: u32,
    /// GPU time that may still be used, in nanoseconds; a debt when negative.
    pub balance_ns: i64,
    /// When the balance was last brought up to date, on the monotonic clock.
    pub filled_at_ns: u64,
    /// GPU time used per share: nanoseconds as they would be at 100 percent. The fair order among claims.
    pub served_ns: u64,
}

impl Budget {
    /// A budget that starts with one window saved up, as an idle claim has.
    pub fn new(percent: u32, now_ns: u64) -> Budget {
        let mut budget = Budget {
            percent,
            balance_ns: 0,
            filled_at_ns: now_ns,
            served_ns: 0,
        };
        budget.balance_ns = budget.most_ns();
        budget
    }

    fn rate(&self) -> u64 {
        u64::from(self.percent.clamp(1, 100))
    }

    fn most_ns(&self) -> i64 {
        (WINDOW_NS / 100 * self.rate()) as i64
    }

    /// The budget at `now_ns`, with what has come in since it was last filled.
    pub fn filled(self, now_ns: u64) -> Budget {
        let elapsed = now_ns.saturating_sub(self.filled_at_ns);
        // Whole percents of nanoseconds only: the rest stays for the next time, or frequent filling would lose it.
        let income = (elapsed / 100)
            .saturating_mul(self.rate())
            .min(i64::MAX as u64) as i64;
        Budget {
            balance_ns: self.balance_ns.saturating_add(income).min(self.most_ns()),
            filled_at_ns: self.filled_at_ns + elapsed / 100 * 100,
            ..self
        }
    }

    /// The budget after kernels ran for `used_ns`.
    pub fn charged(self, used_ns: u64) -> Budget {
        let used = used_ns.min(i64::MAX as u64) as i64;
        let served = used_ns.saturating_mul(100) / self.rate();
        Budget {
            balance_ns: self.balance_ns.saturating_sub(used),
            served_ns: self.served_ns.saturating_add(served),
            ..self
        }
    }

    /// The budget of a claim that begins to wait when the one served last stood at `served_ns`: what it did not use while
    /// it had nothing to run is worth one window at most.
    pub fn joining(self, served_ns: u64) -> Budget {
        Budget {
            served_ns: self.served_ns.max(served_ns.saturating_sub(WINDOW_NS)),
            ..self
        }
    }

    /// Whether the claim may start kernels now.
    pub fn may_start(&self) -> bool {
        self.balance_ns > 0
    }

    /// How long, in nanoseconds of wall time, until it may start; 0 if it may.
    pub fn wait_ns(&self) -> u64 {
        if self.may_start() {
            return 0;
        }
        let missing = self.balance_ns.unsigned_abs() + 1;
        missing
            .saturating_mul(100)
            .div_ceil(self.rate())
            .saturating_add(100)
    }

    /// GPU time, in nanoseconds, that may be launched before asking again.
    pub fn slice_ns(&self) -> u64 {
        (self.balance_ns.max(0) as u64).min(SLICE_NS)
    }
}

/// What a worker's kernels are paid from: the budget of its claim, and within it that of its nested container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    pub claim: Budget,
    pub container: Option<Budget>,
    /// The fair order among the workers of the claim: as `served_ns` is among claims.
    pub within_ns: u64,
}

impl Purse {
    /// Both budgets after kernels ran for `used_ns`.
    pub fn charged(self, used_ns: u64) -> Purse {
        let payer = self.container.unwrap_or(self.claim);
        Purse {
            claim: self.claim.charged(used_ns),
            container: self.container.map(|it| it.charged(used_ns)),
            within_ns: self
                .within_ns
                .saturating_add(used_ns.saturating_mul(100) / payer.rate()),
        }
    }

    /// Whether both allow to start kernels now.
    pub fn may_start(&self) -> bool {
        self.wait_ns() == 0
    }

    /// How long, in nanoseconds of wall time, until both do.
    pub fn wait_ns(&self) -> u64 {
        let container = self.container.map_or(0, |it| it.wait_ns());
        self.claim.wait_ns().max(container)
    }

    /// GPU time, in nanoseconds, that may be launched before asking again.
    pub fn slice_ns(&self) -> u64 {
        let container = self.container.map_or(SLICE_NS, |it| it.slice_ns());
        self.claim.slice_ns().min(container)
    }
}

/// A worker that waits for the turn, or has it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The worker's slot.
    pub slot: usize,
    /// The row of its claim.
    pub claim: usize,
    /// What it pays from, filled.
    pub purse: Purse,
    /// Since when it waits, on the monotonic clock.
    pub waiting_since_ns: u64,
}

/// The candidate that is next: of those that may start, the one whose claim was served least for its share, of these the one
/// whose container was, then the longest waiting. So time that is lost, or promised twice, is missed by all in proportion.
pub fn next(candidates: impl Iterator<Item = Candidate>) -> Option<usize> {
    candidates
        .filter(|it| it.purse.may_start())
        .min_by_key(|it| {
            let served_ns = it.purse.claim.served_ns;
            (served_ns, it.purse.within_ns, it.waiting_since_ns, it.slot)
        })
        .map(|it| it.slot)
}

/// Whether a holder has to give the turn up although it has more to run.
pub fn must_yield(own: &Candidate, waiting: impl Iterator<Item = Candidate>) -> bool {
    if !own.purse.may_start() {
        return true;
    }
    waiting.filter(|it| it.purse.may_start()).any(|it| {
        if it.claim == own.claim {
            it.purse.within_ns < own.purse.within_ns
        } else {
            it.purse.claim.served_ns < own.purse.claim.served_ns
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker of a claim of its own.
    fn candidate(slot: usize, claim: Budget, waiting_since_ns: u64) -> Candidate {
        let purse = Purse {
            claim,
            container: None,
            within_ns: 0,
        };
        Candidate {
            slot,
            claim: slot,
            purse,
            waiting_since_ns,
        }
    }

    /// Runs claims that always have work, one kernel a turn, with `handover_ns` lost at each change of turn.
    fn simulate(claims: &[(u32, u64)], handover_ns: u64, seconds: u64) -> Vec<Vec<f64>> {
        let mut now = 1_000;
        let mut budgets: Vec<Budget> = claims.iter().map(|it| Budget::new(it.0, now)).collect();
        let mut used = vec![0u64; claims.len()];
        let mut rows = Vec::new();
        let mut since: Vec<u64> = vec![now; claims.len()];
        for second in 1..=seconds {
            let end = second * 1_000_000_000;
            let before = used.clone();
            while now < end {
                for it in &mut budgets {
                    *it = it.filled(now);
                }
                let waiting =
                    (0..claims.len()).map(|slot| candidate(slot, budgets[slot], since[slot]));
                let Some(slot) = next(waiting) else {
                    now += budgets.iter().map(Budget::wait_ns).min().unwrap_or(1);
                    continue;
                };
                let kernel = claims[slot].1;
                now += handover_ns + kernel;
                since[slot] = now;
                used[slot] += kernel;
                budgets[slot] = budgets[slot].filled(now).charged(kernel);
            }
            rows.push(
                (0..claims.len())
                    .map(|it| (used[it] - before[it]) as f64 / 1e7)
                    .collect(),
            );
        }
        rows
    }

    fn assert_within(rows: &[Vec<f64>], wanted: &[f64], median: f64, worst: f64) {
        for (claim, want) in wanted.iter().enumerate() {
            let mut errors: Vec<f64> = rows
                .iter()
                .skip(1)
                .map(|row| (row[claim] - want).abs())
                .collect();
            errors.sort_by(f64::total_cmp);
            assert!(
                errors[errors.len() / 2] <= median,
                "claim {claim} of {want}: {errors:?}"
            );
            assert!(
                errors[errors.len() - 1] <= worst,
                "claim {claim} of {want}: {errors:?}"
            );
        }
    }

    #[test]
    fn claims_that_fill_the_gpu_get_their_shares() {
        for kernel in [50_000, 1_000_000, 9_900_000] {
            let rows = simulate(&[(10, kernel), (30, kernel), (60, kernel)], 0, 21);
            assert_within(&rows, &[10.0, 30.0, 60.0], 1.0, 2.5);
        }
    }

    #[test]
    fn kernels_of_different_length_do_not_change_the_shares() {
        let rows = simulate(&[(10, 9_000_000), (30, 100_000), (60, 3_000_000)], 0, 21);
        assert_within(&rows, &[10.0, 30.0, 60.0], 1.0, 2.5);
    }

    #[test]
    fn time_lost_in_handovers_is_lost_by_all_in_proportion() {
        let rows = simulate(
            &[(10, 5_000_000), (30, 5_000_000), (60, 5_000_000)],
            100_000,
            21,
        );
        assert_within(&rows, &[10.0, 30.0, 60.0], 1.9, 3.0);
    }

    #[test]
    fn a_lone_claim_stays_at_its_cap() {
        for kernel in [20_000, 1_000_000, 10_000_000] {
            assert_within(&simulate(&[(25, kernel)], 50_000, 21), &[25.0], 1.0, 3.0);
        }
    }

    #[test]
    fn promises_beyond_the_gpu_are_kept_in_proportion() {
        let rows = simulate(
            &[(100, 1_000_000), (100, 4_000_000), (50, 2_000_000)],
            0,
            21,
        );
        assert_within(&rows, &[40.0, 40.0, 20.0], 2.0, 4.0);
    }

    #[test]
    fn a_long_kernel_is_paid_for_afterwards() {
        let start = Budget::new(10, 0);
        let after = start.filled(2_000_000_000).charged(2_000_000_000);
        assert!(!after.may_start());
        // 2 s used at 10 percent is 20 s of waiting, less the window that was saved.
        assert!(
            (after.wait_ns() as i64 - 19_900_000_000).abs() < 1_000,
            "{}",
            after.wait_ns()
        );
        assert!(after.filled(2_000_000_000 + after.wait_ns()).may_start());
    }

    #[test]
    fn filling_often_loses_nothing() {
        let mut often = Budget {
            balance_ns: -1_000_000_000,
            ..Budget::new(33, 0)
        };
        let once = often;
        for now in (0..1_000_003).step_by(7) {
            often = often.filled(now);
        }
        assert_eq!(
            often.filled(1_000_003).balance_ns,
            once.filled(1_000_003).balance_ns
        );
    }

    #[test]
    fn saved_budget_is_at_most_one_window() {
        let budget = Budget::new(40, 0).filled(u64::MAX);
        assert_eq!(budget.balance_ns, 40_000_000);
        assert_eq!(
            budget.charged(u64::MAX).filled(u64::MAX).balance_ns,
            40_000_000 - i64::MAX
        );
    }

    #[test]
    fn the_clock_going_backwards_gives_nothing() {
        let budget = Budget::new(40, 1_000_000).charged(100_000_000);
        assert_eq!(budget.filled(0), budget);
    }

    #[test]
    fn of_equals_the_longest_waiting_is_next() {
        let of = |slot, since| candidate(slot, Budget::new(50, 0), since);
        assert_eq!(next([of(0, 9), of(1, 5), of(2, 7)].into_iter()), Some(1));
        assert_eq!(next(std::iter::empty()), None);
    }

    #[test]
    fn a_holder_yields_to_who_is_further_behind_only() {
        let own = candidate(2, Budget::new(50, 0).charged(10_000_000), 0);
        let ahead = candidate(0, Budget::new(50, 0).charged(20_000_000), 0);
        let behind = candidate(1, Budget::new(10, 0), 0);
        assert!(!must_yield(&own, [ahead].into_iter()));
        assert!(must_yield(&own, [ahead, behind].into_iter()));
        let spent = candidate(2, own.purse.claim.charged(1 << 40), 0);
        assert!(must_yield(&spent, std::iter::empty()));
    }

    /// Runs containers of one claim of `percent` that always have work, one kernel of 1 ms a turn; percent of the GPU each got.
    fn simulate_containers(percent: u32, shares: &[u32]) -> Vec<f64> {
        let mut now = 1_000;
        let mut claim = Budget::new(percent, now);
        let mut containers: Vec<Budget> = shares.iter().map(|it| Budget::new(*it, now)).collect();
        let mut used = vec![0u64; shares.len()];
        let end = 10_000_000_000;
        while now < end {
            claim = claim.filled(now);
            let waiting: Vec<Candidate> = (0..shares.len())
                .map(|slot| {
                    let container = containers[slot].filled(now);
                    Candidate {
                        slot,
                        claim: 0,
                        purse: Purse {
                            claim,
                            container: Some(container),
                            within_ns: container.served_ns,
                        },
                        waiting_since_ns: 0,
                    }
                })
                .collect();
            let Some(slot) = next(waiting.iter().copied()) else {
                now += waiting
                    .iter()
                    .map(|it| it.purse.wait_ns())
                    .min()
                    .unwrap_or(1);
                continue;
            };
            now += 1_000_000;
            let paid = Purse {
                claim: claim.filled(now),
                container: Some(containers[slot].filled(now)),
                within_ns: 0,
            }
            .charged(1_000_000);
            claim = paid.claim;
            containers[slot] = paid.container.unwrap_or(claim);
            used[slot] += 1_000_000;
        }
        used.iter()
            .map(|ns| *ns as f64 / end as f64 * 100.0)
            .collect()
    }

    #[test]
    fn containers_have_their_shares_within_their_claim() {
        for (claim, shares, want) in [
            // Shares that fit: each is a cap of its own.
            (75, [25, 50], [25.0, 50.0]),
            (100, [25, 50], [25.0, 50.0]),
            // Shares that do not: what the claim has, in their proportion.
            (30, [25, 50], [10.0, 20.0]),
        ] {
            let got = simulate_containers(claim, &shares);
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() < 1.5,
                    "{claim} {shares:?}: {got}, {want}"
                );
            }
        }
    }
}
