use super::*;

/// A small generator of numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const GRANULE: u64 = 2 << 20;

/// Whatever is taken and given, nothing overlaps, everything is aligned and inside what was granted, no byte is lost, and at
/// the end all is one block again.
#[test]
fn nothing_overlaps_and_nothing_is_lost() {
    for seed in 1..=60u64 {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut space = Space::default();
        let granted = 8 * GRANULE;
        for index in 0..8 {
            space.grant(index * GRANULE, GRANULE);
        }
        let mut live: Vec<(u64, u64)> = Vec::new();
        for _ in 0..2_000 {
            if numbers.below(100) < 55 {
                let limit = if numbers.below(10) == 0 {
                    2 * GRANULE
                } else {
                    20_000
                };
                let bytes = rounded(numbers.below(limit)).expect("small");
                let Some(placed) = space.take(bytes) else {
                    continue;
                };
                let (start, end) = (placed.offset, placed.offset + bytes);
                assert_eq!(
                    start % if bytes >= LARGE { LARGE } else { ALIGNMENT },
                    0,
                    "seed {seed}"
                );
                assert!(end <= granted, "seed {seed}");
                assert!(
                    live.iter()
                        .all(|&(at, size)| end <= at || at + size <= start),
                    "seed {seed}"
                );
                live.push((start, bytes));
            } else if !live.is_empty() {
                let (start, bytes) = live.swap_remove(numbers.below(live.len() as u64) as usize);
                space.give(start, bytes);
            }
            let used: u64 = live.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(space.free_bytes() + used, granted, "seed {seed}");
            assert_eq!(space.by_size.len(), space.free.len(), "seed {seed}");
        }
        for (start, bytes) in live {
            space.give(start, bytes);
        }
        assert_eq!(
            space.take(granted).map(|placed| placed.offset),
            Some(0),
            "seed {seed}: free blocks join"
        );
    }
}

#[test]
fn memory_is_reused_until_work_is_known_to_be_over() {
    let mut space = Space::default();
    space.grant(0, GRANULE);
    let first = space.take(ALIGNMENT).expect("room");
    assert!(!first.reused, "never used");
    space.give(first.offset, ALIGNMENT);
    assert!(space.take(GRANULE).expect("room").reused);
    space.give(0, GRANULE);
    let moment = space.moment();
    space.quieten(moment);
    assert!(!space.take(GRANULE).expect("room").reused);
}

#[test]
fn trimming_takes_whole_granules_from_the_top_and_no_more_than_asked() {
    let mut space = Space::default();
    space.grant(0, 4 * GRANULE);
    let small = space.take(ALIGNMENT).expect("room");
    assert_eq!(small.offset, 0);
    assert_eq!(
        space.trim(GRANULE, 2 * GRANULE + 5),
        vec![(2 * GRANULE, 2 * GRANULE)]
    );
    assert_eq!(space.free_bytes(), 2 * GRANULE - ALIGNMENT);
    assert_eq!(space.trim(GRANULE, 10 * GRANULE), vec![(GRANULE, GRANULE)]);
    assert_eq!(space.trim(GRANULE, 10 * GRANULE), vec![]);
    assert_eq!(space.free_bytes(), GRANULE - ALIGNMENT);
}

#[test]
fn what_does_not_fit_is_not_placed() {
    let mut space = Space::default();
    space.grant(GRANULE, GRANULE);
    assert_eq!(space.take(GRANULE + ALIGNMENT), None);
    assert_eq!(rounded(u64::MAX), None);
    assert_eq!(rounded(0), Some(ALIGNMENT));
}
