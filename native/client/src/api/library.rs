//! Libraries: code that is not bound to a context, and its kernels.

use super::code_load::{JitOptions, file, image, send};
use super::function::{NameCache, enumerate, function_of, names};
use super::module::{add_global, forget, forget_globals, insert};
use crate::current;
use crate::export::{export, give, give_if_wanted, text};
use crate::memory::success;
use crate::objects::{Library, lock};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    KernelGetFunction, LibraryGetGlobal, LibraryGetKernel, LibraryGetModule, LibraryKernels,
    LibraryLoad, LibraryUnload,
};
use std::ffi::{CStr, c_char, c_uint, c_void};

fn library_of(session: &Session, handle: CUlibrary) -> Outcome<(u32, &'static Library)> {
    session
        .libraries
        .get(handle as u64)
        .ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// The options of a load as the program passed them.
struct Given {
    jit: *mut CUjit_option,
    jit_values: *mut *mut c_void,
    jit_count: c_uint,
    library: *mut CUlibraryOption,
    library_count: c_uint,
}

unsafe fn load(result: *mut CUlibrary, image: &[u8], given: &Given) -> Outcome {
    let session = session()?;
    session.alive()?;
    if result.is_null() || (given.library_count > 0 && given.library.is_null()) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    for index in 0..given.library_count as usize {
        // That the image stays in place is of no use here; a table of host functions is of none to the GPU's side.
        // SAFETY: the array has that many elements by the caller's promise.
        if unsafe { *given.library.add(index) } != CU_LIBRARY_BINARY_IS_PRESERVED {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
    }
    // SAFETY: the caller's promise.
    let options = unsafe { JitOptions::read(given.jit_count, given.jit, given.jit_values)? };
    let source = send(session, image)?;
    let made = session.libraries.insert(|_, _| Box::leak(Box::default()));
    let (name, _) = made.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
    let request = LibraryLoad {
        library: name.id,
        source,
        options: options.count(),
        library_options: 0,
    };
    let asked = session
        .ask(&request, options.encoded())
        .and_then(|(reply, logs)| {
            // SAFETY: the buffers are the program's, which is inside its call.
            unsafe { options.give_logs(reply.info_bytes, reply.error_bytes, &logs) };
            success(reply.result)
        });
    if let Err(result) = asked {
        session.libraries.remove(name.handle);
        return Err(result);
    }
    // SAFETY: the caller's promise.
    unsafe { give(result, name.handle as CUlibrary) }
}

/// The vGPU whose attributes a kernel shows: that of the current context, or the first.
fn current_vgpu() -> u32 {
    current::context().map_or(0, |(_, context)| context.vgpu)
}

fn kernel(session: &'static Session, handle: CUlibrary, name: &CStr) -> Outcome<u64> {
    let (library, entry) = library_of(session, handle)?;
    let cache = NameCache {
        names: &entry.kernels,
        context: 0,
        module: 0,
        library: handle as u64,
    };
    cache.find(session, name, |function| LibraryGetKernel {
        library,
        function,
        vgpu: current_vgpu(),
    })
}

fn kernel_names(session: &Session, handle: CUlibrary) -> Outcome<Vec<std::ffi::CString>> {
    let (library, _) = library_of(session, handle)?;
    names(
        session,
        |first| LibraryKernels { library, first },
        |reply| (reply.result, reply.count),
    )
}

export! {
    /// Loads a library.
    fn cuLibraryLoadData(
        result: *mut CUlibrary,
        code: *const c_void,
        jit: *mut CUjit_option,
        jit_values: *mut *mut c_void,
        jit_count: c_uint,
        library: *mut CUlibraryOption,
        _library_values: *mut *mut c_void,
        library_count: c_uint,
    ) {
        session()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, image(code)?, &Given { jit, jit_values, jit_count, library, library_count }) }
    }

    /// Loads a library from a file of this host.
    fn cuLibraryLoadFromFile(
        result: *mut CUlibrary,
        path: *const c_char,
        jit: *mut CUjit_option,
        jit_values: *mut *mut c_void,
        jit_count: c_uint,
        library: *mut CUlibraryOption,
        _library_values: *mut *mut c_void,
        library_count: c_uint,
    ) {
        session()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, &file(text(path)?)?, &Given { jit, jit_values, jit_count, library, library_count }) }
    }

    /// Unloads a library.
    fn cuLibraryUnload(handle: CUlibrary) {
        let session = session()?;
        let (id, library) = session.libraries.remove(handle as u64).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        for kernel in lock(&library.kernels).values() {
            if let Some((_, kernel)) = session.functions.remove(*kernel) {
                for function in lock(&kernel.functions).values() {
                    session.functions.remove(*function);
                }
            }
        }
        for module in lock(&library.modules).values() {
            forget(session, *module);
        }
        forget_globals(session, &library.globals);
        session.post(&LibraryUnload { library: id })
    }

    /// A kernel of a library.
    fn cuLibraryGetKernel(result: *mut CUkernel, handle: CUlibrary, name: *const c_char) {
        let session = session()?;
        // SAFETY: the caller's promise.
        unsafe { give(result, kernel(session, handle, text(name)?)? as CUkernel) }
    }

    /// The module of a library in the current context.
    fn cuLibraryGetModule(result: *mut CUmodule, handle: CUlibrary) {
        let (session, context) = current::ready()?;
        let (library, entry) = library_of(session, handle)?;
        let known = lock(&entry.modules).get(&context.handle).copied();
        let module = match known {
            Some(module) => module,
            None => {
                let name = insert(session, context.handle, handle as u64)?;
                let request = LibraryGetModule { context: context.id, library, module: name.id };
                let outcome = session.ask(&request, &[]).and_then(|(reply, _)| success(reply.result));
                if outcome.is_err() {
                    session.modules.remove(name.handle);
                }
                outcome?;
                lock(&entry.modules).insert(context.handle, name.handle);
                name.handle
            }
        };
        // SAFETY: the caller's promise.
        unsafe { give(result, module as CUmodule) }
    }

    /// A variable of a library in the current context: its address and size in bytes.
    fn cuLibraryGetGlobal(
        result: *mut CUdeviceptr,
        bytes: *mut usize,
        handle: CUlibrary,
        name: *const c_char,
    ) {
        let (session, context) = current::ready()?;
        let (library, entry) = library_of(session, handle)?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name)? };
        let (reply, _) = session.ask(&LibraryGetGlobal { context: context.id, library }, name.to_bytes())?;
        success(reply.result)?;
        add_global(session, context.vgpu, &entry.globals, reply.address, reply.bytes);
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(result, reply.address);
            give_if_wanted(bytes, reply.bytes as usize);
        }
        Ok(())
    }

    /// How many kernels a library has.
    fn cuLibraryGetKernelCount(count: *mut c_uint, handle: CUlibrary) {
        let all = kernel_names(session()?, handle)?;
        // SAFETY: the caller's promise.
        unsafe { give(count, all.len() as c_uint) }
    }

    /// The kernels of a library.
    fn cuLibraryEnumerateKernels(kernels: *mut CUkernel, room: c_uint, handle: CUlibrary) {
        let session = session()?;
        let all = kernel_names(session, handle)?;
        // SAFETY: the caller's promise.
        unsafe { enumerate(kernels.cast(), room, &all, |name| kernel(session, handle, name)) }
    }

    /// A kernel's function in the current context.
    fn cuKernelGetFunction(result: *mut CUfunction, handle: CUkernel) {
        let (session, context) = current::ready()?;
        let (kernel, entry) = function_of(session, handle as CUfunction)?;
        if entry.context != 0 {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        let known = lock(&entry.functions).get(&context.handle).copied();
        let function = match known {
            Some(function) => function,
            None => {
                let cache =
                    NameCache { names: &Default::default(), context: context.handle, module: 0, library: entry.library };
                let request = |function| KernelGetFunction { context: context.id, kernel, function };
                let function = cache.make(session, &entry.name, &[], request)?;
                lock(&entry.functions).insert(context.handle, function);
                function
            }
        };
        // SAFETY: the caller's promise.
        unsafe { give(result, function as CUfunction) }
    }

    /// The library of a kernel.
    fn cuKernelGetLibrary(result: *mut CUlibrary, handle: CUkernel) {
        let (_, entry) = function_of(session()?, handle as CUfunction)?;
        // SAFETY: the caller's promise.
        unsafe { give(result, entry.library as CUlibrary) }
    }
}
