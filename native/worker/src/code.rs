//! Modules, libraries and functions.

use crate::driver::check;
use crate::gpu_time::Cost;
use crate::handles::MAX_HANDLES;
use crate::image;
use crate::meter::Counted;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ffi::CString;
use std::sync::Arc;

pub use crate::image::Sources;

/// Attributes of a function that are told to the client: CU_FUNC_ATTRIBUTE_* 0 to 15.
const ATTRIBUTES: usize = 16;
/// Parameters of a kernel at most: 32,764 bytes hold no more.
const MOST_PARAMETERS: usize = 32_764;
/// Bytes of names in one reply.
const NAMES_BYTES: usize = 64 << 10;

/// A loaded module, or the module of a library in one context.
pub struct Module {
    pub raw: CUmodule,
    pub context: u32,
    /// The library it belongs to; none for a module of its own.
    pub library: Option<u32>,
    /// Memory it was charged with, in bytes.
    pub charged: u64,
}

/// What a function belongs to, and is gone with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Module(u32),
    Library(u32),
}

/// A function, or a kernel, which the driver takes where it takes a function.
pub struct Function {
    pub raw: CUfunction,
    pub owner: Owner,
    /// It is a library's kernel, not yet of any context.
    pub kernel: bool,
    /// The least size of a parameter buffer.
    pub parameter_bytes: usize,
    pub cost: Arc<Cost>,
    pub counted: Counted,
}

/// What is told of a function: its attributes, and offset and size of each parameter.
pub type Facts = ([i32; ATTRIBUTES], Vec<(u32, u32)>);
/// The logs of a load: what the compiler said, and what it complained of.
pub type Logs = (Vec<u8>, Vec<u8>);

impl Session {
    pub fn module_load(&mut self, call: &ModuleLoad, tail: &[u8]) -> (Result<(), CUresult>, Logs) {
        let image = self.sources.take(call.source);
        let mut logs = Logs::default();
        let outcome = (|| {
            let image = image.ok_or(CUDA_ERROR_INVALID_IMAGE)?;
            self.enter(call.context)?;
            self.modules.check_free(call.module)?;
            let gpu = self
                .contexts
                .get(call.context)
                .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
                .gpu;
            let mut options = image::Options::read(tail, call.options as usize)?;
            let charged = self.charged_load(&[gpu], image.len() - image::PADDING, |session| {
                session.enter(call.context)?;
                let mut raw = std::ptr::null_mut();
                let (count, names, values) = options.parts();
                // SAFETY: the image was checked and ends in zero bytes; the option arrays have `count` entries.
                let result = unsafe {
                    (session.driver.cuModuleLoadDataEx)(
                        &mut raw,
                        image.as_ptr().cast(),
                        count,
                        names,
                        values,
                    )
                };
                logs = options.logs();
                check(result)?;
                Ok(raw)
            });
            let (raw, charged) = charged?;
            self.modules.insert(
                call.module,
                Module {
                    raw,
                    context: call.context,
                    library: None,
                    charged,
                },
            );
            Ok(())
        })();
        (outcome, logs)
    }

    /// Loads code and charges the claim with what it took: the driver's free memory before less after, where that tells
    /// something, else the image's size.
    pub fn charged_load<T>(
        &mut self,
        gpus: &[usize],
        image_bytes: usize,
        load: impl FnOnce(&mut Session) -> Result<T, CUresult>,
    ) -> Result<(T, u64), CUresult> {
        let image_bytes = image_bytes as u64;
        let gpu = *gpus.first().ok_or(CUDA_ERROR_INVALID_DEVICE)?;
        self.gpus[gpu]
            .ledger
            .reserve(image_bytes)
            .map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?;
        let before = self.free_bytes(gpu);
        let loaded = load(self).inspect_err(|_| self.gpus[gpu].ledger.release(image_bytes))?;
        let taken = before.saturating_sub(self.free_bytes(gpu));
        // Other workers allocate at the same time: what no image of this size can take is theirs.
        let plausible = taken > image_bytes && taken <= image_bytes.saturating_mul(8) + (32 << 20);
        let more = if plausible { taken - image_bytes } else { 0 };
        let charged = if more > 0 && self.gpus[gpu].ledger.reserve(more).is_ok() {
            taken
        } else {
            image_bytes
        };
        Ok((loaded, charged))
    }

