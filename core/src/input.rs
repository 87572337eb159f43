//! All that the world may tell the machine, and all that its own application may say to it.
//!
//! Inputs are facts from strangers, the network and finished work: each is taken whatever it says. Commands and updates come from our own
//! application and may be refused. A command takes time, and an event tells how it ended; an update is done when it is taken.

use std::net::IpAddr;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::discovery::record::NodeRecord;
use crate::id::{ChannelId, ConnectionId, DialId, LookupId, MessageId, PeerId, PersistId, PublishId, RequestId};
use crate::job::JobDone;
use crate::peer::subnet::Cidr;
use crate::record::Record;
use crate::schedule::Window;
use crate::time::Time;
use crate::tip::SyncTip;
use crate::wire::topics::{Protocol, Topic};
use crate::wire::v1::SignedCommitment;

/// Who opened a connection?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// They did.
    Inbound,
    /// We did.
    Outbound,
}

/// A set of what a peer speaks, as identify told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SupportedProtocols {
    /// Supports `get_head`.
    pub get_head: bool,
    /// Supports `get_commitments_by_number`.
    pub get_commitments: bool,
    /// Supports `get_raw_txlist`.
    pub get_txlist: bool,
    /// Speaks gossipsub at all, so that it may yet subscribe to our topics.
    pub gossip: bool,
}

impl SupportedProtocols {
    /// Does the peer support none of our chain's requests (P2.5)?
    pub fn supports_none(self) -> bool {
        !Protocol::ALL.into_iter().any(|protocol| self.supports(protocol))
    }

    /// Does the peer support this request?
    pub fn supports(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::GetHead => self.get_head,
            Protocol::GetCommitments => self.get_commitments,
            Protocol::GetTxList => self.get_txlist,
        }
    }
}

/// Why a request of ours has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RequestFailure {
    /// No response in time (P6.5).
    #[error("the peer did not answer in time")]
    Timeout,
    /// The connection broke, or the peer closed the stream without an answer.
    #[error("the connection closed before the answer")]
    Closed,
    /// The peer could not be reached.
    #[error("the peer could not be reached")]
    Unreachable,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// The response is no frame: a wrong or too large length (P3.4).
    #[error("the response is not framed as the protocol says")]
    BadFrame,
}

/// Why a dial of ours led nowhere. Whose fault that is decides what follows (P7.1, P8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DialFailure {
    /// Nobody answered there, or the handshake failed.
    #[error("nobody answered")]
    Unreachable,
    /// Somebody else answered than the peer that the address names.
    #[error("somebody else answered")]
    WrongPeer,
    /// Our transport cannot dial such an address.
    #[error("it cannot be dialed from here")]
    Undialable,
    /// Our own side did not let it through: a limit of connections, a block, or an order to disconnect that overtook it.
    #[error("our own limits or blocks refused it")]
    Denied,
}

/// What became of a message that we asked the network to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PublishOutcome {
    /// It is on its way to at least one peer.
    Sent,
    /// No peer has subscribed to the topic (P5.8).
    NoPeers,
    /// The network's queues are full for now (P5.8).
    Busy,
    /// The network has seen the same message lately, so it is out already.
    Duplicate,
    /// The network will never take it.
    Refused,
}

/// Why a record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StorageFailure {
    /// The disk is full, or a quota is.
    #[error("the disk is full: make room on it")]
    NoSpace,
    /// It may not be written to.
    #[error("the disk may not be written to: see who may write to the data directory, and whether it is mounted read-only")]
    ReadOnly,
    /// The data directory or one of its files is gone.
    #[error("the data directory is gone: put it back, and start the node anew")]
    Gone,
    /// What is on disk is damaged, so nothing of the kind is added to it.
    #[error("what is stored is damaged: see `verify` of the store")]
    Damaged,
    /// The disk failed, or did something unexpected.
    #[error("the disk fails: its system's log says why")]
    Io,
}

