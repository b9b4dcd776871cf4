//! A program for tests of the connector: does what the client library does at its first driver call, then echoes over
//! its data connection. Prints "ok SESSION" or "refused REASON MESSAGE" and, as its argument says, ends ("once"), waits
//! for the end of its data connection ("stay"), asks for another whenever it ends ("return") or leaves a child behind that holds every descriptor ("fork").

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use aquifer_control::descriptors::receive_with_descriptor;
use aquifer_control::frames::{FrameBuffer, encode_frame};
use serde_json::{Map, Value, json};

/// Asks the connector. A descriptor may come with the answer.
fn ask(stream: &mut UnixStream, request: &Value) -> (Map<String, Value>, Option<OwnedFd>) {
    stream.write_all(&encode_frame(request)).unwrap();
    let (mut buffer, mut bytes, mut data) = (FrameBuffer::default(), [0; 4096], None);
    loop {
        let (count, descriptor) = receive_with_descriptor(stream, &mut bytes).unwrap();
        data = data.or(descriptor);
        assert!(count > 0, "the connector closed without an answer");
        buffer.feed(&bytes[..count]);
        if let Some(reply) = buffer.next_message().unwrap() {
            return (reply, data);
        }
    }
}

/// Sees whether the worker is at the other end.
fn try_out(data: &mut File, secret: &str) {
    let mut greeting = [0; 64];
    data.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting[..], secret.as_bytes());
    let mut echoed = [0; 5];
    data.write_all(b"hello").unwrap();
    data.read_exact(&mut echoed).unwrap();
}

fn main() {
    let socket = std::env::var("AQUIFER_SOCKET").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    let hello = json!({"v": 1, "protocol": "1.0", "purpose": "session", "program": "fake-program"});
    let (reply, data) = ask(&mut stream, &hello);
    if reply["ok"] == false {
        println!(
            "refused {} {}",
            reply["reason"].as_str().unwrap(),
            reply["message"].as_str().unwrap()
        );
        std::process::exit(100);
    }
    let mut data = File::from(data.expect("a descriptor comes with the answer"));
    try_out(&mut data, reply["secret"].as_str().unwrap());
    println!("ok {}", reply["session"].as_str().unwrap());
    match std::env::args().nth(1).as_deref() {
        Some("stay") => {
            let mut more = [0; 16];
            while data.read(&mut more).is_ok_and(|count| count > 0) {}
            println!("lost");
        }
        Some("return") => {
            let again = json!({"v": 1, "purpose": "resume", "session": reply["session"]});
            loop {
                let mut more = [0; 16];
                while data.read(&mut more).is_ok_and(|count| count > 0) {}
                if let (_, Some(another)) = ask(&mut stream, &again) {
                    data = File::from(another);
                    try_out(&mut data, reply["secret"].as_str().unwrap());
                    println!("again");
                }
            }
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
