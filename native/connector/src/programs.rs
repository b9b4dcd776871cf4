//! Programs at the session sockets: taken, heard, refused, let go.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::peer::{Peer, peer_of};
use aquifer_control::refusal::Refusal;
use aquifer_control::{info, warning};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::connector::{Asked, CLOSE_PATIENCE, Connector, PATIENCE, TICKET_PATIENCE};
use crate::following::Carried;
use crate::gateway_link::GatewayKey;
use crate::program::{Nested, Program, Request, Stage};

/// The client library waits for 30 s: the refusal must come before.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// A program says what it wants at once.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Programs of one connector at once.
const MAX_PROGRAMS: usize = 4096;
/// So many that wait at a socket are taken before others have their turn.
const ACCEPT_AT_ONCE: usize = 128;
/// Of a program's name what is kept for listings.
const MAX_NAME: usize = 256;

impl Connector {
    /// Takes the programs that wait at a session socket.
    pub fn accept(&mut self, path: &Path) {
        for _ in 0..ACCEPT_AT_ONCE {
            let door = self.doors.get(path);
            let Some((stream, _)) = door.and_then(|door| door.listener.accept().ok()) else {
                return;
            };
            if self.programs.len() >= MAX_PROGRAMS {
                warning!("program refused: too many", most = MAX_PROGRAMS);
                continue;
            }
            match peer_of(&stream) {
                Ok(peer) => {
                    let nested = self.nested_of(&peer);
                    // A container's log is not the place to tell it: it could fill ours.
                    if !self.is_full_for(nested.as_ref()) {
                        self.add_program(path, Some(stream), peer, nested);
                    }
                }
                // It is gone already.
                Err(error) => info!("a program left at once", reason = error),
            }
        }
    }

    pub fn add_program(
        &mut self,
        path: &Path,
        stream: Option<UnixStream>,
        peer: Peer,
        nested: Option<Nested>,
    ) {
        let gateway = self.offers.get(path).map(|offer| offer.gateway.clone());
        let slots = self.slots.as_ref().filter(|_| self.is_slot(path));
        let container = slots.and_then(|slots| slots.container_of(&peer));
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
            container,
            nested,
            stage: Stage::Asking,
            resumption: None,
            carried: Carried::default(),
            session: None,
            attached: Vec::new(),
            asked: false,
            asked_anew: false,
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
            return match program.stage {
                Stage::Open => self.dialed_again(id),
                _ => self.dialed(id),
            };
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
        if !matches!(program.stage, Stage::Asking | Stage::Open) {
            return;
        }
        let request = match Request::deserialize(Value::Object(message)) {
            Ok(request) => request,
            // Nonsense is no reason to end a session that is open.
            Err(_) if matches!(program.stage, Stage::Open) => return,
            Err(error) => return self.refuse(id, Refusal::new("BadRequest", error.to_string())),
        };
        if request.purpose == "resume" && request.v == CONTROL_VERSION {
            return self.asks_to_resume(id, &request);
        }
        // Nothing else is wanted from a program that has its session.
        if matches!(program.stage, Stage::Open) {
            return;
        }
        program.name = request.program.chars().take(MAX_NAME).collect();
        program.protocol = request.protocol;
        program.deadline = Some(Instant::now() + TICKET_PATIENCE + PATIENCE - LAST_MOMENT);
        if request.v != CONTROL_VERSION {
            let message = format!(
                "the client library speaks version {}, this connector {CONTROL_VERSION}",
                request.v
            );
            return self.refuse(id, Refusal::new("ProtocolMismatch", message));
        }
        if self.guest.is_some() && program.nested.is_none() {
            let message =
                "this program is in no container that was started with a device aquifer.dev/vgpu";
            return self.refuse(id, Refusal::new("ContainerUnknown", message));
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
            self.places.left_at = Some(Instant::now());
            if let Some(gateway) = &program.gateway {
                self.ask_to_close(gateway, session, &program.attached);
            }
            self.store_sessions();
        }
        self.drop_unused_gateways();
    }

    /// Has a session closed whose program has ended. `attached` shows that it was that program's to the last.
    pub fn ask_to_close(&mut self, gateway: &GatewayKey, session: String, attached: &[String]) {
        let request = json!({"op": "close", "session": session, "attach": attached});
        self.ask(gateway, request, Asked::Close(session), CLOSE_PATIENCE);
    }

    pub fn forget_program(&mut self, id: u64) -> Option<Program> {
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
                let link = program
                    .gateway
                    .as_ref()
                    .and_then(|key| self.gateways.get(key));
                let trouble = link.and_then(|link| link.trouble.clone());
                let node = program
                    .gateway
                    .as_ref()
                    .map_or("the claim", |key| &key.node);
                let message = format!("the gateway of {node} did not answer in time");
                trouble.unwrap_or_else(|| Refusal::new("GatewayUnavailable", message))
            };
            self.refuse(id, refusal);
        }
        self.programs
            .values()
            .filter_map(|program| program.deadline)
            .min()
    }
}
