//! Running one kernel of a stream: waiting for the device's time, computing, and what a fault does.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use aquifer_ptx::Launch;

use crate::code::Code;
use crate::context::Context;
use crate::driver;
use crate::fault::Fault;

const HANG_POLL: Duration = Duration::from_millis(5);

/// A kernel with everything that it needs.
pub struct KernelRun {
    pub code: Arc<Code>,
    pub kernel: usize,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
    pub params: Vec<u8>,
}

impl KernelRun {
    /// Computes, in the calling thread. A fault makes the context unusable and is told on stderr.
    pub fn run(&self, context: &'static Context) {
        let stopped = || context.stop.load(Acquire);
        let given_up = || stopped() || context.check().is_err();
        let Some(turn) = context.device.shared.turn(context.row, given_up) else {
            return;
        };
        while context.device.faults.fault() == Some(Fault::Hang) {
            if stopped() {
                return;
            }
            std::thread::sleep(HANG_POLL);
        }
        let Some(settings) = driver::started().map(|driver| &driver.settings) else {
            return;
        };
        if settings.null_kernels {
            return;
        }
        let launch = Launch {
            grid: self.grid,
            block: self.block,
            dynamic_shared_bytes: self.dynamic_shared_bytes,
            params: &self.params,
            deadline: settings.kernel_limit.map(|limit| Instant::now() + limit),
        };
        let done = self
            .code
            .run(self.kernel, &launch, context, settings.threads);
        drop(turn);
        if let Err((code, sentence)) = done {
            if context.failure().is_none() {
                eprintln!("softgpu: device {}: {sentence}", context.device.index);
            }
            context.fail(code);
        }
    }
}
