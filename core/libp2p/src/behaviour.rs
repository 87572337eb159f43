//! Which libp2p protocols does a node speak, and with which settings (P7, P8.2)?
//!
//! Limits and the block list come first: what they refuse, no other part hears of.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use libp2p_allow_block_list::BlockedPeers;
use libp2p_gossipsub::{
    ConfigBuilder, IdentTopic, IdentityTransform, Message, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash,
    TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p_identity::Keypair;
use libp2p_request_response::ProtocolSupport;
use libp2p_swarm::{NetworkBehaviour, StreamProtocol};
use preconf_core::{ChainId, ConnectionLimits, MAX_GOSSIP_BYTES, Neighbours, Protocol, Topic, message_id};

use crate::codec::Codec;
use crate::config::{GossipScores, NetConfig};
use crate::net::NetError;
use crate::newest::Newest;
use crate::pending;

/// How nodes of this protocol call their family in identify. Ours: nothing is decided by it.
const PROTOCOL_VERSION: &str = "preconf/1";
/// How every message on a topic that is not ours is called. Ours: no name of ours has 13 bytes, so a commitment sent early on a stranger's
/// topic cannot make gossipsub's duplicate cache refuse the real one (P4.5a).
const FOREIGN_MESSAGE: &[u8] = b"foreign topic";

/// Messages that wait for one peer to read them. Ours: gossipsub's 5000 would let a peer that never reads hold as many txlists; this one
/// still takes all that the machine can decide in one step (1024 held messages, P5.1).
const MAX_QUEUED: usize = 1024;

/// Gossip's control messages that are taken, in bytes of one RPC: reference nodes send 5000 ids at a time. Source: P2.7.
const MAX_CONTROL_BYTES: usize = 128 << 10;
/// Ids that are sent at a time, in one IHAVE or IWANT. Source: P2.7; with their 20 bytes and the frame of each they stay under the 16 KiB that
/// other nodes take, who end a stream for good when there is more.
const MAX_IDS_SENT: usize = 512;

pub(crate) type Gossipsub = libp2p_gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;
pub(crate) type Exchange = libp2p_request_response::Behaviour<Codec>;

/// All that a node speaks.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub(crate) struct Behaviour {
    limits: libp2p_connection_limits::Behaviour,
    pending: pending::Behaviour,
    pub(crate) blocked: libp2p_allow_block_list::Behaviour<BlockedPeers>,
    ping: libp2p_ping::Behaviour,
    identify: libp2p_identify::Behaviour,
    // One behaviour a protocol: a request to a behaviour with three of them goes to whichever the peer picks.
    get_head: Exchange,
    get_commitments: Exchange,
    get_txlist: Exchange,
    // Last, since it forgets a peer's older connections for a newer one that nobody else refuses.
    pub(crate) gossipsub: Newest<Gossipsub>,
}

impl Behaviour {
    pub(crate) fn new(config: &NetConfig, keypair: &Keypair, topics: &Topics) -> Result<Self, NetError> {
        let identify = libp2p_identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
            .with_agent_version(config.agent_version.clone())
            .with_cache_size(0); // whom to dial is the machine's choice, never that of a stranger's address list
        Ok(Self {
            limits: libp2p_connection_limits::Behaviour::new(limits(config.connection_limits)),
            pending: pending::Behaviour::new(Neighbours::new(config.max_pending_per_neighbourhood, config.exempt_private)),
            blocked: libp2p_allow_block_list::Behaviour::default(),
            ping: libp2p_ping::Behaviour::default(),
            identify: libp2p_identify::Behaviour::new(identify),
            get_head: exchange(config, Protocol::GetHead)?,
            get_commitments: exchange(config, Protocol::GetCommitments)?,
            get_txlist: exchange(config, Protocol::GetTxList)?,
            gossipsub: Newest::new(gossipsub(config, keypair, topics)?),
        })
    }

    pub(crate) fn exchange(&mut self, protocol: Protocol) -> &mut Exchange {
        match protocol {
            Protocol::GetHead => &mut self.get_head,
            Protocol::GetCommitments => &mut self.get_commitments,
            Protocol::GetTxList => &mut self.get_txlist,
        }
    }
}

