//! Peers that do what no client does: a worker ends its own session with a logged reason, and nothing else.

mod rig;

use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::*;
use aquifer_protocol::{Connection, Header, Message};
use rig::*;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn attached(host: &Host) -> (Worker, Client) {
    let mut worker = Worker::start(&host.config("hostile", 64 * MIB, 100));
    let mut client = worker.client();
    client.context();
    client.good(&ContextSynchronize { context: 0 }, &[]);
    (worker, client)
}

/// Bytes that depend on a seed only.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn ends_with_a_reason(worker: Worker, client: &mut Client) -> String {
    assert!(client.is_closed());
    let (code, said) = worker.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("\"reason\"") && !said.contains("panicked"),
        "{said}"
    );
    said
}

#[test]
fn noise_instead_of_an_attach_ends_the_session() {
    let host = Host::new("1x64Mi", true);
    for seed in 0..4 {
        let mut worker = Worker::start(&host.config("noise", 16 * MIB, 100));
        let mut client = Client::over(Connection::plain(worker.attach()));
        client.write(&noise(seed, 72));
        ends_with_a_reason(worker, &mut client);
    }
}

#[test]
fn noise_after_the_attach_ends_the_session() {
    let host = Host::new("1x64Mi", true);
    for seed in 0..8 {
        let (worker, mut client) = attached(&host);
        client.write(&noise(seed, 4096));
        ends_with_a_reason(worker, &mut client);
    }
}

