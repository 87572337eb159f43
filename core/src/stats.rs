//! What has the machine counted?
//!
//! Plain fields, no metrics library. The driver reads them; nothing in the machine decides by them.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counters since the start, and a few levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stats {
    /// Gossip messages accepted.
    pub accepted: u64,
    /// Gossip messages ignored, held ones that ran out of time among them.
    pub ignored: u64,
    /// Gossip messages rejected.
    pub rejected: u64,
    /// Messages refused, by the label of their [`Refusal`](crate::Refusal), from gossip and responses.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::by_name"))]
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
    /// Connections that the gater refused once they stood, by the label of the [`GaterRefusal`](crate::GaterRefusal) (P8.1).
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::by_name"))]
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
    /// Records that the host was given to write. What is in neither of the next two is on its way.
    pub persists: u64,
    /// Records that are on disk (P5.9a).
    pub persisted: u64,
    /// Records that could not be written (P10.4).
    pub persist_failed: u64,
    /// What discovery did.
    pub discovery: DiscoveryStats,
}

/// Counters of discovery since the start, and a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DiscoveryStats {
    /// Look-ups begun (P8.6).
    pub lookups: u64,
    /// Look-ups that nobody answered, or that ran out of time.
    pub lookups_failed: u64,
    /// Time that all others took together, in microseconds.
    pub lookup_micros: u64,
    /// Records found, repeated ones included.
    pub found: u64,
    /// Of them, labelled with another chain (P8.7).
    pub wrong_chain: u64,
    /// Of them, without a label where one is demanded (P8.7).
    pub unlabelled: u64,
    /// Of them, without an address that we go to (P8.7).
    pub no_address: u64,
    /// Of them, without room among the candidates (P8.8).
    pub no_room: u64,
    /// Candidates dialed (P8.8).
    pub dialed: u64,
    /// Of those dials, the ones that led to a connection.
    pub connected: u64,
    /// Candidates that spoke nothing of our chain once connected (P2.5).
    pub useless: u64,
    /// Peers given up for somebody new (P8.10).
    pub exchanged: u64,
    /// Candidates now.
    pub candidates: u64,
}

impl DiscoveryStats {
    /// Each figure with the name of its metric. All are counters but the last, which is a gauge.
    pub fn metrics(&self) -> [(&'static str, u64); 13] {
        [
            ("p2p_discovery_lookups", self.lookups),
            ("p2p_discovery_lookups_failed", self.lookups_failed),
            ("p2p_discovery_lookup_micros", self.lookup_micros),
            ("p2p_discovery_found", self.found),
            ("p2p_discovery_wrong_chain", self.wrong_chain),
            ("p2p_discovery_unlabelled", self.unlabelled),
            ("p2p_discovery_no_address", self.no_address),
            ("p2p_discovery_no_room", self.no_room),
            ("p2p_discovery_dialed", self.dialed),
            ("p2p_discovery_connected", self.connected),
            ("p2p_discovery_useless", self.useless),
            ("p2p_discovery_exchanged", self.exchanged),
            ("p2p_discovery_candidates", self.candidates),
        ]
    }

    /// How long a look-up that somebody answered took, on average.
    pub fn mean_lookup(&self) -> Option<Duration> {
        let answered = self.lookups.checked_sub(self.lookups_failed)?;
        self.lookup_micros.checked_div(answered).map(Duration::from_micros)
    }
}
