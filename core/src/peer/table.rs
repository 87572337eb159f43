//! Who is connected, and who is remembered (P7.6)?
//!
//! A peer counts once, however many connections lead to it. What is known of a peer's conduct outlives its connections.
//!
//! A question about the connected peers is one pass over them: they are a few hundred at most (P8.2), and a pass with the whole sort key of a
//! choice takes some three microseconds, beside a signature's recovery of forty. So nothing is kept in order for it. Those who are only
//! remembered may be thousands, and are never walked over.
//!
//! Invariant: a remembered peer is either in `connected` or in `away`. `by_age` and `banned` together hold exactly those of `away`, by when
//! they were last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::id::{ConnectionId, PeerId, RequestId};
use crate::input::{Direction, Spoken};
use crate::peer::conduct::ScoreRules;
use crate::peer::ledger::Ledger;
use crate::peer::limit::{ByteBudget, ByteLimit, Limiter, RateLimit};
use crate::peer::pace::Pace;
use crate::peer::score::Standing;
use crate::peer::subnet::Cidr;
use crate::time::Time;
use crate::wire::topics::{Protocol, Topic};

/// Most peers that are remembered. Source: P7.6.
pub(crate) const MAX_REMEMBERED: usize = 4096;

/// Most peers that are connected as far as the machine knows. Ours: far above any limit of the network (P8.2), so that only a broken
/// driver meets it.
pub(crate) const MAX_CONNECTED: usize = 1024;
/// Most connections of one peer, likewise.
pub(crate) const MAX_CONNECTIONS_PER_PEER: usize = 16;

/// What is known of a connected peer.
#[derive(Debug)]
pub(crate) struct Connected {
    connections: BTreeMap<ConnectionId, ConnectionInfo>,
    pub(crate) spoken: Spoken,
    topics: BTreeSet<Topic>,
    /// How many peers had come before it, and when it came.
    pub(super) arrival: u64,
    pub(super) since: Time,
    /// Requests that wait until it has room (P6.7), by protocol.
    pub(super) waiting: [BTreeSet<RequestId>; 3],
    /// The last request for a page that ended with it had no answer.
    pub(super) is_unresponsive: bool,
    pub(super) is_protected: bool,
    /// Told to leave; it no longer counts (P8.4).
    pub(super) is_leaving: bool,
    pub(super) known: Known,
}

/// A connection's direction and address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) direction: Direction,
    /// The other end's address, if it has one.
    pub(crate) address: Option<IpAddr>,
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

/// What is known of a peer's conduct.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) ledger: Ledger,
    last_seen: Time,
    /// When it connected last, and how many requests over the limit it may make since: it may have restarted and forgotten what it asked.
    fresh: (Time, u32),
    /// What it may ask of us, by protocol, and in bytes of answers (P6.6).
    limiters: [Limiter; 3],
    response_bytes: ByteBudget,
    /// What we may ask of it, by protocol (P6.7).
    pub(super) paces: [Pace; 3],
    /// Bytes of txlists that it may gossip (T3).
    txlist_bytes: ByteBudget,
    /// The score that gossipsub was told last.
    mirrored: i64,
    is_banned: bool,
}

/// The peers.
#[derive(Debug)]
pub(crate) struct Peers {
    rules: Arc<ScoreRules>,
    request_limit: RateLimit,
    response_limit: ByteLimit,
    txlist_limit: ByteLimit,
    pub(super) max_requests_per_peer: usize,
    pub(super) connected: BTreeMap<PeerId, Connected>,
    away: BTreeMap<PeerId, Known>,
    by_age: BTreeSet<(Time, PeerId)>,
    /// Like `by_age`, of the banned ones.
    banned: BTreeSet<(Time, PeerId)>,
    trusted: BTreeSet<PeerId>,
    arrivals: u64,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            rules: Arc::new(config.score),
            request_limit: config.request_limit,
            response_limit: config.response_limit,
            txlist_limit: config.txlist_quota,
            max_requests_per_peer: config.max_requests_per_peer,
            connected: BTreeMap::new(),
            away: BTreeMap::new(),
            by_age: BTreeSet::new(),
            banned: BTreeSet::new(),
            trusted: config.trusted.iter().copied().collect(),
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

    /// How many are remembered, the connected ones included.
    pub(crate) fn remembered(&self) -> usize {
        self.connected.len() + self.away.len()
    }

