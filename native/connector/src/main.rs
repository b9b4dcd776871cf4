//! Hands programs a connection to their vGPU: it has the ticket, asks the gateway for a session, makes the data
//! connection and passes it on. Nothing of a program's traffic goes through it.

mod address;
mod better_way;
mod cdi;
mod cgroup;
mod check;
mod child;
mod connector;
mod containers;
mod daemon;
mod dialing;
mod door;
mod failure;
mod following;
mod gateway_link;
mod guest;
mod guest_command;
mod hook;
mod obtaining;
mod oci;
mod offer;
mod places;
mod program;
mod programs;
mod resuming;
mod sessions;
mod slots;
mod state;
mod ticket_file;
mod ticket_source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aquifer_control::arguments::{Arguments, EXIT_ALREADY_RUNNING, EXIT_FAILURE, EXIT_USAGE};
use aquifer_control::line_server::LineServer;
use aquifer_control::run_directory::{Claim, ClaimError};
use aquifer_control::signals::Signals;
use aquifer_control::upstream::Upstream;
use aquifer_control::{error, info, log, process};
use serde_json::{Map, Value};

use crate::child::Child;
use crate::connector::{AGENT, CONTROL, Connector};
use crate::failure::Failure;
use crate::program::Nested;
use crate::slots::Slots;
use crate::state::State;
use crate::ticket_file::TicketFile;

const VERSION: &str = env!("CARGO_PKG_VERSION");

const HELP: &str = "\
usage: aquifer-connector --ticket FILE [--share NAME] [--socket PATH] [--mode 0600] [--program -- COMMAND...]
       aquifer-connector --control PATH --state-dir DIR [--run-dir DIR] [--slots-dir DIR --agent PATH]
       aquifer-connector key [--state-dir DIR]
       aquifer-connector guest [--ticket FILE | --ask vsock:2:9960] [--cdi-dir DIR] [--prefix DIR]
       aquifer-connector oci DEVICE CONFIG.json | check

Offers a socket through which programs of this host get sessions on a claim.

  --ticket FILE      the file that `aquifer ticket CLAIM` prints on the GPU host
  --share NAME       the share of the claim (spec.nested.shares) that all programs here have together
  --socket PATH      the socket for programs ($AQUIFER_SOCKET); default $XDG_RUNTIME_DIR/aquifer/NAMESPACE.NAME.sock
  --mode MODE        its permission bits (default 0600: this user alone)
  --program -- ...   runs COMMAND with the socket and the client libraries, and ends with its exit code
  --control PATH     takes offers from `aquifer serve` at this socket instead of a ticket
  --run-dir DIR      where connector.json is written with --control (default: the directory of PATH)
  --slots-dir DIR    on a node of a cluster: attaches the containers of pods, each at the socket of its slot below DIR
  --agent PATH       socket of the node's agent, which has the tickets of slots
  --proc DIR         where the kernel shows the node's processes (default /proc)
  --state-dir DIR    key, renewed tickets, sessions (default $XDG_STATE_HOME/aquifer-connector)
  key                prints this connector's public key, for `aquifer ticket CLAIM --for KEY`
  guest              in a KVM guest: serves the containers that ask for its CDI devices, aquifer.dev/vgpu=CLAIM and
                     =CLAIM-SHARE; --ticket (default /etc/aquifer/ticket.json) is kept renewed
  --ask ADDRESS      asks the host for the ticket that `aquifer guest attach --offer` offers this guest, and keeps it in the
                     state directory; a guest with vsock and without the default file does so by itself
  oci DEVICE FILE    adds what a CDI device brings to a bundle's config.json, for runtimes that know no CDI
  check              says what works in this guest and what does not
  --cdi-dir DIR      where container runtimes look for CDI specifications (default /etc/cdi)
  --install DIR      first copies the client libraries, and itself, to where containers of the guest can have them
  --prefix DIR       where the client libraries are installed (default: where this program is)
  --log text|json    form of the lines on stderr (default text)
  --help, --version

