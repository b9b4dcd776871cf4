//! Bytes from the client: module images and copies to device memory. They are read from the connection straight to where
//! they belong where the driver allows it, else through pinned blocks that stay in the cache.

use crate::calls::Bulk;
use crate::driver::check;
use crate::memory::empty_rectangle;
use crate::session::{End, Session};
use crate::staging::BLOCK_BYTES;
use aquifer_cuda::*;
use aquifer_protocol::generated::{MemcpyHtoD, MemcpyHtoD2D};
use aquifer_protocol::{FrameReader, Header};

/// Rows of bytes in device memory.
#[derive(Clone, Copy)]
pub struct Rectangle {
    pub address: u64,
    pub pitch: u64,
    pub width: u64,
    pub rows: u64,
}

impl Rectangle {
    /// A line of bytes.
    pub fn line(address: u64, bytes: u64) -> Rectangle {
        Rectangle {
            address,
            pitch: bytes,
            width: bytes,
            rows: 1,
        }
    }

    /// The packed size in bytes; none when it is beyond 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        self.width.checked_mul(self.rows)
    }

    /// The parts of at most `most` bytes that make it up in order: some whole rows each, or a piece of one row.
    pub fn parts(self, most: u64) -> impl Iterator<Item = Rectangle> {
        let one_line = self.rows == 1 || self.pitch == self.width;
        let (width, rows) = if one_line {
            (self.width * self.rows, 1)
        } else {
            (self.width, self.rows)
        };
        let pitch = self.pitch;
        let (mut row, mut column) = (0, 0);
        std::iter::from_fn(move || {
            if row >= rows || width == 0 {
                return None;
            }
            let address = self.address + row * pitch + column;
            if width <= most {
                let taken = (most / width).min(rows - row);
                row += taken;
                return Some(Rectangle {
                    address,
                    pitch,
                    width,
                    rows: taken,
                });
            }
            let taken = most.min(width - column);
            column += taken;
            if column == width {
                (row, column) = (row + 1, 0);
            }
            Some(Rectangle {
                address,
                pitch: taken,
                width: taken,
                rows: 1,
            })
        })
    }
}

impl Session {
    /// Carries out a frame whose tail is still in the stream. What is refused is skipped by the reader.
    pub fn take_in(
        &mut self,
        header: &Header,
        bulk: Bulk,
        tail_bytes: usize,
        reader: &mut FrameReader,
    ) -> Result<(), End> {
        let (context, outcome) = match bulk {
            Bulk::SourceData(call) => {
                if let Some(room) = self.sources.room(&call, tail_bytes)
                    && let Err(error) = reader.read_tail(&self.outbox.connection, room)
                {
                    // It will come again, whole.
                    self.sources.give_back(call.source, tail_bytes);
                    return Err(error.into());
                }
                return Ok(());
            }
            Bulk::MemcpyHtoD(call) => {
                let MemcpyHtoD {
                    address,
                    context,
                    stream,
                } = call;
                (
                    context,
                    self.copy_in(
                        context,
                        stream,
                        Rectangle::line(address, tail_bytes as u64),
                        reader,
                    )?,
                )
            }
            Bulk::MemcpyHtoD2D(call) => {
                let MemcpyHtoD2D {
                    address,
                    pitch,
                    width,
                    rows,
                    context,
                    stream,
                } = call;
                let rectangle = Rectangle {
                    address,
                    pitch,
                    width,
                    rows,
                };
                if rectangle.bytes() != Some(tail_bytes as u64) {
                    return Err(End::Garbage(format!(
                        "{rows} rows of {width} bytes came with {tail_bytes} bytes"
                    )));
                }
                (context, self.copy_in(context, stream, rectangle, reader)?)
            }
        };
        self.counters.bytes_in += tail_bytes as u64;
        self.told(header, context, outcome);
        Ok(())
    }

    fn copy_in(
        &mut self,
        context: u32,
        stream: u32,
        to: Rectangle,
        reader: &mut FrameReader,
    ) -> Result<Result<(), CUresult>, End> {
        let raw = match self.enter_stream(context, stream) {
            Ok(raw) => raw,
            Err(code) => return Ok(Err(code)),
        };
        self.clear_way(context, stream);
        if !self.owns_rectangle(to.address, to.pitch, to.width, to.rows) {
            return Ok(Err(CUDA_ERROR_INVALID_VALUE));
        }
        let extent = to.rows.saturating_sub(1) * to.pitch + to.width;
        if self.is_host_accessible(to.address, extent) && self.is_idle(context, stream) == Ok(true)
        {
            for row in 0..to.rows {
                // SAFETY: the row was granted to this session, the driver says that the CPU reaches it, and no work that was
                // ordered before this copy is left. What else the program lets write there races by its own choice.
                let room = unsafe {
                    let address = (to.address + row * to.pitch) as usize as *mut u8;
                    std::slice::from_raw_parts_mut(address, to.width as usize)
                };
                reader.read_tail(&self.outbox.connection, room)?;
            }
            return Ok(Ok(()));
        }
        for part in to.parts(BLOCK_BYTES as u64) {
            let block = match self.staging.next_block() {
                Ok(block) => block,
                Err(code) => return Ok(Err(code)),
            };
            let bytes = (part.width * part.rows) as usize;
            reader.read_tail(&self.outbox.connection, block.bytes(bytes))?;
            let source = block.address;
            let copied = self.copy_part(&part, source, raw).and_then(|()| {
                let current = self.current;
                self.staging.taken_by(current, raw)
            });
            if copied.is_err() {
                return Ok(copied);
            }
        }
        Ok(Ok(()))
    }

    fn copy_part(
        &self,
        part: &Rectangle,
        source: *const core::ffi::c_void,
        stream: CUstream,
    ) -> Result<(), CUresult> {
        if part.rows == 1 {
            // SAFETY: the block holds the bytes until the event after this copy; the part was checked as the session's own.
            return check(unsafe {
                (self.driver.cuMemcpyHtoDAsync)(part.address, source, part.width as usize, stream)
            });
        }
        let copy = CUDA_MEMCPY2D {
            srcMemoryType: CU_MEMORYTYPE_HOST,
            srcHost: source,
            srcPitch: part.width as usize,
            dstMemoryType: CU_MEMORYTYPE_DEVICE,
            dstDevice: part.address,
            dstPitch: part.pitch as usize,
            WidthInBytes: part.width as usize,
            Height: part.rows as usize,
            ..empty_rectangle()
        };
        // SAFETY: as above; the description is copied by the call.
        check(unsafe { (self.driver.cuMemcpy2DAsync)(&copy, stream) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_rectangle_in_order() {
        for (width, rows, pitch, most) in [
            (10, 7, 16, 32),
            (10, 7, 16, 4),
            (10, 7, 10, 32),
            (1, 1, 1, 1),
            (64, 3, 64, 64),
            (5, 1, 5, 2),
        ] {
            let whole = Rectangle {
                address: 1000,
                pitch,
                width,
                rows,
            };
            let mut seen = Vec::new();
            for part in whole.parts(most) {
                assert!(part.width * part.rows <= most);
                for row in 0..part.rows {
                    seen.extend(
                        (0..part.width).map(|column| part.address + row * part.pitch + column),
                    );
                }
            }
            let wanted: Vec<u64> = (0..rows)
                .flat_map(|row| (0..width).map(move |column| 1000 + row * pitch + column))
                .collect();
            assert_eq!(seen, wanted, "{width} x {rows} pitch {pitch} most {most}");
        }
        assert_eq!(Rectangle::line(0, 0).parts(10).count(), 0);
    }
}
