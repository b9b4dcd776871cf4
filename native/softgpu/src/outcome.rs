//! How the inside of the driver reports failure: by the result code that the caller will see.

use aquifer_cuda::{CUDA_ERROR_INVALID_VALUE, CUresult};

/// A value, or the code of the error.
pub type Outcome<T = ()> = Result<T, CUresult>;

/// Writes `value` to a caller's pointer.
///
/// # Errors
/// CUDA_ERROR_INVALID_VALUE where the pointer is null.
///
/// # Safety
/// A pointer that is not null must be valid for a write.
pub unsafe fn give<T>(to: *mut T, value: T) -> Outcome {
    if to.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, and valid as the caller promises; C callers may hand in unaligned pointers to packed data.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// INVALID_VALUE unless `right`.
pub fn require(right: bool) -> Outcome {
    if right {
        Ok(())
    } else {
        Err(CUDA_ERROR_INVALID_VALUE)
    }
}
