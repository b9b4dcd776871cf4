//! Another data connection for a session whose own is lost, for the program that has the session and nobody else. Whatever fails
//! on the way is told to the program, which asks again: its session stays as it is.

use std::time::Instant;

use aquifer_control::info;
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::questions::Answer;
use aquifer_control::refusal::Refusal;
use serde_json::json;

use crate::connector::{Asked, Connector, PATIENCE};
use crate::dialing::{Dialed, Dialing};
use crate::gateway_link::GatewayKey;
use crate::program::{Request, Stage};

/// How far another data connection has come.
pub struct Resumption {
    /// When it must have got further.
    pub deadline: Instant,
    /// The connection that is being made.
    dialing: Option<Dialing>,
}

impl Connector {
    /// A program asks on the socket on which it got its session, or, when the connector was replaced meanwhile, on another one.
    pub fn asks_to_resume(&mut self, id: u64, request: &Request) {
        let named = request.session.as_deref().unwrap_or_default();
        let has_it = |own: Option<&str>| own.is_some_and(|own| own == named);
        let owner = match self.programs.get(&id) {
            Some(program) if matches!(program.stage, Stage::Open) => {
                has_it(program.session.as_deref()).then_some(id)
            }
            Some(program) => {
                let process = program.peer.process;
                let owner = self.programs.iter().find(|(_, other)| {
                    has_it(other.session.as_deref())
                        && matches!(other.stage, Stage::Open)
                        && other.peer.process == process
                });
                owner.map(|(owner, _)| *owner)
            }
            None => return,
        };
        let Some(owner) = owner else {
            let refusal = Refusal::new("SessionUnknown", "the session is over");
            return self.tell_not_resumed(id, &refusal);
        };
        if owner != id {
            self.hand_on_session(owner, id);
        }
        self.ask_for_another(id);
    }

    /// A program has come on another stream: its session is held by that one from now on.
    fn hand_on_session(&mut self, from: u64, to: u64) {
        let Some(old) = self.forget_program(from) else {
            return;
        };
        if let Some(program) = self.programs.get_mut(&to) {
            program.session = old.session;
            program.carried = old.carried;
            program.attached = old.attached;
            program.name = old.name;
            program.gateway = old.gateway;
            program.offer = old.offer;
            program.stage = Stage::Open;
            program.deadline = None;
        }
        self.store_sessions();
    }

    fn ask_for_another(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let (Some(offer), Some(gateway)) =
            (self.offers.get(&program.offer), program.gateway.clone())
        else {
            let refusal = Refusal::new("OfferWithdrawn", "the claim is not offered here now");
            return self.tell_not_resumed(id, &refusal);
        };
        program.resumption = Some(Resumption {
            deadline: Instant::now() + PATIENCE,
            dialing: None,
        });
        let request =
            json!({"op": "resume", "ticket": offer.file.compact, "session": program.session});
        self.ask(&gateway, request, Asked::Resume(id), PATIENCE);
    }

    /// The gateway lets another data connection in, or does not.
    pub fn may_resume(&mut self, key: &GatewayKey, id: u64, answer: Answer) {
        let begun = answer.and_then(|fields| {
            let token = |name: &str| Token16::parse(fields.get(name)?.as_str()?);
            let preamble = token("session").zip(token("attach"));
            let (session, attach) = preamble.ok_or_else(|| {
                Refusal::new(
                    "InternalError",
                    "the gateway's answer to resume has no nonce",
                )
            })?;
            if let Some(program) = self.programs.get_mut(&id) {
                program.note_attached(attach);
            }
            self.store_sessions();
            let preamble = Preamble { session, attach }.encode();
            let begun = self.begin_dialing(key, id, preamble);
            begun.map_err(|error| Refusal::new("DataConnectionFailed", error.to_string()))
        });
        match begun {
            Err(refusal) => self.tell_not_resumed(id, &refusal),
            Ok(dialing) => {
                let program = self.programs.get_mut(&id);
                if let Some(resumption) = program.and_then(|program| program.resumption.as_mut()) {
                    resumption.dialing = Some(dialing);
                }
            }
        }
    }

    /// The data connection of a program that has its session was made, or was not.
    pub fn dialed_again(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let Some(resumption) = &mut program.resumption else {
            return;
        };
        let Some(dialing) = resumption.dialing.take() else {
            return;
        };
        let reply = json!({"ok": true, "session": program.session});
        let handed = match dialing.go_on(&self.poller, program.dial_token) {
            Ok(Dialed::Again(dialing)) => {
                resumption.dialing = Some(dialing);
                return;
            }
            Ok(Dialed::Made(made, to)) => {
                program.resumption = None;
                program.hand_over(made, &to, &reply)
            }
            Err(error) => Err(error),
        };
        match handed {
            Ok(()) => {
                info!(
                    "session resumes",
                    session = program.session.clone().unwrap_or_default()
                );
                self.has_followed(id);
            }
            Err(error) => {
                let refusal = Refusal::new("DataConnectionFailed", error.to_string());
                self.tell_not_resumed(id, &refusal);
            }
        }
    }

    /// Tells programs whose new connection takes too long; gives the next such moment.
    pub fn drop_late_resumptions(&mut self, now: Instant) -> Option<Instant> {
        let due =
            |program: &crate::program::Program| program.resumption.as_ref().map(|it| it.deadline);
        let late = self
            .programs
            .iter()
            .filter(|(_, program)| due(program).is_some_and(|at| at <= now));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            let refusal = Refusal::new("GatewayUnavailable", "the gateway did not answer in time");
            self.tell_not_resumed(id, &refusal);
        }
        self.programs.values().filter_map(due).min()
    }

    fn tell_not_resumed(&mut self, id: u64, refusal: &Refusal) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        program.resumption = None;
        info!(
            "session cannot be resumed now",
            pid = program.peer.process.pid,
            reason = refusal
        );
        let reply = json!({"ok": false, "reason": refusal.reason, "message": refusal.message});
        let _ = program.reply(&reply, None);
        if program.session.is_none() {
            self.close_program(id, "it has no session here");
        }
    }
}
