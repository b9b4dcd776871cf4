//! A connector as a process of its own, and programs that come to it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Host, NODE, eventually, program};

pub struct Connector {
    pub process: Child,
    pub control: PathBuf,
    state: PathBuf,
    more: Vec<OsString>,
}

pub fn quiet(mut command: Command) -> Command {
    if std::env::var_os("AQUIFER_TEST_LOG").is_none() {
        command.stderr(Stdio::null());
    }
    command
}

fn start_control(state: &Path, more: &[OsString]) -> Child {
    let mut command = quiet(Command::new(program("aquifer-connector")));
    command
        .arg("--control")
        .arg(state.join("connector.sock"))
        .arg("--state-dir")
        .arg(state)
        .args(more);
    command.spawn().unwrap()
}

impl Connector {
    pub fn start(host: &Host) -> Self {
        Self::start_with(host, Vec::new())
    }

    /// With more flags.
    pub fn start_with(host: &Host, more: Vec<OsString>) -> Self {
        let state = host.directory.join("connector");
        let process = start_control(&state, &more);
        let connector = Self {
            process,
            control: state.join("connector.sock"),
            state,
            more,
        };
        connector.wait();
        connector
    }

    fn wait(&self) {
        eventually("the connector answers", || {
            UnixStream::connect(&self.control).ok()
        });
    }

    pub fn ask(&self, request: Value) -> Value {
        let mut stream = UnixStream::connect(&self.control).unwrap();
        writeln!(
            stream,
            "{}",
            json!({"id": 1, "op": "hello", "v": 1, "name": "serve", "version": "0"})
        )
        .unwrap();
        writeln!(stream, "{request}").unwrap();
        let lines = BufReader::new(stream).lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        lines.find(|line| line["id"] == request["id"]).unwrap()
    }

    pub fn key(&self) -> String {
        self.ask(json!({"id": 2, "op": "list"}))["key"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn sessions(&self) -> Vec<Value> {
        self.ask(json!({"id": 2, "op": "list"}))["sessions"]
            .as_array()
            .unwrap()
            .clone()
    }

    pub fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let gone = self.control.with_extension("old");
        std::fs::rename(&self.control, gone).unwrap();
        self.process = start_control(&self.state, &self.more);
        self.wait();
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn ticket_file(host: &Host, address: &str, ticket: &str) -> Value {
    json!({
        "apiVersion": "aquifer.dev/v1alpha1", "kind": "Ticket",
        "metadata": {"name": "trainer", "namespace": "default"}, "ca": host.backend.ca_pem,
        "endpoints": [{"node": NODE, "address": address}], "ticket": ticket,
    })
}

pub fn unix(host: &Host) -> String {
    format!("unix:{}", host.unix_address().display())
}

pub fn start_program(socket: &Path, argument: &str) -> Child {
    let mut command = Command::new(program("examples/fake-program"));
    command
        .arg(argument)
        .env("AQUIFER_SOCKET", socket)
        .stdout(Stdio::piped());
    command.spawn().unwrap()
}

pub fn first_line(program: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    line
}
