//! Where a client whose connection was lost comes back to. The gateway hands connections over; who shows the secret that the
//! worker gave last has the session, and gets another secret, so that each works once.

use crate::bulletin::Bulletin;
use crate::control::Arrival;
use crate::handshake::{equal, read_first};
use crate::outbox::Outbox;
use crate::process::log;
use aquifer_cuda::{CUDA_ERROR_DEVICE_UNAVAILABLE, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, CUresult};
use aquifer_protocol::frame::{Envelope, frame};
use aquifer_protocol::generated::{Closed, Resume};
use aquifer_protocol::{
    Connection, PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR, SessionKey, random_secret,
};
use std::io::{self, IoSlice};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From a connection to a Resume that holds.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that has shown the secret.
pub struct Newcomer {
    pub connection: Connection,
    /// What the gateway calls it.
    pub name: String,
    /// The highest sequence of the worker that it has received.
    pub received: u64,
    pub next_secret: [u8; 32],
}

struct State {
    /// What the client has for certain.
    secret: [u8; 32],
    /// What was sent to it since: whether it came is known when the client speaks on the connection that it was sent on.
    next: Option<[u8; 32]>,
    newcomer: Option<Newcomer>,
}

/// One session's door.
pub struct Door {
    state: Mutex<State>,
    came: Condvar,
    grace: Duration,
    /// Tells who is interested whether the client is there.
    pub bulletin: Arc<Bulletin>,
}

impl Door {
    /// A door with its first secret. A client has `grace` to come back.
    pub fn new(grace: Duration, bulletin: Arc<Bulletin>) -> io::Result<Door> {
        let state = Mutex::new(State {
            secret: random_secret()?,
            next: None,
            newcomer: None,
        });
        Ok(Door {
            state,
            came: Condvar::new(),
            grace,
            bulletin,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret that the client is to be told.
    pub fn secret(&self) -> [u8; 32] {
        self.state().secret
    }

    /// Waits for the client; none when it does not come in time.
    pub fn wait(&self) -> Option<Newcomer> {
        let end = Instant::now() + self.grace;
        let mut state = self.state();
        loop {
            if let Some(newcomer) = state.newcomer.take() {
                return Some(newcomer);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.came.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The client has spoken on the connection on which it was told `secret`: the one before is worthless from now on, and so is
    /// whoever came with it meanwhile.
    pub fn settle(&self, secret: [u8; 32]) {
        let mut state = self.state();
        state.secret = secret;
        state.next = None;
        state.newcomer = None;
    }

    /// The next secret, if `shown` is one that counts.
    fn admit(&self, shown: &[u8; 32]) -> Option<[u8; 32]> {
        let mut state = self.state();
        let is_last = equal(&state.secret, shown);
        let is_next = state.next.is_some_and(|next| equal(&next, shown));
        if !is_last && !is_next {
            return None;
        }
        let next = random_secret().ok()?;
        state.secret = *shown;
        state.next = Some(next);
        // One that came before it was seen to and has the same secret is the same client.
        state.newcomer = None;
        Some(next)
    }

    /// Sees to those whom the gateway sends, one after the other, for the rest of the process's life.
    pub fn attend(
        self: Arc<Door>,
        outbox: Arc<Outbox>,
        key: SessionKey,
        sent: Receiver<Arrival>,
        session: String,
    ) -> io::Result<()> {
        let attend = move || {
            for arrival in sent {
                if let Err(reason) = self.meet(arrival, &outbox, &key) {
                    log(
                        "warn",
                        "a client could not resume",
                        &[("session", &session), ("reason", &reason)],
                    );
                }
            }
        };
        std::thread::Builder::new()
            .name("door".into())
            .stack_size(256 << 10)
            .spawn(attend)
            .map(|_| ())
    }

    fn meet(&self, arrival: Arrival, outbox: &Outbox, key: &SessionKey) -> Result<(), String> {
        let told = |error: io::Error| error.to_string();
        let Arrival {
            descriptor,
            connection: name,
        } = arrival;
        let connection = Connection::tls_server(descriptor, key, RESUME_TIMEOUT).map_err(told)?;
        let resume: Resume =
            read_first(&connection, RESUME_TIMEOUT).map_err(|end| format!("{end:?}"))?;
        let refuse = |result: CUresult, reason: &str| {
            let closed = frame(&Closed { result }, Envelope::default(), reason.as_bytes());
            let _ = connection.send_all_waiting(&mut [IoSlice::new(&closed)]);
            self.bulletin.refused(&name);
            Err(reason.to_owned())
        };
        if (resume.major, resume.fingerprint) != (PROTOCOL_MAJOR, PROTOCOL_FINGERPRINT) {
            let reason = "ProtocolMismatch: the client's version has changed";
            return refuse(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, reason);
        }
        // Of two guests restored from one state the first may have gone on without having lost its connection: the secret of
        // the other one still counts, but it has got less than has come.
        let is_current = outbox.can_resume(resume.received);
        let next_secret = is_current.then(|| self.admit(&resume.secret)).flatten();
        let Some(next_secret) = next_secret else {
            let reason =
                "ResumedElsewhere: the session went on without this client, or never was its";
            return refuse(CUDA_ERROR_DEVICE_UNAVAILABLE, reason);
        };
        // The client knows better than this end whether the connection before is lost.
        outbox.cut();
        self.state().newcomer = Some(Newcomer {
            connection,
            name,
            received: resume.received,
            next_secret,
        });
        self.came.notify_all();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::new(Duration::from_millis(1), Arc::default()).unwrap()
    }

    #[test]
    fn a_secret_works_until_its_successor_has_come() {
        let door = door();
        let first = door.secret();
        let lost = door.admit(&first).unwrap();
        // The answer with `lost` never came: the client has nothing but the first one.
        let second = door.admit(&first).unwrap();
        assert_eq!(
            door.admit(&lost),
            None,
            "what never came to anybody is nobody's"
        );
        door.settle(second);
        assert_eq!(door.admit(&first), None, "used");
        assert!(door.admit(&second).is_some());
    }

    #[test]
    fn a_successor_proves_itself_by_being_shown() {
        let door = door();
        let first = door.secret();
        let second = door.admit(&first).unwrap();
        assert!(door.admit(&second).is_some());
        assert_eq!(door.admit(&first), None);
    }

    #[test]
    fn of_two_with_one_secret_the_first_that_speaks_has_the_session() {
        let door = door();
        let first = door.secret();
        let one = door.admit(&first).unwrap();
        let other = door.admit(&first).unwrap();
        door.settle(one);
        assert_eq!(door.admit(&first), None);
        assert_eq!(door.admit(&other), None);
        assert!(door.admit(&one).is_some());
    }

    #[test]
    fn no_other_secret_opens_it_and_nobody_is_waited_for_for_ever() {
        let door = door();
        assert_eq!(door.admit(&[0; 32]), None);
        assert!(door.wait().is_none());
    }
}
