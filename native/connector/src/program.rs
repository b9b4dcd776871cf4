//! A program that has connected to a session socket.
//!
//!     Asking ──"session"──> Opening ──answer──> Dialing ──connected──> Open ──exit, or end of stream──> closed
//!        └──"inspect"──> Inspecting ──answer──> Asking again

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use aquifer_control::descriptors::send_with_descriptor;
use aquifer_control::frames::{FrameBuffer, encode_frame};
use aquifer_control::peer::Peer;
use aquifer_control::preamble::Token16;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::Reached;
use crate::cgroup::Container;
use crate::dialing::Dialing;
use crate::following::Carried;
use crate::gateway_link::GatewayKey;
use crate::resuming::Resumption;

pub enum Stage {
    Asking,
    Inspecting,
    Opening,
    /// The data connection is being made; `reply` goes with it.
    Dialing {
        dialing: Dialing,
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
    /// Its data connection, where there may be a better way.
    pub carried: Carried,
    /// Its session, as soon as the gateway has given one.
    pub session: Option<String>,
    /// The nonces of its data connections, the newest last: whoever closes the session shows them.
    pub attached: Vec<String>,
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

/// Of a program's data connections so many are remembered: more than can be between the last that its worker took and now.
const MOST_ATTACHED: usize = 32;

impl Program {
    /// Another data connection is made for it.
    pub fn note_attached(&mut self, nonce: Token16) {
        self.attached.push(nonce.to_string());
        let surplus = self.attached.len().saturating_sub(MOST_ATTACHED);
        self.attached.drain(..surplus);
    }

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

    /// Hands over a data connection that was made to `to`.
    pub fn hand_over(&mut self, made: OwnedFd, to: &Reached, answer: &Value) -> io::Result<()> {
        self.reply(answer, Some(&made))?;
        let gateway = self.gateway.as_ref();
        let may_be_better = gateway.is_some_and(GatewayKey::is_reached_without_network);
        self.carried.is_now(made, to, may_be_better);
        Ok(())
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
