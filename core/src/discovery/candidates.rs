//! Which nodes have records named that we might connect to (P8.8)?
//!
//! At most [`MAX_CANDIDATES`], each once, and no more of one neighbourhood than may be connected from there (P8.3). A full table, or a full
//! neighbourhood, gives up only who failed or has not been named for long, and of those who were of use only who failed as often as makes a
//! stranger forgotten: otherwise the newest loses, so that a flood of fresh records cannot wash out those that nobody has tried yet.
//!
//! Who may be dialed is looked up, too, and nobody walks over the table for it: a candidate that is not connected is resting until its time
//! has come, and then ready, in the order of its turn.
//!
//! Invariant: `by_worth` holds each candidate under its present worth, and so does the crowd of each neighbourhood where one of its addresses
//! lies; no crowd is empty. Each that is not connected is in `by_heard`, and either resting or ready. Only `enlist`, `delist` and `wake` touch
//! these.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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

/// Candidates that one call of `wake` looks at. Ours: as many as a turn of dialing rates.
const WOKEN_AT_ONCE: usize = 64;

/// A node that we might connect to.
#[derive(Clone, Debug)]
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
    pub(crate) seat: u64,
    /// It has spoken our chain's protocols, in this life or an earlier one.
    pub(crate) is_proven: bool,
    /// When its first connection came up, while it is connected.
    pub(crate) connected_since: Option<Time>,
    /// When it was connected and had to go for somebody new last (P8.10).
    pub(crate) given_up: Option<Time>,
    /// When it was handed out to be stored last.
    pub(crate) kept_at: Option<Time>,
}

/// Who is given up first: the unproven, with the most failures, named longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worth {
    is_proven: bool,
    failures: Reverse<u32>,
    heard: Time,
}

impl Worth {
    /// Before that of any proven candidate, and behind all others.
    const FIRST_PROVEN: Self = Self { is_proven: true, failures: Reverse(u32::MAX), heard: Time::ZERO };

    /// May it be given up for somebody new?
    fn is_weak(&self, now: Time) -> bool {
        let Reverse(failures) = self.failures;
        if self.is_proven { failures >= MAX_FAILURES } else { failures > 0 || is_old(self.heard, now) }
    }
}

fn is_old(heard: Time, now: Time) -> bool {
    now.since(heard) > FRESH_FOR
}

impl Candidate {
    fn turn_to_dial(&self) -> Turn {
        Turn { failures: self.failures, given_up: self.given_up, is_unproven: !self.is_proven, seat: self.seat }
    }

    fn worth(&self) -> Worth {
        Worth { is_proven: self.is_proven, failures: Reverse(self.failures), heard: self.heard }
    }

    /// The address whose turn it is, and its neighbourhood.
    pub(crate) fn address(&self) -> Option<(&str, Option<Cidr>)> {
        let turn = self.turn.checked_rem(self.record.addresses.len())?;
        Some((self.record.addresses.get(turn)?, *self.neighbourhoods.get(turn)?))
    }

    /// Has no record named it for a while?
    pub(crate) fn is_old(&self, now: Time) -> bool {
        is_old(self.heard, now)
    }
}

/// In which order candidates are ready, as far as that depends on nothing but themselves: who failed least, who was not given up for
/// somebody new or that longest ago, who was of use before; and then our dice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    failures: u32,
    given_up: Option<Time>,
    is_unproven: bool,
    seat: u64,
}

/// Candidates, those that are given up first in front.
type Order = BTreeSet<(Worth, PeerId)>;

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
pub(crate) struct Candidates {
    max_per_neighbourhood: u32,
    by_peer: BTreeMap<PeerId, Candidate>,
    by_worth: Order,
    crowds: BTreeMap<Cidr, Order>,
    by_heard: BTreeSet<(Time, PeerId)>,
    resting: BTreeSet<(Time, PeerId)>,
    ready: BTreeSet<(Turn, PeerId)>,
}

