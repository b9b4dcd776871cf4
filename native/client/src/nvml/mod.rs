//! NVML: the vGPUs as a monitor shows them.
