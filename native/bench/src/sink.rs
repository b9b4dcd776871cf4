//! A worker that carries out nothing: it greets, says yes to what a program asks before it launches, and throws away what comes.
//! The same client library in the same process, with nothing behind its ring: what a call costs at least.

use aquifer_protocol::generated::*;
use aquifer_protocol::session_socket::{self, OpenReply, OpenRequest, Transport};
use aquifer_protocol::{Connection, FrameReader, FrameWriter, Incoming, Message};
use aquifer_protocol::{PROTOCOL_FINGERPRINT, PROTOCOL_MAJOR};
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Where the vGPU's memory would be.
const BASE: u64 = 1 << 40;
const MEMORY_BYTES: u64 = 1 << 30;
/// CUDA's attributes of a device that launches are checked against, and their values.
const ATTRIBUTES: [(i32, i32); 8] = [
    (1, 1024),
    (2, 1024),
    (3, 1024),
    (4, 64),
    (5, i32::MAX),
    (6, 65535),
    (7, 65535),
    (8, 49152),
];
/// Bytes of the kernel's parameters, in order.
const PARAMETERS: [u32; 9] = [8, 8, 8, 8, 8, 4, 4, 4, 4];

/// Takes the place of the connector for this process. To be called before anything else runs in it.
pub fn offer() -> Result<()> {
    let path = std::env::temp_dir().join(format!("aquifer-sink-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("AQUIFER_SOCKET", &path) };
    std::thread::spawn(move || {
        let accepted = listener.accept();
        let _ = std::fs::remove_file(path);
        if let Err(error) = accepted.and_then(|(program, _)| serve(&program)) {
            eprintln!("aquifer-bench: the sink: {error}");
        }
    });
    Ok(())
}

fn serve(program: &UnixStream) -> Result<()> {
    let _: (OpenRequest, _) = session_socket::receive(program.as_raw_fd())?;
    let reply = OpenReply {
        ok: true,
        session: Some("7".repeat(32)),
        secret: Some("5a".repeat(32)),
        transport: Some(Transport::Unix),
        ..OpenReply::default()
    };
    let (theirs, ours) = UnixStream::pair()?;
    session_socket::send(program.as_raw_fd(), &reply, Some(theirs.as_raw_fd()))?;
    drop(theirs);
    let (connection, mut writer) = (Connection::plain(ours.into()), FrameWriter::new(7));
    let mut reader = FrameReader::new();
    let hello = Hello {
        fingerprint: PROTOCOL_FINGERPRINT,
        major: PROTOCOL_MAJOR,
        vgpus: 1,
    };
    writer.push(&hello, b"sink");
    writer.flush(&connection)?;
    loop {
        match reader.next_frame().map_err(Error::other)? {
            Some(Incoming::Frame { header, body }) => {
                writer.acknowledge(header.sequence);
                // All but the few that are answered are thrown away unread.
                if header.call != Launch::SHAPE.call {
                    answer(header.call, body, header.sequence, &mut writer)?;
                }
            }
            Some(Incoming::Bulk { .. }) => {}
            None => {
                writer.flush(&connection)?;
                if reader.fill(&connection, Duration::ZERO)? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn answer(call: u16, body: &[u8], reply_to: u64, writer: &mut FrameWriter) -> Result<()> {
    let result = 0;
    match Call::decode(call, body).map_err(Error::other)? {
        Call::Attach(_) => greet(writer),
        Call::ContextSynchronize(_) => {
            writer.push(&ContextSynchronizeReply { reply_to, result }, &[]);
        }
        Call::ModuleLoad(..) => {
            let reply = ModuleLoadReply {
                reply_to,
                result,
                info_bytes: 0,
                error_bytes: 0,
            };
            writer.push(&reply, &[]);
        }
        Call::ModuleGetFunction(..) => {
            let mut attributes = [0; 16];
            attributes[0] = 1024;
            let mut layout = Vec::new();
            let mut offset = 0;
            for bytes in PARAMETERS {
                layout.extend([offset, bytes].map(u32::to_le_bytes).concat());
                offset += bytes;
            }
            let reply = ModuleGetFunctionReply {
                reply_to,
                result,
                attributes,
                parameters: PARAMETERS.len() as u32,
                reserved: 0,
            };
            writer.push(&reply, &layout);
        }
        _ => {}
    }
    Ok(())
}

fn greet(writer: &mut FrameWriter) {
    let facts = Facts {
        vgpus: 1,
        driver_version: 13000,
        session: 7,
        features: 0,
    };
    writer.push(&facts, &[]);
    let device = DeviceFacts {
        uuid: [1; 16],
        name: [0; 128],
        pci_bus_id: [0; 32],
        memory_bytes: MEMORY_BYTES,
        base: BASE,
        range_bytes: MEMORY_BYTES,
        granularity: 2 << 20,
        vgpu: 0,
        compute_percent: 100,
        least_priority: 0,
        greatest_priority: 0,
    };
    let attributes = ATTRIBUTES.map(|(id, value)| [id.to_le_bytes(), value.to_le_bytes()].concat());
    writer.push(&device, &attributes.concat());
}
