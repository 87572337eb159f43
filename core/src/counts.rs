//! How many of each are there?
//!
//! The bounds that hold for each peer, each position or each neighbourhood (P10.1) all ask this. A key whose count comes back to zero is
//! forgotten, so a table of counts has at most as many keys as there are things that are counted.
//!
//! Invariant: no count is zero.

use std::collections::BTreeMap;

/// How many there are of each key.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound(deserialize = "K: serde::Deserialize<'de> + Ord")))]
pub(crate) struct Counts<K>(BTreeMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Counts<K> {
    /// One more.
    pub(crate) fn raise(&mut self, key: K) {
        let count = self.0.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// One fewer. One too many changes nothing.
    pub(crate) fn lower(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }

    /// How many there are of this key.
    pub(crate) fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// Of how many keys there is one at least.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_and_down_and_forgets_what_is_gone() {
        let mut counts = Counts::default();
        for key in [7, 7, 9] {
            counts.raise(key);
        }
        assert_eq!((counts.of(&7), counts.of(&9), counts.of(&1), counts.keys()), (2, 1, 0, 2));
        counts.lower(&7);
        counts.lower(&9);
        assert_eq!((counts.of(&7), counts.of(&9), counts.keys()), (1, 0, 1));
    }

    #[test]
    fn one_too_many_is_no_debt() {
        let mut counts = Counts::default();
        counts.lower(&7);
        counts.raise(7);
        assert_eq!(counts.of(&7), 1);
    }
}
