//! Module images: how long they are, sending them, and the options and logs of a load.

use crate::session::{Outcome, Session};
use aquifer_cuda::*;
use aquifer_protocol::MAX_IMAGE_BYTES;
use aquifer_protocol::generated::SourceData;
use std::ffi::{CStr, c_void};
use std::sync::atomic::Ordering;

const WRAPPER_MAGIC: u32 = 0x4662_43b1;
const FATBIN_MAGIC: u32 = 0xba55_ed50;
const ELF_MAGIC: u32 = u32::from_le_bytes(*b"\x7fELF");
const SECTION_WITHOUT_BYTES: u32 = 8;

/// An image that the program passed by address only.
///
/// # Safety
/// `image` is null or the address of a PTX text that ends in zero, an ELF image, a fatbin or the wrapper of one.
pub unsafe fn image<'a>(image: *const c_void) -> Outcome<&'a [u8]> {
    if image.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: each reading is of a header that the magic promises.
    unsafe {
        // A text of fewer than four bytes ends in zero among those that are read here.
        let text = CStr::from_ptr(image.cast());
        let magic = if text.count_bytes() < 3 {
            0
        } else {
            image.cast::<u32>().read_unaligned()
        };
        let length = match magic {
            WRAPPER_MAGIC => return wrapped(image),
            FATBIN_MAGIC => {
                let header = u64::from(image.byte_add(6).cast::<u16>().read_unaligned());
                header.saturating_add(image.byte_add(8).cast::<u64>().read_unaligned())
            }
            ELF_MAGIC => elf_length(image),
            _ => text.to_bytes_with_nul().len() as u64,
        };
        if length > MAX_IMAGE_BYTES {
            crate::log::error(format_args!(
                "a module of {length} bytes is over the limit of {MAX_IMAGE_BYTES}"
            ));
            return Err(CUDA_ERROR_INVALID_IMAGE);
        }
        Ok(std::slice::from_raw_parts(image.cast(), length as usize))
    }
}

