//! Who is connected, by which connections, and what may pass between us (P6.6, P6.7, P7.6)?
//!
//! A peer counts once, however many connections lead to it. What it may still ask of us, and we of it, outlives its connections.
//!
//! A question about the connected peers is one pass over them: they are a few hundred at most (P8.2), and a pass with the whole sort key of a
//! choice takes some three microseconds, beside a signature's recovery of forty. So nothing is kept in order for it.
//!
//! Invariant: the connected peers of `allowances` are those of `connected`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::id::{ConnectionId, PeerId, RequestId};
use crate::input::{Direction, SupportedProtocols};
use crate::peer::connections::{MAX_CONNECTED, MAX_CONNECTIONS_PER_PEER};
use crate::peer::limit::{ByteBudget, ByteLimit, LimitKind, Limiter, MIN_UNNAMED_BYTES, RateLimit};
use crate::peer::outbound_limiter::OutboundLimiter;
use crate::peer::remembered::Remembered;
use crate::peer::subnet::Cidr;
use crate::time::Time;
use crate::wire::topics::{Protocol, Topic};

/// What is known of a connected peer.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Connected {
    connections: BTreeMap<ConnectionId, ConnectionInfo>,
    pub(crate) protocols: SupportedProtocols,
    topics: BTreeSet<Topic>,
    /// How many peers had come before it, and when it came.
    pub(super) arrival: u64,
    pub(super) since: Time,
    /// Requests that wait until it has room (P6.7), by protocol.
    pub(super) waiting: [BTreeSet<RequestId>; 3],
    /// The last request for a page that ended with it had no answer.
    pub(super) is_unresponsive: bool,
    /// Bytes a second of the pages that it brought, smoothed; `None` before the first (P6.9).
    pub(super) brought: Option<u64>,
    pub(super) is_protected: bool,
    /// Told to leave; it no longer counts (P8.4).
    pub(super) is_leaving: bool,
    /// We are closing one of its connections until then (P8.5a).
    closes_until: Time,
}

/// A connection's direction and address.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ConnectionInfo {
    pub(crate) direction: Direction,
    /// The other end's address, if it has one.
    pub(crate) address: Option<IpAddr>,
    pub(crate) since: Time,
}

/// Who opened the connections with a peer; in the order in which they leave (P8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Only the peer did.
    Inbound,
    /// We opened one, at least.
    Outbound,
}

/// How many peers are connected and have not been told to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staying {
    pub(crate) all: usize,
    /// Only the peer itself opened a connection.
    pub(crate) inbound: usize,
}

/// What a peer may still ask of us, and we of it.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Allowances {
    /// What it may ask over the limit before that is a fault, by protocol (P6.6).
    over_limit: [Limiter; 3],
    /// What it may ask of us, by protocol, and in bytes of answers (P6.6).
    limiters: [Limiter; 3],
    response_bytes: ByteBudget,
    /// What we may ask of it, by protocol (P6.7).
    pub(super) outbound_limiters: [OutboundLimiter; 3],
    /// Bytes of txlists that it may gossip while no commitment names them (T3).
    unnamed_bytes: ByteBudget,
}

/// The time over which requests over the limit are counted before they are a fault. Source: P6.6.
const OVER_LIMIT_WINDOW: Duration = Duration::from_secs(60);

/// The limits of a configuration.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Limits {
    requests: RateLimit,
    responses: ByteLimit,
    txlists: ByteLimit,
}

/// What a peer may ask over its limit: four windows' worth in 60 s (P6.6).
fn over_limit(requests: RateLimit) -> RateLimit {
    RateLimit { limit: requests.limit.saturating_mul(4), window: OVER_LIMIT_WINDOW, kind: LimitKind::FixedWindow }
}

impl Limits {
    fn of_a_stranger(self) -> Allowances {
        Allowances {
            over_limit: std::array::from_fn(|_| Limiter::new(over_limit(self.requests))),
            limiters: std::array::from_fn(|_| Limiter::new(self.requests)),
            response_bytes: ByteBudget::new(self.responses),
            outbound_limiters: std::array::from_fn(|_| OutboundLimiter::new(&self.requests)),
            unnamed_bytes: ByteBudget::new(self.txlists),
        }
    }
}