The key is made at the first start and never leaves this host. The ticket is exchanged for one that is bound to it, and
renewed while the claim lives. SIGTERM ends the connector at once; sessions of running programs live on.

exit codes: 0 ended, 1 failure, 2 usage, 3 already running; with --program the command's own, 128+n after signal n
";

fn main() -> ExitCode {
    let (exit, message) = match run() {
        Ok(code) => return code.into(),
        Err(Failure::Usage(message)) => {
            eprintln!("aquifer-connector: {message}\nTry 'aquifer-connector --help'.");
            return EXIT_USAGE.into();
        }
        Err(Failure::AlreadyRunning(message)) => (EXIT_ALREADY_RUNNING, message),
        Err(Failure::Other(message)) => (EXIT_FAILURE, message),
    };
    error!("cannot go on", reason = message);
    exit.into()
}

fn run() -> Result<u8, Failure> {
    let flags = [
        "ticket",
        "share",
        "socket",
        "mode",
        "state-dir",
        "control",
        "run-dir",
        "slots-dir",
        "agent",
        "proc",
        "prefix",
        "install",
        "cdi-dir",
        "ask",
        "log",
    ];
    let switches = ["program", "help", "version"];
    let arguments =
        Arguments::parse(std::env::args_os().skip(1), &flags, &switches).map_err(Failure::Usage)?;
    if arguments.has("help") || arguments.has("version") {
        let version = concat!("aquifer-connector ", env!("CARGO_PKG_VERSION"), "\n");
        print!("{}", if arguments.has("help") { HELP } else { version });
        return Ok(0);
    }
    log::start(
        "aquifer-connector",
        arguments.log_form().map_err(Failure::Usage)?,
    );
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    if let Some(done) = guest_command::run(&words, &arguments) {
        return done;
    }
    let directory = match arguments.value("state-dir") {
        Some(directory) => directory.into(),
        None => default_state_directory().map_err(Failure::Usage)?,
    };
    match (words.as_slice(), arguments.value("control")) {
        (["key"], _) => {
            println!("{}", State::open(&directory, "key")?.identity()?.public());
            Ok(0)
        }
        ([], Some(control)) if !arguments.has("ticket") => {
            serve_control(Path::new(control), &arguments, &directory)
        }
        ([], None) => serve_ticket(&arguments, &directory),
        ([], Some(_)) => Err(Failure::Usage(
            "--control and --ticket exclude each other".into(),
        )),
        ([word, ..], _) => Err(Failure::Usage(format!("unexpected {word:?}"))),
    }
}

fn default_state_directory() -> Result<PathBuf, String> {
    let under = |name: &str, rest: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(|value| PathBuf::from(value).join(rest))
    };
    under("XDG_STATE_HOME", "aquifer-connector")
        .or_else(|| under("HOME", ".local/state/aquifer-connector"))
        .ok_or_else(|| "--state-dir is needed where neither XDG_STATE_HOME nor HOME is set".into())
}

