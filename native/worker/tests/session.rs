//! A session from its first frame to its last, against a real worker on a software GPU that runs no kernels.

mod rig;

use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use aquifer_protocol::{Connection, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR};
use rig::*;
use serde_json::json;
use std::time::Duration;

const PTX: &str = "
.version 7.0
.target sm_80
.address_size 64
.visible .entry nothing(.param .u64 a, .param .u32 b)
{
    ret;
}
";

fn session(host: &Host, claim: &str, memory: u64) -> (Worker, Client) {
    let mut worker = Worker::start(&host.config(claim, memory, 100));
    let mut client = worker.client();
    client.context();
    (worker, client)
}

#[test]
fn facts_are_those_of_the_vgpu() {
    let host = Host::new("2x256Mi", true);
    let (worker, client) = session(&host, "facts", 64 * MIB);
    let facts = client.facts.unwrap();
    assert_eq!(
        (facts.memory_bytes, facts.compute_percent, facts.granularity),
        (64 * MIB, 100, 2 * MIB)
    );
    assert_eq!(facts.range_bytes, 128 * MIB);
    assert!(facts.base > 0 && facts.base % (2 * MIB) == 0);
    assert!(facts.name.starts_with(b"Aquifer"));
    drop(client);
    assert_eq!(worker.end().0, Some(0));
}

#[test]
fn a_module_is_loaded_launched_and_waited_for() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "launch", 64 * MIB);
    client.module(0, PTX);
    let (facts, layout) = client.good(
        &ModuleGetFunction {
            module: 0,
            function: 0,
        },
        b"nothing",
    );
    assert_eq!(facts.parameters, 2);
    assert_eq!(layout, [0u32, 8, 8, 4].map(u32::to_le_bytes).concat());
    let (result, ..) = client.call(
        &ModuleGetFunction {
            module: 0,
            function: 1,
        },
        b"missing",
    );
    assert_eq!(result, CUDA_ERROR_NOT_FOUND);
    client.post(
        &StreamCreate {
            context: 0,
            stream: 2,
            flags: 1,
            priority: 0,
        },
        &[],
    );
    for _ in 0..1000 {
        client.launch(0, 0, &[0; 12]);
        client.launch(0, 2, &[0; 16]);
    }
    client.good(
        &StreamSynchronize {
            context: 0,
            stream: 2,
        },
        &[],
    );
    client.good(&ContextSynchronize { context: 0 }, &[]);
    assert!(client.came::<Fault>().is_none());
    let (names, tail) = client.good(
        &ModuleFunctions {
            module: 0,
            first: 0,
        },
        &[],
    );
    assert_eq!((names.count, tail.as_slice()), (1, &b"nothing\0"[..]));
}

