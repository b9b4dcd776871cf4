//! The parent of all workers, so that everything else can be restarted. It starts, reaps, lists and kills; it decides
//! nothing. `native/control/README.md` tells how it stands among the other processes.

mod server;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;

use aquifer_control::arguments::{Arguments, EXIT_ALREADY_RUNNING, EXIT_FAILURE, EXIT_USAGE};
use aquifer_control::run_directory::{Claim, ClaimError};
use aquifer_control::{error, handover, log, process};

const HELP: &str = "\
usage: spawner --run-dir DIR --worker PATH [flags]

Starts the workers that the gateway asks for and outlives everything else. It ends by `shutdown` on its socket, or by
SIGTERM once no worker is left.

  --run-dir DIR      listens on DIR/spawner.sock, writes DIR/spawner.json and DIR/workers/
  --worker PATH      the worker program
  --worker-uid N     user of the workers, where this process is root (default 65534)
  --worker-gid N     their group, likewise (default 65534)
  --log text|json    form of the lines on stderr (default text)
  --help, --version

exit codes: 0 ended, 1 failure, 2 usage, 3 already running for this run directory
";

/// What the command line says.
pub struct Settings {
    run_directory: PathBuf,
    worker: PathBuf,
    /// The workers' user and group; `None` where this process is not root and cannot choose.
    user: Option<(u32, u32)>,
}

fn settings(arguments: &Arguments) -> Result<Settings, String> {
    if let Some(word) = arguments.words.first() {
        return Err(format!("unexpected {word:?}"));
    }
    let (uid, gid) = (
        arguments.number("worker-uid", 65534)?,
        arguments.number("worker-gid", 65534)?,
    );
    if uid == 0 || gid == 0 {
        return Err(
            "--worker-uid and --worker-gid must not be 0: workers run a stranger's kernels".into(),
        );
    }
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    Ok(Settings {
        run_directory: arguments.required("run-dir")?.into(),
        worker: arguments.required("worker")?.into(),
        user: root.then_some((uid, gid)),
    })
}

fn main() -> ExitCode {
    let flags = ["run-dir", "worker", "worker-uid", "worker-gid", "log"];
    let parsed = Arguments::parse(std::env::args_os().skip(1), &flags, &["help", "version"]);
    let started = parsed.and_then(|arguments| {
        if arguments.has("help") || arguments.has("version") {
            let version = concat!("spawner ", env!("CARGO_PKG_VERSION"), "\n");
            print!("{}", if arguments.has("help") { HELP } else { version });
            return Ok(None);
        }
        log::start("spawner", arguments.log_form()?);
        settings(&arguments).map(Some)
    });
    let settings = match started {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("spawner: {message}\nTry 'spawner --help'.");
            return EXIT_USAGE.into();
        }
    };
    process::leave_terminal();
    if let Err(reason) = handover::reserve() {
        error!("cannot open descriptors", reason = reason);
        return EXIT_FAILURE.into();
    }
    let claim = match Claim::take(&settings.run_directory, "spawner") {
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
    match server::serve(&settings, &claim) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("stopped by a failure", reason = reason);
            EXIT_FAILURE.into()
        }
    }
}
