//! Who is connected, and who is remembered (P7.6)?
//!
//! A peer counts once, however many connections lead to it. What is known of a peer's conduct outlives its connections.
//!
//! Invariants: a connected peer is always remembered. `by_age` holds exactly the remembered peers that are not connected, by when they were
//! last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Config;
use crate::id::{ConnectionId, PeerId};
use crate::input::Spoken;
use crate::peer::conduct::ScoreRules;
use crate::peer::ledger::Ledger;
use crate::peer::limit::{ByteBudget, ByteLimit, Limiter, RateLimit};
use crate::peer::pace::Pace;
use crate::peer::score::Standing;
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
    connections: BTreeSet<ConnectionId>,
    pub(crate) spoken: Spoken,
    topics: BTreeSet<Topic>,
}

/// What is known of a peer's conduct.
#[derive(Debug)]
struct Known {
    ledger: Ledger,
    last_seen: Time,
    /// When it connected last, and how many requests over the limit it may make since: it may have restarted and forgotten what it asked.
    fresh: (Time, u32),
    /// What it may ask of us, by protocol, and in bytes of answers (P6.6).
    limiters: [Limiter; 3],
    response_bytes: ByteBudget,
    /// What we may ask of it, by protocol (P6.7).
    paces: [Pace; 3],
    /// Bytes of txlists that it may gossip (T3).
    txlist_bytes: ByteBudget,
    /// The score that gossipsub was told last.
    mirrored: i64,
}

/// The peers.
#[derive(Debug)]
pub(crate) struct Peers {
    rules: Arc<ScoreRules>,
    request_limit: RateLimit,
    response_limit: ByteLimit,
    txlist_limit: ByteLimit,
    connected: BTreeMap<PeerId, Connected>,
    known: BTreeMap<PeerId, Known>,
    by_age: BTreeSet<(Time, PeerId)>,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            rules: Arc::new(config.score),
            request_limit: config.request_limit,
            response_limit: config.response_limit,
            txlist_limit: config.txlist_quota,
            connected: BTreeMap::new(),
            known: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// Is there room for one more connection of this peer?
    pub(crate) fn has_room_for(&self, peer: &PeerId) -> bool {
        match self.connected.get(peer) {
            Some(connected) => connected.connections.len() < MAX_CONNECTIONS_PER_PEER,
            None => self.connected.len() < MAX_CONNECTED,
        }
    }

    /// How many are remembered, the connected ones included.
    pub(crate) fn remembered(&self) -> usize {
        self.known.len()
    }

    /// Says whether it is the peer's first connection.
    pub(crate) fn open(&mut self, now: Time, peer: PeerId, connection: ConnectionId) -> bool {
        let is_back = self.known.contains_key(&peer) && !self.connected.contains_key(&peer);
        self.know(now, peer);
        if let Some(known) = self.known.get_mut(&peer) {
            self.by_age.remove(&(known.last_seen, peer));
            if is_back {
                known.fresh = (now, self.request_limit.limit.saturating_mul(3)); // one window's worth on each protocol
            }
        }
        let entry = self.connected.entry(peer).or_insert_with(|| Connected {
            connections: BTreeSet::new(),
            spoken: Spoken::default(),
            topics: BTreeSet::new(),
        });
        entry.connections.insert(connection) && entry.connections.len() == 1
    }

    /// Says whether it was the peer's last connection.
    pub(crate) fn close(&mut self, now: Time, peer: PeerId, connection: ConnectionId) -> bool {
        let Some(connected) = self.connected.get_mut(&peer) else { return false };
        connected.connections.remove(&connection);
        if !connected.connections.is_empty() {
            return false;
        }
        self.connected.remove(&peer);
        if let Some(known) = self.known.get_mut(&peer) {
            known.last_seen = now;
            self.by_age.insert((now, peer));
        }
        self.forget_oldest(now);
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
        if let Some(connected) = self.connected.get_mut(peer) {
            let spoken = &mut connected.spoken;
            match protocol {
                Protocol::GetHead => spoken.get_head = false,
                Protocol::GetCommitments => spoken.get_commitments = false,
                Protocol::GetTxList => spoken.get_txlist = false,
            }
        }
    }

