//! What all processes on one software GPU share: its memory account, its time and who uses it.
//!
//! One file per device, mapped by every process. The layout is in `layout.rs` and in the README: measuring from
//! outside needs no library. The users of one state directory trust each other; nothing read here is an index.

mod clock;
mod file;
mod layout;
mod mutex;
mod rows;
mod turn;

pub use clock::{coarse_ns, monotonic_ns};
pub use file::Shared;
pub use rows::Row;
