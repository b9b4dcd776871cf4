//! The entry points of the driver, by the chapters of CUDA's manual.

mod calls;
mod context;
mod copy;
mod device;
mod event;
mod execution;
mod function;
mod host_memory;
mod initialization;
mod library;
mod load_options;
mod look_up;
mod memory;
mod module;
mod occupancy;
mod pointer;
mod primary_context;
mod set;
mod stream;
mod virtual_memory;

pub use calls::{Entry, In, Out, Text};
pub use device::give_text;

/// Every entry point.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    let tables = [
        context::TABLE,
        copy::TABLE,
        device::TABLE,
        event::TABLE,
        event::STREAM_TABLE,
        execution::TABLE,
        function::TABLE,
        host_memory::TABLE,
        initialization::TABLE,
        library::TABLE,
        look_up::TABLE,
        memory::TABLE,
        module::TABLE,
        occupancy::TABLE,
        pointer::TABLE,
        primary_context::TABLE,
        set::TABLE,
        stream::TABLE,
        stream::STREAM_TABLE,
        virtual_memory::TABLE,
    ];
    tables.into_iter().flatten()
}
