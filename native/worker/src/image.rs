//! Module images as they come in pieces, and the options they are loaded with.

use crate::code::{Logs, as_pointer};
use aquifer_cuda::*;
use aquifer_protocol::MAX_IMAGE_BYTES;
use aquifer_protocol::generated::SourceData;
use core::ffi::{c_uint, c_void};

/// Images that may be on their way at once, and the most they may hold together, in bytes.
const MOST_SOURCES: usize = 16;
/// Zero bytes after an image: PTX ends at one, and nothing that reads a little too far reads anything else.
pub const PADDING: usize = 64;
/// The largest log that is brought back, in bytes.
const MOST_LOG_BYTES: u64 = 64 << 10;
/// Options of one load at most.
const MOST_OPTIONS: usize = 64;
const FATBIN_WRAPPER: u32 = 0x4662_43b1;
const FATBIN: u32 = 0xba55_ed50;

struct Source {
    id: u32,
    total: u64,
    bytes: Vec<u8>,
}

/// Images that are not loaded yet.
#[derive(Default)]
pub struct Sources {
    sources: Vec<Source>,
}

impl Sources {
    /// Room for the next `bytes` of an image, or none when they are not the next, or too many. What cannot be taken is
    /// forgotten: the load that names it then fails.
    pub fn room(&mut self, call: &SourceData, bytes: usize) -> Option<&mut [u8]> {
        let at = self.sources.iter().position(|it| it.id == call.source);
        let held: u64 = self.sources.iter().map(|it| it.bytes.len() as u64).sum();
        let at = match at {
            Some(at) => at,
            None if call.offset == 0 && self.sources.len() < MOST_SOURCES => {
                self.sources.push(Source {
                    id: call.source,
                    total: call.total,
                    bytes: Vec::new(),
                });
                self.sources.len() - 1
            }
            None => return None,
        };
        let source = &self.sources[at];
        let start = source.bytes.len();
        let next = call.offset == start as u64
            && call.total == source.total
            && call.total <= MAX_IMAGE_BYTES;
        if !next
            || start as u64 + bytes as u64 > source.total
            || held + bytes as u64 > MAX_IMAGE_BYTES
        {
            self.sources.swap_remove(at);
            return None;
        }
        let source = &mut self.sources[at];
        source.bytes.resize(start + bytes, 0);
        Some(&mut source.bytes[start..])
    }

    /// The last `bytes` of an image did not come whole.
    pub fn give_back(&mut self, source: u32, bytes: usize) {
        if let Some(source) = self.sources.iter_mut().find(|it| it.id == source) {
            let left = source.bytes.len().saturating_sub(bytes);
            source.bytes.truncate(left);
        }
    }

    /// Takes a whole image out, checked and padded; none when it is not whole or not one that can be loaded.
    pub fn take(&mut self, id: u32) -> Option<Vec<u8>> {
        let at = self.sources.iter().position(|it| it.id == id)?;
        let source = self.sources.swap_remove(at);
        let whole = source.bytes.len() as u64 == source.total && is_contained(&source.bytes);
        let mut bytes = source.bytes;
        bytes.resize(bytes.len() + PADDING, 0);
        whole.then_some(bytes)
    }
}

/// Whether the driver, which is told no length, will find all of the image inside it. A wrapper that points elsewhere is
/// refused: its pointers would be the client's.
fn is_contained(bytes: &[u8]) -> bool {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .map(|it| u32::from_le_bytes([it[0], it[1], it[2], it[3]]))
    };
    let long = |at: usize| Some(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
    match word(0) {
        Some(FATBIN_WRAPPER) => false,
        Some(FATBIN) => {
            let header = word(4).map_or(0, |it| u64::from(it >> 16));
            long(8)
                .and_then(|payload| payload.checked_add(header))
                .is_some_and(|size| size <= bytes.len() as u64)
        }
        Some(0x464c_457f) => {
            let count = |at: usize| {
                bytes
                    .get(at..at + 2)
                    .map(|it| u64::from(u16::from_le_bytes([it[0], it[1]])))
            };
            let ends = |start: usize, size: usize, number: usize| {
                let bytes_of_table = count(size)?.checked_mul(count(number)?)?;
                long(start)?.checked_add(bytes_of_table)
            };
            [ends(32, 54, 56), ends(40, 58, 60)]
                .iter()
                .all(|end| end.is_some_and(|end| end <= bytes.len() as u64))
        }
        _ => !bytes.is_empty(),
    }
}

/// The options of a load: numbers only. Logs go to buffers of the worker.
pub struct Options {
    names: Vec<CUjit_option>,
    values: Vec<*mut c_void>,
    info: Vec<u8>,
    error: Vec<u8>,
}

