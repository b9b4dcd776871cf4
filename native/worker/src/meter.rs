//! The GPU time of this session on one GPU: takes the turn before kernels are launched, measures them with events, charges
//! the claim and gives the turn back when they are done.
//!
//! The loop owns a `Meter` and launches within an allowance that was learnt from earlier launches, so a launch costs a
//! comparison and a subtraction. At the end of a batch of frames the work becomes a mark: a pair of events around it on each
//! stream. Whoever comes first, the loop while it spins or the meter's thread while the loop sleeps, finds the mark done,
//! charges it and, when nothing is left, gives the turn back.

use crate::account::Account;
use crate::budget::SLICE_NS;
use crate::driver::Driver;
use crate::gpu_time::{Cost, Mark, Shared, Span};
use crate::process::now_ns;
use crate::turns::{Turns, Verdict};
use aquifer_cuda::*;
use std::sync::Arc;

/// The loop's side.
pub struct Meter {
    pub shared: Arc<Shared>,
    allowance_ns: i64,
    in_use: bool,
    context: CUcontext,
    spans: Vec<Span>,
    costs: Vec<(Arc<Cost>, u32)>,
    expected_ns: u64,
    /// Changes with each mark: a stream whose number differs has no start event yet.
    epoch: u64,
    thread: bool,
}

/// What a stream remembers for the meter.
#[derive(Clone, Copy, Default)]
pub struct Metered(u64);

/// What a function remembers for the meter: where it stands in the present batch.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    epoch: u64,
    at: u32,
}

impl Meter {
    /// A meter over one GPU, whose turns are `turns`; what it measures is told in `ledger`.
    pub fn new(driver: &'static Driver, turns: Turns, ledger: Arc<Account>) -> Meter {
        Meter {
            shared: Arc::new(Shared::new(driver, turns, ledger)),
            allowance_ns: 0,
            in_use: false,
            context: std::ptr::null_mut(),
            spans: Vec::with_capacity(64),
            costs: Vec::with_capacity(256),
            expected_ns: 0,
            epoch: 1,
            thread: false,
        }
    }

    /// Called before each launch, with the launch's context current: returns when the launch may go to the GPU.
    #[inline]
    pub fn admit(
        &mut self,
        context: CUcontext,
        stream: CUstream,
        metered: &mut Metered,
        cost: &Arc<Cost>,
        counted: &mut Counted,
    ) -> Result<(), CUresult> {
        let expected = cost.expected_ns();
        if self.allowance_ns < expected || metered.0 != self.epoch || self.context != context {
            self.prepare(context, stream, metered, expected)?;
        }
        self.allowance_ns -= expected;
        self.expected_ns += expected as u64;
        if counted.epoch == self.epoch {
            self.costs[counted.at as usize].1 += 1;
        } else {
            *counted = Counted {
                epoch: self.epoch,
                at: self.costs.len() as u32,
            };
            self.costs.push((cost.clone(), 1));
        }
        Ok(())
    }

    #[cold]
    fn prepare(
        &mut self,
        context: CUcontext,
        stream: CUstream,
        metered: &mut Metered,
        expected: i64,
    ) -> Result<(), CUresult> {
        if self.context != context || self.allowance_ns < expected {
            self.mark();
            self.context = context;
        }
        if !self.in_use {
            self.enter();
        }
        if self.allowance_ns < expected {
            self.renew(expected);
        }
        if metered.0 != self.epoch {
            let start = self.shared.event(context)?;
            let end = self.shared.event(context)?;
            // SAFETY: events and stream are alive and of the current context.
            let recorded = unsafe { (self.shared.driver.cuEventRecord)(start, stream) };
            if recorded != CUDA_SUCCESS {
                self.shared
                    .lock()
                    .spare_events
                    .extend([(context, start), (context, end)]);
                return Err(recorded);
            }
            self.spans.push(Span { stream, start, end });
            metered.0 = self.epoch;
        }
        Ok(())
    }

    /// From here until `leave` the meter's thread does not give the turn back.
    fn enter(&mut self) {
        self.in_use = true;
        let mut state = self.shared.lock();
        state.in_use = true;
        if state.holding {
            self.allowance_ns = 0;
        } else {
            drop(state);
            self.allowance_ns = self.shared.take();
        }
    }

