//! What does a scenario's file say?
//!
//! Every key has its unit in its name. Shares are of 1; a share of the nodes hits the last of them, since the first hold the seats of the
//! preconfers.

use std::time::Duration;

use preconf_core::{Config, POINT};
use serde::Deserialize;

use super::values;

/// A scenario, as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// How long it goes on, in seconds of its own time.
    #[serde(deserialize_with = "values::positive")]
    pub seconds: u64,
    /// How long it may take to come to rest when all is healed and nobody makes blocks any more.
    pub settle_s: u64,
    /// Who is honest.
    #[serde(default)]
    pub nodes: Nodes,
    /// Their disks, which otherwise take no time and never fail.
    #[serde(default)]
    pub disks: Disks,
    /// What lies between them.
    #[serde(default)]
    pub links: Links,
    /// How they find each other; without it they are linked from the start.
    pub discovery: Option<Finding>,
    /// What is published.
    #[serde(default)]
    pub blocks: Blocks,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// Who is hostile.
    #[serde(default, rename = "adversary")]
    pub adversaries: Vec<Adversary>,
    /// What differs from the protocol's defaults.
    #[serde(default)]
    pub config: Tuning,
    /// What keeps the hostile ones in check; the scenario must fail without it.
    pub defence: Option<Defence>,
    /// What must hold beside safety and liveness.
    #[serde(default)]
    pub must: Must,
}

/// The honest nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// How many.
    #[serde(deserialize_with = "values::some")]
    pub honest: usize,
    /// Links of each; 0 links all to all.
    pub degree: usize,
    /// Clocks are off by up to so much, either way.
    #[serde(deserialize_with = "values::seconds")]
    pub skew_s: f64,
    /// Share of the gossip that each loses on arrival.
    #[serde(deserialize_with = "values::share")]
    pub drops: f64,
    /// Slow work comes back after so long; at once without it.
    pub jobs_ms: Option<[u64; 2]>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { honest: 8, degree: 0, skew_s: 0.0, drops: 0.0, jobs_ms: None }
    }
}

/// The nodes' disks. What they had not confirmed when a node crashes is there, or is not, record by record.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disks {
    /// A write takes so long: least and most.
    pub takes_ms: [u64; 2],
    /// The long tail.
    pub tail: Option<Tail>,
    /// Share of the writes that fail; half of those are there all the same.
    #[serde(deserialize_with = "values::share")]
    pub fails: f64,
}

/// Nodes find each other by themselves, each by its look-ups alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Finding {
    /// Records of our chain that look-ups find from the start, of nodes that are gone.
    pub gone: usize,
    /// Records of another chain that they find from the start.
    pub foreign: usize,
}

/// The links.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// One way takes so long: least and most.
    pub latency_ms: [u64; 2],
    /// The long tail.
    pub tail: Option<Tail>,
    /// KiB a second in each direction.
    pub bandwidth_kib: Option<u64>,
    /// Share of gossip lost on the way.
    #[serde(deserialize_with = "values::share")]
    pub loss: f64,
    /// Share of gossip that comes twice.
    #[serde(deserialize_with = "values::share")]
    pub repeats: f64,
    /// Nothing overtakes anything else.
    pub ordered: bool,
}

impl Default for Links {
    fn default() -> Self {
        Self { latency_ms: [5, 50], tail: None, bandwidth_kib: None, loss: 0.0, repeats: 0.0, ordered: false }
    }
}

/// Messages or writes that take longer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// Share of them.
    #[serde(deserialize_with = "values::share")]
    pub share: f64,
    /// How much longer at most.
    pub ms: u64,
}

