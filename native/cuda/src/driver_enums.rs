//! Numbers of the enumerations and flags of the driver API. C enumerations are unsigned here: a peer may send any value.

use core::ffi::{c_uint, c_void};

/// Limits of a context.
pub type CUlimit = c_uint;
pub const CU_LIMIT_STACK_SIZE: CUlimit = 0;
pub const CU_LIMIT_PRINTF_FIFO_SIZE: CUlimit = 1;
pub const CU_LIMIT_MALLOC_HEAP_SIZE: CUlimit = 2;
pub const CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH: CUlimit = 3;
pub const CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT: CUlimit = 4;
pub const CU_LIMIT_MAX_L2_FETCH_GRANULARITY: CUlimit = 5;
pub const CU_LIMIT_PERSISTING_L2_CACHE_SIZE: CUlimit = 6;
pub const CU_LIMIT_SHMEM_SIZE: CUlimit = 7;
pub const CU_LIMIT_CIG_ENABLED: CUlimit = 8;
pub const CU_LIMIT_CIG_SHMEM_FALLBACK_ENABLED: CUlimit = 9;
pub const CU_LIMIT_PER_BLOCK_MEMORY_SIZE: CUlimit = 0xa;

/// Options of `cuModuleLoadDataEx` and the library loaders.
pub type CUjit_option = c_uint;
pub const CU_JIT_MAX_REGISTERS: CUjit_option = 0;
pub const CU_JIT_THREADS_PER_BLOCK: CUjit_option = 1;
pub const CU_JIT_WALL_TIME: CUjit_option = 2;
pub const CU_JIT_INFO_LOG_BUFFER: CUjit_option = 3;
pub const CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES: CUjit_option = 4;
pub const CU_JIT_ERROR_LOG_BUFFER: CUjit_option = 5;
pub const CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES: CUjit_option = 6;
pub const CU_JIT_OPTIMIZATION_LEVEL: CUjit_option = 7;
pub const CU_JIT_TARGET_FROM_CUCONTEXT: CUjit_option = 8;
pub const CU_JIT_TARGET: CUjit_option = 9;
pub const CU_JIT_FALLBACK_STRATEGY: CUjit_option = 0xa;
pub const CU_JIT_GENERATE_DEBUG_INFO: CUjit_option = 0xb;
pub const CU_JIT_LOG_VERBOSE: CUjit_option = 0xc;
pub const CU_JIT_GENERATE_LINE_INFO: CUjit_option = 0xd;
pub const CU_JIT_CACHE_MODE: CUjit_option = 0xe;
pub const CU_JIT_NEW_SM3X_OPT: CUjit_option = 0xf;
pub const CU_JIT_FAST_COMPILE: CUjit_option = 0x10;
pub const CU_JIT_GLOBAL_SYMBOL_NAMES: CUjit_option = 0x11;
pub const CU_JIT_GLOBAL_SYMBOL_ADDRESSES: CUjit_option = 0x12;
pub const CU_JIT_GLOBAL_SYMBOL_COUNT: CUjit_option = 0x13;
pub const CU_JIT_LTO: CUjit_option = 0x14;
pub const CU_JIT_FTZ: CUjit_option = 0x15;
pub const CU_JIT_PREC_DIV: CUjit_option = 0x16;
pub const CU_JIT_PREC_SQRT: CUjit_option = 0x17;
pub const CU_JIT_FMA: CUjit_option = 0x18;
pub const CU_JIT_REFERENCED_KERNEL_NAMES: CUjit_option = 0x19;
pub const CU_JIT_REFERENCED_KERNEL_COUNT: CUjit_option = 0x1a;
pub const CU_JIT_REFERENCED_VARIABLE_NAMES: CUjit_option = 0x1b;
pub const CU_JIT_REFERENCED_VARIABLE_COUNT: CUjit_option = 0x1c;
pub const CU_JIT_OPTIMIZE_UNUSED_DEVICE_VARIABLES: CUjit_option = 0x1d;
pub const CU_JIT_POSITION_INDEPENDENT_CODE: CUjit_option = 0x1e;
pub const CU_JIT_MIN_CTA_PER_SM: CUjit_option = 0x1f;
pub const CU_JIT_MAX_THREADS_PER_BLOCK: CUjit_option = 0x20;
pub const CU_JIT_OVERRIDE_DIRECTIVE_VALUES: CUjit_option = 0x21;
pub const CU_JIT_SPLIT_COMPILE: CUjit_option = 0x22;
pub const CU_JIT_BINARY_LOADER_THREAD_COUNT: CUjit_option = 0x23;

/// Options of the library loaders.
pub type CUlibraryOption = c_uint;
pub const CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE: CUlibraryOption = 0;
pub const CU_LIBRARY_BINARY_IS_PRESERVED: CUlibraryOption = 1;

