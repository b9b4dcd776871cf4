//! GPU time as events measure it: marks around batches of work, what launches are expected to take, and the turn, which is
//! given back when nothing is left on the GPU.

use crate::account::Account;
use crate::budget::SLICE_NS;
use crate::driver::Driver;
use crate::process::now_ns;
use crate::turns::Turns;
use aquifer_cuda::*;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a launch is taken to cost at least, in nanoseconds.
const LEAST_COST_NS: u32 = 1_000;
/// Events older than this, in nanoseconds, are no base for measuring: a float of milliseconds is too coarse.
const BASE_AGE_NS: u64 = 1_000_000_000;
/// Work that took longer, in nanoseconds, and longer than expected may have waited behind that of others.
const SUSPICIOUS_NS: u64 = 4 * SLICE_NS;
/// How long to look at an event before sleeping on it, in nanoseconds.
const SPIN_NS: u64 = 50_000;

/// What launches of one function took; 0 until it is known.
#[derive(Default)]
pub struct Cost(AtomicU32);

impl Cost {
    /// Expected GPU time of one launch in nanoseconds.
    #[inline]
    pub fn expected_ns(&self) -> i64 {
        match self.0.load(Relaxed) {
            0 => SLICE_NS as i64,
            known => i64::from(known),
        }
    }

    fn learn(&self, observed_ns: u64) {
        let observed = observed_ns.clamp(u64::from(LEAST_COST_NS), u64::from(u32::MAX)) as u32;
        let known = self.0.load(Relaxed);
        // Rises at once, falls by half: an expectation that is too low lets too much onto the GPU.
        let next = if known == 0 || observed > known {
            observed
        } else {
            known - (known - observed) / 2
        };
        self.0.store(next, Relaxed);
    }
}

/// The work of one batch on one stream.
pub struct Span {
    pub stream: CUstream,
    pub start: CUevent,
    pub end: CUevent,
}

/// The work of one batch on all its streams.
pub struct Mark {
    pub context: CUcontext,
    pub spans: Vec<Span>,
    pub costs: Vec<(Arc<Cost>, u32)>,
    pub expected_ns: u64,
    pub made_at_ns: u64,
}

/// What changes under the lock.
#[derive(Default)]
pub struct State {
    pub marks: VecDeque<Mark>,
    pub holding: bool,
    /// The loop is launching: the turn stays.
    pub in_use: bool,
    /// Expected time of what is on the GPU, in nanoseconds.
    pub launched_ns: u64,
    pub uncharged_ns: u64,
    /// When the oldest mark came to be the oldest.
    pub oldest_since_ns: u64,
    pub base: Option<(CUcontext, CUevent, u64)>,
    pub spare_events: Vec<(CUcontext, CUevent)>,
    pub spare_spans: Vec<Vec<Span>>,
    pub spare_costs: Vec<Vec<(Arc<Cost>, u32)>>,
    /// The meter's thread shall see the marks through.
    pub handed_over: bool,
}

// SAFETY: contexts and events are handles that any thread may use.
unsafe impl Send for State {}

/// What the loop, the meter's thread and the watch share.
pub struct Shared {
    pub driver: &'static Driver,
    pub turns: Turns,
    ledger: Arc<Account>,
    state: Mutex<State>,
    pub wake: Condvar,
    /// The first error that a measured batch ended with; 0 for none.
    pub failed: AtomicU32,
}

impl Shared {
    /// Nothing measured yet, on the GPU of `turns` and of the account `ledger`.
    pub fn new(driver: &'static Driver, turns: Turns, ledger: Arc<Account>) -> Shared {
        Shared {
            driver,
            turns,
            ledger,
            state: Mutex::default(),
            wake: Condvar::new(),
            failed: AtomicU32::new(0),
        }
    }

    /// The state, locked. Never held while waiting.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when, on the monotonic clock, the work that others wait for has been on the GPU; none when nobody waits.
    pub fn kept_since_ns(&self) -> Option<u64> {
        let state = self.lock();
        let kept = !state.marks.is_empty() && self.turns.keeps_others().unwrap_or(false);
        kept.then_some(state.oldest_since_ns)
    }

    /// Waits for the turn; returns the first allowance in nanoseconds.
    pub fn take(&self) -> i64 {
        let slice = self.turns.take().unwrap_or(SLICE_NS);
        self.lock().holding = true;
        slice as i64
    }

    /// An event of the current context, to measure with.
    pub fn event(&self, context: CUcontext) -> Result<CUevent, CUresult> {
        let mut state = self.lock();
        if let Some(at) = state.spare_events.iter().rposition(|it| it.0 == context) {
            return Ok(state.spare_events.swap_remove(at).1);
        }
        drop(state);
        let mut event = std::ptr::null_mut();
        // SAFETY: the result is valid to write to; the context is current.
        crate::driver::check(unsafe {
            (self.driver.cuEventCreate)(&mut event, CU_EVENT_BLOCKING_SYNC)
        })?;
        Ok(event)
    }

