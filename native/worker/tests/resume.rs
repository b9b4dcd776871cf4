//! Sessions whose connections are lost: the client library and a real worker, with a relay between them that cuts.

#[path = "../../client/tests/stage/driver.rs"]
#[allow(dead_code)]
mod driver;
mod rig;
mod cuts {
    pub mod program;
    pub mod relay;
}

use cuts::relay::{Direction, Fate, Plan, Relay};
use rig::{Host, MIB, Worker};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Set for the process that is the program: a session is of one process.
const CASE: &str = "AQUIFER_RESUME_PROGRAM";

/// The program of these tests: it is started by the others.
#[test]
fn program() {
    if std::env::var_os(CASE).is_some() {
        cuts::program::run();
    }
}

fn start(host: &Host, grace_seconds: u64, plan: Box<Plan>) -> Arc<Relay> {
    let mut config = host.config("resume", 64 * MIB, 100);
    config["transport"] = json!("tls");
    config["graceSeconds"] = json!(grace_seconds);
    let socket = host.directory.join("session.sock");
    Relay::start(&socket, Worker::start(&config), plan)
}

fn run(relay: &Relay) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["program", "--exact", "--nocapture"])
        .env(CASE, "1")
        .env("AQUIFER_SOCKET", &relay.socket)
        .env("AQUIFER_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program with the plan; tells how many frames went each way, and how often the session was resumed.
fn runs_well(host: &Host, what: &str, plan: Box<Plan>) -> ([usize; 2], usize) {
    let relay = start(host, 30, plan);
    let output = run(&relay).wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let frames = [0, 1].map(|at| relay.frames[at].load(SeqCst));
    (frames, relay.resumed.load(SeqCst))
}

#[test]
fn an_uncut_session_resumes_nothing() {
    let host = Host::new("1x256Mi", false);
    let (frames, resumed) = runs_well(&host, "uncut", Box::new(|_, _, _| Fate::Pass));
    assert!(frames[0] > 40 && frames[1] > 20, "{frames:?}");
    assert_eq!(resumed, 0);
}

#[test]
fn a_session_cut_at_any_message_computes_the_same() {
    let host = Host::new("1x256Mi", false);
    let (frames, _) = runs_well(&host, "uncut", Box::new(|_, _, _| Fate::Pass));
    for direction in [Direction::ToWorker, Direction::ToClient] {
        // The first frames are the opening, before which there is nothing to resume.
        let first = if direction == Direction::ToWorker {
            1
        } else {
            4
        };
        for at in first..frames[direction as usize] {
            for fate in [Fate::Lost, Fate::Half, Fate::Last] {
                let plan = move |way: Direction, number: usize, _: &_| {
                    if way == direction && number == at {
                        fate
                    } else {
                        Fate::Pass
                    }
                };
                let what = format!("{fate:?} at frame {at} {direction:?}");
                runs_well(&host, &what, Box::new(plan));
            }
        }
    }
}
