//! What ends a session from outside its loop: the client is gone for good while the loop waits for the GPU, or a kernel keeps the
//! GPU from others for too long. Either way the process ends, and with it all it had. It also tells the client that this end lives.

use crate::gpu_time::Shared;
use crate::outbox::Outbox;
use crate::process::{log, now_ns};
use aquifer_cuda::CUDA_ERROR_LAUNCH_TIMEOUT;
use aquifer_protocol::HEARTBEAT;
use aquifer_protocol::generated::Closed;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// How long the loop has, in milliseconds, to end by itself when the client is gone.
const GRACE_MS: u64 = 500;
/// How often kernels are looked at, in milliseconds.
const LOOK_MS: i32 = 250;
/// The exit status of a worker whose kernel ran too long.
pub const EXIT_TIMEOUT: i32 = 3;

/// Starts the thread that watches the connection and the meters for the rest of the process's life.
pub fn start(
    outbox: Arc<Outbox>,
    meters: Vec<Arc<Shared>>,
    kernel_seconds: u64,
) -> std::io::Result<()> {
    let mut kept_from = vec![None; meters.len()];
    let watch = move || {
        let mut beaten = now_ns();
        loop {
            if outbox.is_resumable() {
                // The client may come back; that it does not, the loop finds.
                std::thread::sleep(Duration::from_millis(LOOK_MS as u64));
                if now_ns() - beaten > HEARTBEAT.as_nanos() as u64 {
                    beaten = now_ns();
                    outbox.beat();
                }
            } else if hung_up(&outbox) {
                std::thread::sleep(Duration::from_millis(GRACE_MS));
                meters.iter().for_each(|it| it.charge_unfinished());
                // SAFETY: ends the process without destructors: the loop may be inside the driver for ever.
                unsafe { libc::_exit(0) };
            }
            let now = now_ns();
            let limit = kernel_seconds.saturating_mul(1_000_000_000);
            for (meter, kept_from) in meters.iter().zip(&mut kept_from) {
                // Counted from when others began to wait: until then the kernel may take what time it likes.
                let since = meter.kept_since_ns();
                *kept_from = since.map(|since| kept_from.unwrap_or(now).max(since));
                if kept_from.is_some_and(|from| now.saturating_sub(from) > limit) {
                    meter.charge_unfinished();
                    give_up(&outbox, kernel_seconds);
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("watch".into())
        .stack_size(128 << 10)
        .spawn(watch)
        .map(|_| ())
}

fn hung_up(outbox: &Outbox) -> bool {
    let mut entry = libc::pollfd {
        fd: outbox.connection.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    let ready = unsafe { libc::poll(&mut entry, 1, LOOK_MS) };
    ready > 0 && entry.revents != 0
}

fn give_up(outbox: &Outbox, kernel_seconds: u64) {
    log(
        "error",
        "a kernel kept the GPU from others for too long",
        &[("kernelSeconds", &kernel_seconds)],
    );
    let closed = Closed {
        result: CUDA_ERROR_LAUNCH_TIMEOUT,
    };
    let reason =
        format!("a kernel ran for more than {kernel_seconds} s while others waited for the GPU");
    // The client may not read: it is told from a thread of its own, and not waited for.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(GRACE_MS));
            // SAFETY: as above.
            unsafe { libc::_exit(EXIT_TIMEOUT) };
        });
        let _ = outbox.send(&closed, reason.as_bytes());
        std::thread::sleep(Duration::from_millis(GRACE_MS / 2));
        // SAFETY: as above.
        unsafe { libc::_exit(EXIT_TIMEOUT) };
    });
}