#[test]
fn frames_that_lie_end_the_session() {
    let host = Host::new("1x64Mi", true);
    let good = |sequence| {
        let envelope = Envelope {
            sequence,
            session: 0,
            acknowledged: 0,
        };
        frame(&MemInfo { vgpu: 0 }, envelope, &[])
    };
    let changed = |at: usize, value: u32| {
        let mut bytes = good(1000);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let mut launch = frame(
        &Launch {
            context: 0,
            stream: 0,
            function: 0,
            flags: 0,
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
        },
        Envelope {
            sequence: 1000,
            session: 0,
            acknowledged: 0,
        },
        &[1; 8],
    );
    let tail_length = Launch::SHAPE.tail_length_at.unwrap() + 24;
    launch[tail_length..tail_length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let cases = [
        ("length 0", changed(0, 0)),
        ("length 7", changed(0, 7)),
        ("length 16", changed(0, 16)),
        ("huge length", changed(0, u32::MAX - 7)),
        ("too short for its call", changed(0, 24)),
        ("unknown call", changed(4, 0x7777)),
        ("a push of the worker's", changed(4, 0x8001)),
        ("bulk push of the worker's", changed(4, 0x8008)),
        (
            "a reply",
            changed(4, u32::from(MemInfo::SHAPE.call) | 1 << 16),
        ),
        ("a sequence again", good(1)),
        (
            "a second attach",
            frame(
                &Attach {
                    secret: SECRET,
                    fingerprint: 0,
                    major: 0,
                    pid: 0,
                },
                Envelope {
                    sequence: 1000,
                    session: 0,
                    acknowledged: 0,
                },
                &[],
            ),
        ),
        ("a tail beyond the frame", launch),
        (
            "rows that are not there",
            frame(
                &MemcpyHtoD2D {
                    address: 0,
                    pitch: 8,
                    width: u64::MAX,
                    rows: 3,
                    context: 0,
                    stream: 0,
                },
                Envelope {
                    sequence: 1000,
                    session: 0,
                    acknowledged: 0,
                },
                &[1; 8],
            ),
        ),
    ];
    for (name, bytes) in cases {
        let (worker, mut client) = attached(&host);
        client.write(&bytes);
        let said = ends_with_a_reason(worker, &mut client);
        assert!(said.contains("fault"), "{name}: {said}");
    }
}

#[test]
fn well_formed_nonsense_is_refused_and_the_session_goes_on() {
    let host = Host::new("1x64Mi", true);
    let (_worker, mut client) = attached(&host);
    let numbers = [0, 1, 2, 65_535, 65_536, u32::MAX];
    let addresses = [
        0,
        1,
        client.facts.unwrap().base,
        client.facts.unwrap().base + 1,
        1 << 47,
        u64::MAX,
        u64::MAX - 4095,
    ];
    for a in numbers {
        for b in numbers {
            client.post(&ContextDestroy { context: a.max(1) }, &[]);
            client.post(
                &StreamDestroy {
                    context: a,
                    stream: b,
                },
                &[],
            );
            client.post(
                &StreamWaitEvent {
                    context: a,
                    stream: b,
                    event: a,
                    flags: b,
                },
                &[],
            );
            client.post(
                &EventRecord {
                    context: a,
                    event: b,
                    stream: b,
                    flags: a,
                },
                &[],
            );
            client.post(&ModuleUnload { module: a }, &[]);
            client.post(&LibraryUnload { library: b }, &[]);
            client.post(
                &FunctionSetAttribute {
                    context: a,
                    function: b,
                    attribute: a,
                    value: -1,
                },
                &[],
            );
            client.post(&MemRelease { memory: a }, &[]);
            client.call(
                &OccupancyBlocks {
                    dynamic_shared: u64::MAX,
                    context: a,
                    function: b,
                    block_size: a,
                    flags: b,
                },
                &[],
            );
            client.call(
                &ContextSetLimit {
                    context: a,
                    limit: b,
                    value: u64::MAX,
                },
                &[],
            );
            client.call(
                &ModuleGetFunction {
                    module: a,
                    function: b,
                },
                b"x\0y",
            );
            client.call(
                &ModuleLoad {
                    context: a,
                    module: b,
                    source: a,
                    options: u32::MAX,
                },
                &[0; 24],
            );
            client.call(
                &KernelGetFunction {
                    context: a,
                    kernel: b,
                    function: a,
                },
                &[],
            );
        }
    }
    for a in addresses {
        for b in addresses {
            client.post(
                &MemcpyDtoD {
                    destination: a,
                    source: b,
                    bytes: b,
                    context: 0,
                    stream: 0,
                },
                &[],
            );
            client.post(
                &MemcpyHtoD {
                    address: a,
                    context: 0,
                    stream: 0,
                },
                &[1; 64],
            );
            client.post(
                &MemFree {
                    address: a,
                    vgpu: 0,
                },
                &[],
            );
            client.post(
                &MemAlloc {
                    address: a,
                    bytes: b,
                    vgpu: 0,
                    flags: 0,
                },
                &[],
            );
            client.post(
                &MemTrim {
                    offset: a,
                    bytes: b,
                    vgpu: 0,
                },
                &[],
            );
            client.post(
                &MemSet {
                    address: a,
                    pitch: b,
                    width: a,
                    rows: b,
                    value: 0,
                    element_bytes: 4,
                    context: 0,
                    stream: 0,
                },
                &[],
            );
            client.call(
                &MemcpyDtoH2D {
                    source: a,
                    pitch: b,
                    width: b,
                    rows: a,
                    context: 0,
                    stream: 0,
                    destination: 0,
                },
                &[],
            );
            client.call(&MemReserve { bytes: a, vgpu: 0 }, &[]);
            client.call(
                &AddressFree {
                    address: a,
                    bytes: b,
                },
                &[],
            );
            client.call(
                &MemMap {
                    address: a,
                    bytes: b,
                    offset: a,
                    memory: 0,
                },
                &[],
            );
            client.call(
                &MemUnmap {
                    address: a,
                    bytes: b,
                },
                &[],
            );
            client.call(
                &MemSetAccess {
                    address: a,
                    bytes: b,
                    vgpu: 0,
                    flags: 3,
                },
                &[],
            );
            client.call(&RangeRefused { vgpu: 0, base: a }, &[]);
        }
    }
    client.good(&ContextSynchronize { context: 0 }, &[]);
}

#[test]
fn a_peer_that_never_reads_holds_its_own_worker_only() {
    let host = Host::new("1x64Mi", true);
    let (worker, mut client) = attached(&host);
    let mut bytes = Vec::new();
    for _ in 0..2_000 {
        client.sequence += 1;
        let envelope = Envelope {
            sequence: client.sequence,
            session: 0,
            acknowledged: 0,
        };
        bytes.extend(frame(&MemInfo { vgpu: 0 }, envelope, &[]));
    }
    let start = Instant::now();
    let mut sent = 0usize;
    // The same frames again are out of order, so the sequence of each copy is set anew.
    while start.elapsed() < Duration::from_secs(2) {
        match client
            .connection
            .send_now(&[std::io::IoSlice::new(&bytes[sent % bytes.len()..])])
        {
            Ok(count) => {
                sent += count;
                if sent.is_multiple_of(bytes.len()) {
                    for at in (0..bytes.len()).step_by(frame_length()) {
                        client.sequence += 1;
                        bytes[at + 8..at + 16].copy_from_slice(&client.sequence.to_le_bytes());
                    }
                }
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.child.id())).unwrap();
    let resident = status
        .lines()
        .find_map(|it| it.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB resident");
    drop(client);
    worker.end();
}

fn frame_length() -> usize {
    24 + MemInfo::SHAPE.fixed
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_frame_ends_its_session() {
    let host = Host::new("1x64Mi", true);
    let (worker, mut client) = attached(&host);
    let header = Header {
        length: 4096,
        call: MemcpyHtoD::SHAPE.call,
        flags: 0,
        sequence: 1000,
        session: 0,
        acknowledged: 0,
    };
    let mut bytes = vec![0; 60];
    header.write(&mut bytes);
    client.write(&bytes);
    drop(client);
    worker.end();
    assert_eq!(
        host.account("hostile", 256),
        0,
        "its row in the account is free"
    );
}

#[test]
fn the_control_socket_refuses_what_it_does_not_know() {
    let host = Host::new("1x64Mi", true);
    let config = host.config("control", 16 * MIB, 100);
    let mut worker = Worker::start(&config);
    let ask = |line: &[u8]| {
        let mut stream =
            BufReader::new(UnixStream::connect(config["controlSocket"].as_str().unwrap()).unwrap());
        stream.get_mut().write_all(line).unwrap();
        let mut answer = String::new();
        stream.read_line(&mut answer).unwrap();
        answer
    };
    assert!(ask(b"nonsense\n").contains("BadRequest"));
    assert!(ask(b"[1]\n").contains("BadRequest"));
    assert!(ask(b"{\"id\": 1, \"op\": \"attach\"}\n").contains("NoDescriptor"));
    assert!(ask(b"{\"id\": 1, \"op\": \"dance\"}\n").contains("UnknownOperation"));
    let mut long = vec![b'x'; 70_000];
    long.push(b'\n');
    let mut stream = UnixStream::connect(config["controlSocket"].as_str().unwrap()).unwrap();
    let _ = stream.write_all(&long);
    let mode = std::fs::metadata(config["controlSocket"].as_str().unwrap()).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    assert_eq!(
        worker.ask(&json!({"id": 4, "op": "describe"}), None)["ready"],
        true
    );
    let mut client = worker.client();
    client.context();
    client.good(&ContextSynchronize { context: 0 }, &[]);
    let (spare, _other) = UnixStream::pair().unwrap();
    let refused = worker.ask(
        &json!({"id": 5, "op": "attach"}),
        Some(std::os::fd::AsRawFd::as_raw_fd(&spare)),
    );
    assert_eq!(refused["reason"], "AlreadyAttached");
}

#[test]
fn wrong_configurations_are_refused_by_field() {
    let host = Host::new("1x64Mi", true);
    let mut config = host.config("wrong", 16 * MIB, 100);
    config["vgpus"][0]["gpu"] = json!("GPU-00000000-0000-0000-0000-000000000000");
    let worker = Worker::start(&config);
    assert_eq!(worker.description["ready"], false);
    assert!(
        worker.description["error"]
            .as_str()
            .unwrap()
            .contains("GPU-00000000"),
        "{}",
        worker.description
    );
    config["driver"] = json!("/nonexistent/libcuda.so.1");
    config["controlSocket"] = json!(host.directory.join("x.sock"));
    let worker = Worker::start(&config);
    assert!(
        worker.description["error"]
            .as_str()
            .unwrap()
            .contains("nonexistent"),
        "{}",
        worker.description
    );
}
