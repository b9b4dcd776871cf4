//! Processes by pid *and* start time, because a pid alone is soon somebody else's; and by pidfd, which never is.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

/// A process for as long as it lives: no other process ever has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// The pid in this pid namespace.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot.
    pub start_time: u64,
}

impl ProcessId {
    /// This process.
    pub fn own() -> io::Result<Self> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Self::of(pid)
    }

    /// The process that has `pid` now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
        let start_time =
            start_time_of(&stat).ok_or_else(|| io::Error::other("unreadable /proc/PID/stat"))?;
        Ok(Self { pid, start_time })
    }

    /// Whether it still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = std::fs::read(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        let state = fields_after_name(&stat).and_then(|mut fields| fields.next());
        start_time_of(&stat) == Some(self.start_time) && !matches!(state, Some(b"Z" | b"X"))
    }

    /// A descriptor of exactly this process; `NotFound` when it has ended.
    pub fn open(&self) -> io::Result<PidFd> {
        let pidfd = PidFd::of(self.pid)?;
        // Read after the pidfd is held: the pid cannot have changed hands in between and still show this start time.
        if self.is_alive() {
            Ok(pidfd)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// The fields from the third on. The second, the name, may itself hold blanks and parentheses.
fn fields_after_name(stat: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    Some(stat.get(end + 2..)?.split(|byte| *byte == b' '))
}

fn start_time_of(stat: &[u8]) -> Option<u64> {
    std::str::from_utf8(fields_after_name(stat)?.nth(19)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// A process by descriptor: readable (for poll) when it has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has `pid` now.
    pub fn of(pid: i32) -> io::Result<Self> {
        // SAFETY: takes two integers and gives back a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => {
                    io::ErrorKind::NotFound.into()
                }
                error => error,
            });
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Whether it has ended. While it has not, nobody else can have its pid.
    pub fn has_ended(&self) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives through the call; it does not wait.
        match unsafe { libc::poll(&mut poll, 1, 0) } {
            -1 => Err(io::Error::last_os_error()),
            ready => Ok(ready > 0),
        }
    }

    /// Sends `signal`. A process that has ended is no error.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open; a null siginfo asks for the default one.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                none,
                0,
            )
        };
        match io::Error::last_os_error() {
            error if result < 0 && error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => Ok(()),
        }
    }
}

impl From<OwnedFd> for PidFd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Makes this process the leader of its own terminal session, so that a ^C at the starter's terminal is not meant for
/// it. A process that leads a group already (started by a shell with job control) stays as it is.
pub fn leave_terminal() {
    // SAFETY: takes nothing; its one failure (already a group leader) changes nothing.
    unsafe { libc::setsid() };
}

/// Raises the number of descriptors this process may hold to what it is allowed, and says how many that is.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills `limit`, which lives through both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_shift_its_fields() {
        let rest = (4..=30)
            .map(|field| field.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let stat = format!("12 (a) S (b) S {rest}\n");
        assert_eq!(start_time_of(stat.as_bytes()), Some(22));
        assert_eq!(start_time_of(b"12 (a"), None);
        assert_eq!(start_time_of(b"12 (a)"), None);
    }

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        let other = ProcessId {
            start_time: own.start_time + 1,
            ..own
        };
        assert!(!other.is_alive());
        assert_eq!(other.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_child_that_ended_is_not_alive_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32).unwrap();
        let pidfd = PidFd::of(id.pid).unwrap();
        let mut poll = libc::pollfd {
            fd: pidfd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives through the call.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, 5_000) }, 1);
        assert!(!id.is_alive() && pidfd.has_ended().unwrap());
        assert!(
            !PidFd::of(ProcessId::own().unwrap().pid)
                .unwrap()
                .has_ended()
                .unwrap()
        );
        child.wait().unwrap();
        pidfd.signal(libc::SIGTERM).unwrap();
    }
}
