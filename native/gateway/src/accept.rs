//! New connections: bounded in number, in time and in bytes until they have shown a ticket or a nonce.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aquifer_control::preamble::{PREAMBLE_LENGTH, Preamble, begins_preamble};
use aquifer_control::tls_link::{Socket, TlsLink};
use aquifer_control::{tcp, warning};
use rustls::ServerConnection;

use crate::connection::{Connection, PeerKind, Stage};
use crate::gateway::{Gateway, QUOTAS};

/// From accepting to a ticket or a nonce.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections taken at one turn of the loop, so that a flood leaves time for those who are already in.
const BATCH: usize = 64;
/// The record type of a ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;

/// Index into `Gateway::unauthenticated` of those who come over vsock.
pub const VSOCK: usize = 2;

/// Index into `Gateway::unauthenticated`.
fn quota(kind: &PeerKind) -> usize {
    match kind {
        PeerKind::Unix => 0,
        PeerKind::Tcp(_) => 1,
        PeerKind::Vsock(_) => VSOCK,
    }
}

impl Gateway {
    /// Takes what waits at a listener, at most [`BATCH`].
    pub fn accept(&mut self, listener: u64) {
        for _ in 0..BATCH {
            match self.listeners.accept(listener) {
                None => return,
                Some(Ok((descriptor, kind))) => self.add_connection(descriptor, kind),
                // The peer left before it was accepted: nothing is wrong here.
                Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Some(Err(error)) => {
                    warning!("cannot accept: waiting a little", reason = error);
                    (0..QUOTAS).for_each(|quota| self.drop_oldest(quota));
                    return self.listeners.pause(&self.poller);
                }
            }
        }
    }

    fn add_connection(&mut self, descriptor: OwnedFd, kind: PeerKind) {
        if matches!(kind, PeerKind::Tcp(_)) && tcp::prepare(&descriptor).is_err() {
            return;
        }
        let Ok(socket) = Socket::new(descriptor) else {
            return;
        };
        let token = self.token();
        let quota = quota(&kind);
        if self.unauthenticated[quota].len() >= self.settings.max_unauthenticated {
            // The oldest has had the most time: an honest peer needs milliseconds of it.
            self.drop_oldest(quota);
        }
        if self.poller.add(&socket, token).is_ok() {
            let deadline = Instant::now() + HANDSHAKE;
            self.unauthenticated[quota].insert(token);
            self.connections.insert(
                token,
                Connection {
                    kind,
                    deadline,
                    stage: Stage::Fresh(socket),
                    outstanding: 0,
                },
            );
        }
    }

    fn drop_oldest(&mut self, quota: usize) {
        if let Some(oldest) = self.unauthenticated[quota].first().copied() {
            self.drop_connection(oldest);
        }
    }

    /// Closes a connection and forgets it.
    pub fn drop_connection(&mut self, token: u64) {
        for quota in &mut self.unauthenticated {
            quota.remove(&token);
        }
        if self
            .connections
            .remove(&token)
            .is_some_and(|connection| connection.outstanding > 0)
        {
            self.opener_left(token);
        }
    }

    /// A connection has shown a ticket: it counts no longer as a stranger.
    pub fn authenticated(&mut self, token: u64) {
        for quota in &mut self.unauthenticated {
            quota.remove(&token);
        }
    }

    /// Closes strangers whose time is over; gives the next such moment.
    pub fn drop_overdue_connections(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for quota in 0..QUOTAS {
            while let Some(oldest) = self.unauthenticated[quota].first().copied() {
                match self
                    .connections
                    .get(&oldest)
                    .map(|connection| connection.deadline)
                {
                    Some(deadline) if deadline > now => {
                        next = next.into_iter().chain([deadline]).min();
                        break;
                    }
                    _ => self.drop_connection(oldest),
                }
            }
        }
        next
    }

    /// Reads from a connection, whatever stage it is in.
    pub fn connection_event(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        match &mut connection.stage {
            Stage::Fresh(_) => self.tell_apart(token),
            Stage::Preamble { .. } => self.read_preamble(token),
            Stage::Control { .. } => self.read_control(token),
        }
    }

    /// Connections that came before there was a certificate were left alone: now they are looked at.
    pub fn resume_fresh_connections(&mut self) {
        for (token, connection) in &self.connections {
            if matches!(connection.stage, Stage::Fresh(_)) {
                let _ = self.poller.add(connection, *token);
            }
        }
    }

    fn tell_apart(&mut self, token: u64) {
        let Some(mut connection) = self.connections.remove(&token) else {
            return;
        };
        let Stage::Fresh(socket) = connection.stage else {
            return;
        };
        let mut first = [0];
        let seen = socket.receive(&mut first, true);
        let stage = match (seen, first[0], self.trust.tls()) {
            (Err(error), ..) if error.kind() == io::ErrorKind::WouldBlock => {
                Some(Stage::Fresh(socket))
            }
            (Ok(1), byte, _) if begins_preamble(byte) => Some(Stage::Preamble {
                socket,
                bytes: [0; PREAMBLE_LENGTH],
                length: 0,
            }),
            (Ok(1), TLS_HANDSHAKE, Some(tls)) => {
                ServerConnection::new(tls).ok().map(|tls| Stage::Control {
                    link: Box::new(TlsLink::new(socket, tls.into())),
                    holder: None,
                })
            }
            (Ok(1), TLS_HANDSHAKE, None) => {
                let _ = self.poller.remove(&socket);
                Some(Stage::Fresh(socket))
            }
            _ => None,
        };
        let Some(stage) = stage else {
            return self.drop_connection(token);
        };
        let known = !matches!(stage, Stage::Fresh(_));
        connection.stage = stage;
        self.connections.insert(token, connection);
        if known {
            self.connection_event(token);
        }
    }

    fn read_preamble(&mut self, token: u64) {
        let Some(Connection {
            stage:
                Stage::Preamble {
                    socket,
                    bytes,
                    length,
                },
            ..
        }) = self.connections.get_mut(&token)
        else {
            return;
        };
        // Not a byte beyond the preamble is read: what follows is between the program and its worker.
        let rest = bytes.get_mut(*length..).unwrap_or_default();
        match socket.receive(rest, false) {
            Ok(count) if count > 0 => *length += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            _ => return self.drop_connection(token),
        }
        if *length < PREAMBLE_LENGTH {
            return;
        }
        let preamble = Preamble::decode(bytes);
        let Some(connection) = self.connections.remove(&token) else {
            return;
        };
        let _ = self.poller.remove(&connection);
        self.drop_connection(token);
        if let (Some(preamble), Stage::Preamble { socket, .. }) = (preamble, connection.stage) {
            self.attach(&preamble, socket.into_descriptor(), &connection.kind);
        }
    }
}
