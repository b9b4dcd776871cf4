//! System calls on stream sockets, with the flags that every caller here wants.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;
use std::time::Duration;

/// Nanoseconds of the monotonic clock.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Receives without waiting. 0 is the end of the stream.
pub(crate) fn recv_now(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: `buffer` is writable for its whole length.
        let got = unsafe {
            libc::recv(
                fd,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        match checked(got) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

/// Receives into one part after the other, waiting for at least one byte; WouldBlock where the descriptor says never to wait.
pub(crate) fn recv_parts(fd: RawFd, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    loop {
        // SAFETY: as in `send`; the parts are writable for their whole lengths.
        let got = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = parts.as_mut_ptr().cast();
            message.msg_iovlen = parts.len() as _;
            libc::recvmsg(fd, &mut message, 0)
        };
        match checked(got) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

/// Sends what fits without waiting.
pub(crate) fn send_now(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    send(fd, parts, libc::MSG_DONTWAIT)
}

/// Sends; without MSG_DONTWAIT in `flags`, all of it, unless the descriptor says never to wait.
pub(crate) fn send(fd: RawFd, parts: &[IoSlice<'_>], flags: i32) -> io::Result<usize> {
    loop {
        // SAFETY: an all-zero msghdr is valid; the fields set below describe memory that outlives the call, which only
        // reads it. IoSlice has the layout of iovec.
        let sent = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = parts.as_ptr().cast_mut().cast();
            message.msg_iovlen = parts.len() as _;
            libc::sendmsg(fd, &message, flags | libc::MSG_NOSIGNAL)
        };
        match checked(sent) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

/// Waits until one of `events` (POLLIN, POLLOUT) holds. False when `timeout` passed first; none waits for ever.
pub(crate) fn wait_for(fd: RawFd, events: i16, timeout: Option<Duration>) -> io::Result<bool> {
    let milliseconds = timeout.map_or(-1, |time| {
        i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
    });
    let mut entry = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    loop {
        // SAFETY: `entry` is one valid pollfd.
        let ready = unsafe { libc::poll(&mut entry, 1, milliseconds) };
        match checked(ready as isize) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other.map(|count| count > 0),
        }
    }
}

/// Waits until there is something to read, the end of the stream included. False when `timeout` passed first.
pub fn wait_readable(fd: RawFd, timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(fd, libc::POLLIN, timeout)
}

/// vsock from a guest: a longer piece becomes a packet in several parts (Linux 6.12 and later), which vhost-device-vsock 0.3
/// garbles or never delivers. The kernel cuts at 32 KiB less two headers.
const VSOCK_MOST_BYTES: usize = 28 << 10;

/// The most bytes that one call may send on this socket.
pub(crate) fn most_at_once(fd: RawFd) -> usize {
    let mut family = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: an int option, written to `family` during the call; on failure it stays 0, which is no family.
    unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut family).cast(),
            &mut length,
        )
    };
    if family == libc::AF_VSOCK {
        VSOCK_MOST_BYTES
    } else {
        usize::MAX
    }
}

/// Sets close-on-exec and, where the socket is TCP, TCP_NODELAY; asks for the buffers that bulk pieces need.
pub(crate) fn prepare(fd: RawFd, buffer_bytes: i32) {
    let set = |level: i32, name: i32, value: i32| {
        // SAFETY: `value` is an int as all three options take; a refusal only costs speed.
        unsafe {
            libc::setsockopt(
                fd,
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
    };
    // SAFETY: plain system call on a descriptor of the caller.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    set(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    set(libc::SOL_SOCKET, libc::SO_SNDBUF, buffer_bytes);
    set(libc::SOL_SOCKET, libc::SO_RCVBUF, buffer_bytes);
}
