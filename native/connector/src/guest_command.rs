//! The verbs of a guest: `guest`, `hook`, `oci` and `check`.

use std::path::{Path, PathBuf};

use aquifer_control::arguments::Arguments;
use aquifer_control::line_server::LineServer;
use aquifer_control::refusal::Refusal;
use aquifer_control::run_directory::{Claim, ClaimError};
use aquifer_control::signals::Signals;
use aquifer_control::{info, process};
use serde_json::Map;

use crate::cdi::Layout;
use crate::check::{self, Places};
use crate::connector::{CONTROL, Connector};
use crate::failure::Failure;
use crate::guest::Guest;
use crate::state::State;
use crate::ticket_source::TicketSource;
use crate::{VERSION, hook, oci};

const RUN_DIRECTORY: &str = "/run/aquifer-connector";
const STATE_DIRECTORY: &str = "/var/lib/aquifer-connector";
const CDI_DIRECTORY: &str = "/etc/cdi";

/// PREFIX/bin/aquifer-connector
fn own_prefix() -> std::io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let prefix = program.ancestors().nth(2);
    Ok(prefix.unwrap_or(Path::new("/usr/local")).to_owned())
}

struct Flags<'a>(&'a Arguments);

impl Flags<'_> {
    fn path(&self, name: &str, otherwise: &str) -> std::io::Result<PathBuf> {
        std::path::absolute(self.0.value(name).unwrap_or(otherwise))
    }

    fn layout(&self) -> std::io::Result<Layout> {
        let run = self.path("run-dir", RUN_DIRECTORY)?;
        let prefix = match (self.0.value("install"), self.0.value("prefix")) {
            (Some(prefix), _) | (None, Some(prefix)) => std::path::absolute(prefix)?,
            (None, None) => own_prefix()?,
        };
        let sessions = run.join("sessions");
        Ok(Layout::installed(
            &prefix,
            sessions,
            run.join("control.sock"),
        ))
    }

    fn places(&self) -> Result<Places, Failure> {
        let state = self.path("state-dir", STATE_DIRECTORY)?;
        let given = self
            .0
            .value("ticket")
            .map(std::path::absolute)
            .transpose()?;
        let ticket = TicketSource::choose(given, self.0.value("ask"), &state);
        Ok(Places {
            ticket: ticket.map_err(Failure::Usage)?,
            state,
            cdi: self.path("cdi-dir", CDI_DIRECTORY)?,
            layout: self.layout()?,
        })
    }
}

/// What containers of a guest need, where the guest itself can see it: this program may be in a container.
const INSTALLED: [&str; 4] = [
    "bin/aquifer-connector",
    "libexec/aquifer/container-hook",
    "lib/aquifer/client/libcuda.so.1",
    "lib/aquifer/client/libnvidia-ml.so.1",
];

/// Replaces the files one by one, by rename: who has one mapped keeps it.
fn install(from: &Path, to: &Path) -> std::io::Result<()> {
    for name in INSTALLED {
        let target = to.join(name);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        let fresh = to.join(format!("{name}.new"));
        std::fs::copy(from.join(name), &fresh)?;
        std::fs::rename(&fresh, &target)?;
    }
    Ok(())
}

/// Carries out a verb of a guest, if `words` are one.
pub fn run(words: &[&str], arguments: &Arguments) -> Option<Result<u8, Failure>> {
    let flags = Flags(arguments);
    Some(match words {
        ["guest"] => serve(&flags),
        ["check"] => check(&flags),
        ["hook"] => register(&flags),
        ["oci", device, file] => flags
            .path("cdi-dir", CDI_DIRECTORY)
            .map_err(Failure::from)
            .and_then(|cdi| oci::run(&cdi, device, Path::new(file)).map_err(Failure::Other))
            .map(|()| 0),
        ["oci", ..] => Err(Failure::Usage(
            "oci takes a device, such as trainer-small, and the config.json of a bundle".into(),
        )),
        _ => return None,
    })
}

fn check(flags: &Flags<'_>) -> Result<u8, Failure> {
    Ok(u8::from(!check::run(&flags.places()?)))
}

/// What goes wrong here the runtime shows to who starts the container.
fn register(flags: &Flags<'_>) -> Result<u8, Failure> {
    let control = flags.0.value("control");
    let control = control.ok_or_else(|| Failure::Usage("--control is needed".into()))?;
    let done = hook::run(Path::new(control), flags.0.value("share"));
    if let Err(reason) = &done {
        eprintln!("aquifer-connector hook: {reason}");
    }
    Ok(u8::from(done.is_err()))
}

fn serve(flags: &Flags<'_>) -> Result<u8, Failure> {
    process::raise_descriptor_limit();
    let Places {
        ticket,
        state,
        cdi,
        layout,
    } = flags.places()?;
    if let Some(target) = flags.0.value("install") {
        install(&own_prefix()?, Path::new(target))
            .map_err(|error| Failure::Other(format!("--install {target}: {error}")))?;
    }
    if let [first, ..] = layout.missing().as_slice() {
        let message = format!("{} is not there; --prefix says where", first.display());
        return Err(Failure::Other(message));
    }
    let run = flags.path("run-dir", RUN_DIRECTORY)?;
    let claim = Claim::take(&run, "connector").map_err(|error| match error {
        ClaimError::AlreadyRunning(_) => {
            Failure::AlreadyRunning(format!("{}: {error}", run.display()))
        }
        ClaimError::Io(_) => Failure::Other(format!("{}: {error}", run.display())),
    })?;
    let signals = Signals::take(&[libc::SIGTERM, libc::SIGINT])?;
    let control = layout.control.clone();
    let mut connector = Connector::new(State::open(&state, "guest")?)?;
    let refused = |refusal: Refusal| Failure::Other(refusal.to_string());
    ticket.see_to_it(&connector.identity).map_err(refused)?;
    let proc = flags.path("proc", "/proc")?;
    let guest = Guest::new(ticket.file, layout, cdi, proc)?;
    connector.open_guest(guest).map_err(refused)?;
    connector.adopt_sessions();
    connector.server = Some(LineServer::listen(
        &control,
        &connector.poller,
        CONTROL,
        Map::from_iter([("version".into(), VERSION.into())]),
    )?);
    claim.announce(VERSION, Map::new())?;
    info!("ready", key = connector.identity.public());
    Ok(connector.serve(&signals, None)?)
}
