//! What a vhost-user-vsock process is to a connector, without a guest: a socket from which connections are passed on to the
//! gateway, and which takes all of them down when it is pulled out.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Plug {
    path: PathBuf,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Plug {
    /// Listens at `path`, in front of the socket at `gateway`.
    pub fn plug_in(path: &Path, gateway: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let streams: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
        let (kept, gateway) = (streams.clone(), gateway.to_owned());
        thread::spawn(move || {
            for inner in listener.incoming().flatten() {
                let outer = UnixStream::connect(&gateway).unwrap();
                for (mut from, mut to) in [
                    (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                    (outer.try_clone().unwrap(), inner.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                kept.lock().unwrap().extend([inner, outer]);
            }
        });
        Self {
            path: path.to_owned(),
            streams,
        }
    }

    /// Refuses new connections; those that stand stay.
    pub fn refuse(&self) {
        std::fs::remove_file(&self.path).unwrap();
    }

    /// Cuts every connection; new ones are refused.
    pub fn pull_out(self) {
        let _ = std::fs::remove_file(&self.path);
        for stream in self.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
