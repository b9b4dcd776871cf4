//! A kernel ready to run.

use super::buffer::Buffer;
use super::op::Op;

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
    /// Registers of the kernel's own frame, in bytes.
    pub frame_bytes: u32,
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
