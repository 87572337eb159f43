//! What is on its way, and what comes next?
//!
//! A queue ordered by time, then by when something was put there. What is on its way lies in slots of its own, so that ordering moves small
//! keys and not whole messages.
//!
//! Invariant: every key names a filled slot, and every filled slot has one key.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use preconf_core::{Bytes, ConnectionId, DialId, Input, MessageId, PersistId, Protocol, RequestId, SyncTip, Time, Topic, Window};

use super::jobs::Ticket;
use super::node::NodeId;
use super::spread::Told;

/// Something that is on its way.
#[derive(Debug)]
pub(crate) enum Happening {
    /// For the machine of a node, in this life.
    Input { node: NodeId, life: u32, input: Input },
    /// The result of a machine's job, in this life.
    Job { node: NodeId, life: u32, ticket: Ticket },
    /// A disk has written a record, or could not, in this life.
    Written { node: NodeId, life: u32, id: PersistId },
    /// A node's deadline.
    Wake { node: NodeId, life: u32 },
    /// Both ends say what they speak and join the topics.
    Joined { ends: (NodeId, NodeId), connection: ConnectionId },
    /// A link is tried (again).
    Connect { ends: (NodeId, NodeId) },
    /// Both ends notice that nothing passes any more.
    Broken { ends: (NodeId, NodeId), connection: ConnectionId },
    /// A gossip message reaches a node.
    Gossip { from: NodeId, to: NodeId, connection: ConnectionId, message: MessageId, topic: Topic, data: Bytes },
    /// A request reaches a node.
    Request { from: NodeId, to: NodeId, connection: ConnectionId, request: RequestId, protocol: Protocol, body: Bytes },
    /// An answer, or none: the stream closes.
    Answer { to: NodeId, connection: ConnectionId, ends: (NodeId, NodeId), request: RequestId, body: Option<Bytes> },
    /// A node hears which messages a peer has.
    Have { from: NodeId, to: NodeId, connection: ConnectionId, told: Told },
    /// A node hears that a peer wants one of them.
    Wanted { by: NodeId, from: NodeId, connection: ConnectionId, message: MessageId, topic: Topic, data: Bytes },
    /// A node's gossip layer has something to do.
    Heartbeat { node: NodeId },
    /// A dial reaches its address, or nobody.
    Dialed { from: NodeId, to: Option<NodeId>, dial: Option<DialId> },
    /// A puppet gets the turn that it asked for.
    Turn { node: NodeId },
    /// The next block of a load is due.
    Block { load: usize, number: u64 },
    /// A preconfer looks at its clock.
    Slot { seat: usize },
    /// L1 makes a block.
    L1Block,
    /// A node hears of L1's sync tip.
    Tip { node: NodeId, tip: SyncTip },
    /// A node is given what the schedule says of some windows.
    Windows { node: NodeId, windows: Vec<Window> },
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    serial: u64,
    keys: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slots: Vec<Option<Happening>>,
    free: Vec<usize>,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, happening: Happening) {
        self.serial += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(happening);
        self.keys.push(Reverse((at, self.serial, slot)));
    }

    /// How much is on its way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.keys.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Happening)> {
        let Reverse((at, _, slot)) = self.keys.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|happening| (at, happening))
    }
}
