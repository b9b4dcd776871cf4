//! Copies between host and device memory, in one piece or as rectangles.

use std::ops::Range as Span;

use aquifer_cuda::*;

use crate::memory::pointer;
use crate::operation::Operation;
use crate::outcome::{Outcome, require};
use crate::space;
use crate::stream::Stream;

/// An asynchronous copy of up to this size on a stream with nothing to do is done by the caller: a thread would
/// take longer to wake than the copy takes.
const INLINE_MAX: u64 = 1 << 20;

/// A rectangle of bytes to copy. A plain copy has one row.
pub struct Copy2D {
    pub source: u64,
    pub target: u64,
    pub width: u64,
    pub height: u64,
    pub source_pitch: u64,
    pub target_pitch: u64,
    /// The source's bytes, where the program may change them before the copy runs.
    staged: Option<Vec<u8>>,
}

/// What a caller says that an address is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Host,
    Device,
    /// Whatever the address map says.
    Any,
}

impl Copy2D {
    /// A copy of `size` bytes.
    pub fn plain(target: u64, source: u64, size: u64) -> Copy2D {
        Copy2D {
            source,
            target,
            width: size,
            height: 1,
            source_pitch: size,
            target_pitch: size,
            staged: None,
        }
    }

    /// A rectangle: size is width and height, pitch is target and source, all in bytes but the height.
    pub fn rectangle(target: u64, source: u64, size: (u64, u64), pitch: (u64, u64)) -> Copy2D {
        let (width, height) = size;
        let (target_pitch, source_pitch) = pitch;
        Copy2D {
            source,
            target,
            width,
            height,
            source_pitch,
            target_pitch,
            staged: None,
        }
    }

    fn bytes(&self) -> u64 {
        self.width.saturating_mul(self.height)
    }

    /// Checks both sides, and copies in the order of `stream`. Returns when it is done, or, for an `asynchronous`
    /// copy, when the program may go on as CUDA promises.
    pub fn execute(
        mut self,
        stream: &'static Stream,
        sides: (Side, Side),
        asynchronous: bool,
    ) -> Outcome {
        if self.bytes() == 0 {
            return Ok(());
        }
        stream.context().check()?;
        let target = span(self.target, self.width, self.height, self.target_pitch)?;
        let source = span(self.source, self.width, self.height, self.source_pitch)?;
        let pageable_target = check_side(&target, sides.0, true)?;
        let pageable_source = check_side(&source, sides.1, false)?;
        if stream.is_clear() && (!asynchronous || self.bytes() <= INLINE_MAX) {
            // SAFETY: device ranges were just checked; for host ranges the program answers.
            unsafe { self.run() };
            return Ok(());
        }
        let wait = !asynchronous || pageable_target;
        if pageable_source && !wait {
            // SAFETY: the program promises that the source is readable during this call.
            unsafe { self.stage() };
        }
        let sequence = stream.submit(Operation::Copy(Box::new(self)))?;
        if wait {
            stream.wait_for(sequence);
            stream.context().check()?;
        }
        Ok(())
    }

    /// # Safety
    /// The source must be readable.
    unsafe fn stage(&mut self) {
        let mut staged = Vec::with_capacity(self.bytes() as usize);
        for row in 0..self.height {
            let from: *const u8 = pointer(self.source + row * self.source_pitch);
            // SAFETY: as the caller promises.
            staged.extend_from_slice(unsafe {
                std::slice::from_raw_parts(from, self.width as usize)
            });
        }
        self.staged = Some(staged);
    }

    /// Copies.
    ///
    /// # Safety
    /// The source must be readable (unless it was staged) and the target writable.
    pub unsafe fn run(&self) {
        let (source, source_pitch) = match &self.staged {
            Some(bytes) => (bytes.as_ptr().expose_provenance() as u64, self.width),
            None => (self.source, self.source_pitch),
        };
        let (rows, width) = if source_pitch == self.width && self.target_pitch == self.width {
            (1, self.bytes())
        } else {
            (self.height, self.width)
        };
        for row in 0..rows {
            let from: *const u8 = pointer(source + row * source_pitch);
            let to: *mut u8 = pointer(self.target + row * self.target_pitch);
            // SAFETY: as the caller promises; `copy` allows the two to overlap.
            unsafe { std::ptr::copy(from, to, width as usize) };
        }
    }
}

/// The addresses from the first to the last byte of a rectangle.
pub fn span(start: u64, width: u64, height: u64, pitch: u64) -> Outcome<Span<u64>> {
    require(start != 0 && (height <= 1 || pitch >= width))?;
    let rows = height
        .saturating_sub(1)
        .checked_mul(pitch)
        .ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let size = rows.checked_add(width).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let end = start.checked_add(size).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    Ok(start..end)
}

/// True where the range is memory that the driver does not know.
fn check_side(range: &Span<u64>, side: Side, write: bool) -> Outcome<bool> {
    let known = space::find(&space::read(), range.start).is_some();
    match side {
        Side::Host if !known => Ok(true),
        Side::Any if !known => Ok(true),
        _ => {
            require(space::covers(range.start, range.end - range.start, write))?;
            Ok(false)
        }
    }
}
