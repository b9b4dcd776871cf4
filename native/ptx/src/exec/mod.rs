//! Execution: warps of 32 lanes in lockstep.

pub(crate) mod atomic;
pub(crate) mod buffer;
pub(crate) mod control;
pub(crate) mod convert;
pub(crate) mod directed;
pub(crate) mod float;
pub(crate) mod fragment;
pub(crate) mod integer;
pub(crate) mod lanes;
pub(crate) mod launch;
pub(crate) mod memory;
pub(crate) mod op;
pub(crate) mod predicate;
pub(crate) mod program;
pub(crate) mod resolve;
pub(crate) mod special;
pub(crate) mod vote;
pub(crate) mod warp;

mod block;