#[test]
fn failed_posts_are_told_once_each_and_the_session_goes_on() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "faults", 64 * MIB);
    client.module(0, PTX);
    client.good(
        &ModuleGetFunction {
            module: 0,
            function: 0,
        },
        b"nothing",
    );
    let base = client.facts.unwrap().base;
    let beyond = base + 64 * MIB;
    let expect = |client: &mut Client, sequence: u64, wanted: CUresult| {
        let (fault, text) = client.take::<Fault>();
        assert_eq!(
            (fault.sequence, fault.result, fault.sticky),
            (sequence, wanted, 0),
            "{}",
            String::from_utf8_lossy(&text)
        );
    };
    let sequence = client.launch(77, 0, &[0; 12]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_HANDLE);
    let sequence = client.launch(0, 77, &[0; 12]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_HANDLE);
    let sequence = client.launch(0, 0, &[0; 4]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let launch = Launch {
        context: 0,
        stream: 0,
        function: 0,
        flags: 0,
        grid: [0; 3],
        block: [u32::MAX; 3],
        dynamic_shared: 0,
    };
    let sequence = client.post(&launch, &[0; 12]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let set = MemSet {
        address: beyond,
        pitch: 0,
        width: 16,
        rows: 1,
        value: 1,
        element_bytes: 1,
        context: 0,
        stream: 0,
    };
    let sequence = client.post(&set, &[]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let sequence = client.post(
        &MemSet {
            address: u64::MAX - 3,
            width: u64::MAX,
            rows: u64::MAX,
            pitch: u64::MAX,
            ..set
        },
        &[],
    );
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let copy = MemcpyDtoD {
        destination: base,
        source: client.sequence,
        bytes: 64,
        context: 0,
        stream: 0,
    };
    let sequence = client.post(&copy, &[]);
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let sequence = client.post(
        &MemcpyHtoD {
            address: beyond,
            context: 0,
            stream: 0,
        },
        &[1; 1000],
    );
    expect(&mut client, sequence, CUDA_ERROR_INVALID_VALUE);
    let sequence = client.post(
        &StreamCreate {
            context: 5,
            stream: 2,
            flags: 0,
            priority: 0,
        },
        &[],
    );
    expect(&mut client, sequence, CUDA_ERROR_INVALID_CONTEXT);
    let sequence = client.post(
        &StreamCreate {
            context: 0,
            stream: u32::MAX,
            flags: 0,
            priority: 0,
        },
        &[],
    );
    expect(&mut client, sequence, CUDA_ERROR_OUT_OF_MEMORY);
    let (result, ..) = client.call(
        &MemcpyDtoH {
            source: beyond,
            bytes: 8,
            context: 0,
            stream: 0,
            destination: 1,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_INVALID_VALUE);
    client.good(&ContextSynchronize { context: 0 }, &[]);
}

#[test]
fn bytes_come_back_as_they_went() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "copies", 128 * MIB);
    let bytes = 5 * MIB + 123;
    let memory = client.memory(bytes).unwrap();
    assert!(
        client.read(memory, bytes).iter().all(|it| *it == 0),
        "memory is zeroed"
    );
    let pattern: Vec<u8> = (0..bytes).map(|it| (it * 31 % 251) as u8).collect();
    for (piece, part) in pattern.chunks(200_000).enumerate() {
        client.post(
            &MemcpyHtoD {
                address: memory + piece as u64 * 200_000,
                context: 0,
                stream: 0,
            },
            part,
        );
    }
    assert!(client.read(memory, bytes) == pattern);
    // A rectangle out of the middle, packed, and back to another place.
    let from = MemcpyDtoH2D {
        source: memory + 10,
        pitch: 1000,
        width: 300,
        rows: 50,
        context: 0,
        stream: 0,
        destination: 4,
    };
    client.good(&from, &[]);
    let packed = client.data(4, 15_000);
    let row = |at: usize| &pattern[10 + at * 1000..][..300];
    assert!((0..50).all(|at| &packed[at * 300..][..300] == row(at)));
    let target = memory + 3 * MIB;
    client.post(
        &MemcpyHtoD2D {
            address: target,
            pitch: 512,
            width: 300,
            rows: 50,
            context: 0,
            stream: 0,
        },
        &packed,
    );
    let back = client.read(target, 50 * 512);
    assert!((0..50).all(|at| &back[at * 512..][..300] == row(at)));
    client.post(
        &MemcpyDtoD {
            destination: target,
            source: memory,
            bytes: 4096,
            context: 0,
            stream: 0,
        },
        &[],
    );
    client.post(
        &MemSet {
            address: target + 8,
            pitch: 0,
            width: 4,
            rows: 1,
            value: 0xabcd,
            element_bytes: 2,
            context: 0,
            stream: 0,
        },
        &[],
    );
    let back = client.read(target, 32);
    assert_eq!(
        (&back[..8], &back[8..16], &back[16..]),
        (&pattern[..8], &[0xcd, 0xab].repeat(4)[..], &pattern[16..32])
    );
    let asynchronous = MemcpyDtoHAsync {
        source: memory,
        bytes: MIB,
        context: 0,
        stream: 0,
        destination: 7,
    };
    client.post(&asynchronous, &[]);
    client.good(
        &StreamSynchronize {
            context: 0,
            stream: 0,
        },
        &[],
    );
    let before = client.kept.len();
    assert!(
        client.data(7, MIB) == pattern[..MIB as usize] && client.kept.len() < before,
        "the data came before the reply"
    );
    assert!(client.came::<Fault>().is_none());
}

#[test]
fn the_limit_is_exact_and_trimming_gives_back() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "limit", 64 * MIB);
    let (info, _) = client.good(&MemInfo { vgpu: 0 }, &[]);
    let first = 64 * MIB - info.available_bytes;
    assert_eq!(info.limit_bytes, 64 * MIB);
    let (result, reply, _) = client.call(
        &MemReserve {
            bytes: info.available_bytes + 1,
            vgpu: 0,
        },
        &[],
    );
    assert_eq!(
        (result, reply.available_bytes),
        (CUDA_ERROR_OUT_OF_MEMORY, info.available_bytes)
    );
    client.memory(info.available_bytes).unwrap();
    assert_eq!(client.memory(1).unwrap_err(), CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(host.account("limit", 32), 64 * MIB);
    client.post(
        &MemTrim {
            offset: first,
            bytes: 10 * MIB,
            vgpu: 0,
        },
        &[],
    );
    let (info, _) = client.good(&MemInfo { vgpu: 0 }, &[]);
    assert_eq!(info.available_bytes, 10 * MIB);
    assert_eq!(host.account("limit", 32), 54 * MIB);
    let (result, ..) = client.call(
        &MemCreate {
            bytes: 12 * MIB,
            vgpu: 0,
            memory: 0,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_OUT_OF_MEMORY);
    client.good(
        &MemCreate {
            bytes: 10 * MIB,
            vgpu: 0,
            memory: 0,
        },
        &[],
    );
    assert_eq!(client.memory(1).unwrap_err(), CUDA_ERROR_OUT_OF_MEMORY);
    let base = client.facts.unwrap().base;
    let sequence = client.post(
        &MemSet {
            address: base + first,
            pitch: 0,
            width: 1,
            rows: 1,
            value: 0,
            element_bytes: 1,
            context: 0,
            stream: 0,
        },
        &[],
    );
    let (fault, _) = client.take::<Fault>();
    assert_eq!(
        (fault.sequence, fault.result),
        (sequence, CUDA_ERROR_INVALID_VALUE),
        "what was trimmed is no longer the session's"
    );
}

#[test]
fn the_program_maps_memory_itself() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "vmm", 64 * MIB);
    let (place, _) = client.good(
        &AddressReserve {
            address: 0,
            bytes: 8 * MIB,
            alignment: 0,
            vgpu: 0,
        },
        &[],
    );
    let address = place.address;
    client.good(
        &MemCreate {
            bytes: 4 * MIB,
            vgpu: 0,
            memory: 3,
        },
        &[],
    );
    client.good(
        &MemMap {
            address,
            bytes: 4 * MIB,
            offset: 0,
            memory: 3,
        },
        &[],
    );
    client.good(
        &MemSetAccess {
            address,
            bytes: 4 * MIB,
            vgpu: 0,
            flags: 3,
        },
        &[],
    );
    client.post(&MemRelease { memory: 3 }, &[]);
    client.post(
        &MemcpyHtoD {
            address: address + MIB,
            context: 0,
            stream: 0,
        },
        &[7; 4096],
    );
    assert_eq!(client.read(address + MIB, 4096), [7; 4096]);
    let granted = host.account("vmm", 32);
    let (result, ..) = client.call(
        &AddressFree {
            address,
            bytes: 8 * MIB,
        },
        &[],
    );
    assert_eq!(
        result, CUDA_ERROR_INVALID_VALUE,
        "addresses with a mapping stay"
    );
    client.good(
        &MemUnmap {
            address,
            bytes: 4 * MIB,
        },
        &[],
    );
    client.good(
        &AddressFree {
            address,
            bytes: 8 * MIB,
        },
        &[],
    );
    assert_eq!(granted - host.account("vmm", 32), 4 * MIB);
    let (result, ..) = client.call(
        &MemMap {
            address,
            bytes: 4 * MIB,
            offset: 0,
            memory: 3,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn a_refused_range_is_replaced_before_memory_is_granted_only() {
    let host = Host::new("1x256Mi", true);
    // An eighth of this is less than a granule: nothing is granted ahead.
    let mut worker = Worker::start(&host.config("range", 8 * MIB, 100));
    let mut client = worker.client();
    let base = client.facts.unwrap().base;
    let (other, _) = client.good(&RangeRefused { vgpu: 0, base }, &[]);
    assert_ne!(other.base, base);
    let (result, ..) = client.call(&RangeRefused { vgpu: 0, base }, &[]);
    assert_eq!(result, CUDA_ERROR_INVALID_VALUE);
    client.facts = client.facts.map(|it| DeviceFacts {
        base: other.base,
        ..it
    });
    client.context();
    let memory = client.memory(MIB).unwrap();
    assert!(client.read(memory, 64).iter().all(|it| *it == 0));
    let (result, ..) = client.call(
        &RangeRefused {
            vgpu: 0,
            base: other.base,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn events_order_and_measure() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "events", 64 * MIB);
    for event in [0, 1] {
        client.post(
            &EventCreate {
                context: 0,
                event,
                flags: 0,
            },
            &[],
        );
        client.post(
            &EventRecord {
                context: 0,
                event,
                stream: 0,
                flags: 0,
            },
            &[],
        );
    }
    client.good(&EventSynchronize { event: 1 }, &[]);
    client.good(&EventQuery { event: 0 }, &[]);
    let (elapsed, _) = client.good(&EventElapsed { start: 0, end: 1 }, &[]);
    assert!((0.0..5_000.0).contains(&elapsed.milliseconds));
    client.post(
        &StreamWaitEvent {
            context: 0,
            stream: 0,
            event: 1,
            flags: 0,
        },
        &[],
    );
    client.post(&EventDestroy { event: 1 }, &[]);
    let (result, ..) = client.call(&EventSynchronize { event: 1 }, &[]);
    assert_eq!(result, CUDA_ERROR_INVALID_HANDLE);
    assert!(client.came::<Fault>().is_none());
}

#[test]
fn a_second_context_lives_and_goes_with_all_it_holds() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "contexts", 64 * MIB);
    client.post(
        &ContextCreate {
            context: 1,
            vgpu: 0,
            flags: 0,
            primary: 0,
        },
        &[],
    );
    client.post(
        &StreamCreate {
            context: 1,
            stream: 2,
            flags: 0,
            priority: 0,
        },
        &[],
    );
    client.post(
        &SourceData {
            total: PTX.len() as u64,
            offset: 0,
            source: 1,
        },
        PTX.as_bytes(),
    );
    client.good(
        &ModuleLoad {
            context: 1,
            module: 1,
            source: 1,
            options: 0,
        },
        &[],
    );
    client.good(
        &ModuleGetFunction {
            module: 1,
            function: 1,
        },
        b"nothing",
    );
    let launch = Launch {
        context: 1,
        stream: 2,
        function: 1,
        flags: 0,
        grid: [1; 3],
        block: [1; 3],
        dynamic_shared: 0,
    };
    client.post(&launch, &[0; 12]);
    client.good(&ContextSynchronize { context: 1 }, &[]);
    client.post(&ContextDestroy { context: 1 }, &[]);
    let (result, ..) = client.call(
        &StreamSynchronize {
            context: 1,
            stream: 2,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_INVALID_CONTEXT);
    client.good(&ContextSynchronize { context: 0 }, &[]);
    assert!(client.came::<Fault>().is_none());
}

#[test]
fn libraries_have_kernels_and_functions() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "libraries", 64 * MIB);
    client.post(
        &SourceData {
            total: PTX.len() as u64,
            offset: 0,
            source: 0,
        },
        PTX.as_bytes(),
    );
    client.good(
        &LibraryLoad {
            library: 0,
            source: 0,
            options: 0,
            library_options: 0,
        },
        &[],
    );
    let (kernel, _) = client.good(
        &LibraryGetKernel {
            library: 0,
            function: 0,
            vgpu: 0,
        },
        b"nothing",
    );
    assert_eq!(kernel.parameters, 2);
    client.good(
        &KernelGetFunction {
            context: 0,
            kernel: 0,
            function: 1,
        },
        &[],
    );
    client.launch(0, 0, &[0; 12]);
    client.launch(1, 0, &[0; 12]);
    client.good(&ContextSynchronize { context: 0 }, &[]);
    assert!(client.came::<Fault>().is_none());
    client.post(&LibraryUnload { library: 0 }, &[]);
    let sequence = client.launch(1, 0, &[0; 12]);
    assert_eq!(client.take::<Fault>().0.sequence, sequence);
}

