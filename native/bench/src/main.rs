//! Measures the data plane from where a program stands. `aquifer-bench unix` and `tls` are run by `aquifer run`, `direct` with
//! the GPU's own driver; prints one JSON object a line. bench/dataplane.ts arranges all this.

mod copies;
mod driver;
mod launches;
mod memory;
mod opening;
mod program;
mod raw;
mod samples;
mod waits;

use program::Program;
use raw::Raw;
use std::process::ExitCode;

fn measure(over: &str) -> Result<(), String> {
    opening::measure(over)?;
    let program = Program::start()?;
    let mut raw = Raw::start(over).map_err(|error| format!("the raw peer: {error}"))?;
    launches::enqueue(&program, over)?;
    launches::rate(&program, raw.as_mut(), over)?;
    waits::token(&program, raw.as_mut(), over)?;
    waits::synchronize(&program, raw.as_mut(), over)?;
    memory::allocate_and_free(&program, over)?;
    copies::measure(&program, raw.as_mut(), over)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [over @ ("direct" | "unix" | "tls")] => measure(over),
        // What this program starts itself with.
        ["open"] => opening::open(),
        ["peer", over] => raw::peer::serve(over).map_err(|error| error.to_string()),
        _ => Err("usage: aquifer-bench direct|unix|tls".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("aquifer-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}