/// The blocks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blocks {
    /// Honest nodes that take windows in turn; hostile ones may hold seats beside them.
    #[serde(deserialize_with = "values::some")]
    pub preconfers: usize,
    /// Length of a window.
    #[serde(deserialize_with = "values::positive")]
    pub window_s: u64,
    /// How often a block is made.
    #[serde(deserialize_with = "values::positive")]
    pub every_ms: u64,
    /// Length of each txlist.
    pub txlist_bytes: usize,
    /// How long a preconfer waits for its predecessor's EOP.
    #[serde(deserialize_with = "values::seconds")]
    pub patience_s: f64,
    /// How old a block is when L1 settles it; without it, L1 never does.
    pub settles_after_s: Option<u64>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { preconfers: 2, window_s: 12, every_ms: 2_000, txlist_bytes: 200, patience_s: 4.0, settles_after_s: None }
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Gossip is lost on arrival.
    Drops {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// For how long.
        #[serde(deserialize_with = "values::seconds")]
        for_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
        /// Share of the gossip.
        #[serde(deserialize_with = "values::share")]
        rate: f64,
    },
    /// Nothing passes between two parts of the network.
    Partition {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// For how long.
        #[serde(deserialize_with = "values::seconds")]
        for_s: f64,
        /// Share of the nodes on one side.
        #[serde(deserialize_with = "values::share")]
        share: f64,
        /// When both ends of a link notice.
        #[serde(deserialize_with = "values::seconds")]
        noticed_s: f64,
    },
    /// Nodes crash, and start again with what storage kept.
    Restart {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// For how long they are down.
        #[serde(deserialize_with = "values::seconds")]
        down_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
        /// They come back on a new disk, with nothing.
        #[serde(default)]
        new_disk: bool,
    },
    /// Nodes crash again and again, each at moments of its own, and start again with what storage kept.
    Crashes {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// For how long.
        #[serde(deserialize_with = "values::seconds")]
        for_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
        /// How long each is up, on the average.
        #[serde(deserialize_with = "values::positive")]
        every_s: u64,
        /// How long it is down: least and most.
        down_ms: [u64; 2],
        /// Share of the starts that are on a new disk.
        #[serde(deserialize_with = "values::share")]
        new_disk: f64,
    },
    /// Nodes join late. Their usual links come up a while after they do.
    Join {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// How many.
        count: usize,
        /// How long only strangers reach them.
        #[serde(deserialize_with = "values::seconds")]
        alone_s: f64,
    },
    /// Nodes leave for good.
    Leave {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
    },
    /// Wall clocks are set.
    ClockJump {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// By how much.
        #[serde(deserialize_with = "values::difference")]
        by_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
    },
    /// Nodes hear of each window only after it has begun.
    LateSchedule {
        /// How long after.
        #[serde(deserialize_with = "values::seconds")]
        by_s: f64,
        /// Share of the nodes.
        #[serde(deserialize_with = "values::share")]
        share: f64,
    },
    /// Nobody makes blocks.
    Stall {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// For how long.
        #[serde(deserialize_with = "values::seconds")]
        for_s: f64,
    },
    /// L1 takes back what it had settled.
    Reorg {
        /// When.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
        /// How many blocks.
        depth: u64,
        /// For how long it settles nothing.
        #[serde(deserialize_with = "values::seconds")]
        for_s: f64,
    },
}

/// Hostile peers, each a puppet in code.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Adversary {
    /// An elected preconfer that shows two halves of its peers two different blocks.
    EquivocatingPreconfer,
    /// An elected preconfer that gossips no txlist, and hands each to the first who ask only.
    TxlistWithheld {
        /// How many may have it.
        asks: u32,
    },
    /// Garbage of every kind, as gossip and as requests.
    MalformedFlood {
        /// How many peers.
        count: usize,
        /// Messages of each to every peer.
        #[serde(deserialize_with = "values::rate")]
        per_s: f64,
    },
    /// Txlists that are right in themselves and belong to nothing.
    ValidTxlistFlood {
        /// How many peers.
        count: usize,
        /// Messages of each to every peer.
        #[serde(deserialize_with = "values::rate")]
        per_s: f64,
        /// Length of each.
        kib: usize,
    },
    /// Ask a lot and read it slowly; never answer.
    SlowReaders {
        /// How many peers.
        count: usize,
        /// How fast they read.
        #[serde(deserialize_with = "values::positive")]
        bytes_per_s: u64,
    },
    /// Claim every block there can be and bring none, ask a lot and hardly read it, and gossip lists that belong to nothing: from few
    /// neighbourhoods, four of each.
    Strangers {
        /// How many peers.
        count: usize,
        /// How fast they read.
        #[serde(deserialize_with = "values::positive")]
        bytes_per_s: u64,
    },
    /// Claim heads that nobody has, and back them with broken pages.
    LyingHeads {
        /// How many peers.
        count: usize,
    },
    /// Take every place that they get, and say nothing.
    Sybils {
        /// Their share of all addresses.
        #[serde(deserialize_with = "values::part")]
        share: f64,
        /// When they begin to dial.
        #[serde(deserialize_with = "values::seconds")]
        at_s: f64,
    },
    /// Are in the table before anybody else, each in a neighbourhood of its own, dial everybody, answer well, and bring nothing.
    HostileRecords {
        /// Their share of all records of our chain.
        #[serde(deserialize_with = "values::part")]
        share: f64,
    },
}

