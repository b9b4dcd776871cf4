//! Two ends over real sockets: in the clear and over TLS.

use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::{Acknowledge, Launch, MemcpyHtoD};
use aquifer_protocol::{
    Call, Connection, FrameReader, FrameWriter, Incoming, Message, Push, SessionKey, decode,
};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn unix_pair() -> (Connection, Connection) {
    let (client, worker) = UnixStream::pair().expect("a socket pair");
    (
        Connection::plain(client.into()),
        Connection::plain(worker.into()),
    )
}

fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (worker, _) = listener.accept().expect("a peer");
    (client.into(), worker.into())
}

fn tls_pair() -> (Connection, Connection) {
    let (client, worker) = tcp_pair();
    let key = SessionKey::generate().expect("a key");
    let spki = key.spki().to_vec();
    let server = std::thread::spawn(move || Connection::tls_server(worker, &key, PATIENCE));
    let client = Connection::tls_client(client, &spki, PATIENCE).expect("the client's handshake");
    (
        client,
        server
            .join()
            .expect("no panic")
            .expect("the worker's handshake"),
    )
}

fn launch(function: u32) -> Launch {
    Launch {
        context: 1,
        stream: 2,
        function,
        flags: 0,
        grid: [3, 4, 5],
        block: [6, 7, 8],
        dynamic_shared: 9,
    }
}

fn carries_frames_both_ways((client, worker): (Connection, Connection)) {
    // The worker speaks first, so that nothing comes along with the end of the handshake.
    let mut writer = FrameWriter::new(7);
    writer.acknowledge(5);
    writer.push(&Acknowledge {}, &[]);
    writer.flush(&worker).expect("written");
    let mut reader = FrameReader::new();
    reader.fill(&client, Duration::ZERO).expect("received");
    let Ok(Some(Incoming::Frame { header, body })) = reader.next_frame() else {
        panic!("a frame")
    };
    assert_eq!(
        (header.acknowledged, header.session, header.sequence),
        (5, 7, 1)
    );
    assert_eq!(
        Push::decode(header.call, body),
        Ok(Push::Acknowledge(Acknowledge {}))
    );

    // Many launches around one bulk copy whose tail is larger than any buffer on the way.
    let data: Vec<u8> = (0..900_001u32).map(|index| (index * 7) as u8).collect();
    let sent = data.clone();
    let sender = std::thread::spawn(move || {
        let mut writer = FrameWriter::new(7);
        for function in 0..5_000 {
            writer.push(&launch(function), b"parameters");
        }
        writer
            .send_bulk(
                &client,
                &MemcpyHtoD {
                    address: 11,
                    context: 1,
                    stream: 0,
                },
                &sent,
            )
            .expect("sent");
        writer.push(&launch(5_000), b"");
        writer.flush(&client).expect("flushed");
        client
    });
    let mut reader = FrameReader::new();
    let mut functions = 0;
    let mut received = Vec::new();
    while functions <= 5_000 {
        let mut tail = 0;
        match reader.next_frame().expect("well formed") {
            None => assert!(
                reader
                    .fill(&worker, Duration::from_micros(50))
                    .expect("received")
                    > 0
            ),
            Some(Incoming::Frame { header, body }) => {
                let Ok(Call::Launch(got, parameters)) = Call::decode(header.call, body) else {
                    panic!("a launch")
                };
                assert_eq!(got, launch(functions));
                assert_eq!(
                    parameters,
                    if functions < 5_000 {
                        &b"parameters"[..]
                    } else {
                        b""
                    }
                );
                functions += 1;
            }
            Some(Incoming::Bulk {
                body, tail_bytes, ..
            }) => {
                let (copy, _) = decode::<MemcpyHtoD>(body).expect("a copy");
                assert_eq!((copy.address, functions), (11, 5_000));
                tail = tail_bytes;
            }
        }
        received.resize(received.len() + tail, 0);
        let start = received.len() - tail;
        for part in received[start..].chunks_mut(100_000) {
            reader.read_tail(&worker, part).expect("the tail");
        }
    }
    assert!(received == data);
    sender.join().expect("no panic");
}

#[test]
fn unix_carries_frames_and_bulk_data() {
    carries_frames_both_ways(unix_pair());
}

