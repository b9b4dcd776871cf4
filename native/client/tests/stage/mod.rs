//! What the tests play with: the library, loaded as a program loads it, and a worker that keeps device memory in a vector.
#![allow(dead_code)]

pub mod driver;
pub mod worker;

use std::process::Command;

/// Runs a test in a process of its own: the library has one session per process.
pub fn alone(name: &str, body: impl FnOnce()) {
    const CASE: &str = "AQUIFER_TEST_CASE";
    if std::env::var(CASE).as_deref() == Ok(name) {
        return body();
    }
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture"])
        .env(CASE, name)
        .output()
        .expect("started");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&told)
    );
}