/// Our two topics in gossipsub's form.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    commitments: TopicHash,
    txlists: TopicHash,
}

impl Topics {
    pub(crate) fn new(chain: ChainId) -> Self {
        let hash = |topic: Topic| TopicHash::from_raw(topic.name(chain));
        Self { commitments: hash(Topic::Commitments), txlists: hash(Topic::TxLists) }
    }

    pub(crate) fn hash(&self, topic: Topic) -> &TopicHash {
        match topic {
            Topic::Commitments => &self.commitments,
            Topic::TxLists => &self.txlists,
        }
    }

    /// Which of our topics is this, if any?
    pub(crate) fn find(&self, hash: &TopicHash) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| self.hash(*topic) == hash)
    }

    fn hashes(&self) -> impl Iterator<Item = TopicHash> {
        Topic::ALL.into_iter().map(|topic| self.hash(topic).clone())
    }
}

fn limits(limits: ConnectionLimits) -> libp2p_connection_limits::ConnectionLimits {
    libp2p_connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending_in))
        .with_max_pending_outgoing(Some(limits.pending_out))
        .with_max_established_incoming(Some(limits.established_in))
        .with_max_established_outgoing(Some(limits.established_out))
        .with_max_established(Some(limits.total))
        .with_max_established_per_peer(Some(limits.per_peer))
}

fn exchange(config: &NetConfig, protocol: Protocol) -> Result<Exchange, NetError> {
    let name = StreamProtocol::try_from_owned(protocol.name(config.chain_id)).map_err(|_| NetError::ProtocolName(protocol))?;
    let settings = libp2p_request_response::Config::default()
        .with_request_timeout(config.request_timeout)
        .with_max_concurrent_streams(config.max_streams);
    Ok(Exchange::with_codec(Codec::new(protocol, config.txlist_cap), [(name, ProtocolSupport::Full)], settings))
}

fn gossipsub(config: &NetConfig, keypair: &Keypair, topics: &Topics) -> Result<Gossipsub, NetError> {
    // P2.6: a stranger's thousand topics cost nothing.
    let filter = WhitelistSubscriptionFilter(topics.hashes().collect::<HashSet<_>>());
    let author = MessageAuthenticity::Signed(keypair.clone());
    let mut gossipsub = Gossipsub::new_with_subscription_filter(author, settings(config.chain_id, topics)?, filter)
        .map_err(|error| NetError::Gossipsub(error.to_owned()))?;
    gossipsub.with_peer_score(score_params(config.gossip_scores, topics), thresholds()).map_err(NetError::Scores)?;
    for topic in Topic::ALL {
        let topic = IdentTopic::new(topic.name(config.chain_id));
        gossipsub.subscribe(&topic).map_err(|error| NetError::Gossipsub(error.to_string()))?;
    }
    Ok(gossipsub)
}

/// PROTOCOL.md §7, "Gossipsub settings (Kona's)".
fn settings(chain: ChainId, topics: &Topics) -> Result<libp2p_gossipsub::Config, NetError> {
    let ours = topics.clone();
    ConfigBuilder::default()
        .mesh_n(8)
        .mesh_n_low(6)
        .mesh_n_high(12)
        .gossip_lazy(6)
        .heartbeat_interval(Duration::from_millis(500))
        .history_length(12)
        .history_gossip(3)
        .fanout_ttl(Duration::from_secs(60))
        .duplicate_cache_time(Duration::from_secs(120))
        .flood_publish(false)
        .support_floodsub()
        .validate_messages()
        .validation_mode(ValidationMode::Strict)
        .max_transmit_size(MAX_GOSSIP_BYTES)
        .connection_handler_queue_len(MAX_QUEUED)
        .max_control_message_size(MAX_CONTROL_BYTES)
        .max_control_messages_sent(MAX_IDS_SENT)
        // P4.6 and P7.10: gossipsub's own filter charges who hands us our own message, as an honest peer does after we restart. So they
        // come in, and inbound.rs ignores them without blame.
        .allow_self_origin(true)
        .message_id_fn(move |message: &Message| match ours.find(&message.topic) {
            Some(topic) => MessageId::new(&message_id(chain, topic, &message.data).0),
            None => MessageId::new(FOREIGN_MESSAGE),
        })
        .build()
        .map_err(|error| NetError::Gossipsub(error.to_string()))
}

