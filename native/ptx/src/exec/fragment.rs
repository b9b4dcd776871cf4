//! Divergence: how a warp splits into fragments and becomes one again.
//!
//! ```text
//!   running --branch splits--> waiting at the immediate post-dominator, with two children running
//!   child   --reaches it-----> gone, its lanes arrived; the last child wakes the parent
//!   running --bar.sync-------> parked until the block's barrier completes
//!   running --shfl.sync …----> parked until the named lanes are there, unless they are already
//! ```
//!
//! Fragments of one warp take turns at backward branches, so lanes that spin do not starve those they wait for. Lanes
//! that have arrived are let go early when a fragment seems to spin on them: they run on as a fragment of their own
//! and join the rest one level up. So a lock taken by lanes of one warp makes progress.

use super::op::Op;
use super::warp::{Event, Warp};

/// No operation: neither a place to reconverge at nor a parent.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    /// Running or in the ready list.
    Ready,
    /// For its children, at `pc`.
    Waiting,
    Barrier(u32),
    /// At a warp-level instruction, for these lanes.
    Sync(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub return_to: u32,
    pub frame: u32,
    pub local_frame: u32,
    pub reconverge: u32,
}

/// Lanes that run together.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub state: State,
    pub pc: u32,
    pub mask: u32,
    /// Where it ends, in the function in which it began.
    pub reconverge: u32,
    pub parent: u32,
    /// Lanes of ended children.
    pub arrived: u32,
    pub children: u32,
    pub frame: u32,
    pub local_frame: u32,
    /// Synchronising accesses so far.
    pub spin: u32,
    /// Calls made since it began.
    pub calls: Vec<Call>,
}

/// Backward branches between turns of a warp's fragments.
const TURN: u32 = 32;
/// Synchronising accesses after which a fragment counts as spinning.
const SPINNING: u32 = 256;

impl Warp {
    /// Makes a fragment of `mask` at `pc`, like the current one otherwise. It is not ready yet.
    fn fork(&mut self, pc: u32, mask: u32, reconverge: u32, parent: u32, calls: Vec<Call>) -> u32 {
        let fragment = Fragment {
            state: State::Ready,
            pc,
            mask,
            reconverge,
            parent,
            arrived: 0,
            children: 0,
            frame: self.frame,
            local_frame: self.local_frame,
            spin: 0,
            calls,
        };
        if parent != NONE {
            self.fragments[parent as usize].children += 1;
        }
        self.alive += 1;
        match self.free.pop() {
            Some(at) => {
                self.fragments[at as usize] = fragment;
                at
            }
            None => {
                self.fragments.push(fragment);
                (self.fragments.len() - 1) as u32
            }
        }
    }

    fn discard(&mut self, at: u32) {
        self.fragments[at as usize].state = State::Free;
        self.free.push(at);
        self.alive -= 1;
    }

    /// Begins a warp: all of `lanes` at the first operation.
    pub fn start(&mut self, lanes: u32) {
        self.fragments.clear();
        self.free.clear();
        self.ready.clear();
        self.alive = 0;
        self.exited = !lanes;
        self.frame = 0;
        self.local_frame = 0;
        let root = self.fork(0, lanes, NONE, NONE, Vec::new());
        self.ready.push(root);
    }

    /// The current fragment's state as the registers of the loop have it.
    fn save(&mut self, pc: u32, state: State) {
        let fragment = &mut self.fragments[self.current as usize];
        fragment.pc = pc;
        fragment.mask = self.active;
        fragment.state = state;
        fragment.frame = self.frame;
        fragment.local_frame = self.local_frame;
        fragment.spin = self.spin;
    }

    fn activate(&mut self, at: u32) {
        self.current = at;
        let fragment = &mut self.fragments[at as usize];
        fragment.state = State::Ready;
        self.active = fragment.mask;
        self.mask = fragment.mask;
        self.reconverge = if fragment.calls.is_empty() {
            fragment.reconverge
        } else {
            NONE
        };
        self.frame = fragment.frame;
        self.local_frame = fragment.local_frame;
        self.spin = fragment.spin;
        self.rebase();
    }

    /// Continues with some ready fragment; null when there is none, with the reason in `event`.
    pub fn switch(&mut self) -> *const Op {
        loop {
            if let Some(next) = self.ready.pop() {
                self.activate(next);
                return self.go(self.fragments[next as usize].pc);
            }
            if self.alive == 0 {
                self.event = Event::Done;
                return std::ptr::null();
            }
            if !self.unblock_sync() {
                self.event = Event::Blocked;
                return std::ptr::null();
            }
        }
    }

    /// Continues at `pc`, unless that is where this fragment ends.
    pub fn go(&mut self, pc: u32) -> *const Op {
        if pc == self.reconverge {
            self.arrive()
        } else {
            self.op_at(pc)
        }
    }

