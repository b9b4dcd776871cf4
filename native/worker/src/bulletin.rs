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

    /// The client is lost, or has come back.
    pub fn client_is(&self, connected: bool) {
        let resumes = {
            let mut resumes = lock(&self.resumes);
            *resumes += u64::from(connected);
            *resumes
        };
        {
            let mut known = self.known();
            known.insert("connected".into(), connected.into());
            known.insert("resumes".into(), resumes.into());
        }
        let event = json!({"event": "client", "connected": connected, "resumes": resumes});
        let line = format!("{event}\n");
        // Who has left, or does not read, is told no more.
        lock(&self.readers).retain_mut(|reader| reader.write_all(line.as_bytes()).is_ok());
    }
}
