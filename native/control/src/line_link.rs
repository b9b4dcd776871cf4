//! A JSON-lines connection over a unix socket that never blocks.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use serde_json::{Map, Value};

use crate::descriptors::send_with_descriptor;
use crate::limits::MAX_UNSENT;
use crate::lines::{LineBuffer, encode_line};

/// A message on its way, and the descriptor that goes with its first byte.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptor: Option<OwnedFd>,
}

/// One connection. Any error is the end of it.
#[derive(Debug)]
pub struct LineLink {
    stream: UnixStream,
    incoming: LineBuffer,
    outgoing: VecDeque<Outgoing>,
    unsent: usize,
}

impl LineLink {
    /// Takes over a connected socket.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            incoming: LineBuffer::default(),
            outgoing: VecDeque::new(),
            unsent: 0,
        })
    }

    /// Reads what is there, at most 64 KiB: a busy peer waits for the others' turn. Gives the whole messages, and
    /// whether the peer has ended its side.
    pub fn receive(&mut self) -> io::Result<(Vec<Map<String, Value>>, bool)> {
        let mut bytes = [0; 16 * 1024];
        let mut messages = Vec::new();
        for _ in 0..4 {
            match (&self.stream).read(&mut bytes) {
                Ok(0) => return Ok((messages, true)),
                Ok(count) => self.incoming.feed(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(message) = self.incoming.next_message().map_err(io::Error::other)? {
                messages.push(message);
            }
        }
        Ok((messages, false))
    }

    /// Sends a message now or, where the socket is full, with a later [`Self::flush`].
    pub fn send(&mut self, message: &Value) -> io::Result<()> {
        self.enqueue(message, None)
    }

    /// Sends a message with a descriptor; this end of it is closed once it is on its way.
    pub fn send_descriptor(&mut self, message: &Value, descriptor: OwnedFd) -> io::Result<()> {
        self.enqueue(message, Some(descriptor))
    }

    fn enqueue(&mut self, message: &Value, descriptor: Option<OwnedFd>) -> io::Result<()> {
        let bytes = encode_line(message);
        self.unsent += bytes.len();
        if self.unsent > MAX_UNSENT {
            return Err(io::Error::other("the peer does not read"));
        }
        self.outgoing.push_back(Outgoing {
            bytes,
            sent: 0,
            descriptor,
        });
        self.flush()
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.outgoing.front_mut() {
            let rest = first.bytes.get(first.sent..).unwrap_or_default();
            let result = match &first.descriptor {
                Some(descriptor) => send_with_descriptor(&self.stream, rest, descriptor),
                None => send(&self.stream, rest),
            };
            match result {
                Ok(count) => {
                    first.descriptor = None;
                    first.sent += count;
                    self.unsent -= count;
                    if first.sent == first.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take bytes again.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

fn send(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of `bytes`.
    let sent = unsafe {
        libc::send(
            stream.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(sent as usize)
    }
}

impl AsRawFd for LineLink {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_and_ends_arrive() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, mut right) = (LineLink::new(left).unwrap(), LineLink::new(right).unwrap());
        left.send(&json!({"id": 1})).unwrap();
        left.send(&json!({"id": 2})).unwrap();
        let (messages, ended) = right.receive().unwrap();
        assert_eq!(messages.len(), 2);
        assert!(!ended);
        drop(left);
        assert!(right.receive().unwrap().1);
    }

    #[test]
    fn a_peer_that_never_reads_is_cut_off_at_the_limit() {
        let (left, _right) = UnixStream::pair().unwrap();
        let mut left = LineLink::new(left).unwrap();
        let message = json!({"text": "x".repeat(60_000)});
        let failed = (0..64)
            .map(|_| left.send(&message))
            .position(|result| result.is_err());
        assert!(
            failed.is_some_and(|count| count >= MAX_UNSENT / 60_100),
            "{failed:?}"
        );
    }
}
