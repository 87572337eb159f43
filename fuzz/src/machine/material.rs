//! What can be said on the wire?
//!
//! A chain of three windows, and beside it one of every fault that the rules know, all signed once per process: real signatures cost too
//! much to make while fuzzing. With each goes its [`Nature`]: what a node may never answer to it, whatever happened before.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use preconf_core::{
    Address, B256, Bytes, DEFAULT_DOMAIN, Found, Job, JobDone, PreconfCommitment, Preconfirmation, SIGNED_COMMITMENT_BYTES,
    SignedCommitment, U256, Window, Work, address_of, keccak256, preconfirmation_hash, recover, sign,
};
pub(crate) use preconf_writer::{CHAIN, GENESIS, START, key};
use preconf_writer::{WINDOW_SECS, Writer, windows};

/// The slashing contract that honest commitments name.
pub(crate) const SLASHER: Address = Address::repeat_byte(0x51);
/// Blocks of the chain.
pub(crate) const BLOCKS: u64 = 24;
/// Blocks of one window; the last of them is its EOP.
const PER_WINDOW: u64 = 8;
/// Order of secp256k1. Source: SEC 2.
const ORDER: U256 = U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff]);
/// Most recoveries remembered; then all are forgotten. Ours: more than every item in every form that `spoil` gives it, some 20 MiB.
const MAX_REMEMBERED: usize = 32 << 10;

/// What may be answered to a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// An elected signer's: accepted or ignored, never rejected, for an honest peer may have forwarded it.
    Signed,
    /// It breaks a rule: never accepted.
    Bad,
    /// The high-s form of a good signature: only ever ignored (P4.4).
    HighS,
}

/// One commitment.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: &'static str,
    pub(crate) signed: SignedCommitment,
    pub(crate) nature: Nature,
}

/// All there is.
#[derive(Debug)]
pub(crate) struct Material {
    /// The chain first, block n at n - 1, then the others.
    pub(crate) items: Vec<Item>,
    /// Hashes and bytes by block of the chain, then two that nothing names.
    pub(crate) txlists: Vec<(B256, Bytes)>,
    /// The schedule as it is: settled, three windows and one more.
    pub(crate) windows: Vec<Window>,
    /// Preconfirmation hashes of the chain.
    pub(crate) hashes: Vec<B256>,
    /// Whom none of these windows elects.
    pub(crate) nobody: Address,
}

impl Material {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static MATERIAL: OnceLock<Material> = OnceLock::new();
        MATERIAL.get_or_init(Self::write)
    }

    /// The item with this name.
    pub(crate) fn named(&self, name: &str) -> usize {
        self.items.iter().position(|item| item.name == name).unwrap_or_else(|| panic!("no item is named {name}"))
    }

    /// The chain's blocks from a number on, at most so many.
    pub(crate) fn chain_from(&self, start: u64, count: usize) -> &[Item] {
        let chain = &self.items[..BLOCKS as usize];
        let from =
            usize::try_from(start).ok().and_then(|start| start.checked_sub(1)).map_or(&[][..], |from| chain.get(from..).unwrap_or(&[]));
        &from[..count.min(from.len())]
    }

    fn write() -> Self {
        let mut items = Vec::new();
        let mut hashes = vec![GENESIS];
        for number in 1..=BLOCKS {
            let signed = signed(block(number, hashes[number as usize - 1]), elected(number));
            hashes.push(preconfirmation_hash(&signed));
            items.push(Item { name: "chain", signed, nature: Nature::Signed });
        }
        items.extend(beside(&items, &hashes));
        let lists = (1..=BLOCKS).map(txlist).chain([Bytes::from_static(b"named by nobody"), Bytes::from(vec![7; 20_000])]);
        let txlists = lists.map(|list| (keccak256(&list), list)).collect();
        Self { items, txlists, windows: windows(&[1, 2, 1, 2]), hashes: hashes.split_off(1), nobody: address_of(&key(3)) }
    }
}

