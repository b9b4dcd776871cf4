//! How a session begins: admitted by the backend, started by the spawner, attached to its data connection.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aquifer_control::identity::{HolderKey, random_bytes};
use aquifer_control::line_link::LineLink;
use aquifer_control::preamble::{Preamble, Token16, hex};
use aquifer_control::process::ProcessId;
use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::Ticket;
use aquifer_control::{info, tcp, unix_socket, warning};
use serde_json::{Map, Value, json};

use crate::closing::DataConnections;
use crate::connection::PeerKind;
use crate::control::About;
use crate::gateway::{AskedBackend, AskedSpawner, Gateway, PATIENCE};
use crate::resume_counts::Outcome;
use crate::resuming::{Client, is_of_resumption};
use crate::session::{Kept, Phase, Session, reason};
use crate::trust::now_seconds;

/// A nonce that was not used within it is worthless, and its session with it.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// A worker loads a driver and reserves address ranges before it answers.
pub const START_WITHIN: Duration = Duration::from_secs(20);
/// Between two attempts at a worker's socket, which is not there before the worker is.
const CONNECT_AGAIN: Duration = Duration::from_millis(1);

impl Gateway {
    /// Begins to open a session; `open`'s answer comes when its worker is ready or cannot be.
    pub fn open_session(
        &mut self,
        connection: u64,
        request: &Value,
        holder: HolderKey,
        ticket: &Ticket,
        about: About,
    ) -> Result<(), Refusal> {
        let payload = &ticket.payload;
        self.check_counts(holder, ticket)?;
        let random = |_| Refusal::new("InternalError", "no random numbers");
        let id = Token16(random_bytes().map_err(random)?);
        let secret = hex(&random_bytes::<32>().map_err(random)?);
        let kind = self
            .connections
            .get(&connection)
            .map_or(PeerKind::Unix, |connection| connection.kind.clone());
        // Only a connection that cannot leave this host may go without encryption.
        let transport = match kind {
            PeerKind::Unix => "unix",
            PeerKind::Tcp(_) | PeerKind::Vsock(_) => "tls",
        };
        let peer = json!({"kind": kind.channel(), "address": kind.address()});
        let admit = json!({
            "op": "admit", "session": id.to_string(), "ticket": ticket.raw, "holder": holder.to_string(),
            "peer": peer, "program": about.program, "container": about.container,
        });
        let asked = self.backend.ask(admit, AskedBackend::Admit(id), PATIENCE);
        asked.map_err(|_| Refusal::new("TooManyRequests", "too much waits for the backend"))?;
        let kept = Kept {
            holder: holder.to_string(),
            claim: payload.claim.clone(),
            transport: transport.into(),
            channel: kind.channel().into(),
            started_at: now_seconds(),
            program: about.program,
            container: Value::Null,
        };
        let opener = Some((connection, request.clone()));
        let session = Session {
            opener,
            secret,
            ..self.new_session(id, holder, kept, Phase::Admitting)
        };
        self.sessions.insert(id, session);
        Ok(())
    }

    pub fn new_session(
        &mut self,
        id: Token16,
        holder: HolderKey,
        kept: Kept,
        phase: Phase,
    ) -> Session {
        let (worker_token, life_token) = (self.token(), self.token());
        self.session_tokens.insert(worker_token, id);
        self.session_tokens.insert(life_token, id);
        Session {
            id,
            holder,
            kept,
            phase,
            opener: None,
            secret: String::new(),
            nonce: None,
            resumption: None,
            connections: DataConnections::default(),
            client: Client::default(),
            deadline: None,
            connect_at: None,
            worker: None,
            process: None,
            ending: None,
            is_killed: false,
            worker_token,
            life_token,
        }
    }

    fn check_counts(&self, holder: HolderKey, ticket: &Ticket) -> Result<(), Refusal> {
        let living = || {
            self.sessions
                .values()
                .filter(|session| session.ending.is_none())
        };
        let claim = &ticket.payload.claim;
        let of_claim = living()
            .filter(|session| session.kept.claim.uid == claim.uid)
            .count();
        if of_claim >= ticket.payload.max_sessions as usize {
            let most = ticket.payload.max_sessions;
            let message = format!(
                "claim {}/{} has {of_claim} sessions, at most {most}",
                claim.namespace, claim.name
            );
            return Err(Refusal::new("SessionsExhausted", message));
        }
        if living().filter(|session| session.holder == holder).count() >= self.settings.max_sessions
        {
            let message = format!(
                "this key has {} sessions, the most on this node",
                self.settings.max_sessions
            );
            return Err(Refusal::new("SessionsExhausted", message));
        }
        Ok(())
    }

