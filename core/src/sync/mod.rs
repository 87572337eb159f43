//! What have we missed, and who has it (P6.9, P5.2)?
//!
//! ```text
//! peers' heads --a claim above our head--> a run: pages from our head upward, several at once, each with another peer
//!   page: Wanted --peer that can be asked--> Asked --answer--> Here --all before it judged--> Judging --head reaches its end--> done
//!           ^                                  |  empty: the peer's claim was too high; bad: it costs a failure
//!           +----------------------------------+  either way another peer is asked
//! ```
//!
//! | state of a catch-up | left by |
//! |---|---|
//! | idle | [`CatchUp::plan`], when a claim that is followed lies above our head |
//! | running | our head reaches all that is claimed, or nobody backs the rest: *synced*, if nothing better is claimed by those set aside |
//! | paused: the chain has no room for more blocks | [`CatchUp::resume`], when the sync tip or the schedule moved, or after `heads_every` |
//!
//! Pages are judged in order, and every item like gossip, except for its age (P6.10). What peers claim is worth what they back with
//! commitments: a page that nobody can serve lowers the claims until the run has an end. A single peer never stalls it.
//!
//! [`CatchUp`] knows nothing of peers' conduct, of requests, or of the chain: the machine tells it what came and where our head is, has
//! asked what it wants next, and has judged what it hands out.
//!
//! Invariants: claims and senders of children are of connected peers. There is no run while it is paused.

pub(crate) mod claimed_heads;
pub(crate) mod heads;
pub(crate) mod pages;
pub(crate) mod probes;
mod run;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::U256;

use crate::cost::entry;
use crate::cx::Cx;
use crate::id::{PeerId, RequestId};
use crate::output::Event;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::sync::claimed_heads::ClaimedHeads;
use crate::sync::heads::{HeadQueries, PeerCount};
use crate::sync::run::{MAX_PAGES, Run};
use crate::time::{Time, Timer};
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, MAX_COMMITMENTS_PER_RESPONSE, SignedCommitment};

/// Items of pages whose signers are being recovered when no more pages are asked for. Ours: the pages under way, once over.
pub(crate) const MAX_PAGE_ITEMS_JUDGED: usize = MAX_PAGE_ITEMS;
/// Items of the pages under way.
pub(crate) const MAX_PAGE_ITEMS: usize = MAX_PAGES * MAX_COMMITMENTS_PER_RESPONSE;
/// Children whose parents are looked for at once. Ours: what P5.1 lets one peer have held.
const MAX_MISSING_PARENTS: usize = 64;
/// Requests whose pages were broken and may have items that are still being judged. Ours: as many as there can be such items.
const MAX_BLAMED: usize = MAX_PAGE_ITEMS_JUDGED;
/// How long a child may wait for its parent before the parent is asked for. Ours: gossip reorders neighbours by less.
const PARENT_GRACE: Duration = Duration::from_millis(100);

/// What we know of others' heads, and the catch-up that follows from it.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct CatchUp {
    claims: ClaimedHeads,
    queries: HeadQueries,
    run: Option<Run>,
    /// Children without a parent: their number, and who sent the child first (P5.2).
    missing_parents: BTreeMap<u64, PeerId>,
    /// Whose pages were broken, the latest ones.
    blamed: BTreeSet<RequestId>,
    /// Whose pages had something good in them, the latest ones.
    paid: BTreeSet<RequestId>,
    /// Set while the run waits for something else than peers: room in the chain.
    paused: bool,
    /// When a paused run and those set aside are tried again at the latest.
    resume_at: Time,
    /// An elected preconfer's signature has said where the chain is (P11.1).
    has_heard: bool,
}

impl CatchUp {
    /// A new peer said what it supports: while few told us their head, it is asked for its own.
    pub(crate) fn peer_identified(&mut self, cx: &mut Cx, peer: PeerId, count: PeerCount) -> Option<Wanted> {
        self.queries.set_timer_if_idle(cx, count);
        let is_wanted = self.claims.of(&peer).is_none() && self.claims.len() < cx.config.heads_from;
        is_wanted.then(|| HeadQueries::wanted(Whom::Only(peer)))
    }

    /// A connected peer said what its head is. The caller plans.
    pub(crate) fn head_claimed(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        self.claims.claim(peer, head, is_pruned);
    }

    /// A peer's score changed, and so perhaps whether its claim counts (P7.4).
    pub(crate) fn standing_changed(&mut self, peer: &PeerId, is_pruned: bool) {
        self.claims.set_pruned(peer, is_pruned);
    }

    /// A peer is gone.
    pub(crate) fn peer_left(&mut self, peer: &PeerId) {
        self.claims.remove(peer);
        self.missing_parents.retain(|_, sender| sender != peer);
    }

    /// Time to ask for heads again: whom, [`CatchUp::next_head`] says. The caller plans.
    pub(crate) fn heads_due(&mut self, cx: &mut Cx, count: PeerCount) {
        if self.resume_at <= cx.now.mono {
            self.resume_at = cx.now.mono.after(cx.config.heads_every);
            self.resume();
        }
        self.queries.due(cx, count);
    }

    /// Whose head is asked for next. The same until [`CatchUp::head_asked`] or [`CatchUp::no_more_heads`] says what came of it.
    pub(crate) fn next_head(&self) -> Option<Wanted> {
        self.queries.next_wanted()
    }

