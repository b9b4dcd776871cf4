//! Unix sockets at paths of any length: the kernel's 108-byte limit is got round through /proc/self/fd of the directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// sockaddr_un's room, less the final zero.
const MAX_PATH: usize = 107;

/// A path for the socket calls, and the directory descriptor that keeps it valid.
fn reachable(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    if path.as_os_str().len() <= MAX_PATH {
        return Ok((path.to_owned(), None));
    }
    let (directory, name) = split(path)?;
    let directory = open_directory(directory)?;
    Ok((
        PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name),
        Some(directory),
    ))
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) => Ok((
            if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                directory
            },
            name,
        )),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} names no socket", path.display()),
        )),
    }
}

/// A descriptor of a directory that serves for names below it, not for reading it.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    Ok(File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)?
        .into())
}

/// Listens at `path` with the permission bits `mode`. A socket that is left over there is replaced; a file of another
/// kind is not. The socket is made under another name and renamed, so that it is never there with wider permissions
/// and nobody finds it missing.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let text = format!("{} exists and is not a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        _ => {}
    }
    let (directory, name) = split(path)?;
    let mut temporary_name = OsStr::new(".").to_owned();
    temporary_name.push(name);
    temporary_name.push(format!(".{}", std::process::id()));
    let temporary = directory.join(temporary_name);
    let (address, _held) = reachable(&temporary)?;
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(address)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&temporary, path)?;
    listener.set_nonblocking(true)?;
    widen_queue(&listener)?;
    Ok(listener)
}

/// Lets as many connections wait to be accepted as the kernel allows, so that a flood does not keep others out.
pub fn widen_queue(listener: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: listen on a listening socket only changes the length of its queue.
    let result = unsafe { libc::listen(listener.as_raw_fd(), i32::from(i16::MAX)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Connects without ever blocking: a full listen queue is `WouldBlock`, to be tried again.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (path, _held) = reachable(path)?;
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: takes integers and gives back a descriptor or -1.
    let raw = unsafe {
        libc::socket(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all-zero is a valid sockaddr_un; the zero after the path is kept.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().take(MAX_PATH).zip(bytes) {
        *to = from.cast_signed();
    }
    let pointer = std::ptr::from_ref(&address).cast();
    // SAFETY: `address` is a whole sockaddr_un and lives through the call.
    if unsafe {
        libc::connect(
            raw,
            pointer,
            size_of::<libc::sockaddr_un>() as libc::socklen_t,
        )
    } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("aquifer-socket-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_path_of_300_bytes_works_and_has_the_mode_asked_for() {
        let root = scratch("long");
        let directory = root.join("d".repeat(140)).join("e".repeat(140));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("s.sock");
        let listener = listen(&path, 0o600).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        connect(&path).unwrap();
        listener.accept().unwrap();
        drop(listener);
        let again = listen(&path, 0o666).unwrap();
        connect(&path).unwrap();
        again.accept().unwrap();
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let root = scratch("file");
        let path = root.join("precious");
        std::fs::write(&path, "data").unwrap();
        assert_eq!(
            listen(&path, 0o600).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
        std::fs::remove_dir_all(root).unwrap();
    }
}
