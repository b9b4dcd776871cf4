//! A data connection that is being made: to where the control connection stands, and elsewhere when it is refused there. A vsock
//! device that was unplugged a moment ago refuses, and the control connection may not know yet.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::vec::IntoIter;

use aquifer_control::poll::Poller;
use aquifer_control::tcp;
use aquifer_control::tls_link::Socket;

use crate::address::Reached;

/// What goes over it first.
type Preamble = [u8; 48];

pub struct Dialing {
    socket: Socket,
    to: Reached,
    preamble: Preamble,
    /// Where else it may go.
    others: IntoIter<Reached>,
}

/// How far it has come.
pub enum Dialed {
    /// It stands and blocks, and the preamble was sent.
    Made(OwnedFd, Reached),
    /// It was refused and is being made elsewhere.
    Again(Dialing),
}

impl Dialing {
    /// Begins at the first of `ways` that does not refuse at once; `poller` tells by `token` when to ask for its outcome.
    pub fn begin(
        ways: Vec<Reached>,
        preamble: Preamble,
        poller: &Poller,
        token: u64,
    ) -> io::Result<Self> {
        Self::try_others(
            ways.into_iter(),
            preamble,
            poller,
            token,
            io::ErrorKind::NotConnected.into(),
        )
    }

    /// Fails with the reason of the last one, or with `reason` where there is none.
    fn try_others(
        mut others: IntoIter<Reached>,
        preamble: Preamble,
        poller: &Poller,
        token: u64,
        mut reason: io::Error,
    ) -> io::Result<Self> {
        while let Some(to) = others.next() {
            match to.begin_connect() {
                Ok(socket) => {
                    poller.add_writable(&socket, token)?;
                    return Ok(Self {
                        socket,
                        to,
                        preamble,
                        others,
                    });
                }
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    /// Goes on after an event with its token.
    pub fn go_on(self, poller: &Poller, token: u64) -> io::Result<Dialed> {
        let _ = poller.remove(&self.socket);
        // A fresh socket takes 48 bytes at once.
        let sent =
            tcp::outcome(&self.socket).and_then(|()| (&self.socket).write_all(&self.preamble));
        if let Err(reason) = sent {
            let again = Self::try_others(self.others, self.preamble, poller, token, reason);
            return again.map(Dialed::Again);
        }
        let descriptor = self.socket.into_descriptor();
        tcp::make_blocking(&descriptor)?;
        Ok(Dialed::Made(descriptor, self.to))
    }
}
