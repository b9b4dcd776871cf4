//! In a KVM guest: one ticket, one session socket for all containers, and what container runtimes need to hand it to them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aquifer_control::peer::Peer;
use aquifer_control::refusal::Refusal;
use aquifer_control::{info, warning};
use serde_json::Value;

use crate::cdi::{Layout, file_of, replace};
use crate::connector::Connector;
use crate::containers::Containers;
use crate::program::Nested;
use crate::ticket_file::TicketFile;

/// Its mode lets every user of a container connect; the peer is told by its cgroup.
const MODE: u32 = 0o666;
/// How soon a ticket is seen that somebody has put in place of the one before.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Programs of one container at once, whatever they do: the others have places left.
const MAX_OF_CONTAINER: usize = 64;

/// A file as it was when it was last read or written: inode, size, and time of change.
type Seen = (u64, u64, i64, i64);

pub struct Guest {
    pub containers: Containers,
    layout: Layout,
    cdi_directory: PathBuf,
    ticket: PathBuf,
    seen: Option<Seen>,
    next_look: Instant,
}

fn seen(path: &Path) -> Option<Seen> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

impl Guest {
    pub fn new(
        ticket: PathBuf,
        layout: Layout,
        cdi_directory: PathBuf,
        proc: PathBuf,
    ) -> io::Result<Self> {
        // Containers see this directory, and may look up a name in it, no more.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&layout.sessions)?;
        std::fs::set_permissions(&layout.sessions, PermissionsExt::from_mode(0o711))?;
        Ok(Self {
            containers: Containers::new(proc),
            layout,
            cdi_directory,
            ticket,
            seen: None,
            next_look: Instant::now() + LOOK_EVERY,
        })
    }

    fn socket(&self) -> PathBuf {
        self.layout.sessions.join("session.sock")
    }

    /// Reads the ticket and tells container runtimes of its devices.
    fn take_ticket(&mut self) -> Result<Value, Refusal> {
        let failed = |path: &Path, reason: &dyn std::fmt::Display| {
            Refusal::new("TicketFileInvalid", format!("{}: {reason}", path.display()))
        };
        self.seen = seen(&self.ticket);
        let bytes = std::fs::read(&self.ticket).map_err(|error| failed(&self.ticket, &error))?;
        let file =
            TicketFile::parse(&bytes).map_err(|refusal| failed(&self.ticket, &refusal.message))?;
        let claim = &file.ticket.payload.claim.name;
        let path = file_of(&self.cdi_directory, claim);
        let specification = self.layout.specification(claim, &shares_of(&file));
        std::fs::create_dir_all(&self.cdi_directory)
            .and_then(|()| replace(&path, &specification, 0o644))
            .map_err(|error| Refusal::new("CDIFailed", format!("{}: {error}", path.display())))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(&self.ticket, &error))
    }
}

pub fn shares_of(file: &TicketFile) -> Vec<String> {
    let shares = file.ticket.raw["nested"]["shares"].as_array();
    let names = shares.into_iter().flatten();
    names
        .filter_map(|share| share["name"].as_str().map(str::to_owned))
        .collect()
}

impl Connector {
    /// Begins to serve the containers of a guest; those of a connector before are taken up.
    pub fn open_guest(&mut self, mut guest: Guest) -> Result<(), Refusal> {
        let raw = guest.take_ticket()?;
        let socket = guest.socket();
        self.guest = Some(guest);
        self.offer(&socket, MODE, raw)?;
        // Who handed the ticket over may do so at each start, long after a newer one was got for it.
        self.ticket_renewed(&socket);
        for registration in self.state.containers() {
            let (id, token) = (registration.id.clone(), self.token());
            let Some(guest) = &mut self.guest else { break };
            if let Err(reason) = guest.containers.adopt(registration, token, &self.poller) {
                info!(
                    "a container of before is not taken up",
                    container = id,
                    reason = reason
                );
            }
        }
        self.store_containers();
        Ok(())
    }