    /// The backend has decided.
    pub fn admitted(&mut self, id: Token16, answer: Result<Map<String, Value>, Refusal>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut container = Value::Null;
        let worker = answer.and_then(|mut fields| match fields.remove("worker") {
            Some(Value::Object(worker)) => {
                container = fields.remove("container").unwrap_or_default();
                Ok(worker)
            }
            _ => Err(Refusal::new(
                "InternalError",
                "worker: the backend's answer to admit has none",
            )),
        });
        let mut config = match worker {
            Ok(worker) if session.ending.is_none() => worker,
            Ok(_) => {
                let reason = session.ending.unwrap_or(reason::ENDED_BY_BACKEND);
                return self.fail(
                    id,
                    Refusal::new(reason, "the session was ended while it was being opened"),
                );
            }
            // Nothing was admitted: there is nothing to report.
            Err(refusal) => {
                self.refuse_opener(id, refusal);
                return self.forget(id);
            }
        };
        let sockets = self.settings.run_directory.join("workers");
        for (name, value) in [
            ("session", Value::from(id.to_string())),
            ("claim", json!(session.kept.claim)),
            ("secret", session.secret.clone().into()),
            ("transport", session.kept.transport.clone().into()),
            (
                "controlSocket",
                sockets.join(format!("{id}.sock")).to_string_lossy().into(),
            ),
        ] {
            config.insert(name.into(), value);
        }
        session.phase = Phase::Spawning;
        session.kept.container = container;
        let request = json!({"op": "spawn", "session": id.to_string(), "config": config, "record": session.kept});
        if self
            .spawner
            .ask(request, AskedSpawner::Spawn(id), PATIENCE)
            .is_err()
        {
            self.fail(
                id,
                Refusal::new("TooManyRequests", "too much waits for the spawner"),
            );
        }
    }