    /// A peer joined or left a topic.
    pub(crate) fn subscribed(&mut self, peer: &PeerId, topic: Topic, joined: bool) {
        if let Some(connected) = self.connected.get_mut(peer) {
            if joined {
                connected.topics.insert(topic)
            } else {
                connected.topics.remove(&topic)
            };
        }
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

    /// A request on this protocol goes to the peer now (P6.7).
    pub(crate) fn note_sent(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        let admitted = self.know(now, peer).paces[index(protocol)].admit(now);
        debug_assert!(admitted, "a request was sent that the pace does not admit");
    }

    /// A request has ended: the peer counts it no more.
    pub(crate) fn note_ended(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        self.know(now, peer).paces[index(protocol)].end(now);
    }

    /// When the next request on this protocol may go to a peer (P6.7); `None` while only the end of one makes room.
    pub(crate) fn free_at(&self, peer: &PeerId, protocol: Protocol, now: Time) -> Option<Time> {
        self.known.get(peer).and_then(|known| known.paces[index(protocol)].next_admit_at(now))
    }

    /// When time alone makes room for a request to this peer, or to any that speaks the protocol; `None` when it does not.
    pub(crate) fn next_free(&self, peer: Option<PeerId>, protocol: Protocol, now: Time) -> Option<Time> {
        let fits = |(id, connected): &(&PeerId, &Connected)| peer.is_none_or(|peer| peer == **id) && connected.spoken.supports(protocol);
        let free = self.connected.iter().filter(fits).filter_map(|(id, _)| self.free_at(id, protocol, now));
        free.filter(|at| *at > now).min()
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
    pub(crate) fn mirror(&mut self, peer: &PeerId, score: i64) -> bool {
        self.known.get_mut(peer).is_some_and(|known| std::mem::replace(&mut known.mirrored, score) != score)
    }

    fn know(&mut self, now: Time, peer: PeerId) -> &mut Known {
        if !self.known.contains_key(&peer) {
            let known = Known {
                ledger: Ledger::new(self.rules.clone()),
                last_seen: now,
                fresh: (now, 0),
                limiters: std::array::from_fn(|_| Limiter::new(self.request_limit)),
                response_bytes: ByteBudget::new(self.response_limit),
                paces: std::array::from_fn(|_| Pace::new(&self.request_limit)),
                txlist_bytes: ByteBudget::new(self.txlist_limit),
                mirrored: 0,
            };
            self.known.insert(peer, known);
            if !self.connected.contains_key(&peer) {
                self.by_age.insert((now, peer));
            }
            self.forget_oldest_but(now, peer);
        }
        self.known.get_mut(&peer).expect("inserted above")
    }

    fn forget_oldest(&mut self, now: Time) {
        while self.known.len() > MAX_REMEMBERED {
            // P7.6: the least recently seen without a ban first; a table full of bans gives up the oldest of them.
            let unbanned = self.by_age.iter().find(|(_, peer)| self.standing(now, peer) != Standing::Banned);
            let Some(&(seen, peer)) = unbanned.or_else(|| self.by_age.first()) else { return };
            self.by_age.remove(&(seen, peer));
            self.known.remove(&peer);
        }
    }

    fn forget_oldest_but(&mut self, now: Time, spared: PeerId) {
        let newest = self.by_age.take(&(now, spared));
        self.forget_oldest(now);
        self.by_age.extend(newest);
    }
}

impl Connected {
    /// Has the peer joined the topic?
    pub(crate) fn is_on(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }
}

fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::GetHead => 0,
        Protocol::GetCommitments => 1,
        Protocol::GetTxList => 2,
    }
}
