//! How does gossip travel?
//!
//! `gossip` knows what one node thinks; here messages go from one to the next, heartbeats keep the meshes, and IHAVE repairs what was lost.

use preconf_core::{Bytes, ConnectionId, Input, MessageId, PublishOutcome, Time, Topic, Verdict};

use super::check::Failure;
use super::gossip::{Gossip, HEARTBEAT, Kept, MESH, MESH_HIGH, MESH_LOW, Pending, Reach};
use super::node::{NodeId, peer_id};
use super::queue::Happening;
use super::world::World;

/// Messages that one IHAVE leads to.
pub(crate) type Told = Vec<(MessageId, Topic, Bytes)>;

impl World {
    /// A node's own message goes to its mesh, and to others while that is small.
    pub(crate) fn publish_gossip(&mut self, node: NodeId, message: MessageId, topic: Topic, data: &Bytes) -> PublishOutcome {
        let mut to: Vec<NodeId> = self.nodes[node].gossip.mesh.iter().copied().collect();
        if to.len() < MESH {
            let mut others = self.nodes[node].gossip.outside(self.now, Reach::Publish);
            self.dice.shuffle(&mut others);
            to.extend(others.into_iter().take(MESH - to.len()));
        }
        if to.is_empty() {
            return PublishOutcome::NoPeers;
        }
        if !self.nodes[node].gossip.see(self.now, message) {
            return PublishOutcome::Duplicate;
        }
        self.keep_for_askers(node, message, topic, data);
        for peer in to {
            self.send_gossip(node, peer, message, topic, data);
        }
        PublishOutcome::Sent
    }

    /// A verdict steers what becomes of a message, and what gossip thinks of who sent it.
    pub(crate) fn judged(&mut self, node: NodeId, message: MessageId, verdict: Verdict) {
        let now = self.now;
        let gossip = &mut self.nodes[node].gossip;
        let Some(Pending { topic, data, senders }) = gossip.pending.remove(&message) else { return };
        match verdict {
            Verdict::Accept => {
                if let Some(first) = senders.first() {
                    gossip.delivered_first(now, *first);
                }
                let to: Vec<NodeId> = gossip.mesh.iter().copied().filter(|peer| !senders.contains(peer)).collect();
                self.keep_for_askers(node, message, topic, &data);
                for peer in to {
                    self.send_gossip(node, peer, message, topic, &data);
                }
            }
            Verdict::Ignore => {}
            Verdict::Reject => {
                senders.iter().for_each(|peer| gossip.delivered_invalid(now, *peer));
                self.beat_soon(node);
            }
        }
    }

    fn keep_for_askers(&mut self, node: NodeId, message: MessageId, topic: Topic, data: &Bytes) {
        self.nodes[node].gossip.keep(self.now, message, topic, data);
        self.beat_soon(node);
    }

    /// Sends one message over one link, if there is one.
    pub(crate) fn send_gossip(&mut self, node: NodeId, to: NodeId, message: MessageId, topic: Topic, data: &Bytes) {
        let Some(link) = self.links.get_mut(&(node.min(to), node.max(to))) else { return };
        let Some(connection) = link.connection else { return };
        let copies = 1 + usize::from(self.dice.chance(link.terms.repeats));
        for _ in 0..copies {
            let lost = link.cut || self.dice.chance(link.terms.loss);
            match link.arrival(self.now, node > to, data.len(), true, &mut self.dice).filter(|_| !lost) {
                Some(at) => {
                    let happening = Happening::Gossip { from: node, to, connection, message, topic, data: data.clone() };
                    self.queue.push(at, happening);
                }
                None => self.last_loss = self.now,
            }
        }
    }

    /// A message reaches a node: its machine hears of it once.
    pub(crate) fn gossip_arrives(
        &mut self,
        from: NodeId,
        to: NodeId,
        connection: ConnectionId,
        message: MessageId,
        topic: Topic,
        data: Bytes,
    ) -> Result<(), Failure> {
        if !self.passes((from.min(to), from.max(to)), connection) {
            self.last_loss = self.now;
            return Ok(());
        }
        let drops = self.nodes[to].setup.as_ref().map_or(0, |setup| setup.drops);
        let is_honest = self.is_honest(to);
        let gossip = &mut self.nodes[to].gossip;
        if is_honest && gossip.is_graylisted(self.now, from) {
            return Ok(());
        }
        if !gossip.see(self.now, message) {
            if let Some(pending) = gossip.pending.get_mut(&message)
                && !pending.senders.contains(&from)
            {
                pending.senders.push(from);
            }
            return Ok(());
        }
        if self.dice.chance(drops) {
            self.last_loss = self.now;
            return Ok(());
        }
        if !is_honest {
            return self.puppet_hears(to, from, topic, &data);
        }
        gossip.pending.insert(message, Pending { topic, data: data.clone(), senders: vec![from] });
        self.input(to, Input::GossipReceived { peer: peer_id(from), message, topic, data })
    }

