//! The CDI specification of a guest: one device for the claim and one for each of its shares. What containers get is written
//! down here alone; `aquifer-connector oci` reads it from there.

use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub const KIND: &str = "aquifer.dev/vgpu";
/// Podman 4.3 knows no later one.
const CDI_VERSION: &str = "0.5.0";
/// A hook takes milliseconds, and waits a while for a connector that is being started.
const HOOK_TIMEOUT_SECONDS: u32 = 30;
/// Where a program's connection waits inside a container.
const INSIDE: &str = "/run/aquifer";
/// The directories that the loaders of Debian's and of Red Hat's family trust, whatever LD_LIBRARY_PATH says.
const TRUSTED: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"];
const LIBRARIES: [(&str, &str); 3] = [
    ("libcuda.so.1", "libcuda.so.1"),
    ("libcuda.so", "libcuda.so.1"),
    ("libnvidia-ml.so.1", "libnvidia-ml.so.1"),
];

/// Where things lie in the guest.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The directory with the session socket, and nothing else: containers see it.
    pub sessions: PathBuf,
    /// The socket at which hooks register containers.
    pub control: PathBuf,
    pub connector: PathBuf,
    pub container_hook: PathBuf,
    pub client: PathBuf,
}

impl Layout {
    /// What is there beside this program, in the prefix that both are installed to.
    pub fn installed(prefix: &Path, sessions: PathBuf, control: PathBuf) -> Self {
        Self {
            sessions,
            control,
            connector: prefix.join("bin/aquifer-connector"),
            container_hook: prefix.join("libexec/aquifer/container-hook"),
            client: prefix.join("lib/aquifer/client"),
        }
    }

    /// The files that containers cannot do without, and that are not there.
    pub fn missing(&self) -> Vec<PathBuf> {
        let libraries = LIBRARIES.map(|(_, file)| self.client.join(file));
        let programs = [self.connector.clone(), self.container_hook.clone()];
        let mut missing: Vec<PathBuf> = programs
            .into_iter()
            .chain(libraries)
            .filter(|file| !file.exists())
            .collect();
        missing.dedup();
        missing
    }

    fn mounts(&self) -> Vec<Value> {
        let mount = |from: PathBuf, to: String| {
            json!({
                "hostPath": from, "containerPath": to, "options": ["ro", "nosuid", "nodev", "bind"],
            })
        };
        let libraries = TRUSTED.iter().flat_map(|directory| {
            LIBRARIES.iter().map(move |(name, file)| {
                mount(self.client.join(file), format!("{directory}/{name}"))
            })
        });
        std::iter::once(mount(self.sessions.clone(), INSIDE.into()))
            .chain(libraries)
            .collect()
    }

    fn hooks(&self, share: Option<&str>) -> Value {
        let control = self.control.to_string_lossy();
        let mut register = vec!["aquifer-connector", "hook", "--control", &control];
        register.extend(share.iter().flat_map(|share| ["--share", share]));
        json!([
            {
                "hookName": "createRuntime", "path": self.connector, "args": register,
                "timeout": HOOK_TIMEOUT_SECONDS,
            },
            {
                "hookName": "createContainer", "path": self.container_hook, "args": ["container-hook"],
                "timeout": HOOK_TIMEOUT_SECONDS,
            },
        ])
    }

    /// The specification for a claim that is divided into `shares`.
    pub fn specification(&self, claim: &str, shares: &[String]) -> Value {
        let device = |name: String, share: Option<&str>| {
            json!({
                "name": name,
                "containerEdits": {"mounts": self.mounts(), "hooks": self.hooks(share)},
            })
        };
        let of_shares = shares
            .iter()
            .map(|share| device(format!("{claim}-{share}"), Some(share)));
        let devices: Vec<Value> = std::iter::once(device(claim.into(), None))
            .chain(of_shares)
            .collect();
        json!({"cdiVersion": CDI_VERSION, "kind": KIND, "devices": devices})
    }
}

/// Where the specification of a claim is.
pub fn file_of(directory: &Path, claim: &str) -> PathBuf {
    directory.join(format!("aquifer.dev-vgpu-{claim}.json"))
}

/// The edits of the device `name`, from whichever of our specifications has it.
pub fn edits_of(directory: &Path, name: &str) -> Result<Value, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", directory.display());
    let mut known = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if !file.starts_with("aquifer.dev-vgpu-") || !file.ends_with(".json") {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let specification: Value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        for device in specification["devices"].as_array().into_iter().flatten() {
            if device["name"] == name {
                return Ok(device["containerEdits"].clone());
            }
            known.extend(device["name"].as_str().map(str::to_owned));
        }
    }
    known.sort();
    let known = match known.as_slice() {
        [] => "none is known: is `aquifer-connector guest` running?".to_owned(),
        names => format!("known here: {}", names.join(", ")),
    };
    Err(format!("there is no device {KIND}={name}; {known}"))
}

/// Replaces a file as one step.
pub fn replace(path: &Path, value: &Value, mode: u32) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // Container runtimes read *.json alone.
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        serde_json::to_writer_pretty(&mut file, value)?;
        io::Write::write_all(&mut file, b"\n")?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
