//! The event loop: one thread, nothing in it ever blocks.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use aquifer_control::identity::HolderKey;
use aquifer_control::poll::{Event, Poller};
use aquifer_control::preamble::Token16;
use aquifer_control::refusal::Refusal;
use aquifer_control::run_directory::Claim;
use aquifer_control::signals::Signals;
use aquifer_control::upstream::{Incoming, Upstream};
use aquifer_control::{info, warning};
use serde_json::{Map, Value, json};

use crate::Settings;
use crate::connection::Connection;
use crate::listeners::Listeners;
use crate::resume_counts::ResumeCounts;
use crate::session::Session;
use crate::trust::Trust;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
const SIGNALS: u64 = 0;
const BACKEND: u64 = 1;
const SPAWNER: u64 = 2;
pub const FIRST_LISTENER: u64 = 3;
/// Tokens of connections, workers and processes count up from here and are never used twice.
pub const FIRST_PEER: u64 = 1024;

/// Kinds of sockets whose strangers are counted apart.
pub const QUOTAS: usize = 3;

/// How long a question to the backend or the spawner waits for them to be there and to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a session is kept for a backend that is away.
pub const REPORT_PATIENCE: Duration = Duration::from_secs(3600);

/// What a question to the backend was for.
pub enum AskedBackend {
    Enrol,
    Admit(Token16),
    /// A holder's renew or inspect: connection and request.
    Forward(u64, Value),
    Report,
}

/// What a question to the spawner was for.
pub enum AskedSpawner {
    Spawn(Token16),
    Kill(Token16),
}

pub struct Gateway {
    pub settings: Settings,
    pub poller: Poller,
    pub trust: Trust,
    pub listeners: Listeners,
    pub backend: Upstream<AskedBackend>,
    pub spawner: Upstream<AskedSpawner>,
    pub connections: HashMap<u64, Connection>,
    /// Connections without a ticket so far, oldest first; unix, TCP and vsock apart, so that none crowds out another.
    pub unauthenticated: [BTreeSet<u64>; QUOTAS],
    pub sessions: HashMap<Token16, Session>,
    /// Sessions by the tokens of their worker's socket and pidfd.
    pub session_tokens: HashMap<u64, Token16>,
    pub resumes: ResumeCounts,
    next_token: u64,
    enrolling: bool,
}

/// Serves until SIGTERM.
pub fn serve(settings: Settings, claim: &Claim) -> io::Result<()> {
    let signals = Signals::take(&[libc::SIGTERM, libc::SIGINT])?;
    let poller = Poller::new()?;
    poller.add(&signals, SIGNALS)?;
    let run = settings.run_directory.clone();
    let listeners = Listeners::open(&settings, &poller)?;
    let mut gateway = Gateway {
        trust: Trust::load(&run, &settings.node),
        backend: Upstream::new(
            "backend",
            run.join("backend.sock"),
            BACKEND,
            "gateway",
            VERSION,
        ),
        spawner: Upstream::new(
            "spawner",
            run.join("spawner.sock"),
            SPAWNER,
            "gateway",
            VERSION,
        ),
        connections: HashMap::new(),
        unauthenticated: Default::default(),
        sessions: HashMap::new(),
        session_tokens: HashMap::new(),
        resumes: ResumeCounts::default(),
        next_token: FIRST_PEER,
        enrolling: false,
        settings,
        poller,
        listeners,
    };
    gateway.adopt_workers();
    let addresses = gateway.listeners.addresses();
    claim.announce(
        VERSION,
        Map::from_iter([("listen".into(), addresses.clone().into())]),
    )?;
    info!(
        "ready",
        node = gateway.settings.node,
        listen = addresses.join(" "),
        sessions = gateway.sessions.len()
    );
    loop {
        let wake = gateway.tick();
        let timeout = wake.map(|at| at.saturating_duration_since(Instant::now()));
        for event in gateway.poller.wait(timeout)? {
            gateway.dispatch(&event);
        }
        if signals.next().is_some() {
            info!(
                "ended; the sessions live on",
                sessions = gateway.sessions.len()
            );
            return Ok(());
        }
    }
}