    /// A connection stands. Says whether it is the peer's first.
    pub(crate) fn open(&mut self, now: Time, peer: PeerId, opened: (ConnectionId, ConnectionInfo), is_protected: bool) -> bool {
        let is_first = !self.connected.contains_key(&peer);
        if is_first {
            let known = match self.take_away(&peer) {
                // P7.10: it may have restarted: one window's worth on each protocol
                Some(known) => Known { fresh: (now, self.request_limit.limit.saturating_mul(3)), ..known },
                None => self.stranger(now, &peer),
            };
            self.arrivals += 1; // 2^64 peers outlive any node
            let connected = Connected {
                connections: BTreeMap::new(),
                spoken: Spoken::default(),
                topics: BTreeSet::new(),
                arrival: self.arrivals,
                since: now,
                waiting: Default::default(),
                is_unresponsive: false,
                is_protected,
                is_leaving: false,
                known,
            };
            self.connected.insert(peer, connected);
            self.forget_oldest();
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
        let known = self.connected.remove(&peer)?.known;
        self.put_away(peer, Known { last_seen: now, ..known });
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

    /// Is the peer trusted (P7.6)?
    pub(crate) fn is_trusted(&self, peer: &PeerId) -> bool {
        self.trusted.contains(peer)
    }

    /// All trusted peers.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.trusted.iter().copied()
    }

    /// Trusts a peer, or no longer.
    pub(crate) fn set_trusted(&mut self, now: Time, peer: PeerId, is_trusted: bool) {
        if is_trusted {
            self.trusted.insert(peer);
        } else {
            self.trusted.remove(&peer);
        }
        if let Some(known) = self.known_mut(&peer) {
            known.ledger.set_trusted(now, is_trusted); // any other is told when it is met
        }
    }

    /// All banned peers that are not connected, the one that was seen longest ago first.
    pub(crate) fn banned(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.banned.iter().map(|(_, peer)| *peer)
    }

    /// A ban falls or ends.
    pub(crate) fn set_banned(&mut self, peer: &PeerId, is_banned: bool) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.known.is_banned = is_banned;
        } else if let Some(known) = self.take_away(peer) {
            self.put_away(*peer, Known { is_banned, ..known });
        }
    }

    /// Remembers a peer from before a restart (P7.7). Says whether it was unknown until now.
    pub(crate) fn restore(&mut self, now: Time, peer: PeerId, score: i64, ban_ends: Option<Time>) -> bool {
        if self.known(&peer).is_some() || self.trusted.contains(&peer) {
            return false;
        }
        let rules = self.rules.clone();
        self.know(now, peer).ledger = Ledger::restored(rules, now, score, ban_ends);
        if ban_ends.is_some() {
            self.set_banned(&peer, true);
        }
        true
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

    /// A peer said what it speaks.
    pub(crate) fn identified(&mut self, peer: &PeerId, spoken: Spoken) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.spoken = spoken;
        }
    }

    /// A peer turned out not to speak a protocol: it is not asked again.
    pub(crate) fn does_not_speak(&mut self, peer: &PeerId, protocol: Protocol) {
        let Some(connected) = self.connected.get_mut(peer) else { return };
        match protocol {
            Protocol::GetHead => connected.spoken.get_head = false,
            Protocol::GetCommitments => connected.spoken.get_commitments = false,
            Protocol::GetTxList => connected.spoken.get_txlist = false,
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

    /// T3: counts gossiped txlist bytes; says whether the peer is within its quota.
    pub(crate) fn admit_txlist_bytes(&mut self, now: Time, peer: PeerId, len: usize) -> bool {
        self.know(now, peer).txlist_bytes.admit(now, len)
    }

    /// P7.10: may this request be over the limit only because the peer has restarted and cannot know what it asked before? A restart shows
    /// as a new connection; whoever asks more than a node can forget, or later, is at fault.
    pub(crate) fn may_have_forgotten(&mut self, peer: &PeerId, now: Time) -> bool {
        let lately = self.request_limit.window.saturating_mul(2);
        let Some(known) = self.known_mut(peer).filter(|known| now.since(known.fresh.0) < lately && known.fresh.1 > 0) else {
            return false;
        };
        known.fresh.1 -= 1;
        true
    }

    /// P6.6: may the peer ask this of us now?
    pub(crate) fn admit_request(&mut self, now: Time, peer: PeerId, protocol: Protocol) -> bool {
        self.know(now, peer).limiters[index(protocol)].admit(now)
    }

    /// P6.6: may the peer have so many bytes of answers now?
    pub(crate) fn admit_response(&mut self, now: Time, peer: PeerId, len: usize) -> bool {
        self.know(now, peer).response_bytes.admit(now, len)
    }

    pub(crate) fn ledger(&self, peer: &PeerId) -> Option<&Ledger> {
        self.known(peer).map(|known| &known.ledger)
    }

    /// The ledger of a peer, a new one if it is not known yet.
    pub(crate) fn ledger_mut(&mut self, now: Time, peer: PeerId) -> &mut Ledger {
        &mut self.know(now, peer).ledger
    }

    /// How we deal with a peer (P7.4).
    pub(crate) fn standing(&self, now: Time, peer: &PeerId) -> Standing {
        self.ledger(peer).map_or(Standing::Healthy, |ledger| ledger.standing(now))
    }

    /// Notes what gossipsub is told of a peer's score; says whether that is news.
    pub(crate) fn mirror(&mut self, peer: &PeerId, score: i64) -> bool {
        self.known_mut(peer).is_some_and(|known| std::mem::replace(&mut known.mirrored, score) != score)
    }

    /// The scores of the connected peers of which gossipsub was told that they are not zero. Brings their ledgers up to now, so that a pass
    /// over scores never has many decays to work out.
    pub(crate) fn settle_mirrored(&mut self, now: Time) -> Vec<(PeerId, i64)> {
        let mirrored = self.connected.iter_mut().filter(|(_, peer)| peer.known.mirrored != 0);
        mirrored.map(|(id, peer)| (*id, peer.known.ledger.settled(now))).collect()
    }

    fn known(&self, peer: &PeerId) -> Option<&Known> {
        self.connected.get(peer).map(|connected| &connected.known).or_else(|| self.away.get(peer))
    }

    fn known_mut(&mut self, peer: &PeerId) -> Option<&mut Known> {
        self.connected.get_mut(peer).map(|connected| &mut connected.known).or_else(|| self.away.get_mut(peer))
    }

    /// What is known of a peer; from now on that it is there, if nothing was.
    pub(super) fn know(&mut self, now: Time, peer: PeerId) -> &mut Known {
        if self.known(&peer).is_none() {
            let stranger = self.stranger(now, &peer);
            self.away.insert(peer, stranger);
            self.forget_oldest(); // before it is listed, or it could be the one
            self.by_age.insert((now, peer));
        }
        self.known_mut(&peer).expect("inserted above")
    }

    fn stranger(&self, now: Time, peer: &PeerId) -> Known {
        let mut ledger = Ledger::new(self.rules.clone());
        if self.trusted.contains(peer) {
            ledger.set_trusted(now, true);
        }
        Known {
            ledger,
            last_seen: now,
            fresh: (now, 0),
            limiters: std::array::from_fn(|_| Limiter::new(self.request_limit)),
            response_bytes: ByteBudget::new(self.response_limit),
            paces: std::array::from_fn(|_| Pace::new(&self.request_limit)),
            txlist_bytes: ByteBudget::new(self.txlist_limit),
            mirrored: 0,
            is_banned: false,
        }
    }

    /// P7.6: the least recently seen without a ban first; a table full of bans gives up the oldest of them.
    fn forget_oldest(&mut self) {
        while self.remembered() > MAX_REMEMBERED {
            let Some((_, peer)) = self.by_age.pop_first().or_else(|| self.banned.pop_first()) else { return };
            self.away.remove(&peer);
        }
    }

    fn put_away(&mut self, peer: PeerId, known: Known) {
        let list = if known.is_banned { &mut self.banned } else { &mut self.by_age };
        list.insert((known.last_seen, peer));
        self.away.insert(peer, known);
    }

    fn take_away(&mut self, peer: &PeerId) -> Option<Known> {
        let known = self.away.remove(peer)?;
        let list = if known.is_banned { &mut self.banned } else { &mut self.by_age };
        list.remove(&(known.last_seen, *peer));
        Some(known)
    }
}

impl Connected {
    pub(super) fn side(&self) -> Side {
        let ours = self.connections.values().any(|info| info.direction == Direction::Outbound);
        if ours { Side::Outbound } else { Side::Inbound }
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
