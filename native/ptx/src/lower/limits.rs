//! What a module may ask for, so that no text makes its reader allocate out of all proportion to the text's own size.

/// Instructions of one function.
pub(crate) const FUNCTION_OPERATIONS: usize = 1 << 20;
/// Operations and branch targets of a module, in which a function counts once for each kernel that calls it.
pub(crate) const MODULE_OPERATIONS: usize = 1 << 22;
/// Branch targets of all `brx.idx` of one function.
pub(crate) const SWITCH_TARGETS: usize = 1 << 20;
/// Registers times basic blocks of one function: what is to be known of who is live where.
pub(crate) const LIVENESS_BITS: usize = 1 << 30;
/// Register memory of one function, in bytes: 8192 registers of 32 bits for each lane.
pub(crate) const FRAME_BYTES: u64 = 1 << 20;
/// Local memory of one lane, in bytes, in one function or a chain of calls. Real devices have as much.
pub(crate) const LOCAL_BYTES: u64 = 512 << 10;