/// Attributes of a launch.
pub type CUlaunchAttributeID = c_uint;
pub const CU_LAUNCH_ATTRIBUTE_IGNORE: CUlaunchAttributeID = 0;
pub const CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW: CUlaunchAttributeID = 1;
pub const CU_LAUNCH_ATTRIBUTE_COOPERATIVE: CUlaunchAttributeID = 2;
pub const CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY: CUlaunchAttributeID = 3;
pub const CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: CUlaunchAttributeID = 4;
pub const CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE: CUlaunchAttributeID = 5;
pub const CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: CUlaunchAttributeID = 6;
pub const CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT: CUlaunchAttributeID = 7;
pub const CU_LAUNCH_ATTRIBUTE_PRIORITY: CUlaunchAttributeID = 8;
pub const CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP: CUlaunchAttributeID = 9;
pub const CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN: CUlaunchAttributeID = 0xa;
pub const CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION: CUlaunchAttributeID = 0xb;
pub const CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT: CUlaunchAttributeID = 0xc;
pub const CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE: CUlaunchAttributeID = 0xd;
pub const CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: CUlaunchAttributeID = 0xe;

/// Kinds of memory.
pub type CUmemorytype = c_uint;
pub const CU_MEMORYTYPE_HOST: CUmemorytype = 1;
pub const CU_MEMORYTYPE_DEVICE: CUmemorytype = 2;
pub const CU_MEMORYTYPE_ARRAY: CUmemorytype = 3;
pub const CU_MEMORYTYPE_UNIFIED: CUmemorytype = 4;

/// Ways to export physical memory.
pub type CUmemAllocationHandleType = c_uint;
pub const CU_MEM_HANDLE_TYPE_NONE: CUmemAllocationHandleType = 0;
pub const CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR: CUmemAllocationHandleType = 1;
pub const CU_MEM_HANDLE_TYPE_WIN32: CUmemAllocationHandleType = 2;
pub const CU_MEM_HANDLE_TYPE_WIN32_KMT: CUmemAllocationHandleType = 4;
pub const CU_MEM_HANDLE_TYPE_FABRIC: CUmemAllocationHandleType = 8;

/// Kinds of places for memory.
pub type CUmemLocationType = c_uint;
pub const CU_MEM_LOCATION_TYPE_INVALID: CUmemLocationType = 0;
pub const CU_MEM_LOCATION_TYPE_DEVICE: CUmemLocationType = 1;
pub const CU_MEM_LOCATION_TYPE_HOST: CUmemLocationType = 2;
pub const CU_MEM_LOCATION_TYPE_HOST_NUMA: CUmemLocationType = 3;
pub const CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: CUmemLocationType = 4;

/// Kinds of physical memory.
pub type CUmemAllocationType = c_uint;
pub const CU_MEM_ALLOCATION_TYPE_INVALID: CUmemAllocationType = 0;
pub const CU_MEM_ALLOCATION_TYPE_PINNED: CUmemAllocationType = 1;
pub const CU_MEM_ALLOCATION_TYPE_MANAGED: CUmemAllocationType = 2;

/// Rights on a mapping.
pub type CUmemAccess_flags = c_uint;
pub const CU_MEM_ACCESS_FLAGS_PROT_NONE: CUmemAccess_flags = 0;
pub const CU_MEM_ACCESS_FLAGS_PROT_READ: CUmemAccess_flags = 1;
pub const CU_MEM_ACCESS_FLAGS_PROT_READWRITE: CUmemAccess_flags = 3;

/// Which granularity is asked for.
pub type CUmemAllocationGranularity_flags = c_uint;
pub const CU_MEM_ALLOC_GRANULARITY_MINIMUM: CUmemAllocationGranularity_flags = 0;
pub const CU_MEM_ALLOC_GRANULARITY_RECOMMENDED: CUmemAllocationGranularity_flags = 1;

/// How a look-up of an entry point ended.
pub type CUdriverProcAddressQueryResult = c_uint;
pub const CU_GET_PROC_ADDRESS_SUCCESS: CUdriverProcAddressQueryResult = 0;
pub const CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND: CUdriverProcAddressQueryResult = 1;
pub const CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT: CUdriverProcAddressQueryResult = 2;

/// When code is loaded.
pub type CUmoduleLoadingMode = c_uint;
pub const CU_MODULE_EAGER_LOADING: CUmoduleLoadingMode = 1;
pub const CU_MODULE_LAZY_LOADING: CUmoduleLoadingMode = 2;

