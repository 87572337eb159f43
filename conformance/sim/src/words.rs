//! Has an honest preconfer said two things (P5.9)?
//!
//! What the machines give to gossip, in all lives of all nodes, is held against itself, whatever their memories and disks say. A window has one
//! preconfer, so two words of one window are one signer's. When a node's disk is lost, its words are forgotten here too, unless any three of the
//! others would show one who was canonical with it among them: peers are asked what they hold of the chain, and a word beside it, or one that
//! nobody has heard, is told by nobody (P5.9b).

use std::collections::{BTreeMap, BTreeSet};

use preconf_core::{B256, Bytes, Fault, SignedCommitment, preconfirmation_hash};

use super::check::{Failure, Violation};
use super::l1::Made;
use super::node::NodeId;
use super::world::World;

/// One word, as it was published.
#[derive(Debug)]
struct Word {
    by: NodeId,
    number: u64,
    hash: B256,
    parent: B256,
    is_eop: bool,
}

/// All that machines have published, by window.
#[derive(Debug, Default)]
pub(crate) struct Words {
    of_window: BTreeMap<u64, Vec<Word>>,
    /// What nobody would have shown to the node that had said it, and had lost its disk.
    forgotten: BTreeSet<B256>,
}

impl Words {
    /// A machine gives a commitment to gossip. Is it new?
    fn say(&mut self, node: NodeId, signed: &SignedCommitment, is_settled: impl Fn(&B256) -> bool) -> Result<bool, Violation> {
        let (preconf, hash) = (signed.preconf(), preconfirmation_hash(signed));
        let (number, window_end) = (preconf.block_number.saturating_to(), preconf.submission_window_end.saturating_to());
        let words = self.of_window.entry(window_end).or_default();
        if words.iter().any(|word| word.hash == hash) {
            return Ok(false); // the same again
        }
        let (is_eop, parent) = (preconf.eop, preconf.parent_preconfirmation_hash);
        let fault_with = |word: &Word| match word {
            word if word.number == number => Some(Fault::Equivocation),
            word if (word.is_eop && number > word.number) || (is_eop && word.number > number) => Some(Fault::AfterEop),
            word if word.number + 1 == number && word.hash != parent && !is_settled(&parent) => Some(Fault::BrokenLink),
            word if number + 1 == word.number && word.parent != hash && !is_settled(&word.parent) => Some(Fault::BrokenLink),
            _ => None,
        };
        if let Some((fault, first)) = words.iter().find_map(|word| Some((fault_with(word)?, word.hash))) {
            return Err(Violation::SaysTwoThings { fault, number, window_end, hashes: Box::new([first, hash]) });
        }
        words.push(Word { by: node, number, hash, parent, is_eop });
        Ok(true)
    }

    /// A node's disk is gone, and with it what its peers would not show it. Says which words those are.
    fn disk_lost(&mut self, node: NodeId, is_shown: impl Fn(u64, &B256) -> bool) -> Vec<(u64, B256)> {
        let mut lost = Vec::new();
        for words in self.of_window.values_mut() {
            let unknown = words.extract_if(.., |word| word.by == node && !is_shown(word.number, &word.hash));
            lost.extend(unknown.map(|word| (word.number, word.hash)));
        }
        lost
    }

    /// Can its signer not have known that it had said this?
    pub(crate) fn is_forgotten(&self, hash: &B256) -> bool {
        self.forgotten.contains(hash)
    }
}

impl World {
    /// A node's disk is gone, and with it what its peers would not show it (P5.9b).
    pub(crate) fn words_lost(&mut self, node: NodeId) {
        let mut words = std::mem::take(&mut self.words);
        let others = || (0..self.nodes.len()).filter(|other| *other != node && self.is_honest(*other));
        let is_settled = |hash: &B256| self.office.as_ref().is_some_and(|office| office.l1.has_settled(hash));
        // Who is down shows nothing; three are asked.
        let lacks = |other: &NodeId, number: u64, hash: &B256| !self.nodes[*other].up || !self.agreement.has(*other, number, hash);
        let is_shown = |number: u64, hash: &B256| is_settled(hash) || others().filter(|other| lacks(other, number, hash)).count() < 3;
        let lost = words.disk_lost(node, is_shown);
        // L1 has what anybody has.
        let is_nowhere =
            |(number, hash): &&(u64, B256)| !is_settled(hash) && !others().any(|other| self.agreement.has(other, *number, hash));
        let nowhere: Vec<_> = lost.iter().filter(is_nowhere).map(|(_, hash)| *hash).collect();
        words.forgotten.extend(lost.into_iter().map(|(_, hash)| hash));
        self.words = words;
        self.blocks_lost(&nowhere);
    }

