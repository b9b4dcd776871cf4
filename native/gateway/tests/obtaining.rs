//! A guest without a ticket asks its host for the one that it is offered.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};
use support::connector::quiet;
use support::holder::{Control, Holder};
use support::{Host, eventually, program};

fn stranger(host: &Host, holder: &Holder) -> Control {
    let guest = UnixStream::connect(host.vsock_address()).unwrap();
    holder.connect_through(host, guest.into(), false)
}

#[test]
fn the_backend_is_told_who_asks_and_which_process_came_for_its_guest() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = stranger(&host, &holder);
    let reply = control.ask(json!({"op": "obtain", "v": 1})).unwrap();
    assert!(reply["ticketFile"]["ticket"].is_string(), "{reply}");
    let asked = host.backend.state.lock().unwrap().obtained[0].clone();
    assert_eq!(asked["holderKey"], holder.x());
    assert_eq!(asked["from"]["process"]["pid"], std::process::id());
    assert!(asked["from"]["process"]["startTime"].is_u64());
    let again = control.ask(json!({"op": "obtain", "v": 1}));
    assert!(again.is_none(), "one question a connection: {again:?}");
    // Whoever lost the answer has it again, and nobody else.
    let reply = stranger(&host, &holder)
        .ask(json!({"op": "obtain", "v": 1}))
        .unwrap();
    assert_eq!(reply["ok"], true);
    let thief = Holder::new();
    let reply = stranger(&host, &thief)
        .ask(json!({"op": "obtain", "v": 1}))
        .unwrap();
    assert_eq!(reply["reason"], "OfferTaken");
}

#[test]
fn nothing_is_offered_over_tcp_or_to_holders_or_in_another_version() {
    let host = Host::start();
    let holder = Holder::new();
    for over_tcp in [true, false] {
        let mut control = holder.connect(&host, over_tcp);
        let reply = control.ask(json!({"op": "obtain", "v": 1})).unwrap();
        assert_eq!(reply["reason"], "NotOffered");
    }
    let mut known = holder.hello(&host, true);
    let reply = known.ask(json!({"op": "obtain", "v": 1})).unwrap();
    assert_eq!(reply["reason"], "BadRequest");
    for (wrong, reason) in [
        (json!({"op": "obtain", "v": 2}), "ProtocolMismatch"),
        (json!({"op": "obtain"}), "BadRequest"),
        (json!({"op": "obtain", "v": "1"}), "BadRequest"),
    ] {
        let reply = stranger(&host, &holder).ask(wrong).unwrap();
        assert_eq!(reply["reason"], reason);
    }
    assert!(host.backend.state.lock().unwrap().obtained.is_empty());
}

/// The connector of a guest that asks at `address`, as far as it gets.
fn guest_connector(host: &Host, name: &str, address: &Path) -> (Child, PathBuf) {
    let root = host.directory.join(name);
    for file in [
        "bin/aquifer-connector",
        "libexec/aquifer/container-hook",
        "lib/aquifer/client/libcuda.so.1",
        "lib/aquifer/client/libnvidia-ml.so.1",
    ] {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    let mut command = quiet(Command::new(program("aquifer-connector")));
    command.args(["guest", "--ask", &format!("unix:{}", address.display())]);
    for (flag, directory) in [
        ("state-dir", "state"),
        ("run-dir", "run"),
        ("cdi-dir", "cdi"),
    ] {
        command.arg(format!("--{flag}")).arg(root.join(directory));
    }
    let child = command.arg("--prefix").arg(&root).spawn().unwrap();
    (child, root)
}

fn ready(root: &Path) -> Value {
    let record = root.join("run/connector.json");
    eventually("the connector is ready", || {
        serde_json::from_slice(&std::fs::read(&record).ok()?).ok()
    })
}

#[test]
fn a_connector_keeps_what_it_got_and_another_one_is_told_who_was_first() {
    let host = Host::start();
    let (mut first, root) = guest_connector(&host, "first", &host.vsock_address());
    ready(&root);
    let kept = root.join("state/ticket.json");
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    first.kill().unwrap();
    first.wait().unwrap();
    std::fs::remove_file(root.join("run/connector.json")).unwrap();
    // It needs nobody to answer at its next start.
    let (mut again, root) = guest_connector(&host, "first", Path::new("/nonexistent"));
    ready(&root);
    again.kill().unwrap();
    again.wait().unwrap();
    assert_eq!(host.backend.state.lock().unwrap().obtained.len(), 1);
    let (mut second, root) = guest_connector(&host, "second", &host.vsock_address());
    assert_eq!(second.wait().unwrap().code(), Some(1));
    assert!(!root.join("state/ticket.json").exists());
}
