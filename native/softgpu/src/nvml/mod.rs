//! NVML on the same devices: the library is its own `libnvidia-ml.so.1` under a second name.

mod calls;
mod device;
mod events;
mod system;
mod unsupported;
mod usage;
