//! What has been seen, and is it what should be seen?
//!
//! The record is told what was published and every event of every honest node; at the end it names all that went wrong. What it was not
//! told was published must not be accepted by anyone: that is how a hostile message that got through is found.
//!
//! Times are read when an event leaves its node, so they hold everything on the way: signing is done, gossip, judging and linking are not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use preconf_core::{B256, Event, PeerId, Source, Standing, Verdict};

use super::plan::Block;

/// All that is known of a devnet.
#[derive(Debug)]
pub(crate) struct Record {
    blocks: u64,
    published: BTreeMap<B256, Published>,
    txlists: BTreeSet<B256>,
    hostile: BTreeMap<PeerId, Judged>,
    nodes: Vec<Seen>,
    last_progress: Instant,
    /// When the last block was published, commitment and txlist.
    all_out: Option<Instant>,
}

#[derive(Debug)]
struct Published {
    by: usize,
    /// When its node was told to publish it; `None` while its txlist goes first.
    at: Option<Instant>,
}

/// How honest nodes judged the messages of a hostile peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Taken for good: never, in a devnet that is ok.
    pub(crate) accepted: u64,
    /// With *ignore*.
    pub(crate) ignored: u64,
    /// With *reject*.
    pub(crate) rejected: u64,
    /// By the label of the rule that was broken.
    pub(crate) labels: BTreeMap<&'static str, u64>,
}

/// What one honest node has told.
#[derive(Debug)]
struct Seen {
    name: String,
    is_timed: bool,
    accepted: BTreeMap<B256, Instant>,
    ready: u64,
    /// When its last block became ready.
    ready_at: Option<Instant>,
    has_handoff: bool,
    faults: Vec<String>,
}

impl Record {
    /// Nothing has been seen yet of a chain of this many blocks.
    pub(crate) fn new(blocks: u64, now: Instant) -> Self {
        Self {
            blocks,
            published: BTreeMap::new(),
            txlists: BTreeSet::new(),
            hostile: BTreeMap::new(),
            nodes: Vec::new(),
            last_progress: now,
            all_out: None,
        }
    }

    /// A further honest node; it is named by its index from now on. Only the times of nodes that were there from the start count.
    pub(crate) fn add_node(&mut self, name: String, is_timed: bool) -> usize {
        let accepted = BTreeMap::new();
        self.nodes.push(Seen { name, is_timed, accepted, ready: 0, ready_at: None, has_handoff: false, faults: Vec::new() });
        self.nodes.len() - 1
    }

    /// A hostile peer.
    pub(crate) fn add_hostile(&mut self, peer: PeerId) {
        self.hostile.insert(peer, Judged::default());
    }

