//! Whom else is there to connect to (P8.2, P8.6 to P8.11)?
//!
//! Discovery itself runs elsewhere: it is told when to look ([`Action::LookUp`](crate::Action::LookUp)), and tells which records it found
//! ([`Input::RecordFound`](crate::Input::RecordFound)) and when it is through. When to look, whom to keep and whom to dial is decided here:
//! `lookups` sets the pace, `candidates` holds what records said, `choice` picks who is dialed next, `exchange` who makes room for somebody
//! new, `known` is what outlives a restart, and `observed` is where others see us.
//!
//! | a candidate is | what happens | it becomes |
//! |---|---|---|
//! | waiting | it is the best, and the dial budget has room | dialed |
//! | dialed | nobody answers, or the gater refuses | resting, longer each time; forgotten after the last try |
//! | dialed, waiting, resting | a connection stands | connected |
//! | connected | it says that it speaks our chain's protocols | connected and proven: kept across restarts |
//! | connected | it speaks nothing of our chain (P2.5) | resting as long as one can |
//! | connected | the last connection is gone | resting |
//! | connected | it is exchanged (P8.10) | resting, and dialed after all others |
//! | resting | its pause is over | waiting |
//! | any but connected | no record has named it for long | forgotten |

pub(crate) mod candidates;
pub(crate) mod choice;
pub(crate) mod config;
pub(crate) mod exchange;
pub(crate) mod known;
pub(crate) mod lookups;
pub(crate) mod observed;
pub(crate) mod record;

use std::collections::BTreeSet;

use crate::discovery::candidates::Candidates;
use crate::discovery::lookups::Lookups;
use crate::discovery::observed::ObservedAddresses;
use crate::id::DialId;
use crate::time::Time;

/// What the machine knows of nodes that it might connect to.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Discovery {
    pub(crate) lookups: Lookups,
    pub(crate) candidates: Candidates,
    /// Dials of candidates under way. Bounded by the dials that the connection limits allow.
    pub(crate) dialing: BTreeSet<DialId>,
    /// When candidates were chosen last.
    pub(crate) last_turn: Option<Time>,
    /// Where others see us.
    pub(crate) observed: ObservedAddresses,
}

impl Discovery {
    pub(crate) fn new(candidates: Candidates) -> Self {
        Self { lookups: Lookups::default(), candidates, dialing: BTreeSet::new(), last_turn: None, observed: ObservedAddresses::default() }
    }
}
