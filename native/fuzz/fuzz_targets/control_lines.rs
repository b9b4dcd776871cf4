//! Lines of the control protocols, and the answers among them.
#![no_main]

use std::time::Duration;

use aquifer_control::lines::{LineBuffer, encode_line};
use aquifer_control::questions::Questions;
use aquifer_control::refusal::Refusal;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let mut questions = Questions::default();
    for asked_for in 0..8 {
        let _ = questions.add(json!({"op": "open"}), asked_for, Duration::from_secs(3600));
    }
    let mut buffer = LineBuffer::default();
    for piece in data.chunks(1024) {
        buffer.feed(piece);
        loop {
            let message = match buffer.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => return,
            };
            let mut second = LineBuffer::default();
            second.feed(&encode_line(&Value::Object(message.clone())));
            assert_eq!(
                second.next_message().ok().flatten().as_ref(),
                Some(&message)
            );
            if let Some((_, Err(Refusal { .. }))) = questions.answered(message) {}
        }
    }
});
