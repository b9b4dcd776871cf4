//! A worker for tests: device memory is a vector, and one kind of kernel writes its second parameter to where its first points.

use aquifer_protocol::generated::*;
use aquifer_protocol::session_socket::{self, OpenReply, OpenRequest, Transport};
use aquifer_protocol::{
    Call, Connection, FrameReader, FrameWriter, Incoming, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR,
    SessionKey, decode,
};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const MEMORY_BYTES: u64 = 64 << 20;
const GRANULE: u64 = 2 << 20;
const INVALID: u32 = 1;
const OUT_OF_MEMORY: u32 = 2;

/// How the worker behaves, and what it saw.
#[derive(Default)]
pub struct Script {
    pub tls: bool,
    /// Added to the protocol's major version in Hello.
    pub newer: u32,
    /// Address ranges to offer first, which the client cannot have.
    pub taken_ranges: Mutex<Vec<u64>>,
    /// The sticky error that the launch of a kernel named `fail` causes.
    pub fault: u32,
    /// Ends the connection at the launch of a kernel named `die`.
    pub requests: AtomicUsize,
    pub posts: AtomicUsize,
    pub launches: AtomicUsize,
    pub allocations: AtomicUsize,
    pub not_supported: AtomicU64,
    pub contexts_destroyed: AtomicUsize,
    pub image_bytes: AtomicUsize,
    /// Set when the client's connection ended.
    pub ended: AtomicUsize,
}

/// Where this process has its sockets; a child of it has another.
fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("aq-client-{}", std::process::id()))
}

extern "C" fn remove_scratch() {
    let _ = std::fs::remove_dir_all(scratch());
}

/// Offers a session socket in a fresh place and points AQUIFER_SOCKET at it.
pub fn offer(script: Script) -> Arc<Script> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = scratch();
    std::fs::create_dir_all(&directory).expect("a directory");
    if number == 0 {
        // SAFETY: the function is there as long as the process.
        unsafe { libc::atexit(remove_scratch) };
    }
    let path = directory.join(format!("{number}.sock"));
    let listener = UnixListener::bind(&path).expect("a socket");
    // SAFETY: tests set the environment before any thread of theirs reads it.
    unsafe { std::env::set_var("AQUIFER_SOCKET", &path) };
    let script = Arc::new(script);
    let told = script.clone();
    std::thread::spawn(move || {
        for program in listener.incoming().flatten() {
            let script = told.clone();
            std::thread::spawn(move || answer(program, &script));
        }
    });
    script
}

fn answer(program: UnixStream, script: &Arc<Script>) {
    let Ok((request, _)) = session_socket::receive::<OpenRequest>(program.as_raw_fd()) else {
        return;
    };
    assert_eq!(request.v, 1);
    let secret = Some("5a".repeat(32));
    let mut reply = OpenReply {
        ok: true,
        session: Some("7".repeat(32)),
        secret,
        ..OpenReply::default()
    };
    if script.tls {
        let key = SessionKey::generate().expect("a key");
        reply.transport = Some(Transport::Tls);
        reply.key_spki = Some(base64(key.spki()));
        let (theirs, ours) = tcp_pair();
        session_socket::send(program.as_raw_fd(), &reply, Some(theirs.as_raw_fd())).expect("sent");
        drop(theirs);
        let connection =
            Connection::tls_server(ours, &key, Duration::from_secs(10)).expect("a handshake");
        Worker::new(connection, script.clone()).run();
    } else {
        reply.transport = Some(Transport::Unix);
        let (theirs, ours) = UnixStream::pair().expect("a pair");
        session_socket::send(program.as_raw_fd(), &reply, Some(theirs.as_raw_fd())).expect("sent");
        drop(theirs);
        Worker::new(Connection::plain(ours.into()), script.clone()).run();
    }
    script.ended.fetch_add(1, Ordering::SeqCst);
}

fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    (client.into(), listener.accept().expect("accepted").0.into())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0u32, |value, index| {
            value << 8 | u32::from(*group.get(index).unwrap_or(&0))
        });
        for index in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * index)) as usize & 63] as char;
            text.push(if index <= group.len() { digit } else { '=' });
        }
    }
    text
}

struct Worker {
    connection: Connection,
    reader: FrameReader,
    writer: FrameWriter,
    script: Arc<Script>,
    memory: Vec<u8>,
    base: u64,
    granted: u64,
    names: Vec<String>,
}

impl Worker {
    fn new(connection: Connection, script: Arc<Script>) -> Self {
        Self {
            connection,
            reader: FrameReader::new(),
            writer: FrameWriter::new(7),
            script,
            memory: vec![0; MEMORY_BYTES as usize],
            base: 0x7100_0000_0000,
            granted: 0,
            names: vec![String::new(); 64],
        }
    }

    fn run(mut self) {
        let hello = Hello {
            fingerprint: PROTOCOL_FINGERPRINT,
            major: PROTOCOL_MAJOR + self.script.newer,
            vgpus: 1,
        };
        self.writer.push(&hello, b"test");
        self.flush();
        while self.step().is_some() {}
    }

