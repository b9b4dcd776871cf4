//! A guest that has no ticket yet asks its host for the one that it is offered. The channel tells which guest it is, as far as the
//! kernel vouches for it; what is offered there, and to whom it went already, the backend knows.

use aquifer_control::info;
use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::peer::peer_of;
use aquifer_control::refusal::Refusal;
use serde_json::{Value, json};

use crate::accept::VSOCK;
use crate::connection::{Connection, PeerKind, Stage};
use crate::control::Progress;
use crate::gateway::Gateway;

/// Strangers whose question waits for the backend at once. Each has one question, and five seconds.
const MAX_ASKING: usize = 16;

impl Gateway {
    /// Asks the backend for the ticket that is offered where this connection comes from.
    pub fn obtain(&mut self, token: u64, id: &Value, version: u32) -> Result<Progress, Refusal> {
        if version != CONTROL_VERSION {
            let message =
                format!("the connector speaks version {version}, this gateway {CONTROL_VERSION}");
            return Err(Refusal::new("ProtocolMismatch", message));
        }
        let has_asked = |one: &Connection| one.outstanding > 0;
        let waiting = self.unauthenticated[VSOCK].iter();
        let asking = waiting.filter(|it| self.connections.get(it).is_some_and(has_asked));
        let is_full = asking.count() >= MAX_ASKING;
        let connection = self.connections.get(&token);
        let connection = connection.ok_or_else(|| Refusal::new("BadRequest", "not connected"))?;
        let (from, key) = origin(connection)?;
        if is_full || has_asked(connection) {
            let message = format!("{MAX_ASKING} guests are asking already");
            return Err(Refusal::new("TooManyRequests", message));
        }
        info!("a guest asks for its ticket", key = key, from = from);
        let request = json!({"op": "obtain", "holderKey": key, "from": from});
        self.forward(token, id, request)
    }
}

/// Which guest it is, and the key that it has proved.
fn origin(connection: &Connection) -> Result<(Value, String), Refusal> {
    let (PeerKind::Vsock(address), Stage::Control { link, .. }) =
        (&connection.kind, &connection.stage)
    else {
        let message = "tickets are offered to guests of this host over vsock, and nowhere else";
        return Err(Refusal::new("NotOffered", message));
    };
    let key = link
        .holder()
        .ok_or_else(|| Refusal::new("TicketStolen", "the connection has proved no key"))?;
    let unknown = |reason: &dyn std::fmt::Display| {
        let message = format!("it cannot be told which guest this is: {reason}");
        Refusal::new("NotOffered", message)
    };
    let from = match address.split_once(':') {
        // The kernel's vsock: it says who and from which port.
        Some((cid, port)) => {
            let number = |text: &str| text.parse::<u32>().map_err(|error| unknown(&error));
            json!({"cid": number(cid)?, "port": number(port)?})
        }
        // A process for one guest has connected: which one that is the backend knows.
        None => {
            let peer = peer_of(link.as_ref()).map_err(|error| unknown(&error))?;
            json!({"process": peer.process})
        }
    };
    Ok((from, key.to_string()))
}
