//! The event loop: session sockets on one side, gateways on the other. One thread, nothing in it ever blocks.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aquifer_control::identity::Identity;
use aquifer_control::line_server::LineServer;
use aquifer_control::poll::{Event, Poller};
use aquifer_control::questions::Answer;
use aquifer_control::refusal::Refusal;
use aquifer_control::signals::Signals;
use aquifer_control::{info, tls, warning};
use serde_json::{Value, json};

use crate::child::Child;
use crate::door::Door;
use crate::gateway_link::{GatewayKey, GatewayLink, Incoming};
use crate::guest::Guest;
use crate::offer::Offer;
use crate::places::Places;
use crate::program::{Nested, Program};
use crate::slots::Slots;
use crate::state::{State, StoredOffer};

const SIGNALS: u64 = 0;
const CHILD: u64 = 1;
/// The token of the connection to the node's agent.
pub const AGENT: u64 = 2;
const FIRST: u64 = 16;
/// Tokens of the control socket, above all others.
pub const CONTROL: u64 = 1 << 62;

/// How long a question waits for its gateway: a program's user is waiting too.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program waits for its ticket: until another replica of the operator leads in the place of one that was killed.
pub const TICKET_PATIENCE: Duration = Duration::from_secs(20);
/// How long the end of a session is kept for a gateway that is away.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(3600);
/// What is left for closing sessions when the program that was started has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a question to a gateway was for.
pub enum Asked {
    Renew(PathBuf),
    Open(u64),
    Inspect(u64),
    Resume(u64),
    /// Which session.
    Close(String),
}

pub struct Connector {
    pub state: State,
    pub identity: Identity,
    pub poller: Poller,
    pub doors: HashMap<PathBuf, Door>,
    door_tokens: HashMap<u64, PathBuf>,
    pub offers: HashMap<PathBuf, Offer>,
    pub gateways: HashMap<GatewayKey, GatewayLink<Asked>>,
    gateway_tokens: HashMap<u64, GatewayKey>,
    /// By an id that is also the token of the program's stream.
    pub programs: HashMap<u64, Program>,
    pub program_tokens: HashMap<u64, u64>,
    pub server: Option<LineServer>,
    /// On a node of a cluster.
    pub slots: Option<Slots>,
    pub places: Places,
    /// In a guest.
    pub guest: Option<Guest>,
    /// What all programs here are told to be, where one share of the claim is for all of them.
    pub nested: Option<Nested>,
    /// The program whose session goes over to a better way, and for how long others wait for it.
    pub following: Option<(u64, Instant)>,
    next_token: u64,
}

impl Connector {
    pub fn new(state: State) -> io::Result<Self> {
        Ok(Self {
            identity: state.identity()?,
            poller: Poller::new()?,
            state,
            doors: HashMap::new(),
            door_tokens: HashMap::new(),
            offers: HashMap::new(),
            gateways: HashMap::new(),
            gateway_tokens: HashMap::new(),
            programs: HashMap::new(),
            program_tokens: HashMap::new(),
            server: None,
            slots: None,
            nested: None,
            guest: None,
            places: Places::default(),
            following: None,
            next_token: FIRST,
        })
    }

    /// A token that was never used.
    pub fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Serves until SIGTERM, or until `child` has ended; gives its exit code.
    pub fn serve(mut self, signals: &Signals, mut child: Option<Child>) -> io::Result<u8> {
        self.poller.add(signals, SIGNALS)?;
        if let Some(child) = &child {
            self.poller.add(child, CHILD)?;
        }
        let mut ending: Option<(u8, Instant)> = None;
        loop {
            let wake = self.tick();
            if let Some((code, at)) = ending
                && (at <= Instant::now() || self.gateways.values().all(GatewayLink::is_quiet))
            {
                self.close_doors();
                return Ok(code);
            }
            let wake = wake.into_iter().chain(ending.map(|(_, at)| at)).min();
            for event in self
                .poller
                .wait(wake.map(|at| at.saturating_duration_since(Instant::now())))?
            {
                match event.token {
                    SIGNALS => {}
                    AGENT => {
                        let heard = self
                            .slots
                            .as_mut()
                            .map(|slots| slots.agent.serve(&self.poller));
                        self.agent_says(heard.unwrap_or_default());
                    }
                    CHILD => {
                        if let Some(code) = child.as_mut().and_then(Child::ended) {
                            child = None;
                            self.close_programs();
                            ending = Some((code, Instant::now() + LAST_WORDS));
                        }
                    }
                    _ => self.dispatch(&event),
                }
            }
            while let Some(signal) = signals.next() {
                match &child {
                    Some(child) => child.signal(signal),
                    None if ending.is_some() => {}
                    None => {
                        info!(
                            "ended; the sessions live on",
                            sessions = self.session_count()
                        );
                        self.close_doors();
                        return Ok(0);
                    }
                }
            }
        }
    }

