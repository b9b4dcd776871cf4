//! Modules: code loaded into a context.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_cuda::*;

use crate::code::{self, Code};
use crate::context::Context;
use crate::function::{FUNCTIONS, Facts, Function};
use crate::handle_table::Table;
use crate::image::Refusal;
use crate::outcome::Outcome;

pub static MODULES: Table<Module> = Table::new(5);

/// One module.
pub struct Module {
    pub context: &'static Context,
    pub functions: Mutex<Vec<usize>>,
    code: Mutex<Option<Arc<Code>>>,
}

/// Loads parsed PTX into a context.
pub fn load(context: &'static Context, parsed: aquifer_ptx::Module) -> Result<usize, Refusal> {
    let full = |code| (code, "too many modules or functions".to_owned());
    let facts = Facts::of(&parsed);
    let code = Arc::new(Code::place(parsed, context)?);
    let made = MODULES.insert(|_| Module {
        context,
        functions: Mutex::new(Vec::new()),
        code: Mutex::new(Some(Arc::clone(&code))),
    });
    let (handle, module) = made.ok_or_else(|| full(CUDA_ERROR_OUT_OF_MEMORY))?;
    let functions = Function::create_all(context, handle, facts, &code).map_err(full)?;
    *module
        .functions
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = functions;
    context
        .modules
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(handle);
    Ok(handle)
}

/// Parses and loads.
pub fn load_text(context: &'static Context, text: &[u8]) -> Result<usize, Refusal> {
    load(context, code::parse(text, target_sm())?)
}

/// The architecture of the devices as PTX counts: 80 for 8.0.
pub fn target_sm() -> u32 {
    crate::driver::started().map_or(80, |driver| {
        driver.settings.compute_major * 10 + driver.settings.compute_minor
    })
}

/// The module of a live handle.
pub fn find(handle: CUmodule) -> Outcome<&'static Module> {
    MODULES.get(handle.addr()).ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// Unloads a module. What was launched before is still done.
pub fn unload(handle: CUmodule) -> Outcome {
    let module = find(handle)?;
    module.context.check()?;
    module.context.synchronize()?;
    let mut loaded = module
        .context
        .modules
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|other| *other != handle.addr());
    drop(loaded);
    discard(handle.addr());
    Ok(())
}

/// Releases a module and its functions.
pub fn discard(handle: usize) {
    let Some(module) = MODULES.remove(handle) else {
        return;
    };
    for function in module.functions().drain(..) {
        Function::discard(function);
    }
    *module.code.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Module {
    fn functions(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The function with a name.
    pub fn function(&self, name: &CStr) -> Outcome<&'static Function> {
        let functions = self.functions();
        let mut all = functions.iter().filter_map(|handle| FUNCTIONS.get(*handle));
        all.find(|function| function.facts.name.as_c_str() == name)
            .ok_or(CUDA_ERROR_NOT_FOUND)
    }

    /// Handles of all functions, in the order of the source.
    pub fn all_functions(&self) -> Vec<usize> {
        self.functions().clone()
    }

    /// Address and size of a global.
    pub fn global(&self, name: &CStr) -> Outcome<(u64, u64)> {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        let code = code.as_ref().ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let found = code
            .globals
            .iter()
            .find(|global| global.name.as_bytes() == name.to_bytes());
        found
            .map(|global| (global.address, global.size))
            .ok_or(CUDA_ERROR_NOT_FOUND)
    }
}
