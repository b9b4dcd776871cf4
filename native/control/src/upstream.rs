//! The asking side of a JSON-lines connection to a process of this host that may be away for a while: it connects by
//! itself, and questions wait for it, each until its own deadline.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::line_link::LineLink;
use crate::poll::Poller;
use crate::questions::{HELLO_ID, Questions};
use crate::refusal::Refusal;
use crate::run_directory::hello;
use crate::{info, unix_socket, warning};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug)]
pub enum Incoming<A> {
    /// The connection stands; the greeting's fields.
    Up(Map<String, Value>),
    /// The answer to a question.
    Answer(A, Result<Map<String, Value>, Refusal>),
    /// Something the other side tells unasked.
    Event(Map<String, Value>),
}

/// One such connection. `A` says what a question was for.
#[derive(Debug)]
pub struct Upstream<A> {
    name: &'static str,
    path: PathBuf,
    token: u64,
    greeting: Value,
    link: Option<LineLink>,
    up: bool,
    retry: Duration,
    retry_at: Option<Instant>,
    questions: Questions<A>,
}

impl<A> Upstream<A> {
    /// A connection to `path` that is not made yet. `name` is the other process's, `own` and `version` ours.
    pub fn new(name: &'static str, path: PathBuf, token: u64, own: &str, version: &str) -> Self {
        Self {
            name,
            path,
            token,
            greeting: hello(own, version),
            link: None,
            up: false,
            retry: FIRST_RETRY,
            retry_at: Some(Instant::now()),
            questions: Questions::default(),
        }
    }

    /// Whether the other side has answered our hello.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Asks now or when the connection stands. `request` is an object without `id`.
    pub fn ask(&mut self, request: Value, asked_for: A, patience: Duration) -> Result<(), A> {
        self.questions.add(request, asked_for, patience)?;
        self.send_waiting();
        Ok(())
    }

    fn send_waiting(&mut self) {
        if let Some(link) = self.link.as_mut().filter(|_| self.up) {
            self.questions.send_with(|request| link.send(request));
        }
    }

    /// Connects when it is time to, and refuses the questions whose time is over. Gives the next such moment too.
    pub fn tick(&mut self, poller: &Poller) -> (Vec<Incoming<A>>, Option<Instant>) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            match self.connect(poller) {
                Ok(()) => self.retry_at = None,
                Err(_) => self.schedule(now),
            }
        }
        let refused = self
            .questions
            .late(now)
            .into_iter()
            .map(|(asked_for, sent)| {
                let reason = format!(
                    "{}{}Unavailable",
                    self.name[..1].to_uppercase(),
                    &self.name[1..]
                );
                let message = if sent {
                    format!("the {} did not answer in time", self.name)
                } else {
                    format!(
                        "the {} is not running or does not accept connections",
                        self.name
                    )
                };
                Incoming::Answer(asked_for, Err(Refusal::new(reason, message)))
            });
        let refused = refused.collect();
        let next = self
            .questions
            .next_deadline()
            .into_iter()
            .chain(self.retry_at)
            .min();
        (refused, next)
    }

    fn connect(&mut self, poller: &Poller) -> io::Result<()> {
        let mut link = LineLink::new(unix_socket::connect(&self.path)?)?;
        link.send(&self.greeting)?;
        poller.add(&link, self.token)?;
        self.link = Some(link);
        Ok(())
    }

    fn schedule(&mut self, now: Instant) {
        self.retry_at = Some(now + self.retry);
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }

    /// Reads and writes what is possible after an event with this connection's token.
    pub fn serve(&mut self, poller: &Poller) -> Vec<Incoming<A>> {
        let Some(link) = self.link.as_mut() else {
            return Vec::new();
        };
        let (messages, failure) = match link.receive() {
            Ok((messages, false)) => (messages, link.flush().err()),
            Ok((messages, true)) => (messages, Some(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut incoming = Vec::new();
        let mut mismatch = None;
        for message in messages {
            match self.sort(message) {
                Ok(one) => incoming.extend(one),
                Err(refusal) => mismatch = Some(io::Error::other(refusal)),
            }
        }
        self.send_waiting();
        if let Some(reason) = mismatch.or(failure) {
            self.lose(&reason);
        } else if let Some(link) = &self.link {
            let _ = poller.set(link, self.token, true, link.wants_write());
        }
        incoming
    }

    fn sort(&mut self, message: Map<String, Value>) -> Result<Option<Incoming<A>>, Refusal> {
        if message.contains_key("event") {
            return Ok(Some(Incoming::Event(message)));
        }
        if message.get("id").and_then(Value::as_u64) == Some(HELLO_ID) {
            if message.get("ok") != Some(&Value::Bool(true)) {
                return Err(Refusal::from_reply(&message));
            }
            info!("connected", to = self.name);
            self.up = true;
            self.retry = FIRST_RETRY;
            return Ok(Some(Incoming::Up(message)));
        }
        Ok(self
            .questions
            .answered(message)
            .map(|(asked_for, answer)| Incoming::Answer(asked_for, answer)))
    }

    fn lose(&mut self, reason: &io::Error) {
        if self.up {
            warning!("connection lost", to = self.name, reason = reason);
        }
        self.link = None;
        self.up = false;
        self.questions.connection_lost();
        self.schedule(Instant::now());
    }
}
