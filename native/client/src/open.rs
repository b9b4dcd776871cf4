//! From the session socket to the first facts: what `cuInit` does.

use crate::device::Device;
use crate::inbox::Inbox;
use crate::session::{Outcome, Session};
use crate::way_back::WayBack;
use aquifer_cuda::*;
use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::{Attach, DeviceFacts, Facts, Hello, Resumable};
use aquifer_protocol::session_socket::{OpenReply, OpenRequest, Purpose, Transport, receive, send};
use aquifer_protocol::{
    Connection, FrameReader, Incoming, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR, PROTOCOL_VERSION, Push,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Where the session socket is unless AQUIFER_SOCKET says otherwise.
const DEFAULT_SOCKET: &str = "/run/aquifer/session.sock";
/// Longest that any step may take: a worker may have to be started.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shortest that a step is given.
const LAST_TRY: Duration = Duration::from_millis(10);

/// How long a connector may take to be replaced by another.
const REPLACED_WITHIN: Duration = Duration::from_secs(5);

/// How often a session is opened anew when its connection is cut before there is anything to resume, and after which pause.
const ANEW: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no session: the CUDA error, and the line for stderr.
struct Refusal {
    result: CUresult,
    reason: String,
    /// The connection was cut: another may do.
    cut: bool,
}

/// Opens a session and reads what it offers.
pub fn connect() -> Outcome<Session> {
    let mut left = ANEW;
    loop {
        match try_connect() {
            Err(refusal) if refusal.cut && left > 0 => {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            outcome => {
                return outcome.map_err(|Refusal { result, reason, .. }| {
                    crate::log::error(reason);
                    result
                });
            }
        }
    }
}

fn try_connect() -> Result<Session, Refusal> {
    let (socket, reply, data) = request(Purpose::Session)?;
    let data = data.ok_or_else(|| unusable("the connector sent no connection"))?;
    let key = match reply.transport {
        Some(Transport::Tls) => {
            let key = reply.key_spki.as_deref().and_then(base64);
            Some(key.ok_or_else(|| unusable("there is no worker key"))?)
        }
        _ => None,
    };
    let connection = match &key {
        Some(key) => Connection::tls_client(data, key, PATIENCE)
            .map_err(|error| failed("no encrypted connection with the worker", &error))?,
        None => Connection::plain(data),
    };
    let secret = reply
        .secret
        .as_deref()
        .and_then(secret)
        .ok_or_else(|| unusable("the connector sent no secret"))?;
    let mut greeting = Greeting {
        connection: &connection,
        reader: FrameReader::new(),
    };
    let hello = greeting.hello()?;
    check_version(hello)?;
    let attach = Attach {
        secret,
        fingerprint: PROTOCOL_FINGERPRINT,
        major: PROTOCOL_MAJOR,
        pid: std::process::id(),
    };
    let wait = || connection.wait_writable(false, Some(PATIENCE)).map(|_| ());
    connection
        .send_all(&frame(&attach, Envelope::default(), &[]), wait)
        .map_err(lost)?;
    let facts = greeting.facts()?;
    let devices = greeting.devices(facts.vgpus)?;
    let terms = match &key {
        Some(_) => Some(greeting.terms()?),
        None => None,
    };
    let inbox = Inbox::new(greeting.reader);
    let way_back = WayBack::new(socket, reply.session.unwrap_or_default(), key.zip(terms));
    Session::new(connection, way_back, inbox, &facts, devices).map_err(lost)
}

/// What the connector answers to Resume.
pub enum Offer {
    Descriptor(OwnedFd),
    /// With the reason.
    Refused(String),
}

/// Asks for another data connection on the session socket; where the connector was replaced meanwhile, on another one, which
/// takes its place. Waits until `end` at most. Errors name the socket's path.
pub fn resume(
    socket: &mut OwnedFd,
    session: &str,
    end: Instant,
) -> Result<Offer, (String, io::Error)> {
    let asked = open_request(Purpose::Resume, Some(session.to_owned()));
    let answered = wait_at_most(socket, left(end))
        .and_then(|()| exchange(socket, &asked))
        .or_else(|_| {
            let (fresh, answer) = ask_anew(&asked, left(end))?;
            *socket = fresh;
            Ok(answer)
        });
    let (reply, descriptor) = answered?;
    Ok(match descriptor.filter(|_| reply.ok) {
        Some(descriptor) => Offer::Descriptor(descriptor),
        None => Offer::Refused(format!(
            "{}: {}",
            reply.reason.unwrap_or_else(|| "Refused".to_owned()),
            reply.message.unwrap_or_default()
        )),
    })
}

/// The time until `end`: what may take long is worth a try, even when it is over.
pub fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
        .clamp(LAST_TRY, PATIENCE)
}

/// Each step on the session socket takes no longer.
fn wait_at_most(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    let socket = UnixStream::from(socket.try_clone()?);
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))
}

