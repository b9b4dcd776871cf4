//! Sessions that had to take TCP follow the control connection when that is back on a way without a network. The old data
//! connection is shut down, and the client makes another, as after any loss: each call is carried out once, whatever the moment.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use aquifer_control::info;

use crate::address::Reached;
use crate::better_way::BetterWay;
use crate::connector::Connector;

/// How long a moment is waited for at which nothing is on its way. A program that copies without a pause has none.
const QUIET_WITHIN: Duration = Duration::from_secs(2);
/// How long the next session waits for one that has been told to follow.
const FOLLOW_WITHIN: Duration = Duration::from_secs(10);

/// A program's data connection over TCP, kept here as well where there may be a better way.
#[derive(Default)]
pub struct Carried {
    tcp: Option<OwnedFd>,
    way: BetterWay,
    /// Since when only a quiet moment is missing.
    waits_since: Option<Instant>,
}

impl Carried {
    /// The program has this connection now, and no other.
    pub fn is_now(&mut self, made: OwnedFd, to: &Reached, may_be_better: bool) {
        let on_tcp = matches!(to, Reached::Tcp(_));
        if !on_tcp {
            self.way = BetterWay::default();
        }
        self.tcp = (on_tcp && may_be_better).then_some(made);
    }

    /// Whether the connection was shut down, to be made anew over what is `better`.
    fn leave_for(&mut self, better: &Reached, now: Instant) -> bool {
        let Some(tcp) = &self.tcp else { return false };
        let waited = self.waits_since.map(|since| now - since);
        let is_time = waited.is_some_and(|waited| waited >= QUIET_WITHIN) || is_quiet(tcp);
        // That something listens there is known before anything is given up.
        let found = self.way.look(now, is_time, better).is_some();
        let waits = self.way.waits_for_quiet();
        self.waits_since = waits.then(|| self.waits_since.unwrap_or(now));
        if found && let Some(tcp) = self.tcp.take() {
            // SAFETY: an open descriptor; one whose peer has left meanwhile is as good.
            unsafe { libc::shutdown(tcp.as_raw_fd(), libc::SHUT_RDWR) };
        }
        found
    }
}

/// Whether nothing is on its way over a connection as far as this end of it can tell.
fn is_quiet(tcp: &OwnedFd) -> bool {
    let count = |request| -> io::Result<i32> {
        let mut bytes = 0;
        // SAFETY: both requests write one integer.
        match unsafe { libc::ioctl(tcp.as_raw_fd(), request, &raw mut bytes) } {
            0 => Ok(bytes),
            _ => Err(io::Error::last_os_error()),
        }
    };
    [libc::FIONREAD, libc::TIOCOUTQ]
        .into_iter()
        .all(|request| matches!(count(request), Ok(0)))
}

impl Connector {
    /// Lets one session after the other follow; gives the next moment at which there may be something to do.
    pub fn let_sessions_follow(&mut self, now: Instant) -> Option<Instant> {
        let is_over =
            |(id, until): (u64, Instant)| until <= now || !self.programs.contains_key(&id);
        self.following = self.following.filter(|it| !is_over(*it));
        if let Some((_, until)) = self.following {
            return Some(until);
        }
        let mut next = None;
        for (id, program) in &mut self.programs {
            if program.carried.tcp.is_none() || program.resumption.is_some() {
                continue;
            }
            let link = program
                .gateway
                .as_ref()
                .and_then(|it| self.gateways.get(it));
            let stands = link.filter(|link| link.is_connected());
            let better = stands.and_then(|link| link.reached());
            let Some(better @ (Reached::Unix(_) | Reached::Vsock(..))) = better else {
                program.carried.way.stop();
                continue;
            };
            if program.carried.leave_for(better, now) {
                let session = program.session.clone().unwrap_or_default();
                info!(
                    "session leaves TCP for what is there again",
                    session = session
                );
                let until = now + FOLLOW_WITHIN;
                self.following = Some((*id, until));
                return Some(until);
            }
            next = next.into_iter().chain(program.carried.way.due()).min();
        }
        next
    }

    /// A session has another data connection: the next one may follow.
    pub fn has_followed(&mut self, id: u64) {
        self.following = self.following.filter(|(following, _)| *following != id);
    }
}
