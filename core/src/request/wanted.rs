//! What would a part like to have asked, why, and of whom?
//!
//! A part says what it wants next; it neither chooses a peer nor sends. The machine has a peer chosen, and tells the part what came of it.

use alloy_primitives::B256;
use bytes::Bytes;

use crate::id::{CommandId, PeerId};
use crate::wire::topics::Protocol;

/// A request that a part wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
    pub(crate) purpose: Purpose,
    pub(crate) whom: Whom,
}

/// Whom a request may go to, as far as the part that wants it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// This one, or nobody.
    Only(PeerId),
    /// Anyone but these; the preferred one before anyone else, if it can be asked.
    AnyoneBut { exclude: Vec<PeerId>, prefer: Option<PeerId> },
    /// One of these, who say that they have it, in the order of their ids. Who did not answer the last time is asked behind all others (P6.9).
    OneOf(Vec<PeerId>),
}

impl Whom {
    /// Whoever can be asked best.
    pub(crate) const ANYONE: Self = Self::AnyoneBut { exclude: Vec::new(), prefer: None };
}

/// Why we ask, and so who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Purpose {
    /// A peer's head, for catch-up (P6.9) or for our user.
    Head { command: Option<CommandId> },
    /// Commitments for our user.
    Commitments { start: u64, count: u32, command: CommandId },
    /// A page of catch-up.
    Page { start: u64, count: u32 },
    /// The commitment at the head that a peer claims: what backs the claim (P11.1).
    Probe { number: u64 },
    /// The one commitment before a child whose parent we do not know (P5.2).
    Parent { number: u64 },
    /// What a peer holds of a window in which we may have published before (P5.9b).
    OwnWindow { start: u64, count: u32 },
    /// A missing txlist (P5.6), or one for our user.
    TxList { hash: B256, command: Option<CommandId> },
}

impl Purpose {
    /// Does it bring the commitment with this number, if its peer has it?
    pub(crate) fn brings(self, number: u64) -> bool {
        match self {
            Self::Page { start, count } | Self::OwnWindow { start, count } | Self::Commitments { start, count, .. } => {
                (start..start.saturating_add(u64::from(count))).contains(&number)
            }
            Self::Probe { number: asked } | Self::Parent { number: asked } => asked == number,
            Self::Head { .. } | Self::TxList { .. } => false,
        }
    }

    /// Who of our users waits for it.
    pub(crate) fn command(self) -> Option<CommandId> {
        match self {
            Self::Head { command } | Self::TxList { command, .. } => command,
            Self::Commitments { command, .. } => Some(command),
            Self::Page { .. } | Self::Probe { .. } | Self::Parent { .. } | Self::OwnWindow { .. } => None,
        }
    }
}
