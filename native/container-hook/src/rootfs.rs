//! The file system of a container that is being made: files are found in it as the container will find them, and no
//! link of the image leads out of it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Times that a path is looked up anew since something was renamed meanwhile.
const ATTEMPTS: usize = 100;

pub struct Rootfs {
    root: File,
}

/// How far a path may lead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Files of the image, and not what is mounted over it.
    Image,
    /// All that the container will see.
    Container,
}

impl Rootfs {
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = File::open(path)?;
        Ok(Self { root })
    }

    /// The regular file at this path; None where there is none, or it lies elsewhere.
    pub fn find(&self, path: &CStr, within: Within) -> io::Result<Option<File>> {
        let crossing = match within {
            Within::Image => libc::RESOLVE_NO_XDEV,
            Within::Container => 0,
        };
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | crossing;
        for _ in 0..ATTEMPTS {
            // Nothing is opened by it: the file may be a pipe, or a device that does something when it is.
            match open_path(self.root.as_raw_fd(), path, resolve) {
                Ok(file) => {
                    let is_file = file.metadata()?.is_file();
                    return Ok(is_file.then_some(file));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => {}
                    Some(
                        libc::ENOENT
                        | libc::ENOTDIR
                        | libc::ELOOP
                        | libc::ENAMETOOLONG
                        | libc::EXDEV,
                    ) => return Ok(None),
                    _ => return Err(error),
                },
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// The content of a file; None where there is none. A larger one is an error.
    pub fn read(&self, path: &CStr, most_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(found) = self.find(path, Within::Container)? else {
            return Ok(None);
        };
        let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
        let mut content = Vec::new();
        file.take(most_bytes + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most_bytes {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        Ok(Some(content))
    }
}

fn open_path(directory: RawFd, path: &CStr, resolve: u64) -> io::Result<File> {
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    // SAFETY: path and structure live through the call, and the size is that of the structure.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory,
            path.as_ptr(),
            &raw const how,
            size_of_val(&how),
        )
    };
    Ok(owned(file)?.into())
}

/// Shows `source` in the place of `target`, in this mount namespace. It is as read-only as where it came from.
pub fn cover(target: &File, source: &File) -> io::Result<()> {
    let clone = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    // SAFETY: an open descriptor and an empty path.
    let tree =
        unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), c"".as_ptr(), clone) };
    let tree = owned(tree)?;
    let by_descriptor = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: two open descriptors and empty paths.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            by_descriptor,
        )
    };
    if moved == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn owned(descriptor: i64) -> io::Result<OwnedFd> {
    let descriptor = RawFd::try_from(descriptor).unwrap_or(-1);
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
#[path = "rootfs_tests.rs"]
mod tests;
