//! All that the machine may ask of the network, of idle hands, and all that it tells the application.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::accepted::Accepted;
use crate::error::{PublishError, Refusal, RequestError};
use crate::evidence::Evidence;
use crate::id::{ChannelId, CommandId, ConnectionId, DialId, LookupId, MessageId, PeerId, PersistId, PublishId, RequestId};
use crate::input::{DialFailure, StorageFailure};
use crate::job::Job;
use crate::peer::gater::GaterRefusal;
use crate::peer::score::Standing;
use crate::record::Record;
use crate::validate::v1::parent::ParentRule;
use crate::verdict::Verdict;
use crate::wire::topics::{Protocol, Topic};
use crate::wire::v1::{PreconfHead, RawTxList, SignedCommitment};

/// Most outputs that one call of the machine can cause. Ours: the kept commitments may all become ready at once, each with its event, and
/// every held message may be decided in the same step. Checked in debug builds.
pub const MAX_OUTPUTS_PER_STEP: usize = 16_384;

/// One thing that the machine wants done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Output {
    /// An order to the network.
    Net(Action),
    /// Slow pure work for any thread. What [`Job::run`] gives comes back as [`Input::JobFinished`](crate::Input::JobFinished).
    Job(Job),
    /// News for the application.
    App(Event),
    /// Something to remember across restarts. [`Input::Persisted`](crate::Input::Persisted) says that it is on disk, or
    /// [`Input::PersistFailed`](crate::Input::PersistFailed) that it is not; what depends on it waits until then (P5.9a).
    Persist {
        /// Names the record.
        id: PersistId,
        /// What to remember.
        record: Record,
    },
}

/// An order to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Action {
    /// Publish a gossip message.
    Publish {
        /// Names the publication; [`Input::PublishFinished`](crate::Input::PublishFinished) carries it back.
        publish: PublishId,
        /// Where.
        topic: Topic,
        /// What.
        data: Bytes,
    },
    /// Tell gossipsub a message's verdict.
    ReportGossip {
        /// The message.
        message: MessageId,
        /// Who sent it to us.
        peer: PeerId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Send a request.
    SendRequest {
        /// Names the request.
        request: RequestId,
        /// Whom to ask.
        peer: PeerId,
        /// What kind of request.
        protocol: Protocol,
        /// Its body, still to be framed ([`frame_prefix`](crate::frame_prefix)).
        body: Bytes,
    },
    /// Answer a peer's request.
    Respond {
        /// Where the answer goes.
        channel: ChannelId,
        /// The answer.
        response: Response,
    },
    /// Drop a peer's request without an answer (P6.6).
    DropRequest {
        /// Its channel.
        channel: ChannelId,
    },
    /// Forget a request of ours whose time is over; a late answer changes nothing.
    CancelRequest {
        /// The request.
        request: RequestId,
    },
    /// Connect to a multiaddr.
    Dial {
        /// Names the dial. [`Input::ConnectionOpened`](crate::Input::ConnectionOpened) or [`Input::DialFailed`](crate::Input::DialFailed)
        /// carries it back.
        dial: DialId,
        /// The multiaddr as text.
        address: String,
    },
    /// Look for other nodes; [`Input::RecordFound`](crate::Input::RecordFound) tells each that is found, and
    /// [`Input::LookupFinished`](crate::Input::LookupFinished) the end. One at a time (P8.6).
    LookUp {
        /// Names the look-up.
        lookup: LookupId,
    },
    /// Tell discovery of a node to begin from (P8.9).
    Introduce {
        /// The node's record as text.
        record: String,
    },
    /// Tell discovery at which address others see this node, so that its record names it, unless the operator fixed one (P8.11).
    AdvertiseAddress {
        /// The address. The ports are those of the listeners.
        address: IpAddr,
    },
    /// Close all connections to a peer.
    Disconnect {
        /// The peer.
        peer: PeerId,
    },
    /// Close one connection that the gater refuses (P8.1).
    CloseConnection {
        /// The connection.
        connection: ConnectionId,
    },
    /// Refuse all connections with a peer from now on, and close those that stand.
    Block {
        /// The peer.
        peer: PeerId,
    },
    /// Take a peer back.
    Unblock {
        /// The peer.
        peer: PeerId,
    },
    /// Mirror a peer's score to gossipsub, as [`application_score`](crate::application_score) gives it (P7.5).
    SetScore {
        /// The peer.
        peer: PeerId,
        /// In millionths of a point.
        score: i64,
    },
}

/// An answer to a peer's request, in pieces that are written one after the other without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Response {
    /// To `get_head`.
    Head(PreconfHead),
    /// To `get_commitments_by_number`, encoded.
    Commitments(Bytes),
    /// To `get_raw_txlist`.
    TxList(RawTxList),
}

/// Where a commitment or a txlist came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Source {
    /// A peer gossiped it.
    Gossip(PeerId),
    /// A peer answered a request with it.
    Response(PeerId),
    /// Our own application published it.
    Own,
    /// It was here already, and links anew because the sync tip moved (P9.3).
    Kept,
}

impl Source {
    /// The peer that it came from, if it came from one.
    pub fn peer(self) -> Option<PeerId> {
        match self {
            Self::Gossip(peer) | Self::Response(peer) => Some(peer),
            Self::Own | Self::Kept => None,
        }
    }
}

