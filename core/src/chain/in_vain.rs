//! For whom are signers recovered in vain (C7)?
//!
//! A recovery is the dearest thing that a stranger can make us do. One that ends with an accepted commitment, or with a charge, pays for
//! itself; one that ends otherwise (a window that some may not know yet, a fork, what comes too late) is nobody's fault and has a bound, for
//! each peer and for each neighbourhood. What is under way already comes on top of it.
//!
//! Invariant: a count that is kept is not zero. A window begins with the first recovery in vain after the last one ended.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cost::entry;
use crate::id::PeerId;
use crate::peer::subnet::Cidr;
use crate::time::Time;

/// Recoveries in vain for one peer. Source: C7.
const MAX_OF_PEER: u32 = 32;
/// Those for one neighbourhood. Source: C7.
const MAX_OF_NEIGHBOURHOOD: u32 = 128;
/// In which time. Source: C7.
const WINDOW: Duration = Duration::from_secs(10);
/// Peers, and neighbourhoods, that are counted. Ours: several times as many as may be connected.
const MAX_COUNTED: usize = 2048;

/// What was recovered in vain since a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Count {
    since: Time,
    recoveries: u32,
}

impl Count {
    fn runs(&self, now: Time) -> bool {
        now.since(self.since) < WINDOW
    }
}

/// The recoveries in vain of the last 10 s.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct RecoveredInVain {
    of_peer: BTreeMap<PeerId, Count>,
    of_neighbourhood: BTreeMap<Cidr, Count>,
}

impl RecoveredInVain {
    /// The most bytes that it holds.
    pub(crate) const MAX_BYTES: usize = MAX_COUNTED * (entry::<PeerId, Count>() + entry::<Cidr, Count>());

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.of_peer.len() * entry::<PeerId, Count>() + self.of_neighbourhood.len() * entry::<Cidr, Count>()
    }

    /// May one more be recovered for this peer?
    pub(crate) fn has_room(&self, now: Time, peer: &PeerId, neighbourhood: Option<Cidr>) -> bool {
        let spent = |count: Option<&Count>| count.filter(|count| count.runs(now)).map_or(0, |count| count.recoveries);
        spent(self.of_peer.get(peer)) < MAX_OF_PEER
            && neighbourhood.is_none_or(|neighbourhood| spent(self.of_neighbourhood.get(&neighbourhood)) < MAX_OF_NEIGHBOURHOOD)
    }

    /// One was.
    pub(crate) fn note(&mut self, now: Time, peer: PeerId, neighbourhood: Option<Cidr>) {
        note(&mut self.of_peer, now, peer);
        if let Some(neighbourhood) = neighbourhood {
            note(&mut self.of_neighbourhood, now, neighbourhood);
        }
    }
}

fn note<K: Ord + Copy>(counts: &mut BTreeMap<K, Count>, now: Time, key: K) {
    if counts.len() >= MAX_COUNTED && !counts.contains_key(&key) {
        counts.retain(|_, count| count.runs(now));
        if counts.len() >= MAX_COUNTED
            && let Some(least) = counts.iter().min_by_key(|(_, count)| count.recoveries).map(|(key, _)| *key)
        {
            counts.remove(&least);
        }
    }
    let count = counts.entry(key).or_insert(Count { since: now, recoveries: 0 });
    if !count.runs(now) {
        *count = Count { since: now, recoveries: 0 };
    }
    count.recoveries = count.recoveries.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> PeerId {
        let [high, low] = number.to_be_bytes();
        PeerId::from_bytes(&[0, 2, high, low]).expect("four bytes")
    }

    #[test]
    fn c7_thirty_two_in_vain_are_one_peers_for_ten_seconds() {
        let (mut in_vain, t0) = (RecoveredInVain::default(), Time::from_millis(5_000));
        for _ in 0..MAX_OF_PEER {
            assert!(in_vain.has_room(t0, &peer(1), None));
            in_vain.note(t0, peer(1), None);
        }
        assert!(!in_vain.has_room(Time::from_millis(14_999), &peer(1), None));
        assert!(in_vain.has_room(t0, &peer(2), None), "who did nothing");
        assert!(in_vain.has_room(Time::from_millis(15_000), &peer(1), None));
    }

    #[test]
    fn c7_a_neighbourhood_has_what_four_of_its_peers_have() {
        let (mut in_vain, now) = (RecoveredInVain::default(), Time::ZERO);
        let [here, there] = ["192.0.2.0/24", "198.51.100.0/24"].map(|block| Some(block.parse::<Cidr>().expect("a block")));
        for name in 0..MAX_OF_NEIGHBOURHOOD as u16 {
            assert!(in_vain.has_room(now, &peer(name), here));
            in_vain.note(now, peer(name), here);
        }
        assert!(!in_vain.has_room(now, &peer(999), here), "a fresh identity from there");
        assert!(in_vain.has_room(now, &peer(999), there));
    }

    #[test]
    fn p10_1_who_recovered_least_is_forgotten_where_too_many_are_counted() {
        let (mut in_vain, now) = (RecoveredInVain::default(), Time::ZERO);
        (0..2).for_each(|_| in_vain.note(now, peer(0), None));
        for name in 1..2 * MAX_COUNTED as u16 {
            in_vain.note(now, peer(name), None);
        }
        assert_eq!((in_vain.of_peer.len(), in_vain.of_peer[&peer(0)].recoveries), (MAX_COUNTED, 2));
        assert!(in_vain.bytes() <= RecoveredInVain::MAX_BYTES);
        in_vain.note(Time::from_millis(10_000), peer(9_999), None);
        assert_eq!(in_vain.of_peer.len(), 1, "the others' time is over");
    }
}
