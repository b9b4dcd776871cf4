//! One descriptor with one message over a unix socket (SCM_RIGHTS).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Room for the header and descriptors of one control message, aligned for it.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

/// Sends `bytes` with `descriptor` riding on them. Gives back how many bytes went; the descriptor went with the first.
/// The message must not be empty.
pub fn send_with_descriptor(
    socket: &impl AsRawFd,
    bytes: &[u8],
    descriptor: &impl AsRawFd,
) -> io::Result<usize> {
    let raw: RawFd = descriptor.as_raw_fd();
    let mut ancillary = Ancillary([0; 64]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all-zero is a valid msghdr. The buffers outlive the call; CMSG_FIRSTHDR points into `ancillary`, which
    // is aligned for a cmsghdr and has room for one with one descriptor (CMSG_SPACE(4) = 24).
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(raw);
        libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(sent as usize)
    }
}

/// Receives bytes and at most one descriptor (close-on-exec). Any further descriptor that a peer sends is closed.
/// 0 bytes: the end of the stream.
pub fn receive_with_descriptor(
    socket: &impl AsRawFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut ancillary = Ancillary([0; 64]);
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut first = None;
    // SAFETY: as above; every header and descriptor that is read lies within msg_controllen as the kernel set it, and
    // each descriptor is a fresh one that nobody else owns.
    let received = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = ancillary.0.len() as _;
        let received = libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC);
        let mut header = if received < 0 {
            std::ptr::null_mut()
        } else {
            libc::CMSG_FIRSTHDR(&message)
        };
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let length =
                    ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                for index in 0..length / size_of::<RawFd>() {
                    let raw = libc::CMSG_DATA(header)
                        .cast::<RawFd>()
                        .add(index)
                        .read_unaligned();
                    let descriptor = OwnedFd::from_raw_fd(raw);
                    if first.is_none() {
                        first = Some(descriptor);
                    }
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        received
    };
    if received < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok((received as usize, first))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_message_and_works() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut kept, passed) = UnixStream::pair().unwrap();
        assert_eq!(
            send_with_descriptor(&left, b"take this", &passed).unwrap(),
            9
        );
        drop(passed);
        let mut bytes = [0; 64];
        let (count, descriptor) = receive_with_descriptor(&right, &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"take this");
        let mut arrived = UnixStream::from(descriptor.unwrap());
        kept.write_all(b"!").unwrap();
        let mut one = [0];
        arrived.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"!");
    }

    #[test]
    fn no_descriptor_is_none() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(b"x").unwrap();
        assert!(
            receive_with_descriptor(&right, &mut [0; 8])
                .unwrap()
                .1
                .is_none()
        );
        drop(left);
        assert_eq!(receive_with_descriptor(&right, &mut [0; 8]).unwrap().0, 0);
    }
}