    /// A hook tells of a container that is about to start.
    pub fn register_container(
        &mut self,
        id: String,
        share: Option<String>,
        pid: i32,
    ) -> Result<(), Refusal> {
        let token = self.token();
        let Some(guest) = &mut self.guest else {
            return Err(Refusal::new("BadRequest", "this is no guest's connector"));
        };
        let named = (id.clone(), share.clone().unwrap_or_default());
        guest
            .containers
            .register(id, share, pid, token, &self.poller)
            .inspect_err(|reason| {
                warning!("container refused", container = named.0, reason = reason)
            })?;
        info!(
            "container registered",
            container = named.0,
            share = named.1,
            pid = pid
        );
        self.store_containers();
        Ok(())
    }

    /// Takes note of the end of a container, if `token` is that of one.
    pub fn container_ended(&mut self, token: u64) {
        let guest = self.guest.as_mut();
        let Some(id) = guest.and_then(|guest| guest.containers.ended(token)) else {
            return;
        };
        info!("container ended", container = id);
        let theirs = self
            .programs
            .iter()
            .filter(|(_, program)| program.nested.as_ref().is_some_and(|one| one.id == id));
        for program in theirs.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close_program(program, "its container has ended");
        }
        self.store_containers();
    }

    /// Which container a peer is in: that of all programs here, or the one that its cgroup shows.
    pub fn nested_of(&self, peer: &Peer) -> Option<Nested> {
        match &self.guest {
            None => self.nested.clone(),
            Some(guest) => guest.containers.container_of(peer),
        }
    }

    /// Whether programs of a container, or of none, have all the places that there are for one.
    pub fn is_full_for(&self, nested: Option<&Nested>) -> bool {
        let same = |one: &Option<Nested>| {
            one.as_ref().map(|nested| &nested.id) == nested.map(|nested| &nested.id)
        };
        let theirs = self
            .programs
            .values()
            .filter(|program| same(&program.nested))
            .count();
        self.guest.is_some() && theirs >= MAX_OF_CONTAINER
    }

    fn store_containers(&self) {
        let Some(guest) = &self.guest else { return };
        if let Err(reason) = self.state.store_containers(&guest.containers.list()) {
            warning!("the containers could not be stored", reason = reason);
        }
    }

    /// Keeps the file at the newest ticket, so that it is good for whoever starts from it.
    pub fn ticket_renewed(&mut self, path: &Path) {
        let (Some(guest), Some(offer)) = (&mut self.guest, self.offers.get_mut(path)) else {
            return;
        };
        if offer.raw["ticket"] == offer.file.compact || seen(&guest.ticket) != guest.seen {
            return;
        }
        offer.raw["ticket"] = offer.file.compact.clone().into();
        if let Err(reason) = replace(&guest.ticket, &offer.raw, 0o600) {
            warning!(
                "the renewed ticket could not be written",
                file = guest.ticket.display(),
                reason = reason
            );
        }
        guest.seen = seen(&guest.ticket);
    }

    /// Takes up a ticket that somebody has put in place of the one before; says when to look again.
    pub fn look_at_ticket(&mut self, now: Instant) -> Option<Instant> {
        let guest = self.guest.as_mut()?;
        if guest.next_look <= now {
            guest.next_look = now + LOOK_EVERY;
            let found = seen(&guest.ticket);
            if found.is_some() && found != guest.seen {
                let socket = guest.socket();
                let taken = guest
                    .take_ticket()
                    .and_then(|raw| self.offer(&socket, MODE, raw));
                match taken {
                    Ok(()) => {
                        self.ticket_renewed(&socket);
                        info!("another ticket is taken up");
                    }
                    Err(reason) => warning!("the new ticket is of no use", reason = reason),
                }
            }
        }
        self.guest.as_ref().map(|guest| guest.next_look)
    }
}