/// PROTOCOL.md §7, "Gossipsub score parameters (both topics)".
fn score_params(scores: GossipScores, topics: &Topics) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 3600.0,
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_decay: 0.999,
        first_message_deliveries_cap: 20.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -2.0,
        invalid_message_deliveries_decay: 0.99,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: topics.hashes().map(|hash| (hash, topic.clone())).collect::<HashMap<_, _>>(),
        app_specific_weight: 1.0,
        decay_interval: Duration::from_secs(10),
        decay_to_zero: 0.1,
        retain_score: Duration::from_secs(3600),
        ip_colocation_factor_weight: points(scores.ip_colocation_weight),
        ip_colocation_factor_threshold: f64::from(scores.ip_colocation_threshold),
        behaviour_penalty_weight: points(scores.behaviour_weight),
        slow_peer_weight: points(scores.slow_peer_weight),
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -1.0,
        publish_threshold: -2.0,
        graylist_threshold: -5.0,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.5,
    }
}

/// Millionths to gossipsub's points: the one place where the project leaves integers. A score of ±10 points is exact in either.
pub(crate) fn points(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_named_as_the_core_names_them_and_strangers_topics_apart() {
        // P4.5, P4.5a
        let chain = ChainId(167_000);
        let settings = settings(chain, &Topics::new(chain)).expect("the protocol's settings");
        let message =
            |topic: &str| Message { source: None, data: vec![0; 382], sequence_number: Some(1), topic: TopicHash::from_raw(topic) };
        for topic in Topic::ALL {
            assert_eq!(settings.message_id(&message(&topic.name(chain))).0, message_id(chain, topic, &[0; 382]).0);
        }
        assert_eq!(settings.message_id(&message("/a/stranger's/topic")).0, FOREIGN_MESSAGE);
    }

    #[test]
    fn p2_7_control_messages_are_taken_as_long_as_others_send_them_and_sent_as_long_as_others_take_them() {
        let chain = ChainId(1);
        let settings = settings(chain, &Topics::new(chain)).expect("the protocol's settings");
        assert!(settings.max_control_message_size() >= 5_000 * 22 + 100, "a reference node's IHAVE: 5000 ids and their frames");
        let topic = Topic::Commitments.name(ChainId(u64::MAX)).len();
        assert!(settings.max_control_messages_sent() * 22 + topic + 16 <= 14 << 10, "and none of ours is over 14 KiB");
    }

    #[test]
    fn gossipsub_runs_with_the_settings_of_the_protocol() {
        // PROTOCOL.md §7
        let chain = ChainId(1);
        let settings = settings(chain, &Topics::new(chain)).expect("the protocol's settings");
        assert_eq!((settings.mesh_n(), settings.mesh_n_low(), settings.mesh_n_high(), settings.gossip_lazy()), (8, 6, 12, 6));
        assert_eq!((settings.heartbeat_interval().as_millis(), settings.history_length(), settings.history_gossip()), (500, 12, 3));
        assert_eq!((settings.fanout_ttl().as_secs(), settings.duplicate_cache_time().as_secs()), (60, 120));
        assert_eq!((settings.flood_publish(), settings.support_floodsub(), settings.validate_messages()), (false, true, true));
        assert!(matches!(settings.validation_mode(), ValidationMode::Strict));
        assert_eq!(settings.max_transmit_size(), 10 << 20);
    }

    #[test]
    fn penalties_are_off_unless_configured() {
        // P7
        let params = score_params(GossipScores::default(), &Topics::new(ChainId(1)));
        assert_eq!(params.validate(), Ok(()));
        let off = [params.ip_colocation_factor_weight, params.behaviour_penalty_weight, params.slow_peer_weight];
        assert_eq!(off, [0.0; 3]);
        assert_eq!(params.topics.len(), 2);
        assert_eq!((points(-1_562_500), points(50_000)), (-1.5625, 0.05));
    }
}
