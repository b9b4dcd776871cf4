//! Strangers on every socket: none of them may disturb a holder or stay for long.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;
use support::holder::{Holder, dial, echoes, works};
use support::{Host, eventually};

/// A fixed generator: the same bytes at every run, so that a failure can be repeated.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> [u8; 8] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()
    }

    fn some(&mut self) -> Vec<u8> {
        let count = usize::from(self.next()[0]) / 8 + 1;
        (0..count).flat_map(|_| self.next()).collect()
    }
}

/// A session that works before, during and after.
fn session(host: &Host) -> (support::holder::Control, std::fs::File, serde_json::Value) {
    let holder = Holder::new();
    let mut control = holder.hello(host, true);
    let opened = control.open(&holder.ticket(host));
    let mut data = dial(host, true, &opened["session"], &opened["attach"]);
    assert!(works(&mut data, &opened["secret"]));
    (control, data, opened)
}

fn closes_within(stream: &mut impl Read, limit: Duration) -> bool {
    let start = Instant::now();
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return start.elapsed() < limit,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(_) => return start.elapsed() < limit,
        }
    }
}

#[test]
fn random_bytes_on_every_socket_disturb_nobody() {
    let host = Host::start();
    let (mut control, mut data, opened) = session(&host);
    let mut bytes = Bytes(0x1234_5678_9abc_def1);
    for round in 0..200_u32 {
        let mut noise = bytes.some();
        // Every beginning that leads somewhere is tried as well as plain noise.
        match round % 4 {
            0 => noise.splice(0..0, [0x16, 0x03, 0x01]).for_each(drop),
            1 => noise.splice(0..0, *b"AQFDATA1").for_each(drop),
            2 => noise.push(b'\n'),
            _ => {}
        }
        let mut tcp = TcpStream::connect(host.tcp_address()).unwrap();
        let _ = tcp.write_all(&noise);
        for name in ["gateway.sock", "spawner.sock"] {
            let mut unix = UnixStream::connect(host.run.join(name)).unwrap();
            let _ = unix.write_all(&noise);
            let _ = unix.shutdown(Shutdown::Write);
        }
    }
    assert!(echoes(&mut data));
    assert_eq!(host.workers(), [opened["session"].as_str().unwrap()]);
    let reply = control.close(&opened["session"], &[&opened["attach"]]);
    assert_eq!(reply["found"], true);
}

#[test]
fn random_messages_of_a_holder_end_at_most_its_own_connection() {
    let host = Host::start();
    let (_control, mut data, _) = session(&host);
    let holder = Holder::new();
    for request in [
        json!({}),
        json!({"op": 7}),
        json!({"op": "open"}),
        json!({"op": "open", "ticket": "x".repeat(60_000)}),
        json!({"op": "open", "ticket": holder.ticket(&host), "program": {"name": "x".repeat(5_000)}}),
        json!({"op": "close", "session": "../../etc/passwd"}),
        json!({"op": "inspect", "ticket": null}),
        json!({"op": "hello", "v": 1, "ticket": "again"}),
    ] {
        let mut control = holder.hello(&host, true);
        let reply = control.ask(request.clone()).unwrap();
        assert!(
            reply["ok"] == false || reply["found"] == false,
            "{request} -> {reply}"
        );
    }
    let mut control = holder.hello(&host, true);
    assert!(
        control
            .ask(json!({"op": "open", "ticket": "x".repeat(70_000)}))
            .is_none(),
        "over the limit: closed"
    );
    assert!(echoes(&mut data));
}

