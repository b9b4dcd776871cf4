//! Questions about hardware that a software GPU does not have.

use super::calls::nvml_unsupported;

nvml_unsupported! {
    nvmlDeviceGetArchitecture
    nvmlDeviceGetBAR1MemoryInfo
    nvmlDeviceGetBoardId
    nvmlDeviceGetBoardPartNumber
    nvmlDeviceGetClock
    nvmlDeviceGetClockInfo
    nvmlDeviceGetCurrPcieLinkGeneration
    nvmlDeviceGetCurrPcieLinkWidth
    nvmlDeviceGetCurrentClocksThrottleReasons
    nvmlDeviceGetDecoderUtilization
    nvmlDeviceGetDisplayActive
    nvmlDeviceGetDisplayMode
    nvmlDeviceGetEccMode
    nvmlDeviceGetEncoderUtilization
    nvmlDeviceGetEnforcedPowerLimit
    nvmlDeviceGetFanSpeed
    nvmlDeviceGetFanSpeed_v2
    nvmlDeviceGetFieldValues
    nvmlDeviceGetGpuInstanceId
    nvmlDeviceGetMaxClockInfo
    nvmlDeviceGetMaxMigDeviceCount
    nvmlDeviceGetMaxPcieLinkGeneration
    nvmlDeviceGetMaxPcieLinkWidth
    nvmlDeviceGetMemoryErrorCounter
    nvmlDeviceGetMigDeviceHandleByIndex
    nvmlDeviceGetMigMode
    nvmlDeviceGetNvLinkState
    nvmlDeviceGetP2PStatus
    nvmlDeviceGetPcieThroughput
    nvmlDeviceGetPerformanceState
    nvmlDeviceGetPersistenceMode
    nvmlDeviceGetPowerManagementDefaultLimit
    nvmlDeviceGetPowerManagementLimit
    nvmlDeviceGetPowerManagementLimitConstraints
    nvmlDeviceGetPowerManagementMode
    nvmlDeviceGetPowerState
    nvmlDeviceGetPowerUsage
    nvmlDeviceGetRemappedRows
    nvmlDeviceGetRetiredPages
    nvmlDeviceGetSerial
    nvmlDeviceGetTemperature
    nvmlDeviceGetTemperatureThreshold
    nvmlDeviceGetTotalEccErrors
    nvmlDeviceGetTotalEnergyConsumption
    nvmlDeviceGetVbiosVersion
    nvmlDeviceGetVirtualizationMode
    nvmlDeviceSetPersistenceMode
}
