//! How is a missing txlist found (P5.6)?
//!
//! ```text
//! wanted --txlist_grace--> due --next_wanted--> asked (up to 3 at a time, 8 in all)
//!                           ^                     |
//!                           +---- growing pause --+-- not found, failed, wrong hash
//!                           +---- a longer pause: everybody was asked, from the start --+
//! ```
//!
//! Due fetches are served lowest block first, because that is the order in which blocks become ready.
//!
//! Invariants: every fetch is due, or under way, or has its timer. `due` holds only numbers and hashes of fetches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::B256;

use crate::cx::Cx;
use crate::id::PeerId;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::time::Timer;
use crate::wire::topics::Protocol;
use crate::wire::v1::GetTxListRequest;

/// Most peers asked for one txlist at a time. Source: P5.6.
const MAX_ASKED_AT_ONCE: u8 = 3;
/// Most peers asked for one txlist before a long pause. Source: P5.6.
const MAX_ASKED: usize = 8;
/// Longest pause, behind whole rounds without success. Ours: the window of the request limits (P6.6).
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A txlist that an accepted commitment refers to and that is not here.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Fetch {
    number: u64,
    /// Who sent the commitment: asked first (P5.6).
    sender: Option<PeerId>,
    asked: Vec<PeerId>,
    under_way: u8,
    /// Rounds without success.
    rounds: u8,
}

/// The txlists that are missing.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Fetches {
    by_hash: BTreeMap<B256, Fetch>,
    due: BTreeSet<(u64, B256)>,
}

impl Fetches {
    /// How many are missing.
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Does one wait for somebody to ask?
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A txlist is missing. Gossip may bring it yet, so it has its grace.
    pub(crate) fn begin(&mut self, cx: &mut Cx, hash: B256, number: u64, sender: Option<PeerId>) {
        let fetch = Fetch { number, sender, asked: Vec::new(), under_way: 0, rounds: 0 };
        self.by_hash.entry(hash).or_insert(fetch);
        cx.timers.set_if_idle(Timer::TxListMissing(hash), cx.now.mono.after(cx.config.txlist_grace));
    }

    /// It is here, or nobody needs it any more.
    pub(crate) fn end(&mut self, cx: &mut Cx, hash: &B256) {
        cx.timers.cancel(Timer::TxListMissing(*hash));
        if let Some(fetch) = self.by_hash.remove(hash) {
            self.due.remove(&(fetch.number, *hash));
        }
    }

    /// Ends those of blocks before this one; a list that a later block needs too (T6) is looked for on that block's behalf.
    pub(crate) fn end_below(&mut self, cx: &mut Cx, number: u64, last_reference: impl Fn(&B256) -> Option<u64>) {
        let settled: Vec<B256> = self.by_hash.iter().filter(|(_, fetch)| fetch.number < number).map(|(hash, _)| *hash).collect();
        for hash in settled {
            match (last_reference(&hash).filter(|last| *last >= number), self.by_hash.get_mut(&hash)) {
                (Some(last), Some(fetch)) => {
                    if self.due.remove(&(fetch.number, hash)) {
                        self.due.insert((last, hash));
                    }
                    fetch.number = last;
                }
                (_, _) => self.end(cx, &hash),
            }
        }
    }

    /// Missing for long enough, or the pause behind the last try is over. Says whether somebody should be asked now.
    pub(crate) fn became_due(&mut self, hash: &B256) -> bool {
        let Some(fetch) = self.by_hash.get(hash) else { return false };
        self.due.insert((fetch.number, *hash));
        true
    }

    /// A peer that was asked does not have it, or did not answer. Says whether somebody else should be asked now.
    pub(crate) fn failed(&mut self, hash: &B256) -> bool {
        if let Some(fetch) = self.by_hash.get_mut(hash) {
            fetch.under_way = fetch.under_way.saturating_sub(1);
        }
        self.became_due(hash)
    }

    /// What should be asked next: the lowest block first. It stays the next until [`Fetches::asked`] or [`Fetches::nobody_is_left`].
    pub(crate) fn next_wanted(&mut self, cx: &mut Cx) -> Option<Wanted> {
        // Each turn takes the lowest out of those that are due, or ends the loop.
        while let Some((number, hash)) = self.due.first().copied() {
            match self.by_hash.get(&hash) {
                Some(fetch) if fetch.under_way >= MAX_ASKED_AT_ONCE => {} // comes back when one of them ends
                Some(fetch) if fetch.asked.len() >= MAX_ASKED => {
                    self.nobody_is_left(cx, &hash);
                    continue;
                }
                Some(fetch) => {
                    let exclude = fetch.asked.clone();
                    let prefer = fetch.sender.filter(|peer| !exclude.contains(peer));
                    return Some(Wanted {
                        protocol: Protocol::GetTxList,
                        body: GetTxListRequest { hash }.encode(),
                        purpose: Purpose::TxList { hash, command: None },
                        whom: Whom::AnyoneBut { exclude, prefer },
                    });
                }
                None => {}
            }
            self.due.remove(&(number, hash));
        }
        None
    }

    /// This peer was asked.
    pub(crate) fn asked(&mut self, cx: &mut Cx, hash: &B256, peer: PeerId) {
        let Some(fetch) = self.by_hash.get_mut(hash) else { return };
        self.due.remove(&(fetch.number, *hash));
        fetch.asked.push(peer);
        fetch.under_way += 1;
        // P5.6: growing pauses; a slow peer does not hold the next one up
        let pause = cx.config.txlist_grace.saturating_mul(1 << fetch.asked.len().min(5)).min(LONGEST_PAUSE);
        cx.timers.set(Timer::TxListMissing(*hash), cx.now.mono.after(pause));
    }

    /// Everyone that can be asked was asked: a pause, then from the start. The first pauses are short, since peers that lost the txlist as
    /// well are looking for it too (P11.2).
    pub(crate) fn nobody_is_left(&mut self, cx: &mut Cx, hash: &B256) {
        let Some(fetch) = self.by_hash.get_mut(hash) else { return };
        self.due.remove(&(fetch.number, *hash));
        let mut pause = LONGEST_PAUSE;
        // Who is still at it is not asked once more: its end makes the fetch due again.
        if fetch.under_way == 0 {
            fetch.asked.clear();
            pause = cx.config.txlist_grace.saturating_mul(1 << fetch.rounds.min(5)).min(LONGEST_PAUSE);
            fetch.rounds = fetch.rounds.saturating_add(1);
        }
        cx.timers.set(Timer::TxListMissing(*hash), cx.now.mono.after(pause));
    }
}
