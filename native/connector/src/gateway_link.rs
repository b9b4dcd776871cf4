//! The control connection to one gateway: made, and made again, by itself.
//!
//!     Idle ──due──> Resolving ──address──> Connecting ──> Open (TLS, hello) ──> up
//!       ^               └──────────────────────┴────────────────┴── failure: the next address, after a while
//!       └── back-off
//!
//! On TCP it looks now and then whether the way without a network is there again, and takes it when nothing is asked.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquifer_control::limits::CONTROL_VERSION;
use aquifer_control::poll::Poller;
use aquifer_control::questions::{Answer, HELLO_ID, Questions};
use aquifer_control::refusal::Refusal;
use aquifer_control::tls_link::{Socket, TlsLink};
use aquifer_control::{info, tcp, tls, warning};
use rustls::{ClientConfig, ClientConnection};
use serde_json::{Map, Value, json};

use crate::address::{Address, Reached};
use crate::better_way::BetterWay;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY_ASKED: Duration = Duration::from_millis(500);
/// From beginning to resolve to the answer to hello.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Which gateway: two offers with the same of it share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayKey {
    pub node: String,
    pub addresses: Vec<Address>,
    pub ca_pem: String,
}

impl GatewayKey {
    /// Whether the address that is tried first needs no network.
    pub fn is_reached_without_network(&self) -> bool {
        matches!(
            self.addresses.first(),
            Some(Address::Unix(_) | Address::Vsock(..))
        )
    }
}

/// What came of it.
pub enum Incoming<A> {
    /// The connection stands; the sessions of this key that the gateway knows.
    Up(Vec<String>),
    Answer(A, Answer),
    Event(Map<String, Value>),
}

enum Stage {
    Idle,
    Resolving(UnixStream),
    Connecting(Socket),
    Open { link: Box<TlsLink>, up: bool },
}

pub struct GatewayLink<A> {
    pub key: GatewayKey,
    pub token: u64,
    config: Arc<ClientConfig>,
    stage: Stage,
    reached: Option<Reached>,
    next_address: usize,
    better_way: BetterWay,
    /// Whether the gateway has answered hello since the last failure.
    was_up: bool,
    retry: Duration,
    /// When to try again, or when the attempt has lasted too long.
    due: Option<Instant>,
    questions: Questions<A>,
    /// Why there is no connection, for those who ask in vain.
    pub trouble: Option<Refusal>,
    /// How many tickets in a row the gateway refused.
    refusals: usize,
}

impl<A> GatewayLink<A> {
    pub fn new(key: GatewayKey, token: u64, config: Arc<ClientConfig>) -> Self {
        Self {
            key,
            token,
            config,
            stage: Stage::Idle,
            reached: None,
            next_address: 0,
            better_way: BetterWay::default(),
            was_up: false,
            retry: FIRST_RETRY,
            due: Some(Instant::now()),
            questions: Questions::default(),
            trouble: None,
            refusals: 0,
        }
    }

    /// Where the control connection stands, or is being made.
    pub fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    /// Where a data connection goes to: where the control connection stands, then all else that needs no resolving. Nowhere
    /// while there is no control connection.
    pub fn ways(&self) -> Vec<Reached> {
        let Some(reached) = &self.reached else {
            return Vec::new();
        };
        let known = self.key.addresses.iter().filter_map(|it| it.reached().ok());
        let others = known.filter(|other| other != reached);
        std::iter::once(reached.clone()).chain(others).collect()
    }

    /// Asks now or when the connection stands.
    pub fn ask(&mut self, request: Value, asked_for: A, patience: Duration) -> Result<(), A> {
        self.questions.add(request, asked_for, patience)?;
        self.send_waiting();
        Ok(())
    }

    /// There is a new ticket to show: at once, and what came of others says nothing of it.
    pub fn show_anew(&mut self) {
        if self.is_connected() {
            return;
        }
        self.refusals = 0;
        self.retry = FIRST_RETRY;
        if matches!(self.stage, Stage::Idle) {
            self.due = Some(Instant::now());
        }
    }

    /// Whether an answer is waited for.
    pub fn is_quiet(&self) -> bool {
        self.questions.is_empty()
    }

