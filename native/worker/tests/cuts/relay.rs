//! What stands between a program and its worker in these tests: it is the connector at the session socket, and a relay that sees
//! every frame, since each side takes it for the other one. It cuts the connection where a test says.

use crate::rig::{PATIENCE, Worker};
use aquifer_protocol::session_socket::{OpenReply, OpenRequest, Purpose, Transport, receive, send};
use aquifer_protocol::{Connection, Header, SessionKey};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToWorker,
    ToClient,
}

/// What becomes of a frame, and of the connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// The frame is lost.
    Lost,
    /// The frame is lost, and no other connection comes through.
    LostForGood,
    /// The frame is lost, and who asks for another connection gets no answer.
    Unanswered,
    /// Half of the frame arrives.
    Half,
    /// The frame arrives, and nothing after it.
    Last,
    /// Nothing comes through any more, and nobody is told.
    Silence,
}

/// Decides over each frame: its direction, its number in that direction since the session began, and its header.
pub type Plan = dyn Fn(Direction, usize, &Header) -> Fate + Send + Sync;

pub struct Relay {
    pub socket: PathBuf,
    worker: Mutex<Worker>,
    worker_key: Vec<u8>,
    own_key: SessionKey,
    plan: Box<Plan>,
    /// Frames in each direction, and connections after the first.
    pub frames: [AtomicUsize; 2],
    pub resumed: AtomicUsize,
    /// No new connection comes through.
    closed: AtomicBool,
    /// Nobody is answered.
    silent: AtomicBool,
}

impl Relay {
    /// Offers `worker` at `socket`.
    pub fn start(socket: &Path, worker: Worker, plan: Box<Plan>) -> Arc<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let worker_key = unbase64(worker.description["keySpki"].as_str().unwrap());
        let relay = Arc::new(Self {
            socket: socket.to_owned(),
            worker: Mutex::new(worker),
            worker_key,
            own_key: SessionKey::generate().unwrap(),
            plan,
            frames: Default::default(),
            resumed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        });
        let serving = relay.clone();
        std::thread::spawn(move || {
            for program in listener.incoming().flatten() {
                let relay = serving.clone();
                std::thread::spawn(move || while relay.answer(&program).is_ok() {});
            }
        });
        relay
    }

    pub fn is_worker_alive(&self) -> bool {
        let mut worker = self.worker.lock().unwrap();
        worker.child.try_wait().unwrap().is_none()
    }

    fn answer(self: &Arc<Self>, program: &UnixStream) -> io::Result<()> {
        let (request, _) = receive::<OpenRequest>(program.as_raw_fd())?;
        if request.purpose == Purpose::Resume {
            self.resumed.fetch_add(1, Ordering::SeqCst);
        }
        if self.silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_secs(3600));
        }
        let (theirs, ours) = UnixStream::pair()?;
        let mut reply = OpenReply {
            ok: true,
            session: Some("7".repeat(32)),
            secret: Some("5a".repeat(32)),
            transport: Some(Transport::Tls),
            key_spki: Some(base64(self.own_key.spki())),
            ..OpenReply::default()
        };
        if self.closed.load(Ordering::SeqCst) {
            (reply.ok, reply.reason) = (false, Some("GatewayUnavailable".into()));
            return send(program.as_raw_fd(), &reply, None);
        }
        let worker = self.worker.lock().unwrap().attach();
        send(program.as_raw_fd(), &reply, Some(theirs.as_raw_fd()))?;
        drop(theirs);
        let relay = self.clone();
        std::thread::spawn(move || relay.connect(ours.into(), worker));
        Ok(())
    }

    fn connect(self: Arc<Self>, client: OwnedFd, worker: OwnedFd) -> io::Result<()> {
        let client = Arc::new(Connection::tls_server(client, &self.own_key, PATIENCE)?);
        let worker = Arc::new(Connection::tls_client(worker, &self.worker_key, PATIENCE)?);
        let (other, back) = (self.clone(), (worker.clone(), client.clone()));
        std::thread::spawn(move || other.pump(&back.0, &back.1, Direction::ToClient));
        self.pump(&client, &worker, Direction::ToWorker);
        Ok(())
    }

    /// Moves frames until the plan says otherwise or an end leaves; then both connections end.
    fn pump(&self, from: &Connection, to: &Connection, direction: Direction) {
        let _ = self.move_frames(from, to, direction);
        from.shut_down();
        to.shut_down();
    }

    fn move_frames(
        &self,
        from: &Connection,
        to: &Connection,
        direction: Direction,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut more = vec![0; 256 << 10];
        let write = |frame: &[u8]| to.send_all(frame, || to.wait_writable(false, None).map(|_| ()));
        loop {
            let mut done = 0;
            while let Some(header) = Header::read(&bytes[done..]).map_err(io::Error::other)? {
                let Some(frame) = bytes[done..].get(..header.length as usize) else {
                    break;
                };
                let number = self.frames[direction as usize].fetch_add(1, Ordering::SeqCst);
                match (self.plan)(direction, number, &header) {
                    Fate::Pass => write(frame)?,
                    Fate::Lost => return Ok(()),
                    Fate::Unanswered => {
                        self.silent.store(true, Ordering::SeqCst);
                        return Ok(());
                    }
                    Fate::LostForGood => {
                        self.closed.store(true, Ordering::SeqCst);
                        return Ok(());
                    }
                    Fate::Half => return write(&frame[..frame.len() / 2]),
                    Fate::Last => return write(frame),
                    Fate::Silence => std::thread::sleep(Duration::from_secs(3600)),
                }
                done += frame.len();
            }
            bytes.drain(..done);
            match from.recv_now(&mut more) {
                Ok(0) => return Ok(()),
                Ok(count) => bytes.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    from.wait_readable(None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0u32, |value, index| {
            value << 8 | u32::from(*group.get(index).unwrap_or(&0))
        });
        for index in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * index)) as usize & 63] as char;
            text.push(if index <= group.len() { digit } else { '=' });
        }
    }
    text
}

pub fn unbase64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text
        .bytes()
        .filter(|digit| *digit != b'=')
        .map(|digit| value(digit).into())
        .collect();
    let group = |part: &[u32]| {
        let word = (0..4).fold(0, |word, at| word << 6 | part.get(at).unwrap_or(&0));
        word.to_be_bytes()[1..part.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