/// Everything that is not the chain. `hashes[n]` is block n's.
fn beside(chain: &[Item], hashes: &[B256]) -> Vec<Item> {
    use Nature::{Bad, HighS, Signed};
    let mut items = Vec::new();
    let mut add = |name, nature, number: u64, signer, change: &dyn Fn(&mut Preconfirmation)| {
        let mut preconf = block(number, hashes[number as usize - 1]);
        change(&mut preconf);
        let signed = signed(preconf, signer);
        let hash = preconfirmation_hash(&signed);
        items.push(Item { name, signed, nature });
        hash
    };
    let other = |preconf: &mut Preconfirmation| preconf.coinbase = Address::repeat_byte(9);
    // Faults of signers, and honest disagreement: their peers are not to blame.
    add("another block 4", Signed, 4, 1, &other);
    add("another block 12", Signed, 12, 2, &other);
    add("block 5 without a known parent", Signed, 5, 1, &|preconf| preconf.parent_preconfirmation_hash = B256::repeat_byte(0xdd));
    add("block 9 after the end of its window", Signed, 9, 1, &|preconf| in_window(preconf, 0));
    // The second preconfer never saw block 8 and builds on block 7.
    let fork = add("fork 8", Signed, 8, 2, &|preconf| {
        (preconf.eop, preconf.raw_tx_list_hash) = (false, keccak256(txlist(8)));
        in_window(preconf, 1);
    });
    add("fork 9", Signed, 9, 2, &|preconf| (preconf.parent_preconfirmation_hash, preconf.coinbase) = (fork, Address::repeat_byte(8)));
    for number in [400, 700, 770, 5_000] {
        let preconf = Preconfirmation { parent_preconfirmation_hash: B256::repeat_byte(0xcc), ..block(number, B256::ZERO) };
        let far = Preconfirmation { timestamp: U256::from(START + 9), submission_window_end: U256::from(window_end(0)), ..preconf };
        items.push(Item { name: "far ahead", signed: signed(far, 1), nature: Signed });
    }
    let mut add = |name, nature, number: u64, signer, change: &dyn Fn(&mut Preconfirmation)| {
        let mut preconf = block(number, hashes[number as usize - 1]);
        change(&mut preconf);
        items.push(Item { name, signed: signed(preconf, signer), nature });
    };
    add("beyond the schedule", Signed, 2, 1, &|preconf| in_window(preconf, 9));
    add("beyond every schedule", Bad, 2, 1, &|preconf| preconf.submission_window_end = U256::MAX);
    // Faults of whoever sent them.
    add("not elected", Bad, 2, 3, &|_| {});
    add("elected for the other window", Bad, 2, 2, &|_| {});
    add("no txlist", Bad, 2, 1, &|preconf| preconf.raw_tx_list_hash = B256::ZERO);
    add("no such window", Bad, 2, 1, &|preconf| preconf.submission_window_end += U256::ONE);
    add("before its window", Bad, 2, 1, &|preconf| preconf.timestamp = U256::from(START));
    add("behind its window", Bad, 2, 1, &|preconf| preconf.timestamp = U256::from(window_end(0) + 1));
    add("number too large", Bad, 2, 1, &|preconf| preconf.block_number = U256::MAX);
    add("number skipped", Bad, 2, 1, &|preconf| preconf.block_number = U256::from(3));
    add("time stands still", Bad, 2, 1, &|preconf| preconf.timestamp = U256::from(START + 1));
    add("gas limit leaps", Bad, 2, 1, &|preconf| preconf.gas_limit = U256::from(30_006_001));
    add("gas limit out of range", Bad, 2, 1, &|preconf| preconf.gas_limit = U256::from(9_999_999));
    add("gas limit beyond all", Bad, 2, 1, &|preconf| preconf.gas_limit = U256::MAX);
    add("anchor goes back", Bad, 2, 1, &|preconf| preconf.anchor_block_number = U256::ZERO);
    add("proposal goes back", Bad, 2, 1, &|preconf| preconf.proposal_id = U256::ZERO);
    add("window goes back", Bad, 10, 1, &|preconf| in_window(preconf, 0));
    let of = |number: usize| &chain[number - 1].signed;
    let with = |change: &dyn Fn(&mut [u8; 65])| {
        let mut signature = *of(2).signature();
        change(&mut signature);
        SignedCommitment::new(of(2).commitment().clone(), signature)
    };
    items.push(Item { name: "high s", signed: high_s(of(2)), nature: HighS });
    items.push(Item { name: "r is zero", signed: with(&|signature| signature[..32].fill(0)), nature: Bad });
    items.push(Item { name: "s is no scalar", signed: with(&|signature| signature[32..64].fill(0xff)), nature: Bad });
    items.push(Item { name: "v is 27", signed: with(&|signature| signature[64] += 27), nature: Bad });
    let elsewhere = PreconfCommitment { slasher_address: Address::ZERO, ..of(2).commitment().clone() };
    items.push(Item { name: "another slasher", signed: sign(elsewhere, &key(1), DEFAULT_DOMAIN), nature: Bad });
    let another_domain = sign(of(2).commitment().clone(), &key(1), B256::ZERO);
    items.push(Item { name: "another domain", signed: another_domain, nature: Bad });
    items
}

fn block(number: u64, parent: B256) -> Preconfirmation {
    let index = (number - 1) / PER_WINDOW;
    let eop = number.is_multiple_of(PER_WINDOW);
    // Every other window ends with a handoff that holds no block (P5.3).
    let hands_over_only = eop && index.is_multiple_of(2);
    let writer = Writer { number: number - 1, parent, ..Writer::new(1) };
    let mut preconf = Preconfirmation {
        eop,
        coinbase: Address::repeat_byte(1),
        anchor_block_number: U256::from(number),
        raw_tx_list_hash: if hands_over_only { B256::ZERO } else { keccak256(txlist(number)) },
        prover_auth: Address::repeat_byte(2),
        proposal_id: U256::from(number),
        ..writer.draft()
    };
    in_window(&mut preconf, index);
    preconf
}

