//! Which nodes have records named that we might connect to (P8.8)?
//!
//! At most [`MAX_CANDIDATES`], each once, and no more of one neighbourhood than may be connected from there (P8.3). A full table, or a full
//! neighbourhood, gives up only who failed or has not been named for long, and of those who were of use only who failed as often as makes a
//! stranger forgotten: otherwise the newest loses, so that a flood of fresh records cannot wash out those that nobody has tried yet.
//!
//! Who may be dialed, and who is given up, is found by a pass over the table: it has a thousand at most, and neither is asked often.
//!
//! Invariant: `in_neighbourhood` counts each candidate once in each neighbourhood where one of its addresses lies. Only `insert` and `remove`
//! touch it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::counts::Counts;
use crate::discovery::record::NodeRecord;
use crate::id::PeerId;
use crate::peer::subnet::Cidr;
use crate::time::Time;

/// Most candidates. Ours: five times the peers that a node wants (P8.2).
pub(crate) const MAX_CANDIDATES: usize = 1024;
/// How long a candidate is kept that no record names any more. Ours: a day, so that a night's outage forgets nobody.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(86_400);
/// How long after it was named a candidate counts as fresh. Ours: 30 slow look-ups of production.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(600);
/// Longest pause between two tries. Ours.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Tries without success after which an unproven candidate is forgotten. Ours: with the pauses of production, about two hours.
pub(crate) const MAX_FAILURES: u32 = 8;

/// A node that we might connect to.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Candidate {
    pub(crate) record: NodeRecord,
    /// Where each of its addresses lies, as far as that counts (P8.3).
    neighbourhoods: Vec<Option<Cidr>>,
    /// When a record named it last, or its last connection ended: that says more than any record.
    pub(crate) heard: Time,
    /// Tries since it was last found to be of use.
    pub(crate) failures: u32,
    /// Not dialed before.
    pub(crate) rest_until: Time,
    /// Which of its addresses is tried next.
    pub(crate) turn: usize,
    /// Decides among equals; only our dice know it.
    pub(crate) lot: u64,
    /// It has spoken our chain's protocols, in this life or an earlier one.
    pub(crate) is_proven: bool,
    /// When its first connection came up, while it is connected.
    pub(crate) connected_since: Option<Time>,
    /// When it was connected and had to go for somebody new last (P8.10).
    pub(crate) given_up: Option<Time>,
    /// When it was handed out to be stored last.
    pub(crate) persisted_at: Option<Time>,
}

impl Candidate {
    /// Who is given up first for somebody new: the unproven, with the most failures, named longest ago. `None` for who stays.
    fn weakness(&self, now: Time) -> Option<(bool, Reverse<u32>, Time)> {
        let is_weak = if self.is_proven { self.failures >= MAX_FAILURES } else { self.failures > 0 || self.is_old(now) };
        (is_weak && self.connected_since.is_none()).then_some((self.is_proven, Reverse(self.failures), self.heard))
    }

    /// Has it failed too often by the end of its pause, or has nobody named it for long?
    fn is_forgotten(&self, now: Time) -> bool {
        let has_failed = !self.is_proven && self.failures >= MAX_FAILURES && self.rest_until <= now;
        self.connected_since.is_none() && (has_failed || now.since(self.heard) > FORGET_AFTER)
    }

    /// Each neighbourhood once.
    fn neighbourhoods(&self) -> BTreeSet<Cidr> {
        self.neighbourhoods.iter().flatten().copied().collect()
    }

    /// The address whose turn it is, and its neighbourhood.
    pub(crate) fn address(&self) -> Option<(&str, Option<Cidr>)> {
        let turn = self.turn.checked_rem(self.record.addresses.len())?;
        Some((self.record.addresses.get(turn)?, *self.neighbourhoods.get(turn)?))
    }

    /// Has no record named it for a while?
    pub(crate) fn is_old(&self, now: Time) -> bool {
        now.since(self.heard) > FRESH_FOR
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A node that was not known.
    New,
    /// A node that was known.
    Known,
    /// No room for it.
    NoRoom,
}

/// The candidates.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Candidates {
    max_per_neighbourhood: usize,
    by_peer: BTreeMap<PeerId, Candidate>,
    in_neighbourhood: Counts<Cidr>,
}

