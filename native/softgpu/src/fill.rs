//! Setting device memory to a value.

use aquifer_cuda::CUDA_ERROR_INVALID_VALUE;

use crate::copy::span;
use crate::memory::pointer;
use crate::operation::Operation;
use crate::outcome::{Outcome, require};
use crate::space;
use crate::stream::Stream;

const INLINE_MAX: u64 = 1 << 20;

/// A rectangle of equal elements.
pub struct Fill {
    pub target: u64,
    /// Bytes from row to row.
    pub pitch: u64,
    /// Elements per row.
    pub width: u64,
    pub height: u64,
    pub value: Element,
}

/// The value, which is also the size of an element.
#[derive(Clone, Copy)]
pub enum Element {
    Byte(u8),
    Short(u16),
    Word(u32),
}

impl Element {
    fn size(self) -> u64 {
        match self {
            Element::Byte(_) => 1,
            Element::Short(_) => 2,
            Element::Word(_) => 4,
        }
    }
}

impl Fill {
    /// Checks the range and sets it in the order of `stream`.
    pub fn execute(self, stream: &'static Stream, asynchronous: bool) -> Outcome {
        let width = self
            .width
            .checked_mul(self.value.size())
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if width == 0 || self.height == 0 {
            return Ok(());
        }
        stream.context().check()?;
        require(self.target.is_multiple_of(self.value.size()))?;
        require(self.height == 1 || self.pitch.is_multiple_of(self.value.size()))?;
        let range = span(self.target, width, self.height, self.pitch)?;
        let size = range.end - range.start;
        require(space::covers(range.start, size, true))?;
        if stream.is_clear() && (!asynchronous || size <= INLINE_MAX) {
            // SAFETY: the range was just checked.
            unsafe { self.run() };
            return Ok(());
        }
        let sequence = stream.submit(Operation::Fill(self))?;
        if !asynchronous {
            stream.wait_for(sequence);
            stream.context().check()?;
        }
        Ok(())
    }

    /// Sets the memory.
    ///
    /// # Safety
    /// The rectangle must be writable and aligned to its elements.
    pub unsafe fn run(&self) {
        for row in 0..self.height {
            let start = self.target + row * self.pitch;
            let count = self.width as usize;
            // SAFETY: as the caller promises.
            unsafe {
                match self.value {
                    Element::Byte(value) => pointer::<u8>(start).write_bytes(value, count),
                    Element::Short(value) => {
                        std::slice::from_raw_parts_mut(pointer(start), count).fill(value)
                    }
                    Element::Word(value) => {
                        std::slice::from_raw_parts_mut(pointer(start), count).fill(value)
                    }
                }
            }
        }
    }
}
