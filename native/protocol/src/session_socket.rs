//! The session socket: what a client and the connector say before there is a data connection. One JSON object each way, each
//! after its length as u32 little endian; the data connection's descriptor comes with the answer.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// What the client wants of the connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A session: the answer carries the data connection.
    Session,
    /// Facts for NVML: the answer carries them, and more requests may follow.
    Inspect,
    /// Another data connection for a session whose own is lost. A refusal is not the end: the same may be asked again.
    Resume,
}

/// The client's request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct OpenRequest {
    /// Version of this exchange: 1.
    pub v: u32,
    /// `PROTOCOL_VERSION` of the client.
    pub protocol: String,
    pub purpose: Purpose,
    /// The program's argv[0], for people to read.
    pub program: String,
    /// Which session to resume, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// How the data connection is protected.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Unix,
    Tls,
}

/// The connector's answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenReply {
    pub ok: bool,
    /// Why not: a CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Session id, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The secret of Attach, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// The worker's key for TLS: SubjectPublicKeyInfo, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_spki: Option<String>,
    /// Answer to Inspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vgpus: Option<Vec<InspectedGpu>>,
}

/// One vGPU as NVML shows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InspectedGpu {
    pub uuid: String,
    pub name: String,
    pub memory_bytes: u64,
    pub used_bytes: u64,
    pub compute_percent: u32,
    pub utilization_percent: u32,
    /// As "8.0".
    pub compute_capability: String,
    pub driver_version: String,
}

/// Sends one message, with a descriptor if there is one. Blocks until all is sent.
pub fn send<T: Serialize>(socket: RawFd, message: &T, descriptor: Option<RawFd>) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&text);
    let mut sent = send_with(socket, &bytes, descriptor)?;
    while sent < bytes.len() {
        sent += send_with(socket, &bytes[sent..], None)?;
    }
    Ok(())
}

/// Receives one message and the descriptor that came with it, close-on-exec. UnexpectedEof when the peer leaves,
/// InvalidData for what is not such a message.
pub fn receive<T: for<'de> Deserialize<'de>>(socket: RawFd) -> io::Result<(T, Option<OwnedFd>)> {
    let mut descriptor = None;
    let mut length = [0; 4];
    receive_exactly(socket, &mut length, &mut descriptor)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes is too long"),
        ));
    }
    let mut text = vec![0; length];
    receive_exactly(socket, &mut text, &mut descriptor)?;
    Ok((serde_json::from_slice(&text)?, descriptor))
}

fn receive_exactly(
    socket: RawFd,
    buffer: &mut [u8],
    descriptor: &mut Option<OwnedFd>,
) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let got = receive_with(socket, &mut buffer[done..], descriptor)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += got;
    }
    Ok(())
}

/// Room for one descriptor's control message, aligned as the kernel's header is.
type Control = [u64; 4];

fn send_with(socket: RawFd, bytes: &[u8], descriptor: Option<RawFd>) -> io::Result<usize> {
    let mut control: Control = [0; 4];
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    loop {
        // SAFETY: all pointers are to locals that outlive the call; the control message is built by the kernel's own
        // macros inside `control`, which has room for one descriptor.
        let sent = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            if let Some(descriptor) = descriptor {
                message.msg_control = control.as_mut_ptr().cast();
                message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
                let head = libc::CMSG_FIRSTHDR(&message);
                (*head).cmsg_level = libc::SOL_SOCKET;
                (*head).cmsg_type = libc::SCM_RIGHTS;
                (*head).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
                libc::CMSG_DATA(head)
                    .cast::<RawFd>()
                    .write_unaligned(descriptor);
            }
            libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL)
        };
        match usize::try_from(sent) {
            Ok(sent) => return Ok(sent),
            Err(_) => retry_if_interrupted()?,
        }
    }
}

fn receive_with(
    socket: RawFd,
    buffer: &mut [u8],
    descriptor: &mut Option<OwnedFd>,
) -> io::Result<usize> {
    let mut control: Control = [0; 4];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    loop {
        // SAFETY: as in `send_with`; descriptors that the kernel hands over are owned by nobody else, and each is either
        // kept or closed by dropping it.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of::<Control>() as _;
            let got = libc::recvmsg(socket, &mut message, libc::MSG_CMSG_CLOEXEC);
            let Ok(got) = usize::try_from(got) else {
                retry_if_interrupted()?;
                continue;
            };
            let mut head = libc::CMSG_FIRSTHDR(&message);
            while !head.is_null() {
                if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                    let count = ((*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize)
                        / size_of::<RawFd>();
                    for index in 0..count {
                        let raw = libc::CMSG_DATA(head)
                            .cast::<RawFd>()
                            .add(index)
                            .read_unaligned();
                        *descriptor = Some(OwnedFd::from_raw_fd(raw));
                    }
                }
                head = libc::CMSG_NXTHDR(&message, head);
            }
            return Ok(got);
        }
    }
}

fn retry_if_interrupted() -> io::Result<()> {
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}
