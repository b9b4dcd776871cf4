//! The driver as any CUDA program finds it: `libcuda.so.1` by dlopen. Whose it is, the loader's path decides.

use aquifer_cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

macro_rules! driver {
    ($($name:ident = $symbol:literal ($($argument:ty),*);)*) => {
        /// The functions that are measured or needed to get there.
        #[allow(non_snake_case)]
        pub struct Driver {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> CUresult,)*
        }

        impl Driver {
            /// Loads the library. Errors name what is missing.
            pub fn load() -> Result<Self, String> {
                // SAFETY: loads a library by its name, as programs do.
                let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW) };
                if library.is_null() {
                    return Err("libcuda.so.1 cannot be loaded".to_owned());
                }
                Ok(Self {
                    $($name: {
                        // SAFETY: `library` is open and is never closed.
                        let symbol = unsafe { libc::dlsym(library, $symbol.as_ptr()) };
                        if symbol.is_null() {
                            return Err(format!("libcuda.so.1 has no {:?}", $symbol));
                        }
                        // SAFETY: CUDA gives this symbol this signature.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) -> CUresult>(symbol) }
                    },)*
                })
            }
        }
    };
}

driver! {
    cuInit = c"cuInit" (c_uint);
    cuDeviceGet = c"cuDeviceGet" (*mut CUdevice, c_int);
    cuCtxCreate = c"cuCtxCreate_v2" (*mut CUcontext, c_uint, CUdevice);
    cuCtxSynchronize = c"cuCtxSynchronize" ();
    cuModuleLoadData = c"cuModuleLoadData" (*mut CUmodule, *const c_void);
    cuModuleGetFunction = c"cuModuleGetFunction" (*mut CUfunction, CUmodule, *const c_char);
    cuMemAlloc = c"cuMemAlloc_v2" (*mut CUdeviceptr, usize);
    cuMemFree = c"cuMemFree_v2" (CUdeviceptr);
    cuMemcpyHtoD = c"cuMemcpyHtoD_v2" (CUdeviceptr, *const c_void, usize);
    cuMemcpyDtoH = c"cuMemcpyDtoH_v2" (*mut c_void, CUdeviceptr, usize);
    cuLaunchKernel = c"cuLaunchKernel" (CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream,
        *mut *mut c_void, *mut *mut c_void);
    cuGetErrorName = c"cuGetErrorName" (CUresult, *mut *const c_char);
}

impl Driver {
    /// A result as an outcome; the error is CUDA's name for it, with what was tried.
    pub fn check(&self, what: &str, result: CUresult) -> Result<(), String> {
        if result == CUDA_SUCCESS {
            return Ok(());
        }
        let mut name = std::ptr::null();
        // SAFETY: the result is valid to write to; a name lives as long as the library.
        let name = unsafe {
            (self.cuGetErrorName)(result, &mut name);
            if name.is_null() {
                c"an unknown error"
            } else {
                CStr::from_ptr(name)
            }
        };
        Err(format!("{what}: {} ({result})", name.to_string_lossy()))
    }
}
