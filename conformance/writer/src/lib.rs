//! Who writes the blocks that tests, simulated networks, fuzzers and the devnet are fed with?
//!
//! A [`Writer`] is a preconfer at its desk: it knows the block that it wrote last, and writes the next one, linked to it by C9 and signed.
//! Whatever a caller wants otherwise it changes before the signature, so a broken block is broken in that alone. Its user decides who is
//! elected when; a test that does not care takes the scene of this crate, in which numbered preconfers have windows of [`WINDOW_SECS`] from
//! [`START`] on.
//!
//! Numbers such as `C9` name rules of the protocol; [`preconf_core::protocol`] has the text of every one.
//!
//! ```
//! use preconf_core::{DEFAULT_DOMAIN, ParentRules, recover};
//! use preconf_writer::{Writer, windows};
//!
//! let mut writer = Writer::new(1);
//! let (first, _txlist) = writer.block();
//! let second = writer.eop();
//! assert_eq!(ParentRules::default().check(first.preconf(), second.preconf()), Ok(()));
//! assert_eq!(recover(&second, DEFAULT_DOMAIN), Some(windows(&[1])[0].preconfer));
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

use preconf_core::{
    Address, B256, Bytes, ChainId, DEFAULT_DOMAIN, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, U256, Window,
    address_of, keccak256, preconfirmation_hash, sign,
};

/// The chain of whoever does not care for which. Source: Taiko's main network, as in the golden vectors.
pub const CHAIN: ChainId = ChainId(167_000);
/// The unix second at which the scene starts, and with it the first window. Ours: any moment does that no clock has reached.
pub const START: u64 = 1_800_000_000;
/// Seconds of a window of the scene. Ours: more than any test has blocks in one, since each block's time is a second after its parent's.
pub const WINDOW_SECS: u64 = 1_000;
/// What the first block of the scene names as its parent. Ours: no block's hash.
pub const GENESIS: B256 = B256::repeat_byte(0xaa);
/// Gas limit of every block; inside the range of C9.
pub const GAS_LIMIT: u64 = 30_000_000;

/// The secret of a numbered preconfer.
///
/// # Panics
/// On 0, which is no secret.
pub fn key(name: u8) -> SecretKey {
    SecretKey::from_secret_bytes([name; 32]).expect("a repeated byte other than 0 is a secret")
}

/// Windows that numbered preconfers take in turn, from [`START`] on.
pub fn windows(names: &[u8]) -> Vec<Window> {
    let window = |(index, name): (u64, &u8)| Window {
        start: START + index * WINDOW_SECS,
        end: START + (index + 1) * WINDOW_SECS,
        preconfer: address_of(&key(*name)),
        settled_at: Some(0),
    };
    (0..).zip(names).map(window).collect()
}

/// Writes blocks that follow each other.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Who signs.
    pub key: SecretKey,
    /// Under which domain (P4.2).
    pub domain: B256,
    /// The slashing contract that commitments name (C2).
    pub slasher: Address,
    /// Hash of the block before the next one.
    pub parent: B256,
    /// Its number.
    pub number: u64,
    /// Its time in unix seconds.
    pub timestamp: u64,
    /// End of the window that the next block lies in.
    pub window_end: u64,
}

impl Writer {
    /// A numbered preconfer in the first window of the scene, with nothing written yet.
    pub fn new(name: u8) -> Self {
        Self {
            key: key(name),
            domain: DEFAULT_DOMAIN,
            slasher: Address::ZERO,
            parent: GENESIS,
            number: 0,
            timestamp: START,
            window_end: START + WINDOW_SECS,
        }
    }

    /// The next block and its txlist.
    pub fn block(&mut self) -> (SignedCommitment, Bytes) {
        let txlist = Bytes::from(format!("the transactions of block {}", self.number + 1).into_bytes());
        (self.write(|preconf| preconf.raw_tx_list_hash = keccak256(&txlist)), txlist)
    }

    /// The end of the window, without a block (P5.3).
    pub fn eop(&mut self) -> SignedCommitment {
        self.write(|preconf| preconf.eop = true)
    }

    /// The next commitment, changed as the caller likes, and signed after that. A next one links to it.
    pub fn write(&mut self, change: impl FnOnce(&mut Preconfirmation)) -> SignedCommitment {
        let mut preconf = self.draft();
        change(&mut preconf);
        (self.number, self.timestamp) = (self.number + 1, self.timestamp + 1);
        let signed = self.sign(preconf);
        self.parent = preconfirmation_hash(&signed);
        signed
    }

    /// What the next commitment says before anybody changes it: a block without a txlist, a second after its parent.
    pub fn draft(&self) -> Preconfirmation {
        Preconfirmation {
            block_number: U256::from(self.number + 1),
            timestamp: U256::from(self.timestamp + 1),
            gas_limit: U256::from(GAS_LIMIT),
            parent_preconfirmation_hash: self.parent,
            submission_window_end: U256::from(self.window_end),
            ..Preconfirmation::default()
        }
    }

    /// Signs, and forgets it: the next commitment does not link to this one.
    pub fn sign(&self, preconf: Preconfirmation) -> SignedCommitment {
        sign(PreconfCommitment { preconf, slasher_address: self.slasher }, &self.key, self.domain)
    }

    /// Goes on in the next window of the scene, as another preconfer.
    pub fn hand_over(&mut self, name: u8) {
        self.key = key(name);
        self.window_end += WINDOW_SECS;
        self.timestamp = self.window_end - WINDOW_SECS;
    }
}

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
