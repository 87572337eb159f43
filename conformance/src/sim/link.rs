//! What happens on the way between two nodes?

use std::ops::Range;
use std::time::Duration;

use preconf_core::{ConnectionId, Time};

/// How a link treats what travels on it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long one way takes.
    pub latency: Range<Duration>,
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
        Self { latency: Duration::from_millis(5)..Duration::from_millis(50), loss: 0, repeats: 0, reorders: true }
    }
}

/// A way between two nodes.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) terms: Terms,
    /// The connection that stands, if one does.
    pub(crate) connection: Option<ConnectionId>,
    /// Nothing passes, until it is healed.
    pub(crate) cut: bool,
    /// Latest arrival so far in each direction, for links that keep the order.
    pub(crate) last: [Time; 2],
}

impl Link {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, connection: None, cut: false, last: [Time::ZERO; 2] }
    }
}