#[test]
fn tls_carries_frames_and_bulk_data() {
    carries_frames_both_ways(tls_pair());
}

/// Bulk frames in a row, some with a launch behind: whatever of a frame came along with the tail before it is not lost.
fn carries_bulk_frames_in_a_row((client, worker): (Connection, Connection)) {
    const LENGTHS: [usize; 8] = [1, 300_000, 7, 8, 2_000, 999, 1_024, 262_144];
    let copy = |address| MemcpyHtoD {
        address,
        context: 1,
        stream: 0,
    };
    let bytes = |length: usize| {
        (0..length)
            .map(|at| (at * 13 + length) as u8)
            .collect::<Vec<_>>()
    };
    let sender = std::thread::spawn(move || {
        let mut writer = FrameWriter::new(7);
        for (at, length) in LENGTHS.into_iter().enumerate() {
            let sent = writer.send_bulk(&client, &copy(at as u64), &bytes(length));
            sent.expect("sent");
            for _ in 0..at % 3 {
                writer.push(&launch(at as u32), b"p");
            }
        }
        writer.push(&launch(u32::MAX), b"");
        writer.flush(&client).expect("flushed");
        client
    });
    let mut reader = FrameReader::new();
    let (mut seen, mut launches) = (Vec::new(), Vec::new());
    while launches.last() != Some(&u32::MAX) {
        let tail_bytes = match reader.next_frame().expect("well formed") {
            None => {
                let got = reader.fill(&worker, Duration::ZERO).expect("received");
                assert!(got > 0, "the sender left");
                continue;
            }
            Some(Incoming::Frame { body, .. }) => {
                launches.push(decode::<Launch>(body).expect("a launch").0.function);
                continue;
            }
            Some(Incoming::Bulk { tail_bytes, .. }) => tail_bytes,
        };
        let mut tail = vec![0; tail_bytes];
        reader.read_tail(&worker, &mut tail).expect("the tail");
        assert!(tail == bytes(tail_bytes), "{tail_bytes} bytes");
        seen.push(tail_bytes);
    }
    assert_eq!(seen, LENGTHS);
    assert_eq!(launches, [1, 2, 2, 4, 5, 5, 7, u32::MAX]);
    sender.join().expect("no panic");
}

#[test]
fn unix_carries_bulk_frames_in_a_row() {
    carries_bulk_frames_in_a_row(unix_pair());
}

#[test]
fn tls_carries_bulk_frames_in_a_row() {
    carries_bulk_frames_in_a_row(tls_pair());
}

#[test]
fn a_key_that_is_not_pinned_is_refused_by_the_client() {
    let (client, worker) = tcp_pair();
    let server = std::thread::spawn(move || {
        let key = SessionKey::generate().expect("a key");
        Connection::tls_server(worker, &key, PATIENCE)
            .err()
            .map(|error| error.kind())
    });
    let other = SessionKey::generate().expect("a key");
    let refused = Connection::tls_client(client, other.spki(), PATIENCE)
        .err()
        .expect("refused");
    assert!(
        refused.to_string().contains("not the session's"),
        "{refused}"
    );
    assert!(server.join().expect("no panic").is_some());
}

#[test]
fn a_peer_that_never_speaks_times_out() {
    let (client, _worker) = tcp_pair();
    let key = SessionKey::generate().expect("a key");
    let error = Connection::tls_client(client, key.spki(), Duration::from_millis(50))
        .err()
        .expect("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_tail_that_nobody_reads_is_skipped() {
    let mut reader = FrameReader::new();
    let copy = frame(
        &MemcpyHtoD {
            address: 1,
            context: 2,
            stream: 3,
        },
        Envelope::default(),
        &[9; 1001],
    );
    reader.feed(&copy);
    reader.feed(&frame(&launch(4), Envelope::default(), b"x"));
    assert!(matches!(
        reader.next_frame(),
        Ok(Some(Incoming::Bulk {
            tail_bytes: 1001,
            ..
        }))
    ));
    let Ok(Some(Incoming::Frame { header, .. })) = reader.next_frame() else {
        panic!("the launch")
    };
    assert_eq!(header.call, Launch::SHAPE.call);
}
