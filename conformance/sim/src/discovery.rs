//! Whom does a look-up find?
//!
//! A directory stands for the table that discv5 spreads over a network: who looks up is listed in it, whatever else is put there is too, and
//! each look-up tells a random few of it, a network's time later. Records are as good as their authors: of nodes that are gone, of another
//! chain, of hostile ones.

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{ChainLabel, Input, LookupId, NodeRecord, PeerId};

use super::node::{NodeId, peer_id};
use super::queue::Happening;
use super::world::World;
use preconf_writer::CHAIN;

/// Records of one look-up. Source: a bucket of discv5.
const PER_LOOKUP: usize = 16;
/// How long a look-up takes: some round trips, one after the other.
const TAKES: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_millis(1_500);

/// All that can be found.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    listed: BTreeMap<PeerId, NodeRecord>,
    /// Dials of nodes whose record names another chain.
    foreign_dials: u64,
}

impl Directory {
    pub(crate) fn count_foreign(&mut self, address: &str) {
        let peer = address.rsplit_once("/p2p/").and_then(|(_, id)| id.parse::<PeerId>().ok());
        let record = peer.and_then(|peer| self.listed.get(&peer));
        self.foreign_dials += u64::from(record.is_some_and(|record| record.chain != ChainLabel::Chain(CHAIN)));
    }
}

impl World {
    /// The record of a node as it is now.
    pub fn record_of(&self, node: NodeId) -> NodeRecord {
        let address = format!("/ip4/{}/tcp/4000", self.ip_of(node));
        let (peer, chain) = (peer_id(node), ChainLabel::Chain(CHAIN));
        NodeRecord { peer, sequence: 1, chain, addresses: vec![address], text: String::new() }
    }

    /// How often a node was dialed whose record names another chain, by anybody (P8.7).
    pub fn foreign_dials(&self) -> u64 {
        self.directory.foreign_dials
    }

    /// Puts a record where look-ups find it.
    pub fn list(&mut self, record: NodeRecord) {
        self.directory.listed.insert(record.peer, record);
    }

    /// A node looks for others, and so is to be found itself from now on.
    pub(crate) fn look_up(&mut self, node: NodeId, lookup: LookupId) {
        let us = self.record_of(node);
        let mut told: Vec<NodeRecord> = self.directory.listed.values().filter(|record| record.peer != us.peer).cloned().collect();
        self.dice.shuffle(&mut told);
        told.truncate(PER_LOOKUP);
        self.list(us);
        let (at, life) = (self.dice.span(&TAKES), self.nodes[node].life);
        let succeeded = !told.is_empty();
        for record in told {
            self.after(at, Happening::Input { node, life, input: Input::RecordFound { record: Box::new(record) } });
        }
        self.after(at, Happening::Input { node, life, input: Input::LookupFinished { lookup, succeeded } });
    }
}