    /// This peer was asked for its head.
    pub(crate) fn head_asked(&mut self, cx: &Cx, peer: PeerId) {
        self.queries.asked(cx, peer);
    }

    /// Nobody else can be asked for its head.
    pub(crate) fn no_more_heads(&mut self) {
        self.queries.nobody_is_left();
    }

    /// P5.2: a child of a connected peer's came whose parent we do not know. The peer has what lies before it, or knows who has.
    pub(crate) fn parent_missing(&mut self, cx: &mut Cx, peer: PeerId, number: u64) {
        if self.missing_parents.len() < MAX_MISSING_PARENTS || self.missing_parents.contains_key(&number) {
            self.missing_parents.entry(number).or_insert(peer);
            cx.timers.set_if_idle(Timer::MissingParent, cx.now.mono.after(PARENT_GRACE));
        }
    }

    /// The parents that are still missing are looked for: above our head by a catch-up, which the caller plans; others are wanted, each of
    /// the child's sender.
    pub(crate) fn parents_due(&mut self, head: u64, floor: u64, is_pruned: impl Fn(&PeerId) -> bool) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (child, peer) in std::mem::take(&mut self.missing_parents) {
            let number = child.saturating_sub(1);
            if number > head {
                let claim = self.claims.of(&peer).unwrap_or(0).max(number);
                self.claims.claim(peer, claim, is_pruned(&peer));
            } else if number > floor {
                // Another chain of the same height: the one commitment before the child says what it hangs on.
                let body = GetCommitmentsRequest { start_block_number: U256::from(number), max_count: 1 }.encode();
                let (protocol, purpose, whom) = (Protocol::GetCommitments, Purpose::Parent { number }, Whom::Only(peer));
                wanted.push(Wanted { protocol, body, purpose, whom });
            }
        }
        wanted
    }

    /// What a catch-up waited for may have come: those set aside are followed again. The caller plans.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.claims.follow_all();
    }

    /// Starts a run where claims say that we miss something. Says whether pages may be wanted now.
    pub(crate) fn plan(&mut self, cx: &mut Cx, head: u64) -> bool {
        let target = self.claims.target();
        if !self.paused && self.run.is_none() && target > head {
            self.run = Some(Run::begin(head));
            cx.tell(Event::SyncProgress { from: head, at: head, to: self.claims.best_backed().max(head) });
        }
        !self.paused
    }

    /// The sync tip moved, or blocks were dropped: pages were set from the head as it was, and where blocks are gone, claims were made of
    /// another chain.
    pub(crate) fn chain_changed(&mut self, has_dropped: bool) {
        self.run = None;
        if has_dropped {
            self.claims.back_anew();
        }
    }

    /// Our head moved. Says whether pages are done with, and more may be wanted.
    pub(crate) fn head_moved(&mut self, cx: &mut Cx, head: u64, count: impl FnOnce() -> PeerCount) -> bool {
        self.queries.head_moved(cx, count);
        let Some(run) = &self.run else { return false };
        let has_passed = run.pages.first_key_value().is_some_and(|(start, slot)| slot.end(*start) <= head.saturating_add(1));
        if has_passed {
            cx.tell(Event::SyncProgress { from: run.from, at: head, to: self.claims.best_backed().max(head) });
        }
        has_passed
    }

    /// A response is broken. Says whether that is news: it costs its peer one failure, however many of its items are bad (P6.4).
    pub(crate) fn is_first_fault(&mut self, request: RequestId) -> bool {
        let is_first = self.blamed.insert(request);
        if self.blamed.len() > MAX_BLAMED {
            self.blamed.pop_first();
        }
        is_first
    }

    /// A commitment in a response passed C7. Says whether it is the first one of it: the response is paid for once (P6.4).
    pub(crate) fn is_first_good(&mut self, request: RequestId) -> bool {
        let is_first = self.paid.insert(request);
        if self.paid.len() > MAX_BLAMED {
            self.paid.pop_first();
        }
        is_first
    }

    /// Is a catch-up under way?
    pub(crate) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// What connected peers claim.
    pub(crate) fn claims(&self) -> &ClaimedHeads {
        &self.claims
    }

    /// The numbers of the items that are here and wait to be judged.
    pub(crate) fn numbers_waiting(&self) -> impl Iterator<Item = u64> {
        self.run.iter().flat_map(Run::numbers_waiting)
    }

    /// The most bytes that it holds, with so many connected peers.
    pub(crate) const fn max_bytes(max_peers: usize) -> usize {
        max_peers * ClaimedHeads::ENTRY
            + MAX_PAGE_ITEMS * size_of::<SignedCommitment>()
            + Run::MAX_BYTES
            + MAX_MISSING_PARENTS * entry::<u64, PeerId>()
            + 2 * MAX_BLAMED * entry::<RequestId, ()>()
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        let of_run = |run: &Run| run.items_waiting() * size_of::<SignedCommitment>() + run.bytes();
        self.claims.len() * ClaimedHeads::ENTRY
            + self.run.as_ref().map_or(0, of_run)
            + self.missing_parents.len() * entry::<u64, PeerId>()
            + (self.blamed.len() + self.paid.len()) * entry::<RequestId, ()>()
    }
}
