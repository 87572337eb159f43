//! Which peers are remembered, and who is forgotten first (P7.6)?
//!
//! | a peer is | forgotten |
//! |---|---|
//! | connected | never |
//! | away | the least recently seen first |
//! | away and banned | after all others, the least recently seen first |
//!
//! A pass over the connected ones meets them in the order of their ids, as in every other table of connected peers. Those who are away may be
//! thousands, and are never walked over.
//!
//! Invariant: a remembered peer is either in `connected` or in `away`, and `by_age` holds exactly those of `away`.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;
use crate::time::Time;

/// Most peers that are remembered. Source: P7.6.
pub(crate) const MAX_REMEMBERED: usize = 4096;

/// What is remembered of each peer.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Remembered<T> {
    connected: BTreeMap<PeerId, Entry<T>>,
    away: BTreeMap<PeerId, Entry<T>>,
    /// Is it banned, when was it seen last, and who.
    by_age: BTreeSet<(bool, Time, PeerId)>,
}

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Entry<T> {
    what: T,
    last_seen: Time,
    is_banned: bool,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { connected: BTreeMap::new(), away: BTreeMap::new(), by_age: BTreeSet::new() }
    }
}

impl<T> Remembered<T> {
    pub(crate) fn len(&self) -> usize {
        self.connected.len() + self.away.len()
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&T> {
        self.connected.get(peer).or_else(|| self.away.get(peer)).map(|entry| &entry.what)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut T> {
        self.connected.get_mut(peer).or_else(|| self.away.get_mut(peer)).map(|entry| &mut entry.what)
    }

    /// What is remembered of a peer; from now on this, if nothing was.
    pub(crate) fn get_or_insert(&mut self, now: Time, peer: PeerId, new: impl FnOnce() -> T) -> &mut T {
        if self.get(&peer).is_none() {
            self.forget_down_to(MAX_REMEMBERED - 1);
            self.put_away(peer, Entry { what: new(), last_seen: now, is_banned: false });
        }
        self.get_mut(&peer).expect("inserted above")
    }

    /// A peer has connected.
    pub(crate) fn connect(&mut self, now: Time, peer: PeerId, new: impl FnOnce() -> T) {
        if !self.connected.contains_key(&peer) {
            let known = self.take_away(&peer);
            self.connected.insert(peer, known.unwrap_or_else(|| Entry { what: new(), last_seen: now, is_banned: false }));
            self.forget_down_to(MAX_REMEMBERED);
        }
    }

    /// A peer has no connection any more.
    pub(crate) fn disconnect(&mut self, now: Time, peer: PeerId) {
        if let Some(entry) = self.connected.remove(&peer) {
            self.put_away(peer, Entry { last_seen: now, ..entry });
        }
    }

    /// A ban falls or ends.
    pub(crate) fn set_banned(&mut self, peer: &PeerId, is_banned: bool) {
        if let Some(entry) = self.connected.get_mut(peer) {
            entry.is_banned = is_banned;
        } else if let Some(entry) = self.take_away(peer) {
            self.put_away(*peer, Entry { is_banned, ..entry });
        }
    }

    /// The banned ones that are away, the one that was seen longest ago first.
    pub(crate) fn banned(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.by_age.iter().filter(|(is_banned, ..)| *is_banned).map(|(.., peer)| *peer)
    }

    /// The connected ones, in the order of their ids.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (&PeerId, &T)> {
        self.connected.iter().map(|(peer, entry)| (peer, &entry.what))
    }

    /// Likewise, to be changed.
    pub(crate) fn connected_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut T)> {
        self.connected.iter_mut().map(|(peer, entry)| (peer, &mut entry.what))
    }

    fn forget_down_to(&mut self, most: usize) {
        while self.len() > most {
            let Some((.., peer)) = self.by_age.pop_first() else { return };
            self.away.remove(&peer);
        }
    }

    fn put_away(&mut self, peer: PeerId, entry: Entry<T>) {
        self.by_age.insert((entry.is_banned, entry.last_seen, peer));
        self.away.insert(peer, entry);
    }

    fn take_away(&mut self, peer: &PeerId) -> Option<Entry<T>> {
        let entry = self.away.remove(peer)?;
        self.by_age.remove(&(entry.is_banned, entry.last_seen, *peer));
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> PeerId {
        PeerId::from_bytes(&[&[0, 8][..], &n.to_be_bytes()].concat()).expect("ten bytes")
    }

    fn full() -> Remembered<usize> {
        let mut all = Remembered::default();
        for n in 0..MAX_REMEMBERED {
            all.get_or_insert(Time(n as u64), peer(n), || n);
        }
        all
    }

    #[test]
    fn p7_6_the_least_recently_seen_without_a_ban_is_forgotten_first() {
        let mut all = full();
        all.set_banned(&peer(0), true);
        all.connect(Time(5_000), peer(1), || unreachable!("it is remembered"));
        all.get_or_insert(Time(5_000), peer(9_000), || 9_000);
        let known = |all: &Remembered<usize>, n| all.get(&peer(n)).copied();
        assert_eq!([0, 1, 2, 3, 9_000].map(|n| known(&all, n)), [Some(0), Some(1), None, Some(3), Some(9_000)]);
        all.disconnect(Time(6_000), peer(1));
        all.connect(Time(6_000), peer(9_001), || 9_001);
        assert_eq!([0, 1, 3, 4].map(|n| known(&all, n)), [Some(0), Some(1), None, Some(4)]);
        assert_eq!((all.len(), all.banned().collect::<Vec<_>>()), (MAX_REMEMBERED, vec![peer(0)]));
    }

    #[test]
    fn p7_6_a_table_full_of_bans_gives_up_the_oldest_of_them() {
        let mut all = full();
        (0..MAX_REMEMBERED).for_each(|n| all.set_banned(&peer(n), true));
        all.connect(Time(5_000), peer(9_000), || 9_000);
        assert_eq!((all.get(&peer(0)), all.get(&peer(1)), all.len()), (None, Some(&1), MAX_REMEMBERED));
    }

    #[test]
    fn p7_7_a_ban_that_falls_on_a_connected_peer_is_kept_when_it_goes() {
        let mut all = Remembered::default();
        all.connect(Time(1), peer(1), || ());
        all.set_banned(&peer(1), true);
        assert_eq!((all.banned().count(), all.connected().count()), (0, 1));
        all.disconnect(Time(2), peer(1));
        assert_eq!((all.banned().count(), all.connected().count()), (1, 0));
    }
}
