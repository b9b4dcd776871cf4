//! Who may close a session. Two guests restored from one saved state have one key and know the same sessions; only one of them
//! has each session, and the other one's program ends, too. So who closes a session over a network shows the nonces that its data
//! connections were made with: the one that the worker took last must be among them, and none that the worker has refused.

use aquifer_control::identity::HolderKey;
use aquifer_control::info;
use aquifer_control::preamble::Token16;
use aquifer_control::refusal::Refusal;
use serde_json::{Map, Value, json};

use crate::connection::PeerKind;
use crate::gateway::Gateway;
use crate::session::{Phase, Session, reason};

/// Refused connections that are remembered: one is enough to tell a program that its session is another's.
const MOST_REFUSED: usize = 16;
/// Nonces that one may show.
const MOST_SHOWN: usize = 64;

/// The data connections of a session, by their nonces.
#[derive(Default)]
pub struct DataConnections {
    /// The one that the worker took last. Not known of an adopted session before its worker has said so.
    pub accepted: Option<Token16>,
    refused: Vec<Token16>,
    /// The last one that was handed over to go on with, until the worker takes it, and how it came.
    handed: Option<(Token16, PeerKind)>,
    /// What was shown to close an adopted session whose worker had not spoken yet.
    asked: Option<Vec<Token16>>,
}

impl DataConnections {
    pub fn hand(&mut self, nonce: Token16, kind: PeerKind) {
        self.handed = Some((nonce, kind));
    }

    fn prove(&self, shown: &[Token16]) -> bool {
        self.accepted.is_some_and(|one| shown.contains(&one))
            && !self.refused.iter().any(|one| shown.contains(one))
    }
}

impl Gateway {
    /// Closes a session of the holder whose program has ended.
    pub fn close_session(
        &mut self,
        holder: HolderKey,
        session: &str,
        attach: &[String],
    ) -> Result<Value, Refusal> {
        let named = Token16::parse(session).and_then(|id| self.sessions.get_mut(&id));
        // Another holder's session is answered as one that is not there.
        let Some(session) = named.filter(|session| session.holder == holder) else {
            return Ok(json!({"found": false}));
        };
        let shown = attach.iter().take(MOST_SHOWN);
        let shown: Vec<Token16> = shown.filter_map(|one| Token16::parse(one)).collect();
        let is_unknown = session.connections.accepted.is_none();
        if may_be_lost(session) && session.phase == Phase::Starting && is_unknown {
            session.connections.asked = Some(shown);
            return Ok(json!({"found": true}));
        }
        if may_be_lost(session) && !session.connections.prove(&shown) {
            let message = "the session went on over a connection that is not yours";
            return Err(Refusal::new("ResumedElsewhere", message));
        }
        let id = session.id;
        self.end_session(id, reason::PROGRAM_EXITED);
        Ok(json!({"found": true}))
    }

    /// A worker says over which data connection it speaks with its client.
    pub fn note_connection(&mut self, id: Token16, message: &Map<String, Value>) {
        let text = message.get("connection").and_then(Value::as_str);
        let (Some(session), Some(nonce)) =
            (self.sessions.get_mut(&id), text.and_then(Token16::parse))
        else {
            return;
        };
        let connections = &mut session.connections;
        if message.get("event").and_then(Value::as_str) == Some("resume") {
            connections.refused.push(nonce);
            let surplus = connections.refused.len().saturating_sub(MOST_REFUSED);
            connections.refused.drain(..surplus);
            return;
        }
        connections.accepted = Some(nonce);
        let handed = connections.handed.take_if(|(handed, _)| *handed == nonce);
        if let Some((_, kind)) = handed {
            self.note_channel(id, &kind);
        }
    }

    /// An adopted session's worker has spoken: what was asked before is decided now.
    pub fn close_as_asked(&mut self, id: Token16) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(shown) = session.connections.asked.take() else {
            return;
        };
        if session.connections.prove(&shown) {
            self.end_session(id, reason::PROGRAM_EXITED);
        } else {
            info!(
                "session is not closed: it is another connection's",
                session = id
            );
        }
    }
}

/// A session over a unix socket ends with its one connection, which nobody else can have.
fn may_be_lost(session: &Session) -> bool {
    session.kept.transport == "tls"
}
