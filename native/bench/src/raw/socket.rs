//! The socket under a raw connection: as the kernel has it, with the bound on one send that a guest's vsock needs.

use std::fs::File;
use std::io::{IoSlice, Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// As large as Aquifer asks for.
const SOCKET_BUFFER_BYTES: i32 = 1 << 20;
/// As much as Aquifer sends at once over vsock.
const VSOCK_MOST_BYTES: usize = 28 << 10;
/// The host of a guest.
const HOST_CID: u32 = 2;
/// Records of 16 KiB that one send may have over vsock.
const PARTS: usize = 2;

pub struct Socket {
    file: File,
    most: usize,
}

impl Socket {
    /// A connected stream socket of any kind.
    pub fn new(socket: OwnedFd) -> Self {
        let set = |level: i32, name: i32, value: i32| {
            let (value, length) = ((&raw const value).cast(), size_of::<i32>() as u32);
            // SAFETY: `value` is an int as all these options take; a refusal only costs speed.
            unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
        };
        set(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        set(libc::SOL_SOCKET, libc::SO_SNDBUF, SOCKET_BUFFER_BYTES);
        set(libc::SOL_SOCKET, libc::SO_RCVBUF, SOCKET_BUFFER_BYTES);
        Self {
            file: socket.into(),
            most: usize::MAX,
        }
    }

    /// From a guest to a vsock port of its host.
    pub fn vsock(port: u32) -> Result<Self> {
        // SAFETY: takes integers.
        let raw =
            unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if raw < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: all-zero is a valid sockaddr_vm.
        let mut name: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
        name.svm_family = libc::AF_VSOCK as libc::sa_family_t;
        (name.svm_cid, name.svm_port) = (HOST_CID, port);
        let length = size_of::<libc::sockaddr_vm>() as u32;
        // SAFETY: a whole sockaddr_vm, which lives through the call.
        if unsafe { libc::connect(raw, (&raw const name).cast(), length) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let mut socket = Self::new(socket);
        socket.most = VSOCK_MOST_BYTES;
        Ok(socket)
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        self.file.read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(&bytes[..bytes.len().min(self.most)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<usize> {
        if self.most == usize::MAX {
            return self.file.write_vectored(parts);
        }
        let mut left = self.most;
        let mut fitting = [IoSlice::new(&[]); PARTS];
        for (fits, part) in fitting.iter_mut().zip(parts) {
            *fits = IoSlice::new(&part[..part.len().min(left)]);
            left -= fits.len();
        }
        self.file.write_vectored(&fitting)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
