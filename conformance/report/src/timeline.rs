//! What happened, when, on which node?
//!
//! Takes observations one by one and hands each to the part that keeps it. All of it is bounded, whatever is observed and for how long.
//!
//! Invariant: every series holds as many bins as the axis has closed; only `advance` closes one.

use preconf_core::{Action, Event, Output, PeerId, Standing, Time};

use super::axis::Axis;
use super::blocks::Blocks;
use super::marks::{Mark, Marks};
use super::scores::{Scores, Side};
use super::tally::Tally;
use preconf_sim::Spread;

/// Nodes that are observed one by one. Ours: four times the largest simulation; what further ones do is counted, but they have no row.
const MAX_NODES: usize = 4096;

/// How often nodes banned a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    /// Bans of peers that follow the protocol.
    pub honest: u64,
    /// Bans of peers that break it.
    pub hostile: u64,
    /// Bans of peers that nobody told us about.
    pub unknown: u64,
}

/// Observations of a run, in bounded memory. See the [module](super) for how it is fed.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub(super) axis: Axis,
    pub(super) blocks: Blocks,
    pub(super) scores: Scores,
    pub(super) tally: Tally,
    pub(super) marks: Marks,
    last: Time,
}

impl Timeline {
    /// A machine that will be observed, down until it is started or says something. Returns its place, counted from 0.
    pub fn add_node(&mut self, name: impl Into<String>) -> usize {
        if self.blocks.rows.len() == MAX_NODES {
            return MAX_NODES;
        }
        self.blocks.add(name.into(), self.axis.closed)
    }

    /// What a peer is called on the page, and whether it is known to be hostile. Unnamed peers appear under their id.
    pub fn name_peer(&mut self, peer: PeerId, name: impl Into<String>, side: Side) {
        self.scores.name(peer, name.into(), side, self.axis.closed);
    }

    /// A node starts, or starts again with an empty memory.
    pub fn started(&mut self, at: Time, node: usize) {
        self.advance(at);
        self.blocks.started(at, node);
        self.scores.forget(node);
    }

    /// A node is down from here on.
    pub fn stopped(&mut self, at: Time, node: usize) {
        self.advance(at);
        self.blocks.stopped(node);
    }

    /// Blocks up to this one are settled from L1 for a node, which will not have to make them ready any more (P9.3).
    pub fn settled(&mut self, at: Time, node: usize, number: u64) {
        self.advance(at);
        self.blocks.settled(node, number);
    }

    /// A machine says something. A time that goes back counts as the last one.
    pub fn output(&mut self, at: Time, node: usize, output: &Output) {
        let at = self.advance(at);
        if self.blocks.rows.get(node).is_some_and(|row| row.lives == 0) {
            self.blocks.started(at, node);
        }
        self.tally.output(output);
        match output {
            Output::Net(Action::SetScore { peer, score }) => self.scores.set(node, *peer, *score, self.axis.closed),
            Output::Net(Action::Block { peer }) => self.scores.banned(*peer, self.axis.closed),
            Output::App(event) => self.event(at, node, event),
            Output::Net(_) | Output::Job(_) | Output::Persist { .. } => {}
        }
    }

    /// Something happens to the network. What happens to many nodes at once is one mark.
    pub fn mark(&mut self, at: Time, mark: Mark) {
        let at = self.advance(at);
        self.marks.mark(at, mark, self.axis.width);
    }

    /// How long commitments took from their publisher to other nodes that were up; see [`Propagation`](preconf_sim::Propagation).
    pub fn to_accepted(&self) -> &Spread {
        &self.blocks.deliveries.spread
    }

    /// How long blocks took from their publisher until they could be executed on other nodes that were up.
    pub fn to_ready(&self) -> &Spread {
        &self.blocks.to_ready
    }

    /// Bans so far.
    pub fn bans(&self) -> Bans {
        let mut bans = Bans::default();
        for subject in &self.scores.subjects {
            *match subject.side {
                Side::Honest => &mut bans.honest,
                Side::Hostile => &mut bans.hostile,
                Side::Unknown => &mut bans.unknown,
            } += subject.bans;
        }
        bans
    }

    /// Closes every bin that is over by then, and returns the time that counts.
    pub(super) fn advance(&mut self, at: Time) -> Time {
        self.last = self.last.max(at);
        while self.axis.open_ends() <= self.last {
            self.close();
        }
        self.last
    }

    /// Closes the open bin though it is not over, unless it has only begun.
    pub(super) fn close_last(&mut self) {
        let begins = self.axis.open_ends().0 - self.axis.width;
        if self.last.0 > begins || self.axis.closed == 0 {
            self.close();
        }
    }

