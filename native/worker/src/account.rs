//! What one session may have of one GPU: its claim's account, and within it that of the nested container it belongs to.

use crate::ledger::{Counters, Ledger, Short};

/// The accounts that a session's memory is booked in. What it did is told in the claim's alone.
pub struct Account {
    claim: Ledger,
    container: Option<Ledger>,
}

impl Account {
    /// A session of `claim`, held to the limit of `container` as well where there is one.
    pub fn new(claim: Ledger, container: Option<Ledger>) -> Account {
        Account { claim, container }
    }

    fn all(&self) -> impl Iterator<Item = &Ledger> {
        std::iter::once(&self.claim).chain(&self.container)
    }

    /// Takes `bytes` for this session, or says which limit does not allow it.
    pub fn reserve(&self, bytes: u64) -> Result<(), Short> {
        let Some(container) = &self.container else {
            return self.claim.reserve(bytes);
        };
        // The smaller limit first: who is over it never stands in the way of the claim's others, not even for a moment.
        container.reserve(bytes)?;
        self.claim
            .reserve(bytes)
            .inspect_err(|_| container.release(bytes))
    }

    /// Gives back `bytes` that were reserved.
    pub fn release(&self, bytes: u64) {
        self.all().for_each(|ledger| ledger.release(bytes));
    }

    /// Takes what dead workers had out of the accounts.
    pub fn refresh(&self) {
        self.all().for_each(Ledger::refresh);
    }

    /// How much may still be reserved, in bytes.
    pub fn left_bytes(&self) -> u64 {
        self.all()
            .map(|ledger| ledger.limit_bytes().saturating_sub(ledger.granted_bytes()))
            .min()
            .unwrap_or(0)
    }

    /// Publishes what the session did.
    pub fn publish(&self, counters: &Counters) {
        self.claim.publish(counters);
    }

    /// Counts time in which the GPU ran the session's kernels.
    pub fn add_busy(&self, ns: u64) {
        self.claim.add_busy(ns);
    }

    /// Frees the session's rows.
    pub fn close(&self) {
        self.all().for_each(Ledger::close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ScratchDirectory;
    use std::path::Path;

    const MIB: u64 = 1 << 20;

    fn ledger(directory: &Path, name: &str, limit: u64) -> Ledger {
        Ledger::open(directory, name, limit, 30, &[7; 16]).unwrap()
    }

    fn account(directory: &Path, container: Option<(&str, u64)>) -> Account {
        let claim = ledger(directory, "claim", 10 * MIB);
        Account::new(
            claim,
            container.map(|(name, limit)| ledger(directory, name, limit)),
        )
    }

    #[test]
    fn a_container_has_its_share_for_all_its_sessions_and_leaves_others_theirs() {
        let directory = ScratchDirectory::new("account-shares");
        let (one, two) = (
            account(&directory, Some(("a", 4 * MIB))),
            account(&directory, Some(("a", 4 * MIB))),
        );
        let other = account(&directory, Some(("b", 6 * MIB)));
        one.reserve(3 * MIB).unwrap();
        let short = two.reserve(2 * MIB).unwrap_err();
        assert_eq!((short.granted_bytes, short.limit_bytes), (3 * MIB, 4 * MIB));
        two.reserve(MIB).unwrap();
        assert_eq!((one.left_bytes(), other.left_bytes()), (0, 6 * MIB));
        other.reserve(6 * MIB).unwrap();
        one.release(3 * MIB);
        assert_eq!((two.left_bytes(), other.left_bytes()), (3 * MIB, 0));
        two.close();
        assert_eq!(one.left_bytes(), 4 * MIB);
    }

    #[test]
    fn the_bound_of_the_claim_holds_whoever_asks_and_a_refusal_takes_nothing() {
        let directory = ScratchDirectory::new("account-bound");
        let whole = account(&directory, None);
        let container = account(&directory, Some(("a", 8 * MIB)));
        whole.reserve(7 * MIB).unwrap();
        assert_eq!(container.left_bytes(), 3 * MIB);
        assert_eq!(
            container.reserve(4 * MIB).unwrap_err().limit_bytes,
            10 * MIB
        );
        container.reserve(3 * MIB).unwrap();
        assert!(whole.reserve(1).is_err());
        whole.release(7 * MIB);
        // Its share was not charged for what was refused.
        container.reserve(5 * MIB).unwrap();
        assert!(container.reserve(1).is_err());
    }
}