#[test]
fn a_module_that_does_not_parse_says_where() {
    let host = Host::new("1x256Mi", true);
    let (_worker, mut client) = session(&host, "parse", 64 * MIB);
    let text = "this is no PTX";
    client.post(
        &SourceData {
            total: text.len() as u64,
            offset: 0,
            source: 0,
        },
        text.as_bytes(),
    );
    let (result, reply, logs) = client.call(
        &ModuleLoad {
            context: 0,
            module: 0,
            source: 0,
            options: 0,
        },
        &[],
    );
    assert!(
        matches!(result, CUDA_ERROR_INVALID_PTX | CUDA_ERROR_INVALID_IMAGE),
        "{result}"
    );
    assert_eq!(reply.error_bytes as usize, logs.len());
    let (result, ..) = client.call(
        &ModuleLoad {
            context: 0,
            module: 0,
            source: 0,
            options: 0,
        },
        &[],
    );
    assert_eq!(result, CUDA_ERROR_INVALID_IMAGE, "the image is forgotten");
    client.module(0, PTX);
}

#[test]
fn over_tls_all_is_the_same() {
    let host = Host::new("1x256Mi", true);
    let mut config = host.config("tls", 64 * MIB, 100);
    config["transport"] = json!("tls");
    let mut worker = Worker::start(&config);
    let key = worker.description["keySpki"].as_str().unwrap();
    let spki = unbase64(key);
    let descriptor = worker.attach();
    let connection = Connection::tls_client(descriptor, &spki, Duration::from_secs(5)).unwrap();
    let mut client = Client::greet(connection, SECRET);
    client.context();
    let memory = client.memory(3 * MIB).unwrap();
    let pattern: Vec<u8> = (0..2 * MIB).map(|it| (it % 253) as u8).collect();
    for (piece, part) in pattern.chunks(128 << 10).enumerate() {
        client.post(
            &MemcpyHtoD {
                address: memory + piece as u64 * (128 << 10),
                context: 0,
                stream: 0,
            },
            part,
        );
    }
    assert!(client.read(memory, 2 * MIB) == pattern);
    client.post(&Goodbye {}, &[]);
    assert_eq!(worker.end().0, Some(0));
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |it: u8| match it {
        b'A'..=b'Z' => it - b'A',
        b'a'..=b'z' => it - b'a' + 26,
        b'0'..=b'9' => it - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits = text.trim_end_matches('=').bytes().map(digit);
    let (mut word, mut have, mut bytes) = (0u32, 0, Vec::new());
    for it in bits {
        word = word << 6 | u32::from(it);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((word >> have) as u8);
        }
    }
    bytes
}

