//! What holders ask for on their control connection.

use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::Ticket;
use aquifer_control::{info, warning};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::connection::{Connection, Stage};
use crate::gateway::{AskedBackend, Gateway, PATIENCE, VERSION};

/// Control connections of one holder at once: one is enough, a restart may leave another behind for a moment.
const MAX_CONNECTIONS: usize = 16;
/// Requests of one connection that may wait for somebody else. Fifty programs that start at once are well within it.
const MAX_OUTSTANDING: usize = 256;
/// A kilobyte of a program's name and the like is plenty.
const MAX_TOLD: usize = 1024;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
enum Request {
    Hello {
        v: u32,
        ticket: String,
    },
    /// Of a guest without a ticket, in place of hello.
    Obtain {
        v: u32,
    },
    Open {
        ticket: String,
        #[serde(default)]
        program: Value,
        #[serde(default)]
        container: Value,
    },
    Resume {
        ticket: String,
        session: String,
    },
    Close {
        session: String,
        #[serde(default)]
        attach: Vec<String>,
    },
    Renew {
        ticket: String,
    },
    Inspect {
        ticket: String,
        #[serde(default)]
        container: Value,
    },
}

/// A request done at once, or one whose answer comes later.
pub enum Progress {
    Done(Value),
    Later,
}

/// What a connector tells of a program that wants a session.
pub struct About {
    /// For listings.
    pub program: Value,
    /// The nested container that it is in and the share that it asks for; the backend's to judge.
    pub container: Value,
}

fn at_most(field: &str, value: &Value) -> Result<(), Refusal> {
    if value.to_string().len() <= MAX_TOLD {
        return Ok(());
    }
    let message = format!("{field}: longer than {MAX_TOLD} bytes");
    Err(Refusal::new("BadRequest", message))
}

impl Gateway {
    /// Reads a control connection and does what it asks.
    pub fn read_control(&mut self, token: u64) {
        let Some(Connection {
            stage: Stage::Control { link, .. },
            ..
        }) = self.connections.get_mut(&token)
        else {
            return;
        };
        let (messages, ended) = match link.receive() {
            Ok(received) => received,
            Err(reason) => {
                if !link.is_handshaking() {
                    info!("control connection lost", reason = reason);
                }
                return self.drop_connection(token);
            }
        };
        for message in messages {
            self.control_message(token, message);
        }
        if ended {
            return self.drop_connection(token);
        }
        self.watch(token);
    }

    fn watch(&mut self, token: u64) {
        if let Some(connection) = self.connections.get(&token)
            && let Stage::Control { link, .. } = &connection.stage
        {
            let _ = self.poller.set(connection, token, true, link.wants_write());
        }
    }

    /// Sends to a control connection; one that cannot take it is closed.
    pub fn send(&mut self, token: u64, message: &Value) {
        let Some(Connection {
            stage: Stage::Control { link, .. },
            ..
        }) = self.connections.get_mut(&token)
        else {
            return;
        };
        if link.send(message).is_err() {
            return self.drop_connection(token);
        }
        self.watch(token);
    }

    fn control_message(&mut self, token: u64, message: Map<String, Value>) {
        let id = message.get("id").cloned().unwrap_or_default();
        let request = Request::deserialize(Value::Object(message));
        let progress = request
            .map_err(|error| Refusal::new("BadRequest", error.to_string()))
            .and_then(|request| self.perform(token, &id, request));
        match progress {
            Ok(Progress::Done(reply)) => self.reply(token, &id, Ok(reply)),
            Ok(Progress::Later) => {
                if let Some(connection) = self.connections.get_mut(&token) {
                    connection.outstanding += 1;
                }
            }
            Err(refusal) => {
                info!(
                    "request refused",
                    reason = refusal.reason,
                    message = refusal.message
                );
                self.reply(token, &id, Err(refusal));
                // Without a hello that held there is nothing more to say to each other.
                if self
                    .connections
                    .get(&token)
                    .is_some_and(Connection::is_unauthenticated)
                {
                    self.drop_connection(token);
                }
            }
        }
    }

    fn reply(&mut self, token: u64, id: &Value, answer: Result<Value, Refusal>) {
        let reply = match answer {
            Ok(mut reply) => {
                reply["id"] = id.clone();
                reply["ok"] = true.into();
                reply
            }
            Err(refusal) => refusal.reply(id),
        };
        self.send(token, &reply);
    }

