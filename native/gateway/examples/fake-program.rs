//! A program for tests of the connector: does what the client library does at its first driver call, then echoes over
//! its data connection. Prints "ok SESSION" or "refused REASON MESSAGE" and, as its argument says, ends ("once"), waits
//! for the end of its data connection ("stay") or leaves a child behind that holds every descriptor ("fork").

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use aquifer_control::descriptors::receive_with_descriptor;
use aquifer_control::frames::{FrameBuffer, encode_frame};
use serde_json::json;

fn main() {
    let socket = std::env::var("AQUIFER_SOCKET").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    let hello = json!({"v": 1, "protocol": "1.0", "purpose": "session", "program": "fake-program"});
    stream.write_all(&encode_frame(&hello)).unwrap();
    let (mut buffer, mut bytes, mut data) = (FrameBuffer::default(), [0; 4096], None);
    let reply = loop {
        let (count, descriptor) = receive_with_descriptor(&stream, &mut bytes).unwrap();
        data = data.or(descriptor);
        assert!(count > 0, "the connector closed without an answer");
        buffer.feed(&bytes[..count]);
        if let Some(reply) = buffer.next_message().unwrap() {
            break reply;
        }
    };
    if reply["ok"] == false {
        println!(
            "refused {} {}",
            reply["reason"].as_str().unwrap(),
            reply["message"].as_str().unwrap()
        );
        std::process::exit(100);
    }
    let mut data = std::fs::File::from(data.expect("a descriptor comes with the answer"));
    let mut greeting = [0; 64];
    data.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting[..], reply["secret"].as_str().unwrap().as_bytes());
    let mut echoed = [0; 5];
    data.write_all(b"hello").unwrap();
    data.read_exact(&mut echoed).unwrap();
    println!("ok {}", reply["session"].as_str().unwrap());
    match std::env::args().nth(1).as_deref() {
        Some("stay") => {
            let mut more = [0; 16];
            while data.read(&mut more).is_ok_and(|count| count > 0) {}
            println!("lost");
        }
        // SAFETY: this program has one thread.
        Some("fork") if unsafe { libc::fork() } == 0 => {
            // The test waits for the parent's output to end: the child keeps everything but that.
            // SAFETY: closes and sleeps, on plain integers.
            unsafe {
                libc::close(1);
                libc::sleep(60);
            }
        }
        _ => {}
    }
}
