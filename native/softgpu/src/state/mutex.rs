//! A mutex in shared memory that a dead holder loses.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    Clean,
    /// The former holder died with it: what the mutex guards may be half done.
    HolderDied,
}

/// Makes the bytes a mutex for threads of any process. To be called once, before anyone else can see them.
pub fn initialize(mutex: &UnsafeCell<libc::pthread_mutex_t>) {
    let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    // SAFETY: the attributes are initialised by the first call before the others use them, and the mutex is valid
    // memory that no other thread can reach yet, as the caller promises. None of these calls can fail on Linux.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutex_init(mutex.get(), attributes.as_ptr());
        libc::pthread_mutexattr_destroy(attributes.as_mut_ptr());
    }
}

/// Takes the mutex if it is free.
pub fn try_lock(mutex: &UnsafeCell<libc::pthread_mutex_t>) -> Option<Acquired> {
    // SAFETY: the mutex was initialised before it became reachable.
    settle(mutex, unsafe { libc::pthread_mutex_trylock(mutex.get()) })
}

/// Waits up to `milliseconds` for the mutex.
pub fn lock_within(
    mutex: &UnsafeCell<libc::pthread_mutex_t>,
    milliseconds: u64,
) -> Option<Acquired> {
    let mut until = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `until` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut until) };
    let nanoseconds = until.tv_nsec as u64 + milliseconds * 1_000_000;
    until.tv_sec += (nanoseconds / 1_000_000_000) as libc::time_t;
    until.tv_nsec = (nanoseconds % 1_000_000_000) as libc::c_long;
    // SAFETY: the mutex was initialised before it became reachable.
    settle(mutex, unsafe {
        libc::pthread_mutex_timedlock(mutex.get(), &until)
    })
}

/// Gives back a mutex that the calling thread holds.
pub fn unlock(mutex: &UnsafeCell<libc::pthread_mutex_t>) {
    // SAFETY: the mutex was initialised, and the calling thread holds it, as the caller promises.
    unsafe { libc::pthread_mutex_unlock(mutex.get()) };
}

fn settle(mutex: &UnsafeCell<libc::pthread_mutex_t>, code: libc::c_int) -> Option<Acquired> {
    match code {
        0 => Some(Acquired::Clean),
        libc::EOWNERDEAD => {
            // SAFETY: EOWNERDEAD means that the calling thread now holds the mutex.
            unsafe { libc::pthread_mutex_consistent(mutex.get()) };
            Some(Acquired::HolderDied)
        }
        _ => None,
    }
}