/// Flags of a context.
pub type CUctx_flags = c_uint;
pub const CU_CTX_SCHED_AUTO: CUctx_flags = 0;
pub const CU_CTX_SCHED_SPIN: CUctx_flags = 1;
pub const CU_CTX_SCHED_YIELD: CUctx_flags = 2;
pub const CU_CTX_SCHED_BLOCKING_SYNC: CUctx_flags = 4;
pub const CU_CTX_BLOCKING_SYNC: CUctx_flags = 4;
pub const CU_CTX_SCHED_MASK: CUctx_flags = 7;
pub const CU_CTX_MAP_HOST: CUctx_flags = 8;
pub const CU_CTX_COREDUMP_ENABLE: CUctx_flags = 0x20;
pub const CU_CTX_USER_COREDUMP_ENABLE: CUctx_flags = 0x40;
pub const CU_CTX_SYNC_MEMOPS: CUctx_flags = 0x80;
pub const CU_CTX_FLAGS_MASK: CUctx_flags = 0xff;

/// Flags of a stream.
pub type CUstream_flags = c_uint;
pub const CU_STREAM_DEFAULT: CUstream_flags = 0;
pub const CU_STREAM_NON_BLOCKING: CUstream_flags = 1;

/// Flags of an event.
pub type CUevent_flags = c_uint;
pub const CU_EVENT_DEFAULT: CUevent_flags = 0;
pub const CU_EVENT_BLOCKING_SYNC: CUevent_flags = 1;
pub const CU_EVENT_DISABLE_TIMING: CUevent_flags = 2;
pub const CU_EVENT_INTERPROCESS: CUevent_flags = 4;

/// Flags of a record.
pub type CUevent_record_flags = c_uint;
pub const CU_EVENT_RECORD_DEFAULT: CUevent_record_flags = 0;
pub const CU_EVENT_RECORD_EXTERNAL: CUevent_record_flags = 1;

/// Flags of a wait.
pub type CUevent_wait_flags = c_uint;
pub const CU_EVENT_WAIT_DEFAULT: CUevent_wait_flags = 0;
pub const CU_EVENT_WAIT_EXTERNAL: CUevent_wait_flags = 1;

/// Preferred split of cache and shared memory.
pub type CUfunc_cache = c_uint;
pub const CU_FUNC_CACHE_PREFER_NONE: CUfunc_cache = 0;
pub const CU_FUNC_CACHE_PREFER_SHARED: CUfunc_cache = 1;
pub const CU_FUNC_CACHE_PREFER_L1: CUfunc_cache = 2;
pub const CU_FUNC_CACHE_PREFER_EQUAL: CUfunc_cache = 3;

/// Bank size of shared memory.
pub type CUsharedconfig = c_uint;
pub const CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE: CUsharedconfig = 0;
pub const CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE: CUsharedconfig = 1;
pub const CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE: CUsharedconfig = 2;

/// Flags of the occupancy calculation.
pub type CUoccupancy_flags = c_uint;
pub const CU_OCCUPANCY_DEFAULT: CUoccupancy_flags = 0;
pub const CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE: CUoccupancy_flags = 1;

/// Who may use a device.
pub type CUcomputemode = c_uint;
pub const CU_COMPUTEMODE_DEFAULT: CUcomputemode = 0;
pub const CU_COMPUTEMODE_PROHIBITED: CUcomputemode = 2;
pub const CU_COMPUTEMODE_EXCLUSIVE_PROCESS: CUcomputemode = 3;

/// Flags of pinned host memory.
pub type CUmemHostAlloc_flags = c_uint;
pub const CU_MEMHOSTALLOC_PORTABLE: CUmemHostAlloc_flags = 1;
pub const CU_MEMHOSTALLOC_DEVICEMAP: CUmemHostAlloc_flags = 2;
pub const CU_MEMHOSTALLOC_WRITECOMBINED: CUmemHostAlloc_flags = 4;
pub const CU_MEMHOSTREGISTER_PORTABLE: CUmemHostAlloc_flags = 1;
pub const CU_MEMHOSTREGISTER_DEVICEMAP: CUmemHostAlloc_flags = 2;
pub const CU_MEMHOSTREGISTER_IOMEMORY: CUmemHostAlloc_flags = 4;
pub const CU_MEMHOSTREGISTER_READ_ONLY: CUmemHostAlloc_flags = 8;

/// Which default stream a looked-up entry point uses.
pub type CUdriverProcAddress_flags = c_uint;
pub const CU_GET_PROC_ADDRESS_DEFAULT: CUdriverProcAddress_flags = 0;
pub const CU_GET_PROC_ADDRESS_LEGACY_STREAM: CUdriverProcAddress_flags = 1;
pub const CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM: CUdriverProcAddress_flags = 2;

/// Ends the `extra` list of a launch.
pub const CU_LAUNCH_PARAM_END: *mut c_void = core::ptr::null_mut();
/// The next element of `extra` is the address of the packed parameters.
pub const CU_LAUNCH_PARAM_BUFFER_POINTER: *mut c_void = core::ptr::without_provenance_mut(1);
/// The next element of `extra` is the address of a `size_t` with the packed size in bytes.
pub const CU_LAUNCH_PARAM_BUFFER_SIZE: *mut c_void = core::ptr::without_provenance_mut(2);
