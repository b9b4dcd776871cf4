//! The workers: children of this process, and those of a spawner that died, which are watched by pidfd.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aquifer_control::handover::{FIRST, Handover};
use aquifer_control::process::{PidFd, ProcessId};
use aquifer_control::run_directory::{WorkerRecord, worker_records, write_atomically};
use aquifer_control::{info, warning};
use serde_json::{Value, json};

use crate::Settings;

/// How long a worker may take to end by itself before it is made to.
const KILL_AFTER: Duration = Duration::from_secs(1);

/// One worker that has not been seen to end.
pub struct Worker {
    pub record: WorkerRecord,
    pub pidfd: PidFd,
    /// Whether another spawner started it: its exit code will not be known.
    pub adopted: bool,
    pub kill_at: Option<Instant>,
}

pub struct Workers {
    directory: PathBuf,
    /// Opened once: the program is found although the worker's user may not reach its directory.
    program: OwnedFd,
    user: Option<(u32, u32)>,
    pub living: HashMap<String, Worker>,
}

impl Workers {
    /// Finds the living workers of an earlier spawner and clears away what the dead ones left.
    pub fn find(settings: &Settings) -> io::Result<Self> {
        let directory = settings.run_directory.join("workers");
        std::fs::create_dir_all(&directory)?;
        let program = File::open(&settings.worker).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}", settings.worker.display()),
            )
        })?;
        let mut workers = Self {
            directory,
            program: program.into(),
            user: settings.user,
            living: HashMap::new(),
        };
        for record in worker_records(&workers.directory) {
            match record.process.open() {
                Ok(pidfd) => {
                    info!(
                        "a worker of an earlier spawner lives: its exit code will not be known",
                        session = record.session
                    );
                    let worker = Worker {
                        record,
                        pidfd,
                        adopted: true,
                        kill_at: None,
                    };
                    workers.living.insert(worker.record.session.clone(), worker);
                }
                Err(_) => workers.clear_away(&record.session),
            }
        }
        Ok(workers)
    }

    /// Starts a worker and feeds it its configuration.
    pub fn spawn(&mut self, session: &str, mut config: Value, record: Value) -> io::Result<i32> {
        let claim = config.get("claim").cloned().unwrap_or_default();
        let mut handover = Handover::default();
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command
            .arg0("worker")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        if let Some((uid, gid)) = self.user {
            handover.rewrite(&mut config, gid)?;
            command.uid(uid).gid(gid);
        }
        let given: Vec<i32> = handover.0.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: between fork and exec it makes system calls only and touches no lock and no heap.
        unsafe { command.pre_exec(move || prepare_child(&given)) };
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // At most 64 KiB: a pipe takes that without a reader, so a worker that does not read cannot hold us up.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(format!("{config}\n").as_bytes());
        }
        let process = ProcessId::of(pid)?;
        let worker = Worker {
            record: WorkerRecord {
                session: session.to_owned(),
                process,
                claim,
                record,
            },
            pidfd: PidFd::of(pid)?,
            adopted: false,
            kill_at: None,
        };
        write_atomically(
            &self.path(session, "json"),
            &serde_json::to_value(&worker.record)?,
        )?;
        info!("worker started", session = session, pid = pid);
        self.living.insert(session.to_owned(), worker);
        Ok(pid)
    }

    /// Asks a worker to end, and makes it after [`KILL_AFTER`]. Says whether there is such a worker.
    pub fn kill(&mut self, session: &str) -> bool {
        let Some(worker) = self.living.get_mut(session) else {
            return false;
        };
        if worker.kill_at.is_none() {
            worker.kill_at = Some(Instant::now() + KILL_AFTER);
            let _ = worker.pidfd.signal(libc::SIGTERM);
        }
        true
    }

    /// Asks every worker to end.
    pub fn kill_all(&mut self) {
        for session in self.living.keys().cloned().collect::<Vec<_>>() {
            self.kill(&session);
        }
    }

    /// Ends those whose time to end by themselves is over; gives the next such moment.
    pub fn kill_overdue(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for worker in self
            .living
            .values_mut()
            .filter(|worker| worker.kill_at.is_some_and(|at| at <= now))
        {
            warning!(
                "worker did not end when asked: killed",
                session = worker.record.session
            );
            let _ = worker.pidfd.signal(libc::SIGKILL);
            worker.kill_at = Some(now + KILL_AFTER);
        }
        self.living
            .values()
            .filter_map(|worker| worker.kill_at)
            .min()
    }

    /// What `list` answers.
    pub fn list(&self) -> Vec<Value> {
        let entry = |worker: &Worker| {
            let mut entry = serde_json::to_value(&worker.record).unwrap_or_default();
            entry["adopted"] = worker.adopted.into();
            entry
        };
        self.living.values().map(entry).collect()
    }

    /// Takes the ends of children and of adopted workers, and forgets them; gives the events that tell of them.
    pub fn reap(&mut self) -> Vec<Value> {
        let mut exits = Vec::new();
        loop {
            // SAFETY: all-zero is a valid siginfo_t; the kernel fills it, and its pid is 0 when no child has ended.
            let (result, pid) = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                (
                    libc::waitid(libc::P_ALL, 0, &mut info, options),
                    info.si_pid(),
                )
            };
            if result < 0 || pid == 0 {
                break;
            }
            let ended = self
                .living
                .values()
                .find(|worker| worker.record.process.pid == pid);
            let session = ended.map(|worker| worker.record.session.clone());
            let mut status = 0;
            // SAFETY: the pid is a zombie of ours, so neither it nor its process group's number can be another's yet.
            unsafe {
                if session.is_some() {
                    libc::kill(-pid, libc::SIGKILL);
                }
                libc::waitpid(pid, &mut status, 0);
            }
            let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
            let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            exits.extend(session.map(|session| (session, code, signal)));
        }
        let adopted = self
            .living
            .values()
            .filter(|worker| worker.adopted && !worker.record.process.is_alive());
        exits.extend(adopted.map(|worker| (worker.record.session.clone(), None, None)));
        exits
            .into_iter()
            .filter_map(|(session, code, signal)| self.forget(&session, code, signal))
            .collect()
    }

    fn forget(&mut self, session: &str, code: Option<i32>, signal: Option<i32>) -> Option<Value> {
        let pid = self.living.remove(session)?.record.process.pid;
        self.clear_away(session);
        Some(
            json!({"event": "exited", "session": session, "pid": pid, "code": code, "signal": signal}),
        )
    }

    fn clear_away(&self, session: &str) {
        for kind in ["json", "sock"] {
            let _ = std::fs::remove_file(self.path(session, kind));
        }
    }

    fn path(&self, session: &str, kind: &str) -> PathBuf {
        self.directory.join(format!("{session}.{kind}"))
    }
}

/// Runs in the child: nothing is inherited but the given descriptors, and nothing can be gained by exec.
fn prepare_child(given: &[i32]) -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: system calls on plain values; `set` is initialised by sigemptyset before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
        for (number, from) in (FIRST..).zip(given) {
            if libc::dup2(*from, number) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let rest = libc::c_uint::try_from(FIRST).unwrap_or(0) + given.len() as libc::c_uint;
        libc::syscall(
            libc::SYS_close_range,
            rest,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        if libc::setrlimit(libc::RLIMIT_CORE, &none) < 0
            || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
