//! The calling thread's stack of contexts, and what a call may assume of the current one.

use crate::objects::Context;
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use std::cell::{Cell, RefCell};

thread_local! {
    /// The handle of the current context; 0 is none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
    /// The contexts below it.
    static BELOW: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// This thread's own default stream in each context: (context, stream).
    static OWN_STREAMS: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// The current context's handle; 0 when there is none.
#[inline]
pub fn handle() -> u64 {
    CURRENT.try_with(Cell::get).unwrap_or(0)
}

/// Makes `handle` current in place of the top of the stack; 0 pops.
pub fn set(handle: u64) {
    if handle == 0 {
        pop();
    } else {
        let _ = CURRENT.try_with(|current| current.set(handle));
    }
}

/// Puts a context on the stack.
pub fn push(handle: u64) {
    let above = self::handle();
    if above != 0 {
        let _ = BELOW.try_with(|below| below.borrow_mut().push(above));
    }
    let _ = CURRENT.try_with(|current| current.set(handle));
}

/// Takes the current context off the stack; 0 when it is empty.
pub fn pop() -> u64 {
    let top = handle();
    let next = BELOW
        .try_with(|below| below.borrow_mut().pop())
        .ok()
        .flatten();
    let _ = CURRENT.try_with(|current| current.set(next.unwrap_or(0)));
    top
}

/// Forgets everything: in a forked child.
pub fn forget() {
    let _ = CURRENT.try_with(|current| current.set(0));
}

/// Session and current context, whatever its state; errors when there is none.
#[inline]
pub fn context() -> Outcome<(&'static Session, &'static Context)> {
    let session = session()?;
    let handle = handle();
    match session.contexts.get(handle) {
        Some((_, context)) => Ok((session, context)),
        None if handle == 0 => Err(CUDA_ERROR_INVALID_CONTEXT),
        None => Err(CUDA_ERROR_CONTEXT_IS_DESTROYED),
    }
}

/// Session and current context, usable and known to the worker: for every call that does something.
#[inline]
pub fn ready() -> Outcome<(&'static Session, &'static Context)> {
    let (session, context) = context()?;
    session.alive()?;
    context.usable()?;
    context.create(session)?;
    Ok((session, context))
}

/// This thread's own default stream in a context, if it has one already.
pub fn own_stream(context: u64) -> Option<u64> {
    OWN_STREAMS
        .try_with(|streams| {
            streams
                .borrow()
                .iter()
                .find(|(of, _)| *of == context)
                .map(|(_, stream)| *stream)
        })
        .ok()
        .flatten()
}

/// Remembers this thread's own default stream in a context.
pub fn set_own_stream(context: u64, stream: u64) {
    let _ = OWN_STREAMS.try_with(|streams| {
        let mut streams = streams.borrow_mut();
        streams.retain(|(of, _)| *of != context);
        streams.push((context, stream));
    });
}
