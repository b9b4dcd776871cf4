//! Real workers on software GPUs, and a client that speaks the protocol by hand.

#![allow(dead_code)]

use aquifer_cuda::CUresult;
use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::*;
use aquifer_protocol::{
    Connection, FrameReader, Header, Incoming, Message, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR,
    ReplyHead, Request, decode,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const MIB: u64 = 1 << 20;
pub const SECRET: [u8; 32] = [0x5a; 32];
/// The longest that anything in a test may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The software GPU's library, built if need be.
pub fn softgpu() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("AQUIFER_TEST_DRIVER") {
            return PathBuf::from(path);
        }
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "-p",
            "aquifer-softgpu",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        // With what this test's cargo says of its package, ring would be compiled anew, here and at the next call without.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
                build.env_remove(name);
            }
        }
        assert!(
            build.status().unwrap().success(),
            "the software GPU does not build"
        );
        profile.join("libaquifer_softgpu.so")
    })
}

/// A host with software GPUs: directories that its workers share.
pub struct Host {
    pub directory: PathBuf,
    pub gpus: String,
    pub null_kernels: bool,
    uuids: Vec<String>,
}

impl Host {
    /// A fresh host with `gpus` (`2x256Mi`).
    pub fn new(gpus: &str, null_kernels: bool) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("aqw-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        for name in ["ledger", "turns", "state"] {
            std::fs::create_dir_all(directory.join(name)).unwrap();
        }
        let mut host = Host {
            directory,
            gpus: gpus.into(),
            null_kernels,
            uuids: Vec::new(),
        };
        let listed = host.inventory();
        host.uuids = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["uuid"].as_str().unwrap().into())
            .collect();
        host
    }

    /// What `worker --inventory` prints.
    pub fn inventory(&self) -> Value {
        let list = Command::new(env!("CARGO_BIN_EXE_worker"))
            .args(["--inventory", "--nvml"])
            .arg(softgpu())
            .arg("--driver")
            .arg(softgpu())
            .envs(self.environment())
            .output()
            .unwrap();
        assert!(
            list.status.success(),
            "{}",
            String::from_utf8_lossy(&list.stderr)
        );
        serde_json::from_slice(&list.stdout).unwrap()
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        let state = self.directory.join("state").to_str().unwrap().to_owned();
        let null = if self.null_kernels { "1" } else { "0" };
        [
            ("SOFTGPU_DEVICES", self.gpus.as_str()),
            ("SOFTGPU_STATE_DIR", &state),
            ("SOFTGPU_NULL_KERNELS", null),
        ]
        .map(|it| (it.0.into(), it.1.into()))
        .into()
    }

    pub fn uuid(&self, gpu: usize) -> &str {
        &self.uuids[gpu]
    }

    /// The configuration of a worker for one vGPU on GPU 0.
    pub fn config(&self, claim: &str, memory_bytes: u64, percent: u32) -> Value {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let environment: serde_json::Map<String, Value> = self
            .environment()
            .into_iter()
            .map(|it| (it.0, Value::String(it.1)))
            .collect();
        json!({
            "session": format!("{number:032x}"),
            "claim": {"namespace": "test", "name": claim, "uid": claim},
            "vgpus": [{"index": 0, "gpu": self.uuid(0), "memoryBytes": memory_bytes, "computePercent": percent}],
            "ledgerDir": self.directory.join("ledger"),
            "turnsDir": self.directory.join("turns"),
            "controlSocket": self.directory.join(format!("w{number}.sock")),
            "driver": softgpu(),
            "transport": "unix",
            "secret": "5a".repeat(32),
            "idleSeconds": 20,
            "environment": environment,
        })
    }

    /// A word of the account of `claim` on GPU 0.
    pub fn account(&self, claim: &str, at: usize) -> u64 {
        let path = self
            .directory
            .join("ledger")
            .join(format!("{claim}-{}", self.uuid(0)));
        let bytes = std::fs::read(path).unwrap();
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A worker process.
pub struct Worker {
    pub child: Child,
    pub control: BufReader<UnixStream>,
    pub description: Value,
    /// Connections that were handed over: they are called by their number.
    attached: usize,
    /// What it has told unasked before it answered what it was asked last.
    pub events: Vec<Value>,
}

impl Worker {
    /// Starts a worker and waits until it can be attached.
    pub fn start(config: &Value) -> Worker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_worker"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{config}\n").as_bytes())
            .unwrap();
        let path = config["controlSocket"].as_str().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(path) {
                break stream;
            }
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("the worker ended with {status}: {said}");
            }
            assert!(Instant::now() < deadline, "no control socket");
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut worker = Worker {
            child,
            control: BufReader::new(stream),
            description: Value::Null,
            attached: 0,
            events: Vec::new(),
        };
        worker.description = worker.ask(&json!({"id": 1, "op": "describe"}), None);
        worker
    }

    /// One request on the control socket.
    pub fn ask(&mut self, request: &Value, descriptor: Option<RawFd>) -> Value {
        let line = format!("{request}\n");
        send(
            self.control.get_ref().as_raw_fd(),
            line.as_bytes(),
            descriptor,
        );
        loop {
            let mut line = String::new();
            self.control.read_line(&mut line).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            // What the worker tells unasked answers nothing.
            if answer.get("event").is_none() {
                return answer;
            }
            self.events.push(answer);
        }
    }

    /// Hands the worker one end of a connection and returns the other.
    pub fn attach(&mut self) -> OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.attached += 1;
        let request = json!({"id": 2, "op": "attach", "connection": self.attached.to_string()});
        let answer = self.ask(&request, Some(theirs.as_raw_fd()));
        assert_eq!(answer["ok"], true, "{answer}");
        ours.into()
    }

    /// Attaches and says the right first words.
    pub fn client(&mut self) -> Client {
        Client::greet(Connection::plain(self.attach()), SECRET)
    }

    /// How the worker ended, and what it wrote to standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the worker does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(socket: RawFd, bytes: &[u8], descriptor: Option<RawFd>) {
    #[repr(align(8))]
    struct Ancillary([u8; 64]);
    let mut ancillary = Ancillary([0; 64]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: an all-zero msghdr is valid; buffers outlive the call and have room for one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        if let Some(descriptor) = descriptor {
            message.msg_control = ancillary.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header)
                .cast::<RawFd>()
                .write_unaligned(descriptor);
        }
        assert_eq!(
            libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL),
            bytes.len() as isize
        );
    }
}

