//! A CUDA program: one context on device 0 and one kernel.

use crate::driver::Driver;
use aquifer_cuda::*;
use std::ffi::c_void;
use std::ptr::null_mut;

/// A kernel that does nothing, with the parameters of a typical one: five pointers and four sizes, 56 bytes.
const KERNEL: &std::ffi::CStr = c".version 7.0
.target sm_52
.address_size 64
.visible .entry nothing(
  .param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d, .param .u64 e,
  .param .u32 f, .param .u32 g, .param .u32 h, .param .u32 i)
{
  ret;
}
";

/// Bytes of the kernel's parameters.
pub const PARAMETER_BYTES: usize = 56;

/// A program that is ready to launch.
pub struct Program {
    pub driver: Driver,
    function: CUfunction,
    values: [u64; 9],
}

impl Program {
    /// From nothing to a loaded kernel.
    pub fn start() -> Result<Self, String> {
        let driver = Driver::load()?;
        let (mut device, mut context, mut module, mut function) =
            (0, null_mut(), null_mut(), null_mut());
        // SAFETY: every result is valid to write to, and the image ends in a zero.
        unsafe {
            driver.check("cuInit", (driver.cuInit)(0))?;
            driver.check("cuDeviceGet", (driver.cuDeviceGet)(&mut device, 0))?;
            driver.check("cuCtxCreate", (driver.cuCtxCreate)(&mut context, 0, device))?;
            let image = KERNEL.as_ptr().cast::<c_void>();
            driver.check(
                "cuModuleLoadData",
                (driver.cuModuleLoadData)(&mut module, image),
            )?;
            let found = (driver.cuModuleGetFunction)(&mut function, module, c"nothing".as_ptr());
            driver.check("cuModuleGetFunction", found)?;
        }
        Ok(Self {
            driver,
            function,
            values: [1; 9],
        })
    }

    /// Launches the kernel `count` times; after each, `each` is called.
    #[inline]
    pub fn launch(&self, count: usize, mut each: impl FnMut()) -> Result<(), String> {
        let mut parameters: [*mut c_void; 9] =
            std::array::from_fn(|index| (&raw const self.values[index]).cast_mut().cast());
        for _ in 0..count {
            // SAFETY: the kernel takes nine parameters of at most 8 bytes, which is what the array points to.
            let result = unsafe {
                (self.driver.cuLaunchKernel)(
                    self.function,
                    64,
                    1,
                    1,
                    128,
                    1,
                    1,
                    0,
                    null_mut(),
                    parameters.as_mut_ptr(),
                    null_mut(),
                )
            };
            self.driver.check("cuLaunchKernel", result)?;
            each();
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn synchronize(&self) -> Result<(), String> {
        // SAFETY: takes nothing.
        let result = unsafe { (self.driver.cuCtxSynchronize)() };
        self.driver.check("cuCtxSynchronize", result)
    }

    /// Allocates device memory.
    pub fn allocate(&self, bytes: usize) -> Result<CUdeviceptr, String> {
        let mut address = 0;
        // SAFETY: the result is valid to write to.
        let result = unsafe { (self.driver.cuMemAlloc)(&mut address, bytes) };
        self.driver.check("cuMemAlloc", result).map(|()| address)
    }

    pub fn free(&self, address: CUdeviceptr) -> Result<(), String> {
        // SAFETY: takes a number.
        let result = unsafe { (self.driver.cuMemFree)(address) };
        self.driver.check("cuMemFree", result)
    }

    pub fn to_device(&self, address: CUdeviceptr, bytes: &[u8]) -> Result<(), String> {
        // SAFETY: reads the slice.
        let result =
            unsafe { (self.driver.cuMemcpyHtoD)(address, bytes.as_ptr().cast(), bytes.len()) };
        self.driver.check("cuMemcpyHtoD", result)
    }

    pub fn to_host(&self, bytes: &mut [u8], address: CUdeviceptr) -> Result<(), String> {
        // SAFETY: writes the slice, and waits until it is written.
        let result =
            unsafe { (self.driver.cuMemcpyDtoH)(bytes.as_mut_ptr().cast(), address, bytes.len()) };
        self.driver.check("cuMemcpyDtoH", result)
    }
}