/// Values that differ from the protocol's defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// P5.6
    pub txlist_grace_s: Option<u64>,
    /// T3
    pub txlist_quota_mib: Option<usize>,
    /// T5, in all and of one peer.
    pub max_orphan_mib: Option<usize>,
    /// P7.1, in points: a rejected message.
    pub gossip_rejected: Option<f64>,
    /// P7.1, in points: a bad response or request.
    pub bad_message: Option<f64>,
    /// P6.6
    pub max_served_per_peer: Option<usize>,
    /// P6.6
    pub max_served_per_neighbourhood: Option<usize>,
    /// P8.3
    pub max_per_neighbourhood: Option<u32>,
    /// P8.4
    pub target_peers: Option<u32>,
    /// P8.4
    pub reserved_outbound: Option<u32>,
    /// P8.10
    pub exchange_every_s: Option<u64>,
    /// P9.3: does L1 settle blocks at all?
    pub settles: Option<bool>,
    /// P5.9a: does a host confirm a write when it is on disk, and not when it is queued?
    pub confirms_durable: Option<bool>,
}

/// What keeps the hostile ones in check.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defence {
    /// The rule, in words.
    pub what: String,
    /// How it is switched off.
    pub off: Tuning,
    /// What then fails: words of the violation.
    pub fails: String,
}

/// What must hold beside safety and liveness.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Must {
    /// The chain reaches at least so many blocks a minute.
    pub blocks_a_minute: Option<f64>,
    /// May two preconfers build on one parent (C9)? Otherwise connected honest nodes never hold different blocks at one number, but where a
    /// hostile preconfer contradicts itself.
    pub may_fork: bool,
    /// No honest node is behind the others for longer, while nothing is broken.
    pub behind_s: Option<u64>,
    /// P11.1: no honest node names a height that nobody elected has signed, none says that it lags behind nothing while it has been behind, or
    /// that it does not know while it has had honest peers, for more than a few seconds.
    pub honest_figures: bool,
    /// At most so many requests of honest nodes find no room at honest nodes in time (P6.6).
    pub crowded_out: Option<u64>,
    /// At most this share of the hostile peers has a score above 0 at some honest node in the end (P7.1).
    #[serde(deserialize_with = "values::some_share")]
    pub hostile_paid: Option<f64>,
    /// One block in a hundred may take longer to a node.
    pub propagation_p99_ms: Option<f64>,
    /// No honest node charges another for more than absence (P7.2a), at any time.
    pub blameless: bool,
    /// Share of the honest nodes that prove a preconfer's fault.
    pub evidence: Option<f64>,
    /// Share of the hostile peers that some honest node prunes or bans.
    pub hostile_out: Option<f64>,
    /// Share of the hostile peers that some honest node bans.
    pub hostile_banned: Option<f64>,
    /// No honest node ever keeps more bytes of txlists.
    pub txlist_mib: Option<usize>,
    /// Every honest node has at least so many honest peers in the end.
    pub honest_peers: Option<usize>,
    /// At most this share of the honest nodes has none but hostile peers in the end.
    #[serde(deserialize_with = "values::some_share")]
    pub eclipsed: Option<f64>,
    /// Every honest node that is up has four peers so many seconds after the start, and after anything that goes wrong.
    pub formed_s: Option<u64>,
    /// Every honest node has seen at least so many records of another chain, and nobody has dialed one of those.
    pub wrong_chain: Option<u64>,
}