/// Asks the connector on the session socket.
fn request(purpose: Purpose) -> Result<(OwnedFd, OpenReply, Option<OwnedFd>), Refusal> {
    let (socket, reply, data) = ask(purpose).map_err(|(path, error)| {
        unusable(&format!(
            "the session socket {path} cannot be used: {error}"
        ))
    })?;
    if reply.ok {
        return Ok((socket, reply, data));
    }
    let reason = reply.reason.unwrap_or_else(|| "Refused".to_owned());
    let result = if reason == "ProtocolMismatch" {
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
    } else {
        CUDA_ERROR_NO_DEVICE
    };
    let reason = format!("no vGPU: {reason}: {}", reply.message.unwrap_or_default());
    Err(refusal(result, reason))
}

/// What the connector answers, with the socket. Errors name the socket's path.
pub fn ask(purpose: Purpose) -> Result<(OwnedFd, OpenReply, Option<OwnedFd>), (String, io::Error)> {
    let (socket, (reply, data)) = ask_anew(&open_request(purpose, None), PATIENCE)?;
    Ok((socket, reply, data))
}

fn open_request(purpose: Purpose, session: Option<String>) -> OpenRequest {
    let program = std::env::args_os().next().unwrap_or_default();
    OpenRequest {
        v: 1,
        protocol: PROTOCOL_VERSION.to_owned(),
        purpose,
        program: program.to_string_lossy().into_owned(),
        session,
    }
}

type Answered = (OpenReply, Option<OwnedFd>);

fn ask_anew(
    request: &OpenRequest,
    patience: Duration,
) -> Result<(OwnedFd, Answered), (String, io::Error)> {
    let path = std::env::var("AQUIFER_SOCKET")
        .ok()
        .filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
    let asked = reach(&path, patience.min(REPLACED_WITHIN)).and_then(|socket| {
        let socket = OwnedFd::from(socket);
        wait_at_most(&socket, patience)?;
        let answered = exchange(&socket, request)?;
        Ok((socket, answered))
    });
    asked.map_err(|error| (path, error))
}

fn exchange(socket: &OwnedFd, request: &OpenRequest) -> io::Result<Answered> {
    send(socket.as_raw_fd(), request, None)?;
    receive(socket.as_raw_fd())
}

