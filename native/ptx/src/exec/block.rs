//! One block: its warps take turns on one host thread.

use super::buffer::Buffer;
use super::launch::Context;
use super::program::Program;
use super::warp::{Event, Warp};
use crate::error::Fault;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Instructions a warp runs before the others are due and the stop flag is read: well under a millisecond.
const TURN_FUEL: i64 = 8192;

#[derive(Debug, Clone, Copy, Default)]
struct Barrier {
    arrived: u32,
    /// 0: every thread of the block that has not exited.
    threads: u32,
    votes: u32,
    waited_on: bool,
    /// Votes and voters of the last completed round.
    result: (u32, u32),
}

/// What the warps of a block share.
pub(crate) struct BlockState {
    pub id: [u32; 3],
    /// Which host thread runs the block.
    pub thread: u32,
    live: u32,
    barriers: [Barrier; 16],
}

impl BlockState {
    /// Threads arrive at a barrier that waits for `threads` (0: all).
    pub fn arrive(&mut self, barrier: u32, lanes: u32, threads: u32, votes: u32) {
        let barrier = &mut self.barriers[barrier as usize & 15];
        barrier.arrived += lanes;
        barrier.threads = threads;
        barrier.votes += votes;
        barrier.waited_on = true;
    }

    /// Votes and voters of the barrier's last round.
    pub fn reduced(&self, barrier: u32) -> (u32, u32) {
        self.barriers[barrier as usize & 15].result
    }

    fn take_completed(&mut self) -> Option<u32> {
        let live = self.live;
        let complete =
            |b: &Barrier| b.waited_on && b.arrived >= if b.threads == 0 { live } else { b.threads };
        let at = self.barriers.iter().position(complete)?;
        let barrier = &mut self.barriers[at];
        *barrier = Barrier {
            result: (barrier.votes, barrier.arrived),
            ..Barrier::default()
        };
        Some(at as u32)
    }
}

/// What one host thread needs to run blocks, made once a launch.
pub(crate) struct BlockRunner<'a> {
    context: &'a Context<'static>,
    program: &'a Program,
    state: Box<BlockState>,
    warps: Vec<Warp>,
    // Warps hold pointers into these.
    _shared: Buffer,
    _local: Buffer,
}

impl<'a> BlockRunner<'a> {
    pub fn new(
        program: &'a Program,
        context: &'a Context<'static>,
        thread: u32,
    ) -> Result<BlockRunner<'a>, Fault> {
        let threads: u32 = context.block.iter().product();
        let shared_bytes = context.shared_bytes as usize;
        let lane_bytes = program.local_bytes as usize;
        let warp_count = threads.div_ceil(32);
        let local_bytes = lane_bytes * 32 * warp_count as usize;
        let (Some(shared), Some(local)) =
            (Buffer::try_new(shared_bytes), Buffer::try_new(local_bytes))
        else {
            return Err(Fault::InvalidLaunch(format!(
                "no memory for {shared_bytes} bytes of shared and {local_bytes} of local memory"
            )));
        };
        let mut state = Box::new(BlockState {
            id: [0; 3],
            thread,
            live: 0,
            barriers: [Barrier::default(); 16],
        });
        let mut warps: Vec<Warp> = (0..warp_count)
            .map(|_| Warp::new(program, context))
            .collect();
        for (index, warp) in warps.iter_mut().enumerate() {
            warp.index = index as u32;
            warp.block = &raw mut *state;
            warp.shared = shared.start();
            warp.shared_bytes = shared_bytes as u64;
            warp.local = local.start().wrapping_add(index * 32 * lane_bytes);
            for lane in 0..32 {
                let id = index as u32 * 32 + lane as u32;
                let [x, y, _] = context.block;
                warp.thread_ids[0][lane] = id % x;
                warp.thread_ids[1][lane] = id / x % y;
                warp.thread_ids[2][lane] = id / x / y;
            }
        }
        Ok(BlockRunner {
            context,
            program,
            state,
            warps,
            _shared: shared,
            _local: local,
        })
    }

    /// Lane instructions run so far.
    pub fn lane_instructions(&self) -> u64 {
        self.warps.iter().map(|w| w.lane_instructions).sum()
    }

    /// Runs the block at `id` to its end.
    pub fn run(&mut self, id: [u32; 3]) -> Result<(), Fault> {
        let threads: u32 = self.context.block.iter().product();
        self.state.id = id;
        self.state.live = threads;
        self.state.barriers = [Barrier::default(); 16];
        for (index, warp) in self.warps.iter_mut().enumerate() {
            let lanes = (threads - index as u32 * 32).min(32);
            warp.start(u32::MAX >> (32 - lanes));
        }
        loop {
            let mut progress = false;
            for at in 0..self.warps.len() {
                if self.warps[at].ready.is_empty() {
                    continue;
                }
                progress = true;
                self.turn(at)?;
            }
            if self.state.live == 0 {
                return Ok(());
            }
            if !progress {
                self.unblock()?;
            }
        }
    }

    fn turn(&mut self, at: usize) -> Result<(), Fault> {
        if self.context.stop.load(Ordering::Relaxed) || self.context.failed.load(Ordering::Relaxed)
        {
            return Err(Fault::Stopped);
        }
        if self.context.deadline.is_some_and(|at| Instant::now() >= at) {
            return Err(Fault::TimedOut {
                kernel: self.program.name.clone(),
            });
        }
        let warp = &mut self.warps[at];
        warp.run(TURN_FUEL);
        let exits = std::mem::take(&mut warp.exits);
        self.state.live -= exits;
        if let Event::Fault(fault) = std::mem::replace(&mut warp.event, Event::Turn) {
            return Err(fault);
        }
        self.pass_barriers();
        Ok(())
    }

    fn pass_barriers(&mut self) {
        while let Some(barrier) = self.state.take_completed() {
            for warp in &mut self.warps {
                warp.pass_barrier(barrier);
            }
        }
    }

    /// No warp can run: lanes that wait for others of their warp are let go, as they may be what a barrier waits for.
    fn unblock(&mut self) -> Result<(), Fault> {
        let mut released = false;
        for warp in &mut self.warps {
            released |= warp.release_arrived();
        }
        if released {
            return Ok(());
        }
        let pc = self.warps.iter().find_map(Warp::parked_at).unwrap_or(0);
        // The fragment would go on after the barrier, which is the operation before.
        let line = self
            .program
            .lines
            .get((pc as usize).saturating_sub(1))
            .copied()
            .unwrap_or(0);
        Err(Fault::BarrierDeadlock {
            kernel: self.program.name.clone(),
            line,
        })
    }
}
