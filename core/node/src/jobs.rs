//! Who does the slow pure work?
//!
//! The machine hands out [`Job`]s: signature recoveries of about 50 µs, hashes of up to some milliseconds. One or two small ones are done
//! at once, once strangers have nothing more to say; anything more goes out in chunks to idle threads, so that a page of 256 recoveries
//! uses every core and never stalls the loop. First come, first served.
//!
//! While [`MAX_UNDER_WAY`] are under way, the driver reads nothing from strangers: else a slow core would make the machine refuse, for
//! want of room, what an honest peer sends.
//!
//! Invariant: at most [`JobRunner::width`] chunks are out. Every job pushed comes back exactly once; `under_way` is the difference.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use futures::channel::mpsc;
use preconf_core::{Job, JobDone};

/// Most small jobs that are done on the loop itself in one go. Ours: about 100 µs, what a wake-up of another thread costs under load.
const INLINE_JOBS: usize = 2;
/// Most small jobs of one chunk. Ours: just under 1 ms, so that chunks spread over cores and none waits long behind another.
const CHUNK_JOBS: usize = 16;

/// Most jobs under way while strangers are still read. Source: as many hashes of one peer's txlists as the machine takes at a time; it
/// takes more recoveries. Eight keep some cores busy with what a single loop can read.
pub(crate) const MAX_UNDER_WAY: usize = 8;

/// A piece of work.
pub type BoxedWork = Box<dyn FnOnce() + Send>;

/// Runs work on other threads.
pub trait JobRunner: Send + Sync + 'static {
    /// Runs the work soon. Must not wait for it, and must not lose it.
    fn run(&self, work: BoxedWork);

    /// How many pieces of work can make progress at once.
    fn width(&self) -> usize;
}

impl<R: JobRunner + ?Sized> JobRunner for Arc<R> {
    fn run(&self, work: BoxedWork) {
        (**self).run(work);
    }

    fn width(&self) -> usize {
        (**self).width()
    }
}

type Chunk = Result<Vec<JobDone>, Box<dyn Any + Send>>;

/// The driver's jobs: waiting, out, and done.
pub(crate) struct Jobs {
    runner: Box<dyn JobRunner>,
    width: usize,
    max_under_way: usize,
    under_way: usize,
    waiting: VecDeque<Job>,
    out: usize,
    sender: mpsc::UnboundedSender<Chunk>, // holds at most `out` chunks
    receiver: mpsc::UnboundedReceiver<Chunk>,
    done: VecDeque<JobDone>,
}

impl Jobs {
    pub(crate) fn new(runner: Box<dyn JobRunner>, max_under_way: usize) -> Self {
        let (sender, receiver) = mpsc::unbounded();
        let width = runner.width().max(1);
        let (waiting, done) = (VecDeque::new(), VecDeque::new());
        Self { runner, width, max_under_way, under_way: 0, waiting, out: 0, sender, receiver, done }
    }

    /// Takes a job. The machine bounds how many there are.
    pub(crate) fn push(&mut self, job: Job) {
        self.under_way += 1;
        self.waiting.push_back(job);
    }

    /// May a stranger's input be taken, which may bring another job?
    pub(crate) fn has_room(&self) -> bool {
        self.under_way < self.max_under_way
    }

    /// Does anything wait to be started, and could it be?
    pub(crate) fn can_start(&self) -> bool {
        !self.waiting.is_empty() && (self.out < self.width || self.fits_inline())
    }

    /// Is there too much, or too large, work to let it gather any longer?
    pub(crate) fn is_pressing(&self) -> bool {
        self.out < self.width && (self.waiting.len() >= CHUNK_JOBS || self.waiting.iter().any(|job| !job.is_small()))
    }

    /// Starts what can be started: a few small ones here and now, else chunks on other threads.
    pub(crate) fn start(&mut self) {
        if self.fits_inline() {
            self.done.extend(self.waiting.drain(..).map(|job| job.run()));
            return;
        }
        let free = self.width.saturating_sub(self.out).max(1);
        let share = self.waiting.len().div_ceil(free).clamp(1, CHUNK_JOBS);
        while self.out < self.width && !self.waiting.is_empty() {
            let chunk = self.take_chunk(share);
            self.send_out(chunk);
        }
    }

