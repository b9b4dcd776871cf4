//! Copies of rectangles.

use super::copy::{receive, send};
use super::stream::{Order, order, wait};
use crate::current;
use crate::export::export;
use crate::inbox::Destination;
use crate::session::{Outcome, Session};
use aquifer_cuda::*;
use aquifer_protocol::generated::{MemcpyDtoD2D, MemcpyDtoH2D, MemcpyDtoH2DAsync, MemcpyHtoD2D};

/// One side of a copy: where its first row begins, and how far its rows are apart in bytes.
#[derive(Clone, Copy)]
struct Side {
    address: u64,
    pitch: u64,
    on_device: bool,
}

/// Both sides of a copy of `rows` rows of `width` bytes.
struct Rectangle {
    source: Side,
    target: Side,
    width: u64,
    rows: u64,
}

struct Place {
    memory_type: CUmemorytype,
    host: u64,
    device: u64,
    x: usize,
    y: usize,
    pitch: usize,
}

impl Place {
    fn side(&self, session: &Session, width: u64, rows: u64) -> Outcome<Side> {
        let (base, on_device) = match self.memory_type {
            CU_MEMORYTYPE_HOST => (self.host, false),
            CU_MEMORYTYPE_DEVICE => (self.device, true),
            CU_MEMORYTYPE_UNIFIED => (self.device, session.device_of(self.device).is_some()),
            CU_MEMORYTYPE_ARRAY => return Err(CUDA_ERROR_NOT_SUPPORTED),
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        };
        let pitch = if self.pitch == 0 {
            width
        } else {
            self.pitch as u64
        };
        if base == 0 || (rows > 1 && pitch < width) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let address = pitch
            .checked_mul(self.y as u64)
            .and_then(|rows| base.checked_add(rows)?.checked_add(self.x as u64))
            .ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if on_device {
            let span = pitch
                .checked_mul(rows - 1)
                .and_then(|before| before.checked_add(width));
            session.check_device(address, span.ok_or(CUDA_ERROR_INVALID_VALUE)?)?;
        }
        Ok(Side {
            address,
            pitch,
            on_device,
        })
    }
}

unsafe fn copy(
    parameters: *const CUDA_MEMCPY2D,
    stream: CUstream,
    waits: bool,
    own: bool,
) -> Outcome {
    let (session, context) = current::ready()?;
    // SAFETY: null or valid by the caller's promise.
    let it = unsafe { parameters.as_ref() }.ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let order = order(session, context, stream, own)?;
    let (width, rows) = (it.WidthInBytes as u64, it.Height as u64);
    if width == 0 || rows == 0 {
        return Ok(());
    }
    let source = Place {
        memory_type: it.srcMemoryType,
        host: it.srcHost as u64,
        device: it.srcDevice,
        x: it.srcXInBytes,
        y: it.srcY,
        pitch: it.srcPitch,
    };
    let target = Place {
        memory_type: it.dstMemoryType,
        host: it.dstHost as u64,
        device: it.dstDevice,
        x: it.dstXInBytes,
        y: it.dstY,
        pitch: it.dstPitch,
    };
    let rectangle = Rectangle {
        source: source.side(session, width, rows)?,
        target: target.side(session, width, rows)?,
        width,
        rows,
    };
    // SAFETY: the host sides are the program's promise.
    unsafe {
        match (rectangle.target.on_device, rectangle.source.on_device) {
            (true, true) => within_device(session, order, &rectangle),
            (true, false) => {
                to_device(session, order, &rectangle, waits)?;
                if waits { wait(session, order) } else { Ok(()) }
            }
            (false, true) => to_host(session, order, &rectangle, waits),
            (false, false) => {
                wait(session, order)?;
                between_host(&rectangle);
                Ok(())
            }
        }
    }
}

fn within_device(session: &Session, order: Order, rectangle: &Rectangle) -> Outcome {
    let Rectangle {
        source,
        target,
        width,
        rows,
    } = *rectangle;
    session.post(&MemcpyDtoD2D {
        destination: target.address,
        destination_pitch: target.pitch,
        source: source.address,
        source_pitch: source.pitch,
        width,
        rows,
        context: order.context.id,
        stream: order.stream,
    })
}

