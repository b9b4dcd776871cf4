//! `keeper COMMAND...` runs a command, and again whenever it was killed or has failed. Kubelet does that for containers,
//! but waits up to five minutes between two starts, and may be away itself: what it needs when it comes back must be there.
//!
//!     start ──> runs ──exit 0, usage, or asked to end──> the same exit code
//!       ^         └────any other end────> pause ──asked to end──> 0
//!       └────────────────────────────────────┘

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use aquifer_control::arguments::{EXIT_FAILURE, EXIT_USAGE};
use aquifer_control::poll::Poller;
use aquifer_control::process::PidFd;
use aquifer_control::signals::{Signals, spawn_unblocked};
use aquifer_control::{error, log, warning};

/// Before the first start after a failure; each failure after that doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A kubelet that comes back has admitted its pods half a second later.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What has run for so long has started well.
const STEADY: Duration = Duration::from_secs(10);

const SIGNALS: u64 = 0;
const PROCESS: u64 = 1;

fn main() -> ExitCode {
    log::start("aquifer-keeper", log::Form::Json);
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((program, arguments)) = words.split_first() else {
        eprintln!("usage: keeper COMMAND...");
        return EXIT_USAGE.into();
    };
    let mut command = Command::new(program);
    command.args(arguments);
    match keep(&mut command) {
        Ok(code) => code.into(),
        Err(reason) => {
            error!("cannot go on", program = program.display(), reason = reason);
            EXIT_FAILURE.into()
        }
    }
}

fn keep(command: &mut Command) -> io::Result<u8> {
    let signals = Signals::take(&[libc::SIGTERM, libc::SIGINT])?;
    end_with_us(command);
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let (code, asked) = run(spawn_unblocked(command)?, &signals)?;
        if asked || code == 0 || code == EXIT_USAGE {
            return Ok(code);
        }
        if started.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        warning!("started again", exit = code, afterMs = pause.as_millis());
        if is_asked_to_end(&signals, pause)? {
            return Ok(0);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A command that outlived its keeper would stand in the way of the next.
fn end_with_us(command: &mut Command) {
    // SAFETY: between fork and exec, one system call with integers.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            },
        );
    }
}

/// Passes signals on until it has ended. Says how, and whether it was asked to.
fn run(mut child: Child, signals: &Signals) -> io::Result<(u8, bool)> {
    let process = PidFd::of(i32::try_from(child.id()).map_err(io::Error::other)?)?;
    let poller = Poller::new()?;
    poller.add(signals, SIGNALS)?;
    poller.add(&process, PROCESS)?;
    let mut asked = false;
    loop {
        let events = poller.wait(None)?;
        while let Some(signal) = signals.next() {
            asked = true;
            process.signal(signal)?;
        }
        if events.iter().any(|event| event.token == PROCESS) {
            return Ok((code_of(child.wait()?), asked));
        }
    }
}

fn is_asked_to_end(signals: &Signals, within: Duration) -> io::Result<bool> {
    let poller = Poller::new()?;
    poller.add(signals, SIGNALS)?;
    poller.wait(Some(within))?;
    Ok(signals.next().is_some())
}

/// 128 + n where signal n has ended it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(EXIT_FAILURE)
}
