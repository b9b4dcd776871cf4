//! A blocking connection, in the clear or with TLS 1.3.

use super::socket::Socket;
use super::tls::Tls;
use std::io::{ErrorKind, Read, Result, Write};

pub enum Link {
    Plain(Socket),
    Tls(Box<Tls>),
}

impl Link {
    pub fn plain(socket: Socket) -> Self {
        Self::Plain(socket)
    }

    pub fn tls_client(socket: Socket) -> Result<Self> {
        Tls::client(socket).map(|tls| Self::Tls(Box::new(tls)))
    }

    pub fn tls_server(socket: Socket) -> Result<Self> {
        Tls::server(socket).map(|tls| Self::Tls(Box::new(tls)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.send(bytes),
        }
    }

    /// Receives what is there, waiting for at least one byte.
    pub fn receive_some(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let got = match self {
            Self::Plain(socket) => socket.read(bytes)?,
            Self::Tls(tls) => tls.receive_some(bytes)?,
        };
        if got == 0 && !bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(got)
    }

    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.receive_some(&mut bytes[done..])?;
        }
        Ok(())
    }
}
