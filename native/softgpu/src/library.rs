//! Libraries: code that belongs to no context until a kernel is used in one.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::*};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_cuda::*;

use crate::code;
use crate::context::Context;
use crate::function::{Facts, Function, Wishes};
use crate::handle_table::Table;
use crate::image::Refusal;
use crate::module::{self, MODULES, Module, target_sm};
use crate::outcome::Outcome;

pub static LIBRARIES: Table<Library> = Table::new(7);
pub static KERNELS: Table<Kernel> = Table::new(8);

/// One library.
pub struct Library {
    handle: usize,
    content: Mutex<Content>,
}

struct Content {
    text: Vec<u8>,
    /// Handles of its kernels, in the order of the source.
    kernels: Vec<usize>,
    /// By context id: the module that the library became there.
    modules: Vec<(u64, usize)>,
}

/// One kernel of a library.
pub struct Kernel {
    pub library: usize,
    pub facts: Facts,
    pub wishes: Wishes,
    /// The function that the last launch used.
    last: AtomicPtr<Function>,
}

/// Loads a library; its PTX is checked now, and placed in a context when it is first used there.
pub fn load(text: Vec<u8>) -> Result<usize, Refusal> {
    let all = Facts::of(&code::parse(&text, target_sm())?);
    let full = || {
        (
            CUDA_ERROR_OUT_OF_MEMORY,
            "too many libraries or kernels".to_owned(),
        )
    };
    let content = Content {
        text,
        kernels: Vec::new(),
        modules: Vec::new(),
    };
    let made = LIBRARIES.insert(|handle| Library {
        handle,
        content: Mutex::new(content),
    });
    let (handle, library) = made.ok_or_else(full)?;
    for facts in all {
        let kernel = KERNELS.insert(|_| Kernel {
            library: handle,
            wishes: Wishes::new(&facts),
            facts,
            last: AtomicPtr::new(std::ptr::null_mut()),
        });
        library.content().kernels.push(kernel.ok_or_else(full)?.0);
    }
    Ok(handle)
}

/// The library of a live handle.
pub fn find(handle: CUlibrary) -> Outcome<&'static Library> {
    LIBRARIES
        .get(handle.addr())
        .ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// Unloads a library from every context.
pub fn unload(handle: CUlibrary) -> Outcome {
    let library = LIBRARIES
        .remove(handle.addr())
        .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
    let mut content = library.content();
    for kernel in content.kernels.drain(..) {
        KERNELS.remove(kernel);
    }
    let modules = std::mem::take(&mut content.modules);
    content.text = Vec::new();
    drop(content);
    for (_, handle) in modules {
        if let Some(module) = MODULES.get(handle) {
            // A context that failed has nothing in flight that could still use the code.
            let _ = module.context.synchronize();
            module
                .context
                .modules
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|other| *other != handle);
        }
        module::discard(handle);
    }
    Ok(())
}

impl Library {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles of all kernels, in the order of the source.
    pub fn kernels(&self) -> Vec<usize> {
        self.content().kernels.clone()
    }

    /// The kernel with a name.
    pub fn kernel(&self, name: &CStr) -> Outcome<usize> {
        let kernels = self.kernels();
        let named = |handle: &usize| {
            KERNELS
                .get(*handle)
                .is_some_and(|kernel| kernel.facts.name.as_c_str() == name)
        };
        kernels.into_iter().find(named).ok_or(CUDA_ERROR_NOT_FOUND)
    }

    /// The module that the library is in a context.
    pub fn module(&self, context: &'static Context) -> Outcome<(usize, &'static Module)> {
        let mut content = self.content();
        if LIBRARIES.get(self.handle).is_none() {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        let known = content.modules.iter().find(|(id, _)| *id == context.id);
        let handle = match known {
            Some((_, handle)) => *handle,
            None => {
                let handle =
                    module::load_text(context, &content.text).map_err(|refusal| refusal.0)?;
                content.modules.push((context.id, handle));
                handle
            }
        };
        Ok((
            handle,
            MODULES.get(handle).ok_or(CUDA_ERROR_CONTEXT_IS_DESTROYED)?,
        ))
    }
}

impl Kernel {
    pub fn find(handle: CUkernel) -> Outcome<&'static Kernel> {
        KERNELS.get(handle.addr()).ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    /// The function that the kernel is in a context.
    #[inline]
    pub fn function(&self, context: &'static Context) -> Outcome<&'static Function> {
        // SAFETY: null, or set from a `&'static Function`.
        if let Some(function) = unsafe { self.last.load(Acquire).as_ref() }
            && std::ptr::eq(function.context, context)
        {
            return Ok(function);
        }
        self.function_slowly(context)
    }

    #[cold]
    fn function_slowly(&self, context: &'static Context) -> Outcome<&'static Function> {
        let library = LIBRARIES
            .get(self.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let (_, module) = library.module(context)?;
        let function = module.function(&self.facts.name)?;
        function.wishes.follow(&self.wishes);
        self.last
            .store(std::ptr::from_ref(function).cast_mut(), Release);
        Ok(function)
    }

    /// Sets an attribute, where the kernel was already used too.
    pub fn set_attribute(&self, attribute: CUfunction_attribute, value: i32) -> Outcome {
        self.facts.set_attribute(&self.wishes, attribute, value)?;
        let library = LIBRARIES
            .get(self.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let modules: Vec<usize> = library
            .content()
            .modules
            .iter()
            .map(|(_, handle)| *handle)
            .collect();
        for module in modules.into_iter().filter_map(|handle| MODULES.get(handle)) {
            module
                .function(&self.facts.name)?
                .wishes
                .follow(&self.wishes);
        }
        Ok(())
    }
}
