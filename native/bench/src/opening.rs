//! What passes before a program can launch.

use crate::program::Program;
use crate::samples::{Report, Samples, time};
use std::process::Command;

const SESSIONS: usize = 30;

/// In a process of its own: from loading the library to the end of the first launch, in ns, on standard output.
pub fn open() -> Result<(), String> {
    let ns = time(|| {
        let program = Program::start()?;
        program.launch(1, || {})?;
        program.synchronize()
    })?;
    println!("{ns}");
    Ok(())
}

/// Sessions one after the other, each of a new process.
pub fn measure(over: &str) -> Result<(), String> {
    let mut samples = Samples::default();
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    for _ in 0..SESSIONS {
        let ran = Command::new(&me)
            .arg("open")
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let ns = text.trim().parse();
        samples.push(ns.map_err(|_| String::from_utf8_lossy(&ran.stderr).into_owned())?);
    }
    Report::new(format!("session-open.{over}"), &samples).print();
    Ok(())
}
