//! What a worker sends a client: pushes, and replies to whatever was asked.
#![no_main]

use aquifer_protocol::generated::check_reply;
use aquifer_protocol::{FrameReader, Incoming, Push, ReplyHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = FrameReader::new();
    let mut rest = data;
    while !rest.is_empty() {
        rest = &rest[reader.feed(rest)..];
        while let Ok(Some(incoming)) = reader.next_frame() {
            let (header, body) = match incoming {
                Incoming::Frame { header, body } | Incoming::Bulk { header, body, .. } => {
                    (header, body)
                }
            };
            if header.is_reply() {
                // A client reads the head before it knows which reply it is.
                if check_reply(header.call, body).is_ok() {
                    assert!(ReplyHead::read(body).is_some());
                }
            } else {
                let _ = Push::decode(header.call, body);
            }
        }
        if reader.next_frame().is_err() {
            return;
        }
    }
});