/// A fact from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input {
    /// A connection is up. A peer may have several; it counts once.
    ConnectionOpened {
        /// Whom it leads to.
        peer: PeerId,
        /// Names the connection.
        connection: ConnectionId,
        /// Who opened it.
        direction: Direction,
        /// The other end's address, if it has one.
        address: Option<IpAddr>,
        /// The dial of ours that led to it.
        dial: Option<DialId>,
    },
    /// A connection is gone.
    ConnectionClosed {
        /// Whom it led to.
        peer: PeerId,
        /// Names the connection.
        connection: ConnectionId,
    },
    /// A dial of ours led nowhere.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// Why.
        failure: DialFailure,
    },
    /// Discovery found a node's record and checked its signature (P8.7).
    RecordFound {
        /// The record.
        record: Box<NodeRecord>,
    },
    /// A look-up is over; what it found was told before.
    LookupFinished {
        /// The look-up.
        lookup: LookupId,
        /// Did anybody answer?
        succeeded: bool,
    },
    /// A peer said what it speaks.
    PeerIdentified {
        /// The peer.
        peer: PeerId,
        /// What of our chain it speaks.
        protocols: SupportedProtocols,
    },
    /// A peer said at which address it sees this node (P8.11).
    AddressObserved {
        /// The peer.
        peer: PeerId,
        /// The address, without the port that our connection happened to come from.
        address: IpAddr,
    },
    /// A peer wants a topic's messages.
    PeerSubscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer no longer wants them.
    PeerUnsubscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A gossip message arrived and waits for its verdict.
    GossipReceived {
        /// Who sent it to us (not who wrote it).
        peer: PeerId,
        /// Its name: the [`message_id`](crate::message_id) of what follows (P4.5). Gossipsub must be set to call it the same.
        message: MessageId,
        /// Where.
        topic: Topic,
        /// What.
        data: Bytes,
    },
    /// A peer asks something of us.
    RequestReceived {
        /// The peer.
        peer: PeerId,
        /// Where the answer goes.
        channel: ChannelId,
        /// What kind of request.
        protocol: Protocol,
        /// Its body, out of its frame ([`FrameDecoder`](crate::FrameDecoder)).
        body: Bytes,
    },
    /// A peer sent a request that is no frame (P3.4).
    RequestBroken {
        /// The peer.
        peer: PeerId,
    },
    /// The answer to a request of a peer is written, or its channel is gone. Until then the request counts as being answered (P6.6).
    ChannelClosed {
        /// The channel.
        channel: ChannelId,
    },
    /// A request of ours was answered.
    ResponseReceived {
        /// The request.
        request: RequestId,
        /// The response's body, out of its frame.
        body: Bytes,
    },
    /// A request of ours has no answer.
    RequestFailed {
        /// The request.
        request: RequestId,
        /// Why.
        failure: RequestFailure,
    },
    /// What became of a message that we asked the network to publish.
    PublishFinished {
        /// The publication.
        publish: PublishId,
        /// What became of it.
        outcome: PublishOutcome,
    },
    /// A record is on disk: the write has returned durable, file and directory synced, and not only been queued (P5.9a).
    Persisted {
        /// The record.
        id: PersistId,
    },
    /// A record could not be written. It may be on disk all the same.
    PersistFailed {
        /// The record.
        id: PersistId,
        /// Why.
        failure: StorageFailure,
    },
    /// A job is done.
    JobFinished(JobDone),
    /// The host does not read from the network, since its application takes no events: who seems silent may not be (P6.5). Told before the next
    /// deadline is kept at the latest.
    ReadingStopped {
        /// Since when, by the monotonic clock.
        since: Time,
    },
    /// It reads again.
    ReadingResumed,
}

