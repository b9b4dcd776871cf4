//! The loop: requests in, exits out.

use std::io;
use std::time::Instant;

use aquifer_control::info;
use aquifer_control::line_server::{Answer, LineServer};
use aquifer_control::poll::Poller;
use aquifer_control::preamble::Token16;
use aquifer_control::refusal::Refusal;
use aquifer_control::run_directory::Claim;
use aquifer_control::signals::Signals;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Settings;
use crate::workers::Workers;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SIGNALS: u64 = 0;
/// Watched for waking up alone: the end of an adopted worker.
const ADOPTED: u64 = 1;
const SOCKET: u64 = 2;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Request {
    Spawn {
        session: String,
        config: Value,
        #[serde(default)]
        record: Value,
    },
    Kill {
        session: String,
    },
    List,
    Shutdown {
        #[serde(default)]
        kill_workers: bool,
    },
}

/// Serves until there is nothing left to be the parent of.
pub fn serve(settings: &Settings, claim: &Claim) -> io::Result<()> {
    // SAFETY: an integer option; orphaned children of workers become ours, so that no zombie is left to nobody.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    let signals = Signals::take(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT])?;
    let mut workers = Workers::find(settings)?;
    let poller = Poller::new()?;
    poller.add(&signals, SIGNALS)?;
    for worker in workers.living.values() {
        poller.add(&worker.pidfd, ADOPTED)?;
    }
    let greeting = Map::from_iter([
        ("name".into(), "spawner".into()),
        ("version".into(), VERSION.into()),
    ]);
    let mut server = LineServer::listen(
        &settings.run_directory.join("spawner.sock"),
        &poller,
        SOCKET,
        greeting,
    )?;
    claim.announce(VERSION, Map::new())?;
    info!("ready", workers = workers.living.len());
    // Draining: no new workers, and the end comes with the last one.
    let mut draining = false;
    while !(draining && workers.living.is_empty()) {
        let wake = workers.kill_overdue();
        for event in poller.wait(wake.map(|at| at.saturating_duration_since(Instant::now())))? {
            if server.owns(&event) {
                server.serve(&event, &poller, &mut |request| {
                    perform(request, &mut workers, &mut draining)
                });
            }
            while let Some(signal) = signals.next() {
                if signal != libc::SIGCHLD {
                    info!(
                        "asked to end: ends with the last worker",
                        workers = workers.living.len()
                    );
                    draining = true;
                }
            }
        }
        for exit in workers.reap() {
            info!("worker ended", exit = exit);
            server.broadcast(&exit);
        }
    }
    info!("ended");
    Ok(())
}

fn perform(request: Value, workers: &mut Workers, draining: &mut bool) -> Answer {
    let request = Request::deserialize(request)
        .map_err(|error| Refusal::new("BadRequest", error.to_string()))?;
    match request {
        Request::Spawn {
            session,
            config,
            record,
        } => {
            // The id becomes a file's name.
            if Token16::parse(&session).is_none() {
                return Err(Refusal::new(
                    "BadRequest",
                    "session: 32 lower-case hexadecimal digits are wanted",
                ));
            }
            if *draining {
                return Err(Refusal::new(
                    "ShuttingDown",
                    "the spawner is ending and starts no more workers",
                ));
            }
            if workers.living.contains_key(&session) {
                return Err(Refusal::new(
                    "AlreadyExists",
                    format!("session {session} has a worker"),
                ));
            }
            match workers.spawn(&session, config, record) {
                Ok(pid) => Ok(json!({"pid": pid})),
                Err(error) => Err(Refusal::new(
                    "SpawnFailed",
                    format!("the worker did not start: {error}"),
                )),
            }
        }
        Request::Kill { session } if workers.kill(&session) => Ok(json!({})),
        Request::Kill { session } => Err(Refusal::new(
            "NotFound",
            format!("session {session} has no worker"),
        )),
        Request::List => Ok(json!({"workers": workers.list(), "draining": draining})),
        Request::Shutdown { kill_workers } => {
            *draining = true;
            if kill_workers {
                workers.kill_all();
            }
            Ok(json!({"workers": workers.living.len()}))
        }
    }
}
