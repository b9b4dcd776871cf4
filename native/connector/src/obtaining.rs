//! A guest without a ticket asks its host for the one that it offers, and gets it bound to this connector's key. Nobody but the
//! host can answer at its context id; what it answers says by which CA its gateway is known, and that gateway must be the answerer.

use std::io;
use std::time::{Duration, Instant};

use aquifer_control::identity::Identity;
use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::poll::Poller;
use aquifer_control::refusal::Refusal;
use aquifer_control::tls_link::{Socket, TlsLink};
use aquifer_control::{tcp, tls, vsock};
use rustls::ClientConnection;
use serde_json::{Map, Value, json};

use crate::address::{Address, Reached};
use crate::ticket_file::TicketFile;

/// The gateway has five seconds for a stranger.
const PATIENCE: Duration = Duration::from_secs(6);
/// The token of the one connection.
const TOKEN: u64 = 0;
/// The name in the handshake, which no certificate is held against before the answer says which.
const ANY_NODE: &str = "gateway";

/// The ticket file that is offered to this guest.
pub fn obtain(address: &Address, identity: &Identity) -> Result<Value, Refusal> {
    let failed = |error: io::Error| {
        let message = format!("the host does not answer at {address}: {error}");
        Refusal::new("GatewayUnavailable", message)
    };
    let (reply, link) = ask(address, identity).map_err(failed)?;
    if reply.get("ok") != Some(&Value::Bool(true)) {
        return Err(Refusal::from_reply(&reply));
    }
    let raw = reply.get("ticketFile").cloned().unwrap_or_default();
    let file = TicketFile::from_value(raw.clone())?;
    tls::is_gateway(link.peer_certificates(), &file.node, &file.ca_pem).map_err(|error| {
        let message = format!("what the host answers is of another gateway: {error}");
        Refusal::new("TicketFileInvalid", message)
    })?;
    if file.ticket.holder != Some(identity.public()) {
        let message = "the host answers with a ticket of another key";
        return Err(Refusal::new("TicketStolen", message));
    }
    Ok(raw)
}

fn ask(address: &Address, identity: &Identity) -> io::Result<(Map<String, Value>, TlsLink)> {
    let until = Instant::now() + PATIENCE;
    let socket = connect(address)?;
    let poller = Poller::new()?;
    poller.add_writable(&socket, TOKEN)?;
    wait(&poller, until)?;
    tcp::outcome(&socket)?;
    poller.set(&socket, TOKEN, true, false)?;
    let config = tls::asking_config(identity)?;
    let connection = ClientConnection::new(config, tls::node_name(ANY_NODE)?);
    let mut link = TlsLink::new(socket, connection.map_err(io::Error::other)?.into());
    link.flush()?;
    let mut has_asked = false;
    loop {
        let (messages, ended) = link.receive()?;
        if let Some(reply) = messages.into_iter().next() {
            return Ok((reply, link));
        }
        if ended {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !link.is_handshaking() && !has_asked {
            link.send(&json!({"id": 1, "op": "obtain", "v": CONTROL_VERSION}))?;
            has_asked = true;
        }
        poller.set(&link, TOKEN, true, link.wants_write())?;
        wait(&poller, until)?;
    }
}

/// From a reserved port where that can be, so that the host can tell root from others.
fn connect(address: &Address) -> io::Result<Socket> {
    match address.reached() {
        Ok(Reached::Vsock(cid, port)) => vsock::begin_connect_from_reserved(cid, port),
        Ok(reached @ Reached::Unix(_)) => reached.begin_connect(),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "tickets are asked for over vsock alone",
        )),
    }
}

fn wait(poller: &Poller, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() || poller.wait(Some(left))?.is_empty() && until <= Instant::now() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}
