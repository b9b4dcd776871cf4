//! A kernel ready to run.

use super::buffer::Buffer;
use super::op::Op;

/// How many registers of each kind a frame has, in the order in which they lie there. The frames of all functions of a program
/// are alike: lanes that are in different functions at a time then never touch each other's cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub doubles: u32,
    pub words: u32,
    pub predicates: u32,
}

impl Layout {
    pub fn bytes(self) -> u64 {
        let bytes = u64::from(self.doubles) * 256
            + u64::from(self.words) * 128
            + u64::from(self.predicates) * 4;
        bytes.next_multiple_of(64)
    }

    /// Room for what either needs.
    pub fn union(self, other: Layout) -> Layout {
        Layout {
            doubles: self.doubles.max(other.doubles),
            words: self.words.max(other.words),
            predicates: self.predicates.max(other.predicates),
        }
    }
}

/// A kernel and the device functions it calls, decoded. Execution begins at the first operation.
pub(crate) struct Program {
    pub name: String,
    pub ops: Box<[Op]>,
    /// The PTX line of each operation.
    pub lines: Box<[u32]>,
    /// Register lists of vector accesses, targets of `brx.idx`.
    pub extra: Box<[u32]>,
    /// 32 copies of each immediate value.
    pub constants: Buffer,
    /// Constants that are addresses of variables: (offset of the cells, symbol, addend).
    pub symbols: Vec<(u32, String, u64)>,
    /// Of the registers of one call.
    pub layout: Layout,
    /// Local memory of one lane, call frames included, in bytes.
    pub local_bytes: u32,
    /// Static shared memory in bytes.
    pub shared_bytes: u32,
    /// Size of the kernel's parameters in bytes.
    pub param_bytes: u32,
}

impl Program {
    /// Writes the addresses of variables into the constants, or gives the first symbol that has none.
    pub fn bind(&mut self, address: &mut dyn FnMut(&str) -> Option<u64>) -> Result<(), String> {
        for (offset, symbol, addend) in &self.symbols {
            let Some(base) = address(symbol) else {
                return Err(symbol.clone());
            };
            let value = base.wrapping_add(*addend);
            for lane in 0..super::lanes::LANES {
                let at = *offset as usize + lane * 8;
                assert!(
                    at + 8 <= self.constants.len(),
                    "constant {symbol} is outside the constants"
                );
                // SAFETY: in bounds as asserted, and `&mut self` means nothing runs.
                unsafe { self.constants.start().add(at).cast::<u64>().write(value) };
            }
        }
        Ok(())
    }
}