    /// From now on blocks are expected.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.last_progress = now;
    }

    /// A block is about to be published by a node.
    pub(crate) fn will_publish(&mut self, block: &Block, by: usize) {
        self.published.insert(block.hash, Published { by, at: None });
        self.txlists.insert(block.signed.preconf().raw_tx_list_hash);
    }

    /// When the node was told to publish a commitment.
    pub(crate) fn published(&mut self, hash: B256, at: Instant) {
        if let Some(published) = self.published.get_mut(&hash) {
            published.at = Some(at);
        }
    }

    /// When a block was out, commitment and txlist.
    pub(crate) fn out(&mut self, number: u64, at: Instant) {
        if number == self.blocks {
            self.all_out = Some(at);
        }
    }

    /// Something that an honest node must never see.
    pub(crate) fn fault(&mut self, node: usize, fault: String) {
        self.nodes[node].faults.push(fault);
    }

    /// An honest node told something.
    pub(crate) fn event(&mut self, node: usize, at: Instant, event: &Event) {
        match event {
            Event::CommitmentAccepted { commitment, source } => {
                if self.published.contains_key(&commitment.hash) {
                    self.nodes[node].accepted.entry(commitment.hash).or_insert(at);
                    self.last_progress = at;
                } else {
                    self.got_through(*source);
                    self.fault(
                        node,
                        format!("accepted block {} ({}), which no preconfer published", commitment.block_number, commitment.hash),
                    );
                }
            }
            Event::TxListStored { hash, source, .. } => {
                if !self.txlists.contains(hash) {
                    self.got_through(*source);
                    self.fault(node, format!("stored txlist {hash} from {source:?}, which no preconfer published"));
                }
            }
            Event::BlockReady { commitment, txlist } => {
                let expected = self.nodes[node].ready + 1;
                if commitment.block_number == expected && txlist.is_some() {
                    self.nodes[node].ready = expected;
                    self.nodes[node].ready_at = Some(at);
                    self.last_progress = at;
                } else {
                    let number = commitment.block_number;
                    let whole = if txlist.is_some() { "" } else { " without its txlist" };
                    self.fault(node, format!("block {number} became ready{whole} where block {expected} was due"));
                }
            }
            Event::Handoff { commitment, .. } => self.nodes[node].has_handoff |= commitment.block_number == self.blocks,
            Event::MessageRefused { peer, refusal, .. } => match self.hostile.get_mut(peer) {
                Some(judged) => {
                    match refusal.verdict() {
                        Verdict::Accept => {}
                        Verdict::Ignore => judged.ignored += 1,
                        Verdict::Reject => judged.rejected += 1,
                    }
                    *judged.labels.entry(refusal.row().label).or_default() += 1;
                }
                // Honest nodes may well send what is not wanted now, but nothing that is a fault.
                None if refusal.verdict() == Verdict::Reject => {
                    self.fault(node, format!("rejected a message of the honest peer {peer}: {refusal}"));
                }
                None => {}
            },
            Event::Forked { canonical, .. } => self.fault(node, format!("saw a fork at block {}", canonical.block_number)),
            Event::RuleBroken { parent, rule, .. } => {
                self.fault(node, format!("saw a child of block {} that breaks the rule {rule:?}", parent.block_number));
            }
            Event::EvidenceFound { evidence, block_number, .. } => {
                self.fault(node, format!("proved an honest preconfer's {} at block {block_number}", evidence.fault.label()));
            }
            // P7.10: honest nodes never get so far with each other.
            Event::StandingChanged { peer, standing: standing @ (Standing::Pruned | Standing::Banned), .. }
                if !self.hostile.contains_key(peer) =>
            {
                self.fault(node, format!("has {} the honest peer {peer}", standing.label()));
            }
            Event::CommandFinished { .. }
            | Event::StandingChanged { .. }
            | Event::PeerConnected { .. }
            | Event::PeerDisconnected { .. }
            | Event::SyncProgress { .. }
            | Event::Synced { .. }
            | Event::ExecuteAgain { .. }
            | Event::PublishingAgain { .. }
            | Event::StorageFailed { .. }
            | Event::PublicationSeen { .. }
            | Event::ExecutionFailed { .. } => {}
        }
    }

    fn got_through(&mut self, source: Source) {
        if let Some(judged) = source.peer().and_then(|peer| self.hostile.get_mut(&peer)) {
            judged.accepted += 1;
        }
    }

    /// Has a node accepted a commitment, so that it can build on it?
    pub(crate) fn has_accepted(&self, node: usize, hash: B256) -> bool {
        self.nodes[node].accepted.contains_key(&hash)
    }

    /// Has every node every block?
    pub(crate) fn is_complete(&self) -> bool {
        self.nodes.iter().all(|node| node.ready == self.blocks && node.has_handoff)
    }

    /// When a node last got a block that it did not have.
    pub(crate) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// How a hostile peer's messages were judged.
    pub(crate) fn judged(&self, peer: PeerId) -> Judged {
        self.hostile.get(&peer).cloned().unwrap_or_default()
    }

    /// Times from publication to acceptance by each other node that was there from the start.
    pub(crate) fn propagation(&self) -> Vec<Duration> {
        let mut samples = Vec::new();
        for (hash, published) in &self.published {
            let Some(start) = published.at else { continue };
            let others = self.nodes.iter().enumerate().filter(|(index, node)| node.is_timed && *index != published.by);
            let accepted = others.filter_map(|(_, node)| node.accepted.get(hash));
            samples.extend(accepted.map(|at| at.saturating_duration_since(start)));
        }
        samples
    }

    /// How long each honest node that has every block ready took for it, from the last one's publication.
    fn delays(&self) -> impl Iterator<Item = (&Seen, Duration)> {
        let done = self.nodes.iter().filter(|node| node.ready == self.blocks);
        done.filter_map(|node| Some((node, node.ready_at?.saturating_duration_since(self.all_out?))))
    }

    /// How long the slowest honest node took, if all have every block ready.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let delays: Vec<Duration> = self.delays().map(|(_, delay)| delay).collect();
        if delays.len() == self.nodes.len() { delays.into_iter().max() } else { None }
    }

    /// Honest nodes that have every block ready, but took longer for it than they may.
    pub(crate) fn slow(&self, limit: Duration) -> Vec<String> {
        let slow = self.delays().filter(|(_, delay)| *delay > limit);
        slow.map(|(node, delay)| {
            let (took, limit) = (delay.as_secs_f64(), limit.as_secs_f64());
            format!("{} had every block ready {took:.3} s after the last one was published; allowed is {limit} s (P11.2)", node.name)
        })
        .collect()
    }

    /// All that went wrong at the honest nodes.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for node in &self.nodes {
            faults.extend(node.faults.iter().map(|fault| format!("{} {fault}", node.name)));
            if node.ready != self.blocks {
                faults.push(format!("{} has {} of {} blocks ready", node.name, node.ready, self.blocks));
            }
            if !node.has_handoff {
                faults.push(format!("{} did not see the last window handed over", node.name));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Shape};
    use preconf_core::{Accepted, Address, Bytes, Refusal, U256};
    use std::sync::Arc;

    const HOSTILE: &[u8] = &[1];
    const HONEST: &[u8] = &[2];

    fn peer(bytes: &[u8]) -> PeerId {
        PeerId::from_bytes(bytes).expect("a peer id")
    }

    struct Scene {
        record: Record,
        start: Instant,
        block: Block,
    }

    /// Two nodes that were there from the start, one block, published by the first of them.
    fn scene() -> Scene {
        let plan = Plan::new(Shape { blocks: 1, block_ms: 500, txlist_len: 10, preconfers: 1, seed: 7 }, 1_800_000_000);
        let start = Instant::now();
        let mut record = Record::new(1, start);
        record.add_node("node-0".to_owned(), true);
        record.add_node("node-1".to_owned(), true);
        record.add_hostile(peer(HOSTILE));
        let block = plan.first();
        record.will_publish(&block, 0);
        record.published(block.hash, start);
        Scene { record, start, block }
    }

    fn accepted(block: &Block) -> Arc<Accepted> {
        let window_end = block.signed.preconf().submission_window_end.to();
        let block_number = block.number;
        Arc::new(Accepted { signed: block.signed.clone(), hash: block.hash, signer: Address::ZERO, block_number, window_end })
    }

    impl Scene {
        fn tell_all(&mut self, node: usize, after: Duration) {
            let (at, commitment) = (self.start + after, accepted(&self.block));
            let event = Event::CommitmentAccepted { commitment: commitment.clone(), source: Source::Own };
            self.record.event(node, at, &event);
            self.record.event(node, at, &Event::BlockReady { commitment: commitment.clone(), txlist: Some(Bytes::new()) });
            self.record.event(node, at, &Event::Handoff { commitment, next: None });
        }

        fn refused(&mut self, by: &[u8], refusal: Refusal) {
            self.record.event(0, self.start, &Event::MessageRefused { peer: peer(by), topic: None, refusal });
        }
    }

    #[test]
    fn a_run_in_which_everyone_has_everything_has_no_faults() {
        let mut scene = scene();
        assert!(!scene.record.is_complete());
        scene.tell_all(0, Duration::ZERO);
        scene.tell_all(1, Duration::from_millis(3));
        scene.refused(HOSTILE, Refusal::WrongHash);
        scene.refused(HONEST, Refusal::Duplicate);
        assert!(scene.record.is_complete());
        assert_eq!(scene.record.faults(), [""; 0]);
        assert_eq!(scene.record.judged(peer(HOSTILE)).rejected, 1);
    }

    #[test]
    fn only_other_nodes_count_for_propagation() {
        let mut scene = scene();
        scene.record.add_node("late-0".to_owned(), false);
        for (node, ms) in [(0, 1), (1, 3), (2, 900)] {
            scene.tell_all(node, Duration::from_millis(ms));
        }
        assert_eq!(scene.record.propagation(), [Duration::from_millis(3)]);
    }

    #[test]
    fn a_node_that_is_ready_too_long_after_the_last_block_is_named() {
        // P11.2
        let mut scene = scene();
        scene.record.out(1, scene.start + Duration::from_millis(100));
        scene.tell_all(0, Duration::from_millis(50));
        assert_eq!(scene.record.delay(), None, "node-1 is not ready yet");
        scene.tell_all(1, Duration::from_millis(2_100));
        assert_eq!(scene.record.delay(), Some(Duration::from_secs(2)));
        assert_eq!(scene.record.slow(Duration::from_secs(2)), [""; 0]);
        let slow = scene.record.slow(Duration::from_millis(1_500));
        assert_eq!(slow, ["node-1 had every block ready 2.000 s after the last one was published; allowed is 1.5 s (P11.2)"]);
    }

    #[test]
    fn a_block_that_nobody_published_is_a_fault() {
        let mut scene = scene();
        let mut foreign = accepted(&scene.block).as_ref().clone();
        foreign.hash = B256::ZERO;
        scene.record.event(1, scene.start, &Event::CommitmentAccepted { commitment: foreign.into(), source: Source::Own });
        let stored = Event::TxListStored { hash: B256::ZERO, len_bytes: 1, source: Source::Gossip(peer(HOSTILE)) };
        scene.record.event(1, scene.start, &stored);
        let faults = scene.record.faults().join("\n");
        assert!(faults.contains("node-1 accepted block 1") && faults.contains("node-1 stored txlist"), "{faults}");
        assert_eq!(scene.record.judged(peer(HOSTILE)).accepted, 1, "the txlist came from the hostile peer");
    }

    #[test]
    fn missing_blocks_blamed_peers_and_forks_are_faults() {
        let mut scene = scene();
        scene.tell_all(0, Duration::ZERO);
        scene.refused(HONEST, Refusal::WrongHash);
        let other = accepted(&scene.block);
        scene.record.event(0, scene.start, &Event::Forked { canonical: other.clone(), other, windows_adjoin: false });
        let faults = scene.record.faults().join("\n");
        assert!(faults.contains("node-0 rejected a message of the honest peer"), "{faults}");
        assert!(faults.contains("node-0 saw a fork at block 1"), "{faults}");
        assert!(faults.contains("node-1 has 0 of 1 blocks ready") && faults.contains("node-1 did not see the last window"), "{faults}");
    }

    #[test]
    fn a_block_out_of_order_is_a_fault() {
        let mut scene = scene();
        let mut later = accepted(&scene.block).as_ref().clone();
        later.block_number = 2;
        assert_eq!(scene.block.signed.preconf().block_number, U256::ONE);
        scene.record.event(0, scene.start, &Event::BlockReady { commitment: later.into(), txlist: None });
        assert!(scene.record.faults()[0].contains("block 2 became ready without its txlist where block 1 was due"));
    }
}