    fn dispatch(&mut self, event: &Event) {
        let token = event.token;
        if self
            .server
            .as_ref()
            .is_some_and(|server| server.owns(event))
        {
            self.serve_control(event);
        } else if let Some(path) = self.door_tokens.get(&token).cloned() {
            self.accept(&path);
        } else if let Some(program) = self.program_tokens.get(&token).copied() {
            self.program_event(program, token);
        } else if let Some(key) = self.gateway_tokens.get(&token).cloned() {
            let tickets = self.tickets(&key);
            let Some(link) = self.gateways.get_mut(&key) else {
                return;
            };
            let incoming = link.serve(&self.poller, &tickets);
            self.gateway_says(&key, incoming);
        } else {
            self.container_ended(token);
        }
    }

    /// Does what is due, and says when the next thing will be.
    fn tick(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut wake = self
            .renew_due(now)
            .into_iter()
            .chain(self.drop_overdue(now))
            .chain(self.look_at_ticket(now))
            .chain(self.ask_again(now))
            .chain(self.drop_late_resumptions(now))
            .min();
        if let Some(slots) = &mut self.slots {
            let (incoming, next) = slots.agent.tick(&self.poller);
            let again = (!incoming.is_empty()).then_some(now);
            self.agent_says(incoming);
            wake = wake.into_iter().chain(next).chain(again).min();
        }
        for key in self.gateways.keys().cloned().collect::<Vec<_>>() {
            let tickets = self.tickets(&key);
            let Some(link) = self.gateways.get_mut(&key) else {
                continue;
            };
            let (incoming, next) = link.tick(&self.poller, &tickets);
            // An answer may have changed what is due elsewhere.
            let again = (!incoming.is_empty()).then_some(now);
            self.gateway_says(&key, incoming);
            wake = wake.into_iter().chain(next).chain(again).min();
        }
        let following = self.let_sessions_follow(now);
        wake.into_iter().chain(following).min()
    }

    /// What a connection that is being made may show; nothing for one that stands.
    fn tickets(&self, key: &GatewayKey) -> Vec<String> {
        if self
            .gateways
            .get(key)
            .is_some_and(GatewayLink::is_connected)
        {
            return Vec::new();
        }
        let mut offers: Vec<&Offer> = self
            .offers
            .values()
            .filter(|offer| offer.gateway == *key && offer.is_valid())
            .collect();
        // Those of containers that are over are kept, and may be of leaders before: the newest is the best.
        offers.sort_by_key(|offer| {
            let payload = &offer.file.ticket.payload;
            (Reverse((payload.epoch, payload.exp)), &offer.path)
        });
        offers
            .iter()
            .map(|offer| offer.file.compact.clone())
            .collect()
    }

    /// Asks a gateway; one that cannot be asked is answered with the refusal.
    pub fn ask(&mut self, key: &GatewayKey, request: Value, asked: Asked, patience: Duration) {
        let overflow = match self.gateways.get_mut(key) {
            Some(link) => link.ask(request, asked, patience).err(),
            None => Some(asked),
        };
        if let Some(asked) = overflow {
            let refusal = Refusal::new("TooManyRequests", "too much waits for the gateway");
            self.answered(key, asked, Err(refusal));
        }
    }

    fn gateway_says(&mut self, key: &GatewayKey, incoming: Vec<Incoming<Asked>>) {
        for one in incoming {
            match one {
                Incoming::Up(sessions) => self.sessions_known(key, &sessions),
                Incoming::Answer(asked, answer) => self.answered(key, asked, answer),
                Incoming::Event(event) => {
                    let text =
                        |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
                    if text("event") == "ended" {
                        self.session_ended(text("session"), text("reason"));
                    }
                }
            }
        }
    }

    fn answered(&mut self, key: &GatewayKey, asked: Asked, answer: Answer) {
        match asked {
            Asked::Open(program) => self.opened(key, program, answer),
            Asked::Inspect(program) => self.inspected(program, answer),
            Asked::Resume(program) => self.may_resume(key, program, answer),
            Asked::Close(session) => {
                if let Err(reason) = answer {
                    info!("session is not closed", session = session, reason = reason);
                }
            }
            Asked::Renew(path) => {
                let ticket = answer.and_then(|fields| match fields.get("ticket") {
                    Some(Value::String(ticket)) => Ok(ticket.clone()),
                    _ => Err(Refusal::new(
                        "InternalError",
                        "ticket: the answer to renew has none",
                    )),
                });
                if let Some(offer) = self.offers.get_mut(&path) {
                    offer.renewed(ticket, &self.state);
                }
                self.ticket_renewed(&path);
                self.open_waiting(&path);
            }
        }
    }

