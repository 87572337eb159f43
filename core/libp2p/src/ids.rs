//! Which of our names stands for which of libp2p's?
//!
//! The only place where the two meet. Invariant: each pair of tables here holds the same entries; only the methods touch them. Connections
//! and dials are bounded by the connection limits, requests by what the machine lets fly, channels by [`MAX_CHANNELS`].

use std::collections::BTreeMap;

use libp2p_request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p_swarm::ConnectionId as SwarmConnection;
use preconf_core::{ChannelId, ConnectionId, DialId, PeerId, Protocol, RequestId};

use crate::codec::Body;

/// Most requests of peers that wait for an answer. Ours: sixteen times what the machine serves at once (P6.6), so that it refuses first.
pub(crate) const MAX_CHANNELS: usize = 1024;
/// The same of one peer. Ours, by the same reason.
pub(crate) const MAX_CHANNELS_PER_PEER: usize = 64;

/// The peer's bytes in libp2p's form.
pub(crate) fn to_libp2p(peer: PeerId) -> Option<libp2p_identity::PeerId> {
    libp2p_identity::PeerId::from_bytes(peer.as_bytes()).ok()
}

/// The peer's bytes in our form. `None` for a multihash that no key has: a connected peer always has one that fits.
pub(crate) fn from_libp2p(peer: libp2p_identity::PeerId) -> Option<PeerId> {
    PeerId::from_bytes(&peer.to_bytes())
}

/// Connections and dials.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    minted: u64,
    open: BTreeMap<SwarmConnection, ConnectionId>,
    by_id: BTreeMap<ConnectionId, SwarmConnection>,
    dials: BTreeMap<SwarmConnection, DialId>,
}

impl Connections {
    pub(crate) fn dial(&mut self, connection: SwarmConnection, dial: DialId) {
        self.dials.insert(connection, dial);
    }

    /// The dial is over; which one was it?
    pub(crate) fn end_dial(&mut self, connection: SwarmConnection) -> Option<DialId> {
        self.dials.remove(&connection)
    }

    pub(crate) fn open(&mut self, connection: SwarmConnection) -> ConnectionId {
        self.minted += 1; // 2^64 connections outlive any node
        let id = ConnectionId(self.minted);
        self.open.insert(connection, id);
        self.by_id.insert(id, connection);
        id
    }

    pub(crate) fn close(&mut self, connection: SwarmConnection) -> Option<ConnectionId> {
        let id = self.open.remove(&connection)?;
        self.by_id.remove(&id);
        Some(id)
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<SwarmConnection> {
        self.by_id.get(&id).copied()
    }
}

/// A request of ours as libp2p names it: each protocol has a behaviour that counts on its own.
type OutboundKey = (Protocol, OutboundRequestId);
/// A peer's request as libp2p names it.
type InboundKey = (Protocol, InboundRequestId);

/// Requests of ours under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_key: BTreeMap<OutboundKey, RequestId>,
    by_id: BTreeMap<RequestId, OutboundKey>,
}

impl Requests {
    pub(crate) fn start(&mut self, request: RequestId, protocol: Protocol, id: OutboundRequestId) {
        self.by_key.insert((protocol, id), request);
        self.by_id.insert(request, (protocol, id));
    }

    /// The request is over; `None` when it was cancelled before.
    pub(crate) fn end(&mut self, protocol: Protocol, id: OutboundRequestId) -> Option<RequestId> {
        let request = self.by_key.remove(&(protocol, id))?;
        self.by_id.remove(&request);
        Some(request)
    }

    pub(crate) fn cancel(&mut self, request: RequestId) {
        if let Some(key) = self.by_id.remove(&request) {
            self.by_key.remove(&key);
        }
    }
}

/// Requests of peers that wait for an answer, or for the answer to be written.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    minted: u64,
    by_id: BTreeMap<ChannelId, Channel>,
    by_key: BTreeMap<InboundKey, ChannelId>,
    per_peer: BTreeMap<PeerId, usize>,
}

#[derive(Debug)]
struct Channel {
    peer: PeerId,
    protocol: Protocol,
    /// Taken when the answer is handed over or refused.
    sender: Option<ResponseChannel<Body>>,
}

impl Channels {
    /// Names a channel. `None` when there is no room: the channel is dropped, and its peer sees a closed stream.
    pub(crate) fn open(
        &mut self,
        peer: PeerId,
        protocol: Protocol,
        id: InboundRequestId,
        sender: ResponseChannel<Body>,
    ) -> Option<ChannelId> {
        let share = self.per_peer.get(&peer).copied().unwrap_or(0);
        if self.by_id.len() >= MAX_CHANNELS || share >= MAX_CHANNELS_PER_PEER {
            return None;
        }
        self.minted += 1; // 2^64 channels outlive any node
        let channel = ChannelId(self.minted);
        self.by_id.insert(channel, Channel { peer, protocol, sender: Some(sender) });
        self.by_key.insert((protocol, id), channel);
        self.per_peer.insert(peer, share + 1);
        Some(channel)
    }

    /// Takes the way to answer, once.
    pub(crate) fn take(&mut self, channel: ChannelId) -> Option<(Protocol, ResponseChannel<Body>)> {
        let channel = self.by_id.get_mut(&channel)?;
        channel.sender.take().map(|sender| (channel.protocol, sender))
    }

    /// libp2p is done with a peer's request; `None` when it never got a name.
    pub(crate) fn close(&mut self, protocol: Protocol, id: InboundRequestId) -> Option<ChannelId> {
        let channel = self.by_key.remove(&(protocol, id))?;
        let Channel { peer, .. } = self.by_id.remove(&channel)?;
        if let Some(share) = self.per_peer.get_mut(&peer) {
            *share -= 1;
            if *share == 0 {
                self.per_peer.remove(&peer);
            }
        }
        Some(channel)
    }
}
