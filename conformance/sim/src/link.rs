//! What happens on the way between two nodes?

use std::ops::Range;
use std::time::Duration;

use preconf_core::{ConnectionId, Time};

use super::dice::Dice;
use super::node::NodeId;

/// How long gossip may wait for a slow link before it is dropped. Ours: gossipsub's queues hold some seconds' worth.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// How a link treats what travels on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// How long one way takes.
    pub latency: Range<Duration>,
    /// How often it takes longer, in millionths, and how much longer at most: the long tail of a real network.
    pub tail: (u32, Duration),
    /// Bytes a second in each direction; `None` for as many as there are.
    pub bandwidth: Option<u64>,
    /// Gossip lost on the way, in millionths.
    pub loss: u32,
    /// Gossip that arrives twice, in millionths. The mesh hides the second copy from the machine.
    pub repeats: u32,
    /// May a message overtake another?
    pub reorders: bool,
}

impl Default for Terms {
    /// 5 to 50 ms, nothing lost, nothing repeated, messages may overtake each other.
    fn default() -> Self {
        let latency = Duration::from_millis(5)..Duration::from_millis(50);
        Self { latency, tail: (0, Duration::ZERO), bandwidth: None, loss: 0, repeats: 0, reorders: true }
    }
}

impl Terms {
    pub(crate) fn latency(&self, dice: &mut Dice) -> Duration {
        let longer = if dice.chance(self.tail.0) { dice.span(&(Duration::ZERO..self.tail.1)) } else { Duration::ZERO };
        dice.span(&self.latency) + longer
    }
}

/// A way between two nodes.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) terms: Terms,
    /// Who of the two dials.
    pub(crate) dialer: NodeId,
    /// It comes up again when a node comes back. Otherwise a dial made it, and only another dial brings it back.
    pub(crate) is_wished: bool,
    /// The connection that stands, if one does.
    pub(crate) connection: Option<ConnectionId>,
    /// Nothing passes, until it is healed.
    pub(crate) cut: bool,
    /// Latest arrival so far in each direction, for links that keep the order.
    last: [Time; 2],
    /// When each direction has sent what it was given.
    free: [Time; 2],
}

impl Link {
    pub(crate) fn new(terms: Terms, dialer: NodeId, is_wished: bool) -> Self {
        Self { terms, dialer, is_wished, connection: None, cut: false, last: [Time::ZERO; 2], free: [Time::ZERO; 2] }
    }

    /// When something that is sent now arrives; `None` when it may be dropped and the way is jammed.
    pub(crate) fn arrival(&mut self, now: Time, backward: bool, len: usize, may_drop: bool, dice: &mut Dice) -> Option<Time> {
        let way = usize::from(backward);
        let mut sent = now;
        if let Some(bandwidth) = self.terms.bandwidth {
            let start = self.free[way].max(now);
            if may_drop && start.since(now) > LONGEST_QUEUE {
                return None;
            }
            sent = start.after(Duration::from_micros((len as u64).saturating_mul(1_000_000) / bandwidth.max(1)));
            self.free[way] = sent;
        }
        let mut at = sent.after(self.terms.latency(dice));
        if !self.terms.reorders {
            at = at.max(self.last[way]);
            self.last[way] = at;
        }
        Some(at)
    }
}