    fn close(&mut self) {
        self.blocks.close(self.axis.open_ends().min(self.last));
        self.scores.close();
        self.tally.close();
        if self.axis.close() {
            self.halve_series();
        }
    }

    /// Makes one bin of every two.
    pub(super) fn halve(&mut self) {
        self.axis.halve();
        self.halve_series();
    }

    fn halve_series(&mut self) {
        self.blocks.halve();
        self.scores.halve();
        self.tally.halve();
    }

    fn event(&mut self, at: Time, node: usize, event: &Event) {
        match event {
            Event::CommitmentAccepted { commitment, source } => self.blocks.accepted(at, node, commitment, *source),
            Event::BlockReady { commitment, .. } => self.blocks.ready(at, node, commitment),
            Event::ExecuteAgain { from } => {
                self.blocks.execute_again(node, *from);
                self.marks.incident(at, node, "again", &format!("blocks from {from} on must be executed again (P9.3)"));
            }
            Event::StandingChanged { peer, standing, rule } => {
                let (peer, how) = (self.scores.name_of(peer), standing.label());
                let kind = if *standing == Standing::Banned { "ban" } else { "standing" };
                self.marks.incident(at, node, kind, &format!("{peer} is {how} ({rule})"));
            }
            Event::Forked { canonical, other, .. } => {
                let (number, stays, other) = (canonical.block_number, canonical.hash, other.hash);
                self.marks.incident(at, node, "fork", &format!("two valid blocks {number}: {stays} stays, {other} stands beside it (C9)"));
            }
            Event::EvidenceFound { signer, block_number, .. } => {
                let text = format!("a fault of preconfer {signer} at block {block_number} is proven (P5.4)");
                self.marks.incident(at, node, "evidence", &text);
            }
            Event::RuleBroken { parent, rule, .. } => {
                self.marks.incident(at, node, "rule", &format!("a child of block {} breaks the rule {rule:?} (C9)", parent.block_number));
            }
            Event::Handoff { commitment, next } => {
                let next = next.map_or_else(|| "nobody known yet".to_owned(), |next| next.to_string());
                self.marks.incident(at, node, "handoff", &format!("block {} hands over to {next} (P5.3)", commitment.block_number));
            }
            Event::Synced { head } => self.marks.incident(at, node, "synced", &format!("caught up to block {head} (P6.9)")),
            Event::ExecutionFailed { block_number, .. } => {
                self.marks.incident(at, node, "execution", &format!("block {block_number} could not be executed (P10.4)"));
            }
            Event::PublishingAgain { block_number, .. } => {
                self.marks.incident(
                    at,
                    node,
                    "again",
                    &format!("our block {block_number} of before the restart is published again (P5.9a)"),
                );
            }
            Event::PublicationSeen { block_number, peers: 1, .. } => {
                self.marks.incident(at, node, "seen", &format!("our block {block_number} is with a first peer (P5.9d)"));
            }
            Event::StorageFailed { failure } => {
                self.marks.incident(at, node, "storage", &format!("a record was not written (P10.4): {failure}"))
            }
            Event::PeerConnected { .. } => self.blocks.connected(node, 1),
            Event::PeerDisconnected { .. } => self.blocks.connected(node, -1),
            // Counted elsewhere, or of no interest beyond one node.
            Event::PublicationSeen { .. }
            | Event::CommandFinished { .. }
            | Event::TxListStored { .. }
            | Event::MessageRefused { .. }
            | Event::SyncProgress { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::MAX_BINS;
    use super::*;

    #[test]
    fn every_series_holds_as_many_bins_as_the_axis_has_closed() {
        let (mut timeline, peer) = (Timeline::default(), PeerId::from_bytes(&[0, 1, 9]).expect("three bytes"));
        for step in 0..3_000u64 {
            let at = Time::from_millis(step * step / 7);
            let node = if step % 500 == 0 { timeline.add_node(format!("node {step}")) } else { 0 };
            timeline.output(at, node, &Output::Net(Action::SetScore { peer, score: 1_000_000 }));
            let closed = timeline.axis.closed;
            assert!(closed < MAX_BINS);
            assert!(timeline.blocks.rows.iter().all(|row| row.behind.len() == closed));
            assert!(timeline.scores.subjects.iter().all(|subject| subject.lowest.len() == closed));
            assert_eq!((timeline.blocks.heights.len(), timeline.tally.verdicts.len()), (closed, closed));
        }
    }

    #[test]
    fn a_time_that_goes_back_counts_as_the_last_one() {
        let mut timeline = Timeline::default();
        timeline.mark(Time::from_millis(900), Mark::note("late"));
        timeline.mark(Time::from_millis(100), Mark::note("early"));
        assert!(timeline.marks.placed.iter().all(|placed| placed.at == Time::from_millis(900)));
    }
}
