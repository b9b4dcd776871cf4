//! What monitors ask for and a vGPU does not have: NOT_SUPPORTED, which they show as N/A.

use aquifer_nvml::{NVML_ERROR_NOT_SUPPORTED, nvmlReturn_t};

macro_rules! not_supported {
    ($($name:ident)*) => {$(
        #[doc = concat!("Not supported on a vGPU: ", stringify!($name), ".")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> nvmlReturn_t {
            NVML_ERROR_NOT_SUPPORTED
        }
    )*};
}

not_supported! {
    nvmlDeviceGetAttributes nvmlDeviceGetAttributes_v2 nvmlDeviceGetBAR1MemoryInfo nvmlDeviceGetBrand
    nvmlDeviceGetClock nvmlDeviceGetClockInfo nvmlDeviceGetComputeMode nvmlDeviceGetCurrPcieLinkGeneration
    nvmlDeviceGetCurrPcieLinkWidth nvmlDeviceGetDecoderUtilization nvmlDeviceGetDisplayActive nvmlDeviceGetDisplayMode
    nvmlDeviceGetEccMode nvmlDeviceGetEncoderUtilization nvmlDeviceGetEnforcedPowerLimit nvmlDeviceGetFanSpeed
    nvmlDeviceGetFanSpeed_v2 nvmlDeviceGetHandleByPciBusId nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetMaxClockInfo
    nvmlDeviceGetMaxPcieLinkGeneration nvmlDeviceGetMaxPcieLinkWidth nvmlDeviceGetMemoryErrorCounter
    nvmlDeviceGetMigMode nvmlDeviceGetMinorNumber nvmlDeviceGetPciInfo nvmlDeviceGetPciInfo_v2 nvmlDeviceGetPciInfo_v3
    nvmlDeviceGetPcieThroughput nvmlDeviceGetPerformanceState nvmlDeviceGetPersistenceMode
    nvmlDeviceGetPowerManagementLimit nvmlDeviceGetPowerUsage nvmlDeviceGetSerial nvmlDeviceGetTemperature
    nvmlDeviceGetTopologyCommonAncestor nvmlDeviceGetTotalEccErrors nvmlDeviceGetTotalEnergyConsumption
    nvmlDeviceGetVbiosVersion nvmlDeviceIsMigDeviceHandle nvmlDeviceSetPersistenceMode nvmlEventSetCreate
    nvmlEventSetFree nvmlEventSetWait nvmlEventSetWait_v2 nvmlDeviceRegisterEvents
}