    /// Answers a request that had to wait.
    pub fn finish_request(&mut self, token: u64, id: &Value, answer: Result<Value, Refusal>) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.outstanding = connection.outstanding.saturating_sub(1);
        }
        self.reply(token, id, answer);
        // A stranger had one question.
        let connection = self.connections.get(&token);
        if connection.is_some_and(Connection::is_unauthenticated) {
            self.drop_connection(token);
        }
    }

    fn perform(&mut self, token: u64, id: &Value, request: Request) -> Result<Progress, Refusal> {
        let connection = self.connections.get(&token);
        let (holder, outstanding) =
            connection.map_or((None, 0), |one| (one.holder(), one.outstanding));
        let Some(holder) = holder else {
            return match request {
                Request::Hello { v, ticket } => self.hello(token, v, &ticket).map(Progress::Done),
                Request::Obtain { v } => self.obtain(token, id, v),
                _ => Err(Refusal::new(
                    "BadRequest",
                    "the first request must be hello",
                )),
            };
        };
        if outstanding >= MAX_OUTSTANDING {
            let message = format!("{MAX_OUTSTANDING} requests of this connection wait already");
            return Err(Refusal::new("TooManyRequests", message));
        }
        match request {
            Request::Hello { .. } | Request::Obtain { .. } => {
                Err(Refusal::new("BadRequest", "hello was said already"))
            }
            Request::Open {
                ticket,
                program,
                container,
            } => {
                let ticket = self.verify(&ticket)?;
                ticket.held_by(&holder)?;
                at_most("program", &program)?;
                at_most("container", &container)?;
                let about = About { program, container };
                self.open_session(token, id, holder, &ticket, about)?;
                Ok(Progress::Later)
            }
            Request::Resume { ticket, session } => {
                let ticket = self.verify(&ticket)?;
                ticket.held_by(&holder)?;
                self.resume_session(holder, &ticket, &session)
                    .map(Progress::Done)
            }
            Request::Close { session, attach } => self
                .close_session(holder, &session, &attach)
                .map(Progress::Done),
            Request::Renew { ticket: compact } => {
                self.verify(&compact)?.may_be_renewed_by(&holder)?;
                let request =
                    json!({"op": "renew", "ticket": compact, "holderKey": holder.to_string()});
                self.forward(token, id, request)
            }
            Request::Inspect { ticket, container } => {
                let ticket = self.verify(&ticket)?;
                ticket.held_by(&holder)?;
                at_most("container", &container)?;
                let request = json!({
                    "op": "inspect", "ticket": ticket.raw, "holder": holder.to_string(), "container": container,
                });
                self.forward(token, id, request)
            }
        }
    }

    /// Leaves a request to the backend.
    pub fn forward(&mut self, token: u64, id: &Value, request: Value) -> Result<Progress, Refusal> {
        let asked = self
            .backend
            .ask(request, AskedBackend::Forward(token, id.clone()), PATIENCE);
        asked.map_err(|_| Refusal::new("TooManyRequests", "too much waits for the backend"))?;
        Ok(Progress::Later)
    }

    fn verify(&mut self, compact: &str) -> Result<Ticket, Refusal> {
        let ticket = self.trust.verifier().verify(compact)?;
        self.trust.raise_epoch(ticket.payload.epoch);
        Ok(ticket)
    }

    fn hello(&mut self, token: u64, version: u32, ticket: &str) -> Result<Value, Refusal> {
        if version != CONTROL_VERSION {
            let message =
                format!("the connector speaks version {version}, this gateway {CONTROL_VERSION}");
            return Err(Refusal::new("ProtocolMismatch", message));
        }
        let Some(Connection {
            stage: Stage::Control { link, .. },
            ..
        }) = self.connections.get(&token)
        else {
            return Err(Refusal::new("BadRequest", "not a control connection"));
        };
        let proved = link.holder();
        let key = proved
            .ok_or_else(|| Refusal::new("TicketStolen", "the connection has proved no key"))?;
        self.verify(ticket)?.may_be_renewed_by(&key)?;
        let connected = self
            .connections
            .values()
            .filter(|connection| connection.holder() == Some(key))
            .count();
        if connected >= MAX_CONNECTIONS {
            warning!("a holder has too many connections", holder = key);
            let message = format!("this key has {MAX_CONNECTIONS} control connections already");
            return Err(Refusal::new("TooManyConnections", message));
        }
        if let Some(Connection {
            stage: Stage::Control { holder, .. },
            ..
        }) = self.connections.get_mut(&token)
        {
            *holder = Some(key);
        }
        self.authenticated(token);
        let sessions = self
            .sessions
            .values()
            .filter(|session| session.holder == key && session.ending.is_none());
        let sessions: Vec<String> = sessions.map(|session| session.id.to_string()).collect();
        Ok(
            json!({"v": CONTROL_VERSION, "node": self.settings.node, "version": VERSION, "sessions": sessions}),
        )
    }
}