/// A frame that the worker sent.
pub struct Said {
    pub header: Header,
    pub body: Vec<u8>,
    pub tail: Vec<u8>,
}

/// A client of one session.
pub struct Client {
    pub connection: Connection,
    pub reader: FrameReader,
    pub sequence: u64,
    /// What it says that it has got.
    pub acknowledged: u32,
    /// What came and was not waited for yet.
    pub kept: Vec<Said>,
    pub facts: Option<DeviceFacts>,
}

impl Client {
    pub fn over(connection: Connection) -> Client {
        Client {
            connection,
            reader: FrameReader::new(),
            sequence: 0,
            acknowledged: 0,
            kept: Vec::new(),
            facts: None,
        }
    }

    pub fn greet(connection: Connection, secret: [u8; 32]) -> Client {
        let mut client = Client::over(connection);
        let _ = client.take::<Hello>();
        client.post(
            &Attach {
                secret,
                fingerprint: PROTOCOL_FINGERPRINT,
                major: PROTOCOL_MAJOR,
                pid: 1,
            },
            &[],
        );
        let (facts, _) = client.take::<Facts>();
        for _ in 0..facts.vgpus {
            let (device, _) = client.take::<DeviceFacts>();
            client.facts.get_or_insert(device);
        }
        client
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let wait = || {
            self.connection
                .wait_writable(false, Some(PATIENCE))
                .map(|_| ())
        };
        self.connection.send_all(bytes, wait).unwrap();
    }

    pub fn post<M: Message>(&mut self, message: &M, tail: &[u8]) -> u64 {
        self.sequence += 1;
        let envelope = Envelope {
            sequence: self.sequence,
            session: 0,
            acknowledged: self.acknowledged,
        };
        let bytes = frame(message, envelope, tail);
        self.write(&bytes);
        self.sequence
    }

    /// Sends a request and waits for its reply.
    pub fn call<M: Request>(&mut self, message: &M, tail: &[u8]) -> (CUresult, M::Reply, Vec<u8>) {
        let sequence = self.post(message, tail);
        self.reply::<M>(sequence)
    }

    /// Waits for the reply to the request `sequence`.
    pub fn reply<M: Request>(&mut self, sequence: u64) -> (CUresult, M::Reply, Vec<u8>) {
        let said = self.find(|it| {
            it.header.is_reply()
                && ReplyHead::read(&it.body).is_some_and(|head| head.reply_to == sequence)
        });
        let head = ReplyHead::read(&said.body).unwrap();
        let (reply, tail) = decode::<M::Reply>(&said.body).unwrap();
        (head.result, reply, tail.to_vec())
    }

    /// A request that must succeed.
    pub fn good<M: Request>(&mut self, message: &M, tail: &[u8]) -> (M::Reply, Vec<u8>) {
        let (result, reply, tail) = self.call(message, tail);
        assert_eq!(result, 0, "{}", M::SHAPE.name);
        (reply, tail)
    }

    /// Waits for a message of the worker's own.
    pub fn take<M: Message>(&mut self) -> (M, Vec<u8>) {
        let said = self.find(|it| !it.header.is_reply() && it.header.call == M::SHAPE.call);
        let message = M::get_fixed(&said.body).unwrap();
        let tail = if M::SHAPE.bulk {
            said.tail
        } else {
            decode::<M>(&said.body).unwrap().1.to_vec()
        };
        (message, tail)
    }

