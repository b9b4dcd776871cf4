//! AF_VSOCK: connections between a guest and its host without a network. A context id tells where a peer is and proves
//! nothing: any process of a guest may have it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::tls_link::Socket;

fn name(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: all-zero is a valid sockaddr_vm.
    let mut name: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    name.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    name.svm_cid = cid;
    name.svm_port = port;
    name
}

const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_vm>() as libc::socklen_t;

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Listens for the guests of this host, at a port of vsock.
#[derive(Debug)]
pub struct VsockListener(OwnedFd);

impl VsockListener {
    /// Fails where the kernel has no vsock.
    pub fn bind(port: u32) -> io::Result<Self> {
        let socket = Socket::open(libc::AF_VSOCK)?.into_descriptor();
        let name = name(libc::VMADDR_CID_ANY, port);
        let pointer = std::ptr::from_ref(&name).cast();
        // SAFETY: a whole sockaddr_vm, which lives through the call.
        checked(unsafe { libc::bind(socket.as_raw_fd(), pointer, LENGTH) })?;
        // SAFETY: takes integers.
        checked(unsafe { libc::listen(socket.as_raw_fd(), i32::from(i16::MAX)) })?;
        Ok(Self(socket))
    }

    /// A connection and where it comes from, as `CID:PORT`.
    pub fn accept(&self) -> io::Result<(OwnedFd, String)> {
        let mut name = name(0, 0);
        let mut length = LENGTH;
        let pointer = std::ptr::from_mut(&mut name).cast();
        let (socket, flags) = (self.0.as_raw_fd(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        // SAFETY: room for a whole sockaddr_vm, whose length is passed along.
        let raw = checked(unsafe { libc::accept4(socket, pointer, &mut length, flags) })?;
        // SAFETY: a fresh descriptor that nobody else owns.
        let accepted = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok((accepted, format!("{}:{}", name.svm_cid, name.svm_port)))
    }
}

impl AsRawFd for VsockListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Below it a port is had by those alone who may (CAP_NET_BIND_SERVICE).
const FIRST_UNRESERVED: u32 = 1024;

/// Begins a connection, as [`crate::tcp::begin_connect`] does; the kernel gives it up after two seconds.
pub fn begin_connect(cid: u32, port: u32) -> io::Result<Socket> {
    connect(Socket::open(libc::AF_VSOCK)?, cid, port)
}

/// The same from a reserved port, as a proof of privilege; from another one where this process may have none.
pub fn begin_connect_from_reserved(cid: u32, port: u32) -> io::Result<Socket> {
    let socket = Socket::open(libc::AF_VSOCK)?;
    for from in (FIRST_UNRESERVED / 2..FIRST_UNRESERVED).rev() {
        let name = name(libc::VMADDR_CID_ANY, from);
        let pointer = std::ptr::from_ref(&name).cast();
        // SAFETY: a whole sockaddr_vm, which lives through the call.
        match checked(unsafe { libc::bind(socket.as_raw_fd(), pointer, LENGTH) }) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => break,
        }
    }
    connect(socket, cid, port)
}

fn connect(socket: Socket, cid: u32, port: u32) -> io::Result<Socket> {
    let name = name(cid, port);
    let pointer = std::ptr::from_ref(&name).cast();
    // SAFETY: a whole sockaddr_vm, which lives through the call.
    match checked(unsafe { libc::connect(socket.as_raw_fd(), pointer, LENGTH) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}
