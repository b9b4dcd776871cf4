//! What a client sends a worker: frames cut from the stream, and their messages.
#![no_main]

use aquifer_protocol::{Call, FrameReader, Incoming};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = FrameReader::new();
    let mut rest = data;
    let mut tail = [0; 64];
    while !rest.is_empty() {
        rest = &rest[reader.feed(rest)..];
        loop {
            let wanted = match reader.next_frame() {
                Ok(None) => break,
                Ok(Some(Incoming::Frame { header, body })) => {
                    let _ = Call::decode(header.call, body);
                    0
                }
                Ok(Some(Incoming::Bulk {
                    header,
                    body,
                    tail_bytes,
                })) => {
                    let _ = Call::decode(header.call, body);
                    // Half of them are read, the rest is skipped.
                    if header.sequence.is_multiple_of(2) {
                        tail_bytes.min(tail.len())
                    } else {
                        0
                    }
                }
                Err(_) => return,
            };
            let left = reader.tail_left();
            let got = reader.feed_tail(&mut tail[..wanted]);
            assert!(got <= wanted && reader.tail_left() == left - got);
        }
    }
});