/// How a command that takes time ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Outcome {
    /// Judged, recorded (P5.9a), stored, and with the network. Of a block, the message of its commitment.
    Published(MessageId),
    /// Not published.
    NotPublished(PublishError),
    /// A peer's head.
    Head {
        /// Who answered.
        peer: PeerId,
        /// What it said.
        head: PreconfHead,
    },
    /// A peer's commitments: in range, in order, without a gap, each linked to the one before, each signed by whoever the schedule elected,
    /// as far as it reaches (P6.4).
    Commitments {
        /// Who answered.
        peer: PeerId,
        /// What it sent.
        commitments: Vec<SignedCommitment>,
    },
    /// A txlist whose hash was checked; `None` when the peer does not have it.
    TxList {
        /// Who answered.
        peer: PeerId,
        /// Its bytes.
        txlist: Option<Bytes>,
    },
    /// A request without a good answer.
    RequestFailed {
        /// Who was asked.
        peer: PeerId,
        /// Why there is none.
        error: RequestError,
    },
    /// A dial led to this peer.
    Connected(PeerId),
    /// A dial led nowhere.
    NotConnected(DialFailure),
    /// A dial led to an address or a peer that the gater refuses (P8.1).
    Gated(GaterRefusal),
}

/// News for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Event {
    /// A command that takes time has ended. Each ends exactly once.
    CommandFinished {
        /// The command.
        command: CommandId,
        /// How it ended.
        outcome: Outcome,
    },
    /// A peer is connected.
    PeerConnected {
        /// The peer.
        peer: PeerId,
    },
    /// A peer's last connection is gone.
    PeerDisconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A peer's conduct changed how we deal with it (P7.4).
    StandingChanged {
        /// The peer.
        peer: PeerId,
        /// How we deal with it now.
        standing: Standing,
        /// The rule under which it changed.
        rule: &'static str,
    },
    /// A commitment passed every rule and links to the sync tip.
    CommitmentAccepted {
        /// The commitment.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        commitment: Arc<Accepted>,
        /// Where it came from.
        source: Source,
    },
    /// A txlist whose hash is right is here.
    TxListStored {
        /// Its hash.
        hash: B256,
        /// Its length.
        len_bytes: usize,
        /// Where it came from.
        source: Source,
    },
    /// A message was refused.
    MessageRefused {
        /// Who sent it.
        peer: PeerId,
        /// Which topic, `None` for a response.
        topic: Option<Topic>,
        /// The rule that it broke.
        refusal: Refusal,
    },
    /// A block may be executed: its txlist is here and so is all before it. In block order, each once (P5.5). The host tells what became of it:
    /// [`Update::MarkExecuted`](crate::Update::MarkExecuted) or [`Update::MarkFailed`](crate::Update::MarkFailed).
    BlockReady {
        /// Its commitment.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        commitment: Arc<Accepted>,
        /// Its txlist; `None` for an EOP that only hands over (P5.3).
        txlist: Option<Bytes>,
    },
    /// A preconfer handed its window over (P5.3). Where its last block has a txlist, behind that one's [`BlockReady`](Self::BlockReady).
    Handoff {
        /// Its last commitment.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        commitment: Arc<Accepted>,
        /// Who is elected next, if the schedule says.
        next: Option<Address>,
    },
    /// Two valid blocks at one height. The first stays canonical (C9).
    Forked {
        /// The one that stays.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        canonical: Arc<Accepted>,
        /// The other one.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        other: Arc<Accepted>,
        /// Do their windows follow each other? Then two preconfers may not have seen each other's last block, or one preconfer, elected twice,
        /// may have lost to a reorg what its first window promised (C8).
        windows_adjoin: bool,
    },
    /// A preconfer's fault is proven (P5.4). Each (signer, window, block number) is told once.
    EvidenceFound {
        /// What proves it, to anybody.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        evidence: Arc<Evidence>,
        /// Whose fault it is.
        signer: Address,
        /// At which block: that of the second commitment.
        block_number: u64,
    },
    /// What we committed to before a restart is still valid and is published again (P5.9a). The command ends like any other.
    PublishingAgain {
        /// Names it.
        command: CommandId,
        /// Its block number.
        block_number: u64,
        /// Its preconfirmation hash.
        hash: B256,
    },
    /// A peer has shown that it has what we published: by its head, by a page, or by a copy (P5.9d). Once for each of the first peers.
    PublicationSeen {
        /// The command that published it.
        command: CommandId,
        /// Its block number.
        block_number: u64,
        /// Its preconfirmation hash.
        hash: B256,
        /// Who has it.
        peer: PeerId,
        /// How many have shown it so far, this one among them. No more than 32 are told.
        peers: usize,
    },
    /// A record could not be written (P10.4). The node goes on; what it could not record of its own it does not publish (P5.9a).
    StorageFailed {
        /// Why.
        failure: StorageFailure,
    },
    /// Catch-up has come this far (P6.9).
    SyncProgress {
        /// Block that it started after.
        from: u64,
        /// Highest linked block now.
        at: u64,
        /// Highest block that is backed so far (P11.1); not below `at`. It grows as peers show what they claim.
        to: u64,
    },
    /// Catch-up has reached the best head that peers could back.
    Synced {
        /// That head.
        head: u64,
    },
    /// The host could not execute a block; it will be told again (P10.4).
    ExecutionFailed {
        /// Its number.
        block_number: u64,
        /// After this pause; it grows with each failure on end.
        again_in: Duration,
    },
    /// Blocks from this number on are no longer what they were; those that come back as ready must be executed again (P9.3).
    ExecuteAgain {
        /// First number.
        from: u64,
    },
    /// A preconfer signed a block that may not follow its parent, and no evidence against one signer comes of it: another one signed the parent,
    /// or the rule is this chain's own (C9). The block is not accepted.
    RuleBroken {
        /// The parent.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        parent: Arc<Accepted>,
        /// The block.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        child: Arc<SignedCommitment>,
        /// What it breaks.
        rule: ParentRule,
    },
}
