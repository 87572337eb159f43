//! What is the worst that anybody thinks of a peer?
//!
//! Every change of a score leaves a machine as [`Action::SetScore`](preconf_core::Action::SetScore) (P7.5), decays included. Of each peer the
//! lowest score is kept that any observed node holds it at, bin by bin.

use std::collections::BTreeMap;

use preconf_core::PeerId;

use super::axis::halve;

/// Peers that are followed. Source: P7.6, as many as a node remembers; further ones are counted.
const MAX_PEERS: usize = 4096;
/// Opinions (who, of whom) that are followed. Ours: a thousand nodes of some two hundred peers each, in 12 MiB; further ones are counted.
const MAX_OPINIONS: usize = 1 << 18;
/// Marks a bin in which nobody had an opinion.
pub(super) const NONE: i32 = i32::MIN;
/// Millionths of a point in the unit of the series, a thousandth.
const UNIT: i64 = 1_000;

/// What we know of a peer beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// It follows the protocol.
    Honest,
    /// It breaks the protocol on purpose.
    Hostile,
    /// Nobody said.
    #[default]
    Unknown,
}

/// One peer, as others see it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) side: Side,
    /// How often it was banned.
    pub(super) bans: u64,
    /// Lowest in the open bin.
    open: i32,
    /// Lowest score in each bin, in thousandths of a point; [`NONE`] where there is none.
    pub(super) lowest: Vec<i32>,
}

/// All opinions.
#[derive(Clone, Debug, Default)]
pub(super) struct Scores {
    places: BTreeMap<PeerId, usize>,
    pub(super) subjects: Vec<Subject>,
    opinions: BTreeMap<(usize, usize), i32>,
    /// Changes that found no room.
    pub(super) left_out: u64,
}

impl Scores {
    /// What a peer is called, and what it is.
    pub(super) fn name(&mut self, peer: PeerId, name: String, side: Side, bins: usize) {
        if let Some(place) = self.place(peer, bins) {
            (self.subjects[place].name, self.subjects[place].side) = (name, side);
        }
    }

    pub(super) fn set(&mut self, node: usize, peer: PeerId, millionths: i64, bins: usize) {
        let room = self.opinions.len() < MAX_OPINIONS;
        let Some(place) = self.place(peer, bins) else {
            self.left_out += 1;
            return;
        };
        let score = i32::try_from(millionths / UNIT).unwrap_or(NONE + 1);
        let subject = &mut self.subjects[place];
        subject.open = if subject.open == NONE { score } else { subject.open.min(score) };
        if room || self.opinions.contains_key(&(node, place)) {
            self.opinions.insert((node, place), score);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn banned(&mut self, peer: PeerId, bins: usize) {
        if let Some(place) = self.place(peer, bins) {
            self.subjects[place].bans += 1;
        }
    }

    /// A node starts anew: what it thought is gone.
    pub(super) fn forget(&mut self, node: usize) {
        let gone: Vec<_> = self.opinions.range((node, 0)..(node + 1, 0)).map(|(key, _)| *key).collect();
        for key in gone {
            self.opinions.remove(&key);
        }
    }

    pub(super) fn name_of(&self, peer: &PeerId) -> String {
        let known = self.places.get(peer).map(|place| self.subjects[*place].name.clone());
        known.unwrap_or_else(|| peer.to_string())
    }

    fn place(&mut self, peer: PeerId, bins: usize) -> Option<usize> {
        if let Some(place) = self.places.get(&peer) {
            return Some(*place);
        }
        let place = self.subjects.len();
        if place == MAX_PEERS {
            return None;
        }
        self.places.insert(peer, place);
        let (name, lowest) = (peer.to_string(), vec![NONE; bins]);
        self.subjects.push(Subject { name, side: Side::Unknown, bans: 0, open: NONE, lowest });
        Some(place)
    }

    /// The open bin ends.
    pub(super) fn close(&mut self) {
        for ((_, place), score) in &self.opinions {
            let open = &mut self.subjects[*place].open;
            *open = if *open == NONE { *score } else { (*open).min(*score) };
        }
        for subject in &mut self.subjects {
            subject.lowest.push(std::mem::replace(&mut subject.open, NONE));
        }
    }

    /// Every two bins become one.
    pub(super) fn halve(&mut self) {
        for subject in &mut self.subjects {
            halve(&mut subject.lowest, |a, b| match (a, b) {
                (NONE, some) | (some, NONE) => some,
                (a, b) => a.min(b),
            });
        }
    }
}
