//! How sessions end, and how those of an earlier gateway are taken up.

use std::time::{Duration, Instant};

use aquifer_control::identity::HolderKey;
use aquifer_control::preamble::Token16;
use aquifer_control::refusal::Refusal;
use aquifer_control::run_directory::{WorkerRecord, worker_records};
use aquifer_control::{info, warning};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::gateway::{AskedBackend, AskedSpawner, Gateway, REPORT_PATIENCE};
use crate::opening::START_WITHIN;
use crate::session::{Kept, Phase, reason};

/// From asking for an end to making it: the spawner itself takes a second.
const KILL_WITHIN: Duration = Duration::from_secs(3);
/// How long a worker may take to end with its connection when its program has: then what the program did is counted to the last.
const END_WITHIN: Duration = Duration::from_millis(500);

impl Gateway {
    /// Ends a session: its worker is asked to, then made to; one whose program has ended may end by itself.
    pub fn end_session(&mut self, id: Token16, why: &'static str) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.ending.is_some() {
            return;
        }
        session.ending = Some(why);
        info!("session is being ended", session = id, reason = why);
        // Before there is a worker the end comes with the answer that is waited for.
        if session.process.is_none() {
            return;
        }
        if why == reason::PROGRAM_EXITED && session.phase == Phase::Attached {
            session.deadline = Some(Instant::now() + END_WITHIN);
        } else {
            self.kill(id);
        }
    }

    fn kill(&mut self, id: Token16) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.is_killed = true;
        session.deadline = Some(Instant::now() + KILL_WITHIN);
        let request = json!({"op": "kill", "session": id.to_string()});
        let asked = self
            .spawner
            .ask(request, AskedSpawner::Kill(id), KILL_WITHIN);
        if asked.is_err() {
            self.kill_directly(id);
        }
    }

    /// Ends all sessions of a claim.
    pub fn revoke(&mut self, claim_uid: &str) {
        let theirs = self
            .sessions
            .values()
            .filter(|session| session.kept.claim.uid == claim_uid);
        for id in theirs.map(|session| session.id).collect::<Vec<_>>() {
            self.end_session(id, reason::CLAIM_REVOKED);
        }
    }

    /// Where the spawner is away or does not know the worker.
    pub fn kill_directly(&mut self, id: Token16) {
        if let Some((_, pidfd)) = self
            .sessions
            .get(&id)
            .and_then(|session| session.process.as_ref())
            && let Err(error) = pidfd.signal(libc::SIGKILL)
        {
            warning!("a worker cannot be killed", session = id, reason = error);
        }
    }

    /// The spawner tells that a worker has ended.
    pub fn worker_exited(&mut self, event: &Map<String, Value>) {
        let text = event
            .get("session")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(session) = Token16::parse(text).and_then(|id| self.sessions.get(&id)) else {
            return;
        };
        let clean = event.get("code").and_then(Value::as_i64) == Some(0);
        let why = match (session.ending, session.phase) {
            (Some(reason::WORKER_EXITED) | None, Phase::Attached) if clean => {
                reason::CONNECTION_CLOSED
            }
            (Some(why), _) => why,
            (None, Phase::Attached) => reason::WORKER_EXITED,
            (None, _) => reason::WORKER_FAILED,
        };
        let how = json!({"code": event.get("code"), "signal": event.get("signal")});
        self.finish(session.id, why, how);
    }

    /// A session that will not be: the opener hears why, and the backend that its admission is over.
    pub fn fail(&mut self, id: Token16, refusal: Refusal) {
        let has_worker = self
            .sessions
            .get(&id)
            .is_some_and(|session| session.process.is_some());
        self.refuse_opener(id, refusal);
        if has_worker {
            self.end_session(id, reason::WORKER_FAILED);
        } else {
            self.finish(id, reason::WORKER_FAILED, Value::Null);
        }
    }

    pub fn refuse_opener(&mut self, id: Token16, refusal: Refusal) {
        if let Some((connection, request)) = self
            .sessions
            .get_mut(&id)
            .and_then(|session| session.opener.take())
        {
            info!("session refused", session = id, reason = refusal);
            self.finish_request(connection, &request, Err(refusal));
        }
    }

    pub fn finish(&mut self, id: Token16, why: &'static str, exit: Value) {
        let message = format!("the worker ended before the session was open ({exit})");
        self.refuse_opener(id, Refusal::new(why, message));
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        info!(
            "session ended",
            session = id,
            claim = session.kept.claim.name,
            reason = why,
            exit = exit
        );
        let holder = session.holder;
        let report =
            json!({"op": "sessionEnded", "session": id.to_string(), "reason": why, "exit": exit});
        let _ = self
            .backend
            .ask(report, AskedBackend::Report, REPORT_PATIENCE);
        self.tell_holder(
            holder,
            &json!({"event": "ended", "session": id.to_string(), "reason": why}),
        );
        self.forget(id);
    }

    pub fn forget(&mut self, id: Token16) {
        if let Some(session) = self.sessions.remove(&id) {
            self.session_tokens.remove(&session.worker_token);
            self.session_tokens.remove(&session.life_token);
        }
    }

    /// Does what is due for sessions; gives the next such moment.
    pub fn tick_sessions(&mut self, now: Instant) -> Option<Instant> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let ready = self
            .sessions
            .values()
            .filter(|one| due(one.connect_at) || due(one.deadline));
        let ready: Vec<Token16> = ready.map(|session| session.id).collect();
        for id in ready {
            if self
                .sessions
                .get(&id)
                .is_some_and(|session| due(session.deadline))
            {
                self.overdue(id);
            } else {
                self.connect_worker(id);
            }
        }
        self.sessions
            .values()
            .flat_map(|session| [session.connect_at, session.deadline])
            .flatten()
            .min()
    }

    fn overdue(&mut self, id: Token16) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.deadline = None;
        session.connect_at = None;
        let lives = session
            .process
            .as_ref()
            .is_some_and(|(process, _)| process.is_alive());
        match (session.ending, session.phase) {
            (Some(why), _) if !lives => self.finish(id, why, Value::Null),
            (Some(_), _) if !session.is_killed => self.kill(id),
            (Some(_), _) => {
                session.deadline = Some(Instant::now() + KILL_WITHIN);
                self.kill_directly(id);
            }
            (None, Phase::Ready) => self.end_session(id, reason::ATTACH_TIMEOUT),
            // Adopted and silent: its program may be at work, so it is left alone.
            (None, Phase::Starting) if session.opener.is_none() => session.phase = Phase::Attached,
            (None, _) => {
                let message = format!(
                    "the worker was not ready within {} s",
                    START_WITHIN.as_secs()
                );
                self.fail(id, Refusal::new(reason::WORKER_FAILED, message));
            }
        }
    }

    /// Takes up the sessions of an earlier gateway: their workers live, and nothing of theirs passed through it.
    pub fn adopt_workers(&mut self) {
        for WorkerRecord {
            session,
            process,
            record,
            ..
        } in worker_records(&self.settings.run_directory.join("workers"))
        {
            let Ok(kept) = Kept::deserialize(&record) else {
                continue;
            };
            let (Some(id), Some(holder)) =
                (Token16::parse(&session), HolderKey::parse(&kept.holder))
            else {
                continue;
            };
            let Ok(pidfd) = process.open() else { continue };
            let mut adopted = self.new_session(id, holder, kept, Phase::Starting);
            if self.poller.add(&pidfd, adopted.life_token).is_err() {
                continue;
            }
            adopted.process = Some((process, pidfd));
            adopted.deadline = Some(Instant::now() + START_WITHIN);
            adopted.connect_at = Some(Instant::now());
            self.sessions.insert(id, adopted);
            info!("session adopted", session = id, pid = process.pid);
        }
    }

    /// The control connection of `opener` is gone: a session that only it could attach ends; all others live on.
    pub fn opener_left(&mut self, token: u64) {
        let theirs = self.sessions.values_mut().filter(|session| {
            session
                .opener
                .as_ref()
                .is_some_and(|(connection, _)| *connection == token)
        });
        let mut orphaned = Vec::new();
        for session in theirs {
            session.opener = None;
            orphaned.push(session.id);
        }
        for id in orphaned {
            self.end_session(id, reason::ATTACH_TIMEOUT);
        }
    }
}
