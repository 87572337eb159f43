//! One connection: two halves, each what one end has sent and what it has received.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use super::queue::Event;
use crate::NodeId;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who dialed.
    Caller,
    /// Who was dialed.
    Callee,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// What one end holds.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// What arrived and was not read, and how much of the first piece was.
    pub(super) arrived: VecDeque<Vec<u8>>,
    pub(super) read_of_first: usize,
    /// The other end sends no more.
    pub(super) is_at_end: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Bytes that this end sent and the other has not read.
    pub(super) unread: usize,
    /// When the last of what this end sent arrives.
    pub(super) last_arrival: u64,
    /// How many cuts have held up what this end sent.
    pub(super) holds: u64,
    /// What this end sent into the cut of now.
    pub(super) held: Vec<(usize, Event)>,
    /// What this end sent that is under way, and since when.
    pub(super) sent: VecDeque<(u64, Vec<u8>)>,
    /// This end sends no more.
    pub(super) is_closed: bool,
    /// Nobody reads here any more.
    pub(super) is_dropped: bool,
}

/// Two ends and what is between them.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) nodes: [NodeId; 2],
    /// The caller's port.
    pub(super) port: u16,
    /// Nanoseconds of one way.
    pub(super) latency: u64,
    halves: [Half; 2],
    pub(super) is_established: bool,
    pub(super) dialer: Option<Waker>,
    /// Why it ended, if it did not end as its ends wanted.
    pub(super) error: Option<io::ErrorKind>,
    pub(super) is_reset_sent: bool,
    /// Some end still holds it.
    pub(super) is_alive: bool,
}

impl Connection {
    pub(super) fn new(from: NodeId, to: NodeId, port: u16, latency: u64) -> Self {
        Self {
            nodes: [from, to],
            port,
            latency,
            halves: [Half::default(), Half::default()],
            is_established: false,
            dialer: None,
            error: None,
            is_reset_sent: false,
            is_alive: true,
        }
    }

    pub(super) fn half(&self, side: Side) -> &Half {
        &self.halves[side.index()]
    }

    pub(super) fn half_mut(&mut self, side: Side) -> &mut Half {
        &mut self.halves[side.index()]
    }

    /// Which end this node is.
    pub(super) fn side_of(&self, node: NodeId) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.nodes[side.index()] == node)
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_alive && self.is_established && self.error.is_none()
    }

    /// This end has crashed.
    pub(super) fn abandon(&mut self, side: Side) {
        let half = self.half_mut(side);
        (half.is_closed, half.is_dropped) = (true, true);
        half.arrived.clear();
        (half.reader, half.writer) = (None, None);
        self.is_reset_sent = true; // by whoever says that it crashed
        if side == Side::Caller {
            self.dialer = None;
        }
    }

    /// It is over, for both ends.
    pub(super) fn fail(&mut self, kind: io::ErrorKind, woken: &mut Vec<Waker>) {
        self.error.get_or_insert(kind);
        for half in &mut self.halves {
            half.held.clear();
            half.arrived.clear();
            half.sent.clear();
            woken.extend(half.reader.take());
            woken.extend(half.writer.take());
        }
        woken.extend(self.dialer.take());
        self.free();
    }

    /// Lets go of it once neither end holds it.
    pub(super) fn free(&mut self) {
        if self.halves.iter().all(|half| half.is_dropped) {
            self.is_alive = false;
            self.halves = [(); 2].map(|()| Half { is_dropped: true, is_closed: true, ..Half::default() });
        }
    }
}
