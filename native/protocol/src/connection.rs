//! One end of a data connection: a unix socket in the clear, or TCP with TLS.

use crate::socket::{self, monotonic_ns, wait_for};
use crate::{SILENCE, SessionKey, TLS_PIECE_BYTES, UNIX_PIECE_BYTES, tls};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Socket buffers in bytes: with 1 MiB a piece of 256 KiB is written in one call.
const SOCKET_BUFFER_BYTES: i32 = 1 << 20;
/// Ciphertext read in one call, in bytes.
const TLS_READ_BYTES: usize = 128 << 10;

/// A connection that several threads may use: one writes and one reads at a time, which is for the callers to arrange.
pub struct Connection {
    fd: OwnedFd,
    tls: Option<Mutex<Tls>>,
}

struct Tls {
    session: rustls::Connection,
    /// Most bytes that one call may send.
    most: usize,
    /// Ciphertext that was read and not yet taken in: `taken..filled`.
    input: Box<[u8]>,
    taken: usize,
    filled: usize,
}

/// The socket as rustls wants to see it: never waits. With the most bytes that one call may send.
struct Raw(RawFd, usize);

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        socket::recv_now(self.0, buffer)
    }
}

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.1 == usize::MAX {
            return socket::send_now(self.0, parts);
        }
        // rustls has one part a record: what does not fit here would hardly be under the limit.
        let mut fitting = [IoSlice::new(&[]); 16];
        let mut left = self.1;
        let mut count = 0;
        for (fits, part) in fitting.iter_mut().zip(parts) {
            *fits = IoSlice::new(&part[..part.len().min(left)]);
            left -= fits.len();
            count += 1;
            if left == 0 {
                break;
            }
        }
        socket::send_now(self.0, &fitting[..count])
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// A connected socket in the clear: for unix sockets, whose two ends the kernel vouches for.
    pub fn plain(fd: OwnedFd) -> Self {
        socket::prepare(fd.as_raw_fd(), SOCKET_BUFFER_BYTES);
        Self { fd, tls: None }
    }

    /// The client's end of a TLS connection: accepts exactly the key `spki` (DER). Fails with TimedOut after `timeout`.
    pub fn tls_client(fd: OwnedFd, spki: &[u8], timeout: Duration) -> io::Result<Self> {
        let session = tls::client(spki).map_err(io::Error::other)?;
        Self::handshake(fd, session.into(), timeout)
    }

    /// The worker's end of a TLS connection. Fails with TimedOut after `timeout`.
    pub fn tls_server(fd: OwnedFd, key: &SessionKey, timeout: Duration) -> io::Result<Self> {
        let session = tls::server(key).map_err(io::Error::other)?;
        Self::handshake(fd, session.into(), timeout)
    }

    fn handshake(
        fd: OwnedFd,
        mut session: rustls::Connection,
        timeout: Duration,
    ) -> io::Result<Self> {
        socket::prepare(fd.as_raw_fd(), SOCKET_BUFFER_BYTES);
        session.set_buffer_limit(None);
        let input = vec![0; TLS_READ_BYTES].into_boxed_slice();
        let mut tls = Tls {
            session,
            most: socket::most_at_once(fd.as_raw_fd()),
            input,
            taken: 0,
            filled: 0,
        };
        let deadline = monotonic_ns() + timeout.as_nanos() as u64;
        while tls.session.is_handshaking() || tls.session.wants_write() {
            let events = if tls.session.wants_write() {
                libc::POLLOUT
            } else {
                libc::POLLIN
            };
            let left = Duration::from_nanos(deadline.saturating_sub(monotonic_ns()));
            if left.is_zero()
                || !wait_for(
                    fd.as_raw_fd(),
                    events,
                    Some(left.max(Duration::from_millis(1))),
                )?
            {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let step = if events == libc::POLLOUT {
                tls.write(fd.as_raw_fd())
            } else {
                tls.take_in(fd.as_raw_fd())
            };
            match step {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        Ok(Self {
            fd,
            tls: Some(Mutex::new(tls)),
        })
    }

    /// Ends the stream both ways: whoever reads, writes or waits finds that out at once.
    pub fn shut_down(&self) {
        // SAFETY: plain system call on an open descriptor; one that is not connected any more is as good.
        unsafe { libc::shutdown(self.fd.as_raw_fd(), libc::SHUT_RDWR) };
    }

    /// Goes on over the stream of `other`, under the same descriptor, so that others may be waiting on it meanwhile. Nobody
    /// may be in the middle of a frame.
    pub fn replace(&self, other: Self) -> io::Result<()> {
        let Self { fd, tls } = other;
        let (Some(ours), Some(theirs)) = (&self.tls, tls) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut ours = lock(ours);
        // SAFETY: both descriptors are open and stay their owners'; the old stream is closed by this.
        let moved = unsafe { libc::dup3(fd.as_raw_fd(), self.fd.as_raw_fd(), libc::O_CLOEXEC) };
        if moved < 0 {
            return Err(io::Error::last_os_error());
        }
        *ours = theirs.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(())
    }

    /// True for TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Longest tail of one bulk frame, in bytes.
    pub fn piece_bytes(&self) -> usize {
        if self.is_encrypted() {
            TLS_PIECE_BYTES
        } else {
            UNIX_PIECE_BYTES
        }
    }

    /// Receives what is there without waiting; WouldBlock when nothing is, 0 at the end of the stream.
    pub fn recv_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => socket::recv_now(self.fd.as_raw_fd(), buffer),
            Some(tls) => lock(tls).recv(self.fd.as_raw_fd(), buffer),
        }
    }

    /// Receives into one part after the other, waiting for at least one byte; 0 at the end of the stream.
    pub fn recv_parts(&self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let fd = self.fd.as_raw_fd();
        loop {
            let got = match &self.tls {
                // One call that sleeps, instead of one that does not and one that waits.
                None => socket::recv_parts(fd, parts),
                // Without the lock while waiting: others may write.
                Some(tls) => lock(tls).recv_parts(fd, parts),
            };
            match got {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // In the middle of a frame even a slow peer sends something now and then.
                    if !self.wait_readable(self.patience())? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                other => return other,
            }
        }
    }

    /// Takes what can be sent without waiting; WouldBlock when nothing can. Over TLS bytes count as sent when they are
    /// encrypted: `drain_now` must then be called until it is true.
    pub fn send_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return socket::send_now(self.fd.as_raw_fd(), parts);
        };
        let mut tls = lock(tls);
        if tls.session.wants_write() && !tls.drain(self.fd.as_raw_fd())? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = tls.session.writer().write_vectored(parts)?;
        tls.drain(self.fd.as_raw_fd())?;
        Ok(sent)
    }

    /// Sends ciphertext that is waiting; true when none is left. In the clear always true.
    pub fn drain_now(&self) -> io::Result<bool> {
        match &self.tls {
            None => Ok(true),
            Some(tls) => lock(tls).drain(self.fd.as_raw_fd()),
        }
    }

    /// Sends all of `bytes`, as `send_all_parts` does.
    pub fn send_all(
        &self,
        bytes: &[u8],
        stalled: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        self.send_all_parts(&mut [IoSlice::new(bytes)], stalled)
    }

    /// Sends all parts one after the other. `stalled` is called, with no lock held, whenever the socket is full; it waits for
    /// room and may read meanwhile, so that two ends that both write do not wait for each other.
    pub fn send_all_parts(
        &self,
        parts: &mut [IoSlice<'_>],
        mut stalled: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        send_every(parts, |parts| self.send_now(parts), &mut stalled)?;
        while !self.drain_now()? {
            stalled()?;
        }
        Ok(())
    }

    /// How long a wait on this connection may take before its peer counts as silent.
    fn patience(&self) -> Option<Duration> {
        self.is_encrypted().then_some(SILENCE)
    }

    /// Sends all parts and does nothing but wait while the socket is full: for the end whose peer always reads.
    pub fn send_all_waiting(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut wait = || match self.wait_writable(false, self.patience())? {
            true => Ok(()),
            false => Err(io::ErrorKind::TimedOut.into()),
        };
        match &self.tls {
            // One call that sleeps, instead of two for each part that fits.
            None => send_every(
                parts,
                |parts| socket::send(self.fd.as_raw_fd(), parts, 0),
                &mut wait,
            ),
            Some(_) => self.send_all_parts(parts, wait),
        }
    }

    /// Waits until the socket can be written, or, with `or_readable`, read. False when `timeout` passed first.
    pub fn wait_writable(&self, or_readable: bool, timeout: Option<Duration>) -> io::Result<bool> {
        let events = if or_readable {
            libc::POLLOUT | libc::POLLIN
        } else {
            libc::POLLOUT
        };
        wait_for(self.fd.as_raw_fd(), events, timeout)
    }

    /// Waits until the socket can be read. Only right after `recv_now` said WouldBlock: TLS may hold plaintext.
    pub fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        wait_for(self.fd.as_raw_fd(), libc::POLLIN, timeout)
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn send_every(
    mut parts: &mut [IoSlice<'_>],
    send: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    stalled: &mut impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match send(parts) {
            Ok(sent) => IoSlice::advance_slices(&mut parts, sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stalled()?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn lock(tls: &Mutex<Tls>) -> MutexGuard<'_, Tls> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tls {
    fn write(&mut self, fd: RawFd) -> io::Result<usize> {
        self.session.write_tls(&mut Raw(fd, self.most))
    }

    fn drain(&mut self, fd: RawFd) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.write(fd) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Gives rustls ciphertext, read anew when none is kept. 0 at the end of the stream.
    fn take_in(&mut self, fd: RawFd) -> io::Result<usize> {
        if self.taken == self.filled {
            self.taken = 0;
            self.filled = 0;
            self.filled = socket::recv_now(fd, &mut self.input)?;
            if self.filled == 0 {
                return Ok(0);
            }
        }
        let mut kept = &self.input[self.taken..self.filled];
        let taken = self.session.read_tls(&mut kept)?;
        self.taken += taken;
        if let Err(error) = self.session.process_new_packets() {
            // The alert that rustls made tells the peer why; that it cannot be sent changes nothing.
            let _ = self.drain(fd);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(taken)
    }

    fn recv(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        loop {
            // 1. plaintext that is there
            match self.session.reader().read(&mut buffer[got..]) {
                Ok(0) if got < buffer.len() => return Ok(got),
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if got == buffer.len() {
                return Ok(got);
            }
            // 2. more ciphertext: from the socket only while there is nothing to give
            if self.taken == self.filled && got > 0 {
                return Ok(got);
            }
            match self.take_in(fd) {
                Ok(0) => return Ok(got),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && got > 0 => {
                    return Ok(got);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn recv_parts(&mut self, fd: RawFd, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut got = 0;
        for part in parts {
            match self.recv(fd, part) {
                Ok(count) if count == part.len() => got += count,
                Ok(count) => return Ok(got + count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && got > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }
}
