//! The control socket: the gateway asks what the worker is and hands it the data connection, and where that can be lost, later
//! ones. JSON lines of at most 64 KiB.

use crate::bulletin::Bulletin;
use crate::config::MAX_LINE;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// A data connection that the gateway hands over.
pub struct Arrival {
    pub descriptor: OwnedFd,
    /// What the gateway calls it.
    pub connection: String,
}

/// Connections that are served at once: the gateway has one, and its successor another.
const MOST_CONNECTIONS: usize = 8;
/// How long an answer may take to be written before its connection is given up.
const WRITE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// Of what the gateway calls a connection.
const MOST_NAME: usize = 64;

/// Listens at `path`, for the owner alone. A path too long for a socket address is reached through its directory.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    let bound = if path.as_os_str().len() < 100 {
        UnixListener::bind(path)?
    } else {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let opened = std::fs::File::open(directory)?;
        let short = format!("/proc/self/fd/{}", opened.as_raw_fd());
        UnixListener::bind(Path::new(&short).join(name))?
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(bound)
}

struct Peer {
    stream: UnixStream,
    line: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

/// Serves the control socket for the rest of the process's life. Data connections go to `attached`: one, or any number where the
/// description says that the session is resumable.
pub fn serve(
    listener: UnixListener,
    bulletin: Arc<Bulletin>,
    attached: SyncSender<Arrival>,
) -> io::Result<()> {
    let run = move || {
        let mut peers: Vec<Peer> = Vec::new();
        loop {
            let entry = |fd: RawFd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let mut entries = vec![entry(listener.as_raw_fd())];
            entries.extend(peers.iter().map(|it| entry(it.stream.as_raw_fd())));
            // SAFETY: the array has as many entries as are said.
            let ready =
                unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, -1) };
            if ready < 0 {
                continue;
            }
            let readable: Vec<bool> = entries[1..].iter().map(|it| it.revents != 0).collect();
            let mut at = 0;
            peers.retain_mut(|peer| {
                let kept = !readable[at] || hear(peer, &bulletin, &attached).is_ok();
                at += 1;
                if !kept {
                    // The bulletin has the stream as well.
                    let _ = peer.stream.shutdown(Shutdown::Both);
                }
                kept
            });
            if entries[0].revents != 0
                && let Ok((stream, _)) = listener.accept()
                && peers.len() < MOST_CONNECTIONS
                && stream.set_write_timeout(Some(WRITE_TIMEOUT)).is_ok()
                && let Ok(reader) = stream.try_clone()
            {
                bulletin.add_reader(reader);
                peers.push(Peer {
                    stream,
                    line: Vec::new(),
                    descriptor: None,
                });
            }
        }
    };
    std::thread::Builder::new()
        .name("control".into())
        .stack_size(256 << 10)
        .spawn(run)
        .map(|_| ())
}

fn hear(peer: &mut Peer, bulletin: &Bulletin, attached: &SyncSender<Arrival>) -> io::Result<()> {
    let mut bytes = [0u8; 4096];
    let (count, descriptor) = receive(peer.stream.as_raw_fd(), &mut bytes)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    peer.descriptor = descriptor.or(peer.descriptor.take());
    peer.line.extend_from_slice(&bytes[..count]);
    while let Some(end) = peer.line.iter().position(|it| *it == b'\n') {
        let line: Vec<u8> = peer.line.drain(..=end).collect();
        let answer = answer(&line, &mut peer.descriptor, bulletin, attached);
        if let Some(answer) = answer {
            peer.stream
                .write_all((answer.to_string() + "\n").as_bytes())?;
        }
    }
    if peer.line.len() > MAX_LINE {
        Err(io::ErrorKind::InvalidData.into())
    } else {
        Ok(())
    }
}

fn answer(
    line: &[u8],
    descriptor: &mut Option<OwnedFd>,
    bulletin: &Bulletin,
    attached: &SyncSender<Arrival>,
) -> Option<Value> {
    if line.trim_ascii().is_empty() {
        return None;
    }
    let refused = |id: Value, reason: &str, message: &str| json!({"id": id, "ok": false, "reason": reason, "message": message});
    let Ok(Value::Object(request)) = serde_json::from_slice(line) else {
        return Some(refused(
            Value::Null,
            "BadRequest",
            "a request is a JSON object on one line",
        ));
    };
    if request.contains_key("hello") && !request.contains_key("op") {
        return None;
    }
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let mut known = bulletin.known();
    match request.get("op").and_then(Value::as_str) {
        Some("describe") => {
            let mut reply = known.clone();
            reply.insert("id".into(), id);
            reply.insert("ok".into(), true.into());
            Some(Value::Object(reply))
        }
        Some("attach") => {
            let Some(given) = descriptor.take() else {
                return Some(refused(
                    id,
                    "NoDescriptor",
                    "attach needs the data connection as a descriptor of the same message",
                ));
            };
            if known.get("ready") != Some(&Value::Bool(true)) {
                return Some(refused(id, "NotReady", "the worker has no GPU to offer"));
            }
            let again = known.get("attached") == Some(&Value::Bool(true));
            if again && known.get("resumable") != Some(&Value::Bool(true)) {
                return Some(refused(
                    id,
                    "AlreadyAttached",
                    "the worker has its data connection",
                ));
            }
            let connection = request.get("connection").and_then(Value::as_str);
            let arrival = Arrival {
                descriptor: given,
                connection: connection.unwrap_or_default().to_owned(),
            };
            if arrival.connection.len() > MOST_NAME {
                let message = format!("connection: longer than {MOST_NAME} bytes");
                return Some(refused(id, "BadRequest", &message));
            }
            if attached.try_send(arrival).is_err() {
                let message = "others are being seen to";
                return Some(refused(id, "TooManyConnections", message));
            }
            known.insert("attached".into(), true.into());
            Some(json!({"id": id, "ok": true}))
        }
        other => Some(refused(
            id,
            "UnknownOperation",
            &format!("{other:?} is neither describe nor attach"),
        )),
    }
}

/// Receives bytes and at most one descriptor; any more are closed by their kernel's or our hand.
fn receive(socket: RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    #[repr(align(8))]
    struct Ancillary([u8; 64]);
    let mut ancillary = Ancillary([0; 64]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut first = None;
    // SAFETY: an all-zero msghdr is valid and its buffers outlive the call; every header read lies within the length that
    // the kernel set, and each descriptor is fresh and nobody else's.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = ancillary.0.len() as _;
        let count = libc::recvmsg(socket, &mut message, libc::MSG_CMSG_CLOEXEC);
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(found) = header.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                let length = found.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                for at in 0..length / size_of::<RawFd>() {
                    let raw = libc::CMSG_DATA(header)
                        .cast::<RawFd>()
                        .add(at)
                        .read_unaligned();
                    let descriptor = OwnedFd::from_raw_fd(raw);
                    first.get_or_insert(descriptor);
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        Ok((count as usize, first))
    }
}
