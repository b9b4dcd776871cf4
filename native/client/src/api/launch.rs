//! Launches: checked here, packed straight into the ring, never answered.

use super::function::function_of;
use super::stream::order;
use crate::current;
use crate::export::export;
use crate::objects::Function;
use crate::session::Outcome;
use aquifer_cuda::*;
use aquifer_protocol::generated::Launch;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::Ordering;

const COOPERATIVE: u32 = 1;
/// Longest packed parameter buffer that any GPU takes, in bytes.
const MAX_PARAMETER_BYTES: usize = 32_764;

/// The shape of a launch.
#[derive(Clone, Copy)]
struct Shape {
    grid: [u32; 3],
    block: [u32; 3],
    dynamic_shared: u32,
    flags: u32,
}

/// Where the parameters come from.
#[derive(Clone, Copy)]
enum Parameters {
    None,
    /// An array with the address of each.
    Each(*const *const u8),
    /// All of them, packed.
    Packed(*const u8, usize),
}

impl Parameters {
    /// # Safety
    /// The pointers are what cuLaunchKernel says.
    #[inline]
    unsafe fn read(
        function: &Function,
        each: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> Outcome<Self> {
        match (each.is_null(), extra.is_null()) {
            (false, true) => Ok(Self::Each(each as *const *const u8)),
            // SAFETY: the caller's promise.
            (true, false) => unsafe { Self::read_extra(extra) },
            (true, true) if function.parameters.is_empty() => Ok(Self::None),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    unsafe fn read_extra(extra: *mut *mut c_void) -> Outcome<Self> {
        let (mut buffer, mut bytes) = (std::ptr::null::<u8>(), 0);
        // A list of names and values: no name comes twice with a use, so it is soon over or it is none.
        for index in 0..4 {
            // SAFETY: the list goes on until its end was met.
            unsafe {
                match *extra.add(2 * index) {
                    CU_LAUNCH_PARAM_END => break,
                    CU_LAUNCH_PARAM_BUFFER_POINTER => {
                        buffer = (*extra.add(2 * index + 1)).cast_const().cast()
                    }
                    CU_LAUNCH_PARAM_BUFFER_SIZE => {
                        let place = (*extra.add(2 * index + 1)).cast::<usize>();
                        bytes = place.as_ref().copied().ok_or(CUDA_ERROR_INVALID_VALUE)?;
                    }
                    _ => return Err(CUDA_ERROR_INVALID_VALUE),
                }
            }
        }
        if bytes > MAX_PARAMETER_BYTES || (bytes > 0 && buffer.is_null()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        Ok(Self::Packed(buffer, bytes))
    }

    #[inline]
    fn bytes(&self, function: &Function) -> usize {
        match self {
            Self::None => 0,
            Self::Each(_) => function.parameter_bytes,
            Self::Packed(_, bytes) => *bytes,
        }
    }

    /// # Safety
    /// As for `read`; `slot` has `bytes()` bytes.
    #[inline]
    unsafe fn pack(&self, function: &Function, slot: &mut [u8]) {
        // SAFETY: each parameter lies inside `parameter_bytes` by its definition; the sources are the caller's promise.
        unsafe {
            match *self {
                Self::None => {}
                Self::Packed(buffer, bytes) => {
                    std::ptr::copy_nonoverlapping(buffer, slot.as_mut_ptr(), bytes)
                }
                Self::Each(each) => {
                    slot.fill(0);
                    for (index, (offset, size)) in function.parameters.iter().enumerate() {
                        let source = *each.add(index);
                        let target = slot.as_mut_ptr().add(*offset as usize);
                        match *size {
                            // The two sizes of almost all parameters, without a call.
                            8 => target
                                .cast::<u64>()
                                .write_unaligned(source.cast::<u64>().read_unaligned()),
                            4 => target
                                .cast::<u32>()
                                .write_unaligned(source.cast::<u32>().read_unaligned()),
                            size => std::ptr::copy_nonoverlapping(source, target, size as usize),
                        }
                    }
                }
            }
        }
    }
}

#[inline]
unsafe fn launch(
    function: CUfunction,
    shape: Shape,
    stream: CUstream,
    own: bool,
    (each, extra): (*mut *mut c_void, *mut *mut c_void),
) -> Outcome {
    let (session, context) = current::ready()?;
    let (id, entry) = function_of(session, function)?;
    let order = order(session, context, stream, own)?;
    if entry.context != 0 && entry.context != order.context.handle {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    let device = session
        .devices
        .get(order.context.vgpu as usize)
        .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    check(&shape, entry, &device.limits)?;
    // SAFETY: the caller's promise.
    let parameters = unsafe { Parameters::read(entry, each, extra)? };
    let Shape {
        grid,
        block,
        dynamic_shared,
        flags,
    } = shape;
    let message = Launch {
        context: order.context.id,
        stream: order.stream,
        function: id,
        flags,
        grid,
        block,
        dynamic_shared,
    };
    session.post_with(&message, parameters.bytes(entry), |slot| {
        // SAFETY: the slot has the size that was asked for.
        unsafe { parameters.pack(entry, slot) }
    })
}

#[inline]
fn check(shape: &Shape, function: &Function, limits: &crate::device::LaunchLimits) -> Outcome {
    let outside = |value: u32, limit: u32| value == 0 || value > limit;
    for axis in 0..3 {
        if outside(shape.grid[axis], limits.grid[axis])
            || outside(shape.block[axis], limits.block[axis])
        {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
    }
    let threads = shape.block.iter().fold(1u64, |product, size| {
        product.saturating_mul(u64::from(*size))
    });
    if threads > u64::from(limits.threads) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let of_function = |attribute: CUfunction_attribute| {
        function.attributes[attribute as usize].load(Ordering::Relaxed)
    };
    let most = of_function(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    if most > 0 && threads > most as u64 {
        return Err(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    }
    let shared = of_function(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    if shape.dynamic_shared > 0 && i64::from(shape.dynamic_shared) > i64::from(shared.max(0)) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

/// Reads the attributes of a launch: those that change nothing here are taken, the others refused.
unsafe fn flags_of(config: &CUlaunchConfig) -> Outcome<u32> {
    let mut flags = 0;
    if config.numAttrs > 0 && config.attrs.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    for index in 0..config.numAttrs as usize {
        // SAFETY: the array has `numAttrs` elements by the caller's promise, and `id` says how to read the value.
        unsafe {
            let attribute = &*config.attrs.add(index);
            match attribute.id {
                CU_LAUNCH_ATTRIBUTE_IGNORE => {}
                CU_LAUNCH_ATTRIBUTE_COOPERATIVE if attribute.value.cooperative != 0 => {
                    flags |= COOPERATIVE
                }
                CU_LAUNCH_ATTRIBUTE_COOPERATIVE => {}
                // Allows an overlap with the launch before; nothing says that there must be one.
                CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION => {}
                CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
                    if attribute.value.clusterDim == [1, 1, 1] => {}
                // Hints.
                CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION
                | CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE
                | CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
                | CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW => {}
                _ => return Err(CUDA_ERROR_NOT_SUPPORTED),
            }
        }
    }
    Ok(flags)
}

export! {
    /// Launches a function or kernel.
    fn cuLaunchKernel | cuLaunchKernel_ptsz [own](
        function: CUfunction,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        dynamic_shared: c_uint,
        stream: CUstream,
        each: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        // SAFETY: the caller's promise.
        unsafe { launch(function, Shape { grid, block, dynamic_shared, flags: 0 }, stream, own, (each, extra)) }
    }

    /// Launches all blocks at once, or none.
    fn cuLaunchCooperativeKernel | cuLaunchCooperativeKernel_ptsz [own](
        function: CUfunction,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        dynamic_shared: c_uint,
        stream: CUstream,
        each: *mut *mut c_void,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let shape = Shape { grid, block, dynamic_shared, flags: COOPERATIVE };
        // SAFETY: the caller's promise.
        unsafe { launch(function, shape, stream, own, (each, std::ptr::null_mut())) }
    }

    /// Launches with attributes.
    fn cuLaunchKernelEx | cuLaunchKernelEx_ptsz [own](
        config: *const CUlaunchConfig,
        function: CUfunction,
        each: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        // SAFETY: null or valid by the caller's promise.
        let config = unsafe { config.as_ref() }.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let shape = Shape {
            grid: [config.gridDimX, config.gridDimY, config.gridDimZ],
            block: [config.blockDimX, config.blockDimY, config.blockDimZ],
            dynamic_shared: config.sharedMemBytes,
            // SAFETY: the caller's promise.
            flags: unsafe { flags_of(config)? },
        };
        // SAFETY: the caller's promise.
        unsafe { launch(function, shape, config.hStream, own, (each, extra)) }
    }
}
