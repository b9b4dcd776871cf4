//! Opening, making and mapping the state file of one device.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::layout::{FILE_BYTES, Header, MAGIC, ROWS, ROWS_OFFSET, RowLayout, VERSION};
use super::mutex;

/// The mapped state of one device.
pub struct Shared {
    base: NonNull<u8>,
    pub(super) file: File,
}

// SAFETY: everything behind `base` is atomics, or guarded by the mutexes that lie there too.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// State of this process alone.
    pub fn private(memory_bytes: u64) -> Result<Shared, Error> {
        // SAFETY: a constant, terminated name.
        let descriptor =
            unsafe { libc::memfd_create(c"softgpu-state".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and is owned by nobody else.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let shared = Shared::map_new(file)?;
        shared.header().memory_total.store(memory_bytes, Relaxed);
        Ok(shared)
    }

    /// The state that all processes of `directory` share for device `index`; made if it is not there.
    ///
    /// A file whose memory size differs is taken over if no process uses it, else refused.
    pub fn open(directory: &File, index: usize, memory_bytes: u64) -> Result<Shared, Error> {
        let name = format!("gpu-{index}\0");
        let shared = match open_at(directory, &name, libc::O_RDWR) {
            Ok(file) => Shared::map(file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Shared::create(directory, &name, memory_bytes)?
            }
            Err(error) => return Err(error),
        };
        shared.agree_on_memory(memory_bytes)?;
        Ok(shared)
    }

    /// The file appears under its name only when it is complete, so that no process sees half of it.
    fn create(directory: &File, name: &str, memory_bytes: u64) -> Result<Shared, Error> {
        let unique = format!(
            ".gpu-new-{}-{:x}\0",
            std::process::id(),
            super::monotonic_ns()
        );
        let file = open_at(
            directory,
            &unique,
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
        )?;
        // SAFETY: an open descriptor. Workers of other users map the same file; the umask must not keep them out.
        unsafe { libc::fchmod(file.as_raw_fd(), 0o666) };
        let made = Shared::map_new(file)?;
        made.header().memory_total.store(memory_bytes, Relaxed);
        let (from, to) = (unique.as_ptr().cast(), name.as_ptr().cast());
        let fd = directory.as_raw_fd();
        // SAFETY: both names end in NUL.
        let linked = unsafe { libc::linkat(fd, from, fd, to, 0) };
        let error = Error::last_os_error();
        // SAFETY: the name ends in NUL.
        unsafe { libc::unlinkat(fd, from, 0) };
        match linked {
            0 => Ok(made),
            _ if error.kind() == ErrorKind::AlreadyExists => {
                Shared::map(open_at(directory, name, libc::O_RDWR)?)
            }
            _ => Err(error),
        }
    }

    fn map_new(file: File) -> Result<Shared, Error> {
        file.set_len(FILE_BYTES as u64)?;
        let mut start = Vec::new();
        start.extend_from_slice(&MAGIC.to_le_bytes());
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(&(ROWS as u32).to_le_bytes());
        file.write_all_at(&start, 0)?;
        let shared = Shared::map(file)?;
        mutex::initialize(&shared.header().book);
        mutex::initialize(&shared.header().time);
        Ok(shared)
    }

    fn map(file: File) -> Result<Shared, Error> {
        let about = file.metadata()?;
        if !about.is_file() || about.size() < FILE_BYTES as u64 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the state file is too short",
            ));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        // SAFETY: a fresh mapping of a file that is at least this long, at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                FILE_BYTES,
                protection,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        let base = match NonNull::new(base.cast::<u8>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => base,
            _ => return Err(Error::last_os_error()),
        };
        let shared = Shared { base, file };
        let header = shared.header();
        if header.magic != MAGIC || header.version != VERSION || header.rows as usize != ROWS {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "not a state file of this version",
            ));
        }
        Ok(shared)
    }

    fn agree_on_memory(&self, memory_bytes: u64) -> Result<(), Error> {
        let header = self.header();
        if header.memory_total.load(Relaxed) == memory_bytes {
            return Ok(());
        }
        let _book = self.book();
        self.drop_dead_rows(None);
        if self.rows().iter().any(|row| row.pid.load(Relaxed) != 0) {
            let other = header.memory_total.load(Relaxed);
            let message = format!(
                "other processes use this device with {other} bytes of memory, not {memory_bytes}"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        header.memory_total.store(memory_bytes, Relaxed);
        Ok(())
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping is FILE_BYTES long, page-aligned, lives as long as `self`, and any bytes are a valid
        // Header: its fields are integers, atomics and cells.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    pub(super) fn rows(&self) -> &[RowLayout; ROWS] {
        // SAFETY: as above; the rows lie wholly inside the mapping.
        unsafe {
            self.base
                .add(ROWS_OFFSET)
                .cast::<[RowLayout; ROWS]>()
                .as_ref()
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), FILE_BYTES) };
    }
}

fn open_at(directory: &File, name: &str, flags: libc::c_int) -> Result<File, Error> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: every caller's name ends in NUL.
    let descriptor =
        unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr().cast(), flags, 0o666) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is owned by nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}
