//! How a session goes on over another data connection. Who holds the ticket that it was opened with may ask for one; whether
//! that is the session's program the worker finds out, by a secret that the gateway never sees.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aquifer_control::identity::{HolderKey, random_bytes};
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::Ticket;
use aquifer_control::{info, tcp, warning};
use serde_json::{Map, Value, json};

use crate::connection::PeerKind;
use crate::gateway::{AskedBackend, Gateway, PATIENCE};
use crate::resume_counts::Outcome;
use crate::session::{Phase, Session};

/// A nonce that was not used within it is worthless.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// The id of a worker's answer to a connection that resumes.
const RESUME_ID: u64 = 3;

/// A data connection that may come.
pub struct Expected {
    pub nonce: Token16,
    until: Instant,
}

impl Gateway {
    /// Gives a nonce for another data connection of a session. Only the last one given counts.
    pub fn resume_session(
        &mut self,
        holder: HolderKey,
        ticket: &Ticket,
        session: &str,
    ) -> Result<Value, Refusal> {
        let is_theirs = |one: &&mut Session| {
            one.holder == holder
                && one.kept.claim.uid == ticket.payload.claim.uid
                && one.ending.is_none()
                && one.kept.transport == "tls"
        };
        // Another's session is answered as one that is not there.
        let named = Token16::parse(session).and_then(|id| self.sessions.get_mut(&id));
        let Some(session) = named.filter(is_theirs) else {
            self.resumes.count(Outcome::Refused);
            return Err(Refusal::new("SessionUnknown", "the session is over"));
        };
        if session.phase != Phase::Attached {
            let message = "the session is not open yet, or was taken up and has not answered yet";
            return Err(Refusal::new("SessionNotReady", message));
        }
        let nonce = random_bytes()
            .map(Token16)
            .map_err(|_| Refusal::new("InternalError", "no random numbers"))?;
        session.resumption = Some(Expected {
            nonce,
            until: Instant::now() + ATTACH_WITHIN,
        });
        Ok(json!({
            "session": session.id.to_string(), "attach": nonce.to_string(),
            "transport": session.kept.transport,
        }))
    }

    /// Hands another data connection to a session's worker. Whatever comes of it, the session is as it was.
    pub fn hand_over_again(&mut self, shown: &Preamble, descriptor: OwnedFd, kind: &PeerKind) {
        let id = shown.session;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.connections.hand(shown.attach, kind.clone());
        let connection = shown.attach.to_string();
        let request = json!({"id": RESUME_ID, "op": "attach", "connection": connection});
        let handed = tcp::make_blocking(&descriptor).and_then(|()| match session.worker.as_mut() {
            Some(worker) => worker.send_descriptor(&request, descriptor),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        });
        match handed {
            Ok(()) => info!("session resumes", session = id, from = format!("{kind:?}")),
            Err(error) => {
                warning!(
                    "the worker does not take another data connection",
                    session = id,
                    reason = error
                );
                // The client asks again: by then the worker's socket should be open.
                session.worker = None;
                session.connect_at = Some(Instant::now());
            }
        }
    }
}

impl Gateway {
    /// A worker says whether its client is there, and how often it has come back.
    pub fn note_client(&mut self, id: Token16, message: &Map<String, Value>) {
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        match text("outcome") {
            Some("refused") => self.resumes.count(Outcome::Refused),
            Some("expired") => self.resumes.count(Outcome::Expired),
            _ => {}
        }
        let connected = message.get("connected").and_then(Value::as_bool);
        let (Some(session), Some(connected)) = (self.sessions.get_mut(&id), connected) else {
            return;
        };
        if connected && message.contains_key("event") {
            self.resumes.count(Outcome::Resumed);
        }
        let resumes = message.get("resumes").and_then(Value::as_u64);
        session.client = Client {
            connected,
            resumes: resumes.unwrap_or_default(),
        };
        let report =
            json!({"op": "client", "session": id.to_string(), "client": session.client.told()});
        let _ = self.backend.ask(report, AskedBackend::Report, PATIENCE);
    }
}

/// What a session's worker says of its client.
#[derive(Clone, Copy)]
pub struct Client {
    connected: bool,
    resumes: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            connected: true,
            resumes: 0,
        }
    }
}

impl Client {
    /// As the backend is told.
    pub fn told(&self) -> Value {
        json!({"connected": self.connected, "resumes": self.resumes})
    }
}

impl Session {
    /// Whether a data connection that shows `nonce` is one that was asked for; it counts once.
    pub fn takes_resumption(&mut self, is_expected: impl Fn(&Token16) -> bool) -> bool {
        let in_time = self.phase == Phase::Attached && self.ending.is_none();
        let counts = |expected: &Expected| {
            expected.until > Instant::now() && in_time && is_expected(&expected.nonce)
        };
        self.resumption
            .take_if(|expected| counts(expected))
            .is_some()
    }
}

/// Whether a worker's message is about a connection that resumes: a refusal of that one ends nothing.
pub fn is_of_resumption(message: &Map<String, Value>) -> bool {
    message.get("id").and_then(Value::as_u64) == Some(RESUME_ID)
}
