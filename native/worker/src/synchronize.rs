//! Waits for the GPU: answered at once where it is done, else handed to a thread.

use crate::driver::check;
use crate::process::now_ns;
use crate::session::{End, SPIN_NS, Session};
use crate::waits::{Answer, Done, Job};
use aquifer_cuda::*;
use std::sync::Arc;

/// Waits in line at most. A program has at most as many as it has threads.
const MOST_IN_LINE: usize = 4_096;

impl Session {
    /// Whether all that work in a stream would wait for is done. The context must be current.
    pub fn is_idle(&self, context: u32, stream: u32) -> Result<bool, CUresult> {
        let entry = self
            .contexts
            .get(context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        let raw = if stream <= 1 {
            CU_STREAM_LEGACY
        } else {
            self.streams
                .get(stream)
                .ok_or(CUDA_ERROR_INVALID_HANDLE)?
                .raw
        };
        // SAFETY: event and stream are alive and of the current context. A recorded event stands behind the legacy
        // stream's work and whatever the streams owe each other, which asking the stream alone would miss.
        unsafe {
            check((self.driver.cuEventRecord)(entry.probe, raw))?;
            is_ready((self.driver.cuEventQuery)(entry.probe))
        }
    }

    fn is_context_idle(&self, context: u32) -> Result<bool, CUresult> {
        if !self.is_soon_idle(context, 1)? {
            return Ok(false);
        }
        for (_, stream) in self
            .streams
            .iter()
            .filter(|it| it.1.context == context && !it.1.blocking)
        {
            // SAFETY: the stream is alive.
            let ready = || is_ready(unsafe { (self.driver.cuStreamQuery)(stream.raw) });
            if !self.spin(ready(), ready)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks `ready` until it says yes or an error, or the time is up that the loop can spare.
    fn spin(
        &self,
        first: Result<bool, CUresult>,
        ready: impl Fn() -> Result<bool, CUresult>,
    ) -> Result<bool, CUresult> {
        let mut state = first;
        let mut start = 0;
        while state == Ok(false) {
            let now = now_ns();
            if start == 0 {
                start = now;
            } else if now - start > SPIN_NS {
                break;
            }
            std::thread::yield_now();
            state = ready();
        }
        state
    }

    /// As `is_idle`, given a moment.
    pub fn is_soon_idle(&self, context: u32, stream: u32) -> Result<bool, CUresult> {
        let first = self.is_idle(context, stream);
        let probe = self
            .contexts
            .get(context)
            .ok_or(CUDA_ERROR_INVALID_CONTEXT)?
            .probe;
        self.spin(first, || {
            // SAFETY: the event is alive, and recorded by `is_idle`.
            is_ready(unsafe { (self.driver.cuEventQuery)(probe) })
        })
    }

    /// Events behind the work of a context, one per stream that is on its own.
    pub fn events_behind(&self, streams: &[CUstream]) -> Result<Vec<CUevent>, CUresult> {
        let mut events = Vec::with_capacity(streams.len());
        for stream in streams {
            let mut event = std::ptr::null_mut();
            // SAFETY: the result is valid to write to; the stream is alive and of the current context.
            unsafe {
                check((self.driver.cuEventCreate)(
                    &mut event,
                    CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC,
                ))?;
                events.push(event);
                check((self.driver.cuEventRecord)(event, *stream))?;
            }
        }
        Ok(events)
    }

    fn hand_over(
        &mut self,
        context: u32,
        outcome: Result<Vec<CUevent>, CUresult>,
        programs: bool,
        after: Vec<Arc<Done>>,
        answer: Answer,
    ) -> Result<(), End> {
        let raw = self
            .contexts
            .get(context)
            .map_or(std::ptr::null_mut(), |it| it.raw);
        match outcome {
            Ok(events) => {
                if self.waiters.in_line() >= MOST_IN_LINE {
                    return Err(End::Garbage("too many waits stand in line".into()));
                }
                self.gpus.iter_mut().for_each(|it| it.meter.hand_over());
                let job = Job {
                    context: raw,
                    events,
                    events_are_programs: programs,
                    after,
                    copy: None,
                    answer,
                    done: Arc::default(),
                };
                self.waiters.add(job);
            }
            Err(result) => self.answer(context, answer, Err(result)),
        }
        Ok(())
    }

    /// Answers a request now.
    pub fn answer(&mut self, context: u32, answer: Answer, outcome: Result<(), CUresult>) {
        self.counters.round_trips += 1;
        if let Err(result) = outcome
            && crate::driver::is_sticky(result)
        {
            self.bury(context, result);
        }
        self.note_answer();
        answer.push(&self.outbox, outcome);
    }

    pub fn context_synchronize(&mut self, context: u32, answer: Answer) -> Result<(), End> {
        if let Err(code) = self.enter(context) {
            self.answer(context, answer, Err(code));
            return Ok(());
        }
        self.leave_meters();
        let after = self.copies.covered(|owner, _, _| owner == context);
        let state = self.is_context_idle(context);
        if state != Ok(false) && after.is_empty() {
            self.answer(context, answer, state.map(|_| ()));
            return Ok(());
        }
        let alone = self
            .streams
            .iter()
            .filter(|it| it.1.context == context && !it.1.blocking);
        let streams: Vec<CUstream> = std::iter::once(CU_STREAM_LEGACY)
            .chain(alone.map(|it| it.1.raw))
            .collect();
        let events = self.events_behind(&streams);
        self.hand_over(context, events, false, after, answer)
    }

    pub fn stream_synchronize(
        &mut self,
        context: u32,
        stream: u32,
        answer: Answer,
    ) -> Result<(), End> {
        let raw = match self.enter_stream(context, stream) {
            Ok(raw) => raw,
            Err(code) => {
                self.answer(context, answer, Err(code));
                return Ok(());
            }
        };
        self.leave_meters();
        let after = self.covered_by_stream(context, stream);
        let state = self.is_soon_idle(context, stream);
        if state != Ok(false) && after.is_empty() {
            self.answer(context, answer, state.map(|_| ()));
            return Ok(());
        }
        let events = self.events_behind(&[raw]);
        self.hand_over(context, events, false, after, answer)
    }

    pub fn stream_query(&mut self, context: u32, stream: u32) -> Result<(), CUresult> {
        self.enter_stream(context, stream)?;
        self.leave_meters();
        let copies = self.covered_by_stream(context, stream);
        if self.is_idle(context, stream)? && copies.is_empty() {
            Ok(())
        } else {
            Err(CUDA_ERROR_NOT_READY)
        }
    }

    pub fn covered_by_stream(&mut self, context: u32, stream: u32) -> Vec<Arc<Done>> {
        if self.copies.asked() == 0 {
            return Vec::new();
        }
        let mut copies = std::mem::take(&mut self.copies);
        let covered = copies.covered(|owner, held, _| owner == context && self.meet(stream, held));
        self.copies = copies;
        covered
    }

    pub fn event_synchronize(&mut self, event: u32, answer: Answer) -> Result<(), End> {
        let found = self
            .events
            .get(event)
            .map(|it| (it.raw, it.context, it.copies));
        let Some((raw, context, copies)) = found else {
            self.answer(u32::MAX, answer, Err(CUDA_ERROR_INVALID_HANDLE));
            return Ok(());
        };
        if let Err(code) = self.enter(context) {
            self.answer(context, answer, Err(code));
            return Ok(());
        }
        self.leave_meters();
        let after = self.copies.covered(|_, _, number| number <= copies);
        let state = self.spin(Ok(false), || {
            // SAFETY: the event is alive.
            is_ready(unsafe { (self.driver.cuEventQuery)(raw) })
        });
        if state != Ok(false) && after.is_empty() {
            self.answer(context, answer, state.map(|_| ()));
            return Ok(());
        }
        self.hand_over(context, Ok(vec![raw]), true, after, answer)
    }

    pub fn event_query(&mut self, event: u32) -> Result<(), CUresult> {
        let entry = self.events.get(event).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let (raw, context, copies) = (entry.raw, entry.context, entry.copies);
        self.enter(context)?;
        self.leave_meters();
        let after = self.copies.covered(|_, _, number| number <= copies);
        // SAFETY: the event is alive.
        check(unsafe { (self.driver.cuEventQuery)(raw) })?;
        if after.is_empty() {
            Ok(())
        } else {
            Err(CUDA_ERROR_NOT_READY)
        }
    }
}

fn is_ready(result: CUresult) -> Result<bool, CUresult> {
    match result {
        CUDA_ERROR_NOT_READY => Ok(false),
        other => check(other).map(|()| true),
    }
}
