//! What does a node ask of whatever keeps its records?

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use preconf_core::{PersistId, Record, StorageFailure};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The record.
    pub id: PersistId,
    /// Ok when it is on disk for good: whatever happens to the process or the machine now, it is there at the next start.
    pub result: Result<(), StorageFailure>,
}

/// Keeps records. The driver of a node owns one and polls it beside its sockets; nothing here ever blocks.
///
/// Each record that is taken is answered once, unless the store is closed before. What we commit to is answered in the order in which it was
/// taken, and so is all the rest; but neither waits for the other, since what we commit to is published only when it is on disk (P5.9a). A
/// record for which there is no room is refused at once.
///
/// A driver turns [`Done`] into [`Input::Persisted`](preconf_core::Input::Persisted) or
/// [`Input::PersistFailed`](preconf_core::Input::PersistFailed).
pub trait Store: Send {
    /// Takes a record.
    fn persist(&mut self, id: PersistId, record: Record);

    /// What became of one that was taken. Wakes the task when there is more.
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Done>;

    /// Ends the store: is done when all that was taken is on disk or has failed, and the directory is free for another process.
    ///
    /// A disk that hangs never ends this. Who has a clock gives up waiting after a time; what is under way goes on as long as the process
    /// does. A store that is dropped instead ends the same way, untold.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}
