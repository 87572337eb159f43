//! Who forwards what to whom?
//!
//! As much of gossipsub as a machine can tell apart. A message reaches the machine once; it is forwarded only after *accept*, and not back
//! to who sent it; what a lost copy leaves open is repaired by IHAVE and IWANT; and scores steer it all: who is below zero leaves the mesh,
//! who is below the thresholds of PROTOCOL.md §7 gets no gossip, no publication, or no hearing at all. Those scores are gossipsub's own: the
//! application's, which the machine sets (P7.5), and what first and invalid deliveries add and take.
//!
//! Assumptions. Both topics share one mesh and one count of deliveries, since every node joins both. GRAFT and PRUNE act on both ends at
//! once. An IHAVE that holds nothing new is not sent: it would change nothing. Heartbeats happen only where one has something to do.
//!
//! Invariant: meshes are symmetric, and hold joined peers only.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use preconf_core::{Bytes, MessageId, POINT, Time, Topic};

use super::node::NodeId;

/// How long a message is known again. Source: PROTOCOL.md §7, gossipsub's duplicate cache.
const SEEN_FOR: Duration = Duration::from_secs(120);
/// Peers of a mesh: wanted, least, most. Source: PROTOCOL.md §7.
pub(crate) const MESH: usize = 8;
pub(crate) const MESH_LOW: usize = 6;
pub(crate) const MESH_HIGH: usize = 12;
/// Best peers that a full mesh keeps. Source: gossipsub v1.1, D_score.
const MESH_BEST: usize = 4;
/// Least peers outside the mesh that hear of new messages. Source: PROTOCOL.md §7.
const LAZY: usize = 6;
/// Least share of them. Source: gossipsub v1.1, gossip factor 0.25.
const LAZY_SHARE: usize = 4;
/// Source: PROTOCOL.md §7.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);
/// For how many heartbeats a message is told of, and can be asked for. Source: PROTOCOL.md §7.
const TELL_BEATS: u32 = 3;
const KEEP_BEATS: u32 = 12;
/// How long a pruned peer is not grafted again. Source: gossipsub v1.1, prune backoff.
const BACKOFF: Duration = Duration::from_secs(60);
/// How long a message that was asked for is not asked of others. Source: gossipsub v1.1, IWANT follow-up.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// Below these scores a peer gets no gossip, no publication, no hearing. Source: PROTOCOL.md §7.
const GOSSIP_BELOW: i64 = -POINT;
const PUBLISH_BELOW: i64 = -2 * POINT;
const GRAYLIST_BELOW: i64 = -5 * POINT;
/// How often counts of deliveries decay. Source: PROTOCOL.md §7.
const DECAY_EVERY: Duration = Duration::from_secs(10);

/// A message that waits for its verdict.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) topic: Topic,
    pub(crate) data: Bytes,
    /// Who has it already, the first sender first.
    pub(crate) senders: Vec<NodeId>,
}

/// A message that can be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    at: Time,
    pub(crate) message: MessageId,
    pub(crate) topic: Topic,
    pub(crate) data: Bytes,
}

/// What gossip thinks of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Regard {
    joined: bool,
    /// The application's score, in millionths of a point.
    application: i64,
    /// First and invalid deliveries, in thousandths, at `as_of`.
    first: i64,
    invalid: i64,
    as_of: Time,
    backoff: Time,
}

impl Regard {
    fn decay(&mut self, now: Time) {
        let ticks = |at: Time| at.0 / DECAY_EVERY.as_micros() as u64;
        for _ in ticks(self.as_of)..ticks(now) {
            if self.first == 0 && self.invalid == 0 {
                break;
            }
            // Source: PROTOCOL.md §7, decays 0.999 and 0.99, to zero below 0.1.
            self.first = if self.first < 100 { 0 } else { self.first * 999 / 1000 };
            self.invalid = if self.invalid < 100 { 0 } else { self.invalid * 99 / 100 };
        }
        self.as_of = now;
    }

