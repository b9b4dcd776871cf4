//! Functions and their attributes.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::atomic::Ordering::Relaxed;

use aquifer_cuda::*;

use super::calls::{Out, calls};
use crate::context::{current, initialized};
use crate::function::{FUNCTIONS, Facts, Function};
use crate::library::KERNELS;
use crate::module::target_sm;
use crate::outcome::{Outcome, require};

const LOADED: c_uint = 1;

/// The function of a handle; a kernel is taken for its function in the current context.
pub fn find(handle: CUfunction) -> Outcome<&'static Function> {
    initialized()?;
    if let Some(function) = FUNCTIONS.get(handle.addr()) {
        return Ok(function);
    }
    let kernel = KERNELS
        .get(handle.addr())
        .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
    kernel.function(current()?)
}

/// Offset and size of a parameter, in bytes.
pub fn param_info(facts: &Facts, index: usize, offset: &Out<usize>, size: &Out<usize>) -> Outcome {
    let (start, bytes) = facts.params.get(index).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    offset.give(*start as usize)?;
    size.offer(*bytes as usize);
    Ok(())
}

calls! { TABLE;
    fn cuFuncGetAttribute = (value: Out<c_int>, attribute: CUfunction_attribute, function: CUfunction) {
        value.check()?;
        let function = find(function)?;
        value.give(function.facts.attribute(&function.wishes, attribute, target_sm() as c_int)?)
    }

    fn cuFuncSetAttribute = (function: CUfunction, attribute: CUfunction_attribute, value: c_int) {
        let function = find(function)?;
        function.facts.set_attribute(&function.wishes, attribute, value)
    }

    fn cuFuncSetCacheConfig = (function: CUfunction, config: CUfunc_cache) {
        require(config <= CU_FUNC_CACHE_PREFER_EQUAL)?;
        find(function)?.wishes.cache_config.store(config, Relaxed);
        Ok(())
    }

    fn cuFuncSetSharedMemConfig = (function: CUfunction, config: CUsharedconfig) {
        require(config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)?;
        find(function).map(|_| ())
    }

    fn cuFuncGetModule = (module: Out<CUmodule>, function: CUfunction) {
        module.check()?;
        module.give(std::ptr::without_provenance_mut(find(function)?.module))
    }

    fn cuFuncGetName = (name: Out<*const c_char>, function: CUfunction) {
        name.check()?;
        name.give(find(function)?.facts.name.as_ptr())
    }

    fn cuFuncGetParamInfo = (function: CUfunction, index: usize, offset: Out<usize>, size: Out<usize>) {
        param_info(&find(function)?.facts, index, &offset, &size)
    }

    fn cuFuncIsLoaded = (state: Out<c_uint>, function: CUfunction) {
        state.check()?;
        find(function)?;
        state.give(LOADED)
    }

    fn cuFuncLoad = (function: CUfunction) {
        find(function).map(|_| ())
    }
}
