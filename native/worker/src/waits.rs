//! Waits that would keep the loop from the session's other threads, and copies to the client that have to wait. A few threads
//! take them over and answer by themselves.

use crate::copies_out::CopyOut;
use crate::driver::{Driver, check};
use crate::outbox::Outbox;
use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads that wait for the GPU at once; more waits stand in line.
const MOST_THREADS: usize = 32;

/// How a wait is answered: which request, by its sequence.
#[derive(Clone, Copy)]
pub enum Answer {
    Context(u64),
    Stream(u64),
    Event(u64),
    Copy(u64),
    Copy2D(u64),
    /// A copy that nobody waits for: only its failure is told, for the destination.
    Nothing,
}

impl Answer {
    /// Adds the reply to what is to be written.
    pub fn push(self, outbox: &Outbox, outcome: Result<(), CUresult>) {
        let result = outcome.err().unwrap_or(CUDA_SUCCESS);
        match self {
            Answer::Context(reply_to) => {
                outbox.push(&ContextSynchronizeReply { reply_to, result }, &[])
            }
            Answer::Stream(reply_to) => {
                outbox.push(&StreamSynchronizeReply { reply_to, result }, &[])
            }
            Answer::Event(reply_to) => {
                outbox.push(&EventSynchronizeReply { reply_to, result }, &[])
            }
            Answer::Copy(reply_to) => outbox.push(&MemcpyDtoHReply { reply_to, result }, &[]),
            Answer::Copy2D(reply_to) => outbox.push(&MemcpyDtoH2DReply { reply_to, result }, &[]),
            Answer::Nothing => {}
        }
    }
}

/// A mark that something was done, which others may wait for.
#[derive(Default)]
pub struct Done {
    is: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Done {
    pub fn is(&self) -> bool {
        self.is.load(Acquire)
    }

    pub fn set(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.is.store(true, Release);
        self.changed.notify_all();
    }

    pub fn wait(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is() {
            guard = self
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What a thread does: wait for events and for earlier copies, then copy or answer.
pub struct Job {
    pub context: CUcontext,
    /// Events to wait for; those of the program stay its own, others are destroyed afterwards.
    pub events: Vec<CUevent>,
    pub events_are_programs: bool,
    pub after: Vec<Arc<Done>>,
    pub copy: Option<CopyOut>,
    pub answer: Answer,
    pub done: Arc<Done>,
}

// SAFETY: contexts, events and streams are handles that any thread may use.
unsafe impl Send for Job {}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    /// The program's events that threads wait for now.
    waited_for: Vec<usize>,
}

struct Shared {
    driver: &'static Driver,
    outbox: Arc<Outbox>,
    line: Mutex<Line>,
    came: Condvar,
    left: Condvar,
}

/// The threads that wait.
pub struct Waiters {
    shared: Arc<Shared>,
}

impl Waiters {
    pub fn new(driver: &'static Driver, outbox: Arc<Outbox>) -> Waiters {
        let (line, came, left) = (Mutex::default(), Condvar::new(), Condvar::new());
        Waiters {
            shared: Arc::new(Shared {
                driver,
                outbox,
                line,
                came,
                left,
            }),
        }
    }

    /// Hands a job over.
    pub fn add(&self, job: Job) {
        let mut line = self.shared.line();
        if job.events_are_programs {
            line.waited_for
                .extend(job.events.iter().map(|it| *it as usize));
        }
        line.jobs.push_back(job);
        if line.idle == 0 && line.threads < MOST_THREADS {
            let shared = self.shared.clone();
            let made = std::thread::Builder::new()
                .name("wait".into())
                .stack_size(256 << 10)
                .spawn(move || shared.work());
            line.threads += usize::from(made.is_ok());
        }
        self.shared.came.notify_one();
    }

    /// Waits until no thread waits for an event of the program, which is about to be destroyed.
    pub fn forget_event(&self, event: CUevent) {
        let mut line = self.shared.line();
        while line.waited_for.contains(&(event as usize)) {
            line = self
                .shared
                .left
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Jobs that are not taken up yet.
    pub fn in_line(&self) -> usize {
        self.shared.line().jobs.len()
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut line = self.line();
            let job = loop {
                if let Some(job) = line.jobs.pop_front() {
                    break job;
                }
                line.idle += 1;
                line = self.came.wait(line).unwrap_or_else(PoisonError::into_inner);
                line.idle -= 1;
            };
            drop(line);
            self.carry_out(job);
        }
    }

    fn carry_out(&self, mut job: Job) {
        let mut outcome = Ok(());
        // SAFETY: context and events are alive: the loop waits for this job before it destroys either.
        unsafe {
            (self.driver.cuCtxSetCurrent)(job.context);
            for event in &job.events {
                outcome = outcome.and(check((self.driver.cuEventSynchronize)(*event)));
                if !job.events_are_programs {
                    (self.driver.cuEventDestroy)(*event);
                }
            }
        }
        job.after.iter().for_each(|it| it.wait());
        if let Some(copy) = &mut job.copy {
            outcome = outcome.and_then(|()| copy.run(self.driver, &self.outbox));
            if let (Err(result), Answer::Nothing) = (outcome, job.answer) {
                self.outbox.push(
                    &DataFailed {
                        destination: copy.destination,
                        result,
                    },
                    &[],
                );
            }
        }
        job.answer.push(&self.outbox, outcome);
        // The loop finds a broken connection by itself.
        let _ = self.outbox.flush();
        if job.events_are_programs {
            let mut line = self.line();
            for event in &job.events {
                if let Some(at) = line.waited_for.iter().position(|it| *it == *event as usize) {
                    line.waited_for.swap_remove(at);
                }
            }
            self.left.notify_all();
        }
        job.done.set();
    }
}

/// A copy to the client that is not done yet.
struct Pending {
    number: u64,
    context: u32,
    stream: u32,
    /// Later work of the stream must wait, since the source is read where it lies.
    holds: bool,
    done: Arc<Done>,
}

/// The copies to the client that are not done yet.
#[derive(Default)]
pub struct Copies {
    asked: u64,
    pending: Vec<Pending>,
    holds: usize,
}

impl Copies {
    /// How many copies were asked for so far.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// True when no stream is held up.
    #[inline]
    pub fn holds_nothing(&self) -> bool {
        self.holds == 0
    }

    /// Counts a copy, which `done` tells the end of.
    pub fn add(&mut self, context: u32, stream: u32, holds: bool, done: Arc<Done>) {
        self.asked += 1;
        self.holds += usize::from(holds);
        self.pending.push(Pending {
            number: self.asked,
            context,
            stream,
            holds,
            done,
        });
    }

    /// The copies not yet done that `covers` says yes to, by context, stream and number.
    pub fn covered(&mut self, covers: impl Fn(u32, u32, u64) -> bool) -> Vec<Arc<Done>> {
        self.prune();
        let covered = self
            .pending
            .iter()
            .filter(|it| covers(it.context, it.stream, it.number));
        covered.map(|it| it.done.clone()).collect()
    }

    /// The copies that hold up streams, with context and stream.
    pub fn holding(&mut self) -> Vec<(u32, u32, Arc<Done>)> {
        self.prune();
        self.pending
            .iter()
            .filter(|it| it.holds)
            .map(|it| (it.context, it.stream, it.done.clone()))
            .collect()
    }

    fn prune(&mut self) {
        self.pending.retain(|it| !it.done.is());
        self.holds = self.pending.iter().filter(|it| it.holds).count();
    }
}
