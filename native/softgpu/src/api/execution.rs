//! Launches.

use std::ffi::{c_uint, c_void};

use aquifer_cuda::*;

use super::calls::{In, stream_calls};
use crate::context::initialized;
use crate::driver;
use crate::launch::{Parameters, Shape, function_of, launch};
use crate::outcome::{Outcome, require};
use crate::stream::{Default, Stream};

/// More attributes than exist are not a list.
const ATTRIBUTES_MAX: c_uint = 64;

#[inline]
fn start(
    function: CUfunction,
    shape: Shape,
    stream: CUstream,
    default: Default,
    parameters: Parameters,
) -> Outcome {
    let stream = match Stream::find(stream, default) {
        Ok(stream) => stream,
        Err(result) => return initialized().and(Err(result)),
    };
    let function = function_of(function, stream)?;
    // SAFETY: the C caller answers for the parameters.
    unsafe { launch(function, stream, shape, parameters) }
}

/// All blocks of a cooperative launch run at the same time; here that is one block per host thread of a kernel.
fn fits_together(grid: [c_uint; 3]) -> Outcome {
    let threads = driver::started().map_or(0, |driver| driver.settings.threads);
    let blocks = grid
        .iter()
        .try_fold(1u64, |product, size| product.checked_mul(u64::from(*size)));
    if blocks.is_some_and(|blocks| blocks <= threads as u64) {
        Ok(())
    } else {
        Err(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE)
    }
}

/// Takes the attributes that a software GPU has, and those that are only advice.
fn check_attributes(config: &CUlaunchConfig, grid: [c_uint; 3]) -> Outcome {
    require(
        config.numAttrs <= ATTRIBUTES_MAX && (config.numAttrs == 0 || !config.attrs.is_null()),
    )?;
    for index in 0..config.numAttrs as usize {
        // SAFETY: the list has as many attributes as the C caller says.
        let attribute = unsafe { config.attrs.add(index).read_unaligned() };
        match attribute.id {
            CU_LAUNCH_ATTRIBUTE_COOPERATIVE => {
                // SAFETY: the id says which reading of the value is right.
                if unsafe { attribute.value.cooperative } != 0 {
                    fits_together(grid)?;
                }
            }
            CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            | CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION => {
                // SAFETY: as above.
                let size = unsafe { attribute.value.clusterDim };
                if size.iter().any(|side| *side > 1) {
                    return Err(CUDA_ERROR_NOT_SUPPORTED);
                }
            }
            CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT
            | CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT
            | CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE => {
                return Err(CUDA_ERROR_NOT_SUPPORTED);
            }
            0..=14 => {}
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
    }
    Ok(())
}

stream_calls! { TABLE default;
    fn cuLaunchKernel cuLaunchKernel_ptsz = (
        function: CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared_bytes: c_uint,
        stream: CUstream,
        each: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let shape = Shape { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], dynamic_shared_bytes };
        start(function, shape, stream, default, Parameters { each, extra })
    }

    fn cuLaunchCooperativeKernel cuLaunchCooperativeKernel_ptsz = (
        function: CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared_bytes: c_uint,
        stream: CUstream,
        each: *mut *mut c_void,
    ) {
        let grid = [grid_x, grid_y, grid_z];
        initialized()?;
        fits_together(grid)?;
        let shape = Shape { grid, block: [block_x, block_y, block_z], dynamic_shared_bytes };
        start(function, shape, stream, default, Parameters { each, extra: std::ptr::null_mut() })
    }

    fn cuLaunchKernelEx cuLaunchKernelEx_ptsz = (
        config: In<CUlaunchConfig>,
        function: CUfunction,
        each: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let config = config.get()?;
        let grid = [config.gridDimX, config.gridDimY, config.gridDimZ];
        check_attributes(&config, grid)?;
        let block = [config.blockDimX, config.blockDimY, config.blockDimZ];
        let shape = Shape { grid, block, dynamic_shared_bytes: config.sharedMemBytes };
        start(function, shape, config.hStream, default, Parameters { each, extra })
    }
}
