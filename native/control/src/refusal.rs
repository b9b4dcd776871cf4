//! A refusal: one word that programs act on and one sentence for people.

use serde_json::{Map, Value, json};

/// Why something was not done. `reason` is PascalCase and also the metric label; `message` a sentence without full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One PascalCase word.
    pub reason: String,
    /// What a user needs to know, with the numbers.
    pub message: String,
}

impl Refusal {
    /// A refusal from its two parts.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// Reads a peer's `{ok: false, reason, message}`; missing fields become `Refused`.
    pub fn from_reply(reply: &Map<String, Value>) -> Self {
        let text = |name: &str| reply.get(name).and_then(Value::as_str);
        Self::new(
            text("reason").unwrap_or("Refused"),
            text("message").unwrap_or("the peer gave no reason"),
        )
    }

    /// The reply to request `id`.
    pub fn reply(&self, id: &Value) -> Value {
        json!({"id": id, "ok": false, "reason": self.reason, "message": self.message})
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}
