//! The `libcuda.so.1` and `libnvidia-ml.so.1` that programs load: the CUDA driver API and NVML, answered here or by a worker.
//!
//! The library lives in a process that is not ours: it exports only `cu*` and `nvml*`, starts no thread and reads neither file
//! nor environment before `cuInit` or `nvmlInit`, never panics across the C interface, and is dead in a forked child.

mod api;
mod current;
mod device;
mod export;
mod fork;
mod generated;
mod handle;
mod inbox;
mod line;
mod log;
mod memory;
mod nvml;
mod objects;
mod open;
mod outbox;
mod session;
mod space;
mod unsupported;
mod way_back;
