//! Launches: blocks spread over host threads.

use super::block::BlockRunner;
use super::program::Program;
use super::resolve::Memory;
use crate::error::Fault;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Sizes and parameters of one launch.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Shared memory beyond what the kernel declares, in bytes.
    pub dynamic_shared_bytes: u32,
    /// The kernel's parameters, laid out as `Kernel::params` says.
    pub params: &'a [u8],
    /// When it is ended if it still runs.
    pub deadline: Option<Instant>,
}

/// What a launch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// PTX instructions, counted once for each lane they were executed for.
    pub lane_instructions: u64,
}

/// What every warp of a launch can see.
pub(crate) struct Context<'a> {
    pub memory: &'a dyn Memory,
    pub stop: &'a AtomicBool,
    /// Another block has failed.
    pub failed: &'a AtomicBool,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub params: &'a [u8],
    pub dynamic_shared_bytes: u32,
    pub shared_bytes: u32,
    pub threads: u32,
    pub deadline: Option<Instant>,
}

const MAX_BLOCK_THREADS: u64 = 1024;

fn check(program: &Program, launch: &Launch) -> Result<(), Fault> {
    let refuse = |why: String| Err(Fault::InvalidLaunch(why));
    if launch.grid.contains(&0) || launch.block.contains(&0) {
        return refuse("every side of grid and block is at least 1".into());
    }
    let threads: u64 = launch
        .block
        .iter()
        .map(|&n| u64::from(n))
        .fold(1, u64::saturating_mul);
    if threads > MAX_BLOCK_THREADS {
        return refuse(format!(
            "a block of {threads} threads; at most {MAX_BLOCK_THREADS} are possible"
        ));
    }
    if launch.params.len() < program.param_bytes as usize {
        let (given, wanted) = (launch.params.len(), program.param_bytes);
        return refuse(format!(
            "{given} bytes of parameters; {} takes {wanted}",
            program.name
        ));
    }
    if program
        .shared_bytes
        .checked_add(launch.dynamic_shared_bytes)
        .is_none()
    {
        return refuse("more than 4 GiB of shared memory".into());
    }
    Ok(())
}

/// Runs a kernel on `threads` host threads and returns when all its blocks have ended, one has failed, or `stop` is
/// set (which is seen within a millisecond).
pub(crate) fn run(
    program: &Program,
    launch: &Launch,
    memory: &dyn Memory,
    stop: &AtomicBool,
    threads: usize,
) -> Result<Stats, Fault> {
    check(program, launch)?;
    let blocks = launch
        .grid
        .iter()
        .map(|&n| u64::from(n))
        .fold(1, u64::saturating_mul);
    let threads = (threads.max(1) as u64).min(blocks) as u32;
    let failed = AtomicBool::new(false);
    let context = Context {
        memory,
        stop,
        failed: &failed,
        grid: launch.grid,
        block: launch.block,
        params: launch.params,
        dynamic_shared_bytes: launch.dynamic_shared_bytes,
        shared_bytes: program.shared_bytes + launch.dynamic_shared_bytes,
        threads,
        deadline: launch.deadline,
    };
    // SAFETY: only the lifetime changes; every use ends before this function returns.
    let context: &Context<'static> = unsafe { &*(&raw const context).cast() };
    let next = AtomicU64::new(0);
    let total = AtomicU64::new(0);
    let fault = Mutex::new(None);
    let blocks_of = |thread: u32| -> Result<(), Fault> {
        let mut runner = BlockRunner::new(program, context, thread)?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= blocks || failed.load(Ordering::Relaxed) {
                total.fetch_add(runner.lane_instructions(), Ordering::Relaxed);
                return Ok(());
            }
            let [x, y, _] = context.grid.map(u64::from);
            let id = [index % x, index / x % y, index / x / y].map(|n| n as u32);
            runner.run(id)?;
        }
    };
    let work = |thread: u32| {
        if let Err(error) = blocks_of(thread) {
            failed.store(true, Ordering::Relaxed);
            fault
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .get_or_insert(error);
        }
    };
    if threads == 1 {
        work(0);
    } else {
        std::thread::scope(|scope| {
            let work = &work;
            for thread in 1..threads {
                scope.spawn(move || work(thread));
            }
            work(0);
        });
    }
    match fault
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
    {
        Some(fault) => Err(fault),
        None => Ok(Stats {
            lane_instructions: total.load(Ordering::Relaxed),
        }),
    }
}