/// Connects. A socket at which nobody listens is that of a connector that is being replaced: it is waited for.
fn reach(path: &str, patience: Duration) -> io::Result<UnixStream> {
    let end = Instant::now() + patience;
    loop {
        match UnixStream::connect(path) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < end =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

fn check_version(hello: Hello) -> Result<(), Refusal> {
    if (hello.major, hello.fingerprint) == (PROTOCOL_MAJOR, PROTOCOL_FINGERPRINT) {
        return Ok(());
    }
    let older = match hello.major.cmp(&PROTOCOL_MAJOR) {
        std::cmp::Ordering::Less => "the worker is older",
        std::cmp::Ordering::Equal => "they come from different builds",
        std::cmp::Ordering::Greater => "this library is older",
    };
    let theirs = format!("{}.{:016x}", hello.major, hello.fingerprint);
    let line = format!(
        "ProtocolMismatch: this library speaks {PROTOCOL_VERSION}, the worker {theirs}: {older}"
    );
    Err(refusal(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, line))
}

/// The frames before there is a session.
struct Greeting<'a> {
    connection: &'a Connection,
    reader: FrameReader,
}

impl Greeting<'_> {
    fn hello(&mut self) -> Result<Hello, Refusal> {
        self.next(|push| match push {
            Push::Hello(hello, _) => Some(hello),
            _ => None,
        })
    }

    fn facts(&mut self) -> Result<Facts, Refusal> {
        self.next(|push| match push {
            Push::Facts(facts) => Some(facts),
            _ => None,
        })
    }

    fn devices(&mut self, count: u32) -> Result<Vec<Device>, Refusal> {
        (0..count)
            .map(|index| {
                self.next(|push| match push {
                    Push::DeviceFacts(DeviceFacts { vgpu, .. }, _) if vgpu != index => None,
                    Push::DeviceFacts(facts, attributes) => Some(Device::new(&facts, attributes)),
                    _ => None,
                })
            })
            .collect()
    }

    fn terms(&mut self) -> Result<Resumable, Refusal> {
        self.next(|push| match push {
            Push::Resumable(terms) => Some(terms),
            _ => None,
        })
    }

    /// The next frame, which must be the one that `pick` takes; Closed ends the attempt with the worker's reason.
    fn next<T>(&mut self, pick: impl Fn(Push<'_>) -> Option<T>) -> Result<T, Refusal> {
        loop {
            match self
                .reader
                .next_frame()
                .map_err(|error| unusable(&error.to_string()))?
            {
                Some(Incoming::Frame { header, body }) => {
                    let push = Push::decode(header.call, body)
                        .map_err(|error| unusable(&error.to_string()))?;
                    if let Push::Closed(closed, reason) = push {
                        let result = if closed.result == CUDA_SUCCESS {
                            CUDA_ERROR_NO_DEVICE
                        } else {
                            closed.result
                        };
                        let reason = format!("no vGPU: {}", String::from_utf8_lossy(reason));
                        return Err(refusal(result, reason));
                    }
                    return pick(push)
                        .ok_or_else(|| unusable("the worker's greeting is out of order"));
                }
                Some(Incoming::Bulk { .. }) => {
                    return Err(unusable("the worker sent data before its greeting"));
                }
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), Refusal> {
        loop {
            match self.reader.fill_now(self.connection) {
                Ok(0) => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self
                        .connection
                        .wait_readable(Some(PATIENCE))
                        .map_err(lost)?
                    {
                        return Err(unusable("the worker does not answer"));
                    }
                }
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

fn refusal(result: CUresult, reason: String) -> Refusal {
    Refusal {
        result,
        reason,
        cut: false,
    }
}

fn unusable(what: &str) -> Refusal {
    refusal(CUDA_ERROR_NO_DEVICE, format!("no vGPU: {what}"))
}

fn lost(error: io::Error) -> Refusal {
    failed("the connection to the worker failed", &error)
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    let cuts = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        NotConnected,
        UnexpectedEof,
    ];
    Refusal {
        cut: cuts.contains(&error.kind()),
        ..unusable(&format!("{what}: {error}"))
    }
}

fn secret(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    bytes.try_into().ok()
}

/// Standard base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding_and_nothing_else_is() {
        assert_eq!(base64("AQIDBA=="), Some(vec![1, 2, 3, 4]));
        assert_eq!(base64("MCowBQ"), Some(vec![0x30, 0x2a, 0x30, 5]));
        assert_eq!(base64("////"), Some(vec![255, 255, 255]));
        assert_eq!(base64("A-"), None);
    }

    #[test]
    fn a_secret_is_64_hexadecimal_digits() {
        assert_eq!(secret(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(secret(&"0f".repeat(31)), None);
        assert_eq!(secret(&"zz".repeat(32)), None);
    }
}
