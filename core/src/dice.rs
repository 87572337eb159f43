//! Where does chance come from?
//!
//! From one named algorithm (ChaCha with 8 rounds, enough where nobody's secret depends on it) and the seed that `Core::new` was given: the
//! same seed throws the same dice on every machine and in every release.

use std::cmp::Ordering;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The machine's dice.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; `None` when there is none.
    pub(crate) fn below(&mut self, bound: usize) -> Option<usize> {
        match bound {
            0 => None,
            1 => Some(0), // no throw where there is no choice
            // The bias of a remainder is under 2^-32 for any table of ours.
            _ => Some((self.0.next_u64() % bound as u64) as usize),
        }
    }

    /// The item with the least key, in one pass; one of them, by a throw, where several have it.
    pub(crate) fn least<K: Ord, T>(&mut self, items: impl Iterator<Item = (K, T)>) -> Option<T> {
        let (mut least, mut ties) = (None, Vec::new());
        for (key, item) in items {
            match least.as_ref().map_or(Ordering::Less, |least| key.cmp(least)) {
                Ordering::Greater => continue,
                Ordering::Equal => {}
                Ordering::Less => {
                    least = Some(key);
                    ties.clear();
                }
            }
            ties.push(item);
        }
        self.below(ties.len()).map(|one| ties.swap_remove(one))
    }
}

/// Its seed, and how far it has come.
#[cfg(feature = "serde")]
impl serde::Serialize for Dice {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.0.get_seed(), self.0.get_word_pos()).serialize(to)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Dice {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (seed, at): ([u8; 32], u128) = serde::Deserialize::deserialize(from)?;
        let mut dice = Self::new(seed);
        dice.0.set_word_pos(at);
        Ok(dice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_dice_for_ever() {
        let throws = |seed| {
            let mut dice = Dice::new([seed; 32]);
            (0..8).map(|_| dice.below(1000).expect("a throw")).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        assert_eq!(Dice::new([1; 32]).below(0), None);
    }

    #[test]
    fn of_equals_each_is_the_least_about_as_often() {
        let mut dice = Dice::new([1; 32]);
        let mut times = [0; 5];
        for _ in 0..3_000 {
            times[dice.least([(2, 0), (1, 1), (3, 2), (1, 3), (1, 4)].into_iter()).expect("some")] += 1;
        }
        assert_eq!((times[0], times[2]), (0, 0));
        assert!([1, 3, 4].into_iter().all(|one| (900..1_100).contains(&times[one])), "{times:?}");
        assert_eq!(dice.least(std::iter::empty::<(u8, u8)>()), None);
    }
}
