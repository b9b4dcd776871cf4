//! The program that `--program` starts: it finds the session socket and the client libraries by its environment.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use aquifer_control::process::PidFd;

pub struct Child {
    process: std::process::Child,
    pidfd: PidFd,
}

/// `lib/aquifer/client` beside the `bin` that this program lies in, where it is there.
fn client_libraries() -> Option<std::path::PathBuf> {
    let prefix = match std::env::var_os("AQUIFER_PREFIX") {
        Some(prefix) => prefix.into(),
        None => std::env::current_exe().ok()?.parent()?.parent()?.to_owned(),
    };
    Some(prefix.join("lib/aquifer/client"))
        .filter(|directory| directory.join("libcuda.so.1").exists())
}

impl Child {
    /// Starts it. The first word is the program.
    pub fn start(words: &[OsString], socket: &Path) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env("AQUIFER_SOCKET", socket);
        if let Some(libraries) = client_libraries() {
            let mut path = libraries.into_os_string();
            if let Some(more) = std::env::var_os("LD_LIBRARY_PATH").filter(|more| !more.is_empty())
            {
                path.push(":");
                path.push(more);
            }
            command.env("LD_LIBRARY_PATH", path);
        }
        let process = aquifer_control::signals::spawn_unblocked(&mut command)?;
        let pidfd = PidFd::of(i32::try_from(process.id()).map_err(io::Error::other)?)?;
        Ok(Self { process, pidfd })
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: i32) {
        let _ = self.pidfd.signal(signal);
    }

    /// Its exit code, 128 + n where signal n has ended it; `None` while it runs.
    pub fn ended(&mut self) -> Option<u8> {
        let status = self.process.try_wait().ok()??;
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Some(u8::try_from(code & 0xff).unwrap_or(1))
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}
