//! When does slow work come back?
//!
//! At once, or after a random while and so in any order: the machine must conclude the same. Jobs are pure, so one that was done before, for
//! whatever node, is not done again: a signature is known by its bytes, a txlist by where they lie, since nodes share them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use preconf_core::{Address, B256, Bytes, Found, Job, JobDone, SIGNED_COMMITMENT_BYTES, Work};

/// Most recoveries remembered; then all are forgotten. Ours: some 30 MiB.
const MAX_REMEMBERED: usize = 1 << 16;

/// Most bytes of txlists whose hashes are remembered; then all are forgotten. Ours.
const MAX_REMEMBERED_BYTES: usize = 64 << 20;

/// In which order results return.
#[derive(Clone, Debug, Default)]
pub enum JobOrder {
    /// As they were asked, within the same step.
    #[default]
    AtOnce,
    /// Each after a span of its own.
    After(Range<Duration>),
}

/// Runs jobs, and remembers who signed what.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    signers: HashMap<([u8; SIGNED_COMMITMENT_BYTES], B256), Option<Address>>,
    /// By place and length. The bytes are kept, so that nothing else can lie there meanwhile.
    hashes: HashMap<(usize, usize), (Bytes, B256)>,
    hashed_bytes: usize,
    /// Recoveries that were really computed.
    pub(crate) recovered: u64,
    pool: Option<Pool>,
}

/// A job that was started.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// Its result is here.
    Done(JobDone),
    /// A thread has it.
    Out(u64),
}

/// Threads that do jobs. When each is done is chance; when its result is used is not.
#[derive(Debug)]
struct Pool {
    to: Sender<(u64, Job)>,
    from: Receiver<(u64, JobDone)>,
    early: HashMap<u64, JobDone>,
    started: u64,
}

impl Pool {
    fn new(threads: usize) -> Self {
        let ((to, jobs), (done, from)) = (channel::<(u64, Job)>(), channel());
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let (jobs, done) = (jobs.clone(), done.clone());
            thread::spawn(move || {
                loop {
                    let next = jobs.lock().map(|jobs| jobs.recv());
                    let Ok(Ok((ticket, job))) = next else { return }; // the world is gone
                    if done.send((ticket, job.run())).is_err() {
                        return;
                    }
                }
            });
        }
        Self { to, from, early: HashMap::new(), started: 0 }
    }

    fn start(&mut self, job: Job) -> u64 {
        self.started += 1;
        self.to.send((self.started, job)).expect("the threads live as long as the pool");
        self.started
    }

    fn wait_for(&mut self, ticket: u64) -> JobDone {
        loop {
            if let Some(done) = self.early.remove(&ticket) {
                return done;
            }
            let (ticket, done) = self.from.recv().expect("the threads live as long as the pool");
            self.early.insert(ticket, done);
        }
    }
}

impl Jobs {
    /// From now on so many threads do the jobs, each job anew.
    pub(crate) fn on_threads(&mut self, threads: usize) {
        self.pool = (threads > 0).then(|| Pool::new(threads));
    }

    pub(crate) fn start(&mut self, job: Job) -> Ticket {
        match &mut self.pool {
            Some(pool) => Ticket::Out(pool.start(job)),
            None => Ticket::Done(self.run(&job)),
        }
    }

    /// # Panics
    /// The ticket is of another world.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> JobDone {
        match ticket {
            Ticket::Done(done) => done,
            Ticket::Out(ticket) => self.pool.as_mut().expect("who handed out the ticket").wait_for(ticket),
        }
    }

    fn run(&mut self, job: &Job) -> JobDone {
        let (commitment, domain) = match &job.work {
            Work::Recover { commitment, domain } => (commitment, domain),
            Work::Hash { txlist } => return self.hash(job, txlist),
        };
        let key = (*commitment.as_bytes(), *domain);
        if let Some(signer) = self.signers.get(&key) {
            return JobDone { id: job.id, found: Found::Signer(*signer) };
        }
        let done = job.run();
        self.recovered += 1;
        if self.signers.len() >= MAX_REMEMBERED {
            self.signers.clear();
        }
        if let Found::Signer(signer) = done.found {
            self.signers.insert(key, signer);
        }
        done
    }

    fn hash(&mut self, job: &Job, txlist: &Bytes) -> JobDone {
        let key = (txlist.as_ptr() as usize, txlist.len());
        if let Some((_, hash)) = self.hashes.get(&key) {
            return JobDone { id: job.id, found: Found::Hash(*hash) };
        }
        let done = job.run();
        if self.hashed_bytes + txlist.len() > MAX_REMEMBERED_BYTES {
            self.hashes.clear();
            self.hashed_bytes = 0;
        }
        if let Found::Hash(hash) = done.found {
            self.hashed_bytes += txlist.len();
            self.hashes.insert(key, (txlist.clone(), hash));
        }
        done
    }
}
