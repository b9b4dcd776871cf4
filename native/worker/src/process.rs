//! What this process is to the kernel: its start time, its confinement, its signs of life and its log.

use std::io::{Error, Result};

/// Descriptors below this one are ours or the spawner's gift: directories that our user could not reach by their paths.
const FIRST_FOREIGN: u32 = 16;

/// When this process started, in clock ticks since boot (field 22 of /proc/self/stat).
pub fn start_time() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the name in parentheses and may hold anything, so fields count from the last ')'.
    let rest = stat.rsplit_once(')').map_or("", |it| it.1);
    rest.split_whitespace()
        .nth(19)
        .and_then(|it| it.parse().ok())
        .ok_or_else(|| Error::other("/proc/self/stat is short"))
}

/// Nanoseconds on the monotonic clock, which all processes of a host share.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills the structure; CLOCK_MONOTONIC cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Confines the process before it hears any peer: no new privileges, no core dump, no debugger of the same user, no
/// descriptor but the standard three, nothing in the environment, files for their owner alone.
///
/// No seccomp filter: NVIDIA's driver uses ioctls, threads and mappings that its manual does not list, and a filter that
/// is right for one driver version ends sessions under the next.
pub fn confine() -> Result<()> {
    // SAFETY: system calls with plain arguments.
    unsafe {
        libc::umask(0o077);
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        let confined = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
            && libc::setrlimit(libc::RLIMIT_CORE, &none) == 0;
        if !confined {
            return Err(Error::last_os_error());
        }
        if libc::syscall(libc::SYS_close_range, FIRST_FOREIGN, u32::MAX, 0u32) != 0 {
            (FIRST_FOREIGN as i32..1024).for_each(|descriptor| {
                libc::close(descriptor);
            });
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        // Short sleeps of the turn are of its order; the default slack of 50 µs would be charged to nobody.
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000, 0, 0, 0);
    }
    for (name, _) in std::env::vars_os() {
        // SAFETY: called before any other thread exists.
        unsafe { std::env::remove_var(name) };
    }
    Ok(())
}

/// Writes one line of JSON to standard error: `{"level", "message", …fields}`. Never a secret.
pub fn log(level: &str, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let mut line = serde_json::Map::new();
    line.insert("level".into(), level.into());
    line.insert("message".into(), message.into());
    for (name, value) in fields {
        line.insert((*name).into(), value.to_string().into());
    }
    let text = serde_json::Value::Object(line).to_string() + "\n";
    // SAFETY: one write of valid bytes. A closed standard error is no reason to end a session.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// An empty directory of its own for a test, gone when it is dropped.
#[cfg(test)]
pub struct ScratchDirectory(std::path::PathBuf);

#[cfg(test)]
impl ScratchDirectory {
    pub fn new(name: &str) -> ScratchDirectory {
        let name = format!("aquifer-worker-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        ScratchDirectory(path)
    }
}

#[cfg(test)]
impl std::ops::Deref for ScratchDirectory {
    type Target = std::path::Path;

    fn deref(&self) -> &std::path::Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_after_boot_and_does_not_change() {
        let start = start_time().unwrap();
        assert!(start > 0);
        assert_eq!(start_time().unwrap(), start);
    }
}
