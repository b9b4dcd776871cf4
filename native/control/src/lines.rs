//! JSON-lines framing: one object a line, at most [`MAX_MESSAGE`] bytes. Pure: bytes in, objects out.

use serde_json::{Map, Value};

use crate::limits::MAX_MESSAGE;

/// Why a peer's bytes are not a message.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The message is longer than [`MAX_MESSAGE`] bytes.
    TooLong,
    /// Not JSON; the text is the parser's.
    NotJson(String),
    /// JSON, but not an object.
    NotObject,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => write!(f, "a message is longer than {MAX_MESSAGE} bytes"),
            Self::NotJson(error) => write!(f, "a message is not JSON: {error}"),
            Self::NotObject => write!(f, "a message is not a JSON object"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Parses one message: a JSON object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, FrameError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(FrameError::TooLong);
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(FrameError::NotObject),
        Err(error) => Err(FrameError::NotJson(error.to_string())),
    }
}

/// Collects bytes as they come and gives back whole lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Bytes before this one hold no line end: a slow peer does not make us look at them again.
    searched: usize,
}

impl LineBuffer {
    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed. Empty lines are skipped. An error is final for the
    /// connection: what follows cannot be trusted to begin at a message.
    pub fn next_message(&mut self) -> Result<Option<Map<String, Value>>, FrameError> {
        loop {
            let Some(offset) = self.bytes[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            else {
                self.searched = self.bytes.len();
                if self.bytes.len() > MAX_MESSAGE {
                    return Err(FrameError::TooLong);
                }
                return Ok(None);
            };
            let end = self.searched + offset;
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            self.searched = 0;
            let line = line[..end].trim_ascii();
            if !line.is_empty() {
                return parse_object(line).map(Some);
            }
        }
    }
}

/// One message as a line, its end included.
pub fn encode_line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_come_out_whole_whatever_the_pieces() {
        let messages = [
            json!({"id": 1, "text": "a\nb"}),
            json!({"é": [1, 2]}),
            json!({}),
        ];
        let stream: Vec<u8> = messages.iter().flat_map(encode_line).collect();
        for piece in 1..stream.len() {
            let mut buffer = LineBuffer::default();
            let mut seen = Vec::new();
            for part in stream.chunks(piece) {
                buffer.feed(part);
                while let Some(message) = buffer.next_message().unwrap() {
                    seen.push(Value::Object(message));
                }
            }
            assert_eq!(seen, messages, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (bytes, want) in [
            (&b"[1]\n"[..], FrameError::NotObject),
            (b"7\n", FrameError::NotObject),
        ] {
            let mut buffer = LineBuffer::default();
            buffer.feed(bytes);
            assert_eq!(buffer.next_message(), Err(want));
        }
        let mut buffer = LineBuffer::default();
        buffer.feed(b"\xff\xfe{\n");
        assert!(matches!(buffer.next_message(), Err(FrameError::NotJson(_))));
    }

    #[test]
    fn an_endless_line_is_refused_at_the_limit_and_not_before() {
        let mut buffer = LineBuffer::default();
        buffer.feed(&vec![b' '; MAX_MESSAGE]);
        assert_eq!(buffer.next_message(), Ok(None));
        buffer.feed(b" ");
        assert_eq!(buffer.next_message(), Err(FrameError::TooLong));
    }
}
