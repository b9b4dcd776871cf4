//! Faults that are switched on from outside: a file `fault-<index>` in the state directory.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use aquifer_cuda::*;

use crate::state::coarse_ns;

const LOOK_EVERY_NS: u64 = 10_000_000;
const NONE: u32 = 0;
const HANG: u32 = u32::MAX;
const LOST: u32 = u32::MAX - 1;

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kernels never finish.
    Hang,
    /// The device is gone.
    Lost,
    /// The driver's number of a hardware or software error.
    Xid(u32),
}

impl Fault {
    /// What the next call in a context of the device returns, for ever after; none where calls go on.
    pub fn result(self) -> Option<CUresult> {
        match self {
            Fault::Hang => None,
            Fault::Lost => Some(CUDA_ERROR_DEVICE_UNAVAILABLE),
            Fault::Xid(31) => Some(CUDA_ERROR_ILLEGAL_ADDRESS),
            Fault::Xid(13 | 43 | 45 | 69) => Some(CUDA_ERROR_LAUNCH_FAILED),
            Fault::Xid(48 | 63 | 64 | 94 | 95) => Some(CUDA_ERROR_ECC_UNCORRECTABLE),
            Fault::Xid(74) => Some(CUDA_ERROR_NVLINK_UNCORRECTABLE),
            Fault::Xid(_) => Some(CUDA_ERROR_UNKNOWN),
        }
    }

    /// True where NVML finds the device gone: XID 79 is "fallen off the bus".
    pub fn is_lost(self) -> bool {
        matches!(self, Fault::Lost | Fault::Xid(79))
    }

    fn parse(text: &str) -> Option<Fault> {
        let mut words = text.split_ascii_whitespace();
        let fault = match (words.next()?, words.next()) {
            ("hang", None) => Fault::Hang,
            ("lost", None) => Fault::Lost,
            ("xid", Some(number)) => {
                Fault::Xid(number.parse().ok().filter(|n| (1..1000).contains(n))?)
            }
            _ => return None,
        };
        words.next().is_none().then_some(fault)
    }

    fn encode(fault: Option<Fault>) -> u32 {
        match fault {
            None => NONE,
            Some(Fault::Hang) => HANG,
            Some(Fault::Lost) => LOST,
            Some(Fault::Xid(number)) => number,
        }
    }
}

/// Looks at the fault file of one device, at most each 10 ms.
pub struct FaultSwitch {
    place: Option<(File, CString)>,
    word: AtomicU32,
    looked_ns: AtomicU64,
}

impl FaultSwitch {
    /// The switch of device `index`; without a state directory it never comes on.
    pub fn new(directory: Option<&File>, index: usize) -> FaultSwitch {
        let name = CString::new(format!("fault-{index}")).ok();
        let place = directory
            .and_then(|directory| directory.try_clone().ok())
            .zip(name);
        FaultSwitch {
            place,
            word: AtomicU32::new(NONE),
            looked_ns: AtomicU64::new(0),
        }
    }

    /// The present fault.
    #[inline]
    pub fn fault(&self) -> Option<Fault> {
        if self.place.is_some() {
            let now = coarse_ns();
            if now.wrapping_sub(self.looked_ns.load(Relaxed)) >= LOOK_EVERY_NS {
                self.look(now);
            }
        }
        self.last_seen()
    }

    /// The fault at the last look.
    #[inline]
    pub fn last_seen(&self) -> Option<Fault> {
        match self.word.load(Relaxed) {
            NONE => None,
            HANG => Some(Fault::Hang),
            LOST => Some(Fault::Lost),
            number => Some(Fault::Xid(number)),
        }
    }

    #[cold]
    fn look(&self, now: u64) {
        self.looked_ns.store(now, Relaxed);
        let Some((directory, name)) = &self.place else {
            return;
        };
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: an open directory and a terminated name.
        let descriptor = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) };
        if descriptor < 0 {
            self.word.store(NONE, Relaxed);
            return;
        }
        let mut bytes = [0u8; 64];
        // SAFETY: the buffer is as long as said, and the descriptor is this function's own until it closes it.
        let read = unsafe {
            let read = libc::read(descriptor, bytes.as_mut_ptr().cast(), bytes.len());
            libc::close(descriptor);
            read
        };
        let text = bytes
            .get(..usize::try_from(read).unwrap_or(0))
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        self.word
            .store(Fault::encode(text.and_then(Fault::parse)), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_exactly() {
        assert_eq!(Fault::parse("xid 79\n"), Some(Fault::Xid(79)));
        assert_eq!(Fault::parse("hang"), Some(Fault::Hang));
        assert_eq!(Fault::parse("  lost \n"), Some(Fault::Lost));
        for text in [
            "",
            "\n",
            "xid",
            "xid 0",
            "xid 1000",
            "xid -1",
            "xid 79 80",
            "hang 1",
            "LOST",
        ] {
            assert_eq!(Fault::parse(text), None, "{text:?}");
        }
    }
}