/// Offers come from `serve`.
fn serve_control(control: &Path, arguments: &Arguments, directory: &Path) -> Result<u8, Failure> {
    process::leave_terminal();
    process::raise_descriptor_limit();
    let run_directory = arguments.value("run-dir").map(PathBuf::from);
    let run_directory = run_directory
        .or_else(|| control.parent().map(Path::to_owned))
        .unwrap_or_default();
    let claim = Claim::take(&run_directory, "connector").map_err(|error| match error {
        ClaimError::AlreadyRunning(_) => {
            Failure::AlreadyRunning(format!("{}: {error}", run_directory.display()))
        }
        ClaimError::Io(_) => Failure::Other(format!("{}: {error}", run_directory.display())),
    })?;
    let signals = Signals::take(&[libc::SIGTERM, libc::SIGINT])?;
    let mut connector = Connector::new(State::open(directory, "control")?)?;
    for stored in connector.state.offers() {
        if let Err(refusal) = connector.offer(&stored.socket_path, stored.mode, stored.ticket_file)
        {
            info!(
                "an offer of before is not taken up",
                socket = stored.socket_path.display(),
                reason = refusal
            );
        }
    }
    if let Some(directory) = arguments.value("slots-dir") {
        let agent = arguments.required("agent").map_err(Failure::Usage)?;
        let agent = Upstream::new("agent", agent.into(), AGENT, "connector", VERSION);
        let proc = arguments.value("proc").unwrap_or("/proc").into();
        connector.slots = Some(Slots::new(directory.into(), proc, agent));
        connector.adopt_slots();
    }
    connector.adopt_sessions();
    let greeting = Map::from_iter([
        ("name".into(), "connector".into()),
        ("version".into(), VERSION.into()),
        ("key".into(), connector.identity.public().to_string().into()),
    ]);
    connector.server = Some(LineServer::listen(
        control,
        &connector.poller,
        CONTROL,
        greeting,
    )?);
    claim.announce(VERSION, Map::new())?;
    info!(
        "ready",
        key = connector.identity.public(),
        offers = connector.offers.len()
    );
    Ok(connector.serve(&signals, None)?)
}

/// One ticket, one socket.
fn serve_ticket(arguments: &Arguments, directory: &Path) -> Result<u8, Failure> {
    let path = arguments.required("ticket").map_err(Failure::Usage)?;
    let mode = daemon::parse_mode(arguments.value("mode").unwrap_or("0600"));
    let mode = mode.map_err(|refusal| Failure::Usage(format!("--{}", refusal.message)))?;
    let command = match (arguments.has("program"), &arguments.rest) {
        (false, None) => None,
        (true, Some(words)) if !words.is_empty() => Some(words),
        _ => return Err(Failure::Usage("--program takes a command after --".into())),
    };
    let invalid = |reason: &dyn std::fmt::Display| Failure::Other(format!("{path}: {reason}"));
    let bytes = std::fs::read(path).map_err(|error| invalid(&error))?;
    let file = TicketFile::parse(&bytes).map_err(|refusal| invalid(&refusal.message))?;
    let raw: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?;
    let socket = match (arguments.value("socket"), command) {
        (Some(socket), _) => std::path::absolute(socket)?,
        (None, Some(_)) => directory.join(format!("program-{}.sock", std::process::id())),
        (None, None) => default_socket(&file.claim)?,
    };
    let signals = Signals::take(&[libc::SIGTERM, libc::SIGINT])?;
    let mut connector = Connector::new(State::open(directory, &instance_of(&socket))?)?;
    connector.nested = arguments.value("share").map(|share| Nested {
        id: instance_of(&socket),
        share: Some(share.to_owned()),
    });
    connector
        .offer(&socket, mode, raw)
        .map_err(|refusal| Failure::Other(refusal.to_string()))?;
    connector.adopt_sessions();
    let child = match command {
        None => None,
        Some(words) => match Child::start(words, &socket) {
            Ok(child) => Some(child),
            Err(error) => {
                let _ = std::fs::remove_file(&socket);
                return Err(Failure::Other(format!("{}: {error}", words[0].display())));
            }
        },
    };
    info!(
        "ready",
        socket = socket.display(),
        key = connector.identity.public()
    );
    Ok(connector.serve(&signals, child)?)
}

fn default_socket(claim: &str) -> Result<PathBuf, Failure> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let message = "--socket is needed where XDG_RUNTIME_DIR is not set";
    let directory = directory.ok_or_else(|| Failure::Usage(message.into()))?;
    let directory = PathBuf::from(directory).join("aquifer");
    std::fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("{}.sock", claim.replace('/', "."))))
}

/// A name for what belongs to this socket's connector in a state directory that several may share (FNV-1a).
fn instance_of(socket: &Path) -> String {
    let bytes = socket.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