    fn arrive(&mut self) -> *const Op {
        let parent = self.fragments[self.current as usize].parent;
        self.fragments[parent as usize].arrived |= self.active;
        self.discard(self.current);
        self.child_ended(parent)
    }

    fn child_ended(&mut self, mut parent: u32) -> *const Op {
        while parent != NONE {
            let fragment = &mut self.fragments[parent as usize];
            fragment.children -= 1;
            if fragment.children > 0 {
                break;
            }
            if fragment.arrived != 0 {
                fragment.mask = std::mem::take(&mut fragment.arrived);
                let pc = fragment.pc;
                self.activate(parent);
                return self.go(pc);
            }
            let above = fragment.parent;
            self.discard(parent);
            parent = above;
        }
        self.switch()
    }

    /// Splits at a branch: `taken` go to `target`, the others of the active lanes to `next`.
    #[cold]
    pub fn diverge(&mut self, taken: u32, target: u32, next: u32, reconverge: u32) -> *const Op {
        let rest = self.active & !taken;
        self.split(&[(next, rest), (target, taken)], reconverge)
    }

    /// Splits into the given (pc, mask) parts, at least two, of which none is empty.
    pub fn split(&mut self, parts: &[(u32, u32)], reconverge: u32) -> *const Op {
        let current = self.current;
        if reconverge == NONE || reconverge == self.reconverge {
            self.split_level(parts);
        } else {
            self.save(reconverge, State::Waiting);
            self.fragments[current as usize].arrived = 0;
            for &(pc, mask) in parts.iter().rev() {
                if pc == reconverge {
                    self.fragments[current as usize].arrived |= mask;
                } else {
                    let child = self.fork(pc, mask, reconverge, current, Vec::new());
                    self.ready.push(child);
                }
            }
            self.wake_if_complete(current);
        }
        self.switch()
    }

    /// Splits within the region that the current fragment is in already.
    fn split_level(&mut self, parts: &[(u32, u32)]) {
        let current = self.current;
        let Fragment {
            parent, reconverge, ..
        } = self.fragments[current as usize];
        let mut kept = false;
        for &(pc, mask) in parts.iter().rev() {
            if pc == self.reconverge && parent != NONE {
                self.fragments[parent as usize].arrived |= mask;
            } else if kept {
                let calls = self.fragments[current as usize].calls.clone();
                let sibling = self.fork(pc, mask, reconverge, parent, calls);
                self.ready.push(sibling);
            } else {
                kept = true;
                self.active = mask;
                self.save(pc, State::Ready);
                self.ready.push(current);
            }
        }
        if !kept {
            self.discard(current);
            self.fragments[parent as usize].children -= 1;
            self.wake_if_complete(parent);
        }
    }

    /// A parent whose parts have all arrived goes on.
    fn wake_if_complete(&mut self, parent: u32) {
        let fragment = &mut self.fragments[parent as usize];
        if fragment.children == 0 {
            fragment.mask = std::mem::take(&mut fragment.arrived);
            fragment.state = State::Ready;
            self.ready.push(parent);
        }
    }

    /// The lanes of `mask` have executed `exit`.
    pub fn exit_lanes(&mut self, op: *const Op) -> *const Op {
        let gone = self.mask;
        self.exited |= gone;
        self.exits += gone.count_ones();
        self.active &= !gone;
        self.mask = self.active;
        if self.active != 0 {
            // SAFETY: an exit that not all lanes take is never the last operation of a program.
            return unsafe { op.add(1) };
        }
        let parent = self.fragments[self.current as usize].parent;
        self.discard(self.current);
        self.child_ended(parent)
    }

    /// Parks the current fragment, to go on at `pc` when the barrier completes.
    pub fn park_at_barrier(&mut self, barrier: u32, pc: u32) -> *const Op {
        self.save(pc, State::Barrier(barrier));
        self.switch()
    }

    /// The barrier has completed.
    pub fn pass_barrier(&mut self, barrier: u32) -> bool {
        let mut any = false;
        for at in 0..self.fragments.len() {
            if self.fragments[at].state == State::Barrier(barrier) {
                self.fragments[at].state = State::Ready;
                self.ready.push(at as u32);
                any = true;
            }
        }
        any
    }

    /// A fragment that waits at a barrier, for the message about a deadlock.
    pub fn parked_at(&self) -> Option<u32> {
        self.fragments
            .iter()
            .find(|f| matches!(f.state, State::Barrier(_)))
            .map(|f| f.pc)
    }

    /// Takes a backward branch to `target`: the place where a warp can be left and its fragments take turns.
    #[inline(always)]
    pub fn back_to(&mut self, target: u32) -> *const Op {
        if self.fuel > 0 && self.alive == 1 {
            self.go(target)
        } else {
            self.take_turns(target)
        }
    }

