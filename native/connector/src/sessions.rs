//! Sessions: asked for, handed over to their programs, stored and adopted again.

use std::io;
use std::path::Path;
use std::time::Instant;

use aquifer_control::peer::Peer;
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::questions::Answer;
use aquifer_control::refusal::Refusal;
use aquifer_control::{info, warning};
use serde_json::{Value, json};

use crate::connector::{Asked, Connector, PATIENCE};
use crate::dialing::{Dialed, Dialing};
use crate::gateway_link::GatewayKey;
use crate::program::Stage;
use crate::state::StoredSession;

/// Why a gateway refuses a ticket that was a good one.
const TOO_OLD: [&str; 2] = ["EpochTooOld", "TicketExpired"];

impl Connector {
    /// Asks for the programs that wait, once the ticket is bound; refuses them where it cannot be.
    pub fn open_waiting(&mut self, path: &Path) {
        if self.is_slot(path) && !self.check_holders(path) {
            return;
        }
        for id in self.waiting(path) {
            match self.offers.get(path) {
                None => self.refuse(
                    id,
                    Refusal::new("OfferWithdrawn", "the claim is no longer offered here"),
                ),
                Some(offer) if !offer.is_valid() => {
                    let ago =
                        crate::offer::now_seconds().saturating_sub(offer.file.ticket.payload.exp);
                    let another = offer.file.another("");
                    let message =
                        format!("the ticket expired {ago} s ago; get a new one: {another}");
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

    /// Programs at a socket that have not been asked for yet.
    pub fn waiting(&self, path: &Path) -> Vec<u64> {
        let waiting = self.programs.iter().filter(|(_, program)| {
            program.offer == path
                && !program.asked
                && matches!(program.stage, Stage::Opening | Stage::Inspecting)
        });
        waiting.map(|(id, _)| *id).collect()
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
        program.gateway = Some(gateway.clone());
        let ticket = &offer.file.compact;
        let (request, asked) = if matches!(program.stage, Stage::Inspecting) {
            (
                json!({"op": "inspect", "ticket": ticket, "container": program.nested}),
                Asked::Inspect(id),
            )
        } else {
            let about = json!({"pid": program.peer.process.pid, "name": program.name, "protocol": program.protocol});
            (
                json!({"op": "open", "ticket": ticket, "program": about, "container": program.nested}),
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
            Err(refusal) => return self.not_opened(id, refusal),
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

    /// A program at a slot is not told that its ticket is too old, as after every change of the operators' leader, before a
    /// new one has been tried.
    fn not_opened(&mut self, id: u64, refusal: Refusal) {
        if let (Some(slots), Some(program)) = (&mut self.slots, self.programs.get_mut(&id)) {
            slots.doubt(&program.offer);
            let outdated = TOO_OLD.contains(&refusal.reason.as_str());
            if outdated && !program.asked_anew && slots.has(&program.offer) {
                program.asked_anew = true;
                program.asked = false;
                let path = program.offer.clone();
                return self.open_waiting(&path);
            }
        }
        if self.waits_for_place(id, &refusal) {
            return;
        }
        self.refuse(id, refusal);
    }

    /// The gateway has opened a session, or has not.
    pub fn opened(&mut self, key: &GatewayKey, id: u64, answer: Answer) {
        let fields = match answer {
            Ok(fields) => fields,
            Err(refusal) => return self.not_opened(id, refusal),
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
            let attached = text("attach").map(str::to_owned);
            return self.ask_to_close(key, session, attached.as_slice());
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
        program.note_attached(attach);
        let preamble = Preamble {
            session: session_token,
            attach,
        }
        .encode();
        match self.begin_dialing(key, id, preamble) {
            Ok(dialing) => {
                if let Some(program) = self.programs.get_mut(&id) {
                    program.stage = Stage::Dialing { dialing, reply }
                }
            }
            Err(error) => self.data_connection_failed(id, &error),
        }
    }

    /// Begins a data connection for a program, to where the control connection goes.
    pub fn begin_dialing(
        &mut self,
        key: &GatewayKey,
        id: u64,
        preamble: [u8; 48],
    ) -> io::Result<Dialing> {
        let link = self.gateways.get(key);
        let (Some(link), Some(program)) = (link, self.programs.get(&id)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        Dialing::begin(link.ways(), preamble, &self.poller, program.dial_token)
    }

    fn data_connection_failed(&mut self, id: u64, error: &std::io::Error) {
        let message = format!("the data connection to the gateway was not made: {error}");
        self.refuse(id, Refusal::new("DataConnectionFailed", message));
        self.close_program(id, "no data connection");
    }

    /// The data connection is handed to the program, together with the secret, once it stands.
    pub fn dialed(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let Stage::Dialing { dialing, reply } =
            std::mem::replace(&mut program.stage, Stage::Opening)
        else {
            return;
        };
        let handed = match dialing.go_on(&self.poller, program.dial_token) {
            Ok(Dialed::Again(dialing)) => {
                program.stage = Stage::Dialing { dialing, reply };
                return;
            }
            Ok(Dialed::Made(made, to)) => program.hand_over(made, &to, &reply),
            Err(error) => Err(error),
        };
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

    /// The gateway says that a session is over: its program sees the end of its session socket.
    pub fn session_ended(&mut self, session: &str, reason: &str) {
        let ended = self
            .programs
            .iter()
            .find(|(_, program)| program.session.as_deref() == Some(session));
        if let Some(id) = ended.map(|(id, _)| *id) {
            info!("session ended", session = session, reason = reason);
            self.forget_program(id);
            self.places.left_at = Some(Instant::now());
            self.store_sessions();
        }
    }

    /// The gateway was away: sessions that it does not know any more are over.
    pub fn sessions_known(&mut self, key: &GatewayKey, known: &[String]) {
        let ours = self
            .programs
            .values()
            .filter(|program| program.gateway.as_ref() == Some(key));
        let gone: Vec<String> = ours
            .filter_map(|program| program.session.clone())
            .filter(|session| !known.contains(session))
            .collect();
        for session in gone {
            self.session_ended(&session, "unknown to the gateway");
        }
    }

    pub fn session_count(&self) -> usize {
        self.programs
            .values()
            .filter(|program| matches!(program.stage, Stage::Open))
            .count()
    }

    pub fn store_sessions(&self) {
        let open = self
            .programs
            .values()
            .filter(|program| matches!(program.stage, Stage::Open));
        let stored = open.map(|program| StoredSession {
            session: program.session.clone().unwrap_or_default(),
            attached: program.attached.clone(),
            process: program.peer.process,
            program: program.name.clone(),
            socket_path: program.offer.clone(),
            nested: program.nested.clone(),
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
                self.ask_to_close(&gateway, stored.session, &stored.attached);
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
                stored.nested,
            );
            if let Some(program) = self.programs.get_mut(&id) {
                info!(
                    "session adopted",
                    session = stored.session,
                    pid = stored.process.pid
                );
                program.session = Some(stored.session);
                program.attached = stored.attached;
                program.name = stored.program;
                program.stage = Stage::Open;
                program.deadline = None;
            }
        }
    }
}
