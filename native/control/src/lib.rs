//! What Aquifer's native control processes share: how they frame messages, pass descriptors, prove who they are and
//! leave records of themselves. No policy and no GPU: see `README.md` beside this crate for the processes themselves.
#![warn(missing_docs)]

pub mod arguments;
pub mod certificate;
pub mod descriptors;
pub mod frames;
pub mod handover;
pub mod identity;
pub mod limits;
pub mod line_link;
pub mod line_server;
pub mod lines;
pub mod log;
pub mod peer;
pub mod poll;
pub mod preamble;
pub mod process;
pub mod questions;
pub mod refusal;
pub mod run_directory;
pub mod signals;
pub mod tcp;
pub mod ticket;
pub mod tls;
pub mod tls_link;
pub mod unix_socket;
pub mod upstream;
pub mod vsock;