    fn flush(&mut self) {
        let _ = self.writer.flush(&self.connection);
    }

    /// One frame; none at the end.
    fn step(&mut self) -> Option<()> {
        let (header, body, tail) = loop {
            match self.reader.next_frame().expect("the client is sane") {
                Some(Incoming::Frame { header, body }) => break (header, body.to_vec(), None),
                Some(Incoming::Bulk {
                    header,
                    body,
                    tail_bytes,
                }) => break (header, body.to_vec(), Some(tail_bytes)),
                None => {
                    self.flush();
                    if self
                        .reader
                        .fill(&self.connection, Duration::from_micros(50))
                        .unwrap_or(0)
                        == 0
                    {
                        return None;
                    }
                }
            }
        };
        self.writer.acknowledge(header.sequence);
        let mut bulk = vec![0; tail.unwrap_or(0)];
        if tail.is_some() {
            self.reader.read_tail(&self.connection, &mut bulk).ok()?;
        }
        match Call::decode(header.call, &body).expect("the client is sane") {
            Call::MemcpyHtoD(..) => {
                let (copy, _) = decode::<MemcpyHtoD>(&body).expect("decoded");
                self.place(copy.address, bulk.len()).copy_from_slice(&bulk);
                self.script.posts.fetch_add(1, Ordering::SeqCst);
            }
            Call::MemcpyHtoD2D(copy, _) => {
                for (row, data) in bulk.chunks(copy.width as usize).enumerate() {
                    self.place(copy.address + row as u64 * copy.pitch, data.len())
                        .copy_from_slice(data);
                }
            }
            Call::SourceData(..) => {
                self.script
                    .image_bytes
                    .fetch_add(bulk.len(), Ordering::SeqCst);
            }
            call => return self.call(call, header.sequence),
        }
        Some(())
    }

    fn place(&mut self, address: u64, bytes: usize) -> &mut [u8] {
        let offset = (address - self.base) as usize;
        &mut self.memory[offset..offset + bytes]
    }

    fn call(&mut self, call: Call<'_>, reply_to: u64) -> Option<()> {
        let script = self.script.clone();
        let result = 0;
        let mut answered = true;
        match call {
            Call::ContextSynchronize(_) => {
                self.reply(&ContextSynchronizeReply { reply_to, result }, &[])
            }
            Call::StreamSynchronize(_) => {
                self.reply(&StreamSynchronizeReply { reply_to, result }, &[])
            }
            Call::EventSynchronize(_) => {
                self.reply(&EventSynchronizeReply { reply_to, result }, &[])
            }
            Call::EventQuery(_) => self.reply(
                &EventQueryReply {
                    reply_to,
                    result: 600,
                },
                &[],
            ),
            Call::ModuleLoad(..) => {
                self.reply(
                    &ModuleLoadReply {
                        reply_to,
                        result,
                        info_bytes: 4,
                        error_bytes: 0,
                    },
                    b"info",
                );
            }
            Call::ModuleGetFunction(wanted, name) => {
                let name = String::from_utf8_lossy(name).into_owned();
                let result = if name == "absent" { 500 } else { 0 };
                self.names[wanted.function as usize] = name;
                let mut attributes = [0; 16];
                attributes[0] = 256;
                let layout: Vec<u8> = [0u32, 8, 8, 4]
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                let facts = ModuleGetFunctionReply {
                    reply_to,
                    result,
                    attributes,
                    parameters: 2,
                    reserved: 0,
                };
                self.reply(&facts, &layout);
            }
            Call::MemReserve(wanted) => self.reserve(wanted, reply_to),
            Call::MemInfo(_) => {
                let (available_bytes, limit_bytes) = (MEMORY_BYTES - self.granted, MEMORY_BYTES);
                self.reply(
                    &MemInfoReply {
                        reply_to,
                        result,
                        available_bytes,
                        limit_bytes,
                    },
                    &[],
                );
            }
            Call::RangeRefused(_) => {
                let next = self.next_range();
                self.reply(
                    &RangeRefusedReply {
                        reply_to,
                        result,
                        base: next,
                        bytes: MEMORY_BYTES,
                    },
                    &[],
                );
            }
            Call::MemcpyDtoH(copy) => {
                let result = if copy.bytes > MEMORY_BYTES {
                    INVALID
                } else {
                    0
                };
                self.send_data(copy.destination, copy.source, copy.bytes);
                self.reply(&MemcpyDtoHReply { reply_to, result }, &[]);
            }
            Call::MemcpyDtoH2D(copy) => {
                let rows = (0..copy.rows).map(|row| copy.source + row * copy.pitch);
                let packed: Vec<u8> = rows
                    .flat_map(|row| self.place(row, copy.width as usize).to_vec())
                    .collect();
                let data = Data {
                    offset: 0,
                    destination: copy.destination,
                };
                let _ = self.writer.send_bulk(&self.connection, &data, &packed);
                self.reply(&MemcpyDtoH2DReply { reply_to, result }, &[]);
            }
            other => {
                answered = false;
                self.post(other)?;
            }
        }
        if answered {
            &script.requests
        } else {
            &script.posts
        }
        .fetch_add(1, Ordering::SeqCst);
        Some(())
    }

