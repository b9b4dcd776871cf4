//! How a session goes on when its connection is lost: another one is asked for at the session socket, shown the secret that the
//! worker gave last, and each end writes again what the other has not got. Whoever finds the connection lost does it, for all.

use crate::open::{self, Offer, left};
use crate::session::Session;
use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::{Resumable, Resume, Resumed};
use aquifer_protocol::{
    Connection, FrameReader, Incoming, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR, Push, SILENCE,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How long the worker may take to answer: it may be in the middle of a long call of the driver.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is needed to come back.
pub struct WayBack {
    /// Kept open for the program's life: its end tells the connector that the program has left.
    session_socket: Mutex<OwnedFd>,
    /// Session id, 32 hexadecimal digits.
    session: String,
    /// None on one host, where a connection cannot be lost.
    terms: Option<Terms>,
    /// Held by the thread that makes a connection.
    making: Mutex<()>,
    generation: AtomicU64,
    /// The program ends: nothing is worth waiting for any more.
    leaving: AtomicBool,
}

/// What the worker gave.
struct Terms {
    /// Its public key (DER).
    key: Vec<u8>,
    /// What it is to be shown the next time.
    secret: Mutex<[u8; 32]>,
    grace: Duration,
}

/// Why an attempt failed: whether another may succeed.
enum Failure {
    Again(String),
    Over(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn again(error: io::Error) -> Failure {
    Failure::Again(error.to_string())
}

impl WayBack {
    /// `terms` are the worker's key and what it said.
    pub fn new(
        session_socket: OwnedFd,
        session: String,
        terms: Option<(Vec<u8>, Resumable)>,
    ) -> Self {
        let terms = terms.map(|(key, said)| Terms {
            key,
            secret: Mutex::new(said.secret),
            grace: Duration::from_secs(said.grace_seconds.into()),
        });
        Self {
            session_socket: Mutex::new(session_socket),
            session,
            terms,
            making: Mutex::new(()),
            generation: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
        }
    }

    /// Counts the connections.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The program ends. False when that would have to wait for a connection that is being made.
    pub fn leave(&self) -> bool {
        self.leaving.store(true, Ordering::Relaxed);
        self.making.try_lock().is_ok()
    }

    /// In a forked child: nothing of it is the child's.
    pub fn close(&self) {
        if let Ok(socket) = self.session_socket.try_lock() {
            // SAFETY: the descriptor is closed here and, since the session is never dropped, only here.
            unsafe { libc::close(socket.as_raw_fd()) };
        }
    }
}

/// What survives the loss of its connection.
pub trait Recover {
    /// Counts the connections.
    fn generation(&self) -> u64;
    /// The connection of `generation` failed with `error`: makes another, on which what is kept is written again. Fails where
    /// that cannot be.
    fn recover(&self, generation: u64, error: io::Error) -> io::Result<()>;
}

impl Recover for Session {
    fn generation(&self) -> u64 {
        self.way_back.generation()
    }

    fn recover(&self, generation: u64, error: io::Error) -> io::Result<()> {
        let way = &self.way_back;
        let is_loss = !matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        );
        let Some(terms) = way.terms.as_ref().filter(|_| is_loss) else {
            return Err(error);
        };
        let _making = lock(&way.making);
        if way.generation() != generation {
            return Ok(());
        }
        if self.alive().is_err() {
            return Err(error);
        }
        // Whoever is in the middle of something finds out.
        self.connection.shut_down();
        crate::log::debug(format_args!(
            "the connection to the worker is lost: {error}"
        ));
        let lost = Instant::now();
        let end = lost + terms.grace;
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.try_again(terms, end) {
                Ok(()) => {
                    let took = lost.elapsed().as_millis();
                    crate::log::debug(format_args!("the session goes on after {took} ms"));
                    return Ok(());
                }
                Err(Failure::Over(reason)) => return Err(io::Error::other(reason)),
                Err(Failure::Again(reason)) => reason,
            };
            if Instant::now() + pause > end
                || way.leaving.load(Ordering::Relaxed)
                || self.alive().is_err()
            {
                return Err(io::Error::other(format!(
                    "it could not be made again within {} s: {reason}",
                    terms.grace.as_secs()
                )));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

impl Session {
    /// Nothing in it waits for long after `end`.
    fn try_again(&self, terms: &Terms, end: Instant) -> Result<(), Failure> {
        let connection = self.another_connection(&terms.key, end)?;
        // Nobody reads or writes from here on: what has come so far is what the worker is told.
        let writing = self.outbox.hold();
        let mut reader = self.inbox.hold();
        let resume = Resume {
            secret: *lock(&terms.secret),
            received: self.outbox.received(),
            fingerprint: PROTOCOL_FINGERPRINT,
            major: PROTOCOL_MAJOR,
            reserved: 0,
        };
        let first = frame(&resume, Envelope::default(), &[]);
        let wait = || match connection.wait_writable(false, Some(left(end).min(SILENCE)))? {
            true => Ok(()),
            false => Err(io::ErrorKind::TimedOut.into()),
        };
        connection.send_all(&first, wait).map_err(again)?;
        let mut frames = FrameReader::new();
        let resumed = hear(&connection, &mut frames, left(end).min(ANSWER_TIMEOUT))?;
        self.connection.replace(connection).map_err(again)?;
        reader.restart(frames, resumed.processed as u32);
        *lock(&terms.secret) = resumed.secret;
        self.way_back.generation.fetch_add(1, Ordering::AcqRel);
        self.inbox.note_heard();
        drop(reader);
        let written = self.outbox.write_again(&self.link(), resumed.processed);
        drop(writing);
        written.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::Over(error.to_string()),
            _ => {
                self.connection.shut_down();
                again(error)
            }
        })
    }

    fn another_connection(&self, key: &[u8], end: Instant) -> Result<Connection, Failure> {
        let mut socket = lock(&self.way_back.session_socket);
        let asked = open::resume(&mut socket, &self.way_back.session, end);
        let offer = asked.map_err(|(path, error)| {
            Failure::Again(format!("the session socket {path} cannot be used: {error}"))
        })?;
        match offer {
            Offer::Descriptor(descriptor) => {
                Connection::tls_client(descriptor, key, left(end).min(SILENCE)).map_err(again)
            }
            Offer::Refused(reason) if reason.starts_with("SessionUnknown") => {
                Err(Failure::Over(reason))
            }
            Offer::Refused(reason) => Err(Failure::Again(reason)),
        }
    }
}

/// What the worker says to Resume, within `patience`.
fn hear(
    connection: &Connection,
    frames: &mut FrameReader,
    patience: Duration,
) -> Result<Resumed, Failure> {
    let over = |reason: String| Err(Failure::Over(reason));
    let end = Instant::now() + patience;
    loop {
        match frames.next_frame() {
            Err(error) => return over(error.to_string()),
            Ok(Some(Incoming::Frame { header, body })) => {
                return match Push::decode(header.call, body) {
                    Ok(Push::Resumed(resumed)) => Ok(resumed),
                    Ok(Push::Closed(_, reason)) => {
                        over(String::from_utf8_lossy(reason).into_owned())
                    }
                    _ => over("the worker answers out of order".to_owned()),
                };
            }
            Ok(Some(Incoming::Bulk { .. })) => {
                return over("the worker sends data before its answer".to_owned());
            }
            Ok(None) => {}
        }
        match frames.fill_now(connection) {
            Ok(0) => return Err(again(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() || !connection.wait_readable(Some(left)).map_err(again)? {
                    return Err(Failure::Again("the worker does not answer".to_owned()));
                }
            }
            Err(error) => return Err(again(error)),
        }
    }
}
