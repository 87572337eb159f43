//! What must the glue know besides the machine's own configuration?

use std::time::Duration;

use preconf_core::{ChainId, Config, ConnectionLimits};

/// How much longer than the machine a request waits here. Ours: the machine's timer decides (P6.5), this one only frees the stream.
const REQUEST_MARGIN: Duration = Duration::from_secs(2);
/// Part of the pending inbound connections that one neighbourhood may hold. Ours: a quarter, so that one host can never hold them all.
const PENDING_SHARE: u32 = 4;
/// Streams of one request protocol on one connection, both directions. Ours: four times what P6.6 lets a peer have in flight, because
/// streams of cancelled requests linger until their timeout.
const MAX_STREAMS: usize = 16;

/// Configuration of a [`Net`](crate::Net).
///
/// ```
/// use preconf_core::{ChainId, Config, ConnectionLimits};
/// use preconf_libp2p::NetConfig;
/// let core = Config { connections: ConnectionLimits::DEV, ..Config::new(ChainId(167_000)) };
/// assert_eq!(NetConfig::new(&core).connection_limits, ConnectionLimits::DEV);
/// ```
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// The L2 chain; it names topics and protocols.
    pub chain_id: ChainId,
    /// Longest txlist in bytes (P3.3).
    pub txlist_cap: usize,
    /// What identify tells others about our program.
    pub agent_version: String,
    /// Connections that may stand or be under way: the machine's own figures, so that both count by the same (P8.2).
    pub connection_limits: ConnectionLimits,
    /// Inbound connections of one neighbourhood that may be in their handshake (P8.3). Default as many as may stand, but at most a quarter,
    /// rounded up, of all that may be in theirs.
    pub max_pending_per_neighbourhood: u32,
    /// Whether loopback, link-local and private ranges are exempt from that: the machine's own choice (P8.3).
    pub exempt_private: bool,
    /// Concurrent streams of one request protocol on one connection, both directions. Default 16.
    pub max_streams: usize,
    /// When a request's stream is given up. Default the machine's timeout and 2 s, because the machine's timer decides.
    pub request_timeout: Duration,
    /// Gossipsub penalties that are off by default (P7).
    pub gossip_scores: GossipScores,
}

impl NetConfig {
    /// What fits a machine's configuration.
    pub fn new(core: &Config) -> Self {
        Self {
            chain_id: core.chain_id,
            txlist_cap: core.txlist_cap,
            agent_version: concat!("preconf/", env!("CARGO_PKG_VERSION")).to_owned(),
            connection_limits: core.connections,
            max_pending_per_neighbourhood: core.gater.max_per_neighbourhood.min(core.connections.pending_in.div_ceil(PENDING_SHARE)),
            exempt_private: core.gater.exempt_private,
            max_streams: MAX_STREAMS,
            request_timeout: core.request_timeout.saturating_add(REQUEST_MARGIN),
            gossip_scores: GossipScores::default(),
        }
    }
}

/// Gossipsub's penalties beside the machine's own score, in millionths. All are off by default (P7); a weight is zero or negative, or the
/// node does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipScores {
    /// For peers that share an IP address, per square of their number over the threshold.
    pub ip_colocation_weight: i64,
    /// How many peers of one IP address are free.
    pub ip_colocation_threshold: u32,
    /// For grafts during backoff and broken promises, per square of their number.
    pub behaviour_weight: i64,
    /// For messages that a slow peer made us drop.
    pub slow_peer_weight: i64,
}

impl Default for GossipScores {
    fn default() -> Self {
        Self { ip_colocation_weight: 0, ip_colocation_threshold: 10, behaviour_weight: 0, slow_peer_weight: 0 }
    }
}
