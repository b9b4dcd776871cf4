//! A ring whose memory is mapped twice in a row, so that no frame is ever split at its end.

use std::io;
use std::ptr::NonNull;

/// Memory of a ring. Positions are counted for ever; the ring takes them modulo its size.
pub struct MirrorRing {
    memory: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the ring is plain memory; who may touch which part of it is the business of its one owner.
unsafe impl Send for MirrorRing {}
// SAFETY: as above; access through `slice` and `slot` is unsafe and states its conditions.
unsafe impl Sync for MirrorRing {}

impl MirrorRing {
    /// Makes a ring of `bytes`, a power of two of at least one page.
    pub fn new(bytes: usize) -> io::Result<Self> {
        assert!(bytes.is_power_of_two() && bytes >= 4096, "size of a ring");
        // SAFETY: by system call, since the wrapper is newer than the oldest libc this runs on; the name ends in zero.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_memfd_create,
                c"aquifer-ring".as_ptr(),
                libc::MFD_CLOEXEC,
            )
        } as i32;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let mapped = Self::map(fd, bytes);
        // SAFETY: `fd` was opened above and is not used again; the mappings keep the memory.
        unsafe { libc::close(fd) };
        mapped
    }

    fn map(fd: i32, bytes: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the first call picks 2 * bytes of free address space, the others replace exactly these pages.
        unsafe {
            if libc::ftruncate(fd, bytes as libc::off_t) != 0 {
                return Err(io::Error::last_os_error());
            }
            let hidden = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(
                std::ptr::null_mut(),
                2 * bytes,
                libc::PROT_NONE,
                hidden,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            for half in 0..2 {
                let at = memory.byte_add(half * bytes);
                if libc::mmap(at, bytes, access, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)
                    == libc::MAP_FAILED
                {
                    let error = io::Error::last_os_error();
                    libc::munmap(memory, 2 * bytes);
                    return Err(error);
                }
            }
            // A forked child shares nothing: its copy of the client is dead.
            libc::madvise(memory, 2 * bytes, libc::MADV_DONTFORK);
            NonNull::new(memory.cast())
                .map(|memory| Self { memory, bytes })
                .ok_or_else(io::Error::last_os_error)
        }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes from `position` on, to read.
    ///
    /// # Safety
    /// `length` is at most the size of the ring and nobody writes to these bytes meanwhile.
    #[inline]
    pub unsafe fn slice(&self, position: u64, length: usize) -> &[u8] {
        debug_assert!(length <= self.bytes);
        // SAFETY: within the doubled mapping, since start < bytes and length <= bytes; the caller rules out writers.
        unsafe {
            std::slice::from_raw_parts(self.memory.as_ptr().add(self.start(position)), length)
        }
    }

    /// The bytes from `position` on, to write.
    ///
    /// # Safety
    /// `length` is at most the size of the ring and nobody else reads or writes these bytes meanwhile.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slot(&self, position: u64, length: usize) -> &mut [u8] {
        debug_assert!(length <= self.bytes);
        // SAFETY: as for `slice`; the caller has these bytes to itself.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_ptr().add(self.start(position)), length)
        }
    }

    #[inline]
    fn start(&self, position: u64) -> usize {
        position as usize & (self.bytes - 1)
    }
}

impl Drop for MirrorRing {
    fn drop(&mut self) {
        // SAFETY: unmaps what `map` mapped; nobody can hold a slice of a ring that is dropped.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), 2 * self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_the_end_is_read_at_the_beginning() {
        let ring = MirrorRing::new(4096).expect("a ring");
        // SAFETY: one thread, and the slices do not overlap in time.
        unsafe {
            ring.slot(4094, 4).copy_from_slice(b"abcd");
            assert_eq!(ring.slice(4096, 2), b"cd");
            assert_eq!(ring.slice(4094 + 4096, 4), b"abcd");
        }
    }
}
