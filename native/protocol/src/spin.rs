//! Looking again and again before sleeping: saves a wake-up where the answer is near.

use crate::socket::monotonic_ns;

/// Who gives the CPU up and does not have it back within this, in ns, gave it to somebody who works: it is not there for looking.
const CROWDED_NS: u64 = 500_000;
/// How long nobody looks after that, in ns. Woken by the kernel, a thread gets a crowded CPU at once; waiting in line, after a
/// slice of each of the others.
const CALM_NS: u64 = 100_000_000;

/// One thread's looking, wait after wait.
pub struct Spin {
    patience_ns: u64,
    /// When this wait began and when it looked last, in ns; 0 before the first look.
    began: u64,
    looked: u64,
    /// Until when the CPU counts as crowded.
    crowded_until: u64,
}

impl Spin {
    /// Looks for at most `patience_ns` in each wait.
    pub const fn new(patience_ns: u64) -> Self {
        Self {
            patience_ns,
            began: 0,
            looked: 0,
            crowded_until: 0,
        }
    }

    /// A wait begins anew.
    #[inline]
    pub fn begin(&mut self) {
        self.began = 0;
    }

    /// There was nothing: gives the CPU up for a moment and says true when it is worth while to look again. False: sleep.
    pub fn again(&mut self) -> bool {
        self.go_on(monotonic_ns()) && {
            std::thread::yield_now();
            true
        }
    }

    fn go_on(&mut self, now: u64) -> bool {
        if self.began == 0 {
            (self.began, self.looked) = (now, now);
        }
        if now.saturating_sub(self.looked) > CROWDED_NS {
            self.crowded_until = now + CALM_NS;
        }
        self.looked = now;
        now >= self.crowded_until && now.saturating_sub(self.began) <= self.patience_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_until_its_patience_ends() {
        let mut spin = Spin::new(50_000);
        for wait in 1..3 {
            spin.begin();
            let start = wait * 1_000_000;
            assert!(spin.go_on(start));
            assert!(spin.go_on(start + 50_000));
            assert!(!spin.go_on(start + 50_001));
        }
    }

    #[test]
    fn does_not_look_while_others_want_the_cpu() {
        let mut spin = Spin::new(50_000);
        assert!(spin.go_on(1));
        assert!(!spin.go_on(3_000_000));
        spin.begin();
        assert!(!spin.go_on(4_000_000));
        assert!(!spin.go_on(4_010_000));
        spin.begin();
        assert!(spin.go_on(3_000_000 + CALM_NS));
    }
}
