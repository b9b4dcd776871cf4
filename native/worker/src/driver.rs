//! The driver, loaded at run time: NVIDIA's or any other library that offers the same interface, told apart by nothing.

use aquifer_cuda::*;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The version whose look-up rules are asked for: major * 1000 + minor * 10. Functions that changed later keep the
/// meaning that is written below.
type Find =
    unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_uint) -> CUresult;

macro_rules! driver {
    (required { $($name:ident $version:literal ($($argument:ty),*);)* }
     optional { $($late:ident $late_version:literal ($($late_argument:ty),*);)* }) => {
        /// The driver's functions that the worker uses; those that older drivers lack are options.
        #[allow(non_snake_case)]
        pub struct Driver {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> CUresult,)*
            $(pub $late: Option<unsafe extern "C" fn($($late_argument),*) -> CUresult>,)*
        }

        impl Driver {
            fn resolve(library: &Library) -> Result<Driver, String> {
                Ok(Driver {
                    $($name: {
                        let symbol = library.find(stringify!($name), $version)
                            .ok_or(concat!("the driver has no function ", stringify!($name)))?;
                        // SAFETY: the driver's interface gives this name and version this signature.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) -> CUresult>(symbol) }
                    },)*
                    $($late: library.find(stringify!($late), $late_version).map(|symbol| {
                        // SAFETY: as above.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($late_argument),*) -> CUresult>(symbol) }
                    }),)*
                })
            }
        }
    };
}

