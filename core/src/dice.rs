//! Where does chance come from?
//!
//! From one named algorithm (ChaCha with 8 rounds, enough where nobody's secret depends on it) and the seed that `Core::new` was given: the
//! same seed throws the same dice on every machine and in every release.

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
}
