//! Written by scripts/generate-protocol.ts.

#[rustfmt::skip]
pub mod symbols;
#[rustfmt::skip]
pub mod unsupported;
