//! Devices.

use std::ffi::{c_char, c_int, c_uint};

use aquifer_cuda::*;

use super::calls::{Out, Text, calls};
use crate::context::initialized;
use crate::device_facts;
use crate::outcome::{Outcome, require};

/// Writes a string into a caller's buffer, cut where it does not fit.
pub fn give_text(buffer: &Out<c_char>, length: usize, text: &str) -> Outcome {
    require(length != 0)?;
    let bytes = text.bytes().take(length - 1).chain([0]);
    buffer.give_all(bytes.map(|byte| byte as c_char), length)
}

calls! { TABLE;
    fn cuDeviceGetCount = (count: Out<c_int>) {
        count.give(initialized()?.devices.len() as c_int)
    }

    fn cuDeviceGet = (device: Out<CUdevice>, ordinal: c_int) {
        device.check()?;
        initialized()?.device(ordinal)?;
        device.give(ordinal)
    }

    fn cuDeviceGetName = (name: Out<c_char>, length: c_int, device: CUdevice) {
        let driver = initialized()?;
        driver.device(device)?;
        give_text(&name, usize::try_from(length).unwrap_or(0), &driver.settings.model)
    }

    fn cuDeviceGetUuid cuDeviceGetUuid_v2 = (uuid: Out<CUuuid>, device: CUdevice) {
        uuid.give(CUuuid { bytes: initialized()?.device(device)?.identity.uuid })
    }

    fn cuDeviceGetLuid = (luid: Out<c_char>, mask: Out<c_uint>, device: CUdevice) {
        luid.check()?;
        mask.check()?;
        initialized()?.device(device)?;
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }

    fn cuDeviceTotalMem_v2 = (bytes: Out<usize>, device: CUdevice) {
        bytes.give(initialized()?.device(device)?.memory_bytes as usize)
    }

    fn cuDeviceGetAttribute = (value: Out<c_int>, attribute: CUdevice_attribute, device: CUdevice) {
        value.check()?;
        let driver = initialized()?;
        value.give(device_facts::attribute(&driver.settings, driver.device(device)?, attribute)?)
    }

    fn cuDeviceComputeCapability = (major: Out<c_int>, minor: Out<c_int>, device: CUdevice) {
        let driver = initialized()?;
        driver.device(device)?;
        major.give(driver.settings.compute_major as c_int)?;
        minor.give(driver.settings.compute_minor as c_int)
    }

    fn cuDeviceGetProperties = (properties: Out<CUdevprop>, device: CUdevice) {
        let driver = initialized()?;
        let device = driver.device(device)?;
        let fact = |attribute| device_facts::attribute(&driver.settings, device, attribute);
        properties.give(CUdevprop {
            maxThreadsPerBlock: fact(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            maxThreadsDim: device_facts::BLOCK_MAX.map(|size| size as c_int),
            maxGridSize: device_facts::GRID_MAX.map(|size| size as c_int),
            sharedMemPerBlock: fact(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
            totalConstantMemory: fact(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY)?,
            SIMDWidth: fact(CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
            memPitch: fact(CU_DEVICE_ATTRIBUTE_MAX_PITCH)?,
            regsPerBlock: fact(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK)?,
            clockRate: fact(CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            textureAlign: fact(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT)?,
        })
    }

    fn cuDeviceGetPCIBusId = (text: Out<c_char>, length: c_int, device: CUdevice) {
        let device = initialized()?.device(device)?;
        let room = usize::try_from(length).unwrap_or(0);
        require(room >= 13)?;
        give_text(&text, room, &device.identity.pci_text())
    }

    fn cuDeviceGetByPCIBusId = (found: Out<CUdevice>, text: Text) {
        found.check()?;
        let name = text.utf8()?;
        let device = initialized()?.devices.iter().find(|device| device.identity.is_pci(name));
        found.give(device.ok_or(CUDA_ERROR_INVALID_DEVICE)?.index as CUdevice)
    }

    fn cuDeviceCanAccessPeer = (can: Out<c_int>, device: CUdevice, peer: CUdevice) {
        let driver = initialized()?;
        driver.device(device)?;
        driver.device(peer)?;
        can.give(0)
    }

    fn cuDeviceGetExecAffinitySupport = (supported: Out<c_int>, _kind: c_uint, device: CUdevice) {
        initialized()?.device(device)?;
        supported.give(0)
    }
}
