//! The C vocabulary of NVML: return codes, handles and versioned structures. No logic.
//!
//! Names are NVML's own, so that a reader finds them in NVML's manual.

#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]

pub mod result;
pub mod structures;

pub use result::*;
pub use structures::*;
