//! A connector's part: a key, a control connection, data connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use aquifer_control::identity::Identity;
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::tls;
use aquifer_control::tls_link::{Socket, TlsLink};
use rustls::ClientConnection;
use serde_json::{Map, Value, json};

use super::{Host, NODE};

pub struct Holder {
    pub identity: Identity,
}

pub struct Control {
    link: TlsLink,
    received: Vec<Map<String, Value>>,
    next_id: u64,
    pub over_tcp: bool,
}

impl Holder {
    pub fn new() -> Self {
        Self {
            identity: Identity::generate().unwrap(),
        }
    }

    pub fn x(&self) -> String {
        self.identity.public().to_string()
    }

    pub fn ticket(&self, host: &Host) -> String {
        host.backend.ticket(Some(&self.x()), |_| ())
    }

    /// Connects without hello.
    pub fn connect(&self, host: &Host, over_tcp: bool) -> Control {
        let descriptor: OwnedFd = if over_tcp {
            TcpStream::connect(host.tcp_address()).unwrap().into()
        } else {
            UnixStream::connect(host.unix_address()).unwrap().into()
        };
        self.connect_through(host, descriptor, over_tcp)
    }

    /// The same over a connection that is there.
    pub fn connect_through(&self, host: &Host, descriptor: OwnedFd, over_tcp: bool) -> Control {
        let config = tls::client_config(&host.backend.ca_pem, &self.identity).unwrap();
        let connection = ClientConnection::new(config, tls::node_name(NODE).unwrap()).unwrap();
        let link = TlsLink::new(Socket::new(descriptor).unwrap(), connection.into());
        Control {
            link,
            received: Vec::new(),
            next_id: 1,
            over_tcp,
        }
    }

    /// Connects and says hello with a good ticket.
    pub fn hello(&self, host: &Host, over_tcp: bool) -> Control {
        self.greet(host, self.connect(host, over_tcp))
    }

    /// Says hello on a connection with a good ticket.
    pub fn greet(&self, host: &Host, mut control: Control) -> Control {
        let reply = control
            .ask(json!({"op": "hello", "v": 1, "ticket": self.ticket(host)}))
            .unwrap();
        assert_eq!(reply["ok"], true, "{reply}");
        control
    }
}

impl Control {
    fn wait(&mut self, wanted: impl Fn(&Map<String, Value>) -> bool) -> Option<Value> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(at) = self.received.iter().position(&wanted) {
                return Some(Value::Object(self.received.remove(at)));
            }
            if self.link.flush().is_err() || Instant::now() > end {
                return None;
            }
            let mut poll = libc::pollfd {
                fd: self.link.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one pollfd, which lives through the call.
            unsafe { libc::poll(&mut poll, 1, 1_000) };
            match self.link.receive() {
                Ok((messages, ended)) => {
                    self.received.extend(messages);
                    if ended && !self.received.iter().any(&wanted) {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// The reply; `None` when the gateway has closed the connection or was silent for 15 s.
    pub fn ask(&mut self, mut request: Value) -> Option<Value> {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        self.link.send(&request).ok()?;
        self.wait(|message| message.get("id") == Some(&id.into()))
    }

    pub fn event(&mut self) -> Option<Value> {
        self.wait(|message| message.contains_key("event"))
    }

    pub fn open(&mut self, ticket: &str) -> Value {
        self.ask(json!({"op": "open", "ticket": ticket, "program": {"pid": 1, "name": "matmul"}}))
            .unwrap()
    }
}

impl Control {
    /// Asks for another data connection of a session.
    pub fn resume(&mut self, ticket: &str, session: &Value) -> Value {
        self.ask(json!({"op": "resume", "ticket": ticket, "session": session}))
            .unwrap()
    }

    /// Closes a session, showing the nonces of data connections.
    pub fn close(&mut self, session: &Value, attach: &[&Value]) -> Value {
        self.ask(json!({"op": "close", "session": session, "attach": attach}))
            .unwrap()
    }
}

/// A data connection: its preamble written.
pub fn dial(host: &Host, over_tcp: bool, session: &Value, attach: &Value) -> std::fs::File {
    let descriptor: OwnedFd = if over_tcp {
        TcpStream::connect(host.tcp_address()).unwrap().into()
    } else {
        UnixStream::connect(host.unix_address()).unwrap().into()
    };
    attach_through(descriptor, session, attach)
}

/// The same over a connection that is there.
pub fn attach_through(descriptor: OwnedFd, session: &Value, attach: &Value) -> std::fs::File {
    let token = |value: &Value| Token16::parse(value.as_str().unwrap()).unwrap();
    let preamble = Preamble {
        session: token(session),
        attach: token(attach),
    };
    let mut data = std::fs::File::from(descriptor);
    data.write_all(&preamble.encode()).unwrap();
    data
}

/// The fake worker's greeting and an echo: whether this data connection is the session's.
pub fn works(data: &mut std::fs::File, secret: &Value) -> bool {
    let mut greeting = [0; 64];
    if data.read_exact(&mut greeting).is_err() || greeting != secret.as_str().unwrap().as_bytes() {
        return false;
    }
    echoes(data)
}

pub fn echoes(data: &mut std::fs::File) -> bool {
    let mut bytes = [0; 5];
    data.write_all(b"hello").is_ok() && data.read_exact(&mut bytes).is_ok() && &bytes == b"hello"
}
