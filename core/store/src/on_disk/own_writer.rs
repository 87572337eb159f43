//! Writes what we commit to, at once: somebody waits for it (P5.9a).
//!
//! A thread of its own, so that it never waits for a batch of the chain. It takes all that waits, commits once, and answers. After a failure
//! the next commitment is the next try.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use futures::channel::mpsc::UnboundedSender;
use preconf_core::{OwnCommitment, PersistId, SIGNED_COMMITMENT_BYTES, StorageFailure};

use super::database::Live;
use super::own;
use crate::limits::Limits;
use crate::store::Done;

/// What waits for the thread.
#[derive(Debug, Default)]
pub(crate) struct OwnQueue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(PersistId, OwnCommitment)>,
    /// Of what waits; what is being written is at most as much again.
    bytes: usize,
    is_closing: bool,
}

impl OwnQueue {
    /// Takes a commitment, unless there is no room: then the disk has not taken any for a long time.
    pub(crate) fn push(&self, id: PersistId, own: OwnCommitment, limits: &Limits) -> Result<(), StorageFailure> {
        let mut state = self.state();
        let bytes = len_bytes(&own);
        if state.waiting.len() >= limits.waiting || state.bytes + bytes > limits.waiting_bytes {
            return Err(StorageFailure::Io);
        }
        state.bytes += bytes;
        state.waiting.push_back((id, own));
        self.wake.notify_one();
        Ok(())
    }

    /// Has the thread end when nothing waits any more.
    pub(crate) fn close(&self) {
        self.state().is_closing = true;
        self.wake.notify_one();
    }

    /// All that waits, once there is something; nothing at the end.
    fn take(&self) -> Vec<(PersistId, OwnCommitment)> {
        let mut state = self.state();
        while state.waiting.is_empty() && !state.is_closing {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes = 0;
        state.waiting.drain(..).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn len_bytes(own: &OwnCommitment) -> usize {
    SIGNED_COMMITMENT_BYTES + own.txlist.as_ref().map_or(0, |txlist| txlist.len())
}

/// The thread.
pub(crate) fn run(queue: &Arc<OwnQueue>, mut live: Live, limits: &Limits, done: &UnboundedSender<Done>) {
    // What turned out to be damaged is not written to again.
    let mut is_damaged = false;
    let mut is_failing = false;
    loop {
        let taken = queue.take();
        if taken.is_empty() {
            return;
        }
        let (ids, batch): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        let now = live.at().disk.now();
        let written =
            if is_damaged { Err(StorageFailure::Damaged) } else { live.write(|transaction| own::write(transaction, &batch, now, limits)) };
        is_damaged |= written == Err(StorageFailure::Damaged);
        if written.is_err() != is_failing {
            is_failing = written.is_err();
            tell(live.at().path().display(), written.as_ref().err());
        }
        let results = written.unwrap_or_else(|failure| vec![Err(failure); ids.len()]);
        for (id, result) in ids.into_iter().zip(results) {
            let _ = done.unbounded_send(Done { id, result }); // nobody listens any more at the end
        }
    }
}

/// A change that an operator should hear of.
pub(crate) fn tell(path: impl std::fmt::Display, failure: Option<&StorageFailure>) {
    match failure {
        Some(failure) => tracing::warn!(%path, %failure, "records cannot be written"),
        None => tracing::info!(%path, "records are written again"),
    }
}

#[cfg(test)]
mod tests {
    use preconf_core::{Address, Bytes, PreconfCommitment, SignedCommitment};

    use super::*;

    #[test]
    fn what_waits_is_bounded_in_count_and_in_bytes() {
        let limits = Limits { waiting: 2, waiting_bytes: 2000, ..Limits::default() };
        let own = |len| OwnCommitment {
            signer: Address::ZERO,
            signed: SignedCommitment::new(PreconfCommitment::default(), [0; 65]),
            txlist: Some(Bytes::from(vec![0; len])),
        };
        let queue = OwnQueue::default();
        let push = |len| queue.push(PersistId(1), own(len), &limits);
        assert_eq!([push(1700), push(100), push(0)], [Err(StorageFailure::Io), Ok(()), Ok(())]);
        assert_eq!(push(0), Err(StorageFailure::Io), "too many");
        assert_eq!(queue.take().len(), 2);
        assert_eq!(push(0), Ok(()), "and there is room again");
    }
}
