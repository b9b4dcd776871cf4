//! A worker for tests of the gateway: the control protocol of a real one, and a data connection that is echoed.
//! `fake` in its configuration makes it misbehave: "crash", "mute" (never ready), "broken" (has no GPU), "stubborn" (ignores SIGTERM);
//! or wait for another data connection when one ends: "patient" takes each one that comes, "refuses" none but the first.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;

use aquifer_control::descriptors::receive_with_descriptor;
use serde_json::{Value, json};

/// What the gateway calls the data connection that was taken last.
static ATTACHED: Mutex<Option<String>> = Mutex::new(None);

fn main() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let config: Value = serde_json::from_str(&line).unwrap();
    match config["fake"].as_str() {
        Some("crash") => std::process::exit(9),
        Some("mute") => std::thread::sleep(std::time::Duration::from_secs(600)),
        // SAFETY: sets a disposition before any thread is started.
        Some("stubborn") => unsafe {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
        },
        _ => {}
    }
    let listener = UnixListener::bind(config["controlSocket"].as_str().unwrap()).unwrap();
    for stream in listener.incoming() {
        let config = config.clone();
        std::thread::spawn(move || serve_control(stream.unwrap(), &config));
    }
}

fn serve_control(stream: UnixStream, config: &Value) {
    let mut reply = stream.try_clone().unwrap();
    let mut bytes = [0; 4096];
    loop {
        // A gateway that was killed before it read our answer is an error here, and no end for its session.
        let (count, descriptor) = receive_with_descriptor(&stream, &mut bytes).unwrap_or_default();
        if count == 0 {
            return;
        }
        let mut attached = String::new();
        for line in BufReader::new(&bytes[..count]).lines() {
            let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let mut answer = json!({"id": request["id"], "ok": true});
            if request["op"] == "describe" {
                answer["ready"] = (config["fake"] != "broken").into();
                answer["error"] = "no such GPU".into();
                let known = ATTACHED.lock().unwrap().clone();
                answer["attached"] = known.is_some().into();
                answer["connection"] = known.into();
                if config["transport"] == "tls" {
                    answer["keySpki"] = "c3BraQ==".into();
                }
            }
            if request["op"] == "attach" {
                attached = request["connection"].as_str().unwrap().to_owned();
            }
            let _ = writeln!(reply, "{answer}");
        }
        let Some(descriptor) = descriptor else {
            continue;
        };
        let again = ATTACHED.lock().unwrap().is_some();
        if again && config["fake"] == "refuses" {
            let told = json!({"event": "resume", "outcome": "refused", "connection": attached});
            let _ = writeln!(reply, "{told}");
            continue;
        }
        *ATTACHED.lock().unwrap() = Some(attached.clone());
        if again {
            let told =
                json!({"event": "client", "connected": true, "resumes": 1, "connection": attached});
            let _ = writeln!(reply, "{told}");
        }
        let secret = config["secret"].as_str().unwrap().to_owned();
        let is_patient = config["fake"] == "patient" || config["fake"] == "refuses";
        std::thread::spawn(move || {
            echo(std::fs::File::from(descriptor), &secret);
            if !is_patient {
                std::process::exit(0)
            }
        });
    }
}

fn echo(mut data: std::fs::File, secret: &str) {
    data.write_all(secret.as_bytes()).unwrap();
    let mut bytes = [0; 4096];
    loop {
        match data.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(count) => data.write_all(&bytes[..count]).unwrap(),
        }
    }
}
