//! Places of sessions that are just being closed. A container that starts the moment another has ended would find its share still
//! taken, for as long as a worker needs to end: its programs are asked for again, for a moment.

use std::time::{Duration, Instant};

use aquifer_control::refusal::Refusal;

use crate::connector::Connector;

/// What the gateway says where places are taken.
const TAKEN: [&str; 5] = [
    "SharesExhausted",
    "ShareConflict",
    "ContainerSessionsExhausted",
    "SessionsExhausted",
    "GPUOvercommitted",
];
/// Workers end within milliseconds. A refusal that nothing can be done about comes so much later.
const LINGER: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

#[derive(Default)]
pub struct Places {
    /// When a session of ours was closed last.
    pub left_at: Option<Instant>,
    /// Programs that are asked for again, and when.
    waiting: Vec<(u64, Instant)>,
}

impl Connector {
    /// Whether a program that was refused will be asked for again.
    pub fn waits_for_place(&mut self, id: u64, refusal: &Refusal) -> bool {
        let lately = |at: Instant| at.elapsed() < LINGER;
        let waits =
            self.places.left_at.is_some_and(lately) && TAKEN.contains(&refusal.reason.as_str());
        if waits {
            self.places.waiting.push((id, Instant::now() + AGAIN));
        }
        waits
    }

    /// Asks for the programs whose time has come; says when the next one's will.
    pub fn ask_again(&mut self, now: Instant) -> Option<Instant> {
        let due: Vec<u64> = self
            .places
            .waiting
            .extract_if(.., |(_, at)| *at <= now)
            .map(|(id, _)| id)
            .collect();
        for id in due {
            let Some(program) = self.programs.get_mut(&id) else {
                continue;
            };
            program.asked = false;
            let path = program.offer.clone();
            self.open_waiting(&path);
        }
        self.places.waiting.iter().map(|(_, at)| *at).min()
    }
}
