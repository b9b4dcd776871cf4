//! A file that several workers map: made whole or not at all, locked by the kernel, so that no death leaves it broken.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

/// A mapped file of fixed size. Words in it are reached as atomics only.
pub struct SharedFile {
    file: File,
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping lives as long as the value and is only reached through atomics or under the lock of its owner.
unsafe impl Send for SharedFile {}
// SAFETY: as above.
unsafe impl Sync for SharedFile {}

impl SharedFile {
    /// Opens `path`, or makes it with `initial` as its content if there is none. A file of another size, or whose first
    /// `identity` bytes are not those of `initial`, is an error: it belongs to another version.
    pub fn open(path: &Path, initial: &[u8], identity: usize) -> Result<SharedFile> {
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        };
        let file = match open() {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path, initial)?;
                open()?
            }
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != initial.len() as u64 {
            return Err(Error::other(
                "the file has another size: it was made by another version",
            ));
        }
        // SAFETY: a fresh mapping of an open file; its length was checked just above.
        let base = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(
                std::ptr::null_mut(),
                initial.len(),
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).ok_or_else(|| Error::other("mapped at address zero"))?;
        let shared = SharedFile {
            file,
            base,
            size: initial.len(),
        };
        // SAFETY: `identity` is within the mapping (it is a prefix of `initial`), and these bytes never change.
        let found = unsafe {
            std::slice::from_raw_parts(shared.base.as_ptr(), identity.min(initial.len()))
        };
        if found != &initial[..found.len()] {
            return Err(Error::other("the file is not of this kind or version"));
        }
        Ok(shared)
    }

    /// The address of `offset`; `size` bytes from it are inside the mapping.
    pub fn at(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(
            offset.checked_add(size).is_some_and(|end| end <= self.size),
            "offset {offset} is outside the file"
        );
        // SAFETY: within the mapping, checked above.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// The 32-bit word at `offset`.
    pub fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4));
        // SAFETY: inside the mapping, aligned, and shared memory is reached through atomics only.
        unsafe { &*self.at(offset, 4).cast() }
    }

    /// The 64-bit word at `offset`.
    pub fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8));
        // SAFETY: inside the mapping, aligned, and shared memory is reached through atomics only.
        unsafe { &*self.at(offset, 8).cast() }
    }

    /// The signed 64-bit word at `offset`.
    pub fn i64(&self, offset: usize) -> &AtomicI64 {
        assert!(offset.is_multiple_of(8));
        // SAFETY: inside the mapping, aligned, and shared memory is reached through atomics only.
        unsafe { &*self.at(offset, 8).cast() }
    }

    /// Holds the whole file's lock until the guard is dropped; the kernel drops it for a process that dies.
    pub fn lock(&self) -> Result<FileLock<'_>> {
        loop {
            // SAFETY: a system call on an open descriptor.
            if unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_EX) } == 0 {
                return Ok(FileLock(&self.file));
            }
            let error = Error::last_os_error();
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Takes the byte at `offset` as a sign of life, held until this process ends. False if another holds it.
    pub fn hold_byte(&self, offset: usize) -> Result<bool> {
        let lock = byte_lock(offset, libc::F_WRLCK);
        // SAFETY: a system call on an open descriptor with a valid structure.
        if unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } == 0 {
            return Ok(true);
        }
        let error = Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            _ => Err(error),
        }
    }

    /// Gives a held byte back.
    pub fn free_byte(&self, offset: usize) {
        let lock = byte_lock(offset, libc::F_UNLCK);
        // SAFETY: as above.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
    }

    /// Whether another open file holds the byte at `offset`: its owner lives. Unknown counts as alive.
    pub fn byte_held_by_other(&self, offset: usize) -> bool {
        let mut lock = byte_lock(offset, libc::F_WRLCK);
        // SAFETY: as above; the structure is filled by the call.
        let asked = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) };
        asked != 0 || i32::from(lock.l_type) != libc::F_UNLCK
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`, no longer referenced: every reference borrows `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// The lock of a whole file.
pub struct FileLock<'a>(&'a File);

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // SAFETY: a system call on an open descriptor.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

fn byte_lock(offset: usize, kind: libc::c_int) -> libc::flock {
    // SAFETY: an all-zero flock is a valid value; l_pid must be 0 for these locks.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = offset as libc::off_t;
    lock.l_len = 1;
    lock
}

/// Writes the content beside `path` and links it into place: nobody sees half a file, and of two makers one wins.
fn make(path: &Path, initial: &[u8]) -> Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::other("the path names no file"))?
        .to_string_lossy();
    let thread = std::thread::current().id();
    let beside = path.with_file_name(format!(".{name}.{}.{thread:?}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(initial))
        .and_then(|()| std::fs::hard_link(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