    /// In millionths of a point. Source: PROTOCOL.md §7, weights 1, 0.5 and −2 on the square.
    fn score(mut self, now: Time) -> i64 {
        self.decay(now);
        self.application + 500 * self.first - 2 * self.invalid * self.invalid
    }
}

/// One node's view.
#[derive(Debug, Default)]
pub(crate) struct Gossip {
    /// Peers that it forwards to.
    pub(crate) mesh: BTreeSet<NodeId>,
    regards: BTreeMap<NodeId, Regard>,
    pub(crate) pending: HashMap<MessageId, Pending>,
    seen: HashMap<MessageId, Time>,
    by_age: VecDeque<(Time, MessageId)>,
    asked: HashMap<MessageId, Time>,
    kept: VecDeque<Kept>,
    /// A heartbeat stands in the queue.
    pub(crate) beats_at: Option<Time>,
}

impl Gossip {
    /// Notes a message; says whether it is new.
    pub(crate) fn see(&mut self, now: Time, message: MessageId) -> bool {
        while self.by_age.front().is_some_and(|(at, _)| at.after(SEEN_FOR) <= now) {
            if let Some((_, old)) = self.by_age.pop_front() {
                self.seen.remove(&old);
                self.asked.remove(&old);
            }
        }
        let new = self.seen.insert(message, now).is_none();
        if new {
            self.by_age.push_back((now, message));
        }
        new
    }

    pub(crate) fn has_seen(&self, message: &MessageId) -> bool {
        self.seen.contains_key(message)
    }

    /// Should a message that a peer tells of be asked for? If so, it is from now on.
    pub(crate) fn wants(&mut self, now: Time, message: MessageId) -> bool {
        let open = self.asked.get(&message).is_some_and(|at| at.after(ASKED_FOR) > now);
        if self.has_seen(&message) || open {
            return false;
        }
        self.asked.insert(message, now);
        true
    }

    pub(crate) fn join(&mut self, peer: NodeId) {
        self.regards.entry(peer).or_default().joined = true;
    }

    pub(crate) fn leave(&mut self, peer: NodeId) {
        self.mesh.remove(&peer);
        if let Some(regard) = self.regards.get_mut(&peer) {
            regard.joined = false;
        }
    }

    fn score(&self, now: Time, peer: NodeId) -> i64 {
        self.regards.get(&peer).map_or(0, |regard| regard.score(now))
    }

    /// P7.5
    pub(crate) fn set_application_score(&mut self, peer: NodeId, score: i64) {
        self.regards.entry(peer).or_default().application = score;
    }

    pub(crate) fn delivered_first(&mut self, now: Time, peer: NodeId) {
        let regard = self.regards.entry(peer).or_default();
        regard.decay(now);
        regard.first = (regard.first + 1_000).min(20_000); // Source: PROTOCOL.md §7, cap 20
    }

    pub(crate) fn delivered_invalid(&mut self, now: Time, peer: NodeId) {
        let regard = self.regards.entry(peer).or_default();
        regard.decay(now);
        regard.invalid = (regard.invalid + 1_000).min(1_000_000);
    }

    pub(crate) fn is_graylisted(&self, now: Time, peer: NodeId) -> bool {
        self.score(now, peer) < GRAYLIST_BELOW
    }

    /// Would it take a graft from this peer, and keep it in its mesh?
    pub(crate) fn grafts(&self, now: Time, peer: NodeId, most: usize) -> bool {
        self.mesh.len() < most && self.regards.get(&peer).is_some_and(|of| of.joined && of.backoff <= now && of.score(now) >= 0)
    }

    /// A peer leaves the mesh, and does not come back for a while.
    pub(crate) fn prune(&mut self, now: Time, peer: NodeId) {
        self.mesh.remove(&peer);
        self.regards.entry(peer).or_default().backoff = now.after(BACKOFF);
    }

