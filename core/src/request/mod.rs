//! What do we ask of others, and what do we answer (P6)?
//!
//! [`Requests`] is the table of what we asked. `ask` sends and chooses, `answered` takes what comes back, `serve` answers others. Every
//! request ends exactly once: by a response, a failure, or its timer (P6.5); what is not in the table changes nothing.
//!
//! Invariants: a request is in `sent` or in `waiting`, never both, and has a timer as long as it is in either. The table of peers knows how
//! many of `sent` are with each, and which of `waiting` wait for it ([`Peers::wait_for`](crate::peer::table::Peers::wait_for)).

pub(crate) mod answered;
pub(crate) mod ask;
pub(crate) mod serve;
pub(crate) mod wanted;

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::id::{CommandId, PeerId, RequestId};
use crate::wire::topics::Protocol;

/// Why we ask, and so who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A peer's head, for catch-up (P6.9) or for our user.
    Head { command: Option<CommandId> },
    /// Commitments for our user.
    Commitments { start: u64, count: u32, command: CommandId },
    /// A page of catch-up.
    Page { start: u64, count: u32 },
    /// The one commitment before a child whose parent we do not know (P5.2).
    Parent { number: u64 },
    /// A missing txlist (P5.6), or one for our user.
    TxList { hash: B256, command: Option<CommandId> },
}

impl Purpose {
    /// Who of our users waits for it.
    pub(crate) fn command(self) -> Option<CommandId> {
        match self {
            Self::Head { command } | Self::TxList { command, .. } => command,
            Self::Commitments { command, .. } => Some(command),
            Self::Page { .. } | Self::Parent { .. } => None,
        }
    }
}

/// A request that is with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) purpose: Purpose,
}

/// A request of our user's that waits for room with its peer (P6.7).
#[derive(Debug)]
struct Waiting {
    sent: Sent,
    body: Bytes,
}

/// The table of what we asked.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    sent: BTreeMap<RequestId, Sent>,
    /// In the order in which they came, since ids ascend.
    waiting: BTreeMap<RequestId, Waiting>,
}

impl Requests {
    /// Requests with all peers.
    pub(crate) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Requests with peers, and those that wait for room.
    pub(crate) fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }

    fn enter(&mut self, request: RequestId, sent: Sent) {
        self.sent.insert(request, sent);
    }

    /// Takes a request out of the table; it has ended. Says whether it was with its peer.
    fn end(&mut self, request: RequestId) -> Option<(Sent, bool)> {
        if let Some(sent) = self.sent.remove(&request) {
            return Some((sent, true));
        }
        self.waiting.remove(&request).map(|waiting| (waiting.sent, false))
    }

    /// Whom a request is for, sent or waiting.
    fn peer_of(&self, request: RequestId) -> Option<PeerId> {
        self.sent.get(&request).or(self.waiting.get(&request).map(|waiting| &waiting.sent)).map(|sent| sent.peer)
    }

    /// All requests to a peer, sent or waiting.
    fn of(&self, peer: &PeerId) -> Vec<RequestId> {
        let sent = self.sent.iter().filter(|(_, sent)| sent.peer == *peer).map(|(request, _)| *request);
        let waiting = self.waiting.iter().filter(|(_, waiting)| waiting.sent.peer == *peer).map(|(request, _)| *request);
        sent.chain(waiting).collect()
    }
}
