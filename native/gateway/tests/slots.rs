//! The connector of a node of a cluster: slots, and programs that are told apart by the cgroups they are in.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::connector::{Connector, first_line};
use support::{Host, eventually, program};

const POD: &str = "8ae0c9d4-96cf-4c11-9b2a-35c2b0f5a9d7";
const OTHER: &str = "00000000-96cf-4c11-9b2a-35c2b0f5a9d7";

/// A node whose connector sees the processes that [`Node::start_program`] starts in the cgroups that it says.
struct Node {
    // In this order: the connector ends before its host's directory goes.
    connector: Connector,
    host: Host,
}

impl Node {
    fn start() -> Self {
        let host = Host::start();
        let below = |name: &str| host.directory.join(name);
        for directory in ["proc", "slots/slot-1", "slots/slot-2"] {
            std::fs::create_dir_all(below(directory)).unwrap();
        }
        let flags = [
            ("--slots-dir", below("slots")),
            ("--agent", host.run.join("backend.sock")),
            ("--proc", below("proc")),
        ];
        let flags = flags.map(|(flag, path)| [flag.into(), path.into_os_string()]);
        let connector = Connector::start_with(&host, flags.concat());
        Self { connector, host }
    }

    fn prepare(&self, slot: &str, pod: &str) {
        let mut state = self.host.backend.state.lock().unwrap();
        state.slots.insert(slot.into(), pod.into());
        drop(state);
        let reply = self
            .connector
            .ask(json!({"id": 2, "op": "prepareSlot", "slot": slot}));
        assert_eq!(reply["ok"], true, "{reply}");
    }

    fn socket(&self, slot: &str) -> PathBuf {
        self.host
            .directory
            .join("slots")
            .join(slot)
            .join("session.sock")
    }

