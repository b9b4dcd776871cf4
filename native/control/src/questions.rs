//! Requests on their way to a process that may be away: each waits for its answer until its own deadline, and is sent
//! again on a new connection. Every operation of the control protocols may be repeated.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The id of the greeting, which is no question.
pub const HELLO_ID: u64 = 1;
/// Most questions that wait: beyond it new ones are refused at once.
const MAX_WAITING: usize = 4096;

/// The fields of a reply that says `ok`, or why it does not.
pub type Answer = Result<Map<String, Value>, Refusal>;

#[derive(Debug)]
struct Question<A> {
    request: Value,
    asked_for: A,
    deadline: Instant,
    sent: bool,
}

/// What is asked and not answered. `A` says what a question was for.
#[derive(Debug)]
pub struct Questions<A> {
    next_id: u64,
    waiting: BTreeMap<u64, Question<A>>,
}

impl<A> Default for Questions<A> {
    fn default() -> Self {
        Self {
            next_id: HELLO_ID + 1,
            waiting: BTreeMap::new(),
        }
    }
}

impl<A> Questions<A> {
    /// Adds one. `request` is an object without `id`. Too many at once are given back.
    pub fn add(&mut self, mut request: Value, asked_for: A, patience: Duration) -> Result<(), A> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(asked_for);
        }
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        let deadline = Instant::now() + patience;
        self.waiting.insert(
            id,
            Question {
                request,
                asked_for,
                deadline,
                sent: false,
            },
        );
        Ok(())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends those that were not. A failure is left for the next read of the connection to show.
    pub fn send_with(&mut self, mut send: impl FnMut(&Value) -> io::Result<()>) {
        for question in self.waiting.values_mut().filter(|question| !question.sent) {
            if send(&question.request).is_err() {
                break;
            }
            question.sent = true;
        }
    }

    /// The connection is gone: all of them are to be sent again.
    pub fn connection_lost(&mut self) {
        self.waiting
            .values_mut()
            .for_each(|question| question.sent = false);
    }

    /// Takes the question that `reply` answers, and what it answers.
    pub fn answered(&mut self, reply: Map<String, Value>) -> Option<(A, Answer)> {
        let question = self
            .waiting
            .remove(&reply.get("id").and_then(Value::as_u64)?)?;
        let ok = reply.get("ok").and_then(Value::as_bool).unwrap_or(false);
        Some((
            question.asked_for,
            if ok {
                Ok(reply)
            } else {
                Err(Refusal::from_reply(&reply))
            },
        ))
    }

    /// Takes those whose time is over, each with whether it had been sent.
    pub fn late(&mut self, now: Instant) -> Vec<(A, bool)> {
        let late = self
            .waiting
            .iter()
            .filter(|(_, question)| question.deadline <= now)
            .map(|(id, _)| *id);
        let late: Vec<u64> = late.collect();
        let taken = late.into_iter().filter_map(|id| self.waiting.remove(&id));
        taken
            .map(|question| (question.asked_for, question.sent))
            .collect()
    }

    /// Takes all for which `which` says so.
    pub fn take(&mut self, which: impl Fn(&A) -> bool) -> Vec<A> {
        let taken = self
            .waiting
            .iter()
            .filter(|(_, question)| which(&question.asked_for))
            .map(|(id, _)| *id);
        let taken: Vec<u64> = taken.collect();
        taken
            .into_iter()
            .filter_map(|id| self.waiting.remove(&id))
            .map(|question| question.asked_for)
            .collect()
    }

    /// When the next one will be late.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting
            .values()
            .map(|question| question.deadline)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn sent(questions: &mut Questions<&str>) -> Vec<Value> {
        let mut sent = Vec::new();
        questions.send_with(|request| {
            sent.push(request.clone());
            Ok(())
        });
        sent
    }

    #[test]
    fn a_question_is_sent_once_a_connection_and_answered_once() {
        let mut questions = Questions::default();
        questions
            .add(json!({"op": "a"}), "first", PATIENCE)
            .unwrap();
        assert_eq!(sent(&mut questions), [json!({"op": "a", "id": 2})]);
        assert!(sent(&mut questions).is_empty());
        questions.connection_lost();
        assert_eq!(sent(&mut questions).len(), 1);
        let reply = || json!({"id": 2, "ok": true}).as_object().unwrap().clone();
        assert!(matches!(
            questions.answered(reply()),
            Some(("first", Ok(_)))
        ));
        assert!(questions.answered(reply()).is_none());
    }

    #[test]
    fn lateness_is_each_questions_own() {
        let mut questions = Questions::default();
        questions.add(json!({}), "soon", Duration::ZERO).unwrap();
        questions.add(json!({}), "patient", PATIENCE).unwrap();
        assert_eq!(questions.late(Instant::now()), [("soon", false)]);
        assert!(questions.next_deadline().is_some());
        assert_eq!(questions.take(|what| *what == "patient"), ["patient"]);
        assert!(questions.is_empty());
    }

    #[test]
    fn too_many_are_given_back() {
        let mut questions = Questions::default();
        let added = (0..=MAX_WAITING).map(|n| questions.add(json!({}), n, PATIENCE));
        assert_eq!(
            added.filter_map(Result::err).collect::<Vec<_>>(),
            [MAX_WAITING]
        );
    }
}
