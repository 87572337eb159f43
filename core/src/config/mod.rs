//! Every limit of the machine, with its unit and its source.
//!
//! [`Config::new`] gives the protocol's defaults for a chain; [`Core::new`](crate::Core::new) checks the whole before it starts. A value that
//! makes no sense is a [`ConfigError`] that names the key, the value and what is allowed.

pub(crate) mod error;

use std::time::Duration;

use alloy_primitives::{Address, B256};

use crate::config::error::ConfigError;
use crate::crypto::DEFAULT_DOMAIN;
use crate::discovery::config::DiscoveryConfig;
use crate::id::PeerId;
use crate::peer::address::static_peer;
use crate::peer::conduct::ScoreRules;
use crate::peer::connections::ConnectionLimits;
use crate::peer::gater::{GaterConfig, MAX_GATER_ENTRIES};
use crate::peer::limit::{ByteLimit, MIN_UNNAMED_BYTES, RateLimit};
use crate::validate::v1::parent::ParentRules;
use crate::wire::topics::ChainId;
use crate::wire::v1::{MAX_GOSSIP_BYTES, MAX_TXLIST_BYTES, PreconfHead, SIGNED_COMMITMENT_BYTES, TXLIST_HEADER_BYTES};

/// What becomes of the records that the machine gives its host (P5.9a).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Storage {
    /// The host writes them to disk, and answers each with [`Input::Persisted`](crate::Input::Persisted) or
    /// [`Input::PersistFailed`](crate::Input::PersistFailed). Nothing of ours leaves before that.
    #[default]
    Durable,
    /// There is no disk. The node follows, and publishes nothing.
    Absent,
    /// There is no disk, and the node publishes all the same: for tests and for networks where nobody is slashed. A preconfer that restarts
    /// can contradict itself.
    Ephemeral,
}