impl Candidates {
    pub(crate) fn new(max_per_neighbourhood: usize) -> Self {
        Self { max_per_neighbourhood, by_peer: BTreeMap::new(), in_neighbourhood: Counts::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Candidate> {
        self.by_peer.get(peer)
    }

    /// Those that are not connected.
    pub(crate) fn unconnected(&self) -> impl Iterator<Item = &Candidate> {
        self.by_peer.values().filter(|candidate| candidate.connected_since.is_none())
    }

    /// Takes a record whose addresses lie in these neighbourhoods.
    pub(crate) fn take(&mut self, now: Time, record: NodeRecord, neighbourhoods: Vec<Option<Cidr>>, lot: u64) -> Taken {
        let peer = record.peer;
        match self.by_peer.get_mut(&peer) {
            Some(known) if record.sequence <= known.record.sequence => {
                known.heard = now;
                return Taken::Known;
            }
            Some(_) => {
                // It may have moved: there must be room where it lives now, like for anybody.
                let Some(known) = self.remove(&peer) else { return Taken::NoRoom };
                if known.connected_since.is_none() && !self.make_room(now, &neighbourhoods) {
                    self.insert(known); // where it was, it had its place
                    return Taken::NoRoom;
                }
                self.insert(Candidate { record, neighbourhoods, heard: now, turn: 0, ..known });
                return Taken::Known;
            }
            None => {}
        }
        if !self.make_room(now, &neighbourhoods) {
            return Taken::NoRoom;
        }
        self.insert(Candidate {
            record,
            neighbourhoods,
            heard: now,
            failures: 0,
            rest_until: now,
            turn: 0,
            lot,
            is_proven: false,
            connected_since: None,
            given_up: None,
            persisted_at: None,
        });
        Taken::New
    }

    /// Gives up weak candidates that stand in the way. Says whether there is room.
    fn make_room(&mut self, now: Time, neighbourhoods: &[Option<Cidr>]) -> bool {
        for block in neighbourhoods.iter().flatten() {
            while self.in_neighbourhood.of(block) >= self.max_per_neighbourhood {
                if !self.give_up_weakest(now, |candidate| candidate.neighbourhoods.contains(&Some(*block))) {
                    return false;
                }
            }
        }
        while self.by_peer.len() >= MAX_CANDIDATES {
            if !self.give_up_weakest(now, |_| true) {
                return false;
            }
        }
        true
    }

    /// Says whether there was one.
    fn give_up_weakest(&mut self, now: Time, is_in_the_way: impl Fn(&Candidate) -> bool) -> bool {
        let weak = |candidate: &&Candidate| Some((candidate.weakness(now)?, candidate.record.peer));
        let weakest = self.by_peer.values().filter(|candidate| is_in_the_way(candidate)).filter_map(|candidate| weak(&candidate)).min();
        weakest.is_some_and(|(_, peer)| self.remove(&peer).is_some())
    }

    fn insert(&mut self, candidate: Candidate) {
        candidate.neighbourhoods().into_iter().for_each(|block| self.in_neighbourhood.raise(block));
        self.by_peer.insert(candidate.record.peer, candidate);
    }

    fn remove(&mut self, peer: &PeerId) -> Option<Candidate> {
        let candidate = self.by_peer.remove(peer)?;
        candidate.neighbourhoods().iter().for_each(|block| self.in_neighbourhood.lower(block));
        Some(candidate)
    }

    /// What is known of a candidate, to be changed. Its record and its neighbourhoods are not: `take` does that.
    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Candidate> {
        self.by_peer.get_mut(peer)
    }

    /// Forgets who failed too often, and who has not been named for long.
    pub(crate) fn expire(&mut self, now: Time) {
        let forgotten: Vec<PeerId> =
            self.by_peer.values().filter(|candidate| candidate.is_forgotten(now)).map(|candidate| candidate.record.peer).collect();
        for peer in &forgotten {
            self.remove(peer);
        }
    }
}
