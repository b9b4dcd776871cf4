//! The connector with a real gateway, spawner and programs of their own processes.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::connector::{Connector, first_line, quiet, start_program, ticket_file, unix};
use support::{Host, eventually, program};

/// A connector that offers one bound ticket at a socket.
fn offered(host: &Host) -> (Connector, PathBuf) {
    let connector = Connector::start(host);
    let socket = host.directory.join("s.sock");
    let ticket = host.backend.ticket(Some(&connector.key()), |_| ());
    let file = ticket_file(host, &unix(host), &ticket);
    let offer =
        json!({"id": 2, "op": "offer", "socketPath": socket, "mode": "0600", "ticketFile": file});
    let reply = connector.ask(offer);
    assert_eq!(reply["ok"], true, "{reply}");
    (connector, socket)
}

#[test]
fn a_program_gets_its_session_and_leaves_none_behind() {
    let host = Host::start();
    let (connector, socket) = offered(&host);
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("ok "));
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
    assert!(connector.sessions().is_empty());
    let admitted = host.backend.state.lock().unwrap().admitted[0].clone();
    assert_eq!(admitted["program"]["name"], "fake-program");
}

#[test]
fn a_program_that_waits_while_its_socket_is_offered_again_is_served() {
    let host = Host::start();
    let (connector, socket) = offered(&host);
    let ticket = host.backend.ticket(Some(&connector.key()), |_| ());
    let file = ticket_file(&host, &unix(&host), &ticket);
    let mut control = UnixStream::connect(&connector.control).unwrap();
    writeln!(control, "{}", json!({"id": 1, "op": "hello", "v": 1})).unwrap();
    BufReader::new(&control)
        .read_line(&mut String::new())
        .unwrap();
    let signal = |signal| {
        // SAFETY: a signal to the child that this test started.
        unsafe { libc::kill(connector.process.id() as i32, signal) };
    };
    // The connector finds both at once when it goes on: first the offer, then the program in the socket's queue.
    signal(libc::SIGSTOP);
    let offer =
        json!({"id": 2, "op": "offer", "socketPath": socket, "mode": "0600", "ticketFile": file});
    writeln!(control, "{offer}").unwrap();
    let mut waiting = UnixStream::connect(&socket).unwrap();
    let request = json!({"v": 0, "purpose": "session"}).to_string();
    waiting
        .write_all(&(request.len() as u32).to_le_bytes())
        .unwrap();
    waiting.write_all(request.as_bytes()).unwrap();
    signal(libc::SIGCONT);
    let mut reply = Vec::new();
    waiting.read_to_end(&mut reply).unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("ProtocolMismatch"));
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("ok "));
}

