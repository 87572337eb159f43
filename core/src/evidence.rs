//! What proves a preconfer's fault (P5.4)?
//!
//! Two commitments signed by one key that no honest preconfer signs both. [`Evidence`] holds them whole and verifies on its own: no chain,
//! no schedule, no trust in who found it. Commitments are told apart by their preconfirmation hashes, never by signature bytes, because
//! anyone can turn a signature over into its other form.
//!
//! `chain` finds the faults where C8 and C9 are decided; [`EvidenceBook`] sees to it that each (signer, window, block number) is told once.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};

use crate::crypto;
use crate::validate::v1::parent::ParentRules;
use crate::wire::v1::SignedCommitment;

/// What a preconfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fault {
    /// It signed two blocks with the same number in one window (C8).
    Equivocation,
    /// It signed a block after the one with which it had ended its window (C8).
    AfterEop,
    /// Inside one window, it signed a block that does not follow its own block before (C9).
    BrokenLink,
    /// It signed a block that breaks a rule of the protocol's towards its own parent (C9, [`ParentRules::default`]).
    BrokenRule,
}

impl Fault {
    /// Its name in files and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Equivocation => "equivocation",
            Self::AfterEop => "block_after_eop",
            Self::BrokenLink => "broken_link",
            Self::BrokenRule => "broken_rule",
        }
    }

    /// The fault with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Equivocation, Self::AfterEop, Self::BrokenLink, Self::BrokenRule].into_iter().find(|fault| fault.label() == label)
    }
}

/// Two signed commitments, and what they are said to prove.
///
/// ```
/// use preconf_core::{DEFAULT_DOMAIN, Evidence, Fault, PreconfCommitment, SecretKey, address_of, sign};
/// let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
/// let (mut one, mut other) = (PreconfCommitment::default(), PreconfCommitment::default());
/// (one.preconf.raw_tx_list_hash, other.preconf.raw_tx_list_hash) = ([1; 32].into(), [2; 32].into());
/// let evidence = Evidence {
///     fault: Fault::Equivocation,
///     first: sign(one, &key, DEFAULT_DOMAIN),
///     second: sign(other, &key, DEFAULT_DOMAIN),
/// };
/// assert_eq!(evidence.verify(DEFAULT_DOMAIN).unwrap().signer, address_of(&key));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Evidence {
    /// What they are said to prove.
    pub fault: Fault,
    /// The one that was accepted: the first block, the EOP, or the block before.
    pub first: SignedCommitment,
    /// The one that contradicts it.
    pub second: SignedCommitment,
}

/// One of a proof's two commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its preconfirmation hash (P4.1).
    pub hash: B256,
    /// Its block number.
    pub block_number: U256,
    /// The end of its window, in unix seconds.
    pub window_end: U256,
}

/// A fault that is proven. Its text says by whom, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What was done.
    pub fault: Fault,
    /// By whom.
    pub signer: Address,
    /// The commitment that was there.
    pub first: Promise,
    /// The one that contradicts it.
    pub second: Promise,
}

/// Which of the two commitments?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that was accepted.
    First,
    /// The one that is said to contradict it.
    Second,
}

/// Why two commitments prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// Both are the same preconfirmation, whatever their signatures look like.
    #[error("both commitments are the same preconfirmation")]
    SameCommitment,
    /// A signature in the form that anyone can make of an honest one (P4.4).
    #[error("the signature of the {0} commitment is in its high-s form, which anyone can make of the other")]
    HighS(Which),
    /// A signature that is none.
    #[error("the signature of the {0} commitment is none")]
    BadSignature(Which),
    /// Two signers, each of whom may be honest.
    #[error("two signers: {first} and {second}")]
    TwoSigners {
        /// Of the first.
        first: Address,
        /// Of the second.
        second: Address,
    },
    /// Equivocation takes two blocks at one number.
    #[error("two block numbers: {first} and {second}")]
    TwoNumbers {
        /// Of the first.
        first: U256,
        /// Of the second.
        second: U256,
    },
    /// What is said to have ended a window did not.
    #[error("the first commitment does not end its window")]
    NoEop,
    /// Within one window only is a signer bound to its own last word.
    #[error("two windows: one ends at {first}, the other at {second}")]
    TwoWindows {
        /// Of the first.
        first: U256,
        /// Of the second.
        second: U256,
    },
    /// A block that does not come after the other.
    #[error("block {second} does not come after block {first}")]
    NotAfter {
        /// Number of the first.
        first: U256,
        /// Number of the second.
        second: U256,
    },
    /// A block that is not right behind the other.
    #[error("block {second} does not come right after block {first}")]
    NotNext {
        /// Number of the first.
        first: U256,
        /// Number of the second.
        second: U256,
    },
    /// The second names the first as its parent, as it should.
    #[error("the second commitment names the first as its parent")]
    Linked,
    /// The second names another parent: whether it keeps the rules towards that one is not known.
    #[error("the second commitment does not name the first as its parent")]
    NotLinked,
    /// A child as it should be.
    #[error("the second commitment keeps every rule of a child of the first")]
    RulesKept,
}

impl Evidence {
    /// Is the fault proven, under the chain's signing domain (P4.2)? Needs nothing but these bytes.
    ///
    /// # Errors
    /// Why the two commitments prove nothing.
    pub fn verify(&self, domain: B256) -> Result<Proof, NoProof> {
        let Self { fault, first, second } = self;
        let promises = (promise(first), promise(second));
        if promises.0.hash == promises.1.hash {
            return Err(NoProof::SameCommitment);
        }
        contradict(*fault, first, second)?;
        // Last, because it costs most. That somebody is recovered proves nothing; that both times it is the same one does (P4.3).
        let signers = (signer(first, domain, Which::First)?, signer(second, domain, Which::Second)?);
        if signers.0 != signers.1 {
            return Err(NoProof::TwoSigners { first: signers.0, second: signers.1 });
        }
        Ok(Proof { fault: *fault, signer: signers.0, first: promises.0, second: promises.1 })
    }
}

