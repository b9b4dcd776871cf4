//! Copies to the client: sent at once where the GPU is done, else by a thread.

use crate::copies_in::Rectangle;
use crate::driver::{Driver, check};
use crate::memory::empty_rectangle;
use crate::outbox::Outbox;
use crate::session::{End, Session};
use crate::staging::{BLOCK_BYTES, Block, Pool};
use crate::waits::{Answer, Done, Job};
use aquifer_cuda::*;
use aquifer_protocol::generated::DataFailed;
use std::sync::Arc;

/// Copies that wait in blocks of their own at most; more hold up their stream instead.
const MOST_WAITING_BLOCKS: usize = 16;

/// Bytes of a copy that go through one block at a time: the first byte leaves when the GPU was told of two such parts.
const STAGED_BYTES: usize = 128 << 10;

/// A copy of device memory to the client's `destination`.
pub struct CopyOut {
    pub from: Rectangle,
    pub destination: u32,
    pub stream: CUstream,
    pub host_accessible: bool,
    pub pool: Arc<Pool>,
    /// The bytes, when the GPU was told to put them here already.
    pub block: Option<Block>,
    /// Nobody waits for the copy, and so nobody would ask for it again.
    pub unattended: bool,
}

impl CopyOut {
    /// Sends all of it as Data. The context must be current, and what the stream had before must be done or ordered
    /// before this.
    pub fn run(&mut self, driver: &Driver, outbox: &Outbox) -> Result<(), CUresult> {
        let lost = |_| CUDA_ERROR_DEVICE_UNAVAILABLE;
        let bytes = (self.from.width * self.from.rows) as usize;
        if let Some(block) = &mut self.block {
            return outbox
                .send_data(self.destination, 0, block.bytes(bytes), self.unattended)
                .map_err(lost);
        }
        let most = outbox.connection.piece_bytes().min(BLOCK_BYTES);
        if !self.host_accessible {
            return self.run_staged(driver, outbox, most.min(STAGED_BYTES));
        }
        let mut packed = Vec::new();
        let mut offset = 0;
        for part in self.from.parts(most as u64) {
            // SAFETY: the part was granted to this session and stays so while this copy is counted as not done; the driver
            // says that the CPU reaches it. What the program lets write there meanwhile races by its own choice.
            let row = |row: u64| unsafe {
                let address = (part.address + row * part.pitch) as usize as *const u8;
                std::slice::from_raw_parts(address, part.width as usize)
            };
            let bytes = if part.rows == 1 {
                row(0)
            } else {
                packed.clear();
                (0..part.rows).for_each(|it| packed.extend_from_slice(row(it)));
                &packed
            };
            outbox
                .send_data(self.destination, offset, bytes, self.unattended)
                .map_err(lost)?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Through two blocks: the GPU fills one while the other is sent.
    fn run_staged(&self, driver: &Driver, outbox: &Outbox, most: usize) -> Result<(), CUresult> {
        let mut blocks = [self.pool.block()?, self.pool.block()?];
        let mut events = [std::ptr::null_mut(); 2];
        for event in &mut events {
            // SAFETY: the result is valid to write to; the context is current.
            check(unsafe { (driver.cuEventCreate)(event, CU_EVENT_DISABLE_TIMING) })?;
        }
        let mut outcome = Ok(());
        let mut offset = 0;
        let mut parts = self.from.parts(most as u64);
        let mut fill = |at: usize, blocks: &mut [Block; 2]| -> Result<Option<usize>, CUresult> {
            let Some(part) = parts.next() else {
                return Ok(None);
            };
            copy_part(driver, &part, blocks[at].address, self.stream)?;
            // SAFETY: event and stream are alive and of the current context.
            check(unsafe { (driver.cuEventRecord)(events[at], self.stream) })?;
            Ok(Some((part.width * part.rows) as usize))
        };
        let mut ready = fill(0, &mut blocks);
        let mut at = 0;
        while let Ok(Some(bytes)) = ready {
            ready = fill(1 - at, &mut blocks);
            // SAFETY: as above.
            outcome = check(unsafe { (driver.cuEventSynchronize)(events[at]) });
            if outcome.is_ok() {
                let bytes = blocks[at].bytes(bytes);
                let sent = outbox.send_data(self.destination, offset, bytes, self.unattended);
                outcome = sent.map_err(|_| CUDA_ERROR_DEVICE_UNAVAILABLE);
            }
            if outcome.is_err() {
                break;
            }
            offset += bytes as u64;
            at = 1 - at;
        }
        for event in events {
            // SAFETY: waited for, so that the GPU writes to no block that is given back.
            unsafe {
                (driver.cuEventSynchronize)(event);
                (driver.cuEventDestroy)(event);
            }
        }
        outcome.and(ready.map(|_| ()))
    }
}

fn copy_part(
    driver: &Driver,
    part: &Rectangle,
    block: *mut core::ffi::c_void,
    stream: CUstream,
) -> Result<(), CUresult> {
    if part.rows == 1 {
        // SAFETY: the block has room for a part and is not read before the event after this copy.
        return check(unsafe {
            (driver.cuMemcpyDtoHAsync)(block, part.address, part.width as usize, stream)
        });
    }
    let copy = CUDA_MEMCPY2D {
        srcMemoryType: CU_MEMORYTYPE_DEVICE,
        srcDevice: part.address,
        srcPitch: part.pitch as usize,
        dstMemoryType: CU_MEMORYTYPE_HOST,
        dstHost: block,
        dstPitch: part.width as usize,
        WidthInBytes: part.width as usize,
        Height: part.rows as usize,
        ..empty_rectangle()
    };
    // SAFETY: as above; the description is copied by the call.
    check(unsafe { (driver.cuMemcpy2DAsync)(&copy, stream) })
}

impl Session {
    /// Whether two streams of a context wait for each other's work.
    pub fn meet(&self, one: u32, other: u32) -> bool {
        let blocking = |id: u32| id <= 1 || self.streams.get(id).is_none_or(|it| it.blocking);
        one == other || (one <= 1 && blocking(other)) || (other <= 1 && blocking(one))
    }

    /// Waits for copies that later work in a stream must not overtake.
    pub fn clear_way(&mut self, context: u32, stream: u32) {
        if self.copies.holds_nothing() {
            return;
        }
        for (holder, held, done) in self.copies.holding() {
            if holder == context && self.meet(stream, held) {
                self.leave_meters();
                done.wait();
            }
        }
    }

    /// Waits for every copy to the client.
    pub fn finish_copies(&mut self) {
        self.copies
            .covered(|_, _, _| true)
            .iter()
            .for_each(|it| it.wait());
    }

    /// A copy to the client: now if the stream is done, else when it is.
    pub fn copy_out(
        &mut self,
        context: u32,
        stream: u32,
        from: Rectangle,
        destination: u32,
        answer: Answer,
    ) -> Result<(), End> {
        let prepared = self.prepare_copy(context, stream, from, destination);
        let (mut copy, bytes) = match prepared {
            Ok((copy, bytes)) => {
                let unattended = matches!(answer, Answer::Nothing);
                (CopyOut { unattended, ..copy }, bytes)
            }
            Err(result) => {
                self.refuse_copy(context, destination, answer, result);
                return Ok(());
            }
        };
        self.leave_meters();
        let after = self.covered_by_stream(context, stream);
        let state = self.is_soon_idle(context, stream);
        match state {
            Err(result) => self.refuse_copy(context, destination, answer, result),
            Ok(true) if after.is_empty() => {
                let outcome = if bytes == 0 {
                    Ok(())
                } else {
                    copy.run(self.driver, &self.outbox)
                };
                match outcome {
                    Ok(()) => self.answer(context, answer, Ok(())),
                    Err(result) => self.refuse_copy(context, destination, answer, result),
                }
            }
            Ok(_) => return self.copy_later(context, stream, copy, bytes, after, answer),
        }
        Ok(())
    }

    fn prepare_copy(
        &mut self,
        context: u32,
        stream: u32,
        from: Rectangle,
        destination: u32,
    ) -> Result<(CopyOut, u64), CUresult> {
        let raw = self.enter_stream(context, stream)?;
        self.clear_way(context, stream);
        let bytes = from.bytes().ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if bytes > 0 && !self.owns_rectangle(from.address, from.pitch, from.width, from.rows) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let extent = from
            .rows
            .saturating_sub(1)
            .saturating_mul(from.pitch)
            .saturating_add(from.width);
        let host_accessible = self.is_host_accessible(from.address, extent);
        Ok((
            CopyOut {
                from,
                destination,
                stream: raw,
                host_accessible,
                pool: self.staging.pool.clone(),
                block: None,
                unattended: false,
            },
            bytes,
        ))
    }

    /// A small copy is put into a block in the stream's order, so that the stream goes on; a large one holds it up.
    fn copy_later(
        &mut self,
        context: u32,
        stream: u32,
        mut copy: CopyOut,
        bytes: u64,
        after: Vec<Arc<Done>>,
        answer: Answer,
    ) -> Result<(), End> {
        let small = bytes > 0 && bytes <= BLOCK_BYTES as u64 && after.len() < MOST_WAITING_BLOCKS;
        let block = if small { copy.pool.block().ok() } else { None };
        let holds = block.is_none();
        let ordered = (|| {
            if let Some(block) = &block {
                // The loop is not stopped for it: the bytes are as they are when the stream gets here.
                for part in copy.from.parts(BLOCK_BYTES as u64) {
                    copy_part(self.driver, &part, block.address, copy.stream)?;
                }
            }
            self.events_behind(&[copy.stream])
        })();
        copy.block = block;
        let events = match ordered {
            Ok(events) => events,
            Err(result) => {
                self.refuse_copy(context, copy.destination, answer, result);
                return Ok(());
            }
        };
        let raw = self
            .contexts
            .get(context)
            .map_or(std::ptr::null_mut(), |it| it.raw);
        let done = Arc::<Done>::default();
        self.copies.add(context, stream, holds, done.clone());
        self.gpus.iter_mut().for_each(|it| it.meter.hand_over());
        self.counters.round_trips += u64::from(!matches!(answer, Answer::Nothing));
        self.waiters.add(Job {
            context: raw,
            events,
            events_are_programs: false,
            after,
            copy: Some(copy),
            answer,
            done,
        });
        Ok(())
    }

    fn refuse_copy(&mut self, context: u32, destination: u32, answer: Answer, result: CUresult) {
        if matches!(answer, Answer::Nothing) {
            self.outbox.push(
                &DataFailed {
                    destination,
                    result,
                },
                &[],
            );
        }
        self.answer(context, answer, Err(result));
    }
}
