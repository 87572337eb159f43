//! What have we missed, and who has it (P6.9)?
//!
//! ```text
//! peers' heads --a claim above our head--> Run: pages from our head upward, several at once, each with another peer
//!   page: Wanted --peer with room--> Asked --answer--> Here --all before it judged--> Judging --head reaches its end--> done
//!           ^                          |  empty: the peer's claim was too high; bad: it costs a failure
//!           +--------------------------+  either way another peer is asked
//! ```
//!
//! Pages are judged in order, and every item like gossip, except for its age (P6.10). What peers claim is worth what they back with
//! commitments: a page that nobody can serve lowers the claims until the run has an end. A single peer never stalls it.
//!
//! Invariants: pages do not overlap and together reach from the head's successor to `next`. Claims are of connected peers.

pub(crate) mod claims;
pub(crate) mod page;
pub(crate) mod plan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::{PeerId, RequestId};
use crate::sync::claims::ClaimedHeads;
use crate::time::Time;
use crate::wire::v1::SignedCommitment;

/// Pages under way at once. Ours: keeps four peers busy and the claims being judged at 1024.
pub(crate) const MAX_PAGES: usize = 4;
/// Items of pages whose signers are being recovered when no more pages are asked for. Ours: the pages under way, once over.
pub(crate) const MAX_PAGE_ITEMS_JUDGED: usize = MAX_PAGES * 256;
/// Children whose parents are looked for at once. Ours: what P5.1 lets one peer have held.
pub(crate) const MAX_GAPS: usize = 64;
/// Requests whose pages were broken and may have items that are still being judged. Ours: as many as there can be such items.
pub(crate) const MAX_BLAMED: usize = MAX_PAGE_ITEMS_JUDGED;
/// Peers and starts that a run bars. Ours: far more than a run's pages can meet.
pub(crate) const MAX_BARRED: usize = 1024;

/// Where a page is.
#[derive(Debug)]
pub(crate) enum Page {
    /// It waits for a peer.
    Wanted,
    /// It is with a peer.
    Asked { request: RequestId },
    /// It came, and waits for those before it to be judged.
    Here { request: RequestId, peer: PeerId, items: Vec<SignedCommitment> },
    /// Its items are being judged; so many have no conclusion yet.
    Judging { request: RequestId, peer: PeerId, open: usize },
}

impl Page {
    /// Will something come of it by itself?
    pub(crate) fn is_under_way(&self) -> bool {
        match self {
            Self::Asked { .. } | Self::Judging { .. } => true,
            Self::Wanted | Self::Here { .. } => false,
        }
    }
}

/// One page: its place and how far it is.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) count: u32,
    pub(crate) page: Page,
}

impl Slot {
    /// The block behind the page's last.
    pub(crate) fn end(&self, start: u64) -> u64 {
        start.saturating_add(u64::from(self.count))
    }
}

/// Why a peer is not asked again for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bar {
    /// It did not answer.
    Silent,
    /// What it brought was of no use.
    Useless,
}

/// A catch-up under way.
#[derive(Debug)]
pub(crate) struct Run {
    /// Our head when it began.
    pub(crate) from: u64,
    /// First block that no page covers yet.
    pub(crate) next: u64,
    pub(crate) pages: BTreeMap<u64, Slot>,
    /// Who did not bring a page that starts there, and why.
    barred: BTreeMap<(u64, PeerId), Bar>,
}

impl Run {
    pub(crate) fn bar(&mut self, start: u64, peer: PeerId, why: Bar) {
        self.barred.insert((start, peer), why);
        while self.barred.len() > MAX_BARRED {
            self.barred.pop_last(); // pages near our head come first
        }
    }

    pub(crate) fn is_barred(&self, start: u64, peer: &PeerId) -> bool {
        self.barred.contains_key(&(start, *peer))
    }

    pub(crate) fn was_silent(&self, start: u64, peer: &PeerId) -> bool {
        self.barred.get(&(start, *peer)) == Some(&Bar::Silent)
    }

    /// Where a page is whose request this is.
    pub(crate) fn start_of(&self, request: RequestId) -> Option<u64> {
        let is = |slot: &Slot| match &slot.page {
            Page::Asked { request: id } | Page::Here { request: id, .. } | Page::Judging { request: id, .. } => *id == request,
            Page::Wanted => false,
        };
        self.pages.iter().find(|(_, slot)| is(slot)).map(|(start, _)| *start)
    }
}

/// What we know of others' heads, and the catch-up that follows from it.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    pub(crate) claims: ClaimedHeads,
    pub(crate) run: Option<Run>,
    /// Children without a parent: their number, and who sent the child first (P5.2).
    pub(crate) gaps: BTreeMap<u64, PeerId>,
    /// Whose pages were broken, the latest ones.
    blamed: BTreeSet<RequestId>,
    /// Set while the run waits for something else than peers: room in the chain.
    pub(crate) paused: bool,
    /// When a paused run and those left out are tried again at the latest.
    pub(crate) resume_at: Time,
    /// When the head moved last.
    pub(crate) moved: Option<Time>,
    /// Who was asked for its head last, so that peers take turns.
    pub(crate) polled: VecDeque<PeerId>,
}

impl Sync {
    /// The peer is gone.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.claims.forget(peer);
        self.gaps.retain(|_, sender| sender != peer);
    }

    /// A page is broken. Says whether that is news: a page costs its peer one failure, however many of its items are bad (P6.4).
    pub(crate) fn blame(&mut self, request: RequestId) -> bool {
        let is_news = self.blamed.insert(request);
        if self.blamed.len() > MAX_BLAMED {
            self.blamed.pop_first();
        }
        is_news
    }

    /// Commitments of pages that wait for those before them.
    pub(crate) fn items_waiting(&self) -> usize {
        let waiting = |slot: &Slot| if let Page::Here { items, .. } = &slot.page { items.len() } else { 0 };
        self.run.as_ref().map_or(0, |run| run.pages.values().map(waiting).sum())
    }

    /// The numbers of the items that are here and wait to be judged.
    pub(crate) fn numbers_waiting(&self) -> impl Iterator<Item = u64> {
        let waiting = |(start, slot): (&u64, &Slot)| {
            let len = if let Page::Here { items, .. } = &slot.page { items.len() as u64 } else { 0 };
            *start..start.saturating_add(len)
        };
        self.run.iter().flat_map(|run| run.pages.iter()).flat_map(waiting)
    }

    /// Peers and starts that the run bars.
    pub(crate) fn barred(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.barred.len())
    }

    /// Broken pages that are remembered.
    pub(crate) fn blamed(&self) -> usize {
        self.blamed.len()
    }

    /// Does a page wait for a peer with room?
    pub(crate) fn waits_for_room(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.pages.values().any(|slot| matches!(slot.page, Page::Wanted)))
    }
}
