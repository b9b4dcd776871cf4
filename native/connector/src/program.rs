//! A program that has connected to a session socket.
//!
//!     Asking ──"session"──> Opening ──answer──> Dialing ──connected──> Open ──exit, or end of stream──> closed
//!        └──"inspect"──> Inspecting ──answer──> Asking again

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use aquifer_control::descriptors::send_with_descriptor;
use aquifer_control::frames::{FrameBuffer, encode_frame};
use aquifer_control::peer::Peer;
use aquifer_control::tcp;
use aquifer_control::tls_link::Socket;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cgroup::Container;
use crate::gateway_link::GatewayKey;
use crate::resuming::Resumption;

pub enum Stage {
    Asking,
    Inspecting,
    Opening,
    /// The data connection is being made; `reply` goes with it.
    Dialing {
        socket: Socket,
        preamble: [u8; 48],
        reply: Value,
    },
    Open,
}

/// The nested container that a program is in, as the gateway is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nested {
    pub id: String,
    /// The share of the claim that it asks for; without it the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

pub struct Program {
    /// `None` for one that was taken up after a restart: its socket went with the connector before.
    pub stream: Option<UnixStream>,
    pub incoming: FrameBuffer,
    pub peer: Peer,
    pub name: String,
    /// The socket it came through.
    pub offer: std::path::PathBuf,
    /// Where it is sent to; not known before the ticket of a slot has come.
    pub gateway: Option<GatewayKey>,
    /// At a slot: which container it is in.
    pub container: Option<Container>,
    /// Where its claim is divided among containers.
    pub nested: Option<Nested>,
    pub stage: Stage,
    /// Another data connection for its session, while one is being made.
    pub resumption: Option<Resumption>,
    /// Its session, as soon as the gateway has given one.
    pub session: Option<String>,
    /// Whether the gateway was asked already: before, the ticket has to be bound.
    pub asked: bool,
    /// Whether another ticket was asked for because the gateway refused the one at hand as too old.
    pub asked_anew: bool,
    /// The data plane's version that its client library speaks, for the records.
    pub protocol: Value,
    /// When it must have got further.
    pub deadline: Option<Instant>,
    pub stream_token: u64,
    pub life_token: u64,
    pub dial_token: u64,
}

impl Program {
    /// Whole messages that are there, and whether the stream has ended.
    pub fn receive(&mut self) -> io::Result<(Vec<Map<String, Value>>, bool)> {
        let Some(stream) = &self.stream else {
            return Ok((Vec::new(), false));
        };
        let mut bytes = [0; 4096];
        let mut messages = Vec::new();
        for _ in 0..16 {
            match io::Read::read(&mut &*stream, &mut bytes) {
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

    /// Hands over a data connection that was made, or says why there is none.
    pub fn hand_over(&self, socket: Socket, preamble: &[u8; 48], answer: &Value) -> io::Result<()> {
        tcp::outcome(&socket)?;
        // A fresh socket takes 48 bytes at once.
        (&socket).write_all(preamble)?;
        let descriptor = socket.into_descriptor();
        tcp::make_blocking(&descriptor)?;
        self.reply(answer, Some(&descriptor))
    }

    /// Answers, in one piece or not at all: the socket of a program that reads its answers is empty.
    pub fn reply(&self, message: &Value, descriptor: Option<&OwnedFd>) -> io::Result<()> {
        let Some(stream) = &self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let frame = encode_frame(message);
        let sent = match descriptor {
            Some(descriptor) => send_with_descriptor(stream, &frame, descriptor)?,
            None => {
                // SAFETY: the pointer and length are those of `frame`.
                let sent = unsafe {
                    libc::send(
                        stream.as_raw_fd(),
                        frame.as_ptr().cast(),
                        frame.len(),
                        libc::MSG_NOSIGNAL,
                    )
                };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())?
            }
        };
        if sent == frame.len() {
            Ok(())
        } else {
            Err(io::Error::other("the program does not read"))
        }
    }
}

/// What a program asks for.
#[derive(serde::Deserialize)]
pub struct Request {
    pub v: u32,
    #[serde(default)]
    pub protocol: Value,
    pub purpose: String,
    #[serde(default)]
    pub program: String,
    /// Of "resume".
    #[serde(default)]
    pub session: Option<String>,
}