unsafe fn wrapped<'a>(wrapper: *const c_void) -> Outcome<&'a [u8]> {
    // SAFETY: a wrapper is u32 magic, u32 version, and the address of the fatbin.
    unsafe {
        if wrapper.byte_add(4).cast::<u32>().read_unaligned() != 1 {
            crate::log::error(
                "a module of several fatbins (relocatable device code) is not supported",
            );
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let fatbin = wrapper.byte_add(8).cast::<*const c_void>().read_unaligned();
        if fatbin.is_null() || fatbin.cast::<u32>().read_unaligned() != FATBIN_MAGIC {
            return Err(CUDA_ERROR_INVALID_IMAGE);
        }
        image(fatbin)
    }
}

/// Where the last byte that a header of a 64-bit ELF image mentions ends.
unsafe fn elf_length(image: *const c_void) -> u64 {
    // SAFETY: offsets are those of the ELF header, and of the tables that it places inside the image.
    unsafe {
        let long = |at: u64| image.byte_add(at as usize).cast::<u64>().read_unaligned();
        let word = |at: u64| image.byte_add(at as usize).cast::<u32>().read_unaligned();
        let short = |at: u64| u64::from(image.byte_add(at as usize).cast::<u16>().read_unaligned());
        let (segments, sections) = (long(32), long(40));
        let (segment_bytes, segment_count) = (short(54), short(56));
        let (section_bytes, section_count) = (short(58), short(60));
        let tables = (segments + segment_bytes * segment_count)
            .max(sections + section_bytes * section_count)
            .max(64);
        let of_segment = |index: u64| {
            let at = segments + index * segment_bytes;
            long(at + 8).saturating_add(long(at + 32))
        };
        let of_section = |index: u64| {
            let at = sections + index * section_bytes;
            if word(at + 4) == SECTION_WITHOUT_BYTES {
                0
            } else {
                long(at + 24).saturating_add(long(at + 32))
            }
        };
        let last_segment = (0..segment_count).map(of_segment).max().unwrap_or(0);
        let last_section = (0..section_count).map(of_section).max().unwrap_or(0);
        tables.max(last_segment).max(last_section)
    }
}

/// An image that a file holds, ended by a zero as a text must be.
pub fn file(path: &CStr) -> Outcome<Vec<u8>> {
    let path = std::path::Path::new(std::ffi::OsStr::new(
        path.to_str().map_err(|_| CUDA_ERROR_FILE_NOT_FOUND)?,
    ));
    let known = std::fs::metadata(path).map_err(|_| CUDA_ERROR_FILE_NOT_FOUND)?;
    if known.len() >= MAX_IMAGE_BYTES {
        crate::log::error(format_args!(
            "{} has {} bytes, over the limit of a module",
            path.display(),
            known.len()
        ));
        return Err(CUDA_ERROR_INVALID_IMAGE);
    }
    let mut bytes = std::fs::read(path).map_err(|_| CUDA_ERROR_FILE_NOT_FOUND)?;
    bytes.push(0);
    Ok(bytes)
}

/// Sends an image; the result names it in the load that follows.
pub fn send(session: &Session, image: &[u8]) -> Outcome<u32> {
    let source = session.next_source.fetch_add(1, Ordering::Relaxed);
    let total = image.len() as u64;
    session.send_bulk(image, false, |offset| SourceData {
        total,
        offset: offset as u64,
        source,
    })?;
    Ok(source)
}

/// JIT options of a load: as they go to the worker, and where its logs go.
#[derive(Default)]
pub struct JitOptions {
    encoded: Vec<u8>,
    info: Log,
    error: Log,
}

#[derive(Default)]
struct Log {
    buffer: Option<*mut u8>,
    bytes: usize,
    /// Where the program wants to know how much was written.
    written: Option<*mut *mut c_void>,
}

impl JitOptions {
    /// Reads what the program passed.
    ///
    /// # Safety
    /// `options` and `values` are null or have `count` elements.
    pub unsafe fn read(
        count: u32,
        options: *mut CUjit_option,
        values: *mut *mut c_void,
    ) -> Outcome<Self> {
        let mut read = Self::default();
        if count > 0 && (options.is_null() || values.is_null()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        for index in 0..count as usize {
            // SAFETY: the caller's promise.
            let (option, place) = unsafe { (*options.add(index), values.add(index)) };
            // SAFETY: as above.
            let value = unsafe { *place };
            match option {
                CU_JIT_INFO_LOG_BUFFER => read.info.buffer = Some(value.cast()),
                CU_JIT_ERROR_LOG_BUFFER => read.error.buffer = Some(value.cast()),
                CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES => read.info.size(value as usize, place),
                CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES => read.error.size(value as usize, place),
                // What would be written back is the time that loading took here, which means nothing.
                CU_JIT_WALL_TIME => continue,
                CU_JIT_GLOBAL_SYMBOL_NAMES..=CU_JIT_GLOBAL_SYMBOL_COUNT
                | CU_JIT_REFERENCED_KERNEL_NAMES..=CU_JIT_REFERENCED_VARIABLE_COUNT => {
                    return Err(CUDA_ERROR_NOT_SUPPORTED);
                }
                _ => {}
            }
            if option != CU_JIT_INFO_LOG_BUFFER && option != CU_JIT_ERROR_LOG_BUFFER {
                read.encoded.extend_from_slice(&option.to_le_bytes());
                read.encoded.extend_from_slice(&[0; 4]);
                read.encoded
                    .extend_from_slice(&(value as u64).to_le_bytes());
            }
        }
        Ok(read)
    }

    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    pub fn count(&self) -> u32 {
        (self.encoded.len() / 16) as u32
    }

    /// Gives the worker's logs to the program.
    ///
    /// # Safety
    /// The program's buffers are still there.
    pub unsafe fn give_logs(&self, info_bytes: u32, error_bytes: u32, logs: &[u8]) {
        let (info, rest) = logs.split_at((info_bytes as usize).min(logs.len()));
        let error = &rest[..(error_bytes as usize).min(rest.len())];
        // SAFETY: the caller's promise.
        unsafe {
            self.info.write(info);
            self.error.write(error);
        }
    }
}

impl Log {
    fn size(&mut self, bytes: usize, place: *mut *mut c_void) {
        self.bytes = bytes;
        self.written = Some(place);
    }

    unsafe fn write(&self, text: &[u8]) {
        let (Some(buffer), Some(written)) = (self.buffer, self.written) else {
            return;
        };
        if buffer.is_null() || self.bytes == 0 {
            return;
        }
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        let length = text.len().min(self.bytes - 1);
        // SAFETY: the buffer has `bytes` bytes by the program's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, length);
            buffer.add(length).write(0);
            *written = (length + 1) as *mut c_void;
        }
    }
}