    fn start_program(&self, slot: &str, cgroup: &str, argument: &str) -> Child {
        let script =
            r#"mkdir -p "$PROC/$$" && printf '0::%s\n' "$CGROUP" > "$PROC/$$/cgroup" && exec "$@""#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(program("examples/fake-program"))
            .arg(argument)
            .env("PROC", self.host.directory.join("proc"))
            .env("CGROUP", cgroup)
            .env("AQUIFER_SOCKET", self.socket(slot))
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    /// What a program says that ends at once.
    fn run(&self, slot: &str, cgroup: &str) -> String {
        let output = self.start_program(slot, cgroup, "once").wait_with_output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    fn wanted(&self) -> Vec<Value> {
        self.host.backend.state.lock().unwrap().wanted.clone()
    }
}

/// The cgroup of the `number`th container of a pod.
fn container(pod: &str, number: u8) -> String {
    let slice = pod.replace('-', "_");
    format!("/kubepods.slice/kubepods-pod{slice}.slice/cri-containerd-{number:064x}.scope")
}

#[test]
fn the_container_of_a_slot_gets_sessions_on_one_ticket() {
    let node = Node::start();
    node.prepare("slot-1", POD);
    let mode = std::fs::metadata(node.socket("slot-1"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o666);
    for _ in 0..2 {
        let said = node.run("slot-1", &container(POD, 1));
        assert!(said.starts_with("ok "), "{said}");
    }
    let wanted = node.wanted();
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert_eq!(
        (&wanted[0]["slot"], &wanted[0]["podUid"]),
        (&json!("slot-1"), &json!(POD))
    );
}

#[test]
fn whoever_does_not_hold_the_slot_is_refused() {
    let node = Node::start();
    node.prepare("slot-1", POD);
    // Not in a pod: nobody is asked.
    for cgroup in ["/", "/user.slice/session-1.scope", "/kubepods/pod/x"] {
        assert!(
            node.run("slot-1", cgroup)
                .starts_with("refused SlotNotHeld")
        );
    }
    assert!(node.wanted().is_empty());
    // Another pod before the holder has come: the operator's answer decides.
    assert!(
        node.run("slot-1", &container(OTHER, 1))
            .starts_with("refused PodNotFound")
    );
    assert!(node.run("slot-1", &container(POD, 1)).starts_with("ok "));
    // Another pod, and another container of the same pod, after it: they are not asked about.
    for stranger in [container(OTHER, 1), container(POD, 2)] {
        assert!(
            node.run("slot-1", &stranger)
                .starts_with("refused SlotNotHeld")
        );
    }
    assert_eq!(node.wanted().len(), 2);
    assert!(node.run("slot-1", &container(POD, 1)).starts_with("ok "));
}

#[test]
fn a_slot_prepared_anew_is_another_containers_and_cuts_nobody() {
    let node = Node::start();
    node.prepare("slot-1", POD);
    let mut computes = node.start_program("slot-1", &container(POD, 1), "stay");
    assert!(first_line(&mut computes).starts_with("ok "));
    node.prepare("slot-1", OTHER);
    assert!(node.run("slot-1", &container(OTHER, 1)).starts_with("ok "));
    // The old container lives on for a while, as one of a pod does that was deleted by force, and sees the new socket.
    assert!(
        node.run("slot-1", &container(POD, 1))
            .starts_with("refused SlotNotHeld")
    );
    assert!(computes.try_wait().unwrap().is_none());
    computes.kill().unwrap();
    computes.wait().unwrap();
    eventually("its session is over", || {
        node.host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_restarted_connector_knows_whose_slots_are() {
    let mut node = Node::start();
    node.prepare("slot-1", POD);
    node.prepare("slot-2", OTHER);
    let mut computes = node.start_program("slot-1", &container(POD, 1), "stay");
    assert!(first_line(&mut computes).starts_with("ok "));
    eventually("it is written down", || {
        (node.connector.sessions().len() == 1).then_some(())
    });
    node.connector.restart();
    assert_eq!(node.connector.sessions().len(), 1);
    assert!(
        node.run("slot-1", &container(POD, 2))
            .starts_with("refused SlotNotHeld")
    );
    assert!(node.run("slot-1", &container(POD, 1)).starts_with("ok "));
    assert_eq!(node.wanted().len(), 1, "the ticket was kept");
    assert!(node.run("slot-2", &container(OTHER, 7)).starts_with("ok "));
    computes.kill().unwrap();
    computes.wait().unwrap();
    eventually("its session is over", || {
        node.host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_ticket_that_the_gateway_refuses_is_asked_for_anew() {
    let node = Node::start();
    node.prepare("slot-1", POD);
    let refuse = |why: Option<(&str, &str)>| {
        let why = why.map(|(reason, message)| (reason.into(), message.into()));
        node.host.backend.state.lock().unwrap().refuse = why;
    };
    refuse(Some(("GPUNotHere", "the claim has moved")));
    assert!(
        node.run("slot-1", &container(POD, 1))
            .starts_with("refused GPUNotHere")
    );
    refuse(None);
    assert!(node.run("slot-1", &container(POD, 1)).starts_with("ok "));
    assert_eq!(node.wanted().len(), 2);
}

#[test]
fn programs_wait_for_an_agent_that_is_away() {
    let node = Node::start();
    node.prepare("slot-1", POD);
    node.host.backend.stop();
    let waits = node.start_program("slot-1", &container(POD, 1), "once");
    node.host.backend.listen();
    let output = waits.wait_with_output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("ok "),
        "{output:?}"
    );
}

#[test]
fn only_slots_that_are_there_are_prepared() {
    let node = Node::start();
    let long = "s".repeat(65);
    for slot in ["", "..", "../slot-1", "slot-1/", ".", "a b", &long] {
        let reply = node
            .connector
            .ask(json!({"id": 2, "op": "prepareSlot", "slot": slot}));
        assert_eq!(reply["reason"], "BadRequest", "{slot}");
    }
    let absent = node
        .connector
        .ask(json!({"id": 2, "op": "prepareSlot", "slot": "slot-3"}));
    assert_eq!(absent["reason"], "SocketFailed");
    assert!(!node.host.directory.join("slots/slot-3").exists());
}
