//! Return codes of NVML and the sentences that `nvmlErrorString` gives.

use core::ffi::{CStr, c_uint};

/// What every NVML call returns; 0 is success.
pub type nvmlReturn_t = c_uint;

macro_rules! returns {
    ($($value:literal $name:ident $sentence:literal;)*) => {
        $(#[doc = $sentence] pub const $name: nvmlReturn_t = $value;)*

        /// The sentence of a return code; codes that NVML does not have are "Unknown Error".
        pub fn sentence(code: nvmlReturn_t) -> &'static CStr {
            let text: &'static [u8] = match code {
                $($value => concat!($sentence, "\0").as_bytes(),)*
                _ => b"Unknown Error\0",
            };
            CStr::from_bytes_with_nul(text).unwrap_or(c"Unknown Error")
        }
    };
}

returns! {
    0 NVML_SUCCESS "Success";
    1 NVML_ERROR_UNINITIALIZED "Uninitialized";
    2 NVML_ERROR_INVALID_ARGUMENT "Invalid Argument";
    3 NVML_ERROR_NOT_SUPPORTED "Not Supported";
    4 NVML_ERROR_NO_PERMISSION "Insufficient Permissions";
    5 NVML_ERROR_ALREADY_INITIALIZED "Already Initialized";
    6 NVML_ERROR_NOT_FOUND "Not Found";
    7 NVML_ERROR_INSUFFICIENT_SIZE "Insufficient Size";
    8 NVML_ERROR_INSUFFICIENT_POWER "Insufficient External Power";
    9 NVML_ERROR_DRIVER_NOT_LOADED "Driver Not Loaded";
    10 NVML_ERROR_TIMEOUT "Timeout";
    11 NVML_ERROR_IRQ_ISSUE "Interrupt Request Issue";
    12 NVML_ERROR_LIBRARY_NOT_FOUND "NVML Shared Library Not Found";
    13 NVML_ERROR_FUNCTION_NOT_FOUND "Function Not Found";
    14 NVML_ERROR_CORRUPTED_INFOROM "Corrupted infoROM";
    15 NVML_ERROR_GPU_IS_LOST "GPU is lost";
    16 NVML_ERROR_RESET_REQUIRED "GPU requires reset";
    17 NVML_ERROR_OPERATING_SYSTEM "GPU access blocked by the operating system";
    18 NVML_ERROR_LIB_RM_VERSION_MISMATCH "Driver/library version mismatch";
    19 NVML_ERROR_IN_USE "In Use";
    20 NVML_ERROR_MEMORY "Insufficient Memory";
    21 NVML_ERROR_NO_DATA "No data";
    22 NVML_ERROR_VGPU_ECC_NOT_SUPPORTED "The requested vGPU operation is not available because ECC is enabled";
    23 NVML_ERROR_INSUFFICIENT_RESOURCES "Insufficient Resources";
    24 NVML_ERROR_FREQ_NOT_SUPPORTED "Frequency Not Supported";
    25 NVML_ERROR_ARGUMENT_VERSION_MISMATCH "Argument version mismatch";
    26 NVML_ERROR_DEPRECATED "Deprecated";
    27 NVML_ERROR_NOT_READY "System is not ready";
    28 NVML_ERROR_GPU_NOT_FOUND "No GPUs were found";
    29 NVML_ERROR_INVALID_STATE "Resource not in the correct state";
    30 NVML_ERROR_RESET_TYPE_NOT_SUPPORTED "Reset type not supported";
    999 NVML_ERROR_UNKNOWN "Unknown Error";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_code() {
        assert_eq!(sentence(NVML_ERROR_GPU_IS_LOST), c"GPU is lost");
        assert_eq!(sentence(4711), c"Unknown Error");
    }
}