    /// A peer tells of messages; those that are new are asked for, and come after a way back and forth.
    pub(crate) fn have_arrives(&mut self, from: NodeId, to: NodeId, connection: ConnectionId, told: Told) {
        if !self.passes((from.min(to), from.max(to)), connection) {
            return;
        }
        for (message, topic, data) in told {
            if self.nodes[to].gossip.wants(self.now, message) {
                let there = self.latency(to, from);
                self.after(there, Happening::Wanted { by: to, from, connection, message, topic, data });
            }
        }
    }

    /// The request for one message reaches who told of it.
    pub(crate) fn want_arrives(
        &mut self,
        from: NodeId,
        by: NodeId,
        connection: ConnectionId,
        message: MessageId,
        topic: Topic,
        data: &Bytes,
    ) {
        if self.passes((from.min(by), from.max(by)), connection) {
            self.send_gossip(from, by, message, topic, data);
        }
    }

    /// Both ends of a connection know now what the other joined, and graft each other if their meshes have room.
    pub(crate) fn meet(&mut self, a: NodeId, b: NodeId) {
        self.nodes[a].gossip.join(b);
        self.nodes[b].gossip.join(a);
        let grafts = |x: NodeId, y: NodeId, most| self.nodes[x].gossip.grafts(self.now, y, most);
        let one_wants = grafts(a, b, MESH) || grafts(b, a, MESH);
        if one_wants && grafts(a, b, MESH_HIGH) && grafts(b, a, MESH_HIGH) {
            self.graft(a, b);
        }
    }

    fn graft(&mut self, a: NodeId, b: NodeId) {
        self.nodes[a].gossip.mesh.insert(b);
        self.nodes[b].gossip.mesh.insert(a);
    }

    /// Has a node's next heartbeat happen, because there is something to do at it.
    pub(crate) fn beat_soon(&mut self, node: NodeId) {
        let every = HEARTBEAT.as_micros() as u64;
        let phase = (node as u64).wrapping_mul(100_003) % every; // nodes do not beat as one
        let next = (self.now.0.saturating_sub(phase) / every + 1) * every + phase;
        self.beat_at(node, Time(next));
    }

    fn beat_at(&mut self, node: NodeId, at: Time) {
        let beats_at = self.nodes[node].gossip.beats_at;
        if self.nodes[node].setup.is_some() && beats_at.is_none_or(|other| at < other) {
            self.nodes[node].gossip.beats_at = Some(at);
            self.at(at, Happening::Heartbeat { node });
        }
    }

    /// Prunes, grafts, and tells others of what is new.
    pub(crate) fn heartbeat(&mut self, node: NodeId) {
        if self.nodes[node].gossip.beats_at.is_none_or(|at| at > self.now) || !self.nodes[node].up {
            return; // it was moved, or its node is down
        }
        self.nodes[node].gossip.beats_at = None;
        let now = self.now;
        let mut order: Vec<NodeId> = self.nodes[node].gossip.mesh.iter().copied().collect();
        self.dice.shuffle(&mut order);
        for peer in self.nodes[node].gossip.surplus(now, &order) {
            self.nodes[node].gossip.prune(now, peer);
            self.nodes[peer].gossip.prune(now, node);
            self.beat_soon(peer);
        }
        if self.nodes[node].gossip.mesh.len() < MESH_LOW {
            self.fill_mesh(node);
        }
        self.tell_news(node);
    }

    fn fill_mesh(&mut self, node: NodeId) {
        let now = self.now;
        let mut able = self.nodes[node].gossip.outside(now, Reach::Graft);
        self.dice.shuffle(&mut able);
        for peer in able {
            if self.nodes[node].gossip.mesh.len() >= MESH {
                return;
            }
            if self.nodes[peer].gossip.grafts(now, node, MESH_HIGH) {
                self.graft(node, peer);
            }
        }
        if self.nodes[node].gossip.mesh.len() < MESH_LOW
            && let Some(at) = self.nodes[node].gossip.next_graft(now)
        {
            self.beat_at(node, at);
        }
    }

    fn tell_news(&mut self, node: NodeId) {
        if self.nodes[node].gossip.news(self.now).next().is_none() {
            return;
        }
        let mut others = self.nodes[node].gossip.outside(self.now, Reach::Gossip);
        let count = Gossip::lazy(others.len());
        self.dice.shuffle(&mut others);
        for to in others.into_iter().take(count) {
            let is_new = |kept: &&Kept| !self.nodes[to].gossip.has_seen(&kept.message);
            let news = self.nodes[node].gossip.news(self.now).filter(is_new);
            let told: Told = news.map(|kept| (kept.message, kept.topic, kept.data.clone())).collect();
            let connection = self.links.get(&(node.min(to), node.max(to))).and_then(|link| link.connection);
            if let Some(connection) = connection.filter(|_| !told.is_empty() && self.is_honest(to)) {
                let after = self.latency(node, to);
                self.after(after, Happening::Have { from: node, to, connection, told });
            }
        }
        self.beat_soon(node);
    }
}
