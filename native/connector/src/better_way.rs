//! Whether the first way to a gateway, vsock say, has come back, for a link that had to take TCP.

use std::time::{Duration, Instant};

use aquifer_control::tcp;
use aquifer_control::tls_link::Socket;

use crate::address::Reached;

/// Between two looks. Connecting to a host takes less than a millisecond, or fails as fast.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where something listens that is not our gateway the link is soon back at TCP: it is tried ever more seldom.
const LONGEST: Duration = Duration::from_secs(160);
/// Between two looks at a connection that is being made, or that waits until nothing is asked.
const AGAIN: Duration = Duration::from_millis(20);

/// Kept by a link; looks while the link stands on something worse.
#[derive(Debug)]
pub struct BetterWay {
    next: Option<Instant>,
    every: Duration,
    made: Option<Socket>,
}

impl Default for BetterWay {
    fn default() -> Self {
        Self {
            next: None,
            every: LOOK_EVERY,
            made: None,
        }
    }
}

impl BetterWay {
    /// Does what is due. Gives a connection once one stands and the link `is_quiet`.
    pub fn look(&mut self, now: Instant, is_quiet: bool, better: &Reached) -> Option<Socket> {
        let next = *self.next.get_or_insert(now + self.every);
        if next > now {
            return None;
        }
        self.next = Some(now + AGAIN);
        let made = match self.made.take() {
            None => better.begin_connect(),
            Some(socket) => Ok(socket),
        };
        match made.and_then(|socket| Ok((tcp::is_connected(&socket)?, socket))) {
            Ok((true, socket)) if is_quiet => {
                self.every = (self.every * 2).min(LONGEST);
                self.stop();
                return Some(socket);
            }
            Ok((_, socket)) => self.made = Some(socket),
            Err(_) => self.next = Some(now + self.every),
        }
        None
    }

    /// Whether a connection was begun that waits for a quiet link, or to be made.
    pub fn waits_for_quiet(&self) -> bool {
        self.made.is_some()
    }

    /// When to look next.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Looks no more until it is asked to.
    pub fn stop(&mut self) {
        self.next = None;
        self.made = None;
    }
}
