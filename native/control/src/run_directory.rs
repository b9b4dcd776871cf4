//! The run directory: where the processes of one host find each other, also after any of them was killed.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::limits::MAX_MESSAGE;
use crate::process::ProcessId;

/// A process's record: `NAME.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRecord {
    /// Who it is.
    #[serde(flatten)]
    pub process: ProcessId,
    /// The version that runs.
    pub version: String,
}

/// Why this process may not serve the run directory.
#[derive(Debug)]
pub enum ClaimError {
    /// Another process does; its pid where it has written it down.
    AlreadyRunning(Option<i32>),
    /// The directory cannot be used.
    Io(io::Error),
}

impl From<io::Error> for ClaimError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyRunning(Some(pid)) => write!(f, "already running as process {pid}"),
            Self::AlreadyRunning(None) => write!(f, "already running"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// The right to be the one process of its name in a run directory; the kernel takes it back when the process ends.
#[derive(Debug)]
pub struct Claim {
    record: PathBuf,
    _lock: File,
}

impl Claim {
    /// Makes `directory` (0700) if need be and takes `NAME.lock` in it.
    pub fn take(directory: &Path, name: &str) -> Result<Self, ClaimError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(format!("{name}.lock")))?;
        let record = directory.join(format!("{name}.json"));
        // SAFETY: the descriptor is open for the call.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error.into());
            }
            let other = read::<ProcessRecord>(&record).ok();
            return Err(ClaimError::AlreadyRunning(
                other.map(|record| record.process.pid),
            ));
        }
        Ok(Self {
            record,
            _lock: lock,
        })
    }

    /// Writes `NAME.json`: pid, start time, version and `more`. Call it when the process takes requests.
    pub fn announce(&self, version: &str, more: Map<String, Value>) -> io::Result<()> {
        let own = ProcessRecord {
            process: ProcessId::own()?,
            version: version.to_owned(),
        };
        let mut record = serde_json::to_value(own)?;
        if let Value::Object(object) = &mut record {
            object.extend(more);
        }
        write_atomically(&self.record, &record)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.record);
    }
}

/// Replaces the JSON file `path` (0600) as one step: a reader sees the old or the new, also after a power cut.
pub fn write_atomically(path: &Path, value: &Value) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(value.to_string().as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Reads a JSON file.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// The record of one worker: `workers/SESSION.json`, written by the spawner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerRecord {
    /// The session it serves: 32 hexadecimal digits.
    pub session: String,
    /// Who it is.
    #[serde(flatten)]
    pub process: ProcessId,
    /// The claim as the worker's configuration has it.
    #[serde(default)]
    pub claim: Value,
    /// What the asker of the spawn wants to find again after its own restart.
    #[serde(default)]
    pub record: Value,
}

/// Every worker that `directory` (run/workers) tells of, living or dead. Files that are no records are passed over, and
/// so are those of another user: workers of another user can make files there, and a forged record must not lead
/// anybody to signal the process that it names.
pub fn worker_records(directory: &Path) -> Vec<WorkerRecord> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let records = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    records.filter_map(|path| own_record(&path).ok()).collect()
}

fn own_record(path: &Path) -> io::Result<WorkerRecord> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    // SAFETY: takes nothing and cannot fail.
    if file.metadata()?.uid() != unsafe { libc::geteuid() } {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(serde_json::from_reader(file.take(MAX_MESSAGE as u64))?)
}

/// The line that begins every JSON-lines connection, from the side that connected.
pub fn hello(name: &str, version: &str) -> Value {
    json!({"id": 1, "op": "hello", "v": crate::limits::CONTROL_VERSION, "name": name, "version": version})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("aquifer-run-{}-{name}", std::process::id()))
    }

    #[test]
    fn one_process_at_a_time_and_the_other_is_told_who() {
        let directory = scratch("claim");
        let claim = Claim::take(&directory, "gateway").unwrap();
        claim.announce("1.2.3", Map::new()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(Claim::take(&directory, "gateway"), Err(ClaimError::AlreadyRunning(Some(pid))) if pid == own)
        );
        Claim::take(&directory, "spawner").unwrap();
        let record: ProcessRecord = read(&directory.join("gateway.json")).unwrap();
        assert!(record.process.is_alive());
        drop(claim);
        Claim::take(&directory, "gateway").unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_torn_record_of_a_worker_is_passed_over() {
        let directory = scratch("workers");
        std::fs::create_dir_all(&directory).unwrap();
        let whole = json!({"session": "ab", "pid": 4, "startTime": 9, "claim": {"uid": "u"}, "record": null});
        write_atomically(&directory.join("ab.json"), &whole).unwrap();
        std::fs::write(directory.join("cd.json"), "{\"session\":").unwrap();
        let records = worker_records(&directory);
        assert_eq!(records.len(), 1);
        assert_eq!(
            records[0].process,
            ProcessId {
                pid: 4,
                start_time: 9
            }
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
