//! The hook that the CDI device of a guest brings along (createRuntime): it registers the container that is being made, and
//! where that cannot be, the container does not start.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aquifer_control::run_directory::hello;
use aquifer_control::{limits::MAX_MESSAGE, unix_socket};
use serde_json::{Value, json};

use crate::VERSION;
use crate::containers::{is_within, unified_path};

/// States are a few kilobytes.
const MOST_STATE_BYTES: u64 = 1 << 20;
/// How long a connector that is being started is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Registers the container whose state the runtime writes to standard input.
pub fn run(control: &Path, share: Option<&str>) -> Result<(), String> {
    let state: Value = serde_json::from_reader(std::io::stdin().take(MOST_STATE_BYTES))
        .map_err(|error| format!("the container's state: {error}"))?;
    let id = state["id"].as_str();
    let id = id.ok_or("the container's state names no id")?;
    let pid = state["pid"].as_u64().filter(|pid| *pid > 0);
    let pid = pid.ok_or("the container's state names no pid")?;
    has_own_cgroup(pid)?;
    let register =
        json!({"id": 2, "op": "registerContainer", "container": id, "share": share, "pid": pid});
    ask(control, &register).map(drop)
}

/// This hook is in the cgroup of the runtime, or of who has called it. A container that is in it, too, has none of its own, and
/// everything else there would be taken for the container.
fn has_own_cgroup(pid: u64) -> Result<(), String> {
    let cgroup = |pid: &str| {
        let file = format!("/proc/{pid}/cgroup");
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let path = unified_path(&text).map(str::to_owned);
        path.ok_or_else(|| format!("{file}: cgroup version 2 is needed"))
    };
    let (own, container) = (cgroup("self")?, cgroup(&pid.to_string())?);
    if is_within(&own, &container) {
        return Err(format!(
            "the container has no cgroup of its own ({container}): it cannot be told from others"
        ));
    }
    Ok(())
}

/// Asks the connector of this guest.
pub fn ask(control: &Path, request: &Value) -> Result<Value, String> {
    let unreachable = |error: std::io::Error| {
        format!(
            "the connector at {} does not answer ({error}): is `aquifer-connector guest` running?",
            control.display()
        )
    };
    let stream = connect(control).map_err(unreachable)?;
    let mut lines = BufReader::new((&stream).take(4 * MAX_MESSAGE as u64));
    let mut reply = Value::Null;
    for message in [&hello("hook", VERSION), request] {
        (&stream)
            .write_all(format!("{message}\n").as_bytes())
            .map_err(unreachable)?;
        let mut line = String::new();
        lines.read_line(&mut line).map_err(unreachable)?;
        reply = serde_json::from_str(&line)
            .map_err(|error| format!("the connector's answer: {error}"))?;
        if reply["ok"] != true {
            let text = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
            return Err(format!("{}: {}", text("reason"), text("message")));
        }
    }
    Ok(reply)
}

fn connect(control: &Path) -> std::io::Result<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match unix_socket::connect(control) {
            Ok(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}
