//! A blocking connection, in the clear or with TLS 1.3.

use super::tls::Tls;
use std::fs::File;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsRawFd, OwnedFd};

/// As large as Aquifer asks for.
const SOCKET_BUFFER_BYTES: i32 = 1 << 20;

pub enum Link {
    Plain(File),
    Tls(Box<Tls>),
}

fn prepare(socket: OwnedFd) -> File {
    let set = |level: i32, name: i32, value: i32| {
        let (value, length) = ((&raw const value).cast(), size_of::<i32>() as u32);
        // SAFETY: `value` is an int as all these options take; a refusal only costs speed.
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
    };
    set(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    set(libc::SOL_SOCKET, libc::SO_SNDBUF, SOCKET_BUFFER_BYTES);
    set(libc::SOL_SOCKET, libc::SO_RCVBUF, SOCKET_BUFFER_BYTES);
    socket.into()
}

impl Link {
    pub fn plain(socket: OwnedFd) -> Self {
        Self::Plain(prepare(socket))
    }

    pub fn tls_client(socket: OwnedFd) -> Result<Self> {
        Tls::client(prepare(socket)).map(|tls| Self::Tls(Box::new(tls)))
    }

    pub fn tls_server(socket: OwnedFd) -> Result<Self> {
        Tls::server(prepare(socket)).map(|tls| Self::Tls(Box::new(tls)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.send(bytes),
        }
    }

    /// Receives what is there, waiting for at least one byte.
    pub fn receive_some(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let got = match self {
            Self::Plain(socket) => socket.read(bytes)?,
            Self::Tls(tls) => tls.receive_some(bytes)?,
        };
        if got == 0 && !bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(got)
    }

    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.receive_some(&mut bytes[done..])?;
        }
        Ok(())
    }
}