#[test]
fn versions_and_secrets_are_compared() {
    let host = Host::new("1x256Mi", true);
    let attach = Attach {
        secret: SECRET,
        fingerprint: PROTOCOL_FINGERPRINT,
        major: PROTOCOL_MAJOR,
        pid: 1,
    };
    let mut wrong_secret = SECRET;
    wrong_secret[31] ^= 1;
    let cases = [
        (
            Attach {
                secret: wrong_secret,
                ..attach
            },
            CUDA_ERROR_NOT_PERMITTED,
            "secret",
        ),
        (
            Attach { major: 2, ..attach },
            CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
            "ProtocolMismatch",
        ),
        (
            Attach {
                fingerprint: 0,
                ..attach
            },
            CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
            "ProtocolMismatch",
        ),
    ];
    for (wrong, result, word) in cases {
        let mut worker = Worker::start(&host.config("versions", 64 * MIB, 100));
        let mut client = Client::over(Connection::plain(worker.attach()));
        client.post(&wrong, &[]);
        let (closed, reason) = client.take::<Closed>();
        assert_eq!(closed.result, result);
        assert!(String::from_utf8_lossy(&reason).contains(word));
        assert!(client.is_closed());
        let (code, said) = worker.end();
        assert_eq!(code, Some(1));
        assert!(said.contains(word) && !said.contains("5a5a"), "{said}");
    }
}
