//! What has the machine counted?
//!
//! Plain fields, no metrics library. The driver reads them; nothing in the machine decides by them.

use std::collections::BTreeMap;

/// Counters since the start, and a few levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Gossip messages accepted.
    pub accepted: u64,
    /// Gossip messages ignored, held ones that ran out of time among them.
    pub ignored: u64,
    /// Gossip messages rejected.
    pub rejected: u64,
    /// Messages refused, by the label of their [`Refusal`](crate::Refusal), from gossip and responses.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Jobs started.
    pub jobs: u64,
    /// Requests sent.
    pub requests_sent: u64,
    /// Requests answered well.
    pub requests_answered: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Requests of peers answered.
    pub requests_served: u64,
    /// Requests of peers dropped without an answer.
    pub requests_refused: u64,
    /// Connections that the gate refused once they stood, by the label of the [`GateRefusal`](crate::GateRefusal) (P8.1).
    pub connections_refused: BTreeMap<&'static str, u64>,
    /// Peers that had to leave because there were too many (P8.4).
    pub peers_pruned: u64,
    /// Blocks that became ready.
    pub ready: u64,
    /// Faults of preconfers that were proven (P5.4).
    pub evidence: u64,
    /// Messages of strangers dropped unheard because outputs were not drained (P10.1).
    pub unheard: u64,
    /// Publications that found no peer or a full queue, tries included (P5.8a).
    pub publish_retries: u64,
}
