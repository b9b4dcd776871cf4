//! Who is at the other end of a unix socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::process::{PidFd, ProcessId};

/// SO_PEERPIDFD (Linux 6.5), which older headers do not name.
const SO_PEERPIDFD: i32 = 77;

/// The process that connected.
#[derive(Debug)]
pub struct Peer {
    /// Pid and start time, as they were when the connection was accepted.
    pub process: ProcessId,
    /// Its user.
    pub uid: u32,
    /// Its life: readable when it has ended.
    pub pidfd: PidFd,
}

fn option<T>(socket: &impl AsRawFd, name: i32, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(value).cast();
    // SAFETY: `value` is a plain kernel structure of exactly the length that is passed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            pointer,
            &mut length,
        )
    };
    if result < 0 || length as usize != size_of::<T>() {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Asks the kernel who connected. On kernels before 6.5 the pid could be reused between connecting and asking; the
/// start time read before and after the pidfd is opened shows it, except when it happened before the first read.
pub fn peer_of(socket: &impl AsRawFd) -> io::Result<Peer> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    option(socket, libc::SO_PEERCRED, &mut credentials)?;
    if credentials.pid <= 0 {
        return Err(io::Error::other(
            "the peer is not in a pid namespace that can be seen from here",
        ));
    }
    let mut raw = -1;
    let pidfd = match option(socket, SO_PEERPIDFD, &mut raw) {
        // SAFETY: a fresh descriptor that the kernel made for us.
        Ok(()) => PidFd::from(unsafe { OwnedFd::from_raw_fd(raw) }),
        Err(_) => ProcessId::of(credentials.pid)?.open()?,
    };
    let process = ProcessId::of(credentials.pid)?;
    Ok(Peer {
        process,
        uid: credentials.uid,
        pidfd,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pair_made_here_shows_this_process() {
        let (left, _right) = UnixStream::pair().unwrap();
        let peer = peer_of(&left).unwrap();
        assert_eq!(peer.process, ProcessId::own().unwrap());
    }
}
