//! Launches: checking them, and in null-kernel mode nothing more.

use std::ffi::c_void;

use aquifer_cuda::*;

use crate::device_facts::{BLOCK_MAX, GRID_MAX, THREADS_PER_BLOCK};
use crate::driver;
use crate::function::{Facts, Function};
use crate::kernel_run::KernelRun;
use crate::library::KERNELS;
use crate::operation::Operation;
use crate::outcome::{Outcome, require};
use crate::stream::Stream;

/// Size of a launch.
#[derive(Clone, Copy)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
}

/// Where a caller keeps the parameters.
#[derive(Clone, Copy)]
pub struct Parameters {
    pub each: *mut *mut c_void,
    pub extra: *mut *mut c_void,
}

/// The function that a caller means: a function, or a kernel of a library in the stream's context.
#[inline]
pub fn function_of(handle: CUfunction, stream: &Stream) -> Outcome<&'static Function> {
    if let Some(function) = crate::function::FUNCTIONS.get(handle.addr()) {
        return Ok(function);
    }
    KERNELS
        .get(handle.addr())
        .ok_or(CUDA_ERROR_INVALID_HANDLE)?
        .function(stream.context())
}

/// Launches `function` on `stream`.
///
/// # Safety
/// The parameters must be laid out as `cuLaunchKernel` wants them.
#[inline]
pub unsafe fn launch(
    function: &'static Function,
    stream: &'static Stream,
    shape: Shape,
    parameters: Parameters,
) -> Outcome {
    let context = function.context;
    if !std::ptr::eq(context, stream.context()) {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    context.check()?;
    check_shape(function, &shape)?;
    // SAFETY: as the caller promises.
    let packed = unsafe { find_parameters(&function.facts, parameters)? };
    context.device.shared.count_launch(context.row);
    if driver::started().is_some_and(|driver| driver.settings.null_kernels) && stream.is_clear() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    let params = unsafe { pack(&function.facts, packed) };
    let run = KernelRun {
        code: function.code()?,
        kernel: function.index,
        grid: shape.grid,
        block: shape.block,
        dynamic_shared_bytes: shape.dynamic_shared_bytes,
        params,
    };
    stream.submit(Operation::Kernel(Box::new(run))).map(|_| ())
}

#[inline]
fn check_shape(function: &Function, shape: &Shape) -> Outcome {
    let [x, y, z] = shape.block;
    require(
        x != 0 && y != 0 && z != 0 && x <= BLOCK_MAX[0] && y <= BLOCK_MAX[1] && z <= BLOCK_MAX[2],
    )?;
    let threads = x * y * z; // at most 2^26
    require(threads <= THREADS_PER_BLOCK)?;
    let [x, y, z] = shape.grid;
    require(
        x != 0 && y != 0 && z != 0 && x <= GRID_MAX[0] && y <= GRID_MAX[1] && z <= GRID_MAX[2],
    )?;
    let most = function
        .wishes
        .dynamic_shared
        .load(std::sync::atomic::Ordering::Relaxed);
    require(shape.dynamic_shared_bytes <= most)?;
    if threads > function.facts.max_threads {
        return Err(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    }
    match function.facts.required_block {
        Some(required) if required != shape.block => Err(CUDA_ERROR_INVALID_VALUE),
        _ => Ok(()),
    }
}

enum Packed {
    Nothing,
    Each(*mut *mut c_void),
    Buffer(*const u8),
}

#[inline]
unsafe fn find_parameters(facts: &Facts, parameters: Parameters) -> Outcome<Packed> {
    let Parameters { each, extra } = parameters;
    require(each.is_null() || extra.is_null())?;
    if !extra.is_null() {
        // SAFETY: as the caller promises.
        return unsafe { find_extra(facts, extra) };
    }
    if facts.params.is_empty() {
        return Ok(Packed::Nothing);
    }
    require(!each.is_null())?;
    for index in 0..facts.params.len() {
        // SAFETY: the array has a pointer for each parameter, as the caller promises.
        require(!unsafe { *each.add(index) }.is_null())?;
    }
    Ok(Packed::Each(each))
}

#[cold]
unsafe fn find_extra(facts: &Facts, extra: *mut *mut c_void) -> Outcome<Packed> {
    let (mut buffer, mut size) = (std::ptr::null::<u8>(), None);
    // A list that does not end after its two possible keys is refused rather than followed.
    for pair in 0..3 {
        // SAFETY: the list has a key here, since the one before was not the end.
        let key = unsafe { *extra.add(pair * 2) };
        if key == CU_LAUNCH_PARAM_END {
            require(facts.params.is_empty() || !buffer.is_null())?;
            require(size.unwrap_or(0) >= facts.param_bytes())?;
            return Ok(if facts.params.is_empty() {
                Packed::Nothing
            } else {
                Packed::Buffer(buffer)
            });
        }
        // SAFETY: a key that is not the end has a value.
        let value = unsafe { *extra.add(pair * 2 + 1) };
        if key == CU_LAUNCH_PARAM_BUFFER_POINTER {
            buffer = value.cast();
        } else if key == CU_LAUNCH_PARAM_BUFFER_SIZE {
            require(!value.is_null())?;
            // SAFETY: the value points to a size_t.
            size = Some(unsafe { value.cast::<usize>().read_unaligned() });
        } else {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
    }
    Err(CUDA_ERROR_INVALID_VALUE)
}

unsafe fn pack(facts: &Facts, packed: Packed) -> Vec<u8> {
    let mut bytes = vec![0; facts.param_bytes()];
    match packed {
        Packed::Nothing => {}
        // SAFETY: the buffer has at least as many bytes, which was checked.
        Packed::Buffer(buffer) => unsafe {
            bytes
                .as_mut_ptr()
                .copy_from_nonoverlapping(buffer, facts.param_bytes())
        },
        Packed::Each(each) => {
            for (index, (offset, size)) in facts.params.iter().enumerate() {
                let Some(slot) = bytes.get_mut(*offset as usize..(*offset + *size) as usize) else {
                    continue;
                };
                // SAFETY: each pointer was checked, and points to a value of the parameter's size.
                unsafe {
                    slot.as_mut_ptr()
                        .copy_from_nonoverlapping((*each.add(index)).cast(), *size as usize)
                };
            }
        }
    }
    bytes
}
