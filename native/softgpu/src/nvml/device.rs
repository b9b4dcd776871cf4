//! What a device is.

use std::ffi::{c_char, c_int, c_uint};

use aquifer_nvml::*;

use super::calls::{argument, find, initialized, nvml_calls};
use super::system::give_whole;
use crate::api::Out;
use crate::device_facts::PROCESSORS;
use crate::identity::PCI_DEVICE_ID;

const COMPUTE_MODE_DEFAULT: c_uint = 0;
const BRAND_UNKNOWN: c_uint = 0;

/// A string in a field of fixed size, its end included.
fn field<const N: usize>(text: &str) -> [c_char; N] {
    let mut bytes = [0; N];
    for (slot, byte) in bytes.iter_mut().take(N - 1).zip(text.bytes()) {
        *slot = byte as c_char;
    }
    bytes
}

nvml_calls! {
    fn nvmlDeviceGetName = (device: nvmlDevice_t, text: Out<c_char>, length: c_uint) {
        find(device)?;
        give_whole(&text, length, &initialized()?.settings.model)
    }

    fn nvmlDeviceGetUUID = (device: nvmlDevice_t, text: Out<c_char>, length: c_uint) {
        give_whole(&text, length, &find(device)?.identity.uuid_text())
    }

    fn nvmlDeviceGetIndex = (device: nvmlDevice_t, index: Out<c_uint>) {
        argument(index.give(find(device)?.index as c_uint))
    }

    fn nvmlDeviceGetMinorNumber = (device: nvmlDevice_t, minor: Out<c_uint>) {
        argument(minor.give(find(device)?.index as c_uint))
    }

    fn nvmlDeviceGetPciInfo_v3 = (device: nvmlDevice_t, pci: Out<nvmlPciInfo_t>) {
        let identity = &find(device)?.identity;
        let short = identity.pci_text();
        argument(pci.give(nvmlPciInfo_t {
            busIdLegacy: field(&short),
            domain: 0,
            bus: identity.pci_bus,
            device: 0,
            pciDeviceId: PCI_DEVICE_ID,
            pciSubSystemId: PCI_DEVICE_ID,
            busId: field(&format!("0000{short}")),
        }))
    }

    fn nvmlDeviceGetCudaComputeCapability = (device: nvmlDevice_t, major: Out<c_int>, minor: Out<c_int>) {
        find(device)?;
        let settings = &initialized()?.settings;
        argument(major.give(settings.compute_major as c_int))?;
        argument(minor.give(settings.compute_minor as c_int))
    }

    fn nvmlDeviceGetComputeMode = (device: nvmlDevice_t, mode: Out<c_uint>) {
        find(device)?;
        argument(mode.give(COMPUTE_MODE_DEFAULT))
    }

    fn nvmlDeviceGetBrand = (device: nvmlDevice_t, brand: Out<c_uint>) {
        find(device)?;
        argument(brand.give(BRAND_UNKNOWN))
    }

    fn nvmlDeviceGetAttributes nvmlDeviceGetAttributes_v2 = (
        device: nvmlDevice_t,
        attributes: Out<nvmlDeviceAttributes_t>,
    ) {
        let device = find(device)?;
        argument(attributes.give(nvmlDeviceAttributes_t {
            multiprocessorCount: PROCESSORS,
            sharedCopyEngineCount: 1,
            memorySizeMB: device.memory_bytes >> 20,
            ..nvmlDeviceAttributes_t::default()
        }))
    }
}
