//! What a connector finds again after a restart. All of it lies in the state directory, 0700, files 0600.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aquifer_control::identity::Identity;
use aquifer_control::process::ProcessId;
use aquifer_control::run_directory::{read, write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cgroup::Container;
use crate::containers::Registration;
use crate::program::Nested;

/// A session whose program lived when this was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSession {
    pub session: String,
    /// The nonces of its data connections.
    #[serde(default)]
    pub attached: Vec<String>,
    #[serde(flatten)]
    pub process: ProcessId,
    pub program: String,
    /// The socket that it was opened through.
    pub socket_path: PathBuf,
    /// The nested container that it is in.
    #[serde(default)]
    pub nested: Option<Nested>,
}

/// An offer as `serve` made it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredOffer {
    pub socket_path: PathBuf,
    pub mode: u32,
    pub ticket_file: Value,
}

/// A slot as it was when this was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSlot {
    pub socket_path: PathBuf,
    pub holder: Option<Container>,
    pub ticket_file: Option<Value>,
}

pub struct State {
    directory: PathBuf,
    /// Tells the connectors of one state directory apart.
    instance: String,
}

impl State {
    /// Makes the directory if need be.
    pub fn open(directory: &Path, instance: &str) -> io::Result<Self> {
        let tickets = directory.join("tickets");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&tickets)?;
        Ok(Self {
            directory: directory.to_owned(),
            instance: instance.to_owned(),
        })
    }

    /// The key, made at the first time.
    pub fn identity(&self) -> io::Result<Identity> {
        let path = self.directory.join("key.pk8");
        Identity::load_or_create(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// The newest ticket of a claim that was bound to this connector.
    pub fn ticket(&self, claim_uid: &str) -> Option<String> {
        let stored: Value = read(&self.ticket_path(claim_uid)).ok()?;
        stored["ticket"].as_str().map(str::to_owned)
    }

    pub fn store_ticket(&self, claim_uid: &str, compact: &str) -> io::Result<()> {
        write_atomically(&self.ticket_path(claim_uid), &json!({"ticket": compact}))
    }

    fn ticket_path(&self, claim_uid: &str) -> PathBuf {
        // A uid comes from a ticket file: what could lead out of the directory is not used as a name.
        let name: String = claim_uid
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .take(64)
            .collect();
        self.directory.join("tickets").join(format!("{name}.json"))
    }

    fn instance_path(&self, kind: &str) -> PathBuf {
        self.directory
            .join(format!("{kind}-{}.json", self.instance))
    }

    pub fn sessions(&self) -> Vec<StoredSession> {
        read(&self.instance_path("sessions")).unwrap_or_default()
    }

    pub fn store_sessions(&self, sessions: &[StoredSession]) -> io::Result<()> {
        let path = self.instance_path("sessions");
        if sessions.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        write_atomically(&path, &json!(sessions))
    }

    pub fn slots(&self) -> Vec<StoredSlot> {
        read(&self.instance_path("slots")).unwrap_or_default()
    }

    pub fn store_slots(&self, slots: &[StoredSlot]) -> io::Result<()> {
        write_atomically(&self.instance_path("slots"), &json!(slots))
    }

    pub fn containers(&self) -> Vec<Registration> {
        read(&self.instance_path("containers")).unwrap_or_default()
    }

    pub fn store_containers(&self, containers: &[Registration]) -> io::Result<()> {
        write_atomically(&self.instance_path("containers"), &json!(containers))
    }

    pub fn offers(&self) -> Vec<StoredOffer> {
        read(&self.instance_path("offers")).unwrap_or_default()
    }

    pub fn store_offers(&self, offers: &[StoredOffer]) -> io::Result<()> {
        write_atomically(&self.instance_path("offers"), &json!(offers))
    }
}
