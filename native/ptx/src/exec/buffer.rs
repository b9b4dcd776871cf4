//! Memory aligned for whole cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

const ALIGN: usize = 64;

/// Zeroed bytes, aligned to 64.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the buffer owns its memory, as a `Vec<u8>` does.
unsafe impl Send for Buffer {}
// SAFETY: shared access only hands out the pointer; who writes through it answers for that.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub fn new(bytes: usize) -> Buffer {
        match Buffer::try_new(bytes) {
            Some(buffer) => buffer,
            None => handle_alloc_error(Buffer::layout(ALIGN)),
        }
    }

    /// None where there is not so much memory.
    pub fn try_new(bytes: usize) -> Option<Buffer> {
        let bytes = bytes.max(1).checked_next_multiple_of(ALIGN)?;
        let layout = Layout::from_size_align(bytes, ALIGN).ok()?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Buffer { start, bytes })
    }

    fn layout(bytes: usize) -> Layout {
        match Layout::from_size_align(bytes, ALIGN) {
            Ok(layout) => layout,
            Err(_) => handle_alloc_error(Layout::new::<u8>()),
        }
    }

    pub fn start(&self) -> *mut u8 {
        self.start
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    /// A larger buffer with the same beginning.
    pub fn grown(&self, bytes: usize) -> Buffer {
        let larger = Buffer::new(bytes.max(self.bytes));
        // SAFETY: both are at least `self.bytes` long and apart from each other.
        unsafe { std::ptr::copy_nonoverlapping(self.start, larger.start, self.bytes) };
        larger
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start, Buffer::layout(self.bytes)) };
    }
}