/// Configuration of one node's machine.
///
/// ```
/// use preconf_core::{ChainId, Config};
/// let mut config = Config::new(ChainId(167_000));
/// config.late_grace = std::time::Duration::from_secs(6);
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The L2 chain.
    pub chain_id: ChainId,
    /// Signing domain (P4.2). The default is a placeholder, and a node warns at start while it is used.
    pub domain: B256,
    /// The slashing contract that commitments must name; `None` leaves it unchecked (C2).
    pub slasher: Option<Address>,
    /// Rules between a commitment and its parent (C9).
    pub parent_rules: ParentRules,
    /// Longest txlist in bytes. Default 2 MiB (P3.3).
    pub txlist_cap: usize,
    /// How far above the head a commitment may be. Default 768 blocks (C4).
    pub max_blocks_ahead: u64,
    /// How long after its window's end a commitment is still taken from gossip. Default 12 s (C5).
    pub late_grace: Duration,
    /// How long before its window begins a commitment is taken without waiting for that. Default 2 s (C6a).
    pub early_grace: Duration,
    /// How long after L1 made a window final a peer may not know of it. Default 60 s (C7).
    pub settled_grace: Duration,

    /// When a held message gets *ignore*. Default 3 s, less than gossipsub's message cache (P5.1).
    pub verdict_timeout: Duration,
    /// How long a message is held. Default 60 s (P5.1).
    pub hold_for: Duration,
    /// Held messages in all. Default 1024 (P5.1).
    pub max_held: usize,
    /// Held messages of one peer. Default 64 (P5.1).
    pub max_held_per_peer: usize,
    /// Held messages of one (window, block number). Default 4 (P5.1).
    pub max_held_per_position: usize,
    /// Signature recoveries under way for one peer's gossip. Default 64. Ours: what P5.1 lets a peer have held. Txlist hashes have a bound of
    /// their own.
    pub max_jobs_per_peer: usize,

    /// Commitments kept, canonical ones and forks. Default 3840 (P10.1).
    ///
    /// As many of our own are remembered so that we never contradict one (P5.9), and 1024 more while their windows are not over.
    pub max_commitments: usize,
    /// What the host does with the records that it is given. Default [`Storage::Durable`] (P5.9a).
    pub storage: Storage,
    /// Evidence of preconfers' faults kept. Default 256 (P10.1).
    pub max_evidence: usize,
    /// Txlists kept for accepted commitments, in bytes. Default 256 MiB (P10.1).
    pub max_txlist_bytes: usize,
    /// Txlists that wait for a commitment to name them, in bytes; each takes 1/1024 of it at least. Default 32 MiB (T5).
    pub max_orphan_bytes: usize,
    /// The same of one peer. Default 8 MiB (T5).
    pub max_orphan_bytes_per_peer: usize,
    /// How long a txlist is kept that waits for a commitment to name it. Default 60 s (T5). Its verdict comes after `verdict_timeout`.
    pub orphan_for: Duration,
    /// Bytes of txlists that a peer may gossip while no accepted commitment names them; each counts as 4 KiB at least. Default 8 MiB per 10 s
    /// (T3).
    pub txlist_quota: ByteLimit,
    /// How long a txlist may be missing before it is requested. Default 400 ms (P5.6).
    pub txlist_grace: Duration,
    /// Messages of our own that may wait for a peer; a block has two. Default 256. Ours: some minutes of blocks.
    pub max_unsent: usize,
    /// Their bytes together. Default 32 MiB. Ours: the room that orphans have.
    pub max_unsent_bytes: usize,

    /// When a request without an answer fails. Default 10 s (P6.5).
    pub request_timeout: Duration,
    /// Requests of ours under way to one peer. Default 4 (P6.6).
    pub max_requests_per_peer: usize,
    /// Requests of ours under way in all. Default 64 (P6.6).
    pub max_requests: usize,
    /// Requests that one peer may send us on one protocol. Default 8 per 10 s (P6.6). We send one fewer ourselves (P6.7).
    pub request_limit: RateLimit,
    /// Bytes of our answers to one peer. Default 16 MiB per 10 s (P6.6).
    pub response_limit: ByteLimit,
    /// Requests of one peer that we are answering. Default 4 (P6.6).
    pub max_served_per_peer: usize,
    /// Requests of one neighbourhood (P8.3) that we are answering. Default 16 (P6.6).
    pub max_served_per_neighbourhood: usize,
    /// Requests of all peers that we are answering; a quarter of them is for `get_head` and for trusted peers alone. Default 64 (P6.6).
    pub max_served: usize,
    /// Bytes of our answers to all peers, flowing back evenly. Default 64 MiB per 10 s (P6.6).
    pub response_limit_in_all: ByteLimit,
    /// Bytes of one response with commitments. Default 256 of them (P6.2).
    pub response_budget_bytes: usize,

    /// What conduct weighs, and how long a ban lasts (P7).
    pub score: ScoreRules,
    /// Peers that are never charged or banned, and are protected (P7.6). Default none.
    pub trusted: Vec<PeerId>,

    /// Connections, dials and peers. Default [`ConnectionLimits::PROD`] (P8.2).
    pub connections: ConnectionLimits,
    /// Whom and what the gater keeps out (P8.1, P8.3).
    pub gater: GaterConfig,
    /// Multiaddrs with `/p2p/…` of peers that are dialed for ever and are protected (P8.5). A peer may have several. Default none, at most
    /// `connections.target_peers`.
    pub static_peers: Vec<String>,
    /// How others are looked for (P8.2, P8.6). Default `None`: nobody is, and records are not taken.
    pub discovery: Option<DiscoveryConfig>,

    /// How often peers are asked for their heads once a node is caught up. Default 12 s. Ours: one L1 slot, and far below P6.6's limit.
    pub heads_every: Duration,
    /// How often each of them is asked while the chain moves, one after the other. Default 1.45 s. Ours: P11.2 allows 2 s to find a loss and
    /// repair it, and P6.7 seven requests in 10 s.
    pub heads_while_moving: Duration,
    /// How many peers are asked for their heads. Default 3 (P6.9).
    pub heads_from: usize,
    /// Commitments of one page near the head. Default 64 (P6.9).
    pub page_near: u32,
    /// Commitments of one page far behind. Default 256 (P6.9).
    pub page_far: u32,
}

