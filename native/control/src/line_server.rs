//! A unix socket that answers JSON lines at once: the spawner's, and the connector's for `serve`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::limits::CONTROL_VERSION;
use crate::line_link::LineLink;
use crate::poll::{Event, Poller};
use crate::refusal::Refusal;
use crate::{unix_socket, warning};

/// Most connections at once: its users are the few processes of one host.
const MAX_LINKS: usize = 64;

/// The listener and its connections. `hello` is answered here, everything else by the caller.
#[derive(Debug)]
pub struct LineServer {
    listener: UnixListener,
    first_token: u64,
    next_token: u64,
    /// By token, which is the order in which they came.
    links: BTreeMap<u64, Peer>,
    greeting: Map<String, Value>,
}

#[derive(Debug)]
struct Peer {
    link: LineLink,
    greeted: bool,
}

/// What an operation gives back: the fields of a reply that says `ok`.
pub type Answer = Result<Value, Refusal>;

impl LineServer {
    /// Listens at `path` (0600). Tokens from `first_token` on are this server's. `greeting` is what `hello` answers.
    pub fn listen(
        path: &Path,
        poller: &Poller,
        first_token: u64,
        greeting: Map<String, Value>,
    ) -> io::Result<Self> {
        let listener = unix_socket::listen(path, 0o600)?;
        poller.add(&listener, first_token)?;
        Ok(Self {
            listener,
            first_token,
            next_token: first_token + 1,
            links: BTreeMap::new(),
            greeting,
        })
    }

    /// Whether an event is for this server.
    pub fn owns(&self, event: &Event) -> bool {
        event.token >= self.first_token
    }

    /// Accepts, reads, and answers with what `perform` says.
    pub fn serve(
        &mut self,
        event: &Event,
        poller: &Poller,
        perform: &mut dyn FnMut(Value) -> Answer,
    ) {
        if event.token == self.first_token {
            self.accept(poller);
            return;
        }
        let Some(Peer {
            mut link,
            mut greeted,
        }) = self.links.remove(&event.token)
        else {
            return;
        };
        let result = link.receive().and_then(|(messages, ended)| {
            for message in messages {
                let reply = self.answer(message, perform);
                greeted |= reply["ok"] == true;
                link.send(&reply)?;
            }
            link.flush()?;
            poller.set(&link, event.token, true, link.wants_write())?;
            Ok(ended)
        });
        match result {
            Ok(false) => drop(self.links.insert(event.token, Peer { link, greeted })),
            Ok(true) => {}
            Err(reason) => warning!("connection given up", reason = reason),
        }
    }

    fn accept(&mut self, poller: &Poller) {
        while let Ok((stream, _)) = self.listener.accept() {
            let token = self.next_token;
            self.next_token += 1;
            if self.links.len() >= MAX_LINKS && !self.drop_oldest_stranger() {
                warning!("connection refused: too many", most = MAX_LINKS);
            } else if let Ok(link) = LineLink::new(stream)
                && poller.add(&link, token).is_ok()
            {
                let greeted = false;
                self.links.insert(token, Peer { link, greeted });
            }
        }
    }

    /// Makes room: whoever has asked for nothing yet has had the most time when it came first.
    fn drop_oldest_stranger(&mut self) -> bool {
        let stranger = self.links.iter().find(|(_, peer)| !peer.greeted);
        let token = stranger.map(|(token, _)| *token);
        token.is_some_and(|token| self.links.remove(&token).is_some())
    }

    fn answer(
        &self,
        message: Map<String, Value>,
        perform: &mut dyn FnMut(Value) -> Answer,
    ) -> Value {
        let id = message.get("id").cloned().unwrap_or_default();
        let done = if message.get("op").is_some_and(|op| op == "hello") {
            self.greet(&message)
        } else {
            perform(Value::Object(message))
        };
        match done {
            Ok(Value::Object(mut reply)) => {
                reply.insert("id".into(), id);
                reply.insert("ok".into(), true.into());
                Value::Object(reply)
            }
            Ok(_) => json!({"id": id, "ok": true}),
            Err(refusal) => refusal.reply(&id),
        }
    }

    fn greet(&self, hello: &Map<String, Value>) -> Answer {
        let version = hello.get("v").and_then(Value::as_u64);
        if version != Some(CONTROL_VERSION.into()) {
            let spoken =
                version.map_or("no version".into(), |version| format!("version {version}"));
            let message =
                format!("the peer speaks {spoken}, this process version {CONTROL_VERSION}");
            return Err(Refusal::new("ProtocolMismatch", message));
        }
        let mut reply = self.greeting.clone();
        reply.insert("v".into(), CONTROL_VERSION.into());
        Ok(Value::Object(reply))
    }

    /// Tells everybody who is connected. A link that fails here is given up when its end is read.
    pub fn broadcast(&mut self, event: &Value) {
        self.links
            .values_mut()
            .for_each(|peer| drop(peer.link.send(event)));
    }
}