    fn renew_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self
            .offers
            .values_mut()
            .filter(|offer| offer.renew_at.is_some_and(|at| at <= now));
        let mut requests = Vec::new();
        for offer in due {
            // A ticket that has expired cannot be renewed: only a new one helps.
            offer.renew_at = None;
            if offer.is_valid() {
                let request = json!({"op": "renew", "ticket": offer.file.compact});
                requests.push((
                    offer.gateway.clone(),
                    request,
                    Asked::Renew(offer.path.clone()),
                ));
            }
        }
        for (gateway, request, asked) in requests {
            self.ask(&gateway, request, asked, PATIENCE);
        }
        self.offers
            .values()
            .filter_map(|offer| offer.renew_at)
            .min()
    }

    /// Offers a session socket; the same path again gets the new ticket.
    pub fn offer(&mut self, path: &Path, mode: u32, raw: Value) -> Result<(), Refusal> {
        let offer = Offer::renewable(path, raw, &self.identity.public(), &self.state)?;
        self.link_to(&offer.gateway)?;
        match self.doors.get_mut(path).filter(|door| door.is_there(path)) {
            Some(door) => door.set_mode(path, mode)?,
            None => drop(self.open_door(path, mode)?),
        }
        self.put_up(offer)
    }

    /// Listens at `path`, in place of what listened there before. Gives the token that tells the two apart.
    pub fn open_door(&mut self, path: &Path, mode: u32) -> Result<u64, Refusal> {
        let token = self.token();
        let door = Door::open(path, mode, token, &self.poller)?;
        self.door_tokens.insert(token, path.to_owned());
        if let Some(old) = self.doors.insert(path.to_owned(), door) {
            self.door_tokens.remove(&old.token);
        }
        Ok(token)
    }

    fn close_door(&mut self, path: &Path) {
        if let Some(door) = self.doors.remove(path) {
            self.door_tokens.remove(&door.token);
            let _ = door.close(path);
        }
    }

    /// Puts a ticket behind the socket of its path.
    pub fn put_up(&mut self, offer: Offer) -> Result<(), Refusal> {
        self.link_to(&offer.gateway)?;
        let path = offer.path.clone();
        info!("offered", socket = path.display(), claim = offer.file.claim);
        if let Some(link) = self.gateways.get_mut(&offer.gateway) {
            link.show_anew();
        }
        self.offers.insert(path, offer);
        self.drop_unused_gateways();
        Ok(())
    }

    fn link_to(&mut self, gateway: &GatewayKey) -> Result<(), Refusal> {
        if self.gateways.contains_key(gateway) {
            return Ok(());
        }
        let config = tls::client_config(&gateway.ca_pem, &self.identity)
            .map_err(|error| Refusal::new("TicketFileInvalid", error.to_string()))?;
        let token = self.token();
        self.gateway_tokens.insert(token, gateway.clone());
        self.gateways.insert(
            gateway.clone(),
            GatewayLink::new(gateway.clone(), token, config),
        );
        Ok(())
    }

    /// Takes a session socket back. Programs that came through it keep their sessions.
    pub fn withdraw(&mut self, path: &Path) -> bool {
        let Some(offer) = self.offers.remove(path) else {
            return false;
        };
        info!(
            "withdrawn",
            socket = path.display(),
            claim = offer.file.claim
        );
        self.close_door(path);
        self.drop_unused_gateways();
        true
    }

    pub fn drop_unused_gateways(&mut self) {
        let (offers, programs) = (&self.offers, &self.programs);
        let used = |key: &GatewayKey| {
            offers.values().any(|offer| offer.gateway == *key)
                || programs
                    .values()
                    .any(|program| program.gateway.as_ref() == Some(key))
        };
        self.gateways
            .retain(|key, link| !link.is_quiet() || used(key));
        self.gateway_tokens
            .retain(|_, key| self.gateways.contains_key(key));
    }

    /// Keeps the offers for the next start.
    pub fn store_offers(&self) {
        let stored = |offer: &Offer| StoredOffer {
            socket_path: offer.path.clone(),
            mode: self.doors.get(&offer.path).map_or(0o600, |door| door.mode),
            ticket_file: offer.raw.clone(),
        };
        let offers = self
            .offers
            .values()
            .filter(|offer| !self.is_slot(&offer.path));
        let offers: Vec<StoredOffer> = offers.map(stored).collect();
        if let Err(reason) = self.state.store_offers(&offers) {
            warning!("the offers could not be stored", reason = reason);
        }
    }

    fn close_doors(&mut self) {
        let slots = self.slots.as_ref();
        for (path, door) in self.doors.drain() {
            // At a slot the next connector is waited for.
            if !slots.is_some_and(|slots| slots.has(&path)) {
                let _ = door.close(&path);
            }
        }
    }
}