    /// A message that came already, if it did.
    pub fn came<M: Message>(&mut self) -> Option<M> {
        while self.fill(Duration::ZERO) {}
        let at = self
            .kept
            .iter()
            .position(|it| !it.header.is_reply() && it.header.call == M::SHAPE.call)?;
        M::get_fixed(&self.kept.remove(at).body)
    }

    fn find(&mut self, wanted: impl Fn(&Said) -> bool) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.kept.iter().position(&wanted) {
                return self.kept.remove(at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                self.fill(left),
                "the worker says nothing more; it said {:?}",
                self.kept
                    .iter()
                    .map(|it| it.header.call)
                    .collect::<Vec<_>>()
            );
        }
    }

    /// Takes in what comes within `time`; false when nothing did, or the connection ended.
    pub fn fill(&mut self, time: Duration) -> bool {
        match self.reader.fill_now(&self.connection) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if time.is_zero() || !self.connection.wait_readable(Some(time)).unwrap() {
                    return false;
                }
                return self.fill(Duration::ZERO);
            }
            Err(_) => return false,
        }
        loop {
            let said = match self.reader.next_frame().unwrap() {
                None => return true,
                Some(Incoming::Frame { header, body }) => Said {
                    header,
                    body: body.to_vec(),
                    tail: Vec::new(),
                },
                Some(Incoming::Bulk {
                    header,
                    body,
                    tail_bytes,
                }) => {
                    let mut said = Said {
                        header,
                        body: body.to_vec(),
                        tail: vec![0; tail_bytes],
                    };
                    self.reader
                        .read_tail(&self.connection, &mut said.tail)
                        .unwrap();
                    said
                }
            };
            if said.header.call != Acknowledge::SHAPE.call {
                self.kept.push(said);
            }
        }
    }

    /// True when the worker closed the connection.
    pub fn is_closed(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.reader.fill_now(&self.connection) {
                Ok(0) => return true,
                Ok(_) => while self.reader.next_frame().unwrap().is_some() {},
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.connection.wait_readable(Some(left)).unwrap() {
                        return false;
                    }
                }
                Err(_) => return true,
            }
        }
    }

    /// Memory of `bytes`, placed at the beginning of what is granted for it.
    pub fn memory(&mut self, bytes: u64) -> Result<u64, CUresult> {
        let (result, ..) = self.call(&MemReserve { bytes, vgpu: 0 }, &[]);
        if result != 0 {
            return Err(result);
        }
        loop {
            let (credit, _) = self.take::<Credit>();
            if credit.bytes >= bytes {
                let address = self.facts.unwrap().base + credit.offset;
                self.post(
                    &MemAlloc {
                        address,
                        bytes,
                        vgpu: 0,
                        flags: 0,
                    },
                    &[],
                );
                return Ok(address);
            }
        }
    }

    /// The primary context, as number 0.
    pub fn context(&mut self) {
        self.post(
            &ContextCreate {
                context: 0,
                vgpu: 0,
                flags: 0,
                primary: 1,
            },
            &[],
        );
    }

    /// Loads PTX as module `module`.
    pub fn module(&mut self, module: u32, text: &str) {
        self.post(
            &SourceData {
                total: text.len() as u64,
                offset: 0,
                source: module,
            },
            text.as_bytes(),
        );
        self.good(
            &ModuleLoad {
                context: 0,
                module,
                source: module,
                options: 0,
            },
            &[],
        );
    }

    /// A launch of `function` with one block of one thread.
    pub fn launch(&mut self, function: u32, stream: u32, parameters: &[u8]) -> u64 {
        let launch = Launch {
            context: 0,
            stream,
            function,
            flags: 0,
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
        };
        self.post(&launch, parameters)
    }

    /// Reads device memory.
    pub fn read(&mut self, source: u64, bytes: u64) -> Vec<u8> {
        let destination = 9;
        self.good(
            &MemcpyDtoH {
                source,
                bytes,
                context: 0,
                stream: 0,
                destination,
            },
            &[],
        );
        self.data(destination, bytes)
    }

    /// The Data frames for `destination`, all `bytes` of them.
    pub fn data(&mut self, destination: u32, bytes: u64) -> Vec<u8> {
        let mut all = vec![0; bytes as usize];
        let mut got = 0;
        while got < bytes {
            let said = self.find(|it| {
                it.header.call == Data::SHAPE.call
                    && Data::get_fixed(&it.body).is_some_and(|it| it.destination == destination)
            });
            let data = Data::get_fixed(&said.body).unwrap();
            all[data.offset as usize..][..said.tail.len()].copy_from_slice(&said.tail);
            got += said.tail.len() as u64;
        }
        all
    }
}
