//! Options of the loaders: of all of them only the logs mean anything to a software GPU.

use std::ffi::{c_uint, c_void};

use aquifer_cuda::*;

use crate::image::{self, Refusal};
use crate::module::target_sm;
use crate::outcome::{Outcome, require};

/// Lists of a C caller's: `count` options and as many values.
pub struct Options {
    pub options: *mut CUjit_option,
    pub values: *mut *mut c_void,
    pub count: c_uint,
}

/// More options than exist are not a list.
const COUNT_MAX: c_uint = 64;

impl Options {
    /// No options.
    pub const NONE: Options = Options {
        options: std::ptr::null_mut(),
        values: std::ptr::null_mut(),
        count: 0,
    };

    fn check(&self) -> Outcome {
        require(self.count <= COUNT_MAX)?;
        require(self.count == 0 || !self.options.is_null() && !self.values.is_null())
    }

    /// Where the caller wants the value of an option.
    fn slot(&self, wanted: CUjit_option) -> Option<*mut *mut c_void> {
        let mut all = 0..self.count as usize;
        // SAFETY: the list has `count` options, as the caller says.
        let index = all.find(|index| unsafe { *self.options.add(*index) } == wanted)?;
        // SAFETY: and as many values.
        Some(unsafe { self.values.add(index) })
    }

    /// Writes a log and its size, as far as the caller gave room.
    fn log(&self, buffer: CUjit_option, size: CUjit_option, text: &str) {
        let Some(size) = self.slot(size) else { return };
        // SAFETY: a slot of the caller's list. The size is the value itself, an unsigned int in a pointer's place.
        let room = unsafe { (*size).addr() } as u32 as usize;
        let mut written = 0;
        if let Some(buffer) = self.slot(buffer)
            && room != 0
        {
            // SAFETY: a slot of the caller's list.
            let start: *mut u8 = unsafe { *buffer }.cast();
            if !start.is_null() {
                written = text.len().min(room - 1);
                // SAFETY: the buffer has `room` bytes, as the caller says.
                unsafe {
                    start.copy_from_nonoverlapping(text.as_ptr(), written);
                    start.add(written).write(0);
                }
            }
        }
        // SAFETY: a slot of the caller's list.
        unsafe { *size = std::ptr::without_provenance_mut(written) };
    }

    /// Fills the logs by how loading went, and gives the caller its code.
    fn settle<T>(&self, done: Result<T, Refusal>) -> Outcome<T> {
        self.log(
            CU_JIT_INFO_LOG_BUFFER,
            CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
            "",
        );
        let error = done
            .as_ref()
            .err()
            .map_or("", |(_, message)| message.as_str());
        self.log(
            CU_JIT_ERROR_LOG_BUFFER,
            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
            error,
        );
        done.map_err(|(code, _)| code)
    }
}

/// Reads the PTX out of an image and gives it to `load`.
///
/// # Safety
/// The image and the options must be as their loaders in CUDA's manual want them.
pub unsafe fn load_image<T>(
    image: *const c_void,
    options: &Options,
    load: impl FnOnce(Vec<u8>) -> Result<T, Refusal>,
) -> Outcome<T> {
    options.check()?;
    // SAFETY: as the caller promises.
    options.settle(unsafe { image::ptx_at(image.cast(), target_sm()) }.and_then(load))
}

/// Reads the PTX out of a file and gives it to `load`.
///
/// # Safety
/// The options must be as their loaders in CUDA's manual want them.
pub unsafe fn load_file<T>(
    path: &str,
    options: &Options,
    load: impl FnOnce(Vec<u8>) -> Result<T, Refusal>,
) -> Outcome<T> {
    options.check()?;
    let mut bytes = std::fs::read(path).map_err(|_| CUDA_ERROR_FILE_NOT_FOUND)?;
    // An end for text, and enough zeros that no header of a short file is read beyond it.
    bytes.resize(bytes.len() + 96, 0);
    let text = if file_is_whole(&bytes) {
        // SAFETY: the bytes end in NUL, and what a fat binary says of its own size was just checked.
        unsafe { image::ptx_at(bytes.as_ptr(), target_sm()) }
    } else {
        Err((
            CUDA_ERROR_INVALID_IMAGE,
            "the fat binary is cut off".to_owned(),
        ))
    };
    options.settle(text.and_then(load))
}

/// In a file a fat binary's own size can be checked, and a wrapper, which holds an address, has no place.
fn file_is_whole(bytes: &[u8]) -> bool {
    let word = |offset: usize| {
        bytes
            .get(offset..offset + 8)
            .and_then(|part| part.try_into().ok())
            .map(u64::from_le_bytes)
    };
    match word(0).map(|first| first as u32) {
        Some(0xba55_ed50) => word(8).is_some_and(|size| size <= (bytes.len() - 112) as u64),
        Some(0x4662_43b1) | None => false,
        Some(_) => true,
    }
}
