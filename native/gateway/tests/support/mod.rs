//! A gateway with a real spawner, fake workers and a fake backend, in a directory of its own.
#![allow(dead_code)] // Each test file uses its own part of it.

pub mod backend;
pub mod connector;
pub mod holder;
pub mod plug;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backend::Backend;
use serde_json::{Value, json};

pub const NODE: &str = "gpu-1";

/// Waits until `what` gives something; fails after ten seconds.
pub fn eventually<T>(sentence: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < end, "not within 10 s: {sentence}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn program(name: &str) -> PathBuf {
    let profile = Path::new(env!("CARGO_BIN_EXE_gateway")).parent().unwrap();
    profile.join(name)
}

fn build_programs() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        for what in [
            &["-p", "aquifer-spawner", "-p", "aquifer-connector"][..],
            &["-p", "aquifer-gateway", "--examples"],
        ] {
            let mut command = Command::new(env!("CARGO"));
            command.args(["build", "--quiet", "--offline"]).args(what);
            if !cfg!(debug_assertions) {
                command.arg("--release");
            }
            // With what this test's cargo says of its package, ring would be compiled anew, here and at the next call without.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
                    command.env_remove(name);
                }
            }
            assert!(
                command
                    .current_dir(env!("CARGO_MANIFEST_DIR"))
                    .status()
                    .unwrap()
                    .success()
            );
        }
    });
}

pub struct Host {
    pub directory: PathBuf,
    pub run: PathBuf,
    pub backend: Backend,
    pub gateway: Child,
    pub spawner: Child,
}

impl Host {
    pub fn start() -> Self {
        build_programs();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let directory = std::env::temp_dir().join(format!("aqg-{}-{number}", std::process::id()));
        let run = directory.join("run");
        std::fs::create_dir_all(&run).unwrap();
        let backend = Backend::start(&run, &directory);
        let spawner = start_spawner(&run);
        let gateway = start_gateway(&run);
        let host = Self {
            directory,
            run,
            backend,
            gateway,
            spawner,
        };
        host.wait_until_ready();
        host
    }

    fn wait_until_ready(&self) {
        eventually("gateway.json names the gateway", || {
            let record: Value =
                serde_json::from_slice(&std::fs::read(self.run.join("gateway.json")).ok()?).ok()?;
            (record["pid"] == self.gateway.id()).then_some(())
        });
        eventually("gateway enrolled", || {
            self.run
                .join("gateway-identity.json")
                .exists()
                .then_some(())
        });
    }

    pub fn tcp_address(&self) -> String {
        let record: Value =
            serde_json::from_slice(&std::fs::read(self.run.join("gateway.json")).unwrap()).unwrap();
        record["listen"][0].as_str().unwrap().to_owned()
    }

    pub fn unix_address(&self) -> PathBuf {
        self.run.join("gateway.sock")
    }

    /// Where a vhost-user-vsock process connects to for its guest.
    pub fn vsock_address(&self) -> PathBuf {
        self.run.join("vsock.sock")
    }

    /// Kills the gateway as kill -9 does and starts another.
    pub fn restart_gateway(&mut self) {
        self.gateway.kill().unwrap();
        self.gateway.wait().unwrap();
        self.gateway = start_gateway(&self.run);
        self.wait_until_ready();
    }

    /// Kills the spawner as kill -9 does and starts another.
    pub fn restart_spawner(&mut self) {
        self.spawner.kill().unwrap();
        self.spawner.wait().unwrap();
        self.spawner = start_spawner(&self.run);
        eventually("spawner.json names the spawner", || {
            let record: Value =
                serde_json::from_slice(&std::fs::read(self.run.join("spawner.json")).ok()?).ok()?;
            (record["pid"] == self.spawner.id()).then_some(())
        });
    }

    pub fn ask_spawner(&self, request: Value) -> Value {
        let mut stream = UnixStream::connect(self.run.join("spawner.sock")).unwrap();
        writeln!(
            stream,
            "{}",
            json!({"id": 1, "op": "hello", "v": 1, "name": "test", "version": "0"})
        )
        .unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut lines = BufReader::new(stream)
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        lines.find(|line| line["id"] == request["id"]).unwrap()
    }

    /// The sessions that have a worker.
    pub fn workers(&self) -> Vec<String> {
        let listed = self.ask_spawner(json!({"id": 2, "op": "list"}));
        let workers = listed["workers"].as_array().unwrap();
        workers
            .iter()
            .map(|worker| worker["session"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        if self.spawner.try_wait().is_ok_and(|ended| ended.is_none())
            && self.run.join("spawner.sock").exists()
        {
            self.ask_spawner(json!({"id": 3, "op": "shutdown", "killWorkers": true}));
        }
        let _ = self.spawner.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn start(mut command: Command, paths: &[(&str, &Path)]) -> Child {
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    if std::env::var_os("AQUIFER_TEST_LOG").is_none() {
        command.stderr(std::process::Stdio::null());
    }
    command.spawn().unwrap()
}

fn start_spawner(run: &Path) -> Child {
    let worker = program("examples/fake-worker");
    start(
        Command::new(program("spawner")),
        &[("--run-dir", run), ("--worker", &worker)],
    )
}

fn start_gateway(run: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args([
        "--node",
        NODE,
        "--listen",
        "127.0.0.1:0",
        "--max-unauthenticated",
        "64",
    ]);
    let vsock = run.join("vsock.sock");
    command.args(["--listen", &format!("vsock:{}", vsock.display())]);
    start(command, &[("--run-dir", run)])
}
