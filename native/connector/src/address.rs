//! Where a gateway listens, as ticket files say it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use aquifer_control::tls_link::Socket;
use aquifer_control::{tcp, unix_socket, vsock};

/// One way to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A unix socket of this host.
    Unix(PathBuf),
    /// host:port.
    Tcp(String),
    /// Context id and port: from a guest, its host is 2.
    Vsock(u32, u32),
}

impl Address {
    /// Reads `unix:/PATH`, `vsock:CID:PORT` or `HOST:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        if let Some(rest) = text.strip_prefix("vsock:") {
            let (cid, port) = rest.split_once(':')?;
            return Some(Self::Vsock(cid.parse().ok()?, port.parse().ok()?));
        }
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| Self::Tcp(text.to_owned()))
    }

    /// What can be connected to, or the name that has to be resolved first.
    pub fn reached(&self) -> Result<Reached, &str> {
        match self {
            Self::Unix(path) => Ok(Reached::Unix(path.clone())),
            Self::Tcp(text) => text.parse().map(Reached::Tcp).map_err(|_| text.as_str()),
            Self::Vsock(cid, port) => Ok(Reached::Vsock(*cid, *port)),
        }
    }

    /// Whether it needs no network.
    pub fn is_vsock(&self) -> bool {
        matches!(self, Self::Vsock(..))
    }
}

/// Where a gateway is: data connections go to where the control connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Vsock(u32, u32),
}

impl Reached {
    /// Begins a connection; it stands when the socket is writable and [`tcp::outcome`] says so.
    pub fn begin_connect(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Socket::new(unix_socket::connect(path)?.into()),
            Self::Tcp(address) => tcp::begin_connect(*address),
            Self::Vsock(cid, port) => vsock::begin_connect(*cid, *port),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
            Self::Vsock(cid, port) => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_read_and_written() {
        for (text, address) in [
            ("unix:/run/g.sock", Address::Unix("/run/g.sock".into())),
            ("vsock:2:9960", Address::Vsock(2, 9960)),
            ("10.0.0.1:9960", Address::Tcp("10.0.0.1:9960".into())),
            ("[::1]:9960", Address::Tcp("[::1]:9960".into())),
        ] {
            assert_eq!(Address::parse(text).as_ref(), Some(&address));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "host",
            ":1",
            "unix:relative",
            "host:99999",
            "vsock:9960",
            "vsock::1",
            "vsock:-1:1",
            "vsock:2:4294967296",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
