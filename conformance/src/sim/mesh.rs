//! What does one node's gossip layer know?
//!
//! As much of gossipsub as the machine can tell apart: every message reaches the machine once, is forwarded only after *accept*, and not
//! back to who sent it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preconf_core::{Bytes, MessageId, Time, Topic};

use super::node::NodeId;

/// How long a message is known again. Source: PROTOCOL.md §7, gossipsub's duplicate cache.
const SEEN_FOR: Duration = Duration::from_secs(120);
/// Most peers of a mesh. Source: PROTOCOL.md §7, mesh high.
pub(crate) const MESH_HIGH: usize = 12;

/// A message that waits for its verdict.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) topic: Topic,
    pub(crate) data: Bytes,
    /// Who has it already.
    pub(crate) senders: BTreeSet<NodeId>,
}

/// One node's view.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    /// Peers that it forwards to.
    pub(crate) peers: BTreeSet<NodeId>,
    pub(crate) pending: BTreeMap<MessageId, Pending>,
    seen: BTreeMap<MessageId, Time>,
    by_age: BTreeSet<(Time, MessageId)>,
}

impl Mesh {
    /// Notes a message; says whether it is new.
    pub(crate) fn see(&mut self, now: Time, message: MessageId) -> bool {
        while let Some(&(at, old)) = self.by_age.first() {
            if at.after(SEEN_FOR) > now {
                break;
            }
            self.by_age.pop_first();
            self.seen.remove(&old);
        }
        let new = !self.seen.contains_key(&message);
        if new {
            self.seen.insert(message, now);
            self.by_age.insert((now, message));
        }
        new
    }
}