    /// Gets an allowance of at least `expected`, waiting for the GPU and for the turn as it must.
    fn renew(&mut self, expected: i64) {
        loop {
            let shared = &self.shared;
            let mut state = shared.lock();
            shared.retire(&mut state);
            let used = std::mem::take(&mut state.uncharged_ns);
            let outstanding = state.launched_ns;
            let idle = state.marks.is_empty();
            let verdict = shared
                .turns
                .charge(used, outstanding)
                .unwrap_or(Verdict::Yield);
            match verdict {
                // What is launched ahead stays within two slices, so that a waiter's turn comes soon.
                Verdict::Continue(more)
                    if idle || (outstanding < SLICE_NS && more as i64 >= expected) =>
                {
                    self.allowance_ns = (more as i64).max(expected);
                    return;
                }
                Verdict::Yield if idle => {
                    state.holding = false;
                    drop(state);
                    let _ = shared.turns.give_back(0);
                    self.allowance_ns = shared.take().max(expected);
                    return;
                }
                _ => {
                    let end = state
                        .marks
                        .front()
                        .map(|it| (it.context, it.spans.last().map(|span| span.end)));
                    drop(state);
                    if let Some((_, Some(event))) = end {
                        shared.wait(event);
                    }
                }
            }
        }
    }

    /// Closes the present batch: what was launched since the last mark is measured as one.
    fn mark(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        self.epoch += 1;
        let driver = self.shared.driver;
        for span in &self.spans {
            // SAFETY: events and stream are alive: streams are destroyed only after a mark.
            unsafe { (driver.cuEventRecord)(span.end, span.stream) };
        }
        let mut state = self.shared.lock();
        let spare_spans = state
            .spare_spans
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(64));
        let spare_costs = state
            .spare_costs
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(256));
        let made_at_ns = now_ns();
        if state.marks.is_empty() {
            state.oldest_since_ns = made_at_ns;
        }
        state.launched_ns += self.expected_ns;
        state.marks.push_back(Mark {
            context: self.context,
            spans: std::mem::replace(&mut self.spans, spare_spans),
            costs: std::mem::replace(&mut self.costs, spare_costs),
            expected_ns: std::mem::take(&mut self.expected_ns),
            made_at_ns,
        });
    }

    /// Ends a batch of frames: measured work may be given up as soon as it is done. Call before waiting for anything.
    pub fn leave(&mut self) {
        if self.in_use {
            self.mark();
            self.in_use = false;
            self.allowance_ns = 0;
            self.shared.lock().in_use = false;
        }
    }

    /// Charges what is done; true while something is on the GPU.
    pub fn poll(&mut self) -> bool {
        let mut state = self.shared.lock();
        if !state.holding {
            return false;
        }
        self.shared.retire(&mut state);
        self.shared.give_back_if_done(&mut state)
    }

    /// Lets the meter's thread see the rest through, because the loop is going to sleep.
    pub fn hand_over(&mut self) {
        if !self.thread {
            let shared = self.shared.clone();
            let made = std::thread::Builder::new()
                .name("meter".into())
                .stack_size(256 << 10)
                .spawn(move || shared.follow());
            self.thread = made.is_ok();
        }
        self.shared.lock().handed_over = true;
        self.shared.wake.notify_one();
    }

    /// Waits until all of `context` is measured and forgets its events, before the context is destroyed.
    pub fn forget_context(&mut self, context: CUcontext) {
        self.leave();
        loop {
            let mut state = self.shared.lock();
            self.shared.retire(&mut state);
            self.shared.give_back_if_done(&mut state);
            let event = state
                .marks
                .front()
                .and_then(|it| it.spans.last().map(|span| span.end));
            let Some(event) = event else {
                let (gone, kept) = std::mem::take(&mut state.spare_events)
                    .into_iter()
                    .partition(|it| it.0 == context);
                state.spare_events = kept;
                let mut gone: Vec<(CUcontext, CUevent)> = gone;
                if state.base.is_some_and(|it| it.0 == context) {
                    gone.extend(state.base.take().map(|it| (it.0, it.1)));
                }
                for (_, event) in gone {
                    // SAFETY: nobody uses the event any more.
                    unsafe { (self.shared.driver.cuEventDestroy)(event) };
                }
                return;
            };
            drop(state);
            self.shared.wait(event);
        }
    }
}
