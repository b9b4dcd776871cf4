//! TCP connections between hosts: made without blocking, found dead in time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crate::tls_link::Socket;

/// How long unacknowledged bytes, or a silent peer, are borne before the connection counts as lost.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Quiet time before the kernel asks the peer whether it lives.
const ASK_AFTER_SECONDS: i32 = 2;
/// Between such questions.
const ASK_EVERY_SECONDS: i32 = 1;

fn set(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let pointer = std::ptr::from_ref(&value).cast();
    // SAFETY: an integer option, read from `value` during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            pointer,
            size_of::<i32>() as u32,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sends small messages at once, and finds a peer that is gone within [`DEAD_AFTER`] whether or not bytes are on
/// their way.
pub fn prepare(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_KEEPIDLE,
        ASK_AFTER_SECONDS,
    )?;
    set(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_KEEPINTVL,
        ASK_EVERY_SECONDS,
    )?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)?;
    set(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        DEAD_AFTER.as_millis() as i32,
    )
}

/// Begins a connection; it stands when the socket is writable and [`outcome`] says so.
pub fn begin_connect(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::open(if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    })?;
    prepare(&socket)?;
    let result = match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            let length = size_of::<libc::sockaddr_in>() as u32;
            // SAFETY: a whole sockaddr_in, which lives through the call.
            unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&name).cast(), length) }
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            let length = size_of::<libc::sockaddr_in6>() as u32;
            // SAFETY: a whole sockaddr_in6, which lives through the call.
            unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&name).cast(), length) }
        }
    };
    match io::Error::last_os_error() {
        error if result < 0 && error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// How a connection that was begun has ended: well, or with the error that it met.
pub fn outcome(socket: &impl AsRawFd) -> io::Result<()> {
    let mut code = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(&mut code).cast();
    // SAFETY: an integer option, written to `code` during the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            pointer,
            &mut length,
        )
    };
    match (result, code) {
        (0, 0) => Ok(()),
        (0, code) => Err(io::Error::from_raw_os_error(code)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a connection that was begun stands already; the error that it met.
pub fn is_connected(socket: &impl AsRawFd) -> io::Result<bool> {
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one pollfd, which lives through the call; it does not wait.
    let ready = unsafe { libc::poll(&mut entry, 1, 0) } > 0;
    if ready {
        outcome(socket)?;
    }
    Ok(ready)
}

/// Makes a descriptor block again, as the processes expect that it is handed to.
pub fn make_blocking(descriptor: &OwnedFd) -> io::Result<()> {
    // SAFETY: fcntl on an open descriptor with integer arguments.
    let result = unsafe {
        let flags = libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(
            descriptor.as_raw_fd(),
            libc::F_SETFL,
            flags & !libc::O_NONBLOCK,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
