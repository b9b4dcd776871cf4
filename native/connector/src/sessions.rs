//! Programs and their sessions: opened, handed over, closed when the program is gone.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::peer::{Peer, peer_of};
use aquifer_control::poll::Event;
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::questions::Answer;
use aquifer_control::refusal::Refusal;
use aquifer_control::tls_link::Socket;
use aquifer_control::{info, tcp, unix_socket, warning};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::connector::{Asked, CLOSE_PATIENCE, Connector, PATIENCE};
use crate::gateway_link::{GatewayKey, Reached};
use crate::program::{Program, Request, Stage};
use crate::state::StoredSession;

/// A program says what it wants at once.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Programs of one connector at once.
const MAX_PROGRAMS: usize = 4096;
/// Of a program's name what is kept for listings.
const MAX_NAME: usize = 256;

impl Connector {
    /// Takes the programs that wait at a session socket.
    pub fn accept(&mut self, path: &Path) {
        while let Some((stream, _)) = self
            .offers
            .get(path)
            .and_then(|offer| offer.listener.accept().ok())
        {
            if self.programs.len() >= MAX_PROGRAMS {
                warning!("program refused: too many", most = MAX_PROGRAMS);
                continue;
            }
            match peer_of(&stream) {
                Ok(peer) => self.add_program(path, Some(stream), peer),
                // It is gone already.
                Err(error) => info!("a program left at once", reason = error),
            }
        }
    }

    fn add_program(&mut self, path: &Path, stream: Option<UnixStream>, peer: Peer) {
        let Some(gateway) = self.offers.get(path).map(|offer| offer.gateway.clone()) else {
            return;
        };
        let (id, life_token, dial_token) = (self.token(), self.token(), self.token());
        let mut watched = self.poller.add(&peer.pidfd, life_token);
        if let Some(stream) = &stream {
            let ready = stream.set_nonblocking(true);
            watched = watched.and(ready).and(self.poller.add(stream, id));
        }
        if let Err(error) = watched {
            return warning!("a program cannot be watched", reason = error);
        }
        for token in [id, life_token, dial_token] {
            self.program_tokens.insert(token, id);
        }
        let deadline = Some(Instant::now() + ASK_WITHIN);
        let program = Program {
            stream,
            incoming: Default::default(),
            peer,
            name: String::new(),
            offer: path.to_owned(),
            gateway,
            stage: Stage::Asking,
            session: None,
            asked: false,
            protocol: Value::Null,
            deadline,
            stream_token: id,
            life_token,
            dial_token,
        };
        self.programs.insert(id, program);
    }

    /// Something happened to a program: on its stream, to its life, or on the data connection that is being made.
    pub fn program_event(&mut self, id: u64, token: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        if token == program.life_token {
            return self.close_program(id, "the program has ended");
        }
        if token == program.dial_token {
            return self.dialed(id);
        }
        let (messages, ended) = match program.receive() {
            Ok(received) => received,
            Err(error) => {
                self.refuse(id, Refusal::new("BadRequest", error.to_string()));
                return self.close_program(id, "the program speaks another protocol");
            }
        };
        for message in messages {
            self.program_asks(id, message);
        }
        if ended {
            self.close_program(id, "the program has closed its session socket");
        }
    }