    /// Waits for an event: looks for a while, then sleeps.
    pub fn wait(&self, event: CUevent) {
        let start = now_ns();
        // SAFETY: the event is alive: it is reused only after its mark is retired, which at worst makes this wait longer.
        while unsafe { (self.driver.cuEventQuery)(event) } == CUDA_ERROR_NOT_READY {
            if now_ns() - start > SPIN_NS {
                // SAFETY: as above.
                unsafe { (self.driver.cuEventSynchronize)(event) };
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Takes the marks that are done off the list, oldest first, and measures them.
    pub fn retire(&self, state: &mut State) {
        while let Some(mark) = state.marks.front() {
            let mut result = CUDA_SUCCESS;
            for span in &mark.spans {
                // SAFETY: events of marks are alive.
                match unsafe { (self.driver.cuEventQuery)(span.end) } {
                    CUDA_SUCCESS => {}
                    CUDA_ERROR_NOT_READY => return,
                    error => result = error,
                }
            }
            let Some(mut mark) = state.marks.pop_front() else {
                return;
            };
            let now = now_ns();
            let used = if result == CUDA_SUCCESS {
                self.measure(state, &mark)
            } else {
                None
            };
            let used =
                used.unwrap_or_else(|| now - state.oldest_since_ns.max(mark.made_at_ns).min(now));
            let own = self.own_time(used, mark.expected_ns, mark.made_at_ns);
            if result != CUDA_SUCCESS {
                let _ = self.failed.compare_exchange(0, result, Relaxed, Relaxed);
            } else if own == used {
                learn(&mark, used);
            }
            let used = own;
            state.oldest_since_ns = now;
            state.launched_ns = state.launched_ns.saturating_sub(mark.expected_ns);
            state.uncharged_ns += used;
            self.ledger.add_busy(used);
            let kept = state.base.map(|it| it.1);
            for span in mark.spans.drain(..) {
                let events = [span.start, span.end]
                    .into_iter()
                    .filter(|it| Some(*it) != kept);
                state
                    .spare_events
                    .extend(events.map(|event| (mark.context, event)));
            }
            mark.costs.clear();
            state.spare_spans.push(mark.spans);
            state.spare_costs.push(mark.costs);
        }
    }

    /// What of the time that work took is its claim's: all, or what was expected of it where it waited behind another's.
    fn own_time(&self, used_ns: u64, expected_ns: u64, made_at_ns: u64) -> u64 {
        let suspicious = used_ns > SUSPICIOUS_NS.max(expected_ns);
        if suspicious && self.turns.was_behind(made_at_ns).unwrap_or(false) {
            expected_ns
        } else {
            used_ns
        }
    }

    /// Charges the claim with what is still on the GPU, because this process is about to end with it.
    pub fn charge_unfinished(&self) {
        let state = self.lock();
        let Some(oldest) = state.marks.front() else {
            return;
        };
        let used = now_ns().saturating_sub(state.oldest_since_ns);
        let own = self.own_time(used, state.launched_ns, oldest.made_at_ns);
        self.ledger.add_busy(own);
        let _ = self.turns.charge(state.uncharged_ns + own, 0);
    }

    /// The time in nanoseconds from the first start, or the end of what was measured before, to the last end.
    fn measure(&self, state: &mut State, mark: &Mark) -> Option<u64> {
        let base = state.base.filter(|it| {
            it.0 == mark.context && mark.made_at_ns.saturating_sub(it.2) < BASE_AGE_NS
        });
        let origin = base.map_or(mark.spans.first()?.start, |it| it.1);
        let since = |event: CUevent| {
            let mut milliseconds = 0f32;
            // SAFETY: both events are alive, recorded and done.
            let measured =
                unsafe { (self.driver.cuEventElapsedTime)(&mut milliseconds, origin, event) };
            (measured == CUDA_SUCCESS).then_some(f64::from(milliseconds) * 1e6)
        };
        let (mut first, mut last) = (f64::MAX, 0f64);
        let mut last_event = mark.spans.first()?.end;
        for span in &mark.spans {
            first = first.min(since(span.start)?);
            let end = since(span.end)?;
            if end >= last {
                (last, last_event) = (end, span.end);
            }
        }
        if let Some((context, event, _)) = state.base.replace((mark.context, last_event, now_ns()))
        {
            state.spare_events.push((context, event));
        }
        Some((last - first.max(0.0)).max(0.0) as u64)
    }

    /// True while something is on the GPU or being launched; else the turn is given back.
    pub fn give_back_if_done(&self, state: &mut State) -> bool {
        if !state.marks.is_empty() || state.in_use {
            return true;
        }
        if state.holding {
            state.holding = false;
            let _ = self
                .turns
                .give_back(std::mem::take(&mut state.uncharged_ns));
        }
        false
    }

    /// The meter's thread: sees marks through while the loop sleeps.
    pub fn follow(&self) {
        loop {
            let mut state = self.lock();
            while !state.handed_over || state.marks.is_empty() {
                state.handed_over = false;
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let next = state
                .marks
                .front()
                .and_then(|it| Some((it.context, it.spans.last()?.end)));
            drop(state);
            if let Some((context, event)) = next {
                // SAFETY: the context is alive while it has marks: it is destroyed only after `forget_context`.
                unsafe {
                    (self.driver.cuCtxSetCurrent)(context);
                    (self.driver.cuEventSynchronize)(event);
                }
            }
            let mut state = self.lock();
            let before = state.marks.len();
            self.retire(&mut state);
            self.give_back_if_done(&mut state);
            let stuck = state.marks.len() == before && before > 0;
            drop(state);
            if stuck {
                // The last span was done before another of its mark.
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
    }
}

/// Corrects the costs of a mark's functions by what the mark took.
fn learn(mark: &Mark, used_ns: u64) {
    let launches: u64 = mark.costs.iter().map(|it| u64::from(it.1)).sum();
    if let [(cost, count)] = mark.costs.as_slice() {
        return cost.learn(used_ns / u64::from(*count).max(1));
    }
    let known: u64 = mark
        .costs
        .iter()
        .map(|it| u64::from(it.0.0.load(Relaxed)) * u64::from(it.1))
        .sum();
    for (cost, _) in &mark.costs {
        let present = u64::from(cost.0.load(Relaxed));
        let observed = if known == 0 || present == 0 {
            used_ns / launches.max(1)
        } else {
            (present as u128 * used_ns as u128 / known as u128) as u64
        };
        cost.learn(observed);
    }
}
