//! A control connection: frames over TLS over any stream socket, never blocking.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustls::Connection;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value};

use crate::frames::{FrameBuffer, encode_frame};
use crate::identity::HolderKey;
use crate::limits::MAX_UNSENT;
use crate::tls::holder_of;

/// A connected stream socket of any family, non-blocking.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Takes over a descriptor and makes it non-blocking.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: fcntl on an open descriptor with integer arguments.
        let result = unsafe {
            let flags = libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(
                descriptor.as_raw_fd(),
                libc::F_SETFL,
                flags | libc::O_NONBLOCK,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(descriptor))
        }
    }

    /// A socket of `domain` that is not connected yet.
    pub fn open(domain: i32) -> io::Result<Self> {
        // SAFETY: takes integers and gives back a descriptor or -1.
        let raw = unsafe {
            libc::socket(
                domain,
                libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                0,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Receives into `bytes`; `peek` leaves them there.
    pub fn receive(&self, bytes: &mut [u8], peek: bool) -> io::Result<usize> {
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        // SAFETY: the pointer and length are those of `bytes`.
        let count = unsafe {
            libc::recv(
                self.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                flags,
            )
        };
        if count < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(count as usize)
        }
    }

    /// Gives the descriptor away.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Read for &Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive(bytes, false)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the pointer and length are those of `bytes`.
        let count = unsafe {
            libc::send(
                self.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if count < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(count as usize)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One control connection. Any error is the end of it.
#[derive(Debug)]
pub struct TlsLink {
    socket: Socket,
    tls: Connection,
    incoming: FrameBuffer,
}

impl TlsLink {
    /// Begins (a client writes its first flight with the next [`Self::flush`]).
    pub fn new(socket: Socket, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(MAX_UNSENT));
        Self {
            socket,
            tls,
            incoming: FrameBuffer::default(),
        }
    }

    /// Whether the handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The key that a client has proved, on the server's side and after the handshake.
    pub fn holder(&self) -> Option<HolderKey> {
        match &self.tls {
            Connection::Server(connection) if !connection.is_handshaking() => holder_of(connection),
            _ => None,
        }
    }

    /// The certificates that the peer has shown.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.tls.peer_certificates().unwrap_or_default()
    }

    /// Reads what is there, at most 64 KiB: a busy peer waits for the others' turn. Gives the whole messages, and
    /// whether the peer has ended its side.
    pub fn receive(&mut self) -> io::Result<(Vec<Map<String, Value>>, bool)> {
        let mut messages = Vec::new();
        let mut plain = [0; 16 * 1024];
        for _ in 0..4 {
            match self.tls.read_tls(&mut &self.socket) {
                Ok(0) => return Ok((messages, true)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The alert that tells the peer why.
                let _ = self.flush();
                return Err(io::Error::other(error));
            }
            loop {
                match self.tls.reader().read(&mut plain) {
                    Ok(0) => return Ok((messages, true)),
                    Ok(count) => self.incoming.feed(&plain[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                while let Some(message) = self.incoming.next_message().map_err(io::Error::other)? {
                    messages.push(message);
                }
            }
        }
        self.flush()?;
        Ok((messages, false))
    }

    /// Sends a message now or, where the socket is full, with a later [`Self::flush`].
    pub fn send(&mut self, message: &Value) -> io::Result<()> {
        let frame = encode_frame(message);
        if self.tls.writer().write(&frame)? != frame.len() {
            return Err(io::Error::other("the peer does not read"));
        }
        self.flush()
    }

    /// Writes what the socket takes. Give up a connection whose backlog passes [`MAX_UNSENT`].
    pub fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut &self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take bytes again.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says that no more will come, so that the peer can tell an end from a cut.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.flush();
    }
}

impl AsRawFd for TlsLink {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
