//! A thin epoll: one thread watches everything, so that ten thousand idle peers cost descriptors and nothing else.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What happened to a watched descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The token it was added with.
    pub token: u64,
    /// There is something to read, or the end of stream, or an error.
    pub readable: bool,
    /// It takes bytes again, or an error is to be found by writing.
    pub writable: bool,
}

/// The descriptors that one event loop watches, level-triggered.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

const READ: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32;
const WRITE: u32 = libc::EPOLLOUT as u32;

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes a flag and gives back a descriptor or -1.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        Ok(Self { epoll })
    }

    fn control(
        &self,
        operation: i32,
        fd: &impl AsRawFd,
        events: u32,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open for the call, and `event` lives through it.
        let result = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &mut event,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Watches `fd` for reading. Closing the descriptor's last copy ends the watch.
    pub fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, READ, token)
    }

    /// Watches `fd` for writing alone: a connection that is being made.
    pub fn add_writable(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, WRITE, token)
    }

    /// Changes what is watched.
    pub fn set(&self, fd: &impl AsRawFd, token: u64, read: bool, write: bool) -> io::Result<()> {
        let events = if read { READ } else { 0 } | if write { WRITE } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    /// Ends the watch. Needed where a copy of the descriptor lives on elsewhere.
    pub fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Another handle on the same set.
    pub fn try_clone(&self) -> io::Result<Self> {
        let epoll = self.epoll.try_clone()?;
        Ok(Self { epoll })
    }

    /// Waits for events, at most `timeout` (`None`: for ever; rounded up to whole milliseconds).
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        const BATCH: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let milliseconds = timeout.map_or(-1, |t| {
            i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        // SAFETY: `events` has room for BATCH entries, and the kernel writes at most that many.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH as i32,
                milliseconds,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(Vec::new())
            } else {
                Err(error)
            };
        }
        let failed = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        Ok(events[..count as usize]
            .iter()
            .map(|event| Event {
                token: event.u64,
                readable: event.events & (READ | failed) != 0,
                writable: event.events & (WRITE | failed) != 0,
            })
            .collect())
    }
}