#[test]
fn a_peer_that_sends_one_byte_a_second_is_gone_in_five() {
    let host = Host::start();
    let mut slow: Vec<TcpStream> = Vec::new();
    for first in [b"A", &[0x16]] {
        let mut stream = TcpStream::connect(host.tcp_address()).unwrap();
        stream.write_all(first).unwrap();
        slow.push(stream);
    }
    let mut writers: Vec<TcpStream> = slow
        .iter()
        .map(|stream| stream.try_clone().unwrap())
        .collect();
    std::thread::spawn(move || {
        for _ in 0..10 {
            std::thread::sleep(Duration::from_secs(1));
            writers
                .iter_mut()
                .for_each(|stream| drop(stream.write_all(b"Q")));
        }
    });
    let (_control, mut data, _) = session(&host);
    for stream in &mut slow {
        stream
            .set_read_timeout(Some(Duration::from_secs(8)))
            .unwrap();
        assert!(closes_within(stream, Duration::from_secs(7)));
    }
    assert!(echoes(&mut data));
}

#[test]
fn ten_thousand_strangers_leave_room_for_a_holder() {
    let host = Host::start();
    let address = host.tcp_address();
    let (_control, mut data, _) = session(&host);
    let mut strangers = Vec::new();
    let mut bytes = Bytes(99);
    for round in 0..10_000 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let _ = stream.write_all(&bytes.next());
        strangers.push(stream);
        // Held in part, so that the gateway has to let go of its side.
        if strangers.len() > 1_000 {
            strangers.drain(..500);
        }
        if round % 2_500 == 1_000 {
            let holder = Holder::new();
            let opened = holder.hello(&host, true).open(&holder.ticket(&host));
            assert_eq!(opened["ok"], true, "after {round} strangers: {opened}");
        }
    }
    assert!(echoes(&mut data));
}

#[test]
fn idle_strangers_on_a_line_socket_leave_room_for_who_asks() {
    let host = Host::start();
    let path = host.run.join("spawner.sock");
    let _idle: Vec<_> = (0..100)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let mut asking = UnixStream::connect(&path).unwrap();
    asking
        .write_all(b"{\"id\":1,\"op\":\"hello\",\"v\":1}\n")
        .unwrap();
    let mut reply = String::new();
    BufReader::new(asking).read_line(&mut reply).unwrap();
    assert!(reply.contains("\"ok\":true"), "{reply}");
    // The gateway's own connection is older than all of them, and stays.
    session(&host);
}

#[test]
fn two_thousand_idle_connections_are_held_at_the_bound_and_no_longer_than_five_seconds() {
    let host = Host::start();
    let mut idle: Vec<UnixStream> = (0..2_000)
        .map(|_| UnixStream::connect(host.unix_address()).unwrap())
        .collect();
    let held = || {
        std::fs::read_dir(format!("/proc/{}/fd", host.gateway.id()))
            .unwrap()
            .count()
    };
    eventually(
        "at most the 64 that are allowed, and what it needs itself",
        || (held() < 64 + 20).then_some(()),
    );
    let (_control, mut data, _) = session(&host);
    let newest = idle.last_mut().unwrap();
    newest
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    assert!(closes_within(newest, Duration::from_secs(7)));
    assert!(echoes(&mut data));
}

#[test]
fn a_holder_has_a_bounded_number_of_connections() {
    let host = Host::start();
    let holder = Holder::new();
    let connections: Vec<_> = (0..16).map(|_| holder.hello(&host, false)).collect();
    let mut one_more = holder.connect(&host, false);
    let hello = json!({"op": "hello", "v": 1, "ticket": holder.ticket(&host)});
    assert_eq!(one_more.ask(hello).unwrap()["reason"], "TooManyConnections");
    Holder::new().hello(&host, false);
    drop(connections);
}

#[test]
fn an_older_connector_is_told_both_versions() {
    let host = Host::start();
    let holder = Holder::new();
    let reply = holder
        .connect(&host, false)
        .ask(json!({"op": "hello", "v": 0, "ticket": holder.ticket(&host)}))
        .unwrap();
    assert_eq!(reply["reason"], "ProtocolMismatch");
    assert!(
        reply["message"]
            .as_str()
            .unwrap()
            .contains("version 0, this gateway 1"),
        "{reply}"
    );
}
