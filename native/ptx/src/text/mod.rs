//! PTX text to a syntax tree. Knows grammar, not instructions.

mod body;
mod cursor;
mod initializer;
mod module;
pub(crate) mod syntax;
mod token;

pub(crate) use module::parse;
