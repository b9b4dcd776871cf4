//! One session as the gateway knows it.
//!
//!     Admitting ─backend─> Spawning ─spawner─> Starting ─worker's describe─> Ready ─data connection─> Attached
//!         │                   │                   │                           │ 10 s                      │
//!         └───────────────────┴─────── refused ───┴───────────────────────────┴── ended ── worker exits ──┘
//!
//! From Attached on nobody needs the gateway: over a unix socket the worker ends when its data connection does. Over a network it
//! waits for another one, which comes through a gateway (`resuming`).

use std::time::Instant;

use aquifer_control::identity::HolderKey;
use aquifer_control::line_link::LineLink;
use aquifer_control::preamble::Token16;
use aquifer_control::process::{PidFd, ProcessId};
use aquifer_control::ticket::ClaimName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::closing::DataConnections;
use crate::resuming::{Client, Expected};

/// What of a session must survive the gateway: the spawner keeps it in the worker's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Whose it is: `x` of the key.
    pub holder: String,
    pub claim: ClaimName,
    /// "unix" or "tls".
    pub transport: String,
    /// How its program reaches this host: "unix", "tcp" or "vsock".
    pub channel: String,
    /// Seconds since 1970.
    pub started_at: u64,
    /// What the connector said of the program.
    pub program: Value,
    /// What the backend admitted of a nested container, as it said it; null where the program is in none.
    #[serde(default)]
    pub container: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Admitting,
    Spawning,
    Starting,
    Ready,
    Attached,
}

pub struct Session {
    pub id: Token16,
    pub holder: HolderKey,
    pub kept: Kept,
    pub phase: Phase,
    /// The control connection and the request that wait for `open`'s answer.
    pub opener: Option<(u64, Value)>,
    pub secret: String,
    /// The nonce that the data connection must show.
    pub nonce: Option<Token16>,
    /// Another data connection that was asked for and has not come.
    pub resumption: Option<Expected>,
    pub connections: DataConnections,
    pub client: Client,
    /// When the present phase has lasted too long.
    pub deadline: Option<Instant>,
    /// When to try the worker's socket (again).
    pub connect_at: Option<Instant>,
    pub worker: Option<LineLink>,
    pub process: Option<(ProcessId, PidFd)>,
    /// Why it is being ended, from the moment that it is.
    pub ending: Option<&'static str>,
    /// Whether the spawner was asked to end its worker.
    pub is_killed: bool,
    /// Tokens of the worker's socket and of its pidfd in the event loop.
    pub worker_token: u64,
    pub life_token: u64,
}

/// Reasons of an end; the words of `ended` and `sessionEnded`.
pub mod reason {
    pub const PROGRAM_EXITED: &str = "ProgramExited";
    pub const CONNECTION_CLOSED: &str = "ConnectionClosed";
    pub const WORKER_EXITED: &str = "WorkerExited";
    pub const WORKER_FAILED: &str = "WorkerFailed";
    pub const CLAIM_REVOKED: &str = "ClaimRevoked";
    pub const ENDED_BY_BACKEND: &str = "EndedByBackend";
    pub const ATTACH_TIMEOUT: &str = "AttachTimeout";
}
