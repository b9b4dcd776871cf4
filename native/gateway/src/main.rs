//! The door of a GPU node: tells connections apart, checks tickets, has sessions admitted and workers started, and
//! hands each data connection to its worker. It holds no policy and sees no CUDA traffic.

mod accept;
mod closing;
mod connection;
mod control;
mod ending;
mod gateway;
mod listeners;
mod obtaining;
mod opening;
mod resume_counts;
mod resuming;
mod session;
mod trust;

use std::process::ExitCode;

use aquifer_control::arguments::{Arguments, EXIT_ALREADY_RUNNING, EXIT_FAILURE, EXIT_USAGE};
use aquifer_control::run_directory::{Claim, ClaimError};
use aquifer_control::{error, log, process, tls};

const HELP: &str = "\
usage: gateway --run-dir DIR --node NAME [--listen ADDRESS]... [flags]

Listens on DIR/gateway.sock, and on TCP and vsock where --listen says so, for holders of tickets. Needs the backend
(DIR/backend.sock) and the spawner (DIR/spawner.sock), and waits for them. SIGTERM ends it at once; the sessions live
on, and the next gateway for DIR takes them up.

  --run-dir DIR                 where the processes of this host find each other
  --node NAME                   this node's name; its certificate carries it
  --listen HOST:PORT            listens on TCP too; may be repeated; port 0 takes a free one (see DIR/gateway.json)
  --listen vsock:PORT           listens for the guests of this host, where the kernel has vhost-vsock
  --listen vsock:/PATH          listens where vhost-user-vsock processes connect to for their guests
  --max-unauthenticated N       connections without a ticket so far, on each kind of socket (default 1024)
  --max-sessions N              sessions of one holder at once (default 1024)
  --log text|json               form of the lines on stderr (default text)
  --help, --version

exit codes: 0 ended, 1 failure, 2 usage, 3 already running for this run directory
";

/// What the command line says.
pub struct Settings {
    run_directory: std::path::PathBuf,
    node: String,
    listen: Vec<String>,
    max_unauthenticated: usize,
    max_sessions: usize,
}

/// As many session ids as fit the answer to hello.
const MOST_SESSIONS: usize = 1800;

fn settings(arguments: &Arguments) -> Result<Settings, String> {
    if let Some(word) = arguments.words.first() {
        return Err(format!("unexpected {word:?}"));
    }
    let node = arguments.required("node")?.to_owned();
    tls::node_name(&node).map_err(|error| format!("--node: {error}"))?;
    let max_sessions = arguments.number("max-sessions", 1024)?;
    if max_sessions > MOST_SESSIONS {
        return Err(format!("--max-sessions: at most {MOST_SESSIONS}"));
    }
    Ok(Settings {
        run_directory: arguments.required("run-dir")?.into(),
        node,
        listen: arguments.all("listen").to_vec(),
        max_unauthenticated: arguments.number("max-unauthenticated", 1024)?,
        max_sessions,
    })
}

fn main() -> ExitCode {
    let flags = [
        "run-dir",
        "node",
        "listen",
        "max-unauthenticated",
        "max-sessions",
        "log",
    ];
    let parsed = Arguments::parse(std::env::args_os().skip(1), &flags, &["help", "version"]);
    let started = parsed.and_then(|arguments| {
        if arguments.has("help") || arguments.has("version") {
            let version = concat!("gateway ", env!("CARGO_PKG_VERSION"), "\n");
            print!("{}", if arguments.has("help") { HELP } else { version });
            return Ok(None);
        }
        log::start("gateway", arguments.log_form()?);
        settings(&arguments).map(Some)
    });
    let settings = match started {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gateway: {message}\nTry 'gateway --help'.");
            return EXIT_USAGE.into();
        }
    };
    process::leave_terminal();
    process::raise_descriptor_limit();
    let claim = match Claim::take(&settings.run_directory, "gateway") {
        Ok(claim) => claim,
        Err(reason) => {
            error!(
                "cannot serve the run directory",
                directory = settings.run_directory.display(),
                reason = reason
            );
            let running = matches!(reason, ClaimError::AlreadyRunning(_));
            return if running {
                EXIT_ALREADY_RUNNING
            } else {
                EXIT_FAILURE
            }
            .into();
        }
    };
    match gateway::serve(settings, &claim) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("stopped by a failure", reason = reason);
            EXIT_FAILURE.into()
        }
    }
}
