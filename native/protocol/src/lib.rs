//! What client and worker say to each other: frames, the generated codec of the call table, and the connections that
//! carry them. Every byte of a peer is checked before it is used; nothing here panics on what a peer sends.

mod connection;
pub mod frame;
#[rustfmt::skip]
pub mod generated;
pub mod message;
mod reader;
mod ring;
pub mod session_socket;
mod socket;
mod spin;
mod tls;
mod writer;

pub use connection::Connection;
pub use frame::{FLAG_REPLY, HEADER_BYTES, Header, MAX_BULK_FRAME, MAX_FRAME};
pub use generated::{Call, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR, PROTOCOL_VERSION, Push};
pub use message::{DecodeError, Message, ReplyHead, Request, decode};
pub use reader::{FrameReader, Incoming};
pub use ring::MirrorRing;
pub use socket::{monotonic_ns, wait_readable};
pub use spin::Spin;
pub use tls::{SessionKey, cipher_suites, random_secret};
pub use writer::FrameWriter;

/// A peer at the other end of a network that says nothing for so long counts as lost.
pub const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Each end says something at least this often.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_millis(1500);

/// Longest tail of one bulk frame over a unix socket, in bytes.
pub const UNIX_PIECE_BYTES: usize = 256 << 10;
/// Longest tail of one bulk frame over TLS, in bytes.
pub const TLS_PIECE_BYTES: usize = 128 << 10;
/// Largest module image, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 256 << 20;
