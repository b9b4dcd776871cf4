//! Locks and wake-ups between processes that may die at any instruction.

use std::io::{Error, Result};
use std::sync::atomic::AtomicU32;

/// The bytes of an unlocked, robust, process-shared mutex.
pub fn fresh_mutex() -> Result<[u8; size_of::<libc::pthread_mutex_t>()]> {
    // SAFETY: attribute and mutex are initialised by the calls before use, and an unused mutex may be copied as bytes.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        let mut mutex: libc::pthread_mutex_t = std::mem::zeroed();
        let made = libc::pthread_mutexattr_init(&mut attributes) == 0
            && libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED)
                == 0
            && libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST) == 0
            && libc::pthread_mutex_init(&mut mutex, &attributes) == 0;
        if !made {
            return Err(Error::other(
                "robust process-shared mutexes are not supported here",
            ));
        }
        Ok(std::mem::transmute::<
            libc::pthread_mutex_t,
            [u8; size_of::<libc::pthread_mutex_t>()],
        >(mutex))
    }
}

/// Sleeps until `word` is woken, or is not `seen` any more, or `timeout_ns` passed; or for no reason.
pub fn futex_wait(word: &AtomicU32, seen: u32, timeout_ns: u64) {
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the word is mapped for the length of the call; spurious returns are fine.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            seen,
            &timeout,
        )
    };
}

/// Wakes one sleeper on `word`.
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}
