//! What can be put into a stream, and how it is done.

use std::ffi::c_void;

use crate::context::Context;
use crate::copy::Copy2D;
use crate::event::Event;
use crate::fill::Fill;
use crate::kernel_run::KernelRun;
use crate::stream::Stream;

/// One operation.
pub enum Operation {
    Kernel(Box<KernelRun>),
    Copy(Box<Copy2D>),
    Fill(Fill),
    /// Marks an event, if it was not recorded again since.
    Record(&'static Event, u64),
    /// Waits until so many operations of another stream are done.
    Wait(&'static Stream, u64),
    HostFunction(HostFunction),
}

/// A function of the program, with the argument that it wants.
pub struct HostFunction {
    pub function: unsafe extern "C" fn(*mut c_void),
    pub argument: *mut c_void,
}

// SAFETY: the program asked for the function to be called with this argument from a thread of the driver's.
unsafe impl Send for HostFunction {}

impl Operation {
    /// Does it, in the calling thread. Where the context has failed nothing is done but what others wait for.
    pub fn run(self, context: &'static Context) {
        if let Operation::Wait(stream, sequence) = self {
            return stream.wait_for(sequence);
        }
        if let Operation::Record(event, token) = self {
            return event.reached(token);
        }
        if context.check().is_err() {
            return;
        }
        match self {
            Operation::Kernel(run) => run.run(context),
            // SAFETY: the ranges were checked when the operation was submitted, and freeing memory waits for streams.
            Operation::Copy(copy) => unsafe { copy.run() },
            // SAFETY: as above.
            Operation::Fill(fill) => unsafe { fill.run() },
            // SAFETY: the program gave the function for this call.
            Operation::HostFunction(host) => unsafe { (host.function)(host.argument) },
            Operation::Wait(..) | Operation::Record(..) => {}
        }
    }
}