/// The peers.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Peers {
    limits: Limits,
    pub(super) max_requests_per_peer: usize,
    pub(super) connected: BTreeMap<PeerId, Connected>,
    pub(super) allowances: Remembered<Allowances>,
    arrivals: u64,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            limits: Limits { requests: config.request_limit, responses: config.response_limit, txlists: config.txlist_quota },
            max_requests_per_peer: config.max_requests_per_peer,
            connected: BTreeMap::new(),
            allowances: Remembered::default(),
            arrivals: 0,
        }
    }

    /// Is there room for one more connection of this peer?
    pub(crate) fn has_room_for(&self, peer: &PeerId) -> bool {
        match self.connected.get(peer) {
            Some(connected) => connected.connections.len() < MAX_CONNECTIONS_PER_PEER,
            None => self.connected.len() < MAX_CONNECTED,
        }
    }

    /// Is this connection of the peer's known already?
    pub(crate) fn has_connection(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        self.connected.get(peer).is_some_and(|connected| connected.connections.contains_key(&connection))
    }

    /// A peer's other connections, oldest first.
    pub(crate) fn other_connections(&self, peer: &PeerId, than: ConnectionId) -> Vec<(ConnectionId, ConnectionInfo)> {
        let connections = self.connected.get(peer).into_iter().flat_map(|connected| &connected.connections);
        let mut others: Vec<_> = connections.filter(|(id, _)| **id != than).map(|(id, info)| (*id, *info)).collect();
        others.sort_by_key(|(id, info)| (info.since, *id));
        others
    }

    /// We close one of a peer's connections: until then, what ends with it is no fault of the peer's.
    pub(crate) fn closes_one(&mut self, peer: &PeerId, until: Time) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.closes_until = until;
        }
    }

    /// Of how many it is known what they may ask, the connected ones included.
    pub(crate) fn remembered(&self) -> usize {
        self.allowances.len()
    }

    /// A connection stands. Says whether it is the peer's first.
    pub(crate) fn open(&mut self, now: Time, peer: PeerId, opened: (ConnectionId, ConnectionInfo), is_protected: bool) -> bool {
        let is_first = !self.connected.contains_key(&peer);
        if is_first {
            let limits = self.limits;
            self.allowances.connect(now, peer, || limits.of_a_stranger());
            self.arrivals += 1; // 2^64 peers outlive any node
            let connected = Connected {
                connections: BTreeMap::new(),
                protocols: SupportedProtocols::default(),
                topics: BTreeSet::new(),
                arrival: self.arrivals,
                since: now,
                waiting: Default::default(),
                is_unresponsive: false,
                brought: None,
                is_protected,
                is_leaving: false,
                closes_until: Time::ZERO,
            };
            self.connected.insert(peer, connected);
        }
        if let Some(connected) = self.connected.get_mut(&peer) {
            connected.connections.insert(opened.0, opened.1);
        }
        is_first
    }

    /// A connection is gone. Gives what it was, and whether it was the peer's last; `None` when it never counted.
    pub(crate) fn close(&mut self, now: Time, peer: PeerId, connection: ConnectionId) -> Option<(ConnectionInfo, bool)> {
        let connected = self.connected.get_mut(&peer)?;
        let info = connected.connections.remove(&connection)?;
        if !connected.connections.is_empty() {
            return Some((info, false));
        }
        self.connected.remove(&peer);
        self.allowances.disconnect(now, peer);
        Some((info, true))
    }

    /// How many peers there are, without those who were told to leave.
    pub(crate) fn staying(&self) -> Staying {
        let staying = self.connected.values().filter(|peer| !peer.is_leaving);
        staying.fold(Staying::default(), |count, peer| Staying {
            all: count.all + 1,
            inbound: count.inbound + usize::from(peer.side() == Side::Inbound),
        })
    }

    /// Where we dialed a peer that is connected; `None` if only it opened connections.
    pub(crate) fn dialed_at(&self, peer: &PeerId) -> Option<IpAddr> {
        let connections = self.connected.get(peer)?.connections.values();
        connections.filter(|info| info.direction == Direction::Outbound).find_map(|info| info.canonical())
    }

    /// A peer is told to leave.
    pub(crate) fn disconnect(&mut self, peer: &PeerId) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.is_leaving = true;
        }
    }

    /// Is a peer protected from having to leave?
    pub(crate) fn set_protected(&mut self, peer: &PeerId, is_protected: bool) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.is_protected = is_protected;
        }
    }

    /// Connections whose other end lies in a block of addresses.
    pub(crate) fn connections_from(&self, block: &Cidr) -> Vec<ConnectionId> {
        let all = self.connected.values().flat_map(|peer| &peer.connections);
        all.filter(|(_, info)| info.address.is_some_and(|address| block.contains(address))).map(|(connection, _)| *connection).collect()
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Connected> {
        self.connected.get(peer)
    }

    /// All that are connected, in the order of their ids.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (&PeerId, &Connected)> {
        self.connected.iter()
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.connected.len()
    }

    /// A peer said what it speaks. Says whether that is news.
    pub(crate) fn identified(&mut self, peer: &PeerId, protocols: SupportedProtocols) -> bool {
        let connected = self.connected.get_mut(peer);
        connected.is_some_and(|connected| std::mem::replace(&mut connected.protocols, protocols) != protocols)
    }

    /// A peer turned out not to speak a protocol: it is not asked again.
    pub(crate) fn does_not_speak(&mut self, peer: &PeerId, protocol: Protocol) {
        let Some(connected) = self.connected.get_mut(peer) else { return };
        match protocol {
            Protocol::GetHead => connected.protocols.get_head = false,
            Protocol::GetCommitments => connected.protocols.get_commitments = false,
            Protocol::GetTxList => connected.protocols.get_txlist = false,
        }
    }

    /// A peer joined or left a topic.
    pub(crate) fn subscribed(&mut self, peer: &PeerId, topic: Topic, joined: bool) {
        let Some(connected) = self.connected.get_mut(peer) else { return };
        if joined {
            connected.topics.insert(topic);
        } else {
            connected.topics.remove(&topic);
        }
    }

    /// Has a connected peer joined the topic?
    pub(crate) fn has_subscriber(&self, topic: Topic) -> bool {
        self.connected.values().any(|peer| peer.is_on(topic))
    }

    /// T3: takes a gossiped txlist that nothing names off the peer's quota; says whether it was within.
    pub(crate) fn admit_unnamed(&mut self, now: Time, peer: PeerId, len: usize) -> bool {
        self.allowances(now, peer).unnamed_bytes.admit(now, len.max(MIN_UNNAMED_BYTES))
    }

    /// T3: one that came then has been named, so it was no stranger's.
    pub(crate) fn refund_unnamed(&mut self, now: Time, peer: PeerId, len: usize, since: Time) {
        self.allowances(now, peer).unnamed_bytes.refund(since, len.max(MIN_UNNAMED_BYTES));
    }

    /// P6.6, P7.10: is this request over the limit a fault? A wire that stalls and then bursts is no malice, nor is a restart that cannot know
    /// what was asked before it.
    pub(crate) fn is_flood(&mut self, now: Time, peer: PeerId, protocol: Protocol) -> bool {
        !self.allowances(now, peer).over_limit[index(protocol)].admit(now)
    }

    /// P6.6: may the peer ask this of us now?
    pub(crate) fn admit_request(&mut self, now: Time, peer: PeerId, protocol: Protocol) -> bool {
        self.allowances(now, peer).limiters[index(protocol)].admit(now)
    }

    /// P6.6: when may the peer have so many bytes of answers?
    pub(crate) fn response_room_at(&self, now: Time, peer: &PeerId, len: usize) -> Time {
        let budget = self.allowances.get(peer).map(|allowances| &allowances.response_bytes);
        budget.map_or(Some(now), |budget| budget.next_admit_at(now, len)).unwrap_or(Time(u64::MAX))
    }

    /// It has them.
    pub(crate) fn spend_response(&mut self, now: Time, peer: PeerId, len: usize) {
        self.allowances(now, peer).response_bytes.admit(now, len);
    }

    /// Where a connected peer's newest connection comes from, or leads to.
    pub(crate) fn address_of(&self, peer: &PeerId) -> Option<IpAddr> {
        self.connected.get(peer)?.connections.values().rev().find_map(|info| info.canonical())
    }

    pub(super) fn allowances(&mut self, now: Time, peer: PeerId) -> &mut Allowances {
        let limits = self.limits;
        self.allowances.get_or_insert(now, peer, || limits.of_a_stranger())
    }
}

impl Connected {
    pub(super) fn side(&self) -> Side {
        let ours = self.connections.values().any(|info| info.direction == Direction::Outbound);
        if ours { Side::Outbound } else { Side::Inbound }
    }

    /// Where its connections lead to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Option<IpAddr>> {
        self.connections.values().map(|info| info.address)
    }

    /// Is it we who close its connections, or one of them?
    pub(crate) fn is_closed_by_us(&self, now: Time) -> bool {
        self.is_leaving || now < self.closes_until
    }

    /// Is it on any of our topics?
    pub(crate) fn is_on_any(&self) -> bool {
        !self.topics.is_empty()
    }

    /// Has the peer been told to leave?
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Has the peer joined the topic?
    pub(crate) fn is_on(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }
}

impl ConnectionInfo {
    /// IPv4 in its own form, however it is written.
    fn canonical(self) -> Option<IpAddr> {
        self.address.map(|address| address.to_canonical())
    }
}

pub(super) fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::GetHead => 0,
        Protocol::GetCommitments => 1,
        Protocol::GetTxList => 2,
    }
}