    #[cold]
    fn take_turns(&mut self, target: u32) -> *const Op {
        if self.fuel <= 0 {
            self.save(target, State::Ready);
            self.ready.push(self.current);
            self.event = Event::Turn;
            return std::ptr::null();
        }
        self.turn += 1;
        if self.turn >= TURN {
            self.turn = 0;
            if self.spin > SPINNING {
                self.spin = 0;
                self.release_arrived();
            }
            if !self.ready.is_empty() && target != self.reconverge {
                self.save(target, State::Ready);
                self.ready.insert(0, self.current);
                return self.switch();
            }
        }
        self.go(target)
    }

    /// Lets lanes go on that wait for the rest of their region.
    pub fn release_arrived(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.fragments.len() {
            let fragment = &self.fragments[at];
            if fragment.state != State::Waiting || fragment.arrived == 0 {
                continue;
            }
            let Fragment {
                pc,
                arrived,
                reconverge,
                parent,
                frame,
                local_frame,
                ..
            } = *fragment;
            let calls = fragment.calls.clone();
            let released = self.fork(pc, arrived, reconverge, parent, calls);
            self.fragments[released as usize].frame = frame;
            self.fragments[released as usize].local_frame = local_frame;
            self.fragments[at].arrived = 0;
            if pc == reconverge
                && self.fragments[released as usize].calls.is_empty()
                && parent != NONE
            {
                // The level above ends at the same place: the lanes are there at once.
                self.fragments[parent as usize].arrived |= arrived;
                self.fragments[parent as usize].children -= 1;
                self.discard(released);
            } else {
                self.ready.push(released);
            }
            any = true;
        }
        any
    }

    /// Parks at a warp-level instruction until all of `members` are there, and then runs it for all of them at once.
    pub fn park_at_sync(&mut self, op: *const Op, members: u32) -> *const Op {
        let pc = self.index_of(op);
        self.save(pc, State::Sync(members));
        if members & !self.exited & !self.present_at(pc) == 0 {
            self.run_sync(pc);
        }
        self.switch()
    }

    fn present_at(&self, pc: u32) -> u32 {
        let here = |f: &&Fragment| f.pc == pc && matches!(f.state, State::Sync(_));
        self.fragments
            .iter()
            .filter(here)
            .fold(0, |mask, f| mask | f.mask)
    }

    /// Runs the warp-level instruction at `pc` for every lane parked there; they go on apart.
    fn run_sync(&mut self, pc: u32) {
        let here = |f: &Fragment| f.pc == pc && matches!(f.state, State::Sync(_));
        let parked: Vec<(u32, u32)> = self
            .fragments
            .iter()
            .filter(|f| here(f))
            .map(|f| (f.frame, f.mask))
            .collect();
        let Some(&(first, _)) = parked.first() else {
            return;
        };
        // Lanes that came by different calls have their registers in different frames: they meet in one of no one's.
        let apart = parked.iter().any(|&(frame, _)| frame != first);
        if apart {
            self.use_spare_frame();
            for &(frame, lanes) in &parked {
                self.copy_frame(frame, self.frame, lanes);
            }
        } else {
            self.frame = first;
            self.rebase();
        }
        self.active = parked.iter().fold(0, |lanes, &(_, mask)| lanes | mask);
        self.mask = self.active;
        self.together = true;
        let op = self.op_at(pc);
        // SAFETY: the operation belongs to this program; with `together` set it runs without parking.
        unsafe { ((*op).run)(self, op) };
        self.together = false;
        if apart {
            for &(frame, lanes) in &parked {
                self.copy_frame(self.frame, frame, lanes);
            }
        }
        for at in 0..self.fragments.len() {
            let fragment = &mut self.fragments[at];
            if here(fragment) {
                fragment.pc = pc + 1;
                fragment.state = State::Ready;
                self.ready.push(at as u32);
            }
        }
    }

    /// Nothing is ready. Runs a warp-level instruction whose lanes are all there or, failing that, lets the lanes go on
    /// that its lanes may be waiting for or, as the last resort, runs it without those that cannot come.
    fn unblock_sync(&mut self) -> bool {
        let mut last = None;
        for at in 0..self.fragments.len() {
            let Fragment {
                state: State::Sync(members),
                pc,
                ..
            } = self.fragments[at]
            else {
                continue;
            };
            if members & !self.exited & !self.present_at(pc) == 0 {
                self.run_sync(pc);
                return true;
            }
            last = Some(pc);
        }
        let Some(pc) = last else { return false };
        if !self.release_arrived() {
            self.run_sync(pc);
        }
        true
    }
}
