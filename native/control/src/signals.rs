//! Signals as something to read, so that no code runs inside a handler.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The signals that a process takes by reading. They stay blocked for the whole process.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Blocks `signals` and makes them readable. Call it before any thread is started. SIGPIPE and SIGHUP are
    /// ignored: a peer that left is seen by the write, and a terminal that left is no reason to end.
    pub fn take(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: `set` is initialised by sigemptyset before it is read; the other calls take it by pointer only.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            if libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let descriptor = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self {
                descriptor: OwnedFd::from_raw_fd(descriptor),
            })
        }
    }

    /// The next signal that came, `None` when there is none.
    pub fn next(&self) -> Option<i32> {
        let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes one whole record or nothing; it is read only when `size` bytes came.
        unsafe {
            let count = libc::read(self.descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (count == size as isize).then(|| info.assume_init().ssi_signo as i32)
        }
    }
}

/// Starts a program with the signal mask and dispositions that programs expect, whatever [`Signals::take`] has changed.
pub fn spawn_unblocked(command: &mut Command) -> io::Result<Child> {
    // SAFETY: between fork and exec it makes system calls only, on a set that sigemptyset has initialised.
    unsafe {
        command.pre_exec(|| {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            Ok(())
        })
    };
    command.spawn()
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