unsafe fn to_device(
    session: &Session,
    order: Order,
    rectangle: &Rectangle,
    stays: bool,
) -> Outcome {
    let Rectangle {
        source,
        target,
        width,
        rows,
    } = *rectangle;
    let row = |index: u64| (source.address + index * source.pitch) as *const u8;
    let piece = session.piece_bytes() as u64;
    if width > piece {
        // SAFETY: each row is readable by the program's promise.
        return (0..rows).try_for_each(|index| unsafe {
            send(
                session,
                order,
                target.address + index * target.pitch,
                (row(index), width as usize),
                stays,
            )
        });
    }
    let at_once = piece / width;
    let mut packed = Vec::with_capacity((at_once.min(rows) * width) as usize);
    for first in (0..rows).step_by(at_once as usize) {
        let count = at_once.min(rows - first);
        packed.clear();
        for index in first..first + count {
            // SAFETY: as above.
            packed.extend_from_slice(unsafe {
                std::slice::from_raw_parts(row(index), width as usize)
            });
        }
        session.send_bulk(&packed, false, |_| MemcpyHtoD2D {
            address: target.address + first * target.pitch,
            pitch: target.pitch,
            width,
            rows: count,
            context: order.context.id,
            stream: order.stream,
        })?;
    }
    Ok(())
}

unsafe fn to_host(session: &Session, order: Order, rectangle: &Rectangle, waits: bool) -> Outcome {
    let Rectangle {
        source,
        target,
        width,
        rows,
    } = *rectangle;
    let rectangle = Destination {
        memory: target.address as *mut u8,
        width: width as usize,
        pitch: target.pitch as usize,
        rows: rows as usize,
        received: 0,
    };
    let (context, stream) = (order.context.id, order.stream);
    let (source, pitch) = (source.address, source.pitch);
    if !waits && session.may_copy_unattended((width * rows) as usize) {
        let destination = session.add_destination(rectangle);
        return session.post(&MemcpyDtoH2DAsync {
            source,
            pitch,
            width,
            rows,
            context,
            stream,
            destination,
        });
    }
    receive(session, order, rectangle, |destination| {
        let request = MemcpyDtoH2D {
            source,
            pitch,
            width,
            rows,
            context,
            stream,
            destination,
        };
        Ok(session.ask(&request, &[])?.0.result)
    })
}

unsafe fn between_host(rectangle: &Rectangle) {
    let Rectangle {
        source,
        target,
        width,
        rows,
    } = *rectangle;
    for index in 0..rows {
        let from = (source.address + index * source.pitch) as *const u8;
        let to = (target.address + index * target.pitch) as *mut u8;
        // SAFETY: both rows are the program's promise; `copy` allows that they overlap.
        unsafe { std::ptr::copy(from, to, width as usize) };
    }
}

const DEFAULT: CUstream = std::ptr::null_mut();

export! {
    /// Copies a rectangle.
    fn cuMemcpy2D_v2 | cuMemcpy2D_v2_ptds [own](parameters: *const CUDA_MEMCPY2D) {
        // SAFETY: the caller's promise.
        unsafe { copy(parameters, DEFAULT, true, own) }
    }
    /// Copies a rectangle; the pitches are any.
    fn cuMemcpy2DUnaligned_v2 | cuMemcpy2DUnaligned_v2_ptds [own](parameters: *const CUDA_MEMCPY2D) {
        // SAFETY: the caller's promise.
        unsafe { copy(parameters, DEFAULT, true, own) }
    }
    /// Copies a rectangle in a stream.
    fn cuMemcpy2DAsync_v2 | cuMemcpy2DAsync_v2_ptsz [own](parameters: *const CUDA_MEMCPY2D, stream: CUstream) {
        // SAFETY: the caller's promise.
        unsafe { copy(parameters, stream, false, own) }
    }
}
