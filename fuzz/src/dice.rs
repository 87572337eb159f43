//! What does the next byte of an input decide?
//!
//! Inputs are read from the front. When they are exhausted every throw gives the smallest value, which every generator here makes the
//! plainest choice: a shorter input is never a stranger one.

/// The bytes of one input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 once there is none.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// So many bytes, those that are missing as 0.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A whole number, little-endian.
    pub(crate) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number below `bound`, 0 when there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// What a byte chooses among `count` things of which some make sense now.
///
/// A byte below 128 stands for the thing with its number, or the next one that makes sense; one from 128 on for the thing with its number
/// less 128, sense or not. So plain inputs stay legal, a mutated byte keeps its meaning, and nothing is out of reach.
pub(crate) fn choose(byte: u8, count: usize, makes_sense: impl Fn(usize) -> bool) -> usize {
    let named = usize::from(byte % 128) % count;
    if byte >= 128 {
        return named;
    }
    (0..count).map(|step| (named + step) % count).find(|thing| makes_sense(*thing)).unwrap_or(named)
}

/// The byte that [`choose`] reads as this thing.
pub(crate) fn chosen(thing: usize, makes_sense: bool) -> u8 {
    let byte = u8::try_from(thing).ok().filter(|byte| *byte < 128).expect("fewer than 128 things to choose from");
    if makes_sense { byte } else { 128 + byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_what_was_written() {
        for things in [1, 5, 127] {
            for thing in 0..things {
                for sense in [false, true] {
                    assert_eq!(choose(chosen(thing, sense), things, |other| sense && other == thing), thing);
                }
            }
        }
    }

    #[test]
    fn exhausted_dice_throw_the_smallest_value() {
        let mut dice = Dice::new(&[7, 1]);
        assert_eq!((dice.below(5), dice.number(), dice.is_exhausted()), (2, 1, true));
        assert_eq!((dice.byte(), dice.below(9), dice.rest()), (0, 0, &[][..]));
    }
}
