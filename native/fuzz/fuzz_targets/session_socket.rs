//! The session socket, both ends: what a program sends a connector, and what a connector answers.
#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use aquifer_control::frames::{FrameBuffer, encode_frame};
use aquifer_protocol::session_socket::{OpenReply, OpenRequest, receive};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let mut buffer = FrameBuffer::default();
    for piece in data.chunks(4096) {
        buffer.feed(piece);
        while let Ok(Some(message)) = buffer.next_message() {
            let again = encode_frame(&Value::Object(message.clone()));
            let mut second = FrameBuffer::default();
            second.feed(&again);
            assert_eq!(
                second.next_message().ok().flatten().as_ref(),
                Some(&message)
            );
            let _ = serde_json::from_value::<OpenRequest>(Value::Object(message));
        }
    }
    // Less than the socket's buffer, so that one thread can do both.
    let Ok((mut here, there)) = UnixStream::pair() else {
        return;
    };
    if here.write_all(&data[..data.len().min(32 << 10)]).is_ok()
        && here.shutdown(Shutdown::Write).is_ok()
    {
        while receive::<OpenReply>(there.as_raw_fd()).is_ok() {}
    }
});
