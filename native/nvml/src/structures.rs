//! Structures and sizes of NVML. A versioned structure carries `size | version << 24` in its first word.

use core::ffi::{c_char, c_uint, c_ulonglong};

/// What an `nvmlDevice_t` points to; never read through.
#[repr(C)]
pub struct nvmlDevice_st {
    _private: [u8; 0],
}
/// A device.
pub type nvmlDevice_t = *mut nvmlDevice_st;

/// Bytes that hold any device name, its end included.
pub const NVML_DEVICE_NAME_V2_BUFFER_SIZE: usize = 96;
/// Bytes that hold any device UUID, its end included.
pub const NVML_DEVICE_UUID_V2_BUFFER_SIZE: usize = 96;
/// Bytes of `nvmlPciInfo_t::busId`.
pub const NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE: usize = 32;
/// Bytes of `nvmlPciInfo_t::busIdLegacy`.
pub const NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE: usize = 16;
/// Memory or instance that is not known for a process.
pub const NVML_VALUE_NOT_AVAILABLE: c_ulonglong = u64::MAX;

/// Device memory in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlMemory_t {
    pub total: c_ulonglong,
    pub free: c_ulonglong,
    pub used: c_ulonglong,
}

/// Device memory in bytes, the driver's own part apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlMemory_v2_t {
    pub version: c_uint,
    pub total: c_ulonglong,
    pub reserved: c_ulonglong,
    pub free: c_ulonglong,
    pub used: c_ulonglong,
}

/// `nvmlMemory_v2_t::version` as a caller must set it.
pub const nvmlMemory_v2: c_uint = size_of::<nvmlMemory_v2_t>() as c_uint | 2 << 24;

/// Percent of the last sample period in which kernels ran, and in which memory was used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlUtilization_t {
    pub gpu: c_uint,
    pub memory: c_uint,
}

/// Where a device sits on the PCI bus (version 3).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct nvmlPciInfo_t {
    pub busIdLegacy: [c_char; NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE],
    pub domain: c_uint,
    pub bus: c_uint,
    pub device: c_uint,
    pub pciDeviceId: c_uint,
    pub pciSubSystemId: c_uint,
    pub busId: [c_char; NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE],
}

/// A process that uses a device (versions 2 and 3).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlProcessInfo_t {
    pub pid: c_uint,
    pub usedGpuMemory: c_ulonglong,
    pub gpuInstanceId: c_uint,
    pub computeInstanceId: c_uint,
}

/// A process that uses a device (version 1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlProcessInfo_v1_t {
    pub pid: c_uint,
    pub usedGpuMemory: c_ulonglong,
}

/// What a device (or a part of one) consists of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct nvmlDeviceAttributes_t {
    pub multiprocessorCount: c_uint,
    pub sharedCopyEngineCount: c_uint,
    pub sharedDecoderCount: c_uint,
    pub sharedEncoderCount: c_uint,
    pub sharedJpegCount: c_uint,
    pub sharedOfaCount: c_uint,
    pub gpuInstanceSliceCount: c_uint,
    pub computeInstanceSliceCount: c_uint,
    pub memorySizeMB: c_ulonglong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_c_interface() {
        assert_eq!(nvmlMemory_v2, 0x0200_0028);
        assert_eq!(size_of::<nvmlPciInfo_t>(), 68);
        assert_eq!(size_of::<nvmlProcessInfo_t>(), 24);
        assert_eq!(size_of::<nvmlDeviceAttributes_t>(), 40);
    }
}