    /// The spawner has started the worker, or could not.
    pub fn spawned(&mut self, id: Token16, answer: Result<Map<String, Value>, Refusal>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.fail(id, refusal),
        };
        let pid = answer
            .get("pid")
            .and_then(Value::as_i64)
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or(0);
        let process = ProcessId::of(pid).and_then(|process| Ok((process, process.open()?)));
        let Ok(process) = process else {
            return self.fail(
                id,
                Refusal::new(
                    reason::WORKER_FAILED,
                    "the worker ended as soon as it was started",
                ),
            );
        };
        session.phase = Phase::Starting;
        session.deadline = Some(Instant::now() + START_WITHIN);
        session.connect_at = Some(Instant::now());
        let watched = self.poller.add(&process.1, session.life_token);
        session.process = Some(process);
        if let Err(error) = watched {
            warning!("the worker cannot be watched", session = id, reason = error);
        }
        if let Some(ending) = session.ending.take() {
            self.end_session(id, ending);
        }
    }

    pub fn connect_worker(&mut self, id: Token16) {
        let path = self
            .settings
            .run_directory
            .join("workers")
            .join(format!("{id}.sock"));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let link = unix_socket::connect(&path)
            .and_then(LineLink::new)
            .and_then(|mut link| {
                link.send(&json!({"id": 1, "op": "describe"}))?;
                self.poller.add(&link, session.worker_token)?;
                Ok(link)
            });
        session.connect_at = link.is_err().then(|| Instant::now() + CONNECT_AGAIN);
        session.worker = link.ok();
    }

    /// Something happened to a session's worker: `token` says whether on its socket or to its life.
    pub fn session_event(&mut self, id: Token16, token: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if token == session.life_token {
            // The spawner's word comes with the exit code; it is waited for, but not for ever.
            if let Some((_, pidfd)) = &session.process {
                let _ = self.poller.remove(pidfd);
            }
            session
                .ending
                .get_or_insert(if session.phase == Phase::Attached {
                    reason::WORKER_EXITED
                } else {
                    reason::WORKER_FAILED
                });
            session.deadline = Some(Instant::now() + Duration::from_millis(500));
            return;
        }
        let Some(link) = session.worker.as_mut() else {
            return;
        };
        let received = link
            .receive()
            .and_then(|received| link.flush().map(|()| received));
        let (messages, lost) = received.unwrap_or((Vec::new(), true));
        let wants_write = link.wants_write();
        if lost {
            session.worker = None;
        } else if let Some(link) = &session.worker {
            let _ = self.poller.set(link, token, true, wants_write);
        }
        for message in messages {
            self.worker_says(id, &message);
        }
    }

    fn worker_says(&mut self, id: Token16, message: &Map<String, Value>) {
        // In an event, or in a description after it.
        self.note_connection(id, message);
        self.note_client(id, message);
        if is_of_resumption(message) || message.contains_key("event") {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let ok = message.get("ok").and_then(Value::as_bool).unwrap_or(false);
        if !ok {
            let refusal = Refusal::from_reply(message);
            warning!("the worker refuses", session = id, reason = refusal);
            return self.fail(id, refusal);
        }
        if session.phase != Phase::Starting {
            return;
        }
        if message.get("ready") != Some(&Value::Bool(true)) {
            let why = message
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or("it does not say why");
            return self.fail(
                id,
                Refusal::new(
                    reason::WORKER_FAILED,
                    format!("the worker cannot start: {why}"),
                ),
            );
        }
        session.deadline = None;
        let Some((connection, request)) = session.opener.take() else {
            // Adopted. One without data connection cannot get one: its nonce went with the gateway that gave it.
            session.phase = Phase::Attached;
            if message.get("attached") != Some(&Value::Bool(true)) {
                self.end_session(id, reason::ATTACH_TIMEOUT);
            }
            return self.close_as_asked(id);
        };
        let Ok(nonce) = random_bytes().map(Token16) else {
            return self.fail(id, Refusal::new("InternalError", "no random numbers"));
        };
        session.phase = Phase::Ready;
        session.nonce = Some(nonce);
        session.connections.accepted = Some(nonce);
        session.deadline = Some(Instant::now() + ATTACH_WITHIN);
        let mut reply = json!({
            "session": id.to_string(), "secret": session.secret, "attach": nonce.to_string(),
            "transport": session.kept.transport,
        });
        for name in ["keySpki", "protocol"] {
            if let Some(value) = message.get(name) {
                reply[name] = value.clone();
            }
        }
        session.secret.clear();
        info!(
            "session opened",
            session = id,
            claim = session.kept.claim.name,
            program = session.kept.program
        );
        self.finish_request(connection, &request, Ok(reply));
    }

    /// Hands a data connection to its worker. One that shows no nonce that counts is closed without a word.
    pub fn attach(&mut self, preamble: &Preamble, descriptor: OwnedFd, kind: &PeerKind) {
        let id = preamble.session;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let in_time = session.phase == Phase::Ready && session.ending.is_none();
        let is_expected = |nonce: &Token16| equal(&nonce.0, &preamble.attach.0);
        let expected = session.nonce.as_ref().is_some_and(is_expected);
        let allowed = session.kept.transport == "tls" || *kind == PeerKind::Unix;
        if allowed && session.takes_resumption(is_expected) {
            return self.hand_over_again(preamble, descriptor, kind);
        }
        if !in_time || !expected || !allowed {
            if session.phase == Phase::Attached {
                self.resumes.count(Outcome::Refused);
            }
            return warning!(
                "data connection refused",
                session = id,
                from = format!("{kind:?}")
            );
        }
        session.nonce = None;
        session.phase = Phase::Attached;
        session.deadline = None;
        self.note_channel(id, kind);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let request = json!({"id": 2, "op": "attach", "connection": preamble.attach.to_string()});
        let handed = tcp::make_blocking(&descriptor).and_then(|()| match session.worker.as_mut() {
            Some(worker) => worker.send_descriptor(&request, descriptor),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        });
        if let Err(error) = handed {
            warning!(
                "the worker does not take its data connection",
                session = id,
                reason = error
            );
            self.end_session(id, reason::WORKER_FAILED);
        }
    }
}

impl Gateway {
    /// A data connection may come over another channel than the control connection, or than the one before it.
    pub fn note_channel(&mut self, id: Token16, kind: &PeerKind) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.kept.channel == kind.channel() {
            return;
        }
        session.kept.channel = kind.channel().into();
        let peer = json!({"kind": kind.channel(), "address": kind.address()});
        let report = json!({"op": "moved", "session": id.to_string(), "peer": peer});
        let _ = self.backend.ask(report, AskedBackend::Report, PATIENCE);
    }
}

/// Compares without telling by time where the difference is.
fn equal(left: &[u8; 16], right: &[u8; 16]) -> bool {
    left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