impl Config {
    /// The protocol's defaults.
    pub fn new(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            domain: DEFAULT_DOMAIN,
            slasher: None,
            parent_rules: ParentRules::default(),
            txlist_cap: MAX_TXLIST_BYTES,
            max_blocks_ahead: 768,
            late_grace: Duration::from_secs(12),
            early_grace: Duration::from_secs(2),
            settled_grace: Duration::from_secs(60),
            verdict_timeout: Duration::from_secs(3),
            hold_for: Duration::from_secs(60),
            max_held: 1024,
            max_held_per_peer: 64,
            max_held_per_position: 4,
            max_jobs_per_peer: 64,
            max_commitments: 3840,
            storage: Storage::Durable,
            max_evidence: 256,
            max_txlist_bytes: 256 << 20,
            max_orphan_bytes: 32 << 20,
            max_orphan_bytes_per_peer: 8 << 20,
            orphan_for: Duration::from_secs(60),
            txlist_quota: ByteLimit { bytes: 8 << 20, window: Duration::from_secs(10) },
            txlist_grace: Duration::from_millis(400),
            max_unsent: 256,
            max_unsent_bytes: 32 << 20,
            request_timeout: Duration::from_secs(10),
            max_requests_per_peer: 4,
            max_requests: 64,
            request_limit: RateLimit::default(),
            response_limit: ByteLimit { bytes: 16 << 20, window: Duration::from_secs(10) },
            max_served_per_peer: 4,
            max_served_per_neighbourhood: 16,
            max_served: 64,
            response_limit_in_all: ByteLimit { bytes: 64 << 20, window: Duration::from_secs(10) },
            response_budget_bytes: 4 + 256 * 382,
            score: ScoreRules::default(),
            trusted: Vec::new(),
            connections: ConnectionLimits::PROD,
            gater: GaterConfig::default(),
            static_peers: Vec::new(),
            discovery: None,
            heads_every: Duration::from_secs(12),
            heads_while_moving: Duration::from_millis(1_450),
            heads_from: 3,
            page_near: 64,
            page_far: 256,
        }
    }

    /// Does every value make sense?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let span = |key, value: Duration| {
            let ok = (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&value);
            rule(ok, key, || format!("{value:?}"), "1 ms to 1 day")
        };
        let count = |key, value: usize, max: usize, allowed| rule((1..=max).contains(&value), key, || value.to_string(), allowed);
        span("late_grace", self.late_grace)?;
        span("early_grace", self.early_grace)?;
        span("settled_grace", self.settled_grace)?;
        span("verdict_timeout", self.verdict_timeout)?;
        span("hold_for", self.hold_for)?;
        span("orphan_for", self.orphan_for)?;
        span("txlist_grace", self.txlist_grace)?;
        span("request_timeout", self.request_timeout)?;
        span("heads_every", self.heads_every)?;
        span("heads_while_moving", self.heads_while_moving)?;
        let ok = self.verdict_timeout < self.hold_for;
        rule(ok, "verdict_timeout", || format!("{:?}", self.verdict_timeout), "less than hold_for")?;
        let gossip_cap = MAX_GOSSIP_BYTES - TXLIST_HEADER_BYTES;
        count("txlist_cap", self.txlist_cap, gossip_cap, "1 to 10485724 bytes, the gossip cap less 36")?;
        count("max_held", self.max_held, 1024, "1 to 1024")?;
        count("max_held_per_peer", self.max_held_per_peer, self.max_held, "1 to max_held")?;
        count("max_held_per_position", self.max_held_per_position, self.max_held, "1 to max_held")?;
        count("max_jobs_per_peer", self.max_jobs_per_peer, 1024, "1 to 1024")?;
        count("max_commitments", self.max_commitments, 3840, "2 to 3840")?;
        rule(self.max_commitments >= 2, "max_commitments", || self.max_commitments.to_string(), "2 to 3840")?;
        let in_cache = self.verdict_timeout < Duration::from_secs(6);
        rule(in_cache, "verdict_timeout", || format!("{:?}", self.verdict_timeout), "less than gossipsub's message cache of 6 s (P5.1)")?;
        count("max_evidence", self.max_evidence, 256, "1 to 256")?;
        count("max_txlist_bytes", self.max_txlist_bytes, 1 << 40, "txlist_cap to 1 TiB")?;
        rule(self.max_txlist_bytes >= self.txlist_cap, "max_txlist_bytes", || self.max_txlist_bytes.to_string(), "at least txlist_cap")?;
        count("max_orphan_bytes", self.max_orphan_bytes, 1 << 40, "1 byte to 1 TiB")?;
        count("max_orphan_bytes_per_peer", self.max_orphan_bytes_per_peer, self.max_orphan_bytes, "1 to max_orphan_bytes")?;
        rule((2..=1024).contains(&self.max_unsent), "max_unsent", || self.max_unsent.to_string(), "2 to 1024: a block has two messages")?;
        let block_bytes = self.txlist_cap + SIGNED_COMMITMENT_BYTES + TXLIST_HEADER_BYTES;
        let ok = (block_bytes..=1 << 40).contains(&self.max_unsent_bytes);
        rule(ok, "max_unsent_bytes", || self.max_unsent_bytes.to_string(), "at least txlist_cap + 418 (a whole block), at most 1 TiB")?;
        count("max_requests_per_peer", self.max_requests_per_peer, 64, "1 to 64")?;
        count("max_requests", self.max_requests, 1024, "1 to 1024")?;
        count("response_budget_bytes", self.response_budget_bytes, 4 + 256 * 382, "386 to 97796")?;
        rule(self.response_budget_bytes >= 386, "response_budget_bytes", || self.response_budget_bytes.to_string(), "386 to 97796")?;
        self.request_limit.check("request_limit")?;
        // P6.7: what an honest peer may ask in one window must fit, or nodes that keep to the rules would limit each other.
        let honest = (self.request_limit.limit as usize - 1).max(1);
        let answers = self.txlist_cap + TXLIST_HEADER_BYTES + self.response_budget_bytes + PreconfHead::BYTES;
        self.response_limit.check("response_limit", honest.saturating_mul(answers))?;
        let (asked, served) = (self.max_requests_per_peer, self.max_served_per_peer);
        rule(
            asked <= served,
            "max_requests_per_peer",
            || asked.to_string(),
            "at most max_served_per_peer, which others are taken to have too",
        )?;
        self.txlist_quota.check("txlist_quota", self.txlist_cap.max(MIN_UNNAMED_BYTES))?;
        count("max_served_per_peer", self.max_served_per_peer, 64, "1 to 64")?;
        count("max_served_per_neighbourhood", self.max_served_per_neighbourhood, 1024, "1 to 1024")?;
        count("max_served", self.max_served, 1024, "1 to 1024")?;
        self.response_limit_in_all.check("response_limit_in_all", self.txlist_cap + TXLIST_HEADER_BYTES)?;
        self.score.check()?;
        self.connections.check()?;
        self.gater.check()?;
        self.discovery.as_ref().map_or(Ok(()), DiscoveryConfig::check)?;
        let max = self.connections.target_peers as usize;
        rule(self.static_peers.len() <= max, "static_peers", || format!("{} of them", self.static_peers.len()), "at most target_peers")?;
        self.static_peers.iter().try_for_each(|address| static_peer(address).map(drop))?;
        // Both lists share the gater's room for protected peers.
        let max = MAX_GATER_ENTRIES - self.static_peers.len();
        rule(self.trusted.len() <= max, "trusted", || format!("{} of them", self.trusted.len()), "at most 4096 with the static peers")?;
        count("heads_from", self.heads_from, 16, "1 to 16")?;
        count("page_near", self.page_near as usize, 256, "1 to 256")?;
        count("page_far", self.page_far as usize, 256, "1 to 256")?;
        rule((1..=3840).contains(&self.max_blocks_ahead), "max_blocks_ahead", || self.max_blocks_ahead.to_string(), "1 to 3840")
    }

    /// Is the signing domain still the placeholder, so that commitments can be replayed on another chain (P4.2)?
    pub fn has_placeholder_domain(&self) -> bool {
        self.domain == DEFAULT_DOMAIN
    }
}

fn rule(holds: bool, key: &'static str, value: impl FnOnce() -> String, allowed: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { key, value: value(), allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Config::new(ChainId(1)).check(), Ok(()));
    }

    #[test]
    fn a_bad_value_names_its_key_and_what_is_allowed() {
        let config = Config { txlist_cap: 11 << 20, ..Config::new(ChainId(1)) };
        let error = config.check().expect_err("over the gossip cap");
        assert_eq!(error.to_string(), "txlist_cap = 11534336: allowed is 1 to 10485724 bytes, the gossip cap less 36");
        let config = Config { hold_for: Duration::from_secs(1), ..Config::new(ChainId(1)) };
        assert_eq!(config.check().expect_err("too short").key, "verdict_timeout");
        let config = Config { txlist_cap: 100, max_unsent: 2, max_unsent_bytes: 518, ..Config::new(ChainId(1)) };
        assert_eq!(config.check(), Ok(()), "a whole block has room");
        let error = Config { max_unsent_bytes: 517, ..config }.check().expect_err("a byte short");
        assert_eq!(error.to_string(), "max_unsent_bytes = 517: allowed is at least txlist_cap + 418 (a whole block), at most 1 TiB");
    }
}
