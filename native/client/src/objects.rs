//! What programs hold handles of.

use crate::session::{Outcome, Session};
use aquifer_cuda::*;
use aquifer_protocol::generated::ContextCreate;
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A context on one vGPU.
pub struct Context {
    pub id: u32,
    pub handle: u64,
    pub vgpu: u32,
    pub is_primary: bool,
    pub flags: AtomicU32,
    /// Whether the worker was told: a context is made there before its first use.
    created: AtomicBool,
    /// The error that makes the context unusable, and the one that the next wait returns; 0 is none.
    sticky: AtomicU32,
    pending: AtomicU32,
    pub cache_config: AtomicU32,
    pub shared_config: AtomicU32,
    /// cuCtxAttach counts.
    pub attached: AtomicU32,
}

impl Context {
    pub fn new(id: u32, handle: u64, vgpu: u32, flags: u32) -> Self {
        Self {
            id,
            handle,
            vgpu,
            is_primary: id < crate::session::FIRST_CONTEXT,
            flags: AtomicU32::new(flags),
            created: AtomicBool::new(false),
            sticky: AtomicU32::new(CUDA_SUCCESS),
            pending: AtomicU32::new(CUDA_SUCCESS),
            cache_config: AtomicU32::new(0),
            shared_config: AtomicU32::new(1),
            attached: AtomicU32::new(1),
        }
    }

    /// Notes an error of work that was not waited for. The first one counts.
    pub fn fail(&self, result: CUresult, sticky: bool) {
        let place = if sticky { &self.sticky } else { &self.pending };
        let _ = place.compare_exchange(CUDA_SUCCESS, result, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Fails while the context is unusable.
    #[inline]
    pub fn usable(&self) -> Outcome {
        match self.sticky.load(Ordering::Relaxed) {
            CUDA_SUCCESS => Ok(()),
            result => Err(result),
        }
    }

    /// What a wait returns: errors of the work that it waited for.
    pub fn after_wait(&self) -> Outcome {
        self.usable()?;
        match self.pending.swap(CUDA_SUCCESS, Ordering::AcqRel) {
            CUDA_SUCCESS => Ok(()),
            result => Err(result),
        }
    }

    /// True once the worker was told of the context.
    pub fn is_created(&self) -> bool {
        self.created.load(Ordering::Acquire)
    }

    /// Tells the worker of the context, if nobody did.
    #[inline]
    pub fn create(&self, session: &Session) -> Outcome {
        if self.is_created() {
            return Ok(());
        }
        self.create_now(session)
    }

    #[cold]
    fn create_now(&self, session: &Session) -> Outcome {
        // One thread posts; the others must not overtake it with work for the context.
        static CREATING: Mutex<()> = Mutex::new(());
        let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_created() {
            let flags = self.flags.load(Ordering::Relaxed);
            let primary = u32::from(self.is_primary);
            session.post(&ContextCreate {
                context: self.id,
                vgpu: self.vgpu,
                flags,
                primary,
            })?;
            self.created.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// A stream. Set anew when its id is used again.
#[derive(Default)]
pub struct Stream {
    pub context: AtomicU64,
    pub flags: AtomicU32,
    pub priority: AtomicI32,
    /// Different for every stream of the process.
    pub number: AtomicU64,
}

/// An event. Set anew when its id is used again.
#[derive(Default)]
pub struct Event {
    pub context: AtomicU64,
    pub flags: AtomicU32,
    /// Records so far; the count that is known to be complete.
    pub recorded: AtomicU64,
    pub completed: AtomicU64,
}

/// Handles of functions by name, so that a name has one handle.
pub type Names = Mutex<HashMap<CString, u64>>;

/// A module in a context.
pub struct Module {
    pub context: u64,
    /// The library that it is of, or 0.
    pub library: u64,
    pub functions: Names,
    /// Addresses of the variables that were asked for.
    pub globals: Mutex<Vec<u64>>,
}

/// A library.
#[derive(Default)]
pub struct Library {
    pub kernels: Names,
    /// Its module in each context.
    pub modules: Mutex<HashMap<u64, u64>>,
    pub globals: Mutex<Vec<u64>>,
}

/// A function of a module, or a kernel of a library.
pub struct Function {
    pub name: CString,
    /// The context's handle; 0 for a kernel, which is of every context.
    pub context: u64,
    /// The module or library that it is of.
    pub module: u64,
    pub library: u64,
    pub attributes: [AtomicI32; 16],
    /// Offset and size of each parameter, in bytes.
    pub parameters: Box<[(u32, u32)]>,
    pub parameter_bytes: usize,
    /// A kernel's functions by context.
    pub functions: Mutex<HashMap<u64, u64>>,
}

impl Function {
    pub fn attribute(&self, id: CUfunction_attribute) -> Option<&AtomicI32> {
        usize::try_from(id)
            .ok()
            .and_then(|index| self.attributes.get(index))
    }
}

/// Physical memory made by cuMemCreate.
pub struct Memory {
    pub vgpu: u32,
    pub bytes: u64,
    /// References: handles and retains.
    pub references: AtomicU32,
}

/// A lock that a panic elsewhere does not make unusable.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
