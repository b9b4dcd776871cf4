//! Opaque handles. A handle is an address or a number that only the driver that made it can read.

use core::ffi::{c_int, c_ulonglong, c_void};

macro_rules! opaque {
    ($($(#[$doc:meta])* $pointer:ident = $target:ident;)*) => {$(
        #[doc = concat!("What a `", stringify!($pointer), "` points to; never read through.")]
        #[repr(C)]
        pub struct $target { _private: [u8; 0] }
        $(#[$doc])*
        pub type $pointer = *mut $target;
    )*};
}

opaque! {
    /// A context: one process's state on one device.
    CUcontext = CUctx_st;
    /// A loaded module.
    CUmodule = CUmod_st;
    /// A kernel of a module, bound to its context.
    CUfunction = CUfunc_st;
    /// A loaded library: code that is not yet bound to a context.
    CUlibrary = CUlib_st;
    /// A kernel of a library; accepted where a `CUfunction` is.
    CUkernel = CUkern_st;
    /// A queue of work.
    CUstream = CUstream_st;
    /// A point in a stream.
    CUevent = CUevent_st;
    /// An array in device memory.
    CUarray = CUarray_st;
    /// A memory pool.
    CUmemoryPool = CUmemPoolHandle_st;
    /// A graph.
    CUgraph = CUgraph_st;
    /// An instantiated graph.
    CUgraphExec = CUgraphExec_st;
    /// A node of a graph.
    CUgraphNode = CUgraphNode_st;
    /// A link in the making.
    CUlinkState = CUlinkState_st;
}

/// A device's ordinal.
pub type CUdevice = c_int;
/// An address in device memory.
pub type CUdeviceptr = u64;
/// Physical memory made by `cuMemCreate`.
pub type CUmemGenericAllocationHandle = c_ulonglong;

/// The default stream that waits for, and is waited for by, every blocking stream of its context.
pub const CU_STREAM_LEGACY: CUstream = core::ptr::without_provenance_mut(1);
/// The calling thread's own default stream.
pub const CU_STREAM_PER_THREAD: CUstream = core::ptr::without_provenance_mut(2);

/// A function that `cuLaunchHostFunc` calls.
pub type CUhostFn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;
/// A function that `cuStreamAddCallback` calls.
pub type CUstreamCallback =
    Option<unsafe extern "C" fn(stream: CUstream, status: crate::CUresult, user_data: *mut c_void)>;
/// Dynamic shared memory in bytes as a function of threads per block.
pub type CUoccupancyB2DSize = Option<unsafe extern "C" fn(block_size: c_int) -> usize>;
