//! Functions and kernels: what is known of them, which came with their handles.

use super::device::device;
use crate::current;
use crate::export::{export, give, give_if_wanted};
use crate::memory::success;
use crate::objects::{Function, Names, lock};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use aquifer_protocol::Request;
use aquifer_protocol::generated::{
    FunctionSetAttribute, FunctionSetCacheConfig, KernelGetFunctionReply, LibraryGetKernelReply,
    ModuleGetFunctionReply,
};
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

/// The living function or kernel of a handle.
#[inline]
pub fn function_of(session: &Session, handle: CUfunction) -> Outcome<(u32, &'static Function)> {
    session
        .functions
        .get(handle as u64)
        .ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// What the three ways to a function answer.
pub trait Facts {
    fn result(&self) -> CUresult;
    fn attributes(&self) -> [i32; 16];
}

macro_rules! facts {
    ($($reply:ty),*) => {$(
        impl Facts for $reply {
            fn result(&self) -> CUresult {
                self.result
            }
            fn attributes(&self) -> [i32; 16] {
                self.attributes
            }
        }
    )*};
}

facts!(
    ModuleGetFunctionReply,
    LibraryGetKernelReply,
    KernelGetFunctionReply
);

/// Where functions of one module or library are found by name, and what new ones belong to.
pub struct NameCache<'a> {
    pub names: &'a Names,
    /// 0 for kernels.
    pub context: u64,
    pub module: u64,
    pub library: u64,
}

impl NameCache<'_> {
    /// The handle of a function, which is always the same for a name.
    pub fn find<R: Request<Reply: Facts>>(
        &self,
        session: &Session,
        name: &CStr,
        request: impl FnOnce(u32) -> R,
    ) -> Outcome<u64> {
        if let Some(handle) = lock(self.names).get(name) {
            return Ok(*handle);
        }
        let made = self.make(session, name, name.to_bytes(), request)?;
        Ok(*lock(self.names).entry(name.to_owned()).or_insert(made))
    }

    /// Makes a function's entry from what the worker answers.
    pub fn make<R: Request<Reply: Facts>>(
        &self,
        session: &Session,
        name: &CStr,
        tail: &[u8],
        request: impl FnOnce(u32) -> R,
    ) -> Outcome<u64> {
        let entry = |attributes: [i32; 16], parameters: Box<[(u32, u32)]>| {
            let parameter_bytes = parameters
                .iter()
                .map(|(offset, size)| (offset + size) as usize)
                .max()
                .unwrap_or(0);
            Function {
                name: name.to_owned(),
                context: self.context,
                module: self.module,
                library: self.library,
                attributes: attributes.map(AtomicI32::new),
                parameters,
                parameter_bytes,
                functions: Mutex::default(),
            }
        };
        // The id is taken first, since the request carries it; nobody knows the handle until it is returned.
        let placeholder = Box::leak(Box::new(entry([0; 16], Box::default())));
        let (name, _) = session
            .functions
            .insert(|_, _| placeholder)
            .ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let asked = session.ask(&request(name.id), tail);
        let outcome = asked.and_then(|(reply, layout)| {
            success(reply.result())?;
            Ok((
                reply.attributes(),
                layout_of(&layout).ok_or(CUDA_ERROR_UNKNOWN)?,
            ))
        });
        match outcome {
            Ok((attributes, layout)) => {
                session
                    .functions
                    .replace(name, Box::leak(Box::new(entry(attributes, layout))));
                Ok(name.handle)
            }
            Err(result) => {
                session.functions.remove(name.handle);
                Err(result)
            }
        }
    }
}

/// Offset and size of each parameter; none when they are not those of a buffer that a launch could have.
fn layout_of(bytes: &[u8]) -> Option<Box<[(u32, u32)]>> {
    const LARGEST: u32 = 64 << 10;
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let pair = |pair: &[u8]| (word(pair), word(&pair[4..]));
    let sane = |&(offset, size): &(u32, u32)| {
        (offset <= LARGEST && size <= LARGEST).then_some((offset, size))
    };
    bytes
        .chunks_exact(8)
        .map(pair)
        .map(|each| sane(&each))
        .collect()
}

/// All names of a list that comes in pages.
pub fn names<R: Request>(
    session: &Session,
    request: impl Fn(u32) -> R,
    head: impl Fn(&R::Reply) -> (CUresult, u32),
) -> Outcome<Vec<CString>> {
    let mut all = Vec::new();
    loop {
        let (reply, page) = session.ask(&request(all.len() as u32), &[])?;
        let (result, count) = head(&reply);
        success(result)?;
        let before = all.len();
        all.extend(
            page.split_inclusive(|byte| *byte == 0)
                .filter_map(|name| CString::from_vec_with_nul(name.to_vec()).ok()),
        );
        if all.len() >= count as usize || all.len() == before {
            return Ok(all);
        }
    }
}

/// Writes as many handles as there is room for.
///
/// # Safety
/// `places` is null or has `room` elements.
pub unsafe fn enumerate(
    places: *mut u64,
    room: c_uint,
    names: &[CString],
    find: impl Fn(&CStr) -> Outcome<u64>,
) -> Outcome {
    if places.is_null() || room == 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    for (index, name) in names.iter().take(room as usize).enumerate() {
        let handle = find(name)?;
        // SAFETY: below `room`.
        unsafe { places.add(index).write(handle) };
    }
    Ok(())
}

unsafe fn attribute(
    value: *mut c_int,
    attribute: CUfunction_attribute,
    function: CUfunction,
) -> Outcome {
    let (_, entry) = function_of(session()?, function)?;
    let found = entry.attribute(attribute).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    // SAFETY: the caller's promise.
    unsafe { give(value, found.load(Ordering::Relaxed)) }
}

