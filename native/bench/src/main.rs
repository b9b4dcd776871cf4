//! Measures the data plane from where a program stands. `aquifer-bench unix` and `tls` are run by `aquifer run`, `direct` with
//! the GPU's own driver; prints one JSON object a line. bench/dataplane.ts arranges all this.

mod driver;
mod launches;
mod program;
mod samples;

use program::Program;
use std::process::ExitCode;

fn measure(over: &str) -> Result<(), String> {
    let program = Program::start()?;
    launches::enqueue(&program, over)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [over @ ("direct" | "unix" | "tls")] => measure(over),
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