    fn program_asks(&mut self, id: u64, message: Map<String, Value>) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        // Nothing is wanted from a program that has its session.
        if !matches!(program.stage, Stage::Asking) {
            return;
        }
        let request = match Request::deserialize(Value::Object(message)) {
            Ok(request) => request,
            Err(error) => return self.refuse(id, Refusal::new("BadRequest", error.to_string())),
        };
        program.name = request.program.chars().take(MAX_NAME).collect();
        program.protocol = request.protocol;
        program.deadline = Some(Instant::now() + PATIENCE + Duration::from_secs(1));
        if request.v != CONTROL_VERSION {
            let message = format!(
                "the client library speaks version {}, this connector {CONTROL_VERSION}",
                request.v
            );
            return self.refuse(id, Refusal::new("ProtocolMismatch", message));
        }
        program.stage = match request.purpose.as_str() {
            "session" => Stage::Opening,
            "inspect" => Stage::Inspecting,
            other => {
                let message =
                    format!("purpose: \"session\" or \"inspect\" is wanted, not {other:?}");
                return self.refuse(id, Refusal::new("BadRequest", message));
            }
        };
        let path = program.offer.clone();
        self.open_waiting(&path);
    }

    /// Asks for the programs that wait, once the ticket is bound; refuses them where it cannot be.
    pub fn open_waiting(&mut self, path: &Path) {
        let waiting = self.programs.iter().filter(|(_, program)| {
            program.offer == path
                && !program.asked
                && matches!(program.stage, Stage::Opening | Stage::Inspecting)
        });
        let waiting: Vec<u64> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            match self.offers.get(path) {
                None => self.refuse(
                    id,
                    Refusal::new("OfferWithdrawn", "the claim is no longer offered here"),
                ),
                Some(offer) if !offer.is_valid() => {
                    let ago =
                        crate::offer::now_seconds().saturating_sub(offer.file.ticket.payload.exp);
                    let name = &offer.file.ticket.payload.claim.name;
                    let message = format!(
                        "the ticket expired {ago} s ago: get a new one (`aquifer ticket {name}`)"
                    );
                    self.refuse(id, Refusal::new("TicketExpired", message));
                }
                Some(offer) if offer.is_bound() => self.ask_for(id),
                Some(offer) => {
                    if let Some(trouble) = offer.trouble.clone() {
                        self.refuse(id, trouble);
                    }
                }
            }
        }
    }

    fn ask_for(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let Some(offer) = self.offers.get(&program.offer) else {
            return;
        };
        program.asked = true;
        let gateway = offer.gateway.clone();
        program.gateway = gateway.clone();
        let ticket = &offer.file.compact;
        let (request, asked) = if matches!(program.stage, Stage::Inspecting) {
            (
                json!({"op": "inspect", "ticket": ticket}),
                Asked::Inspect(id),
            )
        } else {
            let about = json!({"pid": program.peer.process.pid, "name": program.name, "protocol": program.protocol});
            (
                json!({"op": "open", "ticket": ticket, "program": about}),
                Asked::Open(id),
            )
        };
        self.ask(&gateway, request, asked, PATIENCE);
    }

    pub fn inspected(&mut self, id: u64, answer: Answer) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let mut reply = match answer {
            Ok(fields) => Value::Object(fields),
            Err(refusal) => return self.refuse(id, refusal),
        };
        reply["id"] = Value::Null;
        // It may look again, as often as it likes.
        program.stage = Stage::Asking;
        program.asked = false;
        program.deadline = None;
        if program.reply(&reply, None).is_err() {
            self.close_program(id, "the program does not read");
        }
    }

    /// The gateway has opened a session, or has not.
    pub fn opened(&mut self, key: &GatewayKey, id: u64, answer: Answer) {
        let fields = match answer {
            Ok(fields) => fields,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let Some(session) = text("session").map(str::to_owned) else {
            return self.refuse(
                id,
                Refusal::new("InternalError", "session: the gateway's answer has none"),
            );
        };
        let tokens = Token16::parse(&session).zip(text("attach").and_then(Token16::parse));
        let Some(program) = self.programs.get_mut(&id) else {
            // It left while its session was being opened.
            let request = json!({"op": "close", "session": session});
            return self.ask(key, request, Asked::Close, CLOSE_PATIENCE);
        };
        program.session = Some(session.clone());
        let Some((session_token, attach)) = tokens else {
            return self.refuse(
                id,
                Refusal::new("InternalError", "attach: the gateway's answer has none"),
            );
        };
        let mut reply = json!({"ok": true, "session": session});
        for name in ["secret", "transport", "keySpki", "protocol"] {
            if let Some(value) = fields.get(name) {
                reply[name] = value.clone();
            }
        }
        let preamble = Preamble {
            session: session_token,
            attach,
        }
        .encode();
        let token = program.dial_token;
        let socket = match self.gateways.get(key).and_then(|link| link.reached()) {
            None => Err(std::io::ErrorKind::NotConnected.into()),
            Some(Reached::Unix(path)) => {
                unix_socket::connect(&path).and_then(|stream| Socket::new(stream.into()))
            }
            Some(Reached::Tcp(address)) => tcp::begin_connect(address),
        };
        match socket.and_then(|socket| self.poller.add_writable(&socket, token).map(|()| socket)) {
            Ok(socket) => {
                program.stage = Stage::Dialing {
                    socket,
                    preamble,
                    reply,
                }
            }
            Err(error) => self.data_connection_failed(id, &error),
        }
    }

    fn data_connection_failed(&mut self, id: u64, error: &std::io::Error) {
        let message = format!("the data connection to the gateway was not made: {error}");
        self.refuse(id, Refusal::new("DataConnectionFailed", message));
        self.close_program(id, "no data connection");
    }

    /// The data connection stands: it is handed to the program, together with the secret.
    fn dialed(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let Stage::Dialing {
            socket,
            preamble,
            reply,
        } = std::mem::replace(&mut program.stage, Stage::Opening)
        else {
            return;
        };
        let _ = self.poller.remove(&socket);
        let handed = tcp::outcome(&socket).and_then(|()| {
            // A fresh socket takes 48 bytes at once.
            (&socket).write_all(&preamble)?;
            let descriptor = socket.into_descriptor();
            tcp::make_blocking(&descriptor)?;
            program.reply(&reply, Some(&descriptor))
        });
        if let Err(error) = handed {
            return self.data_connection_failed(id, &error);
        }
        program.stage = Stage::Open;
        program.deadline = None;
        let session = program.session.clone().unwrap_or_default();
        info!(
            "session opened",
            session = session,
            pid = program.peer.process.pid,
            program = program.name
        );
        self.store_sessions();
    }

    /// Tells a program why not, and lets it go.
    pub fn refuse(&mut self, id: u64, refusal: Refusal) {
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        info!(
            "program refused",
            pid = program.peer.process.pid,
            program = program.name,
            reason = refusal
        );
        let reply = json!({"ok": false, "reason": refusal.reason, "message": refusal.message});
        let _ = program.reply(&reply, None);
        self.close_program(id, "refused");
    }

    /// Forgets a program and closes its session.
    pub fn close_program(&mut self, id: u64, why: &str) {
        let Some(program) = self.forget_program(id) else {
            return;
        };
        if let Some(session) = program.session {
            info!("session is being closed", session = session, why = why);
            let request = json!({"op": "close", "session": session});
            self.ask(&program.gateway, request, Asked::Close, CLOSE_PATIENCE);
            self.store_sessions();
        }
        self.drop_unused_gateways();
    }

    fn forget_program(&mut self, id: u64) -> Option<Program> {
        let program = self.programs.remove(&id)?;
        for token in [program.stream_token, program.life_token, program.dial_token] {
            self.program_tokens.remove(&token);
        }
        Some(program)
    }

    /// Closes all, when the program that was started has ended and may have left children behind.
    pub fn close_programs(&mut self) {
        for id in self.programs.keys().copied().collect::<Vec<_>>() {
            self.close_program(id, "the program that was started has ended");
        }
    }

    /// The gateway says that a session is over: its program sees the end of its session socket.
    pub fn session_ended(&mut self, session: &str, reason: &str) {
        let ended = self
            .programs
            .iter()
            .find(|(_, program)| program.session.as_deref() == Some(session));
        if let Some(id) = ended.map(|(id, _)| *id) {
            info!("session ended", session = session, reason = reason);
            self.forget_program(id);
            self.store_sessions();
        }
    }

    /// The gateway was away: sessions that it does not know any more are over.
    pub fn sessions_known(&mut self, key: &GatewayKey, known: &[String]) {
        let ours = self
            .programs
            .values()
            .filter(|program| program.gateway == *key);
        let gone: Vec<String> = ours
            .filter_map(|program| program.session.clone())
            .filter(|session| !known.contains(session))
            .collect();
        for session in gone {
            self.session_ended(&session, "unknown to the gateway");
        }
    }

    /// Lets programs go whose time is over; gives the next such moment.
    pub fn drop_overdue(&mut self, now: Instant) -> Option<Instant> {
        let overdue = self
            .programs
            .iter()
            .filter(|(_, program)| program.deadline.is_some_and(|at| at <= now));
        for id in overdue.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(program) = self.programs.get(&id) else {
                continue;
            };
            let refusal = if matches!(program.stage, Stage::Asking) {
                Refusal::new("BadRequest", "no request within 5 s")
            } else {
                let trouble = self
                    .gateways
                    .get(&program.gateway)
                    .and_then(|link| link.trouble.clone());
                let message = format!(
                    "the gateway of {} did not answer in time",
                    program.gateway.node
                );
                trouble.unwrap_or_else(|| Refusal::new("GatewayUnavailable", message))
            };
            self.refuse(id, refusal);
        }
        self.programs
            .values()
            .filter_map(|program| program.deadline)
            .min()
    }

    pub fn session_count(&self) -> usize {
        self.programs
            .values()
            .filter(|program| matches!(program.stage, Stage::Open))
            .count()
    }

    fn store_sessions(&self) {
        let open = self
            .programs
            .values()
            .filter(|program| matches!(program.stage, Stage::Open));
        let stored = open.map(|program| StoredSession {
            session: program.session.clone().unwrap_or_default(),
            process: program.peer.process,
            program: program.name.clone(),
            socket_path: program.offer.clone(),
        });
        if let Err(reason) = self.state.store_sessions(&stored.collect::<Vec<_>>()) {
            warning!("the sessions could not be stored", reason = reason);
        }
    }

    /// Holds the programs of an earlier connector again, and closes the sessions of those that have ended since. Call
    /// it when the offers are there.
    pub fn adopt_sessions(&mut self) {
        for stored in self.state.sessions() {
            let Some(gateway) = self
                .offers
                .get(&stored.socket_path)
                .map(|offer| offer.gateway.clone())
            else {
                continue;
            };
            let Ok(pidfd) = stored.process.open() else {
                let request = json!({"op": "close", "session": stored.session});
                self.ask(&gateway, request, Asked::Close, CLOSE_PATIENCE);
                continue;
            };
            let id = self.token() + 1;
            self.add_program(
                &stored.socket_path,
                None,
                Peer {
                    process: stored.process,
                    uid: 0,
                    pidfd,
                },
            );
            if let Some(program) = self.programs.get_mut(&id) {
                info!(
                    "session adopted",
                    session = stored.session,
                    pid = stored.process.pid
                );
                program.session = Some(stored.session);
                program.name = stored.program;
                program.stage = Stage::Open;
                program.deadline = None;
            }
        }
    }

    /// Answers `serve` on the control socket.
    pub fn serve_control(&mut self, event: &Event) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let poller = match self.poller.try_clone() {
            Ok(poller) => poller,
            Err(error) => return warning!("control socket given up", reason = error),
        };
        server.serve(event, &poller, &mut |request| self.perform(request));
        self.server = Some(server);
    }
}
