//! How is an action carried out, and how does what travels arrive?

use std::collections::BTreeSet;
use std::time::Duration;

use preconf_core::{
    Action, Bytes, ChannelId, ConnectionId, DialFailure, Direction, Event, Input, Limiter, MessageId, Protocol, PublishOutcome, RateLimit,
    RequestFailure, Spoken, Topic, Verdict, message_id,
};

use super::check::{Failure, Violation};
use super::history::CHAIN;
use super::mesh::{MESH_HIGH, Pending};
use super::node::{Mind, NodeId, Ready, node_of, peer_id};
use super::puppet::Answer;
use super::trace::body_of;
use super::world::{Asked, Happening, World};

type Ends = (NodeId, NodeId);

fn ends(a: NodeId, b: NodeId) -> Ends {
    (a.min(b), a.max(b))
}

impl World {
    /// Does what a machine asks of the network.
    pub(crate) fn carry_out(&mut self, node: NodeId, action: Action) -> Result<(), Failure> {
        match action {
            Action::Publish { publish, topic, data } => {
                let message = message_id(CHAIN, topic, &data);
                let outcome = if self.nodes[node].mesh.peers.is_empty() {
                    PublishOutcome::NoPeers
                } else if !self.nodes[node].mesh.see(self.now, message) {
                    PublishOutcome::Duplicate
                } else {
                    self.forward(node, &BTreeSet::new(), message, topic, &data);
                    PublishOutcome::Sent
                };
                self.soon(node, Input::PublishFinished { publish, outcome });
            }
            Action::ReportGossip { message, verdict, .. } => {
                let pending = self.nodes[node].mesh.pending.remove(&message);
                if let Some(Pending { topic, data, senders }) = pending.filter(|_| verdict == Verdict::Accept) {
                    self.forward(node, &senders, message, topic, &data);
                }
            }
            Action::SendRequest { request, peer, protocol, body } => {
                let to = node_of(&peer).and_then(|to| Some((to, self.links.get(&ends(node, to))?.connection?)));
                match to {
                    Some((to, connection)) => {
                        let after = self.latency(node, to);
                        self.after(after, Happening::Request { from: node, to, connection, request, protocol, body });
                    }
                    None => self.soon(node, Input::RequestFailed { request, failure: RequestFailure::Unreachable }),
                }
            }
            Action::Respond { channel, response } => {
                self.answer(channel, Duration::ZERO, Some(body_of(&response)));
            }
            Action::DropRequest { channel } => {
                let from = self.channels.get(&channel).map(|asked| asked.from).filter(|from| self.is_honest(*from));
                if let Some(peer) = from.filter(|from| !self.nodes[*from].may_be_limited(node)) {
                    return Err(self.failure(node, Violation::OverLimit { peer }));
                }
                self.answer(channel, Duration::ZERO, None);
            }
            Action::CancelRequest { .. } | Action::SetScore { .. } => {} // a late answer changes nothing; the mesh does not look at scores yet
            Action::Dial { dial, .. } => self.soon(node, Input::DialFailed { dial, failure: DialFailure::Unreachable }), // worlds are linked from outside
            Action::LookUp { lookup } => self.soon(node, Input::LookupFinished { lookup, succeeded: false }), // nobody is to be found
            Action::Introduce { .. } => {}
            Action::Disconnect { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.disconnect(ends(node, other))?;
                }
            }
            Action::CloseConnection { connection } => {
                let found = self.links.iter().find(|(_, link)| link.connection == Some(connection)).map(|(ends, _)| *ends);
                if let Some(ends) = found {
                    self.disconnect(ends)?;
                }
            }
            Action::Block { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.nodes[node].blocked.push(other);
                    self.disconnect(ends(node, other))?;
                }
            }
            Action::Unblock { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.nodes[node].blocked.retain(|blocked| *blocked != other);
                    self.after(Duration::ZERO, Happening::Connect { ends: ends(node, other) });
                }
            }
        }
        Ok(())
    }

    /// What a machine tells its application.
    pub(crate) fn note(&mut self, node: NodeId, event: &Event) {
        if let Event::BlockReady { commitment, .. } = event {
            let ready = Ready { number: commitment.block_number, hash: commitment.hash, at: self.now };
            self.nodes[node].ready.push(ready);
        }
    }

    fn soon(&mut self, node: NodeId, input: Input) {
        let life = self.nodes[node].life;
        self.after(Duration::ZERO, Happening::Input { node, life, input });
    }

    fn latency(&mut self, from: NodeId, to: NodeId) -> Duration {
        let terms = self.links.get(&ends(from, to)).map(|link| link.terms.latency.clone());
        terms.map_or(Duration::ZERO, |latency| self.dice.span(&latency))
    }

    /// Has the link that this connection runs over been cut, and not been healed since?
    pub(crate) fn is_broken(&self, ends: Ends, connection: ConnectionId) -> bool {
        self.links.get(&ends).is_some_and(|link| link.cut && link.connection == Some(connection))
    }

    fn passes(&self, ends: Ends, connection: ConnectionId) -> bool {
        self.links.get(&ends).is_some_and(|link| !link.cut && link.connection == Some(connection))
    }

    /// Sends a message to everyone in the mesh who does not have it yet.
    fn forward(&mut self, node: NodeId, has_it: &BTreeSet<NodeId>, message: MessageId, topic: Topic, data: &Bytes) {
        let peers: Vec<NodeId> = self.nodes[node].mesh.peers.difference(has_it).copied().collect();
        for to in peers {
            let Some(link) = self.links.get_mut(&ends(node, to)) else { continue };
            let Some(connection) = link.connection else { continue };
            let copies = 1 + usize::from(self.dice.chance(link.terms.repeats));
            let mut arrivals = Vec::with_capacity(copies);
            for _ in 0..copies {
                if link.cut || self.dice.chance(link.terms.loss) {
                    self.last_loss = self.now;
                    continue;
                }
                let mut at = self.now.after(self.dice.span(&link.terms.latency));
                if !link.terms.reorders {
                    let last = &mut link.last[usize::from(node > to)];
                    at = at.max(*last);
                    *last = at;
                }
                arrivals.push(at);
            }
            for at in arrivals {
                self.at(at, Happening::Gossip { from: node, to, connection, message, topic, data: data.clone() });
            }
        }
    }

    pub(crate) fn gossip_arrives(
        &mut self,
        from: NodeId,
        to: NodeId,
        connection: ConnectionId,
        message: MessageId,
        topic: Topic,
        data: Bytes,
    ) -> Result<(), Failure> {
        if !self.passes(ends(from, to), connection) {
            self.last_loss = self.now;
            return Ok(());
        }
        let drops = self.nodes[to].setup.as_ref().map_or(0, |setup| setup.drops);
        let mesh = &mut self.nodes[to].mesh;
        if !mesh.see(self.now, message) {
            if let Some(pending) = mesh.pending.get_mut(&message) {
                pending.senders.insert(from);
            }
            return Ok(());
        }
        if self.dice.chance(drops) {
            self.last_loss = self.now;
            return Ok(());
        }
        if self.is_honest(to) {
            let pending = Pending { topic, data: data.clone(), senders: BTreeSet::from([from]) };
            self.nodes[to].mesh.pending.insert(message, pending);
        }
        self.input(to, Input::GossipReceived { peer: peer_id(from), message, topic, data })
    }

    pub(crate) fn request_arrives(&mut self, asked: Asked, protocol: Protocol, body: Bytes) -> Result<(), Failure> {
        let Asked { from, to, connection, .. } = asked;
        if !self.passes(ends(from, to), connection) {
            return Ok(()); // the asker's timer ends it
        }
        self.minted += 1;
        let channel = ChannelId(self.minted);
        self.channels.insert(channel, asked);
        let now = self.now;
        let Mind::Puppet(puppet, limiters) = &mut self.nodes[to].mind else {
            return self.input(to, Input::RequestReceived { peer: peer_id(from), channel, protocol, body });
        };
        let limiter = limiters.entry((from, protocol)).or_insert_with(|| Limiter::new(RateLimit::default()));
        if !limiter.admit(now) {
            return Err(self.failure(to, Violation::OverLimit { peer: from })); // P6.6, P6.7
        }
        match puppet.answer(protocol, &body) {
            Answer::After(span, body) => self.answer(channel, span, Some(body)),
            Answer::Drop => self.answer(channel, Duration::ZERO, None),
            Answer::Never => drop(self.channels.remove(&channel)),
        }
        Ok(())
    }

    fn answer(&mut self, channel: ChannelId, after: Duration, body: Option<Bytes>) {
        let Some(Asked { from, to, connection, request }) = self.channels.remove(&channel) else { return };
        let way = self.latency(to, from);
        // The answer is written before it is read.
        let (node, life) = (to, self.nodes[to].life);
        self.after(after + way, Happening::Input { node, life, input: Input::ChannelClosed { channel } });
        self.after(after + way, Happening::Answer { to: from, connection, ends: ends(from, to), request, body });
    }

    pub(crate) fn answer_arrives(
        &mut self,
        to: NodeId,
        connection: ConnectionId,
        ends: Ends,
        request: preconf_core::RequestId,
        body: Option<Bytes>,
    ) -> Result<(), Failure> {
        if !self.passes(ends, connection) {
            return Ok(());
        }
        self.input(
            to,
            match body {
                Some(body) => Input::ResponseReceived { request, body },
                None => Input::RequestFailed { request, failure: RequestFailure::Closed },
            },
        )
    }

    /// Brings a link's connection up, unless something forbids it.
    pub(crate) fn connect(&mut self, ends: Ends) -> Result<(), Failure> {
        let (a, b) = ends;
        let blocked = self.nodes[a].blocked.contains(&b) || self.nodes[b].blocked.contains(&a);
        let Some(link) = self.links.get_mut(&ends).filter(|link| link.connection.is_none() && !link.cut && !blocked) else { return Ok(()) };
        self.minted += 1;
        let connection = ConnectionId(self.minted);
        link.connection = Some(connection);
        for (node, other, direction) in [(a, b, Direction::Outbound), (b, a, Direction::Inbound)] {
            self.input(node, Input::ConnectionOpened { peer: peer_id(other), connection, direction, address: None, dial: None })?;
        }
        let after = self.latency(a, b) + self.latency(b, a);
        self.after(after, Happening::Joined { ends, connection });
        Ok(())
    }

    /// Both ends say what they speak, join the topics, and graft each other if their meshes have room.
    pub(crate) fn joined(&mut self, ends: Ends, connection: ConnectionId) -> Result<(), Failure> {
        let spoken = Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
        let (a, b) = ends;
        if !self.passes(ends, connection) {
            return Ok(());
        }
        if [a, b].iter().all(|node| self.nodes[*node].mesh.peers.len() < MESH_HIGH) {
            self.nodes[a].mesh.peers.insert(b);
            self.nodes[b].mesh.peers.insert(a);
        }
        for (node, other) in [(a, b), (b, a)] {
            self.input(node, Input::PeerIdentified { peer: peer_id(other), spoken })?;
            for topic in Topic::ALL {
                self.input(node, Input::PeerSubscribed { peer: peer_id(other), topic })?;
            }
        }
        Ok(())
    }

    /// Takes a link's connection down at both ends.
    pub(crate) fn disconnect(&mut self, ends: Ends) -> Result<(), Failure> {
        let (a, b) = ends;
        let Some(connection) = self.links.get_mut(&ends).and_then(|link| link.connection.take()) else { return Ok(()) };
        for (node, other) in [(a, b), (b, a)] {
            self.nodes[node].mesh.peers.remove(&other);
            self.soon(node, Input::ConnectionClosed { peer: peer_id(other), connection });
        }
        Ok(())
    }
}
