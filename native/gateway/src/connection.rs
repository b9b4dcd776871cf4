//! One accepted connection, and what it may do so far.
//!
//!     accepted ──first byte 0x16──> handshake ──hello with a ticket──> holder
//!         └─────first byte 'A'────> preamble ──right nonce──> handed to its worker, forgotten
//!
//! All but `holder` is bounded in number and in time.

use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use aquifer_control::identity::HolderKey;
use aquifer_control::preamble::PREAMBLE_LENGTH;
use aquifer_control::tls_link::{Socket, TlsLink};

/// How a peer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerKind {
    Unix,
    /// With its address.
    Tcp(String),
    /// From a guest of this host: through the kernel with `CID:PORT`, through a process for one guest with nothing.
    Vsock(String),
}

impl PeerKind {
    /// Its name in reports.
    pub fn channel(&self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tcp(_) => "tcp",
            Self::Vsock(_) => "vsock",
        }
    }

    /// Where it is, as far as that is known.
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Tcp(address) | Self::Vsock(address) if !address.is_empty() => Some(address),
            _ => None,
        }
    }
}

pub enum Stage {
    /// Nothing is known yet.
    Fresh(Socket),
    /// A data connection's first bytes.
    Preamble {
        socket: Socket,
        bytes: [u8; PREAMBLE_LENGTH],
        length: usize,
    },
    /// A control connection; `holder` from its hello on.
    Control {
        link: Box<TlsLink>,
        holder: Option<HolderKey>,
    },
}

pub struct Connection {
    pub kind: PeerKind,
    pub deadline: Instant,
    pub stage: Stage,
    /// Requests whose answers wait for somebody else.
    pub outstanding: usize,
}

impl Connection {
    /// Whether it still has to show a ticket or a nonce.
    pub fn is_unauthenticated(&self) -> bool {
        !matches!(
            self.stage,
            Stage::Control {
                holder: Some(_),
                ..
            }
        )
    }

    /// The holder that its hello has shown.
    pub fn holder(&self) -> Option<HolderKey> {
        match &self.stage {
            Stage::Control { holder, .. } => *holder,
            _ => None,
        }
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        match &self.stage {
            Stage::Fresh(socket) | Stage::Preamble { socket, .. } => socket.as_raw_fd(),
            Stage::Control { link, .. } => link.as_raw_fd(),
        }
    }
}
