//! What does a node's application see?
//!
//! It reads every event, executes what is ready, and remembers what the checks ask for. Its memory is not the node's: a crash does not take it,
//! so that what a node says in one life can be held against what it said in another.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use preconf_core::{Accepted, B256, Event, PeerId, Source, Standing, Time};
use preconf_node::NetworkEvent;
use preconf_sim::{L1, Made};
use twox_hash::XxHash3_64;

use crate::NodeId;

/// What all applications have seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) nodes: BTreeMap<NodeId, NodeSeen>,
    /// L1, and all blocks: one is made when its preconfer's own node accepts it, since from then on it may be anywhere (P5.7).
    pub(crate) l1: L1,
    /// Whose each block is.
    pub(crate) makers: BTreeMap<B256, NodeId>,
    /// What is wrong, in words.
    pub(crate) violations: Vec<String>,
    /// Which id is which honest node's.
    pub(crate) honest: BTreeMap<PeerId, NodeId>,
    digest: XxHash3_64,
    /// Every event in words, where somebody wants them.
    pub(crate) lines: Option<Vec<String>>,
    events: u64,
}

/// What one application has seen.
#[derive(Default)]
pub(crate) struct NodeSeen {
    /// Canonical commitments by number, as far as the node has told of them.
    pub(crate) chain: BTreeMap<u64, Arc<Accepted>>,
    /// The number that must be ready next, once one has been.
    next_ready: Option<u64>,
    /// The highest sync tip that the node has been told of: what it settles is not told as ready.
    pub(crate) tip: u64,
    /// When each block was ready here for the first time, in nanoseconds.
    pub(crate) ready_at: BTreeMap<B256, u64>,
    /// When commitments came, and whether gossip brought them.
    pub(crate) came: Vec<(u64, bool)>,
    pub(crate) peers: BTreeSet<PeerId>,
    /// Bytes of commitments and txlists that were of use.
    pub(crate) useful_bytes: u64,
}

/// What has been seen, as all share it.
pub(crate) type SharedSeen = Arc<Mutex<Seen>>;

pub(crate) fn lock(seen: &SharedSeen) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self { lines: keeps_lines.then(Vec::new), ..Self::default() }
    }

    /// What identifies every event, where and when.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// How many there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// A node starts: what it tells from now on begins anew.
    pub(crate) fn starts(&mut self, node: NodeId) {
        let seen = self.nodes.entry(node).or_default();
        seen.chain.clear();
        seen.peers.clear();
        seen.next_ready = None;
    }

    /// A node is about to be told a sync tip.
    pub(crate) fn told_tip(&mut self, node: NodeId, number: u64) {
        let tip = &mut self.nodes.entry(node).or_default().tip;
        *tip = number.max(*tip);
    }

    /// A node says something.
    pub(crate) fn hears(&mut self, now: u64, node: NodeId, event: &NetworkEvent) {
        let line = format!("{:.6} node {node}: {}", now as f64 / 1e9, in_words(event));
        self.events += 1;
        self.digest.write(line.as_bytes());
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
        if let NetworkEvent::Core(event) = event
            && let Err(wrong) = self.take(now, node, event)
        {
            self.violations.push(format!("at {:.6} s, node {node}: {wrong}", now as f64 / 1e9));
        }
    }

    fn take(&mut self, now: u64, node: NodeId, event: &Event) -> Result<(), String> {
        let Self { nodes, honest, l1, makers, .. } = self;
        let seen = nodes.entry(node).or_default();
        match event {
            Event::PeerConnected { peer } => drop(seen.peers.insert(*peer)),
            Event::PeerDisconnected { peer } => drop(seen.peers.remove(peer)),
            Event::StandingChanged { peer, standing: Standing::Pruned | Standing::Banned, rule } => {
                if let Some(other) = honest.get(peer) {
                    return Err(format!("P7.10: honest node {other} is pruned or banned, by {rule}"));
                }
            }
            Event::CommitmentAccepted { commitment, source } => {
                seen.chain.insert(commitment.block_number, Arc::clone(commitment));
                seen.useful_bytes += preconf_core::SIGNED_COMMITMENT_BYTES as u64;
                match source {
                    Source::Gossip(_) => seen.came.push((now, true)),
                    Source::Response(_) => seen.came.push((now, false)),
                    Source::Own => {
                        l1.made(Made::of(&commitment.signed, Time(now / 1_000)));
                        makers.entry(commitment.hash).or_insert(node);
                    }
                    Source::Kept => {}
                }
            }
            Event::TxListStored { len_bytes, .. } => seen.useful_bytes += *len_bytes as u64,
            Event::ExecuteAgain { from } => {
                seen.chain.split_off(from);
                seen.next_ready = seen.next_ready.map(|next| next.min(*from));
            }
            Event::BlockReady { commitment, .. } => {
                let number = commitment.block_number;
                let is_next = |next: u64| number == next || (number > next && number <= seen.tip + 1);
                if !seen.next_ready.is_none_or(is_next) {
                    return Err(format!("P5.5: block {number} is ready, and {:?} was next", seen.next_ready));
                }
                seen.next_ready = Some(number + 1);
                seen.ready_at.entry(commitment.hash).or_insert(now);
            }
            _ => {}
        }
        Ok(())
    }
}

/// An event as a line; a txlist is named, not printed.
fn in_words(event: &NetworkEvent) -> String {
    match event {
        NetworkEvent::Core(Event::BlockReady { commitment, txlist }) => {
            format!(
                "BlockReady {{ {}, {}, txlist: {:?} }}",
                commitment.block_number,
                commitment.hash,
                txlist.as_ref().map(|txlist| txlist.len())
            )
        }
        other => format!("{other:?}"),
    }
}
