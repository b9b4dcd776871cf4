//! Any of the processes is killed: what computes goes on, and what is asked meanwhile is answered.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::holder::{Control, Holder, dial, echoes, works};
use support::{Host, eventually};

fn working_session(host: &Host, holder: &Holder) -> (Control, std::fs::File, Value) {
    let mut control = holder.hello(host, false);
    let opened = control.open(&holder.ticket(host));
    let mut data = dial(host, false, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    (control, data, opened["session"].clone())
}

/// A gateway that just started may not be connected to the backend yet.
fn wait_until_listed(host: &Host, id: &Value) {
    eventually("the backend is told of the session", || {
        let listed = host.backend.state.lock().unwrap().listed.clone();
        listed
            .iter()
            .any(|session| session["session"] == *id && session["claim"]["uid"] == "claim-1")
            .then_some(())
    });
}

#[test]
fn a_killed_gateway_cuts_nothing_and_the_next_one_knows_its_sessions() {
    let mut host = Host::start();
    let holder = Holder::new();
    let (_control, mut data, id) = working_session(&host, &holder);
    host.restart_gateway();
    assert!(echoes(&mut data));
    wait_until_listed(&host, &id);
    let mut control = holder.connect(&host, false);
    let hello = control
        .ask(json!({"op": "hello", "v": 1, "ticket": holder.ticket(&host)}))
        .unwrap();
    assert_eq!(hello["sessions"], json!([id]));
    drop(data);
    let ended = control.event().unwrap();
    assert_eq!(
        (&ended["session"], &ended["reason"]),
        (&id, &json!("ConnectionClosed"))
    );
}

#[test]
fn a_session_without_data_connection_does_not_survive_its_gateway() {
    let mut host = Host::start();
    let holder = Holder::new();
    assert_eq!(
        holder.hello(&host, false).open(&holder.ticket(&host))["ok"],
        true
    );
    host.restart_gateway();
    eventually("its nonce went with the gateway, so it ends", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn an_adopted_session_can_be_closed_and_revoked() {
    let mut host = Host::start();
    let holder = Holder::new();
    let (_first, _data, id) = working_session(&host, &holder);
    let (_second, _other, other_id) = working_session(&host, &holder);
    host.restart_gateway();
    wait_until_listed(&host, &other_id);
    let mut control = holder.hello(&host, false);
    assert_eq!(
        control.ask(json!({"op": "close", "session": id})).unwrap()["found"],
        true
    );
    assert_eq!(control.event().unwrap()["reason"], "ProgramExited");
    host.backend
        .tell(json!({"event": "revoke", "claimUid": "claim-1"}));
    assert_eq!(control.event().unwrap()["reason"], "ClaimRevoked");
    assert!(host.workers().is_empty());
}

#[test]
fn while_the_backend_is_away_opens_wait_five_seconds_and_sessions_go_on() {
    let host = Host::start();
    let holder = Holder::new();
    let (mut control, mut data, id) = working_session(&host, &holder);
    host.backend.stop();
    let start = Instant::now();
    let refused = control.open(&holder.ticket(&host));
    assert_eq!(refused["reason"], "BackendUnavailable", "{refused}");
    assert!(
        (4.5..8.0).contains(&start.elapsed().as_secs_f64()),
        "{:?}",
        start.elapsed()
    );
    assert!(echoes(&mut data));
    drop(data);
    assert_eq!(control.event().unwrap()["session"], id);
    host.backend.listen();
    eventually("the end is reported to the backend that is back", || {
        let ended = host.backend.state.lock().unwrap().ended.clone();
        ended.iter().any(|end| end["session"] == id).then_some(())
    });
    assert_eq!(control.open(&holder.ticket(&host))["ok"], true);
}

#[test]
fn an_open_waits_for_a_backend_that_comes_back_in_time() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = holder.hello(&host, false);
    host.backend.stop();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            host.backend.listen();
        });
        assert_eq!(control.open(&holder.ticket(&host))["ok"], true);
    });
}

#[test]
fn a_gateway_restarted_without_a_backend_still_shows_its_certificate() {
    let mut host = Host::start();
    let holder = Holder::new();
    host.backend.stop();
    host.restart_gateway();
    let mut control = holder.hello(&host, true);
    assert_eq!(
        control.open(&holder.ticket(&host))["reason"],
        "BackendUnavailable"
    );
}

#[test]
fn a_killed_spawner_takes_no_worker_with_it_and_the_next_one_can_end_them() {
    let mut host = Host::start();
    let holder = Holder::new();
    let (mut control, mut data, id) = working_session(&host, &holder);
    host.restart_spawner();
    assert!(echoes(&mut data));
    let listed = host.ask_spawner(json!({"id": 2, "op": "list"}));
    assert_eq!(
        (
            &listed["workers"][0]["session"],
            &listed["workers"][0]["adopted"]
        ),
        (&id, &json!(true))
    );
    assert_eq!(
        control.ask(json!({"op": "close", "session": id})).unwrap()["found"],
        true
    );
    assert_eq!(control.event().unwrap()["reason"], "ProgramExited");
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
    assert_eq!(control.open(&holder.ticket(&host))["ok"], true);
}

#[test]
fn a_spawner_asked_to_end_waits_for_its_workers() {
    let mut host = Host::start();
    let holder = Holder::new();
    let (mut control, data, _) = working_session(&host, &holder);
    // SAFETY: a signal to a child of this test that has not been waited for.
    unsafe { libc::kill(i32::try_from(host.spawner.id()).unwrap(), libc::SIGTERM) };
    eventually("it drains", || {
        (host.ask_spawner(json!({"id": 2, "op": "list"}))["draining"] == true).then_some(())
    });
    assert_eq!(
        control.open(&holder.ticket(&host))["reason"],
        "ShuttingDown"
    );
    assert!(host.spawner.try_wait().unwrap().is_none());
    drop(data);
    let ended = eventually("it ends with its last worker", || {
        host.spawner.try_wait().unwrap()
    });
    assert!(ended.success());
}

#[test]
fn shutdown_with_workers_ends_them_all() {
    let mut host = Host::start();
    host.backend.state.lock().unwrap().fake = Some("stubborn".into());
    let holder = Holder::new();
    let (mut control, _data, _) = working_session(&host, &holder);
    let reply = host.ask_spawner(json!({"id": 2, "op": "shutdown", "killWorkers": true}));
    assert_eq!(reply["workers"], 1);
    eventually("it ends", || host.spawner.try_wait().unwrap());
    assert_eq!(control.event().unwrap()["reason"], "WorkerExited");
    assert!(
        std::fs::read_dir(host.run.join("workers"))
            .unwrap()
            .next()
            .is_none(),
        "nothing is left behind"
    );
}

#[test]
fn a_second_process_on_the_same_run_directory_is_told_who_has_it() {
    let host = Host::start();
    for (name, arguments) in [
        ("gateway", &["--node", "x"][..]),
        ("spawner", &["--worker", "/bin/true"]),
    ] {
        let mut command = std::process::Command::new(support::program(name));
        let output = command
            .args(arguments)
            .arg("--run-dir")
            .arg(&host.run)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("already running as process"),
            "{output:?}"
        );
    }
}
