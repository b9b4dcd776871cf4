//! PTX in software: parses PTX text and runs its kernels on the CPU, 32 lanes in lockstep.
//!
//! ```text
//! text     PTX ──────> syntax tree
//! lower    syntax ───> operations: forms checked, registers allocated, branches told where they meet
//! exec     operations, one warp at a time; blocks spread over host threads
//! ```
//!
//! It knows nothing of CUDA: who launches decides what device memory is (`Memory`) and when to stop.

mod error;
mod exact;
mod exec;
mod lower;
mod math;
mod module;
mod number;
mod scalar;
mod text;

pub use error::{Fault, LoadError};
pub use exec::launch::{Launch, Stats};
pub use exec::resolve::{Access, Memory};
pub use module::{Global, GlobalSpace, Kernel, Module, Param, launch};