    pub fn module_unload(&mut self, id: u32) -> Result<(), CUresult> {
        let entry = self.modules.get(id).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        if entry.library.is_some() {
            return Err(CUDA_ERROR_NOT_PERMITTED);
        }
        let (raw, context, charged) = (entry.raw, entry.context, entry.charged);
        let gpu = self
            .contexts
            .get(context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
            .gpu;
        self.leave_meters();
        self.functions.drain_if(|it| it.owner == Owner::Module(id));
        self.memory.forget_globals(Owner::Module(id).tag());
        self.modules.remove(id);
        self.gpus[gpu].ledger.release(charged);
        self.enter(context)?;
        // SAFETY: taken out of the tables: nothing of it is used any more.
        check(unsafe { (self.driver.cuModuleUnload)(raw) })
    }

    /// Unloads what was loaded into a context that is about to go.
    pub fn unload_modules_of(&mut self, context: u32) {
        let ids: Vec<u32> = self
            .modules
            .iter()
            .filter(|it| it.1.context == context)
            .map(|it| it.0)
            .collect();
        for id in ids {
            if self.module_unload(id) == Err(CUDA_ERROR_NOT_PERMITTED) {
                self.functions.drain_if(|it| it.owner == Owner::Module(id));
                self.modules.remove(id);
            }
        }
    }

    pub fn module_get_function(
        &mut self,
        call: &ModuleGetFunction,
        name: &[u8],
    ) -> Result<Facts, CUresult> {
        let name = CString::new(name).map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let (module, context) = self
            .modules
            .get(call.module)
            .map(|it| (it.raw, it.context))
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        self.functions.check_free(call.function)?;
        self.enter(context)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to, the module is alive, the name ends in a zero byte.
        check(unsafe { (self.driver.cuModuleGetFunction)(&mut raw, module, name.as_ptr()) })?;
        self.add_function(call.function, raw, Owner::Module(call.module))
    }

    /// Takes a function of a context in, with what the client must know of it.
    pub(crate) fn add_function(
        &mut self,
        id: u32,
        raw: CUfunction,
        owner: Owner,
    ) -> Result<Facts, CUresult> {
        let layout = self
            .driver
            .cuFuncGetParamInfo
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        let attribute = |attribute: usize| {
            let mut value: c_int = 0;
            // SAFETY: the result is valid to write to; the function is alive.
            unsafe {
                (self.driver.cuFuncGetAttribute)(&mut value, attribute as CUfunction_attribute, raw)
            };
            value
        };
        let attributes = std::array::from_fn(attribute);
        // SAFETY: both results are valid to write to; the function is alive.
        let parameters =
            parameters(|index, offset, size| unsafe { layout(raw, index, offset, size) });
        Ok(self.insert_function(id, raw, owner, false, (attributes, parameters)))
    }

    /// Takes a function or kernel in.
    pub(crate) fn insert_function(
        &mut self,
        id: u32,
        raw: CUfunction,
        owner: Owner,
        kernel: bool,
        facts: Facts,
    ) -> Facts {
        let parameter_bytes = facts
            .1
            .iter()
            .map(|it| it.0 as usize + it.1 as usize)
            .max()
            .unwrap_or(0);
        let entry = Function {
            raw,
            owner,
            kernel,
            parameter_bytes,
            cost: Arc::default(),
            counted: Counted::default(),
        };
        self.functions.insert(id, entry);
        facts
    }

    pub fn module_get_global(
        &mut self,
        call: &ModuleGetGlobal,
        name: &[u8],
    ) -> Result<(u64, u64), CUresult> {
        let name = CString::new(name).map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let (module, context) = self
            .modules
            .get(call.module)
            .map(|it| (it.raw, it.context))
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        self.enter(context)?;
        let (mut address, mut bytes) = (0, 0);
        // SAFETY: results are valid to write to, the module is alive, the name ends in a zero byte.
        check(unsafe {
            (self.driver.cuModuleGetGlobal)(&mut address, &mut bytes, module, name.as_ptr())
        })?;
        self.memory
            .add_global(Owner::Module(call.module).tag(), address, bytes as u64)?;
        Ok((address, bytes as u64))
    }

    pub fn module_functions(&mut self, call: &ModuleFunctions) -> Result<(u32, Vec<u8>), CUresult> {
        let (module, context) = self
            .modules
            .get(call.module)
            .map(|it| (it.raw, it.context))
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        self.enter(context)?;
        let driver = self.driver;
        let (Some(count), Some(list), Some(name)) = (
            driver.cuModuleGetFunctionCount,
            driver.cuModuleEnumerateFunctions,
            driver.cuFuncGetName,
        ) else {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        };
        let mut total: c_uint = 0;
        // SAFETY: the result is valid to write to; the module is alive.
        check(unsafe { count(&mut total, module) })?;
        let mut all: Vec<CUfunction> = vec![std::ptr::null_mut(); total.min(MAX_HANDLES) as usize];
        // SAFETY: the array has as many entries as are asked for.
        check(unsafe { list(all.as_mut_ptr(), all.len() as c_uint, module) })?;
        // SAFETY: the result is valid to write to; the function is alive.
        Ok((
            total,
            names(&all, call.first, |function, text| unsafe {
                name(text, function)
            }),
        ))
    }

    /// The context that a module's failures belong to.
    pub fn context_of_module(&self, module: u32) -> u32 {
        self.modules.get(module).map_or(u32::MAX, |it| it.context)
    }
}

impl Owner {
    /// A number that no other module or library has.
    pub fn tag(self) -> u64 {
        match self {
            Owner::Module(id) => u64::from(id),
            Owner::Library(id) => 1 << 32 | u64::from(id),
        }
    }
}

/// Offset and size of each parameter, in the function's order.
pub fn parameters(ask: impl Fn(usize, *mut usize, *mut usize) -> CUresult) -> Vec<(u32, u32)> {
    let parameter = |index| {
        let (mut offset, mut size) = (0, 0);
        (ask(index, &mut offset, &mut size) == CUDA_SUCCESS).then_some((offset as u32, size as u32))
    };
    (0..MOST_PARAMETERS).map_while(parameter).collect()
}

/// Names from the `first` on, each ended by a zero byte, as many as fit into one reply.
pub fn names<T: Copy>(
    all: &[T],
    first: u32,
    ask: impl Fn(T, *mut *const c_char) -> CUresult,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in all.iter().skip(first as usize) {
        let mut text = std::ptr::null();
        if ask(*entry, &mut text) != CUDA_SUCCESS || text.is_null() {
            break;
        }
        // SAFETY: the driver's text ends in a zero byte and lives as long as the function.
        let name = unsafe { CStr::from_ptr(text) }.to_bytes_with_nul();
        if bytes.len() + name.len() > NAMES_BYTES {
            break;
        }
        bytes.extend_from_slice(name);
    }
    bytes
}

/// A pointer-sized option value.
pub fn as_pointer(value: u64) -> *mut c_void {
    value as usize as *mut c_void
}
