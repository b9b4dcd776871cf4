//! The client library by dlopen.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::PathBuf;

/// The library, opened as a program opens it.
#[derive(Clone, Copy)]
pub struct Driver(usize);

/// Where cargo puts the library, beside the tests or one folder up.
pub fn library() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let folder = program.parent().expect("a folder");
    let name = "libaquifer_client.so";
    [folder.join(name), folder.join("..").join(name)]
        .into_iter()
        .find(|path| path.exists())
        .expect("the built library")
}

impl Driver {
    pub fn open() -> Self {
        let path = CString::new(library().to_str().expect("a path")).expect("no zero");
        // SAFETY: opening runs no code of the library.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "dlopen failed");
        Self(handle as usize)
    }

    pub fn address(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).expect("no zero");
        // SAFETY: a valid handle and a text.
        unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) }
    }

    /// A function of the type that the caller gives.
    pub fn get<F: Copy>(&self, name: &str) -> F {
        let address = self.address(name);
        assert!(!address.is_null(), "{name} is not exported");
        assert_eq!(size_of::<F>(), size_of::<usize>());
        // SAFETY: F is a function pointer; that its type is the function's is the test's business.
        unsafe { std::mem::transmute_copy(&address) }
    }

    pub fn init(&self) -> c_uint {
        self.get::<extern "C" fn(c_uint) -> c_uint>("cuInit")(0)
    }

    /// Session, primary context of vGPU 0, made current.
    pub fn start(&self) -> *mut c_void {
        assert_eq!(self.init(), 0);
        let mut context = std::ptr::null_mut();
        let retain: extern "C" fn(*mut *mut c_void, c_int) -> c_uint =
            self.get("cuDevicePrimaryCtxRetain");
        assert_eq!(retain(&mut context, 0), 0);
        assert_eq!(self.make_current(context), 0);
        context
    }

    pub fn make_current(&self, context: *mut c_void) -> c_uint {
        self.get::<extern "C" fn(*mut c_void) -> c_uint>("cuCtxSetCurrent")(context)
    }

    pub fn alloc(&self, bytes: usize) -> Result<u64, c_uint> {
        let mut address = 0;
        match self.get::<extern "C" fn(*mut u64, usize) -> c_uint>("cuMemAlloc_v2")(
            &mut address,
            bytes,
        ) {
            0 => Ok(address),
            result => Err(result),
        }
    }

    pub fn free(&self, address: u64) -> c_uint {
        self.get::<extern "C" fn(u64) -> c_uint>("cuMemFree_v2")(address)
    }

    pub fn to_device(self, address: u64, data: &[u8]) -> c_uint {
        let copy: extern "C" fn(u64, *const u8, usize) -> c_uint = self.get("cuMemcpyHtoD_v2");
        copy(address, data.as_ptr(), data.len())
    }

    pub fn to_host(self, data: &mut [u8], address: u64) -> c_uint {
        let copy: extern "C" fn(*mut u8, u64, usize) -> c_uint = self.get("cuMemcpyDtoH_v2");
        copy(data.as_mut_ptr(), address, data.len())
    }

    pub fn synchronize(&self) -> c_uint {
        self.get::<extern "C" fn() -> c_uint>("cuCtxSynchronize")()
    }

    /// A kernel of a module that the test worker takes for anything.
    pub fn kernel(&self, name: &str) -> *mut c_void {
        let mut module = std::ptr::null_mut();
        let load: extern "C" fn(*mut *mut c_void, *const c_char) -> c_uint =
            self.get("cuModuleLoadData");
        assert_eq!(load(&mut module, c".version 7.0".as_ptr()), 0);
        let mut function = std::ptr::null_mut();
        let name = CString::new(name).expect("no zero");
        let get: extern "C" fn(*mut *mut c_void, *mut c_void, *const c_char) -> c_uint =
            self.get("cuModuleGetFunction");
        assert_eq!(get(&mut function, module, name.as_ptr()), 0);
        function
    }

    /// Launches one block of one thread with a u64 and a u32 as parameters.
    pub fn launch(&self, function: *mut c_void, first: u64, second: u32) -> c_uint {
        let mut parameters = [
            (&raw const first).cast::<c_void>(),
            (&raw const second).cast(),
        ];
        self.launcher()(function, [1; 3], [1; 3], parameters.as_mut_ptr())
    }

    pub fn launcher(
        &self,
    ) -> impl Fn(*mut c_void, [c_uint; 3], [c_uint; 3], *mut *const c_void) -> c_uint {
        type Launch = extern "C" fn(
            *mut c_void,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            *mut c_void,
            *mut *const c_void,
            *mut *mut c_void,
        ) -> c_uint;
        let launch: Launch = self.get("cuLaunchKernel");
        move |function, [gx, gy, gz], [bx, by, bz], parameters| {
            let none = std::ptr::null_mut();
            launch(
                function,
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                0,
                none,
                parameters,
                none.cast(),
            )
        }
    }
}
