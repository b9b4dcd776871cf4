//! Immediate values of a program: each once, as 32 copies, beside the registers.

use super::instruction::{Class, Slot};
use crate::exec::buffer::Buffer;
use crate::exec::op::CONSTANT;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Constants {
    known: HashMap<(Class, u64), u32>,
    symbols: HashMap<(String, u64), u32>,
    bytes: u32,
}

impl Constants {
    fn place(&mut self, class: Class) -> u32 {
        let at = self.bytes;
        self.bytes += class.bytes().max(64);
        at
    }

    /// A value as an operand; of a predicate, the bits of all lanes.
    pub fn value(&mut self, class: Class, value: u64) -> Slot {
        let value = if class == Class::Double {
            value
        } else {
            value & 0xffff_ffff
        };
        if let Some(&at) = self.known.get(&(class, value)) {
            return Slot::Raw(CONSTANT | at);
        }
        let at = self.place(class);
        self.known.insert((class, value), at);
        Slot::Raw(CONSTANT | at)
    }

    /// The address of a variable plus an addend, known once the module is bound.
    pub fn symbol(&mut self, name: &str, addend: u64) -> Slot {
        if let Some(&at) = self.symbols.get(&(name.to_owned(), addend)) {
            return Slot::Raw(CONSTANT | at);
        }
        let at = self.place(Class::Double);
        self.symbols.insert((name.to_owned(), addend), at);
        Slot::Raw(CONSTANT | at)
    }

    /// The filled memory, and where symbols are to be filled in.
    pub fn finish(self) -> (Buffer, Vec<(u32, String, u64)>) {
        let buffer = Buffer::new(self.bytes as usize);
        for ((class, value), at) in self.known {
            // SAFETY: `place` has kept room for the class at `at`.
            unsafe {
                let start = buffer.start().add(at as usize);
                match class {
                    Class::Predicate => start.cast::<u32>().write(value as u32),
                    Class::Word => start.cast::<[u32; 32]>().write([value as u32; 32]),
                    Class::Double => start.cast::<[u64; 32]>().write([value; 32]),
                }
            }
        }
        let symbols = self
            .symbols
            .into_iter()
            .map(|((name, addend), at)| (at, name, addend))
            .collect();
        (buffer, symbols)
    }
}
