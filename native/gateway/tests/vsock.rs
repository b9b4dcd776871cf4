//! The way that a guest comes through a vhost-user-vsock process: a unix socket of the host, honoured like TCP.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::connector::{Connector, first_line, start_program, ticket_file};
use support::holder::{Control, Holder, attach_through, dial, echoes, works};
use support::plug::Plug;
use support::{Host, eventually};

fn guest(host: &Host) -> UnixStream {
    UnixStream::connect(host.vsock_address()).unwrap()
}

fn hello(host: &Host, holder: &Holder) -> Control {
    holder.greet(
        host,
        holder.connect_through(host, guest(host).into(), false),
    )
}

fn last_admitted(host: &Host) -> Value {
    host.backend
        .state
        .lock()
        .unwrap()
        .admitted
        .last()
        .unwrap()
        .clone()
}

#[test]
fn a_session_of_a_guest_is_tls_from_end_to_end_and_known_as_vsock() {
    let host = Host::start();
    let holder = Holder::new();
    let opened = hello(&host, &holder).open(&holder.ticket(&host));
    assert_eq!(opened["transport"], "tls");
    assert!(opened["keySpki"].is_string());
    assert_eq!(last_admitted(&host)["peer"]["kind"], "vsock");
    let mut data = attach_through(guest(&host).into(), &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
}

#[test]
fn a_data_connection_over_another_channel_is_told_to_the_backend() {
    let host = Host::start();
    let holder = Holder::new();
    let opened = hello(&host, &holder).open(&holder.ticket(&host));
    let mut data = dial(&host, true, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    let moved = eventually("the backend hears of it", || {
        host.backend.state.lock().unwrap().moved.last().cloned()
    });
    assert_eq!(moved["session"], opened["session"]);
    assert_eq!(moved["peer"]["kind"], "tcp");
}

#[test]
fn a_guest_needs_a_ticket_of_its_own() {
    let host = Host::start();
    let (owner, thief) = (Holder::new(), Holder::new());
    let mut control = thief.connect_through(&host, guest(&host).into(), false);
    let reply = control
        .ask(json!({"op": "hello", "v": 1, "ticket": owner.ticket(&host)}))
        .unwrap();
    assert_eq!(reply["reason"], "TicketStolen");
}

#[test]
fn guests_that_say_nothing_anything_or_never_read_keep_nobody_out() {
    let host = Host::start();
    let holder = Holder::new();
    let mut control = hello(&host, &holder);
    let opened = control.open(&holder.ticket(&host));
    let mut data = attach_through(guest(&host).into(), &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    let mut strangers = Vec::new();
    for round in 0..10_000_usize {
        let mut stranger = guest(&host);
        let noise: &[u8] = [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"AQFDATA1",
            b"\x16\x03\x01",
            b"",
        ][round % 4];
        let _ = stranger.write_all(noise);
        strangers.push(stranger);
        if strangers.len() > 1_000 {
            strangers.drain(..500);
        }
        if round % 2_500 == 1_000 {
            let other = Holder::new();
            let opened = hello(&host, &other).open(&other.ticket(&host));
            assert_eq!(opened["ok"], true, "after {round} strangers: {opened}");
        }
    }
    // One byte a second, never a whole preamble: gone in five seconds, whatever it goes on to send.
    let mut slow = guest(&host);
    slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let began = Instant::now();
    let mut byte = [0];
    while slow.write_all(b"A").is_ok() && !matches!(slow.read(&mut byte), Ok(0)) {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert!(echoes(&mut data));
}

/// A connector whose ticket names a guest's way first and TCP behind it.
fn two_ways(host: &Host, first: &Path) -> (Connector, PathBuf) {
    let connector = Connector::start(host);
    let socket = host.directory.join("s.sock");
    let ticket = host.backend.ticket(Some(&connector.key()), |_| ());
    let mut file = ticket_file(host, &format!("unix:{}", first.display()), &ticket);
    let over_tcp = json!({"node": support::NODE, "address": host.tcp_address()});
    file["endpoints"].as_array_mut().unwrap().push(over_tcp);
    let offer =
        json!({"id": 2, "op": "offer", "socketPath": socket, "mode": "0600", "ticketFile": file});
    assert_eq!(connector.ask(offer)["ok"], true);
    (connector, socket)
}

fn channel_of_a_new_session(host: &Host, socket: &Path) -> Value {
    let mut program = start_program(socket, "once");
    assert!(first_line(&mut program).starts_with("ok "));
    program.wait().unwrap();
    last_admitted(host)["peer"]["kind"].clone()
}

#[test]
fn a_connector_takes_vsock_tcp_when_it_is_pulled_out_and_vsock_when_it_is_back() {
    let host = Host::start();
    let path = host.directory.join("guest.sock");
    let plug = Plug::plug_in(&path, &host.vsock_address());
    let (_connector, socket) = two_ways(&host, &path);
    assert_eq!(channel_of_a_new_session(&host, &socket), "vsock");
    plug.pull_out();
    assert_eq!(channel_of_a_new_session(&host, &socket), "tcp");
    let _plug = Plug::plug_in(&path, &host.vsock_address());
    eventually("vsock is found again", || {
        (channel_of_a_new_session(&host, &socket) == "vsock").then_some(())
    });
}

#[test]
fn a_data_connection_that_vsock_refuses_is_made_over_tcp_within_the_open() {
    let host = Host::start();
    let path = host.directory.join("guest.sock");
    let plug = Plug::plug_in(&path, &host.vsock_address());
    let (_connector, socket) = two_ways(&host, &path);
    assert_eq!(channel_of_a_new_session(&host, &socket), "vsock");
    // The control connection stands, and no other one can be made there.
    plug.refuse();
    let mut program = start_program(&socket, "stay");
    assert!(first_line(&mut program).starts_with("ok "));
    assert_eq!(last_admitted(&host)["peer"]["kind"], "vsock");
    eventually("its data came over TCP", || moved_to(&host, "tcp"));
    program.kill().unwrap();
    program.wait().unwrap();
}

/// Whether the last session that changed its channel went to this one.
fn moved_to(host: &Host, channel: &str) -> Option<()> {
    let state = host.backend.state.lock().unwrap();
    (state.moved.last()?["peer"]["kind"] == channel).then_some(())
}

#[test]
fn living_sessions_follow_the_control_connection_back_to_vsock() {
    let host = Host::start();
    host.backend.state.lock().unwrap().fake = Some("patient".into());
    let path = host.directory.join("guest.sock");
    let plug = Plug::plug_in(&path, &host.vsock_address());
    let (_connector, socket) = two_ways(&host, &path);
    let mut programs = [(); 2].map(|()| start_program(&socket, "return"));
    assert!(
        programs
            .iter_mut()
            .all(|one| first_line(one).starts_with("ok "))
    );
    plug.pull_out();
    assert!(programs.iter_mut().all(|one| first_line(one) == "again\n"));
    assert!(moved_to(&host, "tcp").is_some());
    let _plug = Plug::plug_in(&path, &host.vsock_address());
    assert!(programs.iter_mut().all(|one| first_line(one) == "again\n"));
    let over_vsock = || {
        let state = host.backend.state.lock().unwrap();
        let back = state
            .moved
            .iter()
            .filter(|it| it["peer"]["kind"] == "vsock");
        (back.count() == programs.len()).then_some(())
    };
    eventually("both are back", over_vsock);
    for mut program in programs {
        program.kill().unwrap();
        program.wait().unwrap();
    }
}

#[test]
fn something_else_that_listens_at_vsock_costs_no_session() {
    let host = Host::start();
    let path = host.directory.join("guest.sock");
    let (_connector, socket) = two_ways(&host, &path);
    assert_eq!(channel_of_a_new_session(&host, &socket), "tcp");
    // The spawner's socket accepts and answers, but is no gateway.
    let _plug = Plug::plug_in(&path, &host.run.join("spawner.sock"));
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert_eq!(channel_of_a_new_session(&host, &socket), "tcp");
    }
}