#[test]
fn the_program_counts_not_what_its_children_hold() {
    let host = Host::start();
    let (_connector, socket) = offered(&host);
    let mut parent = start_program(&socket, "fork");
    assert!(first_line(&mut parent).starts_with("ok "));
    parent.wait().unwrap();
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_killed_program_leaves_none_behind() {
    let host = Host::start();
    let (_connector, socket) = offered(&host);
    let mut program = start_program(&socket, "stay");
    assert!(first_line(&mut program).starts_with("ok "));
    assert_eq!(host.workers().len(), 1);
    program.kill().unwrap();
    program.wait().unwrap();
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_restarted_connector_holds_the_programs_it_finds() {
    let host = Host::start();
    let (mut connector, socket) = offered(&host);
    let (mut stays, mut leaves) = (
        start_program(&socket, "stay"),
        start_program(&socket, "stay"),
    );
    assert!(
        first_line(&mut stays).starts_with("ok ") && first_line(&mut leaves).starts_with("ok ")
    );
    eventually("both are written down", || {
        (connector.sessions().len() == 2).then_some(())
    });
    connector.restart();
    assert_eq!(connector.sessions().len(), 2);
    leaves.kill().unwrap();
    leaves.wait().unwrap();
    eventually("one worker is left", || {
        (host.workers().len() == 1).then_some(())
    });
    assert!(stays.try_wait().unwrap().is_none());
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    assert!(output.status.success(), "the offer is there again");
    stays.kill().unwrap();
    stays.wait().unwrap();
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_restarted_gateway_is_found_again_by_itself() {
    let mut host = Host::start();
    let (connector, socket) = offered(&host);
    let mut stays = start_program(&socket, "stay");
    assert!(first_line(&mut stays).starts_with("ok "));
    host.restart_gateway();
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        stays.try_wait().unwrap().is_none(),
        "the session was not cut"
    );
    assert_eq!(connector.sessions().len(), 1);
    stays.kill().unwrap();
    stays.wait().unwrap();
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
}

#[test]
fn a_revoked_claim_is_the_end_of_its_programs_sessions() {
    let host = Host::start();
    let (connector, socket) = offered(&host);
    let mut program = start_program(&socket, "stay");
    assert!(first_line(&mut program).starts_with("ok "));
    host.backend
        .tell(json!({"event": "revoke", "claimUid": "claim-1"}));
    assert!(
        program.wait().unwrap().success(),
        "it has seen the end of its data connection"
    );
    eventually("the connector has forgotten it", || {
        connector.sessions().is_empty().then_some(())
    });
}

#[test]
fn refusals_reach_the_program_with_their_reason() {
    let host = Host::start();
    let (connector, socket) = offered(&host);
    host.backend.state.lock().unwrap().refuse =
        Some(("ClaimNotBound".into(), "it is Pending".into()));
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "refused ClaimNotBound it is Pending"
    );
    assert_eq!(
        connector.ask(json!({"id": 2, "op": "withdraw", "socketPath": socket}))["found"],
        true
    );
    assert!(!socket.exists());
    let foreign = ticket_file(
        &host,
        &unix(&host),
        &host.backend.ticket(Some(&"A".repeat(43)), |_| ()),
    );
    let offer = json!({"id": 2, "op": "offer", "socketPath": socket, "mode": "0600", "ticketFile": foreign});
    assert_eq!(connector.ask(offer)["reason"], "TicketStolen");
}

/// Two hosts: the connector knows the gateway by TCP only, and its ticket is not bound to a key yet.
#[test]
fn alone_with_a_ticket_it_exchanges_it_and_runs_the_program() {
    let host = Host::start();
    let state = host.directory.join("elsewhere");
    let file = host.directory.join("ticket");
    let unbound = host.backend.ticket(None, |_| ());
    std::fs::write(
        &file,
        ticket_file(&host, &host.tcp_address(), &unbound).to_string(),
    )
    .unwrap();
    let run = |word: &str| {
        let mut command = quiet(Command::new(program("aquifer-connector")));
        command
            .arg("--ticket")
            .arg(&file)
            .arg("--state-dir")
            .arg(&state)
            .arg("--program")
            .arg("--");
        command
            .arg(program("examples/fake-program"))
            .arg(word)
            .output()
            .unwrap()
    };
    let output = run("once");
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("ok "),
        "{output:?}"
    );
    assert!(output.status.success());
    eventually("no worker is left", || {
        host.workers().is_empty().then_some(())
    });
    let key = Command::new(program("aquifer-connector"))
        .arg("key")
        .arg("--state-dir")
        .arg(&state)
        .output()
        .unwrap();
    let renewed: Value =
        serde_json::from_slice(&std::fs::read(state.join("tickets/claim-1.json")).unwrap())
            .unwrap();
    let bound = aquifer_control::ticket::peek(renewed["ticket"].as_str().unwrap()).unwrap();
    assert_eq!(
        bound.holder.unwrap().to_string(),
        String::from_utf8_lossy(&key.stdout).trim()
    );
    host.backend.state.lock().unwrap().refuse = Some(("ClaimNotBound".into(), "gone".into()));
    assert_eq!(
        run("once").status.code(),
        Some(100),
        "the program's own exit code"
    );
}

#[test]
fn another_ca_is_not_believed() {
    let (host, other) = (Host::start(), Host::start());
    let connector = Connector::start(&host);
    let socket = host.directory.join("s.sock");
    let ticket = host.backend.ticket(Some(&connector.key()), |_| ());
    let mut file = ticket_file(&host, &unix(&host), &ticket);
    file["ca"] = other.backend.ca_pem.clone().into();
    let offer =
        json!({"id": 2, "op": "offer", "socketPath": socket, "mode": "0600", "ticketFile": file});
    assert_eq!(connector.ask(offer)["ok"], true);
    let output = start_program(&socket, "once").wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.starts_with("refused GatewayUnavailable") && text.contains("certificate"),
        "{text}"
    );
}