/// Could no honest preconfer have signed both?
fn contradict(fault: Fault, first: &SignedCommitment, second: &SignedCommitment) -> Result<(), NoProof> {
    let (one, other) = (first.preconf(), second.preconf());
    let numbers = (one.block_number, other.block_number);
    let windows = (one.submission_window_end, other.submission_window_end);
    let one_window = if windows.0 == windows.1 { Ok(()) } else { Err(NoProof::TwoWindows { first: windows.0, second: windows.1 }) };
    match fault {
        Fault::Equivocation if numbers.0 != numbers.1 => Err(NoProof::TwoNumbers { first: numbers.0, second: numbers.1 }),
        Fault::Equivocation => one_window,
        Fault::AfterEop if !one.eop => Err(NoProof::NoEop),
        Fault::AfterEop if numbers.1 <= numbers.0 => Err(NoProof::NotAfter { first: numbers.0, second: numbers.1 }),
        Fault::AfterEop => one_window,
        Fault::BrokenLink if numbers.0.checked_add(U256::ONE) != Some(numbers.1) => {
            Err(NoProof::NotNext { first: numbers.0, second: numbers.1 })
        }
        Fault::BrokenLink if other.parent_preconfirmation_hash == crypto::preconfirmation_hash(first) => Err(NoProof::Linked),
        Fault::BrokenLink => one_window,
        Fault::BrokenRule if other.parent_preconfirmation_hash != crypto::preconfirmation_hash(first) => Err(NoProof::NotLinked),
        Fault::BrokenRule => ParentRules::default().check(one, other).err().map(drop).ok_or(NoProof::RulesKept),
    }
}

fn signer(signed: &SignedCommitment, domain: B256, which: Which) -> Result<Address, NoProof> {
    if crypto::is_high_s(signed) {
        // Its signer is as certain as with low s. But no honest node stores or forwards it, and contracts commonly refuse it (P4.4).
        return Err(NoProof::HighS(which));
    }
    crypto::recover(signed, domain).ok_or(NoProof::BadSignature(which))
}

fn promise(signed: &SignedCommitment) -> Promise {
    let preconf = signed.preconf();
    Promise { hash: crypto::preconfirmation_hash(signed), block_number: preconf.block_number, window_end: preconf.submission_window_end }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, signer, first, second } = self;
        let (before, number, window) = (first.block_number, second.block_number, second.window_end);
        match fault {
            Fault::Equivocation => write!(f, "{signer} signed two different blocks with number {number}"),
            Fault::AfterEop => write!(f, "{signer} signed block {number} after it had ended the window until {window} with block {before}"),
            Fault::BrokenLink => {
                write!(f, "{signer} signed block {number}, which does not follow its own block {before} of the same window until {window}")
            }
            Fault::BrokenRule => {
                write!(f, "{signer} signed block {number}, which breaks a rule towards its own block {before}, its parent")
            }
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// What was found, oldest first, each (signer, window, block number) once.
///
/// Invariant: `positions` holds the positions of `found`. The oldest falls off at the bound; only a signer that keeps on failing could be told
/// again after that.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct EvidenceBook {
    found: VecDeque<((Address, u64, u64), Arc<Evidence>)>,
    positions: BTreeSet<(Address, u64, u64)>,
    max: usize,
}

impl EvidenceBook {
    pub(crate) fn new(max: usize) -> Self {
        Self { found: VecDeque::new(), positions: BTreeSet::new(), max }
    }

    /// Writes a fault down. `None` when this signer's at this number of its window was told already (P5.4).
    pub(crate) fn insert(&mut self, signer: Address, (window_end, number): (u64, u64), evidence: Evidence) -> Option<Arc<Evidence>> {
        let position = (signer, window_end, number);
        if !self.positions.insert(position) {
            return None;
        }
        if self.found.len() >= self.max
            && let Some((oldest, _)) = self.found.pop_front()
        {
            self.positions.remove(&oldest);
        }
        let evidence = Arc::new(evidence);
        self.found.push_back((position, evidence.clone()));
        Some(evidence)
    }

    /// Was a fault at this number of this window told, whoever's?
    pub(crate) fn has_told(&self, position: (u64, u64)) -> bool {
        self.positions.iter().any(|(_, window_end, number)| (*window_end, *number) == position)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Evidence>> {
        self.found.iter().map(|(_, evidence)| evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_tells_each_position_once_and_the_oldest_falls_off() {
        // P5.4, P10.1
        let commitment = SignedCommitment::new(crate::wire::v1::PreconfCommitment::default(), [0; 65]);
        let evidence = Evidence { fault: Fault::Equivocation, first: commitment.clone(), second: commitment };
        let mut book = EvidenceBook::new(2);
        let mut insert = |number| book.insert(Address::ZERO, (100, number), evidence.clone()).is_some();
        assert_eq!([1, 1, 2, 2, 3, 2, 1].map(&mut insert), [true, false, true, false, true, false, true]);
        assert_eq!((book.iter().len(), book.positions.len()), (2, 2));
    }

    #[test]
    fn labels_name_their_fault() {
        for fault in [Fault::Equivocation, Fault::AfterEop, Fault::BrokenLink, Fault::BrokenRule] {
            assert_eq!(Fault::from_label(fault.label()), Some(fault));
        }
        assert_eq!(Fault::from_label("Equivocation"), None);
    }
}
