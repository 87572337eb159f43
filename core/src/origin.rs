//! Where did a commitment or a txlist come from, and who waits to hear what became of it?
//!
//! The ids in it stay inside the machine; the application is told a [`Source`].

use crate::id::{CommandId, MessageId, PeerId, RequestId};
use crate::output::Source;

/// How something came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Origin {
    /// By gossip. The message is named until its verdict is given.
    Gossip { peer: PeerId, message: Option<MessageId> },
    /// In the answer to a request of ours. A command waits for it where our user asked, not catch-up.
    Response { peer: PeerId, request: RequestId, command: Option<CommandId> },
    /// From our own application. Is the record of it on disk (P5.9a)?
    Own { command: CommandId, is_recorded: bool },
    /// It was here already, and is linked anew because the sync tip moved (P9.3).
    Kept,
}

impl Origin {
    /// The peer that brought it, if one did.
    pub(crate) fn peer(self) -> Option<PeerId> {
        self.source().peer()
    }

    /// As the application is told of it.
    pub(crate) fn source(self) -> Source {
        match self {
            Self::Gossip { peer, .. } => Source::Gossip(peer),
            Self::Response { peer, .. } => Source::Response(peer),
            Self::Own { .. } => Source::Own,
            Self::Kept => Source::Kept,
        }
    }
}
