//! Which pages has a catch-up under way, how far is each, and who is not asked for one again (P6.9)?
//!
//! [`CatchUp`](crate::sync::CatchUp) decides; here stands what it decides about.
//!
//! Invariant: pages do not overlap, and together they reach from the head's successor to `next`.

use std::collections::BTreeMap;

use crate::cost::entry;
use crate::id::{PeerId, RequestId};
use crate::time::Time;
use crate::wire::v1::SignedCommitment;

/// Pages under way at once. Ours: keeps four peers busy and the items being judged at 1024.
pub(crate) const MAX_PAGES: usize = 4;
/// Peers and starts that a run bars. Ours: far more than a run's pages can meet.
const MAX_BARRED: usize = 1024;

/// Where a page is.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Page {
    /// It waits for a peer.
    Wanted,
    /// It is with a peer, and with a second one where the first takes its time.
    Asked { request: RequestId, peer: PeerId, since: Time, second: Option<(RequestId, PeerId)> },
    /// It came, and waits for those before it to be judged.
    Here { request: RequestId, peer: PeerId, items: Vec<SignedCommitment> },
    /// Its items are being judged; so many have no conclusion yet.
    Judging { request: RequestId, peer: PeerId, open: usize },
}

impl Page {
    /// Will something come of it by itself?
    fn is_under_way(&self) -> bool {
        match self {
            Self::Asked { .. } | Self::Judging { .. } => true,
            Self::Wanted | Self::Here { .. } => false,
        }
    }

    fn items(&self) -> &[SignedCommitment] {
        if let Self::Here { items, .. } = self { items } else { &[] }
    }
}

/// One page: its length and how far it is.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Slot {
    pub(super) count: u32,
    pub(super) page: Page,
}

impl Slot {
    /// The block behind the page's last.
    pub(super) fn end(&self, start: u64) -> u64 {
        start.saturating_add(u64::from(self.count))
    }
}

/// Why a peer is not asked again for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Bar {
    /// It did not answer.
    Unanswered,
    /// What it brought was of no use.
    Useless,
}

/// A catch-up under way.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Run {
    /// Our head when it began.
    pub(super) from: u64,
    /// First block that no page covers yet.
    next: u64,
    pub(super) pages: BTreeMap<u64, Slot>,
    /// Who did not bring a page that starts there, and why.
    barred: BTreeMap<(u64, PeerId), Bar>,
}

impl Run {
    /// The most bytes that one holds, beside the items of its pages.
    pub(super) const MAX_BYTES: usize = MAX_BARRED * entry::<(u64, PeerId), Bar>();

    /// The bytes that this one holds, counted likewise.
    pub(super) fn bytes(&self) -> usize {
        self.barred.len() * entry::<(u64, PeerId), Bar>()
    }

    /// Begins above our head.
    pub(super) fn begin(head: u64) -> Self {
        Self { from: head, next: head.saturating_add(1), pages: BTreeMap::new(), barred: BTreeMap::new() }
    }

    /// Drops what needs no page any more: what our head has passed, and what waits and nobody claims.
    pub(super) fn drop_needless(&mut self, head: u64, target: u64) {
        let next = head.saturating_add(1);
        self.pages.retain(|start, slot| slot.end(*start) > next && (*start <= target || !matches!(slot.page, Page::Wanted)));
        self.next = self.pages.last_key_value().map_or(next, |(start, slot)| slot.end(*start));
    }

    /// Sets pages of this size up to the target, as many as may be under way.
    pub(super) fn set_pages(&mut self, target: u64, size: u32) {
        while self.pages.len() < MAX_PAGES && self.next <= target {
            let count = u32::try_from(target - self.next + 1).unwrap_or(u32::MAX).min(size);
            self.pages.insert(self.next, Slot { count, page: Page::Wanted });
            self.next += u64::from(count);
        }
    }

    /// Begins anew above our head: who is barred stays so.
    pub(super) fn start_over(&mut self, head: u64) {
        self.pages.clear();
        self.next = head.saturating_add(1);
    }

    /// Will something come of its pages by themselves?
    pub(super) fn is_under_way(&self) -> bool {
        self.pages.values().any(|slot| slot.page.is_under_way())
    }

    /// Which pages are with which peers.
    pub(super) fn asked(&self) -> impl Iterator<Item = (u64, PeerId)> {
        let asked = |(start, slot): (&u64, &Slot)| if let Page::Asked { peer, .. } = slot.page { Some((*start, peer)) } else { None };
        self.pages.iter().filter_map(asked)
    }

    /// The page that all others wait for, where only one peer was asked for it: where it starts, its length, that peer, and since when.
    pub(super) fn frontier(&self) -> Option<(u64, u32, PeerId, Time)> {
        let (start, slot) = self.pages.iter().find(|(_, slot)| !matches!(slot.page, Page::Judging { .. }))?;
        let Page::Asked { peer, since, second: None, .. } = slot.page else { return None };
        Some((*start, slot.count, peer, since))
    }

    /// The page that starts there is with this peer, or with this one too.
    pub(super) fn asked_of(&mut self, start: u64, request: RequestId, peer: PeerId, now: Time) {
        let Some(slot) = self.pages.get_mut(&start) else { return };
        match &mut slot.page {
            Page::Asked { second, .. } => *second = Some((request, peer)),
            Page::Wanted | Page::Here { .. } | Page::Judging { .. } => slot.page = Page::Asked { request, peer, since: now, second: None },
        }
    }

