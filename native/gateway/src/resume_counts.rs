//! How attempts to go on with a session end, counted for the backend's metrics and told at most once a second: whoever tries in
//! vain, as often as it likes, gives nobody else anything to do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::{AskedBackend, Gateway, PATIENCE};

const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub enum Outcome {
    Resumed,
    Refused,
    /// Nobody came within the grace period.
    Expired,
}

/// What was not told yet.
#[derive(Default)]
pub struct ResumeCounts {
    resumed: u32,
    refused: u32,
    expired: u32,
    due: Option<Instant>,
}

impl ResumeCounts {
    pub fn count(&mut self, outcome: Outcome) {
        let counted = match outcome {
            Outcome::Resumed => &mut self.resumed,
            Outcome::Refused => &mut self.refused,
            Outcome::Expired => &mut self.expired,
        };
        *counted = counted.saturating_add(1);
        self.due.get_or_insert_with(|| Instant::now() + TELL_EVERY);
    }

    fn told(&self) -> Value {
        json!({"op": "resumes", "resumed": self.resumed, "refused": self.refused, "expired": self.expired})
    }
}

impl Gateway {
    /// Tells the backend what was counted, when that is due; gives the next such moment.
    pub fn tell_resumes(&mut self, now: Instant) -> Option<Instant> {
        let due = self.resumes.due?;
        if due > now {
            return Some(due);
        }
        // A backend that is away is told later.
        let is_told = self.backend.is_up()
            && self
                .backend
                .ask(self.resumes.told(), AskedBackend::Report, PATIENCE)
                .is_ok();
        if is_told {
            self.resumes = ResumeCounts::default();
        } else {
            self.resumes.due = Some(now + TELL_EVERY);
        }
        self.resumes.due
    }
}