impl Tuning {
    /// These values, where another set has none of its own.
    pub(crate) fn over(&self, over: &Self) -> Self {
        Self {
            txlist_grace_s: over.txlist_grace_s.or(self.txlist_grace_s),
            txlist_quota_mib: over.txlist_quota_mib.or(self.txlist_quota_mib),
            max_orphan_mib: over.max_orphan_mib.or(self.max_orphan_mib),
            gossip_rejected: over.gossip_rejected.or(self.gossip_rejected),
            bad_message: over.bad_message.or(self.bad_message),
            max_served_per_peer: over.max_served_per_peer.or(self.max_served_per_peer),
            max_served_per_neighbourhood: over.max_served_per_neighbourhood.or(self.max_served_per_neighbourhood),
            max_per_neighbourhood: over.max_per_neighbourhood.or(self.max_per_neighbourhood),
            target_peers: over.target_peers.or(self.target_peers),
            reserved_outbound: over.reserved_outbound.or(self.reserved_outbound),
            exchange_every_s: over.exchange_every_s.or(self.exchange_every_s),
            settles: over.settles.or(self.settles),
            confirms_durable: over.confirms_durable.or(self.confirms_durable),
        }
    }

    /// Changes a configuration.
    pub fn apply(&self, config: &mut Config) {
        let points = |points: f64| (points * POINT as f64) as i64;
        if let Some(secs) = self.txlist_grace_s {
            config.txlist_grace = Duration::from_secs(secs);
        }
        if let Some(mib) = self.txlist_quota_mib {
            config.txlist_quota.bytes = mib << 20;
        }
        if let Some(mib) = self.max_orphan_mib {
            (config.max_orphan_bytes, config.max_orphan_bytes_per_peer) = (mib << 20, mib << 20);
        }
        if let Some(weight) = self.gossip_rejected {
            config.score.weights.gossip_rejected = points(weight);
        }
        if let Some(weight) = self.bad_message {
            config.score.weights.bad_message = points(weight);
        }
        if let Some(most) = self.max_served_per_peer {
            config.max_served_per_peer = most;
        }
        if let Some(most) = self.max_served_per_neighbourhood {
            config.max_served_per_neighbourhood = most;
        }
        if let Some(most) = self.max_per_neighbourhood {
            config.gater.max_per_neighbourhood = most;
        }
        if let Some(peers) = self.target_peers {
            config.connections.target_peers = peers;
            config.connections.reserved_outbound = config.connections.reserved_outbound.min(peers);
        }
        if let Some(peers) = self.reserved_outbound {
            config.connections.reserved_outbound = peers;
        }
        if let (Some(secs), Some(discovery)) = (self.exchange_every_s, &mut config.discovery) {
            discovery.exchange_every = Duration::from_secs(secs);
        }
    }
}

impl Fault {
    /// When it begins.
    pub fn at(&self) -> Duration {
        match self {
            Self::Drops { at_s, .. }
            | Self::Partition { at_s, .. }
            | Self::Restart { at_s, .. }
            | Self::Crashes { at_s, .. }
            | Self::Join { at_s, .. }
            | Self::Leave { at_s, .. }
            | Self::ClockJump { at_s, .. }
            | Self::Stall { at_s, .. }
            | Self::Reorg { at_s, .. } => Duration::from_secs_f64(*at_s),
            Self::LateSchedule { .. } => Duration::ZERO,
        }
    }

    /// For how long it is felt.
    pub fn span(&self) -> Duration {
        match self {
            Self::Drops { for_s, .. }
            | Self::Partition { for_s, .. }
            | Self::Crashes { for_s, .. }
            | Self::Stall { for_s, .. }
            | Self::Reorg { for_s, .. } => Duration::from_secs_f64(*for_s),
            Self::Restart { down_s, .. } => Duration::from_secs_f64(*down_s),
            Self::Join { alone_s, .. } => Duration::from_secs_f64(*alone_s),
            Self::Leave { .. } | Self::ClockJump { .. } | Self::LateSchedule { .. } => Duration::ZERO,
        }
    }

    /// Its name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Drops { .. } => "drops",
            Self::Partition { .. } => "partition",
            Self::Restart { .. } => "restart",
            Self::Crashes { .. } => "crashes",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::ClockJump { .. } => "clock jump",
            Self::LateSchedule { .. } => "late schedule",
            Self::Stall { .. } => "stall",
            Self::Reorg { .. } => "reorg",
        }
    }
}
