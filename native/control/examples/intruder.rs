//! Somebody in a guest who means ill, for tests: `intruder TICKET_FILE KEY_FILE ADDRESS` proves a key that it makes if it is not there, and
//! says to the gateway, line by line, what it is told on standard input: a request as it goes over the control connection, or
//! `{"dial": {"session", "attach"}}` for a data connection. It prints each answer. ADDRESS: `vsock:CID:PORT` or `IP:PORT`.

use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use aquifer_control::identity::Identity;
use aquifer_control::preamble::{Preamble, Token16};
use aquifer_control::tls_link::{Socket, TlsLink};
use aquifer_control::{tcp, tls, vsock};
use rustls::ClientConnection;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Under emulation everything takes long.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long a data connection must say nothing and stay open to be called silent.
const SILENT: Duration = Duration::from_secs(3);

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, ticket_file, key_file, address] = &words[..] else {
        return Err("intruder TICKET_FILE KEY_FILE ADDRESS".into());
    };
    let file: Value = serde_json::from_slice(&std::fs::read(ticket_file)?)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("not a ticket file");
    let identity = Identity::load_or_create(Path::new(key_file))?;
    let config = tls::client_config(&text(&file["ca"])?, &identity)?;
    let name = tls::node_name(&text(&file["endpoints"][0]["node"])?)?;
    let mut link = TlsLink::new(
        connected(address)?,
        ClientConnection::new(config, name)?.into(),
    );
    for (id, line) in std::io::stdin().lock().lines().enumerate() {
        let mut request: Value = serde_json::from_str(&line?)?;
        let answer = if let Some(dial) = request.get("dial") {
            json!({"dialed": dialed(address, dial)?})
        } else {
            request["id"] = id.into();
            asked(&mut link, &request).unwrap_or_else(|error| json!({"lost": error.to_string()}))
        };
        println!("{answer}");
    }
    Ok(())
}

fn connected(address: &str) -> Outcome<Socket> {
    let socket = match address.strip_prefix("vsock:").map(|it| it.split_once(':')) {
        Some(Some((cid, port))) => vsock::begin_connect(cid.parse()?, port.parse()?)?,
        _ => tcp::begin_connect(address.parse()?)?,
    };
    wait(&socket, libc::POLLOUT, PATIENCE);
    tcp::outcome(&socket)?;
    Ok(socket)
}

/// Whether something has happened within `patience`.
fn wait(socket: &impl AsRawFd, events: i16, patience: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one pollfd, which lives through the call.
    unsafe { libc::poll(&mut entry, 1, patience.as_millis() as i32) > 0 }
}

fn asked(link: &mut TlsLink, request: &Value) -> Outcome<Value> {
    link.send(request)?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        link.flush()?;
        wait(link, libc::POLLIN, Duration::from_secs(1));
        let (messages, ended) = link.receive()?;
        let answer = messages
            .into_iter()
            .find(|it| it.get("id") == request.get("id"));
        if let Some(answer) = answer {
            return Ok(Value::Object(answer));
        }
        if ended {
            return Err("the gateway closed the connection".into());
        }
    }
    Err("no answer".into())
}

/// What comes of a data connection: "closed", "silent", or that something was said.
fn dialed(address: &str, dial: &Value) -> Outcome<&'static str> {
    let token = |name: &str| dial[name].as_str().and_then(Token16::parse);
    let preamble = Preamble {
        session: token("session").ok_or("session: 32 digits")?,
        attach: token("attach").ok_or("attach: 32 digits")?,
    };
    let socket = connected(address)?;
    (&socket).write_all(&preamble.encode())?;
    if !wait(&socket, libc::POLLIN, SILENT) {
        return Ok("silent");
    }
    Ok(match (&socket).read(&mut [0; 64]) {
        Ok(0) | Err(_) => "closed",
        Ok(_) => "answered",
    })
}