driver! {
    required {
        cuInit 2000 (c_uint);
        cuDriverGetVersion 2020 (*mut c_int);
        cuDeviceGetCount 2000 (*mut c_int);
        cuDeviceGet 2000 (*mut CUdevice, c_int);
        cuDeviceGetName 2000 (*mut c_char, c_int, CUdevice);
        cuDeviceGetUuid 11040 (*mut CUuuid, CUdevice);
        cuDeviceGetPCIBusId 4010 (*mut c_char, c_int, CUdevice);
        cuDeviceGetAttribute 2000 (*mut c_int, CUdevice_attribute, CUdevice);
        cuDevicePrimaryCtxRetain 7000 (*mut CUcontext, CUdevice);
        cuCtxCreate 3020 (*mut CUcontext, c_uint, CUdevice);
        cuCtxDestroy 4000 (CUcontext);
        cuCtxSetCurrent 4000 (CUcontext);
        cuCtxSynchronize 2000 ();
        cuCtxSetLimit 3010 (CUlimit, usize);
        cuCtxGetLimit 3010 (*mut usize, CUlimit);
        cuCtxGetStreamPriorityRange 5050 (*mut c_int, *mut c_int);
        cuMemGetInfo 3020 (*mut usize, *mut usize);
        cuMemAddressReserve 10020 (*mut CUdeviceptr, usize, usize, CUdeviceptr, u64);
        cuMemAddressFree 10020 (CUdeviceptr, usize);
        cuMemCreate 10020 (*mut CUmemGenericAllocationHandle, usize, *const CUmemAllocationProp, u64);
        cuMemRelease 10020 (CUmemGenericAllocationHandle);
        cuMemMap 10020 (CUdeviceptr, usize, usize, CUmemGenericAllocationHandle, u64);
        cuMemUnmap 10020 (CUdeviceptr, usize);
        cuMemSetAccess 10020 (CUdeviceptr, usize, *const CUmemAccessDesc, usize);
        cuMemGetAllocationGranularity 10020 (*mut usize, *const CUmemAllocationProp, CUmemAllocationGranularity_flags);
        cuMemHostAlloc 2020 (*mut *mut c_void, usize, c_uint);
        cuMemFreeHost 2000 (*mut c_void);
        cuMemcpyHtoDAsync 3020 (CUdeviceptr, *const c_void, usize, CUstream);
        cuMemcpyDtoHAsync 3020 (*mut c_void, CUdeviceptr, usize, CUstream);
        cuMemcpyDtoDAsync 3020 (CUdeviceptr, CUdeviceptr, usize, CUstream);
        cuMemcpy2DAsync 3020 (*const CUDA_MEMCPY2D, CUstream);
        cuMemsetD8Async 3020 (CUdeviceptr, u8, usize, CUstream);
        cuMemsetD16Async 3020 (CUdeviceptr, u16, usize, CUstream);
        cuMemsetD32Async 3020 (CUdeviceptr, c_uint, usize, CUstream);
        cuMemsetD2D8Async 3020 (CUdeviceptr, usize, u8, usize, usize, CUstream);
        cuMemsetD2D16Async 3020 (CUdeviceptr, usize, u16, usize, usize, CUstream);
        cuMemsetD2D32Async 3020 (CUdeviceptr, usize, c_uint, usize, usize, CUstream);
        cuPointerGetAttribute 4000 (*mut c_void, CUpointer_attribute, CUdeviceptr);
        cuStreamCreateWithPriority 5050 (*mut CUstream, c_uint, c_int);
        cuStreamDestroy 4000 (CUstream);
        cuStreamSynchronize 2000 (CUstream);
        cuStreamQuery 2000 (CUstream);
        cuStreamWaitEvent 3020 (CUstream, CUevent, c_uint);
        cuEventCreate 2000 (*mut CUevent, c_uint);
        cuEventDestroy 4000 (CUevent);
        cuEventRecord 2000 (CUevent, CUstream);
        cuEventQuery 2000 (CUevent);
        cuEventSynchronize 2000 (CUevent);
        cuEventElapsedTime 2000 (*mut f32, CUevent, CUevent);
        cuModuleLoadDataEx 2010 (*mut CUmodule, *const c_void, c_uint, *mut CUjit_option, *mut *mut c_void);
        cuModuleUnload 2000 (CUmodule);
        cuModuleGetFunction 2000 (*mut CUfunction, CUmodule, *const c_char);
        cuModuleGetGlobal 3020 (*mut CUdeviceptr, *mut usize, CUmodule, *const c_char);
        cuFuncGetAttribute 2020 (*mut c_int, CUfunction_attribute, CUfunction);
        cuFuncSetAttribute 9000 (CUfunction, CUfunction_attribute, c_int);
        cuFuncSetCacheConfig 3000 (CUfunction, CUfunc_cache);
        cuLaunchKernel 4000 (CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void);
        cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags 7000 (*mut c_int, CUfunction, c_int, usize, c_uint);
        cuOccupancyMaxPotentialBlockSizeWithFlags 7000 (*mut c_int, *mut c_int, CUfunction, CUoccupancyB2DSize, usize, c_int, c_uint);
        cuOccupancyAvailableDynamicSMemPerBlock 10020 (*mut usize, CUfunction, c_int, c_int);
    }
    optional {
        cuLaunchKernelEx 11060 (*const CUlaunchConfig, CUfunction, *mut *mut c_void, *mut *mut c_void);
        cuFuncGetParamInfo 12040 (CUfunction, usize, *mut usize, *mut usize);
        cuKernelGetParamInfo 12040 (CUkernel, usize, *mut usize, *mut usize);
        cuModuleGetFunctionCount 12040 (*mut c_uint, CUmodule);
        cuModuleEnumerateFunctions 12040 (*mut CUfunction, c_uint, CUmodule);
        cuFuncGetName 12030 (*mut *const c_char, CUfunction);
        cuLibraryLoadData 12000 (*mut CUlibrary, *const c_void, *mut CUjit_option, *mut *mut c_void, c_uint, *mut CUlibraryOption, *mut *mut c_void, c_uint);
        cuLibraryUnload 12000 (CUlibrary);
        cuLibraryGetKernel 12000 (*mut CUkernel, CUlibrary, *const c_char);
        cuLibraryGetModule 12000 (*mut CUmodule, CUlibrary);
        cuLibraryGetGlobal 12000 (*mut CUdeviceptr, *mut usize, CUlibrary, *const c_char);
        cuLibraryGetKernelCount 12040 (*mut c_uint, CUlibrary);
        cuLibraryEnumerateKernels 12040 (*mut CUkernel, c_uint, CUlibrary);
        cuKernelGetName 12030 (*mut *const c_char, CUkernel);
        cuKernelGetFunction 12000 (*mut CUfunction, CUkernel);
        cuKernelGetAttribute 12000 (*mut c_int, CUfunction_attribute, CUkernel, CUdevice);
        cuKernelSetAttribute 12000 (CUfunction_attribute, c_int, CUkernel, CUdevice);
        cuKernelSetCacheConfig 12000 (CUkernel, CUfunc_cache, CUdevice);
    }
}