    /// The next result.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<JobDone> {
        loop {
            if let Some(done) = self.done.pop_front() {
                self.under_way -= 1;
                return Poll::Ready(done);
            }
            match ready!(self.receiver.poll_next_unpin(context)) {
                Some(Ok(chunk)) => {
                    self.out -= 1;
                    self.done.extend(chunk);
                    if self.can_start() {
                        self.start();
                    }
                }
                // A job that panics is our bug; it must not end as a thread's last words that nobody hears.
                Some(Err(panic)) => resume_unwind(panic),
                None => return Poll::Pending, // never: we hold a sender ourselves
            }
        }
    }

    fn fits_inline(&self) -> bool {
        self.waiting.len() <= INLINE_JOBS && self.waiting.iter().all(Job::is_small)
    }

    /// One large job, or as many small ones in a row as make a share.
    fn take_chunk(&mut self, share: usize) -> Vec<Job> {
        let small = self.waiting.iter().take(share).take_while(|job| job.is_small()).count();
        self.waiting.drain(..small.max(1)).collect()
    }

    fn send_out(&mut self, chunk: Vec<Job>) {
        self.out += 1;
        let sender = self.sender.clone();
        self.runner.run(Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(|| chunk.iter().map(Job::run).collect()));
            let _ = sender.unbounded_send(done); // the driver is gone, and with it who asked
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use preconf_core::{Bytes, Found, JobId, Work, keccak256};

    use super::*;

    /// Keeps work until it is told to do it.
    #[derive(Clone, Default)]
    struct Held(Arc<Mutex<VecDeque<BoxedWork>>>);

    impl Held {
        fn len(&self) -> usize {
            self.0.lock().expect("no panic").len()
        }

        fn run_one(&self) {
            let work = self.0.lock().expect("no panic").pop_front().expect("some work");
            work();
        }
    }

    impl JobRunner for Held {
        fn run(&self, work: BoxedWork) {
            self.0.lock().expect("no panic").push_back(work);
        }

        fn width(&self) -> usize {
            2
        }
    }

    fn next(jobs: &mut Jobs) -> Option<JobDone> {
        match jobs.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    fn hash(id: u64, len: usize) -> Job {
        Job { id: JobId(id), work: Work::Hash { txlist: Bytes::from(vec![7; len]) } }
    }

    #[test]
    fn a_single_small_job_is_done_at_once() {
        let held = Held::default();
        let mut jobs = Jobs::new(Box::new(held.clone()), 64);
        jobs.push(hash(1, 10));
        assert!(jobs.can_start() && !jobs.is_pressing());
        jobs.start();
        assert_eq!(held.len(), 0);
        assert_eq!(next(&mut jobs), Some(JobDone { id: JobId(1), found: Found::Hash(keccak256([7; 10])) }));
    }

    #[test]
    fn a_large_job_leaves_the_loop_at_once() {
        let held = Held::default();
        let mut jobs = Jobs::new(Box::new(held.clone()), 64);
        jobs.push(hash(1, 1 << 20));
        assert!(jobs.is_pressing());
        jobs.start();
        assert_eq!(next(&mut jobs), None);
        held.run_one();
        assert_eq!(next(&mut jobs).map(|done| done.id), Some(JobId(1)));
    }

    #[test]
    fn a_page_of_256_goes_out_in_chunks_and_no_wider_than_the_runner() {
        let held = Held::default();
        let mut jobs = Jobs::new(Box::new(held.clone()), 64);
        (0..256).for_each(|id| jobs.push(hash(id, 10)));
        assert!(!jobs.has_room());
        jobs.start();
        let mut back = Vec::new();
        while held.len() > 0 {
            assert!(held.len() <= 2);
            held.run_one();
            while let Some(done) = next(&mut jobs) {
                back.push(done.id.0);
            }
        }
        assert_eq!(back, (0..256).collect::<Vec<_>>());
        assert!(jobs.has_room());
    }

    #[test]
    #[should_panic(expected = "a broken invariant")]
    fn a_panic_in_a_job_is_heard_on_the_loop() {
        let mut jobs = Jobs::new(Box::new(Held::default()), 64);
        jobs.out = 1;
        let panic = catch_unwind(|| panic!("a broken invariant")).expect_err("it panics");
        jobs.sender.unbounded_send(Err(panic)).expect("the receiver is here");
        let _ = next(&mut jobs);
    }
}
