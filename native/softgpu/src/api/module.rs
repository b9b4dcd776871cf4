//! Modules.

use std::ffi::{c_uint, c_void};

use aquifer_cuda::*;

use super::calls::{Out, Text, calls};
use super::load_options::{Options, load_file, load_image};
use crate::context::{current, initialized};
use crate::module::{find, load_text, unload};
use crate::outcome::{Outcome, require};

fn load(out: &Out<CUmodule>, image: *const c_void, options: &Options) -> Outcome {
    out.check()?;
    let context = current()?;
    // SAFETY: the C caller answers for the image and the options.
    let handle = unsafe { load_image(image, options, |text| load_text(context, &text)) }?;
    out.give(std::ptr::without_provenance_mut(handle))
}

calls! { TABLE;
    fn cuModuleLoadData cuModuleLoadFatBinary = (out: Out<CUmodule>, image: *const c_void) {
        load(&out, image, &Options::NONE)
    }

    fn cuModuleLoadDataEx = (
        out: Out<CUmodule>,
        image: *const c_void,
        count: c_uint,
        options: *mut CUjit_option,
        values: *mut *mut c_void,
    ) {
        load(&out, image, &Options { options, values, count })
    }

    fn cuModuleLoad = (out: Out<CUmodule>, path: Text) {
        out.check()?;
        let context = current()?;
        // SAFETY: there are no options.
        let handle = unsafe { load_file(path.utf8()?, &Options::NONE, |text| load_text(context, &text)) }?;
        out.give(std::ptr::without_provenance_mut(handle))
    }

    fn cuModuleUnload = (module: CUmodule) {
        initialized()?;
        unload(module)
    }

    fn cuModuleGetFunction = (out: Out<CUfunction>, module: CUmodule, name: Text) {
        out.check()?;
        initialized()?;
        let module = find(module)?;
        module.context.check()?;
        out.give(std::ptr::without_provenance_mut(module.function(name.get()?)?.handle))
    }

    fn cuModuleGetGlobal_v2 = (address: Out<CUdeviceptr>, size: Out<usize>, module: CUmodule, name: Text) {
        initialized()?;
        let module = find(module)?;
        module.context.check()?;
        let (start, bytes) = module.global(name.get()?)?;
        address.offer(start);
        size.offer(bytes as usize);
        Ok(())
    }

    fn cuModuleGetLoadingMode = (mode: Out<CUmoduleLoadingMode>) {
        initialized()?;
        mode.give(CU_MODULE_EAGER_LOADING)
    }

    fn cuModuleGetFunctionCount = (count: Out<c_uint>, module: CUmodule) {
        initialized()?;
        count.give(find(module)?.all_functions().len() as c_uint)
    }

    fn cuModuleEnumerateFunctions = (functions: Out<CUfunction>, room: c_uint, module: CUmodule) {
        initialized()?;
        let all = find(module)?.all_functions();
        require(room != 0)?;
        functions.give_all(all.into_iter().map(std::ptr::without_provenance_mut), room as usize)
    }
}
