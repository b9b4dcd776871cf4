//! A GPU in software: the CUDA driver API and NVML on host memory, host threads and a PTX interpreter.
//!
//! What it does, its settings and the layout of its state files are in README.md beside this crate.

#![allow(non_snake_case)]

mod api;
mod code;
mod context;
mod copy;
mod device_facts;
mod driver;
mod event;
mod fault;
mod fill;
mod free_list;
mod function;
mod handle_table;
mod host_memory;
mod identity;
mod image;
mod kernel_run;
mod launch;
mod library;
mod memory;
mod module;
mod nvml;
mod occupancy;
mod operation;
mod outcome;
mod primary;
mod settings;
mod space;
mod state;
mod stream;
mod virtual_memory;
