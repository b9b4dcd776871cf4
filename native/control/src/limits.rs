//! Bounds that hold for every peer, argued where they stand.

/// Longest control message in bytes, either framing. A ticket with 16 vGPUs is under 4 KiB, a worker configuration
/// under 8 KiB; a listing of 256 sessions fits as well.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Most bytes kept for a peer that does not read. Beyond it the peer is cut off: it has stopped taking part.
pub const MAX_UNSENT: usize = 1024 * 1024;

/// Version of the control protocols; the first message of a connection carries it as `v`.
pub const CONTROL_VERSION: u32 = 1;
