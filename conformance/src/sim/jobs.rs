//! When does slow work come back?
//!
//! At once, or after a random while and so in any order: the machine must conclude the same. Jobs are pure, so one that was done before, for
//! whatever node, is not done again: a signature is known by its bytes, a txlist by where they lie, since nodes share them.

use std::collections::HashMap;
use std::ops::Range;
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
}

impl Jobs {
    pub(crate) fn run(&mut self, job: &Job) -> JobDone {
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
