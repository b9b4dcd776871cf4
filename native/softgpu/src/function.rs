//! Functions: kernels of a module in a context. Launches read nothing here that changes but two atomics.

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_cuda::*;

use crate::code::Code;
use crate::context::Context;
use crate::device_facts::{SHARED_PER_BLOCK, SHARED_PER_BLOCK_OPTIN, THREADS_PER_BLOCK};
use crate::handle_table::Table;
use crate::outcome::{Outcome, require};

pub static FUNCTIONS: Table<Function> = Table::new(6);

/// What PTX says about a kernel.
#[derive(Clone)]
pub struct Facts {
    pub name: CString,
    /// Offset and size in bytes of each parameter.
    pub params: Vec<(u32, u32)>,
    pub shared_bytes: u32,
    pub local_bytes: u32,
    pub registers: u32,
    pub max_threads: u32,
    pub required_block: Option<[u32; 3]>,
}

/// What a program may set on a function or kernel.
pub struct Wishes {
    pub dynamic_shared: AtomicU32,
    pub carveout: AtomicI32,
    pub cache_config: AtomicU32,
}

/// One function.
pub struct Function {
    pub handle: usize,
    pub context: &'static Context,
    pub module: usize,
    pub index: usize,
    pub facts: Facts,
    pub wishes: Wishes,
    code: Mutex<Option<Arc<Code>>>,
}

impl Facts {
    /// The facts of every kernel of a parsed module.
    pub fn of(module: &aquifer_ptx::Module) -> Vec<Facts> {
        let facts = |kernel: &aquifer_ptx::Kernel| Facts {
            name: CString::new(kernel.name.as_str()).unwrap_or_default(),
            params: kernel
                .params
                .iter()
                .map(|param| (param.offset, param.size))
                .collect(),
            shared_bytes: kernel.shared_bytes,
            local_bytes: kernel.local_bytes_per_thread,
            registers: kernel.registers.clamp(1, 255),
            max_threads: kernel
                .max_threads_per_block
                .map_or(THREADS_PER_BLOCK, |most| most.min(THREADS_PER_BLOCK)),
            required_block: kernel.required_block,
        };
        module.kernels().iter().map(facts).collect()
    }

    /// Bytes of all parameters, packed.
    pub fn param_bytes(&self) -> usize {
        self.params
            .last()
            .map_or(0, |(offset, size)| (offset + size) as usize)
    }

    /// Reads an attribute, some of which a program may have set.
    pub fn attribute(
        &self,
        wishes: &Wishes,
        attribute: CUfunction_attribute,
        sm: i32,
    ) -> Outcome<i32> {
        Ok(match attribute {
            CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK => self.max_threads as i32,
            CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES => self.shared_bytes as i32,
            CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES => 0,
            CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES => self.local_bytes as i32,
            CU_FUNC_ATTRIBUTE_NUM_REGS => self.registers as i32,
            CU_FUNC_ATTRIBUTE_PTX_VERSION | CU_FUNC_ATTRIBUTE_BINARY_VERSION => sm,
            CU_FUNC_ATTRIBUTE_CACHE_MODE_CA => 0,
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES => {
                wishes.dynamic_shared.load(Relaxed) as i32
            }
            CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT => wishes.carveout.load(Relaxed),
            CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET
                ..=CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE => 0,
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        })
    }

    /// Sets one of the attributes that can be set.
    pub fn set_attribute(
        &self,
        wishes: &Wishes,
        attribute: CUfunction_attribute,
        value: i32,
    ) -> Outcome {
        match attribute {
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES => {
                let most = SHARED_PER_BLOCK_OPTIN.saturating_sub(self.shared_bytes) as i32;
                require((0..=most).contains(&value))?;
                wishes.dynamic_shared.store(value as u32, Relaxed);
            }
            CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT => {
                require((-1..=100).contains(&value))?;
                wishes.carveout.store(value, Relaxed);
            }
            CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET
                ..=CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE => {
                return Err(CUDA_ERROR_NOT_SUPPORTED);
            }
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
        Ok(())
    }
}

impl Wishes {
    /// What holds before a program sets anything.
    pub fn new(facts: &Facts) -> Wishes {
        Wishes {
            dynamic_shared: AtomicU32::new(SHARED_PER_BLOCK.saturating_sub(facts.shared_bytes)),
            carveout: AtomicI32::new(-1),
            cache_config: AtomicU32::new(CU_FUNC_CACHE_PREFER_NONE),
        }
    }

    /// Takes over what was set elsewhere.
    pub fn follow(&self, other: &Wishes) {
        self.dynamic_shared
            .store(other.dynamic_shared.load(Relaxed), Relaxed);
        self.carveout.store(other.carveout.load(Relaxed), Relaxed);
        self.cache_config
            .store(other.cache_config.load(Relaxed), Relaxed);
    }
}

impl Function {
    /// Makes a function for each kernel of a module.
    pub fn create_all(
        context: &'static Context,
        module: usize,
        all: Vec<Facts>,
        code: &Arc<Code>,
    ) -> Outcome<Vec<usize>> {
        let make = |(index, facts): (usize, Facts)| {
            let made = FUNCTIONS.insert(|handle| Function {
                handle,
                context,
                module,
                index,
                wishes: Wishes::new(&facts),
                facts,
                code: Mutex::new(Some(Arc::clone(code))),
            });
            made.map(|(handle, _)| handle)
                .ok_or(CUDA_ERROR_OUT_OF_MEMORY)
        };
        all.into_iter().enumerate().map(make).collect()
    }

    /// The code, unless the module was unloaded.
    pub fn code(&self) -> Outcome<Arc<Code>> {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        code.clone().ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    /// Ends a function with its module.
    pub fn discard(handle: usize) {
        if let Some(function) = FUNCTIONS.remove(handle) {
            *function.code.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}