impl Driver {
    /// Loads the driver library at `path`. It is never unloaded. Errors name what is missing.
    pub fn load(path: &Path) -> Result<Driver, String> {
        Driver::resolve(&Library::open(path)?)
    }
}

/// `Ok` for success, else the driver's code.
pub fn check(result: CUresult) -> Result<(), CUresult> {
    if result == CUDA_SUCCESS {
        Ok(())
    } else {
        Err(result)
    }
}

/// A code with its name, for people.
pub fn name_of(result: CUresult) -> String {
    match describe(result) {
        Some((name, sentence)) => format!(
            "{} ({result}): {}",
            name.to_string_lossy(),
            sentence.to_string_lossy()
        ),
        None => format!("CUresult {result}"),
    }
}

/// Whether an error makes its context unusable for ever.
pub fn is_sticky(result: CUresult) -> bool {
    matches!(
        result,
        CUDA_ERROR_DEVICE_UNAVAILABLE
            | CUDA_ERROR_ECC_UNCORRECTABLE
            | CUDA_ERROR_NVLINK_UNCORRECTABLE
            | CUDA_ERROR_CONTAINED
            | CUDA_ERROR_ILLEGAL_ADDRESS
            | CUDA_ERROR_LAUNCH_TIMEOUT
            | CUDA_ERROR_ASSERT..=CUDA_ERROR_ASSERT
            | CUDA_ERROR_HARDWARE_STACK_ERROR..=CUDA_ERROR_LAUNCH_FAILED
            | CUDA_ERROR_TENSOR_MEMORY_LEAK
            | CUDA_ERROR_EXTERNAL_DEVICE
            | CUDA_ERROR_UNKNOWN
    )
}

/// Whether an error is the device's, not one context's.
pub fn is_of_device(result: CUresult) -> bool {
    matches!(
        result,
        CUDA_ERROR_DEVICE_UNAVAILABLE | CUDA_ERROR_ECC_UNCORRECTABLE | CUDA_ERROR_UNKNOWN
    )
}

/// A loaded library. Its look-ups stay valid for the life of the process.
pub struct Library {
    handle: *mut c_void,
    find: Option<Find>,
}

impl Library {
    /// Loads the library at `path` with its symbols to itself.
    pub fn open(path: &Path) -> Result<Library, String> {
        let text = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| "the driver's path holds a zero byte".to_owned())?;
        // SAFETY: loading runs the library's constructors; which library, the configuration decides.
        let handle = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: dlerror's text is valid until the next call of this thread.
            let reason = unsafe {
                let error = libc::dlerror();
                if error.is_null() {
                    "unknown reason".into()
                } else {
                    CStr::from_ptr(error).to_string_lossy().into_owned()
                }
            };
            return Err(format!("cannot load the driver: {reason}"));
        }
        let mut library = Library { handle, find: None };
        library.find = library.symbol("cuGetProcAddress_v2").map(|symbol| {
            // SAFETY: the driver's interface gives this name this signature.
            unsafe { std::mem::transmute::<*mut c_void, Find>(symbol) }
        });
        Ok(library)
    }

    /// An exported symbol by its exact name.
    pub fn symbol(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: a look-up in a loaded library.
        let symbol = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }

    /// The function that `name` meant in CUDA `version`: by the driver's own look-up, else by the table of suffixes.
    fn find(&self, name: &str, version: c_int) -> Option<*mut c_void> {
        if let (Some(find), Ok(text)) = (self.find, CString::new(name)) {
            let mut symbol = std::ptr::null_mut();
            let mut status = 0;
            // SAFETY: both results are valid to write to, and the name ends in a zero byte.
            let found = unsafe { find(text.as_ptr(), &mut symbol, version, 0, &mut status) };
            if found == CUDA_SUCCESS && !symbol.is_null() {
                return Some(symbol);
            }
        }
        match symbols::look_up(name, version as u32, false) {
            symbols::Lookup::Found(row) => self.symbol(row.symbol),
            _ => None,
        }
    }
}