fn in_window(preconf: &mut Preconfirmation, index: u64) {
    let place = preconf.block_number.saturating_to::<u64>();
    (preconf.timestamp, preconf.submission_window_end) = (U256::from(START + index * WINDOW_SECS + place), U256::from(window_end(index)));
}

fn window_end(index: u64) -> u64 {
    START + (index + 1) * WINDOW_SECS
}

fn elected(number: u64) -> u8 {
    1 + ((number - 1) / PER_WINDOW % 2) as u8
}

fn txlist(number: u64) -> Bytes {
    Bytes::from(format!("the transactions of block {number}").into_bytes())
}

fn signed(preconf: Preconfirmation, signer: u8) -> SignedCommitment {
    Writer { slasher: SLASHER, ..Writer::new(signer) }.sign(preconf)
}

/// The other form of a signature, which anyone can make.
fn high_s(signed: &SignedCommitment) -> SignedCommitment {
    let mut signature = *signed.signature();
    let s = U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
    signature[64] ^= 1;
    SignedCommitment::new(signed.commitment().clone(), signature)
}

/// Bytes as they are (0), with one bit turned (up to 239), cut off (up to 247) or with something behind them.
pub(crate) fn spoil(bytes: &[u8], how: u8) -> Bytes {
    let (how, len) = (usize::from(how), bytes.len());
    let mut bytes = bytes.to_vec();
    match how {
        0 => {}
        1..240 if len == 0 => {}
        1..240 => bytes[(how - 1) * len / 239] ^= 1 << (how % 8),
        240..248 => bytes.truncate((how - 240) * len / 8),
        _ => bytes.resize(len + how - 247, 0),
    }
    bytes.into()
}

thread_local! {
    static SIGNERS: RefCell<HashMap<[u8; SIGNED_COMMITMENT_BYTES], Option<Address>, BuildHasherDefault<Fold>>> = RefCell::default();
}

/// Folds bytes into a word. Signatures are as good as random, so no more is needed, and a hash that resists an enemy costs more than
/// everything else in a step.
#[derive(Debug, Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.as_chunks().0 {
            self.0 = self.0.rotate_left(5) ^ u64::from_le_bytes(*word);
        }
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Who signed this? Recovery is pure, so what was recovered before is not recovered again.
pub(crate) fn signer(signed: &SignedCommitment) -> Option<Address> {
    SIGNERS.with_borrow_mut(|signers| {
        if signers.len() >= MAX_REMEMBERED {
            signers.clear();
        }
        *signers.entry(*signed.as_bytes()).or_insert_with(|| recover(signed, DEFAULT_DOMAIN))
    })
}

/// Does a job as [`Job::run`] would.
pub(crate) fn run(job: &Job) -> JobDone {
    match &job.work {
        Work::Recover { commitment, domain } if *domain == DEFAULT_DOMAIN => {
            JobDone { id: job.id, found: Found::Signer(signer(commitment)) }
        }
        Work::Recover { .. } => job.run(),
        // Hashed once per process, like what is signed: most that is hashed is one of them.
        Work::Hash { txlist } => match Material::get().txlists.iter().find(|(_, known)| known == txlist) {
            Some((hash, _)) => JobDone { id: job.id, found: Found::Hash(*hash) },
            None => job.run(),
        },
    }
}

#[cfg(test)]
mod tests {
    use preconf_core::JobId;

    use super::*;

    #[test]
    fn what_was_hashed_before_is_hashed_alike() {
        for (at, (hash, txlist)) in Material::get().txlists.iter().enumerate() {
            let job = Job { id: JobId(at as u64), work: Work::Hash { txlist: txlist.clone() } };
            assert_eq!((run(&job), job.run().found), (job.run(), Found::Hash(*hash)));
        }
    }

    #[test]
    fn every_signature_is_what_its_item_is_said_to_be() {
        let material = Material::get();
        for Item { name, signed, nature } in &material.items {
            assert_eq!(preconf_core::is_high_s(signed), *nature == Nature::HighS, "{name}");
            assert_eq!(signer(signed), recover(signed, DEFAULT_DOMAIN), "{name}");
            let by_elected = material.windows.iter().any(|window| signer(signed) == Some(window.preconfer));
            assert!(*nature != Nature::Signed || by_elected, "{name}");
        }
        assert_eq!(material.chain_from(24, 9).len(), 1);
        assert_eq!((material.chain_from(0, 9).len(), material.chain_from(25, 9).len()), (0, 0));
    }
}