impl Candidates {
    pub(crate) fn new(max_per_neighbourhood: u32) -> Self {
        Self {
            max_per_neighbourhood,
            by_peer: BTreeMap::new(),
            by_worth: Order::new(),
            crowds: BTreeMap::new(),
            by_heard: BTreeSet::new(),
            resting: BTreeSet::new(),
            ready: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Candidate> {
        self.by_peer.get(peer)
    }

    /// Those that are not connected and whose rest was over when it was looked at last, in their turn.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Candidate> {
        self.ready.iter().filter_map(|(_, peer)| self.by_peer.get(peer))
    }

    /// When the next rest ends.
    pub(crate) fn next_ready(&self) -> Option<Time> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// Takes a record whose addresses lie in these neighbourhoods.
    pub(crate) fn take(&mut self, now: Time, record: NodeRecord, neighbourhoods: Vec<Option<Cidr>>, seat: u64) -> Taken {
        let peer = record.peer;
        match self.by_peer.get(&peer) {
            Some(known) if record.sequence <= known.record.sequence => {
                self.change(&peer, |known| known.heard = now);
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
            seat,
            is_proven: false,
            connected_since: None,
            given_up: None,
            kept_at: None,
        });
        Taken::New
    }

    /// Gives up weak candidates that stand in the way. Says whether there is room.
    fn make_room(&mut self, now: Time, neighbourhoods: &[Option<Cidr>]) -> bool {
        for block in neighbourhoods.iter().flatten() {
            while let Some(crowd) = self.crowds.get(block).filter(|crowd| crowd.len() >= self.max_per_neighbourhood as usize) {
                let Some(weak) = self.weakest(now, crowd) else { return false };
                self.remove(&weak);
            }
        }
        while self.by_peer.len() >= MAX_CANDIDATES {
            let Some(weak) = self.weakest(now, &self.by_worth) else { return false };
            self.remove(&weak);
        }
        true
    }

    /// The first that may be given up. Of the unproven, and of the proven, those that may lie in front: nobody behind them is looked at.
    fn weakest(&self, now: Time, order: &Order) -> Option<PeerId> {
        let unproven = order.iter().take_while(|(worth, _)| !worth.is_proven);
        let proven = order.range((Worth::FIRST_PROVEN, PeerId::FIRST)..);
        let weak = |order: &&(Worth, PeerId)| order.0.is_weak(now);
        let mut weak = unproven.take_while(weak).chain(proven.take_while(weak)).map(|(_, peer)| *peer);
        weak.find(|peer| self.by_peer.get(peer).is_some_and(|candidate| candidate.connected_since.is_none()))
    }

    fn insert(&mut self, candidate: Candidate) {
        let peer = candidate.record.peer;
        self.by_peer.insert(peer, candidate);
        self.enlist(&peer, false);
    }

    /// Forgets a candidate.
    fn remove(&mut self, peer: &PeerId) -> Option<Candidate> {
        self.delist(peer);
        self.by_peer.remove(peer)
    }

    /// Changes what is known of a candidate, but not its record. Says whether there is one.
    pub(crate) fn change(&mut self, peer: &PeerId, change: impl FnOnce(&mut Candidate)) -> bool {
        let was_ready = self.delist(peer);
        let Some(candidate) = self.by_peer.get_mut(peer) else { return false };
        let rest_until = candidate.rest_until;
        change(candidate);
        let is_ready = was_ready && candidate.rest_until == rest_until;
        self.enlist(peer, is_ready);
        true
    }

    /// Whose rest is known to be over is ready at once; of others `wake` sees when it is.
    fn enlist(&mut self, peer: &PeerId, is_ready: bool) {
        let Some(candidate) = self.by_peer.get(peer) else { return };
        let worth = candidate.worth();
        self.by_worth.insert((worth, *peer));
        for block in candidate.neighbourhoods.iter().flatten() {
            self.crowds.entry(*block).or_default().insert((worth, *peer));
        }
        if candidate.connected_since.is_none() {
            self.by_heard.insert((candidate.heard, *peer));
            if is_ready {
                self.ready.insert((candidate.turn_to_dial(), *peer));
            } else {
                self.resting.insert((candidate.rest_until, *peer));
            }
        }
    }

    /// Says whether it was ready.
    fn delist(&mut self, peer: &PeerId) -> bool {
        let Some(candidate) = self.by_peer.get(peer) else { return false };
        let place = (candidate.worth(), *peer);
        self.by_worth.remove(&place);
        for block in candidate.neighbourhoods.iter().flatten() {
            if let Some(crowd) = self.crowds.get_mut(block) {
                crowd.remove(&place);
                if crowd.is_empty() {
                    self.crowds.remove(block);
                }
            }
        }
        self.by_heard.remove(&(candidate.heard, *peer));
        self.resting.remove(&(candidate.rest_until, *peer));
        self.ready.remove(&(candidate.turn_to_dial(), *peer))
    }

    /// Rests end. Forgets who failed too often by then, and who has not been named for long. Some in each call: the next one goes on.
    pub(crate) fn wake(&mut self, now: Time) {
        for _ in 0..WOKEN_AT_ONCE {
            let Some((until, peer)) = self.resting.first().copied().filter(|(until, _)| *until <= now) else { break };
            match self.by_peer.get(&peer) {
                Some(candidate) if candidate.is_proven || candidate.failures < MAX_FAILURES => {
                    self.ready.insert((candidate.turn_to_dial(), peer));
                    self.resting.remove(&(until, peer));
                }
                Some(_) | None => drop(self.remove(&peer)),
            }
        }
        for _ in 0..WOKEN_AT_ONCE {
            let Some((_, peer)) = self.by_heard.first().copied().filter(|(heard, _)| now.since(*heard) > FORGET_AFTER) else { break };
            self.remove(&peer);
        }
    }
}
