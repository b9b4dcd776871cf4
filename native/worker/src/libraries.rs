//! Libraries: code that is not bound to a context yet, and its kernels.

use crate::code::{Facts, Logs, Module, Owner, names, parameters};
use crate::driver::check;
use crate::handles::MAX_HANDLES;
use crate::image;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use core::ffi::{c_int, c_uint, c_void};
use std::ffi::CString;

/// A loaded library.
pub struct Library {
    raw: CUlibrary,
    charged: u64,
}

impl Session {
    pub fn library_load(
        &mut self,
        call: &LibraryLoad,
        tail: &[u8],
    ) -> (Result<(), CUresult>, Logs) {
        let image = self.sources.take(call.source);
        let mut logs = Logs::default();
        let outcome = (|| {
            let image = image.ok_or(CUDA_ERROR_INVALID_IMAGE)?;
            self.libraries.check_free(call.library)?;
            let load = self
                .driver
                .cuLibraryLoadData
                .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
            let mut options = image::Options::read(tail, call.options as usize)?;
            let gpu = self.vgpus.first().ok_or(CUDA_ERROR_INVALID_DEVICE)?.gpu;
            let charged = self.charged_load(&[gpu], image.len() - image::PADDING, |_| {
                let mut raw = std::ptr::null_mut();
                let none: *mut c_void = std::ptr::null_mut();
                let (count, names, values) = options.parts();
                // SAFETY: as for modules. Library options speak of the caller's pointers and are not handed on.
                let result = unsafe {
                    load(
                        &mut raw,
                        image.as_ptr().cast(),
                        names,
                        values,
                        count,
                        none.cast(),
                        none.cast(),
                        0,
                    )
                };
                logs = options.logs();
                check(result)?;
                Ok(raw)
            });
            let (raw, charged) = charged?;
            self.libraries
                .insert(call.library, Library { raw, charged });
            Ok(())
        })();
        (outcome, logs)
    }

    pub fn library_unload(&mut self, id: u32) -> Result<(), CUresult> {
        let unload = self
            .driver
            .cuLibraryUnload
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        self.leave_meters();
        let entry = self.libraries.remove(id).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let modules: Vec<u32> = self
            .modules
            .iter()
            .filter(|it| it.1.library == Some(id))
            .map(|it| it.0)
            .collect();
        self.functions.drain_if(|it| match it.owner {
            Owner::Library(owner) => owner == id,
            Owner::Module(owner) => modules.contains(&owner),
        });
        for module in modules {
            self.memory.forget_globals(Owner::Module(module).tag());
            self.modules.remove(module);
        }
        self.memory.forget_globals(Owner::Library(id).tag());
        if let Some(vgpu) = self.vgpus.first() {
            self.gpus[vgpu.gpu].ledger.release(entry.charged);
        }
        // SAFETY: taken out of the tables: nothing of it is used any more.
        check(unsafe { unload(entry.raw) })
    }

    pub fn library_get_kernel(
        &mut self,
        call: &LibraryGetKernel,
        name: &[u8],
    ) -> Result<Facts, CUresult> {
        let name = CString::new(name).map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let library = self
            .libraries
            .get(call.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?
            .raw;
        let gpu = self
            .vgpus
            .get(call.vgpu as usize)
            .ok_or(CUDA_ERROR_INVALID_DEVICE)?
            .gpu;
        self.functions.check_free(call.function)?;
        let driver = self.driver;
        let (Some(find), Some(attribute), Some(layout)) = (
            driver.cuLibraryGetKernel,
            driver.cuKernelGetAttribute,
            driver.cuKernelGetParamInfo,
        ) else {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        };
        let device = self.gpus[gpu].device;
        self.make_current(self.gpus[gpu].primary)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to, the library is alive, the name ends in a zero byte.
        check(unsafe { find(&mut raw, library, name.as_ptr()) })?;
        let attributes = std::array::from_fn(|number| {
            let mut value: c_int = 0;
            // SAFETY: the result is valid to write to; the kernel is alive.
            unsafe { attribute(&mut value, number as CUfunction_attribute, raw, device) };
            value
        });
        // SAFETY: both results are valid to write to; the kernel is alive.
        let parameters =
            parameters(|index, offset, size| unsafe { layout(raw, index, offset, size) });
        Ok(self.insert_function(
            call.function,
            raw.cast(),
            Owner::Library(call.library),
            true,
            (attributes, parameters),
        ))
    }

    pub fn library_get_module(&mut self, call: &LibraryGetModule) -> Result<(), CUresult> {
        let library = self
            .libraries
            .get(call.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?
            .raw;
        let find = self
            .driver
            .cuLibraryGetModule
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        self.modules.check_free(call.module)?;
        self.enter(call.context)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to; the library is alive.
        check(unsafe { find(&mut raw, library) })?;
        self.modules.insert(
            call.module,
            Module {
                raw,
                context: call.context,
                library: Some(call.library),
                charged: 0,
            },
        );
        Ok(())
    }

    pub fn kernel_get_function(&mut self, call: &KernelGetFunction) -> Result<Facts, CUresult> {
        let entry = self
            .functions
            .get(call.kernel)
            .filter(|it| it.kernel)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let (kernel, owner): (CUkernel, Owner) = (entry.raw.cast(), entry.owner);
        let find = self
            .driver
            .cuKernelGetFunction
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        self.functions.check_free(call.function)?;
        self.enter(call.context)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the result is valid to write to; the kernel is alive.
        check(unsafe { find(&mut raw, kernel) })?;
        self.add_function(call.function, raw, owner)
    }

    pub fn library_get_global(
        &mut self,
        call: &LibraryGetGlobal,
        name: &[u8],
    ) -> Result<(u64, u64), CUresult> {
        let name = CString::new(name).map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let library = self
            .libraries
            .get(call.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?
            .raw;
        let find = self
            .driver
            .cuLibraryGetGlobal
            .ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        self.enter(call.context)?;
        let (mut address, mut bytes) = (0, 0);
        // SAFETY: results are valid to write to, the library is alive, the name ends in a zero byte.
        check(unsafe { find(&mut address, &mut bytes, library, name.as_ptr()) })?;
        self.memory
            .add_global(Owner::Library(call.library).tag(), address, bytes as u64)?;
        Ok((address, bytes as u64))
    }

    pub fn library_kernels(&mut self, call: &LibraryKernels) -> Result<(u32, Vec<u8>), CUresult> {
        let library = self
            .libraries
            .get(call.library)
            .ok_or(CUDA_ERROR_INVALID_HANDLE)?
            .raw;
        let driver = self.driver;
        let (Some(count), Some(list), Some(name)) = (
            driver.cuLibraryGetKernelCount,
            driver.cuLibraryEnumerateKernels,
            driver.cuKernelGetName,
        ) else {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        };
        let mut total: c_uint = 0;
        // SAFETY: the result is valid to write to; the library is alive.
        check(unsafe { count(&mut total, library) })?;
        let mut all: Vec<CUkernel> = vec![std::ptr::null_mut(); total.min(MAX_HANDLES) as usize];
        // SAFETY: the array has as many entries as are asked for.
        check(unsafe { list(all.as_mut_ptr(), all.len() as c_uint, library) })?;
        // SAFETY: the result is valid to write to; the kernel is alive.
        Ok((
            total,
            names(&all, call.first, |kernel, text| unsafe {
                name(text, kernel)
            }),
        ))
    }
}
