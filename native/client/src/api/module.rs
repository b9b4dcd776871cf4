//! Modules.

use super::code_load::{JitOptions, file, image, send};
use super::function::{NameCache, enumerate, names};
use crate::current;
use crate::export::{export, give, give_if_wanted, text};
use crate::memory::{Kind, Region, success};
use crate::objects::{Module, lock};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{
    ModuleFunctions, ModuleGetFunction, ModuleGetGlobal, ModuleLoad, ModuleUnload,
};
use std::ffi::{c_char, c_uint, c_void};
use std::sync::Mutex;

fn module_of(session: &Session, handle: CUmodule) -> Outcome<(u32, &'static Module)> {
    session
        .modules
        .get(handle as u64)
        .ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// A module's entry: `library` is the handle of the library that it is of, or 0.
pub fn insert(session: &Session, context: u64, library: u64) -> Outcome<crate::handle::Name> {
    let made = session.modules.insert(|_, _| {
        let globals = Mutex::default();
        Box::leak(Box::new(Module {
            context,
            library,
            functions: Mutex::default(),
            globals,
        }))
    });
    made.map(|(name, _)| name).ok_or(CUDA_ERROR_OUT_OF_MEMORY)
}

/// Forgets a module with its functions and variables, here only.
pub fn forget(session: &Session, handle: u64) -> Option<u32> {
    let (id, module) = session.modules.remove(handle)?;
    for function in lock(&module.functions).values() {
        session.functions.remove(*function);
    }
    forget_globals(session, &module.globals);
    Some(id)
}

/// Forgets the addresses of variables.
pub fn forget_globals(session: &Session, globals: &Mutex<Vec<u64>>) {
    for address in lock(globals).drain(..) {
        for device in &session.devices {
            let mut memory = device.memory();
            if memory
                .region(address)
                .is_some_and(|region| region.kind == Kind::Global)
            {
                memory.remove_region(address);
            }
        }
    }
}

/// Remembers a variable, so that it can be copied to and from.
pub fn add_global(
    session: &Session,
    vgpu: u32,
    globals: &Mutex<Vec<u64>>,
    address: u64,
    bytes: u64,
) {
    if let Some(device) = session.devices.get(vgpu as usize) {
        device.memory().add_region(Region {
            address,
            bytes,
            kind: Kind::Global,
        });
        lock(globals).push(address);
    }
}

unsafe fn load(result: *mut CUmodule, image: &[u8], options: &JitOptions) -> Outcome {
    let (session, context) = current::ready()?;
    if result.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let source = send(session, image)?;
    let name = insert(session, context.handle, 0)?;
    let request = ModuleLoad {
        context: context.id,
        module: name.id,
        source,
        options: options.count(),
    };
    let asked = session
        .ask(&request, options.encoded())
        .and_then(|(reply, logs)| {
            // SAFETY: the buffers are the program's, which is inside its call.
            unsafe { options.give_logs(reply.info_bytes, reply.error_bytes, &logs) };
            success(reply.result)
        });
    if let Err(result) = asked {
        session.modules.remove(name.handle);
        return Err(result);
    }
    // SAFETY: the caller's promise.
    unsafe { give(result, name.handle as CUmodule) }
}

export! {
    /// Loads a module from a file of this host.
    fn cuModuleLoad(result: *mut CUmodule, path: *const c_char) {
        current::ready()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, &file(text(path)?)?, &JitOptions::default()) }
    }

    /// Loads a module.
    fn cuModuleLoadData(result: *mut CUmodule, source: *const c_void) {
        current::ready()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, image(source)?, &JitOptions::default()) }
    }

    /// Loads a module with options for the compiler.
    fn cuModuleLoadDataEx(
        result: *mut CUmodule,
        source: *const c_void,
        count: c_uint,
        options: *mut CUjit_option,
        values: *mut *mut c_void,
    ) {
        current::ready()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, image(source)?, &JitOptions::read(count, options, values)?) }
    }

    /// Loads a module from a fatbin.
    fn cuModuleLoadFatBinary(result: *mut CUmodule, source: *const c_void) {
        current::ready()?;
        // SAFETY: the caller's promise.
        unsafe { load(result, image(source)?, &JitOptions::default()) }
    }

    /// Unloads a module.
    fn cuModuleUnload(module: CUmodule) {
        let (session, _) = current::ready()?;
        if module_of(session, module)?.1.library != 0 {
            return Err(CUDA_ERROR_NOT_PERMITTED);
        }
        let module = forget(session, module as u64).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        session.post(&ModuleUnload { module })
    }

    /// A kernel of a module.
    fn cuModuleGetFunction(result: *mut CUfunction, handle: CUmodule, name: *const c_char) {
        let (session, _) = current::ready()?;
        let (module, entry) = module_of(session, handle)?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name)? };
        let cache = NameCache {
            names: &entry.functions,
            context: entry.context,
            module: handle as u64,
            library: entry.library,
        };
        let function = cache.find(session, name, |function| ModuleGetFunction { module, function })?;
        // SAFETY: the caller's promise.
        unsafe { give(result, function as CUfunction) }
    }

    /// A variable of a module: its address and size in bytes.
    fn cuModuleGetGlobal_v2(
        result: *mut CUdeviceptr,
        bytes: *mut usize,
        handle: CUmodule,
        name: *const c_char,
    ) {
        let (session, context) = current::ready()?;
        let (module, entry) = module_of(session, handle)?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name)? };
        let (reply, _) = session.ask(&ModuleGetGlobal { module }, name.to_bytes())?;
        success(reply.result)?;
        add_global(session, context.vgpu, &entry.globals, reply.address, reply.bytes);
        // SAFETY: the caller's promise.
        unsafe {
            give_if_wanted(result, reply.address);
            give_if_wanted(bytes, reply.bytes as usize);
        }
        Ok(())
    }

    /// How many kernels a module has.
    fn cuModuleGetFunctionCount(count: *mut c_uint, handle: CUmodule) {
        let session = session()?;
        let (module, _) = module_of(session, handle)?;
        let all = names(session, |first| ModuleFunctions { module, first }, |reply| (reply.result, reply.count))?;
        // SAFETY: the caller's promise.
        unsafe { give(count, all.len() as c_uint) }
    }

    /// The kernels of a module.
    fn cuModuleEnumerateFunctions(functions: *mut CUfunction, room: c_uint, handle: CUmodule) {
        let session = session()?;
        let (module, entry) = module_of(session, handle)?;
        let all = names(session, |first| ModuleFunctions { module, first }, |reply| (reply.result, reply.count))?;
        let cache = NameCache {
            names: &entry.functions,
            context: entry.context,
            module: handle as u64,
            library: entry.library,
        };
        let find = |name: &std::ffi::CStr| cache.find(session, name, |function| ModuleGetFunction { module, function });
        // SAFETY: the caller's promise.
        unsafe { enumerate(functions.cast(), room, &all, find) }
    }

    /// Modules are loaded at once.
    fn cuModuleGetLoadingMode(mode: *mut CUmoduleLoadingMode) {
        session()?;
        // SAFETY: the caller's promise.
        unsafe { give(mode, CU_MODULE_EAGER_LOADING) }
    }
}
