//! The driver's entry points, by what they are about.

mod code_load;
mod context;
mod copy;
mod copy_2d;
mod device;
mod event;
mod function;
mod host;
mod init;
mod launch;
mod library;
mod memory;
mod module;
mod occupancy;
mod pointer;
mod primary;
mod proc_address;
mod set;
mod stream;
mod virtual_memory;