    /// Whom the mesh must lose now: who is below zero, and who is too many.
    pub(crate) fn surplus(&self, now: Time, order: &[NodeId]) -> Vec<NodeId> {
        let mut gone: Vec<NodeId> = self.mesh.iter().copied().filter(|peer| self.score(now, *peer) < 0).collect();
        let mut rest: Vec<NodeId> = order.iter().copied().filter(|peer| !gone.contains(peer)).collect();
        if rest.len() > MESH_HIGH {
            rest.sort_by_key(|peer| std::cmp::Reverse(self.score(now, *peer))); // stable: equals stay in the order of the dice
            gone.extend(rest.split_off(MESH_BEST).into_iter().skip(MESH - MESH_BEST));
        }
        gone
    }

    /// Peers outside the mesh that may hear of a publication, or of gossip.
    pub(crate) fn outside(&self, now: Time, may: Reach) -> Vec<NodeId> {
        let least = match may {
            Reach::Gossip => GOSSIP_BELOW,
            Reach::Publish => PUBLISH_BELOW,
            Reach::Graft => 0,
        };
        let fits = |(peer, regard): &(&NodeId, &Regard)| {
            regard.joined && !self.mesh.contains(peer) && regard.score(now) >= least && (may != Reach::Graft || regard.backoff <= now)
        };
        self.regards.iter().filter(fits).map(|(peer, _)| *peer).collect()
    }

    /// How many of those outside the mesh are told of new messages at a heartbeat.
    pub(crate) fn lazy(outside: usize) -> usize {
        LAZY.max(outside / LAZY_SHARE)
    }

    /// Keeps a message that was sent out, for those who will ask.
    pub(crate) fn keep(&mut self, now: Time, message: MessageId, topic: Topic, data: &Bytes) {
        while self.kept.front().is_some_and(|kept| kept.at.after(HEARTBEAT * KEEP_BEATS) <= now) {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { at: now, message, topic, data: data.clone() });
    }

    /// What is new enough to be told of.
    pub(crate) fn news(&self, now: Time) -> impl Iterator<Item = &Kept> {
        self.kept.iter().rev().take_while(move |kept| kept.at.after(HEARTBEAT * TELL_BEATS) > now)
    }

    /// When the next peer may be grafted that was pruned a while ago.
    pub(crate) fn next_graft(&self, now: Time) -> Option<Time> {
        self.regards.values().filter(|regard| regard.joined && regard.backoff > now).map(|regard| regard.backoff).min()
    }
}

/// What a peer outside the mesh may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Gossip,
    Publish,
    Graft,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_invalid_messages_graylist_a_peer_until_they_have_decayed() {
        // PROTOCOL.md §7: −2 on the square.
        let mut gossip = Gossip::default();
        gossip.join(1);
        gossip.delivered_invalid(Time::ZERO, 1);
        assert!(!gossip.is_graylisted(Time::ZERO, 1));
        gossip.delivered_invalid(Time::ZERO, 1);
        assert!(gossip.is_graylisted(Time::ZERO, 1));
        assert!(!gossip.is_graylisted(Time::from_millis(300_000), 1));
    }

    #[test]
    fn a_mesh_that_is_too_full_keeps_its_best_and_loses_whom_it_thinks_ill_of() {
        let mut gossip = Gossip::default();
        for peer in 0..14 {
            gossip.join(peer);
            gossip.mesh.insert(peer);
        }
        gossip.set_application_score(13, POINT);
        gossip.set_application_score(0, -1);
        let order: Vec<NodeId> = (0..14).collect();
        let gone = gossip.surplus(Time::ZERO, &order);
        assert!(gone.contains(&0) && !gone.contains(&13), "{gone:?}");
        assert_eq!(14 - gone.len(), MESH);
    }

    #[test]
    fn a_message_is_asked_for_once_and_again_when_nobody_brings_it() {
        let mut gossip = Gossip::default();
        let message = MessageId([1; 20]);
        assert!(gossip.wants(Time::ZERO, message));
        assert!(!gossip.wants(Time::from_millis(2_999), message));
        assert!(gossip.wants(Time::from_millis(3_000), message));
        gossip.see(Time::from_millis(3_100), message);
        assert!(!gossip.wants(Time::from_millis(9_000), message));
    }
}