    /// This request brings the page no more: who else was asked may, or somebody else is. Says whether somebody was.
    pub(super) fn not_brought(&mut self, start: u64, ended: RequestId) -> bool {
        let Some(slot) = self.pages.get_mut(&start) else { return false };
        if let Page::Asked { request, peer, second, .. } = &mut slot.page
            && let Some((other, whose)) = second.take()
        {
            if *request == ended {
                (*request, *peer) = (other, whose);
            }
            return true;
        }
        slot.page = Page::Wanted;
        false
    }

    /// A page that is with this peer waits for somebody else again.
    pub(super) fn take_back(&mut self, start: u64, peer: PeerId) {
        self.bar(start, peer, Bar::Unanswered);
        if let Some(slot) = self.pages.get_mut(&start) {
            slot.page = Page::Wanted;
        }
    }

    /// The first page above this number that waits for a peer, and its length.
    pub(super) fn first_wanted_above(&self, number: u64) -> Option<(u64, u32)> {
        let mut above = self.pages.iter().filter(|(start, slot)| **start > number && matches!(slot.page, Page::Wanted));
        above.next().map(|(start, slot)| (*start, slot.count))
    }

    /// The first page that is not being judged, if it is here. From now on it is judged.
    pub(super) fn next_to_judge(&mut self) -> Option<(PeerId, RequestId, Vec<SignedCommitment>)> {
        let slot = self.pages.values_mut().find(|slot| !matches!(slot.page, Page::Judging { .. }))?;
        let Page::Here { request, peer, items } = &mut slot.page else { return None };
        let (request, peer, items) = (*request, *peer, std::mem::take(items));
        slot.page = Page::Judging { request, peer, open: items.len() };
        Some((peer, request, items))
    }

    /// The peer is not asked again for a page that starts there.
    pub(super) fn bar(&mut self, start: u64, peer: PeerId, why: Bar) {
        self.barred.insert((start, peer), why);
        while self.barred.len() > MAX_BARRED {
            self.barred.pop_last(); // pages near our head come first
        }
    }

    pub(super) fn is_barred(&self, start: u64, peer: &PeerId) -> bool {
        self.barred.contains_key(&(start, *peer))
    }

    /// Was the peer asked for a page that starts there, and did not answer?
    pub(super) fn was_unanswered(&self, start: u64, peer: &PeerId) -> bool {
        self.barred.get(&(start, *peer)) == Some(&Bar::Unanswered)
    }

    /// Where the page is that this request asked for.
    pub(super) fn start_of(&self, request: RequestId) -> Option<u64> {
        let is = |slot: &Slot| match &slot.page {
            Page::Asked { request: id, second, .. } => *id == request || second.is_some_and(|(id, _)| id == request),
            Page::Here { request: id, .. } | Page::Judging { request: id, .. } => *id == request,
            Page::Wanted => false,
        };
        self.pages.iter().find(|(_, slot)| is(slot)).map(|(start, _)| *start)
    }

    /// Is the page with this block here, or being judged?
    pub(super) fn is_here(&self, number: u64) -> bool {
        let slot = self.pages.range(..=number).next_back().filter(|(start, slot)| slot.end(**start) > number);
        slot.is_some_and(|(_, slot)| matches!(slot.page, Page::Here { .. } | Page::Judging { .. }))
    }

    /// Items of pages that wait for those before them.
    pub(super) fn items_waiting(&self) -> usize {
        self.pages.values().map(|slot| slot.page.items().len()).sum()
    }

    /// Their numbers.
    pub(super) fn numbers_waiting(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().flat_map(|(start, slot)| *start..start.saturating_add(slot.page.items().len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, n]).expect("three bytes")
    }

    #[test]
    fn pages_reach_from_the_head_to_the_target_without_overlap_and_no_more_than_may_be_under_way() {
        let mut run = Run::begin(10);
        run.set_pages(15, 4);
        let pages = |run: &Run| run.pages.iter().map(|(start, slot)| (*start, slot.count)).collect::<Vec<_>>();
        assert_eq!(pages(&run), [(11, 4), (15, 1)]);
        run.set_pages(1_000, 4);
        assert_eq!(pages(&run), [(11, 4), (15, 1), (16, 4), (20, 4)]);
        run.drop_needless(15, 1_000);
        run.set_pages(1_000, 4);
        assert_eq!(pages(&run), [(16, 4), (20, 4), (24, 4), (28, 4)]);
    }

    #[test]
    fn what_nobody_claims_any_more_is_dropped_only_while_it_waits() {
        let mut run = Run::begin(0);
        run.set_pages(100, 4);
        for slot in run.pages.values_mut().take(2) {
            slot.page = Page::Asked { request: RequestId(1), peer: peer(1), since: Time::ZERO, second: None };
        }
        run.drop_needless(0, 2);
        assert_eq!(run.pages.keys().copied().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(run.next, 9);
    }

    #[test]
    fn the_bars_nearest_to_our_head_are_kept_when_there_are_too_many() {
        let mut run = Run::begin(0);
        for start in (1..=MAX_BARRED as u64 + 8).rev() {
            run.bar(start, peer(1), Bar::Useless);
        }
        assert!(run.is_barred(1, &peer(1)) && !run.is_barred(MAX_BARRED as u64 + 1, &peer(1)));
        assert_eq!(run.bytes(), Run::MAX_BYTES);
    }
}
