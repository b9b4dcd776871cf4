//! Contexts: what one process has on one device, and which of them each thread uses.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aquifer_cuda::*;

use crate::driver::{self, Device, Driver};
use crate::handle_table::Table;
use crate::outcome::Outcome;
use crate::state::Row;
use crate::stream::Stream;

pub static CONTEXTS: Table<Context> = Table::new(1);

/// One context. Never freed: a destroyed one answers every call with CUDA_ERROR_CONTEXT_IS_DESTROYED.
pub struct Context {
    pub handle: usize,
    pub id: u64,
    pub device: &'static Device,
    pub row: Row,
    pub primary: bool,
    pub flags: AtomicU32,
    pub cache_config: AtomicU32,
    pub shared_config: AtomicU32,
    pub limits: [AtomicU64; LIMITS],
    /// Tells kernels that run for this context to end.
    pub stop: AtomicBool,
    /// Operations that were submitted and are not done, on all streams and on those that the legacy stream waits for.
    pub in_flight: AtomicUsize,
    pub blocking_in_flight: AtomicUsize,
    /// 0, or what every call in this context returns from now on.
    sticky: AtomicU32,
    legacy: OnceLock<&'static Stream>,
    streams: Mutex<Vec<&'static Stream>>,
    /// Handles of loaded modules, unloaded with the context.
    pub modules: Mutex<Vec<usize>>,
}

/// Limits that `cuCtxGetLimit` knows.
pub const LIMITS: usize = 8;
const LIMIT_DEFAULTS: [u64; LIMITS] = [1024, 1 << 20, 8 << 20, 2, 2048, 64, 0, 0];
/// Flags that a context can be made with.
pub const CONTEXT_FLAGS: u32 = 0xff;

thread_local! {
    static CURRENT: Cell<Option<&'static Context>> = const { Cell::new(None) };
    static BELOW: RefCell<Vec<Option<&'static Context>>> = const { RefCell::new(Vec::new()) };
}

impl Context {
    /// Makes a context on a device; it is not current anywhere.
    pub fn create(device: &'static Device, flags: u32, primary: bool) -> Outcome<&'static Context> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        device.check()?;
        let row = device.enter()?;
        let made = CONTEXTS.insert(|handle| Context {
            handle,
            id: IDS.fetch_add(1, Relaxed),
            device,
            row,
            primary,
            flags: AtomicU32::new(flags),
            cache_config: AtomicU32::new(CU_FUNC_CACHE_PREFER_NONE),
            shared_config: AtomicU32::new(CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE),
            limits: LIMIT_DEFAULTS.map(AtomicU64::new),
            stop: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            blocking_in_flight: AtomicUsize::new(0),
            sticky: AtomicU32::new(CUDA_SUCCESS),
            legacy: OnceLock::new(),
            streams: Mutex::new(Vec::new()),
            modules: Mutex::new(Vec::new()),
        });
        let (_, context) = made.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let legacy = Stream::legacy_of(context);
        context.legacy.get_or_init(|| legacy);
        context.add_stream(legacy);
        Ok(context)
    }

    /// The default stream of the whole context.
    #[inline]
    pub fn legacy(&'static self) -> &'static Stream {
        self.legacy.get_or_init(|| Stream::legacy_of(self))
    }

    /// Succeeds while calls in this context may go on.
    #[inline]
    pub fn check(&self) -> Outcome {
        match self.sticky.load(Relaxed) {
            CUDA_SUCCESS => self.device.check().inspect_err(|result| self.fail(*result)),
            result => Err(result),
        }
    }

    /// Makes the context unusable and ends its kernels; the first reason stays.
    pub fn fail(&self, result: CUresult) {
        self.stop.store(true, Release);
        let _ = self
            .sticky
            .compare_exchange(CUDA_SUCCESS, result, AcqRel, Relaxed);
        if result == CUDA_ERROR_CONTEXT_IS_DESTROYED {
            self.sticky.store(result, Release);
        }
    }

    /// The reason why the context is unusable, without looking at the device.
    pub fn failure(&self) -> Option<CUresult> {
        Some(self.sticky.load(Acquire)).filter(|result| *result != CUDA_SUCCESS)
    }

    pub fn is_destroyed(&self) -> bool {
        self.failure() == Some(CUDA_ERROR_CONTEXT_IS_DESTROYED)
    }

    /// All streams, the default ones included.
    pub fn streams(&self) -> MutexGuard<'_, Vec<&'static Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add_stream(&self, stream: &'static Stream) {
        self.streams().push(stream);
    }

    pub fn forget_stream(&self, stream: &'static Stream) {
        self.streams().retain(|other| !std::ptr::eq(*other, stream));
    }

    /// Waits until everything that was submitted before is done.
    pub fn synchronize(&self) -> Outcome {
        if self.in_flight.load(Acquire) != 0 {
            let streams: Vec<_> = self.streams().clone();
            for stream in streams {
                stream.wait_for(stream.submitted());
            }
        }
        self.check()
    }

    /// Ends the context: stops its kernels, waits for its streams, releases modules and memory.
    pub fn destroy(&'static self) {
        self.fail(CUDA_ERROR_CONTEXT_IS_DESTROYED);
        let streams: Vec<_> = std::mem::take(&mut *self.streams());
        for stream in streams {
            stream.wait_for(stream.submitted());
        }
        let modules =
            std::mem::take(&mut *self.modules.lock().unwrap_or_else(PoisonError::into_inner));
        for module in modules {
            crate::module::discard(module);
        }
        crate::memory::free_all_of(self);
        CONTEXTS.remove(self.handle);
    }
}

/// Waits for all work of this process on a device, as releasing memory does.
pub fn quiesce(device: &Device, among: &[&'static Context]) {
    for context in among
        .iter()
        .filter(|context| context.device.index == device.index)
    {
        if context.in_flight.load(Acquire) != 0 && !context.is_destroyed() {
            let _ = context.synchronize();
        }
    }
}

/// The driver, for a call that needs it to be initialised.
#[inline]
pub fn initialized() -> Outcome<&'static Driver> {
    driver::started()
        .filter(|_| INITIALIZED.load(Relaxed))
        .ok_or(CUDA_ERROR_NOT_INITIALIZED)
}

/// Set by cuInit: nvmlInit alone starts the driver, but is not enough for CUDA calls.
pub static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// The context of a live handle.
pub fn find(handle: CUcontext) -> Outcome<&'static Context> {
    CONTEXTS
        .get(handle.addr())
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)
}

/// The calling thread's context, whatever its condition.
#[inline]
pub fn top() -> Option<&'static Context> {
    CURRENT.get()
}

/// The calling thread's context, usable.
#[inline]
pub fn current() -> Outcome<&'static Context> {
    let Some(context) = CURRENT.get() else {
        initialized()?;
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    };
    context.check()?;
    Ok(context)
}

/// Makes a context the calling thread's, above what it had.
pub fn push(context: &'static Context) {
    BELOW.with_borrow_mut(|below| below.push(CURRENT.replace(Some(context))));
}

/// Takes the calling thread's context away; what was below comes back.
pub fn pop() -> Outcome<&'static Context> {
    let context = CURRENT.get().ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    CURRENT.set(BELOW.with_borrow_mut(|below| below.pop().flatten()));
    Ok(context)
}

/// Replaces the calling thread's context; none takes it away.
pub fn set(context: Option<&'static Context>) {
    match context {
        Some(context) => CURRENT.set(Some(context)),
        None => {
            let _ = pop();
        }
    }
}
