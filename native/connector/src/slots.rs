//! The slots of a node of a cluster: places where one container each is attached to its claim. A slot is a directory
//! that the container sees; whose it is stands with kubelet and the operator, whom the node's agent asks for us.
//!
//!     prepareSlot ──> fresh ──first program──> asked ──ticket──> held by that program's container
//!                       ^                        │
//!                       └───────refusal──────────┘          prepareSlot makes any of them fresh again

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use aquifer_control::peer::Peer;
use aquifer_control::questions::Answer;
use aquifer_control::refusal::Refusal;
use aquifer_control::upstream::{Incoming, Upstream};
use aquifer_control::{info, warning};
use serde_json::json;

use crate::cgroup::{Container, container_of};
use crate::connector::{Connector, TICKET_PATIENCE};
use crate::offer::Offer;
use crate::program::Stage;
use crate::state::StoredSlot;

/// The socket's name in a slot. Its mode lets every user of the container connect; the peer is told by its cgroup.
const SOCKET: &str = "session.sock";
const MODE: u32 = 0o666;

/// A question to the agent: for which container of the slot at `path`, as it was prepared with `door`.
pub struct Wanted {
    path: PathBuf,
    door: u64,
    container: Container,
}

#[derive(Default)]
struct Slot {
    holder: Option<Container>,
    /// Whether the ticket at hand is to be asked for anew before it is used again: the gateway has refused it.
    doubted: bool,
    /// Containers that the agent is being asked about.
    asked: Vec<Container>,
}

pub struct Slots {
    directory: PathBuf,
    /// Where the kernel shows processes.
    proc: PathBuf,
    pub agent: Upstream<Wanted>,
    by_path: HashMap<PathBuf, Slot>,
}

impl Slots {
    pub fn new(directory: PathBuf, proc: PathBuf, agent: Upstream<Wanted>) -> Self {
        Self {
            directory,
            proc,
            agent,
            by_path: HashMap::new(),
        }
    }

    /// Where the socket of a slot is. A name that could lead elsewhere is none.
    fn path_of(&self, slot: &str) -> Result<PathBuf, Refusal> {
        let is_name = (1..=64).contains(&slot.len())
            && slot
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            return Err(Refusal::new(
                "BadRequest",
                format!("slot: {slot:?} is not the name of a slot"),
            ));
        }
        Ok(self.directory.join(slot).join(SOCKET))
    }

    /// The container that a peer is in. It lives after its cgroup was read, so that was not another process's.
    pub fn container_of(&self, peer: &Peer) -> Option<Container> {
        let file = self.proc.join(peer.process.pid.to_string()).join("cgroup");
        let text = std::fs::read_to_string(file).ok()?;
        let lives = peer.pidfd.has_ended().is_ok_and(|ended| !ended);
        container_of(&text).filter(|_| lives)
    }

    pub fn has(&self, path: &Path) -> bool {
        self.by_path.contains_key(path)
    }

    pub fn doubt(&mut self, path: &Path) {
        if let Some(slot) = self.by_path.get_mut(path) {
            slot.doubted = true;
        }
    }
}

/// What a program at a slot is told.
fn foreign() -> Refusal {
    Refusal::new(
        "SlotNotHeld",
        "this socket belongs to another container, or to none",
    )
}

