//! Length-prefixed framing: u32 little endian, then that many bytes of one JSON object. Pure: bytes in, objects out.

use serde_json::{Map, Value};

use crate::limits::MAX_MESSAGE;
use crate::lines::{FrameError, parse_object};

/// Collects bytes as they come and gives back whole frames.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed. The length is checked before anything waits for it.
    pub fn next_message(&mut self) -> Result<Option<Map<String, Value>>, FrameError> {
        let Some((prefix, rest)) = self.bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_MESSAGE {
            return Err(FrameError::TooLong);
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = parse_object(body)?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

/// One message as a frame. A message of ours over the limit is a programming error and is refused by the peer.
pub fn encode_frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(body.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_come_out_whole_whatever_the_pieces() {
        let messages = [json!({"id": 1}), json!({"name": "ünï"}), json!({})];
        let stream: Vec<u8> = messages.iter().flat_map(encode_frame).collect();
        for piece in 1..stream.len() {
            let mut buffer = FrameBuffer::default();
            let mut seen = Vec::new();
            for part in stream.chunks(piece) {
                buffer.feed(part);
                while let Some(message) = buffer.next_message().unwrap() {
                    seen.push(Value::Object(message));
                }
            }
            assert_eq!(seen, messages);
        }
    }

    #[test]
    fn any_prefix_asks_for_more() {
        let frame = encode_frame(&json!({"a": "b"}));
        for length in 0..frame.len() {
            let mut buffer = FrameBuffer::default();
            buffer.feed(&frame[..length]);
            assert_eq!(buffer.next_message(), Ok(None));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_from_its_four_bytes() {
        let mut buffer = FrameBuffer::default();
        buffer.feed(&u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes());
        assert_eq!(buffer.next_message(), Err(FrameError::TooLong));
    }

    /// A fixed generator: the same bytes at every run, so that a failure can be repeated.
    #[test]
    fn random_bytes_are_refused_or_wait_and_never_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2_000 {
            let mut buffer = FrameBuffer::default();
            for _ in 0..16 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                buffer.feed(&state.to_le_bytes());
                if buffer.next_message().is_err() {
                    break;
                }
            }
        }
    }
}
