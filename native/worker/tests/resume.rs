//! Sessions whose connections are lost: the client library and a real worker, with a relay between them that cuts.

#[path = "../../client/tests/stage/driver.rs"]
#[allow(dead_code)]
mod driver;
mod rig;
mod cuts {
    pub mod program;
    pub mod relay;
}

use aquifer_protocol::generated::*;
use aquifer_protocol::{Connection, Header, Message, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR};
use cuts::relay::{Direction, Fate, Plan, Relay, unbase64};
use rig::{Client, Host, MIB, Worker};
use serde_json::json;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Set for the process that is the program: a session is of one process.
const CASE: &str = "AQUIFER_RESUME_PROGRAM";

/// The program of these tests: it is started by the others.
#[test]
fn program() {
    match std::env::var(CASE).as_deref() {
        Ok("computes") => cuts::program::run(),
        Ok("until lost") => cuts::program::run_until_lost(),
        _ => {}
    }
}

fn start(host: &Host, grace_seconds: u64, plan: Box<Plan>) -> Arc<Relay> {
    let mut config = host.config("resume", 64 * MIB, 100);
    config["transport"] = json!("tls");
    config["graceSeconds"] = json!(grace_seconds);
    let socket = host.directory.join("session.sock");
    Relay::start(&socket, Worker::start(&config), plan)
}

fn run(relay: &Relay, case: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["program", "--exact", "--nocapture"])
        .env(CASE, case)
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
    succeeds(what, run(&relay, "computes"));
    let frames = [0, 1].map(|at| relay.frames[at].load(SeqCst));
    (frames, relay.resumed.load(SeqCst))
}

fn succeeds(what: &str, program: Child) {
    let output = program.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
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
    let (mut runs, mut cut) = (0, 0);
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
                let (_, resumed) = runs_well(&host, &what, Box::new(plan));
                runs += 1;
                cut += usize::from(resumed > 0);
            }
        }
    }
    // At its end a program waits for nothing any more.
    assert!(cut + 20 > runs, "{cut} of {runs} runs were cut");
}

#[test]
fn a_session_cut_again_and_again_computes_the_same() {
    let host = Host::new("1x256Mi", false);
    let plan = |_, number: usize, _: &_| match number % 18 {
        5 => Fate::Lost,
        11 => Fate::Half,
        17 => Fate::Last,
        _ => Fate::Pass,
    };
    let (_, resumed) = runs_well(&host, "again and again", Box::new(plan));
    assert!(resumed > 8, "{resumed}");
}

#[test]
fn no_acknowledgement_needs_to_arrive() {
    let host = Host::new("1x256Mi", false);
    let plan = |_, _: usize, header: &Header| match header.call {
        call if call == Acknowledge::SHAPE.call => Fate::Lost,
        _ => Fate::Pass,
    };
    let (_, resumed) = runs_well(&host, "no acknowledgement", Box::new(plan));
    assert!(resumed > 0);
}

#[test]
fn each_end_notices_that_the_other_is_silent() {
    let host = Host::new("1x256Mi", false);
    for direction in [Direction::ToWorker, Direction::ToClient] {
        let plan = move |way: Direction, number: usize, _: &_| {
            if way == direction && number == 20 {
                Fate::Silence
            } else {
                Fate::Pass
            }
        };
        let what = format!("silence {direction:?}");
        let (_, resumed) = runs_well(&host, &what, Box::new(plan));
        assert!(resumed > 0, "{what}");
    }
}

