//! How do connections come and go?
//!
//! A link is a standing wish of two nodes to be connected; its connection comes up when nothing forbids it, and again when a cut heals or a
//! node comes back. A dial by address makes a link where there was none, on the world's usual terms; it does not come up again by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use preconf_core::{ConnectionId, DialFailure, DialId, Direction, Input, PeerId, SupportedProtocols, Topic};

use super::carry::{Ends, ends};
use super::check::Failure;
use super::node::{Mind, NodeId, node_of, peer_id};
use super::queue::Happening;
use super::world::World;

/// When a dial that nobody answers fails. Source: libp2p's default connect timeout.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

impl World {
    /// Where a node can be dialed, as a multiaddr with its peer id. A node has a /24 of its own unless it was placed elsewhere.
    pub fn address_of(&self, node: NodeId) -> String {
        format!("/ip4/{}/tcp/4000/p2p/{}", self.ip_of(node), peer_id(node))
    }

    /// Moves a node to another address, for the connections to come.
    pub fn place(&mut self, node: NodeId, ip: Ipv4Addr) {
        self.nodes[node].ip = Some(ip);
    }

    pub(crate) fn ip_of(&self, node: NodeId) -> Ipv4Addr {
        let [_, high, middle, low] = (node as u32).to_be_bytes();
        self.nodes[node].ip.unwrap_or(Ipv4Addr::new(20 + high, middle, low, 1))
    }

    /// Has the link that this connection runs over been cut, and not been healed since?
    pub(crate) fn is_broken(&self, ends: Ends, connection: ConnectionId) -> bool {
        self.links.get(&ends).is_some_and(|link| link.cut && link.connection == Some(connection))
    }

    pub(crate) fn passes(&self, ends: Ends, connection: ConnectionId) -> bool {
        self.links.get(&ends).is_some_and(|link| !link.cut && link.connection == Some(connection))
    }

    /// A node dials an address.
    pub(crate) fn dial_out(&mut self, node: NodeId, address: &str, dial: DialId) {
        let to = self.find(address).filter(|to| *to != node);
        self.directory.count_foreign(address);
        self.dial(node, to, Some(dial));
    }

    pub(crate) fn dial(&mut self, from: NodeId, to: Option<NodeId>, dial: Option<DialId>) {
        let way = match to {
            // Out, back, and out again: a handshake.
            Some(to) => {
                let terms = self.links.get(&ends(from, to)).map_or_else(|| self.usual.clone(), |link| link.terms.clone());
                terms.latency(&mut self.dice) * 3
            }
            None => DIAL_TIMEOUT,
        };
        self.after(way, Happening::Dialed { from, to, dial });
    }

    fn find(&self, address: &str) -> Option<NodeId> {
        let (place, peer) = address.rsplit_once("/p2p/")?;
        let node = node_of(&peer.parse::<PeerId>().ok()?).filter(|node| *node < self.nodes.len())?;
        let ip: Ipv4Addr = place.strip_prefix("/ip4/")?.split('/').next()?.parse().ok()?;
        (self.ip_of(node) == ip).then_some(node)
    }

    /// A dial has reached its address, or nobody.
    pub(crate) fn dialed(&mut self, from: NodeId, to: Option<NodeId>, dial: Option<DialId>) -> Result<(), Failure> {
        let there = to.filter(|to| self.nodes[*to].up && self.nodes[from].up);
        if let Some(to) = there {
            if !self.links.contains_key(&ends(from, to)) {
                self.add_link(from, to, self.usual.clone(), false);
            }
            if let Some(link) = self.links.get_mut(&ends(from, to)).filter(|link| link.connection.is_none()) {
                link.dialer = from;
                if self.open(ends(from, to), dial)? {
                    return self.compare(ends(from, to));
                }
            }
        }
        match dial {
            Some(dial) => self.input(from, Input::DialFailed { dial, failure: DialFailure::Unreachable }),
            None => Ok(()),
        }
    }

    /// Brings a link's connection up, unless something forbids it.
    pub(crate) fn connect(&mut self, ends: Ends) -> Result<(), Failure> {
        self.open(ends, None)?;
        self.compare(ends)
    }

    fn open(&mut self, ends: Ends, dial: Option<DialId>) -> Result<bool, Failure> {
        let (a, b) = ends;
        let blocked = self.nodes[a].blocked.contains(&b) || self.nodes[b].blocked.contains(&a);
        let may = !blocked && self.nodes[a].up && self.nodes[b].up;
        let Some(link) = self.links.get_mut(&ends).filter(|link| link.connection.is_none() && !link.cut && may) else {
            return Ok(false);
        };
        self.minted += 1;
        let connection = ConnectionId(self.minted);
        link.connection = Some(connection);
        self.standing.insert(connection, ends);
        let (dialer, dialed) = if link.dialer == a { (a, b) } else { (b, a) };
        for (node, other, direction) in [(dialer, dialed, Direction::Outbound), (dialed, dialer, Direction::Inbound)] {
            let (address, dial) = (Some(IpAddr::V4(self.ip_of(other))), dial.filter(|_| node == dialer));
            self.input(node, Input::ConnectionOpened { peer: peer_id(other), connection, direction, address, dial })?;
        }
        let after = self.latency(a, b) + self.latency(b, a);
        self.after(after, Happening::Joined { ends, connection });
        Ok(true)
    }

    /// Both ends say what they speak, and join the topics.
    pub(crate) fn joined(&mut self, ends: Ends, connection: ConnectionId) -> Result<(), Failure> {
        let protocols = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
        let (a, b) = ends;
        if !self.passes(ends, connection) {
            return Ok(());
        }
        self.meet(a, b);
        for (node, other) in [(a, b), (b, a)] {
            self.input(node, Input::PeerIdentified { peer: peer_id(other), protocols })?;
            for topic in Topic::ALL {
                self.input(node, Input::PeerSubscribed { peer: peer_id(other), topic })?;
            }
            if let Mind::Puppet(..) = self.nodes[node].mind {
                self.start_puppet(node);
            }
        }
        Ok(())
    }

    /// Takes a link's connection down at both ends.
    pub(crate) fn disconnect(&mut self, ends: Ends) -> Result<(), Failure> {
        let (a, b) = ends;
        let Some(connection) = self.links.get_mut(&ends).and_then(|link| link.connection.take()) else { return Ok(()) };
        self.standing.remove(&connection);
        for (node, other) in [(a, b), (b, a)] {
            self.nodes[node].gossip.leave(other);
            self.beat_soon(node);
            self.soon(node, Input::ConnectionClosed { peer: peer_id(other), connection });
        }
        Ok(())
    }

    /// Is there a link between two nodes, whether it is up or not?
    pub fn are_linked(&self, a: NodeId, b: NodeId) -> bool {
        self.links.contains_key(&ends(a, b))
    }

    /// Gives a puppet its first turn before anybody is connected to it.
    pub fn start_puppet(&mut self, node: NodeId) {
        if !std::mem::replace(&mut self.nodes[node].has_turn, true) {
            self.after(Duration::ZERO, Happening::Turn { node });
        }
    }

    /// Who is connected to a node.
    pub fn neighbours(&self, node: NodeId) -> Vec<NodeId> {
        self.nodes[node]
            .linked
            .iter()
            .copied()
            .filter(|other| self.links.get(&ends(node, *other)).is_some_and(|link| link.connection.is_some()))
            .collect()
    }
}
