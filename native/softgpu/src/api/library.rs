//! Libraries and their kernels.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::atomic::Ordering::Relaxed;

use aquifer_cuda::*;

use super::calls::{Out, Text, calls};
use super::function::param_info;
use super::load_options::{Options, load_file, load_image};
use crate::context::{current, initialized};
use crate::library::{self, Kernel, find, unload};
use crate::module::target_sm;
use crate::outcome::require;

/// More library options than exist are not a list.
const OPTIONS_MAX: c_uint = 16;

calls! { TABLE;
    fn cuLibraryLoadData = (
        out: Out<CUlibrary>,
        code: *const c_void,
        options: *mut CUjit_option,
        values: *mut *mut c_void,
        count: c_uint,
        _library_options: *mut CUlibraryOption,
        _library_values: *mut *mut c_void,
        library_count: c_uint,
    ) {
        out.check()?;
        initialized()?;
        require(library_count <= OPTIONS_MAX)?;
        // SAFETY: the C caller answers for the code and the options.
        let handle = unsafe { load_image(code, &Options { options, values, count }, library::load) }?;
        out.give(std::ptr::without_provenance_mut(handle))
    }

    fn cuLibraryLoadFromFile = (
        out: Out<CUlibrary>,
        path: Text,
        options: *mut CUjit_option,
        values: *mut *mut c_void,
        count: c_uint,
        _library_options: *mut CUlibraryOption,
        _library_values: *mut *mut c_void,
        library_count: c_uint,
    ) {
        out.check()?;
        initialized()?;
        require(library_count <= OPTIONS_MAX)?;
        // SAFETY: the C caller answers for the options.
        let handle = unsafe { load_file(path.utf8()?, &Options { options, values, count }, library::load) }?;
        out.give(std::ptr::without_provenance_mut(handle))
    }

    fn cuLibraryUnload = (library: CUlibrary) {
        initialized()?;
        unload(library)
    }

    fn cuLibraryGetKernel = (out: Out<CUkernel>, library: CUlibrary, name: Text) {
        out.check()?;
        initialized()?;
        out.give(std::ptr::without_provenance_mut(find(library)?.kernel(name.get()?)?))
    }

    fn cuLibraryGetKernelCount = (count: Out<c_uint>, library: CUlibrary) {
        initialized()?;
        count.give(find(library)?.kernels().len() as c_uint)
    }

    fn cuLibraryEnumerateKernels = (kernels: Out<CUkernel>, room: c_uint, library: CUlibrary) {
        initialized()?;
        let all = find(library)?.kernels();
        require(room != 0)?;
        kernels.give_all(all.into_iter().map(std::ptr::without_provenance_mut), room as usize)
    }

    fn cuLibraryGetModule = (out: Out<CUmodule>, library: CUlibrary) {
        out.check()?;
        let (handle, _) = find(library).and_then(|library| library.module(current()?))?;
        out.give(std::ptr::without_provenance_mut(handle))
    }

    fn cuLibraryGetGlobal = (address: Out<CUdeviceptr>, size: Out<usize>, library: CUlibrary, name: Text) {
        let context = current()?;
        let (_, module) = find(library)?.module(context)?;
        let (start, bytes) = module.global(name.get()?)?;
        address.offer(start);
        size.offer(bytes as usize);
        Ok(())
    }

    fn cuKernelGetFunction = (out: Out<CUfunction>, kernel: CUkernel) {
        out.check()?;
        let context = current()?;
        out.give(std::ptr::without_provenance_mut(Kernel::find(kernel)?.function(context)?.handle))
    }

    fn cuKernelGetLibrary = (out: Out<CUlibrary>, kernel: CUkernel) {
        initialized()?;
        out.give(std::ptr::without_provenance_mut(Kernel::find(kernel)?.library))
    }

    fn cuKernelGetName = (name: Out<*const c_char>, kernel: CUkernel) {
        initialized()?;
        name.give(Kernel::find(kernel)?.facts.name.as_ptr())
    }

    fn cuKernelGetAttribute = (value: Out<c_int>, attribute: CUfunction_attribute, kernel: CUkernel, device: CUdevice) {
        value.check()?;
        initialized()?.device(device)?;
        let kernel = Kernel::find(kernel)?;
        value.give(kernel.facts.attribute(&kernel.wishes, attribute, target_sm() as c_int)?)
    }

    fn cuKernelSetAttribute = (attribute: CUfunction_attribute, value: c_int, kernel: CUkernel, device: CUdevice) {
        initialized()?.device(device)?;
        Kernel::find(kernel)?.set_attribute(attribute, value)
    }

    fn cuKernelSetCacheConfig = (kernel: CUkernel, config: CUfunc_cache, device: CUdevice) {
        initialized()?.device(device)?;
        require(config <= CU_FUNC_CACHE_PREFER_EQUAL)?;
        Kernel::find(kernel)?.wishes.cache_config.store(config, Relaxed);
        Ok(())
    }

    fn cuKernelGetParamInfo = (kernel: CUkernel, index: usize, offset: Out<usize>, size: Out<usize>) {
        initialized()?;
        param_info(&Kernel::find(kernel)?.facts, index, &offset, &size)
    }
}
