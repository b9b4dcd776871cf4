//! `worker`: one session, configured by one line on standard input; or `worker --inventory`.

use aquifer_protocol::SessionKey;
use aquifer_worker::bulletin::Bulletin;
use aquifer_worker::config::{Config, MAX_LINE, Transport};
use aquifer_worker::process::{confine, log};
use aquifer_worker::session::End;
use aquifer_worker::{control, handshake, inventory, watch};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const HELP: &str = "\
Runs one session of a CUDA program against a GPU driver. The spawner starts it; people use --inventory.

Usage:
  worker                                    serve one session; its configuration is one line of JSON on standard input
  worker --inventory --driver PATH [--nvml PATH]
                                            print the GPUs that NVML shows as JSON
  worker --help | --version

  --driver PATH   the libcuda.so.1 to load; NVML is taken from the same directory
  --nvml PATH     the libnvidia-ml.so.1 to load instead

Exit status: 0 the session ended, 1 it could not start or its client broke the protocol, 2 wrong usage,
             3 a kernel kept the GPU from others for too long.
";

fn main() -> ExitCode {
    // Started from a descriptor, it would go by that number in lists of processes.
    // SAFETY: the name ends in a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"worker".as_ptr()) };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None => serve(),
        Some("--help" | "-h") => print(HELP),
        Some("--version") => print(&format!(
            "worker {} (protocol {})\n",
            env!("CARGO_PKG_VERSION"),
            aquifer_protocol::PROTOCOL_VERSION
        )),
        Some("--inventory") => match inventory_arguments(&arguments[1..]) {
            Ok((driver, nvml)) => list(driver, nvml),
            Err(message) => wrong(&message),
        },
        Some(other) => wrong(&format!("unknown argument {other}")),
    }
}

fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

fn wrong(message: &str) -> ExitCode {
    eprintln!("worker: {message}; see worker --help");
    ExitCode::from(2)
}

fn inventory_arguments(arguments: &[String]) -> Result<(PathBuf, Option<PathBuf>), String> {
    let (mut driver, mut nvml) = (None, None);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest
            .next()
            .map(PathBuf::from)
            .ok_or_else(|| format!("{name} needs a path"))?;
        match name.as_str() {
            "--driver" => driver = Some(value),
            "--nvml" => nvml = Some(value),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok((driver.ok_or("--inventory needs --driver PATH")?, nvml))
}

fn list(driver: PathBuf, nvml: Option<PathBuf>) -> ExitCode {
    match inventory::list(&driver, nvml.as_deref()) {
        Ok(gpus) => print(&format!("{gpus}\n")),
        Err(message) => {
            eprintln!("worker: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> ExitCode {
    let mut line = String::new();
    let read = std::io::stdin()
        .take(MAX_LINE as u64 + 1)
        .read_to_string(&mut line);
    let config = match read {
        Ok(bytes) if bytes <= MAX_LINE => Config::parse(line.trim()),
        Ok(_) => Err(format!(
            "the configuration line is longer than {MAX_LINE} bytes"
        )),
        Err(error) => Err(format!("the configuration line: {error}")),
    };
    let outcome = config.and_then(|config| run(&config).map(|end| (config.session.clone(), end)));
    match outcome {
        Ok((session, End::Closed | End::Left)) => {
            log("info", "session ended", &[("session", &session)]);
            ExitCode::SUCCESS
        }
        Ok((session, End::Abandoned)) => {
            let message = "session ended: its client did not come back";
            log("warn", message, &[("session", &session)]);
            ExitCode::SUCCESS
        }
        Ok((session, end)) => {
            let reason = match &end {
                End::Garbage(reason) => reason.clone(),
                other => format!("{other:?}"),
            };
            log(
                "warn",
                "session ended by its peer's fault",
                &[("session", &session), ("reason", &reason)],
            );
            ExitCode::FAILURE
        }
        Err(message) => {
            log("error", "session cannot start", &[("reason", &message)]);
            ExitCode::FAILURE
        }
    }
}

/// Connections that wait to be seen to.
const MOST_WAITING: usize = 4;

fn run(config: &Config) -> Result<End, String> {
    confine().map_err(|error| format!("cannot confine the process: {error}"))?;
    for (name, value) in &config.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("environment: {name:?} cannot be set"));
        }
        // SAFETY: no other thread exists yet.
        unsafe { std::env::set_var(name, value) };
    }
    let key = match config.transport {
        Transport::Tls => Some(
            SessionKey::generate().map_err(|error| format!("no key for this session: {error}"))?,
        ),
        Transport::Unix => None,
    };
    let listener = control::listen(&config.control_socket)
        .map_err(|error| format!("controlSocket: {error}"))?;
    let prepared = handshake::prepare(config);
    let mut description = serde_json::Map::new();
    description.insert("ready".into(), prepared.is_ok().into());
    description.insert("session".into(), config.session.clone().into());
    if let Some(key) = &key {
        description.insert("keySpki".into(), base64(key.spki()).into());
    }
    if let Err(message) = &prepared {
        log(
            "error",
            "the GPUs cannot be opened",
            &[("session", &config.session), ("reason", message)],
        );
        description.insert("error".into(), message.clone().into());
    }
    description.insert("resumable".into(), key.is_some().into());
    let (sender, receiver) = sync_channel(MOST_WAITING);
    let bulletin = Arc::new(Bulletin::new(description));
    control::serve(listener, bulletin.clone(), sender)
        .map_err(|error| format!("no thread for control: {error}"))?;
    let attached = receiver.recv_timeout(Duration::from_secs(config.idle_seconds));
    let prepared = prepared?;
    let first = attached
        .map_err(|_| format!("no data connection came within {} s", config.idle_seconds))?;
    bulletin.accepted(&first.connection);
    let (mut session, mut reader) =
        match handshake::greet(config, prepared, first.descriptor, key.as_ref(), bulletin) {
            Ok(greeted) => greeted,
            Err(end) => return Ok(end),
        };
    if let (Some(door), Some(key)) = (session.door.clone(), key) {
        door.attend(
            session.outbox.clone(),
            key,
            receiver,
            config.session.clone(),
        )
        .map_err(|error| format!("no thread for the door: {error}"))?;
    }
    let meters = session
        .gpus
        .iter()
        .map(|it| it.meter.shared.clone())
        .collect();
    watch::start(session.outbox.clone(), meters, config.kernel_seconds)
        .map_err(|error| format!("no thread to watch: {error}"))?;
    let end = session.serve(&mut reader);
    if let End::Garbage(reason) = &end {
        session.close(reason);
    }
    // Contexts, modules and memory go with the process: taking them down one by one takes longer and can hang.
    session.settle();
    Ok(end)
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0u32, |word, (at, byte)| {
            word | u32::from(*byte) << (16 - 8 * at)
        });
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize] as char;
            text.push(if at <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_the_standard_one() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{7ff}", "378="),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
