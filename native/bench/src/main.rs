//! Measures the data plane from where a program stands. `aquifer-bench unix` and `tls` are run by `aquifer run`, `direct` with
//! the GPU's own driver, `tap`, `vsock`, `nested` and `sink` in a guest; prints one JSON object a line. bench/dataplane.ts and bench/guest.ts
//! arrange all this.

mod copies;
mod driver;
mod launches;
mod memory;
mod opening;
mod program;
mod progress;
mod raw;
mod samples;
mod sink;
mod waits;

use program::Program;
use raw::Raw;
use std::process::ExitCode;

const PARTS: [&str; 6] = ["open", "enqueue", "rate", "waits", "memory", "copies"];

/// An emulated processor does in a second what others do in 20 ms: fewer rounds are enough, of what is aimed at.
fn is_guest(over: &str) -> bool {
    matches!(over, "tap" | "vsock" | "sink" | "nested")
}

/// Measures all parts over one kind of connection, or one part: for whoever looks at it with a profiler.
fn measure(over: &str, only: Option<&str>) -> Result<(), String> {
    if let Some(part) = only.filter(|part| !PARTS.contains(part)) {
        return Err(format!("there is no part {part}: {}", PARTS.join(", ")));
    }
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("open") {
        opening::measure(over)?;
    }
    let program = Program::start()?;
    let mut raw = Raw::start(over).map_err(|error| format!("the raw peer: {error}"))?;
    if wanted("enqueue") {
        launches::enqueue(&program, over)?;
    }
    if wanted("rate") {
        launches::rate(&program, raw.as_mut(), over)?;
    }
    if wanted("waits") {
        if !is_guest(over) {
            waits::token(&program, raw.as_mut(), over)?;
        }
        waits::synchronize(&program, raw.as_mut(), over)?;
    }
    if wanted("memory") {
        memory::allocate_and_free(&program, over)?;
    }
    if wanted("copies") {
        copies::measure(&program, raw.as_mut(), over)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [over @ ("direct" | "unix" | "tls" | "tap" | "vsock" | "nested")] => measure(over, None),
        [over @ ("direct" | "unix" | "tls" | "tap" | "vsock" | "nested"), part] => measure(over, Some(part)),
        ["sink"] => sink::offer()
            .map_err(|error| format!("the sink: {error}"))
            .and_then(|()| measure("sink", Some("enqueue"))),
        ["progress"] => progress::go_on(),
        ["watch", interface, port] => progress::watch(interface, port),
        ["listen", addresses @ ..] if !addresses.is_empty() => {
            Raw::listen(addresses).map_err(|error| error.to_string())
        }
        // What this program starts itself with.
        ["open"] => opening::open(),
        ["peer", over] => raw::peer::serve(over).map_err(|error| error.to_string()),
        _ => Err(
            "usage: aquifer-bench direct|unix|tls|tap|vsock|nested [PART] | sink | progress | watch INTERFACE PORT | listen ADDRESS..."
                .to_owned(),
        ),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("aquifer-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}