/// What our own application wants done and waits for: [`Event::CommandFinished`](crate::Event::CommandFinished) tells how it ended, once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Command {
    /// Judge, record, store and gossip a commitment of ours (P5.7, P5.9a).
    PublishCommitment(Box<SignedCommitment>),
    /// Hash, store and gossip a txlist of ours (P5.7). It is not recorded: alone it promises nothing. Refused without storage, like a commitment
    /// (P5.9a). Others forward it only once a commitment that they accepted names it (T5): publish that first, or both as a block.
    PublishTxList(Bytes),
    /// Publish a commitment of ours and the txlist that it names as one: recorded together (P5.9a), and the commitment leaves first (T5).
    PublishBlock {
        /// The commitment.
        commitment: Box<SignedCommitment>,
        /// The txlist.
        txlist: Bytes,
    },
    /// Ask a peer, or the best one (P6.8), for its head.
    GetHead {
        /// Whom to ask.
        peer: Option<PeerId>,
    },
    /// Ask for commitments by number.
    GetCommitments {
        /// First block number.
        start: u64,
        /// How many at most, 1 to 256.
        count: u32,
        /// Whom to ask.
        peer: Option<PeerId>,
    },
    /// Ask for a txlist by hash.
    GetTxList {
        /// Its keccak-256.
        hash: B256,
        /// Whom to ask.
        peer: Option<PeerId>,
    },
    /// Connect to a multiaddr, if the gater agrees (P8.1).
    Dial {
        /// The multiaddr as text, with `/p2p/…` at its end.
        address: String,
    },
}

/// What our own application decides, or knows of the chain and of peers. It holds once it is taken; nothing tells later how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Update {
    /// Drop all connections to a peer.
    Disconnect {
        /// The peer.
        peer: PeerId,
    },
    /// Refuse a peer from now on, and drop it (P8.1).
    BlockPeer {
        /// The peer.
        peer: PeerId,
    },
    /// Refuse it no longer.
    UnblockPeer {
        /// The peer.
        peer: PeerId,
    },
    /// Refuse an address from now on, and close what stands with it (P8.1).
    BlockAddress {
        /// The address.
        address: IpAddr,
    },
    /// Refuse it no longer.
    UnblockAddress {
        /// The address.
        address: IpAddr,
    },
    /// Refuse a subnet from now on, and close what stands with it (P8.1).
    BlockSubnet {
        /// The subnet.
        subnet: Cidr,
    },
    /// Refuse it no longer.
    UnblockSubnet {
        /// The subnet.
        subnet: Cidr,
    },
    /// Let a peer pass the redial limit and its neighbourhood's bound, and never make it leave for others (P8.1, P8.4).
    Protect {
        /// The peer.
        peer: PeerId,
    },
    /// Protect it no longer; a trusted or static peer stays protected.
    Unprotect {
        /// The peer.
        peer: PeerId,
    },
    /// Never charge or ban a peer, and protect it (P7.6).
    Trust {
        /// The peer.
        peer: PeerId,
    },
    /// Trust it no longer.
    Distrust {
        /// The peer.
        peer: PeerId,
    },
    /// End a ban before its time (P7.4).
    LiftBan {
        /// The peer.
        peer: PeerId,
    },
    /// New windows of the schedule, or other ones for the same span (P9.1).
    Schedule(Vec<Window>),
    /// The sync tip moved, up, or down on an L1 reorg (P9.3).
    MoveSyncTip(SyncTip),
    /// What was stored before a restart, of each kind oldest first (P5.9, P6.9, P7.7). To be given before the first socket opens. Where it
    /// comes in several pieces, the chain comes before its txlists, and what is our own last.
    Restore(Vec<Record>),
    /// Publish in this window although our own key has signed in it what our records do not name (P5.9b): the operator knows better. What is
    /// known to contradict (P5.9) is refused all the same. A later one replaces it.
    OverrideSyncing {
        /// The window's end, in unix seconds.
        window_end: u64,
    },
    /// The host has executed a block that was ready (P11.1).
    MarkExecuted {
        /// Its number.
        block_number: u64,
    },
    /// The host could not execute a block that was ready: after a pause it is told again, and what comes after it too (P10.4).
    MarkFailed {
        /// Its number.
        block_number: u64,
    },
}