impl Gateway {
    /// A token that was never used.
    pub fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token {
            SIGNALS => {}
            BACKEND => {
                let incoming = self.backend.serve(&self.poller);
                self.backend_says(incoming);
            }
            SPAWNER => {
                let incoming = self.spawner.serve(&self.poller);
                self.spawner_says(incoming);
            }
            token if token < FIRST_PEER => self.accept(token),
            token => match self.session_tokens.get(&token) {
                Some(session) => self.session_event(*session, token),
                None => self.connection_event(token),
            },
        }
    }

    /// Does what is due, and says when the next thing will be.
    fn tick(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let (incoming, backend_wake) = self.backend.tick(&self.poller);
        self.backend_says(incoming);
        let (incoming, spawner_wake) = self.spawner.tick(&self.poller);
        self.spawner_says(incoming);
        let renewal = self.enrol_when_due(now);
        let connections = self.drop_overdue_connections(now);
        let sessions = self.tick_sessions(now);
        let listeners = self.listeners.tick(&self.poller, now);
        let resumes = self.tell_resumes(now);
        [
            backend_wake,
            spawner_wake,
            renewal,
            connections,
            sessions,
            listeners,
            resumes,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn enrol_when_due(&mut self, now: Instant) -> Option<Instant> {
        if self.enrolling || !self.backend.is_up() {
            return None;
        }
        match self.trust.renewal_due() {
            Err(left) => Some(now + left),
            Ok(()) => {
                self.enrol();
                None
            }
        }
    }

    fn enrol(&mut self) {
        match self.trust.enrolment() {
            Ok(request) => {
                self.enrolling = self
                    .backend
                    .ask(request, AskedBackend::Enrol, PATIENCE)
                    .is_ok()
            }
            Err(reason) => warning!("no key could be made", reason = reason),
        }
    }

    fn backend_says(&mut self, incoming: Vec<Incoming<AskedBackend>>) {
        for one in incoming {
            match one {
                Incoming::Up(_) => {
                    self.report_sessions();
                    // Keys and epoch may be others since the last time.
                    if !self.enrolling {
                        self.enrol();
                    }
                }
                Incoming::Answer(AskedBackend::Enrol, answer) => self.enrolment_answered(answer),
                Incoming::Answer(AskedBackend::Admit(session), answer) => {
                    self.admitted(session, answer)
                }
                Incoming::Answer(AskedBackend::Forward(connection, id), answer) => {
                    self.finish_request(connection, &id, answer.map(Value::Object));
                }
                Incoming::Answer(AskedBackend::Report, _) => {}
                Incoming::Event(event) => self.backend_event(&event),
            }
        }
    }

    fn enrolment_answered(&mut self, answer: Result<Map<String, Value>, Refusal>) {
        self.enrolling = false;
        let taken = match answer {
            Ok(answer) => self.trust.enrolled(answer),
            Err(refusal) => Err(io::Error::other(refusal)),
        };
        match taken {
            Ok(()) => self.resume_fresh_connections(),
            Err(reason) => {
                warning!("not enrolled", reason = reason);
                self.trust.enrolment_failed();
            }
        }
    }

    fn backend_event(&mut self, event: &Map<String, Value>) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("event") {
            "revoke" => self.revoke(text("claimUid")),
            "endSession" => {
                if let Some(session) = Token16::parse(text("session")) {
                    self.end_session(session, crate::session::reason::ENDED_BY_BACKEND);
                }
            }
            "minEpoch" => self
                .trust
                .raise_epoch(event.get("epoch").and_then(Value::as_u64).unwrap_or(0)),
            other => warning!("the backend tells something unknown", event = other),
        }
    }

    fn report_sessions(&mut self) {
        let listed = self.sessions.values().map(|session| {
            json!({
                "session": session.id.to_string(),
                "claim": session.kept.claim,
                "holder": session.kept.holder,
                "pid": session.process.as_ref().map(|(process, _)| process.pid),
                "startedAt": session.kept.started_at,
                "program": session.kept.program,
                "channel": session.kept.channel,
                "client": session.client.told(),
                "container": session.kept.container,
            })
        });
        let listed: Vec<Value> = listed.collect();
        let _ = self.backend.ask(
            json!({"op": "sessions", "sessions": listed}),
            AskedBackend::Report,
            PATIENCE,
        );
    }

    fn spawner_says(&mut self, incoming: Vec<Incoming<AskedSpawner>>) {
        for one in incoming {
            match one {
                Incoming::Up(_) | Incoming::Answer(AskedSpawner::Kill(_), Ok(_)) => {}
                Incoming::Answer(AskedSpawner::Spawn(session), answer) => {
                    self.spawned(session, answer)
                }
                Incoming::Answer(AskedSpawner::Kill(session), Err(_)) => {
                    self.kill_directly(session)
                }
                Incoming::Event(event) => self.worker_exited(&event),
            }
        }
    }

    /// Tells every connection of a holder.
    pub fn tell_holder(&mut self, holder: HolderKey, event: &Value) {
        let theirs = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.holder() == Some(holder));
        let theirs: Vec<u64> = theirs.map(|(token, _)| *token).collect();
        for token in theirs {
            self.send(token, event);
        }
    }
}
