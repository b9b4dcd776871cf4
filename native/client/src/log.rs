//! What the client says on stderr, one line each. AQUIFER_LOG is `off`, `error` (the default) or `debug`.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

const OFF: u8 = 0;
const ERROR: u8 = 1;
const DEBUG: u8 = 2;

static LEVEL: AtomicU8 = AtomicU8::new(ERROR);

/// Reads AQUIFER_LOG: from `cuInit` and `nvmlInit` only.
pub fn set_from_environment() {
    let level = match std::env::var("AQUIFER_LOG").as_deref() {
        Ok("off") => OFF,
        Ok("debug") => DEBUG,
        _ => ERROR,
    };
    LEVEL.store(level, Ordering::Relaxed);
}

/// Why something that the program asked for cannot be had.
pub fn error(message: impl Display) {
    write(ERROR, message);
}

/// What helps to see why a program behaves as it does.
pub fn debug(message: impl Display) {
    write(DEBUG, message);
}

fn write(level: u8, message: impl Display) {
    if LEVEL.load(Ordering::Relaxed) >= level {
        // One write a line, so that lines of several processes do not mix; a closed stderr is nobody's error.
        let line = format!("aquifer: {message}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