impl Options {
    /// Reads `count` pairs of u32 option, u32 zero, u64 value. Options whose value would be a pointer are left out: what
    /// they ask for is the client's to give.
    pub fn read(tail: &[u8], count: usize) -> Result<Options, CUresult> {
        if count > MOST_OPTIONS || tail.len() < count * 16 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let mut options = Options {
            names: Vec::new(),
            values: Vec::new(),
            info: Vec::new(),
            error: Vec::new(),
        };
        let mut sizes = [0u64, 0];
        for pair in tail[..count * 16].chunks_exact(16) {
            let option = u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]);
            let value = u64::from_le_bytes([
                pair[8], pair[9], pair[10], pair[11], pair[12], pair[13], pair[14], pair[15],
            ]);
            match option {
                CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES => sizes[0] = value.min(MOST_LOG_BYTES),
                CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES => sizes[1] = value.min(MOST_LOG_BYTES),
                CU_JIT_MAX_REGISTERS
                | CU_JIT_THREADS_PER_BLOCK
                | CU_JIT_OPTIMIZATION_LEVEL
                | CU_JIT_TARGET_FROM_CUCONTEXT
                | CU_JIT_TARGET
                | CU_JIT_FALLBACK_STRATEGY
                | CU_JIT_GENERATE_DEBUG_INFO
                | CU_JIT_LOG_VERBOSE
                | CU_JIT_GENERATE_LINE_INFO
                | CU_JIT_CACHE_MODE
                | CU_JIT_POSITION_INDEPENDENT_CODE..=CU_JIT_OVERRIDE_DIRECTIVE_VALUES => {
                    options.add(option, as_pointer(value))
                }
                _ => {}
            }
        }
        // The error log is always kept: it says in the worker's answer what a failed load was about.
        options.info = vec![0; sizes[0] as usize];
        options.error = vec![0; sizes[1].max(4096) as usize];
        let (info, error) = (options.info.as_mut_ptr(), options.error.as_mut_ptr());
        if sizes[0] > 0 {
            options.add(CU_JIT_INFO_LOG_BUFFER, info.cast());
            options.add(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, as_pointer(sizes[0]));
        }
        let error_bytes = options.error.len() as u64;
        options.add(CU_JIT_ERROR_LOG_BUFFER, error.cast());
        options.add(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, as_pointer(error_bytes));
        Ok(options)
    }

    fn add(&mut self, name: CUjit_option, value: *mut c_void) {
        self.names.push(name);
        self.values.push(value);
    }

    /// Count, options and values, as the driver takes them.
    pub fn parts(&mut self) -> (c_uint, *mut CUjit_option, *mut *mut c_void) {
        (
            self.names.len() as c_uint,
            self.names.as_mut_ptr(),
            self.values.as_mut_ptr(),
        )
    }

    /// What the driver wrote: the texts up to their zero bytes.
    pub fn logs(&self) -> Logs {
        let text = |bytes: &[u8]| {
            bytes[..bytes.iter().position(|it| *it == 0).unwrap_or(bytes.len())].to_vec()
        };
        (text(&self.info), text(&self.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(source: u32, total: u64, offset: u64) -> SourceData {
        SourceData {
            total,
            offset,
            source,
        }
    }

    #[test]
    fn an_image_is_whole_only_when_its_pieces_came_in_order() {
        let mut sources = Sources::default();
        sources
            .room(&piece(1, 6, 0), 4)
            .unwrap()
            .copy_from_slice(b".ver");
        assert!(sources.take(1).is_none());
        sources
            .room(&piece(1, 6, 0), 4)
            .unwrap()
            .copy_from_slice(b".ver");
        sources
            .room(&piece(1, 6, 4), 2)
            .unwrap()
            .copy_from_slice(b"si");
        let image = sources.take(1).unwrap();
        assert!(image.starts_with(b".versi\0") && image.len() == 6 + PADDING);
        assert!(sources.room(&piece(2, 6, 0), 7).is_none());
        assert!(sources.room(&piece(2, 6, 3), 1).is_none());
        assert!(sources.room(&piece(2, u64::MAX, 0), 1).is_none());
        assert!(sources.take(2).is_none());
    }

    #[test]
    fn unloaded_images_are_bounded() {
        let mut sources = Sources::default();
        let taken = (0..1000)
            .filter(|id| sources.room(&piece(*id, 10, 0), 1).is_some())
            .count();
        assert_eq!(taken, MOST_SOURCES);
    }

    #[test]
    fn images_that_reach_outside_are_refused() {
        let mut fatbin = vec![0u8; 64];
        fatbin[..4].copy_from_slice(&FATBIN.to_le_bytes());
        fatbin[6] = 16;
        fatbin[8] = 48;
        assert!(is_contained(&fatbin));
        fatbin[8] = 49;
        assert!(!is_contained(&fatbin));
        fatbin[8..16].fill(0xff);
        assert!(!is_contained(&fatbin));
        assert!(!is_contained(&FATBIN_WRAPPER.to_le_bytes()));
        assert!(!is_contained(b"\x7fELF"));
        assert!(!is_contained(b""));
    }

    #[test]
    fn pointer_options_are_left_out_and_counts_checked() {
        let mut tail = Vec::new();
        for (option, value) in [
            (CU_JIT_MAX_REGISTERS, 32u64),
            (CU_JIT_INFO_LOG_BUFFER, 0xdead),
            (CU_JIT_GLOBAL_SYMBOL_NAMES, 0xbeef),
        ] {
            tail.extend_from_slice(&option.to_le_bytes());
            tail.extend_from_slice(&[0; 4]);
            tail.extend_from_slice(&value.to_le_bytes());
        }
        let options = Options::read(&tail, 3).unwrap();
        assert!(
            !options.values.contains(&as_pointer(0xdead))
                && !options.values.contains(&as_pointer(0xbeef))
        );
        assert_eq!(options.names[0], CU_JIT_MAX_REGISTERS);
        assert!(Options::read(&tail, 4).is_err());
        assert!(Options::read(&tail, usize::MAX).is_err());
    }
}
