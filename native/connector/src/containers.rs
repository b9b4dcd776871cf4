//! The containers of a guest: registered by the hook that their CDI device brings along, and told apart at the one session
//! socket by the cgroup (version 2) that the kernel shows for a peer. Guest root is trusted, containers are not.

use std::collections::HashMap;
use std::path::PathBuf;

use aquifer_control::peer::Peer;
use aquifer_control::poll::Poller;
use aquifer_control::process::{PidFd, ProcessId};
use aquifer_control::refusal::Refusal;
use serde::{Deserialize, Serialize};

use crate::program::Nested;

/// Guests have some dozens; a runtime that registers without end is stopped here.
const MAX_CONTAINERS: usize = 1024;

/// A container as its hook registered it; what a later connector takes up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Its first process: it lives as long as that.
    #[serde(flatten)]
    pub init: ProcessId,
    /// Its cgroup, which its processes are in or below.
    pub cgroup: String,
}

#[derive(Debug)]
struct Registered {
    registration: Registration,
    life: PidFd,
    token: u64,
}

/// All that are registered and live.
#[derive(Debug)]
pub struct Containers {
    /// Where the kernel shows processes.
    proc: PathBuf,
    by_id: HashMap<String, Registered>,
}

fn bad(message: String) -> Refusal {
    Refusal::new("BadRequest", message)
}

/// What the kernel says of the cgroup of a process, in version 2.
pub fn unified_path(file: &str) -> Option<&str> {
    file.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whether `path` is `cgroup` or below it.
pub fn is_within(path: &str, cgroup: &str) -> bool {
    path.strip_prefix(cgroup)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The form in which the gateway takes an id. Runtimes are no stricter.
fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len())
        && id.as_bytes()[0].is_ascii_alphanumeric()
        && id.bytes().all(allowed)
}

impl Containers {
    pub fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            by_id: HashMap::new(),
        }
    }

    fn cgroup_of(&self, pid: i32) -> Option<String> {
        let file = self.proc.join(pid.to_string()).join("cgroup");
        let text = std::fs::read_to_string(file).ok()?;
        unified_path(&text).map(str::to_owned)
    }

    /// Takes a container in whose first process is `pid`; `token` is that of the end of it.
    pub fn register(
        &mut self,
        id: String,
        share: Option<String>,
        pid: i32,
        token: u64,
        poller: &Poller,
    ) -> Result<(), Refusal> {
        if !is_id(&id) {
            return Err(bad(format!("id: {id:?} is not the id of a container")));
        }
        let gone = |error| bad(format!("pid: {pid} of container {id}: {error}"));
        let init = ProcessId::of(pid).map_err(gone)?;
        let cgroup = self.cgroup_of(pid).ok_or_else(|| {
            Refusal::new(
                "CgroupUnknown",
                format!("container {id} is in no cgroup of version 2, by which it could be told"),
            )
        })?;
        let registration = Registration {
            id,
            share,
            init,
            cgroup,
        };
        self.adopt(registration, token, poller)
    }

    /// Takes a container in that was registered, now or by a connector before.
    pub fn adopt(
        &mut self,
        registration: Registration,
        token: u64,
        poller: &Poller,
    ) -> Result<(), Refusal> {
        // Of one that was restarted the end may not have been told yet.
        self.by_id
            .retain(|_, one| one.life.has_ended().is_ok_and(|ended| !ended));
        let Registration {
            id,
            share,
            init,
            cgroup,
        } = &registration;
        let life = init
            .open()
            .map_err(|_| bad(format!("pid: container {id} has ended")))?;
        if self.cgroup_of(init.pid).as_ref() != Some(cgroup) {
            return Err(bad(format!("container {id} is in another cgroup now")));
        }
        let own = self.cgroup_of(std::process::id().cast_signed());
        if cgroup == "/" || own.is_none_or(|own| is_within(&own, cgroup)) {
            let message = format!(
                "container {id} has no cgroup of its own (it is in {cgroup}): it cannot be told from others"
            );
            return Err(Refusal::new("CgroupShared", message));
        }
        for Registered { registration, .. } in self.by_id.values() {
            let known = registration;
            if known.id == *id && known.init == *init && known.share == *share {
                return Ok(());
            }
            if known.id == *id || known.init == *init {
                let message = format!(
                    "container {} is registered already: a container has one device",
                    known.id
                );
                return Err(Refusal::new("ContainerExists", message));
            }
            if is_within(&known.cgroup, cgroup) {
                let message = format!(
                    "the cgroup {cgroup} of container {id} has container {} in it",
                    known.id
                );
                return Err(Refusal::new("CgroupShared", message));
            }
        }
        if self.by_id.len() >= MAX_CONTAINERS {
            let message = format!("{MAX_CONTAINERS} containers are registered already");
            return Err(Refusal::new("TooManyContainers", message));
        }
        poller
            .add(&life, token)
            .map_err(|error| Refusal::new("InternalError", error.to_string()))?;
        let registered = Registered {
            life,
            token,
            registration,
        };
        self.by_id
            .insert(registered.registration.id.clone(), registered);
        Ok(())
    }

    /// Forgets the container whose first process ended, as `token` says; its id.
    pub fn ended(&mut self, token: u64) -> Option<String> {
        let ended = self.by_id.values().find(|one| one.token == token)?;
        let id = ended.registration.id.clone();
        self.by_id.remove(&id);
        Some(id)
    }

    /// The container that a peer is in, the innermost of them. It lives after its cgroup was read, so that was not another
    /// process's.
    pub fn container_of(&self, peer: &Peer) -> Option<Nested> {
        let path = self.cgroup_of(peer.process.pid)?;
        let lives = peer.pidfd.has_ended().is_ok_and(|ended| !ended);
        let around = self
            .by_id
            .values()
            .map(|one| &one.registration)
            .filter(|one| lives && is_within(&path, &one.cgroup));
        let innermost = around.max_by_key(|one| one.cgroup.len())?;
        Some(Nested {
            id: innermost.id.clone(),
            share: innermost.share.clone(),
        })
    }

    /// All of them, to be stored and listed.
    pub fn list(&self) -> Vec<Registration> {
        let mut all: Vec<Registration> = self
            .by_id
            .values()
            .map(|one| one.registration.clone())
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
