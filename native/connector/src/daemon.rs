//! What `serve`, or the device plugin of a node, asks of the connector of its host.

use std::path::PathBuf;

use aquifer_control::line_server::Answer;
use aquifer_control::poll::Event;
use aquifer_control::refusal::Refusal;
use aquifer_control::warning;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::Connector;
use crate::program::Stage;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Request {
    Offer {
        socket_path: PathBuf,
        #[serde(default)]
        mode: Option<String>,
        ticket_file: Value,
    },
    Withdraw {
        socket_path: PathBuf,
    },
    PrepareSlot {
        slot: String,
    },
    RegisterContainer {
        container: String,
        share: Option<String>,
        pid: i32,
    },
    List,
}

/// Permission bits in octal, as `chmod` takes them.
pub fn parse_mode(text: &str) -> Result<u32, Refusal> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(mode),
        _ => Err(Refusal::new(
            "BadRequest",
            format!("mode: octal permission bits are wanted (0600), not {text:?}"),
        )),
    }
}

impl Connector {
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

    /// One request.
    pub fn perform(&mut self, request: Value) -> Answer {
        let request = Request::deserialize(request)
            .map_err(|error| Refusal::new("BadRequest", error.to_string()))?;
        match request {
            Request::Offer {
                socket_path,
                mode,
                ticket_file,
            } => {
                let mode = parse_mode(mode.as_deref().unwrap_or("0600"))?;
                self.offer(&socket_path, mode, ticket_file)?;
                self.store_offers();
                Ok(json!({"key": self.identity.public().to_string()}))
            }
            Request::Withdraw { socket_path } => {
                let found = self.withdraw(&socket_path);
                self.store_offers();
                Ok(json!({"found": found}))
            }
            Request::PrepareSlot { slot } => {
                self.prepare_slot(&slot)?;
                Ok(json!({}))
            }
            Request::RegisterContainer {
                container,
                share,
                pid,
            } => {
                self.register_container(container, share, pid)?;
                Ok(json!({}))
            }
            Request::List => Ok(json!({
                "key": self.identity.public().to_string(),
                "offers": self.list_offers(),
                "sessions": self.list_sessions(),
                "containers": self.guest.as_ref().map(|guest| guest.containers.list()),
            })),
        }
    }

    fn list_offers(&self) -> Vec<Value> {
        let entry = |offer: &crate::offer::Offer| {
            json!({
                "socketPath": offer.path, "claim": offer.file.claim, "claimUid": offer.claim_uid(),
                "expires": offer.file.ticket.payload.exp, "bound": offer.is_bound(),
                "trouble": offer.trouble.as_ref().map(ToString::to_string),
            })
        };
        self.offers.values().map(entry).collect()
    }

    fn list_sessions(&self) -> Vec<Value> {
        let open = self
            .programs
            .values()
            .filter(|program| matches!(program.stage, Stage::Open));
        let entry = |program: &crate::program::Program| {
            json!({
                "session": program.session, "pid": program.peer.process.pid, "uid": program.peer.uid,
                "program": program.name, "socketPath": program.offer,
            })
        };
        open.map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0600"), Ok(0o600));
        assert_eq!(parse_mode("666"), Ok(0o666));
        for wrong in ["", "0o600", "9", "1777", "-1", "+600"] {
            assert!(parse_mode(wrong).is_err(), "{wrong}");
        }
    }
}
