//! When does slow work come back?
//!
//! At once, or after a random while and so in any order: the machine must conclude the same. Recoveries are pure, so one that was computed
//! before, for whatever node, is not computed again.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use preconf_core::{Address, B256, Found, Job, JobDone, SIGNED_COMMITMENT_BYTES, Work};

/// Most recoveries remembered; then all are forgotten. Ours: some 30 MiB.
const MAX_REMEMBERED: usize = 1 << 16;

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
    /// Recoveries that were really computed.
    pub(crate) recovered: u64,
}

impl Jobs {
    pub(crate) fn run(&mut self, job: &Job) -> JobDone {
        let Work::Recover { commitment, domain } = &job.work else { return job.run() };
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
}
