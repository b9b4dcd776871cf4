//! What a worker says of itself: when asked, and, of its connection to the client, unasked as well.

use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `describe` answers beside `ok`, and who is told when it changes.
#[derive(Default)]
pub struct Bulletin {
    known: Mutex<Map<String, Value>>,
    readers: Mutex<Vec<UnixStream>>,
    resumes: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bulletin {
    pub fn new(known: Map<String, Value>) -> Self {
        Self {
            known: Mutex::new(known),
            ..Self::default()
        }
    }

    /// What is known now, to be read or changed.
    pub fn known(&self) -> MutexGuard<'_, Map<String, Value>> {
        lock(&self.known)
    }

    /// One more who is told.
    pub fn add_reader(&self, reader: UnixStream) {
        lock(&self.readers).push(reader);
    }

    /// The session is that of the client on this connection: who would end it must know which one that is.
    pub fn accepted(&self, connection: &str) {
        self.known().insert("connection".into(), connection.into());
    }

    /// The client is lost.
    pub fn client_lost(&self) {
        let resumes = *lock(&self.resumes);
        self.known().insert("connected".into(), false.into());
        self.tell(&json!({"event": "client", "connected": false, "resumes": resumes}));
    }

    /// The client has come back on this connection.
    pub fn client_back(&self, connection: &str) {
        let resumes = {
            let mut resumes = lock(&self.resumes);
            *resumes += 1;
            *resumes
        };
        self.accepted(connection);
        {
            let mut known = self.known();
            known.insert("connected".into(), true.into());
            known.insert("resumes".into(), resumes.into());
        }
        self.tell(&json!({
            "event": "client", "connected": true, "resumes": resumes, "connection": connection,
        }));
    }

    /// Who came on this connection has not the session.
    pub fn refused(&self, connection: &str) {
        self.tell(&json!({"event": "resume", "outcome": "refused", "connection": connection}));
    }

    /// The client did not come back in time.
    pub fn expired(&self) {
        self.tell(&json!({"event": "resume", "outcome": "expired"}));
    }

    fn tell(&self, event: &Value) {
        let line = format!("{event}\n");
        // Who has left, or does not read, is told no more.
        lock(&self.readers).retain_mut(|reader| reader.write_all(line.as_bytes()).is_ok());
    }
}
