//! One call of the machine: all that it may be told.

use preconf_core::{Command, Input, JobId, Update};

use crate::encoding::{Cursor, encode};
use crate::error::Flaw;

/// What the machine was told in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The world said something.
    Input(Input),
    /// A job came back. Not what it found: [`Job::run`](preconf_core::Job::run) is pure, so a replay finds it again.
    JobDone(JobId),
    /// Our own application wanted something done.
    Command(Command),
    /// Our own application decided something, or knew something.
    Update(Update),
    /// Time had passed.
    Timeout,
}

impl Call {
    /// An input as it is recorded.
    pub fn from_input(input: Input) -> Self {
        match input {
            Input::JobFinished(done) => Self::JobDone(done.id),
            other => Self::Input(other),
        }
    }

    pub(crate) fn borrow(&self) -> CallRef<'_> {
        match self {
            Self::Input(input) => CallRef::Input(input),
            Self::JobDone(job) => CallRef::JobDone(*job),
            Self::Command(command) => CallRef::Command(command),
            Self::Update(update) => CallRef::Update(update),
            Self::Timeout => CallRef::Timeout,
        }
    }
}

/// A call that somebody else owns, so that recording it copies nothing but its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallRef<'a> {
    Input(&'a Input),
    JobDone(JobId),
    Command(&'a Command),
    Update(&'a Update),
    Timeout,
}

impl<'a> CallRef<'a> {
    pub(crate) fn of(input: &'a Input) -> Self {
        match input {
            Input::JobFinished(done) => Self::JobDone(done.id),
            other => Self::Input(other),
        }
    }

    /// Three bits that say which of the five it is.
    pub(crate) fn kind(self) -> u8 {
        match self {
            Self::Input(_) => 0,
            Self::JobDone(_) => 1,
            Self::Command(_) => 2,
            Self::Timeout => 3,
            Self::Update(_) => 4,
        }
    }

    /// All but its kind.
    pub(crate) fn encode(self, to: impl FnMut(&[u8])) -> postcard::Result<()> {
        match self {
            Self::Input(input) => encode(input, to),
            Self::JobDone(job) => encode(&job, to),
            Self::Command(command) => encode(command, to),
            Self::Update(update) => encode(update, to),
            Self::Timeout => Ok(()),
        }
    }
}

pub(crate) fn decode_call(kind: u8, from: &mut Cursor) -> Result<Call, Flaw> {
    match kind {
        0 => from.take().map(Call::Input),
        1 => from.take().map(Call::JobDone),
        2 => from.take().map(Call::Command),
        3 => Ok(Call::Timeout),
        4 => from.take().map(Call::Update),
        _ => Err(Flaw::Value),
    }
}