impl Connector {
    pub fn is_slot(&self, path: &Path) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.has(path))
    }

    /// Puts a fresh socket into a slot, for the container that is about to start.
    pub fn prepare_slot(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(slots) = &self.slots else {
            return Err(Refusal::new("BadRequest", "there are no slots here"));
        };
        let path = slots.path_of(name)?;
        self.take_up_slot(path, Slot::default())?;
        self.store_slots();
        Ok(())
    }

    fn take_up_slot(&mut self, path: PathBuf, slot: Slot) -> Result<(), Refusal> {
        self.open_door(&path, MODE)?;
        self.release_slot(&path);
        if let Some(slots) = &mut self.slots {
            slots.by_path.insert(path, slot);
        }
        Ok(())
    }

    /// The container before has nothing here any more, but programs of it that compute go on until they end.
    fn release_slot(&mut self, path: &Path) {
        self.offers.remove(path);
        let mut refused = Vec::new();
        for (id, program) in &mut self.programs {
            if program.offer != path {
                continue;
            }
            if matches!(program.stage, Stage::Open) {
                // Not to be found again by a later connector through a socket that is not theirs.
                program.offer = PathBuf::new();
            } else {
                refused.push(*id);
            }
        }
        for id in refused {
            self.refuse(id, foreign());
        }
    }

    /// Refuses programs of other containers that wait at a slot. Says whether the others may use the ticket at hand;
    /// where not, the agent is asked.
    pub fn check_holders(&mut self, path: &Path) -> bool {
        let Some(slot) = self
            .slots
            .as_ref()
            .and_then(|slots| slots.by_path.get(path))
        else {
            return false;
        };
        let holder = slot.holder.clone();
        let usable = self.offers.get(path).is_some_and(Offer::is_valid);
        let settled = holder.is_some() && usable && !slot.doubted;
        for id in self.waiting(path) {
            let container = self
                .programs
                .get(&id)
                .and_then(|program| program.container.clone());
            match container {
                Some(own) if holder.as_ref().is_none_or(|held| *held == own) => {
                    if !settled {
                        self.ask_whose(path, own);
                    }
                }
                other => self.turn_away(id, other.as_ref(), holder.as_ref()),
            }
        }
        settled
    }

    fn turn_away(&mut self, id: u64, own: Option<&Container>, holder: Option<&Container>) {
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        let named = |container: Option<&Container>| {
            container.map_or("none".into(), |one| {
                format!("{} of pod {}", one.container_id, one.pod_uid)
            })
        };
        warning!(
            "a stranger at a slot",
            socket = program.offer.display(),
            pid = program.peer.process.pid,
            uid = program.peer.uid,
            container = named(own),
            holder = named(holder)
        );
        self.refuse(id, foreign());
    }

    fn ask_whose(&mut self, path: &Path, container: Container) {
        let holder_key = self.identity.public().to_string();
        let Some(door) = self.doors.get(path).map(|door| door.token) else {
            return;
        };
        let Some(slots) = self.slots.as_mut() else {
            return;
        };
        let name = path.parent().and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy().into_owned());
        let Some(slot) = slots.by_path.get_mut(path) else {
            return;
        };
        if slot.asked.contains(&container) {
            return;
        }
        slot.asked.push(container.clone());
        let request = json!({
            "op": "ticketFor", "slot": name, "podUid": container.pod_uid, "holderKey": holder_key,
        });
        let wanted = Wanted {
            path: path.to_owned(),
            door,
            container,
        };
        if let Err(wanted) = slots.agent.ask(request, wanted, TICKET_PATIENCE) {
            let refusal = Refusal::new("TooManyRequests", "too much waits for the node's agent");
            self.ticket_came(wanted, Err(refusal));
        }
    }

    /// Whether the agent's answers to `wanted` are still of use.
    fn expects(&mut self, wanted: &Wanted) -> Option<&mut Slot> {
        let fresh = self.doors.get(&wanted.path)?.token == wanted.door;
        let slots = self.slots.as_mut().filter(|_| fresh)?;
        slots.by_path.get_mut(&wanted.path)
    }

    pub fn agent_says(&mut self, incoming: Vec<Incoming<Wanted>>) {
        for one in incoming {
            if let Incoming::Answer(wanted, answer) = one {
                self.ticket_came(wanted, answer);
            }
        }
    }

    fn ticket_came(&mut self, wanted: Wanted, answer: Answer) {
        let Some(slot) = self.expects(&wanted) else {
            return;
        };
        slot.asked
            .retain(|container| *container != wanted.container);
        slot.doubted = false;
        // Two containers were asked about, and the other was first.
        let taken = slot
            .holder
            .as_ref()
            .is_some_and(|held| *held != wanted.container);
        let offered = answer.and_then(|mut fields| {
            if taken {
                return Err(foreign());
            }
            let file = fields.remove("ticketFile").unwrap_or_default();
            let offer = Offer::fresh(&wanted.path, file, &self.identity.public())?;
            self.put_up(offer)
        });
        match offered {
            Ok(()) => {
                if let Some(slot) = self.expects(&wanted) {
                    slot.holder = Some(wanted.container);
                }
                self.store_slots();
            }
            Err(refusal) => self.no_ticket(&wanted, refusal),
        }
        self.open_waiting(&wanted.path);
    }

    /// Programs of the container are refused, unless the ticket that it had may still do.
    fn no_ticket(&mut self, wanted: &Wanted, refusal: Refusal) {
        info!(
            "no ticket for a slot",
            socket = wanted.path.display(),
            pod = wanted.container.pod_uid,
            container = wanted.container.container_id,
            reason = refusal
        );
        if self.offers.get(&wanted.path).is_some_and(Offer::is_valid) {
            return;
        }
        for id in self.waiting(&wanted.path) {
            let program = self.programs.get(&id);
            let container = program.and_then(|program| program.container.as_ref());
            if container == Some(&wanted.container) {
                self.refuse(id, refusal.clone());
            }
        }
    }

    /// Keeps the slots for the next start.
    fn store_slots(&self) {
        let Some(slots) = &self.slots else { return };
        let stored = slots.by_path.iter().map(|(path, slot)| StoredSlot {
            socket_path: path.clone(),
            holder: slot.holder.clone(),
            ticket_file: self.offers.get(path).map(|offer| offer.raw.clone()),
        });
        if let Err(reason) = self.state.store_slots(&stored.collect::<Vec<_>>()) {
            warning!("the slots could not be stored", reason = reason);
        }
    }

    /// Takes up the slots of an earlier connector: their containers see the new sockets.
    pub fn adopt_slots(&mut self) {
        for stored in self.state.slots() {
            let path = stored.socket_path;
            let slot = Slot {
                holder: stored.holder,
                ..Slot::default()
            };
            let taken = self.take_up_slot(path.clone(), slot).and_then(|()| {
                let Some(file) = stored.ticket_file else {
                    return Ok(());
                };
                let offer = Offer::renewable(&path, file, &self.identity.public(), &self.state)?;
                self.put_up(offer)
            });
            if let Err(refusal) = taken {
                info!(
                    "a slot of before is not taken up",
                    socket = path.display(),
                    reason = refusal
                );
            }
        }
    }
}
