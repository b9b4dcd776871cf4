//! From syntax to operations: names are resolved, forms checked, registers allocated.

mod allocate;
mod builder;
mod constants;
mod emit;
mod flow;
mod forms;
mod instruction;
mod limits;
mod link;
mod modifiers;
mod names;
mod operand;

pub(crate) use link::lower;
