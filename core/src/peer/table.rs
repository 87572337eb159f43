//! Who is connected, and who is remembered (P7.6)?
//!
//! A peer counts once, however many connections lead to it. What is known of a peer's conduct outlives its connections.
//!
//! Invariants: a connected peer is always remembered. `by_age` and `banned` together hold exactly the remembered peers that are not
//! connected, by when they were last seen. `round`, `rooms`, `backers`, `scored`, `by_address` and `subscribers` hold connected peers only.
//! So no question and no change walks over the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::config::Config;
use crate::dice::Dice;
use crate::id::{ConnectionId, PeerId, RequestId};
use crate::input::{Direction, Spoken};
use crate::peer::backers::Backers;
use crate::peer::conduct::ScoreRules;
use crate::peer::ledger::Ledger;
use crate::peer::limit::{ByteBudget, ByteLimit, Limiter, RateLimit};
use crate::peer::pace::Pace;
use crate::peer::pruning::{Rank, Ranks, Side};
use crate::peer::room::{Room, Spot};
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
    connections: BTreeMap<ConnectionId, Link>,
    pub(crate) spoken: Spoken,
    topics: BTreeSet<Topic>,
    arrival: u64,
    since: Time,
    /// Its place in the round.
    pub(super) seat: u64,
    /// Where it is in each protocol's room.
    pub(super) spots: [Spot; 3],
    /// How it stood when it was placed last.
    pub(super) placed_as: Standing,
    /// Requests that wait for it (P6.7), by protocol.
    pub(super) sought: [BTreeSet<RequestId>; 3],
    /// How far its claim is followed (P6.9), 0 when it is not.
    pub(super) reach: u64,
    /// The last request for a page that ended with it had no answer.
    pub(super) is_silent: bool,
    is_protected: bool,
    /// Told to leave; it no longer counts (P8.4).
    is_leaving: bool,
    rank: Option<Rank>,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) direction: Direction,
    /// The other end's address, if it has one.
    pub(crate) address: Option<IpAddr>,
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
    pub(super) known: BTreeMap<PeerId, Known>,
    by_age: BTreeSet<(Time, PeerId)>,
    /// Like `by_age`, of the banned ones.
    banned: BTreeSet<(Time, PeerId)>,
    trusted: BTreeSet<PeerId>,
    ranks: Ranks,
    staying: Staying,
    arrivals: u64,
    /// The connected peers in an order that only our dice know, so that nobody can choose an id that is asked more often (P6.8).
    pub(super) round: BTreeMap<u64, PeerId>,
    /// Who of them can be asked, by protocol.
    pub(super) rooms: [Room; 3],
    /// Who of them can be asked for a page, by how far their claims reach.
    pub(super) backers: Backers,
    /// The connected peers of whose scores gossipsub was told last that they are not zero (P7.5).
    scored: BTreeSet<PeerId>,
    /// The connections by the other end's address.
    by_address: BTreeMap<IpAddr, BTreeSet<(PeerId, ConnectionId)>>,
    /// How many connected peers have joined each topic.
    subscribers: [usize; 2],
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
            known: BTreeMap::new(),
            by_age: BTreeSet::new(),
            banned: BTreeSet::new(),
            trusted: config.trusted.iter().copied().collect(),
            ranks: Ranks::default(),
            staying: Staying::default(),
            arrivals: 0,
            round: BTreeMap::new(),
            rooms: Default::default(),
            backers: Backers::default(),
            scored: BTreeSet::new(),
            by_address: BTreeMap::new(),
            subscribers: [0; 2],
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
        self.known.len()
    }

    /// A connection stands. A peer that has none yet takes a seat in the round, by our dice. Says whether it is the peer's first.
    pub(crate) fn open(&mut self, now: Time, peer: PeerId, opened: (ConnectionId, Link), is_protected: bool, dice: &mut Dice) -> bool {
        let (connection, link) = opened;
        if !self.connected.contains_key(&peer)
            && let Some(known) = self.known.get_mut(&peer)
        {
            known.fresh = (now, self.request_limit.limit.saturating_mul(3)); // one window's worth on each protocol
        }
        self.know(now, peer);
        self.unlist(&peer);
        self.uncount(&peer);
        let (arrivals, round) = (&mut self.arrivals, &mut self.round);
        let entry = self.connected.entry(peer).or_insert_with(|| {
            *arrivals += 1; // 2^64 peers outlive any node
            let mut seat = dice.any();
            while round.contains_key(&seat) {
                seat = seat.wrapping_add(1);
            }
            round.insert(seat, peer);
            Connected {
                connections: BTreeMap::new(),
                spoken: Spoken::default(),
                topics: BTreeSet::new(),
                arrival: *arrivals,
                since: now,
                seat,
                spots: Default::default(),
                placed_as: Standing::Healthy,
                sought: Default::default(),
                reach: 0,
                is_silent: false,
                is_protected,
                is_leaving: false,
                rank: None,
            }
        });
        let before = entry.connections.insert(connection, link);
        let is_first = before.is_none() && entry.connections.len() == 1;
        if let Some(before) = before {
            self.drop_address(peer, connection, before);
        }
        self.note_address(peer, connection, link);
        if self.known.get(&peer).is_some_and(|known| known.mirrored != 0) {
            self.scored.insert(peer);
        }
        self.count(&peer);
        is_first
    }

    /// A connection is gone. Gives what it was, and whether it was the peer's last; `None` when it never counted.
    pub(crate) fn close(&mut self, now: Time, peer: PeerId, connection: ConnectionId) -> Option<(Link, bool)> {
        let link = *self.connected.get(&peer)?.connections.get(&connection)?;
        self.uncount(&peer);
        let connected = self.connected.get_mut(&peer)?;
        connected.connections.remove(&connection);
        let was_last = connected.connections.is_empty();
        if was_last {
            self.round.remove(&connected.seat);
            self.backers.remove(connected.backer());
            for (room, spot) in self.rooms.iter_mut().zip(connected.spots) {
                room.move_to(spot, Spot::default());
            }
            for topic in &connected.topics {
                self.subscribers[slot(*topic)] -= 1;
            }
            self.scored.remove(&peer);
            self.connected.remove(&peer);
            if let Some(known) = self.known.get_mut(&peer) {
                known.last_seen = now;
            }
            self.list(&peer);
            self.forget_oldest();
        } else {
            self.count(&peer);
        }
        self.drop_address(peer, connection, link);
        Some((link, was_last))
    }

    /// How many peers there are, without those who were told to leave.
    pub(crate) fn staying(&self) -> Staying {
        self.staying
    }

    /// Who leaves first when there are too many, where so many newcomers have places (P8.4).
    pub(crate) fn worst(&self, now: Time, newcomers: usize) -> Option<(Side, PeerId)> {
        self.ranks.first(now, newcomers)
    }

    /// Whom our own dials brought and who may have to go, with their ranks, by their order from a seat on.
    pub(crate) fn outbound_from(&self, seat: u64) -> impl Iterator<Item = (Rank, PeerId)> + '_ {
        self.ranks.outbound_from(seat)
    }

    /// Where we dialed a peer that is connected; `None` if only it opened connections.
    pub(crate) fn dialed_at(&self, peer: &PeerId) -> Option<IpAddr> {
        let links = self.connected.get(peer)?.connections.values();
        links.filter(|link| link.direction == Direction::Outbound).find_map(|link| link.canonical())
    }

    /// A peer is told to leave.
    pub(crate) fn send_off(&mut self, peer: &PeerId) {
        self.uncount(peer);
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.is_leaving = true;
        }
    }

    /// Is a peer protected from having to leave?
    pub(crate) fn set_protected(&mut self, peer: &PeerId, is_protected: bool) {
        self.uncount(peer);
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.is_protected = is_protected;
        }
        self.count(peer);
    }

    /// Connections whose other end lies in a block of addresses.
    pub(crate) fn connections_from(&self, block: &Cidr) -> Vec<ConnectionId> {
        let there = self.by_address.range(block.first()..).take_while(|(address, _)| block.contains(**address));
        there.flat_map(|(_, connections)| connections.iter().map(|(_, connection)| *connection)).collect()
    }

    fn note_address(&mut self, peer: PeerId, connection: ConnectionId, link: Link) {
        if let Some(address) = link.canonical() {
            self.by_address.entry(address).or_default().insert((peer, connection));
        }
    }

    fn drop_address(&mut self, peer: PeerId, connection: ConnectionId, link: Link) {
        if let Some(address) = link.canonical()
            && let Some(connections) = self.by_address.get_mut(&address)
        {
            connections.remove(&(peer, connection));
            if connections.is_empty() {
                self.by_address.remove(&address);
            }
        }
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
        if let Some(known) = self.known.get_mut(&peer) {
            known.ledger.set_trusted(now, is_trusted); // any other is told when it is met
        }
        self.place(now, &peer);
    }

    /// All banned peers that are not connected, the one that was seen longest ago first.
    pub(crate) fn banned(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.banned.iter().map(|(_, peer)| *peer)
    }

    /// A ban falls or ends.
    pub(crate) fn set_banned(&mut self, peer: &PeerId, is_banned: bool) {
        self.unlist(peer);
        if let Some(known) = self.known.get_mut(peer) {
            known.is_banned = is_banned;
        }
        self.list(peer);
    }

    /// Remembers a peer from before a restart (P7.7). Says whether it was unknown until now.
    pub(crate) fn restore(&mut self, now: Time, peer: PeerId, score: i64, ban_ends: Option<Time>) -> bool {
        if self.known.contains_key(&peer) || self.trusted.contains(&peer) {
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
    pub(crate) fn identified(&mut self, now: Time, peer: &PeerId, spoken: Spoken) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.spoken = spoken;
        }
        self.place(now, peer);
    }

    /// A peer turned out not to speak a protocol: it is not asked again.
    pub(crate) fn does_not_speak(&mut self, now: Time, peer: &PeerId, protocol: Protocol) {
        if let Some(connected) = self.connected.get_mut(peer) {
            let spoken = &mut connected.spoken;
            match protocol {
                Protocol::GetHead => spoken.get_head = false,
                Protocol::GetCommitments => spoken.get_commitments = false,
                Protocol::GetTxList => spoken.get_txlist = false,
            }
        }
        self.place(now, peer);
    }

    /// A peer joined or left a topic.
    pub(crate) fn subscribed(&mut self, peer: &PeerId, topic: Topic, joined: bool) {
        if let Some(connected) = self.connected.get_mut(peer) {
            let count = &mut self.subscribers[slot(topic)];
            if joined {
                *count += usize::from(connected.topics.insert(topic));
            } else {
                *count -= usize::from(connected.topics.remove(&topic));
            }
        }
    }

    /// Has a connected peer joined the topic?
    pub(crate) fn has_subscriber(&self, topic: Topic) -> bool {
        self.subscribers[slot(topic)] > 0
    }

    /// T3: counts gossiped txlist bytes; says whether the peer is within its quota.
    pub(crate) fn admit_txlist_bytes(&mut self, now: Time, peer: PeerId, len: usize) -> bool {
        self.know(now, peer).txlist_bytes.admit(now, len)
    }

    /// P7.10: may this request be over the limit only because the peer has restarted and cannot know what it asked before? A restart shows
    /// as a new connection; whoever asks more than a node can forget, or later, is at fault.
    pub(crate) fn may_have_forgotten(&mut self, peer: &PeerId, now: Time) -> bool {
        let lately = self.request_limit.window.saturating_mul(2);
        let Some(known) = self.known.get_mut(peer).filter(|known| now.since(known.fresh.0) < lately && known.fresh.1 > 0) else {
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
        self.known.get(peer).map(|known| &known.ledger)
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
    pub(crate) fn mirror(&mut self, now: Time, peer: &PeerId, score: i64) -> bool {
        let is_news = self.known.get_mut(peer).is_some_and(|known| std::mem::replace(&mut known.mirrored, score) != score);
        if is_news {
            self.uncount(peer);
            self.count(peer);
            self.place_if_moved(now, peer);
            if score != 0 && self.connected.contains_key(peer) {
                self.scored.insert(*peer);
            } else {
                self.scored.remove(peer);
            }
        }
        is_news
    }

    /// The next few connected peers, in the order of their ids, of whose scores gossipsub was told that they are not zero.
    pub(crate) fn scored_after(&self, peer: Option<PeerId>, few: usize) -> Vec<PeerId> {
        let after = peer.map_or(Unbounded, Excluded);
        self.scored.range((after, Unbounded)).take(few).copied().collect()
    }

    /// Is there any?
    pub(crate) fn any_scored(&self) -> bool {
        !self.scored.is_empty()
    }

    pub(super) fn know(&mut self, now: Time, peer: PeerId) -> &mut Known {
        if !self.known.contains_key(&peer) {
            let mut ledger = Ledger::new(self.rules.clone());
            if self.trusted.contains(&peer) {
                ledger.set_trusted(now, true);
            }
            let known = Known {
                ledger,
                last_seen: now,
                fresh: (now, 0),
                limiters: std::array::from_fn(|_| Limiter::new(self.request_limit)),
                response_bytes: ByteBudget::new(self.response_limit),
                paces: std::array::from_fn(|_| Pace::new(&self.request_limit)),
                txlist_bytes: ByteBudget::new(self.txlist_limit),
                mirrored: 0,
                is_banned: false,
            };
            self.known.insert(peer, known);
            self.forget_oldest(); // before it is listed, or it could be the one
            self.list(&peer);
        }
        self.known.get_mut(&peer).expect("inserted above")
    }

    /// P7.6: the least recently seen without a ban first; a table full of bans gives up the oldest of them.
    fn forget_oldest(&mut self) {
        while self.known.len() > MAX_REMEMBERED {
            let Some((_, peer)) = self.by_age.pop_first().or_else(|| self.banned.pop_first()) else { return };
            self.known.remove(&peer);
        }
    }

    /// Lists a peer that is not connected among those that can be forgotten.
    fn list(&mut self, peer: &PeerId) {
        if let (false, Some(known)) = (self.connected.contains_key(peer), self.known.get(peer)) {
            let list = if known.is_banned { &mut self.banned } else { &mut self.by_age };
            list.insert((known.last_seen, *peer));
        }
    }

    fn unlist(&mut self, peer: &PeerId) {
        if let Some(known) = self.known.get(peer) {
            self.by_age.remove(&(known.last_seen, *peer));
            self.banned.remove(&(known.last_seen, *peer));
        }
    }

    /// Counts and ranks a connected peer (P8.4). What it is counted by changes only between [`Self::uncount`] and this.
    fn count(&mut self, peer: &PeerId) {
        let score = self.known.get(peer).map_or(0, |known| known.mirrored);
        let Some(connected) = self.connected.get_mut(peer) else { return };
        if connected.is_leaving {
            return;
        }
        self.staying.all += 1;
        self.staying.inbound += usize::from(connected.side() == Side::Inbound);
        if !connected.is_protected {
            let rank = Rank { side: connected.side(), score, arrival: Reverse(connected.arrival) };
            connected.rank = Some(rank);
            self.ranks.insert(rank, *peer, (connected.since, connected.seat));
        }
    }

    fn uncount(&mut self, peer: &PeerId) {
        let Some(connected) = self.connected.get_mut(peer) else { return };
        if connected.is_leaving {
            return;
        }
        self.staying.all -= 1;
        self.staying.inbound -= usize::from(connected.side() == Side::Inbound);
        if let Some(rank) = connected.rank.take() {
            self.ranks.remove(rank, connected.seat);
        }
    }
}

impl Connected {
    fn side(&self) -> Side {
        let ours = self.connections.values().any(|link| link.direction == Direction::Outbound);
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

impl Link {
    /// IPv4 in its own form, however it is written.
    fn canonical(self) -> Option<IpAddr> {
        self.address.map(|address| address.to_canonical())
    }
}

fn slot(topic: Topic) -> usize {
    match topic {
        Topic::Commitments => 0,
        Topic::TxLists => 1,
    }
}

pub(super) fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::GetHead => 0,
        Protocol::GetCommitments => 1,
        Protocol::GetTxList => 2,
    }
}
