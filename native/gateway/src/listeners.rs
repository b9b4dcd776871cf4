//! The sockets that are listened on.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use aquifer_control::poll::Poller;
use aquifer_control::unix_socket;
use aquifer_control::vsock::VsockListener;

use crate::Settings;
use crate::connection::PeerKind;
use crate::gateway::{FIRST_LISTENER, FIRST_PEER};

/// How long nothing is accepted when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
    Vsock(VsockListener),
    /// Of vhost-user-vsock: a process for each guest connects here for it.
    VsockUnix(UnixListener),
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Unix(listener) | Self::VsockUnix(listener) => listener.as_raw_fd(),
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Vsock(listener) => listener.as_raw_fd(),
        }
    }
}

impl Listener {
    fn open(address: &str) -> io::Result<Self> {
        match address.strip_prefix("vsock:") {
            Some(path) if path.starts_with('/') => {
                unix_socket::listen(Path::new(path), 0o600).map(Self::VsockUnix)
            }
            Some(port) => {
                let port = port.parse().map_err(|_| {
                    let text = "a port or an absolute path is wanted after vsock:";
                    io::Error::new(io::ErrorKind::InvalidInput, text)
                })?;
                VsockListener::bind(port).map(Self::Vsock)
            }
            None => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                unix_socket::widen_queue(&listener)?;
                Ok(Self::Tcp(listener))
            }
        }
    }

    fn accept(&self) -> io::Result<(OwnedFd, PeerKind)> {
        Ok(match self {
            Self::Unix(listener) => (listener.accept()?.0.into(), PeerKind::Unix),
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                (stream.into(), PeerKind::Tcp(address.to_string()))
            }
            Self::Vsock(listener) => {
                let (stream, address) = listener.accept()?;
                (stream, PeerKind::Vsock(address))
            }
            Self::VsockUnix(listener) => {
                let stream = listener.accept()?.0.into();
                (stream, PeerKind::Vsock(String::new()))
            }
        })
    }
}

/// All sockets that are listened on; tokens count from [`FIRST_LISTENER`].
pub struct Listeners {
    listeners: Vec<Listener>,
    paused_until: Option<Instant>,
}

impl Listeners {
    /// Opens the unix socket and those that `--listen` names.
    pub fn open(settings: &Settings, poller: &Poller) -> io::Result<Self> {
        let unix = unix_socket::listen(&settings.run_directory.join("gateway.sock"), 0o600)?;
        let mut listeners = vec![Listener::Unix(unix)];
        for address in &settings.listen {
            listeners.push(Listener::open(address).map_err(|error| {
                io::Error::new(error.kind(), format!("--listen {address}: {error}"))
            })?);
        }
        if listeners.len() as u64 > FIRST_PEER - FIRST_LISTENER {
            return Err(io::Error::other("--listen is given too often"));
        }
        for (listener, token) in listeners.iter().zip(FIRST_LISTENER..) {
            poller.add(listener, token)?;
        }
        Ok(Self {
            listeners,
            paused_until: None,
        })
    }

    /// The TCP addresses that are listened on, port 0 resolved.
    pub fn addresses(&self) -> Vec<String> {
        let address = |listener: &Listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            _ => None,
        };
        let addresses = self.listeners.iter().filter_map(address);
        addresses.map(|address| address.to_string()).collect()
    }

    /// A connection that waits at a listener, if there is one.
    pub fn accept(&self, token: u64) -> Option<io::Result<(OwnedFd, PeerKind)>> {
        let listener = self.listeners.get((token - FIRST_LISTENER) as usize)?;
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            other => Some(other),
        }
    }

    /// Accepts nothing for a little while.
    pub fn pause(&mut self, poller: &Poller) {
        for listener in &self.listeners {
            let _ = poller.remove(listener);
        }
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    /// Goes on after a pause; gives its end.
    pub fn tick(&mut self, poller: &Poller, now: Instant) -> Option<Instant> {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            for (listener, token) in self.listeners.iter().zip(FIRST_LISTENER..) {
                let _ = poller.add(listener, token);
            }
        }
        self.paused_until
    }
}
