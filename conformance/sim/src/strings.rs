//! Who pulls the strings of puppets?

use preconf_core::{Bytes, Input, RequestId, Topic, message_id};

use super::carry::ends;
use super::check::Failure;
use super::l1::Made;
use super::node::{Mind, NodeId, peer_id};
use super::puppet::{Hands, Order, Puppet, Slot};
use super::queue::Happening;
use super::world::World;
use preconf_writer::CHAIN;

impl World {
    pub(crate) fn puppet_turn(&mut self, node: NodeId) -> Result<(), Failure> {
        self.pull(node, |puppet, hands| puppet.turn(hands))
    }

    pub(crate) fn puppet_hears(&mut self, node: NodeId, from: NodeId, topic: Topic, data: &Bytes) -> Result<(), Failure> {
        self.pull(node, |puppet, hands| puppet.hear(from, topic, data, hands))
    }

    pub(crate) fn puppet_elected(&mut self, node: NodeId, slot: &Slot) -> Result<(), Failure> {
        self.pull(node, |puppet, hands| puppet.elected(slot, hands))
    }

    fn pull(&mut self, node: NodeId, act: impl FnOnce(&mut dyn Puppet, &mut Hands<'_>)) -> Result<(), Failure> {
        let peers = self.neighbours(node);
        let (now, dice) = (self.now, &mut self.dice);
        let Mind::Puppet(puppet, _) = &mut self.nodes[node].mind else { return Ok(()) };
        let mut hands = Hands { now, me: node, peers: &peers, dice, orders: Vec::new() };
        act(puppet.as_mut(), &mut hands);
        let orders = hands.orders;
        orders.into_iter().try_for_each(|order| self.obey(node, order))
    }

    fn obey(&mut self, node: NodeId, order: Order) -> Result<(), Failure> {
        match order {
            Order::Gossip { to, topic, data, is_poison } => {
                let message = message_id(CHAIN, topic, &data);
                if is_poison {
                    self.poison.insert(message);
                }
                to.into_iter().for_each(|to| self.send_gossip(node, to, message, topic, &data));
            }
            Order::Ask { to, protocol, body } => {
                if let Some(connection) = self.links.get(&ends(node, to)).and_then(|link| link.connection) {
                    let after = self.latency(node, to);
                    let request = RequestId(0); // nobody waits for the answer
                    self.after(after, Happening::Request { from: node, to, connection, request, protocol, body });
                }
            }
            Order::BreakFrame { to } => {
                if self.links.get(&ends(node, to)).is_some_and(|link| link.connection.is_some()) {
                    let (after, life) = (self.latency(node, to), self.nodes[to].life);
                    self.after(after, Happening::Input { node: to, life, input: Input::RequestBroken { peer: peer_id(node) } });
                }
            }
            Order::Dial { to } => self.dial(node, Some(to), None),
            Order::Turn { after } => self.after(after, Happening::Turn { node }),
            Order::Published { number, hash, parent, timestamp, window_end, eop } => {
                self.made(node, Made { number, hash, parent, timestamp, window_end, eop, at: self.now });
            }
        }
        Ok(())
    }
}
