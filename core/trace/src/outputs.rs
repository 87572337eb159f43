//! All that the machine said in one step, as one number.
//!
//! Every field of every output counts, through the canonical bytes of `encoding`, and so do the answer to a command or an update and the
//! deadline that the machine asks to be woken at. Nothing here is read back: a replay makes the outputs again and digests them again.

use std::hash::Hasher;

use preconf_core::{CommandError, CommandId, Output, Time, Timer, UpdateError};
use serde::Serialize;
use twox_hash::xxhash3_64::{DEFAULT_SECRET_LENGTH, RawHasher, SecretBuffer};

use crate::encoding::encode;

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Outputs that were taken before the next step.
    pub outputs: u64,
    /// Were they all that there were? A driver that takes its time leaves some for a later step.
    pub drained: bool,
    /// XXH3 (64 bits) over the canonical bytes of the answer to a command or an update, of each output that was taken, and of the deadline after them.
    pub digest: u64,
}

/// What the machine answered at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// To a command.
    Command(Result<CommandId, CommandError>),
    /// To an update.
    Update(Result<(), UpdateError>),
}

/// Adds up what a machine says in one step.
///
/// ```
/// use preconf_core::{Action, Output, PeerId};
/// use preconf_trace::StepDigest;
///
/// let digest = |score| {
///     let mut digest = StepDigest::default();
///     digest.output(&Output::Net(Action::SetScore { peer: PeerId::from_bytes(&[0, 1, 7]).unwrap(), score }));
///     digest.end(None, true).digest
/// };
/// assert_eq!(digest(-1), digest(-1));
/// assert_ne!(digest(-1), digest(-2));
/// ```
#[derive(Clone)]
pub struct StepDigest {
    hash: RawHasher<&'static [u8; DEFAULT_SECRET_LENGTH]>,
    outputs: u64,
}

impl Default for StepDigest {
    fn default() -> Self {
        Self { hash: RawHasher::new(SecretBuffer::default()), outputs: 0 }
    }
}

impl std::fmt::Debug for StepDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepDigest").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

impl StepDigest {
    /// The machine answered a command or an update.
    pub fn answer(&mut self, answer: &Answer) {
        self.add(answer);
    }

    /// It gave an output.
    pub fn output(&mut self, output: &Output) {
        self.outputs += 1;
        self.add(output);
    }

    /// How many outputs it gave so far.
    pub fn outputs(&self) -> u64 {
        self.outputs
    }

    /// The step is over; the machine wants to be woken then.
    pub fn end(mut self, deadline: Option<(Time, Timer)>, drained: bool) -> Mark {
        self.add(&deadline);
        Mark { outputs: self.outputs, drained, digest: self.hash.finish() }
    }

    fn add(&mut self, value: &impl Serialize) {
        let added = encode(value, |piece| self.hash.write(piece));
        debug_assert_eq!(added, Ok(()), "no output holds a list that does not know its length");
    }
}