fn set_attribute(function: CUfunction, attribute: CUfunction_attribute, value: c_int) -> Outcome {
    let (session, context) = current::ready()?;
    let (id, entry) = function_of(session, function)?;
    let known = entry.attribute(attribute).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let device = session
        .devices
        .get(context.vgpu as usize)
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    match attribute {
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES => {
            let fixed = entry.attributes[CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES as usize]
                .load(Ordering::Relaxed);
            if value < 0 || i64::from(value) + i64::from(fixed) > i64::from(device.limits.shared) {
                return Err(CUDA_ERROR_INVALID_VALUE);
            }
        }
        CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT if (-1..=100).contains(&value) => {}
        CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH
            ..=CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE => {}
        _ => return Err(CUDA_ERROR_INVALID_VALUE),
    }
    session.post(&FunctionSetAttribute {
        context: context.id,
        function: id,
        attribute: attribute as u32,
        value,
    })?;
    known.store(value, Ordering::Relaxed);
    Ok(())
}

fn set_cache_config(function: CUfunction, config: CUfunc_cache) -> Outcome {
    let (session, context) = current::ready()?;
    let (id, _) = function_of(session, function)?;
    if config > CU_FUNC_CACHE_PREFER_EQUAL {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    session.post(&FunctionSetCacheConfig {
        context: context.id,
        function: id,
        config,
    })
}

unsafe fn parameter(
    function: CUfunction,
    index: usize,
    offset: *mut usize,
    size: *mut usize,
) -> Outcome {
    let (_, entry) = function_of(session()?, function)?;
    let (at, bytes) = entry
        .parameters
        .get(index)
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    // SAFETY: the caller's promise.
    unsafe {
        give(offset, *at as usize)?;
        give_if_wanted(size, *bytes as usize);
    }
    Ok(())
}

unsafe fn name(result: *mut *const c_char, function: CUfunction) -> Outcome {
    let (_, entry) = function_of(session()?, function)?;
    // SAFETY: the caller's promise; an entry is never freed.
    unsafe { give(result, entry.name.as_ptr()) }
}

export! {
    /// One attribute of a function.
    fn cuFuncGetAttribute(value: *mut c_int, id: CUfunction_attribute, function: CUfunction) {
        // SAFETY: the caller's promise.
        unsafe { attribute(value, id, function) }
    }
    /// Sets one attribute of a function.
    fn cuFuncSetAttribute(function: CUfunction, id: CUfunction_attribute, value: c_int) {
        set_attribute(function, id, value)
    }
    /// Sets the cache preference of a function.
    fn cuFuncSetCacheConfig(function: CUfunction, config: CUfunc_cache) {
        set_cache_config(function, config)
    }
    /// Accepts a bank size: no GPU since Kepler has a choice.
    fn cuFuncSetSharedMemConfig(function: CUfunction, config: CUsharedconfig) {
        function_of(session()?, function)?;
        if config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(()) }
    }
    /// The module of a function.
    fn cuFuncGetModule(result: *mut CUmodule, function: CUfunction) {
        let (_, entry) = function_of(session()?, function)?;
        if entry.module == 0 {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        // SAFETY: the caller's promise.
        unsafe { give(result, entry.module as CUmodule) }
    }
    /// The name of a function.
    fn cuFuncGetName(result: *mut *const c_char, function: CUfunction) {
        // SAFETY: the caller's promise.
        unsafe { name(result, function) }
    }
    /// Where a parameter lies in the packed buffer, and its size in bytes.
    fn cuFuncGetParamInfo(function: CUfunction, index: usize, offset: *mut usize, size: *mut usize) {
        // SAFETY: the caller's promise.
        unsafe { parameter(function, index, offset, size) }
    }
    /// Functions are loaded at once.
    fn cuFuncIsLoaded(state: *mut c_uint, function: CUfunction) {
        function_of(session()?, function)?;
        // SAFETY: the caller's promise.
        unsafe { give(state, 1) }
    }
    /// Functions are loaded at once.
    fn cuFuncLoad(function: CUfunction) {
        function_of(session()?, function).map(|_| ())
    }
    /// One attribute of a kernel.
    fn cuKernelGetAttribute(value: *mut c_int, id: CUfunction_attribute, kernel: CUkernel, ordinal: CUdevice) {
        device(ordinal)?;
        // SAFETY: the caller's promise.
        unsafe { attribute(value, id, kernel.cast()) }
    }
    /// Sets one attribute of a kernel.
    fn cuKernelSetAttribute(id: CUfunction_attribute, value: c_int, kernel: CUkernel, ordinal: CUdevice) {
        device(ordinal)?;
        set_attribute(kernel.cast(), id, value)
    }
    /// Sets the cache preference of a kernel.
    fn cuKernelSetCacheConfig(kernel: CUkernel, config: CUfunc_cache, ordinal: CUdevice) {
        device(ordinal)?;
        set_cache_config(kernel.cast(), config)
    }
    /// The name of a kernel.
    fn cuKernelGetName(result: *mut *const c_char, kernel: CUkernel) {
        // SAFETY: the caller's promise.
        unsafe { name(result, kernel.cast()) }
    }
    /// Where a parameter lies in the packed buffer, and its size in bytes.
    fn cuKernelGetParamInfo(kernel: CUkernel, index: usize, offset: *mut usize, size: *mut usize) {
        // SAFETY: the caller's promise.
        unsafe { parameter(kernel.cast(), index, offset, size) }
    }
}