    fn reply<M: aquifer_protocol::Message>(&mut self, reply: &M, tail: &[u8]) {
        self.writer.push(reply, tail);
    }

    fn next_range(&mut self) -> u64 {
        let next = self.script.taken_ranges.lock().expect("unpoisoned").pop();
        self.base = next.unwrap_or(self.base + (1 << 36));
        self.base
    }

    fn reserve(&mut self, wanted: MemReserve, reply_to: u64) {
        let available_bytes = MEMORY_BYTES - self.granted;
        if wanted.bytes > available_bytes {
            return self.reply(
                &MemReserveReply {
                    reply_to,
                    result: OUT_OF_MEMORY,
                    available_bytes,
                },
                &[],
            );
        }
        let bytes = wanted
            .bytes
            .next_multiple_of(GRANULE)
            .max(4 * GRANULE)
            .min(available_bytes);
        self.writer.push(
            &Credit {
                offset: self.granted,
                bytes,
                vgpu: 0,
            },
            &[],
        );
        self.granted += bytes;
        self.reply(
            &MemReserveReply {
                reply_to,
                result: 0,
                available_bytes: available_bytes - bytes,
            },
            &[],
        );
    }

    fn send_data(&mut self, destination: u32, source: u64, bytes: u64) {
        let data = self.place(source, bytes as usize).to_vec();
        for (index, piece) in data.chunks(100_000).enumerate() {
            let head = Data {
                offset: index as u64 * 100_000,
                destination,
            };
            let _ = self.writer.send_bulk(&self.connection, &head, piece);
        }
    }

    fn post(&mut self, call: Call<'_>) -> Option<()> {
        let script = self.script.clone();
        match call {
            Call::Attach(attach) => {
                assert_eq!(attach.secret, [0x5a; 32]);
                self.greet();
            }
            Call::Launch(launch, parameters) => {
                script.launches.fetch_add(1, Ordering::SeqCst);
                return self.launch(launch, parameters);
            }
            Call::MemAlloc(_) => {
                script.allocations.fetch_add(1, Ordering::SeqCst);
            }
            Call::MemSet(set) => {
                let bytes = (set.width * u64::from(set.element_bytes)) as usize;
                self.place(set.address, bytes).fill(set.value as u8);
            }
            Call::MemcpyDtoHAsync(copy) => {
                self.send_data(copy.destination, copy.source, copy.bytes)
            }
            Call::Counters(counters) => {
                script
                    .not_supported
                    .fetch_add(counters.not_supported, Ordering::SeqCst);
            }
            Call::ContextDestroy(_) => {
                script.contexts_destroyed.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Some(())
    }

    fn greet(&mut self) {
        self.writer.push(
            &Facts {
                vgpus: 1,
                driver_version: 13000,
                session: 7,
                features: 0,
            },
            &[],
        );
        let base = self.next_range();
        let mut name = [0; 128];
        name[..9].copy_from_slice(b"Test vGPU");
        let facts = DeviceFacts {
            uuid: [1; 16],
            name,
            pci_bus_id: [0; 32],
            memory_bytes: MEMORY_BYTES,
            base,
            range_bytes: MEMORY_BYTES,
            granularity: GRANULE,
            vgpu: 0,
            compute_percent: 100,
            least_priority: 0,
            greatest_priority: -5,
        };
        let attributes = [
            (1, 1024),
            (2, 1024),
            (3, 1024),
            (4, 64),
            (5, i32::MAX),
            (6, 65535),
            (7, 65535),
            (8, 49152),
            (19, 1),
        ];
        let pairs: Vec<u8> = attributes
            .iter()
            .flat_map(|(id, value): &(i32, i32)| [id.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        self.writer.push(&facts, &pairs);
        if self.script.tls {
            let terms = Resumable {
                secret: [0; 32],
                grace_seconds: 0,
                reserved: 0,
            };
            self.writer.push(&terms, &[]);
        }
    }

    fn launch(&mut self, launch: Launch, parameters: &[u8]) -> Option<()> {
        let name = self.names[launch.function as usize].clone();
        match name.as_str() {
            "die" => return None,
            "fail" => {
                let (call, result) = (128, self.script.fault);
                let fault = Fault {
                    sequence: 1,
                    call,
                    result,
                    context: launch.context,
                    sticky: 1,
                };
                self.writer.push(&fault, b"as the script says");
            }
            "write" => {
                let address = u64::from_le_bytes(parameters[..8].try_into().expect("eight bytes"));
                let value: [u8; 4] = parameters[8..12].try_into().expect("four bytes");
                self.place(address, 4).copy_from_slice(&value);
            }
            _ => {}
        }
        Some(())
    }
}