    /// Whether the gateway has answered hello on the connection that stands.
    pub fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Open { up: true, .. })
    }

    fn send_waiting(&mut self) {
        if let Stage::Open { link, up: true } = &mut self.stage {
            self.questions.send_with(|request| link.send(request));
        }
    }

    /// Does what is due. `tickets` are what hello may show; without one there is no connecting.
    pub fn tick(
        &mut self,
        poller: &Poller,
        tickets: &[String],
    ) -> (Vec<Incoming<A>>, Option<Instant>) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            match self.stage {
                Stage::Idle if !tickets.is_empty() => self.begin(poller),
                Stage::Idle => self.due = None,
                _ => self.fail(&io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no answer within 5 s",
                )),
            }
        } else if self.due.is_none() && matches!(self.stage, Stage::Idle) && !tickets.is_empty() {
            self.due = Some(now);
        }
        let better_at = self.look_for_a_better_way(poller, now);
        let late = self
            .questions
            .late(now)
            .into_iter()
            .map(|(asked_for, sent)| {
                let refusal = self.trouble.clone().filter(|_| !sent).unwrap_or_else(|| {
                    Refusal::new(
                        "GatewayUnavailable",
                        format!("the gateway of {} did not answer in time", self.key.node),
                    )
                });
                Incoming::Answer(asked_for, Err(refusal))
            });
        let mut late: Vec<Incoming<A>> = late.collect();
        // No ticket gets through: whoever waits is told why at once.
        if self.refusals >= tickets.len().max(1)
            && let Some(trouble) = &self.trouble
        {
            late.extend(
                self.questions
                    .take(|_| true)
                    .into_iter()
                    .map(|asked_for| Incoming::Answer(asked_for, Err(trouble.clone()))),
            );
        }
        (
            late,
            self.due
                .into_iter()
                .chain(better_at)
                .chain(self.questions.next_deadline())
                .min(),
        )
    }

    /// After a refusal it is another one's turn.
    fn choose<'a>(&self, tickets: &'a [String]) -> Option<&'a String> {
        tickets.get(self.refusals % tickets.len().max(1))
    }

    fn address(&self) -> Option<&Address> {
        self.key
            .addresses
            .get(self.next_address % self.key.addresses.len().max(1))
    }

    fn begin(&mut self, poller: &Poller) {
        self.due = Some(Instant::now() + CONNECT_WITHIN);
        let begun = match self.address().cloned() {
            None => Err(io::Error::other("no address")),
            Some(address) => match address.reached() {
                Ok(reached) => self.connect(poller, reached),
                Err(name) => self.resolve(poller, name.to_owned()),
            },
        };
        if let Err(reason) = begun {
            self.fail(&reason);
        }
    }

    /// The resolver blocks: it has a thread for as long as it takes.
    fn resolve(&mut self, poller: &Poller, text: String) -> io::Result<()> {
        let (ours, mut theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        poller.add(&ours, self.token)?;
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || {
                let found = text
                    .to_socket_addrs()
                    .and_then(|mut found| found.next().ok_or(io::ErrorKind::NotFound.into()));
                let answer =
                    found.map_or_else(|error| format!("! {error}"), |address| address.to_string());
                let _ = theirs.write_all(answer.as_bytes());
            })?;
        self.stage = Stage::Resolving(ours);
        Ok(())
    }

    fn connect(&mut self, poller: &Poller, reached: Reached) -> io::Result<()> {
        let socket = reached.begin_connect()?;
        self.reached = Some(reached);
        poller.add_writable(&socket, self.token)?;
        self.stage = Stage::Connecting(socket);
        Ok(())
    }

    /// Leaves a TCP connection that stands when the way that is tried first is there again.
    fn look_for_a_better_way(&mut self, poller: &Poller, now: Instant) -> Option<Instant> {
        let on_tcp = matches!(self.reached, Some(Reached::Tcp(_)));
        let better = self.key.addresses.first().map(Address::reached);
        let (true, true, Some(Ok(better @ (Reached::Unix(_) | Reached::Vsock(..))))) =
            (self.is_connected(), on_tcp, better)
        else {
            self.better_way.stop();
            return None;
        };
        if let Some(socket) = self.better_way.look(now, self.is_quiet(), &better) {
            info!("leaving TCP for what is there again", node = self.key.node);
            self.next_address = 0;
            self.reached = Some(better);
            self.due = Some(now + CONNECT_WITHIN);
            let opened = poller.add(&socket, self.token);
            if let Err(reason) = opened.and_then(|()| self.open(socket)) {
                self.fail(&reason);
            }
        }
        self.better_way.due()
    }

    fn open(&mut self, socket: Socket) -> io::Result<()> {
        let name = tls::node_name(&self.key.node)?;
        let connection =
            ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        let mut link = Box::new(TlsLink::new(socket, connection.into()));
        link.flush()?;
        self.stage = Stage::Open { link, up: false };
        Ok(())
    }

    /// Goes on after an event with this link's token.
    pub fn serve(&mut self, poller: &Poller, tickets: &[String]) -> Vec<Incoming<A>> {
        match self.proceed(poller, tickets) {
            Ok(incoming) => incoming,
            Err(reason) => {
                self.fail(&reason);
                Vec::new()
            }
        }
    }

    fn proceed(&mut self, poller: &Poller, tickets: &[String]) -> io::Result<Vec<Incoming<A>>> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => {}
            Stage::Resolving(mut answer) => {
                let mut bytes = [0; 256];
                let count = answer.read(&mut bytes)?;
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let address = text
                    .parse()
                    .map_err(|_| io::Error::other(text.trim_start_matches("! ").to_owned()))?;
                self.connect(poller, Reached::Tcp(address))?;
            }
            Stage::Connecting(socket) => {
                tcp::outcome(&socket)?;
                poller.set(&socket, self.token, true, false)?;
                self.open(socket)?;
            }
            Stage::Open { link, up } => return self.read(poller, link, up, tickets),
        }
        Ok(Vec::new())
    }

    fn read(
        &mut self,
        poller: &Poller,
        mut link: Box<TlsLink>,
        mut up: bool,
        tickets: &[String],
    ) -> io::Result<Vec<Incoming<A>>> {
        let handshaking = link.is_handshaking();
        let (messages, ended) = link.receive()?;
        if handshaking && !link.is_handshaking() {
            let ticket = self
                .choose(tickets)
                .ok_or_else(|| io::Error::other("no ticket is left to show"))?;
            link.send(
                &json!({"id": HELLO_ID, "op": "hello", "v": CONTROL_VERSION, "ticket": ticket}),
            )?;
        }
        let mut incoming = Vec::new();
        for message in messages {
            if message.contains_key("event") {
                incoming.push(Incoming::Event(message));
            } else if message.get("id").and_then(Value::as_u64) == Some(HELLO_ID) {
                incoming.push(Incoming::Up(self.greeted(&message)?));
                up = true;
            } else if let Some((asked_for, answer)) = self.questions.answered(message) {
                incoming.push(Incoming::Answer(asked_for, answer));
            }
        }
        if ended {
            self.fail(&io::Error::other("the gateway closed the connection"));
            return Ok(incoming);
        }
        poller.set(link.as_ref(), self.token, true, link.wants_write())?;
        self.stage = Stage::Open { link, up };
        self.send_waiting();
        Ok(incoming)
    }

    fn greeted(&mut self, reply: &Map<String, Value>) -> io::Result<Vec<String>> {
        if reply.get("ok") != Some(&Value::Bool(true)) {
            return Err(io::Error::other(Refusal::from_reply(reply)));
        }
        info!("connected to the gateway", node = self.key.node);
        self.retry = FIRST_RETRY;
        self.was_up = true;
        if !matches!(self.reached, Some(Reached::Tcp(_))) {
            self.better_way = BetterWay::default();
        }
        self.due = None;
        self.trouble = None;
        self.refusals = 0;
        let sessions = reply
            .get("sessions")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(sessions
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    fn fail(&mut self, reason: &io::Error) {
        let address = self.address().map(Address::to_string).unwrap_or_default();
        let refusal = reason
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Refusal>());
        let refused = refusal.is_some();
        let trouble = refusal.cloned().unwrap_or_else(|| {
            let message = format!(
                "the gateway of {} at {address} cannot be reached: {reason}",
                self.key.node
            );
            Refusal::new("GatewayUnavailable", message)
        });
        if self.trouble.as_ref() != Some(&trouble) {
            warning!(
                "no connection to the gateway",
                node = self.key.node,
                address = address,
                reason = trouble
            );
        }
        self.trouble = Some(trouble);
        self.refusals = if refused { self.refusals + 1 } else { 0 };
        self.stage = Stage::Idle;
        self.reached = None;
        self.questions.connection_lost();
        self.next_address = if std::mem::take(&mut self.was_up) {
            0
        } else {
            (self.next_address + 1) % self.key.addresses.len().max(1)
        };
        // All are tried before there is a pause, unless one was reached and refused.
        let pause = if refused || self.next_address == 0 {
            // Who asks is not to wait for long after the network has come back.
            let is_asked = !self.questions.is_empty();
            self.retry.min(if is_asked {
                LAST_RETRY_ASKED
            } else {
                LAST_RETRY
            })
        } else {
            Duration::ZERO
        };
        self.due = Some(Instant::now() + pause);
        if !pause.is_zero() {
            self.retry = (self.retry * 2).min(LAST_RETRY);
        }
    }
}
