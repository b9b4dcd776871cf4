//! Register allocation: liveness, then a linear scan over live intervals.
//!
//! Virtual registers that are never needed at the same time share memory, which keeps a warp's frame in the first-level
//! cache. Instruction n reads at time 2n and writes at 2n + 1, so a destination may take over a source's place.

use super::flow::Graph;
use super::instruction::{Class, Instruction, Virtual};
use crate::exec::program::Layout;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which place among those of its class each virtual register has in the frame.
pub(crate) struct Frame {
    pub places: Vec<(Class, u32)>,
    pub needs: Layout,
}

/// Assigns places to all virtual registers of a function.
pub(crate) fn allocate(graph: &Graph, classes: &[Class]) -> Frame {
    let intervals = intervals(graph, classes.len());
    let mut frame = Frame {
        places: classes.iter().map(|&class| (class, 0)).collect(),
        needs: Layout::default(),
    };
    for class in Class::ALL {
        let mut members: Vec<Virtual> = (0..classes.len() as Virtual)
            .filter(|&v| classes[v as usize] == class && intervals[v as usize].is_some())
            .collect();
        members.sort_by_key(|&v| intervals[v as usize]);
        let mut active: BinaryHeap<Reverse<(usize, u32)>> = BinaryHeap::new();
        let mut free: BinaryHeap<Reverse<u32>> = BinaryHeap::new();
        let mut used = 0;
        for v in members {
            let Some((start, end)) = intervals[v as usize] else {
                continue;
            };
            while let Some(&Reverse((ended, place))) = active.peek()
                && ended < start
            {
                active.pop();
                free.push(Reverse(place));
            }
            let place = match free.pop() {
                Some(Reverse(place)) => place,
                None => {
                    used += 1;
                    used - 1
                }
            };
            active.push(Reverse((end, place)));
            frame.places[v as usize].1 = place;
        }
        *frame.needs.count(class) = used;
    }
    frame
}

struct Bits {
    words: usize,
    data: Vec<u64>,
}

impl Bits {
    fn row(&self, block: usize) -> &[u64] {
        &self.data[block * self.words..(block + 1) * self.words]
    }

    fn members(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        self.row(block).iter().enumerate().flat_map(|(at, &word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| at * 64 + bit)
        })
    }
}

/// First and last time at which each register matters.
fn intervals(graph: &Graph, registers: usize) -> Vec<Option<(usize, usize)>> {
    let (live_in, live_out) = liveness(graph, registers);
    let mut intervals: Vec<Option<(usize, usize)>> = vec![None; registers];
    let mut extend = |v: usize, at: usize| {
        let (start, end) = intervals[v].unwrap_or((at, at));
        intervals[v] = Some((start.min(at), end.max(at)));
    };
    for block in 0..graph.blocks() {
        let range = graph.range(block);
        for v in live_in.members(block) {
            extend(v, range.start * 2);
        }
        for v in live_out.members(block) {
            extend(v, (range.end * 2).saturating_sub(1));
        }
        for at in range {
            let instruction: &Instruction = &graph.code[at];
            for v in instruction.uses() {
                extend(v as usize, at * 2);
            }
            for v in instruction.defs() {
                extend(v as usize, at * 2 + 1);
            }
        }
    }
    intervals
}

fn liveness(graph: &Graph, registers: usize) -> (Bits, Bits) {
    let words = registers.div_ceil(64);
    let blocks = graph.blocks();
    let empty = || Bits {
        words,
        data: vec![0; words * blocks],
    };
    let (mut live_in, mut live_out, mut defined) = (empty(), empty(), empty());
    for block in 0..blocks {
        let base = block * words;
        for at in graph.range(block) {
            let instruction = &graph.code[at];
            for v in instruction.uses() {
                let (word, bit) = (base + v as usize / 64, 1 << (v % 64));
                if defined.data[word] & bit == 0 {
                    live_in.data[word] |= bit;
                }
            }
            for v in instruction.defs() {
                defined.data[base + v as usize / 64] |= 1 << (v % 64);
            }
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for block in (0..blocks).rev() {
            for word in 0..words {
                let at = block * words + word;
                let out = graph.successors[block]
                    .iter()
                    .fold(0, |bits, &to| bits | live_in.data[to * words + word]);
                let into = live_in.data[at] | (out & !defined.data[at]);
                changed |= into != live_in.data[at] || out != live_out.data[at];
                live_in.data[at] = into;
                live_out.data[at] = out;
            }
        }
    }
    (live_in, live_out)
}
