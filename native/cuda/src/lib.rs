//! The C vocabulary of the CUDA 13 driver API: result codes, numbers, structures and names. No logic but look-up.
//!
//! Names are CUDA's own, so that a reader finds them in CUDA's manual.

#![allow(non_camel_case_types, non_snake_case)]

pub mod attributes;
pub mod driver_enums;
pub mod handles;
pub mod result;
pub mod structures;
mod symbol_table;
pub mod symbols;

pub use attributes::*;
pub use driver_enums::*;
pub use handles::*;
pub use result::*;
pub use structures::*;

/// The driver version that this vocabulary is of, as `cuDriverGetVersion` reports it: major * 1000 + minor * 10.
pub const CUDA_VERSION: core::ffi::c_int = 13000;