    /// Has L1 settled this block, whoever has heard of it?
    pub(crate) fn has_settled(&self, hash: &B256) -> bool {
        self.office.as_ref().is_some_and(|office| office.l1.has_settled(hash))
    }

    /// A machine gives a commitment to gossip: the block is made now, and not before.
    pub(crate) fn says(&mut self, node: NodeId, data: &Bytes) -> Result<(), Failure> {
        let Ok(signed) = SignedCommitment::decode(data) else { return Ok(()) };
        let Self { words, office, .. } = self;
        let is_settled = |hash: &B256| office.as_ref().is_some_and(|office| office.l1.has_settled(hash));
        if words.say(node, &signed, is_settled).map_err(|violation| self.failure(node, violation))? {
            self.made(node, Made::of(&signed, self.now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use preconf_core::SecretKey;
    use preconf_writer::Writer;

    use super::*;

    /// The block of a number, with a gas limit that tells it from others.
    fn block(number: u64, gas: u64, is_eop: bool) -> SignedCommitment {
        let key = SecretKey::from_secret_bytes([7; 32]).expect("a key");
        let mut writer = Writer { key, parent: B256::repeat_byte(5), number: number - 1, window_end: 100, ..Writer::new(1) };
        writer.write(|preconf| {
            preconf.eop = is_eop;
            preconf.gas_limit += preconf_core::U256::from(gas);
        })
    }

    fn say(words: &mut Words, signed: &SignedCommitment) -> Option<Fault> {
        match words.say(0, signed, |_| false) {
            Err(Violation::SaysTwoThings { fault, .. }) => Some(fault),
            said => said.map(|_| None).expect("no other violation"),
        }
    }

    #[test]
    fn p5_9_two_words_about_one_block_are_noticed_and_one_that_is_said_twice_is_one() {
        let mut words = Words::default();
        assert_eq!(say(&mut words, &block(5, 0, false)), None);
        assert_eq!(say(&mut words, &block(5, 0, false)), None);
        assert_eq!(say(&mut words, &block(5, 1, false)), Some(Fault::Equivocation));
    }

    #[test]
    fn p5_9_a_word_behind_the_end_of_its_window_is_noticed_whichever_comes_first() {
        for (first, second) in [((5, true), (7, false)), ((7, false), (5, true))] {
            let mut words = Words::default();
            assert_eq!(say(&mut words, &block(first.0, 0, first.1)), None);
            assert_eq!(say(&mut words, &block(second.0, 0, second.1)), Some(Fault::AfterEop));
        }
    }

    #[test]
    fn p5_9_a_word_that_builds_on_another_block_than_the_one_before_it_is_noticed_whichever_comes_first() {
        for numbers in [[5, 6], [6, 5]] {
            let mut words = Words::default();
            assert_eq!(say(&mut words, &block(numbers[0], 0, false)), None);
            assert_eq!(say(&mut words, &block(numbers[1], 0, false)), Some(Fault::BrokenLink));
        }
    }

    #[test]
    fn p5_9b_what_nobody_would_show_is_forgotten_with_the_disk_and_nothing_else_is() {
        let mut words = Words::default();
        say(&mut words, &block(5, 0, false));
        say(&mut words, &block(7, 0, false));
        assert_eq!(words.disk_lost(0, |number, _| number == 5), [(7, preconfirmation_hash(&block(7, 0, false)))]);
        assert_eq!(say(&mut words, &block(7, 1, false)), None);
        assert_eq!(say(&mut words, &block(5, 1, false)), Some(Fault::Equivocation));
    }
}