#[test]
fn a_session_that_nobody_resumes_ends_at_both_ends() {
    let host = Host::new("1x256Mi", false);
    let plan = |way, number: usize, _: &_| {
        if way == Direction::ToWorker && number == 20 {
            Fate::LostForGood
        } else {
            Fate::Pass
        }
    };
    let relay = start(&host, 1, Box::new(plan));
    let program = run(&relay, "until lost");
    succeeds("until lost", program);
    let deadline = Instant::now() + rig::PATIENCE;
    while relay.is_worker_alive() {
        assert!(Instant::now() < deadline, "the worker does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nobody_is_waited_for_beyond_the_grace_period() {
    let host = Host::new("1x256Mi", false);
    let plan = |way, number: usize, _: &_| {
        if way == Direction::ToWorker && number == 20 {
            Fate::Unanswered
        } else {
            Fate::Pass
        }
    };
    let relay = start(&host, 1, Box::new(plan));
    let began = Instant::now();
    succeeds("unanswered", run(&relay, "until lost"));
    // Who opens a session waits for 30 s.
    assert!(began.elapsed() < Duration::from_secs(25));
}

fn encrypted(worker: &mut Worker) -> Connection {
    let key = unbase64(worker.description["keySpki"].as_str().unwrap());
    Connection::tls_client(worker.attach(), &key, rig::PATIENCE).unwrap()
}

/// A session's first connection.
fn greeted(worker: &mut Worker) -> Client {
    Client::greet(encrypted(worker), rig::SECRET)
}

/// Another connection of a session that has shown `secret` and says that it has `received`.
fn come_back(worker: &mut Worker, secret: [u8; 32], received: u64) -> Client {
    let mut client = Client::over(encrypted(worker));
    let resume = Resume {
        secret,
        received,
        fingerprint: PROTOCOL_FINGERPRINT,
        major: PROTOCOL_MAJOR,
        reserved: 0,
    };
    client.post(&resume, &[]);
    client
}

#[test]
fn a_secret_that_is_forged_or_used_resumes_nothing_and_disturbs_nobody() {
    let host = Host::new("1x256Mi", true);
    let mut config = host.config("hostile", 64 * MIB, 100);
    config["transport"] = json!("tls");
    let mut worker = Worker::start(&config);
    let mut first = greeted(&mut worker);
    let secret = first.take::<Resumable>().0.secret;
    first.context();

    let closed = come_back(&mut worker, [1; 32], 0).take::<Closed>();
    assert_eq!(closed.0.result, 46);
    first.good(&ContextSynchronize { context: 0 }, &[]);

    let mut second = come_back(&mut worker, secret, 4);
    let resumed = second.take::<Resumed>().0;
    assert_eq!(resumed.processed, first.sequence);
    assert_ne!(resumed.secret, secret);
    second.sequence = resumed.processed;
    second.good(&ContextSynchronize { context: 0 }, &[]);
    let closed = come_back(&mut worker, secret, 4).take::<Closed>();
    assert_eq!(
        closed.0.result, 46,
        "a restored copy of the guest comes late"
    );
    second.good(&ContextSynchronize { context: 0 }, &[]);
    assert!(first.is_closed());

    let mut liar = come_back(&mut worker, resumed.secret, 1 << 40);
    assert!(liar.is_closed());
    assert_eq!(
        worker.end().0,
        Some(1),
        "nobody can have what was never sent"
    );
}

#[test]
fn a_copy_that_knows_less_than_came_is_refused_though_its_secret_was_never_used() {
    let host = Host::new("1x256Mi", true);
    let mut config = host.config("stale", 64 * MIB, 100);
    config["transport"] = json!("tls");
    let mut worker = Worker::start(&config);
    let mut client = greeted(&mut worker);
    let secret = client.take::<Resumable>().0.secret;
    client.context();
    client.acknowledged = 4;
    client.good(&ContextSynchronize { context: 0 }, &[]);

    let closed = come_back(&mut worker, secret, 3).take::<Closed>();
    assert_eq!(closed.0.result, 46);
    client.good(&ContextSynchronize { context: 0 }, &[]);
    let mut description = worker.ask(&json!({"id": 3, "op": "describe"}), None);
    assert_eq!(description["connection"], "1");
    assert!(
        worker
            .events
            .contains(&json!({"event": "resume", "outcome": "refused", "connection": "2"}))
    );

    let mut again = come_back(&mut worker, secret, 4);
    let resumed = again.take::<Resumed>().0;
    again.sequence = resumed.processed;
    again.good(&ContextSynchronize { context: 0 }, &[]);
    description = worker.ask(&json!({"id": 4, "op": "describe"}), None);
    assert_eq!(
        (&description["connection"], &description["connected"]),
        (&json!("3"), &json!(true))
    );
}

#[test]
fn a_client_that_does_not_come_back_in_time_is_told_of() {
    let host = Host::new("1x256Mi", true);
    let mut config = host.config("late", 64 * MIB, 100);
    config["transport"] = json!("tls");
    config["graceSeconds"] = json!(1);
    let mut worker = Worker::start(&config);
    drop(greeted(&mut worker));
    let mut told = String::new();
    worker.control.read_to_string(&mut told).unwrap();
    let expired = json!({"event": "resume", "outcome": "expired"});
    assert_eq!(told.lines().last(), Some(expired.to_string().as_str()));
    assert_eq!(worker.end().0, Some(0));
}

#[test]
fn a_client_that_never_reads_is_kept_no_more_for_than_the_bound() {
    const ASKED: u64 = 512;
    let host = Host::new("1x256Mi", true);
    let mut config = host.config("deaf", 64 * MIB, 100);
    config["transport"] = json!("tls");
    config["graceSeconds"] = json!(1);
    let mut worker = Worker::start(&config);
    let mut client = greeted(&mut worker);
    client.context();
    let source = client.memory(MIB).unwrap();
    for _ in 0..ASKED {
        let copy = MemcpyDtoHAsync {
            source,
            bytes: MIB,
            context: 0,
            stream: 0,
            destination: 7,
        };
        client.post(&copy, &[]);
    }
    // It ends by itself: its client is silent, or has asked for too much.
    let status = format!("/proc/{}/status", worker.child.id());
    let mut peak_kib = 0;
    let deadline = Instant::now() + rig::PATIENCE;
    while worker.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the worker does not end");
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let peak = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak_kib = peak.unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        (1..128 << 10).contains(&peak_kib),
        "{peak_kib} KiB at most, of {ASKED} MiB that were asked for"
    );
}
